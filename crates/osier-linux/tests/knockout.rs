//! Proof that nothing is lost silently: for each page that the answers rest on, the same questions
//! with that page hidden. Rows are a subset, and whatever is missing or changed comes with an
//! absence or an ending that names the page.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

#[allow(dead_code, reason = "other tests ask more of real machines")]
mod real;
mod toys;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use osier_linux::{AttachError, Linux, Located};
use osier_memory::{
    AddressSpace, Fault, Machine, Paging, PhysAddr, PhysicalMemory, Recorder, VirtAddr,
};
use osier_osi::{WalkEnd, WalkEnds, Why};
use osier_profile::Profile;
use osier_testkit::{Era, Knockout, TOYS, ToyKernel};

use toys::Answers;

/// Whether `fault` is about the page `hidden`.
fn names(whole: &AddressSpace, fault: &Fault, hidden: PhysAddr) -> bool {
    let by_va = || whole.translate(fault.va?).ok();
    fault
        .pa
        .or_else(by_va)
        .is_some_and(|pa| pa.page() == hidden)
}

fn ends_name(whole: &AddressSpace, ends: Option<&WalkEnds>, hidden: PhysAddr) -> bool {
    ends.into_iter()
        .flat_map(WalkEnds::bad)
        .any(|(_, end)| match end {
            WalkEnd::BrokenLink { fault, .. } => names(whole, fault, hidden),
            WalkEnd::NoStart { fault, .. } => {
                fault.is_some_and(|fault| names(whole, &fault, hidden))
            }
            _ => false,
        })
}

/// What is wrong with `after`, compared with `before`.
fn losses(
    whole: &AddressSpace,
    before: &Answers,
    after: &Answers,
    hidden: PhysAddr,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for key in after
        .rows
        .keys()
        .filter(|key| !before.rows.contains_key(key))
    {
        wrong.push(format!("invented: {} {:#x}", key.0, key.1));
    }
    for (table, key) in &after.twice {
        wrong.push(format!("twice: {table} {key:#x}"));
    }
    for (key, fields) in &before.rows {
        let (table, at) = key;
        let excused = ends_name(whole, after.ends.get(table), hidden);
        let Some(now) = after.rows.get(key) else {
            if !excused {
                let ends = after.ends.get(table);
                wrong.push(format!("lost: {table} {at:#x}; ends {ends:x?}"));
            }
            continue;
        };
        for (field, value) in fields {
            let new = now.get(field);
            let fine = match new {
                Some(new) if new == value => true,
                // Nothing to have stays nothing to have; the words may know less.
                Some(Err(Why::NotApplicable(_))) => matches!(value, Err(Why::NotApplicable(_))),
                Some(Err(Why::Unreadable(fault))) => names(whole, fault, hidden),
                // What found a row depends on both lists; the lists' endings tell of them.
                _ if matches!(*field, "found_by" | "backing") => excused,
                _ => false,
            };
            if !fine {
                wrong.push(format!(
                    "changed: {table} {at:#x} {field}: {value:x?}, now {new:x?}"
                ));
            }
        }
    }
    wrong
}

fn knock_out(mode: Paging, era: Era) {
    knock_out_of(&ToyKernel::build(mode, era));
}

fn knock_out_of(toy: &ToyKernel) {
    let subject = Subject {
        memory: toy.machine.memory.clone(),
        mode: toy.mode,
        root: toy.root,
        handles: toy.tasks.iter().map(|task| task.taskd).collect(),
        paged: usize::MAX,
        every: 1,
        attach: &|memory| toys::attach(toy, memory),
    };
    subject.knock_out();
}

/// A kernel to hide pages of.
struct Subject<'a> {
    memory: Arc<dyn PhysicalMemory>,
    mode: Paging,
    root: PhysAddr,
    handles: Vec<VirtAddr>,
    /// How many processes are asked for their pages.
    paged: usize,
    /// Of so many touched pages one is hidden.
    every: usize,
    attach: &'a dyn Fn(Arc<dyn PhysicalMemory>) -> Result<Linux, AttachError>,
}

