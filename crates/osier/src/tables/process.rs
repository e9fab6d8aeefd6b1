//! Processes, handles, and what runs on each processor.

use std::sync::LazyLock;

use osier_osi::{
    Absent, Current, Handle, LinuxProcess, LinuxWide, Namespaces, Process, ProcessExtra, Seen,
    TaskState, Thread, WindowsProcess, WindowsWide,
};

use super::{
    Cell, Kind, Row, Table, brief, bytes, count, flag, found_by, id, number, phys, seen, virt,
    wide, word,
};

/// What every process has, and then the columns of one system.
macro_rules! columns {
    ($($more:expr,)*) => {
        &[
            number("pid"),
            number("ppid"),
            brief("name").of(Kind::Bytes),
            brief("taskd").of(Kind::Address),
            brief("asid").of(Kind::Address),
            wide("pgd").of(Kind::Address),
            wide("create_time").of(Kind::Number),
            brief("start").of(Kind::Instant),
            $($more,)*
        ]
    };
}

/// What every process of Linux has, and then more.
macro_rules! linux {
    ($($more:expr,)*) => {
        columns![
            number("uid"),
            wide("gid").of(Kind::Number),
            brief("state"),
            number("threads"),
            brief("exe").of(Kind::Bytes),
            wide("cmdline").of(Kind::Bytes),
            wide("kernel_thread").of(Kind::Flag),
            wide("found_by"),
            $($more,)*
        ]
    };
}

static LINUX: Table = Table {
    name: "process",
    columns: linux![],
};

/// The same with what `ps --wide` shows besides.
static WIDE: Table = Table {
    name: "wide",
    columns: linux![
        number("euid"),
        wide("suid").of(Kind::Number),
        wide("fsuid").of(Kind::Number),
        wide("egid").of(Kind::Number),
        brief("groups"),
        brief("caps").of(Kind::Address),
        wide("loginuid").of(Kind::Number),
        brief("seccomp"),
        brief("cgroup").of(Kind::Bytes),
        wide("container").of(Kind::Bytes),
        wide("ns"),
        wide("ns_pid").of(Kind::Number),
        wide("session_id").of(Kind::Number),
        wide("pgid").of(Kind::Number),
        brief("tty").of(Kind::Bytes),
        wide("tracer").of(Kind::Number),
        number("nice").of(Kind::Signed),
        wide("policy"),
        number("utime"),
        number("stime"),
        number("vsize"),
        number("rss"),
        brief("cwd").of(Kind::Bytes),
        wide("root").of(Kind::Bytes),
    ],
};

/// What every process of Windows has, and then more.
macro_rules! windows {
    ($($more:expr,)*) => {
        columns![
            wide("exit_time").of(Kind::Number),
            number("session"),
            brief("wow64").of(Kind::Flag),
            wide("peb").of(Kind::Address),
            brief("path").of(Kind::Bytes),
            wide("cmdline").of(Kind::Bytes),
            wide("found_by"),
            $($more,)*
        ]
    };
}

static WINDOWS: Table = Table {
    name: "process",
    columns: windows![],
};

/// The same with what `ps --wide` shows besides.
static WINDOWS_WIDE: Table = Table {
    name: "wide",
    columns: windows![
        wide("token").of(Kind::Address),
        brief("user"),
        wide("groups"),
        wide("privileges"),
        brief("integrity"),
        wide("logon").of(Kind::Address),
    ],
};

/// A process of any other system.
static OTHER: Table = Table {
    name: "process",
    columns: columns![wide("found_by"),],
};

/// Every kind of process that Osier's own providers list.
pub(super) static PROCESSES: [&Table; 2] = [&LINUX, &WINDOWS];

/// Every kind of process with all that is known of it.
pub(super) static WIDES: [&Table; 2] = [&WIDE, &WINDOWS_WIDE];

