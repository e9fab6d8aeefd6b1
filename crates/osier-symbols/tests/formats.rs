//! The formats of other tools: kernelinfo.conf and ISF, in and out.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use osier_profile::{Kind, Profile};
use osier_symbols::{
    SymbolFile, everything, export_isf, export_kernelinfo, import_elf, import_isf,
    import_kernelinfo, import_symbols, merge, parse_kernelinfo,
};

fn read(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    std::fs::read(format!("{folder}/{name}")).unwrap()
}

fn kernelinfo(group: &str) -> Profile {
    let groups = parse_kernelinfo(&read("kernelinfo.conf")).unwrap();
    let group = groups.iter().find(|found| found.name == group).unwrap();
    import_kernelinfo(group).unwrap().build()
}

fn offset(profile: &Profile, structure: &str, member: &str) -> i64 {
    let ty = profile.find_type(structure).unwrap();
    ty.member(member).unwrap().offset
}

#[test]
fn a_kernelinfo_group_comes_under_the_kernels_names() {
    let profile = kernelinfo("ubuntu:5.4.0-42-generic:64");
    assert_eq!(profile.identity().release, "5.4.0-42-generic");
    assert_eq!(profile.identity().pointer_bytes, 8);
    assert_eq!(profile.symbol("init_task"), Some(0xffff_ffff_8261_3780));
    assert_eq!(profile.symbol("current_task"), Some(0x16bc0));
    assert_eq!(profile.find_type("task_struct").unwrap().bytes, 9216);
    assert_eq!(offset(&profile, "task_struct", "comm"), 2680);
    assert_eq!(offset(&profile, "file", "f_path"), 16);
    assert_eq!(offset(&profile, "path", "dentry"), 8);
    assert_eq!(offset(&profile, "vm_area_struct", "vm_pgoff"), 152);
    assert_eq!(offset(&profile, "mount", "mnt_parent"), -16);
    assert_eq!(offset(&profile, "mount", "mnt"), 0);
    let old = kernelinfo("debian:3.2.0-4-amd64:64");
    let start = old.find_type("task_struct").unwrap().member("start_time");
    let timespec = |kind: &Kind| matches!(kind, Kind::Embedded { name } if name == "timespec");
    assert!(start.is_none_or(|member| timespec(&member.kind)));
    assert_eq!(kernelinfo("debian-3.2.65:32").identity().release, "3.2.65");
}

/// Every key of every group, apart from the free text and the two that only a reader needs.
#[test]
fn all_groups_survive_import_and_export() {
    let groups = parse_kernelinfo(&read("kernelinfo.conf")).unwrap();
    assert_eq!(groups.len(), 22);
    for group in groups {
        let profile = import_kernelinfo(&group).unwrap().build();
        let text = export_kernelinfo(&profile, Some(&group.name)).unwrap();
        let again = parse_kernelinfo(text.as_bytes()).unwrap();
        assert_eq!(again[0].name, group.name);
        for (key, value) in &group.entries {
            if matches!(key.as_str(), "name" | "arch") {
                continue;
            }
            // An address of 0 says that there is none.
            let expected = (!(key.ends_with("_addr") && value == "0")).then_some(value.as_str());
            let found = again[0]
                .value(key)
                .filter(|value| *value != "0" || expected == Some("0"));
            assert_eq!(found, expected, "{}: {key}", group.name);
        }
        let second = import_kernelinfo(&again[0]).unwrap().build();
        assert_eq!(second.types(), profile.types(), "{}", group.name);
        assert_eq!(second.symbols(), profile.symbols(), "{}", group.name);
    }
}

#[test]
fn broken_kernelinfo_is_refused() {
    for text in ["key = 1\n", "[a:64]\nnonsense\n", "[a:64]\n\u{fffd}"] {
        assert!(parse_kernelinfo(text.as_bytes()).is_err(), "{text}");
    }
    for text in ["[a]\nversion.a = 1\n", "[a:64]\ntask.size = many\n"] {
        let groups = parse_kernelinfo(text.as_bytes()).unwrap();
        assert!(import_kernelinfo(&groups[0]).is_err(), "{text}");
    }
}

