//! `osier osi-test` on real recordings against PANDA's own answers of the same instant.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod command;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;

use command::osier;
use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::each(need::snapshot, &RECORDINGS) => osi_test_is_pandas_at_instruction_0;
}

const RECORDINGS: [&str; 3] = [
    "amd64-5.10",
    "i386-5.10-nonpae",
    "amd64-5.10-kaslr-pti-running",
];

/// The fields of a line of PANDA's answers: `NAME=VALUE`, parted by tabs. A name runs to the line's
/// end.
fn fields(line: &str) -> HashMap<&str, &str> {
    line.split('\t')
        .filter_map(|field| field.split_once('='))
        .collect()
}

/// What `osi_test` prints, made of PANDA's answers at instruction 0 (`osi_test.c`).
fn expected(answers: &str) -> String {
    let line = "-".repeat(49);
    let of = |kind: &str| {
        let prefix = format!("{kind}\t");
        answers
            .lines()
            .filter(move |line| line.starts_with(&prefix))
    };
    let current = fields(of("CURRENT").next().unwrap());
    let pid = current["pid"];
    // PANDA prints no name for pid 0, though it has one.
    let name = if pid == "0" { "N/A" } else { current["name"] };
    let mut text = format!(
        "Current process: {name} PID:{pid} PPID:{}\n\n",
        current["ppid"]
    );
    let _ = writeln!(text, "Process list ({} procs):", of("PROC").count());
    for process in of("PROC").map(fields) {
        let parent = process["ppid"];
        let _ = writeln!(
            text,
            "  {:<16}\t{}\t{parent}",
            process["name"], process["pid"]
        );
    }
    let _ = write!(text, "\n{line}\n\n");
    let mine = format!("MAP\t{pid}\t");
    let maps: Vec<&str> = answers
        .lines()
        .filter(|line| line.starts_with(&mine))
        .collect();
    if maps.is_empty() {
        text.push_str("No mapped dynamic libraries.\n");
    } else {
        let wide = of("CURRENT").next().unwrap().contains("taskd=0xffff");
        let width = if wide { 16 } else { 8 };
        let _ = writeln!(text, "Dynamic libraries list ({} libs):", maps.len());
        for line in maps {
            let range = line.split('\t').nth(3).unwrap();
            let base = range.split('-').next().unwrap().trim_start_matches("0x");
            let base = u64::from_str_radix(base, 16).unwrap();
            let map = fields(line);
            let (size, name, file) = (map["size"], map["name"], map["file"]);
            let _ = writeln!(text, "\t0x{base:0width$x}\t{size}\t{name:<24} {file}");
        }
    }
    let _ = write!(text, "\nNo mapped kernel modules.\n\n{line}\n\n");
    text
}

fn osi_test_is_pandas_at_instruction_0(real: &Real) {
    let (name, folder) = (&real.name, &real.path);
    let ours = osier(
        &["osi-test"],
        &folder.join(format!("{name}-rr-snp")),
        "panda-cache",
    );
    let answers = fs::read_to_string(folder.join("osi/at.0.osi.txt")).unwrap();
    let wanted = expected(&answers);
    for (at, (ours, wanted)) in ours.lines().zip(wanted.lines()).enumerate() {
        assert_eq!(ours, wanted, "{name} line {at}");
    }
    assert_eq!(ours, wanted, "{name}");
    // The plugin's own first block is of instruction 0 where the machine idles until then.
    if name == "amd64-5.10" {
        let printed = fs::read_to_string(folder.join("osi/osi_test.out.txt")).unwrap();
        let start = printed.find("Current process:").unwrap();
        let next = printed[start + 1..].find("Current process:").unwrap();
        assert_eq!(
            &printed[start..=start + next],
            ours,
            "{name}: not what osi_test printed"
        );
    }
}
