//! Packages that distributions give out debug information in: the kernel's vmlinux is read out of them as
//! they stand.
//!
//! ```text
//!   .deb, .ddeb   ar: debian-binary, control.tar.*, data.tar.{gz,xz,zst} ──► tar ──► …/vmlinux-RELEASE
//!   .rpm          lead, two headers, cpio.{gz,xz,lzma,zst} ──► cpio (newc) ──► …/RELEASE/vmlinux
//! ```
//!
//! Sources: `deb(5)`; `rpm(8)`'s file format, version 3; `cpio(5)`. Nothing is written to the disk, and of a package no
//! more is held than the vmlinux itself.

use std::io::{self, BufRead, BufReader, Read};

use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;
use ruzstd::decoding::StreamingDecoder;

/// The largest vmlinux that is taken out of a package.
const LARGEST: u64 = 2 << 30;
/// The most memory that a decoder may take for its window.
const WINDOW: u64 = 256 << 20;
/// Longest name in an archive.
const NAME: usize = 4096;
/// More members than any package has.
const MEMBERS: usize = 1 << 20;

/// A kind of package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Package {
    /// Debian's, and Ubuntu's `.ddeb`.
    Deb,
    /// Red Hat's, Fedora's, SUSE's.
    Rpm,
}

fn damaged(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl Package {
    /// Recognises a package by its first bytes.
    pub(crate) fn detect(head: &[u8]) -> Option<Self> {
        let ar = head.strip_prefix(b"!<arch>\n");
        if ar.is_some_and(|first| first.starts_with(b"debian-binary")) {
            return Some(Self::Deb);
        }
        head.starts_with(&[0xed, 0xab, 0xee, 0xdb])
            .then_some(Self::Rpm)
    }

    /// The vmlinux in the package: the first ELF file that is called `vmlinux` or `vmlinux-RELEASE`.
    ///
    /// # Errors
    ///
    /// There is none, the package is damaged, or it is packed in a way that is not read.
    pub(crate) fn vmlinux(self, mut file: impl BufRead) -> io::Result<Vec<u8>> {
        let found = match self {
            Self::Deb => {
                let bytes = data_of(&mut file)?;
                in_tar(unpacked(file.take(bytes))?)?
            }
            Self::Rpm => {
                pass_headers(&mut file)?;
                in_cpio(&mut unpacked(file)?)?
            }
        };
        let none = "no vmlinux is in this package; of a kernel's packages the one with its debug information has it";
        found.ok_or_else(|| damaged(none))
    }
}

/// Goes on to the member `data.tar.*` of a Debian package; its bytes.
fn data_of(file: &mut impl BufRead) -> io::Result<u64> {
    let mut magic = [0; 8];
    file.read_exact(&mut magic)?;
    for _ in 0..MEMBERS {
        let mut header = [0; 60];
        match file.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            outcome => outcome?,
        }
        let field = |range: std::ops::Range<usize>| {
            let text = header.get(range).unwrap_or_default();
            std::str::from_utf8(text).unwrap_or_default().trim()
        };
        let bytes = field(48..58).parse::<u64>();
        let bytes = bytes.map_err(|_| damaged("a member of the package has no size"))?;
        if field(0..16).trim_end_matches('/').starts_with("data.tar") {
            return Ok(bytes);
        }
        pass(file, bytes.saturating_add(bytes & 1))?;
    }
    Err(damaged("the package has no member data.tar"))
}

/// Passes over the lead and both headers of an RPM package.
fn pass_headers(file: &mut impl BufRead) -> io::Result<()> {
    const LEAD: u64 = 96;
    pass(file, LEAD)?;
    for signature in [true, false] {
        let mut intro = [0; 16];
        file.read_exact(&mut intro)?;
        let (magic, rest) = intro.split_at(8);
        if !magic.starts_with(&[0x8e, 0xad, 0xe8]) {
            return Err(damaged("a header of the package does not start as one"));
        }
        let number = |at: usize| {
            let bytes = rest.get(at..).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| u64::from(u32::from_be_bytes(*bytes)))
        };
        let bytes = number(0).saturating_mul(16).saturating_add(number(4));
        // The first is filled up to 8 bytes.
        let over = if signature {
            bytes.wrapping_neg() & 7
        } else {
            0
        };
        pass(file, bytes.saturating_add(over))?;
    }
    Ok(())
}

/// Reads `bytes` and drops them.
fn pass(file: &mut impl Read, bytes: u64) -> io::Result<()> {
    let passed = io::copy(&mut file.take(bytes), &mut io::sink())?;
    if passed == bytes {
        Ok(())
    } else {
        Err(damaged("the package is cut short"))
    }
}

