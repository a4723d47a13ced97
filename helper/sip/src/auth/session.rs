//! `AuthSession` remembers which challenges a request has answered and decides whether another attempt makes sense.

use super::challenge::{Algorithm, Challenge};
use super::digest::{DigestInput, authorization};
use crate::ua::Credentials;

/// Who asked for credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengedBy {
    /// 401 with WWW-Authenticate, answered by Authorization.
    Server,
    /// 407 with Proxy-Authenticate, answered by Proxy-Authorization.
    Proxy,
}

/// Another attempt is useless: the credentials were refused, or nothing in the challenge can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GiveUp;

#[derive(Debug)]
struct Answer {
    by: ChallengedBy,
    challenge: Challenge,
    nonce_count: u32,
    /// From an earlier request: nobody has asked for it in this one.
    reused: bool,
}

impl Answer {
    /// Whether this challenge only replaces a nonce that had become too old.
    fn renews(&self, earlier: &Self) -> bool {
        self.challenge.stale && self.challenge.nonce != earlier.challenge.nonce
    }
}

/// The credentials of a call and every challenge that it has answered so far.
#[derive(Debug)]
pub struct AuthSession {
    credentials: Credentials,
    answers: Vec<Answer>,
    attempts: u8,
}

/// Attempts of one request; a 407, a 401 and a stale nonce for each fit.
const MAX_ATTEMPTS: u8 = 5;

/// Protection spaces that one request may pass through.
const MAX_REALMS: usize = 4;

