//! What all objects that one `Web` opened have in common: what was asked, what is in memory, what went wrong first.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::manners::Asked;

/// What all objects have in common.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    requests: AtomicU64,
    bytes: AtomicU64,
    /// Blocks that are in memory.
    held: AtomicUsize,
    trouble: OnceLock<String>,
}

impl Shared {
    pub(crate) fn asked(&self) -> Asked {
        Asked {
            requests: self.requests.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// A range, or a page of a list, is asked for.
    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// So many bytes came.
    pub(crate) fn came(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// One block more is in memory.
    pub(crate) fn hold(&self) {
        self.held.fetch_add(1, Ordering::Relaxed);
    }

    /// So many blocks are no longer in memory.
    pub(crate) fn let_go(&self, blocks: usize) {
        self.held.fetch_sub(blocks, Ordering::Relaxed);
    }

    /// Blocks that are in memory.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// What went wrong; only the first is kept.
    pub(crate) fn note(&self, text: String) {
        let _ = self.trouble.set(text);
    }

    /// What went wrong first, with its address.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.get().map(String::as_str)
    }
}
