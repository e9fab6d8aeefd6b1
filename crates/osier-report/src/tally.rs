//! How complete the answers about one snapshot are.

use std::fmt::Write as _;

use osier::ask::Question;
use osier::osier_snapshot::Anomaly;
use osier::{WalkEnd, WalkEnds};
use osier_text::markup;

use crate::links::Links;
use crate::list::plural;

/// Endings of one snapshot that are told in words.
const ENDS: usize = 100;

/// What is told of one snapshot's answers besides the page.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// What the snapshot is called.
    pub name: String,
    /// Number of values that exist in the guest and could not be read.
    pub lost: usize,
    /// Number of walks that did not end well.
    pub bad_ends: usize,
    /// The first hundred of those, in words.
    pub ends: Vec<String>,
    /// What is odd about its file and may make any of this wrong or short.
    pub doubts: Vec<Anomaly>,
    /// Whether the limit of time was over before all was asked.
    pub late: bool,
}

impl Told {
    /// Whether everything that was asked was read.
    pub fn is_complete(&self) -> bool {
        self.lost == 0 && self.bad_ends == 0 && self.doubts.is_empty() && !self.late
    }
}

/// A snapshot that could not be read at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What it is called.
    pub name: String,
    /// Why, with the file's name.
    pub why: String,
}

/// One question's answer, counted.
pub(crate) struct Asked {
    pub(crate) question: Question,
    pub(crate) rows: usize,
    pub(crate) lost: usize,
    pub(crate) bad_ends: usize,
    /// Whether the system has no such list that anybody reads.
    pub(crate) unanswered: bool,
    /// Whether the limit of time ended it, or it was not begun.
    pub(crate) late: bool,
}

/// All answers about one snapshot, counted.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) told: Told,
    pub(crate) asked: Vec<Asked>,
}

impl Tally {
    fn of(&mut self, question: Question) -> Option<&mut Asked> {
        let at = self.asked.iter().position(|one| one.question == question);
        let at = at.unwrap_or_else(|| {
            self.asked.push(Asked {
                question,
                rows: 0,
                lost: 0,
                bad_ends: 0,
                unanswered: false,
                late: false,
            });
            self.asked.len().saturating_sub(1)
        });
        self.asked.get_mut(at)
    }

    /// Counts rows of the question's answer and the values that are lost in them.
    pub(crate) fn add(&mut self, question: Question, rows: usize, lost: usize) {
        self.told.lost = self.told.lost.saturating_add(lost);
        if let Some(asked) = self.of(question) {
            asked.rows = asked.rows.saturating_add(rows);
            asked.lost = asked.lost.saturating_add(lost);
        }
    }

    /// Counts how its walks ended.
    pub(crate) fn end(&mut self, question: Question, ends: &WalkEnds) {
        let mut bad = 0_usize;
        for (walk, end) in ends.bad() {
            if *end == WalkEnd::NotAnswered {
                if let Some(asked) = self.of(question) {
                    asked.unanswered = true;
                }
                continue;
            }
            bad = bad.saturating_add(1);
            if self.told.ends.len() < ENDS {
                let words = format!("{}: {}", question.word(), end.of(walk));
                self.told.ends.push(words);
            }
        }
        self.told.bad_ends = self.told.bad_ends.saturating_add(bad);
        if let Some(asked) = self.of(question) {
            asked.bad_ends = asked.bad_ends.saturating_add(bad);
        }
    }

    /// Whether the limit of time ended the question's answer.
    pub(crate) fn is_late(&self, question: Question) -> bool {
        let mut asked = self.asked.iter();
        asked.any(|one| one.question == question && one.late)
    }

    /// Whether nobody answers the question of the system.
    pub(crate) fn is_unanswered(&self, question: Question) -> bool {
        let mut asked = self.asked.iter();
        asked.any(|one| one.question == question && one.unanswered)
    }

