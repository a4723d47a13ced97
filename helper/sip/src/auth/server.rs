//! `AuthServer` holds who may call; `Authenticator` challenges requests and checks their answers (RFC 3261 §22, RFC 8760).
//!
//! In: the Authorization headers of a request, its method, where it came from, the time. Out: accepted, or the challenges
//! of a 401. A request that is not accepted leaves nothing behind. Knows nothing of transactions or calls.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq;

use super::challenge::{Algorithm, Parameters, Qop, digests};
use super::digest::hash;
use super::nonce::{NonceState, Nonces};

/// Who may send requests outside of calls, and how they are asked to prove it. Keeps hashes of passwords, and prints none.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthServer {
    realm: String,
    users: HashMap<String, Secrets>,
    nonce_lifetime: Duration,
}

/// HA1 of one user for each algorithm, lower-case hex.
#[derive(Clone, PartialEq, Eq)]
struct Secrets {
    md5: Option<String>,
    sha256: Option<String>,
}

impl AuthServer {
    /// A server without users, whose nonces live for five minutes. Of `realm`, quotes, backslashes and control characters
    /// are dropped.
    pub fn new(realm: &str) -> Self {
        let realm = realm.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect();
        Self { realm, users: HashMap::new(), nonce_lifetime: NONCE_LIFETIME }
    }

    /// With this user, in the place of an earlier one of the same name.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        let ha1 =
            |algorithm| Some(hash(algorithm, &[name.as_bytes(), self.realm.as_bytes(), password.as_bytes()]));
        let secrets = Secrets { md5: ha1(Algorithm::Md5), sha256: ha1(Algorithm::Sha256) };
        self.users.insert(name.to_owned(), secrets);
        self
    }

    /// With this user, of whose password only the hash `user:realm:password` is known, as hex. Digests by the other
    /// algorithm are refused then; call it once for each that is known.
    pub fn user_ha1(mut self, name: &str, algorithm: Algorithm, ha1: &str) -> Self {
        let secrets = self.users.entry(name.to_owned()).or_insert(Secrets { md5: None, sha256: None });
        let ha1 = Some(ha1.to_ascii_lowercase());
        match algorithm {
            Algorithm::Md5 | Algorithm::Md5Sess => secrets.md5 = ha1,
            Algorithm::Sha256 | Algorithm::Sha256Sess => secrets.sha256 = ha1,
        }
        self
    }

    /// How long a nonce is accepted; then a right answer is asked for once more, with `stale=true`.
    pub fn nonce_lifetime(mut self, lifetime: Duration) -> Self {
        self.nonce_lifetime = lifetime;
        self
    }

    /// The protection space.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    fn secret(&self, name: &str, algorithm: Algorithm) -> Option<&str> {
        let secrets = self.users.get(name)?;
        match algorithm {
            Algorithm::Md5 | Algorithm::Md5Sess => secrets.md5.as_deref(),
            Algorithm::Sha256 | Algorithm::Sha256Sess => secrets.sha256.as_deref(),
        }
    }
}

impl fmt::Debug for AuthServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthServer").field("realm", &self.realm).field("users", &self.users.len()).finish()
    }
}

/// What is known of a request that asks to be let in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Petition<'a> {
    pub(crate) method: &'a str,
    pub(crate) source: IpAddr,
    /// A number that differs from request to request and not between retransmissions.
    pub(crate) id: u64,
}

/// Why a request is not let in; the answer is a 401 with [`challenges`](Authenticator::challenges).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No answer for our realm.
    Unanswered,
    /// The password is right, the nonce is too old, spent or not ours.
    Stale,
    /// The user name is unknown or the answer is wrong: the two are not told apart.
    Wrong {
        /// The user name that was given.
        username: String,
    },
}

/// The server side of digest authentication of one endpoint.
#[derive(Debug)]
pub(crate) struct Authenticator {
    nonces: Nonces,
    /// Stands for the HA1 of users that do not exist, so that they cost the same time.
    nobody: String,
}

impl Authenticator {
    /// `key` is secret and unpredictable.
    pub(crate) fn new(key: [u8; 32]) -> Self {
        let nobody = hash(Algorithm::Sha256, &[&key, b"nobody"]);
        Self { nonces: Nonces::new(key), nobody }
    }

