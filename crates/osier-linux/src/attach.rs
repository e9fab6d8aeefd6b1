//! Attaching: a located kernel and its profile become a provider.

use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use osier_memory::{Cause, Fault, Machine, VirtAddr};
use osier_osi::{Kernel, Mount, Premise, WalkEnds};
use osier_profile::{LayoutError, OsKind, Profile, Resolver};

use crate::Located;
use crate::code_symbols::{CodeSymbols, ReadCodeSymbols};
use crate::fds::Fds;
use crate::guest::{self, Guest};
use crate::layouts::files::File;
use crate::layouts::{COMM_BYTES, Cred, Mm, PcpuHot, RunQueue, Signal, SocketFiles, Tasks};
use crate::locate::bit_names;
use crate::maps::Maps;
use crate::modules::Modules;
use crate::named::Named;
use crate::page_cache::PageCache;
use crate::path::Place;
use crate::state::StateBits;
use crate::symbols;
use crate::thread_struct::Registers;
use crate::{clock, list, pid};

/// Why a provider could not be made of a located kernel and a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// The profile does not have a symbol that everything starts from.
    #[error(
        "the profile has no symbol {0}; join it with the kernel's System.map (osier profile import FILE System.map -o NEW), or \
         import a vmlinux with symbols"
    )]
    NoSymbol(&'static str),
    /// The profile lacks members that the walkers read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The profile is another kernel's.
    #[error("the profile does not fit this kernel: {0}; give one that was made of this very build")]
    WrongProfile(String),
}

/// The mounts of a namespace that can be reached from a root directory, and how the walk of them ended.
pub(crate) type Mounted = (Vec<Mount>, WalkEnds);

/// The Linux provider: what every walker takes. What it answers stands in `provider.rs`.
#[derive(Clone)]
pub struct Linux {
    pub(crate) guest: Guest,
    /// The first processor's idle task, which heads the task list.
    pub(crate) init_task: Option<VirtAddr>,
    /// The root user's `user_struct`; read once.
    pub(crate) root_user: OnceCell<Option<VirtAddr>>,
    pub(crate) tasks: Tasks,
    pub(crate) mm: Mm,
    pub(crate) maps: Maps,
    pub(crate) modules: Modules,
    pub(crate) cred: Cred,
    pub(crate) signal: Signal,
    pub(crate) state_bits: StateBits,
    pub(crate) run_queue: RunQueue,
    pub(crate) pcpu_hot: PcpuHot,
    /// `None` when the profile does not describe the pid table.
    pub(crate) pids: Option<pid::PidTable>,
    /// `None` when the profile does not describe it.
    pub(crate) number: Option<pid::Number>,
    /// What the pid table names; read once.
    tabled: OnceCell<pid::Tabled>,
    /// The threads of the pid table by their leaders; read once.
    pub(crate) numbered: OnceCell<Option<pid::Numbered>>,
    pub(crate) clock: clock::Clock,
    pub(crate) fds: Fds,
    pub(crate) sockets: SocketFiles,
    pub(crate) file: File,
    pub(crate) page_cache: PageCache,
    pub(crate) registers: Registers,
    /// By how many descriptors each open file is named; counted once.
    pub(crate) opened: OnceCell<HashMap<VirtAddr, u64>>,
    /// By how many processes shared objects are named; counted once.
    pub(crate) named: OnceCell<Named>,
    /// What is mounted, by mount namespace and root directory.
    pub(crate) mounted: RefCell<HashMap<(VirtAddr, Place), Arc<Mounted>>>,
    offsets: OnceCell<clock::Offsets>,
    pub(crate) kernel: Kernel,
    read_code_symbols: Option<ReadCodeSymbols>,
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
        let text = profile
            .symbol(symbols::_text)
            .or_else(|| profile.symbol(symbols::_stext));
        let linked = text.ok_or(AttachError::NoSymbol(symbols::_text))?;
        let space = located.space(machine);
        let slide = located.text.0.wrapping_sub(linked);
        let mut resolver = Resolver::new(&profile);
        let tasks = Tasks::resolve(&mut resolver);
        let mm = Mm::resolve(&mut resolver);
        let maps = Maps::resolve(&mut resolver);
        let modules = Modules::resolve(&mut resolver);
        let cred = Cred::resolve(&mut resolver);
        let signal = Signal::resolve(&mut resolver);
        let state_bits = StateBits::resolve(&resolver);
        let run_queue = RunQueue::resolve(&mut resolver);
        let pcpu_hot = PcpuHot::resolve(&mut resolver);
        let clock = clock::Clock::resolve(&mut resolver);
        let fds = Fds::resolve(&mut resolver);
        let sockets = SocketFiles::resolve(&mut resolver);
        let file = File::resolve(&mut resolver);
        let page_cache = PageCache::resolve(&mut resolver);
        let registers = Registers::resolve(&mut resolver);
        let pids = pid::PidTable::resolve(&mut resolver, &|name| {
            let linked = profile.symbol(name)?;
            let address = VirtAddr(linked.wrapping_add(slide));
            Some(located.mode.canonicalise(address))
        });
        let number = pid::Number::resolve(&mut resolver);
        resolver.finish()?;
        let same_build = located.build_id.is_some()
            && located.build_id.as_ref() == profile.identity().build_id.as_ref();
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
            by: format!("the profile, which was made of {line}"),
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
            code: located.text..located.text,
            cpus: machine.cpus.clone(),
        };
        if let Some(end) = guest.symbol(symbols::_etext) {
            guest.code.end = end;
        }
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
        let state_bits = state_bits.as_called(|nth| {
            let words = guest.symbol(symbols::task_state_array)?;
            let word = u64::from(guest.pointer_bytes());
            let at = guest.space.read_pointer(words.plus(nth.wrapping_mul(word)));
            guest.space.read_uint(at.ok()?, 1).ok()?.try_into().ok()
        });
        let linux = Self {
            init_task: guest.symbol(symbols::init_task),
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
            pids,
            number,
            tabled: OnceCell::new(),
            numbered: OnceCell::new(),
            clock,
            fds,
            sockets,
            file,
            page_cache,
            registers,
            opened: OnceCell::new(),
            named: OnceCell::new(),
            mounted: RefCell::new(HashMap::new()),
            offsets: OnceCell::new(),
            kernel,
            read_code_symbols: None,
        };
        confirm(&linux, same_build)?;
        Ok(linux)
    }

    /// The same, with what reads the symbols of the kernel's code: a provider parses no debug format. Without it, what
    /// goes by functions says that it does not know them.
    #[must_use]
    pub fn with_code_symbols(mut self, read: ReadCodeSymbols) -> Self {
        self.read_code_symbols = Some(read);
        self
    }

    /// The symbols of the kernel's code.
    pub(crate) fn code_symbols(&self) -> Result<CodeSymbols, String> {
        let Some(read) = self.read_code_symbols else {
            return Err("nobody reads them".to_owned());
        };
        let code = &self.guest.code;
        let end = self.guest.symbol(symbols::_end).unwrap_or(code.end);
        read(&self.guest.space, code.start..end)
    }

    /// What the pid table names; read once. `None` when the profile does not describe it.
    pub(crate) fn tabled(&self) -> Option<&pid::Tabled> {
        let table = self.pids.as_ref()?;
        let read = || table.tasks(&self.guest, &self.tasks);
        Some(self.tabled.get_or_init(read))
    }

    /// What turns the kernel's clocks into wall-clock time; read once.
    pub(crate) fn offsets(&self) -> &clock::Offsets {
        self.offsets.get_or_init(|| self.clock.offsets(&self.guest))
    }
}

