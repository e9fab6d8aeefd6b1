//! From a plan to a machine.

use std::sync::Arc;

use osier_memory::{CpuState, Machine, Paging, PhysAddr, VirtAddr};
use osier_profile::Profile;

use super::spaces::{self, Space, Spaces};
use super::writer::{Object, Writer};
use super::{Plan, Process, Processor, Ram};
use super::{cpu, debugger, drivers, kernel, objects, processes};

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;

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
    pub(super) heads: Heads,
}

/// Addresses in a crash dump's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    pub(super) root: PhysAddr,
    pub(super) modules: VirtAddr,
    pub(super) processes: VirtAddr,
    pub(super) debugger: VirtAddr,
}

impl Heads {
    fn of(w: &Writer<'_>) -> Self {
        Self {
            root: w.spaces.root(Space::SYSTEM),
            modules: w.must("PsLoadedModuleList"),
            processes: w.must("PsActiveProcessHead"),
            debugger: w.symbol("KdDebuggerDataBlock").unwrap_or(VirtAddr(0)),
        }
    }
}

impl Plan {
    /// Writes the machine.
    ///
    /// # Panics
    ///
    /// When the plan cannot be: two objects at one address, a member that the layout lacks, an
    /// image that is too small.
    pub fn write(mut self, profile: &Profile) -> WindowsMachine {
        let mut w = self.begin(profile);
        kernel::write(&mut w, &self);
        debugger::write(&mut w, self.debugger_data, self.paging == Paging::Pae);
        objects::begin(&mut w);
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
        if let Some(bugcheck) = &self.bugcheck {
            cpu::stop(&mut w, &pcrs, bugcheck);
        }
        if self.early {
            kernel::unbuild(&mut w);
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
        let heads = Heads::of(&w);
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

    fn ethread(&self, tid: u64) -> VirtAddr {
        let thread = self.thread(tid).and_then(|(_, thread)| thread.ethread);
        thread.unwrap_or_else(|| panic!("no thread {tid}"))
    }

    /// Gives every process with a user half a second table, and the processors their way back.
    fn shadow(&mut self, w: &mut Writer<'_>, spaces: &[Space], pcrs: &[cpu::Pcr]) {
        let shared = cpu::shadowed(pcrs, &w.spaces);
        for (process, space) in self.processes.iter_mut().zip(spaces) {
            let at = process.eprocess.expect("written");
            let object = Object::system(objects::EPROCESS, at);
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
