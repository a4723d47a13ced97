//! `DidRouter` is the table of our own numbers (DIDs): who answers at which, and how.
//!
//! In: a YAML file, read again when it is told to. Out: the [`DidConfig`] of a number. A file that cannot be used leaves the
//! table as it is. Knows nothing of calls.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::SystemTime,
};

use tracing::warn;

use super::{
    SipTransportError,
    file::{self, FileError},
    variables::Variables,
};

/// What the table says of one number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DidConfig {
    /// The number, normalized: `+` and digits.
    pub did: String,
    /// Whose number it is; `unknown` where the table does not say.
    pub user_id: String,
    /// A name for people.
    pub display_name: String,
    /// The chat model; `llama3.2:7b` where the table does not say.
    pub llm_model: String,
    /// What the chat model is told first; `You are a helpful voice assistant.` where the table does not say.
    pub system_prompt: String,
    /// The voice; `en-us-ryan-medium` where the table does not say.
    pub tts_voice: String,
    /// Everything else that stands there.
    pub extra: BTreeMap<String, DidValue>,
    /// Which of [`Self::KEYS`] the table gives.
    given: Vec<&'static str>,
}

/// A value of [`DidConfig::extra`]. Scalars keep their spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DidValue {
    /// Nothing.
    Null,
    /// A scalar.
    Text(String),
    /// A sequence.
    List(Vec<DidValue>),
    /// A mapping.
    Map(BTreeMap<String, DidValue>),
}

impl DidConfig {
    /// The keys that have a field of their own.
    pub const KEYS: &[&str] = &["user_id", "display_name", "llm_model", "system_prompt", "tts_voice"];

    /// What is so where the table says nothing but the number.
    pub(super) fn new(did: String) -> Self {
        Self {
            did,
            user_id: "unknown".to_owned(),
            display_name: String::new(),
            llm_model: "llama3.2:7b".to_owned(),
            system_prompt: "You are a helpful voice assistant.".to_owned(),
            tts_voice: "en-us-ryan-medium".to_owned(),
            extra: BTreeMap::new(),
            given: Vec::new(),
        }
    }

    /// The text that the table itself gives under `key`, one of [`Self::KEYS`] or an extra one. `None` where it says nothing,
    /// so that a program may have defaults of its own.
    pub fn text(&self, key: &str) -> Option<&str> {
        let field = match key {
            "user_id" => &self.user_id,
            "display_name" => &self.display_name,
            "llm_model" => &self.llm_model,
            "system_prompt" => &self.system_prompt,
            "tts_voice" => &self.tts_voice,
            _ => return self.extra.get(key).and_then(DidValue::as_text),
        };
        self.given.contains(&key).then_some(field)
    }

    /// Sets the field of one of [`Self::KEYS`].
    pub(super) fn give(&mut self, key: &str, text: String) {
        let field = match key {
            "user_id" => &mut self.user_id,
            "display_name" => &mut self.display_name,
            "llm_model" => &mut self.llm_model,
            "system_prompt" => &mut self.system_prompt,
            "tts_voice" => &mut self.tts_voice,
            _ => return,
        };
        *field = text;
        self.given.extend(Self::KEYS.iter().find(|known| **known == key));
    }
}

impl DidValue {
    /// The text of a scalar.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Numbers and what is said of them.
#[derive(Debug, Clone, Default)]
pub struct DidTable {
    /// In the order of the file.
    dids: Vec<Arc<DidConfig>>,
    by_number: HashMap<String, usize>,
}

impl DidTable {
    pub(super) fn new(dids: Vec<DidConfig>) -> Self {
        let by_number = dids.iter().enumerate().map(|(at, did)| (did.did.clone(), at)).collect();
        Self { dids: dids.into_iter().map(Arc::new).collect(), by_number }
    }

    /// The entry of a number, however it is written.
    pub fn get(&self, number: &str) -> Option<&Arc<DidConfig>> {
        self.by_number.get(&normalize(number)).map(|at| &self.dids[*at])
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.dids.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.dids.is_empty()
    }

    /// All of them, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<DidConfig>> {
        self.dids.iter()
    }
}

/// Decides whether an entry can be used; `Err` says why not.
pub type DidCheck = fn(&DidConfig) -> Result<(), String>;

/// The table of a file. Clones are cheap and share it.
#[derive(Debug, Clone)]
pub struct DidRouter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    variables: Variables,
    check: Option<DidCheck>,
    table: RwLock<Arc<DidTable>>,
    /// What the file looked like before it was read last. Held until the table is there: of two readings the later one counts.
    read: Mutex<Option<Stamp>>,
}

/// By which a change of a file is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    /// Of the file at `path`; `None` where there is none.
    pub fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { modified: metadata.modified().ok(), length: metadata.len(), inode: metadata.ino() })
    }
}

impl DidRouter {
    /// Where the file is unless something else is said; `~` is the user's home.
    pub const DEFAULT_PATH: &str = "~/.vibecode/sip_config.yaml";

