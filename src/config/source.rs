//! Where a value comes from: the command line, the process environment, the `.env` file, the gateway's file, in this order.

use std::{collections::BTreeMap, fs, io, path::Path};

use super::{
    error::{Origin, Problem},
    settings,
};

/// The layers above the defaults.
pub(super) struct Sources<'a> {
    pub(super) command_line: BTreeMap<String, String>,
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    pub(super) file: BTreeMap<String, String>,
    /// Values of the gateway's YAML file, each with its line.
    pub(super) yaml: crate::gateway::Settings,
}

impl Sources<'_> {
    /// The value of the highest layer that has `name`. An empty value is none, and hides the layers below.
    pub(super) fn lookup(&self, name: &str) -> Option<(String, Origin)> {
        let (value, origin) = None
            .or_else(|| self.command_line.get(name).map(|v| (v.clone(), Origin::CommandLine)))
            .or_else(|| (self.environment)(name).map(|v| (v, Origin::Environment)))
            .or_else(|| self.file.get(name).map(|v| (v.clone(), Origin::File)))
            .or_else(|| self.yaml.get(name).map(|(v, line)| (v.clone(), Origin::Yaml { line: *line })))?;
        // The blanks of a password are its own.
        let value = if settings::find(name).is_some_and(|s| s.secret) { &value } else { value.trim() };
        (!value.is_empty()).then(|| (value.to_owned(), origin))
    }

    /// A variable that a file refers to.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name).or_else(|| self.file.get(name).cloned())
    }
}

/// One variable of the process environment, for files that refer to it.
pub(crate) fn process_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads the `.env` file at `path` without touching the process environment; the last of two equal names wins.
///
/// `required`: whether a missing file is a problem. Lines that cannot be read are reported by number only, since they
/// may hold a password.
pub(super) fn read_env_file(
    path: &Path,
    required: bool,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !required => return BTreeMap::new(),
        Err(error) => {
            problems.push(Problem::general(format!("{}: {error}", path.display())));
            return BTreeMap::new();
        }
    };
    // A byte order mark would become part of the first name, and a blank at the very end is an error to the parser.
    let text = format!("{}\n", text.trim_start_matches('\u{feff}'));
    let mut values = BTreeMap::new();
    for item in dotenvy::from_read_iter(text.as_bytes()) {
        match item {
            Ok((name, value)) => {
                values.insert(name, value);
            }
            Err(dotenvy::Error::LineParse(line, _)) => {
                let number = text.find(&line).map(|at| text[..at].matches('\n').count() + 1);
                problems.push(Problem::general(format!(
                    "{}, line {}: expected NAME=value; put a value with blanks, quotes, backslashes or $ in single quotes",
                    path.display(),
                    number.map_or("?".to_owned(), |n| n.to_string()),
                )));
            }
            Err(error) => problems.push(Problem::general(format!("{}: {error}", path.display()))),
        }
    }
    values
}

/// A warning for each name in the `.env` file that is probably a mistake.
pub(super) fn unknown_names(file: &BTreeMap<String, String>) -> Vec<String> {
    let ours = |name: &str| {
        ["SIP_", "RTP_", "WS_", "RELAY_", "GATEWAY_"].iter().any(|prefix| name.starts_with(prefix))
    };
    file.keys()
        .filter(|name| settings::find(name).is_none())
        .filter(|name| {
            ours(&name.to_ascii_uppercase())
                || settings::nearest(name).is_some_and(|(_, letters)| letters <= 2)
        })
        .map(|name| Problem::unknown(name, Origin::File).to_string())
        .collect()
}
