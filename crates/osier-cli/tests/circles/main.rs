//! The files of a crate need each other in one direction: no circle of files in any crate,
//! none of its folders, and where a crate has layers, a file needs nothing above its own.
//!
//! What a file needs is read from its `use` lines and from the paths in its code. A name that another
//! file only hands on (`pub use`) is looked up where it stands, and is no need of that file's. Where a type has an inherent `impl` in
//! another file than its own, and its own calls one of those methods, it needs that file: no `use` line
//! says so.
//! What only tests need does not count.
//!
//! A folder, with the file of its name, is one room: rooms beside each other have no circle either.
//! Within a room its file and its parts are files like others.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod read;
mod wanted;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use read::{Crate, Needs};

/// The layers of a crate from the bottom: what each is called, and the modules at the crate's root
/// that are in it.
type Layers = &'static [(&'static str, &'static [&'static str])];

const LAYERS: &[(&str, Layers)] = &[
    ("osier-linux", LINUX),
    ("osier-report", REPORT),
    ("osier-snapshot", SNAPSHOT),
    ("osier-windows", WINDOWS),
];

/// A provider's four steps: layouts, guest, walkers, provider. A reader of one structure serves
/// whichever walker asks, and takes the guest alone.
const LINUX: Layers = &[
    (
        "layouts",
        &[
            "layouts",
            "code_symbols",
            "constants",
            "policy",
            "state",
            "symbols",
        ],
    ),
    ("guest", &["guest", "list"]),
    (
        "readers",
        &[
            "clock",
            "fds",
            "file_tree",
            "frames",
            "hashes",
            "inode",
            "maple",
            "maps",
            "modules",
            "mount",
            "named",
            "netns",
            "page_cache",
            "path",
            "pid",
            "radix",
            "thread_struct",
            "slabs",
        ],
    ),
    ("attaching", &["attach", "locate"]),
    (
        "walkers",
        &[
            "carve",
            "cpus",
            "crash",
            "current",
            "environment",
            "family",
            "files",
            "findings",
            "group",
            "interfaces",
            "kept",
            "log",
            "mappings",
            "memory",
            "mm",
            "mounts",
            "pages",
            "process",
            "registers",
            "scan",
            "sockets",
            "tasks",
            "threads",
            "user",
            "vma",
            "wide",
        ],
    ),
    ("provider", &["infer", "lacking", "provider", "wanted"]),
];

const WINDOWS: Layers = &[
    ("layouts", &["layouts", "policy", "symbols"]),
    ("guest", &["guest", "windows"]),
    ("locating", &["entries", "locate", "shared_data", "unicode"]),
    (
        "walkers",
        &[
            "behind",
            "carve",
            "cid",
            "clock",
            "crash",
            "current",
            "directory",
            "drivers",
            "environment",
            "files",
            "findings",
            "handle_table",
            "image_name",
            "key",
            "loader",
            "mappings",
            "modules",
            "object",
            "peb",
            "pool",
            "process",
            "processes",
            "registers",
            "root",
            "scan",
            "section",
            "threads",
            "token",
            "twins",
            "vad",
            "wide",
        ],
    ),
    ("provider", &["attach", "lacking", "provider", "wanted"]),
];

/// How much a page may hold and where things stand on it, a list, the parts that lists make, and the page around them.
const REPORT: Layers = &[
    ("vocabulary", &["bounds", "built", "links"]),
    ("list", &["list"]),
    ("tally", &["tally"]),
    (
        "parts",
        &[
            "findings",
            "guest",
            "mounts",
            "processes",
            "section",
            "series",
        ],
    ),
    ("page", &["page"]),
    ("write", &["write"]),
];

