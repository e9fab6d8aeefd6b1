//! Whole Windows machines, by all that a kernel's symbols say and by the published results of a real
//! machine; and a dump that holds a part of one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "other tests ask for more machines")]
mod machines;
mod rows;
mod triage;

use machines::{attach, compare, compare_rows, crowd, modes};
use osier::osier_symbols::{everything, import_symbols};
use osier_testkit::need::{self, Real};
use osier_testkit::windows::Rekall;
use osier_testkit::windows::layouts::{self, Layout};
use triage::{handles_lead_to_processes, nothing_is_found, tokens_are_the_systems_own};

/// A kernel of each shape, by Volatility's ISF and Rekall's profile of it.
const SYMBOLS: [&str; 7] = [
    "windows/isf/ntkrnlpa.pdb.bd8f451f3e754ed8a34b50560ceb08e31.rekall.json",
    "windows/isf/ntkrnlmp.pdb_3844DBB920174967BE7AA4A2C20430FA-2.json.xz",
    "windows/isf/ntkrnlmp.pdb_C78AB9DBFFED445096B4DCF7FDD6E5AF-1.json.xz",
    "windows/isf/ntkrnlmp.pdb_2E6DEB6CFD444100AC0E803337A56E8E-1.json.xz",
    "windows/isf/ntkrnlmp.pdb_E0093F3AEF15D58168B753C9488A4043-1.json.xz",
    "windows/isf/ntkrnlmp.pdb_5278AFF86C341677D7D7835C85B7B844-1.json.xz",
    "windows/isf/ntkrnlmp.pdb_FDCBA251C28BD5935DB2F7AEE341482A-1.json.xz",
];

osier_testkit::trials! {
    need::each(need::file, &SYMBOLS) => a_machine_with_all_types_and_symbols;
    need::snapshot("rekall-xp-laptop-2005-06-25") => rekall_s_machine;
    need::file("windows/dumps/triage_x64.dmp.zst") =>
        handles_lead_to_processes, tokens_are_the_systems_own, nothing_is_found;
}

/// The profiles that ship hold only what the provider wants.
fn a_machine_with_all_types_and_symbols(real: &Real) {
    let symbols = std::fs::read(&real.path).unwrap();
    let mut builders = import_symbols(&symbols, everything).unwrap();
    let layout = Layout {
        name: real.name.clone(),
        profile: builders.remove(0).build(),
    };
    for mode in modes(&layout) {
        let machine = crowd(&layout, mode).write(&layout.profile);
        for snapshot in [machine.machine(), machine.without_registers()] {
            let what = format!("{} {mode:?}", layout.name);
            compare(&attach(&layout, &snapshot), &machine, &what);
        }
    }
}

fn rekall_s_machine(real: &Real) {
    let rekall = Rekall::read(&real.path.join("test_data"));
    for layout in layouts::xp() {
        let machine = rekall.plan(&layout.profile).write(&layout.profile);
        for snapshot in [machine.machine(), machine.without_registers()] {
            let bad = compare_rows(&attach(layout, &snapshot), &machine, &layout.name);
            // Of one process Rekall could not read the PEB.
            let of_peb = |end: &String| end.starts_with("loader") || end.starts_with("heaps");
            assert!(bad.len() == 2 && bad.iter().all(of_peb), "{bad:?}");
        }
    }
}
