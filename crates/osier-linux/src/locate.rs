//! Finding the kernel: from most to least knowledge, each step confirmed before it is believed.
//!
//! 1. The processors' CR3, where the snapshot has registers.
//! 2. The VMCOREINFO text of a note.
//! 3. The table in low memory that other processors start by, of x86-64.
//! 4. Kernels met before, at the aligned physical addresses that can hold a kernel image.
//! 5. One pass over memory for VMCOREINFO pages, for tables that map an x86-64 kernel's image, and for those
//!    that map low memory as an i386 kernel's do.
//!
//! Each gives a paging mode and a table root. A root is believed when it maps a kernel image whose
//! banner can be read through it, and when VMCOREINFO, if there is one, names the same release.

mod confirm;
mod found;
mod i386;
mod search;
mod vmcoreinfo;

use std::ops::ControlFlow;

use foldhash::{HashSet, HashSetExt as _};
use osier_memory::{CpuState, Hint, Machine, Paging, PhysAddr};

use confirm::Unknown;
pub(crate) use confirm::bits as bit_names;
use found::Candidate;
pub use found::{KnownKernel, LocateError, Located};
use vmcoreinfo::Vmcoreinfo;

/// Tables of an i386 kernel that are tried: the kernel's own come first, and all map the same image.
const MOST_LINEAR: usize = 8;

/// Finds the kernel in `machine`. `known` are kernels met before; they only make it faster.
///
/// # Errors
///
/// [`LocateError`] says what was tried, and what was seen.
pub fn locate(machine: &Machine, known: &[KnownKernel]) -> Result<Located, LocateError> {
    let mut finder = Finder::new(machine, known);
    match finder.glance().or_else(|| finder.everywhere()) {
        Some(found) => Ok(found),
        None => Err(finder.failed()),
    }
}

/// As [`locate`], but only a kernel met before, through the table root of the last time: a few reads
/// decide.
pub fn again(machine: &Machine, known: &[KnownKernel]) -> Option<Located> {
    Finder::new(machine, known).last()
}

/// As [`locate`], but only by what headers and registers say, and by kernels met before at the places
/// that can hold one. A machine of another operating system is told at little cost.
pub fn glance(machine: &Machine, known: &[KnownKernel]) -> Option<Located> {
    Finder::new(machine, known).glance()
}

/// As [`locate`], but through the table at `root` alone, which somebody named: the kernel's own, a
/// process's, or the user half of a pair; physical, or as CR3 holds it.
///
/// # Errors
///
/// [`LocateError`] says what was seen.
pub fn locate_by(
    machine: &Machine,
    known: &[KnownKernel],
    root: PhysAddr,
) -> Result<Located, LocateError> {
    let mut finder = Finder::new(machine, known);
    let by = format!("the table root {root} that was named");
    let candidates = confirm::any_mode(machine, root, &by);
    finder.tried.push(by);
    let noted = finder.noted.clone();
    if let Some(found) = finder.first(&candidates, noted.as_ref()) {
        return Ok(found);
    }
    let (found, _) = finder.pass(noted.as_ref(), |_| candidates.clone());
    found.ok_or_else(|| finder.failed())
}

/// The state of one search.
struct Finder<'a> {
    machine: &'a Machine,
    known: &'a [KnownKernel],
    /// VMCOREINFO of a note.
    noted: Option<Vmcoreinfo>,
    /// What was tried, in words.
    tried: Vec<String>,
    /// What was seen of a kernel, in words.
    seen: Vec<String>,
}

impl<'a> Finder<'a> {
    fn new(machine: &'a Machine, known: &'a [KnownKernel]) -> Self {
        let noted = machine.hints.iter().find_map(|hint| match hint {
            Hint::Vmcoreinfo(text) => Vmcoreinfo::parse(text),
            _ => None,
        });
        let seen = noted
            .iter()
            .map(|info| format!("a note, {}", info.describe()));
        Self {
            machine,
            known,
            seen: seen.collect(),
            noted,
            tried: Vec::new(),
        }
    }

    fn failed(mut self) -> LocateError {
        let mut roots = confirm::from_registers(self.machine);
        let noted = self.noted.iter();
        roots.extend(noted.flat_map(|info| info.candidates("the VMCOREINFO note")));
        let image = roots
            .iter()
            .find_map(|root| confirm::bare_image(self.machine, root));
        self.seen.extend(image);
        LocateError::NotFound {
            tried: self.tried.join("; "),
            seen: self.seen,
        }
    }

    /// A kernel met before, by a table root of the last time: in the mode of then, if the processors may be in it.
    fn last(&self) -> Option<Located> {
        let cpus = self.machine.cpus.iter();
        let paged = |mode: &Paging| !matches!(mode, Paging::Flat | Paging::Virtual);
        let modes: Vec<Paging> = cpus.flat_map(CpuState::modes).filter(paged).collect();
        let roots = self.machine.hints.iter().filter_map(|hint| match hint {
            Hint::LastRoot(root, mode) => Some((*root, *mode)),
            _ => None,
        });
        let by = "the table root of the last time";
        roots
            .filter(|(_, mode)| modes.is_empty() || modes.contains(mode))
            .map(|(root, mode)| confirm::of_cr3(self.machine, &[mode], root.0, by))
            .find_map(|candidates| self.first_met(&candidates, self.noted.as_ref()))
    }

