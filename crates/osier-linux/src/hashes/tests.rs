#![allow(
    clippy::arithmetic_side_effects,
    reason = "tests may overflow and fail"
)]

use std::sync::Arc;

use osier_memory::VirtAddr;
use osier_osi::{Guard, WalkEnd, WalkEnds};
use osier_testkit::Knockout;

use super::{Buckets, Chains, MOST_OBJECTS, links};
use crate::guest::Guest;
use crate::toy::Toy;

const WALK: &str = "objects";
const BUCKETS: u64 = 8;
/// Bytes of a bucket: the head, and how many.
const STRIDE: u64 = 16;

struct Table {
    toy: Toy,
    buckets: Buckets,
    /// The objects' links, in the order of the walk.
    objects: Vec<VirtAddr>,
}

/// A table whose bucket N has N % 3 objects, each on a page of its own.
fn table(chains: Chains) -> Table {
    let mut toy = Toy::new();
    let first = toy.page();
    let mut objects = Vec::new();
    for bucket in 0..BUCKETS {
        let mut place = first.plus(bucket * STRIDE);
        toy.put_u32(place, 8, (bucket % 3) as u32);
        for _ in 0..bucket % 3 {
            let object = toy.page();
            toy.put(place, 0, object.0);
            toy.put(object, 8, place.0);
            objects.push(object);
            place = object;
        }
        if chains == Chains::Nulls {
            toy.put(place, 0, bucket << 1 | 1);
        }
    }
    let buckets = Buckets {
        first,
        count: BUCKETS,
        stride: STRIDE,
        counted: Some(8),
        chains,
    };
    Table {
        toy,
        buckets,
        objects,
    }
}

fn walk(guest: &Guest, buckets: Buckets) -> (Vec<VirtAddr>, WalkEnds) {
    let mut ends = WalkEnds::default();
    let mut met = Guard::new(MOST_OBJECTS);
    let found = links(guest, WALK, buckets, &mut met, &mut ends);
    (found, ends)
}

const BOTH: [Chains; 2] = [Chains::Plain, Chains::Nulls];

#[test]
fn a_sound_table_closes() {
    for chains in BOTH {
        let table = table(chains);
        let (found, ends) = walk(&table.toy.guest(), table.buckets);
        assert_eq!(found, table.objects);
        assert_eq!(ends, WalkEnds::one(WALK, WalkEnd::Closed));
    }
}

#[test]
fn an_object_that_cannot_be_read_is_found_and_cuts_its_chain_alone() {
    for chains in BOTH {
        let table = table(chains);
        for hidden in &table.objects {
            let memory = Knockout::new(table.toy.memory.clone(), Toy::pa(*hidden));
            let guest = table.toy.guest_in(Arc::new(memory));
            let (found, ends) = walk(&guest, table.buckets);
            assert!(found.contains(hidden));
            assert!(found.len() + 1 >= table.objects.len());
            assert!(!ends.is_complete(), "{ends}");
        }
    }
}

#[test]
fn buckets_that_cannot_be_read_are_said() {
    for chains in BOTH {
        let table = table(chains);
        let memory = Knockout::new(table.toy.memory.clone(), Toy::pa(table.buckets.first));
        let (found, ends) = walk(&table.toy.guest_in(Arc::new(memory)), table.buckets);
        assert_eq!(found, []);
        assert!(!ends.is_complete());
    }
}

#[test]
fn what_links_and_counts_contradict_is_said() {
    for chains in BOTH {
        let whole = table(chains);
        let objects = &whole.objects;
        let bucket = |number: u64| whole.buckets.first.plus(number * STRIDE);
        let damages: [(VirtAddr, u64, u64); 6] = [
            // An object's way back leads elsewhere.
            (objects[0], 8, objects[3].0),
            // A chain goes round, ends early, leads into another, and nowhere.
            (objects[2], 0, objects[1].0),
            (
                bucket(2),
                0,
                if chains == Chains::Nulls {
                    2 << 1 | 1
                } else {
                    0
                },
            ),
            (bucket(2), 0, objects[0].0),
            (bucket(5), 0, 0x1234),
            // It ends as another bucket's does.
            (
                objects[0],
                0,
                if chains == Chains::Nulls {
                    7 << 1 | 1
                } else {
                    3
                },
            ),
        ];
        for (at, offset, value) in damages {
            let mut toy = whole.toy.clone();
            toy.put(at, offset, value);
            let (_, ends) = walk(&toy.guest(), whole.buckets);
            assert!(!ends.is_complete(), "{at} {offset} {value:#x}");
        }
    }
}

/// Of a table that says to be smaller than it is, what stands in the rest would be missing.
#[test]
fn a_table_goes_on_where_a_further_bucket_follows() {
    let table = table(Chains::Nulls);
    for count in 1..BUCKETS {
        let part = Buckets {
            count,
            ..table.buckets
        };
        let (_, ends) = walk(&table.toy.guest(), part);
        assert!(!ends.is_complete(), "{count} buckets of {BUCKETS}");
    }
}

#[test]
fn a_table_that_claims_to_be_huge_is_given_up() {
    let table = table(Chains::Nulls);
    let huge = Buckets {
        count: 1 << 40,
        ..table.buckets
    };
    let (found, ends) = walk(&table.toy.guest(), huge);
    assert_eq!(found, table.objects);
    assert!(!ends.is_complete());
    assert!(ends.0.len() < 10, "{}", ends.0.len());
}
