//! What the kernel said when it stopped the machine: `KiBugCheckData`, the code and four parameters of a
//! bugcheck, and which processor stopped the others.

use osier_memory::VirtAddr;
use osier_osi::{Absent, Crash, Seen};
use osier_profile::{Field, Ptr};

use crate::current;
use crate::symbols;
use crate::windows::Windows;

/// The bugcheck of the kernel; not applicable where there was none.
pub(crate) fn crash(windows: &Windows) -> Seen<Crash> {
    let guest = &windows.guest;
    let Some(place) = guest.symbol(symbols::KiBugCheckData) else {
        return Err(Absent::not_in_this_kernel());
    };
    let width = u64::from(guest.pointer_bytes());
    let word = |nth: u64| {
        let at = place.plus(nth.wrapping_mul(width));
        guest.space.read_pointer(at).map_err(Absent::unreadable)
    };
    let code = word(0)?;
    if code.is_null() {
        return Err(Absent::not_applicable("the kernel did not stop by itself"));
    }
    if code.0 >> 32 != 0 {
        let rule = "a bugcheck's code has 32 bits";
        return Err(Absent::implausible(code.0, rule, Some(place)));
    }
    let parameters = (1..5).map(word).collect::<Result<Vec<_>, _>>();
    let message = parameters.map(|parameters| {
        let parameters = parameters.iter().map(ToString::to_string);
        let parameters = parameters.collect::<Vec<_>>().join(", ");
        format!("bugcheck {:#x} ({parameters})", code.0).into_bytes()
    });
    let stopper = current::blocks(windows).and_then(|blocks| stopper(windows, &blocks));
    let saved = |field: Option<Field<Ptr<()>>>| match (&stopper, field) {
        (Err(absent), _) => Err(absent.clone()),
        (_, None) => Err(Absent::not_in_this_kernel()),
        (Ok((_, block)), Some(field)) => match field.read(&guest.space, *block) {
            Ok(at) if at.is_null() => Err(Absent::not_applicable("the kernel saved no registers")),
            read => read.map_err(Absent::unreadable),
        },
    };
    Ok(Crash {
        message,
        ip: saved(windows.current.prcb.ip),
        sp: saved(windows.current.prcb.sp),
        cpu: stopper.map(|(cpu, _)| cpu),
    })
}

/// The processor that stopped the machine, and its block: of several the one that no other has frozen.
fn stopper(windows: &Windows, blocks: &[VirtAddr]) -> Seen<(u32, VirtAddr)> {
    /// `TARGET_FROZEN`, in the lower four bits of `IpiFrozen`.
    const FROZEN: u64 = 2;
    const STATE: u64 = 0xf;
    let all = (0_u32..).zip(blocks.iter().copied());
    if let [only] = blocks {
        return Ok((0, *only));
    }
    let Some(field) = windows.current.prcb.frozen else {
        return Err(Absent::not_in_this_kernel());
    };
    let mut others = Vec::new();
    for (cpu, block) in all {
        let state = field.read(&windows.guest.space, block);
        if state.map_err(Absent::unreadable)? & STATE != FROZEN {
            others.push((cpu, block));
        }
    }
    match others.as_slice() {
        [one] => Ok(*one),
        several => {
            let rule = "one processor of a machine that stopped was frozen by no other (IpiFrozen)";
            Err(Absent::implausible(several.len() as u64, rule, None))
        }
    }
}
