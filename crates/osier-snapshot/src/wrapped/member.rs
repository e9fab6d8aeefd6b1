//! What a compressed file is a row of: gzip's members, Zstandard's and LZ4's frames, the streams of
//! xz and bzip2, lzop's files. Each carries checksums, which are held against what it unpacks to.
//!
//! Sources: RFC 1950, 1951, 1952 and 8878; The .xz File Format 1.2.1; LZ4 Frame Format Description
//! 1.6.4; lzop 1.04's `src/lzop.c`.

use std::io::{self, Read};

use flate2::bufread::DeflateDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::{Wrapping, gzip, lz4, lzop, xz};

/// One member, which gives its unpacked bytes and then nothing more.
pub(super) trait Member<'a>: Read {
    /// What of the file was not used: after the end, what is behind the member.
    fn rest(&self) -> &'a [u8];

    /// After the end: whether the member is whole, and has the bytes that its checksums stand for.
    ///
    /// # Errors
    ///
    /// What contradicts what. [`Doubt::Bytes`] leaves the length right, so that the next member
    /// lies where it should.
    fn check(&mut self) -> Result<(), Doubt>;
}

/// What a member's own sums say against it.
pub(super) enum Doubt {
    /// As many bytes as there should be, but others.
    Bytes(String),
    /// Too few bytes, or too many.
    Length(String),
}

/// The member that `file` starts with.
///
/// # Errors
///
/// Its header is none.
pub(super) fn start<'a>(
    wrapping: Wrapping,
    file: &'a [u8],
) -> io::Result<Box<dyn Member<'a> + 'a>> {
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    Ok(match wrapping {
        Wrapping::Gzip => {
            let header = gzip::header_bytes(file).ok_or_else(cut)?;
            let data = file.get(header..).ok_or_else(cut)?;
            Box::new(Deflated::new(data, Sum::Crc32(crc32fast::Hasher::new())))
        }
        Wrapping::Zlib => {
            let data = file.get(2..).ok_or_else(cut)?;
            Box::new(Deflated::new(data, Sum::Adler32(adler2::Adler32::new())))
        }
        Wrapping::Xz => Box::new(Xz(xz::decoder(file)?)),
        Wrapping::Bzip2 => Box::new(Bzip2(bzip2::bufread::BzDecoder::new(file))),
        Wrapping::Zstd => Box::new(Zstd {
            frame: StreamingDecoder::new(file).map_err(io::Error::other)?,
            len: 0,
        }),
        Wrapping::Lz4 => Box::new(Lz4::new(file)?),
        Wrapping::Lzop => Box::new(lzop::Reader::new(file)),
        Wrapping::Tar => return Err(io::ErrorKind::Unsupported.into()),
    })
}

/// Deflated bytes, behind gzip's header or zlib's.
struct Deflated<'a> {
    inflate: DeflateDecoder<&'a [u8]>,
    /// What is behind the trailer, once that was passed.
    behind: Option<&'a [u8]>,
    sum: Sum,
    len: u64,
}

enum Sum {
    Crc32(crc32fast::Hasher),
    Adler32(adler2::Adler32),
}

impl<'a> Deflated<'a> {
    fn new(data: &'a [u8], sum: Sum) -> Self {
        Self {
            inflate: DeflateDecoder::new(data),
            behind: None,
            sum,
            len: 0,
        }
    }
}

impl Read for Deflated<'_> {
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

impl<'a> Member<'a> for Deflated<'a> {
    fn rest(&self) -> &'a [u8] {
        self.behind.unwrap_or(self.inflate.get_ref())
    }

    fn check(&mut self) -> Result<(), Doubt> {
        let rest = *self.inflate.get_ref();
        let cut = || Doubt::Length("it ends before its checksum".to_owned());
        let (name, sum, wanted) = match &self.sum {
            Sum::Crc32(crc) => {
                let (wanted, rest) = rest.split_first_chunk().ok_or_else(cut)?;
                let (size, rest) = rest.split_first_chunk().ok_or_else(cut)?;
                self.behind = Some(rest);
                let size = u32::from_le_bytes(*size);
                if size != self.len as u32 {
                    return Err(Doubt::Length(format!(
                        "it should hold {size} bytes (modulo 4 GiB) and holds {}",
                        self.len
                    )));
                }
                let wanted = u32::from_le_bytes(*wanted);
                ("CRC-32", crc.clone().finalize(), wanted)
            }
            Sum::Adler32(adler) => {
                let (wanted, rest) = rest.split_first_chunk().ok_or_else(cut)?;
                self.behind = Some(rest);
                ("Adler-32", adler.checksum(), u32::from_be_bytes(*wanted))
            }
        };
        differs(name, sum, wanted)
    }
}

