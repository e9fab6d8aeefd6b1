//! The mapped ranges of a space, against a translation of each of its pages by itself.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use osier_memory::{
    AbsentEntry, AddressSpace, Cause, Fault, MappedRange, NotPresent, Paging, PhysAddr, VirtAddr,
    hardware_policy,
};
use osier_testkit::{Knockout, MemoryBuilder, Random, Rights, TableBuilder};

fn ranges(space: &AddressSpace, start: u64, end: u64) -> (Vec<MappedRange>, Vec<Fault>) {
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    space.mapped(VirtAddr(start)..VirtAddr(end), &mut |range| {
        match range {
            Ok(range) => found.push(range),
            Err(fault) => faults.push(fault),
        }
        ControlFlow::Continue(())
    });
    (found, faults)
}

/// Every page of `ranges` in `start..end`: address to frame, size and rights.
fn pages(ranges: &[MappedRange], start: u64, end: u64) -> BTreeMap<u64, (u64, u64, bool, bool)> {
    let mut pages = BTreeMap::new();
    for range in ranges {
        for by in (0..range.len).step_by(0x1000) {
            let va = range.start.0 + by;
            if (start..end).contains(&va) {
                let page = (
                    range.phys.0 + by,
                    range.page_bytes,
                    range.flags.write,
                    range.flags.user,
                );
                assert_eq!(pages.insert(va, page), None, "{va:#x} twice");
            }
        }
    }
    pages
}

/// The same, by asking for each page; what is kept of earlier walks leads where a whole walk leads.
fn asked(space: &AddressSpace, start: u64, end: u64) -> BTreeMap<u64, (u64, u64, bool, bool)> {
    let mut pages = BTreeMap::new();
    for va in (start..end).step_by(0x1000) {
        let found = space.lookup(VirtAddr(va));
        assert_eq!(space.translate(VirtAddr(va)), found.map(|found| found.pa));
        if let Ok(found) = found {
            let (write, user) = (found.rights & 2 != 0, found.rights & 4 != 0);
            pages.insert(va, (found.pa.0, found.page_bytes, write, user));
        }
    }
    pages
}

fn large(mode: Paging) -> Option<u64> {
    match mode {
        Paging::LegacyNoPse => None,
        Paging::Legacy => Some(4 << 20),
        _ => Some(2 << 20),
    }
}

#[test]
fn ranges_equal_what_each_page_translates_to() {
    for (seed, mode, start) in [
        (1, Paging::LegacyNoPse, 0xbff0_0000_u64),
        (2, Paging::Legacy, 0xbf00_0000),
        (3, Paging::Pae, 0xbff0_0000),
        (4, Paging::Long4, 0x0000_7fff_ff00_0000),
        (5, Paging::Long4, 0xffff_8000_0000_0000),
        (6, Paging::Long5, 0x00ff_ffff_ff00_0000),
        (7, Paging::Long5, 0xff00_0000_0000_0000),
    ] {
        let end = start + (16 << 20);
        let mut random = Random::new(seed);
        let mut memory = MemoryBuilder::new(PhysAddr(0x10_0000));
        let tables = TableBuilder::new(mode, &mut memory);
        if let Some(bytes) = large(mode) {
            let va = VirtAddr(start + (8 << 20));
            tables.map(
                &mut memory,
                va,
                PhysAddr(0x4000_0000),
                bytes,
                Rights::KERNEL,
            );
        }
        for _ in 0..400 {
            let va = VirtAddr(start + random.below(2048) * 0x1000); // the first 8 MiB
            let pa = PhysAddr(0x80_0000 + random.below(64) * 0x1000);
            let rights = random.one_of(&[Rights::USER, Rights::KERNEL]);
            tables.map_run(&mut memory, va, pa, 1 + random.below(3), rights);
            let hole = VirtAddr(start + random.below(2048) * 0x1000);
            tables.write_entry(&mut memory, hole, 0x1000, random.one_of(&[0, 0xabc0]));
        }
        let root = tables.root();
        let space = AddressSpace::new(Arc::new(memory), mode, root, hardware_policy);
        let everything = match mode.va_bits() {
            32 => 0..1 << 32,
            _ => 0..u64::MAX,
        };
        let (found, faults) = ranges(&space, everything.start, everything.end);
        assert_eq!(faults, [], "{mode:?}");
        assert!(found.is_sorted_by_key(|range| range.start));
        let brute = asked(&space, start, end + (1 << 20));
        assert!(brute.len() > 300);
        assert_eq!(pages(&found, 0, u64::MAX), brute, "{mode:?}");
        // The same through windows of any place and size.
        for _ in 0..40 {
            let a = start + random.below(4096) * 0x1000;
            let b = (a + random.below(4096) * 0x1000).min(end);
            let (found, _) = ranges(&space, a, b);
            assert_eq!(
                pages(&found, a, b),
                asked(&space, a, b),
                "{mode:?} {a:#x}..{b:#x}"
            );
        }
        // Neighbours that could be one range are one range.
        for pair in found.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let touch = a.start.plus(a.len) == b.start && a.phys.plus(a.len) == b.phys;
            assert!(!touch || a.flags != b.flags || a.page_bytes != b.page_bytes);
        }
    }
}

