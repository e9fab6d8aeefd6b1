//! BTF and symbols as Volatility 3's ISF, schema 6.2.0: every type of a kernel, and not only those that
//! Osier reads.
//!
//! Types without a name are called as the typedef of them is, or else `unnamed_N` by their number in the BTF. BTF has no types of variables
//! but the per-CPU ones; those of the variables that Volatility's plugins ask for stand in `variables.rs`.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use osier_profile::Identity;

use crate::btf::{Btf, BtfError, Record, kind};
use crate::budget::Exhausted;
use crate::variables::VARIABLES;

/// Types within one another that are written.
const MAX_NESTING: usize = 24;

/// Shows every symbol: its name, and its address at link time.
type Symbols<'a> = dyn FnMut(&mut dyn FnMut(&str, u64)) + 'a;

/// The first part of an ISF: all types of a BTF.
pub(crate) struct Typed {
    out: String,
    /// The types of variables, as JSON: the per-CPU ones of the BTF, and those of [`VARIABLES`].
    variables: HashMap<String, String>,
}

impl Typed {
    /// All types of the BTF in `blob`.
    ///
    /// # Errors
    ///
    /// The BTF cannot be read, or its types hold themselves.
    pub(crate) fn of(blob: &[u8]) -> Result<Self, BtfError> {
        let btf = Btf::of(blob)?;
        let mut isf = Isf {
            typedefs: typedefs(&btf),
            btf,
            out: String::with_capacity(blob.len().saturating_mul(3)),
        };
        isf.out.push_str(
            "{\"metadata\":{\"format\":\"6.2.0\",\"producer\":{\"name\":\"osier\",\"version\":",
        );
        isf.string(env!("CARGO_PKG_VERSION"));
        isf.out
            .push_str("},\"linux\":{\"symbols\":[],\"types\":[]}},\"base_types\":{");
        isf.base_types();
        isf.out.push_str("},\"user_types\":{");
        let named = isf.user_types()?;
        isf.out.push_str("},\"enums\":{");
        isf.enums()?;
        isf.out.push_str("},\"symbols\":{");
        let out = std::mem::take(&mut isf.out);
        let mut variables = isf.per_cpu();
        variables.extend(isf.variables(&named));
        isf.btf.budget.check()?;
        Ok(Self { out, variables })
    }

    /// The whole: these types and all that `symbols` shows.
    pub(crate) fn with(self, identity: &Identity, symbols: &mut Symbols<'_>) -> String {
        let Self { mut out, variables } = self;
        let mut known = HashSet::new();
        symbols(&mut |name, address| {
            if !known.insert(name.to_owned()) {
                return; // static names repeat: the first counts, as in kallsyms
            }
            if known.len() > 1 {
                out.push(',');
            }
            push_string(&mut out, name);
            let _ = write!(out, ":{{\"address\":{address}");
            if name == "linux_banner" && !identity.banner.is_empty() {
                push_banner(&mut out, &identity.banner);
            } else if let Some(of) = variables.get(name) {
                let _ = write!(out, ",\"type\":{of}");
            }
            out.push('}');
        });
        out.push_str("}}");
        out
    }
}

