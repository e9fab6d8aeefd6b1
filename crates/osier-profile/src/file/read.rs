//! The bytes of a body back into a profile, allocating in proportion to what is there.

use super::error::ProfileError;
use crate::{Kind, Member, ProfileBuilder, Type, TypeKind};

/// Arrays of arrays: C code has three dimensions at most.
const MAX_KIND_DEPTH: usize = 16;
/// Names handed out, as a multiple of the file's bytes: strings are shared in the file and not in
/// the profile.
const MAX_NAME_GROWTH: usize = 64;

/// What is wrong with a file, and where.
pub(super) fn damaged(offset: usize, what: &'static str) -> ProfileError {
    ProfileError::Damaged { offset, what }
}

/// A place in a file; every error names it.
pub(super) struct Cursor<'d> {
    data: &'d [u8],
    pub(super) offset: usize,
}

impl<'d> Cursor<'d> {
    pub(super) fn new(data: &'d [u8], offset: usize) -> Self {
        Self { data, offset }
    }

    fn take(&mut self, count: usize, what: &'static str) -> Result<&'d [u8], ProfileError> {
        let end = self.offset.checked_add(count);
        let bytes = end.and_then(|end| self.data.get(self.offset..end));
        let bytes = bytes.ok_or_else(|| damaged(self.offset, what))?;
        self.offset = self.offset.saturating_add(count);
        Ok(bytes)
    }

    pub(super) fn fixed<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], ProfileError> {
        let at = self.offset;
        let bytes = self.take(N, what)?;
        bytes.try_into().map_err(|_| damaged(at, what))
    }

    fn byte(&mut self) -> Result<u8, ProfileError> {
        let [byte] = self.fixed("the end of the data, where a byte belongs")?;
        Ok(byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, ProfileError> {
        let at = self.offset;
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.data.get(self.offset) else {
                return Err(damaged(self.offset, "a number that is cut short"));
            };
            let part = u64::from(byte & 0x7f);
            if part > u64::MAX >> shift {
                break;
            }
            self.offset = self.offset.saturating_add(1);
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged(at, "a number of more than 64 bits"))
    }

    fn signed(&mut self) -> Result<i64, ProfileError> {
        let folded = self.number()?;
        Ok((folded >> 1).cast_signed() ^ (folded & 1).cast_signed().wrapping_neg())
    }

    /// A number of items, each of at least `least` bytes.
    pub(super) fn count(&mut self, least: usize) -> Result<usize, ProfileError> {
        let at = self.offset;
        let count = self.number()?;
        let left = self.data.len().saturating_sub(self.offset);
        let room = left.checked_div(least).unwrap_or(left);
        let count = usize::try_from(count).ok().filter(|count| *count <= room);
        count.ok_or_else(|| damaged(at, "a list longer than the data"))
    }

    pub(super) fn bytes(&mut self) -> Result<&'d [u8], ProfileError> {
        let count = self.count(1)?;
        self.take(count, "bytes that are cut short")
    }

    pub(super) fn text(&mut self) -> Result<&'d str, ProfileError> {
        let at = self.offset;
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| damaged(at, "text that is not UTF-8"))
    }
}

/// The strings, with a bound on how much of them is copied.
struct Strings<'d> {
    items: Vec<&'d str>,
    budget: usize,
}

impl Strings<'_> {
    fn next(&mut self, cursor: &mut Cursor<'_>) -> Result<String, ProfileError> {
        let at = cursor.offset;
        let number = cursor.number()?;
        let item = usize::try_from(number).ok().and_then(|n| self.items.get(n));
        let item = *item.ok_or_else(|| damaged(at, "a string that is not there"))?;
        self.spend(item.len(), at)?;
        Ok(item.to_owned())
    }

    fn spend(&mut self, bytes: usize, at: usize) -> Result<(), ProfileError> {
        let left = self.budget.checked_sub(bytes);
        self.budget = left.ok_or_else(|| damaged(at, "names out of all proportion"))?;
        Ok(())
    }
}

