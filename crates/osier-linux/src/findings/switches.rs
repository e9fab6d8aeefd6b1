//! System calls that the kernel reaches by a switch, which newer kernels go by instead of a table: each of its calls
//! leads to a function that a system call is made by.
//!
//! Linux commit 1e3ad78334a6 ("x86/syscall: Don't force use of indirect calls for system calls"), v6.9, and older kernels
//! that have it as well. `sys_call_table` is still made, of the same list: what one of the two has and the other lacks was
//! changed in one.

use std::collections::HashSet;

use osier_memory::VirtAddr;
use osier_osi::Severity;
use osier_osi::code::{self, Lead, Width};

use super::context::{About, CALLS, Context, Evidence, Found, Owner, Rule, Says};
use super::entries::{can_run, in_image, own_calls};
use crate::code_symbols::CodeSymbols;
use crate::symbols;

/// More bytes than any switch has.
const MOST: u64 = 1 << 16;
/// How names of functions begin that compilers and processors' faults have called.
const MADE: [&[u8]; 3] = [b"__fentry__", b"__sanitizer_cov", b"__x86_"];
/// How names begin of the room before a function, which a call may go through.
const BEFORE: &[u8] = b"__pfx_";

/// A call of a switch that leads to another function than a system call's.
pub(super) static SWITCHES: Rule = Rule {
    about: About {
        name: "syscall.switch",
        normal: "Every call within x64_sys_call, ia32_sys_call and x32_sys_call leads to a function that a system call is made by, and x64_sys_call has all that sys_call_table has.",
        otherwise: "Nothing that is known: such code is a constant.",
    },
    look: switches,
};

fn switches(context: &Context<'_>, found: &mut Found) {
    if !context.knows_code(found) {
        return;
    }
    let guest = &context.linux.guest;
    let names = [
        symbols::x64_sys_call,
        symbols::ia32_sys_call,
        symbols::x32_sys_call,
    ];
    for name in names {
        // A kernel that goes by its table has none.
        if let Some(at) = guest.symbol(name)
            && let Some((symbols, calls)) = context.calls(found)
        {
            let switch = Switch {
                name,
                at,
                symbols,
                calls,
            };
            switch.look(context, found);
        }
    }
}

struct Switch<'a> {
    name: &'static str,
    at: VirtAddr,
    symbols: &'a CodeSymbols,
    /// Where functions begin that system calls are made by.
    calls: &'a HashSet<VirtAddr>,
}

