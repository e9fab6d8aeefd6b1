//! What PANDA's plugin `osi_test` prints, byte for byte.
//!
//! Source: panda-re/panda at c3634879, `panda/plugins/osi_test/osi_test.c` and, for what its rows
//! hold, `panda/plugins/osi_linux/osi_linux.cpp`, `panda/plugins/wintrospection/wintrospection.cpp`
//! and libosi, which that rests on.

use std::io::{self, Write};
use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::{
    Absent, Current, Mapping, Module, Osi, Panda, Process, ProcessExtra, Seen, SeenExt as _,
    WalkEnds,
};
use osier_profile::OsKind;

use crate::ask::Listed;
use crate::order::{Order, arrange};

const RULE: &str = "-------------------------------------------------";
/// What glibc prints for a NULL string.
const NULL: &[u8] = b"(null)";

/// The row that PANDA makes of the head of Windows's list of kernel modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sentinel {
    /// As PANDA prints it.
    Shown,
    /// Left out.
    LeftOut,
}

/// How complete the text is, for PANDA's has no place to say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// How the walks ended.
    pub ends: WalkEnds,
    /// Number of values that the text should show and that were lost on the way.
    pub lost: usize,
}

impl Printed {
    /// Notes whether a value that is shown was lost.
    fn note<T>(&mut self, value: &Seen<T>) {
        if value.absence().is_some_and(Absent::is_loss) {
            self.lost = self.lost.saturating_add(1);
        }
    }
}

