//! SIP without sockets: bytes and the time go in, datagrams and events come out.
//!
//! Reading order: [`msg`] (what a message is). Nothing here knows a socket, a clock or a runtime.
#![forbid(unsafe_code)]

pub mod msg;
