//! Finding the kernel: from most to least knowledge, each step confirmed before it is believed.
//!
//! 1. What the headers of a crash dump name: the table root, and pointers into the kernel.
//! 2. The processors' registers: CR3, and LSTAR and the IDT, which point into the kernel.
//! 3. The low stub: the page below 1 MiB that other processors are started by (x64).
//! 4. One pass over memory for page tables that map themselves, as every Windows table does.
//!
//! Each gives a paging mode and a table root. A root is believed when it maps an image that calls
//! itself the kernel: a PE header whose CodeView record names `ntkrnlmp.pdb` or another of the
//! kernel's PDBs. Where that record was not captured, the distances between the pointers of a crash
//! dump or of KDBG name the build among those that are known.

mod candidate;
mod found;
mod image;
mod kdbg;
mod pages;
mod pointers;

use osier_memory::{AddressSpace, Hint, Machine, Paging, PhysAddr, VirtAddr};
use osier_osi::Premise;

use crate::shared_data;

use candidate::Candidate;
pub(crate) use candidate::kpcr32;
pub(crate) use found::premise;
pub use found::{KnownKernel, LocateError, Located};
pub(crate) use image::Image;
pub(crate) use kdbg::decode;
use pages::Learnt;
pub(crate) use pointers::Pointers;

/// Finds the kernel in `machine`. `known` are kernels met before; one of them is needed only where
/// the kernel's own name was not captured.
///
/// # Errors
///
/// [`LocateError`] says what was tried.
pub fn locate(machine: &Machine, known: &[KnownKernel]) -> Result<Located, LocateError> {
    let mut finder = Finder::new(machine, known);
    let near = candidate::near(machine);
    for effort in [Effort::Clues, Effort::Everywhere] {
        if let Some(found) = finder.first(&near, effort) {
            return Ok(found);
        }
    }
    let far = candidate::self_mapping(machine);
    if let Some(found) = finder.first(&far, Effort::Everywhere) {
        return Ok(found);
    }
    let near = near.len();
    let from = "table roots from headers, registers and the low stub";
    Err(finder.failed(&format!(
        "{near} {from}; {} page tables that map themselves",
        far.len()
    )))
}

/// As [`locate`], but through the table at `root` alone, which somebody named: a CR3, or a process's
/// `DirectoryTableBase`, with its low bits or without.
///
/// # Errors
///
/// [`LocateError`] says what was met there.
pub fn locate_by(
    machine: &Machine,
    known: &[KnownKernel],
    root: PhysAddr,
) -> Result<Located, LocateError> {
    let mut finder = Finder::new(machine, known);
    let by = format!("the table root {root} that was named");
    let candidates = candidate::any_mode(root, &by);
    let found = finder.first(&candidates, Effort::Everywhere);
    found.ok_or_else(|| finder.failed(&by))
}

/// As [`locate`], but only where little is read: what headers, registers and the low stub point at.
/// A machine of another operating system is told at once.
pub fn glance(machine: &Machine, known: &[KnownKernel]) -> Option<Located> {
    Finder::new(machine, known).first(&candidate::near(machine), Effort::Clues)
}

/// How much is read to find the kernel's image below a table root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effort {
    /// Only what clues point at.
    Clues,
    /// All of the kernel half.
    Everywhere,
}

/// The state of one search.
struct Finder<'a> {
    machine: &'a Machine,
    known: &'a [KnownKernel],
    /// Images that were met and are not the kernel.
    images: usize,
    learnt: Learnt,
}

impl<'a> Finder<'a> {
    fn new(machine: &'a Machine, known: &'a [KnownKernel]) -> Self {
        Self {
            machine,
            known,
            images: 0,
            learnt: Learnt::of(&*machine.memory),
        }
    }

    fn failed(&self, tried: &str) -> LocateError {
        let mut tried = format!(
            "{tried}; {} images met, none of them the kernel",
            self.images
        );
        if self.learnt.tables.exhausted() {
            tried.push_str("; the search ended at its limit of page tables");
        }
        LocateError { tried }
    }

    /// The first candidate that maps a kernel.
    fn first(&mut self, candidates: &[Candidate], effort: Effort) -> Option<Located> {
        candidates.iter().find_map(|one| self.confirm(one, effort))
    }

