//! `Negotiator` holds one call's media session over all of its offers and answers (RFC 3264 §8).
//!
//! In: offers and answers of the peer, our hold. Out: bodies to send, [`Agreed`]. A session keeps its id, the number and
//! order of its m-lines and the meaning of its payload types; its version is one more whenever the body changes.

use std::net::IpAddr;

use bytes::Bytes;
use model::audio::Codec;

use super::read::{self, RemoteMedia};
use super::{Agreed, AnswerError, Direction, LocalMedia, write};

/// One call's offer/answer state.
#[derive(Debug, Clone)]
pub struct Negotiator {
    local: LocalMedia,
    codecs: Vec<Codec>,
    telephone_event: Option<u8>,
    wanted: Direction,
    /// The direction that we said in the last exchange that both sides accepted.
    settled: Direction,
    /// The peer's hold, as it said last.
    held_by_peer: bool,
    /// What the last exchange fixed; `None` before the first one.
    session: Option<Session>,
    /// What our last offer named, until the next one: early media, forks and the 2xx may each answer it.
    offered: Option<Offered>,
    /// The address and m-lines that were sent last.
    sent: Option<(IpAddr, String)>,
}

/// The contents of an offer of ours.
#[derive(Debug, Clone)]
struct Offered {
    formats: Vec<(u8, Codec)>,
    telephone_event: Option<u8>,
    direction: Direction,
}

/// What later offers must keep.
#[derive(Debug, Clone)]
struct Session {
    /// The m-lines of streams that are not ours, refused, in their places.
    before: Vec<String>,
    after: Vec<String>,
    proto: String,
    format: (u8, Codec),
    telephone_event: Option<u8>,
}

/// An answer that could be given.
#[derive(Debug)]
pub(super) struct Answered {
    pub agreed: Agreed,
    /// The m-lines to send.
    pub media: String,
    session: Session,
}

impl Negotiator {
    /// A session of `codecs` in order of preference, those that SDP has no name for left out; `telephone_event` is the
    /// payload type that our own offers use.
    pub fn new(local: LocalMedia, mut codecs: Vec<Codec>, telephone_event: Option<u8>) -> Negotiator {
        codecs.retain(|codec| Codec::ALL.contains(codec));
        Negotiator {
            local,
            codecs,
            telephone_event,
            wanted: Direction::SendRecv,
            settled: Direction::SendRecv,
            held_by_peer: false,
            session: None,
            offered: None,
            sent: None,
        }
    }

    /// Our side as it is now, with the version that was sent last.
    pub fn local(&self) -> &LocalMedia {
        &self.local
    }

    /// The direction that we want from now on: `SendOnly` is our hold. It shows in the next offer or answer.
    pub fn set_direction(&mut self, direction: Direction) {
        self.wanted = direction;
    }

    /// The direction that we want.
    pub fn direction(&self) -> Direction {
        self.wanted
    }

    /// Whether we hold the peer: so it was agreed, or answered, last.
    pub fn is_held_by_us(&self) -> bool {
        !self.settled.receives()
    }

    /// Whether the peer holds us: so it said last.
    pub fn is_held_by_peer(&self) -> bool {
        self.held_by_peer
    }

    /// The address and port that we receive at from now on.
    pub fn set_address(&mut self, address: IpAddr, port: u16) {
        (self.local.address, self.local.port) = (address, port);
    }

    /// The offer to send now: the first, with every codec; or a later one, which keeps what was agreed.
    pub fn offer(&mut self) -> Bytes {
        let offered = self.next_offer();
        let proto = self.session.as_ref().map_or("RTP/AVP", |session| &session.proto);
        let audio = write::audio(&write::Audio {
            port: self.local.port,
            proto,
            formats: &offered.formats,
            telephone_event: offered.telephone_event,
            ptime: Some(20),
            direction: offered.direction,
        });
        let media = match &self.session {
            Some(session) => session.around(&audio),
            None => audio,
        };
        self.offered = Some(offered);
        self.send(media)
    }

