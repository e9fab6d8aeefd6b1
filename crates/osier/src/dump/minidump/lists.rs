//! The lists of a minidump: threads, modules, handles, and what each stretch of addresses is.

use std::collections::HashMap;
use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::{
    Absent, Descriptor, FileKind, MappingKind, Seen, SeenExt as _, ThreadFacts, UserRegisters,
    WalkEnd, Why,
};
use zerocopy::FromZeros as _;
use zerocopy::little_endian::{U32, U64};

use super::context::context;
use super::heads::{Heads, narrow};
use super::layout::{
    HANDLE_DATA, HandleData, HandleDescriptor, ListHeader, Location, MEMORY_INFO_LIST, MODULE_LIST,
    MemoryDescriptor, MemoryInfo, Module, THREAD_INFO_LIST, THREAD_LIST, THREAD_NAMES, Thread,
    ThreadInfo, ThreadName,
};
use super::subject::Subject;
use crate::dump::Dumped;
use crate::dump::image::Image;
use crate::dump::plan::Watch;
use crate::process_memory::{Area, Content, Piece};

/// The walks' names in endings.
const REGISTERS: &str = "registers";
const MODULES: &str = "modules";
/// Handles that are written: Windows gives a process 2^24, none of which anybody has had.
const MOST_HANDLES: usize = 1 << 20;

/// Names of the general registers, in the encoding order.
const NAMES_64: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];
const NAMES_32: [&str; 8] = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"];

