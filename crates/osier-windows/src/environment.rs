//! The environment of a process: what its parameters lead to, of a WoW64 process its 32-bit half's.
//!
//! ```text
//!   _PEB.ProcessParameters ──► _RTL_USER_PROCESS_PARAMETERS.Environment ──► NAME=value 0 NAME=value 0 … 0
//! ```
//!
//! Source: `_RTL_USER_PROCESS_PARAMETERS` of Microsoft's PDBs from 2000 to 11.

use osier_memory::{AddressSpace, Each, Fault, PAGE_BYTES, VirtAddr, Visit};
use osier_osi::{Absent, Seen, Variable, WalkEnd, WalkEnds, Why};

use crate::peb::{self, Environment};
use crate::windows::Windows;
use crate::{process, unicode};

/// The walk's name in its endings.
const WALK: &str = "environment";
/// Longest environment that is believed: no version of Windows makes one of more than 32767 letters at a
/// start, and nobody writes as much again and again.
const LIMIT: u64 = 1 << 20;

/// The variables of the process at `taskd`, in their order.
pub(crate) fn environment(windows: &Windows, taskd: VirtAddr, row: Each<'_, Variable>) -> WalkEnds {
    let room = match peb::environment(windows, taskd) {
        Ok(room) => room,
        Err(absent) if matches!(absent.why, Why::NotApplicable(_)) => {
            return WalkEnds::one(WALK, WalkEnd::Closed);
        }
        Err(absent) => {
            return WalkEnds::one(WALK, WalkEnd::without("the process's environment", &absent));
        }
    };
    let pid = process::pid(windows, taskd);
    let mut count = 0_usize;
    let mut broken = false;
    let mut show = |at: VirtAddr, text: &[u8]| {
        count = count.saturating_add(1);
        row(variable(&pid, at, text))
    };
    let end = texts(&room, &mut show);
    if !matches!(end, WalkEnd::Closed | WalkEnd::Stopped) {
        broken = true;
    }
    let mut ends = WalkEnds::one(WALK, end);
    if count == 0 && !broken {
        // Every program is started with the system's own variables at least.
        let (at, values) = (room.at, 1);
        ends.add(WALK, WalkEnd::Implausible { at, values });
    }
    ends
}

/// Shows each text of the environment and where it begins, up to the empty one.
fn texts(room: &Environment, show: Visit<'_, VirtAddr>) -> WalkEnd {
    let most = room.bytes.map_or(LIMIT, |bytes| bytes.min(LIMIT));
    let mut text: Vec<u8> = Vec::new();
    let (mut begins, mut done) = (room.at, 0_u64);
    let mut count = 0_usize;
    while done < most {
        let at = room.at.plus(done);
        let part = match part(&room.space, at, most.saturating_sub(done)) {
            Ok(part) => part,
            Err(fault) => {
                let (from, to) = (begins, Some(at));
                return WalkEnd::BrokenLink { from, to, fault };
            }
        };
        for (by, unit) in (0_u64..).step_by(2).zip(part.chunks_exact(2)) {
            if unit != [0, 0] {
                text.extend_from_slice(unit);
                continue;
            }
            if text.is_empty() {
                return WalkEnd::Closed;
            }
            count = count.saturating_add(1);
            if show(begins, &unicode::to_bytes(&text)).is_break() {
                return WalkEnd::Stopped;
            }
            text.clear();
            begins = at.plus(by).plus(2);
        }
        done = done.saturating_add(part.len() as u64);
    }
    if room.bytes.is_some_and(|bytes| bytes <= LIMIT) {
        // The empty text at its end lies within what was taken for it.
        return WalkEnd::Disagreement {
            between: "the environment's end and EnvironmentSize",
            only_first: 1,
            only_second: 0,
        };
    }
    WalkEnd::Limit { after: count }
}

/// What is left of the page at `at`, at most `most` bytes, in whole letters.
fn part(space: &AddressSpace, at: VirtAddr, most: u64) -> Result<Vec<u8>, Fault> {
    let left = PAGE_BYTES.saturating_sub(at.in_page()).min(most);
    // A letter at an odd address may lie on two pages.
    let bytes = (left & !1).max(2);
    let mut part = vec![0; usize::try_from(bytes).unwrap_or_default()];
    space.read(at, &mut part)?;
    Ok(part)
}

/// The row of a text. The first letter belongs to the name whatever it is: where drives were left is called
/// `=C:`.
fn variable(pid: &Seen<u32>, address: VirtAddr, text: &[u8]) -> Variable {
    let sign = text.iter().skip(1).position(|byte| *byte == b'=');
    let (name, value) = match sign.and_then(|at| text.split_at_checked(at.saturating_add(1))) {
        Some((name, value)) => (Ok(name), value.get(1..).unwrap_or_default()),
        None => (Err(Absent::not_applicable("the text has no =")), text),
    };
    Variable {
        pid: pid.clone(),
        name: name.map(<[u8]>::to_vec),
        value: Ok(value.to_vec()),
        address,
    }
}
