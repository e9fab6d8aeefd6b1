//! BTF: the type information that a kernel carries of itself.
//!
//! | bytes | header field |
//! |---|---|
//! | 0..2 | magic `9f eb` |
//! | 2 | version, 1 |
//! | 3 | flags |
//! | 4..8 | length of the header, 24 |
//! | 8..16 | start (after the header) and length of the type section |
//! | 16..24 | start and length of the string section |
//!
//! A type record is three words: the name's place among the strings, `info` (vlen in bits 15:0, kind
//! in 28:24, kflag in 31), and a size or another type's number; what follows depends on the kind.
//! Types are numbered from 1 in the order they stand. Source: the kernel's
//! `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h`. Only base BTF is read, not a
//! module's.

mod record;

use osier_profile::{Kind, Member, ProfileBuilder, Type, TypeKind, Wanted};

use crate::budget::{Budget, Exhausted};
use crate::names::Names;
pub(crate) use record::{Marks, MemberPlace, Record, kind};

/// The first bytes of little-endian BTF: magic, version 1, no flags, a header of 24 bytes.
pub(crate) const HEADER_START: [u8; 8] = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 24;
/// Typedefs and modifiers followed before a chain counts as a circle.
const MAX_CHAIN: usize = 64;
/// Anonymous structures, or arrays, inside one another.
const MAX_NESTING: usize = 24;

/// Why bytes are not BTF that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// The header is not one of little-endian BTF version 1, or its lengths do not fit the data.
    #[error("not BTF: {0}")]
    Header(&'static str),
    /// A type record cannot be read.
    #[error("BTF type {id} at byte {offset} of the type section: {problem}")]
    Record {
        /// The type's number.
        id: u32,
        /// Bytes from the start of the type section.
        offset: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// Types hold themselves, or are more than any kernel has.
    #[error("BTF without measure: {0}")]
    Measure(String),
}

impl From<Exhausted> for BtfError {
    fn from(exhausted: Exhausted) -> Self {
        Self::Measure(exhausted.to_string())
    }
}

/// The types and enumerators of a BTF blob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Types {
    /// Structures, unions, and typedefs of anonymous ones under the typedef's name.
    pub types: Vec<Type>,
    /// Enumerators.
    pub constants: Vec<(String, i64)>,
    /// Bytes of a pointer, as wide as `unsigned long`; 8 when the blob does not say.
    pub pointer_bytes: u8,
}

impl Types {
    /// Hands everything to `builder`.
    pub fn add_to(self, builder: &mut ProfileBuilder) {
        for ty in self.types {
            builder.add_type(ty);
        }
        for (name, value) in self.constants {
            builder.add_constant(name, value);
        }
    }
}

/// Bytes of a whole BTF blob whose header is `header`; `None` when it is not a sane header.
pub(crate) fn blob_bytes(header: &[u8]) -> Option<usize> {
    Sections::of(header).ok().map(|s| s.end())
}

/// Reads BTF, as of the section `.BTF` or of `/sys/kernel/btf/vmlinux`; bytes after its end are
/// passed over. With `wanted`, only those types and enumerators are kept.
///
/// # Errors
///
/// A bad header, a type record that runs out of its section or is of an unknown kind, or structures that
/// hold themselves.
pub fn parse(data: &[u8], wanted: Option<&Wanted>) -> Result<Types, BtfError> {
    Btf::of(data)?.collect(wanted)
}

impl<'a> Btf<'a> {
    /// The records of the blob `data`.
    pub(crate) fn of(data: &'a [u8]) -> Result<Self, BtfError> {
        let sections = Sections::of(data)?;
        let types = data
            .get(sections.types.clone())
            .ok_or(BtfError::Header("the type section ends after the data"))?;
        let strings = data
            .get(sections.strings.clone())
            .ok_or(BtfError::Header("the string section ends after the data"))?;
        if strings.first() != Some(&0) || strings.last() != Some(&0) {
            return Err(BtfError::Header("the string section is not NUL to NUL"));
        }
        Self::index(types, strings)
    }
}

struct Sections {
    types: std::ops::Range<usize>,
    strings: std::ops::Range<usize>,
}

impl Sections {
    fn of(data: &[u8]) -> Result<Self, BtfError> {
        if !data.starts_with(&HEADER_START) {
            return Err(BtfError::Header("the first eight bytes are others"));
        }
        let word = |at: usize| word_at(data, at).map(|w| w as usize);
        let parts = [word(8), word(12), word(16), word(20)];
        let [Some(type_off), Some(type_len), Some(str_off), Some(str_len)] = parts else {
            return Err(BtfError::Header("the header is cut short"));
        };
        let range = |off: usize, len: usize| {
            let start = off.checked_add(HEADER_BYTES)?;
            Some(start..start.checked_add(len)?)
        };
        let (Some(types), Some(strings)) = (range(type_off, type_len), range(str_off, str_len))
        else {
            return Err(BtfError::Header("a section is larger than memory"));
        };
        if type_len < 12 || !type_len.is_multiple_of(4) || str_len < 2 || types.end > strings.start
        {
            return Err(BtfError::Header("the sections' lengths make no sense"));
        }
        Ok(Self { types, strings })
    }