impl AuthSession {
    /// A session that has answered nothing yet.
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, answers: Vec::new(), attempts: 0 }
    }

    /// A session with the same credentials for a request of its own, which others may overtake.
    pub fn fork(&self) -> Self {
        Self::new(self.credentials.clone())
    }

    /// Takes the challenge headers of a 401 or 407. After `Ok` the request may be sent again with the
    /// [`headers`](Self::headers).
    ///
    /// A realm that was answered before and asks again has refused the credentials, unless it calls the nonce stale and
    /// gives another one (RFC 3261 §22.2, RFC 7616 §3.3).
    pub fn challenged<'a>(
        &mut self,
        by: ChallengedBy,
        values: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), GiveUp> {
        self.attempts += 1;
        if self.attempts > MAX_ATTEMPTS {
            return Err(GiveUp);
        }
        let mut offered: Vec<Challenge> = Vec::new();
        for challenge in values.into_iter().flat_map(Challenge::parse_all) {
            match offered.iter_mut().find(|other| other.realm == challenge.realm) {
                Some(other) if challenge.algorithm > other.algorithm => *other = challenge,
                Some(_) => {}
                None => offered.push(challenge),
            }
        }
        if offered.is_empty() {
            return Err(GiveUp);
        }
        for challenge in offered {
            let known = self.answers.iter().position(|a| a.by == by && a.challenge.realm == challenge.realm);
            let mut fresh = Answer { by, challenge, nonce_count: 0, reused: false };
            match known {
                Some(at) if fresh.renews(&self.answers[at]) || self.answers[at].reused => {
                    if fresh.challenge.nonce == self.answers[at].challenge.nonce {
                        fresh.nonce_count = self.answers[at].nonce_count;
                    }
                    self.answers[at] = fresh;
                }
                Some(_) => return Err(GiveUp),
                None if self.answers.len() == MAX_REALMS => return Err(GiveUp),
                None => self.answers.push(fresh),
            }
        }
        Ok(())
    }

    /// A new request begins: refusals of earlier ones do not count against it.
    pub fn next_request(&mut self) {
        self.attempts = 0;
        self.answers.clear();
    }

    /// A new request begins, and tries the answers of the last one before it is challenged: a round trip less while the
    /// server's nonces live. An answer that is refused then counts as not given.
    pub fn reuse(&mut self) {
        self.attempts = 0;
        // A session key belongs to the client nonce that it was made with (RFC 7616 §3.4.2).
        let session = |algorithm| matches!(algorithm, Algorithm::Md5Sess | Algorithm::Sha256Sess);
        self.answers.retain(|answer| !session(answer.challenge.algorithm));
        self.answers.iter_mut().for_each(|answer| answer.reused = true);
    }

    /// The header names and values for the next attempt.
    pub fn headers(
        &mut self,
        method: &str,
        uri: &str,
        body: &[u8],
        cnonce: &str,
    ) -> Vec<(&'static str, String)> {
        let credentials = &self.credentials;
        self.answers
            .iter_mut()
            .map(|answer| {
                answer.nonce_count += 1;
                let nonce_count = answer.nonce_count;
                let input = DigestInput { credentials, method, uri, body, cnonce, nonce_count };
                let name = match answer.by {
                    ChallengedBy::Server => "Authorization",
                    ChallengedBy::Proxy => "Proxy-Authorization",
                };
                (name, authorization(&answer.challenge, &input))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::ChallengedBy::{Proxy, Server};
    use super::*;

    fn session() -> AuthSession {
        AuthSession::new(Credentials { username: "1001".into(), password: "pw".into() })
    }

    fn names(session: &mut AuthSession) -> Vec<&'static str> {
        session.headers("INVITE", "sip:h", b"", "c").into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn second_refusal_of_one_realm_gives_up_even_with_a_new_nonce() {
        for second in ["n1", "n2"] {
            let mut session = session();
            assert_eq!(session.challenged(Server, [r#"Digest realm="r", nonce="n1""#]), Ok(()));
            let again = format!(r#"Digest realm="r", nonce="{second}""#);
            assert_eq!(session.challenged(Server, [again.as_str()]), Err(GiveUp));
        }
    }

    #[test]
    fn stale_nonce_is_replaced_and_its_count_starts_again() {
        let mut session = session();
        let challenge = |nonce: &str| format!(r#"Digest realm="r", nonce="{nonce}", qop="auth", stale=true"#);
        assert_eq!(session.challenged(Server, [challenge("n1").as_str()]), Ok(()));
        names(&mut session);
        assert_eq!(session.challenged(Server, [challenge("n2").as_str()]), Ok(()));
        let headers = session.headers("INVITE", "sip:h", b"", "c");
        assert!(headers[0].1.contains(r#"nonce="n2""#) && headers[0].1.contains("nc=00000001"));
        assert_eq!(session.challenged(Server, [challenge("n2").as_str()]), Err(GiveUp));
    }

    #[test]
    fn stale_for_ever_ends() {
        let mut session = session();
        let mut tries = 0;
        while session
            .challenged(Server, [format!(r#"Digest realm="r", nonce="{tries}", stale=true"#).as_str()])
            .is_ok()
        {
            tries += 1;
        }
        assert_eq!(tries, MAX_ATTEMPTS);
    }

    #[test]
    fn proxy_then_server_are_both_answered_and_the_nonce_count_of_the_first_rises() {
        let mut session = session();
        assert_eq!(session.challenged(Proxy, [r#"Digest realm="p", nonce="n1", qop="auth""#]), Ok(()));
        assert_eq!(names(&mut session), ["Proxy-Authorization"]);
        assert_eq!(session.challenged(Server, [r#"Digest realm="s", nonce="n2", qop="auth""#]), Ok(()));
        let headers = session.headers("INVITE", "sip:h", b"", "c");
        assert!(headers[0].0 == "Proxy-Authorization" && headers[0].1.contains("nc=00000002"));
        assert!(headers[1].0 == "Authorization" && headers[1].1.contains("nc=00000001"));
    }

    #[test]
    fn strongest_algorithm_of_one_realm_is_answered_once() {
        let mut session = session();
        let values = [
            r#"Digest realm="r", nonce="n1", algorithm=MD5"#,
            r#"Digest realm="r", nonce="n2", algorithm=SHA-256"#,
        ];
        assert_eq!(session.challenged(Server, values), Ok(()));
        let headers = session.headers("INVITE", "sip:h", b"", "c");
        assert_eq!(headers.len(), 1);
        assert!(headers[0].1.contains("algorithm=SHA-256"));
    }

    #[test]
    fn reused_answer_may_be_refused_once_and_its_count_goes_on_with_the_same_nonce() {
        let mut session = session();
        let challenge = |nonce: &str| format!(r#"Digest realm="r", nonce="{nonce}", qop="auth""#);
        assert_eq!(session.challenged(Server, [challenge("n1").as_str()]), Ok(()));
        names(&mut session);
        session.reuse();
        let count = |session: &mut AuthSession| session.headers("REGISTER", "sip:h", b"", "c").remove(0).1;
        assert!(count(&mut session).contains("nc=00000002"));
        assert_eq!(session.challenged(Server, [challenge("n1").as_str()]), Ok(()));
        assert!(count(&mut session).contains("nc=00000003"));
        assert_eq!(session.challenged(Server, [challenge("n2").as_str()]), Err(GiveUp));

        session.reuse();
        assert_eq!(session.challenged(Server, [challenge("n3").as_str()]), Ok(()));
        assert!(count(&mut session).contains(r#"nonce="n3""#) && count(&mut session).contains("nc=00000002"));
    }

    #[test]
    fn session_keys_are_not_reused() {
        let mut session = session();
        let challenge = r#"Digest realm="r", nonce="n", qop="auth", algorithm=MD5-sess"#;
        assert_eq!(session.challenged(Server, [challenge]), Ok(()));
        session.reuse();
        assert_eq!(names(&mut session), [""; 0]);
    }

    #[test]
    fn challenge_without_digest_gives_up() {
        assert_eq!(session().challenged(Server, [r#"Basic realm="r""#]), Err(GiveUp));
        assert_eq!(session().challenged(Server, []), Err(GiveUp));
    }
}
