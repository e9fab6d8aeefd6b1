//! A process of Windows as a minidump, read by code that shares nothing with what writes it: the bytes by the numbers
//! of `minidumpapiset.h`.

use std::collections::BTreeMap;
use std::path::Path;

use osier::Guest;
use osier::dump::{Dumped, executable, module, process, range};
use osier::osier_memory::{Paging, VirtAddr};
use osier_testkit::windows::{Entered, Opened, Process, Proto, Thread, WindowsMachine};

use crate::machines::{Folder, crowd, modes, store};
use osier_testkit::windows::layouts::{self, Layout};

/// What a minidump says.
struct Read {
    bytes: Vec<u8>,
    /// Streams by number: where, and how long.
    streams: BTreeMap<u32, (usize, usize)>,
}

impl Read {
    fn of(path: &Path) -> Self {
        let mut read = Self {
            bytes: std::fs::read(path).unwrap(),
            streams: BTreeMap::new(),
        };
        assert_eq!(&read.bytes[..4], b"MDMP");
        assert_eq!(read.u32(4) & 0xffff, 0xa793);
        let (count, at) = (read.u32(8) as usize, read.u32(12) as usize);
        for nth in 0..count {
            let entry = at + 12 * nth;
            let place = (read.u32(entry + 8) as usize, read.u32(entry + 4) as usize);
            assert!(place.0 + place.1 <= read.bytes.len());
            assert!(read.streams.insert(read.u32(entry), place).is_none());
        }
        read
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes[at..at + 2].try_into().unwrap())
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap())
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    fn text(&self, at: u32) -> String {
        let at = at as usize;
        let units = (0..self.u32(at) as usize / 2).map(|nth| self.u16(at + 4 + 2 * nth));
        String::from_utf16(&units.collect::<Vec<u16>>()).unwrap()
    }

    /// The entries of a list with a count of 4 bytes before them.
    fn list(&self, stream: u32, bytes: usize) -> Vec<usize> {
        let (at, size) = self.streams[&stream];
        let count = self.u32(at) as usize;
        assert_eq!(size, 4 + count * bytes, "stream {stream}");
        (0..count).map(|nth| at + 4 + nth * bytes).collect()
    }

    /// Start, length and place in the file of each range of memory.
    fn memory(&self) -> Vec<(u64, u64, u64)> {
        let (at, size) = self.streams[&9];
        let count = self.u64(at) as usize;
        assert_eq!(size, 16 + 16 * count);
        let mut place = self.u64(at + 8);
        let ranges = (0..count).map(|nth| {
            let entry = at + 16 + 16 * nth;
            let range = (self.u64(entry), self.u64(entry + 8), place);
            place += range.1;
            range
        });
        let ranges: Vec<_> = ranges.collect();
        assert_eq!(place, self.bytes.len() as u64, "memory ends the file");
        for two in ranges.windows(2) {
            assert!(
                two[0].0 + two[0].1 <= two[1].0,
                "two ranges over each other"
            );
        }
        ranges
    }

    /// The page at `va`; `None` where no range has it.
    fn page(&self, va: u64) -> Option<&[u8]> {
        let holds = |range: &&(u64, u64, u64)| range.0 <= va && va + 0x1000 <= range.0 + range.1;
        let ranges = self.memory();
        let (start, _, place) = *ranges.iter().find(holds)?;
        let at = (place + va - start) as usize;
        Some(&self.bytes[at..at + 0x1000])
    }
}

/// The machine, opened from a raw file, with registers beside it when `with_registers`.
fn open(layout: &Layout, machine: &WindowsMachine, folder: &Path) -> Guest {
    let raw = folder.join("memory.raw");
    machine.write_raw(&raw).unwrap();
    Guest::open(&raw, &store(folder, layout)).unwrap()
}

fn dump(guest: &Guest, of: &Process, out: &Path) -> Dumped {
    process(guest, of.eprocess.unwrap(), out).unwrap()
}

