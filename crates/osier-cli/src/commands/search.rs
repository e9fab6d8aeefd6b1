//! `osier search`: where bytes stand in memory.

#[cfg_attr(not(feature = "yara"), path = "search/missing.rs")]
mod rules;

use std::time::Instant;

use osier::search::{Hit, Pattern, PatternError, Scope, Searched, search};
use osier::{ErrorKind, Guest, Snapshot, WalkEnd, WalkEnds, open_snapshot, tables};

use super::common::{Chosen, chosen, flow, of_writer, opened, options};
use crate::args::{OutputArgs, SearchArgs};
use crate::failure::Usage;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::shape::{Shape, Wrong};

/// Bytes of a page.
const PAGE: u64 = 4096;

pub(super) fn run(args: &SearchArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let patterns = patterns(args)?;
    let rules = rules::read(&args.yara)?;
    if patterns.is_empty() && args.yara.is_empty() {
        let wrong = "search for what? give --text, --wide-text, --hex, --regex or --yara";
        return Err(Usage(wrong.to_owned()).into());
    }
    let shape = Shape::over(&args.list.shape, "search", &tables::hits());
    let shape = shape.map_err(|Wrong(what)| Usage(what))?;
    // What is limited to processes is their memory.
    let limited = shape.processes().is_some();
    if limited && (args.kernel || args.phys) {
        let wrong = "--pid and --name search the memory of processes; --kernel and --phys search other memory";
        return Err(Usage(wrong.to_owned()).into());
    }
    let until = args
        .time_limit
        .and_then(|limit| Instant::now().checked_add(limit));
    let known = options(&args.list.snapshot.known);
    let snapshot = open_snapshot(&args.list.snapshot.snapshot, &known)?;
    let Snapshot { machine, info } = snapshot.clone();
    let guest = match Guest::attach(snapshot, &known) {
        // Physical memory needs no kernel: it may be searched for what tells which one it was.
        Err(error) if !limited && !args.kernel && no_kernel(&error) => {
            let mut out = Output::new(output, 8).shaped(shape);
            out.doubt(None, info.doubts());
            out.remark(&format!("{:#}", anyhow::Error::new(error)));
            let ends = WalkEnds::one(
                "owners",
                WalkEnd::no_start("a kernel that tells whose pages these are", None),
            );
            let scope = Scope::Physical(machine.memory, None);
            return look(&scope, &patterns, &rules, until, ends, out);
        }
        attached => attached?,
    };
    let mut out = opened(&guest, &args.list.snapshot, output).shaped(shape);
    let osi = &*guest.provider();
    let (scope, ends) = match out.processes() {
        Some(wanted) => {
            let Chosen { listed, .. } = chosen(&guest, wanted, &mut out)?;
            (Scope::Processes(osi, listed.taskds()), listed.ends())
        }
        None if args.kernel => (Scope::Kernel(osi), WalkEnds::default()),
        None => (Scope::all_of(osi), WalkEnds::default()),
    };
    look(&scope, &patterns, &rules, until, ends, out)
}

/// Whether nothing but a kernel, or its symbols, was missed.
fn no_kernel(error: &osier::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NoKernel | ErrorKind::SymbolsMissing
    )
}

/// Searches, and writes what is found.
fn look(
    scope: &Scope<'_>,
    patterns: &[Pattern],
    rules: &[rules::Rules],
    until: Option<Instant>,
    mut ends: WalkEnds,
    mut out: Output,
) -> anyhow::Result<Outcome> {
    let mut written = Ok(());
    let mut all = Vec::new();
    let mut show = |hit: Hit| flow(out.row(&hit), &mut written);
    if !patterns.is_empty() {
        all.push(search(scope, patterns, until, &mut show));
    }
    for rules in rules {
        all.push(rules::search(scope, rules, until, &mut show));
    }
    written.map_err(of_writer)?;
    // The memory is the same for each: what is not there is told once.
    if let Some(done) = all.first() {
        tell(done, &mut out);
    }
    for done in all {
        ends.join(done.ends);
    }
    Ok(out.finish(&ends)?)
}

fn patterns(args: &SearchArgs) -> anyhow::Result<Vec<Pattern>> {
    let made = |texts: &[String], make: fn(&str) -> Result<Pattern, PatternError>| {
        let made = texts.iter().map(|text| make(text));
        made.collect::<Result<Vec<_>, _>>()
    };
    let all = || -> Result<Vec<Pattern>, PatternError> {
        let mut patterns = made(&args.text, Pattern::text)?;
        patterns.extend(made(&args.wide_text, Pattern::wide_text)?);
        patterns.extend(made(&args.hex, Pattern::hex)?);
        patterns.extend(made(&args.regex, Pattern::regex)?);
        Ok(patterns)
    };
    let patterns = all().map_err(|error| Usage(error.to_string()))?;
    Ok(patterns)
}

/// Says what was not looked at, and counts it.
fn tell(done: &Searched, out: &mut Output) {
    out.count("page");
    let pages = done.lost_bytes().div_ceil(PAGE);
    out.lose(usize::try_from(pages).unwrap_or(usize::MAX));
    for (why, bytes) in &done.lost {
        let pages = usize::try_from(bytes.div_ceil(PAGE)).unwrap_or(usize::MAX);
        let pages = crate::output::plural(pages, "page");
        out.remark(&format!("not searched: {pages}: {why}"));
    }
}
