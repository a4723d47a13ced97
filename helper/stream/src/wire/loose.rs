//! Values of JSON that may be of another kind than they should: read as what they can mean, never an error.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::MessageError;

/// A string or something that can be written as one.
#[derive(Default)]
pub(crate) enum Field<'a> {
    /// Not there, or `null`.
    #[default]
    Absent,
    /// A string, a number, a truth value.
    Text(Cow<'a, str>),
    /// An object or a list.
    Wrong,
}

impl Field<'_> {
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Field::Text(text) => Some(text),
            Field::Absent | Field::Wrong => None,
        }
    }

    pub(crate) fn owned(&self) -> Option<String> {
        self.as_str().map(str::to_owned)
    }

    pub(crate) fn required(&self, field: &'static str) -> Result<&str, MessageError> {
        match self {
            Field::Text(text) => Ok(text),
            Field::Absent => Err(MessageError::Missing(field)),
            Field::Wrong => Err(MessageError::Invalid { field, expected: "a string" }),
        }
    }

    pub(crate) fn number<N: FromStr>(&self, field: &'static str) -> Result<Option<N>, MessageError> {
        match self {
            Field::Absent => Ok(None),
            Field::Text(text) => {
                let invalid = MessageError::Invalid { field, expected: "a number" };
                text.trim().parse().map(Some).map_err(|_| invalid)
            }
            Field::Wrong => Err(MessageError::Invalid { field, expected: "a number" }),
        }
    }
}

/// An object within the message.
#[derive(Default)]
pub(crate) enum Part<T> {
    /// Not there, or `null`.
    #[default]
    Absent,
    /// There.
    Here(T),
    /// Something else is.
    Wrong,
}

impl<T> Part<T> {
    pub(crate) fn required(&self, field: &'static str) -> Result<&T, MessageError> {
        match self {
            Part::Here(part) => Ok(part),
            Part::Absent => Err(MessageError::Missing(field)),
            Part::Wrong => Err(MessageError::Invalid { field, expected: "an object" }),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        match self {
            Part::Here(part) => Some(part),
            Part::Absent | Part::Wrong => None,
        }
    }
}

/// Custom parameters: an object, or a list of `{name, value}`.
#[derive(Default)]
pub(crate) struct Parameters(pub(crate) BTreeMap<String, String>);

/// A list of strings; what else stands in it is left out.
#[derive(Default)]
pub(crate) struct Texts(pub(crate) Vec<String>);

/// One of `{name, value}`.
#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Parameter<'a> {
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    value: Field<'a>,
}

/// What a value becomes, by its kind. `null` is the default, and so is what is not there.
trait Loose<'de>: Default {
    /// A string, a number, a truth value.
    fn text(text: Cow<'de, str>) -> Self;

    /// What cannot be meant.
    fn wrong() -> Self;

    fn object<A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::wrong())
    }

    fn list<A: SeqAccess<'de>>(mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::wrong())
    }
}

impl<'de> Loose<'de> for Field<'de> {
    fn text(text: Cow<'de, str>) -> Self {
        Field::Text(text)
    }

    fn wrong() -> Self {
        Field::Wrong
    }
}

impl<'de, T: Deserialize<'de>> Loose<'de> for Part<T> {
    fn text(_: Cow<'de, str>) -> Self {
        Part::Wrong
    }

    fn wrong() -> Self {
        Part::Wrong
    }

    fn object<A: MapAccess<'de>>(members: A) -> Result<Self, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Part::Here)
    }
}

impl<'de> Loose<'de> for Parameters {
    fn text(_: Cow<'de, str>) -> Self {
        Parameters::default()
    }

    fn wrong() -> Self {
        Parameters::default()
    }

    fn object<A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        let mut parameters = BTreeMap::new();
        while let Some((name, value)) = members.next_entry::<String, Field<'de>>()? {
            if let Some(value) = value.owned() {
                parameters.insert(name, value);
            }
        }
        Ok(Parameters(parameters))
    }

    fn list<A: SeqAccess<'de>>(mut elements: A) -> Result<Self, A::Error> {
        let mut parameters = BTreeMap::new();
        while let Some(element) = elements.next_element::<Part<Parameter<'de>>>()? {
            let Part::Here(Parameter { name, value }) = element else { continue };
            if let (Some(name), Some(value)) = (name.owned(), value.owned()) {
                parameters.insert(name, value);
            }
        }
        Ok(Parameters(parameters))
    }
}

impl<'de> Loose<'de> for Texts {
    fn text(text: Cow<'de, str>) -> Self {
        Texts(vec![text.into_owned()])
    }

    fn wrong() -> Self {
        Texts::default()
    }

    fn list<A: SeqAccess<'de>>(mut elements: A) -> Result<Self, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = elements.next_element::<Field<'de>>()? {
            texts.extend(text.owned());
        }
        Ok(Texts(texts))
    }
}

/// Takes a value of any kind.
struct AnyKind<T>(PhantomData<T>);

impl<'de, T: Loose<'de>> Visitor<'de> for AnyKind<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<T, E> {
        Ok(T::text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        Ok(T::text(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<T, E> {
        Ok(T::text(Cow::Owned(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<T, E> {
        Ok(T::text(Cow::Owned(number.to_string())))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<T, E> {
        Ok(T::text(Cow::Borrowed(if truth { "true" } else { "false" })))
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::object(members)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<T, A::Error> {
        T::list(elements)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyKind::<Field<'de>>(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyKind(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyKind(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyKind(PhantomData))
    }
}
