//! Conversations that go well.

use super::world::*;
use crate::call_center::realtime::{ClientEvent, LinkNews, Plan, ResponseStatus, ServerEvent};
use model::event::Event;

#[test]
fn session_is_told_how_to_talk_before_it_hears_anything() {
    let mut world = World::opening(plan());
    assert_eq!(world.opened, [1]);
    // More than is kept: the oldest is left out.
    for n in 0..300_u16 {
        world.caller(&[(n % 250) as u8; 160]);
    }
    world.news(1, LinkNews::Up);
    assert_eq!(world.tells(), [ClientEvent::SessionUpdate(Box::new(plan().session))]);
    world.event(1, ServerEvent::SessionCreated);
    assert!(world.appended.is_empty());
    world.event(1, ServerEvent::SessionUpdated);
    let expected: Vec<u8> = (50..300_u16).flat_map(|n| [(n % 250) as u8; 160]).collect();
    assert_eq!(world.appended, expected);
    world.caller(&[9; 160]);
    assert!(world.appended.ends_with(&[9; 160]));
    assert_eq!(world.tells(), []);
}

#[test]
fn speech_is_played_as_it_came_in_whole_frames_and_the_turn_is_timed() {
    let mut world = World::new();
    world.turn(1, "hello");
    let audio: Vec<u8> = (0..10_001_u32).map(|n| (n * 31 % 251) as u8).collect();
    for (n, chunk) in audio.chunks(1003).enumerate() {
        // Slower than real time in the middle: the queue runs dry.
        world.pass(MS(if n == 5 { 700 } else { 30 }));
        world.delta(1, chunk);
    }
    world.event(1, ServerEvent::AudioDone { item: "a1".into() });
    world.done(1, ResponseStatus::Completed, Vec::new());
    world.pass(S(2));
    let carried: Vec<u8> = world.relay.carried.iter().flat_map(|(_, frame)| frame.clone()).collect();
    assert_eq!(carried, audio);
    let short = world.relay.carried.iter().filter(|(_, frame)| frame.len() < 160).count();
    assert_eq!(short, 1, "the last frame alone is incomplete");
    assert!(
        world.notes[0].starts_with("turn 1: - ms said; after the last word: turn over 0 ms, first audio 30")
    );
    assert!(world.notes[0].ends_with("own share 0 + 0 ms"), "{}", world.notes[0]);
}

#[test]
fn model_begins_where_it_has_a_greeting_and_once_only() {
    let mut world = World::with(Plan { greeting: Some("Good day.".into()), ..plan() });
    let greeting = system("Greet the caller with these words: Good day.");
    assert_eq!(world.tells(), [greeting, ClientEvent::Respond]);
    world.created(1);
    world.reply(1, "Good day.", 500);
    world.pass(S(1));
    world.down(1, false);
    world.pass(S(3));
    world.ready(2);
    let summary = system("You are in the middle of this call. What was said so far:\nYou: Good day.");
    assert_eq!(world.tells(), [summary]);
}

