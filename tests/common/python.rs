//! A Python with packages of PyPI, for tests that talk to programs written in it: made once, kept in the system's temporary
//! folder.

use std::path::PathBuf;
use std::process::Command;

use super::tools;

/// A Python that can import these packages, as `pip install` names them; `None` with a printed reason where there is no
/// `python3` or no way to PyPI. With `REQUIRE_INTEROP=1` in the environment that fails the test instead.
pub fn with_packages(packages: &[&str]) -> Option<PathBuf> {
    let python = tools::find(&["python3"])?.remove(0);
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-.=".contains(c) { c } else { '_' };
    let name: String = packages.join("+").chars().map(plain).collect();
    let kept = std::env::temp_dir().join(format!("sip-relay-python-{name}"));
    let program = kept.join("bin/python");
    if program.exists() {
        return Some(program);
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
        assert!(
            std::env::var_os("REQUIRE_INTEROP").is_none_or(|v| v != "1"),
            "pip install {packages:?}: {why}"
        );
        eprintln!("skipped: pip install {packages:?}: {}", why.lines().last().unwrap_or_default());
        return None;
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
