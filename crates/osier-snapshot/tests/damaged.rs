//! Damaged files: cut anywhere, or with bits flipped. An error or a snapshot, never a panic.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "small files made here; a test fails by panicking"
)]

mod made;

use std::ops::ControlFlow;

use made::{Load, Made, PAGE, elf, filler, opened, try_open};
use osier_memory::PAGE_BYTES;
use osier_snapshot::{OpenOptions, Snapshot};

/// Reads everything that a snapshot offers.
fn exercise(snapshot: &Snapshot) {
    let memory = &snapshot.machine.memory;
    let mut end = 0;
    for run in memory.runs() {
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

fn survive(bytes: &[u8]) -> bool {
    match try_open(bytes, &OpenOptions::default()) {
        Ok(snapshot) => {
            exercise(&snapshot);
            true
        }
        Err(error) => {
            assert!(error.to_string().len() > 20, "{error}");
            false
        }
    }
}

fn core(wide: bool) -> Vec<u8> {
    let page = PAGE as u64;
    let load = |paddr, pages, fill| Load {
        paddr,
        filesz: pages * page,
        memsz: pages * page,
        fill,
    };
    elf(
        wide,
        440,
        &[load(0, 2, 1), load(0x4000, 1, 2), load(0x8000, 1, 3)],
    )
}

/// Every prefix whose end lies in a header, and some whose end lies in page contents.
fn prefixes(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let whole = bytes.len();
    (0..whole).filter(move |&len| {
        let window = bytes.get(len.saturating_sub(12)..(len + 12).min(whole));
        let flat = window.is_some_and(|w| w.iter().all(|byte| *byte == w[0]));
        !flat || len.is_multiple_of(97)
    })
}

#[test]
fn cut_anywhere() {
    let stream = Made {
        devices: true,
        subsection: true,
        ..Made::default()
    }
    .stream();
    let bare = Made {
        vmdesc: false,
        wide: false,
        footers: false,
        ..Made::default()
    }
    .stream();
    for bytes in [stream, bare, core(true), core(false)] {
        // The description is long, and one cut in it is like another.
        let text = bytes.windows(9).position(|w| w == b"page_size");
        let text = text.unwrap_or(bytes.len()) + 9;
        for len in prefixes(&bytes).filter(|len| *len < text || len.is_multiple_of(101)) {
            survive(&bytes[..len]);
        }
        assert!(survive(&bytes));
    }
}

#[test]
fn a_stream_cut_in_its_ram_is_an_error_and_after_it_a_word() {
    let bytes = Made::default().stream();
    assert!(!survive(&bytes[..bytes.len() / 2]));
    // The end mark and what follows are lost: memory is whole, processors too.
    let tail = Made::default().description().len() + 6;
    let snapshot = opened(&bytes[..bytes.len() - tail]);
    assert_eq!(snapshot.machine.cpus.len(), 1); // the last one's footer has no successor
    assert!(!snapshot.info.anomalies.is_empty());
    assert_eq!(filler(&snapshot, 0x4000), 4);
}

#[test]
fn bits_flipped() {
    let streams = [
        Made::default(),
        Made {
            footers: false,
            vmdesc: false,
            wide: false,
            ..Made::default()
        },
        Made {
            devices: true,
            subsection: true,
            machine: None,
            ..Made::default()
        },
    ]
    .map(|made| made.stream());
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let files = streams.into_iter().chain([core(true), core(false)]);
    for bytes in files {
        // Page contents may be anything: flip elsewhere.
        let places: Vec<usize> = prefixes(&bytes).collect();
        for _ in 0..700 {
            let mut bad = bytes.clone();
            for _ in 0..=next() % 3 {
                let at = places[(next() % places.len() as u64) as usize];
                bad[at] ^= 1 << (next() % 8);
            }
            survive(&bad);
        }
    }
}
