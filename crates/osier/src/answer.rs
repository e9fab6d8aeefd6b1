//! Answers: iterators of rows that know how their walks ended.

use std::fmt;
use std::ops::ControlFlow;

use osier_memory::{Each, VirtAddr};
use osier_osi::{
    Current, Finding, Handle, Interface, LogLine, Mapping, Module, Mount, OpenFile, Osi, PageRange,
    Process, Scanned, Socket, Thread, Variable, WalkEnds,
};

use crate::ask::Listed;
use crate::guest::Guest;

/// The rows of one answer, in the provider's order, and how its walks ended.
///
/// A walk is made when its rows are asked for: that of the processes at the first row, that of one
/// process's threads, mappings or pages when those of the process before it are through. [`ends`] is
/// therefore the whole truth only after the last row.
///
/// [`ends`]: Answer::ends
#[must_use = "an answer reads nothing until its rows are asked for"]
pub struct Answer<R> {
    ready: std::vec::IntoIter<R>,
    steps: Steps<R>,
    ends: WalkEnds,
    exhausted: bool,
}

/// Gives the rows and endings of the next walk; `None` when there is none.
type Steps<R> = Box<dyn FnMut() -> Option<(Vec<R>, WalkEnds)> + Send>;

impl<R> Answer<R> {
    fn of(steps: Steps<R>) -> Self {
        Self {
            ready: Vec::new().into_iter(),
            steps,
            ends: WalkEnds::default(),
            exhausted: false,
        }
    }

    /// An answer of one walk.
    fn once(walk: impl FnOnce() -> (Vec<R>, WalkEnds) + Send + 'static) -> Self {
        let mut walk = Some(walk);
        Self::of(Box::new(move || walk.take().map(|walk| walk())))
    }

    /// How the walks made so far ended.
    pub fn ends(&self) -> &WalkEnds {
        &self.ends
    }

    /// Whether every row was given and every walk closed: nothing is missing from the list. A value of
    /// a row may be absent all the same, and says so itself.
    pub fn is_complete(&self) -> bool {
        self.exhausted && self.ends.all_closed()
    }
}

impl<R> Iterator for Answer<R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        loop {
            if let Some(row) = self.ready.next() {
                return Some(row);
            }
            if self.exhausted {
                return None;
            }
            match (self.steps)() {
                Some((rows, ends)) => {
                    self.ends.join(ends);
                    self.ready = rows.into_iter();
                }
                None => self.exhausted = true,
            }
        }
    }
}

impl<R> std::iter::FusedIterator for Answer<R> {}

impl<R> fmt::Debug for Answer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("ready", &self.ready.len())
            .field("ends", &self.ends)
            .field("exhausted", &self.exhausted)
            .finish_non_exhaustive()
    }
}

