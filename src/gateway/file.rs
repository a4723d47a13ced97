//! `Document` is what a gateway's YAML file says: settings of the server, and the table of numbers.
//!
//! In: a path, the values of `${NAME}`s. Out: the document, or everything that is wrong with it, each problem with its line.
//! What a setting means is decided by `config`, which reads the file as the layer below `.env`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{ErrorKind, Read},
    path::Path,
};

use super::{
    did::{DidConfig, DidTable, DidValue, normalize},
    variables::{expand, next_reference},
    yaml::{Node, Value},
};

/// One file.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// Its settings.
    pub settings: Settings,
    /// The numbers.
    pub dids: DidTable,
    /// One line each.
    pub warnings: Vec<String>,
}

/// The values of settings by their names in the environment, each with its line.
pub type Settings = BTreeMap<&'static str, (String, u64)>;

/// Why there is no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is no such file.
    #[error("there is no such file")]
    Missing,
    /// Each problem is one line, and names its line of the file where there is one.
    #[error("{}", .lines.join("; "))]
    Problems {
        /// At least one.
        lines: Vec<String>,
        /// What could be read: whether it is right is for others to say.
        settings: Settings,
    },
}

impl FileError {
    /// Nothing could be read.
    pub fn problem(line: String) -> Self {
        Self::Problems { lines: vec![line], settings: Settings::new() }
    }
}

