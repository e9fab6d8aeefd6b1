//! The user half of a process: `_PEB`, the loader's three lists, the process parameters.

use osier_memory::VirtAddr;

use super::arena::{Arena, Away, environment};
use super::rows::{Module, Part, Process, Protection, Vad, VadKind};
use super::spaces::Space;
use super::writer::{Object, Writer, utf16};
use super::{image, wow64};

const PAGE: u64 = 4096;
const GRAIN: u64 = 0x1_0000;
/// Bytes of a thread's stack.
const STACK: u64 = 0x4_0000;
const ENTRY: &str = "_LDR_DATA_TABLE_ENTRY";

/// Writes the user half, and adds the VADs that it lies in. Returns which of its pages to take
/// away.
pub(super) fn write(
    w: &mut Writer<'_>,
    eprocess: Object,
    process: &mut Process,
    space: Space,
) -> Away {
    let mut used = Used::of(process);
    let peb = place_fixed(w, process, &mut used);
    let arena_bytes = arena_bytes(process);
    let heap = match process.heap {
        Some(heap) => heap.0,
        None => used.take(process, 0x20_0000, arena_bytes, VadKind::Private),
    };
    process.heap = Some(VirtAddr(heap));
    let mut arena = Arena::new(space, VirtAddr(heap).plus(PAGE), heap + arena_bytes);
    arena.elsewhere(Part::Peb, peb);
    let object = Object {
        ty: "_PEB",
        at: peb,
        space,
    };
    let base = process.modules.first().map_or(0, |module| module.base);
    w.set(object, "ImageBaseAddress", base);
    w.set_if(eprocess, "SectionBaseAddress", base);
    w.set_if(object, "SessionId", u64::from(process.session.unwrap_or(0)));
    if !process.unstarted {
        heaps(w, object, &mut arena, heap);
        let loader = arena.part(Part::Loader, |arena| arena.take(0x100));
        w.set(object, "Ldr", loader.0);
        arena.part(Part::Entries, |arena| {
            entries(w, arena, loader, &mut process.modules);
        });
        for module in &process.modules {
            arena.apart(module.paged_names, |arena| names(w, arena, module));
        }
    }
    let at = arena.part(Part::Parameters, |arena| parameters(w, arena, process));
    w.set(object, "ProcessParameters", at.0);
    process.peb = Some(peb);
    if process.wow64.is_some() {
        wow64::write(w, &mut arena, eprocess, process, heap);
    }
    if process.headers {
        headers(w, process, space);
    }
    // A heap begins with its header; the page is there although nobody reads it.
    w.bytes(space, VirtAddr(heap), &[0]);
    process.heap = process.heap.filter(|_| !process.unstarted);
    arena.away(&process.paged)
}

/// The headers of images; one that both lists have is of 32 bits.
fn headers(w: &mut Writer<'_>, process: &Process, space: Space) {
    let halves = process.wow64.iter().flat_map(|wow64| &wow64.modules);
    let halves: Vec<&Module> = halves.collect();
    for module in &halves {
        image::of_process(w, space, false, module);
    }
    let native = process.modules.iter();
    for module in native.filter(|own| halves.iter().all(|other| other.base != own.base)) {
        image::of_process(w, space, w.is_wide(), module);
    }
}

fn arena_bytes(process: &Process) -> u64 {
    let wow64 = process.wow64.as_ref().map_or(0, |w| w.modules.len());
    let modules = (process.modules.len() + wow64) as u64;
    let own_pages = process.modules.iter().filter(|m| m.paged_names.is_some());
    let own_pages = own_pages.count() as u64;
    let environment: usize = process.environment.iter().map(|v| v.len() + 1).sum();
    let strings = process.cmdline.len() + process.path.len() + process.cwd.len() + environment;
    let strings = strings as u64 * 4;
    (0x1_0000 + modules * 0x400 + own_pages * PAGE + strings).next_multiple_of(GRAIN)
}

/// The addresses that are in use, lowest first.
struct Used(Vec<(u64, u64)>);

impl Used {
    fn of(process: &Process) -> Self {
        let wow64 = process.wow64.iter().flat_map(|wow64| &wow64.modules);
        let modules = process.modules.iter().chain(wow64);
        let modules = modules.map(|m| (m.base, m.base + m.size.max(1)));
        let vads = process.vads.iter().map(|vad| (vad.start, vad.end + 1));
        Self(modules.chain(vads).collect())
    }

    fn is_free(&self, start: u64, bytes: u64) -> bool {
        let end = start + bytes;
        !self.0.iter().any(|(s, e)| *s < end && start < *e)
    }

    /// The first free stretch from `from` on; the process gets a VAD for it.
    fn take(&mut self, process: &mut Process, from: u64, bytes: u64, kind: VadKind) -> u64 {
        let mut start = from;
        while !self.is_free(start, bytes) {
            start += GRAIN;
        }
        self.at(process, start, bytes, kind);
        start
    }

    fn at(&mut self, process: &mut Process, start: u64, bytes: u64, kind: VadKind) {
        self.0.push((start, start + bytes));
        if !process.all_vads {
            process.vads.push(Vad {
                start,
                end: start + bytes - 1,
                kind,
                protection: Protection::READ_WRITE,
                commit: false,
                offset: 0,
                node: None,
            });
        }
    }
}

