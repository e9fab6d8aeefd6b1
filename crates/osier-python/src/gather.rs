//! An answer's rows as Arrow columns: walked by one thread, or, of very many processes, by one for each processor.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, ScopedJoinHandle, available_parallelism, scope};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use osier::tables::Cells;
use osier::{Guest, VirtAddr, WalkEnds};
use osier_fleet::Gathering;

use crate::poll::{PATIENCE, Poll, STACK};
use crate::walk::{Source, Walk};

/// Rows of one batch of columns.
const BATCH: usize = 1 << 16;
/// Processes that are worth a thread of their own; with fewer, starting it and filling its caches costs more than it saves.
const WORTH: usize = 256;
/// Parts for each thread: who is done with a short one takes another.
const PARTS: usize = 4;
/// The most threads.
const MOST: usize = 8;

/// Columns of rows, and what is known of the walk that gave them.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) rows: usize,
    pub(crate) losses: usize,
    pub(crate) ends: WalkEnds,
}

impl Gathered {
    /// Walks everything, and looks with each row whether to go on.
    fn of(
        mut walk: Walk,
        gathering: &mut Gathering,
        labels: (&str, &str),
        poll: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Self, ArrowError> {
        let mut all = Self::default();
        let mut failed = None;
        walk.through(poll, &mut |row: &Cells<'_>| {
            all.rows = all.rows.saturating_add(1);
            all.losses = all.losses.saturating_add(row.losses());
            gathering.push(row);
            if gathering.rows() < BATCH {
                return ControlFlow::Continue(());
            }
            match gathering.take(labels.0, labels.1) {
                Ok(batch) => {
                    all.batches.push(batch);
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        if gathering.rows() > 0 {
            all.batches.push(gathering.take(labels.0, labels.1)?);
        }
        all.losses = all.losses.saturating_add(walk.lost());
        all.ends = walk.ends().clone();
        Ok(all)
    }

    /// What another gave behind this.
    fn join(&mut self, other: Self) {
        self.batches.extend(other.batches);
        self.rows = self.rows.saturating_add(other.rows);
        self.losses = self.losses.saturating_add(other.losses);
        self.ends.join(other.ends);
    }
}

/// The rows of `source` as columns, each with the snapshot's name and id. What the poll raised is for the caller to ask.
pub(crate) fn gather(
    guest: &Guest,
    source: &Source,
    labels: (&str, &str),
    poll: &mut Poll,
) -> Result<Gathered, ArrowError> {
    let mut walk = Walk::new(guest, source.clone());
    if let Some((taskds, ends)) = walk.processes() {
        let threads = taskds.len().checked_div(WORTH).unwrap_or(0);
        let threads = threads
            .min(MOST)
            .min(available_parallelism().map_or(1, usize::from));
        if threads > 1 {
            let rest = (taskds, ends);
            return by_threads(guest, source, labels, rest, threads, poll);
        }
        walk = Walk::new(guest, source.of(taskds.into(), ends));
    }
    let mut gathering = Gathering::over(source.tables());
    Gathered::of(walk, &mut gathering, labels, &mut || poll.look())
}

/// The same by several threads, each of which takes neighbours out of the list.
fn by_threads(
    guest: &Guest,
    source: &Source,
    labels: (&str, &str),
    (taskds, ends): (Vec<VirtAddr>, WalkEnds),
    threads: usize,
    poll: &mut Poll,
) -> Result<Gathered, ArrowError> {
    let parts = threads.saturating_mul(PARTS);
    let length = taskds.len().div_ceil(parts).max(1);
    let parts: Vec<&[VirtAddr]> = taskds.chunks(length).collect();
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut done: Vec<Option<Gathered>> = parts.iter().map(|_| None).collect();
    let mut failed = None;
    let first = Gathering::over(source.tables());
    let work = |send: Sender<(usize, Result<Gathered, ArrowError>)>, mut gathering: Gathering| {
        let go_on = || {
            if stop.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(number) else {
                return;
            };
            if go_on().is_break() {
                return;
            }
            let walk = Walk::new(guest, source.of((*part).into(), WalkEnds::default()));
            let gathered = Gathered::of(walk, &mut gathering, labels, &mut || go_on());
            if send.send((number, gathered)).is_err() {
                return;
            }
        }
    };
    let begun = scope(|scope| {
        let (send, receive) = channel();
        let mut begun: Vec<ScopedJoinHandle<'_, ()>> = Vec::new();
        for _ in 0..threads {
            let (work, send, gathering) = (&work, send.clone(), first.beside());
            let thread = Builder::new().stack_size(STACK);
            // Fewer threads do the same.
            begun.extend(thread.spawn_scoped(scope, move || work(send, gathering)));
        }
        if begun.is_empty() {
            return false;
        }
        drop(send);
        loop {
            match receive.recv_timeout(PATIENCE) {
                Ok((number, Ok(gathered))) => {
                    if let Some(place) = done.get_mut(number) {
                        *place = Some(gathered);
                    }
                }
                Ok((_, Err(error))) => {
                    failed = Some(error);
                    stop.store(true, Ordering::Relaxed);
                }
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return true,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            }
            if poll.look().is_break() {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    if !begun {
        let walk = Walk::new(guest, source.of(taskds.into(), ends));
        return Gathered::of(walk, &mut first.beside(), labels, &mut || poll.look());
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let mut all = Gathered {
        ends,
        ..Gathered::default()
    };
    for gathered in done.into_iter().flatten() {
        all.join(gathered);
    }
    Ok(all)
}
