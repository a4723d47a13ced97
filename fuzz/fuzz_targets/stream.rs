//! Any messages of a media stream, in any order and time, as every side: understood or refused, and never more.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../helper/stream/tests/fixtures/messages.rs"]
mod messages;

fuzz_target!(|lines: &[u8]| messages::everything(lines));
