//! Proof that nothing is lost silently: for each page that the answers rest on, the same questions
//! with that page hidden. Rows are a subset, and whatever is missing or changed comes with an
//! absence or an ending that names the page.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

mod knock_out;
#[allow(dead_code, reason = "other tests ask more of real machines")]
mod real;
mod toys;

use std::path::Path;
use std::sync::Arc;

use osier_memory::Paging;
use osier_profile::Profile;
use osier_testkit::{Era, TOYS, ToyKernel};

use knock_out::{Subject, knock_out_pages};

fn knock_out(mode: Paging, era: Era) {
    knock_out_of(&ToyKernel::build(mode, era));
}

fn knock_out_of(toy: &ToyKernel) {
    let subject = Subject {
        memory: toy.machine.memory.clone(),
        mode: toy.mode,
        root: toy.root,
        handles: toy.tasks.iter().map(|task| task.taskd).collect(),
        paged: usize::MAX,
        every: 1,
        attach: &|memory| toys::attach(toy, memory),
    };
    subject.knock_out();
}

/// The golden snapshots that every clone has: each page of two of them.
#[test]
fn distilled() {
    for (snapshot, kernel) in [
        ("deb12-6.1-amd64", "6.1.0-50-amd64"),
        ("deb11-5.10-686", "5.10.0-32-686"),
    ] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let file = root.join(format!("snapshots/{snapshot}.elf"));
        let opened = osier_snapshot::open(&file, &osier_snapshot::OpenOptions::default()).unwrap();
        let located = osier_linux::locate(&opened.machine, &[]).unwrap();
        let symbols = root.join(format!("symbols/linux-{kernel}.osp"));
        let (profile, _) = Profile::read_file(&symbols).unwrap();
        knock_out_pages(&opened.machine, &located, &Arc::new(profile), 1);
    }
}

#[test]
fn two_levels_without_pse() {
    knock_out(TOYS[0].0, TOYS[0].1);
}

#[test]
fn two_levels() {
    knock_out(TOYS[1].0, TOYS[1].1);
}

#[test]
fn pae() {
    knock_out(TOYS[2].0, TOYS[2].1);
}

#[test]
fn four_levels_lists() {
    knock_out(TOYS[3].0, TOYS[3].1);
}

#[test]
fn four_levels_trees() {
    knock_out(TOYS[4].0, TOYS[4].1);
}

#[test]
fn five_levels() {
    knock_out(TOYS[5].0, TOYS[5].1);
}

#[test]
fn without_registers() {
    let mut toy = ToyKernel::build(TOYS[4].0, TOYS[4].1);
    toy.machine.cpus.clear();
    knock_out_of(&toy);
}
