//! Hides each page that a machine's answers rest on, and holds the answers against those of the whole.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use osier_linux::{AttachError, Linux, Located};
use osier_memory::{
    AddressSpace, Fault, Machine, Paging, PhysAddr, PhysicalMemory, Recorder, VirtAddr,
};
use osier_osi::{WalkEnd, WalkEnds, Why};
use osier_profile::Profile;
use osier_testkit::Knockout;

use crate::real;
use crate::toys::Answers;

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

/// A kernel to hide pages of.
pub(crate) struct Subject<'a> {
    pub(crate) memory: Arc<dyn PhysicalMemory>,
    pub(crate) mode: Paging,
    pub(crate) root: PhysAddr,
    pub(crate) handles: Vec<VirtAddr>,
    /// How many processes are asked for their pages.
    pub(crate) paged: usize,
    /// Of so many touched pages one is hidden.
    pub(crate) every: usize,
    pub(crate) attach: &'a dyn Fn(Arc<dyn PhysicalMemory>) -> Result<Linux, AttachError>,
}

impl Subject<'_> {
    pub(crate) fn knock_out(&self) {
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

/// As [`Subject::knock_out`], of a snapshot's kernel.
pub(crate) fn knock_out_pages(
    machine: &Machine,
    located: &Located,
    profile: &Arc<Profile>,
    every: usize,
) {
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
