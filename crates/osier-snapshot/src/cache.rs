//! The bounded cache that every format reads through: pages copied out of the file, and decoded ones.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, Hash};
use std::iter;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use foldhash::fast::RandomState;
use osier_memory::{Cause, PAGE_BYTES};

use crate::data::{self, Data};

/// What a kept unit costs beside its bytes: the `Arc`'s counts, and its places in map and queue.
const OVERHEAD: usize = 96;

/// The most bytes of pages that are kept at first of what was copied out of the file, which has them again. A
/// page that is copied once more costs about what the first touch of another buffer costs, so that more
/// is not faster for one question.
const COPIED_BYTES: u64 = 1 << 19;

/// Pages that a part copies before it looks which of them it copies again: more than one question needs.
const COPIED_BEFORE: u64 = 256;

/// The most pages that stay because they were copied again: 16 MiB.
const STAYING: usize = 1 << 12;

/// Parts of a cache of pages. Threads ask one snapshot for thousands of pages in a millisecond, and each waits for those
/// that ask the same part alone.
const PARTS: usize = 8;

/// Units of bytes (pages, frames, blocks) by key, within a budget of bytes.
///
/// A unit that is kept is never decoded again, not even when threads ask for it at once: the second
/// waits for the first. When the budget is spent, units leave by the second-chance rule: the oldest
/// goes, unless it was asked for since it came or was last passed over. The unit that came last
/// stays even when it alone exceeds the budget, so that reads inside it cost one decode.
pub(crate) struct PageCache<K = u64> {
    /// Of each part.
    budget: usize,
    /// Which part has a unit, and where it stays.
    number: RandomState,
    /// Pages that were copied again, once there are any.
    staying: OnceLock<Staying<K>>,
    parts: Box<[Part<K>]>,
    /// The last part, which a cache of one has alone.
    last: Part<K>,
}

/// Pages for good, each at a place that its key gives. A snapshot that is asked again and again, often by several
/// threads, finds most of its pages here, and no thread waits for another or writes what another reads.
struct Staying<K> {
    places: Box<[Place<K>]>,
    /// The hash of the page that was copied last, of each place.
    came: Box<[AtomicU64]>,
}

/// A page and its key, once one stays there.
type Place<K> = OnceLock<(K, Arc<[u8]>)>;

impl<K: Copy + Eq> Staying<K> {
    fn new() -> Self {
        Self {
            places: iter::repeat_with(OnceLock::new).take(STAYING).collect(),
            came: iter::repeat_with(AtomicU64::default)
                .take(STAYING)
                .collect(),
        }
    }

    /// The page `key`, of this hash.
    fn get(&self, key: K, hash: u64) -> Option<&Arc<[u8]>> {
        let place = self.places.get(hash as usize % STAYING)?;
        let (at, page) = place.get()?;
        (*at == key).then_some(page)
    }

    /// A page was copied, which stays when it was the last at its place, too.
    fn came(&self, key: K, hash: u64, page: &Arc<[u8]>) {
        let at = hash as usize % STAYING;
        let before = self
            .came
            .get(at)
            .map(|came| came.swap(hash, Ordering::Relaxed));
        if let (true, Some(place)) = (before == Some(hash), self.places.get(at)) {
            place.get_or_init(|| (key, Arc::clone(page)));
        }
    }
}

/// A part of a cache, on lines of the processors' caches of its own.
#[repr(align(128))]
struct Part<K>(Mutex<Kept<K>>);

struct Kept<K> {
    units: HashMap<K, Unit, RandomState>,
    /// Keys of `units`, the oldest first.
    queue: VecDeque<K>,
    /// What `units` cost.
    bytes: usize,
    /// Units that ever came.
    came: u64,
    /// A page that left and that nobody else had kept, for the next that comes: memory that was touched.
    spare: Option<Arc<[u8]>>,
    /// Units that are being decoded; who comes second waits for the lock.
    turns: HashMap<K, Arc<Mutex<()>>>,
}

struct Unit {
    bytes: Arc<[u8]>,
    asked: bool,
}

impl<K: Copy + Eq + Hash> PageCache<K> {
    /// A cache that keeps at most `budget` bytes.
    pub(crate) fn new(budget: u64) -> Self {
        Self::parted(budget, 1)
    }

    /// A cache that keeps at most `budget` bytes of pages, in several parts. Where units may be larger than pages, a part
    /// would have room for few.
    pub(crate) fn of_pages(budget: u64) -> Self {
        Self::parted(budget, PARTS)
    }

    /// A cache of pages that are copied out of the file. Few are kept, and those that are copied again.
    pub(crate) fn of_copies() -> Self {
        Self::parted(COPIED_BYTES, PARTS)
    }

