//! A provider's side of a call to the gateway, without a provider: what Telnyx or Twilio do when their telephone rings.
//!
//! In: where the gateway is, and what the caller says. Out: lines of text about every step, and whether it went well. It
//! knows nothing of the gateway but its three routes, `/health`, the webhook and the media socket.
//!
//! ```text
//!   StreamCall ── GET /health, POST webhook ──▶ steps      what the gateway answers
//!              ══ WebSocket ══▶ caller ── Line (messages of one provider, pure)
//!                                     └── Playout (marks, pure)
//! ```

mod caller;
mod line;
mod playout;
mod steps;

use bytes::Bytes;
use stream::{Provider, signature::twilio};

use self::{caller::CallReport, line::Line};
use crate::config::Secret;

/// A call to place.
#[derive(Debug, Clone)]
pub struct StreamCall {
    /// A name or an address, IPv6 in brackets.
    pub host: String,
    /// The TCP port of the gateway.
    pub port: u16,
    /// Whom to play.
    pub provider: Provider,
    /// The number called.
    pub did: String,
    /// Who calls.
    pub caller: String,
    /// What he says.
    pub says: Says,
    /// Go to the media socket at once. A gateway that wants the token of a webhook then refuses.
    pub skip_webhook: bool,
    /// Sign as Twilio does; Telnyx's key nobody else has.
    pub signature: Option<TwilioSignature>,
}

/// By what Twilio's signature is made.
#[derive(Debug, Clone)]
pub struct TwilioSignature {
    /// The account's token, which the gateway has too.
    pub auth_token: Secret,
    /// The media socket's URL as the gateway knows it; its webhook's has the same origin.
    pub ws_url: String,
}

/// What a caller says.
#[derive(Debug, Clone)]
pub enum Says {
    /// So many frames of 20 ms of a 440 Hz tone.
    Tone(u32),
    /// Linear PCM, 16 bit, little-endian, 16000 Hz.
    Audio(Bytes),
}

impl StreamCall {
    /// Places the call and tells `say` of every step, line by line. True: everything went well. Must run inside a tokio
    /// runtime with a clock.
    pub async fn run(&self, say: &mut dyn FnMut(&str)) -> bool {
        self.title(say);
        let passed = self.steps(say).await;
        say("");
        say(RULE);
        say(if passed { "ALL TESTS PASSED" } else { "SOME TESTS FAILED" });
        say(RULE);
        if passed {
            let Self { port, provider, .. } = self;
            say("");
            say("Next steps:");
            say(&format!(
                "  1. Make the gateway reachable: cloudflared tunnel --url http://localhost:{port}"
            ));
            say(&format!("  2. Point the number's webhook at it: POST https://.../sip/{provider}/answer"));
            say("  3. Call the number from a real phone");
        }
        passed
    }

    async fn steps(&self, say: &mut dyn FnMut(&str)) -> bool {
        let base = format!("http://{}:{}", self.host, self.port);
        let url = format!("{base}/health");
        headline(say, &format!("STEP 0: GET {url}"), &[]);
        match steps::health(&url).await {
            Ok(health) => {
                say(&format!("  Status: {}", health.status));
                say(&format!("  DIDs:   {}", health.dids));
                say(&format!("  Ollama: {}", health.ollama));
                say("  ✓ Server is healthy");
            }
            Err(error) => {
                say(&format!("  ✗ {error}"));
                say("    Is the gateway running? Start it with: sip-voice-server --port <port>");
                return false;
            }
        }
        let mut line = Line::new(self.provider, &self.caller, &self.did);
        let answered = self.skip_webhook || self.webhook(&base, &mut line, say).await;
        if !answered {
            say("");
            say("The webhook failed. The media socket is tried all the same.");
        }
        let connected = self.media(line, say).await;
        answered && connected
    }

