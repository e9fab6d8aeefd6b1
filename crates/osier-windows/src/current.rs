//! What runs on each processor: `KiProcessorBlock[cpu]` → `_KPRCB.CurrentThread` → its process.
//!
//! No register is needed, so user mode and KVA shadow do not matter.

use osier_memory::{CpuState, Each, VirtAddr};
use osier_osi::{Absent, Current, FoundBy, ProcessSource, Seen, WalkEnd, WalkEnds};
use osier_profile::{Field, Ptr};

use crate::guest::Guest;
use crate::layouts::current::Layout;
use crate::symbols;
use crate::windows::Windows;
use crate::{process, threads};

/// The walk's name in endings.
const WALK: &str = "processors";
/// More processors than Windows runs on: 2048 in the newest.
const LIMIT: u64 = 8192;
/// `KiProcessorBlock` has 32 places on 32-bit machines; what follows is another variable.
const LIMIT32: u64 = 32;

pub(crate) fn current(windows: &Windows, row: Each<'_, Current>) -> WalkEnds {
    let guest = &windows.guest;
    let table = guest.symbol(symbols::KiProcessorBlock);
    let Some((table, field)) = table.zip(windows.current.prcb.current_thread) else {
        return WalkEnds::one(
            WALK,
            WalkEnd::no_start("KiProcessorBlock and _KPRCB in the profile", None),
        );
    };
    let mut ends = WalkEnds::default();
    let (blocks, mut end) = listed(windows, table);
    let promised = windows.processors.unwrap_or(0) as usize;
    let own = (0..)
        .zip(&blocks)
        .filter(|(cpu, block)| is_of(&windows.current, guest, **block, *cpu))
        .count();
    if end.is_closed() && !blocks.is_empty() && (own < blocks.len() || own < promised) {
        end = WalkEnd::Disagreement {
            between: "KiProcessorBlock and the processors' numbers",
            only_first: blocks.len().saturating_sub(own),
            only_second: promised.saturating_sub(own),
        };
    }
    if blocks.is_empty() && end.is_closed() {
        end = WalkEnd::no_start(format!("the first processor's block at {table}"), None);
    }
    ends.add(WALK, end);
    for (cpu, block) in (0..).zip(&blocks) {
        let thread = thread(windows, field, *block);
        let process = thread
            .clone()
            .and_then(|thread| threads::owner(windows, thread));
        let current = Current {
            cpu,
            thread: thread.map(|thread| threads::thread(windows, thread)),
            process: process
                .map(|at| process::row(windows, at, FoundBy::source(ProcessSource::List))),
        };
        if row(current).is_break() {
            return WalkEnds::one(WALK, WalkEnd::Stopped);
        }
    }
    if let Some(end) = contradiction(windows, &blocks) {
        ends.add(WALK, end);
    }
    ends
}

/// The blocks that the table at `table` lists, and how its walk ended.
fn listed(windows: &Windows, table: VirtAddr) -> (Vec<VirtAddr>, WalkEnd) {
    let guest = &windows.guest;
    let width = u64::from(guest.pointer_bytes());
    let limit = match (windows.processors, width) {
        (Some(count @ 1..), _) => u64::from(count),
        (_, 4) => LIMIT32,
        _ => LIMIT,
    };
    let mut blocks = Vec::new();
    let mut end = WalkEnd::Closed;
    for cpu in 0..limit {
        let place = table.plus(cpu.wrapping_mul(width));
        match guest.space.read_pointer(place) {
            Ok(block) if block.is_null() => break,
            Ok(block) => match guest.plausible(block) {
                Ok(()) => blocks.push(block),
                Err(fault) => {
                    let to = Some(block);
                    end = WalkEnd::broken(place, to, fault);
                    break;
                }
            },
            Err(fault) => {
                let to = None;
                end = WalkEnd::broken(place, to, fault);
                break;
            }
        }
    }
    (blocks, end)
}

