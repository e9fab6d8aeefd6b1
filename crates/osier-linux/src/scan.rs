//! Tasks and modules by their own bytes, merged with what the kernel's lists name.
//!
//! A `task_struct` lies in a slot of the cache `task_struct_cachep`; one that exited lies there until the slot is
//! used again. A `struct module` lies in the memory that modules are loaded into, which is searched for what leads to
//! itself as a module does.

use foldhash::{HashMap, HashSet, HashSetExt as _};
use osier_memory::{Each, Fault, VirtAddr};
use osier_osi::{
    Absent, ProcessSource, ScanSource, ScanSources, Scanned, ScannedKind, Seen, WalkEnd, WalkEnds,
};
use osier_profile::{Field, Resolver, SInt};

use crate::layouts::COMM_BYTES;
use crate::slabs::{Slabs, Slots};
use crate::symbols;
use crate::{Linux, family, group, memory, process, tasks, threads};

/// The walk's name in endings.
const WALK: &str = "scan";
/// More than any kernel's highest id: `PID_MAX_LIMIT`.
const PID_MAX: i64 = 1 << 22;

/// A task, and what leads to it.
#[derive(Clone, Debug)]
pub(crate) struct Met {
    pub(crate) task: VirtAddr,
    pub(crate) found_by: ScanSources,
    /// Whether the pid table was read whole and lacks it, although it should not.
    pub(crate) lacks_number: bool,
    /// Whether its slot is free; not applicable to one that lies in no slot that was found.
    pub(crate) free: Seen<bool>,
}

impl Met {
    /// Whether a list of the kernel leads to it.
    pub(crate) fn is_linked(&self) -> bool {
        [ScanSource::List, ScanSource::Threads, ScanSource::RunQueue]
            .into_iter()
            .any(|source| self.found_by.has(source))
    }
}

/// Tasks in the order in which they were met.
#[derive(Default)]
struct Tasks {
    all: Vec<Met>,
    places: HashMap<VirtAddr, usize>,
}

impl Tasks {
    fn meet(&mut self, task: VirtAddr, source: ScanSource) {
        let all = &mut self.all;
        let place = *self.places.entry(task).or_insert_with(|| {
            all.push(Met {
                task,
                found_by: ScanSources::default(),
                lacks_number: false,
                free: Err(Absent::not_applicable("it lies in no slot of the cache")),
            });
            all.len().saturating_sub(1)
        });
        if let Some(met) = self.all.get_mut(place) {
            met.found_by = met.found_by.and(source);
        }
    }

    fn get(&mut self, task: VirtAddr) -> Option<&mut Met> {
        let place = self.places.get(&task)?;
        self.all.get_mut(*place)
    }
}

/// Every task, and how the walks to them ended: what the kernel's lists name, in their order, then what lies in slots
/// alone.
pub(crate) fn met(linux: &Linux) -> (Vec<Met>, WalkEnds) {
    let mut tasks = Tasks::default();
    let mut ends = named(linux, &mut tasks);
    let slabs = Slabs::resolve(&mut Resolver::new(&linux.guest.profile));
    let Some(slabs) = slabs else {
        ends.add(
            WALK,
            WalkEnd::no_start("the descriptors of slab pages in the profile", None),
        );
        return (tasks.all, ends);
    };
    let Slots {
        slots,
        ends: of_slots,
    } = slabs.slots(&linux.guest, symbols::task_struct_cachep);
    let whole = of_slots.is_complete();
    ends.join(of_slots);
    let mut unread: Option<(usize, Fault)> = None;
    let mut odd: Option<(VirtAddr, usize)> = None;
    for slot in slots {
        let known = tasks.get(slot.at).is_some();
        if !known {
            match is_task(linux, slot.at) {
                Ok(true) => {}
                Ok(false) => {
                    // A free slot may never have been used.
                    if slot.free == Ok(false) {
                        let (first, count) = odd.unwrap_or((slot.at, 0));
                        odd = Some((first, count.saturating_add(1)));
                    }
                    continue;
                }
                Err(fault) => {
                    let (count, first) = unread.unwrap_or((0, fault));
                    unread = Some((count.saturating_add(1), first));
                    continue;
                }
            }
        }
        tasks.meet(slot.at, ScanSource::Slab);
        if let Some(met) = tasks.get(slot.at) {
            met.free = slot.free;
        }
    }
    if let Some((parts, fault)) = unread {
        let what = "slots of task_struct";
        ends.add(WALK, WalkEnd::Unread { what, parts, fault });
    }
    if let Some((at, values)) = odd {
        ends.add(WALK, WalkEnd::Implausible { at, values });
    }
    if whole {
        let apart =
            |met: &&Met| !met.found_by.has(ScanSource::Slab) && linux.init_task != Some(met.task);
        let apart = tasks.all.iter().filter(apart).count();
        ends.disagree("tasks of the lists and slots of task_struct", apart, 0);
    }
    (tasks.all, ends)
}

