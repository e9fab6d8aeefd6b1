#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "tests may overflow and fail"
)]

use std::ops::ControlFlow;
use std::sync::Arc;

use osier_memory::VirtAddr;
use osier_osi::{LogLine, WalkEnds};
use osier_testkit::Knockout;

use super::log;
use crate::guest::Guest;
use crate::toy::{Is, Toy};

fn lines(guest: &Guest) -> (Vec<LogLine>, WalkEnds) {
    let mut lines = Vec::new();
    let ends = log(guest, &mut |line| {
        lines.push(line);
        ControlFlow::Continue(())
    });
    (lines, ends)
}

fn texts(lines: &[LogLine]) -> Vec<String> {
    lines
        .iter()
        .map(|line| match &line.text {
            Ok(text) => String::from_utf8(text.clone()).unwrap(),
            Err(absent) => format!("{absent}"),
        })
        .collect()
}

/// The two rings, with three records: the second of them at the start of the text, for want of room
/// behind the first.
struct Rings {
    toy: Toy,
    ring: VirtAddr,
    descs: VirtAddr,
    infos: VirtAddr,
    data: VirtAddr,
}

const COMMITTED: u64 = 1 << 62;
const FINALIZED: u64 = 2 << 62;

impl Rings {
    fn new() -> Self {
        let mut toy = Toy::new();
        toy.structure(
            "prb_desc_ring",
            48,
            &[
                ("count_bits", 0, Is::Int(4)),
                ("descs", 8, Is::Pointer),
                ("infos", 16, Is::Pointer),
                ("head_id", 24, Is::Int(8)),
                ("tail_id", 32, Is::Int(8)),
            ],
        );
        let text = [("size_bits", 0, Is::Int(4)), ("data", 8, Is::Pointer)];
        toy.structure("prb_data_ring", 32, &text);
        toy.structure(
            "printk_ringbuffer",
            80,
            &[
                ("desc_ring", 0, Is::Struct("prb_desc_ring", 48)),
                ("text_data_ring", 48, Is::Struct("prb_data_ring", 32)),
            ],
        );
        let block = [("begin", 0, Is::Int(8)), ("next", 8, Is::Int(8))];
        toy.structure("prb_data_blk_lpos", 16, &block);
        toy.structure(
            "prb_desc",
            24,
            &[
                ("state_var", 0, Is::Int(8)),
                ("text_blk_lpos", 8, Is::Struct("prb_data_blk_lpos", 16)),
            ],
        );
        toy.structure(
            "printk_info",
            24,
            &[
                ("seq", 0, Is::Int(8)),
                ("ts_nsec", 8, Is::Int(8)),
                ("text_len", 16, Is::Int(2)),
                ("facility", 18, Is::Int(1)),
                ("level", 19, Is::Int(1)),
                ("caller_id", 20, Is::Int(4)),
            ],
        );
        let (prb, ring) = (toy.page(), toy.page());
        let (descs, infos, data) = (toy.page(), toy.page(), toy.page());
        toy.symbol("prb", prb);
        toy.put(prb, 0, ring.0);
        toy.put_u32(ring, 0, 4);
        toy.put(ring, 8, descs.0);
        toy.put(ring, 16, infos.0);
        toy.put(ring, 24, 18);
        toy.put(ring, 32, 16);
        toy.put_u32(ring, 48, 8);
        toy.put(ring, 56, data.0);
        let mut rings = Self {
            toy,
            ring,
            descs,
            infos,
            data,
        };
        rings.record(
            16,
            FINALIZED,
            (0x100 + 0xe0, 0x100 + 0xf8),
            0xe0,
            b"the first",
        );
        rings.record(
            17,
            FINALIZED,
            (0x100 + 0xf8, 0x200 + 0x20),
            0,
            b"the second",
        );
        rings.record(
            18,
            COMMITTED,
            (0x200 + 0x20, 0x200 + 0x38),
            0x20,
            b"the third",
        );
        rings
    }

    fn record(&mut self, id: u64, state: u64, block: (u64, u64), at: u64, text: &[u8]) {
        let (desc, info) = (24 * (id % 16), 24 * (id % 16));
        self.toy.put(self.descs, desc, state | id);
        self.toy.put(self.descs, desc + 8, block.0);
        self.toy.put(self.descs, desc + 16, block.1);
        self.toy.put(self.infos, info, id - 10);
        self.toy.put(self.infos, info + 8, 1000 * id);
        self.toy
            .put_u32(self.infos, info + 16, text.len() as u32 | 6 << 24 | 1 << 16);
        self.toy.put_u32(self.infos, info + 20, 0x8000_0002);
        self.toy.put(self.data, at, id);
        self.toy
            .memory
            .write_bytes(Toy::pa(self.data.plus(at + 8)), text);
    }
}

const THREE: [&str; 3] = ["the first", "the second", "the third"];

#[test]
fn the_rings_are_read() {
    let (lines, ends) = lines(&Rings::new().toy.guest());
    assert!(ends.all_closed(), "{ends}");
    assert_eq!(texts(&lines), THREE);
    for (line, id) in lines.iter().zip(16..) {
        assert_eq!(line.seq, Ok(id - 10));
        assert_eq!(line.time, Ok(1000 * id));
        assert_eq!((&line.level, &line.facility), (&Ok(6), &Ok(1)));
        assert_eq!(line.caller, Ok(b"C2".to_vec()));
    }
}

