//! Typed views of the headers that dialogs and transactions live by; each is made when asked for.

use std::fmt;
use std::time::Duration;

use super::addr::split_addrs;
use super::{ByteStr, Contact, HeaderError, HeaderName, Message, Method, NameAddr, Params, Via, scan};

/// The value of CSeq (RFC 3261 section 20.16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// 0 to 2^32-1; RFC 3261 asks senders to stay below 2^31.
    pub number: u32,
    /// The method of the request.
    pub method: Method,
}

/// The value of Content-Type (RFC 3261 section 20.15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// Type and subtype as written, blanks around the slash removed; compare with [`MediaType::is`].
    pub essence: ByteStr,
    /// The parameters.
    pub params: Params,
}

impl MediaType {
    /// Whether this is `essence` (such as `application/sdp`), whatever its case.
    pub fn is(&self, essence: &str) -> bool {
        self.essence.eq_ignore_ascii_case(essence)
    }
}

/// The value of RAck (RFC 3262 section 7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RAck {
    /// The RSeq of the response that is confirmed.
    pub rseq: u32,
    /// The CSeq number of that response.
    pub cseq: u32,
    /// The CSeq method of that response.
    pub method: Method,
}

/// The value of Session-Expires (RFC 4028 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionExpires {
    /// The session interval.
    pub interval: Duration,
    /// The `refresher` parameter as written: `uac` or `uas`.
    pub refresher: Option<ByteStr>,
}

impl Message {
    /// The first element of the first Via line.
    pub fn top_via(&self) -> Result<Via, HeaderError> {
        let line = self.required(HeaderName::Via)?;
        let first = scan::split_list(line).next().ok_or(HeaderError::Malformed(HeaderName::Via))?;
        Via::parse(&line.share(first))
    }

    /// All Via elements in order, top one first, as they were written.
    pub fn vias(&self) -> impl Iterator<Item = ByteStr> {
        self.list(&HeaderName::Via)
    }

    /// From.
    pub fn from(&self) -> Result<NameAddr, HeaderError> {
        self.addr(HeaderName::From)
    }

    /// To.
    pub fn to(&self) -> Result<NameAddr, HeaderError> {
        self.addr(HeaderName::To)
    }

    /// The first Contact.
    pub fn contact(&self) -> Result<Contact, HeaderError> {
        self.contacts().next().unwrap_or(Err(HeaderError::Missing(HeaderName::Contact)))
    }

    /// Every Contact in order.
    pub fn contacts(&self) -> impl Iterator<Item = Result<Contact, HeaderError>> {
        self.addr_parts(HeaderName::Contact).map(|part| match part.as_str() {
            "*" => Ok(Contact::Star),
            _ => NameAddr::parse(&part, HeaderName::Contact).map(Contact::Addr),
        })
    }