/// The word on a checksum that differs.
fn differs(name: &str, sum: u32, wanted: u32) -> Result<(), Doubt> {
    if sum == wanted {
        return Ok(());
    }
    let text = format!("its {name} is {sum:#010x} and should be {wanted:#010x}");
    Err(Doubt::Bytes(text))
}

/// liblzma compares the check of each block, the sizes and the index.
struct Xz<'a>(liblzma::bufread::XzDecoder<&'a [u8]>);

impl Read for Xz<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<'a> Member<'a> for Xz<'a> {
    fn rest(&self) -> &'a [u8] {
        self.0.get_ref()
    }

    fn check(&mut self) -> Result<(), Doubt> {
        Ok(())
    }
}

/// The decoder compares the CRC of each block and of the stream.
struct Bzip2<'a>(bzip2::bufread::BzDecoder<&'a [u8]>);

impl Read for Bzip2<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<'a> Member<'a> for Bzip2<'a> {
    fn rest(&self) -> &'a [u8] {
        self.0.get_ref()
    }

    fn check(&mut self) -> Result<(), Doubt> {
        Ok(())
    }
}

struct Zstd<'a> {
    frame: StreamingDecoder<&'a [u8], FrameDecoder>,
    len: u64,
}

impl Read for Zstd<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.frame.read(buf)?;
        self.len = self.len.saturating_add(n as u64);
        Ok(n)
    }
}

impl<'a> Member<'a> for Zstd<'a> {
    fn rest(&self) -> &'a [u8] {
        self.frame.get_ref()
    }

    fn check(&mut self) -> Result<(), Doubt> {
        let promised = self.frame.decoder.content_size();
        if promised != 0 && promised != self.len {
            return Err(Doubt::Length(format!(
                "it should hold {promised} bytes and holds {}",
                self.len
            )));
        }
        zstd_checksum(&self.frame.decoder)
    }
}

/// Holds the content checksum of a frame that was read whole against its bytes.
pub(super) fn zstd_checksum(frame: &FrameDecoder) -> Result<(), Doubt> {
    match (
        frame.get_checksum_from_data(),
        frame.get_calculated_checksum(),
    ) {
        (Some(wanted), Some(sum)) => differs("content checksum (XXH64)", sum, wanted),
        _ => Ok(()), // the frame has none
    }
}

/// A frame, whose end was found by the headers of its blocks.
struct Lz4<'a> {
    frame: lz4_flex::frame::FrameDecoder<&'a [u8]>,
    file: &'a [u8],
    /// Bytes of the frame.
    bytes: usize,
    doubt: Option<Doubt>,
}

impl<'a> Lz4<'a> {
    fn new(file: &'a [u8]) -> io::Result<Self> {
        let extent = lz4::extent(file).ok_or(io::ErrorKind::InvalidData)?;
        let frame = file.get(..extent.bytes).unwrap_or(file);
        let cut = || Doubt::Length("it ends before its end mark".to_owned());
        Ok(Self {
            frame: lz4_flex::frame::FrameDecoder::new(frame),
            file,
            bytes: frame.len(),
            doubt: (!extent.whole).then(cut),
        })
    }
}

impl Read for Lz4<'_> {
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

impl<'a> Member<'a> for Lz4<'a> {
    fn rest(&self) -> &'a [u8] {
        let read = self.bytes.saturating_sub(self.frame.get_ref().len());
        self.file.get(read..).unwrap_or_default()
    }

    fn check(&mut self) -> Result<(), Doubt> {
        self.doubt.take().map_or(Ok(()), Err)
    }
}
