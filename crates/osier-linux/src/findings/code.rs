//! Code of the kernel and of its modules that leads to code of nobody: jumps that were written over instructions.
//!
//! Three things are looked at. Every byte of code that can begin a jump or call to a fixed place, wherever in a function
//! it stands, whose target can be executed and lies outside the image; of these, those where an instruction begins,
//! counted from the start of the function. And the first instructions of every function, where a jump may go by a
//! register, the stack or a word of memory. And the first instruction itself, which may be a break point.
//!
//! What the kernel itself writes over its code leads into its own, or to what it keeps account of: trampolines of
//! ftrace and of BPF, probes, thunks against speculation.

use std::cell::OnceCell;
use std::ops::{ControlFlow, Range};

use memchr::{memchr, memchr2_iter};
use osier_memory::{Fault, VirtAddr};
use osier_osi::code::{self, Lead, Width};
use osier_osi::{Guard, Severity};
use osier_profile::{Embed, Field, Resolver, UInt, layout};

use super::context::{About, Context, Evidence, Found, Owner, Rule, Says, hexadecimal};
use super::hooks::{self, FtraceOps, UNKNOWN};
use crate::code_symbols::CodeSymbols;
use crate::modules::ModuleCode;
use crate::{list, symbols};

/// Bytes of code that are looked at together.
const WINDOW: usize = 1 << 20;
/// Bytes at the start of a function that are looked at: some instructions.
const HEAD: usize = 32;
/// Instructions at the start of a function that are looked at.
const FIRST: usize = 8;
/// Bytes of a jump or call to a fixed place.
const BRANCH: usize = 5;
/// `int3`.
const INT3: u8 = 0xcc;
/// `endbr64`.
const ENDBR: &[u8] = &[0xf3, 0x0f, 0x1e, 0xfa];
/// What follows the first byte of an instruction of five bytes that does nothing: on processors of today, and on old ones.
const NOTHING: [[u8; 4]; 2] = [[0x1f, 0x44, 0, 0], [0x8d, 0x74, 0x26, 0]];
/// More bytes than any function has up to a jump that is looked at.
const FUNCTION: u64 = 1 << 18;
/// More findings than anybody reads.
const MOST: usize = 1024;
/// More than any kernel has of trampolines.
const TRAMPOLINES: usize = 1 << 16;
/// How the code begins that a static call is made through: its target is set as the kernel runs, to a module's function
/// too. Linux commit 115284d89a43 ("`static_call`: Add basic static call infrastructure"), v5.10.
const STATIC_CALL: &[u8] = b"__SCT__";

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

/// A jump or call out of the code of the kernel or of a module.
pub(super) static CODE: Rule = Rule {
    about: About {
        name: "kernel.code",
        normal: "Jumps and calls of the kernel's code, and of its modules', lead into code of the kernel or of a module on the list, or to trampolines that the kernel keeps account of.",
        otherwise: "Products that patch a running kernel without its own live patching (a module on the list is then named); hypervisors that put code of their own into the guest.",
    },
    look: look_at_code,
};

/// Code to look at: where it lies, where its functions begin, and whose it is.
struct Code<'a> {
    range: Range<VirtAddr>,
    symbols: &'a CodeSymbols,
    module: Option<&'a [u8]>,
}

impl Code<'_> {
    /// What the function that begins there is called.
    fn called(&self, function: VirtAddr) -> Vec<u8> {
        let name = self.symbols.name(function);
        let name = name.unwrap_or_else(|| function.to_string().into_bytes());
        match self.module {
            Some(module) => [&name[..], b" of module ", module].concat(),
            None => name,
        }
    }
}

fn look_at_code(context: &Context<'_>, found: &mut Found) {
    if !context.knows_code(found) {
        return;
    }
    let guest = &context.linux.guest;
    let look = Look::new(context);
    if let Some(symbols) = context.symbols(found) {
        look.at(
            &Code {
                range: guest.code.clone(),
                symbols,
                module: None,
            },
            found,
        );
    }
    for module in context.listed_code() {
        match module {
            Ok((name, ModuleCode { text, symbols })) => look.at(
                &Code {
                    range: text.clone(),
                    symbols,
                    module: Some(name),
                },
                found,
            ),
            // A kernel that knows its own functions knows those of its modules.
            Err(absent) if !absent.is_loss() => {
                found.lost("the symbols of modules in the profile", None);
            }
            Err(absent) => found.absent("the code of a module", absent),
        }
    }
}

