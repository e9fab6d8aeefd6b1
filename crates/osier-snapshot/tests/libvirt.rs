//! Machines that libvirt 9.0.0 saved with QEMU 10.0.2, in each of its packings, and made ones.
//!
//! The samples are files of `virsh save` of a stopped machine of 4 MiB whose firmware is
//! `osier_testkit::qemu`'s, packed with xz once more.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "small files made here; a test fails by panicking"
)]

mod made;

use std::io::Read;

use made::battle::battle;
use made::{Made, PAGE, be64, filler, name, opened, try_open};
use osier_memory::PhysAddr;
use osier_snapshot::{Anomaly, Format, OpenError, OpenOptions, Snapshot};
use osier_testkit::qemu::FILLED;

const SAMPLES: [(&str, &[u8]); 5] = [
    (
        "no packing",
        include_bytes!("samples/libvirt-9.0.0/raw.save.xz"),
    ),
    ("gzip", include_bytes!("samples/libvirt-9.0.0/gzip.save.xz")),
    (
        "bzip2",
        include_bytes!("samples/libvirt-9.0.0/bzip2.save.xz"),
    ),
    ("xz", include_bytes!("samples/libvirt-9.0.0/xz.save.xz")),
    ("lzop", include_bytes!("samples/libvirt-9.0.0/lzop.save.xz")),
];

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reader = liblzma::read::XzDecoder::new(packed);
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}

fn fact<'a>(snapshot: &'a Snapshot, name: &str) -> &'a str {
    let found = snapshot.info.facts.iter().find(|fact| fact.0 == name);
    found.map_or("", |fact| &fact.1)
}

#[test]
fn machines_that_libvirt_saved() {
    for (packing, packed) in SAMPLES {
        let snapshot = opened(&unpacked(packed));
        assert_eq!(snapshot.info.format, Format::Libvirt);
        assert_eq!(snapshot.info.anomalies, [], "{packing}");
        let saved = format!("libvirt, version 2, {packing}");
        assert_eq!(fact(&snapshot, "saved by"), saved);
        assert_eq!(fact(&snapshot, "machine was"), "paused");
        assert_eq!(fact(&snapshot, "machine's name"), "guest");
        assert_eq!(fact(&snapshot, "machine's memory (KiB)"), "4096");
        assert_eq!(fact(&snapshot, "machine's processors"), "1");
        assert_eq!(fact(&snapshot, "machine type"), "pc-i440fx-10.0");
        // What the firmware writes, and zeros elsewhere.
        let memory = &snapshot.machine.memory;
        let mut page = [0; PAGE];
        for pa in (0..0xa_0000_u64).step_by(PAGE) {
            memory.read(PhysAddr(pa), &mut page).unwrap();
            for (at, word) in page.chunks(2).enumerate() {
                let word = u16::from_le_bytes([word[0], word[1]]);
                let here = pa + 2 * at as u64;
                let number = ((pa >> 4) as u16).wrapping_add(2 * at as u16);
                let expected = match here {
                    0x500 => 0x600d,
                    _ if FILLED.contains(&here) => number.wrapping_mul(0x4e35).wrapping_add(1),
                    _ => 0,
                };
                assert_eq!(word, expected, "{packing}: {here:#x}");
            }
        }
        // As `info registers` has them.
        let [cpu] = snapshot.machine.cpus.as_slice() else {
            unreachable!("{} processors", snapshot.machine.cpus.len());
        };
        let general = cpu.general.unwrap();
        let halted = (cpu.rip, cpu.rflags, cpu.cr0, general[3], general[7]);
        assert_eq!(
            halted,
            (0x37, Some(0x46), Some(0x6000_0010), 0x7697, 0x1000)
        );
        assert_eq!(
            (cpu.segments.cs.selector, cpu.segments.cs.base),
            (Some(0xf000), Some(0xf_0000))
        );
    }
}

fn saved(version: u32, packing: u32, big: bool, state: &[u8]) -> Vec<u8> {
    let xml = "<domain><name>made</name></domain>";
    described(xml, version, packing, big, state)
}

