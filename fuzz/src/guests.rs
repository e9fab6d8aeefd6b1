//! Small guests that an attacker wrote into: a machine that is whole, of which the input replaces words and pages, and
//! has the pages that it lacks. Whatever goes over them must end, and invent nothing.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use osier_linux::Linux;
use osier_memory::{
    Cause, Chunk, Fault, Machine, PAGE_BYTES, PhysAddr, PhysRun, PhysicalMemory, Recorder, VirtAddr,
};
use osier_osi::{CachedFile, CarveLinux, Osi, ProcessAddress};
use osier_profile::Profile;
use osier_snapshot::OpenOptions;
use osier_testkit::windows::{crowd, win7_sp1_x86_pae};
use osier_windows::Windows;

const PAGE: usize = PAGE_BYTES as usize;
/// Rows of one answer, after which no more are asked for.
const ROWS: usize = 20_000;
/// Processes, files and mappings that are gone into.
const PARTS: usize = 4;

/// Attaches to the guest with other memory.
type Attach = Box<dyn Fn(Arc<dyn PhysicalMemory>) -> Option<Box<dyn Osi>> + Send + Sync>;

/// A guest that is whole.
struct Guest {
    memory: Arc<dyn PhysicalMemory>,
    attach: Attach,
    /// Pages that the answers rest on, and those that they miss.
    touched: Vec<PhysAddr>,
    /// Addresses of objects, for links that go round.
    objects: Vec<VirtAddr>,
}

impl Guest {
    fn of(memory: Arc<dyn PhysicalMemory>, attach: Attach) -> Self {
        let recorder = Arc::new(Recorder::new(memory.clone()));
        let osi = attach(recorder.clone()).expect("a whole guest attaches");
        ask(&*osi);
        let mut objects = Vec::new();
        let _ = osi.processes(&mut |row| {
            objects.push(row.taskd);
            ControlFlow::Continue(())
        });
        assert!(objects.len() > 1, "a guest with processes");
        Self {
            touched: recorder.touched(),
            memory,
            attach,
            objects,
        }
    }
}

/// A guest's memory with what the input makes of it.
struct Tampered {
    inner: Arc<dyn PhysicalMemory>,
    changed: BTreeMap<PhysAddr, Vec<u8>>,
    /// What stands in pages that the guest lacks; a number of pages.
    pages: Vec<u8>,
}

impl PhysicalMemory for Tampered {
    fn runs(&self) -> &[PhysRun] {
        self.inner.runs()
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        let within = pa.in_page() as usize;
        if let Some(page) = self.changed.get(&pa.page()) {
            return Ok(Chunk::borrowed(&page[within..]));
        }
        match self.inner.chunk(pa) {
            Err(_) if !self.pages.is_empty() && self.holds(pa) => {
                let number = (pa.0 / PAGE_BYTES) as usize % (self.pages.len() / PAGE);
                let page = &self.pages[number * PAGE..][..PAGE];
                Ok(Chunk::borrowed(&page[within..]))
            }
            Ok(chunk) => Ok(chunk.truncated(PAGE - within)),
            lost => lost,
        }
    }
}

impl Tampered {
    fn of(guest: &Guest, data: &[u8]) -> Self {
        let mut tampered = Self {
            inner: guest.memory.clone(),
            changed: BTreeMap::new(),
            pages: Vec::new(),
        };
        let Some((count, rest)) = data.split_first() else {
            return tampered;
        };
        let (patches, pages) = rest.split_at(rest.len().min(usize::from(count % 32) * 14));
        for patch in patches.chunks_exact(14) {
            tampered.change(guest, patch);
        }
        tampered.pages = pages.to_vec();
        let whole = tampered.pages.len().next_multiple_of(PAGE);
        tampered.pages.resize(whole, 0);
        tampered
    }

    fn holds(&self, pa: PhysAddr) -> bool {
        let mut runs = self.inner.runs().iter();
        runs.any(|run| run.start <= pa && pa < run.end())
    }

    /// Changes a page as 14 bytes say: which, where, how, and eight bytes.
    fn change(&mut self, guest: &Guest, patch: &[u8]) {
        let number = |at: usize| usize::from(u16::from_le_bytes([patch[at], patch[at + 1]]));
        let page = guest.touched[number(0) % guest.touched.len()];
        let inner = &self.inner;
        let bytes = self.changed.entry(page).or_insert_with(|| {
            let mut bytes = vec![0; PAGE];
            let _ = inner.read(page, &mut bytes);
            bytes
        });
        let at = number(2) % PAGE & !3;
        let object = guest.objects[number(6) % guest.objects.len()].0;
        let object = object.wrapping_add(number(8) as u64 & !3);
        match patch[4] % 4 {
            0 => bytes[at..][..8.min(PAGE - at)].copy_from_slice(&patch[6..][..8.min(PAGE - at)]),
            1 => bytes[at..][..4].copy_from_slice(&object.to_le_bytes()[..4]),
            2 => bytes[at..][..8.min(PAGE - at)]
                .copy_from_slice(&object.to_le_bytes()[..8.min(PAGE - at)]),
            _ => bytes.fill(0),
        }
    }
}

