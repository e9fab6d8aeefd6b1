//! Code that leads away: instructions of untouched machines written over.

use std::fs;

use osier::{Finding, Severity, VirtAddr};
use osier_testkit::need::Real;

use crate::findings::{alarms, lost, one};
use crate::machine::Machine;

/// A function of every kernel, of more than 16 bytes.
const VICTIM: &str = "machine_restart";

/// Where a function begins, as the guest told.
fn function(real: &Real, name: &str) -> VirtAddr {
    let text = fs::read(real.path.join("truth/kallsyms")).unwrap();
    let named =
        |line: &&[u8]| line.split(|byte| b" \t".contains(byte)).nth(2) == Some(name.as_bytes());
    let line = text.split(|byte| *byte == b'\n').find(named);
    let line = line.unwrap_or_else(|| panic!("{}: no {name}", real.name));
    let address = line.split(|byte| *byte == b' ').next().unwrap();
    let address = str::from_utf8(address).unwrap();
    VirtAddr(u64::from_str_radix(address, 16).unwrap())
}

fn relative(opcode: u8, at: VirtAddr, to: VirtAddr) -> Vec<u8> {
    let distance = to.0.wrapping_sub(at.0.wrapping_add(5)) as u32;
    [&[opcode], &distance.to_le_bytes()[..]].concat()
}

/// The machine with its module `dummy` in hiding, and where the code of that begins.
fn hiding(real: &Real) -> (Machine, VirtAddr) {
    let mut machine = Machine::of(real);
    let mut modules = machine.guest().modules();
    let named = |name: &[u8]| name == b"dummy";
    let dummy = modules.find(|module| module.name.as_deref().is_ok_and(named));
    let dummy = dummy.unwrap();
    machine.unlink(machine.place("module", dummy.modd, "list"));
    machine.unlink(machine.place("module", dummy.modd, "mkobj.kobj.entry"));
    (machine, dummy.base.unwrap())
}

/// What is found of code.
fn found(machine: &Machine) -> Vec<Finding> {
    let mut all = alarms(machine);
    all.retain(|one| one.rule == "kernel.code");
    all
}

/// Writes over the first bytes of the victim, and expects that jump alone.
fn over_the_first(real: &Real, code: &dyn Fn(VirtAddr, VirtAddr, usize) -> Vec<u8>) {
    let (mut machine, to) = hiding(real);
    assert!(found(&machine).is_empty());
    let at = function(real, VICTIM);
    let code = code(at, to, machine.word());
    machine.put(at, &code);
    let alarms = found(&machine);
    let [alarm] = alarms.as_slice() else {
        panic!("{}: {code:02x?}: {alarms:#?}", real.name);
    };
    let evidence = alarm.evidence.escape_ascii().to_string();
    assert_eq!(alarm.severity, Severity::High);
    assert_eq!(alarm.subject, VICTIM.as_bytes());
    assert!(
        evidence.ends_with("in code of module dummy, which the list of modules lacks"),
        "{evidence}"
    );
}

pub(crate) fn a_jump_into_a_module_that_hides(real: &Real) {
    over_the_first(real, &|at, to, _| relative(0xe9, at, to));
    // Behind what is ftrace's.
    over_the_first(real, &|at, to, _| {
        let nop = [0x0f, 0x1f, 0x44, 0, 0];
        [&nop[..], &relative(0xe8, at.plus(5), to)].concat()
    });
    over_the_first(real, &|_, to, word| match word {
        8 => [&[0x48, 0xb8], &to.0.to_le_bytes()[..], &[0xff, 0xe0]].concat(),
        _ => [&[0xb8], &to.0.to_le_bytes()[..4], &[0xff, 0xe0]].concat(),
    });
    over_the_first(real, &|_, to, _| {
        [&[0x68], &to.0.to_le_bytes()[..4], &[0xc3]].concat()
    });
    over_the_first(real, &|at, to, word| {
        let (cell, address) = (at.0.wrapping_add(6), to.0.to_le_bytes());
        match word {
            8 => [&[0xff, 0x25, 0, 0, 0, 0], &address[..]].concat(),
            _ => [&[0xff, 0x25], &cell.to_le_bytes()[..4], &address[..4]].concat(),
        }
    });
}

/// The number of an instruction is not code, whatever its bytes would say.
pub(crate) fn bytes_that_only_look_like_a_jump(real: &Real) {
    let (mut machine, to) = hiding(real);
    let at = function(real, VICTIM);
    // mov edx, imm32 / mov edx, imm32, the first of which ends in what would be a jump with the second's bytes.
    let jump = relative(0xe9, at.plus(4), to);
    let code = [&[0xba, 0, 0, 0], &jump[..]].concat();
    machine.put(at, &code);
    let alarms = found(&machine);
    assert!(alarms.is_empty(), "{}: {alarms:#?}", real.name);
}

