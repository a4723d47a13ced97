//! `HeaderName` knows the header fields by their long and compact names (RFC 3261 sections 7.3.3 and 20).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::discriminant;

use super::ByteStr;

macro_rules! names {
    ($($variant:ident $text:literal $(, $compact:literal)?;)*) => {
        /// The name of a header field; case is ignored, and a compact form is the same name as its long form.
        #[derive(Clone, Debug)]
        pub enum HeaderName {
            $(#[doc = concat!("`", $text, "`" $(, ", compact form `", $compact, "`")?)] $variant,)*
            /// Any other token, in the spelling of the sender.
            Other(ByteStr),
        }

        /// Every spelling that is known: long names, then compact ones.
        static SPELLINGS: &[(&str, HeaderName)] = &[
            $(($text, HeaderName::$variant),)*
            $($(($compact, HeaderName::$variant),)?)*
        ];

        impl HeaderName {
            /// The usual long spelling; for an unknown name the spelling of the sender.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(name) => name,
                }
            }
        }
    };
}

names! {
    Via "Via", "v";
    From "From", "f";
    To "To", "t";
    CallId "Call-ID", "i";
    CSeq "CSeq";
    Contact "Contact", "m";
    MaxForwards "Max-Forwards";
    Route "Route";
    RecordRoute "Record-Route";
    ContentType "Content-Type", "c";
    ContentLength "Content-Length", "l";
    ContentEncoding "Content-Encoding", "e";
    ContentDisposition "Content-Disposition";
    ContentLanguage "Content-Language";
    ContentTransferEncoding "Content-Transfer-Encoding";
    MimeVersion "MIME-Version";
    Require "Require";
    ProxyRequire "Proxy-Require";
    Supported "Supported", "k";
    Unsupported "Unsupported";
    Allow "Allow";
    AllowEvents "Allow-Events", "u";
    Accept "Accept";
    AcceptEncoding "Accept-Encoding";
    AcceptLanguage "Accept-Language";
    AcceptContact "Accept-Contact", "a";
    RejectContact "Reject-Contact", "j";
    RequestDisposition "Request-Disposition", "d";
    AlertInfo "Alert-Info";
    CallInfo "Call-Info";
    ErrorInfo "Error-Info";
    InReplyTo "In-Reply-To";
    WwwAuthenticate "WWW-Authenticate";
    ProxyAuthenticate "Proxy-Authenticate";
    Authorization "Authorization";
    ProxyAuthorization "Proxy-Authorization";
    AuthenticationInfo "Authentication-Info";
    Expires "Expires";
    MinExpires "Min-Expires";
    RetryAfter "Retry-After";
    UserAgent "User-Agent";
    Server "Server";
    Organization "Organization";
    Priority "Priority";
    Subject "Subject", "s";
    Date "Date";
    Timestamp "Timestamp";
    Warning "Warning";
    ReplyTo "Reply-To";
    Reason "Reason";
    ReferTo "Refer-To", "r";
    ReferredBy "Referred-By", "b";
    ReferSub "Refer-Sub";
    Replaces "Replaces";
    Join "Join";
    Event "Event", "o";
    SubscriptionState "Subscription-State";
    SessionExpires "Session-Expires", "x";
    MinSe "Min-SE";
    RSeq "RSeq";
    RAck "RAck";
    Path "Path";
    ServiceRoute "Service-Route";
    PAssertedIdentity "P-Asserted-Identity";
    PPreferredIdentity "P-Preferred-Identity";
    Privacy "Privacy";
    RemotePartyId "Remote-Party-ID";
    Diversion "Diversion";
    HistoryInfo "History-Info";
    Identity "Identity", "y";
    IdentityInfo "Identity-Info", "n";
    InfoPackage "Info-Package";
    RecvInfo "Recv-Info";
    SipEtag "SIP-ETag";
    SipIfMatch "SIP-If-Match";
    MaxBreadth "Max-Breadth";
    GeolocationRouting "Geolocation-Routing";
    UserToUser "User-to-User";
    SessionId "Session-ID";
}

impl HeaderName {
    /// The known name with this spelling, whatever its case.
    pub(crate) fn known(text: &[u8]) -> Option<Self> {
        let mut at = FIRST[bucket(text)];
        while let Some((spelling, name)) = SPELLINGS.get(usize::from(at)) {
            if spelling.as_bytes().eq_ignore_ascii_case(text) {
                return Some(name.clone());
            }
            at = NEXT[usize::from(at)];
        }
        None
    }
}

/// A hash that case does not change: length, first and last letter.
const fn bucket(text: &[u8]) -> usize {
    match text {
        [first, .., last] => {
            let (first, last) = ((*first | 0x20) as usize, (*last | 0x20) as usize);
            (text.len() + first * 7 + last * 29) % BUCKETS
        }
        [only] => ((*only | 0x20) as usize) % BUCKETS,
        [] => 0,
    }
}

const BUCKETS: usize = 256;
const NONE: u8 = u8::MAX;

/// For each bucket the first spelling in it; for each spelling the next one of its bucket.
static FIRST: [u8; BUCKETS] = chains().0;
static NEXT: [u8; SPELLINGS.len()] = chains().1;

const fn chains() -> ([u8; BUCKETS], [u8; SPELLINGS.len()]) {
    assert!(SPELLINGS.len() < NONE as usize, "an index of a spelling fits a byte");
    let (mut first, mut next) = ([NONE; BUCKETS], [NONE; SPELLINGS.len()]);
    let mut i = 0;
    while i < SPELLINGS.len() {
        let b = bucket(SPELLINGS[i].0.as_bytes());
        next[i] = first[b];
        first[b] = i as u8;
        i += 1;
    }
    (first, next)
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Other(a), Self::Other(b)) => a.eq_ignore_ascii_case(b),
            _ => discriminant(self) == discriminant(other),
        }
    }
}

impl Eq for HeaderName {}

impl Hash for HeaderName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        discriminant(self).hash(state);
        if let Self::Other(name) = self {
            name.bytes().for_each(|b| state.write_u8(b.to_ascii_lowercase()));
        }
    }
}

impl From<&str> for HeaderName {
    fn from(text: &str) -> Self {
        Self::known(text.as_bytes()).unwrap_or_else(|| Self::Other(text.into()))
    }
}

impl From<String> for HeaderName {
    fn from(text: String) -> Self {
        Self::known(text.as_bytes()).unwrap_or_else(|| Self::Other(text.into()))
    }
}

impl From<ByteStr> for HeaderName {
    fn from(text: ByteStr) -> Self {
        Self::known(text.as_bytes()).unwrap_or(Self::Other(text))
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_found_in_any_case() {
        for (spelling, name) in SPELLINGS {
            assert_eq!(HeaderName::from(*spelling), *name);
            assert_eq!(HeaderName::from(spelling.to_uppercase()), *name);
            assert_eq!(HeaderName::from(spelling.to_lowercase()), *name);
        }
        assert_eq!(HeaderName::from("v"), HeaderName::Via);
        assert_eq!(HeaderName::from("CALL-id").as_str(), "Call-ID");
    }

    #[test]
    fn unknown_names_keep_their_spelling_and_ignore_case_when_compared() {
        let name = HeaderName::from("X-Tenant");
        assert_eq!(name.as_str(), "X-Tenant");
        assert_eq!(name, HeaderName::from("x-tenant"));
        assert_ne!(name, HeaderName::from("X-Tenants"));
        assert_ne!(HeaderName::from(""), HeaderName::Via);
    }
}
