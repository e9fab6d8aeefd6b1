//! Types and symbols out of the real snapshots, against `/proc/kallsyms` of their guests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use osier_linux::{Located, WANTED, linux_policy, locate};
use osier_memory::AddressSpace;
use osier_profile::{Identity, OsKind};
use osier_snapshot::{OpenOptions, open};
use osier_symbols::image::{Image, ImageError, import, symbol_table};

/// The kernel of `name`, its address space, and the folder of its truth.
fn kernel(name: &str) -> Option<(Located, AddressSpace, std::path::PathBuf)> {
    let folder = match osier_testkit::data::folder(name) {
        Ok(folder) => folder,
        Err(why) => {
            osier_testkit::report_skip(module_path!(), &why);
            return None;
        }
    };
    let snapshot = open(&folder.join("memory.elf"), &OpenOptions::default()).unwrap();
    let found = locate(&snapshot.machine, &[]).unwrap();
    let memory = snapshot.machine.memory.clone();
    let space = AddressSpace::new(memory, found.mode, found.root, linux_policy);
    Some((found, space, folder))
}

fn identity(found: &Located) -> Identity {
    Identity {
        os: OsKind::Linux,
        pointer_bytes: found.mode.pointer_bytes(),
        build_id: found.build_id.clone(),
        banner: found.banner.clone(),
        release: found.release(),
    }
}

fn image(found: &Located) -> Image {
    Image {
        text: found.text,
        end: found.end,
        slide: Some(0),
    }
}

/// Kind, name and address of every symbol of the kernel itself, in the file's order.
fn truth(folder: &std::path::Path) -> Vec<(u8, Vec<u8>, u64)> {
    let text = std::fs::read_to_string(folder.join("truth/kallsyms")).unwrap();
    let own = text.lines().filter(|line| !line.ends_with(']'));
    own.map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let value = u64::from_str_radix(fields[0], 16).unwrap();
        (
            fields[1].as_bytes()[0],
            fields[2].as_bytes().to_vec(),
            value,
        )
    })
    .collect()
}

#[test]
fn every_symbol_is_the_guests_own() {
    for name in [
        "deb11-5.10-amd64",
        "deb12-6.1-amd64",
        "deb13-6.12-amd64",
        "deb11-5.10-686",
        "deb11-5.10-686-pae",
    ] {
        let Some((found, space, folder)) = kernel(name) else {
            continue;
        };
        let start = std::time::Instant::now();
        let table = symbol_table(&space, image(&found)).unwrap();
        let elapsed = start.elapsed();
        let truth = truth(&folder);
        let mut index = 0;
        table.each(|kind, symbol, address| {
            let (true_kind, true_symbol, value) = &truth[index];
            let at = || format!("{name}: symbol {index}, {}", symbol.escape_ascii());
            assert_eq!(symbol, true_symbol, "{}", at());
            assert_eq!(kind, *true_kind, "{}", at());
            assert_eq!(address, *value, "{}", at());
            index += 1;
        });
        assert_eq!((index, index), (truth.len(), table.len()), "{name}");
        println!(
            "{name}: {index} symbols equal, {:?}, {elapsed:?}",
            table.encoding()
        );
    }
}

#[test]
fn a_kernel_with_types_gives_a_profile_and_one_without_says_what_would_help() {
    for name in ["deb11-5.10-amd64", "deb12-6.1-amd64", "deb13-6.12-amd64"] {
        let Some((found, space, _)) = kernel(name) else {
            continue;
        };
        let start = std::time::Instant::now();
        let wanted = import(&space, image(&found), Some(&WANTED), identity(&found));
        let wanted = wanted.unwrap().build();
        let elapsed = start.elapsed();
        let task = wanted.find_type("task_struct").unwrap();
        assert_eq!(task.member("comm").unwrap().bytes, 16, "{name}");
        assert_eq!(wanted.symbol("_text"), Some(found.text.0), "{name}");
        assert_eq!(wanted.constant("PIDTYPE_PID"), Some(0), "{name}");
        let all = import(&space, image(&found), None, identity(&found));
        let all = all.unwrap().build();
        for ty in wanted.types() {
            assert_eq!(all.find_type(&ty.name), Some(ty), "{name}");
        }
        println!(
            "{name}: {} of {} types, {} of {} symbols, {elapsed:?}",
            wanted.types().len(),
            all.types().len(),
            wanted.symbols().len(),
            all.symbols().len()
        );
    }
    for (name, package) in [
        ("deb11-5.10-686", "linux-image-5.10.0-32-686-dbg"),
        ("deb11-5.10-686-pae", "linux-image-5.10.0-32-686-pae-dbg"),
    ] {
        let Some((found, space, _)) = kernel(name) else {
            continue;
        };
        let outcome = import(&space, image(&found), Some(&WANTED), identity(&found));
        let Err(ImageError::NoTypes { help, .. }) = outcome else {
            panic!("{name}: i386 kernels of Debian carry no types");
        };
        assert_eq!(help.package.as_deref(), Some(package));
        assert!(help.build_id.is_some(), "{name}");
        println!("{help}");
    }
}
