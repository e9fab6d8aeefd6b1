//! What is looked for.

use std::fmt::Write as _;

use memchr::memmem;
use regex::bytes::{Regex, RegexBuilder};

/// Bytes of the longest match of an expression that is surely found; a longer one may be cut or missed.
pub const LONGEST_MATCH: usize = 16 << 10;
/// Memory that one expression may take as it stands: with more, every byte of memory would be held against
/// ten thousand states.
const EXPRESSION_BYTES: usize = 256 << 10;
/// Memory that it may take for what it met.
const MET_BYTES: usize = 16 << 20;

/// Why a pattern cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(pub(super) String);

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Pattern {
    rule: String,
    finder: Finder,
}

#[derive(Clone, Debug)]
enum Finder {
    Exact(Box<memmem::Finder<'static>>),
    Expression(Box<Regex>),
}

impl Pattern {
    /// These bytes.
    ///
    /// # Errors
    /// There are none.
    pub fn text(text: &str) -> Result<Self, PatternError> {
        Self::exact(text.to_owned(), text.as_bytes())
    }

    /// This text as UTF-16, little-endian, as Windows and JavaScript keep it.
    ///
    /// # Errors
    /// There is none.
    pub fn wide_text(text: &str) -> Result<Self, PatternError> {
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        Self::exact(text.to_owned(), &wide)
    }

    /// Bytes in hexadecimal, with blanks between them or without; `?` stands for any four bits.
    ///
    /// # Errors
    /// What is no hexadecimal digit, or half a byte.
    pub fn hex(text: &str) -> Result<Self, PatternError> {
        let wrong = |why: &str| {
            let text = osier_text::visible(text);
            PatternError(format!(
                "`{text}`: {why}; write bytes in hexadecimal, such as 7f454c46 or 7f 45 ?? 4?"
            ))
        };
        let digits: Vec<char> = text
            .chars()
            .filter(|letter| !letter.is_whitespace())
            .collect();
        let mut bytes = Vec::new();
        let (mut expression, mut open) = (String::new(), false);
        for pair in digits.chunks(2) {
            let [high, low] = pair else {
                return Err(wrong("half a byte"));
            };
            let half = |letter: char| match letter {
                '?' => Some(None),
                _ => letter.to_digit(16).map(Some),
            };
            let (Some(high), Some(low)) = (half(*high), half(*low)) else {
                return Err(wrong("no hexadecimal digit"));
            };
            let byte = |high: u32, low: u32| u8::try_from((high << 4) | low).unwrap_or(0);
            match (high, low) {
                (Some(high), Some(low)) => {
                    bytes.push(byte(high, low));
                    let _ = write!(expression, "\\x{:02x}", byte(high, low));
                }
                (high, low) => {
                    open = true;
                    match (high, low) {
                        (Some(high), _) => {
                            let range =
                                format!("[\\x{:02x}-\\x{:02x}]", byte(high, 0), byte(high, 15));
                            expression.push_str(&range);
                        }
                        (None, Some(low)) => {
                            let each = (0..16).map(|high| format!("\\x{:02x}", byte(high, low)));
                            let _ = write!(expression, "[{}]", each.collect::<String>());
                        }
                        (None, None) => expression.push('.'),
                    }
                }
            }
        }
        if !open {
            return Self::exact(text.to_owned(), &bytes);
        }
        let finder = regex(&expression, text)?;
        Ok(Self {
            rule: text.to_owned(),
            finder,
        })
    }

    /// A regular expression over bytes: `.` is any byte, classes are those of ASCII, `\xNN` a byte.
    ///
    /// # Errors
    /// It is no expression, is too large, or matches where nothing is.
    pub fn regex(text: &str) -> Result<Self, PatternError> {
        let finder = regex(text, text)?;
        if let Finder::Expression(regex) = &finder
            && regex.is_match(b"")
        {
            let text = osier_text::visible(text);
            return Err(PatternError(format!("`{text}` matches where nothing is")));
        }
        Ok(Self {
            rule: text.to_owned(),
            finder,
        })
    }

    fn exact(rule: String, bytes: &[u8]) -> Result<Self, PatternError> {
        if bytes.is_empty() || bytes.len() > LONGEST_MATCH {
            let why = format!("a pattern has 1 to {LONGEST_MATCH} bytes");
            return Err(PatternError(why));
        }
        let finder = memmem::Finder::new(bytes).into_owned();
        Ok(Self {
            rule,
            finder: Finder::Exact(Box::new(finder)),
        })
    }

    /// What it was made of.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// Bytes behind the start of a match that must be there for it to be found.
    pub(super) fn reach(&self) -> usize {
        match &self.finder {
            Finder::Exact(finder) => finder.needle().len(),
            Finder::Expression(_) => LONGEST_MATCH,
        }
    }

    /// The first match in `bytes` that starts at `from` or behind: its start and end.
    pub(super) fn find(&self, bytes: &[u8], from: usize) -> Option<(usize, usize)> {
        match &self.finder {
            Finder::Exact(finder) => {
                let start = finder.find(bytes.get(from..)?)?.checked_add(from)?;
                Some((start, start.checked_add(finder.needle().len())?))
            }
            Finder::Expression(regex) => {
                if from > bytes.len() {
                    return None;
                }
                let met = regex.find_at(bytes, from)?;
                Some((met.start(), met.end()))
            }
        }
    }
}

fn regex(expression: &str, text: &str) -> Result<Finder, PatternError> {
    let made = RegexBuilder::new(expression)
        .unicode(false)
        .dot_matches_new_line(true)
        .size_limit(EXPRESSION_BYTES)
        .dfa_size_limit(MET_BYTES)
        .build();
    match made {
        Ok(regex) => Ok(Finder::Expression(Box::new(regex))),
        Err(error) => {
            let text = osier_text::visible(text);
            Err(PatternError(format!(
                "`{text}` is no regular expression over bytes: {error}"
            )))
        }
    }
}
