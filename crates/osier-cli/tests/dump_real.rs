//! `osier dump` on real snapshots: cores that gdb opens, programs that are the ones that ran, and damage.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod command;
mod dumped;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dumped::Core;
use osier::dump::{executable, process_core};
use osier::osier_memory::VirtAddr;
use osier::search::{Pattern, Scope, search};
use osier::{Guest, Options};
use osier_testkit::need::{self, Real};

const CACHE: &str = "dump-real";

/// Those with the truth, of both widths.
const SNAPSHOTS: [&str; 5] = [
    "deb11-5.10-686",
    "deb11-5.10-686-pae",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];

/// Larger ones, whose truth has auxiliary vectors.
const MADE: [&str; 4] = [
    "triage-deb11-5.10-686",
    "triage-deb11-5.10-amd64",
    "triage-deb12-6.1-amd64",
    "triage-deb13-6.12-amd64",
];

osier_testkit::trials! {
    need::each(need::made, &MADE) => mappings_and_pages_are_the_process_s, threads_are_the_process_s, programs_are_whole;
    need::each(need::snapshot, &SNAPSHOTS) => mappings_and_pages_are_the_process_s, threads_are_the_process_s, programs_are_whole;
    need::snapshot("deb12-6.1-amd64").and(need::program("gdb")) => gdb_opens_it;
    need::snapshot("deb11-5.10-686").and(need::program("gdb")) => gdb_opens_it;
    need::snapshot("deb12-6.1-amd64") => damage_ends_no_dump;
}

fn out(real: &Real, name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", real.name))
}

fn guest(real: &Real) -> Guest {
    Guest::open(&real.path.join("memory.elf"), &Options::default()).unwrap()
}

/// The processes that have memory, by pid.
fn processes(guest: &Guest) -> BTreeMap<u32, VirtAddr> {
    let osi = guest.provider();
    let has_memory = |taskd| osi.address_space(taskd).is_ok();
    let all = guest
        .processes()
        .filter(|process| has_memory(process.taskd));
    all.map(|process| (process.pid.unwrap(), process.taskd))
        .collect()
}

/// Every process's core has the mappings of `/proc/PID/maps`, and the bytes that its page table leads to.
fn mappings_and_pages_are_the_process_s(real: &Real) {
    let guest = guest(real);
    let file = out(real, "maps.core");
    let (mut cores, mut pages, mut leaderless) = (0, 0, 0);
    for (pid, taskd) in processes(&guest) {
        let maps = real.path.join(format!("truth/p/{pid}/maps"));
        // Process 1 ran another program since.
        let Ok(maps) = fs::read(&maps) else {
            continue;
        };
        if pid == 1 {
            continue;
        }
        let done = process_core(&guest, taskd, &file).unwrap();
        assert!(done.lost.is_empty(), "pid {pid}: {:?}", done.lost);
        let core = Core::read(&fs::read(&file).unwrap());
        if leader_is_gone(real, pid) {
            // /proc/PID/maps is the leader's, which has none any more; the memory is its other threads'.
            assert!(maps.is_empty() && !core.segments.is_empty(), "pid {pid}");
            leaderless += 1;
            continue;
        }
        let mut wanted = Vec::new();
        for line in maps
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let line = line.escape_ascii().to_string();
            let mut words = line.split_whitespace();
            let (range, perms) = (words.next().unwrap(), words.next().unwrap());
            let (start, end) = range.split_once('-').unwrap();
            let number = |digits| u64::from_str_radix(digits, 16).unwrap();
            let flag = |letter, bit| if perms.contains(letter) { bit } else { 0 };
            let flags = flag('r', 4) | flag('w', 2) | flag('x', 1);
            wanted.push((number(start), number(end), flags));
        }
        // Neighbours of the same rights are one segment.
        let mut joined: Vec<(u64, u64, u32)> = Vec::new();
        for (start, end, flags) in wanted {
            match joined.last_mut() {
                Some(last) if last.1 == start && last.2 == flags => last.1 = end,
                _ => joined.push((start, end, flags)),
            }
        }
        let mut found: Vec<(u64, u64, u32)> = Vec::new();
        for segment in &core.segments {
            let end = segment.start + segment.memory;
            match found.last_mut() {
                Some(last) if last.1 == segment.start && last.2 == segment.flags => last.1 = end,
                _ => found.push((segment.start, end, segment.flags)),
            }
        }
        assert_eq!(found, joined, "pid {pid}");
        let space = guest.provider().address_space(taskd).unwrap();
        for segment in &core.segments {
            for (nth, page) in segment.bytes.chunks(4096).enumerate() {
                let at = VirtAddr(segment.start + nth as u64 * 4096);
                let mut own = vec![0; 4096];
                if space.read(at, &mut own).is_ok() {
                    assert!(page == own, "pid {pid}, {at}");
                    pages += 1;
                }
            }
        }
        cores += 1;
    }
    assert!(cores > 20 && pages > 1000, "{cores} cores, {pages} pages");
    assert_eq!(leaderless, 1, "the crowd has one such process");
}

