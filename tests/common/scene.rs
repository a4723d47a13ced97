//! Calls as most tests begin them: up, and told to a client; and what was heard in them.

use testkit::tone;

use super::pbx::{Invite, Pbx, PbxCall};
use super::relay::Relay;
use super::rtp_end::{self, Arrival};
use super::temp::TempDir;
use super::ws::WsClient;

/// The number that outbound calls dial.
pub const DIALLED: &str = "0912341234";

/// Starts a relay whose telephone system is `pbx`.
pub fn start(pbx: &Pbx, settings: &[(&str, &str)]) -> Relay {
    start_in(TempDir::new("relay"), pbx, settings)
}

/// The same in a folder that the test has prepared.
pub fn start_in(dir: TempDir, pbx: &Pbx, settings: &[(&str, &str)]) -> Relay {
    let server = pbx.settings();
    let server = server.iter().map(|(name, value)| (*name, value.as_str()));
    Relay::start_in(dir, &server.chain(settings.iter().copied()).collect::<Vec<_>>())
}

/// Calls the relay; the call is up, and `ws` was told so.
pub fn inbound(relay: &Relay, pbx: &Pbx, ws: &mut WsClient, invite: Invite) -> PbxCall {
    let call = pbx.call(relay.sip(), invite);
    let call_id = call.call_id();
    ws.expect_all(&[&format!("RING_ANS:0903383638##{call_id}"), &format!("CALL_ANS:{call_id}")]);
    call
}

/// Is called by the relay on behalf of `ws`; rings, and has not answered.
pub fn ringing(pbx: &Pbx, ws: &mut WsClient) -> PbxCall {
    ws.send(&format!("CALL:{DIALLED}"));
    let mut call = pbx.expect_call();
    call.respond(180, "Ringing");
    let rings = ws.wait_for("RING_ANS:");
    assert_eq!(rings, format!("RING_ANS:{DIALLED}##{}", call.call_id()));
    call
}

/// Is called by the relay on behalf of `ws` and answers with `formats`; the call is up.
pub fn outbound(pbx: &Pbx, ws: &mut WsClient, formats: &[u8]) -> PbxCall {
    let mut call = ringing(pbx, ws);
    call.answer(formats);
    call.expect_request("ACK");
    ws.expect_all(&[&format!("CALL_ANS:{}", call.call_id())]);
    call
}

/// The samples of all frames that are not silence.
pub fn loud(arrivals: &[Arrival], payload_type: u8) -> Vec<i16> {
    let pcm = rtp_end::pcm(arrivals, payload_type);
    pcm.chunks(160).filter(|frame| !tone::is_silence(frame)).flatten().copied().collect()
}

/// The payloads of the packets that are not `silence` all through.
pub fn loud_payloads(arrivals: &[Arrival], silence: u8) -> Vec<Vec<u8>> {
    let payloads = arrivals.iter().map(|arrival| arrival.packet.payload.clone());
    payloads.filter(|payload| payload.iter().any(|&byte| byte != silence)).collect()
}

/// Mean time between packets, milliseconds.
pub fn mean_interval_ms(arrivals: &[Arrival]) -> f64 {
    let span = arrivals[arrivals.len() - 1].at - arrivals[0].at;
    span.as_secs_f64() * 1e3 / (arrivals.len() - 1) as f64
}

/// A WAV file of interleaved 16-bit samples.
pub fn wav(sample_rate: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
    let sample_format = hound::SampleFormat::Int;
    let spec = hound::WavSpec { channels, sample_rate, bits_per_sample: 16, sample_format };
    let mut file = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
    samples.iter().for_each(|&sample| writer.write_sample(sample).unwrap());
    writer.finalize().unwrap();
    file.into_inner()
}
