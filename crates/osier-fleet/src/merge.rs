//! The parts of a run, put together to what the whole would have written.
//!
//! Parts are runs of neighbours, so text is put one behind the other. Row groups of Parquet go across
//! the borders of parts, so its rows are read again, snapshot by snapshot, and grouped as a run groups
//! them. Everything is read whole and held against its sum before a file gets its name.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use osier::ask::Question;
use serde_json::Value;

use crate::file_format::FileFormat;
use crate::held::Held;
use crate::manifest::Status;
use crate::output::{MANIFEST, refuse_foreign};
use crate::part::{PARTS, Part};
use crate::shard::Shard;
use crate::table::Table;
use crate::{RunError, Summary, TableFormat};
use groups::Groups;

/// The folder in the merged run's own where files lie that are not whole.
const WORK: &str = ".osier-merge";

/// Why parts could not be put together. Nothing has been given a name then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// A folder holds no part of a run.
    #[error("{folder}: no part of a run is here, as `osier run --shard` leaves one when it is finished", folder = osier_text::path(.0))]
    None(PathBuf),
    /// The file that tells of a part does not, or of one whose tables are not known.
    #[error("{file}: this is not the record of a part that this version of Osier wrote; run the part again with `osier run --shard`", file = osier_text::path(.0))]
    Unknown(PathBuf),
    /// Two parts are of different runs.
    #[error("{one} and {other}: parts of different runs: they have other {what}", one = osier_text::path(one), other = osier_text::path(other))]
    Different {
        /// What tells of one part.
        one: PathBuf,
        /// What tells of the other.
        other: PathBuf,
        /// What they do not have in common.
        what: String,
    },
    /// A part is there twice.
    #[error("part {shard} is there twice: {one} and {other}", one = osier_text::path(one), other = osier_text::path(other))]
    Twice {
        /// The part.
        shard: Shard,
        /// What tells of one.
        one: PathBuf,
        /// What tells of the other.
        other: PathBuf,
    },
    /// Parts are not there: not finished, or in a folder that was not named.
    #[error("{missing} of {of} parts are missing: {first}{more}", more = if *missing > 1 { " and others" } else { "" })]
    Missing {
        /// How many.
        missing: usize,
        /// Parts of the whole.
        of: u32,
        /// The first of them.
        first: Shard,
    },
    /// A file of a part is not what the part says of it.
    #[error("{path}: {why}; run this part again", path = osier_text::path(path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// No part has a snapshot, and the whole would be an error, too.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// A part, and where it lies.
struct There {
    part: Part,
    /// The file that tells of it.
    file: PathBuf,
    folder: PathBuf,
}

impl There {
    /// Where the file of this part lies that a whole run calls `name`.
    fn place(&self, name: &str) -> PathBuf {
        self.folder.join(self.part.shard.place(name))
    }

    fn damaged(&self, name: &str, why: &dyn fmt::Display) -> MergeError {
        MergeError::Damaged {
            path: self.place(name),
            why: why.to_string(),
        }
    }
}

