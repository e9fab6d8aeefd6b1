//! PANDA's answers: the rows that it lists, in its order and by its names, and what its plugin
//! `osi_test` prints of them, byte for byte.
//!
//! Source: panda-re/panda at c3634879, `panda/plugins/osi_test/osi_test.c` and, for what its rows
//! hold, `panda/plugins/osi_linux/osi_linux.cpp`, `panda/plugins/wintrospection/wintrospection.cpp`
//! and libosi, which that rests on.

mod lists;

use std::io::{self, Write};
use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::{Current, Osi, Seen, SeenExt as _};
use osier_profile::OsKind;

pub use lists::{Library, Printed, Sentinel, current_process, libraries, modules, processes};

const RULE: &str = "-------------------------------------------------";
/// What glibc prints for a NULL string.
const NULL: &[u8] = b"(null)";

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
    if osi.panda().is_none() {
        let what = "PANDA does not read this operating system";
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    }
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
        printed.note(&"processor 0", "process", &row.process);
    }
    match process {
        Some(process) => {
            // PANDA names the running thread of Linux, and names nothing when the pid is 0.
            let name = match thread {
                Some(thread) if !windows => &thread.name,
                _ => &process.name,
            };
            let whose = format!("current process {}", process.taskd);
            printed.note(&whose, "name", name);
            printed.note(&whose, "pid", &process.pid);
            printed.note(&whose, "ppid", &process.ppid);
            let pid = process.pid.value().unwrap_or(0);
            out.write_all(b"Current process: ")?;
            let shown = called(name, windows);
            out.write_all(if pid == 0 { b"N/A" } else { &shown })?;
            writeln!(out, " PID:{pid} PPID:{}", process.ppid.value().unwrap_or(0))?;
        }
        None => writeln!(out, "Cannot get current process details.")?,
    }
    writeln!(out)?;

    let processes = processes(osi, process.map(|p| p.taskd), &mut printed);
    if processes.is_empty() {
        writeln!(out, "Process list not available.")?;
    } else {
        writeln!(out, "Process list ({} procs):", processes.len())?;
        for process in &processes {
            let whose = format!("process {}", process.taskd);
            printed.note(&whose, "name", &process.name);
            printed.note(&whose, "pid", &process.pid);
            printed.note(&whose, "ppid", &process.ppid);
            out.write_all(b"  ")?;
            padded(&called(&process.name, windows), 16, out)?;
            let (pid, parent) = (process.pid.value(), process.ppid.value());
            writeln!(out, "\t{}\t{}", pid.unwrap_or(0), parent.unwrap_or(0))?;
        }
    }
    write!(out, "\n{RULE}\n\n")?;

    let libraries = process.map(|process| libraries(osi, process.taskd, &mut printed));
    let libraries = libraries.unwrap_or_default();
    if libraries.is_empty() {
        writeln!(out, "No mapped dynamic libraries.")?;
    } else {
        writeln!(out, "Dynamic libraries list ({} libs):", libraries.len())?;
        for library in &libraries {
            let (base, size) = (library.mapping.base.value(), library.mapping.size.value());
            let text = |text: &'_ Option<Vec<u8>>| text.clone().unwrap_or_else(|| NULL.to_vec());
            let (name, file) = (text(&library.name), text(&library.file));
            write_image(base, size, (&name, &file), pointer_bytes, out)?;
        }
    }
    writeln!(out)?;
    if windows {
        write_modules(osi, pointer_bytes, sentinel, out, &mut printed)?;
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
    pointer_bytes: u8,
    sentinel: Sentinel,
    out: &mut dyn Write,
    printed: &mut Printed,
) -> io::Result<()> {
    let modules = modules(osi, sentinel, printed);
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

fn text(name: &Seen<Vec<u8>>) -> &[u8] {
    name.get().map_or(NULL, Vec::as_slice)
}

/// `%-WIDTHs`: printf counts bytes.
fn padded(bytes: &[u8], width: usize, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(bytes)?;
    let pad = width.saturating_sub(bytes.len());
    write!(out, "{:pad$}", "")
}