#[test]
fn what_lies_in_the_rings_is_told() {
    // All but the times, levels, callers and letters themselves, which nothing else has.
    let places: Vec<_> = {
        let rings = Rings::new();
        let ring = [8, 16, 24, 32, 56].map(|offset| (rings.ring, offset));
        let descs = (0..9).map(|word| (rings.descs, 8 * word));
        let seqs = [0, 24, 48].map(|offset| (rings.infos, offset));
        let blocks = [0, 0x20, 0xe0].map(|offset| (rings.data, offset));
        ring.into_iter()
            .chain(descs)
            .chain(seqs)
            .chain(blocks)
            .collect()
    };
    for (base, offset) in places {
        for lie in [0, 17, 0x1000, u64::MAX] {
            let mut rings = Rings::new();
            rings.toy.put(base, offset, lie);
            let guest = rings.toy.guest();
            let (lines, ends) = lines(&guest);
            let told = lines
                .iter()
                .any(|line| line.text.is_err() || line.seq.is_err());
            assert!(
                told || !ends.all_closed() || texts(&lines) == THREE,
                "{base}+{offset:#x} = {lie:#x}: {lines:?}"
            );
        }
    }
}

#[test]
fn a_hidden_page_of_the_rings_is_named() {
    let rings = Rings::new();
    for page in [rings.ring, rings.descs, rings.infos, rings.data] {
        let memory = Knockout::new(rings.toy.memory.clone(), Toy::pa(page));
        let guest = rings.toy.guest_in(Arc::new(memory));
        let (lines, ends) = lines(&guest);
        assert!(
            !ends.is_complete() || lines.iter().all(|line| line.text.is_err()),
            "{page}: {lines:?} {ends}"
        );
    }
}

/// The buffer of v3.5 to v5.9: three records, the last at the start.
#[test]
fn records_are_read_around_the_end() {
    let mut toy = Toy::new();
    toy.structure(
        "printk_log",
        16,
        &[
            ("ts_nsec", 0, Is::Int(8)),
            ("len", 8, Is::Int(2)),
            ("text_len", 10, Is::Int(2)),
            ("facility", 14, Is::Int(1)),
            ("level", 15, Is::Int(1)),
        ],
    );
    let (buffer, symbols) = (toy.page(), toy.page());
    for (number, name) in [
        "log_buf",
        "log_buf_len",
        "log_first_idx",
        "log_next_idx",
        "log_first_seq",
        "log_next_seq",
    ]
    .iter()
    .enumerate()
    {
        toy.symbol(name, symbols.plus(8 * number as u64));
    }
    for (offset, value) in [
        (0, buffer.0),
        (8, 0x100),
        (16, 0x80),
        (24, 0x28),
        (32, 5),
        (40, 8),
    ] {
        toy.put(symbols, offset, value);
    }
    for (at, text) in [(0x80, "one"), (0xa0, "two"), (0, "three")] {
        toy.put(buffer, at, 1_000_000);
        let len = if at == 0 { 0x28 } else { 0x20 };
        toy.put_u32(buffer, at + 8, (text.len() as u32) << 16 | len);
        toy.put_u32(buffer, at + 12, 4 << 24);
        toy.memory
            .write_bytes(Toy::pa(buffer.plus(at + 16)), text.as_bytes());
    }
    let (whole, ends) = lines(&toy.guest());
    assert!(ends.all_closed(), "{ends}");
    assert_eq!(texts(&whole), ["one", "two", "three"]);
    assert_eq!(whole[0].seq, Ok(5));
    assert_eq!(whole[2].level, Ok(4));
    for (base, offset) in [
        (symbols, 16),
        (symbols, 24),
        (symbols, 32),
        (symbols, 40),
        (buffer, 0x88),
    ] {
        let mut toy = toy.clone();
        toy.put(base, offset, 0);
        let (lines, ends) = lines(&toy.guest());
        assert!(
            !ends.all_closed() || texts(&lines) == texts(&whole),
            "{offset:#x}: {lines:?}"
        );
    }
}

/// The buffer before v3.5.
#[test]
fn bytes_are_read_as_lines() {
    let mut toy = Toy::new();
    let (buffer, symbols) = (toy.page(), toy.page());
    for (number, name) in ["log_buf", "log_buf_len", "log_end", "logged_chars"]
        .iter()
        .enumerate()
    {
        toy.symbol(name, symbols.plus(8 * number as u64));
    }
    let text = b"<6>[    1.000002] first\n<12>second\nthird\n";
    let mut ring = [0_u8; 64];
    let end = 100_u64;
    for (index, byte) in text.iter().enumerate() {
        let at = end as usize - text.len() + index;
        ring[at % 64] = *byte;
    }
    toy.memory.write_bytes(Toy::pa(buffer), &ring);
    for (offset, value) in [(0, buffer.0), (8, 64), (16, end), (24, text.len() as u64)] {
        toy.put(symbols, offset, value);
    }
    let (lines, ends) = lines(&toy.guest());
    assert!(ends.all_closed(), "{ends}");
    assert_eq!(texts(&lines), ["first", "second", "third"]);
    assert_eq!(lines[0].time, Ok(1_000_002_000));
    assert_eq!((&lines[1].level, &lines[1].facility), (&Ok(4), &Ok(1)));
    assert!(lines[2].level.is_err());
}
