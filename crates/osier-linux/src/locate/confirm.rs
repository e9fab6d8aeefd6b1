//! Confirming a table root: it maps a kernel image, and the banner is read through it.

use std::ops::ControlFlow;

use foldhash::{HashSet, HashSetExt as _};
use memchr::memmem;
use osier_memory::{AddressSpace, Machine, Paging, PhysAddr, VirtAddr, encryption_bits};
use osier_osi::Premise;
use osier_profile::BuildId;

use super::found::{Candidate, KnownKernel, Located};
use super::i386;
use super::vmcoreinfo::Vmcoreinfo;
use crate::linux_policy;

/// The addresses that an x86-64 kernel image is mapped at: `__START_KERNEL_map` and the 1 GiB after
/// it (512 MiB without KASLR, where the modules begin at the half).
const IMAGE: std::ops::Range<u64> = 0xffff_ffff_8000_0000..0xffff_ffff_c000_0000;
/// Holes in a mapped image are smaller: freed init memory, and what KPTI hides.
const LARGEST_HOLE: u64 = 32 << 20;
/// The largest i386 image looked at for a banner.
const I386_IMAGE: u64 = 32 << 20;
pub(super) const BANNER: &[u8; 14] = b"Linux version ";
/// Longest banner: a page holds it.
pub(super) const BANNER_MAX: usize = 512;

/// The roots that the processors' registers give.
pub(super) fn from_registers(machine: &Machine) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = Vec::new();
    for cpu in &machine.cpus {
        let mut modes = cpu.modes();
        modes.retain(|mode| !matches!(mode, Paging::Flat | Paging::Virtual));
        let by = format!("CR3 {:#x} of CPU {}", cpu.cr3, cpu.index);
        all.extend(of_cr3(machine, &modes, cpu.cr3, &by));
    }
    let mut met = HashSet::new();
    all.retain(|candidate| met.insert((candidate.mode, candidate.root)));
    all
}

/// A root whose mode is not known: physical, or as CR3 holds it.
pub(super) fn any_mode(machine: &Machine, root: PhysAddr, by: &str) -> Vec<Candidate> {
    let modes = [Paging::Long4, Paging::Long5, Paging::Pae, Paging::Legacy];
    of_cr3(machine, &modes, root.0, by)
}

/// The roots that a CR3 may mean. One with bit 12 set may be the user half of a page-table pair (KPTI),
/// so its kernel half is tried first, if it can be one.
pub(super) fn of_cr3(machine: &Machine, modes: &[Paging], cr3: u64, by: &str) -> Vec<Candidate> {
    const USER_HALF: u64 = 0x1000;
    let encrypted = encryption_bits(&*machine.memory);
    let mut all = Vec::new();
    for &mode in modes {
        let root = mode.root_of_cr3(cr3 & !encrypted);
        let kernel = PhysAddr(root.0 & !USER_HALF);
        if kernel != root && mode.entry_bytes() == 8 && are_halves(machine, mode, kernel, root) {
            all.push(Candidate {
                mode,
                root: kernel,
                by: format!("{by}, kernel half"),
                kernel_half: true,
            });
        }
        all.push(Candidate {
            mode,
            root,
            by: by.to_owned(),
            kernel_half: false,
        });
    }
    all
}

/// Whether two tables may be the halves of a pair, which map the same user memory: no entry of the
/// lower half that can be read in both says otherwise. The kernel's half forbids execution there.
fn are_halves(machine: &Machine, mode: Paging, kernel: PhysAddr, user: PhysAddr) -> bool {
    /// No execution, dirty, accessed.
    const MAY_DIFFER: u64 = 1 << 63 | 0x60;
    let entries = if mode == Paging::Pae { 2 } else { 256 };
    let entry = |table: PhysAddr, index: u64| {
        let at = table.plus(index.wrapping_mul(8));
        machine.memory.read_uint(at, 8).ok()
    };
    (0..entries).all(|index| match (entry(kernel, index), entry(user, index)) {
        (Some(kernel), Some(user)) => (kernel ^ user) & !MAY_DIFFER == 0,
        _ => true,
    })
}

/// The image that a root maps.
struct Image {
    text: VirtAddr,
    text_pa: PhysAddr,
    end: VirtAddr,
    /// Mapped parts, ascending: start, length, whether it can be read-only data.
    parts: Vec<(VirtAddr, u64, bool)>,
}

