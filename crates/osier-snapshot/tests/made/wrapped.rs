//! Memory to pack, and what a packed snapshot of it must hold.

use std::ops::ControlFlow;
use std::path::Path;

use osier_memory::{Cause, PhysAddr, PhysRun};
use osier_snapshot::{OpenOptions, Snapshot};
use osier_testkit::Random;

pub const MIB: usize = 1 << 20;
pub const LEN: usize = 5 * MIB;

/// Memory as compressors meet it: noise, text that repeats, and long stretches of zeros.
pub fn memory() -> Vec<u8> {
    let mut random = Random::new(7);
    let mut bytes = vec![0; LEN];
    for page in bytes.chunks_mut(4096).take(LEN / 4096 * 3 / 4) {
        match random.below(4) {
            0 => page.fill_with(|| random.bits() as u8),
            1 => page.fill_with(|| b"the kernel of a frozen machine  "[random.below(32) as usize]),
            2 => page[..64].fill_with(|| random.bits() as u8),
            _ => {}
        }
    }
    bytes
}

/// Some pages as read one by one in an order of no order, then all of them as swept.
pub fn holds(snapshot: &Snapshot, bytes: &[u8]) {
    let memory = &snapshot.machine.memory;
    let run = PhysRun {
        start: PhysAddr(0),
        len: bytes.len() as u64,
    };
    assert_eq!(memory.runs(), [run]);
    let pages = bytes.len() / 4096;
    for step in 0..60 {
        let at = step * 769 % pages * 4096;
        let mut page = [0; 4096];
        memory.read(PhysAddr(at as u64), &mut page).unwrap();
        assert!(page == bytes[at..at + 4096], "page at {at:#x}");
    }
    let mut swept = Vec::new();
    let end = memory.sweep(run, 3 << 16, &mut |at, window| {
        assert_eq!(at, PhysAddr(swept.len() as u64));
        swept.extend_from_slice(window);
        ControlFlow::Continue(())
    });
    assert!(end.is_continue() && swept == bytes);
    let past = memory.chunk(PhysAddr(bytes.len() as u64)).unwrap_err();
    assert_eq!(past.cause, Cause::NoRam);
}

pub fn options(cache: &Path) -> OpenOptions {
    OpenOptions {
        index_dir: Some(cache.to_owned()),
        cache_bytes: 2 << 20,
        ..OpenOptions::default()
    }
}
