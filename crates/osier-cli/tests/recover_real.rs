//! Files out of the page cache of real snapshots, against what the guests counted and what processes map.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use osier::dump::{KeptFile, executable, kept, kept_files};
use osier::{Guest, Options, ProcessExtra, VirtAddr};
use osier_testkit::need::{self, Real};

/// Those whose guests wrote `/proc/meminfo` down, of both widths.
const COUNTED: [&str; 4] = [
    "triage-deb11-5.10-686",
    "triage-deb11-5.10-amd64",
    "triage-deb12-6.1-amd64",
    "triage-deb13-6.12-amd64",
];

/// The others, of both widths.
const SNAPSHOTS: [&str; 4] = [
    "deb11-5.10-686-pae",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];

osier_testkit::trials! {
    need::each(need::made, &COUNTED) =>
        all_kept_files_have_the_pages_that_the_guest_counts;
    need::each(need::snapshot, &SNAPSHOTS) =>
        a_program_is_the_same_by_its_path_and_by_its_process,
        what_is_kept_whole_ends_where_its_own_tables_do;
    need::snapshot("deb12-6.1-amd64") => what_the_kernel_counts_twice_is_held_against_itself;
}

fn guest(real: &Real) -> Guest {
    Guest::open(&real.path.join("memory.elf"), &Options::default()).unwrap()
}

fn files(guest: &Guest) -> Vec<KeptFile> {
    let mut files = Vec::new();
    let ends = kept_files(guest, &mut |file| {
        files.push(file);
        ControlFlow::Continue(())
    });
    assert!(ends.unwrap().is_complete());
    files
}

fn place(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("recovered");
    fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// The bytes of one of the files.
fn bytes(guest: &Guest, file: &KeptFile, name: &str) -> Vec<u8> {
    let out = place(name);
    let done = kept(guest, file, &out).unwrap();
    assert_eq!(done.bytes, *file.size.as_ref().unwrap());
    let bytes = fs::read(&out).unwrap();
    fs::remove_file(out).unwrap();
    bytes
}

/// `Cached` and `Buffers` of `/proc/meminfo` are the pages of all files, and of all block devices.
fn all_kept_files_have_the_pages_that_the_guest_counts(real: &Real) {
    let guest = guest(real);
    let said = fs::read_to_string(real.path.join("truth/meminfo")).unwrap();
    let said = |name: &str| {
        let mut lines = said.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)).unwrap();
        let number = line.trim_start_matches(':').trim().trim_end_matches(" kB");
        number.parse::<u64>().unwrap() << 10
    };
    let all = files(&guest);
    let of = |block: bool| -> u64 {
        let kind = |file: &&KeptFile| (file.kind == Ok("block")) == block;
        let cached = |file: &KeptFile| *file.cached.as_ref().unwrap();
        all.iter().filter(kind).map(cached).sum()
    };
    assert_eq!(of(false), said("Cached"));
    assert_eq!(of(true), said("Buffers"));
    // Every path is one file's, and the workload's are among them.
    let mut paths: Vec<&[u8]> = all
        .iter()
        .filter_map(|file| file.path.as_deref().ok())
        .collect();
    let count = paths.len();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), count);
    for path in ["/bin/workload", "/data/gone.bin (deleted)"] {
        assert!(paths.contains(&path.as_bytes()), "{path}");
    }
    let memfd = |file: &KeptFile| {
        file.inside
            .as_deref()
            .is_ok_and(|name| name.starts_with(b"memfd:"))
    };
    assert!(all.iter().any(memfd));
}

fn a_program_is_the_same_by_its_path_and_by_its_process(real: &Real) {
    let guest = guest(real);
    let all = files(&guest);
    let mut compared = 0;
    for process in guest.processes() {
        let ProcessExtra::Linux(linux) = &process.extra else {
            panic!("no Linux");
        };
        let Ok(path) = &linux.exe else { continue };
        let Some(file) = all.iter().find(|file| file.path.as_ref() == Ok(path)) else {
            continue;
        };
        if compared == 4 {
            break;
        }
        let out = place(&format!("{}.exe", real.name));
        let done = executable(&guest, process.taskd, &out).unwrap();
        assert!(done.lost.is_empty());
        let name = format!("{}.file", real.name);
        assert!(fs::read(&out).unwrap() == bytes(&guest, file, &name));
        compared += 1;
    }
    assert_eq!(compared, 4);
}

