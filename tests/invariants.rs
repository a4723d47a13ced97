//! The checkers of the whole-system tests against logs that are right and wrong: a checker that passes everything
//! proves nothing.

// Helpers of tests are test code, too.
#![allow(clippy::unwrap_used)]

mod common;

use common::invariants::{EventLog, Invariants};
use common::md5::md5;
use common::ws::Incoming;

/// The rules that a log breaks, in short: what stands before the colon.
fn broken(multi: bool, lines: &[&str]) -> Vec<String> {
    let messages = lines.iter().map(|line| Incoming::Text((*line).to_owned())).collect();
    let log = EventLog { multi, focus: !multi, messages, open: false };
    Invariants::violations(&log).iter().map(|v| v.split(':').next().unwrap().to_owned()).collect()
}

fn classic(lines: &[&str]) -> Vec<String> {
    broken(false, lines)
}

fn multi(lines: &[&str]) -> Vec<String> {
    broken(true, lines)
}

const NONE: [&str; 0] = [];
/// 20 ms of silence.
fn frame(id: &str) -> String {
    format!("RTP:{id}##{}=", "A".repeat(427))
}

#[test]
fn logs_that_keep_the_rules_pass() {
    for lines in [
        &["RING_ANS:0912##a", "CALL_ANS:a", "RTP:0##ffff", "RTP:ff7f", "BYE:a"][..],
        &["RING_ANS:0912##a", "RING_IGNORE:a"],
        &["RING_ANS:0912##a", "CALL_IGNORE:a", "CALL_FAILED:486 Busy Here"],
        &["RING_ANS:0912##a", "CALL_FAILED:500 Server Internal Error"],
        &["CALL_FAILED:484 Address Incomplete"],
        &[
            "RING_ANS:1##a",
            "CALL_ANS:a",
            "RING_ANS:1##b",
            "CALL_ANS:b",
            "RTP:0##ff",
            "BYE:b",
            "CALL_ANS:a",
            "RTP:0##ff",
            "BYE:a",
        ],
    ] {
        assert_eq!(classic(lines), NONE, "{lines:?}");
    }
    for lines in [
        &[
            "CALLING:0912##a",
            "RING_ANS:0912##a",
            "CALL_ANS:a",
            "DTMF:a##5##160",
            "BYE:a",
            "PONG",
            "ERROR:481 x##BYE",
        ][..],
        &["CALLING:0912##a", "CALL_FAILED:487 Request Terminated##a"],
        &["CALLING:0912##a", "CALL_IGNORE:a", "CALL_FAILED:486 Busy Here##a"],
        &["RING_ANS:1##a", "CALL_ANS:a", &frame("a"), "BYE:a"],
        &[
            "RING_ANS:1##a",
            "CALLED:a##+1512",
            "RING_ANS:1##b",
            "CALLED:b##100",
            "RING_IGNORE:a",
            "RING_IGNORE:b",
        ],
    ] {
        assert_eq!(multi(lines), NONE, "{lines:?}");
    }
}

#[test]
fn calls_that_do_not_end_or_end_twice_are_found() {
    assert_eq!(classic(&["RING_ANS:1##a"]), ["I2 to I5"]);
    assert_eq!(classic(&["RING_ANS:1##a", "CALL_ANS:a", "CALL_FAILED:500 x"]), ["I2 to I5"]);
    assert_eq!(classic(&["RING_ANS:1##a", "RING_IGNORE:a", "RING_IGNORE:a"]), ["I1"]);
    assert_eq!(classic(&["RING_ANS:1##a", "CALL_ANS:a", "BYE:a", "BYE:a"]), ["I1"]);
    assert_eq!(classic(&["RING_ANS:1##a", "BYE:a"]), ["I2, I4"]);
    assert_eq!(classic(&["RING_ANS:1##a", "CALL_ANS:a", "RING_IGNORE:a"]), ["I2, I4"]);
    assert_eq!(multi(&["CALL_ANS:a", "CALL_FAILED:500 x##a"]), ["I2, I4"]);
    assert_eq!(multi(&["CALLING:1##a", "CALL_FAILED:500 x##a", "CALL_FAILED:500 x##a"]), ["I1"]);
    assert_eq!(classic(&["CALL_IGNORE:a", "BYE:b"])[0], "I3");
    assert_eq!(classic(&["CALL_IGNORE:a"]), ["I2 to I5"]);
    assert_eq!(classic(&["RING_ANS:1##a", "CALL_ANS:a", "CALL_IGNORE:a", "CALL_FAILED:486 x"])[0], "I3");
}

