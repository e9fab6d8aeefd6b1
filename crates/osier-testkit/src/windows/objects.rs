//! Objects as the object manager keeps them: a header before each, types, directories, devices.
//!
//! Sources: `_OBJECT_HEADER` and its kin of the profile; which structures stand before a header, and in which
//! order, which types there are, and that the root's name is a backslash, as Windows Internals and the
//! debugger's `!object` tell; how Windows 10 mixes the index of a type, as Volatility's source has it.

use osier_memory::VirtAddr;

use super::spaces::Space;
use super::writer::{Manager, Object, Writer, utf16};

/// The structure of a process.
pub(super) const EPROCESS: &str = "_EPROCESS";
const HEADER: &str = "_OBJECT_HEADER";
const NAME_INFO: &str = "_OBJECT_HEADER_NAME_INFO";
const CREATOR_INFO: &str = "_OBJECT_HEADER_CREATOR_INFO";
const TYPE: &str = "_OBJECT_TYPE";
/// What `ObHeaderCookie` holds.
const COOKIE: u64 = 0x6d;
/// The first index of `ObTypeIndexTable` that is a type's.
const FIRST: u64 = 2;
/// Types, the rights that each has, and the tags of their objects.
const KINDS: [(&str, u64, [u8; 4]); 13] = [
    ("Type", 0x1f_0001, *b"ObjT"),
    ("Directory", 0x0f_000f, *b"Dire"),
    ("SymbolicLink", 0x0f_0001, *b"Symb"),
    ("Token", 0x1f_01ff, *b"Toke"),
    ("Process", 0x1f_ffff, *b"Pro\xe3"),
    ("Thread", 0x1f_ffff, *b"Thre"),
    ("Event", 0x1f_0003, *b"Even"),
    ("Mutant", 0x1f_0001, *b"Muta"),
    ("Section", 0x1f_001f, *b"Sect"),
    ("Key", 0x1f_003f, *b"Key "),
    ("File", 0x1f_01ff, *b"File"),
    ("Device", 0x1f_01ff, *b"Devi"),
    ("Driver", 0x1f_01ff, *b"Driv"),
];

/// A name, and the directory that it is in.
type Named<'a> = Option<(&'a str, Option<VirtAddr>)>;

/// Writes types and the first directories, where the layout has headers.
pub(super) fn begin(w: &mut Writer<'_>) {
    if !w.has_type(HEADER) || !w.has_type(TYPE) || !w.has_type(NAME_INFO) {
        return;
    }
    let by_index = w.has(HEADER, "TypeIndex");
    let mut manager = Manager::default();
    let bytes = w.size(TYPE);
    for (nth, (name, ..)) in (FIRST..).zip(KINDS) {
        let head = head(w, true, false);
        let at = w.nonpaged_room(*b"ObjT", head + bytes).plus(head);
        manager.kinds.insert(name, (nth, at));
    }
    w.manager = Some(manager);
    if let Some(cookie) = w.symbol("ObHeaderCookie") {
        w.uint(Space::SYSTEM, cookie, COOKIE, 4);
    }
    let types = directory(w, "\\ObjectTypes");
    for path in ["\\Driver", "\\FileSystem"] {
        directory(w, path);
    }
    for (nth, (name, rights, tag)) in (FIRST..).zip(KINDS) {
        let (_, at) = kind_of(w, name);
        header(w, at, "Type", Some((name, Some(types))), false);
        enter(w, types, name, at);
        let object = Object::system(TYPE, at);
        let buffer = w.paged_room(utf16(name).len() as u64 + 2);
        let string = w.inner(object, "Name", "_UNICODE_STRING");
        w.unicode(string, name, buffer);
        w.set_if(object, "Index", nth);
        w.set_if(object, "TypeInfo.ValidAccessMask", rights);
        w.set_if(object, "Key", u64::from(u32::from_le_bytes(tag)));
        if by_index && let Some(table) = w.symbol("ObTypeIndexTable") {
            let word = w.word();
            w.pointer(Space::SYSTEM, table.plus(nth * word), at);
        }
    }
}

fn kind_of(w: &Writer<'_>, kind: &str) -> (u64, VirtAddr) {
    let manager = w.manager.as_ref().expect("objects have headers");
    let found = manager.kinds.get(kind);
    *found.unwrap_or_else(|| panic!("no type {kind}"))
}

/// A new object of a structure: at `at`, or chosen.
pub(super) fn object(
    w: &mut Writer<'_>,
    kind: &str,
    ty: &'static str,
    at: Option<VirtAddr>,
    named: Named<'_>,
) -> Object {
    let bytes = w.size(ty);
    Object::system(ty, sized(w, kind, bytes, at, named))
}

/// A new object of so many bytes.
pub(super) fn sized(
    w: &mut Writer<'_>,
    kind: &str,
    bytes: u64,
    at: Option<VirtAddr>,
    named: Named<'_>,
) -> VirtAddr {
    let tag = KINDS.iter().find(|(name, ..)| *name == kind);
    let (_, _, tag) = tag.unwrap_or_else(|| panic!("no type {kind}"));
    let (creator, head) = if w.manager.is_some() {
        // Some have a structure more between name and header.
        let creator = matches!(kind, "Directory" | "Mutant") && w.has_type(CREATOR_INFO);
        (creator, head(w, named.is_some(), creator))
    } else {
        (false, 0)
    };
    let at = match at {
        Some(at) => {
            w.room_at(*tag, at.minus(head), head + bytes);
            at
        }
        None => w.nonpaged_room(*tag, head + bytes).plus(head),
    };
    if w.manager.is_some() {
        header(w, at, kind, named, creator);
    }
    at
}

