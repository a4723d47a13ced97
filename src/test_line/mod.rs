//! The test line: a telephone inside the process that answers, says a sentence and echoes what it hears.
//!
//! It stands where a PBX would: it has UDP sockets of its own on loopback and speaks real SIP and RTP, on the same cores
//! as the relay. In: INVITEs; the last digits of the number choose what happens ([`ENDINGS`]). Out: answers, audio. It
//! knows nothing of the relay that calls it. [`TestCall`] goes the other way round: it places a call, with the library's
//! client.
//!
//! ```text
//!   SIP ─UDP─▶ Exchange ── VoiceCommand ──▶ Voice ◀─UDP─ RTP        phone: what a number does, pure
//!                       ◀── VoiceEvent ── (1 a call)              echo: what is done with audio, pure
//! ```

mod caller;
mod echo;
mod exchange;
mod hearing;
mod phone;
mod sound;
mod voice;
mod wire;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use actix::{Actor, Addr, Arbiter};
use sip::{Endpoint, EndpointConfig};
use tracing::{debug, warn};

use self::exchange::{CensusRequest, Exchange, Stop};
pub(crate) use self::hearing::Hearing;
pub use self::{
    caller::{TestCall, TestCallError, TestCallReport},
    exchange::LineCensus,
    hearing::Heard,
    phone::{Behaviour, ENDINGS, Ending},
};
use crate::relay::{rtp_ports::RtpPorts, seed};

/// A running test line.
pub struct TestLine {
    exchange: Addr<Exchange>,
    arbiter: Arbiter,
    address: SocketAddr,
}

impl TestLine {
    /// Starts the line on loopback, in the address family of the relay that will call it. Must run inside an actix system.
    ///
    /// # Errors
    /// When no UDP socket can be bound there.
    pub fn start(relay: IpAddr) -> io::Result<Self> {
        let loopback: IpAddr =
            if relay.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        let (socket, address) = wire::bind(loopback)?;
        let mut config = EndpointConfig::new(address);
        config.user_agent = "SIP-Relay-Test-Line/1.0".to_owned();
        config.contact_user = Some("test-line".to_owned());
        let endpoint = Endpoint::new(config, seed());
        let ports = rtp_ports(loopback);
        let arbiter = Arbiter::new();
        let exchange = Exchange::start_in_arbiter(&arbiter.handle(), move |_| {
            Exchange::new(socket, endpoint, ports)
                // A bound, non-blocking UDP socket inside a runtime with I/O: there is nothing left that can fail.
                .expect("the SIP socket joins its arbiter")
        });
        Ok(Self { exchange, arbiter, address })
    }

    /// Starts the line on 127.0.0.1 from anywhere, for a program that wants a telephone to call. It stays until the process
    /// ends.
    ///
    /// # Errors
    /// When no UDP socket can be bound there, or no thread be started.
    pub fn start_in_background() -> io::Result<Self> {
        let (started, outcome) = std::sync::mpsc::channel();
        crate::engine::spawn(async move {
            // Nobody waits if the thread that asked is gone.
            let _ = started.send(Self::start(Ipv4Addr::LOCALHOST.into()));
        })?;
        outcome.recv().map_err(io::Error::other)?
    }

    /// Where it takes calls.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as the host of a URI.
    pub fn host(&self) -> String {
        host(self.address.ip())
    }

    /// What to type next, one line of text each; `ws` is where clients connect, by TLS if `secure`.
    pub fn banner(ws: SocketAddr, secure: bool) -> Vec<String> {
        let host = if ws.ip().is_unspecified() { "127.0.0.1".to_owned() } else { host(ws.ip()) };
        let scheme = if secure { "wss" } else { "ws" };
        let first = format!(
            "No SIP_SERVER_IP: outbound calls go to the test line. Connect {scheme}://{host}:{}/ and type CALL:{EXAMPLE}",
            ws.port()
        );
        let endings = ENDINGS.iter().map(|ending| format!("  CALL:{} {}", ending.example(), ending.says));
        std::iter::once(first).chain(endings).collect()
    }

    /// What exists right now; all zero when no call is up.
    pub async fn census(&self) -> LineCensus {
        self.exchange.send(CensusRequest).await.unwrap_or_default()
    }

