//! `SippCall` is one call between the relay and a SIPp with a scenario of parts. The signalling is SIPp's, the media the test's.

use std::net::UdpSocket;
use std::time::Duration;

use testkit::rtp::Stream;
use testkit::tone;

use super::relay::Relay;
use super::rtp_end::RtpEnd;
use super::scenario;
use super::scene::{self, DIALLED};
use super::sipp::Sipp;
use super::temp::TempDir;
use super::tools::{self, Process};
use super::ws::{WsClient, multi_rtp};
use super::{WAIT, eventually, free_ports};

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// SIPp calls the relay.
    Caller,
    /// A client of the relay has it call SIPp.
    Called,
}

/// Both, for what does not depend on it.
pub const ROLES: [Role; 2] = [Role::Caller, Role::Called];

pub struct SippCall {
    pub relay: Relay,
    /// A client in multi mode.
    pub ws: WsClient,
    /// The media address of the scenario, `{{media_port}}`.
    pub media: RtpEnd,
    /// Another one with a stream of its own, `{{other_port}}`.
    pub other: RtpEnd,
    /// Empty until it is known.
    pub call_id: String,
    role: Role,
    sipp: Sipp,
    process: Process,
    hints: UdpSocket,
    hinted: u32,
    // Last: the folder goes after the process.
    dir: TempDir,
}

impl SippCall {
    /// Starts the relay with these settings, and SIPp with a scenario of `tests/interop`; the call begins. `None` where
    /// SIPp is not installed.
    pub fn begin(role: Role, name: &str, settings: &[(&str, &str)]) -> Option<Self> {
        Self::begin_with(role, name, settings, |_| vec![])
    }

