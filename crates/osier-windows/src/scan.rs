//! Processes and drivers by their own bytes, merged with what the kernel's lists name.
//!
//! A process is found in the pool by its tag, and is one when the header before it is that of an object of the
//! type `Process`. The table of ids, the owners of the threads there, and the handles of other processes lead to
//! processes as well. A driver is found by the loader's entry of its image, in the pool or from its own object.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use osier_memory::{Each, VirtAddr};
use osier_osi::{
    Absent, ProcessSource, ScanSource, ScanSources, Scanned, ScannedKind, Seen, SeenExt as _,
    WalkEnd, WalkEnds, Why,
};

use crate::windows::Windows;
use crate::{
    cid, drivers, files, image_name, modules, object, pool, process, processes, threads, twins,
};

/// The walk's name in endings.
const WALK: &str = "scan";
/// Tags of processes; since Windows 8 the last letter has not its highest bit set.
const PROCESS: [[u8; 4]; 2] = [*b"Pro\xe3", *b"Proc"];
/// Tags of drivers' objects, and of the loader's entries.
const DRIVER: [[u8; 4]; 2] = [*b"Dri\xf6", *b"Driv"];
const ENTRY: [u8; 4] = *b"MmLd";
/// What may stand between the header of a block and the object in it.
const BEFORE: u64 = 0x100;

/// What was met, and what leads to it.
#[derive(Clone, Debug)]
pub(crate) struct Met {
    pub(crate) at: VirtAddr,
    pub(crate) found_by: ScanSources,
    /// Whether its block of the pool is free; not applicable to what was not met there.
    pub(crate) free: Seen<bool>,
}

/// Objects in the order in which they were met.
#[derive(Default)]
struct All {
    all: Vec<Met>,
    places: HashMap<VirtAddr, usize>,
}

impl All {
    fn meet(&mut self, at: VirtAddr, source: ScanSource) -> Option<&mut Met> {
        let all = &mut self.all;
        let place = *self.places.entry(at).or_insert_with(|| {
            all.push(Met {
                at,
                found_by: ScanSources::default(),
                free: Err(Absent::not_applicable("it was not met in the pool")),
            });
            all.len().saturating_sub(1)
        });
        let met = self.all.get_mut(place)?;
        met.found_by = met.found_by.and(source);
        Some(met)
    }
}

/// What does not say of itself what it should: the first, and how many.
#[derive(Default)]
struct Odd(Option<(VirtAddr, usize)>);

impl Odd {
    fn note(&mut self, at: VirtAddr) {
        let (first, count) = self.0.unwrap_or((at, 0));
        self.0 = Some((first, count.saturating_add(1)));
    }

    fn tell(self, ends: &mut WalkEnds) {
        if let Some((at, values)) = self.0 {
            ends.add(WALK, WalkEnd::Implausible { at, values });
        }
    }
}

/// Every process that the kernel leads to, by whichever way: lists, tables, threads and handles.
pub(crate) fn named_processes(windows: &Windows) -> (Vec<Met>, WalkEnds) {
    let mut all = All::default();
    let (listed, mut ends) = processes::all(windows);
    for (at, found_by) in &listed {
        for (source, as_scanned) in [
            (ProcessSource::List, ScanSource::List),
            (ProcessSource::PidTable, ScanSource::PidTable),
        ] {
            if found_by.has(source) {
                all.meet(*at, as_scanned);
            }
        }
    }
    // The idle process is on no list, and its threads in no table.
    let idle = twins::current_idle(windows);
    let in_table = cid::objects(windows).into_iter();
    let mut objects: Vec<_> = in_table.map(|at| (at, ScanSource::PidTable)).collect();
    let mut met = HashSet::new();
    for (at, _) in &listed {
        let (headers, of_table) = files::headers(windows, *at, &mut met);
        ends.join(of_table);
        let handled = headers.into_iter().filter_map(|header| {
            let kind = object::kind(windows, header).ok()?;
            let wanted = kind.name == b"Process" || kind.name == b"Thread";
            object::body(windows, header).filter(|_| wanted)
        });
        objects.extend(handled.map(|at| (at, ScanSource::Handles)));
    }
    let mut ownerless = Odd::default();
    let says_owner = windows.threads.fields.process.is_some();
    for (at, source) in objects {
        let owner = match cid::says_process(windows, at) {
            Some(true) => Some((at, source)),
            // What is neither a process nor a thread has no owner.
            _ if cid::says_thread(windows, at) == Some(false) => None,
            _ => (threads::owner(windows, at).value()).map(|at| (at, ScanSource::Threads)),
        };
        let is_process = |at: VirtAddr| cid::says_process(windows, at) == Some(true);
        match owner {
            Some((owner, _)) if idle == Some(owner) => {}
            Some((owner, source)) if is_process(owner) => {
                all.meet(owner, source);
            }
            // Every thread has an owner, which is a process.
            _ if says_owner && cid::says_thread(windows, at) == Some(true) => ownerless.note(at),
            _ => {}
        }
    }
    ownerless.tell(&mut ends);
    (all.all, ends)
}

