//! Memory: `mm`, `active_mm` behind it, and the page table that `mm->pgd` leads to.
//!
//! A table proves itself: it maps the kernel's image to the same bytes as the kernel's own table does, and
//! no two memories have one.

use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};
use osier_memory::VirtAddr;

use super::ground::{Ground, Unproven, all, only};
use super::tasks::Tasks;

/// How far into `mm_struct` the page table is looked for.
const MM: u64 = 0x400;

/// Where a process's memory stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// `task_struct.mm`, with `active_mm` behind it.
    pub(super) mm: u64,
    /// `mm_struct.pgd`.
    pub(super) pgd: u64,
}

/// Finds `mm` and `pgd`.
///
/// # Errors
///
/// What could not be proved.
pub(super) fn find(ground: &Ground<'_>, tasks: &Tasks) -> Result<Memory, Unproven> {
    let mut found = Vec::new();
    for mm in ground.offsets(tasks.room.clone()) {
        let Some(memories) = memories(ground, tasks, mm) else {
            continue;
        };
        let memories: Vec<VirtAddr> = memories.into_iter().collect();
        for pgd in ground.offsets(0..MM) {
            if is_pgd(ground, &memories, pgd) {
                found.push(Memory { mm, pgd });
            }
        }
    }
    only(found)
}

/// The memories that tasks name at `offset`, when a task has none or runs in it (`active_mm`), the idle
/// task has none, and process 1 has one.
fn memories(ground: &Ground<'_>, tasks: &Tasks, offset: u64) -> Option<HashSet<VirtAddr>> {
    let mut found = HashSet::new();
    let mut first = false;
    let sound = all(&tasks.leaders, |task| {
        let at = task.plus(offset);
        let mm = ground.pointer(at)?;
        if mm.is_null() {
            return Some(true);
        }
        let active = ground.pointer(at.plus(ground.word()))?;
        found.insert(mm);
        first |= tasks.tgid(ground, *task) == Some(1);
        Some(*task != tasks.init && active == mm && ground.guest.can_be_object(mm))
    });
    (sound && first).then_some(found)
}

/// Whether the root of a page table stands at `offset` of every memory: one of its own, that maps the
/// kernel where the kernel's own does.
fn is_pgd(ground: &Ground<'_>, memories: &[VirtAddr], offset: u64) -> bool {
    let space = &ground.guest.space;
    let mut met = HashSet::new();
    let mut tables = HashMap::new();
    all(memories, |mm| {
        let pgd = ground.pointer(mm.plus(offset))?;
        let aligned = pgd.0.is_multiple_of(32) && ground.guest.is_kernel_address(pgd);
        if !aligned || !met.insert(pgd) {
            return Some(false);
        }
        let Ok(root) = space.translate(pgd) else {
            return Some(false);
        };
        let maps = tables.entry(root).or_insert_with(|| {
            let own = space.with_root(root);
            own.translate(ground.image.start) == Ok(ground.text_pa)
        });
        Some(*maps)
    })
}
