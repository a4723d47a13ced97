//! `ByteStr` is a piece of text that shares the buffer of the datagram it came from.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use bytes::Bytes;
use bytestring::ByteString;

/// UTF-8 text that is a view into a shared buffer: cloning and slicing count a reference and copy nothing.
///
/// A view keeps the whole datagram in memory; what lives as long as a call should be copied out (`to_string`).
///
/// A header line that is not UTF-8 becomes text by reading each byte as ISO 8859-1, which loses nothing.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteStr(ByteString);

impl ByteStr {
    /// The empty text.
    pub const fn new() -> Self {
        Self(ByteString::new())
    }

    /// A text that lives as long as the program; allocates nothing.
    pub const fn from_static(text: &'static str) -> Self {
        Self(ByteString::from_static(text))
    }

    /// The bytes as text; `None` when they are not UTF-8.
    pub fn from_utf8(bytes: Bytes) -> Option<Self> {
        ByteString::try_from(bytes).ok().map(Self)
    }

    /// The bytes as text, read as ISO 8859-1 when they are not UTF-8.
    pub fn from_bytes_lossless(bytes: Bytes) -> Self {
        match ByteString::try_from(bytes.clone()) {
            Ok(text) => Self(text),
            Err(_) => Self::from(bytes.iter().map(|&b| char::from(b)).collect::<String>()),
        }
    }

    /// The same text as `part`, sharing this text's buffer where `part` lies in it and copied otherwise.
    pub fn share(&self, part: &str) -> Self {
        let (whole, inner) = (self.as_bytes().as_ptr_range(), part.as_bytes().as_ptr_range());
        if inner.start >= whole.start && inner.end <= whole.end {
            Self(self.0.slice_ref(part))
        } else {
            Self::from(part)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The shared bytes behind the text.
    pub fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }
}

impl Deref for ByteStr {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ByteStr {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ByteStr {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Hash for ByteStr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl From<&str> for ByteStr {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for ByteStr {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&ByteStr> for ByteStr {
    fn from(text: &ByteStr) -> Self {
        text.clone()
    }
}

impl From<ByteStr> for String {
    fn from(text: ByteStr) -> Self {
        text.0.into()
    }
}

impl PartialEq<str> for ByteStr {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for ByteStr {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for ByteStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for ByteStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_keeps_the_buffer_and_copies_strangers() {
        let whole = ByteStr::from("hello world");
        let part = whole.share(&whole[6..]);
        assert_eq!(part, "world");
        assert_eq!(part.as_ptr(), whole[6..].as_ptr());
        assert_eq!(whole.share("elsewhere"), "elsewhere");
        assert_eq!(whole.share(&whole[3..3]), "");
    }

    #[test]
    fn bytes_that_are_not_utf8_keep_every_value() {
        let text = ByteStr::from_bytes_lossless(Bytes::from_static(b"caf\xe9 \xff"));
        assert_eq!(text, "caf\u{e9} \u{ff}");
        assert!(ByteStr::from_utf8(Bytes::from_static(b"\xff")).is_none());
    }
}
