//! Lies about processes and threads: words of the golden snapshots changed into what cannot be. The
//! kernel says most things twice, so each must be told: by an absence in a row or by an ending.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use osier_linux::{AttachError, Linux, Located};
use osier_memory::{Machine, VirtAddr};
use osier_osi::{
    Absent, FoundBy, LinuxProcess, Osi, Process, ProcessExtra, ProcessSource, Seen, SeenExt as _,
    Thread, WalkEnd, WalkEnds,
};
use osier_profile::{Embed, Field, Profile, ProfileBuilder, Resolver, Type};
use osier_testkit::Patched;

const TASK: &str = "task_struct";
const PF_KTHREAD: u64 = 0x0020_0000;

/// A golden snapshot and what it says when nothing is changed.
struct Golden {
    name: &'static str,
    machine: Machine,
    located: Located,
    profile: Arc<Profile>,
    linux: Linux,
    rows: Vec<Process>,
}

fn golden(name: &'static str, kernel: &str) -> Golden {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let file = root.join(format!("snapshots/{name}.elf"));
    let opened = osier_snapshot::open(&file, &osier_snapshot::OpenOptions::default()).unwrap();
    let machine = opened.machine;
    let located = osier_linux::locate(&machine, &[]).unwrap();
    let symbols = root.join(format!("symbols/linux-{kernel}.osp"));
    let profile = Arc::new(Profile::read_file(&symbols).unwrap().0);
    let linux = Linux::attach(&machine, &located, profile.clone()).unwrap();
    let (rows, lost) = processes(&linux);
    assert_eq!(lost, Vec::<String>::new(), "{name}");
    Golden {
        name,
        machine,
        located,
        profile,
        linux,
        rows,
    }
}

fn each(check: impl Fn(&Golden)) {
    for (name, kernel) in [
        ("deb11-5.10-686", "5.10.0-32-686"),
        ("deb11-5.10-686-pae", "5.10.0-32-686-pae"),
        ("deb11-5.10-amd64", "5.10.0-46-amd64"),
        ("deb12-6.1-amd64", "6.1.0-50-amd64"),
        ("deb13-6.12-amd64", "6.12.94+deb13-amd64"),
    ] {
        check(&golden(name, kernel));
    }
}

fn extra(row: &Process) -> &LinuxProcess {
    match &row.extra {
        ProcessExtra::Linux(extra) => extra,
        ProcessExtra::Windows(_) | ProcessExtra::Other => panic!("{row:?}"),
    }
}

/// Whose words are changed.
#[derive(Clone, Copy, Debug)]
enum Who {
    /// A process that sleeps and runs a program, not process 1.
    User,
    /// Another one.
    Other,
    /// A process of a user.
    Owned,
    /// A thread of the kernel that sleeps.
    Kernel,
}

impl Golden {
    fn who(&self, who: Who) -> &Process {
        let sleeps = |row: &&Process| extra(row).state.value().unwrap().0 == 'S';
        let runs = |row: &&Process| row.asid.value().is_some() && row.pid.value() > Some(1);
        let mut rows = self.rows.iter().filter(sleeps);
        match who {
            Who::User => rows.find(runs),
            Who::Other => rows.filter(runs).nth(1),
            Who::Owned => rows.find(|row| runs(row) && extra(row).uid.value() > Some(0)),
            Who::Kernel => rows.rfind(|row| extra(row).kernel_thread.value() == Some(true)),
        }
        .unwrap()
    }

    fn field(&self, structure: &'static str, member: &'static str) -> Option<Field<Embed<()>>> {
        Resolver::new(&self.profile).optional(structure, &[member])
    }

    /// The place and width of the last member of `way`, starting from the task at `from`.
    fn place(&self, from: VirtAddr, way: &Way) -> Option<(VirtAddr, usize)> {
        let ((structure, member), before) = way.split_last().unwrap();
        let mut at = from;
        for (structure, member) in before {
            let next = self.field(structure, member)?.place(at);
            at = self.linux.kernel_space().read_pointer(next).unwrap();
        }
        let field = self.field(structure, member)?;
        let place = field.place(at);
        let held = self.linux.kernel_space().read_uint(place, 1).is_ok();
        held.then_some((place, usize::try_from(field.bytes).unwrap()))
    }

