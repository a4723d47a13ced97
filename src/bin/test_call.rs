//! Makes a test call and says what it heard.

use std::{
    env,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::Parser;
use sip_relay::{
    config::{Config, LoadError},
    test_line::{TestCall, TestCallReport},
};

/// Calls the relay, sends a tone and a sentence, and says what it heard. Exit code 0: the call was answered and
/// audio came; 1: not; 2: wrong use.
#[derive(Debug, Parser)]
#[command(name = "test_call", version)]
struct Cli {
    /// Call the relay by SIP
    #[arg(long)]
    sip: bool,
    /// Address of the relay [default: SIP_LOCAL_IP]
    #[arg(long, value_name = "IP")]
    host: Option<IpAddr>,
    /// SIP port of the relay [default: SIP_LOCAL_PORT]
    #[arg(long)]
    port: Option<u16>,
    /// The number to call
    #[arg(long, default_value = "100")]
    number: String,
    /// The number that calls
    #[arg(long, default_value = "0912345678")]
    caller: String,
    /// How long the call stays up
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    if !cli.sip {
        say(
            "The simulator of Twilio and Telnyx is not available yet. To call the relay by SIP: test_call --sip",
        )?;
        return Ok(ExitCode::from(2));
    }
    let destination = match relay(&cli)? {
        Ok(destination) => destination,
        Err(error) => {
            error.print()?;
            return Ok(ExitCode::from(error.exit_code()));
        }
    };
    say(&format!("Calling sip:{}@{destination} ...", cli.number))?;
    let (number, caller, length) = (cli.number, cli.caller, Duration::from_secs(cli.seconds));
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
fn relay(cli: &Cli) -> anyhow::Result<Result<SocketAddr, LoadError>> {
    if let (Some(host), Some(port)) = (cli.host, cli.port) {
        return Ok(Ok(SocketAddr::new(host, port)));
    }
    let cwd = env::current_dir().context("the working directory cannot be read")?;
    let program = env::args_os().take(1);
    let local = match Config::load(program, |name| env::var(name).ok(), &cwd) {
        Ok(loaded) => loaded.config.sip.local,
        Err(error) => return Ok(Err(error)),
    };
    // A relay on every address is on this one as well.
    let host = if local.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { local.ip() };
    Ok(Ok(SocketAddr::new(cli.host.unwrap_or(host), cli.port.unwrap_or(local.port()))))
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
