//! PANDA's lists, whole, in its order and with its names.

use std::ffi::{CString, c_char};
use std::ops::ControlFlow;
use std::ptr;

use osier::panda::{Printed, Sentinel, libraries, modules, processes};
use osier::{Current, Osi, Seen, SeenExt as _, VirtAddr};

use crate::error::{Error, ErrorKind, text};
use crate::guest::Guest;

/// A process as PANDA's `OsiProc` has it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PandaProcess {
    /// Linux: `task_struct` of the leader. Windows: `_EPROCESS`.
    pub taskd: u64,
    /// Linux: `mm->pgd`, virtual. Windows: 0.
    pub pgd: u64,
    /// Physical address of the page-table root; all ones where PANDA cannot translate it.
    pub asid: u64,
    /// Its id.
    pub pid: u64,
    /// Its parent's id.
    pub ppid: u64,
    /// Its name; NULL when it could not be read.
    pub name: *const c_char,
    /// When it started, in the kernel's own unit.
    pub create_time: u64,
}

/// A mapping or kernel module as PANDA's `OsiModule` has it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PandaModule {
    /// Linux: `vm_area_struct`. Windows: the loader entry.
    pub modd: u64,
    /// First address.
    pub base: u64,
    /// Bytes.
    pub size: u64,
    /// The whole path; NULL where PANDA has none.
    pub file: *const c_char,
    /// The name; NULL where PANDA has none.
    pub name: *const c_char,
    /// Bytes into the file.
    pub offset: u64,
    /// `vm_flags`.
    pub flags: u64,
}

/// A thread as PANDA's `OsiThread` has it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PandaThread {
    /// Id of its process.
    pub pid: u64,
    /// Its id.
    pub tid: u64,
}

/// A list of PANDA's. What its rows point to lives as long as the list.
#[derive(Debug, Default)]
pub struct PandaList {
    processes: Vec<PandaProcess>,
    modules: Vec<PandaModule>,
    strings: Vec<CString>,
    complete: bool,
}

impl PandaList {
    /// The processes in PANDA's order, which starts from the current one of processor 0.
    pub(crate) fn processes(guest: &Guest) -> Self {
        let osi = guest.guest.provider();
        let now = current(&*osi, 0).and_then(|row| row.process.get().map(|process| process.taskd));
        let mut noted = Printed::default();
        let rows = processes(&*osi, now, &mut noted);
        let mut list = Self::default();
        for row in &rows {
            let whose = format!("process {}", row.taskd);
            noted.note(&whose, "name", &row.name);
            noted.note(&whose, "pid", &row.pid);
            noted.note(&whose, "ppid", &row.ppid);
            list.push(row);
        }
        list.complete = is_complete(&noted);
        list
    }

    /// The process that runs on a processor, alone in its list; an empty list where it is not known.
    pub(crate) fn current_process(guest: &Guest, cpu: u32) -> Self {
        let osi = guest.guest.provider();
        let mut list = Self::default();
        let row = current(&*osi, cpu);
        if let Some(process) = row.as_ref().and_then(|row| row.process.get()) {
            // PANDA gives the running thread's name of Linux.
            let mut process = process.clone();
            if let Some(thread) = row.as_ref().and_then(|row| row.thread.get())
                && !guest.is_windows()
            {
                process.name.clone_from(&thread.name);
            }
            list.push(&process);
            list.complete = true;
        }
        list
    }

    /// The process at `taskd`.
    pub(crate) fn process(guest: &Guest, taskd: VirtAddr) -> Result<Self, Error> {
        let process = guest.guest.provider().process(taskd);
        let process = process.map_err(|absent| Error::new(ErrorKind::Fault, absent.to_string()))?;
        let mut list = Self::default();
        list.push(&process);
        list.complete = true;
        Ok(list)
    }

