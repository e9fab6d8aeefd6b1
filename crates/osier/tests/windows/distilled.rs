//! Distilled Windows machines: the few pages that the questions need answer them alike, and the
//! kernel is found in them without a hint.

use osier::Guest;
use osier::ask::Question;
use osier::distill::distill;

use super::layouts;
use super::machines::{Folder, crowd, modes, store};

#[test]
fn a_distilled_machine_answers_alike() {
    let folder = Folder::new("windows-distilled");
    for layout in layouts::own() {
        let options = store(&folder.0, &layout);
        let mode = modes(&layout)[0];
        let machine = crowd(&layout, mode).write(&layout.profile);
        let (raw, core) = (folder.0.join("memory.raw"), folder.0.join("small.elf"));
        machine.write_raw(&raw).unwrap();
        let questions = [
            Question::Processes,
            Question::Current,
            Question::Threads,
            Question::Modules,
            Question::Mappings,
        ];
        // It opens the core again and compares every row.
        let made = distill(&raw, &options, &questions, &core)
            .unwrap_or_else(|error| panic!("{}: {error}", layout.name));
        assert!(made.rows > 20, "{made:?}");
        assert!(made.bytes < 4 << 20, "{made:?}");
        let guest = Guest::open(&core, &options).unwrap();
        assert_eq!(
            guest.located().build_id(),
            layout.profile.identity().build_id.as_ref()
        );
    }
}
