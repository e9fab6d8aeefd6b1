//! What rules say of what does not fit, whichever system it is: `docs/findings.md` describes the rules.

use std::fmt::Write as _;

use foldhash::HashSet;
use osier_memory::{Each, Fault, VirtAddr};

use crate::code::{Width, disassembly};
use crate::{Absent, Finding, Process, Seen, SeenExt as _, Severity, WalkEnd, WalkEnds};

/// The walk's name in endings.
pub const WALK: &str = "findings";

/// Whether the walk of that name closed, and nothing else is said of it.
pub fn closed(ends: &WalkEnds, walk: &str) -> bool {
    let mut of = ends.0.iter().filter(|(name, _)| *name == walk).peekable();
    of.peek().is_some() && of.all(|(_, end)| end.is_closed())
}

/// Bytes in hexadecimal.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The subject of a finding about a process.
pub fn process(process: &Process) -> Vec<u8> {
    subject("process", &process.pid, &process.name)
}

/// `WORD PID NAME`, without what could not be read.
pub fn subject(word: &str, id: &Seen<u32>, name: &Seen<Vec<u8>>) -> Vec<u8> {
    let mut subject = word.to_owned().into_bytes();
    if let Ok(id) = id {
        subject.extend_from_slice(format!(" {id}").as_bytes());
    }
    if let Some(name) = name.get() {
        subject.push(b' ');
        subject.extend_from_slice(name);
    }
    subject
}

/// Parts of evidence, `WHAT at ADDRESS: VALUE`, with semicolons between.
#[derive(Debug, Default)]
pub struct Evidence(Vec<u8>);

impl Evidence {
    /// Adds a part.
    #[must_use]
    pub fn and(mut self, what: &str, at: VirtAddr, value: impl AsRef<[u8]>) -> Self {
        if !self.0.is_empty() {
            self.0.extend_from_slice(b"; ");
        }
        self.0
            .extend_from_slice(format!("{what} at {at}: ").as_bytes());
        self.0.extend_from_slice(value.as_ref());
        self
    }
}

impl Evidence {
    /// Adds the first bytes at `at`, `None` of memory that is not there, and the instructions that they are where the
    /// `width` of the code is known: neither of zeros nor of the head of a program, which is not code.
    #[must_use]
    pub fn and_code(
        self,
        at: VirtAddr,
        bytes: Option<&[u8]>,
        is_head: bool,
        width: Option<Width>,
    ) -> Self {
        let Some(bytes) = bytes else {
            return self.and("bytes", at, "not in memory");
        };
        let with_bytes = self.and("bytes", at, hexadecimal(bytes));
        let data = is_head || bytes.iter().all(|byte| *byte == 0);
        match width.filter(|_| !data) {
            Some(width) => match disassembly(width, at, bytes) {
                text if text.is_empty() => with_bytes,
                text => with_bytes.and("instructions", at, text),
            },
            None => with_bytes,
        }
    }
}

/// What a rule is called, and what it says of all that it finds.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// What would be normal.
    pub normal: &'static str,
    /// What else could explain what it finds.
    pub otherwise: &'static str,
}

/// A rule: what is said of it, and how it looks at what its provider knows.
#[derive(Clone, Copy, Debug)]
pub struct Rule<L> {
    /// What it is called and says of all that it finds.
    pub about: About,
    /// Looks.
    pub look: L,
}

/// What each rule is called, in their order.
pub fn names<L>(rules: &[&Rule<L>]) -> Vec<&'static str> {
    rules.iter().map(|rule| rule.about.name).collect()
}

/// The rules of these names, in their own order.
///
/// # Errors
/// No rule is called so: how such an answer ends.
pub fn wanted<'r, L>(rules: &[&'r Rule<L>], names: &[&str]) -> Result<Vec<&'r Rule<L>>, WalkEnds> {
    let wanted = |rule: &&&Rule<L>| names.contains(&rule.about.name);
    let wanted: Vec<_> = rules.iter().filter(wanted).copied().collect();
    if wanted.is_empty() {
        return Err(WalkEnds::one(WALK, WalkEnd::NotAnswered));
    }
    Ok(wanted)
}

/// What one rule finds.
#[derive(Debug)]
pub struct Found {
    about: About,
    /// Its findings.
    pub rows: Vec<Finding>,
    /// How it ended: what it could not read is an ending.
    pub ends: WalkEnds,
}

