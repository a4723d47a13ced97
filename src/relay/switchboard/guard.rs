//! Which calls clients may place: the number's form, its beginning, and how many a second.
//!
//! In: a number and the time. Out: yes, or the refusal to tell the client. Toll fraud is what it is against.

use std::time::Instant;

use super::super::message::TransferTarget;
use crate::config::NumberPattern;

/// What is allowed.
#[derive(Debug, Clone)]
pub struct DialRules {
    /// The form of a number.
    pub pattern: NumberPattern,
    /// What numbers begin with; empty: anything.
    pub prefixes: Vec<String>,
    /// Calls per second; `None`: any.
    pub rate: Option<u32>,
}

/// Why a call cannot be taken or placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// A SIP status.
    pub status: u16,
    /// Its phrase.
    pub reason: &'static str,
    /// A stable word for it, for metrics and logs.
    pub label: &'static str,
}

/// Applies the rules. The rate is a bucket that holds one second's calls.
pub struct DialGuard {
    rules: DialRules,
    tokens: f64,
    filled: Option<Instant>,
}

impl DialGuard {
    pub fn new(rules: DialRules) -> Self {
        Self { tokens: rules.rate.map_or(0.0, f64::from), rules, filled: None }
    }

    /// Checks one number; a number that may be called counts.
    pub fn check(&mut self, phone: &str, now: Instant) -> Result<(), Refusal> {
        if !self.rules.pattern.matches(phone) {
            return Err(BAD_NUMBER);
        }
        self.check_prefix(phone)?;
        self.take_token(now)
    }

    /// Checks whom a far end may be asked to call: a number like one that is called from here, or a URI whose user part
    /// begins as a number has to.
    pub fn check_transfer(&mut self, target: String, now: Instant) -> Result<TransferTarget, Refusal> {
        match target_of(target) {
            TransferTarget::Phone(phone) => {
                self.check(&phone, now)?;
                Ok(TransferTarget::Phone(phone))
            }
            TransferTarget::Uri(uri) => {
                let parsed = sip::msg::Uri::parse(&uri).map_err(|_| BAD_NUMBER)?;
                if parsed.host.to_string().is_empty() {
                    return Err(BAD_NUMBER);
                }
                self.check_prefix(&parsed.user_unescaped().unwrap_or_default())?;
                self.take_token(now)?;
                Ok(TransferTarget::Uri(uri))
            }
        }
    }

    fn check_prefix(&self, phone: &str) -> Result<(), Refusal> {
        let prefixes = &self.rules.prefixes;
        if !prefixes.is_empty() && !prefixes.iter().any(|prefix| phone.starts_with(prefix)) {
            return Err(Refusal { status: 403, reason: "Forbidden", label: "forbidden" });
        }
        Ok(())
    }

    fn take_token(&mut self, now: Instant) -> Result<(), Refusal> {
        let Some(rate) = self.rules.rate.map(f64::from) else { return Ok(()) };
        let since = self.filled.replace(now).map_or(0.0, |filled| now.duration_since(filled).as_secs_f64());
        self.tokens = (self.tokens + since * rate).min(rate);
        if self.tokens < 1.0 {
            return Err(Refusal { status: 503, reason: "Too Many Calls Per Second", label: "call-rate" });
        }
        self.tokens -= 1.0;
        Ok(())
    }
}

/// What the target of a transfer is: `sip:` and `sips:` begin a URI, anything else is a number.
pub fn target_of(target: String) -> TransferTarget {
    let scheme = target.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("sip" | "sips") => TransferTarget::Uri(target),
        _ => TransferTarget::Phone(target),
    }
}

const BAD_NUMBER: Refusal = Refusal { status: 484, reason: "Address Incomplete", label: "bad-number" };

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn guard(prefixes: &[&str], rate: Option<u32>) -> DialGuard {
        let pattern = NumberPattern::new(r"^\+?[0-9]{7,15}$").expect("a pattern");
        let prefixes = prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
        DialGuard::new(DialRules { pattern, prefixes, rate })
    }

    fn status(result: Result<(), Refusal>) -> u16 {
        result.map_or_else(|refusal| refusal.status, |()| 200)
    }

    #[test]
    fn number_outside_the_prefixes_is_forbidden() {
        let now = Instant::now();
        let mut guard = guard(&["+8862", "09"], None);
        assert_eq!(status(guard.check("0912341234", now)), 200);
        assert_eq!(status(guard.check("+886212345678", now)), 200);
        assert_eq!(status(guard.check("+8821234567", now)), 403);
        assert_eq!(status(guard.check("09", now)), 484, "the form is checked first");
    }

    #[test]
    fn one_second_of_calls_may_come_at_once_and_then_one_by_one() {
        let start = Instant::now();
        let mut guard = guard(&[], Some(2));
        let mut at = |ms| status(guard.check("0912341234", start + Duration::from_millis(ms)));
        assert_eq!([at(0), at(0), at(0)], [200, 200, 503]);
        assert_eq!([at(499), at(500), at(501)], [503, 200, 503]);
        assert_eq!([at(10_000), at(10_000), at(10_000)], [200, 200, 503]);
    }

    #[test]
    fn transfer_obeys_the_rules_for_numbers_and_a_uri_those_for_their_beginning() {
        let now = Instant::now();
        let mut guard = guard(&["09"], Some(3));
        let mut at = |target: &str| {
            guard.check_transfer(target.to_owned(), now).map_or_else(|refusal| refusal.status, |_| 200)
        };
        assert_eq!([at("0912341234"), at("12"), at("0812341234")], [200, 484, 403]);
        assert_eq!([at("sip:0912@10.0.0.7"), at("SIPS:%30%39@h"), at("sip:0812@10.0.0.7")], [200, 200, 403]);
        assert_eq!([at("sip:10.0.0.7"), at("sip:"), at("tel:0912341234")], [403, 484, 484]);
        assert_eq!(at("0912341234"), 503, "transfers count as calls");
    }
}
