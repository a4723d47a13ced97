//! Makes a test call and says what became of it: by SIP, or as Telnyx and Twilio do.

use std::{
    env, fs,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use sip_relay::{
    config::{Config, LoadError, Secret},
    stream_call::{Says, StreamCall, TwilioSignature},
    test_line::{TestCall, TestCallReport},
};

/// Calls the gateway as Telnyx or Twilio do: asks for its health, posts the webhook, streams a 440 Hz tone in real time and
/// counts what comes back. With --sip it calls the relay by SIP, sends a tone and a sentence, and says what it heard. Exit
/// code 0: all went well; 1: not; 2: wrong use.
#[derive(Debug, Parser)]
#[command(name = "test_call", version)]
struct Cli {
    /// Address of the gateway [default: 127.0.0.1], or of the relay [default: SIP_LOCAL_IP]
    #[arg(long)]
    host: Option<String>,
    /// Port of the gateway [default: 8765], or SIP port of the relay [default: SIP_LOCAL_PORT]
    #[arg(long)]
    port: Option<u16>,
    /// The number that calls [default: +15125559999, by SIP 0912345678]
    #[arg(long)]
    caller: Option<String>,
    /// Whom to play
    #[arg(long, value_enum, default_value_t = Provider::Telnyx, conflicts_with = "sip")]
    provider: Provider,
    /// The number called
    #[arg(long, default_value = "+15125551234", conflicts_with = "sip")]
    did: String,
    /// Frames of 20 ms to send
    #[arg(long, default_value_t = 150, conflicts_with = "sip", value_parser = clap::value_parser!(u32).range(1..=30_000))]
    frames: u32,
    /// Send this file instead of the tone: linear PCM, 16 bit, little-endian, 16000 Hz, no header
    #[arg(long, value_name = "RAW", conflicts_with_all = ["sip", "frames"])]
    audio_file: Option<PathBuf>,
    /// Go to the media socket at once
    #[arg(long, conflicts_with = "sip")]
    skip_webhook: bool,
    /// Sign as Twilio does, with the token in TWILIO_AUTH_TOKEN, which the gateway has too
    #[arg(long, conflicts_with = "sip")]
    sign: bool,
    /// What is signed: the gateway's SIP_PUBLIC_WS_URL [default: where it is]
    #[arg(long, value_name = "URL", requires = "sign")]
    ws_url: Option<String>,
    /// Call the relay by SIP instead
    #[arg(long)]
    sip: bool,
    /// By SIP: the number to call
    #[arg(long, default_value = "100", requires = "sip")]
    number: String,
    /// By SIP: how long the call stays up
    #[arg(long, default_value_t = 8, requires = "sip", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

/// The simulated providers.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Provider {
    Telnyx,
    Twilio,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    if cli.sip { call_by_sip(cli) } else { call_as_a_provider(cli) }
}

fn call_as_a_provider(cli: Cli) -> anyhow::Result<ExitCode> {
    let says = match &cli.audio_file {
        None => Says::Tone(cli.frames),
        Some(path) => match fs::read(path) {
            Ok(audio) => Says::Audio(audio.into()),
            Err(error) => return wrong(&format!("{}: {error}", path.display())),
        },
    };
    let auth_token = match (cli.sign, cli.provider, env::var("TWILIO_AUTH_TOKEN")) {
        (false, ..) => None,
        (true, Provider::Telnyx, _) => {
            return wrong("--sign: only Twilio signs with a token, --provider twilio");
        }
        (true, Provider::Twilio, Ok(token)) => Some(Secret::new(token)),
        (true, Provider::Twilio, Err(_)) => return wrong("--sign: TWILIO_AUTH_TOKEN is not set"),
    };
    let host = cli.host.unwrap_or_else(|| "127.0.0.1".to_owned());
    let port = cli.port.unwrap_or(8765);
    let ws_url = cli.ws_url.unwrap_or_else(|| format!("ws://{host}:{port}/sip/media-stream"));
    let call = StreamCall {
        host,
        port,
        signature: auth_token.map(|auth_token| TwilioSignature { auth_token, ws_url }),
        provider: match cli.provider {
            Provider::Telnyx => stream::Provider::Telnyx,
            Provider::Twilio => stream::Provider::Twilio,
        },
        did: cli.did,
        caller: cli.caller.unwrap_or_else(|| "+15125559999".to_owned()),
        says,
        skip_webhook: cli.skip_webhook,
    };
    // Whoever reads no more has read enough.
    let mut print = |line: &str| drop(say(line));
    let passed = actix::System::new().block_on(call.run(&mut print));
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn call_by_sip(cli: Cli) -> anyhow::Result<ExitCode> {
    let host = match cli.host.as_deref().map(str::parse::<IpAddr>).transpose() {
        Ok(host) => host,
        Err(_) => return wrong("--host: by SIP it is an IP address"),
    };
    let destination = match relay(host, cli.port)? {
        Ok(destination) => destination,
        Err(error) => {
            error.print()?;
            return Ok(ExitCode::from(error.exit_code()));
        }
    };
    say(&format!("Calling sip:{}@{destination} ...", cli.number))?;
    let (number, length) = (cli.number, Duration::from_secs(cli.seconds));
    let caller = cli.caller.unwrap_or_else(|| "0912345678".to_owned());
    let call = TestCall { destination, number, caller, length };
    match actix::System::new().block_on(call.run()) {
        Ok(report) => print(&report),
        Err(error) => {
            say(&format!("FAILED: {error}"))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Where the relay is: as told, else by the settings that the relay reads.
fn relay(host: Option<IpAddr>, port: Option<u16>) -> anyhow::Result<Result<SocketAddr, LoadError>> {
    if let (Some(host), Some(port)) = (host, port) {
        return Ok(Ok(SocketAddr::new(host, port)));
    }
    let cwd = env::current_dir().context("the working directory cannot be read")?;
    let program = env::args_os().take(1);
    let local = match Config::load(program, |name| env::var(name).ok(), &cwd) {
        Ok(loaded) => loaded.config.sip.local,
        Err(error) => return Ok(Err(error)),
    };
    // A relay on every address is on this one as well.
    let local_host = if local.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { local.ip() };
    Ok(Ok(SocketAddr::new(host.unwrap_or(local_host), port.unwrap_or(local.port()))))
}

fn print(report: &TestCallReport) -> anyhow::Result<ExitCode> {
    let (heard, audio) = (report.heard, report.audio());
    let ms = |duration: Duration| duration.as_millis();
    say(&format!("answered after {} ms, codec {}", ms(report.answered_after), report.codec))?;
    let end = if report.hung_up { "the relay hung up" } else { "hung up here" };
    say(&format!("up for {} ms, then {end}", ms(report.up)))?;
    let sound = if heard.sound() { "sound" } else { "silence" };
    say(&format!("heard {} packets of audio, {sound} (rms {:.0})", heard.frames, heard.rms))?;
    let tone = if heard.tone() { "came back: the far end echoes" } else { "did not come back" };
    say(&format!("the tone that was sent {tone}"))?;
    say(if audio { "OK" } else { "FAILED: too little audio came" })?;
    Ok(if audio { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Says what is wrong with the arguments.
fn wrong(problem: &str) -> anyhow::Result<ExitCode> {
    writeln!(io::stderr(), "error: {problem}")?;
    Ok(ExitCode::from(2))
}
