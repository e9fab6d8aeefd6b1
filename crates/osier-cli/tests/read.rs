//! `osier read`: what it writes, what it says of what cannot be read, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod command;

use std::path::{Path, PathBuf};
use std::process::Output;

use osier::osier_memory::VirtAddr;
use osier::{Guest, Options};

const CACHE: &str = "read";
const PAGE: usize = 4096;

fn golden() -> PathBuf {
    osier_testkit::data::workspace().join("snapshots/deb12-6.1-amd64.elf")
}

fn read(words: &[&str]) -> (Output, String) {
    let golden = golden();
    let arguments = ["read", golden.to_str().unwrap()];
    let output = command::run(arguments.iter().chain(words), CACHE);
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    (output, said)
}

/// A page of process 1 that cannot be read before one that can.
fn gap() -> u64 {
    let guest = Guest::open(&golden(), &Options::default()).unwrap();
    let process = guest
        .processes()
        .find(|process| process.pid == Ok(1))
        .unwrap();
    let space = guest.provider().address_space(process.taskd).unwrap();
    let mut byte = [0];
    let mut readable = |at: u64| space.read(VirtAddr(at), &mut byte).is_ok();
    for mapping in guest.mappings(process.taskd) {
        let (base, size) = (mapping.base.unwrap().0, mapping.size.unwrap());
        for page in (base..base.saturating_add(size)).step_by(PAGE) {
            if !readable(page) && readable(page.saturating_add(PAGE as u64)) {
                return page;
            }
        }
    }
    unreachable!("no page that cannot be read lies before one that can");
}

#[test]
fn a_gap_ends_raw_bytes_and_the_status_is_that_of_a_dump() {
    let gap = gap();
    let at = format!("{gap:x}");
    let (raw, said) = read(&["--pid", "1", &at, "8K"]);
    assert_eq!(
        (raw.status.code(), raw.stdout.len()),
        (Some(3), 0),
        "{said}"
    );
    assert!(
        said.contains(&format!("stopped at {gap:#x}, after 0 bytes of 8192")),
        "{said}"
    );
    let again = format!("bytes from {:#x} on can be read", gap + PAGE as u64);
    assert!(said.contains(&again) && said.contains("--fill 0"), "{said}");

    let (dump, said) = read(&["--pid", "1", &at, "8K", "--format", "table"]);
    assert_eq!(dump.status.code(), Some(3), "{said}");
    let text = String::from_utf8(dump.stdout).unwrap();
    assert_eq!(text.lines().count(), 2 * PAGE / 16);
    assert!(text.contains(" ?? ?? "), "{text}");

    let (filled, said) = read(&["--pid", "1", &at, "8K", "--fill", "0xa5"]);
    assert_eq!(filled.status.code(), Some(3), "{said}");
    let (missing, there) = filled.stdout.split_at(PAGE);
    assert!(missing.iter().all(|&byte| byte == 0xa5));
    let (plain, said) = read(&["--pid", "1", &format!("{:x}", gap + PAGE as u64), "4K"]);
    assert_eq!((plain.status.code(), said.as_str()), (Some(0), ""));
    assert!(there == plain.stdout);

    let (places, said) = read(&["--pid", "1", &at, "8K", "-v"]);
    assert_eq!(places.status.code(), Some(3));
    assert!(said.contains(&format!("\nosier: {gap:#x}: ")), "{said}");
    assert!(!said.contains("-v for places"), "{said}");
}

#[test]
fn physical_memory_needs_no_kernel() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("read-no-kernel.raw");
    let bytes: Vec<u8> = (0..1_u32 << 20)
        .map(|at| (at.wrapping_mul(7919) >> 5) as u8)
        .collect();
    std::fs::write(&file, &bytes).unwrap();
    let name = file.to_str().unwrap();
    let output = command::run(["read", name, "--phys", "1000", "32"], CACHE);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.as_str()), (Some(0), ""));
    assert!(Some(&*output.stdout) == bytes.get(0x1000..0x1020));
    // Past the end of memory there is nothing.
    let output = command::run(["read", name, "--phys", "ffff0", "32"], CACHE);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 16));
    // A virtual address does need one.
    let output = command::run(["read", name, "1000", "32"], CACHE);
    assert_eq!(output.status.code(), Some(1));
}
