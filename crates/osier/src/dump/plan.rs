//! Which stretches of memory a file of a process will have, before a byte of it is written.

use std::ops::ControlFlow;

use osier_memory::{PhysAddr, PhysicalMemory};
use osier_osi::{Absent, WalkEnd};

use super::sink::Sink;
use super::{DumpError, Dumped};
use crate::process_memory::{Area, Content, Piece, ProcessMemory, readable};

/// Bytes of a segment that stand side by side.
struct Run {
    len: u64,
    /// `None`: zeros.
    frame: Option<PhysAddr>,
}

/// What a core holds of a stretch of memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// RAM from here on.
    Frame(PhysAddr),
    /// Zeros.
    Zeros,
    /// No bytes.
    Nothing,
}

/// A segment of memory.
#[derive(Default)]
pub(super) struct Segment {
    pub(super) start: u64,
    pub(super) len: u64,
    /// `PF_X`, `PF_W`, `PF_R`.
    pub(super) flags: u32,
    /// Empty in a segment without bytes.
    runs: Vec<Run>,
}

impl Segment {
    /// Whether it has bytes in the file.
    pub(super) fn has_bytes(&self) -> bool {
        !self.runs.is_empty()
    }

    /// How many bytes it has in the file.
    pub(super) fn file_bytes(&self) -> u64 {
        if self.has_bytes() { self.len } else { 0 }
    }

    /// Writes its bytes.
    pub(super) fn write(
        &self,
        sink: &mut Sink<'_>,
        ram: &dyn PhysicalMemory,
    ) -> Result<(), DumpError> {
        for run in &self.runs {
            match run.frame {
                None => sink.zeros(run.len)?,
                Some(pa) => copy(sink, ram, pa, run.len)?,
            }
        }
        Ok(())
    }

    fn push(&mut self, len: u64, frame: Option<PhysAddr>) {
        self.len = self.len.saturating_add(len);
        match self.runs.last_mut() {
            Some(Run {
                len: before,
                frame: None,
            }) if frame.is_none() => {
                *before = before.saturating_add(len);
            }
            Some(Run {
                len: before,
                frame: Some(last),
            }) if frame == Some(last.plus(*before)) => {
                *before = before.saturating_add(len);
            }
            _ => self.runs.push(Run { len, frame }),
        }
    }
}

/// Segments that grow from the front.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) segments: Vec<Segment>,
}

impl Plan {
    /// Adds bytes, or a stretch without any.
    pub(super) fn add(&mut self, start: u64, len: u64, flags: u32, content: Held) {
        let last = self.segments.last();
        let goes_on = last.is_some_and(|last| {
            last.start.saturating_add(last.len) == start
                && last.flags == flags
                && last.runs.is_empty() == (content == Held::Nothing)
        });
        if !goes_on {
            self.segments.push(Segment {
                start,
                flags,
                ..Segment::default()
            });
        }
        if let Some(last) = self.segments.last_mut() {
            match content {
                Held::Frame(pa) => last.push(len, Some(pa)),
                Held::Zeros => last.push(len, None),
                Held::Nothing => last.len = last.len.saturating_add(len),
            }
        }
    }
}

/// Whoever wants to see every stretch that is planned.
pub(super) trait Watch {
    /// Shows a stretch of an area, by address.
    fn piece(&mut self, area: &Area, piece: &Piece);
}

/// Nobody.
impl Watch for () {
    fn piece(&mut self, _: &Area, _: &Piece) {}
}

/// Which segments there will be of the memory of a process, whose areas have these `flags`. Every page is read once,
/// to see whether it can be. Of areas that lie over each other the first one counts.
pub(super) fn plan(
    memory: &ProcessMemory<'_>,
    flags: &dyn Fn(&Area) -> u32,
    watch: &mut dyn Watch,
    dumped: &mut Dumped,
) -> Plan {
    let ram = &**memory.space().memory();
    let mut plan = Plan::default();
    let mut covered = 0;
    for area in &memory.areas {
        let flags = flags(area);
        let within = area.range.start.max(covered)..area.range.end;
        covered = covered.max(area.range.end);
        if within.is_empty() {
            continue;
        }
        let end = memory.pieces(area, within, &mut |piece| {
            watch.piece(area, &piece);
            let Piece {
                start,
                len,
                content,
            } = piece;
            match content {
                Content::Frame(pa) => {
                    readable(ram, pa, len, &mut |by, len, fault| {
                        let at = start.plus(by);
                        let content = match fault {
                            None => Held::Frame(pa.plus(by)),
                            Some(fault) => {
                                let absent = Absent::unreadable(fault.with_va(at));
                                dumped.lose(at, len, area.name(), &absent);
                                Held::Nothing
                            }
                        };
                        plan.add(at.0, len, flags, content);
                    });
                }
                Content::Zeros => plan.add(start.0, len, flags, Held::Zeros),
                Content::Nothing => plan.add(start.0, len, flags, Held::Nothing),
                Content::Lost(absent) => {
                    dumped.lose(start, len, area.name(), &absent);
                    plan.add(start.0, len, flags, Held::Nothing);
                }
            }
            ControlFlow::Continue(())
        });
        if !matches!(end, WalkEnd::Closed) {
            dumped.ends.add("page-tables", end);
        }
    }
    dumped.memory = plan.segments.iter().map(Segment::file_bytes).sum();
    plan
}

/// Writes `len` bytes of RAM from `pa` on.
pub(super) fn copy(
    sink: &mut Sink<'_>,
    ram: &dyn PhysicalMemory,
    pa: PhysAddr,
    len: u64,
) -> Result<(), DumpError> {
    let mut by = 0;
    while by < len {
        let chunk = ram.chunk(pa.plus(by)).map_err(DumpError::Changed)?;
        let left = usize::try_from(len.saturating_sub(by)).unwrap_or(usize::MAX);
        let some = chunk.get(..left).unwrap_or(&chunk);
        if some.is_empty() {
            let cause = osier_memory::Cause::NotCaptured;
            let fault = osier_memory::Fault::at_phys(cause, pa.plus(by));
            return Err(DumpError::Changed(fault));
        }
        sink.write(some)?;
        by = by.saturating_add(some.len() as u64);
    }
    Ok(())
}
