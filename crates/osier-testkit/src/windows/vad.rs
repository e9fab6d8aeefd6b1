//! Virtual address descriptors: the tree of a process in the shape of its era, and the sections
//! and files behind its nodes.
//!
//! ReactOS has views of files in a `_MEMORY_AREA`, one for each segment of an image, which leads to a
//! `_MM_SECTION_SEGMENT`. Three eras of Windows: `_MMVAD` with a parent and two children under a plain pointer (XP); the same under
//! `_MM_AVL_TABLE`, the balance in the parent's low bits (Vista, 7); `_MMVAD_SHORT` around an
//! `_RTL_BALANCED_NODE` under `_RTL_AVL_TREE` (8.1 and later).

use std::collections::HashMap;

use osier_memory::VirtAddr;

use super::objects::EPROCESS;
use super::rows::{Process, Protection, Proto, Shared, Vad, VadKind};
use super::spaces::Space;
use super::writer::{Object, Writer, utf16};
use super::{objects, pages};

const PAGE_SHIFT: u32 = 12;
/// `_MMVAD_FLAGS.VadType` of an image.
const IMAGE_MAP: u64 = 2;
/// ReactOS's own descriptor, and what it calls a view of a section.
const AREA: &str = "_MEMORY_AREA";
const SECTION_VIEW: u64 = 1;
/// What an `_EX_FAST_REF` has in its low bits: references handed out.
const FAST_REFERENCES: u64 = 5;

/// Writes the tree of a process; images of its modules are added to its VADs first.
pub(super) fn write(
    w: &mut Writer<'_>,
    eprocess: Object,
    process: &mut Process,
    sections: &mut Sections,
) {
    if !w.has_type("_MMVAD") {
        return;
    }
    if !process.all_vads {
        add_images(process, w.has_type(AREA));
    }
    process.vads.sort_by_key(|vad| vad.start);
    let mut nodes = Vec::new();
    for vad in &mut process.vads {
        let node = node(w, vad, sections);
        vad.node = Some(node.at);
        nodes.push(node);
    }
    for shared in &process.shared {
        share(w, process, shared, sections);
    }
    let tree = Tree::of(w);
    let root = tree.join(w, eprocess, &nodes, None);
    tree.root(w, eprocess, root, nodes.len() as u64);
}

/// Where a descriptor of an image ends that has one for each segment: headers, code, the rest.
fn segments(start: u64, end: u64) -> Vec<(u64, u64)> {
    let pages = (end + 1 - start) >> PAGE_SHIFT;
    let mut cuts = vec![0, 1, 1 + pages / 2, pages];
    cuts.dedup();
    cuts.retain(|cut| *cut <= pages);
    let at = |cut: u64| start + (cut << PAGE_SHIFT);
    cuts.windows(2)
        .map(|two| (at(two[0]), at(two[1]) - 1))
        .collect()
}

/// A VAD for each module that none covers, or, of a kernel that has them by segments, several.
fn add_images(process: &mut Process, by_segment: bool) {
    let wow64 = process.wow64.iter().flat_map(|wow64| &wow64.modules);
    let modules = process.modules.iter().chain(wow64);
    let mut images: Vec<Vad> = Vec::new();
    for module in modules.filter(|module| module.size > 0) {
        let (start, end) = (
            module.base & !0xfff,
            (module.base + module.size - 1) | 0xfff,
        );
        let taken = process.vads.iter().chain(&images);
        if taken
            .into_iter()
            .any(|vad| vad.start <= end && start <= vad.end)
        {
            continue;
        }
        let parts = if by_segment {
            segments(start, end)
        } else {
            vec![(start, end)]
        };
        images.extend(parts.into_iter().map(|(start, end)| Vad {
            start,
            end,
            kind: VadKind::Image(device_path(&module.path)),
            protection: Protection::EXECUTE_WRITE_COPY,
            commit: false,
            offset: 0,
            node: None,
        }));
    }
    process.vads.append(&mut images);
}

/// The path as the file system of the device sees it: without the drive.
pub(super) fn device_path(path: &str) -> String {
    let path = path.strip_prefix("\\??\\").unwrap_or(path);
    match path.split_once(':') {
        Some((drive, rest)) if drive.len() == 1 => rest.to_owned(),
        _ => path.replace("\\SystemRoot", "\\Windows"),
    }
}

