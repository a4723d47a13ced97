//! `NumberPattern` decides which numbers a client may call.

use std::fmt;

use regex_lite::Regex;

/// A regular expression that the whole number must match.
#[derive(Clone)]
pub struct NumberPattern {
    source: String,
    regex: Regex,
}

impl NumberPattern {
    /// Compiles `pattern`; it is anchored at both ends whether it says so or not.
    pub fn new(pattern: &str) -> Result<Self, regex_lite::Error> {
        // On its own first: `a)|(b` is balanced only inside the parentheses below.
        Regex::new(pattern)?;
        Ok(Self { source: pattern.to_owned(), regex: Regex::new(&format!(r"\A(?:{pattern})\z"))? })
    }

    /// Whether `number` may be called.
    pub fn matches(&self, number: &str) -> bool {
        self.regex.is_match(number)
    }

    /// The pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

impl Default for NumberPattern {
    /// 7 to 15 digits, at most one `+` before them.
    fn default() -> Self {
        Self::new(r"^\+?[0-9]{7,15}$").expect("a constant; a test compiles it")
    }
}

impl fmt::Debug for NumberPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NumberPattern").field(&self.source).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_takes_7_to_15_ascii_digits_with_a_plus() {
        let pattern = NumberPattern::default();
        for good in ["0912341234", "+886912341234", "1234567", "123456789012345"] {
            assert!(pattern.matches(good), "{good}");
        }
        for bad in
            ["", "123456", "1234567890123456", "0912341234\n", "++886912341234", "091234123a", "٠٩١٢٣٤١٢٣٤"]
        {
            assert!(!pattern.matches(bad), "{bad}");
        }
    }

    #[test]
    fn pattern_matches_the_whole_number_only() {
        let pattern = NumberPattern::new("100|2[0-9]{2}").expect("valid");
        assert!(pattern.matches("100") && pattern.matches("299"));
        assert!(!pattern.matches("1000") && !pattern.matches("0299") && !pattern.matches("100\n"));
    }

    #[test]
    fn unbalanced_pattern_is_an_error() {
        assert!(NumberPattern::new("a)|(b").is_err());
        assert!(NumberPattern::new("[0-9").is_err());
    }
}