pub(crate) fn a_jump_out_of_a_module(real: &Real) {
    let (mut machine, to) = hiding(real);
    let at = function(real, "lo_ioctl");
    machine.put(at, &relative(0xe9, at, to));
    let alarms = found(&machine);
    let [alarm] = alarms.as_slice() else {
        panic!("{}: {alarms:#?}", real.name);
    };
    assert!(alarm.subject.ends_with(b" of module loop"), "{alarm:?}");
    assert_eq!(alarm.address, at);
}

/// A break point in the place of a function's first instruction: nobody's, ftrace's for a moment, a probe's.
pub(crate) fn a_break_point(real: &Real) {
    let mut machine = Machine::of(real);
    let at = function(real, VICTIM);
    let marks: usize = match machine.bytes(at) {
        [0xf3, 0x0f, 0x1e, 0xfa] => 4,
        _ => 0,
    };
    let at = at.plus(marks as u64);
    let severities = |machine: &Machine| {
        let all = machine.guest().findings();
        let points = all.filter(|one| one.rule == "kernel.code" && one.address == at);
        points.map(|one| one.severity).collect::<Vec<_>>()
    };
    machine.put(at, &[0xcc, 0x48, 0x89, 0xe5, 0x53, 0x90]);
    assert_eq!(severities(&machine), [Severity::High], "{}", real.name);
    machine.put(at, &[0xcc, 0x1f, 0x44, 0, 0]);
    assert_eq!(severities(&machine), [Severity::Note], "{}", real.name);
    let (probe, word) = (
        machine.symbol("modprobe_path").plus(64),
        machine.word() as u64,
    );
    for byte in 0..128 {
        machine.put(probe.plus(byte), &[0]);
    }
    machine.put_pointer(machine.place("kprobe", probe, "addr"), at);
    let link = machine.place("kprobe", probe, "hlist");
    machine.put_pointer(machine.symbol("kprobe_table").plus(5 * word), link);
    assert_eq!(severities(&machine), [], "{}", real.name);
}

/// Where the switch of system calls leads to one of them.
fn of_the_switch(real: &Real, machine: &Machine) -> VirtAddr {
    let (switch, call) = (
        function(real, "x64_sys_call"),
        function(real, "__x64_sys_pivot_root"),
    );
    let mut places = (0..16384).map(|offset| switch.plus(offset));
    let at = places.find(|at| machine.bytes::<5>(*at)[..] == relative(0xe9, *at, call)[..]);
    at.unwrap()
}

/// Turned round to a function that is no system call, and to another system call.
pub(crate) fn a_switch_that_leads_to_another_function(real: &Real) {
    let mut machine = Machine::of(real);
    let at = of_the_switch(real, &machine);
    let other = function(real, "tcp4_seq_show");
    machine.put(at, &relative(0xe9, at, other));
    let alarm = one(&machine, "syscall.switch", Severity::Medium);
    assert_eq!(alarm.address, at);
    assert!(
        alarm.text.contains(" leads to tcp4_seq_show, "),
        "{alarm:?}"
    );

    let call = function(real, "__x64_sys_acct");
    machine.put(at, &relative(0xe9, at, call));
    let alarm = one(&machine, "syscall.switch", Severity::Medium);
    let words = "x64_sys_call never calls __x64_sys_pivot_root, ";
    assert!(alarm.text.starts_with(words), "{alarm:?}");

    // Behind the code, in the page that its last bytes lie in.
    machine.put(
        at,
        &relative(0xe9, at, function(real, "_etext").plus(0x100)),
    );
    let alarm = one(&machine, "syscall.switch", Severity::Medium);
    assert_eq!(alarm.address, at);

    // An entry of the table that was lost: nothing can be held against the rest.
    machine.put(
        at,
        &relative(0xe9, at, function(real, "__x64_sys_pivot_root")),
    );
    let entry = machine.symbol("sys_call_table").plus(300 * 8);
    let bytes = machine.bytes::<8>(entry);
    machine.put(entry, &[0; 8]);
    lost(&machine, "syscall.switch");
    machine.put(entry, &bytes);

    // A page of the switch that was lost.
    machine.put(at, &[0; 5]);
    lost(&machine, "syscall.switch");
}

/// A call in the midst of a function: one of the system calls of the switch.
pub(crate) fn a_switch_that_leads_away(real: &Real) {
    let (mut machine, to) = hiding(real);
    let at = of_the_switch(real, &machine);
    machine.put(at, &relative(0xe9, at, to));
    // One cause, one finding, and the module that hides.
    let alarms = alarms(&machine);
    assert_eq!(alarms.len(), 2, "{}: {alarms:#?}", real.name);
    let alarm = alarms.iter().find(|one| one.rule == "kernel.code").unwrap();
    assert_eq!(
        (alarm.address, &alarm.subject[..]),
        (at, &b"x64_sys_call"[..])
    );
}
