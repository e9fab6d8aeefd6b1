//! What does not fit: nothing on real machines that nobody tampered with; on the same ones with words of their memory
//! changed, what was changed and nothing else.

use osier::{Finding, Process, Severity, VirtAddr, WalkEnd};
use osier_testkit::need::Real;

use crate::machine::Machine;

/// The findings above notes, which no untouched machine has.
pub(crate) fn alarms(machine: &Machine) -> Vec<Finding> {
    let all = machine.guest().findings();
    all.filter(|one| one.severity > Severity::Note).collect()
}

pub(crate) fn process(machine: &Machine, name: &str) -> Process {
    let mut processes = machine.guest().processes();
    let named = |process: &Process| matches!(&process.name, Ok(own) if own == name.as_bytes());
    processes.find(named).unwrap()
}

/// The one alarm of `rule` at `severity`, and no other.
pub(crate) fn one(machine: &Machine, rule: &str, severity: Severity) -> Finding {
    let alarms = alarms(machine);
    let [alarm] = alarms.as_slice() else {
        panic!("{alarms:#?}");
    };
    assert_eq!((alarm.rule, alarm.severity), (rule, severity), "{alarm:?}");
    alarm.clone()
}

/// What `rule` looks at was lost: it says so, and nothing is called a finding.
pub(crate) fn lost(machine: &Machine, rule: &str) {
    let guest = machine.guest();
    let mut answer = guest.findings();
    let all: Vec<_> = answer.by_ref().collect();
    let alarms: Vec<_> = all
        .iter()
        .filter(|one| one.severity > Severity::Note)
        .collect();
    assert!(alarms.is_empty(), "{rule}: {alarms:#?}");
    let ends = answer.ends();
    let named = |end: &WalkEnd| matches!(end, WalkEnd::NoStart { missing, .. } if missing.starts_with(&format!("{rule}: ")));
    assert!(ends.bad().any(|(_, end)| named(end)), "{rule}: {ends}");
}

/// How the findings ended, in words.
pub(crate) fn ends(machine: &Machine) -> String {
    let guest = machine.guest();
    let mut answer = guest.findings();
    let _ = answer.by_ref().count();
    answer.ends().to_string()
}

/// Memory that is lost holds zeros: that is neither a hook nor a table without one.
pub(crate) fn zeros_are_lost_and_no_finding(real: &Real) {
    let null = VirtAddr(0);
    let word = |machine: &Machine| machine.word() as u64;

    let mut machine = Machine::of(real);
    let entry = machine.symbol("sys_call_table").plus(62 * word(&machine));
    machine.put_pointer(entry, null);
    lost(&machine, "syscall.table");

    let mut machine = Machine::of(real);
    let gate = machine.symbol("idt_table").plus(3 * 2 * word(&machine));
    machine.put(gate, &[0; 8]);
    lost(&machine, "interrupt.table");

    if word(&machine) == 8 {
        let mut machine = Machine::of(real);
        let gate = machine.symbol("idt_table").plus(42 * 16);
        machine.put(machine.place("gate_struct", gate, "offset_high"), &[0; 4]);
        lost(&machine, "interrupt.table");
    }

    let mut machine = Machine::of(real);
    let table = machine.symbol("tcp4_seq_ops");
    machine.put_pointer(machine.place("seq_operations", table, "show"), null);
    lost(&machine, "operations.hook");

    let mut machine = Machine::of(real);
    let table = machine.symbol("proc_root_operations");
    for member in ["read", "iterate_shared"] {
        let place = machine.place("file_operations", table, member);
        let own = machine.pointer(place);
        machine.put_pointer(place, null);
        lost(&machine, "operations.hook");
        machine.put_pointer(place, own);
    }
    for byte in 0..32 * word(&machine) {
        machine.put(table.plus(byte), &[0]);
    }
    lost(&machine, "operations.hook");
    // A page of other bytes.
    for byte in 0..32 * word(&machine) {
        machine.put(table.plus(byte), &[0xff]);
    }
    lost(&machine, "operations.hook");

    let mut machine = Machine::of(real);
    let gates = machine.symbol("idt_table");
    for byte in 0..512 * word(&machine) {
        machine.put(gates.plus(byte), &[0xff]);
    }
    lost(&machine, "interrupt.table");

    let mut machine = Machine::of(real);
    machine.put_pointer(machine.symbol("ftrace_ops_list"), null);
    lost(&machine, "ftrace.hook");

    let mut machine = Machine::of(real);
    let (ops, end) = (room(&machine), machine.symbol("ftrace_list_end"));
    machine.put_pointer(machine.place("ftrace_ops", ops, "func"), null);
    machine.put_pointer(machine.place("ftrace_ops", ops, "next"), end);
    machine.put_pointer(machine.symbol("ftrace_ops_list"), ops);
    lost(&machine, "ftrace.hook");

    let mut machine = Machine::of(real);
    let programs = machine.guest().processes();
    let programs: Vec<_> = programs.filter(|row| row.asid.is_ok()).collect();
    for task in programs.iter().map(|row| row.taskd).take(2) {
        machine.put_pointer(machine.place("task_struct", task, "real_cred"), null);
    }
    lost(&machine, "credentials.shared");

    // The name of the vDSO: without it, it is memory that is no file's and begins as a program does.
    let mut machine = Machine::of(real);
    let maps = machine.guest();
    let vdso = maps
        .mappings(None)
        .find(|row| matches!(&row.name, Ok(name) if name == b"[vdso]"));
    let private = machine.place("vm_area_struct", vdso.unwrap().modd, "vm_private_data");
    let special = machine.pointer(private);
    machine.put_pointer(machine.place("vm_special_mapping", special, "name"), null);
    lost(&machine, "memory.executable");
}

