//! The first pass: what each input is, which kernel it holds, and one profile for each kernel.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use osier::format::{escape_bytes, hex};
use osier::osier_profile::Profile;
use osier::osier_snapshot::{Identity, Reach};
use osier::{Error, LastKernel, Located, ProfileSource, Shared};
use rayon::ThreadPool;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use sha2::{Digest, Sha256};

use crate::Asking;
use crate::deadline::Deadline;
use crate::inputs::{Input, is_none};
use crate::manifest::Status;
use crate::opened::{Opened, Waiting};
use osier::osier_symbols::fence::fence;

/// Inputs that are identified at a time. What one block learns helps the next, so that what helps
/// an input does not depend on the number of jobs.
const BLOCK: usize = 64;

/// Page-table roots that are remembered.
const ROOTS: usize = 8;

/// Snapshots of one kernel that are asked for its types and symbols before it is given up.
const SOURCES: usize = 3;

/// What the first pass knows of an input.
pub(crate) struct Subject {
    pub(crate) input: Input,
    pub(crate) id: Option<String>,
    pub(crate) bytes: Option<u64>,
    pub(crate) format: Option<&'static str>,
    pub(crate) outcome: Outcome,
}

/// What came of the first pass.
pub(crate) enum Outcome {
    /// A snapshot with the kernel of this number, which `last` finds again.
    Kernel { number: usize, last: LastKernel },
    /// There are no rows, and why.
    None(Status, String),
}

/// A kernel that some of the snapshots hold.
pub(crate) struct Kernel {
    /// The banner, bytes that are not UTF-8 escaped.
    pub(crate) banner: String,
    pub(crate) build_id: Option<String>,
    /// Number of snapshots that hold it.
    pub(crate) snapshots: usize,
    /// Its profile and where that came from, or why there is none.
    pub(crate) profile: Result<(Arc<Profile>, ProfileSource), String>,
    /// The first of its snapshots, which may have to give its types and symbols.
    sources: Vec<(Input, LastKernel)>,
}

/// What the first pass found.
pub(crate) struct Identified {
    /// Every input but those that a folder holds and that are no snapshots.
    pub(crate) subjects: Vec<Subject>,
    pub(crate) kernels: Vec<Kernel>,
    /// Files of folders that are no snapshots.
    pub(crate) others: Vec<Input>,
    /// Snapshots that are open still.
    pub(crate) waiting: Waiting,
}

/// Identifies every input. `done` is told the number of inputs looked at so far.
pub(crate) fn identify(
    inputs: &[Input],
    shared: &Shared,
    asking: &Asking,
    pool: &ThreadPool,
    done: &mut dyn FnMut(usize),
) -> Identified {
    let mut all = Identified {
        subjects: Vec::new(),
        kernels: Vec::new(),
        others: Vec::new(),
        waiting: Waiting::new(shared.options()),
    };
    let mut roots = VecDeque::new();
    let mut count = 0_usize;
    for block in inputs.chunks(BLOCK) {
        let known: Vec<LastKernel> = roots.iter().copied().collect();
        let look = |input| look(input, shared, &known, asking, &all.waiting);
        let looked: Vec<(Facts, Look)> = pool.install(|| block.par_iter().map(look).collect());
        for (input, (facts, look)) in block.iter().zip(looked) {
            if let Look::Kernel(found) = &look {
                remember(&mut roots, found.last());
            }
            all.add(input, facts, look);
        }
        count = count.saturating_add(block.len());
        done(count);
    }
    pool.install(|| all.find_profiles(shared, asking));
    all
}

/// What the file says without its kernel.
#[derive(Default)]
struct Facts {
    id: Option<String>,
    bytes: Option<u64>,
    format: Option<&'static str>,
}

enum Look {
    Kernel(Box<Located>),
    /// A snapshot, or what must be taken for one, and nothing could be found in it.
    Failed(String),
    /// No snapshot.
    Other(String),
}

fn look(
    input: &Input,
    shared: &Shared,
    roots: &[LastKernel],
    asking: &Asking,
    waiting: &Waiting,
) -> (Facts, Look) {
    let deadline = Deadline::new(asking.time_limit);
    let mut facts = Facts::default();
    if let Some(problem) = input.problem() {
        return (facts, Look::Failed(problem));
    }
    let looked = fence(|| {
        let opened = Opened::open(&input.path, shared.options(), deadline.clone());
        if let Some(why) = deadline.gave_up("it was opened") {
            return Look::Failed(why);
        }
        let mut opened = match opened {
            Ok(opened) => opened,
            Err(error) if is_none(&input.path, None, &error) => {
                return Look::Other(error.to_string());
            }
            Err(error) => return Look::Failed(error.to_string()),
        };
        let info = &opened.snapshot.info;
        let format = info.format;
        facts.format = Some(format.name());
        facts.bytes = Some(info.file_bytes);
        let reach = asking.sessions.reach.as_deref();
        let distant = reach.is_some_and(|reach| reach.open(&info.file).is_some());
        let id = if asking.hash && distant {
            let text = "an id of all its bytes would read all of them; leave out --hash";
            Err(io::Error::other(text))
        } else if asking.hash {
            let mut digest = Sha256::new();
            let over = || deadline.over().is_some();
            sum(&info.file, &mut digest, over).map(|()| shown(digest, 16))
        } else {
            Identity::reached(&info.file, reach).map(sampled)
        };
        if let Some(why) = deadline.gave_up("its bytes were summed") {
            return Look::Failed(why);
        }
        match id {
            Ok(id) => facts.id = Some(id),
            Err(error) => {
                return Look::Failed(format!("{}: {error}", osier_text::path(&input.path)));
            }
        }
        let located = opened.search(|snapshot| shared.locate(snapshot, roots));
        if let Some(why) = deadline.gave_up("a kernel was found") {
            return Look::Failed(why);
        }
        match located {
            Ok(located) => {
                waiting.keep(&input.path, opened);
                Look::Kernel(Box::new(located))
            }
            Err(error) if is_none(&input.path, Some(format), &error) => {
                Look::Other(error.to_string())
            }
            Err(error) => Look::Failed(error.to_string()),
        }
    });
    (facts, looked.unwrap_or_else(Look::Failed))
}

