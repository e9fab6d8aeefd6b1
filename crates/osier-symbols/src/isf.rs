//! Volatility 3's Intermediate Symbol Format: a profile as JSON, schemas 4 to 6.
//!
//! Source: Volatility 3's JSON schemas, 4.0.0 to 6.2.0. Written files are of schema 6.2.0.
//! Addresses are a Windows kernel's offsets from its base, and a Linux kernel's link-time ones.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use osier_profile::{
    BuildId, Identity, Kind, Member, OsKind, Profile, ProfileBuilder, Type, TypeKind, Wanted,
};
use serde_json::{Map, Value, json};

use crate::SymbolError;
use crate::budget::Budget;
use crate::elf::set_banner;
use crate::names::is_unnamed;
use crate::variables::VARIABLES;

/// Anonymous structures inside one another.
const MAX_NESTING: usize = 16;

/// Reads ISF as JSON text; for a compressed file see [`import_symbols`](crate::import_symbols).
///
/// # Errors
///
/// No JSON, or none that has ISF's parts.
pub fn import_isf(data: &[u8], wanted: Option<&Wanted>) -> Result<ProfileBuilder, SymbolError> {
    import(data, |_| wanted)
}

/// As [`import_isf`]; what is wanted depends on the operating system that the file tells.
pub(crate) fn import<'w>(
    data: &[u8],
    wanted: impl Fn(OsKind) -> Option<&'w Wanted>,
) -> Result<ProfileBuilder, SymbolError> {
    let root: Value = serde_json::from_slice(data).map_err(|error| SymbolError::Malformed {
        format: "ISF",
        offset: 0,
        problem: error.to_string(),
    })?;
    let part = |name: &str| {
        let part = root.get(name).and_then(Value::as_object);
        part.ok_or_else(|| SymbolError::Unusable(format!("not ISF: it has no {name}")))
    };
    let isf = Isf {
        base: part("base_types")?,
        user: part("user_types")?,
        enums: part("enums")?,
        budget: Budget::default(),
    };
    let symbols = part("symbols")?;
    let metadata = part("metadata")?;

    let pointer = isf.base.get("pointer").and_then(|p| number(p, "size"));
    let pointer_bytes = if pointer == Some(4) { 4 } else { 8 };
    let mut builder = ProfileBuilder::new(identity(metadata, symbols, pointer_bytes));
    let wanted = wanted(builder.identity().os);
    let kept = |lists: fn(&Wanted) -> &'static [&'static [&'static str]], name: &str| {
        wanted.is_none_or(|wanted| lists(wanted).iter().any(|list| list.contains(&name)))
    };
    for (name, ty) in isf.user {
        if kept(|wanted| wanted.types, name) && !is_unnamed(name.as_bytes()) {
            isf.add_type(&mut builder, name, ty, 0)?;
        }
    }
    for constants in isf.enums.values().filter_map(|e| e.get("constants")) {
        for (name, value) in constants.as_object().into_iter().flatten() {
            if let Some(value) = value.as_i64()
                && kept(|wanted| wanted.constants, name)
            {
                builder.add_constant(name, value);
            }
        }
    }
    for (name, symbol) in symbols {
        if let Some(address) = number(symbol, "address")
            && kept(|wanted| wanted.symbols, name)
        {
            builder.add_symbol(name, address);
        }
    }
    let format = metadata.get("format").and_then(Value::as_str);
    builder.provenance(format!("ISF, schema {}", format.unwrap_or("unknown")));
    Ok(builder)
}