/// What becomes of a root whose kernel was not met before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// It is refused: a few reads decide.
    Refused,
    /// Its image is searched for a banner.
    Searched,
}

/// The address space of a candidate, and what tells how its tables mark encrypted memory.
fn space_of(
    machine: &Machine,
    candidate: &Candidate,
    info: Option<&Vmcoreinfo>,
) -> (AddressSpace, &'static str) {
    let &Candidate { mode, root, .. } = candidate;
    let memory = machine.memory.clone();
    let told = info.and_then(Vmcoreinfo::encryption);
    let (bits, by) = match told.filter(|_| mode.entry_bytes() == 8) {
        Some(bits) => (bits, "VMCOREINFO (sme_mask)"),
        None => (
            mode.encryption_of_table(&*memory, root),
            "the entries of the table root, which have it past the end of RAM",
        ),
    };
    let space = AddressSpace::new(memory, mode, root, linux_policy);
    (space.with_encryption(bits), by)
}

/// What looks like an image of an x86-64 kernel through `candidate`, in words: for a search that found
/// no banner there.
pub(super) fn bare_image(machine: &Machine, candidate: &Candidate) -> Option<String> {
    if candidate.mode.pointer_bytes() != 8 {
        return None;
    }
    let image = image64(&space_of(machine, candidate, None).0)?;
    let Image { text, text_pa, .. } = image;
    let by = &candidate.by;
    Some(format!(
        "what may be a kernel's image at {text}, physical {text_pa}, by {by}: no banner in it"
    ))
}

/// Confirms `candidate`. `known` kernels are tried first, for their banner's place is known.
pub(super) fn confirm(
    machine: &Machine,
    candidate: &Candidate,
    known: &[KnownKernel],
    info: Option<&Vmcoreinfo>,
    unknown: Unknown,
) -> Option<Located> {
    let (space, encryption_by) = space_of(machine, candidate, info);
    let encryption = space.encryption();
    let image = match candidate.mode.pointer_bytes() {
        8 => image64(&space)?,
        _ => image32(&space, known, info, unknown)?,
    };
    let recognised = known_banner(&space, &image, known);
    let met = recognised.map(|(_, kernel)| kernel);
    let (banner_at, banner, build_id, how) = if let Some((at, kernel)) = recognised {
        let how = "a kernel met before, its banner at its place";
        (at, kernel.banner.clone(), kernel.build_id.clone(), how)
    } else if let Some((at, kernel)) = named_build(machine, &space, &image, known, info) {
        let how = if kernel.named {
            "the profile that was named, whose build VMCOREINFO names; it could not be read"
        } else {
            "a kernel met before, whose build VMCOREINFO names; it could not be read"
        };
        (at, kernel.banner.clone(), kernel.build_id.clone(), how)
    } else {
        if unknown == Unknown::Refused {
            return None;
        }
        let (at, banner) = search_banner(&space, &image, info)?;
        (at, banner, None, "read through the page table")
    };
    let info = info.filter(|info| {
        let release = banner.get(BANNER.len()..).unwrap_or_default();
        let release = release
            .split(|&byte| byte == b' ')
            .next()
            .unwrap_or_default();
        release == info.release()
    });
    let (build_id, id_by) = match (build_id, info.and_then(Vmcoreinfo::build_id)) {
        (Some(id), Some(named)) if id != named => return None,
        (Some(id), _) => (Some(id), "the kernel met before"),
        (None, Some(id)) => (Some(id), "VMCOREINFO"),
        (None, None) => (search_build_id(&space, &image), "the image's notes"),
    };
    let reference = reference_root(&space, &image, banner_at, met, info);
    let (root, root_by) = match &reference {
        Some((root, by)) => (
            *root,
            format!("{by}; it maps the image as {} does", candidate.by),
        ),
        None => (
            candidate.root,
            format!("{}; the banner is read through it", candidate.by),
        ),
    };
    let mut premises = vec![
        premise("paging", candidate.mode.name(), &candidate.by),
        premise("table-root", &root.to_string(), &root_by),
        premise(
            "kernel-base",
            &image.text.to_string(),
            "first address of the mapped image",
        ),
        premise(
            "physical-base",
            &image.text_pa.to_string(),
            "the page table",
        ),
        premise("banner", &text(&banner), how),
    ];
    if candidate.kernel_half {
        let by = format!(
            "{}: bit 12 is set, and the table without it maps the kernel",
            candidate.by
        );
        premises.push(premise("kpti", "on", &by));
    }
    if encryption != 0 {
        premises.push(premise("encryption", &bits(encryption), encryption_by));
    }
    if let Some(id) = &build_id {
        premises.push(premise("build-id", &id.to_string(), id_by));
    }
    if let Some(offset) = info.and_then(Vmcoreinfo::kernel_offset) {
        premises.push(premise(
            "kernel-offset",
            &format!("{offset:#x}"),
            "VMCOREINFO",
        ));
    }
    Some(Located {
        mode: candidate.mode,
        root,
        encryption,
        text: image.text,
        text_pa: image.text_pa,
        end: image.end,
        build_id,
        banner,
        banner_at,
        vmcoreinfo: info.map(|info| info.text.clone()),
        premises,
    })
}