/// The node of one range, in the structure that its kind has.
fn node(w: &mut Writer<'_>, vad: &Vad, sections: &mut Sections) -> Object {
    let private = vad.kind == VadKind::Private;
    // Memory of the paging file has the descriptor of Windows there, too.
    let area = w.has_type(AREA) && !private && vad.kind != VadKind::Mapped(None);
    let (tag, ty) = match (private, area) {
        (true, _) => (*b"VadS", "_MMVAD_SHORT"),
        (false, false) => (*b"Vad ", "_MMVAD"),
        (false, true) => (*b"MmAr", AREA),
    };
    let object = w.pool_or_at(tag, ty, vad.node);
    // The short structure begins the long one, under a name in the later kernels.
    let short = Object {
        ty: "_MMVAD_SHORT",
        ..object
    };
    let (first, last) = (vad.start >> PAGE_SHIFT, vad.end >> PAGE_SHIFT);
    for (member, high, number) in [
        ("StartingVpn", "StartingVpnHigh", first),
        ("EndingVpn", "EndingVpnHigh", last),
    ] {
        if w.has(short.ty, high) {
            w.set(short, member, number & 0xffff_ffff);
            w.set(short, high, number >> 32);
        } else {
            w.set(short, member, number);
        }
    }
    flags(w, short, vad, area);
    let (file, image) = match &vad.kind {
        VadKind::Private => return object,
        VadKind::Mapped(file) => (file.as_deref(), false),
        VadKind::Image(file) => (Some(file.as_str()), true),
    };
    if area {
        let segment = segment(w, file, image, sections);
        let data = w.inner(object, "SectionData", "_MEMORY_AREA_VIEW");
        w.set(data, "Segment", segment.0);
        w.set_long(data, "ViewOffset", vad.offset);
        w.set(object, "Type", SECTION_VIEW);
        return object;
    }
    let pages = (vad.end + 1 - vad.start + vad.offset) >> PAGE_SHIFT;
    let section = sections.section(w, file, image, pages);
    if file.is_none() {
        sections.of_paging_file.insert(object.at, section);
    }
    if w.has("_MMVAD", "Subsection") {
        w.set(object, "Subsection", section.subsection.0);
    } else {
        w.set(object, "ControlArea", section.control_area.0);
    }
    let before = (vad.offset >> PAGE_SHIFT) * w.size("_MMPTE_SOFTWARE");
    let first = section.prototypes.plus(before);
    w.set_if(object, "FirstPrototypePte", first.0);
    let last = section
        .prototypes
        .plus((pages - 1) * w.size("_MMPTE_SOFTWARE"));
    w.set_if(object, "LastContiguousPte", last.0);
    object
}

/// Writes a section's own entry for a page of it, and the page where it is in memory.
fn share(w: &mut Writer<'_>, process: &Process, shared: &Shared, sections: &mut Sections) {
    let holds = |vad: &&Vad| vad.start <= shared.at && shared.at <= vad.end;
    let vad = process
        .vads
        .iter()
        .find(holds)
        .expect("a descriptor around it");
    let (file, image) = match &vad.kind {
        _ if w.has_type(AREA) => return,
        VadKind::Private => panic!("private memory is nobody else's"),
        VadKind::Mapped(file) => (file.as_deref(), false),
        VadKind::Image(file) => (Some(file.as_str()), true),
    };
    let section = match (file, vad.node) {
        (None, Some(node)) => sections.of_paging_file[&node],
        _ => sections.section(w, file, image, 0),
    };
    let width = w.size("_MMPTE_SOFTWARE");
    let number = (shared.at - vad.start + vad.offset) >> PAGE_SHIFT;
    let page = w.spaces.memory.allocate();
    let in_memory = matches!(shared.entry, Proto::Valid | Proto::Transition);
    let fill = if in_memory { shared.fill } else { 0xcc };
    w.spaces.memory.write_bytes(page, &[fill; 1 << PAGE_SHIFT]);
    let entry = pages::pointed(w, shared.entry, page);
    let at = section.prototypes.plus(number * width);
    w.uint(Space::SYSTEM, at, entry, width);
}

/// The segment that a view of `file` leads to; each view has one of its own here.
fn segment(
    w: &mut Writer<'_>,
    file: Option<&str>,
    image: bool,
    sections: &mut Sections,
) -> VirtAddr {
    /// `MM_DATAFILE_SEGMENT`.
    const DATA_FILE: u64 = 2;
    let segment = w.pool(*b"MmSs", "_MM_SECTION_SEGMENT");
    let file = file.map(|path| sections.file(w, path));
    w.set(segment, "FileObject", file.map_or(0, |file| file.0));
    w.set(segment, "SegFlags", if image { 0 } else { DATA_FILE });
    segment.at
}

