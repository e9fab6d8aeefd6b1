//! What the members of a structure hold, as DWARF tells it.

use std::rc::Rc;

use gimli::{AttributeValue, Operation, UnitOffset, constants as dw};
use osier_profile::{Kind, Member};

use crate::SymbolError;
use crate::dwarf::{At, Bare, Dwarf, Entry, Unit, Value};

/// Structures inside structures; C code stays far below.
const MAX_NESTING: usize = 32;
/// Dimensions of an array.
const MAX_DIMENSIONS: usize = 8;

impl<'d> Dwarf<'d> {
    /// The members of the structure or union at `at`, anonymous parts looked into.
    pub(crate) fn members(&self, at: &At<'d>) -> Result<Vec<Member>, SymbolError> {
        let mut members = Vec::new();
        self.collect(at, 0, 0, &mut members)?;
        Ok(members)
    }

    /// The structures and unions inside the one at `at` that have no name but their member's, each with
    /// that.
    pub(crate) fn unnamed_parts(
        &self,
        at: &At<'d>,
    ) -> Result<Vec<(&'d str, Bare<'d>)>, SymbolError> {
        let unit = &at.unit;
        let (parent, mut raw) = unit.open(at.offset)?;
        let mut parts = Vec::new();
        if !parent.has_children {
            return Ok(parts);
        }
        while let Some(entry) = unit.next(&mut raw)? {
            self.count(unit, at.offset)?;
            let name = entry.name.and_then(|name| self.text(unit, &name));
            if entry.tag == dw::DW_TAG_member
                && let Some(Ok(name)) = name.map(std::str::from_utf8)
                && let Some(part) = self.bare(unit, entry.ty)?
                && part.entry.is_compound()
                && self.type_name(&part).is_empty()
            {
                parts.push((name, part));
            }
            unit.skip(&mut raw, entry.has_children, entry.sibling)?;
        }
        Ok(parts)
    }

    fn collect(
        &self,
        at: &At<'d>,
        base: i64,
        nesting: usize,
        members: &mut Vec<Member>,
    ) -> Result<(), SymbolError> {
        let unit = &at.unit;
        if nesting > MAX_NESTING {
            return Err(unit.broken(at.offset, "a structure without measure"));
        }
        let (parent, mut raw) = unit.open(at.offset)?;
        if !parent.has_children {
            return Ok(());
        }
        while let Some(entry) = unit.next(&mut raw)? {
            self.count(unit, at.offset)?;
            if entry.tag == dw::DW_TAG_member {
                self.member(unit, &entry, base, nesting, members)?;
            }
            unit.skip(&mut raw, entry.has_children, entry.sibling)?;
        }
        Ok(())
    }

    /// Takes an entry in the type at `offset` from the budget.
    fn count(&self, unit: &Unit<'d>, offset: UnitOffset) -> Result<(), SymbolError> {
        let taken = self.budget.member();
        taken.map_err(|exhausted| unit.broken(offset, exhausted))
    }

    fn member(
        &self,
        unit: &Rc<Unit<'d>>,
        entry: &Entry<'d>,
        base: i64,
        nesting: usize,
        members: &mut Vec<Member>,
    ) -> Result<(), SymbolError> {
        // A location that is computed at run time does not occur in C.
        let Some(location) = location(unit, entry.location.as_ref()) else {
            return Ok(());
        };
        let start = base.wrapping_add(location);
        let held = self.bare(unit, entry.ty)?;
        let name = entry.name.and_then(|name| self.text(unit, &name));
        let Some(name) = name else {
            return match held {
                Some(part) if part.entry.is_compound() => {
                    self.collect(&part.at, start, nesting.saturating_add(1), members)
                }
                // The padding of bit fields.
                _ => Ok(()),
            };
        };
        let Ok(name) = std::str::from_utf8(name) else {
            return Ok(());
        };
        self.budget.text(name.len());
        let (kind, type_bytes) = self.kind(held.as_ref(), unit, nesting)?;
        let bytes = entry.bytes.unwrap_or(type_bytes);
        let mut member = Member {
            name: name.to_owned(),
            offset: start,
            bytes,
            bits: None,
            kind,
        };
        if let Some(width) = entry.bits.and_then(|bits| u8::try_from(bits).ok()) {
            let first_bit = match (entry.data_bit_offset, entry.bit_offset) {
                (Some(first), _) => first.cast_signed(),
                // Counted from the most significant bit of the storage unit.
                (None, Some(above)) => (bytes.wrapping_mul(8).cast_signed())
                    .wrapping_sub(above.cast_signed())
                    .wrapping_sub(i64::from(width)),
                (None, None) => 0,
            };
            place_bits(&mut member, first_bit, width);
        }
        members.push(member);
        Ok(())
    }

