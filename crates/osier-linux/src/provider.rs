//! The questions: which walkers make which rows.

use std::ops::Range;
use std::sync::Arc;

use osier_memory::{AddressSpace, Each, Machine, Paging, PhysAddr, VirtAddr};
use osier_osi::{
    Absent, Carve, Choice, Crash, Current, Finding, FoundKernel, Interface, Kernel, LogLine,
    Mapping, Module, Mount, NoAttach, OpenFile, Osi, PageRange, Panda, Premise, Process, Scanned,
    Seen, Socket, Thread, Variable, WalkEnd, WalkEnds,
};
use osier_profile::{BuildId, Profile};

use crate::{
    Linux, Located, crash, current, environment, files, findings, group, interfaces, log, mappings,
    memory, mounts, pages, process, scan, sockets, tasks, threads, wide,
};

impl Osi for Linux {
    fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    fn clock(&self) -> Seen<i64> {
        self.clock.now(&self.guest)
    }

    fn crash(&self) -> Seen<Crash> {
        crash::crash(self)
    }

    fn processes(&self, row: Each<'_, Process>) -> WalkEnds {
        tasks::processes(self, None, row)
    }

    fn processes_of(&self, wanted: Choice<'_>, row: Each<'_, Process>) -> WalkEnds {
        tasks::processes(self, Some(wanted), row)
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
        self.modules.rows(&self.guest, row)
    }

    fn mappings(&self, taskd: VirtAddr, row: Each<'_, Mapping>) -> WalkEnds {
        mappings::mappings(self, taskd, row)
    }

    fn pages(&self, taskd: VirtAddr, row: Each<'_, PageRange>) -> WalkEnds {
        pages::pages(self, taskd, row)
    }

    fn files(&self, taskd: VirtAddr, row: Each<'_, OpenFile>) -> WalkEnds {
        files::files(self, taskd, row)
    }

    fn environment(&self, taskd: VirtAddr, row: Each<'_, Variable>) -> WalkEnds {
        environment::environment(self, taskd, row)
    }

    fn mounts(&self, taskd: VirtAddr, row: Each<'_, Mount>) -> WalkEnds {
        mounts::mounts(self, taskd, row)
    }

    fn sockets(&self, row: Each<'_, Socket>) -> WalkEnds {
        sockets::sockets(self, row)
    }

    fn interfaces(&self, row: Each<'_, Interface>) -> WalkEnds {
        interfaces::interfaces(self, row)
    }

    fn log(&self, row: Each<'_, LogLine>) -> WalkEnds {
        log::log(&self.guest, row)
    }

    fn wide(&self, row: Each<'_, Process>) -> WalkEnds {
        wide::processes(self, None, row)
    }

    fn wide_of(&self, wanted: Choice<'_>, row: Each<'_, Process>) -> WalkEnds {
        wide::processes(self, Some(wanted), row)
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

    fn address_space(&self, taskd: VirtAddr) -> Seen<AddressSpace> {
        memory::address_space(self, taskd)
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

impl Panda for Linux {
    fn panda_file(&self, modd: VirtAddr) -> Seen<Vec<u8>> {
        match self.maps.vma.vm_file.read(&self.guest.space, modd) {
            Ok(file) if file.is_null() => Err(Absent::not_applicable("no file")),
            Ok(file) => self.maps.paths.inside_file_system(&self.guest, file),
            Err(fault) => Err(Absent::unreadable(fault)),
        }
    }

    fn heap_bounds(&self, taskd: VirtAddr) -> Seen<(VirtAddr, VirtAddr)> {
        memory::heap_bounds(self, taskd)
    }

    fn panda_mappings(&self, taskd: VirtAddr, row: Each<'_, Mapping>) -> WalkEnds {
        if borrows(self, taskd) {
            return WalkEnds::one(mappings::WALK, WalkEnd::Closed);
        }
        mappings::mappings(self, taskd, row)
    }

    fn panda_process(&self, mut process: Process) -> Process {
        if borrows(self, process.taskd) {
            let why = "PANDA asks the leader alone, which has exited";
            process.asid = Err(Absent::not_applicable(why));
            process.pgd = Err(Absent::not_applicable(why));
        }
        process
    }
}

/// Whether the leader at `taskd` has exited, and the memory of its process is told by another thread of it.
fn borrows(linux: &Linux, taskd: VirtAddr) -> bool {
    let bearer = group::bearer(linux, taskd, linux.tasks.mm);
    bearer.is_ok_and(|bearer| bearer != taskd)
}

impl FoundKernel for Located {
    fn system(&self) -> &'static str {
        "linux"
    }

    fn mode(&self) -> Paging {
        self.mode
    }

    fn root(&self) -> PhysAddr {
        self.root
    }

    fn image(&self) -> Range<VirtAddr> {
        self.text..self.end
    }

    fn build_id(&self) -> Option<&BuildId> {
        self.build_id.as_ref()
    }

    fn banner(&self) -> Vec<u8> {
        self.banner.clone()
    }

    fn premises(&self) -> &[Premise] {
        &self.premises
    }

    fn space(&self, machine: &Machine) -> AddressSpace {
        Self::space(self, machine)
    }

    fn release(&self) -> String {
        Self::release(self)
    }

    fn lacking(&self, profile: &Profile) -> Vec<String> {
        crate::lacking(profile)
    }

    fn attach(&self, machine: &Machine, profile: Arc<Profile>) -> Result<Box<dyn Osi>, NoAttach> {
        Ok(Box::new(Linux::attach(machine, self, profile)?))
    }
}
