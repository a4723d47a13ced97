//! Recordings: complete before the client hears of the end, exact, in their folder, and readable whatever happens.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use common::pbx::{Invite, Pbx, PbxCall};
use common::relay::Relay;
use common::temp::TempDir;
use common::ws::WsClient;
use common::{free_ports, recording, rtp_end, scene};
use jiff::{ToSpan, Zoned};
use testkit::g711;

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn recording_is_exactly_what_was_sent_with_gaps_as_silence() {
    let relay = Relay::start(&[]);
    let pbx = Pbx::new();
    let mut ws = WsClient::connect(relay.ws(), "");
    for (n, payload_type) in [0, 8].into_iter().enumerate() {
        let before = Zoned::now();
        let invite = Invite { formats: vec![payload_type, 101], ..Invite::default() };
        let mut call = scene::inbound(&relay, &pbx, &mut ws, invite);
        let spoken = recording::unrepeated_ulaw(payload_type.into(), 2);
        let (first, second) = spoken.split_at(8000);
        call.rtp.send_payload(first);
        // Half a second without a packet, as of a telephone that does not send silence.
        rtp_end::pace(Instant::now() + Duration::from_millis(500));
        call.rtp.stream().skip(4000);
        call.rtp.send_payload(second);
        call.bye();
        ws.expect("BYE:");

        // No waiting from here on: it is complete when the client hears of the end.
        let files = recording::list(&relay.recordings());
        assert_eq!(files.len(), n + 1, "{files:?}");
        let file = files.iter().find(|f| is_named_for(f, &call.call_id()[..8], &before));
        let file = file.unwrap_or_else(|| panic!("none named for this call: {files:?}"));
        let sent =
            [g711::decode(payload_type, first), vec![0; 4000], g711::decode(payload_type, second)].concat();
        assert_recorded(&sent, file);
    }
}

#[test]
fn outbound_call_is_recorded_and_a_silent_one_is_not() {
    let pbx = Pbx::new();
    let relay = scene::start(&pbx, &[("RECORDING_DIR", "calls/of/today")]);
    let mut ws = WsClient::connect(relay.ws(), "");
    let mut silent = scene::inbound(&relay, &pbx, &mut ws, Invite::default());
    silent.bye();
    ws.expect("BYE:");
    let folder = relay.dir().join("calls/of/today");
    assert!(recording::list(&folder).is_empty(), "nothing was said");

    let mut call = scene::outbound(&pbx, &mut ws, &[0, 101]);
    let spoken = recording::unrepeated_ulaw(3, 1);
    call.rtp.send_payload(&spoken);
    ws.send("BYE");
    call.expect_bye();
    ws.expect("BYE:");
    let files = recording::list(&folder);
    assert_eq!(files.len(), 1, "{files:?}");
    assert_recorded(&g711::decode_ulaw(&spoken), &files[0]);
    assert!(!relay.recordings().exists(), "the default folder is not made when another is set");
}

#[test]
fn call_id_cannot_leave_the_folder() {
    let (relay, pbx) = (Relay::start(&[]), Pbx::new());
    let mut ws = WsClient::connect(relay.ws(), "");
    let ids = ["../../x", "/etc/x", "..", "a/b\\c"];
    let before = wav_files(&std::env::temp_dir());
    for id in ids {
        let invite = Invite { call_id: Some(id.to_owned()), ..Invite::default() };
        let mut call = scene::inbound(&relay, &pbx, &mut ws, invite);
        call.rtp.send_payload(&[0x11; 1600]);
        call.bye();
        ws.expect_all(&[&format!("BYE:{id}")]);
    }
    let files = recording::list(&relay.recordings());
    assert_eq!(files.len(), ids.len(), "{files:?}");
    let mut stems: Vec<_> =
        files.iter().map(|f| f.file_name().unwrap().to_str().unwrap()[16..].to_owned()).collect();
    stems.sort();
    assert_eq!(stems, ["_..wav", "_._.._x.wav", "_etc_x.wav", "a_b_c.wav"]);
    assert_eq!(wav_files(relay.dir()).len(), ids.len(), "and nowhere else");
    assert_eq!(wav_files(&std::env::temp_dir()), before);
}

#[test]
fn calls_at_once_have_files_of_their_own_even_with_names_alike() {
    let (relay, pbx) = (Relay::start(&[]), Pbx::new());
    let mut ws = WsClient::connect(relay.ws(), "");
    let mut calls: Vec<PbxCall> = ["same-head-one@h", "same-head-two@h"]
        .map(|id| Invite { call_id: Some(id.to_owned()), ..Invite::default() })
        .map(|invite| scene::inbound(&relay, &pbx, &mut ws, invite))
        .into();
    let spoken: Vec<Vec<u8>> = (1..=2).map(|seed| recording::unrepeated_ulaw(seed, 1)).collect();
    thread::scope(|scope| {
        for (call, spoken) in calls.iter_mut().zip(&spoken) {
            scope.spawn(|| call.rtp.send_payload(spoken));
        }
    });
    for call in &mut calls {
        call.bye();
        ws.wait_for(&format!("BYE:{}", call.call_id()));
    }
    let files = recording::list(&relay.recordings());
    assert_eq!(files.len(), 2, "{files:?}");
    for sent in spoken.iter().map(|payload| g711::decode_ulaw(payload)) {
        let recordings = files.iter().map(|file| recording::read_mono_8k(file));
        let matching = recordings.filter_map(|recorded| recording::compare(&sent, &recorded));
        let matching: Vec<_> = matching.filter(|m| m.skipped < 4 && m.tail == 0).collect();
        assert_eq!(matching.len(), 1, "each call is in exactly one file");
        assert_eq!(matching[0].skipped + matching[0].equal, sent.len());
    }
}

