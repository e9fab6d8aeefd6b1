//! Streams made here that send pages as deltas or at fixed places: the parts that QEMU's own files
//! (`qemu.rs`) do not have, and damaged ones.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "small files made here; a test fails by panicking"
)]

mod made;

use made::battle::battle;
use made::{Made, PAGE, be32, be64, filler, header, name, opened, raw, try_open};
use osier_memory::{Cause, Codec, PhysAddr};
use osier_snapshot::{OpenError, OpenOptions};

/// A delta of `page` that writes `fill` to one byte at `at`.
fn delta(out: &mut Vec<u8>, page: u64, at: usize, fill: u8) {
    be64(out, (page * PAGE as u64) | 0x60);
    out.push(1);
    let run = [at as u8 & 0x7f | 0x80, (at >> 7) as u8, 1, fill];
    out.extend((run.len() as u16).to_be_bytes());
    out.extend(run);
}

/// Four pages: 0 a delta without a base, 1 raw and changed three times, 2 fill and changed once,
/// 3 changed once and then sent whole.
fn deltas() -> Vec<u8> {
    let made = Made::default();
    let mut out = made.head(&[("pc.ram", 4 * PAGE as u64)]);
    made.part(&mut out, 2, |out| {
        be64(out, PAGE as u64 | 0x08);
        name(out, "pc.ram");
        out.extend([1; PAGE]);
        delta(out, 0, 7, 7);
        be64(out, (2 * PAGE as u64) | 0x22);
        out.push(2);
        raw(out, 3, 9);
        for (at, fill) in [(10, 5), (10, 6), (4095, 8)] {
            delta(out, 1, at, fill);
        }
        delta(out, 2, 0, 4);
        delta(out, 3, 0, 4);
        raw(out, 3, 3);
    });
    made.part(&mut out, 3, |_| {});
    made.tail(&mut out);
    out
}

fn fault(bytes: &[u8], pa: u64) -> Cause {
    opened(bytes)
        .machine
        .memory
        .chunk(PhysAddr(pa))
        .unwrap_err()
        .cause
}

#[test]
fn deltas_are_laid_on_what_was_sent_before() {
    let bytes = deltas();
    let snapshot = opened(&bytes);
    let page = |number: u64| {
        let mut page = [0; PAGE];
        let at = PhysAddr(number * PAGE as u64);
        snapshot.machine.memory.read(at, &mut page).unwrap();
        page
    };
    let mut expected = [1; PAGE];
    expected[10] = 6;
    expected[4095] = 8;
    assert!(page(1) == expected && page(1) == expected); // decoded, and kept
    let mut expected = [2; PAGE];
    expected[0] = 4;
    assert!(page(2) == expected);
    assert_eq!(filler(&snapshot, 3 * PAGE as u64), 3);
    // QEMU would lay the first delta on zeros; nothing says that there were any.
    assert!(matches!(
        fault(&bytes, 0),
        Cause::Decode {
            codec: Codec::Xbzrle,
            ..
        }
    ));
}

/// Page `n` of `pages` is filled with `n + 1`, unless its bit is clear; offsets are those of a file
/// that has `shift` more bytes before the stream.
fn mapped(pages: u64, bits: u64, shift: u64) -> Vec<u8> {
    let made = Made::default();
    let mut out = b"QEVM\0\0\0\x03".to_vec();
    out.push(7);
    be32(&mut out, 13);
    out.extend(b"pc-i440fx-9.0");
    out.push(5);
    name(&mut out, "configuration/capabilities");
    be32(&mut out, 1);
    be32(&mut out, 1);
    name(&mut out, "mapped-ram");
    header(&mut out, 1, 4, "ram", 0, 4);
    be64(&mut out, (pages * PAGE as u64) | 4);
    name(&mut out, "pc.ram");
    be64(&mut out, pages * PAGE as u64);
    be32(&mut out, 1);
    be64(&mut out, PAGE as u64);
    let bitmap = out.len() as u64 + 16;
    let first = (bitmap + 8).next_multiple_of(512);
    be64(&mut out, bitmap + shift);
    be64(&mut out, first + shift);
    out.extend(bits.to_le_bytes());
    out.resize(first as usize, 0);
    for page in 0..pages {
        let there = bits >> page & 1 != 0;
        out.extend([if there { page as u8 + 1 } else { 0 }; PAGE]);
    }
    be64(&mut out, 0x10);
    made.footer(&mut out, 4);
    made.part(&mut out, 3, |_| {});
    made.tail(&mut out);
    out
}

