//! What a leg has counted, and how it ends.

use std::time::Instant;

use actix::Recipient;
use tracing::info;

use super::{
    super::message::{FinishRecording, RecordingDone},
    Phase, RtpSession,
};
use crate::metrics::LegDrops;

impl RtpSession {
    /// The call is over: what was said is handed on, the recording completed.
    pub(super) fn close(&mut self, done: Option<Recipient<RecordingDone>>) {
        self.closed = true;
        let now = Instant::now();
        let Self { wire, phase, .. } = self;
        wire.receive_rest(|channel, source, datagram| phase.take(channel, source, datagram, now));
        if let Phase::Open(leg) = &mut self.phase {
            leg.session.close(now);
        }
        self.drain(now);
        self.tape.flush();
        match &self.recorder {
            Some(recorder) => {
                recorder.finish.do_send(FinishRecording { call: self.id.clone(), done });
            }
            None => done.iter().for_each(|done| done.do_send(RecordingDone)),
        }
        let (stats, drops) = self.totals();
        self.account.close(stats.as_ref(), drops);
        self.log_totals();
    }

    /// What this leg has counted so far.
    fn totals(&self) -> (Option<rtp::Stats>, LegDrops) {
        let (stats, behind_files) = match &self.phase {
            Phase::Held(_) => (None, 0),
            Phase::Open(leg) => (Some(leg.session.stats()), leg.unheld()),
        };
        let drops = LegDrops {
            client_mailbox: self.listeners.dropped(),
            recorder: self.tape.dropped(),
            held: self.unheld + behind_files,
            line: self.wire.overflow(),
            send_errors: self.send_errors,
            speech_rests: self.ear.rests(),
        };
        (stats, drops)
    }

    /// Puts what was counted since the last time into the metrics, and looks whether the machine keeps up.
    pub(super) fn settle(&mut self) {
        let (stats, drops) = self.totals();
        let late_ticks = stats.as_ref().map_or(0, |stats| stats.late_ticks);
        if late_ticks - std::mem::replace(&mut self.late_ticks, late_ticks) >= OVERLOADED {
            self.ear.rest(Instant::now());
        }
        self.account.settle(stats.as_ref(), drops);
    }

    fn log_totals(&self) {
        let Phase::Open(leg) = &self.phase else { return };
        let stats = leg.session.stats();
        info!(
            call_id = %self.id,
            codec = %leg.plan.codec,
            sent = stats.packets_sent,
            received = stats.packets_received,
            lost = stats.lost,
            late = stats.late,
            duplicate = stats.duplicate,
            foreign = stats.foreign_source,
            jitter_ms = stats.jitter.as_secs_f32() * 1e3,
            late_ticks = stats.late_ticks,
            dropped = self.listeners.dropped(),
            unrecorded = self.tape.dropped(),
            send_errors = self.send_errors,
            "media closed"
        );
    }
}

/// Late ticks in the time of one settlement from which the machine counts as overloaded: one in ten.
const OVERLOADED: u64 = 5;
