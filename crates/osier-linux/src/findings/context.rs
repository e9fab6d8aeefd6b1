//! What several rules look at, read once, and what they find.

use std::cell::OnceCell;
use std::ops::{ControlFlow, Range};

use osier_memory::VirtAddr;
use osier_osi::{Module, Process, ScanSources, WalkEnds};

pub(super) use osier_osi::rules::{
    About, Evidence, Found, Says, WALK, closed, hexadecimal, process, subject,
};

use crate::scan::{self, Met};
use crate::{Linux, tasks};

/// A rule.
pub(crate) struct Rule {
    /// What it is called and says of all that it finds.
    pub(super) about: About,
    /// Looks.
    pub(super) look: fn(&Context<'_>, &mut Found),
}

/// Bytes of code that are shown of a place.
const SHOWN: usize = 16;

/// A walk of the guest that several rules need.
type Walked<T> = OnceCell<(Vec<T>, WalkEnds)>;

/// The name of a module, and where its parts lie.
type Part = (Vec<u8>, Vec<Range<VirtAddr>>);

/// What rules look at.
pub(super) struct Context<'a> {
    pub(super) linux: &'a Linux,
    processes: Walked<Process>,
    tasks: Walked<Met>,
    modules: Walked<(VirtAddr, ScanSources)>,
    code: OnceCell<(Vec<Part>, bool)>,
}

/// Whose code lies at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The kernel's own.
    Kernel,
    /// That of a module on the list, by its name.
    Module(Vec<u8>),
    /// Neither the kernel's nor that of any module on the list.
    Nobody,
    /// That cannot be told: where some module lies could not be read.
    Unknown,
}

impl<'a> Context<'a> {
    pub(super) fn new(linux: &'a Linux) -> Self {
        Self {
            linux,
            processes: OnceCell::new(),
            tasks: OnceCell::new(),
            modules: OnceCell::new(),
            code: OnceCell::new(),
        }
    }

    /// The processes.
    pub(super) fn processes(&self) -> &[Process] {
        let walked = self.processes.get_or_init(|| {
            let mut rows = Vec::new();
            let ends = tasks::processes(self.linux, &mut |process| {
                rows.push(process);
                ControlFlow::Continue(())
            });
            (rows, ends)
        });
        &walked.0
    }

    /// Every task, linked or not, and how the walks to them ended.
    pub(super) fn tasks(&self) -> (&[Met], &WalkEnds) {
        let walked = self.tasks.get_or_init(|| scan::met(self.linux));
        (&walked.0, &walked.1)
    }

    /// Every module, linked or not, and how the walks to them ended.
    pub(super) fn modules(&self) -> (&[(VirtAddr, ScanSources)], &WalkEnds) {
        let searched = || self.linux.modules.searched(&self.linux.guest);
        let walked = self.modules.get_or_init(searched);
        (&walked.0, &walked.1)
    }

    /// Whose code lies at `at`.
    pub(super) fn owner(&self, at: VirtAddr) -> Owner {
        if self.linux.guest.code.contains(&at) {
            return Owner::Kernel;
        }
        let (parts, whole) = self.code.get_or_init(|| self.code());
        let holds = |ranges: &[Range<VirtAddr>]| ranges.iter().any(|range| range.contains(&at));
        match parts.iter().find(|(_, ranges)| holds(ranges)) {
            Some((name, _)) => Owner::Module(name.clone()),
            None if *whole => Owner::Nobody,
            None => Owner::Unknown,
        }
    }

    /// Where the modules of the list lie, by their names, and whether that is known of all.
    fn code(&self) -> (Vec<Part>, bool) {
        let mut code = Vec::new();
        let mut whole = true;
        let (guest, modules) = (&self.linux.guest, &self.linux.modules);
        let ends = modules.rows(guest, &mut |module: Module| {
            let name = module.name.ok().unwrap_or_default();
            match modules.parts(guest, module.modd) {
                Ok(parts) => {
                    let ranges = parts
                        .iter()
                        .map(|part| part.base..part.base.plus(part.size));
                    code.push((name, ranges.collect()));
                }
                Err(_) => whole = false,
            }
            ControlFlow::Continue(())
        });
        (code, whole && closed(&ends, "modules"))
    }

    /// Whether it is known which addresses are code: without the end of the kernel's, everything would be nobody's.
    pub(super) fn knows_code(&self, found: &mut Found) -> bool {
        let known = !self.linux.guest.code.is_empty();
        if !known {
            found.lost("_etext, where the kernel's code ends", None);
        }
        known
    }

    /// How the walks ended that several rules needed.
    pub(super) fn ends(&self) -> WalkEnds {
        let mut all = WalkEnds::default();
        let walked = [
            self.processes.get().map(|(_, ends)| ends),
            self.tasks.get().map(|(_, ends)| ends),
            self.modules.get().map(|(_, ends)| ends),
        ];
        for ends in walked.into_iter().flatten() {
            all.join(ends.clone());
        }
        all
    }

    /// The first bytes at `at`, in hexadecimal; words where they cannot be read.
    pub(super) fn bytes(&self, at: VirtAddr) -> String {
        let mut bytes = [0; SHOWN];
        match self.linux.guest.space.read(at, &mut bytes) {
            Ok(()) => hexadecimal(&bytes),
            Err(_) => "unreadable".to_owned(),
        }
    }
}
