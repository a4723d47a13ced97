//! What the relay makes of its settings: values, precedence, problems and warnings. The process environment is not touched.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    net::{Ipv4Addr, Ipv6Addr, UdpSocket},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use model::{
    audio::Codec,
    mode::{AgentCodec, Mode},
};
use sip_relay::call_center::realtime::{self, Eagerness, NoiseReduction, TurnDetection};
use sip_relay::config::{
    AgentKind, AnswerMode, Config, ConversationMode, GatewayHandler, LoadError, Loaded, LoadedCallCenter,
    LostAction, SETTINGS,
};
use sip_relay::gateway::{L16Endian, TelnyxCodec};

/// Name, a value that is not the default, what else must be set for it, and whether a configuration has taken it.
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)], fn(&Config) -> bool);

const CASES: &[Case] = &[
    ("OPENAI_API_KEY", "sk-1", &[], |c| c.openai_api_key.as_ref().is_some_and(|key| key.expose() == "sk-1")),
    ("STRICT_CONFIG", "1", &[("OPENAI_API_KEY", "sk-1")], |c| c.strict),
    ("SIP_LOCAL_IP", "0.0.0.0", &[("SIP_ADVERTISED_IP", "127.0.0.1")], |c| {
        c.sip.local.ip() == Ipv4Addr::UNSPECIFIED && c.sip.advertised_ip == Ipv4Addr::LOCALHOST
    }),
    ("SIP_LOCAL_PORT", "0", &[], |c| c.sip.local.port() == 0),
    ("SIP_SERVER_IP", "127.0.0.1", &[], |c| {
        c.sip.server_addr().map(|a| a.to_string()).as_deref() == Some("127.0.0.1:5060")
    }),
    ("SIP_TRANSFER_PORT", "5070", &[("SIP_SERVER_IP", "127.0.0.1")], |c| {
        c.sip.server_addr().map(|a| a.to_string()).as_deref() == Some("127.0.0.1:5070")
    }),
    ("SIP_ADVERTISED_IP", "192.0.2.7", &[], |c| c.sip.advertised_ip == Ipv4Addr::new(192, 0, 2, 7)),
    ("SIP_USERNAME", "1001", &[], |c| c.sip.username.as_deref() == Some("1001")),
    ("SIP_PASSWORD", " pw ", &[("SIP_USERNAME", "1001")], |c| {
        c.sip.password.as_ref().is_some_and(|password| password.expose() == " pw ")
    }),
    ("WS_HOST", "0.0.0.0", &[("WS_TOKEN", "t")], |c| c.ws.listen.ip() == Ipv4Addr::UNSPECIFIED),
    ("WS_PORT", "0", &[], |c| c.ws.listen.port() == 0),
    ("WS_MODE", "multi", &[], |c| c.ws.mode == Mode::Multi),
    ("WS_TOKEN", "t", &[], |c| c.ws.token.as_ref().is_some_and(|token| token.matches("t"))),
    ("WS_ALLOW_ANONYMOUS", "1", &[], |c| c.ws.allow_anonymous),
    ("WS_MAX_CONNECTIONS", "2", &[], |c| c.ws.max_connections == 2),
    ("WS_MAX_MESSAGE_BYTES", "65536", &[], |c| c.ws.max_message_bytes == 65_536),
    ("WS_SEND_QUEUE_MAX", "10", &[], |c| c.ws.send_queue_max == 10),
    ("WS_RECV_QUEUE_MAX", "11", &[], |c| c.ws.recv_queue_max == 11),
    ("SIP_REGISTER", "1", &[("SIP_SERVER_IP", "127.0.0.1"), ("SIP_USERNAME", "1001")], |c| c.sip.register),
    ("SIP_AUTH_USERS", "1001:pw", &[], |c| {
        c.sip.auth_users.first().is_some_and(|user| user.name == "1001" && user.password.expose() == "pw")
    }),
    ("SIP_AUTH_ALGORITHMS", "MD5", &[], |c| c.sip.auth_algorithms == [sip::auth::Algorithm::Md5]),
    ("SIP_AUTH_REALM", "example.com", &[], |c| c.sip.auth_realm == "example.com"),
    ("SIP_ALLOWED_PEERS", "10.0.0.0/8, 192.0.2.1", &[], |c| c.sip.allowed_peers.len() == 2),
    ("SIP_SESSION_EXPIRES", "90", &[], |c| c.sip.session_expires == Some(Duration::from_secs(90))),
    ("TLS_CERT", "a.pem", &[("TLS_KEY", "b.pem")], |c| {
        c.ws.tls.as_ref().is_some_and(|tls| tls.cert.ends_with("a.pem"))
    }),
    ("TLS_KEY", "b.pem", &[("TLS_CERT", "a.pem")], |c| {
        c.ws.tls.as_ref().is_some_and(|tls| tls.key.ends_with("b.pem"))
    }),
    ("DTMF_INBAND", "auto", &[], |c| c.rtp.inband_dtmf == sip_relay::config::InbandDtmf::Auto),
    ("SPEECH_DETECTION", "0", &[], |c| !c.rtp.speech_detection),
    ("RECORDING_CHANNELS", "2", &[], |c| c.files.stereo_recordings),
    ("CALL_ALLOWED_PREFIXES", "+886,09", &[], |c| c.relay.allowed_prefixes == ["+886", "09"]),
    ("CALL_RATE_LIMIT", "5", &[], |c| c.relay.call_rate == Some(5)),
    ("WS_RESUME_SECONDS", "2.5", &[], |c| c.ws.resume_window == Duration::from_millis(2500)),
    ("WS_LOST_ACTION", "play:sorry.wav", &[], |c| {
        c.ws.lost_action == LostAction::Play("sorry.wav".to_owned())
    }),
    ("RTP_PORT_START", "30000", &[], |c| (c.rtp.port_start, c.rtp.port_end) == (30_000, 31_010)),
    ("RTP_PORT_END", "32000", &[], |c| (c.rtp.port_start, c.rtp.port_end) == (31_000, 32_000)),
    ("RTP_SEND_QUEUE_MAX", "500", &[], |c| c.rtp.send_queue_max == Some(500)),
    ("RTP_RECV_QUEUE_MAX", "50", &[], |c| c.rtp.recv_queue_max == 50),
    ("RTP_SILENCE_FILL", "0", &[], |c| !c.rtp.silence_fill),
    ("RTP_SYMMETRIC", "0", &[], |c| !c.rtp.symmetric),
    ("RTP_INACTIVITY_TIMEOUT", "2.5", &[], |c| c.rtp.inactivity_timeout == Duration::from_millis(2500)),
    ("RTP_ESTABLISHMENT_TIMEOUT", "5", &[], |c| c.rtp.establishment_timeout == Duration::from_secs(5)),
    ("RELAY_CODECS", "9,PCMA", &[], |c| c.relay.codecs == [Codec::G722, Codec::Pcma]),
    ("RELAY_ANSWER_MODE", "client", &[], |c| c.relay.answer_mode == AnswerMode::Client),
    ("RELAY_RING_TIMEOUT", "3", &[], |c| c.relay.ring_timeout == Duration::from_secs(3)),
    ("RELAY_INVITE_TIMEOUT", "4", &[], |c| c.relay.invite_timeout == Duration::from_secs(4)),
    ("CALL_NUMBER_PATTERN", "[0-9]{4}", &[], |c| {
        c.relay.number_pattern.matches("1234") && !c.relay.number_pattern.matches("0912341234")
    }),
    ("MAX_CALLS", "2", &[], |c| c.relay.max_calls == Some(2)),
    ("MAX_CALL_DURATION", "0", &[], |c| c.relay.max_call_duration.is_none()),
    ("RECORDING_DIR", "/srv/rec", &[], |c| c.files.recording_dir == Path::new("/srv/rec")),
    ("MAX_RECORDING_AGE_DAYS", "1", &[], |c| c.files.max_recording_age == Some(Duration::from_secs(86_400))),
    ("OUTPUT_DIR", "/srv/out", &[], |c| {
        c.files.output_dir == Path::new("/srv/out")
            && c.files.greeting == Path::new("/srv/out/transcode/greeting.wav")
    }),
    ("GREETING_FILE", "/srv/hi.wav", &[], |c| c.files.greeting == Path::new("/srv/hi.wav")),
    ("AGENT_STREAM_URL", "wss://bot.example/ws?a=b", &[], |c| {
        c.agent_stream.url.as_ref().is_some_and(|url| url.as_str() == "wss://bot.example/ws?a=b")
    }),
    ("AGENT_STREAM_PARAMETERS", "tenant=7", &[], |c| {
        c.agent_stream
            .parameters
            .first()
            .is_some_and(|(name, value)| name == "tenant" && value.expose() == "7")
    }),
    ("AGENT_STREAM_ALLOW_PLAIN", "1", &[], |c| c.agent_stream.allow_plain),
    ("AGENT_STREAM_CA", "/srv/ca.pem", &[], |c| {
        c.agent_stream.authorities.as_deref() == Some(Path::new("/srv/ca.pem"))
    }),
    ("GATEWAY_ENABLE", "1", &[("GATEWAY_CONFIG", "/srv/none.yaml")], |c| c.gateway.enabled),
    ("GATEWAY_HANDLER", "relay", &[], |c| c.gateway.handler == GatewayHandler::Relay),
    ("GATEWAY_CONFIG", "/srv/dids.yaml", &[], |c| c.gateway.config == Path::new("/srv/dids.yaml")),
    ("GATEWAY_MAX_STREAMS", "7", &[], |c| c.gateway.max_streams == 7),
    ("GATEWAY_STREAM_TOKEN", "1", &[], |c| c.gateway.stream_token == Some(true)),
    ("GATEWAY_HOST", "0.0.0.0", &[], |c| c.gateway.sip.server_host == Ipv4Addr::UNSPECIFIED),
    ("SIP_SERVER_PORT", "9999", &[], |c| c.gateway.sip.server_port == 9999),
    ("SIP_PUBLIC_WS_URL", "wss://voice.example.com/sip/media-stream", &[], |c| {
        c.gateway.sip.public_ws_url.as_deref() == Some("wss://voice.example.com/sip/media-stream")
    }),
    ("GATEWAY_PROVIDER", "twilio", &[], |c| c.gateway.sip.provider == "twilio"),
    ("TELNYX_API_KEY", "KEY1", &[], |c| {
        c.gateway.sip.provider_config.telnyx.api_key.as_ref().is_some_and(|key| key.expose() == "KEY1")
    }),
    ("TELNYX_PUBLIC_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", &[], |c| {
        c.gateway.sip.provider_config.telnyx.public_key.is_some_and(|key| key[..3] == [0, 1, 2])
    }),
    ("TELNYX_APP_ID", "0123", &[], |c| {
        c.gateway.sip.provider_config.telnyx.app_id.as_deref() == Some("0123")
    }),
    ("TELNYX_L16_ENDIAN", "big", &[], |c| c.gateway.sip.provider_config.telnyx.l16_endian == L16Endian::Big),
    ("TELNYX_CODEC", "PCMA", &[], |c| c.gateway.sip.provider_config.telnyx.codec == TelnyxCodec::Pcma),
    ("TWILIO_ACCOUNT_SID", "AC1", &[], |c| {
        c.gateway.sip.provider_config.twilio.account_sid.as_deref() == Some("AC1")
    }),
    ("TWILIO_AUTH_TOKEN", "t", &[], |c| {
        c.gateway.sip.provider_config.twilio.auth_token.as_ref().is_some_and(|token| token.expose() == "t")
    }),
    ("WS_URL", "wss://relay.example:8443/", &[], |c| c.call_center.ws_url == "wss://relay.example:8443"),
    ("OPENAI_API_BASE", "http://127.0.0.1:1/v1/", &[("OPENAI_BASE_URL", "http://127.0.0.1:2/v1")], |c| {
        c.call_center.services.stt == "http://127.0.0.1:1/v1"
    }),
    ("OPENAI_BASE_URL", "http://127.0.0.1:2/v1", &[], |c| {
        c.call_center.services.tts == "http://127.0.0.1:2/v1"
    }),
    ("OPENAI_STT_BASE_URL", "http://127.0.0.1:3", &[("OPENAI_API_BASE", "http://127.0.0.1:1")], |c| {
        (c.call_center.services.stt.as_str(), c.call_center.services.llm.as_str())
            == ("http://127.0.0.1:3", "http://127.0.0.1:1")
    }),
    ("OPENAI_LLM_BASE_URL", "http://127.0.0.1:3", &[], |c| {
        c.call_center.services.llm == "http://127.0.0.1:3"
    }),
    ("OPENAI_TTS_BASE_URL", "http://127.0.0.1:3", &[], |c| {
        c.call_center.services.tts == "http://127.0.0.1:3"
    }),
    ("OPENAI_REALTIME_URL", "wss://x.example/realtime?v=1", &[], |c| {
        c.call_center.realtime.address() == "wss://x.example/realtime?v=1&model=gpt-realtime"
    }),
    ("CALL_CENTER_MODE", "realtime", &[], |c| c.call_center.mode == ConversationMode::Realtime),
    ("CALL_CENTER_MODE", "buffer", &[], |c| c.call_center.mode == ConversationMode::Buffer),
    ("CALL_CENTER_TOOLS", "hang_up, transfer", &[], |c| c.call_center.tools == ["hang_up", "transfer"]),
    ("CALL_CENTER_END_OF_TURN_MS", "300", &[], |c| c.call_center.end_of_turn == Duration::from_millis(300)),
    ("CALL_CENTER_SILENCE_SECONDS", "0", &[], |c| c.call_center.silence.is_none()),
    ("CALL_CENTER_SILENCE_PROMPT", "hello?", &[], |c| {
        c.call_center.silence_prompt.as_deref() == Some("hello?")
    }),
    ("CALL_CENTER_FAREWELL", "bye", &[], |c| c.call_center.farewell.as_deref() == Some("bye")),
    ("CALL_CENTER_APOLOGY", "sorry", &[], |c| c.call_center.apology.as_deref() == Some("sorry")),
    ("CALL_CENTER_APOLOGY_FILE", "/srv/sorry.wav", &[], |c| {
        c.call_center.apology_file.as_deref() == Some(Path::new("/srv/sorry.wav"))
    }),
    ("CALL_CENTER_SERVICE_TIMEOUT", "2.5", &[], |c| {
        c.call_center.service_timeout == Duration::from_millis(2500)
    }),
    ("CALL_CENTER_METRICS_ADDR", "9100", &[], |c| {
        c.call_center.metrics.is_some_and(|address| address.to_string() == "127.0.0.1:9100")
    }),
    ("CALL_CENTER_BUFFER_SIZE", "50", &[], |c| c.call_center.buffer_size == 50),
    ("CALL_CENTER_LANGUAGE", "en", &[], |c| c.call_center.language == "en"),
    ("CALL_CENTER_SYSTEM_PROMPT", "be brief", &[], |c| c.call_center.system_prompt == "be brief"),
    ("CALL_CENTER_STT_MODEL", "s", &[], |c| c.call_center.stt_model == "s"),
    ("CALL_CENTER_LLM_MODEL", "l", &[], |c| c.call_center.llm_model == "l"),
    ("CALL_CENTER_TTS_MODEL", "t", &[], |c| c.call_center.tts_model == "t"),
    ("CALL_CENTER_TTS_VOICE", "nova", &[], |c| c.call_center.tts_voice == "nova"),
    ("CALL_CENTER_TTS_SPEED", "4", &[], |c| c.call_center.tts_speed == 4.0),
    ("CALL_CENTER_GREETING", "hello", &[], |c| c.call_center.greeting.as_deref() == Some("hello")),
    ("CALL_CENTER_DIDS", "/srv/dids.yaml", &[], |c| {
        c.call_center.dids.as_deref() == Some(Path::new("/srv/dids.yaml"))
    }),
    ("CALL_CENTER_VAD", "1", &[], |c| c.call_center.vad),
    ("CALL_CENTER_REALTIME_MODEL", "a b", &[("OPENAI_API_BASE", "http://127.0.0.1:1/v1")], |c| {
        c.call_center.realtime.address() == "ws://127.0.0.1:1/v1/realtime?model=a%20b"
    }),
    ("CALL_CENTER_REALTIME_VOICE", "cedar", &[], |c| c.call_center.realtime.voice == "cedar"),
    ("CALL_CENTER_REALTIME_TURN_DETECTION", "semantic_vad", &[], |c| {
        c.call_center.realtime.turn_detection == TurnDetection::Semantic(Eagerness::Auto)
    }),
    (
        "CALL_CENTER_REALTIME_EAGERNESS",
        "low",
        &[("CALL_CENTER_REALTIME_TURN_DETECTION", "semantic_vad")],
        |c| c.call_center.realtime.turn_detection == TurnDetection::Semantic(Eagerness::Low),
    ),
    ("CALL_CENTER_REALTIME_CODEC", "pcma", &[], |c| c.call_center.realtime.codec == AgentCodec::Pcma),
    ("CALL_CENTER_REALTIME_NOISE_REDUCTION", "near_field", &[], |c| {
        c.call_center.realtime.noise_reduction == Some(NoiseReduction::NearField)
    }),
    ("CALL_CENTER_REALTIME_GREETING", "Good day.", &[], |c| {
        c.call_center.realtime.greeting.as_deref() == Some("Good day.")
    }),
    ("CALL_CENTER_REALTIME_ROLL_OVER_MINUTES", "0.5", &[], |c| {
        c.call_center.realtime.roll_over == Duration::from_secs(30)
    }),
    ("CALL_CENTER_REALTIME_LOST_ACTION", "keep", &[], |c| {
        c.call_center.realtime.lost_action == realtime::LostAction::Keep
    }),
    ("CALL_CENTER_RECONNECT", "0", &[], |c| !c.call_center.reconnect),
    ("CALL_CENTER_LOG_FILE", "/srv/c.log", &[], |c| c.call_center.log_file == Path::new("/srv/c.log")),
    ("LOG_LEVEL", "warning", &[], |c| c.log.level == tracing::Level::WARN),
    ("SIP_LOG_FILE", "/srv/a.log", &[], |c| c.log.file == Path::new("/srv/a.log")),
    ("LOG_MASK", "0", &[], |c| !c.log.mask),
];

