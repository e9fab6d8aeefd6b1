//! What is written and found that is no question: files of the page cache, cores of processes, searches. Their bytes may be
//! any; where they stand and what is said to be missing is held to the claim.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::PathBuf;

use osier::Guest;
use osier::dump::{kept_files, process_core};
use osier::osier_memory::{PAGE_BYTES, VirtAddr};
use osier::process_memory::{Content, ProcessMemory};
use osier::search::{Pattern, Scope, search};
use osier::tables::Cells;
use osier_osi::{Behind, CachedFile};

use crate::subject::{Answer, Part, lines};

/// Processes that are written down and searched.
const PROCESSES: usize = 3;
/// Bytes of a core in which its headers and notes are.
const HEAD: u64 = 4 << 20;
/// Files whose pages are asked for.
const FILES: usize = 8;

/// What is written or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Carved {
    /// Which files the kernel keeps.
    Kept,
    /// Which pages it keeps of the file whose pages are at an address.
    File,
    /// The headers and notes of the core of a process.
    Core,
    /// Where the memory of a process holds what programs begin with.
    Search,
}

impl Carved {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Kept => "recover",
            Self::File => "recover_file",
            Self::Core => "dump",
            Self::Search => "search",
        }
    }
}

/// What is carved out of a guest with these processes.
pub(crate) fn parts(guest: &Guest, taskds: &[VirtAddr]) -> Vec<Part> {
    let osi = &*guest.provider();
    if osi.carve().is_none() {
        return Vec::new();
    }
    let mut files = Vec::new();
    let _ = kept_files(guest, &mut |file| {
        files.push(file.mapping);
        ControlFlow::Continue(())
    });
    let holds = |taskd: &&VirtAddr| ProcessMemory::of(osi, **taskd).is_ok();
    let holders: Vec<VirtAddr> = taskds.iter().filter(holds).copied().collect();
    let spread = |all: &[VirtAddr], most: usize| -> Vec<VirtAddr> {
        let step = all.len().div_ceil(most).max(1);
        all.iter().step_by(step).copied().collect()
    };
    let of = |carved: Carved, all: Vec<VirtAddr>| {
        let part = move |at| Part::Carved(carved, at);
        all.into_iter().map(part)
    };
    let holders = spread(&holders, PROCESSES);
    of(Carved::Kept, vec![VirtAddr(0)])
        .chain(of(Carved::File, spread(&files, FILES)))
        .chain(of(Carved::Core, holders.clone()))
        .chain(of(Carved::Search, holders))
        .collect()
}

/// The pages that are read for their bytes alone.
pub(crate) fn content(guest: &Guest, part: Part) -> BTreeSet<u64> {
    let mut pages = BTreeSet::new();
    let osi = &*guest.provider();
    let taskd = match part {
        Part::Carved(Carved::File, mapping) => return of_file(guest, mapping),
        Part::Carved(Carved::Core | Carved::Search, taskd) => taskd,
        _ => return pages,
    };
    let Ok(memory) = ProcessMemory::of(osi, taskd) else {
        return pages;
    };
    for area in &memory.areas {
        let _ = memory.pieces(area, area.range.clone(), &mut |piece| {
            if let Content::Frame(pa) = piece.content {
                pages.extend((pa.0..pa.0 + piece.len).step_by(PAGE_BYTES as usize));
            }
            ControlFlow::Continue(())
        });
    }
    pages
}

/// The pages of the file whose pages are at `mapping`.
fn of_file(guest: &Guest, mapping: VirtAddr) -> BTreeSet<u64> {
    let osi = &*guest.provider();
    let mut size = Ok(0);
    let _ = kept_files(guest, &mut |file| {
        if file.mapping != mapping {
            return ControlFlow::Continue(());
        }
        size = file.size;
        ControlFlow::Break(())
    });
    let file = CachedFile { mapping, size };
    let bytes = file.size.clone().unwrap_or(0);
    let mut pages = BTreeSet::new();
    let Some(carve) = osi.carve().and_then(|carve| carve.linux()) else {
        return pages;
    };
    let mut at = 0;
    while at < bytes {
        let stretch = carve.cached(&file, at, bytes - at);
        if let Ok(Behind::Frame(pa)) = stretch.what {
            pages.insert(pa.0);
            at += PAGE_BYTES;
            continue;
        }
        at += stretch.bytes.max(PAGE_BYTES);
    }
    pages
}

pub(crate) fn answer(guest: &Guest, carved: Carved, at: VirtAddr) -> Answer {
    let mut answer = match carved {
        Carved::Kept => kept(guest),
        Carved::File => file(guest, at),
        Carved::Core => core(guest, at),
        Carved::Search => found(guest, at),
    };
    answer.rows.sort();
    answer
}