    /// Notes that the limit of time was over before the question was answered.
    pub(crate) fn late(&mut self, question: Question) {
        self.told.late = true;
        if let Some(asked) = self.of(question) {
            asked.late = true;
        }
    }

    /// Writes how complete the answers are: one sentence, what is odd about the file, then each list.
    pub(crate) fn write(&self, links: &Links, into: &mut String) {
        let _ = writeln!(into, "{}", verdict(&self.told));
        if !self.told.doubts.is_empty() {
            into.push_str("<div class=\"warn\"><b>The file itself is odd</b>, and any of this may be wrong or short.<ul>");
            for doubt in &self.told.doubts {
                let _ = write!(into, "<li>{}</li>", markup(&doubt.to_string()));
            }
            into.push_str("</ul></div>\n");
        }
        into.push_str(
            "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"How complete each list is\">\
             <table data-list=\"complete\"><thead><tr><th scope=\"col\">list</th><th scope=\"col\" class=\"n\">rows</th>\
             <th scope=\"col\" class=\"n\">values lost</th><th scope=\"col\" class=\"n\">walks that ended badly</th>\
             <th scope=\"col\">how it is</th></tr></thead>\n<tbody>\n",
        );
        for asked in &self.asked {
            let how = match asked {
                Asked { late: true, .. } => "<b class=\"no\">✕ stopped by the limit of time</b>",
                Asked {
                    unanswered: true, ..
                } => "– not answered of this system",
                Asked {
                    lost: 0,
                    bad_ends: 0,
                    ..
                } => "<span class=\"yes\">✓ complete</span>",
                _ => "<b class=\"no\">✕ incomplete</b>",
            };
            let (place, what) = place(asked.question);
            let _ = writeln!(
                into,
                "<tr><td><a href=\"#{}-{place}\">{what}</a></td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{}</td><td>{how}</td></tr>",
                links.prefix, asked.rows, asked.lost, asked.bad_ends
            );
        }
        into.push_str("</tbody></table></div>\n");
    }
}

/// One sentence about how complete the answers about a snapshot are.
fn verdict(told: &Told) -> String {
    if told.is_complete() {
        let text = "every value was read, and every list ended where it should";
        return format!("<p class=\"verdict yes\"><b>✓ Complete:</b> {text}.</p>");
    }
    let mut parts = Vec::new();
    if told.late {
        parts.push("the limit of time was over before all was asked".to_owned());
    }
    if told.lost > 0 {
        parts.push(format!("{} could not be read", plural(told.lost, "value")));
    }
    if told.bad_ends > 0 {
        parts.push(format!("{} ended badly", plural(told.bad_ends, "walk")));
    }
    if !told.doubts.is_empty() {
        parts.push("the file itself is odd".to_owned());
    }
    format!(
        "<p class=\"verdict no\"><b>✕ Incomplete:</b> {}. Each list says below it what it lacks.</p>",
        parts.join(", ")
    )
}

/// Where on the page a question is answered, and what it is called there.
const fn place(question: Question) -> (&'static str, &'static str) {
    match question {
        Question::Processes | Question::Wide => ("tree", "processes"),
        Question::Handles => ("processes", "handles"),
        Question::Current => ("machine", "what ran on the processors"),
        Question::Threads => ("processes", "threads"),
        Question::Modules => ("modules", "kernel modules"),
        Question::Mappings => ("processes", "mappings"),
        Question::Pages => ("processes", "pages"),
        Question::Files => ("processes", "open files"),
        Question::Environment => ("processes", "environment variables"),
        Question::Log => ("log", "lines of the kernel's log"),
        Question::Mounts => ("mounts", "mounts, as each process sees them"),
        Question::Sockets => ("sockets", "sockets"),
        Question::Interfaces => ("net", "network interfaces"),
        Question::Scan => ("scan", "found by their own bytes"),
        Question::Findings => ("findings", "findings"),
    }
}
