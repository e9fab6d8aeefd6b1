//! Snapshots made for the tests: small streams, ELF cores, and files to put them in.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a part of each test program, which uses a part of it and fails by panicking"
)]

pub mod battle;
pub mod crash;
pub mod wrapped;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use osier_memory::PhysAddr;
use osier_snapshot::{OpenError, OpenOptions, Snapshot, open};

pub const PAGE: usize = 4096;

/// A new folder for one test.
pub fn folder(name: &str) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("snapshot-{}-{number}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Opens `bytes` as a file of its own.
pub fn try_open(bytes: &[u8], options: &OpenOptions) -> Result<Snapshot, OpenError> {
    let folder = folder("open");
    let file = folder.join("file");
    std::fs::write(&file, bytes).unwrap();
    let opened = open(&file, options);
    std::fs::remove_dir_all(&folder).unwrap();
    opened
}

/// Opens `bytes`, which must be a good snapshot.
pub fn opened(bytes: &[u8]) -> Snapshot {
    try_open(bytes, &OpenOptions::default()).unwrap()
}

/// The first byte of the page at `pa`, which must be filled with it.
pub fn filler(snapshot: &Snapshot, pa: u64) -> u8 {
    let mut page = [0; PAGE];
    snapshot
        .machine
        .memory
        .read(PhysAddr(pa), &mut page)
        .unwrap();
    assert!(page.iter().all(|byte| *byte == page[0]), "page {pa:#x}");
    page[0]
}

/// How a stream is written.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Made {
    pub machine: Option<&'static str>,
    pub footers: bool,
    pub wide: bool,
    pub subsection: bool,
    pub devices: bool,
    pub vmdesc: bool,
    /// What the clock's CMOS says of RAM: bytes below 4 GiB, and above.
    pub clock: Option<(u64, u64)>,
    pub trailing: Vec<u8>,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            machine: Some("pc-i440fx-2.8"),
            footers: true,
            wide: true,
            subsection: false,
            devices: false,
            vmdesc: true,
            clock: None,
            trailing: Vec::new(),
        }
    }
}

pub fn be64(out: &mut Vec<u8>, value: u64) {
    out.extend(value.to_be_bytes());
}

pub fn be32(out: &mut Vec<u8>, value: u32) {
    out.extend(value.to_be_bytes());
}

pub fn name(out: &mut Vec<u8>, name: &str) {
    out.push(name.len() as u8);
    out.extend(name.as_bytes());
}

/// Pages of `pc.ram` in [`Made`] streams.
pub const RAM_PAGES: u64 = 8;

/// The header of a START (1) or FULL (4) section.
pub fn header(out: &mut Vec<u8>, kind: u8, id: u32, what: &str, instance: u32, version: u32) {
    out.push(kind);
    be32(out, id);
    name(out, what);
    be32(out, instance);
    be32(out, version);
}

impl Made {
    pub fn footer(&self, out: &mut Vec<u8>, id: u32) {
        if self.footers {
            out.push(0x7e);
            be32(out, id);
        }
    }

    /// The magic, the configuration and the block list.
    pub fn head(&self, blocks: &[(&str, u64)]) -> Vec<u8> {
        let mut out = b"QEVM\0\0\0\x03".to_vec();
        if let Some(machine) = self.machine {
            out.push(7);
            be32(&mut out, machine.len() as u32);
            out.extend(machine.as_bytes());
        }
        header(&mut out, 1, 4, "ram", 0, 4);
        be64(
            &mut out,
            blocks.iter().map(|block| block.1).sum::<u64>() | 4,
        );
        for (block, bytes) in blocks {
            name(&mut out, block);
            be64(&mut out, *bytes);
        }
        be64(&mut out, 0x10);
        self.footer(&mut out, 4);
        out
    }

    /// Opens a PART (2) or END (3) of `ram`, lets `fill` write records, and ends it.
    pub fn part(&self, out: &mut Vec<u8>, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) {
        out.push(kind);
        be32(out, 4);
        fill(out);
        be64(out, 0x10);
        self.footer(out, 4);
    }

