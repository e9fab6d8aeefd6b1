//! `osier report`: what stands on the page, held against the lists themselves.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod command;
mod page;

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use command::lie::Lie;
use osier::ask::{Question, ask, ask_process, taskds};
use osier::tables::Cells;
use osier::{Guest, Options, WalkEnd};
use page::{Element, shown};

const SNAPSHOTS: [&str; 3] = ["deb12-6.1-amd64", "deb11-5.10-686", "deb13-6.12-amd64"];

fn golden(name: &str) -> PathBuf {
    osier_testkit::data::workspace().join(format!("snapshots/{name}.elf"))
}

fn place(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// The page that `osier report` writes of these, its exit status, and what it says.
fn report(name: &str, snapshots: &[&Path], more: &[&str]) -> (String, Option<i32>, String) {
    let out = place(&format!("{name}.html"));
    let _ = fs::remove_file(&out);
    let mut words = vec![Path::new("report")];
    words.extend(snapshots);
    words.extend([Path::new("-o"), &out]);
    words.extend(more.iter().map(Path::new));
    let output = command::run(words, "report-cache");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.stdout, b"", "{errors}");
    let page = fs::read_to_string(&out).unwrap_or_default();
    (page, output.status.code(), errors)
}

fn open(path: &Path) -> Guest {
    Guest::open(path, &Options::default()).unwrap()
}

/// The rows of the question as a page shows them, without the columns `hidden`, sorted.
fn wanted(guest: &Guest, question: Question, hidden: &[&str]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let _ = ask(&*guest.provider(), question, &mut |row| {
        rows.push(cells(row, hidden));
        ControlFlow::Continue(())
    });
    rows.sort();
    rows
}

fn cells(row: &Cells<'_>, hidden: &[&str]) -> Vec<String> {
    row.iter()
        .filter(|(column, _)| column.brief && !hidden.contains(&column.name))
        .map(|(column, cell)| shown(column, cell))
        .collect()
}

fn sorted(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    rows.sort();
    rows
}

#[test]
fn every_row_stands_on_the_page() {
    for name in SNAPSHOTS {
        let path = golden(name);
        let (html, code, errors) = report(name, &[&path], &[]);
        assert_eq!(code, Some(3), "distilled snapshots lack pages: {errors}");
        let page = Element::read(&html);
        let guest = open(&path);
        let held = page.id("s1-processes");
        for question in [
            Question::Threads,
            Question::Files,
            Question::Environment,
            Question::Mappings,
        ] {
            let rows = wanted(&guest, question, &["pid"]);
            assert!(question != Question::Mappings || rows.len() > 100, "{name}");
            let word = question.word();
            assert_eq!(sorted(held.rows(word)), rows, "{name}: {word}");
        }
        for question in [
            Question::Modules,
            Question::Scan,
            Question::Sockets,
            Question::Interfaces,
            Question::Log,
        ] {
            let word = question.word();
            let section = page.id(&format!("s1-{word}"));
            let rows = wanted(&guest, question, &[]);
            assert_eq!(sorted(section.rows(word)), rows, "{name}: {word}");
        }
        let current = wanted(&guest, Question::Current, &[]);
        assert_eq!(sorted(page.rows("current")), current, "{name}");
        processes(&page, &guest, name);
        mounts(&page, &guest, name);
        completeness(&page, &guest, name);
    }
}

/// Each process with every field, in the cards and in the tree.
fn processes(page: &Element, guest: &Guest, name: &str) {
    let mut all = BTreeSet::new();
    let mut count = 0;
    let _ = ask(&*guest.provider(), Question::Wide, &mut |row| {
        let fields = row.iter();
        let fields: Vec<String> = fields
            .map(|(column, cell)| format!("{}={}", column.name, shown(column, cell)))
            .collect();
        all.insert(fields);
        count += 1;
        ControlFlow::Continue(())
    });
    let cards = page.all(&|element| element.attribute("data-list") == Some("ps"));
    let card = |card: &&Element| {
        let facts = card.all(&|element| element.attribute("class") == Some("fact"));
        let facts = facts.iter().map(|fact| {
            let (name, value) = (fact.named("dt")[0].text(), fact.named("dd")[0].text());
            (name, value)
        });
        let facts = facts.filter(|(name, _)| name != "mounts");
        facts
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
    };
    let told: BTreeSet<Vec<String>> = cards.iter().map(card).collect();
    assert_eq!(told, all, "{name}");
    assert!(count > 50, "{name}");
    let nodes = page.all(&|element| element.attribute("class") == Some("node"));
    assert_eq!(nodes.len(), count, "{name}");
    // Each leads to its card.
    let places: BTreeSet<&str> = page
        .every()
        .iter()
        .filter_map(|element| element.attribute("id"))
        .collect();
    for link in page.named("a") {
        let to = link.attribute("href").unwrap().strip_prefix('#').unwrap();
        assert!(places.contains(to), "{name}: {to}");
        assert!(!link.text().trim().is_empty(), "{name}: {to}");
    }
    // No place has two elements.
    let ids = page
        .every()
        .into_iter()
        .filter(|element| element.attribute("id").is_some());
    assert_eq!(ids.count(), places.len(), "{name}");
}