#[test]
fn each_setting_reaches_its_field() {
    for (name, value, others, taken) in CASES {
        // Of two settings that come together, the other one alone is an error.
        let without = Setup::new().env(others).load().is_ok_and(|loaded| taken(&loaded.config));
        assert!(!without, "{name}: the test's value is the default");
        let with = Setup::new().env(others).env(&[(name, value)]).load().unwrap().config;
        assert!(taken(&with), "{name}={value} gave {with:?}");
    }
    let listed: BTreeSet<_> = SETTINGS.iter().map(|s| s.name).collect();
    assert_eq!(CASES.iter().map(|case| case.0).collect::<BTreeSet<_>>(), listed);
}

#[test]
fn registration_needs_a_pbx_and_a_user_that_can_stand_in_a_uri() {
    let register = ("SIP_REGISTER", "1");
    let (pbx, user) = (("SIP_SERVER_IP", "127.0.0.1"), ("SIP_USERNAME", "1001"));
    assert_eq!(
        Setup::new().env(&[register, user]).errors(),
        "SIP_REGISTER=1 (environment): there is no PBX to register with; set SIP_SERVER_IP as well"
    );
    assert_eq!(
        Setup::new().env(&[register, pbx]).errors(),
        "SIP_REGISTER=1 (environment): a registration needs its user; set SIP_USERNAME (and SIP_PASSWORD) as well"
    );
    let errors = Setup::new().env(&[register, pbx, ("SIP_USERNAME", "a b@c")]).errors();
    assert!(errors.starts_with("SIP_USERNAME=a b@c (environment): expected a user"), "{errors}");
    assert!(Setup::new().env(&[register, pbx, user]).load().unwrap().config.sip.register);
}

