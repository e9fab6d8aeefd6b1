//! `_ETHREAD`: the rings of threads, and their TEBs.

use osier_memory::VirtAddr;

use super::rows::{Process, Thread};
use super::spaces::Space;
use super::writer::{Object, Writer, utf16};
use super::{objects, trap, wow64};

const ETHREAD: &str = "_ETHREAD";
/// `_DISPATCHER_HEADER.Type` of a thread.
const THREAD_OBJECT: u64 = 6;
/// `_KTHREAD_STATE` of a thread that has ended, and of one that runs.
const ENDED: u8 = 4;
const RUNNING: u64 = 2;

/// Writes the threads of a process: both rings, and a TEB for each that has a user half.
pub(super) fn write(w: &mut Writer<'_>, owner: Object, process: &mut Process, space: Space) {
    let (mut executive, mut kernel) = heads(w, owner);
    let (pid, peb) = (process.pid, process.peb);
    for thread in &mut process.threads {
        let object = objects::object(w, "Thread", ETHREAD, thread.ethread, None);
        thread.ethread = Some(object.at);
        one(w, object, owner.at, pid, thread);
        if let Some(peb) = peb {
            teb(w, object, space, thread, pid, peb);
            trap::write(w, object, space, thread);
        }
        if !executive.is_empty() {
            executive.push(w.member(object, "ThreadListEntry"));
        }
        if !kernel.is_empty() {
            kernel.push(w.member(object, "Tcb.ThreadListEntry"));
        }
    }
    let word = w.word();
    w.ring(Space::SYSTEM, &executive, word);
    w.ring(Space::SYSTEM, &kernel, word);
    let alive = process
        .threads
        .iter()
        .filter(|thread| thread.state != ENDED);
    let count = alive.count() as u64;
    w.set_if(owner, "ActiveThreads", count);
}

/// The heads of the executive's ring and of the kernel's, where the layout has them.
fn heads(w: &mut Writer<'_>, owner: Object) -> (Vec<VirtAddr>, Vec<VirtAddr>) {
    let has = w.has(owner.ty, "ThreadListHead");
    let executive = has.then(|| w.member(owner, "ThreadListHead"));
    let has = w.has(owner.ty, "Pcb.ThreadListHead") && w.has(ETHREAD, "Tcb.ThreadListEntry");
    let kernel = has.then(|| w.member(owner, "Pcb.ThreadListHead"));
    (
        executive.into_iter().collect(),
        kernel.into_iter().collect(),
    )
}

fn one(w: &mut Writer<'_>, object: Object, owner: VirtAddr, pid: u64, thread: &Thread) {
    w.set_if(object, "Tcb.Header.Type", THREAD_OBJECT);
    // 32-bit kernels go by the thread's tables of system calls.
    if let Some(tables) = w
        .symbol("KeServiceDescriptorTable")
        .filter(|_| !w.is_wide())
    {
        w.set_if(object, "Tcb.ServiceTable", tables.0);
    }
    let cid = w.inner(object, "Cid", "_CLIENT_ID");
    w.set(cid, "UniqueProcess", pid);
    w.set(cid, "UniqueThread", thread.tid);
    // XP counts time in eighths, from `CreateTime`'s fourth bit on.
    let shift = if w.has(ETHREAD, "NestedFaultCount") {
        3
    } else {
        0
    };
    if w.has(ETHREAD, "CreateTime") {
        w.set_long(object, "CreateTime", thread.create_time << shift);
    }
    w.set_if(object, "Tcb.State", u64::from(thread.state));
    w.set_if(object, "Tcb.ApcState.Process", owner.0);
    // XP has it in the executive's part, later kernels in the kernel's.
    w.set_if(object, "ThreadsProcess", owner.0);
    if !thread.name.is_empty() && w.has(ETHREAD, "ThreadName") {
        let head = w.size("_UNICODE_STRING");
        let bytes = head + utf16(&thread.name).len() as u64 + 2;
        let at = w.nonpaged_room(*b"ThNm", bytes);
        let string = Object::system("_UNICODE_STRING", at);
        w.unicode(string, &thread.name, at.plus(head));
        w.set(object, "ThreadName", at.0);
    }
    w.set_if(object, "Tcb.Process", owner.0);
}

fn teb(w: &mut Writer<'_>, object: Object, space: Space, thread: &Thread, pid: u64, peb: VirtAddr) {
    let teb = Object {
        ty: "_TEB",
        at: thread.teb,
        space,
    };
    w.set(object, "Tcb.Teb", teb.at.0);
    let (low, bytes) = thread.stack;
    let tib = w.inner(teb, "NtTib", "_NT_TIB");
    w.set(tib, "StackBase", low + bytes);
    w.set(tib, "StackLimit", low + bytes - 0x3000);
    w.set(tib, "Self", teb.at.0);
    w.set_if(teb, "DeallocationStack", low);
    let cid = w.inner(teb, "ClientId", "_CLIENT_ID");
    w.set(cid, "UniqueProcess", pid);
    w.set(cid, "UniqueThread", thread.tid);
    w.set(teb, "ProcessEnvironmentBlock", peb.0);
    if thread.stack32.1 > 0 {
        wow64::teb(w, teb, thread, pid, peb);
    }
}

/// The idle thread of each processor: running unless something else does.
pub(super) fn idle(w: &mut Writer<'_>, owner: Object, cpus: usize) -> Vec<VirtAddr> {
    let first = ["KiInitialThread", "KiIdleThread0"];
    let first = first.iter().find_map(|symbol| w.symbol(symbol));
    let (mut executive, mut kernel) = heads(w, owner);
    let mut threads = Vec::new();
    for cpu in 0..cpus {
        let object = match first {
            Some(at) if cpu == 0 => Object::system(ETHREAD, at),
            _ => w.pool(*b"Thre", ETHREAD),
        };
        let thread = Thread {
            state: RUNNING as u8,
            ..Thread::default()
        };
        one(w, object, owner.at, 0, &thread);
        if !kernel.is_empty() {
            kernel.push(w.member(object, "Tcb.ThreadListEntry"));
        }
        threads.push(object.at);
    }
    executive.truncate(1);
    let word = w.word();
    w.ring(Space::SYSTEM, &executive, word);
    w.ring(Space::SYSTEM, &kernel, word);
    threads
}
