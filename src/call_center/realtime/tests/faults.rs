//! Sessions that end, services that fail.

use testkit::rng::Rng;

use super::world::*;
use crate::call_center::{
    agent::{Agent, Input, Job, News},
    realtime::{ClientEvent, LinkNews, LostAction, Plan, ResponseStatus, ServerEvent},
};
use model::event::{Event, MarkOutcome};

#[test]
fn fresh_session_takes_over_when_nobody_speaks_and_knows_what_was_said() {
    let mut world = World::with(Plan { lifetime: S(60), ..plan() });
    world.turn(1, "my name is Ada");
    world.reply(1, "one two three four", 4000);
    world.pass(MS(2000));
    world.speech_started(2);
    world.pass(S(1));
    world.event(1, ServerEvent::SpeechStopped { at: None });
    world.event(1, ServerEvent::Heard { item: "u2".into(), text: "wait".into() });
    world.created(2);
    world.reply(2, "a very long answer", 60_000);
    world.pass(S(56));
    assert_eq!(world.opened, [1, 2]);
    world.tells();
    // It is prepared while the first goes on.
    world.news(2, LinkNews::Up);
    world.event(2, ServerEvent::SessionUpdated);
    assert_eq!(world.tells().len(), 1, "session.update");
    world.caller(&[1; 160]);
    assert!(world.closed.is_empty());
    world.pass(S(3));
    assert!(world.closed.is_empty(), "the caller still hears it");
    world.pass(S(2));
    assert_eq!(world.closed, [1]);
    let summary = "You are in the middle of this call. What was said so far:\n\
                   Caller: my name is Ada\nYou: one two\nCaller: wait\nYou: a very long answer";
    assert_eq!(world.tells(), [system(summary)]);
    let before = world.appended.len();
    world.caller(&[2; 160]);
    assert_eq!(world.appended.len(), before + 160);
    // What the old one still says is of no interest.
    world.event(1, ServerEvent::SpeechStarted { item: "u9".into(), at: None });
    world.turn(3, "go on");
    world.reply(3, "yes", 500);
    world.pass(S(1));
    assert_eq!(world.carried(3), 500);
}

#[test]
fn fresh_session_does_not_wait_for_silence_for_ever() {
    let mut world = World::with(Plan { lifetime: S(60), ..plan() });
    world.relay_says(&Event::Hold { call: id() });
    world.pass(S(50));
    world.speech_started(2);
    world.pass(S(12));
    assert_eq!(world.opened, [1, 2]);
    world.news(2, LinkNews::Up);
    world.event(2, ServerEvent::SessionUpdated);
    world.pass(S(2));
    assert!(world.closed.is_empty());
    world.pass(S(5));
    assert_eq!(world.closed, [1]);
}

#[test]
fn lost_session_is_made_again_with_what_was_said_and_the_answer_that_is_owed() {
    let mut world = World::new();
    world.turn(1, "my name is Ada");
    world.reply(1, "Hello Ada.", 500);
    world.pass(S(1));
    world.speech_started(2);
    world.pass(S(1));
    world.event(1, ServerEvent::SpeechStopped { at: None });
    world.event(1, ServerEvent::Heard { item: "u2".into(), text: "what time is it?".into() });
    world.down(1, false);
    world.caller(&[5; 160]);
    world.pass(S(2));
    assert_eq!(world.opened, [1, 2]);
    world.tells();
    world.ready(2);
    let summary = "You are in the middle of this call. What was said so far:\n\
                   Caller: my name is Ada\nYou: Hello Ada.\nCaller: what time is it?";
    assert_eq!(world.tells(), [system(summary), ClientEvent::Respond]);
    assert!(world.appended.ends_with(&[5; 160]));
    assert!(world.jobs.is_empty(), "no apology for two seconds");
    world.created(2);
    world.reply(2, "Noon.", 500);
    world.pass(S(1));
    assert_eq!(world.carried(2), 500);
}

#[test]
fn attempts_come_after_1_to_30_seconds_the_caller_hears_it_and_after_a_minute_the_call_ends() {
    let mut world = World::new();
    world.pass(S(20));
    world.tells();
    let lost = world.now;
    let mut link = 1;
    let mut pauses = Vec::new();
    while world.orders.is_empty() {
        world.down(link, false);
        let before = world.now;
        link += 1;
        let wanted = link;
        for job in 0..world.jobs.len() as u64 {
            world.job(job + 1, News::Audio(vec![1000; 800]));
            world.job(job + 1, News::SpeechEnd);
        }
        world.pass_until(S(31), |world| world.opened.contains(&wanted) || !world.orders.is_empty());
        pauses.push((world.now - before).as_secs_f64());
    }
    let in_range = |(n, pause): (usize, &f64)| {
        let whole = [2.0, 4.0, 8.0, 16.0, 30.0].get(n).copied().unwrap_or(30.0);
        (whole / 2.0 - 0.01..=whole + 0.01).contains(pause)
    };
    assert!(pauses[..pauses.len() - 1].iter().enumerate().all(in_range), "{pauses:?}");
    let outage = (world.now - lost).as_secs();
    assert!((60..=95).contains(&outage), "{outage} s");
    assert_eq!(world.orders, ["HANGUP:a@h##drain"]);
    let said: Vec<_> = world.jobs.iter().map(|(_, job)| job.clone()).collect();
    assert_eq!(said, [Job::Speak { text: "sorry".into() }, Job::Speak { text: "bye".into() }]);
}

