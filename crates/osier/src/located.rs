//! The kernel of a snapshot, found: of whichever operating system the evidence says.

use std::ops::{ControlFlow, Range};

use osier_memory::{AddressSpace, Cause, Hint, Machine, PhysAddr, VirtAddr};
use osier_osi::{Premise, System};
use osier_profile::OsKind;
use osier_snapshot::Snapshot;

use crate::kernel::{Last, Located};
use crate::known::Known;
use crate::missing::{Met, NoKernel};
use crate::os_name::OsName;
use crate::{Error, Options, registers};

/// Finds the kernel and holds it against what the caller said.
pub(crate) fn find(
    snapshot: &Snapshot,
    options: &Options,
    known: &Known,
    lasts: &[Last],
) -> Result<Located, Error> {
    let name = Name::of(options)?;
    let search = Search::new(snapshot, options, known, lasts, name.as_ref());
    let located = match options.table_root {
        Some(root) => match search.through(root) {
            Ok(located) => located,
            Err(met) => search.beside(root).ok_or(Error::NotARoot {
                root,
                seen: met.seen,
            })?,
        },
        None => match search.run() {
            Ok(located) => located,
            Err(met) => return Err(Box::new(NoKernel::of(snapshot, met)).into()),
        },
    };
    held_against(&located, snapshot, options, name.as_ref())?;
    Ok(located)
}

/// As [`find`], but only the kernel that `known` describes, where `last` has it: a few reads decide.
/// `None` when it is not there, and where a search would have other things to try before.
pub(crate) fn again(
    snapshot: &Snapshot,
    options: &Options,
    known: &Known,
    last: Last,
) -> Option<Result<Located, Error>> {
    if options.table_root.is_some() {
        return None;
    }
    let name = Name::of(options).ok()?;
    let located = Search::new(snapshot, options, known, &[last], name.as_ref()).again()?;
    let held = held_against(&located, snapshot, options, name.as_ref());
    Some(held.map(|()| located))
}

/// Holds the kernel that was found against what the caller said.
fn held_against(
    located: &Located,
    snapshot: &Snapshot,
    options: &Options,
    name: Option<&Name<'_>>,
) -> Result<(), Error> {
    if let Some(Name { given, named }) = name {
        let bytes = located.mode().pointer_bytes();
        let release = match located {
            Located::Windows(found) => (found.version)
                .map_or_else(String::new, |(major, minor)| format!("{major}.{minor}")),
            other => other.release(),
        };
        if let Some(found) = named.contradiction(located.os(), bytes, &release) {
            let named = (*given).to_owned();
            return Err(Error::Contradiction { named, found });
        }
    }
    if let Some(file) = &options.registers {
        registers::held_against(&snapshot.machine, located, file)?;
    }
    Ok(())
}

/// The system that the caller named.
struct Name<'a> {
    given: &'a str,
    named: OsName,
}

impl<'a> Name<'a> {
    fn of(options: &'a Options) -> Result<Option<Self>, Error> {
        let Some(given) = &options.os else {
            return Ok(None);
        };
        let others: Vec<_> = options.systems().map(System::name).collect();
        let named = OsName::parse_among(given, &others)?;
        Ok(Some(Self { given, named }))
    }
}

/// A search for a kernel.
struct Search<'a> {
    machine: &'a Machine,
    known: &'a Known,
    lasts: &'a [Last],
    /// The system that was named.
    only: Option<OsKind>,
    /// The systems of the registry that it may be.
    others: Vec<&'static dyn System>,
}

impl<'a> Search<'a> {
    fn new(
        snapshot: &'a Snapshot,
        options: &Options,
        known: &'a Known,
        lasts: &'a [Last],
        name: Option<&Name<'_>>,
    ) -> Self {
        Self {
            machine: &snapshot.machine,
            known,
            lasts,
            only: name.map(|name| name.named.os),
            others: options
                .systems()
                .filter(|system| match name {
                    Some(name) => name.named.system.as_deref() == Some(system.name()),
                    None => true,
                })
                .collect(),
        }
    }

    /// Whether it may be Linux, by what the file is: a crash dump holds Windows.
    fn may_be_linux(&self) -> bool {
        let dump = |hint: &Hint| matches!(hint, Hint::CrashDump(_));
        !self.machine.hints.iter().any(dump)
    }

    /// A Linux kernel of the last time: a few reads decide.
    fn again(&self) -> Option<Located> {
        let other = matches!(self.only, Some(OsKind::Windows | OsKind::Other));
        if other || !self.may_be_linux() {
            return None;
        }
        let machine = self.hinted(OsKind::Linux);
        osier_linux::again(&machine, &self.known.linux).map(Located::Linux)
    }

