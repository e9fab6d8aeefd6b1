//! DWARF 4 and 5: sections, units and entries, as far as a kernel's types need them.
//!
//! Source: DWARF Debugging Information Format, version 4 (2010) and version 5 (2017).

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use gimli::{
    Abbreviations, AttributeValue, DebugAbbrev, DebugInfo, DebugLineStr, DebugStr, DebugStrOffsets,
    DebugStrOffsetsBase, DebugTypeSignature, DebugTypes, DwTag, EndianSlice, EntriesRaw,
    RunTimeEndian, UnitHeader, UnitOffset, UnitSectionOffset, UnitType, constants as dw,
};

use crate::SymbolError;
use crate::budget::Budget;

pub(crate) type Bytes<'d> = EndianSlice<'d, RunTimeEndian>;
pub(crate) type Value<'d> = AttributeValue<Bytes<'d>>;

/// How far a chain of typedefs or qualifiers is followed.
const MAX_CHAIN: usize = 64;

/// The sections that hold types. `.debug_types` is empty in DWARF 5.
pub(crate) struct Sections<'d> {
    pub(crate) info: &'d [u8],
    pub(crate) types: &'d [u8],
    pub(crate) abbrev: &'d [u8],
    pub(crate) strings: &'d [u8],
    pub(crate) line_strings: &'d [u8],
    pub(crate) string_offsets: &'d [u8],
}

/// One unit, ready to be read.
pub(crate) struct Unit<'d> {
    pub(crate) header: UnitHeader<Bytes<'d>>,
    abbreviations: Abbreviations,
    string_base: DebugStrOffsetsBase<usize>,
}

/// A place of an entry.
#[derive(Clone)]
pub(crate) struct At<'d> {
    pub(crate) unit: Rc<Unit<'d>>,
    pub(crate) offset: UnitOffset,
}

/// An entry: those of its attributes that describe types.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'d> {
    pub(crate) tag: DwTag,
    pub(crate) has_children: bool,
    pub(crate) name: Option<Value<'d>>,
    pub(crate) ty: Option<Value<'d>>,
    pub(crate) signature: Option<Value<'d>>,
    pub(crate) location: Option<Value<'d>>,
    pub(crate) constant: Option<Value<'d>>,
    pub(crate) sibling: Option<UnitOffset>,
    pub(crate) declaration: bool,
    pub(crate) bytes: Option<u64>,
    pub(crate) bits: Option<u64>,
    pub(crate) bit_offset: Option<u64>,
    pub(crate) data_bit_offset: Option<u64>,
    pub(crate) upper_bound: Option<u64>,
    pub(crate) count: Option<u64>,
    pub(crate) encoding: Option<u64>,
    pub(crate) line: u64,
}

impl<'d> Entry<'d> {
    fn new(tag: DwTag, has_children: bool) -> Self {
        Self {
            tag,
            has_children,
            name: None,
            ty: None,
            signature: None,
            location: None,
            constant: None,
            sibling: None,
            declaration: false,
            bytes: None,
            bits: None,
            bit_offset: None,
            data_bit_offset: None,
            upper_bound: None,
            count: None,
            encoding: None,
            line: 0,
        }
    }

    fn set(&mut self, name: gimli::DwAt, value: Value<'d>) {
        match name {
            dw::DW_AT_name => self.name = Some(value),
            dw::DW_AT_type => self.ty = Some(value),
            dw::DW_AT_signature => self.signature = Some(value),
            dw::DW_AT_data_member_location => self.location = Some(value),
            dw::DW_AT_const_value => self.constant = Some(value),
            dw::DW_AT_sibling => {
                if let AttributeValue::UnitRef(offset) = value {
                    self.sibling = Some(offset);
                }
            }
            dw::DW_AT_declaration => {
                self.declaration = !matches!(value, AttributeValue::Flag(false));
            }
            dw::DW_AT_byte_size => self.bytes = value.udata_value(),
            dw::DW_AT_bit_size => self.bits = value.udata_value(),
            dw::DW_AT_bit_offset => self.bit_offset = value.udata_value(),
            dw::DW_AT_data_bit_offset => self.data_bit_offset = value.udata_value(),
            dw::DW_AT_upper_bound => self.upper_bound = value.udata_value(),
            dw::DW_AT_count => self.count = value.udata_value(),
            dw::DW_AT_encoding => {
                self.encoding = match value {
                    AttributeValue::Encoding(encoding) => Some(u64::from(encoding.0)),
                    other => other.udata_value(),
                }
            }
            dw::DW_AT_decl_line => self.line = value.udata_value().unwrap_or(0),
            _ => {}
        }
    }

