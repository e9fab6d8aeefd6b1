//! Tasks, the pid table, processors, the clock, modules.

use std::collections::BTreeMap;

use osier_memory::{CpuState, Paging, VirtAddr};

use super::files::Files;
use super::maps::{self, Space};
use super::writer::Writer;
use super::{Era, ToyModule, ToyState, ToyTask};

const TASK: &str = "task_struct";
const KERNEL_THREAD: u64 = 0x0020_0000;
const EXITING: u64 = 0x4;
const CPUS: usize = 2;
/// Bytes of each processor's area, and places in it.
const PER_CPU: u64 = 0x3000;
const CURRENT: u64 = 0x1100;
const RUNQUEUE: u64 = 0x2200;

/// Writes the crowd; returns each processor's registers and its current process.
pub(super) fn write(
    w: &mut Writer,
    files: &mut Files,
    era: Era,
    crowd: &mut [ToyTask],
) -> (Vec<CpuState>, Vec<u32>) {
    clock(w);
    let namespace = w.global("init_pid_ns", "pid_namespace");
    let init_task = w.global("init_task", TASK);
    let mut leaders: BTreeMap<u32, VirtAddr> = BTreeMap::new();
    for task in crowd.iter() {
        let at = if task.pid == 0 {
            init_task
        } else {
            w.object(TASK)
        };
        leaders.insert(task.pid, at);
    }
    let mut pids = BTreeMap::new();
    for task in crowd.iter_mut() {
        task.taskd = leaders[&task.pid];
        process(w, files, era, task, &leaders, namespace, &mut pids);
    }
    let ring: Vec<_> = crowd.iter().map(|t| w.at(t.taskd, TASK, "tasks")).collect();
    w.ring(&ring);
    for parent in crowd.iter() {
        let mut family = vec![w.at(parent.taskd, TASK, "children")];
        let children = crowd.iter().filter(|t| t.ppid == parent.pid && t.pid != 0);
        family.extend(children.map(|child| w.at(child.taskd, TASK, "sibling")));
        w.ring(&family);
    }
    let threads = w.symbol("nr_threads", 4);
    w.uint(threads, pids.len() as u64, 4);
    pid_table(w, namespace, &pids);
    w.set(namespace, "pid_namespace", "child_reaper", leaders[&1].0);
    let current = vec![100, 0];
    let cpus = processors(w, era, files, leaders[&100], init_task);
    (cpus, current)
}

fn process(
    w: &mut Writer,
    files: &mut Files,
    era: Era,
    task: &mut ToyTask,
    leaders: &BTreeMap<u32, VirtAddr>,
    namespace: VirtAddr,
    pids: &mut BTreeMap<u32, VirtAddr>,
) {
    let exited = task.state == ToyState::Zombie;
    let dead = exited && task.threads.len() == 1;
    let space = (!task.kernel && !dead).then(|| maps::space(w, files, era, task));
    if let Some(space) = &space {
        task.root = Some((space.root, space.pgd));
        for (mapping, vma) in task.mappings.iter_mut().zip(&space.vmas) {
            mapping.vma = *vma;
        }
    } else {
        task.mappings.clear();
        task.exe.clear();
        task.cmdline.clear();
    }
    let signal = w.object("signal_struct");
    w.set(
        signal,
        "signal_struct",
        "nr_threads",
        task.threads.len() as u64,
    );
    let living = task.threads.len().saturating_sub(exited.into());
    w.set_if(signal, "signal_struct", "live", living as u64);
    let cred = w.object("cred");
    w.set(cred, "cred", "usage", 2);
    w.set(cred, "cred", "uid.val", u64::from(task.uid));
    w.set(cred, "cred", "gid.val", u64::from(task.gid));
    let fs = w.object("fs_struct");
    let mnt = w.at(files.root.mount, "mount", "mnt");
    for place in ["root", "pwd"] {
        w.set(fs, "fs_struct", &format!("{place}.mnt"), mnt.0);
        w.set(
            fs,
            "fs_struct",
            &format!("{place}.dentry"),
            files.root.dentry.0,
        );
    }
    let mut nodes = vec![w.at(signal, "signal_struct", "thread_head")];
    let mut group = Vec::new();
    for (tid, name) in task.threads.clone() {
        let leads = tid == task.pid;
        let at = if leads { task.taskd } else { w.object(TASK) };
        let space = space.as_ref().filter(|_| !(leads && exited));
        let state = if leads {
            task.state
        } else {
            ToyState::Sleeping
        };
        one(w, at, task, tid, &name, state, space);
        let parent = leaders[&task.ppid];
        for (member, value) in [
            ("real_parent", parent),
            ("parent", parent),
            ("group_leader", task.taskd),
            ("real_cred", cred),
            ("cred", cred),
            ("signal", signal),
        ] {
            w.set(at, TASK, member, value.0);
        }
        if !(leads && exited) {
            w.set(at, TASK, "fs", fs.0);
        }
        if !leads {
            let own = w.at(at, TASK, "tasks");
            w.ring(&[own]);
        }
        nodes.push(w.at(at, TASK, "thread_node"));
        if era == Era::Lists {
            group.push(w.at(at, TASK, "thread_group"));
        }
        if tid != 0 {
            let pid = pid(w, at, tid, leads, namespace);
            pids.insert(tid, pid);
        }
    }
    w.ring(&nodes);
    w.ring(&group);
}

