//! A run over many links to snapshots, and the programs that read its tables.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use osier_testkit::{data, ignore};
use wait4::Wait4;

const TABLES: [&str; 6] = ["ps", "handles", "current", "threads", "modules", "maps"];

const DISTILLED: [&str; 5] = [
    "deb11-5.10-686",
    "deb11-5.10-686-pae",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];

/// Full snapshots: an archive of real data and the file in it.
pub(crate) const FULL: [(&str, &str); 4] = [
    ("deb12-6.1-amd64", "memory.elf"),
    ("deb12-6.1-amd64", "memory.savevm"),
    ("deb13-6.12-amd64", "memory.raw"),
    ("deb11-5.10-amd64", "memory.elf"),
];

/// Links to snapshots, and what they are links to.
struct Fleet {
    folder: PathBuf,
    /// By the name that rows have.
    links: BTreeMap<String, PathBuf>,
}

impl Fleet {
    /// `count` links to the distilled snapshots in turn, a full one between them now and then when
    /// `full` are at hand.
    fn new(name: &str, count: usize, full: &[PathBuf]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("thousand-{name}"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("links")).unwrap();
        let snapshots = fs::canonicalize(data::workspace().join("snapshots")).unwrap();
        let mut links = BTreeMap::new();
        for number in 0..count {
            let name = format!("{number:04}");
            let (turn, rest) = (number / 50, number % 50);
            let target = match full.get(turn) {
                Some(full) if rest == 49 => full.clone(),
                _ => snapshots.join(format!("{}.elf", DISTILLED[number % DISTILLED.len()])),
            };
            symlink(&target, folder.join("links").join(&name)).unwrap();
            links.insert(name, target);
        }
        Self { folder, links }
    }

    fn osier(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_osier"));
        command
            .current_dir(&self.folder)
            .env("XDG_CACHE_HOME", self.folder.join("cache"))
            .env_remove("OSIER_PROFILES")
            .stdin(Stdio::null());
        command
    }

    /// Runs over all links with so many jobs, and gives what it cost.
    fn run(&self, out: &str, jobs: usize) -> Cost {
        let jobs = jobs.to_string();
        let began = Instant::now();
        let ran = self
            .osier()
            .args([
                "run", "links", "-q", "--to", "parquet", "-o", out, "--jobs", &jobs,
            ])
            .spawn()
            .unwrap()
            .wait4()
            .unwrap();
        assert!(ran.status.success(), "{out}: {:?}", ran.status);
        Cost {
            wall: began.elapsed(),
            cpu: ran.rusage.utime + ran.rusage.stime,
            peak: ran.rusage.maxrss,
        }
    }

    /// Writes what the single-snapshot commands print of each snapshot, for `read_tables.py`.
    fn write_reference(&self) {
        let reference = self.folder.join("reference");
        let mut folders: BTreeMap<&PathBuf, String> = BTreeMap::new();
        let mut names = Vec::new();
        for (name, target) in &self.links {
            let next = folders.len().to_string();
            let folder = folders.entry(target).or_insert(next);
            names.push(format!("\"{name}\": \"{folder}\""));
        }
        for (target, folder) in folders {
            fs::create_dir_all(reference.join(&folder)).unwrap();
            for table in TABLES {
                let mut single = self.osier();
                single.args([table, "--format", "jsonl"]).arg(target);
                let rows = single.output().unwrap();
                assert!(rows.status.success(), "{table} of {}", target.display());
                let file = reference.join(&folder).join(format!("{table}.jsonl"));
                fs::write(file, rows.stdout).unwrap();
            }
        }
        let names = format!("{{{}}}", names.join(",\n"));
        fs::write(reference.join("names.json"), names).unwrap();
    }

    /// What pyarrow and DuckDB say of the tables in `out`; the error says why they cannot be asked.
    fn read_by_others(&self, out: &str) -> Result<String, String> {
        let python = std::env::var_os("OSIER_PYTHON").unwrap_or_else(|| "python3".into());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/thousand/read_tables.py");
        let read = Command::new(python)
            .arg(script)
            .args([self.folder.join(out), self.folder.join("reference")])
            .output()
            .map_err(|error| format!("no Python: {error}"))?;
        let said = String::from_utf8(read.stdout).unwrap();
        if read.status.code() == Some(77) {
            let said = said.trim();
            return Err(format!(
                "{said}; pip install pyarrow duckdb, and OSIER_PYTHON may name it"
            ));
        }
        let wrong = String::from_utf8(read.stderr).unwrap();
        assert!(read.status.success(), "{said}{wrong}");
        Ok(said)
    }

