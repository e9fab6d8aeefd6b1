//! `osier timeline`: processes through a series of snapshots.

use osier::WalkEnds;
use osier::ask::Question;
use osier_compare::timeline::{Glyphs, Timeline, by_clock, drawing, svg};
use osier_compare::{View, premises};
use osier_fleet::RunError;

use super::common::{options, spare};
use super::diff::view_of;
use super::inputs::tell_others;
use crate::args::{Format, OutputArgs, SeriesArg, TimelineArgs};
use crate::failure::in_file;
use crate::outcome::Outcome;
use crate::output::{Output, colours, say, terminal_width, utf8_locale};

/// Columns of the drawing when no terminal says: PANDA's `asidstory`'s.
const WIDTH: usize = 100;

pub(super) fn run(args: &TimelineArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let options = options(&args.known);
    let files = args.inputs.files(&options)?;
    if let Some(svg) = &args.svg {
        for file in &files {
            spare(svg, &options.files_of(&file.path))?;
        }
    }
    let mut views = Vec::new();
    let mut others = Vec::new();
    let mut failed = Vec::new();
    for file in &files {
        match file.open(&options) {
            Ok(Some(session)) => views.push(view_of(&session, &file.path, &[Question::Current])?),
            Ok(None) => others.push(file.path.clone()),
            Err(why) => failed.push(why),
        }
    }
    if views.is_empty() && files.len() == 1 && !failed.is_empty() {
        anyhow::bail!(failed.remove(0));
    }
    for why in &failed {
        say(&format!("left out: {why}"));
    }
    if views.is_empty() {
        return Err(RunError::Nothing {
            looked: files.len(),
        }
        .into());
    }
    let warn = |warning: &str| {
        if !output.quiet {
            say(warning);
        }
    };
    if !output.quiet {
        tell_others(&others, output.verbose);
    }
    if args.order == SeriesArg::Clock && !by_clock(&mut views) {
        warn("the guest's clock is not known of every snapshot: the order is as given");
    }
    let pairs = views.iter().zip(views.iter().skip(1));
    for (before, after) in pairs {
        if let Some(premise) = premises(before, after).first() {
            let (about, means) = (premise.about, premise.means);
            let (a, b) = (&before.label, &after.label);
            warn(&format!("{a} and {b} differ in {about}: {means}"));
        }
    }
    let timeline = Timeline::of(&views);
    if let Some(file) = &args.svg {
        osier_file::write(file, svg(&timeline)).map_err(in_file(file))?;
    }
    tell(&timeline, &views, failed.len(), args, output)
}

fn tell(
    timeline: &Timeline,
    views: &[View],
    failed: usize,
    args: &TimelineArgs,
    output: &OutputArgs,
) -> anyhow::Result<Outcome> {
    let pointer_bytes = views.iter().map(|view| view.pointer_bytes).max();
    let mut out = Output::new(output, pointer_bytes.unwrap_or(8));
    out.lose(failed);
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
