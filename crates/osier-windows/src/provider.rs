//! The questions: which walkers make which rows.

use std::ops::Range;
use std::sync::Arc;

use osier_memory::{AddressSpace, Each, Machine, Paging, PhysAddr, VirtAddr};
use osier_osi::{
    Absent, Carve, Choice, Crash, Current, Finding, FoundKernel, Kernel, Mapping, Module, NoAttach,
    OpenFile, Osi, PageRange, Panda, Premise, Process, Scanned, Seen, Thread, Variable, WalkEnds,
};
use osier_profile::{BuildId, Profile};

use crate::locate::Located;
use crate::windows::Windows;
use crate::{
    clock, crash, current, environment, files, findings, mappings, modules, process, processes,
    root, scan, threads, wide,
};

impl Osi for Windows {
    fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    fn clock(&self) -> Seen<i64> {
        clock::now(&self.guest)
    }

    fn crash(&self) -> Seen<Crash> {
        crash::crash(self)
    }

    fn processes(&self, row: Each<'_, Process>) -> WalkEnds {
        processes::processes(self, None, row)
    }

    fn processes_of(&self, wanted: Choice<'_>, row: Each<'_, Process>) -> WalkEnds {
        processes::processes(self, Some(wanted), row)
    }

    fn process(&self, taskd: VirtAddr) -> Seen<Process> {
        process::by_handle(self, taskd)
    }

    fn current(&self, row: Each<'_, Current>) -> WalkEnds {
        current::current(self, row)
    }

    fn threads(&self, taskd: VirtAddr, row: Each<'_, Thread>) -> WalkEnds {
        threads::threads(self, taskd, row)
    }

    fn modules(&self, row: Each<'_, Module>) -> WalkEnds {
        modules::modules(self, row)
    }

    fn mappings(&self, taskd: VirtAddr, row: Each<'_, Mapping>) -> WalkEnds {
        mappings::mappings(self, taskd, row)
    }

    fn pages(&self, taskd: VirtAddr, row: Each<'_, PageRange>) -> WalkEnds {
        mappings::pages(self, taskd, row)
    }

    fn files(&self, taskd: VirtAddr, row: Each<'_, OpenFile>) -> WalkEnds {
        files::files(self, taskd, row)
    }

    fn environment(&self, taskd: VirtAddr, row: Each<'_, Variable>) -> WalkEnds {
        environment::environment(self, taskd, row)
    }

    fn scan(&self, row: Each<'_, Scanned>) -> WalkEnds {
        scan::scan(self, row)
    }

    fn findings(&self, row: Each<'_, Finding>) -> WalkEnds {
        findings::findings(self, row)
    }

    fn rules(&self) -> Vec<&'static str> {
        findings::names()
    }

    fn findings_of(&self, rules: &[&str], row: Each<'_, Finding>) -> WalkEnds {
        findings::of(self, rules, row)
    }

    fn wide(&self, row: Each<'_, Process>) -> WalkEnds {
        wide::processes(self, None, row)
    }

    fn wide_of(&self, wanted: Choice<'_>, row: Each<'_, Process>) -> WalkEnds {
        wide::processes(self, Some(wanted), row)
    }

    fn address_space(&self, taskd: VirtAddr) -> Seen<AddressSpace> {
        root::address_space(self, taskd)
    }

    fn kernel_space(&self) -> &AddressSpace {
        &self.guest.space
    }

    fn fork(&self) -> Box<dyn Osi> {
        Box::new(self.clone())
    }

    fn carve(&self) -> Option<&dyn Carve> {
        Some(self)
    }

    fn panda(&self) -> Option<&dyn Panda> {
        Some(self)
    }
}

impl Panda for Windows {
    fn panda_file(&self, modd: VirtAddr) -> Seen<Vec<u8>> {
        let _ = modd;
        Err(Absent::not_applicable(
            "PANDA's rows of Windows are those of the loader",
        ))
    }

    fn heap_bounds(&self, _taskd: VirtAddr) -> Seen<(VirtAddr, VirtAddr)> {
        Err(Absent::not_applicable("a Windows process has many heaps"))
    }

    fn panda_mappings(&self, taskd: VirtAddr, row: Each<'_, Mapping>) -> WalkEnds {
        mappings::of_loader_alone(self, taskd, row)
    }

    fn panda_last_module(&self) -> Seen<Module> {
        match self.modules_at {
            Some(head) => Ok(modules::as_it_stands(self, head)),
            None => Err(Absent::not_in_this_kernel()),
        }
    }
}

impl FoundKernel for Located {
    fn system(&self) -> &'static str {
        "windows"
    }

    fn mode(&self) -> Paging {
        self.mode
    }

    fn root(&self) -> PhysAddr {
        self.root
    }

    fn image(&self) -> Range<VirtAddr> {
        /// The least that a kernel whose header was not captured has.
        const LEAST: u64 = 1 << 20;
        self.base..self.base.plus(self.size.unwrap_or(LEAST))
    }

    fn build_id(&self) -> Option<&BuildId> {
        self.build_id.as_ref()
    }

    fn banner(&self) -> Vec<u8> {
        self.pdb.clone().unwrap_or_default().into_bytes()
    }

    fn premises(&self) -> &[Premise] {
        &self.premises
    }

    fn space(&self, machine: &Machine) -> AddressSpace {
        Self::space(self, machine)
    }

    fn lacking(&self, profile: &Profile) -> Vec<String> {
        crate::lacking(profile)
    }

    fn attach(&self, machine: &Machine, profile: Arc<Profile>) -> Result<Box<dyn Osi>, NoAttach> {
        Ok(Box::new(Windows::attach(machine, self, profile)?))
    }
}