#[test]
fn a_profile_survives_isf() {
    let profile = import_elf(&read("linked.elf"), None).unwrap().build();
    let json = export_isf(&profile);
    let again = import_isf(json.as_bytes(), None).unwrap().build();
    assert_eq!(again.symbols(), profile.symbols());
    assert_eq!(again.constants(), profile.constants());
    assert_eq!(again.identity().banner, profile.identity().banner);
    assert_eq!(again.identity().release, "9.9.9-test");
    assert_eq!(again.types().len(), profile.types().len());
    for (found, expected) in again.types().iter().zip(profile.types()) {
        assert_eq!((&found.name, found.bytes), (&expected.name, expected.bytes));
        for (found, expected) in found.members().iter().zip(expected.members()) {
            assert_eq!(found.name, expected.name);
            assert_eq!(found.offset, expected.offset, "{}", found.name);
            assert_eq!(found.bits, expected.bits, "{}", found.name);
            // Bytes of unknown nature and unnamed structures become arrays of bytes.
            assert_eq!(found.bytes, expected.bytes, "{}", found.name);
            let named = |kind: &Kind| matches!(kind, Kind::Embedded { name } if !name.is_empty());
            if named(&expected.kind) || matches!(expected.kind, Kind::Int { .. }) {
                assert_eq!(found.kind, expected.kind, "{}", found.name);
            }
        }
    }
}

#[test]
fn broken_isf_is_refused() {
    let looping = r#"{"metadata":{},"base_types":{},"enums":{},"symbols":{},"user_types":
        {"a":{"kind":"struct","size":8,"fields":
        {"u":{"offset":0,"anonymous":true,"type":{"kind":"struct","name":"a"}}}}}}"#;
    // No circle, but ten times as many members on every level.
    let level = |level: usize| {
        let field = |field: usize| {
            let next = level + 1;
            let held = format!(r#"{{"kind":"struct","name":"s{next}"}}"#);
            format!(r#""f{field}":{{"offset":0,"anonymous":true,"type":{held}}}"#)
        };
        let fields: Vec<String> = (0..10).map(field).collect();
        let fields = fields.join(",");
        format!(r#""s{level}":{{"kind":"struct","size":8,"fields":{{{fields}}}}}"#)
    };
    let levels: Vec<String> = (0..14).map(level).collect();
    let many = format!(
        r#"{{"metadata":{{}},"base_types":{{}},"enums":{{}},"symbols":{{}},"user_types":{{{}}}}}"#,
        levels.join(",")
    );
    let no_base = r#"{"metadata":{},"base_types":[]}"#;
    for text in ["", "{", "{}", no_base, looping, &many] {
        assert!(import_isf(text.as_bytes(), None).is_err(), "{text}");
    }
    // Damaged where it reads well: a member that ends behind its structure.
    let long = |size: u64| {
        format!(
            r#"{{"metadata":{{"format":"6.2.0","linux":{{}}}},"base_types":{{"int":
            {{"kind":"int","size":4,"signed":true,"endian":"little"}}}},"enums":{{}},"symbols":{{}},"user_types":
            {{"a":{{"kind":"struct","size":{size},"fields":
            {{"m":{{"offset":4,"type":{{"kind":"base","name":"int"}}}}}}}}}}}}"#
        )
    };
    let read_file = |json: &str| import_symbols(json.as_bytes(), everything);
    assert!(read_file(&long(8)).is_ok(), "{:?}", read_file(&long(8)));
    assert!(
        read_file(&long(6))
            .unwrap_err()
            .to_string()
            .contains("a has 6 bytes")
    );
    let json = export_isf(&import_elf(&read("dwarf5.o"), None).unwrap().build());
    for end in (0..json.len()).step_by(101) {
        assert!(import_isf(&json.as_bytes()[..end], None).is_err());
    }
}

#[test]
fn files_are_told_by_their_content() {
    let elf = import_elf(&read("linked.elf"), None).unwrap().build();
    let isf = export_isf(&elf).into_bytes();
    let map = b"ffffffff81000000 T _text\n".to_vec();
    let cases = [
        (read("dwarf5.o"), Some(SymbolFile::Elf)),
        (elf.to_bytes(0), Some(SymbolFile::Profile)),
        (isf, Some(SymbolFile::Isf)),
        (map, Some(SymbolFile::SystemMap)),
        (read("kernelinfo.conf"), Some(SymbolFile::Kernelinfo)),
        (read("shapes.c"), None),
        (Vec::new(), None),
    ];
    for (data, kind) in cases {
        assert_eq!(SymbolFile::detect(&data), kind);
        assert_eq!(import_symbols(&data, everything).is_ok(), kind.is_some());
    }
    let groups = import_symbols(&read("kernelinfo.conf"), everything).unwrap();
    assert_eq!(groups.len(), 22);
}

#[test]
fn sources_are_merged() {
    let mut builder = import_elf(&read("dwarf5.o"), None).unwrap();
    let symbols = import_symbols(b"ffffffff81000000 T _text\n", everything).unwrap();
    merge(&mut builder, &symbols[0].clone().build());
    let profile = builder.build();
    assert_eq!(profile.symbol("_text"), Some(0xffff_ffff_8100_0000));
    assert!(profile.find_type("task_struct").is_some());
    assert_eq!(profile.provenance().len(), 2);
}
