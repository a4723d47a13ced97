//! Every message that actors of the relay send each other, grouped by arrow. Read this file first.
//!
//! ```text
//!                 IncomingCall                 CallReport                  ClientEvent
//!   SipListener ──────────────▶ Switchboard ◀──────────── Call   Switchboard ─────────▶ WsClient
//!        ▲  │      SipEvent                                ▲ │                           │  │ │
//!        │  └─────────────────────────────────────────────▶│ │ MediaCommand              │  │ │
//!        └──────────────── SipCommand ─────────────────────┘ ▼                           │  │ │
//!                                                MediaEvent  RtpSession ◀─ AgentOrder ───┘  │ │
//!                     Recorder, Reader ◀── RecordAudio ────────┘  └───── CallerAudio ─────▶│ │
//!                                 └── RecordingDone ─▶ Call ◀────────── CallCommand ────────┘ │
//!                                  Switchboard ◀──────── Connect, PlaceCall, TransferCall ──┘
//! ```
//!
//! A bot on another machine (`agent_stream`) stands in a client's place: `AgentStreams` hears what the switchboard tells
//! clients, and its `AgentStream` of a call gives orders and hears audio as a `WsClient` does.
//!
//! A provider's media stream stands in the place of the SipListener and of the RTP sockets of its one call:
//!
//! ```text
//!                 IncomingStream
//!   MediaStream ──────────────▶ Switchboard
//!     ▲ ▲ │ │        SipEvent                        StreamOutput ──▶ MediaStream
//!     │ │ │ └───────────────────────────▶ Call            ▲
//!     │ └─┼────────── SipCommand ──────────┘              │
//!     │   └────────── StreamAudio ──────────────────▶ RtpSession
//! ```
//!
//! Control goes by `do_send`; audio by `try_send` on one kept `Recipient`, where a full mailbox drops and counts.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use actix::{Message, Recipient};
use bytes::Bytes;
use bytestring::ByteString;
use model::{
    audio::{Codec, SampleRate},
    call::{Direction, EndReason},
    command::AgentPayload,
    event::Event,
    id::CallId,
    mode::{AgentCodec, Frames},
};

use tokio::sync::{mpsc, oneshot};

use super::{
    call::state::SipInput,
    ws_client::{Backlog, Calls},
};

// ---- SipListener → Switchboard ----------------------------------------------------------------------------------

/// A new INVITE. Until the call attaches itself ([`SipAction::Attach`]), the listener keeps what happens to it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct IncomingCall {
    /// Our name for the call, unique among live calls.
    pub id: CallId,
    /// The caller's number: the user part of From, or its display name where that is a number.
    pub phone: String,
    /// The caller's SDP offer; `None` if the INVITE had none.
    pub offer: Option<Bytes>,
    /// What else the INVITE said.
    pub invite: Arc<Invite>,
}

/// The parts of an INVITE by which a program routes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// The Call-ID as received.
    pub sip_call_id: String,
    /// The caller: the URI of From.
    pub from: String,
    /// The callee: the URI of To.
    pub to: String,
    /// The number that was called, or the user name; `None` where that is not known.
    pub called: Option<String>,
    /// Every `X-` header in order, names as received.
    pub headers: Vec<(String, String)>,
    /// Where it came from.
    pub source: SocketAddr,
}

// ---- Call → SipListener -----------------------------------------------------------------------------------------

/// What a call wants done on the wire.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SipCommand {
    /// Which call.
    pub call: CallId,
    /// What to do.
    pub action: SipAction,
}

