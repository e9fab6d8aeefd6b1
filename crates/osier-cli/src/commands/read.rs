//! `osier read`: bytes of memory, a hex dump on a terminal, raw otherwise.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::sync::Arc;

use anyhow::bail;
use osier::osier_memory::{AddressSpace, Gap, PhysAddr, PhysicalMemory, VirtAddr};
use osier::{Guest, WalkEnds, open_snapshot};

use super::common::{open, options, processes};
use crate::args::{Format, OutputArgs, ReadArgs};
use crate::failure::Usage;
use crate::outcome::Outcome;
use crate::output::{Output, plural};

/// Bytes that are read at a time.
const WINDOW: u64 = 1 << 16;
/// Bytes of a line of the hex dump.
const LINE: u64 = 16;

/// What is read from.
enum From {
    Virtual(Box<AddressSpace>),
    Physical(Arc<dyn PhysicalMemory>),
}

pub(super) fn run(args: &ReadArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    if let Some(Format::Json | Format::Jsonl | Format::Csv) = output.format {
        let wrong = "read writes bytes, which are no rows: --format table shows them, and without \
                     --format they go raw to a file or pipe";
        return Err(Usage(wrong.to_owned()).into());
    }
    // A dump when it is asked for by --format table, or for a terminal.
    let dump = match output.format {
        Some(format) => format == Format::Table,
        None => std::io::stdout().is_terminal(),
    };
    if args.phys {
        // Physical memory needs no kernel: it may be read to see why none was found.
        let snapshot = open_snapshot(&args.snapshot.snapshot, &options(&args.snapshot.known))?;
        let mut out = Output::new(output, 8);
        out.doubt(None, snapshot.info.doubts());
        let from = From::Physical(snapshot.machine.memory);
        let digits = dump.then_some(16);
        return write(args, &from, digits, out, &WalkEnds::default());
    }
    let (guest, out) = open(&args.snapshot, output)?;
    let (space, ends) = space(&guest, args.pid)?;
    let digits = usize::from(guest.pointer_bytes()).saturating_mul(2);
    write(
        args,
        &From::Virtual(Box::new(space)),
        dump.then_some(digits),
        out,
        &ends,
    )
}

/// Writes the bytes: raw, or as a dump with addresses of so many `digits`.
fn write(
    args: &ReadArgs,
    from: &From,
    digits: Option<usize>,
    mut out: Output,
    ends: &WalkEnds,
) -> anyhow::Result<Outcome> {
    out.count("byte");
    let mut done = 0_u64;
    let mut filled = None;
    while done < args.len {
        let at = args.addr.wrapping_add(done);
        let n = WINDOW.min(args.len.wrapping_sub(done));
        let mut bytes = vec![0; n as usize];
        let gaps = read(from, at, &mut bytes);
        for gap in &gaps {
            let start = at.wrapping_add(gap.start as u64);
            out.lose_at(gap.len, &format!("{start:#x}: {}", gap.fault));
        }
        if let Some(digits) = digits {
            out.text(hex_dump(at, &bytes, &gaps, digits).as_bytes())?;
        } else if let Some(byte) = args.fill {
            for gap in &gaps {
                let end = gap.start.saturating_add(gap.len);
                if let Some(into) = bytes.get_mut(gap.start..end) {
                    into.fill(byte);
                }
                let start = at.wrapping_add(gap.start as u64);
                filled.get_or_insert_with(|| format!("from {start:#x} on: {}", gap.fault));
            }
            out.text(&bytes)?;
        } else if let Some(gap) = gaps.first() {
            // Raw bytes have no way to say that some are missing: stop before the first of them.
            out.text(bytes.get(..gap.start).unwrap_or_default())?;
            let missing = at.wrapping_add(gap.start as u64);
            let read = done.wrapping_add(gap.start as u64);
            out.remark(&format!(
                "stopped at {missing:#x}, after {} of {}: {}; {}--fill 0 writes zeros for what cannot be \
                 read, --format table shows it as ??",
                plural(usize::try_from(read).unwrap_or(usize::MAX), "byte"),
                args.len,
                gap.fault,
                next(&gaps, at, bytes.len()),
            ));
            break;
        } else {
            out.text(&bytes)?;
        }
        done = done.wrapping_add(n);
    }
    if let Some(first) = filled {
        out.remark(&format!("bytes were filled in, {first}"));
    }
    Ok(out.conclude(ends)?)
}