/// What code is judged by.
struct Look<'a> {
    context: &'a Context<'a>,
    width: Width,
    image: Range<VirtAddr>,
    /// What else can be executed, ascending.
    elsewhere: Vec<Range<VirtAddr>>,
    /// What the kernel made and keeps account of.
    known: OnceCell<Accounted>,
}

#[derive(Default)]
struct Accounted {
    trampolines: Vec<Range<VirtAddr>>,
    probed: Vec<VirtAddr>,
    /// Whether these are all probes.
    knows_probes: bool,
}

impl<'a> Look<'a> {
    fn new(context: &'a Context<'a>) -> Self {
        let guest = &context.linux.guest;
        let end = guest.symbol(symbols::_end).unwrap_or(guest.code.end);
        let image = guest.code.start..end.max(guest.code.end);
        // A jump to a fixed place reaches 2 GiB; on 32 bits, everything.
        let kernel = match guest.pointer_bytes() {
            4 => VirtAddr(guest.user_end)..VirtAddr(0xffff_f000),
            _ => image.start.minus(1 << 31)..VirtAddr(image.start.0.saturating_add(1 << 31)),
        };
        let mut elsewhere: Vec<Range<VirtAddr>> = Vec::new();
        guest.space.mapped_rights(kernel, &mut |range| {
            if let Ok(range) = range
                && !range.flags.no_execute
            {
                let end = VirtAddr(range.start.0.saturating_add(range.len));
                match elsewhere.last_mut() {
                    Some(last) if last.end == range.start => last.end = end,
                    _ => elsewhere.push(range.start..end),
                }
            }
            ControlFlow::Continue(())
        });
        Self {
            context,
            width: Width::of(guest.pointer_bytes()),
            image,
            elsewhere,
            known: OnceCell::new(),
        }
    }

    /// Whether `to` lies outside the image, where something can be executed.
    fn is_away(&self, to: VirtAddr) -> bool {
        let after = self.elsewhere.partition_point(|range| range.end <= to);
        let held = self.elsewhere.get(after);
        !self.image.contains(&to) && held.is_some_and(|range| range.contains(&to))
    }

    fn at(&self, code: &Code<'_>, found: &mut Found) {
        let guest = &self.context.linux.guest;
        let mut bytes = Vec::new();
        let mut start = code.range.start;
        let starts = code.symbols.starts();
        while start < code.range.end {
            let rest = usize::try_from(code.range.end.since(start)).unwrap_or(usize::MAX);
            // The next window's first bytes belong to this one's last instructions.
            let len = rest.min(WINDOW.saturating_add(HEAD));
            let window = rest.min(WINDOW);
            bytes.clear();
            bytes.resize(len, 0);
            let gaps = guest.space.read_partial(start, &mut bytes);
            if let Some(gap) = gaps.first() {
                found.lost("pages of the code", Some(gap.fault));
            }
            self.branches(code, start, &bytes, window, found);
            let end = start.plus(window as u64);
            let from = starts.partition_point(|at| *at < start);
            let within = starts.iter().skip(from).take_while(|at| **at < end);
            let next = starts.iter().skip(from.saturating_add(1));
            let next = next.copied().chain([code.range.end]);
            for (at, next) in within.zip(next) {
                let offset = usize::try_from(at.since(start)).unwrap_or(usize::MAX);
                let head = bytes.get(offset..).unwrap_or_default();
                let head = head.get(..HEAD).unwrap_or(head);
                if may_jump_far(head) {
                    self.head(code, *at, head, found);
                }
                let own = usize::try_from(next.since(*at)).unwrap_or(HEAD);
                if let Some(into) = break_point(head.get(..own).unwrap_or(head)) {
                    self.break_point(code, *at, into, head, found);
                }
            }
            start = end;
        }
    }

    /// Jumps and calls to fixed places, wherever they stand.
    fn branches(
        &self,
        code: &Code<'_>,
        start: VirtAddr,
        bytes: &[u8],
        window: usize,
        found: &mut Found,
    ) {
        for offset in memchr2_iter(0xe8, 0xe9, bytes.get(..window).unwrap_or(bytes)) {
            let distance = offset
                .checked_add(1)
                .and_then(|at| bytes.get(at..at.checked_add(4)?));
            let Some(Ok(distance)) = distance.map(<[u8; 4]>::try_from) else {
                continue;
            };
            let at = start.plus(offset as u64);
            let distance = i64::from(i32::from_le_bytes(distance));
            let to = at.plus(BRANCH as u64).plus(distance.cast_unsigned());
            let to = self.context.linux.guest.space.mode().canonicalise(to);
            if code.range.contains(&to) || !self.is_away(to) {
                continue;
            }
            if let Some((function, lead)) = self.confirmed(code, at) {
                self.judge(code, function, lead, found);
            }
        }
    }

