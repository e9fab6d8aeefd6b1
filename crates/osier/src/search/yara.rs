//! YARA's rules, by boreal: over all regions of a memory at once, as over a running process.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use boreal::memory::{FragmentedMemory, MemoryParams, Region, RegionDescription};
use boreal::scanner::{ScanError, ScanParams};
use boreal::{Compiler, Scanner};
use osier_memory::{PhysAddr, PhysicalMemory};
use osier_osi::{Absent, Seen, WalkEnd};

use super::owners::Owners;
use super::pattern::PatternError;
use super::stretch::Stretch;
use super::under_way::{Searched, Tell, WALK};
use super::{Scope, kernel, process};
use crate::hit::{Hit, MOST_SHOWN};

/// Bytes of the largest region; longer ones are cut.
const REGION: u64 = 32 << 20;
/// Bytes that neighbours of a cut share, so that what lies over it is found.
const SHARED: u64 = 64 << 10;

/// Matches of one string of a rule that are told.
const MOST_MATCHES: u32 = 100_000;

/// Compiled rules.
#[derive(Clone, Debug)]
pub struct Rules {
    scanner: Scanner,
}

impl Rules {
    /// The rules in the file at `path`, and in those that it includes.
    ///
    /// # Errors
    /// It cannot be read, or what is wrong with the rules.
    pub fn of_file(path: &Path) -> Result<Self, PatternError> {
        let mut compiler = Compiler::new();
        let added = compiler.add_rules_file(path);
        let rules = added.map_err(|error| error.to_string());
        let named = |error| PatternError(format!("{}: {error}", osier_text::path(path)));
        rules.and_then(|_| Self::of(compiler)).map_err(named)
    }

    fn of(compiler: Compiler) -> Result<Self, String> {
        let mut scanner = compiler.finalize();
        if scanner.rules().next().is_none() {
            return Err("no rule is there".to_owned());
        }
        let params = ScanParams::default()
            .compute_full_matches(true)
            .match_max_length(MOST_SHOWN)
            .string_max_nb_matches(MOST_MATCHES)
            .process_memory(true);
        scanner.set_scan_params(params);
        Ok(Self { scanner })
    }

    fn until(&self, until: Option<Instant>) -> Scanner {
        let mut scanner = self.scanner.clone();
        if let Some(until) = until {
            let left = until.saturating_duration_since(Instant::now());
            let params = scanner.scan_params().clone().timeout_duration(Some(left));
            scanner.set_scan_params(params);
        }
        scanner
    }
}

/// Regions that a search may fetch.
struct Regions {
    memory: Arc<dyn PhysicalMemory>,
    stretches: Arc<[Stretch]>,
    /// Which stretch, and from which byte of it on, is the current region; the next one.
    at: (usize, u64),
    next: (usize, u64),
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Regions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Regions")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl Regions {
    /// First address and length of the region at `at`.
    fn region(&self, at: (usize, u64)) -> Option<(u64, u64)> {
        let stretch = self.stretches.get(at.0)?;
        let len = stretch.len().saturating_sub(at.1).min(REGION);
        Some((stretch.start.saturating_add(at.1), len))
    }
}

impl FragmentedMemory for Regions {
    fn next(&mut self, _: &MemoryParams) -> Option<RegionDescription> {
        let (start, len) = self.region(self.next)?;
        self.at = self.next;
        let (number, from) = self.at;
        let end = from.saturating_add(len);
        let whole = self
            .stretches
            .get(number)
            .is_none_or(|stretch| end >= stretch.len());
        self.next = if whole {
            (number.saturating_add(1), 0)
        } else {
            (number, end.saturating_sub(SHARED))
        };
        Some(RegionDescription {
            start: usize::try_from(start).ok()?,
            length: usize::try_from(len).ok()?,
        })
    }

    fn fetch(&mut self, _: &MemoryParams) -> Option<Region<'_>> {
        let (start, len) = self.region(self.at)?;
        let stretch = self.stretches.get(self.at.0)?;
        self.bytes.clear();
        self.bytes.resize(usize::try_from(len).ok()?, 0);
        let (mut by, skip) = (0_u64, self.at.1);
        for (length, frame) in &stretch.parts {
            let (first, last) = (
                by.max(skip),
                by.saturating_add(*length).min(skip.saturating_add(len)),
            );
            if let Some(frame) = frame
                && first < last
            {
                let into = usize::try_from(first.saturating_sub(skip)).ok()?;
                let end = usize::try_from(last.saturating_sub(skip)).ok()?;
                let bytes = self.bytes.get_mut(into..end)?;
                self.memory
                    .read(frame.plus(first.saturating_sub(by)), bytes)
                    .ok()?;
            }
            by = by.saturating_add(*length);
        }
        Some(Region {
            start: usize::try_from(start).ok()?,
            mem: &self.bytes,
        })
    }

    fn reset(&mut self) {
        self.next = (0, 0);
    }
}

