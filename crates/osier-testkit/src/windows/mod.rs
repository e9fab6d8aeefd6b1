//! A whole Windows machine, written from a kernel's real layout and a plan of what shall be on it.
//!
//! ```text
//!   Profile (layout) ─┐
//!                     ├─► Plan::write ─► WindowsMachine ─► Machine in memory, raw file, crash dump
//!   rows (Process …) ─┘
//! ```
//!
//! ```no_run
//! # use osier_testkit::windows::{Plan, Process};
//! # fn machine(profile: &osier_profile::Profile) {
//! let mut plan = Plan::new(profile);
//! plan.processes.push(
//!     Process::new(1012, "explorer.exe")
//!         .child_of(608)
//!         .runs("C:\\Windows\\explorer.exe", "explorer.exe /e", 0xff10_0000, 0x2c_0000)
//!         .loads(0x775c_0000, 0x1a_9000, "C:\\Windows\\SYSTEM32\\ntdll.dll"),
//! );
//! plan.run(1016);
//! let written = plan.write(profile);
//! let machine = written.machine();
//! # }
//! ```
//!
//! The plan comes back with every address filled in ([`WindowsMachine::plan`]), so that a test
//! compares rows with it. Structures are written by the profile's offsets and nothing else of the
//! readers'; what no profile has (PE headers, the debugger's block, 32-bit loader lists, dump
//! headers) stands here by its own source. Each kernel object has a file.

mod cpu;
mod debugger;
mod drivers;
mod dump;
mod image;
mod layout;
mod libosi;
mod pages;
mod peb;
mod processes;
mod ram;
mod rekall;
mod rows;
mod spaces;
mod threads;
mod vad;
mod wow64;
mod writer;

use std::sync::Arc;

use osier_memory::{CpuState, Machine, Paging, PhysAddr, VirtAddr};
use osier_profile::Profile;

pub use cpu::Processor;
pub use debugger::DebuggerData;
pub use layout::{win7_sp1_x86, win7_sp1_x86_pae};
pub use libosi::Libosi;
pub use ram::Ram;
pub use rekall::Rekall;
pub use rows::{
    Driver, Module, Paged, Part, Process, ProcessKind, Protection, Proto, Thread, Vad, VadKind,
    Wow64,
};

use image::{Image, Pdb};
use spaces::{Space, Spaces};
use writer::{Object, Writer};

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;

/// What shall be on the machine.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The paging mode; it must fit the layout's pointers and page-table entries.
    pub paging: Paging,
    /// Base of the kernel image.
    pub kernel_base: VirtAddr,
    /// Where the image lies in physical memory.
    pub kernel_physical: PhysAddr,
    /// Whether large pages map the image, where the mode has them.
    pub large_pages: bool,
    /// Table root of the System process.
    pub system_root: PhysAddr,
    /// The top-level entry of 64-bit tables that refers to the table itself: fixed at 0x1ed before
    /// Windows 10 1607, random later.
    pub self_map: u64,
    /// Whether user mode has tables of its own.
    pub kva_shadow: bool,
    /// How the debugger's block stands.
    pub debugger_data: DebuggerData,
    /// Name of the kernel's PDB.
    pub pdb: String,
    /// Whether the image's RSDS record is in memory.
    pub rsds: bool,
    /// `NtBuildLab`.
    pub build_lab: String,
    /// `NtBuildNumber`, without the flags in its upper bits.
    pub build: u32,
    /// Major and minor version.
    pub version: (u32, u32),
    /// When the machine stopped, in FILETIME.
    pub time: u64,
    /// Bytes of RAM; more when the plan needs more.
    pub ram: u64,
    /// The processors.
    pub processors: Vec<Processor>,
    /// The processes in list order, the System process first.
    pub processes: Vec<Process>,
    /// The drivers in load order, the kernel first.
    pub drivers: Vec<Driver>,
    /// The idle process, which is on no list. Chosen by the writer.
    pub idle_process: VirtAddr,
    /// The idle thread of each processor. Chosen by the writer.
    pub idle_threads: Vec<VirtAddr>,
}

/// A machine that was written.
#[derive(Clone)]
pub struct WindowsMachine {
    /// What is on it, with all addresses.
    pub plan: Plan,
    /// Its RAM.
    pub memory: Arc<Ram>,
    /// The registers of its processors.
    pub cpus: Vec<CpuState>,
    /// Addresses that a crash dump's header holds.
    heads: dump::Heads,
}

