//! `NameAddr`: a display name, a URI and header parameters, as in From, To, Contact and Route (RFC 3261 section 20.10).

use super::{ByteStr, HeaderError, HeaderName, Params, Uri, UriError};

/// `"Display" <uri>;params` or the bare form `uri;params`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// The display name without quotes and backslashes; `None` when there is none or it is empty.
    pub display: Option<String>,
    /// The URI as it was written, without angle brackets.
    pub uri: ByteStr,
    /// The parameters after the URI; those inside the brackets belong to the URI.
    pub params: Params,
}

/// The value of a Contact header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact {
    /// `*`: every binding (RFC 3261 section 10.2.2).
    Star,
    /// An address.
    Addr(NameAddr),
}

impl NameAddr {
    /// Reads one address; `name` goes into the error.
    pub fn parse(value: &ByteStr, name: HeaderName) -> Result<Self, HeaderError> {
        let _ = value;
        Err(HeaderError::Malformed(name))
    }

    /// The `tag` parameter; an empty one counts as none.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// The URI in its parts.
    pub fn parsed_uri(&self) -> Result<Uri, UriError> {
        Uri::from_text(&self.uri)
    }
}

impl Contact {
    /// The address; `None` for `*`.
    pub fn addr(&self) -> Option<&NameAddr> {
        match self {
            Self::Star => None,
            Self::Addr(addr) => Some(addr),
        }
    }
}
