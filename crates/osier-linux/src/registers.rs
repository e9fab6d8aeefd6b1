//! The registers that a thread has in user mode.
//!
//! Whenever a thread enters the kernel, its registers are put at the top of its kernel stack, `struct pt_regs`;
//! there they are of every thread that does not run in user mode right now. Of one that does, the processor has
//! them.
//!
//! ```text
//!   thread.sp0 - sizeof(pt_regs)                        32-bit kernels; 64-bit ones until v4.14
//!   stack + THREAD_SIZE - padding - sizeof(pt_regs)     64-bit kernels since; the padding is that of FRED
//! ```

use osier_memory::{Cause, CpuState, Fault, PAGE_BYTES, Segment, VirtAddr};
use osier_osi::{Absent, FXSAVE_BYTES, RegistersFrom, Seen, UserRegisters};
use osier_profile::{Field, UInt};

use crate::thread_struct::Thread;
use crate::{Linux, cpus, current, memory, process};

/// The selector of 64-bit code on 64-bit kernels, and of 32-bit code.
pub(crate) const USER_CS: u16 = 0x33;
pub(crate) const USER32_CS: u16 = 0x23;
/// `EFLAGS.VM`.
const VM86: u64 = 1 << 17;
/// The bit of `EFLAGS` that is always set.
const ALWAYS: u64 = 1 << 1;
/// RSP in the encoding order.
const RSP: usize = 4;
/// RBX, RBP, R12 to R15 in the encoding order.
const SAVED_BY_CALLEES: &[usize] = &[3, 5, 12, 13, 14, 15];

/// The registers of the thread at `task` in user mode.
pub(crate) fn user(linux: &Linux, task: VirtAddr) -> Seen<UserRegisters> {
    if memory::kernel_thread(linux, task)? {
        return Err(Absent::not_applicable("a thread of the kernel"));
    }
    let Some(cpu) = current::processor_of(linux, task) else {
        return on_stack(linux, task, None);
    };
    let state = cpus::registers(linux, cpu);
    let state = state.or_else(|| by_table(linux, task, cpu));
    let state = state.map_or_else(not_captured, Ok)?;
    let user = match state.cpl {
        Some(level) => level == 3,
        None => state.rip < linux.guest.user_end,
    };
    if user {
        of_processor(state, linux.guest.pointer_bytes())
    } else {
        on_stack(linux, task, Some(state))
    }
}

/// The registers with the number of processor `cpu`, where they are of the task's own page table. With page-table
/// isolation a program has the table behind the kernel's.
fn by_table(linux: &Linux, task: VirtAddr, cpu: u32) -> Option<&CpuState> {
    let state = cpus::by_number(linux, cpu)?;
    let own = memory::address_space(linux, task).ok()?.root();
    let root = linux.guest.space.root_of_cr3(state.cr3);
    (root == own || root == own.plus(PAGE_BYTES)).then_some(state)
}

/// A value that lay in a processor when the machine stopped, and that the snapshot does not hold.
fn not_captured<T>() -> Seen<T> {
    Err(Absent::unreadable(Fault::new(Cause::NotCaptured)))
}

fn of_processor(state: &CpuState, width: u8) -> Seen<UserRegisters> {
    let selector = |segment: Segment| segment.selector.map_or_else(not_captured, Ok);
    let base = |segment: Segment| match width {
        8 => segment.base.map_or_else(not_captured, Ok),
        _ => in_descriptor(),
    };
    let segments = &state.segments;
    Ok(UserRegisters {
        general: state.general.map_or_else(not_captured, Ok)?,
        rip: state.rip,
        rflags: state.rflags.map_or_else(not_captured, Ok)?,
        orig_rax: u64::MAX,
        cs: selector(segments.cs)?,
        ss: selector(segments.ss)?,
        ds: selector(segments.ds)?,
        es: selector(segments.es)?,
        fs: selector(segments.fs)?,
        gs: selector(segments.gs)?,
        fs_base: base(segments.fs),
        gs_base: base(segments.gs),
        from: RegistersFrom::Processor,
        lost: &[],
    })
}

fn in_descriptor<T>() -> Seen<T> {
    Err(Absent::not_applicable("a descriptor holds it"))
}

/// The registers at the top of the kernel stack of `task`. `running` is the processor that it runs on in
/// the kernel, which has the segments.
fn on_stack(linux: &Linux, task: VirtAddr, running: Option<&CpuState>) -> Seen<UserRegisters> {
    let wide = linux.guest.pointer_bytes() == 8;
    let thread = linux.tasks.thread.ok_or_else(Absent::not_in_this_kernel)?;
    let thread = thread.place(task);
    let mut first = None;
    for at in places(linux, task, thread)? {
        match read(linux, at) {
            Ok(words) if wide => return of_64(linux, thread, &words, running),
            Ok(words) => return Ok(of_32(linux, thread, &words)),
            Err(absent) => first = first.or(Some(absent)),
        }
    }
    Err(first.unwrap_or_else(Absent::not_in_this_kernel))
}

/// Words of `struct pt_regs`.
fn words(wide: bool) -> u64 {
    if wide { 21 } else { 17 }
}

