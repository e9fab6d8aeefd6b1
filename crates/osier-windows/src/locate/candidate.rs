//! Table roots that may be a Windows kernel's, and places that point into it.

use std::ops::ControlFlow;

use osier_memory::{
    AddressSpace, CpuState, Hint, Machine, PAGE_BYTES, Paging, PhysAddr, VirtAddr, ZERO_PAGE,
    encryption_bits,
};

use crate::windows_policy;

/// A table root to be confirmed.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) mode: Paging,
    pub(super) root: PhysAddr,
    /// Where it comes from, in words.
    pub(super) by: String,
    /// Somebody vouches for it: the whole kernel half may be searched.
    pub(super) trusted: bool,
    /// The kernel's entry point, as the low stub names it.
    pub(super) entry: Option<VirtAddr>,
}

/// An address that may lie in the kernel's image.
pub(super) struct Clue {
    pub(super) at: VirtAddr,
    pub(super) by: String,
}

impl Clue {
    fn new(at: u64, by: impl Into<String>) -> Self {
        Self {
            at: VirtAddr(at),
            by: by.into(),
        }
    }
}

/// Where the loader puts a 64-bit kernel, whatever KASLR does.
const IMAGES64: std::ops::Range<u64> = 0xffff_f800_0000_0000..0xffff_f900_0000_0000;
/// Low stubs lie below 1 MiB.
const LOW: u64 = 1 << 20;
/// Tables that map themselves: every process has one, and any of them will do.
const MAX_SELF_MAPPING: usize = 64;
const PRESENT: u64 = 1;
const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// The roots that headers, registers and the low stub give.
pub(super) fn near(machine: &Machine) -> Vec<Candidate> {
    let mut all = Vec::new();
    let virtual_blocks = machine.hints.contains(&Hint::VirtualBlocks);
    for hint in &machine.hints {
        match hint {
            Hint::LastRoot(root, _) => {
                all.extend(any_mode(*root, "the table root of the last time"));
            }
            Hint::TableRoot(root) => {
                all.extend(any_mode(*root, "the table root that the headers name"));
            }
            Hint::CrashDump(dump) if virtual_blocks => all.push(Candidate {
                mode: match dump.machine_type {
                    0x14c => Paging::Flat,
                    _ => Paging::Virtual,
                },
                root: PhysAddr(0),
                by: "the dump holds virtual memory".into(),
                trusted: true,
                entry: None,
            }),
            Hint::CrashDump(dump) => {
                let modes: &[Paging] = match (dump.machine_type, dump.pae) {
                    (0x14c, Some(true)) => &[Paging::Pae],
                    (0x14c, Some(false)) => &[Paging::Legacy],
                    (0x14c, None) => &[Paging::Pae, Paging::Legacy],
                    _ => &[Paging::Long4, Paging::Long5],
                };
                let by = "DirectoryTableBase of the crash dump's header";
                let of = |mode| candidate(mode, dump.table_root.0, by, true);
                all.extend(modes.iter().copied().map(of));
            }
            _ => {}
        }
    }
    if !virtual_blocks {
        all.extend(machine.cpus.iter().flat_map(from_registers));
        all.extend(low_stubs(machine));
    }
    all
}

fn candidate(mode: Paging, cr3: u64, by: &str, trusted: bool) -> Candidate {
    Candidate {
        mode,
        root: mode.root_of_cr3(cr3),
        by: by.into(),
        trusted,
        entry: None,
    }
}

/// A root whose mode is not known.
pub(super) fn any_mode(root: PhysAddr, by: &str) -> [Candidate; 4] {
    let modes = [Paging::Long4, Paging::Long5, Paging::Pae, Paging::Legacy];
    modes.map(|mode| candidate(mode, root.0, by, true))
}

fn from_registers(cpu: &CpuState) -> Vec<Candidate> {
    let mut modes = cpu.modes();
    modes.retain(|mode| !matches!(mode, Paging::Flat | Paging::Virtual));
    let by = format!("CR3 {:#x} of CPU {}", cpu.cr3, cpu.index);
    let of = |mode| candidate(mode, cpu.cr3, &by, false);
    modes.into_iter().map(of).collect()
}