    /// Whether it is a structure, class or union.
    pub(crate) fn is_compound(&self) -> bool {
        is_compound(self.tag)
    }
}

pub(crate) fn is_compound(tag: DwTag) -> bool {
    matches!(
        tag,
        dw::DW_TAG_structure_type | dw::DW_TAG_union_type | dw::DW_TAG_class_type
    )
}

/// A type without its typedefs and qualifiers.
pub(crate) struct Bare<'d> {
    pub(crate) at: At<'d>,
    pub(crate) entry: Entry<'d>,
    /// The name of the typedef nearest to it.
    pub(crate) typedef: Option<&'d [u8]>,
}

/// All debug information of one file.
pub(crate) struct Dwarf<'d> {
    info: DebugInfo<Bytes<'d>>,
    types: DebugTypes<Bytes<'d>>,
    abbrev: DebugAbbrev<Bytes<'d>>,
    strings: DebugStr<Bytes<'d>>,
    line_strings: DebugLineStr<Bytes<'d>>,
    string_offsets: DebugStrOffsets<Bytes<'d>>,
    /// Where each unit of `.debug_info` starts.
    starts: OnceCell<Vec<usize>>,
    signatures: OnceCell<HashMap<DebugTypeSignature, (UnitHeader<Bytes<'d>>, UnitOffset)>>,
    /// What was made of it.
    pub(crate) budget: Budget,
}

/// A broken structure, at an offset that is known or not.
pub(crate) fn broken(offset: usize, problem: impl std::fmt::Display) -> SymbolError {
    SymbolError::Malformed {
        format: "DWARF",
        offset: offset as u64,
        problem: problem.to_string(),
    }
}

impl<'d> Dwarf<'d> {
    pub(crate) fn new(sections: &Sections<'d>, endian: RunTimeEndian) -> Self {
        Self {
            info: DebugInfo::new(sections.info, endian),
            types: DebugTypes::new(sections.types, endian),
            abbrev: DebugAbbrev::new(sections.abbrev, endian),
            strings: DebugStr::new(sections.strings, endian),
            line_strings: DebugLineStr::new(sections.line_strings, endian),
            string_offsets: DebugStrOffsets::from(EndianSlice::new(
                sections.string_offsets,
                endian,
            )),
            starts: OnceCell::new(),
            signatures: OnceCell::new(),
            budget: Budget::default(),
        }
    }

