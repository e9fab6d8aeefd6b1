//! Ids as a process has them in its own namespace, and those of its group and session.

use std::cell::RefCell;

use foldhash::{HashMap, HashSet, HashSetExt as _};
use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen, SeenExt as _};
use osier_profile::Resolver;

use super::reader::Reader;
use crate::layouts::{Pid, PidNamespace, Upid};
use crate::{memory, process};

/// `PIDTYPE_PID`.
const PID: u64 = 0;

/// What a process is a member of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// Of a process group.
    Group,
    /// Of a session.
    Session,
}

impl Member {
    /// `PIDTYPE_PGID` and `PIDTYPE_SID`. Linux commit 6883f81aac6f ("pid: Implement `PIDTYPE_TGID`"), v4.19,
    /// put a number before them.
    const fn number(self, old: bool) -> u64 {
        match (self, old) {
            (Self::Group, true) => 1,
            (Self::Group, false) | (Self::Session, true) => 2,
            (Self::Session, false) => 3,
        }
    }
}

/// Most tasks that one session has: there are no more ids.
const MOST_TASKS: usize = process::PID_MAX_LIMIT as usize;

/// How to read them.
pub(super) struct Numbers {
    pid: Pid,
    number: Upid,
    namespace: PidNamespace,
    /// The lists of tasks of the ids that were asked about.
    lists: RefCell<HashMap<VirtAddr, HashSet<VirtAddr>>>,
}

