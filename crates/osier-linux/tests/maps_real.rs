//! Mappings, executables and arguments of real processes, against what `/proc` said in the guest
//! and against PANDA's answers.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

mod real;

use osier_osi::SeenExt as _;
use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use osier_linux::Linux;
use osier_memory::VirtAddr;
use osier_osi::{Mapping, MappingKind, Osi, Panda as _, Process, ProcessExtra, mapping_at};
use osier_testkit::need::{self, Real};
use real::{SNAPSHOTS, attach, mappings, processes};

osier_testkit::trials! {
    need::each(need::snapshot, &SNAPSHOTS) => mappings_of_every_process_are_what_proc_shows;
    need::each(need::snapshot, &RECORDINGS) => mappings_of_recordings_are_what_panda_and_proc_say;
}

const RECORDINGS: [&str; 3] = [
    "amd64-5.10",
    "i386-5.10-nonpae",
    "amd64-5.10-kaslr-pti-running",
];

/// A row as a line of `/proc/PID/maps`, without device and inode.
fn line(row: &Mapping) -> Vec<u8> {
    let base = row.base.value().expect("base").0;
    let end = base + row.size.value().expect("size");
    let offset = row.offset.value().unwrap_or(0);
    let rights = row.perms.value().expect("flags");
    let rights = std::str::from_utf8(&rights).unwrap();
    let mut line = format!("{base:08x}-{end:08x} {rights} {offset:08x} ").into_bytes();
    let name = row.file.get().or_else(|| row.name.get());
    for &byte in name.map_or(&[][..], Vec::as_slice) {
        match byte {
            b'\n' => line.extend_from_slice(b"\\012"),
            byte => line.push(byte),
        }
    }
    line
}

/// A line of `/proc/PID/maps` without device, inode and padding.
fn bare(line: &[u8]) -> Vec<u8> {
    let fields: Vec<_> = line.splitn(6, |&byte| byte == b' ').collect();
    let mut bare = [fields[0], fields[1], fields[2], b""].join(&b' ');
    bare.extend_from_slice(fields.get(5).unwrap_or(&&b""[..]).trim_ascii_start());
    bare
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    let lines = text.split(|&byte| byte == b'\n');
    lines.filter(|line| !line.is_empty()).collect()
}

fn shown(text: &[u8]) -> String {
    text.escape_ascii().to_string()
}

/// Rows against lines, all of them; returns how many agree.
fn agree(who: &str, rows: &[Mapping], lines: &[&[u8]]) -> usize {
    assert_eq!(rows.len(), lines.len(), "{who}");
    for (row, &truth) in rows.iter().zip(lines) {
        let (row, truth) = (line(row), bare(truth));
        assert_eq!(shown(&row), shown(&truth), "{who}");
    }
    rows.len()
}

/// Whether process 1 has become another program since it wrote the truth.
fn became_another(process: &Process, truth: &Path) -> bool {
    let stat = fs::read(truth.join("stat")).unwrap();
    let name = process.name.get().unwrap();
    !stat.starts_with(&[b"1 (", name.as_slice(), b")"].concat())
}

/// Whether the leader has exited and other threads of the process live on.
fn leader_exited(process: &Process) -> bool {
    let ProcessExtra::Linux(row) = &process.extra else {
        return false;
    };
    let zombie = row.state.value().is_some_and(|state| state.0 == 'Z');
    zombie && row.threads.value() > Some(1)
}

fn linux_rows(process: &Process) -> (Vec<u8>, Vec<u8>) {
    let ProcessExtra::Linux(row) = &process.extra else {
        panic!("a Linux process");
    };
    let get = |seen: &osier_osi::Seen<Vec<u8>>| match seen {
        Ok(text) => text.clone(),
        Err(absent) => {
            assert!(!absent.is_loss(), "{absent:?}");
            Vec::new()
        }
    };
    (get(&row.exe), get(&row.cmdline))
}

fn mappings_of_every_process_are_what_proc_shows(real: &Real) {
    let (name, folder) = (&real.name, &real.path);
    let linux = attach(&folder.join("memory.raw"));
    let (mut rows_equal, mut without_a_leader) = (0, 0);
    for (pid, process) in processes(&linux) {
        let truth = folder.join(format!("truth/p/{pid}"));
        let who = format!("{name} process {pid}");
        let (rows, ends) = mappings(&linux, &process);
        assert!(ends.is_complete(), "{who}: {ends:?}");
        if !truth.exists() {
            assert!(rows.is_empty(), "{who}: not in the truth");
            continue;
        }
        if pid == 1 && became_another(&process, &truth) {
            continue;
        }
        if leader_exited(&process) {
            // /proc/PID asks the leader, which has nothing any more; its threads have it still.
            assert!(
                fs::read(truth.join("maps")).unwrap_or_default().is_empty(),
                "{who}"
            );
            assert!(!rows.is_empty() && process.asid.get().is_some(), "{who}");
            let (exe, cmdline) = linux_rows(&process);
            assert!(!exe.is_empty() && !cmdline.is_empty(), "{who}");
            without_a_leader += 1;
            continue;
        }
        let maps = fs::read(truth.join("maps")).unwrap_or_default();
        rows_equal += agree(&who, &rows, &lines(&maps));
        let proc = |file: &str| fs::read(truth.join(file)).unwrap_or_default();
        let (exe, cmdline) = linux_rows(&process);
        let truth_exe = proc("exe");
        assert_eq!(shown(&exe), shown(truth_exe.trim_ascii_end()), "{who}: exe");
        assert_eq!(shown(&cmdline), shown(&proc("cmdline")), "{who}: cmdline");
        lookups_hold(&linux, &process, &rows);
    }
    assert!(rows_equal > 1200, "{name}");
    assert_eq!(without_a_leader, 1, "{name}");
}

