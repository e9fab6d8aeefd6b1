//! A kernel image at every place that KASLR may choose: the low stub leads to it, whatever the size of
//! the memory, and nothing but the first MiB and the image is passed over.
#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use osier_linux::locate;
use osier_memory::{Chunk, Fault, Machine, Paging, PhysAddr, PhysRun, PhysicalMemory};
use osier_testkit::MemoryBuilder;

const MIB: u64 = 1 << 20;
const BANNER: &[u8] = b"Linux version 6.1.0-test (maker@here) #1 SMP Debian 6.1 (2026-11-29)\n";
/// Where the tables lie in the image, as `head_64.S` has them.
const ROOT: u64 = 0xa1_0000;
const STUB: u64 = 0x9_c000;

/// Memory of 5 GiB, of which few pages hold anything; counts the bytes that are passed over.
struct Large {
    pages: MemoryBuilder,
    runs: [PhysRun; 1],
    swept: AtomicU64,
}

impl PhysicalMemory for Large {
    fn runs(&self) -> &[PhysRun] {
        &self.runs
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        let zeros = osier_memory::ZERO_PAGE.get(pa.in_page() as usize..);
        let chunk = self.pages.chunk(pa);
        chunk
            .map(|chunk| chunk.truncated(4096 - pa.in_page() as usize))
            .or_else(|fault| {
                let held = self.runs[0].contains(pa).then_some(zeros).flatten();
                held.map(Chunk::borrowed).ok_or(fault)
            })
    }

    fn sweep(
        &self,
        run: PhysRun,
        _: usize,
        visit: &mut dyn FnMut(PhysAddr, &[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for page in 0..run.len / 4096 {
            self.swept.fetch_add(4096, Ordering::Relaxed);
            let at = run.start.plus(page * 4096);
            match self.chunk(at) {
                Ok(chunk) => visit(at, &chunk)?,
                Err(_) => break,
            }
        }
        ControlFlow::Continue(())
    }
}

/// A machine whose kernel image lies at the physical address `text`, its slot of 2 MiB being `slot`.
fn machine(text: u64, slot: u64, mode: Paging) -> (Machine, Arc<Large>) {
    let mut pages = MemoryBuilder::new(PhysAddr(0));
    let page = |number: u64| text + ROOT + number * 4096;
    let table = |at: u64| at | 0x67;
    // The user half and room lie between the root and what it leads to.
    let last = table(page(4));
    pages.write_u64(PhysAddr(page(0) + 511 * 8), last);
    pages.write_u64(PhysAddr(page(0) + 273 * 8), table(64 * MIB));
    let pointers = if mode == Paging::Long5 {
        pages.write_u64(PhysAddr(page(4) + 511 * 8), table(page(5)));
        page(5)
    } else {
        page(4)
    };
    pages.write_u64(PhysAddr(pointers + 510 * 8), table(page(6)));
    for large in 0..8 {
        let rights = if large < 4 { 0x1e1 } else { 1 << 63 | 0x1e1 };
        let at = PhysAddr(page(6) + (slot + large) * 8);
        pages.write_u64(at, (text + large * 2 * MIB) | rights);
    }
    pages.write_bytes(PhysAddr(text + 9 * MIB), BANNER);
    // What starts other processors has the last entry, and here none of memory.
    pages.write_u64(PhysAddr(STUB), table(text + 2 * MIB));
    pages.write_u64(PhysAddr(STUB + 511 * 8), last);
    // A banner that an earlier kernel left.
    pages.write_bytes(
        PhysAddr(3 * MIB),
        b"Linux version 4.9.0-stale (a@b) #1 SMP old\n",
    );
    let memory = Arc::new(Large {
        pages,
        runs: [PhysRun {
            start: PhysAddr(0),
            len: 5 << 30,
        }],
        swept: AtomicU64::new(0),
    });
    let machine = Machine {
        memory: memory.clone(),
        cpus: Vec::new(),
        hints: Vec::new(),
    };
    (machine, memory)
}

#[test]
fn the_low_stub_leads_to_an_image_at_any_place() {
    let places = (8..5 << 9).step_by(37).chain([8, (5 << 9) - 8]);
    for (number, place) in (0..).zip(places) {
        let (text, slot) = (place * 2 * MIB, 8 + number % 400);
        for mode in [Paging::Long4, Paging::Long5] {
            let (machine, memory) = machine(text, slot, mode);
            let found = locate(&machine, &[]).unwrap();
            assert_eq!((found.mode, found.text_pa), (mode, PhysAddr(text)));
            assert_eq!(
                found.root,
                PhysAddr(text + ROOT),
                "not the stub's own table"
            );
            assert_eq!(found.text.0, 0xffff_ffff_8000_0000 + slot * 2 * MIB);
            assert_eq!(found.release(), "6.1.0-test");
            let swept = memory.swept.load(Ordering::Relaxed);
            assert!(swept <= 40 * MIB, "{swept} bytes");
        }
    }
}

#[test]
fn two_kernels_low_stubs_are_none() {
    let (text, stale) = (64 * MIB, 512 * MIB);
    let (mut machine, memory) = machine(text, 16, Paging::Long4);
    let mut pages = memory.pages.clone();
    for page in [0, 4, 6] {
        let mut table = vec![0; 4096];
        let at = ROOT + page * 4096;
        pages.read(PhysAddr(text + at), &mut table).unwrap();
        pages.write_bytes(PhysAddr(stale + at), &table);
    }
    let old = (stale + ROOT + 4 * 4096) | 0x67;
    pages.write_u64(PhysAddr(stale + ROOT + 511 * 8), old);
    pages.write_u64(PhysAddr(STUB + 4096 + 511 * 8), old);
    machine.memory = Arc::new(pages);
    let found = locate(&machine, &[]).unwrap();
    let by = &found.premises[0].by;
    assert!(!by.contains("processors start by"), "{by}");
}
