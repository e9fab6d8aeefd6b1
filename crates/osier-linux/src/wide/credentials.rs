//! Whose a process is: its groups besides its own, its capabilities, its login.

use osier_memory::{PAGE_BYTES, VirtAddr};
use osier_osi::{Absent, Seen};
use osier_profile::{Embed, Field, SInt, layout};

use super::reader::Reader;

/// Most supplementary groups: `NGROUPS_MAX`.
const MOST_GROUPS: i64 = 65536;

layout! {
    /// Fields read from `group_info`.
    pub(crate) struct GroupInfo: "group_info" through [kgid_t] {
        /// How many.
        ngroups: Option<Field<SInt>>,
        /// The ids. Linux commit 81243eacfa40 ("cred: simpler, 1D supplementary groups"), v4.9.
        gid: Option<Field<Embed<()>>>,
        /// Pointers to the ids before, a page of them each; the first may lead to a small one in here.
        blocks: Option<Field<Embed<()>>>,
    }
}

/// The groups of these credentials, which are those of a thread of the kernel with `of_kernel`.
pub(super) fn groups(
    reader: &Reader<'_>,
    layout: &GroupInfo,
    cred: VirtAddr,
    of_kernel: bool,
) -> Seen<Vec<u32>> {
    let info = reader.object(reader.cred.group_info, cred)?;
    let (count, at) = reader.signed(layout.ngroups, info)?;
    if of_kernel && count != 0 {
        let rule = "a thread of the kernel is in no further group (ngroups)";
        return Err(Absent::implausible(count.cast_unsigned(), rule, Some(at)));
    }
    if !(0..=MOST_GROUPS).contains(&count) {
        let rule = "a process is in 0 to 65536 groups";
        return Err(Absent::implausible(count.cast_unsigned(), rule, Some(at)));
    }
    let mut groups: Vec<u32> = Vec::new();
    for index in 0..count.cast_unsigned() {
        let at = place_of(reader, layout, info, index)?;
        let id = reader.linux.guest.space.read_uint(at, 4);
        let id = id.map_err(Absent::unreadable)?;
        let id = u32::try_from(id).unwrap_or(u32::MAX);
        // The kernel keeps them in order.
        if id == u32::MAX || groups.last().is_some_and(|last| *last > id) {
            let rule = "groups are in ascending order, and none is -1";
            return Err(Absent::implausible(id.into(), rule, Some(at)));
        }
        groups.push(id);
    }
    Ok(groups)
}

/// Where the id number `index` stands.
fn place_of(reader: &Reader<'_>, layout: &GroupInfo, info: VirtAddr, index: u64) -> Seen<VirtAddr> {
    /// Ids in a block: `NGROUPS_PER_BLOCK`.
    const PER_BLOCK: u64 = PAGE_BYTES / 4;
    if let Some(gid) = layout.gid {
        return Ok(gid.place(info).plus(index.wrapping_mul(4)));
    }
    let blocks = layout.blocks.ok_or_else(Absent::not_in_this_kernel)?;
    let guest = &reader.linux.guest;
    let word = u64::from(guest.pointer_bytes());
    let at = blocks
        .place(info)
        .plus((index / PER_BLOCK).wrapping_mul(word));
    let block = guest.space.read_pointer(at).map_err(Absent::unreadable)?;
    // `small_block` in here is aligned to an id, not to a pointer.
    if !guest.is_kernel_address(block) || !block.0.is_multiple_of(4) {
        let rule = "groups are kept in blocks";
        return Err(Absent::implausible(block.0, rule, Some(at)));
    }
    Ok(block.plus((index % PER_BLOCK).wrapping_mul(4)))
}

/// The effective capabilities of these credentials, which are permitted ones.
pub(super) fn capabilities(reader: &Reader<'_>, cred: VirtAddr) -> Seen<u64> {
    let effective = reader.value(reader.cred.cap_effective, cred)?;
    let permitted = reader.value(reader.cred.cap_permitted, cred);
    if permitted.is_ok_and(|permitted| effective & !permitted != 0) {
        let rule = "effective capabilities are permitted (cap_effective, cap_permitted)";
        let at = reader.cred.cap_effective.map(|field| field.place(cred));
        return Err(Absent::implausible(effective, rule, at));
    }
    Ok(effective)
}

/// Who logged in: whoever did has the number of a login, which are counted from 1.
pub(super) fn login(reader: &Reader<'_>, task: VirtAddr) -> Seen<u32> {
    const NOBODY: u64 = u32::MAX as u64;
    let id = reader.value(reader.task.loginuid, task)?;
    let session = reader.value(reader.task.sessionid, task);
    let differs = |session| session == 0 || (session == NOBODY) != (id == NOBODY);
    if session.is_ok_and(differs) {
        let rule = "who logged in has the number of a login (loginuid, sessionid)";
        let at = reader.task.loginuid.map(|field| field.place(task));
        return Err(Absent::implausible(id, rule, at));
    }
    match u32::try_from(id) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(Absent::not_applicable("nobody logged in")),
    }
}
