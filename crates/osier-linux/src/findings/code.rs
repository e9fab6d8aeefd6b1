//! Code of the kernel and of its modules that leads to code of nobody: jumps that were written over instructions.
//!
//! Three things are looked at. Every byte of code that can begin a jump or call to a fixed place, wherever in a function
//! it stands, whose target can be executed and lies outside the image; of these, those where an instruction begins,
//! counted from the start of the function. And the first instructions of every function, where a jump may go by a
//! register, the stack or a word of memory. And the first instruction itself, which may be a trap.
//!
//! A page whose functions begin with what is no code was lost: nothing is found in it.
//!
//! What the kernel itself writes over its code leads into its own, or to what it keeps account of: trampolines of
//! ftrace and of BPF, probes, thunks against speculation.

use std::cell::OnceCell;
use std::ops::{ControlFlow, Range};

use memchr::{memchr, memchr2_iter};
use osier_memory::{Gap, VirtAddr};
use osier_osi::Severity;
use osier_osi::code::{self, Lead, Width};

use super::accounted::Accounted;
use super::context::{About, Context, Evidence, Found, Owner, Rule, Says, hexadecimal};
use super::entries::in_boot;
use super::hooks::UNKNOWN;
use super::lost;
use super::traps::{self, Bugs, Trap};
use crate::code_symbols::CodeSymbols;
use crate::modules::ModuleCode;
use crate::symbols;