/// The verbs of [`SipCommand`].
pub enum SipAction {
    /// Send this call's events here from now on, those that are waiting first.
    Attach(Recipient<SipEvent>),
    /// Place an outbound call.
    Dial(Box<DialRequest>),
    /// 180 Ringing.
    Ring,
    /// 200 OK with this SDP answer.
    Answer(Bytes),
    /// A final refusal of a ringing inbound call.
    Reject {
        /// 300-699.
        status: u16,
        /// The phrase, else the standard one.
        reason: Option<String>,
    },
    /// A final refusal of an inbound call for which there will be no [`SipAction::Attach`].
    Refuse {
        /// 300-699.
        status: u16,
        /// For 503: when to try again.
        retry_after: Option<Duration>,
    },
    /// End the call as its state requires: CANCEL, 603 or BYE.
    Hangup,
    /// 200 OK to the peer's re-INVITE or UPDATE.
    AnswerOffer(Bytes),
    /// A refusal of the peer's re-INVITE or UPDATE; the call goes on as it was.
    RejectOffer(u16),
    /// A re-INVITE with this offer. What becomes of it comes back as [`SipEvent::Reoffer`].
    Reoffer(Bytes),
    /// REFER. What becomes of it comes back as [`SipEvent::Transfer`].
    Refer(TransferTarget),
}

/// Whom the far end of a call is asked to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferTarget {
    /// A number at the trunk.
    Phone(String),
    /// A `sip:`, `sips:` or `tel:` URI.
    Uri(String),
}

/// An outbound call to place.
#[derive(Debug)]
pub struct DialRequest {
    /// Who hears what becomes of it.
    pub events: Recipient<SipEvent>,
    /// The number to put into the request URI.
    pub phone: String,
    /// Our SDP offer.
    pub offer: Bytes,
    /// What a program of this process adds.
    pub options: Option<Box<DialOptions>>,
}

/// What a program that uses the relay as a library may say about a call that it places. No WebSocket client can.
#[derive(Debug, Clone, Default)]
pub struct DialOptions {
    /// The complete request URI, instead of the number at the trunk.
    pub target: Option<String>,
    /// Where the INVITE goes, instead of the trunk.
    pub destination: Option<SocketAddr>,
    /// The caller's URI, instead of the trunk's user.
    pub from: Option<String>,
    /// Answers to 401 and 407, instead of the trunk's.
    pub credentials: Option<sip::Credentials>,
    /// Further headers, name and value.
    pub headers: Vec<(String, String)>,
    /// No final answer for this long: CANCEL, 408. Instead of the trunk's.
    pub ring_timeout: Option<Duration>,
    /// Comes back in [`CallHandle::ticket`].
    pub ticket: Option<u64>,
}

/// Everything back to idle: refuse new calls and report when no dialog is left.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct DrainSip {
    /// Told once, when the last dialog is gone.
    pub done: Recipient<SipDrained>,
}

/// The listener has no dialog left.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct SipDrained;

// ---- SipListener → whoever uses the relay as a library ------------------------------------------------------------

/// How the registration goes.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[rtype(result = "()")]
pub enum RegistrationNews {
    /// The registrar took our contact, for the first time or again.
    Registered {
        /// How long it keeps it unless it hears of it again.
        expires: Duration,
    },
    /// It refused, or did not answer.
    Failed {
        /// 401, 403 and 407 are refused credentials; 408: no answer; 503: nobody there, or refused so.
        status: u16,
        /// The reason phrase.
        reason: String,
    },
    /// Given up, at our wish.
    Over,
}

// ---- SipListener → Call -----------------------------------------------------------------------------------------

/// What happened to a call on the wire.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub enum SipEvent {
    /// Something that moves the state of the call.
    State(SipInput),
    /// An outbound call was answered with this SDP. The ACK is on its way.
    Answered(Option<Bytes>),
    /// The ACK of our 200 came, with the answer to the offer in that 200 where the INVITE had none.
    Acked(Option<Bytes>),
    /// Our 200 to an inbound call is out.
    AnswerSent,
    /// The peer offers a change of the session: answer or refuse it.
    Offer(Option<Bytes>),
    /// The peer's answer to the offer that we made in the 200 to a re-INVITE without one.
    OfferAnswered(Bytes),
    /// What became of [`SipAction::Reoffer`].
    Reoffer(ReofferOutcome),
    /// What becomes of [`SipAction::Refer`].
    Transfer(TransferProgress),
    /// A key that the peer sent by INFO, or a provider in a message of its media stream.
    Digit {
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
        /// How long it was down, where the peer says so.
        duration: Option<Duration>,
    },
}

