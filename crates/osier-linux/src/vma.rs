//! One mapping: from its `vm_area_struct` to a row.

use osier_memory::{AddressSpace, Fault, VirtAddr};
use osier_osi::{Mapping, MappingKind, Seen};
use osier_profile::{Embed, Field, Ptr, Resolver, UInt, layout};

use crate::Linux;
use crate::mappings::{Process, Reader};
use crate::path::Called;

const VM_READ: u64 = 1;
const VM_WRITE: u64 = 2;
const VM_EXEC: u64 = 4;
const VM_MAYSHARE: u64 = 0x80;
/// Longest name that the kernel or a process gives to memory without a file (`ANON_VMA_NAME_MAX_LEN`
/// is 80).
const NAME_LIMIT: usize = 256;

layout! {
    /// Fields read from `struct vm_area_struct`.
    pub(crate) struct Vma: "vm_area_struct" {
        /// First address.
        vm_start: Field<UInt>,
        /// One past the last address.
        vm_end: Field<UInt>,
        /// `VM_READ` and so on.
        vm_flags: Field<UInt> = ["vm_flags", "__vm_flags", "flags"],
        /// The file; null for anonymous memory.
        vm_file: Field<Ptr<()>>,
        /// Offset in the file, in pages of 4 KiB. PANDA's kernelinfo.conf has no key for it.
        vm_pgoff: Option<Field<UInt>>,
        /// The process's memory that it belongs to.
        vm_mm: Option<Field<Ptr<()>>>,
        /// Operations; `name` among them.
        vm_ops: Option<Field<Ptr<()>>>,
        /// For a mapping that the kernel made: its `struct vm_special_mapping`.
        vm_private_data: Option<Field<Ptr<()>>>,
        /// The next mapping. Until v6.0, see [`crate::mappings`].
        vm_next: Option<Field<Ptr<()>>>,
        /// The mapping before. Linux commit 297c5eee3724 ("mm: make the vma list be doubly
        /// linked"), v2.6.36, until v6.0.
        vm_prev: Option<Field<Ptr<()>>>,
        /// The node in the tree of mappings by address. Until v6.0.
        vm_rb: Option<Field<Embed<()>>>,
        /// The tree's higher half below this node.
        rb_right: Option<Field<Ptr<()>>> = ["vm_rb.rb_right"],
        /// The name that the process gave: a `struct anon_vma_name`. Linux commit 9a10064f5625
        /// ("mm: add a field to store names for private anonymous memory"), v5.17.
        anon_name: Option<Field<Ptr<()>>>,
        /// The file's tree of mappings. Until v6.1 `anon_name` lay in its place.
        shared: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `struct vm_operations_struct`.
    struct VmOperations: "vm_operations_struct" {
        /// Names a mapping. Linux commit 78d683e838a6 ("mm, fs: Add vm_ops->name as an alternative
        /// to arch_vma_name"), v3.16.
        name: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `struct vm_special_mapping`.
    struct SpecialMapping: "vm_special_mapping" {
        /// Such as `[vdso]`.
        name: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `struct anon_vma_name`.
    struct AnonVmaName: "anon_vma_name" {
        /// The text, NUL at its end.
        name: Option<Field<Embed<()>>>,
    }
}

/// How to name mappings without a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Naming {
    operations: VmOperations,
    special: SpecialMapping,
    anon: AnonVmaName,
    /// A mapping of a file may have a name as well. Linux commit d09e8ca6cb93 ("mm: anonymous
    /// shared memory naming"), v6.2, moved the name out of a union.
    files_named: bool,
}

impl Naming {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>, vma: &Vma) -> Self {
        let files_named = match (vma.anon_name, vma.shared) {
            (Some(name), Some(shared)) => {
                let end = shared.offset.saturating_add_unsigned(shared.bytes.max(1));
                !(shared.offset..end).contains(&name.offset)
            }
            (Some(_), None) => true,
            (None, _) => false,
        };
        Self {
            operations: VmOperations::resolve(resolver),
            special: SpecialMapping::resolve(resolver),
            anon: AnonVmaName::resolve(resolver),
            files_named,
        }
    }
}

/// The rights of a mapping, from `vm_flags`.
fn perms(flags: u64) -> [u8; 4] {
    let letter = |bit, set, clear| if flags & bit != 0 { set } else { clear };
    [
        letter(VM_READ, b'r', b'-'),
        letter(VM_WRITE, b'w', b'-'),
        letter(VM_EXEC, b'x', b'-'),
        letter(VM_MAYSHARE, b's', b'p'),
    ]
}

/// A mapping's names and purpose.
struct Names {
    name: Seen<Vec<u8>>,
    file: Seen<Vec<u8>>,
    kind: Seen<MappingKind>,
}

/// The row of the `vm_area_struct` at `at`, of `process`.
pub(crate) fn row(reader: &Reader<'_>, process: &Process, at: VirtAddr) -> Mapping {
    let space = &reader.guest.space;
    let vma = &reader.maps.vma;
    let start = vma.vm_start.read(space, at);
    let end = vma.vm_end.read(space, at);
    let size = match (start, end) {
        (Ok(start), Ok(end)) if start < end => Seen::Is(end.wrapping_sub(start)),
        (Ok(_), Ok(end)) => Seen::implausible(
            end,
            "a mapping ends after it starts",
            Some(vma.vm_end.place(at)),
        ),
        (Err(fault), _) | (_, Err(fault)) => Seen::unreadable(fault),
    };
    let file = vma.vm_file.read(space, at);
    let bounds = start.and_then(|start| Ok((start, end?)));
    let named = match file {
        Ok(file) if file.is_null() => without_file(reader, process, at, bounds),
        Ok(file) => with_file(reader, at, file),
        Err(fault) => Names {
            name: Seen::unreadable(fault),
            file: Seen::unreadable(fault),
            kind: Seen::unreadable(fault),
        },
    };
    let offset = match (file, vma.vm_pgoff) {
        (Ok(file), _) if file.is_null() => Seen::not_applicable("no file"),
        (_, None) => Seen::not_in_this_kernel(),
        (_, Some(vm_pgoff)) => vm_pgoff
            .read(space, at)
            .map(|pages| pages.wrapping_mul(osier_memory::PAGE_BYTES))
            .into(),
    };
    let flags: Seen<u64> = vma.vm_flags.read(space, at).into();
    Mapping {
        pid: process.pid.clone(),
        base: start.map(VirtAddr).into(),
        size,
        name: named.name,
        file: named.file,
        offset,
        perms: flags.clone().map(perms),
        flags,
        kind: named.kind,
        modd: at,
    }
}

fn with_file(reader: &Reader<'_>, at: VirtAddr, file: VirtAddr) -> Names {
    let kind = Seen::Is(MappingKind::File);
    if reader.maps.naming.files_named {
        match given_name(reader, at, b"[anon_shmem:") {
            Ok(None) => {}
            Ok(Some(name)) => {
                return Names {
                    name: Seen::Is(name),
                    file: Seen::not_applicable("shared memory that the process named"),
                    kind,
                };
            }
            Err(fault) => {
                return Names {
                    name: Seen::unreadable(fault),
                    file: Seen::unreadable(fault),
                    kind,
                };
            }
        }
    }
    match reader.maps.paths.of_file(reader.guest, file) {
        Seen::Is(Called { path, name }) => Names {
            name: Seen::Is(name),
            file: Seen::Is(path),
            kind,
        },
        Seen::Not(absent) => Names {
            name: Seen::Not(absent.clone()),
            file: Seen::Not(absent),
            kind,
        },
    }
}

/// Names and purpose of a mapping without a file, in the order in which the kernel's
/// `show_map_vma` asks.
fn without_file(
    reader: &Reader<'_>,
    process: &Process,
    at: VirtAddr,
    bounds: Result<(u64, u64), Fault>,
) -> Names {
    let outcome = || {
        if let Some(name) = name_by_operations(reader, at)? {
            return Ok((name, MappingKind::Unknown));
        }
        let (start, end) = bounds?;
        if process.vdso == Some(start) {
            return Ok((Seen::Is(b"[vdso]".to_vec()), MappingKind::Unknown));
        }
        if process.is_heap(start, end)? {
            return Ok((Seen::Is(b"[heap]".to_vec()), MappingKind::Heap));
        }
        if process.is_stack(start, end)? {
            return Ok((Seen::Is(b"[stack]".to_vec()), MappingKind::Stack));
        }
        let name = match given_name(reader, at, b"[anon:")? {
            Some(name) => Seen::Is(name),
            None => Seen::not_applicable("anonymous memory without a name"),
        };
        Ok((name, MappingKind::Unknown))
    };
    let outcome: Result<_, Fault> = outcome();
    let file = Seen::not_applicable("no file");
    match outcome {
        Ok((name, kind)) => Names {
            name,
            file,
            kind: Seen::Is(kind),
        },
        Err(fault) => Names {
            name: Seen::unreadable(fault),
            file,
            kind: Seen::unreadable(fault),
        },
    }
}

/// The name that `vm_ops->name` gives: that of a `struct vm_special_mapping`, such as `[vdso]`,
/// `[vvar]` and `[uprobes]`. `None` without one.
///
/// Linux commit a62c34bd2a8a ("x86, mm: Improve `_install_special_mapping` and fix x86 vdso
/// naming"), v3.16.
fn name_by_operations(reader: &Reader<'_>, at: VirtAddr) -> Result<Option<Seen<Vec<u8>>>, Fault> {
    let space = &reader.guest.space;
    let vma = &reader.maps.vma;
    let naming = &reader.maps.naming;
    let (Some(vm_ops), Some(name)) = (vma.vm_ops, naming.operations.name) else {
        return Ok(None);
    };
    let operations = vm_ops.read(space, at)?;
    if operations.is_null() || name.read(space, operations)?.is_null() {
        return Ok(None);
    }
    let special = reader.guest.symbol("special_mapping_vmops");
    if special.is_some_and(|special| special != operations) {
        let rule = "the mapping's driver makes the name in a way of its own";
        return Ok(Some(Seen::implausible(operations.0, rule, Some(at))));
    }
    let (Some(vm_private_data), Some(name)) = (vma.vm_private_data, naming.special.name) else {
        return Ok(Some(Seen::not_in_this_kernel()));
    };
    let text = name.read(space, vm_private_data.read(space, at)?)?;
    if text.is_null() {
        return Ok(None);
    }
    space
        .read_cstr(text, NAME_LIMIT)
        .map(|text| Some(Seen::Is(text)))
}

/// The name that the process gave with `prctl(PR_SET_VMA)`, in the brackets of `/proc/PID/maps`.
fn given_name(reader: &Reader<'_>, at: VirtAddr, prefix: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let (Some(anon_name), Some(text)) = (reader.maps.vma.anon_name, reader.maps.naming.anon.name)
    else {
        return Ok(None);
    };
    let space: &AddressSpace = &reader.guest.space;
    let name = anon_name.read(space, at)?;
    if name.is_null() {
        return Ok(None);
    }
    let text = space.read_cstr(text.place(name), NAME_LIMIT)?;
    Ok(Some([prefix, text.as_slice(), b"]"].concat()))
}

impl Linux {
    /// The file of the mapping whose `vm_area_struct` is at `vma` as PANDA names it: the path inside
    /// its own file system, without the mounts above it and without ` (deleted)`; a file in no
    /// directory has no slash before its name. Not applicable without a file.
    pub fn panda_file(&self, vma: VirtAddr) -> Seen<Vec<u8>> {
        match self.maps.vma.vm_file.read(&self.guest.space, vma) {
            Ok(file) if file.is_null() => Seen::not_applicable("no file"),
            Ok(file) => self.maps.paths.inside_file_system(&self.guest, file),
            Err(fault) => Seen::unreadable(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::perms;

    #[test]
    fn rights_are_shown_as_proc_shows_them() {
        assert_eq!(&perms(0x0800_0871), b"r--p");
        assert_eq!(&perms(0x0800_0875), b"r-xp");
        assert_eq!(&perms(0x0800_00fb), b"rw-s");
        assert_eq!(&perms(4), b"--xp");
    }
}
