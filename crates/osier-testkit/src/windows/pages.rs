//! Pages that are not valid: what Windows puts into their entries.
//!
//! Transition, prototype, demand-zero and page-file entries by the bit fields of the profile's
//! `_MMPTE_*` structures, which differ by kernel.

use osier_memory::{PhysAddr, VirtAddr};

use super::rows::{Paged, Proto};
use super::spaces::Space;
use super::writer::{PAGED_POOL_X86, Writer};

const PAGE: u64 = 4096;
/// `MM_READWRITE`.
const READ_WRITE: u64 = 4;
/// A valid entry of user mode: present, writable, user, accessed, dirty.
const VALID: u64 = 0x67;

/// Makes the pages of `first..end` that exist what `paged` says.
pub(super) fn take_away(
    w: &mut Writer<'_>,
    space: Space,
    first: VirtAddr,
    end: VirtAddr,
    paged: Paged,
) {
    let mut page = first.page();
    while page < end {
        if w.spaces.is_present(space, page) {
            let pa = w.spaces.phys(space, page);
            let entry = entry(w, paged, pa);
            w.spaces.set_entry(space, page, entry);
            // Nobody shall find what is said to be on disk.
            if !is_in_memory(paged) {
                w.spaces.memory.write_bytes(pa, &[0xcc; PAGE as usize]);
            }
        }
        page = page.plus(PAGE);
    }
}

/// Whether the bytes of such a page can be read.
fn is_in_memory(paged: Paged) -> bool {
    matches!(
        paged,
        Paged::Transition | Paged::Prototype(Proto::Valid | Proto::Transition)
    )
}

fn entry(w: &mut Writer<'_>, paged: Paged, pa: PhysAddr) -> u64 {
    match paged {
        Paged::Transition => transition(w, pa),
        Paged::Prototype(proto) => {
            let pointed = pointed(w, proto, pa);
            prototype(w, pointed)
        }
        Paged::DemandZero => software(w, &[("Protection", READ_WRITE)]),
        Paged::PageFile { number, offset } => page_file(w, number, offset),
    }
}

/// The entry of a section for a page that is at `pa`, if it is in memory.
pub(super) fn pointed(w: &mut Writer<'_>, proto: Proto, pa: PhysAddr) -> u64 {
    match proto {
        Proto::Valid => pa.0 | VALID,
        Proto::Transition => transition(w, pa),
        Proto::PageFile(offset) => page_file(w, 0, offset),
        Proto::DemandZero => software(w, &[("Protection", READ_WRITE)]),
        // `_MMPTE_SUBSECTION`, which has its bit where a prototype has it.
        Proto::MappedFile => software(w, &[("Prototype", 1), ("Protection", 1)]),
    }
}

fn software(w: &mut Writer<'_>, fields: &[(&str, u64)]) -> u64 {
    w.bits("_MMPTE_SOFTWARE", fields)
}

fn page_file(w: &mut Writer<'_>, number: u8, offset: u32) -> u64 {
    let fields = [
        ("Protection", READ_WRITE),
        ("PageFileLow", u64::from(number)),
        ("PageFileHigh", u64::from(offset)),
        ("SwizzleBit", 1),
    ];
    software(w, &fields)
}

fn transition(w: &mut Writer<'_>, pa: PhysAddr) -> u64 {
    let fields = [
        ("Transition", 1),
        ("Protection", READ_WRITE),
        ("PageFrameNumber", pa.0 / PAGE),
        ("SwizzleBit", 1),
    ];
    w.bits("_MMPTE_TRANSITION", &fields)
}

/// An entry that refers to a prototype entry, which is made in paged pool and holds `pointed`.
fn prototype(w: &mut Writer<'_>, pointed: u64) -> u64 {
    const PROTOTYPE: &str = "_MMPTE_PROTOTYPE";
    let width = w.size("_MMPTE_SOFTWARE");
    let at = w.paged_room(width);
    w.uint(Space::SYSTEM, at, pointed, width);
    if w.has(PROTOTYPE, "ProtoAddressLow") {
        // Without PAE the entry has room for 28 bits: words from the start of paged pool on, the
        // lower 7 bits of their count apart from the rest.
        let words = at.since(PAGED_POOL_X86) / 4;
        let fields = [
            ("Prototype", 1),
            ("ProtoAddressLow", words & 0x7f),
            ("ProtoAddressHigh", words >> 7),
        ];
        return w.bits(PROTOTYPE, &fields);
    }
    let fields = [("Prototype", 1), ("ProtoAddress", at.0), ("SwizzleBit", 1)];
    w.bits(PROTOTYPE, &fields)
}
