//! What it takes to write a process or a module down as a file: registers, the auxiliary vector, and what
//! stands behind pages that the process's table does not have.

use std::ops::ControlFlow;

use osier_memory::{Cause, Fault, PAGE_BYTES, Store, VirtAddr};
use osier_osi::{
    Absent, Behind, CachedFile, Carve, CarveLinux, FXSAVE_BYTES, KeptFile, ModulePart, Place, Seen,
    Stretch, UserRegisters, WalkEnds,
};

use crate::{Linux, kept, memory, registers, symbols};

/// `VM_IO` and `VM_PFNMAP`: what stands there a driver gives.
const OF_DRIVER: u64 = 0x4000 | 0x400;
/// The bits of `i_mode` that say what a file is, and those of a regular file.
const S_IFMT: u64 = 0o17_0000;
const S_IFREG: u64 = 0o10_0000;
/// A program of 32 bits has no higher address.
const NARROW_END: u64 = 1 << 32;

impl Carve for Linux {
    fn user_registers(&self, task: VirtAddr) -> Seen<UserRegisters> {
        registers::user(self, task)
    }

    fn program_width(&self, taskd: VirtAddr) -> Seen<u8> {
        program_width(self, taskd)
    }

    fn behind(&self, place: Place, fault: Fault, most: u64) -> Stretch {
        if fault.cause != (Cause::NotPresent { entry: 0 }) {
            // The entry says where the page is.
            let what = Err(Absent::unreadable(fault));
            return Stretch { what, bytes: most };
        }
        behind(self, place.modd, place.va, most)
    }

    fn module_parts(&self, modd: VirtAddr) -> Seen<Vec<ModulePart>> {
        self.modules.parts(&self.guest, modd)
    }

    fn linux(&self) -> Option<&dyn CarveLinux> {
        Some(self)
    }
}

impl CarveLinux for Linux {
    fn floating_point(&self, task: VirtAddr) -> Seen<Box<[u8; FXSAVE_BYTES]>> {
        registers::floating_point(self, task)
    }

    fn auxiliary(&self, taskd: VirtAddr) -> Seen<Vec<u8>> {
        auxiliary(self, taskd)
    }

    fn executable(&self, taskd: VirtAddr) -> Seen<CachedFile> {
        let mm = memory::mm(self, taskd)?;
        let field = self.mm.exe_file.ok_or_else(Absent::not_in_this_kernel)?;
        // The low bits are no part of it: it is written while others read it.
        let file = VirtAddr(field.read(&self.guest.space, mm)?.0 & !7);
        if file.is_null() {
            return Err(Absent::not_applicable("the program has no file"));
        }
        file_at(self, file, field.place(mm))
    }

    fn mapped_file(&self, modd: VirtAddr) -> Seen<CachedFile> {
        let field = self.maps.vma.vm_file;
        let file = field.read(&self.guest.space, modd)?;
        if file.is_null() {
            return Err(Absent::not_applicable("no file"));
        }
        file_at(self, file, field.place(modd))
    }

    fn cached(&self, file: &CachedFile, at: u64, most: u64) -> Stretch {
        self.page_cache.cached(&self.guest, file, at, most)
    }

    fn kept_files(&self, row: &mut dyn FnMut(KeptFile) -> ControlFlow<()>) -> WalkEnds {
        kept::files(self, row)
    }
}

/// The pages of the `struct file` at `file`, which stands at `place`.
fn file_at(linux: &Linux, file: VirtAddr, place: VirtAddr) -> Seen<CachedFile> {
    if !linux.guest.can_be_object(file) {
        let rule = "a struct file lies at an aligned address of the kernel";
        return Err(Absent::implausible(file.0, rule, Some(place)));
    }
    let field = linux.file.f_mapping;
    let field = field.ok_or_else(Absent::not_in_this_kernel)?;
    let mapping = field.read(&linux.guest.space, file)?;
    let implausible = |rule| {
        let place = Some(field.place(file));
        Err(Absent::implausible(mapping.0, rule, place))
    };
    if !linux.guest.can_be_object(mapping) {
        return implausible("a file's pages are at an aligned address of the kernel (f_mapping)");
    }
    // Those of a regular file are its inode's; a device's are another inode's.
    if let Some(own) = linux.file.f_inode {
        let inode = own.read(&linux.guest.space, file)?;
        let owner = linux.page_cache.owner(&linux.guest, mapping)?;
        let inodes = linux.maps.paths.inodes();
        if owner != inode && inodes.mode(&linux.guest, inode)? & S_IFMT == S_IFREG {
            return implausible("a regular file has the pages of its inode (f_mapping, f_inode)");
        }
    }
    Ok(linux.page_cache.file(&linux.guest, mapping))
}