fn flags(w: &mut Writer<'_>, short: Object, vad: &Vad, area: bool) {
    let (private, image) = match &vad.kind {
        VadKind::Image(_) if area => (0, 0), // its segment says what it is
        VadKind::Private => (1, 0),
        VadKind::Mapped(_) => (0, 0),
        VadKind::Image(_) => (0, 1),
    };
    let pages = (vad.end + 1 - vad.start) >> PAGE_SHIFT;
    let charge = if private == 1 && vad.commit { pages } else { 0 };
    let fields = [
        ("PrivateMemory", private),
        ("Protection", u64::from(vad.protection.0)),
        ("ImageMap", image),
        ("VadType", image * IMAGE_MAP),
        ("Spare", u64::from(area)),
        ("MemCommit", u64::from(vad.commit)),
        ("CommitCharge", charge),
    ];
    let value = w.bits("_MMVAD_FLAGS", &fields);
    let (at, bytes) = (w.member(short, "u"), w.size("_MMVAD_FLAGS"));
    w.uint(short.space, at, value, bytes);
    if w.has_type("_MMVAD_FLAGS1") {
        let value = w.bits("_MMVAD_FLAGS1", &fields[5..]);
        let at = w.member(short, "u1");
        w.uint(short.space, at, value, 4);
    }
}

/// How the nodes hang together.
#[derive(Clone, Copy, PartialEq)]
enum Tree {
    Plain,
    Avl,
    Balanced,
}

impl Tree {
    fn of(w: &mut Writer<'_>) -> Self {
        if w.has("_MMVAD_SHORT", "VadNode") {
            Self::Balanced
        } else if w.has_type("_MM_AVL_TABLE") {
            Self::Avl
        } else {
            Self::Plain
        }
    }

    /// Joins sorted nodes into a balanced tree; returns its root.
    fn join(
        self,
        w: &mut Writer<'_>,
        eprocess: Object,
        nodes: &[Object],
        parent: Option<VirtAddr>,
    ) -> VirtAddr {
        if nodes.is_empty() {
            return VirtAddr(0);
        }
        let middle = nodes.len() / 2;
        let node = nodes[middle];
        let at = Some(node.at);
        let left = self.join(w, eprocess, &nodes[..middle], at);
        let right = self.join(w, eprocess, &nodes[middle + 1..], at);
        // `2^n - 1` nodes a side at most one level apart: the left may be deeper by one.
        let deeper = depth(middle) > depth(nodes.len() - middle - 1);
        let balance = if deeper { 3 } else { 0 };
        let short = Object {
            ty: "_MMVAD_SHORT",
            ..node
        };
        match self {
            Self::Plain => {
                w.set(short, "LeftChild", left.0);
                w.set(short, "RightChild", right.0);
                w.set(short, "Parent", parent.map_or(0, |parent| parent.0));
            }
            Self::Avl => {
                // The root's parent is the table itself.
                let table = w.member(eprocess, "VadRoot");
                let parent = parent.unwrap_or(table);
                w.set(short, "LeftChild", left.0);
                w.set(short, "RightChild", right.0);
                let place = w.member(short, "u1");
                w.pointer(Space::SYSTEM, place, parent.plus(balance));
            }
            Self::Balanced => {
                let node = w.inner(short, "VadNode", "_RTL_BALANCED_NODE");
                w.set(node, "Left", left.0);
                w.set(node, "Right", right.0);
                let parent = parent.map_or(0, |parent| parent.0);
                w.set(node, "ParentValue", parent | balance);
            }
        }
        node.at
    }

    fn root(self, w: &mut Writer<'_>, eprocess: Object, root: VirtAddr, count: u64) {
        let at = w.member(eprocess, "VadRoot");
        match self {
            Self::Plain | Self::Balanced => w.pointer(Space::SYSTEM, at, root),
            Self::Avl => {
                let table = w.inner(eprocess, "VadRoot", "_MM_AVL_TABLE");
                let top = w.inner(table, "BalancedRoot", "_MMADDRESS_NODE");
                w.set(top, "RightChild", root.0);
                w.set_if(table, "NumberGenericTableElements", count);
                let levels = u64::from(depth(count as usize));
                w.set_if(table, "DepthOfTree", levels);
            }
        }
        if w.has(EPROCESS, "VadCount") {
            w.set(eprocess, "VadCount", count);
        }
    }
}

