//! Mappings: the tree of virtual address descriptors, joined with the loader's lists.
//!
//! Each descriptor is a row. Where the loader lists an image at its first address, the row has the
//! loader's names, and the loader entry for `modd`. An image that the loader lists and no descriptor
//! holds is a row of its own, so that neither an unlinked image nor a cut tree loses anything.

use std::collections::{HashMap, HashSet};

use osier_memory::{Each, Paging, VirtAddr};
use osier_osi::{
    Absent, Mapping, MappingKind, PageRange, Seen, SeenExt as _, WalkEnd, WalkEnds, Why, page_rows,
};

use crate::loader::{self, Loaded};
use crate::symbols;
use crate::unicode::base_name;
use crate::vad::{self, Sort, Vad};
use crate::windows::Windows;
use crate::{peb, process, root, section, threads};

/// The walk's name in endings.
const WALK: &str = "vads";

pub(crate) fn mappings(windows: &Windows, taskd: VirtAddr, row: Each<'_, Mapping>) -> WalkEnds {
    let (rows, ends) = all(windows, taskd);
    for one in rows {
        if row(one).is_break() {
            return WalkEnds::one(WALK, WalkEnd::Stopped);
        }
    }
    ends
}

/// Every mapping of the process at `taskd`, by address.
fn all(windows: &Windows, taskd: VirtAddr) -> (Vec<Mapping>, WalkEnds) {
    let mut ends = WalkEnds::default();
    let (vads, end) = vad::tree(windows, taskd);
    let whole = end.is_closed() && vads.iter().all(|vad| vad.span.is_ok());
    ends.add(WALK, end);
    let mut loaded: HashMap<u64, Loaded> = HashMap::new();
    let mut baseless = Vec::new();
    for list in loader::lists(windows, taskd) {
        ends.add(list.walk, list.end);
        let bases: Vec<_> = list.loaded.iter().filter_map(|i| i.base.value()).collect();
        let distinct: HashSet<VirtAddr> = bases.iter().copied().collect();
        if distinct.len() < bases.len() {
            let end = WalkEnd::Disagreement {
                between: "images of the loader and their bases",
                only_first: bases.len().saturating_sub(distinct.len()),
                only_second: 0,
            };
            ends.add(list.walk, end);
        }
        for image in list.loaded {
            match image.base.value() {
                Some(base) => {
                    loaded.entry(base.0).or_insert(image);
                }
                None => baseless.push(image),
            }
        }
    }
    let pid = process::pid(windows, taskd);
    let marks = Marks::of(windows, taskd, &mut ends);
    let mut rows: Vec<Mapping> = Vec::with_capacity(vads.len());
    // Where a descriptor need not be of a whole image, every image may hold it.
    let parted = windows.section.area.is_some();
    let images = loaded.values().filter(|_| parted);
    let images: Vec<Loaded> = images.cloned().collect();
    let mut before: Option<Before> = None;
    for vad in &vads {
        let start = vad.span.ok().map(|span| span.start);
        let inside = start.is_some_and(|at| images.iter().any(|image| image.holds(at)));
        let image = start.and_then(|start| loaded.remove(&start));
        let file = section::file_of_area(windows, vad.at);
        let around = before.filter(|before| before.goes_on(start, file));
        if around.is_some() && image.is_some() && file.is_some() {
            // The loader lists an image where another goes on.
            contradicted(&mut ends);
        }
        let around = around.and_then(|before| before.image);
        let listed = Listed {
            image: image.clone(),
            around: around.as_ref(),
            inside,
        };
        rows.push(of_vad(windows, &pid, vad, listed, &marks, &mut ends));
        before = vad.span.ok().map(|span| Before {
            image: image.or(around),
            end: span.start.wrapping_add(span.size),
            file,
        });
    }
    if whole {
        ends.disagree("loader lists and VADs", loaded.len(), 0);
    }
    let rest = loaded.into_values().chain(baseless);
    rows.extend(rest.map(|image| of_loader(&pid, image)));
    rows.sort_by_key(|row| (row.base.value().is_none(), row.base.value(), row.modd));
    (rows, ends)
}

/// The images that the loader lists, list by list, in the order of loading.
pub(crate) fn of_loader_alone(
    windows: &Windows,
    taskd: VirtAddr,
    row: Each<'_, Mapping>,
) -> WalkEnds {
    let pid = process::pid(windows, taskd);
    let mut ends = WalkEnds::default();
    for list in loader::lists(windows, taskd) {
        ends.add(list.walk, list.end);
        for image in list.loaded {
            if row(of_loader(&pid, image)).is_break() {
                return WalkEnds::one(list.walk, WalkEnd::Stopped);
            }
        }
    }
    ends
}

