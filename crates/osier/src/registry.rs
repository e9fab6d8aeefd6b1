//! The systems that Osier reads: how each is looked for, and how its provider is made. Linux and Windows stand here as any
//! other does. A provider is a crate or a folder that implements [`System`], and a line here: an [`Other`] of it.

use std::collections::HashSet;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use osier_linux::CodeSymbols;
use osier_memory::{AddressSpace, Hint, Machine, PhysAddr, VirtAddr};
use osier_osi::{NoAttach, Osi, System};
use osier_profile::{OsKind, Profile};
use osier_symbols::image::{Image, symbol_table};

use crate::kernel::Located;
use crate::known::KnownKernels;
use crate::missing::Met;

/// The systems, in the order in which they are searched for.
fn own() -> [Box<dyn Entry>; 2] {
    [Box::new(Linux), Box::new(Windows)]
}

/// The same, and behind them those that a caller brings.
pub(crate) fn all(brought: &[&'static dyn System]) -> Vec<Box<dyn Entry>> {
    let mut all: Vec<Box<dyn Entry>> = own().into();
    for system in brought {
        all.push(Box::new(Other(*system)));
    }
    all
}

/// A system in the registry.
pub(crate) trait Entry: Sync {
    /// Its kind.
    fn os(&self) -> OsKind;

    /// What a caller names it by.
    fn name(&self) -> &'static str;

    /// Whether the machine may be of it, by what the file is.
    fn may_be(&self, machine: &Machine) -> bool {
        let _ = machine;
        true
    }

    /// A kernel that is known, by the roots of the last time: a few reads decide.
    fn again(&self, machine: &Machine, known: &KnownKernels) -> Option<Located> {
        let _ = (machine, known);
        None
    }

    /// Its kernel where little is read: a machine of another system is told at once.
    fn glance(&self, machine: &Machine, known: &KnownKernels) -> Option<Located> {
        let _ = (machine, known);
        None
    }

    /// Whether a search for it begins with its glance, which is then not taken by itself before.
    fn begins_with_glance(&self) -> bool {
        false
    }

    /// Looks for its kernel: through the page table at `root` alone, which somebody named, when there is one.
    ///
    /// # Errors
    ///
    /// What was tried and seen.
    fn locate(
        &self,
        machine: &Machine,
        known: &KnownKernels,
        root: Option<PhysAddr>,
    ) -> Result<Located, Met>;

    /// The provider of its kernel that was found, read by `profile`.
    ///
    /// # Errors
    ///
    /// The profile does not serve.
    fn attach(
        &self,
        machine: &Machine,
        located: &Located,
        profile: Arc<Profile>,
    ) -> Result<Box<dyn Osi>, NoAttach> {
        located.found().attach(machine, profile)
    }
}

/// The provider of a kernel that was found, read by `profile`.
///
/// # Errors
///
/// The profile does not serve.
pub(crate) fn attach(
    machine: &Machine,
    located: &Located,
    profile: Arc<Profile>,
) -> Result<Box<dyn Osi>, NoAttach> {
    let mut own = own().into_iter();
    match own.find(|system| system.name() == located.system()) {
        Some(system) => system.attach(machine, located, profile),
        // One that the caller brought.
        None => located.found().attach(machine, profile),
    }
}

/// Linux.
struct Linux;

impl Entry for Linux {
    fn os(&self) -> OsKind {
        OsKind::Linux
    }

    fn name(&self) -> &'static str {
        "linux"
    }

    /// A crash dump holds Windows.
    fn may_be(&self, machine: &Machine) -> bool {
        let dump = |hint: &Hint| matches!(hint, Hint::CrashDump(_));
        !machine.hints.iter().any(dump)
    }

    fn again(&self, machine: &Machine, known: &KnownKernels) -> Option<Located> {
        osier_linux::again(machine, &known.linux).map(Located::Linux)
    }

    fn glance(&self, machine: &Machine, known: &KnownKernels) -> Option<Located> {
        osier_linux::glance(machine, &known.linux).map(Located::Linux)
    }

    fn begins_with_glance(&self) -> bool {
        true
    }

    fn locate(
        &self,
        machine: &Machine,
        known: &KnownKernels,
        root: Option<PhysAddr>,
    ) -> Result<Located, Met> {
        let found = match root {
            Some(root) => osier_linux::locate_by(machine, &known.linux, root),
            None => osier_linux::locate(machine, &known.linux),
        };
        found.map(Located::Linux).map_err(|error| {
            let tried = vec![error.to_string()];
            let osier_linux::LocateError::NotFound { seen, .. } = error;
            Met { tried, seen }
        })
    }

    /// The provider parses no debug format: it is handed what reads the kernel's own symbols.
    fn attach(
        &self,
        machine: &Machine,
        located: &Located,
        profile: Arc<Profile>,
    ) -> Result<Box<dyn Osi>, NoAttach> {
        match located {
            Located::Linux(found) => {
                let linux = osier_linux::Linux::attach(machine, found, profile)?;
                Ok(Box::new(linux.with_code_symbols(code_symbols)))
            }
            Located::Windows(_) | Located::Other(_) => located.found().attach(machine, profile),
        }
    }
}

