//! Objects: the header that the object manager puts before each, its type, and its name.
//!
//! ```text
//!   [_OBJECT_HEADER_NAME_INFO] [_OBJECT_HEADER_CREATOR_INFO] _OBJECT_HEADER  the object
//!        │ Directory                                              │ TypeIndex, or Type
//!        ▼                                                        ▼
//!   the _OBJECT_DIRECTORY that it is in, an object        ObTypeIndexTable ──► _OBJECT_TYPE.Name
//! ```
//!
//! Sources: these structures in Microsoft's kernel PDBs from XP to 11; Windows Internals, 7th edition, part 2,
//! chapter 8, "Object Manager"; of `ObHeaderCookie` Volatility 3's `object.py` of its Windows symbols.

use osier_memory::{Fault, VirtAddr};
use osier_osi::{Absent, Guard, Seen, Why};
use osier_profile::{Field, Ptr};

use crate::guest::mapped;
use crate::symbols;
use crate::unicode;
use crate::windows::{Kind, Windows};

/// More directories in each other than any object is in.
const MAX_DEPTH: usize = 64;

/// The object whose header is at `header`; `None` when the profile does not tell.
pub(crate) fn body(windows: &Windows, header: VirtAddr) -> Option<VirtAddr> {
    let body = windows.object.header.body?;
    Some(body.place(header))
}

/// The header of the object at `body`.
pub(crate) fn header(windows: &Windows, body: VirtAddr) -> Option<VirtAddr> {
    Some(windows.object.header.body?.container(body))
}

/// The type of the object whose header is at `header`.
pub(crate) fn kind(windows: &Windows, header: VirtAddr) -> Seen<Kind> {
    let layout = &windows.object;
    match (layout.header.type_index, layout.header.kind) {
        (Some(index), _) => {
            let place = index.place(header);
            let raw = index
                .read(&windows.guest.space, header)
                .map_err(Absent::unreadable)?;
            by_index(windows, header, raw, place)
        }
        (None, Some(field)) => {
            let at = pointer(windows, field, header)?;
            of_type(windows, at, field.place(header))
        }
        (None, None) => Err(Absent::not_in_this_kernel()),
    }
}

/// The type that `raw` of the header at `header` stands for.
fn by_index(windows: &Windows, header: VirtAddr, raw: u64, place: VirtAddr) -> Seen<Kind> {
    let (guest, space) = (&windows.guest, &windows.guest.space);
    let Some(table) = guest.symbol(symbols::ObTypeIndexTable) else {
        return Err(Absent::not_in_this_kernel());
    };
    let cookie = match guest.symbol(symbols::ObHeaderCookie) {
        Some(cookie) => Some(space.read_uint(cookie, 1).map_err(Absent::unreadable)?),
        None => None,
    };
    let unmixed = |header: VirtAddr, raw: u64| match cookie {
        Some(cookie) => raw ^ cookie ^ (header.0 >> 8 & 0xff),
        None => raw,
    };
    let word = u64::from(guest.pointer_bytes());
    // A wrong cookie makes every type another one, which is at its place too: System is a process.
    let of_system = || {
        let own = self::header(windows, windows.system()?)?;
        let raw = windows.object.header.type_index?.read(space, own).ok()?;
        let slot = table.plus(unmixed(own, raw).saturating_mul(word));
        let at = space.read_pointer(slot).ok()?;
        Some(match of_type(windows, at, slot) {
            Ok(kind) => kind.name == b"Process",
            Err(absent) => matches!(absent.why, Why::Unreadable(_)),
        })
    };
    if of_system() == Some(false) {
        let rule = "System's header says by the same cookie that it is a process (ObHeaderCookie)";
        return Err(Absent::implausible(raw, rule, Some(place)));
    }
    let index = unmixed(header, raw);
    let slot = table.plus(index.saturating_mul(word));
    let at = space.read_pointer(slot).map_err(Absent::unreadable)?;
    let said = windows.object.kind.index.filter(|field| field.bytes == 1);
    let kind = of_type(windows, at, place)?;
    if let Some(field) = said
        && field.read(space, at).map_err(Absent::unreadable)? != index
    {
        let rule = "a type of objects says its place in ObTypeIndexTable (Index)";
        return Err(Absent::implausible(index, rule, Some(place)));
    }
    Ok(kind)
}

/// What the `_OBJECT_TYPE` at `at` says, which `place` leads to.
fn of_type(windows: &Windows, at: VirtAddr, place: VirtAddr) -> Seen<Kind> {
    let (guest, layout) = (&windows.guest, &windows.object.kind);
    if let Some(known) = windows.kinds.borrow().get(&at) {
        return Ok(known.clone());
    }
    if guest.plausible(at).is_err() {
        let rule = "an object's type is a mapped address of the kernel";
        return Err(Absent::implausible(at.0, rule, Some(place)));
    }
    let Some(name) = layout.name else {
        return Err(Absent::not_in_this_kernel());
    };
    let string = name.place(at);
    let name = unicode::path(&guest.space, string, guest.pointer_bytes())?;
    if name.is_empty() {
        let rule = "a type of objects has a name";
        return Err(Absent::implausible(0, rule, Some(string)));
    }
    let valid = layout
        .valid_access
        .map(|field| field.read(&guest.space, at));
    let kind = Kind {
        name,
        valid_access: valid.transpose().map_err(Absent::unreadable)?,
    };
    windows.kinds.borrow_mut().insert(at, kind.clone());
    Ok(kind)
}

/// Whether the object at `body` is one of that type, by the header before it.
pub(crate) fn is_of(windows: &Windows, body: VirtAddr, name: &[u8]) -> bool {
    let header = header(windows, body);
    header.is_some_and(|header| kind(windows, header).is_ok_and(|kind| kind.name == name))
}