/// The fields of one thread that are its own.
fn one(
    w: &mut Writer,
    at: VirtAddr,
    task: &ToyTask,
    tid: u32,
    name: &[u8],
    state: ToyState,
    space: Option<&Space>,
) {
    let (number, exit) = match state {
        ToyState::Running => (0, 0),
        ToyState::Sleeping => (1, 0),
        ToyState::Stopped => (4 | 0x100, 0),
        ToyState::Zombie => (0x80, 0x20),
        ToyState::Idle => (0x402, 0),
    };
    w.set_if(at, TASK, "state", number);
    w.set_if(at, TASK, "__state", number);
    w.set(at, TASK, "exit_state", exit);
    let flags = match (task.kernel, state) {
        (true, _) => KERNEL_THREAD,
        (_, ToyState::Zombie) => EXITING,
        _ => 0x40_0000,
    };
    w.set(at, TASK, "flags", flags);
    w.set(at, TASK, "pid", u64::from(tid));
    w.set(at, TASK, "tgid", u64::from(task.pid));
    let mm = space.map_or(0, |space| space.mm.0);
    w.set(at, TASK, "mm", mm);
    w.set(at, TASK, "active_mm", mm);
    w.set(at, TASK, "start_time", task.start);
    w.set_if(at, TASK, "real_start_time", task.start);
    w.set_if(at, TASK, "start_boottime", task.start);
    let comm = w.at(at, TASK, "comm");
    w.bytes(comm, name);
}

/// A `struct pid` and its links to the task.
fn pid(w: &mut Writer, task: VirtAddr, nr: u32, leads: bool, namespace: VirtAddr) -> VirtAddr {
    let pid = w.object("pid");
    w.set(pid, "pid", "count", 1);
    let numbers = w.at(pid, "pid", "numbers");
    w.set(numbers, "upid", "nr", u64::from(nr));
    w.set(numbers, "upid", "ns", namespace.0);
    let (heads, links) = (w.at(pid, "pid", "tasks"), w.at(task, TASK, "pid_links"));
    let (head, link) = (w.shapes.size("hlist_head"), w.shapes.size("hlist_node"));
    let kinds = if leads { 0..2 } else { 0..1 };
    for kind in kinds {
        let (head, link) = (heads.plus(kind * head), links.plus(kind * link));
        w.set(head, "hlist_head", "first", link.0);
        w.set(link, "hlist_node", "pprev", head.0);
    }
    w.set(task, TASK, "thread_pid", pid.0);
    pid
}

