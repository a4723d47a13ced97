//! Names and values that go with a session.

use std::collections::BTreeMap;

/// What is known by name about a session, or said by name about a wish.
///
/// ```
/// use sip_relay::backend::Metadata;
///
/// let metadata = Metadata::from([("session_id", "s1")]);
/// assert_eq!(metadata.get("session_id"), Some("s1"));
/// assert_eq!(metadata.get("room_id"), None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets the value of a name.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// All names and values, in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<N: Into<String>, V: Into<String>, const COUNT: usize> From<[(N, V); COUNT]> for Metadata {
    fn from(pairs: [(N, V); COUNT]) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
