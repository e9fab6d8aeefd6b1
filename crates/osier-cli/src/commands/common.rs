//! What several commands do alike: options, questions, opening.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Once;

use osier::ask::{Listed, Question, by_pid, find};
use osier::osier_memory::{PhysAddr, VirtAddr};
use osier::osier_profile::ProfileStore;
use osier::osier_snapshot::Reading;
use osier::symbol_path::local_folders;
use osier::{Guest, Options, ProcessName, SeenExt as _, WalkEnds};

use crate::args::{KnownArgs, ListArgs, OutputArgs, SnapshotArgs};
use crate::failure::Usage;
use crate::output::{Output, say};
use crate::shape::{Processes, Shape, Wrong};

/// Whether it was said that `OSIER_PROFILES` names nothing.
static SAID: Once = Once::new();

/// What the arguments say of a snapshot, in the library's words.
pub(super) fn options(args: &KnownArgs) -> Options {
    let mut profiles = args.profiles.clone();
    if let Some(list) = std::env::var_os("OSIER_PROFILES") {
        // As in other lists of folders, one that is not there is passed over, unless none is.
        let named: Vec<PathBuf> = std::env::split_paths(&list)
            .filter(|dir| !dir.as_os_str().is_empty())
            .collect();
        if !named.is_empty() && !named.iter().any(|dir| dir.is_dir()) {
            SAID.call_once(|| {
                let list = osier_text::path(Path::new(&list)).to_string();
                say(&format!("OSIER_PROFILES: {list}: there is no such folder"));
            });
        }
        profiles.extend(named.into_iter().filter(|dir| dir.is_dir()));
    }
    let symbol_path = std::env::var("_NT_SYMBOL_PATH").unwrap_or_default();
    let cache = (!args.no_cache).then(ProfileStore::user_cache).flatten();
    Options {
        reach: crate::remote::reach(cache.as_deref(), args.search),
        profiles,
        symbol_folders: local_folders(&symbol_path),
        profile: args.profile.clone(),
        group: args.group.clone(),
        os: args.os.clone(),
        table_root: args.dtb.map(PhysAddr),
        cache,
        registers: args.registers.clone(),
        ram_split: args.ram_split,
        internal: args.internal.clone(),
        parts: args.part.clone(),
        cache_bytes: args.cache_mib,
        scratch_limit: args.scratch_gib,
        reading: Reading::Copy,
        progress: crate::progress::on_terminal(),
        infer: args.infer,
        no_shipped: args.no_shipped,
        systems: Vec::new(),
    }
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

/// The options of a snapshot of which something is written to `out`: an error when that is another of the files that
/// are read. The snapshot itself is refused by whoever writes.
pub(super) fn options_beside(args: &SnapshotArgs, out: &Path) -> anyhow::Result<Options> {
    let options = options(&args.known);
    spare(out, options.files_of(&args.snapshot).iter().skip(1))?;
    Ok(options)
}

/// The questions that these words ask.
pub(super) fn questions(words: &[String]) -> anyhow::Result<Vec<Question>> {
    let of_word = |word: &String| {
        Question::of_word(word.trim()).ok_or_else(|| {
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
    let out = opened(&guest, args, output);
    Ok((guest, out))
}

/// Where rows go of `guest`, which was opened as `args` say.
pub(super) fn opened(guest: &Guest, args: &SnapshotArgs, output: &OutputArgs) -> Output {
    if cfg!(unix) && !guest.info().is_compressed() {
        // The command ends with the answer, and the system takes all memory back at once. Elsewhere a
        // file that was unpacked is removed when the guest is dropped; and pages of one that was are kept then.
        std::mem::forget(guest.clone());
    }
    let mut out = Output::new(output, guest.pointer_bytes());
    out.doubt(None, guest.info().doubts());
    if let Some(split) = args.known.ram_split {
        out.suspect(format!(
            "--ram-split {split:#x} was given: where that is not the machine's, memory behind it is looked for at \
             wrong addresses"
        ));
    }
    out
}

/// Which rows of the answers to `question` the arguments want.
pub(super) fn shape(args: &ListArgs, question: Question) -> anyhow::Result<Shape> {
    Shape::of(&args.shape, question).map_err(|Wrong(what)| Usage(what).into())
}

/// As [`open`], for a list of the answers to `question`.
pub(super) fn open_list(
    args: &ListArgs,
    question: Question,
    output: &OutputArgs,
) -> anyhow::Result<(Guest, Output)> {
    let shape = shape(args, question)?;
    let (guest, out) = open(&args.snapshot, output)?;
    Ok((guest, out.shaped(shape)))
}

/// The processes with this pid, by `taskd`: at least one, and several only when a pid lies.
pub(super) fn processes(guest: &Guest, pid: u32) -> anyhow::Result<(Vec<VirtAddr>, WalkEnds)> {
    let (found, ends) = by_pid(&*guest.provider(), pid);
    match found.len() {
        1.. => Ok((found, ends)),
        _ if ends.is_complete() => {
            anyhow::bail!("no process has pid {pid}; osier ps lists those that there are")
        }
        _ => anyhow::bail!("no process with pid {pid} was found, and the list is incomplete"),
    }
}

/// The processes that an answer is limited to.
pub(super) struct Chosen {
    /// The processes, and how the walk of all ended.
    pub(super) listed: Listed,
    /// Their ids.
    pub(super) pids: Vec<u32>,
}

/// The processes that `wanted` limits an answer to. Every id that is named alone must be there, and at
/// least one of every stretch. Those that may be wanted and of which a value was lost are told to `out`.
pub(super) fn chosen(guest: &Guest, wanted: Processes, out: &mut Output) -> anyhow::Result<Chosen> {
    let mut choice = Choice::new(wanted);
    let listed = find(&*guest.provider(), &mut |process| choice.takes(process));
    let pids = choice.made(&listed.ends(), out)?;
    Ok(Chosen { listed, pids })
}

/// A choice of processes, while their list is walked.
pub(super) struct Choice {
    wanted: Processes,
    /// Which of the ids and stretches that are named were met.
    met: Vec<bool>,
    /// The ids of those that were chosen.
    pids: Vec<u32>,
    /// How many may be wanted, of which a value was lost.
    open: usize,
}

impl Choice {
    pub(super) fn new(wanted: Processes) -> Self {
        Self {
            met: vec![false; wanted.pids.len()],
            wanted,
            pids: Vec::new(),
            open: 0,
        }
    }

    /// Whether this process is wanted.
    pub(super) fn takes(&mut self, process: &ProcessName) -> bool {
        let wanted = &self.wanted;
        let has_pid = match &process.pid {
            Ok(pid) => {
                for (pids, met) in wanted.pids.iter().zip(&mut self.met) {
                    *met |= (pids.first..=pids.last).contains(pid);
                }
                Some(wanted.has(*pid))
            }
            Err(_) => wanted.pids.is_empty().then_some(true),
        };
        let has_name = match &process.name {
            Ok(name) => Some(wanted.is_called(name)),
            Err(_) => wanted.name.is_none().then_some(true),
        };
        match (has_pid, has_name) {
            (Some(false), _) | (_, Some(false)) => false,
            (Some(true), Some(true)) => {
                self.pids.extend(process.pid.value());
                true
            }
            _ => {
                self.open = self.open.saturating_add(1);
                false
            }
        }
    }

    /// The ids of the processes that were chosen, when the list, whose walk ended as `ends` says, has what was named.
    pub(super) fn made(self, ends: &WalkEnds, out: &mut Output) -> anyhow::Result<Vec<u32>> {
        (0..self.open).for_each(|_| out.leave_open());
        let mut named = self.wanted.pids.iter().zip(&self.met);
        if let Some((pids, _)) = named.find(|(_, met)| !**met) {
            let pids = if pids.first == pids.last {
                format!("pid {}", pids.first)
            } else {
                format!("a pid from {} to {}", pids.first, pids.last)
            };
            if ends.is_complete() {
                anyhow::bail!("no process has {pids}; osier ps lists those that there are");
            }
            anyhow::bail!("no process with {pids} was found, and the list is incomplete");
        }
        Ok(self.pids)
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

/// What a writer failed with: the wrong usage that it met, or what the system says.
pub(super) fn of_writer(error: std::io::Error) -> anyhow::Error {
    match error.downcast::<Wrong>() {
        Ok(Wrong(what)) => Usage(what).into(),
        Err(error) => error.into(),
    }
}
