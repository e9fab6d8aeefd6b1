//! Rows about the memory of processes.

use crate::filling::{Bytes, shown};

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
