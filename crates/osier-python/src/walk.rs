//! Walks for an answer: all rows of a question, of every process or of some.

use std::ops::ControlFlow;
use std::sync::Arc;

use osier::ask::{Question, ask, ask_process, taskds};
use osier::tables::{Cells, Table, of};
use osier::{Guest, Osi, VirtAddr, WalkEnds};

use crate::owned::OwnedRow;

/// Found rows of one step.
const STRIDE: usize = 1024;

/// The processes that a question is about, and how the walk ended that found them.
#[derive(Clone, Debug)]
pub(crate) struct Of {
    pub(crate) taskds: Arc<[VirtAddr]>,
    pub(crate) ends: WalkEnds,
}

/// Rows that were found once and are kept: to find them again would take as long.
#[derive(Debug)]
pub(crate) struct Found {
    /// The word of the command that finds such rows.
    pub(crate) word: &'static str,
    pub(crate) tables: [&'static Table; 1],
    pub(crate) rows: Vec<OwnedRow>,
    /// What was lost besides values of these rows.
    pub(crate) lost: usize,
    /// What that was, in words.
    pub(crate) remarks: Vec<String>,
    pub(crate) ends: WalkEnds,
}

/// Where the rows of an answer come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A question, asked again with each use; where some are named, of these processes alone.
    Question(Question, Option<Of>),
    /// Rows that are kept.
    Found(Arc<Found>),
}

impl Source {
    /// The word of the command that gives such rows.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Question(question, _) => question.word(),
            Self::Found(found) => found.word,
        }
    }

    /// What else is to be said.
    pub(crate) fn remarks(&self) -> &[String] {
        match self {
            Self::Question(..) => &[],
            Self::Found(found) => &found.remarks,
        }
    }

    /// The same question of these processes, whose list ended so; rows that are kept are of all.
    pub(crate) fn of(&self, taskds: Arc<[VirtAddr]>, ends: WalkEnds) -> Self {
        match self {
            Self::Question(question, _) => Self::Question(*question, Some(Of { taskds, ends })),
            Self::Found(found) => Self::Found(found.clone()),
        }
    }

    /// The kinds of row.
    pub(crate) fn tables(&self) -> &[&'static Table] {
        match self {
            Self::Question(question, _) => of(*question),
            Self::Found(found) => &found.tables,
        }
    }
}

/// A walk that is made step by step: the whole of it, or one process after another.
pub(crate) struct Walk {
    osi: Box<dyn Osi>,
    source: Source,
    steps: Steps,
    ends: WalkEnds,
    lost: usize,
}

enum Steps {
    /// Nothing was asked yet.
    Begin,
    /// These processes are to be asked.
    Left(Question, std::vec::IntoIter<VirtAddr>),
    /// Found rows from this one on are to be shown.
    Shown(Arc<Found>, usize),
    /// Everything was asked.
    Over,
}

impl Walk {
    /// A walk that is not begun yet.
    pub(crate) fn new(guest: &Guest, source: Source) -> Self {
        Self {
            osi: guest.provider(),
            source,
            steps: Steps::Begin,
            ends: WalkEnds::default(),
            lost: 0,
        }
    }

    /// The processes that are to be asked and how the walk ended that found them, of a question that is asked of each.
    pub(crate) fn processes(&self) -> Option<(Vec<VirtAddr>, WalkEnds)> {
        match &self.source {
            Source::Question(question, of) if question.is_of_a_process() => Some(match of {
                Some(of) => (of.taskds.to_vec(), of.ends.clone()),
                None => taskds(&*self.osi),
            }),
            _ => None,
        }
    }

    /// Makes one step, and shows its rows. Says whether there may be another one.
    pub(crate) fn step(&mut self, row: &mut dyn FnMut(&Cells<'_>) -> ControlFlow<()>) -> bool {
        match &mut self.steps {
            Steps::Begin => match &self.source {
                Source::Question(question, _) if question.is_of_a_process() => {
                    let question = *question;
                    let (all, ends) = self.processes().unwrap_or_default();
                    self.ends.join(ends);
                    self.steps = Steps::Left(question, all.into_iter());
                    true
                }
                Source::Question(question, _) => {
                    self.ends.join(ask(&*self.osi, *question, row));
                    self.steps = Steps::Over;
                    false
                }
                Source::Found(found) => {
                    self.ends.join(found.ends.clone());
                    self.lost = found.lost;
                    self.steps = Steps::Shown(found.clone(), 0);
                    true
                }
            },
            Steps::Left(question, left) => {
                let Some(taskd) = left.next() else {
                    self.steps = Steps::Over;
                    return false;
                };
                let ends = ask_process(&*self.osi, *question, taskd, row);
                self.ends.join(ends);
                true
            }
            Steps::Shown(found, from) => {
                let end = from.saturating_add(STRIDE).min(found.rows.len());
                let shown = found.rows.get(*from..end).unwrap_or_default();
                let flow = shown.iter().try_for_each(|one| row(&Cells::of(one)));
                *from = end;
                flow.is_continue() && end < found.rows.len()
            }
            Steps::Over => false,
        }
    }

    /// Makes every step that is left, asking `poll` with every row and process whether to go on.
    pub(crate) fn through(
        &mut self,
        poll: &mut dyn FnMut() -> ControlFlow<()>,
        row: &mut dyn FnMut(&Cells<'_>) -> ControlFlow<()>,
    ) {
        let mut stopped = false;
        loop {
            let more = self.step(&mut |one| {
                let flow = match row(one) {
                    ControlFlow::Continue(()) => poll(),
                    ControlFlow::Break(()) => ControlFlow::Break(()),
                };
                stopped = flow.is_break();
                flow
            });
            if stopped || !more || poll().is_break() {
                return;
            }
        }
    }

    /// What was lost besides values of rows.
    pub(crate) fn lost(&self) -> usize {
        self.lost
    }

    /// How the walks made so far ended.
    pub(crate) fn ends(&self) -> &WalkEnds {
        &self.ends
    }
}