/// Each view of the mounts once, and every process that has one leads to it.
fn mounts(page: &Element, guest: &Guest, name: &str) {
    let osi = guest.provider();
    let mut views = BTreeSet::new();
    let mut having = 0;
    for taskd in taskds(&*osi).0 {
        let mut view = Vec::new();
        let _ = ask_process(&*osi, Question::Mounts, taskd, &mut |row| {
            view.push(cells(row, &["pid"]));
            ControlFlow::Continue(())
        });
        if !view.is_empty() {
            having += 1;
            views.insert(view);
        }
    }
    let section = page.id("s1-mounts");
    let told = section.all(&|element| element.name == "table");
    let told: BTreeSet<Vec<Vec<String>>> = told
        .into_iter()
        .map(|table| {
            let rows = table.named("tbody")[0].named("tr");
            let row = |row: &&Element| row.named("td").iter().map(|cell| cell.text()).collect();
            rows.iter().map(row).collect()
        })
        .collect();
    assert_eq!(told, views, "{name}");
    let links = page.named("a").into_iter().filter(|link| {
        let to = link.attribute("href").unwrap();
        to.starts_with("#s1-v")
    });
    assert_eq!(links.count(), having, "{name}");
}

/// How complete each list is, by its own word.
fn completeness(page: &Element, guest: &Guest, name: &str) {
    let rows = page.rows("complete");
    let asked = [
        (Question::Wide, "processes"),
        (Question::Findings, "findings"),
        (Question::Threads, "threads"),
        (Question::Files, "open files"),
        (Question::Modules, "kernel modules"),
        (Question::Scan, "found by their own bytes"),
        (Question::Sockets, "sockets"),
        (Question::Log, "lines of the kernel's log"),
    ];
    for (question, what) in asked {
        let (mut count, mut lost) = (0, 0);
        let ends = ask(&*guest.provider(), question, &mut |row| {
            count += 1;
            lost += row.losses();
            ControlFlow::Continue(())
        });
        let bad = ends.bad().count();
        let row = rows.iter().find(|row| row[0] == what).unwrap();
        let numbers = [count, lost, bad].map(|number| number.to_string());
        assert_eq!(row[1..4], numbers, "{name}: {what}");
        let complete = row[4].contains("✓ complete");
        assert_eq!(complete, lost == 0 && bad == 0, "{name}: {what}: {row:?}");
        // Endings stand with the list that they end: told once, however often, and of many twenty.
        let text = page.text();
        for (walk, end) in ends
            .bad()
            .take(20)
            .filter(|(_, end)| **end != WalkEnd::NotAnswered)
        {
            assert!(text.contains(&end.of(walk)), "{name}: {what}: {end}");
        }
    }
}

#[test]
fn nothing_that_a_guest_wrote_is_markup() {
    let mut lie = Lie::of("deb12-6.1-amd64");
    let names: [&[u8]; 4] = [
        b"<script>a()//\0\0\0",
        b"\"><img onerror=\0",
        b"&lt;'\xe2\x80\xae\x1b[2J\0\0\0\0",
        b"]]><!--\xff\n</td>\0",
    ];
    let tasks: Vec<_> = [1, 2, 3, 4].map(|pid| lie.task(pid)).into();
    for (task, name) in tasks.into_iter().zip(names) {
        assert!(name.len() <= 16);
        lie.poke(task, ("task_struct", "comm"), name);
    }
    let file = lie.write(&place("<b>&amp;.elf"));
    let (html, _, errors) = report("hostile", &[&file], &["-v"]);
    let hidden = html
        .chars()
        .find(|&c| c != '\n' && osier_text::is_hidden(c));
    assert_eq!(hidden, None, "{errors}");
    let page = Element::read(&html);
    assert_eq!(page.named("script").len(), 1);
    assert_eq!(page.named("style").len(), 1);
    for element in page.every() {
        assert!(
            element.name != "img" && element.name != "b" || element.attribute("onerror").is_none()
        );
        let handler = ["onerror", "onload", "onclick", "style", "src"];
        assert!(handler.iter().all(|name| element.attribute(name).is_none()));
    }
    assert_eq!(page.named("title")[0].text(), "<b>&amp;.elf – Osier report");
    let tree = page.id("s1-tree").text();
    for shown in [
        "<script>a()//",
        "\"><img onerror=",
        r"&lt;'\u{202e}\u{1b}[2J",
        r"]]><!--\xff\u{a}</td>",
    ] {
        assert!(tree.contains(shown), "{shown}");
    }
    // What may run is named by its sum, and nothing is loaded.
    let policy = page.named("meta");
    let policy = policy.iter().find_map(|meta| {
        let about = meta.attribute("http-equiv")?;
        (about == "Content-Security-Policy").then(|| meta.attribute("content").unwrap())
    });
    let policy = policy.unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(!html.contains("http://") && !html.contains("https://"));
}

