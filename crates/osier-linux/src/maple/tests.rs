#![allow(
    clippy::arithmetic_side_effects,
    reason = "tests may overflow and fail"
)]

use std::ops::ControlFlow;
use std::sync::Arc;

use osier_memory::{PhysAddr, VirtAddr};
use osier_osi::WalkEnd;
use osier_testkit::{Knockout, Random};

use super::{Entry, Maple, walk};
use crate::toy::{Is, Toy};

const DENSE: u64 = 0;
const LEAF: u64 = 1;
const RANGE: u64 = 2;
const ARANGE: u64 = 3;

/// A toy with the structures of a 64-bit kernel, as v6.1 has them.
fn toy() -> Toy {
    let mut toy = Toy::new();
    toy.structure(
        "maple_tree",
        16,
        &[("ma_flags", 4, Is::Int(4)), ("ma_root", 8, Is::Pointer)],
    );
    toy.structure(
        "maple_node",
        256,
        &[("parent", 0, Is::Pointer), ("slot", 8, Is::Words(31))],
    );
    toy.structure(
        "maple_range_64",
        256,
        &[("pivot", 8, Is::Words(15)), ("slot", 128, Is::Words(16))],
    );
    toy.structure(
        "maple_arange_64",
        256,
        &[("pivot", 8, Is::Words(9)), ("slot", 80, Is::Words(10))],
    );
    toy
}

/// A node at an address of its own page, with its pivots and slots; returns its tagged pointer.
fn node(toy: &mut Toy, kind: u64, pivots: &[u64], slots: &[u64]) -> u64 {
    let at = toy.page();
    let first_slot = match kind {
        DENSE => 8,
        ARANGE => 80,
        _ => 128,
    };
    for (index, pivot) in pivots.iter().enumerate() {
        toy.put(at, 8 + 8 * index as u64, *pivot);
    }
    for (index, slot) in slots.iter().enumerate() {
        toy.put(at, first_slot + 8 * index as u64, *slot);
    }
    at.0 | kind << 3 | 4
}

fn adopt(toy: &mut Toy, parent: u64, children: &[u64]) {
    for (slot, child) in children.iter().enumerate() {
        toy.put(
            VirtAddr(child & !255),
            0,
            parent & !255 | (slot as u64) << 3,
        );
    }
}

fn tree(toy: &mut Toy, root: u64) -> VirtAddr {
    let tree = toy.room(16, 8);
    toy.put(tree, 8, root);
    tree
}

fn rooted(toy: &mut Toy, root: u64) -> VirtAddr {
    let at = tree(toy, root & !4 | 2);
    toy.put(VirtAddr(root & !255), 0, at.0 | 1);
    at
}

fn read(toy: &Toy, tree: VirtAddr) -> (Vec<Entry>, Vec<WalkEnd>) {
    read_in(&toy.guest(), toy, tree)
}

fn read_in(guest: &crate::guest::Guest, toy: &Toy, tree: VirtAddr) -> (Vec<Entry>, Vec<WalkEnd>) {
    let maple = toy.resolve(Maple::resolve).unwrap();
    let mut entries = Vec::new();
    let ends = walk(guest, &maple, tree, &mut |entry| {
        entries.push(entry);
        ControlFlow::Continue(())
    });
    (entries, ends)
}

fn entry(first: u64, last: u64, value: u64) -> Entry {
    Entry {
        first,
        last,
        value: VirtAddr(value),
    }
}

const A: u64 = 0xffff_8880_0001_0000;
const B: u64 = 0xffff_8880_0002_0000;
const C: u64 = 0xffff_8880_0003_0000;
const D: u64 = 0xffff_8880_0004_0000;

/// Two leaves below an `arange` node, that below a `range` node with a third leaf.
fn three_levels(toy: &mut Toy) -> (VirtAddr, [u64; 5]) {
    let low = node(toy, LEAF, &[0xfff, 0x1fff, 0x2fff, 0x3fff], &[0, A, 0, B]);
    let high = node(toy, LEAF, &[0x4fff, 0xffff], &[C, 0]);
    let middle = node(toy, ARANGE, &[0x3fff, 0xffff], &[low, high]);
    adopt(toy, middle, &[low, high]);
    let far = node(toy, LEAF, &[0x1_ffff, 0x2_ffff, u64::MAX], &[0, D, 0]);
    let root = node(toy, RANGE, &[0xffff, u64::MAX], &[middle, far]);
    adopt(toy, root, &[middle, far]);
    (rooted(toy, root), [root, middle, low, high, far])
}

#[test]
fn an_empty_tree_and_a_tree_of_one_entry() {
    let mut toy = toy();
    let empty = tree(&mut toy, 0);
    let single = tree(&mut toy, A);
    let mark = tree(&mut toy, 257 << 2 | 2);
    assert_eq!(read(&toy, empty), (vec![], vec![]));
    assert_eq!(read(&toy, single), (vec![entry(0, 0, A)], vec![]));
    assert_eq!(read(&toy, mark), (vec![], vec![]));
}

#[test]
fn all_kinds_of_nodes_give_their_ranges_in_order() {
    let mut toy = toy();
    let (tree, _) = three_levels(&mut toy);
    let (entries, ends) = read(&toy, tree);
    let expected = [
        entry(0x1000, 0x1fff, A),
        entry(0x3000, 0x3fff, B),
        entry(0x4000, 0x4fff, C),
        entry(0x2_0000, 0x2_ffff, D),
    ];
    assert_eq!(entries, expected);
    assert_eq!(ends, []);
}

