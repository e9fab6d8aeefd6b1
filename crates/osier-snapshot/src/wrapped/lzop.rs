//! lzop: a header, and blocks of LZO1X one after another, big-endian. libvirt may pack a saved
//! machine with it.
//!
//! Up to four checksums stand before a block: Adler-32 and CRC-32 of what it unpacks to, then of what
//! is packed, the latter only when it is. A block that is not what its checksums stand for is given out
//! and said.
//!
//! Source: lzop 1.04's `src/lzop.c` and `src/c_ansi.ch` (`read_header`, `x_decompress`).

use std::io::{self, Read, Seek, SeekFrom};

use super::member::{Doubt, Member, Own};
use crate::data::{self, Data};
use crate::sweep;

/// The first bytes of a file.
pub(super) const MAGIC: &[u8] = b"\x89LZO\0\r\n\x1a\n";

// Flags of the header.
const ADLER32_PLAIN: u32 = 1;
const ADLER32_PACKED: u32 = 2;
const EXTRA: u32 = 0x40;
const CRC32_PLAIN: u32 = 0x100;
const CRC32_PACKED: u32 = 0x200;
const FILTER: u32 = 0x800;
const HEADER_CRC32: u32 = 0x1000;

/// The longest block that lzop writes.
const BLOCK: u32 = 64 << 20;

/// Decodes one block after another.
pub(super) struct Reader {
    data: Data,
    packed: data::Reader,
    /// The header's flags; `None` before the header, which is read with the first block.
    flags: Option<u32>,
    block: Vec<u8>,
    /// How much of `block` has been given out.
    given: usize,
    ended: bool,
    /// Blocks read so far, and those that are not what their checksums stand for.
    blocks: u64,
    doubtful: Vec<u64>,
}

impl Reader {
    /// Decodes the file at `at` of `data`.
    pub(super) fn new(data: &Data, at: u64) -> Self {
        Self {
            data: data.clone(),
            packed: data.reader(at),
            flags: None,
            block: Vec::new(),
            given: 0,
            ended: false,
            blocks: 0,
            doubtful: Vec::new(),
        }
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.packed.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn word(&mut self) -> io::Result<u32> {
        self.bytes().map(u32::from_be_bytes)
    }

    /// Passes the header; returns its flags.
    fn header(&mut self) -> io::Result<u32> {
        const LEVEL: u16 = 0x940;
        if self.bytes::<9>()? != MAGIC {
            return Err(bad("an lzop header"));
        }
        let start = self.packed.offset();
        let version = u16::from_be_bytes(self.bytes()?);
        self.bytes::<2>()?; // the library's version
        if version >= LEVEL {
            self.bytes::<2>()?; // the version needed
        }
        let [method] = self.bytes()?;
        if !(1..=3).contains(&method) {
            return Err(bad("a method of LZO1X"));
        }
        if version >= LEVEL {
            self.bytes::<1>()?; // the level
        }
        let flags = self.word()?;
        if flags & FILTER != 0 {
            return Err(bad("an lzop file without a filter"));
        }
        self.bytes::<8>()?; // mode and time
        if version >= LEVEL {
            self.bytes::<4>()?; // the time's upper half
        }
        let [name] = self.bytes()?;
        self.pass(name.into())?;
        let bytes = self.packed.offset().saturating_sub(start);
        let header = self.data.look().some(start as usize, bytes as usize);
        let header = header.into_owned();
        let sum = Some(self.word()?);
        let sums = if flags & HEADER_CRC32 == 0 {
            Sums {
                adler32: sum,
                crc32: None,
            }
        } else {
            Sums {
                adler32: None,
                crc32: sum,
            }
        };
        if !sums.fit(&header) {
            return Err(bad("an lzop header that its checksum stands for"));
        }
        if flags & EXTRA != 0 {
            let extra = self.word()?;
            self.pass(u64::from(extra).saturating_add(4))?;
        }
        Ok(flags)
    }

    fn pass(&mut self, bytes: u64) -> io::Result<()> {
        let to = self.packed.offset().saturating_add(bytes);
        if to > self.data.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.packed.seek(SeekFrom::Start(to)).map(drop)
    }

    /// The checksums that the header's flags announce: Adler-32, CRC-32.
    fn sums(&mut self, masks: [u32; 2]) -> io::Result<Sums> {
        let flags = self.flags.unwrap_or_default();
        let mut word = |mask| (flags & mask != 0).then(|| self.word()).transpose();
        let [adler32, crc32] = masks;
        Ok(Sums {
            adler32: word(adler32)?,
            crc32: word(crc32)?,
        })
    }

    /// Decodes the next block; `false` at the end.
    fn next(&mut self) -> io::Result<bool> {
        let flags = match self.flags {
            Some(flags) => flags,
            None => self.header()?,
        };
        self.flags = Some(flags);
        let len = self.word()?;
        if len == 0 {
            return Ok(false);
        }
        let packed = self.word()?;
        if len > BLOCK || packed > len {
            return Err(bad("a block of at most 64 MiB"));
        }
        let plain = self.sums([ADLER32_PLAIN, CRC32_PLAIN])?;
        let mut stored = Sums::default();
        if packed < len {
            stored = self.sums([ADLER32_PACKED, CRC32_PACKED])?;
        }
        let left = self.data.len().saturating_sub(self.packed.offset());
        if u64::from(packed) > left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut source = vec![0; packed as usize];
        self.packed.read_exact(&mut source)?;
        let fits = stored.fit(&source);
        if packed == len {
            self.block = source;
        } else {
            // LZO makes at most 255 bytes of one.
            if len / 256 > packed {
                return Err(bad("a block that its bytes can make"));
            }
            self.block.resize(len as usize, 0);
            if lzo::decompress_into(&source, &mut self.block) != Ok(len as usize) {
                return Err(bad("a block of LZO1X"));
            }
        }
        if !fits || !plain.fit(&self.block) {
            self.doubtful.push(self.blocks);
        }
        self.blocks = self.blocks.saturating_add(1);
        self.given = 0;
        Ok(true)
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.given >= self.block.len() {
            if self.ended {
                return Ok(0);
            }
            if !self.next()? {
                self.ended = true;
                return Ok(0);
            }
        }
        let left = self.block.get(self.given..).unwrap_or_default();
        let n = sweep::copy(left, buf);
        self.given = self.given.saturating_add(n);
        Ok(n)
    }
}

impl Member for Reader {
    fn offset(&self) -> u64 {
        self.packed.offset()
    }

    fn check(&mut self) -> Result<(), Doubt> {
        let Some(first) = self.doubtful.first() else {
            return Ok(());
        };
        Err(Doubt::Bytes(format!(
            "{} of its {} blocks are not what their checksums stand for, the first is number {first}",
            self.doubtful.len(),
            self.blocks
        )))
    }
}

/// The checksums of a stretch, as far as it has some.
#[derive(Clone, Copy, Default)]
struct Sums {
    adler32: Option<u32>,
    crc32: Option<u32>,
}

impl Sums {
    fn fit(self, bytes: &[u8]) -> bool {
        let adler32 = |sum| sum == adler2::adler32_slice(bytes);
        self.adler32.is_none_or(adler32)
            && self.crc32.is_none_or(|sum| sum == crc32fast::hash(bytes))
    }
}

fn bad(expected: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        Own(format!("expected {expected}")),
    )
}
