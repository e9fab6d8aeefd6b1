//! The real snapshots that some tests compare with: where they are, unpacked once.
//!
//! A snapshot is an archive `NAME.tar.zst` somewhere below the folder that `OSIER_DATA` names, or
//! failing that below `shared/data` beside the workspace. It is unpacked into
//! `osier-data/NAME` of the build's target folder, which takes a while the first time and nothing
//! later. `OSIER_UNPACKED` names a folder that holds unpacked ones (`NAME/…`) and is looked at
//! first. The archives need a window of 2 GiB, so the `zstd` program does the decoding.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, id};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Inside one program this keeps the others waiting; between programs the lock file does.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// In words, why the snapshot `name` cannot be read here: no data, or no `zstd`.
pub fn missing(name: &str) -> Option<String> {
    if unpacked(name).is_some() {
        return None;
    }
    match archive(name) {
        Err(reason) => Some(reason),
        Ok(_) if on_path("zstd").is_none() => Some("no zstd is installed".to_owned()),
        Ok(_) => None,
    }
}

/// The folder of the unpacked snapshot `name`.
///
/// # Errors
///
/// In words, why it is [`missing`].
///
/// # Panics
///
/// When it is there and does not unpack.
pub fn folder(name: &str) -> Result<PathBuf, String> {
    if let Some(unpacked) = unpacked(name) {
        return Ok(unpacked);
    }
    if let Some(reason) = missing(name) {
        return Err(reason);
    }
    let archive = archive(name)?;
    let target = target_folder().join("osier-data");
    fs::create_dir_all(&target).expect("a folder in the target folder");
    let done = target.join(name);
    let _mine = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let lock = Lock::take(target.join(format!("{name}.lock")), &done);
    if !done.is_dir() {
        unpack(&archive, name, &target, &done);
    }
    drop(lock);
    Ok(done)
}

/// The folder, where it is unpacked already.
fn unpacked(name: &str) -> Option<PathBuf> {
    let told = std::env::var_os("OSIER_UNPACKED").map(|folder| Path::new(&folder).join(name));
    told.filter(|folder| folder.is_dir())
}

/// Where the shell would find the program.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let files = std::env::split_paths(&path).map(|folder| folder.join(program));
    files.into_iter().find(|file| file.is_file())
}

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("crates/osier-testkit")
        .to_path_buf()
}

/// The folder with the packed data: `OSIER_DATA`, or `shared/data` beside the workspace.
pub fn packed() -> PathBuf {
    match std::env::var_os("OSIER_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => workspace().join("../shared/data"),
    }
}

fn archive(name: &str) -> Result<PathBuf, String> {
    let packed = packed();
    let file = format!("{name}.tar.zst");
    let below = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let first = below(&packed);
    let second = first.iter().flat_map(|folder| below(folder));
    std::iter::once(packed.clone())
        .chain(first.iter().cloned())
        .chain(second)
        .map(|folder| folder.join(&file))
        .find(|path| path.is_file())
        .ok_or_else(|| format!("no {file} in {} (set OSIER_DATA)", packed.display()))
}

/// The target folder that this program was built into, by the tag that cargo leaves there.
fn target_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let tagged = |folder: &&Path| folder.join("CACHEDIR.TAG").is_file();
    match program.ancestors().find(tagged) {
        Some(folder) => folder.to_path_buf(),
        None => std::env::temp_dir(),
    }
}

/// Unpacks beside `done` and renames: the folder has its name only once it is whole.
fn unpack(archive: &Path, name: &str, target: &Path, done: &Path) {
    let part = target.join(format!("{name}.{}.part", id()));
    let _ = fs::remove_dir_all(&part);
    fs::create_dir_all(&part).expect("a folder to unpack into");
    let zstd = Command::new("zstd")
        .args(["-dc", "--long=31"])
        .arg(archive)
        .stdout(Stdio::piped())
        .spawn();
    let mut zstd = zstd.expect("zstd");
    let pipe = zstd.stdout.take().expect("a piped output");
    let tar = Command::new("tar")
        .args(["x", "--no-same-owner", "-C"])
        .arg(&part)
        .stdin(Stdio::from(pipe))
        .status()
        .expect("tar");
    let zstd = zstd.wait().expect("zstd");
    assert!(
        zstd.success() && tar.success(),
        "{} does not unpack",
        archive.display()
    );
    // The archive holds one folder of its own name, or its files bare.
    let inner = part.join(name);
    let whole = if inner.is_dir() { &inner } else { &part };
    if fs::rename(whole, done).is_err() {
        assert!(done.is_dir(), "{} cannot be renamed", whole.display());
    }
    let _ = fs::remove_dir_all(&part);
}

/// A lock file that names the process that holds it. It only saves work: two that unpacked at
/// once would both end with a whole folder, for the last step is a rename.
struct Lock(Option<PathBuf>);

impl Lock {
    fn take(path: PathBuf, done: &Path) -> Self {
        const PATIENCE: Duration = Duration::from_secs(900);
        let began = SystemTime::now();
        while !done.is_dir() {
            match fs::File::create_new(&path) {
                Ok(_) => {
                    let _ = fs::write(&path, id().to_string());
                    return Self(Some(path));
                }
                Err(error) if error.kind() != ErrorKind::AlreadyExists => break,
                Err(_) => {
                    let holder = fs::read_to_string(&path).unwrap_or_default();
                    let gone = !holder.is_empty()
                        && Path::new("/proc").is_dir()
                        && !Path::new("/proc").join(holder.trim()).is_dir();
                    if gone || began.elapsed().is_ok_and(|waited| waited > PATIENCE) {
                        let _ = fs::remove_file(&path);
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
        Self(None)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

/// The containers of the real snapshot of that name: each has three, and one was saved with the guest's own tables, too.
pub fn containers(name: &str) -> &'static [&'static str] {
    match name {
        "deb11-5.10-686-pae" => &[
            "memory.raw",
            "memory.elf",
            "memory-paging.elf",
            "memory.savevm",
        ],
        _ => &["memory.raw", "memory.elf", "memory.savevm"],
    }
}
