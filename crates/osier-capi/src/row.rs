//! One struct for each kind of row. Fields are filled by name from the cells of `osier::tables`, so
//! what a field holds is what `docs/rows.md` says of the column of that name.

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use osier::tables::{Cell, Cells};

use crate::error::text;

/// Bytes of the guest. They need not be UTF-8 and may hold NULs; one more NUL stands behind them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    /// The first byte; NULL when the field is absent.
    pub data: *const c_char,
    /// How many, without the NUL behind them.
    pub len: usize,
}

impl Default for Bytes {
    fn default() -> Self {
        Self {
            data: ptr::null(),
            len: 0,
        }
    }
}

/// What the fields of the row that is shown point to, and why others are absent.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: Vec<Box<[u8]>>,
    absent: Vec<Option<CString>>,
}

impl Held {
    /// Why the field of that number is absent; `None` when it is there.
    pub(crate) fn absence(&self, field: usize) -> Option<&CStr> {
        self.absent.get(field)?.as_deref()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.absent.clear();
    }

    fn keep(&mut self, bytes: &[u8]) -> Bytes {
        let mut ended = Vec::with_capacity(bytes.len().saturating_add(1));
        ended.extend_from_slice(bytes);
        ended.push(0);
        self.bytes.push(ended.into_boxed_slice());
        let data = self.bytes.last().map_or(ptr::null(), |kept| kept.as_ptr());
        Bytes {
            data: data.cast(),
            len: bytes.len(),
        }
    }
}

/// What a field of C's is filled from.
trait Field: Default {
    fn fill(cell: &Cell<'_>, held: &mut Held) -> Self;
}

impl Field for u64 {
    fn fill(cell: &Cell<'_>, _: &mut Held) -> Self {
        match cell {
            Cell::Address(number) | Cell::Number(number) => *number,
            _ => 0,
        }
    }
}

impl Field for i64 {
    fn fill(cell: &Cell<'_>, _: &mut Held) -> Self {
        match cell {
            Cell::Instant(at) => *at,
            Cell::Number(number) => i64::try_from(*number).unwrap_or(i64::MAX),
            Cell::Numeral(number) => number.parse().unwrap_or(0),
            _ => 0,
        }
    }
}

impl Field for bool {
    fn fill(cell: &Cell<'_>, _: &mut Held) -> Self {
        matches!(cell, Cell::Flag(true))
    }
}

impl Field for Bytes {
    fn fill(cell: &Cell<'_>, held: &mut Held) -> Self {
        match cell {
            Cell::Bytes(bytes) | Cell::Arguments(bytes) => held.keep(bytes),
            Cell::Word(word) => held.keep(word.as_bytes()),
            Cell::Text(words) | Cell::Numeral(words) => held.keep(words.as_bytes()),
            _ => Self::default(),
        }
    }
}

/// A kind of row, as C has it.
pub(crate) trait Shown: Default {
    /// The names of its columns, in the order of its fields.
    const FIELDS: &'static [&'static str];

    /// The row of these cells. `held` keeps what it points to.
    fn show(cells: &Cells<'_>, held: &mut Held) -> Self;
}

/// Fills the struct from the cells, each field from the column of its name. A field that is left out
/// here does not compile.
macro_rules! shown {
    ($name:ident: $($field:ident),*) => {
        impl Shown for $name {
            const FIELDS: &'static [&'static str] = &[$(plain(stringify!($field))),*];

            fn show(cells: &Cells<'_>, held: &mut Held) -> Self {
                held.clear();
                let mut present = 0_u64;
                let mut bit = 1_u64;
                $(
                    let $field = field(cells, plain(stringify!($field)), held);
                    present |= if $field.is_some() { bit } else { 0 };
                    bit = bit.wrapping_shl(1);
                )*
                let _ = bit;
                Self {
                    struct_size: size_of::<Self>(),
                    present,
                    $($field: $field.unwrap_or_default(),)*
                }
            }
        }
    };
}