/// Bytes of code that are looked at together.
const WINDOW: usize = 1 << 20;
/// Bytes at the start of a function that are looked at: some instructions.
const HEAD: usize = 32;
/// Instructions at the start of a function that are looked at.
const FIRST: usize = 8;
/// Bytes of a jump or call to a fixed place.
const BRANCH: usize = 5;
/// What compilers align functions to.
const ALIGNED: u64 = 16;
/// Bytes of a function that are looked at for whether it is but padding.
const FILLED: u64 = 4096;
/// More bytes than any function has up to a jump that is looked at.
const FUNCTION: u64 = 1 << 18;
/// More findings than anybody reads.
const MOST: usize = 1024;
/// How the code begins that a static call is made through: its target is set as the kernel runs, to a module's function
/// too. Linux commit 115284d89a43 ("`static_call`: Add basic static call infrastructure"), v5.10.
const STATIC_CALL: &[u8] = b"__SCT__";

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
    /// The function that `at` is part of.
    fn before(&self, at: VirtAddr) -> Option<VirtAddr> {
        let starts = self.symbols.starts();
        let before = starts.partition_point(|start| *start <= at);
        starts.get(before.checked_sub(1)?).copied()
    }

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
    /// Where the kernel itself tells of bugs, when that is known.
    bugs: OnceCell<Option<Bugs>>,
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
            bugs: OnceCell::new(),
        }
    }

    /// Whether something can be executed at `to`.
    fn is_executable(&self, to: VirtAddr) -> bool {
        let after = self.elsewhere.partition_point(|range| range.end <= to);
        let held = self.elsewhere.get(after);
        held.is_some_and(|range| range.contains(&to))
    }

    /// Whether `to` lies in the image and not in its code. That of the boot, and what lies behind it, is left out:
    /// functions of the boot lead there.
    fn is_slack(&self, to: VirtAddr) -> bool {
        let code = &self.context.linux.guest.code;
        self.image.contains(&to) && !code.contains(&to) && !in_boot(self.context, to)
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
                if let Some(trap) = Trap::of(head.get(..own).unwrap_or(head)) {
                    self.trap(code, *at..next, trap, head, found);
                }
            }
            let pages = bytes
                .get(..window)
                .unwrap_or_default()
                .chunks(lost::PAGE as usize);
            for (page, bytes) in (0_u64..).zip(pages) {
                let offset = page.wrapping_mul(lost::PAGE);
                let gone = |gap: &Gap| {
                    let end = gap.start.saturating_add(gap.len) as u64;
                    (gap.start as u64) < offset.saturating_add(lost::PAGE) && offset < end
                };
                if !gaps.iter().any(gone) {
                    self.doubt(code, start.plus(offset), bytes, found);
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
            let slack = self.is_slack(to);
            let outside = !self.image.contains(&to) && self.is_executable(to);
            if code.range.contains(&to) || !(slack || outside) {
                continue;
            }
            // Where instructions begin is certain at a function's start alone: elsewhere nothing jumps into data.
            let first = code
                .before(at)
                .is_some_and(|function| at.since(function) < HEAD as u64);
            if !first && !self.is_executable(to) {
                continue;
            }
            if let Some((function, lead)) = self.confirmed(code, at) {
                self.judge(code, function, lead, found);
            }
        }
    }

    /// Takes back what was found in a page that holds no code, and says that it was lost.
    fn doubt(&self, code: &Code<'_>, start: VirtAddr, bytes: &[u8], found: &mut Found) {
        let page = start..start.plus(bytes.len() as u64);
        let doubtful = found.rows.iter().any(|row| page.contains(&row.address));
        if lost::holds_no_code(self.width, code.symbols.starts(), &page, bytes, doubtful) {
            found.rows.retain(|row| !page.contains(&row.address));
            found.lost("pages of the code, which hold none", None);
        }
    }

    /// The branch at `at`, when an instruction begins there, and the function that it is part of.
    fn confirmed(&self, code: &Code<'_>, at: VirtAddr) -> Option<(VirtAddr, Lead)> {
        let function = code.before(at)?;
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
            let outside = !self.image.contains(&lead.to) && !code.range.contains(&lead.to);
            let away = outside || self.is_slack(lead.to);
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

    /// A trap in the place of the first instruction of `function`, which no probe and no warning explains. The kernel itself
    /// writes one for a moment as it turns ftrace's calls on and off, whose other bytes are there then.
    fn trap(
        &self,
        code: &Code<'_>,
        function: Range<VirtAddr>,
        trap: Trap,
        head: &[u8],
        found: &mut Found,
    ) {
        let at = function.start.plus(trap.into as u64);
        if found.rows.len() >= MOST || self.is_filled(&function, trap) {
            return;
        }
        let explained = if trap.warns {
            self.warns(code, at, trap, head, found)
        } else {
            self.probed(at, found)
        };
        if explained {
            return;
        }
        let subject = code.called(function.start);
        // Names of where sections begin and end stand before padding.
        if subject.ends_with(b"_start") || subject.ends_with(b"_end") {
            return;
        }
        let half = trap.is_int3(head) && self.is_half_written(at, trap, head);
        let mut may_write = || {
            let symbols = self.context.symbols(found);
            symbols.is_none_or(|symbols| traps::may_write_code(self.context, symbols))
        };
        let severity = if half && may_write() {
            Severity::Note
        } else {
            Severity::High
        };
        let text = match (trap.warns, trap.into) {
            (true, into) => format!(
                "An instruction that is none, ud2, stands {into} bytes into a function, and no warning of the kernel's is there."
            ),
            (false, into) => format!(
                "A break point stands {into} bytes into a function, and no probe of the kernel's account set it."
            ),
        };
        found.kernel(Says {
            severity,
            subject,
            text,
            evidence: Evidence::default().and(
                "instructions",
                function.start,
                format!(
                    "{} {}",
                    hexadecimal(head),
                    code::disassembly(self.width, function.start, head)
                ),
            ),
            address: at,
        });
    }

    /// Whether a function is but a trap and padding: one that only tells of a bug, or room with a name, which seldom begins
    /// where functions do.
    fn is_filled(&self, function: &Range<VirtAddr>, trap: Trap) -> bool {
        if !trap.warns && function.start.0.is_multiple_of(ALIGNED) {
            return false;
        }
        let own = function.end.since(function.start).min(FILLED);
        let mut bytes = vec![0; usize::try_from(own).unwrap_or(0)];
        let read = self
            .context
            .linux
            .guest
            .space
            .read(function.start, &mut bytes);
        let behind = function
            .start
            .plus(trap.into.saturating_add(trap.len) as u64);
        read.is_ok() && code::is_padding(self.width, behind, trap.rest(&bytes))
    }

    /// Whether a probe may be at `at`; where that cannot be told, it is said.
    fn probed(&self, at: VirtAddr, found: &mut Found) -> bool {
        let known = self.known.get_or_init(|| Accounted::of(self.context));
        if !known.knows_probes {
            found.lost("kprobe_table, which may explain a break point", None);
        }
        known.probed.contains(&at) || !known.knows_probes
    }

    /// Whether the kernel itself may warn at `at`. What was written over an instruction that does nothing is no warning; else
    /// its table of them says so, which kernels without symbols of data do not name, nor is a module's looked at.
    fn warns(
        &self,
        code: &Code<'_>,
        at: VirtAddr,
        trap: Trap,
        head: &[u8],
        found: &mut Found,
    ) -> bool {
        if trap.broke_nothing(head) {
            return false;
        }
        let read = || Bugs::read(self.context, self.context.symbols(found)?);
        let bugs = self.bugs.get_or_init(read).as_ref();
        code.module.is_some() || bugs.is_none_or(|bugs| bugs.has(at))
    }

    /// Whether what follows is the rest of an instruction of ftrace's: one that does nothing, or a call of the kernel's own
    /// code.
    fn is_half_written(&self, at: VirtAddr, trap: Trap, head: &[u8]) -> bool {
        let Some(rest) = trap.rest(head).first_chunk::<4>() else {
            return false;
        };
        let distance = i64::from(i32::from_le_bytes(*rest));
        let to = at.plus(BRANCH as u64).plus(distance.cast_unsigned());
        let to = self.context.linux.guest.space.mode().canonicalise(to);
        let known = self.known.get_or_init(|| Accounted::of(self.context));
        trap.broke_nothing(head) || self.context.owner(to) == Owner::Kernel || known.made(to)
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
        let known = self.known.get_or_init(|| Accounted::of(self.context));
        known.made(lead.to) || known.probed.contains(&lead.at) || self.is_thunk(lead.to)
    }

    /// Whether `to` is a thunk that the kernel laid out against speculation, in the second half of a cache line. Linux
    /// commit 8754e67ad4ac ("x86/its: Add support for ITS-safe indirect thunk"), v6.15.
    fn is_thunk(&self, to: VirtAddr) -> bool {
        let mut bytes = [0; 2 * code::LONGEST];
        let read = self.context.linux.guest.space.read(to, &mut bytes);
        to.0 & 0x20 != 0 && read.is_ok() && code::is_register_jump(self.width, to, &bytes)
    }
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
