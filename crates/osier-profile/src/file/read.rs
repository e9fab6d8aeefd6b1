//! The bytes of a body back into a profile, allocating in proportion to what is there. All of it is gone through
//! and checked; what types hold is read when somebody asks for it.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::error::ProfileError;
use crate::profile::Unread;
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
        // Most are of one byte.
        if let Some(&byte) = self.data.get(at).filter(|byte| **byte < 0x80) {
            self.offset = at.saturating_add(1);
            return Ok(byte.into());
        }
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
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        self.take(count, "bytes that are cut short")
    }

    pub(super) fn text(&mut self) -> Result<&'d str, ProfileError> {
        let at = self.offset;
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| damaged(at, "text that is not UTF-8"))
    }
}

/// A place in a file's bytes.
fn place(offset: usize) -> Result<u32, ProfileError> {
    u32::try_from(offset).map_err(|_| damaged(offset, "more data than a profile has"))
}

/// Where everything stands in a file whose body was gone through once, so that a member or a kind is read when
/// somebody asks for it.
struct Body {
    data: Cow<'static, [u8]>,
    /// Where each string starts and ends.
    strings: Vec<(u32, u32)>,
    /// Where each kind starts.
    kinds: Vec<u32>,
    /// Where each member of each type starts.
    members: Vec<u32>,
}

impl Body {
    fn cursor(&self, at: u32) -> Cursor<'_> {
        Cursor::new(&self.data, at as usize)
    }

    fn string(&self, number: u64) -> Option<&[u8]> {
        let (start, end) = *self.strings.get(usize::try_from(number).ok()?)?;
        self.data.get(start as usize..end as usize)
    }

    fn text(&self, number: u64) -> Option<String> {
        let text = std::str::from_utf8(self.string(number)?);
        text.ok().map(str::to_owned)
    }

    fn kind(&self, number: usize, depth: usize) -> Option<Kind> {
        let mut cursor = self.cursor(*self.kinds.get(number)?);
        let mut next = || cursor.number().ok();
        Some(match next()? {
            0 => Kind::Int { signed: true },
            1 => Kind::Int { signed: false },
            2 => Kind::Pointer {
                to: self.text(next()?)?,
            },
            3 => Kind::Embedded {
                name: self.text(next()?)?,
            },
            4 => {
                let of = usize::try_from(next()?).ok()?;
                Kind::Array {
                    of: Box::new(self.kind(of, depth.checked_sub(1)?)?),
                    count: next()?,
                }
            }
            _ => Kind::Unknown,
        })
    }
}

impl Unread for Body {
    fn name(&self, number: usize) -> &[u8] {
        let at = self.members.get(number).copied();
        let name = at.and_then(|at| self.string(self.cursor(at).number().ok()?));
        name.unwrap_or_default()
    }

    fn member(&self, number: usize) -> Option<Member> {
        let mut cursor = self.cursor(*self.members.get(number)?);
        let name = self.text(cursor.number().ok()?)?;
        let tagged = cursor.number().ok()?;
        Some(Member {
            name,
            kind: self.kind(usize::try_from(tagged >> 1).ok()?, MAX_KIND_DEPTH)?,
            offset: cursor.signed().ok()?,
            bytes: cursor.number().ok()?,
            bits: match tagged & 1 {
                0 => None,
                _ => Some((cursor.byte().ok()?, cursor.byte().ok()?)),
            },
        })
    }
}

/// What is known of a kind while the body is gone through: the bytes of the names in it, and how many arrays
/// it is.
#[derive(Clone, Copy)]
struct Weight {
    names: usize,
    depth: usize,
}

/// Goes through a body, with a bound on how much of its names a profile of it can hold.
struct Reader<'d> {
    cursor: Cursor<'d>,
    strings: Vec<(u32, u32)>,
    kinds: Vec<u32>,
    weights: Vec<Weight>,
    members: Vec<u32>,
    budget: usize,
}

/// A type without its members.
struct Head {
    name: String,
    kind: TypeKind,
    bytes: u64,
    members: Range<usize>,
    /// The members are in the order of their names, each name once.
    ordered: bool,
}

impl<'d> Reader<'d> {
    fn spend(&mut self, bytes: usize, at: usize) -> Result<(), ProfileError> {
        let left = self.budget.checked_sub(bytes);
        self.budget = left.ok_or_else(|| damaged(at, "names out of all proportion"))?;
        Ok(())
    }