/// Looks for what `rules` match in the memory that `scope` names; the conditions of a rule are held against the
/// whole memory of a process, of the kernel, or of the machine. Tells of every string of a rule that matches, and of
/// a rule that matches and has none to tell of.
pub fn search_rules(
    scope: &Scope<'_>,
    rules: &Rules,
    until: Option<Instant>,
    tell: &mut Tell<'_>,
) -> Searched {
    let mut done = Searched::default();
    let mut flow = ControlFlow::Continue(());
    match scope {
        Scope::Processes(osi, taskds) => {
            let memory = osi.kernel_space().memory();
            for taskd in taskds {
                if let Some(found) = process::stretches(*osi, *taskd, &mut done) {
                    let place = &mut |at| placed(at, |at, frame| found.hit(at, frame));
                    flow = scan(memory, rules, &found.all, until, &mut done, place, tell);
                }
                if flow.is_break() {
                    break;
                }
            }
        }
        Scope::Kernel(osi) => {
            let found = kernel::stretches(*osi, &mut done);
            let memory = osi.kernel_space().memory();
            let place = &mut |at| placed(at, |at, frame| found.hit(at, frame));
            flow = scan(memory, rules, &found.all, until, &mut done, place, tell);
        }
        Scope::Physical(memory, osi) => {
            let stretches: Vec<Stretch> = memory
                .runs()
                .iter()
                .map(|run| Stretch {
                    start: run.start.0,
                    parts: vec![(run.len, Some(run.start))],
                })
                .collect();
            for (run, cause) in memory.lost() {
                done.lose(
                    &Absent::unreadable(osier_memory::Fault::new(cause)),
                    run.len,
                );
            }
            let mut owners = Owners::new(*osi);
            flow = scan(
                memory,
                rules,
                &stretches.into(),
                until,
                &mut done,
                &mut |at| match at {
                    Some((at, _)) => owners.hit(PhysAddr(at), "", Vec::new()),
                    None => nowhere(Err(Absent::not_applicable(
                        "the memory of all of the machine",
                    ))),
                },
                tell,
            );
            done.ends.join(owners.ends());
        }
    }
    let after = usize::try_from(done.hits).unwrap_or(usize::MAX);
    let late = until.is_some_and(|until| Instant::now() >= until);
    let end = match flow {
        ControlFlow::Continue(()) => WalkEnd::Closed,
        ControlFlow::Break(()) if late => WalkEnd::Limit { after },
        ControlFlow::Break(()) => WalkEnd::Stopped,
    };
    done.ends.add(WALK, end);
    done
}

/// An address with its frame; `None` for the whole memory.
type At = Option<(u64, Option<PhysAddr>)>;

/// Where a hit is, without what was found there.
type HitAt<'p> = dyn FnMut(At) -> Hit + 'p;

/// The same in memory of which `hit` tells at each address.
fn placed(at: At, hit: impl Fn(u64, Option<PhysAddr>) -> Hit) -> Hit {
    match at {
        Some((at, frame)) => hit(at, frame),
        None => nowhere(hit(0, None).pid),
    }
}

/// The hit of a rule that matches without a string that it tells of.
fn nowhere(pid: Seen<u32>) -> Hit {
    fn none<T>() -> Seen<T> {
        Err(Absent::not_applicable(
            "the rule matches as a whole: its condition holds, and none of its strings is told of",
        ))
    }
    Hit {
        pid,
        address: none(),
        phys: none(),
        mapping: none(),
        rule: String::new(),
        matched: Vec::new(),
    }
}

fn scan(
    memory: &Arc<dyn PhysicalMemory>,
    rules: &Rules,
    stretches: &Arc<[Stretch]>,
    until: Option<Instant>,
    done: &mut Searched,
    place: &mut HitAt<'_>,
    tell: &mut Tell<'_>,
) -> ControlFlow<()> {
    let scanner = rules.until(until);
    let regions = Regions {
        memory: memory.clone(),
        stretches: stretches.clone(),
        at: (0, 0),
        next: (0, 0),
        bytes: Vec::new(),
    };
    let bytes = stretches.iter().map(Stretch::len);
    done.bytes = done
        .bytes
        .saturating_add(bytes.fold(0, u64::saturating_add));
    let (result, late) = match scanner.scan_fragmented(regions) {
        Ok(result) => (result, false),
        Err((error, result)) => (result, matches!(error, ScanError::Timeout)),
    };
    for rule in result.rules {
        let mut met = BTreeSet::new();
        for string in rule.matches {
            for found in string.matches {
                let at = (found.base as u64).saturating_add(found.offset as u64);
                // Neighbours of a cut share what lies over it.
                if !met.insert((string.name, at)) {
                    continue;
                }
                let stretch = stretches.iter().find(|stretch| stretch.frame(at).is_some());
                let frame = stretch.and_then(|stretch| stretch.frame(at));
                let hit = Hit {
                    rule: rule.name.to_owned(),
                    matched: found.data.into_vec(),
                    ..place(Some((at, frame)))
                };
                done.hits = done.hits.saturating_add(1);
                tell(hit)?;
            }
        }
        if met.is_empty() {
            done.hits = done.hits.saturating_add(1);
            let rule = rule.name.to_owned();
            tell(Hit {
                rule,
                ..place(None)
            })?;
        }
    }
    if late {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}
