//! The rows that a toy kernel is to hold: a small crowd with the odd cases of a real one.

use super::{Era, ToyMapping, ToyState, ToyTask};

const READ: u64 = 0x71; // and may read, write, execute
const WRITE: u64 = 0x10_0002; // promised
const EXECUTE: u64 = 0x4;
const SHARED: u64 = 0x88;

fn mapping(start: u64, pages: u64, flags: u64) -> ToyMapping {
    ToyMapping {
        start,
        end: start + pages * 0x1000,
        flags,
        ..ToyMapping::default()
    }
}

fn of_file(start: u64, pages: u64, flags: u64, file: &[u8], page: u64) -> ToyMapping {
    let bare = file.strip_suffix(b" (deleted)").unwrap_or(file);
    let name = bare.rsplit(|b| *b == b'/').next().unwrap_or_default();
    ToyMapping {
        file: Some(file.to_vec()),
        name: name.to_vec(),
        offset: page * 0x1000,
        ..mapping(start, pages, flags)
    }
}

fn named(start: u64, pages: u64, flags: u64, name: &[u8]) -> ToyMapping {
    ToyMapping {
        name: name.to_vec(),
        ..mapping(start, pages, flags)
    }
}

/// What every user process has.
fn usual(exe: &[u8], stack_end: u64) -> Vec<ToyMapping> {
    vec![
        of_file(0x0040_0000, 4, READ | EXECUTE, exe, 0),
        of_file(0x0050_0000, 1, READ | WRITE, exe, 4),
        named(0x0060_0000, 8, READ | WRITE, b"[heap]"),
        of_file(0x3000_0000, 16, READ | EXECUTE, b"/lib/libtoy-1.0.so", 0),
        mapping(0x3001_0000, 2, READ | WRITE),
        named(stack_end - 0x8000, 8, READ | WRITE | 0x100, b"[stack]"),
        named(stack_end + 0x1000, 1, READ | EXECUTE, b"[vdso]"),
    ]
}

pub(super) fn crowd(era: Era, stack_end: u64) -> Vec<ToyTask> {
    let user = |pid, ppid, name: &[u8], exe: &[u8]| ToyTask {
        pid,
        ppid,
        name: name.to_vec(),
        exe: exe.to_vec(),
        cmdline: [exe, b"\0--of\0", name, b"\0"].concat(),
        start: u64::from(pid) * 10_000_000,
        mappings: usual(exe, stack_end),
        threads: vec![(pid, name.to_vec())],
        ..ToyTask::default()
    };
    let kernel = |pid, ppid, name: &[u8], state| ToyTask {
        pid,
        ppid,
        name: name.to_vec(),
        state,
        kernel: true,
        threads: vec![(pid, name.to_vec())],
        ..ToyTask::default()
    };
    let mut many = user(104, 1, b"many", b"/bin/many");
    let maps: Vec<_> = (0..48_u64)
        .map(|n| {
            mapping(
                0x2000_0000 + n * 0x3000,
                1 + n % 3,
                READ | ((n % 2) * WRITE),
            )
        })
        .collect();
    many.mappings.splice(3..3, maps);

    let mut files = user(105, 1, b"files", b"/tmp/run me");
    files.mappings.splice(
        3..3,
        [
            of_file(0x1000_0000, 1, READ | SHARED, b"/tmp/data.bin", 1),
            of_file(0x1100_0000, 2, READ, b"/var/old.so (deleted)", 0),
            of_file(0x1200_0000, 2, READ, b"/mnt/bound/a name\n of two lines", 0),
            of_file(
                0x1300_0000,
                1,
                READ,
                b"/usr/share/a-name-that-is-longer-than-a-dentry-holds",
                9,
            ),
        ],
    );
    if era == Era::Trees {
        files
            .mappings
            .insert(7, named(0x1400_0000, 2, READ | WRITE, b"[anon:toy heap]"));
    }

    let mut threads = user(200, 100, b"threads", b"/bin/threads");
    threads.uid = 1000;
    threads.gid = 1001;
    for n in 1..8_u8 {
        let name = format!("worker-{n}").into_bytes();
        threads.threads.push((200 + u32::from(n), name));
    }
    let mut leaderless = user(300, 1, b"leaderless", b"/bin/leaderless");
    leaderless.state = ToyState::Zombie;
    leaderless.threads.push((301, b"survivor".to_vec()));
    let mut zombie = user(4000, 100, b"zombie", b"/bin/sh");
    zombie.state = ToyState::Zombie;
    let mut stopped = user(102, 100, b"", b"/bin/sh");
    stopped.state = ToyState::Stopped;
    let mut shell = user(100, 1, b"sh tab\t\xff", b"/bin/sh");
    shell.state = ToyState::Running;

    vec![
        ToyTask {
            threads: vec![(0, b"swapper/0".to_vec())],
            ..kernel(0, 0, b"swapper/0", ToyState::Running)
        },
        user(1, 0, b"init", b"/sbin/init"),
        kernel(2, 0, b"kthreadd", ToyState::Sleeping),
        kernel(3, 2, b"kworker/0:0", ToyState::Idle),
        kernel(70, 2, b"fifteen-letters", ToyState::Sleeping),
        shell,
        stopped,
        many,
        files,
        threads,
        leaderless,
        zombie,
    ]
}
