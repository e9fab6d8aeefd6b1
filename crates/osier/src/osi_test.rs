//! What PANDA's plugin `osi_test` prints, byte for byte.
//!
//! Source: panda-re/panda at c3634879, `panda/plugins/osi_test/osi_test.c` and, for the names of
//! mappings, `panda/plugins/osi_linux/osi_linux.cpp`.

use std::io::{self, Write};
use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::{Current, Mapping, Osi, Process, Seen, WalkEnds};

use crate::order::{Order, arrange};

const RULE: &str = "-------------------------------------------------";
/// What glibc prints for a NULL string.
const NULL: &[u8] = b"(null)";

/// Prints what PANDA would at this instant: both parts. Returns how the walks ended, for PANDA's
/// text has no place to say it.
///
/// # Errors
///
/// Those of `out`.
pub fn osi_test(osi: &dyn Osi, pointer_bytes: u8, out: &mut dyn Write) -> io::Result<WalkEnds> {
    let mut ends = WalkEnds::default();
    let mut current: Option<Current> = None;
    ends.join(osi.current(&mut |row| {
        current = Some(row);
        ControlFlow::Break(())
    }));
    let process = current.as_ref().and_then(|row| row.process.get());
    let thread = current.as_ref().and_then(|row| row.thread.get());

    match process {
        Some(process) => {
            // PANDA names the running thread, and names nothing when the pid is 0.
            let name = thread.map_or(&process.name, |thread| &thread.name);
            let pid = process.pid.value().unwrap_or(0);
            out.write_all(b"Current process: ")?;
            out.write_all(if pid == 0 { b"N/A" } else { text(name) })?;
            writeln!(out, " PID:{pid} PPID:{}", process.ppid.value().unwrap_or(0))?;
        }
        None => writeln!(out, "Cannot get current process details.")?,
    }
    writeln!(out)?;

    let mut processes = Vec::new();
    ends.join(osi.processes(&mut |row| {
        processes.push(row);
        ControlFlow::Continue(())
    }));
    arrange(&mut processes, Order::Panda, process.map(|p| p.taskd));
    if processes.is_empty() {
        writeln!(out, "Process list not available.")?;
    } else {
        writeln!(out, "Process list ({} procs):", processes.len())?;
        for process in &processes {
            out.write_all(b"  ")?;
            padded(text(&process.name), 16, out)?;
            let (pid, parent) = (process.pid.value(), process.ppid.value());
            writeln!(out, "\t{}\t{}", pid.unwrap_or(0), parent.unwrap_or(0))?;
        }
    }
    write!(out, "\n{RULE}\n\n")?;

    let mut libraries = Vec::new();
    if let Some(process) = process {
        ends.join(osi.mappings(process.taskd, &mut |row| {
            libraries.push(row);
            ControlFlow::Continue(())
        }));
    }
    // The gate page is no mapping of the process's own, and PANDA lists those only.
    libraries.retain(|row| !row.modd.is_null());
    if libraries.is_empty() {
        writeln!(out, "No mapped dynamic libraries.")?;
    } else {
        let heap = process.map(|process| osi.heap_bounds(process.taskd));
        let heap = heap.and_then(|bounds| bounds.value());
        writeln!(out, "Dynamic libraries list ({} libs):", libraries.len())?;
        for library in &libraries {
            let file = osi.panda_file(library.modd);
            write_library(
                library,
                file.get().map(Vec::as_slice),
                heap,
                pointer_bytes,
                out,
            )?;
        }
    }
    writeln!(out)?;
    // osi_linux registers no answer for modules.
    write!(out, "No mapped kernel modules.\n\n{RULE}\n\n")?;
    Ok(ends)
}

fn write_library(
    row: &Mapping,
    file: Option<&[u8]>,
    heap: Option<(VirtAddr, VirtAddr)>,
    pointer_bytes: u8,
    out: &mut dyn Write,
) -> io::Result<()> {
    let width = usize::from(pointer_bytes).saturating_mul(2);
    let base = row.base.value().unwrap_or_default().0;
    let size = row.size.value().unwrap_or(0);
    write!(out, "\t0x{base:0width$x}\t{size}\t")?;
    let (name, file) = panda_name(row, file, heap);
    padded(name, 24, out)?;
    out.write_all(b" ")?;
    out.write_all(file)?;
    out.write_all(b"\n")
}

/// A mapping's name and file as `osi_linux` gives them: `[heap]` only when the mapping holds the
/// whole heap, and `[???]` for everything else that has no file.
fn panda_name<'a>(
    row: &Mapping,
    file: Option<&'a [u8]>,
    heap: Option<(VirtAddr, VirtAddr)>,
) -> (&'a [u8], &'a [u8]) {
    if let Some(file) = file {
        let name = file.rsplit(|&byte| byte == b'/').next();
        let has_folder = file.contains(&b'/');
        return (name.filter(|_| has_folder).unwrap_or(NULL), file);
    }
    let start = row.base.value().unwrap_or_default();
    let end = start.plus(row.size.value().unwrap_or(0));
    let holds_heap = heap.is_some_and(|(first, brk)| start <= first && end >= brk);
    let name: &'static [u8] = if holds_heap {
        b"[heap]"
    } else if row.name.get().is_some_and(|name| name == b"[stack]") {
        b"[stack]"
    } else {
        b"[???]"
    };
    (name, NULL)
}

fn text(name: &Seen<Vec<u8>>) -> &[u8] {
    name.get().map_or(NULL, Vec::as_slice)
}

/// `%-WIDTHs`: printf counts bytes.
fn padded(bytes: &[u8], width: usize, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(bytes)?;
    let pad = width.saturating_sub(bytes.len());
    write!(out, "{:pad$}", "")
}

/// The process that PANDA calls current: processor 0's.
pub fn current_process(osi: &dyn Osi) -> Option<Process> {
    let mut found = None;
    // How the walk ended does not matter: without a current process nothing is rotated.
    let _ = osi.current(&mut |row| {
        found = row.process.get().cloned();
        ControlFlow::Break(())
    });
    found
}
