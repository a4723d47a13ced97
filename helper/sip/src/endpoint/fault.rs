//! `Fault` is a refusal of a request that leaves no state behind (RFC 3261 §8.2.7): the same request gets the same answer.

use std::net::SocketAddr;
use std::time::Duration;

use super::Core;
use crate::msg::{HeaderName, Message, ResponseBuilder, StatusCode, Via};
use crate::ua::compose;

/// A final response to a request that goes no further.
#[derive(Debug)]
pub(crate) struct Fault {
    status: StatusCode,
    reason: Option<&'static str>,
    headers: Vec<(HeaderName, String)>,
    to_tag: Option<String>,
}

impl Fault {
    pub(crate) fn new(status: StatusCode) -> Self {
        Self { status, reason: None, headers: Vec::new(), to_tag: None }
    }

    /// With a reason phrase that says what is wrong.
    pub(crate) fn because(status: StatusCode, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..Self::new(status) }
    }

    pub(crate) fn retry_after(status: StatusCode, after: Duration) -> Self {
        Self::new(status).header(HeaderName::RetryAfter, after.as_secs().to_string())
    }

    pub(crate) fn header(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With the To tag of the call that the request belongs to.
    pub(crate) fn tagged(mut self, tag: Option<String>) -> Self {
        self.to_tag = tag;
        self
    }

    /// Sends it. Without a call the To tag is a hash of the request, so a retransmission gets the same one.
    pub(crate) fn send(self, core: &mut Core, source: SocketAddr, request: &Message, via: &Via) {
        let call_id = request.call_id().unwrap_or_default();
        let tag = self.to_tag.unwrap_or_else(|| {
            let hash = core.random.hash().text(via.branch.as_deref().unwrap_or("")).text(&call_id).finish();
            format!("{hash:016x}")
        });
        let mut builder = ResponseBuilder::to_request(request, self.status, self.reason)
            .received_from(source)
            .to_tag(&tag)
            .header(HeaderName::Server, &core.config.user_agent);
        for (name, value) in self.headers {
            builder = builder.header(name, value);
        }
        match builder.build() {
            Ok(response) => core.send(compose::reply_address(via, source), response),
            Err(_) => core.counters.dropped += 1,
        }
    }
}