impl Numbers {
    pub(super) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            pid: Pid::resolve(resolver),
            number: Upid::resolve(resolver),
            namespace: PidNamespace::resolve(resolver),
            lists: RefCell::default(),
        }
    }

    /// Its id in its own pid namespace, and that namespace.
    pub(super) fn own_pid(&self, reader: &Reader<'_>, task: VirtAddr) -> Seen<(u32, VirtAddr)> {
        if reader.linux.init_task == Some(task) {
            return Err(Absent::not_applicable("the first task has no number"));
        }
        let pid = match (reader.task.thread_pid, reader.task.pids) {
            (None, Some(_)) => Self::linked(reader, task, PID)?,
            (thread_pid, _) => reader.object(thread_pid, task)?,
        };
        let level = reader.value(self.pid.level, pid)?;
        if level > 32 {
            let rule = "pid namespaces are at most 32 deep";
            return Err(Absent::implausible(level, rule, None));
        }
        let number = self.numbered(pid, level)?;
        let namespace = reader.object(self.number.ns, number)?;
        let depth = reader.value(self.namespace.level, namespace);
        if depth.is_ok_and(|depth| depth != level) {
            let rule = "an id of some depth is one of a namespace of that depth (level)";
            return Err(Absent::implausible(level, rule, Some(number)));
        }
        let id = reader.value(self.number.nr, number)?;
        if level == 0 {
            // The first namespace's number is that of the row.
            let outer = process::pid(reader.linux, task).value();
            if outer.is_some_and(|outer| u64::from(outer) != id) {
                let rule = "in the first pid namespace the inner id is the outer";
                return Err(Absent::implausible(id, rule, None));
            }
        }
        let table = reader.linux.pids.as_ref();
        let has = table.and_then(|table| table.has(&reader.linux.guest, namespace, id, pid));
        if has == Some(false) {
            let rule = "a namespace's table has an id under its number (idr)";
            return Err(Absent::implausible(id, rule, Some(number)));
        }
        match u32::try_from(id) {
            Ok(id) if (1..=process::PID_MAX_LIMIT).contains(&id) => Ok((id, namespace)),
            _ => {
                let rule = "an id is below PID_MAX_LIMIT, and not 0";
                Err(Absent::implausible(id, rule, Some(number)))
            }
        }
    }

    /// The `struct pid` of the task's `pid_link` for the use `which`, of kernels until v4.18.
    fn linked(reader: &Reader<'_>, task: VirtAddr, which: u64) -> Seen<VirtAddr> {
        let guest = &reader.linux.guest;
        let word = u64::from(guest.pointer_bytes());
        let link = link(reader, task, which).ok_or_else(Absent::not_in_this_kernel)?;
        // Behind the two pointers of the `hlist_node`.
        let at = link.plus(word.wrapping_mul(2));
        let pid = guest.space.read_pointer(at).map_err(Absent::unreadable)?;
        if pid.is_null() {
            return Err(Absent::not_applicable(
                "it has exited, and has no number any more",
            ));
        }
        if !guest.can_be_object(pid) {
            let rule = "a task has a struct pid (pids)";
            return Err(Absent::implausible(pid.0, rule, Some(at)));
        }
        Ok(pid)
    }

    /// The `upid` of the `struct pid` at this depth.
    fn numbered(&self, pid: VirtAddr, level: u64) -> Seen<VirtAddr> {
        let numbers = self.pid.numbers.ok_or_else(Absent::not_in_this_kernel)?;
        Ok(numbers
            .place(pid)
            .plus(level.wrapping_mul(self.number.size)))
    }

    /// Whether the task is in the list of those that have the id `pid` as `which`; `None` where that cannot
    /// be told.
    fn is_listed(
        &self,
        reader: &Reader<'_>,
        task: VirtAddr,
        pid: VirtAddr,
        which: u64,
    ) -> Option<bool> {
        let guest = &reader.linux.guest;
        let word = u64::from(guest.pointer_bytes());
        let node = link(reader, task, which)?;
        let head = self.pid.tasks?.place(pid).plus(which.wrapping_mul(word));
        let mut lists = self.lists.borrow_mut();
        let list = lists.entry(head).or_insert_with(|| {
            let mut nodes = HashSet::new();
            let mut at = guest.space.read_pointer(head).unwrap_or_default();
            while guest.can_be_object(at) && nodes.len() < MOST_TASKS && nodes.insert(at) {
                at = guest.space.read_pointer(at).unwrap_or_default();
            }
            nodes
        });
        Some(list.contains(&node))
    }

    /// The number of the group or session of the process of the task, which the `signal_struct` at `signal`
    /// names.
    pub(super) fn group_number(
        &self,
        reader: &Reader<'_>,
        task: VirtAddr,
        signal: VirtAddr,
        of: Member,
    ) -> Seen<u32> {
        let space = &reader.linux.guest.space;
        let word = u64::from(reader.linux.guest.pointer_bytes());
        // Until v4.18 the process's leader has them itself. Linux commit 2c4704756cab ("pids: Move the pgrp and
        // session pid pointers from `task_struct` to `signal_struct`").
        let old = reader.group.pids.is_none() && reader.task.pids.is_some();
        let which = of.number(old);
        let (task, pid, at) = if old {
            let leader = reader.object(Some(reader.linux.tasks.group_leader), task)?;
            (leader, Self::linked(reader, leader, which)?, leader)
        } else {
            let pids = reader.group.pids.ok_or_else(Absent::not_in_this_kernel)?;
            let at = pids.place(signal).plus(which.wrapping_mul(word));
            (
                task,
                space.read_pointer(at).map_err(Absent::unreadable)?,
                at,
            )
        };
        let implausible = |rule| Err(Absent::implausible(pid.0, rule, Some(at)));
        if !reader.linux.guest.can_be_object(pid) {
            return implausible("a process has a group and a session");
        }
        // The first tasks of all are in no list.
        let listed = || self.is_listed(reader, task, pid, which);
        if !memory::is_idle(reader.linux, task) && listed() == Some(false) {
            return implausible("a group or a session lists its processes (pid_links)");
        }
        let number = self.numbered(pid, 0)?;
        let id = reader.value(self.number.nr, number)?;
        // The first tasks' has no number, and is in no table.
        let table = reader.linux.pids.as_ref().filter(|_| id != 0);
        let namespace = reader.object(self.number.ns, number).ok();
        let has = table.zip(namespace);
        let has = has.and_then(|(table, spaces)| table.has(&reader.linux.guest, spaces, id, pid));
        if has == Some(false) {
            return implausible(
                "a group's or session's number leads to it in the table of ids (idr)",
            );
        }
        match u32::try_from(id) {
            Ok(id) if id <= process::PID_MAX_LIMIT => Ok(id),
            _ => implausible("a group's number is below PID_MAX_LIMIT"),
        }
    }
}

/// The task's link in the list of those that have an id as `which`: an `hlist_node`, with the `struct pid` behind it
/// (`pid_link`) until Linux commit 2c4704756cab, v4.19.
fn link(reader: &Reader<'_>, task: VirtAddr, which: u64) -> Option<VirtAddr> {
    let word = u64::from(reader.linux.guest.pointer_bytes());
    let (links, words) = match (reader.task.pid_links, reader.task.pids) {
        (Some(links), _) => (links, 2_u64),
        (None, links) => (links?, 3),
    };
    let bytes = words.wrapping_mul(word);
    Some(links.place(task).plus(which.wrapping_mul(bytes)))
}
