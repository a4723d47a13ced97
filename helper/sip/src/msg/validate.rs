//! What is checked in a message before anything acts on it (RFC 3261 sections 8.1.1, 8.1.3.5, 8.2 and 16.3).

use super::{HeaderError, HeaderName, Message, Method, StatusCode, Uri, Via};

/// A request that is refused before anything else looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFault {
    /// The code of the answer.
    pub status: StatusCode,
    /// The phrase of the answer; says what is wrong.
    pub reason: &'static str,
}

/// Checks that a request has what every request must have, once and well-formed.
///
/// A missing Max-Forwards, a missing From tag and a Via without a branch pass: RFC 2543 requests have none. An unknown
/// scheme in the Request-URI passes too: its answer is 416, which is for the user agent to give.
pub fn validate_request(request: &Message) -> Result<(), RequestFault> {
    let method = request.method().ok_or(bad("Not A Request"))?;
    let uri = request.request_uri().ok_or(bad("Not A Request"))?;
    for (name, missing, duplicate) in SINGLE {
        match count(request, name) {
            0 => return Err(bad(missing)),
            1 => {}
            _ => return Err(bad(duplicate)),
        }
    }
    for (name, duplicate) in AT_MOST_ONE {
        if count(request, name) > 1 {
            return Err(bad(duplicate));
        }
    }
    request.top_via().map_err(|e| match e {
        HeaderError::Missing(_) => bad("Missing Via"),
        HeaderError::Malformed(_) => bad("Malformed Via"),
    })?;
    if request.vias().any(|via| Via::parse(&via).is_err()) {
        return Err(bad("Malformed Via"));
    }
    request.from().map_err(|_| bad("Malformed From"))?;
    request.to().map_err(|_| bad("Malformed To"))?;
    request.call_id().map_err(|_| bad("Malformed Call-ID"))?;
    let cseq = request.cseq().map_err(|_| bad("Malformed CSeq"))?;
    if cseq.method != *method {
        return Err(bad("CSeq Method Mismatch"));
    }
    if let Err(HeaderError::Malformed(_)) = request.max_forwards() {
        return Err(bad("Malformed Max-Forwards"));
    }
    match Uri::from_text(uri) {
        Err(_) => return Err(bad("Malformed Request-URI")),
        Ok(uri) if uri.headers.is_some() => return Err(bad("Headers In Request-URI")),
        Ok(_) => {}
    }
    if uses_contact(method) && request.contacts().any(|contact| contact.is_err()) {
        return Err(bad("Malformed Contact"));
    }
    Ok(())
}

/// Checks that a response can be matched to a request; one that cannot is discarded without an answer.
pub fn validate_response(response: &Message) -> Result<(), HeaderError> {
    for (name, ..) in SINGLE {
        match count(response, name) {
            0 => return Err(HeaderError::Missing(name.clone())),
            1 => {}
            _ => return Err(HeaderError::Malformed(name.clone())),
        }
    }
    response.top_via()?;
    response.from()?;
    response.to()?;
    response.call_id()?;
    response.cseq()?;
    Ok(())
}

fn count(message: &Message, name: &HeaderName) -> usize {
    message.headers_of(name).count()
}

fn bad(reason: &'static str) -> RequestFault {
    RequestFault { status: StatusCode::BAD_REQUEST, reason }
}

/// Whether the Contact of such a request is looked at; elsewhere a malformed one does no harm.
fn uses_contact(method: &Method) -> bool {
    !matches!(
        method,
        Method::Ack | Method::Bye | Method::Cancel | Method::Prack | Method::Info | Method::Message
    )
}

/// What every message has exactly once (RFC 3261 section 8.1.1).
static SINGLE: &[(HeaderName, &str, &str)] = &[
    (HeaderName::From, "Missing From", "Duplicate From"),
    (HeaderName::To, "Missing To", "Duplicate To"),
    (HeaderName::CallId, "Missing Call-ID", "Duplicate Call-ID"),
    (HeaderName::CSeq, "Missing CSeq", "Duplicate CSeq"),
];

