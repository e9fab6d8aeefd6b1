//! Unpacking: one member after another, to a file that goes with the snapshot, or a tar's one file
//! where it lies.

use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use super::member::{Doubt, Member, Own};
use super::members;
use super::wrapping::{TAR, Wrapping};
use crate::anomaly::Anomaly;
use crate::data::{Data, Reader};
use crate::error::{OpenError, io_error};
use crate::filled;
use crate::snapshot::OpenOptions;

/// Bytes that are unpacked to see what is inside.
const HEAD: u64 = 64 << 10;
/// Bytes unpacked at once.
const STEP: usize = 1 << 20;
/// Anomalies of one file that are told; the others are counted.
const TOLD: usize = 8;

/// What a compressed file unpacks to, as one stream. It does not fail: where the packed data is
/// damaged it ends, and [`into_anomalies`](Self::into_anomalies) says so.
pub(crate) struct Unpacker {
    wrapping: Wrapping,
    data: Data,
    /// The file offset of what comes after the members that were read.
    at: u64,
    member: Option<Box<dyn Member>>,
    /// Members begun, and the file offset of the one that is being read.
    number: u64,
    begun: u64,
    /// Bytes given out, and those of them before the member that is being read.
    done: u64,
    before: u64,
    /// Zeros behind the members.
    padding: u64,
    anomalies: Vec<String>,
    /// Anomalies past those that are told.
    more: u64,
}

impl Unpacker {
    /// Unpacks `data`.
    pub(crate) fn new(wrapping: Wrapping, data: Data) -> Self {
        Self {
            wrapping,
            data,
            at: 0,
            member: None,
            number: 0,
            begun: 0,
            done: 0,
            before: 0,
            padding: 0,
            anomalies: Vec::new(),
            more: 0,
        }
    }

    /// Bytes of the file that have been read.
    pub(crate) fn offset(&self) -> u64 {
        let member = self.member.as_ref();
        member.map_or(self.at, |member| member.offset())
    }

    /// What contradicts the file's checksums and lengths, or was not read.
    pub(crate) fn into_anomalies(mut self) -> Vec<Anomaly> {
        if self.more > 0 {
            let more = format!("{} more of the kind before", self.more);
            self.anomalies.push(more);
        }
        self.anomalies.into_iter().map(Anomaly::bytes).collect()
    }

    fn say(&mut self, anomaly: String) {
        if self.anomalies.len() < TOLD {
            self.anomalies.push(anomaly);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// The data makes no more sense: nothing after it is read.
    fn end(&mut self, why: &str) {
        let anomaly = format!(
            "the {} data ends or is damaged near file offset {:#x} ({why}): the {} bytes before are \
             read, the rest is missing",
            self.wrapping.name(),
            self.offset(),
            self.done
        );
        self.say(anomaly);
        self.member = None;
        self.at = self.data.len();
    }

    /// Begins the next member; `false` at the end.
    fn next(&mut self) -> bool {
        while let Some(skip) = self.wrapping.skippable(self.data.look(), self.at as usize) {
            let behind = self.at.checked_add(skip);
            let Some(behind) = behind.filter(|behind| *behind <= self.data.len()) else {
                self.end("a skippable frame is cut short");
                return false;
            };
            self.at = behind;
        }
        let zeros = zeros(self.data.reader(self.at));
        self.begun = self.at.saturating_add(zeros);
        if self.begun >= self.data.len() {
            self.padding = zeros;
            return false;
        }
        let begun = self.begun;
        let starts = self.wrapping.starts(self.data.look(), begun as usize);
        if !starts || (self.number > 0 && self.wrapping == Wrapping::Zlib) {
            let anomaly = format!(
                "{} bytes from file offset {:#x} on are behind the {} data and none of it: they are \
                 not read",
                self.data.len().saturating_sub(begun),
                begun,
                self.wrapping.name()
            );
            self.say(anomaly);
            self.at = self.data.len();
            return false;
        }
        self.number = self.number.saturating_add(1);
        self.before = self.done;
        self.at = begun;
        match members::start(self.wrapping, &self.data, begun) {
            Ok(member) => self.member = Some(member),
            Err(error) => self.end(words(&error)),
        }
        self.member.is_some()
    }

    /// The member has been read.
    fn close(&mut self) {
        let Some(mut member) = self.member.take() else {
            return;
        };
        let checked = member.check();
        self.at = member.offset();
        match checked {
            Ok(()) => {}
            Err(Doubt::Length(why)) => self.end(&why),
            Err(Doubt::Bytes(why)) => {
                let anomaly = format!(
                    "{} {} {} at file offset {:#x} is damaged ({why}): the {} bytes from {:#x} on that \
                     it unpacks to are read and may be wrong",
                    self.wrapping.name(),
                    self.wrapping.member(),
                    self.number,
                    self.begun,
                    self.done.saturating_sub(self.before),
                    self.before,
                );
                self.say(anomaly);
            }
        }
    }
}

impl Read for Unpacker {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while !buf.is_empty() {
            let Some(member) = &mut self.member else {
                if self.at >= self.data.len() || !self.next() {
                    break;
                }
                continue;
            };
            match member.read(buf) {
                Ok(0) => self.close(),
                Ok(n) => {
                    self.done = self.done.saturating_add(n as u64);
                    return Ok(n);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.end(words(&error)),
            }
        }
        Ok(0)
    }
}

/// What went wrong, in our words: a decoder's own are about its inside.
fn words(error: &io::Error) -> &str {
    let own = error.get_ref().and_then(|error| error.downcast_ref());
    match (own, error.kind()) {
        (Some(Own(why)), _) => why,
        (None, io::ErrorKind::UnexpectedEof) => "it ends in the middle",
        (None, io::ErrorKind::OutOfMemory) => "it asks for more memory than there is",
        (None, io::ErrorKind::Unsupported) => "it is packed in a way that is not read",
        (None, _) => "it contradicts itself",
    }
}

/// How many zeros come first.
fn zeros(mut rest: Reader) -> u64 {
    let mut zeros = 0_u64;
    while let Ok(bytes) = rest.fill_buf() {
        let (len, count) = (
            bytes.len(),
            bytes.iter().take_while(|byte| **byte == 0).count(),
        );
        zeros = zeros.saturating_add(count as u64);
        if count < len || len == 0 {
            break;
        }
        rest.consume(len);
    }
    zeros
}

/// What is odd about packed data.
#[derive(Default)]
pub(super) struct Odd {
    pub(super) anomalies: Vec<Anomaly>,
    /// Zeros behind it.
    pub(super) padding: u64,
}

/// What `map` holds, unpacked, to a file that goes with the map; and what is odd about the packed data:
/// what was unpacked before it ended counts.
///
/// # Errors
///
/// Nothing could be unpacked, or more than the limit or the disk has room for.
pub(super) fn to_scratch(
    path: &Path,
    data: &Data,
    wrapping: Wrapping,
    options: &OpenOptions,
) -> Result<(Data, Odd), OpenError> {
    let total = data.len();
    let limit = options.scratch_limit;
    let (unpacked, (written, odd)) = filled::filled(options, |file| {
        let mut reader = Unpacker::new(wrapping, data.clone());
        let mut buffer = vec![0; STEP];
        let mut written = 0_u64;
        loop {
            options.progress.tell("unpacking", reader.offset(), total);
            let n = fill(&mut reader, &mut buffer)?;
            written = written.saturating_add(n as u64);
            if n == 0 || written > limit {
                break;
            }
            file.write_all(buffer.get(..n).unwrap_or_default())?;
        }
        options.progress.tell("unpacking", total, total);
        let odd = Odd {
            padding: reader.padding,
            anomalies: reader.into_anomalies(),
        };
        Ok((written, odd))
    })?;
    if written > limit {
        return Err(OpenError::ScratchLimit {
            path: path.to_owned(),
            limit,
        });
    }
    if written == 0 && !odd.anomalies.is_empty() {
        return Err(cannot_unpack(path, odd.anomalies));
    }
    Ok((unpacked, odd))
}

fn cannot_unpack(path: &Path, anomalies: Vec<Anomaly>) -> OpenError {
    let texts: Vec<String> = anomalies.into_iter().map(|anomaly| anomaly.text).collect();
    io_error(path, "cannot be unpacked")(io::Error::new(
        io::ErrorKind::InvalidData,
        texts.join("; "),
    ))
}

/// Reads until `buffer` is full or the end; returns the bytes read.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0_usize;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest)? {
            0 => break,
            n => done = done.saturating_add(n),
        }
    }
    Ok(done)
}

