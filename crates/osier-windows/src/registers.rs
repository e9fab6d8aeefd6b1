//! The registers that a thread has in user mode.
//!
//! ```text
//!   in the processor                             of a thread that runs in user mode
//!   _KTHREAD.TrapFrame → _KTRAP_FRAME            of one that entered the kernel, if that is of user mode,
//!     → .TrapFrame → …                           or the frames before it (64-bit)
//!   InitialStack - sizeof(_KTRAP_FRAME)          64-bit: where the first frame of a stack always is
//!   _TEB.TlsSlots[1] + 4 → 32-bit CONTEXT        of WoW64's 32-bit code, while the thread is in 64-bit code
//! ```
//!
//! A system call of a 64-bit program puts RBX, RSI, RDI and RBP there and what the processor needs; an interrupt or
//! exception all that functions may change, and RBP. A system call of a 32-bit program leaves EAX, ECX and EDX.
//!
//! Sources: `_KTRAP_FRAME` of Microsoft's kernel PDBs; `PspGetBaseTrapFrame`, `KiSystemCall64`, `KiFastCallEntry` and
//! the remarks at `_KTRAP_FRAME` of the Windows Research Kernel; `WOW64_TLS_CPURESERVED` and `_WOW64_CONTEXT` of
//! Microsoft's public headers.

use osier_memory::{AddressSpace, Cause, CpuState, Fault, Segment, VirtAddr};
use osier_osi::{Absent, RegistersFrom, Seen, UserRegisters};
use osier_profile::{Field, UInt};

use crate::guest::is_kernel_address;
use crate::layouts::trap::Frame;
use crate::windows::Windows;
use crate::{current, root, shared_data, threads};

/// Selectors of user mode: code of 32 bits on 64-bit kernels (and data on 32-bit ones), data.
const CODE_32: u16 = 0x23;
const DATA_64: u16 = 0x2b;
/// That of the thread's block on 64-bit kernels; and on 32-bit ones.
const BLOCK_64: u16 = 0x53;
const BLOCK_32: u16 = 0x3b;
/// The bit of `EFLAGS` that is always set, and `EFLAGS.VM`.
const ALWAYS: u64 = 1 << 1;
const VM86: u64 = 1 << 17;
/// Indices in the encoding order: what a system call does not keep, of either width, and what an interrupt does not.
const LOST_IN_CALL_64: &[usize] = &[0, 1, 2, 8, 9, 10, 11, 12, 13, 14, 15];
const LOST_IN_INTERRUPT_64: &[usize] = &[3, 6, 7, 12, 13, 14, 15];
const LOST_IN_CALL_32: &[usize] = &[0, 1, 2];
/// `_FX_SAVE_AREA` of 32-bit kernels.
const SAVE_AREA: u64 = 0x210;
/// More frames than a kernel stack has room for.
const MOST_FRAMES: usize = 64;

/// The registers of the thread at `task` in user mode, in native code.
pub(crate) fn user(windows: &Windows, task: VirtAddr) -> Seen<UserRegisters> {
    /// `_KTHREAD.State`: `Running`.
    const RUNNING: u64 = 2;
    let space = &windows.guest.space;
    let fields = &windows.threads.fields;
    let teb = fields.teb.ok_or_else(Absent::not_in_this_kernel)?;
    let teb = teb.read(space, task)?;
    let state = fields.state.ok_or_else(Absent::not_in_this_kernel)?;
    let state = state.read(space, task)?;
    if state == threads::TERMINATED {
        return Err(Absent::not_applicable("the thread has exited"));
    }
    if teb.is_null() {
        return Err(Absent::not_applicable("a thread of the kernel"));
    }
    match current::running(windows, task) {
        Some((_, Some(cpu))) if in_user_mode(windows, cpu) => of_processor(windows, cpu, teb),
        // It may have gone on since it was in the kernel last.
        Some((_, None)) => not_captured(),
        None if state == RUNNING => not_captured(),
        Some((_, Some(_))) | None => on_stack(windows, task, teb),
    }
}

