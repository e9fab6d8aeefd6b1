//! A snapshot to damage: its answers while whole, and which words each answer rests on.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

use osier::WalkEnds;
use osier::ask::{Asker, Question, ask_process};
use osier::format::{json_end, json_row};
use osier::osier_memory::{
    AddressSpace, Chunk, Fault, Machine, PhysAddr, PhysRun, PhysicalMemory, VirtAddr,
};
use osier::osier_profile::Profile;
use osier::osier_snapshot::{Snapshot, SnapshotInfo};
use osier::tables::Cells;
use osier::{Guest, Located, Options, Osi, ProfileSource, Shared, open_snapshot};

use crate::Damage;
use crate::carve::{self, Carved};
use crate::held::{Damaged, Held};

/// Bytes of the words that reads are recorded by.
pub(crate) const WORD: u64 = 4;

/// A part of an answer that is asked for on its own: what one process says of a question about every
/// process, what one rule finds, a question whole, or what is written and found that is no question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Whole(usize),
    Of(usize, VirtAddr),
    Rule(&'static str),
    Carved(Carved, VirtAddr),
}

impl Part {
    pub(crate) fn question(self) -> Option<Question> {
        match self {
            Self::Whole(at) | Self::Of(at, _) => Some(Question::ALL[at]),
            Self::Rule(_) => Some(Question::Findings),
            Self::Carved(..) => None,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match (self, self.question()) {
            (_, Some(question)) => question.word(),
            (Self::Carved(carved, _), _) => carved.word(),
            _ => "",
        }
    }

    /// Whether the answer is of a kind that no small snapshot has whole: it is asked for all the same, and
    /// what is lost besides is held against what was lost before.
    pub(crate) fn is_partial(self) -> bool {
        self.question()
            .is_none_or(|question| matches!(question, Question::Scan | Question::Findings))
    }
}

/// What a question was answered, rows in the order of their text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) rows: Vec<String>,
    /// Values that were lost, or bytes.
    pub(crate) lost: u64,
    /// Endings that are not good.
    pub(crate) ends: Vec<String>,
}

impl Answer {
    pub(crate) fn add(&mut self, row: &Cells<'_>) {
        let mut line = String::new();
        json_row(row, &mut line);
        // What was not held against the pid table is as right as it was.
        self.rows
            .push(line.replace("\"list-unchecked\"", "\"both\""));
        self.lost += row.losses() as u64;
    }

    /// Whether it claims that every value was read and every walk closed.
    pub(crate) fn is_complete(&self) -> bool {
        self.lost == 0 && self.ends.is_empty()
    }

    /// Whether it says of itself that it lacks more than `before` did.
    pub(crate) fn tells(&self, before: &Self) -> bool {
        self.lost > before.lost || self.ends.iter().any(|end| !before.ends.contains(end))
    }
}

/// Which words were read, for each run of [`WORD`] bytes.
struct WordRecorder {
    inner: Arc<Held>,
    words: Mutex<BTreeSet<u64>>,
}

impl WordRecorder {
    fn new(inner: &Arc<Held>) -> Arc<Self> {
        Arc::new(Self {
            inner: inner.clone(),
            words: Mutex::default(),
        })
    }

    fn take(&self) -> BTreeSet<u64> {
        std::mem::take(&mut self.words.lock().unwrap())
    }
}

impl PhysicalMemory for WordRecorder {
    fn runs(&self) -> &[PhysRun] {
        self.inner.runs()
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        let chunk = self.inner.chunk(pa)?;
        self.words.lock().unwrap().insert(pa.0 / WORD * WORD);
        // Cut at the word's end, so that each word read is asked for.
        Ok(chunk.truncated((WORD - pa.0 % WORD) as usize))
    }