/// A module, a library or a program has its section headers at its end.
fn what_is_kept_whole_ends_where_its_own_tables_do(real: &Real) {
    let guest = guest(real);
    let mut whole = 0;
    for file in files(&guest) {
        let Ok(path) = &file.path else { continue };
        let is_elf = path.ends_with(b".ko") || path.ends_with(b".so.6");
        if !is_elf {
            continue;
        }
        let bytes = bytes(&guest, &file, &format!("{}.elf", real.name));
        assert!(bytes.starts_with(b"\x7fELF"));
        let word = |at: usize, len: usize| {
            let mut word = [0; 8];
            word[..len].copy_from_slice(&bytes[at..at + len]);
            u64::from_le_bytes(word)
        };
        let wide = bytes[4] == 2;
        let (start, each, count) = if wide {
            (word(40, 8), word(58, 2), word(60, 2))
        } else {
            (word(32, 4), word(46, 2), word(48, 2))
        };
        let signed = bytes.ends_with(b"~Module signature appended~\n");
        assert!(signed || start + each * count == bytes.len() as u64);
        whole += 1;
    }
    assert!(whole > 3, "{whole}");
}

/// Each word of a program's `address_space` and of its inode, replaced by 0 and by another, changes what is said of it
/// or is told; so does a link of the lists that lead there.
fn what_the_kernel_counts_twice_is_held_against_itself(real: &Real) {
    const WORDS: u64 = 64;
    let whole = guest(real);
    let rows = files(&whole);
    let path = b"/bin/busybox".as_slice();
    let before = rows.iter().find(|file| file.path.as_deref() == Ok(path));
    let before = before.unwrap().clone();
    let raw = fs::read(real.path.join("memory.raw")).unwrap();
    let damaged = place("damaged.raw");
    fs::write(&damaged, &raw).unwrap();
    let file = File::options().write(true).open(&damaged).unwrap();
    let mut silent = Vec::new();
    for word in 0..WORDS {
        // Pages lie behind the inode's own members.
        let at = VirtAddr(before.mapping.0 - 0x180 + word * 8);
        let provider = whole.provider();
        let pa = provider.kernel_space().translate(at).unwrap().0 as usize;
        for value in [0, before.mapping.0 + 0x40] {
            if raw[pa..pa + 8] == u64::to_le_bytes(value) {
                continue;
            }
            file.write_all_at(&u64::to_le_bytes(value), pa as u64)
                .unwrap();
            let guest = Guest::open(&damaged, &Options::default()).unwrap();
            let mut after = Vec::new();
            let ends = kept_files(&guest, &mut |file| {
                after.push(file);
                ControlFlow::Continue(())
            });
            let lost = |file: &KeptFile| {
                let absent = [
                    file.path.as_ref().err(),
                    file.cached.as_ref().err(),
                    file.size.as_ref().err(),
                    file.kind.as_ref().err(),
                    file.inode.as_ref().err(),
                ];
                absent.into_iter().flatten().any(|absent| absent.is_loss())
            };
            let told = !ends.unwrap().is_complete() || after.iter().any(lost);
            let now = after.iter().find(|file| file.mapping == before.mapping);
            // What no other place has: the number, and whether the kernel knows a name.
            let alone = now.is_some_and(|now| {
                let mut same = now.clone();
                if value == 0 && same.path.is_err() {
                    (same.path, same.inside) = (before.path.clone(), before.inside.clone());
                } else if value != 0 {
                    same.inode.clone_from(&before.inode);
                }
                same == before
            });
            if !told && !alone {
                silent.push(format!("{at}: {value:#x}: {now:x?}"));
            }
            file.write_all_at(&raw[pa..pa + 8], pa as u64).unwrap();
        }
    }
    fs::remove_file(&damaged).unwrap();
    assert!(silent.is_empty(), "{silent:#?}");
}