    fn end(&self) -> usize {
        self.strings.end.max(self.types.end)
    }
}

fn word_at(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// A blob whose records were all walked once.
pub(crate) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Start of type `id` at `id - 1`.
    starts: Vec<u32>,
    pub(crate) pointer_bytes: u64,
    /// What was made of it.
    pub(crate) budget: Budget,
}

impl<'a> Btf<'a> {
    fn index(types: &'a [u8], strings: &'a [u8]) -> Result<Self, BtfError> {
        let mut btf = Self {
            types,
            strings,
            starts: Vec::with_capacity(types.len() / 20),
            pointer_bytes: 8,
            budget: Budget::default(),
        };
        let mut at = 0_usize;
        while at < types.len() {
            let id = u32::try_from(btf.starts.len().saturating_add(1)).unwrap_or(u32::MAX);
            let bad = |problem| BtfError::Record {
                id,
                offset: at,
                problem,
            };
            let record = btf.record_at(at).ok_or_else(|| bad("it is cut short"))?;
            let body = record
                .body_bytes()
                .ok_or_else(|| bad("its kind is unknown"))?;
            let next = record
                .body
                .checked_add(body)
                .filter(|end| *end <= types.len())
                .ok_or_else(|| bad("it runs out of the section"))?;
            if record.kind() == kind::INT
                && matches!(record.size_or_type, 4 | 8)
                && matches!(
                    btf.string(record.name),
                    b"long unsigned int" | b"unsigned long"
                )
            {
                btf.pointer_bytes = u64::from(record.size_or_type);
            }
            btf.starts.push(u32::try_from(at).unwrap_or(u32::MAX));
            at = next;
        }
        Ok(btf)
    }

    fn record_at(&self, at: usize) -> Option<Record> {
        let bytes: &[u8; 12] = self.types.get(at..)?.first_chunk()?;
        let [n0, n1, n2, n3, i0, i1, i2, i3, s0, s1, s2, s3] = *bytes;
        Some(Record {
            name: u32::from_le_bytes([n0, n1, n2, n3]),
            info: u32::from_le_bytes([i0, i1, i2, i3]),
            size_or_type: u32::from_le_bytes([s0, s1, s2, s3]),
            body: at.checked_add(12)?,
        })
    }

    pub(crate) fn record(&self, id: u32) -> Option<Record> {
        let start = self.starts.get((id as usize).checked_sub(1)?)?;
        self.record_at(*start as usize)
    }

