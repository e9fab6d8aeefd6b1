//! An object: one version of what lies behind an address, in blocks.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use osier_snapshot::Distant;

use crate::http::{Got, Http, Problem, Tag};
use crate::kept::{BLOCK, Kept};
use crate::manners::{Asked, Manners};

/// Blocks that are asked for around one that is needed: pages that are needed together lie near each other.
const AROUND: u64 = 4;
/// The most blocks that are asked for at once, where one is read after the other.
const AHEAD: u64 = 64;
/// No snapshot is longer: physical addresses have 52 bits.
const MOST: u64 = 1 << 52;
/// Blocks that are held in memory.
const HELD: usize = 512;

/// One version of what lies behind an address.
pub(crate) struct Object {
    http: Http,
    manners: Manners,
    bytes: u64,
    tag: Option<Tag>,
    state: Mutex<State>,
    requests: AtomicU64,
    got: AtomicU64,
    /// Why nothing more is asked for: what failed once, all tries over, would make whoever reads wait at every page.
    lost: OnceLock<(io::ErrorKind, String)>,
    trouble: Arc<OnceLock<String>>,
}

struct State {
    blocks: HashMap<u64, Arc<[u8]>>,
    /// Their numbers, the oldest first.
    order: VecDeque<u64>,
    kept: Option<Kept>,
    /// The block behind the last that was asked for, and how many to ask for if that is needed next.
    next: u64,
    ahead: u64,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({})", self.http.lasting())
    }
}

impl Object {
    /// Asks for the first blocks, which tell what there is.
    pub(crate) fn open(
        http: Http,
        manners: Manners,
        folder: Option<&Path>,
        trouble: Arc<OnceLock<String>>,
    ) -> io::Result<Self> {
        let mut object = Self {
            http,
            manners,
            bytes: 0,
            tag: None,
            state: Mutex::new(State {
                blocks: HashMap::new(),
                order: VecDeque::new(),
                kept: None,
                next: AROUND,
                ahead: AROUND,
            }),
            requests: AtomicU64::new(0),
            got: AtomicU64::new(0),
            lost: OnceLock::new(),
            trouble,
        };
        let first = object.ask(0..BLOCK.saturating_mul(AROUND))?;
        if first.total > MOST {
            let why = format!(
                "the server says that it has {} bytes, more than any machine has memory",
                first.total
            );
            return Err(object.note(io::ErrorKind::InvalidData, &why));
        }
        object.bytes = first.total;
        object.tag = first.tag;
        let state = object
            .state
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        // Without a tag nobody can tell later whether what was kept is of this version.
        if let (Some(folder), Some(tag)) = (folder, &object.tag) {
            let key = format!("{} {} {tag:?}", object.http.lasting(), object.bytes);
            state.kept = Kept::open(folder, &key, object.bytes);
        }
        state.add(0, &first.bytes);
        Ok(object)
    }

    pub(crate) fn asked(&self) -> Asked {
        Asked {
            requests: self.requests.load(Ordering::Relaxed),
            bytes: self.got.load(Ordering::Relaxed),
        }
    }

    /// Asks for a range until it is there, or is not to be had.
    fn ask(&self, range: Range<u64>) -> io::Result<Got> {
        if let Some((kind, why)) = self.lost.get() {
            return Err(io::Error::new(*kind, why.clone()));
        }
        let mut pause = self.manners.pause;
        let mut tries = 0_u32;
        loop {
            self.requests.fetch_add(1, Ordering::Relaxed);
            tries = tries.saturating_add(1);
            let (kind, why) = match self.http.get(range.clone(), self.tag.as_ref()) {
                Ok(got) if self.tag.is_none() && self.bytes == 0 => return Ok(self.count(got)),
                Ok(got) if got.total == self.bytes && self.is_same(got.tag.as_ref()) => {
                    return Ok(self.count(got));
                }
                Ok(_) | Err(Problem::Changed) => {
                    let text = "it was changed while it was read; start again";
                    (io::ErrorKind::InvalidData, text.to_owned())
                }
                Err(Problem::Lasting(kind, why)) => (kind, why),
                Err(Problem::Passing(_)) if tries < self.manners.tries => {
                    std::thread::sleep(pause);
                    pause = pause.saturating_mul(2);
                    continue;
                }
                Err(Problem::Passing(why)) => {
                    let text = format!("bytes {range:?} could not be had in {tries} tries: {why}");
                    (io::ErrorKind::TimedOut, text)
                }
            };
            return Err(self.note(kind, &why));
        }
    }

    fn is_same(&self, tag: Option<&Tag>) -> bool {
        // Who tells a tag once and not again may give anything.
        match (&self.tag, tag) {
            (Some(ours), Some(tag)) => ours.text() == tag.text(),
            (Some(_), None) => false,
            (None, _) => true,
        }
    }

    fn count(&self, got: Got) -> Got {
        self.got
            .fetch_add(got.bytes.len() as u64, Ordering::Relaxed);
        got
    }

