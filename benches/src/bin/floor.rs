//! A process list in process, against its touch floor: the same reads, in the same order, by a
//! program that knows their addresses already.
//!
//! `cargo run --release -p osier-benches --bin floor -- SNAP`

#![allow(
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    reason = "a program that prints figures"
)]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use osier::osier_memory::{Chunk, Fault, PhysAddr, PhysRun, PhysicalMemory};
use osier::{Guest, Options, open_snapshot};

/// A memory that writes down every read: address and length.
struct TouchLog {
    inner: Arc<dyn PhysicalMemory>,
    reads: Mutex<Vec<(PhysAddr, usize)>>,
}

impl TouchLog {
    fn note(&self, pa: PhysAddr, bytes: usize) {
        self.reads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((pa, bytes));
    }
}

impl PhysicalMemory for TouchLog {
    fn runs(&self) -> &[PhysRun] {
        self.inner.runs()
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        self.note(pa, 1); // how much of it is used cannot be seen from here
        self.inner.chunk(pa)
    }

    fn read(&self, pa: PhysAddr, buf: &mut [u8]) -> Result<(), Fault> {
        self.note(pa, buf.len());
        self.inner.read(pa, buf)
    }

    fn read_uint(&self, pa: PhysAddr, width: usize) -> Result<u64, Fault> {
        self.note(pa, width);
        self.inner.read_uint(pa, width)
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn timed(mut work: impl FnMut()) -> Duration {
    const ROUNDS: usize = 201;
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    median(rounds.collect())
}

fn main() -> Result<()> {
    let path = PathBuf::from(std::env::args_os().nth(1).context("name a raw snapshot")?);
    let options = Options {
        cache: Some(std::env::temp_dir().join("osier-floor")),
        ..Options::default()
    };
    let guest = Guest::open(&path, &options)?;
    let mut rows = 0_usize;
    let ours = timed(|| {
        rows = 0;
        let ends = guest.provider().processes(&mut |row| {
            black_box(&row);
            rows += 1;
            ControlFlow::Continue(())
        });
        let _ = black_box(ends);
    });
    let ids = timed(|| {
        let ends = guest.provider().processes_of(&mut |_| false, &mut |row| {
            black_box(&row);
            ControlFlow::Continue(())
        });
        let _ = black_box(ends);
    });

    let mut snapshot = open_snapshot(&path, &options)?;
    let log = Arc::new(TouchLog {
        inner: snapshot.machine.memory.clone(),
        reads: Mutex::new(Vec::new()),
    });
    snapshot.machine.memory = log.clone();
    let logged = Guest::attach(snapshot, &options)?;
    log.reads
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clear();
    let ends = logged
        .provider()
        .processes(&mut |_| ControlFlow::Continue(()));
    let _ = black_box(ends);
    let reads = log
        .reads
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();

    let memory = &guest.machine().memory;
    let mut buffer = vec![0; 1 << 20];
    let floor = timed(|| {
        for &(pa, bytes) in &reads {
            if let Some(into) = buffer.get_mut(..bytes) {
                let _ = black_box(memory.read(pa, into));
            }
        }
    });
    let bytes: usize = reads.iter().map(|(_, bytes)| bytes).sum();
    println!("rows {rows}, reads {}, bytes {bytes}", reads.len());
    println!("process list {ours:?}, ids and names {ids:?}, floor {floor:?}");
    println!("ratio {:.2}", ours.as_secs_f64() / floor.as_secs_f64());
    Ok(())
}
