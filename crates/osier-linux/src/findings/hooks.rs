//! Functions that the kernel was asked to call: by ftrace, at probes, at key strokes.

use osier_memory::VirtAddr;
use osier_osi::{Guard, Severity};
use osier_profile::{Embed, Field, Ptr, Resolver, UInt, layout};

use super::context::{About, Context, Evidence, Found, Owner, Rule, Says};
use super::entries::leaves;
use crate::list;
use crate::symbols;

/// More hooks than any real kernel has.
const MOST: usize = 1 << 16;
/// What hooks are judged by.
pub(super) const UNKNOWN: &str = "where the modules of the list lie";
/// Buckets of `kprobe_table`: `KPROBE_TABLE_SIZE`.
const BUCKETS: u64 = 64;

layout! {
    /// Fields read from `ftrace_ops`.
    pub(crate) struct FtraceOps: "ftrace_ops" {
        /// What is called.
        func: Option<Field<Ptr<()>>>,
        /// The next on the list.
        next: Option<Field<Ptr<()>>>,
        /// Code that ftrace made for this caller alone.
        trampoline: Option<Field<UInt>>,
        /// Its bytes.
        trampoline_size: Option<Field<UInt>>,
    }
}

layout! {
    /// Fields read from `kprobe`.
    pub(crate) struct Kprobe: "kprobe" {
        /// The link in the table.
        hlist: Option<Field<Embed<()>>>,
        /// The probed instruction.
        addr: Option<Field<Ptr<()>>>,
        /// What is called before it.
        pre_handler: Option<Field<Ptr<()>>>,
        /// What is called after it.
        post_handler: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `atomic_notifier_head`.
    pub(crate) struct NotifierHead: "atomic_notifier_head" {
        /// The first of the list.
        head: Option<Field<Ptr<()>>>,
    }
}

layout! {
    /// Fields read from `notifier_block`.
    pub(crate) struct Notifier: "notifier_block" {
        /// What is called.
        notifier_call: Option<Field<Ptr<()>>>,
        /// The next on the list.
        next: Option<Field<Ptr<()>>>,
    }
}

/// Judges a function that the kernel was asked to call: nobody's code is grave, a module's a note.
pub(super) fn judge(
    context: &Context<'_>,
    found: &mut Found,
    hook: &str,
    at: VirtAddr,
    to: VirtAddr,
) {
    match context.owner(to) {
        Owner::Kernel => {}
        Owner::Unknown => found.lost(UNKNOWN, None),
        Owner::Nobody | Owner::Hidden(_) => found.kernel(leaves(context, hook, at, to)),
        Owner::Module(name) => {
            let whose = [b"module ", name.as_slice()].concat();
            found.kernel(Says {
                severity: Severity::Note,
                text: format!("{hook} is a function of a module."),
                evidence: Evidence::default().and(
                    hook,
                    at,
                    [to.to_string().as_bytes(), b" in ", &whose].concat(),
                ),
                subject: whose,
                address: at,
            });
        }
    }
}

/// A function that ftrace calls.
pub(super) static FTRACE: Rule = Rule {
    about: About {
        name: "ftrace.hook",
        normal: "What ftrace calls is the kernel's own code, or that of a module on the list.",
        otherwise: "Live patches and security products, whose module is on the list: a note.",
    },
    look: ftrace,
};

fn ftrace(context: &Context<'_>, found: &mut Found) {
    let guest = &context.linux.guest;
    let layout = FtraceOps::resolve(&mut Resolver::new(&guest.profile));
    let symbols = guest
        .symbol(symbols::ftrace_ops_list)
        .zip(guest.symbol(symbols::ftrace_list_end));
    let (Some((head, end)), Some((func, next))) = (symbols, layout.func.zip(layout.next)) else {
        found.lost("ftrace_ops_list in the profile", None);
        return;
    };
    if !context.knows_code(found) {
        return;
    }
    let read = |at| guest.space.read_pointer(at);
    chain(
        context,
        found,
        symbols::ftrace_ops_list,
        read(head),
        end,
        &|ops| next.place(ops),
        &mut |context, found, ops| match func.read(&guest.space, ops) {
            Ok(to) if to.is_null() => found.lost("ftrace_ops.func, which is zero", None),
            Ok(to) => judge(context, found, "ftrace_ops.func", func.place(ops), to),
            Err(fault) => found.lost("ftrace_ops.func", Some(fault)),
        },
    );
}

/// A function that is called at key strokes.
pub(super) static KEYBOARD: Rule = Rule {
    about: About {
        name: "keyboard.notifier",
        normal: "No module listens to key strokes.",
        otherwise: "Speech and Braille for consoles (speakup, brltty's module) listen: a module on the list is a note.",
    },
    look: keyboard,
};

fn keyboard(context: &Context<'_>, found: &mut Found) {
    let guest = &context.linux.guest;
    let resolver = &mut Resolver::new(&guest.profile);
    let head = NotifierHead::resolve(resolver).head;
    let block = Notifier::resolve(resolver);
    let place = guest.symbol(symbols::keyboard_notifier_list).zip(head);
    let (Some((list, head)), Some((call, next))) = (place, block.notifier_call.zip(block.next))
    else {
        found.lost("keyboard_notifier_list in the profile", None);
        return;
    };
    if !context.knows_code(found) {
        return;
    }
    let first = head.read(&guest.space, list);
    chain(
        context,
        found,
        symbols::keyboard_notifier_list,
        first,
        VirtAddr(0),
        &|block| next.place(block),
        &mut |context, found, block| match call.read(&guest.space, block) {
            Ok(to) if to.is_null() => {
                found.lost("notifier_block.notifier_call, which is zero", None);
            }
            Ok(to) => judge(
                context,
                found,
                "notifier_block.notifier_call",
                call.place(block),
                to,
            ),
            Err(fault) => found.lost("notifier_block.notifier_call", Some(fault)),
        },
    );
}

/// A probe on an instruction of the kernel.
pub(super) static KPROBE: Rule = Rule {
    about: About {
        name: "kprobe",
        normal: "There are no probes unless somebody traces, and what they call is the kernel's own code or that of a module on the list.",
        otherwise: "Tracers, BPF programs and security products probe: each is a note as long as its code is known.",
    },
    look: kprobes,
};

fn kprobes(context: &Context<'_>, found: &mut Found) {
    let guest = &context.linux.guest;
    let layout = Kprobe::resolve(&mut Resolver::new(&guest.profile));
    let fields = layout.hlist.zip(layout.addr);
    let (Some(table), Some((link, addr))) = (guest.symbol(symbols::kprobe_table), fields) else {
        found.lost("kprobe_table in the profile", None);
        return;
    };
    if !context.knows_code(found) {
        return;
    }
    each_probe(context, found, table, link, &mut |found, probe| {
        let space = &guest.space;
        let probed = match addr.read(space, probe) {
            Ok(probed) if guest.is_kernel_address(probed) => Some(probed),
            Ok(_) => {
                found.lost("kprobe.addr, which is no kernel address", None);
                None
            }
            Err(fault) => {
                found.lost("kprobe.addr", Some(fault));
                None
            }
        };
        let before = found.rows.len();
        for (name, handler) in [
            ("kprobe.pre_handler", layout.pre_handler),
            ("kprobe.post_handler", layout.post_handler),
        ] {
            let Some(handler) = handler else { continue };
            match handler.read(space, probe) {
                Ok(to) if to.is_null() => {} // a probe need not have both
                Ok(to) => judge(context, found, name, handler.place(probe), to),
                Err(fault) => found.lost(name, Some(fault)),
            }
        }
        if let Some(probed) = probed.filter(|_| found.rows.len() == before) {
            found.kernel(Says {
                severity: Severity::Note,
                subject: format!("probe at {probed}").into_bytes(),
                text: format!("An instruction of the kernel, {probed}, is probed."),
                evidence: Evidence::default().and(
                    "kprobe.addr",
                    addr.place(probe),
                    probed.to_string(),
                ),
                address: probe,
            });
        }
    });
}

/// The instructions that are probed, as far as they can be read, and whether that is all of them.
pub(super) fn probed(context: &Context<'_>) -> (Vec<VirtAddr>, bool) {
    let guest = &context.linux.guest;
    let layout = Kprobe::resolve(&mut Resolver::new(&guest.profile));
    let mut probed = Vec::new();
    let (Some(table), Some((link, addr))) = (
        guest.symbol(symbols::kprobe_table),
        layout.hlist.zip(layout.addr),
    ) else {
        return (probed, false);
    };
    // What cannot be read, the rule of probes says.
    let mut unsaid = Found::of(KPROBE.about);
    let mut whole = true;
    each_probe(context, &mut unsaid, table, link, &mut |_, probe| {
        let addr = addr.read(&guest.space, probe);
        whole &= addr.is_ok();
        probed.extend(addr);
    });
    (probed, whole && unsaid.ends.is_complete())
}

/// Shows every `kprobe` of the `table`, which are linked by `link`.
fn each_probe(
    context: &Context<'_>,
    found: &mut Found,
    table: VirtAddr,
    link: Field<Embed<()>>,
    each: &mut dyn FnMut(&mut Found, VirtAddr),
) {
    let guest = &context.linux.guest;
    let word = u64::from(guest.pointer_bytes());
    for bucket in 0..BUCKETS {
        let head = table.plus(bucket.wrapping_mul(word));
        chain(
            context,
            found,
            symbols::kprobe_table,
            guest.space.read_pointer(head),
            VirtAddr(0),
            &|node| node,
            &mut |_, found, node| each(found, link.container(node)),
        );
    }
}

/// Walks a chain to its `end`, which may be null; that of ftrace is not.
fn chain(
    context: &Context<'_>,
    found: &mut Found,
    what: &str,
    first: Result<VirtAddr, osier_memory::Fault>,
    end: VirtAddr,
    next: &dyn Fn(VirtAddr) -> VirtAddr,
    each: &mut dyn FnMut(&Context<'_>, &mut Found, VirtAddr),
) {
    let guest = &context.linux.guest;
    let mut guard = Guard::new(MOST);
    let mut at = first;
    loop {
        match at {
            Ok(node) if node == end => return,
            Ok(node) if node.is_null() => {
                let missing = format!("{what}, which does not lead to its end");
                return found.lost(&missing, None);
            }
            Ok(node) => {
                if let Err(fault) = list::plausible(guest, node) {
                    return found.lost(what, Some(fault));
                }
                if let Err(end) = guard.meet(node) {
                    return found.ends.add(super::context::WALK, end);
                }
                each(context, found, node);
                at = guest.space.read_pointer(next(node));
            }
            Err(fault) => return found.lost(what, Some(fault)),
        }
    }
}
