//! What the kernel says twice of tasks, modules and mappings: with one of the two changed, the answer says that something is
//! lost, and says nothing else instead.

use osier::{ProcessExtra, ScanSource, Scanned, VirtAddr};
use osier_testkit::need::Real;

use crate::findings::process;
use crate::machine::Machine;

/// What is scanned, and whether the answer claims that nothing was lost.
fn scanned(machine: &Machine) -> (Vec<Scanned>, bool) {
    let guest = machine.guest();
    let mut answer = guest.scan();
    let rows = answer.by_ref().collect();
    (rows, answer.is_complete())
}

/// The list has the module, and the memory that it lies in should show it as well.
pub(crate) fn a_module_that_does_not_lead_to_itself(real: &Real) {
    let mut machine = Machine::of(real);
    let modd = machine.guest().modules().next().unwrap().modd;
    let own = machine.place("module", modd, "mkobj.mod");
    assert_eq!(machine.pointer(own), modd);
    machine.put_pointer(own, VirtAddr(0));
    let (rows, complete) = scanned(&machine);
    let row = rows.iter().find(|row| row.address == modd).unwrap();
    assert!(row.linked && !row.found_by.has(ScanSource::ModuleMemory));
    assert!(!complete, "{}: {row:?}", real.name);
}

/// The threads on the list are another process's.
pub(crate) fn a_process_with_the_threads_of_another(real: &Real) {
    let mut machine = Machine::of(real);
    let task = process(&machine, "spinner-0").taskd;
    let other = process(&machine, "kswapd0").taskd;
    let of = |task| machine.place("task_struct", task, "signal");
    let (place, signal) = (of(task), machine.pointer(of(other)));
    machine.put_pointer(place, signal);
    let (rows, complete) = scanned(&machine);
    let row = rows.iter().find(|row| row.address == task).unwrap();
    assert!(!complete, "{}: {row:?}", real.name);
}

/// A process whose list of threads has lost its only one: the row lacks what found it, with the count lessened or not.
pub(crate) fn a_process_that_its_own_list_has_lost(real: &Real) {
    let mut machine = Machine::of(real);
    let task = process(&machine, "kswapd0").taskd;
    let signal = machine.pointer(machine.place("task_struct", task, "signal"));
    let count = machine.place("signal_struct", signal, "nr_threads");
    let found = |machine: &Machine| {
        let (rows, complete) = scanned(machine);
        let row = rows.into_iter().find(|row| row.address == task).unwrap();
        (row.found_by.has(ScanSource::Threads), complete)
    };
    assert_eq!(found(&machine), (true, true), "{}", real.name);
    machine.unlink(machine.place("task_struct", task, "thread_node"));
    assert_eq!(found(&machine), (false, false), "{}", real.name);
    machine.put(count, &0_u32.to_le_bytes());
    assert_eq!(found(&machine), (false, false), "{}: counted", real.name);
    // The first task's, which has no number and whose list nothing else is held against.
    let mut machine = Machine::of(real);
    let first = machine.symbol("init_task");
    machine.unlink(machine.place("task_struct", first, "thread_node"));
    assert!(!scanned(&machine).1, "{}: the first task", real.name);
}

/// A thread of the kernel that sleeps, and of which the kernel's count says that it lives; and an idle task.
pub(crate) fn a_task_that_is_said_to_exit(real: &Real) {
    let mut machine = Machine::of(real);
    let sleeping = process(&machine, "kswapd0").taskd;
    // The second processor's, where there is one.
    let (rows, _) = scanned(&machine);
    let by_its_queue = |row: &&Scanned| row.found_by.has(ScanSource::RunQueue);
    let idle = rows.iter().filter(by_its_queue).map(|row| row.address);
    let first = machine.symbol("init_task");
    let idle: Vec<_> = idle
        .filter(|task| *task != first)
        .map(|task| (task, 4))
        .collect();
    assert_eq!(
        idle.is_empty(),
        real.name.starts_with("deb11"),
        "{}",
        real.name
    );
    let program = process(&machine, "spinner-0").taskd;
    // A program that exits is no thread of the kernel.
    let tasks = [(sleeping, 4), (program, u32::MAX)].into_iter().chain(idle);
    for (task, marks) in tasks {
        let place = machine.place("task_struct", task, "flags");
        let flags = u32::from_le_bytes(machine.bytes(place));
        machine.put(place, &(flags | marks).to_le_bytes());
        let (rows, _) = scanned(&machine);
        let row = rows.iter().find(|row| row.address == task).unwrap();
        let lost = matches!(&row.exited, Err(absent) if absent.is_loss());
        assert!(lost, "{}: {row:?}", real.name);
    }
}

