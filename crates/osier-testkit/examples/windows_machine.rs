//! Writes a large Windows machine into a sparse file, to measure with.
//!
//! ```sh
//! cargo run --release -p osier-testkit --example windows_machine -- OUT [SYMBOLS]
//! ```
//!
//! `SYMBOLS` is any symbol file of a Windows kernel; without it the machine is Windows 7 SP1 x86
//! with PAE. `RAM_GIB` (4) and `PROCESSES` (500) set its size, and a name that ends in `.dmp` makes
//! it a crash dump. Each process has twenty modules and four threads.
#![allow(
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "a tool for tests"
)]

use std::path::Path;

use osier_profile::Profile;
use osier_symbols::import_symbols;
use osier_testkit::windows::{Plan, Process, win7_sp1_x86_pae};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().expect("OUT [SYMBOLS]");
    let profile = arguments
        .next()
        .map_or_else(win7_sp1_x86_pae, |path| symbols(&path));
    let mut plan = Plan::new(&profile);
    plan.ram = number("RAM_GIB", 4) << 30;
    let processes = number("PROCESSES", 500);
    plan.processes.extend((2..=processes).map(process));
    plan.run(32 * processes + 8);
    let machine = plan.write(&profile);
    let out = Path::new(&out);
    if out.extension().is_some_and(|extension| extension == "dmp") {
        machine.write_crash_dump(out).expect("a file to write");
    } else {
        machine.write_raw(out).expect("a file to write");
    }
    println!("{processes} processes, {} GiB", machine.plan.ram >> 30);
}

fn process(number: u64) -> Process {
    let pid = 32 * number + 4; // no id is the first of a page of ids
    let path = format!("C:\\Program Files\\Many\\process{number}.exe");
    let cmdline = format!("\"{path}\" --number {number}");
    let mut process = Process::new(pid, &format!("process{number}.exe"))
        .child_of(4)
        .in_session(1)
        .runs(&path, &cmdline, 0x0100_0000, 0x2_0000);
    process.threads.clear();
    process.headers = true;
    for thread in 1..=4 {
        process = process.thread(pid + 4 * thread);
    }
    for module in 1..20 {
        let path = format!("C:\\Windows\\System32\\library{module}.dll");
        process = process.loads(0x7000_0000 + module * 0x10_0000, 0x8_0000, &path);
    }
    process
}

fn symbols(path: &str) -> Profile {
    let bytes = std::fs::read(path).expect("a symbol file");
    let mut builders = import_symbols(&bytes, |_| None).expect("symbols of a Windows kernel");
    builders.remove(0).build()
}

fn number(variable: &str, otherwise: u64) -> u64 {
    let value = std::env::var(variable).ok();
    value.map_or(otherwise, |text| text.parse().expect("a number"))
}
