//! VMware: the memory in a `.vmem`, with the `.vmss` or `.vmsn` beside it that says where it lies
//! and holds the processors; or a state file that holds the memory itself.
//!
//! A `.vmem` has no mark of its own. It is known by its name and by the state file of the same name
//! beside it; without one it is raw memory.
//!
//! Source: crash `vmware_vmss.c` and `.h` (8.0, by VMware); Volatility's notes on the format.

mod registers;
mod tags;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use osier_memory::{Cause, Machine, PAGE_BYTES, PhysAddr, PhysRun};

use crate::anomaly::Anomaly;
use crate::bytes::Bytes;
use crate::data::Data;
use crate::error::{Malformed, OpenError, io_error};
use crate::extent::{self, Extent};
use crate::flat::FlatMemory;
use crate::format::Format;
use crate::snapshot::{OpenOptions, Snapshot, SnapshotInfo};
use tags::Groups;

/// The most regions; VMware writes two or three.
const REGIONS: usize = 1024;
/// Where the hole for devices starts in machines with more memory than this.
const HOLE: u64 = 3 << 30;

/// Whether the file is a state file, by its first bytes.
pub(crate) fn is_state(data: &Data) -> bool {
    tags::recognises(data.look())
}

/// Whether the file is a `.vmem` with its state file beside it.
pub(crate) fn is_memory(path: &Path) -> bool {
    Beside::of(path).state.is_some()
}

fn is_vmem(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("vmem"))
}

/// What lies beside a `.vmem`.
#[derive(Default)]
struct Beside {
    /// The state file.
    state: Option<(PathBuf, Data)>,
    /// What has a state file's name and could not be taken for one, and why, in words.
    doubts: Vec<String>,
}

impl Beside {
    /// Looks beside the file at `path`: nothing, unless it is called a `.vmem`.
    fn of(path: &Path) -> Self {
        let mut found = Self::default();
        if !is_vmem(path) {
            return found;
        }
        for beside in ["vmss", "vmsn"].map(|extension| path.with_extension(extension)) {
            let why = match Data::open(&beside) {
                Ok(data) if tags::recognises(data.look()) => {
                    found.state = Some((beside, data));
                    return found;
                }
                Ok(data) => match data.whole(&beside) {
                    Ok(()) => "is no VMware state file".to_owned(),
                    Err(error) => format!("cannot be read: {error}"),
                },
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => format!("cannot be opened: {error}"),
            };
            found.doubts.push(format!(
                "{} beside it, which says where the memory lies and what the processors hold, {why}",
                osier_text::path(&beside)
            ));
        }
        found
    }
}

/// What to say of a `.vmem` of `len` bytes that is taken for raw memory. `split`: where its memory
/// lies is known from elsewhere.
pub(crate) fn hints(path: &Path, len: u64, split: bool) -> Vec<Anomaly> {
    let doubts = Beside::of(path).doubts;
    let said = match (is_vmem(path), doubts.is_empty()) {
        (true, true) if len > HOLE && !split => vec![
            "a .vmem of more than 3 GiB without its .vmss or .vmsn beside it: the memory behind the \
             first 3 GiB belongs at 4 GiB (put that file beside it, or say --ram-split 0xc0000000)"
                .to_owned(),
        ],
        _ => doubts,
    };
    let effect = if split {
        Anomaly::processors
    } else {
        Anomaly::bytes
    };
    said.into_iter().map(effect).collect()
}

/// Opens a state file, with the memory in it or in the `.vmem` of the same name.
///
/// # Errors
///
/// The memory is not there, or packed; the file contradicts itself.
pub(crate) fn open_state(
    path: &Path,
    data: &Data,
    options: &OpenOptions,
) -> Result<Snapshot, OpenError> {
    let state = State::read(path, data)?;
    if state.inside.is_some() {
        return snapshot(path, data.clone(), path, data, state);
    }
    let memory = path.with_extension("vmem");
    if !memory.is_file() {
        return Err(OpenError::NotASnapshot {
            path: path.to_owned(),
            found: "a VMware state file without the memory in it".to_owned(),
            way_out: format!("put {} beside it", osier_text::path(&memory)),
        });
    }
    let bytes = Data::open_for(&memory, options).map_err(io_error(&memory, "cannot be opened"))?;
    snapshot(&memory, bytes, path, data, state)
}

