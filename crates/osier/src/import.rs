//! Symbol files into a profile, and a profile into other tools' formats.

use std::path::{Path, PathBuf};

use osier_profile::{OsKind, Profile, ProfileBuilder, ProfileStore, Wanted};
use osier_snapshot::MappedFile;
use osier_symbols::{SymbolError, SymbolFile, WantedOf, import_symbols, merge, set_age_by_name};

/// The folder of the cache that keeps PDBs themselves, laid out as a symbol server. A profile that
/// was made for another list of wanted facts is made anew of them.
pub const SYMBOLS: &str = "symbols";

/// Why symbol files could not be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file could not be read.
    #[error("{file}: {source}", file = osier_text::path(file))]
    Io {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is no symbol file, or a damaged one.
    #[error("{file}: {source}", file = osier_text::path(file))]
    Symbols {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: SymbolError,
    },
    /// A file that describes many kernels, and none or several of them fit.
    #[error("{file}: {count} kernels {what}; name one with --group: {groups}", file = osier_text::path(file))]
    Group {
        /// The file.
        file: PathBuf,
        /// Number of kernels that are left.
        count: usize,
        /// What they have in common.
        what: &'static str,
        /// What the file's kernels are called.
        groups: String,
    },
    /// No file was given.
    #[error("no symbol file was given")]
    Nothing,
}

/// Reads symbol files that together describe one kernel; what an earlier file says counts before
/// a later one. `group` chooses among the kernels of a `kernelinfo.conf`.
///
/// # Errors
///
/// [`ImportError`] names the file.
pub fn import(files: &[PathBuf], group: Option<&str>) -> Result<Profile, ImportError> {
    import_kept(files, group, wanted)
}

/// As [`import`], but every type, symbol and enumerator is kept: what another tool may ask for,
/// not what a provider reads. Such a profile is for exporting; the cache does not take it.
///
/// # Errors
///
/// [`ImportError`] names the file.
pub fn import_whole(files: &[PathBuf], group: Option<&str>) -> Result<Profile, ImportError> {
    import_kept(files, group, osier_symbols::everything)
}

fn import_kept(
    files: &[PathBuf],
    group: Option<&str>,
    wanted: WantedOf,
) -> Result<Profile, ImportError> {
    let mut all: Option<ProfileBuilder> = None;
    for file in files {
        let one = import_one(file, group, wanted)?;
        match &mut all {
            None => all = Some(one),
            Some(builder) => merge(builder, &one.build()),
        }
    }
    all.map(ProfileBuilder::build).ok_or(ImportError::Nothing)
}

fn import_one(
    file: &Path,
    group: Option<&str>,
    wanted: WantedOf,
) -> Result<ProfileBuilder, ImportError> {
    let mapped = MappedFile::open(file).map_err(|source| ImportError::Io {
        file: file.to_owned(),
        source,
    })?;
    let mut found =
        import_symbols(mapped.bytes(), wanted).map_err(|source| ImportError::Symbols {
            file: file.to_owned(),
            source,
        })?;
    if SymbolFile::detect(mapped.bytes()) == Some(SymbolFile::Rekall)
        && let Some(name) = file.file_name().and_then(|name| name.to_str())
    {
        for builder in &mut found {
            set_age_by_name(builder, name);
        }
    }
    // A group's name is what the importer calls the release of its kernel.
    let names: Vec<String> = found
        .iter()
        .map(|builder| builder.identity().release.clone())
        .collect();
    let mut what = "are described there";
    if let Some(group) = group.filter(|_| found.len() > 1) {
        found.retain(|builder| builder.identity().release == group);
        what = "of that name are described there";
    }
    match found.pop() {
        Some(builder) if found.is_empty() => Ok(builder),
        last => Err(ImportError::Group {
            file: file.to_owned(),
            count: found.len().saturating_add(usize::from(last.is_some())),
            what,
            groups: names.join(", "),
        }),
    }
}

/// Keeps an imported profile in the cache at `cache`, where every later session finds it. `None`
/// when it has no build id to be found by, or the cache cannot be written.
pub fn keep(profile: &Profile, cache: Option<PathBuf>) -> Option<PathBuf> {
    let store = ProfileStore {
        cache,
        ..ProfileStore::default()
    };
    store.save(profile, fingerprint(profile))
}

/// What the provider of an operating system reads of its kernel; `None` is everything.
pub fn wanted(os: OsKind) -> Option<&'static Wanted> {
    match os {
        OsKind::Linux => Some(&osier_linux::WANTED),
        OsKind::Windows => Some(&osier_windows::WANTED),
    }
}

/// The fingerprint of what profiles of this one's operating system are made for now.
pub fn fingerprint(profile: &Profile) -> u64 {
    fingerprint_of(profile.identity().os)
}

/// The fingerprint of what profiles of this operating system are made for now.
pub(crate) fn fingerprint_of(os: OsKind) -> u64 {
    wanted(os).map_or(0, Wanted::fingerprint)
}

/// What to call the kernel of a profile: its release, or else the build that its PDB names.
pub fn name(profile: &Profile) -> String {
    let identity = profile.identity();
    let key = || identity.build_id.as_ref()?.symbol_server_key();
    if identity.release.is_empty() {
        key().unwrap_or_else(|| "an unnamed kernel".to_owned())
    } else {
        identity.release.clone()
    }
}
