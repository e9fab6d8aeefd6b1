//! The rows that libosi's tests expect of their Windows 7 images, as plans.
//!
//! Source: the tests of libosi (MIT Lincoln Laboratory), as `facts/` lists them: 37 and 31
//! processes, 403 and 1,391 modules, six 32-bit module lists.

use std::collections::HashSet;

use osier_memory::{PhysAddr, VirtAddr};
use osier_profile::Profile;

use super::{Module, Paged, Part, Plan, Process, Processor, Wow64};

const PROCESSES: &str = include_str!("facts/libosi_processes.tsv");
const MODULES: &str = include_str!("facts/libosi_modules.tsv");
/// What is away in libosi's images is in the page file here.
const AWAY: Paged = Paged::PageFile {
    number: 0,
    offset: 0x1234,
};

/// One of libosi's images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Libosi {
    /// `amd64.raw`: 37 processes of Windows 7 SP1 x64, most of whose PEBs are paged out.
    Amd64,
    /// `i386.raw`: 31 processes of Windows 7 SP1 x86.
    I386,
    /// A WoW64 process with its 32-bit list.
    Wow64(&'static str),
}

impl Libosi {
    /// The WoW64 images, and the pid in each.
    pub const WOW64: [(Self, u64); 6] = [
        (Self::Wow64("wow64_notepad_win7sp0"), 744),
        (Self::Wow64("wow64_notepad_win7sp1"), 1932),
        (Self::Wow64("wow64_precalc_win7sp0"), 2688),
        (Self::Wow64("wow64_precalc_win7sp1"), 1756),
        (Self::Wow64("wow64_windbg_win7sp0"), 2316),
        (Self::Wow64("wow64_windbg_win7sp1"), 2672),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::I386 => "i386",
            Self::Wow64(name) => name,
        }
    }

    /// The image's rows on the layout of `profile`. With `at_home` the processes stand at the
    /// addresses that libosi expects, which the layout of the image itself has room for.
    pub fn plan(self, profile: &Profile, at_home: bool) -> Plan {
        let mut plan = Plan::new(profile);
        plan.processes = match self {
            Self::Wow64(_) => vec![Process::system(), self.wow64_process()],
            _ => self.processes(at_home),
        };
        let (_, first) = plan.processes.split_first().expect("System");
        let current = match self {
            // services.exe, whose table root the images' CR3 is.
            Self::Amd64 => 420,
            Self::I386 => 428,
            Self::Wow64(_) => first[0].pid,
        };
        if at_home {
            let root = match self {
                Self::Amd64 => Some(PhysAddr(0x1c55_a000)),
                Self::I386 => Some(PhysAddr(0x2312_a000)),
                Self::Wow64(_) => None,
            };
            let process = plan.processes.iter_mut().find(|p| p.pid == current);
            process.expect("the current process").root = root;
        }
        let process = plan.processes.iter().find(|p| p.pid == current);
        plan.processors[0] = Processor {
            tid: process.map(|process| process.threads[0].tid),
            user: true,
        };
        plan
    }

    fn processes(self, at_home: bool) -> Vec<Process> {
        let rows = rows(PROCESSES, self.name());
        let processes = rows.map(|row| {
            let [_, at, pid, ppid, wow64, name] = row.as_slice() else {
                panic!("a row of six: {row:?}");
            };
            let pid: u64 = decimal(pid);
            let mut process = match pid {
                4 => Process::system(),
                _ => Process::new(pid, name).child_of(decimal(ppid)),
            };
            process.eprocess = at_home.then(|| VirtAddr(hex(at)));
            if pid != 4 {
                self.fill(&mut process, *wow64 == "w");
            }
            process
        });
        let mut processes: Vec<Process> = processes.collect();
        // Processes and threads have their ids out of one table.
        let mut taken: HashSet<u64> = processes.iter().map(|process| process.pid).collect();
        for thread in processes.iter_mut().flat_map(|p| &mut p.threads) {
            while !taken.insert(thread.tid) {
                thread.tid += 0x1000;
            }
        }
        processes
    }

    fn fill(self, process: &mut Process, wow64: bool) {
        process.modules = self.modules(process.pid);
        let rows = process.modules.len();
        let broken = rows == 1 && process.modules[0].base == 0;
        if rows == 0 || broken {
            // What libosi could not see: here the program is there, its PEB or list is not.
            let path = format!("C:\\Windows\\system32\\{}", process.name);
            process.modules = vec![Module::new(0x40_0000, 0x2_0000, &path)];
            let part = if broken { Part::Entries } else { Part::Peb };
            process.paged.push((part, AWAY));
        }
        process.path.clone_from(&process.modules[0].path);
        process.cmdline = format!("\"{}\"", process.path);
        "C:\\Windows\\system32\\".clone_into(&mut process.cwd);
        if wow64 {
            let base = process.modules[0].base;
            let own = Module::new(base, process.modules[0].size, &process.path);
            let ntdll = Module::new(0x7775_0000, 0x18_0000, "C:\\Windows\\SysWOW64\\ntdll.dll");
            process.wow64 = Some(Wow64 {
                modules: vec![own, ntdll],
                path: process.path.clone(),
                cmdline: process.cmdline.clone(),
                peb: VirtAddr(0),
            });
            if process.paged.iter().any(|(part, _)| *part == Part::Peb) {
                process.paged.push((Part::Peb32, AWAY));
            }
        }
    }

    /// The process of a WoW64 image; its 64-bit half is what every WoW64 process has.
    fn wow64_process(self) -> Process {
        let image = Self::WOW64.iter().find(|(image, _)| *image == self);
        let (_, pid) = *image.expect("one of the six");
        let modules = self.modules(pid);
        let program = &modules[0];
        let mut process = Process::new(pid, &program.name)
            .child_of(4)
            .in_session(1)
            .runs(&program.path, &program.path, program.base, program.size);
        for (at, name) in (0..).zip(["ntdll.dll", "wow64.dll", "wow64win.dll", "wow64cpu.dll"]) {
            let path = format!("C:\\Windows\\SYSTEM32\\{name}");
            process = process.loads(0x07fe_f000_0000 + at * 0x100_0000, 0x5_c000, &path);
        }
        process.wow64 = Some(Wow64 {
            path: program.path.clone(),
            cmdline: format!("\"{}\" ", program.path),
            modules,
            peb: VirtAddr(0),
        });
        process
    }

    fn modules(self, pid: u64) -> Vec<Module> {
        let rows = rows(MODULES, self.name());
        let mine = rows.filter(|row| row[1] == pid.to_string());
        let modules = mine.map(|row| {
            let [_, _, _, base, size, count, path] = row.as_slice() else {
                panic!("a row of seven: {row:?}");
            };
            let mut module = Module::new(hex(base), hex(size), path);
            module.load_count = hex(count) as u16;
            if path.is_empty() {
                // Its page was away: only this much is known of it.
                module.paged_names = Some(AWAY);
                "paged.dll".clone_into(&mut module.name);
                "C:\\paged.dll".clone_into(&mut module.path);
            }
            module
        });
        modules.collect()
    }
}

/// The rows of a table whose first column is `image`.
fn rows<'t>(table: &'t str, image: &str) -> impl Iterator<Item = Vec<&'t str>> {
    let rows = table
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>());
    rows.filter(move |row| row[0] == image)
}

fn decimal(text: &str) -> u64 {
    text.parse()
        .unwrap_or_else(|_| panic!("{text} is no number"))
}

fn hex(text: &str) -> u64 {
    let digits = text.trim_start_matches("0x");
    u64::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{text} is no address"))
}