/// The rows of a walk that shows them one by one.
fn collected<R>(walk: impl FnOnce(Each<'_, R>) -> WalkEnds) -> (Vec<R>, WalkEnds) {
    let mut rows = Vec::new();
    let ends = walk(&mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    (rows, ends)
}

/// Shows the rows of one process, which its handle names.
type OfProcess<R> = fn(&dyn Osi, VirtAddr, Each<'_, R>) -> WalkEnds;

impl Guest {
    /// Every process. Linux: thread-group leaders from `init_task` on, zombies included.
    ///
    /// ```
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
    /// let guest = osier::open(file)?;
    /// let mut list = guest.processes();
    /// for process in list.by_ref() {
    ///     let name = process.name?;
    ///     println!("{:>6} {}", process.pid?, String::from_utf8_lossy(&name));
    /// }
    /// assert!(list.is_complete());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn processes(&self) -> Answer<Process> {
        let osi = self.provider();
        Answer::once(move || collected(|row| osi.processes(row)))
    }

    /// The handle of every process: what PANDA calls by that word, a process's descriptor and address
    /// space.
    ///
    /// ```
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
    /// let guest = osier::open(file)?;
    /// for handle in guest.handles() {
    ///     println!("{} {}", handle.taskd, handle.asid.map_or("-".to_owned(), |asid| asid.to_string()));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn handles(&self) -> Answer<Handle> {
        let osi = self.provider();
        Answer::once(move || {
            let listed = Listed::of(&*osi, &mut |_, _| ControlFlow::Continue(()));
            let ends = listed.ends();
            (listed.into_handles(), ends)
        })
    }

    /// The process and thread that each processor runs.
    ///
    /// ```
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
    /// let guest = osier::open(file)?;
    /// for current in guest.current() {
    ///     println!("{} runs {}", current.cpu, current.thread?.tid?);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn current(&self) -> Answer<Current> {
        let osi = self.provider();
        Answer::once(move || collected(|row| osi.current(row)))
    }

    /// The kernel modules: drivers, on Windows.
    ///
    /// ```
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
    /// let guest = osier::open(file)?;
    /// for module in guest.modules() {
    ///     println!("{} {} bytes", module.base?, module.size?);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn modules(&self) -> Answer<Module> {
        let osi = self.provider();
        Answer::once(move || collected(|row| osi.modules(row)))
    }

    /// The threads of every process, or of the process at `of` alone: the `taskd` of its row.
    ///
    /// ```
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
    /// let guest = osier::open(file)?;
    /// for thread in guest.threads(None) {
    ///     println!("{} {}", thread.pid?, thread.tid?);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn threads(&self, of: impl Into<Option<VirtAddr>>) -> Answer<Thread> {
        self.of_processes(of.into(), |osi, taskd, row| osi.threads(taskd, row))
    }

    /// The mappings of every process, or of the process at `of` alone: the `taskd` of its row.
    ///
    /// ```
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
    /// let guest = osier::open(file)?;
    /// let first = guest.processes().find(|process| process.pid == Ok(1));
    /// for mapping in guest.mappings(first.map(|process| process.taskd)) {
    ///     println!("{} {} bytes", mapping.base?, mapping.size?);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mappings(&self, of: impl Into<Option<VirtAddr>>) -> Answer<Mapping> {
        self.of_processes(of.into(), |osi, taskd, row| osi.mappings(taskd, row))
    }

    /// The present pages of every process, or of the process at `of` alone: the `taskd` of its row.
    ///
    /// ```
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
    /// let guest = osier::open(file)?;
    /// let first = guest.processes().find(|process| process.pid == Ok(1));
    /// let pages = guest.pages(first.map(|process| process.taskd));
    /// println!("{} bytes", pages.map(|range| range.len).sum::<u64>());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pages(&self, of: impl Into<Option<VirtAddr>>) -> Answer<PageRange> {
        self.of_processes(of.into(), |osi, taskd, row| osi.pages(taskd, row))
    }

    /// The open files of every process, on Windows its handles, or of the process at `of` alone: the `taskd` of its row.
    ///
    /// ```
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
    /// let guest = osier::open(file)?;
    /// for open in guest.files(None) {
    ///     let path = open.path.map_or_else(|absent| absent.to_string().into_bytes(), |path| path);
    ///     println!("{} {} {}", open.pid?, open.fd, String::from_utf8_lossy(&path));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn files(&self, of: impl Into<Option<VirtAddr>>) -> Answer<OpenFile> {
        self.of_processes(of.into(), |osi, taskd, row| osi.files(taskd, row))
    }

    /// The environment variables of every process, or of the process at `of` alone: the `taskd` of its
    /// row.
    ///
    /// ```
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
    /// let guest = osier::open(file)?;
    /// let homes = guest.environment(None).filter(|of| of.name == Ok(b"HOME".to_vec()));
    /// for home in homes {
    ///     println!("{} {}", home.pid?, String::from_utf8_lossy(&home.value?));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn environment(&self, of: impl Into<Option<VirtAddr>>) -> Answer<Variable> {
        self.of_processes(of.into(), |osi, taskd, row| osi.environment(taskd, row))
    }

    /// The mounts that every process sees, or the process at `of` alone: the `taskd` of its row.
    ///
    /// ```
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
    /// let guest = osier::open(file)?;
    /// let first = guest.processes().find(|process| process.pid == Ok(1));
    /// for mount in guest.mounts(first.map(|process| process.taskd)) {
    ///     println!("{} {}", mount.id?, String::from_utf8_lossy(&mount.point?));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mounts(&self, of: impl Into<Option<VirtAddr>>) -> Answer<Mount> {
        self.of_processes(of.into(), |osi, taskd, row| osi.mounts(taskd, row))
    }

    /// The sockets of every network namespace: a row for each descriptor that leads to one, and for each that none leads to.
    ///
    /// ```
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
    /// let guest = osier::open(file)?;
    /// let mut sockets = guest.sockets();
    /// let unheld = sockets.by_ref().filter(|socket| socket.pid.is_err()).count();
    /// println!("{unheld} sockets without a descriptor; {}", sockets.ends());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sockets(&self) -> Answer<Socket> {
        let osi = self.provider();
        Answer::once(move || collected(|row| osi.sockets(row)))
    }

    /// The network interfaces of every network namespace, with their addresses.
    ///
    /// ```
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
    /// let guest = osier::open(file)?;
    /// for interface in guest.interfaces() {
    ///     let addresses = interface.addresses.unwrap_or_default();
    ///     println!("{} {addresses:?}", String::from_utf8_lossy(&interface.name?));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn interfaces(&self) -> Answer<Interface> {
        let osi = self.provider();
        Answer::once(move || collected(|row| osi.interfaces(row)))
    }

    /// Tasks and modules by their own bytes, linked into the kernel's lists or not; exited ones that still lie there. Of
    /// Windows processes and drivers.
    ///
    /// ```
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
    /// let guest = osier::open(file)?;
    /// let hidden = guest.scan().filter(|one| !one.linked && one.freed == Ok(false)).count();
    /// println!("{hidden} that no list leads to");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan(&self) -> Answer<Scanned> {
        let osi = self.provider();
        Answer::once(move || collected(|row| osi.scan(row)))
    }

    /// What does not fit, by the rules of `docs/findings.md`.
    ///
    /// ```
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
    /// let guest = osier::open(file)?;
    /// for finding in guest.findings() {
    ///     println!("{} {}: {}", finding.severity.word(), finding.rule, finding.text);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn findings(&self) -> Answer<Finding> {
        let osi = self.provider();
        Answer::once(move || collected(|row| osi.findings(row)))
    }

    /// Every process with all that is known of it, as `ps --wide` shows it.
    ///
    /// ```
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
    /// let guest = osier::open(file)?;
    /// for process in guest.wide() {
    ///     if let osier::ProcessExtra::Linux(linux) = process.extra
    ///         && let Some(wide) = linux.wide
    ///     {
    ///         println!("{} {:?}", process.pid?, wide.rss.ok());
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wide(&self) -> Answer<Process> {
        let osi = self.provider();
        Answer::once(move || collected(|row| osi.wide(row)))
    }

    /// The kernel's log, the oldest record first.
    ///
    /// ```
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");
    /// let guest = osier::open(file)?;
    /// for line in guest.log().take(10) {
    ///     println!("{:>16} {}", line.time?, String::from_utf8_lossy(&line.text?));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn log(&self) -> Answer<LogLine> {
        let osi = self.provider();
        Answer::once(move || collected(|row| osi.log(row)))
    }

    /// Walks one process after another; all of them, when none is named.
    fn of_processes<R: 'static>(&self, one: Option<VirtAddr>, walk: OfProcess<R>) -> Answer<R> {
        let osi = self.provider();
        if let Some(taskd) = one {
            return Answer::once(move || collected(|row| walk(&*osi, taskd, row)));
        }
        let mut listed: Option<std::vec::IntoIter<Handle>> = None;
        Answer::of(Box::new(move || {
            let Some(left) = &mut listed else {
                let all = Listed::of(&*osi, &mut |_, _| ControlFlow::Continue(()));
                let ends = all.ends();
                listed = Some(all.into_handles().into_iter());
                return Some((Vec::new(), ends));
            };
            let taskd = left.next()?.taskd;
            Some(collected(|row| walk(&*osi, taskd, row)))
        }))
    }
}
