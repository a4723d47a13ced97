//! What the call center makes of a connection that is lost in the middle of a conversation.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use audio::file;
use common::eventually;
use common::relay::Relay;
use common::talk::{LONG, Talk, expect_heard};
use common::ws_tap::WsTap;
use testkit::openai::{Reply, Stage};
use testkit::{g711, tone, voice};

#[test]
fn connection_that_is_cut_costs_no_word_of_the_caller_and_no_event() {
    let relay = Relay::start(&[]);
    let tap = Arc::new(WsTap::start(relay.ws()));
    let scene = Talk::through(relay, tap.address(), &[]);
    scene.server.next(Stage::Chat, Reply::chat("I heard all of it."));
    let (mut call, mut other) = (scene.call(0), scene.call(0));

    let said = voice::speech(8000, 3000, 5);
    let (cut, is_cut) = mpsc::channel();
    let speaker = {
        let audio = [vec![0; 4000], said.clone(), vec![0; 12_000]].concat();
        let tap = tap.clone();
        thread::spawn(move || {
            // In the middle of a word, one second after the first.
            call.rtp.send_pcm(&audio[..12_000]);
            tap.cut();
            cut.send(()).unwrap();
            call.rtp.send_pcm(&audio[12_000..]);
            call
        })
    };
    is_cut.recv_timeout(LONG).unwrap();
    // Meanwhile a call ends, and another one begins.
    other.bye();
    let _late = scene.pbx.call(scene.relay.sip(), Default::default());
    assert_eq!(
        scene.center.count_log("connected to the relay"),
        1,
        "all that happened while nobody was there"
    );

    let upload = &scene.server.expect(Stage::Transcription, 1, LONG)[0];
    let pcm = file::decode(upload.file().unwrap().body.clone().into(), Some("wav")).unwrap().samples;
    let lost = frames_lost(&said, &pcm);
    assert!(lost <= 3, "{lost} of 150 frames lost, {} ms uploaded", pcm.len() / 8);
    assert_eq!(scene.center.count_log("call over"), 1);
    assert!(eventually(LONG, || scene.center.count_log("call up") == 3));

    let requests: Vec<String> =
        tap.passed().into_iter().filter(|passed| passed.text.starts_with("GET ")).map(|p| p.text).collect();
    let session = |request: &str| {
        request.split(['&', ' ']).find(|part| part.starts_with("session=")).unwrap().to_owned()
    };
    let [first, second] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(session(first), session(second));
    assert!(first.contains("received=0 ") && !second.contains("received=0 "), "{requests:?}");

    // The conversation goes on.
    let call = speaker.join().unwrap();
    let heard = expect_heard(&call, 7500);
    assert!(tone::is_tone(&heard[800..7000], 8000, 440.0, 1.0));
    assert_eq!(scene.server.requests_of(Stage::Transcription).len(), 1, "nothing came twice");
}

#[test]
fn what_is_to_be_said_while_there_is_no_connection_is_said_by_the_next() {
    let relay = Relay::start(&[]);
    let tap = WsTap::start(relay.ws());
    let scene = Talk::through(relay, tap.address(), &[]);
    let slow = Reply::chat("Here I am.").delay(Duration::from_millis(400));
    scene.server.next(Stage::Chat, slow);
    let mut call = scene.call(0);
    call.rtp.send_pcm(&[vec![0; 4000], voice::speech(8000, 1500, 1), vec![0; 5600]].concat());
    scene.server.expect(Stage::Chat, 1, LONG);
    tap.cut();
    scene.server.expect(Stage::Speech, 1, LONG);
    assert_eq!(
        scene.center.count_log("connected to the relay"),
        1,
        "the reply was there before the connection"
    );
    let heard = expect_heard(&call, 7900);
    assert!(tone::is_tone(&heard[800..7000], 8000, 440.0, 1.0));
}

/// Frames of `said` that are not in `pcm` where they should be, both as they are after µ-law.
fn frames_lost(said: &[i16], pcm: &[i16]) -> usize {
    let said = g711::decode(0, &g711::encode(0, said));
    let is_beginning = |window: &[i16]| window == &said[..160];
    let Some(begin) = pcm.windows(160).position(is_beginning) else { return said.len() / 160 };
    let frames = said.chunks(160).enumerate();
    frames.filter(|(n, frame)| pcm.get(begin + n * 160..begin + n * 160 + frame.len()) != Some(frame)).count()
}
