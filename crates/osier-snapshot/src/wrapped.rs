//! Snapshots inside gzip, zlib, xz, Zstandard, LZ4, lzop, bzip2 or a tar with one member, also one in
//! another.
//!
//! Raw memory whose compression has parts that decode by themselves (xz blocks, Zstandard frames,
//! LZ4 blocks with a known total, and gzip by an index kept in the cache folder) is read in place,
//! with a bounded cache. Everything else is unpacked to a file that goes with the snapshot, once a page is asked for
//! that is not kept of an earlier opening ([`crate::pages`]).

mod gzip;
mod lazy;
mod lz4;
mod lzop;
mod member;
mod members;
mod unpack;
mod wrapping;
mod xz;
mod zlib;
mod zstd;

use std::path::Path;

use crate::anomaly::Anomaly;
use crate::cache::PageCache;
use crate::data::Data;
use crate::error::OpenError;
use crate::kept::Kept;
use crate::packed::{Block, Decoder, Packed};
use crate::pages;
use crate::snapshot::{OpenOptions, WRAPPED};

pub(crate) use unpack::Unpacker;
pub(crate) use wrapping::{Wrapping, is_tar};

/// Wrappings within wrappings that are taken off.
const DEPTH: usize = 8;
/// What is inside the wrappings of a file.
pub(crate) struct Unwrapped {
    pub(crate) inside: Inside,
    /// How many bytes were unpacked to a scratch file, or will be when they are asked for.
    pub(crate) scratch_bytes: u64,
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

/// Takes the wrappings off the file at `path`, but for those that are of its format, which `belongs`
/// tells. `look` says what a file's first bytes are.
///
/// # Errors
///
/// Nothing could be unpacked, or too much; a tar has no or several members; what is inside is of a
/// format that is not read, which its first bytes tell before the rest is unpacked.
pub(crate) fn unwrap(
    path: &Path,
    data: Data,
    options: &OpenOptions,
    belongs: impl Fn(&Data) -> bool,
    look: impl Fn(&Data) -> Head,
) -> Result<Unwrapped, OpenError> {
    let mut data = data;
    let mut facts: Vec<(&'static str, String)> = Vec::new();
    let mut anomalies = Vec::new();
    let mut names = Vec::new();
    let mut scratch_bytes = 0;
    while let Some(wrapping) = Wrapping::of(&data).filter(|_| !belongs(&data)) {
        names.push(wrapping.name());
        if names.len() > DEPTH {
            return Err(OpenError::NotASnapshot {
                path: path.to_owned(),
                found: format!("{} in one another", names.join(" and ")),
                way_out: format!("unpack it first: no more than {DEPTH} wrappings are taken off"),
            });
        }
        facts.push((WRAPPED, wrapping.name().to_owned()));
        if wrapping == Wrapping::Tar {
            data = unpack::only_member(path, &data)?;
            continue;
        }
        let head = unpack::head(path, &data, wrapping, options)?;
        let inside = Wrapping::of(&head).is_none().then(|| look(&head));
        if let Some(Head::Foreign(format, way_out)) = inside {
            names.reverse();
            return Err(OpenError::NotASnapshot {
                path: path.to_owned(),
                found: format!("{format}, in {}", names.join(" in ")),
                way_out: way_out.to_owned(),
            });
        }
        let dir = options.index_dir.as_deref();
        let kept = dir.and_then(|dir| Kept::of(dir, path, &data, pages::EXTENSION));
        if let Some(Head::Raw) = inside
            && let Some(packed) = in_place(&data, wrapping, options, kept.as_ref())
        {
            facts.push(("read", "in place, block by block".to_owned()));
            return Ok(Unwrapped {
                inside: Inside::Raw(Box::new(packed)),
                scratch_bytes,
                facts,
                anomalies,
            });
        }
        let lazy::Unpacked {
            data: unpacked,
            scratch_bytes: taken,
            fact,
            odd,
        } = lazy::unpacked(path, &data, wrapping, options, kept)?;
        facts.push(("unpacked", fact));
        scratch_bytes = taken;
        if odd.padding > 0 {
            let padding = format!("{} zeros behind the {} data", odd.padding, wrapping.name());
            facts.push(("padding", padding));
        }
        anomalies.extend(odd.anomalies);
        data = unpacked;
    }
    Ok(Unwrapped {
        inside: Inside::File(data),
        scratch_bytes,
        facts,
        anomalies,
    })
}

/// Random access to a compressed file, of which pages are kept at `kept`; `None` when its compression has no parts for that, or when
/// what it takes cannot be kept.
fn in_place(
    data: &Data,
    wrapping: Wrapping,
    options: &OpenOptions,
    kept: Option<&Kept>,
) -> Option<Packed> {
    let file = data.look();
    let index = |extension| kept.map(|kept| kept.beside(extension));
    // An earlier opening kept pages and no index: the file is not one that an index serves.
    let has = |place: Option<Kept>| place.is_some_and(|place| place.is_there());
    if wrapping == Wrapping::Gzip && has(kept.cloned()) && !has(index("ogz")) {
        return None;
    }
    let mut progress = |done| options.progress.tell("indexing", done, data.len());
    let (blocks, decoder): (Vec<Block>, Box<dyn Decoder>) = match wrapping {
        Wrapping::Xz => xz::blocks(file).map(|(blocks, xz)| (blocks, Box::new(xz) as _)),
        Wrapping::Zstd => zstd::blocks(file).map(|(blocks, zstd)| (blocks, Box::new(zstd) as _)),
        Wrapping::Lz4 => lz4::blocks(file, index("ol4").as_ref(), &mut progress)
            .map(|(blocks, lz4)| (blocks, Box::new(lz4) as _)),
        Wrapping::Gzip => gzip::blocks(data, &index("ogz")?, &mut progress)
            .map(|(blocks, points)| (blocks, Box::new(points) as _)),
        Wrapping::Zlib | Wrapping::Lzop | Wrapping::Bzip2 | Wrapping::Tar => None,
    }?;
    Packed::new(
        data.clone(),
        blocks,
        decoder,
        PageCache::new(options.cache_bytes()),
        kept.cloned(),
    )
}