/// Places the PEB, the TEBs and the stacks.
fn place_fixed(w: &Writer<'_>, process: &mut Process, used: &mut Used) -> VirtAddr {
    // Where each system has them by default, the TEBs going down from the PEB.
    let (peb, step) = match (w.is_wide(), process.wow64.is_some()) {
        (false, _) => (0x7ffd_f000, PAGE),
        (true, true) => (0x7efd_f000, 3 * PAGE),
        (true, false) => (0x07ff_fffd_f000, 2 * PAGE),
    };
    let peb = process.peb.map_or(peb, |peb| peb.0);
    used.at(process, peb, PAGE, VadKind::Private);
    let below = if process.wow64.is_some() {
        let peb32 = peb - PAGE;
        used.at(process, peb32, PAGE, VadKind::Private);
        peb32
    } else {
        peb
    };
    let mut threads = std::mem::take(&mut process.threads);
    for (number, thread) in (1..).zip(&mut threads) {
        if thread.teb.is_null() {
            thread.teb = VirtAddr(below - number * step);
            used.at(process, thread.teb.0, step, VadKind::Private);
        }
        if thread.stack.1 == 0 {
            let low = used.take(process, 0x3_0000, STACK, VadKind::Private);
            thread.stack = (low, STACK);
        }
        if process.wow64.is_some() {
            let low = used.take(process, 0x3_0000, STACK, VadKind::Private);
            thread.stack32 = (low, STACK);
        }
    }
    process.threads = threads;
    VirtAddr(peb)
}

/// One heap, the arena itself.
fn heaps(w: &mut Writer<'_>, peb: Object, arena: &mut Arena, heap: u64) {
    let word = w.word();
    let list = arena.take(word * 16);
    w.pointer(peb.space, list, VirtAddr(heap));
    w.set_if(peb, "ProcessHeap", heap);
    w.set_if(peb, "NumberOfHeaps", 1);
    w.set_if(peb, "MaximumNumberOfHeaps", 16);
    w.set_if(peb, "ProcessHeaps", list.0);
}

fn entries(w: &mut Writer<'_>, arena: &mut Arena, loader: VirtAddr, modules: &mut [Module]) {
    let ldr = Object {
        ty: "_PEB_LDR_DATA",
        at: loader,
        space: arena.space,
    };
    let bytes = w.size("_PEB_LDR_DATA");
    w.set(ldr, "Length", bytes);
    w.set(ldr, "Initialized", 1);
    for module in modules.iter_mut() {
        let entry = Object {
            ty: ENTRY,
            at: arena.take(w.size(ENTRY)),
            space: arena.space,
        };
        module.entry = entry.at;
        w.set(entry, "DllBase", module.base);
        w.set(entry, "EntryPoint", module.base + 0x1000);
        w.set(entry, "SizeOfImage", module.size);
        let count = w.first_of(ENTRY, &["ObsoleteLoadCount", "LoadCount"]);
        w.set(entry, count, u64::from(module.load_count));
    }
    let word = w.word();
    let lists = [
        ("InLoadOrderModuleList", "InLoadOrderLinks"),
        ("InMemoryOrderModuleList", "InMemoryOrderLinks"),
        (
            "InInitializationOrderModuleList",
            "InInitializationOrderLinks",
        ),
    ];
    for (head, links) in lists {
        let mut ring = vec![w.member(ldr, head)];
        let by = w.offset(ENTRY, links);
        let mut members: Vec<_> = modules.iter().map(|m| m.entry.plus(by)).collect();
        // The program itself is never initialised as a library, and the last library is first.
        if head.contains("Initialization") && !members.is_empty() {
            members.remove(0);
            members.reverse();
        }
        ring.extend(members);
        w.ring(arena.space, &ring, word);
    }
}

fn names(w: &mut Writer<'_>, arena: &mut Arena, module: &Module) {
    let entry = Object {
        ty: ENTRY,
        at: module.entry,
        space: arena.space,
    };
    for (member, text) in [("FullDllName", &module.path), ("BaseDllName", &module.name)] {
        let buffer = arena.take(utf16(text).len() as u64 + 2);
        let string = w.inner(entry, member, "_UNICODE_STRING");
        w.unicode(string, text, buffer);
    }
}

fn parameters(w: &mut Writer<'_>, arena: &mut Arena, process: &mut Process) -> VirtAddr {
    const PARAMETERS: &str = "_RTL_USER_PROCESS_PARAMETERS";
    let bytes = w.size(PARAMETERS);
    let object = Object {
        ty: PARAMETERS,
        at: arena.take(bytes),
        space: arena.space,
    };
    let texts = [
        ("CurrentDirectory.DosPath", &process.cwd),
        ("ImagePathName", &process.path),
        ("CommandLine", &process.cmdline),
    ];
    for (member, text) in texts {
        let buffer = arena.take(utf16(text).len() as u64 + 2);
        let string = w.inner(object, member, "_UNICODE_STRING");
        w.unicode(string, text, buffer);
        if process.unstarted {
            w.set(string, "Buffer", buffer.since(object.at));
        }
    }
    if w.has(PARAMETERS, "Environment") {
        let (at, bytes) = environment(w, arena, &process.environment);
        w.set(object, "Environment", at.0);
        w.set_if(object, "EnvironmentSize", bytes);
        process.environment_at = Some((at, object.at));
    }
    // Normalised: pointers, not offsets, which the first thread does.
    w.set_if(object, "Flags", u64::from(!process.unstarted));
    let bytes = arena.take(0).since(object.at);
    w.set_if(object, "MaximumLength", bytes);
    w.set_if(object, "Length", bytes);
    object.at
}
