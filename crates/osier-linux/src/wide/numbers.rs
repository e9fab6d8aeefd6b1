//! Ids as a process has them in its own namespace, and those of its group and session.

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen, SeenExt as _};
use osier_profile::{Embed, Field, Ptr, Resolver, UInt, layout};

use super::reader::Reader;
use crate::process;

/// `PIDTYPE_PGID` and `PIDTYPE_SID`, of the kernels that have `signal->pids` (v4.19 on).
pub(super) const PGID: u64 = 2;
pub(super) const SID: u64 = 3;

layout! {
    /// Fields read from `struct pid`.
    pub(crate) struct Pid: "pid" {
        /// How deep its namespace lies.
        level: Option<Field<UInt>>,
        /// Its number in each.
        numbers: Option<Field<Embed<()>>>,
    }
}

layout! {
    /// Fields read from `struct upid`.
    pub(crate) struct Number: "upid" {
        /// The number.
        nr: Option<Field<UInt>>,
        /// The namespace.
        ns: Option<Field<Ptr<()>>>,
    }
}

/// How to read them.
pub(super) struct Numbers {
    pid: Pid,
    number: Number,
}

impl Numbers {
    pub(super) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            pid: Pid::resolve(resolver),
            number: Number::resolve(resolver),
        }
    }

    /// Its id in its own pid namespace, and that namespace.
    pub(super) fn own_pid(&self, reader: &Reader<'_>, task: VirtAddr) -> Seen<(u32, VirtAddr)> {
        if reader.linux.init_task == Some(task) {
            return Err(Absent::not_applicable("the first task has no number"));
        }
        let pid = reader.object(reader.task.thread_pid, task)?;
        let level = reader.value(self.pid.level, pid)?;
        if level > 32 {
            let rule = "pid namespaces are at most 32 deep";
            return Err(Absent::implausible(level, rule, None));
        }
        let number = self.numbered(pid, level)?;
        let namespace = reader.object(self.number.ns, number)?;
        let id = reader.value(self.number.nr, number)?;
        if level == 0 {
            // The first namespace's number is that of the row.
            let outer = process::pid(reader.linux, task).value();
            if outer.is_some_and(|outer| u64::from(outer) != id) {
                let rule = "in the first pid namespace the inner id is the outer";
                return Err(Absent::implausible(id, rule, None));
            }
        }
        u32::try_from(id)
            .map(|id| (id, namespace))
            .map_err(|_| Absent::implausible(id, "an id is a number of 31 bits", None))
    }

    /// The `upid` of the `struct pid` at this depth.
    fn numbered(&self, pid: VirtAddr, level: u64) -> Seen<VirtAddr> {
        let numbers = self.pid.numbers.ok_or_else(Absent::not_in_this_kernel)?;
        Ok(numbers
            .place(pid)
            .plus(level.wrapping_mul(self.number.size)))
    }

    /// The number of the group or session of the process at `signal`.
    pub(super) fn group_number(
        &self,
        reader: &Reader<'_>,
        signal: VirtAddr,
        which: u64,
    ) -> Seen<u32> {
        let pids = reader.group.pids.ok_or_else(Absent::not_in_this_kernel)?;
        let space = &reader.linux.guest.space;
        let word = u64::from(reader.linux.guest.pointer_bytes());
        let at = pids.place(signal).plus(which.wrapping_mul(word));
        let pid = space.read_pointer(at).map_err(Absent::unreadable)?;
        let implausible = |rule| Err(Absent::implausible(pid.0, rule, Some(at)));
        if !reader.linux.guest.can_be_object(pid) {
            return implausible("a process has a group and a session");
        }
        let number = self.numbered(pid, 0)?;
        let id = reader.value(self.number.nr, number)?;
        match u32::try_from(id) {
            Ok(id) if id <= 0x40_0000 => Ok(id),
            _ => implausible("a group's number is below PID_MAX_LIMIT"),
        }
    }
}