impl Row for Process {
    fn table(&self) -> &'static Table {
        match &self.extra {
            ProcessExtra::Linux(linux) if linux.wide.is_some() => &WIDE,
            ProcessExtra::Linux(_) => &LINUX,
            ProcessExtra::Windows(windows) if windows.wide.is_some() => &WINDOWS_WIDE,
            ProcessExtra::Windows(_) => &WINDOWS,
            ProcessExtra::Other => &OTHER,
        }
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        let mut cells = vec![
            id(&self.pid),
            id(&self.ppid),
            bytes(&self.name),
            Cell::Address(self.taskd.0),
            phys(&self.asid),
            virt(&self.pgd),
            count(&self.create_time),
            instant(&self.start),
        ];
        match &self.extra {
            ProcessExtra::Linux(linux) => cells.extend(linux_cells(linux)),
            ProcessExtra::Windows(windows) => cells.extend(windows_cells(windows)),
            ProcessExtra::Other => {}
        }
        cells.push(Cell::Word(found_by(self.found_by)));
        if let ProcessExtra::Linux(LinuxProcess {
            wide: Some(wide), ..
        }) = &self.extra
        {
            cells.extend(wide_cells(wide));
        }
        if let ProcessExtra::Windows(WindowsProcess {
            wide: Some(wide), ..
        }) = &self.extra
        {
            cells.extend(token_cells(wide));
        }
        cells
    }
}

/// The words of scheduling policies.
const POLICIES: [&str; 8] = [
    "other", "fifo", "rr", "batch", "iso", "idle", "deadline", "ext",
];
/// The words of the modes of seccomp.
const FILTERS: [&str; 3] = ["none", "strict", "filter"];

fn state(value: &Seen<TaskState>) -> Cell<'_> {
    seen(value, |state| Cell::Text(state.0.to_string()))
}

fn instant(value: &Seen<i64>) -> Cell<'_> {
    seen(value, |&at| Cell::Instant(at))
}

fn wide_cells(wide: &LinuxWide) -> [Cell<'_>; 24] {
    [
        id(&wide.euid),
        id(&wide.suid),
        id(&wide.fsuid),
        id(&wide.egid),
        seen(&wide.groups, |groups| Cell::Text(blanks(groups))),
        seen(&wide.caps, |&caps| Cell::Address(caps)),
        id(&wide.loginuid),
        seen(&wide.seccomp, |&mode| word(&FILTERS, mode)),
        bytes(&wide.cgroup),
        bytes(&wide.container),
        seen(&wide.ns, |ns| Cell::Text(namespaces(ns))),
        id(&wide.ns_pid),
        id(&wide.session_id),
        id(&wide.pgid),
        bytes(&wide.tty),
        id(&wide.tracer),
        seen(&wide.nice, |&nice| match u64::try_from(nice) {
            Ok(nice) => Cell::Number(nice),
            Err(_) => Cell::Numeral(nice.to_string()),
        }),
        seen(&wide.policy, |&policy| word(&POLICIES, policy)),
        count(&wide.utime),
        count(&wide.stime),
        count(&wide.vsize),
        count(&wide.rss),
        bytes(&wide.cwd),
        bytes(&wide.root),
    ]
}

fn token_cells(wide: &WindowsWide) -> [Cell<'_>; 6] {
    [
        virt(&wide.token),
        seen(&wide.user, |user| Cell::Text(user.to_string())),
        seen(&wide.groups, |groups| Cell::Text(blanks(groups))),
        seen(&wide.privileges, |held| Cell::Text(blanks(held))),
        seen(&wide.integrity, |level| Cell::Text(level.to_string())),
        seen(&wide.logon, |&logon| Cell::Address(logon)),
    ]
}

/// Each, parted by blanks.
fn blanks<T: ToString>(all: &[T]) -> String {
    let all: Vec<String> = all.iter().map(T::to_string).collect();
    all.join(" ")
}

/// `KIND:NUMBER` of each, parted by blanks.
fn namespaces(ns: &Namespaces) -> String {
    let all = [
        ("cgroup", ns.cgroup),
        ("ipc", ns.ipc),
        ("mnt", ns.mnt),
        ("net", ns.net),
        ("pid", ns.pid),
        ("time", ns.time),
        ("user", ns.user),
        ("uts", ns.uts),
    ];
    let known = all
        .iter()
        .filter_map(|(kind, number)| Some(format!("{kind}:{}", (*number)?)));
    known.collect::<Vec<_>>().join(" ")
}

