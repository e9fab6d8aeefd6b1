//! BTF held against itself: what a lost page or a changed word leaves behind.
//!
//! A kernel's BTF was checked when it was made: every name is the start of a string, no string stands
//! twice and none is empty, and the members of a structure lie beside one another. The kernel's own check of
//! BTF, `btf_check_meta` in `kernel/bpf/btf.c`, asks for most of it. What breaks these rules was damaged since;
//! then a type or a member that is not found may have lost its name.

use osier_profile::Wanted;

use crate::btf::{Btf, Marks, Record, kind};
use crate::names::Names;

/// The bits of `info` that no kind uses.
const UNUSED_INFO: u32 = 0x60ff_0000;
/// Anonymous structures inside one another.
const MAX_NESTING: usize = 24;

/// What is wrong, a line for each rule that is broken; empty of BTF that was not damaged. With `wanted`, only of
/// those structures are the members' places looked at.
pub(crate) fn of(btf: &Btf<'_>, wanted: Option<&Wanted>) -> Vec<String> {
    let mut check = Check {
        btf,
        wanted: wanted.map(|wanted| (Names::new(wanted.types), btf.marks())),
        starts: btf.marks(),
        broken: Vec::new(),
    };
    check.strings();
    check.records();
    let lines = check.broken.iter().map(|broken| {
        let Broken { rule, count, first } = broken;
        match count {
            1 => format!("the kernel's BTF is damaged: {rule}, {first}"),
            _ => format!("the kernel's BTF is damaged: {rule}, {count} times, first {first}"),
        }
    });
    lines.collect()
}

/// A rule that was broken.
struct Broken {
    rule: &'static str,
    count: usize,
    /// Where it was broken first.
    first: String,
}

struct Check<'a> {
    btf: &'a Btf<'a>,
    /// The structures that are looked into, and where their names stand; `None` for all.
    wanted: Option<(Names, Marks)>,
    /// Where strings start.
    starts: Marks,
    broken: Vec<Broken>,
}

