//! The kernel of a snapshot, found: of whichever operating system the evidence says.

use std::ops::{ControlFlow, Range};

use osier_memory::{AddressSpace, Cause, Hint, Machine, PhysAddr, VirtAddr};
use osier_osi::Premise;
use osier_profile::OsKind;
use osier_snapshot::Snapshot;

use crate::kernel::{LastKernel, Located};
use crate::known::KnownKernels;
use crate::missing::{Met, NoKernel};
use crate::os_name::OsName;
use crate::registry::{self, Entry};
use crate::{Error, Options, registers};

/// Finds the kernel and holds it against what the caller said.
pub(crate) fn find(
    snapshot: &Snapshot,
    options: &Options,
    known: &KnownKernels,
    lasts: &[LastKernel],
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
    known: &KnownKernels,
    last: LastKernel,
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
        let systems = registry::all(&options.systems);
        let others = systems.iter().filter(|system| system.os() == OsKind::Other);
        let others: Vec<_> = others.map(|system| system.name()).collect();
        let named = OsName::parse_among(given, &others)?;
        Ok(Some(Self { given, named }))
    }
}

/// A search for a kernel.
struct Search<'a> {
    machine: &'a Machine,
    known: &'a KnownKernels,
    lasts: &'a [LastKernel],
    /// The kind of system that was named.
    only: Option<OsKind>,
    /// The systems that it may be by what the file is.
    systems: Vec<Looked>,
}

/// A system, and whether it is one that the caller lets it be.
struct Looked {
    system: Box<dyn Entry>,
    wanted: bool,
}

impl<'a> Search<'a> {
    fn new(
        snapshot: &'a Snapshot,
        options: &Options,
        known: &'a KnownKernels,
        lasts: &'a [LastKernel],
        name: Option<&Name<'_>>,
    ) -> Self {
        let machine = &snapshot.machine;
        let wanted = |system: &dyn Entry| match name {
            Some(Name { named, .. }) => {
                let other = named.os == OsKind::Other;
                named.os == system.os()
                    && (!other || named.system.as_deref() == Some(system.name()))
            }
            None => true,
        };
        let systems = registry::all(&options.systems).into_iter();
        let systems = systems.filter(|system| system.may_be(machine));
        let systems = systems.map(|system| Looked {
            wanted: wanted(&*system),
            system,
        });
        Self {
            machine,
            known,
            lasts,
            only: name.map(|name| name.named.os),
            systems: systems.collect(),
        }
    }

    /// The systems that are searched for in full, in their order.
    fn wanted(&self) -> impl Iterator<Item = &dyn Entry> {
        let wanted = self.systems.iter().filter(|looked| looked.wanted);
        wanted.map(|looked| &*looked.system)
    }

    /// A kernel of the last time: a few reads decide.
    fn again(&self) -> Option<Located> {
        self.wanted().find_map(|system| {
            let machine = self.hinted(system.os());
            system.again(&machine, self.known)
        })
    }

    /// The kernel. Another system than the one that was named is looked for only where that costs
    /// little: who names one knows better than a search does, and a contradiction is better known.
    ///
    /// A kernel of the last time is looked at first, for a few reads decide; then what tells a kernel of
    /// any system at little cost, the last in the registry first; then each is searched for, in order.
    fn run(&self) -> Result<Located, Met> {
        if let Some(found) = self.again() {
            return Ok(found);
        }
        if let Some(found) = self.glance() {
            return Ok(found);
        }
        let mut met = Met::default();
        for system in self.wanted() {
            let machine = self.hinted(system.os());
            match system.locate(&machine, self.known, None) {
                Ok(found) => return Ok(found),
                Err(also) => met.join(also),
            }
        }
        Err(met)
    }

    /// The kernel of any system where little is read.
    fn glance(&self) -> Option<Located> {
        if self.only == Some(OsKind::Other) {
            return None;
        }
        let next = self.wanted().next();
        let next = next.filter(|system| system.begins_with_glance());
        let next = next.map(Entry::name);
        let systems = self.systems.iter().map(|looked| &*looked.system);
        let mut systems = systems.rev().filter(|system| Some(system.name()) != next);
        systems.find_map(|system| system.glance(&self.hinted(system.os()), self.known))
    }

    /// The kernel that the table at `root` maps, which may be any process's.
    fn through(&self, root: PhysAddr) -> Result<Located, Met> {
        let mut met = Met::default();
        for system in self.wanted() {
            match system.locate(self.machine, self.known, Some(root)) {
                Ok(found) => return Ok(found),
                Err(also) => met.join(also),
            }
        }
        Err(met)
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
