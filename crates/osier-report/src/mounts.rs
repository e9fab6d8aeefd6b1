//! Mounts: each view of them once, with the processes that have it.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};

use osier::ask::Question;
use osier_text::markup;

use crate::links::Links;
use crate::list::{LATE, List, UNANSWERED, plural};
use crate::section::Section;

/// Processes of one view that are named.
const NAMED: usize = 12;

/// The views of mounts that the processes of one snapshot have.
#[derive(Default)]
pub(crate) struct Mounts<'a> {
    /// By their content's hash under a key of this run, which nobody who wrote a guest knows.
    known: HashMap<u64, usize>,
    key: RandomState,
    views: Vec<View<'a>>,
    /// Bytes of markup that they hold.
    held: usize,
}

struct View<'a> {
    list: List<'a>,
    /// What the first of its processes are called, with their places.
    named: Vec<(String, String)>,
    processes: usize,
}

impl<'a> Mounts<'a> {
    /// Notes what a process sees, and gives the number of the view.
    pub(crate) fn note(
        &mut self,
        mut list: List<'a>,
        (place, caption): (String, String),
        most: usize,
    ) -> usize {
        let mut hasher = self.key.build_hasher();
        let (body, ends) = list.content();
        (body, list.rows).hash(&mut hasher);
        for (walk, end) in ends.bad() {
            end.of(walk).hash(&mut hasher);
        }
        let hash = hasher.finish();
        let at = *self.known.entry(hash).or_insert(self.views.len());
        if at == self.views.len() {
            // Of all views together no more is held than of one list.
            let held = self.held.saturating_add(list.content().0.len());
            if held > most {
                list.leave_out();
            } else {
                self.held = held;
            }
            self.views.push(View {
                list,
                named: Vec::new(),
                processes: 0,
            });
        }
        if let Some(view) = self.views.get_mut(at) {
            view.processes = view.processes.saturating_add(1);
            if view.named.len() < NAMED {
                view.named.push((place, caption));
            }
        }
        at
    }

    /// The place of the view of that number.
    pub(crate) fn place(links: &Links, number: usize) -> String {
        format!("{}-v{number}", links.prefix)
    }

    /// Writes every view; without one that there is none, or that nobody answers this of the system.
    pub(crate) fn write(self, section: &Section<'_>, links: &Links, into: &mut String) {
        let (snapshot, tally) = (section.name, &section.tally);
        if self.views.is_empty() {
            into.push_str(if tally.is_unanswered(Question::Mounts) {
                UNANSWERED
            } else {
                "<p class=\"dim\">None.</p>\n"
            });
        }
        if tally.is_late(Question::Mounts) {
            into.push_str(LATE);
        }
        let one = self.views.len() == 1;
        for (number, view) in self.views.into_iter().enumerate() {
            let rows = plural(view.list.rows, "mount");
            let first = view.named.first().map_or("?", |(_, caption)| caption);
            let others = match view.processes.saturating_sub(1) {
                0 => String::new(),
                1 => " and 1 other".to_owned(),
                others => format!(" and {others} others"),
            };
            let seen = format!("{rows}, as seen by <bdi>{}</bdi>{others}", markup(first));
            let open = if one { " open" } else { "" };
            let _ = write!(
                into,
                "<details class=\"list\"{open}><summary>{seen}</summary>\n<div id=\"{}\">\n<p class=\"dim\">Seen by ",
                Self::place(links, number)
            );
            for (nth, (place, caption)) in view.named.iter().enumerate() {
                let comma = if nth == 0 { "" } else { ", " };
                let _ = write!(
                    into,
                    "{comma}<a href=\"#{place}\"><bdi>{}</bdi></a>",
                    markup(caption)
                );
            }
            let more = view.processes.saturating_sub(view.named.len());
            if more > 0 {
                let _ = write!(into, " and {more} more");
            }
            into.push_str(".</p>\n");
            let caption = format!("Mounts of {snapshot}, view {}", number.saturating_add(1));
            view.list
                .finish("mounts", &caption, "osier mounts SNAP --pid N", into);
            into.push_str("</div></details>\n");
        }
    }
}
