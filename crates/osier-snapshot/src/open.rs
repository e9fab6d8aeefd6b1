//! Opening: recognise a file by its content, and hand it to its format.

use std::fs;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use osier_memory::{Cause, CpuState, Fault, Machine, PhysRun};

use crate::anomaly::Anomaly;
use crate::bytes::Bytes;
use crate::data::Data;
use crate::error::{OpenError, io_error};
use crate::format::Format;
use crate::map::Reading;
use crate::progress::Progress;
use crate::{
    crash, elf, flattened, foreign, hiber, hyperv, kdump, libvirt, lime, panda, qcow2, raw,
    registers, stream, vmware, wrapped,
};

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
    /// Which internal snapshot of a disk image to open, by its identifier or name. `None`: the only
    /// one that holds a machine.
    pub internal: Option<String>,
    /// Where indexes of streams are kept between runs, and where archives are unpacked. `None`: no
    /// index is kept, archives are unpacked into the system's folder for temporary files.
    pub index_dir: Option<PathBuf>,
    /// The most bytes that an archive or a compressed snapshot may unpack to.
    pub scratch_limit: u64,
    /// The other files of a dump that was written into several; empty: they are looked for beside
    /// the one that is opened.
    pub parts: Vec<PathBuf>,
    /// The most bytes of decoded pages that a compressed format keeps in memory.
    pub cache_bytes: u64,
    /// How guest memory comes out of a file that holds it as it lay in the machine.
    pub reading: Reading,
    /// Whom to tell how far a long step of opening has got.
    pub progress: Progress,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            registers: None,
            ram_split: None,
            internal: None,
            index_dir: None,
            scratch_limit: 64 << 30,
            parts: Vec::new(),
            cache_bytes: 64 << 20,
            reading: Reading::default(),
            progress: Progress::default(),
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
    /// Oddities that were survived: repeated pages, trailing bytes, a file cut short, …; each says
    /// what it can do to an answer.
    pub anomalies: Vec<Anomaly>,
    /// The machine's main RAM block in block order, as guest-physical stretches; empty when the
    /// format does not tell RAM from other memory.
    pub ram: Vec<PhysRun>,
}

impl SnapshotInfo {
    /// The anomalies that an answer may suffer from.
    pub fn doubts(&self) -> impl Iterator<Item = &Anomaly> {
        self.anomalies.iter().filter(|anomaly| anomaly.is_loss())
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
/// What the file holds is read as it is needed, so nobody should write to it meanwhile. One that shrinks
/// gives faults ([`Reading::Copy`]).
///
/// # Errors
///
/// [`OpenError`] names the file, the offset, what was expected there and the way out.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    let path = &panda::resolve(path)?;
    let data = Data::open_for(path, options.reading).map_err(io_error(path, "cannot be opened"))?;
    let mut snapshot = unwrapped(path, &data, options)?;
    if let Some(file) = &options.registers {
        let (cpus, mut anomalies) = read_registers(file)?;
        if !snapshot.machine.cpus.is_empty() {
            anomalies.push(Anomaly::harmless(
                "the register file replaces the registers that the snapshot holds",
            ));
        }
        snapshot.machine.cpus = cpus;
        snapshot.info.anomalies.append(&mut anomalies);
        snapshot
            .info
            .facts
            .push(("registers", osier_text::path(file).to_string()));
    }
    Ok(snapshot)
}

/// A file on its way to the reader of its format.
pub(crate) struct Input<'a> {
    pub(crate) path: &'a Path,
    pub(crate) data: Data,
    pub(crate) options: &'a OpenOptions,
}

