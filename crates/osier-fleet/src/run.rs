//! A whole run: ask every snapshot, and write tables and manifest.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;

use crate::file_format::FileFormat;
use crate::fleet::Fleet;
use crate::held::Held;
use crate::output::Output;
use crate::{Event, RunError, RunOptions, Summary};

/// Asks every snapshot of `paths` and writes tables and manifest.
///
/// # Errors
///
/// [`RunError`]. What was finished stays in the folder, and the same call goes on from there.
pub fn run(
    paths: &[PathBuf],
    options: &RunOptions,
    watch: &mut dyn FnMut(Event<'_>),
) -> Result<Summary, RunError> {
    let shard = options.asking.shard;
    let work = Output::work(&options.out, shard);
    let mut held = Held::of(&options.out, shard.map(|_| work.as_path()))?;
    let fleet = Fleet::identify(paths, &options.asking, options.to.shape(), watch)?;
    let formats: Vec<FileFormat<'_>> = fleet
        .tables()
        .iter()
        .map(|table| FileFormat::new(table, options.to))
        .collect::<io::Result<_>>()
        .map_err(RunError::Schema)?;
    for (_, place) in Output::names(&formats, shard) {
        let file = options.out.join(place);
        if shard.is_some()
            && let Some(folder) = file.parent()
            && let Err(source) = fs::create_dir_all(folder)
        {
            let path = folder.to_owned();
            return Err(RunError::Begin { path, source });
        }
        if let Err(source) = osier_file::place(&file) {
            return Err(RunError::Begin { path: file, source });
        }
        // Nothing lies where there is no file yet, however many snapshots are read.
        if !file.exists() {
            continue;
        }
        let mut read = (0..fleet.subjects().len()).map(|number| fleet.path(number));
        if let Some(over) = read.find(|path| osier_file::same(path, &file)) {
            return Err(RunError::Over(over.to_owned()));
        }
    }
    held.keep();
    let (mut output, done) = Output::open(
        options,
        fleet.pool(),
        &formats,
        fleet.subjects(),
        fleet.part(options),
    )?;
    let mut summary = fleet.summary();
    let of = fleet.subjects().len();
    if !done.is_empty() {
        let done = done.len();
        watch(Event::Resumed { done, of });
    }
    summary.count_all(done.iter().copied());
    fleet.answers(done.len(), &mut |number, answer| {
        let (name, read) = (answer.entry.snapshot.clone(), answer.entry.status);
        let (doubts, why) = (answer.entry.doubts.clone(), answer.entry.why.clone());
        let written = output.write(answer)?;
        summary.count_all(written.iter().map(|entry| entry.status));
        // What is written with later ones ended as it was read, for all that is known.
        let (status, why) = match written.last() {
            Some(entry) => (entry.status, &entry.why),
            None => (read, &why),
        };
        watch(Event::Finished {
            path: fleet.path(number),
            name: &name,
            status,
            doubts: &doubts,
            why,
            done: number.saturating_add(1),
            of,
        });
        Ok(ControlFlow::Continue(()))
    })?;
    let last = output.flush()?;
    summary.count_all(last.iter().map(|entry| entry.status));
    output.finish()?;
    // Beside a shard lie those of the others.
    if shard.is_none() {
        summary.stale = Output::stale(&options.out, &formats);
    }
    Ok(summary)
}