#[test]
fn wrong_users_are_an_error_that_shows_no_password() {
    let errors = Setup::new().env(&[("SIP_AUTH_USERS", "1001:hunter2,1002")]).errors();
    assert_eq!(
        errors,
        "SIP_AUTH_USERS (environment): expected user:password with commas between: 1001:secret,1002:other"
    );
    let config = Setup::new().env(&[("SIP_AUTH_USERS", "1001:hunter2")]).load().unwrap().config;
    assert!(!format!("{config:?}").contains("hunter2"));
    let errors = Setup::new().env(&[("SIP_AUTH_REALM", "a\"b")]).errors();
    assert!(errors.contains("without quotes"), "{errors}");
}

#[test]
fn settings_that_are_not_set_have_the_documented_defaults() {
    let setup = Setup::new();
    let config = setup.load().unwrap().config;
    assert_eq!(config.sip.local.to_string(), "127.0.0.1:5062");
    assert_eq!((config.sip.server, config.sip.transfer_port), (None, 5060));
    assert_eq!(config.ws.listen.to_string(), "127.0.0.1:8080");
    assert_eq!((config.rtp.port_start, config.rtp.port_end), (31_000, 31_010));
    assert_eq!(config.files.recording_dir, setup.folder.join("recording"));
    assert_eq!(config.files.greeting, setup.folder.join("output/transcode/greeting.wav"));
    assert_eq!(config.log.file, setup.folder.join("sip_server.log"));
}