fn number(value: &Value, name: &str) -> Option<u64> {
    value.get(name).and_then(Value::as_u64)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn identity(
    metadata: &Map<String, Value>,
    symbols: &Map<String, Value>,
    pointer_bytes: u8,
) -> Identity {
    let mut identity = Identity {
        os: OsKind::Linux,
        pointer_bytes,
        build_id: None,
        banner: Vec::new(),
        release: String::new(),
    };
    if let Some(windows) = metadata.get("windows") {
        identity.os = OsKind::Windows;
        if let Some(pdb) = windows.get("pdb")
            && let Some(BuildId(mut id)) = BuildId::from_hex(text(pdb, "GUID"))
        {
            let age = number(pdb, "age").and_then(|age| u32::try_from(age).ok());
            id.extend_from_slice(&age.unwrap_or(0).to_be_bytes());
            identity.build_id = Some(BuildId(id));
        }
    } else if let Some(banner) = symbols.get("linux_banner")
        && let Ok(banner) = BASE64.decode(text(banner, "constant_data"))
    {
        let end = banner.iter().position(|byte| *byte == 0);
        let banner = banner.get(..end.unwrap_or(banner.len()));
        set_banner(&mut identity, banner.unwrap_or_default().trim_ascii_end());
    }
    identity
}

/// The name of the unnamed structure that a member holds, itself or as elements.
fn unnamed_part(kind: &mut Kind) -> Option<&mut String> {
    match kind {
        Kind::Embedded { name } => is_unnamed(name.as_bytes()).then_some(name),
        Kind::Array { of, .. } => unnamed_part(of),
        _ => None,
    }
}

struct Isf<'v> {
    base: &'v Map<String, Value>,
    user: &'v Map<String, Value>,
    enums: &'v Map<String, Value>,
    budget: Budget,
}

impl Isf<'_> {
    /// Adds a type, and as `PARENT.member` each unnamed type that a member of it holds.
    fn add_type(
        &self,
        builder: &mut ProfileBuilder,
        name: &str,
        ty: &Value,
        nesting: usize,
    ) -> Result<(), SymbolError> {
        let mut members = Vec::new();
        self.members(name, ty, 0, nesting, &mut members)?;
        let kind = match text(ty, "kind") {
            "union" => TypeKind::Union,
            _ => TypeKind::Struct,
        };
        for member in &mut members {
            if let Some(unnamed) = unnamed_part(&mut member.kind)
                && let Some(ty) = self.user.get(unnamed.as_str())
            {
                *unnamed = format!("{name}.{}", member.name);
                self.budget.text(unnamed.len());
                self.add_type(builder, unnamed, ty, nesting.saturating_add(1))?;
            }
        }
        let bytes = number(ty, "size").unwrap_or(0);
        builder.add_type(Type::new(name.to_owned(), kind, bytes, members));
        Ok(())
    }

    fn members(
        &self,
        name: &str,
        ty: &Value,
        base: i64,
        nesting: usize,
        members: &mut Vec<Member>,
    ) -> Result<(), SymbolError> {
        let fields = ty.get("fields").and_then(Value::as_object);
        let unusable = |problem: String| SymbolError::Unusable(format!("ISF: {problem}"));
        if nesting > MAX_NESTING {
            return Err(unusable(format!("the type {name} holds itself")));
        }
        for (field, value) in fields.into_iter().flatten() {
            let taken = self.budget.member();
            taken.map_err(|exhausted| unusable(exhausted.to_string()))?;
            self.budget.text(field.len());
            let Some(offset) = value.get("offset").and_then(Value::as_i64) else {
                continue;
            };
            // What stands before the place that a structure is known by has a negative offset.
            if offset == -1 {
                let problem = format!(
                    "{name}.{field} is at {offset}; whoever wrote it did not know the offset"
                );
                return Err(unusable(problem));
            }
            let offset = base.wrapping_add(offset);
            let held = value.get("type").unwrap_or(&Value::Null);
            if value.get("anonymous") == Some(&Value::Bool(true))
                && let Some(inner) = self.user.get(text(held, "name"))
            {
                self.members(name, inner, offset, nesting.saturating_add(1), members)?;
                continue;
            }
            let bits = (text(held, "kind") == "bitfield").then(|| {
                let bits = |name| number(held, name).and_then(|bits| u8::try_from(bits).ok());
                bits("bit_position").zip(bits("bit_length"))
            });
            let storage = if bits.is_some() {
                held.get("type").unwrap_or(&Value::Null)
            } else {
                held
            };
            let (kind, bytes) = self.kind(storage, 0);
            members.push(Member {
                name: field.clone(),
                offset,
                bytes,
                bits: bits.flatten(),
                kind,
            });
        }
        Ok(())
    }

    fn kind(&self, held: &Value, nesting: usize) -> (Kind, u64) {
        let name = text(held, "name");
        let subtype = held.get("subtype").unwrap_or(&Value::Null);
        match text(held, "kind") {
            "base" => self.base_kind(name),
            "enum" => {
                let base = self.enums.get(name);
                let (kind, bytes) = self.base_kind(base.map_or("", |base| text(base, "base")));
                let size = base.and_then(|base| number(base, "size"));
                (kind, size.unwrap_or(bytes))
            }
            "pointer" => {
                let named = matches!(text(subtype, "kind"), "struct" | "union" | "class");
                let to = if named { text(subtype, "name") } else { "" };
                let to = if is_unnamed(to.as_bytes()) { "" } else { to };
                let own = held.get("base").and_then(Value::as_str);
                let own = self.base.get(own.unwrap_or("pointer"));
                let bytes = own.and_then(|own| number(own, "size"));
                self.budget.text(to.len());
                (Kind::Pointer { to: to.to_owned() }, bytes.unwrap_or(0))
            }
            "struct" | "union" | "class" => {
                let bytes = self.user.get(name).and_then(|ty| number(ty, "size"));
                self.budget.text(name.len());
                let name = name.to_owned();
                (Kind::Embedded { name }, bytes.unwrap_or(0))
            }
            "array" if nesting < MAX_NESTING => {
                let count = number(held, "count").unwrap_or(0);
                let (of, bytes) = self.kind(subtype, nesting.saturating_add(1));
                let of = Box::new(of);
                (Kind::Array { of, count }, bytes.saturating_mul(count))
            }
            _ => (Kind::Unknown, 0),
        }
    }

    fn base_kind(&self, name: &str) -> (Kind, u64) {
        let Some(base) = self.base.get(name) else {
            return (Kind::Unknown, 0);
        };
        let signed = base.get("signed") == Some(&Value::Bool(true));
        let kind = match text(base, "kind") {
            "int" | "char" | "bool" => Kind::Int { signed },
            _ => Kind::Unknown,
        };
        (kind, number(base, "size").unwrap_or(0))
    }
}

