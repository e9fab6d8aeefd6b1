//! Names of files: the `d_name` of a `dentry`.

use osier_osi::Seen;
use std::cell::Cell;

use osier_memory::{Fault, VirtAddr};
use osier_osi::Absent;
use osier_profile::{Embed, Field, Ptr, Resolver, UInt};

use crate::guest::Guest;
use crate::layouts::Tasks;
use crate::layouts::files::Dentry;

/// Longest name of one `dentry` that is believed; `NAME_MAX` is 255 characters, and some file systems
/// write each in three bytes.
const NAME_LIMIT: u64 = 4096;
/// `DCACHE_OP_HASH`: the file system hashes names in a way of its own.
const DCACHE_OP_HASH: u64 = 1;

/// How to read names.
#[derive(Clone)]
pub(super) struct Names {
    name: Field<Ptr<()>>,
    len: Field<UInt>,
    inline: Option<Field<Embed<()>>>,
    /// Bytes of a `dentry`.
    dentry_bytes: u64,
    hash: Option<(Field<UInt>, Field<UInt>)>,
    /// This kernel hashes as [`hash`] does: it is known, or a name was met that shows it.
    hashes: Cell<bool>,
}

impl Names {
    /// `None` when the profile lacks the members.
    pub(super) fn resolve(resolver: &mut Resolver<'_>, dentry: &Dentry) -> Option<Self> {
        let task = Tasks::resolve(resolver);
        let salted = task.thread_info.is_some() && task.kmsan_ctx.is_none();
        // Kernels from v4.9 to v6.13 hash so. Later ones, whose room has another name, have to show it.
        let ty = resolver.profile().find_type(Dentry::STRUCTURE);
        let known = ty.is_some_and(|ty| ty.member("d_iname").is_some());
        Some(Self {
            name: dentry.name?,
            len: dentry.len?,
            inline: dentry.d_iname.filter(|room| room.bytes > 0),
            dentry_bytes: dentry.size,
            hash: dentry.hash.zip(dentry.d_flags).filter(|_| salted),
            hashes: Cell::new(known),
        })
    }

    /// The own name of the `dentry` at `dentry`; its parent is at `parent`, at `dentry` itself for a
    /// root.
    pub(super) fn of(&self, guest: &Guest, dentry: VirtAddr, parent: VirtAddr) -> Seen<Vec<u8>> {
        let space = &guest.space;
        let read = || {
            Ok((
                self.len.read(space, dentry)?,
                self.name.read(space, dentry)?,
            ))
        };
        let outcome: Result<_, Fault> = read();
        let (len, name) = match outcome {
            Ok(read) => read,
            Err(fault) => return Err(Absent::unreadable(fault)),
        };
        let implausible =
            |raw: u64, rule| Err(Absent::implausible(raw, rule, Some(self.len.place(dentry))));
        let is_root = parent == dentry;
        if len > NAME_LIMIT || (len == 0 && !is_root) {
            return implausible(len, "a name has 1 to 4096 bytes");
        }
        if self.is_misplaced(dentry, name, len) {
            return implausible(name.0, "a name lies in its dentry when it fits there");
        }
        let mut text = vec![0; len as usize];
        if let Err(fault) = space.read(name, &mut text) {
            return Err(Absent::unreadable(fault));
        }
        let slash = !is_root && text.contains(&b'/');
        if slash
            || text.contains(&0)
            || space.read_uint(name.plus(len), 1).is_ok_and(|end| end != 0)
        {
            return implausible(len, "a name ends with the first NUL, and no slash is in it");
        }
        if !is_root && self.is_hashed_otherwise(guest, dentry, parent, &text) {
            return implausible(
                len,
                "a name has the hash of its bytes and its parent (d_name.hash)",
            );
        }
        Ok(text)
    }

    /// Whether the name is elsewhere although the room in the `dentry` is enough, or the other way
    /// round.
    fn is_misplaced(&self, dentry: VirtAddr, name: VirtAddr, len: u64) -> bool {
        let Some(inline) = self.inline else {
            return false;
        };
        let room = inline.place(dentry);
        // Up to v2.6.37 the room reached to the end of the structure.
        let most = room.since(dentry);
        let most = self.dentry_bytes.saturating_sub(most).max(inline.bytes);
        (len < inline.bytes && name != room) || (len >= most && name == room)
    }

    /// Whether the hash beside the name is another's. Not so for a name that its file system hashes,
    /// nor for the number that an unnamed file (`O_TMPFILE`) is given.
    fn is_hashed_otherwise(
        &self,
        guest: &Guest,
        dentry: VirtAddr,
        parent: VirtAddr,
        name: &[u8],
    ) -> bool {
        let Some((field, d_flags)) = self.hash else {
            return false;
        };
        let space = &guest.space;
        let own_way =
            |at| !matches!(d_flags.read(space, at), Ok(flags) if flags & DCACHE_OP_HASH == 0);
        let Ok(noted) = field.read(space, dentry) else {
            return false;
        };
        if noted == u64::from(hash(guest.pointer_bytes(), parent, name)) {
            self.hashes.set(true);
            return false;
        }
        self.hashes.get() && !name.starts_with(b"#") && !own_way(dentry) && !own_way(parent)
    }
}

/// The kernel's `full_name_hash` for processors that read unaligned words.
fn hash(word: u8, parent: VirtAddr, name: &[u8]) -> u32 {
    if word == 8 {
        const GOLDEN_RATIO_64: u64 = 0x61c8_8646_80b5_83eb;
        let (mut x, mut y) = (0_u64, parent.0);
        let mut words = name.chunks_exact(8);
        for piece in &mut words {
            x ^= little_endian(piece);
            y ^= x;
            x = x.rotate_left(12).wrapping_add(y);
            y = y.rotate_left(45).wrapping_mul(9);
        }
        x ^= little_endian(words.remainder());
        y ^= x.wrapping_mul(GOLDEN_RATIO_64);
        (y.wrapping_mul(GOLDEN_RATIO_64) >> 32) as u32
    } else {
        const GOLDEN_RATIO_32: u32 = 0x61c8_8647;
        let (mut x, mut y) = (0_u32, parent.0 as u32);
        let mut words = name.chunks_exact(4);
        for piece in &mut words {
            x ^= little_endian(piece) as u32;
            y ^= x;
            x = x.rotate_left(7).wrapping_add(y);
            y = y.rotate_left(20).wrapping_mul(9);
        }
        x ^= little_endian(words.remainder()) as u32;
        let x = x.wrapping_mul(GOLDEN_RATIO_32);
        (y ^ x).wrapping_mul(GOLDEN_RATIO_32)
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}