/// A place in the kernel's memory that is nobody's code: a `task_struct`.
pub(crate) fn nobodys(machine: &Machine) -> VirtAddr {
    process(machine, "spinner-0").taskd
}

/// Room for an object, where nobody looks: behind the path of modprobe.
fn room(machine: &Machine) -> VirtAddr {
    machine.symbol("modprobe_path").plus(64)
}

pub(crate) fn nothing_on_untouched_guests(real: &Real) {
    let file = real.path.join("memory.raw");
    let guest = osier::open(file).unwrap();
    let mut answer = guest.findings();
    let all: Vec<_> = answer.by_ref().collect();
    assert!(answer.is_complete(), "{}: {}", real.name, answer.ends());
    let alarms: Vec<_> = all
        .iter()
        .filter(|one| one.severity > Severity::Note)
        .collect();
    assert!(alarms.is_empty(), "{}: {alarms:#?}", real.name);
}

pub(crate) fn what_is_planted_is_found(real: &Real) {
    let guest = osier::open(real.path.join("memory.raw")).unwrap();
    let mut answer = guest.findings();
    let all: Vec<_> = answer.by_ref().collect();
    assert!(answer.is_complete(), "{}: {}", real.name, answer.ends());
    let of = |rule: &str| all.iter().filter(|one| one.rule == rule).count();
    assert_eq!(of("exe.deleted"), 1, "{}: {all:#?}", real.name);
    assert!(
        of("process.traced") == 1 && of("socket.packet") > 0,
        "{}: {all:#?}",
        real.name
    );
    assert!(
        all.iter().all(|one| one.severity == Severity::Note),
        "{}: {all:#?}",
        real.name
    );
}

pub(crate) fn a_process_that_left_the_list(real: &Real) {
    let mut machine = Machine::of(real);
    let task = process(&machine, "spinner-0").taskd;
    machine.unlink(machine.place("task_struct", task, "tasks"));
    let alarm = one(&machine, "process.hidden", Severity::High);
    assert_eq!(alarm.address, task);
    assert!(
        alarm.text.ends_with("the list of processes lacks it."),
        "{alarm:?}"
    );
}

/// Nothing but its slot leads to it.
pub(crate) fn a_process_that_left_every_list(real: &Real) {
    let mut machine = Machine::of(real);
    let task = process(&machine, "spinner-0").taskd;
    machine.unlink(machine.place("task_struct", task, "tasks"));
    machine.unlink(machine.place("task_struct", task, "sibling"));
    let pid = machine.pointer(machine.place("task_struct", task, "thread_pid"));
    let heads = machine.place("pid", pid, "tasks");
    let word = machine.word() as u64;
    for head in 0..4 {
        machine.put_pointer(heads.plus(head * word), VirtAddr(0));
    }
    let alarm = one(&machine, "process.hidden", Severity::High);
    assert_eq!(alarm.address, task);
    let evidence = alarm.evidence.escape_ascii().to_string();
    assert!(evidence.contains("found by slab;"), "{evidence}");
}