/// What a request has at most once.
static AT_MOST_ONE: &[(HeaderName, &str)] = &[
    (HeaderName::MaxForwards, "Duplicate Max-Forwards"),
    (HeaderName::ContentLength, "Duplicate Content-Length"),
    (HeaderName::ContentType, "Duplicate Content-Type"),
];

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::{Limits, parse_datagram};
    use super::*;

    const GOOD: &str = "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
        From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:a@h>\r\n\
        Content-Length: 0\r\n\r\n";

    fn verdict(text: &str) -> Option<&'static str> {
        let message = parse_datagram(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap();
        let fault = validate_request(&message).err()?;
        assert_eq!(fault.status, StatusCode::BAD_REQUEST);
        Some(fault.reason)
    }

    #[test]
    fn a_good_request_passes_and_so_does_an_old_one() {
        assert_eq!(verdict(GOOD), None);
        let old =
            GOOD.replace("Max-Forwards: 70\r\n", "").replace(";tag=1", "").replace(";branch=z9hG4bK1", "");
        assert_eq!(verdict(&old), None);
        assert_eq!(verdict(&GOOD.replace("sip:b@h SIP", "foo:bar SIP")), None);
    }

    #[test]
    fn each_fault_has_its_phrase() {
        for (was, becomes, reason) in [
            ("Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n", "", "Missing Via"),
            ("Via: SIP/2.0/UDP h", "Via: h", "Malformed Via"),
            (";branch=z9hG4bK1", ";branch=z9hG4bK1, ;", "Malformed Via"),
            ("From: <sip:a@h>;tag=1\r\n", "", "Missing From"),
            ("From: <sip:a@h>", "From: <sip:a@h", "Malformed From"),
            ("To: <sip:b@h>", "To: \"b <sip:b@h>", "Malformed To"),
            ("To: <sip:b@h>", "To: <sip:b@h>\r\nt: <sip:b@h>", "Duplicate To"),
            ("Call-ID: c", "Call-ID:", "Malformed Call-ID"),
            ("CSeq: 1 INVITE", "CSeq: 4294967296 INVITE", "Malformed CSeq"),
            ("CSeq: 1 INVITE", "CSeq: 1 BYE", "CSeq Method Mismatch"),
            ("Max-Forwards: 70", "Max-Forwards: 256", "Malformed Max-Forwards"),
            ("Content-Length: 0", "Content-Length: 0\r\nl: 0", "Duplicate Content-Length"),
            ("sip:b@h SIP", "sip:b@h?Route=x SIP", "Headers In Request-URI"),
            ("sip:b@h SIP", "sip:b@h:x SIP", "Malformed Request-URI"),
            ("Contact: <sip:a@h>", "Contact: sip:a@h?Route=x", "Malformed Contact"),
        ] {
            assert_eq!(verdict(&GOOD.replace(was, becomes)), Some(reason));
        }
    }

    #[test]
    fn a_malformed_contact_does_not_keep_a_call_up() {
        let bye = GOOD.replace("INVITE", "BYE").replace("Contact: <sip:a@h>", "Contact: <");
        assert_eq!(verdict(&bye), None);
    }

    #[test]
    fn a_response_needs_what_matches_it() {
        let good = GOOD.replace("INVITE sip:b@h SIP/2.0", "SIP/2.0 200 OK");
        let check = |text: &str| {
            validate_response(
                &parse_datagram(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap(),
            )
        };
        assert_eq!(check(&good), Ok(()));
        assert_eq!(check(&good.replace("CSeq: 1", "CSeq: x")), Err(HeaderError::Malformed(HeaderName::CSeq)));
        assert_eq!(check(&good.replace("Call-ID: c\r\n", "")), Err(HeaderError::Missing(HeaderName::CallId)));
        let twice = good.replace("Call-ID: c\r\n", "Call-ID: c\r\ni: d\r\n");
        assert_eq!(check(&twice), Err(HeaderError::Malformed(HeaderName::CallId)));
    }
}
