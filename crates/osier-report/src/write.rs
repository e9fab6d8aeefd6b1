//! From snapshots to the page.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use osier::Guest;
use osier::ask::Question;
use osier_compare::View;
use osier_compare::timeline::by_clock;
use osier_file::Output;

use crate::bounds::Bounds;
use crate::guest::{Head, section};
use crate::page;
use crate::series;
use crate::tally::{Failed, Told};

/// A snapshot to report of.
pub struct Subject<'a> {
    /// What it is called on the page; no two of one page have one name.
    pub name: String,
    /// Opens it: `None` when it is no snapshot and nobody said that it was, an error in words that name the file. Of
    /// several snapshots each is opened twice, so that none is held.
    pub open: &'a dyn Fn() -> Result<Option<Guest>, String>,
}

/// What each snapshot is called on a page: with nothing that cannot be seen, and no two alike.
pub fn names<'a>(of: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in of {
        let shown = osier_text::visible_again(name).into_owned();
        let mut name = shown.clone();
        let mut number = 1_usize;
        while names.contains(&name) {
            number = number.saturating_add(1);
            name = format!("{shown}#{number}");
        }
        names.push(name);
    }
    names
}

/// What became of a report.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The snapshots on the page, in its order.
    pub snapshots: Vec<Told>,
    /// Those that could not be read.
    pub failed: Vec<Failed>,
    /// Names of those that were no snapshots.
    pub others: Vec<String>,
    /// Whether a series is in the order of the guest's clock; of one snapshot it is.
    pub by_clock: bool,
}

impl Report {
    /// Whether everything that was asked of every snapshot was read.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.snapshots.iter().all(Told::is_complete)
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// None of the snapshots could be read; the first reason.
    #[error("{0}")]
    Nothing(String),
    /// The page could not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The scratch file that the page is made in could not be written.
    #[error("{}: no scratch file for the page: {why}", osier_text::path(.folder))]
    Scratch {
        /// The folder for temporary files.
        folder: PathBuf,
        /// Why.
        why: io::Error,
    },
}