    /// Reads the table. `${NAME}`s in it are variables of the process environment. Without the file there is a warning, and
    /// an empty table. Blocks.
    ///
    /// # Errors
    /// [`SipTransportError::DidConfig`] if the file cannot be used.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SipTransportError> {
        let router = Self::open_with(path, Variables::of_process(), None)?;
        if Stamp::of(router.path()).is_none() {
            warn!(file = %router.path().display(), "there is no file of numbers");
        }
        Ok(router)
    }

    /// The same with other variables, with `check` for each entry, and without the warning.
    ///
    /// # Errors
    /// [`SipTransportError::DidConfig`] if the file cannot be used.
    pub fn open_with(
        path: impl AsRef<Path>,
        variables: Variables,
        check: Option<DidCheck>,
    ) -> Result<Self, SipTransportError> {
        let path = home(path.as_ref(), &|name| variables.value(name));
        let shared = Shared { path, variables, check, table: RwLock::default(), read: Mutex::new(None) };
        let router = Self(Arc::new(shared));
        match router.refresh() {
            Ok(()) | Err(FileError::Missing) => Ok(router),
            Err(error) => Err(router.error(&error)),
        }
    }

    /// A router of these entries, of no file: for programs that make their own.
    pub fn of_text(yaml: &str) -> Result<Self, SipTransportError> {
        let variables = Variables::of_process();
        let shared = Shared {
            path: PathBuf::new(),
            variables,
            check: None,
            table: RwLock::default(),
            read: Mutex::new(None),
        };
        let router = Self(Arc::new(shared));
        let document = file::parse(yaml, &|name| router.0.variables.value(name));
        router.replace(document.map_err(|error| router.error(&error))?.dids);
        Ok(router)
    }

    /// What the table says of a number, however it is written: everything but digits and `+` is left out, and a `+` is put
    /// before it. No country code is added.
    pub fn lookup(&self, number: &str) -> Option<Arc<DidConfig>> {
        self.table().get(number).cloned()
    }

    /// The same where a number has to be there.
    ///
    /// # Errors
    /// [`SipTransportError::DidNotFound`] with the number as it was given.
    pub fn lookup_or_raise(&self, number: &str) -> Result<Arc<DidConfig>, SipTransportError> {
        self.lookup(number).ok_or_else(|| SipTransportError::DidNotFound { did: number.to_owned() })
    }

    /// Reads the file again. Calls that have begun keep what they have. Blocks.
    ///
    /// # Errors
    /// [`SipTransportError::DidConfig`] if the file is gone or cannot be used: then the table stays as it is.
    pub fn reload(&self) -> Result<(), SipTransportError> {
        self.refresh().map_err(|error| self.error(&error))
    }

    /// The numbers, normalized, in the order of the file.
    pub fn dids(&self) -> Vec<String> {
        self.table().iter().map(|did| did.did.clone()).collect()
    }

    /// The table as it is now.
    pub fn table(&self) -> Arc<DidTable> {
        self.0.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether the file is another one than when it was read last. Blocks.
    pub fn is_outdated(&self) -> bool {
        let read = *self.0.read.lock().unwrap_or_else(PoisonError::into_inner);
        Stamp::of(self.path()) != read
    }

    /// Reads the file and replaces the table by what it says.
    fn refresh(&self) -> Result<(), FileError> {
        let mut read = self.0.read.lock().unwrap_or_else(PoisonError::into_inner);
        *read = Stamp::of(self.path());
        let document = file::read(self.path(), &|name| self.0.variables.value(name))?;
        let wrong = |did: &Arc<DidConfig>| Some(format!("dids.{}: {}", did.did, self.0.check?(did).err()?));
        let lines: Vec<String> = document.dids.iter().filter_map(wrong).collect();
        if !lines.is_empty() {
            return Err(FileError::Problems { lines, settings: document.settings });
        }
        self.replace(document.dids);
        Ok(())
    }

    fn replace(&self, table: DidTable) {
        *self.0.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }

    fn error(&self, error: &FileError) -> SipTransportError {
        let path = self.path();
        SipTransportError::DidConfig(match error {
            error if path.as_os_str().is_empty() => error.to_string(),
            error => format!("{}: {error}", path.display()),
        })
    }
}

/// A number as the table has it: digits and `+` only, with a `+` before it.
pub fn normalize(number: &str) -> String {
    let bare = number.chars().filter(|c| c.is_ascii_digit() || *c == '+');
    if number.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '+').starts_with('+') {
        bare.collect()
    } else {
        std::iter::once('+').chain(bare).collect()
    }
}

/// `path` with the home folder for a `~` at its beginning.
pub fn home(path: &Path, variable: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    match (path.strip_prefix("~"), variable("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_normalized_without_a_country_code() {
        for (written, normal) in [
            ("+1 (512) 555-1234", "+15125551234"),
            ("15125551234", "+15125551234"),
            ("512-555 9999", "+5125559999"),
            (" (+44) 20", "+4420"),
            ("0123", "+0123"),
            ("", "+"),
            ("abc", "+"),
            ("１２", "+"),
        ] {
            assert_eq!(normalize(written), normal, "{written:?}");
        }
    }

    #[test]
    fn table_says_what_it_gives_and_what_it_does_not() {
        let router = DidRouter::of_text(
            "dids:\n  100:\n    llm_model: m\n    speed: 1.50\n    list: [a]\n  200: {}\n",
        );
        let router = router.expect("it can be used");
        let did = router.lookup("100").expect("it is there");
        assert_eq!((did.text("llm_model"), did.text("tts_voice")), (Some("m"), None));
        assert_eq!((did.text("speed"), did.text("list"), did.text("other")), (Some("1.50"), None, None));
        assert_eq!((did.user_id.as_str(), did.tts_voice.as_str()), ("unknown", "en-us-ryan-medium"));
        assert_eq!(*router.lookup("200").expect("it is there"), DidConfig::new("+200".to_owned()));
        assert_eq!(router.dids(), ["+100", "+200"]);
    }

    #[test]
    fn home_folder_stands_for_a_tilde() {
        let variables = |name: &str| (name == "HOME").then(|| "/home/a".to_owned());
        assert_eq!(home(Path::new("~/b/c"), &variables), Path::new("/home/a/b/c"));
        assert_eq!(home(Path::new("/~/b"), &variables), Path::new("/~/b"));
        assert_eq!(home(Path::new("~b"), &variables), Path::new("~b"));
        assert_eq!(home(Path::new("~/b"), &|_: &str| None), Path::new("~/b"));
    }
}
