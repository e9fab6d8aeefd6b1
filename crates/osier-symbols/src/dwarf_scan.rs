//! One pass over all units for the types and enumerators that are wanted.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::rc::Rc;

use gimli::{AttributeValue, EntriesRaw, UnitOffset, constants as dw};
use osier_profile::{Kind, Member, ProfileBuilder, Type, TypeKind, Wanted};

use crate::SymbolError;
use crate::dwarf::{At, Bytes, Dwarf, Entry, Unit, Value, is_compound};

/// What is known of a name by its offset in `.debug_str`.
const ASKED: u8 = 1;
const WANTED: u8 = 2;

/// Levels of parts without a name of their own inside one another; C code has two or three.
const MOST_PARTS: usize = 4;

pub(crate) struct Scan<'s, 'd> {
    dwarf: &'s Dwarf<'d>,
    /// `None`: every named type and every enumerator.
    wanted: Option<HashSet<&'static [u8]>>,
    constants: Option<HashSet<&'static [u8]>>,
    /// By offset in `.debug_str`.
    asked: Vec<u8>,
    /// Names of types that have been taken.
    taken: HashSet<&'d [u8]>,
    /// Names of constants that have been taken.
    constants_taken: HashSet<&'d [u8]>,
    /// Enumerations that have been looked into, by a hash of what tells them apart.
    enumerations: HashSet<u64>,
    hasher: RandomState,
    /// Whether a part of a type that has no name but its member's is kept as `PARENT.member`, as that of a
    /// PDB is.
    parts: bool,
}