/// Puts the parts in `folders` together and writes tables and manifest into `out`: the bytes that one
/// run over everything would have written, but for the manifest's two fields that no two runs have in
/// common.
///
/// # Errors
///
/// [`MergeError`].
pub fn merge(folders: &[PathBuf], out: &Path) -> Result<Summary, MergeError> {
    let parts = find(folders)?;
    belong_together(&parts)?;
    let run = &parts.first().ok_or_else(|| none(folders))?.part.run;
    let unknown = || {
        MergeError::Unknown(
            parts
                .first()
                .map(|there| there.file.clone())
                .unwrap_or_default(),
        )
    };
    let to = TableFormat::of_extension(&run.to).ok_or_else(unknown)?;
    let questions: Option<Vec<Question>> = run
        .tables
        .iter()
        .map(|word| Question::of_word(word))
        .collect();
    let tables: Vec<Table> = questions
        .ok_or_else(unknown)?
        .into_iter()
        .map(|asked| Table::new(asked, to.shape()))
        .collect();
    let formats: Vec<FileFormat<'_>> = tables
        .iter()
        .map(|table| FileFormat::new(table, to))
        .collect::<io::Result<_>>()
        .map_err(RunError::Schema)?;
    let mut merged = Merged::begin(out, &formats)?;
    merged.lie_apart(&parts)?;
    let row_group = usize::try_from(run.row_group).unwrap_or(usize::MAX);
    let mut groups = Groups::of(&formats, to, row_group);
    let mut summary = Summary::default();
    for there in &parts {
        if groups.is_none() {
            merged.add_text(there)?;
        }
        summary.count_all(merged.add_manifest(there, &mut groups)?);
    }
    if let Some(groups) = &mut groups {
        groups.flush(&mut merged)?;
    }
    if summary.snapshots() == 0 {
        let looked = usize::try_from(run.inputs).unwrap_or(usize::MAX);
        return Err(RunError::Nothing { looked }.into());
    }
    merged.finish()?;
    Ok(summary)
}

fn none(folders: &[PathBuf]) -> MergeError {
    MergeError::None(folders.first().cloned().unwrap_or_default())
}

/// The parts in the folders, in order.
fn find(folders: &[PathBuf]) -> Result<Vec<There>, MergeError> {
    let mut all = Vec::new();
    for folder in folders {
        let said = folder.join(PARTS);
        let listed = fs::read_dir(&said).map_err(|_| MergeError::None(folder.clone()))?;
        let mut files: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|ending| ending == "json"));
        files.sort();
        if files.is_empty() {
            return Err(MergeError::None(folder.clone()));
        }
        for file in files {
            let part = Part::read(&file).ok().flatten();
            let part = part.ok_or_else(|| MergeError::Unknown(file.clone()))?;
            let folder = folder.clone();
            all.push(There { part, file, folder });
        }
    }
    all.sort_by_key(|there| there.part.shard.number());
    Ok(all)
}

/// Whether the parts are all parts of one run.
fn belong_together(parts: &[There]) -> Result<(), MergeError> {
    let Some(first) = parts.first() else {
        return Ok(());
    };
    let of = first.part.shard.of();
    let different = |one: &There, other: &There, what: String| MergeError::Different {
        one: one.file.clone(),
        other: other.file.clone(),
        what,
    };
    for there in parts {
        if there.part.shard.of() != of {
            return Err(different(first, there, "numbers of parts".to_owned()));
        }
        if let Some(what) = first.part.run.differs(&there.part.run) {
            return Err(different(first, there, what.to_owned()));
        }
    }
    let mut profiles: BTreeMap<&str, (&str, &There)> = BTreeMap::new();
    for there in parts {
        for (kernel, sum) in &there.part.kernels {
            let (known, by) = profiles.entry(kernel).or_insert((sum, there));
            if *known != sum {
                let what = format!(
                    "types and symbols of one kernel ({})",
                    osier_text::visible(kernel)
                );
                return Err(different(by, there, what));
            }
        }
    }
    for (one, other) in parts.iter().zip(parts.iter().skip(1)) {
        if one.part.shard == other.part.shard {
            return Err(MergeError::Twice {
                shard: one.part.shard,
                one: one.file.clone(),
                other: other.file.clone(),
            });
        }
    }
    let is_there = |number: u32| {
        let found = parts.binary_search_by_key(&number, |there| there.part.shard.number());
        found.is_ok()
    };
    let missing = (of as usize).saturating_sub(parts.len());
    let first = (1..=of).find(|&number| !is_there(number));
    match first.and_then(|number| Shard::new(number, of)) {
        Some(first) => Err(MergeError::Missing { missing, of, first }),
        None => Ok(()),
    }
}

/// The files that are being written.
struct Merged<'a> {
    out: PathBuf,
    work: PathBuf,
    formats: &'a [FileFormat<'a>],
    tables: Vec<BufWriter<File>>,
    manifest: BufWriter<File>,
    held: Held,
}