impl Check<'_> {
    fn broken(&mut self, rule: &'static str, place: impl FnOnce() -> String) {
        match self.broken.iter_mut().find(|broken| broken.rule == rule) {
            Some(broken) => broken.count = broken.count.saturating_add(1),
            None => self.broken.push(Broken {
                rule,
                count: 1,
                first: place(),
            }),
        }
    }

    fn strings(&mut self) {
        let strings = self.btf.strings();
        let hidden = |byte: &u8| (1..0x20).contains(byte) || *byte == 0x7f;
        let plain = strings
            .iter()
            .fold(true, |plain, byte| plain & !hidden(byte));
        if !plain || str::from_utf8(strings).is_err() {
            let within = |byte: &u8| hidden(byte) || *byte > 0x7f;
            let at = strings.iter().position(within).unwrap_or(0);
            self.broken("a character that no name has", || in_strings(at));
        }
        let mut start = 0_usize;
        for end in memchr::memchr_iter(0, strings) {
            if end == start && start != 0 {
                self.broken("an empty string", || in_strings(start));
            } else {
                self.starts.set(start);
                if let Some((names, marks)) = &mut self.wanted
                    && names.contains(strings.get(start..end).unwrap_or_default())
                {
                    marks.set(start);
                }
            }
            start = end.saturating_add(1);
        }
    }

    fn records(&mut self) {
        for id in 1..=self.btf.len() {
            if let Some(record) = self.btf.record(id) {
                self.record(id, record);
            }
        }
    }

    fn record(&mut self, id: u32, record: Record) {
        self.name(record.name, id);
        let nameless = match record.kind() {
            kind::INT
            | kind::FWD
            | kind::TYPEDEF
            | kind::FUNC
            | kind::VAR
            | kind::DATASEC
            | kind::FLOAT
            | kind::DECL_TAG
            | kind::TYPE_TAG => record.name == 0,
            kind::PTR
            | kind::ARRAY
            | kind::VOLATILE
            | kind::CONST
            | kind::RESTRICT
            | kind::FUNC_PROTO => record.name != 0,
            _ => false,
        };
        if nameless {
            let rule = "a type without the name that its kind has, or with one that it has not";
            self.broken(rule, || of_type(id));
        }
        if record.has_info(UNUSED_INFO) {
            self.broken("a type with bits that no kind has", || of_type(id));
        }
        match record.kind() {
            kind::STRUCT | kind::UNION => self.compound(id, record),
            kind::ENUM => self.enumerators(id, record, 2),
            kind::ENUM64 => self.enumerators(id, record, 3),
            kind::FUNC_PROTO => {
                self.named_type(record.size_or_type, id);
                for nth in 0..record.vlen() {
                    let word = |at: usize| {
                        self.btf
                            .word(record, nth.saturating_mul(2).saturating_add(at))
                    };
                    let (name, of) = (word(0).unwrap_or(0), word(1).unwrap_or(0));
                    self.name(name, id);
                    self.named_type(of, id);
                }
            }
            kind::ARRAY => {
                for nth in 0..2 {
                    self.named_type(self.btf.word(record, nth).unwrap_or(0), id);
                }
            }
            kind::DATASEC => {
                for nth in 0..record.vlen() {
                    let of = self.btf.word(record, nth.saturating_mul(3));
                    self.named_type(of.unwrap_or(0), id);
                }
            }
            kind::INT | kind::FLOAT | kind::FWD => {}
            _ => self.named_type(record.size_or_type, id),
        }
    }

    /// A name of the type `id`, or of a part of it.
    fn name(&mut self, name: u32, id: u32) {
        if name != 0 && !self.starts.get(name) {
            self.broken("a name that is the start of no string", || of_type(id));
        }
    }

    /// A type that the type `id` names; 0 is `void`.
    fn named_type(&mut self, named: u32, id: u32) {
        if named > self.btf.len() {
            self.broken("a type that there is not is named", || of_type(id));
        }
    }

    fn enumerators(&mut self, id: u32, record: Record, words: usize) {
        for nth in 0..record.vlen() {
            let name = self.btf.word(record, nth.saturating_mul(words));
            self.name(name.unwrap_or(0), id);
            if name == Some(0) {
                self.broken("an enumerator without a name", || of_type(id));
            }
        }
    }

    fn compound(&mut self, id: u32, record: Record) {
        for nth in 0..record.vlen() {
            let word = |at: usize| {
                self.btf
                    .word(record, nth.saturating_mul(3).saturating_add(at))
            };
            let (name, of) = (word(0).unwrap_or(0), word(1).unwrap_or(0));
            self.name(name, id);
            self.named_type(of, id);
            if name == 0 && !self.btf.bare(of).is_some_and(Record::is_compound) {
                self.broken("a member without a name", || of_type(id));
            }
        }
        match &self.wanted {
            None => self.places(id, record, 0),
            Some((_, wanted)) if record.name != 0 && wanted.get(record.name) => {
                self.places(id, record, 0);
            }
            Some(_) => {}
        }
    }

    /// Looks at where the members of a structure lie; anonymous ones are looked into where not every
    /// structure is.
    fn places(&mut self, id: u32, record: Record, nesting: usize) {
        let union = record.kind() == kind::UNION;
        let whole = u64::from(record.size_or_type).saturating_mul(8);
        let mut before = 0_u64;
        for nth in 0..record.vlen() {
            if self.btf.budget.member().is_err() {
                self.broken("structures that hold themselves", || of_type(id));
                return;
            }
            let Some(place) = self.btf.place(record, nth) else {
                continue;
            };
            let end = place.bit.saturating_add(place.bits);
            let text = || {
                let (member, of) = (self.btf.text(place.name), self.btf.text(record.name));
                format!("{member} of {of}, type {id}")
            };
            if end > whole {
                let text = text();
                self.broken("a member that ends after its structure", || text);
            } else if union && place.bit != 0 {
                let text = text();
                self.broken("a member of a union that lies behind its start", || text);
            } else if !union && place.bit < before {
                let text = text();
                self.broken("a member that lies in the one before it", || text);
            }
            before = before.max(end);
            if place.name == 0
                && self.wanted.is_some()
                && nesting < MAX_NESTING
                && let Some((inner, of)) = self.btf.bare_numbered(place.of)
                && of.is_compound()
            {
                self.places(inner, of, nesting.saturating_add(1));
            }
        }
    }
}

fn of_type(id: u32) -> String {
    format!("of type {id}")
}

fn in_strings(at: usize) -> String {
    format!("at byte {at:#x} of its strings")
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]
mod tests;
