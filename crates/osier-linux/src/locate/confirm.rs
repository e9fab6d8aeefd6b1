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
        let modes = match cpu.paging() {
            Some(Paging::Flat) => continue,
            Some(mode) => vec![mode],
            None if cpu.cr4 & (1 << 12) != 0 => vec![Paging::Long5, Paging::Long4],
            None => vec![Paging::Long4, Paging::Pae],
        };
        for mode in modes {
            let root = mode.root_of_cr3(cpu.cr3);
            let mut roots = vec![(root, "")];
            if matches!(mode, Paging::Long4 | Paging::Long5 | Paging::Pae) && root.0 & 0x1000 != 0 {
                roots.insert(0, (PhysAddr(root.0 & !0x1000), ", kernel half (KPTI)"));
            }
            for (root, half) in roots {
                let known = all
                    .iter()
                    .any(|known| known.mode == mode && known.root == root);
                if !known {
                    let by = format!("CR3 {:#x} of CPU {}{half}", cpu.cr3, cpu.index);
                    all.push(Candidate { mode, root, by });
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

/// Confirms `candidate`. `known` kernels are tried first, for their banner's place is known.
pub(super) fn confirm(
    machine: &Machine,
    candidate: &Candidate,
    known: &[Known],
    info: Option<&Vmcoreinfo>,
) -> Option<Located> {
    let memory = machine.memory.clone();
    let space = AddressSpace::new(memory, candidate.mode, candidate.root, linux_policy);
    let image = match candidate.mode.pointer_bytes() {
        8 => image64(&space)?,
        _ => image32(&space, known, info)?,
    };
    let recognised = known_banner(&space, &image, known);
    let (banner_at, banner, build_id, how) = if let Some((at, kernel)) = recognised {
        let how = "a kernel met before, its banner at its place";
        (at, kernel.banner.clone(), kernel.build_id.clone(), how)
    } else {
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
    let mut premises = vec![
        premise("paging", candidate.mode.name(), &candidate.by),
        premise("table-root", &candidate.root.to_string(), &candidate.by),
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
        root: candidate.root,
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
/// where: VMCOREINFO, or a kernel met before.
fn image32(space: &AddressSpace, known: &[Known], info: Option<&Vmcoreinfo>) -> Option<Image> {
    let told = info
        .and_then(Vmcoreinfo::stext)
        .filter(|text| text >> 32 == 0);
    let text = match told {
        Some(text) => VirtAddr(text),
        None => known
            .iter()
            .filter(|k| k.pointer_bytes == 4)
            .find_map(|k| text32(space, k))?,
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

/// Reads the image's parts one window after another, those that can be read-only data first.
fn scan<T>(
    space: &AddressSpace,
    image: &Image,
    overlap: usize,
    mut visit: impl FnMut(VirtAddr, &[u8]) -> Option<T>,
) -> Option<T> {
    const WINDOW: usize = 1 << 20;
    let mut buffer = vec![0; WINDOW.saturating_add(overlap)];
    for wanted in [true, false] {
        for &(start, len, data) in &image.parts {
            if data != wanted {
                continue;
            }
            let mut done = 0_u64;
            while done < len {
                let left = usize::try_from(len.saturating_sub(done)).unwrap_or(usize::MAX);
                let n = left.min(buffer.len());
                let Some(window) = buffer.get_mut(..n) else {
                    break;
                };
                let at = start.plus(done);
                for gap in space.read_partial(at, window) {
                    let end = gap.start.saturating_add(gap.len);
                    if let Some(bytes) = window.get_mut(gap.start..end) {
                        bytes.fill(0);
                    }
                }
                if let Some(found) = visit(at, window) {
                    return Some(found);
                }
                done = done.saturating_add(WINDOW as u64);
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

/// The build id in the image's own notes. A vDSO inside the image has one too, but no note of
/// owner `Linux` or `Xen` near it and an ELF header at the start of its page.
fn search_build_id(space: &AddressSpace, image: &Image) -> Option<BuildId> {
    const NOTE: &[u8] = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";
    const NEAR: usize = 1024;
    let finder = memmem::Finder::new(NOTE);
    scan(space, image, NEAR, |_, window| {
        finder.find_iter(window).find_map(|hit| {
            let from = hit.saturating_sub(NEAR);
            let near = window.get(from..window.len().min(hit.saturating_add(NEAR)))?;
            let page = window.get(hit & !0xfff..hit)?;
            let kernel =
                memmem::find(near, b"Linux\0").is_some() || memmem::find(near, b"Xen\0").is_some();
            if !kernel || page.starts_with(b"\x7fELF") {
                return None;
            }
            let id = window.get(hit.checked_add(NOTE.len())?..)?.get(..20)?;
            Some(BuildId(id.to_vec()))
        })
    })
}