/// A field's name without what Rust puts before one that is a word of its own.
const fn plain(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// The value of the column `name`; notes why there is none.
fn field<F: Field>(cells: &Cells<'_>, name: &str, held: &mut Held) -> Option<F> {
    let cell = cells.iter().find(|(column, _)| column.name == name);
    let (value, why) = match cell {
        Some((_, Cell::Absent(why))) => (None, Some(text(why.to_string().into()))),
        None | Some((_, Cell::Null)) => (None, Some(c"not a field of this system".into())),
        Some((_, cell)) => (Some(F::fill(cell, held)), None),
    };
    held.absent.push(why);
    value
}

/// Each struct by its name in C, with its fields in their order: what the header's numbers of fields are
/// made from.
pub fn fields() -> [(&'static str, &'static [&'static str]); 16] {
    [
        ("process", Process::FIELDS),
        ("handle", Handle::FIELDS),
        ("current", Current::FIELDS),
        ("thread", Thread::FIELDS),
        ("module", Module::FIELDS),
        ("mapping", Mapping::FIELDS),
        ("page_range", PageRange::FIELDS),
        ("open_file", OpenFile::FIELDS),
        ("variable", Variable::FIELDS),
        ("log_line", LogLine::FIELDS),
        ("wide_process", WideProcess::FIELDS),
        ("mount", Mount::FIELDS),
        ("socket", Socket::FIELDS),
        ("interface", Interface::FIELDS),
        ("scanned", Scanned::FIELDS),
        ("finding", Finding::FIELDS),
    ]
}

/// A process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Its id.
    pub pid: u64,
    /// Its parent's id.
    pub ppid: u64,
    /// Its name.
    pub name: Bytes,
    /// Linux: address of the leader's `task_struct`. Windows: of the `_EPROCESS`.
    pub taskd: u64,
    /// Physical address of its page-table root.
    pub asid: u64,
    /// Linux: virtual address of the page-table root, `mm->pgd`.
    pub pgd: u64,
    /// Linux: nanoseconds since boot. Windows: FILETIME.
    pub create_time: u64,
    /// The same on the wall clock: nanoseconds since 1970-01-01 UTC.
    pub start: i64,
    /// Linux: real user id.
    pub uid: u64,
    /// Linux: real group id.
    pub gid: u64,
    /// Linux: the leader's state, one letter.
    pub state: Bytes,
    /// Linux: number of threads.
    pub threads: u64,
    /// Linux: path of the executable.
    pub exe: Bytes,
    /// Arguments. Linux: each ended by a NUL.
    pub cmdline: Bytes,
    /// Linux: whether it is a thread of the kernel.
    pub kernel_thread: bool,
    /// Windows: FILETIME of its end.
    pub exit_time: u64,
    /// Windows: session id.
    pub session: u64,
    /// Windows: whether it is a 32-bit process of a 64-bit kernel.
    pub wow64: bool,
    /// Windows: address of its `_PEB`.
    pub peb: u64,
    /// Windows: path of its image.
    pub path: Bytes,
    /// Which source found it.
    pub found_by: Bytes,
}

shown!(Process: pid, ppid, name, taskd, asid, pgd, create_time, start, uid, gid, state, threads, exe, cmdline, kernel_thread, exit_time, session, wow64, peb, path, found_by);

/// What names a process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Handle {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Linux: address of the leader's `task_struct`. Windows: of the `_EPROCESS`.
    pub taskd: u64,
    /// Physical address of its page-table root.
    pub asid: u64,
}

shown!(Handle: taskd, asid);

/// What runs on a processor.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Current {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// The processor's index.
    pub cpu: u64,
    /// Id of its process.
    pub pid: u64,
    /// Id of its thread.
    pub tid: u64,
    /// Name of what runs.
    pub name: Bytes,
    /// What names its process; see `osier_process`.
    pub taskd: u64,
    /// Physical address of the process's page-table root.
    pub asid: u64,
    /// Address of the thread: `task_struct` or `_ETHREAD`.
    pub task: u64,
    /// The thread's state, one letter.
    pub state: Bytes,
    /// Id of the process's parent.
    pub ppid: u64,
    /// The process's name.
    pub process_name: Bytes,
    /// Linux: virtual address of the page-table root.
    pub pgd: u64,
    /// When the process started; see `osier_process`.
    pub create_time: u64,
    /// The same on the wall clock.
    pub start: i64,
    /// Path of the process's executable.
    pub exe: Bytes,
}