/// What became of an offer of ours inside a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReofferOutcome {
    /// The peer took it, with this answer.
    Answered(Option<Bytes>),
    /// It refused; the session is as it was.
    Refused(u16),
    /// It met an offer of the peer, which changed the session: to be made again, if it is still wanted.
    Due,
    /// It could not be sent: another exchange is open.
    Busy,
}

/// How far a transfer has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferProgress {
    /// What the peer says of the call that it places.
    Heard {
        /// 100 to 699.
        status: u16,
        /// The reason phrase.
        reason: String,
        /// Nothing more will be heard.
        last: bool,
    },
    /// The peer did not even try, or could not be asked.
    Refused {
        /// 300 to 699.
        status: u16,
        /// The reason phrase.
        reason: String,
    },
}

// ---- MediaStream ⇄ Switchboard, Call, RtpSession ----------------------------------------------------------------
//
// The actor of a media stream (Twilio, Telnyx) owns the WebSocket and one `StreamLeg` (stream_leg.rs), which speaks for
// it: it makes the IncomingStream, answers each SipCommand with the SipEvents that a SIP caller would have caused, and
// takes the caller's audio and digits. Hanging up, from either side, is closing the WebSocket.

/// A provider opened the media stream of an inbound call. Refused with [`SipAction::Refuse`], like an INVITE.
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

// ---- RtpSession, Call → Recorder --------------------------------------------------------------------------------

/// A stretch of a call's audio. The first one opens `{RECORDING_DIR}/YYYYmmdd_HHMMSS_{first 8 of the call id}.wav`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct RecordAudio {
    /// Which call.
    pub call: CallId,
    /// Where the stretch begins, in samples at 8 kHz since the recording began. What lies before and was not sent is silence.
    pub position: u64,
    /// 1: the caller; 2: the caller and the agent in turn. The same for the whole call.
    pub channels: u16,
    /// 8 kHz.
    pub samples: Vec<i16>,
}

/// Complete the recording on disk, then say so.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct FinishRecording {
    /// Which call.
    pub call: CallId,
    /// Who waits.
    pub done: Option<Recipient<RecordingDone>>,
}

/// Read and decode an audio file. To the reader.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct ReadFile {
    /// Which.
    pub file: FileSource,
    /// The rate to bring it to.
    pub rate: SampleRate,
    /// Comes back with the answer.
    pub ticket: u64,
    /// Who wants it.
    pub to: Recipient<FileRead>,
}

/// An audio file of a client.
#[derive(Debug)]
pub enum FileSource {
    /// In the output folder, as the client typed it: untrusted.
    Named(String),
    /// A WAV file that came in one message.
    Whole(Bytes),
}

/// Read and decode the greeting, unless it is in memory and unchanged on disk.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct ReadGreeting {
    /// Who wants it.
    pub to: Recipient<GreetingRead>,
}

// ---- Recorder → Call --------------------------------------------------------------------------------------------

/// The recording is complete on disk, or there was nothing to record.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct RecordingDone;

/// The answer to [`ReadFile`].
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct FileRead {
    /// Of the question.
    pub ticket: u64,
    /// The audio, mono; or why there is none, for the client.
    pub pcm: Result<Arc<[i16]>, String>,
}

/// The greeting, 8 kHz mono. Not sent when there is none.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct GreetingRead(pub Arc<[i16]>);

// ---- WsClient → Call, Switchboard → Call ------------------------------------------------------------------------

/// What the agent side wants of a call.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[rtype(result = "()")]
pub enum CallCommand {
    /// Answer it, if it rings.
    Answer,
    /// Refuse it, if it rings.
    Decline {
        /// 603 where the client names none.
        status: u16,
        /// The phrase, else the standard one.
        reason: Option<String>,
    },
    /// End it, whatever its state.
    Hangup,
    /// Put the far end on hold, or take it back. One that is on hold already stays so.
    Hold {
        /// Who asks, and hears if it cannot be done.
        client: ClientId,
        /// On hold, as opposed to taken back.
        on: bool,
    },
    /// Ask the far end to call somebody else (blind transfer).
    Transfer {
        /// Who asks, and hears if it cannot be done.
        client: ClientId,
        /// Whom.
        target: TransferTarget,
    },
    /// Nobody is there any more to talk with the caller.
    AgentGone,
    /// The program that was to talk with the caller could not be reached.
    AgentUnreachable,
    /// The relay stops.
    Shutdown,
}

