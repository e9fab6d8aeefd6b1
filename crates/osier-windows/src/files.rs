//! What a process has open: the entries of its table of handles, `_EPROCESS.ObjectTable`.
//!
//! A handle leads to the header of an object (`object.rs`). What an object is called is up to its type: a file by
//! its device and its name there, a key by its path in the registry, a process and a thread by their ids, any
//! other by its path in the object manager's tree.

use std::collections::HashSet;

use osier_memory::{Each, VirtAddr};
use osier_osi::{Absent, FileExtra, FileKind, OpenFile, Seen, WalkEnd, WalkEnds};

use crate::handle_table::{Names, Table, counted};
use crate::layouts::handles::Layout;
use crate::windows::{Kind, Windows};
use crate::{image_name, key, object, process, section, threads, twins};

/// The walk's name in endings.
const WALK: &str = "handles";
/// What a walk cannot start without.
const TABLE: &str = "_HANDLE_TABLE of the process";
static NAMES: Names = Names {
    walk: WALK,
    pages: "pages of handles and NextHandleNeedingPool",
};
/// Rights that every type of objects has: `ACCESS_SYSTEM_SECURITY`.
const SYSTEM_SECURITY: u64 = 1 << 24;
/// The bits of an `ACCESS_MASK` that are rights granted: above are a table's own mark and what is only asked for.
const GRANTED: u64 = 0x01ff_ffff;

/// The handles of the process at `taskd`, by number.
pub(crate) fn files(windows: &Windows, taskd: VirtAddr, row: Each<'_, OpenFile>) -> WalkEnds {
    let (layout, at) = match table(windows, taskd) {
        Ok(Some(found)) => found,
        Ok(None) => return WalkEnds::one(WALK, WalkEnd::Closed),
        Err(end) => return WalkEnds::one(WALK, end),
    };
    let mut table = Table::new(windows, layout, &NAMES);
    let owned = owner(windows, layout, at, taskd);
    table.ends.join(owned);
    let pid = process::pid(windows, taskd);
    let mut count = 0_u64;
    let bytes = layout.entry_bytes as u64;
    for leaf in table.leaves(Ok(at), TABLE) {
        let Some(raw) = table.page(&leaf) else {
            continue;
        };
        for (nth, entry) in (0_u64..).zip(raw.chunks_exact(layout.entry_bytes)).skip(1) {
            let Some(header) = table.object(entry) else {
                continue;
            };
            count = count.saturating_add(1);
            let place = leaf.at.plus(nth.saturating_mul(bytes));
            let handle = leaf.first.saturating_add(nth).saturating_mul(4);
            let Ok(fd) = u32::try_from(handle) else {
                continue;
            };
            let slot = Slot { place, header };
            let file = describe(windows, layout, &pid, fd, slot);
            if row(file).is_break() {
                return table.ends.stopped(WALK);
            }
        }
    }
    let mut ends = table.ends;
    match counted(windows, layout, at) {
        Some(Ok(told)) if ends.is_complete() => {
            let between = "handles in use and HandleCount";
            let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
            ends.differ(between, size(count), size(told));
        }
        Some(Err(fault)) => {
            ends.add(
                WALK,
                WalkEnd::no_start("HandleCount of the process's table", fault),
            );
        }
        Some(Ok(_)) | None => {}
    }
    ends.add(WALK, WalkEnd::Closed);
    ends
}

/// The headers that the handles of the process at `taskd` lead to and that are not among `met` yet, each once,
/// and how the walk ended.
pub(crate) fn headers(
    windows: &Windows,
    taskd: VirtAddr,
    met: &mut HashSet<VirtAddr>,
) -> (Vec<VirtAddr>, WalkEnds) {
    let (layout, at) = match table(windows, taskd) {
        Ok(Some(found)) => found,
        Ok(None) => return (Vec::new(), WalkEnds::one(WALK, WalkEnd::Closed)),
        Err(end) => return (Vec::new(), WalkEnds::one(WALK, end)),
    };
    let mut table = Table::new(windows, layout, &NAMES);
    let owned = owner(windows, layout, at, taskd);
    let foreign = !owned.is_complete();
    table.ends.join(owned);
    if foreign {
        return (Vec::new(), table.ends); // another process's: it is gone through there
    }
    let mut found = Vec::new();
    for leaf in table.leaves(Ok(at), TABLE) {
        if let Some(raw) = table.page(&leaf) {
            let entries = raw.chunks_exact(layout.entry_bytes).skip(1);
            let headers = entries.filter_map(|entry| table.object(entry));
            found.extend(headers.filter(|header| met.insert(*header)));
        }
    }
    table.ends.add(WALK, WalkEnd::Closed);
    (found, table.ends)
}

