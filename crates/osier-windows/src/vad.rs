//! Virtual address descriptors: the tree of a process's mappings, `_EPROCESS.VadRoot`.
//!
//! ```text
//!   XP, 2000       VadRoot → _MMVAD                          LeftChild, RightChild
//!   2003 to 7      VadRoot.BalancedRoot.RightChild → _MMVAD  LeftChild, RightChild
//!   8              VadRoot.BalancedRoot.RightChild → VadNode LeftChild, RightChild
//!   8.1 and later  VadRoot.Root → VadNode                    Left, Right
//! ```
//!
//! The tree is ordered by address, so that a child that lies outside its parent's bounds is told; and
//! the kernel counts the descriptors, so that a branch that was cut off is told, too. Each child leads
//! back to its parent, and a process with a PEB has a descriptor of it.

use osier_memory::{Fault, VirtAddr};
use osier_osi::{Absent, Guard, Seen, SeenExt as _, WalkEnd};
use osier_profile::{Bits, Field, Ptr, UInt};

use crate::windows::Windows;
use crate::{peb, twins};

/// More mappings than any process has.
const LIMIT: usize = 1 << 22;

/// A descriptor's place in the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// First address.
    pub(crate) start: u64,
    /// Bytes.
    pub(crate) size: u64,
}

/// One descriptor of the tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vad {
    /// The `_MMVAD_SHORT`.
    pub(crate) at: VirtAddr,
    /// Its addresses, or the fault of the member that tells them.
    pub(crate) span: Result<Span, Fault>,
}

/// The descriptors of the process at `process`, by address, and how the walk ended.
pub(crate) fn tree(windows: &Windows, process: VirtAddr) -> (Vec<Vad>, WalkEnd) {
    let layout = &windows.vad;
    let parts = windows.process.fields.vad_root.zip(layout.root);
    let children = layout.short.left.zip(layout.short.right);
    let bounds = layout.short.starting_vpn.zip(layout.short.ending_vpn);
    let (Some((field, inner)), Some(children), Some(_)) = (parts, children, bounds) else {
        return (
            Vec::new(),
            WalkEnd::no_start("the shape of the VAD tree in the profile", None),
        );
    };
    let place = field.place(process).plus(inner);
    let root = match windows.guest.space.read_pointer(place) {
        Ok(root) if root.is_null() => return (Vec::new(), empty(windows, process)),
        Ok(root) => root,
        Err(fault) => {
            return (
                Vec::new(),
                WalkEnd::no_start(format!("the root of the VAD tree at {place}"), fault),
            );
        }
    };
    let mut descent = Descent {
        windows,
        children,
        met: Guard::new(LIMIT),
        found: Vec::new(),
        end: WalkEnd::Closed,
    };
    descent.walk(place, root);
    let mut found = descent.found;
    found.sort_by_key(|vad| vad.span.map_or(u64::MAX, |span| span.start));
    let end = match descent.end {
        WalkEnd::Closed => counted(windows, process, found.len()),
        end => end,
    };
    (found, end)
}

/// The descriptor of the process at `process` that holds the address `va`; `None` where none was met.
pub(crate) fn holding(windows: &Windows, process: VirtAddr, va: VirtAddr) -> Option<Vad> {
    let mut known = windows.spans.borrow_mut();
    if known.as_ref().is_none_or(|(owner, _)| *owner != process) {
        let (vads, _) = tree(windows, process);
        let span = |vad: &Vad| vad.span.ok().map(|span| (span.start, span.size, vad.at));
        *known = Some((process, vads.iter().filter_map(span).collect()));
    }
    let (_, spans) = known.as_ref()?;
    let after = spans.partition_point(|(start, ..)| *start <= va.0);
    let &(start, size, at) = spans.get(after.checked_sub(1)?)?;
    let span = Ok(Span { start, size });
    (va.0.wrapping_sub(start) < size).then_some(Vad { at, span })
}

/// Whether all of the memory of the descriptor at `at` was committed at once.
pub(crate) fn committed(windows: &Windows, at: VirtAddr) -> Seen<bool> {
    let layout = &windows.vad;
    let short = &layout.short;
    let place = match (layout.flags.mem_commit, layout.flags1.mem_commit) {
        (Some(field), _) => short.flags.map(|flags| (field, flags.place(at))),
        (None, Some(field)) => short.flags1.map(|flags| (field, flags.place(at))),
        (None, None) => None,
    };
    let (field, place) = place.ok_or_else(Absent::not_in_this_kernel)?;
    Ok(field.read(&windows.guest.space, place)? != 0)
}

