//! Golden rows: the answers of a snapshot, kept as files beside it, for CI.
//!
//! `DIR/NAME/TABLE.jsonl` holds what `osier TABLE --format jsonl` writes of the snapshot called
//! `NAME` (its file's name without the extension). [`Golden::check`] asks again and compares, row by row
//! and field by field; [`Golden::update`] writes the files again.

mod compare;
mod finding;
mod github;
mod ignore;
mod junit;
mod row;
mod verdict;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use osier::Osi;
use osier::ask::{Question, Transcript, transcript};

pub use compare::{Change, Difference, compare};
pub use finding::{Finding, What};
pub use github::annotation;
pub use ignore::{Ignore, IgnoreError};
pub use junit::{Case, Suite, junit};
pub use verdict::{NO_FILE, Verdict};

/// The golden files of one snapshot.
#[derive(Clone, Debug)]
pub struct Golden {
    /// The folder of all golden files.
    root: PathBuf,
    /// The snapshot's own in it.
    folder: PathBuf,
}

/// Why golden files cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GoldenError {
    /// A golden file is there and cannot be read, or cannot be written.
    #[error("{file}: {source}", file = osier_text::path(file))]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of a golden file is no JSON object.
    #[error("{file}:{line}: no row: {source}; --update writes the file again", file = osier_text::path(file))]
    Row {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// The snapshot's name cannot be a folder's in the golden one.
    #[error(
        "{snapshot}: {name:?} cannot be the name of a folder of golden rows; give the snapshot a name \
         that does not begin with a dot",
        snapshot = osier_text::path(snapshot)
    )]
    Name {
        /// The snapshot.
        snapshot: PathBuf,
        /// Its name without the extension.
        name: String,
    },
    /// The golden file lies behind a link that leads out of the golden folder.
    #[error("{file}: it lies outside of the golden folder; nothing is written there", file = osier_text::path(file))]
    Outside {
        /// The file.
        file: PathBuf,
    },
    /// The list is empty, which means that it was not found.
    #[error("the {0} list is empty, which no running system's is")]
    Empty(&'static str),
}

impl Golden {
    /// The golden files of the snapshot at `path`, below `golden`.
    ///
    /// # Errors
    ///
    /// [`GoldenError::Name`]: the snapshot's name cannot name a folder, as of `...elf`, which would
    /// be the one above.
    pub fn of(golden: &Path, path: &Path) -> Result<Self, GoldenError> {
        let name = path.file_stem().unwrap_or_default();
        if name.is_empty() || name.as_encoded_bytes().starts_with(b".") {
            return Err(GoldenError::Name {
                snapshot: path.to_owned(),
                name: osier_text::visible_bytes(name.as_encoded_bytes()),
            });
        }
        Ok(Self {
            root: golden.to_owned(),
            folder: golden.join(name),
        })
    }

    /// The folder of the files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The golden file of `question`.
    pub fn file(&self, question: Question) -> PathBuf {
        self.folder.join(format!("{}.jsonl", question.word()))
    }

    /// The questions to ask when nobody says which: [`Question::USUAL`], and any other one that has a
    /// golden file.
    pub fn questions(&self) -> Vec<Question> {
        let wanted = |question: &Question| {
            Question::USUAL.contains(question) || self.file(*question).is_file()
        };
        Question::ALL.into_iter().filter(wanted).collect()
    }

    /// Holds `answer` against the golden file of `question`, but for the fields to `ignore`.
    ///
    /// # Errors
    ///
    /// [`GoldenError`], when the file is there and cannot be read.
    pub fn check(
        &self,
        question: Question,
        answer: &Transcript,
        ignore: &mut Ignore,
    ) -> Result<Verdict, GoldenError> {
        let file = self.file(question);
        let golden = match read(&file) {
            Ok(golden) => golden,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Verdict::Missing),
            Err(source) => return Err(GoldenError::File { file, source }),
        };
        let differences = compare(question, &golden, &answer.lines, ignore)
            .map_err(|(line, source)| GoldenError::Row { file, line, source })?;
        Ok(if differences.is_empty() {
            Verdict::Same
        } else {
            Verdict::Differs(differences)
        })
    }

    /// Writes `answer` as the golden file of `question`: the whole file or nothing of it, and never
    /// one outside of the golden folder. Says whether the file had to change.
    ///
    /// # Errors
    ///
    /// [`GoldenError::File`], [`GoldenError::Outside`].
    pub fn update(&self, question: Question, answer: &Transcript) -> Result<bool, GoldenError> {
        let file = self.file(question);
        let text: String = answer.lines.iter().flat_map(|line| [line, "\n"]).collect();
        let write = || {
            if read(&file).is_ok_and(|old| old == text) {
                return Ok(Some(false));
            }
            if fs::metadata(&file).is_ok_and(|old| !old.is_file()) {
                return Err(not_plain());
            }
            fs::create_dir_all(&self.folder)?;
            if !self.holds(&file)? {
                return Ok(None);
            }
            osier_file::write(&file, &text)?;
            Ok(Some(true))
        };
        match write() {
            Ok(Some(changed)) => Ok(changed),
            Ok(None) => Err(GoldenError::Outside { file }),
            Err(source) => Err(GoldenError::File { file, source }),
        }
    }

    /// Whether what would be written as `file` lies in the golden folder, wherever links lead.
    fn holds(&self, file: &Path) -> io::Result<bool> {
        let root = fs::canonicalize(&self.root)?;
        let place = fs::canonicalize(&self.folder)?;
        let inside = |place: &Path| place.starts_with(&root);
        // A link that leads nowhere yet would lead there then.
        let led = !file.is_symlink() || fs::canonicalize(file).is_ok_and(|place| inside(&place));
        Ok(led && inside(&place))
    }
}

/// Asks `question`.
///
/// # Errors
///
/// [`GoldenError::Empty`]: a golden file without processes would pass for ever.
pub fn answer(osi: &dyn Osi, question: Question) -> Result<Transcript, GoldenError> {
    let answer = transcript(osi, question);
    let never_empty = [Question::Processes, Question::Handles, Question::Threads];
    if answer.rows == 0 && never_empty.contains(&question) {
        return Err(GoldenError::Empty(question.word()));
    }
    Ok(answer)
}

/// The text of a golden file. A pipe, which may never give any, is refused.
fn read(file: &Path) -> io::Result<String> {
    if fs::metadata(file)?.is_file() {
        return fs::read_to_string(file);
    }
    Err(not_plain())
}

fn not_plain() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "no plain file")
}
