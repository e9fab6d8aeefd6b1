//! What a compressed file is a row of: gzip's members, Zstandard's and LZ4's frames, the streams of
//! xz and bzip2, lzop's files. Each carries checksums, which are held against what it unpacks to.
//!
//! Sources: RFC 1950, 1951, 1952 and 8878; The .xz File Format 1.2.1; LZ4 Frame Format Description
//! 1.6.4; lzop 1.04's `src/lzop.c`.

use std::io::{self, Read};

use flate2::bufread::DeflateDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::member::{Doubt, Member, differs};
use super::wrapping::Wrapping;
use super::zstd::{self, checksum};
use super::{gzip, lz4, lzop, xz};
use crate::data::{Data, Reader};

/// The member at `at` of `data`.
///
/// # Errors
///
/// Its header is not a member's.
pub(super) fn start(wrapping: Wrapping, data: &Data, at: u64) -> io::Result<Box<dyn Member>> {
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    Ok(match wrapping {
        Wrapping::Gzip => {
            let header = gzip::header_bytes(data.look(), at as usize).ok_or_else(cut)?;
            let sum = Sum::Crc32(crc32fast::Hasher::new());
            let start = at.saturating_add(header as u64);
            Box::new(Deflated::new(data, start, sum).ok_or_else(cut)?)
        }
        Wrapping::Zlib => {
            let sum = Sum::Adler32(adler2::Adler32::new());
            Box::new(Deflated::new(data, at.saturating_add(2), sum).ok_or_else(cut)?)
        }
        Wrapping::Xz => Box::new(Xz(xz::decoder(data.reader(at))?)),
        Wrapping::Bzip2 => Box::new(Bzip2(bzip2::bufread::BzDecoder::new(data.reader(at)))),
        Wrapping::Zstd => Box::new(Zstd {
            frame: zstd::stream(data.reader(at))?,
            len: 0,
        }),
        Wrapping::Lz4 => Box::new(Lz4::new(data, at)?),
        Wrapping::Lzop => Box::new(lzop::Reader::new(data, at)),
        Wrapping::Tar => return Err(io::ErrorKind::Unsupported.into()),
    })
}

/// Deflated bytes, behind gzip's header or zlib's.
struct Deflated {
    data: Data,
    inflate: DeflateDecoder<Reader>,
    /// The offset of what is behind the trailer, once that was passed.
    behind: Option<u64>,
    sum: Sum,
    len: u64,
}

enum Sum {
    Crc32(crc32fast::Hasher),
    Adler32(adler2::Adler32),
}

impl Deflated {
    /// `None` when the file ends before `at`.
    fn new(data: &Data, at: u64, sum: Sum) -> Option<Self> {
        (at <= data.len()).then(|| Self {
            data: data.clone(),
            inflate: DeflateDecoder::new(data.reader(at)),
            behind: None,
            sum,
            len: 0,
        })
    }

    /// The next word of the trailer, of four bytes.
    fn word(&mut self) -> Result<[u8; 4], Doubt> {
        let at = self.offset();
        let word = self.data.look().array(at as usize);
        self.behind = word.and_then(|_| at.checked_add(4)).or(self.behind);
        word.ok_or_else(|| Doubt::Length("it ends before its checksum".to_owned()))
    }
}

impl Read for Deflated {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inflate.read(buf)?;
        let bytes = buf.get(..n).unwrap_or_default();
        match &mut self.sum {
            Sum::Crc32(crc) => crc.update(bytes),
            Sum::Adler32(adler) => adler.write_slice(bytes),
        }
        self.len = self.len.saturating_add(n as u64);
        Ok(n)
    }
}

impl Member for Deflated {
    fn offset(&self) -> u64 {
        self.behind.unwrap_or(self.inflate.get_ref().offset())
    }

    fn check(&mut self) -> Result<(), Doubt> {
        let wanted = self.word()?;
        let (name, sum, wanted) = match &self.sum {
            Sum::Crc32(crc) => {
                let sum = crc.clone().finalize();
                let size = u32::from_le_bytes(self.word()?);
                if size != self.len as u32 {
                    return Err(Doubt::Length(format!(
                        "it should hold {size} bytes (modulo 4 GiB) and holds {}",
                        self.len
                    )));
                }
                ("CRC-32", sum, u32::from_le_bytes(wanted))
            }
            Sum::Adler32(adler) => ("Adler-32", adler.checksum(), u32::from_be_bytes(wanted)),
        };
        differs(name, sum, wanted)
    }
}

/// liblzma compares the check of each block, the sizes and the index.
struct Xz(liblzma::bufread::XzDecoder<Reader>);

impl Read for Xz {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Member for Xz {
    fn offset(&self) -> u64 {
        self.0.get_ref().offset()
    }

    fn check(&mut self) -> Result<(), Doubt> {
        Ok(())
    }
}

/// The decoder compares the CRC of each block and of the stream.
struct Bzip2(bzip2::bufread::BzDecoder<Reader>);

impl Read for Bzip2 {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Member for Bzip2 {
    fn offset(&self) -> u64 {
        self.0.get_ref().offset()
    }

    fn check(&mut self) -> Result<(), Doubt> {
        Ok(())
    }
}

struct Zstd {
    frame: StreamingDecoder<Reader, FrameDecoder>,
    len: u64,
}

impl Read for Zstd {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.frame.read(buf)?;
        self.len = self.len.saturating_add(n as u64);
        Ok(n)
    }
}

impl Member for Zstd {
    fn offset(&self) -> u64 {
        self.frame.get_ref().offset()
    }

    fn check(&mut self) -> Result<(), Doubt> {
        let promised = self.frame.decoder.content_size();
        if promised != 0 && promised != self.len {
            return Err(Doubt::Length(format!(
                "it should hold {promised} bytes and holds {}",
                self.len
            )));
        }
        checksum(&self.frame.decoder)
    }
}

/// A frame, whose end was found by the headers of its blocks.
struct Lz4 {
    frame: lz4_flex::frame::FrameDecoder<Reader>,
    doubt: Option<Doubt>,
}

impl Lz4 {
    fn new(data: &Data, at: u64) -> io::Result<Self> {
        let extent = lz4::extent(data.look(), at as usize).ok_or(io::ErrorKind::InvalidData)?;
        let bytes = (extent.bytes as u64).min(data.len().saturating_sub(at));
        let frame = data.part(0, at.saturating_add(bytes));
        let frame = frame.ok_or(io::ErrorKind::InvalidData)?;
        let cut = || Doubt::Length("it ends before its end mark".to_owned());
        Ok(Self {
            frame: lz4_flex::frame::FrameDecoder::new(frame.reader(at)),
            doubt: (!extent.whole).then(cut),
        })
    }
}

impl Read for Lz4 {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        use lz4_flex::frame::Error;
        self.frame.read(buf).or_else(|error| {
            // Both are said when all bytes have been given out.
            let inner = error.get_ref().and_then(|error| error.downcast_ref());
            self.doubt = Some(match inner {
                Some(Error::ContentChecksumError) => {
                    Doubt::Bytes("its content checksum (XXH32) is of other bytes".to_owned())
                }
                Some(Error::ContentLengthError { expected, actual }) => Doubt::Length(format!(
                    "it should hold {expected} bytes and holds {actual}"
                )),
                _ => return Err(error),
            });
            Ok(0)
        })
    }
}

impl Member for Lz4 {
    fn offset(&self) -> u64 {
        self.frame.get_ref().offset()
    }

    fn check(&mut self) -> Result<(), Doubt> {
        self.doubt.take().map_or(Ok(()), Err)
    }
}