/// What is lost of a thread's registers, by indices of the encoding order.
fn lost(thread: &Thread, wide: bool, narrow_half: bool) -> &'static [u64] {
    match (wide, narrow_half, thread.entered) {
        (true, true, Entered::Interrupt) => &[3, 6, 7],
        (true, true, _) | (false, _, Entered::Call | Entered::Nested) => &[0, 1, 2],
        (true, false, Entered::Interrupt) => &[3, 6, 7, 12, 13, 14, 15],
        (true, false, _) => &[0, 1, 2, 8, 9, 10, 11, 12, 13, 14, 15],
        (false, ..) => &[],
    }
}

fn check_threads(read: &Read, of: &Process, wide: bool, running: &[u64], what: &str) {
    let entries = read.list(3, 48);
    let half = of.wow64.is_some();
    let planned = of.threads.iter();
    let planned: Vec<&Thread> = planned
        .filter(|thread| thread.state != 4 && !running.contains(&thread.tid))
        .collect();
    assert_eq!(entries.len(), planned.len(), "{what}: threads");
    for (entry, thread) in entries.into_iter().zip(planned) {
        let what = format!("{what}, thread {}", thread.tid);
        assert_eq!(u64::from(read.u32(entry)), thread.tid, "{what}");
        assert_eq!(u64::from(read.u32(entry + 4)), thread.tid % 3, "{what}");
        assert_eq!(
            u64::from(read.u32(entry + 12)),
            8 + thread.tid % 8,
            "{what}"
        );
        let teb = thread.teb.0 + if half { 0x2000 } else { 0 };
        assert_eq!(read.u64(entry + 16), teb, "{what}");
        let (size, at) = (read.u32(entry + 40), read.u32(entry + 44) as usize);
        let none = lost(thread, wide, half);
        let expected = |nth: u64| match none.contains(&nth) {
            true => 0,
            false if half => thread.register_32(nth),
            false => thread.register(nth),
        };
        assert_eq!(read.u64(entry + 24), expected(4), "{what}: the stack");
        assert!(
            read.page(expected(4) & !0xfff).is_some(),
            "{what}: the stack's page"
        );
        if wide && !half {
            assert_eq!((size, read.u32(at + 48)), (1232, 0x10_0007), "{what}");
            assert_eq!(read.u16(at + 56), 0x33, "{what}: CS");
            assert_eq!(read.u64(at + 248), thread.ip(), "{what}: RIP");
            let upper = if thread.entered == Entered::Interrupt {
                12
            } else {
                8
            };
            for nth in 0..16_u64 {
                let value = if nth < upper { expected(nth) } else { 0 };
                assert_eq!(
                    read.u64(at + 120 + 8 * nth as usize),
                    value,
                    "{what}: {nth}"
                );
            }
        } else {
            assert_eq!((size, read.u32(at)), (716, 0x1_0007), "{what}");
            assert_eq!(u64::from(read.u32(at + 0xb8)), thread.ip(), "{what}: EIP");
            let cs = if wide { 0x23 } else { 0x1b };
            assert_eq!(read.u32(at + 0xbc), cs, "{what}: CS");
            let places = [0xb0, 0xac, 0xa8, 0xa4, 0xc4, 0xb4, 0xa0, 0x9c];
            for (nth, place) in (0..).zip(places) {
                assert_eq!(
                    u64::from(read.u32(at + place)),
                    expected(nth),
                    "{what}: {nth}"
                );
            }
        }
    }
}

fn check_modules(read: &Read, of: &Process, what: &str) {
    let entries = read.list(4, 108);
    let modules: BTreeMap<u64, usize> = entries.iter().map(|at| (read.u64(*at), *at)).collect();
    assert_eq!(modules.len(), entries.len(), "{what}: a module twice");
    assert_eq!(
        read.u64(entries[0]),
        of.modules[0].base,
        "{what}: the program is first"
    );
    let halves = of.wow64.iter().flat_map(|half| &half.modules);
    for module in of.modules.iter().chain(halves) {
        let at = modules[&module.base];
        assert_eq!(
            u64::from(read.u32(at + 8)),
            module.size,
            "{what}: {}",
            module.path
        );
        let name = read.text(read.u32(at + 20));
        assert!(name.ends_with(&module.name), "{what}: {name}");
        assert!(
            read.u32(at + 16) & 0x5000_0000 == 0x5000_0000,
            "{what}: its stamp"
        );
        assert_eq!(
            read.u32(at + 24),
            0xfeef_04bd,
            "{what}: VS_FIXEDFILEINFO of {name}"
        );
        assert_eq!(read.u32(at + 32), 0x6_0001, "{what}: its version");
        let (size, record) = (read.u32(at + 76) as usize, read.u32(at + 80) as usize);
        let record = &read.bytes[record..record + size];
        let pdb = format!("{}.pdb\0", module.name.split('.').next().unwrap());
        assert!(
            record.starts_with(b"RSDS") && record.ends_with(pdb.as_bytes()),
            "{what}: {name}"
        );
    }
}

