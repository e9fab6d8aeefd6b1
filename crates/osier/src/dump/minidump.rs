//! A process of Windows as a minidump, as its own debuggers' library writes one of a process that runs.
//!
//! Memory stands last, so that it is written as it is read; what stands before it is made first. A page that is
//! not in memory is in no range.

mod context;
mod heads;
#[expect(
    clippy::struct_field_names,
    reason = "members have the names that the format gives them"
)]
mod layout;
mod lists;
mod subject;

use std::path::Path;

use osier_memory::VirtAddr;
use osier_osi::{Carve, Process, SeenExt as _, WalkEnd};
use zerocopy::FromZeros as _;
use zerocopy::IntoBytes as _;
use zerocopy::little_endian::{U16, U32};

use super::plan::{Segment, plan};
use super::sink::Sink;
use super::{DumpError, Dumped, is_wide, spare};
use crate::Guest;
use crate::process_memory::ProcessMemory;
use heads::{Heads, utf16};
use layout::{MEMORY_64_LIST, MISC_INFO, Memory64List, MemoryDescriptor64, MiscInfo};
use layout::{SYSTEM_INFO, SystemInfo};
use lists::{Regions, handles, modules, threads};
use subject::Subject;

/// The walk's name in endings.
const WALK: &str = "minidump";

/// Writes the process of Windows at `taskd` to `out`, as a minidump of the program's width.
///
/// The file appears under its name when it is whole, unless it is a device or a pipe ([`osier_file`]).
///
/// # Errors
/// [`DumpError`]. What could not be read is told in [`Dumped`].
pub fn process_minidump(guest: &Guest, taskd: VirtAddr, out: &Path) -> Result<Dumped, DumpError> {
    spare(guest, out)?;
    let osi = &*guest.provider();
    let carve = osi.carve().and_then(Carve::windows);
    let carve =
        carve.ok_or_else(|| DumpError::NotOfThisSystem(guest.located().system().to_owned()))?;
    let mut dumped = Dumped::default();
    let memory = ProcessMemory::of(osi, taskd).map_err(DumpError::NoMemory)?;
    let wide = is_wide(guest, carve, taskd, WALK, &mut dumped);
    let subject = Subject {
        osi,
        carve,
        taskd,
        memory: &memory,
        wide,
        native: wide == (guest.pointer_bytes() == 8),
    };
    let mut regions = Regions::new(&subject);
    let plan = plan(&memory, &|_| 0, &mut regions, &mut dumped);
    let mut heads = Heads::new();
    system(&mut heads, &subject, &mut dumped);
    misc(&mut heads, &subject, &mut dumped);
    dumped.threads = threads(&mut heads, &subject, &mut dumped);
    modules(&mut heads, &subject, &mut dumped);
    handles(&mut heads, &subject, &mut dumped);
    regions.put(&mut heads, &mut dumped);
    dumped.ends.join(memory.ends.clone());

    let now = osi.clock().value().map_or(0, |now| now / 1_000_000_000);
    let held: Vec<&Segment> = plan.segments.iter().filter(|s| s.has_bytes()).collect();
    let each = size_of::<MemoryDescriptor64>().saturating_mul(held.len());
    let bytes = size_of::<Memory64List>().saturating_add(each);
    let heads = heads.finish(
        u32::try_from(now).unwrap_or_default(),
        MEMORY_64_LIST,
        bytes,
        |base_rva| {
            let list = Memory64List {
                number_of_memory_ranges: (held.len() as u64).into(),
                base_rva,
            };
            let mut bytes = list.as_bytes().to_vec();
            for segment in &held {
                let range = MemoryDescriptor64 {
                    start_of_memory_range: segment.start.into(),
                    data_size: segment.len.into(),
                };
                bytes.extend(range.as_bytes());
            }
            bytes
        },
    );
    let long = "what the process has beside memory is longer than a minidump can have it";
    let heads = heads.ok_or_else(|| DumpError::Absent(long.to_owned()))?;
    let mut sink = Sink::create(out)?;
    let ram = &**memory.space().memory();
    sink.write(&heads)?;
    for segment in held {
        segment.write(&mut sink, ram)?;
    }
    dumped.bytes = sink.finish()?;
    Ok(dumped)
}

/// `SystemInfoStream`.
fn system(heads: &mut Heads, subject: &Subject<'_>, dumped: &mut Dumped) {
    /// `PROCESSOR_ARCHITECTURE_AMD64`; that of Intel is 0.
    const AMD64: u16 = 9;
    /// `VER_PLATFORM_WIN32_NT`.
    const NT: u32 = 2;
    let facts = subject.carve.system_facts();
    let mut told = |what: &str, absent: Option<&osier_osi::Absent>| {
        if let Some(absent) = absent.filter(|absent| absent.is_loss()) {
            let what = format!("{what}, which stands as 0");
            dumped.ends.add(WALK, WalkEnd::without(what, absent));
        }
    };
    told("the system's version", facts.version.absence());
    told("the system's build", facts.build.absence());
    told("what sort of system it is", facts.product.absence());
    told("the number of processors", facts.processors.absence());
    let (major, minor) = facts.version.value().unwrap_or_default();
    let mut info = SystemInfo::new_zeroed();
    info.processor_architecture = if subject.wide { AMD64 } else { 0 }.into();
    let processors = facts.processors.value().unwrap_or_default();
    info.number_of_processors = u8::try_from(processors).unwrap_or(u8::MAX);
    info.product_type = u8::try_from(facts.product.value().unwrap_or_default()).unwrap_or_default();
    info.major_version = major.into();
    info.minor_version = minor.into();
    info.build_number = facts.build.value().unwrap_or_default().into();
    info.platform_id = NT.into();
    info.csd_version_rva = heads.text(b"");
    heads.stream(SYSTEM_INFO, &info, &[0_u8; 0]);
}

/// `MiscInfoStream`.
fn misc(heads: &mut Heads, subject: &Subject<'_>, dumped: &mut Dumped) {
    /// `MINIDUMP_MISC1_PROCESS_ID`, `MINIDUMP_MISC4_BUILDSTRING`.
    const PROCESS_ID: u32 = 1;
    const BUILD_STRING: u32 = 0x100;
    let mut info = MiscInfo::new_zeroed();
    info.size_of_info = U32::new(size_of::<MiscInfo>() as u32);
    let mut flags = 0;
    match subject
        .osi
        .process(subject.taskd)
        .map(|row: Process| row.pid)
    {
        Ok(Ok(pid)) => {
            info.process_id = pid.into();
            flags |= PROCESS_ID;
        }
        Ok(Err(absent)) | Err(absent) => {
            dumped
                .ends
                .add(WALK, WalkEnd::without("the process's id", &absent));
        }
    }
    let banner = &subject.osi.kernel().banner;
    if !banner.is_empty() {
        flags |= BUILD_STRING;
        // The last one is the NUL.
        let most = info.build_string.len().saturating_sub(1);
        let units = utf16(banner);
        for (into, unit) in info.build_string.iter_mut().take(most).zip(units) {
            *into = U16::new(unit);
        }
    }
    info.flags = flags.into();
    heads.stream(MISC_INFO, &info, &[0_u8; 0]);
}
