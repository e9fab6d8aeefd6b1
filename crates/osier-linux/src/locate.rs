//! Finding the kernel: from most to least knowledge, each step confirmed before it is believed.
//!
//! 1. The processors' CR3, where the snapshot has registers.
//! 2. The VMCOREINFO text of a note.
//! 3. Kernels met before, at the aligned physical addresses that can hold a kernel image.
//! 4. One pass over memory for VMCOREINFO pages and for the kernel's own page tables.
//!
//! Each gives a paging mode and a table root. A root is believed when it maps a kernel image whose
//! banner can be read through it, and when VMCOREINFO, if there is one, names the same release.

mod confirm;
mod search;
mod vmcoreinfo;

use std::ops::ControlFlow;

use osier_memory::{Hint, Machine, Paging, PhysAddr, VirtAddr};
use osier_osi::Premise;
use osier_profile::BuildId;

use confirm::{Candidate, Unknown};
use vmcoreinfo::Vmcoreinfo;

/// Where a Linux kernel lies in a machine, each part confirmed.
#[derive(Clone, Debug)]
pub struct Located {
    /// The paging mode of the kernel.
    pub mode: Paging,
    /// The root of a page table that maps the whole kernel half, physical.
    pub root: PhysAddr,
    /// The running kernel's address of `_text` (KASLR included).
    pub text: VirtAddr,
    /// Its physical address.
    pub text_pa: PhysAddr,
    /// One past the last byte of the mapped kernel image, as far as it is known without symbols.
    pub end: VirtAddr,
    /// The build id of the kernel's notes or VMCOREINFO; `None` when it has none.
    pub build_id: Option<BuildId>,
    /// The banner, `Linux version …`, without its newline.
    pub banner: Vec<u8>,
    /// The running kernel's address of the banner.
    pub banner_at: VirtAddr,
    /// The VMCOREINFO text, when one was found and belongs to this kernel.
    pub vmcoreinfo: Option<Vec<u8>>,
    /// How each part was decided.
    pub premises: Vec<Premise>,
}

/// A kernel that was met before: what to look for in a dump without registers. Addresses are
/// link-time.
#[derive(Clone, Debug)]
pub struct Known {
    /// The first bytes at `_text`; empty when they are not known.
    pub text_head: Vec<u8>,
    /// `_text`.
    pub text: u64,
    /// `linux_banner`.
    pub linux_banner: u64,
    /// The banner, without its newline.
    pub banner: Vec<u8>,
    /// `init_top_pgt` or `swapper_pg_dir`.
    pub root: u64,
    /// Bytes of a pointer.
    pub pointer_bytes: u8,
    /// The build id.
    pub build_id: Option<BuildId>,
}

/// Why no kernel was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    /// Nothing in the snapshot looks like a Linux kernel.
    #[error("no Linux kernel found: {tried}")]
    NotFound {
        /// What was tried, in words.
        tried: String,
    },
}

impl Located {
    /// The release that the banner names, such as `6.1.0-50-amd64`.
    pub fn release(&self) -> String {
        let words = self
            .banner
            .strip_prefix(b"Linux version ")
            .unwrap_or_default();
        let word = words.split(|&byte| byte == b' ').next().unwrap_or_default();
        word.iter().map(|&byte| char::from(byte)).collect()
    }

    /// The first bytes at `_text`, by which the kernel is known again.
    pub fn text_head(&self, machine: &Machine) -> Vec<u8> {
        const BYTES: usize = 64;
        let mut head = vec![0; BYTES];
        match machine.memory.read(self.text_pa, &mut head) {
            Ok(()) => head,
            Err(_) => Vec::new(),
        }
    }
}

