//! Processes, threads, modules and processors of every real snapshot, against `/proc`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use osier_osi::SeenExt as _;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use osier_linux::{Linux, WANTED, locate};
use osier_osi::{FoundBy, Osi, Process, ProcessExtra, ProcessSource, Thread};
use osier_profile::{Identity, OsKind, Profile, ProfileStore};
use osier_snapshot::{OpenOptions, open};
use osier_symbols::image;
use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::each(need::snapshot, SNAPSHOTS) =>
        processes_are_those_of_proc, threads_are_those_of_proc, modules_are_those_of_proc,
        every_processor_runs_a_task_of_the_list;
    need::each(need::snapshot, RECORDINGS) => processes_are_those_that_panda_names;
}

const SNAPSHOTS: &[&str] = &[
    "deb11-5.10-686",
    "deb11-5.10-686-pae",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];

const RECORDINGS: &[&str] = &[
    "amd64-5.10",
    "amd64-5.10-kaslr-pti-running",
    "i386-5.10-nonpae",
];

/// Attaches to `file`.
fn attach(file: &Path) -> Linux {
    let snapshot = open(file, &OpenOptions::default()).unwrap();
    let machine = &snapshot.machine;
    let found = locate(machine, &[]).unwrap();
    let space = osier_memory::AddressSpace::new(
        machine.memory.clone(),
        found.mode,
        found.root,
        osier_linux::linux_policy,
    );
    let identity = Identity {
        os: OsKind::Linux,
        pointer_bytes: found.mode.pointer_bytes(),
        build_id: found.build_id.clone(),
        banner: found.banner.clone(),
        release: found.release(),
    };
    let place = image::Image {
        text: found.text,
        end: found.end,
        slide: None,
    };
    let own = image::import(&space, place, Some(&WANTED), identity);
    let profile: Arc<Profile> = match own {
        Ok(builder) => Arc::new(builder.build()),
        Err(_) => stored(found.build_id.as_ref().unwrap()),
    };
    Linux::attach(machine, &found, profile).unwrap()
}

/// A profile that ships with the project, for kernels that carry no types.
fn stored(id: &osier_profile::BuildId) -> Arc<Profile> {
    let store = ProfileStore {
        dirs: vec![osier_testkit::data::workspace().join("symbols")],
        cache: None,
        embedded: &[],
    };
    let found = store.find(id, || WANTED.fingerprint());
    found.expect("a profile in symbols/").0
}

/// Runs `check` on each container of the snapshot.
fn each(real: &Real, check: impl Fn(&str, &Path, &Linux)) {
    for container in ["memory.raw", "memory.elf", "memory.savevm"] {
        let label = format!("{}/{container}", real.name);
        check(&label, &real.path, &attach(&real.path.join(container)));
    }
}

/// A task as `/proc/PID/stat` shows it.
#[derive(Debug)]
struct Stat {
    comm: Vec<u8>,
    state: char,
    ppid: u32,
    threads: u32,
    /// Ticks of 10 ms since boot.
    start: u64,
}

fn stat(file: &Path) -> Option<Stat> {
    let text = std::fs::read(file).ok()?;
    let open = text.iter().position(|b| *b == b'(')?;
    let close = text.iter().rposition(|b| *b == b')')?;
    let comm = unescape(&text[open + 1..close]);
    let rest = std::str::from_utf8(&text[close + 2..]).unwrap();
    let rest: Vec<&str> = rest.split(' ').collect();
    Some(Stat {
        comm,
        state: rest[0].chars().next().unwrap(),
        ppid: rest[1].parse().unwrap(),
        threads: rest[17].parse().unwrap(),
        start: rest[19].parse().unwrap(),
    })
}

/// `/proc/PID/stat` writes a newline and a backslash of the name escaped.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        match (byte, rest.as_slice().first()) {
            (b'\\', Some(b'n')) => {
                out.push(b'\n');
                rest.next();
            }
            (b'\\', Some(b'\\')) => {
                out.push(b'\\');
                rest.next();
            }
            _ => out.push(*byte),
        }
    }
    out
}

fn ids(status: &Path, key: &str) -> u32 {
    let text = std::fs::read(status).unwrap();
    let line = text
        .split(|b| *b == b'\n')
        .find(|line| line.starts_with(key.as_bytes()))
        .unwrap();
    let line = std::str::from_utf8(line).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The pids (or tids) of a folder of `/proc`.
fn numbers(folder: &Path) -> BTreeSet<u32> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .collect()
}

/// Whether `/proc` and `comm` agree on a name. A kworker's name in `/proc` has its work's name
/// behind it; a thread of the kernel has its whole name there, of which `comm` holds 15 bytes
/// (Linux commit d6986ce24fc0 ("kthread: dynamically allocate memory to store kthread's full
/// name"), v5.17). Process 1 wrote the truth, and went to sleep by becoming another program.
fn same_name(pid: u32, want: &Stat, row: &[u8]) -> bool {
    let kworker = row.starts_with(b"kworker/") && want.comm.starts_with(row);
    let cut = want.ppid == 2 && row.len() == 15 && want.comm.starts_with(row);
    let writer = pid == 1 && row == b"sleep";
    want.comm == row || kworker || cut || writer
}

