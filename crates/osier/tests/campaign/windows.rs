//! Windows machines to damage: written by the testkit, for no dump of Windows may be given away.

use osier::SeenExt as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use osier::Options;
use osier::Osi;
use osier::osier_memory::{PAGE_BYTES, VirtAddr};
use osier_testkit::windows::crowd;

use crate::editor::Editor;
use crate::names::Names;
use crate::subject::Subject;
use crate::{Damage, links, whole};
use osier_testkit::windows::layouts::{self, Layout};

/// Windows 7 with PAE; and, of 64 bits, Windows 7 and Server 2022 when everything is to be run.
fn machines() -> Vec<&'static Layout> {
    let pae = layouts::all().iter().find(|l| l.name.ends_with(" PAE"));
    let mut all = vec![pae.unwrap()];
    if whole() {
        all.extend(["3844dbb9", "fdcba251"].map(layouts::of));
    }
    all
}

/// Whether a machine of these has that name.
pub(crate) fn is(name: &str) -> bool {
    layouts::all().iter().any(|layout| layout.name == name)
}

/// Crash dumps of the machines, with what opens them; `OSIER_CAMPAIGN_ONLY` names others.
pub(crate) fn snapshots(folder: &Path) -> Vec<(String, PathBuf, Options)> {
    let only = std::env::var("OSIER_CAMPAIGN_ONLY").unwrap_or_default();
    let wanted = |layout: &&Layout| only.is_empty() || only.split(',').any(|n| n == layout.name);
    let write = |layout: &Layout| {
        let folder = folder.join(&layout.name);
        std::fs::create_dir_all(&folder).unwrap();
        let profile = folder.join("kernel.osp");
        let fingerprint = osier::import::fingerprint(&layout.profile);
        layout.profile.write_file(&profile, fingerprint).unwrap();
        let file = folder.join("memory.dmp");
        let machine = crowd(&layout.profile).write(&layout.profile);
        machine.write_crash_dump(&file).unwrap();
        let options = Options {
            profiles: vec![folder],
            ..Options::default()
        };
        (layout.name.clone(), file, options)
    };
    machines().into_iter().filter(wanted).map(write).collect()
}

/// Names what the rows of a Windows machine stand for.
pub(crate) fn name(names: &mut Names, subject: &Subject, osi: &dyn Osi) {
    let profile = &*subject.profile;
    let entry = ["_KLDR_DATA_TABLE_ENTRY", "_LDR_DATA_TABLE_ENTRY"];
    let entry = entry.into_iter().find(|ty| profile.find_type(ty).is_some());
    let kernel = osi.kernel_space().clone();
    let mut handles = Vec::new();
    let _ = osi.processes(&mut |row| {
        handles.push(row.taskd);
        ControlFlow::Continue(())
    });
    let _ = osi.modules(&mut |row| {
        names.follow(subject, profile, &kernel, entry.unwrap(), row.modd);
        ControlFlow::Continue(())
    });
    let editor = Editor::of(subject);
    let block = editor.symbol("KiProcessorBlock");
    if let Some(block) = block.and_then(|at| editor.pointer(at)) {
        names.follow(subject, profile, &kernel, "_KPRCB", block);
    }
    let _ = osi.current(&mut |row| {
        let process = row.process.get().map(|process| process.taskd);
        handles.extend(process);
        if let Some(thread) = row.thread.get() {
            names.follow(subject, profile, &kernel, "_ETHREAD", thread.task);
        }
        ControlFlow::Continue(())
    });
    for taskd in handles {
        let space = osi.address_space(taskd).get().cloned();
        let space = space.unwrap_or_else(|| kernel.clone());
        let _ = osi.threads(taskd, &mut |row| {
            names.follow(subject, profile, &space, "_ETHREAD", row.task);
            ControlFlow::Continue(())
        });
        let _ = osi.mappings(taskd, &mut |row| {
            let user = row.modd.0 < kernel_half(subject);
            let ty = if user {
                "_LDR_DATA_TABLE_ENTRY"
            } else {
                "_MMVAD"
            };
            names.follow(subject, profile, &space, ty, row.modd);
            ControlFlow::Continue(())
        });
        names.follow(subject, profile, &space, "_EPROCESS", taskd);
        if subject.located.mode().pointer_bytes() == 4 {
            // Those that hold no page, too.
            let places = (0..kernel_half(subject)).step_by(1 << 21).map(VirtAddr);
            let steps = places.flat_map(|at| space.walk(at).steps);
            names
                .process_tables
                .extend(steps.map(|step| step.at.page().0));
        }
        let _ = osi.pages(taskd, &mut |row| {
            let frames = (row.phys.0..row.phys.0 + row.len).step_by(PAGE_BYTES as usize);
            names.user.extend(frames);
            names.process_tables.extend(
                space
                    .walk(row.start)
                    .steps
                    .iter()
                    .map(|step| step.at.page().0),
            );
            ControlFlow::Continue(())
        });
    }
}

