//! `osier read`: bytes of memory, a hex dump on a terminal, raw otherwise.

use std::fmt::Write as _;
use std::io::IsTerminal;

use anyhow::bail;
use osier::Guest;
use osier::WalkEnds;
use osier::osier_memory::{AddressSpace, Gap, PhysAddr, VirtAddr};

use super::common::{open, processes};
use crate::args::{Format, OutputArgs, ReadArgs};
use crate::failure::Usage;
use crate::outcome::Outcome;
use crate::output::say;

/// Bytes that are read at a time.
const WINDOW: u64 = 1 << 16;
/// Bytes of a line of the hex dump.
const LINE: u64 = 16;

/// What is read from.
enum From {
    Virtual(AddressSpace),
    Physical,
}

pub(super) fn run(args: &ReadArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    if let Some(Format::Json | Format::Jsonl | Format::Csv) = output.format {
        let wrong = "read writes bytes, which are no rows: --format table shows them, and without \
                     --format they go raw to a file or pipe";
        return Err(Usage(wrong.to_owned()).into());
    }
    let (guest, mut out) = open(&args.snapshot, output)?;
    let (from, ends) = if args.phys {
        (From::Physical, WalkEnds::default())
    } else {
        let (space, ends) = space(&guest, args.pid)?;
        (From::Virtual(space), ends)
    };
    // A dump when it is asked for by --format table, or for a terminal.
    let dump = match output.format {
        Some(format) => format == Format::Table,
        None => std::io::stdout().is_terminal(),
    };
    let digits = usize::from(guest.pointer_bytes()).saturating_mul(2);
    let mut done = 0_u64;
    while done < args.len {
        let at = args.addr.wrapping_add(done);
        let n = WINDOW.min(args.len.wrapping_sub(done));
        let mut bytes = vec![0; n as usize];
        let gaps = read(&guest, &from, at, &mut bytes);
        if dump {
            out.text(hex_dump(at, &bytes, &gaps, digits).as_bytes())?;
            out.lose(gaps.iter().map(|gap| gap.len).sum());
        } else if let Some(gap) = gaps.first() {
            // Raw bytes have no way to say that some are missing: stop before the first of them.
            out.text(bytes.get(..gap.start).unwrap_or_default())?;
            let missing = at.wrapping_add(gap.start as u64);
            let left = args.len.wrapping_sub(done).wrapping_sub(gap.start as u64);
            if done == 0 && gap.start == 0 {
                bail!("nothing could be read at {:#x}: {}", args.addr, gap.fault);
            }
            if !output.quiet {
                let fault = gap.fault;
                say(&format!("stopped at {missing:#x}: {fault}"));
            }
            out.lose(usize::try_from(left).unwrap_or(usize::MAX));
            break;
        } else {
            out.text(&bytes)?;
        }
        done = done.wrapping_add(n);
    }
    Ok(out.conclude(&ends)?)
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

fn read(guest: &Guest, from: &From, at: u64, bytes: &mut [u8]) -> Vec<Gap> {
    match from {
        From::Virtual(space) => space.read_partial(VirtAddr(at), bytes),
        From::Physical => read_physical(guest, at, bytes),
    }
}

fn read_physical(guest: &Guest, at: u64, bytes: &mut [u8]) -> Vec<Gap> {
    const PAGE: usize = 4096;
    let mut gaps = Vec::new();
    let mut start = 0_usize;
    while start < bytes.len() {
        let pa = PhysAddr(at.wrapping_add(start as u64));
        let to_page_end = PAGE.wrapping_sub(pa.in_page() as usize);
        let end = start.saturating_add(to_page_end).min(bytes.len());
        if let Some(into) = bytes.get_mut(start..end)
            && let Err(fault) = guest.machine().memory.read(pa, into)
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
