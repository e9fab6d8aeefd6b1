//! The open files of a process: what `/proc/PID/fd` and `/proc/PID/fdinfo` show.

use foldhash::{HashMap, HashMapExt as _};
use osier_memory::{Each, VirtAddr};
use osier_osi::{Absent, FileExtra, FileKind, LinuxFile, OpenFile, Seen, WalkEnd, WalkEnds};

use crate::fds::{Slot, WALK};
use crate::memory::named;
use crate::{Linux, group, memory, process, symbols, threads};

/// The bits of a mode that say what a file is: `S_IFMT`.
const S_IFMT: u64 = 0o17_0000;
/// `O_ACCMODE`.
const O_ACCMODE: u64 = 3;
/// `O_PATH`.
const O_PATH: u64 = 0o1000_0000;
/// Bits that a flag of `open` or of the kernel's own, such as `FMODE_NONOTIFY`, has.
const KNOWN_FLAGS: u64 = 0x07ff_ffe3;
/// `O_CLOEXEC`.
const O_CLOEXEC: u64 = 0o200_0000;

/// The open files of the process whose group leader is at `taskd`, by descriptor.
pub(crate) fn files(linux: &Linux, taskd: VirtAddr, row: Each<'_, OpenFile>) -> WalkEnds {
    let files = match table(linux, taskd) {
        Ok(Some(files)) => files,
        Ok(None) => return WalkEnds::one(WALK, WalkEnd::Closed),
        Err(end) => return WalkEnds::one(WALK, end),
    };
    let reserved = most_reserved(linux, taskd);
    let (slots, mut ends) = linux.fds.slots(&linux.guest, files, reserved);
    let empty = |slot: &&Slot| slot.file.is_ok_and(VirtAddr::is_null);
    let reserved = slots.iter().filter(empty).count() <= reserved;
    if shared_uncounted(linux, files) {
        let end = WalkEnd::no_start(
            format!("files, {files}: fewer tasks are counted than name it (count)"),
            None,
        );
        ends.add(WALK, end);
    }
    let pid = process::pid(linux, taskd);
    let mut known: HashMap<VirtAddr, OpenFile> = HashMap::new();
    for slot in slots {
        let read = || describe(linux, &slot);
        let mut file = match slot.file {
            Ok(file) => known.entry(file).or_insert_with(read).clone(),
            Err(_) => read(),
        };
        file.pid.clone_from(&pid);
        file.fd = slot.fd;
        file.flags = file.flags.and_then(|flags| match slot.close_on_exec {
            Ok(true) => Ok(flags | O_CLOEXEC),
            Ok(false) => Ok(flags & !O_CLOEXEC),
            Err(fault) => Err(Absent::unreadable(fault)),
        });
        if file.filed.is_err() && slot.file.is_ok_and(VirtAddr::is_null) {
            // Each empty slot has a place of its own.
            file = describe_empty(&slot, &pid, reserved);
        }
        if row(file).is_break() {
            return ends.stopped(WALK);
        }
    }
    ends
}

/// The `files_struct` of the process; `None` when it has exited.
pub(crate) fn table(linux: &Linux, taskd: VirtAddr) -> Result<Option<VirtAddr>, WalkEnd> {
    let space = &linux.guest.space;
    let no_start = |missing: String, fault| Err(WalkEnd::NoStart { missing, fault });
    let Some(field) = linux.tasks.files else {
        return no_start("members of task_struct in the profile".to_owned(), None);
    };
    let bearer = match group::bearer(linux, taskd, field) {
        Ok(bearer) => bearer,
        Err(absent) => return no_start(format!("the process's files: {absent}"), None),
    };
    let files = match field.read(space, bearer) {
        Ok(files) => files,
        Err(fault) => return no_start("the process's files".to_owned(), Some(fault)),
    };
    if files.is_null() && process::has_exited(linux, taskd) {
        return Ok(None);
    }
    let kernels = linux.guest.symbol(symbols::init_files);
    if Some(files) == kernels && memory::kernel_thread(linux, taskd) == Ok(false) {
        let rule = "a program does not have the kernel's own table of descriptors";
        return no_start(format!("the process's files, {files}: {rule}"), None);
    }
    if linux.init_task == Some(taskd) && kernels.is_some_and(|kernels| files != kernels) {
        let rule = "the first task has the kernel's own table of descriptors (init_files)";
        return no_start(format!("the process's files, {files}: {rule}"), None);
    }
    if linux.guest.can_be_object(files) {
        return Ok(Some(files));
    }
    let rule = "a task that has not exited has a table of descriptors";
    no_start(format!("the process's files, {files}: {rule}"), None)
}

