//! Any bodies of a peer over one call: answered as offers, taken as answers, held against what a call relies on.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../helper/sip/tests/fixtures/talk.rs"]
mod talk;

fuzz_target!(|bodies: &[u8]| talk::everything(bodies));
