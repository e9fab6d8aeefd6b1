//! QEMU streams made for the test: every case of the grammar.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "small files made here; a test fails by panicking"
)]

mod made;

use made::{Made, PAGE, RAM_PAGES, be32, be64, filler, name, opened, raw, try_open};
use osier_memory::{Cause, Codec, Hint, PhysAddr};
use osier_snapshot::{Format, OpenOptions, Snapshot, open};

/// Checks what every [`Made::stream`] holds.
fn check(snapshot: &Snapshot, made: &Made) {
    assert_eq!(snapshot.info.format, Format::QemuStream);
    for page in 0..RAM_PAGES {
        assert_eq!(u64::from(filler(snapshot, page * PAGE as u64)), page);
    }
    assert_eq!(filler(snapshot, (1 << 32) - PAGE as u64), 0xb1);
    let fault = snapshot
        .machine
        .memory
        .chunk(PhysAddr(RAM_PAGES * PAGE as u64));
    assert_eq!(fault.unwrap_err().cause, Cause::NoRam);
    let [first, second] = snapshot.machine.cpus.as_slice() else {
        panic!("{} processors", snapshot.machine.cpus.len());
    };
    assert_eq!((first.index, second.index), (0, 1));
    assert_eq!(second.rip, 0xc100_0001);
    assert_eq!(first.general.unwrap()[7], 0x107);
    assert_eq!(
        first.general.unwrap()[15],
        if made.wide { 0x10f } else { 0 }
    );
    assert_eq!((first.cr0, first.cr2), (Some(0x8005_0033), Some(0x2222)));
    assert_eq!((first.cr3, first.cr4), (0x3000, Some(0x6f0)));
    assert_eq!(
        (first.segments.fs.base, first.segments.gs.base),
        (Some(0xf5), Some(0x65))
    );
    assert_eq!(first.cpl, Some(3));
    assert_eq!(first.a20_mask, u64::MAX);
    assert_eq!(first.long_mode, Some(made.wide));
    assert_eq!(first.efer, made.wide.then_some(0xd01));
    assert_eq!(first.lstar, made.wide.then_some(0xffff_ffff_81a0_0080));
    assert_eq!(first.kernel_gs_base, made.wide.then_some(0x1234));
}

#[test]
fn every_combination_of_parts_is_read() {
    for bits in 0..64_u32 {
        let made = Made {
            machine: (bits & 1 != 0).then_some("pc-i440fx-2.8"),
            footers: bits & 2 != 0,
            wide: bits & 4 != 0,
            subsection: bits & 8 != 0,
            devices: bits & 16 != 0,
            vmdesc: bits & 32 != 0,
            clock: None,
            trailing: Vec::new(),
        };
        let snapshot = opened(&made.stream());
        check(&snapshot, &made);
        let hint = Hint::MachineType("pc-i440fx-2.8".to_owned());
        assert_eq!(
            snapshot.machine.hints.contains(&hint),
            made.machine.is_some()
        );
        let repeated = snapshot
            .info
            .anomalies
            .iter()
            .any(|a| a.text.starts_with("1 pages are sent"));
        assert!(repeated, "{:?}", snapshot.info.anomalies);
    }
}

#[test]
fn stale_bytes_after_the_end_do_not_count() {
    // An older, longer recording under the same name leaves its tail.
    let stale = Made {
        wide: false,
        ..Made::default()
    };
    let mut tail = Vec::new();
    stale.tail(&mut tail);
    for vmdesc in [true, false] {
        let made = Made {
            trailing: tail.clone(),
            vmdesc,
            ..Made::default()
        };
        let snapshot = opened(&made.stream());
        check(&snapshot, &made);
        let said = snapshot
            .info
            .anomalies
            .iter()
            .any(|a| a.text.contains("are ignored"));
        assert!(said, "{:?}", snapshot.info.anomalies);
    }
}

#[test]
fn a_stream_behind_another_is_named() {
    let made = Made {
        trailing: Made::default().stream(),
        ..Made::default()
    };
    let bytes = made.stream();
    let first = bytes.len() - made.trailing.len();
    let snapshot = opened(&bytes);
    check(&snapshot, &made);
    let wanted = format!("another stream begins at file offset {first:#x}");
    let said = snapshot
        .info
        .anomalies
        .iter()
        .any(|a| a.text.contains(&wanted));
    assert!(said, "{:?}", snapshot.info.anomalies);
}

