//! `osier sql` as a process. The queries themselves are held to the rows by osier-sql's tests.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::process::{Command, Output};

fn osier(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_osier"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots"))
        .arg("sql")
        .args(arguments)
        .args(["--no-cache", "--color", "never"])
        .output()
        .unwrap()
}

/// Exit status, standard output and standard error.
fn ran(arguments: &[&str]) -> (i32, String, String) {
    let output = osier(arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[cfg(not(feature = "sql"))]
#[test]
fn what_is_not_built_in_says_how_to_build_it() {
    let (code, out, err) = ran(&["select 1"]);
    assert_eq!((code, &*out), (1, ""));
    assert!(
        err.contains("cargo build --release -p osier-cli --features sql"),
        "{err}"
    );
}

#[cfg(feature = "sql")]
mod built_in {
    use super::ran;

    const ELF: &str = "deb11-5.10-686.elf";
    const INIT: &str = "select snapshot, pid, name, taskd, start, kernel_thread, pgd, pid / 2.0 as \
                        half, nullif(pid, 1) as none from ps where pid = 1";

    #[test]
    fn every_format_has_the_row() {
        let (code, out, err) = ran(&[INIT, ELF, "--format", "jsonl"]);
        assert_eq!((code, &*err), (0, ""), "{out}");
        let row: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(row["snapshot"], ELF);
        assert_eq!((&row["pid"], &row["half"]), (&1.into(), &0.5.into()));
        assert!(row["taskd"].as_str().unwrap().starts_with("0xc"), "{out}");
        assert_eq!(row["kernel_thread"], false);
        assert!(
            row["none"].is_null() && row.get("absent").is_none(),
            "{out}"
        );
        let (taskd, start) = (
            row["taskd"].as_str().unwrap(),
            row["start"].as_str().unwrap(),
        );
        let (pgd, name) = (row["pgd"].as_str().unwrap(), row["name"].as_str().unwrap());

        let (code, out, _) = ran(&[INIT, ELF, "--format", "json"]);
        let rows: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &rows[0]), (0, &row));

        let (code, out, _) = ran(&[INIT, ELF, "--format", "csv"]);
        let wanted = format!(
            "snapshot,pid,name,taskd,start,kernel_thread,pgd,half,none\r\n\
             {ELF},1,{name},{taskd},{start},false,{pgd},0.5,\r\n"
        );
        assert_eq!((code, out), (0, wanted));

        let (code, out, _) = ran(&[INIT, ELF, "--format", "table"]);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!((code, lines.len()), (0, 2), "{out}");
        assert!(
            lines[0].starts_with("SNAPSHOT            PID  NAME"),
            "{out}"
        );
        let cells: Vec<&str> = lines[1].split_whitespace().collect();
        assert_eq!(
            cells[cells.len().saturating_sub(2)..],
            ["0.5", "–"],
            "{out}"
        );
        assert!(cells.contains(&taskd), "{out}");
    }

    #[test]
    fn a_snapshot_that_fails_is_a_line_and_a_status() {
        let query = "select count(distinct snapshot) as n from modules";
        let (code, out, err) = ran(&[query, ELF, "no-such.elf", "--format", "jsonl"]);
        assert_eq!((code, &*out), (3, "{\"n\":1}\n"));
        assert!(err.contains("osier: no-such.elf: failed: "), "{err}");
        assert!(
            err.contains("osier: 2 snapshots: 1 complete, 1 failed"),
            "{err}"
        );
        let (code, ..) = ran(&[query, ELF, "no-such.elf", "--strict"]);
        assert_eq!(code, 1);
    }

    #[test]
    fn wrong_use_is_told() {
        let (code, out, err) = ran(&["select * from proceses", ELF]);
        assert_eq!((code, &*out), (2, ""));
        assert!(err.contains("there are ps, handles,"), "{err}");
        let (code, _, err) = ran(&["select pid from ps"]);
        assert_eq!(code, 2);
        assert!(
            err.contains("the query reads ps; name the snapshots"),
            "{err}"
        );
        let (code, _, err) = ran(&["drop table ps", ELF]);
        assert_eq!(code, 2);
        assert!(err.contains("may only ask"), "{err}");
    }
}
