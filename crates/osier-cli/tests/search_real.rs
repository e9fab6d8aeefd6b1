//! `osier search` on real snapshots, against what stands in them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;

use osier::osier_memory::VirtAddr;
use osier::process_memory::ProcessMemory;
use osier::search::{Hit, Pattern, Scope, search};
use osier::{Guest, Options};
use osier_testkit::need::{self, Real};

/// Those with the truth, of both widths.
const SNAPSHOTS: [&str; 4] = [
    "deb11-5.10-686",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];

osier_testkit::trials! {
    need::each(need::snapshot, &SNAPSHOTS) =>
        physical_memory_has_each_place_once,
        what_lies_over_the_borders_of_pages_is_found,
        the_kernel_has_what_memory_has;
}

fn guest(real: &Real) -> Guest {
    Guest::open(&real.path.join("memory.elf"), &Options::default()).unwrap()
}

fn hits(scope: &Scope<'_>, patterns: &[Pattern]) -> Vec<Hit> {
    let mut hits = Vec::new();
    let done = search(scope, patterns, None, &mut |hit| {
        hits.push(hit);
        ControlFlow::Continue(())
    });
    assert_eq!(done.hits as usize, hits.len());
    hits
}

/// Where `needle` stands in `bytes`, no two over each other.
fn places(bytes: &[u8], needle: &[u8]) -> Vec<u64> {
    let mut places = Vec::new();
    let mut from = 0;
    while let Some(at) = bytes[from..]
        .windows(needle.len())
        .position(|some| some == needle)
    {
        places.push((from + at) as u64);
        from += at + needle.len();
    }
    places
}

/// Raw memory is physical memory: the places are those of the file.
fn physical_memory_has_each_place_once(real: &Real) {
    let guest = guest(real);
    let raw = fs::read(real.path.join("memory.raw")).unwrap();
    for needle in ["workload", "Linux version"] {
        let found = hits(
            &Scope::all_of(&*guest.provider()),
            &[Pattern::text(needle).unwrap()],
        );
        let found: Vec<u64> = found
            .iter()
            .map(|hit| hit.phys.as_ref().unwrap().0)
            .collect();
        // What the file has where the machine has no RAM is no memory.
        let is_ram = |at: &u64| {
            guest
                .machine()
                .memory
                .runs()
                .iter()
                .any(|run| run.contains(osier::PhysAddr(*at)))
        };
        let wanted: Vec<u64> = places(&raw, needle.as_bytes())
            .into_iter()
            .filter(is_ram)
            .collect();
        assert_eq!(found, wanted, "{needle}");
        assert!(!found.is_empty());
    }
}

/// Sixteen bytes over each border of two pages of a process are found there, and what is found is there.
fn what_lies_over_the_borders_of_pages_is_found(real: &Real) {
    let guest = guest(real);
    let osi = guest.provider();
    let mut borders = 0;
    for process in guest
        .processes()
        .filter(|process| osi.address_space(process.taskd).is_ok())
        .take(12)
    {
        let memory = ProcessMemory::of(&*osi, process.taskd).unwrap();
        let space = memory.space();
        let mut needles = BTreeSet::new();
        for area in &memory.areas {
            for border in area.range.clone().step_by(4096).skip(1).take(8) {
                let mut bytes = [0; 16];
                let written = space.read(VirtAddr(border - 8), &mut bytes).is_ok();
                let frames = [border - 4096, border].map(|page| space.translate(VirtAddr(page)));
                if written && bytes.iter().filter(|byte| **byte != 0).count() > 12 {
                    let [Ok(one), Ok(other)] = frames else {
                        continue;
                    };
                    borders += u32::from(one.plus(4096) != other);
                    needles.insert((border - 8, bytes));
                }
            }
        }
        for (at, bytes) in needles.into_iter().take(12) {
            let hex = format!("{:032x}", u128::from_be_bytes(bytes));
            let osi = guest.provider();
            let scope = Scope::Processes(&*osi, vec![process.taskd]);
            let found = hits(&scope, &[Pattern::hex(&hex).unwrap()]);
            let found: Vec<u64> = found
                .iter()
                .map(|hit| hit.address.as_ref().unwrap().0)
                .collect();
            let once: BTreeSet<u64> = found.iter().copied().collect();
            assert_eq!(once.len(), found.len());
            // Bytes that repeat themselves may be met a little before.
            let near = found.iter().any(|own| *own <= at && at - own < 16);
            assert!(near, "{at:#x} of {:?}: {hex} is at {found:x?}", process.pid);
            for own in found {
                let mut there = [0; 16];
                space.read(VirtAddr(own), &mut there).unwrap();
                assert_eq!(there, bytes);
            }
        }
    }
    assert!(
        borders > 5,
        "{borders} borders of pages that are no neighbours in memory"
    );
}

/// Each page is mapped in the kernel, and searched once: every place of physical memory that lies within a page.
fn the_kernel_has_what_memory_has(real: &Real) {
    let guest = guest(real);
    let pattern = [Pattern::text("Linux version").unwrap()];
    let all = hits(&Scope::all_of(&*guest.provider()), &pattern);
    let phys = |hits: &[Hit]| -> Vec<u64> {
        let mut phys: Vec<u64> = hits
            .iter()
            .map(|hit| hit.phys.as_ref().unwrap().0)
            .collect();
        phys.sort_unstable();
        phys
    };
    let kernel = hits(&Scope::Kernel(&*guest.provider()), &pattern);
    let (all, own) = (phys(&all), phys(&kernel));
    let once: BTreeSet<u64> = own.iter().copied().collect();
    assert_eq!(once.len(), own.len(), "a place twice");
    if guest.pointer_bytes() == 8 {
        assert_eq!(own, all);
    } else {
        assert!(own.iter().all(|at| all.contains(at)));
    }
    let banner = kernel
        .iter()
        .find(|hit| hit.address.as_ref().unwrap().0 & 0xfff < 0xfff)
        .unwrap();
    assert!(banner.pid.is_err());
}