/// Writes a profile as ISF of schema 6.2.0, which Volatility 3 loads. Enumerators go into one
/// enumeration, as a profile does not keep theirs apart.
pub fn export_isf(profile: &Profile) -> String {
    let identity = profile.identity();
    let mut user_types = Map::new();
    for ty in profile.types() {
        let mut fields = Map::new();
        for member in ty.members() {
            let held = write_kind(profile, &member.kind, member.bytes);
            let held = match member.bits {
                Some((first, width)) => json!({
                    "kind": "bitfield", "bit_position": first, "bit_length": width, "type": held,
                }),
                None => held,
            };
            let field = json!({ "offset": member.offset, "type": held });
            fields.insert(member.name.clone(), field);
        }
        let kind = kind_name(ty);
        let value = json!({ "kind": kind, "size": ty.bytes, "fields": fields });
        user_types.insert(ty.name.clone(), value);
    }
    let mut symbols = Map::new();
    for (name, address) in profile.symbols() {
        let held = VARIABLES.iter().find(|variable| variable.0 == name);
        let value = match held.and_then(|(_, ty)| profile.find_type(ty)) {
            Some(ty) => json!({
                "address": address, "type": { "kind": kind_name(ty), "name": ty.name },
            }),
            None => json!({ "address": address }),
        };
        symbols.insert(name.clone(), value);
    }
    if !identity.banner.is_empty()
        && let Some(Value::Object(banner)) = symbols.get_mut("linux_banner")
    {
        let mut bytes = identity.banner.clone();
        bytes.extend_from_slice(b"\n\0");
        let of = json!({ "kind": "base", "name": "char" });
        let held = json!({ "kind": "array", "count": bytes.len(), "subtype": of });
        banner.insert("type".to_owned(), held);
        banner.insert("constant_data".to_owned(), BASE64.encode(&bytes).into());
    }
    let constants: Map<String, Value> = profile
        .constants()
        .iter()
        .map(|(name, value)| (name.clone(), (*value).into()))
        .collect();
    let mut enums = Map::new();
    if !constants.is_empty() {
        let value = json!({ "base": "long long", "size": 8, "constants": constants });
        enums.insert("enumerators".to_owned(), value);
    }
    let mut metadata = json!({
        "format": "6.2.0",
        "producer": { "name": "osier", "version": env!("CARGO_PKG_VERSION") },
    });
    if let Some(metadata) = metadata.as_object_mut() {
        let (key, value) = match (identity.os, &identity.build_id) {
            (OsKind::Linux, _) => ("linux", json!({ "symbols": [], "types": [] })),
            (OsKind::Windows, id) => ("windows", windows_metadata(id.as_ref())),
            (OsKind::Other, _) => ("other", json!({})),
        };
        metadata.insert(key.to_owned(), value);
    }
    let root = json!({
        "metadata": metadata,
        "base_types": base_types(identity.pointer_bytes),
        "user_types": user_types,
        "enums": enums,
        "symbols": symbols,
    });
    root.to_string()
}

