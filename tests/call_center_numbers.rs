//! Settings of their own for calls to some numbers, through the real programs: relay, call center, services that are scripted.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::call_center::CallCenter;
use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::scene;
use common::temp::TempDir;
use common::{WAIT, eventually};
use serde_json::Value;
use testkit::openai::realtime::RealtimeServer;
use testkit::openai::{Reply, Request, Server, Stage};
use testkit::voice;

/// Enough for a loaded machine.
const LONG: Duration = Duration::from_secs(15);

const TABLE: &str = r#"
dids:
  "+1 (512) 555-1234":
    user_id: david
    llm_model: big-model
    system_prompt: "You are ${OWNER}'s assistant."
    tts_voice: nova
    tts_model: big-voice
    stt_model: big-ear
    language: en
    speed: 1.25
    greeting: "Good morning."
  "200":
    language: auto
"#;

#[test]
fn call_has_the_settings_of_the_number_that_was_called_and_others_the_general_ones() {
    let scene = Scene::new(TABLE);
    let server = &scene.server;
    server.next(Stage::Transcription, Reply::transcript("What time is it?"));
    server.next(Stage::Chat, Reply::chat("It is noon."));
    let mut call = scene.call("15125551234");
    let greeting = &server.expect(Stage::Speech, 1, LONG)[0];
    assert_eq!(greeting.field("input").as_deref(), Some("Good morning."));
    assert!(eventually(LONG, || scene::loud(&call.rtp.arrivals(), 0).len() >= 7500), "it is heard");
    turn(&mut call);
    let transcription = &server.expect(Stage::Transcription, 1, LONG)[0];
    assert_eq!(fields(transcription, ["model", "language"]), ["big-ear", "en"]);
    let chat = body(&server.expect(Stage::Chat, 1, LONG)[0]);
    assert_eq!(chat["model"], "big-model");
    assert_eq!(chat["messages"][0]["content"], "You are Eve's assistant.");
    assert!(
        chat["messages"].to_string().contains("Good morning."),
        "the model knows how the call began: {chat}"
    );
    let spoken = body(&server.expect(Stage::Speech, 2, LONG)[1]);
    assert_eq!((&spoken["model"], &spoken["voice"]), (&"big-voice".into(), &"nova".into()));
    assert_eq!((&spoken["speed"], &spoken["input"]), (&1.25.into(), &"It is noon.".into()));
    scene.end(call);

    let mut other = scene.call("100");
    turn(&mut other);
    let transcription = &server.expect(Stage::Transcription, 2, LONG)[1];
    assert_eq!(fields(transcription, ["model", "language"]), ["whisper-1", "zh"]);
    let chat = body(&server.expect(Stage::Chat, 2, LONG)[1]);
    assert_eq!(chat["messages"][0]["content"], "general");
    let spoken = body(&server.expect(Stage::Speech, 3, LONG)[2]);
    assert_eq!((&spoken["voice"], &spoken["speed"]), (&"alloy".into(), &1.0.into()));
    scene.end(other);

    let mut third = scene.call("200");
    turn(&mut third);
    let transcription = &server.expect(Stage::Transcription, 3, LONG)[2];
    assert_eq!(transcription.field("language"), None, "the service finds out");
    scene.end(third);
    assert!(server.connections() <= 4, "numbers share connections: {}", server.connections());
}

#[test]
fn table_is_read_again_and_one_that_cannot_be_used_changes_nothing() {
    let scene = Scene::new("dids: {100: {greeting: one}}");
    let greeted = |n: usize| {
        let call = scene.call("100");
        let text = scene.server.expect(Stage::Speech, n, LONG)[n - 1].field("input");
        scene.end(call);
        text
    };
    assert_eq!(greeted(1).as_deref(), Some("one"));
    scene.file.write("dids.yaml", "dids: {100: {greeting: two, speed: fast}}");
    scene.center.signal("HUP");
    scene.center.expect_log("speed=fast: expected 0.25 to 4.0");
    assert_eq!(greeted(2).as_deref(), Some("one"));
    scene.file.write("dids.yaml", "dids: {100: {greeting: two}}");
    scene.center.signal("HUP");
    scene.center.expect_log("numbers reloaded dids=1");
    assert_eq!(greeted(3).as_deref(), Some("two"));
}

