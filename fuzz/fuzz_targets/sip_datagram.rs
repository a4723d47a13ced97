//! One datagram of any octets: parsed, read through every view, checked, answered.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../helper/sip/tests/fixtures/touch.rs"]
mod touch;

fuzz_target!(|datagram: &[u8]| touch::everything(datagram));
