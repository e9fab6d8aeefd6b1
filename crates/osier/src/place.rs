//! Where the kernel was found the last time this snapshot was opened.
//!
//! A raw dump says nothing of its kernel's place, and looking for it costs the more the larger the
//! dump is. The table root is kept in the cache, with the file's path and [`Identity`]; it is tried
//! first, and believed only when it is confirmed like any other.
//!
//! Kept roots have a bound: each stands in one of [`SLOTS`] files, which its identity chooses, and takes
//! the place of the one that stood there.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use osier_memory::PhysAddr;
use osier_profile::OsKind;
use osier_snapshot::Identity;

use crate::kernel::Last;

/// The most files that are kept.
const SLOTS: u64 = 1024;

/// What is kept of one snapshot.
pub(crate) struct Place {
    slot: Option<Slot>,
    kept: Option<Last>,
}

/// Where it is kept.
struct Slot {
    file: PathBuf,
    /// The snapshot's identity, in hexadecimal digits.
    identity: String,
}

impl Last {
    fn parse(text: &str) -> Option<Self> {
        let (root, os) = match text.trim().split_once(' ') {
            Some((root, "windows")) => (root, OsKind::Windows),
            Some((root, "other")) => (root, OsKind::Other),
            Some(_) => return None,
            None => (text.trim(), OsKind::Linux),
        };
        let root = PhysAddr(u64::from_str_radix(root, 16).ok()?);
        Some(Self { os, root })
    }

    fn text(self) -> String {
        let os = match self.os {
            OsKind::Linux => "",
            OsKind::Windows => " windows",
            OsKind::Other => " other",
        };
        format!("{:x}{os}\n", self.root.0)
    }
}

impl Place {
    /// Looks in the cache for the root of the snapshot in `file`.
    pub(crate) fn of(file: &Path, cache: Option<&Path>) -> Self {
        let slot = cache.and_then(|cache| Slot::of(file, cache));
        let kept = slot.as_ref().and_then(Slot::read);
        Self { slot, kept }
    }

    /// What was kept.
    pub(crate) fn last(&self) -> Option<Last> {
        self.kept
    }

    /// Keeps `last` for the next time. A cache that cannot be written costs time, not answers.
    pub(crate) fn keep(&self, last: Last) {
        let Some(Slot { file, identity }) = self.slot.as_ref().filter(|_| self.kept != Some(last))
        else {
            return;
        };
        if let Some(folder) = file.parent() {
            let _ = fs::create_dir_all(folder);
        }
        let text = format!("{identity} {}", last.text());
        let _ = osier_file::write(file, text);
    }
}

impl Slot {
    fn of(file: &Path, cache: &Path) -> Option<Self> {
        let mut hasher = DefaultHasher::new();
        std::path::absolute(file).ok()?.hash(&mut hasher);
        Identity::of(file).ok()?.hash(&mut hasher);
        let hash = hasher.finish();
        Some(Self {
            file: cache.join("places").join(format!("{:03x}", hash % SLOTS)),
            identity: format!("{hash:016x}"),
        })
    }

    /// The root that is kept here, when it is this snapshot's.
    fn read(&self) -> Option<Last> {
        let text = fs::read_to_string(&self.file).ok()?;
        let root = text.strip_prefix(&self.identity)?.strip_prefix(' ')?;
        Last::parse(root)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn places_have_a_bound_and_each_is_its_own_snapshots() {
        let dir = std::env::temp_dir().join(format!("osier-places-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let root = |number: u64| Last {
            os: OsKind::Linux,
            root: PhysAddr(number << 12),
        };
        for number in 1..=3000_u64 {
            let snapshot = dir.join(format!("{number}.raw"));
            fs::write(&snapshot, number.to_le_bytes()).unwrap();
            assert_eq!(Place::of(&snapshot, Some(&dir)).last(), None, "{number}");
            Place::of(&snapshot, Some(&dir)).keep(root(number));
            let kept = Place::of(&snapshot, Some(&dir)).last();
            assert_eq!(kept, Some(root(number)), "{number}");
        }
        let files = fs::read_dir(dir.join("places")).unwrap().count();
        assert!(files as u64 <= SLOTS, "{files}");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_is_kept_reads_back() {
        for os in [OsKind::Linux, OsKind::Windows] {
            let last = Last {
                os,
                root: PhysAddr(0x1a_d000),
            };
            assert_eq!(Last::parse(&last.text()), Some(last));
        }
        assert_eq!(Last::parse("1ad000 plan9\n"), None);
        assert_eq!(Last::parse("x\n"), None);
    }
}
