//! One mapping: from its `vm_area_struct` to a row.

use osier_memory::{AddressSpace, Fault, PAGE_BYTES, VirtAddr};
use osier_osi::{Absent, Mapping, MappingKind, Seen, SeenExt as _};

use crate::guest::Guest;
use crate::layouts::Vma;
use crate::mm::{Process, Reader};
use crate::path::Called;

pub(crate) const VM_READ: u64 = 1;
const VM_WRITE: u64 = 2;
const VM_EXEC: u64 = 4;
const VM_MAYSHARE: u64 = 0x80;
pub(crate) const VM_GROWSDOWN: u64 = 0x100;
/// More than any vDSO has.
const VDSO_BYTES: u64 = 0x1_0000;
/// Longest name that the kernel gives to memory without a file.
const NAME_LIMIT: usize = 256;
/// Longest name that a process gives to memory, with its NUL: `ANON_VMA_NAME_MAX_LEN`.
const GIVEN_LIMIT: usize = 80;

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

impl Names {
    /// Those of a mapping of which it is not known whether it has a file.
    fn lost(why: &Seen<Vec<u8>>) -> Self {
        Self {
            name: why.clone(),
            file: why.clone(),
            kind: why.clone().map(|_| MappingKind::Unknown),
        }
    }
}

/// The row of the `vm_area_struct` at `at`, of `process`, whose mappings lie below `limit`.
pub(crate) fn row(reader: &Reader<'_>, process: &Process, at: VirtAddr, limit: u64) -> Mapping {
    let space = &reader.guest.space;
    let vma = &reader.maps.vma;
    let start = vma.vm_start.read(space, at);
    let end = vma.vm_end.read(space, at);
    let base = start.map_or_else(
        |fault| Err(Absent::unreadable(fault)),
        |start| {
            let rule = match start {
                _ if start % PAGE_BYTES != 0 => "a mapping starts with a page",
                _ if start >= limit => "a mapping lies in the user half",
                _ => return Ok(VirtAddr(start)),
            };
            Err(Absent::implausible(
                start,
                rule,
                Some(vma.vm_start.place(at)),
            ))
        },
    );
    let size = match (start, end) {
        (Ok(start), Ok(end)) => {
            let rule = match end {
                _ if start >= end => Some("a mapping ends after it starts"),
                _ if end % PAGE_BYTES != 0 => Some("a mapping ends with a page"),
                _ if end > limit => Some("a mapping lies in the user half"),
                _ => None,
            };
            match rule {
                Some(rule) => Err(Absent::implausible(end, rule, Some(vma.vm_end.place(at)))),
                None => Ok(end.wrapping_sub(start)),
            }
        }
        (Err(fault), _) | (_, Err(fault)) => Err(Absent::unreadable(fault)),
    };
    let file = vma.vm_file.read(space, at);
    let bounds = start.and_then(|start| Ok((start, end?)));
    let named = match file {
        Ok(file) if file.is_null() && reader.maps.trees.holds(reader.guest, vma, at) => {
            let rule = "a mapping in a file's tree of mappings has a file (shared)";
            let place = Some(vma.vm_file.place(at));
            Names::lost(&Err(Absent::implausible(0, rule, place)))
        }
        Ok(file) if file.is_null() => without_file(reader, process, at, bounds),
        Ok(file) => match file_rule(reader, at, file) {
            Some(rule) => {
                let place = Some(vma.vm_file.place(at));
                Names::lost(&Err(Absent::implausible(file.0, rule, place)))
            }
            None => with_file(reader, at, file),
        },
        Err(fault) => Names::lost(&Err(Absent::unreadable(fault))),
    };
    let offset = match (file, vma.vm_pgoff) {
        (Ok(file), _) if file.is_null() => Err(Absent::not_applicable("no file")),
        (_, None) => Err(Absent::not_in_this_kernel()),
        (_, Some(vm_pgoff)) => {
            let pages = vm_pgoff.read(space, at).map_err(Absent::unreadable);
            pages.and_then(|pages| {
                let bytes = size.value();
                let elsewhere = |bytes| {
                    let trees = &reader.maps.trees;
                    trees.lies_elsewhere(reader.guest, at, pages, bytes)
                };
                if bytes.is_some_and(elsewhere) {
                    let rule = "the tree of the file's mappings has the same pages";
                    return Err(Absent::implausible(pages, rule, Some(vm_pgoff.place(at))));
                }
                Ok(pages.wrapping_mul(PAGE_BYTES))
            })
        }
    };
    let flags = vma
        .vm_flags
        .read(space, at)
        .map_err(Absent::unreadable)
        .and_then(|flags| {
            // The vsyscall page has no more than its rights.
            let rule = (limit != u64::MAX).then(|| flags_rule(reader, at, flags));
            match rule.flatten() {
                Some(rule) => Err(Absent::implausible(
                    flags,
                    rule,
                    Some(vma.vm_flags.place(at)),
                )),
                None => Ok(flags),
            }
        });
    Mapping {
        pid: process.pid.clone(),
        base,
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

/// The rule that `vm_file` breaks, when it is not null.
fn file_rule(reader: &Reader<'_>, at: VirtAddr, file: VirtAddr) -> Option<&'static str> {
    if !reader.guest.can_be_object(file) {
        return Some("vm_file is an aligned address of the kernel");
    }
    let operations = reader.maps.vma.vm_ops;
    let operations = operations.and_then(|field| field.read(&reader.guest.space, at).ok());
    if operations.is_some() && operations == reader.maps.special_operations(reader.guest) {
        return Some("a special mapping has no file");
    }
    let trees = &reader.maps.trees;
    let another = trees.is_of_another(reader.guest, at, file);
    another.then_some("the mappings in one tree are of one file (f_mapping)")
}

/// The rule that `vm_flags` break: a right is one of those that the mapping may have, and
/// `vm_page_prot` is made of them, but for what a driver maps in a way of its own.
fn flags_rule(reader: &Reader<'_>, at: VirtAddr, flags: u64) -> Option<&'static str> {
    const RIGHTS: u64 = VM_READ | VM_WRITE | VM_EXEC;
    const VM_SHARED: u64 = 8;
    /// `VM_PFNMAP`, `VM_IO`, `VM_MIXEDMAP`.
    const OF_DRIVER: u64 = 0x400 | 0x4000 | 0x1000_0000;
    /// No kernel has so many marks; `VM_SEALED` was the last bit for a while.
    const UNUSED: u64 = 0x7fff << 48;
    /// Memory that is promised, or need not be: `VM_ACCOUNT`, `VM_NORESERVE`, `VM_HUGETLB`.
    const PROMISED: u64 = 0x10_0000 | 0x20_0000 | 0x40_0000;
    const PRESENT: u64 = 1;
    const NX: u64 = 1 << 63;
    let rights = flags & RIGHTS;
    if flags & (RIGHTS | VM_SHARED) & !(flags >> 4) != 0 {
        return Some("a mapping has no right that it may not have (VM_MAYREAD and so on)");
    }
    if flags & UNUSED != 0 {
        return Some("a kernel has marks up to bit 47 of vm_flags");
    }
    if flags & VM_GROWSDOWN != 0 && flags & (VM_SHARED | OF_DRIVER) != 0 {
        return Some("what grows down is private memory");
    }
    if flags & (VM_WRITE | VM_SHARED | OF_DRIVER | PROMISED) == VM_WRITE {
        return Some("private memory that may be written is promised (VM_ACCOUNT)");
    }
    let field = reader.maps.vma.vm_page_prot?;
    if flags & OF_DRIVER != 0 {
        return None;
    }
    let width = usize::try_from(field.bytes)
        .ok()
        .filter(|width| matches!(width, 4 | 8))?;
    let prot = reader.guest.space.read_uint(field.place(at), width).ok()?;
    if prot == 0 {
        return Some("pages without a right are marked so (vm_page_prot)");
    }
    let execute = rights & VM_EXEC != 0;
    let forbidden = prot & NX != 0;
    let possible = || reader.maps.forbids_execution(reader.guest);
    if (rights != 0) != (prot & PRESENT != 0)
        || (execute && forbidden)
        || (rights != 0 && !execute && !forbidden && width == 8 && possible() == Some(true))
    {
        return Some("vm_page_prot is made of vm_flags");
    }
    None
}

fn with_file(reader: &Reader<'_>, at: VirtAddr, file: VirtAddr) -> Names {
    let kind = Ok(MappingKind::File);
    if reader.maps.naming.files_named {
        match given_name(reader, at, b"[anon_shmem:") {
            Ok(None) => {}
            Ok(Some(name)) => {
                return Names {
                    name: Ok(name),
                    file: Err(Absent::not_applicable(
                        "shared memory that the process named",
                    )),
                    kind,
                };
            }
            Err(absent) => {
                return Names {
                    name: Err(absent.clone()),
                    file: Err(absent),
                    kind,
                };
            }
        }
    }
    match reader.maps.paths.of_file(reader.guest, file) {
        Ok(Called { path, name }) => Names {
            name: Ok(name),
            file: Ok(path),
            kind,
        },
        Err(absent) => Names {
            name: Err(absent.clone()),
            file: Err(absent),
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
        if let Some(name) = name_by_operations(reader, process, at)? {
            return Ok((name, MappingKind::Unknown));
        }
        let (start, end) = bounds?;
        if process.vdso == Some(start) && reader.maps.naming.operations.name.is_none() {
            return Ok((Ok(b"[vdso]".to_vec()), MappingKind::Unknown));
        }
        if process.is_heap(start, end)? {
            return Ok((Ok(b"[heap]".to_vec()), MappingKind::Heap));
        }
        if process.is_stack(start, end)? {
            return Ok((Ok(b"[stack]".to_vec()), MappingKind::Stack));
        }
        let name = match given_name(reader, at, b"[anon:")? {
            Some(name) => Ok(name),
            None if tells_of_operations(reader, at) => {
                Err(Absent::not_applicable("anonymous memory without a name"))
            }
            None => Err(Absent::not_in_this_kernel()),
        };
        Ok((name, MappingKind::Unknown))
    };
    let outcome: Result<_, Box<Absent>> = outcome();
    let file = Err(Absent::not_applicable("no file"));
    match outcome {
        Ok((name, kind)) => Names {
            name,
            file,
            kind: Ok(kind),
        },
        Err(absent) => Names {
            name: Err(absent.clone()),
            file,
            kind: Err(absent),
        },
    }
}

/// Whether the profile tells if operations give the mapping a name.
fn tells_of_operations(reader: &Reader<'_>, at: VirtAddr) -> bool {
    let operations = reader.maps.vma.vm_ops;
    let operations = || operations.map(|field| field.read(&reader.guest.space, at));
    reader.maps.naming.tells_of_operations
        || matches!(operations(), Some(Ok(none)) if none.is_null())
}

/// The name that `vm_ops->name` gives: that of a `struct vm_special_mapping`, such as `[vdso]`,
/// `[vvar]` and `[uprobes]`. `None` without one.
///
/// Linux commit a62c34bd2a8a ("x86, mm: Improve `_install_special_mapping` and fix x86 vdso
/// naming"), v3.16.
fn name_by_operations(
    reader: &Reader<'_>,
    process: &Process,
    at: VirtAddr,
) -> Result<Option<Seen<Vec<u8>>>, Box<Absent>> {
    let space = &reader.guest.space;
    let vma = &reader.maps.vma;
    let naming = &reader.maps.naming;
    let (Some(vm_ops), Some(name)) = (vma.vm_ops, naming.operations.name) else {
        return Ok(None);
    };
    let operations = vm_ops.read(space, at)?;
    if operations.is_null() {
        let lost = may_lack_operations(reader.guest, vma, process.vdso, at);
        return Ok(lost.err().map(Err));
    }
    let special = reader.maps.special_operations(reader.guest);
    if !reader.guest.can_be_object(operations) {
        let rule = "vm_ops is an aligned address of the kernel";
        return Ok(Some(Err(Absent::implausible(
            operations.0,
            rule,
            Some(vm_ops.place(at)),
        ))));
    }
    if name.read(space, operations)?.is_null() {
        let Some(special) = special else {
            return Ok(None);
        };
        let rule = if special == operations {
            "the operations of special mappings give names"
        } else {
            "memory with operations of a file has a file"
        };
        let place = Some(vm_ops.place(at));
        return Ok(Some(Err(Absent::implausible(operations.0, rule, place))));
    }
    if special.is_some_and(|special| special != operations) {
        let rule = "the mapping's driver makes the name in a way of its own";
        return Ok(Some(Err(Absent::implausible(operations.0, rule, Some(at)))));
    }
    let (Some(vm_private_data), Some(name)) = (vma.vm_private_data, naming.special.name) else {
        return Ok(Some(Err(Absent::not_in_this_kernel())));
    };
    let implausible = |raw, rule| {
        let place = Some(vm_private_data.place(at));
        Ok(Some(Err(Absent::implausible(raw, rule, place))))
    };
    let text = name.read(space, vm_private_data.read(space, at)?)?;
    if text.is_null() {
        return implausible(0, "a special mapping has a name");
    }
    let name = space.read_cstr(text, NAME_LIMIT)?;
    let bracketed = name.starts_with(b"[") && name.ends_with(b"]");
    if !bracketed
        || !name
            .iter()
            .all(|byte| byte.is_ascii_graphic() || *byte == b' ')
    {
        return implausible(text.0, "a special mapping has a name in brackets");
    }
    let start = vma.vm_start.read(space, at)?;
    let image = |vdso: u64| (vdso..vdso.saturating_add(VDSO_BYTES)).contains(&start);
    let misplaced = |vdso: u64| match name.as_slice() {
        b"[vdso]" => !image(vdso),
        _ => vdso == start,
    };
    if process.vdso.is_some_and(misplaced) {
        return implausible(text.0, "the vDSO is where mm->context.vdso says");
    }
    Ok(Some(Ok(name)))
}

/// That the mapping at `at` may be memory of the process's own, for it has neither a file nor operations: no data of
/// operations, nothing that a driver mapped, and not the vDSO, which is at `vdso`.
pub(crate) fn may_lack_operations(
    guest: &Guest,
    vma: &Vma,
    vdso: Option<u64>,
    at: VirtAddr,
) -> Seen<()> {
    /// `VM_PFNMAP` and `VM_IO`.
    const OF_DRIVER: u64 = 0x400 | 0x4000;
    let space = &guest.space;
    let private = vma.vm_private_data.map(|field| field.read(space, at));
    let has_data = private.transpose()?.is_some_and(|data| !data.is_null());
    let rule = if has_data {
        "what has data of operations has operations"
    } else if vma.vm_flags.read(space, at)? & OF_DRIVER != 0 {
        "what a driver mapped has a file or operations (vm_flags, vm_ops)"
    } else if vdso == Some(vma.vm_start.read(space, at)?) {
        "the vDSO has the operations of special mappings (vm_ops)"
    } else {
        return Ok(());
    };
    let place = vma.vm_ops.map(|field| field.place(at));
    Err(Absent::implausible(0, rule, place))
}

/// Bytes of a `struct kref`, which is a 32-bit count.
const KREF_BYTES: u64 = 4;

/// More mappings than share one given name: a process has some 65,000 at most, unless its limit was raised.
const HOLDERS_LIMIT: u64 = 1 << 20;

/// The name that the process gave with `prctl(PR_SET_VMA)`, in the brackets of `/proc/PID/maps`.
///
/// The kernel takes no longer name, and none with a character that could end it.
fn given_name(
    reader: &Reader<'_>,
    at: VirtAddr,
    prefix: &[u8],
) -> Result<Option<Vec<u8>>, Box<Absent>> {
    let (Some(anon_name), Some(text)) = (reader.maps.vma.anon_name, reader.maps.naming.anon.name)
    else {
        return Ok(None);
    };
    let space: &AddressSpace = &reader.guest.space;
    let name = anon_name.read(space, at)?;
    if name.is_null() {
        return Ok(None);
    }
    let implausible = |raw, rule| Err(Absent::implausible(raw, rule, Some(anon_name.place(at))));
    if !reader.guest.is_kernel_address(name) {
        return implausible(name.0, "anon_name is an address of the kernel");
    }
    let text = text.place(name);
    // `anon_vma_name.kref`, which lies before the name: how many mappings share it.
    let holders = space.read_uint(VirtAddr(text.0.wrapping_sub(KREF_BYTES)), 4)?;
    if !(1..=HOLDERS_LIMIT).contains(&holders) {
        return implausible(name.0, "a given name counts the mappings that share it");
    }
    let text = space.read_cstr(text, GIVEN_LIMIT)?;
    if text.is_empty() {
        // `prctl` takes one, which says nothing; far more often it is no name at all.
        return implausible(name.0, "a given name has a character");
    }
    let odd = |byte: &u8| !byte.is_ascii_graphic() && *byte != b' ' || b"\\`$[]".contains(byte);
    if text.len() == GIVEN_LIMIT || text.iter().any(odd) {
        return implausible(
            name.0,
            "a given name has at most 79 characters, and no brackets",
        );
    }
    Ok(Some([prefix, text.as_slice(), b"]"].concat()))
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