/// The radix tree of the initial pid namespace: two levels, 4096 pids.
fn pid_table(w: &mut Writer, namespace: VirtAddr, pids: &BTreeMap<u32, VirtAddr>) {
    let word = w.word() as u64;
    let head = w.at(namespace, "pid_namespace", "idr.idr_rt.xa_head");
    let top = w.object("xa_node");
    w.set(top, "xa_node", "shift", 6);
    w.pointer(head, top.plus(2));
    let mut leaves: BTreeMap<u32, VirtAddr> = BTreeMap::new();
    for (nr, pid) in pids {
        let index = nr >> 6;
        let leaf = *leaves.entry(index).or_insert_with(|| {
            let leaf = w.object("xa_node");
            w.set(leaf, "xa_node", "offset", u64::from(index));
            w.set(leaf, "xa_node", "parent", top.0);
            let slot = w.at(top, "xa_node", "slots").plus(u64::from(index) * word);
            w.pointer(slot, leaf.plus(2));
            leaf
        });
        let slot = w
            .at(leaf, "xa_node", "slots")
            .plus(u64::from(nr & 63) * word);
        w.pointer(slot, *pid);
        let count = w.at(leaf, "xa_node", "count");
        let here = pids.keys().filter(|nr| *nr >> 6 == index).count();
        w.uint(count, here as u64, 1);
    }
    w.set(top, "xa_node", "count", leaves.len() as u64);
    w.set(namespace, "pid_namespace", "idr.idr_next", 4001);
    w.set(
        namespace,
        "pid_namespace",
        "pid_allocated",
        pids.len() as u64,
    );
}

/// Whether `symbol` is an offset into the per-CPU area, which no slide moves.
pub(super) fn is_per_cpu(symbol: &str, mode: Paging) -> bool {
    let per_cpu = [
        "current_task",
        "pcpu_hot",
        "runqueues",
        "__per_cpu_start",
        "__per_cpu_end",
    ];
    mode.pointer_bytes() == 8 && per_cpu.contains(&symbol)
}

fn processors(
    w: &mut Writer,
    era: Era,
    files: &Files,
    running: VirtAddr,
    init_task: VirtAddr,
) -> Vec<CpuState> {
    let wide = w.word() == 8;
    // On x86-64 the area is linked at 0; on i386 it lies in the image.
    let start = if wide {
        VirtAddr(0)
    } else {
        w.symbol("__per_cpu_start", PER_CPU)
    };
    w.symbols.insert("__per_cpu_start", start);
    w.symbols.insert("__per_cpu_end", start.plus(PER_CPU));
    let current = if era == Era::Trees {
        "pcpu_hot"
    } else {
        "current_task"
    };
    w.symbols.insert(current, start.plus(CURRENT));
    w.symbols.insert("runqueues", start.plus(RUNQUEUE));
    let word = w.word() as u64;
    let offsets = w.symbol("__per_cpu_offset", CPUS as u64 * word);
    let online = w.symbol("__cpu_online_mask", 8);
    w.uint(online, 3, 8);
    let possible = w.symbol("__cpu_possible_mask", 8);
    w.uint(possible, 3, 8);
    let count = w.symbol("nr_cpu_ids", 4);
    w.uint(count, CPUS as u64, 4);
    let second = idle_of_the_second(w, era, files, init_task);
    let mut cpus = Vec::new();
    for (index, (now, idle)) in (0_u32..).zip([(running, init_task), (second, second)]) {
        let pages: Vec<_> = (0..PER_CPU / 0x1000).map(|_| w.page()).collect();
        let area = pages[0];
        let offset = VirtAddr(area.0.wrapping_sub(start.0));
        w.pointer(offsets.plus(u64::from(index) * word), offset);
        w.set(now, TASK, "thread_info.cpu", index.into());
        w.set(now, TASK, "on_cpu", 1);
        let at = area.plus(CURRENT);
        if era == Era::Trees {
            w.set(at, "pcpu_hot", "current_task", now.0);
            w.set(at, "pcpu_hot", "cpu_number", u64::from(index));
        } else {
            w.pointer(at, now);
        }
        w.set(area.plus(RUNQUEUE), "rq", "curr", now.0);
        w.set(area.plus(RUNQUEUE), "rq", "idle", idle.0);
        let mut cpu = CpuState {
            index,
            cr0: Some(0x8005_0033),
            cr3: w.tables.root().0,
            cr4: Some(match w.mode {
                Paging::LegacyNoPse => 0,
                Paging::Legacy => 0x10,
                Paging::Long5 => 0x1020,
                _ => 0x20,
            }),
            cpl: Some(0),
            efer: Some(if wide { 0xd01 } else { 0 }),
            long_mode: Some(wide),
            rip: w.text.0 + 0x100,
            a20_mask: u64::MAX,
            ..CpuState::default()
        };
        if wide {
            cpu.segments.gs.base = Some(offset.0);
        } else {
            cpu.segments.fs.base = Some(offset.0 & 0xffff_ffff);
        }
        cpus.push(cpu);
    }
    cpus
}

