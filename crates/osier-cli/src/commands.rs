//! The commands, one file each.

mod check;
mod common;
mod completions;
mod diff;
mod distill;
mod dump;
mod export;
mod info;
mod inputs;
mod lists;
mod merge;
mod osi_test;
mod profile;
mod ps;
mod read;
mod recover;
mod report;
mod run;
mod search;
#[cfg_attr(not(feature = "sql"), path = "commands/sql/missing.rs")]
mod sql;
mod timeline;
mod translate;

use osier::ask::Question;

use crate::args::{Cli, Command};
use crate::outcome::Outcome;

/// Does what the arguments say.
pub(crate) fn run(cli: &Cli) -> anyhow::Result<Outcome> {
    #[cfg(unix)]
    if cli.command.writes_files() {
        crate::signals::leave_nothing();
    }
    let ran = carry_out(cli);
    crate::remote::conclude(ran, cli)
}

fn carry_out(cli: &Cli) -> anyhow::Result<Outcome> {
    let output = &cli.output;
    match &cli.command {
        Command::Info(args) => info::run(args, output),
        Command::Ps(args) => ps::run(args, output),
        Command::Handles(args) => lists::run(args, Question::Handles, output),
        Command::Current(args) => lists::run(args, Question::Current, output),
        Command::Threads(args) => lists::run(args, Question::Threads, output),
        Command::Modules(args) => lists::run(args, Question::Modules, output),
        Command::Maps(args) => lists::maps(args, output),
        Command::Pages(args) => lists::pages(args, output),
        Command::Files(args) => lists::run(args, Question::Files, output),
        Command::Env(args) => lists::run(args, Question::Environment, output),
        Command::Log(args) => lists::run(args, Question::Log, output),
        Command::Mounts(args) => lists::run(args, Question::Mounts, output),
        Command::Sockets(args) => lists::run(args, Question::Sockets, output),
        Command::Net(args) => lists::run(args, Question::Interfaces, output),
        Command::Scan(args) => lists::run(args, Question::Scan, output),
        Command::Findings(args) => lists::run(args, Question::Findings, output),
        Command::Read(args) => read::run(args, output),
        Command::Translate(args) => translate::run(args, output),
        Command::OsiTest(args) => osi_test::run(args, output),
        Command::Search(args) => search::run(args, output),
        Command::Dump(args) => dump::run(args, output),
        Command::Recover(args) => recover::run(args, output),
        Command::Distill(args) => distill::run(args, output),
        Command::Diff(args) => diff::run(args, output),
        Command::Timeline(args) => timeline::run(args, output),
        Command::Report(args) => report::run(args, output),
        Command::Check(args) => check::run(args, output),
        Command::Export(args) => export::run(args, output),
        Command::Run(args) => run::run(args, output),
        Command::Merge(args) => merge::run(args, output),
        Command::Sql(args) => sql::run(args, output),
        Command::Profile(command) => profile::run(command, output),
        Command::Completions { shell } => completions::completions(*shell),
        Command::Man { dir } => completions::man(dir.as_deref()),
    }
}