fn names(lists: &[&[&'static str]]) -> HashSet<&'static [u8]> {
    let names = lists.iter().copied().flatten();
    names.map(|name| name.as_bytes()).collect()
}

impl<'s, 'd> Scan<'s, 'd> {
    pub(crate) fn new(dwarf: &'s Dwarf<'d>, strings: usize, wanted: Option<&Wanted>) -> Self {
        Self {
            dwarf,
            wanted: wanted.map(|wanted| names(wanted.types)),
            constants: wanted.map(|wanted| names(wanted.constants)),
            asked: vec![0; strings],
            taken: HashSet::new(),
            constants_taken: HashSet::new(),
            enumerations: HashSet::new(),
            hasher: RandomState::new(),
            parts: false,
        }
    }

    /// Keeps parts without a name of their own as `PARENT.member`.
    pub(crate) fn with_parts(mut self) -> Self {
        self.parts = true;
        self
    }

    /// Looks through every unit.
    pub(crate) fn run(&mut self, builder: &mut ProfileBuilder) -> Result<(), SymbolError> {
        let dwarf = self.dwarf;
        dwarf.each_header(|header| {
            let unit = Rc::new(dwarf.unit(header)?);
            self.unit(&unit, builder)
        })
    }

    fn unit(
        &mut self,
        unit: &Rc<Unit<'d>>,
        builder: &mut ProfileBuilder,
    ) -> Result<(), SymbolError> {
        let root = unit.header.root_offset();
        let mut raw = unit.raw(root)?;
        let failed = |error| unit.broken(root, error);
        match raw.read_abbreviation().map_err(failed)? {
            Some(entry) if entry.has_children() => {
                raw.skip_attributes(entry.attributes()).map_err(failed)?;
            }
            _ => return Ok(()),
        }
        while !raw.is_empty() {
            let offset = raw.next_offset();
            // The same entry is read again, in full, when it is of a kind that matters.
            let mut ahead = raw.clone();
            let failed = |error| unit.broken(offset, error);
            let Some(abbreviation) = ahead.read_abbreviation().map_err(failed)? else {
                break;
            };
            let tag = abbreviation.tag();
            let matters =
                is_compound(tag) || tag == dw::DW_TAG_typedef || tag == dw::DW_TAG_enumeration_type;
            if matters {
                let Some(entry) = unit.next(&mut raw)? else {
                    break;
                };
                let inside = raw.clone();
                self.entry(unit, offset, &entry, inside, builder)?;
                unit.skip(&mut raw, entry.has_children, entry.sibling)?;
                continue;
            }
            raw = ahead;
            let specs = abbreviation.attributes();
            if !abbreviation.has_children() {
                raw.skip_attributes(specs).map_err(failed)?;
                continue;
            }
            let mut sibling = None;
            let at = specs.iter().position(|s| s.name() == dw::DW_AT_sibling);
            let (before, rest) = specs.split_at(at.unwrap_or(specs.len()));
            raw.skip_attributes(before).map_err(failed)?;
            if let Some((&spec, after)) = rest.split_first() {
                let attribute = raw.read_attribute_inline(spec).map_err(failed)?;
                if let AttributeValue::UnitRef(there) = attribute.value() {
                    sibling = Some(there);
                }
                raw.skip_attributes(after).map_err(failed)?;
            }
            unit.skip(&mut raw, true, sibling)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        unit: &Rc<Unit<'d>>,
        offset: UnitOffset,
        entry: &Entry<'d>,
        inside: EntriesRaw<'_, Bytes<'d>>,
        builder: &mut ProfileBuilder,
    ) -> Result<(), SymbolError> {
        if entry.tag == dw::DW_TAG_enumeration_type {
            return self.enumeration(unit, offset, entry, inside, builder);
        }
        if entry.declaration {
            return Ok(());
        }
        let Some(name) = entry.name.and_then(|name| self.untaken(unit, &name)) else {
            return Ok(());
        };
        let (at, body) = if entry.tag == dw::DW_TAG_typedef {
            // Only a structure that has no other name goes by that of its typedef.
            match self.dwarf.bare(unit, entry.ty)? {
                Some(bare)
                    if bare.entry.is_compound()
                        && bare.entry.name.is_none()
                        && bare.typedef.is_none()
                        && !bare.entry.declaration =>
                {
                    (bare.at, bare.entry)
                }
                _ => return Ok(()),
            }
        } else {
            let unit = Rc::clone(unit);
            (At { unit, offset }, *entry)
        };
        let Ok(text) = std::str::from_utf8(name) else {
            return Ok(());
        };
        let mut members = self.dwarf.members(&at)?;
        if self.parts {
            self.add_parts(text, &at, &mut members, MOST_PARTS, builder)?;
        }
        let bytes = body.bytes.unwrap_or(0);
        builder.add_type(Type::new(text.to_owned(), sort(&body), bytes, members));
        self.taken.insert(name);
        Ok(())
    }

    /// Adds the parts of the type `parent` at `at` that have no name of their own, and names them in its
    /// members; and `depth` levels of parts of these.
    fn add_parts(
        &self,
        parent: &str,
        at: &At<'d>,
        members: &mut [Member],
        depth: usize,
        builder: &mut ProfileBuilder,
    ) -> Result<(), SymbolError> {
        let Some(deeper) = depth.checked_sub(1) else {
            return Ok(());
        };
        for (member, part) in self.dwarf.unnamed_parts(at)? {
            let own = format!("{parent}.{member}");
            self.dwarf.budget.text(own.len());
            let mut within = self.dwarf.members(&part.at)?;
            self.add_parts(&own, &part.at, &mut within, deeper, builder)?;
            let bytes = part.entry.bytes.unwrap_or(0);
            builder.add_type(Type::new(own.clone(), sort(&part.entry), bytes, within));
            for held in members.iter_mut().filter(|held| held.name == member) {
                if let Kind::Embedded { name } = &mut held.kind
                    && name.is_empty()
                {
                    name.clone_from(&own);
                }
            }
        }
        Ok(())
    }

    /// The name, if a type of that name is wanted and has not been taken.
    fn untaken(&mut self, unit: &Unit<'d>, value: &Value<'d>) -> Option<&'d [u8]> {
        let mut slot = None;
        if let AttributeValue::DebugStrRef(offset) = value {
            slot = self.asked.get_mut(offset.0);
        }
        if let Some(&mut known) = slot
            && known & ASKED != 0
            && known & WANTED == 0
        {
            return None;
        }
        let name = self.dwarf.text(unit, value)?;
        let wanted = self.wanted.as_ref().is_none_or(|list| list.contains(name));
        let wanted = wanted && !self.taken.contains(name) && !name.is_empty();
        if let Some(slot) = slot {
            *slot = if wanted { ASKED | WANTED } else { ASKED };
        }
        wanted.then_some(name)
    }

    fn enumeration(
        &mut self,
        unit: &Unit<'d>,
        offset: UnitOffset,
        entry: &Entry<'d>,
        mut inside: EntriesRaw<'_, Bytes<'d>>,
        builder: &mut ProfileBuilder,
    ) -> Result<(), SymbolError> {
        if !entry.has_children || self.constants.as_ref().is_some_and(HashSet::is_empty) {
            return Ok(());
        }
        // Headers bring the same enumerations into every unit: its line, its extent and its first
        // enumerator tell one from another.
        let mut first = unit.next(&mut inside)?;
        let mut hasher = self.hasher.build_hasher();
        for name in [entry.name, first.and_then(|first| first.name)] {
            match name {
                Some(AttributeValue::DebugStrRef(at)) => at.0.hash(&mut hasher),
                Some(other) => self.dwarf.text(unit, &other).hash(&mut hasher),
                None => 0.hash(&mut hasher),
            }
        }
        entry.line.hash(&mut hasher);
        let end = entry.sibling.map(|end| end.0.wrapping_sub(offset.0));
        end.hash(&mut hasher);
        if end.is_some() && !self.enumerations.insert(hasher.finish()) {
            return Ok(());
        }
        while let Some(entry) = first {
            if entry.tag == dw::DW_TAG_enumerator
                && let Some(name) = entry.name.and_then(|name| self.dwarf.text(unit, &name))
                && self.constants.as_ref().is_none_or(|c| c.contains(name))
                && let Some(value) = constant(entry.constant.as_ref())
                && let Ok(text) = std::str::from_utf8(name)
                && self.constants_taken.insert(name)
            {
                builder.add_constant(text, value);
            }
            if entry.has_children {
                break;
            }
            first = unit.next(&mut inside)?;
        }
        Ok(())
    }
}

fn sort(entry: &Entry<'_>) -> TypeKind {
    match entry.tag {
        dw::DW_TAG_union_type => TypeKind::Union,
        _ => TypeKind::Struct,
    }
}

fn constant(value: Option<&Value<'_>>) -> Option<i64> {
    let value = value?;
    // The fixed-size forms do not tell whether they are signed. Compilers give unsigned values
    // the smallest form that holds them, and negative ones the signed form.
    match *value {
        AttributeValue::Data1(value) => Some(i64::from(value)),
        AttributeValue::Data2(value) => Some(i64::from(value)),
        AttributeValue::Data4(value) => Some(i64::from(value)),
        AttributeValue::Data8(value) | AttributeValue::Udata(value) => Some(value.cast_signed()),
        AttributeValue::Sdata(value) => Some(value),
        _ => None,
    }
}