    /// By registers, headers, and kernels met before.
    fn glance(&mut self) -> Option<Located> {
        let machine = self.machine;
        let noted = self.noted.clone();
        if let Some(found) = self.last() {
            return Some(found);
        }
        let mut candidates = confirm::from_registers(machine);
        for hint in &machine.hints {
            if let Hint::TableRoot(root) = hint {
                let by = "the table root that the headers name";
                candidates.extend(confirm::any_mode(machine, *root, by));
            }
        }
        if let Some(info) = &noted {
            candidates.extend(info.candidates("the VMCOREINFO note"));
        }
        let roots = candidates.len();
        self.tried
            .push(format!("{roots} table roots from registers and headers"));
        if let Some(found) = self.first(&candidates, noted.as_ref()) {
            return Some(found);
        }
        let stubs = search::low_stub(machine);
        if !stubs.is_empty() {
            self.tried
                .push("the table root that the low stub leads to".to_owned());
            if let Some(found) = self.first(&stubs, noted.as_ref()) {
                return Some(found);
            }
        }
        let candidates = search::known_kernels(machine, self.known);
        let (places, kernels) = (candidates.len(), self.known.len());
        self.tried
            .push(format!("{places} places of {kernels} kernels met before"));
        self.first_met(&candidates, noted.as_ref())
    }

    /// By a pass over all of memory.
    fn everywhere(&mut self) -> Option<Located> {
        // An i386 kernel says nothing of its own place; its VMCOREINFO does, and goes with a CR3.
        let registers = confirm::from_registers(self.machine);
        let roots = |info: &Vmcoreinfo| {
            let mut roots = info.candidates("a VMCOREINFO page in memory");
            roots.extend_from_slice(&registers);
            roots
        };
        let (found, sweep) = self.pass(self.noted.clone().as_ref(), roots);
        if found.is_some() {
            return found;
        }
        if let Some(found) = self.first(&sweep.roots, None) {
            // The kernel's own table lies in its image; any other is a process's.
            let image = found.text_pa.0..found.text_pa.plus(found.end.since(found.text)).0;
            let own = |root: &&Candidate| root.mode == found.mode && image.contains(&root.root.0);
            let own: Vec<Candidate> = sweep.roots.iter().filter(own).cloned().collect();
            return Some(self.first(&own, None).unwrap_or(found));
        }
        let banners = sweep.banners.iter();
        let places = banners.flat_map(|(pa, line)| search::known_by_banner(self.known, *pa, line));
        let places: Vec<Candidate> = places.collect();
        let narrow = sweep.linear.get(..MOST_LINEAR).unwrap_or(&sweep.linear);
        self.first_met(&places, None)
            .or_else(|| self.first(narrow, None))
    }

    /// Passes over memory. VMCOREINFO, that of the note `noted` or of each page that is met, is tried
    /// with the `roots` that go with it.
    fn pass(
        &mut self,
        noted: Option<&Vmcoreinfo>,
        roots: impl Fn(&Vmcoreinfo) -> Vec<Candidate>,
    ) -> (Option<Located>, search::Sweep) {
        let mut found = None;
        let mut seen = Vec::new();
        let mut try_info = |info: &Vmcoreinfo| {
            if noted.is_none() {
                seen.push(format!("{} in memory", info.describe()));
            }
            found = self.first(&roots(info), Some(info));
            match found {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        };
        let sweep = match noted.map(&mut try_info) {
            Some(ControlFlow::Break(())) => search::Sweep::default(),
            _ => search::sweep(self.machine, &mut try_info),
        };
        if found.is_none() {
            self.tried.push(format!(
                "a pass over memory ({} VMCOREINFO pages, {} kernel page tables)",
                sweep.vmcoreinfo,
                sweep.roots.len().saturating_add(sweep.linear.len())
            ));
            self.seen.extend(seen);
            let banner = |(pa, line): &(PhysAddr, Vec<u8>)| {
                format!("at physical {pa}: {}", line.escape_ascii())
            };
            // A copy, which may have something behind it, says nothing new.
            let banners = sweep.banners.iter().enumerate();
            let new = banners.filter(|(number, (_, line))| {
                let mut before = sweep.banners.iter().take(*number);
                !before.any(|(_, known)| line.starts_with(known))
            });
            self.seen.extend(new.map(|(_, met)| banner(met)));
        }
        (found, sweep)
    }

    /// The first candidate that maps a kernel met before, at the cost of a few reads each.
    fn first_met(&self, candidates: &[Candidate], info: Option<&Vmcoreinfo>) -> Option<Located> {
        let confirm = |c| confirm::confirm(self.machine, c, self.known, info, Unknown::Refused);
        candidates.iter().find_map(confirm)
    }

    /// The first candidate that maps a kernel, met before or not. Tables of processes map one image:
    /// it is searched once.
    fn first(&self, candidates: &[Candidate], info: Option<&Vmcoreinfo>) -> Option<Located> {
        let mut searched = HashSet::new();
        let mut confirm = |c: &Candidate| {
            let image = c.image_entry(self.machine);
            if image.is_some_and(|entry| !searched.insert((c.mode, entry))) {
                return None;
            }
            confirm::confirm(self.machine, c, self.known, info, Unknown::Searched)
        };
        self.first_met(candidates, info)
            .or_else(|| candidates.iter().find_map(&mut confirm))
    }
}

/// The VMCOREINFO text of a kernel that was found, looked for in all of memory: finding the kernel
/// seldom needs it, and who writes an ELF core for other tools does, for they do.
pub fn find_vmcoreinfo(machine: &Machine, kernel: &Located) -> Option<Vec<u8>> {
    let mut found = None;
    let _ = search::sweep(machine, &mut |info: &Vmcoreinfo| {
        // Memory may hold what an earlier kernel left; this one runs where the text says.
        if info.stext() == Some(kernel.text.0) {
            found = Some(info.text.clone());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    found
}
