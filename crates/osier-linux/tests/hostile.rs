//! Kernels that were tampered with: bits flipped, pointers made to point at themselves, at nothing
//! and at each other. Never a panic or a hang, and never a short list that says it is whole.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

mod toys;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use osier_memory::{Paging, PhysAddr, PhysicalMemory, Recorder, VirtAddr};
use osier_osi::Why;
use osier_testkit::{Era, Patched, Random, Refusals, TOYS, ToyKernel};

use toys::Answers;

/// The longest that all answers about a toy may take; they take some milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);

struct Bench {
    toy: ToyKernel,
    handles: Vec<VirtAddr>,
    before: Answers,
    touched: Vec<PhysAddr>,
    /// How often a damaged machine was refused, by the reason.
    refused: Refusals,
}

impl Bench {
    fn new((mode, era): (Paging, Era)) -> Self {
        let toy = ToyKernel::build(mode, era);
        let handles: Vec<_> = toy.tasks.iter().map(|task| task.taskd).collect();
        let recorder = Arc::new(Recorder::new(toy.machine.memory.clone()));
        let linux = toys::attach(&toy, recorder.clone()).expect("a whole kernel attaches");
        let before = Answers::ask(&linux, &handles, 2);
        Self {
            before,
            touched: recorder.touched(),
            refused: Refusals::default(),
            handles,
            toy,
        }
    }

    /// What goes wrong with `memory`, in words.
    fn trouble(&self, memory: Patched) -> Vec<String> {
        let wrong = self.try_once(memory.clone());
        // A machine that was busy with something else is given another chance.
        let slow = wrong.iter().any(|what| what.starts_with("took"));
        if slow { self.try_once(memory) } else { wrong }
    }

    fn try_once(&self, memory: Patched) -> Vec<String> {
        let began = Instant::now();
        let memory = Arc::new(memory);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let linux = toys::attach(&self.toy, memory).map_err(|error| error.to_string())?;
            Ok::<_, String>(Answers::ask(&linux, &self.handles, 2))
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
                for (table, key) in &after.twice {
                    if !table.starts_with("page") {
                        wrong.push(format!("{table} {key:#x} twice"));
                    }
                }
            }
        }
        if began.elapsed() > PATIENCE {
            wrong.push(format!("took {:?}", began.elapsed()));
        }
        wrong
    }

    /// Whether an answer about `table` says that it is not whole: by an ending, or by a row that
    /// stands in the place of another and says what of it cannot be read.
    fn tells(&self, after: &Answers, table: &str) -> bool {
        let marked = |fields: &toys::Fields| {
            let loss = |why: &Why| matches!(why, Why::Unreadable(_) | Why::Implausible { .. });
            fields.values().any(|value| value.as_ref().is_err_and(loss))
        };
        after
            .ends
            .get(table)
            .is_some_and(|ends| !ends.is_complete())
            || after
                .rows
                .iter()
                .filter(|(key, _)| key.0 == table && !self.before.rows.contains_key(key))
                .any(|(_, fields)| marked(fields))
    }

    fn word(&self) -> usize {
        usize::from(self.toy.mode.pointer_bytes())
    }

    /// Every word of the touched pages that looks like a pointer into the kernel's half.
    fn pointers(&self) -> Vec<(PhysAddr, u64)> {
        let word = self.word();
        let base = if word == 4 {
            0xc000_0000
        } else {
            0xff00_0000_0000_0000
        };
        let mut found = Vec::new();
        for page in &self.touched {
            for by in (0..4096).step_by(word) {
                let at = page.plus(by);
                let value = self.toy.machine.memory.read_uint(at, word).unwrap();
                if value >= base && value.trailing_ones() < 20 {
                    found.push((at, value));
                }
            }
        }
        found
    }

    fn patched(&self) -> Patched {
        Patched::new(self.toy.machine.memory.clone())
    }
}

fn report(what: &str, wrong: &[String], tried: usize) {
    let shown: Vec<_> = wrong.iter().take(40).collect();
    assert!(
        wrong.is_empty(),
        "{what}: {} of {tried}, {shown:#?}",
        wrong.len()
    );
}

#[test]
fn flipped_bits() {
    const FLIPS: usize = 250;
    let mut wrong = Vec::new();
    for (n, kind) in (0..).zip(TOYS) {
        let bench = Bench::new(kind);
        let mut random = Random::new(n + 1);
        let mut left = FLIPS;
        while left > 0 {
            let at = random.one_of(&bench.touched).plus(random.below(4096));
            // Most of a page is padding; a flipped zero is one in eight.
            let byte = bench.toy.machine.memory.read_uint(at, 1).unwrap();
            if byte == 0 && random.below(8) != 0 {
                continue;
            }
            left -= 1;
            let bit = u8::try_from(random.below(8)).unwrap();
            let mut memory = bench.patched();
            memory.flip(at, bit);
            let trouble = bench.trouble(memory);
            let place = format!("{kind:?} {at} bit {bit}");
            wrong.extend(trouble.into_iter().map(|what| format!("{place}: {what}")));
        }
        bench.refused.are_few_of(FLIPS);
    }
    report("flipped bits", &wrong, FLIPS * TOYS.len());
}

#[test]
fn pointers_at_themselves_at_nothing_and_at_each_other() {
    const CHANGES: usize = 250;
    let mut wrong = Vec::new();
    for (n, kind) in (0..).zip(TOYS) {
        let bench = Bench::new(kind);
        let pointers = bench.pointers();
        assert!(pointers.len() > 500);
        let direct: BTreeMap<u64, u64> = addresses(&bench);
        let mut random = Random::new(n + 100);
        for _ in 0..CHANGES {
            let (at, was) = random.one_of(&pointers);
            let other = random.one_of(&pointers).1;
            let itself = direct.get(&at.page().0).map_or(was, |va| va + at.in_page());
            let to = random.one_of(&[itself, itself, 0, other, other, other]);
            let mut memory = bench.patched();
            memory.write_uint(at, to, bench.word());
            let place = format!("{kind:?} {at}: {was:#x} made {to:#x}");
            let trouble = bench.trouble(memory);
            wrong.extend(trouble.into_iter().map(|what| format!("{place}: {what}")));
        }
        bench.refused.are_few_of(CHANGES);
    }
    report("pointers", &wrong, CHANGES * TOYS.len());
}

/// The virtual address of each touched page: in the direct map, or in the image.
fn addresses(bench: &Bench) -> BTreeMap<u64, u64> {
    use osier_osi::Osi;
    let linux = toys::attach(&bench.toy, bench.toy.machine.memory.clone()).unwrap();
    let mut found = BTreeMap::new();
    let half = if bench.word() == 4 {
        0xc000_0000
    } else {
        1 << 63
    };
    linux
        .kernel_space()
        .mapped(VirtAddr(half)..VirtAddr(u64::MAX), &mut |range| {
            if let Ok(range) = range {
                for by in (0..range.len).step_by(4096) {
                    found.insert(range.phys.0 + by, range.start.0 + by);
                }
            }
            std::ops::ControlFlow::Continue(())
        });
    found
}
