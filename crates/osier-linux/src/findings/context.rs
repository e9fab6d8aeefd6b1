//! What several rules look at, read once, and what they find.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::ops::{ControlFlow, Range};
use std::rc::Rc;

use osier_memory::VirtAddr;
use osier_osi::{Process, ProcessExtra, ScanSource, ScanSources, Seen, WalkEnd, WalkEnds};

pub(super) use osier_osi::rules::{
    About, Evidence, Found, Says, WALK, closed, hexadecimal, process, subject,
};

use crate::code_symbols::CodeSymbols;
use crate::modules::ModuleCode;
use crate::scan::{self, Met};
use crate::{Linux, tasks};

/// How a rule looks.
pub(super) type Look = fn(&Context<'_>, &mut Found);

/// A rule of this provider's.
pub(super) type Rule = osier_osi::rules::Rule<Look>;

/// How names of functions begin that system calls are made by: C's own since Linux commits ebeb8c82ffaf
/// ("syscalls/x86: Use 'struct `pt_regs`' based calling convention for `IA32_EMULATION` and x32") and fa697140f9a2, v4.17;
/// before, by `SYSCALL_DEFINE` and, for calls that need more registers than C keeps, by assembly.
pub(super) const CALLS: [&[u8]; 17] = [
    b"__x64_sys_",
    b"__x64_compat_sys_",
    b"__ia32_sys_",
    b"__ia32_compat_sys_",
    b"__x32_compat_sys_",
    b"sys_",
    b"compat_sys_",
    b"SyS_",
    b"compat_SyS_",
    b"sys32_",
    b"stub_",
    b"stub32_",
    b"ptregs_",
    b"ni_syscall",
    b"compat_ni_syscall",
    b"quiet_ni_syscall",
    b"old_",
];
/// Bytes of code that are shown of a place.
const SHOWN: usize = 16;

/// The name of a module, and its code.
type Named = (Vec<u8>, ModuleCode);

/// A walk of the guest that several rules need.
type Walked<T> = OnceCell<(Vec<T>, WalkEnds)>;

/// A module, and where its parts lie.
struct Part {
    name: Vec<u8>,
    ranges: Vec<Range<VirtAddr>>,
    /// Whether the list of modules has it.
    listed: bool,
}

/// What rules look at.
pub(super) struct Context<'a> {
    pub(super) linux: &'a Linux,
    processes: Walked<Process>,
    tasks: Walked<Met>,
    modules: Walked<(VirtAddr, ScanSources)>,
    code: OnceCell<(Vec<Part>, bool)>,
    listed: OnceCell<Vec<Seen<Named>>>,
    symbols: OnceCell<Result<CodeSymbols, String>>,
    calls: OnceCell<HashSet<VirtAddr>>,
}

/// Whose code lies at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The kernel's own.
    Kernel,
    /// That of a module on the list, by its name.
    Module(Vec<u8>),
    /// That of a module that hides from the list, by its name: as good as nobody's.
    Hidden(Vec<u8>),
    /// Neither the kernel's nor that of any module on the list.
    Nobody,
    /// That cannot be told: where some module lies could not be read.
    Unknown,
}

/// Whether the list of modules closed, although pages of their memory may not have been searched.
pub(super) fn lists_modules(ends: &WalkEnds) -> bool {
    let mut list = ends.0.iter().filter(|(walk, _)| *walk == "modules");
    let mut closed = false;
    list.all(|(_, end)| {
        closed |= end.is_closed();
        end.is_closed() || matches!(end, WalkEnd::Unread { .. })
    }) && closed
}

impl<'a> Context<'a> {
    pub(super) fn new(linux: &'a Linux) -> Self {
        Self {
            linux,
            processes: OnceCell::new(),
            tasks: OnceCell::new(),
            modules: OnceCell::new(),
            code: OnceCell::new(),
            listed: OnceCell::new(),
            symbols: OnceCell::new(),
            calls: OnceCell::new(),
        }
    }

    /// The processes.
    pub(super) fn processes(&self) -> &[Process] {
        let walked = self.processes.get_or_init(|| {
            let mut rows = Vec::new();
            let ends = tasks::processes(self.linux, None, &mut |process| {
                rows.push(process);
                ControlFlow::Continue(())
            });
            (rows, ends)
        });
        &walked.0
    }

