//! The note `OSIER` of type 2 in the ELF cores that Osier writes: what was wrong with the snapshot that
//! the core was made from, so that what is made of a damaged file is not taken for a whole one.
//!
//! Its data is text, a line for each thing:
//!
//! ```text
//! anomaly EFFECT TEXT                       EFFECT: bytes, processors
//! lost START LENGTH CAUSE [OFFSET [CODEC]]  physical, in hexadecimal; CAUSE as in rows
//! ```
//!
//! `file-short` has a `+` behind its offset where each further byte would lie at the next offset.
//!
//! Bytes of a lost stretch are not believed where the core has some: a page that was lost in part
//! stands in it filled up with zeros.

use std::fmt::Write as _;

use osier_memory::{Cause, Codec, Filter, PhysAddr, PhysRun, PhysicalMemory};

use crate::anomaly::{Anomaly, Effect};
use crate::extent::Extent;

/// The note's type.
pub(crate) const SOURCE: u32 = 2;

/// What is said before an anomaly of the file that a core was made from.
const OF_SOURCE: &str = "the snapshot that this was made from: ";

/// Memory that a snapshot should hold and does not, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Where.
    pub run: PhysRun,
    /// Why, for its first byte.
    pub cause: Cause,
    /// Whether the file offset of the cause goes along with the address.
    pub along: bool,
}

impl Lost {
    /// A stretch of `memory` that it lacks for this reason.
    pub fn of(memory: &dyn PhysicalMemory, run: PhysRun, cause: Cause) -> Self {
        let last = run.len.saturating_sub(1);
        let along = match (cause, memory.chunk(run.start.plus(last))) {
            (Cause::FileShort { offset }, Err(fault)) if last > 0 => {
                let offset = offset.saturating_add(last);
                fault.cause == Cause::FileShort { offset }
            }
            _ => false,
        };
        Self { run, cause, along }
    }

    /// Why the byte at `pa`, one of the stretch, is missing.
    pub(crate) fn cause_at(&self, pa: PhysAddr) -> Cause {
        match self.cause {
            Cause::FileShort { offset } if self.along => Cause::FileShort {
                offset: offset.saturating_add(pa.since(self.run.start)),
            },
            cause => cause,
        }
    }
}

const CODECS: [Codec; 10] = [
    Codec::Zlib,
    Codec::Lzo,
    Codec::Snappy,
    Codec::Zstd,
    Codec::Xz,
    Codec::Gzip,
    Codec::Lz4,
    Codec::Xpress,
    Codec::Stored,
    Codec::Xbzrle,
];

/// The note's data; `None` when nothing was wrong.
pub(crate) fn source_note<'a>(
    doubts: impl IntoIterator<Item = &'a Anomaly>,
    lost: &[Lost],
) -> Option<Vec<u8>> {
    let mut text = String::new();
    for doubt in doubts {
        let said = doubt.text.strip_prefix(OF_SOURCE).unwrap_or(&doubt.text);
        let line = said.replace(['\n', '\r'], " ");
        let _ = writeln!(text, "anomaly {} {line}", doubt.effect.word());
    }
    for Lost { run, cause, along } in lost {
        let _ = write!(
            text,
            "lost {:#x} {:#x} {}",
            run.start.0,
            run.len,
            cause.word()
        );
        let _ = match cause {
            Cause::FileShort { offset } => {
                write!(text, " {offset:#x}{}", if *along { "+" } else { "" })
            }
            Cause::Decode { offset, codec } => write!(text, " {offset:#x} {codec:?}"),
            Cause::Excluded {
                filter: Filter::Zeros,
            } => write!(text, " zeros"),
            _ => Ok(()),
        };
        text.push('\n');
    }
    (!text.is_empty()).then(|| text.into_bytes())
}

/// What a note says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) anomalies: Vec<Anomaly>,
    pub(crate) lost: Vec<Lost>,
}

impl Source {
    /// Reads the note's data. What it says in a way that is not known is an anomaly itself.
    pub(crate) fn read(data: &[u8]) -> Self {
        let mut found = Self::default();
        let lines = data.split(|&byte| byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            let text = std::str::from_utf8(line).ok();
            if let Some(anomaly) = text.and_then(anomaly) {
                found.anomalies.push(anomaly);
            } else if let Some(lost) = text.and_then(lost) {
                found.lost.push(lost);
            } else {
                let line = osier_text::visible_bytes(line);
                found.anomalies.push(Anomaly::bytes(format!(
                    "{OF_SOURCE}the note of what it lacks has a line that is not known: {line}"
                )));
            }
        }
        found.lost.sort_by_key(|lost| lost.run.start);
        found
    }
}

fn anomaly(line: &str) -> Option<Anomaly> {
    let (effect, text) = line.strip_prefix("anomaly ")?.split_once(' ')?;
    let text = format!("{OF_SOURCE}{}", osier_text::visible_again(text));
    [Effect::Bytes, Effect::Processors]
        .into_iter()
        .find(|known| known.word() == effect)
        .map(|effect| Anomaly { text, effect })
}

