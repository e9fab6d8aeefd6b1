//! The words of a command line into [`Cli`].

use std::ffi::{OsStr, OsString};

use clap::{Args as _, Command, CommandFactory as _, FromArgMatches as _};

use crate::args::{Cli, OutputArgs, WIDTH};

/// What the words say; the first is the program's own name.
///
/// # Errors
///
/// What is wrong with them, or the help or the version that they ask for.
pub(crate) fn parse(words: &[OsString]) -> Result<Cli, clap::Error> {
    parse_by(
        description(words.get(1).map_or(OsStr::new(""), |word| word)),
        words,
    )
}

fn parse_by(mut description: Command, words: &[OsString]) -> Result<Cli, clap::Error> {
    let mut matches = description.try_get_matches_from_mut(words)?;
    let cli = Cli::from_arg_matches_mut(&mut matches);
    cli.map_err(|error| error.format(&mut description))
}

/// The description of what a command line may hold whose first word is `first`. Behind the name of a command it is that
/// command's alone, and there is no command beside the question for the version: clap gives each command that it knows of a copy
/// of the arguments that all of them take, which costs as much as all else that parsing does.
fn description(first: &OsStr) -> Command {
    let alone = || {
        let alone = Command::new("osier").version(env!("CARGO_PKG_VERSION"));
        OutputArgs::augment_args(alone.max_term_width(WIDTH))
    };
    if first == "--version" || first == "-V" {
        return alone();
    }
    let whole = Cli::command();
    match whole.find_subcommand(first) {
        Some(command) => alone().subcommand(command.clone()),
        None => whole,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// What a command line gives: help, what is wrong with it, or nothing where it is right.
    fn said(parsed: Result<Cli, clap::Error>) -> (String, bool) {
        match parsed {
            Ok(_) => (String::new(), false),
            Err(said) => (said.render().ansi().to_string(), said.use_stderr()),
        }
    }

    /// Every line of words behind each command, and beside the options of all.
    fn lines() -> Vec<Vec<OsString>> {
        let whole = Cli::command();
        let mut starts: Vec<Vec<String>> = vec![
            vec!["--version".to_owned()],
            vec!["-V".to_owned()],
            vec!["--help".to_owned()],
            vec!["pss".to_owned()],
            vec![],
        ];
        for command in whole.get_subcommands() {
            let name = command.get_name().to_owned();
            starts.push(vec![name.clone()]);
            for inner in command.get_subcommands() {
                starts.push(vec![name.clone(), inner.get_name().to_owned()]);
            }
        }
        let ends: [&[&str]; 8] = [
            &[],
            &["--help"],
            &["-h"],
            &["--no-such"],
            &["--format", "tables", "a", "b"],
            &["a", "--color"],
            &["--version"],
            &["help"],
        ];
        let mut lines = Vec::new();
        for start in &starts {
            for end in ends {
                let words = start.iter().map(String::as_str).chain(end.iter().copied());
                lines.push(
                    std::iter::once("osier")
                        .chain(words)
                        .map(OsString::from)
                        .collect(),
                );
            }
        }
        lines
    }

    #[test]
    fn a_part_of_the_description_says_what_the_whole_says() {
        let lines = lines();
        assert!(lines.len() > 250);
        for words in lines {
            let whole = said(parse_by(Cli::command(), &words));
            assert_eq!(said(parse(&words)), whole, "{words:?}");
        }
    }
}