impl<'a> Merged<'a> {
    fn begin(out: &Path, formats: &'a [FileFormat<'a>]) -> Result<Self, MergeError> {
        let held = Held::of(out, None)?;
        let work = out.join(WORK);
        let names = formats.iter().map(FileFormat::file);
        let places = names.map(|name| (false, out.join(name)));
        let manifest = (true, out.join(MANIFEST));
        refuse_foreign(&places.chain([manifest]).collect::<Vec<_>>())?;
        let begun = || -> io::Result<_> {
            let _ = fs::remove_dir_all(&work);
            fs::create_dir(&work)?;
            let create = |name: String| File::create(work.join(name)).map(BufWriter::new);
            let mut tables = Vec::new();
            for format in formats {
                let mut table = create(format.file())?;
                table.write_all(format.header().as_bytes())?;
                tables.push(table);
            }
            Ok((tables, create(MANIFEST.to_owned())?))
        };
        let (tables, manifest) = begun().map_err(|source| RunError::Begin {
            path: work.clone(),
            source,
        })?;
        Ok(Self {
            out: out.to_owned(),
            work,
            formats,
            tables,
            manifest,
            held,
        })
    }

    fn names(&self) -> Vec<String> {
        let tables = self.formats.iter().map(FileFormat::file);
        tables.chain([MANIFEST.to_owned()]).collect()
    }

    fn failed(&self, source: io::Error) -> RunError {
        RunError::Begin {
            path: self.out.clone(),
            source,
        }
    }

    /// Whether no part would be written over.
    fn lie_apart(&self, parts: &[There]) -> Result<(), MergeError> {
        for name in self.names() {
            let file = self.out.join(&name);
            osier_file::place(&file).map_err(|source| self.failed(source))?;
            if !file.exists() {
                continue;
            }
            let mut read = parts.iter().map(|there| there.place(&name));
            if let Some(over) = read.find(|part| osier_file::same(part, &file)) {
                return Err(RunError::Over(over).into());
            }
        }
        Ok(())
    }

    /// Adds the rows of a part's tables, which are text.
    fn add_text(&mut self, there: &There) -> Result<(), MergeError> {
        for (format, table) in self.formats.iter().zip(&mut self.tables) {
            let name = format.file();
            let mut file = Summed::of(there, &name)?;
            let header = format.header();
            let mut head = vec![0; header.len()];
            file.fill(&mut head)?;
            if head != header.as_bytes() {
                return Err(there.damaged(&name, &"it begins with other columns"));
            }
            let mut piece = vec![0; 1 << 16];
            loop {
                let count = file.next(&mut piece)?;
                if count == 0 {
                    break;
                }
                let copied = table.write_all(piece.get(..count).unwrap_or_default());
                copied.map_err(|source| RunError::Begin {
                    path: self.out.clone(),
                    source,
                })?;
            }
            file.hold()?;
        }
        Ok(())
    }

    /// Adds a part's lines of the manifest, and the rows of which they tell to row groups. Gives how the snapshots ended.
    fn add_manifest(
        &mut self,
        there: &There,
        groups: &mut Option<Groups<'a>>,
    ) -> Result<Vec<Status>, MergeError> {
        let formats = self.formats;
        let mut statuses = Vec::new();
        let mut readers = match groups {
            Some(groups) => groups.open(there)?,
            None => Vec::new(),
        };
        let mut lines = BufReader::new(Summed::of(there, MANIFEST)?);
        let mut line = Vec::new();
        let broken = || there.damaged(MANIFEST, &"a line of it is not a manifest's");
        loop {
            line.clear();
            let count = lines.read_until(b'\n', &mut line);
            if count.map_err(|error| there.damaged(MANIFEST, &error))? == 0 {
                break;
            }
            let entry: Value = serde_json::from_slice(&line).map_err(|_| broken())?;
            let status = entry.get("status").and_then(Value::as_str);
            statuses.push(status.and_then(Status::of_word).ok_or_else(broken)?);
            if let Some(groups) = groups {
                let counts: Option<Vec<usize>> = formats
                    .iter()
                    .map(|format| {
                        let rows = entry.get("rows")?.get(format.word());
                        rows.map_or(Some(0), |rows| usize::try_from(rows.as_u64()?).ok())
                    })
                    .collect();
                groups.add(there, &mut readers, &counts.ok_or_else(broken)?)?;
                if groups.is_full() {
                    groups.flush(self)?;
                }
            }
            let written = self.manifest.write_all(&line);
            written.map_err(|source| self.failed(source))?;
        }
        lines.into_inner().hold()?;
        if let Some(groups) = groups {
            groups.close(there, readers)?;
        }
        Ok(statuses)
    }

    fn complete(&mut self) -> io::Result<()> {
        for (format, table) in self.formats.iter().zip(&mut self.tables) {
            table.flush()?;
            table.get_ref().sync_data()?;
            format.complete(&self.work.join(format.file()))?;
        }
        self.manifest.flush()?;
        self.manifest.get_ref().sync_data()
    }

    /// Completes the tables and gives all files their names.
    fn finish(&mut self) -> Result<(), MergeError> {
        self.complete().map_err(|source| self.failed(source))?;
        self.held.keep();
        for name in self.names() {
            let to = self.out.join(&name);
            let named = osier_file::name(&self.work.join(name), &to);
            named.map_err(|source| RunError::Write { path: to, source })?;
        }
        Ok(())
    }
}

