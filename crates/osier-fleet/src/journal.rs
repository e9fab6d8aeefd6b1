//! What is finished, so that an interrupted run goes on where it was.
//!
//! The first line is the run's fingerprint. Each further line is one snapshot: the CRC-32 of the rest
//! of the line, a tab, how long every table is with its rows and the CRC-32 of what it got since the
//! last such line (`LENGTH:CRC`, with commas between), a tab, and its entry in the manifest. Of
//! snapshots whose rows were written together only the last one says lengths, and the lines before it
//! count with it. A line counts once its newline is there, and only as far as the tables are what it
//! says. The line `finish` means that all snapshots are done and that files are being given their
//! names.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::manifest::Status;

const FINISH: &str = "finish";

/// The journal of a run.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    len: u64,
    /// The length of the first line.
    head: u64,
    finishing: bool,
}

/// What a table got with some snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The length of the table with it.
    pub(crate) end: u64,
    /// The CRC-32 of its bytes.
    pub(crate) crc: u32,
}

/// A snapshot that is finished.
pub(crate) struct Done {
    pub(crate) snapshot: String,
    pub(crate) id: Option<String>,
    pub(crate) status: Status,
    /// What every table got with its rows and those before; `None` when a later line says it.
    pub(crate) parts: Option<Vec<Part>>,
    /// Where its line ends.
    end: u64,
}

/// Why a journal cannot be gone on with.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is of a run with other options.
    Other,
    Io(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Journal {
    /// Begins a journal at `path`, or opens the one that is there and gives what is finished.
    pub(crate) fn open(path: &Path, fingerprint: &str) -> Result<(Self, Vec<Done>), Refused> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            len: 0,
            head: 0,
            finishing: false,
        };
        let mut reader = BufReader::new(&journal.file);
        let mut line = Vec::new();
        let mut end = 0_u64;
        let mut done = Vec::new();
        let mut fits = None;
        while reader.read_until(b'\n', &mut line)? > 0 {
            let Some((b'\n', text)) = line.split_last() else {
                break;
            };
            end = end.saturating_add(line.len() as u64);
            if fits.is_none() {
                fits = Some(text == fingerprint.as_bytes());
                journal.head = end;
            } else if text == FINISH.as_bytes() {
                journal.finishing = true;
            } else if let Some(one) = parse(text, end) {
                done.push(one);
            } else {
                break;
            }
            journal.len = end;
            line.clear();
        }
        match fits {
            Some(true) => {}
            Some(false) => return Err(Refused::Other),
            None => {
                journal.line(fingerprint)?;
                journal.head = journal.len;
            }
        }
        Ok((journal, done))
    }

    /// Whether all snapshots are done and only names are left to be given.
    pub(crate) fn is_finishing(&self) -> bool {
        self.finishing
    }

    /// Keeps the lines up to that of `last`, or none.
    pub(crate) fn keep(&mut self, last: Option<&Done>) -> io::Result<()> {
        self.len = last.map_or(self.head, |last| last.end);
        self.finishing = false;
        self.file.set_len(self.len)
    }

    /// Notes finished snapshots whose rows were written together.
    pub(crate) fn note(&mut self, parts: &[Part], entries: &[String]) -> io::Result<()> {
        let Some((last, before)) = entries.split_last() else {
            return Ok(());
        };
        let mut lines = String::new();
        for entry in before {
            let _ = writeln!(lines, "{}", summed(&format!("\t{entry}")));
        }
        let parts: Vec<String> = parts
            .iter()
            .map(|part| format!("{}:{:08x}", part.end, part.crc))
            .collect();
        lines.push_str(&summed(&format!("{}\t{last}", parts.join(","))));
        self.line(&lines)
    }

    /// Notes that all snapshots are done.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.finishing = true;
        self.line(FINISH)
    }

    /// Adds a line; when that fails, the journal is as before.
    fn line(&mut self, text: &str) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.len))?;
        let mut bytes = Vec::with_capacity(text.len().saturating_add(1));
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'\n');
        if let Err(error) = self.file.write_all(&bytes) {
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.len = self.len.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Writes the entries of all finished snapshots to `path`, one a line.
    pub(crate) fn manifest(&self, path: &Path) -> io::Result<()> {
        let mut out = io::BufWriter::new(File::create(path)?);
        for line in BufReader::new(File::open(&self.path)?).split(b'\n') {
            let line = line?;
            if let Some(entry) = line.splitn(3, |&byte| byte == b'\t').nth(2) {
                out.write_all(entry)?;
                out.write_all(b"\n")?;
            }
        }
        out.into_inner()?.sync_data()
    }

    /// Removes the journal, the last thing that a run does.
    pub(crate) fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

fn parse(line: &[u8], end: u64) -> Option<Done> {
    let (crc, rest) = std::str::from_utf8(line).ok()?.split_once('\t')?;
    if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(rest.as_bytes()) {
        return None;
    }
    let (parts, entry) = rest.split_once('\t')?;
    let entry: Value = serde_json::from_str(entry).ok()?;
    Some(Done {
        snapshot: entry.get("snapshot")?.as_str()?.to_owned(),
        id: entry.get("id")?.as_str().map(str::to_owned),
        status: Status::of_word(entry.get("status")?.as_str()?)?,
        parts: match parts {
            "" => None,
            parts => Some(parts.split(',').map(part).collect::<Option<_>>()?),
        },
        end,
    })
}

fn part(text: &str) -> Option<Part> {
    let (end, crc) = text.split_once(':')?;
    Some(Part {
        end: end.parse().ok()?,
        crc: u32::from_str_radix(crc, 16).ok()?,
    })
}

/// A line with its checksum before it.
fn summed(line: &str) -> String {
    format!("{:08x}\t{line}", crc32fast::hash(line.as_bytes()))
}