    /// What a type holds, and its bytes.
    fn kind(
        &self,
        bare: Option<&Bare<'d>>,
        unit: &Rc<Unit<'d>>,
        nesting: usize,
    ) -> Result<(Kind, u64), SymbolError> {
        let Some(bare) = bare else {
            return Ok((Kind::Unknown, 0));
        };
        if nesting > MAX_NESTING {
            return Err(unit.broken(bare.at.offset, "a type without measure"));
        }
        let entry = &bare.entry;
        let bytes = entry.bytes.unwrap_or(0);
        Ok(match entry.tag {
            dw::DW_TAG_base_type => (base_kind(entry.encoding), bytes),
            dw::DW_TAG_enumeration_type => (self.enumeration(bare)?, bytes),
            dw::DW_TAG_pointer_type
            | dw::DW_TAG_reference_type
            | dw::DW_TAG_rvalue_reference_type => {
                let target = self.bare(&bare.at.unit, entry.ty)?;
                let to = target.filter(|target| target.entry.is_compound());
                let to = to.map(|target| self.type_name(&target));
                let width = u64::from(bare.at.unit.header.address_size());
                let kind = Kind::Pointer {
                    to: to.unwrap_or_default(),
                };
                (kind, entry.bytes.unwrap_or(width))
            }
            dw::DW_TAG_array_type => self.array(bare, nesting)?,
            _ if entry.is_compound() => {
                let name = self.type_name(bare);
                (Kind::Embedded { name }, bytes)
            }
            _ => (Kind::Unknown, bytes),
        })
    }

    /// A structure's own name, else that of its typedef, else nothing.
    pub(crate) fn type_name(&self, bare: &Bare<'d>) -> String {
        let own = bare.entry.name;
        let own = own.and_then(|name| self.text(&bare.at.unit, &name));
        let name = own.or(bare.typedef).unwrap_or_default();
        self.budget.text(name.len());
        std::str::from_utf8(name).unwrap_or_default().to_owned()
    }

    fn enumeration(&self, bare: &Bare<'d>) -> Result<Kind, SymbolError> {
        let encoding = match bare.entry.encoding {
            None => {
                let underlying = self.bare(&bare.at.unit, bare.entry.ty)?;
                underlying.and_then(|underlying| underlying.entry.encoding)
            }
            known => known,
        };
        let signed = matches!(base_kind(encoding), Kind::Int { signed: true });
        Ok(Kind::Int { signed })
    }

    fn array(&self, bare: &Bare<'d>, nesting: usize) -> Result<(Kind, u64), SymbolError> {
        let unit = &bare.at.unit;
        let mut counts = Vec::new();
        if bare.entry.has_children {
            let (_, mut raw) = unit.open(bare.at.offset)?;
            while let Some(range) = unit.next(&mut raw)? {
                self.budget.step();
                if range.tag == dw::DW_TAG_subrange_type && counts.len() < MAX_DIMENSIONS {
                    // A last index of -1, of four or eight bytes, is that of no elements.
                    let last = range
                        .upper_bound
                        .filter(|last| *last != u64::from(u32::MAX));
                    let bound = last.map(|last| last.wrapping_add(1));
                    counts.push(range.count.or(bound).unwrap_or(0));
                }
                unit.skip(&mut raw, range.has_children, range.sibling)?;
            }
        }
        let element = self.bare(unit, bare.entry.ty)?;
        let (mut kind, mut bytes) = self.kind(element.as_ref(), unit, nesting.saturating_add(1))?;
        for count in counts.into_iter().rev() {
            bytes = bytes.saturating_mul(count);
            kind = Kind::Array {
                of: Box::new(kind),
                count,
            };
        }
        Ok((kind, bare.entry.bytes.unwrap_or(bytes)))
    }
}