#[test]
fn model_hangs_up_behind_its_last_word() {
    let mut world = World::new();
    world.turn(1, "bye");
    // The name comes with the item, the arguments later, and both again at the end.
    world.event(1, ServerEvent::Call(call("hang_up", "")));
    world.speech(1, "Goodbye.", 1000);
    world.event(1, ServerEvent::Call(call("hang_up", "{}")));
    world.done(1, ResponseStatus::Completed, vec![call("hang_up", "{}")]);
    let output = ClientEvent::ToolOutput { call: "call_hang_up".into(), output: r#"{"ok":true}"#.into() };
    assert_eq!(world.tells(), [output]);
    world.pass(MS(900));
    assert!(world.orders.is_empty());
    world.pass(MS(200));
    assert_eq!(world.orders, ["HANGUP:a@h##drain"]);
    assert_eq!((world.carried(1), &world.closed[..]), (1000, &[1][..]));
    world.caller(&[1; 160]);
    world.pass(S(60));
    assert_eq!((world.tells(), world.agent_deadline()), (Vec::new(), None));
}

#[test]
fn caller_who_interrupts_the_farewell_stays() {
    let mut world = World::new();
    world.turn(1, "bye");
    world.speech(1, "Goodbye.", 1000);
    world.done(1, ResponseStatus::Completed, vec![call("hang_up", "{}")]);
    world.pass(MS(500));
    world.speech_started(2);
    world.pass(S(5));
    assert!(world.orders.is_empty());
}

#[test]
fn model_that_hangs_up_without_a_word_is_made_to_say_farewell() {
    let mut world = World::new();
    world.turn(1, "bye");
    world.done(1, ResponseStatus::Completed, vec![call("hang_up", "{}")]);
    let tells = world.tells();
    assert_eq!(tells[1..], [system("The call ends. Say these words only: bye"), ClientEvent::Respond]);
    world.created(2);
    world.reply(2, "bye", 500);
    world.pass(S(1));
    assert_eq!(world.orders, ["HANGUP:a@h##drain"]);
}

#[test]
fn function_calls_of_a_reply_that_was_cut_off_are_not_carried_out() {
    for status in [ResponseStatus::Cancelled, ResponseStatus::Incomplete] {
        let mut world = World::new();
        world.turn(1, "hello");
        world.event(1, ServerEvent::Call(call("hang_up", "{}")));
        world.done(1, status, vec![call("hang_up", "{}")]);
        world.pass(S(2));
        assert_eq!((world.orders.len(), world.tells()), (0, Vec::new()));
    }
}

#[test]
fn model_presses_keys_and_goes_on() {
    let mut world = World::new();
    world.turn(1, "choose two");
    world.done(1, ResponseStatus::Completed, vec![call("send_digits", r#"{"digits":"1 2x#"}"#)]);
    assert_eq!(world.orders, ["DTMF:a@h##12#"]);
    let output = ClientEvent::ToolOutput { call: "call_send_digits".into(), output: r#"{"ok":true}"#.into() };
    assert_eq!(world.tells(), [output, ClientEvent::Respond]);
}

#[test]
fn transfer_waits_for_the_last_word_and_the_caller_stays_if_it_fails() {
    let mut world = World::new();
    world.turn(1, "a person please");
    world.speech(1, "I connect you.", 500);
    world.done(1, ResponseStatus::Completed, vec![call("transfer", r#"{"target":"0912341234"}"#)]);
    assert!(world.orders.is_empty());
    world.pass(MS(600));
    assert_eq!(world.orders, ["TRANSFER:a@h##0912341234"]);
    world.tells();
    world.relay_says(&Event::Transfer { call: id(), status: 486, reason: "Busy Here".into() });
    let sorry = system("The transfer failed. Tell the caller, and help him yourself.");
    assert_eq!(world.tells(), [sorry, ClientEvent::Respond]);

    world.created(2);
    world.done(2, ResponseStatus::Completed, vec![call("transfer", r#"{"target":"0912341234"}"#)]);
    world.tells();
    world.pass(S(46));
    assert_eq!(world.tells().pop(), Some(ClientEvent::Respond), "nothing is heard of it");
}

#[test]
fn functions_that_do_not_exist_or_make_no_sense_are_refused_a_bounded_number_of_times() {
    let mut world = World::new();
    world.turn(1, "hello");
    let mut responses = 0;
    for n in 1..20 {
        let calls =
            vec![call("shell", "{}"), call("transfer", r#"{"target":"a##b"}"#), call("send_digits", "[")];
        world.done(n, ResponseStatus::Completed, calls);
        let tells = world.tells();
        let refusals = tells.iter().filter(
            |event| matches!(event, ClientEvent::ToolOutput { output, .. } if output.starts_with("{\"error\":")),
        );
        if tells.is_empty() {
            break;
        }
        assert_eq!(refusals.count(), 3, "{tells:?}");
        responses += tells.iter().filter(|event| **event == ClientEvent::Respond).count();
        world.created(n + 1);
    }
    assert_eq!((responses, world.orders.len()), (8, 0));
}

#[test]
fn silent_caller_is_asked_twice_and_then_bid_farewell() {
    let mut world = World::new();
    for n in 1..=3 {
        world.pass(S(9));
        assert_eq!(world.tells(), []);
        world.pass(MS(1100));
        let text = match n {
            3 => "The call ends. Say these words only: bye",
            _ => "The caller says nothing. Ask with these words: there?",
        };
        assert_eq!(world.tells(), [system(text), ClientEvent::Respond]);
        world.created(n);
        world.reply(n, "x", 500);
        assert!(world.orders.is_empty());
        world.pass(MS(600));
    }
    assert_eq!(world.orders, ["HANGUP:a@h##drain"]);
}

#[test]
fn caller_who_has_put_us_on_hold_is_not_asked_whether_he_is_there() {
    let mut world = World::new();
    world.relay_says(&Event::Hold { call: id() });
    world.pass(S(60));
    world.relay_says(&Event::Resume { call: id() });
    world.pass(S(9));
    assert_eq!(world.tells(), []);
    world.pass(S(2));
    assert_eq!(world.tells().len(), 2);
}

#[test]
fn model_is_asked_to_speak_only_when_it_has_finished() {
    let mut world = World::new();
    world.turn(1, "hello");
    world.speech(1, "hello", 300);
    world.pass(MS(400));
    world.key('1');
    world.done(1, ResponseStatus::Cancelled, Vec::new());
    world.pass(MS(1000));
    world.created(2);
    world.tells();
    world.pass(MS(600));
    let tells = world.tells();
    assert_eq!(tells.len(), 1, "the keys are told, a reply is under way: {tells:?}");
    world.done(2, ResponseStatus::Completed, Vec::new());
    assert_eq!(world.tells(), [ClientEvent::Respond]);
}
