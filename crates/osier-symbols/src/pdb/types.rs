//! Type records into the profile's types.

use std::collections::HashMap;

use osier_profile::{Kind, Member, ProfileBuilder, Type, Wanted};

use super::records::{Compound, Field, Index, Leaf, Records, malformed};
use crate::SymbolError;
use crate::budget::Budget;
use crate::names::{Names, is_unnamed};

/// Types inside types: unnamed structures, arrays of arrays.
const MAX_NESTING: usize = 32;

/// The types of a PDB.
pub(super) struct Types<'d> {
    records: Records<'d>,
    /// Where each structure or union is defined, by its decorated name or else its name.
    defined: HashMap<&'d [u8], Index>,
    budget: Budget,
}

impl<'d> Types<'d> {
    pub(super) fn new(records: Records<'d>) -> Result<Self, SymbolError> {
        let mut defined = HashMap::new();
        for index in records.indices() {
            if let Leaf::Compound(compound) = records.leaf(index)?
                && !compound.forward
            {
                defined.entry(key(&compound)).or_insert(index);
            }
        }
        Ok(Self {
            records,
            defined,
            budget: Budget::default(),
        })
    }

    /// Whether no structure or union is defined.
    pub(super) fn is_empty(&self) -> bool {
        self.defined.is_empty()
    }

    /// The size of most pointers: 4 or 8. For a PDB that does not name its machine; a 32-bit kernel
    /// has a few `POINTER_64`.
    pub(super) fn pointer_bytes(&self) -> Result<u8, SymbolError> {
        let (mut narrow, mut wide) = (0_usize, 0_usize);
        for index in self.records.indices() {
            match self.records.leaf(index)? {
                Leaf::Pointer { bytes: 4, .. } => narrow = narrow.saturating_add(1),
                Leaf::Pointer { bytes: 8, .. } => wide = wide.saturating_add(1),
                _ => {}
            }
        }
        Ok(if wide > narrow { 8 } else { 4 })
    }

    /// Adds the wanted types, with the unnamed types inside them as `PARENT.member`, and the wanted
    /// enumerators.
    pub(super) fn add_to(
        &self,
        builder: &mut ProfileBuilder,
        wanted: Option<&Wanted>,
    ) -> Result<(), SymbolError> {
        let types = wanted.map(|wanted| Names::new(wanted.types));
        let constants = wanted.map(|wanted| Names::new(wanted.constants));
        for index in self.records.indices() {
            match self.records.leaf(index)? {
                Leaf::Compound(compound) if !compound.forward => {
                    let kept = types.as_ref().is_none_or(|t| t.contains(compound.name));
                    if kept
                        && !is_unnamed(compound.name)
                        && let Ok(name) = std::str::from_utf8(compound.name)
                    {
                        self.add_type(builder, name, &compound, 0)?;
                    }
                }
                Leaf::Enum {
                    fields,
                    forward: false,
                    ..
                } => self.add_enumerators(builder, fields, constants.as_ref())?,
                _ => {}
            }
        }
        Ok(())
    }

    fn add_enumerators(
        &self,
        builder: &mut ProfileBuilder,
        fields: Index,
        wanted: Option<&Names>,
    ) -> Result<(), SymbolError> {
        self.records.fields(fields, &mut |field| {
            self.count()?;
            if let Field::Enumerator { value, name } = field
                && wanted.is_none_or(|wanted| wanted.contains(name))
                && let Ok(name) = std::str::from_utf8(name)
            {
                self.budget.text(name.len());
                builder.add_constant(name, value);
            }
            Ok(())
        })
    }