impl Plan {
    /// A plan for the kernel of `profile`: System, two idle processors, the kernel and the HAL,
    /// and of everything what is usual for a kernel of that layout.
    pub fn new(profile: &Profile) -> Self {
        let has = |ty: &str, member: &str| {
            let ty = profile.find_type(ty);
            ty.is_some_and(|ty| ty.member(member).is_some())
        };
        let wide = profile.identity().pointer_bytes == 8;
        let entry = profile
            .find_type("_MMPTE_SOFTWARE")
            .map_or(4, |ty| ty.bytes);
        let paging = match (wide, entry) {
            (true, _) => Paging::Long4,
            (false, 8) => Paging::Pae,
            (false, _) => Paging::Legacy,
        };
        let recent = profile.find_type("_EWOW64PROCESS").is_some();
        let balanced = has("_MMVAD_SHORT", "VadNode");
        let xp = !wide && !has("_MM_AVL_TABLE", "BalancedRoot");
        let (version, build, build_lab) = match (recent, balanced, xp) {
            (true, ..) => ((10, 0), 19041, "19041.1.amd64fre.vb_release.191206-1406"),
            (_, true, _) => ((6, 3), 9600, "9600.16384.amd64fre.winblue_rtm.130821-1623"),
            (_, _, true) => ((5, 1), 2600, "2600.xpsp_sp2_gdr.050301-1519"),
            _ => ((6, 1), 7601, "7601.17514.amd64fre.win7sp1_rtm.101119-1850"),
        };
        let (base, root, pdb) = match (paging, recent, xp) {
            (Paging::Long4, true, _) => (0xffff_f804_7ba0_0000, 0x1a_d000, "ntkrnlmp.pdb"),
            (Paging::Long4, ..) => (0xffff_f800_0265_a000, 0x18_7000, "ntkrnlmp.pdb"),
            (Paging::Pae, _, true) => (0x804d_7000, 0x33_9000, "ntkrnlpa.pdb"),
            (Paging::Pae, ..) => (0x8281_1000, 0x18_5000, "ntkrpamp.pdb"),
            (_, _, true) => (0x804d_7000, 0x3_9000, "ntoskrnl.pdb"),
            _ => (0x8281_1000, 0x18_5000, "ntkrnlmp.pdb"),
        };
        let physical = if wide {
            0x0260_0000 | (base & 0x1f_ffff)
        } else {
            base - 0x8000_0000
        };
        let mut plan = Self {
            paging,
            kernel_base: VirtAddr(base),
            kernel_physical: PhysAddr(physical),
            large_pages: true,
            system_root: PhysAddr(root),
            self_map: if recent { 0x1a7 } else { 0x1ed },
            kva_shadow: false,
            debugger_data: DebuggerData::Plain,
            pdb: pdb.to_owned(),
            rsds: true,
            build_lab: build_lab.to_owned(),
            build,
            version,
            time: 0x01d6_0000_0000_0000,
            ram: 128 * MIB,
            processors: vec![Processor::default(); 2],
            processes: vec![Process::system()],
            drivers: Vec::new(),
            idle_process: VirtAddr(0),
            idle_threads: Vec::new(),
        };
        if balanced && profile.symbol("KdpDataBlockEncoded").is_some() {
            plan.debugger_data = DebuggerData::Encoded {
                never: 0x0042_9c11_a3f7_6b5d,
                always: 0xd1e8_0e27_4b96_3c5a,
            };
        }
        let bytes = Self::least_image(profile);
        let system = "\\SystemRoot\\system32\\";
        plan.drivers = vec![
            Driver::new(base, bytes, &format!("{system}ntoskrnl.exe")),
            Driver::new(base + bytes, 0x4_9000, &format!("{system}hal.dll")),
        ];
        plan
    }

    /// Puts the first processor into user mode on the thread `tid`.
    pub fn run(&mut self, tid: u64) {
        self.processors[0] = Processor {
            tid: Some(tid),
            user: true,
        };
    }

    /// The process with the thread `tid`, and the thread.
    pub fn thread(&self, tid: u64) -> Option<(&Process, &Thread)> {
        let threads = self.processes.iter().flat_map(|process| {
            let threads = process.threads.iter();
            threads.map(move |thread| (process, thread))
        });
        threads.into_iter().find(|(_, thread)| thread.tid == tid)
    }

