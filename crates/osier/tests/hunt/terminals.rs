//! What is typed, and what starts programs: functions of untouched machines replaced, and words of theirs lost.

use std::ops::ControlFlow;

use osier::{Severity, VirtAddr};
use osier_testkit::need::Real;

use crate::findings::{alarms, ends, nobodys, one, process};
use crate::machine::Machine;

/// Room for an object in memory of the kernel's that is not its image: the far end of a stack.
fn room(machine: &Machine) -> VirtAddr {
    let task = process(machine, "spinner-0").taskd;
    machine
        .pointer(machine.place("task_struct", task, "stack"))
        .plus(512)
}

/// The first terminal that a driver knows, and that driver.
fn terminal(machine: &Machine) -> (VirtAddr, VirtAddr) {
    let head = machine.symbol("tty_drivers");
    let inside = machine.place("tty_driver", VirtAddr(0), "tty_drivers").0;
    let mut node = machine.pointer(head);
    while node != head {
        let driver = VirtAddr(node.0 - inside);
        let ttys = machine.pointer(machine.place("tty_driver", driver, "ttys"));
        let num = machine.place("tty_driver", driver, "num");
        let num = u64::from(u32::from_le_bytes(machine.bytes(num)));
        let places = (0..num).map(|number| ttys.plus(number * machine.word() as u64));
        let known = ttys.0 != 0;
        let mut all = places.filter(|_| known).map(|place| machine.pointer(place));
        if let Some(tty) = all.find(|tty| tty.0 != 0) {
            return (tty, driver);
        }
        node = machine.pointer(node);
    }
    panic!("no driver knows a terminal");
}

/// The first terminal that a session or an open file leads to, and its driver.
fn opened(machine: &Machine) -> (VirtAddr, VirtAddr) {
    let guest = machine.guest();
    let of = |file: &osier::OpenFile| {
        let file = file.filed.clone().ok()?;
        let private = machine.pointer(machine.place("file", file, "private_data"));
        let back = |private: VirtAddr| machine.pointer(private.plus(machine.word() as u64));
        (private.0 >= 0xc000_0000 && private.0.is_multiple_of(4) && back(private) == file)
            .then(|| machine.pointer(private))
    };
    let terminal = |file: &osier::OpenFile| {
        let named = file
            .path
            .as_deref()
            .is_ok_and(|path| path.starts_with(b"/dev/tty") || path == b"/dev/console");
        named.then(|| of(file)).flatten()
    };
    let tty = guest.files(None).find_map(|file| terminal(&file)).unwrap();
    (
        tty,
        machine.pointer(machine.place("tty_struct", tty, "driver")),
    )
}

/// Writes a copy of the usual line discipline.
fn copied(machine: &mut Machine, to: VirtAddr) {
    let from = machine.symbol("n_tty_ops");
    let word = machine.word() as u64;
    for number in 0..machine.size("tty_ldisc_ops") / word {
        let value = machine.pointer(from.plus(number * word));
        machine.put_pointer(to.plus(number * word), value);
    }
}

pub(crate) fn a_line_discipline_that_another_reads(real: &Real) {
    let mut machine = Machine::of(real);
    let (ops, to) = (machine.symbol("n_tty_ops"), nobodys(&machine));
    let place = machine.place("tty_ldisc_ops", ops, "receive_buf2");
    machine.put_pointer(place, to);
    let alarm = one(&machine, "terminal.hook", Severity::High);
    assert_eq!(alarm.subject, b"tty_ldiscs[0].receive_buf2");
    assert_eq!(alarm.address, place);
}

pub(crate) fn a_line_discipline_in_the_place_of_the_usual(real: &Real) {
    let mut machine = Machine::of(real);
    let (own, entry) = (room(&machine), machine.symbol("tty_ldiscs"));
    copied(&mut machine, own);
    machine.put_pointer(entry, own);
    let alarms = alarms(&machine);
    let replaced = alarms.iter().find(|one| one.address == entry).unwrap();
    assert_eq!(
        (replaced.severity, &replaced.subject[..]),
        (Severity::High, &b"tty_ldiscs[0]"[..])
    );
    // Terminals go by the one that is on the table no more.
    let of_terminals = |one: &&osier::Finding| one.subject.ends_with(b".ldisc.ops");
    assert!(
        alarms.len() > 1 && alarms.iter().filter(of_terminals).count() == alarms.len() - 1,
        "{alarms:#?}"
    );
}

pub(crate) fn a_terminal_with_a_line_discipline_of_its_own(real: &Real) {
    let mut machine = Machine::of(real);
    let (own, to) = (room(&machine), nobodys(&machine));
    let (tty, _) = terminal(&machine);
    copied(&mut machine, own);
    let ldisc = machine.pointer(machine.place("tty_struct", tty, "ldisc"));
    machine.put_pointer(machine.place("tty_ldisc", ldisc, "ops"), own);
    let alarm = one(&machine, "terminal.hook", Severity::Medium);
    assert_eq!(alarm.address, tty);
    machine.put_pointer(machine.place("tty_ldisc_ops", own, "receive_buf2"), to);
    let alarms = alarms(&machine);
    let hook = alarms.iter().find(|one| one.severity == Severity::High);
    let subject = hook.unwrap().subject.escape_ascii().to_string();
    assert!(subject.ends_with(".ldisc.ops.receive_buf2"), "{subject}");
    assert_eq!(alarms.len(), 2, "{alarms:#?}");
}

