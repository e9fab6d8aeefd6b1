//! From the machine's state in a snapshot to its bytes in the file, over L1 and L2 tables.

use super::table::{Image, Internal, PARTS};
use crate::cursor::Cursor;
use crate::error::Malformed;
use crate::look::Look;

/// The place in an entry of either table.
const PLACE: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;
/// The cluster reads as zeros (entries without bitmap).
const ZERO: u64 = 1;

/// A stretch of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Its file offset; `None` for zeros that the tables say.
    pub(super) offset: Option<u64>,
    /// Bytes; never 0.
    pub(super) len: u64,
}

/// The stretches of the state of `internal`, in order; and why they end before the state does, when
/// the file or its tables do so.
pub(super) fn of_state(
    file: Look<'_>,
    image: &Image,
    internal: &Internal,
) -> Result<(Vec<Extent>, Option<Malformed>), Malformed> {
    // A state has clusters of its own, and few of zeros, as a stream has no pages of zeros; so this
    // bounds the work.
    if internal.state_bytes / 2 > file.len() as u64 {
        return Err(Malformed::new(
            internal.l1,
            format!(
                "the tables of a machine's state that fits the file, not of {} bytes",
                internal.state_bytes
            ),
        ));
    }
    let entry_bits = if image.extended() { 4 } else { 3 };
    let l2_bits = image.cluster_bits.saturating_sub(entry_bits);
    let cluster = image.cluster_bytes();
    // The state starts at the first L1 entry that the disk does not need.
    let per_l1 = cluster << l2_bits;
    let start = internal.disk_bytes.div_ceil(per_l1).checked_mul(per_l1);
    let start = start.filter(|start| start.checked_add(internal.state_bytes).is_some());
    let start = start
        .ok_or_else(|| Malformed::new(internal.l1, "a snapshot of a disk of less than 16 EiB"))?;
    let mut extents: Vec<Extent> = Vec::new();
    let mut done = 0_u64;
    while done < internal.state_bytes {
        let at = start.saturating_add(done);
        let found = l2_entry(file, image, internal, at, l2_bits, entry_bits)
            .and_then(|l2| Ok((parts(file, image, &l2)?, l2)));
        let (parts, l2) = match found {
            // The state is a stream: what comes before is of use.
            Err(bad) if done > 0 => return Ok((held(file, extents).0, Some(bad))),
            found => found?,
        };
        for offset in parts {
            let left = internal.state_bytes.saturating_sub(done);
            let len = image.part_bytes().min(left);
            push(&mut extents, Extent { offset, len });
            done = done.saturating_add(len);
        }
        if done < internal.state_bytes && !done.is_multiple_of(cluster) {
            return Ok((held(file, extents).0, Some(missing(&l2))));
        }
    }
    Ok(held(file, extents))
}

/// An L2 entry, its bitmap, and where it stands in the file.
struct L2 {
    entry: u64,
    bitmap: Option<u64>,
    at: u64,
}

/// The L2 entry of the cluster at `at` of the snapshot.
fn l2_entry(
    file: Look<'_>,
    image: &Image,
    internal: &Internal,
    at: u64,
    l2_bits: u32,
    entry_bits: u32,
) -> Result<L2, Malformed> {
    let number = at >> image.cluster_bits;
    let l1_index = number >> l2_bits;
    if l1_index >= u64::from(internal.l1_entries) {
        return Err(Malformed::new(
            internal.l1,
            format!("an L1 table of more than {l1_index} entries"),
        ));
    }
    let l1_at = internal.l1.saturating_add(l1_index.saturating_mul(8));
    let table = cursor(file, l1_at).be64("an L1 entry")? & PLACE;
    if table == 0 {
        return Err(Malformed::new(l1_at, "an L2 table of the machine's state"));
    }
    let index = number & (1_u64 << l2_bits).wrapping_sub(1);
    let at = table.saturating_add(index << entry_bits);
    let mut here = cursor(file, at);
    let entry = here.be64("an L2 entry")?;
    let bitmap = if image.extended() {
        Some(here.be64("an L2 entry's bitmap")?)
    } else {
        None
    };
    Ok(L2 { entry, bitmap, at })
}

fn missing(l2: &L2) -> Malformed {
    Malformed::new(l2.at, "a cluster of the machine's state")
}

/// The parts of an entry's cluster from its start on, up to the first that was never written: file
/// offsets, `None` for zeros.
fn parts(file: Look<'_>, image: &Image, l2: &L2) -> Result<Vec<Option<u64>>, Malformed> {
    if l2.entry & COMPRESSED != 0 {
        return Err(Malformed::new(
            l2.at,
            "a cluster as QEMU writes a machine's state, not a compressed one",
        ));
    }
    let place = l2.entry & PLACE;
    if place >= file.len() as u64 {
        return Err(Malformed::new(
            l2.at,
            format!("a cluster inside the file, not at {place:#x}"),
        ));
    }
    let written = Some(place).filter(|place| *place != 0);
    let Some(bitmap) = l2.bitmap else {
        return match (l2.entry & ZERO != 0, written) {
            (true, _) => Ok(vec![None]),
            (false, Some(place)) => Ok(vec![Some(place)]),
            (false, None) => Err(missing(l2)),
        };
    };
    let mut found = Vec::new();
    for number in 0..PARTS {
        let before = image.part_bytes().saturating_mul(number.into());
        let there = bitmap >> number & 1 != 0;
        let zero = bitmap >> number >> PARTS & 1 != 0;
        match (there, zero, written) {
            (true, false, Some(place)) => found.push(Some(place.saturating_add(before))),
            (false, true, _) => found.push(None),
            (false, false, _) if number > 0 => break,
            _ => return Err(missing(l2)),
        }
    }
    Ok(found)
}

/// Appends a stretch, joined to the last where they touch.
fn push(extents: &mut Vec<Extent>, next: Extent) {
    if next.len == 0 {
        return;
    }
    if let Some(last) = extents.last_mut() {
        let touches = match (last.offset, next.offset) {
            (Some(from), Some(next)) => from.checked_add(last.len) == Some(next),
            (None, None) => true,
            _ => false,
        };
        if touches {
            last.len = last.len.saturating_add(next.len);
            return;
        }
    }
    extents.push(next);
}

/// The stretches up to the first that the file does not hold whole, and why they end there.
fn held(file: Look<'_>, mut extents: Vec<Extent>) -> (Vec<Extent>, Option<Malformed>) {
    let len = file.len() as u64;
    let over = |extent: &Extent| {
        let end = extent.offset.map(|at| at.saturating_add(extent.len));
        end.is_some_and(|end| end > len)
    };
    let Some(number) = extents.iter().position(over) else {
        return (extents, None);
    };
    extents.truncate(number.saturating_add(1));
    let mut why = None;
    if let Some(last) = extents.last_mut() {
        let offset = last.offset.unwrap_or(len);
        why = Some(Malformed::ended(
            offset,
            format!(
                "{} bytes of the machine's state, but the file ends",
                last.len
            ),
        ));
        last.len = len.saturating_sub(offset);
    }
    extents.retain(|extent| extent.len > 0);
    (extents, why)
}

fn cursor(file: Look<'_>, at: u64) -> Cursor<'_> {
    Cursor::new(file, usize::try_from(at).unwrap_or(usize::MAX))
}
