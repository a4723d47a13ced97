//! `Transcript` is what was said in a call, as far as it was heard: what a fresh session is told of it.
//!
//! In: who spoke when, the words as they become known, how much of them was heard. Out: a text of bounded length.

use std::{collections::VecDeque, time::Duration};

use crate::call_center::history::beginning;

/// What was said, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// Of the session that it was said in.
    item: String,
    caller: bool,
    text: String,
    /// Of the agent's words: how much was heard, and how long all of them are.
    heard: Option<(Duration, Duration)>,
}

impl Transcript {
    /// The caller begins to speak.
    pub(super) fn caller(&mut self, item: &str) {
        self.push(item, true);
    }

    /// The agent begins to speak.
    pub(super) fn agent(&mut self, item: &str) {
        self.push(item, false);
    }

    /// The words of an item are known, often long after it was spoken.
    pub(super) fn words(&mut self, item: &str, caller: bool, text: &str) {
        if !self.entries.iter().any(|entry| entry.item == item) {
            self.push(item, caller);
        }
        if let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.item == item) {
            entry.text = text.trim().chars().take(LONGEST_ENTRY).collect();
        }
    }

    /// So much of an item's speech was heard.
    pub(super) fn heard(&mut self, item: &str, heard: Duration, of: Duration) {
        if let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.item == item) {
            entry.heard = Some((heard, of));
        }
    }

    /// What was said, for a fresh session: of the end of it [`LONGEST`] characters at most. `None` if nothing was.
    pub(super) fn summary(&self) -> Option<String> {
        let mut lines = VecDeque::new();
        let mut room = LONGEST;
        for entry in self.entries.iter().rev() {
            let text = match entry.heard {
                Some((heard, of)) => beginning(&entry.text, heard, of),
                None => &entry.text,
            };
            if text.is_empty() {
                continue;
            }
            let line = format!("{}: {text}", if entry.caller { "Caller" } else { "You" });
            let Some(left) = room.checked_sub(line.chars().count()) else { break };
            room = left;
            lines.push_front(line);
        }
        (!lines.is_empty()).then(|| Vec::from(lines).join("\n"))
    }

    fn push(&mut self, item: &str, caller: bool) {
        while self.entries.len() >= MOST_ENTRIES {
            self.entries.pop_front();
        }
        let item = item.to_owned();
        self.entries.push_back(Entry { item, caller, text: String::new(), heard: None });
    }
}

const MOST_ENTRIES: usize = 64;
/// Characters of one thing that was said.
const LONGEST_ENTRY: usize = 1000;
/// Characters of a summary.
const LONGEST: usize = 4000;

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn what_was_said_is_kept_in_order_as_far_as_it_was_heard() {
        let mut transcript = Transcript::default();
        assert_eq!(transcript.summary(), None);
        transcript.caller("u1");
        transcript.agent("a1");
        // The caller's words become known last.
        transcript.words("a1", false, "one two three four");
        transcript.heard("a1", S(2), S(4));
        transcript.words("u1", true, " hello\n");
        transcript.words("u2", true, "(42 on the keypad)");
        transcript.agent("a2");
        assert_eq!(
            transcript.summary().as_deref(),
            Some("Caller: hello\nYou: one two\nCaller: (42 on the keypad)")
        );
    }

    #[test]
    fn summary_is_bounded_and_keeps_the_end() {
        let mut transcript = Transcript::default();
        for n in 0..1000 {
            transcript.words(&format!("u{n}"), true, &format!("{n} {}", "x".repeat(2000)));
        }
        assert_eq!(transcript.entries.len(), MOST_ENTRIES);
        let summary = transcript.summary().unwrap();
        assert!(summary.chars().count() <= LONGEST + MOST_ENTRIES, "{}", summary.len());
        assert!(summary.starts_with("Caller: 997 ") && summary.contains("Caller: 999 "));
    }
}
