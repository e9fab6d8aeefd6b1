//! Where answers go: the tables and the journal, in the order of the inputs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read, Seek, SeekFrom, Write};
use std::mem;
use std::path::{Path, PathBuf};

use osier::ask::Question;
use rayon::ThreadPool;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::answer::Answer;
use crate::file_format::FileFormat;
use crate::identify::Subject;
use crate::journal::{Done, Journal, Part as Got, Refused};
use crate::manifest::{Entry, Status};
use crate::part::{PART, Part};
use crate::rows::Piece;
use crate::shard::Shard;
use crate::{RunError, RunOptions, TableFormat};

/// The folder in the run's own where it keeps what is not finished.
const WORK: &str = ".osier-run";

const JOURNAL: &str = "journal";
pub(crate) const MANIFEST: &str = "manifest.jsonl";
const RESERVE: &str = "reserve";

/// Bytes that are set aside at least, and for each snapshot, so that a full disk leaves room for the
/// journal and the manifest to say so, and for what stands after the last row.
const RESERVED: usize = 1 << 20;
const RESERVED_EACH: usize = 4 << 10;

/// The most snapshots whose rows wait to be written together.
pub(crate) const TOGETHER: usize = 4096;

/// The tables of a run and its journal.
pub(crate) struct Output<'a> {
    out: PathBuf,
    work: PathBuf,
    /// Bytes that are set aside.
    reserved: usize,
    pool: &'a ThreadPool,
    formats: &'a [FileFormat<'a>],
    files: Vec<TableFile>,
    /// What a part of a run is to say of itself.
    part: Option<Part>,
    journal: Journal,
    /// Rows that are written together, at least; `None` when each snapshot is written at once.
    row_group: Option<usize>,
    /// What waits to be written.
    waiting: Vec<Answer>,
    /// Rows that wait.
    rows: usize,
}

/// The file that a table's rows are added to.
struct TableFile {
    path: PathBuf,
    file: File,
    len: u64,
    /// Of what was added since something was last noted as finished.
    crc: crc32fast::Hasher,
}