/// Goes through a bounded number of rows, of which none may have the place of another.
fn rows<T>(
    place: impl Fn(&T) -> VirtAddr,
    walk: impl FnOnce(&mut dyn FnMut(T) -> ControlFlow<()>),
) {
    let mut met = HashSet::new();
    walk(&mut |row| {
        assert!(met.insert(place(&row)), "a row twice");
        if met.len() >= ROWS {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
}

/// Asks what goes over objects of the guest's own choice.
fn ask(osi: &dyn Osi) {
    rows(|row: &osier_osi::Scanned| row.address, |row| {
        let _ = osi.scan(row);
    });
    let mut findings = 0;
    let _ = osi.findings(&mut |_| {
        findings += 1;
        if findings >= ROWS {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    let mut taskds = Vec::new();
    rows(|row: &osier_osi::Process| row.taskd, |row| {
        let _ = osi.wide(&mut |process| {
            taskds.push(process.taskd);
            row(process)
        });
    });
    for taskd in taskds.into_iter().rev().take(PARTS) {
        one(osi, taskd);
    }
    kept(osi);
}

/// What one process holds, and what it is written down with.
fn one(osi: &dyn Osi, taskd: VirtAddr) {
    let mut count = 0;
    let _ = osi.files(taskd, &mut |_| {
        count += 1;
        if count >= ROWS {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    let mut count = 0;
    let _ = osi.environment(taskd, &mut |_| {
        count += 1;
        if count >= ROWS {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    let Some(carve) = osi.carve() else {
        return;
    };
    let _ = (carve.user_registers(taskd), carve.program_width(taskd));
    if let Some(linux) = carve.linux() {
        let _ = (linux.floating_point(taskd), linux.auxiliary(taskd));
        if let Ok(file) = linux.executable(taskd) {
            pages(linux, &file);
        }
    }
    if let Some(windows) = carve.windows() {
        let _ = (windows.registers_32(taskd), windows.thread_facts(taskd));
        let _ = (windows.program_base(taskd), windows.system_facts());
    }
    let mut mappings = Vec::new();
    let _ = osi.mappings(taskd, &mut |row| {
        let va = row.base.unwrap_or_default();
        let modd = row.modd;
        mappings.push(ProcessAddress { taskd, modd, va });
        if mappings.len() >= PARTS {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    let fault = Fault::new(Cause::NotPresent { entry: 0 });
    for place in mappings {
        let stretch = carve.behind(place, fault, 1 << 20);
        assert!(stretch.bytes >= PAGE_BYTES, "an empty stretch at {}", place.va);
    }
}

/// The files of the page cache, and the pages of some.
fn kept(osi: &dyn Osi) {
    let Some(carve) = osi.carve().and_then(|carve| carve.linux()) else {
        return;
    };
    let mut files = Vec::new();
    rows(|row: &osier_osi::KeptFile| row.mapping, |row| {
        let _ = carve.kept_files(&mut |file| {
            if files.len() < PARTS {
                files.push(CachedFile {
                    mapping: file.mapping,
                    size: file.size.clone(),
                });
            }
            row(file)
        });
    });
    for file in files {
        pages(carve, &file);
    }
}

/// The first pages of a file: what is in memory lies where the machine has memory.
fn pages(carve: &dyn CarveLinux, file: &CachedFile) {
    let mut at = 0_u64;
    for _ in 0..64 {
        let stretch = carve.cached(file, at, 1 << 24);
        assert!(stretch.bytes >= PAGE_BYTES, "an empty stretch at {at:#x}");
        at = at.saturating_add(stretch.bytes);
    }
}

fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn linux() -> Guest {
    let file = workspace().join("snapshots/deb12-6.1-amd64-events-a.elf");
    let snapshot = osier_snapshot::open(&file, &OpenOptions::default()).expect("a snapshot");
    let machine: Machine = snapshot.machine;
    let profile = workspace().join("symbols/linux-6.1.0-50-amd64.osp");
    let (profile, _) = Profile::read_file(&profile).expect("a profile");
    let profile = Arc::new(profile);
    let located = osier_linux::locate(&machine, &[]).expect("a kernel");
    let memory = machine.memory.clone();
    let attach = move |memory| -> Option<Box<dyn Osi>> {
        let mut machine = machine.clone();
        machine.memory = memory;
        let linux = Linux::attach(&machine, &located, profile.clone()).ok()?;
        Some(Box::new(linux))
    };
    Guest::of(memory, Box::new(attach))
}

fn windows() -> Guest {
    let profile = win7_sp1_x86_pae();
    let machine = crowd(&profile).write(&profile).machine();
    let profile = Arc::new(profile);
    let located = osier_windows::locate(&machine, &[]).expect("a kernel");
    let memory = machine.memory.clone();
    let attach = move |memory| -> Option<Box<dyn Osi>> {
        let mut machine = machine.clone();
        machine.memory = memory;
        let windows = Windows::attach(&machine, &located, profile.clone()).ok()?;
        Some(Box::new(windows))
    };
    Guest::of(memory, Box::new(attach))
}

fn run(guest: &Guest, data: &[u8]) {
    let memory = Arc::new(Tampered::of(guest, data));
    if let Some(osi) = (guest.attach)(memory) {
        ask(&*osi);
    }
}

/// Tampers with a Linux guest as `data` says, and asks it.
pub fn linux_guest(data: &[u8]) {
    static GUEST: OnceLock<Guest> = OnceLock::new();
    run(GUEST.get_or_init(linux), data);
}

/// Tampers with a Windows guest as `data` says, and asks it.
pub fn windows_guest(data: &[u8]) {
    static GUEST: OnceLock<Guest> = OnceLock::new();
    run(GUEST.get_or_init(windows), data);
}