/// Meets what the kernel's lists name.
fn named(linux: &Linux, tasks: &mut Tasks) -> WalkEnds {
    let leaders = tasks::leaders(linux);
    let mut ends = leaders.ends;
    for (task, found_by) in &leaders.rows {
        let pairs = [
            (ProcessSource::List, ScanSource::List),
            (ProcessSource::PidTable, ScanSource::PidTable),
            (ProcessSource::Children, ScanSource::Children),
        ];
        // The idle task of the first processor has no number, although the merged list says so.
        let has = |source| {
            found_by.has(source)
                && !(source == ProcessSource::PidTable && linux.init_task == Some(*task))
        };
        for (_, source) in pairs.into_iter().filter(|(source, _)| has(*source)) {
            tasks.meet(*task, source);
        }
        if let Some(met) = tasks.get(*task) {
            met.lacks_number = found_by.lacks(ProcessSource::PidTable);
        }
    }
    let known: Vec<VirtAddr> = leaders.rows.iter().map(|(task, _)| *task).collect();
    if family::is_closed(linux, &known) == Some(true) {
        for task in known.iter().filter(|task| Some(**task) != linux.init_task) {
            tasks.meet(*task, ScanSource::Children);
        }
    } else if let Some(family) = family::family(linux, &known) {
        for task in family.children {
            tasks.meet(task, ScanSource::Children);
        }
        // A row shows what found it: what could not be asked is told.
        if let Some((parts, fault)) = family.unread {
            let what = "lists of children";
            ends.add(WALK, WalkEnd::Unread { what, parts, fault });
        }
    }
    for leader in known {
        let (mut members, of_group) = group::listed(linux, leader);
        ends.join(of_group);
        members.retain(|task| threads::is_member(linux, *task, leader, &mut ends));
        // A row shows what found it: that a list lacks one is told.
        let without_leader = usize::from(!members.contains(&leader));
        ends.disagree("processes and their thread lists", without_leader, 0);
        if linux.init_task != Some(leader) {
            threads::compare(linux, leader, &members, &mut ends);
        }
        for task in members {
            tasks.meet(task, ScanSource::Threads);
        }
        if linux.init_task == Some(leader) {
            for task in threads::idle_tasks(linux, &mut ends) {
                tasks.meet(task, ScanSource::RunQueue);
            }
        }
    }
    if let Some(numbered) = linux.tabled() {
        let named: HashSet<VirtAddr> = numbered.threads.iter().copied().collect();
        if numbered.ends.is_complete() {
            // A leader may be found as such by its number, while its number leads to no task.
            let lists = [ScanSource::List, ScanSource::Threads];
            let on_lists = |met: &&mut Met| lists.iter().any(|list| met.found_by.has(*list));
            for met in tasks.all.iter_mut().filter(on_lists) {
                let idle =
                    met.found_by.has(ScanSource::RunQueue) || linux.init_task == Some(met.task);
                met.lacks_number |= !idle && !named.contains(&met.task);
            }
        }
        for task in &numbered.threads {
            tasks.meet(*task, ScanSource::PidTable);
        }
    }
    ends
}

/// Whether what lies at `task` has been a task: its ids can be, it has a leader and a parent, and a name that ends.
fn is_task(linux: &Linux, task: VirtAddr) -> Result<bool, Fault> {
    let (space, layout) = (&linux.guest.space, &linux.tasks);
    let ids = [
        layout.pid.read(space, task)?,
        layout.tgid.read(space, task)?,
    ];
    let links = [
        layout.group_leader.read(space, task)?,
        layout.real_parent.read(space, task)?,
    ];
    let name = space.read_cstr(layout.comm.place(task), COMM_BYTES)?;
    Ok(ids.iter().all(|id| (0..=PID_MAX).contains(id))
        && links.iter().all(|at| linux.guest.can_be_object(*at))
        && name.len() < COMM_BYTES)
}

