//! How to read sections.

use osier_profile::{Bits, Embed, Field, Ptr, Resolver, UInt, layout};

layout! {
    /// Fields read from `_SUBSECTION`.
    pub(crate) struct Subsection: "_SUBSECTION" {
        control_area: Option<Field<Ptr<()>>> = ["ControlArea"],
        /// The prototype entry of its first page.
        subsection_base: Option<Field<Ptr<()>>> = ["SubsectionBase"],
        /// How many of them it has.
        ptes: Option<Field<UInt>> = ["PtesInSubsection"],
        /// The next part of the section.
        next: Option<Field<Ptr<()>>> = ["NextSubsection"],
        /// Where it begins in the file, in pages for data.
        starting_sector: Option<Field<UInt>> = ["StartingSector"],
    }
}

layout! {
    /// Fields read from `_CONTROL_AREA`.
    pub(crate) struct ControlArea: "_CONTROL_AREA" {
        /// The file; the low bits count references since Vista. Null for memory of the paging file.
        file_pointer: Option<Field<Embed<()>>> = ["FilePointer"],
        /// The flags, as one word.
        flags: Option<Field<Embed<()>>> = ["u"],
    }
}

layout! {
    /// Fields read from `_MMSECTION_FLAGS`.
    pub(crate) struct Flags: "_MMSECTION_FLAGS" {
        image: Option<Field<Bits>> = ["Image"],
    }
}

layout! {
    /// Fields read from `_FILE_OBJECT`.
    pub(crate) struct FileObject: "_FILE_OBJECT" {
        /// What the object is: 5 for a file.
        kind: Option<Field<UInt>> = ["Type"],
        /// The device that it is on.
        device: Option<Field<Ptr<()>>> = ["DeviceObject"],
        file_name: Option<Field<Embed<()>>> = ["FileName"],
    }
}

layout! {
    /// Fields read from `_MEMORY_AREA`, which begins with the descriptor: what ReactOS keeps of a view of
    /// a file or an image, in place of a control area. An image has one for each of its segments.
    pub(crate) struct Area: "_MEMORY_AREA" {
        vad: Option<Field<Embed<()>>> = ["VadNode"],
        segment: Option<Field<Ptr<()>>> = ["SectionData.Segment", "Data.SectionData.Segment"],
        /// From the segment's first byte to the view's.
        view_offset: Option<Field<UInt>> = ["SectionData.ViewOffset", "Data.SectionData.ViewOffset"],
    }
}

layout! {
    /// Fields read from `_MM_SECTION_SEGMENT`.
    pub(crate) struct Segment: "_MM_SECTION_SEGMENT" {
        file: Option<Field<Ptr<()>>> = ["FileObject"],
        /// 1: of physical memory; 2: of a file as it is. Neither: of an image.
        flags: Option<Field<UInt>> = ["SegFlags"],
    }
}

/// How to read sections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) subsection: Subsection,
    pub(crate) control_area: ControlArea,
    pub(crate) flags: Flags,
    pub(crate) file: FileObject,
    /// The shape of `_MEMORY_AREA`, where the kernel has it and begins it with the descriptor.
    pub(crate) area: Option<Area>,
    pub(crate) segment: Segment,
}

impl Layout {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            subsection: Subsection::resolve(resolver),
            control_area: ControlArea::resolve(resolver),
            flags: Flags::resolve(resolver),
            file: FileObject::resolve(resolver),
            area: Some(Area::resolve(resolver))
                .filter(|area| area.vad.is_some_and(|vad| vad.offset == 0)),
            segment: Segment::resolve(resolver),
        }
    }
}
