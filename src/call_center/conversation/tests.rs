//! Conversations in virtual time, with an audio clock: every frame of the caller is 20 ms.

use model::command::AgentPayload;
use testkit::voice;

use super::*;
use crate::call_center::speech::{ChatMessage, Role};

#[test]
fn turn_is_transcribed_replied_to_and_spoken_sentence_by_sentence() {
    let mut scene = Scene::new();
    let (transcribe, pcm) = scene.turn();
    assert!((1500..2000).contains(&(pcm.len() / 8)), "{} ms", pcm.len() / 8);
    let (reply, messages) = scene.transcript(transcribe, "hello");
    assert_eq!(messages, [message(Role::System, "be kind"), message(Role::User, "hello")]);

    assert_eq!(scene.news(reply, News::Piece("Good day.".into())), []);
    let outputs = scene.news(reply, News::Piece(" How are".into()));
    assert_eq!(outputs, [Output::Start(3, Job::Speak { text: "Good day.".into() })]);
    // The first bytes are played as they come, behind a mark.
    let outputs = scene.news(3, News::Audio(vec![1; 800]));
    let [Output::Say(begin), Output::Say(audio), Output::Answered(times)] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!((begin.to_string().as_str(), samples(audio)), ("MARK:a@h##t1.0", 800));
    assert!(times.line(Duration::ZERO).starts_with("turn 1: "), "{times:?}");
    assert_eq!(says(&scene.news(3, News::SpeechEnd)), ["MARK:a@h##t1.1"]);

    let outputs = scene.news(reply, News::Piece(" you? Fine.".into()));
    assert_eq!(outputs, [Output::Start(4, Job::Speak { text: "How are you?".into() })]);
    assert_eq!(scene.news(reply, News::ReplyEnd(Vec::new())), []);
    // The third is asked for when the second can be heard; it may be ready before, and waits.
    let outputs = scene.news(4, News::Audio(vec![2; 160]));
    assert_eq!(says(&outputs), ["RTP 160"]);
    assert_eq!(outputs[1..], [Output::Start(5, Job::Speak { text: "Fine.".into() })]);
    assert_eq!(scene.news(5, News::Audio(vec![3; 80])), []);
    assert_eq!(scene.news(5, News::SpeechEnd), []);
    assert_eq!(says(&scene.news(4, News::SpeechEnd)), ["MARK:a@h##t1.2", "RTP 80", "MARK:a@h##t1.3"]);

    for index in 0..4 {
        assert_eq!(scene.mark(1, index, MarkOutcome::Played, 0), []);
    }
    let (transcribe, _) = scene.turn();
    let (_, messages) = scene.transcript(transcribe, "and you?");
    assert_eq!(
        messages[2..],
        [message(Role::Assistant, "Good day. How are you? Fine."), message(Role::User, "and you?"),]
    );
}

#[test]
fn caller_who_interrupts_is_heard_at_once_and_the_history_keeps_what_was_heard() {
    let mut scene = Scene::new();
    let reply = scene.speaking("One two three four. Five six.", 4000);
    scene.mark(1, 0, MarkOutcome::Played, 700);
    let start = scene.now;
    let outputs = scene.speak_until(|output| matches!(output, Output::Say(Command::Clear { .. })));
    assert!(scene.now - start <= Duration::from_millis(300), "noticed after {:?}", scene.now - start);
    // Jobs are stopped, the sentence under way gets its mark, then everything is dropped; all in one step.
    assert_eq!(outputs[..2], [Output::Stop(reply), Output::Stop(3)]);
    assert_eq!(says(&outputs), ["MARK:a@h##t1.1", "CLEAR:a@h"]);
    assert_eq!(scene.news(3, News::Audio(vec![1; 800])), [], "nothing of it is sent any more");
    // Half of the four seconds had been played.
    scene.mark(1, 1, MarkOutcome::Cleared, 2700);
    let transcribe = scene.turn_ends();
    let (_, messages) = scene.transcript(transcribe, "wait");
    assert_eq!(messages[2..], [message(Role::Assistant, "One two"), message(Role::User, "wait")]);
}

#[test]
fn caller_who_goes_on_before_anything_was_said_is_transcribed_as_a_whole() {
    let mut scene = Scene::new();
    let (first, pcm) = scene.turn();
    let outputs = scene.speak_until(|output| matches!(output, Output::Stop(_)));
    assert_eq!(outputs, [Output::Stop(first)]);
    let (outputs, transcribe) = scene.until_transcription();
    assert_eq!(says(&outputs), [""; 0], "there is nothing to clear");
    let (_, whole) = transcribe;
    assert!(whole.len() > pcm.len() + 2400 && whole.starts_with(&pcm), "{} after {}", whole.len(), pcm.len());
}

