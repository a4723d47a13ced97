//! What is wrong with the settings: all of it at once, each problem with its name, its value and what is expected.

use std::{fmt, io, io::Write};

use super::settings;

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A flag or `--set`.
    CommandLine,
    /// The process environment.
    Environment,
    /// The `.env` file.
    File,
    /// The gateway's YAML file.
    Yaml {
        /// Counted from 1.
        line: u64,
    },
    /// Not set anywhere.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Yaml { line } = self {
            return write!(f, "GATEWAY_CONFIG, line {line}");
        }
        f.write_str(match self {
            Self::CommandLine => "command line",
            Self::Environment => "environment",
            Self::File => ".env file",
            Self::Yaml { .. } => "GATEWAY_CONFIG",
            Self::Default => "default",
        })
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting; `None` when the problem belongs to no single one.
    pub name: Option<String>,
    /// Its value as given; `None` for a secret.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
    /// What is expected instead.
    pub expected: String,
}

impl Problem {
    pub(super) fn value(name: &str, value: &str, origin: Origin, expected: String) -> Self {
        let secret = settings::find(name).is_some_and(|s| s.secret);
        let value = (!secret).then(|| value.to_owned());
        Self { name: Some(name.to_owned()), value, origin, expected }
    }

    pub(super) fn general(expected: String) -> Self {
        Self { name: None, value: None, origin: Origin::Default, expected }
    }

    pub(super) fn unknown(name: &str, origin: Origin) -> Self {
        let expected = match settings::nearest(name) {
            Some((nearest, _)) => format!("there is no setting of this name; did you mean {nearest}?"),
            None => "there is no setting of this name; docs/configuration.md lists them all".to_owned(),
        };
        Self { name: Some(name.to_owned()), value: None, origin, expected }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name}")?;
            if let Some(value) = &self.value {
                write!(f, "={}", value.escape_debug())?;
            }
            if self.origin != Origin::Default {
                write!(f, " ({})", self.origin)?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.expected)
    }
}

/// Everything that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// At least one problem, in the order of the settings.
    pub problems: Vec<Problem>,
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The command line cannot be read, or `--help` or `--version` was asked for.
    #[error(transparent)]
    CommandLine(#[from] clap::Error),
    /// Settings are wrong.
    #[error(transparent)]
    Settings(#[from] ConfigErrors),
}

impl LoadError {
    /// Prints it where it belongs: help and version on stdout, everything else on stderr.
    pub fn print(&self) -> io::Result<()> {
        match self {
            Self::CommandLine(error) => error.print(),
            Self::Settings(errors) => writeln!(io::stderr().lock(), "{errors}"),
        }
    }

    /// The exit code of the process: 0 for help and version, 2 for a bad command line, 1 for bad settings.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::CommandLine(error) => u8::try_from(error.exit_code()).unwrap_or(2),
            Self::Settings(_) => 1,
        }
    }
}
