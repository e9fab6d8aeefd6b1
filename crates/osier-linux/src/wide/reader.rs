//! Values and pointers of one process, each with the rule that it keeps.

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen};
use osier_profile::{Field, Ptr, SInt, UInt};

use crate::layouts::{Cred, Signal, Tasks};
use crate::{Linux, group};

/// What reads them.
pub(super) struct Reader<'a> {
    pub(super) linux: &'a Linux,
    pub(super) task: Tasks,
    pub(super) group: Signal,
    pub(super) cred: Cred,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(linux: &'a Linux) -> Self {
        Self {
            linux,
            task: linux.tasks,
            group: linux.signal,
            cred: linux.cred,
        }
    }

    pub(super) fn value(&self, field: Option<Field<UInt>>, base: VirtAddr) -> Seen<u64> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        let value = field.read(&self.linux.guest.space, base);
        value.map_err(Absent::unreadable)
    }

    pub(super) fn signed(
        &self,
        field: Option<Field<SInt>>,
        base: VirtAddr,
    ) -> Seen<(i64, VirtAddr)> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        let value = field.read(&self.linux.guest.space, base);
        Ok((value.map_err(Absent::unreadable)?, field.place(base)))
    }

    /// A number that is at most `most`.
    pub(super) fn small(
        &self,
        field: Option<Field<UInt>>,
        base: VirtAddr,
        most: u8,
        rule: &'static str,
    ) -> Seen<u8> {
        let value = self.value(field, base)?;
        match u8::try_from(value) {
            Ok(small) if small <= most => Ok(small),
            _ => {
                let at = field.map(|field| field.place(base));
                Err(Absent::implausible(value, rule, at))
            }
        }
    }

    /// A user's or group's id.
    pub(super) fn id(&self, field: Option<Field<UInt>>, base: VirtAddr) -> Seen<u32> {
        let value = self.value(field, base)?;
        match u32::try_from(value) {
            Ok(id) if id != u32::MAX => Ok(id),
            _ => {
                let rule = "a user's or group's id is not -1";
                let at = field.map(|field| field.place(base));
                Err(Absent::implausible(value, rule, at))
            }
        }
    }

    /// A pointer to an object that must be there.
    pub(super) fn object(&self, field: Option<Field<Ptr<()>>>, base: VirtAddr) -> Seen<VirtAddr> {
        let field = field.ok_or_else(Absent::not_in_this_kernel)?;
        let object = field.read(&self.linux.guest.space, base);
        let object = object.map_err(Absent::unreadable)?;
        if self.linux.guest.can_be_object(object) {
            return Ok(object);
        }
        let rule = "it is an aligned address of the kernel";
        Err(Absent::implausible(object.0, rule, Some(field.place(base))))
    }

    /// The same of what a task gives up when it exits; of a process whose leader has exited, that of its other threads.
    pub(super) fn kept(&self, field: Option<Field<Ptr<()>>>, task: VirtAddr) -> Seen<VirtAddr> {
        let linux = self.linux;
        let task = match field {
            Some(field) => group::bearer(linux, task, field)?,
            None => task,
        };
        let object = self.object(field, task);
        let space = &linux.guest.space;
        let null = field.is_some_and(|field| field.read(space, task) == Ok(VirtAddr(0)));
        if null && self.exits(task) {
            return Err(Absent::not_applicable("the process has exited"));
        }
        object
    }

    /// Whether the task has begun to exit.
    pub(super) fn exits(&self, task: VirtAddr) -> bool {
        let flags = self.linux.tasks.flags;
        let flags = flags.map(|field| field.read(&self.linux.guest.space, task));
        matches!(flags, Some(Ok(flags)) if flags & group::PF_EXITING != 0)
    }

    pub(super) fn object_text(&self, field: Field<Ptr<()>>, base: VirtAddr) -> Seen<Vec<u8>> {
        let space = &self.linux.guest.space;
        let at = field.read(space, base).map_err(Absent::unreadable)?;
        space.read_cstr(at, 256).map_err(Absent::unreadable)
    }
}