/// The first bytes of what `map` holds.
///
/// # Errors
///
/// As [`to_scratch`].
pub(super) fn head(
    path: &Path,
    data: &Data,
    wrapping: Wrapping,
    options: &OpenOptions,
) -> Result<Data, OpenError> {
    let mut head = Vec::new();
    let mut reader = Unpacker::new(wrapping, data.clone());
    reader
        .by_ref()
        .take(HEAD)
        .read_to_end(&mut head)
        .map_err(io_error(path, "cannot be unpacked"))?;
    if head.is_empty() {
        let anomalies = reader.into_anomalies();
        if !anomalies.is_empty() {
            return Err(cannot_unpack(path, anomalies));
        }
        return Err(OpenError::NotASnapshot {
            path: path.to_owned(),
            found: format!("an empty file, packed with {}", wrapping.name()),
            way_out: "take the snapshot again".to_owned(),
        });
    }
    let (head, ()) = filled::filled(options, |file| file.write_all(&head))?;
    Ok(head)
}

/// The bytes of the one file in a tar, where they lie.
///
/// # Errors
///
/// The tar holds no file, several, or ends inside the one.
pub(super) fn only_member(path: &Path, data: &Data) -> Result<Data, OpenError> {
    let cannot = || io_error(path, "cannot be unpacked");
    let not = |found: String| OpenError::NotASnapshot {
        path: path.to_owned(),
        found,
        way_out: "unpack it and give the snapshot in it".to_owned(),
    };
    let mut archive = tar::Archive::new(data.reader(0));
    let mut found = None;
    for entry in archive.entries_with_seek().map_err(cannot())? {
        let entry = entry.map_err(cannot())?;
        if !entry.header().entry_type().is_file() || entry.size() == 0 {
            continue;
        }
        if found.is_some() {
            return Err(not("a tar archive with several files".to_owned()));
        }
        let at = entry.raw_file_position();
        found = Some(data.part(at, entry.size()).ok_or_else(|| {
            not(format!(
                "a tar archive that ends inside its one file, which starts at offset {at:#x} and \
                 should have {} bytes",
                entry.size()
            ))
        })?);
        // What follows a cut member cannot be looked at; what follows a whole one is padding.
        if data.len().saturating_sub(at) < entry.size().saturating_add(TAR as u64) {
            break;
        }
    }
    found.ok_or_else(|| not("a tar archive without a file".to_owned()))
}