/// Prints what PANDA would at this instant: both parts. Returns how complete that is.
///
/// # Errors
///
/// Those of `out`, and an operating system that PANDA does not read.
pub fn osi_test(
    osi: &dyn Osi,
    pointer_bytes: u8,
    sentinel: Sentinel,
    out: &mut dyn Write,
) -> io::Result<Printed> {
    let Some(panda) = osi.panda() else {
        let what = "PANDA does not read this operating system";
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    };
    let windows = osi.kernel().os == OsKind::Windows;
    let mut printed = Printed::default();
    let mut current: Option<Current> = None;
    printed.ends.join(osi.current(&mut |row| {
        current = Some(row);
        ControlFlow::Break(())
    }));
    let process = current.as_ref().and_then(|row| row.process.get());
    let thread = current.as_ref().and_then(|row| row.thread.get());

    if let Some(row) = &current {
        printed.note(&row.process);
    }
    match process {
        Some(process) => {
            // PANDA names the running thread of Linux, and names nothing when the pid is 0.
            let name = match thread {
                Some(thread) if !windows => &thread.name,
                _ => &process.name,
            };
            printed.note(name);
            printed.note(&process.pid);
            printed.note(&process.ppid);
            let pid = process.pid.value().unwrap_or(0);
            out.write_all(b"Current process: ")?;
            let shown = called(name, windows);
            out.write_all(if pid == 0 { b"N/A" } else { &shown })?;
            writeln!(out, " PID:{pid} PPID:{}", process.ppid.value().unwrap_or(0))?;
        }
        None => writeln!(out, "Cannot get current process details.")?,
    }
    writeln!(out)?;

    let mut processes = Vec::new();
    let listed = Listed::of(osi, &mut |row| {
        processes.push(row);
        ControlFlow::Continue(())
    });
    printed.ends.join(listed.ends());
    // PANDA walks the list alone.
    processes.retain(|row| !row.found_by.is_off_the_list());
    if windows {
        // libosi leaves out what has no PEB, System excepted: processes that exited, and those
        // without a program.
        let system = processes.first().map(|process| process.taskd);
        processes.retain(|row| has_peb(row) || Some(row.taskd) == system);
    }
    arrange(&mut processes, Order::Panda, process.map(|p| p.taskd));
    if processes.is_empty() {
        writeln!(out, "Process list not available.")?;
    } else {
        writeln!(out, "Process list ({} procs):", processes.len())?;
        for process in &processes {
            printed.note(&process.name);
            printed.note(&process.pid);
            printed.note(&process.ppid);
            out.write_all(b"  ")?;
            padded(&called(&process.name, windows), 16, out)?;
            let (pid, parent) = (process.pid.value(), process.ppid.value());
            writeln!(out, "\t{}\t{}", pid.unwrap_or(0), parent.unwrap_or(0))?;
        }
    }
    write!(out, "\n{RULE}\n\n")?;

    let mut libraries = Vec::new();
    if let Some(process) = process {
        printed
            .ends
            .join(panda.panda_mappings(process.taskd, &mut |row| {
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
        if let Some(heap) = &heap {
            printed.note(heap);
        }
        let heap = heap.and_then(|bounds| bounds.value());
        writeln!(out, "Dynamic libraries list ({} libs):", libraries.len())?;
        for library in &libraries {
            let (base, size) = (library.base.value(), library.size.value());
            printed.note(&library.base);
            printed.note(&library.size);
            if windows {
                printed.note(&library.name);
                printed.note(&library.file);
                // What is paged out is an empty string.
                let or_empty = |name: &'_ Seen<Vec<u8>>| name.get().cloned().unwrap_or_default();
                let (name, file) = (or_empty(&library.name), or_empty(&library.file));
                write_image(base, size, (&name, &file), pointer_bytes, out)?;
            } else {
                let file = panda.panda_file(library.modd);
                printed.note(&file);
                let names = panda_name(library, file.get().map(Vec::as_slice), heap);
                write_image(base, size, names, pointer_bytes, out)?;
            }
        }
    }
    writeln!(out)?;
    if windows {
        write_modules(osi, panda, pointer_bytes, sentinel, out, &mut printed)?;
    } else {
        // osi_linux registers no answer for modules.
        writeln!(out, "No mapped kernel modules.")?;
    }
    write!(out, "\n{RULE}\n\n")?;
    Ok(printed)
}

/// The kernel modules of Windows, the head of their list as the last of them.
fn write_modules(
    osi: &dyn Osi,
    panda: &dyn Panda,
    pointer_bytes: u8,
    sentinel: Sentinel,
    out: &mut dyn Write,
    printed: &mut Printed,
) -> io::Result<()> {
    let mut modules: Vec<Module> = Vec::new();
    let ends = osi.modules(&mut |row| {
        printed.note(&row.name);
        printed.note(&row.file);
        printed.note(&row.base);
        printed.note(&row.size);
        modules.push(row);
        ControlFlow::Continue(())
    });
    printed.ends.join(ends);
    if sentinel == Sentinel::Shown
        && let Ok(mut last) = panda.panda_last_module()
    {
        // Memory after the head is read for strings, too; what is none is an empty one.
        for text in [&mut last.name, &mut last.file] {
            if text.get().is_none() {
                *text = Ok(Vec::new());
            }
        }
        modules.push(last);
    }
    if modules.is_empty() {
        return writeln!(out, "No mapped kernel modules.");
    }
    writeln!(out, "Kernel module list ({} modules):", modules.len())?;
    for module in &modules {
        let text = |name: &Seen<Vec<u8>>| name.get().cloned().unwrap_or_else(|| b"-".to_vec());
        let (name, file) = (text(&module.name), text(&module.file));
        let (base, size) = (module.base.value(), module.size.value());
        write_image(base, size, (&name, &file), pointer_bytes, out)?;
    }
    Ok(())
}

fn has_peb(process: &Process) -> bool {
    match &process.extra {
        ProcessExtra::Windows(windows) => windows.peb.get().is_some(),
        ProcessExtra::Linux(_) | ProcessExtra::Other => false,
    }
}

/// A process's name; libosi shows what is not printable as a question mark.
fn called(name: &Seen<Vec<u8>>, windows: bool) -> Vec<u8> {
    let printable = |byte: u8| matches!(byte, b' '..=b'~');
    let shown = |&byte: &u8| {
        if !windows || printable(byte) {
            byte
        } else {
            b'?'
        }
    };
    text(name).iter().map(shown).collect()
}

fn write_image(
    base: Option<VirtAddr>,
    size: Option<u64>,
    (name, file): (&[u8], &[u8]),
    pointer_bytes: u8,
    out: &mut dyn Write,
) -> io::Result<()> {
    let width = usize::from(pointer_bytes).saturating_mul(2);
    let (base, size) = (base.unwrap_or_default().0, size.unwrap_or(0));
    write!(out, "\t0x{base:0width$x}\t{size}\t")?;
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
