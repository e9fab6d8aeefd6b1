//! What is told of two views made by hand, and what is not.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod made;

use made::{
    READ, WRITE, alone, anonymous, broken, events, file, linux, lost, module, process, thread,
    with, words,
};
use osier::osier_memory::{PhysAddr, VirtAddr};
use osier::{Absent, Current, Mapping, Process, TaskState};
use osier_compare::{View, premises};

/// The words for one process that becomes another.
fn becomes(change: impl FnOnce(&mut Process)) -> Vec<String> {
    let mut after = process(5);
    change(&mut after);
    words(&alone(vec![process(5)]), &alone(vec![after]))
}

#[test]
fn nothing_is_told_of_equal_views() {
    assert!(becomes(|_| {}).is_empty());
}

#[test]
fn gone_and_started_are_said_only_of_walks_that_closed() {
    let (one, both) = (
        || alone(vec![process(1)]),
        || alone(vec![process(1), process(2)]),
    );
    assert_eq!(words(&both(), &one()), ["process-gone"]);
    assert_eq!(words(&one(), &both()), ["process-started"]);

    let mut open = one();
    open.processes.ends = broken();
    let unknown = events(&both(), &open);
    assert_eq!(unknown.len(), 1);
    assert_eq!(
        (&unknown[0]["event"], &unknown[0]["pid"]),
        (&"process-unknown".into(), &2.into())
    );
    let because = unknown[0]["because"].as_str().unwrap();
    assert!(
        because.starts_with("in the later snapshot the walk of tasks goes round"),
        "{because}"
    );
    assert_eq!(words(&open, &both()), ["process-unknown"]);
    // The earlier walk's end does not matter to what the later one would have met.
    let mut open = both();
    open.processes.ends = broken();
    assert_eq!(words(&open, &one()), ["process-gone"]);
}

#[test]
fn a_place_that_another_process_has_is_a_proof() {
    let mut other = process(7);
    other.taskd = process(5).taskd;
    let mut after = alone(vec![other]);
    let before = alone(vec![process(5)]);
    assert_eq!(words(&before, &after), ["process-gone", "process-started"]);
    after.processes.ends = broken();
    // It is gone all the same: its task_struct is another's.
    assert_eq!(words(&before, &after), ["process-gone", "process-started"]);
}

#[test]
fn a_pid_used_again_is_another_process() {
    let again = becomes(|after| {
        after.create_time = Ok(99);
        after.taskd = VirtAddr(0x77_0000);
    });
    assert_eq!(again, ["process-gone", "process-started"]);
}

#[test]
fn a_thread_that_executes_takes_its_leaders_place() {
    let executed = becomes(|after| {
        after.taskd = VirtAddr(0x77_0000);
        after.asid = Ok(PhysAddr(0x1000));
    });
    assert_eq!(executed, ["process-executed"]);
}

#[test]
fn executing_is_known_by_the_page_table_or_by_the_file() {
    assert_eq!(
        becomes(|after| after.asid = Ok(PhysAddr(0x1000))),
        ["process-executed"]
    );
    let file = |path: &'static [u8]| {
        becomes(|after| {
            linux(after).exe = Ok(path.to_vec());
        })
    };
    assert_eq!(file(b"/bin/true"), ["process-executed"]);
    assert!(file(b"/bin/sh (deleted)").is_empty());
    // One event for all that the new program brings.
    let named = becomes(|after| {
        after.asid = Ok(PhysAddr(0x1000));
        after.name = Ok(b"true".to_vec());
    });
    assert_eq!(named, ["process-executed"]);
}

#[test]
fn exiting_is_not_executing() {
    let exited = becomes(|after| {
        after.asid = Err(Absent::not_applicable("it has exited"));
        linux(after).exe = Err(Absent::not_applicable("it has exited"));
        linux(after).state = Ok(TaskState('Z'));
    });
    assert_eq!(exited, ["process-exited"]);
}

#[test]
fn names_parents_and_credentials() {
    let changed = becomes(|after| {
        after.name = Ok(b"dash".to_vec());
        after.ppid = Ok(3);
        linux(after).uid = Ok(1000);
    });
    assert_eq!(
        changed,
        [
            "process-renamed",
            "process-reparented",
            "process-credentials"
        ]
    );
}

#[test]
fn a_lost_value_is_no_difference() {
    let mut after = process(5);
    after.name = lost();
    linux(&mut after).uid = lost();
    let found = events(&alone(vec![process(5)]), &alone(vec![after]));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["event"], "process-unknown");
    let because = found[0]["because"].as_str().unwrap();
    assert!(
        because.contains("name of the later snapshot: "),
        "{because}"
    );
    assert!(because.contains("uid of the later snapshot: "), "{because}");
    assert!(!because.contains("ppid"), "{because}");
    // A process whose pid was lost is known by its place.
    assert_eq!(becomes(|after| after.pid = lost()), ["process-unknown"]);
}