/// Whether more tasks name the `files_struct` than it counts.
fn shared_uncounted(linux: &Linux, files: VirtAddr) -> bool {
    let counted = linux.fds.users(&linux.guest.space, files);
    let leaders = named(linux).files(files);
    threads::name_more_than(linux, counted, leaders, linux.tasks.files, files)
}

/// How many descriptors the process can have reserved for files that it is opening: a thread that waits in
/// `open`, `accept` or `pipe` has taken their numbers already.
fn most_reserved(linux: &Linux, taskd: VirtAddr) -> usize {
    const BY_A_THREAD: usize = 2;
    let threads = process::threads(linux, taskd).unwrap_or(1);
    (threads as usize).saturating_mul(BY_A_THREAD)
}

/// The row of a descriptor that the bitmap alone says is in use.
fn describe_empty(slot: &Slot, pid: &Seen<u32>, reserved: bool) -> OpenFile {
    let rule = "a descriptor in use has a file";
    let absent = if reserved {
        *Absent::not_applicable("reserved for a file that is being opened")
    } else {
        *Absent::implausible(0, rule, Some(slot.place))
    };
    OpenFile {
        pid: pid.clone(),
        ..nothing(slot.fd, &absent)
    }
}

/// A row without values.
fn nothing(fd: u32, absent: &Absent) -> OpenFile {
    fn none<T>(absent: &Absent) -> Seen<T> {
        Err(Box::new(absent.clone()))
    }
    OpenFile {
        pid: none(absent),
        fd,
        path: none(absent),
        kind: none(absent),
        flags: none(absent),
        filed: none(absent),
        extra: FileExtra::Linux(LinuxFile {
            pos: none(absent),
            inode: none(absent),
            device: none(absent),
            socket: none(absent),
        }),
    }
}

/// The row of the slot's file, but for what is the descriptor's own.
fn describe(linux: &Linux, slot: &Slot) -> OpenFile {
    let file = match slot.file {
        Ok(file) if linux.guest.can_be_object(file) => file,
        Ok(other) => {
            let rule = "a descriptor's file is an aligned address of the kernel";
            let absent = Absent::implausible(other.0, rule, Some(slot.place));
            return nothing(slot.fd, &absent);
        }
        Err(fault) => return nothing(slot.fd, &Absent::unreadable(fault)),
    };
    let paths = &linux.maps.paths;
    let (guest, space) = (&linux.guest, &linux.guest.space);
    let path = paths.opened(guest, file);
    let inode = paths.inode(guest, file);
    let inodes = paths.inodes();
    let super_block = inode
        .clone()
        .and_then(|inode| inodes.super_block(guest, inode));
    let system = super_block.clone().and_then(|super_block| {
        let name = inodes.system_name(guest, super_block);
        name.map_err(Absent::unreadable)
    });
    let mode = inode.clone().and_then(|inode| inodes.mode(guest, inode));
    let kind = mode.and_then(|mode| {
        let at = inode.as_ref().ok().and_then(|inode| inodes.mode_at(*inode));
        kind(linux, file, mode, at, &system, &path)
    });
    let socket = match &kind {
        Ok(FileKind::Socket) => socket(linux, file, &inode),
        Ok(_) => Err(Absent::not_applicable("no socket")),
        Err(absent) => Err(absent.clone()),
    };
    let counted = linux
        .file
        .f_count
        .map(|field| (field, field.read(space, file)));
    let filed = match counted {
        Some((field, Ok(count))) if count < descriptors_of(linux, file) => {
            let rule = "a file counts the descriptors that name it (f_count)";
            Err(Absent::implausible(count, rule, Some(field.place(file))))
        }
        _ => Ok(file),
    };
    let path = path.and_then(|path| match wrong_name(linux, file, &kind, &path) {
        Some(rule) => Err(Absent::implausible(file.0, rule, Some(slot.place))),
        None => Ok(path),
    });
    let inode = inode.and_then(|inode| {
        if paths.is_of_another_system(guest, file, inode) {
            let rule = "a file's inode and its name are of one file system (i_sb, d_sb)";
            return Err(Absent::implausible(inode.0, rule, Some(file)));
        }
        Ok(inode)
    });
    let super_block = inode.clone().and(super_block);
    let number = inode.and_then(|inode| {
        let number = inodes.number(guest, inode)?;
        let made = matches!(&path, Ok(path) if path.ends_with(b"]") && !path.starts_with(b"/"));
        if made && u32::try_from(number).is_err() {
            let rule = "the kernel numbers what has no name with 32 bits (i_ino)";
            return Err(Absent::implausible(number, rule, Some(inode)));
        }
        Ok(number)
    });
    OpenFile {
        pid: Err(Absent::not_in_this_kernel()),
        fd: slot.fd,
        path,
        kind,
        flags: flags(linux, file),
        filed,
        extra: FileExtra::Linux(LinuxFile {
            pos: match linux.file.f_pos {
                Some(field) => field.read(space, file).map_err(Absent::unreadable),
                None => Err(Absent::not_in_this_kernel()),
            },
            inode: number,
            device: super_block.and_then(|super_block| inodes.device(guest, super_block)),
            socket,
        }),
    }
}