    fn parted(budget: u64, parts: usize) -> Self {
        let part = || {
            Part(Mutex::new(Kept {
                units: HashMap::default(),
                queue: VecDeque::new(),
                bytes: 0,
                came: 0,
                spare: None,
                turns: HashMap::new(),
            }))
        };
        let budget = usize::try_from(budget).unwrap_or(usize::MAX);
        Self {
            budget: budget.checked_div(parts).unwrap_or(budget),
            number: RandomState::default(),
            staying: OnceLock::new(),
            parts: iter::repeat_with(part)
                .take(parts.saturating_sub(1))
                .collect(),
            last: part(),
        }
    }

    /// The unit `key`: kept, or decoded now. A key is all that decides what `decode` gives: in a
    /// damaged file two units of different lengths or codecs may start at one file offset, so that
    /// an offset alone is not a key. `decode` may ask the same cache for other units, not for `key`.
    ///
    /// # Errors
    ///
    /// What `decode` says; failures are not kept.
    pub(crate) fn get_or_decode<E>(
        &self,
        key: K,
        decode: impl FnOnce() -> Result<Arc<[u8]>, E>,
    ) -> Result<Arc<[u8]>, E> {
        let turn = {
            let mut kept = self.lock(key);
            if let Some(bytes) = kept.get(key) {
                return Ok(bytes);
            }
            kept.turns.entry(key).or_default().clone()
        };
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = self.lock(key).get(key) {
            return Ok(bytes);
        }
        let decoded = decode();
        let mut kept = self.lock(key);
        kept.turns.remove(&key);
        if let Ok(bytes) = &decoded {
            kept.put(key, bytes.clone(), self.budget);
        }
        decoded
    }

    /// The unit `key`, which is the `len` bytes at `offset` of `data` as they lie there: at most a
    /// page. A file that is shorter by now gives fewer. It costs so little that two threads which ask
    /// for it at once may both read it, and that nobody waits for another who uses the cache: a process that was
    /// forked meanwhile would wait for good.
    ///
    /// # Errors
    ///
    /// [`Cause::FileShort`] where it gives none, [`Cause::ReadFailed`] where the system says so.
    pub(crate) fn get_or_copy(
        &self,
        key: K,
        data: &Data,
        offset: u64,
        len: u64,
    ) -> Result<Arc<[u8]>, Cause> {
        let hash = self.number.hash_one(key);
        let staying = self.staying.get();
        if let Some(bytes) = staying.and_then(|staying| staying.get(key, hash)) {
            return Ok(Arc::clone(bytes));
        }
        let part = self.part(hash);
        let spare = match part.try_lock() {
            Ok(mut kept) => {
                if let Some(bytes) = kept.get(key) {
                    return Ok(bytes);
                }
                kept.spare.take()
            }
            Err(_) => None,
        };
        let mut page = spare.unwrap_or_else(|| Arc::new([0; PAGE_BYTES as usize]));
        let room =
            Arc::get_mut(&mut page).and_then(|page| page.get_mut(..usize::try_from(len).ok()?));
        let room = room.unwrap_or_default();
        let bytes = match data.read_some(offset, room) {
            Ok(0) => return Err(Cause::FileShort { offset }),
            Ok(n) if n as u64 == PAGE_BYTES => page,
            Ok(n) => Arc::from(room.get(..n).unwrap_or_default()),
            Err(error) => return Err(data::cause(&error, offset)),
        };
        if let Ok(mut kept) = part.try_lock() {
            kept.put(key, Arc::clone(&bytes), self.budget);
            if kept.came > COPIED_BEFORE {
                let staying = self.staying.get_or_init(Staying::new);
                staying.came(key, hash, &bytes);
            }
        }
        Ok(bytes)
    }

    /// Whether the page `key` is worth copying whole for a few bytes: it is kept, and nobody else uses the cache just
    /// now, or so much was copied that what is copied again stays.
    pub(crate) fn wants(&self, key: K) -> bool {
        let kept = || self.part(self.number.hash_one(key)).try_lock();
        self.staying.get().is_some() || kept().is_ok_and(|kept| kept.units.contains_key(&key))
    }

    /// The part that has the units of this hash, if any. Its number are other bits than those of a place to stay.
    fn part(&self, hash: u64) -> &Mutex<Kept<K>> {
        let number = (hash >> 32) as usize;
        let number = number.checked_rem(self.parts.len().saturating_add(1));
        let part = number.and_then(|number| self.parts.get(number));
        &part.unwrap_or(&self.last).0
    }