fn lost(line: &str) -> Option<Lost> {
    let mut words = line.strip_prefix("lost ")?.split(' ');
    let mut number = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let run = PhysRun {
        start: PhysAddr(number()?),
        len: number()?,
    };
    run.start.0.checked_add(run.len)?;
    let word = words.next()?;
    let more = words.next();
    let along = word == "file-short" && more.is_some_and(|more| more.ends_with('+'));
    let offset = || {
        let digits = more?.strip_prefix("0x")?;
        let digits = digits.strip_suffix('+').filter(|_| along).unwrap_or(digits);
        u64::from_str_radix(digits, 16).ok()
    };
    let cause = match word {
        "file-short" => Cause::FileShort { offset: offset()? },
        "undecodable" => {
            let name = words.next()?;
            let codec = CODECS
                .into_iter()
                .find(|codec| format!("{codec:?}") == name)?;
            Cause::Decode {
                offset: offset()?,
                codec,
            }
        }
        "excluded" if more == Some("zeros") => Cause::Excluded {
            filter: Filter::Zeros,
        },
        "excluded" => Cause::Excluded {
            filter: Filter::DumpLevel,
        },
        "no-ram" => Cause::NoRam,
        "not-captured" => Cause::NotCaptured,
        _ => return None,
    };
    Some(Lost { run, cause, along })
}

/// `extents`, sorted and disjoint, without what is in `lost`, sorted by address.
pub(crate) fn without(extents: Vec<Extent>, lost: &[Lost]) -> Vec<Extent> {
    if lost.is_empty() {
        return extents;
    }
    let mut kept = Vec::with_capacity(extents.len());
    for extent in extents {
        let end = extent.start.saturating_add(extent.len);
        let mut at = extent.start;
        let mut keep = |from: u64, to: u64| {
            if to > from {
                kept.push(Extent {
                    start: from,
                    len: to.saturating_sub(from),
                    offset: extent
                        .offset
                        .saturating_add(from.saturating_sub(extent.start)),
                });
            }
        };
        let near = lost.iter().take_while(|lost| lost.run.start.0 < end);
        for Lost { run, .. } in near.filter(|lost| lost.run.end().0 > extent.start) {
            keep(at, run.start.0.min(end));
            at = at.max(run.end().0);
        }
        keep(at, end);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u64, len: u64) -> PhysRun {
        PhysRun {
            start: PhysAddr(start),
            len,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut lost: Vec<Lost> = CODECS
            .into_iter()
            .zip((0..).step_by(0x1000))
            .map(|(codec, start)| Lost {
                run: run(start, 0x800),
                cause: Cause::Decode { offset: 9, codec },
                along: false,
            })
            .collect();
        for (cause, start) in [
            (Cause::FileShort { offset: 0x77 }, 0x10_0000),
            (Cause::NoRam, 0x20_0000),
            (Cause::NotCaptured, 0x30_0000),
            (
                Cause::Excluded {
                    filter: Filter::Zeros,
                },
                0x40_0000,
            ),
            (
                Cause::Excluded {
                    filter: Filter::DumpLevel,
                },
                0x50_0000,
            ),
        ] {
            lost.push(Lost {
                run: run(start, 0x1000),
                cause,
                along: start == 0x10_0000,
            });
        }
        let doubts = [Anomaly::bytes("cut\nshort"), Anomaly::processors("a note")];
        let note = source_note(&doubts, &lost).unwrap();
        let read = Source::read(&note);
        assert_eq!(read.lost, lost);
        let said: Vec<&str> = read.anomalies.iter().map(|a| a.text.as_str()).collect();
        assert_eq!(
            said,
            [
                "the snapshot that this was made from: cut short",
                "the snapshot that this was made from: a note"
            ]
        );
        // Once more, and nothing is said twice.
        assert_eq!(
            Source::read(&source_note(&read.anomalies, &lost).unwrap()),
            read
        );
        assert_eq!(source_note([], &[]), None);
    }

    #[test]
    fn what_is_not_known_is_not_passed_over() {
        for line in [
            "lost 0x1 0xffffffffffffffff no-ram",
            "lost 1 2 no-ram",
            "else",
            "lost 0x1 0x1 why",
        ] {
            let read = Source::read(line.as_bytes());
            assert!(read.lost.is_empty() && read.anomalies.len() == 1, "{line}");
        }
    }

    #[test]
    fn lost_stretches_are_cut_out() {
        let extents = vec![
            Extent {
                start: 0x1000,
                len: 0x3000,
                offset: 0x100,
            },
            Extent {
                start: 0x8000,
                len: 0x1000,
                offset: 0x9000,
            },
        ];
        let lost = [run(0x0, 0x1800), run(0x2000, 0x800), run(0x7000, 0x5000)];
        let lost = lost.map(|run| Lost {
            run,
            cause: Cause::NoRam,
            along: false,
        });
        let kept = without(extents, &lost);
        let places: Vec<_> = kept.iter().map(|e| (e.start, e.len, e.offset)).collect();
        assert_eq!(places, [(0x1800, 0x800, 0x900), (0x2800, 0x1800, 0x1900)]);
    }
}