/// Every driver that the kernel leads to, by the loader's entry of its image.
pub(crate) fn named_modules(windows: &Windows) -> (Vec<Met>, WalkEnds) {
    let mut all = All::default();
    let mut ends = modules::modules(windows, &mut |row| {
        if !row.modd.is_null() {
            all.meet(row.modd, ScanSource::List);
        }
        ControlFlow::Continue(())
    });
    let (objects, of_directories) = drivers::in_directories(windows);
    ends.join(of_directories);
    for at in objects {
        if let Some(entry) = entry_of(windows, at) {
            all.meet(entry, ScanSource::DriverObject);
        }
    }
    (all.all, ends)
}

/// The loader's entry that the driver's object at `at` names, when there can be one.
fn entry_of(windows: &Windows, at: VirtAddr) -> Option<VirtAddr> {
    let section = drivers::driver(windows, at).section.value()?;
    windows.guest.plausible(section).ok().map(|()| section)
}

/// What the pool has besides.
fn searched(windows: &Windows, processes: &mut All, modules: &mut All) -> WalkEnds {
    let tags: Vec<[u8; 4]> = PROCESS.into_iter().chain(DRIVER).chain([ENTRY]).collect();
    let head = u64::from(windows.guest.pointer_bytes()).saturating_mul(2);
    pool::blocks(windows, &tags, &mut |tag, block| {
        let free = is_free(windows, block);
        let first = block.plus(head);
        if tag == ENTRY {
            if is_entry(windows, first)
                && let Some(met) = modules.meet(first, ScanSource::Pool)
            {
                met.free = free;
            }
            return;
        }
        let kind: &[u8] = if PROCESS.contains(&tag) {
            b"Process"
        } else {
            b"Driver"
        };
        let places = (0..BEFORE).step_by(8).map(|by| first.plus(by));
        let is = |at: &VirtAddr| {
            let begins = kind == b"Driver" || cid::says_process(windows, *at) == Some(true);
            begins && object::is_of(windows, *at, kind)
        };
        let Some(at) = { places }.find(is) else {
            return;
        };
        if kind == b"Driver" {
            if let Some(entry) = entry_of(windows, at) {
                modules.meet(entry, ScanSource::DriverObject);
            }
        } else if let Some(met) = processes.meet(at, ScanSource::Pool) {
            met.free = free;
        }
    })
}

/// Whether the block whose header is at `at` was given back.
fn is_free(windows: &Windows, at: VirtAddr) -> Seen<bool> {
    match windows.driver.pool.kind {
        Some(field) => field
            .read(&windows.guest.space, at)
            .map(|kind| kind == 0)
            .map_err(Absent::unreadable),
        None => Err(Absent::not_in_this_kernel()),
    }
}

/// Whether a loader's entry lies at `at`: it is of a part of the kernel's half that begins on a page, and has a name.
fn is_entry(windows: &Windows, at: VirtAddr) -> bool {
    let row = modules::module(windows, at);
    row.base.is_ok() && row.size.is_ok() && row.name.is_ok_and(|name| !name.is_empty())
}

pub(crate) fn scan(windows: &Windows, row: Each<'_, Scanned>) -> WalkEnds {
    let with = |(all, ends): (Vec<Met>, WalkEnds)| {
        let places = all.iter().enumerate().map(|(nth, met)| (met.at, nth));
        let places = places.collect();
        (All { all, places }, ends)
    };
    let (mut processes, mut ends) = with(named_processes(windows));
    let (mut modules, of_modules) = with(named_modules(windows));
    ends.join(of_modules);
    ends.join(searched(windows, &mut processes, &mut modules));
    // What the pool shows is told by the same words.
    let mut odd = Odd::default();
    for met in &processes.all {
        if cid::says_process(windows, met.at) == Some(false) {
            odd.note(met.at);
        }
    }
    let lost = |at| {
        let row = modules::module(windows, at);
        let is_lost = |value: Option<&Absent>| value.is_some_and(Absent::is_loss);
        is_lost(row.base.absence()) || is_lost(row.size.absence())
    };
    for met in modules.all.iter().filter(|met| lost(met.at)) {
        odd.note(met.at);
    }
    odd.tell(&mut ends);
    let kinds = [
        (processes.all, ScannedKind::Process),
        (modules.all, ScannedKind::Module),
    ];
    for (all, kind) in kinds {
        for met in all {
            if row(scanned(windows, &met, kind)).is_break() {
                return ends.stopped(WALK);
            }
        }
    }
    ends
}

fn scanned(windows: &Windows, met: &Met, kind: ScannedKind) -> Scanned {
    fn module<T>() -> Seen<T> {
        Err(Absent::not_applicable("a driver"))
    }
    let at = met.at;
    let is_process = kind == ScannedKind::Process;
    let exited = || match process::exited(windows, at) {
        Ok(_) => Ok(true),
        Err(absent) if matches!(absent.why, Why::NotApplicable(_)) => Ok(false),
        Err(absent) => Err(absent),
    };
    Scanned {
        kind,
        address: at,
        phys: (windows.guest.space.translate(at)).map_err(Absent::unreadable),
        pid: if is_process {
            process::pid(windows, at)
        } else {
            module()
        },
        tid: Err(Absent::not_applicable(if is_process {
            "a process is no thread of its own"
        } else {
            "a driver"
        })),
        name: if is_process {
            image_name::name(windows, at)
        } else {
            modules::module(windows, at).name
        },
        linked: met.found_by.has(ScanSource::List),
        freed: met.free.clone(),
        exited: if is_process { exited() } else { module() },
        found_by: met.found_by,
    }
}