/// A value that lay in a processor when the machine stopped, and that the snapshot does not hold.
fn not_captured<T>() -> Seen<T> {
    Err(Absent::unreadable(Fault::new(Cause::NotCaptured)))
}

fn in_user_mode(windows: &Windows, cpu: &CpuState) -> bool {
    match cpu.cpl {
        Some(level) => level == 3,
        None => !is_kernel_address(&windows.guest.space, VirtAddr(cpu.rip)),
    }
}

fn of_processor(windows: &Windows, cpu: &CpuState, teb: VirtAddr) -> Seen<UserRegisters> {
    let wide = windows.guest.pointer_bytes() == 8;
    let segments = &cpu.segments;
    let selector = |segment: Segment, usual: u16| segment.selector.unwrap_or(usual);
    let data = if wide { DATA_64 } else { CODE_32 };
    let block = if wide { BLOCK_64 } else { BLOCK_32 };
    Ok(UserRegisters {
        general: cpu.general.map_or_else(not_captured, Ok)?,
        rip: cpu.rip,
        rflags: cpu.rflags.map_or_else(not_captured, Ok)?,
        orig_rax: u64::MAX,
        cs: segments.cs.selector.map_or_else(not_captured, Ok)?,
        ss: segments.ss.selector.map_or_else(not_captured, Ok)?,
        ds: selector(segments.ds, data),
        es: selector(segments.es, data),
        fs: selector(segments.fs, block),
        gs: selector(segments.gs, if wide { DATA_64 } else { 0 }),
        fs_base: segments.fs.base.map_or_else(not_captured, Ok),
        gs_base: if wide {
            Ok(teb.0)
        } else {
            Err(Absent::not_applicable("a descriptor holds it"))
        },
        from: RegistersFrom::Processor,
        lost: &[],
    })
}

/// The registers that the thread at `task` put on its kernel stack.
fn on_stack(windows: &Windows, task: VirtAddr, teb: VirtAddr) -> Seen<UserRegisters> {
    let space = &windows.guest.space;
    let layout = &windows.trap;
    let stack = &layout.stack;
    let (Some(initial), Some(limit)) = (stack.initial, stack.limit) else {
        return Err(Absent::not_in_this_kernel());
    };
    let (top, bottom) = (initial.read(space, task)?, limit.read(space, task)?);
    let on = |at: VirtAddr| at >= bottom && at < top && at.0.is_multiple_of(4);
    if !windows.guest.is_kernel_address(bottom) || bottom >= top {
        let rule = "a kernel stack lies in the kernel's half (StackLimit, InitialStack)";
        return Err(Absent::implausible(bottom.0, rule, Some(limit.place(task))));
    }
    let noted = stack.frame.ok_or_else(Absent::not_in_this_kernel)?;
    let first = noted.read(space, task)?;
    let mut at = first;
    let mut why = None;
    let wide = windows.guest.pointer_bytes() == 8;
    let process = || root::address_space(windows, threads::owner(windows, task)?);
    let process = process().ok();
    let frame = |at| frame(windows, at, teb, process.as_ref());
    for _ in 0..MOST_FRAMES {
        if !on(at) {
            break;
        }
        match frame(at) {
            Ok(registers) => return Ok(registers),
            Err(absent) => why = why.or(Some(absent)),
        }
        // A frame of the kernel's own; the one before lies above.
        let before = match (layout.frame.before, layout.frame.dx) {
            (Some(before), _) => before.read(space, at)?,
            // A system call on 32-bit kernels keeps it where EDX would be.
            (None, Some(before)) if !wide => VirtAddr(before.read(space, at)?),
            _ => break,
        };
        if before <= at {
            break;
        }
        at = before;
    }
    // Where the first frame of every stack is; 32-bit kernels have floating-point registers above it.
    let above: &[u64] = if wide { &[0] } else { &[SAVE_AREA, 0] };
    for above in above.iter().filter(|_| layout.frame.size > 0) {
        let base = top.minus(layout.frame.size).minus(*above);
        match frame(base) {
            Ok(registers) => return Ok(registers),
            Err(absent) => why = why.or(Some(absent)),
        }
    }
    let rule = "a thread's registers of user mode are on its kernel stack (TrapFrame)";
    Err(why.unwrap_or_else(|| Absent::implausible(first.0, rule, Some(noted.place(task)))))
}

