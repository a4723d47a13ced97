//! `Session` ties one call leg's media together: it owns the parts, the clock and the outputs.
//!
//! In: commands, datagrams, the time. Out: [`Output`]s. What is sent is in `send.rs`, what is received in
//! `receive.rs`, reports and watchdogs in `supervise.rs`; here are the commands and the contract of a core.

mod receive;
mod send;
mod supervise;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::dialler::Dialler;
use crate::playout::Playout;
use crate::random::Random;
use crate::{DtmfError, Encoder, Event, MarkError, Output, QueueFull, SessionConfig, Stats};
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
    draining: bool,
    /// Whether high water was reported and low water not yet.
    above_high_water: bool,
    /// Frames that a stall delayed the queued audio by.
    behind: u64,
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
        let sample_rate = encoder.sample_rate();
        let pcm = vec![0; (sample_rate / 50) as usize];
        let mut silence = Vec::with_capacity(pcm.len());
        encoder.encode(&pcm, &mut silence);
        Self {
            payload: Vec::with_capacity(silence.len()),
            playout: Playout::new(sample_rate, silence),
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
            draining: false,
            above_high_water: false,
            behind: 0,
            pcm,
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

    /// The call was answered: frame n goes out at `now` + n * 20 ms, until [`close`](Self::close).
    pub fn start(&mut self, now: Instant) {
        if self.closed || self.next_frame.is_some() {
            return;
        }
        self.next_frame = Some(now);
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

    /// Queues PCM at the encoder's sample rate, any length.
    ///
    /// The limit lies between messages: below it a message of any length is taken whole.
    pub fn queue_pcm(&mut self, _now: Instant, pcm: &[i16]) -> Result<(), QueueFull> {
        self.admit()?;
        self.playout.push_pcm(pcm);
        self.check_high_water();
        Ok(())
    }

    /// Queues payload of the codec that is sent, any length; its bytes go out untouched.
    pub fn queue_payload(&mut self, _now: Instant, payload: &[u8]) -> Result<(), QueueFull> {
        self.admit()?;
        self.playout.push_payload(payload);
        self.check_high_water();
        Ok(())
    }

    /// Queues a mark, reported when all audio before it has been played: at once if there is none.
    pub fn mark(&mut self, now: Instant, name: String) -> Result<(), MarkError> {
        if self.closed {
            return Err(MarkError::Closed);
        }
        if name.len() > MAX_MARK_NAME {
            return Err(MarkError::NameTooLong { length: name.len(), limit: MAX_MARK_NAME });
        }
        if self.playout.marks() >= MAX_MARKS {
            return Err(MarkError::TooMany { limit: MAX_MARKS });
        }
        self.playout.push_mark(name);
        if self.is_quiet(now) {
            self.report_reached();
        }
        Ok(())
    }

    /// Empties the playout queue; every mark whose audio was not sent comes back as cleared. Digits go on.
    pub fn clear(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        self.report_reached();
        let played = self.playout.played();
        let outputs = &mut self.outputs;
        self.playout.clear(|name| outputs.push_back(Output::Event(Event::MarkCleared { name, played })));
        self.behind = 0;
        self.check_low_water();
        self.check_drained(now);
    }

    /// Asks for [`Event::Drained`] when queue and digits are through: at once if there are none.
    pub fn drain(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        self.draining = true;
        self.check_drained(now);
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

    /// Audio in the playout queue.
    pub fn queued(&self) -> Duration {
        self.playout.queued()
    }

    /// Agent audio sent on this call leg, exact to the frame.
    pub fn played(&self) -> Duration {
        self.playout.played()
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

    fn admit(&mut self) -> Result<(), QueueFull> {
        let queued = self.playout.queued();
        let limit = match (self.closed, self.next_frame) {
            (true, _) => Duration::ZERO,
            (false, None) => self.config.pre_start_limit,
            (false, Some(_)) => self.config.queue_limit,
        };
        if queued >= limit {
            self.stats.refused += 1;
            return Err(QueueFull { queued, limit });
        }
        Ok(())
    }

    fn check_high_water(&mut self) {
        let queued = self.playout.queued();
        if !self.above_high_water && queued > self.config.high_water {
            self.above_high_water = true;
            self.emit(Event::HighWater { queued });
        }
    }

    fn check_low_water(&mut self) {
        if !self.above_high_water {
            return;
        }
        let queued = self.playout.queued();
        if queued <= self.config.low_water {
            self.above_high_water = false;
            self.emit(Event::LowWater { queued });
        }
    }

    /// Whether nothing is queued and the last frame of audio has been heard out.
    fn is_quiet(&self, now: Instant) -> bool {
        !self.playout.has_audio() && self.busy_until.is_none_or(|busy_until| busy_until <= now)
    }

    /// Reports the marks before which all audio has been sent.
    fn report_reached(&mut self) {
        while let Some((name, played)) = self.playout.pop_reached() {
            self.emit(Event::MarkPlayed { name, played });
        }
    }

    fn check_drained(&mut self, now: Instant) {
        if self.draining && self.is_quiet(now) && !self.dialler.is_active() {
            self.draining = false;
            self.emit(Event::Drained);
        }
    }
}

/// Slowest and fastest RTP clock of an audio codec.
const MIN_CLOCK_RATE: u32 = 8_000;
const MAX_CLOCK_RATE: u32 = 192_000;
const MAX_MARKS: usize = 1024;
const MAX_MARK_NAME: usize = 256;
