//! Opening: recognise a file by its content, and hand it to its format.

use std::fs;
use std::io::Read;
use std::path::Path;

use osier_memory::{CpuState, PAGE_BYTES};

use crate::anomaly::Anomaly;
use crate::bytes::Bytes;
use crate::data::Data;
use crate::error::{OpenError, io_error};
use crate::layout::FOUR_GIB;
use crate::snapshot::{OpenOptions, Snapshot};
use crate::{
    crash, elf, flattened, foreign, hiber, hyperv, kdump, libvirt, lime, panda, pieces, qcow2, raw,
    registers, stream, vmware, wrapped,
};

/// The largest register file that is read.
const REGISTERS_MAX: u64 = 16 << 20;

/// Opens the snapshot at `path`: a file of any format, recognised by content; or a PANDA recording
/// given by its base name or by the folder that holds it alone.
///
/// What the file holds is read as it is needed, so nobody should write to it meanwhile. One that shrinks
/// gives faults ([`Reading::Copy`](crate::Reading::Copy)).
///
/// # Errors
///
/// [`OpenError`] names the file, the offset, what was expected there and the way out.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    let distant = options.distant(path).is_some();
    let path = &if distant {
        path.to_owned()
    } else {
        panda::resolve(path)?
    };
    let cannot =
        |split: &u64| *split == 0 || *split > FOUR_GIB || !split.is_multiple_of(PAGE_BYTES);
    if let Some(split) = options.ram_split.filter(cannot) {
        return Err(OpenError::RamSplit {
            path: path.clone(),
            split,
        });
    }
    let data = Data::open_for(path, options).map_err(io_error(path, "cannot be opened"))?;
    let opened = unwrapped(path, &data, options);
    let mut snapshot = opened.map_err(|error| match error {
        // What could not be done any more says nothing of the file.
        _ if options.progress.is_over() => OpenError::Stopped {
            path: path.to_owned(),
        },
        error => error,
    })?;
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

/// The reader of a format: whether the file is of it, by its content, and what opens it.
type Reader = (
    fn(&Path, &Data) -> bool,
    fn(&Path, &Data, &OpenOptions) -> Result<Snapshot, OpenError>,
);

/// Every reader; the first that recognises a file opens it. Raw memory has no marks and takes what
/// is left.
const READERS: &[Reader] = &[
    (
        |_, data| data.look().starts_with(stream::MAGIC),
        stream::open_file,
    ),
    (|_, data| data.look().starts_with(elf::MAGIC), elf::open),
    (|_, data| data.look().starts_with(qcow2::MAGIC), qcow2::open),
    (|_, data| libvirt::recognises(data.look()), libvirt::open),
    (|_, data| lime::recognises(data.look()), lime::open),
    (|_, data| crash::recognises(data.look()), crash::open),
    (|_, data| hiber::recognises(data.look()), hiber::open),
    (|_, data| kdump::recognises(data.look()), kdump::open),
    (
        |_, data| data.look().starts_with(pieces::MAGIC),
        flattened::open,
    ),
    (|_, data| panda::is_archive(data), panda::open_archive),
    (|_, data| vmware::is_state(data), vmware::open_state),
    // By its name and the file beside it, so after all that have marks.
    (|path, _| vmware::is_memory(path), vmware::open_memory),
];

/// Opens a file by its content, out of what it is wrapped in.
fn unwrapped(path: &Path, data: &Data, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    let file_bytes = data.len();
    let look = |data: &Data| {
        if READERS.iter().any(|(recognises, _)| recognises(path, data)) {
            return wrapped::Head::Known;
        }
        foreign::recognise(data.look()).map_or(wrapped::Head::Raw, |(format, way_out)| {
            wrapped::Head::Foreign(format, way_out)
        })
    };
    let unwrapped = wrapped::unwrap(path, data.clone(), options, panda::is_archive, look);
    data.whole(path)?;
    let wrapped::Unwrapped {
        inside,
        scratch_bytes,
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
        wrapped::Inside::File(data) => {
            let opened = recognised(path, &data, options);
            data.whole(path)?; // what could not be read is no reason to say anything else
            opened?
        }
        wrapped::Inside::Raw(packed) => raw::of_bytes(path, Bytes::Packed(packed), options)?,
    };
    if !facts.is_empty() {
        let info = &mut snapshot.info;
        info.file_bytes = file_bytes;
        info.scratch_bytes = info.scratch_bytes.max(scratch_bytes);
        info.facts.splice(0..0, facts);
        info.anomalies.splice(0..0, anomalies);
    }
    Ok(snapshot)
}

/// Opens a file by its content.
fn recognised(path: &Path, data: &Data, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    if data.len() == 0 {
        return Err(OpenError::NotASnapshot {
            path: path.to_owned(),
            found: "an empty file".to_owned(),
            way_out: "take the snapshot again".to_owned(),
        });
    }
    let mut readers = READERS.iter();
    if let Some((_, open)) = readers.find(|(recognises, _)| recognises(path, data)) {
        return open(path, data, options);
    }
    if let Some((format, way_out)) = foreign::recognise(data.look()) {
        let path = path.to_owned();
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
    hyperv::refuse(path)?;
    if lime::recognises_the_rest(data.look()) {
        return lime::open(path, data, options);
    }
    raw::open(path, data, options)
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
