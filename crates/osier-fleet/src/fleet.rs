//! Both passes: identify every snapshot, then ask in a pool of threads. Answers come in the order
//! of the inputs.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use osier::Shared;
use osier::format::{escape_bytes, hex};
use osier::osier_profile::Profile;
use rayon::{ThreadPool, ThreadPoolBuilder};
use sha2::{Digest, Sha256};

use crate::answer::{Answer, Found, answer};
use crate::identify::{Identified, Outcome, Subject, identify};
use crate::inputs::{Input, gather, gather_below};
use crate::manifest::{Entry, Status};
use crate::options::RunOptions;
use crate::part::Part;
use crate::table::{Shape, Table};
use crate::{Asking, Event, RunError, Summary};

/// Answers that may wait for an earlier one, for each job.
const AHEAD: usize = 4;

/// The stack of a job's thread, as large as a program's first one usually is.
const STACK: usize = 8 << 20;

/// Snapshots that have been identified, and what is asked of them.
pub(crate) struct Fleet<'a> {
    asking: &'a Asking,
    shared: Shared,
    pool: ThreadPool,
    identified: Identified,
    /// Of a part: the inputs of the whole, and the sum of their names.
    list: Option<(usize, String)>,
    tables: Vec<Table>,
}

/// What these paths name, called as `asking` says.
fn gathered(paths: &[PathBuf], asking: &Asking) -> Result<Vec<Input>, RunError> {
    let reach = asking.sessions.reach.as_deref();
    match &asking.root {
        Some(root) => gather_below(paths, root, reach),
        None => Ok(gather(paths, reach)),
    }
}

/// The sum of the names of all inputs, in their order.
fn sum(inputs: &[Input]) -> String {
    let mut digest = Sha256::new();
    for input in inputs {
        digest.update((input.name.len() as u64).to_le_bytes());
        digest.update(input.name.as_bytes());
        digest.update([u8::from(input.named)]);
    }
    hex(digest.finalize().get(..16).unwrap_or_default())
}

/// The sum of what a profile says of a kernel.
fn profile_sum(profile: &Profile) -> String {
    let (types, symbols, constants) = (profile.types(), profile.symbols(), profile.constants());
    let said = format!("{types:?} {symbols:?} {constants:?}");
    hex(Sha256::digest(said).get(..16).unwrap_or_default())
}

