//! How servers are dealt with, and what was asked of them.

use std::time::Duration;

/// How servers are dealt with.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// How long a server may be silent.
    pub silence: Duration,
    /// How often a range is asked for before it is given up.
    pub tries: u32,
    /// How long to wait before the second try; each further wait is twice as long.
    pub pause: Duration,
    /// The most bytes that are read of one object. More is what a search of everything takes, and who
    /// wants one says so.
    pub most: u64,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(20),
            tries: 5,
            pause: Duration::from_millis(200),
            most: 128 << 20,
        }
    }
}

/// What was asked of servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Requests, those that were tried again among them.
    pub requests: u64,
    /// Bytes that came with the answers that were taken.
    pub bytes: u64,
}
