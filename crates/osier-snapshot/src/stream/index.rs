//! A stream's index in a file, so that a second opening costs no pass: `NAME-HASH.osx`.
//!
//! After the header of every kept file, little-endian: the length of the contents and their CRC-32;
//! the contents; padding to eight bytes; the page entries, eight bytes each. The entries are kept
//! in memory as they lie in the file.

use std::path::Path;

use osier_memory::{CpuState, Segment};

use super::contents::{Broken, Contents};
use super::memory::Entries;
use super::pages::{Block, PAGE, Sent};
use super::place::Clock;
use super::xbzrle::Delta;
use crate::anomaly::{Anomaly, Effect};
use crate::cursor::Cursor;
use crate::data::Data;
use crate::error::Malformed;
use crate::kept::Kept;

/// The last byte is the version: raise it with every change to this file's layout or to what the
/// pass makes of a stream.
const MAGIC: [u8; 8] = *b"OSIERSX\x06";
/// Where a stream's index lies.
pub(crate) struct IndexFile {
    kept: Kept,
    stream_bytes: u64,
}

impl IndexFile {
    /// The place in `dir` for the stream at `path`, whose bytes are `data`.
    pub(crate) fn of(dir: &Path, path: &Path, data: &Data) -> Option<Self> {
        Some(Self {
            kept: Kept::of(dir, path, data, "osx")?,
            stream_bytes: data.len(),
        })
    }

    /// The index, when it is there and belongs to the stream.
    pub(crate) fn load(&self) -> Option<(Contents, Entries)> {
        let kept = self.kept.load(MAGIC)?;
        let (contents, at) = self.parse(&kept).ok()??;
        Some((contents, Entries::Kept(kept, at)))
    }

    fn parse(&self, file: &[u8]) -> Result<Option<(Contents, usize)>, Malformed> {
        let mut at = Cursor::new(file, 0);
        let len = usize::try_from(at.le64("a length")?).unwrap_or(usize::MAX);
        let crc = at.le64("a checksum")?;
        let mut body = at;
        if u64::from(crc32fast::hash(&at.take(len, "the contents")?)) != crc {
            return Ok(None);
        }
        let contents = decode(&mut body)?;
        let padding = at.at().wrapping_neg() & 7;
        at.pass(padding, "padding")?;
        let pages = contents
            .blocks
            .iter()
            .fold(0_u64, |sum, block| sum.saturating_add(block.bytes / PAGE));
        let fits = at.left() as u64 == pages.saturating_mul(8) && pages <= self.stream_bytes;
        Ok(fits.then_some((contents, at.at())))
    }