    fn confirm(&mut self, candidate: &Candidate, effort: Effort) -> Option<Located> {
        let space = candidate.space(self.machine);
        let clues = candidate.clues(self.machine, &space);
        for clue in &clues {
            if let Some(image) = image::below(&space, clue.at, &mut self.images) {
                return Some(self.located(candidate, &space, image, &clue.by));
            }
        }
        if let Some(found) = self.by_header_pointers(candidate, &space) {
            return Some(found);
        }
        let trusted = effort == Effort::Everywhere || candidate.trusted;
        if !trusted || matches!(candidate.mode, Paging::Virtual | Paging::Flat) {
            return None;
        }
        let image = image::anywhere(&space, &mut self.learnt, &mut self.images)?;
        Some(self.located(candidate, &space, image, "a search of the kernel half"))
    }

    /// The build that the pointers of a crash dump's header tell, by their distances.
    fn by_header_pointers(&self, candidate: &Candidate, space: &AddressSpace) -> Option<Located> {
        let dump = self.machine.hints.iter().find_map(|hint| match hint {
            Hint::CrashDump(dump) => Some(dump),
            _ => None,
        })?;
        let pointers = Pointers::of_header(dump, candidate.mode)?;
        let (known, base) = pointers.build(self.known)?;
        pointers.confirm(space, base, &self.machine.hints).then(|| {
            let by = "the distances between the pointers of the crash dump's header";
            let mut found = bare(candidate, space, base);
            found.build_id.clone_from(&known.build_id);
            found.take(&pointers);
            found
                .premises
                .push(premise("kernel-base", &base.to_string(), by));
            found.premises.extend(id_premise(&found, by));
            found
        })
    }

    fn located(
        &self,
        candidate: &Candidate,
        space: &AddressSpace,
        image: Image,
        by: &str,
    ) -> Located {
        let mut found = bare(candidate, space, image.base);
        found.size = Some(image.size);
        let base = image.base.to_string();
        let by = format!("the PE header below {by}");
        found.premises.push(premise("kernel-base", &base, &by));
        let dump = self.machine.hints.iter().find_map(|hint| match hint {
            Hint::CrashDump(dump) => Pointers::of_header(dump, candidate.mode),
            _ => None,
        });
        if let Some(pointers) = dump {
            found.take(&pointers);
        }
        if let Some(codeview) = image.codeview {
            let by = "the CodeView record of the kernel's image";
            found.build_id = Some(codeview.build_id);
            found.pdb = Some(codeview.pdb).filter(|name| !name.is_empty());
            let pdb = found.pdb.as_deref();
            found
                .premises
                .extend(pdb.map(|name| premise("pdb", name, by)));
            found.premises.extend(id_premise(&found, by));
            return found;
        }
        found.unnamed = image.unnamed;
        // There is no record, or it was not captured: KDBG's pointers may name the build.
        let pointers = dump.or_else(|| kdbg::find(space, image.base, image.size));
        if let Some(pointers) = pointers {
            found.take(&pointers);
            if let Some((known, base)) = pointers.build(self.known)
                && base == image.base
            {
                found.build_id.clone_from(&known.build_id);
                found.premises.extend(id_premise(
                    &found,
                    "the distances between the kernel's pointers; the CodeView record was not read",
                ));
            }
        }
        found
    }
}

impl Located {
    fn take(&mut self, pointers: &Pointers) {
        self.active_processes = Some(pointers.active_processes);
        self.loaded_modules = Some(pointers.loaded_modules);
    }
}

fn bare(candidate: &Candidate, space: &AddressSpace, base: VirtAddr) -> Located {
    let mut premises = vec![premise("paging", candidate.mode.name(), &candidate.by)];
    if candidate.mode.entry_bytes() != 0 {
        let root = space.root().to_string();
        premises.push(premise("table-root", &root, &candidate.by));
    }
    let encryption = space.encryption();
    if encryption != 0 {
        let by = "the entries of the table root have it, past the end of RAM";
        premises.push(premise("encryption", &format!("{encryption:#x}"), by));
    }
    let version = shared_data::version(space);
    if let Some((major, minor)) = version {
        let by = "_KUSER_SHARED_DATA";
        premises.push(premise("version", &format!("{major}.{minor}"), by));
    }
    Located {
        mode: candidate.mode,
        root: space.root(),
        base,
        encryption,
        size: None,
        build_id: None,
        pdb: None,
        unnamed: false,
        version,
        active_processes: None,
        loaded_modules: None,
        premises,
    }
}

fn id_premise(found: &Located, by: &str) -> Option<Premise> {
    let id = found.build_id.as_ref()?;
    Some(premise("build-id", &id.to_string(), by))
}
