//! Pages of `osier report` in a real browser.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking, and waits for another program in a thread"
)]

mod chrome;
#[path = "../command/mod.rs"]
mod command;

use std::fs;
use std::path::{Path, PathBuf};

use chrome::Browser;
use command::lie::Lie;
use osier_testkit::need::{self, Real};
use serde_json::{Value, json};

osier_testkit::trials! {
    need::program("chromium") =>
        nothing_is_loaded_and_nothing_fails,
        a_search_shows_what_it_finds_and_gives_all_back,
        without_javascript_it_is_read,
        both_schemes_can_be_read,
        who_does_not_see_it_hears_names,
        no_page_is_wider_than_its_window;
}

/// Names that would be markup, each of 15 bytes at most.
const NAMES: [&[u8]; 3] = [
    b"<img onerror=a>\0",
    b"<script>a()//\0\0\0",
    b"\"'><b id=x>\xe2\x80\xae\0\0",
];

/// The page of one snapshot, in which processes have such names, or of a series.
fn page(test: &str, series: bool) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-page-{test}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let golden =
        |name: &str| osier_testkit::data::workspace().join(format!("snapshots/{name}.elf"));
    let snapshots: Vec<PathBuf> = if series {
        vec![
            golden("deb12-6.1-amd64-events-a"),
            golden("deb12-6.1-amd64-events-b"),
        ]
    } else {
        let mut lie = Lie::of("deb12-6.1-amd64");
        for (pid, name) in (1..).zip(NAMES) {
            let task = lie.task(pid);
            lie.poke(task, ("task_struct", "comm"), name);
        }
        vec![lie.write(&folder.join("<b>.elf"))]
    };
    let out = folder.join("page.html");
    let mut words = vec![PathBuf::from("report"), "-o".into(), out.clone()];
    words.extend(snapshots);
    let output = command::run(words, "browser-cache");
    assert_eq!(output.status.code(), Some(3));
    format!("file://{}", out.display())
}

fn nothing_is_loaded_and_nothing_fails(chromium: &Real) {
    let mut browser = Browser::start(&chromium.path, "plain");
    for series in [false, true] {
        browser.open(&page("plain", series), 1200);
        assert_eq!(browser.complaints(), Vec::<&Value>::new());
        // Its own script and style run, and no other.
        assert_eq!(browser.value("document.documentElement.className"), "js");
        assert_eq!(
            browser.value("getComputedStyle(document.querySelector('header')).position"),
            "sticky"
        );
        assert_eq!(
            browser.value("document.scripts.length + document.images.length"),
            1
        );
        assert_eq!(
            browser.value("document.querySelector('#x, [onerror]')"),
            Value::Null
        );
        let pictures = usize::from(series);
        assert_eq!(
            browser.value("document.querySelectorAll('svg').length"),
            pictures
        );
    }
    // The page's policy holds for what gets into it, however it does.
    let run = "{ const s = document.createElement('script'); s.textContent = 'window.ran = 1'; \
               document.body.append(s); const i = new Image(); i.src = 'other.png'; document.body.append(i); } 'ran' in window";
    assert_eq!(browser.value(run), false);
    browser.until("document.images[0].complete");
    assert!(
        browser.complaints().len() >= 2,
        "the policy tells what it refused"
    );
}

