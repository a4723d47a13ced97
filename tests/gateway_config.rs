//! The gateway's configuration: the table of numbers, the YAML file, the program sip-voice-server, and /health.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::http::{find, get, metrics};
use common::relay::Relay;
use common::temp::TempDir;
use common::voice_server::VoiceServer;
use common::{WAIT, eventually};
use serde_json::{Value, json};
use sip_relay::gateway::{DidRouter, DidWatch, SipConfig, SipTransportError, Variables};

/// The example of the document, with an extra key.
const NUMBERS: &str = r#"dids:
  "+15125551234":                           # E.164 phone number
    user_id: david                          # Unique user identifier
    display_name: "David's Mac"             # Human-readable name
    llm_model: "llama3.2:7b"               # Ollama model name
    system_prompt: "You are a helpful..."   # System prompt for LLM
    tts_voice: "en-us-ryan-medium"          # Piper TTS voice
    language: en

  "+15125555678":
    user_id: alice
    display_name: "Alice's Mac"
    llm_model: "llama3.2:7b"
    system_prompt: "You are Alice's assistant."
"#;

const SERVER: &str = r#"provider: telnyx                             # Default provider
server_host: "127.0.0.1"
server_port: 9999
public_ws_url: "wss://voice.example.com/sip/media-stream"
log_level: WARNING
provider_config:
  telnyx:
    api_key: "${TELNYX_API_KEY}"
    app_id: "your-app-id"
  twilio:
    account_sid: "${TWILIO_ACCOUNT_SID}"
    auth_token: "literal"
"#;

fn router(dir: &TempDir, yaml: &str) -> DidRouter {
    DidRouter::open(dir.write("sip_config.yaml", yaml)).unwrap()
}

fn variables(values: &'static [(&str, &str)]) -> Variables {
    Variables::new(|name| values.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned()))
}

/// A-62
#[test]
fn number_is_found_however_it_is_written() {
    let dir = TempDir::new("dids");
    let router = router(&dir, NUMBERS);
    for number in ["+1 (512) 555-1234", "15125551234", "+15125551234"] {
        let did = router.lookup(number).unwrap_or_else(|| panic!("{number}"));
        assert_eq!((did.did.as_str(), did.user_id.as_str()), ("+15125551234", "david"));
        assert_eq!((did.display_name.as_str(), did.llm_model.as_str()), ("David's Mac", "llama3.2:7b"));
        assert_eq!(did.system_prompt, "You are a helpful...");
        assert_eq!(did.extra.keys().collect::<Vec<_>>(), ["language"]);
        assert_eq!(did.extra["language"].as_text(), Some("en"));
    }
    assert_eq!(router.lookup("+15125550000"), None);
    assert_eq!(router.lookup(""), None);
    let error = router.lookup_or_raise("+1 (512) 555-0000").unwrap_err();
    assert_eq!(error, SipTransportError::DidNotFound { did: "+1 (512) 555-0000".to_owned() });
    assert_eq!(router.lookup_or_raise("15125555678").unwrap().tts_voice, "en-us-ryan-medium");
    assert_eq!(router.dids(), ["+15125551234", "+15125555678"]);
}

/// A-63
#[test]
fn broken_file_leaves_the_table_as_it_is_and_a_mended_one_counts() {
    let dir = TempDir::new("dids");
    let router = router(&dir, NUMBERS);
    for (broken, line) in [
        ("dids:\n  \"+1\":\n    a: 1\n    a: 2\n", "line 4: "),
        ("dids: [1]\n", "line 1: "),
        ("dids:\n  100: {llm_model: [x]}\n", "line 2: "),
        ("dids: {100: {}\n", "line 1: "),
    ] {
        let file = dir.write("sip_config.yaml", broken);
        let error = router.reload().unwrap_err();
        let SipTransportError::DidConfig(text) = &error else { panic!("{error}") };
        assert!(text.starts_with(&format!("{}: {line}", file.display())), "{text}");
        assert_eq!(router.dids(), ["+15125551234", "+15125555678"], "{broken:?}");
        assert_eq!(router.lookup("+15125551234").unwrap().user_id, "david");
    }
    std::fs::remove_file(router.path()).unwrap();
    assert!(matches!(router.reload(), Err(SipTransportError::DidConfig(_))));
    assert_eq!(router.dids().len(), 2, "a file that is being replaced is not there for a moment");

    let held = router.lookup("+15125551234").unwrap();
    dir.write("sip_config.yaml", "dids:\n  +15125551234: {user_id: eve}\n");
    router.clone().reload().unwrap();
    assert_eq!(router.lookup("+15125551234").unwrap().user_id, "eve");
    assert_eq!(router.dids(), ["+15125551234"]);
    assert_eq!(held.user_id, "david", "a call that has begun keeps what it has");
    assert!(matches!(
        DidRouter::open(dir.write("broken.yaml", "dids: 5")),
        Err(SipTransportError::DidConfig(_))
    ));
}