/// Its `struct pid` is in the table, and leads to no task: `/proc` does not show it.
pub(crate) fn a_process_whose_number_leads_nowhere(real: &Real) {
    let mut machine = Machine::of(real);
    let task = process(&machine, "spinner-0").taskd;
    let pid = machine.pointer(machine.place("task_struct", task, "thread_pid"));
    machine.put_pointer(machine.place("pid", pid, "tasks"), VirtAddr(0));
    let alarm = one(&machine, "process.hidden", Severity::High);
    assert_eq!(alarm.address, task);
    let evidence = alarm.evidence.escape_ascii().to_string();
    assert!(evidence.contains("pid-table"), "{evidence}");
    let text = "the pid table has its number, which does not lead to it as to every task.";
    assert!(alarm.text.ends_with(text), "{alarm:?}");
}

/// The functions of a module that hides are as good as nobody's.
pub(crate) fn a_hook_of_a_module_that_hides(real: &Real) {
    let mut machine = Machine::of(real);
    let modules = machine.guest().modules();
    let mut dummies = modules.filter(|module| matches!(&module.name, Ok(name) if name == b"dummy"));
    let dummy = dummies.next().unwrap();
    let block = room(&machine);
    let call = machine.place("notifier_block", block, "notifier_call");
    machine.put_pointer(call, dummy.base.unwrap());
    machine.put_pointer(machine.place("notifier_block", block, "next"), VirtAddr(0));
    let list = machine.symbol("keyboard_notifier_list");
    machine.put_pointer(machine.place("atomic_notifier_head", list, "head"), block);
    assert!(alarms(&machine).is_empty());
    machine.unlink(machine.place("module", dummy.modd, "list"));
    machine.unlink(machine.place("module", dummy.modd, "mkobj.kobj.entry"));
    let alarms = alarms(&machine);
    let hook = alarms.iter().find(|one| one.rule == "keyboard.notifier");
    let evidence = hook.unwrap().evidence.escape_ascii().to_string();
    assert!(
        evidence.ends_with("in code of module dummy, which the list of modules lacks"),
        "{evidence}"
    );
    assert!(alarms.len() == 2 && hook.unwrap().severity == Severity::High);
}

pub(crate) fn a_module_that_left_the_list(real: &Real) {
    let mut machine = Machine::of(real);
    let modules = machine.guest().modules();
    let mut dummies = modules.filter(|module| matches!(&module.name, Ok(name) if name == b"dummy"));
    let modd = dummies.next().unwrap().modd;
    machine.unlink(machine.place("module", modd, "list"));
    machine.unlink(machine.place("module", modd, "mkobj.kobj.entry"));
    assert_eq!(one(&machine, "module.hidden", Severity::High).address, modd);
}

pub(crate) fn a_system_call_that_leaves_the_kernel(real: &Real) {
    let mut machine = Machine::of(real);
    let entry = machine
        .symbol("sys_call_table")
        .plus(62 * machine.word() as u64);
    machine.put_pointer(entry, nobodys(&machine));
    let alarm = one(&machine, "syscall.table", Severity::High);
    assert_eq!(alarm.subject, b"sys_call_table[62]");
    assert_eq!(alarm.address, entry);
}

pub(crate) fn a_system_call_that_leads_to_another_function(real: &Real) {
    for (into, words) in [
        (
            0,
            "tcp4_seq_show, a function of the kernel that is no system call.",
        ),
        (
            9,
            "the middle of a function of the kernel, 9 bytes into tcp4_seq_show.",
        ),
    ] {
        let mut machine = Machine::of(real);
        let table = machine.symbol("tcp4_seq_ops");
        let show = machine.pointer(machine.place("seq_operations", table, "show"));
        let entry = machine
            .symbol("sys_call_table")
            .plus(62 * machine.word() as u64);
        machine.put_pointer(entry, show.plus(into));
        let alarm = one(&machine, "syscall.table", Severity::Medium);
        assert_eq!(alarm.subject, b"sys_call_table[62]");
        assert!(alarm.text.ends_with(words), "{alarm:?}");
        assert_eq!(alarm.address, entry);
    }
}

