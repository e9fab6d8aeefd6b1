//! Attaching: a located kernel and its profile become a provider.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use osier_memory::{Cause, Fault, Hint, Machine, Paging, VirtAddr};
use osier_osi::{Kernel, Premise};
use osier_profile::{LayoutError, OsKind, Profile, Resolver};

use crate::Located;
use crate::guest::Guest;
use crate::layouts::{
    current, driver, handles, loader, object, peb, process, section, threads, token, trap, vad,
};
use crate::locate::{decode, premise};
use crate::symbols;
use crate::windows::Windows;
use crate::{entries, root};

/// Longest `NtBuildLab`.
const BUILD_LAB: usize = 256;

/// Why a provider could not be made of a located kernel and a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// Neither the profile nor the snapshot's header names the process list.
    #[error(
        "the profile has no symbol {0}, and no crash-dump header or KDBG names it; import the PDB"
    )]
    NoSymbol(&'static str),
    /// The profile lacks members that the walkers read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The profile is another kernel's.
    #[error("the profile does not fit this kernel: {0}; give one that was made of this very build")]
    WrongProfile(String),
}

impl Windows {
    /// Makes a provider of the kernel that `located` names, read by `profile`.
    ///
    /// # Errors
    ///
    /// A profile that lacks what the walkers read, or that does not fit: no process list where it
    /// says.
    pub fn attach(
        machine: &Machine,
        located: &Located,
        profile: Arc<Profile>,
    ) -> Result<Self, AttachError> {
        if profile.identity().os != OsKind::Windows
            || profile.identity().pointer_bytes != located.mode.pointer_bytes()
        {
            let bits = located.mode.pointer_bytes().saturating_mul(8);
            let wrong = format!("it does not describe a {bits}-bit Windows kernel");
            return Err(AttachError::WrongProfile(wrong));
        }
        let mut resolver = Resolver::new(&profile);
        let process = process::Layout::resolve(&mut resolver);
        let handles = handles::Layout::resolve(&mut resolver);
        let peb = peb::Layout::resolve(&mut resolver);
        let loader = loader::Layout::resolve(&mut resolver);
        let threads = threads::Layout::resolve(&mut resolver);
        let current = current::Layout::resolve(&mut resolver);
        let vad = vad::Layout::resolve(&mut resolver);
        let section = section::Layout::resolve(&mut resolver);
        let object = object::Layout::resolve(&mut resolver);
        let token = token::Layout::resolve(&mut resolver);
        let driver = driver::Layout::resolve(&mut resolver);
        let trap = trap::Layout::resolve(&mut resolver);
        let entries = entries::Layout::resolve(&mut resolver);
        resolver.finish()?;

        let space = located.space(machine);
        let mut guest = Guest {
            space,
            profile,
            base: located.base,
            cpus: machine.cpus.clone(),
        };
        let mut premises = located.premises.clone();
        let facts = entries.facts(&guest, &mut premises);
        guest.space = guest.space.with_policy_words(facts.words());
        let named = kdbg(&guest, &mut premises);
        let or_named =
            |symbol: &str, told: Option<VirtAddr>, of: fn(&(VirtAddr, VirtAddr)) -> VirtAddr| {
                guest.symbol(symbol).or(told).or(named.as_ref().map(of))
            };
        let processes_at = or_named(
            symbols::PsActiveProcessHead,
            located.active_processes,
            |n| n.0,
        )
        .ok_or(AttachError::NoSymbol(symbols::PsActiveProcessHead))?;
        let modules_at = or_named(symbols::PsLoadedModuleList, located.loaded_modules, |n| n.1);

        let banner = guest
            .symbol(symbols::NtBuildLab)
            .and_then(|at| guest.space.read_cstr(at, BUILD_LAB).ok())
            .unwrap_or_default();
        if let Some(shadow) = kva_shadow(&guest) {
            premises.push(premise("kva-shadow", shadow, symbols::KiKvaShadow));
        }
        premises.extend(guest.profile.provenance().iter().map(|line| Premise {
            about: "profile",
            value: guest.profile.identity().release.clone(),
            by: format!("the profile, which was made of {line}"),
        }));
        let kernel = Kernel {
            os: OsKind::Windows,
            banner,
            build_id: located.build_id.as_ref().map(ToString::to_string),
            premises,
        };
        let drivers = machine.hints.iter().filter_map(|hint| match hint {
            Hint::Driver(driver) => Some(driver),
            _ => None,
        });
        let processors = machine.hints.iter().find_map(|hint| match hint {
            Hint::CrashDump(dump) => Some(dump.processors),
            _ => None,
        });
        let mut windows = Self {
            guest,
            processes_at,
            modules_at,
            process,
            handles,
            peb,
            loader,
            threads,
            current,
            vad,
            section,
            object,
            token,
            driver,
            trap,
            spans: RefCell::new(None),
            kinds: RefCell::new(HashMap::new()),
            roots: OnceCell::new(),
            drivers: drivers.cloned().collect(),
            processors,
            kernel,
        };
        windows.confirm(located, named.is_some())?;
        windows.use_system_table(located);
        Ok(windows)
    }

