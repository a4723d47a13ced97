//! What happens when the caller talks over the model.

use testkit::rng::Rng;

use super::world::*;
use crate::call_center::realtime::{ClientEvent, ResponseStatus, ServerEvent};

#[test]
fn at_any_moment_the_caller_silences_the_model_and_the_service_learns_what_rtp_carried() {
    let (mut truncated, mut unheard, mut whole) = (0, 0, 0);
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let mut world = World::new();
        world.delay = MS(rng.below(15));
        world.pass(MS(rng.below(100)));
        world.turn(7, "hello");
        // Up to ten seconds, several times as fast as real time, in pieces of any size.
        let mut left = 800 + rng.below(80_000) as usize;
        let longest = if rng.chance(0.15) { 100 } else { 6000 };
        let moment = world.now + MS(rng.below(longest));
        while world.now < moment {
            if left > 0 && rng.chance(0.02) {
                let piece = left.min(1 + rng.below(4000) as usize);
                world.delta(7, &vec![7; piece]);
                left -= piece;
                if left == 0 {
                    world.event(1, ServerEvent::AudioDone { item: "a7".into() });
                    world.done(7, ResponseStatus::Completed, Vec::new());
                }
            }
            world.pass(MS(1));
        }
        let started = world.now;
        world.tells();
        world.speech_started(8);
        // What the service had on its way, and its end.
        if left > 0 {
            world.delta(7, &[7; 800]);
            world.done(7, ResponseStatus::Cancelled, Vec::new());
            world.delta(7, &[7; 800]);
        }
        world.pass(MS(300));

        let late = world.relay.carried.iter().filter(|(at, _)| *at > started + MS(60)).count();
        assert_eq!(late, 0, "seed {seed}: frames later than 60 ms");
        let carried = world.carried(7) as u64;
        match &world.tells()[..] {
            [ClientEvent::Truncate { item, content_index: 0, audio_end }] => {
                truncated += 1;
                let end = audio_end.as_millis() as u64;
                assert_eq!(item, "a7");
                assert!(end > 0 && end.abs_diff(carried) <= 20, "seed {seed}: {end} of {carried} ms");
            }
            [] if carried == 0 => unheard += 1,
            [] => {
                whole += 1;
                assert_eq!(left, 0, "seed {seed}: {carried} ms were heard, and there was more");
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(truncated > 100 && unheard > 5 && whole > 20, "{truncated} {unheard} {whole}");
}

#[test]
fn of_two_items_only_the_one_that_was_not_heard_out_is_cut() {
    let mut world = World::new();
    world.turn(1, "hello");
    world.speech(1, "first", 1000);
    let (response, item) = ("r1".to_owned(), "b1".to_owned());
    let audio = vec![2; 8 * 1000];
    world.event(1, ServerEvent::Audio { response, item, content_index: 1, audio });
    world.pass(MS(1500));
    world.tells();
    world.speech_started(2);
    world.pass(MS(50));
    let [ClientEvent::Truncate { item, content_index, audio_end }] = &world.tells()[..] else { panic!() };
    assert_eq!((item.as_str(), *content_index), ("b1", 1));
    let heard = world.carried(2) as u64;
    assert!((audio_end.as_millis() as u64).abs_diff(heard) <= 20 && heard > 400, "{audio_end:?}, {heard} ms");

    // Or the first alone was heard, in part: the second cannot be cut at nothing.
    let mut world = World::new();
    world.turn(1, "hello");
    world.speech(1, "first", 1000);
    let (response, item) = ("r1".to_owned(), "b1".to_owned());
    world.event(1, ServerEvent::Audio { response, item, content_index: 0, audio: vec![2; 8000] });
    world.pass(MS(500));
    world.speech_started(2);
    world.pass(MS(50));
    let tells = world.tells();
    assert_eq!(tells.len(), 1, "{tells:?}");
    assert!(matches!(&tells[0], ClientEvent::Truncate { item, .. } if item == "a1"), "{tells:?}");
}

#[test]
fn next_reply_is_played_while_the_relay_still_answers_the_interruption() {
    let mut world = World::new();
    world.delay = MS(200);
    world.turn(1, "hello");
    world.reply(1, "one two three four", 4000);
    world.pass(MS(2000));
    world.tells();
    world.speech_started(2);
    world.event(1, ServerEvent::SpeechStopped { at: None });
    world.created(2);
    world.reply(2, "fine", 500);
    world.pass(MS(1500));
    let heard = world.carried(1) as u64;
    let [ClientEvent::Truncate { audio_end, .. }] = &world.tells()[..] else { panic!() };
    assert!((audio_end.as_millis() as u64).abs_diff(heard) <= 20, "{audio_end:?}, {heard} ms");
    assert_eq!(world.carried(2), 500);
}

#[test]
fn relay_that_says_nothing_of_marks_is_not_waited_for() {
    let mut world = World::new();
    world.turn(1, "hello");
    world.speech(1, "one two three four", 4000);
    world.pass(MS(1000));
    world.relay.mute = true;
    world.tells();
    world.speech_started(2);
    world.pass(MS(1100));
    let [ClientEvent::Truncate { audio_end, .. }] = &world.tells()[..] else { panic!() };
    assert!(audio_end.as_millis().abs_diff(1000) <= 20, "by the clock: {audio_end:?}");

    // Nor for the end of a reply.
    world.event(1, ServerEvent::SpeechStopped { at: None });
    world.created(2);
    world.speech(2, "bye", 1000);
    world.done(2, ResponseStatus::Completed, vec![call("hang_up", "{}")]);
    world.pass_until(S(10), |world| !world.orders.is_empty());
    assert_eq!(world.orders, ["HANGUP:a@h##drain"]);
}

#[test]
fn key_interrupts_the_service_too_and_keys_are_told_together() {
    let mut world = World::new();
    world.turn(1, "hello");
    world.speech(1, "press a key", 4000);
    world.pass(MS(500));
    world.tells();
    world.key('4');
    world.pass(MS(100));
    let tells = world.tells();
    assert_eq!(tells[0], ClientEvent::Cancel);
    assert!(matches!(&tells[1..], [ClientEvent::Truncate { .. }]), "{tells:?}");
    world.done(1, ResponseStatus::Cancelled, Vec::new());
    world.key('2');
    world.pass(MS(1600));
    let tells = world.tells();
    let user = crate::call_center::realtime::Author::User;
    let keys = ClientEvent::Message { author: user, text: "(42 on the keypad)".into() };
    assert_eq!(tells, [keys, ClientEvent::Respond]);
    assert_eq!(world.relay.clears, 1);
}

#[test]
fn reply_that_begins_while_the_caller_speaks_is_cancelled() {
    let mut world = World::new();
    world.pass(S(10));
    assert_eq!(world.tells().pop(), Some(ClientEvent::Respond), "he is asked whether he is there");
    world.speech_started(1);
    world.created(9);
    assert_eq!(world.tells(), [ClientEvent::Cancel]);
    world.delta(9, &[9; 800]);
    world.done(9, ResponseStatus::Cancelled, Vec::new());
    world.event(1, ServerEvent::SpeechStopped { at: None });
    world.created(1);
    world.reply(1, "yes", 400);
    world.pass(S(1));
    assert_eq!((world.carried(9), world.carried(1)), (0, 400));
}

#[test]
fn item_whose_end_was_not_heard_of_is_cut_at_what_was_received_of_it() {
    let mut world = World::new();
    world.turn(1, "hello");
    world.delta(1, &[1; 8000]);
    let (response, item) = ("r1".to_owned(), "b1".to_owned());
    world.event(1, ServerEvent::Audio { response, item, content_index: 0, audio: vec![2; 16_000] });
    world.pass(MS(1500));
    world.speech_started(2);
    world.pass(MS(50));
    let cuts: Vec<_> =
        world.tells().into_iter().filter(|event| matches!(event, ClientEvent::Truncate { .. })).collect();
    let [ClientEvent::Truncate { item, audio_end, .. }, ClientEvent::Truncate { item: second, .. }] =
        &cuts[..]
    else {
        panic!("{cuts:?}")
    };
    assert_eq!((item.as_str(), *audio_end, second.as_str()), ("a1", S(1), "b1"));
}

#[test]
fn what_still_comes_of_an_item_is_left_out_even_without_the_name_of_its_response() {
    let mut world = World::new();
    world.speech_started(1);
    world.event(1, ServerEvent::SpeechStopped { at: None });
    let delta = |world: &mut World| {
        let (response, item) = (String::new(), "a1".to_owned());
        world.event(1, ServerEvent::Audio { response, item, content_index: 0, audio: vec![1; 8000] });
    };
    delta(&mut world);
    world.pass(MS(500));
    world.speech_started(2);
    delta(&mut world);
    world.pass(S(2));
    assert!((480..=520).contains(&world.carried(1)), "{} ms", world.carried(1));
}