#[test]
fn configuration_for_tests_differs_from_the_defaults_in_ports_and_folders_only() {
    let mut expected = Setup::new().load().unwrap().config;
    let got = Config::for_tests();
    assert_eq!((got.sip.local.port(), got.ws.listen.port()), (0, 0));
    let folder = got.log.file.parent().unwrap().to_owned();
    assert_ne!(Config::for_tests().log.file, got.log.file);

    expected.sip.local.set_port(0);
    expected.ws.listen.set_port(0);
    (expected.rtp.port_start, expected.rtp.port_end) = (20_000, 29_999);
    expected.log.file = folder.join("sip_server.log");
    expected.call_center.log_file = folder.join("call_center.log");
    expected.call_center.ws_url = "ws://127.0.0.1:0".to_owned();
    expected.gateway.config = folder.join("sip_config.yaml");
    expected.files.recording_dir = folder.join("recording");
    expected.files.output_dir = folder.join("output");
    expected.files.greeting = folder.join("output/transcode/greeting.wav");
    assert_eq!(format!("{got:?}"), format!("{expected:?}"));
}

#[test]
fn flag_wins_over_set_over_environment_over_file_over_default() {
    let all = || Setup::new().env(&[("WS_PORT", "3")]).file("WS_PORT=4\n");
    let port = |setup: Setup| setup.load().unwrap().config.ws.listen.port();
    assert_eq!(port(all().args(&["--ws-port", "1", "--set", "WS_PORT=2"])), 1);
    assert_eq!(port(all().args(&["--set", "WS_PORT=9", "--set", "WS_PORT=2"])), 2);
    assert_eq!(port(all()), 3);
    assert_eq!(port(Setup::new().file("WS_PORT=4\n")), 4);
    assert_eq!(port(Setup::new()), 8080);
}

