//! Internal snapshots in a QEMU disk image: `savevm`'s stream in a qcow2 file.
//!
//! Each snapshot of the image's table has an L1 table of its own. Behind the end of the disk it maps
//! the machine's state, which is a migration stream. Where its clusters follow one another in the
//! file it is read in place, otherwise it is copied to a scratch file.
//!
//! Source: QEMU `docs/interop/qcow2.txt`, `block/qcow2.c` (`qcow2_vm_state_offset`) and
//! `block/qcow2-snapshot.c` (10.0).

mod clusters;
mod table;

use std::io::Write;
use std::path::Path;

use crate::anomaly::Anomaly;
use crate::data::Data;
use crate::error::{Malformed, OpenError};
use crate::format::Format;
use crate::snapshot::{OpenOptions, Snapshot};
use crate::{filled, stream};
use clusters::Extent;
pub(crate) use table::MAGIC;
use table::{Image, Internal};

/// Opens the internal snapshot that the options name, or the only one that holds a machine.
///
/// # Errors
///
/// The image holds no such snapshot, or several and the options name none; it keeps its contents
/// somewhere else or encrypted; it contradicts itself.
pub(crate) fn open(path: &Path, data: &Data, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    let bad = |bad: Malformed| bad.in_file(path);
    let image = Image::read(data.look()).map_err(bad)?;
    if let Some((format, way_out)) = image.elsewhere() {
        return Err(OpenError::Unsupported {
            path: path.to_owned(),
            format,
            way_out,
        });
    }
    let internal = table::read(data.look(), &image).map_err(bad)?;
    let chosen = choose(path, &internal, options.internal.as_deref())?;
    let (extents, short) = clusters::of_state(data.look(), &image, chosen).map_err(bad)?;
    let mut anomalies = Vec::new();
    if let Some(short) = short {
        anomalies.push(Anomaly::bytes(format!(
            "the machine's state is cut short: at file offset {:#x}: expected {}",
            short.offset, short.expected
        )));
    }
    if image.is_corrupt() {
        anomalies.push(Anomaly::bytes(
            "QEMU marked the image as corrupt: its tables may be wrong",
        ));
    }
    let (state, place) = gather(path, data, &extents, chosen.state_bytes, options)?;
    let all: Vec<String> = internal.iter().map(Internal::label).collect();
    let facts = vec![
        (
            "disk image",
            format!(
                "qcow2 version {}, a disk of {} bytes in clusters of {}",
                image.version,
                image.disk_bytes,
                image.cluster_bytes()
            ),
        ),
        ("internal snapshots", all.join(", ")),
        ("internal snapshot", chosen.label()),
        ("taken (Unix time)", chosen.seconds.to_string()),
        ("machine time (ns)", chosen.machine_ns.to_string()),
        (
            "machine state",
            format!("{} bytes, {place}", chosen.state_bytes),
        ),
    ];
    let around = stream::Around {
        path,
        format: Format::Qcow2,
        file_bytes: data.len(),
        facts,
        anomalies,
        plugged: Vec::new(),
    };
    stream::open_inside(&state, around, options)
}

/// The snapshot called `name`, by its identifier or else its name; without a name, the only one
/// that holds a machine.
fn choose<'a>(
    path: &Path,
    all: &'a [Internal],
    name: Option<&str>,
) -> Result<&'a Internal, OpenError> {
    let list = |all: &mut dyn Iterator<Item = &Internal>| {
        let labels: Vec<String> = all.map(Internal::label).collect();
        labels.join(", ")
    };
    let not = |found: String, way_out: String| OpenError::NotASnapshot {
        path: path.to_owned(),
        found,
        way_out,
    };
    let machines = || all.iter().filter(|internal| internal.state_bytes > 0);
    let Some(name) = name else {
        let mut first = machines();
        return match (first.next(), first.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(not(
                "a disk image without a machine's state in it".to_owned(),
                "take a snapshot with `savevm`, or give a memory dump".to_owned(),
            )),
            _ => Err(not(
                format!(
                    "a disk image with {} internal snapshots",
                    machines().count()
                ),
                format!(
                    "choose one by its number or name (--internal): {}",
                    list(&mut machines())
                ),
            )),
        };
    };
    let by_id = all.iter().find(|internal| internal.id == name);
    match by_id.or_else(|| all.iter().find(|internal| internal.name == name)) {
        Some(chosen) if chosen.state_bytes > 0 => Ok(chosen),
        Some(chosen) => Err(not(
            format!(
                "the internal snapshot {}, which is of the disk alone",
                chosen.label()
            ),
            format!("choose one of {}", list(&mut machines())),
        )),
        None => Err(not(
            format!("a disk image without an internal snapshot {name:?}"),
            format!("choose one of {}", list(&mut machines())),
        )),
    }
}

/// The bytes of `extents` as one map, and where they are now.
fn gather(
    path: &Path,
    data: &Data,
    extents: &[Extent],
    bytes: u64,
    options: &OpenOptions,
) -> Result<(Data, &'static str), OpenError> {
    if let [
        Extent {
            offset: Some(offset),
            len,
        },
    ] = extents
        && let Some(part) = data.part(*offset, *len)
    {
        return Ok((part, "read in place"));
    }
    if bytes > options.scratch_limit {
        return Err(OpenError::ScratchLimit {
            path: path.to_owned(),
            limit: options.scratch_limit,
        });
    }
    let (state, ()) = filled::filled(options, |file| {
        let mut buffer = Vec::new();
        let mut done = 0_u64;
        for extent in extents {
            let mut at = 0_u64;
            while at < extent.len {
                let n = extent.len.saturating_sub(at).min(1 << 20);
                buffer.clear();
                buffer.resize(n as usize, 0);
                if let Some(offset) = extent.offset {
                    data.read_at(offset.saturating_add(at), &mut buffer)?;
                }
                file.write_all(&buffer)?;
                at = at.saturating_add(n);
            }
            done = done.saturating_add(extent.len);
            options.progress.tell("gathering", done, bytes);
        }
        Ok(())
    })?;
    Ok((state, "gathered in a scratch file"))
}
