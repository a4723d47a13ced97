//! The documents that answer a provider's webhook for an incoming call: TeXML (Telnyx) and TwiML (Twilio).

use std::fmt::Write;

use crate::format::MediaFormat;

/// What a provider asks for with a number that nobody has configured: says so and hangs up.
pub const NOT_CONFIGURED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Response>
  <Say>This number is not configured.</Say>
  <Hangup/>
</Response>
"#;

/// Telnyx: streams the call to `url` both ways, and keeps it up for an hour. What it takes from us is L16 at 16000 Hz.
///
/// `parameters`: name and value of what `start` is to carry, as `caller_id`, `did` and a token. Everything is
/// escaped; a character that XML has no way to say becomes U+FFFD.
pub fn texml(url: &str, parameters: &[(&str, &str)]) -> String {
    texml_with(url, MediaFormat::L16_16000, parameters)
}

/// The same, with another [format](crate::SessionConfig::telnyx_outbound) of what Telnyx takes from us.
pub fn texml_with(url: &str, outbound: MediaFormat, parameters: &[(&str, &str)]) -> String {
    let mut document = String::from(DECLARATION);
    document.push_str("<Response>\n  <Start>\n    <Stream url=\"");
    push_escaped(&mut document, url);
    let MediaFormat { encoding, rate, .. } = outbound;
    let _ = write!(
        document,
        r#""
            track="inbound_track"
            bidirectionalMode="rtp"
            bidirectionalCodec="{encoding}"
            bidirectionalSamplingRate="{rate}">
"#,
    );
    push_parameters(&mut document, parameters);
    document.push_str("    </Stream>\n  </Start>\n  <Pause length=\"3600\"/>\n</Response>\n");
    document
}

/// Twilio: streams the call to `url` both ways until the stream is closed. `parameters` as of [`texml`].
pub fn twiml(url: &str, parameters: &[(&str, &str)]) -> String {
    let mut document = String::from(DECLARATION);
    document.push_str("<Response>\n  <Connect>\n    <Stream url=\"");
    push_escaped(&mut document, url);
    document.push_str("\">\n");
    push_parameters(&mut document, parameters);
    document.push_str("    </Stream>\n  </Connect>\n</Response>\n");
    document
}

fn push_parameters(document: &mut String, parameters: &[(&str, &str)]) {
    for (name, value) in parameters {
        document.push_str("      <Parameter name=\"");
        push_escaped(document, name);
        document.push_str("\" value=\"");
        push_escaped(document, value);
        document.push_str("\"/>\n");
    }
}

/// The value of an attribute (XML 1.0 §2.2, §2.3, §3.3.3).
fn push_escaped(document: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '&' => document.push_str("&amp;"),
            '<' => document.push_str("&lt;"),
            '>' => document.push_str("&gt;"),
            '"' => document.push_str("&quot;"),
            '\'' => document.push_str("&apos;"),
            // Written as themselves they would become spaces.
            '\t' | '\n' | '\r' => {
                let _ = write!(document, "&#{};", c as u32);
            }
            c if c < ' ' || c == '\u{fffe}' || c == '\u{ffff}' => document.push(char::REPLACEMENT_CHARACTER),
            c => document.push(c),
        }
    }
}

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMETERS: [(&str, &str); 2] = [("caller_id", "+15125559999"), ("did", "+15125551234")];

    #[test]
    fn texml_asks_for_a_stream_both_ways_and_waits() {
        assert_eq!(
            texml("wss://voice.example.com/sip/media-stream", &PARAMETERS),
            r#"<?xml version="1.0" encoding="UTF-8"?>
<Response>
  <Start>
    <Stream url="wss://voice.example.com/sip/media-stream"
            track="inbound_track"
            bidirectionalMode="rtp"
            bidirectionalCodec="L16"
            bidirectionalSamplingRate="16000">
      <Parameter name="caller_id" value="+15125559999"/>
      <Parameter name="did" value="+15125551234"/>
    </Stream>
  </Start>
  <Pause length="3600"/>
</Response>
"#
        );
    }

    #[test]
    fn texml_may_ask_for_another_codec() {
        let document = texml_with("wss://h/", MediaFormat::MULAW_8000, &[]);
        assert!(document.contains(r#"bidirectionalCodec="PCMU""#), "{document}");
        assert!(document.contains(r#"bidirectionalSamplingRate="8000""#), "{document}");
    }

    #[test]
    fn twiml_connects_and_does_nothing_else() {
        assert_eq!(
            twiml(
                "wss://voice.example.com/sip/media-stream",
                &[PARAMETERS[0], PARAMETERS[1], ("token", "a1")]
            ),
            r#"<?xml version="1.0" encoding="UTF-8"?>
<Response>
  <Connect>
    <Stream url="wss://voice.example.com/sip/media-stream">
      <Parameter name="caller_id" value="+15125559999"/>
      <Parameter name="did" value="+15125551234"/>
      <Parameter name="token" value="a1"/>
    </Stream>
  </Connect>
</Response>
"#
        );
    }

    #[test]
    fn values_of_a_caller_stay_values() {
        let document = twiml("wss://h/?a=1&b=2", &[("caller_id", "+1<&\"'>\n\u{1}é")]);
        assert!(document.contains(r#"url="wss://h/?a=1&amp;b=2""#), "{document}");
        assert!(document.contains("value=\"+1&lt;&amp;&quot;&apos;&gt;&#10;\u{fffd}é\"/>"), "{document}");
    }
}
