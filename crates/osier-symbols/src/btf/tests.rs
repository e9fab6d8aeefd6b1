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