    /// Writes the index. One that cannot be written costs time, not answers.
    pub(crate) fn save(&self, contents: &Contents, entries: &[u64]) {
        let body = encode(contents);
        let padding = body.len().wrapping_neg() & 7; // the header and two words are whole words
        let written = self.kept.save(MAGIC, |file| {
            file.write_all(&(body.len() as u64).to_le_bytes())?;
            file.write_all(&u64::from(crc32fast::hash(&body)).to_le_bytes())?;
            file.write_all(&body)?;
            file.write_all([0; 8].get(..padding).unwrap_or_default())?;
            for entry in entries {
                file.write_all(&entry.to_le_bytes())?;
            }
            Ok(())
        });
        drop(written);
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

fn texts(out: &mut Vec<u8>, list: &[String]) {
    out.extend((list.len() as u32).to_le_bytes());
    for item in list {
        text(out, item);
    }
}

fn words(out: &mut Vec<u8>, words: &[u64]) {
    for word in words {
        out.extend(word.to_le_bytes());
    }
}

fn optional(out: &mut Vec<u8>, value: Option<u64>) {
    words(
        out,
        &[u64::from(value.is_some()), value.unwrap_or_default()],
    );
}

fn encode(contents: &Contents) -> Vec<u8> {
    let mut out = Vec::new();
    texts(&mut out, contents.machine.as_slice());
    texts(&mut out, &contents.capabilities);
    out.extend((contents.blocks.len() as u32).to_le_bytes());
    for block in &contents.blocks {
        text(&mut out, &block.name);
        words(&mut out, &[block.bytes, block.first, block.absent]);
        optional(&mut out, block.plugged);
    }
    texts(&mut out, &contents.sections);
    let sent = contents.sent;
    words(
        &mut out,
        &[
            u64::from(contents.footers),
            contents.parts,
            sent.raw,
            sent.fill,
            sent.compressed,
            sent.delta,
            sent.repeated,
            contents.vmdesc_bytes,
        ],
    );
    optional(&mut out, contents.clock.map(|clock| clock.below));
    optional(&mut out, contents.clock.map(|clock| clock.above));
    optional(&mut out, contents.broken.map(|broken| broken.at));
    words(
        &mut out,
        &[contents.broken.is_some_and(|broken| broken.cut).into()],
    );
    text(&mut out, &contents.cpu_layout);
    anomalies(&mut out, &contents.anomalies);
    words(&mut out, &[contents.deltas.len() as u64]);
    for delta in &contents.deltas {
        words(&mut out, &[delta.data, delta.base]);
    }
    out.extend((contents.cpus.len() as u32).to_le_bytes());
    for cpu in &contents.cpus {
        encode_cpu(&mut out, cpu);
    }
    out
}

fn encode_cpu(out: &mut Vec<u8>, cpu: &CpuState) {
    words(out, &[u64::from(cpu.index)]);
    let general = cpu.general.unwrap_or_default(); // the section has them all
    words(out, &general);
    words(out, &[cpu.rip, cpu.cr3, cpu.a20_mask]);
    for register in [cpu.rflags, cpu.cr0, cpu.cr2, cpu.cr4] {
        optional(out, register);
    }
    optional(out, cpu.cpl.map(u64::from));
    optional(out, cpu.efer);
    optional(out, cpu.long_mode.map(u64::from));
    optional(out, cpu.lstar);
    optional(out, cpu.kernel_gs_base);
    let s = &cpu.segments;
    for segment in [
        &s.es, &s.cs, &s.ss, &s.ds, &s.fs, &s.gs, &s.ldt, &s.tr, &s.gdt, &s.idt,
    ] {
        optional(out, segment.selector.map(u64::from));
        optional(out, segment.base);
        optional(out, segment.limit.map(u64::from));
        optional(out, segment.flags.map(u64::from));
    }
}

fn read_text(at: &mut Cursor<'_>) -> Result<String, Malformed> {
    let len = at.le32("a text's length")? as usize;
    let here = at.at() as u64;
    let bytes = at.take(len, "a text")?;
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed::new(here, "text"))
}

fn read_texts(at: &mut Cursor<'_>) -> Result<Vec<String>, Malformed> {
    let count = at.le32("a list's length")?;
    (0..count).map(|_| read_text(at)).collect()
}

fn anomalies(out: &mut Vec<u8>, list: &[Anomaly]) {
    out.extend((list.len() as u32).to_le_bytes());
    for anomaly in list {
        text(out, anomaly.effect.word());
        text(out, &anomaly.text);
    }
}

fn read_anomalies(at: &mut Cursor<'_>) -> Result<Vec<Anomaly>, Malformed> {
    let count = at.le32("a list's length")?;
    let mut one = |_| {
        let effect = read_text(at)?;
        let effects = [Effect::Harmless, Effect::Processors];
        let known = effects.into_iter().find(|known| known.word() == effect);
        Ok(Anomaly {
            effect: known.unwrap_or(Effect::Bytes),
            text: read_text(at)?,
        })
    };
    (0..count).map(&mut one).collect()
}

fn read_optional(at: &mut Cursor<'_>) -> Result<Option<u64>, Malformed> {
    let there = at.le64("whether a word is there")? != 0;
    let value = at.le64("a word")?;
    Ok(there.then_some(value))
}

fn decode(at: &mut Cursor<'_>) -> Result<Contents, Malformed> {
    const WHAT: &str = "a word";
    let mut contents = Contents {
        machine: read_texts(at)?.pop(),
        capabilities: read_texts(at)?,
        ..Contents::default()
    };
    for _ in 0..at.le32("the number of blocks")? {
        contents.blocks.push(Block {
            name: read_text(at)?,
            bytes: at.le64(WHAT)?,
            first: at.le64(WHAT)?,
            absent: at.le64(WHAT)?,
            plugged: read_optional(at)?,
        });
    }
    contents.sections = read_texts(at)?;
    contents.footers = at.le64(WHAT)? != 0;
    contents.parts = at.le64(WHAT)?;
    contents.sent = Sent {
        raw: at.le64(WHAT)?,
        fill: at.le64(WHAT)?,
        compressed: at.le64(WHAT)?,
        delta: at.le64(WHAT)?,
        repeated: at.le64(WHAT)?,
    };
    contents.vmdesc_bytes = at.le64(WHAT)?;
    let clock = (read_optional(at)?, read_optional(at)?);
    contents.clock = match clock {
        (Some(below), Some(above)) => Some(Clock { below, above }),
        _ => None,
    };
    let broken = read_optional(at)?;
    let cut = at.le64(WHAT)? != 0;
    contents.broken = broken.map(|at| Broken { at, cut });
    contents.cpu_layout = read_text(at)?;
    contents.anomalies = read_anomalies(at)?;
    for _ in 0..at.le64("the number of deltas")? {
        contents.deltas.push(Delta {
            data: at.le64(WHAT)?,
            base: at.le64(WHAT)?,
        });
    }
    for _ in 0..at.le32("the number of processors")? {
        contents.cpus.push(decode_cpu(at)?);
    }
    Ok(contents)
}

fn decode_cpu(at: &mut Cursor<'_>) -> Result<CpuState, Malformed> {
    let mut next = || at.le64("a register");
    let mut cpu = CpuState {
        index: next()? as u32,
        ..CpuState::default()
    };
    let mut general = [0; 16];
    for slot in &mut general {
        *slot = next()?;
    }
    cpu.general = Some(general);
    for slot in [&mut cpu.rip, &mut cpu.cr3, &mut cpu.a20_mask] {
        *slot = next()?;
    }
    let mut optional = || read_optional(at);
    for slot in [&mut cpu.rflags, &mut cpu.cr0, &mut cpu.cr2, &mut cpu.cr4] {
        *slot = optional()?;
    }
    cpu.cpl = optional()?.map(|level| level as u8);
    cpu.efer = optional()?;
    cpu.long_mode = optional()?.map(|long| long != 0);
    cpu.lstar = optional()?;
    cpu.kernel_gs_base = optional()?;
    let s = &mut cpu.segments;
    for slot in [
        &mut s.es, &mut s.cs, &mut s.ss, &mut s.ds, &mut s.fs, &mut s.gs, &mut s.ldt, &mut s.tr,
        &mut s.gdt, &mut s.idt,
    ] {
        *slot = Segment {
            selector: optional()?.map(|selector| selector as u16),
            base: optional()?,
            limit: optional()?.map(|limit| limit as u32),
            flags: optional()?.map(|flags| flags as u32),
        };
    }
    Ok(cpu)
}
