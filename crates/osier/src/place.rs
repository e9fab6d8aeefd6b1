//! Where the kernel was found the last time this snapshot was opened.
//!
//! A raw dump says nothing of its kernel's place, and looking for it costs the more the larger the
//! dump is. The table root is kept in the cache, under a name made of the file's path, size, time
//! and inode; it is tried first, and believed only when it is confirmed like any other.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use osier_memory::PhysAddr;
use osier_profile::OsKind;

use crate::located::Last;

/// What is kept of one snapshot.
pub(crate) struct Place {
    file: Option<PathBuf>,
    kept: Option<Last>,
}

impl Last {
    fn parse(text: &str) -> Option<Self> {
        let (root, os) = match text.trim().split_once(' ') {
            Some((root, "windows")) => (root, OsKind::Windows),
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
        };
        format!("{:x}{os}\n", self.root.0)
    }
}

impl Place {
    /// Looks in the cache for the root of the snapshot in `file`.
    pub(crate) fn of(file: &Path, cache: Option<&Path>) -> Self {
        let file = cache.and_then(|cache| name(file, cache));
        let text = file.as_ref().and_then(|file| fs::read_to_string(file).ok());
        let kept = text.and_then(|text| Last::parse(&text));
        Self { file, kept }
    }

    /// What was kept.
    pub(crate) fn last(&self) -> Option<Last> {
        self.kept
    }

    /// Keeps `last` for the next time. A cache that cannot be written costs time, not answers.
    pub(crate) fn keep(&self, last: Last) {
        let Some(file) = self.file.as_ref().filter(|_| self.kept != Some(last)) else {
            return;
        };
        let temporary = file.with_extension(format!("tmp{}", std::process::id()));
        if let Some(folder) = file.parent() {
            let _ = fs::create_dir_all(folder);
        }
        if fs::write(&temporary, last.text()).is_ok() {
            let _ = fs::rename(&temporary, file);
        }
    }
}

fn name(file: &Path, cache: &Path) -> Option<PathBuf> {
    let meta = fs::metadata(file).ok()?;
    let mut hasher = DefaultHasher::new();
    std::path::absolute(file).ok()?.hash(&mut hasher);
    (meta.len(), meta.modified().ok()?).hash(&mut hasher);
    #[cfg(unix)]
    std::os::unix::fs::MetadataExt::ino(&meta).hash(&mut hasher);
    Some(
        cache
            .join("places")
            .join(format!("{:016x}", hasher.finish())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