impl Switch<'_> {
    fn look(&self, context: &Context<'_>, found: &mut Found) {
        let guest = &context.linux.guest;
        let starts = self.symbols.starts();
        let next = starts.partition_point(|start| *start <= self.at);
        let end = starts.get(next).copied().unwrap_or(guest.code.end);
        let mut bytes = vec![0; end.since(self.at).min(MOST) as usize];
        if let Err(fault) = guest.space.read(self.at, &mut bytes) {
            return found.lost(self.name, Some(fault));
        }
        let width = Width::of(guest.pointer_bytes());
        let Some(leads) = code::branches(width, self.at, &bytes) else {
            return found.lost(&format!("{}, which is no code", self.name), None);
        };
        // The first instruction, behind the mark of four bytes that some have, is ftrace's.
        let is_own =
            |lead: &&Lead| lead.at.since(self.at) <= 4 || (self.at..end).contains(&lead.to);
        let away = leads.iter().filter(|lead| !is_own(lead));
        let mut reached = HashSet::new();
        let mut clean = true;
        for lead in away {
            if self.calls.contains(&lead.to) {
                reached.insert(lead.to);
            } else if !guest.code.contains(&lead.to) {
                clean = false;
                // Code of nobody's and of a module that hides is the business of the rule about code.
                let idle = in_image(context, lead.to) && !can_run(context, lead.to);
                if idle || matches!(context.owner(lead.to), Owner::Module(_)) {
                    self.leads(context, found, lead);
                }
            } else if !self.is_made(lead.to) {
                clean = false;
                self.leads(context, found, lead);
            }
        }
        let table = guest.symbol(symbols::sys_call_table);
        if self.name == symbols::x64_sys_call
            && clean
            && let Some(table) = table
        {
            self.compare(context, found, table, &reached);
        }
    }

    /// Whether a compiler has the function at `to` called, or it is the room before a system call's.
    fn is_made(&self, to: VirtAddr) -> bool {
        let starts = self.symbols.starts();
        let before = starts.partition_point(|start| *start <= to).checked_sub(1);
        let function = before.and_then(|before| starts.get(before).copied());
        let Some(name) = function.and_then(|function| self.symbols.name(function)) else {
            return false;
        };
        let begins = |word: &&[u8]| name.starts_with(word);
        let room = name.strip_prefix(BEFORE);
        MADE.iter().any(begins)
            || name.starts_with(self.name.as_bytes())
            || room.is_some_and(|name| CALLS.iter().any(|word| name.starts_with(word)))
    }

    fn called(&self, to: VirtAddr) -> String {
        let name = self.symbols.name(to);
        name.map_or_else(|| to.to_string(), |name| name.escape_ascii().to_string())
    }

    fn leads(&self, context: &Context<'_>, found: &mut Found, lead: &Lead) {
        let starts = self.symbols.starts();
        let before = starts
            .partition_point(|start| *start <= lead.to)
            .checked_sub(1);
        let function = before.and_then(|before| starts.get(before).copied());
        let function = function.unwrap_or(lead.to);
        let what = match (context.owner(lead.to), lead.to.since(function)) {
            (Owner::Module(name), _) => {
                format!("{} of module {}", lead.to, name.escape_ascii())
            }
            (_, 0) => self.called(function),
            (_, into) => format!("{into} bytes into {}", self.called(function)),
        };
        found.kernel(Says {
            severity: Severity::Medium,
            subject: self.name.as_bytes().to_vec(),
            text: format!(
                "A call of {} leads to {what}, which is no system call.",
                self.name
            ),
            evidence: Evidence::default()
                .and("instruction", lead.at, context.bytes(lead.at))
                .and("bytes", lead.to, context.bytes(lead.to)),
            address: lead.at,
        });
    }

    /// Holds what the switch reaches against the table, where nothing is wrong with either by itself.
    fn compare(
        &self,
        context: &Context<'_>,
        found: &mut Found,
        table: VirtAddr,
        reached: &HashSet<VirtAddr>,
    ) {
        let Some(entries) = own_calls(context, table, self.calls) else {
            return found.lost(
                "sys_call_table, of which entries lead to no system call",
                None,
            );
        };
        let listed: HashSet<VirtAddr> = entries.iter().map(|(_, to)| *to).collect();
        // What most entries lead to says that there is no such call. A compiler that made it part of the switch may have done
        // so with others.
        let none = entries
            .iter()
            .map(|(_, to)| *to)
            .max_by_key(|to| entries.iter().filter(|(_, other)| other == to).count());
        if !none.is_some_and(|none| reached.contains(&none)) {
            return;
        }
        let mut apart: Vec<_> = listed.symmetric_difference(reached).copied().collect();
        apart.sort_unstable();
        for to in apart {
            let entry = entries.iter().find(|(_, other)| *other == to);
            let (call, name) = (self.called(to), self.name);
            let text = match entry {
                Some((at, _)) => {
                    format!("{name} never calls {call}, to which sys_call_table leads at {at}.")
                }
                None => format!("{name} calls {call}, to which no entry of sys_call_table leads."),
            };
            found.kernel(Says {
                severity: Severity::Medium,
                subject: name.as_bytes().to_vec(),
                text,
                evidence: Evidence::default().and("bytes", to, context.bytes(to)),
                address: to,
            });
        }
    }
}