    fn add_type(
        &self,
        builder: &mut ProfileBuilder,
        name: &str,
        compound: &Compound<'d>,
        nesting: usize,
    ) -> Result<(), SymbolError> {
        let mut members = Vec::new();
        let mut inner = Vec::new();
        self.collect(name, compound.fields, 0, nesting, &mut members, &mut inner)?;
        builder.add_type(Type::new(
            name.to_owned(),
            compound.kind,
            compound.bytes,
            members,
        ));
        for (name, compound) in inner {
            self.add_type(builder, &name, &compound, nesting.saturating_add(1))?;
        }
        Ok(())
    }

    /// Takes a field from the budget.
    fn count(&self) -> Result<(), SymbolError> {
        let taken = self.budget.member();
        taken.map_err(|exhausted| malformed(0, exhausted.to_string()))
    }

    /// The members of a field list, base classes looked into; unnamed types that they hold go to
    /// `inner`.
    fn collect(
        &self,
        parent: &str,
        fields: Index,
        base: i64,
        nesting: usize,
        members: &mut Vec<Member>,
        inner: &mut Vec<(String, Compound<'d>)>,
    ) -> Result<(), SymbolError> {
        if nesting > MAX_NESTING {
            return Err(malformed(0, format!("the type {parent} holds itself")));
        }
        let mut found = Vec::new();
        self.records.fields(fields, &mut |field| {
            self.count()?;
            if let Field::Member { name, .. } = &field {
                self.budget.text(name.len());
            }
            found.push(field);
            Ok(())
        })?;
        for field in found {
            match field {
                Field::Member { ty, offset, name } => {
                    let Ok(name) = std::str::from_utf8(name) else {
                        continue;
                    };
                    let mut member = Member {
                        name: name.to_owned(),
                        offset: base.wrapping_add(offset),
                        bytes: 0,
                        bits: None,
                        kind: Kind::Unknown,
                    };
                    let mut ty = ty;
                    if ty >= BUILT_IN
                        && let Leaf::Bits { of, first, width } = self.records.leaf(ty)?
                    {
                        (ty, member.bits) = (of, Some((first, width)));
                    }
                    let owner = (parent, name);
                    (member.kind, member.bytes) = self.kind(ty, owner, 0, inner)?;
                    members.push(member);
                }
                Field::Base { ty, offset } => {
                    if let Some(part) = self.compound(ty)? {
                        let at = base.wrapping_add(offset);
                        let nesting = nesting.saturating_add(1);
                        self.collect(parent, part.fields, at, nesting, members, inner)?;
                    }
                }
                Field::Enumerator { .. } | Field::Other => {}
            }
        }
        Ok(())
    }

    /// The definition of the structure or union at `ty`; a forward reference stands for the
    /// definition of its name, or for itself when there is none.
    fn compound(&self, ty: Index) -> Result<Option<Compound<'d>>, SymbolError> {
        if ty < BUILT_IN {
            return Ok(None);
        }
        let Leaf::Compound(compound) = self.records.leaf(ty)? else {
            return Ok(None);
        };
        if compound.forward
            && let Some(&index) = self.defined.get(key(&compound))
            && let Leaf::Compound(definition) = self.records.leaf(index)?
        {
            return Ok(Some(definition));
        }
        Ok(Some(compound))
    }