#[test]
fn empty_value_means_the_default_and_hides_lower_layers() {
    let config = Setup::new().env(&[("WS_PORT", " ")]).file("WS_PORT=4\n").load().unwrap().config;
    assert_eq!(config.ws.listen.port(), 8080);
}

#[test]
fn every_common_flag_sets_its_setting() {
    let args = [
        "--sip-local-ip=127.0.0.1",
        "--sip-local-port=1",
        "--sip-server-ip=127.0.0.1",
        "--ws-host=localhost",
        "--ws-port=2",
        "--log-level=debug",
    ];
    // Names are resolved, and this one may be an IPv6 address.
    let config = Setup::new().args(&args).load().unwrap().config;
    assert_eq!(config.sip.local.to_string(), "127.0.0.1:1");
    assert_eq!(config.sip.server_addr().unwrap().to_string(), "127.0.0.1:5060");
    assert!(config.ws.listen.ip().is_loopback());
    assert_eq!((config.ws.listen.port(), config.log.level), (2, tracing::Level::DEBUG));
}

#[test]
fn all_problems_are_reported_together_with_name_value_and_expectation() {
    let errors = Setup::new()
        .args(&["--ws-port", "99999", "--set", "WS_PROT=1", "--set", "nonsense"])
        .env(&[("SIP_LOCAL_IP", "localhost"), ("RELAY_CODECS", "0,18")])
        .file("LOG_LEVEL=loud\nRTP_INACTIVITY_TIMEOUT=0\nCALL_NUMBER_PATTERN='['\n")
        .errors();
    let expected = [
        "WS_PROT (command line): there is no setting of this name; did you mean WS_PORT?",
        "--set takes NAME=VALUE, for example --set LOG_LEVEL=DEBUG",
        "SIP_LOCAL_IP=localhost (environment): expected an IP address, not a name",
        "WS_PORT=99999 (command line): expected a port from 0 to 65535, 0 for any free port",
        "RTP_INACTIVITY_TIMEOUT=0 (.env file): expected seconds from 0.001 to 604800, for example 30 or 0.5",
        "RELAY_CODECS=0,18 (environment): expected payload types or names with commas between them: 0 (PCMU), \
         8 (PCMA), 9 (G722)",
        "CALL_NUMBER_PATTERN=[ (.env file): expected a regular expression: ",
        "LOG_LEVEL=loud (.env file): expected ERROR, WARNING, INFO, DEBUG or TRACE",
    ];
    let lines: Vec<_> = errors.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{errors}");
    for (line, start) in lines.iter().zip(expected) {
        assert!(line.starts_with(start), "{line}\n{start}");
    }
}

