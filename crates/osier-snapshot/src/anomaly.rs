//! Oddities of a file that were survived, and what each can do to an answer.

use std::fmt;

/// An oddity of a snapshot's file that was survived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// What is odd, in words: the place in the file, and what became of it.
    pub text: String,
    /// What it can do to an answer.
    pub effect: Effect,
}

/// What an anomaly can do to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: the file says what it says, and it was read whole.
    Harmless,
    /// Memory may be missing, or may not be what the machine had: the file is cut or damaged, two
    /// parts of it contradict each other, or its layout was guessed.
    Bytes,
    /// Processors or their registers may be missing or wrong.
    Processors,
}

impl Effect {
    /// Its word in JSON: `harmless`, `bytes`, `processors`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Harmless => "harmless",
            Self::Bytes => "bytes",
            Self::Processors => "processors",
        }
    }
}

impl Anomaly {
    /// One that no answer can suffer from.
    pub fn harmless(text: impl Into<String>) -> Self {
        Self::new(Effect::Harmless, text)
    }

    /// One that memory may suffer from.
    pub fn bytes(text: impl Into<String>) -> Self {
        Self::new(Effect::Bytes, text)
    }

    /// One that processors may suffer from.
    pub fn processors(text: impl Into<String>) -> Self {
        Self::new(Effect::Processors, text)
    }

    fn new(effect: Effect, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            effect,
        }
    }

    /// Whether an answer may be wrong or short because of it.
    pub fn is_loss(&self) -> bool {
        self.effect != Effect::Harmless
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
