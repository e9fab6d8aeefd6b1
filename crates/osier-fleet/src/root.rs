//! The folder that snapshots are called by their places in.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::RunError;
use crate::address::is_address;

/// The folder that names begin below.
pub(crate) enum Root {
    Folder(Folder),
    /// An address, which ends with `/`.
    Address(String),
}

/// A folder of this machine.
pub(crate) struct Folder {
    /// As it was named.
    named: PathBuf,
    /// The same from the top of the file system, its links kept; as `real` where it goes upwards.
    absolute: PathBuf,
    /// Where it truly lies.
    real: PathBuf,
}

impl Root {
    pub(crate) fn new(named: &Path) -> Result<Self, RunError> {
        if let Some(address) = named.to_str().filter(|_| is_address(named)) {
            let address = osier_text::address(address);
            return Ok(Self::Address(format!("{}/", address.trim_end_matches('/'))));
        }
        let failed = |source| RunError::Root {
            path: named.to_owned(),
            source,
        };
        let real = fs::canonicalize(named).map_err(failed)?;
        if !real.is_dir() {
            return Err(failed(io::ErrorKind::NotADirectory.into()));
        }
        let absolute = std::path::absolute(named).map_err(failed)?;
        Ok(Self::Folder(Folder {
            named: named.to_owned(),
            absolute: if goes_up(&absolute) {
                real.clone()
            } else {
                absolute
            },
            real,
        }))
    }

    /// The place of a file below the root: by the path that was named where that begins with the root's, so
    /// that a link is called by its own place, or else by where its folder truly lies.
    pub(crate) fn place(&self, path: &Path) -> Result<PathBuf, RunError> {
        let (found, root) = match self {
            Self::Folder(folder) => (folder.find(path), folder.named.clone()),
            Self::Address(address) => {
                // What an address is signed with is no part of a place, which rows and manifests have.
                let shown = path.to_str().map(osier_text::address);
                let below = shown
                    .as_deref()
                    .and_then(|text| text.strip_prefix(address.as_str()));
                let below = below.filter(|below| !below.is_empty());
                (below.map(PathBuf::from), PathBuf::from(address))
            }
        };
        found.ok_or_else(|| RunError::NotBelow {
            path: path.to_owned(),
            root,
        })
    }
}

impl Folder {
    fn find(&self, path: &Path) -> Option<PathBuf> {
        let absolute = std::path::absolute(path).ok()?;
        if !goes_up(&absolute)
            && let Ok(place) = absolute.strip_prefix(&self.absolute)
        {
            return Some(place.to_owned());
        }
        let folder = fs::canonicalize(absolute.parent()?).ok()?;
        let real = folder.join(absolute.file_name()?);
        real.strip_prefix(&self.real).ok().map(Path::to_owned)
    }
}

fn goes_up(path: &Path) -> bool {
    path.components().any(|part| part == Component::ParentDir)
}
