//! `Dialog` is what two ends agreed on: tags, sequence numbers, where the other end is and by which route (RFC 3261 §12).
//! In: the requests and responses that make and refresh it. Out: the parts of requests inside it.
//! Knows nothing of transactions, calls or SDP.

mod hop;

use std::net::SocketAddr;

use crate::msg::{ByteStr, HeaderError, HeaderName, Message};

pub(crate) use hop::Hop;

/// One side's view of a dialog.
#[derive(Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: Box<str>,
    /// Our From or To value with its tag.
    pub(crate) local: Box<str>,
    /// The peer's To or From value with its tag.
    pub(crate) remote: Box<str>,
    /// Empty when the peer sent none (RFC 2543).
    pub(crate) remote_tag: Box<str>,
    pub(crate) local_seq: u32,
    pub(crate) remote_seq: Option<u32>,
    /// The remote target: the peer's Contact URI.
    pub(crate) target: Box<str>,
    /// Route values, first hop first.
    pub(crate) routes: Box<[Box<str>]>,
    /// Where the peer's messages come from: the way to it when the next hop is a name, which this core cannot resolve.
    pub(crate) peer: SocketAddr,
}

/// How the CSeq of a request compares with the last one in its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Higher; gaps are legal.
    New,
    /// The same number again.
    Same,
    /// Lower: out of order.
    Old,
}

impl Dialog {
    /// The dialog that our response with `local_tag` to an INVITE makes (RFC 3261 §12.1.1).
    pub(crate) fn uas(request: &Message, local_tag: &str, source: SocketAddr) -> Result<Self, HeaderError> {
        let text = |name: HeaderName| request.header(&name).cloned().ok_or(HeaderError::Missing(name));
        Ok(Self {
            call_id: boxed(&request.call_id()?),
            local: format!("{};tag={local_tag}", text(HeaderName::To)?.trim_end_matches([';', ' '])).into(),
            remote: boxed(&text(HeaderName::From)?),
            remote_tag: request.from()?.tag().unwrap_or("").into(),
            local_seq: 0,
            remote_seq: Some(request.cseq()?.number),
            target: match contact_of(request) {
                // RFC 2543 callers may leave it out.
                Err(HeaderError::Missing(_)) => format!("sip:{source}").into(),
                contact => contact?.into(),
            },
            routes: request.list(&HeaderName::RecordRoute).map(|route| boxed(&route)).collect(),
            peer: source,
        })
    }

    /// The dialog that a response with a To tag to our INVITE makes (RFC 3261 §12.1.2).
    pub(crate) fn uac(request: &Message, response: &Message, peer: SocketAddr) -> Result<Self, HeaderError> {
        let text =
            |of: &Message, name: HeaderName| of.header(&name).cloned().ok_or(HeaderError::Missing(name));
        let mut routes: Vec<Box<str>> =
            response.list(&HeaderName::RecordRoute).map(|route| boxed(&route)).collect();
        routes.reverse();
        let target = match contact_of(response) {
            Ok(target) => target,
            Err(_) => request.request_uri().map(ToString::to_string).unwrap_or_default(),
        };
        Ok(Self {
            call_id: boxed(&request.call_id()?),
            local: boxed(&text(request, HeaderName::From)?),
            remote: boxed(&text(response, HeaderName::To)?),
            remote_tag: response.to()?.tag().unwrap_or("").into(),
            local_seq: request.cseq()?.number,
            remote_seq: None,
            target: target.into(),
            routes: routes.into(),
            peer,
        })
    }

    /// The CSeq number of our next request.
    pub(crate) fn next_local_seq(&mut self) -> u32 {
        self.local_seq += 1;
        self.local_seq
    }

    /// Follows the Contact of a target refresh request or of the 2xx to one; without a Contact nothing changes.
    pub(crate) fn refresh_target(&mut self, message: &Message) {
        if let Ok(target) = contact_of(message) {
            self.target = target.into();
        }
    }

    /// Where and how the next request goes (RFC 3261 §12.2.1.1).
    pub(crate) fn next_hop(&self, local: SocketAddr) -> Hop {
        hop::next(&self.target, &self.routes, local, self.peer)
    }
}

/// Compares a CSeq number with the last one of its direction.
pub(crate) fn order(last: Option<u32>, number: u32) -> Order {
    match last {
        Some(last) if number < last => Order::Old,
        Some(last) if number == last => Order::Same,
        _ => Order::New,
    }
}

/// The first Contact's URI, without the headers part that a Request-URI must not have.
fn contact_of(message: &Message) -> Result<String, HeaderError> {
    let contact = message.contact()?;
    let addr = contact.addr().ok_or(HeaderError::Malformed(HeaderName::Contact))?;
    let mut uri = addr.parsed_uri().map_err(|_| HeaderError::Malformed(HeaderName::Contact))?;
    if uri.headers.take().is_none() {
        return Ok(addr.uri.to_string());
    }
    Ok(uri.to_string())
}

fn boxed(text: &ByteStr) -> Box<str> {
    text.as_str().into()
}
