//! Each paging mode against the table of QEMU's debug walk, line by line.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

use std::sync::Arc;

use osier_memory::{
    AddressSpace, Cause, CpuState, Fault, Paging, PhysAddr, PhysicalMemory, VirtAddr,
    hardware_policy,
};
use osier_testkit::{MemoryBuilder, Rights, TableBuilder};

const MODES: [Paging; 5] = [
    Paging::LegacyNoPse,
    Paging::Legacy,
    Paging::Pae,
    Paging::Long4,
    Paging::Long5,
];

fn space(memory: MemoryBuilder, mode: Paging, root: PhysAddr) -> AddressSpace {
    AddressSpace::new(Arc::new(memory), mode, root, hardware_policy)
}

/// One mapping of `page_bytes` from `va` to `pa`.
fn mapped(mode: Paging, va: u64, pa: u64, page_bytes: u64) -> AddressSpace {
    let mut memory = MemoryBuilder::new(PhysAddr(0x10_0000));
    let tables = TableBuilder::new(mode, &mut memory);
    let (va, pa) = (VirtAddr(va), PhysAddr(pa));
    tables.map(&mut memory, va, pa, page_bytes, Rights::USER);
    space(memory, mode, tables.root())
}

/// The address behind `va` and the size of its page.
fn leads_to(space: &AddressSpace, va: u64) -> Result<(u64, u64), Fault> {
    let found = space.lookup(VirtAddr(va))?;
    assert_eq!(space.translate(VirtAddr(va)), Ok(found.pa));
    Ok((found.pa.0, found.page_bytes))
}

fn cause(space: &AddressSpace, va: u64) -> (Cause, Option<u8>) {
    let fault = space.lookup(VirtAddr(va)).unwrap_err();
    assert_eq!(space.translate(VirtAddr(va)), Err(fault));
    assert_eq!(fault.va, Some(VirtAddr(va)));
    (fault.cause, fault.level)
}

#[test]
fn without_paging_an_address_is_itself_under_the_a20_mask() {
    let memory = MemoryBuilder::new(PhysAddr(0));
    let space = space(memory, Paging::Flat, PhysAddr(0));
    assert_eq!(
        space.translate(VirtAddr(0x12_3456)),
        Ok(PhysAddr(0x12_3456))
    );
    let masked = space.with_a20_mask(!(1 << 20));
    assert_eq!(
        masked.translate(VirtAddr(0x12_3456)),
        Ok(PhysAddr(0x2_3456))
    );
}

#[test]
fn virtual_memory_is_read_by_its_own_64_bit_addresses() {
    let memory = MemoryBuilder::new(PhysAddr(0));
    let space = space(memory, Paging::Virtual, PhysAddr(0));
    for va in [0x1000, 0xffff_f804_7ba0_0000, u64::MAX] {
        assert_eq!(space.translate(VirtAddr(va)), Ok(PhysAddr(va)));
    }
    assert_eq!(Paging::Virtual.pointer_bytes(), 8);
}

#[test]
fn every_mode_maps_4_kib() {
    for mode in MODES {
        let space = mapped(mode, 0x1234_5000, 0x678_9000, 0x1000);
        assert_eq!(
            leads_to(&space, 0x1234_5abc),
            Ok((0x678_9abc, 0x1000)),
            "{mode:?}"
        );
        let levels = space.walk(VirtAddr(0x1234_5abc)).steps;
        let numbers: Vec<u8> = levels.iter().map(|step| step.level).collect();
        let all: Vec<u8> = (1..=5).rev().skip(5 - mode.depth()).collect();
        assert_eq!(numbers, all, "{mode:?}");
    }
}

#[test]
fn every_mode_maps_its_large_pages() {
    for (mode, bytes) in [
        (Paging::Legacy, 4 << 20),
        (Paging::Pae, 2 << 20),
        (Paging::Long4, 2 << 20),
        (Paging::Long5, 2 << 20),
        (Paging::Long4, 1 << 30),
        (Paging::Long5, 1 << 30),
    ] {
        let space = mapped(mode, 0x4000_0000, 0x8000_0000, bytes);
        let inside = bytes - 0x321;
        assert_eq!(
            leads_to(&space, 0x4000_0000 + inside),
            Ok((0x8000_0000 + inside, bytes)),
            "{mode:?}"
        );
    }
}

