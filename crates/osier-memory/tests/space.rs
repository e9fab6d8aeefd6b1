//! Virtual reads: across pages and holes, at the ends of the space, and through the cache.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

use std::sync::Arc;

use osier_memory::{
    AddressSpace, Cause, Fault, Gap, Paging, PhysAddr, PhysicalMemory, Recorder, VirtAddr,
    hardware_policy,
};
use osier_testkit::{Knockout, MemoryBuilder, Random, Rights, TableBuilder};

const BASE: u64 = 0x40_0000;

/// Pages at `BASE + n * 4096` for each `n` that `present` names, in frames that do not lie side by
/// side; byte `i` of the space is `i % 251`.
fn holed(mode: Paging, present: &[u64]) -> (MemoryBuilder, PhysAddr) {
    let mut memory = MemoryBuilder::new(PhysAddr(0x10_0000));
    let tables = TableBuilder::new(mode, &mut memory);
    for page in present {
        let pa = PhysAddr(0x80_0000 + (page * 7 % 64) * 0x2000);
        tables.map(
            &mut memory,
            VirtAddr(BASE + page * 0x1000),
            pa,
            0x1000,
            Rights::USER,
        );
        let bytes: Vec<u8> = (page * 0x1000..(page + 1) * 0x1000).map(byte).collect();
        memory.write_bytes(pa, &bytes);
    }
    let root = tables.root();
    (memory, root)
}

fn byte(at: u64) -> u8 {
    u8::try_from(at % 251).unwrap()
}

fn space(memory: impl PhysicalMemory + 'static, mode: Paging, root: PhysAddr) -> AddressSpace {
    AddressSpace::new(Arc::new(memory), mode, root, hardware_policy)
}

#[test]
fn a_partial_read_says_which_bytes_it_could_not_fill() {
    let present = [0, 1, 3, 4, 8];
    let mut random = Random::new(77);
    for mode in [Paging::Legacy, Paging::Pae, Paging::Long4] {
        let (memory, root) = holed(mode, &present);
        let space = space(memory, mode, root);
        for _ in 0..300 {
            let start = random.below(10 * 0x1000);
            let len = 1 + random.below(5 * 0x1000);
            let mut buf = vec![0xee; len as usize];
            let gaps = space.read_partial(VirtAddr(BASE + start), &mut buf);
            let mut missing = vec![false; buf.len()];
            let mut last_end = 0;
            for gap in &gaps {
                let Gap { start, len, fault } = *gap;
                assert!(len > 0 && start >= last_end && start + len <= buf.len());
                assert_eq!(fault.cause, Cause::NotPresent { entry: 0 });
                last_end = start + len;
                missing[start..last_end].fill(true);
            }
            for (i, at) in (start..).take(buf.len()).enumerate() {
                let there = present.contains(&(at / 0x1000));
                assert_eq!(missing[i], !there, "byte {at:#x}");
                assert_eq!(buf[i], if there { byte(at) } else { 0xee });
            }
            // A read that must be whole fails at the first missing byte and fills up to it.
            let mut all = vec![0xee; buf.len()];
            match space.read(VirtAddr(BASE + start), &mut all) {
                Ok(()) => assert!(gaps.is_empty() && all == buf),
                Err(fault) => {
                    let first = gaps[0].start;
                    assert_eq!(fault.va, Some(VirtAddr(BASE + start + first as u64)));
                    assert_eq!(all[..first], buf[..first]);
                }
            }
        }
    }
}