    /// The same with values for the scenario, which may depend on SIPp's port.
    pub fn begin_with(
        role: Role,
        name: &str,
        settings: &[(&str, &str)],
        values: impl FnOnce(u16) -> Vec<(&'static str, String)>,
    ) -> Option<Self> {
        let programs = tools::find(&["sipp"])?;
        let port = free_ports(2);
        let (mut media, mut other) = (RtpEnd::bind(true), RtpEnd::bind(true));
        let up = if role == Role::Caller { "caller_up" } else { "called_up" };
        let places = [
            ("up", up.to_owned()),
            ("media_port", media.address().port().to_string()),
            ("other_port", other.address().port().to_string()),
        ];
        let text = scenario::read(name, &[&places[..], &values(port)].concat());
        let dir = TempDir::new("sipp");
        let sipp = if role == Role::Caller { Sipp::calling(&dir, &text) } else { Sipp::called(&dir, &text) };
        let sipp = sipp.at(port);
        let port = port.to_string();
        let server = [("SIP_SERVER_IP", "127.0.0.1"), ("SIP_TRANSFER_PORT", port.as_str())];
        let relay = Relay::start(&[&server, settings].concat());
        let ws = WsClient::connect(relay.ws(), "mode=multi");
        relay.expect_log("clients=1");
        let rtp = ([127, 0, 0, 1], relay.rtp_range().0).into();
        (media.to, other.to) = (Some(rtp), Some(rtp));
        *other.stream() = Stream::new(0, 0x6f74_6872, 7_000, 90_000);
        let process = match role {
            Role::Caller => sipp.start(&programs[0], relay.sip(), "100", 1, 1),
            Role::Called => sipp.answer(&programs[0], 1),
        };
        let hints = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut call = Self {
            relay,
            ws,
            media,
            other,
            call_id: String::new(),
            role,
            sipp,
            process,
            hints,
            hinted: 0,
            dir,
        };
        if role == Role::Called {
            call.ws.send(&format!("CALL:{DIALLED}"));
            let calling = call.ws.expect(&format!("CALLING:{DIALLED}##"));
            call.call_id = id_of(&calling);
        }
        Some(call)
    }

    /// The same, and waits until the call is up.
    pub fn up(role: Role, name: &str, settings: &[(&str, &str)]) -> Option<Self> {
        let mut call = Self::begin(role, name, settings)?;
        call.expect_up();
        Some(call)
    }

    /// The client is told that it rings.
    pub fn expect_ringing(&mut self) {
        let number = if self.role == Role::Caller { "0903383638" } else { DIALLED };
        self.call_id = id_of(&self.ws.expect(&format!("RING_ANS:{number}##")));
    }

    /// The client is told that it rings, and that it is up.
    pub fn expect_up(&mut self) {
        self.expect_ringing();
        self.expect("CALL_ANS:{id}");
    }

    /// Waits for a message of the relay that is exactly this, with the call's id for `{id}`.
    pub fn expect(&mut self, message: &str) {
        self.ws.expect_all(&[&message.replace("{id}", &self.call_id)]);
    }

    /// Sends a command, with the call's id for `{id}`.
    pub fn send(&self, command: &str) {
        self.ws.send(&command.replace("{id}", &self.call_id));
    }

    /// Has the scenario go on (`<part name="go"/>`).
    pub fn go(&mut self) {
        self.hinted += 1;
        hint(&self.hints, self.sipp.port, &self.call_id, self.hinted);
    }

    /// Waits until the scenario is at this point (`<part name="reached" what=".."/>`).
    pub fn expect_reached(&self, what: &str) {
        let reached = eventually(WAIT, || self.dir.path().join(what).exists());
        assert!(reached, "the scenario did not come to {what:?}");
    }

    /// SIPp has gone through its scenario, nothing was sent twice, and the client's whole log keeps the invariants.
    pub fn done(mut self) {
        self.process.expect_success(Duration::from_secs(10));
        self.sipp.assert_clean(1);
        self.ws.finish();
    }
}

/// Has a call of the SIPp on this port go on, for the `n`th time.
pub fn hint(from: &UdpSocket, port: u16, call_id: &str, n: u32) {
    // SIPp knows its calls by their Call-ID alone.
    let message = format!(
        "MESSAGE sip:go@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKgo{n}\r\n\
         From: <sip:test@127.0.0.1>;tag=go\r\nTo: <sip:sipp@127.0.0.1>\r\nCall-ID: {call_id}\r\n\
         CSeq: {n} MESSAGE\r\nContent-Length: 0\r\n\r\n",
        from.local_addr().unwrap(),
    );
    from.send_to(message.as_bytes(), ("127.0.0.1", port)).unwrap();
}

fn id_of(event: &str) -> String {
    event.split_once("##").expect("{event}:{number}##{call-id}").1.to_owned()
}

/// Each side says a tone, and the other one hears it.
pub fn talk(ws: &WsClient, call_id: &str, media: &mut RtpEnd) {
    let before = ws.expect_rtp(0, WAIT).len();
    media.send_pcm(&tone::tone(600.0, 8000, 200));
    let messages = ws.expect_rtp(before + 8, WAIT).split_off(before);
    let heard: Vec<i16> = messages.iter().flat_map(|(_, message)| multi_rtp(message).1).collect();
    let loud: Vec<i16> =
        heard.chunks(160).filter(|frame| !tone::is_silence(frame)).flatten().copied().collect();
    assert!(
        tone::is_tone(&loud, 8000, 600.0, 2.0),
        "heard {:?} Hz of 600",
        tone::dominant_frequency(&loud, 8000)
    );

    let before = media.arrivals().len();
    ws.send_pcm(call_id, &tone::tone(440.0, 8000, 200));
    let payload_type = media.payload_type;
    let heard = || scene::loud(&media.arrivals()[before..], payload_type);
    assert!(eventually(WAIT, || heard().len() >= 1500), "{} of 1600 samples", heard().len());
    assert!(
        tone::is_tone(&heard(), 8000, 440.0, 2.0),
        "{:?} Hz of 440",
        tone::dominant_frequency(&heard(), 8000)
    );
}
