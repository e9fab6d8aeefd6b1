//! lzop: a header, and blocks of LZO1X one after another, big-endian. libvirt may pack a saved
//! machine with it.
//!
//! Source: lzop 1.04's `src/lzop.c` and `src/c_ansi.ch` (`read_header`, `x_decompress`). Checksums
//! are passed over.

use std::io::{self, Read};

/// The first bytes of a file.
pub(super) const MAGIC: &[u8] = b"\x89LZO\0\r\n\x1a\n";

// Flags of the header.
const ADLER32_PLAIN: u32 = 1;
const ADLER32_PACKED: u32 = 2;
const EXTRA: u32 = 0x40;
const CRC32_PLAIN: u32 = 0x100;
const CRC32_PACKED: u32 = 0x200;
const FILTER: u32 = 0x800;

/// The longest block that lzop writes.
const BLOCK: u32 = 64 << 20;

/// Decodes one block after another.
pub(super) struct Reader<R> {
    packed: R,
    /// The header's flags; `None` before the header, which is read with the first block.
    flags: Option<u32>,
    block: Vec<u8>,
    /// How much of `block` has been given out.
    given: usize,
    ended: bool,
}

impl<R: Read> Reader<R> {
    pub(super) const fn new(packed: R) -> Self {
        Self {
            packed,
            flags: None,
            block: Vec::new(),
            given: 0,
            ended: false,
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
        self.bytes::<4>()?; // a checksum
        if flags & EXTRA != 0 {
            let extra = self.word()?;
            self.pass(u64::from(extra).saturating_add(4))?;
        }
        Ok(flags)
    }

    fn pass(&mut self, bytes: u64) -> io::Result<()> {
        let passed = io::copy(&mut self.packed.by_ref().take(bytes), &mut io::sink())?;
        if passed < bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
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
        let words = |mask: u32| u64::from((flags & mask).count_ones()).saturating_mul(4);
        self.pass(words(ADLER32_PLAIN | CRC32_PLAIN))?;
        if packed < len {
            self.pass(words(ADLER32_PACKED | CRC32_PACKED))?;
        }
        let mut source = Vec::new();
        let wanted = u64::from(packed);
        if self.packed.by_ref().take(wanted).read_to_end(&mut source)? as u64 != wanted {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if packed == len {
            self.block = source; // stored
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
        self.given = 0;
        Ok(true)
    }
}

impl<R: Read> Read for Reader<R> {
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
        let n = left.len().min(buf.len());
        if let (Some(into), Some(from)) = (buf.get_mut(..n), left.get(..n)) {
            into.copy_from_slice(from);
        }
        self.given = self.given.saturating_add(n);
        Ok(n)
    }
}

fn bad(expected: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("expected {expected}"))
}
