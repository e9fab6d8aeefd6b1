//! Where on the page a process stands.

use std::collections::HashMap;

use osier::{Process, SeenExt as _};

/// The places of one snapshot's processes: by their numbers in the list, and by pid.
#[derive(Default)]
pub(crate) struct Links {
    /// What the places of this snapshot begin with, such as `s1`.
    pub(crate) prefix: String,
    by_pid: HashMap<u32, usize>,
}

impl Links {
    pub(crate) fn new(prefix: String) -> Self {
        Self {
            prefix,
            by_pid: HashMap::new(),
        }
    }

    /// Notes the processes. Of several that claim one pid the first has it.
    pub(crate) fn note(&mut self, processes: &[Process]) {
        for (index, process) in processes.iter().enumerate() {
            if let Some(pid) = process.pid.value() {
                self.by_pid.entry(pid).or_insert(index);
            }
        }
    }

    /// The place of the process of that number in the list.
    pub(crate) fn place(&self, index: usize) -> String {
        format!("{}-p{index}", self.prefix)
    }

    /// The place of the process with that pid.
    pub(crate) fn of_pid(&self, pid: u64) -> Option<String> {
        let pid = u32::try_from(pid).ok()?;
        self.by_pid.get(&pid).map(|&index| self.place(index))
    }
}
