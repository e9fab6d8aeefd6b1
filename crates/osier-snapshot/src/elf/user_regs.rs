//! A program's registers as cores of both kinds hold them, of machines and of processes.
//!
//! Source: `arch/x86/include/asm/user_64.h` and `user_32.h` (`struct user_regs_struct`), the registers of
//! `struct elf_prstatus`.

/// What `struct user_regs_struct` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRegs {
    /// RAX RCX RDX RBX RSP RBP RSI RDI R8…R15: the encoding order of x86.
    pub general: [u64; 16],
    /// `orig_ax`: the number of the system call, or all ones.
    pub orig_rax: u64,
    /// Instruction pointer.
    pub rip: u64,
    /// Flags register.
    pub rflags: u64,
    /// Selectors of CS, SS, DS, ES, FS and GS.
    pub selectors: [u16; 6],
    /// Base of FS; the 32-bit structure has no place for it.
    pub fs_base: u64,
    /// Base of GS; likewise.
    pub gs_base: u64,
}

impl UserRegs {
    /// The structure of 64-bit programs, 216 bytes.
    #[must_use]
    pub fn to_bytes_64(&self) -> Vec<u8> {
        let [
            ax,
            cx,
            dx,
            bx,
            sp,
            bp,
            si,
            di,
            r8,
            r9,
            r10,
            r11,
            r12,
            r13,
            r14,
            r15,
        ] = self.general;
        let [cs, ss, ds, es, fs, gs] = self.selectors.map(u64::from);
        let words = [
            r15,
            r14,
            r13,
            r12,
            bp,
            bx,
            r11,
            r10,
            r9,
            r8,
            ax,
            cx,
            dx,
            si,
            di,
            self.orig_rax,
            self.rip,
            cs,
            self.rflags,
            sp,
            ss,
            self.fs_base,
            self.gs_base,
            ds,
            es,
            fs,
            gs,
        ];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// The structure of 32-bit programs, 68 bytes: the low halves.
    #[must_use]
    pub fn to_bytes_32(&self) -> Vec<u8> {
        let [ax, cx, dx, bx, sp, bp, si, di, ..] = self.general;
        let [cs, ss, ds, es, fs, gs] = self.selectors.map(u64::from);
        let words = [
            bx,
            cx,
            dx,
            si,
            di,
            bp,
            ax,
            ds,
            es,
            fs,
            gs,
            self.orig_rax,
            self.rip,
            cs,
            self.rflags,
            sp,
            ss,
        ];
        let halves = words.iter().map(|&word| word as u32);
        halves.flat_map(u32::to_le_bytes).collect()
    }
}