/// Checks that the profile's `init_task` is the swapper, and that the task list starts there.
///
/// A page that the snapshot does not hold is no contradiction: the rows and endings say so later. Nor is a list that
/// leads nowhere, where the swapper lies by a profile of the `same_build`: that is damage, or a lie inside the guest.
fn confirm(linux: &Linux, same_build: bool) -> Result<(), AttachError> {
    let init = linux
        .init_task
        .ok_or(AttachError::NoSymbol(symbols::init_task))?;
    let space = &linux.guest.space;
    let wrong = |fault: &Fault| {
        matches!(
            fault.cause,
            Cause::NotPresent { .. } | Cause::NonCanonical | Cause::NoRam
        )
    };
    let at = linux.tasks.comm.place(init);
    match space.read_cstr(at, COMM_BYTES) {
        Ok(name) if !name.starts_with(b"swapper") => {
            let name = name.escape_ascii();
            return Err(AttachError::WrongProfile(format!(
                "init_task should lie at {init}, but the name there is \"{name}\", not \"swapper\""
            )));
        }
        Err(fault) if wrong(&fault) => {
            return Err(AttachError::WrongProfile(format!(
                "init_task should lie at {init}, but nothing is mapped there: {fault}"
            )));
        }
        _ => {}
    }
    let head = linux.tasks.tasks.place(init);
    let next = space.read_pointer(head);
    // One task whose numbers differ is damaged; two in a row are read at the wrong place.
    let first = next.ok().map(|next| linux.tasks.tasks.container(next));
    if let (Some(zero), Some((tgid, pid))) =
        (ids(linux, init), first.and_then(|task| ids(linux, task)))
        && zero != (0, 0)
        && tgid != pid
    {
        return Err(AttachError::WrongProfile(format!(
            "init_task at {init} should have pid 0 and tgid 0, not {} and {}, and the task after \
             it one number, not {pid} and {tgid}",
            zero.1, zero.0
        )));
    }
    match next {
        Ok(next) if list::plausible(&linux.guest, next).is_err() && !same_build => {
            Err(AttachError::WrongProfile(format!(
                "init_task.tasks at {head} leads to {next}, where no task can lie"
            )))
        }
        Err(fault) if wrong(&fault) => Err(AttachError::WrongProfile(format!(
            "init_task.tasks at {head} cannot be read: {fault}"
        ))),
        _ => Ok(()),
    }
}

/// `tgid` and `pid` of a task that may lie at `task`.
fn ids(linux: &Linux, task: VirtAddr) -> Option<(i64, i64)> {
    let (space, layout) = (&linux.guest.space, &linux.tasks);
    Some((
        layout.tgid.read(space, task).ok()?,
        layout.pid.read(space, task).ok()?,
    ))
}
