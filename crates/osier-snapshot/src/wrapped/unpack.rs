//! Unpacking: to a file that goes with the snapshot, or a tar's one member where it lies.

use std::io::{self, Read, Write};
use std::path::Path;

use super::{Wrapping, xz};
use crate::anomaly::Anomaly;
use crate::error::{OpenError, io_error};
use crate::map::Map;
use crate::open::OpenOptions;
use crate::scratch;

/// Bytes that are unpacked to see what is inside.
const HEAD: u64 = 64 << 10;
/// Bytes unpacked at once.
const STEP: usize = 1 << 20;
/// Bytes of a tar's blocks.
const TAR: u64 = 512;

/// What `map` holds, unpacked, to a file that goes with the map; and, when the packed data ended
/// before its time, a word on that: what was unpacked till then counts.
///
/// # Errors
///
/// Nothing could be unpacked, or more than the limit.
pub(super) fn to_scratch(
    path: &Path,
    map: &Map,
    wrapping: Wrapping,
    options: &OpenOptions,
) -> Result<(Map, Option<Anomaly>), OpenError> {
    let total = map.len();
    let mut source = Counted {
        inner: map.bytes(),
        tell: |done| options.progress.tell("unpacking", done, total),
        done: 0,
    };
    let limit = options.scratch_limit;
    let mut broken = None;
    let mut reader = decoder(path, wrapping, &mut source)?;
    let unpacked = scratch::filled(options, |file| {
        let mut buffer = vec![0; STEP];
        let mut written = 0_u64;
        loop {
            let n = match reader.read(&mut buffer) {
                Ok(0) => return Ok(written),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    broken = Some(error);
                    return Ok(written);
                }
            };
            written = written.saturating_add(n as u64);
            if written > limit {
                return Ok(written);
            }
            file.write_all(buffer.get(..n).unwrap_or_default())?;
        }
    })?;
    drop(reader);
    let (map, written) = unpacked;
    if written > limit {
        return Err(OpenError::ScratchLimit {
            path: path.to_owned(),
            limit,
        });
    }
    match broken {
        Some(error) if written == 0 => Err(io_error(path, "cannot be unpacked")(error)),
        Some(error) => {
            let cut = format!(
                "the {} data ends or is damaged near file offset {:#x} ({error}): the {written} \
                 bytes before are read, the rest is missing",
                wrapping.name(),
                source.done
            );
            Ok((map, Some(Anomaly::bytes(cut))))
        }
        None => Ok((map, None)),
    }
}

/// The first bytes of what `map` holds.
///
/// # Errors
///
/// As [`to_scratch`].
pub(super) fn head(
    path: &Path,
    map: &Map,
    wrapping: Wrapping,
    options: &OpenOptions,
) -> Result<Map, OpenError> {
    let mut head = Vec::new();
    let read = decoder(path, wrapping, map.bytes())?
        .take(HEAD)
        .read_to_end(&mut head);
    if let Err(error) = read
        && head.is_empty()
    {
        return Err(io_error(path, "cannot be unpacked")(error));
    }
    let (head, ()) = scratch::filled(options, |file| file.write_all(&head))?;
    Ok(head)
}

fn decoder<'a>(
    path: &Path,
    wrapping: Wrapping,
    packed: impl Read + 'a,
) -> Result<Box<dyn Read + 'a>, OpenError> {
    let cannot = || io_error(path, "cannot be unpacked");
    Ok(match wrapping {
        Wrapping::Gzip => Box::new(flate2::read::MultiGzDecoder::new(packed)),
        Wrapping::Zlib => Box::new(flate2::read::ZlibDecoder::new(packed)),
        Wrapping::Xz => Box::new(xz::decoder(packed).map_err(cannot())?),
        Wrapping::Zstd => Box::new(super::zstd::Reader::new(packed)),
        Wrapping::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(packed)),
        Wrapping::Lzop => Box::new(super::lzop::Reader::new(packed)),
        Wrapping::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(packed)),
        Wrapping::Tar => Box::new(packed),
    })
}

/// The bytes of the one file in a tar, where they lie.
///
/// # Errors
///
/// The tar holds no file, several, or ends inside the one.
pub(super) fn only_member(path: &Path, map: &Map) -> Result<Map, OpenError> {
    let cannot = || io_error(path, "cannot be unpacked");
    let not = |found: String| OpenError::NotASnapshot {
        path: path.to_owned(),
        found,
        way_out: "unpack it and give the snapshot in it".to_owned(),
    };
    let mut archive = tar::Archive::new(io::Cursor::new(map.bytes()));
    let mut found = None;
    for entry in archive.entries_with_seek().map_err(cannot())? {
        let entry = entry.map_err(cannot())?;
        if !entry.header().entry_type().is_file() || entry.size() == 0 {
            continue;
        }
        if found.is_some() {
            return Err(not("a tar archive with several files".to_owned()));
        }
        let at = entry.raw_file_position();
        found = Some(map.part(at, entry.size()).ok_or_else(|| {
            not(format!(
                "a tar archive that ends inside its one file, which starts at offset {at:#x} and \
                 should have {} bytes",
                entry.size()
            ))
        })?);
        // What follows a cut member cannot be looked at; what follows a whole one is padding.
        if map.len().saturating_sub(at) < entry.size().saturating_add(TAR) {
            break;
        }
    }
    found.ok_or_else(|| not("a tar archive without a file".to_owned()))
}

/// Tells how far a reader has got.
struct Counted<R, F> {
    inner: R,
    tell: F,
    done: u64,
}

impl<R: Read, F: FnMut(u64)> Read for Counted<R, F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.done = self.done.saturating_add(n as u64);
        (self.tell)(self.done);
        Ok(n)
    }
}