#[test]
fn an_absent_entry_of_each_level_says_which() {
    for mode in MODES {
        let top = u8::try_from(mode.depth()).unwrap();
        let mut memory = MemoryBuilder::new(PhysAddr(0x1000));
        let mut table = memory.allocate();
        let root = table;
        for level in (1..=top).rev() {
            let space = space(memory.clone(), mode, root);
            let entry = 0xab_c000 & !1;
            assert_eq!(
                cause(&space, 0x123),
                (Cause::NotPresent { entry: 0 }, Some(level)),
                "{mode:?}"
            );
            let mut marked = memory.clone();
            marked.write_uint(table, entry, mode.entry_bytes());
            let space = self::space(marked, mode, root);
            assert_eq!(cause(&space, 0), (Cause::NotPresent { entry }, Some(level)));
            let next = memory.allocate();
            memory.write_uint(table, next.0 | 1, mode.entry_bytes());
            table = next;
        }
        assert_eq!(
            space(memory, mode, root).translate(VirtAddr(0x123)),
            Ok(table.plus(0x123))
        );
    }
}

#[test]
fn pae_indexes_a_root_of_32_bytes_by_the_top_two_bits() {
    for (low, index) in [(0x20, 0_u64), (0xfe0, 1), (0x7c0, 2), (0, 3)] {
        let mut memory = MemoryBuilder::new(PhysAddr(0x10_0000));
        let root = PhysAddr(0x5000 + low);
        let tables = TableBuilder::at(Paging::Pae, &mut memory, root);
        let va = VirtAddr(index << 30 | 0x0123_4000);
        tables.map(&mut memory, va, PhysAddr(0x7000), 0x1000, Rights::USER);
        assert_eq!(memory.read_uint(root.plus(index * 8), 8).unwrap() & 1, 1);
        // CR3's low five bits are no part of the root.
        let cr3 = root.0 | 0x1f;
        assert_eq!(Paging::Pae.root_of_cr3(cr3), root);
        let space = space(memory, Paging::Pae, Paging::Pae.root_of_cr3(cr3));
        assert_eq!(leads_to(&space, va.0 | 5), Ok((0x7005, 0x1000)));
    }
}

#[test]
fn cr3_loses_what_is_no_address_in_each_mode() {
    assert_eq!(Paging::Legacy.root_of_cr3(0x0018_5018), PhysAddr(0x18_5000));
    assert_eq!(
        Paging::Long4.root_of_cr3(0x8000_0000_1c55_a803),
        PhysAddr(0x1c55_a000)
    );
    assert_eq!(
        Paging::Long5.root_of_cr3(0x1_2345_6fff),
        PhysAddr(0x1_2345_6000)
    );
}

#[test]
fn a_4_mib_page_needs_cr4_pse() {
    let mut memory = MemoryBuilder::new(PhysAddr(0x10_0000));
    let root = memory.allocate();
    let table = memory.allocate();
    memory.write_u32(root, u32::try_from(table.0).unwrap() | 0x81);
    memory.write_u32(table.plus(5 * 4), 0x00ab_c001);
    let without = space(memory.clone(), Paging::LegacyNoPse, root);
    assert_eq!(leads_to(&without, 0x5123), Ok((0xab_c123, 0x1000)));
    let with = space(memory, Paging::Legacy, root);
    // Bits 31:22 of the entry are the frame; bit 20 (of the table's address) is bit 39 of it.
    assert_eq!(leads_to(&with, 0x5123), Ok((0x80_0000_5123, 4 << 20)));
}

#[test]
fn pse_36_takes_bits_39_to_32_from_bits_20_to_13() {
    for high in [0_u64, 1, 0x80, 0xff] {
        let pa = high << 32 | 0x0bc0_0000;
        let space = mapped(Paging::Legacy, 0xc040_0000, pa, 4 << 20);
        assert_eq!(leads_to(&space, 0xc07f_fff0), Ok((pa + 0x3f_fff0, 4 << 20)));
        let walk = space.walk(VirtAddr(0xc040_0000));
        assert_eq!(walk.steps[0].entry >> 13 & 0xff, high);
        assert_eq!(walk.steps[0].reserved, 0);
    }
}

#[test]
fn pae_takes_2_mib_pages_whatever_cr4_pse() {
    const PAE: u64 = 1 << 5;
    for pse in [0, 1 << 4] {
        let cpu = CpuState {
            cr0: Some(0x8000_0001),
            cr4: Some(PAE | pse),
            long_mode: Some(false),
            ..CpuState::default()
        };
        assert_eq!(cpu.paging(), Some(Paging::Pae));
    }
    let space = mapped(Paging::Pae, 0xc020_0000, 0x3_0040_0000, 2 << 20);
    assert_eq!(leads_to(&space, 0xc020_1234), Ok((0x3_0040_1234, 2 << 20)));
}