#[test]
fn killed_relay_leaves_readable_files_that_lack_at_most_their_last_second() {
    const CALLS: u16 = 20;
    const FRAMES: usize = 150;
    let base = free_ports(4 * CALLS);
    let (first, last) = (base.to_string(), (base + 4 * CALLS - 1).to_string());
    let mut relay = Relay::start(&[("RTP_PORT_START", &first), ("RTP_PORT_END", &last)]);
    let pbx = Pbx::new();
    let spoken: Vec<Vec<u8>> = (0..CALLS).map(|n| recording::unrepeated_ulaw(n.into(), 3)).collect();
    let invite = || Invite { listen: false, ..Invite::default() };
    let mut calls: Vec<PbxCall> = (0..CALLS).map(|_| pbx.call(relay.sip(), invite())).collect();
    // What is lost depends on when a file was written last: they begin 40 ms apart, so that the kill comes at all moments
    // of their seconds.
    let start = Instant::now();
    for frame in 0..FRAMES {
        rtp_end::pace(start + Duration::from_millis(20 * frame as u64));
        for (n, call) in calls.iter_mut().enumerate().filter(|(n, _)| frame >= 2 * n) {
            let said = &spoken[n][(frame - 2 * n) * 160..][..160];
            let packet = call.rtp.stream().packet(said);
            call.rtp.send_raw(&packet.to_bytes());
        }
    }
    relay.signal("KILL");
    relay.wait_exit(common::WAIT);
    let files = recording::list(&relay.recordings());
    assert_eq!(files.len(), usize::from(CALLS), "{files:?}");
    for (n, call) in calls.iter().enumerate() {
        let file = files.iter().find(|f| f.to_string_lossy().contains(&call.call_id()[..8])).unwrap();
        let sent = g711::decode_ulaw(&spoken[n][..(FRAMES - 2 * n) * 160]);
        let found =
            recording::compare(&sent, &recording::read_mono_8k(file)).expect("what was said is in the file");
        assert_eq!((found.skipped, found.tail), (0, 0), "call {n}: {found:?}");
        let lacking = Duration::from_millis((sent.len() - found.equal) as u64 / 8);
        assert!(lacking <= Duration::from_millis(1000), "call {n}: {lacking:?} are missing");
    }
}

#[test]
fn folders_are_made_and_old_recordings_removed_at_start() {
    let dir = TempDir::new("relay");
    let old = [("old.wav", 8, false), ("new.wav", 6, true), ("old.txt", 8, true)];
    for (name, days, _) in old {
        let file = dir.write(&format!("recording/{name}"), "x");
        let file = fs::File::options().write(true).open(file).unwrap();
        file.set_modified(SystemTime::now() - DAY * days).unwrap();
    }
    let relay = Relay::start_in(dir, &[]);
    for (name, _, stays) in old {
        assert_eq!(relay.recordings().join(name).exists(), stays, "{name}");
    }
    for folder in ["recording", "output/convented", "output/response", "output/transcode"] {
        assert!(relay.dir().join(folder).is_dir(), "{folder}");
    }
    let kept = TempDir::new("relay");
    let file = kept.write("recording/old.wav", "x");
    let modified = SystemTime::now() - DAY * 8;
    fs::File::options().write(true).open(file).unwrap().set_modified(modified).unwrap();
    let relay = Relay::start_in(kept, &[("MAX_RECORDING_AGE_DAYS", "9"), ("OUTPUT_DIR", "audio")]);
    assert!(relay.recordings().join("old.wav").exists());
    assert!(relay.dir().join("audio/transcode").is_dir() && !relay.dir().join("output").exists());
}

/// All of `sent`, after some silence, and nothing else.
fn assert_recorded(sent: &[i16], file: &Path) {
    let recorded = recording::read_mono_8k(file);
    let found = recording::compare(sent, &recorded).expect("what was said is in the file");
    assert!(found.skipped < 4, "{found:?}");
    assert_eq!(found.skipped + found.equal, sent.len(), "{found:?}");
    assert_eq!(found.tail, 0, "{found:?}");
    assert!(found.lead < 8000, "{found:?}");
}

/// `YYYYmmdd_HHMMSS_{head}.wav` with a local time between `after` and now.
fn is_named_for(file: &Path, head: &str, after: &Zoned) -> bool {
    let name = file.file_name().unwrap().to_str().unwrap();
    let at = |time: &Zoned| time.strftime("%Y%m%d_%H%M%S").to_string();
    let (from, to) = (at(after), at(&(&Zoned::now() + 1.second())));
    let Some((time, rest)) = name.split_at_checked(15) else { return false };
    from.as_str() <= time && time <= to.as_str() && rest == format!("_{head}.wav")
}

/// All WAV files under a folder, three levels deep.
fn wav_files(dir: &Path) -> Vec<PathBuf> {
    fn walk(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) {
        for path in fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
            match path.extension() {
                Some(extension) if extension == "wav" => found.push(path),
                _ if depth > 0 && path.is_dir() => walk(&path, depth - 1, found),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    // Other tests have folders of their own next to this one.
    walk(dir, if dir == std::env::temp_dir() { 0 } else { 3 }, &mut found);
    found.sort();
    found
}
