//! The relay.

pub mod config;
pub mod logging;
