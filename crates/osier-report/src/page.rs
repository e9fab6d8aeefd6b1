//! The page around the lists: its head, its rules of style, its script, and the list of contents.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use osier_compare::timeline;
use osier_text::markup;
use sha2::{Digest as _, Sha256};

use crate::guest::Head;
use crate::section::PLACES;
use crate::tally::Failed;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// How a policy names what it lets run.
fn sum(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

/// The page up to its contents. What it may load is nothing, and what it may run is its own script alone, named
/// by its sum: whatever a guest calls itself, it is not that.
pub(crate) fn head(title: &str, series: bool, heads: &[Head]) -> String {
    let style = format!("{STYLE}{}", timeline::STYLE);
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        sum(&style),
        sum(SCRIPT)
    );
    let title = markup(title);
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title} – Osier report</title>\n<style>{style}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">Skip to the findings</a>\n\
         <header>\n<h1>Osier report</h1>\n<p><bdi>{title}</bdi></p>\n\
         <div class=\"tools\" role=\"search\"><label for=\"q\">Search</label> <input id=\"q\" type=\"search\" autocomplete=\"off\" spellcheck=\"false\" \
         aria-describedby=\"told\"> <span id=\"told\" role=\"status\"></span></div>\n</header>\n\
         <div class=\"columns\">\n"
    );
    contents(series, heads, &mut html);
    html.push_str("<main id=\"main\" tabindex=\"-1\">\n");
    html
}

fn contents(series: bool, heads: &[Head], html: &mut String) {
    html.push_str("<nav aria-label=\"Contents\">\n<ul>\n");
    if series {
        for (place, title) in [
            ("overview", "Overview"),
            ("timeline", "Timeline"),
            ("differences", "Differences"),
        ] {
            let _ = writeln!(html, "<li><a href=\"#{place}\">{title}</a></li>");
        }
    }
    for (nth, head) in heads.iter().enumerate() {
        let number = nth.saturating_add(1);
        let list = |html: &mut String| {
            for (place, title) in PLACES {
                let _ = writeln!(html, "<li><a href=\"#s{number}-{place}\">{title}</a></li>");
            }
        };
        if series {
            let name = markup(&head.tally.told.name);
            let _ = write!(
                html,
                "<li><details><summary><bdi>{name}</bdi></summary>\n<ul>\n"
            );
            list(html);
            html.push_str("</ul></details></li>\n");
        } else {
            list(html);
        }
    }
    html.push_str("</ul>\n</nav>\n");
}

/// What all snapshots of a series are, and what was left out of it.
pub(crate) fn overview(heads: &[Head], failed: &[Failed], html: &mut String) {
    html.push_str(
        "<section id=\"overview\" aria-labelledby=\"overview-h\"><h2 id=\"overview-h\">Overview</h2>\n\
         <div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"The snapshots\"><table data-list=\"snapshots\"><thead><tr>\
         <th scope=\"col\">snapshot</th><th scope=\"col\">guest's time</th><th scope=\"col\">kernel</th><th scope=\"col\" class=\"n\">high</th>\
         <th scope=\"col\" class=\"n\">medium</th><th scope=\"col\" class=\"n\">notes</th><th scope=\"col\">how complete</th></tr></thead>\n<tbody>\n",
    );
    for (nth, head) in heads.iter().enumerate() {
        let number = nth.saturating_add(1);
        let counted = head
            .findings
            .map(|counted| counted.map(|count| count.to_string()));
        let [high, medium, notes] = counted.unwrap_or_else(|| ["–"; 3].map(str::to_owned));
        let told = &head.tally.told;
        let how = if told.is_complete() {
            "<span class=\"yes\">✓ complete</span>"
        } else {
            "<b class=\"no\">✕ incomplete</b>"
        };
        let _ = writeln!(
            html,
            "<tr><td><a href=\"#s{number}\"><bdi>{}</bdi></a></td><td>{}</td><td>{}</td><td class=\"n\">{high}</td>\
             <td class=\"n\">{medium}</td><td class=\"n\">{notes}</td><td>{how}</td></tr>",
            markup(&told.name),
            head.clock,
            markup(&head.kernel)
        );
    }
    html.push_str("</tbody></table></div>\n");
    left_out(failed, html);
    html.push_str("</section>\n");
}

/// What could not be read at all.
pub(crate) fn left_out(failed: &[Failed], html: &mut String) {
    if failed.is_empty() {
        return;
    }
    html.push_str(
        "<div class=\"bad\"><b>Left out of this report</b>, for it could not be read:<ul>",
    );
    for one in failed {
        let _ = write!(html, "<li>{}</li>", markup(&one.why));
    }
    html.push_str("</ul></div>\n");
}

/// The end of the page.
pub(crate) fn tail() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "</main>\n</div>\n<footer><p>Osier {version}. <span class=\"l\">?</span> is a value that could not be read, – one that \
         does not apply or that this kernel does not keep; the reason shows where the pointer rests. What cannot be seen of a \
         name is written by its number, as <code>\\u{{202e}}</code>. This page loads nothing.</p></footer>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
}
