//! `CodeView` type records: the stream of a PDB that says what types there are (TPI).
//!
//! `pdb2` reads such records too, but follows a field list inside a field list as deep as the input
//! goes, and reserves as much as an argument list claims. Either ends the process, so the few
//! records that describe data are read here. Source: `cvinfo.h` and `tpi.h` of Microsoft's
//! microsoft-pdb, and for the `2` forms microsoft-pdb issue 50.
//!
//! ```text
//!   0  4  version: 19961031 (Visual C++ 6), 19990903 (7.0), 20040203 (8.0 and later)
//!   4  4  bytes of this header, at least 56
//!   8  4  index of the first record, at least 0x1000: smaller ones are built-in types
//!  12  4  index after the last record
//!  16  4  bytes of all records
//! ```
//!
//! A record is its length without these two bytes, its leaf (what it is), and what the leaf says.

use osier_profile::TypeKind;

use crate::SymbolError;

/// The first version whose type indices have 32 bits.
const FIRST_VERSION: u32 = 19_961_031;
const HEADER_BYTES: u32 = 56;
/// From this leaf on a name ends with a zero byte; before, it begins with its length.
const LF_ST_MAX: u16 = 0x1500;
/// Field lists that continue one another: a list holds up to 64 KiB.
const MAX_CONTINUATIONS: usize = 1 << 10;

/// The number of a type record; below 0x1000 a built-in type.
pub(super) type Index = u32;

/// All type records of a PDB.
pub(super) struct Records<'d> {
    bytes: &'d [u8],
    first: Index,
    /// Where each record's leaf lies, and the bytes of the record from there.
    places: Vec<(usize, usize)>,
}

/// What a record describes.
pub(super) enum Leaf<'d> {
    /// `LF_STRUCTURE`, `LF_CLASS`, `LF_INTERFACE`, `LF_UNION` and their `2` and `_ST` forms.
    Compound(Compound<'d>),
    /// `LF_ENUM`.
    Enum {
        /// The integer it is stored as.
        base: Index,
        /// Its field list.
        fields: Index,
        /// Whether only its name is given here.
        forward: bool,
    },
    /// `LF_POINTER`.
    Pointer {
        /// What it points to.
        to: Index,
        /// Its size.
        bytes: u8,
    },
    /// `LF_ARRAY`.
    Array {
        /// The element.
        of: Index,
        /// Bytes of the whole array.
        bytes: u64,
    },
    /// `LF_BITFIELD`.
    Bits {
        /// The storage unit.
        of: Index,
        /// The first bit, from the least significant.
        first: u8,
        /// The number of bits.
        width: u8,
    },
    /// `LF_MODIFIER`, `LF_ALIAS`: the same by another name.
    Same(Index),
    /// What describes no data: functions, argument lists, method lists.
    Other,
}

/// A structure or union.
pub(super) struct Compound<'d> {
    pub(super) kind: TypeKind,
    pub(super) fields: Index,
    pub(super) bytes: u64,
    pub(super) name: &'d [u8],
    /// The decorated name, which newer compilers give; empty otherwise.
    pub(super) unique: &'d [u8],
    /// Whether only the name is given here, and the rest elsewhere.
    pub(super) forward: bool,
}

/// An item of a field list.
pub(super) enum Field<'d> {
    /// `LF_MEMBER`.
    Member {
        ty: Index,
        offset: i64,
        name: &'d [u8],
    },
    /// `LF_BCLASS`: members of another structure, at this offset.
    Base { ty: Index, offset: i64 },
    /// `LF_ENUMERATE`.
    Enumerator { value: i64, name: &'d [u8] },
    /// Static members, methods, nested types: no data of an object.
    Other,
}

impl<'d> Records<'d> {
    /// Reads the stream's header and finds where each record lies.
    pub(super) fn new(bytes: &'d [u8]) -> Result<Self, SymbolError> {
        let mut header = Cursor { bytes, at: 0 };
        let version = header.u32()?;
        if version < FIRST_VERSION {
            return Err(SymbolError::Unusable(format!(
                "PDB: its types are of version {version}, with indices of 16 bits (Visual C++ 5 \
                 and older), which is not read"
            )));
        }
        let (own, first, _end) = (header.u32()?, header.u32()?, header.u32()?);
        let records = header.u32()?;
        if own < HEADER_BYTES || first < 0x1000 {
            return Err(malformed(4, "an impossible header"));
        }
        let start = own as usize;
        let end = start.checked_add(records as usize);
        let Some(bytes) = end.and_then(|end| bytes.get(..end)) else {
            return Err(malformed(16, "more records than the stream holds"));
        };
        let mut places = Vec::new();
        let mut cursor = Cursor { bytes, at: start };
        while cursor.at < bytes.len() {
            let length = usize::from(cursor.u16()?);
            places.push((cursor.at, length));
            cursor.take(length)?;
        }
        Ok(Self {
            bytes,
            first,
            places,
        })
    }

