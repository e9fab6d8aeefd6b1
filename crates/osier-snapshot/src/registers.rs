//! Registers as text: the file that PANDA's `memsavep` writes, and QEMU's `info registers -a`.
//!
//! Both are QEMU's `cpu_dump_state` after a line `CPU#N` for each processor. In compatibility mode
//! (long mode, 32-bit code) the text cuts segment bases to 32 bits; that is reported. A processor that
//! is printed twice counts once.
//!
//! Source: QEMU `target/i386/helper.c` (2.9) and `cpu-dump.c` (7.2).

use nom::bytes::complete::{take_till, take_till1};
use nom::character::complete::{alphanumeric1, char, space0, u32 as number_of};
use nom::combinator::all_consuming;
use nom::sequence::{preceded, separated_pair};
use nom::{IResult, Parser};
use osier_memory::CpuState;

use crate::anomaly::Anomaly;

/// A line that could not be understood: its number from 1 (0: the text as a whole), and what was
/// expected.
pub(crate) type BadLine = (usize, String);

/// Processors, and oddities of their text.
pub(crate) type Parsed = (Vec<CpuState>, Vec<Anomaly>);

/// The bits of a descriptor's second word that are attributes. QEMU keeps base bits beside them in
/// its state and leaves them out of its text; here they are left out everywhere.
pub(crate) const ATTRIBUTES: u32 = 0x00ff_ff00;

/// The order of x86's register encoding.
const NAMES_64: [&str; 16] = [
    "RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", "R8", "R9", "R10", "R11", "R12", "R13",
    "R14", "R15",
];
const NAMES_32: [&str; 8] = ["EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI"];

/// What has been seen of one processor.
struct Draft {
    cpu: CpuState,
    registers: [u64; 16],
    /// Which of them have been seen, by bits.
    general: u32,
    seen: u32,
    narrow: bool,
    line: usize,
}

const SEEN_RIP: u32 = 1;
const SEEN_CR0: u32 = 2;
const SEEN_CR3: u32 = 4;
const SEEN_CR4: u32 = 8;
const SEEN_ALL: u32 = 15;

/// The processors in `text`.
pub(crate) fn parse(text: &[u8]) -> Result<Parsed, BadLine> {
    let mut drafts: Vec<Draft> = Vec::new();
    for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let number = number.saturating_add(1);
        let Ok(line) = std::str::from_utf8(line) else {
            return Err((number, "text".to_owned()));
        };
        let line = line.trim();
        if let Some(index) = line.strip_prefix("CPU#") {
            let index: IResult<&str, u32> = all_consuming(number_of).parse(index.trim());
            let (_, index) =
                index.map_err(|_| (number, "a processor's number after CPU#".to_owned()))?;
            drafts.push(draft(index, number));
            continue;
        }
        let starts = line.starts_with("RAX=") || line.starts_with("EAX=");
        if starts && drafts.last().is_none_or(|draft| draft.general != 0) {
            drafts.push(draft(drafts.len() as u32, number));
        }
        if let Some(draft) = drafts.last_mut() {
            take_line(draft, line).map_err(|expected| (number, expected))?;
        }
    }
    if drafts.is_empty() {
        return Err((
            0,
            "registers as memsavep or QEMU's `info registers -a` writes them".to_owned(),
        ));
    }
    let mut cpus: Vec<CpuState> = Vec::with_capacity(drafts.len());
    let mut anomalies = Vec::new();
    for draft in drafts {
        let line = draft.line;
        let cpu = finish(draft, &mut anomalies).map_err(|expected| (line, expected))?;
        match cpus.iter().find(|known| known.index == cpu.index) {
            None => cpus.push(cpu),
            Some(known) if *known == cpu => anomalies.push(Anomaly::harmless(format!(
                "line {line}: processor {} is there twice, both times with the same registers",
                cpu.index
            ))),
            Some(_) => anomalies.push(Anomaly::processors(format!(
                "line {line}: processor {} is there before with other registers; those count",
                cpu.index
            ))),
        }
    }
    cpus.sort_by_key(|cpu| cpu.index);
    Ok((cpus, anomalies))
}

fn draft(index: u32, line: usize) -> Draft {
    Draft {
        cpu: CpuState {
            index,
            a20_mask: u64::MAX,
            ..CpuState::default()
        },
        registers: [0; 16],
        general: 0,
        seen: 0,
        narrow: false,
        line,
    }
}