/// The second processor's idle task: on no list but its run queue's.
fn idle_of_the_second(w: &mut Writer, era: Era, files: &Files, init_task: VirtAddr) -> VirtAddr {
    let at = w.object(TASK);
    let task = ToyTask {
        kernel: true,
        ..ToyTask::default()
    };
    one(w, at, &task, 0, b"swapper/1", ToyState::Running, None);
    let signal = w.object("signal_struct");
    w.set(signal, "signal_struct", "nr_threads", 1);
    let cred = w.object("cred");
    w.set(cred, "cred", "usage", 2);
    let node = w.at(at, TASK, "thread_node");
    let head = w.at(signal, "signal_struct", "thread_head");
    w.ring(&[head, node]);
    if era == Era::Lists {
        let group = w.at(at, TASK, "thread_group");
        w.ring(&[group]);
    }
    let own = w.at(at, TASK, "tasks");
    w.ring(&[own]);
    let fs = w.object("fs_struct");
    let mnt = w.at(files.root.mount, "mount", "mnt");
    w.set(fs, "fs_struct", "root.mnt", mnt.0);
    w.set(fs, "fs_struct", "root.dentry", files.root.dentry.0);
    for (member, value) in [
        ("real_parent", init_task),
        ("parent", init_task),
        ("group_leader", at),
        ("real_cred", cred),
        ("cred", cred),
        ("signal", signal),
        ("fs", fs),
    ] {
        w.set(at, TASK, member, value.0);
    }
    at
}

/// A clock that says 2026-01-01 00:01:00 UTC, a minute after boot.
fn clock(w: &mut Writer) {
    const BOOT: u64 = 1_767_225_600;
    let bytes = 8 + w.shapes.size("timekeeper");
    let core = w.symbol("tk_core", bytes);
    w.symbols.insert("timekeeper", core.plus(8));
    let keeper = core.plus(8);
    let mut set = |member, value| w.set(keeper, "timekeeper", member, value);
    set("tkr_mono.mult", 0x40_0000);
    set("tkr_mono.shift", 22);
    set("tkr_mono.xtime_nsec", 0);
    set("xtime_sec", BOOT + 60);
    set("ktime_sec", 60);
    set("wall_to_monotonic.tv_sec", BOOT.wrapping_neg());
    set("offs_real", BOOT * 1_000_000_000);
}

pub(super) fn modules(w: &mut Writer, era: Era) -> Vec<ToyModule> {
    let word = w.word() as u64;
    let head = w.symbol("modules", 2 * word);
    let mut rows = Vec::new();
    let mut ring = vec![head];
    w.apart(0);
    for (n, name) in (0_u64..).zip(["toy_net", "toy_fs", "a_module_of_a_long_name", "last"]) {
        // Each part is an allocation of its own, with nothing mapped behind it.
        let pages = 4 + n;
        let size = match era {
            Era::Lists => pages * 0x1000,
            Era::Trees => (pages + 3) * 0x1000,
        };
        let base = w.apart(pages);
        let data = match era {
            Era::Lists => base,
            Era::Trees => w.apart(1),
        };
        let module = data.plus(0x40);
        let text = w.at(module, "module", "name");
        w.bytes(text, name.as_bytes());
        match era {
            Era::Lists => {
                w.set(module, "module", "core_layout.base", base.0);
                w.set(module, "module", "core_layout.size", size);
            }
            Era::Trees => {
                let memories = w.at(module, "module", "mem");
                let each = w.shapes.size("module_memory");
                w.set(memories, "module_memory", "base", base.0);
                w.set(memories, "module_memory", "size", pages * 0x1000);
                for kind in 1..4 {
                    let at = memories.plus(kind * each);
                    let part = if kind == 1 { data } else { w.apart(1) };
                    w.set(at, "module_memory", "base", part.0);
                    w.set(at, "module_memory", "size", 0x1000);
                }
            }
        }
        ring.push(w.at(module, "module", "list"));
        rows.push(ToyModule {
            name: name.as_bytes().to_vec(),
            base: base.0,
            size,
            modd: module,
        });
    }
    w.ring(&ring);
    rows
}