#[test]
fn events_out_of_order_or_repeated_are_found() {
    assert_eq!(classic(&["CALL_ANS:a", "RING_ANS:1##a", "BYE:a"]), ["I1"]);
    assert_eq!(classic(&["RING_ANS:1##a", "RING_ANS:1##a", "RING_IGNORE:a"]), ["I1"]);
    assert_eq!(multi(&["CALL_ANS:a", "CALL_ANS:a", "BYE:a"]), ["I1"]);
    assert_eq!(classic(&["CALL_ANS:a", "BYE:a", "CALL_ANS:a"]), ["I1"]);
    assert_eq!(multi(&["RING_ANS:1##a", "DTMF:a##1##100", "RING_IGNORE:a"]), ["I1"]);
}

#[test]
fn audio_at_the_wrong_time_or_in_the_wrong_form_is_found() {
    assert_eq!(classic(&["RTP:0##ff"]), ["I6"]);
    assert_eq!(classic(&["RING_ANS:1##a", "CALL_ANS:a", "BYE:a", "RTP:0##ff"]), ["I6"]);
    let up = ["CALL_ANS:a", "CALL_ANS:b", "BYE:b"];
    assert_eq!(
        classic(&[&up[..], &["RTP:0##ff", "BYE:a"]].concat()),
        ["I6"],
        "focus was not announced again"
    );
    assert_eq!(classic(&["CALL_ANS:a", "RTP:0##FF", "BYE:a"]), ["RTP"]);
    assert_eq!(classic(&["CALL_ANS:a", "RTP:300##ff", "BYE:a"]), ["RTP"]);
    assert_eq!(multi(&["RING_ANS:1##a", &frame("a"), "RING_IGNORE:a"]), ["I6"]);
    assert_eq!(multi(&["CALL_ANS:a", "BYE:a", &frame("a")]), ["I6"]);
    assert_eq!(multi(&["CALL_ANS:a", "RTP:0##ff", "BYE:a"]), ["I6"]);
    assert_eq!(multi(&["CALL_ANS:a", "RTP:a##AAAA", "BYE:a"]), ["RTP"]);
}

#[test]
fn words_of_the_wrong_mode_and_bad_forms_are_found() {
    assert_eq!(classic(&["PONG"]), ["a word of multi on another connection"]);
    assert_eq!(classic(&["CALLING:1##a", "CALL_FAILED:500 x"]), ["a word of multi on another connection"]);
    let called = |rest: &str| format!("CALLED:{rest}");
    assert_eq!(multi(&["RING_ANS:1##a", &called("a##"), "RING_IGNORE:a"]), ["CALLED"]);
    assert_eq!(multi(&["RING_ANS:1##a", &called("a##1##2"), "RING_IGNORE:a"]), ["CALLED"]);
    let right_after = ["CALLED comes right after RING_ANS"];
    assert_eq!(multi(&["RING_ANS:1##a", &called("b##1"), "RING_IGNORE:a"]), right_after);
    assert_eq!(multi(&["RING_ANS:1##a", &called("a##1"), &called("a##1"), "RING_IGNORE:a"]), right_after);
    assert_eq!(multi(&["RING_ANS:1##a", "CALL_ANS:a", &called("a##1"), "BYE:a"]), right_after);
    assert_eq!(
        classic(&["RING_ANS:1##a", &called("a##1"), "RING_IGNORE:a"]),
        ["a word of multi on another connection"]
    );
    assert_eq!(classic(&["HELLO"]), ["unknown word"]);
    assert_eq!(classic(&["RING_ANS:1##a:b", "RING_IGNORE:a:b"])[0], "a call id is encoded");
    assert_eq!(classic(&["CALL_FAILED:busy"]), ["CALL_FAILED"]);
    assert_eq!(multi(&["ERROR:x"]), ["ERROR"]);
}

#[test]
fn md5_has_the_values_of_rfc_1321() {
    assert_eq!(md5(""), "d41d8cd98f00b204e9800998ecf8427e");
    assert_eq!(md5("abc"), "900150983cd24fb0d6963f7d28e17f72");
    let long = "12345678901234567890123456789012345678901234567890123456789012345678901234567890";
    assert_eq!(md5(long), "57edf4a22be3c955ac49da2e2107b67a");
    // Around the end of a block, where the length no longer fits.
    assert_eq!(md5(&"a".repeat(55)), "ef1772b6dff9a122358552954ad0df65");
    assert_eq!(md5(&"a".repeat(56)), "3b0c8ac703f828b04c6c197006d17218");
    assert_eq!(md5(&"a".repeat(64)), "014842d480b571495a4a0363793f7367");
}