    /// The branch at `at`, when an instruction begins there, and the function that it is part of.
    fn confirmed(&self, code: &Code<'_>, at: VirtAddr) -> Option<(VirtAddr, Lead)> {
        let starts = code.symbols.starts();
        let before = starts
            .partition_point(|start| *start <= at)
            .checked_sub(1)?;
        let function = *starts.get(before)?;
        let len = at.since(function);
        if len > FUNCTION {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(len).ok()?.checked_add(BRANCH)?];
        let space = &self.context.linux.guest.space;
        space.read(function, &mut bytes).ok()?;
        let lead = code::branch_at(self.width, function, &bytes, at)?;
        Some((function, lead))
    }

    /// The first instructions of a function.
    fn head(&self, code: &Code<'_>, function: VirtAddr, bytes: &[u8], found: &mut Found) {
        let guest = &self.context.linux.guest;
        // A word that the kernel keeps among its data is its own business: calls go by many.
        let word = |cell: VirtAddr| {
            let of_data = self.image.contains(&cell) && !guest.code.contains(&cell);
            (!of_data).then(|| guest.space.read_pointer(cell).ok())?
        };
        for lead in code::first_leads(self.width, function, bytes, FIRST, &word) {
            let fixed = matches!(guest.space.read_uint(lead.at, 1), Ok(0xe8 | 0xe9));
            let away = !self.image.contains(&lead.to) && !code.range.contains(&lead.to);
            let mapped = guest.is_kernel_address(lead.to) && guest.space.translate(lead.to).is_ok();
            // Those to fixed places were met by their bytes.
            if !fixed && away && mapped {
                self.judge(code, function, lead, found);
            }
        }
    }

    fn judge(&self, code: &Code<'_>, function: VirtAddr, lead: Lead, found: &mut Found) {
        if found.rows.len() >= MOST {
            return;
        }
        let owner = self.context.owner(lead.to);
        let severity = match &owner {
            Owner::Kernel => return,
            Owner::Unknown => return found.lost(UNKNOWN, None),
            Owner::Module(_) => {
                // Elsewhere than at a function's start, static calls lead into modules as well.
                let first = lead.at.since(function) < HEAD as u64;
                let own_business = code.module.is_some() || !first;
                let name = code.symbols.name(function);
                if own_business || name.is_some_and(|name| name.starts_with(STATIC_CALL)) {
                    return;
                }
                Severity::Medium
            }
            Owner::Hidden(_) => Severity::High,
            Owner::Nobody => {
                if self.is_known(&lead) {
                    return;
                }
                Severity::High
            }
        };
        let subject = code.called(function);
        found.kernel(self.says(severity, subject, function, lead));
    }

    /// A break point `into` bytes into a function, which no probe explains. The kernel itself writes one for a moment as it
    /// turns ftrace's calls on and off, whose other bytes are there then.
    fn break_point(
        &self,
        code: &Code<'_>,
        function: VirtAddr,
        into: usize,
        head: &[u8],
        found: &mut Found,
    ) {
        let at = function.plus(into as u64);
        let known = self.known.get_or_init(|| self.known());
        if found.rows.len() >= MOST || known.probed.contains(&at) {
            return;
        }
        if !known.knows_probes {
            return found.lost("kprobe_table, which may explain a break point", None);
        }
        let subject = code.called(function);
        // Names of where sections begin and end stand before padding.
        if subject.ends_with(b"_start") || subject.ends_with(b"_end") {
            return;
        }
        let severity = match head.get(into.saturating_add(1)..) {
            Some(rest) if self.is_half_written(at, rest) => Severity::Note,
            _ => Severity::High,
        };
        found.kernel(Says {
            severity,
            subject,
            text: format!("A break point stands {into} bytes into a function, and no probe of the kernel's account set it."),
            evidence: Evidence::default().and(
                "instructions",
                function,
                format!("{} {}", hexadecimal(head), code::disassembly(self.width, function, head)),
            ),
            address: at,
        });
    }

    /// Whether `rest` is what follows the first byte of an instruction of ftrace's: one that does nothing, or a call
    /// of the kernel's own code.
    fn is_half_written(&self, at: VirtAddr, rest: &[u8]) -> bool {
        let Some(rest) = rest.first_chunk::<4>() else {
            return false;
        };
        let distance = i64::from(i32::from_le_bytes(*rest));
        let to = at.plus(BRANCH as u64).plus(distance.cast_unsigned());
        let to = self.context.linux.guest.space.mode().canonicalise(to);
        let made = || {
            let known = self.known.get_or_init(|| self.known());
            known.trampolines.iter().any(|range| range.contains(&to))
        };
        NOTHING.contains(rest) || self.context.owner(to) == Owner::Kernel || made()
    }

