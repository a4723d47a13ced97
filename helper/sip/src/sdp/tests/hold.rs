//! Our hold, the peer's hold, and both at once, over two negotiators that answer each other.

use super::*;

/// The state of a hold at one end: its direction, whether the other holds it, whether it holds the other.
type Hold = (Direction, bool, bool);

struct Pair {
    ours: Negotiator,
    theirs: Negotiator,
}

impl Pair {
    /// A session that we offered and the peer answered.
    fn new() -> Pair {
        let theirs = LocalMedia { address: "10.0.0.7".parse().unwrap(), ..local("-", "-") };
        let mut pair = Pair {
            ours: Negotiator::new(local("relay", "Call"), vec![Pcmu, Pcma], Some(101)),
            theirs: Negotiator::new(theirs, vec![Pcma, Pcmu], Some(101)),
        };
        assert_eq!(pair.we_say(Direction::SendRecv).0, (Direction::SendRecv, false, false));
        pair
    }

    /// An exchange that we begin: what it comes to at our end and at the peer's.
    fn we_say(&mut self, direction: Direction) -> (Hold, Hold) {
        exchange(&mut self.ours, &mut self.theirs, direction)
    }

    /// An exchange that the peer begins: what it comes to at our end and at the peer's.
    fn they_say(&mut self, direction: Direction) -> (Hold, Hold) {
        let (theirs, ours) = exchange(&mut self.theirs, &mut self.ours, direction);
        (ours, theirs)
    }
}

fn exchange(from: &mut Negotiator, to: &mut Negotiator, direction: Direction) -> (Hold, Hold) {
    let offer = from.offer_with(direction);
    let (answered, body) = to.answer(&offer).unwrap();
    let accepted = from.accept_answer(&body).unwrap();
    let hold = |agreed: &Agreed, session: &Negotiator| {
        assert_eq!(
            (agreed.held_by_peer, agreed.held_by_us),
            (session.is_held_by_peer(), session.is_held_by_us())
        );
        (agreed.direction, agreed.held_by_peer, agreed.held_by_us)
    };
    (hold(&accepted, from), hold(&answered, to))
}

use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};

#[test]
fn hold_and_resume_are_seen_at_both_ends() {
    let mut pair = Pair::new();
    assert_eq!(pair.we_say(SendOnly), ((SendOnly, false, true), (RecvOnly, true, false)));
    assert_eq!(pair.we_say(SendRecv), ((SendRecv, false, false), (SendRecv, false, false)));
    assert_eq!(pair.they_say(SendOnly), ((RecvOnly, true, false), (SendOnly, false, true)));
    assert_eq!(pair.they_say(SendRecv), ((SendRecv, false, false), (SendRecv, false, false)));
}

#[test]
fn hold_of_one_end_outlives_that_of_the_other() {
    for we_resume_first in [true, false] {
        let mut pair = Pair::new();
        pair.we_say(SendOnly);
        assert_eq!(pair.they_say(SendOnly), ((Inactive, true, true), (Inactive, true, true)));
        if we_resume_first {
            assert_eq!(pair.we_say(SendRecv), ((RecvOnly, true, false), (SendOnly, false, true)));
            pair.they_say(SendRecv);
        } else {
            assert_eq!(pair.they_say(SendRecv), ((SendOnly, false, true), (RecvOnly, true, false)));
            pair.we_say(SendRecv);
        }
        assert_eq!((pair.ours.is_held_by_peer(), pair.ours.is_held_by_us()), (false, false));
        assert_eq!(pair.they_say(SendRecv).0, (SendRecv, false, false));
    }
}

#[test]
fn refused_hold_leaves_the_session_as_it_was_and_the_version_rises() {
    let version = |body: &Bytes| text(body).split(' ').nth(2).unwrap().parse::<u64>().unwrap();
    let mut pair = Pair::new();
    assert_eq!(version(&pair.ours.offer_with(SendOnly)), 2);
    pair.ours.offer_refused();
    assert_eq!((pair.ours.direction(), pair.ours.is_held_by_us()), (SendRecv, false));
    let refresh = pair.theirs.offer();
    let (agreed, body) = pair.ours.answer(&refresh).unwrap();
    assert_eq!((agreed.direction, version(&body)), (SendRecv, 3));

    pair.we_say(SendOnly);
    let resume = pair.ours.offer_with(SendRecv);
    assert!(text(&resume).contains("a=sendrecv\r\n"));
    pair.ours.offer_refused();
    assert_eq!((pair.ours.direction(), pair.ours.is_held_by_us()), (SendOnly, true));
    assert!(text(&pair.ours.offer()).contains("a=sendonly\r\n"));
}

#[test]
fn hold_that_met_the_peers_offer_is_already_in_our_answer() {
    let mut pair = Pair::new();
    let waiting = pair.ours.offer_with(SendOnly);
    assert_eq!(pair.they_say(SendRecv).0, (SendOnly, false, true));
    assert_eq!(pair.ours.offer(), waiting, "the answer said the same under the same version");
    assert_eq!(pair.they_say(SendOnly).0, (Inactive, true, true));
    assert_ne!(pair.ours.offer(), waiting, "the version of the offer that waited is used up");
}

#[test]
fn answer_to_an_offer_that_sends_nothing_says_nothing_about_the_peers_hold() {
    let mut pair = Pair::new();
    assert_eq!(pair.we_say(Inactive).0, (Inactive, false, true));
    assert_eq!(pair.we_say(SendRecv).0, (SendRecv, false, false));
    pair.they_say(SendOnly);
    assert_eq!(pair.we_say(Inactive).0, (Inactive, true, true));
}
