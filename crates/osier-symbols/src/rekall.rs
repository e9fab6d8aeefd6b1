//! Rekall's profiles of Windows kernels: JSON made of a PDB.
//!
//! `$STRUCTS` maps a structure to its size and members, a member to its offset and type: a name, and
//! for `Pointer`, `Array`, `BitField` and `Enumeration` what these are of. A type is named as in C,
//! and has the width that Windows gives it; a pointer's width comes from `$METADATA`. `$CONSTANTS`
//! and `$FUNCTIONS` are symbols, bytes from the image's base. Source: Rekall's
//! `rekall/plugins/windows/pdbparse`, profiles of version 1.0.

use osier_profile::{
    BuildId, Identity, Kind, Member, OsKind, ProfileBuilder, Type, TypeKind, Wanted,
};
use serde_json::{Map, Value};

use crate::SymbolError;
use crate::budget::Budget;
use crate::names::is_unnamed;

/// Types inside one another.
const MAX_NESTING: usize = 16;

/// Whether JSON begins as such a profile does: with one of its parts.
pub(crate) fn looks_like(data: &[u8]) -> bool {
    let inside = data.trim_ascii_start().strip_prefix(b"{");
    inside.is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\"$"))
}

/// Reads a Rekall profile of a Windows kernel. Its identity has the age that the PDB itself counts;
/// symbol servers and images go by another, see [`set_age_by_name`].
///
/// # Errors
///
/// No profile of a Windows kernel, or a damaged one.
pub(crate) fn import(data: &[u8], wanted: Option<&Wanted>) -> Result<ProfileBuilder, SymbolError> {
    let root: Value = serde_json::from_slice(data).map_err(|error| SymbolError::Malformed {
        format: "Rekall profile",
        offset: 0,
        problem: error.to_string(),
    })?;
    let part = |name: &str| root.get(name).and_then(Value::as_object);
    let unusable = |problem: &str| SymbolError::Unusable(format!("Rekall profile: {problem}"));
    let metadata = part("$METADATA").ok_or_else(|| unusable("it has no $METADATA"))?;
    let structs = part("$STRUCTS").ok_or_else(|| unusable("it has no $STRUCTS"))?;
    let text = |name: &str| metadata.get(name).and_then(Value::as_str);
    let pointer_bytes = match text("arch") {
        Some("I386") => 4,
        Some("AMD64") => 8,
        other => {
            let problem = format!(
                "of {}, not of I386 or AMD64",
                other.unwrap_or("no architecture")
            );
            return Err(unusable(&problem));
        }
    };
    let id = text("GUID_AGE").and_then(BuildId::from_symbol_server_key);
    let id = id.ok_or_else(|| unusable("no GUID and age, so not of Windows"))?;
    let mut builder = ProfileBuilder::new(Identity {
        os: OsKind::Windows,
        pointer_bytes,
        build_id: Some(id),
        banner: Vec::new(),
        release: String::new(),
    });
    let rekall = Rekall {
        structs,
        pointer_bytes: pointer_bytes.into(),
        budget: Budget::default(),
    };
    let kept = |lists: fn(&Wanted) -> &'static [&'static [&'static str]], name: &str| {
        wanted.is_none_or(|wanted| lists(wanted).iter().any(|list| list.contains(&name)))
    };
    for (name, ty) in structs {
        if !is_unnamed(name.as_bytes()) && kept(|wanted| wanted.types, name) {
            rekall.add_type(&mut builder, name, ty, 0)?;
        }
    }
    for (name, place) in ["$CONSTANTS", "$FUNCTIONS"]
        .iter()
        .filter_map(|p| part(p))
        .flatten()
    {
        if let Some(place) = place.as_u64()
            && kept(|wanted| wanted.symbols, name)
        {
            builder.add_symbol(name, place);
        }
    }
    for (name, value) in part("$REVENUMS")
        .into_iter()
        .flatten()
        .flat_map(|(_, of)| entries(of))
    {
        if let Some(value) = value.as_i64()
            && kept(|wanted| wanted.constants, name)
        {
            builder.add_constant(name, value);
        }
    }
    builder.provenance(format!(
        "Rekall profile of {}",
        text("PDBFile").unwrap_or("a PDB")
    ));
    Ok(builder)
}

