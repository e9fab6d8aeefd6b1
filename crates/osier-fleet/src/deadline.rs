//! The time that one step over a snapshot may take: opening it ends when the time does, and so does its
//! memory.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use osier::Options;
use osier::osier_memory::{Cause, Chunk, Fault, PhysAddr, PhysRun, PhysicalMemory, Visit};

/// When one step over a snapshot must be done with. Clones are of one step.
#[derive(Clone)]
pub(crate) struct Deadline {
    limit: Option<Duration>,
    began: Arc<Mutex<Instant>>,
}

impl Deadline {
    /// `limit` from now on.
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self {
            limit,
            began: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// The next step begins: the limit counts from now on.
    pub(crate) fn begin(&self) {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// The time that went by.
    pub(crate) fn elapsed(&self) -> Duration {
        let began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        began.elapsed()
    }

    /// The limit, when it is over.
    pub(crate) fn over(&self) -> Option<Duration> {
        self.limit.filter(|limit| self.elapsed() > *limit)
    }

    /// Why the snapshot was given up, when the time is over.
    pub(crate) fn gave_up(&self, before: &str) -> Option<String> {
        let limit = self.over()?;
        Some(format!(
            "stopped: the time limit of {limit:?} was over before {before}"
        ))
    }

    /// `options`, with which no file is opened or unpacked any more once the time is over.
    pub(crate) fn bound_opening(&self, options: &Options) -> Options {
        let mut options = options.clone();
        if self.limit.is_some() {
            let deadline = self.clone();
            options.progress = options.progress.until(move || deadline.over().is_some());
        }
        options
    }

    /// `memory`, of which nothing can be read any more once the time is over: so every search in it
    /// ends. What such a search found or did not find is not to be believed, see
    /// [`gave_up`](Self::gave_up).
    pub(crate) fn bound(&self, memory: Arc<dyn PhysicalMemory>) -> Arc<dyn PhysicalMemory> {
        match self.limit {
            None => memory,
            Some(_) => Arc::new(Bounded {
                memory,
                deadline: self.clone(),
                reads: AtomicU32::new(0),
                over: AtomicBool::new(false),
            }),
        }
    }
}

/// Reads between two looks at the clock.
const READS: u32 = 256;

struct Bounded {
    memory: Arc<dyn PhysicalMemory>,
    deadline: Deadline,
    reads: AtomicU32,
    over: AtomicBool,
}

impl Bounded {
    fn look(&self) -> bool {
        if self.deadline.over().is_some() {
            self.over.store(true, Ordering::Relaxed);
        }
        self.over.load(Ordering::Relaxed)
    }
}

impl PhysicalMemory for Bounded {
    fn runs(&self) -> &[PhysRun] {
        self.memory.runs()
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        let reads = self.reads.fetch_add(1, Ordering::Relaxed);
        let over =
            self.over.load(Ordering::Relaxed) || (reads.is_multiple_of(READS) && self.look());
        if over {
            return Err(Fault::at_phys(Cause::NotCaptured, pa));
        }
        self.memory.chunk(pa)
    }

    fn sweep(&self, run: PhysRun, window: usize, visit: Visit<'_, PhysAddr>) -> ControlFlow<()> {
        self.memory.sweep(run, window, &mut |pa, bytes| {
            if self.look() {
                return ControlFlow::Break(());
            }
            visit(pa, bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use osier::osier_memory::ZERO_PAGE;

    use super::*;

    const RUN: PhysRun = PhysRun {
        start: PhysAddr(0x1000),
        len: ZERO_PAGE.len() as u64,
    };

    struct Page;

    impl PhysicalMemory for Page {
        fn runs(&self) -> &[PhysRun] {
            &[RUN]
        }

        fn chunk(&self, _: PhysAddr) -> Result<Chunk<'_>, Fault> {
            Ok(Chunk::borrowed(&ZERO_PAGE))
        }
    }

    #[test]
    fn memory_ends_when_the_time_does() {
        let memory: Arc<dyn PhysicalMemory> = Arc::new(Page);
        let swept = |memory: &Arc<dyn PhysicalMemory>| {
            let mut bytes = 0;
            let _ = memory.sweep(RUN, 0x1000, &mut |_, window| {
                bytes = window.len();
                ControlFlow::Continue(())
            });
            bytes
        };
        let free = Deadline::new(None);
        assert_eq!(swept(&free.bound(memory.clone())), 0x1000);
        assert_eq!(free.over(), None);
        let late = Deadline::new(Some(Duration::ZERO));
        std::thread::sleep(Duration::from_millis(1));
        let bound = late.bound(memory.clone());
        assert_eq!(swept(&bound), 0);
        assert!(bound.chunk(PhysAddr(0x1000)).is_err());
        let gave_up = late.gave_up("a kernel was found");
        assert!(gave_up.unwrap().contains("before a kernel was found"));
        late.begin();
        assert!(late.elapsed() < Duration::from_secs(1));
    }
}