impl Subject<'_> {
    fn knock_out(&self) {
        let Self {
            mode,
            root,
            attach,
            ref memory,
            ref handles,
            ..
        } = *self;
        let whole = AddressSpace::new(memory.clone(), mode, root, osier_linux::linux_policy);
        let recorder = Arc::new(Recorder::new(memory.clone()));
        let linux = attach(recorder.clone()).expect("a whole kernel attaches");
        let before = Answers::ask(&linux, handles, self.paged);
        for (question, ends) in &before.ends {
            assert!(ends.is_complete(), "{question}: {ends:x?}");
        }
        let touched = recorder.touched();
        assert!(touched.len() > 30, "only {} pages", touched.len());
        let mut wrong = Vec::new();
        let (mut hidden_pages, mut refused) = (0, 0);
        for hidden in touched.iter().step_by(self.every) {
            hidden_pages += 1;
            let holed = Arc::new(Knockout::new(memory.clone(), *hidden));
            let outcome = catch_unwind(AssertUnwindSafe(|| match attach(holed) {
                Ok(linux) => Some(Answers::ask(&linux, handles, self.paged)),
                // No kernel without init_task: an error that says so is an answer.
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    None
                }
            }));
            match outcome {
                Ok(Some(after)) => {
                    let losses = losses(&whole, &before, &after, *hidden);
                    wrong.extend(losses.into_iter().map(|what| format!("{hidden}: {what}")));
                }
                Ok(None) => refused += 1,
                Err(_) => wrong.push(format!("{hidden}: panic")),
            }
        }
        let shown: Vec<_> = wrong.iter().take(40).collect();
        let of = format!("{hidden_pages} of {} pages", touched.len());
        assert!(
            wrong.is_empty(),
            "{mode:?}, {of}: {} losses, {shown:#?}",
            wrong.len()
        );
        assert!(refused * 4 < hidden_pages, "{refused} of {of} refuse");
    }
}

/// The same for a real machine. Of its touched pages some are hidden; `OSIER_KNOCKOUT=1` hides
/// each in turn, which takes a while.
fn knock_out_real(name: &str) {
    let folder = osier_testkit::real_data!(name);
    let (machine, located, profile) = match real::parts(&folder.join("memory.raw")) {
        Ok(parts) => parts,
        Err(reason) => osier_testkit::skip!("{reason}"),
    };
    // Every page takes a while; one in seven shows what a change broke.
    let every = if std::env::var_os("OSIER_KNOCKOUT").is_some() {
        1
    } else {
        7
    };
    knock_out_pages(&machine, &located, &profile, every);
}

fn knock_out_pages(machine: &Machine, located: &Located, profile: &Arc<Profile>, every: usize) {
    let whole = Linux::attach(machine, located, profile.clone()).unwrap();
    let subject = Subject {
        memory: machine.memory.clone(),
        mode: located.mode,
        root: located.root,
        handles: real::processes(&whole)
            .values()
            .map(|row| row.taskd)
            .collect(),
        paged: 0,
        every,
        attach: &|memory| {
            let mut machine = machine.clone();
            machine.memory = memory;
            Linux::attach(&machine, located, profile.clone())
        },
    };
    subject.knock_out();
}

/// The golden snapshots that every clone has: each page of two of them.
#[test]
fn distilled() {
    for (snapshot, kernel) in [
        ("deb12-6.1-amd64", "6.1.0-50-amd64"),
        ("deb11-5.10-686", "5.10.0-32-686"),
    ] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let file = root.join(format!("snapshots/{snapshot}.elf"));
        let opened = osier_snapshot::open(&file, &osier_snapshot::OpenOptions::default()).unwrap();
        let located = osier_linux::locate(&opened.machine, &[]).unwrap();
        let symbols = root.join(format!("symbols/linux-{kernel}.osp"));
        let (profile, _) = Profile::read_file(&symbols).unwrap();
        knock_out_pages(&opened.machine, &located, &Arc::new(profile), 1);
    }
}

#[test]
fn real_5_10() {
    knock_out_real("deb11-5.10-amd64");
}

#[test]
fn real_6_1() {
    knock_out_real("deb12-6.1-amd64");
}

#[test]
fn real_6_12() {
    knock_out_real("deb13-6.12-amd64");
}

#[test]
fn two_levels_without_pse() {
    knock_out(TOYS[0].0, TOYS[0].1);
}

#[test]
fn two_levels() {
    knock_out(TOYS[1].0, TOYS[1].1);
}

#[test]
fn pae() {
    knock_out(TOYS[2].0, TOYS[2].1);
}

#[test]
fn four_levels_lists() {
    knock_out(TOYS[3].0, TOYS[3].1);
}

#[test]
fn four_levels_trees() {
    knock_out(TOYS[4].0, TOYS[4].1);
}

#[test]
fn five_levels() {
    knock_out(TOYS[5].0, TOYS[5].1);
}

#[test]
fn without_registers() {
    let mut toy = ToyKernel::build(TOYS[4].0, TOYS[4].1);
    toy.machine.cpus.clear();
    knock_out_of(&toy);
}
