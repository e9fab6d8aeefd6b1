//! Kernel stacks, and what threads of programs put on them when they entered the kernel.
//!
//! Source: `_KTRAP_FRAME` and `_KTHREAD` of the profile; what each way into the kernel writes is told by the remarks of
//! the Windows Research Kernel. Registers that it does not write hold [`STALE`].

use osier_memory::VirtAddr;

use super::rows::{Entered, Thread};
use super::spaces::{SHARED_32, Space};
use super::writer::{Object, Writer};

const FRAME: &str = "_KTRAP_FRAME";
/// What stands where nothing was put.
const STALE: u64 = 0xdead_0bad;
/// Bytes of a stack.
const STACK: u64 = 0x1000;
/// `_FX_SAVE_AREA`, above the first frame on 32-bit kernels.
const SAVE_AREA: u64 = 0x210;
const FLAGS: u64 = 0x246;
/// RSP in the encoding order.
const SP: u64 = 4;
/// Names of members by the encoding order, of 64-bit kernels and of 32-bit ones.
const WIDE: [&str; 12] = [
    "Rax", "Rcx", "Rdx", "Rbx", "Rsp", "Rbp", "Rsi", "Rdi", "R8", "R9", "R10", "R11",
];
const NARROW: [&str; 8] = [
    "Eax",
    "Ecx",
    "Edx",
    "Ebx",
    "HardwareEsp",
    "Ebp",
    "Esi",
    "Edi",
];

pub(super) fn write(w: &mut Writer<'_>, thread: Object, space: Space, of: &Thread) {
    let members = ["Tcb.InitialStack", "Tcb.StackLimit", "Tcb.TrapFrame"];
    if !w.has_type(FRAME) || !members.iter().all(|member| w.has(thread.ty, member)) {
        return;
    }
    let bottom = w.nonpaged_room(*b"Stck", STACK);
    let top = bottom.plus(STACK);
    let above = if w.is_wide() { 0 } else { SAVE_AREA };
    let first = Object::system(FRAME, top.minus(above + w.size(FRAME)));
    w.set(thread, "Tcb.InitialStack", top.0);
    w.set(thread, "Tcb.StackLimit", bottom.0);
    w.set_if(thread, "Tcb.StackBase", top.0);
    w.set_if(thread, "Tcb.Priority", 8 + of.tid % 8);
    w.set_if(thread, "Tcb.SuspendCount", of.tid % 3);
    w.set_if(thread, "Win32StartAddress", of.ip() + 0x100);
    user(w, first, of);
    if of.entered == Entered::Interrupt {
        // Two instructions that enter nothing.
        w.bytes(space, VirtAddr(of.ip() - 2), &[0x90; 2]);
    }
    let mut noted = first;
    if of.entered == Entered::Nested {
        noted = Object::system(FRAME, first.at.minus(0x400));
        nested(w, noted, first);
    }
    w.set(thread, "Tcb.TrapFrame", noted.at.0);
    w.bytes(space, VirtAddr(of.register(SP)), &[0x5a; 8]);
    if of.stack32.1 > 0 {
        w.bytes(space, VirtAddr(of.register_32(SP)), &[0x5a; 8]);
        kept_32(w, space, of);
    }
}

/// The frame of the way out of user mode.
fn user(w: &mut Writer<'_>, frame: Object, of: &Thread) {
    let wide = w.is_wide();
    let in_32 = wide && of.stack32.1 > 0 && of.entered == Entered::Interrupt;
    let names: &[&str] = if wide { &WIDE } else { &NARROW };
    let by_call = of.entered != Entered::Interrupt;
    for (nth, name) in (0..).zip(names) {
        let kept = match (wide, by_call) {
            (true, true) => [3, 4, 5, 6, 7].contains(&nth),
            (true, false) => ![3, 6, 7].contains(&nth),
            (false, true) => nth > 2,
            (false, false) => true,
        };
        let value = match kept {
            false => STALE,
            true if in_32 => of.register_32(nth),
            true => of.register(nth),
        };
        w.set(frame, name, value);
    }
    w.set(frame, if wide { "Rip" } else { "Eip" }, of.ip());
    let (code, data) = match (wide, in_32) {
        (true, false) => (0x33, 0x2b),
        (true, true) => (0x23, 0x2b),
        (false, _) => (0x1b, 0x23),
    };
    w.set(frame, "SegCs", code);
    w.set(frame, "EFlags", FLAGS);
    w.set(frame, if wide { "SegSs" } else { "HardwareSegSs" }, data);
    if wide {
        w.set(frame, "ExceptionActive", if by_call { 2 } else { 0 });
        return;
    }
    for (name, selector) in [("SegDs", 0x23), ("SegEs", 0x23), ("SegFs", 0x3b)] {
        w.set(frame, name, selector);
    }
    if by_call {
        let back = SHARED_32.plus(0x304);
        w.uint(Space::SYSTEM, back, of.ip(), 4);
    }
}

/// The frame of a call that the kernel made of itself, which leads to the one before.
fn nested(w: &mut Writer<'_>, frame: Object, before: Object) {
    let wide = w.is_wide();
    w.set(frame, "SegCs", if wide { 0x10 } else { 0x08 });
    w.set(frame, "EFlags", FLAGS);
    let code = w.base.0 + 0x1800;
    w.set(frame, if wide { "Rip" } else { "Eip" }, code);
    let link = if wide { "TrapFrame" } else { "Edx" };
    w.set(frame, link, before.at.0);
}

/// What a WoW64 thread keeps of its 32-bit code while it is in 64-bit code: `WOW64_CPURESERVED`, in the page behind its
/// `_TEB32`.
fn kept_32(w: &mut Writer<'_>, space: Space, of: &Thread) {
    const KEPT: u64 = 0x2800;
    const I386_FULL: u64 = 0x1_0007;
    let teb = Object {
        ty: "_TEB",
        at: of.teb,
        space,
    };
    if !w.has("_TEB", "TlsSlots") {
        return;
    }
    let at = of.teb.plus(KEPT);
    let slots = w.member(teb, "TlsSlots");
    w.pointer(space, slots.plus(8), at);
    w.uint(space, at.plus(2), 0x14c, 2);
    let context = at.plus(4);
    let put = |w: &mut Writer<'_>, offset: u64, value: u64| {
        w.uint(space, context.plus(offset), value, 4);
    };
    put(w, 0, I386_FULL);
    // EAX ECX EDX EBX ESP EBP ESI EDI.
    let places = [0xb0, 0xac, 0xa8, 0xa4, 0xc4, 0xb4, 0xa0, 0x9c];
    for (nth, place) in (0..).zip(places) {
        let value = if nth < 3 { STALE } else { of.register_32(nth) };
        put(w, place, value);
    }
    for (place, value) in [
        (0x8c, 0x2b),
        (0x90, 0x53),
        (0x94, 0x2b),
        (0x98, 0x2b),
        (0xb8, of.ip()),
        (0xbc, 0x23),
        (0xc0, FLAGS),
        (0xc8, 0x2b),
    ] {
        put(w, place, value);
    }
}