    /// Calls `visit` with every unit's header, `.debug_types` after `.debug_info`.
    pub(crate) fn each_header(
        &self,
        mut visit: impl FnMut(UnitHeader<Bytes<'d>>) -> Result<(), SymbolError>,
    ) -> Result<(), SymbolError> {
        let mut units = self.info.units();
        let mut end = 0;
        while let Some(header) = units.next().map_err(|error| broken(end, error))? {
            end = end.saturating_add(header.length_including_self());
            visit(header)?;
        }
        let mut units = self.types.units();
        let mut end = 0;
        while let Some(header) = units.next().map_err(|error| broken(end, error))? {
            end = end.saturating_add(header.length_including_self());
            visit(header)?;
        }
        Ok(())
    }

    /// Reads what is needed of a unit before its entries.
    ///
    /// # Errors
    ///
    /// A broken unit, or the skeleton of one whose types are in another file.
    pub(crate) fn unit(&self, header: UnitHeader<Bytes<'d>>) -> Result<Unit<'d>, SymbolError> {
        let start = header.offset().0;
        let abbreviations = header
            .abbreviations(&self.abbrev)
            .map_err(|error| broken(start, error))?;
        let mut unit = Unit {
            string_base: DebugStrOffsetsBase(0),
            header,
            abbreviations,
        };
        let mut raw = unit.raw(unit.header.root_offset())?;
        let root = raw.read_abbreviation();
        let Some(root) = root.map_err(|error| broken(start, error))? else {
            return Ok(unit);
        };
        let mut split = matches!(unit.header.type_(), UnitType::Skeleton(_));
        let mut dwo_name = None;
        let mut string_base = unit.string_base;
        for &spec in root.attributes() {
            let attribute = raw.read_attribute(spec);
            let attribute = attribute.map_err(|error| broken(start, error))?;
            match (attribute.name(), attribute.value()) {
                (dw::DW_AT_str_offsets_base, AttributeValue::DebugStrOffsetsBase(base)) => {
                    string_base = base;
                }
                (dw::DW_AT_dwo_name | dw::DW_AT_GNU_dwo_name, name) => {
                    split = true;
                    dwo_name = Some(name);
                }
                _ => {}
            }
        }
        unit.string_base = string_base;
        if split {
            let name = dwo_name.and_then(|name| self.text(&unit, &name));
            let name = name.unwrap_or(b"(no name)").escape_ascii();
            return Err(SymbolError::Unusable(format!(
                "the debug information is split: the types of the unit at {start:#x} are in \
                 {name}; link the parts together, or import a vmlinux built without \
                 CONFIG_DEBUG_INFO_SPLIT"
            )));
        }
        Ok(unit)
    }

    /// The bytes of a string attribute.
    pub(crate) fn text(&self, unit: &Unit<'d>, value: &Value<'d>) -> Option<&'d [u8]> {
        let bytes = match *value {
            AttributeValue::String(bytes) => bytes,
            AttributeValue::DebugStrRef(offset) => self.strings.get_str(offset).ok()?,
            AttributeValue::DebugLineStrRef(offset) => self.line_strings.get_str(offset).ok()?,
            AttributeValue::DebugStrOffsetsIndex(index) => {
                let format = unit.header.format();
                let base = unit.string_base;
                let offset = self.string_offsets.get_str_offset(format, base, index);
                self.strings.get_str(offset.ok()?).ok()?
            }
            _ => return None,
        };
        Some(bytes.slice())
    }

    /// The entry that a reference from `unit` names.
    pub(crate) fn refer(&self, unit: &Rc<Unit<'d>>, value: &Value<'d>) -> Option<At<'d>> {
        match *value {
            AttributeValue::UnitRef(offset) => Some(At {
                unit: Rc::clone(unit),
                offset,
            }),
            AttributeValue::DebugInfoRef(target) => {
                let starts = self.starts.get_or_init(|| self.unit_starts());
                let after = starts.partition_point(|start| *start <= target.0);
                let start = *starts.get(after.checked_sub(1)?)?;
                let header = self.info.header_from_offset(gimli::DebugInfoOffset(start));
                let header = header.ok()?;
                let offset = UnitSectionOffset(target.0).to_unit_offset(&header)?;
                let unit = Rc::new(self.unit(header).ok()?);
                Some(At { unit, offset })
            }
            AttributeValue::DebugTypesRef(signature) => {
                let known = self.signatures.get_or_init(|| self.type_units());
                let (header, offset) = known.get(&signature)?;
                let unit = Rc::new(self.unit(*header).ok()?);
                Some(At {
                    unit,
                    offset: *offset,
                })
            }
            _ => None,
        }
    }

    fn unit_starts(&self) -> Vec<usize> {
        let mut starts = Vec::new();
        let mut units = self.info.units();
        while let Ok(Some(header)) = units.next() {
            starts.push(header.offset().0);
        }
        starts
    }

    fn type_units(&self) -> HashMap<DebugTypeSignature, (UnitHeader<Bytes<'d>>, UnitOffset)> {
        let mut known = HashMap::new();
        // A broken header ends the list; what came before it is usable.
        let _ = self.each_header(|header| {
            if let UnitType::Type {
                type_signature,
                type_offset,
            } = header.type_()
            {
                known.entry(type_signature).or_insert((header, type_offset));
            }
            Ok(())
        });
        known
    }