/// The ending of a tree without a descriptor: a process that runs has one of its PEB at least.
fn empty(windows: &Windows, process: VirtAddr) -> WalkEnd {
    let has_peb = twins::runs(windows, process) && peb::peb(windows, process, None).get().is_some();
    match counted(windows, process, 0) {
        WalkEnd::Closed if has_peb => WalkEnd::Disagreement {
            between: "VAD tree and the PEB",
            only_first: 0,
            only_second: 1,
        },
        end => end,
    }
}

/// Holds the number of descriptors that were found against the kernel's own count.
fn counted(windows: &Windows, process: VirtAddr, found: usize) -> WalkEnd {
    let count = windows.vad.count;
    let count = count.and_then(|field| field.read(&windows.guest.space, process).ok());
    let count = count.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    match count {
        Some(count) if count != found => WalkEnd::Disagreement {
            between: "VAD tree and its count",
            only_first: found.saturating_sub(count),
            only_second: count.saturating_sub(found),
        },
        _ => WalkEnd::Closed,
    }
}

/// A node to visit.
struct Visit {
    /// Where the link to it stands.
    from: VirtAddr,
    node: VirtAddr,
    /// The node that it is a child of.
    parent: Option<VirtAddr>,
    /// What its addresses must lie in: first to last.
    within: (u64, u64),
}

struct Descent<'a> {
    windows: &'a Windows,
    children: (Field<Ptr<()>>, Field<Ptr<()>>),
    met: Guard,
    found: Vec<Vad>,
    /// The first thing that went wrong.
    end: WalkEnd,
}

impl Descent<'_> {
    fn walk(&mut self, from: VirtAddr, root: VirtAddr) {
        let all = (0, u64::MAX);
        let mut stack = vec![Visit {
            from,
            node: root,
            parent: None,
            within: all,
        }];
        while let Some(visit) = stack.pop() {
            if let Err(fault) = self.windows.guest.plausible(visit.node) {
                let to = Some(visit.node);
                self.note(WalkEnd::broken(visit.from, to, fault));
                continue;
            }
            if let Err(end) = self.met.meet(visit.node) {
                let stop = matches!(end, WalkEnd::Limit { .. });
                self.note(end);
                if stop {
                    return;
                }
                continue;
            }
            self.visit(&visit, &mut stack);
        }
    }

    /// Takes the descriptor and puts its children on the stack.
    fn visit(&mut self, visit: &Visit, stack: &mut Vec<Visit>) {
        let space = &self.windows.guest.space;
        // Until Windows 7 the node is the descriptor; since then it is a member of it.
        let node = self.windows.vad.short.vad_node;
        let at = node.map_or(visit.node, |node| node.container(visit.node));
        let span = span(self.windows, at);
        let (lower, upper) = match span {
            Ok(span) => {
                let last = span.start.saturating_add(span.size.saturating_sub(1));
                if span.size == 0 || span.start < visit.within.0 || last > visit.within.1 {
                    self.note(WalkEnd::Inconsistent {
                        at,
                        back_link: VirtAddr(span.start),
                        expected: VirtAddr(visit.within.0),
                    });
                    return;
                }
                (span.start, last)
            }
            Err(_) => visit.within,
        };
        self.leads_back(visit, at);
        self.found.push(Vad { at, span });
        let below = (
            visit.within.0,
            lower.saturating_sub(u64::from(span.is_ok())),
        );
        let above = (
            upper.saturating_add(u64::from(span.is_ok())),
            visit.within.1,
        );
        let within = if span.is_ok() {
            [below, above]
        } else {
            [visit.within; 2]
        };
        for (field, within) in [self.children.0, self.children.1].into_iter().zip(within) {
            match field.read(space, at) {
                Ok(child) if child.is_null() => {}
                Ok(child) => stack.push(Visit {
                    from: field.place(at),
                    node: child,
                    parent: Some(visit.node),
                    within,
                }),
                Err(fault) => self.note(WalkEnd::broken(at, None, fault)),
            }
        }
    }

    /// Holds the descriptor's link to its parent against the parent's to it.
    fn leads_back(&mut self, visit: &Visit, at: VirtAddr) {
        /// What is no address: the balance.
        const LOW: u64 = 7;
        let short = &self.windows.vad.short;
        let place = match (short.parent_value, short.parent_union, short.parent) {
            (Some(field), ..) => field.place(at),
            (_, Some(field), _) => field.place(at),
            (_, _, Some(field)) => field.place(at),
            _ => return,
        };
        if let Some(expected) = visit.parent
            && let Ok(back_link) = self.windows.guest.space.read_pointer(place)
            && back_link.0 & !LOW != expected.0
        {
            self.note(WalkEnd::Inconsistent {
                at,
                back_link,
                expected,
            });
        }
    }

    fn note(&mut self, end: WalkEnd) {
        if self.end.is_closed() {
            self.end = end;
        }
    }
}

