//! Calls by a provider's media stream, through the real switchboard, call, media and recorder.

use std::time::{Duration, Instant};

use audio::dtmf::DtmfDetector;
use bytes::Bytes;
use model::{
    audio::{Codec, SampleRate},
    call::EndLabel,
    command::AgentPayload,
    mode::AgentCodec,
};

use super::{
    super::message::{AgentMedia, CallCommand, StreamAudio, TransferTarget},
    CloseStream,
    bench::{Ask, Bench, CLIENT, Seen, Stream, Wishes, form, within},
};
use crate::metrics::tests::value;

const PCMU: Codec = Codec::Pcmu;
const WIDE: Codec = Codec::L16(SampleRate::Hz16000);
const ID: &str = "MZ%3A18%23ad";

#[actix::test]
async fn call_is_told_like_a_sip_call_and_its_end_when_the_recording_is_complete() {
    let mut bench = Bench::new(Wishes::default());
    let mut stream = bench.stream(PCMU, PCMU);
    bench.up(form(AgentCodec::Pcmu, SampleRate::Hz8000)).await;
    let handle = bench.handle.clone().expect("a call");
    assert_eq!((handle.id.as_str(), handle.phone.as_str()), (ID, "+15125551234"));
    let invite = handle.invite.expect("what the provider said");
    assert_eq!((invite.to.as_str(), invite.sip_call_id.as_str()), ("+15125559999", "MZ:18#ad"));
    assert_eq!(bench.called.as_deref(), Some("+15125559999"));
    assert_eq!(bench.census().await.ports, 0, "a stream needs no port");

    // Half a second of one value, half a second of nothing, half a second of another.
    (0..25).for_each(|_| stream.say([0x80; 160].as_slice()));
    stream.ask(Ask::Audio(later(51, 50, 0x00)));
    (52..76).for_each(|n| stream.ask(Ask::Audio(later(n, n - 1, 0x00))));
    stream.ask(Ask::Stop(EndLabel::RemoteBye));
    assert_eq!(bench.event().await, format!("BYE:{ID}"));
    let recording = bench.recording();
    assert_eq!(recording.len(), 12_000);
    assert!(recording[..4000].iter().all(|sample| *sample == 32_124));
    // The numbers between are missing: what they were is made up for 60 ms, then silence.
    assert!(recording[4800..8000].iter().all(|sample| *sample == 0));
    assert!(recording[8100..].iter().all(|sample| *sample == -32_124));
    assert_eq!(bench.census().await.calls, 0);
}

fn later(chunk: u64, frame: u64, byte: u8) -> StreamAudio {
    let timestamp = Duration::from_millis(20 * (frame + 1));
    StreamAudio { chunk: Some(chunk), timestamp: Some(timestamp), payload: vec![byte; 160].into() }
}

#[actix::test]
async fn agent_answers_declines_or_lets_ring_and_the_caller_may_give_up_meanwhile() {
    let mut bench = Bench::new(Wishes { answer: None, ..Wishes::default() });
    let mut stream = bench.stream(PCMU, PCMU);
    assert_eq!(bench.event().await, format!("RING_ANS:+15125551234##{ID}"));
    bench.command(CallCommand::Answer);
    assert_eq!(bench.event().await, format!("CALL_ANS:{ID}"));
    bench.command(CallCommand::Hangup);
    assert_eq!(stream.control().await, Seen::Closed(CloseStream::HungUp));
    assert_eq!(bench.event().await, format!("BYE:{ID}"));

    let mut declined = bench.stream(PCMU, PCMU);
    bench.event().await;
    bench.command(CallCommand::Decline { status: 486, reason: None });
    assert_eq!(declined.control().await, Seen::Closed(CloseStream::Refused { status: 486 }));
    assert_eq!(bench.event().await, format!("RING_IGNORE:{ID}"));

    let given_up = bench.stream(PCMU, PCMU);
    bench.event().await;
    given_up.ask(Ask::Stop(EndLabel::RemoteBye));
    assert_eq!(bench.event().await, format!("RING_IGNORE:{ID}"));
}