/// Bytes before an object's own.
fn head(w: &mut Writer<'_>, named: bool, creator: bool) -> u64 {
    let name = if named { w.size(NAME_INFO) } else { 0 };
    let creator = if creator { w.size(CREATOR_INFO) } else { 0 };
    w.offset(HEADER, "Body") + name + creator
}

/// Writes what stands before the object at `at`.
fn header(w: &mut Writer<'_>, at: VirtAddr, kind: &str, named: Named<'_>, creator: bool) {
    let (index, of) = kind_of(w, kind);
    let body = w.offset(HEADER, "Body");
    let header = Object::system(HEADER, at.minus(body));
    w.set_if(header, "PointerCount", 1);
    if w.has(HEADER, "TypeIndex") {
        let mixed = match w.symbol("ObHeaderCookie") {
            Some(_) => index ^ COOKIE ^ (header.at.0 >> 8 & 0xff),
            None => index,
        };
        w.set(header, "TypeIndex", mixed);
    } else {
        w.set(header, "Type", of.0);
    }
    let before = if creator { w.size(CREATOR_INFO) } else { 0 };
    let by = before + w.size(NAME_INFO);
    let Some((name, directory)) = named else {
        w.set_if(header, "InfoMask", u64::from(creator));
        return;
    };
    if w.has(HEADER, "InfoMask") {
        w.set(header, "InfoMask", 2 | u64::from(creator));
    } else {
        w.set(header, "NameInfoOffset", by);
    }
    let info = Object::system(NAME_INFO, header.at.minus(by));
    w.set(info, "Directory", directory.map_or(0, |at| at.0));
    let buffer = w.paged_room(utf16(name).len() as u64 + 2);
    let string = w.inner(info, "Name", "_UNICODE_STRING");
    w.unicode(string, name, buffer);
}

/// The directory of that path, and those that it is in.
pub(super) fn directory(w: &mut Writer<'_>, path: &str) -> VirtAddr {
    /// Bytes that no directory is larger than.
    const BYTES: u64 = 0x158;
    let known = w.manager.as_ref().and_then(|m| m.directories.get(path));
    if let Some(at) = known {
        return *at;
    }
    let named = match path.rsplit_once('\\') {
        _ if path == "\\" => (path, None),
        Some((above, name)) => {
            let above = if above.is_empty() { "\\" } else { above };
            (name, Some(directory(w, above)))
        }
        None => panic!("{path} is no path"),
    };
    let at = sized(w, "Directory", BYTES, None, Some(named));
    match named {
        (name, Some(above)) => enter(w, above, name, at),
        (_, None) => {
            if let Some(root) = w.symbol("ObpRootDirectoryObject") {
                w.pointer(Space::SYSTEM, root, at);
            }
        }
    }
    let manager = w.manager.as_mut().expect("objects have headers");
    manager.directories.insert(path.to_owned(), at);
    at
}

/// Puts the object at `at` into the directory at `above`, under `name`.
fn enter(w: &mut Writer<'_>, above: VirtAddr, name: &str, at: VirtAddr) {
    const DIRECTORY: &str = "_OBJECT_DIRECTORY";
    const ENTRY: &str = "_OBJECT_DIRECTORY_ENTRY";
    const BUCKETS: u64 = 37;
    if !w.has_type(DIRECTORY) || !w.has_type(ENTRY) {
        return;
    }
    // As `ObpLookupDirectoryEntry` has it.
    let hash = name
        .to_uppercase()
        .encode_utf16()
        .fold(0_u32, |hash, unit| {
            let sum = hash.wrapping_add(hash << 1).wrapping_add(hash >> 1);
            sum.wrapping_add(u32::from(unit))
        });
    let buckets = w.member(Object::system(DIRECTORY, above), "HashBuckets");
    let bucket = buckets.plus(u64::from(hash) % BUCKETS * w.word());
    let first = w.spaces.read_uint(Space::SYSTEM, bucket, w.word() as usize);
    let bytes = w.size(ENTRY);
    let entry = Object::system(ENTRY, w.paged_room(bytes));
    w.set(entry, "ChainLink", first);
    w.set(entry, "Object", at.0);
    w.set_if(entry, "HashValue", u64::from(hash));
    w.pointer(Space::SYSTEM, bucket, entry.at);
}

/// The object with that path in a directory.
pub(super) fn in_directory(w: &mut Writer<'_>, kind: &str, bytes: u64, path: &str) -> VirtAddr {
    let (above, name) = path.rsplit_once('\\').expect("a path");
    let above = directory(w, if above.is_empty() { "\\" } else { above });
    let at = sized(w, kind, bytes, None, Some((name, Some(above))));
    enter(w, above, name, at);
    at
}

/// The device of that path; `None` where objects have no headers, or the layout has no devices.
pub(super) fn device(w: &mut Writer<'_>, path: &str) -> Option<VirtAddr> {
    const DEVICE: &str = "_DEVICE_OBJECT";
    let known = w.manager.as_ref()?.devices.get(path);
    if let Some(at) = known {
        return Some(*at);
    }
    if !w.has_type(DEVICE) {
        return None;
    }
    let bytes = w.size(DEVICE);
    let at = in_directory(w, "Device", bytes, path);
    w.set(Object::system(DEVICE, at), "Type", 3);
    let manager = w.manager.as_mut()?;
    manager.devices.insert(path.to_owned(), at);
    Some(at)
}

/// Counts one handle more, and gives the header that it leads to.
pub(super) fn opened(w: &mut Writer<'_>, at: VirtAddr) -> VirtAddr {
    let body = w.offset(HEADER, "Body");
    let header = Object::system(HEADER, at.minus(body));
    let place = w.member(header, "HandleCount");
    let word = w.word();
    let count = w.spaces.read_uint(Space::SYSTEM, place, word as usize);
    w.set(header, "HandleCount", count + 1);
    header.at
}
