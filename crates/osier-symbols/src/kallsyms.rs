//! kallsyms: the symbol table that a kernel carries of itself.
//!
//! The names are compressed: each is a length and so many bytes, and each byte stands for a token.
//! `kallsyms_token_table` holds the 256 tokens, `kallsyms_token_index` where each starts. A token
//! whose number is the code of a character that symbols use is that character, so the tokens `0` to
//! `9` always stand in a row; that row is what the table is found by. The first character of a name
//! is the symbol's kind (`T`, `d`, …).
//!
//! ```text
//! until 6.3   offsets  relative_base  num_syms  names  markers  [seqs_of_names]  token_table  token_index
//! since 6.4   num_syms  names  markers  token_table  token_index  offsets  [relative_base]  seqs_of_names
//! ```
//!
//! Tables start at multiples of a pointer's size, since 7.0 of 4; markers and the number of symbols are
//! pointers' size until 4.19, 4 bytes since. None of it is asked by a version: what is found decides.
//!
//! Source: the kernel's `scripts/kallsyms.c` and `kernel/kallsyms.c`. Linux commit 80ffbaa5b1bd
//! ("kallsyms: reduce size a little on 64-bit"), v4.20, made markers smaller; commit a081b5789255
//! ("kallsyms: Get rid of kallsyms relative base"), v7.0, made each offset relative to its own place
//! and aligned all tables to 4.

mod packed;

use osier_memory::{AddressSpace, VirtAddr};

use packed::{DIGIT_ZERO, INDEX, PER_MARKER, Tokens, count_names, index_of, packed, skip_names};

/// The ten digit tokens in a row.
pub(crate) const DIGITS: &[u8; 20] = b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00";
/// Bytes that the 256 tokens and their index may take.
const MAX_TABLE: usize = 8192;
/// Bytes of the longest compressed name, its length included.
const MAX_NAME: usize = 1026;
/// Bytes between two markers: 256 names of 2 bytes and more.
const MARKER_STEPS: std::ops::Range<u64> = 512..(PER_MARKER * MAX_NAME) as u64;
/// Bytes of padding before a table: less than the most that tables were ever aligned to.
const MAX_PADDING: usize = 16;
/// Bytes of names that are looked through before the markers.
const MAX_NAMES: usize = 64 << 20;

/// Why no symbols could be read at a place that looks like a token table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no kallsyms at {at}: {problem}")]
pub struct KallsymsError {
    /// Address of the token `0`.
    pub at: VirtAddr,
    /// What did not fit.
    pub problem: &'static str,
    /// How many tables did: of several places the one where most did is the one to tell of.
    pub tables: u8,
}

/// How addresses are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Pointers.
    Absolute,
    /// 32-bit offsets from `kallsyms_relative_base`.
    Relative,
    /// 32-bit offsets that are an absolute value when not negative, and count backwards from the
    /// base when negative (`CONFIG_KALLSYMS_ABSOLUTE_PERCPU`).
    RelativePerCpu,
    /// 32-bit offsets, each from its own place.
    PlaceRelative,
}

/// One kernel's symbol table, decoded but for the names.
#[derive(Debug)]
pub struct Kallsyms {
    names: Vec<u8>,
    tokens: Tokens,
    addresses: Vec<u8>,
    addresses_at: VirtAddr,
    base: u64,
    pointer_bytes: u8,
    encoding: Encoding,
    count: usize,
    damage: Vec<String>,
}

