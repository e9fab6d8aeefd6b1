//! Rekall's profiles of two XP kernels: each member of each type, against the JSON itself.

use std::collections::BTreeMap;

use osier_profile::{BuildId, Kind, Profile};
use osier_symbols::{SymbolFile, everything, import_symbols, set_age_by_name};
use serde_json::Value;

use osier_testkit::need::Real;

use crate::files;

pub(crate) fn every_rekall_profile_is_read(real: &Real) {
    let mut seen = 0;
    for path in files(real) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some((_, key)) = name
            .strip_suffix(".rekall.json")
            .and_then(|name| name.rsplit_once('.'))
        else {
            continue;
        };
        let data = std::fs::read(&path).unwrap();
        assert_eq!(SymbolFile::detect(&data), Some(SymbolFile::Rekall));
        let mut builder = import_symbols(&data, everything).unwrap().remove(0);
        // The file itself holds the age that the PDB counts; its name, the one that images have.
        let id = BuildId::from_symbol_server_key(key);
        assert_ne!(builder.identity().build_id, id, "{name}");
        set_age_by_name(&mut builder, name);
        assert_eq!(builder.identity().build_id, id, "{name}");
        let profile = builder.build();
        assert_eq!(profile.identity().pointer_bytes, 4);
        compare(name, &profile, &serde_json::from_slice(&data).unwrap());
        seen += 1;
    }
    assert!(seen >= 2, "only {seen} files");
}

fn compare(file: &str, profile: &Profile, json: &Value) {
    let types = json["$STRUCTS"].as_object().unwrap();
    let named = types
        .keys()
        .filter(|name| !name.starts_with("__unnamed"))
        .count();
    let ours = profile
        .types()
        .iter()
        .filter(|ty| !ty.name.contains('.'))
        .count();
    assert_eq!(ours, named, "{file}");
    for ty in profile.types() {
        let theirs = original(types, &ty.name);
        assert_eq!(theirs[0].as_u64(), Some(ty.bytes), "{file}: {}", ty.name);
        let found: BTreeMap<_, _> = ty.members().iter().map(|m| (&m.name, m)).collect();
        let wanted = theirs[1].as_object().unwrap();
        assert!(
            found.keys().copied().eq(wanted.keys()),
            "{file}: {}",
            ty.name
        );
        for (name, member) in found {
            let what = format!("{file}: {}.{name}", ty.name);
            let value = &wanted[name];
            assert_eq!(value[0].as_i64(), Some(member.offset), "{what}");
            let of = &value[1][1];
            let bits = (value[1][0] == "BitField").then(|| {
                let first = of["start_bit"].as_u64().unwrap_or(0);
                (first, of["end_bit"].as_u64().unwrap() - first)
            });
            let ours = member
                .bits
                .map(|(first, width)| (first.into(), width.into()));
            assert_eq!(ours, bits, "{what}");
            // What a structure holds lies inside it.
            let end = member.offset.cast_unsigned() + member.bytes;
            assert!(end <= ty.bytes, "{what} ends at {end}");
            let opaque = member.bytes == 0 && member.kind == Kind::Unknown;
            assert!(!opaque, "{what}: {value}");
        }
    }
    for part in ["$CONSTANTS", "$FUNCTIONS"] {
        for (name, place) in json[part].as_object().unwrap() {
            assert!(profile.symbol(name).is_some(), "{file}: {name} {place}");
        }
    }
    assert_eq!(profile.constant("BusQueryDeviceSerialNumber"), Some(4));
}

/// The JSON of the type that we call `path`.
fn original<'v>(types: &'v serde_json::Map<String, Value>, path: &str) -> &'v Value {
    let mut parts = path.split('.');
    let mut ty = &types[parts.next().unwrap()];
    for part in parts {
        let held = &ty[1][part][1];
        let name = match held[0].as_str().unwrap() {
            "Array" => held[1]["target"].as_str().unwrap(),
            name => name,
        };
        ty = &types[name];
    }
    ty
}