    fn patched(&self) -> Patched {
        Patched::new(self.machine.memory.clone())
    }

    fn write(&self, memory: &mut Patched, at: VirtAddr, bytes: &[u8]) {
        for (at, byte) in (at.0..).zip(bytes) {
            let pa = self.linux.kernel_space().translate(VirtAddr(at)).unwrap();
            memory.write_bytes(pa, &[*byte]);
        }
    }

    fn pointer(&self, memory: &mut Patched, at: VirtAddr, to: VirtAddr) {
        let word = usize::from(self.located.mode.pointer_bytes());
        self.write(memory, at, &to.0.to_le_bytes()[..word]);
    }

    fn attach(&self, memory: Patched) -> Result<Linux, AttachError> {
        let mut machine = self.machine.clone();
        machine.memory = Arc::new(memory);
        Linux::attach(&machine, &self.located, self.profile.clone())
    }
}

fn lost<T>(seen: &Seen<T>) -> bool {
    seen.absence().is_some_and(Absent::is_loss)
}

fn bad(ends: &WalkEnds) -> Vec<String> {
    ends.bad()
        .map(|(walk, end)| format!("{walk}: {end:x?}"))
        .collect()
}

/// The rows of `ps`, and in words what they say is lost.
fn processes(linux: &Linux) -> (Vec<Process>, Vec<String>) {
    let mut rows = Vec::new();
    let ends = linux.processes(&mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    let mut all = bad(&ends);
    for row in &rows {
        let own = extra(row);
        let fields = [
            (lost(&row.pid), "pid"),
            (lost(&row.ppid), "ppid"),
            (lost(&row.name), "name"),
            (lost(&row.asid), "asid"),
            (lost(&row.pgd), "pgd"),
            (lost(&row.create_time), "create_time"),
            (lost(&row.start), "start"),
            (lost(&own.uid), "uid"),
            (lost(&own.gid), "gid"),
            (lost(&own.state), "state"),
            (lost(&own.threads), "threads"),
            (lost(&own.exe), "exe"),
            (lost(&own.cmdline), "cmdline"),
            (lost(&own.kernel_thread), "kernel_thread"),
        ];
        let fields = fields.iter().filter(|(lost, _)| *lost);
        all.extend(fields.map(|(_, name)| format!("{name} of {}", row.taskd)));
    }
    (rows, all)
}

/// What is lost of who the processes are, without their other values.
fn handles(linux: &Linux) -> Vec<String> {
    let mut all = Vec::new();
    let ends = linux.processes(&mut |row| {
        all.extend(lost(&row.pid).then(|| format!("pid of {}", row.taskd)));
        all.extend(lost(&row.asid).then(|| format!("asid of {}", row.taskd)));
        ControlFlow::Continue(())
    });
    all.extend(bad(&ends));
    all
}

/// The rows of the threads of one process, and what they say is lost.
fn threads(linux: &Linux, taskd: VirtAddr) -> (Vec<Thread>, Vec<String>) {
    let mut rows = Vec::new();
    let ends = linux.threads(taskd, &mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    let mut all = bad(&ends);
    for row in &rows {
        let some = lost(&row.pid) || lost(&row.tid) || lost(&row.name) || lost(&row.state);
        all.extend(some.then(|| format!("a field of {}", row.task)));
    }
    (rows, all)
}

/// What a word is made to say.
#[derive(Clone, Copy, Debug)]
enum To {
    Is(u64),
    Plus(u64),
    Without(u64),
    With(u64),
    /// The same word of another.
    That(Who),
}

/// Structures and their members, each but the last a pointer to the next.
type Way = [(&'static str, &'static str)];

/// Who has to tell of it.
const PS: &str = "ps";
const HANDLES: &str = "ps handles";
const THREADS: &str = "threads";
const BOTH: &str = "ps threads";

#[rustfmt::skip]
const LIES: &[(Who, &Way, &[To], &str)] = {
    use To::{Is, Plus, That, With, Without};
    use Who::{Kernel, Other, Owned, User};
    &[
        (User, &[(TASK, "mm")], &[Is(0), Is(0x40_1000), Plus(1), Plus(8), That(Other)], HANDLES),
        (User, &[(TASK, "mm"), ("mm_struct", "pgd")], &[Is(0), Is(0x40_1000), Plus(8), That(Other)], HANDLES),
        (User, &[(TASK, "mm"), ("mm_struct", "mm_users")], &[Is(0)], HANDLES),
        (User, &[(TASK, "mm"), ("mm_struct", "exe_file")], &[Is(0)], PS),
        (User, &[(TASK, "mm"), ("mm_struct", "arg_start")], &[Is(0), Is(u64::MAX), Plus(1)], PS),
        (User, &[(TASK, "mm"), ("mm_struct", "arg_end")], &[Is(0), Plus(1), Is(u64::MAX)], PS),
        (User, &[(TASK, "flags")], &[With(PF_KTHREAD)], PS),
        (Kernel, &[(TASK, "flags")], &[Without(PF_KTHREAD), Is(0), Is(0x0040_8044)], HANDLES),
        (User, &[(TASK, "tgid")], &[Is(0), Is(1), Is(0x40_0000), Is(0x7fff_ffff), Is(0xffff_ffff), Plus(1)], BOTH),
        (User, &[(TASK, "pid")], &[Is(0), Is(1), Is(0x40_0000), Plus(1), That(Other)], THREADS),
        (User, &[(TASK, "real_parent")], &[Is(0), Is(0x40_1000), Plus(1), Plus(8), That(Kernel)], PS),
        (User, &[(TASK, "group_leader")], &[Is(0), Plus(8), That(Other)], BOTH),
        (User, &[(TASK, "start_time")], &[Is(u64::MAX), Is(1 << 62), Is(1 << 63)], PS),
        (User, &[(TASK, "start_boottime")], &[Is(u64::MAX), Is(1 << 62), Is(1 << 63)], PS),
        (User, &[(TASK, "signal")], &[Is(0), Plus(8), That(Other)], BOTH),
        (User, &[(TASK, "signal"), ("signal_struct", "nr_threads")], &[Is(0), Plus(1), Is(0x7fff_ffff), Is(0x8000_0000)], BOTH),
        (User, &[(TASK, "real_cred")], &[Is(0), Plus(1)], PS),
        (User, &[(TASK, "real_cred"), ("cred", "usage")], &[Is(0)], PS),
        (User, &[(TASK, "real_cred"), ("cred", "gid")], &[Is(0xffff_ffff)], PS),
        (Owned, &[(TASK, "real_cred"), ("cred", "uid")], &[Is(0), Is(0xffff_ffff)], PS),
        (User, &[(TASK, "state")], &[Is(0), Is(0x80), Is(3), Is(0xffff_ffff)], BOTH),
        (User, &[(TASK, "__state")], &[Is(0), Is(0x80), Is(3), Is(0xffff_ffff)], BOTH),
        (User, &[(TASK, "exit_state")], &[Is(8), Is(0x20), Is(0xffff_ffff)], BOTH),
        (Kernel, &[(TASK, "state")], &[Is(0), Is(0xffff_ffff)], BOTH),
        (Kernel, &[(TASK, "__state")], &[Is(0), Is(0xffff_ffff)], BOTH),
    ]
};

#[test]
fn a_word_that_cannot_be_is_told() {
    each(|golden| {
        let mut silent = Vec::new();
        let mut tried = 0;
        for (who, way, ways, tell) in LIES {
            let task = golden.who(*who).taskd;
            let Some((at, width)) = golden.place(task, way) else {
                continue;
            };
            let read = |at| golden.linux.kernel_space().read_uint(at, width).unwrap();
            let was = read(at);
            for to in *ways {
                let mask = u64::MAX >> (64 - 8 * width);
                let value = mask
                    & match *to {
                        To::Is(value) => value,
                        To::Plus(more) => was.wrapping_add(more),
                        To::With(bits) => was | bits,
                        To::Without(bits) => was & !bits,
                        To::That(other) => {
                            read(golden.place(golden.who(other).taskd, way).unwrap().0)
                        }
                    };
                assert_ne!(value, was, "{way:?} {to:?}");
                tried += 1;
                let mut memory = golden.patched();
                golden.write(&mut memory, at, &value.to_le_bytes()[..width]);
                let Ok(linux) = golden.attach(memory) else {
                    continue;
                };
                for tell in tell.split(' ') {
                    let told = match tell {
                        "ps" => processes(&linux).1,
                        "handles" => handles(&linux),
                        _ => threads(&linux, task).1,
                    };
                    if told.is_empty() {
                        silent.push(format!("{tell}: {way:?} {was:#x} made {value:#x}"));
                    }
                }
            }
        }
        assert!(tried > 50, "{tried}");
        assert!(silent.is_empty(), "{}: {silent:#?}", golden.name);
    });
}

#[test]
fn a_name_without_an_end_is_told() {
    each(|golden| {
        let task = golden.who(Who::User).taskd;
        let (at, _) = golden.place(task, &[(TASK, "comm")]).unwrap();
        let mut memory = golden.patched();
        golden.write(&mut memory, at, &[b'A'; 16]);
        let linux = golden.attach(memory).unwrap();
        assert_eq!(processes(&linux).1, [format!("name of {task}")]);
        assert!(!threads(&linux, task).1.is_empty());
    });
}

#[test]
fn a_kernel_thread_that_borrows_a_memory_does_not_run_its_program() {
    each(|golden| {
        let (worker, lender) = (golden.who(Who::Kernel), golden.who(Who::User));
        let mut memory = golden.patched();
        for member in ["mm", "active_mm"] {
            let (at, width) = golden.place(worker.taskd, &[(TASK, member)]).unwrap();
            let (from, _) = golden.place(lender.taskd, &[(TASK, "mm")]).unwrap();
            let mm = golden.linux.kernel_space().read_uint(from, width).unwrap();
            golden.write(&mut memory, at, &mm.to_le_bytes()[..width]);
        }
        let linux = golden.attach(memory).unwrap();
        let (rows, lost) = processes(&linux);
        assert_eq!(lost, Vec::<String>::new());
        let same = rows.iter().find(|row| row.taskd == worker.taskd);
        assert_eq!(same.unwrap().asid, worker.asid);
        assert_eq!(extra(same.unwrap()), extra(worker));
        let mut mappings = 0;
        let ends = linux.mappings(worker.taskd, &mut |_| {
            mappings += 1;
            ControlFlow::Continue(())
        });
        assert!(ends.is_complete());
        assert_eq!(mappings, 0);
    });
}

#[test]
fn the_idle_task_in_the_memory_that_it_runs_in_is_told() {
    each(|golden| {
        let linked = |name| golden.profile.symbol(name).unwrap();
        let slid = linked("init_task").wrapping_sub(linked("_text"));
        let idle = golden.located.text.plus(slid);
        let lender = golden.who(Who::User);
        let mut memory = golden.patched();
        let (from, width) = golden.place(lender.taskd, &[(TASK, "mm")]).unwrap();
        let mm = golden.linux.kernel_space().read_uint(from, width).unwrap();
        for member in ["mm", "active_mm"] {
            let (at, width) = golden.place(idle, &[(TASK, member)]).unwrap();
            golden.write(&mut memory, at, &mm.to_le_bytes()[..width]);
        }
        let linux = golden.attach(memory).unwrap();
        let row = linux.process(idle).get().unwrap().clone();
        assert!(
            lost(&row.asid) && lost(&row.pgd),
            "{}: {row:?}",
            golden.name
        );
    });
}

#[test]
fn the_first_task_has_one_thread() {
    each(|golden| {
        let first = golden.rows.iter().find(|row| row.pid == Ok(0)).unwrap();
        let way = [(TASK, "signal"), ("signal_struct", "nr_threads")];
        let (at, width) = golden.place(first.taskd, &way).unwrap();
        for count in [2, 0x6f69_7072_u64] {
            let mut memory = golden.patched();
            golden.write(&mut memory, at, &count.to_le_bytes()[..width]);
            let linux = golden.attach(memory).unwrap();
            let row = linux.process(first.taskd).get().unwrap().clone();
            assert!(lost(&extra(&row).threads), "{}: {row:?}", golden.name);
        }
    });
}

#[test]
fn process_1_before_its_first_program_has_not_exited() {
    let golden = golden("deb13-6.12-amd64", "6.12.94+deb13-amd64");
    let init = golden.rows.iter().find(|row| row.pid == Ok(1)).unwrap();
    let mut memory = golden.patched();
    for member in ["mm", "active_mm"] {
        let (at, _) = golden.place(init.taskd, &[(TASK, member)]).unwrap();
        golden.write(&mut memory, at, &[0; 8]);
    }
    let linux = golden.attach(memory.clone()).unwrap();
    assert!(lost(&linux.process(init.taskd).get().unwrap().asid));
    // PF_FORKNOEXEC: it has not run a program yet.
    let (at, _) = golden.place(init.taskd, &[(TASK, "flags")]).unwrap();
    golden.write(&mut memory, at, &0x40_0040_u32.to_le_bytes());
    let linux = golden.attach(memory).unwrap();
    let row = linux.process(init.taskd).get().unwrap().clone();
    let why = format!("{:?}", row.asid.absence().unwrap().why);
    assert!(why.contains("not run a program yet"), "{why}");
}

/// Takes the node at `node` out of its list, the neighbours joined.
fn unlink(golden: &Golden, memory: &mut Patched, node: VirtAddr) {
    let word = u64::from(golden.located.mode.pointer_bytes());
    let read = |at| golden.linux.kernel_space().read_pointer(at).unwrap();
    let (next, prev) = (read(node), read(node.plus(word)));
    golden.pointer(memory, prev, next);
    golden.pointer(memory, next.plus(word), prev);
}

#[test]
fn a_process_in_neither_list_nor_table_is_found_among_its_parents_children() {
    each(|golden| {
        let hidden = golden.who(Who::User);
        let mut memory = golden.patched();
        let (node, _) = golden.place(hidden.taskd, &[(TASK, "tasks")]).unwrap();
        unlink(golden, &mut memory, node);
        let pid = &[(TASK, "thread_pid"), ("pid", "tasks")];
        let (heads, _) = golden.place(hidden.taskd, pid).unwrap();
        let word = usize::from(golden.located.mode.pointer_bytes());
        golden.write(&mut memory, heads, &[0; 32][..4 * word]);
        let linux = golden.attach(memory).unwrap();
        let (rows, lost) = processes(&linux);
        let row = rows.iter().find(|row| row.taskd == hidden.taskd).unwrap();
        assert_eq!(
            row.found_by,
            FoundBy::source(ProcessSource::Children)
                .missing(ProcessSource::List)
                .missing(ProcessSource::PidTable)
        );
        assert_eq!(row.pid, hidden.pid);
        assert_eq!(rows.len(), golden.rows.len());
        let named = |what: &&String| what.contains("only_second: 1");
        assert!(lost.iter().any(|what| named(&what)), "{lost:#?}");
        assert!(!handles(&linux).is_empty());
    });
}

#[test]
fn a_thread_that_is_not_on_the_list_is_found_by_its_number() {
    each(|golden| {
        let many = |row: &&Process| extra(row).threads.value() > Some(1);
        let Some(process) = golden.rows.iter().find(many) else {
            return;
        };
        let whole = threads(&golden.linux, process.taskd);
        assert!(whole.1.is_empty(), "{:?}", whole.1);
        let hidden = whole.0.last().unwrap().task;
        let mut memory = golden.patched();
        let (node, _) = golden.place(hidden, &[(TASK, "thread_node")]).unwrap();
        unlink(golden, &mut memory, node);
        let linux = golden.attach(memory).unwrap();
        let (rows, lost) = threads(&linux, process.taskd);
        assert_eq!(rows.len(), whole.0.len());
        assert!(rows.iter().any(|row| row.task == hidden));
        assert_eq!(lost.len(), 2, "{lost:#?}");
    });
}

#[test]
fn a_thread_that_nothing_names_is_missed_by_the_kernels_count() {
    each(|golden| {
        let process = golden.who(Who::User);
        let mut memory = golden.patched();
        let pid = &[(TASK, "thread_pid"), ("pid", "tasks")];
        let (heads, _) = golden.place(process.taskd, pid).unwrap();
        let word = usize::from(golden.located.mode.pointer_bytes());
        golden.write(&mut memory, heads, &[0; 8][..word]);
        let linux = golden.attach(memory).unwrap();
        let mut ends = WalkEnds::default();
        ends.join(linux.processes(&mut |_| ControlFlow::Continue(())));
        let counts = ends.bad().filter(|(_, end)| {
            matches!(
                end,
                WalkEnd::Disagreement {
                    only_first: 1,
                    only_second: 0,
                    ..
                }
            )
        });
        assert!(counts.count() >= 1, "{ends:?}");
    });
}

#[test]
fn a_process_that_nothing_names_leaves_its_number_behind() {
    each(|golden| {
        // Not the leader of a group or session, whose lists would name it still.
        let hidden = golden.who(Who::Kernel);
        let mut memory = golden.patched();
        for member in ["tasks", "sibling"] {
            let (node, _) = golden.place(hidden.taskd, &[(TASK, member)]).unwrap();
            unlink(golden, &mut memory, node);
        }
        let pid = &[(TASK, "thread_pid"), ("pid", "tasks")];
        let (heads, _) = golden.place(hidden.taskd, pid).unwrap();
        let word = usize::from(golden.located.mode.pointer_bytes());
        golden.write(&mut memory, heads, &[0; 16][..2 * word]);
        let linux = golden.attach(memory).unwrap();
        assert!(!processes(&linux).1.is_empty(), "{}", golden.name);
        assert!(!handles(&linux).is_empty());
        assert!(!threads(&linux, golden.who(Who::User).taskd).1.is_empty());
    });
}

#[test]
fn a_profile_with_its_ids_elsewhere_is_refused() {
    let golden = golden("deb12-6.1-amd64", "6.1.0-50-amd64");
    let mut wrong = ProfileBuilder::new(golden.profile.identity().clone());
    for ty in golden.profile.types() {
        let mut members = ty.members().to_vec();
        let own = members.iter_mut().filter(|_| ty.name == TASK);
        for member in own.filter(|member| member.name == "tgid") {
            member.offset += 12;
        }
        wrong.add_type(Type::new(ty.name.clone(), ty.kind, ty.bytes, members));
    }
    for (name, value) in golden.profile.symbols() {
        wrong.add_symbol(name, *value);
    }
    for (name, value) in golden.profile.constants() {
        wrong.add_constant(name, *value);
    }
    let wrong = Arc::new(wrong.build());
    let error = Linux::attach(&golden.machine, &golden.located, wrong).err();
    assert!(
        matches!(error, Some(AttachError::WrongProfile(_))),
        "{error:?}"
    );
}

/// What a leader that has exited has no more, another thread of the process has, and every question about the process
/// asks that thread; PANDA asks the leader.
#[test]
fn a_process_outlives_its_leader() {
    each(|golden| {
        let rows = golden.rows.iter();
        let mut rows =
            rows.filter(|row| extra(row).state.value().is_some_and(|state| state.0 == 'Z'));
        let row = rows
            .find(|row| extra(row).threads.value() > Some(1))
            .unwrap();
        let linux = &golden.linux;
        assert!(row.asid.is_ok() && extra(row).exe.is_ok(), "{row:?}");
        assert!(extra(row).cmdline.is_ok(), "{row:?}");
        let count = |linux: &Linux, panda| {
            let mut count = 0;
            let each = &mut |_| {
                count += 1;
                ControlFlow::Continue(())
            };
            let ends = if panda {
                linux.panda().unwrap().panda_mappings(row.taskd, each)
            } else {
                linux.mappings(row.taskd, each)
            };
            (count, ends.is_complete())
        };
        let (mappings, whole) = count(linux, false);
        assert!(mappings > 5 && whole, "{mappings}");
        assert_eq!(count(linux, true), (0, true));
        let as_panda = linux.panda().unwrap().panda_process(row.clone());
        assert!(as_panda.asid.is_err() && !lost(&as_panda.asid));
        let [leader, survivor] = &threads(linux, row.taskd).0[..] else {
            panic!("two threads");
        };
        assert_eq!(leader.task, row.taskd);
        // The thread has no memory, or is not counted: it is not that the process has exited.
        let live = [(TASK, "signal"), ("signal_struct", "live")];
        for (from, way) in [(survivor.task, &[(TASK, "mm")][..]), (row.taskd, &live[..])] {
            let mut memory = golden.patched();
            let (at, bytes) = golden.place(from, way).unwrap();
            golden.write(&mut memory, at, &vec![0; bytes]);
            let linux = golden.attach(memory).unwrap();
            let process = linux.process(row.taskd).get().unwrap().clone();
            assert!(lost(&process.asid) && lost(&extra(&process).exe), "{way:?}");
            assert!(!count(&linux, false).1, "{way:?}");
        }
    });
}