    /// The sections after RAM and what follows them.
    pub fn tail(&self, out: &mut Vec<u8>) {
        if self.devices {
            header(out, 4, 0, "timer", 0, 2);
            // Bytes that look like this section's footer, but nothing that can follow one does; and
            // such as look like the stream's end too, but there was no processor yet.
            out.extend([0x7e, 0, 0, 0, 0, 0x55, 1, 0x7e, 0, 0, 0, 0, 0, 3]);
            self.footer(out, 0);
        }
        for instance in 0..2 {
            let id = 6 + instance;
            header(out, 4, id, "cpu", instance, 12);
            out.extend(self.cpu(instance));
            self.footer(out, id);
        }
        if let Some((below, above)) = self.clock {
            let mut cmos = [0; 128];
            let low = (below - (16 << 20)) >> 16;
            cmos[0x34..0x36].copy_from_slice(&(low as u16).to_le_bytes());
            cmos[0x5b..0x5e].copy_from_slice(&((above >> 16) as u32).to_le_bytes()[..3]);
            header(out, 4, 9, "mc146818rtc", 0, 3);
            out.extend(cmos);
            out.extend([0; 40]);
            self.footer(out, 9);
        }
        out.push(0);
        if self.vmdesc {
            let text = self.description();
            out.push(6);
            be32(out, text.len() as u32);
            out.extend(text.as_bytes());
        }
        out.extend(&self.trailing);
    }

    /// The payload of version 12: every field holds its own offset, apart from those with meaning.
    pub fn cpu(&self, instance: u32) -> Vec<u8> {
        let mut out = vec![0; if self.wide { 0x719 } else { 0x521 }];
        let word = if self.wide { 8 } else { 4 };
        let mut put = |at: usize, value: u64, bytes: usize| {
            out[at..at + bytes].copy_from_slice(&value.to_be_bytes()[8 - bytes..]);
        };
        let registers = if self.wide { 16 } else { 8 };
        for register in 0..registers {
            put(register * word, 0x100 + register as u64, word);
        }
        // eip, hflags, FS base, GS base, CR0, CR2, CR3, CR4, A20 mask
        let at = if self.wide {
            [0x80, 0x90, 0x140, 0x154, 0x1c8, 0x1d0, 0x1d8, 0x1e0, 0x228]
        } else {
            [0x20, 0x28, 0xc8, 0xd8, 0x130, 0x134, 0x138, 0x13c, 0x160]
        };
        put(at[0], 0xc100_0000 + u64::from(instance), word);
        put(at[1], if self.wide { 0x4003 } else { 0x3 }, 4);
        put(at[2], 0xf5, word);
        put(at[3], 0x65, word);
        put(at[4], 0x8005_0033, word);
        put(at[5], 0x2222, word);
        put(at[6], 0x3000, word);
        put(at[7], 0x6f0, word);
        put(at[8], 0xffff_ffff, 4);
        if self.wide {
            put(0x330, 0xd01, 8);
            put(0x340, 0xffff_ffff_81a0_0080, 8);
            put(0x358, 0x1234, 8);
        }
        if self.subsection {
            out.push(5);
            name(&mut out, "cpu/xss");
            be32(&mut out, 1);
            be64(&mut out, 0);
        }
        out
    }

