//! What the fuzz targets share: a file for bytes that are to be opened, and the questions that are
//! put to whatever opens.

pub mod guests;

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use osier_memory::{
    AddressSpace, Cause, Chunk, Fault, PAGE_BYTES, Paging, PhysAddr, PhysRun, PhysicalMemory,
    VirtAddr, hardware_policy,
};
use osier_snapshot::{OpenOptions, Snapshot};

/// Bytes that an input may make the readers unpack, or keep decoded.
const BUDGET: u64 = 4 << 20;

/// Opens `data` as a snapshot whose first bytes are `magic`, whatever they were, and reads all that
/// it claims to hold, within bounds.
pub fn snapshot(magic: &[u8], data: &[u8]) {
    let mut file = data.to_vec();
    if file.len() < magic.len() {
        return;
    }
    file[..magic.len()].copy_from_slice(magic);
    if let Some(snapshot) = open(&file) {
        read_all(&*snapshot.machine.memory);
        let _ = snapshot.ram_crc32_of_small();
    }
}

fn open(file: &[u8]) -> Option<Snapshot> {
    let shared = PathBuf::from("/dev/shm");
    let dir = if shared.is_dir() {
        shared
    } else {
        std::env::temp_dir()
    };
    let path = dir.join(format!("osier-fuzz-{}", std::process::id()));
    fs::write(&path, file).expect("a file for the input");
    let options = OpenOptions {
        scratch_limit: BUDGET,
        cache_bytes: BUDGET,
        ..OpenOptions::default()
    };
    // The map outlives the name.
    let opened = osier_snapshot::open(&path, &options);
    fs::remove_file(&path).expect("the file is gone");
    opened.ok()
}

/// The part of a snapshot's checksum that is cheap.
trait Small {
    fn ram_crc32_of_small(&self) -> Option<u32>;
}

impl Small for Snapshot {
    fn ram_crc32_of_small(&self) -> Option<u32> {
        let len: u64 = self.info.ram.iter().map(|run| run.len).sum();
        (len <= BUDGET).then(|| self.ram_crc32().ok().flatten())?
    }
}

/// Reads some pages of every run, and sweeps what is not too long.
fn read_all(memory: &dyn PhysicalMemory) {
    let runs = memory.runs();
    let ordered = runs.windows(2).all(|pair| pair[0].end() < pair[1].start);
    assert!(ordered, "runs are not sorted and apart: {runs:x?}");
    for run in runs.iter().take(64) {
        assert!(run.len > 0, "an empty run at {}", run.start);
        let last = run.end().0 - 1;
        let step = (run.len / 64).max(1);
        let between = (0..64).map(|n| run.start.0.saturating_add(n * step));
        for pa in between.chain([last]).filter(|pa| *pa <= last) {
            if let Ok(chunk) = memory.chunk(PhysAddr(pa)) {
                assert!(!chunk.is_empty(), "an empty chunk at {pa:#x}");
            }
        }
        let len = run.len.min(BUDGET);
        let mut next = run.start;
        let _ = memory.sweep(PhysRun { len, ..*run }, 1 << 16, &mut |pa, bytes| {
            assert!(pa >= next && !bytes.is_empty(), "a sweep went back to {pa}");
            next = pa.plus(bytes.len() as u64);
            ControlFlow::Continue(())
        });
    }
    for pa in [0, 0x1000, u64::MAX] {
        let _ = memory.chunk(PhysAddr(pa));
    }
}

/// The input as the only memory there is, from `start` on.
pub struct Bytes {
    bytes: Vec<u8>,
    run: [PhysRun; 1],
}

impl Bytes {
    /// `data` from physical address `start` on.
    pub fn new(data: &[u8], start: PhysAddr) -> Arc<Self> {
        let len = data.len() as u64;
        Arc::new(Self {
            bytes: data.to_vec(),
            run: [PhysRun { start, len }],
        })
    }

    /// One past the last byte.
    pub fn end(&self) -> PhysAddr {
        self.run[0].end()
    }
}

impl PhysicalMemory for Bytes {
    fn runs(&self) -> &[PhysRun] {
        &self.run
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        let offset = pa.0.wrapping_sub(self.run[0].start.0);
        match usize::try_from(offset)
            .ok()
            .and_then(|at| self.bytes.get(at..))
        {
            Some(rest) if !rest.is_empty() => Ok(Chunk::borrowed(rest)),
            _ => Err(Fault::at_phys(Cause::NoRam, pa)),
        }
    }
}

/// Every paging mode that has tables.
const MODES: [Paging; 5] = [
    Paging::LegacyNoPse,
    Paging::Legacy,
    Paging::Pae,
    Paging::Long4,
    Paging::Long5,
];

/// Walks the page tables that `data` holds: mode, root, then memory from 0 on.
pub fn page_tables(data: &[u8]) {
    let [mode, root, memory @ ..] = data else {
        return;
    };
    let mode = MODES[usize::from(*mode) % MODES.len()];
    let root = PhysAddr(u64::from(*root) << 12);
    let memory = Bytes::new(memory, PhysAddr(0));
    let end = memory.end();
    let space = AddressSpace::new(memory, mode, root, hardware_policy);
    let top = 1_u64 << (mode.va_bits() - 1);
    for va in [0, 0x1000, top - 1, top, top << 1, u64::MAX, u64::MAX << 21] {
        let walk = space.walk(VirtAddr(va));
        assert_eq!(
            walk.outcome.map(|way| way.pa),
            space.translate(VirtAddr(va))
        );
        let mut page = [0; 64];
        let gaps = space.read_partial(VirtAddr(va), &mut page);
        let held = walk.outcome.is_ok_and(|way| way.pa < end);
        assert!(held || gaps.first().is_some_and(|gap| gap.start == 0));
    }
    let mut left = 4096;
    let mut next = VirtAddr(0);
    space.mapped(VirtAddr(0)..VirtAddr(u64::MAX), &mut |found| {
        if let Ok(range) = found {
            assert!(range.start >= next && range.len >= PAGE_BYTES);
            next = range.start.plus(range.len - 1);
        }
        left -= 1;
        if left == 0 {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
}
