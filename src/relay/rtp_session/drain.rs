//! What the RTP core of a leg wants done is carried out here: packets sent, audio handed on, the call told.

use std::time::Instant;

use actix::Recipient;
use model::id::CallId;
use rtp::{Event, Output, SilenceKind};
use tracing::debug;

use super::{
    super::message::{DigitSource, MediaEvent},
    Phase, RtpSession,
};

impl RtpSession {
    /// Carries out all that the core wants done; the one place where its outputs are read.
    pub(super) fn drain(&mut self, now: Instant) {
        while let Phase::Open(leg) = &mut self.phase {
            let Some(output) = leg.session.poll_output() else {
                return self.alarm.set(leg.session.next_timeout());
            };
            let call = self.call.as_ref();
            let mut interrupted = false;
            let mut heard = |news: MediaEvent| {
                interrupted |= matches!(news, MediaEvent::BargeIn { .. });
                tell(call, news);
            };
            match output {
                Output::Transmit { channel, destination, packet } => {
                    if !self.wire.send(channel, destination, &packet) {
                        self.send_errors += 1;
                    }
                }
                Output::Event(Event::Audio { payload_type, payload, timestamp, .. }) => {
                    let Some(frame) = leg.caller.decode(payload_type, &payload) else { continue };
                    let begin = if self.tape.is_stereo() { leg.session.received_from() } else { None };
                    self.tape.caller(begin.unwrap_or(0) + timestamp, frame.pcm_8k, now);
                    self.listeners.send(&self.id, &frame);
                    self.ear.hear(frame.pcm_8k, leg.session.playback(), now, &mut heard);
                }
                Output::Event(Event::Lost { frames, .. }) => {
                    for _ in 0..frames.min(MAX_CONCEALED) {
                        let frame = leg.caller.conceal();
                        self.listeners.send(&self.id, &frame);
                        self.ear.hear(frame.pcm_8k, leg.session.playback(), now, &mut heard);
                    }
                }
                Output::Event(Event::Sent { payload_type, payload, position }) => {
                    if let Some(frame) = leg.sent.decode(payload_type, &payload) {
                        self.tape.agent(position, frame.pcm_8k);
                    }
                }
                Output::Event(Event::PlaybackEnded { .. }) => self.ear.playback_over(),
                Output::Event(event) => notify(call, &self.id, event),
            }
            if interrupted && self.ear.clears() {
                let cleared = leg.clear(now);
                self.wire.cleared();
                self.follow_up(cleared);
            }
        }
    }
}

/// Tells the call, once there is one.
pub(super) fn tell(call: Option<&Recipient<MediaEvent>>, news: MediaEvent) {
    if let Some(call) = call {
        call.do_send(news);
    }
}

/// The call hears of everything that is not audio.
fn notify(call: Option<&Recipient<MediaEvent>>, id: &CallId, event: Event) {
    let news = match event {
        Event::Dtmf { digit, duration } => {
            MediaEvent::Dtmf { digit, duration, source: DigitSource::TelephoneEvent }
        }
        Event::MarkPlayed { name, played } => MediaEvent::Mark { name, reached: true, played },
        Event::MarkCleared { name, played } => MediaEvent::Mark { name, reached: false, played },
        Event::HighWater { queued } => MediaEvent::Water { high: true, queued },
        Event::LowWater { queued } => MediaEvent::Water { high: false, queued },
        Event::Drained => MediaEvent::Drained,
        Event::Silent { kind, .. } => MediaEvent::Silent { never_heard: kind == SilenceKind::Establishment },
        Event::Latched { source } => return debug!(call_id = %id, peer = %source, "RTP source latched"),
        Event::RemoteBye => return debug!(call_id = %id, "RTCP BYE"),
        Event::Audio { .. } | Event::Lost { .. } | Event::Sent { .. } => return,
        Event::PlaybackStarted | Event::PlaybackEnded { .. } => return,
    };
    tell(call, news);
}

/// Frames of one gap that are concealed for clients: the concealment is silent after 60 ms in any case.
const MAX_CONCEALED: u32 = 5;