/// The kernel's own table, `swapper_pg_dir`, where its place is known and it maps the image as the
/// table at hand does. It maps everything that the kernel has mapped; a process's table of an old
/// i386 kernel takes over parts of it only when it needs them.
fn reference_root(
    space: &AddressSpace,
    image: &Image,
    banner_at: VirtAddr,
    met: Option<&KnownKernel>,
    info: Option<&Vmcoreinfo>,
) -> Option<(PhysAddr, String)> {
    let of_known = met.map(|kernel| {
        let root = image.text_pa.plus(kernel.root.wrapping_sub(kernel.text));
        (root, "the place of a kernel met before")
    });
    let of_info = info
        .and_then(Vmcoreinfo::swapper)
        .and_then(|at| space.translate(VirtAddr(at)).ok())
        .map(|root| (root, "VMCOREINFO"));
    let banner_pa = space.translate(banner_at).ok()?;
    [of_info, of_known]
        .into_iter()
        .flatten()
        .find_map(|(root, by)| {
            let own = space.with_root(root);
            let same = root.in_page() == 0
                && own.translate(image.text) == Ok(image.text_pa)
                && own.translate(banner_at) == Ok(banner_pa);
            same.then(|| (root, format!("the kernel's own table by {by}")))
        })
}

fn premise(about: &'static str, value: &str, by: &str) -> Premise {
    Premise {
        about,
        value: value.to_owned(),
        by: by.to_owned(),
    }
}