    /// Checks that the process list is one.
    ///
    /// A page that the snapshot does not hold is no contradiction: rows and endings say so later. Nor is
    /// a list that the kernel has not built yet, where something else says that the profile is this
    /// kernel's: KDBG by `kdbg`, the image's record, or the build's number.
    fn confirm(&self, located: &Located, kdbg: bool) -> Result<(), AttachError> {
        let wrong = |fault: &Fault| {
            matches!(
                fault.cause,
                Cause::NotPresent { .. } | Cause::NonCanonical | Cause::NoRam
            )
        };
        let head = self.processes_at;
        let named = located.build_id.is_some()
            && located.build_id == self.guest.profile.identity().build_id;
        let problem = match self.guest.space.read_pointer(head) {
            Ok(_) if self.guest.is_unbuilt(head) => {
                if named || kdbg || self.has_build_number() {
                    return Ok(());
                }
                format!(
                    "PsActiveProcessHead at {head} is all zeros, and nothing says that the kernel has not \
                     built its list yet"
                )
            }
            Ok(first) if self.guest.plausible(first).is_err() => {
                format!("PsActiveProcessHead at {head} leads to {first}, where no process can lie")
            }
            Err(fault) if wrong(&fault) => {
                format!(
                    "PsActiveProcessHead should lie at {head}, but nothing is mapped there: {fault}"
                )
            }
            _ => return Ok(()),
        };
        Err(AttachError::WrongProfile(problem))
    }

    /// Whether `NtBuildNumber` holds one: 16 bits, and above them 0xf000 (free) or 0xc000 (checked).
    fn has_build_number(&self) -> bool {
        let at = self.guest.symbol(symbols::NtBuildNumber);
        let word = at.and_then(|at| self.guest.space.read_uint(at, 4).ok());
        word.is_some_and(|word| matches!(word >> 16, 0xf000 | 0xc000) && word & 0xffff > 1000)
    }

    /// Reads the kernel by the System process's own table, when it maps the kernel as the located
    /// one does: any other process may be gone.
    fn use_system_table(&mut self, located: &Located) {
        if matches!(located.mode, Paging::Flat | Paging::Virtual) {
            return;
        }
        let Some(system) = self.system() else {
            return;
        };
        let Ok(root) = root::root_word(self, system) else {
            return;
        };
        let space = self.guest.space.with_root(root);
        let place = self.guest.space.translate(located.base);
        if root == self.guest.space.root()
            || place.is_err()
            || space.translate(located.base) != place
        {
            return;
        }
        let by = format!("DirectoryTableBase of the System process at {system}");
        self.kernel
            .premises
            .push(premise("system-table-root", &root.to_string(), &by));
        self.guest.space = space;
    }
}

/// `PsActiveProcessHead` and `PsLoadedModuleList` as KDBG names them.
fn kdbg(guest: &Guest, premises: &mut Vec<Premise>) -> Option<(VirtAddr, VirtAddr)> {
    let block = guest.symbol(symbols::KdDebuggerDataBlock)?;
    let found = decode(&guest.space, guest.base, block, &|name| guest.symbol(name));
    let found = found.ok().flatten()?;
    let how = if found.encoded { "encoded" } else { "plain" };
    let by = format!("KDBG, {how}: its KernBase is the kernel's base");
    premises.push(premise("kdbg", &block.to_string(), &by));
    let pointers = found.pointers;
    Some((pointers.active_processes, pointers.loaded_modules))
}

/// Whether user mode runs on tables of its own.
fn kva_shadow(guest: &Guest) -> Option<&'static str> {
    let at = guest.symbol(symbols::KiKvaShadow)?;
    match guest.space.read_uint(at, 1).ok()? {
        0 => Some("off"),
        1 => Some("on"),
        _ => None,
    }
}