    /// Bytes of an image that has room for every symbol, and a page for the debug directory.
    fn least_image(profile: &Profile) -> u64 {
        let last = profile.symbols().iter().map(|(_, rva)| *rva).max();
        (last.unwrap_or(0) + 0x1_0000).next_multiple_of(PAGE) + 2 * PAGE
    }

    /// Writes the machine.
    ///
    /// # Panics
    ///
    /// When the plan cannot be: two objects at one address, a member that the layout lacks, an
    /// image that is too small.
    pub fn write(mut self, profile: &Profile) -> WindowsMachine {
        let mut w = self.begin(profile);
        self.image(&mut w);
        debugger::write(&mut w, self.debugger_data, self.paging == Paging::Pae);
        drivers::write(&mut w, &mut self.drivers);
        cpu::shared_data(&mut w, self.build, self.version, self.time);
        let spaces = processes::write(&mut w, &mut self.processes);
        let root = w.spaces.root(Space::SYSTEM);
        let idle = processes::idle(&mut w, self.processors.len(), root);
        self.idle_process = idle.process;
        self.idle_threads.clone_from(&idle.threads);
        let mut pcrs = Vec::new();
        for (number, processor) in (0..).zip(&self.processors) {
            let thread = match processor.tid {
                Some(tid) => self.ethread(tid),
                None => idle.threads[number as usize],
            };
            pcrs.push(cpu::write(&mut w, number, thread, &idle));
        }
        if w.is_wide() {
            cpu::low_stub(&mut w);
        }
        w.spaces.finish();
        if self.kva_shadow {
            self.shadow(&mut w, &spaces, &pcrs);
        }
        let states = (0_u32..).zip(&pcrs).zip(&self.processors);
        let cpus = states.map(|((number, pcr), processor)| {
            let running = self.running(&w, *processor);
            cpu::state(&w, number, pcr, running)
        });
        let cpus = cpus.collect();
        let heads = dump::Heads::of(&w);
        let memory = Ram::new(w.spaces.memory, self.ram);
        self.ram = memory.bytes();
        WindowsMachine {
            plan: self,
            memory: Arc::new(memory),
            cpus,
            heads,
        }
    }

