//! `Session` ties one call leg's media together: it owns the parts, the clock and the outputs.
//!
//! In: commands, datagrams, the time. Out: [`Output`]s. What waits to be sent is in `play.rs`, what
//! is sent in `send.rs`, what is received in `receive.rs`, reports and watchdogs in `supervise.rs`; here are the call's
//! commands and the contract of a core.

mod play;
mod receive;
mod send;
mod supervise;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::backlog::Backlog;
use crate::dialler::Dialler;
use crate::playback::Playback;
use crate::playout::Playout;
use crate::random::Random;
use crate::reception::units;
use crate::{DtmfError, Encoder, Event, Output, SessionConfig, Stats};
use receive::Receiver;
use supervise::Supervisor;

/// One call leg's media.
///
/// ```
/// # use std::time::{Duration, Instant};
/// # struct Zeros;
/// # impl rtp::Encoder for Zeros {
/// #     fn sample_rate(&self) -> u32 { 8000 }
/// #     fn encode(&mut self, pcm: &[i16], payload: &mut Vec<u8>) { payload.resize(pcm.len(), 0xff) }
/// # }
/// # fn transmit(_: rtp::Output) {}
/// # let now = Instant::now();
/// let config = rtp::SessionConfig::new(0, 0x1234_5678, 1, 0);
/// let mut session = rtp::Session::new(now, config, Box::new(Zeros), 42);
/// session.set_remote(now, "192.0.2.7:4000".parse().unwrap(), None);
/// session.start(now); // the call was answered: the first packet is due
/// while let Some(output) = session.poll_output() {
///     transmit(output);
/// }
/// assert_eq!(session.next_timeout(), Some(now + Duration::from_millis(20)));
/// ```
pub struct Session {
    config: SessionConfig,
    encoder: Box<dyn Encoder>,
    created: Instant,
    outputs: VecDeque<Output>,
    stats: Stats,
    closed: bool,
    receiver: Receiver,
    supervisor: Supervisor,

    playout: Playout,
    dialler: Dialler,
    /// Whether the call's direction lets us send.
    sending: bool,
    /// When the next frame is due; `None` before the start.
    next_frame: Option<Instant>,
    seq: u16,
    /// Timestamp of the next frame.
    timestamp: u32,
    /// Whether the last packet was agent audio: the next one starts no talk spurt.
    in_talk_spurt: bool,
    /// When the last frame of agent audio has been heard out.
    busy_until: Option<Instant>,
    /// Frames that are to be sent ahead of the clock.
    lead: u32,
    /// Frames of agent audio that were sent and are not due yet.
    ahead: u32,
    /// Agent audio that was sent, and cleared before it was due.
    unheard: Duration,
    draining: bool,
    /// Whether high water was reported and low water not yet.
    above_high_water: bool,
    /// How late the queued audio is.
    backlog: Backlog,
    playback: Playback,
    /// Where the call's timeline begins: at the start, or at the peer's first audio if that came earlier.
    origin: Option<Instant>,
    /// Place of the next frame on it, in clock units.
    position: u64,
    reports_sent: bool,
    pcm: Vec<i16>,
    payload: Vec<u8>,
}

impl Session {
    /// A session that neither sends nor knows its peer yet. `seed` spreads the RTCP intervals.
    ///
    /// Encodes one frame of silence to learn the length of a frame.
    pub fn new(now: Instant, mut config: SessionConfig, mut encoder: Box<dyn Encoder>, seed: u64) -> Self {
        config.clock_rate = config.clock_rate.clamp(MIN_CLOCK_RATE, MAX_CLOCK_RATE);
        config.max_burst = config.max_burst.max(1);
        let silence = silence(&mut *encoder);
        Self {
            pcm: Vec::with_capacity((encoder.sample_rate() / 50) as usize),
            payload: Vec::with_capacity(silence.len()),
            playout: Playout::new(encoder.sample_rate(), silence),
            dialler: Dialler::new(config.clock_rate, config.dtmf_gap),
            receiver: Receiver::new(&config),
            supervisor: Supervisor::new(Random::new(seed)),
            encoder,
            created: now,
            outputs: VecDeque::with_capacity(2),
            stats: Stats::default(),
            closed: false,
            sending: true,
            next_frame: None,
            seq: config.first_seq,
            timestamp: config.first_timestamp,
            in_talk_spurt: false,
            busy_until: None,
            lead: (config.lead.as_nanos() / crate::FRAME.as_nanos()) as u32,
            ahead: 0,
            unheard: Duration::ZERO,
            draining: false,
            above_high_water: false,
            backlog: Backlog::default(),
            playback: Playback::new(),
            origin: None,
            position: 0,
            reports_sent: false,
            config,
        }
    }