#[test]
fn a_kept_index_gives_the_same_and_a_changed_stream_makes_it_again() {
    let folder = made::folder("index");
    let file = folder.join("a-rr-snp");
    let options = OpenOptions {
        index_dir: Some(folder.join("kept").join("deep")),
        ..OpenOptions::default()
    };
    let made = Made::default();
    std::fs::write(&file, made.stream()).unwrap();
    let fresh = open(&file, &options).unwrap();
    let kept = open(&file, &options).unwrap();
    check(&kept, &made);
    assert_eq!(fresh.info.facts, kept.info.facts);
    assert_eq!(fresh.info.anomalies, kept.info.anomalies);
    assert_eq!(fresh.machine.cpus, kept.machine.cpus);
    let indexes = || {
        let files = std::fs::read_dir(options.index_dir.as_ref().unwrap()).unwrap();
        files.map(|file| file.unwrap().path()).collect::<Vec<_>>()
    };
    assert_eq!(indexes().len(), 1);

    // A damaged index, cut or flipped anywhere in its head, is not believed.
    let index = indexes().remove(0);
    let good = std::fs::read(&index).unwrap();
    for at in (0..good.len() - 8 * 9).step_by(3) {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        std::fs::write(&index, &bad).unwrap();
        check(&open(&file, &options).unwrap(), &made);
    }
    for len in [0, 7, 20, 60, good.len() - 1] {
        std::fs::write(&index, &good[..len]).unwrap();
        check(&open(&file, &options).unwrap(), &made);
    }

    // Another stream under the same name.
    let other = Made {
        wide: false,
        ..Made::default()
    };
    std::fs::write(&file, other.stream()).unwrap();
    check(&open(&file, &options).unwrap(), &other);
    assert_eq!(indexes().len(), 1);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn pages_that_are_not_sent_are_not_zeros() {
    let made = Made::default();
    let mut out = made.head(&[("pc.ram", 4 * PAGE as u64)]);
    made.part(&mut out, 3, |out| {
        be64(out, 0x08);
        name(out, "pc.ram");
        out.extend([7; PAGE]);
        raw(out, 2, 9);
    });
    made.tail(&mut out);
    let snapshot = opened(&out);
    let memory = &snapshot.machine.memory;
    let starts: Vec<u64> = memory.runs().iter().map(|run| run.start.0).collect();
    assert_eq!(starts, [0, 0x2000]);
    assert_eq!(
        memory.chunk(PhysAddr(0x1000)).unwrap_err().cause,
        Cause::NotCaptured
    );
    let mut seen = Vec::new();
    let whole = osier_memory::PhysRun {
        start: PhysAddr(0),
        len: 0x4000,
    };
    let end = memory.sweep(whole, 1 << 16, &mut |pa, bytes| {
        seen.push((pa.0, bytes.len(), bytes[0]));
        std::ops::ControlFlow::Continue(())
    });
    assert!(end.is_continue());
    assert_eq!(seen, [(0, PAGE, 7), (0x2000, PAGE, 9)]);
    assert_eq!(snapshot.ram_crc32().unwrap_err().cause, Cause::NotCaptured);
}

#[test]
fn compressed_pages_are_decoded_and_deltas_are_refused() {
    use std::io::Write;
    let page: Vec<u8> = (0..PAGE).map(|at| (at / 16) as u8).collect();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(&page).unwrap();
    let zlib = zlib.finish().unwrap();
    let made = Made::default();
    let mut out = made.head(&[("pc.ram", 4 * PAGE as u64)]);
    made.part(&mut out, 3, |out| {
        be64(out, 0x100);
        name(out, "pc.ram");
        be32(out, zlib.len() as u32);
        out.extend(&zlib);
        be64(out, 0x1000 | 0x120);
        be32(out, 4);
        out.extend([1, 2, 3, 4]);
        // The page is all there, and its checksum is another's.
        be64(out, 0x3000 | 0x120);
        be32(out, zlib.len() as u32);
        out.extend(&zlib);
        *out.last_mut().unwrap() ^= 1;
        be64(out, 0x2000 | 0x60);
        out.extend([1, 0, 2, 9, 9]);
    });
    made.tail(&mut out);
    let snapshot = opened(&out);
    let memory = &snapshot.machine.memory;
    assert_eq!(memory.chunk(PhysAddr(0x10)).unwrap()[..], page[0x10..]);
    assert_eq!(memory.read_uint(PhysAddr(0x18), 2).unwrap(), 0x0101);
    let cause = |pa| memory.chunk(PhysAddr(pa)).unwrap_err().cause;
    for pa in [0x1000, 0x3000] {
        assert!(matches!(
            cause(pa),
            Cause::Decode {
                codec: Codec::Zlib,
                ..
            }
        ));
    }
    assert!(matches!(
        cause(0x2000),
        Cause::Decode {
            codec: Codec::Xbzrle,
            ..
        }
    ));
}

#[test]
fn sweeps_give_what_reads_give() {
    let snapshot = opened(&Made::default().stream());
    let memory = &snapshot.machine.memory;
    for window in [1, PAGE, 3 * PAGE, 1 << 20] {
        for start in [0, 1, 0x1800, 0x2fff] {
            let run = osier_memory::PhysRun {
                start: PhysAddr(start),
                len: 0x4801,
            };
            let mut swept = Vec::new();
            let end = memory.sweep(run, window, &mut |pa, bytes| {
                assert_eq!(pa.0, start + swept.len() as u64);
                assert!(bytes.len() <= window.next_multiple_of(PAGE));
                swept.extend_from_slice(bytes);
                std::ops::ControlFlow::Continue(())
            });
            assert!(end.is_continue());
            let mut read = vec![0; 0x4801];
            memory.read(PhysAddr(start), &mut read).unwrap();
            assert_eq!(swept, read);
        }
    }
}

#[test]
fn the_checksum_is_the_crc_of_the_block() {
    let snapshot = opened(&Made::default().stream());
    let ram: Vec<u8> = (0..RAM_PAGES).flat_map(|page| [page as u8; PAGE]).collect();
    assert_eq!(snapshot.ram_crc32(), Ok(Some(crc32fast::hash(&ram))));
}

#[test]
fn large_ram_is_split_at_4_gib() {
    // A sparse file cannot stand for it: every page costs nine bytes, so 3.5 GiB cost 8 MiB.
    let made = Made {
        machine: Some("pc-q35-7.2"),
        ..Made::default()
    };
    let ram: u64 = 0xb000_0000;
    let mut out = made.head(&[("pc.ram", ram)]);
    made.part(&mut out, 3, |out| {
        be64(out, 0x02);
        name(out, "pc.ram");
        out.push(0);
        for page in 1..ram / PAGE as u64 {
            be64(out, (page * PAGE as u64) | 0x22);
            out.push((page >> 19) as u8);
        }
    });
    made.tail(&mut out);
    let runs = |options: &OpenOptions| {
        let snapshot = try_open(&out, options).unwrap();
        let runs = snapshot.machine.memory.runs().to_vec();
        let runs: Vec<_> = runs.iter().map(|run| (run.start.0, run.len)).collect();
        (runs, snapshot)
    };
    let (q35, snapshot) = runs(&OpenOptions::default());
    assert_eq!(q35, [(0, 0x8000_0000), (1 << 32, 0x3000_0000)]);
    assert_eq!(filler(&snapshot, 1 << 32), 1);
    let (told, _) = runs(&OpenOptions {
        ram_split: Some(0xa000_0000),
        ..OpenOptions::default()
    });
    assert_eq!(told, [(0, 0xa000_0000), (1 << 32, 0x1000_0000)]);
}

#[test]
fn claims_larger_than_the_file_are_refused() {
    let made = Made::default();
    for bytes in [1_u64 << 40, !0xfff] {
        let mut out = made.head(&[("pc.ram", 0x1000)]);
        // The total and the block's length, both raised.
        let at = out.windows(6).position(|w| w == b"pc.ram").unwrap();
        out[at - 9..at - 1].copy_from_slice(&(bytes | 4).to_be_bytes());
        out[at + 6..at + 14].copy_from_slice(&bytes.to_be_bytes());
        let error = try_open(&out, &OpenOptions::default()).err().unwrap();
        assert!(error.to_string().contains("file offset"), "{error}");
    }
}
