//! `StreamLeg` speaks for a provider's media stream in the terms of the relay: what a SIP caller would have caused.
//!
//! In: what the stream's actor hears of its provider (audio, digits, the end), and the [`SipCommand`]s that it is sent. Out:
//! [`SipEvent`]s to the call, audio to its media, and what the actor is to do. Knows nothing of WebSockets and of what the
//! messages of a provider look like.
//!
//! ```text
//!   open ──▶ IncomingStream ──▶ Attach ──▶ Answer ──▶ (AnswerSent, Acked) ──▶ Hangup: close the stream
//!                │                │           │
//!                └─ Refuse        └─ Reject   └─ ended(): the call hears a BYE
//! ```

#[cfg(test)]
mod bench;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix::Recipient;
use model::call::{EndLabel, EndReason, Party, reason_phrase};
use tokio::sync::mpsc;

use super::{
    call::state::SipInput,
    message::{
        IncomingStream, ReofferOutcome, SipAction, SipCommand, SipEvent, StreamAudio, StreamLine,
        StreamMedia, StreamOutput, StreamStart, TransferProgress,
    },
};

/// See the module's documentation. Dropping it without [`ended`](Self::ended) is a fault, and ends the call.
///
/// A stream that is gone before its call could attach itself is noticed by the call's media, whose channel ends.
#[derive(Debug)]
pub struct StreamLeg {
    call: Option<Recipient<SipEvent>>,
    /// What happened before the call was there to hear it.
    early: Vec<SipEvent>,
    audio: mpsc::Sender<StreamAudio>,
    overflow: Arc<AtomicU64>,
    over: bool,
}

/// Why a stream is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseStream {
    /// The call was up, or nearly: we hang up.
    HungUp,
    /// It was not taken.
    Refused {
        /// The SIP status that says why, 300-699.
        status: u16,
    },
}

impl StreamLeg {
    /// A leg, and what introduces its call to the switchboard. `commands` and `output` are the stream's own actor.
    pub fn open(
        start: StreamStart,
        commands: Recipient<SipCommand>,
        output: Recipient<StreamOutput>,
    ) -> (Self, IncomingStream) {
        let (sender, receiver) = mpsc::channel(CHANNEL);
        let overflow = Arc::new(AtomicU64::new(0));
        let media = StreamMedia { output, audio: receiver, overflow: overflow.clone() };
        let leg = Self { call: None, early: Vec::new(), audio: sender, overflow, over: false };
        (leg, IncomingStream { start, line: StreamLine { commands, media } })
    }

    /// The caller said something. What comes before the call is answered is not heard; what the relay cannot take in
    /// time is dropped and counted.
    pub fn audio(&self, audio: StreamAudio) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.audio.try_send(audio) {
            self.overflow.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The caller pressed a key: `0`-`9`, `*`, `#`, `A`-`D`. Providers say nothing of its length.
    pub fn digit(&mut self, digit: char, duration: Option<Duration>) {
        self.tell(SipEvent::Digit { digit, duration });
    }

    /// The stream is over. [`EndLabel::RemoteBye`]: the provider stopped or closed it, so the caller hung up.
    /// [`EndLabel::Unreachable`]: the connection broke. [`EndLabel::ProtocolError`]: what came made no sense.
    pub fn ended(&mut self, label: EndLabel) {
        self.end(EndReason::new(Party::Caller, label));
    }

    /// Carries out what the relay wants. `Some`: the actor is to close the stream.
    pub fn command(&mut self, action: SipAction) -> Option<CloseStream> {
        match action {
            SipAction::Attach(call) => {
                self.early.drain(..).for_each(|event| call.do_send(event));
                self.call = Some(call);
            }
            // The provider answered the caller when it opened the stream.
            SipAction::Answer(_) => {
                self.tell(SipEvent::AnswerSent);
                self.tell(SipEvent::Acked(None));
            }
            SipAction::Reject { status, .. } | SipAction::Refuse { status, .. } => {
                return self.close(CloseStream::Refused { status });
            }
            SipAction::Hangup => return self.close(CloseStream::HungUp),
            SipAction::Reoffer(_) => self.tell(SipEvent::Reoffer(ReofferOutcome::Refused(NOT_IMPLEMENTED))),
            SipAction::Refer(_) => {
                let (status, reason) = (NOT_IMPLEMENTED, reason_phrase(NOT_IMPLEMENTED).to_owned());
                self.tell(SipEvent::Transfer(TransferProgress::Refused { status, reason }));
            }
            // It does not ring, is not dialled, and offers nothing.
            SipAction::Ring | SipAction::Dial(_) | SipAction::AnswerOffer(_) | SipAction::RejectOffer(_) => {}
        }
        None
    }

    fn close(&mut self, why: CloseStream) -> Option<CloseStream> {
        (!std::mem::replace(&mut self.over, true)).then_some(why)
    }

    fn end(&mut self, reason: EndReason) {
        self.tell(SipEvent::State(SipInput::Ended(reason)));
        self.over = true;
    }

    fn tell(&mut self, event: SipEvent) {
        if self.over {
            return;
        }
        match &self.call {
            Some(call) => call.do_send(event),
            None if self.early.len() < MAX_EARLY || matches!(event, SipEvent::State(_)) => {
                self.early.push(event);
            }
            None => {}
        }
    }
}

impl Drop for StreamLeg {
    /// The actor panicked: its call must not wait for it.
    fn drop(&mut self) {
        self.end(EndReason::new(Party::Relay, EndLabel::InternalError));
    }
}

/// Media messages that may wait for the call's thread: ten seconds of 20 ms.
const CHANNEL: usize = 500;
/// Digits that wait for the call to be made: a few milliseconds.
const MAX_EARLY: usize = 32;
/// 501 Not Implemented: what a media stream has no means for.
const NOT_IMPLEMENTED: u16 = 501;
