//! Page tables that mark encrypted memory: the marks are found and are no part of an address.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

use std::sync::Arc;

use osier_memory::{
    AddressSpace, Cause, Paging, PhysAddr, PhysicalMemory, VirtAddr, encryption_bits,
    hardware_policy,
};
use osier_testkit::{MemoryBuilder, Rights, TableBuilder};

const TABLES: u64 = 0x10_0000;

/// Two kernel pages, tables from [`TABLES`] on.
fn machine(mode: Paging) -> (MemoryBuilder, PhysAddr, VirtAddr) {
    let mut memory = MemoryBuilder::new(PhysAddr(TABLES));
    memory.write_bytes(PhysAddr(0x5000), b"kernel");
    let tables = TableBuilder::new(mode, &mut memory);
    let va = mode.canonicalise(VirtAddr(0xffff_ffff_f000_0000));
    let rights = Rights::KERNEL;
    tables.map_run(&mut memory, va, PhysAddr(0x5000), 2, rights);
    (memory, tables.root(), va)
}

/// Sets `bit` in each present entry of every table.
fn mark(memory: &mut MemoryBuilder, bit: u64) {
    let tables: Vec<PhysAddr> = memory.pages().filter(|page| page.0 >= TABLES).collect();
    for table in tables {
        for index in 0..512 {
            let at = table.plus(index * 8);
            let entry = memory.read_uint(at, 8).unwrap();
            if entry & 1 != 0 {
                memory.write_u64(at, entry | bit);
            }
        }
    }
}

#[test]
fn marked_tables_are_told_and_read() {
    for mode in [Paging::Pae, Paging::Long4, Paging::Long5] {
        for bit in [40, 47, 51] {
            let (mut memory, root, va) = machine(mode);
            assert_eq!(mode.encryption_of_table(&memory, root), 0);
            mark(&mut memory, 1 << bit);
            let marks = mode.encryption_of_table(&memory, root);
            assert_eq!(marks, 1 << bit, "{mode:?}");
            let memory = Arc::new(memory);
            let plain = AddressSpace::new(memory.clone(), mode, root, hardware_policy);
            let fault = plain.translate(va).unwrap_err();
            assert!(matches!(fault.cause, Cause::NotCaptured | Cause::NoRam));
            let root = PhysAddr(root.0 | marks);
            let space = AddressSpace::new(memory, mode, root, hardware_policy);
            let space = space.with_encryption(marks);
            assert_eq!(space.translate(va), Ok(PhysAddr(0x5000)));
            assert_eq!(space.clone().read_cstr(va, 6).unwrap(), b"kernel");
            assert_eq!(space.root_of_cr3(space.root().0 | marks), space.root());
            let mut frames = Vec::new();
            space.mapped(va..va.plus(0x2000), &mut |range| {
                frames.push(range.unwrap().phys);
                std::ops::ControlFlow::Continue(())
            });
            assert_eq!(frames, [PhysAddr(0x5000)]);
        }
    }
}

#[test]
fn memory_past_the_ram_is_not_taken_for_a_mark() {
    let (mut memory, root, _) = machine(Paging::Long4);
    // A device of its own high up: few entries of a table lead there.
    for index in [256, 257, 258] {
        memory.write_u64(root.plus(index * 8), 0x1003);
    }
    let last = memory.read_uint(root.plus(511 * 8), 8).unwrap();
    memory.write_u64(root.plus(511 * 8), last | 1 << 45);
    assert_eq!(Paging::Long4.encryption_of_table(&memory, root), 0);
    // Nor is a bit that RAM reaches.
    memory.write_bytes(PhysAddr(1 << 47), &[0; 8]);
    assert_eq!(encryption_bits(&memory), 0x000f_0000_0000_0000);
}