    fn lock(&self, key: K) -> MutexGuard<'_, Kept<K>> {
        self.part(self.number.hash_one(key))
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash> Kept<K> {
    fn get(&mut self, key: K) -> Option<Arc<[u8]>> {
        let unit = self.units.get_mut(&key)?;
        unit.asked = true;
        Some(unit.bytes.clone())
    }

    fn put(&mut self, key: K, bytes: Arc<[u8]>, budget: usize) {
        let cost = bytes.len().saturating_add(OVERHEAD);
        self.came = self.came.saturating_add(1);
        while self.bytes.saturating_add(cost) > budget {
            let Some(oldest) = self.queue.pop_front() else {
                break;
            };
            match self.units.get_mut(&oldest) {
                Some(unit) if unit.asked => {
                    unit.asked = false;
                    self.queue.push_back(oldest);
                }
                _ => {
                    if let Some(mut gone) = self.units.remove(&oldest) {
                        let len = gone.bytes.len();
                        self.bytes = self.bytes.saturating_sub(len.saturating_add(OVERHEAD));
                        if len as u64 == PAGE_BYTES && Arc::get_mut(&mut gone.bytes).is_some() {
                            self.spare = Some(gone.bytes);
                        }
                    }
                }
            }
        }
        let unit = Unit {
            bytes,
            asked: false,
        };
        if self.units.insert(key, unit).is_none() {
            self.queue.push_back(key);
            self.bytes = self.bytes.saturating_add(cost);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn ask(cache: &PageCache, key: u64, len: usize, decoded: &AtomicUsize) {
        let page = cache.get_or_decode(key, || -> Result<_, ()> {
            decoded.fetch_add(1, Ordering::Relaxed);
            Ok(Arc::from(vec![key as u8; len]))
        });
        let page = page.unwrap();
        assert!(page.len() == len && page.iter().all(|byte| *byte == key as u8));
    }

    #[test]
    fn a_page_is_decoded_once_in_its_life() {
        let decoded = AtomicUsize::new(0);
        let cache = PageCache::new(16 << 20);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|key| ask(&cache, key, 4096, &decoded)));
            }
        });
        assert_eq!(decoded.into_inner(), 500);
        assert!(cache.lock(0).turns.is_empty());
    }

    #[test]
    fn the_budget_is_kept_and_pages_in_use_stay() {
        let decoded = AtomicUsize::new(0);
        let cache = PageCache::new(10 * (4096 + OVERHEAD as u64));
        for key in 1..1000 {
            ask(&cache, 0, 4096, &decoded);
            ask(&cache, key, 4096, &decoded);
            let kept = cache.lock(0);
            assert!(kept.bytes <= cache.budget);
            assert_eq!(kept.units.len(), kept.queue.len());
        }
        assert_eq!(decoded.into_inner(), 1000); // the page in use never left
    }

    #[test]
    fn parts_keep_the_budget_together() {
        let decoded = AtomicUsize::new(0);
        let cache = PageCache::of_copies();
        for key in 0..1000 {
            ask(&cache, key, 4096, &decoded);
            ask(&cache, key, 4096, &decoded);
        }
        assert_eq!(decoded.into_inner(), 1000);
        let parts = cache.parts.iter().chain([&cache.last]);
        let bytes: usize = parts.map(|part| part.0.lock().unwrap().bytes).sum();
        let budget = COPIED_BYTES as usize;
        assert!(budget / 2 < bytes && bytes <= budget, "{bytes}");
    }

    /// What was copied twice is read from the file no more, and what was copied once leaves again.
    #[test]
    fn pages_that_are_copied_again_stay() {
        let pages = 2000_u64;
        let path = std::env::temp_dir().join(format!("osier-stay-{}", std::process::id()));
        let bytes: Vec<u8> = (0..pages).flat_map(|page| [page as u8; 4096]).collect();
        std::fs::write(&path, &bytes).unwrap();
        let data = Data::open(&path).unwrap();
        let cache = PageCache::of_copies();
        let ask = |page: u64| cache.get_or_copy(page, &data, page * PAGE_BYTES, PAGE_BYTES);
        for page in (0..pages).chain(0..1000).chain(0..1000) {
            assert_eq!(ask(page).unwrap()[..], [page as u8; 4096]);
        }
        std::fs::File::create(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let (again, once): (Vec<u64>, Vec<u64>) = (0..pages)
            .filter(|&page| ask(page).is_ok())
            .partition(|&page| page < 1000);
        assert!(again.len() > 700, "{}", again.len()); // some have another's place
        assert!(once.len() < 100, "{}", once.len());
        assert!(again.iter().all(|&page| cache.wants(page)));
    }

    #[test]
    fn a_unit_over_the_budget_is_kept_alone() {
        let decoded = AtomicUsize::new(0);
        let cache = PageCache::new(0);
        for key in [1, 1, 1, 2, 2, 1] {
            ask(&cache, key, 1 << 20, &decoded);
            assert_eq!(cache.lock(0).units.len(), 1);
        }
        assert_eq!(decoded.into_inner(), 3);
    }

    #[test]
    fn failures_are_not_kept() {
        let cache = PageCache::new(1 << 20);
        assert_eq!(cache.get_or_decode(7, || Err(3)), Err(3));
        ask(&cache, 7, 10, &AtomicUsize::new(0));
        assert!(cache.lock(0).turns.is_empty());
    }
}
