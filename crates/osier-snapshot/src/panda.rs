//! PANDA recordings: the folder or the base name of one, and the archives `.rr2` and `.rr`.
//!
//! Sources: PANDA `panda/src/rr/panda_rr2.c`, `panda/scripts/rrpack.py`.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use osier_memory::Hint;

use crate::OpenError;

const SNAPSHOT: &str = "-rr-snp";

/// The snapshot that `path` means: itself, `PATH-rr-snp`, or the one recording in a folder.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, OpenError> {
    if path.is_dir() {
        let io_error = |source| OpenError::Io {
            file: path.to_owned(),
            source,
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(path).map_err(io_error)? {
            let entry = entry.map_err(io_error)?.path();
            if entry
                .as_os_str()
                .as_encoded_bytes()
                .ends_with(SNAPSHOT.as_bytes())
            {
                found.push(entry);
            }
        }
        return match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(OpenError::NotASnapshot {
                file: path.to_owned(),
                problem: "the folder holds no NAME-rr-snp; name a snapshot".to_owned(),
            }),
            n => Err(OpenError::NotASnapshot {
                file: path.to_owned(),
                problem: format!("the folder holds {n} recordings; name one of them"),
            }),
        };
    }
    if !path.exists() {
        let mut name = path.as_os_str().to_owned();
        name.push(SNAPSHOT);
        let snapshot = PathBuf::from(name);
        if snapshot.exists() {
            return Ok(snapshot);
        }
    }
    Ok(path.to_owned())
}

/// The number of instructions in the recording, from the log beside its snapshot.
pub(crate) fn instructions(snapshot: &Path) -> Option<u64> {
    let name = snapshot.to_str()?.strip_suffix(SNAPSHOT)?;
    let mut count = [0; 8];
    let mut log = open_file(Path::new(&format!("{name}-rr-nondet.log"))).ok()?;
    log.read_exact(&mut count).ok()?;
    Some(u64::from_le_bytes(count))
}

/// What an archive held besides the snapshot.
pub(crate) struct Unpacked {
    pub(crate) format: &'static str,
    /// The snapshot, unpacked.
    pub(crate) file: PathBuf,
    pub(crate) hints: Vec<Hint>,
    pub(crate) facts: Vec<(&'static str, String)>,
}

/// Unpacks the archive at `path` when it is one; the snapshot goes to `scratch`, at most `limit`
/// bytes of it.
pub(crate) fn unpack(
    path: &Path,
    head: &[u8],
    scratch: &Path,
    limit: u64,
) -> Result<Option<Unpacked>, OpenError> {
    let io_error = |source| OpenError::Io {
        file: path.to_owned(),
        source,
    };
    let mut file = open_file(path).map_err(io_error)?;
    let (format, reader): (_, Box<dyn Read>) = if head.starts_with(b"PANDA_RR") {
        // Magic, instruction count, MD5; then a tar in XZ.
        file.seek(SeekFrom::Start(32)).map_err(io_error)?;
        (
            "PANDA .rr archive",
            Box::new(liblzma::read::XzDecoder::new(file)),
        )
    } else if head.starts_with(&[0x1f, 0x8b]) {
        let mut member = [0; 512];
        let looks = GzDecoder::new(&file).read_exact(&mut member).is_ok();
        file.seek(SeekFrom::Start(0)).map_err(io_error)?;
        if !looks || !is_tar(&member) {
            return Ok(None);
        }
        ("PANDA .rr2 archive", Box::new(GzDecoder::new(file)))
    } else if is_tar(head) {
        ("PANDA .rr2 archive", Box::new(file))
    } else {
        return Ok(None);
    };
    members(path, format, reader, scratch, limit).map(Some)
}

fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

fn members(
    path: &Path,
    format: &'static str,
    reader: Box<dyn Read>,
    scratch: &Path,
    limit: u64,
) -> Result<Unpacked, OpenError> {
    const TEXT_LIMIT: u64 = 1 << 20;
    let io_error = |source| OpenError::Io {
        file: path.to_owned(),
        source,
    };
    let mut archive = tar::Archive::new(reader);
    let mut unpacked = Unpacked {
        format,
        file: PathBuf::new(),
        hints: vec![],
        facts: vec![],
    };
    for entry in archive.entries().map_err(io_error)? {
        let entry = entry.map_err(io_error)?;
        let name = entry.path_bytes().into_owned();
        let mut text = String::new();
        if name == b"snapshot" || name.ends_with(SNAPSHOT.as_bytes()) {
            if entry.size() > limit {
                return Err(OpenError::NotASnapshot {
                    file: path.to_owned(),
                    problem: format!(
                        "its snapshot unpacks to {} bytes, over the limit of {limit}; raise it \
                         with --scratch-limit",
                        entry.size()
                    ),
                });
            }
            fs::create_dir_all(scratch).map_err(io_error)?;
            let file = scratch.join(format!("unpacked-{}-rr-snp", std::process::id()));
            let mut into = File::create(&file).map_err(io_error)?;
            io::copy(&mut entry.take(limit), &mut into).map_err(io_error)?;
            into.flush().map_err(io_error)?;
            unpacked.file = file;
        } else if name == b"metadata.json" {
            entry
                .take(TEXT_LIMIT)
                .read_to_string(&mut text)
                .map_err(io_error)?;
            let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            let profile = json.get("profile").and_then(serde_json::Value::as_str);
            if let Some(profile) = profile.filter(|profile| !profile.is_empty()) {
                unpacked.hints.push(Hint::OsName(profile.to_owned()));
            }
        } else if name == b"capture.cmd" {
            entry
                .take(TEXT_LIMIT)
                .read_to_string(&mut text)
                .map_err(io_error)?;
            unpacked.facts.push(("command", text.trim().to_owned()));
        }
    }
    if unpacked.file.as_os_str().is_empty() {
        return Err(OpenError::NotASnapshot {
            file: path.to_owned(),
            problem: format!("this {format} holds no snapshot"),
        });
    }
    Ok(unpacked)
}

fn open_file(path: &Path) -> io::Result<File> {
    File::open(path)
}
