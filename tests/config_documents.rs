//! `.env.example` and docs/configuration.md list the settings that the relay reads, with their defaults.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{collections::BTreeMap, fs, path::Path};

use sip_relay::config::{Config, SETTINGS};

/// Settings whose line in `.env.example` shows an example: their default depends on the machine or on another setting.
const EXAMPLES: &[(&str, &str)] = &[
    ("OPENAI_API_KEY", "your_openai_api_key_here"),
    ("SIP_LOCAL_IP", "192.168.1.101"),
    ("SIP_SERVER_IP", "192.168.1.170"),
    ("WS_HOST", "192.168.1.101"),
    ("GREETING_FILE", "./output/transcode/greeting.wav"),
];

#[test]
fn example_file_lists_every_setting_once_with_its_default() {
    let shown = shown_in_example();
    let names: Vec<_> = shown.iter().map(|(name, _)| name.as_str()).collect();
    let expected: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
    assert_eq!(names, expected);

    let examples: BTreeMap<_, _> = EXAMPLES.iter().copied().collect();
    for (setting, (name, value)) in SETTINGS.iter().zip(&shown) {
        let expected = examples.get(setting.name).unwrap_or(&setting.default);
        assert_eq!(value.trim_matches('\''), *expected, "{name}");
    }
}

#[test]
fn every_setting_of_the_example_file_is_explained() {
    let text = read(".env.example");
    let lines: Vec<_> = text.lines().collect();
    for (above, line) in lines.iter().zip(&lines[1..]) {
        assert!(line.is_empty() || line.starts_with('#'), "{line:?} would take effect in a copy");
        if !line.starts_with("# ") && !line.is_empty() {
            assert!(above.starts_with("# ") && above.ends_with('.'), "{line:?} has no explanation above it");
        }
    }
}

#[test]
fn example_file_with_its_defaults_switched_on_changes_nothing() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("documents-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let load = || {
        let loaded = Config::load(["main".into()].into_iter(), |_| None, &folder).unwrap();
        format!("{loaded:?}")
    };
    let defaults = load();
    let examples: Vec<_> = EXAMPLES.iter().map(|example| format!("#{}=", example.0)).collect();
    let text = read(".env.example");
    let switched_on: Vec<_> = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(bare) if !bare.starts_with(' ') && !examples.iter().any(|name| line.starts_with(name)) => {
                bare
            }
            _ => line,
        })
        .collect();
    fs::write(folder.join(".env"), switched_on.join("\n")).unwrap();
    assert_eq!(load(), defaults);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn reference_has_a_row_for_every_setting_with_its_default() {
    let text = read("docs/configuration.md");
    let rows: BTreeMap<_, _> = text
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            Some((cells.next()?.trim_end_matches('`'), cells.next()?.trim_matches('`')))
        })
        .filter(|(name, _)| name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'))
        .collect();
    assert_eq!(rows.len(), SETTINGS.len());
    for setting in SETTINGS {
        let default = rows.get(setting.name).unwrap_or_else(|| panic!("{} has no row", setting.name));
        if !setting.default.is_empty() {
            assert_eq!(*default, setting.default, "{}", setting.name);
        }
    }
}

/// The `#NAME=value` lines of `.env.example`, in order.
fn shown_in_example() -> Vec<(String, String)> {
    let text = read(".env.example");
    let pairs = text.lines().filter_map(|line| line.strip_prefix('#')?.split_once('='));
    pairs
        .filter(|(name, _)| name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}
