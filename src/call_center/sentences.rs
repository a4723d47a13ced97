//! `Sentences` cuts a reply that comes in pieces into sentences, so that the first can be spoken before the last is written.
//!
//! In: pieces of text. Out: sentences without blanks around them, none empty, none longer than [`LONGEST`] characters.

/// The state between two pieces.
#[derive(Debug, Default)]
pub struct Sentences {
    text: String,
}

impl Sentences {
    /// Takes a piece and appends the sentences that are complete to `out`.
    pub fn take(&mut self, piece: &str, out: &mut Vec<String>) {
        self.text.push_str(piece);
        while let Some(end) = end_of_sentence(&self.text) {
            let rest = self.text.split_off(end);
            push(std::mem::replace(&mut self.text, rest), out);
        }
    }

    /// The reply is over: what is left of it.
    pub fn finish(&mut self, out: &mut Vec<String>) {
        push(std::mem::take(&mut self.text), out);
    }
}

fn push(sentence: String, out: &mut Vec<String>) {
    let sentence = sentence.trim();
    // A lone bracket or quotation mark is nothing to say.
    if sentence.chars().any(char::is_alphanumeric) {
        out.push(sentence.to_owned());
    }
}

/// Where the first sentence ends, in bytes; `None` while more may belong to it.
fn end_of_sentence(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().peekable();
    let mut length = 0;
    let mut blank = None;
    while let Some((at, c)) = chars.next() {
        length += 1;
        let end = at + c.len_utf8();
        let ends = match c {
            '。' | '！' | '？' | '；' | '\n' => true,
            // "3.5" and "example.com" go on, "e.g. " does not matter.
            '.' | '!' | '?' | '…' => {
                length >= SHORTEST && chars.peek().is_some_and(|(_, next)| next.is_whitespace())
            }
            _ => false,
        };
        if ends {
            return Some(end);
        }
        if c.is_whitespace() || matches!(c, ',' | '，' | '、') {
            blank = Some(end);
        }
        if length >= LONGEST {
            return Some(blank.unwrap_or(end));
        }
    }
    None
}

/// Characters of the shortest sentence with a Latin full stop: "Dr." is none.
const SHORTEST: usize = 5;
/// Characters of the longest sentence; a longer one is cut at a blank or a comma.
pub const LONGEST: usize = 240;

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, size: usize) -> Vec<String> {
        let (mut sentences, mut out) = (Sentences::default(), Vec::new());
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(size) {
            sentences.take(&piece.iter().collect::<String>(), &mut out);
        }
        sentences.finish(&mut out);
        out
    }

    #[test]
    fn sentences_are_the_same_however_the_pieces_are_cut() {
        let text = "Dr. Wu is in. It costs 3.5 euros, really! Is that ok?\n好的。我明白了！\"";
        let expected =
            ["Dr. Wu is in.", "It costs 3.5 euros, really!", "Is that ok?", "好的。", "我明白了！"];
        for size in 1..=text.chars().count() {
            assert_eq!(cut(text, size), expected, "cut by {size}");
        }
    }

    #[test]
    fn sentence_is_given_as_soon_as_it_is_complete() {
        let (mut sentences, mut out) = (Sentences::default(), Vec::new());
        for piece in ["Good", " day", ".", " How"] {
            assert_eq!(out, [""; 0]);
            sentences.take(piece, &mut out);
        }
        assert_eq!(out, ["Good day."]);
    }

    #[test]
    fn endless_sentence_is_cut_between_words() {
        let out = cut(&"word ".repeat(200), 7);
        assert!(out.iter().all(|sentence| sentence.chars().count() <= LONGEST && sentence.ends_with("word")));
        assert!(cut(&"x".repeat(1000), 9).iter().all(|sentence| sentence.len() <= LONGEST));
    }
}
