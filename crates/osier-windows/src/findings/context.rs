//! What several rules look at, read once, and what they find.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::ops::{ControlFlow, Range};

use osier_memory::{Fault, VirtAddr};
use osier_osi::{
    Absent, Finding, Module, Process, Seen, SeenExt as _, Severity, WalkEnd, WalkEnds, Why,
};

use crate::scan::{self, Met};
use crate::windows::Windows;
use crate::{modules, processes};

/// The walk's name in endings.
pub(super) const WALK: &str = "findings";
/// Bytes of code that are shown of a place.
const SHOWN: usize = 16;

/// A rule.
pub(super) struct Rule {
    /// Its name.
    pub(super) name: &'static str,
    /// What would be normal.
    pub(super) normal: &'static str,
    /// What else could explain what it finds.
    pub(super) otherwise: &'static str,
    /// Looks.
    pub(super) look: fn(&Context<'_>, &mut Found),
}

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

/// Whether the walk of that name closed, and nothing else is said of it.
pub(super) fn closed(ends: &WalkEnds, walk: &str) -> bool {
    let mut of = ends.0.iter().filter(|(name, _)| *name == walk).peekable();
    of.peek().is_some() && of.all(|(_, end)| end.is_closed())
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
            let ends = processes::processes(self.windows, &mut |process| {
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

/// Bytes in hexadecimal.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The subject of a finding about a process.
pub(super) fn process(process: &Process) -> Vec<u8> {
    subject("process", &process.pid, &process.name)
}

/// `WORD PID NAME`, with what could not be had left out.
pub(super) fn subject(word: &str, id: &Seen<u32>, name: &Seen<Vec<u8>>) -> Vec<u8> {
    let mut subject = word.to_owned().into_bytes();
    if let Ok(id) = id {
        subject.extend_from_slice(format!(" {id}").as_bytes());
    }
    if let Some(name) = name.get() {
        subject.push(b' ');
        subject.extend_from_slice(name);
    }
    subject
}

/// Parts of evidence, `WHAT at ADDRESS: VALUE`, with semicolons between.
#[derive(Default)]
pub(super) struct Evidence(Vec<u8>);

impl Evidence {
    /// Adds a part.
    #[must_use]
    pub(super) fn and(mut self, what: &str, at: VirtAddr, value: impl AsRef<[u8]>) -> Self {
        if !self.0.is_empty() {
            self.0.extend_from_slice(b"; ");
        }
        self.0
            .extend_from_slice(format!("{what} at {at}: ").as_bytes());
        self.0.extend_from_slice(value.as_ref());
        self
    }
}

/// What one rule finds.
pub(super) struct Found {
    rule: &'static Rule,
    pub(super) rows: Vec<Finding>,
    pub(super) ends: WalkEnds,
}

/// What a finding says.
pub(super) struct Says {
    pub(super) severity: Severity,
    pub(super) subject: Vec<u8>,
    pub(super) text: String,
    pub(super) evidence: Evidence,
    pub(super) address: VirtAddr,
}

impl Found {
    pub(super) fn of(rule: &'static Rule) -> Self {
        Self {
            rule,
            rows: Vec::new(),
            ends: WalkEnds::one(WALK, WalkEnd::Closed),
        }
    }

    /// A finding about the kernel.
    pub(super) fn kernel(&mut self, says: Says) {
        self.add(Err(Absent::not_applicable("it is the kernel's")), says);
    }

    /// A finding about the process of that id.
    pub(super) fn process(&mut self, pid: &Seen<u32>, says: Says) {
        self.add(pid.clone(), says);
    }

    fn add(&mut self, pid: Seen<u32>, says: Says) {
        self.rows.push(Finding {
            rule: self.rule.name,
            severity: says.severity,
            subject: says.subject,
            text: says.text,
            evidence: says.evidence.0,
            pid,
            address: says.address,
            normal: self.rule.normal,
            otherwise: self.rule.otherwise,
        });
    }

    /// What the rule looks at is absent; that is an ending where it is a loss.
    pub(super) fn absent(&mut self, missing: &str, absent: &Absent) {
        if absent.is_loss() {
            let fault = match absent.why {
                Why::Unreadable(fault) => Some(fault),
                _ => None,
            };
            self.lost(missing, fault);
        }
    }

    /// What the rule looks at cannot be read; of many parts of it the first is named.
    pub(super) fn lost(&mut self, missing: &str, fault: Option<Fault>) {
        let missing = format!("{}: {missing}", self.rule.name);
        let known = |(_, end): &(&str, WalkEnd)| matches!(end, WalkEnd::NoStart { missing: other, .. } if *other == missing);
        if self.ends.0.iter().any(known) {
            return;
        }
        self.ends.add(WALK, WalkEnd::NoStart { missing, fault });
    }
}
