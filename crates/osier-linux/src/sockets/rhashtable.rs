//! Hash tables that grow (`rhashtable`): netlink's since v3.17.

use osier_memory::{Fault, VirtAddr};
use osier_osi::{Guard, WalkEnd, WalkEnds};
use osier_profile::{Embed, Field, Ptr, Resolver, UInt, layout};

use crate::guest::Guest;
use crate::hashes::broken;
use crate::list;

/// Most buckets of a table that are believed.
const MOST_BUCKETS: u64 = 1 << 20;

layout! {
    /// Fields read from `struct rhashtable`.
    pub(crate) struct Rhashtable: "rhashtable" through [atomic_t] {
        /// The table.
        tbl: Option<Field<Ptr<()>>>,
        /// How many objects.
        nelems: Option<Field<UInt>> = ["nelems.counter", "nelems"],
    }
}

layout! {
    /// Fields read from `bucket_table`.
    pub(crate) struct BucketTable: "bucket_table" {
        /// How many buckets.
        count: Option<Field<UInt>> = ["size"],
        /// Not 0 where the buckets lie in several pages.
        nest: Option<Field<UInt>>,
        /// The table that objects are moved to.
        future_tbl: Option<Field<Ptr<()>>>,
        /// The buckets.
        buckets: Option<Field<Embed<()>>>,
    }
}

/// How to read them.
pub(super) struct Rhashtables {
    pub(super) table: Rhashtable,
    buckets: BucketTable,
}

/// One walk over a table.
struct Walk<'a> {
    guest: &'a Guest,
    name: &'static str,
    met: &'a mut Guard,
    ends: &'a mut WalkEnds,
    found: Vec<VirtAddr>,
}

impl Rhashtables {
    pub(super) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            table: Rhashtable::resolve(resolver),
            buckets: BucketTable::resolve(resolver),
        }
    }

    /// The links of the objects of the `bucket_table` at `table` and of those that it is moved to. How the walk of it, called `name`,
    /// ended is added to `ends`.
    pub(super) fn links(
        &self,
        guest: &Guest,
        name: &'static str,
        table: VirtAddr,
        met: &mut Guard,
        ends: &mut WalkEnds,
    ) -> Vec<VirtAddr> {
        let found = Vec::new();
        let mut walk = Walk {
            guest,
            name,
            met,
            ends,
            found,
        };
        if walk.all(&self.buckets, table) {
            walk.ends.add(name, WalkEnd::Closed);
        }
        walk.found
    }
}

impl Walk<'_> {
    fn lost(&mut self, what: &str, fault: Option<Fault>) -> bool {
        self.ends.add(self.name, WalkEnd::no_start(what, fault));
        false
    }

    /// Goes through every bucket; whether all could be read.
    fn all(&mut self, layout: &BucketTable, table: VirtAddr) -> bool {
        let (Some(size), Some(buckets)) = (layout.count, layout.buckets) else {
            return self.lost("members of bucket_table in the profile", None);
        };
        let space = &self.guest.space;
        let word = u64::from(self.guest.pointer_bytes());
        let mut table = table;
        let mut sound = true;
        // A table is moved to one other at a time.
        for _ in 0..8 {
            let nest = layout.nest.map_or(Ok(0), |field| field.read(space, table));
            let count = match (size.read(space, table), nest) {
                (Ok(count), Ok(0)) if count.is_power_of_two() && count <= MOST_BUCKETS => count,
                (Ok(count), Ok(nest)) => {
                    let what = format!("a table of {count} buckets, nested {nest} bits deep");
                    return self.lost(&what, None);
                }
                (Err(fault), _) | (_, Err(fault)) => {
                    return self.lost("the table of a protocol", Some(fault));
                }
            };
            let first = buckets.place(table);
            for index in 0..count {
                sound &= self.chain(first.plus(index.wrapping_mul(word)));
            }
            let Some(future) = layout.future_tbl else {
                break;
            };
            match future.read(space, table) {
                Ok(next) if next.is_null() => break,
                Ok(next) => table = next,
                Err(fault) => {
                    self.ends.add(self.name, broken(table, None, fault));
                    return false;
                }
            }
        }
        sound
    }

    /// One chain, whose head has a lock in its lowest bit (v5.4) and whose last link has that bit, too.
    fn chain(&mut self, head: VirtAddr) -> bool {
        let space = &self.guest.space;
        let mut from = head;
        loop {
            let next = match space.read_pointer(from) {
                Ok(next) => next,
                Err(fault) => {
                    self.ends.add(self.name, broken(from, None, fault));
                    return false;
                }
            };
            let at = if from == head {
                VirtAddr(next.0 & !1)
            } else {
                next
            };
            if at.is_null() || at.0 & 1 == 1 || (from == head && at == head) {
                return true;
            }
            if let Err(fault) = list::plausible(self.guest, at) {
                // A head's end of the chain, of kernels without the lock.
                if from == head && next.0 & 1 == 1 {
                    return true;
                }
                self.ends.add(self.name, broken(from, Some(at), fault));
                return false;
            }
            if let Err(end) = self.met.meet(at) {
                self.ends.add(self.name, end);
                return false;
            }
            self.found.push(at);
            from = at;
        }
    }
}
