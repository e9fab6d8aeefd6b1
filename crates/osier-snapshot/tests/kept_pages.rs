//! Pages of a compressed snapshot that were read before: the next opening gives the same bytes without unpacking the
//! file, and whatever happened to the file or to what is kept, no other ones.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "small files made here; a test fails by panicking"
)]

mod made;

use std::fs;
use std::path::{Path, PathBuf};

use made::folder;
use made::wrapped::{LEN, MIB, bzip2, gzip, memory, options, tar, xz, zstd};
use osier_memory::{PAGE_BYTES, PhysAddr};
use osier_snapshot::{OpenOptions, Snapshot, open};
use osier_testkit::Random;

const PAGE: usize = PAGE_BYTES as usize;

/// Opens the snapshot, keeping pages in `cache` beside it.
fn opened(path: &Path) -> Snapshot {
    open(path, &options(&path.parent().unwrap().join("cache"))).unwrap()
}

fn unpacked(snapshot: &Snapshot) -> &str {
    let mut facts = snapshot.info.facts.iter();
    facts
        .find(|(name, _)| *name == "unpacked")
        .map_or("", |(_, value)| value.as_str())
}

/// Reads the page at this number as a walk does, and holds it against `bytes`.
fn reads(snapshot: &Snapshot, bytes: &[u8], number: usize) {
    let at = number * PAGE;
    let memory = &snapshot.machine.memory;
    let wanted = &bytes[at..bytes.len().min(at + PAGE)];
    for into in [0, 8, 100, wanted.len() - 1] {
        let chunk = memory.chunk(PhysAddr((at + into) as u64)).unwrap();
        let len = chunk.len().min(wanted.len() - into);
        assert!(
            len > 0 && chunk[..len] == wanted[into..into + len],
            "page {number}"
        );
    }
}

/// As [`reads`], of each of these pages.
fn all(snapshot: &Snapshot, bytes: &[u8], numbers: &[usize]) {
    for number in numbers {
        reads(snapshot, bytes, *number);
    }
}

/// The file of kept pages.
fn kept(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir.join("cache")).ok()?.flatten();
    let mut paths = entries.map(|entry| entry.path());
    paths.find(|path| path.extension().is_some_and(|ext| ext == "opg"))
}

#[test]
fn the_next_opening_reads_what_was_read_before() {
    let bytes = memory();
    let last = LEN / PAGE - 1;
    let read = [0, 1, 7, 300, 301, last];
    let cases: [(&str, Vec<u8>, bool); 6] = [
        ("zst", zstd(&bytes), true),
        ("bz2", bzip2(&bytes), true),
        ("gz", gzip(&bytes), false),
        ("xz", xz(&bytes, MIB), false),
        (
            "two-streams.xz",
            [xz(&bytes[..MIB], MIB), xz(&bytes[MIB..], MIB)].concat(),
            true,
        ),
        ("tar.zst", zstd(&tar(&[("memory.raw", &bytes)])), true),
    ];
    for (name, packed, to_scratch) in cases {
        let dir = folder("kept-pages");
        let path = dir.join(format!("memory.{name}"));
        fs::write(&path, &packed).unwrap();
        let first = opened(&path);
        assert!(first.info.is_compressed(), "{name}");
        assert!(!unpacked(&first).contains("by an earlier"), "{name}");
        all(&first, &bytes, &read);
        assert_eq!(kept(&dir), None, "{name}: kept when it is dropped");
        drop(first);
        let file = kept(&dir).unwrap();
        let before = fs::metadata(&file).unwrap().len();
        let again = opened(&path);
        assert_eq!(
            unpacked(&again).contains("by an earlier"),
            to_scratch,
            "{name}"
        );
        all(&again, &bytes, &read);
        drop(again);
        assert_eq!(
            fs::metadata(&file).unwrap().len(),
            before,
            "{name}: nothing new was read"
        );
        // Others are unpacked for, and are kept, too.
        let more = opened(&path);
        (0..=last)
            .step_by(5)
            .for_each(|number| reads(&more, &bytes, number));
        drop(more);
        assert!(fs::metadata(&file).unwrap().len() > before, "{name}");
        let more = opened(&path);
        (0..=last).for_each(|number| reads(&more, &bytes, number));
        fs::remove_dir_all(dir).unwrap();
    }
}

#[test]
fn kept_pages_that_changed_are_not_believed() {
    let (dir, bytes) = (folder("changed-pages"), memory());
    let path = dir.join("memory.zst");
    fs::write(&path, zstd(&bytes)).unwrap();
    let pages: Vec<usize> = (0..40).map(|number| number * 3).collect();
    let look = || {
        let snapshot = opened(&path);
        all(&snapshot, &bytes, &pages);
    };
    look();
    let file = kept(&dir).unwrap();
    let good = fs::read(&file).unwrap();
    let mut random = Random::new(0x9a6e);
    // Every byte of the header, some of the table and of the pages; and cut anywhere.
    let (header, table) = (56 + 24, 56 + 24 + 16 * pages.len());
    let within = (0..50).map(|_| random.below(good.len() as u64) as usize);
    for at in (0..header)
        .chain((header..table).step_by(9))
        .chain(within.collect::<Vec<_>>())
    {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&file, &bad).unwrap();
        look();
    }
    for _ in 0..20 {
        let cut = random.below(good.len() as u64) as usize;
        fs::write(&file, &good[..cut]).unwrap();
        look();
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn pages_of_another_file_or_of_a_damaged_one_are_not_kept() {
    let (dir, bytes) = (folder("other-pages"), memory());
    let path = dir.join("memory.zst");
    fs::write(&path, zstd(&bytes)).unwrap();
    (0..9).for_each(|number| reads(&opened(&path), &bytes, number));
    // Another snapshot of the same name and length.
    let other: Vec<u8> = bytes.iter().map(|byte| byte ^ 0x55).collect();
    fs::write(&path, zstd(&other)).unwrap();
    (0..9).for_each(|number| reads(&opened(&path), &other, number));
    // One that ends early says so each time, and nothing of it is kept.
    let cut = zstd(&bytes);
    fs::write(&path, &cut[..cut.len() / 2]).unwrap();
    fs::remove_file(kept(&dir).unwrap()).unwrap();
    for _ in 0..2 {
        let snapshot = opened(&path);
        assert!(!snapshot.info.anomalies.is_empty());
        reads(&snapshot, &bytes, 1);
    }
    assert_eq!(kept(&dir), None);
    // Without a folder nothing is kept, and a folder that takes nothing costs no answer.
    fs::write(&path, zstd(&bytes)).unwrap();
    reads(&open(&path, &OpenOptions::default()).unwrap(), &bytes, 1);
    assert_eq!(kept(&dir), None);
    fs::remove_dir_all(dir.join("cache")).unwrap();
    fs::write(dir.join("cache"), "a file").unwrap();
    for _ in 0..2 {
        reads(&opened(&path), &bytes, 1);
    }
    fs::remove_dir_all(dir).unwrap();
}
