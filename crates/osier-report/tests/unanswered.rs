//! A page of a Windows machine: what nobody answers of it yet is said, and is no loss.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use osier::{Guest, Options, open_snapshot};
use osier_report::{Bounds, Subject, write};
use osier_testkit::windows::{Plan, Process, win7_sp1_x86_pae};

#[test]
fn what_is_not_answered_is_said_and_no_loss() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (raw, page) = (folder.join("windows.raw"), folder.join("windows.html"));
    let profile = win7_sp1_x86_pae();
    let mut plan = Plan::new(&profile);
    let odd = Process::new(100, "<b>&.exe").child_of(4).runs(
        "C:\\<b>&.exe",
        "\"C:\\<b>&.exe\" --all",
        0x0100_0000,
        0x2_0000,
    );
    plan.processes.push(odd);
    plan.write(&profile).write_raw(&raw).unwrap();
    let profile = Arc::new(profile);
    let open = || {
        let options = Options::default();
        let guest = open_snapshot(&raw, &options)
            .and_then(|snapshot| Guest::attach_with(snapshot, &options, profile.clone()));
        guest.map(Some).map_err(|why| why.to_string())
    };
    let subject = Subject {
        name: "windows.raw".to_owned(),
        open: &open,
    };
    let told = write(&[subject], &Bounds::default(), &page).unwrap();
    let told = &told.snapshots[0];
    assert_eq!((told.lost, told.bad_ends), (0, 0), "{:?}", told.ends);
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("– not answered of this system"));
    let section = |place: &str| {
        let (_, section) = html
            .split_once(&format!("<section id=\"s1-{place}\""))
            .unwrap();
        section.split_once("</section>").unwrap().0.to_owned()
    };
    for place in ["sockets", "net", "log", "mounts"] {
        let said = section(place);
        assert!(
            said.contains("Osier does not answer this of this system yet"),
            "{place}: {said}"
        );
        assert!(!said.contains("None"), "{place}: {said}");
    }
    // What is answered does not say so.
    for place in ["findings", "scan", "modules", "processes"] {
        assert!(!section(place).contains("does not answer"), "{place}");
    }
    let tree = section("tree");
    assert!(tree.contains("<bdi>&lt;b&gt;&amp;.exe</bdi>"), "{tree}");
    assert!(!html.contains("<b>&.exe"));
    fs::remove_file(&raw).unwrap();
}
