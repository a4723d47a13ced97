//! The invariants of docs/protocol.md (I1 to I10) as a checker over what one client saw.
//!
//! In: everything a client received, in order. Out: a sentence for each rule that was broken. Knows no call but those in
//! the log; a classic `CALL_FAILED` has no call id and is matched by the `CALL_IGNORE` before it, else by exclusion.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ws::Incoming;

/// What one client saw from its connection on.
#[derive(Debug, Clone)]
pub struct EventLog {
    /// It had multi mode at some time: the words of multi are allowed.
    pub multi: bool,
    /// It had classic or hex mode at some time: focus is announced again, audio has no call id.
    pub focus: bool,
    /// Everything received, in order.
    pub messages: Vec<Incoming>,
    /// Calls may still be in progress at the end: the client left before they ended.
    pub open: bool,
}

pub struct Invariants;

impl Invariants {
    /// Fails with every broken rule, and the signalling of the log.
    pub fn check(log: &EventLog) {
        let broken = Self::violations(log);
        let signals: Vec<&Incoming> = log.messages.iter().filter(|m| !m.is_rtp()).collect();
        assert!(broken.is_empty(), "invariants broken: {broken:#?}\nall signalling: {signals:#?}");
    }

    /// A sentence for each broken rule.
    pub fn violations(log: &EventLog) -> Vec<String> {
        let mut state = State {
            log,
            calls: BTreeMap::new(),
            focus: None,
            ignored: None,
            rang_last: None,
            failed: 0,
            broken: vec![],
        };
        for message in &log.messages {
            state.message(message);
        }
        state.end();
        state.broken
    }
}

/// How far a call has come in the log.
#[derive(Debug, Default)]
struct Seen {
    rang: bool,
    up: bool,
    /// The verb that ended it.
    over: Option<&'static str>,
}

struct State<'a> {
    log: &'a EventLog,
    calls: BTreeMap<String, Seen>,
    focus: Option<String>,
    /// The call of a CALL_IGNORE that was the last signalling message.
    ignored: Option<String>,
    /// The call of a RING_ANS that was the last signalling message.
    rang_last: Option<String>,
    /// CALL_FAILED without a call id and without a CALL_IGNORE before it.
    failed: usize,
    broken: Vec<String>,
}

