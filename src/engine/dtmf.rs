//! A key of the far end's telephone, as programs hear of it.

use std::time::Duration;

/// A key that the far end pressed (RFC 4733).
///
/// ```
/// # use sip_relay::client::DtmfEvent;
/// fn describe(event: &DtmfEvent) -> String {
///     format!("DTMF digit: {}, duration: {}ms", event.digit, event.duration_ms)
/// }
/// # let event = DtmfEvent { digit: '5', duration_ms: 160.0, confidence: 1.0 };
/// # assert_eq!(describe(&event), "DTMF digit: 5, duration: 160ms");
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DtmfEvent {
    /// `0`-`9`, `*`, `#`, `A`-`D`.
    pub digit: char,
    /// How long it was held, milliseconds.
    pub duration_ms: f64,
    /// How sure it is: always 1.0, since keys come as events and not as tones.
    pub confidence: f64,
}

impl DtmfEvent {
    /// A key that was held for this long.
    pub(crate) fn new(digit: char, duration: Duration) -> Self {
        Self { digit, duration_ms: duration.as_secs_f64() * 1e3, confidence: 1.0 }
    }
}
