//! Whole runs over the golden snapshots of the repository.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use osier::{Options, Progress};
use osier_fleet::{Asking, Event, Probe, RunError, RunOptions, Status, Summary, TableFormat, run};
use serde_json::Value;

const TABLES: [&str; 6] = ["ps", "handles", "current", "threads", "modules", "maps"];

/// A folder of the test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fleet-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn golden() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots");
    let kernels = [
        "deb11-5.10-686",
        "deb11-5.10-686-pae",
        "deb11-5.10-amd64",
        "deb12-6.1-amd64",
        "deb13-6.12-amd64",
    ];
    kernels
        .map(|name| folder.join(format!("{name}.elf")))
        .to_vec()
}

fn options(out: PathBuf, jobs: usize) -> RunOptions {
    RunOptions::new(Asking::new(Options::default(), jobs), out)
}

fn quietly(paths: &[PathBuf], options: &RunOptions) -> Summary {
    run(paths, options, &mut |_| {}).unwrap()
}

fn manifest(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("manifest.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn reasons(entry: &Value) -> String {
    entry["why"].to_string()
}

#[test]
fn rows_are_those_of_the_single_commands() {
    let scratch = Scratch::new("rows");
    let out = scratch.join("out");
    let summary = quietly(&golden(), &options(out.clone(), 2));
    assert_eq!((summary.complete, summary.snapshots()), (5, 5));
    let manifest = manifest(&out);
    for table in TABLES {
        let mut wanted = String::new();
        for (snapshot, entry) in golden().iter().zip(&manifest) {
            let rows = snapshot.with_extension("").join(format!("{table}.jsonl"));
            let rows = fs::read_to_string(rows).unwrap();
            let (name, id) = (entry["snapshot"].as_str(), entry["id"].as_str());
            let label = format!(
                "{{\"snapshot\":\"{}\",\"id\":\"{}\",",
                name.unwrap(),
                id.unwrap()
            );
            assert_eq!(entry["rows"][table], rows.lines().count());
            for row in rows.lines() {
                wanted.push_str(&label);
                wanted.push_str(row.strip_prefix('{').unwrap());
                wanted.push('\n');
            }
        }
        let rows = fs::read_to_string(out.join(format!("{table}.jsonl"))).unwrap();
        assert!(rows == wanted, "{table}: the fleet's rows differ");
    }
}

#[test]
fn tables_do_not_depend_on_the_number_of_jobs() {
    let scratch = Scratch::new("jobs");
    // The same machines under more names, so that later ones overtake earlier ones.
    let links = scratch.join("links");
    fs::create_dir(&links).unwrap();
    for (number, snapshot) in golden().iter().cycle().take(15).enumerate() {
        let real = fs::canonicalize(snapshot).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(real, links.join(format!("{number:02}.elf"))).unwrap();
        #[cfg(not(unix))]
        fs::copy(real, links.join(format!("{number:02}.elf"))).unwrap();
    }
    for to in [TableFormat::Jsonl, TableFormat::Csv] {
        let outs = [1, 2, 3].map(|jobs| {
            let out = scratch.join(&format!("{}{jobs}", to.extension()));
            let options = RunOptions {
                to,
                ..options(out.clone(), jobs)
            };
            assert_eq!(quietly(std::slice::from_ref(&links), &options).complete, 15);
            out
        });
        for table in TABLES {
            let [one, two, three] = outs
                .clone()
                .map(|out| fs::read(out.join(format!("{table}.{}", to.extension()))).unwrap());
            assert!(!one.is_empty() && one == two && one == three, "{table}");
        }
    }
}

#[test]
fn csv_has_one_header_and_every_row() {
    let scratch = Scratch::new("csv");
    let out = scratch.join("out");
    let options = RunOptions {
        to: TableFormat::Csv,
        ..options(out.clone(), 2)
    };
    quietly(&golden()[..2], &options);
    let text = fs::read_to_string(out.join("modules.csv")).unwrap();
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    assert_eq!(lines[0], "snapshot,id,name,base,size,file,modd,absent,hex");
    let rows = manifest(&out)
        .iter()
        .map(|e| e["rows"]["modules"].as_u64().unwrap())
        .sum::<u64>();
    assert_eq!(lines.len() as u64, rows + 1);
    assert!(lines[1].starts_with("deb11-5.10-686.elf,"), "{}", lines[1]);
}

#[test]
fn each_failure_is_one_row_and_everything_else_is_complete() {
    let scratch = Scratch::new("failures");
    let snapshots = scratch.join("snapshots");
    fs::create_dir(&snapshots).unwrap();
    let golden = golden();
    for (name, from) in [("a-good", 0), ("c-panics", 2), ("e-good", 4)] {
        fs::copy(&golden[from], snapshots.join(format!("{name}.elf"))).unwrap();
    }
    let whole = fs::read(&golden[3]).unwrap();
    fs::write(snapshots.join("b-cut.elf"), &whole[..4096]).unwrap();
    fs::write(snapshots.join("notes.txt"), "no snapshot").unwrap();
    let missing = scratch.join("missing.elf");
    let notes = snapshots.join("notes.txt");
    let out = scratch.join("out");
    let mut options = options(out.clone(), 2);
    options.asking.probe = Some(Probe(Arc::new(|path: &Path| {
        assert!(!path.ends_with("c-panics.elf"), "a reader gave up");
    })));
    let mut seen = Vec::new();
    let summary = run(&[snapshots, missing, notes], &options, &mut |event| {
        if let Event::Finished { name, status, .. } = event {
            seen.push((name.to_owned(), status));
        }
    });
    let summary = summary.unwrap();
    let wanted = [
        ("a-good.elf", Status::Complete, ""),
        (
            "b-cut.elf",
            Status::Failed,
            "the file is damaged or cut short",
        ),
        (
            "c-panics.elf",
            Status::Failed,
            "the reader panicked: a reader gave up",
        ),
        ("e-good.elf", Status::Complete, ""),
        ("notes.txt", Status::Skipped, "a text file"),
        ("missing.elf", Status::Failed, "No such file"),
    ];
    let names: Vec<(String, Status)> = wanted.iter().map(|w| (w.0.to_owned(), w.1)).collect();
    assert_eq!(seen, names);
    for ((name, status, why), entry) in wanted.iter().zip(manifest(&out)) {
        assert_eq!(entry["snapshot"], *name);
        assert_eq!(entry["status"], status.word());
        assert!(reasons(&entry).contains(why), "{name}: {}", reasons(&entry));
        assert_eq!(
            entry["rows"].as_object().unwrap().is_empty(),
            *status != Status::Complete
        );
    }
    assert_eq!(
        (summary.failed, summary.skipped, summary.others.len()),
        (3, 1, 0)
    );
    let rows = fs::read_to_string(out.join("ps.jsonl")).unwrap();
    assert!(
        rows.lines().all(|row| row.contains("-good.elf")),
        "rows of failed snapshots"
    );
}

#[test]
fn files_of_folders_that_are_no_snapshots_are_left_out() {
    let scratch = Scratch::new("others");
    fs::write(scratch.join("notes.txt"), "no snapshot").unwrap();
    // As long as raw memory could be.
    fs::write(scratch.join("noise"), vec![b'x'; 2 << 20]).unwrap();
    let alone = run(
        std::slice::from_ref(&scratch.0),
        &options(scratch.join("out"), 1),
        &mut |_| {},
    );
    assert!(
        matches!(alone, Err(RunError::Nothing { looked: 2 })),
        "{alone:?}"
    );
    fs::copy(&golden()[0], scratch.join("one.elf")).unwrap();
    let summary = quietly(
        std::slice::from_ref(&scratch.0),
        &options(scratch.join("out"), 1),
    );
    assert_eq!(
        (summary.complete, summary.snapshots(), summary.others.len()),
        (1, 1, 2)
    );
}

#[test]
fn limits_stop_a_snapshot_and_keep_what_there_is() {
    let scratch = Scratch::new("limits");
    let out = scratch.join("out");
    let mut small = options(out.clone(), 1);
    small.asking.memory_limit = 100_000;
    assert_eq!(quietly(&golden()[..1], &small).partial, 1);
    let entry = &manifest(&out)[0];
    assert!(
        reasons(entry).contains("memory limit of 100000 bytes"),
        "{entry}"
    );
    let count = |table: &str| {
        let rows = fs::read_to_string(out.join(format!("{table}.jsonl"))).unwrap();
        rows.lines().count()
    };
    assert_eq!((count("ps"), count("modules")), (93, 8));
    assert!(
        count("maps") > 100 && count("maps") < 1272,
        "{}",
        count("maps")
    );
    assert_eq!(
        entry["ends"]["maps"].as_array().unwrap().last().unwrap()["how"],
        "stopped"
    );

    let mut late = options(out.clone(), 1);
    late.asking.time_limit = Some(Duration::from_secs(1));
    late.asking.probe = Some(Probe(Arc::new(|_| {
        std::thread::sleep(Duration::from_millis(1100));
    })));
    assert_eq!(quietly(&golden()[..1], &late).failed, 1);
    let why = reasons(&manifest(&out)[0]);
    let late_opening = "time limit of 1s was over before it was opened";
    assert!(why.contains(late_opening), "{why}");

    // The first pass has no more time.
    let mut late = options(out.clone(), 1);
    late.asking.time_limit = Some(Duration::from_nanos(1));
    assert_eq!(quietly(&golden()[..1], &late).failed, 1);
    let why = reasons(&manifest(&out)[0]);
    assert!(
        why.contains("time limit of 1ns was over before it was opened"),
        "{why}"
    );
}

/// A file of `members` bzip2 members, each of 8 MiB that compress to next to nothing.
fn bomb(file: &Path, members: usize) {
    let mut packed = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    let piece: Vec<u8> = (0..1_u32 << 18)
        .flat_map(|n| (n % 251).to_le_bytes())
        .collect();
    for _ in 0..8 {
        packed.write_all(&piece).unwrap();
    }
    let member = packed.finish().unwrap();
    fs::write(file, member.repeat(members)).unwrap();
}

#[test]
fn the_time_limit_holds_while_a_file_is_unpacked() {
    let scratch = Scratch::new("bomb");
    let file = scratch.join("big.bz2");
    bomb(&file, 256);
    let out = scratch.join("out");
    let mut short = options(out.clone(), 1);
    short.asking.time_limit = Some(Duration::from_millis(300));
    let began = Instant::now();
    assert_eq!(quietly(std::slice::from_ref(&file), &short).failed, 1);
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    let why = reasons(&manifest(&out)[0]);
    let over = "time limit of 300ms was over before it was opened";
    assert!(why.contains(over), "{why}");
}

#[test]
fn what_must_be_unpacked_is_unpacked_once() {
    let scratch = Scratch::new("once");
    let file = scratch.join("one.elf.gz");
    let packed = fs::File::create(&file).unwrap();
    let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
    packed.write_all(&fs::read(&golden()[0]).unwrap()).unwrap();
    packed.finish().unwrap();
    let mut once = options(scratch.join("out"), 1);
    let steps = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let begun = steps.clone();
    once.asking.sessions.progress = Progress::new(move |step, done, _| {
        if step == "unpacking" && done == 0 {
            begun.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    assert_eq!(quietly(std::slice::from_ref(&file), &once).complete, 1);
    assert_eq!(steps.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn an_interrupted_run_of_another_kind_is_not_gone_on_with() {
    let scratch = Scratch::new("other-run");
    let out = scratch.join("out");
    let stopped = options(out.clone(), 1);
    // A journal that cannot be written to its end stops a run.
    fs::create_dir_all(out.join(".osier-run")).unwrap();
    fs::write(out.join(".osier-run/journal"), "of something else\n").unwrap();
    let refused = run(&golden()[..1], &stopped, &mut |_| {});
    assert!(matches!(refused, Err(RunError::OtherRun(_))), "{refused:?}");
    let fresh = RunOptions {
        fresh: true,
        ..stopped
    };
    assert_eq!(quietly(&golden()[..1], &fresh).complete, 1);
    assert!(!out.join(".osier-run").exists(), "nothing is left behind");
}

/// A table of an earlier run that this one does not write stays, and is told.
#[test]
fn tables_of_an_earlier_run_are_told() {
    let scratch = Scratch::new("stale");
    let out = scratch.join("out");
    let first = options(out.clone(), 1);
    assert_eq!(
        quietly(&golden()[..1], &first).stale,
        [""; 0].map(PathBuf::from)
    );
    let csv = RunOptions {
        to: TableFormat::Csv,
        ..first
    };
    let stale = quietly(&golden()[..1], &csv).stale;
    assert!(stale.contains(&out.join("ps.jsonl")), "{stale:?}");
    assert!(stale.iter().all(|path| path.is_file()), "{stale:?}");
}

#[test]
fn a_file_that_no_run_wrote_is_not_replaced() {
    let scratch = Scratch::new("foreign");
    let out = scratch.join("out");
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("ps.jsonl"), "mine\n").unwrap();
    let mine = options(out.clone(), 1);
    let refused = run(&golden()[..1], &mine, &mut |_| {});
    let Err(RunError::Foreign(file)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(file, out.join("ps.jsonl"));
    assert_eq!(fs::read(&file).unwrap(), b"mine\n");
    assert!(!out.join(".osier-run").exists());
    // Nor by a file that has a manifest's name and is not one.
    fs::write(out.join("manifest.jsonl"), "{\"mine\":1}\n").unwrap();
    let refused = run(&golden()[..1], &mine, &mut |_| {});
    assert!(matches!(refused, Err(RunError::Foreign(_))), "{refused:?}");
    assert_eq!(fs::read(&file).unwrap(), b"mine\n");
    fs::remove_file(out.join("manifest.jsonl")).unwrap();
    // Those of a run are.
    fs::remove_file(&file).unwrap();
    assert_eq!(quietly(&golden()[..1], &mine).complete, 1);
    assert_eq!(quietly(&golden()[..1], &mine).complete, 1);
}

/// A link where runs keep their work leads to somebody's folder: nothing in it is cleared.
#[cfg(unix)]
#[test]
fn a_link_to_another_folder_is_not_cleared() {
    let scratch = Scratch::new("linked-work");
    let (out, other) = (scratch.join("out"), scratch.join("other"));
    for folder in [&out, &other] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(other.join("journal"), "mine\n").unwrap();
    std::os::unix::fs::symlink(&other, out.join(".osier-run")).unwrap();
    for fresh in [false, true] {
        let options = RunOptions {
            fresh,
            ..options(out.clone(), 1)
        };
        let refused = run(&golden()[..1], &options, &mut |_| {});
        assert!(
            matches!(refused, Err(RunError::Begin { .. })),
            "{refused:?}"
        );
        assert_eq!(fs::read(other.join("journal")).unwrap(), b"mine\n");
    }
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "the two runs stand for two processes"
)]
fn two_runs_into_one_folder_are_kept_apart() {
    let scratch = Scratch::new("busy");
    let out = scratch.join("out");
    let (begun, wait) = std::sync::mpsc::channel();
    let (go_on, paused) = std::sync::mpsc::channel::<()>();
    let (begun, paused) = (std::sync::Mutex::new(begun), std::sync::Mutex::new(paused));
    let mut first = options(out.clone(), 1);
    first.asking.probe = Some(Probe(Arc::new(move |_| {
        begun.lock().unwrap().send(()).unwrap();
        paused.lock().unwrap().recv().unwrap();
    })));
    let running = std::thread::spawn(move || quietly(&golden()[..1], &first));
    wait.recv().unwrap();
    // By whatever path.
    let path = scratch.join("out/../out");
    let second = run(&golden()[1..2], &options(path, 1), &mut |_| {});
    assert!(matches!(second, Err(RunError::Busy(_))), "{second:?}");
    go_on.send(()).unwrap();
    assert_eq!(running.join().unwrap().complete, 1);
    assert_eq!(manifest(&out)[0]["snapshot"], "deb11-5.10-686.elf");
    // And the lock goes with its run.
    assert_eq!(quietly(&golden()[1..2], &options(out, 1)).complete, 1);
}

#[test]
fn what_was_damaged_meanwhile_is_read_again() {
    let scratch = Scratch::new("damaged");
    let expected = scratch.join("expected");
    quietly(&golden(), &options(expected.clone(), 1));
    // Somewhere in each table, and in the journal.
    let damaged = [("ps.jsonl", 10), ("maps.jsonl", 50_000), ("journal", 700)];
    for (name, at) in damaged {
        let out = scratch.join(&format!("out-{name}"));
        let stopped = std::panic::catch_unwind(|| {
            run(&golden(), &options(out.clone(), 1), &mut |event| {
                if let Event::Finished { done: 3, .. } = event {
                    std::panic::resume_unwind(Box::new("interrupted"));
                }
            })
        });
        assert!(stopped.is_err());
        let file = out.join(".osier-run").join(name);
        let mut bytes = fs::read(&file).unwrap();
        bytes[at] ^= 1;
        fs::write(&file, bytes).unwrap();
        let mut resumed = 0;
        let summary = run(&golden(), &options(out.clone(), 1), &mut |event| {
            if let Event::Resumed { done, .. } = event {
                resumed = done;
            }
        });
        assert_eq!(summary.unwrap().complete, 5, "{name}");
        assert!(resumed < 3, "{name}: {resumed} were believed");
        for table in TABLES {
            let file = format!("{table}.jsonl");
            let same =
                fs::read(out.join(&file)).unwrap() == fs::read(expected.join(&file)).unwrap();
            assert!(same, "{name} was damaged, and {table} differs");
        }
    }
}

#[test]
fn jobs_are_as_many_as_help() {
    let scratch = Scratch::new("jobs");
    let summary = quietly(&golden()[..2], &options(scratch.join("out"), 1_000_000));
    assert_eq!(summary.complete, 2);
}

#[test]
fn the_id_is_of_the_contents_when_they_are_hashed() {
    let scratch = Scratch::new("hash");
    let out = scratch.join("out");
    for name in ["one.elf", "two.elf"] {
        fs::copy(&golden()[0], scratch.join(name)).unwrap();
    }
    let ids = |hash| {
        let mut options = options(out.clone(), 1);
        options.asking.hash = hash;
        quietly(
            &[scratch.join("one.elf"), scratch.join("two.elf")],
            &options,
        );
        let entries = manifest(&out);
        [0, 1].map(|at: usize| entries[at]["id"].as_str().unwrap().to_owned())
    };
    let [one, two] = ids(true);
    assert_eq!((&one, one.len()), (&two, 32));
    assert_eq!(ids(false)[0].len(), 16);
}

#[test]
fn a_root_gives_names_that_do_not_depend_on_the_run() {
    let scratch = Scratch::new("root");
    for machine in ["a", "b"] {
        fs::create_dir_all(scratch.join("dumps").join(machine)).unwrap();
        fs::copy(
            &golden()[3],
            scratch.join("dumps").join(machine).join("mem.elf"),
        )
        .unwrap();
    }
    let run_of = |paths: &[&str], root: &str| {
        let out = scratch.join("out");
        let mut options = options(out.clone(), 1);
        options.asking.root = Some(scratch.join(root));
        let paths: Vec<PathBuf> = paths.iter().map(|path| scratch.join(path)).collect();
        run(&paths, &options, &mut |_| {}).map(|_| {
            let names = manifest(&out);
            let names = names
                .iter()
                .map(|entry| entry["snapshot"].as_str().unwrap().to_owned());
            names.collect::<Vec<_>>()
        })
    };
    assert_eq!(run_of(&["dumps/a"], "dumps").unwrap(), ["a/mem.elf"]);
    assert_eq!(
        run_of(&["dumps/b/mem.elf"], "dumps").unwrap(),
        ["b/mem.elf"]
    );
    assert_eq!(
        run_of(&["dumps"], "dumps").unwrap(),
        ["a/mem.elf", "b/mem.elf"]
    );
    fs::remove_dir_all(scratch.join("out")).unwrap();
    let refused = run_of(&["dumps/a", "dumps/b"], "dumps/b");
    assert!(
        matches!(refused, Err(RunError::NotBelow { .. })),
        "{refused:?}"
    );
    assert!(!scratch.join("out").exists(), "nothing was begun");
}

#[cfg(feature = "parquet")]
mod typed {
    use std::fs::File;

    use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{TimestampMicrosecondType, UInt64Type};
    use arrow_array::{Array, RecordBatch};
    use arrow_schema::DataType;
    use serde_json::{Map, Value, json};

    use super::*;

    fn batches(file: &Path) -> (usize, Vec<RecordBatch>) {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
        let groups = builder.metadata().num_row_groups();
        let reader = builder.build().unwrap();
        (groups, reader.map(Result::unwrap).collect())
    }

    /// A row as `docs/tables.md` says that JSON's fields are typed.
    fn row(batch: &RecordBatch, number: usize) -> Value {
        let mut row = Map::new();
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let name = field.name().clone();
            let hidden = name == "absent" || name.ends_with("_hex");
            if column.is_null(number) {
                if !hidden {
                    row.insert(name, Value::Null);
                }
                continue;
            }
            let value = match field.data_type() {
                DataType::UInt64 => {
                    let value = column.as_primitive::<UInt64Type>().value(number);
                    let address = ["taskd", "asid", "pgd", "task", "base", "modd", "flags"];
                    if address.contains(&name.as_str()) {
                        json!(format!("{value:#x}"))
                    } else {
                        json!(value)
                    }
                }
                DataType::Boolean => json!(column.as_boolean().value(number)),
                DataType::Timestamp(..) => {
                    let value = column
                        .as_primitive::<TimestampMicrosecondType>()
                        .value(number);
                    json!(osier::format::iso8601(value.checked_mul(1000).unwrap()))
                }
                DataType::Utf8 => json!(column.as_string::<i32>().value(number)),
                other => panic!("{name}: {other}"),
            };
            let value = match value.as_str().filter(|_| name == "absent") {
                Some(text) => serde_json::from_str(text).unwrap(),
                None => value,
            };
            row.insert(name, value);
        }
        Value::Object(row)
    }

    #[test]
    fn rows_are_those_of_json_lines() {
        let scratch = Scratch::new("parquet");
        let (text, typed) = (scratch.join("text"), scratch.join("typed"));
        quietly(&golden(), &options(text.clone(), 2));
        let to_parquet = RunOptions {
            to: TableFormat::Parquet,
            row_group: 3000,
            ..options(typed.clone(), 2)
        };
        assert_eq!(quietly(&golden(), &to_parquet).complete, 5);
        for table in TABLES {
            let (groups, batches) = batches(&typed.join(format!("{table}.parquet")));
            // Five snapshots of 1,570 to 1,680 rows each: two, two, and one.
            assert_eq!(groups, 3, "{table}");
            let mut got = batches
                .iter()
                .flat_map(|batch| (0..batch.num_rows()).map(|number| row(batch, number)));
            let lines = fs::read_to_string(text.join(format!("{table}.jsonl"))).unwrap();
            for line in lines.lines() {
                let mut wanted: Value = serde_json::from_str(line).unwrap();
                let mut got = got.next().unwrap();
                // Columns of another operating system's rows are null.
                let (wanted, got) = (
                    wanted.as_object_mut().unwrap(),
                    got.as_object_mut().unwrap(),
                );
                got.retain(|name, value| !value.is_null() || wanted.contains_key(name));
                // Columns have whole microseconds.
                if let Some(Value::String(start)) = wanted.get_mut("start") {
                    start.replace_range(26..29, "000");
                }
                assert_eq!(got, wanted, "{table}");
            }
            assert!(got.next().is_none(), "{table}");
        }
    }

    #[test]
    fn files_do_not_depend_on_the_number_of_jobs() {
        let scratch = Scratch::new("parquet-jobs");
        let outs = [1, 2].map(|jobs| {
            let out = scratch.join(&jobs.to_string());
            let options = RunOptions {
                to: TableFormat::Parquet,
                row_group: 4000,
                ..options(out.clone(), jobs)
            };
            quietly(&golden(), &options);
            out
        });
        for table in TABLES {
            let [one, two] = outs
                .clone()
                .map(|out| fs::read(out.join(format!("{table}.parquet"))).unwrap());
            assert!(one == two, "{table}");
        }
    }

    #[test]
    fn a_table_without_rows_is_a_table() {
        let scratch = Scratch::new("parquet-empty");
        let out = scratch.join("out");
        let nothing = RunOptions {
            to: TableFormat::Parquet,
            ..options(out.clone(), 1)
        };
        assert_eq!(quietly(&[scratch.join("missing.elf")], &nothing).failed, 1);
        let (groups, _) = batches(&out.join("ps.parquet"));
        assert_eq!(groups, 0);
    }

    #[test]
    fn a_failure_costs_its_row_group_nothing() {
        let scratch = Scratch::new("parquet-failures");
        let whole = fs::read(&golden()[3]).unwrap();
        for (name, bytes) in [("head.elf", 4096), ("half.elf", whole.len() / 2)] {
            fs::write(scratch.join(name), &whole[..bytes]).unwrap();
        }
        let good = |at: usize| golden()[at].clone();
        let (head, half) = (scratch.join("head.elf"), scratch.join("half.elf"));
        let to_parquet = |out: &str| RunOptions {
            to: TableFormat::Parquet,
            ..options(scratch.join(out), 2)
        };
        let mut bad = to_parquet("bad");
        bad.asking.probe = Some(Probe(Arc::new(|path: &Path| {
            assert!(
                !path.ends_with("deb11-5.10-686-pae.elf"),
                "a reader gave up"
            );
        })));
        let paths = [good(0), head, good(1), good(2), half, good(4)];
        let summary = quietly(&paths, &bad);
        assert_eq!((summary.complete, summary.snapshots()), (3, 6));
        let statuses: Vec<Value> = manifest(&scratch.join("bad"))
            .iter()
            .map(|entry| entry["status"].clone())
            .collect();
        assert_eq!(statuses[..4], ["complete", "failed", "failed", "complete"]);
        assert!(statuses[4] != "complete" && statuses[5] == "complete");
        // The half has rows where it lost none of its pages; what is complete is as without it.
        quietly(&[good(0), good(2), good(4)], &to_parquet("good"));
        for table in TABLES {
            let rows = |out: &str| -> Vec<Value> {
                let (_, batches) = batches(&scratch.join(out).join(format!("{table}.parquet")));
                let rows = batches
                    .iter()
                    .flat_map(|batch| (0..batch.num_rows()).map(|number| row(batch, number)));
                rows.filter(|row| row["snapshot"] != "half.elf").collect()
            };
            assert_eq!(rows("bad"), rows("good"), "{table}");
        }
    }
}
