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

const SNAPSHOTS: &[&str] = &[
    "deb11-5.10-686",
    "deb11-5.10-686-pae",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];

fn text(folder: &Path) -> u64 {
    let symbols = std::fs::read_to_string(folder.join("truth/kallsyms")).unwrap();
    let line = symbols
        .lines()
        .find(|line| line.ends_with(" _text"))
        .unwrap();
    u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap()
}

#[test]
fn the_kernel_of_every_container_is_found_where_it_runs() {
    for name in SNAPSHOTS {
        let folder = match osier_testkit::data::folder(name) {
            Ok(folder) => folder,
            Err(why) => {
                osier_testkit::report_skip(module_path!(), &why);
                continue;
            }
        };
        for file in [
            "memory.raw",
            "memory.elf",
            "memory-paging.elf",
            "memory.savevm",
        ] {
            if !folder.join(file).exists() {
                continue;
            }
            let snapshot = open(&folder.join(file), &OpenOptions::default()).unwrap();
            let start = std::time::Instant::now();
            let found = locate(&snapshot.machine, &[]).unwrap();
            let elapsed = start.elapsed();
            assert_eq!(found.text.0, text(&folder), "{name} {file}");
            let banner = std::fs::read(folder.join("truth/version")).unwrap();
            assert_eq!(found.banner, banner.trim_ascii_end(), "{name} {file}");
            let id = found.build_id.as_ref().map(ToString::to_string);
            println!("{name} {file} {elapsed:?} {id:?}");
            for premise in &found.premises {
                println!("    {} {} ({})", premise.about, premise.value, premise.by);
            }
            assert!(id.is_some(), "{name} {file}");
        }
    }
}

/// The recordings, and where their kernels run.
const RECORDINGS: &[(&str, u64)] = &[
    ("amd64-5.10", 0xffff_ffff_8100_0000),
    ("amd64-5.10-kaslr-pti-running", 0xffff_ffff_95a0_0000),
    ("i386-5.10-nonpae", 0xc100_0000),
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

#[test]
fn registers_are_not_needed_and_few_pages_are() {
    let linux = SNAPSHOTS.iter().flat_map(|name| {
        ["memory.elf", "memory.savevm"].map(|file| (*name, file.to_owned(), None))
    });
    let panda = RECORDINGS
        .iter()
        .map(|(name, at)| (*name, format!("{name}-rr-snp"), Some(*at)));
    for (name, file, at) in linux.chain(panda) {
        let folder = match osier_testkit::data::folder(name) {
            Ok(folder) => folder,
            Err(why) => {
                osier_testkit::report_skip(module_path!(), &why);
                continue;
            }
        };
        let mut snapshot = open(&folder.join(&file), &OpenOptions::default()).unwrap();
        for with_registers in [true, false] {
            let what = format!("{name} {file}, registers: {with_registers}");
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
            assert_eq!(found.text.0, at.unwrap_or_else(|| text(&folder)), "{what}");
            assert!(found.build_id.is_some(), "{what}");
            let pages = recorder.touched();
            println!("{what}: {} pages", pages.len());
            assert!(pages.len() < 400, "{what}: {} pages", pages.len());
            let again = locate(&distilled(machine, &pages), &[]).unwrap();
            same(&found, &again, &what);
        }
    }
}

#[test]
fn an_amd64_kernel_is_found_by_its_page_tables_alone() {
    for name in ["deb11-5.10-amd64", "deb12-6.1-amd64", "deb13-6.12-amd64"] {
        let folder = match osier_testkit::data::folder(name) {
            Ok(folder) => folder,
            Err(why) => {
                osier_testkit::report_skip(module_path!(), &why);
                continue;
            }
        };
        let snapshot = open(&folder.join("memory.raw"), &OpenOptions::default()).unwrap();
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
        println!("{name}: {} {}", found.mode.name(), found.root);
        assert_eq!(found.text.0, text(&folder), "{name}");
        assert!(
            found.vmcoreinfo.is_none() && found.build_id.is_some(),
            "{name}"
        );
        let whole = locate(machine, &[]).unwrap();
        assert_eq!((found.mode, found.root), (whole.mode, whole.root), "{name}");
        assert_eq!(found.build_id, whole.build_id, "{name}");
    }
}