/// Levels of a balanced tree of so many nodes.
fn depth(nodes: usize) -> u32 {
    usize::BITS - nodes.leading_zeros()
}

/// Sections by file, and whether as an image; `None` for those of the page file, which are not
/// shared here.
#[derive(Default)]
pub(super) struct Sections {
    of_files: HashMap<(String, bool), Section>,
    files: HashMap<String, VirtAddr>,
    /// Those of the paging file, by the descriptor.
    of_paging_file: HashMap<VirtAddr, Section>,
}

#[derive(Clone, Copy)]
struct Section {
    control_area: VirtAddr,
    subsection: VirtAddr,
    prototypes: VirtAddr,
}

impl Sections {
    /// The section of a file, of so many pages when it is made.
    fn section(
        &mut self,
        w: &mut Writer<'_>,
        file: Option<&str>,
        image: bool,
        pages: u64,
    ) -> Section {
        let Some(path) = file else {
            return self.make(w, None, image, pages);
        };
        let key = (path.to_owned(), image);
        if let Some(section) = self.of_files.get(&key) {
            return *section;
        }
        let section = self.make(w, file, image, pages);
        self.of_files.insert(key, section);
        section
    }

    fn make(&mut self, w: &mut Writer<'_>, file: Option<&str>, image: bool, pages: u64) -> Section {
        let (head, tail) = (w.size("_CONTROL_AREA"), w.size("_SUBSECTION"));
        let control_area = w.nonpaged_room(*b"MmCa", head + tail);
        // The first subsection follows its control area.
        let area = Object::system("_CONTROL_AREA", control_area);
        let subsection = Object::system("_SUBSECTION", control_area.plus(head));
        let prototypes = w.paged_room(pages * w.size("_MMPTE_SOFTWARE"));
        w.set_if(subsection, "PtesInSubsection", pages);
        w.set(subsection, "ControlArea", control_area.0);
        w.set_if(subsection, "SubsectionBase", prototypes.0);
        if w.has_type("_SEGMENT") {
            let segment = w.pool(*b"MmSt", "_SEGMENT");
            w.set(segment, "ControlArea", control_area.0);
            w.set_if(segment, "PrototypePte", prototypes.0);
            w.set(area, "Segment", segment.at.0);
        }
        let fields = [
            ("Image", u64::from(image)),
            ("File", u64::from(file.is_some())),
        ];
        if w.has_type("_MMSECTION_FLAGS") {
            let flags = w.bits("_MMSECTION_FLAGS", &fields);
            let at = w.member(area, "u");
            w.uint(Space::SYSTEM, at, flags, 4);
        }
        if let Some(path) = file {
            let object = self.file(w, path);
            let place = w.member(area, "FilePointer");
            // Since Vista the pointer's low bits count references.
            let counted = !matches!(Tree::of(w), Tree::Plain);
            let value = object.0 | if counted { FAST_REFERENCES } else { 0 };
            w.pointer(Space::SYSTEM, place, VirtAddr(value));
        }
        Section {
            control_area,
            subsection: subsection.at,
            prototypes,
        }
    }

    /// The `_FILE_OBJECT` of a path on the machine's volume.
    pub(super) fn file(&mut self, w: &mut Writer<'_>, path: &str) -> VirtAddr {
        self.file_on(w, "\\Device\\HarddiskVolume1", path)
    }

    /// The `_FILE_OBJECT` of a path on a device.
    pub(super) fn file_on(&mut self, w: &mut Writer<'_>, device: &str, path: &str) -> VirtAddr {
        let key = format!("{device}{path}");
        if let Some(at) = self.files.get(&key) {
            return *at;
        }
        let device = objects::device(w, device);
        let object = objects::object(w, "File", "_FILE_OBJECT", None, None);
        w.set_if(object, "Type", 5);
        let bytes = w.size(object.ty);
        w.set_if(object, "Size", bytes);
        if let Some(device) = device {
            w.set_if(object, "DeviceObject", device.0);
        }
        if !path.is_empty() {
            let buffer = w.paged_room(utf16(path).len() as u64 + 2);
            let name = w.inner(object, "FileName", "_UNICODE_STRING");
            w.unicode(name, path, buffer);
        }
        self.files.insert(key, object.at);
        object.at
    }
}
