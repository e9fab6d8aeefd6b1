//! Whether a `dentry` is in the hash table of names. What stands in a directory is; once unlinked, it is not.

use osier_memory::{Fault, VirtAddr};
use osier_profile::{Embed, Field, Resolver, UInt};

use crate::guest::Guest;
use crate::layouts::files::Dentry;

/// `DCACHE_UNHASHED`, of kernels whose `d_hash` is a plain `hlist_node` (before v2.6.38).
const DCACHE_UNHASHED: u64 = 1 << 4;

/// What tells whether a `dentry` is hashed.
///
/// The back pointer of an `hlist_bl_node` is null when unhashed; of a plain link, before v2.6.38, a flag tells.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hashed {
    /// The second pointer of the link, which is null when unhashed.
    Link(Field<Embed<()>>),
    /// The flag `DCACHE_UNHASHED`.
    Flag(Field<UInt>),
    /// Nothing that the profile has.
    Untold,
}

impl Hashed {
    pub(super) fn resolve(resolver: &Resolver<'_>, dentry: &Dentry) -> Self {
        let is_plain = Dentry::hash_is_plain(resolver);
        match (is_plain, dentry.d_hash, dentry.d_flags) {
            (false, Some(link), _) => Self::Link(link),
            (true, _, Some(flags)) => Self::Flag(flags),
            _ => Self::Untold,
        }
    }

    /// Whether a flag tells: the kernel is older than v2.6.38.
    pub(super) const fn is_told_by_flag(self) -> bool {
        matches!(self, Self::Flag(_))
    }

    /// Whether the `dentry` is hashed; `None` when nothing tells.
    pub(super) fn is(self, guest: &Guest, dentry: VirtAddr) -> Result<Option<bool>, Fault> {
        let space = &guest.space;
        match self {
            Self::Link(link) => {
                let back = link.place(dentry).plus(guest.pointer_bytes().into());
                Ok(Some(!space.read_pointer(back)?.is_null()))
            }
            Self::Flag(flags) => Ok(Some(flags.read(space, dentry)? & DCACHE_UNHASHED == 0)),
            Self::Untold => Ok(None),
        }
    }
}