    /// Every Record-Route in order; empty when there is none.
    pub fn record_routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.addresses(HeaderName::RecordRoute)
    }

    /// Every Route in order; empty when there is none.
    pub fn routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.addresses(HeaderName::Route)
    }

    /// Every address of a header that lists addresses, such as P-Asserted-Identity; empty when there is none.
    pub fn addresses(&self, name: HeaderName) -> Result<Vec<NameAddr>, HeaderError> {
        self.addr_parts(name.clone()).map(|part| NameAddr::parse(&part, name.clone())).collect()
    }

    /// Call-ID; any text that is not empty.
    pub fn call_id(&self) -> Result<ByteStr, HeaderError> {
        let value = self.required(HeaderName::CallId)?;
        if value.is_empty() { Err(HeaderError::Malformed(HeaderName::CallId)) } else { Ok(value.clone()) }
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        let value = self.required(HeaderName::CSeq)?;
        let malformed = HeaderError::Malformed(HeaderName::CSeq);
        let (number, method) = value.split_once(scan::is_blank).ok_or(malformed.clone())?;
        Ok(CSeq {
            number: number_u32(number).ok_or(malformed.clone())?,
            method: method_of(value, method).ok_or(malformed)?,
        })
    }

    /// Max-Forwards; more than 255 is malformed (RFC 3261 section 20.22).
    pub fn max_forwards(&self) -> Result<u8, HeaderError> {
        let value = self.required(HeaderName::MaxForwards)?;
        let hops = scan::digits(value).and_then(|n| u8::try_from(n).ok());
        hops.ok_or(HeaderError::Malformed(HeaderName::MaxForwards))
    }

    /// Content-Type.
    pub fn content_type(&self) -> Result<MediaType, HeaderError> {
        let value = self.required(HeaderName::ContentType)?;
        MediaType::parse(value).ok_or(HeaderError::Malformed(HeaderName::ContentType))
    }

    /// Expires in seconds.
    pub fn expires(&self) -> Result<u32, HeaderError> {
        self.delta_seconds(HeaderName::Expires)
    }

    /// Min-Expires in seconds.
    pub fn min_expires(&self) -> Result<u32, HeaderError> {
        self.delta_seconds(HeaderName::MinExpires)
    }

    /// Min-SE in seconds (RFC 4028 section 5).
    pub fn min_se(&self) -> Result<u32, HeaderError> {
        self.delta_seconds(HeaderName::MinSe)
    }

    /// Retry-After in seconds; its comment and parameters are passed over.
    pub fn retry_after(&self) -> Result<u32, HeaderError> {
        self.delta_seconds(HeaderName::RetryAfter)
    }

    /// Session-Expires (RFC 4028).
    pub fn session_expires(&self) -> Result<SessionExpires, HeaderError> {
        let value = self.required(HeaderName::SessionExpires)?;
        let seconds = self.delta_seconds(HeaderName::SessionExpires)?;
        let params = Params::new(value.share(&value[value.find(';').unwrap_or(value.len())..]));
        let refresher = params.get("refresher").map(|refresher| value.share(refresher));
        Ok(SessionExpires { interval: Duration::from_secs(seconds.into()), refresher })
    }

    /// RSeq (RFC 3262 section 7.1).
    pub fn rseq(&self) -> Result<u32, HeaderError> {
        let value = self.required(HeaderName::RSeq)?;
        number_u32(value).ok_or(HeaderError::Malformed(HeaderName::RSeq))
    }

    /// RAck (RFC 3262 section 7.2).
    pub fn rack(&self) -> Result<RAck, HeaderError> {
        let value = self.required(HeaderName::RAck)?;
        let mut parts = value.split(scan::is_blank).filter(|part| !part.is_empty());
        let mut next = || parts.next().unwrap_or_default();
        let (rseq, cseq, method) = (number_u32(next()), number_u32(next()), method_of(value, next()));
        match (rseq, cseq, method, parts.next()) {
            (Some(rseq), Some(cseq), Some(method), None) => Ok(RAck { rseq, cseq, method }),
            _ => Err(HeaderError::Malformed(HeaderName::RAck)),
        }
    }

    /// Refer-To (RFC 3515).
    pub fn refer_to(&self) -> Result<NameAddr, HeaderError> {
        self.addr(HeaderName::ReferTo)
    }

    /// The option tags of Require.
    pub fn require(&self) -> impl Iterator<Item = ByteStr> {
        self.list(&HeaderName::Require)
    }

    /// The option tags of Supported.
    pub fn supported(&self) -> impl Iterator<Item = ByteStr> {
        self.list(&HeaderName::Supported)
    }

    /// Whether Supported or Require names this option tag.
    pub fn supports(&self, option_tag: &str) -> bool {
        self.supported().chain(self.require()).any(|tag| tag.eq_ignore_ascii_case(option_tag))
    }

    /// The methods of Allow.
    pub fn allow(&self) -> impl Iterator<Item = Method> {
        self.list(&HeaderName::Allow).map(Method::from)
    }

    /// Whether Allow names this method.
    pub fn allows(&self, method: &Method) -> bool {
        self.allow().any(|allowed| allowed == *method)
    }

    fn required(&self, name: HeaderName) -> Result<&ByteStr, HeaderError> {
        self.header(&name).ok_or(HeaderError::Missing(name))
    }

    fn addr(&self, name: HeaderName) -> Result<NameAddr, HeaderError> {
        NameAddr::parse(self.required(name.clone())?, name)
    }

    fn addr_parts(&self, name: HeaderName) -> impl Iterator<Item = ByteStr> {
        self.headers_of(name).flat_map(|value| split_addrs(value).map(|part| value.share(part)))
    }

    /// Digits, then nothing or a blank, a comment or parameters.
    fn delta_seconds(&self, name: HeaderName) -> Result<u32, HeaderError> {
        let value = self.required(name.clone())?;
        let end = value.find(|c| scan::is_blank(c) || matches!(c, ';' | '(')).unwrap_or(value.len());
        number_u32(&value[..end]).ok_or(HeaderError::Malformed(name))
    }
}

impl MediaType {
    /// Reads `type/subtype;params`, with blanks around the slash.
    pub fn parse(value: &ByteStr) -> Option<Self> {
        let (essence, params) = value.split_at(value.find(';').unwrap_or(value.len()));
        let (kind, subtype) = essence.split_once('/')?;
        let (kind, subtype) = (scan::trim(kind), scan::trim(subtype));
        if !scan::is_token(kind.as_bytes()) || !scan::is_token(subtype.as_bytes()) {
            return None;
        }
        let essence = scan::trim(essence);
        let compact = kind.len() + 1 + subtype.len() == essence.len();
        Some(Self {
            essence: if compact { value.share(essence) } else { format!("{kind}/{subtype}").into() },
            params: Params::new(value.share(params)),
        })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.rseq, self.cseq, self.method)
    }
}

fn number_u32(text: &str) -> Option<u32> {
    scan::digits(text).and_then(|n| u32::try_from(n).ok())
}