/// Whether the first thread of the process has exited, and others have not.
fn leader_is_gone(real: &Real, pid: u32) -> bool {
    let status = fs::read(real.path.join(format!("truth/p/{pid}/status")));
    let status = status.unwrap_or_default().escape_ascii().to_string();
    status.contains(r"State:\tZ") && !status.contains(r"Threads:\t1\n")
}

/// Every thread of `/proc/PID/task` has registers: a system call or the processor's own. The auxiliary vector
/// is that of `/proc/PID/auxv`.
fn threads_are_the_process_s(real: &Real) {
    let guest = guest(real);
    let file = out(real, "threads.core");
    let (mut threads, mut vectors) = (0, 0);
    for (pid, taskd) in processes(&guest) {
        let truth = real.path.join(format!("truth/p/{pid}"));
        if !truth.is_dir() || pid == 1 {
            continue;
        }
        let _ = process_core(&guest, taskd, &file).unwrap();
        let core = Core::read(&fs::read(&file).unwrap());
        let at = if core.wide { (32, 112) } else { (24, 72) };
        let mut found = Vec::new();
        for status in core.notes(1) {
            let word = |at: usize| {
                let width = if core.wide { 8 } else { 4 };
                let mut bytes = [0; 8];
                bytes[..width].copy_from_slice(&status[at..at + width]);
                u64::from_le_bytes(bytes)
            };
            let tid = u32::from_le_bytes(status[at.0..at.0 + 4].try_into().unwrap());
            let (ip, sp) = if core.wide {
                (word(at.1 + 16 * 8), word(at.1 + 19 * 8))
            } else {
                (word(at.1 + 12 * 4), word(at.1 + 15 * 4))
            };
            // It runs code, and its stack is memory that may be written.
            let flags = |address: u64| {
                let holds = |segment: &&dumped::Segment| {
                    (segment.start..segment.start + segment.memory).contains(&address)
                };
                core.segments
                    .iter()
                    .find(holds)
                    .map(|segment| segment.flags)
            };
            assert_eq!(flags(ip).unwrap() & 1, 1, "thread {tid} at {ip:#x}");
            assert_eq!(
                flags(sp).unwrap() & 2,
                2,
                "the stack of thread {tid} at {sp:#x}"
            );
            // Whoever waits does so behind the instruction that called the kernel.
            let orig = if core.wide {
                word(at.1 + 15 * 8)
            } else {
                word(at.1 + 11 * 4)
            };
            if orig < 1000 {
                let before = core.at(ip - 2, 2).unwrap();
                let calls: [&[u8]; 3] = [b"\x0f\x05", b"\xcd\x80", b"\x0f\x34"];
                assert!(
                    calls.contains(&before),
                    "thread {tid}: {before:x?} before {ip:#x}"
                );
            }
            found.push(tid);
        }
        found.sort_unstable();
        if let Ok(tasks) = fs::read_dir(truth.join("task")) {
            let tids =
                tasks.map(|task| task.unwrap().file_name().to_str().unwrap().parse().unwrap());
            let mut tids: Vec<u32> = tids.collect();
            tids.sort_unstable();
            if leader_is_gone(real, pid) {
                tids.retain(|tid| *tid != pid); // it has no registers any more
            }
            assert_eq!(found, tids, "pid {pid}");
            threads += tids.len();
        } else {
            threads += found.len();
        }
        if let Ok(vector) = fs::read(truth.join("auxv"))
            && !vector.is_empty()
        {
            let own = core.notes(6);
            assert_eq!(own.len(), 1, "pid {pid}");
            assert!(
                vector.starts_with(own[0]),
                "pid {pid}: another auxiliary vector"
            );
            vectors += 1;
        }
    }
    assert!(threads > 20, "{threads}");
    // The smaller snapshots have no truth of them.
    let made = real.name.starts_with("triage");
    assert!(!made || vectors > 20, "{vectors} auxiliary vectors");
}

/// The program that is rebuilt out of the page cache is an ELF file whose sections end where the file does, and the
/// same for all that run it.
fn programs_are_whole(real: &Real) {
    let guest = guest(real);
    let mut by_path: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut count = 0;
    for process in guest.processes() {
        let osier::ProcessExtra::Linux(linux) = &process.extra else {
            continue;
        };
        let Ok(path) = &linux.exe else { continue };
        let file = out(real, "program");
        let done = executable(&guest, process.taskd, &file).unwrap();
        assert!(done.lost.is_empty(), "{:?}", done.lost);
        let bytes = fs::read(&file).unwrap();
        assert_eq!(&bytes[..4], b"\x7fELF");
        let wide = bytes[4] == 2;
        let number = |at: usize, width: usize| {
            let mut word = [0; 8];
            word[..width].copy_from_slice(&bytes[at..at + width]);
            usize::try_from(u64::from_le_bytes(word)).unwrap()
        };
        // The section headers stand at the end, and were never mapped.
        let end = if wide {
            number(40, 8) + number(58, 2) * number(60, 2)
        } else {
            number(32, 4) + number(46, 2) * number(48, 2)
        };
        assert_eq!(end, bytes.len());
        match by_path.get(path) {
            Some(known) => assert!(*known == bytes),
            None => drop(by_path.insert(path.clone(), bytes)),
        }
        count += 1;
    }
    assert!(count > 20, "{count}");
}

