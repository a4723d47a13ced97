//! The command line of `main`: a flag for each common setting, `--set NAME=VALUE` for any.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use clap::Parser;

use super::{
    error::{Origin, Problem},
    settings,
};

/// A relay between the telephone network (SIP, RTP) and programs (one line of text over a WebSocket).
#[derive(Debug, Parser)]
#[command(
    name = "main",
    version,
    after_help = "A flag wins over the environment, the environment over the .env file. docs/configuration.md lists every setting."
)]
pub(super) struct Cli {
    /// Address for SIP and RTP [SIP_LOCAL_IP]
    #[arg(long, value_name = "IP")]
    sip_local_ip: Option<String>,
    /// UDP port for SIP, 0 for any [SIP_LOCAL_PORT]
    #[arg(long, value_name = "PORT")]
    sip_local_port: Option<String>,
    /// The PBX that outbound calls go to; without it they go to the test line [SIP_SERVER_IP]
    #[arg(long, value_name = "HOST")]
    sip_server_ip: Option<String>,
    /// Address of the WebSocket and HTTP server [WS_HOST]
    #[arg(long, value_name = "HOST")]
    ws_host: Option<String>,
    /// TCP port of the WebSocket and HTTP server, 0 for any [WS_PORT]
    #[arg(long, value_name = "PORT")]
    ws_port: Option<String>,
    /// ERROR, WARNING, INFO, DEBUG or TRACE [LOG_LEVEL]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Any setting by its name; may be given many times
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Read this file instead of .env in the current folder
    #[arg(long, value_name = "PATH")]
    pub(super) env_file: Option<PathBuf>,
}

impl Cli {
    /// Reads the arguments; the first one is the program's name.
    pub(super) fn parse_from_args(args: impl Iterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(args)
    }

    /// The settings given, by name. A flag of its own wins over `--set`, the last `--set` over those before it.
    pub(super) fn values(&self, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
        let flags = [
            ("SIP_LOCAL_IP", &self.sip_local_ip),
            ("SIP_LOCAL_PORT", &self.sip_local_port),
            ("SIP_SERVER_IP", &self.sip_server_ip),
            ("WS_HOST", &self.ws_host),
            ("WS_PORT", &self.ws_port),
            ("LOG_LEVEL", &self.log_level),
        ];
        values(&self.set, &flags, problems)
    }
}

/// What `--set` and flags say, by name.
pub(super) fn values(
    set: &[String],
    flags: &[(&str, &Option<String>)],
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for pair in set {
        match pair.split_once('=') {
            Some((name, value)) if settings::find(name).is_some() => {
                values.insert(name.to_owned(), value.to_owned());
            }
            Some((name, _)) => problems.push(Problem::unknown(name, Origin::CommandLine)),
            None => problems.push(Problem::general(
                "--set takes NAME=VALUE, for example --set LOG_LEVEL=DEBUG".to_owned(),
            )),
        }
    }
    for (name, value) in flags {
        if let Some(value) = value {
            values.insert((*name).to_owned(), value.clone());
        }
    }
    values
}
