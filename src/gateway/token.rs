//! `Tokens` ties a media stream to the webhook that announced it.
//!
//! In: what a webhook said of a call, and the time. Out: a token that goes into the answer's XML, and what it stands for
//! when a stream shows it: once, within [`LIFETIME`]. So somebody who only knows the socket's address has no stream.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

/// What a webhook said of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// `telnyx` or `twilio`.
    pub provider: &'static str,
    /// `From`.
    pub caller_id: String,
    /// `To`.
    pub did: String,
    /// `CallSid`.
    pub call_sid: String,
}

/// Why a stream's token is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none.
    #[error("the stream shows no token")]
    Missing,
    /// It was never given out, it was used, or it is too old.
    #[error("the stream's token is unknown, used or too old")]
    Unknown,
    /// It was given out for another call.
    #[error("the stream's token is another call's")]
    OtherCall,
}

/// The tokens that were given out and not shown yet.
#[derive(Debug, Default)]
pub struct Tokens {
    waiting: HashMap<String, (Instant, Announced)>,
    /// In the order of their end. A token that was used is still here until then.
    order: VecDeque<(Instant, String)>,
}

impl Tokens {
    /// Keeps `announced` under `token`, 128 unpredictable bits or more. Where [`CAPACITY`] tokens wait, the oldest goes.
    pub fn issue(&mut self, now: Instant, token: String, announced: Announced) {
        self.forget(now);
        if self.order.len() >= CAPACITY
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.waiting.remove(&oldest);
        }
        let until = now + LIFETIME;
        self.order.push_back((until, token.clone()));
        self.waiting.insert(token, (until, announced));
    }

    /// What `token` stands for. `provider` and `call_sid` are what the stream says of itself, the latter empty where it
    /// says nothing that could be compared.
    pub fn redeem(
        &mut self,
        now: Instant,
        token: Option<&str>,
        provider: &str,
        call_sid: &str,
    ) -> Result<Announced, TokenError> {
        self.forget(now);
        let token = token.filter(|token| !token.is_empty()).ok_or(TokenError::Missing)?;
        // Whoever shows it for another call has had it: it is used up in any case.
        let (_, announced) = self.waiting.remove(token).ok_or(TokenError::Unknown)?;
        let other_call =
            !call_sid.is_empty() && !announced.call_sid.is_empty() && announced.call_sid != call_sid;
        if other_call || announced.provider != provider {
            return Err(TokenError::OtherCall);
        }
        Ok(announced)
    }

    /// Tokens that wait, used ones included until their time is over.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.order.len()
    }

    fn forget(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, token)) = self.order.pop_front() {
                self.waiting.remove(&token);
            }
        }
    }
}

/// How long a provider may take from the webhook to the stream.
pub const LIFETIME: Duration = Duration::from_secs(60);
/// Tokens that wait at most: 166 calls a second.
pub const CAPACITY: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(call_sid: &str) -> Announced {
        Announced {
            provider: "twilio",
            caller_id: "+1".to_owned(),
            did: "+2".to_owned(),
            call_sid: call_sid.to_owned(),
        }
    }

    #[test]
    fn token_is_good_once() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        tokens.issue(now, "t".to_owned(), announced("CA1"));
        assert_eq!(tokens.redeem(now, Some("x"), "twilio", "CA1"), Err(TokenError::Unknown));
        assert_eq!(tokens.redeem(now, Some("t"), "twilio", "CA1"), Ok(announced("CA1")));
        assert_eq!(tokens.redeem(now, Some("t"), "twilio", "CA1"), Err(TokenError::Unknown));
    }

    #[test]
    fn token_ends_after_a_minute() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        tokens.issue(now, "a".to_owned(), announced(""));
        tokens.issue(now, "b".to_owned(), announced(""));
        let last_moment = now + LIFETIME - Duration::from_millis(1);
        assert!(tokens.redeem(last_moment, Some("a"), "twilio", "").is_ok());
        assert_eq!(tokens.redeem(now + LIFETIME, Some("b"), "twilio", ""), Err(TokenError::Unknown));
        assert_eq!((tokens.len(), tokens.waiting.len()), (0, 0));
    }

    #[test]
    fn token_of_another_call_or_provider_is_refused_and_used_up() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        for (provider, call_sid) in [("twilio", "CA2"), ("telnyx", "CA1")] {
            tokens.issue(now, "t".to_owned(), announced("CA1"));
            assert_eq!(tokens.redeem(now, Some("t"), provider, call_sid), Err(TokenError::OtherCall));
            assert_eq!(tokens.redeem(now, Some("t"), "twilio", "CA1"), Err(TokenError::Unknown));
        }
        for none in [None, Some("")] {
            assert_eq!(tokens.redeem(now, none, "twilio", ""), Err(TokenError::Missing));
        }
    }

    #[test]
    fn table_is_bounded_and_the_oldest_goes() {
        let (mut tokens, now) = (Tokens::default(), Instant::now());
        for n in 0..CAPACITY + 5 {
            tokens.issue(now, n.to_string(), announced(""));
            // Used ones must not let the table grow either.
            if n % 2 == 0 {
                assert!(tokens.redeem(now, Some(&n.to_string()), "twilio", "").is_ok());
            }
        }
        assert_eq!(tokens.len(), CAPACITY);
        assert!(tokens.waiting.len() <= CAPACITY);
        assert_eq!(tokens.redeem(now, Some("3"), "twilio", ""), Err(TokenError::Unknown));
        assert!(tokens.redeem(now, Some("5"), "twilio", "").is_ok());
    }
}