    fn assert_same_tables(&self, one: &str, other: &str) {
        for table in TABLES {
            let [one, other] = [one, other].map(|out| {
                let file = self.folder.join(out).join(format!("{table}.parquet"));
                fs::read(file).unwrap()
            });
            assert!(!one.is_empty() && one == other, "{table}");
        }
    }

    /// The process's peak memory by the end of each snapshot, in the order of the inputs.
    fn peaks(&self, out: &str) -> Vec<u64> {
        let manifest = fs::read_to_string(self.folder.join(out).join("manifest.jsonl")).unwrap();
        let peak = |line: &str| {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(entry["status"], "complete", "{line}");
            entry["peak_bytes"].as_u64().unwrap()
        };
        manifest.lines().map(peak).collect()
    }
}

struct Cost {
    wall: Duration,
    cpu: Duration,
    /// Bytes.
    peak: u64,
}

pub(crate) fn other_programs_read_the_tables_and_find_the_rows() {
    let fleet = Fleet::new("few", 10, &[]);
    fleet.run("out", 2);
    fleet.write_reference();
    match fleet.read_by_others("out") {
        Ok(said) => assert!(
            said.contains("maps: ") && said.contains(" of 10 snapshots"),
            "{said}"
        ),
        Err(reason) => ignore!("{reason}"),
    }
}

pub(crate) fn a_thousand_snapshots() {
    const COUNT: usize = 1000;
    const ROUNDS: usize = 5;
    // Rates are of distilled snapshots.
    let distilled = Fleet::new("distilled", COUNT, &[]);
    distilled.run("warm", 2);
    let mut costs: [Vec<Cost>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (jobs, costs) in (1..).zip(&mut costs) {
            costs.push(distilled.run(&format!("jobs{jobs}"), jobs));
        }
    }
    distilled.assert_same_tables("jobs1", "jobs2");
    let count = u32::try_from(COUNT).unwrap();
    let mut walls = Vec::new();
    for (jobs, costs) in (1..).zip(&mut costs) {
        costs.sort_by_key(|cost| cost.wall);
        let wall = costs[ROUNDS / 2].wall;
        costs.sort_by_key(|cost| cost.cpu);
        let cpu = costs[ROUNDS / 2].cpu / count;
        let peak = costs.iter().map(|cost| cost.peak).max().unwrap() >> 20;
        let rate = f64::from(count) / wall.as_secs_f64();
        println!("distilled, {jobs} jobs: {rate:.0} a second, {cpu:?} of CPU each, {peak} MiB");
        walls.push(wall);
    }
    let faster = walls[0].as_secs_f64() / walls[1].as_secs_f64();
    println!("distilled: 2 jobs are {faster:.2} times as fast as 1 (medians of {ROUNDS})");

    let full = FULL.map(|(archive, file)| data::folder(archive).unwrap().join(file));
    let mixed = Fleet::new("mixed", COUNT, &full);
    for jobs in [1, 2] {
        let cost = mixed.run(&format!("jobs{jobs}"), jobs);
        let peak = cost.peak >> 20;
        println!(
            "{} full among them, {jobs} jobs: {:?}, {peak} MiB",
            full.len(),
            cost.wall
        );
        assert!(peak < 300, "{peak} MiB");
        let peaks = mixed.peaks(&format!("jobs{jobs}"));
        let (early, late) = (peaks[99] >> 20, peaks[COUNT - 1] >> 20);
        println!("by the 100th {early} MiB, by the last {late} MiB");
    }
    mixed.assert_same_tables("jobs1", "jobs2");
    mixed.write_reference();
    match mixed.read_by_others("jobs2") {
        Ok(said) => print!("{said}"),
        Err(reason) => ignore!("{reason}"),
    }
}
