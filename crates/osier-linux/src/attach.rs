//! Attaching: a located kernel and its profile become a provider.

use std::cell::OnceCell;
use std::ops::ControlFlow;
use std::sync::Arc;

use osier_memory::{AddressSpace, Machine, VirtAddr};
use osier_osi::{
    Current, Handle, Kernel, Mapping, Module, Osi, PageRange, Panda, Premise, Process, Seen,
    Thread, WalkEnds,
};
use osier_profile::{LayoutError, OsKind, Profile, Resolver};

use crate::Located;
use crate::guest::{self, Guest};
use crate::locate::bit_names;
use crate::{clock, current, mappings, memory, modules, pages, pid, process, tasks, threads};

/// Why a provider could not be made of a located kernel and a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// The profile does not have a symbol that everything starts from.
    #[error("the profile has no symbol {0}; import System.map or a vmlinux with symbols")]
    NoSymbol(&'static str),
    /// The profile lacks members that the walkers read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The profile is another kernel's.
    #[error("the profile does not fit this kernel: {0}")]
    WrongProfile(String),
}

/// The Linux provider.
#[derive(Clone)]
pub struct Linux {
    pub(crate) guest: Guest,
    /// The first processor's idle task, which heads the task list.
    pub(crate) init_task: Option<VirtAddr>,
    /// The root user's `user_struct`; read once.
    pub(crate) root_user: OnceCell<Option<VirtAddr>>,
    pub(crate) tasks: tasks::Tasks,
    pub(crate) mm: mappings::Mm,
    pub(crate) maps: mappings::Maps,
    pub(crate) modules: modules::Modules,
    pub(crate) cred: process::Cred,
    pub(crate) signal: process::Signal,
    pub(crate) state_bits: process::StateBits,
    pub(crate) run_queue: threads::RunQueue,
    pub(crate) pcpu_hot: current::PcpuHot,
    pub(crate) running: current::Running,
    pub(crate) queue: current::Queue,
    /// `None` when the profile does not describe the pid table.
    pub(crate) pids: Option<pid::PidTable>,
    /// `None` when the profile does not describe it.
    pub(crate) number: Option<pid::Number>,
    /// The threads of the pid table by their leaders; read once.
    pub(crate) numbered: OnceCell<Option<threads::Numbered>>,
    clock: clock::Clock,
    offsets: OnceCell<clock::Offsets>,
    kernel: Kernel,
}

impl Linux {
    /// Makes a provider of the kernel that `located` names, read by `profile`.
    ///
    /// # Errors
    ///
    /// A profile that lacks what the walkers read, or that does not fit: the `init_task` it names
    /// is not the swapper.
    pub fn attach(
        machine: &Machine,
        located: &Located,
        profile: Arc<Profile>,
    ) -> Result<Self, AttachError> {
        let text = profile.symbol("_text").or_else(|| profile.symbol("_stext"));
        let linked = text.ok_or(AttachError::NoSymbol("_text"))?;
        let space = located.space(machine);
        let slide = located.text.0.wrapping_sub(linked);
        let mut resolver = Resolver::new(&profile);
        let tasks = tasks::Tasks::resolve(&mut resolver);
        let mm = mappings::Mm::resolve(&mut resolver);
        let maps = mappings::Maps::resolve(&mut resolver);
        let modules = modules::Modules::resolve(&mut resolver);
        let cred = process::Cred::resolve(&mut resolver);
        let signal = process::Signal::resolve(&mut resolver);
        let state_bits = process::StateBits::resolve(&resolver);
        let run_queue = threads::RunQueue::resolve(&mut resolver);
        let pcpu_hot = current::PcpuHot::resolve(&mut resolver);
        let running = current::Running::resolve(&mut resolver);
        let queue = current::Queue::resolve(&mut resolver);
        let clock = clock::Clock::resolve(&mut resolver);
        let pids = pid::PidTable::resolve(&mut resolver, &|name| {
            let linked = profile.symbol(name)?;
            let address = VirtAddr(linked.wrapping_add(slide));
            Some(located.mode.canonicalise(address))
        });
        let number = pid::Number::resolve(&mut resolver);
        resolver.finish()?;
        let mut premises = located.premises.clone();
        premises.push(Premise {
            about: "virtual-slide",
            value: format!("{slide:#x}"),
            by: format!(
                "_text runs at {} and is linked at {linked:#x}",
                located.text
            ),
        });
        premises.extend(profile.provenance().iter().map(|line| Premise {
            about: "profile",
            value: profile.identity().release.clone(),
            by: line.clone(),
        }));
        let mut kernel = Kernel {
            os: OsKind::Linux,
            banner: located.banner.clone(),
            build_id: located.build_id.as_ref().map(ToString::to_string),
            premises,
        };
        let mut guest = Guest {
            space,
            profile,
            slide,
            user_end: guest::user_end(located.mode, located.text, located.text_pa),
            cpus: machine.cpus.clone(),
        };
        if let Some((bits, by)) = guest.encryption_told() {
            guest.space = guest.space.with_encryption(bits);
            kernel
                .premises
                .retain(|premise| premise.about != "encryption");
            kernel.premises.push(Premise {
                about: "encryption",
                value: bit_names(bits),
                by: by.to_owned(),
            });
        }
        let linux = Self {
            init_task: guest.symbol("init_task"),
            root_user: OnceCell::new(),
            guest,
            tasks,
            mm,
            maps,
            modules,
            cred,
            signal,
            state_bits,
            run_queue,
            pcpu_hot,
            running,
            queue,
            pids,
            number,
            numbered: OnceCell::new(),
            clock,
            offsets: OnceCell::new(),
            kernel,
        };
        tasks::confirm(&linux)?;
        Ok(linux)
    }

