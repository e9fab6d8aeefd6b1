//! The notes of a process's core, as the kernel's `elf_core_dump` writes them.
//!
//! Source: `include/linux/elfcore.h` (`elf_prstatus`, `elf_prpsinfo`), `fs/binfmt_elf.c` (`fill_files_note`),
//! `include/uapi/linux/elf.h` (numbers).

use osier_osi::{FXSAVE_BYTES, UserRegisters};
use osier_snapshot::UserRegs;

use super::threads::{Threaded, Who};

/// Numbers of notes.
const NT_PRSTATUS: u32 = 1;
const NT_FPREGSET: u32 = 2;
const NT_PRPSINFO: u32 = 3;
const NT_AUXV: u32 = 6;
/// `FXSAVE` of a 32-bit program.
const NT_PRXFPREG: u32 = 0x46e6_2b7f;
const NT_FILE: u32 = 0x4649_4c45;

/// A mapping of a file, for `NT_FILE`.
pub(super) struct MappedFile {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Offset in the file, in bytes.
    pub(super) offset: u64,
    pub(super) path: Vec<u8>,
}

/// Bytes of a structure of the program's width.
pub(super) struct Bytes {
    pub(super) bytes: Vec<u8>,
    pub(super) wide: bool,
}

impl Bytes {
    pub(super) fn new(wide: bool) -> Self {
        let bytes = Vec::new();
        Self { bytes, wide }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    /// A word of the program's width; of a 32-bit one the low half.
    pub(super) fn word(&mut self, value: u64) {
        let all = value.to_le_bytes();
        let width = if self.wide { 8 } else { 4 };
        self.put(all.get(..width).unwrap_or_default());
    }

    pub(super) fn zeros(&mut self, count: usize) {
        self.bytes.resize(self.bytes.len().saturating_add(count), 0);
    }

    /// Text in a field of so many bytes, which ends with a NUL.
    fn text(&mut self, text: &[u8], room: usize) {
        let kept = text.get(..room.saturating_sub(1)).unwrap_or(text);
        self.put(kept);
        self.zeros(room.saturating_sub(kept.len()));
    }

    fn align(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }

    fn note(&mut self, name: &[u8], kind: u32, body: &[u8]) {
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        self.u32(length(name.len().saturating_add(1)));
        self.u32(length(body.len()));
        self.u32(kind);
        self.put(name);
        self.bytes.push(0);
        self.align();
        self.put(body);
        self.align();
    }
}

/// All notes of a process of this width.
pub(super) fn notes(
    wide: bool,
    who: &Who,
    threads: &[Threaded],
    auxiliary: Option<&[u8]>,
    files: &[MappedFile],
) -> Vec<u8> {
    let mut notes = Bytes::new(wide);
    // A debugger takes what stands behind a thread's status for that thread's, and the first for the current one.
    for (index, thread) in threads.iter().enumerate() {
        notes.note(b"CORE", NT_PRSTATUS, &status(wide, who, thread));
        if index == 0 {
            of_process(&mut notes, who, auxiliary, files);
        }
        if let Some(image) = &thread.floating_point {
            floating_point(&mut notes, image);
        }
    }
    if threads.is_empty() {
        of_process(&mut notes, who, auxiliary, files);
    }
    notes.bytes
}

/// The notes that a process has once.
fn of_process(notes: &mut Bytes, who: &Who, auxiliary: Option<&[u8]>, files: &[MappedFile]) {
    let wide = notes.wide;
    notes.note(b"CORE", NT_PRPSINFO, &process(wide, who));
    if let Some(vector) = auxiliary {
        notes.note(b"CORE", NT_AUXV, vector);
    }
    if !files.is_empty() {
        notes.note(b"CORE", NT_FILE, &mapped(wide, files));
    }
}

/// `struct elf_prstatus`.
fn status(wide: bool, who: &Who, thread: &Threaded) -> Vec<u8> {
    let mut status = Bytes::new(wide);
    // `pr_info` and `pr_cursig`: no signal ended it.
    status.zeros(16);
    status.word(0); // pr_sigpend
    status.word(0); // pr_sighold
    status.u32(thread.row.tid.as_ref().copied().unwrap_or(0));
    status.u32(who.ppid);
    status.u32(who.pgid);
    status.u32(who.session);
    for _ in 0..8 {
        status.word(0); // times
    }
    let registers = user_regs(&thread.registers);
    status.put(&if wide {
        registers.to_bytes_64()
    } else {
        registers.to_bytes_32()
    });
    status.u32(u32::from(thread.floating_point.is_some()));
    if wide {
        status.u32(0);
    }
    status.bytes
}

/// The registers as the structure holds them; a base that is not known is 0.
fn user_regs(registers: &UserRegisters) -> UserRegs {
    let of = registers;
    UserRegs {
        general: of.general,
        orig_rax: of.orig_rax,
        rip: of.rip,
        rflags: of.rflags,
        selectors: [of.cs, of.ss, of.ds, of.es, of.fs, of.gs],
        fs_base: *of.fs_base.as_ref().unwrap_or(&0),
        gs_base: *of.gs_base.as_ref().unwrap_or(&0),
    }
}

/// `struct elf_prpsinfo`.
fn process(wide: bool, who: &Who) -> Vec<u8> {
    let mut info = Bytes::new(wide);
    let number = b"RSDTtXZPI".iter().position(|&letter| letter == who.state);
    let number = number.and_then(|number| u8::try_from(number).ok());
    let nice = i8::try_from(who.nice).unwrap_or(0);
    info.put(&[
        number.unwrap_or(0),
        who.state,
        u8::from(who.state == b'Z'),
        nice.cast_unsigned(),
    ]);
    if wide {
        info.zeros(4);
    }
    info.word(0); // pr_flag
    if wide {
        info.u32(who.uid);
        info.u32(who.gid);
    } else {
        info.u16(who.uid as u16);
        info.u16(who.gid as u16);
    }
    for id in [who.pid, who.ppid, who.pgid, who.session] {
        info.u32(id);
    }
    info.text(&who.name, 16);
    let mut arguments = who.arguments.clone();
    while arguments.last() == Some(&0) {
        arguments.pop();
    }
    for byte in arguments.iter_mut().filter(|byte| **byte == 0) {
        *byte = b' ';
    }
    info.text(&arguments, 80);
    info.bytes
}

/// `NT_FILE`: a count, the unit of offsets, three words for each mapping, and their paths.
fn mapped(wide: bool, files: &[MappedFile]) -> Vec<u8> {
    const UNIT: u64 = 4096;
    let mut note = Bytes::new(wide);
    note.word(files.len() as u64);
    note.word(UNIT);
    for file in files {
        note.word(file.start);
        note.word(file.end);
        note.word(file.offset / UNIT);
    }
    for file in files {
        note.put(&file.path);
        note.put(&[0]);
    }
    note.bytes
}

/// The floating-point registers. A 32-bit program's are those of `FXSAVE`, which debuggers know by a note of
/// their own.
fn floating_point(notes: &mut Bytes, image: &[u8; FXSAVE_BYTES]) {
    if notes.wide {
        notes.note(b"CORE", NT_FPREGSET, image);
    } else {
        notes.note(b"LINUX", NT_PRXFPREG, image);
    }
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "tests may overflow and fail"
)]
mod tests {
    use osier_memory::VirtAddr;
    use osier_osi::{Absent, RegistersFrom, TaskState, Thread};