    /// The description: the fields up to the last that is read.
    pub fn description(&self) -> String {
        let word = if self.wide { 8 } else { 4 };
        let registers = if self.wide { 16 } else { 8 };
        let segment = 12 + word;
        let mut fields = vec![format!(
            r#"{{"name":"env.regs","array_len":{registers},"type":"uint","size":{word}}}"#
        )];
        let mut field = |name: &str, elements: usize, size: usize| {
            // Some arrays cannot be collapsed: each element then stands alone with its index.
            for index in 0..elements {
                let index = if elements > 1 {
                    format!(r#""index":{index},"#)
                } else {
                    String::new()
                };
                fields.push(format!(
                    r#"{{"name":"{name}",{index}"type":"x","size":{size}}}"#
                ));
            }
        };
        field("env.eip", 1, word);
        field("env.eflags", 1, word);
        field("env.hflags", 1, 4);
        field("fpu", 4, 2);
        field("env.fpregs", 8, 10);
        field("env.segs", 6, segment);
        for table in ["env.ldt", "env.tr", "env.gdt", "env.idt"] {
            field(table, 1, segment);
        }
        field("env.sysenter_cs", 1, 4);
        field("env.sysenter_esp", 1, word);
        field("env.sysenter_eip", 1, word);
        for register in ["env.cr[0]", "env.cr[2]", "env.cr[3]", "env.cr[4]"] {
            field(register, 1, word);
        }
        field("env.dr", 8, word);
        field("env.a20_mask", 1, 4);
        field("env.mxcsr", 1, 4);
        field("env.xmm_regs[0]", registers, 16);
        if self.wide {
            for register in ["efer", "star", "lstar", "cstar", "fmask", "kernelgsbase"] {
                field(&format!("env.{register}"), 1, 8);
            }
        }
        let (all, read) = if self.wide {
            (0x719, 0x360)
        } else {
            (0x521, 0x1e8)
        };
        field("what is not read", 1, all - read);
        let fields = fields.join(",");
        let cpus: Vec<String> = (0..2)
            .map(|cpu| {
                format!(r#"{{"name":"cpu","instance_id":{cpu},"version":12,"fields":[{fields}]}}"#)
            })
            .collect();
        format!(r#"{{"page_size":4096,"devices":[{}]}}"#, cpus.join(","))
    }

    /// A whole stream: page `n` of `pc.ram` is filled with `n`, page 0 is sent as zeros, page 5 as
    /// fill, page 3 twice, and CONTINUE goes on over the border of a section.
    pub fn stream(&self) -> Vec<u8> {
        let ram = RAM_PAGES * PAGE as u64;
        let mut out = self.head(&[("pc.ram", ram), ("pc.bios", PAGE as u64)]);
        self.part(&mut out, 2, |out| {
            be64(out, 0x02);
            name(out, "pc.ram");
            out.push(0);
            for page in 1..4 {
                raw(out, page, if page == 3 { 0xee } else { page as u8 });
            }
        });
        self.part(&mut out, 2, |out| {
            for page in 4..RAM_PAGES {
                if page == 5 {
                    be64(out, (5 * PAGE as u64) | 0x22);
                    out.push(5);
                } else {
                    raw(out, page, page as u8);
                }
            }
            be64(out, 0x08);
            name(out, "pc.bios");
            out.extend([0xb1; PAGE]);
        });
        self.part(&mut out, 3, |out| {
            be64(out, (3 * PAGE as u64) | 0x08);
            name(out, "pc.ram");
            out.extend([3; PAGE]);
        });
        self.tail(&mut out);
        out
    }
}

/// A raw page that goes on in the same block.
pub fn raw(out: &mut Vec<u8>, page: u64, fill: u8) {
    be64(out, (page * PAGE as u64) | 0x28);
    out.extend([fill; PAGE]);
}

/// One program header of a made core.
#[derive(Clone, Copy)]
pub struct Load {
    pub paddr: u64,
    pub filesz: u64,
    pub memsz: u64,
    pub fill: u8,
}

/// The state of a processor as QEMU's note holds it, of 432 or 440 bytes.
pub fn qemu_note(bytes: usize, cpu: u8) -> Vec<u8> {
    let mut note = Vec::new();
    note.extend(1_u32.to_le_bytes());
    note.extend((bytes as u32).to_le_bytes());
    for register in 0..18_u64 {
        note.extend((0x100 + register + u64::from(cpu)).to_le_bytes());
    }
    for segment in 0..10_u64 {
        note.extend((8 * segment as u32 + 3).to_le_bytes());
        note.extend(0xffff_u32.to_le_bytes());
        note.extend(0x00cf_f300_u32.to_le_bytes());
        note.extend(0_u32.to_le_bytes());
        note.extend((0x1000 * segment).to_le_bytes());
    }
    for register in [0x8005_0033_u64, 0, 0x2222, 0x3000, 0x6f0] {
        note.extend(register.to_le_bytes());
    }
    if bytes > 432 {
        note.extend(0x9999_u64.to_le_bytes());
    }
    note
}

pub fn note(out: &mut Vec<u8>, name: &str, kind: u32, data: &[u8]) {
    out.extend((name.len() as u32 + 1).to_le_bytes());
    out.extend((data.len() as u32).to_le_bytes());
    out.extend(kind.to_le_bytes());
    out.extend(name.as_bytes());
    out.push(0);
    while !out.len().is_multiple_of(4) {
        out.push(0);
    }
    out.extend(data);
    while !out.len().is_multiple_of(4) {
        out.push(0);
    }
}

/// An ELF core with two processors and VMCOREINFO.
pub fn elf(wide: bool, note_bytes: usize, loads: &[Load]) -> Vec<u8> {
    let mut notes = Vec::new();
    note(&mut notes, "CORE", 1, &[0; 144]);
    note(&mut notes, "CORE", 1, &[0; 144]);
    note(&mut notes, "QEMU", 0, &qemu_note(note_bytes, 0));
    note(&mut notes, "QEMU", 0, &qemu_note(note_bytes, 1));
    note(&mut notes, "VMCOREINFO", 0, b"OSRELEASE=6.1\n");
    let (head, entry) = if wide { (64, 56) } else { (52, 32) };
    let notes_at = head + entry * (loads.len() + 1);
    let mut out = b"\x7fELF".to_vec();
    out.extend([if wide { 2 } else { 1 }, 1, 1]);
    out.resize(16, 0);
    out.extend(4_u16.to_le_bytes());
    out.extend(if wide { 62_u16 } else { 3 }.to_le_bytes());
    out.extend(1_u32.to_le_bytes());
    let word = |out: &mut Vec<u8>, value: u64| {
        out.extend(&value.to_le_bytes()[..if wide { 8 } else { 4 }]);
    };
    word(&mut out, 0);
    word(&mut out, head as u64);
    word(&mut out, 0);
    out.extend(0_u32.to_le_bytes());
    for half in [head as u16, entry as u16, loads.len() as u16 + 1, 0, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    let mut program = |kind: u32, offset: u64, paddr: u64, filesz: u64, memsz: u64| {
        out.extend(kind.to_le_bytes());
        if wide {
            out.extend(0_u32.to_le_bytes());
        }
        for value in [
            offset,
            paddr.wrapping_add(0x8000_0000),
            paddr,
            filesz,
            memsz,
        ] {
            word(&mut out, value);
        }
        if wide {
            word(&mut out, 0);
        } else {
            out.extend([0; 8]);
        }
    };
    program(
        4,
        notes_at as u64,
        0,
        notes.len() as u64,
        notes.len() as u64,
    );
    let mut at = (notes_at + notes.len()) as u64;
    for load in loads {
        program(1, at, load.paddr, load.filesz, load.memsz);
        at += load.filesz;
    }
    assert_eq!(out.len(), notes_at);
    out.extend(notes);
    for load in loads {
        out.extend(vec![load.fill; load.filesz as usize]);
    }
    out
}

/// Every byte of `ranges` must be what reads and sweeps of the snapshot give.
pub fn same_bytes(snapshot: &Snapshot, ranges: &[(u64, Vec<u8>)]) {
    let memory = &snapshot.machine.memory;
    for (start, bytes) in ranges {
        let mut read = vec![0; bytes.len()];
        memory.read(PhysAddr(*start), &mut read).unwrap();
        let differs = read
            .iter()
            .zip(bytes)
            .position(|(ours, theirs)| ours != theirs);
        assert_eq!(differs, None, "range at {start:#x}");
    }
    let mut swept = 0_u64;
    for run in memory.runs() {
        let mut next = run.start;
        let end = memory.sweep(*run, 3 * PAGE, &mut |pa, window| {
            assert_eq!(pa, next);
            let mut read = vec![0; window.len()];
            memory.read(pa, &mut read).unwrap();
            assert!(read == window, "window at {pa}");
            next = pa.plus(window.len() as u64);
            std::ops::ControlFlow::Continue(())
        });
        assert!(end.is_continue());
        assert_eq!(next, run.end());
        swept += run.len;
    }
    let held: u64 = ranges.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    assert_eq!(swept, held);
}