    /// The peer's addresses from its SDP. They are untrusted: see [`SessionConfig::symmetric`].
    ///
    /// `rtcp`: `None` means the port above `rtp`. An address other than the last one makes the session look for the
    /// peer's source again; the same address changes nothing, and neither does 0.0.0.0 or port 0.
    pub fn set_remote(&mut self, _now: Instant, rtp: SocketAddr, rtcp: Option<SocketAddr>) {
        self.receiver.set_remote(rtp, rtcp);
    }

    /// Hold: which ways media flows. Without `send` the playout queue pauses; without `receive` packets are ignored
    /// and the watchdogs rest.
    pub fn set_direction(&mut self, now: Instant, send: bool, receive: bool) {
        self.sending = send;
        self.direct(now, receive);
    }

    /// Another codec, after a re-INVITE: what is sent from now on, and what is accepted.
    ///
    /// Audio in the playout queue is of the old codec, so it is [`clear`](Self::clear)ed. The clock, the SSRC and the
    /// positions go on.
    pub fn set_codec(
        &mut self,
        now: Instant,
        payload_type: u8,
        accept: &[u8],
        telephone_event: Option<u8>,
        mut encoder: Box<dyn Encoder>,
    ) {
        self.clear(now);
        self.playout.recode(encoder.sample_rate(), silence(&mut *encoder));
        self.encoder = encoder;
        self.config.payload_type = payload_type;
        self.config.accept = SmallVec::from_slice(accept);
        self.config.telephone_event = telephone_event;
        self.in_talk_spurt = false;
    }

    /// The call was answered: frame n goes out at `now` + n * 20 ms, until [`close`](Self::close).
    pub fn start(&mut self, now: Instant) {
        if self.closed || self.next_frame.is_some() {
            return;
        }
        self.next_frame = Some(now);
        let origin = *self.origin.get_or_insert(now);
        self.position = units(now.saturating_duration_since(origin), self.config.clock_rate);
        self.supervise_from(now);
        self.send_due(now);
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        self.receive_due(now);
        self.send_due(now);
        self.supervise_due(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next; `None`: not before another input.
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        let deadlines = [
            self.next_frame,
            self.receiver.next_timeout(),
            self.supervisor.report_due,
            self.silence_due().map(|(due, _)| due),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The next thing to do; `None` when there is nothing left.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Sends digits as telephone events (RFC 4733), `each` long (rounded up to 20 ms); the playout queue pauses
    /// meanwhile. Before the start, and on hold, digits wait.
    pub fn send_dtmf(&mut self, _now: Instant, digits: &str, each: Duration) -> Result<(), DtmfError> {
        if self.closed {
            return Err(DtmfError::Closed);
        }
        if self.config.telephone_event.is_none() {
            return Err(DtmfError::NotNegotiated);
        }
        self.dialler.dial(digits, each)
    }

    /// Whether each frame that is sent is reported as [`Event::Sent`], for a recording of both sides. Not before it is
    /// asked for.
    pub fn report_sent_audio(&mut self, on: bool) {
        self.reports_sent = on;
    }

    /// Where the peer's first audio lies on the call's timeline, in clock units; `None` before it came.
    ///
    /// This timeline begins at [`start`](Self::start), or at the peer's first audio if that came earlier. What is received
    /// at the timestamp t of [`Event::Audio`] lies at `received_from` + t on it, what is sent at [`Event::Sent`]'s position.
    pub fn received_from(&self) -> Option<u64> {
        self.receiver.first_audio()
    }

    /// Ends the stream: what is held of the peer's comes out, an RTCP BYE goes out, and nothing after it.
    pub fn close(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        self.flush_received();
        self.say_goodbye(now);
        self.closed = true;
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats;
        self.receiver.count(&mut stats);
        stats
    }

    fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

/// One frame of silence, encoded.
fn silence(encoder: &mut dyn Encoder) -> Vec<u8> {
    let pcm = vec![0; (encoder.sample_rate() / 50) as usize];
    let mut payload = Vec::with_capacity(pcm.len());
    encoder.encode(&pcm, &mut payload);
    payload
}

/// Slowest and fastest RTP clock of an audio codec.
const MIN_CLOCK_RATE: u32 = 8_000;
const MAX_CLOCK_RATE: u32 = 192_000;
