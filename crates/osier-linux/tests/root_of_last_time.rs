//! Table roots that other machines were read by are tried first. Where the processors tell the paging mode, one of
//! another mode is no root of this machine, and costs nothing: a fleet has machines of several.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use osier_linux::again;
use osier_memory::{
    Chunk, CpuState, Fault, Hint, Machine, Paging, PhysAddr, PhysRun, PhysicalMemory, ZERO_PAGE,
};

/// Zeros; counts the reads.
struct Counted {
    runs: [PhysRun; 1],
    reads: AtomicUsize,
}

impl PhysicalMemory for Counted {
    fn runs(&self) -> &[PhysRun] {
        &self.runs
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let rest = ZERO_PAGE.get(pa.in_page() as usize..).unwrap();
        Ok(Chunk::borrowed(rest))
    }
}

/// How often a machine is read, whose processors are in `mode`, for roots of last times in these modes.
fn reads(mode: Option<Paging>, lasts: &[Paging]) -> usize {
    let memory = Arc::new(Counted {
        runs: [PhysRun {
            start: PhysAddr(0),
            len: 1 << 30,
        }],
        reads: AtomicUsize::new(0),
    });
    let cpu = |mode| CpuState {
        mode: Some(mode),
        ..CpuState::default()
    };
    let hint = |&mode| Hint::LastRoot(PhysAddr(0x20_0000), mode);
    let machine = Machine {
        memory: memory.clone(),
        cpus: mode.map(cpu).into_iter().collect(),
        hints: lasts.iter().map(hint).collect(),
    };
    assert!(again(&machine, &[]).is_none());
    memory.reads.load(Ordering::Relaxed)
}

#[test]
fn a_root_is_read_in_its_own_mode_where_the_processors_may_be_in_it() {
    use Paging::{Legacy, Long4, Long5, Pae};
    assert_eq!(reads(Some(Long4), &[Pae, Legacy, Long5]), 0);
    let own = reads(Some(Long4), &[Long4]);
    assert!(own > 0);
    assert_eq!(reads(Some(Long4), &[Pae, Long4]), own);
    // Without registers, and of processors whose paging is off, nothing tells.
    assert_eq!(reads(None, &[Long4]), own);
    assert_eq!(reads(Some(Paging::Flat), &[Long4]), own);
}
