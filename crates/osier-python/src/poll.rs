//! Long work that Ctrl-C stops.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// How long work goes on between two looks at the interpreter's signals.
pub(crate) const PATIENCE: Duration = Duration::from_millis(50);

/// Looks now and then whether the interpreter has a signal to handle. Only its main thread ever has.
pub(crate) struct Poll {
    last: Instant,
    raised: Option<PyErr>,
}

impl Poll {
    pub(crate) fn new() -> Self {
        Self {
            last: Instant::now(),
            raised: None,
        }
    }

    /// Whether to go on. Cheap enough for every row.
    pub(crate) fn look(&mut self) -> ControlFlow<()> {
        if self.last.elapsed() < PATIENCE {
            return ControlFlow::Continue(());
        }
        let check = |py: Python<'_>| -> PyResult<()> { py.check_signals() };
        let looked = Python::attach(check);
        self.last = Instant::now();
        match looked {
            Ok(()) => ControlFlow::Continue(()),
            Err(raised) => {
                self.raised = Some(raised);
                ControlFlow::Break(())
            }
        }
    }

    /// What a signal's handler raised, such as `KeyboardInterrupt`.
    pub(crate) fn raised(self) -> PyResult<()> {
        self.raised.map_or(Ok(()), Err)
    }
}

/// The stack of a thread that works, as large as a program's first one usually is.
pub(crate) const STACK: usize = 8 << 20;

/// Does `work` on a thread of its own, and waits for it. Work that cannot be stopped is left alone when a
/// signal's handler raises: it ends by itself, and nobody hears of it.
pub(crate) fn abandonable<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    let worker = std::thread::Builder::new().stack_size(STACK);
    let worker = worker.spawn(move || {
        // Nobody listens any more when the work was given up.
        let _ = send.send(work());
    })?;
    // A receiver is one thread's at a time, so that it goes along.
    let mut receive = receive;
    loop {
        let waited = py.detach(move || {
            let waited = receive.recv_timeout(PATIENCE);
            (receive, waited)
        });
        receive = waited.0;
        match waited.1 {
            Ok(done) => return Ok(done),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                let panicked = worker.join().is_err();
                let wrong = if panicked { "it panicked" } else { "it ended" };
                return Err(crate::errors::plain(py, "Error", wrong));
            }
        }
    }
}
