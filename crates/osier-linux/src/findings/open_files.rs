//! What drivers keep of the files that processes have open.

use foldhash::{HashSet, HashSetExt as _};
use osier_memory::VirtAddr;

use super::context::{Context, Found};
use crate::files;

/// Shows each open file of any process once, with its `private_data`, when that may be an object.
pub(super) fn each(
    context: &Context<'_>,
    found: &mut Found,
    row: &mut dyn FnMut(&mut Found, VirtAddr, VirtAddr),
) {
    let linux = context.linux;
    let guest = &linux.guest;
    let Some(private) = linux.file.private_data else {
        return found.lost("file.private_data in the profile", None);
    };
    let (mut tables, mut met) = (HashSet::new(), HashSet::new());
    for process in context.processes() {
        let table = match files::table(linux, process.taskd) {
            Ok(Some(table)) if tables.insert(table) => table,
            Ok(_) => continue,
            Err(_) => {
                found.lost("the open files of a process", None);
                continue;
            }
        };
        let (slots, ends) = linux.fds.slots(guest, table, usize::MAX);
        if !ends.is_complete() {
            found.lost("the open files of a process", None);
        }
        let open = slots.into_iter().filter_map(|slot| slot.file.ok());
        for file in open.filter(|file| guest.can_be_object(*file)) {
            if !met.insert(file) {
                continue;
            }
            match private.read(&guest.space, file) {
                Ok(private) if guest.can_be_object(private) => row(found, file, private),
                Ok(_) => {}
                Err(fault) => found.lost("file.private_data", Some(fault)),
            }
        }
    }
}