#[test]
fn caller_hears_an_apology_after_four_seconds_whatever_is_being_tried() {
    for down in [false, true] {
        let mut world = if down { World::new() } else { World::opening(plan()) };
        if down {
            world.pass(S(12));
            world.down(1, false);
        }
        world.pass(MS(3900));
        assert!(world.jobs.is_empty());
        world.pass(MS(200));
        assert_eq!(world.jobs, [(1, Job::Speak { text: "sorry".into() })]);
        world.job(1, News::SpeechEnd);
        world.pass(S(15));
        assert_eq!(world.jobs.len(), 1, "once");
    }
}

#[test]
fn service_that_refuses_us_ends_the_call_after_an_apology() {
    let mut world = World::opening(plan());
    world.down(1, true);
    assert_eq!(world.jobs, [(1, Job::Speak { text: "sorry".into() })]);
    assert!(world.orders.is_empty());
    world.job(1, News::Audio(vec![1000; 8000]));
    world.job(1, News::SpeechEnd);
    world.pass(MS(900));
    assert!(world.orders.is_empty());
    world.pass(MS(200));
    assert_eq!(world.orders, ["HANGUP:a@h##drain"]);
    assert_eq!(world.relay.carried.len(), 50);
    assert_eq!(world.opened, [1]);
}

#[test]
fn service_that_refuses_us_is_asked_again_where_calls_are_kept() {
    let mut world = World::opening(Plan { lost_action: LostAction::Keep, ..plan() });
    for link in 1..20 {
        world.down(link, true);
        world.pass(S(29));
        assert_eq!(world.opened.len() as u64, link);
        world.pass(S(2));
        assert_eq!(world.opened.len() as u64, link + 1);
        if link == 1 {
            world.job(1, News::SpeechEnd);
        }
    }
    assert_eq!(world.jobs.len(), 1, "one apology");
    world.ready(20);
    world.turn(1, "hello");
    world.reply(1, "there you are", 500);
    world.pass(S(1));
    assert_eq!((world.carried(1), world.orders.len()), (500, 0));
}

#[test]
fn without_speech_the_recording_is_heard() {
    let mut world = World::opening(plan());
    world.down(1, true);
    world.job(1, News::Failed("500".into()));
    world.pass(S(2));
    assert_eq!(world.orders, ["HANGUP:a@h##drain"]);
    assert_eq!(world.relay.carried.len(), 50, "a second");
}

#[test]
fn session_that_is_not_accepted_is_a_refusal() {
    let mut world = World::opening(plan());
    world.news(1, LinkNews::Up);
    let (code, message) = ("invalid_value".to_owned(), "Invalid value: 'x'.".to_owned());
    world.event(1, ServerEvent::Error { ours: true, code, message });
    assert_eq!(world.closed, [1]);
    assert_eq!(world.notes[0], "the service refuses the session: invalid_value Invalid value: 'x'.");
    assert_eq!(world.jobs, [(1, Job::Speak { text: "sorry".into() })]);
}

#[test]
fn service_that_does_not_reply_is_left_and_the_caller_hears_an_apology() {
    let mut world = World::new();
    world.turn(1, "hello");
    world.pass(S(14));
    assert!(world.closed.is_empty());
    world.pass(S(2));
    assert_eq!((&world.closed[..], world.jobs.len()), (&[1][..], 1));
    // The same for one that begins and stops in the middle.
    let mut world = World::new();
    world.turn(1, "hello");
    world.delta(1, &[1; 8000]);
    world.pass(S(21));
    assert_eq!((&world.closed[..], world.carried(1)), (&[1][..], 1000));
    // And for one that never says that a session is there.
    let mut world = World::opening(plan());
    world.pass(S(12));
    assert_eq!(world.closed, [1]);
    world.pass(S(2));
    assert_eq!(world.opened, [1, 2]);
}

#[test]
fn reply_that_does_not_begin_is_asked_for_once() {
    let mut world = World::new();
    world.speech_started(1);
    world.event(1, ServerEvent::SpeechStopped { at: None });
    world.pass(MS(6900));
    assert_eq!(world.tells(), []);
    world.pass(S(5));
    assert_eq!(world.tells(), [ClientEvent::Respond]);
    world.created(1);
    world.reply(1, "yes", 500);
    world.pass(S(1));
    assert_eq!((world.carried(1), world.closed.len()), (500, 0));
}

