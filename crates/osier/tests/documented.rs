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
    let mut seen = 0;
    for table in every {
        // Its lines of the list of fields; of a process with more, those of `ps` as well.
        let lines = match table.name {
            "wide" => described(&page, "process"),
            name => described(&page, name),
        };
        for column in table.columns {
            seen += 1;
            let named = lines.contains(&format!("`{}`", column.name));
            assert!(
                named,
                "{} of {} is not in docs/rows.md",
                column.name, table.name
            );
        }
    }
    assert!(seen > 100, "{seen} columns");
}

/// The fields that the page lists of a kind of row.
fn described(page: &str, name: &str) -> String {
    let begin = format!("| {name} (`");
    let of = page.lines().filter(|line| line.starts_with(&begin));
    of.filter_map(|line| line.split('|').nth(2)).collect()
}