fn sum(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

/// An answer that could not be given.
fn refused(why: &dyn ToString) -> Answer {
    Answer {
        ends: vec![why.to_string()],
        ..Answer::default()
    }
}

fn kept(guest: &Guest) -> Answer {
    let mut answer = Answer::default();
    let ends = kept_files(guest, &mut |file| {
        answer.add(&Cells::of(&file));
        ControlFlow::Continue(())
    });
    match ends {
        Ok(ends) => answer.ends = lines(&ends),
        Err(error) => return refused(&error),
    }
    answer
}

/// Where the pages of a file stand that the list has.
fn file(guest: &Guest, mapping: VirtAddr) -> Answer {
    let mut answer = Answer::default();
    let mut found = None;
    let ends = kept_files(guest, &mut |file| {
        if file.mapping == mapping {
            found = Some(file);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    let file = match (found, ends) {
        (Some(file), Ok(_)) => file,
        (None, Ok(ends)) => {
            answer.ends = lines(&ends);
            return answer;
        }
        (_, Err(error)) => return refused(&error),
    };
    let path = scratch();
    match osier::dump::kept(guest, &file, &path) {
        Ok(done) => {
            answer.lost += done.lost_bytes;
            answer.ends = lines(&done.ends);
            let bytes = std::fs::read(&path).unwrap();
            let sum = sum(&bytes);
            let row = format!("{{\"bytes\":{},\"sum\":{sum}}}", bytes.len());
            answer.rows.push(row);
        }
        Err(error) => answer = refused(&error),
    }
    let _ = std::fs::remove_file(path);
    answer
}

fn scratch() -> PathBuf {
    let folder = PathBuf::from("/dev/shm");
    let folder = if folder.is_dir() {
        folder
    } else {
        std::env::temp_dir()
    };
    let thread = format!("{:?}", std::thread::current().id());
    let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
    folder.join(format!("osier-campaign-{}-{thread}", std::process::id()))
}

/// The program headers and notes of the core of the process at `taskd`.
fn core(guest: &Guest, taskd: VirtAddr) -> Answer {
    let path = scratch();
    let mut answer = Answer::default();
    match process_core(guest, taskd, &path) {
        Ok(done) => {
            answer.lost = done.lost_bytes;
            answer.ends = lines(&done.ends);
            // A lie about a mapping may make the file endless; its headers come first.
            let mut head = Vec::new();
            let file = std::fs::File::open(&path).unwrap();
            file.take(HEAD).read_to_end(&mut head).unwrap();
            answer.rows = headers(&head);
        }
        Err(error) => answer = refused(&error),
    }
    let _ = std::fs::remove_file(path);
    answer
}

/// `NT_FILE`.
const NT_FILE: u64 = 0x4649_4c45;

/// What a note holds.
fn note_word(kind: u64) -> &'static str {
    match kind {
        1 => "registers",
        2 | 0x46e6_2b7f => "floating_point",
        3 => "process",
        6 => "auxiliary",
        _ => "note",
    }
}

/// The files of the note about them.
fn files(note: &[u8], word: usize) -> Vec<String> {
    let number = |place: usize| {
        let mut whole = [0; 8];
        whole[..word].copy_from_slice(&note[place * word..][..word]);
        u64::from_le_bytes(whole)
    };
    let count = number(0) as usize;
    let names = note[(2 + count * 3) * word..].split(|byte| *byte == 0);
    let name = |name: &[u8]| name.escape_ascii().to_string();
    names
        .take(count)
        .enumerate()
        .map(|(nth, path)| {
            let (start, offset) = (number(2 + nth * 3), number(4 + nth * 3));
            let path = serde_json::Value::from(name(path));
            format!("{{\"start\":{start},\"offset\":{offset},\"file\":{path}}}")
        })
        .collect()
}

/// The segments of an ELF core, and the words of its notes.
fn headers(core: &[u8]) -> Vec<String> {
    const PT_NOTE: u64 = 4;
    let wide = core[4] == 2;
    let number = |at: usize, bytes: usize| {
        let mut whole = [0; 8];
        whole[..bytes].copy_from_slice(&core[at..at + bytes]);
        u64::from_le_bytes(whole)
    };
    let word = if wide { 8 } else { 4 };
    let (start, size, count) = if wide { (32, 54, 56) } else { (28, 42, 44) };
    let (start, size) = (number(start, word) as usize, number(size, 2) as usize);
    let mut rows = Vec::new();
    for nth in 0..number(count, 2) as usize {
        let header = start + nth * size;
        let kind = number(header, 4);
        let member = |place: usize| number(header + if wide { 8 } else { 4 } + place * word, word);
        let (offset, address, file, memory) = (member(0), member(1), member(3), member(4));
        if kind != PT_NOTE {
            rows.push(format!(
                "{{\"start\":{address},\"file\":{file},\"memory\":{memory}}}"
            ));
            continue;
        }
        let mut at = offset as usize;
        while at < (offset + file) as usize {
            let (name, bytes, kind) = (number(at, 4), number(at + 4, 4), number(at + 8, 4));
            let text = at + 12 + name.next_multiple_of(4) as usize;
            let end = text + bytes.next_multiple_of(4) as usize;
            let note = &core[text..text + bytes as usize];
            match kind {
                NT_FILE => rows.extend(files(note, word)),
                _ => rows.push(format!("{{\"{}\":{}}}", note_word(kind), sum(note))),
            }
            at = end;
        }
    }
    rows
}

fn found(guest: &Guest, taskd: VirtAddr) -> Answer {
    let mut answer = Answer::default();
    let patterns = ["\x7fELF", "PATH=", "/bin"].map(|text| Pattern::text(text).unwrap());
    let osi = guest.provider();
    let scope = Scope::Processes(&*osi, vec![taskd]);
    let done = search(&scope, &patterns, None, &mut |hit| {
        answer.add(&Cells::of(&hit));
        ControlFlow::Continue(())
    });
    answer.rows.push(format!("{{\"searched\":{}}}", done.bytes));
    answer.lost += done.lost_bytes();
    answer.ends = lines(&done.ends);
    answer
}