#[test]
fn a_list_that_is_cut_says_so_and_is_counted_whole() {
    let path = golden("deb12-6.1-amd64");
    let (html, _, _) = report("cut", &[&path], &["--rows", "3"]);
    let page = Element::read(&html);
    let guest = open(&path);
    let all = wanted(&guest, Question::Log, &[]).len();
    let log = page.id("s1-log");
    assert_eq!(log.rows("log").len(), 3);
    let cut = log.all(&|element| element.attribute("class") == Some("cut"));
    let told = format!(
        "{} rows more not shown here: osier log SNAP lists them all.",
        all - 3
    );
    assert_eq!(cut[0].text(), told);
    let row = page.rows("complete");
    let row = row
        .iter()
        .find(|row| row[0].starts_with("lines of"))
        .unwrap();
    assert_eq!(row[1], all.to_string());
    // Processes are no list that is cut.
    let nodes = page.all(&|element| element.attribute("class") == Some("node"));
    assert_eq!(nodes.len(), wanted(&guest, Question::Wide, &[]).len());
}

#[test]
fn a_series_has_a_timeline_and_its_differences() {
    let [a, b] = ["a", "b"].map(|name| golden(&format!("deb12-6.1-amd64-events-{name}")));
    // The later first: the page is in the clock's order.
    let (html, code, errors) = report("series", &[&b, &a], &[]);
    assert_eq!(code, Some(3), "{errors}");
    let page = Element::read(&html);
    let overview = page.rows("snapshots");
    let names: Vec<&str> = overview.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(
        names,
        [
            "deb12-6.1-amd64-events-a.elf",
            "deb12-6.1-amd64-events-b.elf"
        ]
    );
    assert_eq!(overview[0][1], "2026-11-24 03:47:56 UTC");
    let timeline = page.id("timeline");
    assert_eq!(timeline.named("svg").len(), 1);
    assert!(
        timeline
            .text()
            .contains("executed between snapshots 1 and 2")
    );
    let lives = timeline.rows("timeline");
    assert!(
        lives
            .iter()
            .any(|row| row[1] == "event-born" && row.contains(&".#".to_owned()))
    );
    // The same events as `osier diff` has.
    let words = [Path::new("diff"), &a, &b, Path::new("-q")];
    let told = command::run(words, "report-cache");
    let told = String::from_utf8(told.stdout).unwrap();
    let events = told.lines().filter(|line| line.contains("\"event\":"));
    let events: Vec<String> = events
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            event["event"].as_str().unwrap().to_owned()
        })
        .collect();
    let rows = page.id("differences").rows("diff");
    let kinds: Vec<&String> = rows.iter().map(|row| &row[0]).collect();
    assert_eq!(kinds, events.iter().collect::<Vec<_>>());
    assert!(kinds.len() > 4, "{told}");
    for number in [1, 2] {
        assert!(!page.id(&format!("s{number}-tree")).text().is_empty());
    }
    // The same snapshots make the same bytes.
    let (again, _, _) = report("series-again", &[&a, &b], &[]);
    assert!(again == html);
}

