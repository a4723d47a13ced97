//! Typed views of the headers that dialogs and transactions live by; each is made when asked for.

use std::time::Duration;

use super::{ByteStr, Contact, HeaderError, HeaderName, Message, Method, NameAddr, Params, Via};

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
        Err(HeaderError::Missing(HeaderName::Via))
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
        Err(HeaderError::Missing(HeaderName::Contact))
    }

    /// Every Contact in order.
    pub fn contacts(&self) -> Result<Vec<Contact>, HeaderError> {
        Err(HeaderError::Missing(HeaderName::Contact))
    }

    /// Every Record-Route in order; empty when there is none.
    pub fn record_routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.addrs(HeaderName::RecordRoute)
    }

    /// Every Route in order; empty when there is none.
    pub fn routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.addrs(HeaderName::Route)
    }

    /// Call-ID.
    pub fn call_id(&self) -> Result<ByteStr, HeaderError> {
        self.required(HeaderName::CallId).cloned()
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        Err(HeaderError::Missing(HeaderName::CSeq))
    }

    /// Max-Forwards; more than 255 is malformed (RFC 3261 section 20.22).
    pub fn max_forwards(&self) -> Result<u8, HeaderError> {
        Err(HeaderError::Missing(HeaderName::MaxForwards))
    }

    /// Content-Type.
    pub fn content_type(&self) -> Result<MediaType, HeaderError> {
        Err(HeaderError::Missing(HeaderName::ContentType))
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
        Err(HeaderError::Missing(HeaderName::SessionExpires))
    }

    /// RSeq (RFC 3262 section 7.1).
    pub fn rseq(&self) -> Result<u32, HeaderError> {
        Err(HeaderError::Missing(HeaderName::RSeq))
    }

    /// RAck (RFC 3262 section 7.2).
    pub fn rack(&self) -> Result<RAck, HeaderError> {
        Err(HeaderError::Missing(HeaderName::RAck))
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

    fn addrs(&self, name: HeaderName) -> Result<Vec<NameAddr>, HeaderError> {
        self.list(&name).map(|value| NameAddr::parse(&value, name.clone())).collect()
    }

    fn delta_seconds(&self, name: HeaderName) -> Result<u32, HeaderError> {
        Err(HeaderError::Missing(name))
    }
}