    /// Lets a request in, or says why not. `answers` are its Authorization headers.
    pub(crate) fn check<'a>(
        &mut self,
        now: Instant,
        server: &AuthServer,
        petition: &Petition<'_>,
        answers: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), Refusal> {
        let mut answers = answers.into_iter().flat_map(digests);
        let answer = answers.find(|answer| answer.get("realm") == Some(&server.realm));
        let answer = answer.ok_or(Refusal::Unanswered)?;
        let username = unescaped(answer.get("username").unwrap_or(""));
        let Some(count) = self.verify(server, petition.method, &username, &answer) else {
            return Err(Refusal::Wrong { username });
        };
        let nonce = answer.get("nonce").unwrap_or("");
        match self.nonces.spend(now, server.nonce_lifetime, petition.source, nonce, count) {
            NonceState::Good => Ok(()),
            NonceState::Spent => Err(Refusal::Stale),
        }
    }

    /// The values of WWW-Authenticate, one for each algorithm.
    pub(crate) fn challenges(
        &mut self,
        now: Instant,
        server: &AuthServer,
        petition: &Petition<'_>,
        stale: bool,
    ) -> [String; 2] {
        let nonce = self.nonces.make(now, petition.source, petition.id);
        ALGORITHMS.map(|algorithm| {
            let (realm, algorithm) = (&server.realm, algorithm.as_str());
            let stale = if stale { ", stale=true" } else { "" };
            format!(r#"Digest realm="{realm}", nonce="{nonce}", algorithm={algorithm}, qop="auth"{stale}"#)
        })
    }

    /// The nonce count of a right answer. The `uri` is taken as it was hashed: a proxy may have changed the Request-URI
    /// since, and what an eavesdropper could do with it ends with the nonce count.
    fn verify(
        &self,
        server: &AuthServer,
        method: &str,
        username: &str,
        answer: &Parameters<'_>,
    ) -> Option<u32> {
        let algorithm = match answer.get("algorithm") {
            None => Algorithm::Md5,
            Some(name) => Algorithm::parse(name).filter(|algorithm| ALGORITHMS.contains(algorithm))?,
        };
        let known = server.secret(username, algorithm);
        let secret = known.unwrap_or(&self.nobody).as_bytes();
        let nonce = answer.get("nonce")?.as_bytes();
        let request = hash(algorithm, &[method.as_bytes(), answer.get("uri")?.as_bytes()]);
        let (expected, count) = match answer.get("qop") {
            // RFC 2069: one use of each nonce.
            None => (hash(algorithm, &[secret, nonce, request.as_bytes()]), 1),
            Some(qop) if qop.eq_ignore_ascii_case(Qop::Auth.as_str()) => {
                let (count, cnonce) = (answer.get("nc")?, answer.get("cnonce")?);
                let parts =
                    [secret, nonce, count.as_bytes(), cnonce.as_bytes(), qop.as_bytes(), request.as_bytes()];
                (hash(algorithm, &parts), u32::from_str_radix(count, 16).ok()?)
            }
            Some(_) => return None,
        };
        let response = answer.get("response")?.to_ascii_lowercase();
        let right = bool::from(expected.as_bytes().ct_eq(response.as_bytes()));
        (right & known.is_some()).then_some(count)
    }
}

/// A quoted string without its backslashes.
fn unescaped(text: &str) -> String {
    let mut escape = false;
    text.chars()
        .filter(|c| {
            escape = !escape && *c == '\\';
            !escape
        })
        .collect()
}

const NONCE_LIFETIME: Duration = Duration::from_secs(300);

/// In the order in which they are offered.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Md5];

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test has to begin at some instant")]
mod tests {
    use super::super::{Challenge, DigestInput, authorization};
    use super::*;
    use crate::ua::Credentials;