impl Drop for Merged<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.work);
    }
}

/// A part's file, summed while it is read.
struct Summed<'a> {
    there: &'a There,
    name: &'a str,
    file: File,
    bytes: u64,
    crc: crc32fast::Hasher,
}

impl<'a> Summed<'a> {
    fn of(there: &'a There, name: &'a str) -> Result<Self, MergeError> {
        let file = File::open(there.place(name));
        Ok(Self {
            there,
            name,
            file: file.map_err(|error| there.damaged(name, &error))?,
            bytes: 0,
            crc: crc32fast::Hasher::new(),
        })
    }

    fn next(&mut self, into: &mut [u8]) -> Result<usize, MergeError> {
        let read = self.read(into);
        read.map_err(|error| self.there.damaged(self.name, &error))
    }

    fn fill(&mut self, into: &mut [u8]) -> Result<(), MergeError> {
        let read = self.read_exact(into);
        read.map_err(|error| self.there.damaged(self.name, &error))
    }

    /// Whether what was read, to the end, is what the part says.
    fn hold(self) -> Result<(), MergeError> {
        let got = (self.bytes, self.crc.finalize());
        if self.there.part.files.get(self.name) == Some(&got) {
            Ok(())
        } else {
            let why = "it is not as it was written";
            Err(self.there.damaged(self.name, &why))
        }
    }
}

impl Read for Summed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.crc.update(into.get(..count).unwrap_or_default());
        self.bytes = self.bytes.saturating_add(count as u64);
        Ok(count)
    }
}

#[cfg(feature = "parquet")]
mod groups {
    use std::io::Write;

    use super::{FileFormat, MergeError, Merged, Summed, TableFormat, There};
    use crate::RunError;
    use crate::output::TOGETHER;
    use crate::parquet_rows::Rows;
    use crate::rows::Piece;