/// `bit 47`, of a mask of one bit; else the mask.
pub(crate) fn bits(mask: u64) -> String {
    if mask.is_power_of_two() {
        format!("bit {}", mask.trailing_zeros())
    } else {
        format!("bits {mask:#x}")
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// The image of an x86-64 kernel: what its page table maps from `__START_KERNEL_map` on.
fn image64(space: &AddressSpace) -> Option<Image> {
    let mut image: Option<Image> = None;
    let within = VirtAddr(IMAGE.start)..VirtAddr(IMAGE.end);
    space.mapped_rights(within, &mut |range| {
        let Ok(range) = range else {
            return ControlFlow::Continue(());
        };
        let data = range.flags.no_execute && !range.flags.write;
        let part = (range.start, range.len, data);
        match &mut image {
            None => {
                image = Some(Image {
                    text: range.start,
                    text_pa: range.phys,
                    end: range.start.plus(range.len),
                    parts: vec![part],
                });
            }
            Some(image) if range.start.since(image.end) > LARGEST_HOLE => {
                return ControlFlow::Break(());
            }
            Some(image) => {
                image.end = range.start.plus(range.len);
                image.parts.push(part);
            }
        }
        ControlFlow::Continue(())
    });
    // The image starts at a 2 MiB boundary; fixed mappings do not count.
    image.filter(|image| image.text.0.trailing_zeros() >= 21)
}

/// The image of an i386 kernel lies in the linear mapping of all low memory, so something must say
/// where: VMCOREINFO, the banner of a kernel met before, or else the largest part that is
/// write-protected, which is text and constants, or the code that it starts with.
fn image32(
    space: &AddressSpace,
    known: &[KnownKernel],
    info: Option<&Vmcoreinfo>,
    unknown: Unknown,
) -> Option<Image> {
    let searched = || {
        (unknown == Unknown::Searched)
            .then(|| i386::started(space))
            .flatten()
    };
    let told = info
        .and_then(Vmcoreinfo::stext)
        .filter(|text| text >> 32 == 0);
    let text = match told {
        Some(text) => VirtAddr(text),
        None => known
            .iter()
            .filter(|k| k.pointer_bytes == 4)
            .find_map(|k| text32(space, k))
            .or_else(|| protected32(space))
            .or_else(searched)?,
    };
    let text_pa = space.translate(text).ok()?;
    let end = text.plus(I386_IMAGE);
    Some(Image {
        text,
        text_pa,
        end,
        parts: vec![(text, I386_IMAGE, true)],
    })
}

/// The start of the largest stretch of kernel memory that cannot be written.
fn protected32(space: &AddressSpace) -> Option<VirtAddr> {
    const SMALLEST: u64 = 2 << 20;
    let mut stretches: Vec<(VirtAddr, u64)> = Vec::new();
    let kernel = VirtAddr(0x4000_0000)..VirtAddr(0xffff_f000);
    space.mapped(kernel, &mut |range| {
        if let Ok(range) = range
            && !range.flags.write
            && !range.flags.user
        {
            match stretches.last_mut() {
                Some((start, len)) if start.plus(*len) == range.start => {
                    *len = len.saturating_add(range.len);
                }
                _ => stretches.push((range.start, range.len)),
            }
        }
        ControlFlow::Continue(())
    });
    let largest = stretches.into_iter().max_by_key(|(_, len)| *len);
    largest
        .filter(|(_, len)| *len >= SMALLEST)
        .map(|(start, _)| start)
}

/// Where a known i386 kernel's `_text` runs: its banner stands where it was linked, or so many MiB on.
fn text32(space: &AddressSpace, kernel: &KnownKernel) -> Option<VirtAddr> {
    const STEP: u64 = 1 << 20;
    const SLIDES: u64 = 512;
    let split = kernel.text & 0xc000_0000;
    let linked = kernel.text.wrapping_sub(split) / STEP;
    let slid = (0..SLIDES).map(|step| step.wrapping_sub(linked).wrapping_mul(STEP));
    std::iter::once(0).chain(slid).find_map(|slide| {
        let text = VirtAddr(kernel.text.wrapping_add(slide));
        let fits = text.0 >= split && text.0 >> 32 == 0;
        (fits && banner_at(space, text, kernel).is_some()).then_some(text)
    })
}

/// Where the banner of a known kernel stands whose `_text` runs at `text`, if it does.
fn banner_at(space: &AddressSpace, text: VirtAddr, kernel: &KnownKernel) -> Option<VirtAddr> {
    let at = text.plus(kernel.linux_banner.wrapping_sub(kernel.text));
    // Nearly every place is another's, by its first bytes.
    let mut start = [0; BANNER.len()];
    if kernel.banner.is_empty() || space.read(at, &mut start).is_err() {
        return None;
    }
    if !start.starts_with(kernel.banner.get(..start.len()).unwrap_or_default()) {
        return None;
    }
    let mut found = vec![0; kernel.banner.len()];
    (space.read(at, &mut found).is_ok() && found == kernel.banner).then_some(at)
}

/// The known kernel whose banner stands where it would.
fn known_banner<'k>(
    space: &AddressSpace,
    image: &Image,
    known: &'k [KnownKernel],
) -> Option<(VirtAddr, &'k KnownKernel)> {
    let fits = |kernel: &&KnownKernel| kernel.pointer_bytes == space.mode().pointer_bytes();
    known
        .iter()
        .filter(fits)
        .find_map(|kernel| Some((banner_at(space, image.text, kernel)?, kernel)))
}

/// The known kernel whose build VMCOREINFO names, of an image that lies where VMCOREINFO says: its banner is
/// lost, and no other stands there. Unless somebody named it, the image must not start otherwise: VMCOREINFO may
/// be what an earlier kernel left.
fn named_build<'k>(
    machine: &Machine,
    space: &AddressSpace,
    image: &Image,
    known: &'k [KnownKernel],
    info: Option<&Vmcoreinfo>,
) -> Option<(VirtAddr, &'k KnownKernel)> {
    let info = info.filter(|info| info.stext() == Some(image.text.0))?;
    let id = info.build_id()?;
    let mut same = (known.iter()).filter(|kernel| kernel.build_id.as_ref() == Some(&id));
    let kernel = same.find(|kernel| kernel.named || !kernel.is_not_at(machine, image.text_pa))?;
    let at = image
        .text
        .plus(kernel.linux_banner.wrapping_sub(kernel.text));
    let mut start = [0; BANNER.len()];
    let other = space.read(at, &mut start).is_ok() && start == *BANNER;
    (!other).then_some((at, kernel))
}

