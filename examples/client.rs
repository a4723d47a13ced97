//! A client in Rust: places a call, says a tone, tells what comes back, hangs up after five seconds.
//!
//! ```text
//! cargo run --release &
//! cargo run --release --example client -- ws://127.0.0.1:8080/ 0912341234
//! ```
//!
//! The lines are built and read with the same grammar as the relay's: the crate `model`.

use std::{env, f32::consts::TAU, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use model::{
    command::{AgentPayload, Command, Mode},
    event::Event,
    id::CallId,
};
use tokio_tungstenite::{connect_async, tungstenite::Message};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "ws://127.0.0.1:8080/".to_owned());
    let phone = arguments.next().unwrap_or_else(|| "0912341234".to_owned());

    let (mut relay, _) = connect_async(format!("{url}?mode=multi")).await?;
    relay.send(text(&Command::Call { phone })).await?;
    let mut loudest = 0;
    while let Some(message) = relay.next().await {
        let Message::Text(line) = message? else { continue };
        match Event::parse(&line, Mode::Multi)? {
            Event::RtpMulti { audio, .. } => loudest = loudest.max(peak(&audio)),
            Event::CallAns { call } => {
                say(&line);
                relay.send(text(&speak(&call))).await?;
                relay.send(text(&Command::Mark { call, name: "said".to_owned() })).await?;
            }
            Event::Mark { call, .. } => {
                tokio::time::sleep(Duration::from_millis(500)).await;
                relay.send(Message::text(format!("HANGUP:{call}"))).await?;
            }
            Event::Bye { .. } => {
                say(&format!("{line}, loudest sample heard: {loudest}"));
                return Ok(());
            }
            Event::CallFailed { .. } => anyhow::bail!("{line}"),
            _ => say(&line),
        }
    }
    anyhow::bail!("the relay closed the connection")
}

/// Five seconds of 440 Hz, in one message: the relay plays it at its pace.
fn speak(call: &CallId) -> Command {
    let sample = |n: u32| (8000.0 * (TAU * 440.0 * n as f32 / 8000.0).sin()) as i16;
    let pcm: Vec<u8> = (0..5 * 8000).flat_map(|n| sample(n).to_le_bytes()).collect();
    Command::Rtp { call: Some(call.clone()), audio: AgentPayload::Pcm(Bytes::from(pcm)) }
}

fn peak(audio: &[u8]) -> u16 {
    let samples = audio.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
    samples.map(i16::unsigned_abs).max().unwrap_or(0)
}

fn text(command: &Command) -> Message {
    Message::text(command.to_string())
}

#[allow(clippy::print_stdout)] // A program for people.
fn say(line: &str) {
    println!("{line}");
}