#[test]
fn wrong_table_is_said_at_the_start() {
    let file = TempDir::new("dids");
    let path = file.write("dids.yaml", "dids:\n  100: {speed: 5}\n  200: {language: [a]}\n");
    let path = path.to_str().unwrap();
    let nowhere = ([127, 0, 0, 1], 9).into();
    let mut center = CallCenter::launch(nowhere, &[], &[("CALL_CENTER_DIDS", path), ("OPENAI_API_KEY", "k")]);
    assert_eq!(center.wait_exit().code(), Some(1));
    center.expect_log(&format!("CALL_CENTER_DIDS={path}: dids.+100: speed=5: expected 0.25 to 4.0"));
    center.expect_log(&format!("CALL_CENTER_DIDS={path}: dids.+200: language: expected text"));
}

#[test]
fn call_by_the_realtime_api_has_them_as_well() {
    let (server, relay, file) = (RealtimeServer::start(), Relay::start(&[]), TempDir::new("dids"));
    let table = "dids:\n  200:\n    system_prompt: be brief\n    greeting: Say hello.\n    language: auto\n    speed: 1.25\n    \
                 realtime_voice: cedar\n    realtime_model: other-model\n";
    let (url, path) = (server.url(), file.write("dids.yaml", table));
    let settings = [
        ("OPENAI_API_KEY", "sk-test"),
        ("OPENAI_REALTIME_URL", url.as_str()),
        ("CALL_CENTER_MODE", "realtime"),
        ("CALL_CENTER_DIDS", path.to_str().unwrap()),
    ];
    let _center = CallCenter::start(relay.ws(), &[], &settings);
    let pbx = Pbx::new();
    for (n, number) in ["200", "100"].into_iter().enumerate() {
        let invite = Invite { formats: vec![0], to: number.into(), ..Invite::default() };
        let _call = pbx.call(relay.sip(), invite);
        let session = server.session(n, LONG);
        let update = &session.expect("session.update", 1, LONG)[0].event["session"];
        let (transcription, output) =
            (&update["audio"]["input"]["transcription"], &update["audio"]["output"]);
        if number == "200" {
            assert_eq!(update["instructions"], "be brief");
            assert_eq!((&output["voice"], &output["speed"]), (&"cedar".into(), &1.25.into()));
            assert!(transcription.get("language").is_none(), "{transcription}");
            let first = &session.expect("conversation.item.create", 1, LONG)[0].event;
            assert!(first.to_string().contains("Say hello."), "{first}");
        } else {
            assert_eq!((&output["voice"], &output["speed"]), (&"marin".into(), &1.0.into()));
            assert_eq!(transcription["language"], "zh");
        }
    }
}

/// Relay, call center and services.
struct Scene {
    center: CallCenter,
    relay: Relay,
    pbx: Pbx,
    server: Server,
    file: TempDir,
}

impl Scene {
    fn new(table: &str) -> Self {
        let (server, relay, file) = (Server::start(), Relay::start(&[]), TempDir::new("dids"));
        let (base, path) = (server.base_url(), file.write("dids.yaml", table));
        let settings = [
            ("OPENAI_API_KEY", "sk-test"),
            ("OPENAI_API_BASE", base.as_str()),
            ("CALL_CENTER_DIDS", path.to_str().unwrap()),
            ("CALL_CENTER_SYSTEM_PROMPT", "general"),
            ("OWNER", "Eve"),
        ];
        let center = CallCenter::start(relay.ws(), &[], &settings);
        Self { center, relay, pbx: Pbx::new(), server, file }
    }

    /// A call to this number that is up, and talked to.
    fn call(&self, number: &str) -> PbxCall {
        let before = self.center.count_log("call up");
        let invite = Invite { formats: vec![0], to: number.into(), ..Invite::default() };
        let call = self.pbx.call(self.relay.sip(), invite);
        assert!(eventually(LONG, || self.center.count_log("call up") > before));
        call
    }

    fn end(&self, mut call: PbxCall) {
        let before = self.center.count_log("call over");
        call.bye();
        assert!(eventually(WAIT, || self.center.count_log("call over") > before));
    }
}

/// The caller says something for a second and a half, and then nothing.
fn turn(call: &mut PbxCall) {
    call.rtp.send_pcm(&[vec![0; 4000], voice::speech(8000, 1500, 1), vec![0; 8000]].concat());
}

fn fields<const N: usize>(request: &Request, names: [&str; N]) -> [String; N] {
    names.map(|name| request.field(name).unwrap_or_else(|| panic!("no {name}")))
}

fn body(request: &Request) -> Value {
    serde_json::from_str(&request.json).unwrap()
}