/// Writes what the snapshots say to the page at `path`, which appears when it is whole. Several are in the order of the
/// guest's clock, where each tells it.
///
/// # Errors
///
/// Nothing could be read, or the page could not be written. What is missing of an answer is not an error: the page says it, and so
/// does what is returned.
pub fn write(subjects: &[Subject<'_>], bounds: &Bounds, path: &Path) -> Result<Report, Error> {
    let mut output = Output::create(path)?;
    let mut report = Report {
        by_clock: true,
        ..Report::default()
    };
    let series = subjects.len() > 1;
    let mut views = Vec::new();
    if series {
        views = first_pass(subjects, bounds, &mut report);
        report.by_clock = by_clock(&mut views);
    }
    let mut lists = Spool::new()?;
    let mut events = Spool::new()?;
    let mut heads: Vec<(Head, u64)> = Vec::new();
    let mut earlier: Option<View> = None;
    for subject in in_order(subjects, &views) {
        let Some(guest) = opened(subject, bounds, &mut report) else {
            continue;
        };
        let number = heads.len().saturating_add(1);
        let head = section(&subject.name, number, &guest, bounds, &mut lists.writer)?;
        lists.writer.write_all(b"</section>\n")?;
        heads.push((head, lists.place()?));
        if series && bounds.over().is_none() {
            let view = View::of(subject.name.clone(), &guest, &View::QUESTIONS);
            if let Some(earlier) = &earlier {
                series::differences(earlier, &view, bounds, &mut events.writer)?;
            }
            earlier = Some(view);
        }
    }
    if heads.is_empty() {
        return Err(Error::Nothing(nothing(&report)));
    }
    let (heads, ends): (Vec<Head>, Vec<u64>) = heads.into_iter().unzip();
    let mut page = BufWriter::with_capacity(1 << 16, output.file());
    page.write_all(page::head(&title(&heads), series, &heads).as_bytes())?;
    let mut html = String::new();
    if series {
        page::overview(&heads, &report.failed, &mut html);
        // A snapshot that was there in the first pass alone is on no list of the page.
        views.retain(|view| heads.iter().any(|head| head.tally.told.name == view.label));
        series::timeline(&views, report.by_clock, bounds, &mut html);
        html.push_str(
            "<section id=\"differences\" aria-labelledby=\"differences-h\"><h2 id=\"differences-h\">Differences</h2>\n",
        );
        page.write_all(html.as_bytes())?;
        let all = events.place()?;
        events.copy(0, all, &mut page)?;
        if bounds.over().is_some() {
            page.write_all(crate::list::LATE.as_bytes())?;
        } else if all == 0 {
            page.write_all(b"<p class=\"dim\">None: one snapshot alone could be read.</p>\n")?;
        }
        page.write_all(b"</section>\n")?;
    }
    let mut from = 0;
    for (head, to) in heads.iter().zip(ends) {
        page.write_all(head.html.as_bytes())?;
        lists.copy(from, to, &mut page)?;
        from = to;
    }
    page.write_all(page::tail().as_bytes())?;
    page.flush()?;
    drop(page);
    output.finish()?;
    report.snapshots = heads.into_iter().map(|head| head.tally.told).collect();
    Ok(report)
}

/// Opens every snapshot of a series once, and takes what the timeline needs.
fn first_pass(subjects: &[Subject<'_>], bounds: &Bounds, report: &mut Report) -> Vec<View> {
    let mut views = Vec::new();
    for subject in subjects {
        if let Some(guest) = opened(subject, bounds, report) {
            views.push(View::of(subject.name.clone(), &guest, &[Question::Current]));
        }
    }
    views
}

/// The snapshots in the order of the views; all of them where there are no views.
fn in_order<'s, 'a>(subjects: &'s [Subject<'a>], views: &[View]) -> Vec<&'s Subject<'a>> {
    if subjects.len() < 2 {
        return subjects.iter().collect();
    }
    let named = |view: &View| subjects.iter().find(|one| one.name == view.label);
    views.iter().filter_map(named).collect()
}

/// Opens a snapshot; one that cannot be read, or in whose list of processes nothing is, is noted.
fn opened(subject: &Subject<'_>, bounds: &Bounds, report: &mut Report) -> Option<Guest> {
    let name = || subject.name.clone();
    let mut fail = |why: String| {
        report.failed.push(Failed { name: name(), why });
        None
    };
    if let Some(limit) = bounds.over() {
        let shown = osier_text::visible_again(&subject.name).into_owned();
        return fail(format!(
            "{shown}: stopped: the time limit of {limit:?} was over before it was opened"
        ));
    }
    match (subject.open)() {
        Ok(Some(guest)) => {
            let mut any = false;
            let _ = guest.provider().processes(&mut |_| {
                any = true;
                std::ops::ControlFlow::Break(())
            });
            if any {
                return Some(guest);
            }
            let file = osier_text::path(&guest.info().file);
            fail(format!(
                "{file}: the process list is empty, which no running system's is"
            ))
        }
        Ok(None) => {
            report.others.push(name());
            None
        }
        Err(why) => fail(why),
    }
}

/// Why there is nothing on the page.
fn nothing(report: &Report) -> String {
    match report.failed.as_slice() {
        [first, ..] => first.why.clone(),
        [] => format!("no snapshot among {} files", report.others.len()),
    }
}

/// What the page is called.
fn title(heads: &[Head]) -> String {
    match heads {
        [one] => one.tally.told.name.clone(),
        [_, _, ..] => format!("{} snapshots", heads.len()),
        [] => String::new(),
    }
}

/// Markup that waits in a scratch file for what stands before it.
struct Spool {
    /// Removes the file in the end.
    _output: Output,
    writer: BufWriter<File>,
}

impl Spool {
    fn new() -> Result<Self, Error> {
        let made = Output::scratch().and_then(|mut output| {
            let file = output.file().try_clone()?;
            Ok((output, file))
        });
        match made {
            Ok((output, file)) => Ok(Self {
                _output: output,
                writer: BufWriter::with_capacity(1 << 16, file),
            }),
            Err(why) => Err(Error::Scratch {
                folder: std::env::temp_dir(),
                why,
            }),
        }
    }

    /// How far it is written.
    fn place(&mut self) -> io::Result<u64> {
        self.writer.stream_position()
    }

    /// Writes what stands from `from` to `to`.
    fn copy(&mut self, from: u64, to: u64, into: &mut dyn io::Write) -> io::Result<()> {
        self.writer.flush()?;
        let file = self.writer.get_mut();
        file.seek(SeekFrom::Start(from))?;
        let wanted = to.saturating_sub(from);
        let copied = io::copy(&mut file.take(wanted), into)?;
        if copied == wanted {
            Ok(())
        } else {
            Err(io::Error::other("the scratch file became shorter"))
        }
    }
}
