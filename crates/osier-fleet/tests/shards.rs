//! Parts of a run, and what they are put together to.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

use osier::Options;
use osier_fleet::{
    Asking, MergeError, RunError, RunOptions, Shard, Summary, TableFormat, merge, run,
};

const TABLES: [&str; 6] = ["ps", "handles", "current", "threads", "modules", "maps"];

/// A folder of the test's own, with eleven inputs: snapshots of five kernels, one of them torn, and two files that
/// are none.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shards-{name}"));
        let _ = fs::remove_dir_all(&path);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots");
        let kernels = [
            "deb11-5.10-686",
            "deb11-5.10-686-pae",
            "deb11-5.10-amd64",
            "deb12-6.1-amd64",
            "deb13-6.12-amd64",
        ];
        for (number, kernel) in kernels.iter().cycle().take(8).enumerate() {
            let to = path.join(format!("dumps/{}/{number}.elf", number % 3));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(folder.join(format!("{kernel}.elf")), to).unwrap();
        }
        let whole = fs::read(path.join("dumps/0/0.elf")).unwrap();
        fs::write(path.join("dumps/1/torn.elf"), &whole[..whole.len() / 2]).unwrap();
        fs::write(path.join("dumps/0/notes.txt"), "no snapshot").unwrap();
        fs::write(path.join("dumps/2/notes.txt"), "no snapshot").unwrap();
        Self(path)
    }

    fn options(&self, out: &str, to: TableFormat) -> RunOptions {
        let asking = Asking {
            root: Some(self.0.join("dumps")),
            ..Asking::new(Options::default(), 2)
        };
        RunOptions {
            to,
            row_group: 3000,
            ..RunOptions::new(asking, self.0.join(out))
        }
    }

    fn run(&self, options: &RunOptions) -> Summary {
        run(&[self.0.join("dumps")], options, &mut |_| {}).unwrap()
    }

    fn part(&self, out: &str, to: TableFormat, shard: &str) -> RunOptions {
        let mut options = self.options(out, to);
        options.asking.shard = Some(shard.parse().unwrap());
        self.run(&options);
        options
    }

    /// A run's files as it leaves them, the manifest without the two fields that no two runs share.
    fn files(&self, out: &str, to: TableFormat) -> Vec<Vec<u8>> {
        let out = self.0.join(out);
        let table =
            |table: &&str| fs::read(out.join(format!("{table}.{}", to.extension()))).unwrap();
        let mut files: Vec<Vec<u8>> = TABLES.iter().map(table).collect();
        let manifest = fs::read_to_string(out.join("manifest.jsonl")).unwrap();
        let steady = |line: &str| line.split_once(",\"elapsed_ms\"").unwrap().0.to_owned();
        let lines: Vec<String> = manifest.lines().map(steady).collect();
        files.push(lines.join("\n").into_bytes());
        files
    }

    fn merged(&self, folders: &[&str]) -> Result<Summary, MergeError> {
        let folders: Vec<PathBuf> = folders.iter().map(|folder| self.0.join(folder)).collect();
        merge(&folders, &self.0.join("merged"))
    }

    fn refused(&self, folders: &[&str], why: &str) {
        let error = self.merged(folders).unwrap_err().to_string();
        assert!(error.contains(why), "{error}, not {why}");
        assert!(
            !self.0.join("merged").exists(),
            "{why}: something was written"
        );
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn formats() -> Vec<TableFormat> {
    vec![
        TableFormat::Jsonl,
        TableFormat::Csv,
        #[cfg(feature = "parquet")]
        TableFormat::Parquet,
    ]
}

#[test]
fn parts_are_put_together_to_the_bytes_of_one_run() {
    for to in formats() {
        let scratch = Scratch::new(to.extension());
        let whole = scratch.run(&scratch.options("whole", to));
        assert_eq!((whole.complete, whole.failed, whole.snapshots()), (8, 1, 9));
        // Of twenty parts some have no input, and some only a file that is no snapshot.
        for of in [1_u32, 3, 20] {
            for number in (1..=of).rev() {
                let folder = if number % 2 == 0 { "even" } else { "odd" };
                scratch.part(folder, to, &format!("{number}/{of}"));
            }
            let folders: &[&str] = if of == 1 { &["odd"] } else { &["even", "odd"] };
            let merged = scratch.merged(folders).unwrap();
            assert_eq!((merged.complete, merged.failed), (8, 1), "{to:?} of {of}");
            let (got, wanted) = (scratch.files("merged", to), scratch.files("whole", to));
            for (file, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
                assert!(got == wanted, "{to:?} of {of}: file {file} differs");
            }
            for folder in ["even", "odd", "merged"] {
                let _ = fs::remove_dir_all(scratch.0.join(folder));
            }
        }
    }
}

#[test]
fn a_file_that_no_run_wrote_is_not_merged_over() {
    let scratch = Scratch::new("foreign");
    scratch.part("a", TableFormat::Jsonl, "1/1");
    let merged = scratch.0.join("merged");
    fs::create_dir_all(&merged).unwrap();
    fs::write(merged.join("ps.jsonl"), "mine\n").unwrap();
    let error = scratch.merged(&["a"]).unwrap_err().to_string();
    assert!(error.contains("no run wrote it"), "{error}");
    assert_eq!(fs::read(merged.join("ps.jsonl")).unwrap(), b"mine\n");
    fs::remove_file(merged.join("ps.jsonl")).unwrap();
    for _ in 0..2 {
        scratch.merged(&["a"]).unwrap();
    }
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let scratch = Scratch::new("refused");
    scratch.refused(&["none"], "no part of a run is here");
    let jsonl = TableFormat::Jsonl;
    scratch.part("a", jsonl, "1/3");
    scratch.part("b", jsonl, "2/3");
    scratch.refused(&["a", "b"], "1 of 3 parts are missing: 3/3");
    scratch.refused(&["b"], "2 of 3 parts are missing: 1/3 and others");
    scratch.refused(&["a", "b", "a"], "part 1/3 is there twice");
    scratch.part("c", jsonl, "3/3");
    scratch.part("d", jsonl, "1/2");
    scratch.refused(&["a", "b", "c", "d"], "numbers of parts");
    scratch.part("e", TableFormat::Csv, "3/3");
    scratch.refused(&["a", "b", "e"], "other formats");
    let mut fewer = scratch.options("f", jsonl);
    fewer.asking.shard = Shard::new(3, 3);
    fewer.asking.questions.truncate(2);
    scratch.run(&fewer);
    scratch.refused(&["a", "b", "f"], "other tables");
    let mut limited = scratch.options("g", jsonl);
    limited.asking.shard = Shard::new(3, 3);
    limited.asking.memory_limit = 1 << 20;
    scratch.run(&limited);
    scratch.refused(&["a", "b", "g"], "other options");

    // Another version, another profile of a kernel, a table that was changed.
    let said = scratch.0.join("c/shard/3-of-3.json");
    let text = fs::read_to_string(&said).unwrap();
    let version = format!("\"osier\": \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&version), "{text}");
    fs::write(&said, text.replace(&version, "\"osier\": \"0.0.9\"")).unwrap();
    scratch.refused(&["a", "b", "c"], "other versions of Osier");
    let start = text
        .find("\": \"")
        .map(|_| text.find("\"kernels\"").unwrap())
        .unwrap();
    let sum = start + text[start..].find("\": \"").unwrap() + 4;
    let mut other = text.clone();
    other.replace_range(sum..sum + 4, "zzzz");
    fs::write(&said, other).unwrap();
    scratch.refused(&["a", "b", "c"], "other types and symbols of one kernel");
    fs::write(&said, "{}").unwrap();
    scratch.refused(&["a", "b", "c"], "not the record of a part");
    fs::write(&said, text).unwrap();
    let table = scratch.0.join("b/ps/2-of-3.jsonl");
    let mut rows = fs::read(&table).unwrap();
    rows.pop();
    fs::write(&table, rows).unwrap();
    scratch.refused(&["a", "b", "c"], "it is not as it was written");
    scratch.part("b", jsonl, "2/3");

    // A snapshot more: the parts of before are of another run.
    fs::copy(
        scratch.0.join("dumps/0/0.elf"),
        scratch.0.join("dumps/2/z.elf"),
    )
    .unwrap();
    scratch.part("h", jsonl, "3/3");
    scratch.refused(&["a", "b", "h"], "other lists of inputs");
    assert_eq!(scratch.merged(&["a", "b", "c"]).unwrap().complete, 8);
}

#[test]
fn parts_share_a_folder_and_go_on_where_they_were() {
    let scratch = Scratch::new("shared");
    let options = scratch.part("out", TableFormat::Jsonl, "2/2");
    // The same part at the same time is refused, another is not.
    let again = run(&[scratch.0.join("dumps")], &options, &mut |event| {
        if matches!(event, osier_fleet::Event::Identified { .. }) {
            let twice = run(&[scratch.0.join("dumps")], &options, &mut |_| {});
            assert!(matches!(twice, Err(RunError::Busy(_))), "{twice:?}");
            scratch.part("out", TableFormat::Jsonl, "1/2");
            let whole = run(
                &[scratch.0.join("dumps")],
                &scratch.options("out", TableFormat::Jsonl),
                &mut |_| {},
            );
            assert!(matches!(whole, Err(RunError::Busy(_))), "{whole:?}");
            assert!(matches!(
                merge(&[scratch.0.join("out")], &scratch.0.join("out")),
                Err(MergeError::Run(RunError::Busy(_)))
            ));
        }
    });
    again.unwrap();
    // In the folder of the parts themselves the merged tables lie beside them.
    let merged = merge(&[scratch.0.join("out")], &scratch.0.join("out")).unwrap();
    assert_eq!(merged.complete, 8);
    let names = fs::read_dir(scratch.0.join("out")).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut wanted: Vec<String> = TABLES.iter().map(|table| (*table).to_owned()).collect();
    wanted.extend(TABLES.iter().map(|table| format!("{table}.jsonl")));
    wanted.extend(["manifest", "manifest.jsonl", "shard"].map(str::to_owned));
    wanted.sort();
    assert_eq!(names, wanted);
}
