//! How much a page may take.

use std::time::{Duration, Instant};

/// How much a page may take of time and room, and how much of each row it shows.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The most rows of one list that are shown; all are counted.
    pub rows: usize,
    /// The most bytes of markup of one list.
    pub bytes: usize,
    /// Every column of a list, not only those that the terminal's table shows unasked.
    pub wide: bool,
    /// When nothing is asked any more, and the limit that this is by.
    pub until: Option<(Instant, Duration)>,
}

impl Default for Bounds {
    /// Ten thousand rows, 16 MiB, the usual columns, no limit of time.
    fn default() -> Self {
        Self {
            rows: 10_000,
            bytes: 16 << 20,
            wide: false,
            until: None,
        }
    }
}

impl Bounds {
    /// The limit of time, when it is over.
    pub fn over(&self) -> Option<Duration> {
        let (until, limit) = self.until?;
        (Instant::now() >= until).then_some(limit)
    }
}