/// A method that is a token, sharing the buffer of `value`.
fn method_of(value: &ByteStr, text: &str) -> Option<Method> {
    let text = scan::trim(text);
    let token = scan::is_token(text.as_bytes());
    token.then(|| Method::known(text).unwrap_or_else(|| Method::Other(value.share(text))))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::{Limits, parse_datagram};
    use super::*;

    fn with(lines: &str) -> Message {
        let text = format!("OPTIONS sip:b SIP/2.0\r\n{lines}\r\n\r\n");
        parse_datagram(Bytes::from(text), &Limits::default()).unwrap()
    }

    #[test]
    fn vias_of_many_lines_are_one_list() {
        let m = with("Via: SIP/2.0/UDP a;branch=1 , SIP/2.0/TCP b\r\nv: SIP/2.0/TLS c");
        assert_eq!(m.top_via().unwrap().branch.as_deref(), Some("1"));
        let all: Vec<_> = m.vias().collect();
        assert_eq!(all, ["SIP/2.0/UDP a;branch=1", "SIP/2.0/TCP b", "SIP/2.0/TLS c"]);
        assert_eq!(with("Via:").top_via(), Err(HeaderError::Malformed(HeaderName::Via)));
        assert_eq!(with("X: y").top_via(), Err(HeaderError::Missing(HeaderName::Via)));
    }

    #[test]
    fn cseq_goes_up_to_2_pow_32() {
        let cseq = |value: &str| with(&format!("CSeq: {value}")).cseq();
        assert_eq!(cseq("0009\r\n  INVITE"), Ok(CSeq { number: 9, method: Method::Invite }));
        assert_eq!(cseq("4294967295 X").unwrap().to_string(), "4294967295 X");
        for bad in ["4294967296 BYE", "1", "1 ", "BYE 1", "-1 BYE", "1 B YE"] {
            assert_eq!(cseq(bad), Err(HeaderError::Malformed(HeaderName::CSeq)), "{bad}");
        }
    }

    #[test]
    fn contacts_are_a_star_or_addresses() {
        assert_eq!(with("m: *").contact(), Ok(Contact::Star));
        let m = with("m: <sip:a@b>;expires=5, Doe, J <sip:c@d>\r\nContact: sip:e@f");
        let uris: Vec<_> = m.contacts().map(|c| c.unwrap().addr().unwrap().uri.clone()).collect();
        assert_eq!(uris, ["sip:a@b", "sip:c@d", "sip:e@f"]);
        assert_eq!(with("X: y").contact(), Err(HeaderError::Missing(HeaderName::Contact)));
    }

    #[test]
    fn routes_keep_their_order() {
        let m = with("Record-Route: <sip:a;lr>,<sip:b;lr>\r\nRecord-Route: <sip:c;lr>");
        let uris: Vec<_> = m.record_routes().unwrap().into_iter().map(|r| r.uri).collect();
        assert_eq!(uris, ["sip:a;lr", "sip:b;lr", "sip:c;lr"]);
        assert_eq!(m.routes(), Ok(vec![]));
    }

    #[test]
    fn numbers_and_tokens_are_typed() {
        let m = with(
            "Expires: 3600\r\nx: 1800 ;refresher=uac\r\nMin-SE: 90\r\nRetry-After: 18 (busy);duration=3\r\n\
             RSeq: 988\r\nRAck: 988 1 INVITE\r\nMax-Forwards: 0068\r\nc: application / SDP ;charset=x\r\n\
             k: 100rel, timer\r\nAllow: INVITE,ACK , FOO\r\nX-One: 1\r\nx-two: 2",
        );
        assert_eq!((m.expires(), m.min_se(), m.retry_after(), m.rseq()), (Ok(3600), Ok(90), Ok(18), Ok(988)));
        assert_eq!(m.rack(), Ok(RAck { rseq: 988, cseq: 1, method: Method::Invite }));
        let session = SessionExpires { interval: Duration::from_secs(1800), refresher: Some("uac".into()) };
        assert_eq!((m.session_expires(), m.max_forwards()), (Ok(session), Ok(68)));
        let media = m.content_type().unwrap();
        assert!(media.is("application/sdp") && media.params.get("charset") == Some("x"));
        assert!(
            m.supports("timer") && !m.supports("path") && m.allows(&"FOO".into()) && !m.allows(&Method::Bye)
        );
        assert_eq!(m.x_headers().collect::<Vec<_>>(), [("X-One", "1"), ("x-two", "2")]);
    }

    #[test]
    fn numbers_that_do_not_fit_are_malformed() {
        let m = with("Expires: 10000000000\r\nMax-Forwards: 300\r\nRSeq: x\r\nRAck: 1 2\r\nc: sdp\r\ni:");
        assert_eq!(m.expires(), Err(HeaderError::Malformed(HeaderName::Expires)));
        assert_eq!(m.max_forwards(), Err(HeaderError::Malformed(HeaderName::MaxForwards)));
        assert!(m.rseq().is_err() && m.rack().is_err() && m.content_type().is_err() && m.call_id().is_err());
    }
}