fn windows_metadata(id: Option<&BuildId>) -> Value {
    let Some((guid, age)) = id.and_then(|id| id.0.split_at_checked(16)) else {
        return json!({});
    };
    let age = age
        .iter()
        .fold(0_u64, |age, byte| age << 8 | u64::from(*byte));
    let guid = BuildId(guid.to_vec()).to_string().to_uppercase();
    json!({ "pdb": { "GUID": guid, "age": age, "database": "ntkrnlmp.pdb", "machine_type": 0 } })
}

/// Base types as (name, bytes, signed); of two of a shape the first is used for members.
const BASES: [(&str, u64, bool); 12] = [
    ("char", 1, true),
    ("unsigned char", 1, false),
    ("short", 2, true),
    ("unsigned short", 2, false),
    ("int", 4, true),
    ("unsigned int", 4, false),
    ("long long", 8, true),
    ("unsigned long long", 8, false),
    ("__int128", 16, true),
    ("unsigned __int128", 16, false),
    ("long int", 0, true),
    ("long unsigned int", 0, false),
];

fn base_types(pointer_bytes: u8) -> Value {
    let mut types = Map::new();
    let pointer = json!({
        "size": pointer_bytes, "signed": false, "kind": "int", "endian": "little",
    });
    types.insert("pointer".to_owned(), pointer);
    let void = json!({ "size": 0, "signed": false, "kind": "void", "endian": "little" });
    types.insert("void".to_owned(), void);
    for (name, bytes, signed) in BASES {
        let bytes = if bytes == 0 {
            pointer_bytes.into()
        } else {
            bytes
        };
        let kind = if bytes == 1 { "char" } else { "int" };
        let ty = json!({ "size": bytes, "signed": signed, "kind": kind, "endian": "little" });
        types.insert(name.to_owned(), ty);
    }
    Value::Object(types)
}

fn kind_name(ty: &Type) -> &'static str {
    match ty.kind {
        TypeKind::Struct => "struct",
        TypeKind::Union => "union",
    }
}

/// Bytes without a type of their own.
fn opaque(bytes: u64) -> Value {
    let of = json!({ "kind": "base", "name": "unsigned char" });
    json!({ "kind": "array", "count": bytes, "subtype": of })
}

fn write_kind(profile: &Profile, kind: &Kind, bytes: u64) -> Value {
    match kind {
        Kind::Int { signed } => {
            let base = BASES
                .iter()
                .find(|base| (base.1, base.2) == (bytes, *signed));
            base.map_or_else(
                || opaque(bytes),
                |base| json!({ "kind": "base", "name": base.0 }),
            )
        }
        // Only types that the file has may be named.
        Kind::Pointer { to } => {
            let subtype = profile.find_type(to).map_or_else(
                || json!({ "kind": "base", "name": "void" }),
                |ty| json!({ "kind": kind_name(ty), "name": to }),
            );
            json!({ "kind": "pointer", "subtype": subtype })
        }
        Kind::Embedded { name } => profile.find_type(name).map_or_else(
            || opaque(bytes),
            |ty| json!({ "kind": kind_name(ty), "name": name }),
        ),
        Kind::Array { of, count } => {
            let each = bytes.checked_div(*count).unwrap_or(0);
            let each = match &**of {
                // A flexible array does not tell its element's size; a pointer needs none.
                Kind::Int { .. } if *count == 0 => 1,
                _ => each,
            };
            json!({ "kind": "array", "count": count, "subtype": write_kind(profile, of, each) })
        }
        Kind::Unknown => opaque(bytes),
    }
}
