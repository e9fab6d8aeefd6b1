use super::*;
use crate::{Kind, Member, Type, TypeKind, Wanted};

fn sample() -> Profile {
    let mut builder = ProfileBuilder::new(Identity {
        os: OsKind::Linux,
        pointer_bytes: 8,
        build_id: Some(BuildId(vec![0xab; 20])),
        banner: b"Linux version 6.1.0 \xff".to_vec(),
        release: "6.1.0".to_owned(),
    });
    builder.set_text_head(vec![0x48; 80]);
    builder.provenance("made by hand");
    let grid = Kind::Array {
        of: Box::new(Kind::Array {
            of: Box::new(Kind::Embedded {
                name: "list_head".to_owned(),
            }),
            count: 3,
        }),
        count: 0,
    };
    let member = |name: &str, offset, bits, kind| Member {
        name: name.to_owned(),
        offset,
        bytes: 8,
        bits,
        kind,
    };
    let parent = Kind::Pointer {
        to: "task_struct".to_owned(),
    };
    let members = vec![
        member("pid", 16, None, Kind::Int { signed: true }),
        member("flag", 24, Some((3, 1)), Kind::Int { signed: false }),
        member("parent", -8, None, parent),
        member("grid", i64::MAX, None, grid),
        member("odd", i64::MIN, None, Kind::Unknown),
    ];
    builder.add_type(Type::new(
        "task_struct".to_owned(),
        TypeKind::Struct,
        9024,
        members,
    ));
    builder.add_type(Type::new("u".to_owned(), TypeKind::Union, 0, Vec::new()));
    builder.add_symbol("_text", 0xffff_ffff_8100_0000);
    builder.add_symbol("init_task", u64::MAX);
    builder.add_constant("MINUS", -1);
    builder.build()
}

#[test]
fn a_profile_survives_its_file() {
    let profile = sample();
    let data = profile.to_bytes(7);
    assert_eq!(Profile::from_bytes(&data).unwrap(), (profile.clone(), 7));
    assert_eq!(profile.text_head().len(), 64);

    let card = Card::from_bytes(data.get(..CARD_WINDOW.min(data.len())).unwrap()).unwrap();
    assert_eq!(&card.identity, profile.identity());
    assert_eq!(card.fingerprint, 7);
    assert_eq!(card.anchor("_text"), Some(0xffff_ffff_8100_0000));
    assert_eq!(card.anchor("linux_banner"), None);
    assert_eq!(card.text_head, profile.text_head());
}

#[test]
fn whether_it_is_whole_is_kept() {
    let mut builder = sample().into_builder();
    builder.set_whole();
    for profile in [builder.build(), sample()] {
        let read = Profile::from_bytes(&profile.to_bytes(7)).unwrap().0;
        assert_eq!(read.is_whole(), profile.is_whole());
        assert_eq!(read, profile);
    }
}

#[test]
fn every_truncation_is_an_error() {
    let data = sample().to_bytes(0);
    for end in 0..data.len() {
        assert!(Profile::from_bytes(&data[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let data = sample().to_bytes(0);
    for at in 0..data.len() {
        for bit in 0..8 {
            let mut bad = data.clone();
            bad[at] ^= 1 << bit;
            assert!(Profile::from_bytes(&bad).is_err(), "bit {bit} of byte {at}");
            let _ = Card::from_bytes(&bad);
        }
    }
}

/// With the checksum made right again, so that the reader itself is tried.
#[test]
fn forged_files_do_not_panic() {
    let data = sample().to_bytes(0);
    for at in 16..data.len() {
        for value in [0, 1, 4, 5, 0x7f, 0x80, 0xff, data[at] ^ 1] {
            let mut bad = data.clone();
            bad[at] = value;
            let crc = crc32fast::hash(&bad[16..]);
            bad[12..16].copy_from_slice(&crc.to_le_bytes());
            let Ok((profile, _)) = Profile::from_bytes(&bad) else {
                continue;
            };
            for ty in profile.types() {
                let one = |member: &Member| ty.member(&member.name).cloned();
                let alone: Vec<_> = ty.members().iter().filter_map(one).collect();
                assert_eq!(alone, ty.members(), "byte {at} is {value}");
            }
        }
    }
}

#[test]
fn a_member_is_read_alone_as_among_all() {
    let data = sample().to_bytes(0);
    let read = || Profile::from_bytes(&data).unwrap().0;
    let profile = sample();
    let whole = profile.find_type("task_struct").unwrap();
    for member in whole.members() {
        let read = read();
        let ty = read.find_type("task_struct").unwrap();
        assert_eq!(ty.member(&member.name), Some(member));
        assert_eq!(ty.member(&member.name), Some(member), "asked again");
        assert_eq!(ty.members(), whole.members());
        assert_eq!(ty.clone().member(&member.name), Some(member), "of a copy");
    }
    let read = read();
    let ty = read.find_type("task_struct").unwrap();
    for name in ["", "a", "parents", "zzz"] {
        assert_eq!(ty.member(name), None, "{name}");
    }
    assert_eq!(read.find_type("u").unwrap().members(), []);
}

/// Files of others may have members in any order.
#[test]
fn members_out_of_order_are_put_in_order() {
    let mut data = sample().to_bytes(0);
    let at = data.windows(4).position(|four| four == b"grid").unwrap();
    data[at..at + 4].copy_from_slice(b"zrid");
    let crc = crc32fast::hash(&data[16..]);
    data[12..16].copy_from_slice(&crc.to_le_bytes());
    let (profile, _) = Profile::from_bytes(&data).unwrap();
    let ty = profile.find_type("task_struct").unwrap();
    let names: Vec<_> = ty.members().iter().map(|member| &*member.name).collect();
    assert_eq!(names, ["flag", "odd", "parent", "pid", "zrid"]);
    assert_eq!(ty.member("zrid").unwrap().offset, i64::MAX);
}

#[test]
fn other_files_and_versions_are_told_apart() {
    assert!(matches!(
        Profile::from_bytes(b"\x7fELF"),
        Err(ProfileError::NotAProfile)
    ));
    let mut data = sample().to_bytes(0);
    data[8] = 3;
    assert!(matches!(
        Profile::from_bytes(&data),
        Err(ProfileError::Version { found: 3 })
    ));
}

#[test]
fn a_fingerprint_changes_with_the_list() {
    let list = |types| Wanted {
        types,
        symbols: &[],
        constants: &[],
    };
    let two = list(&[&["a", "b"]]).fingerprint();
    assert_ne!(two, list(&[&["ab"]]).fingerprint());
    assert_eq!(two, list(&[&["b"], &["b", "a"]]).fingerprint());
    let symbols = Wanted {
        types: &[],
        symbols: &[&["a", "b"]],
        constants: &[],
    };
    assert_ne!(two, symbols.fingerprint());
}