/// The processors' blocks, by number.
pub(crate) fn blocks(windows: &Windows) -> Seen<Vec<VirtAddr>> {
    let Some(table) = windows.guest.symbol(symbols::KiProcessorBlock) else {
        return Err(Absent::not_in_this_kernel());
    };
    match listed(windows, table) {
        (_, WalkEnd::BrokenLink { fault, .. }) => Err(Absent::unreadable(fault)),
        (blocks, _) => Ok(blocks),
    }
}

/// The processor that the thread at `task` runs on: its number, and its registers where the snapshot holds them.
pub(crate) fn running(windows: &Windows, task: VirtAddr) -> Option<(u32, Option<&CpuState>)> {
    let guest = &windows.guest;
    let field = windows.current.prcb.current_thread?;
    let table = guest.symbol(symbols::KiProcessorBlock)?;
    let (blocks, _) = listed(windows, table);
    let runs = |block: &VirtAddr| field.read(&guest.space, *block) == Ok(task);
    let (number, block) = (0_u32..).zip(blocks).find(|(_, block)| runs(block))?;
    // By the block that the registers name, or else by its number.
    let own = guest
        .cpus
        .iter()
        .find(|cpu| named(windows, cpu) == Some(block));
    let nth = guest.cpus.iter().find(|cpu| cpu.index == number);
    let nth = nth.filter(|cpu| named(windows, cpu).is_none());
    Some((number, own.or(nth)))
}

fn thread(windows: &Windows, field: Field<Ptr<()>>, block: VirtAddr) -> Seen<VirtAddr> {
    match field.read(&windows.guest.space, block) {
        Ok(thread) if windows.guest.plausible(thread).is_ok() => Ok(thread),
        Ok(other) => {
            let rule = "the current thread is a mapped address of the kernel";
            Err(Absent::implausible(other.0, rule, Some(field.place(block))))
        }
        Err(fault) => Err(Absent::unreadable(fault)),
    }
}

/// A processor whose registers name a `_KPCR` of which the table knows nothing.
fn contradiction(windows: &Windows, blocks: &[VirtAddr]) -> Option<WalkEnd> {
    for cpu in &windows.guest.cpus {
        if let Some(kpcr) = kpcr(windows, cpu)
            && named(windows, cpu).is_some_and(|block| !blocks.contains(&block))
        {
            return Some(WalkEnd::no_start(
                format!(
                    "CPU {} in KiProcessorBlock: its registers name the _KPCR at {kpcr}",
                    cpu.index
                ),
                None,
            ));
        }
    }
    None
}

/// The `_KPCR` that the registers of a processor name.
fn kpcr(windows: &Windows, cpu: &CpuState) -> Option<VirtAddr> {
    let guest = &windows.guest;
    let own = windows.current.own?;
    let claims = if guest.pointer_bytes() == 8 {
        [cpu.segments.gs.base, cpu.kernel_gs_base]
    } else {
        let kpcr = crate::locate::kpcr32(cpu, &guest.space);
        [kpcr.map(|at| at.0), None]
    };
    let mut claims = claims.into_iter().flatten().map(VirtAddr);
    claims.find(|at| guest.is_kernel_address(*at) && own.read(&guest.space, *at) == Ok(*at))
}

/// The `_KPRCB` that the registers of a processor name.
fn named(windows: &Windows, cpu: &CpuState) -> Option<VirtAddr> {
    let layout = &windows.current;
    let kpcr = kpcr(windows, cpu)?;
    match (layout.inside, layout.pointer) {
        (Some(inside), _) => Some(inside.place(kpcr)),
        (None, Some(pointer)) => pointer.read(&windows.guest.space, kpcr).ok(),
        (None, None) => None,
    }
}

/// Whether the block at `at` may be that of processor `cpu`: it has the number, and is part of a `_KPCR`
/// that knows its own address.
fn is_of(layout: &Layout, guest: &Guest, at: VirtAddr, cpu: u64) -> bool {
    let number = layout.prcb.number.map(|field| field.read(&guest.space, at));
    let own = layout.inside.zip(layout.own).map(|(inside, own)| {
        let pcr = inside.container(at);
        own.read(&guest.space, pcr).map(|itself| itself == pcr)
    });
    !matches!(number, Some(Ok(number)) if number != cpu) && !matches!(own, Some(Ok(false)))
}