/// Gives a profile the age that its file's name ends with, when the name has its GUID too: Rekall
/// calls files as symbol servers do, and writes the PDB's own age, which is often greater, into
/// them.
pub fn set_age_by_name(builder: &mut ProfileBuilder, file_name: &str) {
    let Some(id) = &builder.identity().build_id else {
        return;
    };
    let guid = id.0.get(..16).map(<[u8]>::to_vec);
    let named = file_name
        .split(|c: char| !c.is_ascii_hexdigit())
        .filter_map(BuildId::from_symbol_server_key)
        .find(|named| named.0.len() == 20 && named.0.get(..16) == guid.as_deref());
    if named.is_some() {
        builder.identity_mut().build_id = named;
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

struct Rekall<'v> {
    structs: &'v Map<String, Value>,
    pointer_bytes: u64,
    budget: Budget,
}

impl Rekall<'_> {
    /// Adds a type, and as `PARENT.member` each unnamed type that a member of it holds.
    fn add_type(
        &self,
        builder: &mut ProfileBuilder,
        name: &str,
        ty: &Value,
        nesting: usize,
    ) -> Result<(), SymbolError> {
        let fields = ty.get(1).and_then(Value::as_object);
        let unusable =
            |problem: String| SymbolError::Unusable(format!("Rekall profile: {problem}"));
        if nesting > MAX_NESTING {
            return Err(unusable(format!("the type {name} holds itself")));
        }
        let mut members = Vec::new();
        for (field, value) in fields.into_iter().flatten() {
            let taken = self.budget.member();
            taken.map_err(|exhausted| unusable(exhausted.to_string()))?;
            let (Some(offset), Some(held)) = (value.get(0).and_then(Value::as_i64), value.get(1))
            else {
                continue;
            };
            let mut inner = Vec::new();
            let path = format!("{name}.{field}");
            self.budget.text(path.len().saturating_add(field.len()));
            let mut member = self.member(held, &path, &mut inner);
            member.name.clone_from(field);
            member.offset = offset;
            members.push(member);
            for ty in inner {
                self.add_type(builder, &path, ty, nesting.saturating_add(1))?;
            }
        }
        // What overlaps is a union: all begin at 0, and there is more than one.
        let union = members.len() > 1 && members.iter().all(|m| m.offset == 0 && m.bits.is_none());
        let kind = if union {
            TypeKind::Union
        } else {
            TypeKind::Struct
        };
        let bytes = ty.get(0).and_then(Value::as_u64).unwrap_or(0);
        builder.add_type(Type::new(name.to_owned(), kind, bytes, members));
        Ok(())
    }

    fn member<'v>(&'v self, held: &'v Value, path: &str, inner: &mut Vec<&'v Value>) -> Member {
        let (ty, of) = (held.get(0).and_then(Value::as_str), held.get(1));
        let number = |name: &str| of.and_then(|of| of.get(name)).and_then(Value::as_u64);
        let (ty, bits) = match ty {
            Some("BitField") => {
                let first = number("start_bit").unwrap_or(0);
                let width = number("end_bit").unwrap_or(0).saturating_sub(first);
                let target = of.and_then(|of| of.get("target")).and_then(Value::as_str);
                let bits = u8::try_from(first).ok().zip(u8::try_from(width).ok());
                (target, bits)
            }
            other => (other, None),
        };
        let (kind, bytes) = self.kind(ty.unwrap_or_default(), of, path, inner, 0);
        Member {
            name: String::new(),
            offset: 0,
            bytes,
            bits,
            kind,
        }
    }

    fn kind<'v>(
        &'v self,
        ty: &str,
        of: Option<&'v Value>,
        path: &str,
        inner: &mut Vec<&'v Value>,
        nesting: usize,
    ) -> (Kind, u64) {
        let of = |name: &str| of.and_then(|of| of.get(name));
        let target = of("target").and_then(Value::as_str).unwrap_or_default();
        match ty {
            "Pointer" => {
                let named = self.structs.contains_key(target) && !is_unnamed(target.as_bytes());
                self.budget.text(target.len());
                let to = if named {
                    target.to_owned()
                } else {
                    String::new()
                };
                (Kind::Pointer { to }, self.pointer_bytes)
            }
            "Array" if nesting < MAX_NESTING => {
                let deeper = nesting.saturating_add(1);
                let (element, each) = self.kind(target, of("target_args"), path, inner, deeper);
                let number = |name: &str| of(name).and_then(Value::as_u64);
                let counted = number("count");
                let bytes = match (counted, number("size")) {
                    (Some(count), _) => each.saturating_mul(count),
                    (None, size) => size.unwrap_or(0),
                };
                let count = counted.or_else(|| bytes.checked_div(each)).unwrap_or(0);
                let of = Box::new(element);
                (Kind::Array { of, count }, bytes)
            }
            "Enumeration" => c_type(target),
            _ => match self.structs.get(ty) {
                Some(held) => {
                    let name = if is_unnamed(ty.as_bytes()) {
                        inner.push(held);
                        path.to_owned()
                    } else {
                        ty.to_owned()
                    };
                    let bytes = held.get(0).and_then(Value::as_u64).unwrap_or(0);
                    (Kind::Embedded { name }, bytes)
                }
                None => c_type(ty),
            },
        }
    }
}

/// A type of C as Windows has it, on 32 and 64 bits alike.
fn c_type(name: &str) -> (Kind, u64) {
    let (unsigned, name) = match name.strip_prefix("unsigned ") {
        Some(name) => (true, name),
        None => (false, name),
    };
    let bytes = match name {
        "char" => 1,
        "short" => 2,
        "int" | "long" => 4,
        "long long" => 8,
        "double" => return (Kind::Unknown, 8),
        "float" => return (Kind::Unknown, 4),
        _ => return (Kind::Unknown, 0),
    };
    (Kind::Int { signed: !unsigned }, bytes)
}