#[test]
fn secrets_are_never_shown() {
    let secrets =
        [("SIP_PASSWORD", "hunter2\u{7}"), ("WS_TOKEN", "hunter2\u{7}"), ("OPENAI_API_KEY", "hunter2\u{7}")];
    let errors = Setup::new().env(&secrets).errors();
    assert_eq!(errors.lines().count(), 3, "{errors}");
    assert!(errors.contains("WS_TOKEN (environment): expected text without control characters"), "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");

    let secrets = secrets.map(|(name, _)| (name, "hunter2"));
    let loaded = Setup::new().env(&secrets).env(&[("SIP_USERNAME", "u")]).load().unwrap();
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn unreadable_line_of_the_file_is_reported_by_number_only() {
    let setup = Setup::new().file("\u{feff}WS_PORT=4\n# a comment's apostrophe\nSIP_PASSWORD=hunter2 more\n");
    let errors = setup.errors();
    assert!(errors.contains(".env, line 3: expected NAME=value; put a value with blanks"), "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn byte_order_mark_and_blank_end_of_the_file_do_no_harm() {
    let config = Setup::new().file("\u{feff}WS_PORT=4\r\nWS_MODE=hex ").load().unwrap().config;
    assert_eq!((config.ws.listen.port(), config.ws.mode), (4, Mode::Hex));
}

#[test]
fn single_quotes_keep_a_value_as_it_is() {
    let config = Setup::new()
        .file("CALL_NUMBER_PATTERN='^\\+?[0-9]{3}$'\nSIP_USERNAME=u\nSIP_PASSWORD='a#b $HOME \"c'\n")
        .load()
        .unwrap()
        .config;
    assert_eq!(config.relay.number_pattern.as_str(), "^\\+?[0-9]{3}$");
    assert_eq!(config.sip.password.unwrap().expose(), "a#b $HOME \"c");
}

#[test]
fn file_does_not_change_the_process_environment() {
    Setup::new().file("RELAY_CONFIG_TEST_MARKER=1\n").load().unwrap();
    assert!(std::env::var_os("RELAY_CONFIG_TEST_MARKER").is_none());
}

#[test]
fn named_env_file_must_exist_and_replaces_the_one_in_the_folder() {
    let setup = Setup::new().file("WS_PORT=4\n");
    fs::write(setup.folder.join("other.env"), "RTP_PORT_END=31020\n").unwrap();
    let config = setup.args(&["--env-file", "other.env"]).load().unwrap().config;
    assert_eq!((config.ws.listen.port(), config.rtp.port_end), (8080, 31_020));

    let errors = Setup::new().args(&["--env-file", "absent.env"]).errors();
    assert!(errors.contains("absent.env: "), "{errors}");
}

#[test]
fn gateways_file_is_below_the_env_file_and_above_the_defaults_where_the_gateway_is_enabled() {
    let setup = || {
        let setup = Setup::new().env(&[("GATEWAY_CONFIG", "g.yaml"), ("PORT", "5"), ("OPENAI_API_KEY", "k")]);
        let yaml = "log_level: DEBUG\nserver_port: ${PORT}\npublic_ws_url: wss://yaml/\nprovider_config:\n  twilio:\n    \
                    auth_token: ${TOKEN}\n    account_sid: yaml\n";
        fs::write(setup.folder.join("g.yaml"), yaml).unwrap();
        setup
    };
    let enabled = |setup: Setup| setup.env(&[("GATEWAY_ENABLE", "1")]).load().unwrap();
    let config = setup().load().unwrap().config;
    assert_eq!((config.log.level, config.gateway.sip.server_port), (tracing::Level::INFO, 8000));

    let Loaded { config, warnings } = enabled(setup().file("TOKEN=t\nTWILIO_ACCOUNT_SID=env-file\n"));
    assert_eq!(warnings, [""; 0]);
    let (sip, twilio) = (&config.gateway.sip, &config.gateway.sip.provider_config.twilio);
    assert_eq!((config.log.level, sip.log_level), (tracing::Level::DEBUG, tracing::Level::DEBUG));
    assert_eq!((sip.server_port, sip.public_ws_url.as_deref()), (5, Some("wss://yaml")));
    assert_eq!(twilio.account_sid.as_deref(), Some("env-file"), "the .env file wins");
    assert_eq!(twilio.auth_token.as_ref().unwrap().expose(), "t", "a variable of the .env file");
    assert_eq!(config.gateway.variables.value("TOKEN").as_deref(), Some("t"));

    let setup = setup()
        .env(&[("LOG_LEVEL", "ERROR"), ("TWILIO_AUTH_TOKEN", "e")])
        .args(&["--set", "SIP_SERVER_PORT=1"]);
    let config = enabled(setup).config;
    assert_eq!((config.log.level, config.gateway.sip.server_port), (tracing::Level::ERROR, 1));
    assert_eq!(config.gateway.sip.provider_config.twilio.auth_token.as_ref().unwrap().expose(), "e");
}

#[test]
fn wrong_settings_of_the_gateway_are_named_and_no_secret_is_shown() {
    for (name, value) in [
        ("GATEWAY_HANDLER", "pipeline"),
        ("GATEWAY_PROVIDER", "vonage"),
        ("GATEWAY_ENABLE", "maybe"),
        ("SIP_SERVER_PORT", "65536"),
        ("SIP_PUBLIC_WS_URL", "https://voice.example.com"),
        ("SIP_PUBLIC_WS_URL", "wss://voice.example.com/sip/media-stream?token=1"),
        ("TELNYX_L16_ENDIAN", "middle"),
        ("TELNYX_PUBLIC_KEY", "AAECAwQF"),
        ("GATEWAY_HOST", "a b"),
    ] {
        let errors = Setup::new().env(&[(name, value)]).errors();
        assert!(errors.starts_with(&format!("{name}={value} (environment): expected ")), "{errors}");
    }
    let secrets = [("TELNYX_API_KEY", "s3cret"), ("TWILIO_AUTH_TOKEN", "s3cret")];
    let config = Setup::new().env(&secrets).load().unwrap().config;
    assert!(!format!("{config:?}").contains("s3cret"));
    let setup = Setup::new().env(&[("GATEWAY_ENABLE", "1"), ("GATEWAY_CONFIG", "g.yaml")]);
    fs::write(setup.folder.join("g.yaml"), "provider_config:\n  telnyx:\n    api_key: \"s3\\u0001cret\"\n")
        .unwrap();
    let errors = setup.errors();
    assert_eq!(errors, "TELNYX_API_KEY (GATEWAY_CONFIG, line 3): expected text without control characters");
    let setup = Setup::new().env(&[("GATEWAY_ENABLE", "1"), ("STRICT_CONFIG", "1"), ("OPENAI_API_KEY", "k")]);
    let errors = setup.env(&[("GATEWAY_CONFIG", "/nowhere.yaml")]).errors();
    assert_eq!(errors, "GATEWAY_CONFIG=/nowhere.yaml: there is no such file, so no number is configured");
}

#[test]
fn probable_mistakes_in_the_file_are_warnings_that_name_the_nearest_setting() {
    let file = "SIP_SERVR_IP=10.0.0.1\nrtp_port_end=31020\nWS_ZZZZZZZZZZ=1\nLOGLEVEL=DEBUG\nWS_URL=ws://x\nSIP_SERVER_PORT=80\nPATH_TO_X=1\n";
    let warnings = Setup::new().env(&[("OPENAI_API_KEY", "k")]).file(file).load().unwrap().warnings;
    assert_eq!(
        warnings,
        [
            "LOGLEVEL (.env file): there is no setting of this name; did you mean LOG_LEVEL?",
            "SIP_SERVR_IP (.env file): there is no setting of this name; did you mean SIP_SERVER_IP?",
            "WS_ZZZZZZZZZZ (.env file): there is no setting of this name; docs/configuration.md lists them all",
            "rtp_port_end (.env file): there is no setting of this name; did you mean RTP_PORT_END?",
        ]
    );
}

#[test]
fn missing_key_is_a_warning_and_with_strict_config_an_error() {
    assert_eq!(Setup::new().load().unwrap().warnings, ["OPENAI_API_KEY is required for AI features"]);
    assert_eq!(Setup::new().env(&[("OPENAI_API_KEY", "k")]).load().unwrap().warnings, [""; 0]);
    let strict = Setup::new().env(&[("STRICT_CONFIG", "1")]);
    assert_eq!(strict.errors(), "OPENAI_API_KEY is required");
    assert_eq!(strict.load().unwrap_err().exit_code(), 1);
}

#[test]
fn strict_config_turns_warnings_into_errors() {
    let strict = Setup::new().env(&[("STRICT_CONFIG", "1"), ("OPENAI_API_KEY", "k")]).file("WS_PROT=1\n");
    assert_eq!(
        strict.errors(),
        "WS_PROT (.env file): there is no setting of this name; did you mean WS_PORT?"
    );
}

#[test]
fn websocket_beyond_loopback_needs_a_token_or_consent() {
    let errors = Setup::new().env(&[("WS_HOST", "0.0.0.0")]).errors();
    assert!(errors.starts_with("WS_HOST=0.0.0.0 (environment): "), "{errors}");
    assert!(errors.contains("WS_TOKEN") && errors.contains("WS_ALLOW_ANONYMOUS=1"), "{errors}");
    for consent in [("WS_TOKEN", "t"), ("WS_ALLOW_ANONYMOUS", "1")] {
        assert!(Setup::new().env(&[("WS_HOST", "0.0.0.0"), consent]).load().is_ok(), "{consent:?}");
    }
}

#[test]
fn address_of_another_machine_is_an_error_that_names_the_variable() {
    // 192.0.2.0/24 is for documentation (RFC 5737), no machine has it.
    for name in ["SIP_LOCAL_IP", "WS_HOST"] {
        let errors = Setup::new().env(&[(name, "192.0.2.1"), ("WS_TOKEN", "t")]).errors();
        let start = format!("{name}=192.0.2.1 (environment): expected an address of this machine (");
        assert!(errors.starts_with(&start), "{errors}");
    }
}

#[test]
fn unset_local_address_is_the_one_from_which_the_pbx_is_reached() {
    let config = Setup::new().env(&[("SIP_SERVER_IP", "localhost")]).load().unwrap().config;
    let server = config.sip.server.unwrap();
    assert_eq!(server.host, "localhost");
    assert!(server.ip.is_loopback() && config.sip.local.ip() == server.ip);
    assert_eq!(config.sip.advertised_ip, server.ip);
}

#[test]
fn address_for_all_is_advertised_as_the_one_from_which_the_pbx_is_reached() {
    let all = ("SIP_LOCAL_IP", "0.0.0.0");
    let config = Setup::new().env(&[all, ("SIP_SERVER_IP", "127.0.0.1")]).load().unwrap().config;
    assert_eq!(config.sip.advertised_ip, Ipv4Addr::LOCALHOST);
    let errors = Setup::new().env(&[all]).errors();
    assert!(
        errors.starts_with("SIP_LOCAL_IP=0.0.0.0 (environment): ") && errors.contains("SIP_ADVERTISED_IP"),
        "{errors}"
    );
}

#[test]
fn addresses_that_no_peer_can_have_are_refused() {
    for (name, value) in [
        ("SIP_SERVER_IP", "0.0.0.0"),
        ("SIP_SERVER_IP", "239.0.0.1"),
        ("SIP_SERVER_IP", "sip:pbx"),
        ("SIP_SERVER_IP", "10.0.0.1:5060"),
        ("SIP_ADVERTISED_IP", "0.0.0.0"),
        ("SIP_ADVERTISED_IP", "relay.example.com"),
        ("SIP_ADVERTISED_IP", "2001:db8::1"),
        ("SIP_TRANSFER_PORT", "0"),
    ] {
        let errors = Setup::new().env(&[(name, value)]).errors();
        assert!(errors.starts_with(&format!("{name}={value} (environment): expected ")), "{errors}");
    }
}

#[test]
fn pbx_that_is_the_relay_itself_is_refused() {
    let itself = [("SIP_SERVER_IP", "127.0.0.1"), ("SIP_TRANSFER_PORT", "5062")];
    assert!(Setup::new().env(&itself).errors().contains("127.0.0.1:5062 is the relay's own SIP address"));
}

#[test]
fn ipv6_is_accepted_everywhere() {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        #[allow(clippy::print_stdout)]
        {
            println!("skipped: no IPv6 on this machine");
        }
        return;
    }
    let settings = [("SIP_LOCAL_IP", "[::1]"), ("SIP_SERVER_IP", "::1"), ("WS_HOST", "::1")];
    let config =
        Setup::new().env(&settings).env(&[("SIP_ADVERTISED_IP", "2001:db8::1")]).load().unwrap().config;
    assert_eq!(config.sip.local.to_string(), "[::1]:5062");
    assert_eq!(config.sip.server.as_ref().unwrap().host, "[::1]");
    assert_eq!(config.sip.server_addr().unwrap().to_string(), "[::1]:5060");
    assert_eq!(config.sip.advertised_ip.to_string(), "2001:db8::1");
    assert_eq!(config.ws.listen.to_string(), "[::1]:8080");

    let errors = Setup::new().env(&[("SIP_LOCAL_IP", "127.0.0.1"), ("SIP_SERVER_IP", "::1")]).errors();
    assert!(
        errors.starts_with("SIP_SERVER_IP=::1 (environment): expected an address of the same family"),
        "{errors}"
    );
}

#[test]
fn port_range_without_room_for_a_pair_is_refused() {
    let range = |start, end| Setup::new().env(&[("RTP_PORT_START", start), ("RTP_PORT_END", end)]);
    for (start, end) in [("31000", "31000"), ("31001", "31002"), ("31010", "31000"), ("65535", "65535")] {
        let errors = range(start, end).errors();
        assert!(
            errors.starts_with(&format!("RTP_PORT_START={start} (environment): expected a range")),
            "{errors}"
        );
    }
    for (start, end) in [("31000", "31001"), ("31001", "31003")] {
        assert!(range(start, end).load().is_ok(), "{start}-{end}");
    }
    let errors = Setup::new().env(&[("RTP_PORT_END", "30000")]).errors();
    assert!(errors.starts_with("RTP_PORT_END=30000 (environment): "), "{errors}");
}

#[test]
fn call_center_finds_the_relay_by_the_relays_own_settings() {
    let url = |env: &[(&str, &str)]| Setup::new().env(env).load().unwrap().config.call_center.ws_url;
    assert_eq!(url(&[]), "ws://127.0.0.1:8080");
    assert_eq!(url(&[("WS_HOST", "0.0.0.0"), ("WS_TOKEN", "t"), ("WS_PORT", "9")]), "ws://127.0.0.1:9");
    for (name, wrong) in [
        ("WS_URL", "http://x"),
        ("WS_URL", "ws://x/?mode=multi"),
        ("OPENAI_API_BASE", "api.openai.com"),
        ("CALL_CENTER_MODE", "duplex"),
        ("OPENAI_REALTIME_URL", "https://api.openai.com/v1/realtime"),
        ("CALL_CENTER_REALTIME_TURN_DETECTION", "vad"),
        ("CALL_CENTER_REALTIME_EAGERNESS", "very"),
        ("CALL_CENTER_REALTIME_CODEC", "pcm"),
        ("CALL_CENTER_REALTIME_NOISE_REDUCTION", "on"),
        ("CALL_CENTER_REALTIME_ROLL_OVER_MINUTES", "57"),
        ("CALL_CENTER_REALTIME_LOST_ACTION", "play:x"),
        ("CALL_CENTER_TOOLS", "hang_up,shell"),
        ("CALL_CENTER_TTS_SPEED", "4.01"),
        ("CALL_CENTER_BUFFER_SIZE", "4"),
        ("CALL_CENTER_END_OF_TURN_MS", "99"),
        ("CALL_CENTER_END_OF_TURN_MS", "5001"),
        ("CALL_CENTER_SERVICE_TIMEOUT", "0"),
        ("CALL_CENTER_METRICS_ADDR", "localhost:9100"),
    ] {
        let errors = Setup::new().env(&[(name, wrong)]).errors();
        assert!(errors.starts_with(&format!("{name}={wrong} (environment): expected ")), "{errors}");
    }
}

#[test]
fn call_center_reads_its_own_settings_only() {
    // 192.0.2.0/24 is for documentation (RFC 5737), no machine has it.
    let env = |name: &str| match name {
        "WS_HOST" | "SIP_LOCAL_IP" => Some("192.0.2.1".to_owned()),
        "OPENAI_API_KEY" => Some("hunter2".to_owned()),
        _ => None,
    };
    let args = ["call_center", "--agent", "parrot", "--set", "CALL_CENTER_VAD=1"];
    let load =
        |args: &[&str]| LoadedCallCenter::load(args.iter().map(OsString::from), env, Path::new("/nowhere"));
    let loaded = load(&args).unwrap();
    assert_eq!((loaded.agent, loaded.config.vad), (Some(AgentKind::Parrot), true));
    assert_eq!(loaded.config.ws_url, "ws://192.0.2.1:8080");
    assert_eq!(loaded.log.file, Path::new("/nowhere/call_center.log"));
    assert!(!format!("{loaded:?}").contains("hunter2"));
    assert_eq!(load(&["call_center", "--agent", "cat"]).unwrap_err().exit_code(), 2);
}

#[test]
fn password_needs_its_user() {
    let errors = Setup::new().env(&[("SIP_PASSWORD", "pw")]).errors();
    assert_eq!(errors, "SIP_PASSWORD (environment): a password needs its user; set SIP_USERNAME as well");
}

#[test]
fn certificate_and_key_come_together() {
    let errors = Setup::new().env(&[("TLS_CERT", "cert.pem")]).errors();
    assert!(errors.contains("set TLS_KEY as well"), "{errors}");
    let errors = Setup::new().env(&[("TLS_KEY", "key.pem")]).errors();
    assert!(errors.contains("set TLS_CERT as well"), "{errors}");
}

#[test]
fn greeting_that_was_named_and_is_missing_is_a_warning() {
    let setup = Setup::new().env(&[("OPENAI_API_KEY", "k"), ("GREETING_FILE", "hi.wav")]);
    let file = setup.folder.join("hi.wav");
    let expected =
        format!("GREETING_FILE={}: there is no such file, calls start without a greeting", file.display());
    assert_eq!(setup.load().unwrap().warnings, [expected]);
    fs::write(file, "").unwrap();
    assert_eq!(setup.load().unwrap().warnings, [""; 0]);
}

#[test]
fn missing_folders_are_created_and_a_file_in_their_place_is_named() {
    let setup = Setup::new();
    let files = setup.load().unwrap().config.files;
    files.create_dirs().unwrap();
    for folder in ["recording", "output/convented", "output/response", "output/transcode"] {
        assert!(setup.folder.join(folder).is_dir(), "{folder}");
    }
    files.create_dirs().unwrap();

    fs::write(setup.folder.join("taken"), "").unwrap();
    let setup = setup.env(&[("RECORDING_DIR", "taken/x")]);
    let error = setup.load().unwrap().config.files.create_dirs().unwrap_err().to_string();
    assert!(error.starts_with("cannot create ") && error.contains("taken/x (RECORDING_DIR): "), "{error}");
}

#[test]
fn help_ends_well_and_an_unknown_flag_with_2() {
    let help = Setup::new().args(&["--help"]).load().unwrap_err();
    assert!(help.to_string().contains("--sip-server-ip <HOST>"), "{help}");
    assert_eq!(help.exit_code(), 0);
    let unknown = Setup::new().args(&["--sip-server"]).load().unwrap_err();
    assert_eq!(unknown.exit_code(), 2);
}

/// One start of the relay in a folder of its own.
struct Setup {
    args: Vec<OsString>,
    env: BTreeMap<String, String>,
    folder: PathBuf,
}

impl Setup {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = format!("config-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
        fs::create_dir_all(&folder).unwrap();
        Self { args: vec!["main".into()], env: BTreeMap::new(), folder }
    }

    fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(OsString::from));
        self
    }

    fn env(mut self, env: &[(&str, &str)]) -> Self {
        self.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    fn file(self, text: &str) -> Self {
        fs::write(self.folder.join(".env"), text).unwrap();
        self
    }

    fn load(&self) -> Result<Loaded, LoadError> {
        Config::load(self.args.iter().cloned(), |name| self.env.get(name).cloned(), &self.folder)
    }

    fn errors(&self) -> String {
        self.load().expect_err("the settings are wrong").to_string()
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
