//! Everything that one snapshot says, taken at once so that two can be laid side by side.

use std::ops::ControlFlow;

use osier::Guest;
use osier::ask::Question;
use osier::osier_snapshot::Anomaly;
use osier::tables::{Cells, Row};
use osier::{Current, Each, Mapping, Module, Osi, Process, Seen, Thread, WalkEnds};

/// The rows of one answer, and how its walks ended.
#[derive(Debug)]
pub struct Answer<T> {
    /// The rows, in the provider's order.
    pub rows: Vec<T>,
    /// How the walks ended.
    pub ends: WalkEnds,
}

impl<T> Default for Answer<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            ends: WalkEnds::default(),
        }
    }
}

impl<T: Row> Answer<T> {
    fn of(ask: impl FnOnce(Each<'_, T>) -> WalkEnds) -> Self {
        let mut rows = Vec::new();
        let ends = ask(&mut |row| {
            rows.push(row);
            ControlFlow::Continue(())
        });
        Self { rows, ends }
    }

    fn losses(&self) -> usize {
        self.rows.iter().map(|row| Cells::of(row).losses()).sum()
    }
}

/// What a process has.
#[derive(Debug, Default)]
pub struct Belongings {
    /// Its threads.
    pub threads: Answer<Thread>,
    /// Its mappings.
    pub mappings: Answer<Mapping>,
}

/// What tells one kernel, and one boot of it, from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// The kernel's banner or build string.
    pub banner: Vec<u8>,
    /// Its build id, or GUID and age; `None` when it is not known.
    pub build_id: Option<String>,
    /// What KASLR added to link-time addresses; `None` when the profile does not tell.
    pub slide: Option<u64>,
}

/// Everything that one snapshot says, as far as it was asked for.
#[derive(Debug)]
pub struct View {
    /// What it is called, for messages.
    pub label: String,
    /// What is odd about its file and may make any of this wrong or short.
    pub doubts: Vec<Anomaly>,
    /// The kernel and its boot.
    pub boot: Boot,
    /// What the guest's wall clock showed: nanoseconds since 1970-01-01 UTC.
    pub clock: Seen<i64>,
    /// Bytes of the guest kernel's pointers.
    pub pointer_bytes: u8,
    /// The processes.
    pub processes: Answer<Process>,
    /// What each of `processes` has, in the same order.
    pub belongings: Vec<Belongings>,
    /// Kernel modules.
    pub modules: Answer<Module>,
    /// What runs on each processor.
    pub current: Answer<Current>,
}

impl View {
    /// The questions whose rows are compared; [`of`](Self::of) asks no others.
    pub const QUESTIONS: [Question; 5] = [
        Question::Processes,
        Question::Threads,
        Question::Mappings,
        Question::Modules,
        Question::Current,
    ];

    /// Asks the guest those of the `questions` that are compared; processes are always among them.
    pub fn of(label: String, guest: &Guest, questions: &[Question]) -> Self {
        let osi = &*guest.provider();
        let asked = |question| questions.contains(&question);
        let processes = Answer::of(|row| osi.processes(row));
        let belongings = processes.rows.iter();
        let belongings = belongings.map(|process| belongings_of(osi, process, &asked));
        Self {
            label,
            doubts: guest.info().doubts().cloned().collect(),
            boot: Boot {
                banner: osi.kernel().banner.clone(),
                build_id: osi.kernel().build_id.clone(),
                slide: guest.virtual_slide(),
            },
            clock: osi.clock(),
            pointer_bytes: guest.pointer_bytes(),
            belongings: belongings.collect(),
            modules: if asked(Question::Modules) {
                Answer::of(|row| osi.modules(row))
            } else {
                Answer::default()
            },
            current: if asked(Question::Current) {
                Answer::of(|row| osi.current(row))
            } else {
                Answer::default()
            },
            processes,
        }
    }

    /// How every walk ended.
    pub fn ends(&self) -> WalkEnds {
        let mut ends = self.processes.ends.clone();
        for one in &self.belongings {
            ends.join(one.threads.ends.clone());
            ends.join(one.mappings.ends.clone());
        }
        ends.join(self.modules.ends.clone());
        ends.join(self.current.ends.clone());
        ends
    }

    /// Number of values that exist in the guest and were lost on the way.
    pub fn losses(&self) -> usize {
        let of_processes = self.belongings.iter();
        let belongings = of_processes.map(|one| {
            let mappings = one.mappings.losses();
            one.threads.losses().saturating_add(mappings)
        });
        let all = belongings.chain([
            self.processes.losses(),
            self.modules.losses(),
            self.current.losses(),
        ]);
        all.fold(0, usize::saturating_add)
    }
}

fn belongings_of(osi: &dyn Osi, process: &Process, asked: &dyn Fn(Question) -> bool) -> Belongings {
    let mut all = Belongings::default();
    if asked(Question::Threads) {
        all.threads = Answer::of(|row| osi.threads(process.taskd, row));
    }
    if asked(Question::Mappings) {
        all.mappings = Answer::of(|row| osi.mappings(process.taskd, row));
    }
    all
}