    /// Asks what to do with the call, and keeps what the answer has for the stream.
    async fn webhook(&self, base: &str, line: &mut Line, say: &mut dyn FnMut(&str)) -> bool {
        let url = format!("{base}/sip/{}/answer", self.provider);
        let whose = format!("  From: {}  →  To: {}", self.caller, self.did);
        headline(say, &format!("STEP 1: POST {url}"), &[&whose]);
        let form = line.form();
        let signature = self.signature.as_ref().map(|signature| signature.of_webhook(&form));
        let answer = match steps::webhook(&url, &form, signature).await {
            Ok(answer) => answer,
            Err(error) => {
                say(&format!("  ✗ {error}"));
                return false;
            }
        };
        say(&format!("  Status: {}", answer.status));
        say(&format!("  Content-Type: {}", answer.content_type));
        say("  Body:");
        answer.body.trim().lines().for_each(|text| say(&format!("    {text}")));
        if answer.is_stream() {
            say("  ✓ The webhook answers with <Stream>: the call would be connected");
            line.set_answer(answer.parameters(), answer.codec());
            return true;
        }
        if answer.is_hangup() {
            say("  ✗ The webhook answers with <Hangup>: the number is not configured");
            say(&format!("    Is {} in sip_config.yaml?", self.did));
        } else {
            say("  ✗ Not an answer to a call");
        }
        false
    }

    async fn media(&self, line: Line, say: &mut dyn FnMut(&str)) -> bool {
        let url = format!("ws://{}:{}{MEDIA_PATH}", self.host, self.port);
        let whom = format!("  A media stream of {}", if line.is_twilio() { "Twilio" } else { "Telnyx" });
        headline(say, &format!("STEP 2: WebSocket {url}"), &[&whom]);
        let signature = self.signature.as_ref().map(TwilioSignature::of_upgrade);
        match caller::talk((&url, signature), line, &self.says, say).await {
            Ok(report) => {
                self.summary(&report, say);
                say("");
                say("  → Sent: stop");
                say("  ✓ WebSocket session completed successfully");
                true
            }
            Err(error) => {
                say(&format!("  ✗ {error}"));
                false
            }
        }
    }

    fn summary(&self, report: &CallReport, say: &mut dyn FnMut(&str)) {
        say("");
        say("  Summary:");
        say(&format!("    Frames sent:     {}", report.sent));
        say(&format!("    Frames received: {}", report.received));
        say(&format!("    Bytes sent:      {}", report.sent_bytes));
        say(&format!("    Bytes received:  {}", report.received_bytes));
        if let Some(first) = report.first_after {
            say(&format!("    First audio:     {} ms after ours", first.as_millis()));
        }
        if report.marks > 0 || report.clears > 0 {
            say(&format!("    Marks, clears:   {}, {}", report.marks, report.clears));
        }
        let (received, sent) = (report.received, report.sent);
        say(&match (&self.says, report.received) {
            (_, 0) => "    ⚠ No echo responses received (server may use a non-echo handler)".to_owned(),
            (Says::Audio(_), _) => format!("    ✓ Server sent {received} frames"),
            (Says::Tone(_), _) if report.heard.tone() => {
                format!("    ✓ Echo mode working — server echoed {received}/{sent} frames")
            }
            (Says::Tone(_), _) => format!("    ✓ Server sent {received} frames, the tone was not among them"),
        });
    }

    fn title(&self, say: &mut dyn FnMut(&str)) {
        let frames = match &self.says {
            Says::Tone(frames) => u64::from(*frames),
            Says::Audio(audio) => (audio.len() as u64).div_ceil(line::LINEAR_FRAME as u64),
        };
        say("╔══════════════════════════════════════════════════════════╗");
        say("║         sip-voice-transport: Simulated Call Test         ║");
        say("╠══════════════════════════════════════════════════════════╣");
        for (name, value) in [
            ("Server:", format!("http://{}:{}", self.host, self.port)),
            ("DID:", self.did.clone()),
            ("Caller:", self.caller.clone()),
            ("Frames:", frames.to_string()),
        ] {
            say(&format!("║  {name:<8} {value:<46} ║"));
        }
        say("╚══════════════════════════════════════════════════════════╝");
    }
}

impl TwilioSignature {
    fn of_webhook(&self, form: &[(&str, &str)]) -> String {
        let form: Vec<_> = form.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let base = self.ws_url.find(MEDIA_PATH).map_or(self.ws_url.as_str(), |end| &self.ws_url[..end]);
        // wss becomes https, ws http.
        let url = format!("{}/sip/twilio/answer", base.replacen("ws", "http", 1));
        twilio::sign(self.auth_token.expose(), &url, &form)
    }

    fn of_upgrade(&self) -> String {
        twilio::sign_upgrade(self.auth_token.expose(), &self.ws_url)
    }
}

fn headline(say: &mut dyn FnMut(&str), headline: &str, details: &[&str]) {
    say("");
    say(RULE);
    say(headline);
    details.iter().for_each(|detail| say(detail));
    say(RULE);
}

const MEDIA_PATH: &str = "/sip/media-stream";
const RULE: &str = "============================================================";