/// The reader of a format.
struct Reader {
    /// Whether the file is of this format, by its content.
    recognises: fn(&Input<'_>) -> bool,
    open: fn(Input<'_>) -> Result<Snapshot, OpenError>,
}

/// Every reader; the first that recognises a file opens it. Raw memory has no marks and takes what
/// is left.
const READERS: &[Reader] = &[
    Reader {
        recognises: |input| input.data.look().starts_with(stream::MAGIC),
        open: stream::open_file,
    },
    Reader {
        recognises: |input| input.data.look().starts_with(elf::MAGIC),
        open: elf::open,
    },
    Reader {
        recognises: |input| input.data.look().starts_with(qcow2::MAGIC),
        open: qcow2::open,
    },
    Reader {
        recognises: |input| libvirt::recognises(input.data.look()),
        open: libvirt::open,
    },
    Reader {
        recognises: |input| lime::recognises(input.data.look()),
        open: lime::open,
    },
    Reader {
        recognises: crash::recognise,
        open: crash::open,
    },
    Reader {
        recognises: hiber::recognise,
        open: hiber::open,
    },
    Reader {
        recognises: |input| kdump::recognises(input.data.look()),
        open: kdump::open,
    },
    Reader {
        recognises: |input| input.data.look().starts_with(flattened::MAGIC),
        open: flattened::open,
    },
    Reader {
        recognises: |input| panda::is_archive(&input.data),
        open: panda::open_archive,
    },
    Reader {
        recognises: vmware::is_state,
        open: vmware::open_state,
    },
    // By its name and the file beside it, so after all that have marks.
    Reader {
        recognises: vmware::is_memory,
        open: vmware::open_memory,
    },
];

/// Opens a file by its content, out of what it is wrapped in.
fn unwrapped(path: &Path, data: &Data, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    let file_bytes = data.len();
    let look = |data: &Data| {
        let input = Input {
            path,
            data: data.clone(),
            options,
        };
        if READERS.iter().any(|reader| (reader.recognises)(&input)) {
            return wrapped::Head::Known;
        }
        foreign::recognise(data.look()).map_or(wrapped::Head::Raw, |(format, way_out)| {
            wrapped::Head::Foreign(format, way_out)
        })
    };
    let unwrapped = wrapped::unwrap(path, data.clone(), options, look);
    data.whole(path)?;
    let wrapped::Unwrapped {
        inside,
        facts,
        anomalies,
    } = unwrapped?;
    // What is unpacked again for each opening has no lasting place to keep an index for.
    let nowhere = OpenOptions {
        index_dir: None,
        ..options.clone()
    };
    let options = if facts.is_empty() { options } else { &nowhere };
    let mut snapshot = match inside {
        wrapped::Inside::File(data) => by_content(Input {
            path,
            data,
            options,
        })?,
        wrapped::Inside::Raw(packed) => raw::of_bytes(path, Bytes::Packed(packed), options)?,
    };
    if !facts.is_empty() {
        let info = &mut snapshot.info;
        info.file_bytes = file_bytes;
        info.facts.splice(0..0, facts);
        info.anomalies.splice(0..0, anomalies);
    }
    Ok(snapshot)
}

/// Opens a file by its content.
fn by_content(input: Input<'_>) -> Result<Snapshot, OpenError> {
    let (path, data) = (input.path, input.data.clone());
    let opened = recognised(input);
    data.whole(path)?; // what could not be read is no reason to say anything else
    opened
}

fn recognised(input: Input<'_>) -> Result<Snapshot, OpenError> {
    if input.data.len() == 0 {
        return Err(OpenError::NotASnapshot {
            path: input.path.to_owned(),
            found: "an empty file".to_owned(),
            way_out: "take the snapshot again".to_owned(),
        });
    }
    if let Some(reader) = READERS.iter().find(|reader| (reader.recognises)(&input)) {
        return (reader.open)(input);
    }
    if let Some((format, way_out)) = foreign::recognise(input.data.look()) {
        let path = input.path.to_owned();
        if foreign::is_no_dump(way_out) {
            return Err(OpenError::NotASnapshot {
                path,
                found: format.to_owned(),
                way_out: way_out.to_owned(),
            });
        }
        return Err(OpenError::Unsupported {
            path,
            format,
            way_out,
        });
    }
    hyperv::refuse(input.path)?;
    raw::open(input)
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

fn read_registers(path: &Path) -> Result<(Vec<CpuState>, Vec<Anomaly>), OpenError> {
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
