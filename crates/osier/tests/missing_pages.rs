//! Each page that `mounts`, `sockets` and `net` rest on, taken out of a golden snapshot: no row goes and no value
//! changes while the answer claims to be complete.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use osier::ask::{Question, Transcript, transcript};
use osier::osier_memory::{Chunk, Fault, Machine, PhysAddr, PhysRun, PhysicalMemory};
use osier::osier_snapshot::Snapshot;
use osier::{Guest, Options, ProfileSource, Shared, open_snapshot};
use osier_testkit::Knockout;

/// Notes the pages that are read.
struct Recorder {
    inner: Arc<dyn PhysicalMemory>,
    pages: Mutex<BTreeSet<PhysAddr>>,
}

impl PhysicalMemory for Recorder {
    fn runs(&self) -> &[PhysRun] {
        self.inner.runs()
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        let chunk = self.inner.chunk(pa)?;
        self.pages.lock().unwrap().insert(pa.page());
        Ok(chunk)
    }

    fn sweep(
        &self,
        run: PhysRun,
        window: usize,
        visit: &mut dyn FnMut(PhysAddr, &[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.inner.sweep(run, window, visit)
    }
}

fn each_page_is_missed(name: &str, questions: &[Question]) {
    let file = format!("snapshots/{name}.elf");
    let file = osier_testkit::data::workspace().join(file);
    let options = Options::default();
    let Snapshot { machine, info } = open_snapshot(&file, &options).unwrap();
    let shared = Shared::new(&options).unwrap();
    let with = |memory: Arc<dyn PhysicalMemory>| Snapshot {
        machine: Machine {
            memory,
            ..machine.clone()
        },
        info: info.clone(),
    };
    let whole = with(machine.memory.clone());
    let located = shared.locate(&whole, &[]).unwrap();
    let (profile, _) = shared.profile(&whole, &located).unwrap();
    let ask = |memory: Arc<dyn PhysicalMemory>, question| -> Option<Transcript> {
        let source = ProfileSource::Given;
        let guest = Guest::with(with(memory), located.clone(), profile.clone(), source);
        Some(transcript(&*guest.ok()?.provider(), question))
    };
    for &question in questions {
        let recorder = Arc::new(Recorder {
            inner: machine.memory.clone(),
            pages: Mutex::default(),
        });
        let before = ask(recorder.clone(), question).unwrap();
        assert!(before.is_complete() && before.rows > 0, "{before:?}");
        let pages = std::mem::take(&mut *recorder.pages.lock().unwrap());
        assert!(pages.len() > 10, "{question:?} reads {}", pages.len());
        for page in pages {
            let memory = Arc::new(Knockout::new(machine.memory.clone(), page));
            // A guest whose kernel cannot be read any more says so.
            let Some(after) = ask(memory, question) else {
                continue;
            };
            assert!(
                !after.is_complete() || after == before,
                "{name}, {question:?}, without {page:x?}: {} rows for {}",
                after.rows,
                before.rows
            );
        }
    }
}

#[test]
fn no_page_is_missed_in_silence_by_64_bits() {
    let all = [Question::Mounts, Question::Sockets, Question::Interfaces];
    each_page_is_missed("deb12-6.1-amd64", &all);
}

#[test]
fn no_page_is_missed_in_silence_by_32_bits() {
    let all = [Question::Mounts, Question::Sockets, Question::Interfaces];
    each_page_is_missed("deb11-5.10-686", &all);
}

/// Where mounts are in a tree.
#[test]
fn no_page_is_missed_in_silence_by_a_tree() {
    each_page_is_missed(
        "deb13-6.12-amd64",
        &[Question::Mounts, Question::Interfaces],
    );
}