    /// The kernel. The other system than the one that was named is looked for only where that costs
    /// little: who names one knows better than a search does, and a contradiction is better known.
    ///
    /// A Linux kernel of the last time is looked at first, for a few reads decide; then what tells a
    /// Windows kernel at little cost; then Linux is searched for, then Windows everywhere. A Windows
    /// crash dump holds Windows.
    fn run(&self) -> Result<Located, Met> {
        let mut met = Met::default();
        if self.only == Some(OsKind::Other) {
            return self.other(None, met);
        }
        let linux = self.may_be_linux();
        if let Some(found) = self.again() {
            return Ok(found);
        }
        if let Some(found) = self.windows_glance() {
            return Ok(found);
        }
        match self.only {
            Some(OsKind::Windows) if linux => {
                let machine = self.hinted(OsKind::Linux);
                if let Some(found) = osier_linux::glance(&machine, &self.known.linux) {
                    return Ok(Located::Linux(found));
                }
            }
            _ if linux => {
                let machine = self.hinted(OsKind::Linux);
                match osier_linux::locate(&machine, &self.known.linux) {
                    Ok(found) => return Ok(Located::Linux(found)),
                    Err(error) => add_linux(&mut met, error),
                }
            }
            _ => {}
        }
        if self.only != Some(OsKind::Linux) {
            let machine = self.hinted(OsKind::Windows);
            match osier_windows::locate(&machine, &self.known.windows) {
                Ok(found) => return Ok(Located::Windows(found)),
                Err(error) => met.tried.push(error.to_string()),
            }
        }
        self.other(None, met)
    }

    /// A kernel of the registry's systems, through the table at `root` if that was named.
    fn other(&self, root: Option<PhysAddr>, mut met: Met) -> Result<Located, Met> {
        let machine = self.hinted(OsKind::Other);
        for system in &self.others {
            match system.locate(&machine, root) {
                Ok(found) => return Ok(Located::Other(found)),
                Err(tried) => met.tried.push(tried),
            }
        }
        Err(met)
    }

    /// The kernel that the table at `root` maps, which may be any process's.
    fn through(&self, root: PhysAddr) -> Result<Located, Met> {
        let mut met = Met::default();
        if self.only == Some(OsKind::Other) {
            return self.other(Some(root), met);
        }
        if self.may_be_linux() && self.only != Some(OsKind::Windows) {
            match osier_linux::locate_by(self.machine, &self.known.linux, root) {
                Ok(found) => return Ok(Located::Linux(found)),
                Err(error) => add_linux(&mut met, error),
            }
        }
        if self.only != Some(OsKind::Linux) {
            match osier_windows::locate_by(self.machine, &self.known.windows, root) {
                Ok(found) => return Ok(Located::Windows(found)),
                Err(error) => met.tried.push(error.to_string()),
            }
        }
        self.other(Some(root), met)
    }

    /// The kernel as any other table maps it, when the one at `root` is a table of the same machine that
    /// does not show it: it maps a part of the image and no more, as user mode's table does under KPTI
    /// or KVA shadow, or it leads to tables that the file does not hold, as in a small snapshot.
    fn beside(&self, root: PhysAddr) -> Option<Located> {
        const USER_HALF: u64 = 0x1000;
        let mut located = self.run().ok()?;
        let kernel = located.space(self.machine);
        let end = self.machine.memory.runs().last()?.end();
        let undecided = |root: u64| {
            let own = kernel.with_root(kernel.root_of_cr3(root));
            let walk = own.walk(located.base());
            let lost = walk.outcome.err().filter(|fault| {
                let wrong = matches!(fault.cause, Cause::NotPresent { .. } | Cause::NonCanonical);
                !wrong && fault.pa.is_some_and(|at| at < end)
            });
            lost.is_some() && !walk.steps.is_empty()
        };
        let met = if maps_part(&kernel, root, located.image()) {
            "maps a part of the kernel's image, as user mode's table does"
        } else if undecided(root.0) || undecided(root.0 & !USER_HALF) {
            "leads to a table that the file does not hold"
        } else {
            return None;
        };
        let by =
            format!("the table root {root} that was named {met}; the kernel was found without it");
        let premises = match &mut located {
            Located::Linux(found) => &mut found.premises,
            Located::Windows(found) => &mut found.premises,
            Located::Other(_) => return None,
        };
        premises.push(Premise {
            about: "named-root",
            value: root.to_string(),
            by,
        });
        Some(located)
    }

    fn windows_glance(&self) -> Option<Located> {
        let machine = self.hinted(OsKind::Windows);
        osier_windows::glance(&machine, &self.known.windows).map(Located::Windows)
    }

    /// The machine, with the roots of the last times that were kernels of `os`.
    fn hinted(&self, os: OsKind) -> Machine {
        let mut machine = self.machine.clone();
        let lasts = self.lasts.iter().filter(|last| last.os == os);
        let roots = lasts.map(|last| Hint::LastRoot(last.root, last.mode));
        machine.hints.extend(roots);
        machine
    }
}

/// Whether the table at `root` maps a part of the `image` as the table of `kernel` does.
fn maps_part(kernel: &AddressSpace, root: PhysAddr, image: Range<VirtAddr>) -> bool {
    let own = kernel.with_root(kernel.root_of_cr3(root.0));
    let mut same = false;
    own.mapped(image, &mut |range| {
        let Ok(range) = range else {
            return ControlFlow::Continue(());
        };
        same = kernel.translate(range.start) == Ok(range.phys);
        ControlFlow::Break(())
    });
    same
}

fn add_linux(met: &mut Met, error: osier_linux::LocateError) {
    met.tried.push(error.to_string());
    let osier_linux::LocateError::NotFound { seen, .. } = error;
    met.seen.extend(seen);
}