#[test]
fn reply_that_fails_is_apologized_for_and_the_call_goes_on() {
    let mut world = World::new();
    world.turn(1, "hello");
    world.done(1, ResponseStatus::Failed("rate_limit_exceeded".into()), Vec::new());
    assert_eq!(world.jobs, [(1, Job::Speak { text: "sorry".into() })]);
    world.job(1, News::Audio(vec![1000; 16_000]));
    world.pass(MS(500));
    // The caller interrupts that, too; the service has nothing to cut.
    world.tells();
    world.speech_started(2);
    world.pass(MS(100));
    assert_eq!(world.tells(), []);
    assert_eq!((&world.stopped[..], world.relay.clears), (&[1][..], 1));
    world.event(1, ServerEvent::SpeechStopped { at: None });
    world.created(2);
    world.reply(2, "yes", 500);
    world.pass(S(1));
    assert_eq!(world.carried(2), 500);
}

#[test]
fn errors_of_a_session_in_use_change_nothing_but_its_end_does() {
    let mut world = World::new();
    world.turn(1, "hello");
    let error = |code: &str| ServerEvent::Error { ours: true, code: code.into(), message: "m".into() };
    world.event(1, error("conversation_already_has_active_response"));
    world.reply(1, "yes", 500);
    world.pass(S(1));
    assert_eq!((world.carried(1), world.closed.len()), (500, 0));
    world.event(1, error("session_expired"));
    assert_eq!(world.closed, [1]);
    world.pass(S(2));
    assert_eq!(world.opened, [1, 2]);
}

/// Anything in any order: no panic, no deadline that does not move, nothing that grows.
#[test]
fn disorder_is_survived() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let lifetime = S(1 + rng.below(60));
        let lost_action = if rng.chance(0.5) { LostAction::Keep } else { LostAction::HangUp };
        let mut world = World::opening(Plan { lifetime, lost_action, ..plan() });
        for _ in 0..400 {
            let link = 1 + rng.below(world.opened.len() as u64 + 1);
            let n = rng.below(6);
            let name = |prefix: &str| format!("{prefix}{n}");
            let event = match rng.below(22) {
                0 => LinkNews::Up,
                1 => LinkNews::Down { why: "x".into(), refused: rng.chance(0.2) },
                2 | 3 => LinkNews::Event(ServerEvent::SessionUpdated),
                4 => LinkNews::Event(ServerEvent::SpeechStarted { item: name("u"), at: Some(S(n)) }),
                5 => LinkNews::Event(ServerEvent::SpeechStopped { at: Some(S(n)) }),
                6 => LinkNews::Event(ServerEvent::ResponseCreated { response: name("r") }),
                7 => LinkNews::Event(ServerEvent::AudioDone { item: name("a") }),
                8 => {
                    let status = match rng.below(3) {
                        0 => ResponseStatus::Cancelled,
                        1 => ResponseStatus::Failed("x".into()),
                        _ => ResponseStatus::Completed,
                    };
                    let tool = ["hang_up", "transfer", "send_digits", "x"][rng.below(4) as usize];
                    let calls =
                        if rng.chance(0.2) { vec![call(tool, r#"{"target":"1234567"}"#)] } else { vec![] };
                    LinkNews::Event(ServerEvent::ResponseDone { response: name("r"), status, calls })
                }
                9 => {
                    LinkNews::Event(ServerEvent::Error { ours: true, code: "x".into(), message: "m".into() })
                }
                10 => LinkNews::Event(ServerEvent::Spoken { item: name("a"), text: "words".into() }),
                11 => {
                    world.key('5');
                    continue;
                }
                12 => {
                    world
                        .job(1 + n, if rng.chance(0.5) { News::SpeechEnd } else { News::Failed("x".into()) });
                    continue;
                }
                13 => {
                    let name =
                        ["r1.0", "r1.1", "c1", "r2.1", "zz", "r.", "c"][rng.below(7) as usize].to_owned();
                    let (outcome, played) = (MarkOutcome::Played, S(rng.below(9)));
                    world.relay_says(&Event::Mark { call: id(), name, outcome, played });
                    continue;
                }
                14 => {
                    world.agent.handle(world.now, Input::Timeout);
                    continue;
                }
                15 => {
                    world.relay_says(&Event::Transfer { call: id(), status: 486, reason: "x".into() });
                    continue;
                }
                16 => {
                    world.caller(&[1; 160]);
                    continue;
                }
                17 => {
                    world.pass(MS(rng.below(3000)));
                    continue;
                }
                _ => LinkNews::Event(ServerEvent::Audio {
                    response: name("r"),
                    item: name("a"),
                    content_index: 0,
                    audio: vec![1; rng.below(2000) as usize],
                }),
            };
            world.news(link, event);
        }
        world.pass(S(200));
        assert!(world.orders.len() <= 400 && world.opened.len() <= 400);
    }
}
