//! The processors of a state file's group `cpu`.

use std::collections::BTreeMap;

use osier_memory::CpuState;

use super::tags::{Groups, Tag};
use crate::error::Malformed;
use crate::look::Look;

/// The most processors; VMware's limit is lower.
const PROCESSORS: u32 = 4096;
/// General registers by their names' ends (`rax` and `eax`), in x86's order of encoding.
const GENERAL: [&str; 8] = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"];
/// Where each word of the block `gpregs` goes: it has RBP before RSP.
const GPREGS: [usize; 16] = [0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// What has been seen of one processor.
#[derive(Default)]
struct Draft {
    cpu: CpuState,
    registers: [u64; 16],
    /// Which of them have been seen, by bits.
    general: u32,
    rip: bool,
    /// CR0, CR3 and CR4, by their numbers' bits.
    control: u32,
}

/// The processors whose registers are there, and how many more there are by what is said of them.
pub(super) fn read(file: Look<'_>, groups: &Groups) -> Result<(Vec<CpuState>, usize), Malformed> {
    const NEEDED: u32 = 1 | 1 << 3 | 1 << 4;
    let mut drafts: BTreeMap<u32, Draft> = BTreeMap::new();
    let mut promised = 0;
    groups.tags(file, "cpu", |tag| {
        if *tag.name == *b"cpu:numVCPUs" {
            promised = tag.number().unwrap_or(0).min(PROCESSORS.into()) as usize;
        }
        let Some(index) = tag.indices.first().filter(|index| **index < PROCESSORS) else {
            return;
        };
        let draft = drafts.entry(*index).or_default();
        draft.cpu.index = *index;
        take(draft, &tag);
    })?;
    let seen = |draft: &&mut Draft| draft.rip || draft.control != 0;
    let mut incomplete = 0_usize;
    let mut cpus = Vec::new();
    for draft in drafts.values_mut().filter(|draft| seen(draft)) {
        if draft.rip && draft.control & NEEDED == NEEDED {
            cpus.push(finish(draft));
        } else {
            incomplete = incomplete.saturating_add(1);
        }
    }
    let lacking = incomplete.max(promised.saturating_sub(cpus.len()));
    Ok((cpus, lacking))
}

/// What follows from the registers.
fn finish(draft: &Draft) -> CpuState {
    let mut cpu = draft.cpu.clone();
    cpu.a20_mask = u64::MAX;
    // A register of more than 32 bits is one of long mode.
    let wide = cpu.rip >> 32 != 0 || draft.registers.iter().any(|register| register >> 32 != 0);
    cpu.long_mode = match cpu.efer {
        Some(efer) => Some(efer & 1 << 10 != 0),
        None => wide.then_some(true),
    };
    // One that may be wide lacks none of the sixteen.
    let all = if cpu.long_mode == Some(false) {
        0xff
    } else {
        0xffff
    };
    cpu.general = (draft.general & all == all).then_some(draft.registers);
    // Both kernels take the upper half of addresses for themselves.
    let top = if cpu.long_mode == Some(true) { 63 } else { 31 };
    cpu.cpl = Some(if cpu.rip >> top & 1 != 0 { 0 } else { 3 });
    cpu
}

/// Takes what `tag` says into `draft`.
fn take(draft: &mut Draft, tag: &Tag<'_>) {
    let cpu = &mut draft.cpu;
    let part = tag.indices.get(1).copied();
    let number = tag.number();
    match (&*tag.name, number) {
        (b"gpregs", _) => {
            for (word, slot) in words(tag).into_iter().zip(GPREGS) {
                general(draft, slot, word);
            }
        }
        (b"CR64" | b"CR", number) => match (part, number) {
            (Some(which), Some(value)) => control(draft, which, value),
            (None, _) => {
                for (which, value) in (0..).zip(words(tag)) {
                    control(draft, which, value);
                }
            }
            _ => {}
        },
        (b"rip" | b"eip", Some(value)) => {
            cpu.rip = value;
            draft.rip = true;
        }
        (b"rflags" | b"eflags" | b"EFLAGS", Some(value)) => {
            cpu.rflags = Some(cpu.rflags.unwrap_or(0) | value);
        }
        (b"EFER", Some(value)) => cpu.efer = Some(value),
        (b"GDTR" | b"IDTR", _) => {
            let table = if *tag.name == *b"GDTR" {
                &mut cpu.segments.gdt
            } else {
                &mut cpu.segments.idt
            };
            match (part, number, tag.value().as_deref()) {
                (Some(0), Some(value), _) => table.limit = Some(value as u32 & 0xffff),
                (Some(1), Some(value), _) => {
                    table.base = Some(table.base.unwrap_or(0) | value & 0xffff_ffff);
                }
                (Some(2), Some(value), _) => {
                    table.base = Some(table.base.unwrap_or(0) | value << 32);
                }
                (None, _, Some([low, high, base @ ..])) => {
                    table.limit = Some(u16::from_le_bytes([*low, *high]).into());
                    if let Some(base) = base.first_chunk() {
                        table.base = Some(u64::from_le_bytes(*base));
                    }
                }
                _ => {}
            }
        }
        (name, Some(value)) => {
            let name = std::str::from_utf8(name).unwrap_or_default();
            let old = name.strip_prefix(['r', 'e']);
            let slot = old
                .and_then(|old| GENERAL.iter().position(|known| *known == old))
                .or_else(|| {
                    name.strip_prefix('r')?
                        .parse()
                        .ok()
                        .filter(|n| (8..16).contains(n))
                });
            if let Some(slot) = slot {
                general(draft, slot, value);
            }
        }
        _ => {}
    }
}

fn general(draft: &mut Draft, slot: usize, value: u64) {
    if let Some(register) = draft.registers.get_mut(slot) {
        *register = value;
        draft.general |= 1_u32.wrapping_shl(slot as u32);
    }
}

fn control(draft: &mut Draft, which: u32, value: u64) {
    let cpu = &mut draft.cpu;
    match which {
        0 => cpu.cr0 = Some(value),
        2 => cpu.cr2 = Some(value),
        3 => cpu.cr3 = value,
        4 => cpu.cr4 = Some(value),
        _ => return,
    }
    draft.control |= 1_u32.wrapping_shl(which);
}

/// The value as little-endian words of eight bytes.
fn words(tag: &Tag<'_>) -> Vec<u64> {
    let value = tag.value().unwrap_or_default();
    let (words, _) = value.as_chunks();
    words.iter().map(|word| u64::from_le_bytes(*word)).collect()
}