/// Where `struct pt_regs` may lie, the likeliest first.
fn places(linux: &Linux, task: VirtAddr, thread: VirtAddr) -> Seen<Vec<VirtAddr>> {
    let space = &linux.guest.space;
    let wide = linux.guest.pointer_bytes() == 8;
    let bytes = words(wide).wrapping_mul(linux.guest.pointer_bytes().into());
    // The stack of one that is dead was given back, and may still be named.
    if process::exited(linux, task)? {
        return Err(Absent::not_applicable("the thread has exited"));
    }
    if let Some(field) = linux.registers.thread.sp0 {
        let top = VirtAddr(field.read(space, thread)?);
        if linux.guest.can_be_object(top) {
            return Ok(vec![top.minus(bytes)]);
        }
        let rule = "the kernel stack ends at an aligned address of the kernel (sp0)";
        return Err(Absent::implausible(top.0, rule, Some(field.place(thread))));
    }
    let field = linux.tasks.stack.ok_or_else(Absent::not_in_this_kernel)?;
    let stack = field.read(space, task)?;
    if stack.is_null() {
        let rule = "a thread that has not exited has a kernel stack (stack)";
        return Err(Absent::implausible(0, rule, Some(field.place(task))));
    }
    if !linux.guest.can_be_object(stack) {
        let rule = "a thread has a kernel stack, an aligned address of the kernel (stack)";
        return Err(Absent::implausible(stack.0, rule, Some(field.place(task))));
    }
    // Without `sp0`, stacks have 16 KiB, and twice as many with KASAN. FRED puts 16 bytes behind.
    let tops = [0x4000_u64, 0x3ff0, 0x8000, 0x7ff0];
    let places = tops.iter().map(|top| stack.plus(top.wrapping_sub(bytes)));
    Ok(places.collect())
}

/// The words of the `struct pt_regs` at `at`, when that is what is there.
fn read(linux: &Linux, at: VirtAddr) -> Seen<[u64; 21]> {
    let space = &linux.guest.space;
    let width = usize::from(linux.guest.pointer_bytes());
    let wide = width == 8;
    let mut regs = [0; 21];
    for (index, word) in regs.iter_mut().enumerate().take(words(wide) as usize) {
        let place = at.plus((index as u64).wrapping_mul(width as u64));
        *word = space.read_uint(place, width)?;
    }
    let (ip, cs, flags) = if wide {
        (regs[16], regs[17], regs[18])
    } else {
        (regs[12], regs[13], regs[14])
    };
    let rule = if cs & 3 != 3 && (wide || flags & VM86 == 0) {
        "registers at the top of the stack are those of user mode (cs)"
    } else if flags & ALWAYS == 0 {
        "bit 1 of the flags register is set"
    } else if ip >= linux.guest.user_end {
        "a program runs below the kernel's half (ip)"
    } else {
        return Ok(regs);
    };
    Err(Absent::implausible(cs & 0xffff, rule, Some(at)))
}

/// The low 16 bits, which are the selector; what stands above is no part of it.
fn selector(word: u64) -> u16 {
    (word & 0xffff) as u16
}

fn of_64(
    linux: &Linux,
    thread: VirtAddr,
    words: &[u64; 21],
    running: Option<&CpuState>,
) -> Seen<UserRegisters> {
    let &[
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
        orig_rax,
        rip,
        cs,
        rflags,
        sp,
        ss,
    ] = words;
    let space = &linux.guest.space;
    let layout = &linux.registers.thread;
    let kept = |field: Option<Field<UInt>>| -> Seen<u64> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        Ok(field.read(space, thread)?)
    };
    // The kernel does not change these of a thread that runs, but swaps the bases of GS.
    let live = |segment: fn(&CpuState) -> Segment, field| match running {
        Some(state) => match segment(state).selector {
            Some(selector) => Ok(selector),
            None => not_captured(),
        },
        None => kept(field).map(selector),
    };
    let (fs_base, gs_base) = match running {
        Some(state) => (
            state.segments.fs.base.map_or_else(not_captured, Ok),
            state.kernel_gs_base.map_or_else(not_captured, Ok),
        ),
        None => (kept(layout.fsbase), kept(layout.gsbase)),
    };
    let lost = if orig_rax.cast_signed() >= 0 && selector(cs) == USER_CS && is_partial(linux) {
        SAVED_BY_CALLEES
    } else {
        &[]
    };
    let mut general = [
        ax, cx, dx, bx, sp, bp, si, di, r8, r9, r10, r11, r12, r13, r14, r15,
    ];
    for &index in lost {
        if let Some(register) = general.get_mut(index) {
            *register = 0;
        }
    }
    Ok(UserRegisters {
        general,
        rip,
        rflags,
        orig_rax,
        cs: selector(cs),
        ss: selector(ss),
        ds: live(|state| state.segments.ds, layout.ds)?,
        es: live(|state| state.segments.es, layout.es)?,
        fs: live(|state| state.segments.fs, layout.fsindex)?,
        gs: live(|state| state.segments.gs, layout.gsindex)?,
        fs_base,
        gs_base,
        from: RegistersFrom::KernelStack,
        lost,
    })
}