    /// The processes that are programs, with memory of their own. Of which that cannot be told is not looked at, and lost.
    pub(super) fn programs(&self, found: &mut Found) -> Vec<&Process> {
        let is_program = |row: &Process, found: &mut Found| {
            let ProcessExtra::Linux(extra) = &row.extra else {
                return false;
            };
            match (&extra.kernel_thread, &row.asid) {
                (Ok(false), Ok(_)) => true,
                (Ok(true), _) => false,
                (Err(absent), _) => {
                    found.absent("whether a process is a program's", absent);
                    false
                }
                (Ok(false), Err(absent)) => {
                    found.absent("the page table of a process", absent);
                    false
                }
            }
        };
        let rows = self.processes().iter();
        rows.filter(|row| is_program(row, found)).collect()
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
        match parts.iter().find(|part| holds(&part.ranges)) {
            Some(part) if part.listed => Owner::Module(part.name.clone()),
            Some(part) => Owner::Hidden(part.name.clone()),
            None if *whole => Owner::Nobody,
            None => Owner::Unknown,
        }
    }

    /// Where the modules lie, and whether that is known of all of the list.
    fn code(&self) -> (Vec<Part>, bool) {
        let (guest, modules) = (&self.linux.guest, &self.linux.modules);
        let (all, ends) = self.modules();
        let mut code = Vec::new();
        let mut whole = lists_modules(ends);
        for (modd, by) in all {
            let listed = by.has(ScanSource::List);
            match modules.parts(guest, *modd) {
                Ok(parts) => code.push(Part {
                    name: modules.named(guest, *modd).ok().unwrap_or_default(),
                    ranges: parts
                        .iter()
                        .map(|part| part.base..part.base.plus(part.size))
                        .collect(),
                    listed,
                }),
                Err(_) if listed => whole = false,
                Err(_) => {}
            }
        }
        (code, whole)
    }

    /// The code of each module of the list, with its name.
    pub(super) fn listed_code(&self) -> &[Seen<Named>] {
        self.listed.get_or_init(|| {
            let (guest, modules) = (&self.linux.guest, &self.linux.modules);
            let space = Rc::new(guest.space.clone());
            let listed = |by: &ScanSources| by.has(ScanSource::List);
            let all = self.modules().0.iter().filter(|(_, by)| listed(by));
            // One that is being put together has no symbols yet.
            let unformed = |modd| matches!(modules.state(guest, modd), Some(Ok(1..)));
            let formed = all.filter(|(modd, _)| !unformed(*modd));
            formed
                .map(|(modd, _)| {
                    let name = modules.named(guest, *modd).ok().unwrap_or_default();
                    Ok((name, modules.code(guest, &space, *modd)?))
                })
                .collect()
        })
    }

    /// The symbols of the kernel's own code.
    pub(super) fn symbols(&self, found: &mut Found) -> Option<&CodeSymbols> {
        match self.symbols.get_or_init(|| self.linux.code_symbols()) {
            Ok(symbols) => Some(symbols),
            Err(reason) => {
                found.lost(&format!("the symbols of the kernel's code: {reason}"), None);
                None
            }
        }
    }

    /// The same, and where the functions begin that system calls are made by.
    pub(super) fn calls(&self, found: &mut Found) -> Option<(&CodeSymbols, &HashSet<VirtAddr>)> {
        let symbols = self.symbols(found)?;
        Some((symbols, self.calls.get_or_init(|| symbols.named(&CALLS))))
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

    /// What lies at `to`, where something leads: its first bytes, and whose code it is.
    pub(super) fn target(&self, to: VirtAddr) -> Vec<u8> {
        let whose = match self.owner(to) {
            Owner::Module(name) => [b"code of module ", name.as_slice()].concat(),
            Owner::Hidden(name) => {
                let name = [b"code of module ", name.as_slice()].concat();
                [&name, &b", which the list of modules lacks"[..]].concat()
            }
            Owner::Unknown => b"unknown code".to_vec(),
            Owner::Kernel | Owner::Nobody => b"no module on the list".to_vec(),
        };
        [self.bytes(to).as_bytes(), b" in ", &whose].concat()
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
