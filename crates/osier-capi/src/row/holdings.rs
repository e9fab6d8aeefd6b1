//! Rows about what processes hold.

use crate::filling::{Bytes, shown};

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
