//! What happened between two snapshots of one guest.
//!
//! Each kind of thing has its file. They share three rules: nothing is gone (or new) unless the walk
//! that would have met it closed; a value that was lost on either side is no difference but
//! something unknown; and what follows from an event is not told again (the threads and mappings of
//! a process that started, is gone or executed another program).

mod current;
mod fields;
mod mappings;
mod modules;
mod pair;
mod premises;
mod process;
mod teller;
mod threads;

use crate::{Event, View};
use teller::Teller;

pub use premises::{Premise, premises};
pub use process::Turn;
pub(crate) use process::{same as same_process, turn};

/// Tells what happened between the two snapshots: first to each process of the earlier one, its
/// threads and mappings, then the processes that started, then modules and processors.
///
/// Both must be of one boot of one guest, or addresses say nothing: ask [`premises`] before.
pub fn diff<'a>(before: &'a View, after: &'a View, tell: &mut dyn FnMut(Event<'a>)) {
    let mut teller = Teller::new(after.pointer_bytes, tell);
    process::compare(before, after, &mut teller);
    modules::compare(&before.modules, &after.modules, &mut teller);
    current::compare(&before.current, &after.current, &mut teller);
}