/// `ThreadListStream`, `ThreadInfoListStream` and `ThreadNamesStream`. Gives the number of threads with registers.
pub(super) fn threads(heads: &mut Heads, subject: &Subject<'_>, dumped: &mut Dumped) -> usize {
    let (osi, carve) = (subject.osi, subject.carve);
    let (mut list, mut infos, mut names) = (Vec::new(), Vec::new(), Vec::new());
    let mut partial: Vec<(String, &'static [usize])> = Vec::new();
    let walked = osi.threads(subject.taskd, &mut |row| {
        let name = match row.tid {
            Ok(tid) => format!("thread {tid}"),
            Err(_) => format!("the thread at {}", row.task),
        };
        let registers = if subject.native {
            carve.user_registers(row.task)
        } else {
            carve.registers_32(row.task)
        };
        let tid = row.tid.value().unwrap_or_default();
        let facts = carve.thread_facts(row.task);
        let left_out = |absent: &Absent, dumped: &mut Dumped| {
            let what = format!("the registers of {name}, which is left out of the list of threads");
            dumped.ends.add(REGISTERS, WalkEnd::without(what, absent));
        };
        match &registers {
            Ok(registers) => {
                if !registers.lost.is_empty() {
                    partial.push((name.clone(), registers.lost));
                }
                list.push(thread(heads, subject, tid, &facts, registers));
            }
            Err(absent) if absent.is_loss() || absent.why == Why::NotInThisKernel => {
                left_out(absent, dumped);
            }
            // One that has exited, or the kernel's.
            Err(_) => return ControlFlow::Continue(()),
        }
        if let Err(absent) = &row.tid {
            let what = format!("the id of {name}, which stands as 0");
            dumped.ends.add(REGISTERS, WalkEnd::without(what, absent));
        }
        infos.push(info(tid, &facts, registers.is_ok()));
        if let Some(name) = row.name.get().filter(|name| !name.is_empty()) {
            names.push(ThreadName {
                thread_id: tid.into(),
                rva_of_thread_name: U64::new(heads.text(name).get().into()),
            });
        }
        ControlFlow::Continue(())
    });
    for (name, lost) in partial {
        let of: &[&str] = if subject.wide { &NAMES_64 } else { &NAMES_32 };
        let lost: Vec<&str> = lost
            .iter()
            .filter_map(|&nth| of.get(nth).copied())
            .collect();
        let missing = format!(
            "{} of {name}, which the kernel does not keep; they stand as 0",
            lost.join(", ")
        );
        dumped.ends.add(REGISTERS, WalkEnd::no_start(missing, None));
    }
    dumped.ends.join(walked);
    let count = list.len();
    heads.stream(THREAD_LIST, &narrow(count), &list);
    let head = list_header(size_of::<ThreadInfo>(), narrow(infos.len()));
    heads.stream(THREAD_INFO_LIST, &head, &infos);
    if !names.is_empty() {
        heads.stream(THREAD_NAMES, &narrow(names.len()), &names);
    }
    count
}

fn list_header<N>(entry: usize, number: N) -> ListHeader<N> {
    let head = size_of::<ListHeader<N>>();
    ListHeader {
        size_of_header: narrow(head),
        size_of_entry: narrow(entry),
        number_of_entries: number,
    }
}

fn thread(
    heads: &mut Heads,
    subject: &Subject<'_>,
    tid: u32,
    facts: &ThreadFacts,
    registers: &UserRegisters,
) -> Thread {
    /// RSP in the encoding order.
    const SP: usize = 4;
    let sp = registers.general.get(SP).copied().unwrap_or_default();
    let teb = if subject.native {
        &facts.teb
    } else {
        &facts.teb_32
    };
    let teb = teb.value().map_or(0, |teb| teb.0);
    // The bytes are in the list of all memory; a reader looks for them there by the address.
    let stack = MemoryDescriptor {
        start_of_memory_range: sp.into(),
        memory: Location::default(),
    };
    let mut thread = Thread::new_zeroed();
    thread.thread_id = tid.into();
    thread.suspend_count = facts.suspended.value().unwrap_or_default().into();
    thread.priority = facts.priority.value().unwrap_or_default().into();
    thread.teb = teb.into();
    thread.stack = stack;
    thread.thread_context = heads.put(&context(registers, subject.wide));
    thread
}

fn info(tid: u32, facts: &ThreadFacts, registers: bool) -> ThreadInfo {
    /// `MINIDUMP_THREAD_INFO_NO_CONTEXT`.
    const NO_CONTEXT: u32 = 0x10;
    /// `STATUS_PENDING`.
    const PENDING: u32 = 0x103;
    let mut info = ThreadInfo::new_zeroed();
    info.thread_id = tid.into();
    info.dump_flags = if registers { 0 } else { NO_CONTEXT }.into();
    info.exit_status = PENDING.into();
    info.create_time = facts.create_time.value().unwrap_or_default().into();
    info.start_address = facts.start.value().map_or(0, |at| at.0).into();
    info
}

/// `ModuleListStream`: the program first, then by address.
pub(super) fn modules(heads: &mut Heads, subject: &Subject<'_>, dumped: &mut Dumped) {
    let memory = subject.memory;
    let program = subject.carve.program_base(subject.taskd);
    let program = program.value().map(|base| base.0);
    let mut images: Vec<&Area> = Vec::new();
    for area in &memory.areas {
        let image = area.mapping.kind.value() == Some(MappingKind::Image);
        // Of a kernel that has a mapping for each segment, the first.
        let goes_on = images
            .last()
            .is_some_and(|last| last.mapping.modd == area.mapping.modd);
        if image && !goes_on {
            images.push(area);
        }
    }
    images.sort_by_key(|area| (Some(area.range.start) != program, area.range.start));
    let read = |at: VirtAddr, into: &mut [u8]| memory.read(at, into);
    let mut list = Vec::with_capacity(images.len());
    let mut unread: Option<(usize, Box<Absent>)> = None;
    for area in images {
        let base = VirtAddr(area.range.start);
        let mut module = Module::new_zeroed();
        module.base_of_image = base.0.into();
        let bytes = area.range.end.saturating_sub(area.range.start);
        module.size_of_image = u32::try_from(bytes).unwrap_or(u32::MAX).into();
        module.module_name_rva = heads.text(area.name());
        match Image::read(&read, base) {
            Ok(image) => {
                module.size_of_image = image.bytes.into();
                module.check_sum = image.check_sum.into();
                module.time_date_stamp = image.time_date_stamp.into();
                if let Some(version) = image.version(&read) {
                    module.version_info = version;
                }
                if let Some(record) = image.codeview(&read) {
                    module.cv_record = heads.put(&record);
                }
            }
            Err(absent) => {
                let (count, _) = unread.get_or_insert((0, absent));
                *count = count.saturating_add(1);
            }
        }
        list.push(module);
    }
    if let Some((count, absent)) = unread {
        let what = format!(
            "the headers of {count} of {} images, whose stamps stand as 0",
            list.len()
        );
        dumped.ends.add(MODULES, WalkEnd::without(what, &absent));
    }
    heads.stream(MODULE_LIST, &narrow(list.len()), &list);
}

/// `HandleDataStream`.
pub(super) fn handles(heads: &mut Heads, subject: &Subject<'_>, dumped: &mut Dumped) {
    let mut list: Vec<HandleDescriptor> = Vec::new();
    let mut kinds: HashMap<Vec<u8>, U32> = HashMap::new();
    let mut lost = 0_usize;
    let walked = subject.osi.files(subject.taskd, &mut |file| {
        if list.len() >= MOST_HANDLES {
            return ControlFlow::Break(());
        }
        let is_loss = |absent: Option<&Absent>| absent.is_some_and(Absent::is_loss);
        let values = [
            is_loss(file.kind.absence()),
            is_loss(file.path.absence()),
            is_loss(file.flags.absence()),
        ];
        lost = lost.saturating_add(values.iter().filter(|lost| **lost).count());
        let mut handle = HandleDescriptor::new_zeroed();
        handle.handle = u64::from(file.fd).into();
        if let Ok(FileKind::Object(kind)) = &file.kind {
            let known = kinds.get(kind).copied();
            let rva = known.unwrap_or_else(|| heads.text(kind));
            if known.is_none() {
                kinds.insert(kind.clone(), rva);
            }
            handle.type_name_rva = rva;
        }
        if let Ok(path) = &file.path {
            handle.object_name_rva = heads.text(path);
        }
        let access = file.flags.value().unwrap_or_default();
        handle.granted_access = U32::new((access & 0xffff_ffff) as u32);
        list.push(handle);
        ControlFlow::Continue(())
    });
    dumped.ends.join(walked);
    if list.len() >= MOST_HANDLES {
        let after = list.len();
        dumped.ends.add("handles", WalkEnd::Limit { after });
    }
    if lost > 0 {
        dumped.ends.add(
            "handles",
            WalkEnd::no_start(
                format!("{lost} names, types and rights of handles, which are left out"),
                None,
            ),
        );
    }
    let head = HandleData {
        size_of_header: narrow(size_of::<HandleData>()),
        size_of_descriptor: narrow(size_of::<HandleDescriptor>()),
        number_of_descriptors: narrow(list.len()),
        reserved: 0.into(),
    };
    heads.stream(HANDLE_DATA, &head, &list);
}

/// What becomes `MemoryInfoListStream`: every stretch of addresses, of one descriptor and one state.
pub(super) struct Regions<'a> {
    subject: &'a Subject<'a>,
    list: Vec<MemoryInfo>,
    /// The area that the last stretch is of, and its descriptor.
    of: Option<(u64, Seen<Descriptor>)>,
    /// The first that a descriptor does not tell of itself.
    lost: Option<Box<Absent>>,
}

