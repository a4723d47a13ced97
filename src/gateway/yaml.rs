//! `Node` is a YAML file as a tree of text: every scalar as it is spelled, and every value with its line.
//!
//! In: the text of a file. Out: the tree, or what is wrong and in which line. A number that begins with 0 stays what it is,
//! since most numbers in our files are names. Size, depth and the expansion of aliases are bounded. Knows no key.

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{
    Location, NonFiniteFloatPolicy, Options, Spanned, UserMessageFormatter, options::DuplicateKeyPolicy,
};

/// A value and the line that it begins in, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub line: u64,
    pub value: Value,
}

/// What stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing, `null` or `~`.
    Null,
    /// A scalar.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file; no key is there twice.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Reads one document. An empty one is [`Value::Null`].
    ///
    /// # Errors
    /// One line that says what is wrong and where. It shows keys, and no values: they may be secrets.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let raw: Spanned<Raw> =
            serde_saphyr::from_str_with_options(text, options()).map_err(|error| describe(&error))?;
        Ok(raw.value.into_node(raw.referenced, raw.defined, text))
    }

    /// What stands there, for an error: `a list`.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// A value as serde gives it: of a plain number or boolean only that it is one, its spelling is in the file.
enum Raw {
    Null,
    Plain,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(String, Spanned<Raw>)>),
}

impl Raw {
    fn into_node(self, at: Location, defined: Location, text: &str) -> Node {
        let node = |raw: Spanned<Raw>| raw.value.into_node(raw.referenced, raw.defined, text);
        let value = match self {
            Self::Null => Value::Null,
            Self::Plain => Value::Text(spelling(defined, text)),
            Self::Text(text) => Value::Text(text),
            Self::List(items) => Value::List(items.into_iter().map(node).collect()),
            Self::Map(pairs) => Value::Map(pairs.into_iter().map(|(key, raw)| (key, node(raw))).collect()),
        };
        Node { line: at.line(), value }
    }
}

/// A plain scalar as it stands in the file.
fn spelling(at: Location, text: &str) -> String {
    let span = at.span();
    let bytes = span.byte_offset().zip(span.byte_len()).and_then(|(offset, len)| {
        let start = usize::try_from(offset).ok()?;
        text.get(start..start.checked_add(usize::try_from(len).ok()?)?)
    });
    bytes.unwrap_or_default().trim().to_owned()
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Plain)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Raw::Map(pairs))
    }
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_NODES,
            max_replay_stack_depth: MAX_DEPTH,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        // It would show the lines around, which may hold a key.
        with_snippet: false,
    }
}

/// One line, the place at its beginning.
fn describe(error: &serde_saphyr::Error) -> String {
    let text = error.render_with_formatter(&UserMessageFormatter);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match error.location() {
        Some(at) if at != Location::UNKNOWN => {
            let place = format!(" at line {}, column {}", at.line(), at.column());
            format!("line {}: {}", at.line(), text.replace(&place, ""))
        }
        _ => text,
    }
}

/// Ours have four levels, and what a program keeps for itself may have some more.
const MAX_DEPTH: usize = 32;
/// Some twenty thousand numbers.
const MAX_NODES: usize = 250_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn map(yaml: &str) -> Vec<(String, Value)> {
        match Node::parse(yaml).map(|node| node.value) {
            Ok(Value::Map(pairs)) => pairs.into_iter().map(|(key, node)| (key, node.value)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn scalars_keep_their_spelling() {
        let yaml = "é: ü\na: 0123\nb: 1.50\nc: yes\nd: 'no'\ne: +15125551234\nf: 0x1F\ng: .inf\nh: \"0\\x41\"\ni: ~\nj:\nk: -07\n\
                    l: &anchor 0042\nm: *anchor\nn: 1_000\no: 99999999999999999999\n";
        let values: Vec<_> = map(yaml).into_iter().skip(1).map(|(_, value)| value).collect();
        let expected = ["0123", "1.50", "yes", "no", "+15125551234", "0x1F", ".inf", "0A"].map(text);
        assert_eq!(values[..8], expected);
        assert_eq!(values[8..10], [Value::Null, Value::Null]);
        assert_eq!(values[10..], ["-07", "0042", "0042", "1_000", "99999999999999999999"].map(text));
    }

    #[test]
    fn keys_keep_their_spelling_too() {
        let keys: Vec<_> =
            map("+15125551234: a\n\"+1512\": b\n0123: c\nyes: d\n").into_iter().map(|pair| pair.0).collect();
        assert_eq!(keys, ["+15125551234", "+1512", "0123", "yes"]);
    }

    #[test]
    fn values_know_their_lines() {
        let Ok(Node { value: Value::Map(pairs), .. }) = Node::parse("a: 1\n\nb:\n  c: 2\n") else { panic!() };
        let lines: Vec<_> = pairs.iter().map(|(key, node)| (key.as_str(), node.line)).collect();
        assert_eq!(lines, [("a", 1), ("b", 4)]);
    }

    #[test]
    fn nothing_is_a_document_as_well() {
        for yaml in ["", "\u{feff}", "# only this\n", "---\n"] {
            assert_eq!(Node::parse(yaml).map(|node| node.value), Ok(Value::Null), "{yaml:?}");
        }
    }

    #[test]
    fn errors_have_a_line_and_show_no_value() {
        for (yaml, line) in [
            ("a: 1\nb: 2\na: 3\n", 3),
            ("a: s3cret\n b: s3cret\n", 2),
            ("a:\n\t- s3cret\n", 2),
            ("a: s3cret\nb: [s3cret\n", 2),
            ("a: s3cret\n---\nb: 2\n", 2),
            ("a: \"s3cret\\q\"\n", 1),
            ("a: *nobody\n", 1),
        ] {
            let error = Node::parse(yaml).expect_err(yaml);
            assert!(error.starts_with(&format!("line {line}: ")), "{yaml:?}: {error}");
            assert!(!error.contains("s3cret") && !error.contains('\n'), "{yaml:?}: {error}");
        }
    }

    #[test]
    fn depth_nodes_and_aliases_are_bounded() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let many = "- a\n".repeat(MAX_NODES + 1);
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let items = vec![format!("*a{}", n - 1); 9].join(", ");
            bomb.push_str(&format!("a{n}: &a{n} [{items}]\n"));
        }
        for (name, yaml) in [("deep", deep), ("many", many), ("bomb", bomb)] {
            let error = Node::parse(&yaml).expect_err(name);
            assert!(error.len() < 300, "{error}");
        }
    }
}
