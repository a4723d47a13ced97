//! A voice backend that puts every caller into a room, speaks, hears keys, and stops speaking when the caller does.
//!
//! ```text
//! cargo run --release --example voice_backend                   listens on 0.0.0.0:5060 until Ctrl-C
//! cargo run --release --example voice_backend -- --demo         calls itself, and ends
//! ```
//!
//! A PBX routes a call with headers of its INVITE: `X-Room-ID` names the room, `X-Session-ID` the session.

use std::{env, f64::consts::TAU, net::Ipv4Addr, time::Duration};

use anyhow::Context;
use futures_util::stream;
use sip_relay::backend::{
    AudioChunk, BackendError, DialOptions, HookExecution, HookTrigger, Metadata, OutboundAudio, Rooms,
    SipBackendConfig, SipVoiceBackend, VoiceSession,
};
use tokio::{sync::mpsc, time};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let demo = env::args().any(|argument| argument == "--demo");
    let config = if demo { loopback() } else { SipBackendConfig::default() };
    let backend = SipVoiceBackend::new(config);
    let (events, mut seen) = mpsc::unbounded_channel();
    route_calls(&backend, events);
    backend.start().await?;
    let address = backend.sip_address().context("it was just started")?;
    say(&format!("{} backend on {address}, can do {}", backend.name(), backend.capabilities()));

    if demo {
        time::timeout(Duration::from_secs(20), call_myself(address.port(), &mut seen)).await??;
    } else {
        tokio::signal::ctrl_c().await?;
    }
    backend.close().await;
    say("closed");
    Ok(())
}

/// What the program does with calls. `events` hears of the things that the demo waits for.
fn route_calls(backend: &SipVoiceBackend, events: mpsc::UnboundedSender<&'static str>) {
    let kit = Rooms::new(backend);

    // Fired after an incoming INVITE is accepted and its media is open.
    backend.on_call_async({
        let (backend, kit) = (backend.clone(), kit.clone());
        move |session| {
            let (backend, kit) = (backend.clone(), kit.clone());
            async move {
                let room_id = session.metadata().get("room_id").unwrap_or(session.id()).to_owned();
                say(&format!("Incoming call for room {room_id}"));
                if let Err(error) = enter(&backend, &kit, &session, &room_id).await {
                    say(&format!("{room_id}: {error}"));
                }
            }
        }
    });

    // Fired when the remote party hangs up.
    let ended = events.clone();
    backend.on_call_disconnected_async({
        let kit = kit.clone();
        move |session| {
            let (kit, ended) = (kit.clone(), ended.clone());
            async move {
                say(&format!("Call ended: {} ({})", session.id(), session.end_reason().unwrap_or("-")));
                let left = kit.disconnect_voice(&session).await;
                let closed = left.and(kit.close_room(&session.room_id()).await);
                if let Err(error) = closed {
                    say(&format!("{}: {error}", session.id()));
                }
                tell(&ended, "ended");
            }
        }
    });

    // Frames of 20 ms go to a voice activity detector and speech recognition from here.
    backend.on_audio_received(|session, frame| {
        let loudest = frame.samples().map(i16::unsigned_abs).max().unwrap_or(0);
        if frame.timestamp_ms % 1000 < 20 {
            say(&format!("{} is {loudest} loud", session.id()));
        }
    });

    let interrupted = events.clone();
    backend.on_barge_in(move |session| {
        say(&format!("{} talks over the playback", session.id()));
        tell(&interrupted, "barge-in");
    });

    kit.hook(HookTrigger::OnDtmf, HookExecution::Async, move |event, context| {
        let events = events.clone();
        async move {
            let (digit, ms) = (event.digit, event.duration_ms);
            say(&format!("DTMF digit: {digit}, duration: {ms}ms, room {}", context.room_id));
            tell(&events, "dtmf");
        }
    });
}

/// The session finds its room, and is spoken to.
async fn enter(
    backend: &SipVoiceBackend,
    kit: &Rooms,
    session: &VoiceSession,
    room_id: &str,
) -> Result<(), BackendError> {
    kit.create_room(room_id);
    kit.attach_channel(room_id, "voice")?;
    kit.bind_session(session, room_id)?;
    let named = Metadata::from([("session_id", session.id())]);
    let session = backend.connect(room_id, &session.participant_id(), "voice", &named).await?;

    // A speech service would yield chunks like these, of any length, as it makes them.
    let rate = session.sample_rate();
    let chunks = (0..10).map(move |n| AudioChunk::new(tone(440.0 + 20.0 * f64::from(n), rate, 1000)));
    backend.send_audio(&session, OutboundAudio::stream(stream::iter(chunks))).await
}

/// A caller, as a PBX would be one: names the room, presses a key, talks over the greeting, hangs up.
async fn call_myself(port: u16, seen: &mut mpsc::UnboundedReceiver<&'static str>) -> anyhow::Result<()> {
    let caller = SipVoiceBackend::new(loopback());
    caller.start().await?;
    let headers = [("X-Room-ID", "lobby"), ("X-Session-ID", "demo-1"), ("X-Tenant-ID", "t9")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let options = DialOptions { headers, ..DialOptions::default() };
    let session = caller.dial("100", "200", (Ipv4Addr::LOCALHOST, port).into(), options).await?;

    caller.send_dtmf(&session, '5', 160)?;
    expect(seen, "dtmf").await?;
    caller.send_audio(&session, noise(session.sample_rate(), 1000)).await?;
    expect(seen, "barge-in").await?;
    caller.disconnect(&session).await?;
    expect(seen, "ended").await?;
    caller.close().await;
    Ok(())
}

async fn expect(seen: &mut mpsc::UnboundedReceiver<&'static str>, what: &str) -> anyhow::Result<()> {
    while seen.recv().await.context("the backend lives")? != what {}
    Ok(())
}

/// A backend for a demonstration: nobody else reaches it, and it takes whatever port is free.
fn loopback() -> SipBackendConfig {
    SipBackendConfig {
        local_sip_addr: ("127.0.0.1".into(), 0),
        local_rtp_ip: "127.0.0.1".into(),
        rtp_port_start: 62_000,
        rtp_port_end: 62_999,
        ..SipBackendConfig::default()
    }
}

/// A tone as signed 16-bit little-endian samples.
fn tone(frequency: f64, rate: u32, ms: u32) -> Vec<u8> {
    let sample = |n: u32| (8000.0 * (TAU * frequency * f64::from(n) / f64::from(rate)).sin()) as i16;
    (0..rate * ms / 1000).flat_map(|n| sample(n).to_le_bytes()).collect()
}

/// Something that is as loud as a voice, and no tone.
fn noise(rate: u32, ms: u32) -> Vec<u8> {
    let mut state = 1_u32;
    let mut sample = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as i16 / 4
    };
    (0..rate * ms / 1000).flat_map(|_| sample().to_le_bytes()).collect()
}

fn tell(events: &mpsc::UnboundedSender<&'static str>, what: &'static str) {
    // Without --demo nobody listens after the end.
    let _ = events.send(what);
}

#[allow(clippy::print_stdout, reason = "an example that talks to the person who runs it")]
fn say(line: &str) {
    println!("{line}");
}
