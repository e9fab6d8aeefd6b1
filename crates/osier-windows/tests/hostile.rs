//! Machines that were tampered with: bits flipped, pointers made to point at themselves, at nothing
//! and at each other, memory cut short. Never a panic or a hang, and never a short list that says it
//! is whole.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

mod answers;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use osier_memory::{
    Cause, Chunk, Fault, Machine, PhysAddr, PhysRun, PhysicalMemory, Recorder, VirtAddr,
};
use osier_osi::Why;
use osier_profile::Profile;
use osier_testkit::windows::layouts;
use osier_testkit::{Patched, Random, Refusals};
use osier_windows::{Located, glance, locate};

use answers::{Answers, attach, machine};

/// The longest that all answers about a machine may take; they take some milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

struct Bench {
    name: String,
    machine: Machine,
    profile: Arc<Profile>,
    located: Located,
    handles: Vec<VirtAddr>,
    before: Answers,
    touched: Vec<PhysAddr>,
    /// How often a damaged machine was refused, by the reason.
    refused: Refusals,
}

impl Bench {
    fn new(name: &str, profile: &Profile) -> Self {
        let written = machine(profile);
        let profile = Arc::new(profile.clone());
        let machine = written.machine();
        let located = locate(&machine, &[]).expect("the kernel is found");
        let plan = &written.plan;
        let handles: Vec<_> = plan.processes.iter().filter_map(|p| p.eprocess).collect();
        let recorder = Arc::new(Recorder::new(machine.memory.clone()));
        let windows = attach(&machine, &located, &profile, recorder.clone()).unwrap();
        let before = Answers::ask(&windows, &handles, 1);
        Self {
            name: name.to_owned(),
            touched: recorder.touched(),
            refused: Refusals::default(),
            machine,
            profile,
            located,
            handles,
            before,
        }
    }

    /// What goes wrong with `memory`, in words.
    fn trouble(&self, memory: &Arc<dyn PhysicalMemory>) -> Vec<String> {
        let wrong = self.try_once(memory);
        // A machine that was busy with something else is given another chance.
        let slow = wrong.iter().any(|what| what.starts_with("took"));
        if slow { self.try_once(memory) } else { wrong }
    }

    fn try_once(&self, memory: &Arc<dyn PhysicalMemory>) -> Vec<String> {
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut machine = self.machine.clone();
            machine.memory = memory.clone();
            drop(glance(&machine, &[]));
            let windows = attach(&machine, &self.located, &self.profile, memory.clone())
                .map_err(|error| error.to_string())?;
            Ok::<_, String>(Answers::ask(&windows, &self.handles, 1))
        }));
        let mut wrong = Vec::new();
        match outcome {
            Err(_) => wrong.push("panic".to_owned()),
            Ok(Err(reason)) => self.refused.note(&reason),
            Ok(Ok(after)) => {
                let mut short: BTreeMap<&str, usize> = BTreeMap::new();
                for key in self.before.rows.keys() {
                    let lost = !after.rows.contains_key(key) && !key.0.starts_with("page");
                    if lost && !self.tells(&after, &key.0) {
                        *short.entry(&key.0).or_default() += 1;
                    }
                }
                for (table, count) in short {
                    wrong.push(format!("{table} is silently short of {count}"));
                }
            }
        }
        if began.elapsed() > PATIENCE {
            wrong.push(format!("took {:?}", began.elapsed()));
        }
        wrong
    }

    /// Whether an answer about `table` says that it is not whole: by an ending, or by a row that
    /// stands in the place of another.
    fn tells(&self, after: &Answers, table: &str) -> bool {
        let loss = |why: &Why| matches!(why, Why::Unreadable(_) | Why::Implausible { .. });
        let marked =
            |fields: &answers::Fields| fields.values().any(|value| value.as_ref().is_err_and(loss));
        // A mapping is known by its addresses, and an image by where the loader has it; a flipped bit
        // changes both: as many are there.
        let count = |all: &Answers| all.rows.keys().filter(|key| key.0 == table).count();
        let by_address = table.starts_with("mapping") || table.starts_with("library");
        let moved = by_address && count(after) >= count(&self.before);
        // A pointer that was a process's PEB, native or 32-bit, and is null now says that there is
        // none; and a PEB whose pointers are all null is that of a process which is just beginning.
        let process = table.rsplit(' ').next().unwrap_or_default();
        let peb_gone = after.rows.iter().any(|((of, at), fields)| {
            let before = |name: &str| self.before.rows[&(of.clone(), *at)].get(name).cloned();
            let differs = |name: &str| fields.get(name).cloned() != before(name);
            of == "process"
                && VirtAddr(*at).to_string() == process
                && ["peb", "wow64", "path"].into_iter().any(differs)
        });
        // A process may write over its own environment: one that begins later is an environment, too.
        let begins_later = table.starts_with("variable") && count(after) > 0;
        let ends = after.ends.get(table);
        moved
            || begins_later
            || peb_gone
            || ends.is_some_and(|ends| !ends.is_complete())
            || after
                .rows
                .iter()
                .filter(|(key, _)| key.0 == table && !self.before.rows.contains_key(key))
                .any(|(_, fields)| marked(fields))
    }

    fn patched(&self) -> Patched {
        Patched::new(self.machine.memory.clone())
    }

    fn word(&self) -> usize {
        usize::from(self.located.mode.pointer_bytes())
    }

    /// Every word of the touched pages that looks like a pointer into the kernel's half.
    fn pointers(&self) -> Vec<(PhysAddr, u64)> {
        let word = self.word();
        let base = if word == 4 {
            0x8000_0000
        } else {
            0xffff_0000_0000_0000
        };
        let mut found = Vec::new();
        for page in &self.touched {
            for by in (0..4096).step_by(word) {
                let at = page.plus(by);
                let value = self.machine.memory.read_uint(at, word).unwrap();
                if value >= base && value.trailing_ones() < 20 {
                    found.push((at, value));
                }
            }
        }
        found
    }
}

