//! Sections: what backs memory that is not private, down to the name of the file.
//!
//! ```text
//!   _MMVAD.Subsection → _SUBSECTION.ControlArea → _CONTROL_AREA.FilePointer → _FILE_OBJECT.FileName
//!   _MMVAD.ControlArea (XP) ─────────────────────────┘
//!   _MEMORY_AREA.SectionData.Segment (ReactOS) → _MM_SECTION_SEGMENT.FileObject → _FILE_OBJECT.FileName
//! ```

use osier_memory::{Fault, VirtAddr};
use osier_osi::{Absent, Seen, Why};
use osier_profile::{Field, Ptr};

use crate::vad::{Said, Sort};
use crate::windows::Windows;
use crate::{unicode, vad};

/// What a descriptor's section says of its file.
pub(crate) struct Backing {
    /// Whether the section says that it is of an image; `None` where that cannot be read.
    pub(crate) image: Option<bool>,
    /// Whether there is a file.
    pub(crate) has_file: Seen<bool>,
    /// The path inside its volume; not applicable for memory of the paging file.
    pub(crate) file: Seen<Vec<u8>>,
    /// Offset of the mapping's first byte in the file.
    pub(crate) offset: Seen<u64>,
}

/// The file behind the descriptor at `vad`, which is not private and says as much of itself.
pub(crate) fn backing(windows: &Windows, vad: VirtAddr, said: &Said) -> Backing {
    let image = said.image;
    if said.sort == Sort::Area {
        return of_area(windows, vad, image);
    }
    let area = control_area(windows, vad);
    let image_flag = area.as_ref().ok().copied().flatten().and_then(|area| {
        let place = windows.section.control_area.flags?.place(area);
        let bit = windows
            .section
            .flags
            .image?
            .read(&windows.guest.space, place);
        Some(bit.ok()? != 0)
    });
    let found = area.and_then(|area| file_object(windows, area));
    of_file(windows, vad, image, image_flag, found, &|| {
        offset(windows, vad)
    })
}

/// What a section with this file object says; null where there is none, `None` when the profile does not
/// tell. `from` gives the offset of the mapping's first byte in the file.
fn of_file(
    windows: &Windows,
    vad: VirtAddr,
    image: bool,
    image_flag: Option<bool>,
    found: Result<Option<VirtAddr>, Box<Absent>>,
    from: &dyn Fn() -> Seen<u64>,
) -> Backing {
    let has_file = match &found {
        Ok(Some(file)) => Ok(!file.is_null()),
        Ok(None) => Err(Absent::not_in_this_kernel()),
        Err(absent) => Err(absent.clone()),
    };
    let file = match found {
        Ok(Some(file)) if !file.is_null() => name(windows, file),
        Ok(Some(_)) if image => Err(Absent::implausible(
            0,
            "the section of an image has a file",
            Some(vad),
        )),
        Ok(Some(_)) => Err(Absent::not_applicable("memory of the paging file")),
        Ok(None) => Err(Absent::not_in_this_kernel()),
        Err(absent) => Err(absent),
    };
    let offset = match &has_file {
        _ if image => Ok(0),
        Ok(false) => Err(Absent::not_applicable("memory of the paging file")),
        Ok(true) => from(),
        Err(absent) => Err(absent.clone()),
    };
    Backing {
        image: image_flag,
        has_file,
        file,
        offset,
    }
}

/// The segment of the `_MEMORY_AREA` at `at`: null for none, `None` when the profile does not tell.
fn segment(windows: &Windows, at: VirtAddr) -> Result<Option<VirtAddr>, Fault> {
    let field = windows.section.area.and_then(|area| area.segment);
    field
        .map(|field| field.read(&windows.guest.space, at))
        .transpose()
}

/// What the descriptor at `at` says of itself, and what a `_MEMORY_AREA` that it begins adds: whether its
/// segment is one of an image. Where the profile does not tell that of a segment, that the loader lists an
/// image there (`listed`) does.
pub(crate) fn said(windows: &Windows, at: VirtAddr, listed: bool) -> Seen<Said> {
    vad::flags(windows, at).and_then(|mut said| {
        if said.sort == Sort::Area {
            let told = is_of_image(windows, at).map_err(Absent::unreadable)?;
            said.image |= told.unwrap_or(listed);
        }
        Ok(said)
    })
}

/// `None` when the profile does not tell.
fn is_of_image(windows: &Windows, at: VirtAddr) -> Result<Option<bool>, Fault> {
    /// `MM_PHYSICALMEMORY_SEGMENT` and `MM_DATAFILE_SEGMENT`.
    const OTHER: u64 = 3;
    let layout = &windows.section.segment;
    let Some((segment, flags)) = segment(windows, at)?.zip(layout.flags) else {
        return Ok(None);
    };
    if windows.guest.plausible(segment).is_err() {
        return Ok(Some(false)); // what backs it is told as that
    }
    let space = &windows.guest.space;
    let other = flags.read(space, segment)? & OTHER != 0;
    // A segment without a file is not an image's, whatever its flags are.
    let file = (layout.file.map(|file| file.read(space, segment))).transpose()?;
    Ok(Some(!other && file.is_none_or(|file| !file.is_null())))
}

/// The file object of the descriptor at `at`, where it begins a `_MEMORY_AREA`: null for none, `None` where it
/// does not, or that cannot be told.
pub(crate) fn file_of_area(windows: &Windows, at: VirtAddr) -> Option<VirtAddr> {
    let said = vad::flags(windows, at).ok()?;
    let segment = segment(windows, at).ok().flatten();
    let segment = segment.filter(|at| windows.guest.plausible(*at).is_ok());
    let file = segment.filter(|_| said.sort == Sort::Area)?;
    windows
        .section
        .segment
        .file?
        .read(&windows.guest.space, file)
        .ok()
}