#[actix::test]
async fn g711_passes_untouched_both_ways_for_a_client_of_the_same_law() {
    let mut bench = Bench::new(Wishes::default());
    let mut stream = bench.stream(PCMU, PCMU);
    bench.up(form(AgentCodec::Pcmu, SampleRate::Hz8000)).await;
    let frame = |n: u8| -> Vec<u8> { (0..160).map(|at: u8| at.wrapping_mul(7) ^ n).collect() };
    for n in 0..50 {
        stream.say(frame(n));
    }
    for n in 0..50 {
        assert_eq!(bench.audio().await, frame(n), "frame {n}");
    }
    let speech: Vec<u8> = (100..130).flat_map(frame).collect();
    bench.order(AgentMedia::Audio {
        payload: AgentPayload::Payload { payload_type: 0, payload: speech.into() },
        rate: SampleRate::Hz8000,
    });
    let begin = Instant::now();
    for n in 100..130 {
        assert_eq!(stream.audio().await, frame(n), "frame {n}");
    }
    let paced = begin.elapsed();
    assert!(paced > Duration::from_millis(400), "30 frames in {paced:?}: the provider is to have 100 ms");
}

#[actix::test]
async fn linear_pcm_of_16_khz_passes_exactly_both_ways() {
    let mut bench = Bench::new(Wishes::default());
    let mut stream = bench.stream(WIDE, WIDE);
    bench.up(form(AgentCodec::Pcm, SampleRate::Hz16000)).await;
    let sample = |n: i16, at: i16| at.wrapping_mul(97).wrapping_add(n.wrapping_mul(1009)).to_le_bytes();
    let frame = |n: i16| -> Vec<u8> { (0..320).flat_map(|at| sample(n, at)).collect() };
    for n in 0..20 {
        stream.say(frame(n));
    }
    for n in 0..20 {
        assert_eq!(bench.audio().await, frame(n), "frame {n}");
    }
    bench.order(pcm((20..30).flat_map(frame).collect::<Vec<u8>>(), SampleRate::Hz16000));
    for n in 20..30 {
        assert_eq!(stream.audio().await, frame(n), "frame {n}");
    }
}

#[actix::test]
async fn directions_may_have_codecs_of_their_own() {
    let mut bench = Bench::new(Wishes::default());
    let mut stream = bench.stream(Codec::Pcma, WIDE);
    bench.up(form(AgentCodec::Pcma, SampleRate::Hz8000)).await;
    stream.say([0x2a; 160].as_slice());
    assert_eq!(bench.audio().await, [0x2a; 160].as_slice());
    bench.order(pcm(vec![0; 640], SampleRate::Hz16000));
    assert_eq!(stream.audio().await, vec![0; 640]);
}

#[actix::test]
async fn messages_out_of_order_are_heard_in_order() {
    let mut bench = Bench::new(Wishes::default());
    let stream = bench.stream(PCMU, PCMU);
    bench.up(form(AgentCodec::Pcmu, SampleRate::Hz8000)).await;
    for chunk in [1, 2, 4, 3, 5, 7, 8, 6] {
        stream.ask(Ask::Audio(later(chunk, chunk, chunk as u8)));
    }
    for chunk in 1..9 {
        assert_eq!(bench.audio().await[0], chunk);
    }
}

