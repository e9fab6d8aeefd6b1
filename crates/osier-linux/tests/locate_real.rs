//! Finding the kernel of every real snapshot, with and without registers, against `/proc`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::sync::Arc;

use osier_linux::{Located, locate};
use osier_memory::{
    Cause, Chunk, Fault, Machine, PAGE_BYTES, PhysAddr, PhysRun, PhysicalMemory, Recorder,
};
use osier_snapshot::{OpenOptions, open};
use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::each(need::snapshot, SNAPSHOTS) =>
        the_kernel_of_every_container_is_found_where_it_runs, registers_are_not_needed_and_few_pages_are;
    need::each(need::snapshot, RECORDINGS) => registers_are_not_needed_in_recordings;
    need::each(need::snapshot, AMD64) => an_amd64_kernel_is_found_by_its_page_tables_alone;
}

const SNAPSHOTS: &[&str] = &[
    "deb11-5.10-686",
    "deb11-5.10-686-pae",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];

/// Those whose page tables alone lead to the kernel.
const AMD64: &[&str] = &["deb11-5.10-amd64", "deb12-6.1-amd64", "deb13-6.12-amd64"];

fn text(folder: &Path) -> u64 {
    let symbols = std::fs::read_to_string(folder.join("truth/kallsyms")).unwrap();
    let line = symbols
        .lines()
        .find(|line| line.ends_with(" _text"))
        .unwrap();
    u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap()
}

fn the_kernel_of_every_container_is_found_where_it_runs(real: &Real) {
    let folder = &real.path;
    for (file, path) in real.containers() {
        let snapshot = open(&path, &OpenOptions::default()).unwrap();
        let found = locate(&snapshot.machine, &[]).unwrap();
        assert_eq!(found.text.0, text(folder), "{file}");
        let banner = std::fs::read(folder.join("truth/version")).unwrap();
        assert_eq!(found.banner, banner.trim_ascii_end(), "{file}");
        assert!(found.build_id.is_some(), "{file}");
    }
}

const RECORDINGS: &[&str] = &[
    "amd64-5.10",
    "amd64-5.10-kaslr-pti-running",
    "i386-5.10-nonpae",
];

/// A memory that holds some pages of another, as a distilled snapshot does.
struct Distilled {
    inner: Arc<dyn PhysicalMemory>,
    runs: Vec<PhysRun>,
}

impl PhysicalMemory for Distilled {
    fn runs(&self) -> &[PhysRun] {
        &self.runs
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        let run = self.runs.iter().find(|run| run.contains(pa));
        let run = run.ok_or(Fault::at_phys(Cause::NotCaptured, pa))?;
        let left = usize::try_from(run.end().since(pa)).unwrap();
        Ok(self.inner.chunk(pa)?.truncated(left))
    }
}

fn distilled(machine: &Machine, pages: &[PhysAddr]) -> Machine {
    let mut runs: Vec<PhysRun> = Vec::new();
    for &start in pages {
        match runs.last_mut() {
            Some(run) if run.end() == start => run.len += PAGE_BYTES,
            _ => runs.push(PhysRun {
                start,
                len: PAGE_BYTES,
            }),
        }
    }
    let inner = machine.memory.clone();
    Machine {
        memory: Arc::new(Distilled { inner, runs }),
        ..machine.clone()
    }
}

fn same(a: &Located, b: &Located, what: &str) {
    let parts = |l: &Located| (l.mode, l.root, l.text, l.text_pa, l.banner_at);
    assert_eq!(parts(a), parts(b), "{what}");
    assert_eq!(a.build_id, b.build_id, "{what}");
    assert_eq!(a.banner, b.banner, "{what}");
    assert_eq!(a.premises, b.premises, "{what}");
}

fn registers_are_not_needed_and_few_pages_are(real: &Real) {
    for file in ["memory.elf", "memory.savevm"] {
        found_without_registers(&real.path.join(file), text(&real.path));
    }
}

fn registers_are_not_needed_in_recordings(real: &Real) {
    let text = match real.name.as_str() {
        "amd64-5.10" => 0xffff_ffff_8100_0000,
        "amd64-5.10-kaslr-pti-running" => 0xffff_ffff_95a0_0000,
        _ => 0xc100_0000,
    };
    found_without_registers(&real.path.join(format!("{}-rr-snp", real.name)), text);
}

fn found_without_registers(file: &Path, text: u64) {
    let mut snapshot = open(file, &OpenOptions::default()).unwrap();
    for with_registers in [true, false] {
        let what = format!("{}, registers: {with_registers}", file.display());
        if !with_registers {
            snapshot.machine.cpus.clear();
            snapshot.machine.hints.clear();
        }
        let machine = &snapshot.machine;
        let recorder = Arc::new(Recorder::new(machine.memory.clone()));
        let watched = Machine {
            memory: recorder.clone(),
            ..machine.clone()
        };
        let found = locate(&watched, &[]).unwrap();
        assert_eq!(found.text.0, text, "{what}");
        assert!(found.build_id.is_some(), "{what}");
        let pages = recorder.touched();
        assert!(pages.len() < 400, "{what}: {} pages", pages.len());
        let again = locate(&distilled(machine, &pages), &[]).unwrap();
        same(&found, &again, &what);
    }
}

fn an_amd64_kernel_is_found_by_its_page_tables_alone(real: &Real) {
    let snapshot = open(&real.path.join("memory.raw"), &OpenOptions::default()).unwrap();
    let machine = &snapshot.machine;
    let mut pages = Vec::new();
    for run in machine.memory.runs() {
        let starts = (run.start.0..run.end().0).step_by(4096).map(PhysAddr);
        pages.extend(starts.filter(|&pa| {
            let page = machine.memory.chunk(pa).unwrap();
            !page.starts_with(b"OSRELEASE=")
        }));
    }
    let found = locate(&distilled(machine, &pages), &[]).unwrap();
    assert_eq!(found.text.0, text(&real.path));
    assert!(found.vmcoreinfo.is_none() && found.build_id.is_some());
    let whole = locate(machine, &[]).unwrap();
    assert_eq!((found.mode, found.root), (whole.mode, whole.root));
    assert_eq!(found.build_id, whole.build_id);
}
