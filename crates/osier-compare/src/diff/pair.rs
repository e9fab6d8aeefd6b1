//! Which row of one snapshot is which of the other.

use std::collections::HashMap;

use osier::Seen;

/// A row of both snapshots, or of one alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pair<T> {
    /// The same thing, earlier and later.
    Both(T, T),
    /// Met only in the earlier snapshot; `replaced` when another thing has its place in the later.
    Before { row: T, replaced: bool },
    /// Met only in the later snapshot; `replaced` when another thing had its place in the earlier.
    After { row: T, replaced: bool },
}

/// Pairs rows that stand at the same `place` and are the `same` thing there: those of the earlier
/// snapshot in their order, then what only the later one has.
pub(super) fn pair<T: Copy>(
    before: &[T],
    after: &[T],
    place: impl Fn(T) -> u64,
    same: impl Fn(T, T) -> bool,
) -> Vec<Pair<T>> {
    let places: HashMap<u64, T> = after.iter().map(|&row| (place(row), row)).collect();
    let earlier: HashMap<u64, T> = before.iter().map(|&row| (place(row), row)).collect();
    let of_before = before.iter().map(|&row| match places.get(&place(row)) {
        Some(&other) if same(row, other) => Pair::Both(row, other),
        other => Pair::Before {
            row,
            replaced: other.is_some(),
        },
    });
    let of_after = after
        .iter()
        .filter_map(|&row| match earlier.get(&place(row)) {
            Some(&other) if same(other, row) => None,
            other => Some(Pair::After {
                row,
                replaced: other.is_some(),
            }),
        });
    of_before.chain(of_after).collect()
}

/// Whether two values may be the same: no lost or absent one is told from any other.
pub(super) fn compatible<T: PartialEq>(one: &Seen<T>, other: &Seen<T>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => one == other,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_taken_by_another_thing_is_known_to_be() {
        // (place, identity)
        let before = [(1, 'a'), (2, 'b'), (3, 'c')];
        let after = [(2, 'x'), (3, 'c'), (4, 'd')];
        let pairs = pair(&before, &after, |row| row.0, |one, other| one.1 == other.1);
        assert_eq!(
            pairs,
            [
                Pair::Before {
                    row: (1, 'a'),
                    replaced: false
                },
                Pair::Before {
                    row: (2, 'b'),
                    replaced: true
                },
                Pair::Both((3, 'c'), (3, 'c')),
                Pair::After {
                    row: (2, 'x'),
                    replaced: true
                },
                Pair::After {
                    row: (4, 'd'),
                    replaced: false
                },
            ]
        );
    }
}
