//! Rows of what a process holds: open files, the variables of its environment, and what is mounted where
//! it looks.

use osier_memory::VirtAddr;

use crate::Seen;

/// What a descriptor leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A pipe, with a name or without.
    Pipe,
    /// A socket.
    Socket,
    /// A symbolic link, opened as such.
    Link,
    /// Memory that is a file, made by `memfd_create`.
    Memfd,
    /// A namespace.
    Namespace,
    /// A file without a name that the kernel made, by its name without brackets, such as `eventpoll`.
    Anonymous(Vec<u8>),
    /// Windows: an object of the type of this name, such as `File`. Bytes.
    Object(Vec<u8>),
}

impl FileKind {
    /// The word that rows know it by. Bytes: an anonymous file has the kernel's own.
    pub fn word(&self) -> &[u8] {
        match self {
            Self::Regular => b"regular",
            Self::Directory => b"directory",
            Self::Character => b"character",
            Self::Block => b"block",
            Self::Pipe => b"pipe",
            Self::Socket => b"socket",
            Self::Link => b"link",
            Self::Memfd => b"memfd",
            Self::Namespace => b"namespace",
            Self::Anonymous(name) | Self::Object(name) => name,
        }
    }
}

/// A file system's device number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// The driver's number.
    pub major: u32,
    /// Which of the driver's.
    pub minor: u32,
}

/// An open descriptor of a process; on Windows a handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFile {
    /// The process's id.
    pub pid: Seen<u32>,
    /// The descriptor. Windows: the handle, four times its entry's number in the process's `_HANDLE_TABLE`.
    pub fd: u32,
    /// Linux: the path, as the link in `/proc/PID/fd` shows it to a reader at the root directory of process
    /// 1, with ` (deleted)` behind an unlinked file; `socket:[N]` and the like. Windows: what the object is
    /// called, see `docs/rows.md`; not applicable where it has no name. Bytes.
    pub path: Seen<Vec<u8>>,
    /// What it leads to. Windows: the name of the object's `_OBJECT_TYPE`.
    pub kind: Seen<FileKind>,
    /// Linux: the flags of `open`, as fdinfo shows them: `f_flags`, and `O_CLOEXEC` by the descriptor's mark.
    /// Windows: the rights, an `ACCESS_MASK`: `GrantedAccess` of the entry.
    pub flags: Seen<u64>,
    /// Linux: its `struct file`; implausible where the slot of a descriptor in use is empty. Windows: the object,
    /// behind its `_OBJECT_HEADER`.
    pub filed: Seen<VirtAddr>,
    /// What only one operating system has.
    pub extra: FileExtra,
}

/// What only one operating system has of an open descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileExtra {
    /// Linux.
    Linux(LinuxFile),
    /// Windows: nothing.
    Windows,
    /// Any other system: nothing.
    Other,
}

/// What only Linux has of an open descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinuxFile {
    /// The position: `f_pos`, in bytes; a negative one as the 64-bit number that it is.
    pub pos: Seen<u64>,
    /// The inode's number: `i_ino`.
    pub inode: Seen<u64>,
    /// The device of the inode's file system: `s_dev`.
    pub device: Seen<Device>,
    /// Its `struct sock`; not applicable to anything but a socket.
    pub socket: Seen<VirtAddr>,
}

/// A variable of a process's environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The process's id.
    pub pid: Seen<u32>,
    /// What stands before the first `=`; absent as not applicable where there is none. Bytes.
    pub name: Seen<Vec<u8>>,
    /// What stands behind it, or all of a text without one. Bytes.
    pub value: Seen<Vec<u8>>,
    /// Where it stands in the process's memory.
    pub address: VirtAddr,
}

/// A mount, as a process sees it: a line of `/proc/PID/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The process's id.
    pub pid: Seen<u32>,
    /// Its number: `mnt_id`.
    pub id: Seen<u32>,
    /// The number of the mount that it stands on; its own at the top of the tree.
    pub parent: Seen<u32>,
    /// The device of its file system: `s_dev`.
    pub device: Seen<Device>,
    /// What was mounted, as the one who did it called it: `mnt_devname`, `none` where nobody did. Bytes.
    pub source: Seen<Vec<u8>>,
    /// Which folder or file of the file system is its root, with `//deleted` behind one that is unlinked.
    /// Bytes.
    pub root: Seen<Vec<u8>>,
    /// Where it stands, from the root directory of the process. Bytes.
    pub point: Seen<Vec<u8>>,
    /// The type of the file system, with its subtype behind a point. Bytes.
    pub kind: Seen<Vec<u8>>,
    /// The mount's own options: `rw` or `ro`, `nosuid` and so on: `mnt_flags`.
    pub options: Seen<String>,
    /// Those of the file system that are not of its type alone: `rw` or `ro`, `sync` and so on: `s_flags`.
    pub super_options: Seen<String>,
    /// Where mounts on it go and come from: `shared:N`, `master:N`, `propagate_from:N`, `unbindable`, with blanks
    /// between; not applicable to a private mount.
    pub propagation: Seen<String>,
    /// Its `struct mount`; before v3.3 its `struct vfsmount`.
    pub address: VirtAddr,
}
