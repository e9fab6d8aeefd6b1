//! Disk images made here, and damaged ones. `qemu.rs` has QEMU's own.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "small files made here; a test fails by panicking"
)]

mod made;

use made::battle::battle;
use made::{Made, PAGE, filler, opened, try_open};
use osier_memory::{Cause, PhysAddr};
use osier_snapshot::{Format, OpenOptions, Snapshot};
use osier_testkit::containers::qcow2::{Shape, Snapshot as Internal, image};

const SHAPE: Shape = Shape {
    version: 3,
    cluster_bits: 12,
    disk: 10 << 20,
    extended: false,
    scattered: false,
};

fn check(snapshot: &Snapshot) {
    assert_eq!(snapshot.info.format, Format::Qcow2);
    for page in 0..made::RAM_PAGES {
        assert_eq!(u64::from(filler(snapshot, page * PAGE as u64)), page);
    }
    assert_eq!(snapshot.machine.cpus.len(), 2);
}

/// A stream with more than a page of zeros in a row.
fn stream() -> Vec<u8> {
    let mut stream = Made {
        vmdesc: false,
        ..Made::default()
    }
    .stream();
    stream.resize(stream.len() + 3 * PAGE, 0);
    stream
}

#[test]
fn every_shape_of_image() {
    let stream = stream();
    let only = [Internal {
        id: "1",
        name: "only",
        state: &stream,
    }];
    for bits in 0..8_u32 {
        for (cluster_bits, disk) in [(9, 0), (12, 10 << 20), (16, 1 << 40)] {
            let shape = Shape {
                version: if bits & 1 != 0 || bits & 2 != 0 { 3 } else { 2 },
                cluster_bits: if bits & 2 != 0 {
                    cluster_bits.max(14)
                } else {
                    cluster_bits
                },
                // A large disk has a large L1 table before the state's.
                disk: if disk > 1 << 30 && bits & 1 != 0 {
                    disk
                } else {
                    disk.min(10 << 20)
                },
                extended: bits & 2 != 0,
                scattered: bits & 4 != 0,
            };
            check(&opened(&image(shape, &only)));
        }
    }
}

#[test]
fn one_is_chosen_by_number_or_name() {
    let stream = stream();
    let other = Made {
        wide: false,
        ..Made::default()
    }
    .stream();
    let bytes = image(
        SHAPE,
        &[
            Internal {
                id: "1",
                name: "disk",
                state: &[],
            },
            Internal {
                id: "2",
                name: "3",
                state: &stream,
            },
            Internal {
                id: "3",
                name: "late",
                state: &other,
            },
        ],
    );
    let open = |name: Option<&str>| {
        let options = OpenOptions {
            internal: name.map(str::to_owned),
            ..OpenOptions::default()
        };
        try_open(&bytes, &options)
    };
    let wide = |name: &str| open(Some(name)).unwrap().machine.cpus[0].efer.is_some();
    assert!(wide("2") && !wide("late") && !wide("3")); // an identifier goes before a name
    let said = |name: Option<&str>| open(name).err().unwrap().to_string();
    let list = r#"2 "3", 3 "late""#;
    assert!(
        said(None).ends_with(&format!("(--internal): {list}")),
        "{}",
        said(None)
    );
    assert!(said(None).contains("2 internal snapshots"));
    assert!(said(Some("disk")).contains("of the disk alone"));
    assert!(said(Some("none")).ends_with(list));
    let only = image(
        SHAPE,
        &[Internal {
            id: "1",
            name: "disk",
            state: &[],
        }],
    );
    let error = try_open(&only, &OpenOptions::default()).err().unwrap();
    assert!(error.to_string().contains("without a machine's state"));
}

/// Replaces the big-endian word of `N` bytes at `at`.
fn with<const N: usize>(bytes: &[u8], at: usize, value: [u8; N]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + N].copy_from_slice(&value);
    bytes
}

