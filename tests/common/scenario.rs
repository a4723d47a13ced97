//! SIPp scenarios in parts: `<part name="reinvite" say="sendonly"/>` stands for `tests/interop/part_reinvite.xml`, filled in.
//!
//! A part has places, `{{name}}` or `{{name=default}}`. Their values are the attributes of the `<part>`, then those of the
//! parts around it, then what the test gives. A line whose only place is empty goes.

use std::path::Path;

/// Reads `tests/interop/{name}.xml` and replaces its parts. `values` are the test's.
pub fn read(name: &str, values: &[(&str, String)]) -> String {
    let values: Values = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    expand(&file(name), &values)
}

type Values = Vec<(String, String)>;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(format!("{name}.xml"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn expand(template: &str, values: &Values) -> String {
    let mut text = String::new();
    for line in template.lines() {
        let Some(line) = fill(line, values) else { continue };
        match line.trim().strip_prefix("<part ").and_then(|rest| rest.strip_suffix("/>")) {
            None => text += &(line + "\n"),
            Some(attributes) => {
                let attributes = attributes_of(attributes);
                let part = file(&format!("part_{}", value(&attributes, "name").expect("a part has a name")));
                let inner = attributes.iter().filter(|(name, _)| name != "name").chain(values);
                let (_comment, part) = part.split_once("-->\n").expect("a part begins with its comment");
                text += &expand(part, &inner.cloned().collect());
            }
        }
    }
    text
}

/// `name="value"` or `name='value'`, any number of times.
fn attributes_of(mut text: &str) -> Values {
    let mut values = Values::new();
    while let Some((name, rest)) = text.split_once('=') {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\'')).expect("a quoted value");
        let (value, rest) = rest[1..].split_once(quote).expect("the end of a value");
        values.push((name.trim().to_owned(), value.to_owned()));
        text = rest;
    }
    values
}

fn value<'a>(values: &'a Values, name: &str) -> Option<&'a str> {
    values.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
}

/// The line with its places filled; `None` when that leaves nothing of it.
fn fill(line: &str, values: &Values) -> Option<String> {
    let mut filled = line.to_owned();
    while let Some((before, rest)) = filled.split_once("{{") {
        let (place, after) =
            rest.split_once("}}").unwrap_or_else(|| panic!("a place without an end: {line}"));
        let (name, default) =
            place.split_once('=').map_or((place, None), |(name, value)| (name, Some(value)));
        let text = value(values, name).or(default).unwrap_or_else(|| panic!("no {name:?} for {line:?}"));
        filled = format!("{before}{text}{after}");
    }
    (filled == line || !filled.trim().is_empty()).then_some(filled)
}