/// gdb opens the core of a process of many threads and says what it is.
fn gdb_opens_it(real: &Real) {
    let snapshot = real.path.join("memory.elf");
    let guest = guest(real);
    let osi = guest.provider();
    let threads = |taskd| {
        let mut tids = Vec::new();
        let _ = osi.threads(taskd, &mut |thread| {
            tids.push(thread.tid.unwrap());
            std::ops::ControlFlow::Continue(())
        });
        tids
    };
    let (pid, tids) = processes(&guest)
        .into_iter()
        .map(|(pid, taskd)| (pid, threads(taskd)))
        .max_by_key(|(_, tids)| tids.len())
        .unwrap();
    assert!(tids.len() > 5);
    let core = out(real, "gdb.core");
    let (snapshot, pid, core) = (
        snapshot.to_str().unwrap(),
        pid.to_string(),
        core.to_str().unwrap(),
    );
    let output = command::run(["dump", snapshot, "--pid", &pid, "-o", core], CACHE);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let asked = ["info threads", "x/i $pc", "info auxv", "info proc mappings"];
    let mut gdb = Command::new("gdb");
    gdb.args(["-q", "-batch", "-nx", "-c", core]);
    for word in asked {
        gdb.args(["-ex", word]);
    }
    let answer = gdb.output().unwrap();
    let text = answer.stdout.escape_ascii().to_string();
    for tid in tids {
        assert!(
            text.contains(&format!("LWP {tid} ")),
            "no thread {tid}: {text}"
        );
    }
    assert!(text.contains("=> 0x"), "{text}");
    assert!(text.contains("AT_ENTRY"), "{text}");
    assert!(text.contains("workload"), "{text}");
}

/// Words of what a dump reads are zeroed, filled and flipped: no dump, program or search panics, or takes longer than
/// reading all memory does.
fn damage_ends_no_dump(real: &Real) {
    use std::os::unix::fs::FileExt as _;

    let raw = out(real, "damaged.raw");
    fs::copy(real.path.join("memory.raw"), &raw).unwrap();
    let whole = Guest::open(&raw, &Options::default()).unwrap();
    let osi = whole.provider();
    let (pid, taskd) = processes(&whole).into_iter().nth(5).unwrap();
    let kernel = osi.kernel_space().clone();
    let mut places = vec![taskd.0];
    for mapping in whole.mappings(taskd) {
        places.push(mapping.modd.0);
        if let Some(Ok(file)) = osi
            .carve()
            .and_then(|carve| carve.linux())
            .map(|carve| carve.mapped_file(mapping.modd))
        {
            places.push(file.mapping.0);
        }
    }
    let space = osi.address_space(taskd).unwrap();
    let mut words: Vec<u64> = Vec::new();
    for place in places {
        for by in (0..512).step_by(8) {
            words.extend(kernel.translate(VirtAddr(place + by)).ok().map(|pa| pa.0));
        }
    }
    for by in (0..4096).step_by(64) {
        words.push(space.root().0 + by);
    }
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&raw)
        .unwrap();
    let core = out(real, "damaged.core");
    let patterns = [Pattern::text("workload").unwrap()];
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut done = 0;
    for _ in 0..120 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let at = words[(seed % words.len() as u64) as usize] & !7;
        let mut before = [0; 8];
        file.read_exact_at(&mut before, at).unwrap();
        let after = match seed >> 61 {
            0 | 1 => [0; 8],
            2 => [0xff; 8],
            3 | 4 => seed.to_le_bytes(),
            _ => (u64::from_le_bytes(before) ^ (1 << (seed >> 32 & 63))).to_le_bytes(),
        };
        file.write_all_at(&after, at).unwrap();
        if let Ok(guest) = Guest::open(&raw, &Options::default()) {
            let (taskds, _) = osier::ask::by_pid(&*guest.provider(), pid);
            for taskd in taskds {
                done += usize::from(process_core(&guest, taskd, &core).is_ok());
                let _ = executable(&guest, taskd, &core);
                let osi = guest.provider();
                let scope = Scope::Processes(&*osi, vec![taskd]);
                let mut hits = 0;
                let _ = search(&scope, &patterns, None, &mut |_| {
                    hits += 1;
                    std::ops::ControlFlow::Continue(())
                });
            }
        }
        file.write_all_at(&before, at).unwrap();
    }
    assert!(done > 60, "{done}");
    fs::remove_file(&raw).unwrap();
}