#[test]
fn was_holds_what_changed_alone() {
    let mut after = process(5);
    linux(&mut after).gid = Ok(7);
    let found = events(&alone(vec![process(5)]), &alone(vec![after]));
    assert_eq!(found[0]["was"], serde_json::json!({ "gid": 0 }));
    assert_eq!(found[0]["gid"], 7);
}

#[test]
fn threads_come_go_and_are_renamed() {
    let mut renamed = thread(5, 6);
    renamed.name = Ok(b"worker".to_vec());
    let before = with(
        process(5),
        vec![thread(5, 5), thread(5, 6), thread(5, 7)],
        vec![],
    );
    let mut after = with(
        process(5),
        vec![thread(5, 5), renamed, thread(5, 8)],
        vec![],
    );
    assert_eq!(
        words(&before, &after),
        ["thread-renamed", "thread-gone", "thread-started"]
    );
    after.belongings[0].threads.ends = broken();
    assert_eq!(
        words(&before, &after),
        ["thread-renamed", "thread-unknown", "thread-started"]
    );
    // Those of a process that is gone are not told one by one.
    let gone = alone(vec![]);
    assert_eq!(words(&before, &gone), ["process-gone"]);
}

#[test]
fn modules_are_known_by_name_and_place() {
    let mut before = alone(vec![]);
    let mut after = alone(vec![]);
    before.modules.rows = vec![module("loop", 0x1000), module("tun", 0x9000)];
    after.modules.rows = vec![module("nbd", 0x1000), module("tun", 0x9000)];
    let found = events(&before, &after);
    let told: Vec<(&str, &str)> = found
        .iter()
        .map(|event| {
            let text = |name: &str| event[name].as_str().unwrap();
            (text("event"), text("name"))
        })
        .collect();
    assert_eq!(
        told,
        [("module-unloaded", "loop"), ("module-loaded", "nbd")]
    );
}

/// Events of one process's mappings: the word, and from where to where.
fn remapped(before: Vec<Mapping>, after: Vec<Mapping>) -> Vec<(String, u64, u64)> {
    let before = with(process(5), vec![], before);
    let after = with(process(5), vec![], after);
    told(&before, &after)
}

fn told(before: &View, after: &View) -> Vec<(String, u64, u64)> {
    let found = events(before, after);
    let one = |event: &serde_json::Value| {
        let word = event["event"].as_str().unwrap().to_owned();
        let at = event["at"].as_str().unwrap().trim_start_matches("0x");
        let at = u64::from_str_radix(at, 16).unwrap();
        (word, at, at + event["bytes"].as_u64().unwrap())
    };
    found.iter().map(one).collect()
}

fn event(word: &str, at: u64, end: u64) -> (String, u64, u64) {
    (word.to_owned(), at, end)
}

#[test]
fn mappings_come_and_go() {
    let a = || file("/lib/a", 0x1000, 0x4000);
    assert_eq!(
        remapped(vec![], vec![a()]),
        [event("mapped", 0x1000, 0x4000)]
    );
    assert_eq!(
        remapped(vec![a()], vec![]),
        [event("unmapped", 0x1000, 0x4000)]
    );
    assert!(remapped(vec![a()], vec![a()]).is_empty());
    // An unlinked file is the same file.
    let deleted = file("/lib/a (deleted)", 0x1000, 0x4000);
    assert!(remapped(vec![a()], vec![deleted]).is_empty());
}

#[test]
fn another_file_in_a_place_is_another_mapping() {
    let replaced = remapped(
        vec![file("/lib/a", 0x1000, 0x5000)],
        vec![file("/lib/b", 0x1000, 0x3000)],
    );
    assert_eq!(
        replaced,
        [
            event("unmapped", 0x1000, 0x5000),
            event("mapped", 0x1000, 0x3000)
        ]
    );
    // The same file, but from another place of it on.
    let shifted = Mapping {
        offset: Ok(0x1000),
        ..file("/lib/a", 0x1000, 0x5000)
    };
    let replaced = remapped(vec![file("/lib/a", 0x1000, 0x5000)], vec![shifted]);
    assert_eq!(
        replaced,
        [
            event("unmapped", 0x1000, 0x5000),
            event("mapped", 0x1000, 0x5000)
        ]
    );
}

#[test]
fn protecting_the_middle_of_a_mapping_is_one_event() {
    let before = vec![anonymous(0x1000, 0x9000, READ | WRITE)];
    let after = vec![
        anonymous(0x1000, 0x3000, READ | WRITE),
        anonymous(0x3000, 0x5000, READ),
        anonymous(0x5000, 0x9000, READ | WRITE),
    ];
    assert_eq!(
        remapped(before, after),
        [event("reprotected", 0x3000, 0x5000)]
    );
}

