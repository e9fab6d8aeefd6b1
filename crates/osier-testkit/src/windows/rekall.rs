//! What Rekall prints of a real XP SP2 machine, as a plan.
//!
//! Source: the golden results of Rekall's tests for `xp-laptop-2005-06-25.img`, JSON files whose
//! `output` has one line of the table a string. They are read where they lie and not copied.

use std::fs;
use std::path::Path;

use osier_memory::VirtAddr;
use osier_profile::Profile;

use super::{Driver, Paged, Part, Plan, Process, Protection, Vad, VadKind};

/// The process whose VADs are known.
const WITH_VADS: u64 = 2624;
/// What Rekall could not read is in the page file here.
const AWAY: Paged = Paged::PageFile {
    number: 0,
    offset: 0x1234,
};
/// FILETIME of 1970-01-01.
const UNIX_EPOCH: u64 = 116_444_736_000_000_000;

/// The golden results of one machine.
pub struct Rekall {
    processes: Vec<Process>,
    drivers: Vec<Driver>,
}

impl Rekall {
    /// Reads the results in `folder` (`test_data` of the archive).
    ///
    /// # Panics
    ///
    /// When a file is missing or does not look as Rekall writes it.
    pub fn read(folder: &Path) -> Self {
        // This tool's version lists modules in load order, the other one has the VADs' table.
        let load_order = folder.join("xp-laptop-2005-06-25_trunk");
        let newer = folder.join("xp-laptop-2005-06-25_ng");
        let mut processes = processes(&lines(&newer.join("pslist")));
        dlls(&lines(&newer.join("dlllist")), &mut processes);
        let vads = vads(&lines(&newer.join("vad")));
        let with_vads = processes.iter_mut().find(|p| p.pid == WITH_VADS);
        give_vads(with_vads.expect("the process with VADs"), vads);
        Self {
            processes,
            drivers: drivers(&lines(&load_order.join("modules"))),
        }
    }

    /// The machine on the layout of `profile`: the one it ran, or its PAE twin.
    pub fn plan(&self, profile: &Profile) -> Plan {
        let mut plan = Plan::new(profile);
        plan.processes.clone_from(&self.processes);
        plan.drivers.clone_from(&self.drivers);
        plan.kernel_base = VirtAddr(self.drivers[0].base);
        plan.processors.truncate(1);
        // The tool that took the image was running.
        let dd = self.processes.last().expect("processes");
        plan.run(dd.threads[0].tid);
        plan
    }
}

/// The strings of `output`, unescaped.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (_, output) = text.split_once("\"output\": [").expect("Rekall's output");
    let strings = output.lines().filter_map(|line| {
        let line = line.trim().trim_end_matches(',');
        line.strip_prefix('"')?.strip_suffix('"')
    });
    let plain = strings.map(|line| line.replace("\\\"", "\"").replace("\\\\", "\\"));
    plain.collect()
}

/// The cells of a table's line.
fn cells(line: &str) -> Vec<&str> {
    line.split("||").map(str::trim).collect()
}

fn hex(text: &str) -> u64 {
    let digits = text.trim_start_matches("0x");
    u64::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{text} is no address"))
}

fn decimal(text: &str) -> u64 {
    text.parse()
        .unwrap_or_else(|_| panic!("{text} is no number"))
}

fn processes(lines: &[String]) -> Vec<Process> {
    let rows = lines.iter().filter(|line| line.starts_with("0x"));
    let processes = rows.map(|line| {
        let [at, name, pid, ppid, threads, _, session, _, start, exit] = cells(line)[..] else {
            panic!("a process: {line}");
        };
        let pid = decimal(pid);
        let mut process = match pid {
            4 => Process::system(),
            _ => Process::new(pid, name).child_of(decimal(ppid)),
        };
        process.eprocess = Some(VirtAddr(hex(at)));
        process.session = session.parse().ok();
        process.create_time = filetime(start);
        process.threads.clear();
        for number in 0..decimal(threads) {
            process = process.thread(0x1_0004 + pid * 0x100 + number * 4);
        }
        match exit {
            "" => process,
            exit => process.exited(filetime(exit)),
        }
    });
    processes.collect()
}

