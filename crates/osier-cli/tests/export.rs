//! `osier export`: the answers stay the same in every container.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod command;

use std::path::Path;

use command::{osier, run};

/// The last one's answer needs the processors, which only the ELF core keeps.
const QUESTIONS: [&str; 3] = ["ps", "maps", "threads"];

/// The answers of the golden snapshot `name` and those of what is exported from it.
fn check(name: &str, containers: &[&str]) {
    let golden = osier_testkit::data::workspace().join(format!("snapshots/{name}.elf"));
    let cache = format!("export-{name}");
    let answer = |question: &str, snapshot: &Path| osier(&[question], snapshot, &cache);
    let expected = QUESTIONS.map(|question| answer(question, &golden));
    for container in containers {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{container}"));
        let to = ["export", "--to", container, "-o", out.to_str().unwrap()];
        if *container == "raw" {
            // What was left out of the golden snapshot stands as zeros there, which is said.
            let words = to.iter().map(std::ffi::OsStr::new);
            let said = run(words.chain([golden.as_os_str()]), &cache);
            let errors = String::from_utf8(said.stderr).unwrap();
            assert_eq!(said.status.code(), Some(3), "{errors}");
            assert!(errors.contains("left out stand as zeros"), "{errors}");
        } else {
            assert_eq!(osier(&to, &golden, &cache), "");
        }
        let asked = if *container == "elf" { 3 } else { 2 };
        for (question, expected) in QUESTIONS.iter().zip(&expected).take(asked) {
            let had = answer(question, &out);
            let differs = had.lines().zip(expected.lines()).find(|(a, b)| a != b);
            assert_eq!(differs, None, "{name} as {container}");
            assert_eq!(had.len(), expected.len(), "{name} as {container}");
        }
        if *container == "elf" {
            let info = |snapshot: &Path| -> serde_json::Value {
                serde_json::from_str(&osier(&["info"], snapshot, &cache)).unwrap()
            };
            let (of, had) = (info(&out), info(&golden));
            assert_eq!(of["cpus"], had["cpus"]);
            // Captured bytes and notes; not the segments, for what was not captured has none now.
            for fact in 3..5 {
                assert_eq!(of["facts"][fact], had["facts"][fact]);
            }
        }
        std::fs::remove_file(out).unwrap();
    }
}

#[test]
fn a_64_bit_snapshot_answers_the_same_in_every_container() {
    check("deb12-6.1-amd64", &["raw", "elf", "lime"]);
}

/// A bare 32-bit dump does not tell where its kernel is.
#[test]
fn a_32_bit_snapshot_answers_the_same_as_elf() {
    check("deb11-5.10-686-pae", &["elf"]);
}