/// Where the vDSO is, memory without operations is not what the process took for itself.
pub(crate) fn a_vdso_without_operations(real: &Real) {
    let mut machine = Machine::of(real);
    let guest = machine.guest();
    let vdso = |name: &osier::Seen<Vec<u8>>| matches!(name, Ok(name) if name == b"[vdso]");
    let vdso = guest.mappings(None).find(|row| vdso(&row.name));
    let modd = vdso.unwrap().modd;
    for member in ["vm_ops", "vm_private_data"] {
        machine.put_pointer(machine.place("vm_area_struct", modd, member), VirtAddr(0));
    }
    let mut answer = machine.guest().mappings(None);
    let row = answer.by_ref().find(|row| row.modd == modd).unwrap();
    let lost = matches!(&row.name, Err(absent) if absent.is_loss());
    assert!(lost, "{}: {row:?}", real.name);
}

/// The tree of a file's pages without its root: they were not never written.
pub(crate) fn a_file_without_the_root_of_its_pages(real: &Real) {
    let mut machine = Machine::of(real);
    let guest = machine.guest();
    let whole = |name: &osier::Seen<Vec<u8>>| matches!(name, Ok(name) if name == b"/workload");
    let modd = guest
        .mappings(None)
        .find(|row| whole(&row.file))
        .unwrap()
        .modd;
    let carve = |machine: &Machine| {
        let guest = machine.guest();
        let provider = guest.provider();
        let carve = provider.carve().and_then(|carve| carve.linux()).unwrap();
        let file = carve.mapped_file(modd).unwrap();
        (file.mapping, carve.cached(&file, 0, 4096).what)
    };
    let (mapping, what) = carve(&machine);
    assert!(what.is_ok(), "{}: {what:?}", real.name);
    let root = machine.place("address_space", mapping, "i_pages.xa_head");
    machine.put_pointer(root, VirtAddr(0));
    let (_, what) = carve(&machine);
    let lost = matches!(&what, Err(absent) if absent.is_loss());
    assert!(lost, "{}: {what:?}", real.name);
}

/// What the kernel told a program is whole of every one, and lost where it was cut.
pub(crate) fn what_a_program_was_told(real: &Real) {
    let mut machine = Machine::of(real);
    let auxiliary = |machine: &Machine, task| {
        let guest = machine.guest();
        let provider = guest.provider();
        let carve = provider.carve().and_then(|carve| carve.linux()).unwrap();
        carve.auxiliary(task)
    };
    let processes = machine.guest().processes();
    let programs: Vec<_> = processes.filter(|row| row.asid.is_ok()).collect();
    assert!(programs.len() > 5, "{}", real.name);
    for row in &programs {
        let told = auxiliary(&machine, row.taskd);
        assert!(told.is_ok(), "{}: {row:?} {told:?}", real.name);
    }
    let task = process(&machine, "spinner-0").taskd;
    let mm = machine.pointer(machine.place("task_struct", task, "mm"));
    let vector = machine.place("mm_struct", mm, "saved_auxv");
    for byte in 8..16 * machine.word() as u64 {
        machine.put(vector.plus(byte), &[0]);
    }
    let told = auxiliary(&machine, task);
    let lost = matches!(&told, Err(absent) if absent.is_loss());
    assert!(lost, "{}: {told:?}", real.name);
}