    /// Ends what calls there are and gives back every socket.
    pub async fn stop(self) {
        let LineCensus { calls, ports } = self.census().await;
        debug!(calls, ports, "test line census");
        if tokio::time::timeout(STOP_DEADLINE, self.exchange.send(Stop)).await.is_err() {
            warn!("the test line did not stop in time");
        }
        self.arbiter.stop();
        // An error is a panic that has been reported where it happened.
        let _ = self.arbiter.join();
    }
}

/// Ports beside those that a relay or the operating system hands out by default; what is taken is skipped.
fn rtp_ports(address: IpAddr) -> RtpPorts {
    RtpPorts::new(address, RTP_PORTS.0, RTP_PORTS.1, 2).expect("a constant, valid range")
}

/// An address as the host of a URI.
fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// A number without a special ending.
const EXAMPLE: &str = "0912341234";
/// Linux hands out 32768 to 60999 by itself, other systems 49152 to 65535.
const RTP_PORTS: (u16, u16) = (61_000, 61_999);
const STOP_DEADLINE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn caller_hears_the_sentence_and_the_line_hangs_up_and_leaves_nothing_behind() {
        let line = line();
        let report = call(&line, "0912340200").run().await.expect("the line answers");
        assert!(report.answered_after < Duration::from_millis(1400), "an INVITE was lost: {report:?}");
        assert!(report.rang && report.hung_up && report.audio() && report.heard.sound(), "{report:?}");
        assert!(!report.heard.tone(), "the line speaks, it does not echo yet: {report:?}");
        settles(&line, LineCensus { calls: 0, ports: 0 }).await;
        line.stop().await;
    }

    #[actix::test]
    async fn refused_caller_learns_the_status() {
        let line = line();
        let refused = call(&line, "0912340486").run().await.expect_err("the line is busy");
        assert_eq!(refused.to_string(), "not answered: 486 Busy Here");
        line.stop().await;
    }

    #[actix::test]
    async fn call_beyond_the_limit_is_refused_and_holds_no_port() {
        let line = line();
        for _ in 0..100 {
            actix::spawn(call(&line, "0912340408").run());
        }
        settles(&line, LineCensus { calls: 100, ports: 0 }).await;
        let refused = call(&line, "0912341234").run().await.expect_err("the line is full");
        assert_eq!(refused.to_string(), "not answered: 503 Service Unavailable");
        settles(&line, LineCensus { calls: 100, ports: 0 }).await;
        line.stop().await;
    }

    #[actix::test]
    async fn line_in_ipv6_takes_calls() {
        let Ok(line) = TestLine::start(Ipv6Addr::LOCALHOST.into()) else {
            return eprintln!("skipped: this machine has no IPv6 loopback");
        };
        let refused = call(&line, "0912340603").run().await.expect_err("the line declines");
        assert_eq!(refused.to_string(), "not answered: 603 Decline");
        line.stop().await;
    }

    /// The line's own tasks may have a few steps to go.
    async fn settles(line: &TestLine, expected: LineCensus) {
        let settled = async {
            while line.census().await != expected {
                tokio::task::yield_now().await;
            }
        };
        let settled = tokio::time::timeout(Duration::from_secs(5), settled).await;
        assert!(settled.is_ok(), "{:?}", line.census().await);
    }

    fn line() -> TestLine {
        TestLine::start(Ipv4Addr::LOCALHOST.into()).expect("loopback has a free port")
    }

    fn call(line: &TestLine, number: &str) -> TestCall {
        let (number, caller) = (number.to_owned(), "0912345678".to_owned());
        TestCall { destination: line.address(), number, caller, length: Duration::from_secs(20) }
    }

    #[test]
    fn banner_names_the_address_to_connect_to_and_every_ending() {
        let lines = TestLine::banner("127.0.0.1:8080".parse().expect("an address"), false);
        assert_eq!(
            lines[0],
            "No SIP_SERVER_IP: outbound calls go to the test line. Connect ws://127.0.0.1:8080/ and type CALL:0912341234"
        );
        assert_eq!(lines.len(), 1 + ENDINGS.len());
        assert!(lines.contains(&"  CALL:0912340486 is busy".to_owned()), "{lines:?}");
    }

    #[test]
    fn banner_names_an_address_that_can_be_connected_to() {
        let any = TestLine::banner("0.0.0.0:80".parse().expect("an address"), false);
        assert!(any[0].contains("ws://127.0.0.1:80/"), "{}", any[0]);
        let six = TestLine::banner("[::1]:80".parse().expect("an address"), true);
        assert!(six[0].contains("wss://[::1]:80/"), "{}", six[0]);
    }
}