/// An entry in use.
#[derive(Clone, Copy)]
struct Slot {
    /// Where it stands.
    place: VirtAddr,
    /// The header of its object.
    header: VirtAddr,
}

/// The `_HANDLE_TABLE` of the process; `None` of one that has exited.
fn table(windows: &Windows, taskd: VirtAddr) -> Result<Option<(Layout, VirtAddr)>, WalkEnd> {
    let no_start = |missing: &str, fault| Err(WalkEnd::no_start(missing, fault));
    let parts = windows.handles.zip(windows.process.fields.object_table);
    let Some((layout, field)) = parts else {
        return no_start("members of _HANDLE_TABLE in the profile", None);
    };
    match field.read(&windows.guest.space, taskd) {
        Ok(at) if at.is_null() && !twins::runs(windows, taskd) => Ok(None),
        Ok(at) if windows.guest.plausible(at).is_ok() => Ok(Some((layout, at))),
        Ok(at) => {
            let rule = "a process that runs has a table of handles";
            no_start(&format!("the process's handles, {at}: {rule}"), None)
        }
        Err(fault) => no_start("the process's handles", Some(fault)),
    }
}

/// Whether the table at `at` says that it is another process's. The kernel's own says of nobody.
fn owner(windows: &Windows, layout: Layout, at: VirtAddr, taskd: VirtAddr) -> WalkEnds {
    let space = &windows.guest.space;
    let mut ends = WalkEnds::default();
    let own = windows.process.fields.unique_process_id;
    // Which process is System's a dump may lack; its id is 4 since XP, and was 8 before.
    let is_system = match windows.system() {
        Some(system) => system == taskd,
        None => own.read(space, taskd).is_ok_and(|id| matches!(id.0, 4 | 8)),
    };
    if let Some(field) = layout.quota_process
        && let Ok(told) = field.read(space, at)
        && told != taskd
        && !(told.is_null() && is_system)
    {
        let end = WalkEnd::Inconsistent {
            at: field.place(at),
            back_link: told,
            expected: taskd,
        };
        ends.add(WALK, end);
    }
    if let Some(field) = layout.unique_process_id
        && let (Ok(told), Ok(own)) = (field.read(space, at), own.read(space, taskd))
        && told != own.0
        && !is_system
    {
        ends.differ("ids of the process and its table of handles", 1, 0);
    }
    ends
}

fn describe(windows: &Windows, layout: Layout, pid: &Seen<u32>, fd: u32, slot: Slot) -> OpenFile {
    let header = slot.header;
    let body = sound(windows, slot);
    let kind = match &body {
        Ok(body) => kind(windows, header, *body),
        Err(absent) => Err(absent.clone()),
    };
    let name = match (&body, &kind) {
        (Ok(body), Ok(kind)) => name(windows, header, *body, kind),
        (Err(absent), _) | (_, Err(absent)) => Err(absent.clone()),
    };
    OpenFile {
        pid: pid.clone(),
        fd,
        path: name,
        flags: access(windows, layout, slot.place, kind.as_ref().ok()),
        kind: kind.map(|kind| FileKind::Object(kind.name)),
        filed: body,
        extra: FileExtra::Windows,
    }
}

/// The object of the entry, when there can be one.
fn sound(windows: &Windows, slot: Slot) -> Seen<VirtAddr> {
    let implausible = |raw, rule, at| Err(Absent::implausible(raw, rule, Some(at)));
    if windows.guest.plausible(slot.header).is_err() {
        let rule = "a handle leads to a mapped address of the kernel";
        return implausible(slot.header.0, rule, slot.place);
    }
    let Some(body) = object::body(windows, slot.header) else {
        return Err(Absent::not_in_this_kernel());
    };
    match object::handle_count(windows, slot.header) {
        Some(Ok(0)) => {
            let rule = "an object counts the handles that lead to it (HandleCount)";
            implausible(0, rule, slot.header)
        }
        // A count that cannot be read says nothing: the entry's word stays as it is.
        Some(_) | None => Ok(body),
    }
}