    use super::*;

    fn thread() -> Threaded {
        Threaded {
            row: Thread {
                pid: Ok(7),
                tid: Ok(8),
                name: Ok(b"name".to_vec()),
                task: VirtAddr(0),
                state: Ok(TaskState('S')),
            },
            registers: UserRegisters {
                general: std::array::from_fn(|index| 0x1_0000_0100 + index as u64),
                rip: 0x1234,
                rflags: 0x246,
                orig_rax: 1,
                cs: 0x33,
                ss: 0x2b,
                ds: 0,
                es: 0,
                fs: 0,
                gs: 0x63,
                fs_base: Ok(0x77),
                gs_base: Err(Absent::not_applicable("none")),
                from: RegistersFrom::KernelStack,
                lost: &[],
            },
            floating_point: None,
        }
    }

    #[test]
    fn structures_are_as_long_as_the_kernels() {
        let who = Who::default();
        assert_eq!(status(true, &who, &thread()).len(), 336);
        assert_eq!(status(false, &who, &thread()).len(), 144);
        assert_eq!(process(true, &who).len(), 136);
        assert_eq!(process(false, &who).len(), 124);
    }

    #[test]
    fn registers_stand_where_debuggers_look() {
        let who = Who::default();
        let wide = status(true, &who, &thread());
        let word = |at: usize| u64::from_le_bytes(wide[at..at + 8].try_into().unwrap());
        // pr_pid, rip, rsp and fs_base.
        assert_eq!(u32::from_le_bytes(wide[32..36].try_into().unwrap()), 8);
        assert_eq!(
            (word(112 + 16 * 8), word(112 + 19 * 8)),
            (0x1234, 0x1_0000_0104)
        );
        assert_eq!((word(112 + 21 * 8), word(112)), (0x77, 0x1_0000_010f));
        let narrow = status(false, &who, &thread());
        let word = |at: usize| u32::from_le_bytes(narrow[at..at + 4].try_into().unwrap());
        // pr_pid, ebx, gs, eip and esp.
        assert_eq!((word(24), word(72), word(72 + 10 * 4)), (8, 0x103, 0x63));
        assert_eq!((word(72 + 12 * 4), word(72 + 15 * 4)), (0x1234, 0x104));
    }

    #[test]
    fn arguments_are_a_line() {
        let who = Who {
            arguments: b"prog\0two words\0".to_vec(),
            name: b"a-name-longer-than-fifteen".to_vec(),
            ..Who::default()
        };
        let info = process(true, &who);
        assert_eq!(&info[40..56], b"a-name-longer-t\0");
        assert_eq!(&info[56..71], b"prog two words\0");
    }
}
