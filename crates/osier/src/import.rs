//! Symbol files into a profile, and a profile into other tools' formats.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::{Path, PathBuf};

use osier_profile::{OsKind, Profile, ProfileBuilder, ProfileStore, Wanted};
use osier_symbols::{
    KernelinfoGroup, SymbolError, SymbolFile, WantedOf, disagreement, import_kernelinfo,
    import_symbols, join, kernelinfo_release, parse_kernelinfo, set_age_by_name,
};

use crate::package::Package;

/// The folder of the cache that keeps PDBs themselves, laid out as a symbol server. A profile that
/// was made for another list of wanted facts is made again of them.
pub const SYMBOLS: &str = "symbols";

/// Bytes of a file that tell whether it is a symbol file.
const HEAD: u64 = 16 << 20;

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
    /// The files name nothing that is read of a kernel.
    #[error(
        "{files}: no type and no symbol that Osier reads is named there; it may describe something else \
         than a kernel"
    )]
    Unwanted {
        /// The files.
        files: String,
    },
    /// The files have a Windows kernel's symbols, and no structure.
    #[error(
        "{files}: stripped of its types: the kernel's symbols are there, and no structure is described; \
         import it together with a file of types, of the same build or one near to it"
    )]
    Untyped {
        /// The files.
        files: String,
    },
    /// Two files describe different kernels.
    #[error(
        "{first} and {second} describe different kernels: {what} is {one} in the first, {other} in the other; name files of \
         one kernel", first = osier_text::path(first), second = osier_text::path(second), one = osier_text::visible(one), other = osier_text::visible(other)
    )]
    Different {
        /// The file that counts before the other.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// What they say differently, such as `the banner`.
        what: String,
        /// What the first says.
        one: String,
        /// What the second says.
        other: String,
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
    let profile = import_kept(files, group, wanted)?;
    if profile.types().is_empty() && profile.symbols().is_empty() {
        return Err(ImportError::Unwanted {
            files: listed(files),
        });
    }
    Ok(profile)
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
    let parts = files.iter().map(|file| import_one(file, group, wanted));
    let parts = parts.map(|part| part.map(ProfileBuilder::build));
    let parts: Vec<Profile> = parts.collect::<Result<_, _>>()?;
    of_one_kernel(files, &parts)?;
    let joined = join(parts);
    let joined = joined.map_err(|source| ImportError::Symbols {
        file: files.first().cloned().unwrap_or_default(),
        source,
    })?;
    let profile = joined
        .map(ProfileBuilder::build)
        .ok_or(ImportError::Nothing)?;
    let bare = profile.types().is_empty() && !profile.symbols().is_empty();
    if bare && profile.identity().os == OsKind::Windows {
        return Err(ImportError::Untyped {
            files: listed(files),
        });
    }
    Ok(profile)
}

/// Holds what each file says of its kernel against the others. Types of another build may stand beside a Windows build's
/// public symbols, which name the kernel.
fn of_one_kernel(files: &[PathBuf], parts: &[Profile]) -> Result<(), ImportError> {
    let of_windows = |part: &Profile| part.identity().os == OsKind::Windows;
    let names_it = |part: &Profile| of_windows(part) && part.types().is_empty();
    if parts.iter().all(of_windows) && parts.iter().any(names_it) {
        return Ok(());
    }
    let told: Vec<_> = files.iter().zip(parts).collect();
    for (at, (second, other)) in told.iter().enumerate() {
        for (first, one) in told.iter().take(at) {
            if let Some([what, one, other]) = disagreement(one, other) {
                return Err(ImportError::Different {
                    first: (*first).clone(),
                    second: (*second).clone(),
                    what,
                    one,
                    other,
                });
            }
        }
    }
    Ok(())
}

fn listed(files: &[PathBuf]) -> String {
    let files = files.iter().map(|file| osier_text::path(file).to_string());
    files.collect::<Vec<_>>().join(", ")
}

/// Whether the file at `file` is one that symbols can be imported from.
///
/// # Errors
///
/// The operating system's.
pub fn is_symbol_file(file: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(file)?.take(HEAD).read_to_end(&mut head)?;
    Ok(Package::detect(&head).is_some() || SymbolFile::detect(&head).is_some())
}

/// The bytes of a symbol file, or of the vmlinux in a package; of another no more than it takes to see that it
/// is none.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(file)?;
    let mut bytes = Vec::new();
    file.by_ref().take(HEAD).read_to_end(&mut bytes)?;
    if let Some(package) = Package::detect(&bytes) {
        drop(bytes);
        file.rewind()?;
        return package.vmlinux(io::BufReader::new(file));
    }
    if SymbolFile::detect(&bytes).is_some() {
        file.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn import_one(
    file: &Path,
    group: Option<&str>,
    wanted: WantedOf,
) -> Result<ProfileBuilder, ImportError> {
    let bytes = read(file).map_err(|source| ImportError::Io {
        file: file.to_owned(),
        source,
    })?;
    let wrong = |source| ImportError::Symbols {
        file: file.to_owned(),
        source,
    };
    let kind = SymbolFile::detect(&bytes);
    if kind == Some(SymbolFile::Kernelinfo) {
        let groups = parse_kernelinfo(&bytes).map_err(wrong)?;
        let chosen = one_group(file, &groups, group)?;
        return import_kernelinfo(chosen).map_err(wrong);
    }
    let mut found = import_symbols(&bytes, wanted).map_err(wrong)?;
    if kind == Some(SymbolFile::Rekall)
        && let Some(name) = file.file_name().and_then(|name| name.to_str())
    {
        for builder in &mut found {
            set_age_by_name(builder, name);
        }
    }
    // Only a kernelinfo.conf describes several kernels.
    found.pop().ok_or(ImportError::Nothing)
}

/// The group of a `kernelinfo.conf` that is meant: the only one, or the one that is called so or
/// describes the kernel of that release.
fn one_group<'a>(
    file: &Path,
    groups: &'a [KernelinfoGroup],
    name: Option<&str>,
) -> Result<&'a KernelinfoGroup, ImportError> {
    let called = |group: &&KernelinfoGroup| name.is_none_or(|name| group.name == name);
    let of_release =
        |group: &&KernelinfoGroup| name.is_none_or(|name| kernelinfo_release(&group.name) == name);
    let mut found: Vec<&KernelinfoGroup> = groups.iter().filter(called).collect();
    if found.is_empty() {
        found = groups.iter().filter(of_release).collect();
    }
    if let [one] = found.as_slice() {
        return Ok(one);
    }
    let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    Err(ImportError::Group {
        file: file.to_owned(),
        count: found.len(),
        what: if name.is_some() {
            "of that name are described there"
        } else {
            "are described there"
        },
        groups: names.join(", "),
    })
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
        OsKind::Other => None,
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
