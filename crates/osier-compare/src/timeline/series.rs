//! A series of snapshots, and the processes in it.

use std::collections::HashMap;

use osier::osier_memory::VirtAddr;
use osier::{Process, Seen, SeenExt as _};

use super::life::{Life, Mark};
use crate::View;

/// One snapshot of a series.
#[derive(Clone, Debug)]
pub struct Moment {
    /// What the snapshot is called.
    pub label: String,
    /// What the guest's clock showed: nanoseconds since 1970-01-01 UTC.
    pub clock: Seen<i64>,
}

/// A series of snapshots, and the processes in it by their first appearance.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The snapshots.
    pub moments: Vec<Moment>,
    /// The processes; each has a mark for every moment.
    pub lives: Vec<Life>,
}

/// Puts a series into the order of the guest's clock. Says whether every clock is known; otherwise
/// the order stays as it was given.
pub fn by_clock(views: &mut [View]) -> bool {
    let known = views.iter().all(|view| view.clock.get().is_some());
    if known {
        views.sort_by_key(|view| view.clock.value());
    }
    known
}

impl Timeline {
    /// Follows the processes of `views` in the order given. A process is known again by pid and
    /// create time, or when one of them was lost, by its place.
    pub fn of(views: &[View]) -> Self {
        let mut lives: Vec<Life> = Vec::new();
        let mut known = Births::default();
        for (at, view) in views.iter().enumerate() {
            let running = running(view);
            for process in &view.processes.rows {
                let mark = if running.contains(&process.taskd) {
                    Mark::Current
                } else {
                    Mark::There
                };
                let index = known.find(process, &lives).unwrap_or_else(|| {
                    lives.push(Life::new(process, views.len()));
                    lives.len().saturating_sub(1)
                });
                if let Some(life) = lives.get_mut(index) {
                    life.meet(process, at, mark);
                }
                known.note(process, index);
            }
        }
        // Only now all lives are known, the late ones too.
        for (at, view) in views.iter().enumerate() {
            if !view.processes.ends.is_complete() {
                for life in &mut lives {
                    life.doubt(at);
                }
            }
        }
        let moment = |view: &View| Moment {
            label: view.label.clone(),
            clock: view.clock.clone(),
        };
        Self {
            moments: views.iter().map(moment).collect(),
            lives,
        }
    }
}

/// The processes that run on a processor.
fn running(view: &View) -> Vec<VirtAddr> {
    let processes = view.current.rows.iter().map(|current| &current.process);
    let known = processes.filter_map(Seen::get);
    known.map(|process| process.taskd).collect()
}

/// Where lives stand in the list of them.
#[derive(Default)]
struct Births {
    by_birth: HashMap<(u32, u64), usize>,
    by_place: HashMap<VirtAddr, usize>,
}

fn birth(process: &Process) -> Option<(u32, u64)> {
    Some((process.pid.value()?, process.create_time.value()?))
}

impl Births {
    fn find(&self, process: &Process, lives: &[Life]) -> Option<usize> {
        let born = birth(process).and_then(|birth| self.by_birth.get(&birth));
        if let Some(&index) = born {
            return Some(index);
        }
        let &index = self.by_place.get(&process.taskd)?;
        let there = lives.get(index)?;
        crate::diff::same_process(&there.process, process).then_some(index)
    }

    fn note(&mut self, process: &Process, index: usize) {
        self.by_place.insert(process.taskd, index);
        if let Some(birth) = birth(process) {
            self.by_birth.insert(birth, index);
        }
    }
}
