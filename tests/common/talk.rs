//! Relay, call center and scripted services together, and callers who talk with them.

use std::net::SocketAddr;
use std::time::Duration;

use testkit::openai::Server;
use testkit::voice;

use super::call_center::CallCenter;
use super::pbx::{Invite, Pbx, PbxCall};
use super::relay::Relay;
use super::{WAIT, eventually, scene};

/// Enough for a loaded machine.
pub const LONG: Duration = Duration::from_secs(15);

pub struct Talk {
    pub center: CallCenter,
    pub relay: Relay,
    pub pbx: Pbx,
    pub server: Server,
}

impl Talk {
    /// All on free ports, with no other settings of the call center than these.
    pub fn new(settings: &[(&str, &str)]) -> Self {
        let relay = Relay::start(&[]);
        let way = relay.ws();
        Self::through(relay, way, settings)
    }

    /// With a relay that the call center reaches at `way`.
    pub fn through(relay: Relay, way: SocketAddr, settings: &[(&str, &str)]) -> Self {
        let server = Server::start();
        let base = server.base_url();
        let mut all = vec![("OPENAI_API_KEY", "sk-test"), ("OPENAI_API_BASE", base.as_str())];
        all.extend(settings);
        let center = CallCenter::start(way, &[], &all);
        Self { center, relay, pbx: Pbx::new(), server }
    }

    /// A call that is up, and talked to.
    pub fn call(&self, format: u8) -> PbxCall {
        let before = self.center.count_log("call up");
        let call = self.pbx.call(self.relay.sip(), Invite { formats: vec![format], ..Invite::default() });
        assert!(eventually(WAIT, || self.center.count_log("call up") > before));
        call
    }

    /// The files of round trips are gone.
    pub fn assert_no_files(&self) {
        for folder in ["convented", "response"] {
            assert!(self.center.dir().join("output").join(folder).is_dir());
            let empty = eventually(WAIT, || self.center.output_files(folder).is_empty());
            assert!(empty, "{:?}", self.center.output_files(folder));
        }
    }
}

/// The caller says something for a second and a half, and then nothing.
pub fn turn(call: &mut PbxCall) {
    call.rtp.send_pcm(&[vec![0; 4000], voice::speech(8000, 1500, 1), vec![0; 8000]].concat());
}

/// What a caller heard so far, pauses apart.
pub fn heard(call: &PbxCall) -> Vec<i16> {
    scene::loud(&call.rtp.arrivals(), call.rtp.payload_type)
}

/// Waits until the caller has heard so many samples, pauses apart.
pub fn expect_heard(call: &PbxCall, samples: usize) -> Vec<i16> {
    let enough = eventually(LONG, || call.rtp.loud_packets() * 160 >= samples);
    let heard = heard(call);
    assert!(enough && heard.len() >= samples, "{} of {samples} samples", heard.len());
    heard
}