/// The registers in the `_KTRAP_FRAME` at `at`, when they are of user mode.
fn frame(
    windows: &Windows,
    at: VirtAddr,
    teb: VirtAddr,
    process: Option<&AddressSpace>,
) -> Seen<UserRegisters> {
    let wide = windows.guest.pointer_bytes() == 8;
    let space = &windows.guest.space;
    let layout = &windows.trap.frame;
    let word = |field: Option<Field<UInt>>| -> Seen<u64> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        Ok(field.read(space, at)?)
    };
    let cs = selector(word(layout.cs)?);
    let (ip, sp) = (word(layout.ip)?, word(layout.sp)?);
    let rflags = word(layout.flags)? & 0xffff_ffff;
    let kernel = |at| is_kernel_address(space, VirtAddr(at));
    let rule = if cs & 3 != 3 && (wide || rflags & VM86 == 0) {
        "registers at the top of a kernel stack are those of user mode (SegCs)"
    } else if rflags & ALWAYS == 0 {
        "bit 1 of the flags register is set"
    } else if kernel(ip) || kernel(sp) {
        "a program runs below the kernel's half (Rip, Rsp)"
    } else {
        let call = is_call(windows, at, ip, process)?;
        let mut general = general(&word, layout, wide)?;
        let lost = match (wide, call) {
            (true, true) => LOST_IN_CALL_64,
            (true, false) => LOST_IN_INTERRUPT_64,
            (false, true) => LOST_IN_CALL_32,
            (false, false) => &[],
        };
        for &index in lost {
            if let Some(register) = general.get_mut(index) {
                *register = 0;
            }
        }
        let of = |field, usual: u16| {
            if wide {
                // 64-bit kernels keep none of them: they are the same for all.
                Ok(usual)
            } else {
                word(field).map(selector)
            }
        };
        return Ok(UserRegisters {
            general,
            rip: ip,
            rflags,
            orig_rax: u64::MAX,
            cs,
            ss: selector(word(layout.ss)?),
            ds: of(layout.ds, DATA_64)?,
            es: of(layout.es, DATA_64)?,
            fs: of(layout.fs, BLOCK_64)?,
            gs: of(layout.gs, DATA_64)?,
            fs_base: Err(Absent::not_applicable("a descriptor holds it")),
            gs_base: if wide {
                Ok(teb.0)
            } else {
                Err(Absent::not_applicable("a descriptor holds it"))
            },
            from: RegistersFrom::KernelStack,
            lost,
        });
    };
    let place = layout.cs.map(|field| field.place(at));
    Err(Absent::implausible(cs.into(), rule, place))
}

/// The low 16 bits, which are the selector; what stands above is no part of it.
fn selector(word: u64) -> u16 {
    (word & 0xffff) as u16
}

/// The general registers, in the encoding order.
fn general(
    word: &dyn Fn(Option<Field<UInt>>) -> Seen<u64>,
    layout: &Frame,
    wide: bool,
) -> Seen<[u64; 16]> {
    let narrow = [
        layout.ax, layout.cx, layout.dx, layout.bx, layout.sp, layout.bp, layout.si, layout.di,
    ];
    let upper = [layout.r8, layout.r9, layout.r10, layout.r11];
    let upper = upper.into_iter().filter(|_| wide);
    let mut general = [0; 16];
    for (register, field) in general.iter_mut().zip(narrow.into_iter().chain(upper)) {
        *register = word(field)?;
    }
    Ok(general)
}