pub(crate) fn a_driver_of_terminals_that_another_writes(real: &Real) {
    let mut machine = Machine::of(real);
    let (tty, driver) = terminal(&machine);
    let ops = machine.pointer(machine.place("tty_driver", driver, "ops"));
    let place = machine.place("tty_operations", ops, "write");
    machine.put_pointer(place, nobodys(&machine));
    let alarm = one(&machine, "terminal.hook", Severity::High);
    assert!(alarm.subject.starts_with(b"tty_driver "), "{alarm:?}");

    let mut machine = Machine::of(real);
    let port = machine.pointer(machine.place("tty_struct", tty, "port"));
    let client = machine.pointer(machine.place("tty_port", port, "client_ops"));
    let place = machine.place("tty_port_client_operations", client, "receive_buf");
    machine.put_pointer(place, nobodys(&machine));
    let alarm = one(&machine, "terminal.hook", Severity::High);
    assert!(
        alarm.subject.ends_with(b".port.client_ops.receive_buf"),
        "{alarm:?}"
    );
}

/// A terminal that its driver's array lacks: it is a session's.
pub(crate) fn a_terminal_of_a_session(real: &Real) {
    let mut machine = Machine::of(real);
    let (tty, driver) = terminal(&machine);
    let ttys = machine.pointer(machine.place("tty_driver", driver, "ttys"));
    let entry = (0..256)
        .map(|number| ttys.plus(number * machine.word() as u64))
        .find(|place| machine.pointer(*place) == tty);
    machine.put_pointer(entry.unwrap(), VirtAddr(0));
    let task = process(&machine, "spinner-0").taskd;
    let signal = machine.pointer(machine.place("task_struct", task, "signal"));
    machine.put_pointer(machine.place("signal_struct", signal, "tty"), tty);
    assert!(alarms(&machine).is_empty());
    // Its driver does not know it: what else it knew may be lost as well.
    let told = ends(&machine);
    assert!(
        told.contains("terminal.hook: tty_driver.ttys, which lacks tty_struct "),
        "{told}"
    );
    let own = room(&machine);
    copied(&mut machine, own);
    let ldisc = machine.pointer(machine.place("tty_struct", tty, "ldisc"));
    machine.put_pointer(machine.place("tty_ldisc", ldisc, "ops"), own);
    assert_eq!(
        one(&machine, "terminal.hook", Severity::Medium).address,
        tty
    );
}

/// The same that no session has: it is an open file's.
pub(crate) fn a_terminal_of_an_open_file(real: &Real) {
    let mut machine = Machine::of(real);
    let guest = machine.guest();
    let (tty, driver) = opened(&machine);
    let index = machine.bytes(machine.place("tty_struct", tty, "index"));
    let ttys = machine.pointer(machine.place("tty_driver", driver, "ttys"));
    let entry = u64::from(u32::from_le_bytes(index)) * machine.word() as u64;
    machine.put_pointer(ttys.plus(entry), VirtAddr(0));
    for process in guest.processes() {
        let signal = machine.pointer(machine.place("task_struct", process.taskd, "signal"));
        machine.put_pointer(machine.place("signal_struct", signal, "tty"), VirtAddr(0));
    }
    let told = ends(&machine);
    assert!(
        told.contains("terminal.hook: tty_driver.ttys, which lacks tty_struct "),
        "{told}"
    );
    let own = room(&machine);
    copied(&mut machine, own);
    let ldisc = machine.pointer(machine.place("tty_struct", tty, "ldisc"));
    machine.put_pointer(machine.place("tty_ldisc", ldisc, "ops"), own);
    let alarm = one(&machine, "terminal.hook", Severity::Medium);
    assert_eq!(alarm.address, tty);
}

/// A driver that left the list; its terminals lead to it.
pub(crate) fn a_driver_that_left_the_list(real: &Real) {
    let mut machine = Machine::of(real);
    let (tty, driver) = opened(&machine);
    machine.unlink(machine.place("tty_driver", driver, "tty_drivers"));
    let alarm = one(&machine, "terminal.hook", Severity::Medium);
    assert_eq!(alarm.address, driver);
    assert!(
        alarm.text.ends_with("and the list of drivers lacks it."),
        "{alarm:?}"
    );
    // What is hooked of its terminals is found as of others.
    let own = room(&machine);
    copied(&mut machine, own);
    let ldisc = machine.pointer(machine.place("tty_struct", tty, "ldisc"));
    machine.put_pointer(machine.place("tty_ldisc", ldisc, "ops"), own);
    let alarms = alarms(&machine);
    assert!(
        alarms.len() == 2 && alarms.iter().any(|one| one.address == tty),
        "{alarms:#?}"
    );
}