#[test]
fn registers_choose_the_mode() {
    let cpu = |cr0, cr4, long_mode| CpuState {
        cr0: Some(cr0),
        cr4: Some(cr4),
        long_mode,
        ..CpuState::default()
    };
    let (pg, pse, pae, la57) = (1 << 31, 1 << 4, 1 << 5, 1 << 12);
    for (state, mode) in [
        (cpu(0, pae | la57, Some(true)), Some(Paging::Flat)),
        (cpu(pg, 0, None), Some(Paging::LegacyNoPse)),
        (cpu(pg, pse, None), Some(Paging::Legacy)),
        (cpu(pg, pae, Some(false)), Some(Paging::Pae)),
        (cpu(pg, pae | la57, Some(false)), Some(Paging::Pae)),
        (cpu(pg, pae, Some(true)), Some(Paging::Long4)),
        (cpu(pg, pae | la57, Some(true)), Some(Paging::Long5)),
        (cpu(pg, pae, None), None),
    ] {
        assert_eq!(state.paging(), mode, "{state:?}");
    }
    // Without control registers, what else the file tells.
    let named = CpuState {
        mode: Some(Paging::Pae),
        long_mode: Some(false),
        ..CpuState::default()
    };
    assert_eq!(named.paging(), Some(Paging::Pae));
    let wide = CpuState {
        long_mode: Some(true),
        ..CpuState::default()
    };
    assert_eq!(wide.paging(), None);
    assert_eq!(wide.modes(), [Paging::Long4, Paging::Long5]);
}

#[test]
fn long_mode_wants_sign_extension_and_the_others_32_bits() {
    let table = [
        (Paging::Long4, 0x0000_7fff_ffff_ffff, true),
        (Paging::Long4, 0x0000_8000_0000_0000, false),
        (Paging::Long4, 0xffff_7fff_ffff_ffff, false),
        (Paging::Long4, 0xffff_8000_0000_0000, true),
        (Paging::Long4, 0x00ff_ffff_ffff_f000, false),
        (Paging::Long5, 0x0000_8000_0000_0000, true),
        (Paging::Long5, 0x00ff_ffff_ffff_ffff, true),
        (Paging::Long5, 0x0100_0000_0000_0000, false),
        (Paging::Long5, 0xfeff_ffff_ffff_ffff, false),
        (Paging::Long5, 0xff00_0000_0000_0000, true),
        (Paging::Long5, 0xffff_ffff_ffff_ffff, true),
        (Paging::Pae, 0xffff_ffff, true),
        (Paging::Pae, 0x1_0000_0000, false),
        (Paging::Legacy, 0xffff_ffff_c000_0000, false),
    ];
    for (mode, va, good) in table {
        let root = PhysAddr(0x1000);
        let mut memory = MemoryBuilder::new(PhysAddr(0x2000));
        memory.touch(root);
        let expected = if good {
            Cause::NotPresent { entry: 0 }
        } else {
            Cause::NonCanonical
        };
        assert_eq!(mode.canonical(VirtAddr(va)), good, "{mode:?} {va:#x}");
        assert_eq!(
            cause(&space(memory, mode, root), va).0,
            expected,
            "{mode:?} {va:#x}"
        );
        if good {
            assert_eq!(mode.canonicalise(VirtAddr(va)), VirtAddr(va));
        }
    }
}

#[test]
fn page_size_in_a_pml4_or_pml5_entry_is_reserved_and_does_not_end_the_walk() {
    for mode in [Paging::Long4, Paging::Long5] {
        let mut memory = MemoryBuilder::new(PhysAddr(0x10_0000));
        let tables = TableBuilder::new(mode, &mut memory);
        let va = VirtAddr(0x1000);
        tables.map(&mut memory, va, PhysAddr(0x9000), 0x1000, Rights::USER);
        let root = tables.root();
        let top = memory.read_uint(root, 8).unwrap();
        memory.write_u64(root, top | 0x80);
        let space = space(memory, mode, root);
        let walk = space.walk(va);
        assert_eq!(walk.outcome.unwrap().pa, PhysAddr(0x9000));
        assert_eq!(walk.steps[0].reserved, 0x80);
        assert!(walk.steps[1..].iter().all(|step| step.reserved == 0));
    }
}

