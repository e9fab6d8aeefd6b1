//! When the limit of time is over, what was asked stands on the page, and the rest is told.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use osier::Guest;
use osier_report::{Bounds, Error, Subject, write};

const MACHINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/machine.elf");

fn open() -> Result<Option<Guest>, String> {
    osier::open(MACHINE)
        .map(Some)
        .map_err(|why| why.to_string())
}

fn subject(open: &dyn Fn() -> Result<Option<Guest>, String>) -> Subject<'_> {
    Subject {
        name: "machine.elf".to_owned(),
        open,
    }
}

fn within(limit: Duration) -> Bounds {
    Bounds {
        until: Some((Instant::now() + limit, limit)),
        ..Bounds::default()
    }
}

#[test]
fn what_was_not_asked_in_time_is_told() {
    let page = Path::new(env!("CARGO_TARGET_TMPDIR")).join("late.html");
    let bounds = within(Duration::from_secs(60));
    let told = write(&[subject(&open)], &bounds, &page).unwrap();
    assert!(!told.snapshots[0].late);
    assert!(!fs::read_to_string(&page).unwrap().contains("limit of time"));
    // Opening takes all of it.
    let bounds = within(Duration::from_millis(50));
    let slow = || {
        let guest = open();
        while bounds.over().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        guest
    };
    let told = write(&[subject(&slow)], &bounds, &page).unwrap();
    assert!(told.snapshots[0].late && !told.is_complete());
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("✕ Incomplete:</b> the limit of time was over before all was asked"));
    for list in ["s1-findings", "s1-tree", "s1-log"] {
        let (_, section) = html.split_once(&format!("<section id=\"{list}\"")).unwrap();
        let (section, _) = section.split_once("</section>").unwrap();
        assert!(section.contains("<b>Stopped.</b>"), "{list}: {section}");
    }
    assert!(html.contains("✕ stopped by the limit of time"));
    assert!(html.ends_with("</html>\n"));
}

#[test]
fn of_a_series_the_rest_is_left_out() {
    let page = Path::new(env!("CARGO_TARGET_TMPDIR")).join("late-series.html");
    let bounds = within(Duration::from_millis(500));
    // Both are opened in the first pass; the second opening of the first takes the rest of the time.
    let opened = Cell::new(0);
    let slow = || {
        opened.set(opened.get() + 1);
        while opened.get() > 1 && bounds.over().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        open()
    };
    let other = Subject {
        name: "other.elf".to_owned(),
        open: &open,
    };
    let told = write(&[subject(&slow), other], &bounds, &page).unwrap();
    assert_eq!((told.snapshots.len(), told.failed.len()), (1, 1));
    assert!(
        told.failed[0]
            .why
            .contains("other.elf: stopped: the time limit of 500ms")
    );
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("Left out of this report"));
    let none = within(Duration::ZERO);
    let nothing = write(&[subject(&open)], &none, &page);
    assert!(matches!(nothing, Err(Error::Nothing(why)) if why.contains("was over")));
    assert_eq!(
        fs::read_to_string(&page).unwrap(),
        html,
        "the page before stays"
    );
}
