//! One stream of a provider that dialled us, from its first message to its last.
//!
//! ```text
//!            connected             start                     stop, closed, a fatal error
//!   Detect ────────────▶ Start ────────────▶ Up ──────────────────────────────────────▶ Over
//!      └── 10 s, three broken messages, anything else ───────────────────────────────────▲
//! ```

mod byte_order;
mod info;
mod marks;
mod reorder;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use self::byte_order::Endian;
pub use self::info::{Provider, StreamInfo};
pub use self::marks::MarkOutcome;

use self::byte_order::ByteOrder;
use self::marks::Marks;
use self::reorder::{Chunk, Reorder};
use crate::error::{HandshakeError, MarkError, MessageError, StreamError};
use crate::format::{Encoding, MediaFormat, Track, clip};
use crate::wire::Envelope;
use crate::{telnyx, twilio};

/// What may be chosen for a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// How long the provider may take from its connection to `start`.
    pub handshake_timeout: Duration,
    /// How long it may be silent afterwards; `None`: for ever.
    pub idle_timeout: Option<Duration>,
    /// Broken messages in a row that end the stream.
    pub malformed_limit: u32,
    /// What Telnyx was asked to take from us, by our own TeXML.
    pub telnyx_outbound: MediaFormat,
    /// Byte order of L16 on the wire. Third parties disagree on Telnyx's.
    pub l16: Endian,
    /// Marks that may be on their way at once.
    pub mark_limit: usize,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Some(Duration::from_secs(60)),
            malformed_limit: 3,
            telnyx_outbound: MediaFormat::L16_16000,
            l16: Endian::Little,
            mark_limit: 256,
        }
    }
}

/// What happened on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The call is up. The first event.
    Started(Box<StreamInfo>),
    /// The caller's audio, in order and once.
    Media {
        /// Codec bytes of [`StreamInfo::inbound`]; L16 is little-endian.
        payload: Bytes,
        /// Its place in the stream: as the provider says, else by what came before.
        timestamp: Duration,
    },
    /// The caller pressed a key.
    Dtmf {
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
    },
    /// A mark that was sent is done with.
    Mark {
        /// Its name.
        name: String,
        /// Why.
        outcome: MarkOutcome,
    },
    /// The provider refused something; the stream goes on.
    Error {
        /// As `100004`.
        code: Option<String>,
        /// In words.
        detail: String,
    },
    /// The stream is over. The last event, once.
    Stopped,
}

/// What a stream has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Messages with the caller's audio, duplicates and late ones not among them.
    pub media: u64,
    /// Chunks that never came, or too late.
    pub lost: u64,
    /// Chunks dropped because they had been played or given up.
    pub duplicates: u64,
    /// Messages with the audio of another track.
    pub other_track: u64,
    /// Messages that were not understood.
    pub malformed: u64,
    /// Messages of events that we do not know.
    pub unknown: u64,
}

/// One stream, as the application that a provider has dialled.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    state: State,
    /// When the handshake must be over, and when a message came last.
    begun: Instant,
    heard: Instant,
    broken_in_a_row: u32,
    events: VecDeque<Event>,
    marks: Marks,
    reorder: Reorder,
    byte_order: ByteOrder,
    /// Where the next chunk begins if nobody says.
    position: Duration,
    stats: Stats,
}

#[derive(Debug)]
enum State {
    Detect,
    Start(Provider),
    Up(Box<StreamInfo>),
    Over,
}

impl Session {
    /// A stream whose WebSocket was accepted at `now`.
    pub fn new(now: Instant, config: SessionConfig) -> Self {
        Self {
            marks: Marks::new(config.mark_limit),
            byte_order: ByteOrder::new(config.l16),
            config,
            state: State::Detect,
            begun: now,
            heard: now,
            broken_in_a_row: 0,
            events: VecDeque::new(),
            reorder: Reorder::default(),
            position: Duration::ZERO,
            stats: Stats::default(),
        }
    }