impl<'a> Output<'a> {
    /// Begins, or goes on where an interrupted run was. Gives how the first of `subjects`, which
    /// are finished, ended.
    pub(crate) fn open(
        options: &RunOptions,
        pool: &'a ThreadPool,
        formats: &'a [FileFormat<'a>],
        subjects: &[Subject],
        part: Option<Part>,
    ) -> Result<(Self, Vec<Status>), RunError> {
        let out = options.out.clone();
        let work = Self::work(&out, options.asking.shard);
        let failed = |source| write_error(&work, source);
        let not_begun = |source| RunError::Begin {
            path: work.clone(),
            source,
        };
        // What a run wrote has its manifest beside it, or what an interrupted one works in.
        let names = Self::names(formats, options.asking.shard);
        let places: Vec<_> = names
            .map(|(name, place)| (name == MANIFEST, out.join(place)))
            .collect();
        if fs::symlink_metadata(&work).is_ok_and(|meta| !meta.is_dir()) {
            // A link would have another folder cleared.
            return Err(not_begun(io::ErrorKind::NotADirectory.into()));
        }
        if !work.join(JOURNAL).exists() {
            refuse_foreign(&places)?;
        }
        if options.fresh && work.exists() {
            clear(&work).map_err(not_begun)?;
        }
        fs::create_dir_all(&work).map_err(not_begun)?;
        let opened = Journal::open(&work.join(JOURNAL), &options.fingerprint());
        let (journal, mut done) = opened.map_err(|refused| match refused {
            Refused::Other => RunError::OtherRun(out.clone()),
            Refused::Io(source) => failed(source),
        })?;
        let reserved = subjects.len().saturating_mul(RESERVED_EACH).max(RESERVED);
        set_aside(&work, reserved).map_err(failed)?;
        done.truncate(still(&done, subjects));
        let mut output = Self {
            out,
            work: work.clone(),
            reserved,
            pool,
            formats,
            files: Vec::new(),
            part,
            journal,
            row_group: options.to.has_row_groups().then_some(options.row_group),
            waiting: Vec::new(),
            rows: 0,
        };
        let finishing = output.journal.is_finishing()
            && done.len() == subjects.len()
            && output.unnamed_are_whole(&done);
        if !finishing {
            output.go_on(&mut done).map_err(failed)?;
        }
        Ok((output, done.iter().map(|done| done.status).collect()))
    }

    /// Opens the tables and cuts them, and the journal, to what is finished and whole.
    fn go_on(&mut self, done: &mut Vec<Done>) -> io::Result<()> {
        for format in self.formats {
            let path = self.work.join(format.file());
            self.files.push(TableFile::open(path)?);
        }
        for (number, file) in self.files.iter().enumerate() {
            let whole = whole_parts(&file.path, done, number)?;
            done.truncate(whole);
        }
        while done.last().is_some_and(|last| last.parts.is_none()) {
            done.pop();
        }
        self.journal.keep(done.last())?;
        let kept = done.last().and_then(|last| last.parts.as_ref());
        for (number, (file, format)) in self.files.iter_mut().zip(self.formats).enumerate() {
            if let Some(part) = kept.and_then(|parts| parts.get(number)) {
                file.cut(part.end)?;
            } else {
                file.cut(0)?;
                file.append(format.header().as_bytes())?;
            }
        }
        Ok(())
    }

    /// Whether the tables that have no name yet hold what the journal says of them.
    fn unnamed_are_whole(&self, done: &[Done]) -> bool {
        self.formats.iter().enumerate().all(|(number, format)| {
            let path = self.work.join(format.file());
            !path.exists()
                || whole_parts(&path, done, number).is_ok_and(|whole| whole == done.len())
        })
    }

    /// Takes what one snapshot gave, and writes it when enough waits to be written together. Gives
    /// the entries of the snapshots that are written now.
    pub(crate) fn write(&mut self, answer: Answer) -> Result<Vec<Entry>, RunError> {
        self.rows = self.rows.saturating_add(answer.entry.rows());
        self.waiting.push(answer);
        let rows = self.row_group.unwrap_or(0);
        if self.rows >= rows || self.waiting.len() >= TOGETHER {
            self.flush()
        } else {
            Ok(Vec::new())
        }
    }

    /// Writes what waits, and notes it as finished. Rows that cannot be written make their
    /// snapshots failed; the tables are then as before.
    pub(crate) fn flush(&mut self) -> Result<Vec<Entry>, RunError> {
        self.rows = 0;
        let (mut entries, rows): (Vec<_>, Vec<_>) = mem::take(&mut self.waiting)
            .into_iter()
            .map(|answer| (answer.entry, answer.rows))
            .unzip();
        let before: Vec<_> = self
            .files
            .iter()
            .map(|file| (file.len, file.crc.clone()))
            .collect();
        let appended = self.append(rows);
        if let Err(error) = &appended {
            for (file, (len, crc)) in self.files.iter_mut().zip(before) {
                file.cut(len)
                    .map_err(|source| write_error(&file.path, source))?;
                file.crc = crc;
            }
            let _ = fs::remove_file(self.work.join(RESERVE));
            for entry in entries.iter_mut().filter(|entry| entry.rows() > 0) {
                entry.fail(format!("its rows could not be written: {error}"));
            }
        }
        let parts: Vec<Got> = self.files.iter_mut().map(TableFile::part).collect();
        let lines: Vec<String> = entries.iter().map(Entry::json).collect();
        let mut noted = self.journal.note(&parts, &lines);
        let full = noted.is_err();
        if full {
            // The rows took the last of the disk, and the line about them is what was reserved for.
            let _ = fs::remove_file(self.work.join(RESERVE));
            noted = self.journal.note(&parts, &lines);
        }
        noted.map_err(|source| write_error(&self.work.join(JOURNAL), source))?;
        if appended.is_err() || full {
            // What the journal left of it is still needed at the end: no rows may take it.
            let _ = set_aside(&self.work, self.reserved);
        }
        Ok(entries)
    }

    /// Adds to each table the rows of these snapshots.
    fn append(&mut self, snapshots: Vec<Vec<Piece>>) -> io::Result<()> {
        let mut pieces: Vec<Vec<Piece>> = self.formats.iter().map(|_| Vec::new()).collect();
        for snapshot in snapshots {
            for (of_table, piece) in pieces.iter_mut().zip(snapshot) {
                of_table.push(piece);
            }
        }
        let encode = |(format, pieces): (&FileFormat<'_>, Vec<Piece>)| format.encode(pieces);
        let encoded: Vec<Vec<u8>> = if self.row_group.is_none() {
            // Text is only put down: that is no work for another thread.
            let formats = self.formats.iter().zip(pieces);
            formats.map(encode).collect::<io::Result<_>>()?
        } else {
            let formats: Vec<_> = self.formats.iter().zip(pieces).collect();
            self.pool.install(|| {
                formats
                    .into_par_iter()
                    .map(encode)
                    .collect::<io::Result<_>>()
            })?
        };
        for (file, bytes) in self.files.iter_mut().zip(&encoded) {
            file.append(bytes)?;
        }
        Ok(())
    }

    /// Completes the tables and gives all files their names; what had them before is replaced.
    pub(crate) fn finish(mut self) -> Result<(), RunError> {
        let out = self.out.clone();
        let failed = |source| write_error(&out, source);
        let _ = fs::remove_file(self.work.join(RESERVE));
        if !self.journal.is_finishing() {
            for file in &self.files {
                file.file.sync_data().map_err(failed)?;
            }
            for (format, file) in self.formats.iter().zip(&self.files) {
                format.complete(&file.path).map_err(failed)?;
            }
            self.tell_part().map_err(failed)?;
            self.journal.finish().map_err(failed)?;
        }
        self.journal
            .manifest(&self.work.join(MANIFEST))
            .map_err(failed)?;
        let shard = self.part.as_ref().map(|part| part.shard);
        for (name, place) in Self::names(self.formats, shard) {
            let from = self.work.join(name);
            // Whoever was interrupted here gave some of them their names.
            if from.exists() {
                let to = self.out.join(place);
                osier_file::name(&from, &to).map_err(|source| write_error(&to, source))?;
            }
        }
        self.journal.remove().map_err(failed)?;
        clear(&self.work).map_err(failed)
    }

    /// Writes what a part says of itself, once its tables are complete.
    fn tell_part(&mut self) -> io::Result<()> {
        let Some(part) = &mut self.part else {
            return Ok(());
        };
        self.journal.manifest(&self.work.join(MANIFEST))?;
        let tables = self.formats.iter().map(FileFormat::file);
        for name in tables.chain([MANIFEST.to_owned()]) {
            let path = self.work.join(&name);
            part.add(name, &path)?;
        }
        part.write(&self.work.join(PART))
    }

    /// The folder in the run's own where it keeps what is not finished, of a part its own.
    pub(crate) fn work(out: &Path, shard: Option<Shard>) -> PathBuf {
        match shard {
            None => out.join(WORK),
            Some(shard) => out.join(format!("{WORK}-{}-of-{}", shard.number(), shard.of())),
        }
    }

    /// The files that a run writes: what each is called in the folder where it works, and where it lies in the
    /// run's own in the end.
    pub(crate) fn names(
        formats: &[FileFormat<'_>],
        shard: Option<Shard>,
    ) -> impl Iterator<Item = (String, PathBuf)> {
        let tables = formats.iter().map(FileFormat::file);
        let part = shard.map(|_| PART.to_owned());
        let all = tables.chain([MANIFEST.to_owned()]).chain(part);
        all.map(move |name| {
            let place = shard.map_or_else(|| PathBuf::from(&name), |shard| shard.place(&name));
            (name, place)
        })
    }

    /// The tables in the folder `out` that a run of `formats` does not write.
    pub(crate) fn stale(out: &Path, formats: &[FileFormat<'_>]) -> Vec<PathBuf> {
        let own: Vec<String> = formats.iter().map(FileFormat::file).collect();
        let words = Question::ALL.iter().copied().map(Question::word);
        let names = words.flat_map(|word| {
            let ending = move |format: &TableFormat| format!("{word}.{}", format.extension());
            TableFormat::ALL.iter().map(ending)
        });
        let others = names.filter(|name| !own.contains(name));
        others
            .map(|name| out.join(name))
            .filter(|path| path.exists())
            .collect()
    }
}

/// Refuses to write over a file that no run wrote: of `places`, each of which says whether it is a manifest's,
/// those that are there have a run's manifest among them.
pub(crate) fn refuse_foreign(places: &[(bool, PathBuf)]) -> Result<(), RunError> {
    let ours = |(manifest, place): &(bool, PathBuf)| *manifest && is_manifest(place);
    let mut there = places.iter().filter(|(_, place)| place.exists());
    match there.next() {
        Some((_, file)) if !places.iter().any(ours) => Err(RunError::Foreign(file.clone())),
        _ => Ok(()),
    }
}

/// Whether the file begins as a manifest does: with the entry of a snapshot.
fn is_manifest(file: &Path) -> bool {
    const LINE: u64 = 1 << 20;
    let first = || -> Option<serde_json::Value> {
        let file = File::open(file).ok().filter(|_| file.is_file())?;
        let mut line = Vec::new();
        BufReader::new(file.take(LINE))
            .read_until(b'\n', &mut line)
            .ok()?;
        serde_json::from_slice(&line).ok()
    };
    let status = first().and_then(|entry| Some(entry.get("status")?.as_str()?.to_owned()));
    status.is_some_and(|status| Status::of_word(&status).is_some())
}

/// Removes the folder that runs work in, and the files of theirs in it. One that holds anything else stays.
fn clear(work: &Path) -> io::Result<()> {
    for entry in fs::read_dir(work)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let table = name.split_once('.').is_some_and(|(stem, ending)| {
            Question::of_word(stem).is_some() && TableFormat::of_extension(ending).is_some()
        });
        let ours =
            table || name.starts_with(JOURNAL) || [MANIFEST, PART, RESERVE].contains(&&*name);
        if ours && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    match fs::remove_dir(work) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => removed,
    }
}

/// Takes so many bytes of the disk, or as many as there are.
fn set_aside(work: &Path, bytes: usize) -> io::Result<()> {
    fs::write(work.join(RESERVE), vec![0x5a; bytes])
}

fn write_error(path: &Path, source: io::Error) -> RunError {
    RunError::Write {
        path: path.to_owned(),
        source,
    }
}

impl TableFile {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        let len = file.metadata()?.len();
        let crc = crc32fast::Hasher::new();
        Ok(Self {
            path,
            file,
            len,
            crc,
        })
    }

    /// What was added since this was asked before.
    fn part(&mut self) -> Got {
        Got {
            end: self.len,
            crc: mem::take(&mut self.crc).finalize(),
        }
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.len = len;
        self.file.seek(SeekFrom::Start(len)).map(drop)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.crc.update(bytes);
        self.len = self.len.saturating_add(bytes.len() as u64);
        Ok(())
    }
}

