#![doc = include_str!("../README.md")]
//!
//! An [`Output`] to a plain file is written beside it under another name, and gets its name when it
//! is whole; whatever it replaces keeps its permissions. Where that is not what `cp` would do it is
//! written through: to a device, a pipe or an open descriptor (`/dev/null`, `/dev/stdout`, a FIFO), to
//! a file with several names or another owner, to a file in a folder that takes no new one. A link is
//! followed, and stays.
//!
//! What an error, a panic or [`abandon`] (of whoever handles signals) leaves of a partial file is
//! nothing. A process that was killed leaves `.NAME.PID-N.osier-partial`; whoever writes to the same
//! name next removes it, unless it is still being written.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use fs4::{FileExt, TryLockError};

/// How the name of a partial file ends.
const PARTIAL: &str = ".osier-partial";

/// Links that are followed one after the other.
const LINKS: usize = 40;

/// The partial files of this process.
static PARTIALS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Removes every partial file of this process: for whoever ends it without unwinding.
pub fn abandon() {
    if let Ok(mut partials) = PARTIALS.lock() {
        for partial in partials.drain(..) {
            let _ = fs::remove_file(partial);
        }
    }
}

/// A file that is being written. Without [`finish`](Self::finish) it never was.
#[derive(Debug)]
pub struct Output {
    file: File,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// Beside `to`, which is replaced in the end.
    Beside { partial: Partial, to: PathBuf },
    /// As it comes.
    Through,
}

/// A partial file, which goes when this does.
#[derive(Debug)]
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
        if let Ok(mut partials) = PARTIALS.lock() {
            partials.retain(|known| *known != self.0);
        }
    }
}

impl Output {
    /// Begins to write `path`. What was there stays until [`finish`](Self::finish), unless it is
    /// written through.
    ///
    /// # Errors
    ///
    /// The system's: the folder is not there or takes no file, or what is there cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        let (to, special) = followed(path)?;
        if special {
            return Self::through(&to);
        }
        let old = match fs::metadata(&to) {
            Ok(meta) if meta.is_dir() => {
                return Err(io::Error::from(io::ErrorKind::IsADirectory));
            }
            Ok(meta) if !meta.is_file() => return Self::through(&to),
            Ok(meta) => Some(meta),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if let Some(old) = &old {
            // Who may not write the file may not replace it either.
            File::options().write(true).open(&to)?;
            if names(old) > 1 {
                return Self::through(&to);
            }
        }
        let begun = match (begin(&to), &old) {
            // A folder that takes no new file may hold one that can be written.
            (Err(error), Some(_)) if is_refused(&error) => return Self::through(&to),
            (begun, _) => begun?,
        };
        let (partial, file) = begun;
        if let Some(old) = old {
            if !same_owner(&old, &file.metadata()?) {
                return Self::through(&to);
            }
            file.set_permissions(old.permissions())?;
        }
        Ok(Self {
            file,
            way: Way::Beside { partial, to },
        })
    }

    /// A file that nobody else needs: in the folder for temporary files, and never given a name.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn scratch() -> io::Result<Self> {
        let to = std::env::temp_dir().join("osier");
        let (partial, file) = begin(&to)?;
        Ok(Self {
            file,
            way: Way::Beside { partial, to },
        })
    }

    fn through(to: &Path) -> io::Result<Self> {
        let file = match standard(to) {
            Some(file) => file?,
            None => File::options().write(true).truncate(true).open(to)?,
        };
        Ok(Self {
            file,
            way: Way::Through,
        })
    }

    /// The file, to be written from its start.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Where what is written so far can be read again; `None` when it is written through.
    pub fn written(&self) -> Option<&Path> {
        match &self.way {
            Way::Beside { partial, .. } => Some(&partial.0),
            Way::Through => None,
        }
    }

    /// Gives the file its name, replacing what had it, and says its length as far as it is known.
    ///
    /// # Errors
    ///
    /// The system's; the file then never was.
    pub fn finish(self) -> io::Result<u64> {
        let bytes = self.file.metadata()?.len();
        if let Way::Beside { partial, to } = self.way {
            fs::rename(&partial.0, to)?; // what is dropped then has another name, and stays
        }
        Ok(bytes)
    }

    /// Writes everything from the start of `self`, a partial file, to `to`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn copy_to(&mut self, to: &mut Self) -> io::Result<u64> {
        self.file.seek(SeekFrom::Start(0))?;
        io::copy(&mut self.file, &mut to.file)
    }
}

/// Writes `bytes` as the whole of the file at `path`.
///
/// # Errors
///
/// As [`Output::create`], and those of writing.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let mut output = Output::create(path)?;
    output.file().write_all(bytes.as_ref())?;
    output.finish().map(drop)
}

/// Where what is written to `path` goes: links are followed, also those that lead to no file yet.
///
/// # Errors
///
/// A folder is there, or the file's folder is not.
pub fn place(path: &Path) -> io::Result<PathBuf> {
    let (to, special) = followed(path)?;
    if special {
        return Ok(to);
    }
    if to.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    fs::metadata(to.parent().unwrap_or(Path::new("/")))?;
    Ok(to)
}