    /// The offer that changes our direction: `SendOnly` is our hold, `SendRecv` its end. The peer's own hold is left to
    /// its answer. After a refusal call [`offer_refused`](Negotiator::offer_refused).
    pub fn offer_with(&mut self, direction: Direction) -> Bytes {
        self.set_direction(direction);
        self.offer()
    }

    /// The peer refused our last offer: the session, our hold included, is as it was before (RFC 3261 §14.1). The version
    /// is not taken back, since the peer has seen it.
    pub fn offer_refused(&mut self) {
        self.wanted = self.settled;
        self.offered = None;
    }

    /// Answers an offer. A repeated offer gets the identical answer.
    ///
    /// # Errors
    /// As [`answer`](super::answer); the session then stays as it was.
    pub fn answer(&mut self, offer: &[u8]) -> Result<(Agreed, Bytes), AnswerError> {
        let answered = answer(offer, &self.local, &self.codecs, self.wanted)?;
        self.session = Some(answered.session);
        // What our last offer named is past: an answer to a refresh is read against what was agreed now.
        self.offered = None;
        self.settled = self.wanted;
        self.held_by_peer = answered.agreed.held_by_peer;
        Ok((answered.agreed, self.send(answered.media)))
    }

    /// Takes the answer to the last [`offer`](Negotiator::offer).
    ///
    /// # Errors
    /// As [`accept_answer`](super::accept_answer); the session then stays as it was.
    pub fn accept_answer(&mut self, answer: &[u8]) -> Result<Agreed, AnswerError> {
        let place = self.session.as_ref().map_or(0, |session| session.before.len());
        let offered = self.offered.clone().unwrap_or_else(|| self.next_offer());
        let mut agreed = accept(answer, place, &offered.formats, offered.telephone_event, offered.direction)?;
        if !offered.direction.sends() {
            // Such an answer can only refuse what was not offered: it says nothing about a hold.
            agreed.held_by_peer = self.held_by_peer;
        }
        self.settled = offered.direction;
        self.held_by_peer = agreed.held_by_peer;
        let format = (agreed.payload_type, agreed.codec);
        match &mut self.session {
            Some(session) => {
                session.format = format;
                session.telephone_event = agreed.telephone_event;
            }
            None => {
                self.session = Some(Session {
                    before: Vec::new(),
                    after: Vec::new(),
                    proto: "RTP/AVP".to_owned(),
                    format,
                    telephone_event: agreed.telephone_event,
                });
            }
        }
        Ok(agreed)
    }

    /// What an offer would name now: the agreed codec, so that a hold does not change it, or all before there is one.
    fn next_offer(&self) -> Offered {
        let (formats, telephone_event) = match &self.session {
            Some(session) => (vec![session.format], session.telephone_event),
            None => {
                let formats = self.codecs.iter().map(|codec| (codec.payload_type(), *codec));
                (formats.collect(), self.telephone_event)
            }
        };
        Offered { formats, telephone_event, direction: self.wanted }
    }

    /// Writes the body, under the next version where it differs from the last.
    fn send(&mut self, media: String) -> Bytes {
        let new = (self.local.address, media);
        if self.sent.as_ref().is_some_and(|sent| *sent != new) {
            self.local.version = self.local.version.wrapping_add(1);
        }
        let body = write::body(&self.local, &new.1);
        self.sent = Some(new);
        body
    }
}

impl Session {
    /// All m-lines, with ours in its place.
    fn around(&self, audio: &str) -> String {
        [self.before.concat().as_str(), audio, self.after.concat().as_str()].concat()
    }
}

