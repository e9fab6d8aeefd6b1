//! Finding the kernel of every real snapshot, with and without registers, against `/proc`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::Path;

use osier_linux::locate;
use osier_snapshot::{OpenOptions, open};

const SNAPSHOTS: &[&str] = &[
    "deb11-5.10-686",
    "deb11-5.10-686-pae",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];

fn text(folder: &Path) -> u64 {
    let symbols = std::fs::read_to_string(folder.join("truth/kallsyms")).unwrap();
    let line = symbols
        .lines()
        .find(|line| line.ends_with(" _text"))
        .unwrap();
    u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap()
}

#[test]
fn the_kernel_of_every_container_is_found_where_it_runs() {
    for name in SNAPSHOTS {
        let folder = match osier_testkit::data::folder(name) {
            Ok(folder) => folder,
            Err(why) => {
                eprintln!("skipped: {why}");
                continue;
            }
        };
        for file in [
            "memory.raw",
            "memory.elf",
            "memory-paging.elf",
            "memory.savevm",
        ] {
            if !folder.join(file).exists() {
                continue;
            }
            let snapshot = open(&folder.join(file), &OpenOptions::default()).unwrap();
            let start = std::time::Instant::now();
            let found = locate(&snapshot.machine, &[]).unwrap();
            let elapsed = start.elapsed();
            assert_eq!(found.text.0, text(&folder), "{name} {file}");
            let banner = std::fs::read(folder.join("truth/version")).unwrap();
            assert_eq!(found.banner, banner.trim_ascii_end(), "{name} {file}");
            let id = found.build_id.as_ref().map(ToString::to_string);
            println!("{name} {file} {elapsed:?} {id:?}");
            for premise in &found.premises {
                println!("    {} {} ({})", premise.about, premise.value, premise.by);
            }
            assert!(id.is_some(), "{name} {file}");
        }
    }
}