#[test]
fn what_cannot_be_read_is_left_out_and_told() {
    let notes = place("notes.txt");
    fs::write(&notes, "no snapshot").unwrap();
    let path = golden("deb12-6.1-amd64-events-a");
    let (html, code, errors) = report("odd", &[&notes, &path], &[]);
    assert_eq!(code, Some(3), "{errors}");
    assert!(
        errors.contains("left out: ") && errors.contains("a text file"),
        "{errors}"
    );
    let page = Element::read(&html);
    let overview = page.id("overview").text();
    assert!(overview.contains("Left out of this report") && overview.contains("a text file"));
    assert_eq!(page.rows("snapshots").len(), 1);
    assert!(page.id("differences").text().contains("None"));
    // Where nothing can be read there is no page, and what was there stays.
    let out = place("nothing.html");
    fs::write(&out, "before").unwrap();
    let words = [Path::new("report"), &notes, Path::new("-o"), &out];
    let output = command::run(words, "report-cache");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read_to_string(&out).unwrap(), "before");
    let left = fs::read_dir(out.parent().unwrap()).unwrap();
    let left = left.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(".nothing.html")
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn wrong_usage_is_told() {
    let path = golden("deb12-6.1-amd64-events-a");
    let copy = place("copy.elf");
    fs::copy(&path, &copy).unwrap();
    let run = |words: &[&Path]| {
        let output = command::run(words, "report-cache");
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let report = Path::new("report");
    let (code, errors) = run(&[report, &copy, Path::new("-o"), &copy]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("would be written over"), "{errors}");
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&path).unwrap());
    let out = place("format.html");
    let (code, errors) = run(&[
        report,
        &copy,
        Path::new("-o"),
        &out,
        Path::new("--format"),
        Path::new("json"),
    ]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("a page and no rows"), "{errors}");
    let (code, _) = run(&[report, &copy]);
    assert_eq!(code, Some(2));
    // A limit of time that is over before anything was opened leaves nothing to show.
    let (code, errors) = run(&[
        report,
        &copy,
        Path::new("-o"),
        &out,
        Path::new("--time-limit"),
        Path::new("0.000001"),
    ]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        errors.contains("the time limit of 1µs was over"),
        "{errors}"
    );
    assert!(!out.exists());
}

#[test]
fn strict_makes_a_page_with_losses_a_failure() {
    let path = golden("deb12-6.1-amd64-events-a");
    let (html, code, errors) = report("strict", &[&path], &["--strict"]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(html.contains("✕ Incomplete:"));
    assert!(errors.contains("-v for places"), "{errors}");
    assert_eq!(
        errors.lines().count(),
        2,
        "the page says the rest: {errors}"
    );
}

#[test]
fn guests_that_are_not_one_are_told_apart() {
    let snapshots = [golden("deb12-6.1-amd64"), golden("deb13-6.12-amd64")];
    let (html, _, errors) = report("apart", &[&snapshots[0], &snapshots[1]], &[]);
    let page = Element::read(&html);
    let timeline = page.id("timeline").text();
    assert!(
        timeline.contains("differ in kernel: another kernel or another boot"),
        "{errors}"
    );
    let warned = page
        .id("differences")
        .all(&|element| element.attribute("class") == Some("warn"));
    let warned = warned[0].text();
    for about in [
        "What events lean on is not the same",
        "kernel was Linux version 6.1",
        "build-id was",
    ] {
        assert!(warned.contains(about), "{warned}");
    }
    assert_eq!(page.named("title")[0].text(), "2 snapshots – Osier report");
}

#[test]
fn folders_and_devices_are_taken_as_elsewhere() {
    let folder = place("several");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    // Two names that are shown alike, and a file that is no snapshot.
    for name in ["a\u{202e}", r"a\u{202e}"] {
        fs::copy(golden("deb12-6.1-amd64-events-a"), folder.join(name)).unwrap();
    }
    fs::write(folder.join("notes.txt"), "no snapshot").unwrap();
    let (html, code, errors) = report("folder", &[&folder], &[]);
    assert_eq!(code, Some(3), "{errors}");
    assert!(
        errors.contains("1 file in folders is no snapshot"),
        "{errors}"
    );
    let page = Element::read(&html);
    let rows = page.rows("snapshots");
    let names: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(names, [r"a\u{202e}", r"a\u{202e}#2"]);
    // A page goes where it is sent, as it would by `cp`.
    let a = golden("deb12-6.1-amd64-events-a");
    let words = [
        Path::new("report"),
        &a,
        Path::new("-o"),
        Path::new("/dev/stdout"),
        Path::new("-q"),
    ];
    let output = command::run(words, "report-cache");
    assert_eq!(output.status.code(), Some(3));
    let html = String::from_utf8(output.stdout).unwrap();
    assert!(html.ends_with("</html>\n"));
    Element::read(&html);
    assert_eq!(output.stderr, b"");
    let output = command::run(
        [Path::new("report"), &a, Path::new("-o"), &folder],
        "report-cache",
    );
    assert_eq!(output.status.code(), Some(1));
}