/// Whether the frame at `at`, of code at `ip`, is of a system call.
fn is_call(windows: &Windows, at: VirtAddr, ip: u64, process: Option<&AddressSpace>) -> Seen<bool> {
    /// `ExceptionActive` of a system call.
    const CALL: u64 = 2;
    /// `int 0x2e`.
    const INT_2E: u64 = 0x2ecd;
    let space = &windows.guest.space;
    if let Some(field) = windows.trap.frame.active {
        return Ok(field.read(space, at)? == CALL);
    }
    let back = shared_data::place(space).plus(shared_data::SYSTEM_CALL_RETURN);
    if space.read_uint(back, 4) == Ok(ip) {
        return Ok(true);
    }
    // Code that cannot be read may be one: then as little is known.
    let code = process.map(|space| space.read_uint(VirtAddr(ip.wrapping_sub(2)), 2));
    Ok(!matches!(code, Some(Ok(code)) if code != INT_2E))
}

/// The registers that the thread at `task` has in the 32-bit code of WoW64, or had when it left that last.
pub(crate) fn user_32(windows: &Windows, task: VirtAddr) -> Seen<UserRegisters> {
    if windows.guest.pointer_bytes() == 4 {
        return Err(Absent::not_applicable("a thread without 32-bit code"));
    }
    let native = user(windows, task)?;
    if native.cs == CODE_32 {
        let mut own = native;
        for register in &mut own.general {
            *register &= 0xffff_ffff;
        }
        own.general[8..].fill(0);
        return Ok(own);
    }
    let owner = threads::owner(windows, task)?;
    let space = root::address_space(windows, owner)?;
    let teb = windows.threads.fields.teb;
    let teb = teb.ok_or_else(Absent::not_in_this_kernel)?;
    let teb = teb.read(&windows.guest.space, task)?;
    let slots = windows.threads.teb.tls_slots;
    let slots = slots.ok_or_else(Absent::not_in_this_kernel)?;
    // `WOW64_TLS_CPURESERVED`.
    let place = slots.place(teb).plus(8);
    let kept = space.read_pointer(place)?;
    if kept.is_null() || is_kernel_address(&space, kept) {
        let rule = "a WoW64 thread keeps its 32-bit registers in user memory (TlsSlots[1])";
        return Err(Absent::implausible(kept.0, rule, Some(place)));
    }
    context_32(&space, kept.plus(4), teb)
}

/// The registers in the 32-bit `CONTEXT` at `at`.
fn context_32(space: &AddressSpace, at: VirtAddr, teb: VirtAddr) -> Seen<UserRegisters> {
    /// `CONTEXT_i386`.
    const I386: u64 = 0x1_0000;
    let word = |offset: u64| space.read_uint(at.plus(offset), 4);
    let told = word(0)?;
    let cs = selector(word(0xbc)?);
    if told & I386 == 0 || cs != CODE_32 {
        let rule = "WoW64 keeps a context of 32-bit code (ContextFlags, SegCs)";
        return Err(Absent::implausible(told, rule, Some(at)));
    }
    let mut general = [0; 16];
    // EAX ECX EDX EBX ESP EBP ESI EDI, of which a system call keeps the last five.
    let places = [0xb0, 0xac, 0xa8, 0xa4, 0xc4, 0xb4, 0xa0, 0x9c];
    for (nth, (register, place)) in general.iter_mut().zip(places).enumerate() {
        *register = if LOST_IN_CALL_32.contains(&nth) {
            0
        } else {
            word(place)?
        };
    }
    Ok(UserRegisters {
        general,
        rip: word(0xb8)?,
        rflags: word(0xc0)?,
        orig_rax: u64::MAX,
        cs,
        ss: selector(word(0xc8)?),
        ds: selector(word(0x98)?),
        es: selector(word(0x94)?),
        fs: selector(word(0x90)?),
        gs: selector(word(0x8c)?),
        fs_base: Err(Absent::not_applicable("a descriptor holds it")),
        gs_base: Ok(teb.0),
        from: RegistersFrom::KernelStack,
        lost: LOST_IN_CALL_32,
    })
}
