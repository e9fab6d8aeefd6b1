//! Processes followed through views made by hand.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking, and the made views serve other tests too"
)]

mod made;

use made::{alone, broken, lost, process, thread};
use osier::format::json_row;
use osier::osier_memory::VirtAddr;
use osier::{Current, SeenExt as _};
use osier_compare::View;
use osier_compare::timeline::{Glyphs, Mark, Timeline, by_clock, drawing, svg};

/// A snapshot of these processes, taken at `clock`, in which `running` runs.
fn snapshot(clock: i64, pids: &[u32], running: u32) -> View {
    let mut view = alone(pids.iter().map(|&pid| process(pid)).collect());
    view.clock = Ok(clock);
    view.label = format!("at {clock}");
    view.current.rows = vec![Current {
        cpu: 0,
        thread: Ok(thread(running, running)),
        process: Ok(process(running)),
    }];
    view
}

fn marks(timeline: &Timeline) -> Vec<(u32, String)> {
    let lives = timeline.lives.iter();
    let marks = lives.map(|life| {
        let letters = life.marks.iter().map(|mark| mark.letter()).collect();
        (life.process.pid.value().unwrap(), letters)
    });
    marks.collect()
}

#[test]
fn a_life_goes_from_the_first_snapshot_that_has_it_to_the_last() {
    let views = [
        snapshot(1, &[1, 2], 1),
        snapshot(2, &[1, 2, 3], 3),
        snapshot(3, &[1, 3], 3),
    ];
    let timeline = Timeline::of(&views);
    let text = |text: &str| text.to_owned();
    assert_eq!(
        marks(&timeline),
        [(1, text("#==")), (2, text("==.")), (3, text(".##"))]
    );
    let last = &timeline.lives[2];
    assert_eq!(
        (last.first(), last.last(), last.count(Mark::Current)),
        (2, 3, 2)
    );
    let mut json = String::new();
    json_row(&osier::tables::Cells::of(last), &mut json);
    let row: serde_json::Value = serde_json::from_str(&json).unwrap();
    let fields = ["pid", "first", "last", "seen", "current", "unknown"];
    let told = fields.map(|name| row[name].as_u64().unwrap());
    assert_eq!(told, [3, 2, 3, 2, 2, 0]);
    assert_eq!(row["marks"], ".##");
}

#[test]
fn where_the_walk_did_not_close_nobody_is_missing() {
    let mut views = [
        snapshot(1, &[1], 1),
        snapshot(2, &[1, 2], 1),
        snapshot(3, &[1], 1),
    ];
    views[0].processes.ends = broken();
    let timeline = Timeline::of(&views);
    assert_eq!(marks(&timeline)[1], (2, "?=.".to_owned()));
    assert_eq!(timeline.lives[1].count(Mark::Unknown), 1);
}

#[test]
fn a_process_is_known_again_whatever_it_is_called() {
    let mut executed = process(2);
    executed.name = Ok(b"true".to_vec());
    // A thread executed: another task_struct leads the process.
    executed.taskd = VirtAddr(0x77_0000);
    let mut nameless = process(2);
    nameless.create_time = lost();
    nameless.taskd = executed.taskd;
    let views = [process(2), executed, nameless].map(|one| alone(vec![one]));
    let timeline = Timeline::of(&views);
    assert_eq!(marks(&timeline), [(2, "===".to_owned())]);
    let names: Vec<&[u8]> = timeline.lives[0].names.iter().map(Vec::as_slice).collect();
    assert_eq!(names, [&b"sh"[..], b"true", b"sh"]);
    // The same pid with another create time is another process.
    let mut again = process(2);
    again.create_time = Ok(99);
    let timeline = Timeline::of(&[alone(vec![process(2)]), alone(vec![again])]);
    assert_eq!(timeline.lives.len(), 2);
}

#[test]
fn a_series_is_in_the_clocks_order_when_every_clock_is_known() {
    let labels = |views: &[View]| {
        views
            .iter()
            .map(|view| view.label.clone())
            .collect::<Vec<_>>()
    };
    let mut views = [
        snapshot(3, &[1], 1),
        snapshot(1, &[1], 1),
        snapshot(2, &[1], 1),
    ];
    assert!(by_clock(&mut views));
    assert_eq!(labels(&views), ["at 1", "at 2", "at 3"]);
    let mut views = [snapshot(3, &[1], 1), snapshot(1, &[1], 1)];
    views[0].clock = lost();
    assert!(!by_clock(&mut views));
    assert_eq!(labels(&views), ["at 3", "at 1"]);
}

#[test]
fn a_drawing_keeps_to_its_width() {
    let mut views: Vec<View> = (0..3).map(|at| snapshot(at, &[1, 2], 1)).collect();
    views[1] = snapshot(1, &[1], 1);
    let glyphs = Glyphs {
        ascii: true,
        colour: false,
    };
    assert_eq!(
        drawing(&Timeline::of(&views), 41, glyphs),
        "                  sh       1 [#########]\n                  sh       2 [---   ---]\n"
    );
    // Many snapshots share cells, and none is lost: the strongest mark stands.
    let mut views: Vec<View> = (0..1000).map(|at| snapshot(at, &[1, 2], 1)).collect();
    views[500] = snapshot(500, &[1, 2], 2);
    let drawn = drawing(&Timeline::of(&views), 80, glyphs);
    assert!(drawn.lines().all(|line| line.len() <= 80), "{drawn}");
    assert_eq!(drawn.matches('#').count(), 48 + 1, "{drawn}");
    let unicode = Glyphs {
        ascii: false,
        colour: true,
    };
    assert!(drawing(&Timeline::of(&views[..1]), 80, unicode).contains("\x1b[32m████\x1b[0m"));
}

#[test]
fn a_picture_has_a_bar_for_each_stretch() {
    let mut views = vec![
        snapshot(1, &[1, 2], 1),
        snapshot(2, &[1, 2], 1),
        snapshot(3, &[1], 1),
    ];
    views[0].label = "<a> & \"b\"".to_owned();
    let picture = svg(&Timeline::of(&views));
    assert_eq!(picture.matches("<rect ").count(), 2, "{picture}");
    let two_thirds = "<rect class=\"t\" x=\"220\" y=\"51\" width=\"600\" height=\"12\"/>";
    assert!(picture.contains(two_thirds), "{picture}");
    assert!(
        picture.contains("<title>&lt;a&gt; &amp; &quot;b&quot; 1970-01-01T"),
        "{picture}"
    );
}