/// Searches the image's parts: those of each kind of `order`, which says whether it is read-only data. A recorder sees none of it;
/// what is found is read once more by itself.
fn scan<T>(
    space: &AddressSpace,
    image: &Image,
    order: &[bool],
    join: usize,
    mut visit: impl FnMut(VirtAddr, &[u8]) -> Option<T>,
) -> Option<T> {
    for &wanted in order {
        let mut ranges: Vec<std::ops::Range<VirtAddr>> = Vec::new();
        for &(start, len, _) in image.parts.iter().filter(|part| part.2 == wanted) {
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end = start.plus(len),
                _ => ranges.push(start..start.plus(len)),
            }
        }
        for range in ranges {
            let mut found = None;
            let _ = space.sweep(range, join, &mut |at, window| {
                found = visit(at, window);
                match found {
                    Some(_) => ControlFlow::Break(()),
                    None => ControlFlow::Continue(()),
                }
            });
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

/// The banner of the image: `linux_banner` ends with a newline, and it is what VMCOREINFO names. It is a constant:
/// where the image has such, what can be written is a copy, such as the log's, with whatever stands behind it.
fn search_banner(
    space: &AddressSpace,
    image: &Image,
    info: Option<&Vmcoreinfo>,
) -> Option<(VirtAddr, Vec<u8>)> {
    let finder = memmem::Finder::new(BANNER);
    let constants = image.parts.iter().any(|part| part.2);
    let (at, banner) = scan(space, image, &[constants], BANNER_MAX, |start, window| {
        finder.find_iter(window).find_map(|hit| {
            let line = banner_line(window.get(hit..)?)?;
            let release = line.get(BANNER.len()..)?;
            let fits = info.is_none_or(|info| release.starts_with(info.release()));
            fits.then(|| (start.plus(hit as u64), line.to_vec()))
        })
    })?;
    // Read it once more by itself, so that a recorder sees the page it stands on.
    let mut again = vec![0; banner.len()];
    space.read(at, &mut again).ok()?;
    (again == banner).then_some((at, banner))
}

/// The banner that `bytes` start with, without its newline.
pub(super) fn banner_line(bytes: &[u8]) -> Option<&[u8]> {
    let line = bytes.get(..bytes.iter().take(BANNER_MAX).position(|&b| b == b'\n')?)?;
    let printable = line.iter().all(|&byte| (0x20..0x7f).contains(&byte));
    let release = line.strip_prefix(BANNER.as_slice())?;
    let named = release.first().is_some_and(u8::is_ascii_digit);
    (printable && named && numbered(line)).then_some(line)
}

/// Whether a banner names its build, `#1 `: a second copy, made before the number was known, does
/// not.
fn numbered(line: &[u8]) -> bool {
    line.windows(3)
        .any(|w| matches!(w, [b' ', b'#', digit] if digit.is_ascii_digit()))
}

/// Bytes of a GNU build-id note before the id: its header and its name.
const NOTE: &[u8] = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";

/// The build id of the kernel's own notes. The images of the vDSO inside the kernel hold a build id
/// too.
fn search_build_id(space: &AddressSpace, image: &Image) -> Option<BuildId> {
    let finder = memmem::Finder::new(NOTE);
    scan(space, image, &[true, false], NOTE.len(), |start, window| {
        let mut hits = finder.find_iter(window);
        hits.find_map(|hit| kernel_note(space, start.plus(hit as u64)))
    })
}

/// The build id of the note at `at`, when it is the kernel's: notes of Linux or Xen stand beside it,
/// and no ELF header starts its page.
fn kernel_note(space: &AddressSpace, at: VirtAddr) -> Option<BuildId> {
    /// Half of what is looked at.
    const NEAR: u64 = 1024;
    let mut magic = [0; 4];
    if space.read(at.page(), &mut magic).is_ok() && magic == *b"\x7fELF" {
        return None;
    }
    let mut near = [0; 2048];
    let _ = space.read_partial(at.minus(NEAR), &mut near);
    let beside = |name: &[u8]| memmem::find(&near, name).is_some();
    if !beside(b"Linux\0") && !beside(b"Xen\0") {
        return None;
    }
    let mut id = vec![0; 20];
    space.read(at.plus(NOTE.len() as u64), &mut id).ok()?;
    Some(BuildId(id))
}
