//! Memory to pack, and what a packed snapshot of it must hold.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use osier_memory::{Cause, PhysAddr, PhysRun};
use osier_snapshot::{OpenOptions, Snapshot, open};
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

/// Turns one bit of `packed` over at a time, of its end and here and there: each page of memory then
/// reads as in `bytes` or not at all, or the file has an anomaly.
pub fn no_flipped_bit_goes_unsaid(dir: &Path, bytes: &[u8], packed: &[u8]) {
    let mut random = Random::new(5);
    let path = dir.join("memory");
    let here_and_there = (0..60).map(|_| random.below(packed.len() as u64) as usize);
    let mut places: Vec<usize> = here_and_there.collect();
    places.extend(packed.len() - 24..packed.len());
    for (round, at) in places.into_iter().enumerate() {
        let mut bad = packed.to_vec();
        bad[at] ^= 1 << random.below(8);
        fs::write(&path, &bad).unwrap();
        let kept = options(&dir.join("cache"));
        let options = if round % 2 == 0 {
            &kept
        } else {
            &OpenOptions::default()
        };
        let Ok(snapshot) = open(&path, options) else {
            continue;
        };
        if !snapshot.info.anomalies.is_empty() {
            continue;
        }
        let memory = &snapshot.machine.memory;
        for start in (0..bytes.len()).step_by(4096) {
            let mut page = [0; 4096];
            match memory.read(PhysAddr(start as u64), &mut page) {
                Ok(()) => assert!(page == bytes[start..start + 4096], "{at}: {start:#x}"),
                Err(fault) => assert!(matches!(fault.cause, Cause::Decode { .. }), "{fault:?}"),
            }
        }
    }
}