/// Finds the kernel in `machine`. `known` are kernels met before; they only make it faster.
///
/// # Errors
///
/// [`LocateError`] says what was tried.
pub fn locate(machine: &Machine, known: &[Known]) -> Result<Located, LocateError> {
    let mut tried = Vec::new();
    let noted = machine.hints.iter().find_map(|hint| match hint {
        Hint::Vmcoreinfo(text) => Vmcoreinfo::parse(text),
        _ => None,
    });
    for hint in &machine.hints {
        if let Hint::LastRoot(root) = hint {
            let candidates = confirm::any_mode(*root, "the table root of the last time");
            if let Some(found) = first_met(machine, &candidates, known, noted.as_ref()) {
                return Ok(found);
            }
        }
    }
    let mut candidates = confirm::from_registers(machine);
    for hint in &machine.hints {
        if let Hint::TableRoot(root) = hint {
            candidates.extend(confirm::any_mode(
                *root,
                "the table root that the headers name",
            ));
        }
    }
    if let Some(info) = &noted {
        candidates.extend(info.candidates("the VMCOREINFO note"));
    }
    tried.push(format!(
        "{} table roots from registers and headers",
        candidates.len()
    ));
    if let Some(found) = first(machine, &candidates, known, noted.as_ref()) {
        return Ok(found);
    }
    let candidates = search::known_kernels(machine, known);
    tried.push(format!(
        "{} places of {} kernels met before",
        candidates.len(),
        known.len()
    ));
    if let Some(found) = first_met(machine, &candidates, known, noted.as_ref()) {
        return Ok(found);
    }
    // An i386 kernel says nothing of its own place; its VMCOREINFO does, and goes with a CR3.
    let mut found = None;
    let mut try_info = |info: &Vmcoreinfo| {
        let mut candidates = info.candidates("a VMCOREINFO page in memory");
        candidates.extend(confirm::from_registers(machine));
        found = first(machine, &candidates, known, Some(info));
        match found {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    };
    let sweep = match noted.as_ref().map(&mut try_info) {
        Some(ControlFlow::Break(())) => search::Sweep::default(),
        _ => search::sweep(machine, &mut try_info),
    };
    if let Some(found) = found {
        return Ok(found);
    }
    tried.push(format!(
        "a pass over memory ({} VMCOREINFO pages, {} kernel page tables)",
        sweep.vmcoreinfo,
        sweep.roots.len()
    ));
    if let Some(found) = first(machine, &sweep.roots, known, None) {
        // The kernel's own table lies in its image; any other is a process's.
        let image = found.text_pa.0..found.text_pa.plus(found.end.since(found.text)).0;
        let own = |root: &&Candidate| root.mode == found.mode && image.contains(&root.root.0);
        let own: Vec<Candidate> = sweep.roots.iter().filter(own).cloned().collect();
        return Ok(first(machine, &own, known, None).unwrap_or(found));
    }
    Err(LocateError::NotFound {
        tried: tried.join("; "),
    })
}

/// The VMCOREINFO text of a kernel that was found, looked for in all of memory: finding the kernel
/// seldom needs it, and who writes an ELF core for other tools does, for they do.
pub fn find_vmcoreinfo(machine: &Machine, kernel: &Located) -> Option<Vec<u8>> {
    let mut found = None;
    let _ = search::sweep(machine, &mut |info: &Vmcoreinfo| {
        // Memory may hold what an earlier kernel left; this one runs where the text says.
        if info.stext() == Some(kernel.text.0) {
            found = Some(info.text.clone());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    found
}

/// The first candidate that maps a kernel met before, at the cost of a few reads each.
fn first_met(
    machine: &Machine,
    candidates: &[Candidate],
    known: &[Known],
    info: Option<&Vmcoreinfo>,
) -> Option<Located> {
    let confirm = |c| confirm::confirm(machine, c, known, info, Unknown::Refused);
    candidates.iter().find_map(confirm)
}

/// The first candidate that maps a kernel, met before or not.
fn first(
    machine: &Machine,
    candidates: &[Candidate],
    known: &[Known],
    info: Option<&Vmcoreinfo>,
) -> Option<Located> {
    let confirm = |c| confirm::confirm(machine, c, known, info, Unknown::Searched);
    first_met(machine, candidates, known, info).or_else(|| candidates.iter().find_map(confirm))
}