impl<'a> Regions<'a> {
    pub(super) fn new(subject: &'a Subject<'a>) -> Self {
        Self {
            subject,
            list: Vec::new(),
            of: None,
            lost: None,
        }
    }

    pub(super) fn put(mut self, heads: &mut Heads, dumped: &mut Dumped) {
        if let Some(absent) = self.lost.take() {
            let what = "what some descriptors say, whose protection and type stand as 0".to_owned();
            dumped.ends.add("vads", WalkEnd::without(what, &absent));
        }
        let head = list_header(size_of::<MemoryInfo>(), U64::new(self.list.len() as u64));
        heads.stream(MEMORY_INFO_LIST, &head, &self.list);
    }
}

impl Watch for Regions<'_> {
    fn piece(&mut self, area: &Area, piece: &Piece) {
        /// `MEM_COMMIT` and `MEM_RESERVE`.
        const COMMIT: u32 = 0x1000;
        const RESERVE: u32 = 0x2000;
        let state = match piece.content {
            Content::Nothing => RESERVE,
            Content::Frame(_) | Content::Zeros | Content::Lost(_) => COMMIT,
        };
        let start = area.range.start;
        if self.of.as_ref().is_none_or(|(of, _)| *of != start) {
            let carve = self.subject.carve;
            let told = carve.descriptor(self.subject.taskd, VirtAddr(start));
            self.of = Some((start, told));
        } else if let Some(last) = self.list.last_mut()
            && last
                .base_address
                .get()
                .saturating_add(last.region_size.get())
                == piece.start.0
            && last.state.get() == state
        {
            let bytes = last.region_size.get().saturating_add(piece.len);
            last.region_size = bytes.into();
            return;
        }
        let mut info = MemoryInfo::new_zeroed();
        info.base_address = piece.start.0.into();
        info.region_size = piece.len.into();
        info.state = state.into();
        match self.of.as_ref().map(|(_, told)| told) {
            Some(Ok(told)) => {
                let absent = told.protection.absence().or(told.kind.absence());
                if let Some(absent) = absent.filter(|absent| absent.is_loss()) {
                    self.lost.get_or_insert_with(|| Box::new(absent.clone()));
                }
                let protection = told.protection.value().unwrap_or_default();
                info.allocation_base = told.start.0.into();
                info.allocation_protect = protection.into();
                info.protect = if state == COMMIT { protection } else { 0 }.into();
                info.kind = told.kind.value().unwrap_or_default().into();
            }
            Some(Err(absent)) if absent.is_loss() => {
                self.lost.get_or_insert_with(|| absent.clone());
            }
            _ => info.allocation_base = start.into(),
        }
        self.list.push(info);
    }
}