fn linux_cells(linux: &LinuxProcess) -> [Cell<'_>; 7] {
    [
        id(&linux.uid),
        id(&linux.gid),
        state(&linux.state),
        id(&linux.threads),
        bytes(&linux.exe),
        seen(&linux.cmdline, |line| Cell::Arguments(line)),
        flag(&linux.kernel_thread),
    ]
}

fn windows_cells(windows: &WindowsProcess) -> [Cell<'_>; 6] {
    [
        count(&windows.exit_time),
        id(&windows.session),
        flag(&windows.wow64),
        virt(&windows.peb),
        bytes(&windows.path),
        bytes(&windows.cmdline),
    ]
}

rows! {
    /// Every kind of handle.
    HANDLES: Handle, "handle", |row| {
        brief("taskd").of(Kind::Address) => Cell::Address(row.taskd.0),
        brief("asid").of(Kind::Address) => phys(&row.asid),
    }
}

/// The field of a part that may be absent as a whole.
fn of<'a, P, T: 'a>(
    part: &'a Seen<P>,
    field: impl FnOnce(&'a P) -> &'a Seen<T>,
    cell: impl FnOnce(&'a Seen<T>) -> Cell<'a>,
) -> Cell<'a> {
    match part {
        Ok(part) => cell(field(part)),
        Err(absent) => Cell::Absent(absent),
    }
}

rows! {
    /// Every kind of current.
    CURRENTS: Current, "current", |row| {
        number("cpu") => Cell::Number(u64::from(row.cpu)),
        number("pid") => of(&row.thread, |thread| &thread.pid, id),
        number("tid") => of(&row.thread, |thread| &thread.tid, id),
        brief("name").of(Kind::Bytes) => running_name(row),
        brief("taskd").of(Kind::Address) => seen(&row.process, |process| Cell::Address(process.taskd.0)),
        brief("asid").of(Kind::Address) => of(&row.process, |process| &process.asid, phys),
        wide("task").of(Kind::Address) => seen(&row.thread, |thread| Cell::Address(thread.task.0)),
        brief("state") => of(&row.thread, |thread| &thread.state, state),
        number("ppid") => of(&row.process, |process| &process.ppid, id),
        wide("process_name").of(Kind::Bytes) => of(&row.process, |process| &process.name, bytes),
        wide("pgd").of(Kind::Address) => of(&row.process, |process| &process.pgd, virt),
        wide("create_time").of(Kind::Number) => of(&row.process, |process| &process.create_time, count),
        brief("start").of(Kind::Instant) => of(&row.process, |process| &process.start, instant),
        brief("exe").of(Kind::Bytes) => of(&row.process, path, bytes),
    }
}

/// What runs is called as its thread is on Linux, where every thread has a name, and as its process
/// is on Windows.
fn running_name(current: &Current) -> Cell<'_> {
    match &current.process {
        Ok(process) if matches!(process.extra, ProcessExtra::Windows(_)) => bytes(&process.name),
        _ => of(&current.thread, |thread| &thread.name, bytes),
    }
}

fn path(process: &Process) -> &Seen<Vec<u8>> {
    match &process.extra {
        ProcessExtra::Linux(linux) => &linux.exe,
        ProcessExtra::Windows(windows) => &windows.path,
        ProcessExtra::Other => &NO_PATH,
    }
}

static NO_PATH: LazyLock<Seen<Vec<u8>>> = LazyLock::new(|| Err(Absent::not_in_this_kernel()));

rows! {
    /// Every kind of thread.
    THREADS: Thread, "thread", |row| {
        number("pid") => id(&row.pid),
        number("tid") => id(&row.tid),
        brief("name").of(Kind::Bytes) => bytes(&row.name),
        brief("task").of(Kind::Address) => Cell::Address(row.task.0),
        brief("state") => state(&row.state),
    }
}
