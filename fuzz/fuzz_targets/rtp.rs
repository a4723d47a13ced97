//! Any datagrams, orders and delays: a session of RTP keeps its promises.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../helper/rtp/tests/fixtures/drive.rs"]
mod drive;

fuzz_target!(|steps: &[u8]| drive::everything(steps));
