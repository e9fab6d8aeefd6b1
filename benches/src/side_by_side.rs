//! Osier and its peers on the same dumps, in one run.

use std::fmt::Write as _;

use anyhow::Result;

use crate::answer::Verdict;
use crate::args::Args;
use crate::guest::{Guest, RECIPES};
use crate::measure::{Cost, Costs, errors_of, printed, run_to, seconds};
use crate::peers::{PEERS, Peer, Program};
use crate::table::Table;
use crate::workshop::{Workshop, say};

/// A program that takes longer than this, in seconds of CPU, is run less often.
const SLOW: f64 = 3.0;

/// A table for each guest, printed.
pub(crate) fn run(args: &Args, workshop: &Workshop) -> Result<String> {
    let asked = |peer: &&Peer| {
        let name = peer.name.to_lowercase();
        args.peers.is_empty() || args.peers.iter().any(|word| name.contains(word.as_str()))
    };
    let installed: Vec<_> = PEERS
        .iter()
        .filter(asked)
        .map(|peer| (peer, (peer.install)(workshop).map_err(|e| format!("{e:#}"))))
        .collect();
    for recipe in RECIPES {
        let named = args.guests.is_empty()
            || args
                .guests
                .iter()
                .any(|word| recipe.title.contains(word.as_str()));
        if !named {
            continue;
        }
        // Told as soon as it is known, for the next guest takes minutes.
        println!("### {}\n", recipe.title);
        match Guest::get(recipe, workshop) {
            Ok(guest) => println!("{}", one(args, workshop, &guest, &installed)?),
            Err(error) => println!("Not available here: {error:#}\n"),
        }
    }
    Ok(String::new())
}

/// What became of one peer.
struct Line<'p> {
    peer: &'p Peer,
    costs: Costs,
    slow: bool,
    /// How its answer compares, or why there is none.
    answer: Result<Verdict, String>,
}

fn one(
    args: &Args,
    workshop: &Workshop,
    guest: &Guest,
    installed: &[(&'static Peer, Result<Program, String>)],
) -> Result<String> {
    let mut lines: Vec<Line<'_>> = installed
        .iter()
        .map(|(peer, program)| Line {
            peer,
            costs: Costs::default(),
            slow: false,
            answer: program
                .as_ref()
                .map(|_| Verdict::default())
                .map_err(Clone::clone),
        })
        .collect();
    // Round by round, so that what else the machine does is everybody's burden. The first round
    // fills caches, and its costs do not count.
    for round in 0..=args.runs {
        for (line, (_, program)) in lines.iter_mut().zip(installed) {
            let (Ok(program), Ok(_)) = (program, &line.answer) else {
                continue;
            };
            if line.slow && round > args.runs.div_ceil(3) {
                continue;
            }
            say(&format!(
                "{}, round {round}: {}",
                guest.name, line.peer.name
            ));
            measure(line, program, guest, workshop, round)?;
        }
    }
    let ours = lines.first().map_or(f64::NAN, |line| line.costs.cpu());
    let mut table = Table::new(
        &[
            "program",
            "given",
            "CPU s",
            "to Osier's",
            "wall s",
            "peak MiB",
            "answer",
        ],
        &["program", "given", "answer"],
    );
    for line in &lines {
        table.line(&cells(line, ours, &guest.release));
    }
    Ok(format!(
        "Kernel {}, {} processes, {} MiB.\n\n{}\n",
        guest.release,
        guest.rows.iter().filter(|row| row.pid != 0).count(),
        std::fs::metadata(&guest.raw)?.len() >> 20,
        table.text()
    ))
}

fn measure(
    line: &mut Line<'_>,
    program: &Program,
    guest: &Guest,
    workshop: &Workshop,
    round: usize,
) -> Result<()> {
    let words: String = line
        .peer
        .name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let out = workshop
        .folder
        .join("logs")
        .join(format!("{}-{words}", guest.name));
    let once = || -> Result<Result<Cost>> {
        let command = (line.peer.list)(program, guest, workshop);
        Ok(match command {
            Ok(mut command) => Ok(run_to(&mut command, &out)?),
            Err(error) => Err(error),
        })
    };
    // The processor's caches are full of what ran before, which costs a program of milliseconds as
    // much again: a quick one runs twice in its turn, and the second run counts.
    if round > 0 && !line.slow {
        let _ = once()?;
    }
    let cost = match once()? {
        Ok(cost) => cost,
        Err(error) => {
            line.answer = Err(format!("{error:#}"));
            return Ok(());
        }
    };
    if round > 0 {
        line.costs.0.push(cost);
        return Ok(());
    }
    line.slow = cost.cpu > SLOW;
    let text = printed(&out)?;
    let complaint = printed(&errors_of(&out))?;
    let complaint = complaint.lines().rev().find(|line| !line.trim().is_empty());
    let complaint = complaint.unwrap_or_default().trim().to_owned();
    line.answer = match (line.peer.rows)(&text) {
        // A program that says that it failed did not answer wrongly.
        Ok(rows) if rows.is_empty() && !cost.status.success() => {
            Err(format!("refused ({}): {complaint}", cost.status))
        }
        Ok(rows) => Ok(Verdict::of(&guest.rows, &rows)),
        Err(_) if !cost.status.success() => Err(format!("refused ({}): {complaint}", cost.status)),
        Err(error) => Err(format!("its answer cannot be read: {error:#}")),
    };
    Ok(())
}

fn cells(line: &Line<'_>, ours: f64, release: &str) -> Vec<String> {
    let (name, given) = (line.peer.name.to_owned(), line.peer.given.to_owned());
    let verdict = match &line.answer {
        Ok(verdict) => verdict,
        Err(why) => {
            let why: String = why.replace('|', "/").chars().take(160).collect();
            let nothing = || "–".to_owned();
            return vec![name, given, nothing(), nothing(), nothing(), nothing(), why];
        }
    };
    let (cpu, wall) = (line.costs.cpu(), line.costs.wall());
    let times = cpu / ours;
    let mut answer = verdict.words();
    if let Some(target) = (line.peer.target)(release).filter(|target| times < *target) {
        let _ = write!(
            answer,
            "; short of the {target:.0} times that Osier aims at"
        );
    }
    vec![
        name,
        given,
        seconds(cpu),
        format!("{times:.1}"),
        seconds(wall),
        format!("{:.0}", line.costs.peak_mib()),
        answer,
    ]
}
