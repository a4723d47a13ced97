//! `Uri`: a SIP, SIPS or tel URI in its parts (RFC 3261 section 19.1, RFC 3966).

use std::borrow::Cow;
use std::fmt;

use super::host::host_port;
use super::{ByteStr, Host, Params};

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
pub(crate) fn escaped(bytes: &[u8], i: usize) -> Option<u8> {
    let hex = |b: &u8| char::from(*b).to_digit(16).map(|d| d as u8);
    match bytes.get(i..i + 3)? {
        [b'%', high, low] => Some(hex(high)? << 4 | hex(low)?),
        _ => None,
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
}
