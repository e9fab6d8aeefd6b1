//! A kernel that stopped the machine by itself says why, and which processor did.

use osier::{Osi, SeenExt as _, Why};
use osier_testkit::windows::Bugcheck;

use super::layouts;
use super::machines::{attach, compare, crowd, modes};

#[test]
fn a_bugcheck_is_told_with_its_parameters_and_its_processor() {
    let mut told = 0;
    for layout in layouts::all() {
        let narrow = layout.profile.identity().pointer_bytes == 4;
        let high = if narrow { 0 } else { 0xffff_f800_0000_0000_u64 };
        let bugcheck = Bugcheck {
            code: 0xd1,
            parameters: [high | 0x8123_4560, 2, 0, high | 0x8234_5670],
            cpu: 1,
            ip: high | 0x804f_1234,
            sp: high | 0x8055_fff0,
        };
        let mut plan = crowd(layout, modes(layout)[0]);
        plan.bugcheck = Some(bugcheck);
        let machine = plan.write(&layout.profile);
        let osi = attach(layout, &machine.machine());
        // Nothing else changes.
        compare(&osi, &machine, &layout.name);
        let crash = osi.crash();
        if layout.profile.symbol("KiBugCheckData").is_none() {
            assert_eq!(crash.unwrap_err().why, Why::NotInThisKernel);
            continue;
        }
        told += 1;
        let crash = crash.unwrap();
        let message = String::from_utf8(crash.message.unwrap()).unwrap();
        let [a, b, c, d] = bugcheck.parameters;
        let wanted = format!("bugcheck 0xd1 ({a:#x}, {b:#x}, {c:#x}, {d:#x})");
        assert_eq!(message, wanted, "{}", layout.name);
        assert_eq!(crash.cpu, Ok(1), "{}", layout.name);
        let registers = (crash.ip.value(), crash.sp.value());
        let registers = (registers.0.map(|at| at.0), registers.1.map(|at| at.0));
        assert_eq!(
            registers,
            (Some(bugcheck.ip), Some(bugcheck.sp)),
            "{}",
            layout.name
        );
    }
    assert!(told >= 10, "{told} layouts");
}

#[test]
fn a_machine_that_runs_has_not_stopped_by_itself() {
    for layout in layouts::all() {
        let machine = crowd(layout, modes(layout)[0]).write(&layout.profile);
        let absent = attach(layout, &machine.machine()).crash().unwrap_err();
        assert!(!absent.is_loss(), "{}: {absent:?}", layout.name);
    }
}
