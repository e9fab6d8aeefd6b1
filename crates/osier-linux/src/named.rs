//! How many processes name an object that they can share.
//!
//! An `mm_struct` and a `files_struct` count the tasks that use them. More processes that name one than it
//! counts are a lie of one of them: it names another's.

use std::collections::HashMap;

use osier_memory::VirtAddr;
use osier_profile::{Field, Ptr};

use crate::guest::Guest;
use crate::layouts::{TaskFiles, Tasks};
use crate::list;

/// Objects by the number of processes that name them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    memory: HashMap<VirtAddr, u64>,
    files: HashMap<VirtAddr, u64>,
}

impl Named {
    /// Counts over the task list, which `init_task` heads. Threads of the kernel, which have the mark
    /// `kernel_thread`, name the memory that they work in for a while.
    pub(crate) fn count(
        guest: &Guest,
        tasks: &Tasks,
        task_files: &TaskFiles,
        init_task: VirtAddr,
        kernel_thread: u64,
    ) -> Self {
        let mut named = Self::default();
        let walked = list::ring(guest, tasks.tasks.place(init_task));
        for node in walked.nodes {
            let task = tasks.tasks.container(node);
            note(guest, task_files.files, task, &mut named.files);
            let flags = tasks.flags.map(|field| field.read(&guest.space, task));
            if matches!(flags, Some(Ok(flags)) if flags & kernel_thread == 0) {
                note(guest, Some(tasks.mm), task, &mut named.memory);
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

    /// By how many the `files_struct` at `files` is.
    pub(crate) fn files(&self, files: VirtAddr) -> u64 {
        self.files.get(&files).copied().unwrap_or(0).max(1)
    }
}

fn note(
    guest: &Guest,
    field: Option<Field<Ptr<()>>>,
    task: VirtAddr,
    counts: &mut HashMap<VirtAddr, u64>,
) {
    let object = field.and_then(|field| field.read(&guest.space, task).ok());
    if let Some(object) = object.filter(|object| !object.is_null()) {
        let count = counts.entry(object).or_default();
        *count = count.saturating_add(1);
    }
}