    /// Takes one text message of the provider. After a [fatal](StreamError::is_fatal) error the socket is to be
    /// closed, and whatever still comes is ignored.
    pub fn handle_text(&mut self, now: Instant, text: &str) -> Result<(), StreamError> {
        if matches!(self.state, State::Over) {
            return Ok(());
        }
        self.heard = now;
        match Envelope::parse(text)
            .map_err(StreamError::Message)
            .and_then(|message| self.message(now, &message))
        {
            Ok(()) => {
                self.broken_in_a_row = 0;
                Ok(())
            }
            Err(StreamError::Message(error)) => Err(self.malformed(error)),
            Err(error) => {
                self.end();
                Err(error)
            }
        }
    }

    /// To be called at [`Session::deadline`]; earlier or later does no harm. Errors are fatal.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), StreamError> {
        let error = match self.state {
            State::Over => return Ok(()),
            State::Detect | State::Start(_) => {
                let after = self.config.handshake_timeout;
                (now >= self.begun + after).then(|| HandshakeError::Timeout { after }.into())
            }
            State::Up(_) => {
                self.reorder.expire(now);
                self.release();
                self.config
                    .idle_timeout
                    .filter(|after| now >= self.heard + *after)
                    .map(|after| StreamError::Idle { after })
            }
        };
        match error {
            None => Ok(()),
            Some(error) => {
                self.end();
                Err(error)
            }
        }
    }

    /// The WebSocket is gone.
    pub fn handle_close(&mut self) {
        self.end();
    }

    /// When [`Session::handle_timeout`] is to be called; `None`: never.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Over => None,
            State::Detect | State::Start(_) => Some(self.begun + self.config.handshake_timeout),
            State::Up(_) => {
                let idle = self.config.idle_timeout.map(|after| self.heard + after);
                [idle, self.reorder.deadline()].into_iter().flatten().min()
            }
        }
    }

    /// The next event.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Which call this is; `None` before `start` and after the end.
    pub fn info(&self) -> Option<&StreamInfo> {
        match &self.state {
            State::Up(info) => Some(info),
            State::Detect | State::Start(_) | State::Over => None,
        }
    }

    /// Whether nothing more will come of this stream.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// What was seen so far.
    pub fn stats(&self) -> Stats {
        Stats { lost: self.reorder.lost, duplicates: self.reorder.duplicates, ..self.stats }
    }

    /// The message that has `payload` played: codec bytes of [`StreamInfo::outbound`], L16 little-endian; at best
    /// one [frame](MediaFormat::frame_bytes). `None` if the stream is not up.
    pub fn media(&self, payload: &[u8]) -> Option<String> {
        let info = self.info()?;
        let swapped;
        let payload = if info.outbound.encoding == Encoding::L16 && self.byte_order.is_big() {
            let mut bytes = payload.to_vec();
            byte_order::swap(&mut bytes);
            swapped = bytes;
            &swapped
        } else {
            payload
        };
        Some(match info.provider {
            Provider::Twilio => twilio::media(&info.stream_id, payload),
            Provider::Telnyx => telnyx::media(&info.stream_id, payload),
        })
    }

    /// The message that marks this place in the audio. What becomes of it is an [`Event::Mark`].
    pub fn mark(&mut self, name: &str) -> Result<String, MarkError> {
        let State::Up(info) = &self.state else { return Err(MarkError::NotUp) };
        self.marks.add(name)?;
        Ok(match info.provider {
            Provider::Twilio => twilio::mark(&info.stream_id, name),
            Provider::Telnyx => telnyx::mark(&info.stream_id, name),
        })
    }

    /// The message that drops all audio not played yet. Every mark on its way becomes [`MarkOutcome::Cleared`] at
    /// once; what the provider still says of it is not repeated. `None` if the stream is not up.
    pub fn clear(&mut self, now: Instant) -> Option<String> {
        let info = match &self.state {
            State::Up(info) => info,
            State::Detect | State::Start(_) | State::Over => return None,
        };
        let text = match info.provider {
            Provider::Twilio => twilio::clear(&info.stream_id),
            Provider::Telnyx => telnyx::clear(&info.stream_id),
        };
        let cleared = self.marks.clear(now);
        self.events.extend(cleared.map(|name| Event::Mark { name, outcome: MarkOutcome::Cleared }));
        Some(text)
    }

    fn message(&mut self, now: Instant, message: &Envelope<'_>) -> Result<(), StreamError> {
        match &self.state {
            State::Detect => {
                let provider = Provider::detect(message).ok_or_else(|| {
                    let event = message.event.as_str().unwrap_or_default();
                    StreamError::ProviderDetection { event: clip(event, 64).to_owned() }
                })?;
                self.state = State::Start(provider);
                Ok(())
            }
            State::Start(provider) => {
                let event = message.event.as_str().unwrap_or_default();
                if event != "start" {
                    let event = clip(event, 64).to_owned();
                    return Err(HandshakeError::NotStart { event }.into());
                }
                let info = Box::new(StreamInfo::read(*provider, message, &self.config)?);
                self.events.push_back(Event::Started(info.clone()));
                self.state = State::Up(info);
                Ok(())
            }
            State::Up(info) => {
                let provider = info.provider;
                self.call(now, provider, message).map_err(StreamError::Message)
            }
            State::Over => Ok(()),
        }
    }

    /// A message of a call that is up.
    fn call(&mut self, now: Instant, provider: Provider, message: &Envelope<'_>) -> Result<(), MessageError> {
        match message.event()? {
            "media" => self.audio(now, provider, message)?,
            "dtmf" => self.events.push_back(Event::Dtmf { digit: message.digit()? }),
            "mark" => {
                if let Some(name) = self.marks.echo(now, message.mark_name()?) {
                    self.events.push_back(Event::Mark { name, outcome: MarkOutcome::Played });
                }
            }
            "stop" => self.end(),
            "error" => self.events.push_back(info::fault(message)),
            _ => self.stats.unknown += 1,
        }
        Ok(())
    }

    fn audio(
        &mut self,
        now: Instant,
        provider: Provider,
        message: &Envelope<'_>,
    ) -> Result<(), MessageError> {
        let audio = message.media()?;
        if audio.track == Some(Track::Outbound) {
            self.stats.other_track += 1;
            return Ok(());
        }
        let chunk = Chunk { payload: audio.payload, timestamp: audio.timestamp };
        match provider {
            // TCP keeps the order, and Twilio promises it.
            Provider::Twilio => self.reorder.pass(chunk),
            Provider::Telnyx => self.reorder.push(now, audio.chunk, chunk),
        }
        self.release();
        Ok(())
    }

    /// Tells of every chunk whose turn it is.
    fn release(&mut self) {
        let State::Up(info) = &self.state else { return };
        while let Some(Chunk { mut payload, timestamp }) = self.reorder.pop() {
            if info.inbound.encoding == Encoding::L16 {
                payload = self.byte_order.read(payload);
            }
            let timestamp = timestamp.unwrap_or(self.position);
            self.position = timestamp + info.inbound.duration(payload.len() as u64);
            self.stats.media += 1;
            self.events.push_back(Event::Media { payload, timestamp });
        }
    }

    fn malformed(&mut self, last: MessageError) -> StreamError {
        self.stats.malformed += 1;
        self.broken_in_a_row += 1;
        if self.broken_in_a_row < self.config.malformed_limit {
            return StreamError::Message(last);
        }
        let count = self.broken_in_a_row;
        self.end();
        StreamError::Malformed { count, last }
    }

    /// Hands over what is left. [`Event::Stopped`] follows only upon [`Event::Started`].
    fn end(&mut self) {
        self.reorder.flush();
        self.release();
        if let State::Up(_) = std::mem::replace(&mut self.state, State::Over) {
            let cleared = self.marks.end();
            self.events.extend(cleared.map(|name| Event::Mark { name, outcome: MarkOutcome::Cleared }));
            self.events.push_back(Event::Stopped);
        }
    }
}
