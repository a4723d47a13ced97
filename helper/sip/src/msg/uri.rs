//! `Uri`: a SIP, SIPS or tel URI in its parts (RFC 3261 section 19.1, RFC 3966).

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{ByteStr, Params, scan};

/// What stands before the first colon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other scheme, as it was written.
    Other(ByteStr),
}

/// The host of a URI or of a Via.
#[derive(Clone, Debug)]
pub enum Host {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, written in brackets.
    V6(Ipv6Addr),
    /// A name; empty where the URI has no host (tel and other schemes).
    Name(ByteStr),
}

/// A URI in its parts; [`fmt::Display`] writes them back. Equality is that of RFC 3261 section 19.1.4.
#[derive(Clone, Debug)]
pub struct Uri {
    /// The scheme.
    pub scheme: Scheme,
    /// The user as it was written, `%` escapes included; for tel the number; for other schemes all after the colon.
    pub user: Option<ByteStr>,
    /// The password after `user:`.
    pub password: Option<ByteStr>,
    /// The host.
    pub host: Host,
    /// The port, when one is written.
    pub port: Option<u16>,
    /// The URI parameters, escapes included.
    pub params: Params,
    /// What follows `?`, without it.
    pub headers: Option<ByteStr>,
}

/// Why a text is no URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// No scheme before a colon.
    #[error("URI has no scheme")]
    Scheme,
    /// The host is no host.
    #[error("malformed host in URI")]
    Host,
    /// The port is not a number up to 65535.
    #[error("malformed port in URI")]
    Port,
}

impl Uri {
    /// Reads a URI from any text, copying it once.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        Self::from_text(&ByteStr::from(text))
    }

    /// Reads a URI, sharing the text's buffer. Any characters will do in the user, where devices put all kinds of them.
    pub fn from_text(text: &ByteStr) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once(':').ok_or(UriError::Scheme)?;
        let scheme = Scheme::read(text, scheme).ok_or(UriError::Scheme)?;
        let mut uri = Self {
            scheme,
            user: None,
            password: None,
            host: Host::Name(ByteStr::new()),
            port: None,
            params: Params::default(),
            headers: None,
        };
        match uri.scheme {
            Scheme::Other(_) => uri.user = Some(text.share(rest)),
            Scheme::Tel => {
                let (number, params) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
                uri.user = Some(text.share(number));
                uri.params = Params::new(text.share(params));
            }
            Scheme::Sip | Scheme::Sips => uri.read_sip(text, rest)?,
        }
        Ok(uri)
    }

    fn read_sip(&mut self, text: &ByteStr, rest: &str) -> Result<(), UriError> {
        let (user_info, rest) = cut_user(rest);
        if let Some(user_info) = user_info {
            let (user, password) = match user_info.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (user_info, None),
            };
            self.user = Some(text.share(user));
            self.password = password.map(|p| text.share(p));
        }
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, Some(headers)),
            None => (rest, None),
        };
        self.headers = headers.map(|h| text.share(h));
        let (host, params) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
        self.params = Params::new(text.share(params));
        (self.host, self.port) = host_port(text, host)?;
        Ok(())
    }

    /// Whether the `lr` parameter is there: the hop is a loose router (RFC 3261 section 16.12).
    pub fn is_loose_route(&self) -> bool {
        self.has_param("lr")
    }

    /// Whether there is such a URI parameter, its name compared without case and after resolving escapes.
    pub fn has_param(&self, name: &str) -> bool {
        self.params.iter().any(|(n, _)| unescape(n).eq_ignore_ascii_case(name))
    }

    /// The value of a URI parameter with its escapes resolved; empty for a parameter without a value.
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.params.iter().find(|(n, _)| unescape(n).eq_ignore_ascii_case(name))?;
        Some(unescape(value.unwrap_or_default()))
    }

    /// The user with its `%` escapes resolved; escapes that make no UTF-8 stay as they are.
    pub fn user_unescaped(&self) -> Option<String> {
        self.user.as_deref().map(|user| unescape(user).into_owned())
    }

    /// Name and value of each header after `?`, escapes resolved.
    pub fn header_fields(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.headers.as_deref().unwrap_or_default().split('&').filter(|field| !field.is_empty()).map(
            |field| {
                let (name, value) = field.split_once('=').unwrap_or((field, ""));
                (unescape(name), unescape(value))
            },
        )
    }
}

impl Scheme {
    /// The scheme without its colon, as it was written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sip => "sip",
            Self::Sips => "sips",
            Self::Tel => "tel",
            Self::Other(name) => name,
        }
    }

    fn read(text: &ByteStr, name: &str) -> Option<Self> {
        if !is_scheme(name) {
            return None;
        }
        [Self::Sip, Self::Sips, Self::Tel]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(name))
            .or_else(|| Some(Self::Other(text.share(name))))
    }
}

