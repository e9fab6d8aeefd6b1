//! Files damaged in every way that is cheap to think of, and what must hold of them.

use std::cell::OnceCell;
use std::ops::ControlFlow;
use std::path::PathBuf;

use osier_memory::PAGE_BYTES;
use osier_snapshot::{OpenOptions, Snapshot, open};
use osier_testkit::Random;

use super::folder;

/// Reads a part of everything that a snapshot offers.
pub fn exercise(snapshot: &Snapshot) {
    let memory = &snapshot.machine.memory;
    let mut end = 0;
    for run in memory.runs().iter().take(4096) {
        assert!(run.len > 0 && run.start.0 >= end);
        end = run.end().0;
        let mut at = run.start;
        for _ in 0..64 {
            if !run.contains(at) {
                break;
            }
            if let Ok(chunk) = memory.chunk(at) {
                assert!(!chunk.is_empty());
            }
            at = at.page().plus(PAGE_BYTES);
        }
        let mut windows = 0;
        let _ = memory.sweep(*run, 1 << 16, &mut |_, bytes| {
            assert!(!bytes.is_empty());
            windows += 1;
            if windows < 64 {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
    }
    let _ = snapshot.ram_crc32();
}

thread_local! {
    /// One file for each test's thread.
    static FILE: OnceCell<PathBuf> = const { OnceCell::new() };
}

/// Opens `bytes` and reads them. Either goes without a panic; an error must say something.
pub fn survive(bytes: &[u8]) -> bool {
    FILE.with(|file| {
        let file = file.get_or_init(|| folder("battle").join("file"));
        std::fs::write(file, bytes).unwrap();
        match open(file, &OpenOptions::default()) {
            Ok(snapshot) => {
                exercise(&snapshot);
                true
            }
            Err(error) => {
                assert!(error.to_string().len() > 20, "{error}");
                false
            }
        }
    })
}

/// Cuts `bytes` all over the first `head`, around every place of `boundaries`, and at `random` places; then flips bits, `flips` times, every other time in the head.
pub fn battle(bytes: &[u8], head: usize, boundaries: &[usize], random: u64, flips: u64) {
    assert!(survive(bytes));
    let mut seed = Random::new(bytes.len() as u64);
    let around = |at: &usize| at.saturating_sub(3)..at + 4;
    let near = boundaries.iter().flat_map(around);
    let anywhere: Vec<usize> = (0..random)
        .map(|_| seed.below(bytes.len() as u64) as usize)
        .collect();
    for len in (0..head)
        .step_by(head.div_ceil(200))
        .chain(near)
        .chain(anywhere)
    {
        survive(&bytes[..len.min(bytes.len())]);
    }
    let mut bad = bytes.to_vec();
    for flip in 0..flips {
        let most = if flip % 2 == 0 { head } else { bytes.len() };
        let flipped: Vec<(usize, u8)> = (0..=seed.below(3))
            .map(|_| (seed.below(most as u64) as usize, 1 << seed.below(8)))
            .collect();
        for (at, bit) in &flipped {
            bad[*at] ^= bit;
        }
        survive(&bad);
        for (at, bit) in &flipped {
            bad[*at] ^= bit;
        }
    }
}