fn a_search_shows_what_it_finds_and_gives_all_back(chromium: &Real) {
    let mut browser = Browser::start(&chromium.path, "search");
    browser.open(&page("search", false), 1200);
    let state = "[...document.querySelectorAll('details')].map((e) => +e.open).join('')";
    let before = browser.value(state);
    browser.press("/", "Slash", 191);
    assert_eq!(browser.value("document.activeElement.id"), "q");
    browser.send("Input.insertText", json!({"text": "Spinner-0"}));
    browser.until("document.getElementById('told').textContent !== ''");
    let seen = "[...document.querySelectorAll('main tbody tr')].filter((e) => e.checkVisibility()).map((e) => e.textContent)";
    let rows = browser.value(seen);
    let rows = rows.as_array().unwrap();
    assert!(rows.len() >= 2, "{rows:?}");
    let within = |row: &Value| row.as_str().unwrap().to_lowercase().contains("spinner-0");
    assert!(rows.iter().all(within), "{rows:?}");
    // In the tree it stands with its parents, and nobody else does.
    let tree = "[...document.querySelectorAll('.tree .node')].filter((e) => e.checkVisibility()).map((e) => e.querySelector('a').textContent)";
    let tree = browser.value(tree);
    let tree = tree.as_array().unwrap();
    assert!(
        tree.len() < 6 && tree.contains(&json!("spinner-0")),
        "{tree:?}"
    );
    let cards = "[...document.querySelectorAll('.card')].filter((e) => e.checkVisibility()).length";
    assert_eq!(browser.value(cards), 1);
    browser.press("Escape", "Escape", 27);
    browser.until("document.querySelectorAll('main [hidden]').length === 0");
    assert_eq!(browser.value(state), before);
    // What is nowhere is told, too.
    browser.send("Input.insertText", json!({"text": "no such word"}));
    browser.until("document.getElementById('told').textContent === '0 rows, 0 processes'");
    assert_eq!(browser.value(seen), json!([]));
    // A name in the tree leads to its process, which opens.
    browser.press("Escape", "Escape", 27);
    browser.value("document.querySelector('.tree a').click()");
    browser.until("document.querySelector('details.card').open");
    for (button, open) in [("close", false), ("open", true)] {
        browser.value(&format!(
            "document.querySelector('[data-{button}=s1-tree]').click()"
        ));
        let all = format!(
            "[...document.querySelectorAll('.tree details')].every((e) => e.open === {open})"
        );
        assert_eq!(browser.value(&all), true);
    }
    assert_eq!(browser.complaints(), Vec::<&Value>::new());
}