fn finish(draft: Draft, anomalies: &mut Vec<Anomaly>) -> Result<CpuState, String> {
    let mut cpu = draft.cpu;
    let whole = if draft.narrow { 0xff } else { 0xffff };
    if draft.general != whole || draft.seen != SEEN_ALL {
        return Err(
            "a processor's general registers, instruction pointer, CR0, CR3 and CR4".to_owned(),
        );
    }
    cpu.general = Some(draft.registers);
    cpu.long_mode = cpu.efer.map(|efer| efer & 1 << 10 != 0);
    if draft.narrow && cpu.long_mode == Some(true) {
        anomalies.push(Anomaly::processors(format!(
            "CPU {} is in compatibility mode: the register file cuts its registers and segment bases to 32 bits",
            cpu.index
        )));
    }
    Ok(cpu)
}

/// `NAME=VALUE`; "ES =0010 …" and "R8 =…" carry a blank before the sign.
fn pair(text: &str) -> IResult<&str, (&str, &str)> {
    let value = take_till(char::is_whitespace);
    separated_pair(alphanumeric1, (space0, char('=')), value).parse(text)
}

/// Whatever stands up to the next blank.
fn word(text: &str) -> IResult<&str, &str> {
    preceded(space0, take_till1(char::is_whitespace)).parse(text)
}

/// Takes what `line` says into `draft`.
fn take_line(draft: &mut Draft, line: &str) -> Result<(), String> {
    let mut rest = line.trim();
    while !rest.is_empty() {
        let Ok((after, (name, value))) = pair(rest) else {
            rest = word(rest).map_or("", |(after, _)| after.trim_start());
            continue;
        };
        rest = after.trim_start();
        let cpu = &mut draft.cpu;
        let segments = &mut cpu.segments;
        let segment = match name {
            "ES" => &mut segments.es,
            "CS" => &mut segments.cs,
            "SS" => &mut segments.ss,
            "DS" => &mut segments.ds,
            "FS" => &mut segments.fs,
            "GS" => &mut segments.gs,
            "LDT" => &mut segments.ldt,
            "TR" => &mut segments.tr,
            "GDT" => &mut segments.gdt,
            "IDT" => &mut segments.idt,
            _ => {
                register(draft, name, value)?;
                continue;
            }
        };
        let mut next = |what: &str| {
            let (after, next) = word(rest).map_err(|_| format!("a hexadecimal value of {what}"))?;
            rest = after;
            hex(next, what)
        };
        let table = name == "GDT" || name == "IDT";
        segment.base = Some(next("a base")?);
        segment.limit = Some(next("a limit")? as u32);
        if !table {
            segment.flags = Some(next("segment flags")? as u32 & ATTRIBUTES);
            segment.selector = Some(hex(value, "a selector")? as u16);
        }
        break;
    }
    Ok(())
}

/// Takes one `NAME=VALUE`; names of no interest pass.
fn register(draft: &mut Draft, name: &str, value: &str) -> Result<(), String> {
    let wide = NAMES_64.iter().position(|known| *known == name);
    let narrow = NAMES_32.iter().position(|known| *known == name);
    if let Some(index) = wide.or(narrow) {
        draft.narrow |= narrow.is_some();
        draft.general |= 1_u32.wrapping_shl(index as u32);
        if let Some(slot) = draft.registers.get_mut(index) {
            *slot = hex(value, name)?;
        }
        return Ok(());
    }
    let cpu = &mut draft.cpu;
    let (slot, seen) = match name {
        "RIP" | "EIP" => (&mut cpu.rip, SEEN_RIP),
        "RFL" | "EFL" => (cpu.rflags.insert(0), 0),
        "CR0" => (cpu.cr0.insert(0), SEEN_CR0),
        "CR2" => (cpu.cr2.insert(0), 0),
        "CR3" => (&mut cpu.cr3, SEEN_CR3),
        "CR4" => (cpu.cr4.insert(0), SEEN_CR4),
        "EFER" => (cpu.efer.insert(0), 0),
        "CPL" => {
            cpu.cpl = Some(hex(value, name)? as u8 & 3);
            return Ok(());
        }
        "A20" => {
            if hex(value, name)? == 0 {
                cpu.a20_mask = !(1 << 20);
            }
            return Ok(());
        }
        _ => return Ok(()),
    };
    *slot = hex(value, name)?;
    draft.seen |= seen;
    Ok(())
}

fn hex(word: &str, what: &str) -> Result<u64, String> {
    u64::from_str_radix(word, 16).map_err(|_| format!("a hexadecimal value of {what}"))
}

/// The privilege level: that of the stack segment; 0 in real mode, 3 in virtual-8086 mode.
pub(crate) fn privilege(cr0: u64, rflags: u64, ss_flags: Option<u32>) -> Option<u8> {
    const PE: u64 = 1;
    const VM: u64 = 1 << 17;
    if cr0 & PE == 0 {
        Some(0)
    } else if rflags & VM != 0 {
        Some(3)
    } else {
        ss_flags.map(|flags| (flags >> 13 & 3) as u8)
    }
}
