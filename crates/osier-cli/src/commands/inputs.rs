//! Which snapshots a command of several reads: files, folders, patterns, and lists of those.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use osier::Options;
use osier_fleet::{Input, gather};

use crate::args::InputArgs;
use crate::failure::in_file;
use crate::output::say;

impl InputArgs {
    /// The paths that are named, and those in a list.
    pub(super) fn paths(&self) -> anyhow::Result<Vec<PathBuf>> {
        named(&self.paths, self.inputs_from.as_deref())
    }

    /// The files behind those, and what an address names.
    pub(super) fn files(&self, options: &Options) -> anyhow::Result<Vec<Input>> {
        Ok(gather(&self.paths()?, options.reach.as_deref()))
    }
}

/// The paths that are named, and those in a list.
pub(super) fn named(paths: &[PathBuf], list: Option<&Path>) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = paths.to_vec();
    if let Some(list) = list {
        all.extend(listed(list)?);
    }
    Ok(all)
}

/// The paths in a list, one a line.
fn listed(list: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let reader: Box<dyn BufRead> = if list == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = std::fs::File::open(list).map_err(in_file(list))?;
        Box::new(BufReader::new(file))
    };
    let mut paths = Vec::new();
    for (number, line) in reader.split(b'\n').enumerate() {
        let mut line = line.map_err(in_file(list))?;
        if line.ends_with(b"\r") {
            line.pop();
        }
        if line.contains(&0) {
            let number = number.saturating_add(1);
            let list = osier_text::path(list);
            anyhow::bail!(
                "{list}: line {number} has a NUL byte, which no path has: this is no list of paths, one a line"
            );
        }
        if !line.is_empty() {
            paths.push(path(line));
        }
    }
    Ok(paths)
}

#[cfg(unix)]
fn path(line: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    PathBuf::from(std::ffi::OsString::from_vec(line))
}

#[cfg(not(unix))]
fn path(line: Vec<u8>) -> PathBuf {
    let mut text = String::new();
    osier::format::escape_bytes(&line, &mut text);
    PathBuf::from(text)
}

/// Says of how many files of folders nothing was asked, and with `verbose` of which.
pub(super) fn tell_others(others: &[PathBuf], verbose: bool) {
    let hint = if verbose { "" } else { "; -v names them" };
    match others.len() {
        0 => {}
        1 => say(&format!("1 file in folders is no snapshot{hint}")),
        count => say(&format!("{count} files in folders are no snapshots{hint}")),
    }
    for other in others.iter().filter(|_| verbose) {
        say(&format!("{}: no snapshot", osier_text::path(other)));
    }
}
