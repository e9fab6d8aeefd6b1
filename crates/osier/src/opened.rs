//! A snapshot that is open, and held against what was said of it.

use std::path::Path;

use osier_snapshot::{Format, OpenOptions, Snapshot, SnapshotInfo};

use crate::Error;
use crate::options::Options;
use crate::os_name::OsName;

/// Opens a snapshot without looking for a kernel in it.
///
/// # Errors
///
/// The file cannot be opened, or the operating system's name is not known.
pub fn open_snapshot(path: &Path, options: &Options) -> Result<Snapshot, Error> {
    if let Some(name) = &options.os {
        OsName::parse(name)?;
    }
    let unsaid = OpenOptions::default();
    let open_options = OpenOptions {
        registers: options.registers.clone(),
        index_dir: options.cache.clone(),
        ram_split: options.ram_split,
        internal: options.internal.clone(),
        parts: options.parts.clone(),
        cache_bytes: options.cache_bytes.unwrap_or(unsaid.cache_bytes),
        scratch_limit: options.scratch_limit.unwrap_or(unsaid.scratch_limit),
        reading: options.reading,
        progress: options.progress.clone(),
        reach: options.reach.clone(),
    };
    let snapshot = osier_snapshot::open(path, &open_options)?;
    held_against(&snapshot.info, options)?;
    Ok(snapshot)
}

/// Refuses what was named and the snapshot has no use for: it would be believed to count.
fn held_against(info: &SnapshotInfo, options: &Options) -> Result<(), Error> {
    let format = info.format;
    let unapplied = |named: String, why: String| Err(Error::Unapplied { named, why });
    if let Some(split) = options.ram_split {
        let bytes = info
            .ram
            .iter()
            .fold(0_u64, |sum, run| sum.saturating_add(run.len));
        let named = format!("a RAM split at {split:#x}");
        match format {
            Format::Raw
            | Format::PcRam
            | Format::QemuStream
            | Format::Qcow2
            | Format::Libvirt
            | Format::PandaRr
            | Format::PandaRr2
                if split < bytes => {}
            Format::ElfCore
            | Format::Lime
            | Format::Avml
            | Format::Kdump
            | Format::Diskdump
            | Format::CrashDump
            | Format::Hibernation
            | Format::Vmware => {
                let name = format.name();
                return unapplied(named, format!("{name} says of each page where it lies"));
            }
            _ => {
                return unapplied(
                    named,
                    format!("the snapshot has {bytes} bytes of RAM in all"),
                );
            }
        }
    }
    if let Some(internal) = &options.internal
        && format != Format::Qcow2
    {
        let name = format.name();
        let why = format!("the file is no disk image with several (it is {name})");
        return unapplied(format!("the internal snapshot {internal}"), why);
    }
    if let Some(part) = options.parts.first()
        && !matches!(format, Format::Kdump | Format::Diskdump)
    {
        let name = format.name();
        let why = format!("the file is no kdump in several (it is {name})");
        return unapplied(format!("the part {}", osier_text::path(part)), why);
    }
    Ok(())
}
