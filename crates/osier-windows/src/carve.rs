//! What it takes to write a process or a driver down as a file.

use osier_memory::{Fault, VirtAddr};
use osier_osi::{
    Absent, Carve, CarveWindows, Descriptor, ModulePart, ProcessAddress, Seen, Stretch,
    SystemFacts, ThreadFacts, UserRegisters,
};

use crate::guest::is_kernel_address;
use crate::windows::Windows;
use crate::{behind, current, modules, peb, registers, root, shared_data, symbols, threads};

impl Carve for Windows {
    fn user_registers(&self, task: VirtAddr) -> Seen<UserRegisters> {
        registers::user(self, task)
    }

    fn program_width(&self, taskd: VirtAddr) -> Seen<u8> {
        if self.guest.pointer_bytes() == 4 {
            return Ok(4);
        }
        peb::wow64(self, taskd).map(|half| if half.is_some() { 4 } else { 8 })
    }

    fn behind(&self, place: ProcessAddress, fault: Fault, most: u64) -> Stretch {
        behind::behind(self, place, fault, most)
    }

    fn module_parts(&self, modd: VirtAddr) -> Seen<Vec<ModulePart>> {
        let module = modules::module(self, modd);
        let (base, size) = (module.base?, module.size?);
        Ok(vec![ModulePart { base, size }])
    }

    fn windows(&self) -> Option<&dyn CarveWindows> {
        Some(self)
    }
}

impl CarveWindows for Windows {
    fn registers_32(&self, task: VirtAddr) -> Seen<UserRegisters> {
        registers::user_32(self, task)
    }

    fn thread_facts(&self, task: VirtAddr) -> ThreadFacts {
        thread_facts(self, task)
    }

    fn system_facts(&self) -> SystemFacts {
        let space = &self.guest.space;
        let version = shared_data::version(space).ok_or_else(Absent::not_in_this_kernel);
        SystemFacts {
            version,
            build: build(self),
            product: shared_data::product(space),
            processors: current::blocks(self)
                .map(|blocks| u32::try_from(blocks.len()).unwrap_or(u32::MAX)),
        }
    }

    fn program_base(&self, taskd: VirtAddr) -> Seen<VirtAddr> {
        program_base(self, taskd)
    }

    fn descriptor(&self, taskd: VirtAddr, va: VirtAddr) -> Seen<Descriptor> {
        behind::descriptor(self, taskd, va)
    }
}

fn thread_facts(windows: &Windows, task: VirtAddr) -> ThreadFacts {
    let space = &windows.guest.space;
    let (fields, stack) = (&windows.threads.fields, &windows.trap.stack);
    let number = |field: Option<osier_profile::Field<osier_profile::UInt>>| -> Seen<u32> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        let raw = field.read(space, task)?;
        Ok(u32::try_from(raw).unwrap_or(u32::MAX))
    };
    let create_time = || -> Seen<u64> {
        let field = fields.create_time.ok_or_else(Absent::not_in_this_kernel)?;
        let raw = field.read(space, task)?;
        Ok(if fields.nested_faults.is_some() {
            raw >> 3
        } else {
            raw
        })
    };
    let start = || -> Seen<VirtAddr> {
        let field = fields.start.ok_or_else(Absent::not_in_this_kernel)?;
        Ok(field.read(space, task)?)
    };
    let teb = || -> Seen<VirtAddr> {
        let field = fields.teb.ok_or_else(Absent::not_in_this_kernel)?;
        let teb = field.read(space, task)?;
        if teb.is_null() {
            return Err(Absent::not_applicable("a thread of the kernel"));
        }
        if is_kernel_address(space, teb) || teb.in_page() != 0 && space.mode().pointer_bytes() == 8
        {
            let rule = "a thread's block is a page of user memory (Teb)";
            return Err(Absent::implausible(teb.0, rule, Some(field.place(task))));
        }
        Ok(teb)
    };
    let teb = teb();
    let teb_32 = teb.clone().and_then(|teb| {
        let none = || Absent::not_applicable("a thread without 32-bit code");
        if windows.guest.pointer_bytes() == 4 {
            return Err(none());
        }
        let owner = threads::owner(windows, task)?;
        let own = root::address_space(windows, owner)?;
        let at = threads::teb32(&windows.threads.teb, &own, teb)?;
        if at.is_null() || own.read_uint(at.plus(threads::SELF32), 4)? != at.0 {
            return Err(none());
        }
        Ok(at)
    });
    ThreadFacts {
        teb,
        teb_32,
        priority: number(stack.priority),
        suspended: number(stack.suspended),
        create_time: create_time(),
        start: start(),
    }
}

/// `NtBuildNumber` without its flags: the highest four bits say of which sort the build is.
fn build(windows: &Windows) -> Seen<u32> {
    const NUMBER: u64 = 0x0fff_ffff;
    let at = windows.guest.symbol(symbols::NtBuildNumber);
    let at = at.ok_or_else(Absent::not_in_this_kernel)?;
    let raw = windows.guest.space.read_uint(at, 4)? & NUMBER;
    if let Ok(build @ 1..=0xfffff) = u32::try_from(raw) {
        return Ok(build);
    }
    let rule = "a build has a number";
    Err(Absent::implausible(raw, rule, Some(at)))
}

fn program_base(windows: &Windows, taskd: VirtAddr) -> Seen<VirtAddr> {
    let space = &windows.guest.space;
    let field = windows.process.fields.section_base;
    let field = field.ok_or_else(Absent::not_in_this_kernel)?;
    let base = field.read(space, taskd)?;
    if base.is_null() {
        return Err(Absent::not_applicable("the process has no program"));
    }
    let native = peb::native(windows, taskd).ok();
    let other = native.and_then(|peb| peb.image_base().ok().flatten());
    if is_kernel_address(space, base) || base.in_page() != 0 {
        let rule = "a program is mapped at a page of user memory (SectionBaseAddress)";
        return Err(Absent::implausible(base.0, rule, Some(field.place(taskd))));
    }
    if other.is_some_and(|(other, _)| other != base) {
        let rule = "a program is mapped where its PEB says (SectionBaseAddress, ImageBaseAddress)";
        return Err(Absent::implausible(base.0, rule, Some(field.place(taskd))));
    }
    Ok(base)
}
