//! Several snapshots: processes through them, and what happened between each and the next.

use std::fmt::Write as _;
use std::io::{self, Write};

use osier::tables::Cells;
use osier_compare::timeline::{Timeline, picture};
use osier_compare::{View, diff, premises};
use osier_text::markup;

use crate::bounds::Bounds;
use crate::links::Links;
use crate::list::{List, plural};

/// Writes the drawing of the series, and its rows for those who do not see it.
pub(crate) fn timeline(views: &[View], by_clock: bool, bounds: &Bounds, into: &mut String) {
    into.push_str("<section id=\"timeline\" aria-labelledby=\"timeline-h\"><h2 id=\"timeline-h\">Timeline</h2>\n");
    into.push_str(if by_clock {
        "<p class=\"dim\">In the order of the guest's clock. The table below the picture says the same.</p>\n"
    } else {
        "<p class=\"warn\">The guest's clock is not known of every snapshot: the order is as given.</p>\n"
    });
    for (before, after) in views.iter().zip(views.iter().skip(1)) {
        for premise in premises(before, after).iter().take(1) {
            let said = format!(
                "{} and {} differ in {}: {}",
                before.label, after.label, premise.about, premise.means
            );
            let _ = writeln!(into, "<p class=\"warn\">{}</p>", markup(&said));
        }
    }
    let timeline = Timeline::of(views);
    into.push_str(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Timeline\">\n",
    );
    into.push_str(&picture(&timeline));
    into.push_str("</div>\n<details class=\"list\"><summary>The same as a table ");
    let count = timeline.lives.len();
    let _ = writeln!(into, "<span class=\"dim\">{count}</span></summary>");
    let links = Links::default();
    let mut list = List::new(&[], bounds, &links);
    for life in &timeline.lives {
        list.row(&Cells::of(life));
    }
    list.finish(
        "timeline",
        "Processes through the series",
        "osier timeline PATH...",
        into,
    );
    into.push_str(
        "<p class=\"dim\"><code>marks</code> has a letter for each snapshot: <code>#</code> runs, <code>=</code> is there, \
         <code>.</code> is not there, <code>?</code> may have been missed.</p>\n</details>\n</section>\n",
    );
}

/// Writes what happened between two snapshots.
pub(crate) fn differences(
    before: &View,
    after: &View,
    bounds: &Bounds,
    spool: &mut dyn Write,
) -> io::Result<()> {
    let links = Links::default();
    let mut list = List::new(&[], bounds, &links);
    diff(before, after, &mut |event| list.row(&Cells::of(&event)));
    let (a, b) = (markup(&before.label), markup(&after.label));
    let mut html = String::new();
    let _ = writeln!(
        html,
        "<details class=\"list\" open><summary><h3><bdi>{a}</bdi> → <bdi>{b}</bdi></h3> <span class=\"dim\">{}</span></summary>",
        plural(list.rows, "event")
    );
    let premises = premises(before, after);
    if !premises.is_empty() {
        html.push_str(
            "<div class=\"warn\"><b>What events lean on is not the same in both.</b><ul>",
        );
        for premise in premises {
            let said = format!(
                "{} was {}, is {}: {}",
                premise.about, premise.was, premise.now, premise.means
            );
            let _ = write!(html, "<li>{}</li>", markup(&said));
        }
        html.push_str("</ul></div>\n");
    }
    let caption = format!("What happened between {} and {}", before.label, after.label);
    list.end(before.ends());
    list.end(after.ends());
    list.finish("diff", &caption, "osier diff A B", &mut html);
    html.push_str("</details>\n");
    spool.write_all(html.as_bytes())
}