/// What opening gives, what readers are made of, the readers of the formats, and their registry.
const SNAPSHOT: Layers = &[
    (
        "vocabulary",
        &[
            "anomaly", "distant", "error", "format", "map", "progress", "snapshot",
        ],
    ),
    (
        "kits",
        &[
            "absent",
            "bytes",
            "cache",
            "context",
            "cursor",
            "data",
            "extent",
            "filled",
            "flat",
            "foreign",
            "frames",
            "hyperv",
            "identity",
            "kept",
            "layout",
            "look",
            "notes",
            "packed",
            "pages",
            "pieces",
            "recording",
            "registers",
            "scratch",
            "source",
            "sweep",
            "vbox",
            "whole",
            "written",
            "xpress",
        ],
    ),
    (
        "readers",
        &[
            "crash",
            "elf",
            "flattened",
            "hiber",
            "kdump",
            "libvirt",
            "lime",
            "paging_dump",
            "panda",
            "qcow2",
            "raw",
            "stream",
            "vmware",
            "wrapped",
            "xen",
        ],
    ),
    ("open", &["open"]),
];

/// Every crate, and the tools and measurements that are no part of what is published.
fn crates() -> Vec<Crate> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let below = |folder: &str| {
        let folders = fs::read_dir(workspace.join(folder)).unwrap();
        folders.map(|entry| entry.unwrap().path())
    };
    let mut folders: Vec<_> = below("crates").chain(below("tools")).collect();
    folders.push(workspace.join("benches"));
    folders.retain(|folder| folder.join("src").is_dir());
    folders.sort();
    folders.iter().map(|folder| Crate::read(folder)).collect()
}