fn name_bytes(kind: &Kind) -> usize {
    match kind {
        Kind::Pointer { to: name } | Kind::Embedded { name } => name.len(),
        Kind::Array { of, .. } => name_bytes(of).saturating_add(size_of::<Kind>()),
        Kind::Int { .. } | Kind::Unknown => 0,
    }
}

fn read_kinds(
    cursor: &mut Cursor<'_>,
    strings: &mut Strings<'_>,
) -> Result<Vec<Kind>, ProfileError> {
    let count = cursor.count(1)?;
    let mut kinds: Vec<Kind> = Vec::with_capacity(count);
    let mut depths: Vec<usize> = Vec::with_capacity(count);
    for _ in 0..count {
        let at = cursor.offset;
        let mut depth = 0;
        let kind = match cursor.number()? {
            0 => Kind::Int { signed: true },
            1 => Kind::Int { signed: false },
            2 => Kind::Pointer {
                to: strings.next(cursor)?,
            },
            3 => Kind::Embedded {
                name: strings.next(cursor)?,
            },
            4 => {
                let of = usize::try_from(cursor.number()?).unwrap_or(usize::MAX);
                let inner = kinds.get(of).zip(depths.get(of));
                let (inner, below) =
                    inner.ok_or_else(|| damaged(at, "an array of a later kind"))?;
                depth = below.saturating_add(1);
                if depth > MAX_KIND_DEPTH {
                    return Err(damaged(at, "an array of too many dimensions"));
                }
                strings.spend(name_bytes(inner), at)?;
                Kind::Array {
                    of: Box::new(inner.clone()),
                    count: cursor.number()?,
                }
            }
            5 => Kind::Unknown,
            _ => return Err(damaged(at, "an unknown kind")),
        };
        kinds.push(kind);
        depths.push(depth);
    }
    Ok(kinds)
}

fn read_member(
    cursor: &mut Cursor<'_>,
    strings: &mut Strings<'_>,
    kinds: &[Kind],
) -> Result<Member, ProfileError> {
    let name = strings.next(cursor)?;
    let at = cursor.offset;
    let tagged = cursor.number()?;
    let kind = usize::try_from(tagged >> 1).ok().and_then(|k| kinds.get(k));
    let kind = kind.ok_or_else(|| damaged(at, "a kind that is not there"))?;
    strings.spend(name_bytes(kind), at)?;
    Ok(Member {
        name,
        kind: kind.clone(),
        offset: cursor.signed()?,
        bytes: cursor.number()?,
        bits: match tagged & 1 {
            0 => None,
            _ => Some((cursor.byte()?, cursor.byte()?)),
        },
    })
}

/// Reads the body that starts at `cursor` and ends with the data.
pub(super) fn read_body(
    cursor: &mut Cursor<'_>,
    builder: &mut ProfileBuilder,
) -> Result<(), ProfileError> {
    let count = cursor.count(1)?;
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(cursor.text()?);
    }
    let budget = cursor.data.len().saturating_mul(MAX_NAME_GROWTH);
    let mut strings = Strings { items, budget };

    for _ in 0..cursor.count(1)? {
        builder.provenance(strings.next(cursor)?);
    }

    let kinds = read_kinds(cursor, &mut strings)?;
    let types = cursor.count(4)?;
    builder.reserve_types(types);
    for _ in 0..types {
        let name = strings.next(cursor)?;
        let at = cursor.offset;
        let kind = match cursor.byte()? {
            0 => TypeKind::Struct,
            1 => TypeKind::Union,
            _ => return Err(damaged(at, "neither structure nor union")),
        };
        let bytes = cursor.number()?;
        let count = cursor.count(4)?;
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            members.push(read_member(cursor, &mut strings, &kinds)?);
        }
        builder.add_type(Type::new(name, kind, bytes, members));
    }

    for _ in 0..cursor.count(2)? {
        let name = strings.next(cursor)?;
        builder.add_symbol(name, cursor.number()?);
    }
    for _ in 0..cursor.count(2)? {
        let name = strings.next(cursor)?;
        builder.add_constant(name, cursor.signed()?);
    }
    if cursor.offset != cursor.data.len() {
        return Err(damaged(cursor.offset, "more data than there should be"));
    }
    Ok(())
}