// ---- Call → Switchboard -----------------------------------------------------------------------------------------

/// What clients are to hear about a call, and how the switchboard's table changes with it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct CallReport {
    /// Which call.
    pub call: CallId,
    /// What happened.
    pub news: CallNews,
}

/// The kinds of [`CallReport`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallNews {
    /// It rings (inbound: at us; outbound: at the far end).
    Ringing,
    /// Our 200 to an inbound call is out; it is up when the ACK comes.
    AnswerSent,
    /// It is up.
    Up,
    /// What it speaks and with whom was agreed, or has changed.
    Media(MediaFacts),
    /// Anything else that clients hear while it lasts.
    Event(Event),
    /// What one client alone hears.
    For(ClientId, Event),
    /// It is over. The last report of a call.
    Over {
        /// It had been up.
        was_up: bool,
        /// Why.
        reason: EndReason,
    },
}

/// What offer and answer settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaFacts {
    /// What we send.
    pub codec: Codec,
    /// The RTP payload type under which we send it.
    pub payload_type: u8,
    /// Both sides have telephone events.
    pub telephone_events: bool,
    /// Where the peer wants RTP; `None` while it gives no address.
    pub remote: Option<SocketAddr>,
    /// We have put the peer on hold.
    pub on_hold: bool,
}

// ---- WsClient → Switchboard -------------------------------------------------------------------------------------

/// Names one WebSocket connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// A client is there and wants to hear of calls.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Connect {
    /// Who.
    pub client: ClientId,
    /// Where its events go.
    pub events: Recipient<ClientEvent>,
    /// The session that it opens or resumes.
    pub session: Option<SessionClaim>,
    /// What a program of this process wants besides.
    pub inside: Option<Insider>,
    /// It hears of calls, and does not count as one who may talk in all of them: as if it were not there, what happens is
    /// kept for the next client, and the last one may go.
    pub beside: bool,
}

/// What a program of this process hears that no WebSocket client does.
#[derive(Debug, Clone)]
pub struct Insider {
    /// The facts behind the events.
    pub facts: Recipient<CallFact>,
    /// Every call from its first frame on.
    pub listener: Listener,
}

/// A client that opens a session, or resumes one: the session is this client's from now on.
#[derive(Debug)]
pub struct SessionClaim {
    /// The client's name for it.
    pub name: String,
    /// How it is asked to give the session up again.
    pub hand_over: Recipient<HandOver>,
    /// Where its predecessor sends what it leaves behind.
    pub inherit: Recipient<Inherit>,
    /// Where its predecessor sends audio that still comes in.
    pub audio: Recipient<PassedOn>,
}

/// A client is gone.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Disconnect(pub ClientId);

/// Place a call. Answered by [`ClientEvent`]s to this client alone until the call exists.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct PlaceCall {
    /// Who asks.
    pub client: ClientId,
    /// The number, unchecked.
    pub phone: String,
    /// Given by programs of this process.
    pub options: Option<Box<DialOptions>>,
}

/// Transfer a call, if the rules allow a call to there. Refused by an `ERROR` to this client alone.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct TransferCall {
    /// Who asks.
    pub client: ClientId,
    /// Which call.
    pub call: CallId,
    /// A number or a URI, unchecked.
    pub target: String,
}

/// Give the session up: another connection goes on with it. From the switchboard to the session's client.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct HandOver {
    /// Where to send what is left.
    pub inherit: Recipient<Inherit>,
    /// Where to send audio that still comes in.
    pub audio: Recipient<PassedOn>,
}

/// Audio that came to an earlier connection of the session. From client to client.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct PassedOn(pub CallerAudio);

/// What one connection of a session leaves to the next. From client to client.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Inherit {
    /// The connection that leaves it.
    pub from: ClientId,
    /// What was written lately, and what was not.
    pub backlog: Backlog,
    /// The calls that it knew.
    pub calls: Calls,
}

// ---- Switchboard → WsClient -------------------------------------------------------------------------------------