/// What a member leads to of which the profile knows no more than that it is a word.
pub(crate) fn leads_to(
    ty: &str,
    member: &str,
    value: VirtAddr,
) -> Option<(&'static str, VirtAddr)> {
    match (ty, member) {
        // The low bits count references.
        ("_CONTROL_AREA", name) if name.starts_with("FilePointer") => {
            let low = if value.0 >> 32 == 0 { 7 } else { 15 };
            Some(("_FILE_OBJECT", VirtAddr(value.0 & !low)))
        }
        (_, name) if is_child(ty, name) && value.0 != 0 => Some(("_MMVAD", value)),
        ("_EPROCESS", "Session") => Some(("_MM_SESSION_SPACE", value)),
        _ => None,
    }
}

/// Whether the member leads from a node of a tree of mappings to one below.
fn is_child(ty: &str, member: &str) -> bool {
    let children = ["Left", "LeftChild", "Right", "RightChild"];
    let last = member.rsplit('.').next().unwrap_or_default();
    let root = ty == "_EPROCESS" && member == "VadRoot.Root";
    root || children.contains(&last) && (member.starts_with("VadRoot") || ty.starts_with("_MM"))
}

/// Where the kernel's half begins.
fn kernel_half(subject: &Subject) -> u64 {
    match subject.located.mode().pointer_bytes() {
        4 => 0x8000_0000,
        _ => 1 << 63,
    }
}

/// Every lie about the lists of a Windows kernel.
pub(crate) fn links(editor: &Editor<'_>, osi: &dyn Osi) -> Vec<Damage> {
    let mut all = Vec::new();
    let symbols = [
        ("process list", "PsActiveProcessHead"),
        ("driver list", "PsLoadedModuleList"),
    ];
    for (name, symbol) in symbols {
        if let Some(head) = editor.symbol(symbol) {
            all.extend(editor.list(name, head, 80));
        }
    }
    let _ = osi.processes(&mut |row| {
        let heads = ["ThreadListHead", "Pcb.ThreadListHead"];
        let mut heads = heads.into_iter();
        if let Some(head) = heads.find_map(|path| editor.place("_EPROCESS", row.taskd, path)) {
            all.extend(editor.list("threads of a process", head, 10));
        }
        all.extend(tree(editor, row.taskd));
        ControlFlow::Continue(())
    });
    all
}

/// A tree of mappings without a root, with and without its count.
fn tree(editor: &Editor<'_>, process: VirtAddr) -> Vec<Damage> {
    let place = |path| editor.place("_EPROCESS", process, path);
    let roots = ["VadRoot.BalancedRoot.RightChild", "VadRoot.Root", "VadRoot"];
    let root = roots.into_iter().find_map(place);
    let zero = |at| editor.put(at, VirtAddr(0));
    let root = root.map_or_else(Vec::new, zero);
    let count = place("VadCount").map_or_else(Vec::new, zero);
    let both = [root.clone(), count].concat();
    let name = "mappings of a process";
    vec![
        links::damage(name, "no root", root),
        links::damage(name, "no root, no count", both),
    ]
}