#[test]
fn caller_who_goes_on_while_the_model_thinks_is_replied_to_once() {
    let mut scene = Scene::new();
    let (transcribe, _) = scene.turn();
    let (reply, _) = scene.transcript(transcribe, "I want");
    let outputs = scene.speak_until(|output| matches!(output, Output::Stop(_)));
    assert_eq!(outputs, [Output::Stop(reply)]);
    let transcribe = scene.turn_ends();
    let (_, messages) = scene.transcript(transcribe, "a pizza");
    assert_eq!(messages[1..], [message(Role::User, "I want a pizza")]);
}

#[test]
fn noise_without_words_is_no_turn() {
    let mut scene = Scene::new();
    let (transcribe, _) = scene.turn();
    assert_eq!(scene.news(transcribe, News::Transcript(" \n".into())), []);
    assert!(matches!(scene.agent.stage, Stage::Listening));
}

#[test]
fn silent_caller_is_asked_twice_and_then_bid_farewell() {
    let mut scene = Scene::new();
    for (job, text) in [(1, "there?"), (2, "there?"), (3, "bye")] {
        let asked = scene.silence(10_100);
        assert_eq!(asked, [Output::Start(job, Job::Speak { text: text.into() })]);
        scene.news(job, News::Audio(vec![1; 800]));
        assert_eq!(scene.news(job, News::SpeechEnd).len(), 1);
        scene.mark(job, 0, MarkOutcome::Played, 0);
        let outputs = scene.mark(job, 1, MarkOutcome::Played, 100);
        let expected: &[&str] = if job == 3 { &["HANGUP:a@h##drain"] } else { &[] };
        assert_eq!(says(&outputs), expected);
    }
    // The relay may have missed that.
    assert_eq!(says(&scene.silence(60_000)), ["HANGUP:a@h##drain"; 6]);
}

#[test]
fn caller_who_has_put_us_on_hold_is_not_asked_whether_he_is_there() {
    let mut scene = Scene::new();
    let now = scene.now;
    scene.agent.handle(now, Input::Event(&Event::Hold { call: id() }));
    assert_eq!(scene.silence(60_000), []);
    let now = scene.now;
    scene.agent.handle(now, Input::Event(&Event::Resume { call: id() }));
    assert_eq!(scene.silence(9_900), []);
    assert_eq!(scene.silence(200).len(), 1);
}

#[test]
fn service_that_is_down_is_apologized_for_and_the_next_turn_goes_on() {
    let mut scene = Scene::new();
    let (transcribe, _) = scene.turn();
    let apology =
        [Output::Apologized(Apology::Spoken), Output::Start(2, Job::Speak { text: "sorry".into() })];
    assert_eq!(scene.news(transcribe, down()), apology);
    // Nor can that be spoken: the recording, with marks like any speech.
    let outputs = scene.news(2, down());
    assert_eq!(outputs[0], Output::Apologized(Apology::Recorded));
    assert_eq!(says(&outputs), ["MARK:a@h##t2.0", "RTP 16000", "MARK:a@h##t2.1"]);
    scene.mark(2, 0, MarkOutcome::Played, 0);
    scene.mark(2, 1, MarkOutcome::Played, 2000);
    assert!(matches!(scene.agent.stage, Stage::Listening));

    let (transcribe, _) = scene.turn();
    let (reply, _) = scene.transcript(transcribe, "hello");
    let outputs = scene.news(reply, down());
    assert!(outputs.contains(&Output::Start(5, Job::Speak { text: "sorry".into() })), "{outputs:?}");
}

#[test]
fn voice_that_is_down_is_not_asked_to_apologize() {
    let mut scene = Scene::new();
    let (transcribe, _) = scene.turn();
    let (reply, _) = scene.transcript(transcribe, "hello");
    scene.news(reply, News::Piece("Good day. How are you?".into()));
    let outputs = scene.news(3, down());
    assert_eq!(outputs[..2], [Output::Stop(reply), Output::Apologized(Apology::Recorded)]);
    assert_eq!(says(&outputs), ["MARK:a@h##t2.0", "RTP 16000", "MARK:a@h##t2.1"]);
    // The caller may interrupt that, too.
    scene.mark(2, 0, MarkOutcome::Played, 0);
    let outputs = scene.speak_until(|output| matches!(output, Output::Interrupted));
    assert_eq!(says(&outputs), ["CLEAR:a@h"]);
}

