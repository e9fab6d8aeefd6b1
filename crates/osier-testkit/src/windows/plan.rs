//! What shall be on a machine, and what is usual for a kernel's layout.

use osier_memory::{Paging, PhysAddr, VirtAddr};
use osier_profile::Profile;

use super::{DebuggerData, Driver, Process, Thread};

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;

/// A bugcheck: what the kernel keeps of it, and what the processor that called it was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bugcheck {
    /// The code.
    pub code: u32,
    /// The four parameters.
    pub parameters: [u64; 4],
    /// The processor that stopped the others.
    pub cpu: usize,
    /// Its instruction pointer.
    pub ip: u64,
    /// Its stack pointer.
    pub sp: u64,
}

/// What a processor was doing when the machine stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Processor {
    /// The current thread; `None` for the idle thread.
    pub tid: Option<u64>,
    /// Whether it was in user mode.
    pub user: bool,
}

/// The record by which an image names its PDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PdbRecord {
    /// It is in memory.
    There,
    /// Its page holds zeros.
    Lost,
    /// The image was linked without: it has no debug directory, which would name the record's place.
    NoDirectory,
}

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
    /// The record by which the image names its PDB.
    pub record: PdbRecord,
    /// The bugcheck by which the kernel stopped the machine.
    pub bugcheck: Option<Bugcheck>,
    /// Whether the kernel has only begun to start: its lists of processes and drivers, the table of ids
    /// and the System process are not there yet.
    pub early: bool,
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
        let reactos = profile.find_type("_MEMORY_AREA").is_some();
        let (version, build, build_lab) = match (recent, balanced, xp) {
            _ if reactos => ((5, 2), 3790, "3790.reactos_0.4.15.231231-1200"),
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
            _ if reactos => (0x8040_0000, 0x3_9000, "ntoskrnl.pdb"),
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
            record: PdbRecord::There,
            bugcheck: None,
            early: false,
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
    pub(super) fn least_image(profile: &Profile) -> u64 {
        let last = profile.symbols().iter().map(|(_, rva)| *rva).max();
        let bytes = (last.unwrap_or(0) + 0x1_0000).next_multiple_of(PAGE) + 2 * PAGE;
        // No kernel is smaller, whatever a profile leaves out.
        bytes.max(2 * MIB)
    }

    /// Bytes of the kernel image.
    pub(super) fn image_bytes(&self) -> u64 {
        let kernel = self.drivers.first().expect("the kernel among the drivers");
        assert_eq!(kernel.base, self.kernel_base.0, "the kernel comes first");
        kernel.size
    }
}
