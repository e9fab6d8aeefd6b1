//! DWARF of every vintage that compilers write, out of `data/shapes.c`.
//!
//! The object files were made by GCC 12: `gcc -c -O0 -g…` with `-gdwarf-5`, `-gdwarf-4
//! -gstrict-dwarf`, `-m32`, `-gz=zlib`, `-fdebug-types-section` and `-gsplit-dwarf`; `zstd.o` by
//! `objcopy --compress-debug-sections=zstd`; `linked.elf` with `-static -nostdlib
//! -Wl,--emit-relocs`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "tests"
)]

use osier_profile::{BuildId, Kind, Profile, TypeKind, Wanted};
use osier_symbols::{SymbolError, import_elf};

fn read(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    std::fs::read(format!("{folder}/{name}")).unwrap()
}

fn import(name: &str) -> Profile {
    import_elf(&read(name), None).unwrap().build()
}

/// Offset, bytes and bits of a member.
type Place = (i64, u64, Option<(u8, u8)>);

fn place(profile: &Profile, structure: &str, member: &str) -> Place {
    let ty = profile.find_type(structure).unwrap();
    let member = ty.member(member).unwrap_or_else(|| panic!("{member}"));
    (member.offset, member.bytes, member.bits)
}

const AMD64: [&str; 6] = [
    "dwarf4.o",
    "dwarf5.o",
    "zlib.o",
    "zstd.o",
    "type-units4.o",
    "type-units5.o",
];

#[test]
fn every_vintage_gives_the_same_places() {
    for name in AMD64.into_iter().chain(["linked.elf"]) {
        let profile = import(name);
        let expect = [
            ("tasks", (0, 16, None)),
            ("flags", (16, 4, None)),
            ("in_iowait", (20, 4, Some((0, 1)))),
            ("deep", (20, 4, Some((1, 5)))),
            ("late", (20, 4, Some((6, 3)))),
            ("state", (24, 8, None)),
            ("stack", (32, 8, None)),
            ("hidden", (32, 8, None)),
            ("x", (32, 2, None)),
            ("y", (34, 2, None)),
            ("parent", (40, 8, None)),
            ("list", (48, 8, None)),
            ("comm", (56, 16, None)),
            ("grid", (72, 24, None)),
            ("usage", (96, 4, None)),
            ("uid", (100, 4, None)),
            ("either", (104, 24, None)),
            ("type", (128, 4, None)),
            ("hook", (136, 8, None)),
            ("named", (144, 4, None)),
            ("ratio", (152, 8, None)),
            ("flag", (160, 1, None)),
            ("pad", (161, 300, None)),
            ("far_away", (464, 4, None)),
            ("tail", (468, 0, None)),
        ];
        let task = profile.find_type("task_struct").unwrap();
        assert_eq!((task.bytes, task.kind), (472, TypeKind::Struct), "{name}");
        assert_eq!(task.members().len(), expect.len(), "{name}");
        for (member, expected) in expect {
            let found = place(&profile, "task_struct", member);
            assert_eq!(found, expected, "{name}: {member}");
        }
        let bits = |member| place(&profile, "packed_bits", member);
        assert_eq!(bits("a"), (0, 4, Some((8, 7))), "{name}");
        assert_eq!(bits("b"), (0, 4, Some((15, 6))), "{name}");
        let either = profile.find_type("either").unwrap();
        assert_eq!((either.bytes, either.kind), (24, TypeKind::Union), "{name}");
        assert!(profile.find_type("opaque").is_none(), "{name}");
        assert_eq!(place(&profile, "kuid_t", "val"), (0, 4, None), "{name}");

        let constants = [
            ("PIDTYPE_TGID", 1),
            ("PIDTYPE_MAX", 4),
            ("PIDTYPE_NONE", -1),
            ("BIG_ONE", 200),
            ("HUGE_ONE", 0x8000_0000),
        ];
        for (constant, value) in constants {
            assert_eq!(
                profile.constant(constant),
                Some(value),
                "{name}: {constant}"
            );
        }
    }
}

