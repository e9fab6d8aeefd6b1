//! The RAM that a QEMU dump with `paging=true` holds but does not head.
//!
//! QEMU then writes a program header for each mapping of the page tables it could walk, but the
//! contents of all RAM, one block after another (`dump/dump.c`, `dump_iterate`, QEMU 7.2). When
//! every header puts its bytes at one distance from their physical address, the bytes between are
//! the RAM between. The RAM ends where whole MiB leave a BIOS with a reset vector as the rest.

use osier_memory::PAGE_BYTES;

use crate::anomaly::Anomaly;
use crate::extent::Extent;
use crate::look::Look;

const MIB: u64 = 1 << 20;
/// The far jump at the reset vector of `SeaBIOS`, 16 bytes before the BIOS's end.
const RESET_VECTOR: [u8; 5] = [0xea, 0x5b, 0xe0, 0x00, 0xf0];
const BIOS_BYTES: [u64; 4] = [0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000];

/// The whole RAM of a dump whose headers give `headed`, or `headed` when there is no more.
pub(crate) fn complete(
    headed: Vec<Extent>,
    file: Look<'_>,
    anomalies: &mut Vec<Anomaly>,
) -> Vec<Extent> {
    let distance = |extent: &Extent| extent.offset.checked_sub(extent.start);
    let Some(shift) = headed.first().and_then(distance) else {
        return headed;
    };
    if headed.len() < 2 || headed.iter().any(|e| distance(e) != Some(shift)) {
        return headed;
    }
    let held = headed
        .iter()
        .fold(0_u64, |sum, e| sum.saturating_add(e.len));
    let last = headed.iter().map(|e| e.start.saturating_add(e.len)).max();
    let written = (file.len() as u64).saturating_sub(shift) & !(PAGE_BYTES - 1);
    let last = last.unwrap_or(0).min(written);
    let vector = shift.saturating_add(written).saturating_sub(16);
    let has_vector = usize::try_from(vector)
        .ok()
        .is_some_and(|at| file.has(at, &RESET_VECTOR));
    let bios = BIOS_BYTES
        .into_iter()
        .find(|&bios| has_vector && written.saturating_sub(bios).is_multiple_of(MIB));
    let ram = bios
        .map_or(last, |bios| written.saturating_sub(bios))
        .max(last);
    if ram <= held {
        return headed;
    }
    anomalies.push(Anomaly::harmless(format!(
        "the program headers name {held} bytes of RAM; the file holds {ram}, which were taken"
    )));
    let mut all = vec![Extent {
        start: 0,
        len: ram,
        offset: shift,
    }];
    if let Some(bios) = bios {
        all.push(Extent {
            start: (1_u64 << 32).saturating_sub(bios),
            len: bios,
            offset: shift.saturating_add(ram),
        });
    }
    all
}