/// One thing a client hears.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub enum ClientEvent {
    /// A call appeared. Nothing is written for it; the client may address it from now on.
    Known(CallHandle),
    /// Write this.
    Say(Event),
    /// The session existed: an [`Inherit`] comes, and the events that follow wait for it.
    Resuming,
    /// The relay stops: write what is left, then close.
    Close,
}

/// One fact about a call, for programs of this process.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub struct CallFact {
    /// Which call.
    pub call: CallId,
    /// What is so.
    pub kind: FactKind,
}

/// The kinds of [`CallFact`].
#[derive(Debug, Clone)]
pub enum FactKind {
    /// The media was agreed, or has changed.
    Media(MediaFacts),
    /// Our 200 to an inbound call is out, and its media is open.
    AnswerSent,
    /// The call is over. The last fact of a call, after its last event.
    Over {
        /// Why.
        reason: EndReason,
    },
}

/// How clients reach a call.
#[derive(Debug, Clone)]
pub struct CallHandle {
    /// Its name on the WebSocket.
    pub id: CallId,
    /// Who called whom.
    pub direction: Direction,
    /// The number at the far end.
    pub phone: String,
    /// The client that placed it, if one did.
    pub placed_by: Option<ClientId>,
    /// What that client named it by ([`DialOptions::ticket`]).
    pub ticket: Option<u64>,
    /// What the INVITE said, of an inbound call.
    pub invite: Option<Arc<Invite>>,
    /// Control.
    pub commands: Recipient<CallCommand>,
    /// Audio to the caller. Clone once per client.
    pub audio: Recipient<AgentOrder>,
    /// Who hears the caller.
    pub listeners: Recipient<Listen>,
}

// ---- AgentStreams → AgentStream ---------------------------------------------------------------------------------

/// What the names begin with under which bots' marks wait in a playout queue: no client can use such a name. What becomes of
/// them [`BOTS`] alone hear.
pub const BOT_MARK: &str = "##";

/// The client that stands for all bots. WebSocket clients are numbered from 1.
pub const BOTS: ClientId = ClientId(0);

/// What happened to the call of a bot.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub enum CallNewsForBot {
    /// This mark was reached, or dropped by CLEAR.
    Mark(String),
    /// The caller pressed a key: `0`-`9`, `*`, `#`, `A`-`D`.
    Digit(char),
    /// The call is over.
    Over,
}

// ---- AgentStream → AgentStreams ---------------------------------------------------------------------------------

/// The stream of this call has ended.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct StreamOver(pub CallId);

// ---- main → Switchboard -----------------------------------------------------------------------------------------

/// End every call, tell every client, and resolve when all of it is done.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Shutdown;

/// After [`Shutdown`]: leave the thread to others. Resolves when the SIP socket is closed.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Dismiss;

/// How many of each thing exist right now: what must be zero when no call is up.
#[derive(Message, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[rtype(result = "Census")]
pub struct CensusRequest;

/// The answer to [`CensusRequest`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, actix::MessageResponse)]
pub struct Census {
    /// Entries of the call table.
    pub calls: usize,
    /// RTP port pairs leased.
    pub ports: usize,
    /// WebSocket clients.
    pub clients: usize,
    /// Events kept for the next client.
    pub backlog: usize,
    /// What the SIP core still knows.
    pub sip: SipCensus,
}

// ---- Switchboard → SipListener ----------------------------------------------------------------------------------

/// Stop, and say so when the socket is closed.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct DismissSip(pub oneshot::Sender<()>);

/// The tables of the SIP core.
#[derive(Message, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[rtype(result = "SipCensus")]
pub struct SipCensusRequest;

/// The answer to [`SipCensusRequest`]. A transaction outlives its call by up to 32 s, to answer what comes again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, actix::MessageResponse)]
pub struct SipCensus {
    /// Live transactions, client and server.
    pub transactions: usize,
    /// Dialogs, early ones included.
    pub dialogs: usize,
    /// Calls whose signalling is not finished.
    pub calls: usize,
    /// Calls that events are delivered for.
    pub routes: usize,
    /// Armed timers.
    pub timers: usize,
}
