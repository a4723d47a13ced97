//! Writes the messages of the user agent: requests out of dialogs and settings, responses out of the lines that every
//! response to one request shares.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use super::call::Outbound;
use super::prack::RELIABLE;
use super::registration::Binding;
use super::session_timer::{Ask, TIMER, Terms};
use crate::dialog::{Dialog, Hop};
use crate::endpoint::{EndpointConfig, Reliable};
use crate::msg::{
    HeaderName, Limits, Message, Method, RequestBuilder, ResponseBuilder, StatusCode, Via, parse_datagram,
};

/// What this user agent understands (RFC 3261 §20.5).
pub(crate) fn allow(config: &EndpointConfig) -> &'static str {
    match config.allow_refer {
        true => "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK, INFO, NOTIFY, REFER",
        false => "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK, INFO, NOTIFY",
    }
}

/// The extensions that this user agent knows (RFC 3261 §20.37).
pub(crate) fn option_tags(config: &EndpointConfig) -> impl Iterator<Item = &'static str> {
    let timer = config.session_timer.is_some().then_some(TIMER);
    let reliable = (config.reliable != Reliable::Off).then_some(RELIABLE);
    timer.into_iter().chain(reliable)
}

/// The value of our Supported; empty when there is nothing to tell.
pub(crate) fn supported(config: &EndpointConfig) -> String {
    option_tags(config).collect::<Vec<_>>().join(", ")
}

/// Our Supported line, when there is something to tell. A request may do `without` an extension.
pub(crate) fn supported_line(
    config: &EndpointConfig,
    without: Option<&str>,
) -> Option<(&'static str, String)> {
    let tags: Vec<_> = option_tags(config).filter(|tag| Some(*tag) != without).collect();
    (!tags.is_empty()).then(|| ("Supported", tags.join(", ")))
}

