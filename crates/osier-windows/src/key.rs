//! Registry keys that are open: `_CM_KEY_BODY` ──► `_CM_KEY_CONTROL_BLOCK`, and from there to the root.
//!
//! Sources: these structures in Microsoft's kernel PDBs from XP to 11; panda's libosi, `KeyBody`.

use osier_memory::VirtAddr;
use osier_osi::{Absent, Guard, Seen};

use crate::object::pointer;
use crate::unicode;
use crate::windows::Windows;

/// The registry's own limit of levels.
const MAX_LEVELS: usize = 512;
/// More bytes than the name of a key has, which are 255 letters.
const MAX_NAME: u64 = 1024;

/// The path of the open key at `body`: `\REGISTRY\MACHINE\…`.
pub(crate) fn path(windows: &Windows, body: VirtAddr) -> Seen<Vec<u8>> {
    let layout = &windows.object;
    let (Some(first), Some(parent), Some(name)) = (
        layout.key_body.key_control_block,
        layout.key.parent,
        layout.key.name_block,
    ) else {
        return Err(Absent::not_in_this_kernel());
    };
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut met = Guard::new(MAX_LEVELS);
    let own = pointer(windows, first, body)?;
    let mut at = own;
    loop {
        if met.meet(at).is_err() {
            let rule = "keys are in each other to a depth of 512 at most, and not in a circle";
            return Err(Absent::implausible(at.0, rule, Some(first.place(body))));
        }
        parts.push(part(windows, pointer(windows, name, at)?)?);
        let above = parent.read(&windows.guest.space, at);
        if above.map_err(Absent::unreadable)?.is_null() {
            break;
        }
        at = pointer(windows, parent, at)?;
    }
    if parts
        .last()
        .is_none_or(|root| !root.eq_ignore_ascii_case(b"REGISTRY"))
    {
        let rule = "the root of every key's path is called REGISTRY";
        return Err(Absent::implausible(at.0, rule, Some(name.place(at))));
    }
    if let Some(field) = layout.key.levels
        && let Ok(levels) = field.read(&windows.guest.space, own)
        && levels != parts.len() as u64
    {
        let rule = "a key counts those that it is in (TotalLevels)";
        return Err(Absent::implausible(levels, rule, Some(field.place(own))));
    }
    let mut path = Vec::new();
    for part in parts.iter().rev() {
        path.push(b'\\');
        path.extend_from_slice(part);
    }
    Ok(path)
}

/// The name in the `_CM_NAME_CONTROL_BLOCK` at `at`. Names are kept in capitals.
fn part(windows: &Windows, at: VirtAddr) -> Seen<Vec<u8>> {
    let (space, layout) = (&windows.guest.space, &windows.object.name_block);
    let (Some(compressed), Some(length), Some(name)) =
        (layout.compressed, layout.name_length, layout.name)
    else {
        return Err(Absent::not_in_this_kernel());
    };
    let place = length.place(at);
    let length = length.read(space, at).map_err(Absent::unreadable)?;
    let narrow = compressed.read(space, at).map_err(Absent::unreadable)? != 0;
    if length == 0 || length > MAX_NAME || !narrow && !length.is_multiple_of(2) {
        let rule = "a key's name has letters, at most 255";
        return Err(Absent::implausible(length, rule, Some(place)));
    }
    let start = name.place(at);
    let name = if narrow {
        let mut raw = vec![0; usize::try_from(length).unwrap_or_default()];
        space.read(start, &mut raw).map_err(Absent::unreadable)?;
        raw.iter()
            .map(|byte| char::from(*byte))
            .collect::<String>()
            .into_bytes()
    } else {
        unicode::text(space, length, start)?
    };
    if name.contains(&0) {
        let rule = "the name of a key has no NUL";
        return Err(Absent::implausible(0, rule, Some(start)));
    }
    Ok(name)
}
