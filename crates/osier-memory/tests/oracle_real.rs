//! Real page tables, against what QEMU's monitor says of them: `info tlb` and `info mem` of the
//! moment that the memory was saved.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use osier_memory::{
    AddressSpace, MappedRange, PAGE_BYTES, Paging, PhysAddr, VirtAddr, hardware_policy,
};
use osier_testkit::FlatMemory;
use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::snapshot("amd64-5.10") => four_levels;
    need::snapshot("i386-5.10-nonpae") => two_levels;
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap_or_else(|_| panic!("{text}"))
}

fn text(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap()
}

fn space(folder: &Path, raw: &str, mode: Paging) -> AddressSpace {
    let memory = Arc::new(FlatMemory::new(fs::read(folder.join(raw)).unwrap()));
    let registers = text(folder, "stopped.regs.txt");
    let cr3 = registers.split("CR3=").nth(1).unwrap();
    let cr3 = hex(cr3.split_whitespace().next().unwrap());
    AddressSpace::new(memory, mode, mode.root_of_cr3(cr3), hardware_policy)
}

fn all_ranges(space: &AddressSpace) -> Vec<MappedRange> {
    let mut found = Vec::new();
    space.mapped(VirtAddr(0)..VirtAddr(u64::MAX), &mut |range| {
        // The monitor prints tables outside RAM as the zeros that its read gives: none here.
        found.push(range.unwrap());
        ControlFlow::Continue(())
    });
    found
}

/// Compares with each line of `info tlb`: address, frame, and the mapping entry's own marks.
fn compare_tlb(space: &AddressSpace, ranges: &[MappedRange], tlb: &str) -> usize {
    let mode = space.mode();
    let mut ours = BTreeMap::new();
    for range in ranges {
        for by in (0..range.len).step_by(range.page_bytes as usize) {
            let page = (range.phys.plus(by), range.page_bytes, range.flags);
            assert!(ours.insert(range.start.plus(by), page).is_none());
        }
    }
    let mut lines = 0;
    for line in tlb.lines() {
        let parts: Vec<&str> = line.split([':', ' ']).filter(|s| !s.is_empty()).collect();
        let [va, pa, marks] = parts[..] else {
            panic!("{line}")
        };
        let va = mode.canonicalise(VirtAddr(hex(va)));
        let has = |mark| marks.contains(mark);
        let (phys, bytes, flags) = ours.remove(&va).unwrap_or_else(|| panic!("{line}"));
        assert_eq!(phys, PhysAddr(hex(pa)), "{line}");
        // P is bit 7 of the mapping entry: page size, or PAT in a page table.
        assert!(bytes == PAGE_BYTES || has('P'), "{line}");
        let marked = (flags.global, flags.dirty, flags.accessed);
        assert_eq!(marked, (has('G'), has('D'), has('A')), "{line}");
        // Every level must allow, and none forbid: the entry's own mark is one side of it.
        assert!(!flags.write || has('W'), "{line}");
        assert!(!flags.user || has('U'), "{line}");
        assert!(flags.no_execute || !has('X'), "{line}");
        for at in [0, 0x7ff, bytes - 1] {
            assert_eq!(space.translate(va.plus(at)), Ok(phys.plus(at)), "{line}");
        }
        let found = space.lookup(va).unwrap();
        assert_eq!(found.page_bytes, bytes);
        assert_eq!(found.rights & 2 != 0, flags.write);
        assert_eq!(found.rights & 4 != 0, flags.user);
        lines += 1;
    }
    assert!(
        ours.is_empty(),
        "mapped, but not in info tlb: {:x?}",
        ours.first_key_value()
    );
    lines
}

/// Compares with `info mem`: stretches of one set of rights, all levels counted.
fn compare_mem(space: &AddressSpace, ranges: &[MappedRange], mem: &str) -> usize {
    let mode = space.mode();
    let mut ours: Vec<(u64, u64, String)> = Vec::new();
    for range in ranges {
        let user = if range.flags.user { 'u' } else { '-' };
        let write = if range.flags.write { 'w' } else { '-' };
        let rights = format!("{user}r{write}");
        let end = range.start.plus(range.len).0;
        match ours.last_mut() {
            Some((_, last, same)) if *last == range.start.0 && *same == rights => *last = end,
            _ => ours.push((range.start.0, end, rights)),
        }
    }
    let lines: Vec<_> = mem.lines().collect();
    for (line, (start, end, rights)) in lines.iter().zip(&ours) {
        let mut parts = line.split([' ', '-']);
        let from = mode.canonicalise(VirtAddr(hex(parts.next().unwrap()))).0;
        let to = hex(parts.next().unwrap());
        let len = hex(parts.next().unwrap());
        assert_eq!((from, len), (*start, end.wrapping_sub(*start)), "{line}");
        let width = u32::from(mode.va_bits());
        assert_eq!(
            to & (u64::MAX >> (64 - width)),
            end & (u64::MAX >> (64 - width)),
            "{line}"
        );
        assert!(line.ends_with(rights.as_str()), "{line}: {rights}");
    }
    assert_eq!(lines.len(), ours.len());
    lines.len()
}

fn four_levels(real: &Real) {
    let folder = &real.path;
    let space = space(folder, "amd64-5.10.pmemsave.raw", Paging::Long4);
    let ranges = all_ranges(&space);
    let tlb = text(folder, "stopped.info_tlb.txt");
    assert_eq!(compare_tlb(&space, &ranges, &tlb), 75_049);
    let mem = text(folder, "stopped.info_mem.txt");
    assert_eq!(compare_mem(&space, &ranges, &mem), 65_761);
}

fn two_levels(real: &Real) {
    let folder = &real.path;
    let space = space(folder, "i386-5.10-nonpae.pmemsave.raw", Paging::Legacy);
    let ranges = all_ranges(&space);
    let tlb = text(folder, "stopped.info_tlb.txt");
    assert_eq!(compare_tlb(&space, &ranges, &tlb), 6_705);
    let mem = text(folder, "stopped.info_mem.txt");
    assert_eq!(compare_mem(&space, &ranges, &mem), 101);
}
