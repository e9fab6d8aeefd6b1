use super::*;

/// `struct task_struct { int pid; union { long a; }; unsigned f:3 at bit 133; kuid_t *p; }` with
/// an enumeration, of bytes written by the format's description.
pub(crate) fn blob() -> Vec<u8> {
    let strings = b"\0int\0task_struct\0pid\0a\0f\0kuid_t\0p\0ZERO\0long unsigned int\0";
    let at = |name: &[u8]| {
        let whole = [b"\0", name, b"\0"].concat();
        let hit = memchr::memmem::find(strings, &whole).unwrap();
        u32::try_from(hit + 1).unwrap()
    };
    let info = |kind: u32, vlen: u32, kflag: u32| kflag << 31 | kind << 24 | vlen;
    let words = [
        [at(b"int"), info(kind::INT, 0, 0), 4].as_slice(), // 1
        &[1 << 24 | 32],
        &[at(b"long unsigned int"), info(kind::INT, 0, 0), 8], // 2
        &[64],
        &[0, info(kind::UNION, 1, 0), 8], // 3
        &[at(b"a"), 2, 0],
        &[at(b"kuid_t"), info(kind::TYPEDEF, 0, 0), 5], // 4
        &[0, info(kind::STRUCT, 1, 0), 4],              // 5
        &[at(b"a"), 1, 0],
        &[0, info(kind::PTR, 0, 0), 4],                      // 6
        &[at(b"task_struct"), info(kind::STRUCT, 4, 1), 32], // 7
        &[at(b"pid"), 1, 0],
        &[0, 3, 64],
        &[at(b"f"), 1, (3 << 24) + 133],
        &[at(b"p"), 6, 192],
        &[0, info(kind::ENUM, 1, 1), 4], // 8
        &[at(b"ZERO"), u32::MAX],
    ]
    .concat();
    let types: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
    let header = [0, len(&types), len(&types), len(strings)];
    let header = header.iter().flat_map(|w| w.to_le_bytes());
    let mut blob: Vec<u8> = HEADER_START.iter().copied().chain(header).collect();
    blob.extend(types);
    blob.extend_from_slice(strings);
    blob
}

#[test]
fn members_are_flattened_and_bit_fields_placed() {
    let found = parse(&blob(), None).unwrap();
    assert_eq!(found.constants, [("ZERO".to_owned(), -1)]);
    let task = found
        .types
        .iter()
        .find(|t| t.name == "task_struct")
        .unwrap();
    let place = |name: &str| {
        let member = task.member(name).unwrap();
        (member.offset, member.bytes, member.bits)
    };
    assert_eq!(place("pid"), (0, 4, None));
    assert_eq!(place("a"), (8, 8, None));
    assert_eq!(place("f"), (16, 4, Some((5, 3))));
    assert_eq!(place("p"), (24, 8, None));
    let to = "kuid_t".to_owned();
    assert_eq!(task.member("p").unwrap().kind, Kind::Pointer { to });
    assert!(
        found
            .types
            .iter()
            .any(|t| t.name == "kuid_t" && t.bytes == 4)
    );
}

#[test]
fn damage_is_an_error_or_other_types_but_never_a_panic() {
    let good = blob();
    for len in 0..good.len() {
        assert!(parse(&good[..len], None).is_err(), "{len}");
    }
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let _ = parse(&bad, None);
    }
}

/// Structures, each with four anonymous members of the type that `next` gives for its number.
fn nested(count: u32, next: impl Fn(u32) -> u32) -> Vec<u8> {
    let strings = b"\0task_struct\0";
    let mut words = Vec::new();
    for id in 1..=count {
        words.extend([u32::from(id == 1), kind::STRUCT << 24 | 4, 8]);
        for _ in 0..4 {
            words.extend([0, next(id), 0]);
        }
    }
    let types: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
    let header = [0, len(&types), len(&types), len(strings)];
    let header = header.iter().flat_map(|w| w.to_le_bytes());
    let start: Vec<u8> = HEADER_START.iter().copied().chain(header).collect();
    [start.as_slice(), &types, strings].concat()
}

#[test]
fn structures_that_hold_themselves_are_an_error() {
    // By itself, by another, and no circle at all, but four times as many members on every level.
    for blob in [
        nested(1, |_| 1),
        nested(2, |id| 3 - id),
        nested(23, |id| id.min(22) + 1),
        nested(20, |id| id + 1),
    ] {
        let error = parse(&blob, None).unwrap_err();
        assert!(matches!(error, BtfError::Measure(_)), "{error}");
        let wanted = Wanted {
            types: &[&["task_struct"]],
            symbols: &[],
            constants: &[],
        };
        let damage = crate::btf_damage::of(&Btf::of(&blob).unwrap(), Some(&wanted));
        let itself = damage.iter().any(|line| line.contains("hold themselves"));
        assert!(itself, "{damage:?}");
    }
    let types = parse(&nested(5, |id| id + 1), None).unwrap();
    assert_eq!(types.types.len(), 1);
}

#[test]
fn a_name_that_everything_has_is_not_copied_without_end() {
    let count: u32 = 5000;
    let mut words = Vec::new();
    for _ in 0..count {
        words.extend([1, kind::STRUCT << 24 | 1, 8, 1, 0, 0]);
    }
    let types: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    let strings = [vec![0], vec![b'a'; 120_000], vec![0]].concat();
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
    let header = [0, len(&types), len(&types), len(&strings)];
    let header = header.iter().flat_map(|w| w.to_le_bytes());
    let start: Vec<u8> = HEADER_START.iter().copied().chain(header).collect();
    let blob = [start.as_slice(), &types, &strings].concat();
    let error = parse(&blob, None).unwrap_err();
    assert!(matches!(error, BtfError::Measure(_)), "{error}");
    assert!(crate::btf_isf::Typed::of(&blob).is_err());
}
