//! Kernels that say nothing of their own place: i386 without VMCOREINFO and write-protected text, and
//! amd64 ones of a few MiB.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

use std::sync::Arc;

use osier_linux::{KnownKernel, Located, locate, locate_by};
use osier_memory::{CpuState, Machine, Paging, PhysAddr, VirtAddr};
use osier_testkit::{MemoryBuilder, Rights, TableBuilder};

const BANNER: &[u8] = b"Linux version 2.6.32.67 (a@b) (gcc version 4.9) #1 SMP 2015";
const HEAD: [u8; 64] = [0x8d; 64];

fn machine(memory: MemoryBuilder, cr3: Option<u64>) -> Machine {
    let cpu = |cr3| CpuState {
        cr0: Some(0x8005_0033),
        cr4: Some(0x690),
        cr3,
        a20_mask: u64::MAX,
        ..CpuState::default()
    };
    Machine {
        memory: Arc::new(memory),
        cpus: cr3.map(cpu).into_iter().collect(),
        hints: Vec::new(),
    }
}

/// A kernel at `text`, all of whose memory may be written, and its table.
fn i386(text: u64, slide: u64) -> (MemoryBuilder, PhysAddr, KnownKernel) {
    let pa = |va: u64| PhysAddr(va - 0xc000_0000 + slide);
    let root = text + 0x50_0000;
    let mut memory = MemoryBuilder::new(pa(root));
    let tables = TableBuilder::new(Paging::Legacy, &mut memory);
    assert_eq!(tables.root(), pa(root));
    for large in 0..16_u64 {
        let (va, at) = (0xc000_0000 + (large << 22), large << 22);
        tables.map(
            &mut memory,
            VirtAddr(va),
            PhysAddr(at),
            4 << 20,
            Rights::KERNEL,
        );
    }
    memory.write_bytes(pa(text), &HEAD);
    let banner = text + 0x30_0060;
    memory.write_bytes(pa(banner), BANNER);
    memory.write_bytes(pa(banner + BANNER.len() as u64), b"\n");
    let known = KnownKernel {
        text_head: HEAD.to_vec(),
        text,
        linux_banner: banner,
        banner: BANNER.to_vec(),
        root,
        pointer_bytes: 4,
        build_id: None,
        named: true,
    };
    (memory, pa(root), known)
}

fn found(machine: &Machine, known: &KnownKernel) -> Located {
    locate(machine, std::slice::from_ref(known)).unwrap()
}

#[test]
fn an_i386_kernel_is_found_by_its_banner() {
    // Where it was linked, aligned to less than 2 MiB, and run elsewhere than linked.
    for (text, slide) in [(0xc100_0000, 0), (0xc110_0000, 0), (0xc100_0000, 0x40_0000)] {
        for headless in [false, true] {
            let (memory, root, mut known) = i386(text, slide);
            if headless {
                known.text_head.clear();
            }
            let cr3 = Some(root.0);
            let by_registers = machine(memory.clone(), cr3);
            let raw = machine(memory, None);
            let named = locate_by(&raw, std::slice::from_ref(&known), root).unwrap();
            for found in [found(&by_registers, &known), found(&raw, &known), named] {
                assert_eq!(found.text, VirtAddr(text + slide));
                assert_eq!((found.mode, found.root), (Paging::Legacy, root));
                assert_eq!(found.banner, BANNER);
            }
        }
    }
}

/// What `startup_32` starts with: 2.6.32, and 3.x to 5.6, which know the stack before the segments.
const STARTS: [&[u8]; 2] = [
    b"\xf6\x86\x11\x02\0\0\x40\x75\x14\x0f\x01\x15\x22\x11\x22\x01\xb8\x18\0\0\0\x8e\xd8\x8e\xc0\x8e\xe0\x8e\xe8",
    b"\x8b\x0d\x44\x33\x22\x01\xf6\x86\x11\x02\0\0\x40\x75\x14\x0f\x01\x15\x22\x11\x22\x01\xb8\x18\0\0\0\x8e\xd8\x8e\xc0\x8e\xe0\x8e\xe8",
];
/// What the kernel was unpacked by: the segments alone, and the stack's with them.
const UNPACKER: &[u8] =
    b"\xfc\xf6\x86\x11\x02\0\0\x40\x75\x0f\xfa\xb8\x18\0\0\0\x8e\xd8\x8e\xc0\x8e\xe0\x8e\xe8\x8e\xd0";

