//! A Python with packages of PyPI, for tests that talk to programs written in it: made once, kept in the system's temporary
//! folder.

use std::path::PathBuf;
use std::process::Command;

use super::tools;

/// A Python that can import these packages, as `pip install` names them; `None` with a printed reason where there is none.
/// They are fetched, which may be hundreds of megabytes, with `REQUIRE_INTEROP=1` in the environment; then what goes wrong
/// fails the test, unless `WITHOUT_PYPI=1` says that there is no way to PyPI.
pub fn with_packages(packages: &[&str]) -> Option<PathBuf> {
    let python = tools::find(&["python3"])?.remove(0);
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-.=".contains(c) { c } else { '_' };
    let name: String = packages.join("+").chars().map(plain).collect();
    let kept = std::env::temp_dir().join(format!("sip-relay-python-{name}"));
    let program = kept.join("bin/python");
    if program.exists() {
        return Some(program);
    }
    let is_set = |name| std::env::var_os(name).is_some_and(|value| value == "1");
    if !is_set("REQUIRE_INTEROP") || is_set("WITHOUT_PYPI") {
        eprintln!("skipped: it needs {packages:?} of PyPI, which REQUIRE_INTEROP=1 fetches");
        return None;
    }
    // Another test may be making it, too: each makes its own, the first to be ready wins.
    let fresh = kept.with_extension(format!("{}", std::process::id()));
    let made = run(Command::new(python).args(["-m", "venv"]).arg(&fresh)).and_then(|()| {
        let mut pip = Command::new(fresh.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
        run(&mut pip)
    });
    if let Err(why) = made {
        let _ = std::fs::remove_dir_all(&fresh);
        panic!("pip install {packages:?}: {why}");
    }
    if std::fs::rename(&fresh, &kept).is_err() {
        let _ = std::fs::remove_dir_all(&fresh);
    }
    Some(program)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