fn word(bytes: &[u8], index: usize) -> Option<u32> {
    let at = index.checked_mul(4)?;
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn align(value: u64, to: u8) -> u64 {
    let mask = u64::from(to).saturating_sub(1);
    value.saturating_add(mask) & !mask
}

impl Kallsyms {
    /// Reads the table whose token `0` stands at `digits`, of the kernel whose `_text` runs at
    /// `text`: the encoding is the one by which `_text` or `_stext` comes out there, or `_stext` a little
    /// further on where the table has no `_text`.
    ///
    /// # Errors
    ///
    /// Says what did not fit: the place only looks like a token table, or the memory is damaged.
    pub fn read(
        space: &AddressSpace,
        digits: VirtAddr,
        text: VirtAddr,
    ) -> Result<Self, KallsymsError> {
        Reader { space, digits }.kallsyms(text)
    }

    /// Number of symbols.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How addresses are stored.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// What in the tables contradicts itself, a line each: they were damaged, and a symbol that is not found
    /// may have lost its name. Empty of tables that are whole.
    pub fn damage(&self) -> &[String] {
        &self.damage
    }

    /// Shows every symbol: kind, name, and address in the running kernel. Per-CPU symbols of a
    /// kernel that links them at 0 come as they are stored.
    pub fn each(&self, symbol: impl FnMut(u8, &[u8], u64)) {
        self.each_where(|_, _| true, symbol);
    }

    /// Shows the kind and the address of every symbol, in their order; no name is put together.
    pub fn places(&self, mut symbol: impl FnMut(u8, u64)) {
        let mut at = 0;
        for index in 0..self.count {
            let Some((bytes, next)) = packed(&self.names, at) else {
                return;
            };
            at = next;
            if let (Some(kind), Some(address)) = (self.tokens.kind(bytes), self.address(index)) {
                symbol(kind, address);
            }
        }
    }

    /// The name of the first symbol at `address`; `None` where there is none.
    pub fn name_at(&self, address: u64) -> Option<Vec<u8>> {
        let mut at = 0;
        for index in 0..self.count {
            let (bytes, next) = packed(&self.names, at)?;
            at = next;
            if self.address(index) == Some(address) {
                let mut name = Vec::new();
                self.tokens.expand(bytes, &mut name);
                return name.get(1..).map(<[u8]>::to_vec);
            }
        }
        None
    }

    /// As [`each`](Self::each), but only those names are put together whose first byte and length
    /// `may_be` wants.
    pub fn each_where(
        &self,
        may_be: impl Fn(u8, usize) -> bool,
        mut symbol: impl FnMut(u8, &[u8], u64),
    ) {
        let mut at = 0;
        let mut name = Vec::with_capacity(256);
        for index in 0..self.count {
            let Some((bytes, next)) = packed(&self.names, at) else {
                return;
            };
            at = next;
            let (first, len) = self.tokens.outline(bytes);
            if !may_be(first, len) {
                continue;
            }
            self.tokens.expand(bytes, &mut name);
            if let (Some((kind, name)), Some(address)) = (name.split_first(), self.address(index)) {
                symbol(*kind, name, address);
            }
        }
    }

    fn address(&self, index: usize) -> Option<u64> {
        let mask = if self.pointer_bytes == 4 {
            0xffff_ffff
        } else {
            u64::MAX
        };
        if self.encoding == Encoding::Absolute {
            let width = usize::from(self.pointer_bytes);
            let at = index.checked_mul(width)?;
            let bytes = self.addresses.get(at..at.checked_add(width)?)?;
            let value = bytes.iter().rev();
            return Some(value.fold(0, |value, byte| (value << 8) | u64::from(*byte)));
        }
        let offset = word(&self.addresses, index)?;
        let signed = i64::from(offset.cast_signed()).cast_unsigned();
        let address = match self.encoding {
            Encoding::RelativePerCpu if offset.cast_signed() >= 0 => u64::from(offset),
            Encoding::RelativePerCpu => self.base.wrapping_sub(1).wrapping_sub(signed),
            Encoding::PlaceRelative => {
                let place = self.addresses_at.plus((index as u64).wrapping_mul(4));
                place.plus(signed).0
            }
            _ => self.base.wrapping_add(u64::from(offset)),
        };
        Some(address & mask)
    }

    /// Where `_text` and `_stext` stand. Each of the `markers` is held against where its name starts.
    fn text_places(&mut self, markers: &[u32]) -> TextPlaces {
        /// `T_stext` has at most so many tokens.
        const TOKENS: usize = 7;
        let mut places = TextPlaces::default();
        let mut at = 0;
        let mut name = Vec::with_capacity(256);
        let (mut lost, mut unkind) = (None, None);
        for index in 0..self.count {
            let marked = index.is_multiple_of(PER_MARKER) && lost.is_none();
            let marker = markers
                .get(index / PER_MARKER)
                .map(|marker| *marker as usize);
            if marked && marker != Some(at) {
                lost = Some(index);
            }
            let Some((bytes, next)) = packed(&self.names, at) else {
                lost = lost.or(Some(index));
                break;
            };
            at = next;
            if unkind.is_none() && !self.tokens.kind(bytes).is_some_and(is_kind) {
                unkind = Some(index);
            }
            if bytes.len() <= TOKENS {
                self.tokens.expand(bytes, &mut name);
                match name.get(1..) {
                    Some(b"_text") => places.text.push(index),
                    Some(b"_stext") => places.start.push(index),
                    _ => {}
                }
            }
        }
        let count = self.count;
        if let Some(index) = lost {
            self.damaged(&format!(
                "the names do not lie where the markers have them, before number {index} of {count}"
            ));
        }
        if let Some(index) = unkind {
            self.damaged(&format!("name {index} of {count} begins with no kind"));
        }
        if let Some(token) = self.tokens.odd() {
            self.damaged(&format!("token {token} has a byte that no name has"));
        }
        places
    }

    /// Holds each address against the one before it: the table is in their order.
    fn hold_addresses(&mut self) {
        let (mut falling, mut first) = (0_usize, 0);
        let mut before = self.address(0);
        for index in 1..self.count {
            let address = self.address(index);
            if before > address {
                if falling == 0 {
                    first = index;
                }
                falling = falling.saturating_add(1);
            }
            before = address;
        }
        if falling > 0 {
            self.damaged(&format!(
                "{falling} of {} addresses are below the one before, the first number {first}",
                self.count
            ));
        }
    }

    fn damaged(&mut self, what: &str) {
        self.damage
            .push(format!("the kernel's kallsyms are damaged: {what}"));
    }
}

/// The indexes of `_text` and of `_stext`.
#[derive(Debug, Default)]
struct TextPlaces {
    text: Vec<usize>,
    start: Vec<usize>,
}

impl TextPlaces {
    /// Whether the addresses are those of a kernel whose `_text` runs at `text`; with `near`, by `_stext` behind it, too.
    ///
    /// `_stext` is `_text`, or stands behind the code that processors start by. Kernels without
    /// `CONFIG_KALLSYMS_ALL` list what lies from `_stext` on alone, and so no `_text`.
    fn fit(&self, text: VirtAddr, near: bool, address: impl Fn(usize) -> Option<u64>) -> bool {
        /// More than the code before `_stext` ever took: x86-64 had page tables there.
        const HEAD: u64 = 2 << 20;
        let runs_there = |index: &usize| address(*index) == Some(text.0);
        let behind = |index: &usize| {
            address(*index).is_some_and(|at| at.checked_sub(text.0).is_some_and(|far| far < HEAD))
        };
        self.text.iter().chain(&self.start).any(runs_there)
            || near && self.text.is_empty() && self.start.iter().any(behind)
    }
}

/// Whether `kind` is what `nm` calls a symbol that the kernel lists: `?` one of a section that is neither code nor
/// data, such as `__nosave_begin`.
const fn is_kind(kind: u8) -> bool {
    matches!(
        kind.to_ascii_lowercase(),
        b'?' | b'a' | b'b' | b'c' | b'd' | b'g' | b'i' | b'r' | b's' | b't' | b'v' | b'w'
    )
}

/// Reads the tables around one token table.
struct Reader<'a> {
    space: &'a AddressSpace,
    digits: VirtAddr,
}

