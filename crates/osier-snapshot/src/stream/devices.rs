//! The sections after RAM. Their payloads carry no length.
//!
//! With footers a section ends where its own number stands in a footer and another section, or the
//! stream's end, follows. Without footers (machine types before 2.4) only `cpu` is looked for, by
//! its header.

use std::ops::Range;

use super::marks::{EOF, FOOTER, FULL, START, SUBSECTION, VMDESCRIPTION};
use super::ram;
use crate::anomaly::Anomaly;
use crate::cursor::Cursor;
use crate::error::Malformed;

/// A section with a header of its own.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) instance: u32,
    pub(crate) version: u32,
    /// File offsets of the payload.
    pub(crate) payload: Range<usize>,
    /// Whether the payload's end is not known.
    pub(crate) open_end: bool,
}

/// What was found after RAM.
pub(crate) struct Found {
    pub(crate) sections: Vec<Section>,
    /// The file offset after the stream's end mark, when it was reached.
    pub(crate) end: Option<usize>,
    pub(crate) anomalies: Vec<Anomaly>,
}

impl Found {
    /// Adds what can be found from `at` on by name, of a stream whose sections cannot be followed.
    fn and_by_name(mut self, at: Cursor<'_>) -> Self {
        let known = |sections: &[Section], new: &Section| {
            let mut sections = sections.iter();
            sections.any(|old| old.name == new.name && old.instance == new.instance)
        };
        for section in by_name(&at).sections {
            if !known(&self.sections, &section) {
                self.sections.push(section);
            }
        }
        self
    }
}

/// Takes a section's header, without its type.
pub(crate) fn header(at: &mut Cursor<'_>) -> Result<Section, Malformed> {
    let id = at.be32("a section's number")?;
    let name = ram::name(at, "a section's name")?;
    let instance = at.be32("a section's instance")?;
    let version = at.be32("a section's version")?;
    Ok(Section {
        id,
        name,
        instance,
        version,
        payload: at.at()..at.at(),
        open_end: false,
    })
}

/// Takes a section whose type has been taken, at file offset `start`: one that stands before RAM,
/// which only streams with footers have.
pub(crate) fn pass(at: &mut Cursor<'_>, start: u64) -> Result<Section, Malformed> {
    let mut section = header(at)?;
    section.payload.end = end_of(*at, section.id, false)
        .ok_or_else(|| Malformed::new(start, format!("the end of section {:?}", section.name)))?;
    let bytes = section.payload.len().saturating_add(5);
    at.pass(bytes, "a section's payload")?;
    Ok(section)
}

/// Where the memory starts that a `virtio-mem` device lends, whose block has `bytes`.
///
/// Its state holds, big-endian, the start, the length and the size of its units, one after another
/// (QEMU `hw/virtio/virtio-mem.c`, `vmstate_virtio_mem_sanity_checks`), at no fixed place.
pub(crate) fn lent(payload: &[u8], bytes: u64) -> Option<u64> {
    const LEN: usize = 8;
    memchr::memmem::find_iter(payload, &bytes.to_be_bytes()).find_map(|at| {
        let start = payload.get(at.checked_sub(LEN)?..at)?.first_chunk()?;
        let start = u64::from_be_bytes(*start);
        let unit = payload.get(at.checked_add(LEN)?..)?.first_chunk()?;
        let unit = u64::from_be_bytes(*unit);
        let good = unit.is_power_of_two() && unit >= 1 << 20 && start >= crate::layout::FOUR_GIB;
        (good && start.is_multiple_of(unit) && bytes.is_multiple_of(unit)).then_some(start)
    })
}

/// Finds the sections from `at` on.
pub(crate) fn find(at: &mut Cursor<'_>, footers: bool) -> Found {
    if footers {
        return with_footers(at);
    }
    let mut found = by_name(at);
    found.anomalies.push(Anomaly::harmless(
        "the stream has no section footers; only its cpu sections are read",
    ));
    found
}

