//! Damaged files: cut anywhere, or with bits flipped. An error or a snapshot, never a panic.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "small files made here; a test fails by panicking"
)]

mod made;

use made::battle::survive;
use made::{Load, Made, PAGE, elf, filler, opened};

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
fn a_stream_cut_before_its_pages_is_an_error_and_after_them_a_word() {
    let bytes = Made::default().stream();
    assert!(!survive(&bytes[..100]));
    assert!(survive(&bytes[..bytes.len() / 2]));
    // The end mark and what follows are lost: memory is whole, processors too.
    let tail = Made::default().description().len() + 6;
    let snapshot = opened(&bytes[..bytes.len() - tail]);
    // (The last one's footer has no successor; it is found by its header.)
    assert_eq!(snapshot.machine.cpus.len(), 2);
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