fn check_handles(read: &Read, what: &str) {
    let (at, size) = read.streams[&12];
    let head = [read.u32(at), read.u32(at + 4), read.u32(at + 8)];
    assert_eq!((head, size), ([16, 32, 2], 16 + 64), "{what}");
    let handle = |nth: usize| {
        let at = at + 16 + 32 * nth;
        let name = match read.u32(at + 12) {
            0 => String::new(),
            name => read.text(name),
        };
        (
            read.u64(at),
            read.text(read.u32(at + 8)),
            name,
            read.u32(at + 20),
        )
    };
    let (number, kind, name, access) = handle(0);
    assert_eq!(
        (number, kind.as_str(), access),
        (8, "File", 0x12_0089),
        "{what}"
    );
    assert!(name.ends_with("\\Windows\\explorer.exe"), "{what}: {name}");
    let event = (12, "Event".to_owned(), String::new(), 0x1f_0003);
    assert_eq!(handle(1), event, "{what}");
}

fn check_memory(read: &Read, guest: &Guest, of: &Process, area: bool, what: &str) {
    let space = guest
        .provider()
        .address_space(of.eprocess.unwrap())
        .unwrap();
    let mut own = [0; 4096];
    for (start, len, place) in read.memory() {
        for by in (0..len).step_by(4096) {
            let written = &read.bytes[(place + by) as usize..][..4096];
            match space.read(VirtAddr(start + by), &mut own) {
                Ok(()) => assert!(written == own, "{what}: {:#x}", start + by),
                Err(_) => assert!(
                    written.iter().all(|byte| *byte == written[0]),
                    "{what}: {:#x} is of a section or zeros",
                    start + by
                ),
            }
        }
    }
    for shared in of.shared.iter().filter(|_| !area) {
        let page = read.page(shared.at);
        let what = format!("{what}: {:#x} {:?}", shared.at, shared.entry);
        match shared.entry {
            Proto::Valid | Proto::Transition => {
                assert!(
                    page.unwrap().iter().all(|byte| *byte == shared.fill),
                    "{what}"
                );
            }
            Proto::DemandZero => assert!(page.unwrap().iter().all(|byte| *byte == 0), "{what}"),
            Proto::PageFile(_) | Proto::MappedFile => assert!(page.is_none(), "{what}"),
        }
    }
    // Committed at once and never touched, and reserved.
    let zeros = of.vads.iter().filter(|vad| vad.commit);
    for vad in zeros {
        assert!(
            read.page(vad.start).unwrap().iter().all(|byte| *byte == 0),
            "{what}"
        );
    }
}

fn check_regions(read: &Read, of: &Process, what: &str) {
    let (at, _) = read.streams[&16];
    assert_eq!((read.u32(at), read.u32(at + 4)), (16, 48));
    let count = read.u64(at + 8) as usize;
    let entries: Vec<usize> = (0..count).map(|nth| at + 16 + 48 * nth).collect();
    for vad in &of.vads {
        let mut covered = vad.start;
        for entry in entries.iter().filter(|at| read.u64(**at + 8) == vad.start) {
            assert_eq!(read.u64(*entry), covered, "{what}: {:#x}", vad.start);
            covered += read.u64(*entry + 24);
            let protection = match vad.protection.0 {
                1 => 2,
                4 => 4,
                7 => 0x80,
                6 => 0x40,
                other => panic!("{other}"),
            };
            assert_eq!(
                read.u32(*entry + 16),
                protection,
                "{what}: {:#x}",
                vad.start
            );
            let kind = match &vad.kind {
                osier_testkit::windows::VadKind::Private => 0x2_0000,
                osier_testkit::windows::VadKind::Mapped(_) => 0x4_0000,
                osier_testkit::windows::VadKind::Image(_) => 0x100_0000,
            };
            assert_eq!(read.u32(*entry + 40), kind, "{what}: {:#x}", vad.start);
            assert!([0x1000, 0x2000].contains(&read.u32(*entry + 32)), "{what}");
        }
        assert_eq!(covered, vad.end + 1, "{what}: {:#x}", vad.start);
    }
}