shown!(Current: cpu, pid, tid, name, taskd, asid, task, state, ppid, process_name, pgd, create_time, start, exe);

/// A thread.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Thread {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Id of its process.
    pub pid: u64,
    /// Its id.
    pub tid: u64,
    /// Its name.
    pub name: Bytes,
    /// Its address: `task_struct` or `_ETHREAD`.
    pub task: u64,
    /// Its state, one letter.
    pub state: Bytes,
}

shown!(Thread: pid, tid, name, task, state);

/// A kernel module or driver.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Module {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Its name.
    pub name: Bytes,
    /// First address of its code.
    pub base: u64,
    /// Bytes.
    pub size: u64,
    /// Path of its file.
    pub file: Bytes,
    /// Address of its `struct module` or loader entry.
    pub modd: u64,
}

shown!(Module: name, base, size, file, modd);

/// A mapping of a process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Mapping {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Id of its process.
    pub pid: u64,
    /// First address.
    pub base: u64,
    /// Bytes.
    pub size: u64,
    /// The file's base name, or a name in brackets.
    pub name: Bytes,
    /// The file's path.
    pub file: Bytes,
    /// Where in the file it starts, in bytes.
    pub offset: u64,
    /// The kernel's own flags.
    pub flags: u64,
    /// Rights, as `/proc/PID/maps` shows them.
    pub perms: Bytes,
    /// What it is for, in a word.
    pub kind: Bytes,
    /// Address of its `vm_area_struct`, loader entry or VAD.
    pub modd: u64,
}

shown!(Mapping: pid, base, size, name, file, offset, flags, perms, kind, modd);

/// A range of present pages of a process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PageRange {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Id of its process.
    pub pid: u64,
    /// First virtual address.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// Physical address of the first byte.
    pub phys: u64,
    /// Bytes of each page.
    pub page_size: u64,
    /// Rights and marks of the page-table entries, in words.
    pub flags: Bytes,
    /// What the mapping around it is called.
    pub backing: Bytes,
}

shown!(PageRange: pid, start, len, phys, page_size, flags, backing);

/// An open file of a process, of Windows a handle.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenFile {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Id of its process.
    pub pid: u64,
    /// Linux: the descriptor.
    pub fd: u64,
    /// Linux: the path, as the link in `/proc/PID/fd` shows it.
    pub path: Bytes,
    /// What it leads to, in a word. Windows: the type of the object.
    pub kind: Bytes,
    /// Linux: the flags of `open`.
    pub flags: u64,
    /// Linux: the position in it, in bytes.
    pub pos: u64,
    /// Linux: number of the inode.
    pub inode: u64,
    /// Linux: the file system's device, `MAJOR:MINOR`.
    pub device: Bytes,
    /// Linux: address of its `struct sock`, of a socket.
    pub socket: u64,
    /// Linux: address of its `struct file`.
    pub filed: u64,
    /// Windows: the handle.
    pub handle: u64,
    /// Windows: address of the object.
    pub object: u64,
    /// Windows: the rights, an `ACCESS_MASK`.
    pub access: u64,
    /// Windows: what the object is called.
    pub name: Bytes,
}

shown!(OpenFile: pid, fd, path, kind, flags, pos, inode, device, socket, filed, handle, object, access, name);

/// A variable of a process's environment.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Variable {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Id of its process.
    pub pid: u64,
    /// What stands before the `=`.
    pub name: Bytes,
    /// What stands behind it.
    pub value: Bytes,
    /// Where it stands in the process's memory.
    pub address: u64,
}

shown!(Variable: pid, name, value, address);

/// A record of the kernel's log.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct LogLine {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Nanoseconds since boot.
    pub time: u64,
    /// How grave it is, in a word.
    pub level: Bytes,
    /// Who speaks, in a word.
    pub facility: Bytes,
    /// Who wrote it: `T` and a thread's id, or `C` and a processor's number.
    pub caller: Bytes,
    /// The text.
    pub text: Bytes,
    /// Its number since boot.
    pub seq: u64,
    /// Address of its descriptor or record.
    pub address: u64,
}

shown!(LogLine: time, level, facility, caller, text, seq, address);