    /// The string whose number comes next.
    fn name(&mut self) -> Result<&'d [u8], ProfileError> {
        let at = self.cursor.offset;
        let number = usize::try_from(self.cursor.number()?).unwrap_or(usize::MAX);
        let missing = || damaged(at, "a string that is not there");
        let (start, end) = *self.strings.get(number).ok_or_else(missing)?;
        let name = self.cursor.data.get(start as usize..end as usize);
        let name = name.ok_or_else(missing)?;
        self.spend(name.len(), at)?;
        Ok(name)
    }

    fn text(&mut self) -> Result<String, ProfileError> {
        let at = self.cursor.offset;
        let text = std::str::from_utf8(self.name()?).map(str::to_owned);
        text.map_err(|_| damaged(at, "text that is not UTF-8"))
    }

    fn read_strings(&mut self) -> Result<(), ProfileError> {
        let count = self.cursor.count(1)?;
        self.strings.reserve(count);
        for _ in 0..count {
            let at = self.cursor.offset;
            let bytes = self.cursor.bytes()?;
            if !bytes.is_ascii() && std::str::from_utf8(bytes).is_err() {
                return Err(damaged(at, "text that is not UTF-8"));
            }
            let end = place(self.cursor.offset)?;
            let start = self.cursor.offset.saturating_sub(bytes.len());
            self.strings.push((place(start)?, end));
        }
        Ok(())
    }

    fn read_kinds(&mut self) -> Result<(), ProfileError> {
        let count = self.cursor.count(1)?;
        self.kinds.reserve(count);
        self.weights.reserve(count);
        for _ in 0..count {
            let at = self.cursor.offset;
            self.kinds.push(place(at)?);
            let mut weight = Weight { names: 0, depth: 0 };
            match self.cursor.number()? {
                0 | 1 | 5 => {}
                2 | 3 => weight.names = self.name()?.len(),
                4 => {
                    let of = usize::try_from(self.cursor.number()?).ok();
                    let of = of.and_then(|of| self.weights.get(of));
                    let of = *of.ok_or_else(|| damaged(at, "an array of a later kind"))?;
                    weight.depth = of.depth.saturating_add(1);
                    if weight.depth > MAX_KIND_DEPTH {
                        return Err(damaged(at, "an array of too many dimensions"));
                    }
                    self.spend(of.names, at)?;
                    weight.names = of.names.saturating_add(size_of::<Kind>());
                    self.cursor.number()?;
                }
                _ => return Err(damaged(at, "an unknown kind")),
            }
            self.weights.push(weight);
        }
        Ok(())
    }

    /// Goes past a member, and gives its name.
    fn read_member(&mut self) -> Result<&'d [u8], ProfileError> {
        self.members.push(place(self.cursor.offset)?);
        let name = self.name()?;
        let at = self.cursor.offset;
        let tagged = self.cursor.number()?;
        let kind = usize::try_from(tagged >> 1).ok();
        let kind = kind.and_then(|kind| self.weights.get(kind));
        let kind = *kind.ok_or_else(|| damaged(at, "a kind that is not there"))?;
        self.spend(kind.names, at)?;
        self.cursor.signed()?;
        self.cursor.number()?;
        if tagged & 1 != 0 {
            self.cursor
                .fixed::<2>("the end of the data, where a byte belongs")?;
        }
        Ok(name)
    }

    fn read_type(&mut self) -> Result<Head, ProfileError> {
        let name = self.text()?;
        let at = self.cursor.offset;
        let kind = match self.cursor.byte()? {
            0 => TypeKind::Struct,
            1 => TypeKind::Union,
            _ => return Err(damaged(at, "neither structure nor union")),
        };
        let bytes = self.cursor.number()?;
        let first = self.members.len();
        let (mut before, mut ordered) = (None, true);
        for _ in 0..self.cursor.count(4)? {
            let name = Some(self.read_member()?);
            ordered &= before < name;
            before = name;
        }
        Ok(Head {
            name,
            kind,
            bytes,
            members: first..self.members.len(),
            ordered,
        })
    }
}

/// Reads the body that starts at `start` and ends with the data.
pub(super) fn read_body(
    data: Cow<'static, [u8]>,
    start: usize,
    builder: &mut ProfileBuilder,
) -> Result<(), ProfileError> {
    let mut reader = Reader {
        cursor: Cursor::new(&data, start),
        strings: Vec::new(),
        kinds: Vec::new(),
        weights: Vec::new(),
        members: Vec::new(),
        budget: data.len().saturating_mul(MAX_NAME_GROWTH),
    };
    reader.read_strings()?;
    for _ in 0..reader.cursor.count(1)? {
        builder.provenance(reader.text()?);
    }
    reader.read_kinds()?;
    let count = reader.cursor.count(4)?;
    let mut types = Vec::with_capacity(count);
    for _ in 0..count {
        types.push(reader.read_type()?);
    }
    for _ in 0..reader.cursor.count(2)? {
        let name = reader.text()?;
        builder.add_symbol(name, reader.cursor.number()?);
    }
    for _ in 0..reader.cursor.count(2)? {
        let name = reader.text()?;
        builder.add_constant(name, reader.cursor.signed()?);
    }
    if reader.cursor.number()? == 1 {
        builder.set_whole();
    }
    if reader.cursor.offset != data.len() {
        return Err(damaged(
            reader.cursor.offset,
            "more data than there should be",
        ));
    }
    let Reader {
        strings,
        kinds,
        members,
        ..
    } = reader;
    let body = Arc::new(Body {
        data,
        strings,
        kinds,
        members,
    });
    builder.reserve_types(types.len());
    for head in types {
        let Head {
            name, kind, bytes, ..
        } = head;
        builder.add_type(if head.ordered {
            let members = (body.clone() as Arc<dyn Unread>, head.members);
            Type::of_unread(name, kind, bytes, members)
        } else {
            let members = head.members.filter_map(|number| body.member(number));
            Type::new(name, kind, bytes, members.collect())
        });
    }
    Ok(())
}