/// Adds a JSON string.
fn push_string(out: &mut String, text: &str) {
    let plain = |byte: &u8| (b' '..=b'~').contains(byte) && !matches!(byte, b'"' | b'\\');
    if text.as_bytes().iter().all(plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// Adds the banner's type and bytes, by which Volatility knows the kernel.
fn push_banner(out: &mut String, banner: &[u8]) {
    let mut bytes = banner.to_vec();
    bytes.extend_from_slice(b"\n\0");
    let _ = write!(
        out,
        ",\"type\":{{\"kind\":\"array\",\"count\":{},\"subtype\":{{\"kind\":\"base\",\"name\":\"char\"}}}},\
         \"constant_data\":\"{}\"",
        bytes.len(),
        BASE64.encode(&bytes)
    );
}

/// The typedefs of structures and unions that have no name of their own; the first of each counts.
fn typedefs(btf: &Btf<'_>) -> HashMap<u32, String> {
    let mut found = HashMap::new();
    for record in (1..=btf.len()).filter_map(|id| btf.record(id)) {
        let of = record.size_or_type;
        let bare = btf
            .record(of)
            .is_some_and(|of| of.is_compound() && of.name == 0);
        if record.kind() == kind::TYPEDEF && bare {
            found.entry(of).or_insert_with(|| btf.text(record.name));
        }
    }
    found
}

struct Isf<'a> {
    btf: Btf<'a>,
    /// What structures and unions without a name of their own are called, by their numbers.
    typedefs: HashMap<u32, String>,
    out: String,
}

impl Isf<'_> {
    fn comma(&mut self, first: bool) {
        if !first {
            self.out.push(',');
        }
    }

    /// A JSON string.
    fn string(&mut self, text: &str) {
        push_string(&mut self.out, text);
    }

    /// Every type, by its number.
    fn records(&self) -> impl Iterator<Item = (u32, Record)> + use<'_> {
        let all = 1..=self.btf.len();
        all.filter_map(|id| Some((id, self.btf.record(id)?)))
    }

    fn base_types(&mut self) {
        let _ = write!(
            self.out,
            "\"pointer\":{{\"size\":{},\"signed\":false,\"kind\":\"int\",\"endian\":\"little\"}},\
             \"void\":{{\"size\":0,\"signed\":false,\"kind\":\"void\",\"endian\":\"little\"}}",
            self.btf.pointer_bytes
        );
        let mut known = HashSet::from(["pointer".to_owned(), "void".to_owned()]);
        let bases: Vec<Record> = self
            .records()
            .map(|(_, record)| record)
            .filter(|record| matches!(record.kind(), kind::INT | kind::FLOAT))
            .collect();
        for base in bases {
            let name = self.btf.text(base.name);
            if !known.insert(name.clone()) {
                continue;
            }
            let encoding = self.btf.word(base, 0).unwrap_or(0) >> 24;
            let (signed, of) = match base.kind() {
                kind::FLOAT => (true, "float"),
                _ if encoding & 4 != 0 => (false, "bool"),
                _ if base.size_or_type == 1 => (encoding & 1 != 0, "char"),
                _ => (encoding & 1 != 0, "int"),
            };
            self.comma(false);
            self.string(&name);
            let _ = write!(
                self.out,
                ":{{\"size\":{},\"signed\":{signed},\"kind\":\"{of}\",\"endian\":\"little\"}}",
                base.size_or_type
            );
        }
    }

    /// Writes structures and unions; gives the names of those that have one.
    fn user_types(&mut self) -> Result<HashSet<String>, Exhausted> {
        let compounds: Vec<(u32, Record)> = self
            .records()
            .filter(|(_, record)| record.is_compound())
            .collect();
        let mut named = HashSet::new();
        let mut first = true;
        for (id, record) in compounds {
            let name = self.name(id, record);
            if !named.insert(name.clone()) {
                continue;
            }
            self.comma(first);
            first = false;
            self.string(&name);
            let _ = write!(
                self.out,
                ":{{\"kind\":\"{}\",\"size\":{},\"fields\":{{",
                word(record),
                record.size_or_type
            );
            self.members(record)?;
            self.out.push_str("}}");
        }
        // What is only pointed to is known by name, and empty.
        let opaque: Vec<(u32, Record)> = self
            .records()
            .filter(|(_, record)| record.kind() == kind::FWD)
            .collect();
        for (id, record) in opaque {
            let name = self.name(id, record);
            if named.insert(name.clone()) {
                self.comma(first);
                first = false;
                self.string(&name);
                let of = word(record);
                let _ = write!(
                    self.out,
                    ":{{\"kind\":\"{of}\",\"size\":0,\"fields\":{{}}}}"
                );
            }
        }
        Ok(named)
    }

    /// The name of a structure, union or enumeration.
    fn name(&self, id: u32, record: Record) -> String {
        match record.name {
            0 => match self.typedefs.get(&id) {
                Some(name) => {
                    self.btf.budget.text(name.len());
                    name.clone()
                }
                None => format!("unnamed_{id}"),
            },
            name => self.btf.text(name),
        }
    }

    fn members(&mut self, record: Record) -> Result<(), Exhausted> {
        let mut known = HashSet::new();
        for number in 0..record.vlen() {
            self.btf.budget.member()?;
            let at = number.saturating_mul(3);
            let word = |more: usize| self.btf.word(record, at.saturating_add(more));
            let (Some(name), Some(id), Some(place)) = (word(0), word(1), word(2)) else {
                return Ok(());
            };
            let (bit, width) = if record.kflag() {
                (place & 0x00ff_ffff, place >> 24)
            } else {
                (place, self.btf.own_bits(id).unwrap_or(0))
            };
            let called = match name {
                0 => format!("unnamed_field_{number}"),
                name => self.btf.text(name),
            };
            if !known.insert(called.clone()) {
                continue;
            }
            self.comma(known.len() == 1);
            self.string(&called);
            self.out.push_str(":{\"type\":");
            let mut byte = bit / 8;
            if width == 0 {
                self.descriptor(id, 0);
            } else {
                let unit = self.unit(id);
                let in_unit = bit.checked_rem(unit).unwrap_or(0);
                let fits = in_unit.saturating_add(width) <= unit;
                let first = if fits { in_unit } else { bit % 8 };
                byte = bit.saturating_sub(first) / 8;
                let _ = write!(
                    self.out,
                    "{{\"kind\":\"bitfield\",\"bit_position\":{first},\"bit_length\":{width},\"type\":"
                );
                self.descriptor(id, 0);
                self.out.push('}');
            }
            let _ = write!(self.out, ",\"offset\":{byte}");
            self.out.push_str(if name == 0 {
                ",\"anonymous\":true}"
            } else {
                "}"
            });
        }
        Ok(())
    }

    /// The bits that a bit field of this type is stored in.
    fn unit(&self, id: u32) -> u32 {
        let bytes = self.btf.bare(id).map_or(4, |record| record.size_or_type);
        bytes.clamp(1, 8).saturating_mul(8)
    }

    /// Writes what the type `id` is.
    fn descriptor(&mut self, id: u32, nesting: usize) {
        self.btf.budget.step();
        let void = "{\"kind\":\"base\",\"name\":\"void\"}";
        let Some((id, record)) = self.btf.bare_numbered(id).filter(|_| nesting < MAX_NESTING)
        else {
            self.out.push_str(void);
            return;
        };
        let deeper = nesting.saturating_add(1);
        match record.kind() {
            kind::INT | kind::FLOAT => {
                let name = self.btf.text(record.name);
                self.of_name("base", &name);
            }
            kind::PTR => {
                self.out.push_str("{\"kind\":\"pointer\",\"subtype\":");
                self.descriptor(record.size_or_type, deeper);
                self.out.push('}');
            }
            kind::ARRAY => {
                let count = self.btf.word(record, 2).unwrap_or(0);
                let _ = write!(
                    self.out,
                    "{{\"kind\":\"array\",\"count\":{count},\"subtype\":"
                );
                self.descriptor(self.btf.word(record, 0).unwrap_or(0), deeper);
                self.out.push('}');
            }
            kind::STRUCT | kind::UNION | kind::FWD => {
                let name = self.name(id, record);
                self.of_name(word(record), &name);
            }
            kind::ENUM | kind::ENUM64 => {
                let name = self.name(id, record);
                self.of_name("enum", &name);
            }
            kind::FUNC | kind::FUNC_PROTO => self.out.push_str("{\"kind\":\"function\"}"),
            _ => self.out.push_str(void),
        }
    }

    fn of_name(&mut self, kind: &str, name: &str) {
        let _ = write!(self.out, "{{\"kind\":\"{kind}\",\"name\":");
        self.string(name);
        self.out.push('}');
    }

    fn enums(&mut self) -> Result<(), Exhausted> {
        let all: Vec<(u32, Record)> = self
            .records()
            .filter(|(_, record)| matches!(record.kind(), kind::ENUM | kind::ENUM64))
            .collect();
        let mut known = HashSet::new();
        for (id, record) in all {
            let name = self.name(id, record);
            if !known.insert(name.clone()) {
                continue;
            }
            self.comma(known.len() == 1);
            self.string(&name);
            let bytes = record.size_or_type;
            let base = match (bytes, record.kflag()) {
                (8, true) => "long int",
                (8, false) => "long unsigned int",
                (1, _) => "unsigned char",
                (2, _) => "short unsigned int",
                (_, true) => "int",
                (_, false) => "unsigned int",
            };
            let _ = write!(
                self.out,
                ":{{\"size\":{bytes},\"base\":\"{base}\",\"constants\":{{"
            );
            let mut names = HashSet::new();
            for (name, value) in self.btf.enumerators_of(record)? {
                if names.insert(name.clone()) {
                    self.comma(names.len() == 1);
                    self.string(&name);
                    let _ = write!(self.out, ":{value}");
                }
            }
            self.out.push_str("}}");
        }
        Ok(())
    }

    /// The per-CPU variables and their types, as JSON; of static ones of one name the first counts.
    fn per_cpu(&mut self) -> HashMap<String, String> {
        let mut found = HashMap::new();
        let of: Vec<Record> = self
            .records()
            .map(|(_, record)| record)
            .filter(|record| record.kind() == kind::VAR)
            .collect();
        for record in of {
            let name = self.btf.text(record.name);
            found.entry(name).or_insert_with(|| {
                self.descriptor(record.size_or_type, 0);
                std::mem::take(&mut self.out)
            });
        }
        found
    }

    /// The variables whose types this kernel has, and those as JSON.
    fn variables(&self, named: &HashSet<String>) -> HashMap<String, String> {
        let bases: HashSet<String> = self
            .records()
            .filter(|(_, record)| record.kind() == kind::INT)
            .map(|(_, record)| self.btf.text(record.name))
            .collect();
        let known = VARIABLES.iter().filter_map(|(name, of)| {
            let bare = of.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
            let kind = match (named.contains(bare), bases.contains(bare)) {
                (true, _) => "struct",
                (false, true) => "base",
                (false, false) => return None,
            };
            let inner = format!("{{\"kind\":\"{kind}\",\"name\":\"{bare}\"}}");
            let mut around = of.strip_suffix(bare)?;
            let (mut before, mut after) = (String::new(), String::new());
            while let Some(first) = around.chars().next() {
                if first == '*' {
                    before.push_str("{\"kind\":\"pointer\",\"subtype\":");
                    around = around.strip_prefix('*')?;
                } else {
                    let (count, rest) = around.strip_prefix('[')?.split_once(']')?;
                    let _ = write!(
                        before,
                        "{{\"kind\":\"array\",\"count\":{count},\"subtype\":"
                    );
                    around = rest;
                }
                after.push('}');
            }
            Some(((*name).to_owned(), before + &inner + &after))
        });
        known.collect()
    }
}

