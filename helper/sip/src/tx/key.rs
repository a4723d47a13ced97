//! Keys of live transactions: 64 bit of a keyed hash, so the tables hold no strings (RFC 3261 §17.1.3, §17.2.3).

use crate::endpoint::{KeyedHash, Random};
use crate::msg::{CSeq, HeaderError, Host, Message, Method, Via};

/// A client transaction: branch and method. Not the sent-by, which no response has to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClientKey(u64);

/// A server transaction: branch, sent-by and method, an ACK counting as INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ServerKey(u64);

impl ClientKey {
    pub(crate) fn new(random: &Random, branch: &str, method: &Method) -> Self {
        Self(random.hash().caseless(branch).text(method.as_str()).finish())
    }

    /// The transaction that a response answers.
    pub(crate) fn of_response(random: &Random, response: &Message) -> Result<Self, HeaderError> {
        let via = response.top_via()?;
        let CSeq { method, .. } = response.cseq()?;
        Ok(Self::new(random, via.branch.as_deref().unwrap_or(""), &method))
    }
}

impl ServerKey {
    /// The transaction of a request; `method` replaces its own, so a CANCEL can find its INVITE.
    pub(crate) fn of_request(
        random: &Random,
        request: &Message,
        via: &Via,
        method: &Method,
    ) -> Result<Self, HeaderError> {
        let method = if *method == Method::Ack { &Method::Invite } else { method };
        let hash = match via.rfc3261_branch() {
            Some(branch) => sent_by(random.hash().caseless(branch), via),
            // RFC 2543: no branch to rely on.
            None => {
                let from = request.from()?;
                sent_by(random.hash().text(via.branch.as_deref().unwrap_or("")), via)
                    .text(&request.call_id()?)
                    .text(from.tag().unwrap_or(""))
                    .number(request.cseq()?.number)
            }
        };
        Ok(Self(hash.text(method.as_str()).finish()))
    }
}

fn sent_by(hash: KeyedHash, via: &Via) -> KeyedHash {
    let hash = match &via.host {
        Host::V4(ip) => hash.number(4).number(u32::from(*ip)),
        Host::V6(ip) => ip.octets().chunks(4).fold(hash.number(6), |hash, four| {
            hash.number(four.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
        }),
        Host::Name(name) => hash.caseless(name),
    };
    hash.number(via.port.map_or(0, u32::from))
}