    /// What turns the kernel's clocks into wall-clock time; read once.
    pub(crate) fn offsets(&self) -> &clock::Offsets {
        self.offsets.get_or_init(|| self.clock.offsets(&self.guest))
    }
}

impl Osi for Linux {
    fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    fn clock(&self) -> Seen<i64> {
        self.clock.now(&self.guest)
    }

    fn processes(&self, row: &mut dyn FnMut(Process) -> ControlFlow<()>) -> WalkEnds {
        tasks::processes(self, row)
    }

    fn process_handles(&self, row: &mut dyn FnMut(Handle) -> ControlFlow<()>) -> WalkEnds {
        tasks::handles(self, row)
    }

    fn process(&self, taskd: VirtAddr) -> Seen<Process> {
        process::by_handle(self, taskd)
    }

    fn current(&self, row: &mut dyn FnMut(Current) -> ControlFlow<()>) -> WalkEnds {
        current::current(self, row)
    }

    fn threads(&self, taskd: VirtAddr, row: &mut dyn FnMut(Thread) -> ControlFlow<()>) -> WalkEnds {
        threads::threads(self, taskd, row)
    }

    fn modules(&self, row: &mut dyn FnMut(Module) -> ControlFlow<()>) -> WalkEnds {
        modules::modules(self, row)
    }

    fn mappings(
        &self,
        taskd: VirtAddr,
        row: &mut dyn FnMut(Mapping) -> ControlFlow<()>,
    ) -> WalkEnds {
        mappings::mappings(self, taskd, row)
    }

    fn pages(
        &self,
        taskd: VirtAddr,
        row: &mut dyn FnMut(PageRange) -> ControlFlow<()>,
    ) -> WalkEnds {
        pages::pages(self, taskd, row)
    }

    fn heap_bounds(&self, taskd: VirtAddr) -> Seen<(VirtAddr, VirtAddr)> {
        mappings::heap_bounds(self, taskd)
    }

    fn address_space(&self, taskd: VirtAddr) -> Seen<AddressSpace> {
        memory::address_space(self, taskd)
    }

    fn kernel_space(&self) -> &AddressSpace {
        &self.guest.space
    }

    fn fork(&self) -> Box<dyn Osi> {
        Box::new(self.clone())
    }

    fn panda(&self) -> Option<&dyn Panda> {
        Some(self)
    }
}

impl Panda for Linux {
    fn panda_file(&self, modd: VirtAddr) -> Seen<Vec<u8>> {
        Self::panda_file(self, modd)
    }

    fn panda_mappings(
        &self,
        taskd: VirtAddr,
        row: &mut dyn FnMut(Mapping) -> ControlFlow<()>,
    ) -> WalkEnds {
        mappings::mappings(self, taskd, row)
    }
}