/// What tells snapshots apart: 16 hexadecimal digits made of the file's size, time and sampled pages, or
/// with `hash` 32 made of all its bytes. A copy that keeps its time is the same snapshot. What is no file is
/// reached by `reach`, and of that there is no sum of all bytes.
///
/// # Errors
///
/// The file cannot be read, or is not a regular file and `hash` was asked for.
pub fn id(file: &Path, reach: Option<&dyn Reach>, hash: bool) -> io::Result<String> {
    if hash {
        let mut digest = Sha256::new();
        sum(file, &mut digest, || false)?;
        return Ok(shown(digest, 16));
    }
    Ok(sampled(Identity::reached(file, reach)?))
}

fn sampled(identity: Identity) -> String {
    let mut digest = Sha256::new();
    for word in identity.content() {
        digest.update(word.to_le_bytes());
    }
    shown(digest, 8)
}

/// Sums all bytes of `file`, or those before it is `over`.
fn sum(file: &Path, digest: &mut Sha256, over: impl Fn() -> bool) -> io::Result<()> {
    let mut file = fs::File::open(file)?;
    let mut piece = vec![0; 1 << 20];
    while !over() {
        let count = file.read(&mut piece)?;
        if count == 0 {
            break;
        }
        digest.update(piece.get(..count).unwrap_or_default());
    }
    Ok(())
}

/// The first `bytes` of a sum, in hexadecimal digits.
fn shown(digest: Sha256, bytes: usize) -> String {
    hex(digest.finalize().get(..bytes).unwrap_or_default())
}

/// Puts `root` before the others, and forgets the one that was not met for longest.
fn remember(roots: &mut VecDeque<LastKernel>, root: LastKernel) {
    roots.retain(|known| *known != root);
    roots.push_front(root);
    roots.truncate(ROOTS);
}

impl Identified {
    fn add(&mut self, input: &Input, facts: Facts, look: Look) {
        let outcome = match look {
            Look::Kernel(located) => Outcome::Kernel {
                number: self.kernel(input, &located),
                last: located.last(),
            },
            Look::Failed(why) => Outcome::None(Status::Failed, why),
            Look::Other(_) if !input.named => {
                self.others.push(input.clone());
                return;
            }
            Look::Other(why) => Outcome::None(Status::Skipped, why),
        };
        self.subjects.push(Subject {
            input: input.clone(),
            id: facts.id,
            bytes: facts.bytes,
            format: facts.format,
            outcome,
        });
    }

    /// The number of the kernel that was found.
    fn kernel(&mut self, input: &Input, located: &Located) -> usize {
        let mut banner = String::new();
        escape_bytes(&located.banner(), &mut banner);
        let build_id = located.build_id().map(ToString::to_string);
        let same = |kernel: &Kernel| kernel.banner == banner && kernel.build_id == build_id;
        let number = self.kernels.iter().position(same).unwrap_or_else(|| {
            self.kernels.push(Kernel {
                banner,
                build_id,
                snapshots: 0,
                profile: Err(String::new()),
                sources: Vec::new(),
            });
            self.kernels.len().saturating_sub(1)
        });
        if let Some(kernel) = self.kernels.get_mut(number) {
            kernel.snapshots = kernel.snapshots.saturating_add(1);
            if kernel.sources.len() < SOURCES {
                kernel.sources.push((input.clone(), located.last()));
            }
        }
        number
    }

    fn find_profiles(&mut self, shared: &Shared, asking: &Asking) {
        let found: Vec<_> = self
            .kernels
            .par_iter()
            .map(|kernel| profile(kernel, shared, asking, &self.waiting))
            .collect();
        for (kernel, found) in self.kernels.iter_mut().zip(found) {
            kernel.profile = found;
        }
    }
}

/// The profile of a kernel, read out of the first of its snapshots that gives one when it is not
/// in the store.
fn profile(
    kernel: &Kernel,
    shared: &Shared,
    asking: &Asking,
    waiting: &Waiting,
) -> Result<(Arc<Profile>, ProfileSource), String> {
    let mut why = None;
    let mut damaged = None;
    for (input, last) in &kernel.sources {
        let deadline = Deadline::new(asking.time_limit);
        let tried = fence(|| {
            let mut opened = waiting.take(&input.path, deadline)?;
            let found = opened.search(|snapshot| {
                let located = shared.locate(snapshot, std::slice::from_ref(last))?;
                let found = shared.profile(snapshot, &located)?;
                let fits = Shared::fits(snapshot, &located, &found.0);
                Ok::<_, Error>((found, fits))
            });
            let over = opened.deadline.gave_up("its symbols were read");
            waiting.keep(&input.path, opened);
            Ok::<_, Error>((found?, over))
        });
        match tried {
            Ok(Ok((_, Some(over)))) => why = why.or(Some(over)),
            Ok(Ok(((found, fits), None))) => {
                if fits && found.0.damage().is_empty() && !found.0.inferred() {
                    return Ok(found);
                }
                // This snapshot is damaged: another of this kernel may have its types and symbols whole.
                damaged = damaged.or(Some(found));
            }
            Ok(Err(error)) => why = why.or(Some(error.to_string())),
            Err(panicked) => why = why.or(Some(panicked)),
        }
    }
    damaged.ok_or_else(|| why.unwrap_or_default())
}
