//! What several rules look at, read once, and what they find.

use std::cell::OnceCell;
use std::ops::{ControlFlow, Range};

use osier_memory::VirtAddr;
use osier_osi::{Module, Process, SeenExt as _, WalkEnds};

pub(super) use osier_osi::rules::{
    About, Evidence, Found, Says, closed, hexadecimal, process, subject,
};

use crate::scan::{self, Met};
use crate::windows::Windows;
use crate::{modules, processes};

/// Bytes of code that are shown of a place.
const SHOWN: usize = 16;

/// How a rule looks.
pub(super) type Look = fn(&Context<'_>, &mut Found);

/// A rule of this provider's.
pub(super) type Rule = osier_osi::rules::Rule<Look>;

/// A walk of the guest that several rules need.
type Walked<T> = OnceCell<(Vec<T>, WalkEnds)>;

/// What rules look at.
pub(super) struct Context<'a> {
    pub(super) windows: &'a Windows,
    processes: Walked<Process>,
    named: Walked<Met>,
    modules: Walked<Met>,
    images: OnceCell<(Vec<Image>, bool)>,
}

/// A module of the list: its name, and where it lies.
struct Image {
    name: Vec<u8>,
    range: Range<VirtAddr>,
}

/// Whose image an address lies in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The kernel's own.
    Kernel,
    /// That of a module on the list, by its name.
    Module(Vec<u8>),
    /// That of no module on the list.
    Nobody,
    /// That cannot be told: where some module lies could not be read.
    Unknown,
}

impl<'a> Context<'a> {
    pub(super) fn new(windows: &'a Windows) -> Self {
        Self {
            windows,
            processes: OnceCell::new(),
            named: OnceCell::new(),
            modules: OnceCell::new(),
            images: OnceCell::new(),
        }
    }

    /// The processes that `ps` lists.
    pub(super) fn processes(&self) -> &[Process] {
        let walked = self.processes.get_or_init(|| {
            let mut rows = Vec::new();
            let ends = processes::processes(self.windows, None, &mut |process| {
                rows.push(process);
                ControlFlow::Continue(())
            });
            (rows, ends)
        });
        &walked.0
    }

    /// Every process that anything leads to, and how the walks to them ended.
    pub(super) fn named(&self) -> (&[Met], &WalkEnds) {
        let named = || scan::named_processes(self.windows);
        let walked = self.named.get_or_init(named);
        (&walked.0, &walked.1)
    }

    /// Every driver that anything leads to, and how the walks to them ended.
    pub(super) fn modules(&self) -> (&[Met], &WalkEnds) {
        let named = || scan::named_modules(self.windows);
        let walked = self.modules.get_or_init(named);
        (&walked.0, &walked.1)
    }

    /// Whose image lies at `at`.
    pub(super) fn owner(&self, at: VirtAddr) -> Owner {
        let (images, whole) = self.images.get_or_init(|| self.images());
        match images.iter().find(|image| image.range.contains(&at)) {
            Some(image) if image.range.contains(&self.windows.guest.base) => Owner::Kernel,
            Some(image) => Owner::Module(image.name.clone()),
            None if *whole => Owner::Nobody,
            None => Owner::Unknown,
        }
    }

    /// Where the modules of the list lie, and whether that is known of all.
    fn images(&self) -> (Vec<Image>, bool) {
        let mut images = Vec::new();
        let mut whole = true;
        let ends = modules::modules(self.windows, &mut |module: Module| {
            match (module.base.value(), module.size.value()) {
                (Some(base), Some(size)) => images.push(Image {
                    name: module.name.ok().unwrap_or_default(),
                    range: base..base.plus(size),
                }),
                _ => whole = false,
            }
            ControlFlow::Continue(())
        });
        (images, whole && closed(&ends, "modules"))
    }

    /// Whose code lies at `at`; `None` for the kernel's own, and where nobody can tell.
    pub(super) fn stranger(&self, at: VirtAddr, found: &mut Found) -> Option<Owner> {
        match self.owner(at) {
            Owner::Kernel => None,
            Owner::Unknown => {
                found.lost("where every module of the list lies", None);
                None
            }
            other => Some(other),
        }
    }

    /// How the walks ended that several rules needed.
    pub(super) fn ends(&self) -> WalkEnds {
        let mut all = WalkEnds::default();
        let walked = [
            self.processes.get().map(|(_, ends)| ends),
            self.named.get().map(|(_, ends)| ends),
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
        match self.windows.guest.space.read(at, &mut bytes) {
            Ok(()) => hexadecimal(&bytes),
            Err(_) => "unreadable".to_owned(),
        }
    }
}

impl Owner {
    /// In words.
    pub(super) fn words(&self) -> Vec<u8> {
        match self {
            Self::Kernel => b"the kernel's own".to_vec(),
            Self::Module(name) => [b"that of ", name.as_slice()].concat(),
            Self::Nobody => b"in no image of the list of modules".to_vec(),
            Self::Unknown => b"unknown".to_vec(),
        }
    }
}
