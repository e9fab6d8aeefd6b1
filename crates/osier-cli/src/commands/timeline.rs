//! `osier timeline`: processes through a series of snapshots.

use std::io::{self, Write};

use osier::ask::Question;
use osier::osier_osi::WalkEnds;
use osier_compare::timeline::{Glyphs, Timeline, by_clock, drawing, svg};
use osier_compare::{View, premises};

use super::diff::view;
use crate::args::{Format, OutputArgs, SeriesArg, TimelineArgs};
use crate::failure::{Outcome, in_file};
use crate::output::{Output, colours, terminal_width, utf8_locale};

/// Columns of the drawing when no terminal says: PANDA's `asidstory`'s.
const WIDTH: usize = 100;

pub(super) fn run(args: &TimelineArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let mut views = Vec::new();
    for path in &args.paths {
        views.push(view(path, &args.known, &[Question::Current])?);
    }
    let warn = |warning: String| {
        if output.quiet {
            return Ok(());
        }
        writeln!(io::stderr(), "osier: {warning}")
    };
    if args.order == SeriesArg::Clock && !by_clock(&mut views) {
        warn("the guest's clock is not known of every snapshot: the order is as given".to_owned())?;
    }
    let pairs = views.iter().zip(views.iter().skip(1));
    for (before, after) in pairs {
        if let Some(premise) = premises(before, after).first() {
            let (about, means) = (premise.about, premise.means);
            let (a, b) = (&before.label, &after.label);
            warn(format!("{a} and {b} differ in {about}: {means}"))?;
        }
    }
    let timeline = Timeline::of(&views);
    if let Some(file) = &args.svg {
        osier_file::write(file, svg(&timeline)).map_err(in_file(file))?;
    }
    tell(&timeline, &views, args, output)
}

fn tell(
    timeline: &Timeline,
    views: &[View],
    args: &TimelineArgs,
    output: &OutputArgs,
) -> anyhow::Result<Outcome> {
    let pointer_bytes = views.iter().map(|view| view.pointer_bytes).max();
    let mut out = Output::new(output, pointer_bytes.unwrap_or(8));
    for life in &timeline.lives {
        out.row(life)?;
    }
    for view in views {
        out.doubt(Some(&view.label), &view.doubts);
        out.ends_of(&view.label, &view.ends())?;
    }
    if out.format() == Format::Table {
        let glyphs = Glyphs {
            ascii: args.ascii || !utf8_locale(),
            colour: colours(output),
        };
        let drawn = drawing(
            timeline,
            args.width.or_else(terminal_width).unwrap_or(WIDTH),
            glyphs,
        );
        out.after_table(&format!("\n{drawn}"));
    }
    Ok(out.finish(&WalkEnds::default())?)
}