#[test]
fn an_a20_mask_folds_ranges_as_it_folds_translations() {
    for (mode, bytes) in [(Paging::Legacy, 4 << 20), (Paging::Long4, 2 << 20)] {
        let mut memory = MemoryBuilder::new(PhysAddr(0x20_0000));
        let tables = TableBuilder::new(mode, &mut memory);
        let va = VirtAddr(0x4000_0000);
        tables.map(&mut memory, va, PhysAddr(0x8000_0000), bytes, Rights::USER);
        tables.map_run(
            &mut memory,
            VirtAddr(0x1000),
            PhysAddr(0x1f_f000),
            2,
            Rights::USER,
        );
        let root = tables.root();
        let space = AddressSpace::new(Arc::new(memory), mode, root, hardware_policy)
            .with_a20_mask(!(1 << 20));
        let (found, _) = ranges(&space, 0, 1 << 32);
        let mut brute = asked(&space, 0, 0x10_0000);
        brute.append(&mut asked(&space, va.0, va.0 + bytes));
        assert_eq!(pages(&found, 0, u64::MAX), brute, "{mode:?}");
    }
}

#[test]
fn a_table_out_of_reach_is_one_fault_and_the_rest_is_shown() {
    for mode in [Paging::Legacy, Paging::Pae, Paging::Long4, Paging::Long5] {
        let mut memory = MemoryBuilder::new(PhysAddr(0x10_0000));
        let tables = TableBuilder::new(mode, &mut memory);
        let span = large(mode).unwrap();
        for page in 0..3 {
            let va = VirtAddr(page * span + 0x5000);
            tables.map(&mut memory, va, PhysAddr(0x7000), 0x1000, Rights::USER);
        }
        let root = tables.root();
        let whole = AddressSpace::new(Arc::new(memory.clone()), mode, root, hardware_policy);
        let middle = *whole.walk(VirtAddr(span + 0x5000)).steps.last().unwrap();
        let holed = Arc::new(Knockout::new(memory, middle.at));
        let space = AddressSpace::new(holed, mode, root, hardware_policy);
        for start in [0, span + 0x3000] {
            let (found, faults) = ranges(&space, start, 4 * span);
            let starts: Vec<_> = found.iter().map(|range| range.start.0).collect();
            let all = [0x5000, 2 * span + 0x5000];
            assert_eq!(starts, all[usize::from(start > 0)..], "{mode:?}");
            let [fault] = faults[..] else {
                panic!("{mode:?} {faults:?}")
            };
            assert_eq!(fault.cause, Cause::NotCaptured);
            assert_eq!(fault.pa.unwrap().page(), middle.at.page());
            assert_eq!(
                (fault.level, fault.va),
                (Some(1), Some(VirtAddr(start.max(span))))
            );
        }
    }
}

#[test]
fn a_policy_shows_pages_that_the_processor_does_not() {
    let mut memory = MemoryBuilder::new(PhysAddr(0x10_0000));
    let tables = TableBuilder::new(Paging::Long4, &mut memory);
    tables.write_entry(&mut memory, VirtAddr(0x3000), 0x1000, 0x8100);
    tables.write_entry(&mut memory, VirtAddr(0x4000), 0x1000, 0x9101);
    let policy = |AbsentEntry { entry, .. }| match entry & 0x100 {
        0 => NotPresent::Fault(Cause::NotPresent { entry }),
        _ => NotPresent::InMemory(entry | 1),
    };
    let root = tables.root();
    let space = AddressSpace::new(Arc::new(memory), Paging::Long4, root, policy);
    let (found, _) = ranges(&space, 0, 1 << 47);
    let seen: Vec<_> = found.iter().map(|r| (r.start.0, r.flags.kept)).collect();
    assert_eq!(seen, [(0x3000, true), (0x4000, false)]);
    assert_eq!(space.translate(VirtAddr(0x3001)), Ok(PhysAddr(0x8001)));
}

#[test]
fn tables_of_themselves_end() {
    for mode in [Paging::Legacy, Paging::Pae, Paging::Long4, Paging::Long5] {
        let began = Instant::now();
        let width = mode.entry_bytes();
        // Every table is the next one's twin and the last level is empty: nothing is mapped.
        let mut memory = MemoryBuilder::new(PhysAddr(0x1000));
        let levels: Vec<_> = (0..mode.depth()).map(|_| memory.allocate()).collect();
        for pair in levels.windows(2) {
            for entry in 0..4096 / width as u64 {
                memory.write_uint(pair[0].plus(entry * width as u64), pair[1].0 | 1, width);
            }
        }
        let shared = AddressSpace::new(Arc::new(memory), mode, levels[0], hardware_policy);
        assert_eq!(ranges(&shared, 0, u64::MAX), (vec![], vec![]), "{mode:?}");

        // Every entry leads back to the root: more pages than can be shown, until somebody stops.
        let mut memory = MemoryBuilder::new(PhysAddr(0x1000));
        let root = memory.allocate();
        for entry in 0..4096 / width as u64 {
            memory.write_uint(root.plus(entry * width as u64), root.0 | 1, width);
        }
        let space = AddressSpace::new(Arc::new(memory), mode, root, hardware_policy);
        let mut left = 10_000;
        space.mapped(VirtAddr(0)..VirtAddr(u64::MAX), &mut |_| {
            left -= 1;
            if left == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(left, 0, "{mode:?}");

        // A process has each table once: each way back is a fault, and there are no pages.
        let mut again = 0;
        space.mapped_once(VirtAddr(0)..VirtAddr(u64::MAX), &mut |range| {
            let fault = range.unwrap_err();
            assert_eq!((fault.cause, fault.pa), (Cause::TableAgain, Some(root)));
            again += 1;
            ControlFlow::Continue(())
        });
        assert!(again > 0, "{mode:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{mode:?}");
    }
}