impl Host {
    /// Reads a host; IPv6 with or without brackets.
    pub fn parse(text: &ByteStr) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        match bare.parse::<Ipv6Addr>() {
            Ok(ip) => Some(Self::V6(ip)),
            Err(_) => Self::named(text, bare).filter(|_| bare.len() == text.len()),
        }
    }

    /// The address, when the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::V4(ip) => Some((*ip).into()),
            Self::V6(ip) => Some((*ip).into()),
            Self::Name(_) => None,
        }
    }

    /// An IPv4 address or a name; `None` when it has a character that no name can have.
    fn named(text: &ByteStr, name: &str) -> Option<Self> {
        if name.starts_with(|c: char| c.is_ascii_digit())
            && let Ok(ip) = name.parse()
        {
            return Some(Self::V4(ip));
        }
        let odd = |b: u8| b <= b' ' || b == 0x7f || b"<>\"\\^`{|}[],:;?@/#".contains(&b);
        (!name.bytes().any(odd)).then(|| Self::Name(text.share(name)))
    }
}

/// Whether a text is the name of a scheme (RFC 3986 section 3.1); it may begin with any of its characters.
pub(crate) fn is_scheme(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// Cuts `user@` off; with several `@` the last one before the parameters counts.
fn cut_user(rest: &str) -> (Option<&str>, &str) {
    let Some(first) = rest.find('@') else { return (None, rest) };
    let end = rest[first..].find([';', '?']).map_or(rest.len(), |n| first + n);
    let at = rest[..end].rfind('@').unwrap_or(first);
    (Some(&rest[..at]), &rest[at + 1..])
}

/// Reads `host`, `host:port`, `[ipv6]:port` or a bare IPv6 address, with blanks around the colon.
pub(crate) fn host_port(text: &ByteStr, host_port: &str) -> Result<(Host, Option<u16>), UriError> {
    let host_port = scan::trim(host_port);
    let (host, port) = match host_port.strip_prefix('[') {
        Some(rest) => {
            let (inner, port) = rest.split_once(']').ok_or(UriError::Host)?;
            let ip = inner.parse().map_err(|_| UriError::Host)?;
            (Host::V6(ip), scan::trim(port))
        }
        None => {
            let (name, port) =
                host_port.split_at(memchr::memchr(b':', host_port.as_bytes()).unwrap_or(host_port.len()));
            if port.len() > 1
                && port[1..].contains(':')
                && let Ok(ip) = host_port.parse()
            {
                return Ok((Host::V6(ip), None));
            }
            (Host::named(text, scan::trim(name)).ok_or(UriError::Host)?, port)
        }
    };
    let port = match port.strip_prefix(':').map(scan::trim) {
        None if port.is_empty() => None,
        None => return Err(UriError::Host),
        Some("") => None,
        Some(port) => Some(scan::digits(port).and_then(|p| u16::try_from(p).ok()).ok_or(UriError::Port)?),
    };
    Ok((host, port))
}

/// Resolves `%XX`; a text whose escapes make no UTF-8 stays as it is.
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        match escaped(bytes, i) {
            Some(byte) => {
                plain.push(byte);
                i += 3;
            }
            None => {
                plain.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8(plain).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The octet that `%XX` at `i` stands for.
fn escaped(bytes: &[u8], i: usize) -> Option<u8> {
    let hex = |b: &u8| char::from(*b).to_digit(16).map(|d| d as u8);
    match bytes.get(i..i + 3)? {
        [b'%', high, low] => Some(hex(high)? << 4 | hex(low)?),
        _ => None,
    }
}

/// `%XX` resolved except where it stands for a reserved character, which is not the same as that character itself.
fn comparable(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        match escaped(bytes, i) {
            Some(byte) if b";/?:@&=+$,%".contains(&byte) => {
                out.extend(bytes[i..i + 3].iter().map(u8::to_ascii_uppercase));
                i += 3;
            }
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    out
}

fn same(a: Option<&str>, b: Option<&str>) -> bool {
    a.map(comparable) == b.map(comparable)
}

fn same_ignoring_case(a: &str, b: &str) -> bool {
    comparable(a).eq_ignore_ascii_case(&comparable(b))
}

impl PartialEq for Host {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => a.eq_ignore_ascii_case(b),
            _ => self.ip().is_some() && self.ip() == other.ip(),
        }
    }
}

impl Eq for Host {}

impl PartialEq for Uri {
    fn eq(&self, other: &Self) -> bool {
        let scheme = self.scheme.as_str().eq_ignore_ascii_case(other.scheme.as_str());
        let user = match self.scheme {
            Scheme::Tel => {
                let digits =
                    |uri: &Self| uri.user.as_deref().unwrap_or_default().replace(['-', '.', '(', ')'], "");
                digits(self).eq_ignore_ascii_case(&digits(other))
            }
            _ => same(self.user.as_deref(), other.user.as_deref()),
        };
        scheme
            && user
            && same(self.password.as_deref(), other.password.as_deref())
            && self.host == other.host
            && self.port == other.port
            && [self, other].iter().all(|uri| uri.params.iter().nth(COMPARED_PARAMS).is_none())
            && params_match(self, other)
            && params_match(other, self)
            && headers_match(self, other)
    }
}

/// A URI with more parameters equals no other, so that comparing stays cheap.
const COMPARED_PARAMS: usize = 64;

/// Whether every parameter of `a` agrees with `b`: equal where both have it, and there at all where that matters.
fn params_match(a: &Uri, b: &Uri) -> bool {
    a.params.iter().all(|(name, value)| {
        let found = b.params.iter().find(|(other, _)| same_ignoring_case(other, name));
        match found {
            Some((_, other)) => same_ignoring_case(value.unwrap_or_default(), other.unwrap_or_default()),
            None => {
                a.scheme != Scheme::Tel
                    && !["user", "ttl", "method", "maddr", "transport"]
                        .iter()
                        .any(|needed| unescape(name).eq_ignore_ascii_case(needed))
            }
        }
    })
}

/// Whether both have the same header fields, in any order.
fn headers_match(a: &Uri, b: &Uri) -> bool {
    let fields = |uri: &Uri| {
        let mut fields: Vec<_> = uri
            .header_fields()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned()))
            .collect();
        fields.sort();
        fields
    };
    (a.headers.is_none() && b.headers.is_none()) || fields(a) == fields(b)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(ip) => ip.fmt(f),
            Self::V6(ip) => write!(f, "[{ip}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme.as_str())?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            if matches!(self.scheme, Scheme::Sip | Scheme::Sips) {
                f.write_str("@")?;
            }
        }
        self.host.fmt(f)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.params.raw())?;
        match &self.headers {
            Some(headers) => write!(f, "?{headers}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        Uri::parse(text).unwrap()
    }

    #[test]
    fn the_parts_are_found_and_written_back() {
        let text = "sip:alice:secret@[2001:db8::1]:5070;transport=tcp;lr?Subject=hi&x=";
        let u = uri(text);
        assert_eq!(
            (u.scheme.clone(), u.user.as_deref(), u.password.as_deref()),
            (Scheme::Sip, Some("alice"), Some("secret"))
        );
        assert_eq!((u.host.ip(), u.port), (Some("2001:db8::1".parse().unwrap()), Some(5070)));
        assert_eq!((u.param("Transport").as_deref(), u.is_loose_route()), (Some("tcp"), true));
        assert_eq!(u.headers.as_deref(), Some("Subject=hi&x="));
        assert_eq!(u.to_string(), text);
        for text in
            ["sips:h", "tel:+1-201-555;phone-context=x", "urn:service:sos", "sip:@h", "sip:1.2.3.4:5060;"]
        {
            assert_eq!(uri(text).to_string(), text);
        }
    }

    #[test]
    fn the_user_may_hold_anything() {
        let user = |text| uri(text).user.map(String::from);
        assert_eq!(user("sip:#31#+49@h").as_deref(), Some("#31#+49"));
        assert_eq!(
            user("sip:user;par=u%40example.net@example.com").as_deref(),
            Some("user;par=u%40example.net")
        );
        assert_eq!(user("sip:a b|c@h").as_deref(), Some("a b|c"));
        assert_eq!(user("sip:joe@corp.example@h;x=a@b").as_deref(), Some("joe@corp.example"));
        assert_eq!(user("sip:;x=1").as_deref(), None);
        assert_eq!(
            uri("sip:sips%3Auser%40example.com@h").user_unescaped().as_deref(),
            Some("sips:user@example.com")
        );
        assert_eq!(uri("sip:a%ffb%4@h").user_unescaped().as_deref(), Some("a%ffb%4"));
    }

    #[test]
    fn an_escaped_parameter_name_is_that_name() {
        let u = uri("sip:cal%6Cer@h;%6C%72;n%61me=v%61lue%25%34%31");
        assert!(u.is_loose_route());
        assert_eq!(u.param("name").as_deref(), Some("value%41"));
    }

    #[test]
    fn what_has_no_scheme_host_or_port_is_refused() {
        assert_eq!(Uri::parse("alice@h").unwrap_err(), UriError::Scheme);
        assert_eq!(Uri::parse("s/p:h").unwrap_err(), UriError::Scheme);
        assert_eq!(Uri::parse("sip:a@h:99999").unwrap_err(), UriError::Port);
        assert_eq!(Uri::parse("sip:a@[::1").unwrap_err(), UriError::Host);
        assert_eq!(Uri::parse("sip:a@h<b").unwrap_err(), UriError::Host);
    }

    #[test]
    fn equality_is_that_of_rfc3261() {
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("tel:+1-201-555-0123", "tel:+12015550123"),
        ] {
            assert_eq!(uri(a), uri(b));
            assert_eq!(uri(b), uri(a));
        }
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:a%40b@c", "sip:a@b@c"),
            ("sip:a@b", "sips:a@b"),
            ("sip:b", "sip:a@b"),
        ] {
            assert_ne!(uri(a), uri(b));
            assert_ne!(uri(b), uri(a));
        }
    }
}