/// A file by libvirt's `struct _virQEMUSaveHeader`, in either order of bytes.
fn described(xml: &str, version: u32, packing: u32, big: bool, state: &[u8]) -> Vec<u8> {
    let xml = [xml.as_bytes(), b"\0padding"].concat();
    let mut out = b"LibvirtQemudSave".to_vec();
    for word in [version, xml.len() as u32, 1, packing, 0] {
        out.extend(if big {
            word.to_be_bytes()
        } else {
            word.to_le_bytes()
        });
    }
    out.resize(92, 0);
    out.extend(xml);
    out.extend(state);
    out
}

#[test]
fn headers_of_either_order_and_every_version() {
    let stream = Made::default().stream();
    for version in 1..=3 {
        for big in [false, true] {
            let snapshot = opened(&saved(version, 6, big, &stream));
            assert_eq!(fact(&snapshot, "machine's name"), "made");
            assert_eq!(fact(&snapshot, "machine was"), "running");
            assert_eq!(filler(&snapshot, 3 * PAGE as u64), 3);
        }
    }
    let error = |bytes: &[u8]| {
        let error = try_open(bytes, &OpenOptions::default()).err().unwrap();
        error.to_string()
    };
    assert!(error(&saved(4, 0, false, &stream)).contains("version 1, 2 or 3, not 4"));
    assert!(error(&saved(2, 0, false, b"something else")).contains("no QEMU stream"));
    let mut long = saved(2, 0, false, &stream);
    long[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(error(&long).contains("4294967295 bytes of the machine's description"));
    let mut part = saved(2, 0, false, &stream);
    part[12..16].copy_from_slice(b"Part");
    for len in [part.len(), part.len() - 9000] {
        let snapshot = opened(&part[..len]);
        assert_eq!(filler(&snapshot, PAGE as u64), 1);
        assert!(snapshot.info.anomalies[0].text.contains("did not finish"));
    }
}

#[test]
fn the_description_tells_where_dimms_lie() {
    const MIB: u64 = 1 << 20;
    let made = Made::default();
    let blocks = [
        ("pc.ram", 64 * MIB),
        ("memdimm1", 16 * MIB),
        ("memnvdimm0", 8 * MIB),
    ];
    let mut stream = made.head(&blocks);
    made.part(&mut stream, 3, |out| {
        for (number, (block, bytes)) in blocks.iter().enumerate() {
            for page in 0..bytes / PAGE as u64 {
                be64(
                    out,
                    (page * PAGE as u64) | if page == 0 { 0x02 } else { 0x22 },
                );
                if page == 0 {
                    name(out, block);
                }
                out.push(number as u8);
            }
        }
    });
    made.tail(&mut stream);
    let xml = "<domain><name>made</name><memory unit='KiB'>90112</memory><devices>\
               <memory model='dimm'><target><size unit='KiB'>16384</size></target>\
               <address type='dimm' slot='1' base='0x140000000'/></memory>\
               <memory model='nvdimm'><address base=\"0x180000000\" type='dimm' slot='0'/></memory>\
               </devices></domain>";
    let snapshot = opened(&described(xml, 2, 0, false, &stream));
    assert_eq!(filler(&snapshot, 0x1_4000_0000), 1);
    assert_eq!(filler(&snapshot, 0x1_8000_0000), 2);
    assert!(!snapshot.info.anomalies.iter().any(Anomaly::is_loss));
    // Without it, where QEMU puts them by itself, which is a guess.
    let snapshot = opened(&saved(2, 0, false, &stream));
    assert!(snapshot.info.anomalies.iter().any(Anomaly::is_loss));
}

#[test]
fn what_is_packed_is_bounded() {
    let bytes = unpacked(SAMPLES[4].1);
    let options = OpenOptions {
        scratch_limit: 100_000,
        ..OpenOptions::default()
    };
    let error = try_open(&bytes, &options).err().unwrap();
    assert!(matches!(error, OpenError::ScratchLimit { .. }), "{error}");
}

#[test]
fn damaged_files_are_survived() {
    let stream = Made::default().stream();
    battle(&saved(2, 0, false, &stream), 160, &[], 50, 300);
    let lzop = unpacked(SAMPLES[4].1);
    let start = lzop.windows(4).position(|w| w == b"\x89LZO").unwrap();
    // The description is long: leave most of it out.
    let lzop = saved(2, 4, false, &lzop[start..]);
    battle(&lzop, 240, &[], 50, 300);
}