    /// An error, which is told at the end even where it is only a fault to whoever reads.
    fn note(&self, kind: io::ErrorKind, why: &str) -> io::Error {
        let text = format!("{}: {why}", osier_text::visible(&self.http.lasting()));
        let _ = self.trouble.set(text);
        let _ = self.lost.set((kind, why.to_owned()));
        io::Error::new(kind, why)
    }

    /// The blocks there are.
    fn blocks(&self) -> u64 {
        self.bytes.div_ceil(BLOCK)
    }

    /// The block of this number; `until` is the last that is needed with it.
    fn block(&self, state: &mut State, number: u64, until: u64) -> io::Result<Arc<[u8]>> {
        if let Some(block) = state.held(number) {
            return Ok(block);
        }
        let wanted = state.wanted(number, until, self.blocks());
        let start = wanted.start.saturating_mul(BLOCK);
        let end = wanted.end.saturating_mul(BLOCK).min(self.bytes);
        let got = self.got.load(Ordering::Relaxed);
        if got.saturating_add(end.saturating_sub(start)) > self.manners.most {
            const MIB: u64 = 1 << 20;
            let why = format!(
                "{} MiB of its {} MiB were read, and more is asked for, as a search of everything does; say --search to read on, or distil it where it lies",
                got / MIB,
                self.bytes / MIB
            );
            return Err(self.note(io::ErrorKind::QuotaExceeded, &why));
        }
        let got = self.ask(start..end)?;
        state.add(wanted.start, &got.bytes);
        state.next = wanted.end;
        let missing = || io::Error::from(io::ErrorKind::UnexpectedEof);
        state.blocks.get(&number).cloned().ok_or_else(missing)
    }
}

impl Distant for Object {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        let end = offset.saturating_add(len as u64);
        let until = end.saturating_sub(1) / BLOCK;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut done = 0_usize;
        while let Some(to) = buf.get_mut(done..len).filter(|to| !to.is_empty()) {
            let at = offset.saturating_add(done as u64);
            let block = self.block(&mut state, at / BLOCK, until)?;
            let inside = usize::try_from(at % BLOCK).unwrap_or(usize::MAX);
            let from = block.get(inside..).unwrap_or_default();
            let count = from.len().min(to.len());
            if count == 0 {
                break;
            }
            if let (Some(to), Some(from)) = (to.get_mut(..count), from.get(..count)) {
                to.copy_from_slice(from);
            }
            done = done.saturating_add(count);
        }
        Ok(done)
    }

    fn version(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.http.lasting().hash(&mut hasher);
        self.bytes.hash(&mut hasher);
        self.tag.as_ref().map(Tag::text).hash(&mut hasher);
        hasher.finish()
    }
}

impl State {
    /// A block that is here or on the disk.
    fn held(&mut self, number: u64) -> Option<Arc<[u8]>> {
        if let Some(block) = self.blocks.get(&number) {
            return Some(block.clone());
        }
        let block: Arc<[u8]> = self.kept.as_ref()?.read(number)?.into();
        self.hold(number, block.clone());
        Some(block)
    }

    fn has(&self, number: u64) -> bool {
        self.blocks.contains_key(&number) || self.kept.as_ref().is_some_and(|kept| kept.has(number))
    }

    /// The blocks to ask for when `number` is needed, and those up to `until` with it: twice as many as before where
    /// one is read after the other, or those around it; none that is here already.
    fn wanted(&mut self, number: u64, until: u64, blocks: u64) -> Range<u64> {
        let goes_on = number == self.next;
        self.ahead = if goes_on {
            self.ahead.saturating_mul(2).min(AHEAD)
        } else {
            AROUND
        };
        let mut start = number;
        if !goes_on {
            let least = number.saturating_sub(number % AROUND);
            while start > least && !self.has(start.saturating_sub(1)) {
                start = start.saturating_sub(1);
            }
        }
        let least = start.saturating_add(self.ahead);
        let most = until
            .saturating_add(1)
            .max(least)
            .min(start.saturating_add(AHEAD));
        let mut end = number.saturating_add(1);
        while end < most.min(blocks) && !self.has(end) {
            end = end.saturating_add(1);
        }
        start..end
    }

    /// Takes the bytes of blocks from number `first` on.
    fn add(&mut self, first: u64, bytes: &[u8]) {
        for (number, block) in (first..).zip(bytes.chunks(BLOCK as usize)) {
            if let Some(kept) = &mut self.kept {
                kept.write(number, block);
            }
            self.hold(number, block.into());
        }
    }

    fn hold(&mut self, number: u64, block: Arc<[u8]>) {
        if self.blocks.insert(number, block).is_none() {
            self.order.push_back(number);
        }
        while self.order.len() > HELD
            && let Some(oldest) = self.order.pop_front()
        {
            self.blocks.remove(&oldest);
        }
    }
}