#[test]
fn gaps_of_different_causes_stay_apart() {
    let (memory, root) = holed(Paging::Long4, &[0, 1, 2, 4]);
    let whole = space(memory.clone(), Paging::Long4, root);
    let hidden = whole.translate(VirtAddr(BASE + 0x2000)).unwrap();
    let space = space(Knockout::new(memory, hidden), Paging::Long4, root);
    let mut buf = [0; 0x4000];
    let gaps = space.read_partial(VirtAddr(BASE + 0x1000), &mut buf);
    let told: Vec<_> = gaps
        .iter()
        .map(|g| (g.start, g.len, g.fault.cause.word()))
        .collect();
    assert_eq!(
        told,
        [
            (0x1000, 0x1000, "not-captured"),
            (0x2000, 0x1000, "not-present")
        ]
    );
    assert_eq!(gaps[0].fault.pa, Some(hidden));
    assert_eq!(gaps[0].fault.va, Some(VirtAddr(BASE + 0x2000)));
}

#[test]
fn integers_and_text_cross_pages() {
    let (mut memory, root) = holed(Paging::Long4, &[0, 1, 2]);
    let whole = space(memory.clone(), Paging::Long4, root);
    let expected = u64::from_le_bytes(std::array::from_fn(|i| byte(0xffd + i as u64)));
    assert_eq!(whole.read_uint(VirtAddr(BASE + 0xffd), 8), Ok(expected));
    for width in 1..=8 {
        let masked = expected & (u64::MAX >> (64 - 8 * width));
        assert_eq!(whole.read_uint(VirtAddr(BASE + 0xffd), width), Ok(masked));
    }
    let fault = whole.read_uint(VirtAddr(BASE + 0x2ffd), 8).unwrap_err();
    assert_eq!(fault.va, Some(VirtAddr(BASE + 0x3000)));

    for (page, text) in [
        (0, b"no end on this page: abc"),
        (1, b"def\0 and more behind it."),
    ] {
        let pa = whole.translate(VirtAddr(BASE + page * 0x1000)).unwrap();
        let at = if page == 0 { 0x1000 - 24 } else { 0 };
        memory.write_bytes(pa.plus(at), text);
    }
    let space = space(memory, Paging::Long4, root);
    let va = VirtAddr(BASE + 0xffd);
    assert_eq!(space.read_cstr(va, 100).unwrap(), b"abcdef");
    assert_eq!(space.read_cstr(va, 4).unwrap(), b"abcd");
    assert_eq!(space.read_cstr(va, 0).unwrap(), b"");
    let fault = space.read_cstr(VirtAddr(BASE + 0x2f11), 4096).unwrap_err();
    assert_eq!(fault.va, Some(VirtAddr(BASE + 0x3000)));
}

#[test]
fn reads_at_the_ends_of_the_space() {
    // 32 bits: the byte after 0xffffffff is 0.
    let mut memory = MemoryBuilder::new(PhysAddr(0x10_0000));
    let tables = TableBuilder::new(Paging::Pae, &mut memory);
    for (va, fill) in [(0xffff_f000_u64, 0xaa), (0, 0xbb)] {
        let pa = memory.allocate();
        memory.write_bytes(pa, &[fill; 4096]);
        tables.map(&mut memory, VirtAddr(va), pa, 0x1000, Rights::KERNEL);
    }
    let low = space(memory, Paging::Pae, tables.root());
    assert_eq!(low.read_uint(VirtAddr(0xffff_fffe), 4), Ok(0xbbbb_aaaa));
    // An address of more bits is no other name of one of 32.
    for beyond in [1 << 32, u64::MAX - 2] {
        let beyond = VirtAddr(beyond);
        let nothing = Fault::new(Cause::NonCanonical).with_va(beyond);
        let gaps = low.read_partial(beyond, &mut [0; 2]);
        assert_eq!(
            gaps.first().map(|gap| (gap.start, gap.fault)),
            Some((0, nothing))
        );
        assert_eq!(low.read_cstr(beyond, 2), Err(nothing));
        assert_eq!(low.read(beyond, &mut [0; 2]), Err(nothing));
    }
    // 64 bits: the byte after the lower half is no address.
    let mut memory = MemoryBuilder::new(PhysAddr(0x10_0000));
    let tables = TableBuilder::new(Paging::Long4, &mut memory);
    let pa = memory.allocate();
    tables.map(
        &mut memory,
        VirtAddr(0x7fff_ffff_f000),
        pa,
        0x1000,
        Rights::USER,
    );
    let space = space(memory, Paging::Long4, tables.root());
    let mut buf = [0; 16];
    let fault = space
        .read(VirtAddr(0x7fff_ffff_fff8), &mut buf)
        .unwrap_err();
    let expected = Fault::new(Cause::NonCanonical).with_va(VirtAddr(0x8000_0000_0000));
    assert_eq!(fault, expected);
    assert_eq!(space.read_uint(VirtAddr(0x7fff_ffff_fff8), 8), Ok(0));
}

