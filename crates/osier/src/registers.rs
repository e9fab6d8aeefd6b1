//! Registers of a file of their own, held against the machine that they are said to be of.

use std::path::Path;

use osier_memory::{CpuState, Machine, Paging, PhysAddr, VirtAddr};

use crate::{Error, Located};

/// Refuses registers that are another machine's: no processor's table maps anything that its own
/// registers point at, while another table maps the kernel.
///
/// A processor that runs with paging off, or has not been started, tells nothing.
pub(crate) fn held_against(machine: &Machine, located: &Located, file: &Path) -> Result<(), Error> {
    let mut foreign = None;
    for cpu in &machine.cpus {
        let modes = cpu.modes();
        if cpu.cr3 == 0 || modes.contains(&Paging::Flat) {
            continue;
        }
        if modes
            .iter()
            .any(|mode| maps_its_own(machine, located, cpu, *mode))
        {
            return Ok(());
        }
        foreign = foreign.or(Some(cpu));
    }
    let Some(cpu) = foreign else {
        return Ok(());
    };
    Err(Error::ForeignRegisters {
        file: file.to_owned(),
        cpu: cpu.index,
        cr3: cpu.cr3,
        root: located.root(),
    })
}

/// Whether the processor's table maps the kernel as the located one does, or, as the user half of a
/// pair does, the interrupt table that its registers name.
fn maps_its_own(machine: &Machine, located: &Located, cpu: &CpuState, mode: Paging) -> bool {
    // A 2-level table is one with PSE and without.
    let legacy = |mode: Paging| mode.entry_bytes() == 4;
    if mode != located.mode() && !(legacy(mode) && legacy(located.mode())) {
        return false;
    }
    let kernel = located.space(machine);
    let own = kernel.with_root(kernel.root_of_cr3(cpu.cr3));
    let same = |at: VirtAddr| match (kernel.translate(at), own.translate(at)) {
        (Ok(kernel), Ok(own)) => kernel == own,
        _ => false,
    };
    let half = kernel.with_root(PhysAddr(own.root().0 & !0x1000));
    let base = located.base();
    let idt = cpu.segments.idt.base.map(VirtAddr);
    same(base) || half.translate(base) == kernel.translate(base) || idt.is_some_and(same)
}
