//! Between a provider's media stream and the rest.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use actix::{Message, Recipient};
use bytes::Bytes;
use model::{audio::Codec, id::CallId};
use tokio::sync::mpsc;

use super::SipCommand;

// ---- MediaStream ⇄ Switchboard, Call, RtpSession ----------------------------------------------------------------
//
// The actor of a media stream (Twilio, Telnyx) owns the WebSocket and one `StreamLeg` (stream_leg.rs), which speaks for
// it: it makes the IncomingStream, answers each SipCommand with the SipEvents that a SIP caller would have caused, and
// takes the caller's audio and digits. Hanging up, from either side, is closing the WebSocket.

/// A provider opened the media stream of an inbound call. Refused with [`SipAction::Refuse`](super::SipAction::Refuse), like an INVITE.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct IncomingStream {
    /// What the provider said of it.
    pub start: StreamStart,
    /// How to reach it.
    pub line: StreamLine,
}

/// What a provider says of a call whose media stream it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamStart {
    /// The stream's id, as the name of the call: [`CallId::from_sip_call_id`] of it.
    pub id: CallId,
    /// The caller's number, as it came; `anonymous` stands in for an empty one.
    pub phone: String,
    /// The number that was called, as it came.
    pub called: String,
    /// What else is known of the call, name and value: a program of this process reads it as an INVITE's `X-` headers.
    pub parameters: Vec<(String, String)>,
    /// Where the stream comes from.
    pub source: SocketAddr,
    /// What the caller's audio is.
    pub received: Codec,
    /// What is sent to the caller; it may be another one.
    pub sent: Codec,
}

/// How a media stream is reached.
#[derive(Debug)]
pub struct StreamLine {
    /// What its call wants done.
    pub commands: Recipient<SipCommand>,
    /// Its audio.
    pub media: StreamMedia,
}

/// The audio of a media stream, both ways.
#[derive(Debug)]
pub struct StreamMedia {
    /// To the caller.
    pub output: Recipient<StreamOutput>,
    /// From the caller.
    pub audio: mpsc::Receiver<StreamAudio>,
    /// Messages of the caller's that found the channel full.
    pub overflow: Arc<AtomicU64>,
}

/// One media message of the caller's. Its length need not be 20 ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamAudio {
    /// The number that the provider gave it, which grows by one: messages come back into order by it. `None`: in order as
    /// they come.
    pub chunk: Option<u64>,
    /// When it was spoken, from the beginning of the stream; `None`: as long after the one before as that lasted.
    pub timestamp: Option<Duration>,
    /// The payload, in the codec [`StreamStart::received`].
    pub payload: Bytes,
}

/// What goes out on a media stream.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[rtype(result = "()")]
pub enum StreamOutput {
    /// 20 ms in the codec [`StreamStart::sent`], to be sent at once: when it is due, or a little before. There is none while
    /// nothing is played.
    Audio(Bytes),
    /// The rest of what was played is not to be heard: the provider is to drop what it holds.
    Clear,
}