/// As [`backing`], of the `_MEMORY_AREA` at `at`.
fn of_area(windows: &Windows, at: VirtAddr, image: bool) -> Backing {
    let guest = &windows.guest;
    let file = |segment: VirtAddr| match windows.section.segment.file {
        Some(field) => field.read(&guest.space, segment).map(Some),
        None => Ok(None),
    };
    let found = match segment(windows, at) {
        Ok(Some(segment)) if guest.plausible(segment).is_ok() => {
            file(segment).map_err(Absent::unreadable)
        }
        Ok(Some(other)) => {
            let rule = "a section's parts are mapped addresses of the kernel";
            let field = windows.section.area.and_then(|area| area.segment);
            let why = Why::Implausible { raw: other.0, rule };
            let at = field.map(|field| field.place(at));
            Err(Box::new(Absent { why, at }))
        }
        Ok(None) => Ok(None),
        Err(fault) => Err(Absent::unreadable(fault)),
    };
    let from = || {
        let Some(field) = windows.section.area.and_then(|area| area.view_offset) else {
            return Err(Absent::not_in_this_kernel());
        };
        (field.read(&guest.space, at)).map_err(Absent::unreadable)
    };
    of_file(windows, at, image, None, found, &from)
}

/// The `_CONTROL_AREA` behind the descriptor at `vad`; `None` when the profile does not tell.
fn control_area(windows: &Windows, vad: VirtAddr) -> Result<Option<VirtAddr>, Box<Absent>> {
    let guest = &windows.guest;
    let layout = &windows.section;
    let follow = |field: Option<Field<Ptr<()>>>, at: VirtAddr| match field {
        None => Ok(None),
        Some(field) => match field.read(&guest.space, at) {
            Ok(to) if guest.plausible(to).is_ok() => Ok(Some(to)),
            Ok(other) => Err(Box::new(Absent {
                why: Why::Implausible {
                    raw: other.0,
                    rule: "a section's parts are mapped addresses of the kernel",
                },
                at: Some(field.place(at)),
            })),
            Err(fault) => Err(Absent::unreadable(fault)),
        },
    };
    let long = &windows.vad.long;
    if long.subsection.is_none() {
        return follow(long.control_area, vad);
    }
    match follow(long.subsection, vad)? {
        Some(subsection) => follow(layout.subsection.control_area, subsection),
        None => Ok(None),
    }
}

/// The `_FILE_OBJECT` of a control area; null when there is none, `None` when the profile does not tell.
fn file_object(windows: &Windows, area: Option<VirtAddr>) -> Result<Option<VirtAddr>, Box<Absent>> {
    let guest = &windows.guest;
    let Some((area, field)) = area.zip(windows.section.control_area.file_pointer) else {
        return Ok(None);
    };
    // `_EX_FAST_REF`: objects are aligned to twice a pointer, the bits below count.
    let low = u64::from(guest.pointer_bytes())
        .wrapping_mul(2)
        .wrapping_sub(1);
    match guest.space.read_pointer(field.place(area)) {
        Ok(raw) => Ok(Some(VirtAddr(raw.0 & !low))),
        Err(fault) => Err(Absent::unreadable(fault)),
    }
}

/// `FileName` of the `_FILE_OBJECT` at `file`.
pub(crate) fn name(windows: &Windows, file: VirtAddr) -> Seen<Vec<u8>> {
    /// `IO_TYPE_FILE`.
    const FILE: u64 = 5;
    let Some(field) = windows.section.file.file_name else {
        return Err(Absent::not_in_this_kernel());
    };
    let guest = &windows.guest;
    if guest.plausible(file).is_err() {
        let rule = "a file object is a mapped address of the kernel";
        return Err(Absent::implausible(file.0, rule, None));
    }
    let kind = windows.section.file.kind;
    if let Some(place) = kind.map(|kind| kind.place(file))
        && let Ok(kind) = guest.space.read_uint(place, 2)
        && kind != FILE
    {
        let rule = "a file object says that it is one (Type)";
        return Err(Absent::implausible(kind, rule, Some(place)));
    }
    unicode::path(&guest.space, field.place(file), guest.pointer_bytes())
}

/// The offset of a mapped file's first byte: the prototype entries before the mapping's own in its
/// subsection, and the pages before the subsection.
fn offset(windows: &Windows, vad: VirtAddr) -> Seen<u64> {
    const PAGE: u64 = 4096;
    let space = &windows.guest.space;
    let layout = &windows.section.subsection;
    let long = &windows.vad.long;
    let (Some(first), Some(subsection), Some(base)) = (
        long.first_prototype_pte,
        long.subsection,
        layout.subsection_base,
    ) else {
        return Err(Absent::not_in_this_kernel());
    };
    let entry = space.mode().entry_bytes() as u64;
    let pages = || {
        let first = first.read(space, vad)?;
        let subsection = subsection.read(space, vad)?;
        let base = base.read(space, subsection)?;
        let before = match layout.starting_sector {
            Some(field) => field.read(space, subsection)?,
            None => 0,
        };
        let own = first.0.checked_sub(base.0).filter(|own| own >> 32 == 0);
        Ok::<_, Fault>(own.and_then(|own| own.checked_div(entry)?.checked_add(before)))
    };
    match pages() {
        Ok(Some(pages)) => Ok(pages.wrapping_mul(PAGE)),
        Ok(None) => {
            let rule = "a mapping's first prototype entry lies in its subsection";
            Err(Absent::implausible(0, rule, Some(first.place(vad))))
        }
        Err(fault) => Err(Absent::unreadable(fault)),
    }
}