/// The lines of our 2xx to an INVITE or UPDATE that say what we support and which session timer it starts.
pub(crate) fn extension_lines(
    config: &EndpointConfig,
    terms: Option<Terms>,
) -> SmallVec<[(&'static str, String); 3]> {
    supported_line(config, None).into_iter().chain(terms.iter().flat_map(Terms::lines)).collect()
}

/// The only body of a session that it understands.
pub(crate) const SDP: &str = "application/sdp";

const MAX_FORWARDS: u8 = 70;

/// The value of our Via in a request to `peer`.
pub(crate) fn via(config: &EndpointConfig, peer: SocketAddr, branch: &str) -> String {
    format!("SIP/2.0/UDP {};branch={branch};rport", config.contact_for(peer))
}

/// The value of our Contact in a message to `peer`.
pub(crate) fn contact(config: &EndpointConfig, peer: SocketAddr) -> String {
    let address = config.contact_for(peer);
    match &config.contact_user {
        Some(user) => format!("<sip:{user}@{address}>"),
        None => format!("<sip:{address}>"),
    }
}

/// The INVITE that opens a call.
pub(crate) fn invite(
    config: &EndpointConfig,
    call: &Outbound,
    cseq: u32,
    branch: &str,
    authorization: &[(&'static str, String)],
) -> Option<Bytes> {
    let without = call.offer.is_none().then_some(RELIABLE);
    let required = config.reliable == Reliable::Required && without.is_none();
    let require = required.then(|| ("Require", RELIABLE.to_owned()));
    let mut builder = RequestBuilder::new(&Method::Invite, &call.target)
        .via(via(config, call.destination, branch))
        .header(HeaderName::MaxForwards, MAX_FORWARDS)
        .header(HeaderName::From, &call.from)
        .header(HeaderName::To, format_args!("<{}>", call.target))
        .header(HeaderName::CallId, &call.call_id)
        .header(HeaderName::CSeq, format_args!("{cseq} INVITE"))
        .header(HeaderName::Contact, contact(config, call.destination))
        .header(HeaderName::UserAgent, &config.user_agent)
        .header(HeaderName::Allow, allow(config));
    for (name, value) in
        supported_line(config, without).into_iter().chain(require).chain(call.ask.iter().flat_map(Ask::lines))
    {
        builder = builder.header(name, value);
    }
    for (name, value) in authorization {
        builder = builder.header(*name, value);
    }
    for (name, value) in &call.headers {
        builder = builder.header(name.as_str(), value);
    }
    if let Some(offer) = &call.offer {
        builder = builder.body(SDP, offer.clone());
    }
    builder.build().ok()
}

/// A REGISTER for our contact; `expires` of zero removes it (RFC 3261 §10.2).
pub(crate) fn register(
    config: &EndpointConfig,
    binding: &Binding,
    (cseq, branch): (u32, &str),
    expires: u32,
    authorization: &[(&'static str, String)],
) -> Option<Bytes> {
    let mut builder = RequestBuilder::new(&Method::Register, &binding.registrar)
        .via(via(config, binding.destination, branch))
        .header(HeaderName::MaxForwards, MAX_FORWARDS)
        .header(HeaderName::From, format_args!("<{}>;tag={}", binding.aor, binding.tag))
        .header(HeaderName::To, format_args!("<{}>", binding.aor))
        .header(HeaderName::CallId, &binding.call_id)
        .header(HeaderName::CSeq, format_args!("{cseq} REGISTER"))
        .header(HeaderName::Contact, format_args!("<{}>;expires={expires}", binding.contact))
        .header(HeaderName::Allow, allow(config))
        .header(HeaderName::UserAgent, &config.user_agent);
    for (name, value) in authorization {
        builder = builder.header(*name, value);
    }
    builder.header(HeaderName::Expires, expires).build().ok()
}

/// A request inside a dialog, and where it goes; `extra` are further lines, credentials among them.
pub(crate) fn in_dialog(
    config: &EndpointConfig,
    dialog: &Dialog,
    method: &Method,
    (cseq, branch): (u32, &str),
    extra: &[(&'static str, String)],
    sdp: Option<&Bytes>,
) -> Option<(SocketAddr, Bytes)> {
    request(config, dialog, method, (cseq, branch), extra, sdp.map(|sdp| (SDP, sdp)))
}

/// A request inside a dialog with a body of any type, and where it goes.
pub(crate) fn request(
    config: &EndpointConfig,
    dialog: &Dialog,
    method: &Method,
    (cseq, branch): (u32, &str),
    headers: &[(&'static str, String)],
    body: Option<(&str, &Bytes)>,
) -> Option<(SocketAddr, Bytes)> {
    let Hop { uri, routes, destination } = dialog.next_hop(config.contact);
    let mut builder = RequestBuilder::new(method, uri)
        .via(via(config, destination, branch))
        .header(HeaderName::MaxForwards, MAX_FORWARDS);
    for route in &routes {
        builder = builder.header(HeaderName::Route, route);
    }
    builder = builder
        .header(HeaderName::From, &dialog.local)
        .header(HeaderName::To, &dialog.remote)
        .header(HeaderName::CallId, &dialog.call_id)
        .header(HeaderName::CSeq, format_args!("{cseq} {method}"));
    let refreshes_target = matches!(method, Method::Invite | Method::Update);
    if refreshes_target {
        builder = builder.header(HeaderName::Contact, contact(config, destination));
    }
    builder = builder.header(HeaderName::UserAgent, &config.user_agent);
    if refreshes_target {
        builder = builder.header(HeaderName::Allow, allow(config));
    }
    // RFC 4028 §7.1 wants it in every request but ACK. Our re-INVITEs do not ring.
    if let Some((name, value)) = supported_line(config, Some(RELIABLE)).filter(|_| *method != Method::Ack) {
        builder = builder.header(name, value);
    }
    for (name, value) in headers {
        builder = builder.header(*name, value);
    }
    if let Some((content_type, body)) = body {
        builder = builder.body(content_type, body.clone());
    }
    Some((destination, builder.build().ok()?))
}

/// The ACK of a 2xx: a request of its own inside the dialog, with the CSeq number and the credentials of the INVITE
/// (RFC 3261 §13.2.2.4). `sdp` is the answer, when the 2xx carried the offer.
pub(crate) fn success_ack(
    config: &EndpointConfig,
    dialog: &Dialog,
    invite: &Message,
    branch: &str,
    sdp: Option<&Bytes>,
) -> Option<(SocketAddr, Bytes)> {
    let cseq = invite.cseq().ok()?.number;
    let mut credentials = Vec::new();
    for (name, text) in [
        (HeaderName::Authorization, "Authorization"),
        (HeaderName::ProxyAuthorization, "Proxy-Authorization"),
    ] {
        credentials.extend(invite.headers_of(&name).map(|value| (text, value.to_string())));
    }
    in_dialog(config, dialog, &Method::Ack, (cseq, branch), &credentials, sdp)
}

/// The ACK of a final response other than 2xx: part of the transaction of the INVITE (RFC 3261 §17.1.1.3).
pub(crate) fn failure_ack(invite: &Bytes, response: &Message) -> Option<Bytes> {
    let to = response.header(&HeaderName::To)?;
    derived(&own(invite)?, &Method::Ack, to)?.build().ok()
}

/// The CANCEL of an INVITE (RFC 3261 §9.1), with the value of Reason.
pub(crate) fn cancel(invite: &Bytes, reason: Option<&str>) -> Option<Bytes> {
    let invite = own(invite)?;
    let mut builder = derived(&invite, &Method::Cancel, invite.header(&HeaderName::To)?)?;
    if let Some(reason) = reason {
        builder = builder.header(HeaderName::Reason, reason);
    }
    builder.build().ok()
}

/// The ACK of a 2xx to a re-INVITE whose call is gone: along the route of the re-INVITE.
pub(crate) fn orphan_ack(
    config: &EndpointConfig,
    destination: SocketAddr,
    invite: &Message,
    to: &str,
    branch: &str,
) -> Option<Bytes> {
    let mut builder =
        RequestBuilder::new(&Method::Ack, invite.request_uri()?).via(via(config, destination, branch));
    builder = copied(builder, invite, to)?;
    builder.header(HeaderName::CSeq, format_args!("{} ACK", invite.cseq().ok()?.number)).build().ok()
}

/// Reads a message that this endpoint wrote.
pub(crate) fn own(message: &Bytes) -> Option<Message> {
    parse_datagram(message.clone(), &Limits::default()).ok()
}

fn derived(invite: &Message, method: &Method, to: &str) -> Option<RequestBuilder> {
    let via = invite.header(&HeaderName::Via)?;
    let builder = RequestBuilder::new(method, invite.request_uri()?).via(via);
    let cseq = invite.cseq().ok()?.number;
    Some(copied(builder, invite, to)?.header(HeaderName::CSeq, format_args!("{cseq} {method}")))
}

fn copied(builder: RequestBuilder, invite: &Message, to: &str) -> Option<RequestBuilder> {
    let mut builder = builder.header(HeaderName::MaxForwards, MAX_FORWARDS);
    for route in invite.headers_of(&HeaderName::Route) {
        builder = builder.header(HeaderName::Route, route);
    }
    let header = |name: HeaderName| invite.header(&name);
    Some(
        builder
            .header(HeaderName::From, header(HeaderName::From)?)
            .header(HeaderName::To, to)
            .header(HeaderName::CallId, header(HeaderName::CallId)?),
    )
}

/// Where responses to a request go: with `rport` to where it came from, else to the port of its Via (RFC 3261 §18.2.2,
/// RFC 3581 §4). `maddr` is not followed: it would let a stranger choose whom we send to.
pub(crate) fn reply_address(via: &Via, source: SocketAddr) -> SocketAddr {
    match (via.rport, via.port) {
        (Some(_), _) | (None, Some(0)) => source,
        (None, port) => SocketAddr::new(source.ip(), port.unwrap_or(5060)),
    }
}

/// The lines that every response to one request shares, Via to CSeq, the To tag included.
#[derive(Debug, Clone)]
pub(crate) struct ResponseHead {
    lines: Bytes,
    pub(crate) destination: SocketAddr,
}

impl ResponseHead {
    /// Copies what responses to `request` need; nothing of the datagram is kept.
    pub(crate) fn new(request: &Message, via: &Via, source: SocketAddr, to_tag: &str) -> Option<Self> {
        let response = ResponseBuilder::to_request(request, StatusCode::OK, None)
            .received_from(source)
            .to_tag(to_tag)
            .build()
            .ok()?;
        let begin = response.windows(2).position(|pair| pair == b"\r\n")? + 2;
        let end = response.len().checked_sub(EMPTY_BODY.len())?;
        let lines = Bytes::copy_from_slice(response.get(begin..end)?);
        Some(Self { lines, destination: reply_address(via, source) })
    }

    /// A response that carries a session: where we are, what we understand and the session timer that it starts, then
    /// `further` lines. One that opens a dialog repeats its Record-Route (RFC 3261 §12.1.1).
    pub(crate) fn session(
        &self,
        config: &EndpointConfig,
        opens: Option<&Dialog>,
        status: StatusCode,
        (terms, further): (Option<Terms>, &[(&str, &str)]),
        sdp: Option<&Bytes>,
    ) -> Bytes {
        let (contact, extensions) = (contact(config, self.destination), extension_lines(config, terms));
        let routes = opens.into_iter().flat_map(|dialog| &dialog.routes);
        let mut lines: Vec<(&str, &str)> = routes.map(|route| ("Record-Route", &**route)).collect();
        lines.extend([
            ("Contact", contact.as_str()),
            ("Allow", allow(config)),
            ("Server", config.user_agent.as_str()),
        ]);
        lines.extend(extensions.iter().map(|(name, value)| (*name, value.as_str())));
        lines.extend(further);
        self.response(status.as_u16(), status.reason(), &lines, sdp)
    }

    /// A response. Every text in it has been checked by the `guard` module or comes from a parsed message.
    pub(crate) fn response(
        &self,
        status: u16,
        reason: &str,
        lines: &[(&str, &str)],
        sdp: Option<&Bytes>,
    ) -> Bytes {
        let body = sdp.map_or(&[][..], |sdp| sdp);
        let extra: usize = lines.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        // Exact but for a few digits: an un-ACKed 2xx is kept.
        let frame = "SIP/2.0 200 \r\nContent-Type: application/sdp\r\nContent-Length: 0000\r\n\r\n".len();
        let mut out = BytesMut::with_capacity(frame + reason.len() + self.lines.len() + extra + body.len());
        out.put_slice(format!("SIP/2.0 {status} {reason}\r\n").as_bytes());
        out.put_slice(&self.lines);
        let content_type = sdp.map(|_| ("Content-Type", SDP));
        for (name, value) in lines.iter().copied().chain(content_type) {
            for part in [name, ": ", value, "\r\n"] {
                out.put_slice(part.as_bytes());
            }
        }
        out.put_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        out.put_slice(body);
        out.freeze()
    }
}

/// How the builder ends a response without a body.
const EMPTY_BODY: &[u8] = b"Content-Length: 0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_go_to_the_source_with_rport_and_else_to_the_port_of_the_via() {
        let to = |via: &str, source: &str| {
            reply_address(&Via::parse(&via.into()).unwrap(), source.parse().unwrap()).to_string()
        };
        assert_eq!(to("SIP/2.0/UDP 10.0.0.7:5070;branch=z9hG4bK1;rport", "192.0.2.3:4000"), "192.0.2.3:4000");
        assert_eq!(to("SIP/2.0/UDP 10.0.0.7:5070;branch=z9hG4bK1", "192.0.2.3:4000"), "192.0.2.3:5070");
        assert_eq!(to("SIP/2.0/UDP pbx.example.com;branch=z9hG4bK1", "192.0.2.3:4000"), "192.0.2.3:5060");
        assert_eq!(
            to("SIP/2.0/UDP [2001:db8::9]:5070;branch=z9hG4bK1", "[2001:db8::9]:4000"),
            "[2001:db8::9]:5070"
        );
        assert_eq!(
            to("SIP/2.0/UDP h;maddr=198.51.100.1;branch=z9hG4bK1", "192.0.2.3:4000"),
            "192.0.2.3:5060"
        );
    }
}