fn without_javascript_it_is_read(chromium: &Real) {
    let mut browser = Browser::start(&chromium.path, "off");
    browser.send(
        "Emulation.setScriptExecutionDisabled",
        json!({"value": true}),
    );
    let page = page("off", false);
    browser.open(&page, 1200);
    assert_eq!(browser.value("document.documentElement.className"), "");
    // What needs the script is not there to be tried.
    let tools = "[...document.querySelectorAll('.tools')].some((e) => e.checkVisibility())";
    assert_eq!(browser.value(tools), false);
    let text = browser.value("document.body.innerText");
    let text = text.as_str().unwrap();
    for word in [
        "Findings",
        "Completeness",
        "spinner-0",
        "<img onerror=a>",
        "Kernel log",
    ] {
        assert!(text.contains(word), "{word}");
    }
    // A link into what is folded opens it.
    let link = browser.value("[...document.querySelectorAll('.tree a')].find((e) => e.textContent === 'spinner-0').getAttribute('href')");
    let place = link.as_str().unwrap().to_owned();
    browser.open(&format!("{page}{place}"), 1200);
    browser.until(&format!(
        "document.querySelector('{place}').checkVisibility()"
    ));
    // And so does a click.
    let at = browser.value(&format!(
        "(() => {{ const e = document.querySelector('{place} summary'); e.scrollIntoView({{block: 'center'}}); \
         const r = e.getBoundingClientRect(); return [r.left + 10, r.top + 10]; }})()"
    ));
    for kind in ["mousePressed", "mouseReleased"] {
        let click =
            json!({"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1});
        browser.send("Input.dispatchMouseEvent", click);
    }
    browser.until(&format!(
        "document.querySelector('{place} table').checkVisibility()"
    ));
    assert_eq!(browser.complaints(), Vec::<&Value>::new());
}

/// The least contrast of any text with what is behind it, and that text; WCAG asks for 4.5.
const CONTRAST: &str = "(() => {
  for (const e of document.querySelectorAll('details')) e.open = true;
  const colour = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const [r, g, b, a = 1] = colour(getComputedStyle(e).backgroundColor);
      if (a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  let worst = [99, ''];
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (words.nextNode()) {
    const e = words.currentNode.parentElement;
    const kind = `${e.localName}.${e.className}`;
    if (!words.currentNode.data.trim() || e.closest('svg') || seen.has(kind) && e.localName !== 'b' || !e.checkVisibility()) continue;
    seen.add(kind);
    const [one, other] = [light(colour(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < worst[0]) worst = [ratio, `${kind}: ${words.currentNode.data.slice(0, 40)}`];
  }
  return worst;
})()";

fn both_schemes_can_be_read(chromium: &Real) {
    let mut browser = Browser::start(&chromium.path, "schemes");
    for series in [false, true] {
        let page = page("schemes", series);
        let mut grounds = Vec::new();
        for scheme in ["light", "dark"] {
            let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
            browser.send("Emulation.setEmulatedMedia", features);
            browser.open(&page, 1200);
            grounds.push(browser.value("getComputedStyle(document.body).backgroundColor"));
            let worst = browser.value(CONTRAST);
            assert!(worst[0].as_f64().unwrap() >= 4.5, "{scheme}: {worst}");
        }
        assert_ne!(grounds[0], grounds[1]);
    }
}

fn who_does_not_see_it_hears_names(chromium: &Real) {
    let mut browser = Browser::start(&chromium.path, "names");
    for series in [false, true] {
        browser.open(&page("names", series), 1200);
        browser.value("for (const e of document.querySelectorAll('details')) e.open = true");
        let tree = browser.send("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().unwrap();
        let mut roles = std::collections::BTreeMap::<String, usize>::new();
        for node in nodes.iter().filter(|node| node["ignored"] != true) {
            let role = node["role"]["value"].as_str().unwrap_or("").to_owned();
            let named = [
                "link",
                "button",
                "searchbox",
                "heading",
                "region",
                "navigation",
                "image",
                "DisclosureTriangle",
                "columnheader",
            ];
            let name = node["name"]["value"].as_str().unwrap_or("");
            let what = node["backendDOMNodeId"].clone();
            assert!(
                !named.contains(&&*role) || !name.trim().is_empty(),
                "{role} {what} has no name"
            );
            *roles.entry(role).or_default() += 1;
        }
        for role in [
            "main",
            "navigation",
            "banner",
            "contentinfo",
            "search",
            "searchbox",
            "heading",
            "table",
            "columnheader",
            "status",
        ] {
            assert!(roles.contains_key(role), "{role}: {roles:?}");
        }
        // Headings go down by one level at a time.
        let levels = browser
            .value("[...document.querySelectorAll('h1,h2,h3,h4')].map((e) => +e.localName[1])");
        let levels: Vec<u64> = levels
            .as_array()
            .unwrap()
            .iter()
            .map(|level| level.as_u64().unwrap())
            .collect();
        assert_eq!(levels[0], 1);
        assert!(
            levels.windows(2).all(|pair| pair[1] <= pair[0] + 1),
            "{levels:?}"
        );
        // The first key leads past the contents.
        browser.value("document.activeElement.blur(); scrollTo(0, 0)");
        browser.press("Tab", "Tab", 9);
        assert_eq!(browser.value("document.activeElement.className"), "skip");
        assert_eq!(
            browser.value("document.activeElement.getBoundingClientRect().left >= 0"),
            true
        );
    }
}

fn no_page_is_wider_than_its_window(chromium: &Real) {
    let mut browser = Browser::start(&chromium.path, "wide");
    for series in [false, true] {
        browser.open(&page("wide", series), 320);
        browser.value("for (const e of document.querySelectorAll('details')) e.open = true");
        for width in [320, 768, 1400] {
            browser.size(width);
            let over = browser.value(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth",
            );
            assert_eq!(over, 0, "{width}");
        }
    }
}