/// Whether system calls of 64-bit programs leave the registers where they are that a C function keeps. What
/// ended that, in v4.15 and v4.14.y, came after the bases had their names of today.
fn is_partial(linux: &Linux) -> bool {
    let thread = linux.guest.profile.find_type(Thread::STRUCTURE);
    thread.is_some_and(|thread| thread.member("fsbase").is_none())
}

fn of_32(linux: &Linux, thread: VirtAddr, words: &[u64; 21]) -> UserRegisters {
    let &[
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
        orig_rax,
        rip,
        cs,
        rflags,
        sp,
        ss,
        ..,
    ] = words;
    // A kernel that does not use GS itself leaves it alone until it changes threads.
    let lazy = || {
        let field = linux.registers.thread.gsbase?;
        field.read(&linux.guest.space, thread).ok().map(selector)
    };
    let mut general = [0; 16];
    for (register, value) in general.iter_mut().zip([ax, cx, dx, bx, sp, bp, si, di]) {
        *register = value;
    }
    debug_assert_eq!(general.get(RSP), Some(&sp));
    UserRegisters {
        general,
        rip,
        rflags,
        orig_rax,
        cs: selector(cs),
        ss: selector(ss),
        ds: selector(ds),
        es: selector(es),
        fs: selector(fs),
        gs: match selector(gs) {
            0 => lazy().unwrap_or(0),
            gs => gs,
        },
        fs_base: in_descriptor(),
        gs_base: in_descriptor(),
        from: RegistersFrom::KernelStack,
        lost: &[],
    }
}

/// The floating-point registers of the thread at `task`, as `FXSAVE` writes them.
///
/// `XSAVE` writes no registers that have their first values, and says which those are.
pub(crate) fn floating_point(linux: &Linux, task: VirtAddr) -> Seen<Box<[u8; FXSAVE_BYTES]>> {
    /// `CR4.OSFXSR` and `CR4.OSXSAVE`.
    const OSFXSR: u64 = 1 << 9;
    const OSXSAVE: u64 = 1 << 18;
    const X87: u64 = 1;
    const SSE: u64 = 2;
    const AVX: u64 = 4;
    if memory::kernel_thread(linux, task)? {
        return Err(Absent::not_applicable("a thread of the kernel"));
    }
    let cr4 = linux.guest.cpus.iter().find_map(|state| state.cr4);
    if cr4.is_some_and(|cr4| cr4 & OSFXSR == 0) {
        return Err(Absent::not_applicable("the processor has no FXSAVE"));
    }
    if current::processor_of(linux, task).is_some() {
        // They are where they are used.
        return not_captured();
    }
    let space = &linux.guest.space;
    let at = state(linux, task)?;
    let mut image = Box::new([0; FXSAVE_BYTES]);
    space.read(at, &mut *image)?;
    let present = match cr4 {
        Some(cr4) if cr4 & OSXSAVE == 0 => X87 | SSE,
        Some(_) => space.read_uint(at.plus(FXSAVE_BYTES as u64), 8)?,
        // It cannot be told who wrote it: of what `FXSAVE` wrote, no more is known.
        None => match space.read_uint(at.plus(FXSAVE_BYTES as u64), 8) {
            Ok(present) if present != 0 => present,
            _ => X87 | SSE,
        },
    };
    let mut put = |from: usize, bytes: &[u8]| {
        let end = from.saturating_add(bytes.len());
        if let Some(into) = image.get_mut(from..end) {
            into.copy_from_slice(bytes);
        }
    };
    if present & X87 == 0 {
        put(0, &[0x7f, 0x03]);
        put(2, &[0; 22]);
        put(32, &[0; 128]);
    }
    if present & (SSE | AVX) == 0 {
        put(24, &0x1f80_u32.to_le_bytes());
    }
    if present & SSE == 0 {
        put(160, &[0; 256]);
    }
    Ok(image)
}

/// Where the floating-point registers of `task` are kept.
fn state(linux: &Linux, task: VirtAddr) -> Seen<VirtAddr> {
    let layout = &linux.registers;
    let space = &linux.guest.space;
    let thread = linux.tasks.thread.ok_or_else(Absent::not_in_this_kernel)?;
    let thread = thread.place(task);
    let behind = layout.fpu.fpstate.filter(|_| linux.tasks.size > 0);
    let place = if let Some(field) = layout.thread.fpstate {
        field.place(thread)
    } else if let Some(field) = layout.thread.fpu_state {
        if field.bytes != u64::from(linux.guest.pointer_bytes()) {
            return Ok(field.place(thread));
        }
        field.place(thread)
    } else if let Some(field) = behind {
        field.place(task.plus(linux.tasks.size))
    } else {
        return Err(Absent::not_in_this_kernel());
    };
    let at = space.read_pointer(place)?;
    if !linux.guest.can_be_object(at) {
        let rule =
            "a thread's floating-point registers are kept at an aligned address of the kernel";
        return Err(Absent::implausible(at.0, rule, Some(place)));
    }
    Ok(match layout.state.regs {
        Some(regs) => regs.place(at),
        None => at,
    })
}