/// Answers an offer: the first offered audio stream in plain RTP with one of our codecs.
pub(super) fn answer(
    offer: &[u8],
    local: &LocalMedia,
    codecs: &[Codec],
    wanted: Direction,
) -> Result<Answered, AnswerError> {
    let offered = read::parse(offer)?;
    let (place, formats) = choose(&offered, codecs)?;
    let media = &offered[place];
    let agreed = agree(media, formats, None, wanted)?;
    let audio = write::audio(&write::Audio {
        // A stream that is offered with port 0 is answered with port 0.
        port: if media.is_disabled() { 0 } else { local.port },
        proto: &media.proto,
        formats: &[(agreed.payload_type, agreed.codec)],
        telephone_event: agreed.telephone_event,
        ptime: agreed.ptime,
        direction: agreed.direction,
    });
    let refuse = |other: &RemoteMedia| write::refused(&other.kind, &other.proto, &other.formats);
    let session = Session {
        before: offered[..place].iter().map(refuse).collect(),
        after: offered[place + 1..].iter().map(refuse).collect(),
        proto: media.proto.clone(),
        format: (agreed.payload_type, agreed.codec),
        telephone_event: agreed.telephone_event,
    };
    Ok(Answered { media: session.around(&audio), agreed, session })
}

/// Reads an answer to an offer of `formats`, whose audio was the m-line number `place`.
pub(super) fn accept(
    answer: &[u8],
    place: usize,
    formats: &[(u8, Codec)],
    telephone_event: Option<u8>,
    offered: Direction,
) -> Result<Agreed, AnswerError> {
    let answered = read::parse(answer)?;
    // Equipment that drops refused m-lines has its audio elsewhere.
    let media = answered.get(place).filter(|media| media.is_audio());
    let media = media.or_else(|| answered.iter().find(|media| media.is_audio() && !media.is_disabled()));
    let media = media.filter(|media| !media.is_disabled()).ok_or(AnswerError::NoAudio)?;
    if !media.is_plain_rtp() {
        return Err(AnswerError::UnsupportedTransport { proto: media.proto.chars().take(32).collect() });
    }
    let ours: Vec<Codec> = formats.iter().map(|(_, codec)| *codec).collect();
    let mut common = media.codecs(&ours);
    if common.is_empty() {
        return Err(AnswerError::NoCommonCodec { offered: media.format_names() });
    }
    // What we offered may arrive even if it was not answered.
    for format in formats {
        if !common.iter().any(|(payload_type, _)| *payload_type == format.0) {
            common.push(*format);
        }
    }
    let mut agreed = agree(media, common, telephone_event, offered)?;
    if telephone_event.is_none() {
        agreed.telephone_event = None;
    }
    Ok(agreed)
}

/// The m-line to take and our codecs in it. A disabled stream is taken only where there is no other.
fn choose(offered: &[RemoteMedia], codecs: &[Codec]) -> Result<(usize, Vec<(u8, Codec)>), AnswerError> {
    let mut refusal = AnswerError::NoAudio;
    let mut disabled = None;
    for (place, media) in offered.iter().enumerate().filter(|(_, media)| media.is_audio()) {
        if !media.is_plain_rtp() {
            if refusal == AnswerError::NoAudio {
                refusal = AnswerError::UnsupportedTransport { proto: media.proto.chars().take(32).collect() };
            }
            continue;
        }
        let common = media.codecs(codecs);
        if common.is_empty() {
            refusal = AnswerError::NoCommonCodec { offered: media.format_names() };
        } else if media.is_disabled() {
            disabled.get_or_insert((place, common));
        } else {
            return Ok((place, common));
        }
    }
    disabled.ok_or(refusal)
}

/// What a stream of the peer and our wish come to. `common` is not empty.
fn agree(
    media: &RemoteMedia,
    common: Vec<(u8, Codec)>,
    expected_event: Option<u8>,
    wanted: Direction,
) -> Result<Agreed, AnswerError> {
    let Some(&(payload_type, codec)) = common.first() else {
        return Err(AnswerError::NoCommonCodec { offered: media.format_names() });
    };
    let remote = media.rtp()?;
    let theirs = media.direction();
    Ok(Agreed {
        codec,
        payload_type,
        accept: common,
        telephone_event: media.telephone_event(expected_event),
        remote,
        remote_rtcp: media.rtcp(remote),
        rtcp_mux: media.rtcp_mux(),
        direction: theirs.mirrored().and(wanted),
        held_by_peer: !theirs.receives(),
        held_by_us: !wanted.receives(),
        ptime: media.ptime(),
    })
}