/// Each layout, mode and width: threads, modules, memory and regions are as the machine was made.
#[test]
fn a_process_as_a_minidump() {
    let folder = Folder::new("windows-minidump");
    for layout in layouts::all() {
        for mode in modes(layout) {
            let mut plan = crowd(layout, mode);
            let shell = plan.processes.iter_mut().find(|p| p.pid == 1012);
            let shell = shell.unwrap();
            let file = Opened::File("\\Windows\\explorer.exe".to_owned());
            *shell = shell.clone().opens(8, file, 0x12_0089);
            *shell = shell
                .clone()
                .opens(12, Opened::Nameless("Event"), 0x1f_0003);
            let machine = plan.write(&layout.profile);
            let guest = open(layout, &machine, &folder.0);
            let wide = machine.plan.paging.pointer_bytes() == 8;
            let area = layout.profile.find_type("_MEMORY_AREA").is_some();
            for pid in [1012, 1756] {
                let Some(of) = machine.plan.processes.iter().find(|p| p.pid == pid) else {
                    continue;
                };
                let what = format!("{} {mode:?} {pid}", layout.name);
                let out = folder.0.join("process.dmp");
                let done = dump(&guest, of, &out);
                let read = Read::of(&out);
                let (info, size) = read.streams[&7];
                assert_eq!(size, 56);
                let half = of.wow64.is_some();
                assert_eq!(read.u16(info), if wide && !half { 9 } else { 0 }, "{what}");
                assert_eq!(read.bytes[info + 6], 2, "{what}: processors");
                assert_eq!(read.u32(info + 16), machine.plan.build, "{what}: the build");
                let (misc, size) = read.streams[&15];
                assert_eq!((read.u32(misc), size), (832, 832));
                assert_eq!(u64::from(read.u32(misc + 8)), pid, "{what}");
                if layout.profile.find_type("_KTRAP_FRAME").is_some() {
                    // 1016 runs, and a raw dump has no registers of it.
                    check_threads(&read, of, wide, &[1016], &what);
                    assert!(pid != 1012 || format!("{:?}", done.ends).contains("thread 1016"));
                }
                check_modules(&read, of, &what);
                if pid == 1012 && layout.profile.find_type("_OBJECT_HEADER").is_some() {
                    check_handles(&read, &what);
                }
                check_memory(&read, &guest, of, area, &what);
                if !area {
                    check_regions(&read, of, &what);
                    assert_eq!(done.lost.is_empty(), of.shared.is_empty(), "{what}");
                }
            }
        }
    }
}

/// What has no user half, and what has not run yet.
#[test]
fn processes_without_memory_and_processes_that_never_ran() {
    let folder = Folder::new("windows-minidump-bare");
    for layout in layouts::all() {
        let mut plan = crowd(layout, modes(layout)[0]);
        plan.processes.push(
            Process::new(1800, "asleep.exe")
                .child_of(1012)
                .runs("C:\\asleep.exe", "asleep", 0x40_0000, 0x1_0000)
                .suspended(),
        );
        let machine = plan.write(&layout.profile);
        let guest = open(layout, &machine, &folder.0);
        let out = folder.0.join("process.dmp");
        for of in &machine.plan.processes {
            let what = format!("{} {}", layout.name, of.name);
            let done = process(&guest, of.eprocess.unwrap(), &out);
            if of.has_peb() {
                let done = done.unwrap_or_else(|error| panic!("{what}: {error}"));
                let read = Read::of(&out);
                assert_eq!(read.list(3, 48).len(), done.threads, "{what}");
                continue;
            }
            // What is written of these has no thread and no module, or nothing is written.
            if let Ok(done) = done {
                assert_eq!((done.threads, done.memory), (0, 0), "{what}");
                let read = Read::of(&out);
                assert!(read.list(4, 108).is_empty(), "{what}");
            }
        }
    }
}

