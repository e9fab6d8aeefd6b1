//! Opening: recognise a file by its content, and hand it to its format.

use std::fs;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use osier_memory::{
    Cause, Chunk, CpuState, Fault, Machine, PAGE_BYTES, PhysAddr, PhysRun, PhysicalMemory,
};

use crate::error::{OpenError, io_error};
use crate::flat::{Extent, FlatMemory};
use crate::map::Map;
use crate::scratch::Scratch;
use crate::{elf, foreign, layout, panda, registers, stream};

/// A raw dump shorter than this must at least be whole pages.
const RAW_MIN: u64 = 1 << 20;
/// The largest register file that is read.
const REGISTERS_MAX: u64 = 16 << 20;

/// How to open a snapshot.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The processors' registers as text, beside a dump that has none: `memsavep`'s register file,
    /// or QEMU's `info registers -a`. It replaces what the dump itself holds.
    pub registers: Option<PathBuf>,
    /// How many bytes of RAM lie below 4 GiB; the rest goes on at 4 GiB. For a raw file that is a
    /// bare RAM block, and for streams whose machine was run with `max-ram-below-4g`. `None`: a
    /// raw file's offsets are guest-physical, a stream's machine type decides.
    pub ram_split: Option<u64>,
    /// Where indexes of streams are kept between runs, and where archives are unpacked. `None`: no
    /// index is kept, archives are unpacked into the system's folder for temporary files.
    pub index_dir: Option<PathBuf>,
    /// The most bytes that an archive may unpack to.
    pub scratch_limit: u64,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            registers: None,
            ram_split: None,
            index_dir: None,
            scratch_limit: 64 << 30,
        }
    }
}

/// An opened snapshot.
pub struct Snapshot {
    /// The machine: memory, processors, hints.
    pub machine: Machine,
    /// What the file says of itself.
    pub info: SnapshotInfo,
}

/// What a snapshot's file says of itself.
#[derive(Clone, Debug)]
pub struct SnapshotInfo {
    /// The container's format.
    pub format: Format,
    /// The file that holds memory (for a recording's base name or folder: the stream in it).
    pub file: PathBuf,
    /// The length of that file in bytes.
    pub file_bytes: u64,
    /// Every header fact worth showing, as name and value, in the order of the file.
    pub facts: Vec<(&'static str, String)>,
    /// Oddities that were survived: repeated pages, trailing bytes, a file cut short, …
    pub anomalies: Vec<String>,
    /// The machine's main RAM block in block order, as guest-physical stretches; empty when the
    /// format does not tell RAM from other memory.
    pub ram: Vec<PhysRun>,
}

/// A container's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// File offset = guest-physical address.
    Raw,
    /// A bare RAM block of a PC, split at 4 GiB by [`OpenOptions::ram_split`].
    PcRam,
    /// An ELF core with physical addresses.
    ElfCore,
    /// A QEMU migration or savevm stream; PANDA's `NAME-rr-snp`.
    QemuStream,
    /// PANDA's `.rr2`: a tar archive, gzip-compressed or not.
    PandaRr2,
    /// PANDA's old `.rr`: a header and a tar.xz.
    PandaRr,
}

impl Format {
    /// The format's name, for people and for rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::PcRam => "pc.ram",
            Self::ElfCore => "elf-core",
            Self::QemuStream => "qemu-stream",
            Self::PandaRr2 => "panda-rr2",
            Self::PandaRr => "panda-rr",
        }
    }
}

impl Snapshot {
    /// The zlib CRC-32 over the main RAM block in block order: what PANDA prints as "Checksum of
    /// guest memory". `None` when the format does not tell which memory is that block.
    ///
    /// # Errors
    ///
    /// The fault of the first byte of the block that the file does not hold.
    pub fn ram_crc32(&self) -> Result<Option<u32>, Fault> {
        if self.info.ram.is_empty() {
            return Ok(None);
        }
        let memory = &self.machine.memory;
        let mut crc = crc32fast::Hasher::new();
        for run in &self.info.ram {
            let mut next = run.start;
            let gap = memory.sweep(*run, 1 << 20, &mut |pa, bytes| {
                if pa != next {
                    return ControlFlow::Break(());
                }
                crc.update(bytes);
                next = pa.plus(bytes.len() as u64);
                ControlFlow::Continue(())
            });
            if gap.is_break() || next != run.end() {
                let fault = memory.chunk(next).err();
                return Err(fault.unwrap_or(Fault::at_phys(Cause::NotCaptured, next)));
            }
        }
        Ok(Some(crc.finalize()))
    }
}