/// A-64
#[test]
fn variables_of_the_file_are_expanded_or_stay_and_a_missing_file_is_none() {
    let dir = TempDir::new("dids");
    let file =
        dir.write("v.yaml", "dids:\n  ${DID}:\n    user_id: ${WHO}\n    display_name: a ${NOBODY} b\n");
    let router =
        DidRouter::open_with(&file, variables(&[("DID", "+1 512"), ("WHO", "x: y # z")]), None).unwrap();
    let did = router.lookup("1512").unwrap();
    assert_eq!((did.user_id.as_str(), did.display_name.as_str()), ("x: y # z", "a ${NOBODY} b"));

    let router =
        DidRouter::open_with("~/.vibecode/sip_config.yaml", variables(&[("HOME", "/nowhere")]), None)
            .unwrap();
    assert_eq!(router.dids(), [""; 0]);
    assert_eq!(router.path().to_str(), Some("/nowhere/.vibecode/sip_config.yaml"));

    let config = SipConfig::from_yaml(dir.path().join("none.yaml")).unwrap();
    assert_eq!((config.provider.as_str(), config.server_port), ("telnyx", 8000));
    assert_eq!(
        (config.server_host.to_string().as_str(), config.public_ws_url.as_deref()),
        ("127.0.0.1", None)
    );
    let config = SipConfig::from_yaml(dir.write("server.yaml", SERVER)).unwrap();
    assert_eq!(config.server_port, 9999);
    let telnyx = &config.provider_config.telnyx;
    assert_eq!(telnyx.api_key.as_ref().unwrap().expose(), "${TELNYX_API_KEY}", "not set");
    assert_eq!(telnyx.app_id.as_deref(), Some("your-app-id"));
    assert_eq!(config.provider_config.twilio.auth_token.as_ref().unwrap().expose(), "literal");
    assert!(!format!("{config:?}").contains("literal"), "{config:?}");
    let wrong = dir.write("wrong.yaml", "server_port: many\nlog_level: loud\npublic_ws_url: http://x\n");
    let error = SipConfig::from_yaml(wrong).unwrap_err().to_string();
    for part in
        ["SIP_SERVER_PORT=many (GATEWAY_CONFIG, line 1)", "LOG_LEVEL=loud (GATEWAY_CONFIG, line 2)", "line 3"]
    {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn many_readers_see_one_table_or_the_other_while_it_is_replaced() {
    let dir = TempDir::new("dids");
    let router = router(&dir, "dids: {1: {user_id: a}, 2: {user_id: a}}");
    let reader = |router: DidRouter| {
        move || {
            for _ in 0..20_000 {
                let table = router.table();
                let users: Vec<_> = table.iter().map(|did| did.user_id.clone()).collect();
                assert!(users == ["a", "a"] || users == ["b", "b"], "{users:?}");
            }
        }
    };
    let readers: Vec<_> = (0..4).map(|_| std::thread::spawn(reader(router.clone()))).collect();
    for n in 0..50 {
        let user = if n % 2 == 0 { "b" } else { "a" };
        dir.write("sip_config.yaml", format!("dids: {{1: {{user_id: {user}}}, 2: {{user_id: {user}}}}}"));
        router.reload().unwrap();
    }
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

#[test]
fn changed_file_is_read_again_by_itself_once() {
    let dir = TempDir::new("dids");
    let router = router(&dir, "dids: {1: {}}");
    let counts: Arc<[AtomicUsize; 2]> = Arc::default();
    let counted = counts.clone();
    let watch = DidWatch::start(router.clone(), Duration::from_millis(20), move |done| {
        counted[usize::from(done)].fetch_add(1, Ordering::Relaxed);
    });
    let watch = watch.unwrap();
    let count = || [counts[0].load(Ordering::Relaxed), counts[1].load(Ordering::Relaxed)];

    dir.write("sip_config.yaml", "dids: {1: {}, 2: {}}");
    assert!(eventually(WAIT, || router.dids().len() == 2));
    dir.write("sip_config.yaml", "dids: {");
    assert!(eventually(WAIT, || count()[0] == 1));
    assert_eq!(router.dids().len(), 2);
    let before = count();
    std::thread::sleep(Duration::from_millis(100)); // five further looks at the same broken file
    assert_eq!(count(), before, "it is not read until it changes");
    watch.reload();
    assert!(eventually(WAIT, || count()[0] == 2), "unless somebody wants it");
    dir.write("sip_config.yaml", "dids: {1: {}, 2: {}, 3: {}}");
    assert!(eventually(WAIT, || router.dids().len() == 3));

    drop(watch);
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name.trim() == "did-watch").count()
    };
    assert!(eventually(WAIT, || threads() == 0), "its thread ends");
}

/// A-65
#[test]
fn server_port_is_the_files_unless_a_flag_says_otherwise() {
    // Any free port; the test would disturb others with the documented one.
    let free = || TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let start = |arguments: &[&str], settings: &[(&str, &str)], file_port: u16| {
        let dir = TempDir::new("voice-server");
        dir.write(".vibecode/sip_config.yaml", format!("{NUMBERS}server_port: {file_port}\n"));
        let server = VoiceServer::launch(dir, arguments, settings);
        let address = server.address();
        (server, address)
    };
    let (file, flag, variable) = (free(), free(), free());
    let (server, address) = start(&[], &[], file);
    assert_eq!(address.to_string(), format!("127.0.0.1:{file}"));
    server.expect_log(&format!("ws://127.0.0.1:{file}/sip/media-stream"));
    let (_server, address) = start(&["--port", &flag.to_string()], &[("SIP_SERVER_PORT", "1")], file);
    assert_eq!(address.port(), flag);
    let (_server, address) = start(&[], &[("SIP_SERVER_PORT", &variable.to_string())], file);
    assert_eq!(address.port(), variable);

    let (status, body) = get(address, "/health");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(body["status"], "ok");
    assert_eq!(body["dids"], json!(["+15125551234", "+15125555678"]));
    assert!(body["ollama"].is_boolean(), "{body}");
    assert_eq!(body.as_object().unwrap().len(), 3, "{body}");
}

/// A-65
#[test]
fn help_shows_the_documented_options_and_no_other() {
    let output = Command::new(env!("CARGO_BIN_EXE_sip-voice-server")).arg("--help").output().unwrap();
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    let options: Vec<&str> = help.lines().map(str::trim).filter(|line| line.starts_with('-')).collect();
    let names: Vec<String> = options
        .iter()
        .map(|line| line.split("  ").next().unwrap().split(" <").next().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        ["-c, --config", "-p, --port", "--host", "--ws-url", "--log-level", "-h, --help"],
        "{help}"
    );
    for part in [
        "[default: ~/.vibecode/sip_config.yaml]",
        "[default: 8000]",
        "[default: 127.0.0.1]",
        "auto-generated if not set",
        "DEBUG, INFO, WARNING, ERROR [default: INFO]",
    ] {
        assert!(help.contains(part), "{part}:\n{help}");
    }
}

#[test]
fn flags_win_over_the_file_in_everything() {
    let dir = TempDir::new("voice-server");
    let file = dir.write("my.yaml", format!("{SERVER}{NUMBERS}"));
    let file = file.to_str().unwrap();
    let arguments = [
        "-c",
        file,
        "-p",
        "0",
        "--host",
        "localhost",
        "--ws-url",
        "wss://a.example/sip/media-stream",
        "--log-level",
        "debug",
    ];
    let server = VoiceServer::launch(dir, &arguments, &[]);
    assert_ne!(server.address().port(), 9999);
    server.expect_log("url=wss://a.example/sip/media-stream");
    // A secret that is not set is warned of by its name.
    server.expect_log("line 8: provider_config.telnyx.api_key names ${TELNYX_API_KEY}, which is not set");
    assert!(server.log().iter().all(|line| !line.contains("literal")), "{:#?}", server.log());
}

#[test]
fn all_that_is_wrong_is_said_at_once_and_nothing_starts() {
    let dir = TempDir::new("voice-server");
    let file = dir.write(
        "my.yaml",
        "server_port: lots\nsip: 1\ndids:\n  100: 5\n  200: {tts_voice: [a]}\nprovider: vonage\n",
    );
    let file = file.to_str().unwrap();
    let mut server =
        VoiceServer::launch(dir, &["-c", file, "--log-level", "loud"], &[("TELNYX_PUBLIC_KEY", "AAAA")]);
    assert_eq!(server.wait_exit().code(), Some(1));
    for part in [
        &format!("GATEWAY_CONFIG={file}: line 4: dids.100: expected names with values, found text"),
        &format!("GATEWAY_CONFIG={file}: line 5: dids.200.tts_voice: expected text, found a list"),
        "SIP_SERVER_PORT=lots (GATEWAY_CONFIG, line 1): expected a port",
        "GATEWAY_PROVIDER=vonage (GATEWAY_CONFIG, line 6): expected telnyx or twilio",
        "LOG_LEVEL=loud (command line): expected ERROR",
        "TELNYX_PUBLIC_KEY=AAAA (environment): expected the public key",
    ] {
        server.expect_log(part);
    }
    let mut server = VoiceServer::launch(TempDir::new("voice-server"), &["--prot", "1"], &[]);
    assert_eq!(server.wait_exit().code(), Some(2));
}

/// A-66
#[test]
fn port_of_somebody_else_is_left_to_him() {
    let first = VoiceServer::launch(TempDir::new("voice-server"), &["--port", "0"], &[]);
    let address = first.address();
    let port = address.port().to_string();
    let mut second = VoiceServer::launch(TempDir::new("voice-server"), &["--port", &port], &[]);
    assert!(!second.wait_exit().success());
    let line = second.expect_log(&format!("cannot listen on 127.0.0.1:{port} (--host, --port): "));
    assert_eq!(line.matches("in use").count(), 1, "{line}");
    let mut first = first;
    assert!(first.is_running());
    assert_eq!(get(address, "/health").0, 200);
    first.signal("TERM");
    assert!(first.wait_exit().success());
}

#[test]
fn server_reads_its_numbers_again_on_a_hangup_and_when_they_change() {
    let dir = TempDir::new("voice-server");
    dir.write(".vibecode/sip_config.yaml", "dids: {1: {}}");
    let server = VoiceServer::launch(dir, &["--port", "0"], &[]);
    let address = server.address();
    let dids = || serde_json::from_str::<Value>(&get(address, "/health").1).unwrap()["dids"].clone();
    assert_eq!(dids(), json!(["+1"]));
    server.signal("HUP");
    server.expect_log("numbers reloaded dids=1");
    server.dir().write(".vibecode/sip_config.yaml", "dids: {1: {}, 2: {}}");
    assert!(eventually(WAIT, || dids() == json!(["+1", "+2"])));
    server.dir().write(".vibecode/sip_config.yaml", "dids: {3:");
    server.expect_log("the numbers stay as they were");
    assert_eq!(dids(), json!(["+1", "+2"]));
}

#[test]
fn relay_with_the_gateway_shows_its_numbers_and_counts_its_reloads() {
    let dir = TempDir::new("relay");
    let file = dir.write("dids.yaml", format!("{NUMBERS}{SERVER}"));
    let settings = [("GATEWAY_ENABLE", "1"), ("GATEWAY_CONFIG", "dids.yaml"), ("LOG_LEVEL", "INFO")];
    let relay = Relay::start_in(dir, &settings);
    let body: Value = serde_json::from_str(&get(relay.ws(), "/health").1).unwrap();
    assert_eq!((&body["status"], &body["dids"][0]), (&json!("ok"), &json!("+15125551234")));
    assert!(body["ollama"].is_boolean() && body["uptime_seconds"].is_number(), "{body}");
    relay.expect_log("url=wss://voice.example.com/sip/media-stream");

    let reloads = |outcome: &str| {
        find(&metrics(relay.ws()), &format!("sip_relay_did_reloads_total{{outcome=\"{outcome}\"}}"))
    };
    assert_eq!((reloads("ok"), reloads("failed")), (Some(0.0), Some(0.0)));
    relay.signal("HUP");
    assert!(eventually(WAIT, || reloads("ok") == Some(1.0)));
    std::fs::write(file, "dids: 1").unwrap();
    assert!(eventually(WAIT, || reloads("failed") == Some(1.0)));
    relay.expect_log("the numbers stay as they were");
}

#[test]
fn relay_without_the_gateway_never_looks_at_its_file() {
    let dir = TempDir::new("relay");
    dir.write("dids.yaml", "dids: [broken");
    let relay = Relay::start_in(dir, &[("GATEWAY_CONFIG", "dids.yaml")]);
    let body: Value = serde_json::from_str(&get(relay.ws(), "/health").1).unwrap();
    assert_eq!(body.as_object().unwrap().len(), 3, "{body}");
}