/// The word for a structure, or for a union.
fn word(record: Record) -> &'static str {
    // A forward declaration of a union has the flag.
    match record.kind() {
        kind::UNION => "union",
        kind::FWD if record.kflag() => "union",
        _ => "struct",
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test fails by panicking"
    )]

    use osier_profile::OsKind;
    use serde_json::{Value, json};

    use super::*;
    use crate::btf::tests::blob;

    #[test]
    fn types_and_symbols_are_written_as_volatility_reads_them() {
        let identity = Identity {
            os: OsKind::Linux,
            pointer_bytes: 8,
            build_id: None,
            banner: b"Linux version 6.1 \"odd\"".to_vec(),
            release: String::new(),
        };
        let text = Typed::of(&blob()).unwrap().with(&identity, &mut |symbol| {
            symbol("init_task", 0x1000);
            symbol("linux_banner", 0x2000);
            symbol("odd \"name\"", 1);
            symbol("init_task", 0x3000);
        });
        let isf: Value = serde_json::from_str(&text).unwrap();
        let fields = &isf["user_types"]["task_struct"]["fields"];
        assert_eq!(
            fields["pid"],
            json!({ "offset": 0, "type": { "kind": "base", "name": "int" } })
        );
        let unnamed = &fields["unnamed_field_1"];
        assert_eq!(
            (&unnamed["offset"], &unnamed["anonymous"]),
            (&json!(8), &json!(true))
        );
        assert_eq!(
            unnamed["type"],
            json!({ "kind": "union", "name": "unnamed_3" })
        );
        let bits = &fields["f"]["type"];
        assert_eq!(
            (&bits["bit_position"], &bits["bit_length"]),
            (&json!(5), &json!(3))
        );
        assert_eq!(fields["f"]["offset"], 16);
        assert_eq!(
            fields["p"]["type"]["subtype"],
            json!({ "kind": "struct", "name": "kuid_t" })
        );
        assert_eq!(isf["enums"]["unnamed_8"]["constants"]["ZERO"], -1);
        let task = &isf["symbols"]["init_task"];
        assert_eq!(
            (&task["address"], &task["type"]["name"]),
            (&json!(0x1000), &json!("task_struct"))
        );
        let banner = isf["symbols"]["linux_banner"]["constant_data"]
            .as_str()
            .unwrap();
        assert_eq!(
            BASE64.decode(banner).unwrap(),
            b"Linux version 6.1 \"odd\"\n\0"
        );
        assert_eq!(isf["symbols"]["odd \"name\""]["address"], 1);

        // Cut anywhere, it is refused or written, and never panics.
        for len in 0..blob().len() {
            let _ = Typed::of(&blob()[..len]).map(|types| types.with(&identity, &mut |_| {}));
        }
    }
}