#[test]
fn voice_that_says_nothing_is_as_good_as_down() {
    let mut scene = Scene::new();
    let (transcribe, _) = scene.turn();
    let (reply, _) = scene.transcript(transcribe, "hello");
    scene.news(reply, News::Piece("Good day.".into()));
    assert_eq!(scene.news(reply, News::ReplyEnd(Vec::new())).len(), 1);
    let outputs = scene.news(3, News::SpeechEnd);
    assert_eq!(says(&outputs), ["MARK:a@h##t2.0", "RTP 16000", "MARK:a@h##t2.1"]);
}

#[test]
fn announcement_does_not_wait_for_a_voice_that_hangs() {
    let mut scene = Scene::new();
    let (transcribe, _) = scene.turn();
    scene.news(transcribe, down());
    assert_eq!(scene.silence(2_900), []);
    let outputs = scene.silence(200);
    assert_eq!(outputs[..2], [Output::Stop(2), Output::Apologized(Apology::Recorded)]);
    assert_eq!(says(&outputs), ["MARK:a@h##t2.0", "RTP 16000", "MARK:a@h##t2.1"]);
    assert_eq!(scene.news(2, News::Audio(vec![1; 800])), [], "it is too late");
}

#[test]
fn call_that_is_still_there_after_the_hang_up_is_hung_up_again() {
    let mut scene = Scene::new();
    scene.agent.rules.patience = None;
    let (transcribe, _) = scene.turn();
    let (reply, _) = scene.transcript(transcribe, "bye");
    scene.news(reply, News::Piece("Goodbye.".into()));
    scene.news(reply, News::ReplyEnd(vec![call("hang_up", "")]));
    let outputs = scene.news(3, down());
    assert_eq!(says(&outputs), ["MARK:a@h##t2.0", "RTP 16000", "MARK:a@h##t2.1"]);
    scene.mark(2, 0, MarkOutcome::Played, 0);
    assert_eq!(says(&scene.mark(2, 1, MarkOutcome::Played, 2000)), ["HANGUP:a@h##drain"]);
    assert_eq!(says(&scene.silence(9_900)), [""; 0]);
    assert_eq!(says(&scene.silence(200)), ["HANGUP:a@h##drain"]);
}

#[test]
fn end_of_turn_is_as_long_as_the_rules_say() {
    for ms in [300, 1000] {
        let mut scene = Scene::new();
        let rules = Rules { end_of_turn: Duration::from_millis(ms), ..scene.agent.rules.clone() };
        scene.agent = Conversation::new(id(), rules, scene.now);
        scene.silence(1000);
        for _ in 0..75 {
            let frame = scene.voice.next().unwrap();
            scene.frame(&frame);
        }
        let last_word = scene.now;
        while !scene
            .silence(20)
            .iter()
            .any(|output| matches!(output, Output::Start(_, Job::Transcribe { .. })))
        {
            assert!(scene.now - last_word < Duration::from_secs(3));
        }
        let waited = (scene.now - last_word).as_millis() as u64;
        // The words end in a short pause of their own.
        assert!((ms.saturating_sub(200)..=ms + 60).contains(&waited), "{waited} of {ms} ms");
    }
}

#[test]
fn long_reply_is_synthesized_a_little_ahead_of_what_is_played() {
    let mut scene = Scene::new();
    scene.agent.rules.patience = None;
    let (transcribe, _) = scene.turn();
    let (reply, _) = scene.transcript(transcribe, "tell me everything");
    let mut jobs: VecDeque<JobId> = VecDeque::new();
    let begun = |outputs: &[Output], jobs: &mut VecDeque<JobId>| {
        let speech = outputs.iter().filter_map(|output| match output {
            Output::Start(job, Job::Speak { .. }) => Some(*job),
            _ => None,
        });
        let before = jobs.len();
        jobs.extend(speech);
        jobs.len() - before
    };
    let outputs = scene.news(reply, News::Piece("A sentence of ten seconds. ".repeat(60)));
    let mut asked = begun(&outputs, &mut jobs);
    begun(&scene.news(reply, News::ReplyEnd(Vec::new())), &mut jobs);
    let start = scene.now;
    while asked < 60 {
        while let Some(job) = jobs.pop_front() {
            let outputs = scene.news(job, News::Audio(vec![1; 80_000]));
            asked += begun(&outputs, &mut jobs);
            let outputs = scene.news(job, News::SpeechEnd);
            asked += begun(&outputs, &mut jobs);
        }
        let played = (scene.now - start).as_secs() as usize;
        assert!((asked - 1) * 10 <= played + 30, "{asked} sentences after {played} s");
        assert!(asked * 10 >= played, "it never runs dry: {asked} sentences after {played} s");
        let outputs = scene.silence(1000);
        asked += begun(&outputs, &mut jobs);
    }
}