fn all(linux: &Linux) -> Vec<Process> {
    let mut rows = Vec::new();
    let ends = linux.processes(&mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    assert!(ends.is_complete(), "{ends:?}");
    rows
}

fn processes_are_those_of_proc(real: &Real) {
    each(real, |label, folder, linux| {
        let rows = all(linux);
        let btime: i64 = std::fs::read_to_string(folder.join("truth/stat"))
            .ok()
            .and_then(|text| {
                let line = text
                    .lines()
                    .find(|line| line.starts_with("btime"))?
                    .to_owned();
                line.split(' ').nth(1)?.parse().ok()
            })
            .unwrap_or(0);
        assert_eq!(rows[0].pid.value(), Some(0), "{label}");
        assert!(rows[0].name.get().unwrap().starts_with(b"swapper"));
        let mut seen = BTreeMap::new();
        for row in &rows {
            assert_eq!(
                row.found_by,
                FoundBy::source(ProcessSource::List).and(ProcessSource::PidTable),
                "{label}: {row:?}"
            );
            assert!(seen.insert(row.pid.value().unwrap(), row).is_none());
        }
        let truth = numbers(&folder.join("truth/p"));
        let (mut equal, mut excused) = (0, Vec::new());
        for pid in &truth {
            let place = folder.join(format!("truth/p/{pid}"));
            let Some(want) = stat(&place.join("stat")) else {
                excused.push(format!("{pid} has no stat"));
                continue;
            };
            let Some(row) = seen.remove(pid) else {
                excused.push(format!("{pid} {} is gone", want.comm.escape_ascii()));
                continue;
            };
            let ProcessExtra::Linux(more) = &row.extra else {
                panic!("{label}: not a Linux row");
            };
            let name = row.name.get().unwrap();
            assert!(
                same_name(*pid, &want, name),
                "{label} {pid}: {want:?} {name:?}"
            );
            assert_eq!(row.ppid.value(), Some(want.ppid), "{label} {pid}");
            assert_eq!(more.threads.value(), Some(want.threads), "{label} {pid}");
            let since = row.create_time.value().unwrap();
            assert_eq!(since / 10_000_000, want.start, "{label} {pid}");
            let wall = row
                .start
                .value()
                .unwrap_or_else(|| panic!("{:?}", row.start));
            let drift = wall - (btime * 1_000_000_000) - since.cast_signed();
            assert!(
                (0..1_000_000_000).contains(&drift),
                "{label} {pid}: {drift}"
            );
            let status = place.join("status");
            assert_eq!(
                more.uid.value(),
                Some(ids(&status, "Uid:")),
                "{label} {pid}"
            );
            assert_eq!(
                more.gid.value(),
                Some(ids(&status, "Gid:")),
                "{label} {pid}"
            );
            let state = more.state.value().unwrap().0;
            if state != want.state {
                // A worker that ran while the truth was written has gone back to sleep.
                let kernel_thread = more.kernel_thread.value();
                assert_eq!(kernel_thread, Some(true), "{label} {pid}: {state} {want:?}");
                excused.push(format!("{pid} state {} now {state}", want.state));
            }
            equal += 1;
        }
        for (pid, row) in &seen {
            let ProcessExtra::Linux(more) = &row.extra else {
                continue;
            };
            // pid 0 has no folder in /proc; threads of the kernel come and go.
            let kernel_thread = more.kernel_thread.value() == Some(true);
            assert!(*pid == 0 || kernel_thread, "{label}: {row:?}");
            excused.push(format!(
                "{pid} {:?} not in /proc",
                row.name.get().map(|n| n.escape_ascii().to_string())
            ));
        }
        assert!(equal + 8 >= truth.len(), "{label}: {excused:?}");
    });
}

fn threads_are_those_of_proc(real: &Real) {
    each(real, |label, folder, linux| {
        let mut equal = 0;
        let mut excused = Vec::new();
        for process in all(linux) {
            let mut rows: Vec<Thread> = Vec::new();
            let ends = linux.threads(process.taskd, &mut |row| {
                rows.push(row);
                ControlFlow::Continue(())
            });
            assert!(ends.is_complete(), "{label}: {ends:?}");
            let pid = process.pid.value().unwrap();
            assert!(
                rows.iter().all(|row| row.pid.value() == Some(pid)),
                "{label}"
            );
            assert!(rows.iter().any(|row| row.task == process.taskd), "{label}");
            if pid == 0 {
                let cpus = if label.starts_with("deb11") { 1 } else { 2 };
                assert_eq!(rows.len(), cpus, "{label}: {rows:?}");
                continue;
            }
            let place = folder.join(format!("truth/p/{pid}/task"));
            if !place.exists() {
                continue;
            }
            let tids: BTreeSet<u32> = rows.iter().map(|row| row.tid.value().unwrap()).collect();
            assert_eq!(tids, numbers(&place), "{label} {pid}");
            for row in &rows {
                let want = place.join(format!("{}/stat", row.tid.value().unwrap()));
                let Some(want) = stat(&want) else { continue };
                let name = row.name.get().unwrap();
                assert!(
                    same_name(pid, &want, name),
                    "{label} {pid}: {want:?} {name:?}"
                );
                let state = row.state.value().unwrap().0;
                if state != want.state {
                    excused.push(format!("{pid} state {} now {state}", want.state));
                }
                equal += 1;
            }
        }
        assert!(equal > 60, "{label}: {excused:?}");
    });
}

fn modules_are_those_of_proc(real: &Real) {
    each(real, |label, folder, linux| {
        let mut rows = Vec::new();
        let ends = linux.modules(&mut |row| {
            let name = String::from_utf8(row.name.get().unwrap().clone()).unwrap();
            let base = row.base.value().unwrap();
            rows.push(format!("{name} {} {base}", row.size.value().unwrap()));
            ControlFlow::Continue(())
        });
        assert!(ends.is_complete(), "{label}: {ends:?}");
        let text = std::fs::read_to_string(folder.join("truth/modules")).unwrap();
        let want: Vec<String> = text
            .lines()
            .map(|line| {
                let parts: Vec<&str> = line.split(' ').collect();
                format!("{} {} {}", parts[0], parts[1], parts[5])
            })
            .collect();
        assert_eq!(rows, want, "{label}");
    });
}

fn every_processor_runs_a_task_of_the_list(real: &Real) {
    each(real, |label, _, linux| {
        let known: BTreeSet<_> = all(linux).iter().map(|row| row.taskd).collect();
        let mut cpus = 0;
        let ends = linux.current(&mut |row| {
            assert_eq!(row.cpu, cpus, "{label}");
            cpus += 1;
            let process = row.process.get().unwrap();
            assert!(row.thread.get().is_some(), "{label}: {row:?}");
            let idle = process.pid.value() == Some(0);
            assert!(idle || known.contains(&process.taskd), "{label}");
            ControlFlow::Continue(())
        });
        assert!(ends.is_complete(), "{label}: {ends:?}");
        assert_eq!(
            cpus,
            if label.starts_with("deb11") { 1 } else { 2 },
            "{label}"
        );
    });
}

/// A line of PANDA's own answers: `PROC`, its number, and `key=value` fields, the name last.
fn panda_rows(text: &str) -> Vec<BTreeMap<String, String>> {
    let lines = text.lines().filter(|line| line.starts_with("PROC\t"));
    lines
        .map(|line| {
            let fields = line.split('\t').filter_map(|field| field.split_once('='));
            fields.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
        })
        .collect()
}

fn processes_are_those_that_panda_names(real: &Real) {
    let (name, folder) = (&real.name, &real.path);
    let linux = attach(&folder.join(format!("{name}-rr-snp")));
    let text = std::fs::read(folder.join("osi/at.0.osi.txt")).unwrap();
    let text: String = text.iter().map(|byte| char::from(*byte)).collect();
    let want = panda_rows(&text);
    let rows = all(&linux);
    assert_eq!(rows.len(), want.len(), "{name}");
    for want in &want {
        let row = rows
            .iter()
            .find(|row| row.taskd.to_string() == want["taskd"])
            .unwrap_or_else(|| panic!("{name}: {want:?}"));
        let number = |value: Option<u64>, key: &str| {
            assert_eq!(value.unwrap().to_string(), want[key], "{name}: {row:?}");
        };
        number(row.pid.value().map(u64::from), "pid");
        number(row.ppid.value().map(u64::from), "ppid");
        number(row.create_time.value(), "create_time");
        let pgd = row
            .pgd
            .value()
            .map_or("0x0".to_owned(), |pgd| pgd.to_string());
        assert_eq!(pgd, want["pgd"], "{name}: {row:?}");
        match row.asid.value() {
            Some(asid) => assert_eq!(asid.to_string(), want["asid"], "{name}: {row:?}"),
            None => assert!(want["asid"].ends_with("ffffffff"), "{name}: {row:?}"),
        }
        let shown: String = row
            .name
            .get()
            .unwrap()
            .iter()
            .map(|b| char::from(*b))
            .collect();
        assert_eq!(shown, want["name"], "{name}");
    }
    let ends = linux.current(&mut |row| {
        let now = text
            .lines()
            .find(|line| line.starts_with("CURRENT\t"))
            .unwrap();
        let taskd = row.process.get().unwrap().taskd;
        assert!(
            now.contains(&format!("\ttaskd={taskd}\t")),
            "{name}: {row:?}"
        );
        ControlFlow::Continue(())
    });
    assert!(ends.is_complete(), "{name}: {ends:?}");
}
