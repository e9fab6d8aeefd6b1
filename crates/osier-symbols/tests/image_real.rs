//! Types and symbols out of the real snapshots, against `/proc/kallsyms` of their guests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use osier_linux::{Located, WANTED, linux_policy, locate};
use osier_memory::AddressSpace;
use osier_profile::{Identity, OsKind};
use osier_snapshot::{OpenOptions, open};
use osier_symbols::image::{Image, ImageError, import, symbol_table};
use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::each(need::snapshot, &TYPED) => every_symbol_is_the_guests_own, a_kernel_with_types_gives_a_profile;
    need::each(need::snapshot, &UNTYPED) =>
        every_symbol_is_the_guests_own, a_kernel_without_types_says_what_would_help;
}

const TYPED: [&str; 3] = ["deb11-5.10-amd64", "deb12-6.1-amd64", "deb13-6.12-amd64"];
const UNTYPED: [&str; 2] = ["deb11-5.10-686", "deb11-5.10-686-pae"];

/// The kernel and its address space.
fn kernel(real: &Real) -> (Located, AddressSpace) {
    let snapshot = open(&real.path.join("memory.elf"), &OpenOptions::default()).unwrap();
    let found = locate(&snapshot.machine, &[]).unwrap();
    let memory = snapshot.machine.memory.clone();
    let space = AddressSpace::new(memory, found.mode, found.root, linux_policy);
    (found, space)
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

fn every_symbol_is_the_guests_own(real: &Real) {
    let (found, space) = kernel(real);
    let table = symbol_table(&space, image(&found)).unwrap();
    assert_eq!(table.damage(), [""; 0]);
    let truth = truth(&real.path);
    let mut index = 0;
    table.each(|kind, symbol, address| {
        let (true_kind, true_symbol, value) = &truth[index];
        let at = || format!("symbol {index}, {}", symbol.escape_ascii());
        assert_eq!(symbol, true_symbol, "{}", at());
        assert_eq!(kind, *true_kind, "{}", at());
        assert_eq!(address, *value, "{}", at());
        index += 1;
    });
    assert_eq!((index, index), (truth.len(), table.len()));
}

fn a_kernel_with_types_gives_a_profile(real: &Real) {
    let (found, space) = kernel(real);
    let wanted = import(&space, image(&found), Some(&WANTED), identity(&found));
    let wanted = wanted.unwrap().build();
    assert_eq!(wanted.damage(), [""; 0]);
    let task = wanted.find_type("task_struct").unwrap();
    assert_eq!(task.member("comm").unwrap().bytes, 16);
    assert_eq!(wanted.symbol("_text"), Some(found.text.0));
    assert_eq!(wanted.constant("PIDTYPE_PID"), Some(0));
    let all = import(&space, image(&found), None, identity(&found));
    let all = all.unwrap().build();
    assert_eq!(all.damage(), [""; 0]);
    for ty in wanted.types() {
        assert_eq!(all.find_type(&ty.name), Some(ty));
    }
}

fn a_kernel_without_types_says_what_would_help(real: &Real) {
    let (found, space) = kernel(real);
    let outcome = import(&space, image(&found), Some(&WANTED), identity(&found));
    let Err(ImageError::NoTypes { help, .. }) = outcome else {
        panic!("i386 kernels of Debian carry no types");
    };
    let flavour = real.name.trim_start_matches("deb11-5.10-");
    let package = format!("linux-image-5.10.0-32-{flavour}-dbg");
    assert_eq!(help.package, Some(package));
    assert!(help.build_id.is_some());
}