/// Opens the snapshot at `path`: a file of any format, recognised by content; or a PANDA recording
/// given by its base name or by the folder that holds it alone.
///
/// The file must not be written while the snapshot is open.
///
/// # Errors
///
/// [`OpenError`] names the file, the offset, what was expected there and the way out.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    let path = &panda::resolve(path)?;
    let map = Map::open(path).map_err(io_error(path, "cannot be mapped"))?;
    let mut snapshot = by_content(path, map, options)?;
    if let Some(file) = &options.registers {
        let (cpus, mut anomalies) = read_registers(file)?;
        if !snapshot.machine.cpus.is_empty() {
            anomalies.push(
                "the register file replaces the registers that the snapshot holds".to_owned(),
            );
        }
        snapshot.machine.cpus = cpus;
        snapshot.info.anomalies.append(&mut anomalies);
        snapshot
            .info
            .facts
            .push(("registers", file.display().to_string()));
    }
    Ok(snapshot)
}

fn by_content(path: &Path, map: Map, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    let head = map.bytes();
    if head.is_empty() {
        return Err(OpenError::NotASnapshot {
            path: path.to_owned(),
            found: "an empty file".to_owned(),
            way_out: "take the snapshot again".to_owned(),
        });
    }
    if head.starts_with(stream::MAGIC) {
        return open_stream(path, map, options);
    }
    if head.starts_with(elf::MAGIC) {
        return open_elf(path, map);
    }
    if let Some(archive) = panda::unpack(path, &map, options)? {
        return open_archive(path, map.len(), archive, options);
    }
    if let Some((format, way_out)) = foreign::recognise(head) {
        return Err(OpenError::Unsupported {
            path: path.to_owned(),
            format,
            way_out,
        });
    }
    open_raw(path, map, options)
}

fn open_elf(path: &Path, map: Map) -> Result<Snapshot, OpenError> {
    let core = elf::parse(map.bytes()).map_err(|error| match error {
        elf::NotACore::Malformed(malformed) => malformed.in_file(path),
        elf::NotACore::Other(format, way_out) => OpenError::Unsupported {
            path: path.to_owned(),
            format,
            way_out,
        },
    })?;
    let file_bytes = map.len();
    let memory = FlatMemory::new(map, core.extents, Cause::NotCaptured);
    Ok(Snapshot {
        machine: Machine {
            memory: Arc::new(memory),
            cpus: core.cpus,
            hints: core.hints,
        },
        info: SnapshotInfo {
            format: Format::ElfCore,
            file: path.to_owned(),
            file_bytes,
            facts: core.facts,
            anomalies: core.anomalies,
            ram: Vec::new(),
        },
    })
}

fn open_stream(path: &Path, map: Map, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    let file_bytes = map.len();
    let cache = options.index_dir.as_deref().map(|dir| (dir, path));
    let stream = stream::open(map, cache, options.ram_split).map_err(|bad| bad.in_file(path))?;
    let mut facts = stream.facts;
    if let Some(count) = panda::instructions(path) {
        facts.push(("recorded instructions", count.to_string()));
    }
    Ok(Snapshot {
        machine: stream.machine,
        info: SnapshotInfo {
            format: Format::QemuStream,
            file: path.to_owned(),
            file_bytes,
            facts,
            anomalies: stream.anomalies,
            ram: stream.ram,
        },
    })
}