/// One mapping that lost its place in the tree of its file's mappings takes no other mapping's file away.
pub(crate) fn a_mapping_that_left_its_files_tree(real: &Real) {
    let mut machine = Machine::of(real);
    let before: Vec<_> = machine.guest().mappings(None).collect();
    let path = |row: &osier::Mapping| row.file.clone().ok().filter(|file| file.starts_with(b"/"));
    let shared = |row: &osier::Mapping| machine.place("vm_area_struct", row.modd, "shared");
    // The first of a file that others map, too, and that is not the top of the tree itself.
    let first = before.iter().enumerate().find(|(nth, row)| {
        let own = path(row);
        let others = before
            .iter()
            .skip(nth + 1)
            .filter(|other| path(other) == own);
        own.is_some() && machine.pointer(shared(row)).0 & !3 != 0 && others.count() > 20
    });
    let first = first.unwrap().1.modd;
    let node = machine.place("vm_area_struct", first, "shared");
    machine.put_pointer(node, VirtAddr(0));
    let after: Vec<_> = machine.guest().mappings(None).collect();
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        let own = before.modd == first;
        assert!(
            before.file == after.file || own && after.file.is_err(),
            "{before:?}, now {after:?}"
        );
    }
}

/// Has a gate of the table of interrupts lead elsewhere.
fn lead(machine: &mut Machine, vector: u64, to: VirtAddr) {
    let to = to.0.to_le_bytes();
    let bytes = if machine.word() == 8 { 16 } else { 8 };
    let gate = machine.symbol("idt_table").plus(vector * bytes);
    machine.put(machine.place("gate_struct", gate, "offset_low"), &to[..2]);
    machine.put(
        machine.place("gate_struct", gate, "offset_middle"),
        &to[2..4],
    );
    if machine.word() == 8 {
        machine.put(machine.place("gate_struct", gate, "offset_high"), &to[4..]);
    }
}

pub(crate) fn an_interrupt_that_leaves_the_kernel(real: &Real) {
    let mut machine = Machine::of(real);
    let to = nobodys(&machine);
    lead(&mut machine, 3, to);
    assert_eq!(
        one(&machine, "interrupt.table", Severity::High).subject,
        b"idt_table[3]"
    );
}

/// A kernel without `CONFIG_X86_MCE` leaves the machine check's gate as the boot wrote it; no other gate stays so.
pub(crate) fn a_machine_check_that_the_kernel_does_not_take(real: &Real) {
    for (vector, alarming) in [(18, false), (17, true)] {
        let mut machine = Machine::of(real);
        let to = machine.symbol("_sinittext").plus(vector * 9);
        lead(&mut machine, vector, to);
        assert_eq!(!alarms(&machine).is_empty(), alarming, "gate {vector}");
    }
}

/// Since v7.3 the kernel's threads stand on a mount of the kernel's own, which is in no namespace: they see no mount, and
/// nothing is lost. A mount of another namespace is no such.
pub(crate) fn threads_of_the_kernel_on_a_mount_of_its_own(real: &Real) {
    let mut machine = Machine::of(real);
    let kthreadd = process(&machine, "kthreadd").taskd;
    let namespace = |taskd: VirtAddr| {
        let nsproxy = machine.pointer(machine.place("task_struct", taskd, "nsproxy"));
        let proxied = nsproxy.0 != 0;
        proxied.then(|| machine.pointer(machine.place("nsproxy", nsproxy, "mnt_ns")))
    };
    let own = namespace(kthreadd);
    let mut tasks = machine.guest().processes().map(|process| process.taskd);
    let other = tasks
        .find(|taskd| namespace(*taskd).is_some_and(|other| Some(other) != own))
        .unwrap();
    let fs = machine.pointer(machine.place("task_struct", other, "fs"));
    machine.put_pointer(machine.place("task_struct", kthreadd, "fs"), fs);
    machine.put(
        machine.place("fs_struct", fs, "users"),
        &9_u32.to_le_bytes(),
    );
    let asked = |machine: &Machine| {
        let guest = machine.guest();
        let mut answer = guest.mounts(kthreadd);
        (answer.by_ref().count(), answer.ends().is_complete())
    };
    assert_eq!(asked(&machine), (0, false));
    let vfsmount = machine.pointer(machine.place("fs_struct", fs, "root.mnt"));
    let inside = machine.place("mount", VirtAddr(0), "mnt").0;
    let flags = machine.place("vfsmount", vfsmount, "mnt_flags");
    machine.put(flags, &0x4000_u32.to_le_bytes());
    let mount = VirtAddr(vfsmount.0 - inside);
    let none = VirtAddr((-22_i64).cast_unsigned());
    machine.put_pointer(machine.place("mount", mount, "mnt_ns"), none);
    assert_eq!(asked(&machine), (0, true));
}

