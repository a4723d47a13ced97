//! Any message of a WebSocket, read as either side in every mode: what is understood is printed, and reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../model/tests/fixtures/lines.rs"]
mod lines;

fuzz_target!(|message: &[u8]| lines::everything(message));