    /// What a member of type `ty` holds, and its bytes. An unnamed type is called after its owner.
    fn kind(
        &self,
        ty: Index,
        owner: (&str, &str),
        nesting: usize,
        inner: &mut Vec<(String, Compound<'d>)>,
    ) -> Result<(Kind, u64), SymbolError> {
        if ty < BUILT_IN {
            return Ok(built_in(ty));
        }
        self.budget.step();
        if nesting > MAX_NESTING {
            let problem = format!("the type of {}.{} has no end", owner.0, owner.1);
            return Err(malformed(0, problem));
        }
        let deeper = nesting.saturating_add(1);
        Ok(match self.records.leaf(ty)? {
            Leaf::Same(of) => return self.kind(of, owner, deeper, inner),
            Leaf::Pointer { to, bytes } => {
                let to = self.pointed(to)?;
                (Kind::Pointer { to }, u64::from(bytes))
            }
            Leaf::Array { of, bytes } => {
                let (of, each) = self.kind(of, owner, deeper, inner)?;
                let count = bytes.checked_div(each).unwrap_or(0);
                let of = Box::new(of);
                (Kind::Array { of, count }, bytes)
            }
            Leaf::Enum { base, .. } if base < BUILT_IN => built_in(base),
            Leaf::Compound(_) => {
                let Some(compound) = self.compound(ty)? else {
                    return Ok((Kind::Unknown, 0));
                };
                let bytes = compound.bytes;
                let name = if is_unnamed(compound.name) {
                    let name = format!("{}.{}", owner.0, owner.1);
                    self.budget.text(name.len());
                    inner.push((name.clone(), compound));
                    name
                } else {
                    self.budget.text(compound.name.len());
                    text(compound.name)
                };
                (Kind::Embedded { name }, bytes)
            }
            Leaf::Enum { .. } | Leaf::Bits { .. } | Leaf::Other => (Kind::Unknown, 0),
        })
    }

    /// The name of the structure that a pointer leads to; empty for anything else.
    fn pointed(&self, mut to: Index) -> Result<String, SymbolError> {
        for _ in 0..MAX_NESTING {
            if to < BUILT_IN {
                break;
            }
            match self.records.leaf(to)? {
                Leaf::Same(of) => {
                    self.budget.step();
                    to = of;
                }
                Leaf::Compound(compound) if !is_unnamed(compound.name) => {
                    self.budget.text(compound.name.len());
                    return Ok(text(compound.name));
                }
                _ => break,
            }
        }
        Ok(String::new())
    }
}

fn key<'d>(compound: &Compound<'d>) -> &'d [u8] {
    if compound.unique.is_empty() {
        compound.name
    } else {
        compound.unique
    }
}

/// A name; compilers write UTF-8.
fn text(name: &[u8]) -> String {
    std::str::from_utf8(name).unwrap_or_default().to_owned()
}

/// The first index of a record.
const BUILT_IN: Index = 0x1000;

/// A built-in type: its mode (whether it is a pointer) in bits 8 to 11, its kind in bits 0 to 7.
/// Source: `cvinfo.h`, `CV_prmode_e` and `TYPE_ENUM_e`.
fn built_in(ty: Index) -> (Kind, u64) {
    let pointer = || Kind::Pointer { to: String::new() };
    match (ty >> 8) & 0xf {
        0 => {}
        4 | 5 => return (pointer(), 4),
        6 => return (pointer(), 8),
        _ => return (Kind::Unknown, 0),
    }
    let int = |signed, bytes| (Kind::Int { signed }, bytes);
    match ty & 0xff {
        // Characters and 8-bit integers; char8_t.
        0x10 | 0x68 | 0x70 => int(true, 1),
        0x20 | 0x69 | 0x30 | 0x7c => int(false, 1),
        // short, int16, char16_t; wchar_t is unsigned.
        0x11 | 0x72 => int(true, 2),
        0x21 | 0x31 | 0x71 | 0x73 | 0x7a => int(false, 2),
        // long, int32, HRESULT; char32_t.
        0x08 | 0x12 | 0x74 => int(true, 4),
        0x22 | 0x32 | 0x75 | 0x7b => int(false, 4),
        0x13 | 0x76 => int(true, 8),
        0x23 | 0x33 | 0x77 => int(false, 8),
        0x14 | 0x78 => int(true, 16),
        0x24 | 0x79 => int(false, 16),
        // Floating point.
        0x46 => (Kind::Unknown, 2),
        0x40 | 0x45 => (Kind::Unknown, 4),
        0x44 => (Kind::Unknown, 6),
        0x41 => (Kind::Unknown, 8),
        0x42 => (Kind::Unknown, 10),
        0x43 => (Kind::Unknown, 16),
        _ => (Kind::Unknown, 0),
    }
}
