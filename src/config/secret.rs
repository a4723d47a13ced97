//! `Secret` holds a password, a token or a key and never prints it.

use std::fmt;

/// A text that neither `Debug` nor an error shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that must send or hash it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `candidate` is the secret. Takes the same time wherever the two differ.
    pub fn matches(&self, candidate: &str) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), candidate.as_bytes());
        let mut difference = usize::from(ours.len() != theirs.len());
        for (i, byte) in theirs.iter().enumerate() {
            difference |= usize::from(byte ^ ours.get(i).unwrap_or(&0));
        }
        std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_not_shown() {
        assert_eq!(
            format!("{:?} {:#?}", Secret::new("hunter2"), Some(Secret::new("hunter2"))),
            "*** Some(\n    ***,\n)"
        );
    }

    #[test]
    fn only_the_whole_text_matches() {
        let secret = Secret::new("token");
        assert!(secret.matches("token"));
        for wrong in ["", "toke", "tokem", "token1", "token\0", "Token"] {
            assert!(!secret.matches(wrong), "{wrong:?}");
        }
    }
}