    /// How many types there are; their numbers begin with 1.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.starts.len()).unwrap_or(u32::MAX)
    }

    /// The word of this number behind the three of `record`.
    pub(crate) fn word(&self, record: Record, number: usize) -> Option<u32> {
        word_at(self.types, record.body.checked_add(number.checked_mul(4)?)?)
    }

    /// The string at `at`; empty when there is none.
    fn string(&self, at: u32) -> &'a [u8] {
        let rest = self.strings.get(at as usize..).unwrap_or_default();
        let end = memchr::memchr(0, rest).unwrap_or(0);
        rest.get(..end).unwrap_or_default()
    }

    /// The name at `at`; empty once too much was made of the blob, which its budget then says.
    pub(crate) fn text(&self, at: u32) -> String {
        if self.budget.check().is_err() {
            return String::new();
        }
        self.budget.text(self.string(at).len());
        // The kernel's names are ASCII; anything else is shown escaped.
        match str::from_utf8(self.string(at)) {
            Ok(text) => text.to_owned(),
            Err(_) => self.string(at).escape_ascii().to_string(),
        }
    }

    /// The string section.
    pub(crate) fn strings(&self) -> &'a [u8] {
        self.strings
    }

    /// Room to mark places of the string section.
    pub(crate) fn marks(&self) -> Marks {
        Marks(vec![0; (self.strings.len() / 64).saturating_add(1)])
    }

    /// Where the member of this number lies in `record`, as far as its type tells its size.
    pub(crate) fn place(&self, record: Record, number: usize) -> Option<MemberPlace> {
        let word = |at: usize| self.word(record, number.checked_mul(3)?.checked_add(at)?);
        let (name, of, place) = (word(0)?, word(1)?, word(2)?);
        let (bit, width) = if record.kflag() {
            (place & 0x00ff_ffff, place >> 24)
        } else {
            (place, self.own_bits(of).unwrap_or(0))
        };
        let bits = match width {
            0 => self.what(of, 0).1.saturating_mul(8),
            width => u64::from(width),
        };
        Some(MemberPlace {
            name,
            of,
            bit: u64::from(bit),
            bits,
        })
    }

    /// Marks where the strings of `types` and of `constants` stand.
    fn mark(&self, types: &Names, constants: &Names) -> (Marks, Marks) {
        let (mut of_types, mut of_constants) = (self.marks(), self.marks());
        let mut start = 0_usize;
        for end in memchr::memchr_iter(0, self.strings) {
            let name = self.strings.get(start..end).unwrap_or_default();
            if types.contains(name) {
                of_types.set(start);
            }
            if constants.contains(name) {
                of_constants.set(start);
            }
            start = end.saturating_add(1);
        }
        (of_types, of_constants)
    }

    /// The types and enumerators that are wanted.
    ///
    /// # Errors
    ///
    /// Structures hold themselves.
    pub(crate) fn collect(&self, wanted: Option<&Wanted>) -> Result<Types, BtfError> {
        let marks = wanted.map(|w| self.mark(&Names::new(w.types), &Names::new(w.constants)));
        let keep_type =
            |name: u32| name != 0 && marks.as_ref().is_none_or(|(types, _)| types.get(name));
        let keep_constant = |name: u32| marks.as_ref().is_none_or(|(_, c)| c.get(name));
        let mut found = Types {
            pointer_bytes: u8::try_from(self.pointer_bytes).unwrap_or(8),
            ..Types::default()
        };
        for start in &self.starts {
            let Some(record) = self.record_at(*start as usize) else {
                continue;
            };
            match record.kind() {
                kind::STRUCT | kind::UNION if keep_type(record.name) => {
                    found.types.push(self.structure(record.name, record)?);
                }
                kind::TYPEDEF if keep_type(record.name) => {
                    if let Some(of) = self.record(record.size_or_type)
                        && of.is_compound()
                        && of.name == 0
                    {
                        found.types.push(self.structure(record.name, of)?);
                    }
                }
                kind::ENUM => self.enumerators(record, 8, &keep_constant, &mut found.constants)?,
                kind::ENUM64 => {
                    self.enumerators(record, 12, &keep_constant, &mut found.constants)?;
                }
                _ => {}
            }
        }
        self.budget.check()?;
        Ok(found)
    }

    fn enumerators(
        &self,
        record: Record,
        stride: usize,
        keep: &impl Fn(u32) -> bool,
        found: &mut Vec<(String, i64)>,
    ) -> Result<(), Exhausted> {
        let body = self.types.get(record.body..).unwrap_or_default();
        for item in body.chunks_exact(stride).take(record.vlen()) {
            let Some(name) = word_at(item, 0).filter(|name| keep(*name)) else {
                continue;
            };
            let low = word_at(item, 4).unwrap_or(0);
            let value = match word_at(item, 8) {
                Some(high) => ((u64::from(high) << 32) | u64::from(low)).cast_signed(),
                None if record.kflag() => i64::from(low.cast_signed()),
                None => i64::from(low),
            };
            self.budget.member()?;
            found.push((self.text(name), value));
        }
        Ok(())
    }

    fn structure(&self, name: u32, record: Record) -> Result<Type, Exhausted> {
        let mut members = Vec::with_capacity(record.vlen());
        self.members(record, 0, 0, &mut members)?;
        let kind = if record.kind() == kind::UNION {
            TypeKind::Union
        } else {
            TypeKind::Struct
        };
        let bytes = u64::from(record.size_or_type);
        Ok(Type::new(self.text(name), kind, bytes, members))
    }

    /// Adds the members of `record`, which starts `base` bits into the outermost type.
    fn members(
        &self,
        record: Record,
        base: u64,
        nesting: usize,
        into: &mut Vec<Member>,
    ) -> Result<(), Exhausted> {
        let body = self.types.get(record.body..).unwrap_or_default();
        for item in body.chunks_exact(12).take(record.vlen()) {
            self.budget.member()?;
            let words = (word_at(item, 0), word_at(item, 4), word_at(item, 8));
            let (Some(name), Some(id), Some(place)) = words else {
                continue;
            };
            let (bit, width) = if record.kflag() {
                (place & 0x00ff_ffff, place >> 24)
            } else {
                (place, 0)
            };
            let bit = base.saturating_add(u64::from(bit));
            if name != 0 {
                into.push(self.member(name, id, bit, width));
            } else if let Some(inner) = self.bare(id)
                && inner.is_compound()
            {
                // Deeper than any compiler nests, a structure holds itself.
                let deeper = nesting
                    .checked_add(1)
                    .filter(|deeper| *deeper <= MAX_NESTING);
                self.members(inner, bit, deeper.ok_or(Exhausted)?, into)?;
            }
        }
        Ok(())
    }

    fn member(&self, name: u32, id: u32, bit: u64, width: u32) -> Member {
        let (kind, bytes) = self.what(id, 0);
        let width = if width == 0 {
            self.own_bits(id)
        } else {
            Some(width)
        };
        let mut offset = bit / 8;
        let mut bits = None;
        if let Some(width) = width {
            // Placed in its storage unit where it fits; a packed one starts at its own byte.
            let unit = bytes.clamp(1, 8).saturating_mul(8);
            let in_unit = bit.checked_rem(unit).unwrap_or(0);
            let fits = in_unit.saturating_add(u64::from(width)) <= unit;
            let first = if fits { in_unit } else { bit % 8 };
            offset = bit.saturating_sub(first) / 8;
            bits = u8::try_from(first).ok().zip(u8::try_from(width).ok());
        }
        Member {
            name: self.text(name),
            offset: i64::try_from(offset).unwrap_or(i64::MAX),
            bytes,
            bits,
            kind,
        }
    }

    /// The width of an integer type that is narrower than its storage, as BTF without kflag writes
    /// bit fields.
    pub(crate) fn own_bits(&self, id: u32) -> Option<u32> {
        let record = self.bare(id).filter(|r| r.kind() == kind::INT)?;
        let encoding = word_at(self.types, record.body)?;
        let (width, is_bool) = (encoding & 0xff, encoding >> 24 & 4 != 0);
        (width != 0 && !is_bool && width < record.size_or_type.saturating_mul(8)).then_some(width)
    }

    /// The type `id` without typedefs and modifiers.
    pub(crate) fn bare(&self, id: u32) -> Option<Record> {
        self.named(id).map(|(record, _)| record)
    }

    /// The type `id` without typedefs and modifiers, and its own number.
    pub(crate) fn bare_numbered(&self, id: u32) -> Option<(u32, Record)> {
        let mut id = id;
        for _ in 0..MAX_CHAIN {
            self.budget.step();
            let record = self.record(id)?;
            if !record.is_transparent() {
                return Some((id, record));
            }
            id = record.size_or_type;
        }
        None
    }

    /// The names and values of an enumeration.
    ///
    /// # Errors
    ///
    /// Too much was made of the blob.
    pub(crate) fn enumerators_of(&self, record: Record) -> Result<Vec<(String, i64)>, Exhausted> {
        let stride = if record.kind() == kind::ENUM64 { 12 } else { 8 };
        let mut found = Vec::new();
        self.enumerators(record, stride, &|_| true, &mut found)?;
        Ok(found)
    }

    /// The type `id` without typedefs and modifiers, and the name that the last typedef before it,
    /// or it itself, gives it.
    fn named(&self, id: u32) -> Option<(Record, u32)> {
        let mut record = self.record(id)?;
        let mut typedef = 0;
        for _ in 0..MAX_CHAIN {
            self.budget.step();
            if !record.is_transparent() {
                let name = if record.name == 0 {
                    typedef
                } else {
                    record.name
                };
                return Some((record, name));
            }
            if record.kind() == kind::TYPEDEF {
                typedef = record.name;
            }
            record = self.record(record.size_or_type)?;
        }
        None
    }

    /// What the type `id` is, and its size in bytes (0 for none).
    fn what(&self, id: u32, nesting: usize) -> (Kind, u64) {
        let Some((record, name)) = self.named(id) else {
            return (Kind::Unknown, 0);
        };
        let size = u64::from(record.size_or_type);
        match record.kind() {
            kind::INT => {
                let encoding = word_at(self.types, record.body).unwrap_or(0) >> 24;
                let signed = encoding & 1 != 0;
                (Kind::Int { signed }, size)
            }
            kind::ENUM | kind::ENUM64 => {
                let signed = record.kflag();
                (Kind::Int { signed }, size)
            }
            kind::FLOAT => (Kind::Unknown, size),
            kind::PTR => {
                let to = match self.named(record.size_or_type) {
                    Some((to, name)) if to.is_compound() || to.kind() == kind::FWD => {
                        self.text(name)
                    }
                    _ => String::new(),
                };
                (Kind::Pointer { to }, self.pointer_bytes)
            }
            kind::STRUCT | kind::UNION => {
                let name = self.text(name);
                (Kind::Embedded { name }, size)
            }
            kind::ARRAY if nesting < MAX_NESTING => {
                let element = word_at(self.types, record.body).unwrap_or(0);
                let count = record.body.checked_add(8);
                let count = count.and_then(|at| word_at(self.types, at)).unwrap_or(0);
                let count = u64::from(count);
                let (of, bytes) = self.what(element, nesting.saturating_add(1));
                let of = Box::new(of);
                (Kind::Array { of, count }, bytes.saturating_mul(count))
            }
            _ => (Kind::Unknown, 0),
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]
pub(crate) mod tests;