/// How many descriptors of all processes name the file: one table of several processes counts once.
fn descriptors_of(linux: &Linux, file: VirtAddr) -> u64 {
    let count = || {
        let mut counts: HashMap<VirtAddr, u64> = HashMap::new();
        for files in named(linux).tables() {
            if !linux.guest.can_be_object(files) {
                continue;
            }
            let (slots, _) = linux.fds.slots(&linux.guest, files, usize::MAX);
            for file in slots.into_iter().filter_map(|slot| slot.file.ok()) {
                let count = counts.entry(file).or_default();
                *count = count.saturating_add(1);
            }
        }
        counts
    };
    let counts = linux.opened.get_or_init(count);
    counts.get(&file).copied().unwrap_or(0).max(1)
}

/// The rule that the name of a socket, or of a pipe that is in no directory, breaks.
fn wrong_name(
    linux: &Linux,
    file: VirtAddr,
    kind: &Seen<FileKind>,
    path: &[u8],
) -> Option<&'static str> {
    let nameless = || linux.maps.paths.is_nameless(&linux.guest, file) == Ok(true);
    match kind {
        Ok(FileKind::Socket) if !path.starts_with(b"socket:[") => {
            Some("an open socket is called by its number")
        }
        Ok(FileKind::Pipe) if !path.starts_with(b"pipe:[") && nameless() => {
            Some("a pipe in no directory is called by its number")
        }
        _ => None,
    }
}

/// What the file is, by its inode's mode, its file system and its name, which must not contradict each
/// other.
fn kind(
    linux: &Linux,
    file: VirtAddr,
    mode: u64,
    at: Option<VirtAddr>,
    system: &Seen<Option<Vec<u8>>>,
    path: &Seen<Vec<u8>>,
) -> Seen<FileKind> {
    let implausible = |rule| Err(Absent::implausible(mode, rule, at));
    let unknown = system.as_ref().err();
    let system = system.as_ref().ok().and_then(Option::as_deref);
    let named = path.as_ref().ok();
    let paths = &linux.maps.paths;
    let anonymous = named
        .and_then(|path| path.strip_prefix(b"anon_inode:"))
        .filter(|_| !matches!(system, Some(name) if name != b"anon_inodefs" && name != b"pidfs"));
    if let Some(name) = anonymous {
        let inner = name
            .strip_prefix(b"[")
            .and_then(|name| name.strip_suffix(b"]"));
        return Ok(FileKind::Anonymous(inner.unwrap_or(name).to_vec()));
    }
    if let (0o10_0000, Some(unknown)) = (mode & S_IFMT, unknown) {
        return Err(unknown.clone());
    }
    let path_begins =
        |with: &[u8]| -> Seen<bool> { Ok(path.as_ref().map_err(Clone::clone)?.starts_with(with)) };
    let (kind, entry) = match mode & S_IFMT {
        0o10_0000 if system == Some(b"nsfs") => (FileKind::Namespace, 4),
        // What has no path in proc is a namespace's file.
        0o10_0000 if system == Some(b"proc") && !path_begins(b"/")? => (FileKind::Namespace, 4),
        0o10_0000 => {
            let memfd = paths.is_nameless(&linux.guest, file)? && path_begins(b"/memfd:")?;
            (
                if memfd {
                    FileKind::Memfd
                } else {
                    FileKind::Regular
                },
                4,
            )
        }
        0o4_0000 => (FileKind::Directory, 2),
        0o2_0000 => (FileKind::Character, 5),
        0o6_0000 => (FileKind::Block, 5),
        0o1_0000 => (FileKind::Pipe, 5),
        0o14_0000 => (FileKind::Socket, 5),
        0o12_0000 => (FileKind::Link, 6),
        _ => {
            // What the kernel made for one file alone has no kind, and a name.
            path_begins(b"")?;
            return implausible("an inode is of a kind (i_mode)");
        }
    };
    let expected = match system {
        Some(b"sockfs") => Some(FileKind::Socket),
        Some(b"pipefs") => Some(FileKind::Pipe),
        _ => None,
    };
    if expected.is_some_and(|expected| expected != kind) {
        return implausible("sockfs holds sockets and pipefs pipes (i_mode)");
    }
    let noted = paths.entry_type(&linux.guest, file);
    // Overlayfs opens one inode and names another; kinds are the same.
    let agrees = noted.is_none_or(|noted| noted == entry || (entry == 2 && noted == 3));
    if agrees {
        Ok(kind)
    } else {
        implausible("an inode is of the kind that its dentry notes (i_mode, d_flags)")
    }
}