/// Registers of a thread that runs in user mode are the processor's.
#[test]
fn a_running_thread_has_the_processor_s_registers() {
    let folder = Folder::new("windows-minidump-running");
    for guid in ["3844dbb9", "89284d0c", "32962337"] {
        let layout = layouts::of(guid);
        let mut plan = crowd(layout, modes(layout)[0]);
        plan.processors[0].user = true;
        let mut machine = plan.write(&layout.profile);
        let cpu = &mut machine.cpus[0];
        let values = std::array::from_fn(|nth| 0x4_0000 + nth as u64 * 0x10);
        cpu.general = Some(values);
        let ip = cpu.rip;
        let path = folder.0.join("memory.dmp");
        machine.write_crash_dump(&path).unwrap();
        let guest = Guest::open(&path, &store(&folder.0, layout)).unwrap();
        let of = machine.process(1012);
        let out = folder.0.join("process.dmp");
        let _ = dump(&guest, of, &out);
        let read = Read::of(&out);
        let entry = read.list(3, 48)[0];
        assert_eq!(read.u32(entry), 1016, "{guid}");
        let at = read.u32(entry + 44) as usize;
        if machine.plan.paging == Paging::Long4 {
            assert_eq!(read.u64(at + 248), ip, "{guid}");
            assert_eq!(read.u64(at + 120), values[0], "{guid}");
        } else {
            assert_eq!(u64::from(read.u32(at + 0xb8)), ip, "{guid}");
            assert_eq!(u64::from(read.u32(at + 0xb0)), values[0], "{guid}");
        }
    }
}

/// The program's file and a driver's, put back out of what is in memory; addresses of a process byte for byte.
#[test]
fn a_program_a_driver_and_a_range() {
    let folder = Folder::new("windows-rebuilt");
    for layout in layouts::all() {
        let machine = crowd(layout, modes(layout)[0]).write(&layout.profile);
        let guest = open(layout, &machine, &folder.0);
        let of = machine.process(1012);
        let space = guest
            .provider()
            .address_space(of.eprocess.unwrap())
            .unwrap();
        let out = folder.0.join("program.exe");
        if layout
            .profile
            .find_type("_EPROCESS")
            .unwrap()
            .member("SectionBaseAddress")
            .is_some()
        {
            let done = executable(&guest, of.eprocess.unwrap(), &out).unwrap();
            let bytes = std::fs::read(&out).unwrap();
            let mut head = [0; 0x400];
            space.read(VirtAddr(of.modules[0].base), &mut head).unwrap();
            assert!(bytes[..0x400] == head, "{}: the headers", layout.name);
            assert!(
                done.lost_bytes > 0,
                "{}: most of it is on disk",
                layout.name
            );
        }
        let out = folder.0.join("page.bin");
        let base = of.modules[0].base;
        let done = range(&guest, of.eprocess, base..base + 0x1000, &out).unwrap();
        assert_eq!(
            (done.bytes, done.lost_bytes),
            (0x1000, 0),
            "{}",
            layout.name
        );
        let driver = &machine.plan.drivers[1];
        let out = folder.0.join("driver.sys");
        let done = module(&guest, driver.name.as_bytes(), &out).unwrap();
        let bytes = std::fs::read(&out).unwrap();
        assert!(bytes.starts_with(b"MZ"), "{}", layout.name);
        assert_eq!(bytes.len() as u64, done.bytes);
        let mut head = [0; 0x400];
        let kernel = guest.provider();
        kernel
            .kernel_space()
            .read(VirtAddr(driver.base), &mut head)
            .unwrap();
        assert!(bytes[..0x400] == head, "{}: {}", layout.name, driver.name);
    }
}