/// The type of an object, held against how such an object begins.
fn kind(windows: &Windows, header: VirtAddr, body: VirtAddr) -> Seen<Kind> {
    let space = &windows.guest.space;
    let kind = object::kind(windows, header)?;
    let Some((begins, mask)) = beginning(&kind.name) else {
        return Ok(kind);
    };
    let word = space.read_uint(body, 4).map_err(Absent::unreadable)?;
    if begins.contains(&(word & mask)) {
        return Ok(kind);
    }
    let rule = "an object begins as one of its type does (Header.Type, Type)";
    Err(Absent::implausible(word, rule, Some(body)))
}

/// How objects of a type begin: the values of their first word, and which bits of it count. What can be waited
/// for begins with a `_DISPATCHER_HEADER`, whose highest bit of `Type` is a lock.
fn beginning(kind: &[u8]) -> Option<(&'static [u64], u64)> {
    /// `_DISPATCHER_HEADER.Type`.
    const WAITED: u64 = 0x7f;
    /// `Type` of the input and output system's objects.
    const IO: u64 = 0xffff;
    Some(match kind {
        b"Process" => (&[3], WAITED),
        b"Thread" => (&[6], WAITED),
        b"Event" => (&[0, 1], WAITED),
        b"Mutant" => (&[2], WAITED),
        b"Semaphore" => (&[5], WAITED),
        b"Timer" => (&[8, 9], WAITED),
        b"File" => (&[5], IO),
        b"Device" => (&[3], IO),
        b"Driver" => (&[4], IO),
        b"Key" => (&[0x6b79_3032], u64::MAX),
        _ => return None,
    })
}

/// The rights of the entry at `place`, which are among those that its type has.
fn access(windows: &Windows, layout: Layout, place: VirtAddr, kind: Option<&Kind>) -> Seen<u64> {
    let Some(field) = layout.granted_access else {
        return Err(Absent::not_in_this_kernel());
    };
    let raw = field.read(&windows.guest.space, place);
    let access = raw.map_err(Absent::unreadable)? & GRANTED;
    let valid = kind.and_then(|kind| kind.valid_access);
    if valid.is_some_and(|valid| access & !(valid | SYSTEM_SECURITY) != 0) {
        let rule = "a handle has rights that its type of objects has (ValidAccessMask)";
        return Err(Absent::implausible(access, rule, Some(field.place(place))));
    }
    Ok(access)
}

/// What the object is called.
fn name(windows: &Windows, header: VirtAddr, body: VirtAddr, kind: &Kind) -> Seen<Vec<u8>> {
    match kind.name.as_slice() {
        b"File" => file(windows, body),
        b"Key" => key::path(windows, body),
        b"Process" => program(windows, body),
        b"Thread" => thread(windows, body),
        _ => object::name(windows, header),
    }
}

/// The path of a file: that of its device in the object manager's tree, and its own on the device.
fn file(windows: &Windows, body: VirtAddr) -> Seen<Vec<u8>> {
    /// `IO_TYPE_DEVICE`.
    const DEVICE: u64 = 3;
    let Some(field) = windows.section.file.device else {
        return Err(Absent::not_in_this_kernel());
    };
    let device = object::pointer(windows, field, body)?;
    if let Some(kind) = windows.object.device.kind {
        let kind = (kind.place(device), kind.read(&windows.guest.space, device));
        if let (place, Ok(raw)) = kind
            && raw != DEVICE
        {
            let rule = "a device says that it is one (Type)";
            return Err(Absent::implausible(raw, rule, Some(place)));
        }
    }
    let mut path = match object::header(windows, device) {
        Some(header) => object::name(windows, header),
        None => Err(Absent::not_in_this_kernel()),
    };
    let name = section::name(windows, body)?;
    // A device without a name, such as a file system's own, is told by what is on it.
    if path.as_ref().is_err_and(|absent| !absent.is_loss()) && !name.is_empty() {
        path = Ok(Vec::new());
    }
    path.map(|path| [path, name].concat())
}

/// `NAME(ID)`.
fn program(windows: &Windows, body: VirtAddr) -> Seen<Vec<u8>> {
    let pid = process::pid(windows, body)?;
    let mut name = image_name::name(windows, body)?;
    name.extend(format!("({pid})").bytes());
    Ok(name)
}

/// `NAME(ID):ID`, of its process and its own.
fn thread(windows: &Windows, body: VirtAddr) -> Seen<Vec<u8>> {
    let tid = threads::tid(windows, body)?;
    let mut name = program(windows, threads::owner(windows, body)?)?;
    name.extend(format!(":{tid}").bytes());
    Ok(name)
}