fn auxiliary(linux: &Linux, taskd: VirtAddr) -> Seen<Vec<u8>> {
    /// More than any kernel keeps: `AT_VECTOR_SIZE` is some 50 words.
    const LIMIT: u64 = 4096;
    let mm = memory::mm(linux, taskd)?;
    let field = linux.mm.saved_auxv.ok_or_else(Absent::not_in_this_kernel)?;
    let width = usize::from(program_width(linux, taskd)?);
    let mut all = vec![0; field.bytes.min(LIMIT) as usize];
    linux.guest.space.read(field.place(mm), &mut all)?;
    let mut vector = Vec::new();
    for pair in all.chunks_exact(width.saturating_mul(2)) {
        vector.extend_from_slice(pair);
        if pair.iter().take(width).all(|byte| *byte == 0) {
            // A program that is loaded was told something.
            let told = vector.len() > pair.len();
            if !told && crate::mm::is_loaded(&linux.guest, &linux.mm, mm) {
                break;
            }
            return Ok(vector);
        }
    }
    let rule = "what the kernel told a program has an end, and something before it (saved_auxv)";
    Err(Absent::implausible(0, rule, Some(field.place(mm))))
}

/// A 64-bit kernel marks 32-bit programs by the end of their addresses; a program may change the width of
/// its code, but hardly does.
pub(crate) fn program_width(linux: &Linux, taskd: VirtAddr) -> Seen<u8> {
    if linux.guest.pointer_bytes() == 4 {
        return Ok(4);
    }
    if let Ok(user) = registers::user(linux, taskd) {
        match user.cs {
            registers::USER32_CS => return Ok(4),
            registers::USER_CS => return Ok(8),
            _ => {}
        }
    }
    let mm = memory::mm(linux, taskd)?;
    let field = linux.mm.task_size.ok_or_else(Absent::not_in_this_kernel)?;
    match field.read(&linux.guest.space, mm)? {
        size if size <= NARROW_END => Ok(4),
        _ => Ok(8),
    }
}

fn behind(linux: &Linux, modd: VirtAddr, va: VirtAddr, most: u64) -> Stretch {
    let what = || -> Result<Stretch, Box<Absent>> {
        let space = &linux.guest.space;
        let vma = &linux.maps.vma;
        let all = |behind| Stretch {
            what: Ok(behind),
            bytes: most.max(PAGE_BYTES),
        };
        if Some(modd) == linux.guest.symbol(symbols::gate_vma) {
            // The vsyscall page, which may be executed and not read.
            return Ok(all(Behind::Driver));
        }
        let flags = vma.vm_flags.read(space, modd)?;
        let operations = match vma.vm_ops {
            Some(field) => field.read(space, modd)?,
            None => return Err(Absent::not_in_this_kernel()),
        };
        if operations.is_null() && flags & OF_DRIVER == 0 {
            // Anonymous memory: `vma_is_anonymous`.
            return Ok(all(Behind::Zeros));
        }
        if flags & OF_DRIVER != 0 {
            return Ok(all(Behind::Driver));
        }
        let start = vma.vm_start.read(space, modd)?;
        let into = va.0.wrapping_sub(start);
        if vma.vm_file.read(space, modd)?.is_null() {
            return Ok(Stretch {
                what: special(linux, modd, start, into),
                bytes: PAGE_BYTES,
            });
        }
        let file = linux.mapped_file(modd)?;
        let pages = vma.vm_pgoff.ok_or_else(Absent::not_in_this_kernel)?;
        let pages = pages.read(space, modd)?;
        let at = pages.checked_mul(PAGE_BYTES);
        let at = at.and_then(|at| at.checked_add(into)).ok_or_else(|| {
            let rule = "a file has fewer bytes than 2 to the power of 64 (vm_pgoff)";
            Absent::implausible(pages, rule, Some(modd))
        })?;
        Ok(linux.page_cache.cached(&linux.guest, &file, at, most))
    };
    what().unwrap_or_else(|absent| Stretch {
        what: Err(absent),
        bytes: PAGE_BYTES,
    })
}

/// What stands behind a page of a mapping that the kernel made: of the vDSO the kernel's own image of it.
fn special(linux: &Linux, modd: VirtAddr, start: u64, into: u64) -> Seen<Behind> {
    let space = &linux.guest.space;
    let vma = &linux.maps.vma;
    let mm = vma.vm_mm.ok_or_else(Absent::not_in_this_kernel)?;
    let mm = mm.read(space, modd)?;
    let vdso = linux
        .mm
        .vdso
        .map(|field| field.read(space, mm))
        .transpose()?;
    if vdso == Some(start)
        && let Some(image) = linux.mm.vdso_image
    {
        let image = image.read(space, mm)?;
        return linux.page_cache.of_vdso(&linux.guest, image, into);
    }
    Err(Absent::unreadable(
        Fault::new(Cause::Elsewhere {
            entry: 0,
            store: Store::MappedFile,
        })
        .with_va(VirtAddr(start.wrapping_add(into))),
    ))
}