#[test]
fn claims_and_tables_that_cannot_be() {
    let stream = stream();
    let bytes = image(
        SHAPE,
        &[Internal {
            id: "1",
            name: "a",
            state: &stream,
        }],
    );
    let said = |bytes: &[u8]| {
        let error = try_open(bytes, &OpenOptions::default()).err().unwrap();
        error.to_string()
    };
    let word = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let table = word(64) as usize;
    let l1 = word(table) as usize;
    let l2_at = l1 + 5 * 8; // 10 MiB of disk are five tables of 2 MiB
    let l2 = (word(l2_at) & !(1 << 63)) as usize;
    assert!(said(&with(&bytes, 4, 4_u32.to_be_bytes())).contains("version 2 or 3, not 4"));
    assert!(said(&with(&bytes, 20, 60_u32.to_be_bytes())).contains("not 2^60"));
    assert!(said(&with(&bytes, 32, 1_u32.to_be_bytes())).contains("encrypted"));
    assert!(said(&with(&bytes, 72, 4_u64.to_be_bytes())).contains("another file"));
    assert!(said(&with(&bytes, 72, (1_u64 << 40).to_be_bytes())).contains("known features"));
    assert!(said(&with(&bytes, 60, u32::MAX.to_be_bytes())).contains("at most 65536"));
    assert!(said(&with(&bytes, 64, u64::MAX.to_be_bytes())).contains("a snapshot of the table"));
    assert!(said(&with(&bytes, table + 36, u32::MAX.to_be_bytes())).contains("extra data"));
    assert!(said(&with(&bytes, table + 40, u64::MAX.to_be_bytes())).contains("that fits the file"));
    assert!(said(&with(&bytes, table + 48, u64::MAX.to_be_bytes())).contains("16 EiB"));
    assert!(said(&with(&bytes, table + 8, 5_u32.to_be_bytes())).contains("more than 5 entries"));
    assert!(said(&with(&bytes, l2_at, 0_u64.to_be_bytes())).contains("an L2 table"));
    assert!(said(&with(&bytes, l2, 0_u64.to_be_bytes())).contains("a cluster of the machine"));
    assert!(said(&with(&bytes, l2, (1_u64 << 62).to_be_bytes())).contains("not a compressed one"));
    let far = (1_u64 << 50).to_be_bytes();
    assert!(said(&with(&bytes, l2, far)).contains("inside the file, not at 0x4000000000000"));
    // An L2 table that is its own cluster, an L1 table that is an L2 table: work ends all the same.
    assert!(said(&with(&bytes, l2, (l2 as u64).to_be_bytes())).contains("no QEMU stream"));
    assert!(!said(&with(&bytes, l2_at, (l1 as u64).to_be_bytes())).is_empty());
}

#[test]
fn a_state_is_read_as_far_as_its_tables_go() {
    let stream = stream();
    let bytes = image(
        SHAPE,
        &[Internal {
            id: "1",
            name: "a",
            state: &stream,
        }],
    );
    let word = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let l1 = word(word(64) as usize) as usize;
    let l2 = (word(l1 + 5 * 8) & !(1 << 63)) as usize;
    let cut = opened(&with(&bytes, l2 + 4 * 8, 0_u64.to_be_bytes()));
    assert_eq!(filler(&cut, PAGE as u64), 1);
    let missing = cut.machine.memory.chunk(PhysAddr(6 * PAGE as u64));
    assert!(matches!(
        missing.unwrap_err().cause,
        Cause::FileShort { .. }
    ));
    let said: Vec<String> = cut.info.anomalies.iter().map(ToString::to_string).collect();
    assert!(
        said[0].contains("the machine's state is cut short"),
        "{said:?}"
    );
    assert!(said[1].contains("the stream is cut short"), "{said:?}");
    // The feature bit that QEMU sets when the tables contradict themselves.
    let corrupt = opened(&with(&bytes, 72, 2_u64.to_be_bytes()));
    assert!(corrupt.info.anomalies[0].to_string().contains("corrupt"));
}

#[test]
fn damaged_images_are_survived() {
    let stream = stream();
    for shape in [
        SHAPE,
        Shape {
            cluster_bits: 9,
            scattered: true,
            ..SHAPE
        },
        Shape {
            cluster_bits: 14,
            extended: true,
            ..SHAPE
        },
    ] {
        let bytes = image(
            shape,
            &[Internal {
                id: "1",
                name: "a",
                state: &stream,
            }],
        );
        let table = u64::from_be_bytes(bytes[64..72].try_into().unwrap()) as usize;
        let l1 = u64::from_be_bytes(bytes[table..table + 8].try_into().unwrap()) as usize;
        battle(
            &bytes,
            112,
            &[table, table + 40, table + 60, l1, l1 + 40],
            300,
            800,
        );
        // Bits of the tables alone.
        let mut random = osier_testkit::Random::new(5);
        for _ in 0..300 {
            let from = if random.below(2) == 0 { l1 } else { table };
            let at = (from + random.below(100) as usize).min(bytes.len() - 1);
            let bit = 1 << random.below(8);
            let bad = with(&bytes, at, [bytes[at] ^ bit]);
            made::battle::survive(&bad);
        }
    }
}