/// Addresses that tell what private memory is for.
struct Marks {
    heaps: Vec<u64>,
    stacks: Vec<u64>,
}

impl Marks {
    fn of(windows: &Windows, taskd: VirtAddr, ends: &mut WalkEnds) -> Self {
        let mut heaps = Vec::new();
        let native = peb::native(windows, taskd);
        let wow64 = peb::wow64(windows, taskd);
        let wow64 = wow64.get().and_then(Option::as_ref);
        for peb in native.get().into_iter().chain(wow64) {
            match peb.heaps() {
                Ok(found) => heaps.extend(found.iter().map(|heap| heap.0)),
                Err(absent) if absent.is_loss() => {
                    let end = WalkEnd::no_start("the list of heaps", absent.fault());
                    ends.add("heaps", end);
                }
                Err(_) => {}
            }
        }
        let stacks = threads::stacks(windows, taskd, wow64.is_some(), ends);
        Self { heaps, stacks }
    }

    /// What private memory from `start` on, of `size` bytes, is for.
    fn kind(&self, start: u64, size: u64) -> MappingKind {
        let holds = |at: &u64| *at >= start && at.wrapping_sub(start) < size;
        if self.stacks.iter().any(holds) {
            MappingKind::Stack
        } else if self.heaps.iter().any(holds) {
            MappingKind::Heap
        } else {
            MappingKind::Private
        }
    }
}

/// The descriptor before another.
struct Before {
    /// The loader's image that it is of.
    image: Option<Loaded>,
    /// One past its last address.
    end: u64,
    /// The file object that it says by itself.
    file: Option<VirtAddr>,
}

impl Before {
    /// Whether a descriptor from `start` on, with this file object, may be the next of the same image.
    fn goes_on(&self, start: Option<u64>, file: Option<VirtAddr>) -> bool {
        let Some(start) = start.filter(|start| *start == self.end) else {
            return false;
        };
        match (self.file, file) {
            (Some(own), Some(other)) => own == other && !own.is_null(),
            // Only the loader tells how far the image goes.
            (None, None) => self.image.as_ref().is_some_and(|image| image.holds(start)),
            _ => false,
        }
    }
}

/// Adds that the loader's images and the descriptors do not agree.
fn contradicted(ends: &mut WalkEnds) {
    let between = "images of the loader and their descriptors";
    let end = WalkEnd::Disagreement {
        between,
        only_first: 1,
        only_second: 0,
    };
    ends.add(between, end);
}

/// What the loader lists where a descriptor begins.
struct Listed<'a> {
    /// The image at its very first address.
    image: Option<Loaded>,
    /// The image that this descriptor is a further part of.
    around: Option<&'a Loaded>,
    /// Whether this address lies in an image, as large as the loader says that it is.
    inside: bool,
}