/// Command lines and DLLs.
fn dlls(lines: &[String], processes: &mut [Process]) {
    let mut current = None;
    for line in lines {
        if let Some((_, pid)) = line.split_once("pid:")
            && let Ok(pid) = pid.trim().parse::<u64>()
        {
            current = processes.iter().position(|process| process.pid == pid);
            continue;
        }
        let Some(process) = current.map(|at| &mut processes[at]) else {
            continue;
        };
        if let Some(cmdline) = line.strip_prefix("Command line : ") {
            cmdline.clone_into(&mut process.cmdline);
        } else if line.starts_with("Unable to read PEB") && process.has_peb() {
            process.paged.push((Part::Peb, AWAY));
        } else if line.starts_with("0x") {
            let [base, size, path] = cells(line)[..] else {
                panic!("a DLL: {line}");
            };
            if process.modules.is_empty() {
                path.clone_into(&mut process.path);
            }
            let taken = std::mem::take(process);
            *process = taken.loads(hex(base), hex(size), path);
        }
    }
}

fn drivers(lines: &[String]) -> Vec<Driver> {
    let rows = lines.iter().filter(|line| line.starts_with("0x"));
    let drivers = rows.map(|line| {
        let [at, name, base, size, path] = cells(line)[..] else {
            panic!("a driver: {line}");
        };
        Driver {
            base: hex(base),
            size: hex(size),
            name: name.to_owned(),
            path: path.to_owned(),
            entry: Some(VirtAddr(hex(at))),
            ..Driver::default()
        }
    });
    drivers.collect()
}

fn vads(lines: &[String]) -> Vec<Vad> {
    let rows = lines.iter().filter(|line| line.starts_with("0x"));
    let vads = rows.map(|line| {
        let [node, _, first, last, _, kind, image, protection, file] = cells(line)[..] else {
            panic!("a VAD: {line}");
        };
        let kind = match (kind, image, file) {
            ("Private", ..) => VadKind::Private,
            (_, "Exe", file) if !file.is_empty() => VadKind::Image(file.to_owned()),
            (_, _, "") => VadKind::Mapped(None),
            (_, _, file) => VadKind::Mapped(Some(file.to_owned())),
        };
        let protection = match protection {
            "READONLY" => Protection::READ,
            "READWRITE" => Protection::READ_WRITE,
            "EXECUTE_READ" => Protection::EXECUTE_READ,
            "EXECUTE_WRITECOPY" => Protection::EXECUTE_WRITE_COPY,
            other => panic!("what is {other}?"),
        };
        Vad {
            start: hex(first) << 12,
            end: (hex(last) << 12) | 0xfff,
            kind,
            protection,
            commit: false,
            offset: 0,
            node: Some(VirtAddr(hex(node))),
        }
    });
    vads.collect()
}

/// The PEB, TEB, stack and heap are among the process's VADs; the writer shall use those.
fn give_vads(process: &mut Process, vads: Vec<Vad>) {
    let private = |vad: &&Vad| vad.kind == VadKind::Private;
    let high = |vad: &Vad| vad.start >= 0x7ff0_0000;
    let mut fixed = vads.iter().filter(private).filter(|vad| high(vad));
    process.peb = fixed.next().map(|vad| VirtAddr(vad.start));
    let thread = process.threads.first_mut().expect("a thread");
    thread.teb = fixed.next().map_or(VirtAddr(0), |vad| VirtAddr(vad.start));
    let mut large = vads.iter().filter(private);
    let mut large = || large.find(|vad| vad.end - vad.start >= 0xf_ffff);
    let (stack, heap) = (large().expect("a stack"), large().expect("a heap"));
    thread.stack = (stack.start, stack.end + 1 - stack.start);
    process.heap = Some(VirtAddr(heap.start));
    process.all_vads = true;
    process.vads = vads;
}

/// FILETIME of `2005-06-25 16:47:28`; 0 for none.
fn filetime(text: &str) -> u64 {
    let mut numbers = text
        .split(['-', ' ', ':'])
        .map_while(|part| part.parse().ok());
    let mut number = || -> Option<u64> { numbers.next() };
    let Some((year, month, day)) = (|| Some((number()?, number()?, number()?)))() else {
        return 0;
    };
    let clock = (|| Some(number()? * 3600 + number()? * 60 + number()?))().unwrap_or(0);
    // Days since 1970 of the proleptic Gregorian calendar, the year beginning in March.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719_468;
    UNIX_EPOCH + (days * 86_400 + clock) * 10_000_000
}