/// The path of the object whose header is at `header` in the object manager's tree, `\` first; of one that is
/// in no directory any more, its name. Not applicable to one without.
pub(crate) fn name(windows: &Windows, header: VirtAddr) -> Seen<Vec<u8>> {
    let nameless = || Err(Absent::not_applicable("the object has no name"));
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut met = Guard::new(MAX_DEPTH);
    let mut at = header;
    loop {
        if met.meet(at).is_err() {
            let rule =
                "directories are in each other to a depth of 64 at most, and not in a circle";
            return Err(Absent::implausible(at.0, rule, Some(header)));
        }
        let Some((directory, part)) = own_name(windows, at)? else {
            return if parts.is_empty() {
                nameless()
            } else {
                Ok(joined(&parts, false))
            };
        };
        // The root's name is the backslash that paths begin with.
        if part == b"\\" {
            return Ok(if parts.is_empty() {
                part
            } else {
                joined(&parts, true)
            });
        }
        if part.is_empty() {
            return match (parts.is_empty(), directory) {
                (true, _) => nameless(),
                // A directory that was taken out has lost its name.
                (false, None) => Ok(joined(&parts, false)),
                (false, Some(_)) => {
                    let rule = "a directory that is in another has a name";
                    Err(Absent::implausible(0, rule, Some(at)))
                }
            };
        }
        parts.push(part);
        let Some(above) = directory else {
            return Ok(joined(&parts, false));
        };
        // Some types keep something else there.
        match kind(windows, above)? {
            kind if kind.name == b"Directory" => at = above,
            _ => return Ok(joined(&parts, false)),
        }
    }
}

/// The parts of a path, the last first.
fn joined(parts: &[Vec<u8>], from_root: bool) -> Vec<u8> {
    let mut path = if from_root {
        b"\\".to_vec()
    } else {
        Vec::new()
    };
    let parts: Vec<&[u8]> = parts.iter().rev().map(Vec::as_slice).collect();
    path.extend(parts.join(&b'\\'));
    path
}

/// The object's own name, and the header of the directory that it is in; `None` when it has none.
pub(crate) fn own_name(
    windows: &Windows,
    header: VirtAddr,
) -> Seen<Option<(Option<VirtAddr>, Vec<u8>)>> {
    let guest = &windows.guest;
    let layout = &windows.object.name_info;
    let Some(info) = name_info(windows, header)? else {
        return Ok(None);
    };
    let (Some(directory), Some(name)) = (layout.directory, layout.name) else {
        return Err(Absent::not_in_this_kernel());
    };
    let string = name.place(info);
    let name = unicode::path(&guest.space, string, guest.pointer_bytes())?;
    let above = (directory.read(&guest.space, info)).map_err(Absent::unreadable)?;
    if above.is_null() {
        return Ok(Some((None, name)));
    }
    if guest.plausible(above).is_err() {
        let rule = "an object's directory is a mapped address of the kernel";
        let place = directory.place(info);
        return Err(Absent::implausible(above.0, rule, Some(place)));
    }
    Ok(Some((self::header(windows, above), name)))
}

/// Where the header has the object's `_OBJECT_HEADER_NAME_INFO`; `None` when it has none.
fn name_info(windows: &Windows, header: VirtAddr) -> Seen<Option<VirtAddr>> {
    /// Bits of `InfoMask`.
    const CREATOR: u64 = 1;
    const NAME: u64 = 2;
    let (space, layout) = (&windows.guest.space, &windows.object);
    if let Some(field) = layout.header.info_mask {
        let mask = field.read(space, header).map_err(Absent::unreadable)?;
        if mask & NAME == 0 {
            return Ok(None);
        }
        let creator = if mask & CREATOR == 0 {
            0
        } else {
            layout.creator_info.size
        };
        if layout.name_info.size == 0 || mask & CREATOR != 0 && creator == 0 {
            return Err(Absent::not_in_this_kernel());
        }
        return Ok(Some(header.minus(creator).minus(layout.name_info.size)));
    }
    let Some(field) = layout.header.name_info_offset else {
        return Err(Absent::not_in_this_kernel());
    };
    match field.read(space, header).map_err(Absent::unreadable)? {
        0 => Ok(None),
        by => Ok(Some(header.minus(by))),
    }
}

/// The pointer in the structure at `at`, when it leads to where an object of the kernel's can lie.
pub(crate) fn pointer(windows: &Windows, field: Field<Ptr<()>>, at: VirtAddr) -> Seen<VirtAddr> {
    let guest = &windows.guest;
    let to = field.read(&guest.space, at).map_err(Absent::unreadable)?;
    if guest.plausible(to).is_ok() {
        return Ok(to);
    }
    let rule = "what an object leads to is a mapped address of the kernel";
    Err(Absent::implausible(to.0, rule, Some(field.place(at))))
}

/// As [`pointer`], to what lies within an object, where 4 bytes are alignment enough.
pub(crate) fn pointer_at(windows: &Windows, field: Field<Ptr<()>>, at: VirtAddr) -> Seen<VirtAddr> {
    let guest = &windows.guest;
    let to = field.read(&guest.space, at).map_err(Absent::unreadable)?;
    let possible = guest.is_kernel_address(to) && to.0.is_multiple_of(4);
    if possible && mapped(&guest.space, to).is_ok() {
        return Ok(to);
    }
    let rule = "what an object leads to is a mapped address of the kernel";
    Err(Absent::implausible(to.0, rule, Some(field.place(at))))
}

/// Handles that lead to the object, by the count in its header.
pub(crate) fn handle_count(windows: &Windows, header: VirtAddr) -> Option<Result<u64, Fault>> {
    let field = windows.object.header.handle_count?;
    Some(field.read(&windows.guest.space, header))
}