#[test]
fn reserved_bits_are_named_and_do_not_end_the_walk() {
    // mode, size of the page, bits set in the entry that maps it, those of them reserved
    for (mode, bytes, extra, reserved) in [
        (Paging::Long4, 1_u64 << 30, 0x2000_2000_u64, 0x2000_2000_u64),
        (Paging::Long4, 2 << 20, 0x0010_2000, 0x0010_2000),
        (Paging::Long4, 2 << 20, 0x1000, 0), // PAT of a large page
        (Paging::Pae, 2 << 20, 0x0000_2000, 0x0000_2000),
        (Paging::Legacy, 4 << 20, 0x0020_0000, 0x0020_0000),
    ] {
        let mut memory = MemoryBuilder::new(PhysAddr(0x10_0000));
        let tables = TableBuilder::new(mode, &mut memory);
        let va = VirtAddr(0x4000_0000);
        let entry = 0x8000_0000 | 0xe7 | extra;
        tables.write_entry(&mut memory, va, bytes, entry);
        let walk = space(memory, mode, tables.root()).walk(va);
        assert_eq!(
            walk.steps.last().unwrap().reserved,
            reserved,
            "{mode:?} {bytes:#x}"
        );
        assert_eq!(
            walk.outcome.unwrap().pa,
            PhysAddr(0x8000_0000),
            "{mode:?} {bytes:#x}"
        );
    }
    let mut memory = MemoryBuilder::new(PhysAddr(0x10_0000));
    let tables = TableBuilder::new(Paging::Pae, &mut memory);
    tables.map(
        &mut memory,
        VirtAddr(0),
        PhysAddr(0x3000),
        0x1000,
        Rights::USER,
    );
    let pointer = memory.read_uint(tables.root(), 8).unwrap();
    memory.write_u64(tables.root(), pointer | 0x82 | 1 << 63);
    let walk = space(memory, Paging::Pae, tables.root()).walk(VirtAddr(0));
    assert_eq!(walk.steps[0].reserved, 0x82 | 1 << 63);
    assert_eq!(walk.outcome.unwrap().pa, PhysAddr(0x3000));
}

#[test]
fn table_reads_and_pages_go_through_the_a20_mask() {
    for mode in MODES {
        let mut memory = MemoryBuilder::new(PhysAddr(0x20_0000));
        let tables = TableBuilder::new(mode, &mut memory);
        tables.map(
            &mut memory,
            VirtAddr(0x5000),
            PhysAddr(0x41_2000),
            0x1000,
            Rights::USER,
        );
        // Everything lies where bit 20 is clear; the root and the page are named with it set.
        let entry = 0x51_2000 | 0x67;
        tables.write_entry(&mut memory, VirtAddr(0x5000), 0x1000, entry);
        let odd_root = tables.root().plus(1 << 20);
        let space = space(memory, mode, odd_root);
        assert!(space.translate(VirtAddr(0x5000)).is_err());
        let masked = space.with_a20_mask(!(1 << 20));
        assert_eq!(
            masked.translate(VirtAddr(0x5008)),
            Ok(PhysAddr(0x41_2008)),
            "{mode:?}"
        );
    }
}

#[test]
fn permissions_do_not_matter_but_are_told() {
    for mode in MODES {
        let mut memory = MemoryBuilder::new(PhysAddr(0x10_0000));
        let tables = TableBuilder::new(mode, &mut memory);
        tables.write_entry(&mut memory, VirtAddr(0x2000), 0x1000, 0x8000 | 1);
        let found = space(memory, mode, tables.root())
            .lookup(VirtAddr(0x2000))
            .unwrap();
        assert_eq!(found.pa, PhysAddr(0x8000));
        assert_eq!(found.rights & 0b110, 0, "{mode:?}");
    }
}

#[test]
fn a_table_outside_memory_is_named() {
    for mode in MODES {
        let mut memory = MemoryBuilder::new(PhysAddr(0x10_0000));
        let tables = TableBuilder::new(mode, &mut memory);
        memory.write_uint(tables.root(), 0x7777_7000 | 1, mode.entry_bytes());
        let fault = space(memory, mode, tables.root())
            .translate(VirtAddr(0x3456))
            .unwrap_err();
        assert_eq!(fault.cause, Cause::NoRam);
        assert_eq!(fault.pa.unwrap().page(), PhysAddr(0x7777_7000));
        assert_eq!(fault.va, Some(VirtAddr(0x3456)));
        assert_eq!(usize::from(fault.level.unwrap()), mode.depth() - 1);
    }
}