    /// The type that `value` names, without typedefs and qualifiers; `None` for `void` and for a
    /// reference that leads nowhere.
    pub(crate) fn bare(
        &self,
        unit: &Rc<Unit<'d>>,
        value: Option<Value<'d>>,
    ) -> Result<Option<Bare<'d>>, SymbolError> {
        let mut typedef = None;
        let mut next = value.and_then(|value| self.refer(unit, &value));
        for _ in 0..MAX_CHAIN {
            let Some(at) = next else {
                return Ok(None);
            };
            self.budget.step();
            let (entry, _) = at.unit.open(at.offset)?;
            let through = match entry.tag {
                dw::DW_TAG_typedef => {
                    let name = entry.name.and_then(|name| self.text(&at.unit, &name));
                    typedef = name.or(typedef);
                    entry.ty
                }
                dw::DW_TAG_const_type
                | dw::DW_TAG_volatile_type
                | dw::DW_TAG_restrict_type
                | dw::DW_TAG_atomic_type => entry.ty,
                _ if entry.declaration && entry.signature.is_some() => entry.signature,
                _ => return Ok(Some(Bare { at, entry, typedef })),
            };
            next = through.and_then(|value| self.refer(&at.unit, &value));
        }
        Err(broken(unit.header.offset().0, "typedefs without an end"))
    }
}

impl<'d> Unit<'d> {
    /// Entries from `offset` on, at depth 0.
    pub(crate) fn raw(&self, offset: UnitOffset) -> Result<EntriesRaw<'_, Bytes<'d>>, SymbolError> {
        let input = self.header.range_from(offset..);
        let input = input.map_err(|error| self.broken(offset, error))?;
        let encoding = self.header.encoding();
        Ok(EntriesRaw::new(
            input,
            encoding,
            &self.abbreviations,
            offset,
        ))
    }

    pub(crate) fn broken(
        &self,
        offset: UnitOffset,
        problem: impl std::fmt::Display,
    ) -> SymbolError {
        broken(self.header.offset().0.saturating_add(offset.0), problem)
    }

    /// Reads the entry at `offset`; its children, if any, come next.
    pub(crate) fn open(
        &self,
        offset: UnitOffset,
    ) -> Result<(Entry<'d>, EntriesRaw<'_, Bytes<'d>>), SymbolError> {
        let mut raw = self.raw(offset)?;
        let entry = self.next(&mut raw)?;
        let entry = entry.ok_or_else(|| self.broken(offset, "no entry where one is named"))?;
        Ok((entry, raw))
    }

    /// Reads the next entry; `None` at the end of a list of children.
    pub(crate) fn next(
        &self,
        raw: &mut EntriesRaw<'_, Bytes<'d>>,
    ) -> Result<Option<Entry<'d>>, SymbolError> {
        let offset = raw.next_offset();
        let abbreviation = raw.read_abbreviation();
        let Some(abbreviation) = abbreviation.map_err(|error| self.broken(offset, error))? else {
            return Ok(None);
        };
        let mut entry = Entry::new(abbreviation.tag(), abbreviation.has_children());
        for &spec in abbreviation.attributes() {
            let attribute = raw.read_attribute_inline(spec);
            let attribute = attribute.map_err(|error| self.broken(offset, error))?;
            entry.set(attribute.name(), attribute.value());
        }
        Ok(Some(entry))
    }

    /// Moves past the children of the entry that was just read.
    pub(crate) fn skip<'u>(
        &'u self,
        raw: &mut EntriesRaw<'u, Bytes<'d>>,
        has_children: bool,
        sibling: Option<UnitOffset>,
    ) -> Result<(), SymbolError> {
        if !has_children {
            return Ok(());
        }
        let here = raw.next_offset();
        // A sibling that leads backwards would never end.
        if let Some(sibling) = sibling.filter(|sibling| sibling.0 > here.0)
            && let Ok(there) = self.raw(sibling)
        {
            *raw = there;
            return Ok(());
        }
        let depth = raw.next_depth();
        let failed = |error| self.broken(here, error);
        while raw.next_depth() >= depth {
            if let Some(abbreviation) = raw.read_abbreviation().map_err(failed)? {
                raw.skip_attributes(abbreviation.attributes())
                    .map_err(failed)?;
            }
        }
        Ok(())
    }
}
