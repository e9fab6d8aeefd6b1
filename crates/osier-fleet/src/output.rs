//! Where answers go: the tables and the journal, in the order of the inputs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::answer::Answer;
use crate::identify::Subject;
use crate::journal::{Done, Journal, Refused};
use crate::manifest::Status;
use crate::rows::Table;
use crate::{RunError, RunOptions};

/// The folder in the run's own where it keeps what is not finished.
const WORK: &str = ".osier-run";

/// Bytes that are set aside, so that a full disk leaves room for the manifest to say so.
const RESERVE: usize = 1 << 20;

/// The tables of a run and its journal.
pub(crate) struct Output {
    out: PathBuf,
    work: PathBuf,
    tables: Vec<TableFile>,
    journal: Journal,
}

struct TableFile {
    name: String,
    file: File,
    len: u64,
}

impl Output {
    /// Begins, or goes on where an interrupted run was. Gives how the first of `subjects`, which
    /// are finished, ended.
    pub(crate) fn open(
        options: &RunOptions,
        tables: &[Table],
        subjects: &[Subject],
    ) -> Result<(Self, Vec<Status>), RunError> {
        let out = options.out.clone();
        let work = out.join(WORK);
        let in_work = |source| RunError::Write {
            path: work.clone(),
            source,
        };
        if options.fresh && work.exists() {
            fs::remove_dir_all(&work).map_err(in_work)?;
        }
        fs::create_dir_all(&work).map_err(in_work)?;
        let fingerprint = options.fingerprint();
        let opened = Journal::open(&work.join("journal"), &fingerprint);
        let (mut journal, mut done) = opened.map_err(|refused| match refused {
            Refused::Other => RunError::OtherRun(out.clone()),
            Refused::Io(source) => in_work(source),
        })?;
        let reserve = fs::write(work.join("reserve"), vec![0x5a; RESERVE]);
        reserve.map_err(in_work)?;
        if journal.is_finishing() {
            let statuses = done.iter().map(|done| done.status).collect();
            let same = done.len() == subjects.len() && still(&done, subjects) == done.len();
            if same {
                let output = Self {
                    out,
                    work,
                    tables: Vec::new(),
                    journal,
                };
                return Ok((output, statuses));
            }
            done.clear();
        }
        let mut files = Vec::new();
        for table in tables {
            files.push(TableFile::open(&work, table).map_err(in_work)?);
        }
        done.truncate(still(&done, subjects));
        let whole = |done: &Done| {
            let lengths = files.iter().zip(&done.lengths);
            done.lengths.len() == files.len() && lengths.clone().all(|(file, len)| *len <= file.len)
        };
        done.truncate(done.iter().take_while(|done| whole(done)).count());
        journal.keep(done.last()).map_err(in_work)?;
        for (number, (file, table)) in files.iter_mut().zip(tables).enumerate() {
            let kept = done.last().and_then(|last| last.lengths.get(number));
            file.begin(kept.copied(), &table.header())
                .map_err(in_work)?;
        }
        let statuses = done.iter().map(|done| done.status).collect();
        let output = Self {
            out,
            work,
            tables: files,
            journal,
        };
        Ok((output, statuses))
    }

    /// Writes what one snapshot gave, and notes it as finished. Rows that cannot be written make it
    /// failed; the tables are then as before.
    pub(crate) fn write(&mut self, mut answer: Answer) -> Result<Status, RunError> {
        let before: Vec<u64> = self.tables.iter().map(|table| table.len).collect();
        let mut tables = self.tables.iter_mut().zip(&answer.rows);
        let written = tables.try_for_each(|(table, rows)| table.append(rows.as_bytes()));
        if let Err(error) = written {
            for (table, &len) in self.tables.iter_mut().zip(&before) {
                table.cut(len).map_err(|source| RunError::Write {
                    path: self.work.join(&table.name),
                    source,
                })?;
            }
            let _ = fs::remove_file(self.work.join("reserve"));
            answer
                .entry
                .fail(format!("its rows could not be written: {error}"));
        }
        let lengths: Vec<u64> = self.tables.iter().map(|table| table.len).collect();
        let noted = self.journal.note(&lengths, &answer.entry.json());
        noted.map_err(|source| RunError::Write {
            path: self.work.join("journal"),
            source,
        })?;
        Ok(answer.entry.status)
    }

    /// Gives all files their names; what had them before is replaced.
    pub(crate) fn finish(mut self) -> Result<(), RunError> {
        let (work, out) = (self.work.clone(), self.out.clone());
        let failed = |source| RunError::Write {
            path: out.clone(),
            source,
        };
        let _ = fs::remove_file(work.join("reserve"));
        for table in &self.tables {
            table.file.sync_data().map_err(failed)?;
        }
        let manifest = "manifest.jsonl";
        self.journal
            .manifest(&work.join(manifest))
            .map_err(failed)?;
        if !self.journal.is_finishing() {
            self.journal.finish().map_err(failed)?;
        }
        let listed = fs::read_dir(&work).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        for entry in listed.map_err(failed)? {
            let name = entry.file_name();
            if name != "journal" {
                fs::rename(entry.path(), out.join(name)).map_err(failed)?;
            }
        }
        self.journal.remove().map_err(failed)?;
        fs::remove_dir(&work).map_err(failed)
    }
}

impl TableFile {
    fn open(work: &Path, table: &Table) -> io::Result<Self> {
        let name = table.file();
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(work.join(&name))?;
        let len = file.metadata()?.len();
        Ok(Self { name, file, len })
    }

    /// Keeps what is finished; begins with the header when nothing is.
    fn begin(&mut self, kept: Option<u64>, header: &str) -> io::Result<()> {
        self.cut(kept.unwrap_or(0))?;
        match kept {
            Some(_) => Ok(()),
            None => self.append(header.as_bytes()),
        }
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.len = len;
        self.file.seek(SeekFrom::Start(len)).map(drop)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.len = self.len.saturating_add(bytes.len() as u64);
        Ok(())
    }
}

/// How many of the finished snapshots, from the first on, are the inputs of now.
fn still(done: &[Done], subjects: &[Subject]) -> usize {
    let same = |(done, subject): &(&Done, &Subject)| {
        done.snapshot == subject.input.name && done.id == subject.id
    };
    done.iter().zip(subjects).take_while(same).count()
}
