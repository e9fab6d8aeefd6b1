//! Code that leads away: instructions of untouched machines written over.

use std::fs;

use osier::{Finding, Severity, VirtAddr};
use osier_testkit::need::Real;

use crate::findings::{alarms, ends, lost, one};
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

/// Behind the code, in the page that its last bytes lie in: the image has room there.
pub(crate) fn a_jump_behind_the_code(real: &Real) {
    let mut machine = Machine::of(real);
    let at = function(real, VICTIM);
    let to = function(real, "_etext").plus(0x100);
    let [low, high] = [to.0, to.0 >> 32].map(|half| (half as u32).to_le_bytes());
    let absolute = match machine.word() {
        8 => [&[0x48, 0xb8], &low[..], &high, &[0xff, 0xe0]].concat(),
        _ => [&[0xb8], &low[..], &[0xff, 0xe0]].concat(),
    };
    for code in [relative(0xe9, at, to), relative(0xe8, at, to), absolute] {
        machine.put(at, &code);
        let alarm = one(&machine, "kernel.code", Severity::High);
        assert_eq!(alarm.subject, VICTIM.as_bytes());
    }
    // The code of the boot, which functions of the boot lead to.
    let boot = function(real, "_sinittext").plus(0x100);
    machine.put(at, &relative(0xe9, at, boot));
    assert!(found(&machine).is_empty());
}

/// The first instruction of the victim, behind the mark that some have.
fn first(real: &Real, machine: &Machine) -> VirtAddr {
    let at = function(real, VICTIM);
    let marked = machine.bytes(at) == [0xf3, 0x0f, 0x1e, 0xfa];
    at.plus(if marked { 4 } else { 0 })
}

/// What is found of code at `at`, notes among it.
fn severities(machine: &Machine, at: VirtAddr) -> Vec<Severity> {
    let all = machine.guest().findings();
    let points = all.filter(|one| one.rule == "kernel.code" && one.address == at);
    points.map(|one| one.severity).collect()
}

/// A break point in the place of a function's first instruction: nobody's, ftrace's for a moment, a probe's.
pub(crate) fn a_break_point(real: &Real) {
    let mut machine = Machine::of(real);
    let at = first(real, &machine);
    machine.put(at, &[0xcc, 0x48, 0x89, 0xe5, 0x53, 0x90]);
    assert_eq!(severities(&machine, at), [Severity::High], "{}", real.name);
    machine.put(at, &[0xcc, 0x1f, 0x44, 0, 0]);
    // Kernels whose symbols of data are known say that nobody writes code.
    let known = machine.word() == 8;
    let severity = if known {
        Severity::High
    } else {
        Severity::Note
    };
    assert_eq!(severities(&machine, at), [severity], "{}", real.name);
    if known {
        for lock in ["text_mutex", "ftrace_lock"] {
            let lock = function(real, lock);
            machine.put_pointer(lock, VirtAddr(0xffff_8880_0123_4000));
            assert_eq!(severities(&machine, at), [Severity::Note], "{}", real.name);
            machine.put_pointer(lock, VirtAddr(0));
        }
    }
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
    assert_eq!(severities(&machine, at), [], "{}", real.name);
}

/// Several traps, and others than `int3`.
pub(crate) fn traps_over_the_first_instructions(real: &Real) {
    let whole = Machine::of(real);
    let at = first(real, &whole);
    let mut traps: Vec<&[u8]> = vec![&[0xcc; 2], &[0xcc; 5], &[0xcc; 16], &[0xcd, 3], &[0xf1]];
    // What is left of ftrace's instruction tells that this one is no warning of the kernel's; else its table does.
    traps.push(&[0x0f, 0x0b, 0x44, 0, 0]);
    if whole.word() == 8 {
        traps.push(&[0x0f, 0x0b, 0x89, 0xe5, 0x53, 0x90]);
    }
    for trap in traps {
        let mut machine = Machine::of(real);
        machine.put(at, trap);
        let alarm = one(&machine, "kernel.code", Severity::High);
        assert_eq!((alarm.address, &alarm.subject[..]), (at, VICTIM.as_bytes()));
    }
}

/// A page of code that is other bytes, whatever they are, was lost as a whole.
pub(crate) fn a_page_of_code_that_is_none(real: &Real) {
    let page = VirtAddr(function(real, VICTIM).0 & !0xfff);
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (seed >> 33) as u8
    };
    let mut pages = vec![vec![0xff; 4096], vec![0; 4096]];
    pages.extend((0..6).map(|_| (0..4096).map(|_| random()).collect::<Vec<_>>()));
    let hook = [0x48, 0xb8, 0, 0, 0, 0, 0x80, 0x88, 0xff, 0xff, 0xff, 0xe0];
    for bytes in pages {
        let mut machine = Machine::of(real);
        machine.put(page, &bytes);
        lost(&machine, "kernel.code");
        // Among such bytes, what looks like a hook is none.
        machine.put(function(real, VICTIM), &hook);
        lost(&machine, "kernel.code");
    }
    let mut machine = Machine::of(real);
    let table = machine.symbol("sys_call_table");
    for byte in 0..4096 - table.0 % 4096 {
        machine.put(table.plus(byte), &[0xff]);
    }
    lost(&machine, "syscall.table");
    let told = ends(&machine);
    assert!(
        told.contains("sys_call_table, most of whose entries lead nowhere"),
        "{told}"
    );
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

    // Behind the code, in the page that its last bytes lie in. Where that can run, as code does, it is one of any function.
    let behind = function(real, "_etext").plus(0x100);
    machine.put(at, &relative(0xe9, at, behind));
    let alarms = alarms(&machine);
    let rules: Vec<_> = alarms.iter().map(|one| (one.rule, one.address)).collect();
    let rule = if behind.0 % 0x20_0000 == 0x100 {
        "syscall.switch"
    } else {
        "kernel.code"
    };
    assert_eq!(rules, [(rule, at)], "{alarms:#?}");

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