/// A mount stands on another one, and not 8 bytes behind it.
pub(crate) fn a_mount_that_stands_beside_another(real: &Real) {
    let mut machine = Machine::of(real);
    let guest = machine.guest();
    let all: Vec<_> = guest.mounts(None).collect();
    let mount = all.iter().find(|row| row.id != row.parent).unwrap();
    let place = machine.place("mount", mount.address, "mnt_parent");
    let parent = machine.pointer(place);
    machine.put_pointer(place, parent.plus(8));
    let guest = machine.guest();
    let mut rows = guest.mounts(None);
    let row = rows.find(|row| row.address == mount.address).unwrap();
    let lost = matches!(&row.parent, Err(absent) if absent.is_loss());
    assert!(lost, "{}: {row:?}", real.name);
}

/// Threads of the kernel are in no groups.
pub(crate) fn a_thread_of_the_kernel_in_a_group(real: &Real) {
    let mut machine = Machine::of(real);
    let task = process(&machine, "kswapd0").taskd;
    let cred = machine.pointer(machine.place("task_struct", task, "real_cred"));
    let info = machine.pointer(machine.place("cred", cred, "group_info"));
    let count = machine.place("group_info", info, "ngroups");
    machine.put(count, &1_u32.to_le_bytes());
    let guest = machine.guest();
    let mut wide = guest.wide();
    let row = wide.by_ref().find(|row| row.taskd == task).unwrap();
    let ProcessExtra::Linux(extra) = &row.extra else {
        panic!("{row:?}");
    };
    let groups = &extra.wide.as_ref().unwrap().groups;
    let lost = matches!(groups, Err(absent) if absent.is_loss());
    assert!(lost, "{}: {groups:?}", real.name);
}

/// What stands in a directory is called by its own name.
pub(crate) fn a_program_whose_name_its_file_system_makes(real: &Real) {
    let mut machine = Machine::of(real);
    let task = process(&machine, "spinner-0").taskd;
    let mm = machine.pointer(machine.place("task_struct", task, "mm"));
    let file = machine.pointer(machine.place("mm_struct", mm, "exe_file"));
    let dentry = machine.pointer(machine.place("file", file, "f_path.dentry"));
    let operations = machine.pointer(machine.place("dentry", dentry, "d_op"));
    let text = machine.symbol("_text");
    machine.put_pointer(
        machine.place("dentry_operations", operations, "d_dname"),
        text.plus(0x1000),
    );
    let row = process(&machine, "spinner-0");
    let ProcessExtra::Linux(extra) = &row.extra else {
        panic!("{row:?}");
    };
    let lost = matches!(&extra.exe, Err(absent) if absent.is_loss());
    assert!(lost, "{}: {:?}", real.name, extra.exe);
}

/// A session's number leads to it in the table of ids.
pub(crate) fn a_session_with_another_number(real: &Real) {
    let mut machine = Machine::of(real);
    let victim = process(&machine, "spinner-0").taskd;
    let signal = machine.pointer(machine.place("task_struct", victim, "signal"));
    let session = machine
        .place("signal_struct", signal, "pids")
        .plus(3 * machine.word() as u64);
    let pid = machine.pointer(session);
    let place = machine.place("pid", pid, "numbers");
    let number = u32::from_le_bytes(machine.bytes(place));
    machine.put(place, &(number + 1).to_le_bytes());
    let guest = machine.guest();
    let mut wide = guest.wide();
    let row = wide.by_ref().find(|row| row.taskd == victim).unwrap();
    let ProcessExtra::Linux(extra) = &row.extra else {
        panic!("{row:?}");
    };
    let session = &extra.wide.as_ref().unwrap().session_id;
    let lost = matches!(session, Err(absent) if absent.is_loss());
    assert!(lost, "{}: {session:?}", real.name);
}
