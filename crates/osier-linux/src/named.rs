//! How many processes name an object that they can share.
//!
//! An `mm_struct`, a `files_struct` and an `fs_struct` count the tasks that use them. More processes that name one than it
//! counts are a lie of one of them: it names another's.

use foldhash::HashMap;
use osier_memory::VirtAddr;
use osier_profile::{Field, Ptr};

use crate::guest::Guest;
use crate::layouts::Tasks;
use crate::list;

/// Objects by the number of processes that name them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    memory: HashMap<VirtAddr, u64>,
    /// By whom, for it is the threads that are counted.
    files: HashMap<VirtAddr, Vec<VirtAddr>>,
    /// Likewise.
    fs: HashMap<VirtAddr, Vec<VirtAddr>>,
}

impl Named {
    /// Counts over the task list, which `init_task` heads. Threads of the kernel, which have the mark
    /// `kernel_thread`, name the memory that they work in for a while. A process is asked by the task that `bearer` names.
    pub(crate) fn count(
        guest: &Guest,
        tasks: &Tasks,
        [files, fs]: [Option<Field<Ptr<()>>>; 2],
        init_task: VirtAddr,
        kernel_thread: u64,
        bearer: &dyn Fn(VirtAddr, Field<Ptr<()>>) -> VirtAddr,
    ) -> Self {
        let mut named = Self::default();
        let walked = list::ring(guest, tasks.tasks.place(init_task));
        for node in walked.nodes {
            let task = tasks.tasks.container(node);
            for (field, named) in [(files, &mut named.files), (fs, &mut named.fs)] {
                let task_of = field.map_or(task, |field| bearer(task, field));
                if let Some(object) = object(guest, field, task_of) {
                    named.entry(object).or_default().push(task);
                }
            }
            let flags = tasks.flags.map(|field| field.read(&guest.space, task));
            if matches!(flags, Some(Ok(flags)) if flags & kernel_thread == 0) {
                let count = object(guest, Some(tasks.mm), bearer(task, tasks.mm));
                let count = count.map(|mm| named.memory.entry(mm).or_default());
                if let Some(count) = count {
                    *count = count.saturating_add(1);
                }
            }
        }
        named
    }

    /// By how many processes the `mm_struct` at `mm` is named; a process that the task list does not have
    /// names it once.
    pub(crate) fn memory(&self, mm: VirtAddr) -> u64 {
        self.memory.get(&mm).copied().unwrap_or(0).max(1)
    }

    /// The `files_struct`s that are named.
    pub(crate) fn tables(&self) -> impl Iterator<Item = VirtAddr> {
        self.files.keys().copied()
    }

    /// The group leaders that name the `files_struct` at `files`.
    pub(crate) fn files(&self, files: VirtAddr) -> &[VirtAddr] {
        self.files.get(&files).map_or(&[], Vec::as_slice)
    }

    /// The group leaders that name the `fs_struct` at `fs`.
    pub(crate) fn fs(&self, fs: VirtAddr) -> &[VirtAddr] {
        self.fs.get(&fs).map_or(&[], Vec::as_slice)
    }
}

/// The object that `field` of the task leads to; `None` for none, and where it cannot be read.
fn object(guest: &Guest, field: Option<Field<Ptr<()>>>, task: VirtAddr) -> Option<VirtAddr> {
    let object = field?.read(&guest.space, task).ok()?;
    (!object.is_null()).then_some(object)
}