/// What `file` holds, unpacked, whatever it was packed with.
fn unpacked<'a>(mut file: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let head = file.fill_buf()?;
    let starts = |magic: &[u8]| head.starts_with(magic);
    if starts(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        let stream = Stream::new_stream_decoder(WINDOW, 0)?;
        return Ok(Box::new(XzDecoder::new_stream(file, stream)));
    }
    if starts(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let decoder = StreamingDecoder::new(file);
        return Ok(Box::new(decoder.map_err(io::Error::other)?));
    }
    if starts(&[0x1f, 0x8b]) {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(file)));
    }
    if starts(&[0x5d, 0, 0]) {
        let stream = Stream::new_lzma_decoder(WINDOW)?;
        return Ok(Box::new(XzDecoder::new_stream(file, stream)));
    }
    if starts(b"070701") || head.get(257..262) == Some(b"ustar") {
        return Ok(Box::new(file));
    }
    let way = if starts(b"BZh") {
        "bzip2"
    } else {
        "a compression that is not known"
    };
    Err(damaged(format!(
        "the package is packed with {way}; unpack it and import its vmlinux"
    )))
}

/// Whether a file of this path may be a vmlinux.
fn is_vmlinux(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name == b"vmlinux" || name.starts_with(b"vmlinux-")
}

/// The whole of a file of `bytes` bytes, when it is an ELF file; it is read no further than that takes to see.
fn elf(mut file: impl Read, bytes: u64) -> io::Result<Option<Vec<u8>>> {
    const MAGIC: &[u8] = b"\x7fELF";
    let mut all = Vec::new();
    let head = MAGIC.len() as u64;
    file.by_ref().take(head).read_to_end(&mut all)?;
    if all != MAGIC {
        return Ok(None);
    }
    if bytes > LARGEST {
        return Err(damaged(format!(
            "its vmlinux has {bytes} bytes, more than the {LARGEST} that are taken out of a package; unpack it and \
             import the file"
        )));
    }
    file.take(bytes.saturating_sub(head))
        .read_to_end(&mut all)?;
    if all.len() as u64 == bytes {
        Ok(Some(all))
    } else {
        Err(damaged("the package is cut short"))
    }
}

fn in_tar(data: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut archive = tar::Archive::new(data);
    for entry in archive.entries()?.take(MEMBERS) {
        let entry = entry?;
        let bytes = entry.size();
        if entry.header().entry_type().is_file()
            && is_vmlinux(&entry.path_bytes())
            && let Some(found) = elf(entry, bytes)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn in_cpio(data: &mut dyn Read) -> io::Result<Option<Vec<u8>>> {
    const HEADER: usize = 110;
    const FORMAT: u64 = 0o170_000;
    const REGULAR: u64 = 0o100_000;
    let mut data = BufReader::new(data);
    for _ in 0..MEMBERS {
        let mut header = [0; HEADER];
        data.read_exact(&mut header)?;
        if !header.starts_with(b"070701") && !header.starts_with(b"070702") {
            return Err(damaged(
                "the package's archive is no cpio archive with names (newc)",
            ));
        }
        let field = |nth: usize| {
            let start = nth.saturating_mul(8).saturating_add(6);
            let text = header.get(start..start.saturating_add(8));
            let text = text.and_then(|text| std::str::from_utf8(text).ok());
            let number = text.and_then(|text| u64::from_str_radix(text, 16).ok());
            number.ok_or_else(|| {
                damaged("a field of the package's archive should be a number and is not")
            })
        };
        let (mode, bytes, name) = (field(1)?, field(6)?, field(11)?);
        let room = usize::try_from(name).unwrap_or(usize::MAX);
        if room > NAME {
            return Err(damaged(
                "a name in the package's archive is longer than any",
            ));
        }
        let mut path = vec![0; room];
        data.read_exact(&mut path)?;
        // Header and name, and the file, are each filled up to 4 bytes.
        pass(
            &mut data,
            (HEADER as u64).saturating_add(name).wrapping_neg() & 3,
        )?;
        while path.last() == Some(&0) {
            path.pop();
        }
        if path == b"TRAILER!!!" {
            return Ok(None);
        }
        let mut file = data.by_ref().take(bytes);
        if mode & FORMAT == REGULAR
            && is_vmlinux(&path)
            && let Some(found) = elf(file.by_ref(), bytes)?
        {
            return Ok(Some(found));
        }
        let rest = file.limit();
        pass(&mut data, rest.saturating_add(bytes.wrapping_neg() & 3))?;
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
