//! Kernel modules.

use osier::Module;

use super::pair::{Pair, compatible, pair};
use super::teller::{Kinds, Teller};
use crate::{Answer, Kind};

const KINDS: Kinds = Kinds {
    new: Kind::ModuleLoaded,
    gone: Kind::ModuleUnloaded,
    unknown: Kind::ModuleUnknown,
};

/// Tells which modules were loaded and unloaded. One that was loaded again at the same place, under
/// the same name, is taken for the one that was there.
pub(super) fn compare<'a>(
    before: &'a Answer<Module>,
    after: &'a Answer<Module>,
    teller: &mut Teller<'a, '_>,
) {
    let (was, now): (Vec<&Module>, Vec<&Module>) =
        (before.rows.iter().collect(), after.rows.iter().collect());
    let same = |one: &Module, other: &Module| {
        compatible(&one.name, &other.name) && compatible(&one.base, &other.base)
    };
    for pair in &pair(&was, &now, |module| module.modd.0, same) {
        match *pair {
            Pair::Both(a, b) => teller.lost(Kind::ModuleUnknown, a, b, &["name", "base"]),
            _ => teller.lone(KINDS, pair, |row| row, (&before.ends, &after.ends)),
        }
    }
}