/// An i386 kernel that nobody has met, in low memory that is mapped from `split` on.
fn unmet(
    mode: Paging,
    split: u64,
    start: &[u8],
    slide: u64,
) -> (MemoryBuilder, PhysAddr, VirtAddr) {
    let text = 0x100_0000 + slide;
    let mut memory = MemoryBuilder::new(PhysAddr(text + 0x50_0000));
    let tables = TableBuilder::new(mode, &mut memory);
    let large = if mode == Paging::Pae {
        2 << 20
    } else {
        4 << 20
    };
    for page in 0..(64 << 20) / large {
        let (va, at) = (VirtAddr(split + page * large), PhysAddr(page * large));
        // The first is parted, and so is a part of the image.
        if page == 0 || page == text / large {
            tables.map_run(&mut memory, va, at, large >> 12, Rights::KERNEL);
        } else {
            tables.map(&mut memory, va, at, large, Rights::KERNEL);
        }
    }
    memory.write_bytes(PhysAddr(0x10_0000), UNPACKER);
    memory.write_bytes(PhysAddr(0x20_0000), BANNER);
    memory.write_bytes(PhysAddr(0x20_0000 + BANNER.len() as u64), b" copied\n");
    memory.write_bytes(PhysAddr(text), start);
    let banner = PhysAddr(text + 0x30_0060);
    memory.write_bytes(banner, BANNER);
    memory.write_bytes(banner.plus(BANNER.len() as u64), b"\n");
    let root = tables.root();
    (memory, root, VirtAddr(split + text))
}

/// 2.6.32 to 5.8 without VMCOREINFO, without write-protected text, and without a profile: what `--infer`
/// starts from.
#[test]
fn an_i386_kernel_that_nobody_has_met_is_found_by_its_tables_and_its_first_code() {
    for mode in [Paging::Legacy, Paging::Pae] {
        for split in [0xc000_0000, 0xb000_0000, 0x8000_0000, 0x4000_0000] {
            for (start, slide) in [(STARTS[0], 0), (STARTS[1], 0), (STARTS[1], 0x60_0000)] {
                let (memory, root, text) = unmet(mode, split, start, slide);
                let cr3 = Some(root.0);
                let mut by_registers = machine(memory.clone(), cr3);
                for cpu in &mut by_registers.cpus {
                    cpu.cr4 = Some(if mode == Paging::Pae { 0x6b0 } else { 0x690 });
                }
                for machine in [by_registers, machine(memory, None)] {
                    let found = locate(&machine, &[]);
                    let found = found.unwrap_or_else(|why| panic!("{mode:?} {split:#x}: {why}"));
                    assert_eq!((found.mode, found.root), (mode, root), "{split:#x}");
                    assert_eq!(found.text, text, "{mode:?}");
                    assert_eq!(found.banner, BANNER, "{mode:?} {split:#x}");
                }
            }
        }
    }
}

#[test]
fn an_amd64_kernel_of_a_few_mebibytes_is_found_in_raw_memory() {
    for pages in 1..4_u64 {
        let mut memory = MemoryBuilder::new(PhysAddr(0x180_0000));
        let tables = TableBuilder::new(Paging::Long4, &mut memory);
        let text = VirtAddr(0xffff_ffff_8100_0000);
        for page in 0..pages {
            let (va, pa) = (text.plus(page << 21), PhysAddr(0x100_0000 + (page << 21)));
            tables.map(&mut memory, va, pa, 2 << 20, Rights::KERNEL);
            let direct = VirtAddr(0xffff_8800_0000_0000).plus(pa.0);
            tables.map(&mut memory, direct, pa, 2 << 20, Rights::KERNEL);
        }
        memory.write_bytes(PhysAddr(0x110_0060), BANNER);
        memory.write_bytes(PhysAddr(0x110_0060 + BANNER.len() as u64), b"\n");
        let found = locate(&machine(memory, None), &[]).unwrap();
        assert_eq!((found.text, found.root), (text, tables.root()), "{pages}");
        assert_eq!(found.banner, BANNER);
    }
}
