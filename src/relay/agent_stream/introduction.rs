//! What a bot is told about its call: the custom parameters of `start`.
//!
//! In: a call, the parameters of the configuration. Out: names and values. Pure.
//!
//! | name | value |
//! |---|---|
//! | `caller_id`, `From` | who calls: the far end's number, or ours where we call |
//! | `did`, `To` | who is called |
//! | `direction` | `inbound`, `outbound` |
//! | `sip_call_id` | the Call-ID |
//! | `SipHeader_X-...` | each `X-` header of the INVITE; Twilio's name for them |
//! | any | of a call that is a provider's stream, its custom parameters |
//!
//! Those of the configuration win, so that a bot can be told what it expects.

use std::collections::BTreeMap;

use model::call::Direction;

use super::super::message::{CallHandle, Invite};
use crate::config::Secret;

/// The custom parameters of one call. `ours`: the number that outbound calls come from, where one is known.
pub fn custom_parameters(
    call: &CallHandle,
    ours: Option<&str>,
    configured: &[(String, Secret)],
) -> BTreeMap<String, String> {
    let invite = call.invite.as_deref();
    let ours = ours.unwrap_or_default();
    let (from, to) = match call.direction {
        Direction::Inbound => (call.phone.as_str(), invite.map_or(ours, called)),
        Direction::Outbound => (ours, call.phone.as_str()),
    };
    let sip_call_id = invite.map_or_else(|| call.id.to_sip_call_id(), |invite| invite.sip_call_id.clone());
    let facts = [
        ("caller_id", from),
        ("From", from),
        ("did", to),
        ("To", to),
        ("direction", call.direction.as_str()),
        ("sip_call_id", &sip_call_id),
    ];
    let headers = invite.map_or(&[][..], |invite| &invite.headers);
    let headers = headers.iter().take(MAX_HEADERS);
    let facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let headers = headers.map(|(name, value)| (name_for_bot(name), value.clone()));
    let configured = configured.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
    headers.chain(facts).chain(configured).collect()
}

/// A header is named as Twilio does; a parameter of a provider's stream keeps its name.
fn name_for_bot(name: &str) -> String {
    let is_header = name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"));
    if is_header { format!("SipHeader_{name}") } else { name.to_owned() }
}

fn called(invite: &Invite) -> &str {
    invite.called.as_deref().unwrap_or_else(|| user_of(&invite.to))
}

/// The user part of a URI; all of it where it has none.
fn user_of(uri: &str) -> &str {
    let bare = ["sip:", "sips:", "tel:"].iter().find_map(|scheme| uri.strip_prefix(scheme)).unwrap_or(uri);
    let user = bare.split_once('@').map_or(bare, |(user, _)| user);
    user.split(';').next().unwrap_or(user)
}

/// `X-` headers that are passed on.
const MAX_HEADERS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_twilios_names_and_parameters_their_own() {
        let named = ["X-Room", "x-room", "tenant", "X"].map(name_for_bot);
        assert_eq!(named, ["SipHeader_X-Room", "SipHeader_x-room", "tenant", "X"]);
    }

    #[test]
    fn called_number_is_the_user_of_the_uri() {
        for (uri, user) in [
            ("sip:+15125551234@10.0.0.1:5060;user=phone", "+15125551234"),
            ("sips:100@pbx.example", "100"),
            ("tel:+15125551234;phone-context=example", "+15125551234"),
            ("sip:10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(user_of(uri), user);
        }
    }
}