#[test]
fn mapped_pages_lie_where_the_header_says() {
    for shift in [0, 0x3000] {
        let snapshot = opened(&mapped(5, 0b10110, shift));
        let read: Vec<u8> = (0..5)
            .map(|page| filler(&snapshot, page * PAGE as u64))
            .collect();
        assert_eq!(read, [0, 2, 3, 0, 5]);
    }
}

/// The error that `bytes` give, in words.
fn refused(bytes: &[u8]) -> String {
    match try_open(bytes, &OpenOptions::default()) {
        Err(error @ OpenError::Malformed { .. }) => error.to_string(),
        Err(error) => unreachable!("{error}"),
        Ok(_) => unreachable!("opened"),
    }
}

#[test]
fn what_mapped_ram_claims_must_be_in_the_file() {
    let good = mapped(5, 0b10110, 0);
    let list = good.windows(6).position(|w| w == b"pc.ram").unwrap() + 6;
    let with = |at: usize, value: u64| {
        let mut bad = good.clone();
        bad[list + at..list + at + 8].copy_from_slice(&value.to_be_bytes());
        bad
    };
    let mut exbibytes = with(0, 1 << 63);
    let total = list - 7 - 8;
    exbibytes[total..total + 8].copy_from_slice(&((1_u64 << 63) | 4).to_be_bytes());
    assert!(
        refused(&exbibytes).contains("a bitmap of mapped-ram"),
        "{}",
        refused(&exbibytes)
    );
    assert!(refused(&with(12, 8192)).contains("pages of 4096 bytes, not 8192"));
    assert!(refused(&with(20, 3)).contains("whose bitmap is at"));
    assert!(refused(&with(28, 3)).contains("whose pages start at"));
    // Pages behind the file's end are missing from it.
    let snapshot = opened(&with(28, 1 << 40));
    assert!(matches!(
        snapshot
            .machine
            .memory
            .chunk(PhysAddr(PAGE as u64))
            .unwrap_err()
            .cause,
        Cause::FileShort { .. }
    ));
    assert_eq!(filler(&snapshot, 0), 0);
}

#[test]
fn a_stream_of_mapped_pages_may_end_among_them() {
    let good = mapped(5, 0b11111, 0);
    let first = good
        .windows(PAGE)
        .position(|page| page == [1; PAGE])
        .unwrap();
    let snapshot = opened(&good[..first + 2 * PAGE + 9]);
    assert_eq!(filler(&snapshot, PAGE as u64), 2);
    let missing = snapshot.machine.memory.chunk(PhysAddr(2 * PAGE as u64));
    assert!(matches!(
        missing.unwrap_err().cause,
        Cause::FileShort { .. }
    ));
    assert!(snapshot.info.anomalies[0].to_string().contains("cut short"));
    assert!(snapshot.machine.cpus.is_empty());
}

#[test]
fn damaged_files_are_survived() {
    let deltas = deltas();
    let records = deltas
        .windows(2)
        .enumerate()
        .filter(|(_, w)| *w == [0x60, 1]);
    let records: Vec<usize> = records.map(|(at, _)| at + 1).collect();
    battle(&deltas, 130, &records, 200, 1000);
    let mapped = mapped(5, 0b10110, 0);
    battle(&mapped, 200, &[512, mapped.len() - 3000], 200, 1000);
}