/// The roots that low stubs hold: `PROCESSOR_START_BLOCK`, by which x64 Windows starts its other
/// processors and wakes from sleep. The first instruction jumps over the block's head; CR3 and the
/// kernel's entry stand at fixed places.
///
/// Source: the block's layout as Alex Ionescu published it ("Getting Physical with USB Type-C",
/// `Recon` 2017) and Ulf Frisk's search for it in `MemProcFS`.
fn low_stubs(machine: &Machine) -> Vec<Candidate> {
    const ENTRY: u64 = 0x70;
    const CR3: u64 = 0xa0;
    let mut found: Vec<Candidate> = Vec::new();
    let mut page = PAGE_BYTES;
    while page < LOW {
        let at = PhysAddr(page);
        page = page.saturating_add(PAGE_BYTES);
        let word = |by: u64| machine.memory.read_uint(at.plus(by), 8).ok();
        if word(0).is_none_or(|head| head & 0xffff_ffff_ffff_00ff != 0x0001_0006_00e9) {
            continue;
        }
        let (Some(entry), Some(cr3)) = (word(ENTRY), word(CR3)) else {
            continue;
        };
        if !IMAGES64.contains(&entry) || cr3 & 0xffff_ff00_0000_0fff != 0 || cr3 == 0 {
            continue;
        }
        for mode in [Paging::Long4, Paging::Long5] {
            let by = format!("the low stub at {at}");
            found.push(Candidate {
                entry: Some(VirtAddr(entry)),
                ..candidate(mode, cr3, &by, false)
            });
        }
    }
    found
}

impl Candidate {
    /// The address space to confirm: bits of the root that no RAM has say that it is encrypted.
    pub(super) fn space(&self, machine: &Machine) -> AddressSpace {
        let memory = machine.memory.clone();
        let root = PhysAddr(self.root.0 & !encryption_bits(&*memory));
        let encryption = self.mode.encryption_of_table(&*memory, root);
        AddressSpace::new(memory, self.mode, root, windows_policy).with_encryption(encryption)
    }

    /// Places that point into the kernel, if these are the kernel's tables.
    pub(super) fn clues(&self, machine: &Machine, space: &AddressSpace) -> Vec<Clue> {
        let mut clues = Vec::new();
        let wide = self.mode.pointer_bytes() == 8;
        if let Some(entry) = self.entry {
            clues.push(Clue::new(entry.0, "the entry that the low stub names"));
        }
        for hint in &machine.hints {
            if let Hint::CrashDump(dump) = hint {
                let at = self.mode.canonicalise(dump.active_processes);
                clues.push(Clue::new(at.0, "the crash dump's PsActiveProcessHead"));
            }
        }
        for cpu in &machine.cpus {
            let index = cpu.index;
            if wide {
                if let Some(lstar) = cpu.lstar.filter(|at| IMAGES64.contains(at)) {
                    clues.push(Clue::new(lstar, format!("LSTAR of CPU {index}")));
                }
                if let Some(handler) = handler64(cpu, space) {
                    clues.push(Clue::new(handler, format!("the IDT of CPU {index}")));
                }
            } else if kpcr32(cpu, space).is_some()
                && let Some(handler) = handler32(cpu, space)
            {
                clues.push(Clue::new(handler, format!("the IDT of CPU {index}")));
            }
        }
        clues
    }
}

/// The handler of the divide error (vector 0), which no driver takes over.
fn handler64(cpu: &CpuState, space: &AddressSpace) -> Option<u64> {
    let gate = VirtAddr(cpu.segments.idt.base?);
    let low = space.read_uint(gate, 8).ok()?;
    let high = space.read_uint(gate.plus(8), 4).ok()?;
    let at = low & 0xffff | low >> 32 & 0xffff_0000 | high << 32;
    IMAGES64.contains(&at).then_some(at)
}

fn handler32(cpu: &CpuState, space: &AddressSpace) -> Option<u64> {
    let gate = space.read_uint(VirtAddr(cpu.segments.idt.base?), 8).ok()?;
    let at = gate & 0xffff | gate >> 32 & 0xffff_0000;
    (at >= 0x8000_0000).then_some(at)
}