pub(crate) fn scan(linux: &Linux, row: Each<'_, Scanned>) -> WalkEnds {
    let (tasks, mut ends) = met(linux);
    let mut doubtful: Option<(VirtAddr, usize)> = None;
    for met in tasks {
        if !is_told_twice(linux, &met) {
            let (first, count) = doubtful.unwrap_or((met.task, 0));
            doubtful = Some((first, count.saturating_add(1)));
        }
        if row(of_task(linux, &met)).is_break() {
            return ends.stopped(WALK);
        }
    }
    if let Some((at, values)) = doubtful {
        ends.add(WALK, WalkEnd::Implausible { at, values });
    }
    let (modules, of_modules) = linux.modules.searched(&linux.guest);
    ends.join(of_modules);
    let mut once = HashSet::new();
    for (modd, found_by) in modules {
        if once.insert(modd) && row(of_module(linux, modd, found_by)).is_break() {
            return ends.stopped(WALK);
        }
    }
    ends
}

/// Whether a linked task's ids say, as its leader does, whether it is a process or another thread of one. What can be
/// read of neither is lost.
fn is_told_twice(linux: &Linux, met: &Met) -> bool {
    let (space, layout) = (&linux.guest.space, &linux.tasks);
    let told = || {
        let leads = layout.group_leader.read(space, met.task)? == met.task;
        let first = layout.pid.read(space, met.task)? == layout.tgid.read(space, met.task)?;
        Ok::<bool, Fault>(leads == first)
    };
    !met.is_linked() || told() == Ok(true)
}

fn of_task(linux: &Linux, met: &Met) -> Scanned {
    let task = met.task;
    let layout = &linux.tasks;
    let linked = met.is_linked();
    // What was unlinked has no number, and need not be whole.
    let bare = |field: Field<SInt>| {
        let id = field.read(&linux.guest.space, task)?;
        u32::try_from(id).map_err(|_| {
            let rule = "an id is not negative";
            Absent::implausible(id.cast_unsigned(), rule, Some(field.place(task)))
        })
    };
    let (pid, tid) = if linked {
        (process::pid(linux, task), process::tid(linux, task))
    } else {
        (bare(layout.tgid), bare(layout.pid))
    };
    let leader = layout.group_leader.read(&linux.guest.space, task);
    Scanned {
        kind: if leader == Ok(task) {
            ScannedKind::Process
        } else {
            ScannedKind::Thread
        },
        address: task,
        phys: linux
            .guest
            .space
            .translate(task)
            .map_err(Absent::unreadable),
        pid,
        tid,
        name: if linked {
            process::name(linux, task)
        } else {
            let at = layout.comm.place(task);
            let name = linux.guest.space.read_cstr(at, COMM_BYTES);
            name.map_err(Absent::unreadable)
        },
        linked,
        freed: match &met.free {
            Err(absent) if !absent.is_loss() && linked => Ok(false),
            other => other.clone(),
        },
        exited: exited(linux, task, linked),
        found_by: met.found_by,
    }
}

/// Whether the task has begun to exit. One that a list leads to is held against the kernel's counts: it is counted out
/// before it waits for anything (`do_exit`).
fn exited(linux: &Linux, task: VirtAddr, linked: bool) -> Seen<bool> {
    let layout = &linux.tasks;
    if layout.flags.is_none() && layout.exit_state.is_none() {
        return Err(Absent::not_in_this_kernel());
    }
    let exited = process::exited(linux, task)?;
    if exited && linked && layout.flags.is_some() {
        // The same word says whether it is a thread of the kernel, which more than it tells.
        memory::kernel_thread(linux, task)?;
    }
    let state = layout
        .state
        .map(|field| field.read(&linux.guest.space, task));
    let waits = matches!(state, Some(Ok(state)) if state != 0);
    if exited && linked && waits && memory::one_exits(linux, task) == Some(false) {
        let rule = "a task that exits is counted out of those that live (signal->live)";
        let at = layout.flags.map(|field| field.place(task));
        return Err(Absent::implausible(1, rule, at));
    }
    Ok(exited)
}

fn of_module(linux: &Linux, modd: VirtAddr, found_by: ScanSources) -> Scanned {
    let none = || Absent::not_applicable("a module is no process");
    Scanned {
        kind: ScannedKind::Module,
        address: modd,
        phys: linux
            .guest
            .space
            .translate(modd)
            .map_err(Absent::unreadable),
        pid: Err(none()),
        tid: Err(none()),
        name: linux.modules.named(&linux.guest, modd),
        linked: found_by.has(ScanSource::List),
        freed: Ok(false),
        exited: Err(none()),
        found_by,
    }
}
