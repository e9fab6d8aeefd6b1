//! The tree of processes, and each process with what it holds.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use osier::ask::Question;
use osier::order::nested;
use osier::tables::Cell;
use osier::{Process, ProcessExtra, SeenExt as _};
use osier_text::{markup, visible_bytes};

use crate::built::Built;
use crate::links::Links;
use crate::list::{List, plural, value};
use crate::mounts::Mounts;
use crate::section::{Section, heading};

/// Levels of the tree that are drawn inside each other. Readers of HTML end at some hundreds.
const LEVELS: usize = 40;

/// A process's name and pid.
fn caption(process: &Process) -> String {
    let name = process.name.get().map(|name| visible_bytes(name));
    let pid = process.pid.value().map(|pid| pid.to_string());
    let unknown = || "?".to_owned();
    let (name, pid) = (name.unwrap_or_else(unknown), pid.unwrap_or_else(unknown));
    // A process may be called nothing at all.
    format!("{name} {pid}").trim_start().to_owned()
}

fn is_of_the_kernel(process: &Process) -> bool {
    matches!(&process.extra, ProcessExtra::Linux(linux) if linux.kernel_thread.value() == Some(true))
}

/// Writes the tree, and below it what `end` says of the list.
pub(crate) fn tree(
    processes: &[Built<'_>],
    end: &str,
    section: &Section<'_>,
    links: &Links,
    into: &mut String,
) {
    heading(links, "tree", into);
    let count = plural(processes.len(), "process").replace("processs", "processes");
    let prefix = &links.prefix;
    let _ = write!(
        into,
        "<p class=\"dim\">{count}. A name leads to what the process holds; threads of the kernel are folded.\
         <span class=\"tools\"> <button type=\"button\" data-open=\"{prefix}-tree\">Open all</button> \
         <button type=\"button\" data-close=\"{prefix}-tree\">Close all</button></span></p>\n\
         <ul class=\"tree\" aria-label=\"Processes of {}, below their parents\">\n",
        markup(section.name)
    );
    let nested = nested(processes);
    let mut open = 0_usize;
    let mut next = nested.iter().skip(1);
    for one in &nested {
        let Some(process) = processes.get(one.index) else {
            continue;
        };
        let depth = one.depth.min(LEVELS);
        while open > depth {
            into.push_str("</ul></details></li>\n");
            open = open.saturating_sub(1);
        }
        let below = next.next().map_or(0, |next| next.depth.min(LEVELS));
        if below > depth {
            let shut = is_of_the_kernel(process.process) && process.process.pid.value() != Some(0);
            let state = if shut { "" } else { " open" };
            let _ = write!(into, "<li><details{state}><summary>");
            node(process, one.index, one.depth, links, into);
            into.push_str("</summary><ul>\n");
            open = depth.saturating_add(1);
        } else {
            into.push_str("<li class=\"leaf\">");
            node(process, one.index, one.depth, links, into);
            into.push_str("</li>\n");
        }
    }
    for _ in 0..open {
        into.push_str("</ul></details></li>\n");
    }
    into.push_str("</ul>\n");
    into.push_str(end);
    into.push_str("</section>\n");
}

/// One process in the tree.
fn node(process: &Built<'_>, index: usize, depth: usize, links: &Links, into: &mut String) {
    let Built { process, cells } = process;
    let shown = |name: &str| {
        let mut shown = String::new();
        for (column, cell) in cells.iter().filter(|(column, _)| column.name == name) {
            let none = matches!(cell, Cell::Absent(absent) if !absent.is_loss());
            if !none {
                value(column, cell, &Links::default(), &mut shown);
            }
        }
        shown
    };
    let (name, pid) = (shown("name"), shown("pid"));
    let place = links.place(index);
    // A process may be called nothing at all, and a link must not be.
    let _ = if name.trim().is_empty() {
        write!(into, "<span class=\"node\"><a href=\"#{place}\">{pid}</a>")
    } else {
        write!(
            into,
            "<span class=\"node\"><a href=\"#{place}\"><bdi>{name}</bdi></a> <span class=\"pid\">{pid}</span>"
        )
    };
    if depth > LEVELS {
        let _ = write!(into, " <span class=\"dim\">level {depth}</span>");
    }
    if is_of_the_kernel(process) {
        into.push_str(" <span class=\"dim\">kernel thread</span>");
    }
    for (name, word) in [("uid", "uid "), ("user", ""), ("state", "")] {
        let shown = shown(name);
        if !shown.is_empty() {
            let _ = write!(into, " <span class=\"dim\">{word}{shown}</span>");
        }
    }
    let command = ["cmdline", "exe", "path"].map(shown);
    if let Some(command) = command.iter().find(|command| !command.is_empty()) {
        let _ = write!(into, " <code>{command}</code>");
    }
    into.push_str("</span>");
}

/// The lists of a process, with what heads each.
const LISTS: [(Question, &str, &str); 4] = [
    (Question::Threads, "Threads", "thread"),
    (Question::Files, "Open files", "open file"),
    (Question::Environment, "Environment", "variable"),
    (Question::Mappings, "Mappings", "mapping"),
];

/// Writes each process with what it holds, one after another.
pub(crate) fn cards<'l>(
    processes: &[Built<'_>],
    section: &mut Section<'l>,
    links: &'l Links,
    sockets: &mut HashMap<u32, List<'l>>,
    mounts: &mut Mounts<'l>,
    spool: &mut dyn Write,
) -> io::Result<()> {
    let mut html = String::new();
    let prefix = &links.prefix;
    heading(links, "processes", &mut html);
    let _ = writeln!(
        html,
        "<p class=\"dim\">What each process is and holds; docs/rows.md has the fields.<span class=\"tools\"> \
         <button type=\"button\" data-open=\"{prefix}-processes\">Open all</button> \
         <button type=\"button\" data-close=\"{prefix}-processes\">Close all</button></span></p>"
    );
    for one in nested(processes) {
        let Some(process) = processes.get(one.index) else {
            continue;
        };
        card(
            process, one.index, section, links, sockets, mounts, &mut html,
        );
        spool.write_all(html.as_bytes())?;
        html.clear();
    }
    spool.write_all(b"</section>\n")
}

fn card<'l>(
    process: &Built<'_>,
    index: usize,
    section: &mut Section<'l>,
    links: &'l Links,
    sockets: &mut HashMap<u32, List<'l>>,
    mounts: &mut Mounts<'l>,
    html: &mut String,
) {
    let Built { process, cells } = process;
    let windows = matches!(process.extra, ProcessExtra::Windows(_));
    let mut lists = Vec::new();
    for (question, title, noun) in LISTS {
        let (title, noun) = match question {
            Question::Files if windows => ("Handles", "handle"),
            _ => (title, noun),
        };
        let mut list = List::new(&["pid"], section.bounds, links);
        let (ends, late) = section.of_process(question, process.taskd, &mut |row| list.row(row));
        list.end(ends);
        if late {
            list.late();
        }
        lists.push((question.word(), title, noun, list));
        if question == Question::Files
            && let Some(pid) = process.pid.value()
            && let Some(list) = sockets.remove(&pid)
        {
            lists.push((Question::Sockets.word(), "Sockets", "socket", list));
        }
    }
    let mut seen = List::new(&["pid"], section.bounds, links);
    let (ends, late) =
        section.of_process(Question::Mounts, process.taskd, &mut |row| seen.row(row));
    seen.end(ends);
    if late {
        seen.late();
    }
    let (place, caption) = (links.place(index), caption(process));
    let shown = markup(&caption).into_owned();
    let counts: Vec<String> = lists
        .iter()
        .filter(|(_, _, _, list)| list.rows > 0)
        .map(|(_, _, noun, list)| plural(list.rows, noun))
        .collect();
    let marked = lists.iter().any(|(_, _, _, list)| list.is_incomplete());
    let mark = if marked || cells.losses() > 0 {
        " <b class=\"no\">✕ incomplete</b>"
    } else {
        ""
    };
    let _ = write!(
        html,
        "<details class=\"card\"><summary><h4><bdi>{shown}</bdi></h4> <span class=\"dim\">{}</span>{mark}</summary>\n\
         <div id=\"{place}\">\n",
        counts.join(", ")
    );
    for (word, title, _, list) in lists {
        if list.is_nothing() {
            continue;
        }
        let about = format!("{title} of {caption}");
        let pid = process.pid.value().map(|pid| pid.to_string());
        let pid = pid.as_deref().unwrap_or("N");
        let mark = if list.is_incomplete() {
            " <b class=\"no\">✕ incomplete</b>"
        } else {
            ""
        };
        let _ = writeln!(
            html,
            "<details class=\"list\"><summary>{title} <span class=\"dim\">{}</span>{mark}</summary>",
            list.rows
        );
        list.finish(
            word,
            &about,
            &format!("osier {word} SNAP --pid {pid}"),
            html,
        );
        html.push_str("</details>\n");
    }
    html.push_str("<dl class=\"facts\" data-list=\"ps\">\n");
    for (column, cell) in cells.iter() {
        let lost = matches!(cell, Cell::Absent(absent) if absent.is_loss());
        let class = if lost { " class=\"l\"" } else { "" };
        let _ = write!(
            html,
            "<div class=\"fact\"><dt>{}</dt><dd{class}>",
            column.name
        );
        value(column, cell, links, html);
        html.push_str("</dd></div>\n");
    }
    if seen.rows > 0 {
        let rows = plural(seen.rows, "mount");
        let number = mounts.note(seen, (place, caption.clone()), section.bounds.bytes);
        let view = Mounts::place(links, number);
        let _ = writeln!(
            html,
            "<div class=\"fact\"><dt>mounts</dt><dd><a href=\"#{view}\">{rows}</a></dd></div>"
        );
        html.push_str("</dl>\n");
    } else {
        html.push_str("</dl>\n");
        if !seen.is_nothing() {
            seen.finish("mounts", &format!("Mounts of {caption}"), "", html);
        }
    }
    html.push_str("</div></details>\n");
}