/// Puts the format at `own` on the list, behind the one at `at`.
fn link_behind(machine: &mut Machine, at: VirtAddr, own: VirtAddr) {
    let word = machine.word() as u64;
    let (first, link) = (
        machine.place("linux_binfmt", at, "lh"),
        machine.place("linux_binfmt", own, "lh"),
    );
    let next = machine.pointer(first);
    machine.put_pointer(link, next);
    machine.put_pointer(link.plus(word), first);
    machine.put_pointer(first, link);
    machine.put_pointer(next.plus(word), link);
}

pub(crate) fn a_format_that_is_nobodys(real: &Real) {
    let mut machine = Machine::of(real);
    let (elf, to) = (machine.symbol("elf_format"), nobodys(&machine));
    machine.put_pointer(machine.place("linux_binfmt", elf, "load_binary"), to);
    let alarm = one(&machine, "program.format", Severity::High);
    assert_eq!(alarm.subject, b"elf_format.load_binary");

    // One more, before all others.
    let mut machine = Machine::of(real);
    let own = room(&machine);
    machine.put_pointer(machine.place("linux_binfmt", own, "load_binary"), to);
    link_behind(&mut machine, elf, own);
    let alarm = one(&machine, "program.format", Severity::High);
    assert_eq!(alarm.subject, b"linux_binfmt.load_binary");
    assert_eq!(
        alarm.address,
        machine.place("linux_binfmt", own, "load_binary")
    );
}

/// A format that lies in the image's own data: what it is called is said, or where it lies.
pub(crate) fn a_format_in_the_image(real: &Real) {
    let mut machine = Machine::of(real);
    let elf = machine.symbol("elf_format");
    let own = machine.symbol("modprobe_path").plus(64);
    for byte in 0..128 {
        machine.put(own.plus(byte), &[0]);
    }
    let load = machine.pointer(machine.place("linux_binfmt", elf, "load_binary"));
    machine.put_pointer(machine.place("linux_binfmt", own, "load_binary"), load);
    link_behind(&mut machine, elf, own);
    assert!(alarms(&machine).is_empty());
    let told = ends(&machine);
    assert!(
        told.contains("program.format: formats") && told.contains(&format!("at {own}")),
        "{told}"
    );
}

/// Words of these objects that memory lost.
pub(crate) fn zeros_of_terminals_are_lost(real: &Real) {
    let whole = Machine::of(real);
    let (tty, driver) = terminal(&whole);
    let ldisc = whole.pointer(whole.place("tty_struct", tty, "ldisc"));
    let port = whole.pointer(whole.place("tty_struct", tty, "port"));
    let usual = whole.symbol("n_tty_ops");
    let elf = whole.symbol("elf_format");
    let client = whole.pointer(whole.place("tty_port", port, "client_ops"));
    let ops = whole.pointer(whole.place("tty_driver", driver, "ops"));
    let of_terminals = [
        whole.place("tty_ldisc_ops", usual, "read"),
        whole.place("tty_ldisc_ops", usual, "receive_buf"),
        whole.place("tty_ldisc_ops", usual, "receive_buf2"),
        whole.place("tty_ldisc_ops", usual, "poll"),
        whole.place("tty_operations", ops, "open"),
        whole.place("tty_operations", ops, "write"),
        whole.place("tty_operations", ops, "write_room"),
        whole.place("tty_port_client_operations", client, "write_wakeup"),
        whole.symbol("tty_ldiscs"),
        whole.place("tty_driver", driver, "ttys"),
        whole.place("tty_driver", driver, "num"),
        whole.place("tty_driver", driver, "ops"),
        whole.place("tty_struct", tty, "driver"),
        whole.place("tty_struct", tty, "ops"),
        whole.place("tty_struct", tty, "ldisc"),
        whole.place("tty_ldisc", ldisc, "ops"),
        whole.place("tty_port", port, "client_ops"),
        whole.symbol("tty_drivers"),
        whole.place("tty_driver", driver, "tty_drivers"),
    ];
    for place in of_terminals {
        let mut machine = Machine::of(real);
        let half = place == whole.place("tty_driver", driver, "num");
        machine.put(place, &vec![0; if half { 4 } else { machine.word() }]);
        quiet(&machine, "terminal.hook", place);
    }
    // A format's function, and its link.
    for member in ["load_binary", "lh"] {
        let mut machine = Machine::of(real);
        let place = machine.place("linux_binfmt", elf, member);
        machine.put_pointer(place, VirtAddr(0));
        quiet(&machine, "program.format", place);
    }
}

/// The rule finds nothing, and says that what it looks at was lost.
fn quiet(machine: &Machine, rule: &str, place: VirtAddr) {
    let guest = machine.guest();
    let mut found = Vec::new();
    let ends = guest.provider().findings_of(&[rule], &mut |one| {
        found.push(one);
        ControlFlow::Continue(())
    });
    assert!(found.is_empty(), "{place}: {found:#?}");
    assert!(!ends.is_complete(), "{place}");
}