/// The heap is where `heap_bounds` says, every row is found by its addresses, and every page that
/// has a backing lies in the mapping that gives it.
fn lookups_hold(linux: &Linux, process: &Process, rows: &[Mapping]) {
    for row in rows {
        let base = row.base.value().unwrap();
        let last = base.plus(row.size.value().unwrap() - 1);
        assert_eq!(mapping_at(rows, base), Some(row));
        assert_eq!(mapping_at(rows, last), Some(row));
    }
    let heap = rows
        .iter()
        .find(|row| row.kind.value() == Some(MappingKind::Heap));
    if let Some(heap) = heap {
        let (start, end) = osier_osi::Panda::heap_bounds(linux, process.taskd)
            .value()
            .unwrap();
        assert!(heap.base.value().unwrap() <= end && heap.contains(start));
    }
    let mut at = VirtAddr(0);
    let ends = linux.pages(process.taskd, &mut |page| {
        assert!(at <= page.start, "in order");
        at = page.start.plus(page.len);
        let around = mapping_at(rows, page.start).expect("present pages lie in mappings");
        assert_eq!(Some(around), mapping_at(rows, at.minus(1)));
        let backing = around.file.get().or_else(|| around.name.get());
        assert_eq!(page.backing.get(), backing);
        if page.flags.write {
            assert_eq!(around.perms.value().unwrap()[1], b'w');
        }
        // 32-bit page tables without PAE have no such right.
        if linux.kernel_space().mode().pointer_bytes() == 8 {
            let executable = around.perms.value().unwrap()[2] == b'x';
            assert_eq!(page.flags.no_execute, !executable, "{page:?}");
        }
        ControlFlow::Continue(())
    });
    assert!(ends.is_complete(), "{ends:?}");
    assert_eq!(rows.is_empty(), at == VirtAddr(0), "some page is present");
}

/// A row as PANDA's provider has it: other names for what has no file, paths without mounts.
fn panda(linux: &Linux, row: &Mapping) -> String {
    let base = row.base.value().unwrap().0;
    let size = row.size.value().unwrap();
    let file = linux.panda_file(row.modd);
    let file = file.get().map(|file| shown(file));
    let name = match row.kind.value() {
        Some(MappingKind::Heap) => "[heap]",
        Some(MappingKind::Stack) => "[stack]",
        Some(MappingKind::File) => {
            let file = file.as_deref().unwrap();
            file.rsplit_once('/').map_or("(null)", |(_, name)| name)
        }
        _ => "[???]",
    };
    format!(
        "vma={:#x}\t{base:#x}-{:#x}\tsize={size}\toff={:#x}\tflags={:#x}\tname={name}\tfile={}",
        row.modd.0,
        base + size,
        row.offset.value().unwrap_or(0),
        row.flags.value().unwrap(),
        file.as_deref().unwrap_or("(null)"),
    )
}

fn mappings_of_recordings_are_what_panda_and_proc_say(real: &Real) {
    let (name, folder) = (&real.name, &real.path);
    let linux = attach(&folder.join(format!("{name}-rr-snp")));
    let processes = processes(&linux);
    let oracle = fs::read(folder.join("osi/at.0.osi.txt")).unwrap();
    let mut of_pid: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for line in lines(&oracle) {
        if let Some(fields) = line.strip_prefix(b"MAP\t") {
            let fields = shown(fields).replace("\\t", "\t");
            let (pid, fields) = fields.split_once('\t').unwrap();
            let rows = of_pid.entry(pid.parse().unwrap()).or_default();
            rows.push(fields.to_owned());
        }
    }
    let mut equal = 0;
    for (pid, process) in &processes {
        let (rows, ends) = mappings(&linux, process);
        assert!(ends.is_complete(), "{name} process {pid}: {ends:?}");
        let rows: Vec<_> = rows.iter().map(|row| panda(&linux, row)).collect();
        let theirs = of_pid.remove(pid).unwrap_or_default();
        assert_eq!(rows, theirs, "{name} process {pid}");
        equal += rows.len();
    }
    assert!(of_pid.is_empty(), "{name}: {:?}", of_pid.keys());
    assert!(equal > 300, "{name}");
    if let Ok(truth) = fs::read(folder.join("ground_truth.txt")) {
        ground_truth(&linux, &processes, &truth);
    }
}

/// Rows against the maps that a recording's guest printed of itself.
fn ground_truth(linux: &Linux, processes: &BTreeMap<u32, Process>, truth: &[u8]) {
    let mut equal = 0;
    let mut section: Option<(u32, Vec<&[u8]>)> = None;
    for line in lines(truth) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(rest) = line.strip_prefix(b"@BEGIN maps /proc/") {
            let pid = shown(rest.split(|&byte| byte == b'/').next().unwrap());
            section = Some((pid.parse().unwrap(), Vec::new()));
        } else if line.starts_with(b"@END") {
            let Some((pid, lines)) = section.take() else {
                continue;
            };
            // The shell that printed is not there any more.
            if let Some(process) = processes.get(&pid) {
                let (rows, _) = mappings(linux, process);
                equal += agree(&format!("process {pid}"), &rows, &lines);
            }
        } else if let Some((_, lines)) = &mut section {
            lines.push(line);
        }
    }
    assert!(equal > 300);
}