/// The `_KPCR` of a 32-bit processor: what GDT selector 0x30 describes, if it points to itself.
pub(crate) fn kpcr32(cpu: &CpuState, space: &AddressSpace) -> Option<VirtAddr> {
    const SELECTOR: u64 = 0x30;
    const SELF: u64 = 0x1c;
    let descriptor = VirtAddr(cpu.segments.gdt.base?).plus(SELECTOR);
    let raw = space.read_uint(descriptor, 8).ok()?;
    let base = raw >> 16 & 0xff_ffff | raw >> 32 & 0xff00_0000;
    let own = space.read_uint(VirtAddr(base).plus(SELF), 4).ok()?;
    (base != 0 && own == base).then_some(VirtAddr(base))
}

/// Every table root of the machine that maps itself, as Windows makes them: at 0xc0300000 or
/// 0xc0600000 of 32 bits, at entry 0x1ed of 64 bits, and at any entry of the kernel half since
/// Windows 10 of August 2016. The first [`MAX_SELF_MAPPING`] are kept.
pub(super) fn self_mapping(machine: &Machine) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    let frame = FRAME & !encryption_bits(&*machine.memory);
    for run in machine.memory.runs() {
        let flow = machine.memory.sweep(*run, 1 << 20, &mut |at, bytes| {
            if at.in_page() != 0 {
                return ControlFlow::Continue(());
            }
            for (nth, page) in bytes.chunks_exact(PAGE_BYTES as usize).enumerate() {
                if page == ZERO_PAGE {
                    continue;
                }
                let at = at.plus((nth as u64).saturating_mul(PAGE_BYTES));
                roots_in(machine, frame, at, page, &mut found);
                if found.len() >= MAX_SELF_MAPPING {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        if flow.is_break() {
            break;
        }
    }
    found
}

/// Adds the roots that `page` at `at` holds; `frame` are the bits of an entry that tell an address.
fn roots_in(machine: &Machine, frame: u64, at: PhysAddr, page: &[u8], found: &mut Vec<Candidate>) {
    const SELF32: usize = 0xc00;
    let by = || format!("the page table at {at} maps itself");
    if page
        .get(SELF32..)
        .and_then(word32)
        .is_some_and(|entry| entry & PRESENT != 0 && entry & 0xffff_f000 == at.0)
    {
        found.push(candidate(Paging::Legacy, at.0, &by(), false));
    }
    let (words, _) = page.as_chunks::<8>();
    // The kernel half of a 64-bit root. Nearly no page is one: all are looked at without a branch.
    let own = at.0 | PRESENT;
    let upper = words.get(256..).unwrap_or_default();
    let maps_itself = upper.iter().fold(false, |any, raw| {
        any | (u64::from_le_bytes(*raw) & (frame | PRESENT) == own)
    });
    if maps_itself {
        found.push(candidate(Paging::Long4, at.0, &by(), false));
        found.push(candidate(Paging::Long5, at.0, &by(), false));
    }
    // PAE: four directory pointers, whose last directory begins with the same four frames from
    // entry 0 on, its own among them.
    for (nth, raw) in words.as_chunks::<4>().0.iter().enumerate() {
        const RESERVED: u64 = 0xffff_fff0_0000_0fff;
        let pointers = raw.map(u64::from_le_bytes);
        let odd = pointers.iter().fold(0, |odd, at| odd | (at ^ PRESENT));
        if odd & RESERVED != 0 {
            continue;
        }
        let last = PhysAddr(pointers[3] & FRAME);
        let same = (0..4_u64).zip(pointers).all(|(index, pointer)| {
            let entry = machine
                .memory
                .read_uint(last.plus(index.wrapping_mul(8)), 8);
            entry.is_ok_and(|entry| entry & PRESENT != 0 && entry & FRAME == pointer & FRAME)
        });
        if same {
            let root = at.plus((nth as u64).saturating_mul(32));
            let by = format!("the PAE table at {root} maps itself");
            found.push(candidate(Paging::Pae, root.0, &by, false));
        }
    }
}

fn word32(raw: &[u8]) -> Option<u64> {
    let bytes = raw.first_chunk()?;
    Some(u64::from(u32::from_le_bytes(*bytes)))
}
