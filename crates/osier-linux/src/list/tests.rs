#![allow(
    clippy::arithmetic_side_effects,
    reason = "tests may overflow and fail"
)]

use std::sync::Arc;

use osier_memory::{Cause, VirtAddr};
use osier_osi::{WalkEnd, Walked};
use osier_testkit::{Knockout, Random};

use super::ring;
use crate::toy::Toy;

/// A sound list of `count` nodes, each on a page of its own: the toy, the head, the nodes.
fn list(count: usize) -> (Toy, VirtAddr, Vec<VirtAddr>) {
    let mut toy = Toy::new();
    let all: Vec<VirtAddr> = (0..=count).map(|_| toy.page()).collect();
    for (at, node) in all.iter().enumerate() {
        let next = all[(at + 1) % all.len()];
        toy.put(*node, 0, next.0);
        toy.put(next, 8, node.0);
    }
    (toy, all[0], all[1..].to_vec())
}

#[test]
fn a_sound_list_closes() {
    for count in [0, 1, 2, 7] {
        let (toy, head, nodes) = list(count);
        let walked = ring(&toy.guest(), head);
        assert_eq!(walked.nodes, nodes);
        assert_eq!(walked.end, WalkEnd::Closed);
    }
}

#[test]
fn a_node_that_cannot_be_read_costs_no_other() {
    let (toy, head, nodes) = list(6);
    for hidden in &nodes {
        let memory = Knockout::new(toy.memory.clone(), Toy::pa(*hidden));
        let walked = ring(&toy.guest_in(Arc::new(memory)), head);
        assert_eq!(walked.nodes, nodes);
        let WalkEnd::BrokenLink { from, to, fault } = walked.end else {
            panic!("{:?}", walked.end);
        };
        assert_eq!((from, to), (*hidden, None));
        assert_eq!(fault.cause, Cause::NotCaptured);
        assert_eq!(fault.pa, Some(Toy::pa(*hidden)));
    }
}

#[test]
fn two_nodes_that_cannot_be_read_are_both_named_and_hide_what_lies_between() {
    let (mut toy, head, nodes) = list(6);
    toy.put(nodes[1], 0, 0x1234); // forwards ends here
    toy.put(nodes[4], 8, 0); // backwards ends here
    let walked = ring(&toy.guest(), head);
    assert_eq!(
        walked.nodes,
        [nodes[0], nodes[1], nodes[4], nodes[5]],
        "{walked:?}"
    );
    assert!(matches!(
        walked.end,
        WalkEnd::BrokenLink { from, to: Some(VirtAddr(0x1234)), .. } if from == nodes[1]
    ));
}

#[test]
fn a_head_that_cannot_be_read_is_an_ending() {
    let (toy, head, _) = list(3);
    let memory = Knockout::new(toy.memory.clone(), Toy::pa(head));
    let Walked { nodes, end } = ring(&toy.guest_in(Arc::new(memory)), head);
    assert!(nodes.is_empty());
    assert!(matches!(end, WalkEnd::BrokenLink { from, to: None, .. } if from == head));
}

#[test]
fn a_list_that_bites_itself_is_finished_from_its_other_end() {
    let (mut toy, head, nodes) = list(5);
    toy.put(nodes[2], 0, nodes[2].0);
    let walked = ring(&toy.guest(), head);
    assert_eq!(walked.nodes, nodes);
    assert!(matches!(walked.end, WalkEnd::Cycle { at, after: 3 } if at == nodes[2]));

    let (mut toy, head, nodes) = list(5);
    toy.put(nodes[3], 0, nodes[1].0);
    let walked = ring(&toy.guest(), head);
    assert_eq!(walked.nodes, nodes);
    assert!(!walked.end.is_closed());
}

#[test]
fn a_node_that_was_unlinked_one_way_only_is_found() {
    let (mut toy, head, nodes) = list(5);
    toy.put(nodes[1], 0, nodes[3].0);
    let walked = ring(&toy.guest(), head);
    assert_eq!(
        walked.end,
        WalkEnd::Inconsistent {
            at: nodes[3],
            back_link: nodes[2],
            expected: nodes[1],
        }
    );
    let mut found = walked.nodes;
    found.sort();
    assert_eq!(found, nodes);

    let (mut toy, head, nodes) = list(5);
    toy.put(head, 8, nodes[2].0); // the list ends early when read backwards
    let walked = ring(&toy.guest(), head);
    assert_eq!(walked.nodes, nodes);
    assert_eq!(
        walked.end,
        WalkEnd::Inconsistent {
            at: head,
            back_link: nodes[2],
            expected: nodes[4],
        }
    );
}

#[test]
fn a_link_into_other_memory_does_not_drag_it_in() {
    let (mut toy, head, nodes) = list(4);
    // A chain that looks like a list but does not lead back.
    let wild: Vec<VirtAddr> = (0..8).map(|_| toy.page()).collect();
    for pair in wild.windows(2) {
        toy.put(pair[0], 0, pair[1].0);
    }
    toy.put(nodes[1], 0, wild[0].0);
    let walked = ring(&toy.guest(), head);
    assert!(!walked.end.is_closed());
    assert!(nodes.iter().all(|node| walked.nodes.contains(node)));
    assert!(walked.nodes.len() <= nodes.len() + 2, "{walked:?}");
}

#[test]
fn no_damage_to_links_hangs_or_shortens_in_silence() {
    let mut random = Random::new(7);
    for _ in 0..2000 {
        let (mut toy, head, nodes) = list(6);
        for _ in 0..=random.below(3) {
            let node = nodes[random.below(6) as usize];
            let value = match random.below(4) {
                0 => nodes[random.below(6) as usize].0,
                1 => random.bits(),
                2 => 0,
                _ => head.0,
            };
            toy.put(node, random.below(2) * 8, value);
        }
        let walked = ring(&toy.guest(), head);
        if walked.end.is_closed() {
            // Damage that happened to write what stood there, or that cut nodes out both ways.
            for pair in walked.nodes.windows(2) {
                let space = toy.guest().space;
                assert_eq!(space.read_pointer(pair[0]), Ok(pair[1]));
                assert_eq!(space.read_pointer(pair[1].plus(8)), Ok(pair[0]));
            }
        }
    }
}