#[test]
fn the_last_slot_ends_where_the_node_ends() {
    let mut toy = toy();
    // A pivot of 0 behind others, and all pivots in use with a slot more.
    let short = node(&mut toy, LEAF, &[0xfff, 0], &[0, A]);
    let pivots: Vec<u64> = (1..=15).map(|n| n * 0x1000 - 1).collect();
    let full = node(&mut toy, LEAF, &pivots, &[A; 16]);
    let short = rooted(&mut toy, short);
    let full = rooted(&mut toy, full);
    assert_eq!(read(&toy, short).0, [entry(0x1000, u64::MAX, A)]);
    let (entries, ends) = read(&toy, full);
    assert_eq!(entries.len(), 16);
    assert_eq!(entries[15], entry(0xf000, u64::MAX, A));
    assert_eq!(ends, []);
}

#[test]
fn a_dense_node_has_a_slot_for_each_index_and_marks_are_no_entries() {
    let mut toy = toy();
    let dense = node(&mut toy, DENSE, &[], &[A, 0, 257 << 2 | 2, B]);
    let tree = rooted(&mut toy, dense);
    let (entries, ends) = read(&toy, tree);
    assert_eq!(entries, [entry(0, 0, A), entry(3, 3, B)]);
    assert_eq!(ends, []);
}

#[test]
fn a_hidden_node_is_an_ending_that_names_it_and_the_rest_is_walked() {
    let mut toy = toy();
    let (tree, nodes) = three_levels(&mut toy);
    let (all, _) = read(&toy, tree);
    for (node, lost) in nodes.into_iter().zip([4, 3, 2, 1, 1]) {
        let at = VirtAddr(node & !255);
        let memory = Knockout::new(toy.memory.clone(), Toy::pa(at));
        let guest = toy.guest_in(Arc::new(memory));
        let (entries, ends) = read_in(&guest, &toy, tree);
        assert_eq!(entries.len(), all.len() - lost);
        assert!(entries.iter().all(|entry| all.contains(entry)));
        assert_eq!(ends.len(), 1, "{ends:?}");
        let WalkEnd::BrokenLink { fault, .. } = &ends[0] else {
            panic!("{ends:?}");
        };
        assert_eq!(fault.pa.map(PhysAddr::page), Some(Toy::pa(at)));
    }
}

#[test]
fn trees_that_cannot_be_end_and_say_so() {
    let mut toy = toy();
    // A node that is its own child.
    let own = node(&mut toy, RANGE, &[u64::MAX], &[0]);
    toy.put(VirtAddr(own & !255), 128, own);
    let own = rooted(&mut toy, own);
    let (entries, ends) = read(&toy, own);
    assert_eq!(entries, []);
    assert!(matches!(ends[..], [WalkEnd::Cycle { .. }]), "{ends:?}");

    // A type that no kernel has.
    let odd = node(&mut toy, 9, &[], &[]);
    let odd = rooted(&mut toy, odd);
    assert!(matches!(
        read(&toy, odd).1[..],
        [WalkEnd::Inconsistent { .. }]
    ));

    // A child in user memory.
    let user = node(&mut toy, RANGE, &[u64::MAX], &[0x40_0000 | LEAF << 3]);
    let user = rooted(&mut toy, user);
    assert!(matches!(
        read(&toy, user).1[..],
        [WalkEnd::BrokenLink { .. }]
    ));

    // Pivots that go down.
    let down = node(&mut toy, LEAF, &[0xffff, 0xfff], &[A, B]);
    let down = rooted(&mut toy, down);
    let (entries, ends) = read(&toy, down);
    assert_eq!(entries[0], entry(0, 0xffff, A));
    assert!(matches!(ends[..], [WalkEnd::Inconsistent { .. }]));

    // A dead node: it is its own parent.
    let dead = node(&mut toy, LEAF, &[0xfff, u64::MAX], &[A, 0]);
    let dead_tree = tree(&mut toy, dead & !4 | 2);
    toy.put(VirtAddr(dead & !255), 0, dead & !255);
    let (entries, ends) = read(&toy, dead_tree);
    assert_eq!(entries, [entry(0, 0xfff, A)]);
    assert!(matches!(ends[..], [WalkEnd::Inconsistent { .. }]));

    // No tree at all.
    let ends = read(&toy, VirtAddr(0x1000)).1;
    assert!(matches!(ends[..], [WalkEnd::NoStart { .. }]));
}

#[test]
fn random_bytes_neither_panic_nor_hang() {
    let mut random = Random::new(7);
    for _ in 0..200 {
        let mut toy = toy();
        let (tree, nodes) = three_levels(&mut toy);
        for _ in 0..8 {
            let node = nodes[random.below(5) as usize];
            let word = random.below(32) * 8;
            let value = match random.below(4) {
                0 => nodes[random.below(5) as usize],
                1 => random.bits(),
                2 => u64::MAX,
                _ => 0,
            };
            toy.put(VirtAddr(node & !255), word, value);
        }
        let (entries, _) = read(&toy, tree);
        assert!(entries.len() < 100);
    }
}