    fn says(&self, severity: Severity, subject: Vec<u8>, function: VirtAddr, lead: Lead) -> Says {
        let verb = if lead.call { "calls" } else { "jumps to" };
        let whose = match severity {
            Severity::High => "neither code of the kernel's own nor of its making",
            _ => "code of a module",
        };
        let text = format!(
            "The code of a function, {} bytes into it, {verb} {}, which is {whose}.",
            lead.at.since(function),
            lead.to,
        );
        // The instructions up to the one that leads away, or that one alone.
        let far = lead.at.since(function) >= HEAD as u64;
        let from = if far { lead.at } else { function };
        let len = lead.at.plus(lead.len).since(from);
        let mut bytes = vec![
            0;
            usize::try_from(len)
                .unwrap_or(0)
                .min(HEAD.saturating_mul(2))
        ];
        let read = self.context.linux.guest.space.read(from, &mut bytes);
        let instructions = match read {
            Ok(()) => format!(
                "{} {}",
                hexadecimal(&bytes),
                code::disassembly(self.width, from, &bytes)
            ),
            Err(_) => "unreadable".to_owned(),
        };
        Says {
            severity,
            subject,
            text,
            evidence: Evidence::default()
                .and("instructions", from, instructions)
                .and("bytes", lead.to, self.context.target(lead.to)),
            address: lead.at,
        }
    }

    /// Whether the kernel itself wrote this jump and keeps account of it.
    fn is_known(&self, lead: &Lead) -> bool {
        let known = self.known.get_or_init(|| self.known());
        let holds = |range: &Range<VirtAddr>| range.contains(&lead.to);
        known.trampolines.iter().any(holds)
            || known.probed.contains(&lead.at)
            || self.is_thunk(lead.to)
    }

    /// Whether `to` is a thunk that the kernel laid out against speculation, in the second half of a cache line. Linux
    /// commit 8754e67ad4ac ("x86/its: Add support for ITS-safe indirect thunk"), v6.15.
    fn is_thunk(&self, to: VirtAddr) -> bool {
        let mut bytes = [0; 2 * code::LONGEST];
        let read = self.context.linux.guest.space.read(to, &mut bytes);
        to.0 & 0x20 != 0 && read.is_ok() && code::is_register_jump(self.width, to, &bytes)
    }

    fn known(&self) -> Accounted {
        let guest = &self.context.linux.guest;
        let resolver = &mut Resolver::new(&guest.profile);
        let (probed, knows_probes) = hooks::probed(self.context);
        let mut known = Accounted {
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
            each(self.context, first, end, &|at| next.place(at), &mut |at| {
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
            each(self.context, first, head, &|at| at, &mut |node| {
                let at = link.container(node);
                let first = start.read(&guest.space, at)?;
                known.add(first, end.read(&guest.space, at)?.saturating_sub(first));
                Ok(())
            });
        }
        known
    }
}

impl Accounted {
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

/// How far into `head`, the first bytes of a function, a break point stands where its first instruction does: behind the
/// mark that calls through registers need, where it has that. Several, or one before what does nothing, are padding.
fn break_point(head: &[u8]) -> Option<usize> {
    let rest = head.strip_prefix(ENDBR).unwrap_or(head);
    let (first, after) = rest.split_first()?;
    let prefixes = after.iter().take_while(|byte| matches!(byte, 0x66 | 0x2e));
    let padding = matches!(
        after.get(prefixes.count()..)?,
        [] | [INT3 | 0x90, ..] | [0x0f, 0x1f, ..]
    );
    (*first == INT3 && !padding).then(|| head.len().saturating_sub(rest.len()))
}

/// Whether instructions are among `head` that may jump by a register, a word of memory or the stack.
fn may_jump_far(head: &[u8]) -> bool {
    let by_operand = head
        .windows(2)
        .any(|pair| matches!(pair, [0xff, 0xd0..=0xd7 | 0xe0..=0xe7 | 0x15 | 0x25]));
    // `ret` behind something that was pushed: a number, or a register that got one.
    by_operand
        || memchr(0xc3, head).is_some_and(|ret| {
            let before = head.get(..ret).unwrap_or_default();
            before.contains(&0x68) || matches!(before.last(), Some(0x50..=0x57))
        })
}

#[cfg(test)]
mod tests;
