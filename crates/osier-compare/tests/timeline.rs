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
use osier::osier_memory::{PhysAddr, VirtAddr};
use osier::{Absent, Current, ProcessExtra, SeenExt as _};
use osier_compare::timeline::{Glyphs, Mark, Timeline, by_clock, drawing, svg};
use osier_compare::{Turn, View};

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
    let drawn = drawing(&Timeline::of(&views), 41, glyphs);
    assert_eq!(
        drawn,
        "                              1  2  3
                  sh       1 [#########]
                  sh       2 [---   ---]

- there   # runs   ? may have been missed
X executed another program   r renamed
z exited
1  1970-01-01T00:00:00Z  at 0
2  1970-01-01T00:00:00Z  at 1
3  1970-01-01T00:00:00Z  at 2
"
    );
    // Many snapshots share cells, and none is lost: the strongest mark stands.
    let mut views: Vec<View> = (0..1000).map(|at| snapshot(at, &[1, 2], 1)).collect();
    views[500] = snapshot(500, &[1, 2], 2);
    let drawn = drawing(&Timeline::of(&views), 80, glyphs);
    assert!(drawn.lines().all(|line| line.len() <= 80), "{drawn}");
    let bars: String = drawn.lines().take(3).collect();
    assert_eq!(bars.matches('#').count(), 48 + 1, "{drawn}");
    assert!(
        drawn.contains("   1  1970") && drawn.contains("1000  1970"),
        "{drawn}"
    );
    assert_eq!(drawn.lines().count(), 3 + 1 + 2 + 3, "{drawn}");
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
    views[0].label = "x/<a> & \"b\"".to_owned();
    let picture = svg(&Timeline::of(&views));
    let (_, lines) = picture.split_once("<title>sh 1</title>").unwrap();
    assert_eq!(lines.matches("<rect class=\"c\"").count(), 1, "{picture}");
    let (_, second) = lines.split_once("<title>sh 2</title>").unwrap();
    let two_thirds = "<rect class=\"t\" x=\"236\" y=\"104\" width=\"600\" height=\"8\"/>";
    assert!(second.contains(two_thirds), "{picture}");
    // The whole name and time where the pointer rests, the short ones on the axis.
    let title = "<title>1: x/&lt;a&gt; &amp; &quot;b&quot; 1970-01-01T00:00:00Z</title>";
    assert!(picture.contains(title), "{picture}");
    assert!(
        picture.contains(">1 &lt;a&gt; &amp; &quot;b&quot;</text>"),
        "{picture}"
    );
    assert!(
        picture.contains(">guest's time, 1970-01-01 UTC</text>"),
        "{picture}"
    );
    assert!(picture.contains("y=\"65\">00:00:00</text>"), "{picture}");
}

#[test]
fn what_became_of_a_program_is_marked() {
    let mut first = process(2);
    first.asid = Ok(PhysAddr(0x1000));
    let mut executed = first.clone();
    executed.asid = Ok(PhysAddr(0x2000));
    executed.name = Ok(b"true".to_vec());
    let mut renamed = executed.clone();
    renamed.name = Ok(b"worker".to_vec());
    let mut exited = renamed.clone();
    exited.asid = Err(Absent::not_applicable("it exited"));
    let series = [first, executed, renamed, exited].map(|one| alone(vec![one]));
    let timeline = Timeline::of(&series);
    let life = &timeline.lives[0];
    let turns = [(1, Turn::Executed), (2, Turn::Renamed), (3, Turn::Exited)];
    assert_eq!(life.turns, turns);
    let mut json = String::new();
    json_row(&osier::tables::Cells::of(life), &mut json);
    assert!(
        json.contains("\"turns\":\"2 executed, 3 renamed, 4 exited\""),
        "{json}"
    );
    let glyphs = Glyphs {
        ascii: true,
        colour: false,
    };
    let drawn = drawing(&timeline, 80, glyphs);
    assert!(drawn.contains("[----X---r---z---]"), "{drawn}");
    let picture = svg(&timeline);
    let (_, line) = picture
        .split_once("<title>worker 2: sh → true → worker</title>")
        .unwrap();
    for (shape, word) in [
        ("<path class=\"x\"", "executed between snapshots 1 and 2"),
        ("<circle class=\"r\"", "renamed between snapshots 2 and 3"),
        ("<path class=\"e\"", "exited between snapshots 3 and 4"),
    ] {
        assert_eq!(line.matches(shape).count(), 1, "{picture}");
        assert!(
            line.contains(&format!("<title>{word}</title>")),
            "{picture}"
        );
    }
    // Nothing became of one that was merely lost.
    let mut nameless = process(2);
    nameless.name = lost();
    let series = [process(2), nameless].map(|one| alone(vec![one]));
    assert!(Timeline::of(&series).lives[0].turns.is_empty());
}

#[test]
fn threads_of_the_kernel_are_one_line() {
    let kernel = |pid: u32| {
        let mut one = process(pid);
        if let ProcessExtra::Linux(linux) = &mut one.extra {
            linux.kernel_thread = Ok(true);
        }
        one
    };
    let mut views = [
        alone(vec![process(1), kernel(2), kernel(3)]),
        alone(vec![process(1), kernel(2)]),
    ];
    views[1].current.rows = vec![Current {
        cpu: 0,
        thread: Ok(thread(2, 2)),
        process: Ok(kernel(2)),
    }];
    let timeline = Timeline::of(&views);
    assert_eq!(timeline.lives.len(), 3, "rows are of each");
    let glyphs = Glyphs {
        ascii: true,
        colour: false,
    };
    let drawn = drawing(&timeline, 80, glyphs);
    assert!(
        drawn.contains("      kernel threads     (2) [----####]\n"),
        "{drawn}"
    );
    assert_eq!(drawn.matches('[').count(), 2, "{drawn}");
    assert_eq!(
        svg(&timeline).matches("kernel threads (2)</title>").count(),
        1
    );
}

#[test]
fn snapshots_of_one_name_keep_their_folders() {
    let mut views = [
        snapshot(1, &[1], 1),
        snapshot(2, &[1], 1),
        snapshot(3, &[1], 1),
    ];
    for (view, label) in views.iter_mut().zip(["a/core", "b/core", "b/other"]) {
        view.label = label.to_owned();
    }
    let glyphs = Glyphs {
        ascii: true,
        colour: false,
    };
    let drawn = drawing(&Timeline::of(&views), 80, glyphs);
    let told: Vec<&str> = drawn
        .lines()
        .rev()
        .take(3)
        .map(|line| line.split("  ").last().unwrap())
        .collect();
    assert_eq!(told, ["other", "b/core", "a/core"]);
}
