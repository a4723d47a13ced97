//! `Challenge` is one digest challenge: the value of WWW-Authenticate or Proxy-Authenticate in its parts.

/// A hash function and whether a session key is derived from it (RFC 7616 §3.4.2, RFC 8760).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// `MD5`, also when the challenge names none.
    Md5,
    /// `MD5-sess`
    Md5Sess,
    /// `SHA-256`
    Sha256,
    /// `SHA-256-sess`
    Sha256Sess,
}

impl Algorithm {
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Md5, Self::Md5Sess, Self::Sha256, Self::Sha256Sess]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(text))
    }

    /// The token that names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
        }
    }
}

/// The quality of protection that is used for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qop {
    /// Protects method and URI.
    Auth,
    /// Protects the body as well.
    AuthInt,
}

impl Qop {
    /// The token that names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

/// One digest challenge. Quoted values are kept as they stand between the quotes, escapes included, because that is
/// what is hashed and sent back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The protection space.
    pub realm: String,
    /// The server's nonce.
    pub nonce: String,
    /// To be returned unchanged.
    pub opaque: Option<String>,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Whether the challenge named its algorithm; the answer then names it too.
    pub algorithm_named: bool,
    /// `auth` where it is offered, else `auth-int`, else `None` (RFC 2069 style).
    pub qop: Option<Qop>,
    /// The nonce of the last attempt was too old; the password was right.
    pub stale: bool,
}

impl Challenge {
    /// Reads every digest challenge in one header value that can be answered; others are passed over.
    pub fn parse_all(value: &str) -> Vec<Self> {
        digests(value).iter().filter_map(Self::new).collect()
    }

    fn new(parameters: &Parameters<'_>) -> Option<Self> {
        let get = |name: &str| parameters.get(name);
        let algorithm = get("algorithm");
        let qop = match get("qop") {
            None => None,
            Some(list) => {
                let offers = |qop: Qop| list.split(',').any(|q| q.trim().eq_ignore_ascii_case(qop.as_str()));
                match (offers(Qop::Auth), offers(Qop::AuthInt), list.trim().is_empty()) {
                    (true, ..) => Some(Qop::Auth),
                    (_, true, _) => Some(Qop::AuthInt),
                    (.., true) => None,
                    _ => return None,
                }
            }
        };
        Some(Self {
            realm: get("realm")?.to_owned(),
            nonce: get("nonce")?.to_owned(),
            opaque: get("opaque").map(str::to_owned),
            algorithm: algorithm.map_or(Some(Algorithm::Md5), Algorithm::parse)?,
            algorithm_named: algorithm.is_some(),
            qop,
            stale: get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }
}

/// The parameters behind one `Digest`, quotes removed, escapes not.
pub(super) struct Parameters<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Parameters<'a> {
    /// The first one of this name.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

/// Every digest challenge, or digest answer, in one header value.
pub(super) fn digests(value: &str) -> Vec<Parameters<'_>> {
    let mut found: Vec<(bool, Parameters<'_>)> = Vec::new();
    for item in split_commas(value) {
        let (scheme, parameter) = split_scheme(item);
        if let Some(scheme) = scheme {
            found.push((scheme.eq_ignore_ascii_case("Digest"), Parameters(Vec::new())));
        }
        if let (Some((_, parameters)), Some((name, value))) = (found.last_mut(), parameter.split_once('=')) {
            parameters.0.push((name.trim(), unquoted(value.trim())));
        }
    }
    found.into_iter().filter(|(digest, _)| *digest).map(|(_, parameters)| parameters).collect()
}

/// The parts between commas that stand outside quotes.
fn split_commas(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = text.bytes().position(|b| {
            let at_comma = b == b',' && !quoted;
            match b {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ => {}
            }
            at_comma
        });
        let (item, next) = match end {
            Some(end) => (&text[..end], Some(&text[end + 1..])),
            None => (text, None),
        };
        rest = next;
        Some(item.trim())
    })
}

/// `Digest realm="r"` is a scheme and a parameter, `nonce="n"` a parameter only.
fn split_scheme(item: &str) -> (Option<&str>, &str) {
    match item.split_once([' ', '\t']) {
        Some((scheme, rest)) if !scheme.contains('=') && !rest.trim_start().starts_with('=') => {
            (Some(scheme), rest.trim_start())
        }
        None if !item.is_empty() && !item.contains('=') => (Some(item), ""),
        _ => (None, item),
    }
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: &str) -> Challenge {
        let mut all = Challenge::parse_all(value);
        assert_eq!(all.len(), 1, "{value}");
        all.remove(0)
    }

    #[test]
    fn commas_and_escapes_inside_quotes_belong_to_the_value() {
        let challenge = one(r#"Digest realm="a, \"b\"", nonce="n,1" ,opaque="", stale=TRUE,algorithm=md5"#);
        assert_eq!(challenge.realm, r#"a, \"b\""#);
        assert_eq!(challenge.nonce, "n,1");
        assert_eq!(challenge.opaque.as_deref(), Some(""));
        assert_eq!(
            (challenge.algorithm, challenge.algorithm_named, challenge.stale),
            (Algorithm::Md5, true, true)
        );
    }

    #[test]
    fn auth_is_preferred_and_unknown_qop_makes_the_challenge_useless() {
        assert_eq!(one(r#"Digest realm="r",nonce="n",qop="auth-int, auth""#).qop, Some(Qop::Auth));
        assert_eq!(one(r#"Digest realm="r",nonce="n",qop="auth-int""#).qop, Some(Qop::AuthInt));
        assert_eq!(one(r#"Digest realm="r",nonce="n",qop=auth"#).qop, Some(Qop::Auth));
        assert_eq!(one(r#"Digest realm="r",nonce="n",qop="""#).qop, None);
        assert_eq!(Challenge::parse_all(r#"Digest realm="r",nonce="n",qop="auth-x""#), []);
    }

    #[test]
    fn several_challenges_in_one_value_are_told_apart() {
        let all = Challenge::parse_all(
            r#"Basic realm="b", Digest realm="r1", nonce="n1", algorithm=SHA-256, digest nonce = "n2", realm = "r2""#,
        );
        let brief: Vec<_> = all.iter().map(|c| (c.realm.as_str(), c.nonce.as_str(), c.algorithm)).collect();
        assert_eq!(brief, [("r1", "n1", Algorithm::Sha256), ("r2", "n2", Algorithm::Md5)]);
    }

    #[test]
    fn challenges_that_cannot_be_answered_are_passed_over() {
        for value in [
            "",
            "Digest",
            "Digest realm=\"r\"",
            "Digest nonce=\"n\"",
            "Basic realm=\"r\"",
            "Digest realm=\"r",
            "Digest realm=\"r\",nonce=\"n\",algorithm=SHA-512-256",
        ] {
            assert_eq!(Challenge::parse_all(value), [], "{value}");
        }
    }
}
