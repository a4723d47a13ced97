//! When two URIs are the same (RFC 3261 section 19.1.4).

use super::uri::{escaped, unescape};
use super::{Scheme, Uri};

impl PartialEq for Uri {
    fn eq(&self, other: &Self) -> bool {
        let scheme = self.scheme.as_str().eq_ignore_ascii_case(other.scheme.as_str());
        let user = match self.scheme {
            Scheme::Tel => {
                let digits =
                    |uri: &Self| uri.user.as_deref().unwrap_or_default().replace(['-', '.', '(', ')'], "");
                digits(self).eq_ignore_ascii_case(&digits(other))
            }
            _ => same(self.user.as_deref(), other.user.as_deref()),
        };
        scheme
            && user
            && same(self.password.as_deref(), other.password.as_deref())
            && self.host == other.host
            && self.port == other.port
            && [self, other].iter().all(|uri| uri.params.iter().nth(COMPARED_PARAMS).is_none())
            && params_match(self, other)
            && params_match(other, self)
            && headers_match(self, other)
    }
}

/// A URI with more parameters equals no other, so that comparing stays cheap.
const COMPARED_PARAMS: usize = 64;

/// Whether every parameter of `a` agrees with `b`: equal where both have it, and there at all where that matters.
fn params_match(a: &Uri, b: &Uri) -> bool {
    a.params.iter().all(|(name, value)| {
        let found = b.params.iter().find(|(other, _)| same_ignoring_case(other, name));
        match found {
            Some((_, other)) => same_ignoring_case(value.unwrap_or_default(), other.unwrap_or_default()),
            None => {
                a.scheme != Scheme::Tel
                    && !["user", "ttl", "method", "maddr", "transport"]
                        .iter()
                        .any(|needed| unescape(name).eq_ignore_ascii_case(needed))
            }
        }
    })
}

/// Whether both have the same header fields, in any order.
fn headers_match(a: &Uri, b: &Uri) -> bool {
    let fields = |uri: &Uri| {
        let mut fields: Vec<_> = uri
            .header_fields()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned()))
            .collect();
        fields.sort();
        fields
    };
    (a.headers.is_none() && b.headers.is_none()) || fields(a) == fields(b)
}

/// `%XX` resolved except where it stands for a reserved character, which is not the same as that character itself.
fn comparable(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        match escaped(bytes, i) {
            Some(byte) if b";/?:@&=+$,%".contains(&byte) => {
                out.extend(bytes[i..i + 3].iter().map(u8::to_ascii_uppercase));
                i += 3;
            }
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    out
}

fn same(a: Option<&str>, b: Option<&str>) -> bool {
    a.map(comparable) == b.map(comparable)
}

fn same_ignoring_case(a: &str, b: &str) -> bool {
    comparable(a).eq_ignore_ascii_case(&comparable(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        Uri::parse(text).unwrap()
    }

    #[test]
    fn equality_is_that_of_rfc3261() {
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("tel:+1-201-555-0123", "tel:+12015550123"),
        ] {
            assert_eq!(uri(a), uri(b));
            assert_eq!(uri(b), uri(a));
        }
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:a%40b@c", "sip:a@b@c"),
            ("sip:a@b", "sips:a@b"),
            ("sip:b", "sip:a@b"),
        ] {
            assert_ne!(uri(a), uri(b));
            assert_ne!(uri(b), uri(a));
        }
    }

    #[test]
    fn a_uri_with_very_many_parameters_equals_none() {
        let many = uri(&format!("sip:a{}", ";x".repeat(COMPARED_PARAMS + 1)));
        assert_ne!(many, many.clone());
    }
}
