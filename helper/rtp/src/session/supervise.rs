//! Reports to and from the peer (RTCP), and the watchdogs over its silence.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Session;
use crate::random::Random;
use crate::reception::units;
use crate::rtcp::{self, Received, Sent};
use crate::{Channel, Event, Output, SilenceKind};

/// When reports are due, and since when the peer is silent.
pub(super) struct Supervisor {
    random: Random,
    pub(super) report_due: Option<Instant>,
    /// Middle bits of the NTP time of the peer's last sender report, and its arrival.
    sender_report: Option<(u32, Instant)>,
    /// RTP packets that had been sent by the last two reports.
    sent_before: [u64; 2],
    bye_heard: bool,
    /// Start of the silence: the start, the end of a hold, the last packet.
    silent_since: Option<Instant>,
    /// Whether an RTP packet ever came.
    established: bool,
    /// Whether this silence was reported.
    reported: bool,
    /// The peer need not send anything: its silence means nothing.
    resting: bool,
}

impl Supervisor {
    pub(super) fn new(random: Random) -> Self {
        Self {
            random,
            report_due: None,
            sender_report: None,
            sent_before: [0; 2],
            bye_heard: false,
            silent_since: None,
            established: false,
            reported: false,
            resting: false,
        }
    }
}

impl Session {
    /// A datagram came on the RTCP port.
    pub fn handle_rtcp(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        if self.closed {
            return;
        }
        if !self.receiver.latch.accepts_host(source) {
            self.stats.foreign_source += 1;
            return;
        }
        let Some(feedback) = rtcp::parse(datagram, self.config.ssrc) else {
            self.stats.malformed += 1;
            return;
        };
        self.receiver.accept_rtcp(source);
        self.stats.rtcp_received += 1;
        self.heard(now, false);
        let peer = self.receiver.stream.as_ref().map(|stream| stream.ssrc);
        if let Some((ssrc, middle)) = feedback.sender_report
            && Some(ssrc) == peer
        {
            self.supervisor.sender_report = Some((middle, now));
        }
        if let Some(about_us) = feedback.about_us {
            self.stats.remote_fraction_lost = Some(f32::from(about_us.fraction_lost) / 256.0);
            let nanos = u64::from(about_us.jitter) * 1_000_000_000 / u64::from(self.config.clock_rate);
            self.stats.remote_jitter = Some(Duration::from_nanos(nanos));
            if let Some(trip) = rtcp::round_trip(self.ntp(now), &about_us) {
                self.stats.rtt = Some(trip);
            }
        }
        let ours = peer.is_some_and(|peer| feedback.bye.contains(&peer));
        if ours && !std::mem::replace(&mut self.supervisor.bye_heard, true) {
            self.emit(Event::RemoteBye);
        }
    }

    /// The call was answered.
    pub(super) fn supervise_from(&mut self, now: Instant) {
        self.schedule_report(now);
        self.watch_from(now);
    }

    /// Whether the peer has to send: one that put the call on hold need not, though it may. Silence counts from now on.
    pub fn set_watched(&mut self, now: Instant, watched: bool) {
        if std::mem::replace(&mut self.supervisor.resting, !watched) == watched {
            self.watch_from(now);
        }
    }

    /// Silence counts from now on.
    pub(super) fn watch_from(&mut self, now: Instant) {
        if self.next_frame.is_some() {
            self.supervisor.silent_since = Some(now);
        }
    }

    /// The peer sent a packet.
    pub(super) fn heard(&mut self, now: Instant, rtp: bool) {
        if rtp && !self.supervisor.established {
            self.supervisor.established = true;
            self.supervisor.reported = false;
        }
        if self.supervisor.established {
            self.supervisor.reported = false;
            self.watch_from(now);
        }
    }

    /// When silence of the peer is to be reported.
    pub(super) fn silence_due(&self) -> Option<(Instant, SilenceKind)> {
        let since = self.supervisor.silent_since?;
        if self.supervisor.reported || self.supervisor.resting || !self.receiver.is_receiving() {
            return None;
        }
        let (timeout, kind) = match self.supervisor.established {
            true => (self.config.inactivity_timeout, SilenceKind::Inactivity),
            false => (self.config.establishment_timeout, SilenceKind::Establishment),
        };
        (!timeout.is_zero()).then_some((since + timeout, kind))
    }

    pub(super) fn supervise_due(&mut self, now: Instant) {
        if self.supervisor.report_due.is_some_and(|due| due <= now) {
            self.schedule_report(now);
            self.send_report(now, false);
            self.supervisor.sent_before = [self.supervisor.sent_before[1], self.stats.packets_sent];
        }
        if let Some((due, kind)) = self.silence_due()
            && due <= now
            && let Some(since) = self.supervisor.silent_since
        {
            self.supervisor.reported = true;
            self.emit(Event::Silent { kind, since });
        }
    }

    /// The peer's stream is over, and with it the time of its last report.
    pub(super) fn forget_sender_report(&mut self) {
        self.supervisor.sender_report = None;
        self.supervisor.bye_heard = false;
    }

    /// An RTCP BYE, if there was anything to say goodbye to (RFC 3550 §6.3.7).
    pub(super) fn say_goodbye(&mut self, now: Instant) {
        if self.stats.packets_sent > 0 || self.stats.rtcp_sent > 0 {
            self.send_report(now, true);
        }
    }

    fn schedule_report(&mut self, now: Instant) {
        let interval = self.config.rtcp_interval;
        if !interval.is_zero() {
            let factor = 500 + self.supervisor.random.permille();
            self.supervisor.report_due = Some(now + interval.saturating_mul(factor) / 1000);
        }
    }

    fn send_report(&mut self, now: Instant, bye: bool) {
        let Some(destination) = self.receiver.rtcp_destination() else { return };
        let is_sender = self.stats.packets_sent > self.supervisor.sent_before[0];
        let sent = is_sender.then(|| Sent {
            ntp: self.ntp(now),
            rtp_timestamp: self.rtp_timestamp(now),
            packets: self.stats.packets_sent as u32,
            bytes: self.stats.bytes_sent as u32,
        });
        let sender_report = self.supervisor.sender_report;
        let received = self.receiver.stream.as_mut().map(|stream| {
            let losses = stream.report();
            Received {
                ssrc: stream.ssrc,
                fraction_lost: losses.fraction,
                cumulative_lost: losses.cumulative,
                highest_seq: stream.highest(),
                jitter: stream.jitter_units(),
                last_sr: sender_report.map_or(0, |(middle, _)| middle),
                delay_since_last_sr: sender_report
                    .map_or(0, |(_, arrival)| rtcp::short(now.saturating_duration_since(arrival))),
            }
        });
        let Some(packet) = rtcp::report(self.config.ssrc, &self.config.cname, sent, received, bye) else {
            return;
        };
        self.stats.rtcp_sent += 1;
        self.outputs.push_back(Output::Transmit { channel: Channel::Rtcp, destination, packet });
    }

    /// NTP time at `now`, 32.32 fixed point.
    fn ntp(&self, now: Instant) -> u64 {
        rtcp::ntp(self.config.wallclock + now.saturating_duration_since(self.created))
    }

    /// The timestamp that a sample taken at `now` would have.
    fn rtp_timestamp(&self, now: Instant) -> u32 {
        let Some(due) = self.next_frame else { return self.timestamp };
        let rate = self.config.clock_rate;
        let before = units(due.saturating_duration_since(now), rate) as u32;
        let after = units(now.saturating_duration_since(due), rate) as u32;
        self.timestamp.wrapping_sub(before).wrapping_add(after)
    }
}
