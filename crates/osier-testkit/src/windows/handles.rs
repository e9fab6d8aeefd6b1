//! What processes have open: the handle table of each that runs, and the objects that no other file writes.
//!
//! Sources: `_HANDLE_TABLE`, `_HANDLE_TABLE_ENTRY` and the registry's structures of the profile; that an entry
//! leads to the object's header, as Windows Internals tells.

use std::collections::HashMap;

use osier_memory::VirtAddr;

use super::objects::EPROCESS;
use super::rows::{Opened, Process, ProcessKind};
use super::spaces::Space;
use super::vad::Sections;
use super::writer::{Object, Writer, utf16};
use super::{cid, objects};

const TABLE: &str = "_HANDLE_TABLE";
/// Where a machine's files are.
const VOLUME: &str = "\\Device\\HarddiskVolume1";
const KEY_BODY: &str = "_CM_KEY_BODY";
const KEY: &str = "_CM_KEY_CONTROL_BLOCK";
const KEY_NAME: &str = "_CM_NAME_CONTROL_BLOCK";

/// Writes the tables.
pub(super) fn write(w: &mut Writer<'_>, processes: &mut [Process], sections: &mut Sections) {
    if w.manager.is_none() || !w.has(EPROCESS, "ObjectTable") || !w.has(TABLE, "TableCode") {
        return;
    }
    if let Some(lists) = w.symbol("ExpFreeListCount") {
        w.uint(Space::SYSTEM, lists, 1, 4);
    }
    let known: HashMap<u64, VirtAddr> = processes
        .iter()
        .flat_map(|p| {
            let threads = p.threads.iter().map(|t| (t.tid, t.ethread));
            std::iter::once((p.pid, p.eprocess)).chain(threads)
        })
        .map(|(id, at)| (id, at.expect("written")))
        .collect();
    let mut keys = HashMap::new();
    for process in processes.iter_mut().filter(|p| p.exit_time.is_none()) {
        let mut entries = Vec::new();
        for handle in &mut process.handles {
            handle.object = open(w, &handle.opened, &known, sections, &mut keys);
            let header = objects::opened(w, handle.object);
            entries.push((handle.handle, header, handle.access));
        }
        let table = cid::table(w, &entries);
        let eprocess = process.eprocess.expect("written");
        if process.kind != ProcessKind::System {
            w.set_if(table, "QuotaProcess", eprocess.0);
        }
        w.set_if(table, "UniqueProcessId", process.pid);
        let object = Object::system(EPROCESS, eprocess);
        w.set(object, "ObjectTable", table.at.0);
        process.handle_table = Some(table.at);
    }
}

/// The object that is opened.
fn open(
    w: &mut Writer<'_>,
    opened: &Opened,
    known: &HashMap<u64, VirtAddr>,
    sections: &mut Sections,
    keys: &mut HashMap<String, VirtAddr>,
) -> VirtAddr {
    /// Bytes of objects whose structure nobody looks at.
    const BYTES: u64 = 0x40;
    match opened {
        Opened::File(path) => sections.file(w, path),
        Opened::On(device, path) => sections.file_on(w, device, path),
        Opened::Process(id) | Opened::Thread(id) => {
            *known.get(id).unwrap_or_else(|| panic!("no id {id}"))
        }
        Opened::Key(path) => {
            let block = key(w, path, keys);
            let body = objects::object(w, "Key", KEY_BODY, None, None);
            w.set(body, "Type", 0x6b79_3032); // ky02
            w.set(body, "KeyControlBlock", block.0);
            body.at
        }
        Opened::Named(kind, path) => {
            let at = objects::in_directory(w, kind, BYTES, path);
            begins(w, kind, at);
            at
        }
        Opened::Nameless(kind) => {
            let at = objects::sized(w, kind, BYTES, None, None);
            begins(w, kind, at);
            at
        }
    }
}

/// What can be waited for says what it is.
fn begins(w: &mut Writer<'_>, kind: &str, at: VirtAddr) {
    let number = match kind {
        "Event" => 1,
        "Mutant" => 2,
        _ => return,
    };
    w.uint(Space::SYSTEM, at, number, 1);
}

/// The `_CM_KEY_CONTROL_BLOCK` of a key, and those that it is in.
fn key(w: &mut Writer<'_>, path: &str, keys: &mut HashMap<String, VirtAddr>) -> VirtAddr {
    if let Some(at) = keys.get(path) {
        return *at;
    }
    let (above, name) = path.rsplit_once('\\').expect("a path");
    let above = (!above.is_empty()).then(|| key(w, above, keys));
    // Names are kept in capitals, in bytes where these are enough.
    let narrow = name.is_ascii();
    let letters = if narrow {
        name.as_bytes().to_vec()
    } else {
        utf16(name)
    };
    let room = w.size(KEY_NAME) + letters.len() as u64;
    let block = Object::system(KEY_NAME, w.paged_room(room));
    w.set(block, "Compressed", u64::from(narrow));
    w.set(block, "NameLength", letters.len() as u64);
    let place = w.member(block, "Name");
    w.bytes(Space::SYSTEM, place, &letters);
    let bytes = w.size(KEY);
    let object = Object::system(KEY, w.paged_room(bytes));
    w.set(object, "NameBlock", block.at.0);
    w.set(object, "ParentKcb", above.map_or(0, |at| at.0));
    let levels = path.matches('\\').count() as u64;
    w.set_if(object, "TotalLevels", levels);
    keys.insert(path.to_owned(), object.at);
    object.at
}

impl Opened {
    /// What the object is called.
    pub fn name(&self, processes: &[Process]) -> Option<String> {
        let called = |process: &Process| {
            let name = &process.name[..process.name.len().min(15)];
            format!("{name}({})", process.pid)
        };
        match self {
            Self::File(path) => Some(format!("{VOLUME}{path}")),
            Self::On(device, path) => Some(format!("{device}{path}")),
            Self::Key(path) | Self::Named(_, path) => Some(path.clone()),
            Self::Nameless(_) => None,
            Self::Process(id) => processes.iter().find(|p| p.pid == *id).map(called),
            Self::Thread(id) => {
                let of = |p: &&Process| p.threads.iter().any(|thread| thread.tid == *id);
                let process = processes.iter().find(of);
                process.map(|process| format!("{}:{id}", called(process)))
            }
        }
    }

    /// The name of its type.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) | Self::On(..) => "File",
            Self::Key(_) => "Key",
            Self::Process(_) => "Process",
            Self::Thread(_) => "Thread",
            Self::Named(kind, _) | Self::Nameless(kind) => kind,
        }
    }
}