#[test]
fn no_files_need_each_other_in_a_circle() {
    let mut wrong = String::new();
    for of in crates() {
        let needs = of.needs();
        for circle in circles(&needs) {
            writeln!(wrong, "{}:", of.name).unwrap();
            let inside = |at| circle.contains(&at);
            show(&of, &needs, inside, inside, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "files that need each other:\n{wrong}");
}

#[test]
fn no_rooms_need_each_other_in_a_circle() {
    let mut wrong = String::new();
    for of in crates() {
        let needs = of.needs();
        let depths = of
            .modules
            .iter()
            .map(|module| module.path.len())
            .max()
            .unwrap();
        for depth in 1..=depths {
            // The room of that depth that a module is in.
            let room = |at: usize| of.modules[at].path.get(..depth);
            let rooms: BTreeSet<&[String]> = (0..needs.len()).filter_map(room).collect();
            let rooms: Vec<&[String]> = rooms.into_iter().collect();
            let mut between = vec![Needs::new(); rooms.len()];
            for (from, to) in needs
                .iter()
                .enumerate()
                .flat_map(|(from, needs)| needs.keys().map(move |to| (from, *to)))
            {
                let place = |at| rooms.binary_search(&room(at)?).ok();
                if let Some((from, to)) = place(from).zip(place(to)).filter(|(from, to)| from != to)
                {
                    between[from].entry(to).or_default();
                }
            }
            for circle in circles(&between) {
                let inside = |at: usize| {
                    room(at).is_some_and(|room| circle.iter().any(|of| rooms[*of] == room))
                };
                writeln!(
                    wrong,
                    "{}: {:?}",
                    of.name,
                    circle
                        .iter()
                        .map(|at| rooms[*at].join("::"))
                        .collect::<Vec<_>>()
                )
                .unwrap();
                show(&of, &needs, inside, inside, &mut wrong);
            }
        }
    }
    assert!(wrong.is_empty(), "folders that need each other:\n{wrong}");
}

#[test]
fn a_layer_needs_those_below() {
    let mut wrong = String::new();
    let crates = crates();
    for (name, layers) in LAYERS {
        let of = crates.iter().find(|of| of.name == *name).unwrap();
        let needs = of.needs();
        let layer = |at: usize| {
            let root = of.modules[at].path.first()?;
            layers
                .iter()
                .position(|(_, modules)| modules.contains(&root.as_str()))
        };
        for (at, module) in of
            .modules
            .iter()
            .enumerate()
            .filter(|(_, module)| !module.path.is_empty())
        {
            let Some(own) = layer(at) else {
                writeln!(wrong, "{name}: {} is in no layer", module.file).unwrap();
                continue;
            };
            let above = |to: usize| layer(to).is_some_and(|other| other > own);
            if needs[at].keys().any(|to| above(*to)) {
                writeln!(
                    wrong,
                    "{name}: the layer \"{}\" needs one above",
                    layers[own].0
                )
                .unwrap();
                show(of, &needs, |from| from == at, above, &mut wrong);
            }
        }
        let there: BTreeSet<&String> = of
            .modules
            .iter()
            .filter_map(|module| module.path.first())
            .collect();
        for module in layers.iter().flat_map(|(_, modules)| *modules) {
            assert!(
                there.contains(&(*module).to_owned()),
                "{name} has no module {module}"
            );
        }
    }
    assert!(wrong.is_empty(), "layers:\n{wrong}");
}

/// The needs of those files that are `from` for those that are `to`.
fn show(
    of: &Crate,
    needs: &[Needs],
    from: impl Fn(usize) -> bool,
    to: impl Fn(usize) -> bool,
    out: &mut String,
) {
    for (at, needs) in needs.iter().enumerate().filter(|(at, _)| from(*at)) {
        for (other, lines) in needs.iter().filter(|(other, _)| to(**other)) {
            let file = |at: usize| &of.modules[at].file;
            for line in lines {
                let (own, other) = (file(at), file(*other));
                writeln!(out, "    {}/src/{own}:{line} needs {other}", of.name).unwrap();
            }
        }
    }
}

/// Sets of more than one node, each of which leads to every other.
fn circles(needs: &[Needs]) -> Vec<BTreeSet<usize>> {
    let reach: Vec<BTreeSet<usize>> = needs
        .iter()
        .map(|needs_of| {
            let mut seen = BTreeSet::new();
            let mut rest: Vec<usize> = needs_of.keys().copied().collect();
            while let Some(at) = rest.pop() {
                if seen.insert(at) {
                    rest.extend(needs[at].keys());
                }
            }
            seen
        })
        .collect();
    let mut found = BTreeSet::new();
    for (from, seen) in reach.iter().enumerate() {
        if seen.contains(&from) {
            let both = seen.iter().copied().filter(|to| reach[*to].contains(&from));
            found.insert(both.collect::<BTreeSet<usize>>());
        }
    }
    found.into_iter().collect()
}

#[test]
fn a_circle_is_seen_through_what_is_handed_on_and_what_is_called() {
    let folder = std::env::temp_dir().join(format!("osier-circles-{}", std::process::id()));
    let src = folder.join("src");
    fs::create_dir_all(&src).unwrap();
    let files = [
        (
            "lib.rs",
            "mod one; mod two; mod three; mod four; pub use one::Thing;",
        ),
        // A method that stands in another file, and a use that only tests have.
        (
            "one.rs",
            "pub struct Thing; impl Thing { fn all(&self) { self.part() } }
             #[cfg(test)] mod tests { use crate::four::last; }",
        ),
        ("two.rs", "impl crate::Thing { pub fn part(&self) {} }"),
        ("three.rs", "pub fn first() { crate::four::last() }"),
        // Words of a macro.
        (
            "four.rs",
            "pub fn last() { println!(\"{}\", crate::three::first()) }",
        ),
    ];
    for (name, text) in files {
        fs::write(src.join(name), text).unwrap();
    }
    let read = Crate::read(&folder);
    let found = circles(&read.needs());
    let names = found.iter().map(|circle| {
        let files = circle.iter().map(|at| read.modules[*at].file.as_str());
        files.collect::<Vec<_>>()
    });
    let names: Vec<_> = names.collect();
    assert_eq!(names, [["one.rs", "two.rs"], ["three.rs", "four.rs"]]);
    fs::remove_dir_all(folder).unwrap();
}
