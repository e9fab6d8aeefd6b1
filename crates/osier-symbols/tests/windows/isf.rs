//! Volatility's files of Windows kernels: each member of each type, against the JSON itself.

use std::collections::BTreeMap;
use std::io::Read;

use osier_profile::{BuildId, Kind, Profile};
use osier_symbols::{SymbolFile, everything, import_symbols};
use serde_json::Value;

use osier_testkit::need::Real;

use crate::files;

pub(crate) fn every_windows_isf_is_read(real: &Real) {
    let mut seen = 0;
    for path in files(real) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(key) = name.strip_suffix(".json.xz") else {
            continue;
        };
        let data = std::fs::read(&path).unwrap();
        assert_eq!(SymbolFile::detect(&data), Some(SymbolFile::IsfXz));
        let profile = import_symbols(&data, everything).unwrap()[0]
            .clone()
            .build();

        let key = key.strip_prefix("ntkrnlmp.pdb_").unwrap().replace('-', "");
        let id = BuildId::from_symbol_server_key(&key);
        assert_eq!(profile.identity().build_id, id, "{name}");
        let mut json = Vec::new();
        liblzma::read::XzDecoder::new(&data[..])
            .read_to_end(&mut json)
            .unwrap();
        compare(name, &profile, &serde_json::from_slice(&json).unwrap());
        seen += 1;
    }
    assert!(seen >= 14, "only {seen} files");
}

/// The type at `name` of the JSON, its members by name: offset, and bits of a bit field.
type Members = BTreeMap<String, (i64, Option<(u64, u64)>)>;

fn members(ty: &Value) -> Members {
    let fields = ty["fields"].as_object().unwrap();
    fields
        .iter()
        .map(|(name, field)| {
            let held = &field["type"];
            let bits = held["bit_position"]
                .as_u64()
                .zip(held["bit_length"].as_u64());
            (name.clone(), (field["offset"].as_i64().unwrap(), bits))
        })
        .collect()
}

fn compare(file: &str, profile: &Profile, json: &Value) {
    let types = json["user_types"].as_object().unwrap();
    let unnamed = |name: &str| name.starts_with("__unnamed") || name.starts_with("__anonymous");
    let named = types.keys().filter(|name| !unnamed(name)).count();
    let ours = profile
        .types()
        .iter()
        .filter(|ty| !ty.name.contains('.'))
        .count();
    assert_eq!(ours, named, "{file}");
    let mut inside = 0;
    for ty in profile.types() {
        // An unnamed type is called after its owner; its name in the JSON is the owner's member's.
        let theirs = &types[&original(types, &ty.name)];
        inside += usize::from(ty.name.contains('.'));
        assert_eq!(
            theirs["size"].as_u64(),
            Some(ty.bytes),
            "{file}: {}",
            ty.name
        );
        let found: Members = ty
            .members()
            .iter()
            .map(|member| {
                let bits = member
                    .bits
                    .map(|(first, width)| (first.into(), width.into()));
                (member.name.clone(), (member.offset, bits))
            })
            .collect();
        assert_eq!(found, members(theirs), "{file}: {}", ty.name);
        for member in ty.members() {
            if let Kind::Embedded { name } = &member.kind {
                assert!(profile.find_type(name).is_some(), "{file}: {name}");
            }
        }
    }
    assert!(inside > 100, "{file}: only {inside} unnamed types");
    let symbols = json["symbols"].as_object().unwrap();
    assert_eq!(profile.symbols().len(), symbols.len(), "{file}");
    for (name, place) in profile.symbols() {
        assert_eq!(
            symbols[name]["address"].as_u64(),
            Some(*place),
            "{file}: {name}"
        );
    }
}

/// What the JSON calls the type that we call `path`.
fn original(types: &serde_json::Map<String, Value>, path: &str) -> String {
    let mut parts = path.split('.');
    let mut name = parts.next().unwrap().to_owned();
    for part in parts {
        let mut held = &types[&name]["fields"][part]["type"];
        while held["kind"] == "array" {
            held = &held["subtype"];
        }
        name = held["name"].as_str().unwrap().to_owned();
    }
    name
}
