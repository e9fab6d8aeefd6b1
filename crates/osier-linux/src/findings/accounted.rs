//! What the kernel made of code as it runs, and what it wrote over its own, as far as it keeps account of that.

use std::ops::Range;

use osier_memory::{Fault, VirtAddr};
use osier_osi::Guard;
use osier_profile::{Embed, Field, Resolver, UInt, layout};

use super::context::Context;
use super::hooks::{self, FtraceOps};
use crate::{list, symbols};

/// More than any kernel has of trampolines.
const TRAMPOLINES: usize = 1 << 16;

layout! {
    /// Fields read from `bpf_ksym`: code that BPF made. Linux commit bfea9a8574f3 ("bpf: Add name to struct bpf_ksym"),
    /// v5.7.
    pub(crate) struct Ksym: "bpf_ksym" {
        /// First address.
        start: Option<Field<UInt>>,
        /// One past the last.
        end: Option<Field<UInt>>,
        /// The link in the list.
        lnode: Option<Field<Embed<()>>>,
    }
}

/// What the kernel keeps account of.
pub(super) struct Accounted {
    trampolines: Vec<Range<VirtAddr>>,
    /// Where its probes are.
    pub(super) probed: Vec<VirtAddr>,
    /// Whether these are all probes.
    pub(super) knows_probes: bool,
}

impl Accounted {
    /// All of it, as far as it can be read.
    pub(super) fn of(context: &Context<'_>) -> Self {
        let guest = &context.linux.guest;
        let resolver = &mut Resolver::new(&guest.profile);
        let (probed, knows_probes) = hooks::probed(context);
        let mut known = Self {
            trampolines: Vec::new(),
            probed,
            knows_probes,
        };
        let ops = FtraceOps::resolve(resolver);
        let list = guest
            .symbol(symbols::ftrace_ops_list)
            .zip(guest.symbol(symbols::ftrace_list_end));
        let fields = ops.trampoline.zip(ops.trampoline_size).zip(ops.next);
        if let (Some((head, end)), Some(((start, size), next))) = (list, fields) {
            let first = guest.space.read_pointer(head);
            each(context, first, end, &|at| next.place(at), &mut |at| {
                let size = size.read(&guest.space, at)?;
                known.add(start.read(&guest.space, at)?, size);
                Ok(())
            });
        }
        let ksym = Ksym::resolve(resolver);
        let fields = ksym.start.zip(ksym.end).zip(ksym.lnode);
        if let (Some(head), Some(((start, end), link))) =
            (guest.symbol(symbols::bpf_kallsyms), fields)
        {
            let first = guest.space.read_pointer(head);
            each(context, first, head, &|at| at, &mut |node| {
                let at = link.container(node);
                let first = start.read(&guest.space, at)?;
                known.add(first, end.read(&guest.space, at)?.saturating_sub(first));
                Ok(())
            });
        }
        known
    }

    /// Whether `to` lies in code that the kernel made.
    pub(super) fn made(&self, to: VirtAddr) -> bool {
        self.trampolines.iter().any(|range| range.contains(&to))
    }

    fn add(&mut self, start: u64, size: u64) {
        let end = VirtAddr(start.saturating_add(size.min(1 << 24)));
        self.trampolines.push(VirtAddr(start)..end);
    }
}

/// Walks a chain to `end`, as far as it can be read: what it excuses is not excused without it.
fn each(
    context: &Context<'_>,
    first: Result<VirtAddr, Fault>,
    end: VirtAddr,
    next: &dyn Fn(VirtAddr) -> VirtAddr,
    visit: &mut dyn FnMut(VirtAddr) -> Result<(), Fault>,
) {
    let guest = &context.linux.guest;
    let mut guard = Guard::new(TRAMPOLINES);
    let mut at = first;
    while let Ok(node) = at {
        let ends = node == end || node.is_null() || list::plausible(guest, node).is_err();
        if ends || guard.meet(node).is_err() || visit(node).is_err() {
            return;
        }
        at = guest.space.read_pointer(next(node));
    }
}
