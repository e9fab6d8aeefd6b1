//! One snapshot: every list of it, in the order of the page.

use std::fmt::Write as _;
use std::io::{self, Write};

use osier::ask::Question;
use osier::format::iso8601;
use osier::sheet::Sheet;
use osier::{Guest, Located};
use osier_text::{markup, visible_bytes};

use crate::bounds::Bounds;
use crate::built::Built;
use crate::findings::Findings;
use crate::links::Links;
use crate::list::List;
use crate::mounts::Mounts;
use crate::processes;
use crate::section::{Section, heading, title};
use crate::tally::Tally;

/// What stands before a snapshot's lists, and how complete they are.
pub(crate) struct Head {
    pub(crate) html: String,
    pub(crate) tally: Tally,
    /// How many findings there are of each severity, the highest first; `None` where the system has no rules.
    pub(crate) findings: Option<[usize; 3]>,
    /// The kernel's release or name.
    pub(crate) kernel: String,
    /// What the guest's clock showed.
    pub(crate) clock: String,
}

/// Asks `guest` everything, writes its lists to `spool`, and gives what stands before them.
pub(crate) fn section(
    name: &str,
    number: usize,
    guest: &Guest,
    bounds: &Bounds,
    spool: &mut dyn Write,
) -> io::Result<Head> {
    let mut section = Section {
        name,
        guest,
        osi: guest.provider(),
        bounds,
        tally: Tally::default(),
    };
    name.clone_into(&mut section.tally.told.name);
    section.tally.told.doubts = guest.info().doubts().cloned().collect();
    let mut links = Links::new(format!("s{number}"));
    let (processes, ended) = section.processes();
    links.note(&processes);
    let processes: Vec<_> = processes.iter().map(Built::of).collect();
    let processes_end = section.told(&processes, &ended);
    let mut findings = Findings::new(bounds, &links);
    let ends = section.ask(Question::Findings, &mut |row| findings.row(row));
    findings.end(ends);
    let current = section.list(Question::Current, &[], &links);
    let mut buffer = String::new();
    processes::tree(&processes, &processes_end, &section, &links, &mut buffer);
    spool.write_all(buffer.as_bytes())?;
    let (sockets, mut of_processes) = section.sockets(&links);
    let mut mounts = Mounts::default();
    processes::cards(
        &processes,
        &mut section,
        &links,
        &mut of_processes,
        &mut mounts,
        spool,
    )?;
    drop(of_processes);
    for question in [Question::Modules, Question::Scan] {
        let list = section.list(question, &[], &links);
        write(&section, question, list, &links, spool)?;
    }
    write(&section, Question::Sockets, sockets, &links, spool)?;
    let list = section.list(Question::Interfaces, &[], &links);
    write(&section, Question::Interfaces, list, &links, spool)?;
    buffer.clear();
    heading(&links, "mounts", &mut buffer);
    mounts.write(&section, &links, &mut buffer);
    buffer.push_str("</section>\n");
    spool.write_all(buffer.as_bytes())?;
    let list = section.list(Question::Log, &[], &links);
    write(&section, Question::Log, list, &links, spool)?;
    Ok(head(section, number, &findings, current, &links))
}

/// Writes a list under its heading.
fn write(
    section: &Section<'_>,
    question: Question,
    list: List<'_>,
    links: &Links,
    spool: &mut dyn Write,
) -> io::Result<()> {
    let word = question.word();
    let mut html = String::new();
    heading(links, word, &mut html);
    let caption = format!("{} of {}", title(word), section.name);
    list.finish(word, &caption, &format!("osier {word} SNAP"), &mut html);
    html.push_str("</section>\n");
    spool.write_all(html.as_bytes())
}

/// What stands before the lists: what the snapshot is, its findings, how complete all is, the machine.
fn head(
    section: Section<'_>,
    number: usize,
    findings: &Findings<'_>,
    current: List<'_>,
    links: &Links,
) -> Head {
    let guest = section.guest;
    let kernel = match guest.located() {
        Located::Linux(found) => format!("Linux {}", found.release()),
        other => visible_bytes(&other.banner()),
    };
    let clock = match guest.clock() {
        Ok(at) => {
            let at = iso8601(at);
            let seconds = at.split('.').next().unwrap_or(&at);
            format!("{} UTC", seconds.replace('T', " "))
        }
        Err(_) => "the guest's clock is not known".to_owned(),
    };
    let mut html = String::new();
    let _ = write!(
        html,
        "<section class=\"snapshot\" id=\"s{number}\" aria-labelledby=\"s{number}-h\">\n\
         <h2 id=\"s{number}-h\"><bdi>{}</bdi></h2>\n<p class=\"dim\">{} · {clock}</p>\n",
        markup(section.name),
        markup(&kernel)
    );
    let complete = if section.tally.told.is_complete() {
        "<span class=\"yes\">✓ complete</span>"
    } else {
        "<b class=\"no\">✕ incomplete</b>"
    };
    let _ = writeln!(
        html,
        "<p class=\"lead\"><a href=\"#s{number}-findings\">{}</a> · <a href=\"#s{number}-complete\">the answers</a> are {complete}</p>",
        findings.sentence(section.tally.is_late(Question::Findings))
    );
    heading(links, "findings", &mut html);
    let counted = findings.is_answered().then(|| findings.counted());
    findings.write(&section.tally, &mut html);
    html.push_str("</section>\n");
    heading(links, "complete", &mut html);
    section.tally.write(links, &mut html);
    html.push_str("</section>\n");
    heading(links, "machine", &mut html);
    machine(guest, &mut html);
    html.push_str("<h4>What ran on the processors</h4>\n");
    let caption = format!("What ran on the processors of {}", section.name);
    current.finish("current", &caption, "osier current SNAP", &mut html);
    html.push_str("</section>\n");
    Head {
        html,
        tally: section.tally,
        findings: counted,
        kernel,
        clock,
    }
}

/// What the file, the machine and its kernel are, and how that was decided.
fn machine(guest: &Guest, into: &mut String) {
    let mut sheet = Sheet::machine(guest.info(), guest.machine(), None);
    sheet.join(Sheet::kernel(guest));
    into.push_str("<dl class=\"facts one\">\n");
    let (mut folded, mut fact) = (false, false);
    for (name, value) in sheet.lines() {
        if value.is_empty() && name.is_empty() {
            continue;
        }
        // A line without a name goes on with the one above.
        if !name.is_empty() && std::mem::take(&mut fact) {
            into.push_str("</div>\n");
        }
        if value.is_empty() {
            // Premises are for who doubts the rest.
            let head = markup(&capital(name)).into_owned();
            let _ = write!(
                into,
                "</dl>\n<details class=\"list\"><summary>{head}</summary>\n<dl class=\"facts one\">\n"
            );
            folded = true;
            continue;
        }
        if !std::mem::replace(&mut fact, true) {
            let name = markup(name.trim_start());
            let _ = write!(into, "<div class=\"fact\"><dt>{name}</dt>");
        }
        let _ = write!(into, "<dd>{}</dd>", markup(value));
    }
    into.push_str(if fact { "</div>\n</dl>\n" } else { "</dl>\n" });
    into.push_str(if folded { "</details>\n" } else { "" });
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}