/// A process with all that is known of it: fields that are not marked otherwise are those of Linux, but for what
/// names the process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct WideProcess {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Its id.
    pub pid: u64,
    /// Its parent's id.
    pub ppid: u64,
    /// Its name.
    pub name: Bytes,
    /// Linux: address of the leader's `task_struct`. Windows: of the `_EPROCESS`.
    pub taskd: u64,
    /// Physical address of its page-table root.
    pub asid: u64,
    /// Linux: the same, virtual.
    pub pgd: u64,
    /// Linux: nanoseconds since boot. Windows: FILETIME.
    pub create_time: u64,
    /// The same on the wall clock: nanoseconds since 1970-01-01 UTC.
    pub start: i64,
    /// Real user id.
    pub uid: u64,
    /// Real group id.
    pub gid: u64,
    /// The leader's state, one letter.
    pub state: Bytes,
    /// Number of threads.
    pub threads: u64,
    /// Path of the executable.
    pub exe: Bytes,
    /// Arguments. Linux: each ended by a NUL.
    pub cmdline: Bytes,
    /// Whether it is a thread of the kernel.
    pub kernel_thread: bool,
    /// Which source found it.
    pub found_by: Bytes,
    /// Effective user id.
    pub euid: u64,
    /// Saved user id.
    pub suid: u64,
    /// User id for access to files.
    pub fsuid: u64,
    /// Effective group id.
    pub egid: u64,
    /// Supplementary groups, parted by blanks. Windows: SIDs of the groups.
    pub groups: Bytes,
    /// Effective capabilities, a bit each.
    pub caps: u64,
    /// The user who logged in.
    pub loginuid: u64,
    /// How system calls are filtered, in a word.
    pub seccomp: Bytes,
    /// Path of its control group.
    pub cgroup: Bytes,
    /// The container's id.
    pub container: Bytes,
    /// `KIND:NUMBER` of its namespaces, parted by blanks.
    pub ns: Bytes,
    /// Its id in its own pid namespace.
    pub ns_pid: u64,
    /// Its session.
    pub session_id: u64,
    /// Its process group.
    pub pgid: u64,
    /// Its controlling terminal.
    pub tty: Bytes,
    /// The thread that traces it.
    pub tracer: u64,
    /// -20 to 19.
    pub nice: i64,
    /// How it is scheduled, in a word.
    pub policy: Bytes,
    /// Nanoseconds in user mode.
    pub utime: u64,
    /// Nanoseconds in the kernel.
    pub stime: u64,
    /// Bytes of all mappings.
    pub vsize: u64,
    /// Bytes in memory.
    pub rss: u64,
    /// The working directory.
    pub cwd: Bytes,
    /// The root directory.
    pub root: Bytes,
    /// Windows: FILETIME of its end.
    pub exit_time: u64,
    /// Windows: session id.
    pub session: u64,
    /// Windows: whether it is a 32-bit process of a 64-bit kernel.
    pub wow64: bool,
    /// Windows: address of its `_PEB`.
    pub peb: u64,
    /// Windows: path of its image.
    pub path: Bytes,
    /// Windows: address of its `_TOKEN`.
    pub token: u64,
    /// Windows: the user's SID, `S-1-5-18`.
    pub user: Bytes,
    /// Windows: privileges by name, parted by blanks.
    pub privileges: Bytes,
    /// Windows: the integrity level, in a word.
    pub integrity: Bytes,
    /// Windows: number of the logon.
    pub logon: u64,
}

shown!(WideProcess: pid, ppid, name, taskd, asid, pgd, create_time, start, uid, gid, state, threads, exe, cmdline, kernel_thread, found_by, euid, suid, fsuid, egid, groups, caps, loginuid, seccomp, cgroup, container, ns, ns_pid, session_id, pgid, tty, tracer, nice, policy, utime, stime, vsize, rss, cwd, root, exit_time, session, wow64, peb, path, token, user, privileges, integrity, logon);

