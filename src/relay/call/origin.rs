//! How calls come to be: by an INVITE, by a provider's media stream, by a client's CALL.
//!
//! In: what is known of the call, the habits of all calls. Out: a [`NewCall`], if it can be taken.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use bytes::Bytes;
use model::{audio::Codec, call::Direction, id::CallId};
use sip::sdp::{Agreed, AnswerError, LocalMedia, Negotiator};

use super::super::{
    message::{DialOptions, Listener, MediaPlan, StreamStart},
    random_u64,
    sip_listener::number_text,
};

/// What every call of a relay has in common.
#[derive(Debug, Clone)]
pub struct CallSettings {
    /// The codecs that we take, in our order of preference.
    pub codecs: Vec<Codec>,
    /// The payload type of telephone events in our offers.
    pub telephone_event: u8,
    /// After how long inbound calls are answered; zero is at once, `None` leaves it to an agent.
    pub answer_after: Option<Duration>,
    /// How long an inbound call may wait for an agent.
    pub ring_timeout: Duration,
    /// How long a call may be up; `None`: for ever.
    pub max_duration: Option<Duration>,
    /// INVITEs without an offer are taken, and answered with ours; else they are refused like an offer that has nothing.
    pub delayed_offer: bool,
}

impl CallSettings {
    fn negotiator(&self, local: LocalMedia) -> Negotiator {
        Negotiator::new(local, self.codecs.clone(), Some(self.telephone_event))
    }

    /// Inbound calls are answered without ringing.
    pub(super) fn answers_at_once(&self) -> bool {
        self.answer_after.is_some_and(|wait| wait.is_zero())
    }
}

/// A call that is about to be made.
pub struct NewCall {
    /// Its name.
    pub id: CallId,
    /// The number at the far end.
    pub phone: String,
    /// Its offer/answer state.
    pub negotiator: Negotiator,
    /// How it came to be.
    pub origin: Origin,
    /// Who hears it from its first frame on.
    pub listeners: Vec<Listener>,
}

/// How a call came to be.
pub enum Origin {
    /// By an INVITE that we can answer like this.
    Inbound {
        /// What was agreed; `None` where the INVITE had no offer, and the ACK will tell.
        agreed: Option<Box<Agreed>>,
        /// Our SDP: an answer, or the offer.
        body: Bytes,
    },
    /// By a provider's media stream, whose media is like this.
    Stream(Box<MediaPlan>),
    /// By a client's CALL.
    Outbound(Option<Box<DialOptions>>),
}

impl Origin {
    /// Who called whom.
    pub fn direction(&self) -> Direction {
        match self {
            Origin::Inbound { .. } | Origin::Stream(_) => Direction::Inbound,
            Origin::Outbound(_) => Direction::Outbound,
        }
    }

    /// What the program that placed it named it by.
    pub fn ticket(&self) -> Option<u64> {
        match self {
            Origin::Inbound { .. } | Origin::Stream(_) => None,
            Origin::Outbound(options) => options.as_ref()?.ticket,
        }
    }
}

impl NewCall {
    /// An inbound call, if its offer can be answered. Without one the offer is ours.
    pub fn inbound(
        id: CallId,
        phone: String,
        offer: Option<&[u8]>,
        local: LocalMedia,
        settings: &CallSettings,
    ) -> Result<Self, AnswerError> {
        let mut negotiator = settings.negotiator(local);
        let offer = offer.or((!settings.delayed_offer).then_some(&[]));
        let (agreed, body) = match offer.map(|offer| negotiator.answer(offer)).transpose()? {
            Some((agreed, answer)) => (Some(Box::new(agreed)), answer),
            None => (None, negotiator.offer()),
        };
        let origin = Origin::Inbound { agreed, body };
        Ok(Self { id, phone, negotiator, origin, listeners: Vec::new() })
    }

    /// An inbound call by a media stream. It has nothing to negotiate: what would need an offer, its line refuses.
    pub fn by_stream(start: &StreamStart, settings: &CallSettings) -> Self {
        let id = random_u64() >> 33;
        let local = LocalMedia {
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 0,
            session_id: id,
            version: id,
            username: "-".to_owned(),
            session_name: "-".to_owned(),
        };
        Self {
            id: start.id.clone(),
            phone: phone_of(&start.phone),
            negotiator: settings.negotiator(local),
            origin: Origin::Stream(Box::new(plan_of(start))),
            listeners: Vec::new(),
        }
    }

    /// An outbound call.
    pub fn outbound(
        id: CallId,
        phone: String,
        options: Option<Box<DialOptions>>,
        local: LocalMedia,
        settings: &CallSettings,
    ) -> Self {
        let negotiator = settings.negotiator(local);
        Self { id, phone, negotiator, origin: Origin::Outbound(options), listeners: Vec::new() }
    }
}

/// Both directions are open, in the codecs that the provider named.
fn plan_of(start: &StreamStart) -> MediaPlan {
    let received = start.received.payload_type();
    // Linear PCM of two rates would have one number.
    let sent = start.sent.payload_type();
    let sent = if sent == received && start.sent != start.received { sent + 1 } else { sent };
    MediaPlan {
        codec: start.sent,
        payload_type: sent,
        accept: vec![(received, start.received)],
        telephone_event: None,
        remote: None,
        remote_rtcp: None,
        send: true,
        receive: true,
        held: false,
    }
}

fn phone_of(caller: &str) -> String {
    let phone = number_text(caller);
    if phone.is_empty() { "anonymous".to_owned() } else { phone }
}
