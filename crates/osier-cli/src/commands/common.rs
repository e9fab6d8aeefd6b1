//! What several commands do alike: options, questions, opening.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use osier::WalkEnds;
use osier::ask::{Question, by_pid};
use osier::osier_memory::{PhysAddr, VirtAddr};
use osier::osier_profile::ProfileStore;
use osier::osier_snapshot::Reading;
use osier::symbol_path::local_folders;
use osier::{Guest, Options};

use crate::args::{KnownArgs, OutputArgs, SnapshotArgs};
use crate::failure::Usage;
use crate::output::Output;

/// What the arguments say of a snapshot, in the library's words.
pub(super) fn options(args: &KnownArgs) -> Options {
    let mut profiles = args.profiles.clone();
    if let Some(list) = std::env::var_os("OSIER_PROFILES") {
        profiles.extend(std::env::split_paths(&list).filter(|dir| *dir != PathBuf::new()));
    }
    let symbol_path = std::env::var("_NT_SYMBOL_PATH").unwrap_or_default();
    Options {
        profiles,
        symbol_folders: local_folders(&symbol_path),
        profile: args.profile.clone(),
        group: args.group.clone(),
        os: args.os.clone(),
        table_root: args.dtb.map(PhysAddr),
        cache: (!args.no_cache).then(ProfileStore::user_cache).flatten(),
        registers: args.registers.clone(),
        ram_split: args.ram_split,
        internal: args.internal.clone(),
        parts: args.part.clone(),
        cache_bytes: args.cache_mib,
        scratch_limit: args.scratch_gib,
        reading: Reading::Copy,
        progress: crate::progress::on_terminal(),
        no_shipped: args.no_shipped,
        systems: Vec::new(),
    }
}

/// The files that a snapshot is read from, as far as their names are known.
pub(super) fn read_of(snapshot: &Path, options: &Options) -> Vec<PathBuf> {
    let mut read = vec![snapshot.to_owned()];
    // VMware's memory and state lie beside each other.
    read.extend(["vmem", "vmss", "vmsn"].map(|other| snapshot.with_extension(other)));
    read.extend(options.parts.iter().cloned());
    read.extend(options.registers.clone());
    read.extend(options.profile.clone());
    read
}

/// An error when `out` would be written over one of the files that are read.
pub(super) fn spare<'a>(
    out: &Path,
    read: impl IntoIterator<Item = &'a PathBuf>,
) -> anyhow::Result<()> {
    if read.into_iter().any(|file| osier_file::same(file, out)) {
        let out = osier_text::path(out);
        anyhow::bail!("{out}: this file is read, and would be written over; name another");
    }
    Ok(())
}

/// The questions that these words ask.
pub(super) fn questions(words: &[String]) -> anyhow::Result<Vec<Question>> {
    let of_word = |word: &String| {
        Question::of_word(word).ok_or_else(|| {
            let word = osier_text::visible(word);
            let known = Question::ALL.map(Question::word).join(", ");
            Usage(format!("no question is called `{word}`; there are {known}")).into()
        })
    };
    words.iter().map(of_word).collect()
}

/// Opens the snapshot and attaches; with `-v` says by what.
pub(super) fn open(args: &SnapshotArgs, output: &OutputArgs) -> anyhow::Result<(Guest, Output)> {
    let guest = Guest::open(&args.snapshot, &options(&args.known))?;
    let mut out = Output::new(output, guest.pointer_bytes());
    out.doubt(None, guest.info().doubts());
    Ok((guest, out))
}

/// The processes with this pid, by `taskd`: at least one, and several only when a pid lies.
pub(super) fn processes(guest: &Guest, pid: u32) -> anyhow::Result<(Vec<VirtAddr>, WalkEnds)> {
    let (found, ends) = by_pid(&*guest.provider(), pid);
    match found.len() {
        1.. => Ok((found, ends)),
        _ if ends.is_complete() => anyhow::bail!("no process has pid {pid}"),
        _ => anyhow::bail!("no process with pid {pid} was found, and the list is incomplete"),
    }
}

/// Keeps the first error of a writer inside a walk, and ends the walk at it.
pub(super) fn flow(
    written: std::io::Result<()>,
    kept: &mut std::io::Result<()>,
) -> ControlFlow<()> {
    match written {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            *kept = Err(error);
            ControlFlow::Break(())
        }
    }
}
