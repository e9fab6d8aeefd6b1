//! Snapshots inside gzip, zlib, xz, Zstandard, LZ4, lzop, bzip2 or a tar with one member, also one in
//! another.
//!
//! Raw memory whose compression has parts that decode by themselves (xz blocks, Zstandard frames,
//! LZ4 blocks with a known total, and gzip by an index kept in the cache folder) is read in place,
//! with a bounded cache. Everything else is unpacked once per opening, to a file that goes with the
//! snapshot.

mod gzip;
mod lz4;
mod lzop;
mod member;
mod packed;
mod unpack;
mod xz;
mod zlib;
mod zstd;

use std::path::Path;

use crate::anomaly::Anomaly;
use crate::cache::PageCache;
use crate::data::Data;
use crate::error::OpenError;
use crate::kept::Kept;
use crate::look::Look;
use crate::open::OpenOptions;
use crate::panda;

pub(crate) use packed::Packed;
pub(crate) use unpack::Unpacker;

/// Wrappings within wrappings that are taken off.
const DEPTH: usize = 8;
/// Frames without content before the first with some that are passed over.
const SKIPPED: usize = 1 << 16;
/// Bytes of a tar's blocks.
const TAR: usize = 512;

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
    fn of(data: &Data) -> Option<Self> {
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
            None if panda::is_tar(&file.some(0, TAR)) => Some(Self::Tar),
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

    const fn name(self) -> &'static str {
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

/// What is inside the wrappings of a file.
pub(crate) struct Unwrapped {
    pub(crate) inside: Inside,
    /// The wrappings' names, outermost first; empty for a bare file.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// A wrapping that ended before its time.
    pub(crate) anomalies: Vec<Anomaly>,
}

/// The bytes inside.
pub(crate) enum Inside {
    /// As a file: the file itself, a part of it, or what it was unpacked to.
    File(Data),
    /// Raw memory, read in place.
    Raw(Box<Packed>),
}

/// What the first bytes inside a compression are, for the reader of formats to say.
pub(crate) enum Head {
    /// Of a format that is read.
    Known,
    /// Of no known format: raw memory.
    Raw,
    /// Of a format that is not read: its name, and the way out.
    Foreign(&'static str, &'static str),
}

/// Takes the wrappings off the file at `path`. `look` says what a file's first bytes are.
///
/// # Errors
///
/// Nothing could be unpacked, or too much; a tar has no or several members; what is inside is of a
/// format that is not read, which its first bytes tell before the rest is unpacked.
pub(crate) fn unwrap(
    path: &Path,
    data: Data,
    options: &OpenOptions,
    look: impl Fn(&Data) -> Head,
) -> Result<Unwrapped, OpenError> {
    let mut data = data;
    let mut facts: Vec<(&'static str, String)> = Vec::new();
    let mut anomalies = Vec::new();
    let mut names = Vec::new();
    while let Some(wrapping) = Wrapping::of(&data).filter(|_| !panda::is_archive(&data)) {
        names.push(wrapping.name());
        if names.len() > DEPTH {
            return Err(OpenError::NotASnapshot {
                path: path.to_owned(),
                found: format!("{} in one another", names.join(" and ")),
                way_out: format!("unpack it first: no more than {DEPTH} wrappings are taken off"),
            });
        }
        facts.push(("wrapped in", wrapping.name().to_owned()));
        if wrapping == Wrapping::Tar {
            data = unpack::only_member(path, &data)?;
            continue;
        }
        let head = unpack::head(path, &data, wrapping, options)?;
        if Wrapping::of(&head).is_none() {
            match look(&head) {
                Head::Known => {}
                Head::Raw => {
                    if let Some(packed) = in_place(path, &data, wrapping, options) {
                        facts.push(("read", "in place, block by block".to_owned()));
                        return Ok(Unwrapped {
                            inside: Inside::Raw(Box::new(packed)),
                            facts,
                            anomalies,
                        });
                    }
                }
                Head::Foreign(format, way_out) => {
                    names.reverse();
                    return Err(OpenError::NotASnapshot {
                        path: path.to_owned(),
                        found: format!("{format}, in {}", names.join(" in ")),
                        way_out: way_out.to_owned(),
                    });
                }
            }
        }
        let (unpacked, odd) = unpack::to_scratch(path, &data, wrapping, options)?;
        facts.push((
            "unpacked",
            format!("{} bytes to a scratch file", unpacked.len()),
        ));
        if odd.padding > 0 {
            let padding = format!("{} zeros behind the {} data", odd.padding, wrapping.name());
            facts.push(("padding", padding));
        }
        anomalies.extend(odd.anomalies);
        data = unpacked;
    }
    Ok(Unwrapped {
        inside: Inside::File(data),
        facts,
        anomalies,
    })
}

/// Random access to a compressed file; `None` when its compression has no parts for that, or when
/// what it takes cannot be kept.
fn in_place(path: &Path, data: &Data, wrapping: Wrapping, options: &OpenOptions) -> Option<Packed> {
    let file = data.look();
    let kept = |extension| Kept::of(options.index_dir.as_deref()?, path, data, extension);
    let mut progress = |done| options.progress.tell("indexing", done, data.len());
    let (blocks, decoder): (Vec<packed::Block>, Box<dyn packed::Decoder>) = match wrapping {
        Wrapping::Xz => xz::blocks(file).map(|(blocks, xz)| (blocks, Box::new(xz) as _)),
        Wrapping::Zstd => zstd::blocks(file).map(|(blocks, zstd)| (blocks, Box::new(zstd) as _)),
        Wrapping::Lz4 => lz4::blocks(file, kept("ol4").as_ref(), &mut progress)
            .map(|(blocks, lz4)| (blocks, Box::new(lz4) as _)),
        Wrapping::Gzip => gzip::blocks(data, &kept("ogz")?, &mut progress)
            .map(|(blocks, points)| (blocks, Box::new(points) as _)),
        Wrapping::Zlib | Wrapping::Lzop | Wrapping::Bzip2 | Wrapping::Tar => None,
    }?;
    Packed::new(
        data.clone(),
        blocks,
        decoder,
        PageCache::new(options.cache_bytes),
    )
}
