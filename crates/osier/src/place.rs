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

/// The kept root of one snapshot.
pub(crate) struct Place {
    file: Option<PathBuf>,
    kept: Option<PhysAddr>,
}

impl Place {
    /// Looks in the cache for the root of the snapshot in `file`.
    pub(crate) fn of(file: &Path, cache: Option<&Path>) -> Self {
        let file = cache.and_then(|cache| name(file, cache));
        let text = file.as_ref().and_then(|file| fs::read_to_string(file).ok());
        let kept = text
            .and_then(|text| u64::from_str_radix(text.trim(), 16).ok())
            .map(PhysAddr);
        Self { file, kept }
    }

    /// The root that was kept.
    pub(crate) fn root(&self) -> Option<PhysAddr> {
        self.kept
    }

    /// Keeps `root` for the next time. A cache that cannot be written costs time, not answers.
    pub(crate) fn keep(&self, root: PhysAddr) {
        let Some(file) = self.file.as_ref().filter(|_| self.kept != Some(root)) else {
            return;
        };
        let temporary = file.with_extension(format!("tmp{}", std::process::id()));
        if let Some(folder) = file.parent() {
            let _ = fs::create_dir_all(folder);
        }
        if fs::write(&temporary, format!("{:x}\n", root.0)).is_ok() {
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