#[test]
fn mappings_grow_and_shrink_at_either_end_and_in_the_middle() {
    let one = |base, end| vec![anonymous(base, end, READ | WRITE)];
    assert_eq!(
        remapped(one(0x4000, 0x8000), one(0x4000, 0x9000)),
        [event("grown", 0x8000, 0x9000)]
    );
    assert_eq!(
        remapped(one(0x4000, 0x8000), one(0x2000, 0x8000)),
        [event("grown", 0x2000, 0x4000)]
    );
    assert_eq!(
        remapped(one(0x4000, 0x8000), one(0x4000, 0x5000)),
        [event("shrunk", 0x5000, 0x8000)]
    );
    let hole = [one(0x4000, 0x5000), one(0x6000, 0x8000)].concat();
    assert_eq!(
        remapped(one(0x4000, 0x8000), hole),
        [event("shrunk", 0x5000, 0x6000)]
    );
    // Two that are one now: what lay between came.
    let parts = [one(0x4000, 0x5000), one(0x6000, 0x8000)].concat();
    assert_eq!(
        remapped(parts, one(0x4000, 0x8000)),
        [event("grown", 0x5000, 0x6000)]
    );
}

#[test]
fn a_file_that_moved_is_one_event() {
    let moved = remapped(
        vec![
            file("/lib/a", 0x1000, 0x4000),
            file("/lib/b", 0x5000, 0x6000),
        ],
        vec![
            file("/lib/b", 0x5000, 0x6000),
            file("/lib/a", 0x11000, 0x14000),
        ],
    );
    assert_eq!(moved, [event("moved", 0x11000, 0x14000)]);
}

#[test]
fn mappings_are_gone_only_when_the_walk_closed_and_every_bound_is_known() {
    let a = || file("/lib/a", 0x1000, 0x4000);
    let before = with(process(5), vec![], vec![a()]);
    let mut after = with(process(5), vec![], vec![]);
    after.belongings[0].mappings.ends = broken();
    assert_eq!(
        told(&before, &after),
        [event("mapping-unknown", 0x1000, 0x4000)]
    );
    assert_eq!(
        told(&after, &before),
        [event("mapping-unknown", 0x1000, 0x4000)]
    );

    let unplaced = Mapping {
        size: lost(),
        ..a()
    };
    let after = with(process(5), vec![], vec![unplaced]);
    assert_eq!(
        words(&before, &after),
        ["mapping-unknown", "mapping-unknown"]
    );

    let unprotected = Mapping {
        perms: lost(),
        ..a()
    };
    let after = with(process(5), vec![], vec![unprotected]);
    assert_eq!(
        told(&before, &after),
        [event("mapping-unknown", 0x1000, 0x4000)]
    );
}

#[test]
fn overlapping_mappings_of_a_damaged_list_do_no_harm() {
    let before = vec![
        anonymous(0x1000, 0x9000, READ),
        anonymous(0x2000, 0x3000, READ),
    ];
    let after = vec![
        anonymous(u64::MAX - 0xfff, u64::MAX, READ),
        anonymous(0x1000, 0x1000, READ),
        anonymous(0x8000, 0xa000, READ),
    ];
    let told = remapped(before, after);
    assert!(told.iter().any(|(word, ..)| word == "shrunk"), "{told:?}");
}

fn running(thread_id: u32) -> Current {
    Current {
        cpu: 0,
        thread: Ok(thread(thread_id, thread_id)),
        process: Ok(process(thread_id)),
    }
}

#[test]
fn another_thread_on_a_processor_is_a_task_change() {
    let view = |current: Vec<Current>| {
        let mut view = alone(vec![]);
        view.current.rows = current;
        view
    };
    assert!(words(&view(vec![running(1)]), &view(vec![running(1)])).is_empty());
    let found = events(&view(vec![running(1)]), &view(vec![running(2)]));
    assert_eq!(found[0]["event"], "current-changed");
    assert_eq!(
        (&found[0]["pid"], &found[0]["was"]["pid"]),
        (&2.into(), &1.into())
    );
    let unread = Current {
        cpu: 0,
        thread: lost(),
        process: lost(),
    };
    assert_eq!(
        words(&view(vec![running(1)]), &view(vec![unread])),
        ["current-unknown"]
    );
    assert_eq!(
        words(&view(vec![running(1)]), &view(vec![])),
        ["current-unknown"]
    );
}

#[test]
fn another_boot_is_told_before_anything_else() {
    let about = |change: &dyn Fn(&mut View)| {
        let before = alone(vec![process(1)]);
        let mut after = alone(vec![process(1)]);
        change(&mut after);
        let found = premises(&before, &after);
        found
            .iter()
            .map(|premise| premise.about)
            .collect::<Vec<_>>()
    };
    assert!(about(&|_| {}).is_empty());
    assert_eq!(about(&|view| view.boot.banner.push(b'!')), ["kernel"]);
    assert_eq!(
        about(&|view| view.boot.slide = Some(0x20_0000)),
        ["kernel-slide"]
    );
    // What one of them does not know is not told.
    assert!(about(&|view| view.boot.slide = None).is_empty());
    assert_eq!(
        about(&|view| view.processes.rows[0].taskd = VirtAddr(0xdead_0000)),
        ["first-process"]
    );
    let later = 3_600_000_000_000;
    assert_eq!(
        about(&|view| view.processes.rows[0].start = Ok(later)),
        ["boot-time"]
    );
}
