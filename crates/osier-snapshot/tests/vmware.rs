//! VMware's state files, made here: no real one could be found.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "small files made here; a test fails by panicking"
)]

mod made;

use std::path::Path;

use made::battle::battle;
use made::{PAGE, filler, opened, try_open};
use osier_memory::{Cause, Paging, PhysAddr, Segment};
use osier_snapshot::{Anomaly, Format, OpenError, OpenOptions, Snapshot, open};
use osier_testkit::containers::vmware::{Tag, Value, long, state, word};

const MAGIC: u32 = 0xbed2_bed2;

/// Six pages, each filled with its number and 1.
fn memory() -> Vec<u8> {
    (1..=6).flat_map(|page| [page; PAGE]).collect()
}

/// Four pages at 0 and two at 4 GiB, as machines with more than 3 GiB have them.
fn regions() -> Vec<Tag> {
    let region = |index: u32, ppn: u32, page: u32, size: u32| {
        [
            word("regionPageNum", &[index], page),
            word("regionPPN", &[index], ppn),
            word("regionSize", &[index], size),
        ]
    };
    let mut tags = vec![
        word("align_mask", &[], 0xffff),
        word("regionsCount", &[], 2),
    ];
    tags.extend(region(1, 0x10_0000, 4, 2));
    tags.extend(region(0, 0, 0, 4));
    tags
}

/// Two processors: one by single tags, one by blocks.
fn processors() -> Vec<Tag> {
    let mut tags = vec![word("cpu:numVCPUs", &[], 2)];
    for (number, name) in [
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
        "r13", "r14", "r15",
    ]
    .into_iter()
    .enumerate()
    {
        tags.push(long(name, &[0], 0x100 + number as u64));
    }
    for (number, value) in [(0, 0x8005_0033), (2, 0x2222), (3, 0x3000), (4, 0x6f0)] {
        tags.push(long("CR64", &[0, number], value));
    }
    tags.push(long("rip", &[0], 0xffff_ffff_8100_0000));
    tags.push(word("eflags", &[0], 0x246));
    tags.push(word("IDTR", &[0, 0], 0xfff));
    tags.push(word("IDTR", &[0, 1], 0xff57_8000));
    tags.push(word("IDTR", &[0, 2], 0xffff_ffff));
    let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let gpregs: Vec<u64> = (0x200..0x210).collect();
    let cr = [0x8005_0033, 0, 1, 0x4000, 0x6f0, 0, 0, 0, 0];
    let mut idtr = vec![0xff, 0x0f];
    idtr.extend(0xffff_fe00_0000_0000_u64.to_le_bytes());
    tags.push(("gpregs", vec![1], Value::Block(words(&gpregs))));
    tags.push(("CR64", vec![1], Value::Block(words(&cr))));
    tags.push(("IDTR", vec![1], Value::Block(idtr)));
    tags.push(long("rip", &[1], 0x40_1000));
    tags.push(long("EFER", &[1], 0xd01));
    tags
}

fn check_memory(snapshot: &Snapshot) {
    assert_eq!(snapshot.info.format, Format::Vmware);
    for page in 0..4_u64 {
        assert_eq!(u64::from(filler(snapshot, page * PAGE as u64)), page + 1);
    }
    assert_eq!(filler(snapshot, 1 << 32), 5);
    assert_eq!(filler(snapshot, (1 << 32) + PAGE as u64), 6);
    let hole = snapshot.machine.memory.chunk(PhysAddr(4 * PAGE as u64));
    assert_eq!(hole.unwrap_err().cause, Cause::NoRam);
}

fn check_processors(snapshot: &Snapshot) {
    let [first, second] = snapshot.machine.cpus.as_slice() else {
        unreachable!("{} processors", snapshot.machine.cpus.len());
    };
    let general = first.general.unwrap();
    assert_eq!(
        general[..8],
        [0x100, 0x101, 0x102, 0x103, 0x104, 0x105, 0x106, 0x107]
    );
    assert_eq!((general[8], general[15]), (0x108, 0x10f));
    assert_eq!(
        (first.cr0, first.cr2, first.cr3, first.cr4),
        (Some(0x8005_0033), Some(0x2222), 0x3000, Some(0x6f0))
    );
    assert_eq!(
        (first.rip, first.rflags),
        (0xffff_ffff_8100_0000, Some(0x246))
    );
    let idt = first.segments.idt;
    assert_eq!(
        (idt.base, idt.limit),
        (Some(0xffff_ffff_ff57_8000), Some(0xfff))
    );
    assert_eq!((first.cpl, first.efer), (Some(0), None));
    // Nothing but the width of its registers tells that it is in long mode.
    assert_eq!(first.paging(), Some(Paging::Long4));
    // The file's segment registers are not read.
    assert_eq!(first.segments.gs, Segment::default());
    assert_eq!(first.segments.gs.base, None);
    // Of the block, RBP comes before RSP.
    let general = second.general.unwrap();
    assert_eq!((general[3], general[4], general[5]), (0x203, 0x205, 0x204));
    assert_eq!(general[15], 0x20f);
    assert_eq!(
        (second.cr3, second.rip, second.cpl),
        (0x4000, 0x40_1000, Some(3))
    );
    assert_eq!((second.efer, second.long_mode), (Some(0xd01), Some(true)));
    assert_eq!(second.segments.idt.base, Some(0xffff_fe00_0000_0000));
    assert_eq!(second.segments.idt.limit, Some(0xfff));
}