/// Where bytes can be read again after the first gap, as far as they were looked at.
fn next(gaps: &[Gap], at: u64, bytes: usize) -> String {
    let mut end = gaps.first().map_or(0, |gap| gap.start);
    for gap in gaps {
        if gap.start != end {
            break;
        }
        end = end.saturating_add(gap.len);
    }
    if end >= bytes {
        return String::new();
    }
    let again = at.wrapping_add(end as u64);
    format!("bytes from {again:#x} on can be read; ")
}

/// The address space of a process, or of the kernel, and how the walk ended that found the process.
pub(super) fn space(guest: &Guest, pid: Option<u32>) -> anyhow::Result<(AddressSpace, WalkEnds)> {
    let Some(pid) = pid else {
        return Ok((guest.provider().kernel_space().clone(), WalkEnds::default()));
    };
    let (taskds, ends) = processes(guest, pid)?;
    let [taskd] = taskds.as_slice() else {
        bail!(
            "{} processes have pid {pid}: it is not known which one is meant",
            taskds.len()
        );
    };
    match guest.provider().address_space(*taskd) {
        Ok(space) => Ok((space, ends)),
        Err(absent) => bail!("process {pid} has no address space to read by: {absent}"),
    }
}

fn read(from: &From, at: u64, bytes: &mut [u8]) -> Vec<Gap> {
    match from {
        From::Virtual(space) => space.read_partial(VirtAddr(at), bytes),
        From::Physical(memory) => read_physical(&**memory, at, bytes),
    }
}

fn read_physical(memory: &dyn PhysicalMemory, at: u64, bytes: &mut [u8]) -> Vec<Gap> {
    const PAGE: usize = 4096;
    let mut gaps = Vec::new();
    let mut start = 0_usize;
    while start < bytes.len() {
        let pa = PhysAddr(at.wrapping_add(start as u64));
        let to_page_end = PAGE.wrapping_sub(pa.in_page() as usize);
        let end = start.saturating_add(to_page_end).min(bytes.len());
        if let Some(into) = bytes.get_mut(start..end)
            && let Err(fault) = memory.read(pa, into)
        {
            into.fill(0);
            let len = end.wrapping_sub(start);
            gaps.push(Gap { start, len, fault });
        }
        start = end;
    }
    gaps
}

/// Lines of an address, sixteen bytes and their characters; a byte that could not be read is `??`.
fn hex_dump(at: u64, bytes: &[u8], gaps: &[Gap], digits: usize) -> String {
    let missing = |index: usize| {
        gaps.iter()
            .any(|gap| index >= gap.start && index.wrapping_sub(gap.start) < gap.len)
    };
    let mut text = String::new();
    for (nth, line) in bytes.chunks(LINE as usize).enumerate() {
        let first = nth.wrapping_mul(LINE as usize);
        let address = at.wrapping_add(first as u64);
        let _ = write!(text, "{address:0digits$x} ");
        let mut characters = String::new();
        for column in 0..LINE as usize {
            if column == 8 {
                text.push(' ');
            }
            match line.get(column) {
                Some(_) if missing(first.wrapping_add(column)) => {
                    text.push_str(" ??");
                    characters.push('?');
                }
                Some(byte) => {
                    let _ = write!(text, " {byte:02x}");
                    let shown = (b' '..=b'~').contains(byte);
                    characters.push(if shown { char::from(*byte) } else { '.' });
                }
                None => text.push_str("   "),
            }
        }
        let _ = writeln!(text, "  |{characters}|");
    }
    text
}

#[cfg(test)]
mod tests {
    use osier::osier_memory::{Cause, Fault};

    use super::*;

    #[test]
    fn missing_bytes_show_as_such() {
        let gap = Gap {
            start: 1,
            len: 2,
            fault: Fault::new(Cause::NotCaptured),
        };
        assert_eq!(
            hex_dump(0x1000, b"Abcd\0", &[gap], 8),
            "00001000  41 ?? ?? 64 00                                    |A??d.|\n"
        );
    }
}
