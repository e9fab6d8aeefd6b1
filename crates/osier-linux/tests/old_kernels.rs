//! Kernels that say nothing of their own place: i386 without VMCOREINFO and write-protected text, and
//! amd64 ones of a few MiB.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

use std::sync::Arc;

use osier_linux::{Known, Located, locate, locate_by};
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
fn i386(text: u64, slide: u64) -> (MemoryBuilder, PhysAddr, Known) {
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
    let known = Known {
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

fn found(machine: &Machine, known: &Known) -> Located {
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