#[test]
fn members_say_what_they_hold() {
    for name in AMD64 {
        let profile = import(name);
        let task = profile.find_type("task_struct").unwrap();
        let kind = |member: &str| task.member(member).unwrap().kind.clone();
        let pointer = |to: &str| Kind::Pointer { to: to.to_owned() };
        let embedded = |name: &str| Kind::Embedded {
            name: name.to_owned(),
        };
        let int = |signed| Kind::Int { signed };
        let array = |of, count| Kind::Array {
            of: Box::new(of),
            count,
        };
        assert_eq!(kind("tasks"), embedded("list_head"));
        assert_eq!(kind("flags"), int(false));
        assert_eq!(kind("state"), int(true));
        assert_eq!(kind("stack"), pointer(""));
        assert_eq!(kind("hidden"), pointer("opaque"), "{name}");
        assert_eq!(kind("parent"), pointer("task_struct"), "{name}");
        assert_eq!(kind("list"), pointer(""));
        assert_eq!(kind("comm"), array(int(true), 16));
        assert_eq!(kind("grid"), array(array(int(true), 3), 2));
        assert_eq!(kind("tail"), array(int(false), 0));
        assert_eq!(kind("usage"), embedded("atomic_t"));
        assert_eq!(kind("uid"), embedded("kuid_t"));
        assert_eq!(kind("either"), embedded("either"));
        assert_eq!(kind("named"), embedded(""));
        assert_eq!(kind("hook"), pointer(""));
        assert_eq!(kind("ratio"), Kind::Unknown);
        assert_eq!(kind("flag"), int(false));
    }
}

#[test]
fn pointers_of_four_bytes() {
    let profile = import("i386.o");
    assert_eq!(profile.identity().pointer_bytes, 4);
    let find = |member| place(&profile, "task_struct", member);
    assert_eq!(find("deep"), (12, 4, Some((1, 5))));
    assert_eq!(find("parent"), (24, 4, None));
    assert_eq!(find("comm"), (32, 16, None));
}

#[test]
fn only_what_is_wanted_is_kept() {
    let wanted = Wanted {
        types: &[&["list_head", "kuid_t", "absent"]],
        symbols: &[&["init_task"]],
        constants: &[&["PIDTYPE_MAX"]],
    };
    for name in AMD64 {
        let builder = import_elf(&read(name), Some(&wanted)).unwrap();
        let profile = builder.build();
        let names: Vec<&str> = profile.types().iter().map(|ty| &*ty.name).collect();
        assert_eq!(names, ["kuid_t", "list_head"], "{name}");
        assert_eq!(profile.symbols().len(), 1);
        assert_eq!(profile.constants(), [("PIDTYPE_MAX".to_owned(), 4)]);
    }
}

#[test]
fn a_linked_file_says_which_kernel_it_is() {
    let profile = import("linked.elf");
    let id = BuildId::from_hex("0123456789abcdef0123456789abcdef01234567");
    assert_eq!(profile.identity().build_id, id);
    assert_eq!(profile.identity().release, "9.9.9-test");
    let banner = b"Linux version 9.9.9-test (someone@somewhere) #1 SMP";
    assert_eq!(profile.identity().banner, banner);
    assert!(profile.symbol("init_task").is_some());
}

#[test]
fn split_debug_information_is_named() {
    let error = import_elf(&read("split.o"), None).unwrap_err();
    assert!(matches!(&error, SymbolError::Unusable(text) if text.contains(".dwo")));
}

#[test]
fn damaged_files_are_survived() {
    assert!(import_elf(b"", None).is_err());
    for name in [
        "dwarf4.o",
        "i386.o",
        "type-units5.o",
        "zlib.o",
        "linked.elf",
    ] {
        let whole = read(name);
        for end in (0..whole.len()).step_by(37) {
            let _ = import_elf(&whole[..end], None);
        }
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 0xff;
            let _ = import_elf(&bad, None);
        }
        for at in (0..whole.len()).step_by(3) {
            let mut bad = whole.clone();
            bad[at] ^= 1 << (at % 8);
            let _ = import_elf(&bad, None);
        }
    }
}
