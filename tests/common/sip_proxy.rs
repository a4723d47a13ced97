//! Kamailio as a proxy, with a configuration of the test's choice.

use std::path::Path;

use super::temp::TempDir;
use super::tools::{self, Process};

/// Starts it with this configuration, in which `{{modules}}` and `values` are filled in, and waits until it listens on `port`.
pub fn start(program: &Path, dir: &TempDir, template: &str, port: u16, values: &[(&str, String)]) -> Process {
    let libraries =
        ["x86_64-linux-gnu", "aarch64-linux-gnu"].map(|arch| format!("/usr/lib/{arch}/kamailio/modules"));
    let modules =
        libraries.into_iter().find(|dir| Path::new(dir).is_dir()).expect("kamailio has its modules");
    let own = [("modules", modules), ("port", port.to_string())];
    let config = tools::fill(template, &[&own, values].concat());
    let file = dir.write("kamailio.cfg", config).display().to_string();
    let mut process =
        Process::start("kamailio", program, dir.path(), &["-f", &file, "-DD", "-E", "-m", "32", "-M", "4"]);
    process.expect_listening(port);
    process
}
