//! Which wrapping a file is in, by its first bytes.

use super::{gzip, lz4, lzop, xz, zlib, zstd};
use crate::data::Data;
use crate::look::Look;

/// Frames without content before the first with some that are passed over.
const SKIPPED: usize = 1 << 16;
/// Bytes of a tar's blocks.
pub(super) const TAR: usize = 512;

/// A wrapping around a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapping {
    Gzip,
    Zlib,
    Xz,
    Zstd,
    Lz4,
    Lzop,
    Bzip2,
    Tar,
}

impl Wrapping {
    /// The wrapping of a file, by its first bytes.
    pub(super) fn of(data: &Data) -> Option<Self> {
        // Frames without content may stand first: pzstd and seekable formats write such.
        let file = data.look();
        let mut at = 0_usize;
        for _ in 0..SKIPPED {
            let skip = zstd::skippable(file, at).and_then(|skip| usize::try_from(skip).ok());
            let behind = skip.and_then(|skip| at.checked_add(skip));
            match behind.filter(|behind| *behind <= file.len()) {
                Some(behind) => at = behind,
                None => break,
            }
        }
        match Self::by_magic(file, at) {
            Some(wrapping) => Some(wrapping),
            None if at > 0 => None,
            None if is_tar(&file.some(0, TAR)) => Some(Self::Tar),
            None => zlib::recognises(data).then_some(Self::Zlib),
        }
    }

    /// The compression whose magic lies at `at`.
    fn by_magic(file: Look<'_>, at: usize) -> Option<Self> {
        const MAGICS: [(&[u8], Wrapping); 6] = [
            (gzip::MAGIC, Wrapping::Gzip),
            (xz::MAGIC, Wrapping::Xz),
            (zstd::MAGIC, Wrapping::Zstd),
            (lz4::MAGIC, Wrapping::Lz4),
            (lz4::LEGACY, Wrapping::Lz4),
            (lzop::MAGIC, Wrapping::Lzop),
        ];
        let mut magics = MAGICS.iter();
        match magics.find(|(magic, _)| file.has(at, magic)) {
            Some((_, wrapping)) => Some(*wrapping),
            None => is_bzip2(&file.some(at, 10)).then_some(Self::Bzip2),
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zlib => "zlib",
            Self::Xz => "xz",
            Self::Zstd => "Zstandard",
            Self::Lz4 => "LZ4",
            Self::Lzop => "lzop",
            Self::Bzip2 => "bzip2",
            Self::Tar => "tar",
        }
    }

    /// What one of the pieces that a file is a row of is called.
    pub(super) const fn member(self) -> &'static str {
        match self {
            Self::Gzip => "member",
            Self::Zstd | Self::Lz4 => "frame",
            Self::Lzop | Self::Tar => "file",
            Self::Zlib | Self::Xz | Self::Bzip2 => "stream",
        }
    }

    /// The length of the frame without content at `at`.
    pub(super) fn skippable(self, file: Look<'_>, at: usize) -> Option<u64> {
        match self {
            Self::Zstd | Self::Lz4 => zstd::skippable(file, at),
            _ => None,
        }
    }

    /// Whether a member of this compression lies at `at`.
    pub(super) fn starts(self, file: Look<'_>, at: usize) -> bool {
        Self::by_magic(file, at) == Some(self)
            || (self == Self::Lz4 && file.has(at, lz4::LEGACY))
            || self == Self::Zlib
    }
}

/// `BZh`, the level, and the magic of a block or of a stream that has none.
fn is_bzip2(file: &[u8]) -> bool {
    const BLOCK: &[u8] = b"\x31\x41\x59\x26\x53\x59";
    const END: &[u8] = b"\x17\x72\x45\x38\x50\x90";
    let level = |behind: &'_ [u8]| {
        behind
            .first()
            .is_some_and(|level| (b'1'..=b'9').contains(level))
    };
    file.strip_prefix(b"BZh").is_some_and(|behind| {
        let block = behind.get(1..).unwrap_or_default();
        level(behind) && (block.starts_with(BLOCK) || block.starts_with(END))
    })
}

/// Whether a file that starts with `head` is a tar.
pub(crate) fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}
