//! An image's header and its table of snapshots.

use crate::cursor::Cursor;
use crate::error::Malformed;
use crate::look::Look;

/// The first bytes of an image.
pub(crate) const MAGIC: &[u8] = b"QFI\xfb";

/// Incompatible features, by bit.
const EXTERNAL_DATA: u64 = 1 << 2;
const EXTENDED_L2: u64 = 1 << 4;
/// QEMU met a contradiction in the tables.
const CORRUPT: u64 = 1 << 1;
/// Dirty, corrupt, compression type: none changes how what is not compressed is read.
const KNOWN: u64 = 1 | CORRUPT | 1 << 3;

/// Parts of a cluster in the bitmap of an extended L2 entry.
pub(super) const PARTS: u32 = 32;
/// The most snapshots, and bytes of a snapshot's extra data, that QEMU writes.
const SNAPSHOTS: u32 = 1 << 16;
const EXTRA: u32 = 1024;

/// What the header says.
pub(super) struct Image {
    pub(super) version: u32,
    pub(super) cluster_bits: u32,
    pub(super) disk_bytes: u64,
    encryption: u32,
    features: u64,
    snapshots: u32,
    snapshots_at: u64,
}

/// One entry of the table of snapshots.
pub(super) struct Internal {
    pub(super) id: String,
    pub(super) name: String,
    /// Where its L1 table is, and how many entries it has.
    pub(super) l1: u64,
    pub(super) l1_entries: u32,
    /// Bytes of the disk when it was taken.
    pub(super) disk_bytes: u64,
    /// Bytes of the machine's state; 0 when it is of the disk alone.
    pub(super) state_bytes: u64,
    /// When it was taken, in seconds since 1970.
    pub(super) seconds: u32,
    /// How long the machine had run, in nanoseconds.
    pub(super) machine_ns: u64,
}

impl Image {
    /// Reads the header.
    pub(super) fn read(file: Look<'_>) -> Result<Self, Malformed> {
        let mut at = Cursor::new(file, MAGIC.len());
        let version = at.be32("the version")?;
        if !(2..=3).contains(&version) {
            return Err(Malformed::new(
                4,
                format!("qcow2 in version 2 or 3, not {version}"),
            ));
        }
        at.pass(12, "a backing file's name")?;
        let cluster_bits = at.be32("the clusters' size")?;
        if !(9..=21).contains(&cluster_bits) {
            return Err(Malformed::new(
                20,
                format!("clusters of 2^9 to 2^21 bytes, not 2^{cluster_bits}"),
            ));
        }
        let disk_bytes = at.be64("the disk's size")?;
        let encryption = at.be32("the encryption")?;
        at.pass(24, "the tables' places")?;
        let snapshots = at.be32("the number of snapshots")?;
        if snapshots > SNAPSHOTS {
            return Err(Malformed::new(
                60,
                format!("at most {SNAPSHOTS} snapshots, not {snapshots}"),
            ));
        }
        let snapshots_at = at.be64("the place of the snapshots")?;
        let features = if version == 3 {
            at.be64("the features")?
        } else {
            0
        };
        let unknown = features & !(KNOWN | EXTERNAL_DATA | EXTENDED_L2);
        if unknown != 0 {
            return Err(Malformed::new(
                72,
                format!("known features, not {unknown:#x}"),
            ));
        }
        Ok(Self {
            version,
            cluster_bits,
            disk_bytes,
            encryption,
            features,
            snapshots,
            snapshots_at,
        })
    }

    /// What keeps the image's contents from being read here: a name for it, and the way out.
    pub(super) fn elsewhere(&self) -> Option<(&'static str, &'static str)> {
        if self.encryption != 0 {
            return Some((
                "an encrypted disk image",
                "load the snapshot in QEMU and write the memory with dump-guest-memory",
            ));
        }
        (self.features & EXTERNAL_DATA != 0).then_some((
            "a disk image whose data is in another file",
            "convert it with `qemu-img convert`, or load the snapshot in QEMU and write the memory with dump-guest-memory",
        ))
    }

    /// Whether QEMU marked it as corrupt.
    pub(super) const fn is_corrupt(&self) -> bool {
        self.features & CORRUPT != 0
    }

    pub(super) const fn cluster_bytes(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Bytes of what an L2 entry speaks of one by one: the cluster, or a part of it.
    pub(super) const fn part_bytes(&self) -> u64 {
        let parts = if self.extended() { PARTS } else { 1 };
        self.cluster_bytes() >> parts.trailing_zeros()
    }

    /// Whether L2 entries have a bitmap of 32 parts of their cluster.
    pub(super) const fn extended(&self) -> bool {
        self.features & EXTENDED_L2 != 0
    }
}

impl Internal {
    /// Its identifier and name, for people.
    pub(super) fn label(&self) -> String {
        let disk = if self.state_bytes > 0 {
            ""
        } else {
            " (disk only)"
        };
        format!("{} {:?}{disk}", self.id, self.name)
    }
}

/// Reads the table of snapshots.
pub(super) fn read(file: Look<'_>, image: &Image) -> Result<Vec<Internal>, Malformed> {
    let mut all = Vec::new();
    let mut at = Cursor::new(
        file,
        usize::try_from(image.snapshots_at).unwrap_or(usize::MAX),
    );
    for _ in 0..image.snapshots {
        all.push(entry(&mut at, image)?);
        let padding = at.at().wrapping_neg() & 7;
        // The last one's may lie past the end.
        at.pass(padding.min(at.left()), "padding")?;
    }
    Ok(all)
}

fn entry(at: &mut Cursor<'_>, image: &Image) -> Result<Internal, Malformed> {
    const WHAT: &str = "a snapshot of the table";
    let l1 = at.be64(WHAT)?;
    let l1_entries = at.be32(WHAT)?;
    let id_bytes = at.be16(WHAT)?;
    let name_bytes = at.be16(WHAT)?;
    let seconds = at.be32(WHAT)?;
    at.be32(WHAT)?; // nanoseconds
    let machine_ns = at.be64(WHAT)?;
    let short = at.be32(WHAT)?;
    let start = at.at() as u64;
    let extra = at.be32(WHAT)?;
    if extra > EXTRA {
        return Err(Malformed::new(
            start,
            format!("at most {EXTRA} bytes of extra data, not {extra}"),
        ));
    }
    let extra = at.take(extra as usize, "a snapshot's extra data")?;
    let word = |index: usize| {
        let from = index.checked_mul(8)?;
        extra
            .get(from..)?
            .first_chunk()
            .map(|bytes| u64::from_be_bytes(*bytes))
    };
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.escape_ascii().to_string(),
    };
    Ok(Internal {
        id: text(&at.take(usize::from(id_bytes), "a snapshot's identifier")?),
        name: text(&at.take(usize::from(name_bytes), "a snapshot's name")?),
        l1,
        l1_entries,
        disk_bytes: word(1).unwrap_or(image.disk_bytes),
        state_bytes: word(0).unwrap_or(short.into()),
        seconds,
        machine_ns,
    })
}