pub(crate) fn a_list_of_sockets_that_another_shows(real: &Real) {
    let mut machine = Machine::of(real);
    let table = machine.symbol("tcp4_seq_ops");
    machine.put_pointer(
        machine.place("seq_operations", table, "show"),
        nobodys(&machine),
    );
    assert_eq!(
        one(&machine, "operations.hook", Severity::High).subject,
        b"tcp4_seq_ops.show"
    );
    let mut machine = Machine::of(real);
    let table = machine.symbol("proc_root_operations");
    machine.put_pointer(
        machine.place("file_operations", table, "iterate_shared"),
        nobodys(&machine),
    );
    let alarm = one(&machine, "operations.hook", Severity::High);
    assert_eq!(alarm.subject, b"proc_root_operations.iterate_shared");
}

pub(crate) fn a_function_that_ftrace_calls(real: &Real) {
    let mut machine = Machine::of(real);
    let (ops, end) = (room(&machine), machine.symbol("ftrace_list_end"));
    machine.put_pointer(machine.place("ftrace_ops", ops, "func"), nobodys(&machine));
    machine.put_pointer(machine.place("ftrace_ops", ops, "next"), end);
    machine.put_pointer(machine.symbol("ftrace_ops_list"), ops);
    one(&machine, "ftrace.hook", Severity::High);
}

pub(crate) fn a_probe(real: &Real) {
    let mut machine = Machine::of(real);
    let (probe, to) = (room(&machine), nobodys(&machine));
    for byte in 0..128 {
        machine.put(probe.plus(byte), &[0]);
    }
    machine.put_pointer(machine.place("kprobe", probe, "pre_handler"), to);
    let link = machine.place("kprobe", probe, "hlist");
    let bucket = machine
        .symbol("kprobe_table")
        .plus(5 * machine.word() as u64);
    machine.put_pointer(bucket, link);
    one(&machine, "kprobe", Severity::High);
}

pub(crate) fn a_function_that_hears_keys(real: &Real) {
    let mut machine = Machine::of(real);
    let block = room(&machine);
    machine.put_pointer(
        machine.place("notifier_block", block, "notifier_call"),
        nobodys(&machine),
    );
    machine.put_pointer(machine.place("notifier_block", block, "next"), VirtAddr(0));
    let list = machine.symbol("keyboard_notifier_list");
    machine.put_pointer(machine.place("atomic_notifier_head", list, "head"), block);
    one(&machine, "keyboard.notifier", Severity::High);
}

pub(crate) fn a_function_that_packets_pass(real: &Real) {
    let mut machine = Machine::of(real);
    let entries = room(&machine);
    machine.put(
        machine.place("nf_hook_entries", entries, "num_hook_entries"),
        &[1, 0],
    );
    let first = machine.place("nf_hook_entries", entries, "hooks");
    machine.put_pointer(
        machine.place("nf_hook_entry", first, "hook"),
        nobodys(&machine),
    );
    let chain = machine.place("net", machine.symbol("init_net"), "nf.hooks_ipv4");
    machine.put_pointer(chain, entries);
    one(&machine, "netfilter.hook", Severity::High);
}

