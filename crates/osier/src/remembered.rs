//! Where the kernel was found the last time this snapshot was opened.
//!
//! A raw dump says nothing of its kernel's place, and looking for it costs the more the larger the
//! dump is. The table root and the build are kept in the cache, with the file's path and [`Identity`]; they
//! are tried first, and believed only when they are confirmed like any other.
//!
//! Kept roots have a bound: each stands in one of [`SLOTS`] files, which its identity chooses, and takes
//! the place of the one that stood there.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use osier_memory::{Paging, PhysAddr};
use osier_profile::{BuildId, OsKind};
use osier_snapshot::{Identity, Reach};

use crate::kernel::{LastKernel, Located};
use crate::options::Options;

/// The most files that are kept.
const SLOTS: u64 = 1024;

/// What is kept of one snapshot.
pub(crate) struct Remembered {
    slot: Option<Slot>,
    kept: Option<Kept>,
}

/// Where a kernel was found, and which it was, as far as that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) last: LastKernel,
    pub(crate) build_id: Option<BuildId>,
}

/// Where it is kept.
struct Slot {
    file: PathBuf,
    /// The snapshot's identity, in hexadecimal digits.
    identity: String,
}

impl Kept {
    pub(crate) fn of(located: &Located) -> Self {
        Self {
            last: located.last(),
            build_id: located.build_id().cloned(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.trim_end().split('\t');
        let root = PhysAddr(u64::from_str_radix(words.next()?, 16).ok()?);
        let mode = Paging::of_name(words.next()?)?;
        let os = match words.next()? {
            "linux" => OsKind::Linux,
            "windows" => OsKind::Windows,
            "other" => OsKind::Other,
            _ => return None,
        };
        let build_id = match words.next() {
            Some(id) => Some(BuildId::from_hex(id)?),
            None => None,
        };
        let last = LastKernel { os, root, mode };
        Some(Self { last, build_id })
    }

    fn text(&self) -> String {
        let os = match self.last.os {
            OsKind::Linux => "linux",
            OsKind::Windows => "windows",
            OsKind::Other => "other",
        };
        let LastKernel { root, mode, .. } = self.last;
        let id = self.build_id.as_ref().map(|id| format!("\t{id}"));
        let id = id.unwrap_or_default();
        format!("{:x}\t{}\t{os}{id}\n", root.0, mode.name())
    }
}

impl Remembered {
    /// Looks in the cache for the root of the snapshot in `file`.
    pub(crate) fn of(file: &Path, options: &Options) -> Self {
        let cache = options.cache.as_deref();
        let reach = options.reach.as_deref();
        let slot = cache.and_then(|cache| Slot::of(file, cache, reach));
        let kept = slot.as_ref().and_then(Slot::read);
        Self { slot, kept }
    }

    /// What was kept.
    pub(crate) fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    /// Keeps `found` for the next time. A cache that cannot be written costs time, not answers.
    pub(crate) fn keep(&self, found: &Kept) {
        let slot = self.slot.as_ref();
        let Some(Slot { file, identity }) = slot.filter(|_| self.kept() != Some(found)) else {
            return;
        };
        if let Some(folder) = file.parent() {
            let _ = fs::create_dir_all(folder);
        }
        let text = format!("{identity} {}", found.text());
        let _ = osier_file::write(file, text);
    }
}

impl Slot {
    fn of(file: &Path, cache: &Path, reach: Option<&dyn Reach>) -> Option<Self> {
        let mut hasher = DefaultHasher::new();
        std::path::absolute(file).ok()?.hash(&mut hasher);
        Identity::reached(file, reach).ok()?.hash(&mut hasher);
        let hash = hasher.finish();
        Some(Self {
            file: cache.join("places").join(format!("{:03x}", hash % SLOTS)),
            identity: format!("{hash:016x}"),
        })
    }

    /// What is kept here, when it is this snapshot's.
    fn read(&self) -> Option<Kept> {
        let text = fs::read_to_string(&self.file).ok()?;
        Kept::parse(text.strip_prefix(&self.identity)?.strip_prefix(' ')?)
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
        let options = Options {
            cache: Some(dir.clone()),
            ..Options::default()
        };
        let found = |number: u64| Kept {
            last: LastKernel {
                os: OsKind::Linux,
                root: PhysAddr(number << 12),
                mode: Paging::Long4,
            },
            build_id: None,
        };
        for number in 1..=3000_u64 {
            let snapshot = dir.join(format!("{number}.raw"));
            fs::write(&snapshot, number.to_le_bytes()).unwrap();
            assert_eq!(Remembered::of(&snapshot, &options).kept(), None, "{number}");
            Remembered::of(&snapshot, &options).keep(&found(number));
            let place = Remembered::of(&snapshot, &options);
            assert_eq!(place.kept(), Some(&found(number)), "{number}");
        }
        let files = fs::read_dir(dir.join("places")).unwrap().count();
        assert!(files as u64 <= SLOTS, "{files}");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_is_kept_reads_back() {
        for os in [OsKind::Linux, OsKind::Windows, OsKind::Other] {
            for mode in Paging::ALL {
                for build_id in [None, Some(BuildId(vec![0x1f; 20]))] {
                    let root = PhysAddr(0x1a_d000);
                    let last = LastKernel { os, root, mode };
                    let kept = Kept { last, build_id };
                    assert_eq!(Kept::parse(&kept.text()), Some(kept));
                }
            }
        }
        for bad in [
            "1ad000\t4-level\tplan9\n",
            "x\t4-level\tlinux\n",
            "1ad000\n",
            "1ad000\t4-level\tlinux\tzz\n",
        ] {
            assert_eq!(Kept::parse(bad), None, "{bad}");
        }
    }
}
