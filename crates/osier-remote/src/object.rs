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

use crate::kept::{BLOCK, Kept};
use crate::manners::Manners;
use crate::ranges::{Got, Problem, Ranges, Tag};
use crate::shared::Shared;

/// Blocks that are asked for first.
const FIRST: u64 = 4;
/// Blocks of a region, 1 MiB.
const REGION: u64 = 16;
/// Blocks that are asked for around one that is needed, by how many requests went to its region before: where pages
/// were needed, others are. Of eight real snapshots, `ps` reads a quarter to a third less than by four blocks each time.
const AROUND: [u64; 4] = [1, 4, 4, 8];
/// The most blocks that are asked for at once, where one is read after the other.
const AHEAD: u64 = 64;
/// No snapshot is longer: physical addresses have 52 bits.
const MOST: u64 = 1 << 52;
/// Blocks that are held in memory.
const HELD: usize = 512;
const CHANGED: &str = "it was changed while it was read; start again";

/// One version of what lies behind an address.
pub(crate) struct Object {
    source: Box<dyn Ranges>,
    manners: Manners,
    bytes: u64,
    tag: Option<Tag>,
    state: Mutex<State>,
    /// Bytes that came of this one.
    got: AtomicU64,
    /// Why nothing more is asked for: what failed once, all tries over, would make whoever reads wait at every page.
    lost: OnceLock<(io::ErrorKind, String)>,
    shared: Arc<Shared>,
}

/// What an object was when it was opened first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    bytes: u64,
    tag: Option<Tag>,
}

struct State {
    blocks: HashMap<u64, Arc<[u8]>>,
    /// Their numbers, the oldest first.
    order: VecDeque<u64>,
    kept: Option<Kept>,
    /// The block behind the last that was asked for, and how many to ask for if that is needed next.
    next: u64,
    ahead: u64,
    /// Requests by region.
    asked: HashMap<u64, usize>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({})", self.source.shown())
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.shared.let_go(state.order.len());
    }
}

impl Object {
    /// Asks for the first blocks, which tell what there is.
    pub(crate) fn open(
        source: Box<dyn Ranges>,
        manners: Manners,
        folder: Option<&Path>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let mut object = Self {
            source,
            manners,
            bytes: 0,
            tag: None,
            state: Mutex::new(State {
                blocks: HashMap::new(),
                order: VecDeque::new(),
                kept: None,
                next: FIRST,
                ahead: FIRST,
                asked: HashMap::new(),
            }),
            got: AtomicU64::new(0),
            lost: OnceLock::new(),
            shared,
        };
        let first = object.ask(0..BLOCK.saturating_mul(FIRST))?;
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
            let key = format!("{} {} {tag:?}", object.source.lasting(), object.bytes);
            state.kept = Kept::open(folder, &key, object.bytes);
        }
        state.add(0, &first.bytes, &object.shared);
        Ok(object)
    }

    /// What it was when it was opened.
    pub(crate) fn opened(&self) -> Version {
        Version {
            bytes: self.bytes,
            tag: self.tag.clone(),
        }
    }

    /// An error of one that is another than it was when it was opened before.
    pub(crate) fn changed(&self) -> io::Error {
        self.note(io::ErrorKind::InvalidData, CHANGED)
    }

    /// Asks for a range until it comes, or will not come.
    fn ask(&self, range: Range<u64>) -> io::Result<Got> {
        if let Some((kind, why)) = self.lost.get() {
            return Err(io::Error::new(*kind, why.clone()));
        }
        let mut pause = self.manners.pause;
        let mut tries = 0_u32;
        loop {
            self.shared.request();
            tries = tries.saturating_add(1);
            let (kind, why) = match self.source.get(range.clone(), self.tag.as_ref()) {
                Ok(got) if self.tag.is_none() && self.bytes == 0 => return Ok(self.count(got)),
                Ok(got) if got.total == self.bytes && self.is_same(got.tag.as_ref()) => {
                    return Ok(self.count(got));
                }
                Ok(_) | Err(Problem::Changed) => (io::ErrorKind::InvalidData, CHANGED.to_owned()),
                Err(Problem::Lasting(kind, why)) => (kind, why),
                Err(Problem::Passing(_)) if tries < self.manners.tries => {
                    std::thread::sleep(pause);
                    pause = pause.saturating_mul(2);
                    continue;
                }
                Err(Problem::Passing(why)) => {
                    let text = format!("bytes {range:?} could not be read in {tries} tries: {why}");
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
        let bytes = got.bytes.len() as u64;
        self.got.fetch_add(bytes, Ordering::Relaxed);
        self.shared.came(bytes);
        got
    }

    /// An error, which is told at the end even where it is only a fault to whoever reads.
    fn note(&self, kind: io::ErrorKind, why: &str) -> io::Error {
        let text = format!("{}: {why}", osier_text::visible(&self.source.shown()));
        self.shared.note(text);
        let _ = self.lost.set((kind, why.to_owned()));
        io::Error::new(kind, why)
    }

    /// The blocks there are.
    fn blocks(&self) -> u64 {
        self.bytes.div_ceil(BLOCK)
    }

    /// The block of this number; `until` is the last that is needed with it.
    fn block(&self, state: &mut State, number: u64, until: u64) -> io::Result<Arc<[u8]>> {
        if let Some(block) = state.held(number, &self.shared) {
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
        state.add(wanted.start, &got.bytes, &self.shared);
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
        self.source.lasting().hash(&mut hasher);
        self.bytes.hash(&mut hasher);
        self.tag.as_ref().map(Tag::text).hash(&mut hasher);
        hasher.finish()
    }
}

impl State {
    /// A block that is here or on the disk.
    fn held(&mut self, number: u64, shared: &Shared) -> Option<Arc<[u8]>> {
        if let Some(block) = self.blocks.get(&number) {
            return Some(block.clone());
        }
        let block: Arc<[u8]> = self.kept.as_ref()?.read(number)?.into();
        self.hold(number, block.clone(), shared);
        Some(block)
    }

    fn has(&self, number: u64) -> bool {
        self.blocks.contains_key(&number) || self.kept.as_ref().is_some_and(|kept| kept.has(number))
    }

    /// The blocks to ask for when `number` is needed, and those up to `until` with it: twice as many as before where
    /// one is read after the other, or those around it; none that is here already.
    fn wanted(&mut self, number: u64, until: u64, blocks: u64) -> Range<u64> {
        let goes_on = number == self.next;
        let asked = self.asked.entry(number / REGION).or_default();
        let around = AROUND.get(*asked).or(AROUND.last()).copied().unwrap_or(1);
        *asked = asked.saturating_add(1);
        self.ahead = if goes_on {
            self.ahead.saturating_mul(2).min(AHEAD)
        } else {
            around
        };
        let mut start = number;
        if !goes_on {
            let least = number.saturating_sub(around / 2);
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
    fn add(&mut self, first: u64, bytes: &[u8], shared: &Shared) {
        for (number, block) in (first..).zip(bytes.chunks(BLOCK as usize)) {
            if let Some(kept) = &mut self.kept {
                kept.write(number, block);
            }
            self.hold(number, block.into(), shared);
        }
    }

    fn hold(&mut self, number: u64, block: Arc<[u8]>, shared: &Shared) {
        if self.blocks.insert(number, block).is_none() {
            self.order.push_back(number);
            shared.hold();
        }
        while self.order.len() > HELD
            && let Some(oldest) = self.order.pop_front()
        {
            self.blocks.remove(&oldest);
            shared.let_go(1);
        }
    }
}