    /// The indices of all records.
    pub(super) fn indices(&self) -> impl Iterator<Item = Index> + use<> {
        let count = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        self.first..self.first.saturating_add(count)
    }

    fn record(&self, index: Index) -> Result<Cursor<'d>, SymbolError> {
        let place = index
            .checked_sub(self.first)
            .and_then(|at| self.places.get(at as usize));
        let Some(&(at, length)) = place else {
            return Err(malformed(0, format!("there is no type {index:#x}")));
        };
        let bytes = self.bytes.get(..at.saturating_add(length));
        Ok(Cursor {
            bytes: bytes.unwrap_or_default(),
            at,
        })
    }

    /// Reads the record `index`.
    pub(super) fn leaf(&self, index: Index) -> Result<Leaf<'d>, SymbolError> {
        let mut record = self.record(index)?;
        let leaf = record.u16()?;
        Ok(match leaf {
            0x1001 | 0x1010 | 0x150a => Leaf::Same(record.u32()?),
            0x1002 => {
                let (to, attributes) = (record.u32()?, record.u32()?);
                Leaf::Pointer {
                    to,
                    bytes: pointer_bytes(attributes),
                }
            }
            0x1003 | 0x1503 | 0x1516 => {
                let (of, _index_type) = (record.u32()?, record.u32()?);
                if leaf == 0x1516 {
                    let _stride = record.u32()?;
                }
                let bytes = record.number()?.cast_unsigned();
                Leaf::Array { of, bytes }
            }
            0x1004 | 0x1005 | 0x1504 | 0x1505 | 0x1519 => {
                let (_count, properties) = (record.u16()?, record.u16()?);
                let fields = record.u32()?;
                let (_derived, _shape) = (record.u32()?, record.u32()?);
                record.compound(leaf, TypeKind::Struct, fields, properties)?
            }
            0x1608 | 0x1609 | 0x160b => {
                let properties = record.u32()? as u16;
                let fields = record.u32()?;
                let (_derived, _shape) = (record.u32()?, record.u32()?);
                let _count = record.u16()?;
                record.compound(leaf, TypeKind::Struct, fields, properties)?
            }
            0x1006 | 0x1506 => {
                let (_count, properties) = (record.u16()?, record.u16()?);
                let fields = record.u32()?;
                record.compound(leaf, TypeKind::Union, fields, properties)?
            }
            0x160a => {
                let properties = record.u32()? as u16;
                let fields = record.u32()?;
                let _count = record.u16()?;
                record.compound(leaf, TypeKind::Union, fields, properties)?
            }
            0x1007 | 0x1507 => {
                let (_count, properties) = (record.u16()?, record.u16()?);
                Leaf::Enum {
                    base: record.u32()?,
                    fields: record.u32()?,
                    forward: properties & FORWARD != 0,
                }
            }
            0x1205 => Leaf::Bits {
                of: record.u32()?,
                width: record.u8()?,
                first: record.u8()?,
            },
            _ => Leaf::Other,
        })
    }

    /// Hands out the items of the field list `index` and of those that continue it.
    pub(super) fn fields(
        &self,
        mut index: Index,
        field: &mut dyn FnMut(Field<'d>) -> Result<(), SymbolError>,
    ) -> Result<(), SymbolError> {
        // An empty structure has no list.
        if index == 0 {
            return Ok(());
        }
        for _ in 0..MAX_CONTINUATIONS {
            let mut list = self.record(index)?;
            if list.u16()? != 0x1203 {
                let problem = format!("type {index:#x} is no field list");
                return Err(malformed(list.at, problem));
            }
            let mut next = None;
            while !list.is_at_end() {
                match list.field()? {
                    Item::Field(item) => field(item)?,
                    Item::Continued(at) => next = Some(at),
                }
                list.padding();
            }
            match next {
                Some(at) => index = at,
                None => return Ok(()),
            }
        }
        Err(malformed(0, "a field list that does not end"))
    }
}

enum Item<'d> {
    Field(Field<'d>),
    Continued(Index),
}

/// `CV_prop_t`: an incomplete definition.
const FORWARD: u16 = 1 << 7;
/// `CV_prop_t`: a decorated name follows the name.
const HAS_UNIQUE_NAME: u16 = 1 << 9;

/// The size of a pointer by its `lfPointerAttr`; 0 for one that no 32-bit system has.
fn pointer_bytes(attributes: u32) -> u8 {
    match (attributes >> 13) & 0x3f {
        0 => match attributes & 0x1f {
            // CV_PTR_NEAR32 and CV_PTR_64.
            0x0a => 4,
            0x0c => 8,
            _ => 0,
        },
        bytes => bytes as u8,
    }
}