fn with_footers(at: &mut Cursor<'_>) -> Found {
    let mut found = Found {
        sections: Vec::new(),
        end: None,
        anomalies: Vec::new(),
    };
    loop {
        let here = *at;
        let start = at.at();
        match at.u8("a section") {
            Ok(EOF) => {
                found.end = Some(at.at());
                return found;
            }
            Ok(FULL) => {}
            _ => {
                found.anomalies.push(Anomaly::processors(format!(
                    "the stream breaks off at file offset {start:#x}, after {} sections",
                    found.sections.len()
                )));
                return found.and_by_name(here);
            }
        }
        let whole = header(at).ok().and_then(|mut section| {
            // A stream has processors, so it does not end before the first.
            let may_end = section.name == "cpu" || found.sections.iter().any(|s| s.name == "cpu");
            section.payload.end = end_of(*at, section.id, may_end)?;
            Some(section)
        });
        let Some(section) = whole else {
            found.anomalies.push(Anomaly::processors(format!(
                "the section at file offset {start:#x} has no end; of later ones only cpu sections are read"
            )));
            return found.and_by_name(here);
        };
        let after = section
            .payload
            .end
            .saturating_sub(at.at())
            .saturating_add(5);
        if at.pass(after, "a section's payload").is_err() {
            return found;
        }
        found.sections.push(section);
    }
}

/// The file offset of the footer of section `id`, from `at` on. `may_end`: the stream may end after
/// this section. (Numbers in the payload of section 0 look like a footer and the end now and then.)
fn end_of(at: Cursor<'_>, id: u32, may_end: bool) -> Option<usize> {
    let [a, b, c, d] = id.to_be_bytes();
    let mark = [FOOTER, a, b, c, d];
    at.look().find(at.at(), &mark).find_map(|footer| {
        let mut after = Cursor::new(at.look(), footer.checked_add(mark.len())?);
        let follows = match after.u8("what follows").ok()? {
            EOF => may_end,
            FULL | START => header(&mut after).is_ok_and(|next| next.version <= 1024),
            _ => false,
        };
        follows.then_some(footer)
    })
}

/// The `cpu` sections and the clock's by their header, `04 id 03 "cpu" instance version`, wherever
/// one stands from `at` on.
pub(crate) fn by_name(at: &Cursor<'_>) -> Found {
    /// The most processors that may be missing in a row.
    const GAP: u32 = 256;
    let mut found = Found {
        sections: Vec::new(),
        end: None,
        anomalies: Vec::new(),
    };
    let look = at.look();
    let mut cpus = 0_u32; // the least instance that may follow
    for name in [&b"\x03cpu"[..], b"\x0bmc146818rtc"] {
        for hit in look.find(at.at(), name) {
            let Some(kind) = hit.checked_sub(5).filter(|kind| *kind >= at.at()) else {
                continue;
            };
            let mut here = Cursor::new(look, kind);
            let opens = here.u8("a section").ok() == Some(FULL);
            let Some(mut section) = header(&mut here).ok().filter(|_| opens) else {
                continue;
            };
            let good = if section.name == "cpu" {
                (cpus..cpus.saturating_add(GAP)).contains(&section.instance)
                    && (3..=64).contains(&section.version)
            } else {
                section.instance == 0 && (1..=3).contains(&section.version)
            };
            if good {
                if section.name == "cpu" {
                    cpus = section.instance.saturating_add(1);
                }
                section.payload = here.at()..look.len();
                section.open_end = true;
                found.sections.push(section);
            }
        }
    }
    found
}

/// Whether `rest` is what follows the payload of a `cpu` section in a stream without footers:
/// another section, a subsection, a footer after all, or the stream's end with nothing but its
/// description.
pub(crate) fn follows(rest: &[u8]) -> bool {
    let mut at = Cursor::new(rest, 0);
    match at.u8("what follows") {
        Ok(EOF) => matches!(at.peek(), None | Some(VMDESCRIPTION)),
        Ok(FULL | START) => header(&mut at).is_ok_and(|next| next.version <= 1024),
        Ok(SUBSECTION) => {
            ram::name(&mut at, "a subsection").is_ok_and(|name| name.starts_with("cpu/"))
        }
        Ok(FOOTER) => {
            at.be32("a section's number").is_ok() && matches!(at.peek(), None | Some(EOF | FULL))
        }
        _ => false,
    }
}