pub(crate) fn borrowed_credentials(real: &Real) {
    let mut machine = Machine::of(real);
    let [own, other] = ["spinner-0", "user1000"].map(|name| process(&machine, name).taskd);
    let at = machine.place("task_struct", own, "real_cred");
    machine.put_pointer(at, machine.symbol("init_cred"));
    assert_eq!(
        one(&machine, "credentials.shared", Severity::High).address,
        own
    );
    let cred = machine.pointer(machine.place("task_struct", other, "real_cred"));
    machine.put_pointer(at, cred);
    one(&machine, "credentials.shared", Severity::Medium);
}

pub(crate) fn a_program_that_is_called_as_the_kernels(real: &Real) {
    let mut machine = Machine::of(real);
    let task = process(&machine, "spinner-0").taskd;
    machine.put(
        machine.place("task_struct", task, "comm"),
        b"kworker/0:1\0\0\0\0\0",
    );
    assert_eq!(
        one(&machine, "process.disguised", Severity::Medium).address,
        task
    );
}

pub(crate) fn a_library_that_is_preloaded(real: &Real) {
    let mut machine = Machine::of(real);
    let guest = machine.guest();
    let mut variables = guest.environment(None);
    let variable = variables.find(|one| {
        let bytes = |part: &osier::Seen<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        bytes(&one.name) + bytes(&one.value) >= 20
    });
    let variable = variable.unwrap();
    let owner = guest
        .processes()
        .find(|process| process.pid == variable.pid)
        .unwrap();
    let space = guest.provider().address_space(owner.taskd).unwrap();
    machine.put_in(&space, variable.address, b"LD_PRELOAD=/tmp/x.so");
    let alarm = alarms(&machine)
        .into_iter()
        .find(|one| one.rule == "preload")
        .unwrap();
    assert_eq!(
        (alarm.severity, &alarm.pid),
        (Severity::Medium, &variable.pid),
        "{alarm:?}"
    );
}

pub(crate) fn helpers_taint_and_tracing(real: &Real) {
    let mut machine = Machine::of(real);
    let task = process(&machine, "spinner-0").taskd;
    machine.put(machine.symbol("modprobe_path"), b"/tmp/x\0");
    machine.put(machine.symbol("tainted_mask"), &[1, 0x10]);
    machine.put(machine.place("task_struct", task, "ptrace"), &[1]);
    assert_eq!(
        one(&machine, "kernel.helper", Severity::Medium).subject,
        b"modprobe_path"
    );
    let notes: Vec<_> = machine.guest().findings().collect();
    let taint = notes
        .iter()
        .find(|note| note.rule == "kernel.taint")
        .unwrap();
    assert_eq!(taint.text, "The kernel is tainted: PO.");
    assert!(
        notes
            .iter()
            .any(|note| note.rule == "process.traced" && note.address == task)
    );
}

pub(crate) fn a_program_in_anonymous_memory(real: &Real) {
    const VM_EXEC: u8 = 4;
    let mut machine = Machine::of(real);
    let guest = machine.guest();
    let task = process(&machine, "spinner-0").taskd;
    let space = guest.provider().address_space(task).unwrap();
    let mut mappings = guest.mappings(task);
    let anonymous = mappings.find(|one| {
        let present = one
            .base
            .as_ref()
            .is_ok_and(|base| space.translate(*base).is_ok());
        one.perms == Ok(*b"rw-p") && one.file.is_err() && present
    });
    let mapping = anonymous.unwrap();
    let base = mapping.base.clone().unwrap();
    let flags = mapping.flags.clone().unwrap() as u8;
    machine.put(machine.flags_of_mapping(mapping.modd), &[flags | VM_EXEC]);
    let prot = machine.place("vm_area_struct", mapping.modd, "vm_page_prot");
    if machine.word() == 8 || real.name.ends_with("pae") {
        machine.put(prot.plus(7), &[0]);
    }
    let found = |machine: &Machine| {
        let mut findings = machine.guest().findings();
        findings.find(|one| one.rule == "memory.executable" && one.address == base)
    };
    assert_eq!(found(&machine).unwrap().severity, Severity::Note);
    machine.put_in(&space, base, b"\x7fELF");
    let alarm = found(&machine).unwrap();
    assert_eq!(alarm.severity, Severity::Medium);
    let evidence = alarm.evidence.escape_ascii().to_string();
    assert!(evidence.contains(": 7f454c46"), "{evidence}");
}
