//! The memory of a process, as it would see it.

use std::ops::ControlFlow;

use osier_memory::{Fault, PAGE_BYTES, PhysAddr, VirtAddr};
use osier_osi::{Absent, Osi, Seen, WalkEnd};

use super::stream::{Match, Stream};
use super::under_way::{Search, Searched, WALK, WINDOW, shown};
use crate::hit::Hit;
use crate::process_memory::{Area, Content, ProcessMemory, lost};

/// Zeros that nobody touched are looked at so far from what surrounds them.
const ZEROS: usize = 64 << 10;

/// What a stretch of a process's memory came from.
#[derive(Clone)]
struct From {
    area: usize,
    phys: Option<PhysAddr>,
}

/// Searches the memory of the process at `taskd`.
pub(super) fn search(search: &mut Search<'_>, osi: &dyn Osi, taskd: VirtAddr) -> ControlFlow<()> {
    let Some(memory) = memory_of(osi, taskd, &mut search.done) else {
        return ControlFlow::Continue(());
    };
    let pid = pid_of(osi, taskd, &mut search.done);
    let ram = memory.space().memory().clone();
    let zeros = vec![0; ZEROS];
    let mut stream = Stream::new(search.patterns, search.until);
    for (number, area) in memory.areas.iter().enumerate() {
        let mut flow = ControlFlow::Continue(());
        let end = memory.pieces(area, area.range.clone(), &mut |piece| {
            let mut feed = |search: &mut Search<'_>, at: u64, bytes: &[u8], phys| {
                search.look(bytes.len())?;
                let from = From { area: number, phys };
                stream.feed(at, bytes, from, &mut |met| {
                    tell(search, &memory, &pid, &met)
                })
            };
            let start = piece.start.0;
            flow = match piece.content {
                Content::Nothing => ControlFlow::Continue(()),
                Content::Lost(absent) => {
                    search.done.lose(&absent, piece.len);
                    ControlFlow::Continue(())
                }
                Content::Zeros => {
                    let long = piece.len > (ZEROS as u64).saturating_mul(2);
                    let mut both = |search: &mut Search<'_>| {
                        if !long {
                            let mut by = 0;
                            while by < piece.len {
                                let some = zeros.len().min(
                                    usize::try_from(piece.len.saturating_sub(by)).unwrap_or(ZEROS),
                                );
                                let at = start.saturating_add(by);
                                feed(search, at, zeros.get(..some).unwrap_or_default(), None)?;
                                by = by.saturating_add(some as u64);
                            }
                            return ControlFlow::Continue(());
                        }
                        feed(search, start, &zeros, None)?;
                        let end = start.saturating_add(piece.len);
                        feed(search, end.saturating_sub(ZEROS as u64), &zeros, None)
                    };
                    both(search)
                }
                Content::Frame(pa) => {
                    let mut by = 0;
                    let mut all = |search: &mut Search<'_>| {
                        while by < piece.len {
                            let at = pa.plus(by);
                            let left = piece.len.saturating_sub(by);
                            let some = match ram.chunk(at) {
                                Ok(chunk) if !chunk.is_empty() => {
                                    let most =
                                        usize::try_from(left).unwrap_or(usize::MAX).min(WINDOW);
                                    let bytes = chunk.get(..most).unwrap_or(&chunk);
                                    feed(search, start.saturating_add(by), bytes, Some(at))?;
                                    bytes.len() as u64
                                }
                                outcome => {
                                    let cause = osier_memory::Cause::NotCaptured;
                                    let fault = outcome.err().unwrap_or(Fault::new(cause));
                                    let some = PAGE_BYTES.saturating_sub(at.in_page()).min(left);
                                    search.done.lose(&Absent::unreadable(fault), some);
                                    some
                                }
                            };
                            by = by.saturating_add(some);
                        }
                        ControlFlow::Continue(())
                    };
                    all(search)
                }
            };
            flow
        });
        flow?;
        if matches!(end, WalkEnd::Limit { .. }) {
            search.done.ends.add("page-tables", end);
        }
    }
    stream.finish(&mut |met| tell(search, &memory, &pid, &met))
}

fn tell(
    search: &mut Search<'_>,
    memory: &ProcessMemory<'_>,
    pid: &Seen<u32>,
    met: &Match<'_, From>,
) -> ControlFlow<()> {
    let phys = met.from.phys.map_or_else(untouched, Ok);
    search.hit(Hit {
        pid: pid.clone(),
        address: Ok(VirtAddr(met.at)),
        phys: phys.map(|pa| pa.plus(met.by)),
        mapping: called(memory.areas.get(met.from.area)),
        rule: met.pattern.rule().to_owned(),
        matched: shown(met.bytes),
    })
}