impl Reader<'_> {
    fn no(&self, tables: u8, problem: &'static str) -> KallsymsError {
        KallsymsError {
            at: self.digits,
            problem,
            tables,
        }
    }

    fn bytes(&self, at: VirtAddr, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.space.read(at, &mut bytes).ok()?;
        Some(bytes)
    }

    /// Up to `len` bytes that end at `end`: as many as can be read without a gap.
    fn bytes_before(&self, end: VirtAddr, len: usize) -> Vec<u8> {
        let len = len.min(usize::try_from(end.0).unwrap_or(len));
        let mut bytes = vec![0; len];
        let gaps = self.space.read_partial(end.minus(len as u64), &mut bytes);
        match gaps.last() {
            Some(gap) => bytes.split_off(gap.start.saturating_add(gap.len).min(len)),
            None => bytes,
        }
    }

    /// The tokens, where their table starts, and where the index ends.
    fn tokens(&self) -> Result<(Tokens, VirtAddr, VirtAddr), KallsymsError> {
        let mut rest = vec![0; MAX_TABLE];
        let gaps = self.space.read_partial(self.digits, &mut rest);
        if let Some(gap) = gaps.first() {
            rest.truncate(gap.start);
        }
        let after = memchr::memchr_iter(0, &rest)
            .nth(255_usize.wrapping_sub(DIGIT_ZERO))
            .map(|end| end.saturating_add(1))
            .ok_or_else(|| self.no(0, "fewer than 256 tokens"))?;
        let (at, starts) = (after..after.saturating_add(MAX_PADDING))
            .take_while(|at| {
                rest.get(after..*at)
                    .is_some_and(|pad| pad.iter().all(|&b| b == 0))
            })
            .find_map(|at| Some((at, index_of(&rest, at)?)))
            .ok_or_else(|| self.no(0, "no token index behind the tokens"))?;
        let zero = starts.get(DIGIT_ZERO).copied().unwrap_or(0);
        let table_at = self.digits.minus(u64::from(zero));
        let table = self
            .bytes(table_at, usize::from(zero).saturating_add(after))
            .ok_or_else(|| self.no(1, "the token table cannot be read"))?;
        let mut places = Box::new([(0, 0); 256]);
        let mut expected = 0_usize;
        for (start, place) in starts.into_iter().zip(places.iter_mut()) {
            let from = usize::from(start);
            let len = table.get(from..).and_then(|rest| memchr::memchr(0, rest));
            let len = len.ok_or_else(|| self.no(1, "a token has no end"))?;
            if from != expected {
                return Err(self.no(1, "the token index does not fit the token table"));
            }
            expected = from.saturating_add(len).saturating_add(1);
            *place = (start, u16::try_from(len).unwrap_or(0));
        }
        let end = self.digits.plus(at.saturating_add(INDEX) as u64);
        Ok((Tokens { table, places }, table_at, end))
    }

    /// Where the number of symbols stands before the names at `names_at`, when it is `count`. It
    /// fills a pointer's size, or 4 bytes since the tables are aligned to 4 (7.x).
    fn stored_count(&self, names_at: VirtAddr, count: usize) -> Option<VirtAddr> {
        let pointer = u64::from(self.space.mode().pointer_bytes());
        let mut places = [pointer, 4].map(|size| names_at.minus(size)).into_iter();
        places.find(|at| self.space.read_uint(*at, 4) == Ok(count as u64))
    }

    /// The names that end before `markers_at`: where their stored number stands, their bytes and
    /// their number.
    fn names(&self, markers: &[u32], markers_at: VirtAddr) -> Option<(VirtAddr, Vec<u8>, usize)> {
        let pointer = usize::from(self.space.mode().pointer_bytes());
        let last = *markers.last()? as usize;
        let second = *markers.get(1)? as usize;
        // After the last marker there are 1 to 256 names, and less than a pointer of padding.
        let reach = last.checked_add(PER_MARKER.checked_mul(MAX_NAME)?)?;
        let mut before = self.bytes_before(markers_at, reach.min(MAX_NAMES));
        // Both tables start at a multiple of 4, in older kernels of a pointer's size.
        let shortest = last.checked_add(1)?.checked_next_multiple_of(4)?;
        let mut start = before.len().checked_sub(shortest);
        while let Some(at) = start {
            if let Some(names) = before.get(at..)
                && skip_names(names, PER_MARKER) == Some(second)
                && let Some(count) = count_names(names, markers.len(), last, pointer)
                && let Some(num_syms_at) =
                    self.stored_count(markers_at.minus(names.len() as u64), count)
            {
                before.drain(..at);
                return Some((num_syms_at, before, count));
            }
            start = at.checked_sub(4);
        }
        None
    }

    fn kallsyms(&self, text: VirtAddr) -> Result<Kallsyms, KallsymsError> {
        let pointer = self.space.mode().pointer_bytes();
        let (tokens, table_at, index_end) = self.tokens()?;
        // First as near as markers lie, then past three bytes a symbol in between (6.2 and 6.3, and the 6.1 that
        // took it over), of a kernel as large as a distribution's and of the largest; of four bytes, then of a
        // pointer's size.
        let reaches = [32_usize << 10, 512 << 10, 4 << 20];
        let places = reaches.map(|reach| [(reach, 4), (reach, pointer)]);
        let mut markers = places.into_iter().flatten().filter_map(|(reach, width)| {
            let end = VirtAddr(table_at.0 & !(u64::from(width).wrapping_sub(1)));
            let before = self.bytes_before(end, reach);
            let (markers, at) = find_markers(&before, usize::from(width))?;
            let from_end = before.len().checked_sub(at)?;
            Some((markers, end.minus(from_end as u64)))
        });
        let mut problem = self.no(2, "no markers before the token table");
        let ((num_syms_at, names, count), markers) = markers
            .find_map(|(markers, markers_at)| {
                let counted = "no names before the markers, counted as they are stored";
                problem = self.no(3, counted);
                // What follows the markers may go on like one more of them.
                (0..3)
                    .filter_map(|cut| markers.get(..markers.len().checked_sub(cut)?))
                    .find_map(|markers| Some((self.names(markers, markers_at)?, markers.to_vec())))
            })
            .ok_or(problem)?;
        let mut symbols = Kallsyms {
            names,
            tokens,
            addresses: Vec::new(),
            addresses_at: VirtAddr(0),
            base: 0,
            pointer_bytes: pointer,
            encoding: Encoding::Relative,
            count,
            damage: Vec::new(),
        };
        let places = symbols.text_places(&markers);
        let offsets = align((count as u64).saturating_mul(4), pointer);
        let pointers = (count as u64).saturating_mul(u64::from(pointer));
        let base_before = num_syms_at.minus(u64::from(pointer));
        let by_offset: &[Encoding] = &[
            Encoding::RelativePerCpu,
            Encoding::PlaceRelative,
            Encoding::Relative,
        ];
        let by_pointer: &[Encoding] = &[Encoding::Absolute];
        // Where the addresses may start, their bytes, where the base then is, and the encodings.
        let near = VirtAddr(align(index_end.0, 4));
        let after = VirtAddr(align(index_end.0, pointer));
        let base_after = |start: VirtAddr| {
            let end = start.plus((count as u64).saturating_mul(4));
            VirtAddr(align(end.0, pointer))
        };
        let shapes = [
            (near, offsets, base_after(near), by_offset),
            (after, offsets, base_after(after), by_offset),
            (base_before.minus(offsets), offsets, base_before, by_offset),
            (near, pointers, near, by_pointer),
            (after, pointers, after, by_pointer),
            (num_syms_at.minus(pointers), pointers, after, by_pointer),
        ];
        for (table, len, base_at, encodings) in shapes {
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            let Some(addresses) = self.bytes(table, len) else {
                continue;
            };
            symbols.addresses = addresses;
            symbols.addresses_at = table;
            symbols.base = self.space.read_pointer(base_at).map_or(0, |base| base.0);
            for encoding in encodings {
                symbols.encoding = *encoding;
                // Since tables are place-relative, `_stext` is `_text`.
                let near = *encoding != Encoding::PlaceRelative;
                if places.fit(text, near, |index| symbols.address(index)) {
                    symbols.hold_addresses();
                    return Ok(symbols);
                }
            }
        }
        Err(self.no(4, "no table of addresses gives _text where the kernel runs"))
    }
}