#[actix::test]
async fn burst_is_neither_lost_nor_late() {
    let mut bench = Bench::new(Wishes::default());
    let mut stream = bench.stream(PCMU, PCMU);
    bench.up(form(AgentCodec::Pcmu, SampleRate::Hz8000)).await;
    // Four seconds at once, as after a stall of the network, then two seconds at double speed.
    for n in 0..200_u8 {
        stream.say(vec![n; 160]);
    }
    for n in 0..200 {
        assert_eq!(bench.audio().await[0], n);
    }
    let mut slowest = Duration::ZERO;
    for n in 0..100_u8 {
        let said = Instant::now();
        stream.say(vec![n; 160]);
        assert_eq!(bench.audio().await[0], n);
        slowest = slowest.max(said.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await; // the provider's pace, which is what is tested
    }
    assert!(
        slowest < Duration::from_millis(500),
        "of the second that it is ahead, a queue of {slowest:?} has formed"
    );
    let dropped = value(&bench.metrics.encode(), r#"sip_relay_dropped_total{queue="media-stream"}"#);
    assert_eq!(dropped, 0.0);
}

#[actix::test]
async fn clear_stops_at_once_here_and_at_the_provider_and_gives_marks_back() {
    let mut bench = Bench::new(Wishes::default());
    let mut stream = bench.stream(PCMU, PCMU);
    bench.up(form(AgentCodec::Pcm, SampleRate::Hz8000)).await;
    bench.order(pcm(vec![1; 16_000 * 5], SampleRate::Hz8000));
    bench.order(AgentMedia::Mark("end".to_owned()));
    // What is played for 100 ms, and 100 ms of lead.
    for _ in 0..10 {
        stream.audio().await;
    }
    bench.order(AgentMedia::Clear);
    assert_eq!(stream.control().await, Seen::Clear);
    let cleared = bench.event().await;
    assert!(cleared.starts_with(&format!("MARK:{ID}##end##cleared##")), "{cleared}");
    let played: u32 = cleared.rsplit("##").next().and_then(|ms| ms.parse().ok()).expect("milliseconds");
    assert!((80..1000).contains(&played), "{cleared}");

    bench.order(pcm(vec![1; 1600], SampleRate::Hz8000));
    bench.order(AgentMedia::Mark("next".to_owned()));
    let next = bench.event().await;
    assert_eq!(next, format!("MARK:{ID}##next##played##{}", played + 100));
    let after = stream.rest();
    assert_eq!(after.len(), 5, "nothing of what was cleared, and no silence between: {after:?}");
}

#[actix::test]
async fn keys_come_as_messages_and_go_as_tones() {
    let mut bench = Bench::new(Wishes::default());
    let mut stream = bench.stream(PCMU, WIDE);
    bench.up(form(AgentCodec::Pcm, SampleRate::Hz8000)).await;
    stream.ask(Ask::Digit('5'));
    stream.ask(Ask::Digit('5'));
    for _ in 0..2 {
        assert_eq!(bench.event().await, format!("DTMF:{ID}##5##160"));
    }
    bench.order(AgentMedia::Dtmf { digits: "1#".to_owned(), each: Duration::from_millis(100) });
    let mut pcm = Vec::new();
    for _ in 0..16 {
        let frame = stream.audio().await;
        pcm.extend(frame.chunks_exact(4).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
    }
    let (mut detector, mut heard) = (DtmfDetector::default(), Vec::new());
    detector.process(&pcm, &mut heard);
    assert_eq!(heard.iter().map(|press| press.digit).collect::<String>(), "1#");
    bench.order(AgentMedia::Dtmf { digits: "x".to_owned(), each: Duration::from_millis(100) });
    assert_eq!(bench.event().await, "ERROR:488 invalid digit 'x'##DTMF");
}

#[actix::test]
async fn greeting_is_played_and_both_sides_are_recorded() {
    let greeting = vec![5000; 1600];
    let wishes = Wishes { greeting: Some(greeting.clone()), stereo: true, ..Wishes::default() };
    let mut bench = Bench::new(wishes);
    let mut stream = bench.stream(Codec::L16(SampleRate::Hz8000), Codec::L16(SampleRate::Hz8000));
    bench.up(form(AgentCodec::Pcm, SampleRate::Hz8000)).await;
    let spoken: Vec<u8> = greeting.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    for frame in spoken.chunks(320) {
        stream.say(vec![7; 320]);
        assert_eq!(stream.audio().await, frame);
    }
    stream.ask(Ask::Stop(EndLabel::RemoteBye));
    assert_eq!(bench.event().await, format!("BYE:{ID}"));
    let recording = bench.recording();
    let side = |at: usize, value: i16| recording.iter().skip(at).step_by(2).filter(|s| **s == value).count();
    assert_eq!((side(0, 0x0707), side(1, 5000)), (1600, 1600));
}

#[actix::test]
async fn hang_up_waits_for_the_rest_of_the_speech_if_asked_to() {
    let mut bench = Bench::new(Wishes::default());
    let mut stream = bench.stream(PCMU, PCMU);
    bench.up(form(AgentCodec::Pcm, SampleRate::Hz8000)).await;
    bench.order(pcm(vec![1; 320 * 15], SampleRate::Hz8000));
    bench.order(AgentMedia::Drain);
    for n in 0..15 {
        let (_, seen) = stream.seen().await;
        assert!(matches!(seen, Seen::Audio(_)), "frame {n}: {seen:?}");
    }
    assert_eq!(stream.seen().await.1, Seen::Closed(CloseStream::HungUp));
    assert_eq!(bench.event().await, format!("BYE:{ID}"));
}

#[actix::test]
async fn stream_that_there_is_no_room_for_is_refused_and_counted() {
    let mut bench = Bench::new(Wishes { max_calls: Some(1), ..Wishes::default() });
    let mut first = bench.stream(PCMU, PCMU);
    bench.up(form(AgentCodec::Pcm, SampleRate::Hz8000)).await;
    let mut second = bench.stream_named("MZ2", PCMU, PCMU);
    assert_eq!(second.control().await, Seen::Closed(CloseStream::Refused { status: 503 }));
    let mut same = bench.stream(PCMU, PCMU);
    assert_eq!(same.control().await, Seen::Closed(CloseStream::Refused { status: 503 }));
    bench.command(CallCommand::Hangup);
    assert_eq!(first.control().await, Seen::Closed(CloseStream::HungUp));
    assert_eq!(bench.event().await, format!("BYE:{ID}"), "nobody heard of the others");
    let metrics = bench.metrics.encode();
    let refused =
        |why: &str| format!(r#"sip_relay_calls_refused_total{{direction="inbound",reason="{why}"}}"#);
    assert_eq!(value(&metrics, &refused("too-many-calls")), 1.0);
    assert_eq!(value(&metrics, &refused("same-call-id")), 1.0);
}

#[actix::test]
async fn panic_of_the_streams_actor_ends_the_call_with_one_bye() {
    let mut bench = Bench::new(Wishes::default());
    let stream = bench.stream(PCMU, PCMU);
    bench.up(form(AgentCodec::Pcm, SampleRate::Hz8000)).await;
    stream.ask(Ask::Panic);
    assert_eq!(bench.event().await, format!("BYE:{ID}"));
    let second = bench.stream_named("MZ2", PCMU, PCMU);
    assert_eq!(bench.event().await, "RING_ANS:+15125551234##MZ2", "one BYE, and the relay goes on");
    assert_eq!(bench.event().await, "CALL_ANS:MZ2");
    second.ask(Ask::Vanish);
    assert_eq!(bench.event().await, "BYE:MZ2");
    assert_eq!(ended(&bench, "relay", "internal-error"), 2.0, "an end without a word is a fault as well");
}

#[actix::test]
async fn stream_that_is_gone_before_its_call_exists_leaves_none_behind() {
    let mut bench = Bench::new(Wishes::default());
    let stream = bench.stream(PCMU, PCMU);
    // The actor is gone before the call can attach itself to it.
    stream.ask(Ask::Stop(EndLabel::RemoteBye));
    let mut told = vec![bench.event().await];
    while !told.last().is_some_and(|event| event.starts_with("BYE:") || event.starts_with("RING_IGNORE:")) {
        told.push(bench.event().await);
    }
    assert_eq!(told[0], format!("RING_ANS:+15125551234##{ID}"));
    assert_eq!(bench.census().await.calls, 0);
    assert_eq!(ended(&bench, "caller", "remote-bye"), 1.0);
}

#[actix::test]
async fn shutdown_closes_streams_and_tells_clients() {
    let mut bench = Bench::new(Wishes::default());
    let mut stream = bench.stream(PCMU, PCMU);
    bench.up(form(AgentCodec::Pcm, SampleRate::Hz8000)).await;
    bench.shut_down();
    assert_eq!(stream.control().await, Seen::Closed(CloseStream::HungUp));
    assert_eq!(bench.event().await, format!("BYE:{ID}"));
    let mut late = bench.stream_named("MZ2", PCMU, PCMU);
    assert_eq!(late.control().await, Seen::Closed(CloseStream::Refused { status: 503 }));
    assert_eq!(bench.event().await, "(closed)");
}

#[actix::test]
async fn provider_that_says_nothing_is_waited_for_as_long_as_for_a_caller_who_stopped() {
    let inactivity = Duration::from_millis(400);
    let mut bench = Bench::new(Wishes { inactivity, ..Wishes::default() });
    let begin = Instant::now();
    let _stream = bench.stream(PCMU, PCMU);
    bench.up(form(AgentCodec::Pcm, SampleRate::Hz8000)).await;
    assert_eq!(bench.event().await, format!("BYE:{ID}"));
    assert!(begin.elapsed() >= inactivity, "{:?}", begin.elapsed());
}

#[actix::test]
async fn hold_and_transfer_are_refused_and_the_call_goes_on() {
    let mut bench = Bench::new(Wishes::default());
    let mut stream = bench.stream(PCMU, PCMU);
    bench.up(form(AgentCodec::Pcmu, SampleRate::Hz8000)).await;
    bench.command(CallCommand::Hold { client: CLIENT, on: true });
    assert_eq!(bench.event().await, "ERROR:501 Not Implemented##HOLD");
    let target = TransferTarget::Phone("0912341234".to_owned());
    bench.command(CallCommand::Transfer { client: CLIENT, target });
    assert_eq!(bench.event().await, "ERROR:501 Not Implemented##TRANSFER");
    stream.say([9; 160].as_slice());
    assert_eq!(bench.audio().await, [9; 160].as_slice());
}

#[actix::test]
async fn what_comes_before_the_answer_is_not_heard_and_delays_nothing() {
    let mut bench = Bench::new(Wishes { answer: None, ..Wishes::default() });
    let mut stream = bench.stream(PCMU, PCMU);
    bench.event().await;
    (0..100).for_each(|_| stream.say([1; 160].as_slice()));
    // The channel is read although nobody hears it.
    within(async { while stream.actor.send(Ask::Digit('1')).await.is_err() {} }).await;
    bench.event().await;
    bench.command(CallCommand::Answer);
    assert_eq!(bench.event().await, format!("CALL_ANS:{ID}"));
    listen_and_hear(&mut bench, &mut stream).await;
}

async fn listen_and_hear(bench: &mut Bench, stream: &mut Stream) {
    bench.listen(form(AgentCodec::Pcmu, SampleRate::Hz8000));
    stream.say([2; 160].as_slice());
    assert_eq!(bench.audio().await, [2; 160].as_slice());
}

fn pcm(bytes: impl Into<Bytes>, rate: SampleRate) -> AgentMedia {
    AgentMedia::Audio { payload: AgentPayload::Pcm(bytes.into()), rate }
}

fn ended(bench: &Bench, by: &str, reason: &str) -> f64 {
    let series = format!(r#"sip_relay_calls_ended_total{{reason="{reason}",party="{by}"}}"#);
    value(&bench.metrics.encode(), &series)
}
