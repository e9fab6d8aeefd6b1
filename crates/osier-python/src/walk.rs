//! Walks for an answer: all rows of a question, of every process or of some.

use std::ops::ControlFlow;
use std::sync::Arc;

use osier::ask::{Question, ask, ask_process, taskds};
use osier::tables::Cells;
use osier::{Guest, Osi, VirtAddr, WalkEnds};

use crate::poll::Poll;

/// The processes that a question is about, and how the walk ended that found them.
#[derive(Clone, Debug)]
pub(crate) struct Of {
    pub(crate) taskds: Arc<[VirtAddr]>,
    pub(crate) ends: WalkEnds,
}

/// A walk that is made step by step: the whole of it, or one process after another.
pub(crate) struct Walk {
    osi: Box<dyn Osi>,
    question: Question,
    of: Option<Of>,
    steps: Steps,
    ends: WalkEnds,
}

enum Steps {
    /// Nothing was asked yet.
    Begin,
    /// These processes are to be asked.
    Left(std::vec::IntoIter<VirtAddr>),
    /// Everything was asked.
    Over,
}

impl Walk {
    /// A walk that is not begun yet.
    pub(crate) fn new(guest: &Guest, question: Question, of: Option<Of>) -> Self {
        Self {
            osi: guest.provider(),
            question,
            of,
            steps: Steps::Begin,
            ends: WalkEnds::default(),
        }
    }

    /// Makes one step, and shows its rows. Says whether there may be another one.
    pub(crate) fn step(&mut self, row: &mut dyn FnMut(&Cells<'_>) -> ControlFlow<()>) -> bool {
        match &mut self.steps {
            Steps::Begin if self.question.is_of_a_process() => {
                let (all, ends) = match self.of.take() {
                    Some(of) => (of.taskds.to_vec(), of.ends),
                    None => taskds(&*self.osi),
                };
                self.ends.join(ends);
                self.steps = Steps::Left(all.into_iter());
                true
            }
            Steps::Begin => {
                self.ends.join(ask(&*self.osi, self.question, row));
                self.steps = Steps::Over;
                false
            }
            Steps::Left(left) => {
                let Some(taskd) = left.next() else {
                    self.steps = Steps::Over;
                    return false;
                };
                let ends = ask_process(&*self.osi, self.question, taskd, row);
                self.ends.join(ends);
                true
            }
            Steps::Over => false,
        }
    }

    /// Makes every step that is left, looking at `poll` with every row and process.
    pub(crate) fn through(
        &mut self,
        poll: &mut Poll,
        row: &mut dyn FnMut(&Cells<'_>) -> ControlFlow<()>,
    ) {
        let mut stopped = false;
        loop {
            let more = self.step(&mut |one| {
                let flow = match row(one) {
                    ControlFlow::Continue(()) => poll.look(),
                    ControlFlow::Break(()) => ControlFlow::Break(()),
                };
                stopped = flow.is_break();
                flow
            });
            if stopped || !more || poll.look().is_break() {
                return;
            }
        }
    }

    /// How the walks made so far ended.
    pub(crate) fn ends(&self) -> &WalkEnds {
        &self.ends
    }
}