    fn sweep(
        &self,
        run: PhysRun,
        window: usize,
        visit: &mut dyn FnMut(PhysAddr, &[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.inner.sweep(run, window, visit)
    }
}

pub(crate) struct Subject {
    pub(crate) memory: Arc<Held>,
    pub(crate) profile: Arc<Profile>,
    pub(crate) located: Located,
    pub(crate) answers: BTreeMap<Part, Answer>,
    /// Words by the parts of answers that read them.
    pub(crate) read_by: BTreeMap<u64, Vec<Part>>,
    /// Pages that parts of answers read for their bytes alone, which may be any.
    pub(crate) content_of: BTreeMap<u64, Vec<Part>>,
    /// Words that finding the kernel read.
    pub(crate) found_by: BTreeSet<u64>,
    /// Whether it holds only the pages that were asked for when it was made: less than 16 MiB.
    pub(crate) distilled: bool,
    /// Parts of answers that are lossy while nothing is damaged; there are none.
    pub(crate) lossy: Vec<String>,
    machine: Machine,
    info: SnapshotInfo,
    shared: Shared,
}

impl Subject {
    /// Opens `file` and asks everything of it.
    pub(crate) fn of(file: &Path, options: &Options) -> Self {
        let Snapshot { machine, info } = open_snapshot(file, options).unwrap();
        let shared = Shared::new(options).unwrap();
        let memory = Arc::new(Held::of(machine.memory.clone()));
        let recorder = WordRecorder::new(&memory);
        let seen = Snapshot {
            machine: Machine {
                memory: recorder.clone(),
                ..machine.clone()
            },
            info: info.clone(),
        };
        let located = shared.locate(&seen, &[]).unwrap();
        let (profile, _) = shared.profile(&seen, &located).unwrap();
        let found_by = recorder.take();
        let mut subject = Self {
            memory,
            profile,
            located,
            answers: BTreeMap::new(),
            read_by: BTreeMap::new(),
            content_of: BTreeMap::new(),
            found_by,
            distilled: info.file_bytes < 16 << 20,
            lossy: Vec::new(),
            machine,
            info,
            shared,
        };
        subject.record();
        if !crate::whole() {
            subject.thin();
        }
        subject
    }

    /// Leaves few of the words that only those parts read which go over all of memory.
    fn thin(&mut self) {
        const WORDS: usize = 200;
        const PAGES: usize = 16;
        let partial = |parts: &Vec<Part>| parts.iter().all(|part| part.is_partial());
        let many = self.read_by.values().filter(|parts| partial(parts)).count();
        let (mut number, step) = (0, many.div_ceil(WORDS).max(1));
        self.read_by.retain(|_, parts| {
            number += usize::from(partial(parts));
            !partial(parts) || number % step == 0
        });
        let (mut number, step) = (0, self.content_of.len().div_ceil(PAGES).max(1));
        self.content_of.retain(|_, _| {
            number += 1;
            number % step == 0
        });
    }

    /// Asks each part of each answer of a guest of its own.
    fn record(&mut self) {
        let guest = self.attach(self.memory.clone(), &self.located).unwrap();
        let mut taskds = Vec::new();
        let ends = guest.provider().processes(&mut |handle| {
            taskds.push(handle.taskd);
            ControlFlow::Continue(())
        });
        if !ends.is_complete() {
            self.lossy.push(format!("handles: {ends:x?}"));
        }
        let only = std::env::var("OSIER_CAMPAIGN_ASK").ok();
        let asked = |part: &Part| match &only {
            Some(only) => only.split(',').any(|word| word == part.word()),
            None => true,
        };
        let rules = guest.provider().rules();
        let questions = Question::ALL.iter().enumerate();
        let parts = questions.flat_map(|(at, question)| match question {
            question if question.is_of_a_process() => taskds
                .iter()
                .map(|taskd| Part::Of(at, *taskd))
                .collect::<Vec<_>>(),
            Question::Findings => rules.iter().copied().map(Part::Rule).collect(),
            _ => vec![Part::Whole(at)],
        });
        let parts: Vec<_> = parts.chain(carve::parts(&guest, &taskds)).collect();
        for part in parts.into_iter().filter(asked) {
            let recorder = WordRecorder::new(&self.memory);
            let guest = self.attach(recorder.clone(), &self.located).unwrap();
            let answer = {
                let provider = guest.provider();
                answer(&guest, &*provider, &Asker::new(&*provider), part)
            };
            if !answer.is_complete() && !part.is_partial() {
                // A distilled snapshot holds what the usual questions need, not the tables of processes.
                if Question::USUAL.map(Some).contains(&part.question()) {
                    self.lossy.push(format!(
                        "lossy while whole: {part:?} {:.300}",
                        answer.rows.concat()
                    ));
                }
                continue;
            }
            self.answers.insert(part, answer);
            let content = carve::content(&self.open(), part);
            for word in recorder.take() {
                let page = PhysAddr(word).page().0;
                if content.contains(&page) {
                    let parts = self.content_of.entry(page).or_default();
                    if parts.last() != Some(&part) {
                        parts.push(part);
                    }
                    continue;
                }
                self.read_by.entry(word).or_default().push(part);
            }
        }
    }

    fn snapshot(&self, memory: Arc<dyn PhysicalMemory>) -> Snapshot {
        Snapshot {
            machine: Machine {
                memory,
                ..self.machine.clone()
            },
            info: self.info.clone(),
        }
    }

    fn attach(
        &self,
        memory: Arc<dyn PhysicalMemory>,
        located: &Located,
    ) -> Result<Guest, osier::Error> {
        Guest::with(
            self.snapshot(memory),
            located.clone(),
            self.profile.clone(),
            ProfileSource::Given,
        )
    }

    /// A guest of the whole snapshot.
    pub(crate) fn open(&self) -> Guest {
        self.attach(self.memory.clone(), &self.located).unwrap()
    }

    /// The kernel's address space, whole.
    pub(crate) fn space(&self) -> AddressSpace {
        self.open().provider().kernel_space().clone()
    }

    /// The parts of answers that rest on any of `words`.
    pub(crate) fn parts_of(&self, words: impl Iterator<Item = u64>) -> BTreeSet<Part> {
        words
            .filter_map(|word| self.read_by.get(&word))
            .flatten()
            .copied()
            .collect()
    }

    /// Asks `parts` of the snapshot with `damage`; `find` also looks for the kernel again. `None` is a
    /// refusal in words, which is an answer too.
    pub(crate) fn ask(
        &self,
        damage: &Damage,
        parts: &BTreeSet<Part>,
        find: bool,
    ) -> Option<BTreeMap<Part, Answer>> {
        let memory: Arc<dyn PhysicalMemory> = Arc::new(Damaged::of(&self.memory, damage));
        let mut all: Option<BTreeSet<Part>> = None;
        let mut located = self.located.clone();
        if find {
            located = self
                .shared
                .locate(&self.snapshot(memory.clone()), &[])
                .ok()?;
            let same = located.root() == self.located.root()
                && located.base() == self.located.base()
                && located.mode() == self.located.mode();
            if !same {
                let partial = parts.iter().any(|part| part.is_partial());
                let asked = self.answers.keys().copied();
                all = Some(asked.filter(|part| partial || !part.is_partial()).collect());
            }
            if located.build_id() != self.located.build_id() {
                return None;
            }
        }
        let parts = all.as_ref().unwrap_or(parts);
        let guest = self.attach(memory, &located).ok()?;
        let provider = guest.provider();
        let asker = Asker::new(&*provider);
        let is_rule = |part: &&Part| matches!(part, Part::Rule(_));
        let (rules, others): (Vec<&Part>, Vec<&Part>) = parts.iter().partition(is_rule);
        let answered = |part: &Part| (*part, answer(&guest, &*provider, &asker, *part));
        let mut all: BTreeMap<Part, Answer> = others.into_iter().map(answered).collect();
        all.extend(self.findings(&*provider, &rules));
        Some(all)
    }
}

impl Subject {
    /// What several rules find, which look together as those of the question do. What they say of how they ended is
    /// the first one's, as far as none of them said it before.
    fn findings(&self, osi: &dyn Osi, parts: &[&Part]) -> BTreeMap<Part, Answer> {
        let names = parts.iter().filter_map(|part| match part {
            Part::Rule(name) => Some(*name),
            _ => None,
        });
        let names: Vec<&str> = names.collect();
        let mut all: BTreeMap<Part, Answer> = parts
            .iter()
            .map(|part| (**part, Answer::default()))
            .collect();
        if names.is_empty() {
            return all;
        }
        let ends = osi.findings_of(&names, &mut |found| {
            let answer = all.get_mut(&Part::Rule(found.rule)).unwrap();
            answer.add(&Cells::of(&found));
            ControlFlow::Continue(())
        });
        let known = |end: &String| {
            let mut old = parts.iter().filter_map(|part| self.answers.get(part));
            old.any(|old| old.ends.contains(end))
        };
        let new = lines(&ends).into_iter().filter(|end| !known(end));
        all.first_entry().unwrap().get_mut().ends.extend(new);
        for answer in all.values_mut() {
            answer.rows.sort();
        }
        all
    }
}

/// Rows that one part may have before it counts as endless. An entry that is made to lead to another
/// page table gives a process far more pages than it has, until the walk meets the same table too often;
/// the walkers' own limits, four million rows and more, would be a long wait.
const ROW_LIMIT: usize = 1 << 21;

/// What is read more than once, such as the list of processes, is read once by one asker.
fn answer(guest: &Guest, osi: &dyn Osi, asker: &Asker<'_>, part: Part) -> Answer {
    let mut answer = Answer::default();
    let mut row = |row: &Cells<'_>| {
        answer.add(row);
        assert!(answer.rows.len() < ROW_LIMIT, "{part:?} does not end");
        ControlFlow::Continue(())
    };
    let ends: WalkEnds = match part {
        Part::Whole(at) => asker.ask(Question::ALL[at], &mut row),
        Part::Of(at, taskd) => ask_process(osi, Question::ALL[at], taskd, &mut row),
        Part::Rule(rule) => osi.findings_of(&[rule], &mut |one| row(&Cells::of(&one))),
        Part::Carved(carved, at) => return carve::answer(guest, carved, at),
    };
    answer.rows.sort();
    answer.ends = lines(&ends);
    answer
}

/// Endings that are not good, in words.
pub(crate) fn lines(ends: &WalkEnds) -> Vec<String> {
    let line = |(walk, end): (&str, &osier::WalkEnd)| {
        let mut line = String::new();
        json_end(walk, end, &mut line);
        line
    };
    ends.bad().map(|(walk, end)| line((walk, end))).collect()
}
