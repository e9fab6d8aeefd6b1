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
mod packed;
mod unpack;
mod xz;
mod zlib;
mod zstd;

use std::path::Path;

use crate::anomaly::Anomaly;
use crate::cache::PageCache;
use crate::error::{OpenError, io_error};
use crate::kept::Kept;
use crate::map::Map;
use crate::open::OpenOptions;
use crate::panda;

pub(crate) use packed::Packed;

/// Wrappings within wrappings that are taken off.
const DEPTH: usize = 4;

/// A wrapping around a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrapping {
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
    fn of(head: &[u8]) -> Option<Self> {
        const MAGICS: [(&[u8], Wrapping); 6] = [
            (gzip::MAGIC, Wrapping::Gzip),
            (xz::MAGIC, Wrapping::Xz),
            (zstd::MAGIC, Wrapping::Zstd),
            (lz4::MAGIC, Wrapping::Lz4),
            (lzop::MAGIC, Wrapping::Lzop),
            (b"BZh", Wrapping::Bzip2),
        ];
        let by_magic = MAGICS.iter().find(|(magic, _)| head.starts_with(magic));
        match by_magic {
            Some((_, wrapping)) => Some(*wrapping),
            None if panda::is_tar(head) => Some(Self::Tar),
            None => zlib::recognises(head).then_some(Self::Zlib),
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
    File(Map),
    /// Raw memory, read in place.
    Raw(Packed),
}

/// Takes the wrappings off the file at `path`. `is_raw` says of a file's first bytes whether no
/// other format claims them.
///
/// # Errors
///
/// Nothing could be unpacked, or too much; a tar has no or several members.
pub(crate) fn unwrap(
    path: &Path,
    map: Map,
    options: &OpenOptions,
    is_raw: impl Fn(&Map) -> bool,
) -> Result<Unwrapped, OpenError> {
    let mut map = map;
    let mut facts = Vec::new();
    let mut anomalies = Vec::new();
    for _ in 0..DEPTH {
        let Some(wrapping) = Wrapping::of(map.bytes()).filter(|_| !panda::is_archive(&map)) else {
            break;
        };
        facts.push(("wrapped in", wrapping.name().to_owned()));
        if wrapping == Wrapping::Tar {
            map = unpack::only_member(path, &map)?;
            continue;
        }
        let head = unpack::head(path, &map, wrapping, options)?;
        if is_raw(&head)
            && Wrapping::of(head.bytes()).is_none()
            && let Some(packed) = in_place(path, &map, wrapping, options)?
        {
            facts.push(("read", "in place, block by block".to_owned()));
            return Ok(Unwrapped {
                inside: Inside::Raw(packed),
                facts,
                anomalies,
            });
        }
        let (unpacked, cut) = unpack::to_scratch(path, &map, wrapping, options)?;
        facts.push((
            "unpacked",
            format!("{} bytes to a scratch file", unpacked.len()),
        ));
        anomalies.extend(cut);
        map = unpacked;
    }
    Ok(Unwrapped {
        inside: Inside::File(map),
        facts,
        anomalies,
    })
}

/// Random access to a compressed file; `None` when its compression has no parts for that.
fn in_place(
    path: &Path,
    map: &Map,
    wrapping: Wrapping,
    options: &OpenOptions,
) -> Result<Option<Packed>, OpenError> {
    let file = map.bytes();
    let cache = PageCache::new(options.cache_bytes);
    let with = |(blocks, decoder): (Vec<packed::Block>, Box<dyn packed::Decoder>)| {
        Packed::new(map.clone(), blocks, decoder, cache)
    };
    let found = match wrapping {
        Wrapping::Xz => xz::blocks(file).map(|(blocks, xz)| (blocks, Box::new(xz) as _)),
        Wrapping::Zstd => zstd::blocks(file).map(|(blocks, zstd)| (blocks, Box::new(zstd) as _)),
        Wrapping::Lz4 => lz4::blocks(file).map(|(blocks, lz4)| (blocks, Box::new(lz4) as _)),
        Wrapping::Gzip => {
            let dir = options.index_dir.as_deref();
            let Some(kept) = dir.and_then(|dir| Kept::of(dir, path, map, "ogz")) else {
                return Ok(None);
            };
            let mut progress = |done| options.progress.tell("indexing", done, map.len());
            gzip::blocks(map, &kept, &mut progress)
                .map_err(io_error(
                    path,
                    "its index cannot be kept in the cache folder",
                ))?
                .map(|(blocks, points)| (blocks, Box::new(points) as _))
        }
        Wrapping::Zlib | Wrapping::Lzop | Wrapping::Bzip2 | Wrapping::Tar => None,
    };
    Ok(found.and_then(with))
}