/// The addresses of the descriptor at `at`; of a size that overflows, size 0.
fn span(windows: &Windows, at: VirtAddr) -> Result<Span, Fault> {
    let space = &windows.guest.space;
    let layout = &windows.vad.short;
    let number = |low: Option<Field<UInt>>, high: Option<Field<UInt>>| {
        let low = low.map_or(Ok(0), |field| field.read(space, at))?;
        let high = high.map_or(Ok(0), |field| field.read(space, at))?;
        Ok::<u64, Fault>(low | high << 32)
    };
    let first = number(layout.starting_vpn, layout.starting_vpn_high)?;
    let last = number(layout.ending_vpn, layout.ending_vpn_high)?;
    let pages = last
        .checked_sub(first)
        .and_then(|pages| pages.checked_add(1))
        .filter(|_| last >> 52 == 0)
        .unwrap_or(0);
    Ok(Span {
        start: first.wrapping_shl(12),
        size: pages.wrapping_shl(12),
    })
}

/// What a descriptor's flags say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    /// The whole word.
    pub(crate) raw: u64,
    /// `MM_READWRITE` and the like, five bits.
    pub(crate) protection: Option<u64>,
    pub(crate) private: bool,
    pub(crate) image: bool,
    pub(crate) sort: Sort,
}

/// What sort of descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// An image's or a plain one.
    Usual,
    /// Of a device, of large pages and the like.
    Special,
    /// One that begins a `_MEMORY_AREA` (ReactOS), whose segment tells whether it is of an image.
    Area,
}

/// The flags of the descriptor at `at`.
pub(crate) fn flags(windows: &Windows, at: VirtAddr) -> Seen<Said> {
    /// `VadImageMap`.
    const IMAGE: u64 = 2;
    let layout = &windows.vad;
    let Some(place) = layout.short.flags.map(|field| field.place(at)) else {
        return Err(Absent::not_in_this_kernel());
    };
    let space = &windows.guest.space;
    let width = layout.flags.size.clamp(4, 8) as usize;
    let read = || {
        let bit = |field: Option<Field<Bits>>| match field {
            Some(field) => field.read(space, place).map(Some),
            None => Ok(None),
        };
        let kind = bit(layout.flags.vad_type)?;
        let image = bit(layout.flags.image_map)?;
        let marked = bit(layout.flags.spare)?.is_some_and(|bits| bits != 0);
        let area = marked && windows.section.area.is_some();
        Ok(Said {
            raw: space.read_uint(place, width)?,
            protection: bit(layout.flags.protection)?,
            private: bit(layout.flags.private_memory)?.is_some_and(|bit| bit != 0),
            image: kind == Some(IMAGE) || image.is_some_and(|bit| bit != 0),
            sort: match kind {
                _ if area => Sort::Area,
                None | Some(0 | IMAGE) => Sort::Usual,
                Some(_) => Sort::Special,
            },
        })
    };
    read().map_err(Absent::unreadable)
}

/// The rights that a protection stands for, as `/proc/PID/maps` shows rights. Memory that is copied
/// before it is written counts as private.
pub(crate) fn perms(said: &Said) -> Option<[u8; 4]> {
    let protection = said.protection?;
    // MM_ZERO_ACCESS … MM_EXECUTE_WRITECOPY; MM_NOACCESS is 0x18, MM_GUARD_PAGE 0x10, MM_NOCACHE 8.
    let letters: &[u8; 3] = match protection & 7 {
        0 => b"---",
        1 => b"r--",
        2 => b"--x",
        3 => b"r-x",
        4 | 5 => b"rw-",
        _ => b"rwx",
    };
    let copied = matches!(protection & 7, 5 | 7);
    let shared = !said.private && !said.image && !copied;
    let [read, write, execute] = *letters;
    Some([read, write, execute, if shared { b's' } else { b'p' }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_of_protections() {
        let of = |protection, private, image| {
            let said = Said {
                raw: 0,
                protection: Some(protection),
                private,
                image,
                sort: Sort::Usual,
            };
            perms(&said).map(|letters| String::from_utf8(letters.to_vec()).unwrap())
        };
        assert_eq!(of(4, true, false).as_deref(), Some("rw-p"));
        assert_eq!(of(0x14, true, false).as_deref(), Some("rw-p"), "guarded");
        assert_eq!(of(0x18, true, false).as_deref(), Some("---p"), "no access");
        assert_eq!(of(7, false, true).as_deref(), Some("rwxp"));
        assert_eq!(of(1, false, false).as_deref(), Some("r--s"));
        assert_eq!(of(5, false, false).as_deref(), Some("rw-p"));
        assert_eq!(of(6, true, false).as_deref(), Some("rwxp"));
    }
}