/// The row of a descriptor, with the loader's entry where it lists an image at its first address, or, of a
/// kernel that has a descriptor for each segment of an image, around it.
fn of_vad(
    windows: &Windows,
    pid: &Seen<u32>,
    vad: &Vad,
    listed: Listed<'_>,
    marks: &Marks,
    ends: &mut WalkEnds,
) -> Mapping {
    let at = vad.at;
    let (base, size) = match vad.span {
        Ok(span) => (Ok(VirtAddr(span.start)), Ok(span.size)),
        Err(fault) => (
            Err(Absent::unreadable(fault)),
            Err(Absent::unreadable(fault)),
        ),
    };
    let around = listed.image.is_some() || listed.around.is_some();
    let said = section::said(windows, at, around);
    let denied = |sort: Sort| match sort {
        Sort::Usual => listed.image.is_some(),
        Sort::Area => listed.image.is_some() || listed.inside,
        Sort::Special => false,
    };
    if matches!(&said, Ok(said) if !said.image && denied(said.sort)) {
        contradicted(ends);
    }
    let segment = matches!(&said, Ok(said) if said.sort == Sort::Area && said.image);
    let around = listed.around.filter(|_| segment);
    let image = listed.image.or_else(|| around.cloned());
    let flags = said.clone().map(|said| said.raw);
    let perms = said.clone().and_then(|said| match vad::perms(&said) {
        Some(letters) => Ok(letters),
        None => Err(Absent::not_in_this_kernel()),
    });
    let (kind, file, offset) = match said {
        Ok(said) if said.private && !said.image => {
            let kind = match vad.span {
                Ok(span) => Ok(marks.kind(span.start, span.size)),
                Err(fault) => Err(Absent::unreadable(fault)),
            };
            let none = "private memory";
            (
                kind,
                Err(Absent::not_applicable(none)),
                Err(Absent::not_applicable(none)),
            )
        }
        Ok(said) => {
            let backing = section::backing(windows, at, &said);
            let contradicted = backing.image.is_some_and(|image| image != said.image);
            let kind = if contradicted && said.sort != Sort::Special {
                let rule = "a descriptor and its section say alike whether it is an image";
                Err(Absent::implausible(said.raw, rule, Some(at)))
            } else if said.image {
                Ok(MappingKind::Image)
            } else {
                backing.has_file.map(|file| {
                    if file {
                        MappingKind::File
                    } else {
                        MappingKind::Unknown
                    }
                })
            };
            (kind, backing.file, backing.offset)
        }
        Err(absent) => (Err(absent.clone()), Err(absent.clone()), Err(absent)),
    };
    let name = file.clone().map(|path| base_name(&path));
    let mut row = Mapping {
        pid: pid.clone(),
        base,
        size,
        name,
        file,
        offset,
        flags,
        perms,
        kind,
        modd: at,
    };
    if let Some(image) = image {
        row.modd = image.at;
        row.name = either(image.name, row.name, image.at, ends);
        row.file = either(image.file, row.file, image.at, ends);
    }
    row
}

/// The row of an image that no descriptor holds.
fn of_loader(pid: &Seen<u32>, image: Loaded) -> Mapping {
    let none = "no virtual address descriptor was met";
    Mapping {
        pid: pid.clone(),
        base: image.base,
        size: image.size,
        name: image.name,
        file: image.file,
        offset: Ok(0),
        flags: Err(Absent::not_applicable(none)),
        perms: Err(Absent::not_applicable(none)),
        kind: Ok(MappingKind::Image),
        modd: image.at,
    }
}

/// The loader's word, or the section's where the loader's is empty or could not be read; an ending
/// then says so, for the two are written differently.
fn either(
    loader: Seen<Vec<u8>>,
    section: Seen<Vec<u8>>,
    entry: VirtAddr,
    ends: &mut WalkEnds,
) -> Seen<Vec<u8>> {
    let fault = match &loader {
        Ok(word) if !word.is_empty() => return loader,
        Ok(_) => None,
        Err(absent) => absent.fault(),
    };
    if section.get().is_none() {
        return loader;
    }
    if loader.get().is_none() {
        let missing = format!("the loader's name of an image, at {entry}; the section's is shown");
        ends.add("loader-names", WalkEnd::no_start(missing, fault));
    }
    section
}

/// The present pages of the process's own table, user half.
pub(crate) fn pages(windows: &Windows, taskd: VirtAddr, row: Each<'_, PageRange>) -> WalkEnds {
    const PAGES: &str = "page-tables";
    let space = match root::address_space(windows, taskd) {
        Ok(space) if space.mode().entry_bytes() != 0 => space,
        Ok(_) => {
            return WalkEnds::one(
                PAGES,
                WalkEnd::no_start(
                    "page tables, of which a dump of virtual memory has none",
                    None,
                ),
            );
        }
        Err(absent) => {
            let end = match absent.why {
                Why::NotApplicable(_) => WalkEnd::Closed,
                _ => WalkEnd::no_start("the process's table root", absent.fault()),
            };
            return WalkEnds::one(PAGES, end);
        }
    };
    let (known, ends) = all(windows, taskd);
    let pid = process::pid(windows, taskd);
    let within = VirtAddr(0)..VirtAddr(user_end(windows));
    page_rows(&space, within, &pid, known, ends, row)
}

/// One past the highest user address: `MmHighestUserAddress`, or what the paging mode allows.
fn user_end(windows: &Windows) -> u64 {
    let guest = &windows.guest;
    let most = match guest.space.mode() {
        Paging::Long4 => 1 << 47,
        Paging::Long5 => 1 << 56,
        _ => 0x8000_0000,
    };
    guest
        .symbol(symbols::MmHighestUserAddress)
        .and_then(|at| guest.space.read_pointer(at).ok())
        .and_then(|highest| highest.0.checked_add(1))
        .filter(|&end| (0x1_0000..=most.max(0xc000_0000)).contains(&end))
        .unwrap_or(most)
}