/// The functions of the Linux kernel in `image`, out of its own memory.
fn code_symbols(space: &AddressSpace, image: Range<VirtAddr>) -> Result<CodeSymbols, String> {
    let place = Image {
        text: image.start,
        end: image.end,
        slide: None,
    };
    let table = symbol_table(space, place)?;
    let mut starts = Vec::new();
    table.places(|kind, address| {
        if matches!(kind, b't' | b'T' | b'w' | b'W') && image.contains(&VirtAddr(address)) {
            starts.push(VirtAddr(address));
        }
    });
    let table = Rc::new(table);
    let (all, places) = (Rc::clone(&table), Rc::clone(&table));
    let name = move |start: VirtAddr| table.name_at(start.0);
    let named = move |words: &[&[u8]]| {
        let mut found = HashSet::new();
        let may_be = |first: u8, _: usize| words.iter().any(|word| word.first() == Some(&first));
        all.each_where(may_be, |_, name, address| {
            if words.iter().any(|word| name.starts_with(word)) {
                found.insert(VirtAddr(address));
            }
        });
        found
    };
    let place = move |wanted: &[u8]| {
        let mut found = None;
        let may_be = |first: u8, len: usize| wanted.first() == Some(&first) && len == wanted.len();
        places.each_where(may_be, |_, name, address| {
            if name == wanted {
                found.get_or_insert(VirtAddr(address));
            }
        });
        found
    };
    let (name, named, place) = (Box::new(name), Box::new(named), Box::new(place));
    Ok(CodeSymbols::new(starts, name, named, place))
}

/// Windows.
struct Windows;

impl Entry for Windows {
    fn os(&self) -> OsKind {
        OsKind::Windows
    }

    fn name(&self) -> &'static str {
        "windows"
    }

    fn glance(&self, machine: &Machine, known: &KnownKernels) -> Option<Located> {
        osier_windows::glance(machine, &known.windows).map(Located::Windows)
    }

    fn locate(
        &self,
        machine: &Machine,
        known: &KnownKernels,
        root: Option<PhysAddr>,
    ) -> Result<Located, Met> {
        let found = match root {
            Some(root) => osier_windows::locate_by(machine, &known.windows, root),
            None => osier_windows::locate(machine, &known.windows),
        };
        found.map(Located::Windows).map_err(|error| Met {
            tried: vec![error.to_string()],
            seen: Vec::new(),
        })
    }
}

/// Any other system.
struct Other(&'static dyn System);

impl Entry for Other {
    fn os(&self) -> OsKind {
        OsKind::Other
    }

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn locate(
        &self,
        machine: &Machine,
        _known: &KnownKernels,
        root: Option<PhysAddr>,
    ) -> Result<Located, Met> {
        let found = self.0.locate(machine, root);
        found.map(Located::Other).map_err(|tried| Met {
            tried: vec![tried],
            seen: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    /// The example's machine is Linux: of all that stand here, its own entry finds and attaches it.
    #[test]
    fn a_kernel_is_found_and_attached_by_the_entry_of_its_system() {
        let names = own().map(|system| system.name());
        assert_eq!(names, ["linux", "windows"]);
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
        let snapshot = crate::open_snapshot(file.as_ref(), &Options::default()).unwrap();
        let guest = crate::open(file).unwrap();
        for system in own() {
            let found = system.locate(&snapshot.machine, &KnownKernels::default(), None);
            let is_own = system.os() == OsKind::Linux;
            let root = guest.located().root();
            let through = system.locate(&snapshot.machine, &KnownKernels::default(), Some(root));
            assert_eq!((found.is_ok(), through.is_ok()), (is_own, is_own));
            match found {
                Ok(found) => {
                    assert_eq!(found.system(), system.name());
                    let profile = guest.profile().clone();
                    let osi = attach(&snapshot.machine, &found, profile).unwrap();
                    assert_eq!(osi.kernel().os, system.os());
                }
                Err(met) => assert!(!met.tried.is_empty()),
            }
        }
    }
}