fn base_kind(encoding: Option<u64>) -> Kind {
    let encoding = encoding.and_then(|encoding| u8::try_from(encoding).ok());
    match encoding.map(gimli::DwAte) {
        Some(dw::DW_ATE_signed | dw::DW_ATE_signed_char) => Kind::Int { signed: true },
        Some(
            dw::DW_ATE_unsigned
            | dw::DW_ATE_unsigned_char
            | dw::DW_ATE_boolean
            | dw::DW_ATE_address
            | dw::DW_ATE_UTF,
        )
        | None => Kind::Int { signed: false },
        Some(_) => Kind::Unknown,
    }
}

/// A member's offset in bytes: a constant, or the expression that adds one.
fn location(unit: &Unit<'_>, value: Option<&Value<'_>>) -> Option<i64> {
    match value {
        None => Some(0),
        Some(AttributeValue::Exprloc(expression)) => {
            let mut operations = expression.operations(unit.header.encoding());
            match operations.next() {
                Ok(Some(Operation::PlusConstant { value })) => i64::try_from(value).ok(),
                _ => None,
            }
        }
        Some(value) => value
            .udata_value()
            .map(u64::cast_signed)
            .or_else(|| value.sdata_value()),
    }
}

/// Puts a bit field of `width` bits, whose first is `first_bit` after the member's offset, into a
/// storage unit of its type that is aligned in the structure.
fn place_bits(member: &mut Member, first_bit: i64, width: u8) {
    let bits = member.offset.wrapping_mul(8).wrapping_add(first_bit);
    let storage = i64::try_from(member.bytes.clamp(1, 8)).unwrap_or(8);
    let mut offset = bits
        .div_euclid(storage.wrapping_mul(8))
        .wrapping_mul(storage);
    let mut first = bits.wrapping_sub(offset.wrapping_mul(8));
    let mut bytes = member.bytes;
    if first.wrapping_add(i64::from(width)) > storage.wrapping_mul(8) {
        // Packed: it straddles two such units.
        offset = bits.div_euclid(8);
        first = bits.rem_euclid(8);
        let used = first.wrapping_add(i64::from(width)).wrapping_add(7);
        bytes = used.div_euclid(8).cast_unsigned();
    }
    member.offset = offset;
    member.bytes = bytes;
    member.bits = Some((u8::try_from(first).unwrap_or(0), width));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking")]

    use osier_profile::{Identity, OsKind, ProfileBuilder};

    use crate::dwarf::{Dwarf, Sections};
    use crate::dwarf_scan::Scan;

    /// Structures of a unit of DWARF 5, each with four anonymous members of the next.
    fn nested(count: u32) -> Vec<u8> {
        // Bytes of the unit's header and its first entry, of the first structure, and of each other.
        let (start, first, each) = (13, 24, 22);
        let mut unit: Vec<u8> = vec![5, 0, 1, 8, 0, 0, 0, 0, 1];
        for number in 1..=count {
            match number {
                1 => unit.extend(b"\x02s\0"),
                _ => unit.push(3),
            }
            let next = start + first + each * (number - 1);
            for _ in 0..4 {
                unit.push(4);
                unit.extend(next.to_le_bytes());
            }
            unit.push(0);
        }
        unit.extend([3, 0, 0]);
        let len = u32::try_from(unit.len()).unwrap_or_default();
        [len.to_le_bytes().as_slice(), &unit].concat()
    }

    #[test]
    fn structures_without_measure_are_an_error() {
        // A unit; a structure with a name; one without; a member of a type of this unit.
        let abbrev =
            b"\x01\x11\x01\0\0\x02\x13\x01\x03\x08\0\0\x03\x13\x01\0\0\x04\x0d\0\x49\x13\0\0\0";
        for (levels, fits) in [(4, true), (20, false), (40, false)] {
            let info = nested(levels);
            let sections = Sections {
                info: &info,
                types: &[],
                abbrev,
                strings: &[],
                line_strings: &[],
                string_offsets: &[],
            };
            let dwarf = Dwarf::new(&sections, gimli::RunTimeEndian::Little);
            let mut builder = ProfileBuilder::new(Identity {
                os: OsKind::Linux,
                pointer_bytes: 8,
                build_id: None,
                banner: Vec::new(),
                release: String::new(),
            });
            let outcome = Scan::new(&dwarf, 0, None).run(&mut builder);
            assert_eq!(outcome.is_ok(), fits, "{levels}: {outcome:?}");
            assert_eq!(builder.build().find_type("s").is_some(), fits);
        }
    }
}