/// `f_flags`, whose rights are those of `f_mode` unless the file is a mere place.
fn flags(linux: &Linux, file: VirtAddr) -> Seen<u64> {
    let space = &linux.guest.space;
    let Some(field) = linux.file.f_flags else {
        return Err(Absent::not_in_this_kernel());
    };
    let flags = field.read(space, file).map_err(Absent::unreadable)?;
    let mode = linux
        .file
        .f_mode
        .and_then(|field| field.read(space, file).ok());
    let rights = match flags & O_PATH {
        0 => flags.wrapping_add(1) & O_ACCMODE,
        _ => 0,
    };
    if mode.is_some_and(|mode| mode & O_ACCMODE != rights) {
        let rule = "a file is opened with the rights that it has (f_flags, f_mode)";
        return Err(Absent::implausible(flags, rule, Some(field.place(file))));
    }
    if flags & !KNOWN_FLAGS != 0 {
        let rule = "a file is opened with flags that there are (f_flags)";
        return Err(Absent::implausible(flags, rule, Some(field.place(file))));
    }
    Ok(flags)
}

/// The `struct sock` of the socket that the file is, which leads back to it.
fn socket(linux: &Linux, file: VirtAddr, inode: &Seen<VirtAddr>) -> Seen<VirtAddr> {
    let space = &linux.guest.space;
    let layout = &linux.sockets;
    let (Some(private), Some(sk)) = (linux.file.private_data, layout.socket.sk) else {
        return Err(Absent::not_in_this_kernel());
    };
    let socket = private.read(space, file).map_err(Absent::unreadable)?;
    let implausible = |rule| {
        Err(Absent::implausible(
            socket.0,
            rule,
            Some(private.place(file)),
        ))
    };
    if !linux.guest.can_be_object(socket) {
        return implausible("a socket's private_data is an aligned address of the kernel");
    }
    if let (Some(beside), Ok(inode)) = (layout.inode(socket), inode)
        && beside != *inode
    {
        return implausible("a socket and its inode lie side by side");
    }
    let back = layout.socket.file.map(|field| field.read(space, socket));
    if matches!(back, Some(Ok(back)) if back != file) {
        return implausible("a socket leads back to its file (file)");
    }
    let sock = sk.read(space, socket).map_err(Absent::unreadable)?;
    let implausible = |rule| Err(Absent::implausible(sock.0, rule, Some(sk.place(socket))));
    if !linux.guest.can_be_object(sock) {
        return implausible("a socket's sock is an aligned address of the kernel (sk)");
    }
    let back = layout.sock.sk_socket.map(|field| field.read(space, sock));
    match back {
        Some(Ok(back)) if back != socket => {
            implausible("a sock leads back to its socket (sk_socket)")
        }
        Some(Err(fault)) => Err(Absent::unreadable(fault)),
        _ => Ok(sock),
    }
}