/// Opens a `.vmem` by the state file beside it.
///
/// # Errors
///
/// The state file contradicts itself.
pub(crate) fn open_memory(
    path: &Path,
    data: &Data,
    _options: &OpenOptions,
) -> Result<Snapshot, OpenError> {
    let Beside { state, doubts } = Beside::of(path);
    let Some((state_path, state_data)) = state else {
        return Err(OpenError::NotASnapshot {
            path: path.to_owned(),
            found: "a .vmem whose .vmss or .vmsn has just gone".to_owned(),
            way_out: "open it again, or put that file beside it".to_owned(),
        });
    };
    let mut state = State::read(&state_path, &state_data)?;
    state
        .anomalies
        .extend(doubts.into_iter().map(Anomaly::bytes));
    state.inside = None; // the file that was given counts
    snapshot(path, data.clone(), &state_path, &state_data, state)
}

/// What a state file says.
struct State {
    groups: Groups,
    /// Place and length of the memory, when it is in this file.
    inside: Option<(u64, u64)>,
    /// For each region its first page in the machine, its first in the memory, and its pages.
    regions: Vec<[Option<u64>; 3]>,
    anomalies: Vec<Anomaly>,
}

impl State {
    fn read(path: &Path, data: &Data) -> Result<Self, OpenError> {
        let bad = |bad: Malformed| bad.in_file(path);
        let file = data.look();
        let groups = Groups::read(file).map_err(bad)?;
        let mut inside = None;
        let mut packed = false;
        let mut more = 0_u32;
        let mut stray = 0_u32;
        let mut count = None;
        let mut regions: Vec<[Option<u64>; 3]> = Vec::new();
        groups
            .tags(file, "memory", |tag| {
                let part = match &*tag.name {
                    b"Memory" => {
                        packed |= tag.packed;
                        match inside {
                            None => inside = Some((tag.offset, tag.bytes)),
                            Some(_) => more = more.saturating_add(1),
                        }
                        return;
                    }
                    b"regionsCount" => {
                        count = tag.number();
                        return;
                    }
                    b"regionPPN" => 0,
                    b"regionPageNum" => 1,
                    b"regionSize" => 2,
                    _ => return,
                };
                let index = tag
                    .indices
                    .first()
                    .and_then(|index| usize::try_from(*index).ok());
                let Some(index) = index.filter(|index| *index < REGIONS) else {
                    stray = stray.saturating_add(1);
                    return;
                };
                if regions.len() <= index {
                    regions.resize(index.saturating_add(1), [None; 3]);
                }
                if let Some(slot) = regions.get_mut(index).and_then(|r| r.get_mut(part)) {
                    *slot = tag.number();
                }
            })
            .map_err(bad)?;
        if packed {
            return Err(OpenError::Unsupported {
                path: path.to_owned(),
                format: "a VMware state file with packed memory",
                way_out: "unpack it with VMware's vmss2core, or save the machine without compression (checkpoint.vmState.saveMemoryCompressed, or a .vmem file of its own)",
            });
        }
        let mut anomalies = Vec::new();
        if more > 0 {
            anomalies.push(Anomaly::bytes(format!(
                "{more} more blocks of memory are not read"
            )));
        }
        if stray > 0 {
            anomalies.push(Anomaly::bytes(format!(
                "{stray} tags of regions without a number below {REGIONS} are not read"
            )));
        }
        let count = count
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(0);
        if count != regions.len() {
            anomalies.push(Anomaly::bytes(format!(
                "{count} regions are said, {} are there",
                regions.len()
            )));
        }
        // (A count that is lost is no reason to lose the regions.)
        regions.truncate(if count > 0 { count } else { REGIONS });
        Ok(Self {
            groups,
            inside,
            regions,
            anomalies,
        })
    }

