//! What a log line looks like, what is filtered, and what is masked.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

use regex_lite::Regex;
use sip_relay::{
    config::LogConfig,
    logging::{self, Pii},
};
use tracing::{Level, debug, error, field, info, info_span, trace, warn};

const LINE: &str = r"^\[(INFO|DEBUG|WARNING|ERROR)\] - \d\d-\d\d-\d\d \d\d:\d\d:\d\d - .* - .+:\d+$";

#[test]
fn every_line_has_the_form_of_the_log() {
    let lines = logged(Level::TRACE, true, || {
        error!("a");
        warn!("b");
        info!("c");
        debug!("d");
        trace!("e");
        info!("first\nsecond\r\n[ERROR] - forged");
        info!("");
        info!(only = "a field");
    });
    let form = Regex::new(LINE).unwrap();
    assert!(lines.iter().all(|line| form.is_match(line)), "{lines:?}");
    let starts: Vec<_> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(
        starts,
        ["[ERROR]", "[WARNING]", "[INFO]", "[DEBUG]", "[DEBUG]", "[INFO]", "[INFO]", "[INFO]"]
    );
    assert_eq!(message(&lines[5]), r"first\nsecond\r\n[ERROR] - forged");
    assert_eq!(message(&lines[7]), " only=a field");
}

#[test]
fn line_ends_with_file_and_line_of_the_event() {
    let mut at = 0;
    let lines = logged(Level::INFO, true, || {
        at = line!() + 1;
        info!("here");
    });
    assert!(lines[0].ends_with(&format!(" - here - logging.rs:{at}")), "{lines:?}");
}

#[test]
fn level_filters_what_is_less_important() {
    let counts = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE].map(|level| {
        let lines = logged(level, true, || {
            error!("");
            warn!("");
            info!("");
            debug!("");
            trace!("");
        });
        lines.len()
    });
    assert_eq!(counts, [1, 2, 3, 4, 5]);
}

#[test]
fn flood_of_one_kind_of_line_is_cut_and_other_lines_are_not() {
    let lines = logged(Level::INFO, true, || {
        for n in 0..5000 {
            info!(n, "bad command");
        }
        info!("another matter");
    });
    assert!((1000..2000).contains(&lines.len()), "{} lines", lines.len());
    assert_eq!(message(&lines[0]), "bad command n=0");
    assert_eq!(message(&lines[lines.len() - 1]), "another matter");
}

#[test]
fn fields_follow_the_message_those_of_spans_first() {
    let lines = logged(Level::INFO, true, || {
        let call = info_span!("call", call_id = "a@b", status = field::Empty);
        let _outer = call.enter();
        let _inner = info_span!("leg", leg = 1).entered();
        call.record("status", 200);
        info!(peer = %SocketAddr::from(([127, 0, 0, 1], 5060)), late = 2, who = ?"x\ny", "up");
    });
    let expected =
        r#"up call_id=a@b status=200 leg=1 peer=127.0.0.1:5060 late=2 who="x\\ny""#.replace(r"\\", r"\");
    assert_eq!(message(&lines[0]), expected);
}

#[test]
fn personal_data_never_reaches_a_line_above_trace() {
    let (number, uri) = ("0912341234", "sip:0912341234@10.9.8.7".to_owned());
    let lines = logged(Level::TRACE, true, || {
        let _span = info_span!("call", from = %Pii(number), to = ?Pii(&uri)).entered();
        error!(phone = %Pii(number), "{}", Pii(&uri));
        warn!(phone = ?Pii(number), "{}", Pii(&uri));
        info!(phone = ?Some(Pii(number)), "{:?}", Pii(&uri));
        debug!(phone = %format!("{}", Pii(number)), "{}", Pii(&uri));
    });
    assert_eq!(lines.len(), 4);
    for line in lines {
        assert!(!line.contains("091234") && !line.contains("10.9.8.7"), "{line}");
        assert!(line.contains("********34") && line.contains("sip:********34***"), "{line}");
    }
}

#[test]
fn personal_data_is_shown_at_trace_but_not_from_a_span() {
    let lines = logged(Level::TRACE, true, || {
        let _span = info_span!("call", from = %Pii("0912341234")).entered();
        trace!(phone = %Pii("0912341234"), "packet");
        info!(phone = %Pii("0912341234"), "after it");
    });
    assert_eq!(message(&lines[0]), "packet from=********34 phone=0912341234");
    assert_eq!(message(&lines[1]), "after it from=********34 phone=********34");
}

#[test]
fn personal_data_is_shown_when_masking_is_off() {
    let lines = logged(Level::INFO, false, || {
        let _span = info_span!("call", from = %Pii("0912341234")).entered();
        info!(to = %Pii("sip:0912341234@10.9.8.7"), "up");
    });
    assert_eq!(message(&lines[0]), "up from=0912341234 to=sip:0912341234@10.9.8.7");
}

#[test]
fn standard_output_and_the_file_get_the_same_lines_and_the_file_is_appended_to() {
    let file = child_log();
    fs::write(&file, "[INFO] - 26-01-01 00:00:00 - before - main.rs:1\n").unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child_process_logs", "--nocapture"])
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    let stdout = String::from_utf8(child.stdout).unwrap();
    let on_stdout: Vec<_> = stdout.lines().filter(|line| line.starts_with('[')).collect();
    let text = fs::read_to_string(&file).unwrap();
    let in_file: Vec<_> = text.lines().collect();

    assert_eq!(in_file[0], "[INFO] - 26-01-01 00:00:00 - before - main.rs:1");
    assert_eq!(in_file[1..], on_stdout);
    assert_eq!(on_stdout.iter().map(|line| message(line)).collect::<Vec<_>>(), ["one n=1", "two n=2"]);
    fs::remove_file(file).unwrap();
}

#[test]
#[ignore = "started by the test above as a process of its own"]
fn child_process_logs() {
    let config = LogConfig { level: Level::INFO, file: child_log(), mask: true };
    let guard = logging::init(&config).unwrap();
    info!(n = 1, "one");
    debug!("filtered");
    warn!(n = 2, "two");
    assert!(matches!(logging::init(&config), Err(logging::LogError::AlreadySet)));
    drop(guard);
}

#[test]
fn log_file_that_cannot_be_opened_is_named() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no such folder/a.log");
    let error = logging::init(&LogConfig { level: Level::INFO, file, mask: true }).err().unwrap().to_string();
    assert!(
        error.starts_with("SIP_LOG_FILE=") && error.contains("no such folder/a.log: cannot be opened"),
        "{error}"
    );
}

/// The lines that `events` logs.
fn logged(level: Level, mask: bool, events: impl FnOnce()) -> Vec<String> {
    let sink = Sink::default();
    let (subscriber, guard) = logging::subscriber(level, mask, vec![Box::new(sink.clone())]).unwrap();
    tracing::subscriber::with_default(subscriber, events);
    drop(guard);
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    text.lines().map(str::to_owned).collect()
}

/// The MESSAGE part of a line.
fn message(line: &str) -> &str {
    let (head, _place) = line.rsplit_once(" - ").unwrap();
    head.splitn(3, " - ").nth(2).unwrap()
}

fn child_log() -> std::path::PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("logging-child.log")
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