    /// Rows of all tables that wait to be written together.
    pub(super) struct Groups<'a> {
        formats: &'a [FileFormat<'a>],
        row_group: usize,
        waiting: Vec<Vec<Piece>>,
        rows: usize,
        snapshots: usize,
    }

    pub(super) type Reader = Rows;

    impl<'a> Groups<'a> {
        /// Of tables in a format that has row groups.
        pub(super) fn of(
            formats: &'a [FileFormat<'a>],
            to: TableFormat,
            row_group: usize,
        ) -> Option<Self> {
            to.has_row_groups().then(|| Self {
                formats,
                row_group,
                waiting: formats.iter().map(|_| Vec::new()).collect(),
                rows: 0,
                snapshots: 0,
            })
        }

        /// The rows of a part's tables, whose files are as they were written.
        pub(super) fn open(&self, there: &There) -> Result<Vec<Reader>, MergeError> {
            let mut readers = Vec::new();
            for format in self.formats {
                let name = format.file();
                let mut file = Summed::of(there, &name)?;
                let mut piece = vec![0; 1 << 16];
                while file.next(&mut piece)? > 0 {}
                file.hold()?;
                let rows = Rows::of(&there.place(&name), format.schema());
                readers.push(rows.map_err(|error| there.damaged(&name, &error))?);
            }
            Ok(readers)
        }

        /// Adds a snapshot, which has so many rows in each table.
        pub(super) fn add(
            &mut self,
            there: &There,
            readers: &mut [Reader],
            counts: &[usize],
        ) -> Result<(), MergeError> {
            let tables = self.formats.iter().zip(readers).zip(&mut self.waiting);
            for (((format, reader), waiting), &count) in tables.zip(counts) {
                let damaged = |why: String| there.damaged(&format.file(), &why);
                let rows = reader
                    .take(count)
                    .map_err(|error| damaged(error.to_string()))?;
                let few = || damaged("it has fewer rows than the manifest says".to_owned());
                waiting.push(Piece::Columns(rows.ok_or_else(few)?));
                self.rows = self.rows.saturating_add(count);
            }
            self.snapshots = self.snapshots.saturating_add(1);
            Ok(())
        }

        pub(super) fn is_full(&self) -> bool {
            self.rows >= self.row_group || self.snapshots >= TOGETHER
        }

        /// Writes what waits.
        pub(super) fn flush(&mut self, merged: &mut Merged<'_>) -> Result<(), MergeError> {
            self.rows = 0;
            self.snapshots = 0;
            for ((format, waiting), table) in self
                .formats
                .iter()
                .zip(&mut self.waiting)
                .zip(&mut merged.tables)
            {
                let bytes = format.encode(std::mem::take(waiting));
                let written = bytes.and_then(|bytes| table.write_all(&bytes));
                written.map_err(|source| RunError::Begin {
                    path: merged.out.clone(),
                    source,
                })?;
            }
            Ok(())
        }

        /// Whether all rows of a part were taken.
        pub(super) fn close(&self, there: &There, readers: Vec<Reader>) -> Result<(), MergeError> {
            for (format, mut reader) in self.formats.iter().zip(readers) {
                let name = format.file();
                match reader.is_over() {
                    Ok(true) => {}
                    Ok(false) => {
                        return Err(
                            there.damaged(&name, &"it has more rows than the manifest says")
                        );
                    }
                    Err(error) => return Err(there.damaged(&name, &error)),
                }
            }
            Ok(())
        }
    }
}

#[cfg(not(feature = "parquet"))]
mod groups {
    use std::convert::Infallible;
    use std::marker::PhantomData;

    use super::{FileFormat, MergeError, Merged, TableFormat, There};

    /// No format has row groups.
    pub(super) struct Groups<'a>(Infallible, PhantomData<&'a ()>);

    pub(super) type Reader = Infallible;

    impl<'a> Groups<'a> {
        pub(super) fn of(_: &'a [FileFormat<'a>], _: TableFormat, _: usize) -> Option<Self> {
            None
        }

        pub(super) fn open(&self, _: &There) -> Result<Vec<Reader>, MergeError> {
            match self.0 {}
        }

        pub(super) fn add(
            &mut self,
            _: &There,
            _: &mut [Reader],
            _: &[usize],
        ) -> Result<(), MergeError> {
            match self.0 {}
        }

        pub(super) fn is_full(&self) -> bool {
            match self.0 {}
        }

        pub(super) fn flush(&mut self, _: &mut Merged<'_>) -> Result<(), MergeError> {
            match self.0 {}
        }

        pub(super) fn close(&self, _: &There, _: Vec<Reader>) -> Result<(), MergeError> {
            match self.0 {}
        }
    }
}