/// Lets every rule `look`, and shows what each finds. `shared` is how the
/// walks ended that several of them needed. What several say of how they ended is told once.
pub fn apply<L>(
    rules: &[&Rule<L>],
    look: impl Fn(&L, &mut Found),
    shared: impl FnOnce() -> WalkEnds,
    row: Each<'_, Finding>,
) -> WalkEnds {
    let mut ends = WalkEnds::default();
    for rule in rules {
        let mut found = Found::of(rule.about);
        look(&rule.look, &mut found);
        tell_once(&mut ends, found.ends);
        for finding in found.rows {
            if row(finding).is_break() {
                return ends.stopped(WALK);
            }
        }
    }
    tell_once(&mut ends, shared());
    ends
}

/// Adds endings that are not among them yet.
fn tell_once(ends: &mut WalkEnds, more: WalkEnds) {
    let known: HashSet<_> = ends
        .0
        .iter()
        .map(|(walk, end)| (*walk, end.to_string()))
        .collect();
    for (walk, end) in more.0 {
        if !known.contains(&(walk, end.to_string())) {
            ends.add(walk, end);
        }
    }
}

/// What a finding says; the fields are those of [`Finding`].
#[derive(Debug)]
pub struct Says {
    /// How much.
    pub severity: Severity,
    /// Of what. Bytes.
    pub subject: Vec<u8>,
    /// In words.
    pub text: String,
    /// What was read, and where.
    pub evidence: Evidence,
    /// The object.
    pub address: VirtAddr,
}

impl Found {
    /// Nothing yet, by the rule that this is about.
    pub fn of(about: About) -> Self {
        Self {
            about,
            rows: Vec::new(),
            ends: WalkEnds::one(WALK, WalkEnd::Closed),
        }
    }

    /// A finding about the kernel.
    pub fn kernel(&mut self, says: Says) {
        self.add(Err(Absent::not_applicable("it is the kernel's")), says);
    }

    /// A finding about the process of that id.
    pub fn process(&mut self, pid: &Seen<u32>, says: Says) {
        self.add(pid.clone(), says);
    }

    fn add(&mut self, pid: Seen<u32>, says: Says) {
        self.rows.push(Finding {
            rule: self.about.name,
            severity: says.severity,
            subject: says.subject,
            text: says.text,
            evidence: says.evidence.0,
            pid,
            address: says.address,
            normal: self.about.normal,
            otherwise: self.about.otherwise,
        });
    }

    /// What the rule looks at is absent; that is an ending where it is a loss.
    pub fn absent(&mut self, missing: &str, absent: &Absent) {
        if absent.is_loss() {
            self.lost(missing, absent.fault());
        }
    }

    /// What the rule looks at cannot be read; of many parts of it the first is named.
    pub fn lost(&mut self, missing: &str, fault: Option<Fault>) {
        let missing = format!("{}: {missing}", self.about.name);
        let known = |(_, end): &(&str, WalkEnd)| matches!(end, WalkEnd::NoStart { missing: other, .. } if *other == missing);
        if self.ends.0.iter().any(known) {
            return;
        }
        self.ends.add(WALK, WalkEnd::NoStart { missing, fault });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(bytes: Option<&[u8]>, is_head: bool, width: Option<Width>) -> String {
        let evidence = Evidence::default().and_code(VirtAddr(0x1000), bytes, is_head, width);
        String::from_utf8(evidence.0).unwrap()
    }

    #[test]
    fn code_is_shown_as_bytes_and_as_instructions() {
        let code: &[u8] = &[0x48, 0x31, 0xff, 0x0f, 0x05];
        let both = "bytes at 0x1000: 4831ff0f05; instructions at 0x1000: xor rdi,rdi / syscall";
        assert_eq!(evidence(Some(code), false, Some(Width::Bits64)), both);
        let bytes = "bytes at 0x1000: 4831ff0f05";
        assert_eq!(evidence(Some(code), true, Some(Width::Bits64)), bytes);
        assert_eq!(evidence(Some(code), false, None), bytes);
        let zeros = "bytes at 0x1000: 0000";
        assert_eq!(evidence(Some(&[0, 0]), false, Some(Width::Bits64)), zeros);
        let none = "bytes at 0x1000: not in memory";
        assert_eq!(evidence(None, false, Some(Width::Bits64)), none);
    }
}