/// A state file with the memory in it.
fn whole(magic: u32) -> Vec<u8> {
    let mut tags = regions();
    tags.push(("Memory", vec![0, 0], Value::Block(memory())));
    state(
        magic,
        &[
            ("Checkpoint", vec![word("version", &[], 8)]),
            ("cpu", processors()),
            ("memory", tags),
        ],
    )
}

#[test]
fn memory_in_the_state_file() {
    for magic in [MAGIC, 0xbed2_bed0, 0xbed3_bed3, 0xbad1_bad1] {
        let snapshot = opened(&whole(magic));
        check_memory(&snapshot);
        check_processors(&snapshot);
        assert_eq!(snapshot.info.anomalies, []);
        let facts = format!("{:?}", snapshot.info.facts);
        assert!(facts.contains("Checkpoint, cpu, memory"), "{facts}");
        assert!(facts.contains("0x100000000 + 0x2000"), "{facts}");
    }
    // Without regions the memory starts at 0.
    let tags = vec![("Memory", vec![], Value::Block(memory()))];
    let snapshot = opened(&state(MAGIC, &[("memory", tags)]));
    assert_eq!(filler(&snapshot, 5 * PAGE as u64), 6);
    assert!(snapshot.machine.cpus.is_empty());
    let lost = |a: &Anomaly| a.is_loss() && a.text.contains("has no processor");
    let anomalies = &snapshot.info.anomalies;
    assert!(anomalies.iter().any(lost), "{anomalies:?}");
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, bytes).unwrap();
    file
}