#[test]
fn sentence_without_end_is_cut() {
    let mut scene = Scene::new();
    let (transcribe, _) = scene.turn();
    let (reply, _) = scene.transcript(transcribe, "hello");
    scene.news(reply, News::Piece("Good day. ".into()));
    for _ in 0..12 {
        assert_eq!(says(&scene.news(3, News::Audio(vec![1; 80_000]))).last().unwrap(), "RTP 80000");
    }
    let outputs = scene.news(3, News::Audio(vec![1; 80_000]));
    assert_eq!(outputs[0], Output::Stop(3));
    assert_eq!(says(&outputs), ["RTP 80000", "MARK:a@h##t1.1"]);
}

#[test]
fn model_hangs_up_after_its_last_word_was_played() {
    let mut scene = Scene::new();
    let (transcribe, _) = scene.turn();
    let (reply, _) = scene.transcript(transcribe, "bye");
    scene.news(reply, News::Piece("Goodbye.".into()));
    scene.news(reply, News::ReplyEnd(vec![call("hang_up", "")]));
    scene.news(3, News::Audio(vec![1; 800]));
    assert_eq!(says(&scene.news(3, News::SpeechEnd)), ["MARK:a@h##t1.1"]);
    assert_eq!(scene.mark(1, 0, MarkOutcome::Played, 0), []);
    assert_eq!(says(&scene.mark(1, 1, MarkOutcome::Played, 100)), ["HANGUP:a@h##drain"]);
}

#[test]
fn model_that_hangs_up_without_a_word_bids_farewell() {
    let mut scene = Scene::new();
    let (transcribe, _) = scene.turn();
    let (reply, _) = scene.transcript(transcribe, "bye");
    let outputs = scene.news(reply, News::ReplyEnd(vec![call("hang_up", "")]));
    assert_eq!(outputs[1..], [Output::Start(3, Job::Speak { text: "bye".into() })]);
}

#[test]
fn model_transfers_and_presses_keys_but_only_with_tools_that_it_has() {
    let mut scene = Scene::new();
    let (transcribe, _) = scene.turn();
    let (reply, _) = scene.transcript(transcribe, "a person please");
    let calls = vec![
        call("send_digits", "1 2x#"),
        call("transfer", "bad##target"),
        call("transfer", "0912341234"),
        call("shell", "rm"),
    ];
    assert_eq!(
        says(&scene.news(reply, News::ReplyEnd(calls))),
        ["DTMF:a@h##12#", "TRANSFER:a@h##0912341234"]
    );
    scene = Scene::new();
    scene.agent.rules.tools.clear();
    let (transcribe, _) = scene.turn();
    let (reply, _) = scene.transcript(transcribe, "bye");
    assert_eq!(says(&scene.news(reply, News::ReplyEnd(vec![call("hang_up", "")]))), [""; 0]);
}

#[test]
fn keys_are_told_to_the_model_together() {
    let mut scene = Scene::new();
    for digit in ['4', '2'] {
        let call = id();
        let duration = Duration::from_millis(100);
        scene.agent.handle(scene.now, Input::Event(&Event::Dtmf { call, digit, duration }));
    }
    let outputs = scene.silence(2000);
    let [Output::Start(1, Job::Reply { messages, .. })] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(messages[1].text, "(42 on the keypad)");
}

#[test]
fn lost_marks_do_not_end_the_conversation() {
    let mut scene = Scene::new();
    scene.speaking("Hello there.", 1000);
    scene.news(2, News::ReplyEnd(Vec::new()));
    scene.news(3, News::SpeechEnd);
    assert!(!matches!(scene.agent.stage, Stage::Listening));
    scene.silence(7000);
    assert!(matches!(scene.agent.stage, Stage::Listening));
}

struct Scene {
    agent: Conversation,
    now: Instant,
    voice: std::iter::Cycle<std::vec::IntoIter<[i16; 160]>>,
}

