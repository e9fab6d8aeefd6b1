#![allow(
    clippy::arithmetic_side_effects,
    reason = "tests may overflow and fail"
)]

use std::sync::Arc;

use osier_memory::VirtAddr;
use osier_osi::WalkEnd;
use osier_profile::Resolver;
use osier_testkit::Knockout;

use super::PidTable;
use crate::guest::Guest;
use crate::layouts::Tasks;
use crate::toy::{Is, Toy};

/// Bytes of a toy `task_struct`, and where its parts lie.
const TASK: u64 = 0x100;
const LINKS: u64 = 0x80;

/// A toy with the structures of both forms; `tree` says which one it has.
fn toy(tree: bool) -> (Toy, VirtAddr) {
    let mut toy = Toy::new();
    let links = if tree { "pid_links" } else { "pids" };
    let pointer = || Is::Pointer;
    toy.structure(
        "task_struct",
        TASK,
        &[
            ("tasks", 0, Is::Struct("list_head", 16)),
            ("pid", 0x10, Is::Int(4)),
            ("tgid", 0x14, Is::Int(4)),
            ("mm", 0x18, pointer()),
            ("comm", 0x20, Is::Words(2)),
            ("group_leader", 0x30, pointer()),
            ("real_parent", 0x38, pointer()),
            (links, LINKS.cast_signed(), Is::Words(8)),
        ],
    );
    toy.structure(
        "pid",
        0x60,
        &[
            ("tasks", 0x10, Is::Words(4)),
            ("numbers", 0x40, Is::Words(4)),
        ],
    );
    if tree {
        toy.structure("pid_namespace", 0x40, &[("idr", 8, Is::Struct("idr", 24))]);
        toy.structure("idr", 24, &[("idr_rt", 0, Is::Struct("xarray", 16))]);
        toy.structure("xarray", 16, &[("xa_head", 8, pointer())]);
        toy.structure(
            "xa_node",
            0x240,
            &[("shift", 0, Is::Int(1)), ("slots", 0x28, Is::Words(64))],
        );
    } else {
        toy.structure("pid_namespace", 0x40, &[("pidmap", 8, Is::Int(8))]);
        toy.structure(
            "upid",
            0x20,
            &[
                ("nr", 0, Is::Int(4)),
                ("ns", 8, pointer()),
                ("pid_chain", 0x10, Is::Struct("hlist_node", 16)),
            ],
        );
    }
    let ns = toy.page();
    toy.symbol("init_pid_ns", ns);
    (toy, ns)
}

/// A process and its `struct pid`, as `kind` of the lists of tasks.
fn process(toy: &mut Toy, kind: u64) -> (VirtAddr, VirtAddr) {
    let (task, pid) = (toy.room(TASK, 8), toy.page());
    let link = if kind == 0 { LINKS } else { LINKS + kind * 16 };
    toy.put(pid, 0x10 + kind * 8, task.0 + link);
    toy.put(task, 0x30, task.0);
    (task, pid)
}

fn leaders(toy: &Toy, guest: &Guest) -> (Vec<VirtAddr>, osier_osi::WalkEnds) {
    let layout = toy.resolve(Tasks::resolve);
    let mut builder = toy.profile().into_builder();
    if toy.profile().find_type("xa_node").is_some() {
        builder.add_constant("PIDTYPE_TGID", 1);
    }
    let profile = builder.build();
    let mut resolver = Resolver::new(&profile);
    let symbol = |name: &str| profile.symbol(name).map(VirtAddr);
    let table = PidTable::resolve(&mut resolver, &symbol).unwrap();
    let found = table.tasks(guest, &layout);
    (found.leaders, found.ends)
}

