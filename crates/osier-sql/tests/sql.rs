//! Queries over the golden snapshots of the repository, held against their golden rows.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use osier::Options;
use osier::ask::Question;
use osier::tables::{Cell, Kind};
use osier_fleet::{Asking, Summary};
use osier_sql::{Answer, Query, SqlError};
use serde_json::Value;

const KERNELS: [&str; 5] = [
    "deb11-5.10-686",
    "deb11-5.10-686-pae",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots")
}

fn golden() -> Vec<PathBuf> {
    KERNELS
        .map(|name| folder().join(format!("{name}.elf")))
        .to_vec()
}

/// The golden rows of one snapshot's table.
fn rows(kernel: &str, table: &str) -> Vec<Value> {
    let file = folder().join(kernel).join(format!("{table}.jsonl"));
    let text = fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn ask_of(paths: &[PathBuf], sql: &str) -> (Answer, Summary) {
    let asking = Asking::new(Options::default(), 2);
    let query = Query::new(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    query.answer(paths, asking, &mut |_| {}).unwrap()
}

/// The answer's rows as text, a blank between cells.
fn answer(sql: &str) -> Vec<String> {
    let (answer, summary) = ask_of(&golden(), sql);
    assert_eq!((summary.complete, summary.snapshots()), (5, 5));
    lines(&answer)
}

fn lines(answer: &Answer) -> Vec<String> {
    let text = |cells: Vec<Cell<'_>>| {
        let texts = cells.iter().map(osier::format::plain_text);
        texts.collect::<Vec<_>>().join(" ")
    };
    answer.rows().map(text).collect()
}

#[test]
fn a_join_is_the_join_of_the_rows() {
    let got = answer(
        "select snapshot, pid, ps.name, base, size, file
         from ps join maps using (snapshot, pid)
         where kind = 'file' and ppid = 1
         order by snapshot, pid, base",
    );
    let mut wanted = Vec::new();
    for kernel in KERNELS {
        let processes: Vec<Value> = rows(kernel, "ps");
        for map in rows(kernel, "maps") {
            let of = |process: &&Value| process["pid"] == map["pid"] && process["ppid"] == 1;
            for process in processes.iter().filter(of) {
                if map["kind"] != "file" {
                    continue;
                }
                let base = map["base"].as_str().unwrap().trim_start_matches("0x");
                let base = u64::from_str_radix(base, 16).unwrap();
                let name = process["name"].as_str().unwrap();
                let line = format!(
                    "{kernel}.elf {} {name} {base:#x} {} {}",
                    map["pid"],
                    map["size"],
                    map["file"].as_str().unwrap()
                );
                wanted.push((
                    (format!("{kernel}.elf"), map["pid"].as_u64().unwrap(), base),
                    line,
                ));
            }
        }
    }
    wanted.sort();
    let wanted: Vec<String> = wanted.into_iter().map(|(_, line)| line).collect();
    assert!(wanted.len() > 20, "{} rows", wanted.len());
    assert_eq!(got, wanted);
}

#[test]
fn an_aggregate_counts_the_rows() {
    let got = answer(
        "select snapshot, state, count(*), sum(threads) from ps group by snapshot, state
         order by snapshot, state",
    );
    let mut wanted: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    for kernel in KERNELS {
        for process in rows(kernel, "ps") {
            let state = process["state"].as_str().unwrap().to_owned();
            let (count, threads) = wanted.entry((format!("{kernel}.elf"), state)).or_default();
            *count = count.checked_add(1).unwrap();
            *threads = threads
                .checked_add(process["threads"].as_u64().unwrap())
                .unwrap();
        }
    }
    let wanted: Vec<String> = wanted
        .into_iter()
        .map(|((snapshot, state), (count, threads))| {
            format!("{snapshot} {state} {count} {threads}")
        })
        .collect();
    assert_eq!(got, wanted);
}

#[test]
fn every_table_has_its_rows_and_documented_types() {
    for table in ["ps", "handles", "current", "threads", "modules", "maps"] {
        let wanted: usize = KERNELS.iter().map(|kernel| rows(kernel, table).len()).sum();
        let (answer, _) = ask_of(&golden(), &format!("select * from {table}"));
        assert_eq!(answer.rows().count(), wanted, "{table}");
        assert_eq!(
            self::answer(&format!("select count(*) from {table}")),
            [wanted.to_string()]
        );
        // A row of JSON Lines says of what kind a value is.
        let row = rows(KERNELS[3], table).swap_remove(0);
        for column in answer.columns() {
            let kind = match &row[&column.name] {
                Value::Number(_) => Kind::Number,
                Value::Bool(_) => Kind::Flag,
                Value::String(text) if text.starts_with("0x") => Kind::Address,
                Value::String(_) if column.name == "start" => Kind::Instant,
                Value::String(_) => Kind::Text,
                _ => continue,
            };
            assert_eq!(column.kind, kind, "{table}.{}", column.name);
        }
    }
}

#[test]
fn addresses_stay_addresses_where_they_are_passed_on() {
    let (answer, _) = ask_of(
        &golden()[3..4],
        "with k as (select taskd as where_it_is, pid from ps)
         select where_it_is, where_it_is + 1 as behind, ppid * -1 as minus, ps.pid / 2.0 as half
         from k join ps using (pid) where ps.pid = 1",
    );
    let kinds: Vec<Kind> = answer.columns().iter().map(|column| column.kind).collect();
    assert_eq!(
        kinds,
        [Kind::Address, Kind::Number, Kind::Number, Kind::Number]
    );
    let taskd = rows(KERNELS[3], "ps")[1]["taskd"]
        .as_str()
        .unwrap()
        .to_owned();
    let number = u64::from_str_radix(taskd.trim_start_matches("0x"), 16).unwrap();
    let behind = number.checked_add(1).unwrap();
    assert_eq!(lines(&answer), [format!("{taskd} {behind} 0 0.5")]);
}

#[test]
fn only_what_is_named_is_asked() {
    let questions = |sql: &str| Query::new(sql).unwrap().questions();
    assert_eq!(questions("select name from modules"), [Question::Modules]);
    assert_eq!(
        questions("select 1 from ps where pid in (select pid from maps)"),
        [Question::Processes, Question::Mappings]
    );
    assert_eq!(questions("select * from manifest"), []);
    assert_eq!(
        questions("with handles as (select 1) select * from handles"),
        []
    );
    assert_eq!(questions("explain select * from ps"), []);
    let (answer, _) = ask_of(&golden()[..1], "select status, rows, why from manifest");
    assert_eq!(lines(&answer), ["complete {} []"]);
    let sql = "select rows from manifest join (select distinct snapshot from ps) using (snapshot)";
    let (answer, _) = ask_of(&golden()[..1], sql);
    assert_eq!(lines(&answer), [r#"{"ps":93}"#]);
}

#[test]
fn names_that_two_tables_have_are_told_apart() {
    let (answer, _) = ask_of(
        &golden()[..1],
        "select p.pid, p.name, t.name from ps p join threads t using (snapshot, pid) limit 1",
    );
    let names: Vec<&str> = answer
        .columns()
        .iter()
        .map(|column| &*column.name)
        .collect();
    assert_eq!(names, ["pid", "p.name", "t.name"]);
}

#[test]
fn a_snapshot_that_fails_is_in_the_manifest_and_holds_nobody_up() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sql-failed");
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch).unwrap();
    let whole = fs::read(&golden()[3]).unwrap();
    fs::write(scratch.join("cut.elf"), &whole[..4096]).unwrap();
    let paths = [
        golden().remove(0),
        scratch.join("cut.elf"),
        golden().remove(4),
    ];
    let (answer, summary) = ask_of(
        &paths,
        "select m.snapshot, status, count(pid) from manifest m
         left join ps on m.snapshot = ps.snapshot group by m.snapshot, status order by 1",
    );
    assert_eq!((summary.complete, summary.failed), (2, 1));
    let count = |kernel: &str| rows(kernel, "ps").len();
    assert_eq!(
        lines(&answer),
        [
            "cut.elf failed 0".to_owned(),
            format!("{0}.elf complete {1}", KERNELS[0], count(KERNELS[0])),
            format!("{0}.elf complete {1}", KERNELS[4], count(KERNELS[4])),
        ]
    );
}

#[test]
fn wrong_queries_say_what_there_is() {
    let check = |sql: &str, text: &str| match Query::new(sql) {
        Ok(_) => panic!("{sql} was taken"),
        Err(error) => {
            let said = error.to_string();
            assert!(said.contains(text), "{sql}: {said}");
            error
        }
    };
    let error = check(
        "select * from processes",
        "no table is called `processes`; there are ps, handles, current, threads, modules, maps, \
         pages, files, env, log, ps_wide, mounts, sockets, net, scan, findings, manifest",
    );
    assert!(matches!(error, SqlError::NoTable(_)));
    let error = check(
        "select nmae from modules",
        "no column is called `nmae`; there are",
    );
    assert!(error.to_string().contains("modules.base"), "{error}");
    check("select ps.bse from ps", "no column is called `ps.bse`");
    check("selec 1", "selec");
    check("select nofunction(pid) from ps", "nofunction");
}

#[test]
fn nothing_is_defined_changed_read_or_written() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sql-written.csv");
    let refused = [
        "create external table t stored as csv location '/etc/passwd'".to_owned(),
        "create table t as select * from ps".to_owned(),
        "create view v as select * from ps".to_owned(),
        "drop table ps".to_owned(),
        "insert into handles select * from handles".to_owned(),
        "delete from ps".to_owned(),
        format!("copy (select * from ps) to '{}'", file.display()),
        format!(
            "explain analyze copy (select * from ps) to '{}'",
            file.display()
        ),
        "set datafusion.catalog.format = 'csv'".to_owned(),
        "prepare p as select * from ps".to_owned(),
        "select * from '/etc/passwd'".to_owned(),
        "select 1; select 2".to_owned(),
    ];
    for sql in refused {
        assert!(Query::new(&sql).is_err(), "{sql}");
    }
    assert!(!file.exists());
}

#[test]
fn a_question_about_the_tables_needs_no_snapshots() {
    let (answer, _) = ask_of(&[], "describe handles");
    let text = lines(&answer).join("\n");
    assert!(
        text.contains("taskd UInt64") && text.contains("absent Utf8"),
        "{text}"
    );
    let (answer, _) = ask_of(
        &[],
        "select count(*) from information_schema.columns where table_name = 'manifest'",
    );
    assert_eq!(lines(&answer), ["15"]);
}
