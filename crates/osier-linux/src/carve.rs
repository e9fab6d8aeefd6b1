//! What it takes to write a process or a module down as a file: registers, the auxiliary vector, and what
//! stands behind pages that the process's table does not have.

use osier_memory::{Cause, Each, Fault, PAGE_BYTES, Store, VirtAddr};
use osier_osi::{
    Absent, Behind, CachedFile, Carve, CarveLinux, FXSAVE_BYTES, KeptFile, ModulePart,
    ProcessAddress, Seen, Stretch, UserRegisters, WalkEnds,
};

use crate::vma::may_lack_operations;
use crate::{Linux, kept, memory, registers, symbols};

/// `VM_IO` and `VM_PFNMAP`: what stands there a driver gives.
const OF_DRIVER: u64 = 0x4000 | 0x400;
/// The bits of `i_mode` that say what a file is, and those of a regular file.
const S_IFMT: u64 = 0o17_0000;
const S_IFREG: u64 = 0o10_0000;

impl Carve for Linux {
    fn user_registers(&self, task: VirtAddr) -> Seen<UserRegisters> {
        registers::user(self, task)
    }

    fn program_width(&self, taskd: VirtAddr) -> Seen<u8> {
        program_width(self, taskd)
    }

    fn behind(&self, place: ProcessAddress, fault: Fault, most: u64) -> Stretch {
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

    fn kept_files(&self, row: Each<'_, KeptFile>) -> WalkEnds {
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
    let is_loaded = crate::mm::is_loaded(&linux.guest, &linux.mm, mm);
    vector(&all, width, is_loaded)
        .map_err(|rule| Absent::implausible(0, rule, Some(field.place(mm))))
}

/// What every program is told: `AT_PHDR`, `AT_PHENT`, `AT_PHNUM`, `AT_PAGESZ`, `AT_ENTRY`, `AT_UID`, `AT_PLATFORM`,
/// `AT_CLKTCK`, `AT_RANDOM` and `AT_EXECFN`; and whether that is never 0.
const ALWAYS: [(u64, bool); 10] = [
    (3, false),
    (4, true),
    (5, true),
    (6, true),
    (9, true),
    (11, false),
    (15, true),
    (17, true),
    (25, true),
    (31, true),
];

/// What is never 0 where a program is told it: `AT_HWCAP`, `AT_RSEQ_FEATURE_SIZE`, `AT_RSEQ_ALIGN`, `AT_SYSINFO`,
/// `AT_SYSINFO_EHDR` and `AT_MINSIGSTKSZ`.
const NEVER_NULL: [u64; 6] = [16, RSEQ[0], RSEQ[1], 32, 33, 51];
/// Those of restartable sequences, which a program is told together. Linux commit 317c8194e6ae ("rseq: Introduce feature
/// size and alignment ELF auxiliary vector entries"), v6.3.
const RSEQ: [u64; 2] = [27, 28];

/// The vector at the start of `all`, what the kernel told a program, up to its end. The kernel tells every one at least
/// where it begins and how it is called, and writes zeros behind the end (`create_elf_tables`).
fn vector(all: &[u8], width: usize, is_loaded: bool) -> Result<Vec<u8>, &'static str> {
    let pair = width.saturating_mul(2);
    let number = |bytes: &[u8]| {
        let mut whole = [0; 8];
        if let (Some(low), Some(bytes)) = (whole.get_mut(..width), bytes.get(..width)) {
            low.copy_from_slice(bytes);
        }
        u64::from_le_bytes(whole)
    };
    let Some(last) = all.chunks_exact(pair).position(|pair| number(pair) == 0) else {
        return Err("what the kernel told a program has an end (saved_auxv)");
    };
    let (vector, behind) = all.split_at(last.saturating_add(1).saturating_mul(pair));
    if behind.iter().any(|byte| *byte != 0) {
        return Err("nothing stands behind the end of what the kernel told a program (saved_auxv)");
    }
    let told = |wanted: u64| {
        let mut pairs = vector.chunks_exact(pair);
        let pair = pairs.find(|pair| number(pair) == wanted)?;
        Some(number(pair.get(width..)?))
    };
    let has = |(key, never_null): &(u64, bool)| match told(*key) {
        Some(value) => value != 0 || !never_null,
        None => false,
    };
    if is_loaded && !ALWAYS.iter().all(has) {
        return Err("the kernel tells a program where it begins and how it is called (saved_auxv)");
    }
    if NEVER_NULL.iter().any(|key| told(*key) == Some(0)) {
        return Err("what the kernel tells a program of itself is not 0 (saved_auxv)");
    }
    let [size, align] = RSEQ.map(|key| told(key).is_some());
    if size != align {
        return Err("the kernel tells a program both of restartable sequences (saved_auxv)");
    }
    Ok(vector.to_vec())
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
    let size = field.read(&linux.guest.space, mm)?;
    let wide = crate::mm::is_wide(size).ok_or_else(|| {
        let rule = "programs of one width or the other end there (task_size)";
        Absent::implausible(size, rule, Some(field.place(mm)))
    })?;
    Ok(if wide { 8 } else { 4 })
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
            // Anonymous memory: `vma_is_anonymous`. A private mapping of `/dev/zero` keeps its file.
            if vma.vm_file.read(space, modd)?.is_null() {
                may_lack_operations(&linux.guest, vma, vdso(linux, modd)?, modd)?;
            }
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

/// The `mm_struct` of the mapping at `modd`.
fn of_memory(linux: &Linux, modd: VirtAddr) -> Seen<VirtAddr> {
    let mm = linux.maps.vma.vm_mm;
    let mm = mm.ok_or_else(Absent::not_in_this_kernel)?;
    Ok(mm.read(&linux.guest.space, modd)?)
}

/// Where the vDSO is of the process whose mapping is at `modd`; `None` where it has none.
fn vdso(linux: &Linux, modd: VirtAddr) -> Seen<Option<u64>> {
    let Some(field) = linux.mm.vdso else {
        return Ok(None);
    };
    let at = field.read(&linux.guest.space, of_memory(linux, modd)?)?;
    Ok(Some(at).filter(|at| *at != 0))
}

/// What stands behind a page of a mapping that the kernel made: of the vDSO the kernel's own image of it.
fn special(linux: &Linux, modd: VirtAddr, start: u64, into: u64) -> Seen<Behind> {
    let space = &linux.guest.space;
    if vdso(linux, modd)? == Some(start)
        && let Some(image) = linux.mm.vdso_image
    {
        let mm = of_memory(linux, modd)?;
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

#[cfg(test)]
mod tests {
    use super::vector;

    /// What a kernel tells a 64-bit program, as far as it matters here, and the zeros behind.
    fn told() -> Vec<u8> {
        let keys = [
            33_u64, 16, 6, 17, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 23, 25, 26, 31, 15,
        ];
        let pairs = keys.iter().flat_map(|key| [*key, 0x1000]);
        let words = pairs.chain([0; 10]);
        words.flat_map(u64::to_le_bytes).collect()
    }

    #[test]
    fn what_a_program_was_told_has_its_end_and_what_every_one_is_told() {
        let whole = told();
        let read = vector(&whole, 8, true).unwrap();
        assert_eq!(read.len(), 20 * 16);
        // Each pair, and each half of the rest, zeroed in turn.
        for pair in 0..19 {
            let mut all = whole.clone();
            all[pair * 16..pair * 16 + 16].fill(0);
            assert!(vector(&all, 8, true).is_err(), "{pair}");
            let mut all = whole.clone();
            all[pair * 16..].fill(0);
            assert!(vector(&all, 8, true).is_err(), "{pair}");
        }
        // The vDSO and what the processor can; where the program begins, and its name.
        for pair in [0, 1, 9, 17, 18] {
            let mut all = whole.clone();
            all[pair * 16 + 8..pair * 16 + 16].fill(0);
            assert!(vector(&all, 8, true).is_err(), "{pair}");
        }
        // Of restartable sequences, since v6.3.
        let with = |keys: &[u64]| {
            let mut all = whole.clone();
            for (at, key) in keys.iter().enumerate() {
                let words = [*key, 0x1000].map(u64::to_le_bytes).concat();
                all[(19 + at) * 16..(20 + at) * 16].copy_from_slice(&words);
            }
            vector(&all, 8, true)
        };
        assert!(with(&[27, 28]).is_ok() && with(&[27]).is_err() && with(&[28]).is_err());
        assert_eq!(vector(&[0; 64], 8, false), Ok(vec![0; 16]));
        assert!(vector(&[0; 64], 8, true).is_err() && vector(&[1; 64], 8, false).is_err());
    }
}