#[test]
fn the_cache_never_changes_an_answer() {
    for (mode, high) in [
        (Paging::LegacyNoPse, 0xc000_0000),
        (Paging::Legacy, 0xc000_0000),
        (Paging::Pae, 0xc000_0000),
        (Paging::Long4, 0xffff_8880_0000_0000),
        (Paging::Long5, 0xff11_0000_0000_0000),
    ] {
        let mut random = Random::new(9);
        let mut memory = MemoryBuilder::new(PhysAddr(0x10_0000));
        let tables = TableBuilder::new(mode, &mut memory);
        // Addresses that fall on the same cache slots: 256 pages apart, and in both halves.
        let places: Vec<u64> = (0..64)
            .map(|n| (n % 2) * high + (n / 2 % 4) * 0x10_0000 + (n / 8) * 0x1000)
            .collect();
        for (n, va) in (0_u64..).zip(&places).filter(|(n, _)| n % 5 != 0) {
            let pa = PhysAddr(0x90_0000 + n * 0x1000);
            tables.map(&mut memory, VirtAddr(*va), pa, 0x1000, Rights::USER);
        }
        let space = space(memory, mode, tables.root());
        for _ in 0..2000 {
            let va = VirtAddr(random.one_of(&places) + random.below(0x1000));
            let fresh = space.clone().translate(va);
            assert_eq!(space.translate(va), fresh, "{mode:?} {va}");
            assert_eq!(space.lookup(va).map(|found| found.pa), fresh);
            assert_eq!(space.walk(va).outcome.map(|found| found.pa), fresh);
        }
    }
}

#[test]
fn a_space_of_another_root_or_mask_starts_afresh() {
    let (memory, root) = holed(Paging::Long4, &[0]);
    let space = space(memory, Paging::Long4, root);
    let va = VirtAddr(BASE);
    let pa = space.translate(va).unwrap();
    assert!(space.with_root(PhysAddr(0x66_6000)).translate(va).is_err());
    assert_eq!(space.clone().translate(va), Ok(pa));
    // With bit 20 of every address off, the root itself is somewhere else.
    assert!(space.with_a20_mask(!(1 << 20)).translate(va).is_err());
}

#[test]
fn a_recorder_sees_each_page_read_and_no_other() {
    let (memory, root) = holed(Paging::Long4, &[0, 1, 2, 3]);
    let plain = space(memory.clone(), Paging::Long4, root);
    let recorder = Arc::new(Recorder::new(Arc::new(memory)));
    let space = AddressSpace::new(recorder.clone(), Paging::Long4, root, hardware_policy);
    let mut buf = [0; 0x1800];
    space.read(VirtAddr(BASE + 0x1000), &mut buf).unwrap();
    let _ = space.translate(VirtAddr(BASE + 0x3000)).unwrap();
    let mut expected: Vec<PhysAddr> = [0x1000, 0x2000]
        .iter()
        .flat_map(|by| {
            let walk = plain.walk(VirtAddr(BASE + by));
            let tables = walk.steps.into_iter().map(|step| step.at.page());
            tables.chain([walk.outcome.unwrap().pa.page()])
        })
        .collect();
    expected.sort();
    expected.dedup();
    assert_eq!(recorder.touched(), expected);
}
