//! A register file beside a raw dump: what `memsavep` and QEMU's `info registers -a` print.
//!
//! Source: QEMU `target/i386/helper.c`, `x86_cpu_dump_state`. Wide registers are printed in a
//! 64-bit code segment only, so segment bases can be cut to 32 bits otherwise.

use osier_memory::{CpuState, Segment};

const WIDE: [&str; 16] = [
    "RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", "R8", "R9", "R10", "R11", "R12", "R13",
    "R14", "R15",
];
const NARROW: [&str; 8] = ["EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI"];

/// The processors of a register file; empty when it holds none. A processor that is printed twice
/// counts once.
pub(crate) fn parse(text: &str) -> Vec<CpuState> {
    let mut cpus: Vec<CpuState> = Vec::new();
    let mut block = String::new();
    let mut index = 0;
    let mut finish = |index: u32, block: &mut String| {
        if let Some(cpu) = processor(index, block)
            && cpus.iter().all(|known| known.index != index)
        {
            cpus.push(cpu);
        }
        block.clear();
    };
    for line in text.lines() {
        if let Some(number) = line.trim().strip_prefix("CPU#") {
            finish(index, &mut block);
            index = number.trim().parse().unwrap_or(0);
        } else {
            block.push_str(line);
            block.push('\n');
        }
    }
    finish(index, &mut block);
    cpus.sort_by_key(|cpu| cpu.index);
    cpus
}

/// The value after `NAME=` or `NAME =`.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut from = 0_usize;
    loop {
        let at = from.checked_add(text.get(from..)?.find(name)?)?;
        let start = at == 0
            || text
                .as_bytes()
                .get(at.checked_sub(1)?)
                .is_some_and(|b| !b.is_ascii_alphanumeric());
        let rest = text.get(at.checked_add(name.len())?..)?;
        if start && let Some(rest) = rest.trim_start_matches(' ').strip_prefix('=') {
            return rest.trim_start_matches(' ').split([' ', '\n']).next();
        }
        from = at.checked_add(1)?;
    }
}

fn number(text: &str, name: &str) -> Option<u64> {
    u64::from_str_radix(value(text, name)?, 16).ok()
}

fn segment(text: &str, name: &str) -> Option<Segment> {
    let line = text.lines().find(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.trim_start().starts_with('='))
    })?;
    let (_, rest) = line.split_once('=')?;
    let mut fields = rest.split_ascii_whitespace();
    let mut hex = || {
        fields
            .next()
            .and_then(|field| u64::from_str_radix(field, 16).ok())
    };
    if matches!(name, "GDT" | "IDT") {
        Some(Segment {
            base: hex()?,
            limit: hex()? as u32,
            ..Segment::default()
        })
    } else {
        let (selector, base) = (hex()? as u16, hex()?);
        Some(Segment {
            selector,
            base,
            limit: hex()? as u32,
            flags: hex()? as u32,
        })
    }
}

fn processor(index: u32, text: &str) -> Option<CpuState> {
    let mut cpu = CpuState {
        index,
        a20_mask: u64::MAX,
        ..CpuState::default()
    };
    let wide = number(text, "RIP").is_some();
    let names: &[&str] = if wide { &WIDE } else { &NARROW };
    for (slot, name) in cpu.general.iter_mut().zip(names) {
        *slot = number(text, name)?;
    }
    cpu.rip = number(text, if wide { "RIP" } else { "EIP" })?;
    cpu.rflags = number(text, if wide { "RFL" } else { "EFL" }).unwrap_or_default();
    let s = &mut cpu.segments;
    let all = [
        ("ES", &mut s.es),
        ("CS", &mut s.cs),
        ("SS", &mut s.ss),
        ("DS", &mut s.ds),
        ("FS", &mut s.fs),
        ("GS", &mut s.gs),
        ("LDT", &mut s.ldt),
        ("TR", &mut s.tr),
        ("GDT", &mut s.gdt),
        ("IDT", &mut s.idt),
    ];
    for (name, slot) in all {
        *slot = segment(text, name).unwrap_or_default();
    }
    cpu.cr0 = number(text, "CR0")?;
    cpu.cr2 = number(text, "CR2").unwrap_or_default();
    cpu.cr3 = number(text, "CR3")?;
    cpu.cr4 = number(text, "CR4")?;
    cpu.efer = number(text, "EFER");
    cpu.long_mode = cpu.efer.map(|efer| efer & (1 << 10) != 0);
    cpu.cpl = number(text, "CPL").unwrap_or_default() as u8 & 3;
    if number(text, "A20") == Some(0) {
        cpu.a20_mask = !(1 << 20);
    }
    Some(cpu)
}
