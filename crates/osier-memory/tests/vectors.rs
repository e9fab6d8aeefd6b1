//! Translations of real Windows 7 page tables, entry by entry. The upper bits of 8-byte entries
//! hold the system's own marks, and must not reach the address.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

use std::sync::Arc;

use osier_memory::{
    AbsentEntry, AddressSpace, Cause, Fault, NotPresent, Paging, PhysAddr, Store, VirtAddr,
    hardware_policy,
};
use osier_testkit::MemoryBuilder;

const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// Writes the entries of one path from the root down.
fn path(memory: &mut MemoryBuilder, root: u64, width: usize, entries: &[(u64, u64)]) {
    let mut table = PhysAddr(root);
    for (index, entry) in entries {
        memory.write_uint(table.plus(index * width as u64), *entry, width);
        table = PhysAddr(entry & FRAME);
    }
}

fn space(memory: MemoryBuilder, mode: Paging, root: u64) -> AddressSpace {
    AddressSpace::new(Arc::new(memory), mode, PhysAddr(root), hardware_policy)
}

#[test]
fn amd64_4_kib() {
    let mut memory = MemoryBuilder::default();
    let entries = [
        (0, 0x02d0_0000_1c54_a867),
        (0, 0x0130_0000_1c44_b867),
        (0, 0x0140_0000_1c70_c867),
        (480, 0xa600_0000_1c29_f867),
    ];
    path(&mut memory, 0x1c55_a000, 8, &entries);
    let space = space(memory, Paging::Long4, 0x1c55_a000);
    for by in 0..1024 {
        let pa = space.translate(VirtAddr(0x1e_0000 + by));
        assert_eq!(pa, Ok(PhysAddr(0x1c29_f000 + by)));
    }
}

#[test]
fn amd64_2_mib() {
    let mut memory = MemoryBuilder::default();
    let entries = [(501, 0x3c0_0863), (0, 0x3c0_1863), (7, 0x3fc0_09e3)];
    path(&mut memory, 0x1c55_a000, 8, &entries);
    let space = space(memory, Paging::Long4, 0x1c55_a000);
    let found = space.lookup(VirtAddr(0xffff_fa80_00e0_0000)).unwrap();
    assert_eq!(
        (found.pa, found.page_bytes),
        (PhysAddr(0x3fc0_0000), 2 << 20)
    );
    let inside = space.translate(VirtAddr(0xffff_fa80_00f2_3456));
    assert_eq!(inside, Ok(PhysAddr(0x3fd2_3456)));
}

#[test]
fn amd64_large_page_in_transition_is_the_policys_to_judge() {
    let mut memory = MemoryBuilder::default();
    let upper = [(15, 0x0080_0000_1c72_6867), (507, 0x0710_0000_1bfe_3867)];
    let transition = 0x0f10_0000_0edb_0886;
    path(&mut memory, 0x1c55_a000, 8, &upper);
    let directory = PhysAddr(upper[1].1 & FRAME);
    memory.write_u64(directory.plus(483 * 8), transition);
    let va = VirtAddr(0x07fe_fc60_0000);
    let space = space(memory.clone(), Paging::Long4, 0x1c55_a000);
    let expected = Fault {
        cause: Cause::NotPresent { entry: transition },
        va: Some(va),
        pa: None,
        level: Some(2),
    };
    assert_eq!(space.translate(va), Err(expected));

    // Windows keeps a page in transition in memory: a policy can say so at any level.
    memory.write_u64(directory.plus(506 * 8), transition);
    let table = PhysAddr(transition & FRAME);
    memory.write_u64(table.plus(489 * 8), 0x2630_0000_23f6_a025);
    let policy = |AbsentEntry { level, entry, .. }| {
        if level == 2 && entry & 0x800 != 0 {
            NotPresent::InMemory((entry | 1) & !0x80)
        } else {
            NotPresent::Fault(Cause::NotPresent { entry })
        }
    };
    let root = PhysAddr(0x1c55_a000);
    let space = AddressSpace::new(Arc::new(memory), Paging::Long4, root, policy);
    let found = space.translate(VirtAddr(0x07fe_ff5e_9000));
    assert_eq!(found, Ok(PhysAddr(0x23f6_a000)));
}

#[test]
fn ia32_present_and_paged_out() {
    let mut memory = MemoryBuilder::default();
    path(
        &mut memory,
        0x2312_a000,
        4,
        &[(468, 0x395e_c867), (824, 0x039d_a005)],
    );
    memory.write_u32(PhysAddr(0x395e_c000 + 825 * 4), 0x201b_a554);
    let space = space(memory.clone(), Paging::Legacy, 0x2312_a000);
    assert_eq!(
        space.translate(VirtAddr(0x7533_8000)),
        Ok(PhysAddr(0x39d_a000))
    );
    let va = VirtAddr(0x7533_9000);
    let fault = space.translate(va).unwrap_err();
    assert_eq!(fault.cause, Cause::NotPresent { entry: 0x201b_a554 });
    assert_eq!((fault.va, fault.level), (Some(va), Some(1)));

    let policy = |AbsentEntry { entry, .. }| {
        NotPresent::Fault(Cause::Elsewhere {
            entry,
            store: Store::PageFile,
        })
    };
    let root = PhysAddr(0x2312_a000);
    let space = AddressSpace::new(Arc::new(memory), Paging::Legacy, root, policy);
    assert_eq!(space.translate(va).unwrap_err().cause.word(), "pagefile");
}