impl Scene {
    fn new() -> Self {
        let now = Instant::now();
        let rules = Rules {
            system_prompt: "be kind".into(),
            tools: TOOLS.to_vec(),
            patience: Some(Duration::from_secs(10)),
            prompt: "there?".into(),
            farewell: "bye".into(),
            apology: "sorry".into(),
            end_of_turn: Duration::from_millis(500),
            recording: [7; RECORDING].into(),
        };
        let frames: Vec<[i16; 160]> = voice::speech(8000, 3000, 1).as_chunks().0.to_vec();
        let mut scene =
            Self { agent: Conversation::new(id(), rules, now), now, voice: frames.into_iter().cycle() };
        scene.silence(1000);
        scene
    }

    fn frame(&mut self, pcm: &[i16]) -> Vec<Output> {
        self.now += Duration::from_millis(20);
        self.agent.handle(self.now, Input::Audio(pcm));
        if self.agent.deadline().is_some_and(|at| at <= self.now) {
            self.agent.handle(self.now, Input::Timeout);
        }
        self.drain()
    }

    fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.agent.poll()).collect()
    }

    fn silence(&mut self, ms: usize) -> Vec<Output> {
        (0..ms / 20).flat_map(|_| self.frame(&[0; 160])).collect()
    }

    fn speak_until(&mut self, found: impl Fn(&Output) -> bool) -> Vec<Output> {
        for _ in 0..100 {
            let frame = self.voice.next().unwrap();
            let outputs = self.frame(&frame);
            if outputs.iter().any(&found) {
                return outputs;
            }
        }
        panic!("not within two seconds")
    }

    /// The caller says something for a second and a half: the transcription, and the audio.
    fn turn(&mut self) -> (JobId, Vec<i16>) {
        for _ in 0..75 {
            let frame = self.voice.next().unwrap();
            assert_eq!(self.frame(&frame), []);
        }
        self.until_transcription().1
    }

    fn until_transcription(&mut self) -> (Vec<Output>, (JobId, Vec<i16>)) {
        let outputs = self.silence(1000);
        let job = outputs.iter().find_map(|output| match output {
            Output::Start(job, Job::Transcribe { pcm }) => Some((*job, pcm.to_vec())),
            _ => None,
        });
        (outputs, job.expect("the turn is transcribed"))
    }

    fn turn_ends(&mut self) -> JobId {
        self.until_transcription().1.0
    }

    fn news(&mut self, job: JobId, news: News) -> Vec<Output> {
        self.agent.handle(self.now, Input::Job(job, news));
        self.drain()
    }

    fn transcript(&mut self, job: JobId, text: &str) -> (JobId, Vec<ChatMessage>) {
        let outputs = self.news(job, News::Transcript(text.into()));
        match &outputs[..] {
            [Output::Start(job, Job::Reply { messages, .. })] => (*job, messages.clone()),
            other => panic!("{other:?}"),
        }
    }

    fn mark(&mut self, turn: u64, index: usize, outcome: MarkOutcome, played: u64) -> Vec<Output> {
        let played = Duration::from_millis(played);
        let mark = Event::Mark { call: id(), name: mark_name(turn, index), outcome, played };
        self.agent.handle(self.now, Input::Event(&mark));
        self.drain()
    }

    /// A turn whose reply is being spoken: `ms` of its first sentence have been sent.
    fn speaking(&mut self, text: &str, ms: usize) -> JobId {
        let (transcribe, _) = self.turn();
        let (reply, _) = self.transcript(transcribe, "hello");
        self.news(reply, News::Piece(format!("{text} ")));
        self.news(3, News::Audio(vec![1; ms * 8]));
        reply
    }
}

/// Samples of the recorded apology.
const RECORDING: usize = 16_000;

fn down() -> News {
    News::Failed("500".into())
}

fn id() -> CallId {
    CallId::from_sip_call_id("a@h")
}

fn message(role: Role, text: &str) -> ChatMessage {
    ChatMessage { role, text: text.into() }
}

fn call(name: &str, argument: &str) -> ToolCall {
    ToolCall { name: name.into(), argument: argument.into() }
}

fn samples(command: &Command) -> usize {
    match command {
        Command::Rtp { audio: AgentPayload::Pcm(bytes), .. } => bytes.len() / 2,
        other => panic!("{other}"),
    }
}

/// What the relay is told, audio by its number of samples.
fn says(outputs: &[Output]) -> Vec<String> {
    let commands = outputs.iter().filter_map(|output| match output {
        Output::Say(command) => Some(command),
        _ => None,
    });
    commands
        .map(|command| match command {
            Command::Rtp { .. } => format!("RTP {}", samples(command)),
            other => other.to_string(),
        })
        .collect()
}