/// Reads a record from its start, and no further than its end.
struct Cursor<'d> {
    bytes: &'d [u8],
    at: usize,
}

impl<'d> Cursor<'d> {
    fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn take(&mut self, count: usize) -> Result<&'d [u8], SymbolError> {
        let end = self.at.saturating_add(count);
        let part = self.bytes.get(self.at..end);
        let part = part.ok_or_else(|| malformed(self.at, "a record cut short"))?;
        self.at = end;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SymbolError> {
        let part = self.take(N)?;
        part.try_into()
            .map_err(|_| malformed(self.at, "a record cut short"))
    }

    fn u8(&mut self) -> Result<u8, SymbolError> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, SymbolError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, SymbolError> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number of variable length: itself below 0x8000, otherwise the kind of what follows.
    fn number(&mut self) -> Result<i64, SymbolError> {
        let at = self.at;
        Ok(match self.u16()? {
            small @ 0..0x8000 => i64::from(small),
            0x8000 => i64::from(i8::from_le_bytes(self.array()?)),
            0x8001 => i64::from(i16::from_le_bytes(self.array()?)),
            0x8002 => i64::from(self.u16()?),
            0x8003 => i64::from(i32::from_le_bytes(self.array()?)),
            0x8004 => i64::from(self.u32()?),
            0x8009 | 0x800a => i64::from_le_bytes(self.array()?),
            other => {
                let problem = format!("a number of the unknown kind {other:#x}");
                return Err(malformed(at, problem));
            }
        })
    }

    /// A name, written as records of this leaf write names.
    fn name(&mut self, leaf: u16) -> Result<&'d [u8], SymbolError> {
        if leaf < LF_ST_MAX {
            let length = self.u8()?;
            return self.take(usize::from(length));
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = memchr::memchr(0, rest);
        let end = end.ok_or_else(|| malformed(self.at, "a name without its end"))?;
        let name = self.take(end)?;
        self.take(1)?;
        Ok(name)
    }

    fn compound(
        &mut self,
        leaf: u16,
        kind: TypeKind,
        fields: Index,
        properties: u16,
    ) -> Result<Leaf<'d>, SymbolError> {
        Ok(Leaf::Compound(Compound {
            kind,
            fields,
            bytes: self.number()?.cast_unsigned(),
            name: self.name(leaf)?,
            unique: if properties & HAS_UNIQUE_NAME == 0 {
                &[]
            } else {
                self.name(leaf)?
            },
            forward: properties & FORWARD != 0,
        }))
    }

    /// An item of a field list.
    fn field(&mut self) -> Result<Item<'d>, SymbolError> {
        let at = self.at;
        let leaf = self.u16()?;
        let attributes = self.u16()?;
        let field = match leaf {
            0x1404 => return Ok(Item::Continued(self.u32()?)),
            0x1405 | 0x150d => Field::Member {
                ty: self.u32()?,
                offset: self.number()?,
                name: self.name(leaf)?,
            },
            0x1400 | 0x151a => Field::Base {
                ty: self.u32()?,
                offset: self.number()?,
            },
            0x0403 | 0x1502 => Field::Enumerator {
                value: self.number()?,
                name: self.name(leaf)?,
            },
            // Static members, overloaded methods, nested types: an index and a name. The
            // attributes of the second are a count.
            0x1406..=0x1408 | 0x140d | 0x150e..=0x1510 | 0x1512 => {
                self.u32()?;
                self.name(leaf)?;
                Field::Other
            }
            // A method; one that introduces a slot has its place in the table too.
            0x140b | 0x1511 => {
                self.u32()?;
                if matches!((attributes >> 2) & 7, 4 | 6) {
                    self.u32()?;
                }
                self.name(leaf)?;
                Field::Other
            }
            // A pointer to a table of methods; a friend.
            0x1409 | 0x140a => {
                self.u32()?;
                Field::Other
            }
            // A virtual base.
            0x1401 | 0x1402 => {
                self.take(8)?;
                self.number()?;
                self.number()?;
                Field::Other
            }
            other => {
                let problem = format!("a field of the unknown kind {other:#x}");
                return Err(malformed(at, problem));
            }
        };
        Ok(Item::Field(field))
    }

    /// Steps over `LF_PAD` bytes: 0xf0 and the number of bytes to the next item.
    fn padding(&mut self) {
        if let Some(&pad @ 0xf1..) = self.bytes.get(self.at) {
            self.at = self.at.saturating_add(usize::from(pad & 0x0f));
        }
    }
}

/// An error at an offset in the stream of types.
pub(super) fn malformed(offset: usize, problem: impl Into<String>) -> SymbolError {
    SymbolError::Malformed {
        format: "the types of a PDB",
        offset: offset as u64,
        problem: problem.into(),
    }
}