impl<'a> Fleet<'a> {
    /// The first pass over what these paths name.
    pub(crate) fn identify(
        paths: &[PathBuf],
        asking: &'a Asking,
        shape: Shape,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Self, RunError> {
        Self::of(gathered(paths, asking)?, asking, shape, watch)
    }

    /// The first pass over these inputs.
    pub(crate) fn of(
        mut inputs: Vec<Input>,
        asking: &'a Asking,
        shape: Shape,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Self, RunError> {
        let shared = Shared::new(&asking.sessions)?;
        let pool = ThreadPoolBuilder::new()
            .num_threads(asking.jobs.min(Asking::most_jobs()))
            .stack_size(STACK)
            .thread_name(|number| format!("job {number}"))
            .build()?;
        let mut list = None;
        if let Some(shard) = asking.shard {
            list = Some((inputs.len(), sum(&inputs)));
            inputs = inputs.drain(shard.range(inputs.len())).collect();
        }
        let identified = identify(&inputs, &shared, asking, &pool, &mut |done| {
            let of = inputs.len();
            watch(Event::Identified { done, of });
        });
        // A part may be without snapshots where the whole is not.
        if identified.subjects.is_empty() && list.is_none() {
            return Err(RunError::Nothing {
                looked: inputs.len(),
            });
        }
        for kernel in &identified.kernels {
            if let Err(why) = &kernel.profile {
                let snapshots = kernel.snapshots;
                watch(Event::Missing { why, snapshots });
            }
        }
        let questions = asking.questions.iter();
        Ok(Self {
            asking,
            shared,
            pool,
            identified,
            list,
            tables: questions.map(|&asked| Table::new(asked, shape)).collect(),
        })
    }

    /// The tables, in the order of the questions.
    pub(crate) fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// What a part of a run says of itself before it has files; `None` of a whole run.
    pub(crate) fn part(&self, options: &RunOptions) -> Option<Part> {
        let (inputs, list) = self.list.clone()?;
        let kernels = self.identified.kernels.iter().filter_map(|kernel| {
            let (profile, _) = kernel.profile.as_ref().ok()?;
            let build = kernel.build_id.as_deref().unwrap_or_default();
            let name = format!("{} {build}", kernel.banner);
            Some((name, profile_sum(profile)))
        });
        Some(Part {
            shard: self.asking.shard?,
            run: options.whole(inputs, list),
            kernels: kernels.collect(),
            files: BTreeMap::new(),
        })
    }

    pub(crate) fn pool(&self) -> &ThreadPool {
        &self.pool
    }

    /// The snapshots, in the order of the inputs.
    pub(crate) fn subjects(&self) -> &[Subject] {
        &self.identified.subjects
    }

    /// The file of the subject of this number.
    pub(crate) fn path(&self, number: usize) -> &Path {
        let subject = self.subjects().get(number);
        subject.map_or(Path::new(""), |subject| &subject.input.path)
    }

    /// A summary that counts no snapshot yet.
    pub(crate) fn summary(&self) -> Summary {
        let others = self.identified.others.iter();
        Summary {
            others: others.map(|input| input.path.clone()).collect(),
            ..Summary::default()
        }
    }

    /// The second pass, from subject number `first` on: hands what each gives to `take`, with its
    /// number and in the order of the subjects.
    ///
    /// No job is begun after `take` wants no more. No more jobs are begun than may wait for the earliest one that is not finished, so that the
    /// answers in memory are few however long that one takes.
    pub(crate) fn answers(
        &self,
        first: usize,
        take: &mut dyn FnMut(usize, Answer) -> Result<ControlFlow<()>, RunError>,
    ) -> Result<(), RunError> {
        let subjects = self.subjects();
        let ahead = self.pool.current_num_threads().saturating_mul(AHEAD);
        let (send, receive) = mpsc::channel();
        self.pool.in_place_scope(|scope| {
            let mut waiting = BTreeMap::new();
            let mut coming = subjects.iter().enumerate().skip(first);
            let mut next = first;
            let mut begun = first;
            while next < subjects.len() {
                while begun.saturating_sub(next) < ahead
                    && let Some((number, subject)) = coming.next()
                {
                    let send = send.clone();
                    scope.spawn(move |_| {
                        // Nobody listens any more when the run is being given up.
                        let _ = send.send((number, self.read(subject)));
                    });
                    begun = number.saturating_add(1);
                }
                while let Some(answer) = waiting.remove(&next) {
                    if take(next, answer)?.is_break() {
                        return Ok(());
                    }
                    next = next.saturating_add(1);
                }
                if next < begun
                    && !waiting.contains_key(&next)
                    && let Ok((number, answer)) = receive.recv()
                {
                    waiting.insert(number, answer);
                }
            }
            Ok(())
        })
    }

    /// What comes of one snapshot.
    fn read(&self, subject: &Subject) -> Answer {
        let mut path = String::new();
        escape_bytes(&osier_text::path_bytes(&subject.input.path), &mut path);
        let mut entry = Entry {
            snapshot: subject.input.name.clone(),
            id: subject.id.clone(),
            path,
            bytes: subject.bytes,
            format: subject.format,
            kernel: None,
            build_id: None,
            profile: None,
            status: Status::Failed,
            doubts: Vec::new(),
            why: Vec::new(),
            asked: Vec::new(),
            elapsed: Duration::ZERO,
        };
        let without_rows = |mut entry: Entry, status, why: &str| {
            entry.fail(why.to_owned());
            entry.status = status;
            Answer {
                entry,
                rows: Vec::new(),
            }
        };
        let (number, last) = match &subject.outcome {
            Outcome::Kernel { number, last } => (*number, *last),
            Outcome::None(status, why) => return without_rows(entry, *status, why),
        };
        let Some(kernel) = self.identified.kernels.get(number) else {
            return without_rows(entry, Status::Failed, "its kernel was not identified");
        };
        entry.kernel = Some(kernel.banner.clone());
        entry.build_id.clone_from(&kernel.build_id);
        match &kernel.profile {
            Err(why) => without_rows(entry, Status::Failed, why),
            Ok((profile, source)) => {
                entry.profile = Some(source.to_string());
                let found = Found {
                    last,
                    profile,
                    source,
                };
                answer(
                    &subject.input,
                    &found,
                    entry,
                    (&self.shared, &self.identified.waiting),
                    &self.tables,
                    self.asking,
                )
            }
        }
    }
}