impl State<'_> {
    fn rule(&mut self, holds: bool, rule: &str, text: &str) {
        if !holds {
            self.broken.push(format!("{rule}: {text}"));
        }
    }

    fn message(&mut self, message: &Incoming) {
        let text = match message {
            Incoming::Text(text) => text.as_str(),
            Incoming::Binary(_) => return self.rule(self.log.multi, "binary outside of multi", ""),
            Incoming::Pong(_) => return,
            Incoming::Closed(code) => {
                let known = matches!(code, Some(1001 | 1008 | 1009));
                return self.rule(known, "I10: no input closes a connection", &format!("closed {code:?}"));
            }
        };
        self.rule(!text.contains(['\r', '\n', '\0']), "one line a message", text);
        if message.is_rtp() {
            return self.audio(text);
        }
        let ignored = self.ignored.take();
        let follows = ignored.is_none() || text.starts_with("CALL_FAILED:");
        self.rule(follows, "I3: CALL_IGNORE is followed by CALL_FAILED", text);
        let (verb, rest) = text.split_once(':').unwrap_or((text, ""));
        let rang_last = self.rang_last.take();
        match verb {
            "RING_ANS" => self.ringing(rest),
            "CALL_ANS" => self.up(rest),
            "CALL_IGNORE" => {
                self.id(rest);
                let waiting = !self.call(rest).up && self.call(rest).over.is_none();
                self.rule(waiting, "I3: CALL_IGNORE of a call that waits for an answer", text);
                self.ignored = Some(rest.to_owned());
            }
            "CALL_FAILED" => self.failed(rest, ignored),
            "RING_IGNORE" => self.over(rest, "RING_IGNORE"),
            "BYE" => self.over(rest, "BYE"),
            "CALLING" => {
                let call = self.phone_and_id(rest);
                self.multi_only(text);
                let fresh = !self.calls.contains_key(&call);
                self.rule(fresh, "CALLING comes first", text);
                self.call(&call);
            }
            "CALLED" => {
                self.multi_only(text);
                let (id, number) = rest.split_once("##").unwrap_or((rest, ""));
                let formed = !number.is_empty() && !number.contains([':', '#', ' ']);
                self.rule(formed, "CALLED:{call-id}##{number}", text);
                self.rule(rang_last.as_deref() == Some(id), "CALLED comes right after RING_ANS", text);
            }
            "DTMF" | "SPEECH" | "BARGE_IN" | "MARK" | "XOFF" | "XON" | "HOLD" | "RESUME" | "TRANSFER" => {
                self.multi_only(text);
                let call = rest.split("##").next().unwrap_or_default().to_owned();
                let in_progress = self.call(&call).up && self.call(&call).over.is_none();
                self.rule(in_progress, "I1: events of a call come while it is up", text);
            }
            "ERROR" => {
                self.multi_only(text);
                let (what, verb) = rest.split_once("##").unwrap_or((rest, ""));
                let formed = status(what).is_some() && !verb.contains("##");
                self.rule(formed, "ERROR:{status} {text}##{verb}", text);
            }
            "PONG" => self.multi_only(text),
            _ => self.rule(false, "unknown word", text),
        }
    }

    fn call(&mut self, id: &str) -> &mut Seen {
        self.calls.entry(id.to_owned()).or_default()
    }

    fn multi_only(&mut self, text: &str) {
        self.rule(self.log.multi, "a word of multi on another connection", text);
    }

    fn id(&mut self, id: &str) {
        let plain = !id.is_empty() && !id.contains([':', '#', ' ']);
        self.rule(plain, "a call id is encoded", id);
    }

    fn phone_and_id(&mut self, rest: &str) -> String {
        let (phone, id) = rest.split_once("##").unwrap_or((rest, ""));
        self.rule(!phone.is_empty(), "{phone}##{call-id}", rest);
        self.id(id);
        id.to_owned()
    }

    fn ringing(&mut self, rest: &str) {
        let id = self.phone_and_id(rest);
        let Seen { rang, up, over } = std::mem::take(self.call(&id));
        self.rule(!rang && !up && over.is_none(), "I1: RING_ANS once, and first", rest);
        *self.call(&id) = Seen { rang: true, up, over };
        self.rang_last = Some(id);
    }

    fn up(&mut self, id: &str) {
        self.id(id);
        let Seen { up: again, over, .. } = *self.call(id);
        self.rule(over.is_none(), "I1: nothing after the end", &format!("CALL_ANS:{id}"));
        self.rule(!again || self.log.focus, "I1: CALL_ANS once", id);
        self.call(id).up = true;
        self.focus = Some(id.to_owned());
    }

    fn over(&mut self, id: &str, verb: &'static str) {
        self.id(id);
        let Seen { up, over, .. } = *self.call(id);
        self.rule(over.is_none(), "I1: one end", &format!("{verb}:{id} after {over:?}"));
        self.rule(up == (verb == "BYE"), "I2, I4: BYE if and only if it was up", &format!("{verb}:{id}"));
        self.call(id).over = Some(verb);
        if self.focus.as_deref() == Some(id) {
            self.focus = None;
        }
    }

    fn failed(&mut self, rest: &str, ignored: Option<String>) {
        let (what, id) = rest.split_once("##").map_or((rest, None), |(what, id)| (what, Some(id.to_owned())));
        self.rule(status(what).is_some(), "CALL_FAILED:{status} {reason}", rest);
        if let (Some(ignored), Some(id)) = (&ignored, &id) {
            self.rule(ignored == id, "I3: CALL_IGNORE and CALL_FAILED of one call", rest);
        }
        if id.is_some() {
            self.multi_only(rest);
        }
        match id.or(ignored) {
            Some(id) => self.over(&id, "CALL_FAILED"),
            None => self.failed += 1,
        }
    }

    fn audio(&mut self, text: &str) {
        let rest = text.strip_prefix("RTP:").unwrap_or_default();
        match rest.split_once("##") {
            Some((id, audio)) if self.calls.contains_key(id) => {
                let decoded = STANDARD.decode(audio).is_ok_and(|pcm| pcm.len() == 320);
                self.rule(decoded, "RTP:{call-id}##{base64 of 20 ms}", text);
                let playing = self.call(id).up && self.call(id).over.is_none();
                self.rule(playing && self.log.multi, "I6: RTP of a call that is up", id);
            }
            _ if !self.log.focus => self.rule(false, "I6: RTP of a call that was announced", text),
            classic => {
                let hex = classic.map_or(rest, |(_, hex)| hex);
                let payload_type = classic.is_none_or(|(pt, _)| pt.parse::<u8>().is_ok_and(|pt| pt < 128));
                let lower = hex.len() % 2 == 0 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                self.rule(payload_type && lower, "RTP:{pt}##{hex} or RTP:{hex}", text);
                self.rule(self.focus.is_some(), "I6: RTP only while there is a focus call", text);
            }
        }
    }

    fn end(&mut self) {
        let unfinished: Vec<String> = self
            .calls
            .iter()
            .filter(|(_, c)| c.over.is_none())
            .map(|(id, c)| format!("{id} {c:?}"))
            .collect();
        let up = self.calls.values().filter(|c| c.over.is_none() && c.up).count();
        let anonymous = unfinished.len() - up <= self.failed && up == 0;
        let ended = self.log.open || anonymous;
        self.rule(
            ended,
            "I2 to I5: every call ends",
            &format!("{unfinished:?}, {} CALL_FAILED", self.failed),
        );
    }
}

/// `{status} {reason}`
fn status(text: &str) -> Option<u16> {
    let (status, reason) = text.split_once(' ')?;
    (status.len() == 3 && !reason.is_empty()).then(|| status.parse().ok())?
}