/// How many of the finished snapshots, from the first on, have in the table at `path`, the one of
/// this number, the bytes that were written.
fn whole_parts(path: &Path, done: &[Done], number: usize) -> io::Result<usize> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut at = 0_u64;
    let mut buffer = vec![0; 1 << 16];
    for (nth, one) in done.iter().enumerate() {
        let Some(parts) = &one.parts else { continue };
        let Some(part) = parts.get(number) else {
            return Ok(nth);
        };
        let mut left = part.end.saturating_sub(at);
        let mut crc = crc32fast::Hasher::new();
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(buffer.len());
            let piece = buffer.len().min(most);
            let n = file.read(buffer.get_mut(..piece).unwrap_or_default())?;
            if n == 0 {
                return Ok(nth);
            }
            crc.update(buffer.get(..n).unwrap_or_default());
            left = left.saturating_sub(n as u64);
        }
        if part.end < at || crc.finalize() != part.crc {
            return Ok(nth);
        }
        at = part.end;
    }
    Ok(done.len())
}

/// How many of the finished snapshots, from the first on, are the inputs of now.
fn still(done: &[Done], subjects: &[Subject]) -> usize {
    let same = |(done, subject): &(&Done, &Subject)| {
        done.snapshot == subject.input.name && done.id == subject.id
    };
    done.iter().zip(subjects).take_while(same).count()
}