/// The markers, one word of `width` bytes for each 256 symbols, from 0 on: the last 0 in `before`, which
/// ends where the markers do, that enough steps of a marker's size follow. Returned are the words and
/// where they start.
fn find_markers(before: &[u8], width: usize) -> Option<(Vec<u32>, usize)> {
    let first = before.len().checked_rem(width)?;
    let words = before.get(first..)?.chunks_exact(width);
    let word = |bytes: &[u8]| {
        let value = bytes.iter().rev();
        value.fold(0_u64, |word, byte| word << 8 | u64::from(*byte))
    };
    let zeros = words.clone().enumerate().rev();
    for (at, _) in zeros.filter(|(_, bytes)| bytes.iter().all(|byte| *byte == 0)) {
        let tail = words.clone().skip(at).map(word);
        let steps = tail.clone().zip(tail.clone().skip(1));
        let run = steps
            .take_while(|(one, other)| MARKER_STEPS.contains(&other.wrapping_sub(*one)))
            .count();
        if run >= 4 {
            let markers = tail.take(run.saturating_add(1)).map(u32::try_from);
            let markers = markers.collect::<Result<Vec<u32>, _>>().ok()?;
            return Some((markers, at.checked_mul(width)?.checked_add(first)?));
        }
    }
    None
}