    fn begin<'p>(&self, profile: &'p Profile) -> Writer<'p> {
        let (base, bytes) = (self.kernel_base, self.image_bytes());
        assert!(
            bytes >= Self::least_image(profile),
            "the kernel is too small"
        );
        let large = spaces::large_page(self.paging).filter(|_| self.large_pages);
        let page = large.unwrap_or(PAGE);
        let slack = base.0 % page;
        let physical = self.kernel_physical.minus(slack);
        let covered = (bytes + slack).next_multiple_of(page);
        // Pages are given out above whatever has its place.
        let first = PhysAddr(
            (physical.0 + covered)
                .max(0x0080_0000)
                .next_multiple_of(MIB),
        );
        let mut spaces = Spaces::new(self.paging, self.system_root, first, self.self_map);
        if large.is_some() {
            spaces.window(base.minus(slack), covered, physical);
        }
        Writer::new(profile, spaces, base, self.kva_shadow)
    }

    fn image_bytes(&self) -> u64 {
        let kernel = self.drivers.first().expect("the kernel among the drivers");
        assert_eq!(kernel.base, self.kernel_base.0, "the kernel comes first");
        kernel.size
    }

    /// The kernel image: headers, RSDS record, build.
    fn image(&self, w: &mut Writer<'_>) {
        let id = w.profile.identity().build_id.clone();
        let id = id.map_or_else(|| vec![0x11; 20], |id| id.0);
        let bytes = self.image_bytes();
        let image = Image {
            base: self.kernel_base,
            bytes,
            stamp: 0x4ce7_951a,
            pdb: Pdb {
                guid: id[..16].try_into().expect("a GUID"),
                age: u32::from_be_bytes(id[16..20].try_into().expect("an age")),
                name: &self.pdb,
            },
            // The last page of the image, behind every variable.
            debug: (bytes - 1) & !(PAGE - 1),
        };
        image::write(w, &image);
        if !self.rsds {
            let at = self.kernel_base.plus(image.debug);
            w.bytes(Space::SYSTEM, at, &[0; 0x100]);
        }
        // Code, so that an image is not all zeros.
        let code: Vec<u8> = (0..PAGE).map(|i| (i * 0x6d % 251) as u8).collect();
        w.bytes(Space::SYSTEM, self.kernel_base.plus(PAGE), &code);
        if let Some(at) = w.symbol("NtBuildLab") {
            let text = [self.build_lab.as_bytes(), b"\0"].concat();
            w.bytes(Space::SYSTEM, at, &text);
        }
        if let Some(at) = w.symbol("NtBuildNumber") {
            w.uint(Space::SYSTEM, at, u64::from(self.build | 0xf000_0000), 4);
        }
        for symbol in ["KeNumberProcessors", "KeNumberProcessorsGroup0"] {
            if let Some(at) = w.symbol(symbol) {
                w.uint(Space::SYSTEM, at, self.processors.len() as u64, 1);
            }
        }
        if let Some(at) = w.symbol("MmPagedPoolStart")
            && !w.is_wide()
        {
            w.pointer(Space::SYSTEM, at, writer::PAGED_POOL_X86);
        }
        let (user, system) = if w.is_wide() {
            (0x07ff_fffe_ffff, 0xffff_8000_0000_0000)
        } else {
            (0x7ffe_ffff, 0x8000_0000)
        };
        for (symbol, value) in [
            ("MmHighestUserAddress", user),
            ("MmSystemRangeStart", system),
        ] {
            if let Some(at) = w.symbol(symbol) {
                w.pointer(Space::SYSTEM, at, VirtAddr(value));
            }
        }
    }

    fn ethread(&self, tid: u64) -> VirtAddr {
        let thread = self.thread(tid).and_then(|(_, thread)| thread.ethread);
        thread.unwrap_or_else(|| panic!("no thread {tid}"))
    }

    /// Gives every process with a user half a second table, and the processors their way back.
    fn shadow(&mut self, w: &mut Writer<'_>, spaces: &[Space], pcrs: &[cpu::Pcr]) {
        let shared = cpu::shadowed(pcrs, &w.spaces);
        for (process, space) in self.processes.iter_mut().zip(spaces) {
            let at = process.eprocess.expect("written");
            let object = Object::system(processes::EPROCESS, at);
            // 1 says that the process runs on the kernel's view.
            let mut value = 1;
            if process.has_peb() {
                let root = w.spaces.shadow(*space, &shared);
                process.user_root = Some(root);
                value = root.0 | processes::USER_PCID;
            }
            w.set(object, "Pcb.UserDirectoryTableBase", value);
        }
        for (pcr, processor) in pcrs.iter().zip(&self.processors) {
            let process = processor.tid.and_then(|tid| self.thread(tid));
            let root = process.map_or(self.system_root, |(p, _)| p.root.expect("written"));
            cpu::shadow(w, pcr, root.0 | processes::KERNEL_PCID);
        }
    }

    fn running(&self, w: &Writer<'_>, processor: Processor) -> cpu::Running {
        let kernel_pcid = if self.kva_shadow {
            processes::KERNEL_PCID
        } else {
            0
        };
        let Some((process, thread)) = processor.tid.and_then(|tid| self.thread(tid)) else {
            return cpu::Running {
                teb: VirtAddr(0),
                cr3: w.spaces.root(Space::SYSTEM).0 | kernel_pcid,
                user: None,
            };
        };
        let root = process.root.expect("written").0 | kernel_pcid;
        let user = processor.user && process.has_peb();
        let cr3 = match process.user_root {
            Some(own) if user => own.0 | processes::USER_PCID,
            _ => root,
        };
        let base = process
            .modules
            .first()
            .map_or(0x1_0000, |module| module.base);
        cpu::Running {
            teb: thread.teb,
            cr3,
            user: user.then_some(base + 0x1234),
        }
    }
}

impl WindowsMachine {
    /// Memory and registers, as a snapshot with both gives them.
    pub fn machine(&self) -> Machine {
        Machine {
            memory: Arc::clone(&self.memory) as Arc<_>,
            cpus: self.cpus.clone(),
            hints: Vec::new(),
        }
    }

    /// Memory alone.
    pub fn without_registers(&self) -> Machine {
        Machine {
            cpus: Vec::new(),
            ..self.machine()
        }
    }

    /// The process `pid`.
    pub fn process(&self, pid: u64) -> &Process {
        let found = self.plan.processes.iter().find(|p| p.pid == pid);
        found.unwrap_or_else(|| panic!("no process {pid}"))
    }
}
