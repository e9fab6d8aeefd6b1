//! Confirming a table root: it maps a kernel image, and the banner is read through it.

use std::ops::ControlFlow;

use memchr::memmem;
use osier_memory::{AddressSpace, Machine, Paging, PhysAddr, VirtAddr};
use osier_osi::Premise;
use osier_profile::BuildId;

use super::vmcoreinfo::Vmcoreinfo;
use super::{Known, Located};
use crate::linux_policy;

/// A table root to be confirmed.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) mode: Paging,
    pub(super) root: PhysAddr,
    /// Where it comes from, in words.
    pub(super) by: String,
    /// It is the kernel half of a pair whose user half CR3 holds.
    pub(super) kernel_half: bool,
}

/// The addresses that an x86-64 kernel image is mapped at: `__START_KERNEL_map` and the 1 GiB after
/// it (512 MiB without KASLR, where the modules begin at the half).
const IMAGE: std::ops::Range<u64> = 0xffff_ffff_8000_0000..0xffff_ffff_c000_0000;
/// Holes in a mapped image are smaller: freed init memory, and what KPTI hides.
const LARGEST_HOLE: u64 = 32 << 20;
/// The largest i386 image looked at for a banner.
const I386_IMAGE: u64 = 32 << 20;
const BANNER: &[u8] = b"Linux version ";
/// Longest banner: a page holds it.
const BANNER_MAX: usize = 512;

/// The roots that the processors' registers give. A CR3 with bit 12 set may be the user half of a
/// page-table pair (KPTI), so its kernel half is tried first.
pub(super) fn from_registers(machine: &Machine) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = Vec::new();
    for cpu in &machine.cpus {
        for mode in cpu.modes() {
            if mode == Paging::Flat {
                continue;
            }
            let root = mode.root_of_cr3(cpu.cr3);
            let mut roots = vec![(root, false)];
            if matches!(mode, Paging::Long4 | Paging::Long5 | Paging::Pae) && root.0 & 0x1000 != 0 {
                roots.insert(0, (PhysAddr(root.0 & !0x1000), true));
            }
            for (root, kernel_half) in roots {
                let known = all
                    .iter()
                    .any(|known| known.mode == mode && known.root == root);
                if !known {
                    let half = if kernel_half { ", kernel half" } else { "" };
                    let by = format!("CR3 {:#x} of CPU {}{half}", cpu.cr3, cpu.index);
                    all.push(Candidate {
                        mode,
                        root,
                        by,
                        kernel_half,
                    });
                }
            }
        }
    }
    all
}

