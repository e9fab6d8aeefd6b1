//! Every column of every table is described.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use osier::ask::Question;
use osier::tables;

#[test]
fn every_column_stands_in_the_description_of_rows() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rows.md");
    let Ok(page) = fs::read_to_string(page) else {
        // The archive of this crate alone has no pages.
        return;
    };
    let asked = Question::ALL.into_iter().flat_map(tables::of);
    let every = asked.copied().chain(tables::hits()).chain(tables::kept());
    for table in every {
        for column in table.columns {
            let named = page.contains(&format!("`{}`", column.name));
            assert!(
                named,
                "{} of {} is not in docs/rows.md",
                column.name, table.name
            );
        }
    }
}
