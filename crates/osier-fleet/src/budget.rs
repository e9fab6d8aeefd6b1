//! What one snapshot may cost.

use crate::deadline::Deadline;
use std::ops::ControlFlow;

/// The time and memory that one snapshot may take.
///
/// It is looked at whenever a row is made, so a walk that makes none is not stopped by it: walks
/// have limits of their own.
pub(crate) struct Budget {
    deadline: Deadline,
    memory: usize,
    over: Option<String>,
}

impl Budget {
    /// Up to `deadline`, and up to `memory` bytes of rows.
    pub(crate) fn new(deadline: Deadline, memory: usize) -> Self {
        Self {
            deadline,
            memory,
            over: None,
        }
    }

    /// Breaks when the time is over or `held`, the bytes of the snapshot's rows, are too many.
    pub(crate) fn look(&mut self, held: usize) -> ControlFlow<()> {
        if held > self.memory {
            self.over = Some(format!(
                "stopped: its rows take more than the memory limit of {} bytes",
                self.memory
            ));
        } else if let Some(time) = self.deadline.over() {
            self.over = Some(format!("stopped: the time limit of {time:?} is over"));
        }
        match self.over {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }

    /// Which limit was reached, in words.
    pub(crate) fn over(&self) -> Option<&str> {
        self.over.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn either_limit_stops() {
        let mut free = Budget::new(Deadline::new(None), 10);
        assert!(free.look(10).is_continue() && free.over().is_none());
        assert!(free.look(11).is_break());
        assert!(free.over().unwrap().contains("memory limit of 10 bytes"));
        let mut late = Budget::new(Deadline::new(Some(Duration::ZERO)), 10);
        std::thread::sleep(Duration::from_millis(1));
        assert!(late.look(0).is_break());
        assert!(late.over().unwrap().contains("time limit"));
    }
}
