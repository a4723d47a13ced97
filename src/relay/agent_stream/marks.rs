//! The bot's marks that wait to be reached, each under a name of ours: a bot may give two the same, and any.
//!
//! In: the bot's names. Out: ours for the playout queue, and the bot's again when ours comes back. Pure.

use std::collections::VecDeque;

use super::super::message::BOT_MARK;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Marks {
    waiting: VecDeque<(String, String)>,
    named: u64,
}

impl Marks {
    /// Our name for it; `None` where too many wait.
    pub fn push(&mut self, name: String) -> Option<String> {
        if self.waiting.len() >= MAX_MARKS {
            return None;
        }
        self.named += 1;
        let ours = format!("{BOT_MARK}{}", self.named);
        self.waiting.push_back((ours.clone(), name));
        Some(ours)
    }

    /// The bot's name for it, if it is one of its marks.
    pub fn take(&mut self, ours: &str) -> Option<String> {
        let at = self.waiting.iter().position(|(name, _)| name == ours)?;
        self.waiting.remove(at).map(|(_, name)| name)
    }
}

/// As many as the playout queue takes: more than one for each frame of ten minutes.
pub const MAX_MARKS: usize = 32_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_marks_of_one_name_come_back_once_each_and_no_other() {
        let mut marks = Marks::default();
        let ours: Vec<_> =
            ["a", "a", "##1"].map(|name| marks.push(name.to_owned())).into_iter().flatten().collect();
        assert_eq!(marks.take("a"), None, "a client's mark");
        for (ours, name) in ours.iter().zip(["a", "a", "##1"]) {
            assert_eq!(marks.take(ours).as_deref(), Some(name));
            assert_eq!(marks.take(ours), None);
        }
    }

    #[test]
    fn marks_that_wait_are_bounded() {
        let mut marks = Marks::default();
        let first = marks.push(String::new()).expect("there is room");
        assert!((1..MAX_MARKS).all(|_| marks.push(String::new()).is_some()));
        assert_eq!(marks.push(String::new()), None);
        marks.take(&first);
        assert!(marks.push(String::new()).is_some());
    }
}