    /// Where the memory lies, in a file where it starts at `base` and has `len` bytes.
    fn extents(&mut self, base: u64, len: u64) -> Vec<Extent> {
        let mut extents = Vec::new();
        for region in &self.regions {
            let bytes = |part: Option<u64>| part.and_then(|pages| pages.checked_mul(PAGE_BYTES));
            let [Some(start), Some(inside), Some(len)] = region.map(bytes) else {
                self.anomalies.push(Anomaly::bytes(
                    "a region without its place or size is not read",
                ));
                continue;
            };
            let offset = base.checked_add(inside);
            match offset.filter(|_| start.checked_add(len).is_some()) {
                Some(offset) if len > 0 => extents.push(Extent { start, len, offset }),
                Some(_) => {}
                None => self.anomalies.push(Anomaly::bytes(format!(
                    "a region at {start:#x} of {len} bytes leaves the address space and is not read"
                ))),
            }
        }
        if self.regions.is_empty() && len > HOLE {
            self.anomalies.push(Anomaly::bytes(
                "the state file has no regions: that all memory lies in one piece from 0 on is guessed",
            ));
        }
        if self.regions.is_empty() && len > 0 {
            extents.push(Extent {
                start: 0,
                len,
                offset: base,
            });
        }
        let (extents, twice) = extent::disjoint(extents);
        if twice > 0 {
            self.anomalies.push(Anomaly::bytes(format!(
                "{twice} bytes of memory are in two regions; the one that starts lower counts"
            )));
        }
        extents
    }
}

/// The snapshot of the memory in `bytes`, described by the state file at `path`.
fn snapshot(
    memory: &Path,
    bytes: Data,
    path: &Path,
    data: &Data,
    mut state: State,
) -> Result<Snapshot, OpenError> {
    let read = registers::read(data.look(), &state.groups);
    data.whole(path)?;
    let (cpus, incomplete) = read.map_err(|bad| bad.in_file(path))?;
    let file_bytes = bytes.len();
    let (base, len) = state.inside.unwrap_or((0, file_bytes));
    let extents = state.extents(base, len);
    if extents.is_empty() {
        return Err(OpenError::NotASnapshot {
            path: path.to_owned(),
            found: "a VMware state file whose memory has no region".to_owned(),
            way_out: "take the snapshot again".to_owned(),
        });
    }
    let promised = extents.iter().map(|e| e.offset.saturating_add(e.len)).max();
    let mut anomalies = state.anomalies;
    if let Some(promised) = promised.filter(|promised| *promised > file_bytes) {
        anomalies.push(Anomaly::bytes(format!(
            "the memory is cut short: {file_bytes} bytes of {promised} are in the file"
        )));
    }
    if cpus.is_empty() && incomplete == 0 {
        anomalies.push(Anomaly::processors(
            "the state file has no processor: its part of them is lost",
        ));
    }
    if incomplete > 0 {
        anomalies.push(Anomaly::processors(format!(
            "{incomplete} processors lack registers and are not shown"
        )));
    }
    let names: Vec<&str> = state
        .groups
        .all
        .iter()
        .map(|group| group.0.as_str())
        .collect();
    let regions: Vec<String> = extents
        .iter()
        .map(|extent| format!("{:#x} + {:#x}", extent.start, extent.len))
        .collect();
    let mut facts = vec![
        ("state file", osier_text::path(path).to_string()),
        ("magic", format!("{:#x}", state.groups.magic)),
        ("groups", names.join(", ")),
        ("regions", regions.join(", ")),
    ];
    if !cpus.is_empty() {
        facts.push((
            "processor fields",
            "segment registers are not read; the instruction pointer tells the privilege"
                .to_owned(),
        ));
    }
    let ram = extents.iter().map(|extent| PhysRun {
        start: PhysAddr(extent.start),
        len: extent.len,
    });
    let ram = ram.collect();
    Ok(Snapshot {
        machine: Machine {
            memory: Arc::new(FlatMemory::new(Bytes::File(bytes), extents, Cause::NoRam)),
            cpus,
            hints: Vec::new(),
        },
        info: SnapshotInfo {
            ram,
            ..SnapshotInfo::new(Format::Vmware, memory, file_bytes, facts, anomalies)
        },
    })
}