/// The memory of the process at `taskd`; `None` where it has none, and where that is lost, which `done` notes.
fn memory_of<'a>(
    osi: &'a dyn Osi,
    taskd: VirtAddr,
    done: &mut Searched,
) -> Option<ProcessMemory<'a>> {
    match ProcessMemory::of(osi, taskd) {
        Ok(memory) => {
            done.ends.join(memory.ends.clone());
            Some(memory)
        }
        Err(absent) => {
            // A thread of the kernel has none, nor does a process that has exited.
            if absent.is_loss() {
                let end =
                    WalkEnd::without(format!("the memory of the process at {taskd}"), &absent);
                done.ends.add(WALK, end);
            }
            None
        }
    }
}

/// Its id. That it is lost, `done` notes.
fn pid_of(osi: &dyn Osi, taskd: VirtAddr, done: &mut Searched) -> Seen<u32> {
    let pid = osi.process(taskd).and_then(|process| process.pid);
    if let Some(absent) = lost(&pid) {
        let end = WalkEnd::without(format!("the pid of the process at {taskd}"), absent);
        done.ends.add(WALK, end);
    }
    pid
}

/// What the mapping around a hit is called.
fn called(area: Option<&Area>) -> Seen<Vec<u8>> {
    let Some(area) = area else {
        return Err(Absent::not_applicable("outside every mapping"));
    };
    match (&area.mapping.file, &area.mapping.name) {
        (Ok(file), _) => Ok(file.clone()),
        (Err(absent), _) if absent.is_loss() => Err(absent.clone()),
        (_, name) => name.clone(),
    }
}

/// Why a hit has no physical address.
fn untouched<T>() -> Seen<T> {
    Err(Absent::not_applicable("zeros that were never touched"))
}

/// The memory of a process as stretches of bytes, for whoever looks at all of it at once.
#[cfg(feature = "yara")]
pub(super) struct Stretches<'a> {
    memory: ProcessMemory<'a>,
    pid: Seen<u32>,
    pub(super) all: std::sync::Arc<[super::stretch::Stretch]>,
}

#[cfg(feature = "yara")]
impl Stretches<'_> {
    /// A hit at `at`, whose byte is in `frame`; what was found there is for others to say.
    pub(super) fn hit(&self, at: u64, frame: Option<PhysAddr>) -> Hit {
        let area = self
            .memory
            .areas
            .iter()
            .find(|area| area.range.contains(&at));
        Hit {
            pid: self.pid.clone(),
            address: Ok(VirtAddr(at)),
            phys: frame.map_or_else(untouched, Ok),
            mapping: called(area),
            rule: String::new(),
            matched: Vec::new(),
        }
    }
}

/// The memory of the process at `taskd`; `None` without any. Notes in `done` what is not there.
#[cfg(feature = "yara")]
pub(super) fn stretches<'a>(
    osi: &'a dyn Osi,
    taskd: VirtAddr,
    done: &mut Searched,
) -> Option<Stretches<'a>> {
    use super::stretch::Stretch;

    let memory = memory_of(osi, taskd, done)?;
    let pid = pid_of(osi, taskd, done);
    let ram = memory.space().memory().clone();
    let mut all: Vec<Stretch> = Vec::new();
    let mut next = None;
    for area in &memory.areas {
        let end = memory.pieces(area, area.range.clone(), &mut |piece| {
            let mut add = |at: u64, len: u64, frame| {
                match all.last_mut().filter(|_| next == Some(at)) {
                    Some(last) => last.parts.push((len, frame)),
                    None => all.push(Stretch {
                        start: at,
                        parts: vec![(len, frame)],
                    }),
                }
                next = Some(at.saturating_add(len));
            };
            match piece.content {
                Content::Nothing => {}
                Content::Lost(absent) => done.lose(&absent, piece.len),
                // Long zeros are what no rule looks for.
                Content::Zeros if piece.len > ZEROS as u64 => {}
                Content::Zeros => add(piece.start.0, piece.len, None),
                Content::Frame(pa) => {
                    crate::process_memory::readable(&*ram, pa, piece.len, &mut |by, len, fault| {
                        match fault {
                            None => add(piece.start.0.saturating_add(by), len, Some(pa.plus(by))),
                            Some(fault) => done.lose(&Absent::unreadable(fault), len),
                        }
                    });
                }
            }
            ControlFlow::Continue(())
        });
        if matches!(end, WalkEnd::Limit { .. }) {
            done.ends.add("page-tables", end);
        }
    }
    Some(Stretches {
        memory,
        pid,
        all: all.into(),
    })
}