#[test]
fn memory_beside_the_state_file() {
    for extension in ["vmss", "vmsn"] {
        let folder = made::folder("vmware");
        let bytes = state(MAGIC, &[("memory", regions()), ("cpu", processors())]);
        let said = write(&folder, &format!("guest.{extension}"), &bytes);
        let error = open(&said, &OpenOptions::default()).err().unwrap();
        assert!(matches!(error, OpenError::NotASnapshot { .. }), "{error}");
        assert!(
            error.to_string().contains("guest.vmem beside it"),
            "{error}"
        );
        let held = write(&folder, "guest.vmem", &memory());
        for file in [&said, &held] {
            let snapshot = open(file, &OpenOptions::default()).unwrap();
            check_memory(&snapshot);
            check_processors(&snapshot);
            assert_eq!(snapshot.info.file, held);
        }
        // A file that only has the name says nothing, which is said.
        write(&folder, &format!("guest.{extension}"), b"no state file");
        let snapshot = open(&held, &OpenOptions::default()).unwrap();
        assert_eq!(snapshot.info.format, Format::Raw);
        assert_eq!(filler(&snapshot, 4 * PAGE as u64), 5);
        let [said] = snapshot.info.anomalies.as_slice() else {
            unreachable!("{:?}", snapshot.info.anomalies);
        };
        let expected = format!("guest.{extension} beside it, which");
        assert!(said.is_loss() && said.text.contains(&expected), "{said}");
        assert!(said.text.ends_with("is no VMware state file"), "{said}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_state_file_that_cannot_be_opened_is_said() {
    let folder = made::folder("vmware");
    let held = write(&folder, "guest.vmem", &memory());
    // (Of whatever rights: a link that leads to itself.)
    let beside = folder.join("guest.vmss");
    std::os::unix::fs::symlink("guest.vmss", &beside).unwrap();
    let said = |options: &OpenOptions| {
        let snapshot = open(&held, options).unwrap();
        let [said] = snapshot.info.anomalies.as_slice() else {
            unreachable!("{:?}", snapshot.info.anomalies);
        };
        assert!(said.text.contains("guest.vmss beside it"), "{said}");
        assert!(said.text.contains("cannot be opened: "), "{said}");
        (snapshot.info.format, said.effect)
    };
    assert_eq!(
        said(&OpenOptions::default()),
        (Format::Raw, osier_snapshot::Effect::Bytes)
    );
    let options = OpenOptions {
        ram_split: Some(3 * PAGE as u64),
        ..OpenOptions::default()
    };
    assert_eq!(
        said(&options),
        (Format::PcRam, osier_snapshot::Effect::Processors)
    );
    // The other one counts then.
    let bytes = state(MAGIC, &[("memory", regions()), ("cpu", processors())]);
    write(&folder, "guest.vmsn", &bytes);
    assert_eq!(
        said(&OpenOptions::default()),
        (Format::Vmware, osier_snapshot::Effect::Bytes)
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_large_memory_without_its_state_file_is_raw_and_says_what_is_missing() {
    let folder = made::folder("vmware");
    let file = write(&folder, "large.vmem", b"");
    std::fs::File::options()
        .write(true)
        .open(&file)
        .and_then(|file| file.set_len((3 << 30) + (1 << 20)))
        .unwrap();
    let snapshot = open(&file, &OpenOptions::default()).unwrap();
    assert_eq!(snapshot.info.format, Format::Raw);
    assert!(
        snapshot.info.anomalies[0]
            .text
            .contains("--ram-split 0xc0000000")
    );
    let options = OpenOptions {
        ram_split: Some(3 << 30),
        ..OpenOptions::default()
    };
    assert_eq!(open(&file, &options).unwrap().info.anomalies, []);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_cannot_be_read_is_said() {
    let error = |bytes: &[u8]| {
        let error = try_open(bytes, &OpenOptions::default()).err().unwrap();
        error.to_string()
    };
    let packed = vec![("Memory", vec![], Value::Packed(memory()))];
    assert!(error(&state(MAGIC, &[("memory", packed)])).contains("vmss2core"));
    let good = whole(MAGIC);
    let mut many = good.clone();
    many[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(error(&many).contains("at most 4096 groups"));
    // A group behind the end of the file.
    let mut far = good.clone();
    far[12 + 2 * 80 + 64..][..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(error(&far).contains("a tag (2 bytes)"));
    // The memory cut short, and a region of 16 TiB.
    let snapshot = opened(&good[..good.len() - PAGE - 2]); // two are of the end of the tags
    assert!(snapshot.info.anomalies[0].text.contains("cut short"));
    let last = snapshot
        .machine
        .memory
        .chunk(PhysAddr((1 << 32) + PAGE as u64));
    assert!(matches!(last.unwrap_err().cause, Cause::FileShort { .. }));
    let mut tags = regions();
    tags.push(word("regionSize", &[1], u32::MAX));
    tags.push(word("regionPPN", &[1], 2));
    tags.push(("Memory", vec![0, 0], Value::Block(memory())));
    let snapshot = opened(&state(MAGIC, &[("memory", tags)]));
    assert!(
        snapshot
            .info
            .anomalies
            .iter()
            .any(|a| a.text.contains("are in two regions"))
    );
    assert_eq!(filler(&snapshot, 3 * PAGE as u64), 4);
    // Registers of which some are missing.
    let tags = vec![("Memory", vec![], Value::Block(memory()))];
    let cpu = vec![long("rip", &[0], 1), long("CR64", &[0, 3], 0x1000)];
    let snapshot = opened(&state(MAGIC, &[("memory", tags), ("cpu", cpu)]));
    assert!(snapshot.machine.cpus.is_empty());
    assert!(
        snapshot.info.anomalies[0]
            .text
            .contains("1 processors lack registers")
    );
}

#[test]
fn regions_that_are_not_as_many_as_are_said_are_told() {
    for count in [0, 1, 3] {
        let mut tags = regions();
        tags[1] = word("regionsCount", &[], count);
        let folder = made::folder("regions");
        let groups = [("memory", tags), ("cpu", processors())];
        write(&folder, "a.vmss", &state(MAGIC, &groups));
        let file = write(&folder, "a.vmem", &memory());
        let snapshot = open(&file, &OpenOptions::default()).unwrap();
        assert!(snapshot.info.anomalies[0].is_loss(), "{count}");
        assert_eq!(filler(&snapshot, 0), 1);
        if count != 1 {
            assert_eq!(filler(&snapshot, 1 << 32), 5);
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn a_processor_that_is_said_and_not_there_is_missed() {
    let mut tags = processors();
    tags[0] = word("cpu:numVCPUs", &[], 3);
    let mut held = regions();
    held.push(("Memory", vec![0, 0], Value::Block(memory())));
    let snapshot = opened(&state(MAGIC, &[("cpu", tags), ("memory", held)]));
    assert_eq!(snapshot.machine.cpus.len(), 2);
    let [said] = snapshot.info.anomalies.as_slice() else {
        unreachable!("{:?}", snapshot.info.anomalies);
    };
    assert!(
        said.is_loss() && said.text.starts_with("1 processors"),
        "{said}"
    );
}

#[test]
fn damaged_files_are_survived() {
    let bytes = whole(MAGIC);
    let head = bytes.len() - 6 * PAGE;
    battle(&bytes, head, &[], 50, 600);
}

#[test]
fn saved_machines_of_hyper_v_are_refused_by_name_and_its_memory_taken_as_raw() {
    let folder = made::folder("hyperv");
    for name in ["guest.vmrs", "guest.VSV"] {
        let file = write(&folder, name, &memory());
        let error = open(&file, &OpenOptions::default()).err().unwrap();
        assert!(matches!(error, OpenError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains("vm2dmp"), "{error}");
    }
    let file = write(&folder, "guest.bin", &memory());
    write(&folder, "guest.vsv", b"");
    let snapshot = open(&file, &OpenOptions::default()).unwrap();
    assert_eq!(snapshot.info.format, Format::Raw);
    assert!(
        snapshot.info.anomalies[0]
            .text
            .contains("guest.vsv beside it")
    );
    assert_eq!(filler(&snapshot, 5 * PAGE as u64), 6);
    std::fs::remove_dir_all(&folder).unwrap();
}
