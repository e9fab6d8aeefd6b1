//! `osier recover`: the files of which the kernel keeps pages, and one of them written down.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::bail;
use osier::dump::{KeptFile, kept, kept_files};
use osier::tables;
use osier::{Guest, WalkEnds};

use super::common::{flow, of_writer, open, options_beside};
use super::dump::{lose, tell};
use crate::args::{Format, OutputArgs, RecoverArgs};
use crate::failure::Usage;
use crate::outcome::Outcome;
use crate::shape::{Shape, Wrong};

pub(super) fn run(args: &RecoverArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    match &args.out {
        Some(out) => write(args, out, output),
        None => list(args, output),
    }
}

fn list(args: &RecoverArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let usage = |wrong: &str| Err(Usage(wrong.to_owned()).into());
    if args.file.is_some() || args.mapping.is_some() {
        return usage("--file and --mapping say which file to write: -o FILE says where");
    }
    let shape = Shape::over(&args.list.shape, "recover", &tables::kept());
    let shape = shape.map_err(|Wrong(what)| Usage(what))?;
    if shape.processes().is_some() {
        return usage(
            "kept files are of no process, whatever --pid and --name say; `osier files` has those of one, and \
             --where 'path ~ GLOB' limits these",
        );
    }
    let (guest, out) = open(&args.list.snapshot, output)?;
    let mut out = out.shaped(shape);
    let mut written = Ok(());
    let ends = kept_files(&guest, &mut |file| flow(out.row(&file), &mut written))?;
    written.map_err(of_writer)?;
    Ok(out.finish(&ends)?)
}

fn write(args: &RecoverArgs, path: &Path, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let usage = |wrong: &str| Err(Usage(wrong.to_owned()).into());
    if args.file.is_none() && args.mapping.is_none() {
        return usage(
            "nothing says which file to write: --file PATH or --mapping ADDR, as the list has them",
        );
    }
    if output.format.is_some() || args.list.shape.any() {
        return usage("one file is written and no rows, which have no format and no conditions");
    }
    // What is said goes to standard error, whatever standard output is.
    let said = OutputArgs {
        format: Some(Format::Table),
        ..output.clone()
    };
    let snapshot = &args.list.snapshot;
    options_beside(snapshot, path)?;
    let (guest, mut out) = open(snapshot, &said)?;
    let (file, ends) = one(&guest, args)?;
    let mut done = kept(&guest, &file, path)?;
    if args.mapping.is_none() {
        // A file of the same path may be where the list was not read.
        done.ends.join(ends);
    }
    if !output.quiet {
        tell(path, &done, output.verbose);
    }
    lose(&done, &mut out);
    Ok(out.conclude(&done.ends)?)
}

/// The file that the arguments mean, and how the list ended that it is of.
fn one(guest: &Guest, args: &RecoverArgs) -> anyhow::Result<(KeptFile, WalkEnds)> {
    let mut found = Vec::new();
    let ends = kept_files(guest, &mut |file| {
        let meant = match (&args.file, args.mapping) {
            (_, Some(mapping)) => file.mapping.0 == mapping,
            (Some(path), None) => {
                let path = path.as_os_str().as_encoded_bytes();
                file.path.as_ref().is_ok_and(|own| own == path)
            }
            (None, None) => false,
        };
        if meant {
            found.push(file);
        }
        ControlFlow::Continue(())
    })?;
    let what = match (&args.file, args.mapping) {
        (Some(path), None) => osier_text::path(path).to_string(),
        (_, mapping) => format!(
            "a file whose pages are at {:#x}",
            mapping.unwrap_or_default()
        ),
    };
    match found.as_slice() {
        [file] => Ok((file.clone(), ends)),
        [] if ends.is_complete() => bail!(
            "the kernel keeps no page of {what}; `osier recover` without -o lists what it keeps"
        ),
        [] => bail!(
            "{what} is not in the list of kept files, which could not be read to its end: {ends}"
        ),
        several => {
            let mappings = several.iter().map(|file| file.mapping.to_string());
            bail!(
                "{} files are called {what}; say which by --mapping: {}",
                several.len(),
                mappings.collect::<Vec<_>>().join(", ")
            )
        }
    }
}