/// Opens the stream of an archive of `file_bytes`; offsets in errors are those of the stream.
fn open_archive(
    path: &Path,
    file_bytes: u64,
    archive: panda::Unpacked,
    options: &OpenOptions,
) -> Result<Snapshot, OpenError> {
    let stream =
        stream::open(archive.map, None, options.ram_split).map_err(|bad| bad.in_file(path))?;
    let mut machine = stream.machine;
    machine.hints.extend(archive.hints);
    if let Some(scratch) = archive.scratch {
        machine.memory = Arc::new(Held {
            memory: machine.memory,
            _scratch: scratch,
        });
    }
    let mut facts = archive.facts;
    facts.extend(stream.facts);
    Ok(Snapshot {
        machine,
        info: SnapshotInfo {
            format: archive.format,
            file: path.to_owned(),
            file_bytes,
            facts,
            anomalies: stream.anomalies,
            ram: stream.ram,
        },
    })
}

/// The memory of an unpacked stream, which holds on to the unpacked file.
struct Held {
    memory: Arc<dyn PhysicalMemory>,
    _scratch: Scratch,
}

impl PhysicalMemory for Held {
    fn runs(&self) -> &[PhysRun] {
        self.memory.runs()
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        self.memory.chunk(pa)
    }

    fn sweep(
        &self,
        run: PhysRun,
        window: usize,
        visit: &mut dyn FnMut(PhysAddr, &[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.memory.sweep(run, window, visit)
    }
}

/// What PANDA prints as "Checksum of guest memory", of the snapshot at `path`; see
/// [`Snapshot::ram_crc32`]. `None` too when the snapshot does not hold all of the block.
///
/// # Errors
///
/// As [`open`].
pub fn panda_checksum(path: &Path) -> Result<Option<u32>, OpenError> {
    let snapshot = open(path, &OpenOptions::default())?;
    Ok(snapshot.ram_crc32().ok().flatten())
}

fn open_raw(path: &Path, map: Map, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    let len = map.len();
    if !len.is_multiple_of(PAGE_BYTES) && len < RAW_MIN {
        return Err(OpenError::NotASnapshot {
            path: path.to_owned(),
            found: format!("{len} bytes of no known format, and not whole pages of raw memory"),
            way_out: "give a raw dump, an ELF core, a QEMU stream or a PANDA recording".to_owned(),
        });
    }
    let mut anomalies = Vec::new();
    if !len.is_multiple_of(PAGE_BYTES) {
        anomalies.push(format!(
            "the file's length is not a multiple of a page: {} bytes over",
            len % PAGE_BYTES
        ));
    }
    let split = options.ram_split.filter(|split| *split < len);
    let stretches = layout::stretches(len, split.unwrap_or(u64::MAX));
    let (stretches, format) = match split {
        Some(_) => (stretches, Format::PcRam),
        None => (vec![(0, len, 0)], Format::Raw),
    };
    let extents: Vec<Extent> = stretches
        .iter()
        .map(|&(start, len, offset)| Extent { start, len, offset })
        .collect();
    let memory = FlatMemory::new(map, extents.clone(), Cause::NoRam);
    let ram = extents
        .iter()
        .map(|extent| PhysRun {
            start: PhysAddr(extent.start),
            len: extent.len,
        })
        .collect();
    let mut facts = vec![("RAM bytes", len.to_string())];
    if let Some(split) = split {
        facts.push(("RAM below 4 GiB", split.to_string()));
    }
    Ok(Snapshot {
        machine: Machine {
            memory: Arc::new(memory),
            cpus: Vec::new(),
            hints: Vec::new(),
        },
        info: SnapshotInfo {
            format,
            file: path.to_owned(),
            file_bytes: len,
            facts,
            anomalies,
            ram,
        },
    })
}

fn read_registers(path: &Path) -> Result<(Vec<CpuState>, Vec<String>), OpenError> {
    let file = fs::File::open(path).map_err(io_error(path, "cannot be opened"))?;
    let mut text = Vec::new();
    file.take(REGISTERS_MAX)
        .read_to_end(&mut text)
        .map_err(io_error(path, "cannot be read"))?;
    registers::parse(&text).map_err(|(line, expected)| OpenError::Registers {
        path: path.to_owned(),
        line,
        expected,
    })
}