/// A tree of two levels: the root with two nodes, each with a process.
fn two_levels() -> (Toy, VirtAddr, [VirtAddr; 3], Vec<VirtAddr>) {
    let (mut toy, ns) = toy(true);
    let (root, low, high) = (toy.page(), toy.page(), toy.page());
    toy.put(ns, 0x10, root.0 | 2);
    toy.put(root, 0, 6);
    toy.put(root, 0x28, low.0 | 2);
    toy.put(root, 0x30, high.0 | 2);
    let mut tasks = Vec::new();
    for (node, slot) in [(low, 1), (low, 2), (high, 0)] {
        let (task, pid) = process(&mut toy, 1);
        toy.put(node, 0x28 + slot * 8, pid.0);
        tasks.push(task);
    }
    // A number without a leader: that of a thread.
    let thread = toy.page();
    toy.put(low, 0x28 + 3 * 8, thread.0);
    (toy, ns, [root, low, high], tasks)
}

#[test]
fn a_tree_gives_its_leaders_in_the_order_of_their_numbers() {
    let (toy, _, _, tasks) = two_levels();
    let (found, ends) = leaders(&toy, &toy.guest());
    assert_eq!(found, tasks);
    assert!(ends.is_complete(), "{ends:?}");
}

#[test]
fn a_node_that_cannot_be_read_is_named_and_the_rest_is_walked() {
    let (toy, ns, [root, low, high], tasks) = two_levels();
    let hide = |at: VirtAddr| {
        let memory = Knockout::new(toy.memory.clone(), Toy::pa(at));
        leaders(&toy, &toy.guest_in(Arc::new(memory)))
    };
    let (found, ends) = hide(low);
    assert_eq!(found, [tasks[2]]);
    assert!(matches!(
        ends.0[..],
        [(_, WalkEnd::BrokenLink { from, to: Some(to), .. })] if from == root && to == low
    ));
    let (found, ends) = hide(high);
    assert_eq!(found, tasks[..2]);
    assert!(!ends.is_complete());
    let (found, ends) = hide(ns);
    assert!(found.is_empty());
    assert!(matches!(ends.0[0].1, WalkEnd::NoStart { .. }));
}

#[test]
fn a_tree_that_bites_itself_ends() {
    let (mut toy, _, [root, low, high], tasks) = two_levels();
    toy.put(low, 0x28 + 5 * 8, root.0 | 2);
    toy.put(low, 0x28 + 6 * 8, low.0 | 2);
    toy.put(high, 0, 63); // covers more than its parent
    toy.put(low, 0x28 + 7 * 8, 0x406); // a mark, no node
    let (found, ends) = leaders(&toy, &toy.guest());
    assert_eq!(found, tasks[..2]);
    assert_eq!(ends.bad().count(), 3, "{ends:?}");
}

#[test]
fn a_hash_table_gives_the_leaders_of_the_initial_namespace() {
    let (mut toy, ns) = toy(false);
    let (hash, shift) = (toy.page(), toy.page());
    let buckets = toy.page();
    toy.symbol("pid_hash", hash);
    toy.symbol("pidhash_shift", shift);
    toy.put(hash, 0, buckets.0);
    toy.put(shift, 0, 2);
    let chain = |pid: VirtAddr| pid.0 + 0x40 + 0x10;
    let (first, a) = process(&mut toy, 0);
    let (second, b) = process(&mut toy, 0);
    let (thread, c) = process(&mut toy, 0);
    let (_, elsewhere) = process(&mut toy, 0);
    for pid in [a, b, c] {
        toy.put(pid, 0x48, ns.0);
    }
    toy.put(elsewhere, 0x48, ns.0 + 0x40);
    toy.put(thread, 0x30, first.0);
    toy.put(buckets, 0, chain(a));
    toy.put(buckets, 3 * 8, chain(elsewhere));
    toy.put(elsewhere, 0x50, chain(b));
    toy.put(b, 0x50, chain(c));
    let (found, ends) = leaders(&toy, &toy.guest());
    assert_eq!(found, [first, second]);
    assert!(ends.is_complete(), "{ends:?}");

    toy.put(c, 0x50, chain(b)); // the chain bites itself
    let (found, ends) = leaders(&toy, &toy.guest());
    assert_eq!(found, [first, second]);
    assert!(matches!(ends.0[0].1, WalkEnd::Cycle { .. }));
}