/// Reads the file at `path`; `value` gives the variables that it refers to. Blocks.
///
/// # Errors
/// [`FileError`].
pub fn read(path: &Path, value: &dyn Fn(&str) -> Option<String>) -> Result<Document, FileError> {
    let problem = FileError::problem;
    let io = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => FileError::Missing,
        _ => problem(error.to_string()),
    };
    // Another kind of file might never end, or never begin.
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(problem("it is not a file".to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(LONGEST + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > LONGEST {
        return Err(problem(format!("it is longer than {} MiB", LONGEST >> 20)));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
        problem(format!("line {line}: it is not UTF-8"))
    })?;
    parse(&text, value)
}

/// The same for the text of a file.
pub fn parse(text: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<Document, FileError> {
    let root = Node::parse(text).map_err(FileError::problem)?;
    let mut reading = Reading { value, document: Document::default(), problems: Vec::new() };
    reading.root(root);
    let Reading { document, mut problems, .. } = reading;
    if problems.is_empty() {
        return Ok(document);
    }
    let more = problems.len().saturating_sub(MOST_PROBLEMS);
    problems.truncate(MOST_PROBLEMS);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    Err(FileError::Problems { lines: problems, settings: document.settings })
}

/// A document that is being made, and what is wrong so far.
struct Reading<'a> {
    value: &'a dyn Fn(&str) -> Option<String>,
    document: Document,
    problems: Vec<String>,
}

impl Reading<'_> {
    fn root(&mut self, root: Node) {
        for (key, node) in self.mapping("the file", root) {
            match key.as_str() {
                "dids" => self.dids(node),
                "provider_config" => self.providers(node),
                _ => self.setting("", SERVER_KEYS, &key, node),
            }
        }
    }

    fn providers(&mut self, node: Node) {
        for (provider, node) in self.mapping("provider_config", node) {
            let keys = match provider.as_str() {
                "telnyx" => TELNYX_KEYS,
                "twilio" => TWILIO_KEYS,
                _ => {
                    self.unknown(node.line, &format!("provider_config.{provider}"));
                    continue;
                }
            };
            let within = format!("provider_config.{provider}.");
            for (key, node) in self.mapping(&within, node) {
                self.setting(&within, keys, &key, node);
            }
        }
    }

    /// A value that is one of the settings in `keys`.
    fn setting(&mut self, within: &str, keys: &[(&str, &'static str)], key: &str, node: Node) {
        let line = node.line;
        let Some((_, name)) = keys.iter().find(|(known, _)| *known == key) else {
            return self.unknown(line, &format!("{within}{key}"));
        };
        let Some(text) = self.text(&format!("{within}{key}"), node) else { return };
        if let Some((_, reference, _)) = next_reference(&text) {
            let warning = format!("line {line}: {within}{key} names ${{{reference}}}, which is not set");
            self.document.warnings.push(warning);
        }
        self.document.settings.insert(name, (text, line));
    }

    fn dids(&mut self, node: Node) {
        let mut dids: Vec<DidConfig> = Vec::new();
        let mut lines: BTreeMap<String, u64> = BTreeMap::new();
        for (key, node) in self.mapping("dids", node) {
            let line = node.line;
            let number = normalize(&key);
            if number.len() < 2 {
                self.problem(line, &format!("dids.{key}: expected a telephone number"));
            } else if let Some(before) = lines.insert(number.clone(), line) {
                self.problem(line, &format!("dids.{key}: {number} is there already, in line {before}"));
            } else if let Some(did) = self.did(number, &key, node) {
                dids.push(did);
            }
        }
        self.document.dids = DidTable::new(dids);
    }

    fn did(&mut self, number: String, key: &str, node: Node) -> Option<DidConfig> {
        let before = self.problems.len();
        let mut did = DidConfig::new(number);
        for (name, node) in self.mapping(&format!("dids.{key}"), node) {
            if DidConfig::KEYS.contains(&name.as_str()) {
                if let Some(text) = self.text(&format!("dids.{key}.{name}"), node) {
                    did.give(&name, text);
                }
            } else {
                let value = self.any(node);
                did.extra.insert(name, value);
            }
        }
        (self.problems.len() == before).then_some(did)
    }

    /// The pairs of a mapping, none where there is nothing. Keys are expanded.
    fn mapping(&mut self, what: &str, node: Node) -> Vec<(String, Node)> {
        let what = what.trim_end_matches('.');
        match node.value {
            // A number that stands there alone may be one whose lines lack their indentation.
            Value::Null if !what.starts_with("dids.") => Vec::new(),
            Value::Map(pairs) => {
                pairs.into_iter().map(|(key, node)| (self.expanded(node.line, key), node)).collect()
            }
            _ => {
                self.problem(
                    node.line,
                    &format!("{what}: expected names with values, found {}", node.kind()),
                );
                Vec::new()
            }
        }
    }

    /// A scalar; `None` where there is nothing.
    fn text(&mut self, what: &str, node: Node) -> Option<String> {
        match node.value {
            Value::Text(text) => Some(self.expanded(node.line, text)),
            Value::Null => None,
            _ => {
                self.problem(node.line, &format!("{what}: expected text, found {}", node.kind()));
                None
            }
        }
    }

    fn any(&mut self, node: Node) -> DidValue {
        match node.value {
            Value::Null => DidValue::Null,
            Value::Text(text) => DidValue::Text(self.expanded(node.line, text)),
            Value::List(items) => DidValue::List(items.into_iter().map(|item| self.any(item)).collect()),
            Value::Map(pairs) => {
                let pair = |(key, item): (String, Node)| (self.expanded(item.line, key), self.any(item));
                DidValue::Map(pairs.into_iter().map(pair).collect())
            }
        }
    }

    fn expanded(&mut self, line: u64, text: String) -> String {
        match expand(&text, self.value) {
            Ok(expanded) => expanded.into_owned(),
            Err(_) => {
                self.problem(line, "the values of its variables are too long");
                String::new()
            }
        }
    }

    fn unknown(&mut self, line: u64, key: &str) {
        self.document.warnings.push(format!("line {line}: there is no setting {key}, it has no effect"));
    }

    fn problem(&mut self, line: u64, text: &str) {
        self.problems.push(format!("line {line}: {text}"));
    }
}

/// Keys at the top, and the settings that they are.
const SERVER_KEYS: &[(&str, &str)] = &[
    ("provider", "GATEWAY_PROVIDER"),
    ("server_host", "GATEWAY_HOST"),
    ("server_port", "SIP_SERVER_PORT"),
    ("public_ws_url", "SIP_PUBLIC_WS_URL"),
    ("log_level", "LOG_LEVEL"),
];
const TELNYX_KEYS: &[(&str, &str)] =
    &[("api_key", "TELNYX_API_KEY"), ("app_id", "TELNYX_APP_ID"), ("public_key", "TELNYX_PUBLIC_KEY")];
const TWILIO_KEYS: &[(&str, &str)] =
    &[("account_sid", "TWILIO_ACCOUNT_SID"), ("auth_token", "TWILIO_AUTH_TOKEN")];
/// Bytes of a file: ten thousand numbers with long prompts.
const LONGEST: u64 = 4 << 20;
/// Problems of one file that are listed.
const MOST_PROBLEMS: usize = 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(name: &str) -> Option<String> {
        [("PORT", "9999"), ("NUMBER", "+15125550000"), ("KEY", "a: \"b")]
            .into_iter()
            .find_map(|(known, value)| (known == name).then(|| value.to_owned()))
    }

    fn read(yaml: &str) -> Document {
        parse(yaml, &value).expect(yaml)
    }

    #[test]
    fn settings_have_their_names_in_the_environment() {
        let document = read(
            "provider: twilio\nserver_host: 0.0.0.0\nserver_port: ${PORT}\npublic_ws_url: wss://a/b\nlog_level: debug\n\
             provider_config:\n  telnyx: {api_key: '${KEY}', app_id: 0123, public_key: p}\n  twilio:\n    account_sid: AC1\n\
             \x20   auth_token: t\n",
        );
        let settings: Vec<_> =
            document.settings.iter().map(|(name, (text, _))| (*name, text.as_str())).collect();
        let expected = [
            ("GATEWAY_HOST", "0.0.0.0"),
            ("GATEWAY_PROVIDER", "twilio"),
            ("LOG_LEVEL", "debug"),
            ("SIP_PUBLIC_WS_URL", "wss://a/b"),
            ("SIP_SERVER_PORT", "9999"),
            ("TELNYX_API_KEY", "a: \"b"),
            ("TELNYX_APP_ID", "0123"),
            ("TELNYX_PUBLIC_KEY", "p"),
            ("TWILIO_ACCOUNT_SID", "AC1"),
            ("TWILIO_AUTH_TOKEN", "t"),
        ];
        assert_eq!(settings, expected);
        assert_eq!(document.warnings, [""; 0]);
        assert_eq!(document.settings["SIP_SERVER_PORT"].1, 3);
    }

    #[test]
    fn variables_stand_in_keys_and_extras_too_and_unset_ones_stay() {
        let document = read(
            "dids:\n  ${NUMBER}:\n    user_id: ${NOBODY}\n    deep: [{a: \"${PORT}\"}, ~]\nprovider_config:\n  telnyx:\n    api_key: ${NOBODY}\n",
        );
        let did = document.dids.get("+15125550000").expect("it is there");
        assert_eq!(did.user_id, "${NOBODY}");
        let a = DidValue::Map([("a".to_owned(), DidValue::Text("9999".to_owned()))].into());
        assert_eq!(did.extra["deep"], DidValue::List(vec![a, DidValue::Null]));
        let warning = "line 7: provider_config.telnyx.api_key names ${NOBODY}, which is not set";
        assert_eq!(document.warnings, [warning]);
        assert_eq!(document.settings["TELNYX_API_KEY"].0, "${NOBODY}");
    }

    #[test]
    fn numbers_may_share_what_is_said_once() {
        let document = read(
            "dids:\n  100: &base {llm_model: m, speed: 0.5}\n  200: {<<: *base, speed: 0.7}\n  300: *base\n",
        );
        let said = |number: &str, key: &str| document.dids.get(number)?.text(key).map(str::to_owned);
        assert_eq!(said("200", "llm_model").as_deref(), Some("m"));
        assert_eq!(
            ["100", "200", "300"].map(|number| said(number, "speed")),
            ["0.5", "0.7", "0.5"].map(|s| Some(s.to_owned()))
        );
    }

    #[test]
    fn unknown_settings_are_warned_of_and_empty_ones_left_out() {
        let document = read(
            "sever_port: 1\nserver_port:\nprovider_config:\n  vonage: {}\n  telnyx:\n    key: 1\ndids:\n",
        );
        assert_eq!(document.settings, BTreeMap::new());
        let expected = [
            "line 1: there is no setting sever_port, it has no effect",
            "line 4: there is no setting provider_config.vonage, it has no effect",
            "line 6: there is no setting provider_config.telnyx.key, it has no effect",
        ];
        assert_eq!(document.warnings, expected);
    }

    #[test]
    fn all_problems_are_named_with_their_lines() {
        let yaml = "server_port: [1]\ndids:\n  \"+1512\":\n    llm_model: {a: 1}\n    tts_voice: [b]\n  none: {}\n  1-512: {}\n  \"2\":\n  \
                    \"3\": text\nprovider_config: 5\n";
        let Err(FileError::Problems { lines: problems, .. }) = parse(yaml, &value) else { panic!() };
        let expected = [
            "line 1: server_port: expected text, found a list",
            "line 4: dids.+1512.llm_model: expected text, found a mapping",
            "line 5: dids.+1512.tts_voice: expected text, found a list",
            "line 6: dids.none: expected a telephone number",
            "line 7: dids.1-512: +1512 is there already, in line 4",
            "line 8: dids.2: expected names with values, found nothing",
            "line 9: dids.3: expected names with values, found text",
            "line 10: provider_config: expected names with values, found text",
        ];
        assert_eq!(problems, expected);
        for (yaml, expected) in [
            ("[1]", "line 1: the file: expected names with values, found a list"),
            ("dids: 1", "line 1: dids: expected names with values, found text"),
        ] {
            assert_eq!(parse(yaml, &value).expect_err(yaml).to_string(), expected);
        }
        let many: String = (0..100).map(|n| format!("k{n}: 1\nd{n}: 2\n")).collect();
        assert_eq!(read(&many).warnings.len(), 200);
        let many = format!("dids:\n{}", (0..30).map(|n| format!("  {n}: 1\n")).collect::<String>());
        let Err(FileError::Problems { lines: problems, .. }) = parse(&many, &value) else { panic!() };
        assert_eq!((problems.len(), problems[20].as_str()), (21, "and 10 more"));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic_and_no_error_has_two_lines(text in "(?s).{0,200}", at in 0..400_usize, cut in 0..50_usize) {
            let example = "provider_config:\n  telnyx: {api_key: \"${KEY}\"}\ndids:\n  \"+1512\": &a\n    user_id: |\n      x\n  2: *a\n";
            let at = at.min(example.len());
            let mutated = format!("{}{text}{}", &example[..at], &example[(at + cut).min(example.len())..]);
            for yaml in [text.as_str(), mutated.as_str()] {
                if let Err(FileError::Problems { lines, .. }) = parse(yaml, &value) {
                    prop_assert!(!lines.is_empty() && lines.len() <= MOST_PROBLEMS + 1);
                    prop_assert!(lines.iter().all(|line| !line.contains('\n')), "{:?}", lines);
                }
            }
        }
    }

    #[test]
    fn file_is_read_only_where_it_is_one_of_bounded_length_and_text() {
        let folder = std::env::temp_dir().join(format!("sip-relay-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let read = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).expect("a file");
            super::read(&path, &value).map(|document| document.dids.len()).map_err(|error| error.to_string())
        };
        assert_eq!(read("a", b"dids:\n  1: {}\n"), Ok(1));
        assert_eq!(read("b", b"a: 1\nb: \xff\n"), Err("line 2: it is not UTF-8".to_owned()));
        let long = vec![b'#'; LONGEST as usize + 1];
        assert_eq!(read("c", &long[1..]), Ok(0));
        assert_eq!(read("d", &long), Err("it is longer than 4 MiB".to_owned()));
        let error = |path: &Path| super::read(path, &value).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(error(&folder), Err("it is not a file".to_owned()));
        assert_eq!(error(Path::new("/dev/zero")), Err("it is not a file".to_owned()));
        assert_eq!(super::read(&folder.join("none"), &value).map(|_| ()), Err(FileError::Missing));
        std::fs::remove_dir_all(&folder).expect("it can go");
    }
}