/// Gives the whole file at `from` the name `to`. Where a link, a device or a file of several names is, it
/// does what `cp` would, as [`Output`] does, and `from` goes.
///
/// # Errors
///
/// The system's. `from` stays.
pub fn name(from: &Path, to: &Path) -> io::Result<()> {
    let place = place(to)?;
    let plain = match fs::metadata(&place) {
        Ok(old) => old.is_file() && names(&old) == 1,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if plain && fs::rename(from, &place).is_ok() {
        return Ok(());
    }
    let mut output = Output::create(to)?;
    io::copy(&mut File::open(from)?, output.file())?;
    output.finish()?;
    fs::remove_file(from)
}

/// Whether two paths lead to one file, by whatever names: what is read from one must not be written to
/// the other.
#[cfg(unix)]
pub fn same(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let number = |path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    number(a).is_some_and(|a| Some(a) == number(b))
}

/// Whether two paths lead to one file: what is read from one must not be written to the other.
#[cfg(not(unix))]
pub fn same(a: &Path, b: &Path) -> bool {
    let whole = |path| fs::canonicalize(path).ok();
    whole(a).is_some_and(|a| Some(a) == whole(b))
}

/// Where a path leads, link by link, and whether it leads to an open file: those are links, too, and
/// lead to where it was opened, but what is written must go to it as it is.
fn followed(path: &Path) -> io::Result<(PathBuf, bool)> {
    let mut at = std::path::absolute(path)?;
    for _ in 0..LINKS {
        let open = ["/dev/fd", "/dev/stdout", "/dev/stderr", "/proc"];
        if cfg!(unix) && open.iter().any(|open| at.starts_with(open)) {
            return Ok((at, true));
        }
        match fs::read_link(&at) {
            Ok(to) => at = at.parent().unwrap_or(Path::new("/")).join(to),
            Err(_) => return Ok((at, false)),
        }
    }
    Err(io::Error::other("too many links, one to the next"))
}

/// Opens a partial file for `to`, and removes what dead processes left for it.
fn begin(to: &Path) -> io::Result<(Partial, File)> {
    let folder = to.parent().unwrap_or(Path::new("."));
    let mut prefix = OsString::from(".");
    prefix.push(to.file_name().unwrap_or(OsStr::new("osier")));
    prefix.push(".");
    clean(folder, &prefix);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut name = prefix.clone();
        name.push(format!("{}-{number}{PARTIAL}", process::id()));
        let path = folder.join(name);
        let options = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .clone();
        match options.open(&path) {
            Ok(file) => {
                // Whoever cleans leaves what is locked alone, but may have been quicker: then it holds
                // the lock, or the name is gone. Without locks there is no cleaning.
                let taken = matches!(FileExt::try_lock(&file), Err(TryLockError::WouldBlock));
                if taken || !path.exists() {
                    continue;
                }
                if let Ok(mut partials) = PARTIALS.lock() {
                    partials.push(path.clone());
                }
                return Ok((Partial(path), file));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Removes the partial files in `folder` whose names begin with `prefix` and that nobody writes.
fn clean(folder: &Path, prefix: &OsStr) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let bytes = name.as_encoded_bytes();
        let ours =
            bytes.starts_with(prefix.as_encoded_bytes()) && bytes.ends_with(PARTIAL.as_bytes());
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        // The lock is held until the name is gone: who began the file meanwhile sees one or the other.
        if let Ok(file) = File::open(entry.path())
            && FileExt::try_lock(&file).is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_refused(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Standard output or error, when the path is one of their names: what they are open at is gone on
/// with, wherever that stands.
#[cfg(unix)]
fn standard(path: &Path) -> Option<io::Result<File>> {
    use std::os::fd::AsFd;
    let number = ["/dev/fd", "/proc/self/fd"].into_iter().find_map(|folder| {
        let rest = path.strip_prefix(folder).ok()?;
        rest.to_str()?.parse::<u32>().ok()
    });
    let owned = match (path.to_str(), number) {
        (Some("/dev/stdout"), _) | (_, Some(1)) => io::stdout().as_fd().try_clone_to_owned(),
        (Some("/dev/stderr"), _) | (_, Some(2)) => io::stderr().as_fd().try_clone_to_owned(),
        _ => return None,
    };
    Some(owned.map(File::from))
}

#[cfg(not(unix))]
fn standard(_: &Path) -> Option<io::Result<File>> {
    None
}

/// How many names a file has.
#[cfg(unix)]
fn names(meta: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(meta)
}

#[cfg(not(unix))]
fn names(_: &Metadata) -> u64 {
    1
}

#[cfg(unix)]
fn same_owner(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.uid(), a.gid()) == (b.uid(), b.gid())
}

#[cfg(not(unix))]
fn same_owner(_: &Metadata, _: &Metadata) -> bool {
    true
}
