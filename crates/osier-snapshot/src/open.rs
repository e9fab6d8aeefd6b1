//! Recognising a file and opening it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use osier_memory::{Hint, Machine, PAGE_BYTES, PhysAddr};

use crate::map::FileMap;
use crate::qemu::StreamMemory;
use crate::raw::{Extent, ExtentMemory};
use crate::{Format, OpenError, Snapshot, SnapshotInfo, elf, panda, qemu, registers};

/// What a caller may add to a file.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// A text file with the processors' registers, beside a raw dump: what `memsavep` or QEMU's
    /// `info registers -a` prints.
    pub registers: Option<PathBuf>,
    /// A folder for indexes of streams; without one each opening passes over the whole stream.
    pub index_dir: Option<PathBuf>,
    /// Where the RAM below 4 GiB ends, in bytes: overrides the machine type's rule, and says that
    /// a raw file is a bare `pc.ram` block whose rest lies above 4 GiB.
    pub ram_split: Option<u64>,
    /// The most bytes that an archive may unpack to.
    pub scratch_limit: u64,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            registers: None,
            index_dir: None,
            ram_split: None,
            scratch_limit: 64 << 30,
        }
    }
}

/// A format that is known by its first bytes and not read: offset, magic, name, way out.
type Known = (usize, &'static [u8], &'static str, &'static str);

const TO_RAW: &str = "convert it to a raw dump or an ELF core first";
const UNPACK: &str = "unpack it first";
const NOT_READ: &[Known] = &[
    (0, b"EMiL", "LiME dump", TO_RAW),
    (0, b"AVML", "AVML dump", TO_RAW),
    (
        0,
        b"KDUMP   ",
        "kdump",
        "makedumpfile -E makes an ELF core of it",
    ),
    (
        0,
        b"DISKDUMP",
        "diskdump",
        "makedumpfile -E makes an ELF core of it",
    ),
    (
        0,
        b"makedumpfile\0",
        "flattened kdump",
        "makedumpfile -R and then -E make an ELF core of it",
    ),
    (0, b"PAGEDUMP", "32-bit Windows crash dump", TO_RAW),
    (0, b"PAGEDU64", "64-bit Windows crash dump", TO_RAW),
    (0, b"hibr", "Windows hibernation file", TO_RAW),
    (0, b"HIBR", "Windows hibernation file", TO_RAW),
    (
        0,
        b"QFI\xfb",
        "qcow2 image",
        "load its snapshot and save it with QEMU's migrate",
    ),
    (
        0,
        b"LibvirtQemudSave",
        "libvirt save file",
        "virsh dump --memory-only makes an ELF core",
    ),
    (
        0,
        b"\xd0\xbe\xd2\xbe",
        "VMware suspend state",
        "give the .vmem file beside it",
    ),
    (
        0,
        b"\xd1\xba\xd1\xba",
        "VMware snapshot state",
        "give the .vmem file beside it",
    ),
    (0, b"\xfd7zXZ\0", "XZ file", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "Zstandard file", UNPACK),
    (0, b"\x04\x22\x4d\x18", "LZ4 file", UNPACK),
    (0, b"BZh", "bzip2 file", UNPACK),
    (0, b"\x1f\x8b", "gzip file", UNPACK),
    (0, b"PK\x03\x04", "ZIP archive", UNPACK),
    (257, b"ustar", "tar archive", UNPACK),
];

/// Opens the snapshot at `path`: a file, the base name of a PANDA recording, or a folder that
/// holds one.
///
/// # Errors
///
/// [`OpenError`] names the file, the place, and the way out.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    let path = panda::resolve(path)?;
    let io_error = |source| OpenError::Io {
        file: path.clone(),
        source,
    };
    let map = FileMap::open(&path).map_err(io_error)?;
    let head = map.get(..map.len().min(512)).unwrap_or_default();
    if qemu::recognise(head) {
        return stream(map, &path, options);
    }
    if elf::recognise(head) {
        return elf_core(map, &path);
    }
    let scratch = options.index_dir.clone().unwrap_or_else(std::env::temp_dir);
    if let Some(archive) = panda::unpack(&path, head, &scratch, options.scratch_limit)? {
        return unpacked(&archive, &path);
    }
    let known = NOT_READ
        .iter()
        .find(|(at, magic, ..)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    if let Some(&(_, _, format, way_out)) = known {
        return Err(OpenError::Unsupported {
            file: path,
            format,
            way_out,
        });
    }
    raw(map, path, options)
}

fn stream(map: FileMap, path: &Path, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    let file_bytes = map.len() as u64;
    let stream = qemu::read(map, path, options.index_dir.as_deref(), options.ram_split)
        .map_err(|fault| fault.in_file(path.to_owned()))?;
    let mut facts = stream.facts;
    if let Some(count) = panda::instructions(path) {
        facts.push(("recorded-instructions", count.to_string()));
    }
    Ok(Snapshot {
        machine: Machine {
            memory: Arc::new(stream.memory),
            cpus: stream.cpus,
            hints: stream.hints,
        },
        info: SnapshotInfo {
            format: Format::QemuStream,
            file: path.to_owned(),
            file_bytes,
            facts,
            anomalies: stream.anomalies,
        },
    })
}

fn unpacked(archive: &panda::Unpacked, path: &Path) -> Result<Snapshot, OpenError> {
    // The scratch file lives on in its map; its name is not needed any more.
    let opened = open(&archive.file, &OpenOptions::default());
    let _ = std::fs::remove_file(&archive.file);
    let mut snapshot = opened?;
    path.clone_into(&mut snapshot.info.file);
    snapshot
        .info
        .facts
        .insert(0, ("archive", archive.format.to_owned()));
    snapshot.info.facts.extend(archive.facts.iter().cloned());
    snapshot.machine.hints.extend(archive.hints.iter().cloned());
    Ok(snapshot)
}

fn elf_core(map: FileMap, path: &Path) -> Result<Snapshot, OpenError> {
    let file_bytes = map.len() as u64;
    let core = elf::read(&map).map_err(|fault| fault.in_file(path.to_owned()))?;
    Ok(Snapshot {
        machine: Machine {
            memory: Arc::new(ExtentMemory::new(map, core.extents, core.uncaptured)),
            cpus: core.cpus,
            hints: core.hints,
        },
        info: SnapshotInfo {
            format: Format::ElfCore,
            file: path.to_owned(),
            file_bytes,
            facts: core.facts,
            anomalies: core.anomalies,
        },
    })
}

fn raw(map: FileMap, path: PathBuf, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    const SMALLEST: u64 = 1 << 20;
    let bytes = map.len() as u64;
    if bytes < SMALLEST {
        return Err(OpenError::NotASnapshot {
            file: path,
            problem: format!(
                "{bytes} bytes of no known format; a raw dump has at least {SMALLEST}"
            ),
        });
    }
    let mut anomalies = Vec::new();
    if !bytes.is_multiple_of(PAGE_BYTES) {
        anomalies.push(format!(
            "the file's {bytes} bytes are not whole pages: was it cut?"
        ));
    }
    let mut extents = vec![Extent {
        start: PhysAddr(0),
        len: bytes,
        offset: 0,
    }];
    if let Some(split) = options.ram_split.filter(|&split| split < bytes) {
        extents = vec![
            Extent {
                start: PhysAddr(0),
                len: split,
                offset: 0,
            },
            Extent {
                start: PhysAddr(1 << 32),
                len: bytes.saturating_sub(split),
                offset: split,
            },
        ];
    }
    let mut cpus = Vec::new();
    if let Some(file) = &options.registers {
        let text = std::fs::read_to_string(file).map_err(|source| OpenError::Io {
            file: file.clone(),
            source,
        })?;
        cpus = registers::parse(&text);
        if cpus.is_empty() {
            return Err(OpenError::NotASnapshot {
                file: file.clone(),
                problem: "no processor's registers in it; memsavep and QEMU's `info registers -a` \
                          write such files"
                    .to_owned(),
            });
        }
    }
    Ok(Snapshot {
        machine: Machine {
            memory: Arc::new(ExtentMemory::new(map, extents, Vec::new())),
            cpus,
            hints: Vec::<Hint>::new(),
        },
        info: SnapshotInfo {
            format: Format::Raw,
            file: path,
            file_bytes: bytes,
            facts: Vec::new(),
            anomalies,
        },
    })
}

/// zlib's CRC-32 over the `pc.ram` block of a QEMU stream, in block order: what PANDA prints as
/// "Checksum of guest memory". `None` when the file is no stream or has no such block.
///
/// # Errors
///
/// As [`open`].
pub fn panda_checksum(path: &Path) -> Result<Option<u32>, OpenError> {
    let path = panda::resolve(path)?;
    let io_error = |source| OpenError::Io {
        file: path.clone(),
        source,
    };
    let map = FileMap::open(&path).map_err(io_error)?;
    if !qemu::recognise(&map) {
        return Ok(None);
    }
    let stream = qemu::read(map, &path, None, None).map_err(|fault| fault.in_file(path.clone()))?;
    let memory: &StreamMemory = &stream.memory;
    Ok(memory.crc32("pc.ram"))
}
