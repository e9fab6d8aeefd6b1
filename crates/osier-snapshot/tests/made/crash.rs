//! What the tests of crash dumps ask of one.

use osier_memory::{Cause, CrashDump as Header, Driver, Hint, PhysAddr};
use osier_snapshot::{OpenOptions, Snapshot};

use super::{PAGE, try_open};

pub fn cause(snapshot: &Snapshot, pa: u64) -> Cause {
    snapshot
        .machine
        .memory
        .chunk(PhysAddr(pa))
        .err()
        .unwrap()
        .cause
}

pub fn header(snapshot: &Snapshot) -> &Header {
    let hints = snapshot.machine.hints.iter();
    let mut headers = hints.filter_map(|hint| match hint {
        Hint::CrashDump(header) => Some(header),
        _ => None,
    });
    headers.next().unwrap()
}

pub fn refused(bytes: &[u8]) -> String {
    let Err(error) = try_open(bytes, &OpenOptions::default()) else {
        panic!("opened");
    };
    error.to_string()
}

pub fn drivers_of(snapshot: &Snapshot) -> Vec<&Driver> {
    let hints = snapshot.machine.hints.iter();
    hints
        .filter_map(|hint| match hint {
            Hint::Driver(driver) => Some(driver),
            _ => None,
        })
        .collect()
}

pub fn fact<'a>(snapshot: &'a Snapshot, name: &str) -> &'a str {
    let found = snapshot.info.facts.iter().find(|(known, _)| *known == name);
    &found.unwrap().1
}

/// Opens whatever comes and reads what it offers; an error must have words.
pub fn survive(bytes: &[u8]) -> bool {
    match try_open(bytes, &OpenOptions::default()) {
        Ok(snapshot) => {
            let memory = &snapshot.machine.memory;
            let mut end = 0;
            for run in memory.runs().iter().take(200) {
                assert!(run.len > 0 && run.start.0 >= end);
                end = run.end().0;
                for pa in [run.start, run.end().minus(1)] {
                    assert!(memory.chunk(pa).is_ok_and(|chunk| !chunk.is_empty()));
                }
                let _ = memory.sweep(*run, PAGE, &mut |_, bytes| {
                    assert!(!bytes.is_empty());
                    std::ops::ControlFlow::Break(())
                });
            }
            true
        }
        Err(error) => {
            assert!(error.to_string().len() > 20, "{error}");
            false
        }
    }
}
