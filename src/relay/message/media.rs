//! Between an RtpSession, its call and those who hear it and speak.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix::{Message, Recipient};
use bytes::Bytes;
use bytestring::ByteString;
use model::{
    audio::{Codec, SampleRate},
    command::AgentPayload,
    id::CallId,
    mode::{AgentCodec, Frames},
};

use super::{ClientId, RecordingDone};

// ---- Call → RtpSession ------------------------------------------------------------------------------------------

/// What a call wants of its media.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub enum MediaCommand {
    /// Report to this call.
    Attach(Recipient<MediaEvent>),
    /// The session is agreed: open it and play what was held.
    Start(Box<MediaPlan>),
    /// A re-INVITE changed address or direction.
    Update(Box<MediaPlan>),
    /// Append this PCM (8 kHz mono) to the playout queue.
    Greet(Arc<[i16]>),
    /// The call is over: finish the recording and say so there, free the ports, stop.
    Close(Option<Recipient<RecordingDone>>),
}

/// The outcome of offer and answer, as far as media cares.
#[derive(Debug, Clone)]
pub struct MediaPlan {
    /// What we send.
    pub codec: Codec,
    /// The RTP payload type under which we send it.
    pub payload_type: u8,
    /// The payload types that may arrive, and what they are.
    pub accept: Vec<(u8, Codec)>,
    /// Payload type of telephone events, where both sides have it.
    pub telephone_event: Option<u8>,
    /// Where the peer wants RTP; `None` while it gives no address (hold by 0.0.0.0).
    pub remote: Option<SocketAddr>,
    /// Where the peer wants RTCP, when not on the next port.
    pub remote_rtcp: Option<SocketAddr>,
    /// We may send.
    pub send: bool,
    /// The peer may send.
    pub receive: bool,
    /// The peer put the call on hold: it need not send anything.
    pub held: bool,
}

// ---- RtpSession → Call ------------------------------------------------------------------------------------------

/// What happened to a call's media.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[rtype(result = "()")]
pub enum MediaEvent {
    /// No packet for too long while some were due.
    Silent {
        /// No packet ever came, as opposed to: they stopped.
        never_heard: bool,
    },
    /// A digit of the caller.
    Dtmf {
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
        /// How long the key was down.
        duration: Duration,
        /// How it came.
        source: DigitSource,
    },
    /// The caller began or stopped talking.
    Speech {
        /// Began.
        started: bool,
    },
    /// The caller talked over what is played.
    BargeIn {
        /// How much of it had been played.
        played: Duration,
    },
    /// The playout queue ran dry after a request to hang up once it has.
    Drained,
    /// A mark was reached or dropped.
    Mark {
        /// The client's name for it.
        name: String,
        /// Reached, as opposed to dropped by CLEAR.
        reached: bool,
        /// Audio played so far.
        played: Duration,
    },
    /// The playout queue passed a water mark.
    Water {
        /// Above the high mark, as opposed to below the low one.
        high: bool,
        /// Audio queued.
        queued: Duration,
    },
    /// An order of this client could not be carried out.
    Refused {
        /// Who asked.
        client: ClientId,
        /// A SIP status that says why.
        status: u16,
        /// What is wrong.
        text: String,
        /// The word of the order.
        verb: &'static str,
    },
    /// The media stream that the caller came by is gone.
    LineClosed,
    /// The session could not go on (our fault): the call must end.
    Died,
}

/// The ways in which a key comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigitSource {
    /// RFC 4733.
    TelephoneEvent,
    /// SIP INFO, or a message of a media stream.
    Info,
    /// Tones in the audio.
    Tones,
}

// ---- WsClient → RtpSession --------------------------------------------------------------------------------------

/// What a client wants done to a call's playout.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct AgentOrder {
    /// Who asks, and hears if it cannot be done.
    pub client: ClientId,
    /// What.
    pub media: AgentMedia,
}

/// The verbs of [`AgentOrder`]. What they queue is played in the order in which they came.
#[derive(Debug)]
pub enum AgentMedia {
    /// Queue this audio.
    Audio {
        /// As it came.
        payload: AgentPayload,
        /// Of PCM in it.
        rate: SampleRate,
    },
    /// Queue this audio file of the output folder.
    Play(String),
    /// Tell when all audio before it has been played.
    Mark(String),
    /// Drop all queued audio.
    Clear,
    /// Tell the call when the queue is empty.
    Drain,
    /// Play telephone events.
    Dtmf {
        /// The keys.
        digits: String,
        /// How long each is held.
        each: Duration,
    },
}

/// Hear this call from now on. One subscription per client; a second replaces the first.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub enum Listen {
    /// Begin.
    On(Listener),
    /// End.
    Off(ClientId),
}

/// A client that hears a call.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Who.
    pub client: ClientId,
    /// The connection of the same session that it takes over from: no frame twice, none lost.
    pub replaces: Option<ClientId>,
    /// In which wire form.
    pub form: RtpForm,
    /// Where to. Kept, never cloned per packet: a clone has a capacity of its own.
    pub audio: Recipient<CallerAudio>,
}

/// The forms of received audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RtpForm {
    /// Samples without a line around them, for programs of this process: 20 ms at a time, at this rate or, where there is
    /// none, at that of the call's codec.
    Samples(Option<SampleRate>),
    /// 20 ms of G.711 µ-law without a line around them, for programs of this process; untouched where the call speaks it.
    Mulaw,
    /// `RTP:{pt}##{hex}`
    Classic,
    /// `RTP:{hex}`
    Hex,
    /// `RTP:{call-id}##` and the audio, 20 ms at a time.
    Multi(AudioForm),
}

/// How audio travels on a multi connection, both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AudioForm {
    /// In text or in binary messages.
    pub frames: Frames,
    /// As PCM or as G.711.
    pub codec: AgentCodec,
    /// Of PCM.
    pub rate: SampleRate,
}

// ---- RtpSession → WsClient --------------------------------------------------------------------------------------

/// One frame of a call, already in the client's form; it is shared by all clients of that form.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub struct CallerAudio {
    /// Whose.
    pub call: CallId,
    /// The message. `None` is the last: another connection of the session hears the call from here on.
    pub frame: Option<AudioMessage>,
}

/// 20 ms of audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioMessage {
    /// Samples, signed 16-bit little-endian mono.
    Samples {
        /// How many a second.
        rate: SampleRate,
        /// The samples.
        pcm: Bytes,
    },
    /// G.711 µ-law, 160 bytes.
    Mulaw(Bytes),
    /// A line of text.
    Text(ByteString),
    /// The same with raw bytes.
    Binary(Bytes),
}
