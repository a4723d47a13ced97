//! `History` is what was said in a call, as far as it was heard.
//!
//! In: what the caller said; what was spoken, with marks around each sentence; what became of the marks. Out: messages for
//! the chat model. A sentence that the caller cut off counts up to the word that was being played.

use std::{collections::VecDeque, time::Duration};

use model::event::MarkOutcome;

use super::speech::{ChatMessage, Role};

/// What was said, the oldest first.
#[derive(Debug, Default)]
pub struct History {
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
enum Entry {
    Caller(String),
    Agent(Spoken),
}

/// What the agent says in one turn.
#[derive(Debug)]
struct Spoken {
    turn: u64,
    sentences: Vec<Sentence>,
    /// What became of the marks: the first before the first sentence, then one behind each.
    marks: Vec<Option<(MarkOutcome, Duration)>>,
    interrupted: bool,
}

#[derive(Debug)]
struct Sentence {
    text: String,
    length: Duration,
}

impl History {
    /// The caller said `text`.
    pub fn caller(&mut self, text: &str) {
        self.push(Entry::Caller(text.to_owned()));
    }

    /// The agent begins to speak in this turn.
    pub fn begin(&mut self, turn: u64) {
        let spoken = Spoken { turn, sentences: Vec::new(), marks: vec![None], interrupted: false };
        self.push(Entry::Agent(spoken));
    }

    /// The agent has sent a sentence of this length, and a mark behind it.
    pub fn sentence(&mut self, turn: u64, text: &str, length: Duration) {
        if let Some(spoken) = self.spoken(turn) {
            spoken.sentences.push(Sentence { text: text.to_owned(), length });
            spoken.marks.push(None);
        }
    }

    /// The caller interrupts this turn.
    pub fn interrupt(&mut self, turn: u64) {
        if let Some(spoken) = self.spoken(turn) {
            spoken.interrupted = true;
        }
    }

    /// A mark came back. `played`: audio played in this call until then.
    pub fn mark(&mut self, turn: u64, index: usize, outcome: MarkOutcome, played: Duration) {
        let mark = self.spoken(turn).and_then(|spoken| spoken.marks.get_mut(index));
        if let Some(mark) = mark {
            *mark = Some((outcome, played));
        }
    }

    /// Whether all marks of this turn came back.
    pub fn is_settled(&mut self, turn: u64) -> bool {
        self.spoken(turn).is_none_or(|spoken| spoken.marks.iter().all(Option::is_some))
    }

    /// The messages for the model, the system prompt first. Of what was said lately, [`MOST_ENTRIES`] at most.
    pub fn messages(&self, system_prompt: &str) -> Vec<ChatMessage> {
        let mut messages = vec![ChatMessage { role: Role::System, text: system_prompt.to_owned() }];
        for entry in &self.entries {
            let (role, text) = match entry {
                Entry::Caller(text) => (Role::User, text.clone()),
                Entry::Agent(spoken) => (Role::Assistant, spoken.heard()),
            };
            match messages.last_mut() {
                _ if text.is_empty() => {}
                Some(last) if last.role == role => {
                    last.text.push(' ');
                    last.text.push_str(&text);
                }
                _ => messages.push(ChatMessage { role, text }),
            }
        }
        messages
    }

    fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
        while self.entries.len() > MOST_ENTRIES {
            self.entries.pop_front();
        }
    }

    fn spoken(&mut self, wanted: u64) -> Option<&mut Spoken> {
        self.entries.iter_mut().rev().find_map(|entry| match entry {
            Entry::Agent(spoken) if spoken.turn == wanted => Some(spoken),
            _ => None,
        })
    }
}

impl Spoken {
    /// What the caller heard of it.
    fn heard(&self) -> String {
        let mut heard = String::new();
        for (n, sentence) in self.sentences.iter().enumerate() {
            let text = match (self.marks[n], self.marks[n + 1]) {
                (_, Some((MarkOutcome::Played, _))) => &sentence.text[..],
                (Some((MarkOutcome::Played, begin)), Some((MarkOutcome::Cleared, end))) => {
                    beginning(&sentence.text, end.saturating_sub(begin), sentence.length)
                }
                (_, Some((MarkOutcome::Cleared, _))) => "",
                // Without word from the relay: all of it, unless the caller interrupted.
                (_, None) if self.interrupted => "",
                (_, None) => &sentence.text,
            };
            if !heard.is_empty() && !text.is_empty() {
                heard.push(' ');
            }
            heard.push_str(text);
        }
        heard
    }
}

/// The part of `text` that is spoken in `heard` of `length`, up to the end of a word where it has words.
pub(super) fn beginning(text: &str, heard: Duration, length: Duration) -> &str {
    if heard >= length {
        return text;
    }
    let share = heard.as_secs_f64() / length.as_secs_f64().max(0.001);
    let count = (text.chars().count() as f64 * share) as usize;
    let cut = text.char_indices().nth(count).map_or(text.len(), |(at, _)| at);
    let inside_a_word = text[cut..].chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let end = if inside_a_word { text[..cut].rfind(' ').unwrap_or(0) } else { cut };
    text[..end].trim_end()
}

/// What the caller and the agent said is kept, together.
pub const MOST_ENTRIES: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn texts(history: &History) -> Vec<String> {
        history.messages("p").into_iter().map(|message| message.text).collect()
    }

    #[test]
    fn interrupted_sentence_counts_up_to_the_word_that_was_played() {
        let mut history = History::default();
        history.caller("hello");
        history.begin(1);
        history.sentence(1, "First one.", S(2));
        history.sentence(1, "one two three four.", S(4));
        history.sentence(1, "Never heard.", S(4));
        history.mark(1, 0, MarkOutcome::Played, S(10));
        history.mark(1, 1, MarkOutcome::Played, S(12));
        history.interrupt(1);
        assert_eq!(texts(&history), ["p", "hello", "First one."]);
        history.mark(1, 2, MarkOutcome::Cleared, S(14));
        history.mark(1, 3, MarkOutcome::Cleared, S(14));
        assert!(history.is_settled(1));
        assert_eq!(texts(&history), ["p", "hello", "First one. one two"]);
    }

    #[test]
    fn turn_that_was_not_heard_at_all_is_left_out_and_the_callers_parts_are_one() {
        let mut history = History::default();
        history.caller("hello");
        history.begin(1);
        history.sentence(1, "Good day.", S(2));
        history.interrupt(1);
        history.mark(1, 0, MarkOutcome::Cleared, S(1));
        history.mark(1, 1, MarkOutcome::Cleared, S(1));
        history.caller("are you there?");
        assert_eq!(texts(&history), ["p", "hello are you there?"]);
    }

    #[test]
    fn chinese_is_cut_between_characters() {
        assert_eq!(beginning("我明白了你的意思", S(2), S(4)), "我明白了");
        assert_eq!(beginning("Hello there", S(0), S(4)), "");
        assert_eq!(beginning("Hello there", S(4), S(4)), "Hello there");
    }

    #[test]
    fn history_is_bounded() {
        let mut history = History::default();
        (0..100).for_each(|n| {
            history.caller(&n.to_string());
            history.begin(n);
            history.sentence(n, "ok", S(1));
        });
        assert_eq!(history.messages("p").len(), MOST_ENTRIES + 1);
    }
}