/// The layouts of x86, and one of each later shape.
fn benches() -> Vec<Bench> {
    let own = layouts::own();
    let later = ["3844dbb9", "c78ab9db", "2e6deb6c", "5278aff8", "fdcba251"].map(layouts::of);
    own.iter()
        .chain(later)
        .map(|layout| Bench::new(&layout.name, &layout.profile))
        .collect()
}

fn report(what: &str, wrong: &[String]) {
    let shown: Vec<_> = wrong.iter().take(40).collect();
    assert!(wrong.is_empty(), "{what}: {}, {shown:#?}", wrong.len());
}

#[test]
fn flipped_bits() {
    const FLIPS: usize = 600;
    let mut wrong = Vec::new();
    for (n, bench) in (0..).zip(benches()) {
        let mut random = Random::new(n + 1);
        let mut left = FLIPS;
        while left > 0 {
            let at = random.one_of(&bench.touched).plus(random.below(4096));
            // Most of a page is padding; a flipped zero is one in sixteen.
            let byte = bench.machine.memory.read_uint(at, 1).unwrap();
            if byte == 0 && random.below(16) != 0 {
                continue;
            }
            left -= 1;
            let bit = u8::try_from(random.below(8)).unwrap();
            let mut memory = bench.patched();
            memory.flip(at, bit);
            let trouble = bench.trouble(&(Arc::new(memory) as Arc<dyn PhysicalMemory>));
            let place = format!("{} {at} bit {bit}", bench.name);
            wrong.extend(trouble.into_iter().map(|what| format!("{place}: {what}")));
        }
        bench.refused.are_few_of(FLIPS);
    }
    report("flipped bits", &wrong);
}

#[test]
fn pointers_at_themselves_at_nothing_and_at_each_other() {
    const CHANGES: usize = 600;
    let mut wrong = Vec::new();
    for (n, bench) in (0..).zip(benches()) {
        let pointers = bench.pointers();
        assert!(pointers.len() > 100, "{}", pointers.len());
        let mut random = Random::new(n + 100);
        for _ in 0..CHANGES {
            let (at, was) = random.one_of(&pointers);
            let other = random.one_of(&pointers).1;
            let to = random.one_of(&[0, other, other, was + 8, was ^ 0x1000]);
            let mut memory = bench.patched();
            memory.write_uint(at, to, bench.word());
            let place = format!("{} {at}: {was:#x} made {to:#x}", bench.name);
            let trouble = bench.trouble(&(Arc::new(memory) as Arc<dyn PhysicalMemory>));
            wrong.extend(trouble.into_iter().map(|what| format!("{place}: {what}")));
        }
        bench.refused.are_few_of(CHANGES);
    }
    report("pointers", &wrong);
}

/// A memory whose file ends early.
struct Short {
    inner: Arc<dyn PhysicalMemory>,
    end: PhysAddr,
}

impl PhysicalMemory for Short {
    fn runs(&self) -> &[PhysRun] {
        self.inner.runs()
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        if pa >= self.end {
            let offset = pa.0;
            return Err(Fault::at_phys(Cause::FileShort { offset }, pa));
        }
        let left = usize::try_from(self.end.since(pa)).unwrap();
        Ok(self.inner.chunk(pa)?.truncated(left))
    }
}

#[test]
fn cut_short() {
    let mut wrong = Vec::new();
    for bench in benches() {
        for page in &bench.touched {
            let memory = Short {
                inner: bench.machine.memory.clone(),
                end: page.plus(0x800),
            };
            let trouble = bench.trouble(&(Arc::new(memory) as Arc<dyn PhysicalMemory>));
            let place = format!("{} cut at {page}", bench.name);
            wrong.extend(trouble.into_iter().map(|what| format!("{place}: {what}")));
        }
        bench.refused.are_few_of(bench.touched.len());
    }
    report("cut short", &wrong);
}