    const PETITION: Petition<'static> =
        Petition { method: "INVITE", source: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), id: 1 };

    struct Gate {
        now: Instant,
        server: AuthServer,
        authenticator: Authenticator,
    }

    impl Gate {
        fn new(server: AuthServer) -> Self {
            Self { now: Instant::now(), server, authenticator: Authenticator::new([7; 32]) }
        }

        /// A challenge whose nonce nobody has seen.
        fn challenge(&mut self, at: usize) -> Challenge {
            self.now += Duration::from_millis(1);
            let all = self.authenticator.challenges(self.now, &self.server, &PETITION, false);
            Challenge::parse_all(&all[at]).remove(0)
        }

        fn check(&mut self, header: &str) -> Result<(), Refusal> {
            self.authenticator.check(self.now, &self.server, &PETITION, [header])
        }
    }

    fn answer(challenge: &Challenge, username: &str, password: &str, nonce_count: u32) -> String {
        let credentials = &Credentials { username: username.into(), password: password.into() };
        let input = DigestInput {
            credentials,
            method: "INVITE",
            uri: "sip:b@h",
            body: b"",
            cnonce: "c",
            nonce_count,
        };
        authorization(challenge, &input)
    }

    fn wrong(username: &str) -> Result<(), Refusal> {
        Err(Refusal::Wrong { username: username.into() })
    }

    #[test]
    fn right_password_is_let_in_by_either_algorithm_and_without_qop() {
        let mut gate = Gate::new(AuthServer::new("r").user("1001", "pw"));
        for at in [0, 1] {
            let challenge = gate.challenge(at);
            assert_eq!(challenge.algorithm, ALGORITHMS[at]);
            assert_eq!(gate.check(&answer(&challenge, "1001", "pw", 1)), Ok(()));
            let old = Challenge { qop: None, ..gate.challenge(at) };
            assert_eq!(gate.check(&answer(&old, "1001", "pw", 1)), Ok(()));
            assert_eq!(
                gate.check(&answer(&old, "1001", "pw", 1)),
                Err(Refusal::Stale),
                "one use without qop"
            );
        }
    }

    #[test]
    fn unknown_user_wrong_password_and_wrong_method_look_the_same() {
        let mut gate = Gate::new(AuthServer::new("r").user("1001", "pw"));
        let challenge = gate.challenge(0);
        assert_eq!(gate.check(&answer(&challenge, "1001", "wp", 1)), wrong("1001"));
        assert_eq!(gate.check(&answer(&challenge, "1002", "pw", 1)), wrong("1002"));
        assert_eq!(gate.check(&answer(&challenge, "", "", 1)), wrong(""));
        let method = Petition { method: "OPTIONS", ..PETITION };
        let header = answer(&challenge, "1001", "pw", 1);
        let checked = gate.authenticator.check(gate.now, &gate.server, &method, [header.as_str()]);
        assert_eq!(checked, wrong("1001"));
    }

    #[test]
    fn hashed_password_serves_its_own_algorithm() {
        let ha1 = hash(Algorithm::Md5, &[b"1001", b"r", b"pw"]).to_uppercase();
        let mut gate = Gate::new(AuthServer::new("r").user_ha1("1001", Algorithm::Md5, &ha1));
        let (sha256, md5) = (gate.challenge(0), gate.challenge(1));
        assert_eq!(gate.check(&answer(&sha256, "1001", "pw", 1)), wrong("1001"));
        assert_eq!(gate.check(&answer(&md5, "1001", "pw", 1)), Ok(()));
    }

    #[test]
    fn answer_that_cannot_be_checked_is_wrong_and_one_for_another_realm_is_none() {
        let mut gate = Gate::new(AuthServer::new("r").user("1001", "pw"));
        let whole = answer(&gate.challenge(0), "1001", "pw", 1);
        for (part, with) in [
            ("nonce=", "nonsense="),
            ("uri=", "url="),
            ("response=", "answer="),
            ("nc=00000001", "nc=0000000g"),
            ("cnonce=", "c="),
            ("qop=auth", "qop=auth-int"),
            ("algorithm=SHA-256", "algorithm=SHA-256-sess"),
            ("algorithm=SHA-256", "algorithm=ROT13"),
        ] {
            assert!(whole.contains(part), "{part}");
            assert_eq!(gate.check(&whole.replace(part, with)), wrong("1001"), "{part}");
        }
        for header in ["", "Digest", "Basic dXNlcg==", &whole.replace("realm=\"r\"", "realm=\"s\"")] {
            assert_eq!(gate.check(header), Err(Refusal::Unanswered), "{header}");
        }
        assert_eq!(gate.check(&whole), Ok(()));
    }

    #[test]
    fn quoted_user_name_is_read_as_it_was_meant() {
        let mut gate = Gate::new(AuthServer::new("r").user(r#"a"b\"#, "pw"));
        let challenge = gate.challenge(0);
        assert_eq!(gate.check(&answer(&challenge, r#"a"b\"#, "pw", 1)), Ok(()));
    }

    #[test]
    fn no_password_is_printed_and_a_realm_stays_inside_its_quotes() {
        let server = AuthServer::new("a\"b\\\r\nc").user("1001", "hunter2");
        assert_eq!(server.realm(), "abc");
        assert_eq!(format!("{server:?}"), r#"AuthServer { realm: "abc", users: 1 }"#);
    }
}
