//! Pages of whole machines: what they lack, and what they hold.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod command;
mod page;

use std::fs;
use std::path::Path;

use osier_testkit::need::{self, Real};
use page::Element;

osier_testkit::trials! {
    need::each(need::snapshot, &["deb12-6.1-amd64", "deb13-6.12-amd64", "deb11-5.10-amd64"]) => a_whole_machine_is_complete;
    need::made("triage-deb12-6.1-amd64") => what_a_busy_machine_holds;
}

fn page(real: &Real, test: &str) -> (Element, Option<i32>, String) {
    let name = Path::new(&real.name).file_name().unwrap().to_str().unwrap();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("report-{test}-{name}.html"));
    let words = [
        "report".into(),
        real.path.join("memory.elf"),
        "-o".into(),
        out.clone(),
    ];
    let output = command::run(words, "report-real-cache");
    let html = fs::read_to_string(&out).unwrap();
    fs::remove_file(&out).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    (Element::read(&html), output.status.code(), errors)
}

fn a_whole_machine_is_complete(real: &Real) {
    let (page, code, errors) = page(real, "whole");
    assert_eq!(code, Some(0), "{errors}");
    let complete = page.id("s1-complete").text();
    assert!(
        complete.contains("✓ Complete: every value was read"),
        "{complete}"
    );
    let lists = page.rows("complete");
    assert_eq!(lists.len(), 13);
    for list in lists {
        assert_eq!((list[2].as_str(), list[3].as_str()), ("0", "0"), "{list:?}");
        // A machine without findings is what these are.
        assert!(list[0] == "findings" || list[1] != "0", "{list:?}");
    }
    let badges = page.all(&|element| {
        let class = element.attribute("class").unwrap_or("");
        class.starts_with("finding ") && class != "finding note"
    });
    assert_eq!(badges.len(), 0);
}

fn what_a_busy_machine_holds(real: &Real) {
    let (page, _, errors) = page(real, "busy");
    let cards = page.all(&|element| element.attribute("class") == Some("card"));
    let most = cards
        .iter()
        .max_by_key(|card| card.rows("files").len())
        .unwrap();
    assert!(most.rows("files").len() >= 1000, "{errors}");
    // Who holds a socket has it on its own list and on that of all.
    let all = page.id("s1-sockets").rows("sockets");
    let held: usize = cards.iter().map(|card| card.rows("sockets").len()).sum();
    let of_a_process = all.iter().filter(|row| row[0] != "–").count();
    assert!(held > 10 && held == of_a_process, "{held}, {of_a_process}");
    // A process in another mount namespace has a view of its own.
    assert!(page.id("s1-mounts").named("table").len() > 1);
    let rules: Vec<String> = page
        .id("s1-findings")
        .named("code")
        .iter()
        .map(|rule| rule.text())
        .collect();
    for rule in ["exe.deleted", "socket.packet", "process.traced"] {
        assert!(rules.iter().any(|known| known == rule), "{rules:?}");
    }
}