/// A root whose mode is not known.
pub(super) fn any_mode(root: PhysAddr, by: &str) -> Vec<Candidate> {
    let modes = [Paging::Long4, Paging::Long5, Paging::Pae, Paging::Legacy];
    let candidate = |mode: Paging| Candidate {
        mode,
        root: mode.root_of_cr3(root.0),
        by: by.into(),
        kernel_half: false,
    };
    modes.map(candidate).to_vec()
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

/// Confirms `candidate`. `known` kernels are tried first, for their banner's place is known.
pub(super) fn confirm(
    machine: &Machine,
    candidate: &Candidate,
    known: &[Known],
    info: Option<&Vmcoreinfo>,
    unknown: Unknown,
) -> Option<Located> {
    let memory = machine.memory.clone();
    let space = AddressSpace::new(memory, candidate.mode, candidate.root, linux_policy);
    let image = match candidate.mode.pointer_bytes() {
        8 => image64(&space)?,
        _ => image32(&space, known, info)?,
    };
    let recognised = known_banner(&space, &image, known);
    let met = recognised.map(|(_, kernel)| kernel);
    let (banner_at, banner, build_id, how) = if let Some((at, kernel)) = recognised {
        let how = "a kernel met before, its banner at its place";
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
        Some((root, by)) => (*root, by.as_str()),
        None => (candidate.root, candidate.by.as_str()),
    };
    let mut premises = vec![
        premise("paging", candidate.mode.name(), &candidate.by),
        premise("table-root", &root.to_string(), root_by),
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
    met: Option<&Known>,
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

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// The image of an x86-64 kernel: what its page table maps from `__START_KERNEL_map` on.
fn image64(space: &AddressSpace) -> Option<Image> {
    let mut image: Option<Image> = None;
    let within = VirtAddr(IMAGE.start)..VirtAddr(IMAGE.end);
    space.mapped(within, &mut |range| {
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
/// where: VMCOREINFO, a kernel met before, or else the largest part that is write-protected, which
/// is text and constants.
fn image32(space: &AddressSpace, known: &[Known], info: Option<&Vmcoreinfo>) -> Option<Image> {
    let told = info
        .and_then(Vmcoreinfo::stext)
        .filter(|text| text >> 32 == 0);
    let text = match told {
        Some(text) => VirtAddr(text),
        None => known
            .iter()
            .filter(|k| k.pointer_bytes == 4)
            .find_map(|k| text32(space, k))
            .or_else(|| protected32(space))?,
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

/// Where a known i386 kernel's `_text` runs: its first bytes at a 1 MiB-aligned virtual address.
fn text32(space: &AddressSpace, kernel: &Known) -> Option<VirtAddr> {
    const STEP: u64 = 1 << 20;
    const SLIDES: u64 = 512;
    if kernel.text_head.is_empty() {
        return None;
    }
    let split = kernel.text & 0xc000_0000;
    (0..SLIDES)
        .map(|step| VirtAddr(split.wrapping_add(step.wrapping_mul(STEP))))
        .find(|&text| {
            let mut head = vec![0; kernel.text_head.len()];
            space.read(text, &mut head).is_ok() && head == kernel.text_head
        })
}

/// The known kernel whose banner stands where it would.
fn known_banner<'k>(
    space: &AddressSpace,
    image: &Image,
    known: &'k [Known],
) -> Option<(VirtAddr, &'k Known)> {
    let fits = |kernel: &&Known| kernel.pointer_bytes == space.mode().pointer_bytes();
    known.iter().filter(fits).find_map(|kernel| {
        let at = image
            .text
            .plus(kernel.linux_banner.wrapping_sub(kernel.text));
        let mut found = vec![0; kernel.banner.len()];
        let same =
            !found.is_empty() && space.read(at, &mut found).is_ok() && found == kernel.banner;
        same.then_some((at, kernel))
    })
}

/// Searches the image's parts, those that can be read-only data first. A recorder sees none of it;
/// what is found is read once more by itself.
fn scan<T>(
    space: &AddressSpace,
    image: &Image,
    join: usize,
    mut visit: impl FnMut(VirtAddr, &[u8]) -> Option<T>,
) -> Option<T> {
    for wanted in [true, false] {
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

/// The banner of the image: `linux_banner` ends with a newline, and it is what VMCOREINFO names.
fn search_banner(
    space: &AddressSpace,
    image: &Image,
    info: Option<&Vmcoreinfo>,
) -> Option<(VirtAddr, Vec<u8>)> {
    let finder = memmem::Finder::new(BANNER);
    let (at, banner) = scan(space, image, BANNER_MAX, |start, window| {
        finder.find_iter(window).find_map(|hit| {
            let rest = window.get(hit..)?;
            let line = rest.get(..rest.iter().take(BANNER_MAX).position(|&b| b == b'\n')?)?;
            let printable = line.iter().all(|&byte| (0x20..0x7f).contains(&byte));
            let release = line.get(BANNER.len()..)?;
            let named = release.first().is_some_and(u8::is_ascii_digit);
            let fits = info.is_none_or(|info| release.starts_with(info.release()));
            (printable && named && fits && numbered(line))
                .then(|| (start.plus(hit as u64), line.to_vec()))
        })
    })?;
    // Read it once more by itself, so that a recorder sees the page it stands on.
    let mut again = vec![0; banner.len()];
    space.read(at, &mut again).ok()?;
    (again == banner).then_some((at, banner))
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
    scan(space, image, NOTE.len(), |start, window| {
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