    /// The mappings of the process at `taskd`.
    pub(crate) fn mappings(guest: &Guest, taskd: VirtAddr) -> Result<Self, Error> {
        let osi = guest.guest.provider();
        pandas(&*osi)?;
        let windows = guest.is_windows();
        let mut noted = Printed::default();
        let mut list = Self::default();
        for library in libraries(&*osi, taskd, &mut noted) {
            let row = library.mapping;
            let (file, name) = (list.string(library.file), list.string(library.name));
            let linux = |value: &Seen<u64>| value.value().filter(|_| !windows).unwrap_or(0);
            list.modules.push(PandaModule {
                modd: row.modd.0,
                base: row.base.value().unwrap_or_default().0,
                size: row.size.value().unwrap_or(0),
                file,
                name,
                offset: linux(&row.offset),
                flags: linux(&row.flags),
            });
        }
        list.complete = is_complete(&noted);
        Ok(list)
    }

    /// The kernel modules; of Windows, PANDA's row of the list's head among them.
    pub(crate) fn modules(guest: &Guest) -> Result<Self, Error> {
        let osi = guest.guest.provider();
        pandas(&*osi)?;
        let mut noted = Printed::default();
        let mut list = Self::default();
        if !guest.is_windows() {
            // osi_linux registers no answer for modules.
            list.complete = true;
            return Ok(list);
        }
        for row in modules(&*osi, Sentinel::Shown, &mut noted) {
            let text = |name: Seen<Vec<u8>>| Some(name.unwrap_or_else(|_| b"-".to_vec()));
            let (file, name) = (list.string(text(row.file)), list.string(text(row.name)));
            list.modules.push(PandaModule {
                modd: row.modd.0,
                base: row.base.value().unwrap_or_default().0,
                size: row.size.value().unwrap_or(0),
                file,
                name,
                offset: 0,
                flags: 0,
            });
        }
        list.complete = is_complete(&noted);
        Ok(list)
    }

    fn push(&mut self, process: &osier::Process) {
        let name = self.string(process.name.get().cloned());
        self.processes.push(PandaProcess {
            taskd: process.taskd.0,
            pgd: process.pgd.value().map_or(0, |pgd| pgd.0),
            asid: process.asid.value().map_or(u64::MAX, |asid| asid.0),
            pid: process.pid.value().map_or(0, u64::from),
            ppid: process.ppid.value().map_or(0, u64::from),
            name,
            create_time: process.create_time.value().unwrap_or(0),
        });
    }

    fn string(&mut self, bytes: Option<Vec<u8>>) -> *const c_char {
        let Some(bytes) = bytes else {
            return ptr::null();
        };
        let string = text(bytes);
        // What a CString points to stays where it is when the CString moves.
        let at = string.as_ptr();
        self.strings.push(string);
        at
    }

    pub(crate) fn process_rows(&self) -> &[PandaProcess] {
        &self.processes
    }

    pub(crate) fn module_rows(&self) -> &[PandaModule] {
        &self.modules
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }
}

/// The thread that runs on a processor.
pub(crate) fn current_thread(guest: &Guest, cpu: u32) -> Option<PandaThread> {
    let row = current(&*guest.guest.provider(), cpu)?;
    let thread = row.thread.get()?;
    Some(PandaThread {
        pid: u64::from(thread.pid.value()?),
        tid: u64::from(thread.tid.value()?),
    })
}

fn current(osi: &dyn Osi, cpu: u32) -> Option<Current> {
    let mut found = None;
    // How the walk ended is not asked: the processor's row is there or is not.
    let _ = osi.current(&mut |row| {
        if row.cpu == cpu {
            found = Some(row);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    found
}

fn is_complete(noted: &Printed) -> bool {
    noted.lost == 0 && noted.ends.is_complete()
}

/// An error for a system that PANDA does not read.
fn pandas(osi: &dyn Osi) -> Result<(), Error> {
    let none = || {
        Error::new(
            ErrorKind::Unsupported,
            "PANDA does not read this operating system",
        )
    };
    osi.panda().map(|_| ()).ok_or_else(none)
}