/// A mount, as a process sees it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Mount {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Id of its process.
    pub pid: u64,
    /// Its number.
    pub id: u64,
    /// The number of the mount that it stands on.
    pub parent: u64,
    /// The file system's device, `MAJOR:MINOR`.
    pub device: Bytes,
    /// What was mounted.
    pub source: Bytes,
    /// Which folder or file of the file system is its root.
    pub root: Bytes,
    /// Where it stands, from the root directory of the process.
    pub point: Bytes,
    /// The type of the file system.
    pub r#type: Bytes,
    /// The mount's own options.
    pub options: Bytes,
    /// Options of the file system that are not of its type alone.
    pub super_options: Bytes,
    /// Where mounts on it go and come from.
    pub propagation: Bytes,
    /// Address of its `struct mount`.
    pub address: u64,
}

shown!(Mount: pid, id, parent, device, source, root, point, r#type, options, super_options, propagation, address);

/// A socket, by one of the descriptors that lead to it, or by none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Socket {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Id of the process that has a descriptor of it.
    pub pid: u64,
    /// The descriptor.
    pub fd: u64,
    /// Family of its protocol, in a word.
    pub family: Bytes,
    /// Its type, in a word.
    pub r#type: Bytes,
    /// Its protocol, in a word.
    pub protocol: Bytes,
    /// Its own address.
    pub local: Bytes,
    /// Its own port.
    pub local_port: u64,
    /// The other end's address.
    pub remote: Bytes,
    /// The other end's port.
    pub remote_port: u64,
    /// Its state, in a word.
    pub state: Bytes,
    /// Number of its inode; 0 when it has none.
    pub inode: u64,
    /// The name of a UNIX socket.
    pub path: Bytes,
    /// Number of its network namespace.
    pub netns: u64,
    /// Address of its `struct sock`.
    pub address: u64,
    /// What waits to be received.
    pub recv_queue: u64,
    /// What waits to be sent or acknowledged.
    pub send_queue: u64,
    /// Number of the interface that it is bound to.
    pub interface: u64,
    /// What leads to it: descriptor, table, or both.
    pub found_by: Bytes,
}

shown!(Socket: pid, fd, family, r#type, protocol, local, local_port, remote, remote_port, state, inode, path, netns, address, recv_queue, send_queue, interface, found_by);

/// A network interface.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Interface {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// Number of its network namespace.
    pub netns: u64,
    /// Its number.
    pub index: u64,
    /// Its name.
    pub name: Bytes,
    /// What it is and does, in words.
    pub flags: Bytes,
    /// Its address on the wire.
    pub mac: Bytes,
    /// Its addresses, each with the length of its prefix.
    pub addresses: Bytes,
    /// The longest packet that it sends.
    pub mtu: u64,
    /// Address of its `net_device`.
    pub address: u64,
}

shown!(Interface: netns, index, name, flags, mac, addresses, mtu, address);

/// A task or a module, found by its own bytes or named by a list.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Scanned {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// What it is, in a word.
    pub kind: Bytes,
    /// Address of its `task_struct` or `struct module`.
    pub address: u64,
    /// The same, physical.
    pub phys: u64,
    /// The process's id.
    pub pid: u64,
    /// The thread's own id.
    pub tid: u64,
    /// Its name.
    pub name: Bytes,
    /// Whether the kernel's own list leads to it.
    pub linked: bool,
    /// Whether its memory was given back.
    pub freed: bool,
    /// Whether it says that it has begun to exit.
    pub exited: bool,
    /// What found it, words with commas between.
    pub found_by: Bytes,
}

shown!(Scanned: kind, address, phys, pid, tid, name, linked, freed, exited, found_by);

/// Something that does not fit.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Finding {
    /// Bytes of this struct in the library that made it; later versions add fields at the end.
    pub struct_size: usize,
    /// A bit for each field below, in their order, from the least significant on: whether it has a value.
    pub present: u64,
    /// The rule's name.
    pub rule: Bytes,
    /// How much it says: `note`, `medium` or `high`.
    pub severity: Bytes,
    /// What it is about.
    pub subject: Bytes,
    /// What is found, in words.
    pub text: Bytes,
    /// What was read to find it, and where.
    pub evidence: Bytes,
    /// The process's id.
    pub pid: u64,
    /// The object in memory.
    pub address: u64,
    /// What would be normal.
    pub normal: Bytes,
    /// What else could explain it.
    pub otherwise: Bytes,
}

shown!(Finding: rule, severity, subject, text, evidence, pid, address, normal, otherwise);
