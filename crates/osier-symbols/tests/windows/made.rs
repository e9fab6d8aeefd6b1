//! PDBs made here, byte by byte, of the ages that no real file at hand has: Windows 2000's (MSF
//! 2.00, no GUID, names with their length before them) and today's (`LF_STRUCTURE2`), and one of an
//! image that was rearranged after linking (OMAP).

use osier_profile::{BuildId, Kind, Profile};
use osier_symbols::import_pdb;

const PAGE: usize = 1024;

/// Little-endian numbers and bytes, one after the other.
macro_rules! bytes {
    ($($part:expr),* $(,)?) => {{
        let mut all: Vec<u8> = Vec::new();
        $( all.extend_from_slice(&$part.to_vec()); )*
        all
    }};
}

fn u16s(numbers: &[u16]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

fn u32s(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

/// A container with these streams: pages of stream after stream from page 8 on, the directory on
/// page 4, and for MSF 7.00 the place of the directory on page 5.
fn container(old: bool, streams: &[Vec<u8>]) -> Vec<u8> {
    let mut pages: Vec<u32> = Vec::new();
    let mut body = Vec::new();
    for stream in streams {
        for page in stream.chunks(PAGE) {
            pages.push(8 + (body.len() / PAGE) as u32);
            body.extend_from_slice(page);
            body.resize(body.len().next_multiple_of(PAGE), 0);
        }
    }
    let count = streams.len() as u32;
    let sizes = streams.iter().map(|stream| stream.len() as u32);
    let directory = if old {
        let sizes: Vec<u32> = sizes.flat_map(|size| [size, 0]).collect();
        let pages: Vec<u16> = pages.iter().map(|page| *page as u16).collect();
        bytes![u32s(&[count]), u32s(&sizes), u16s(&pages)]
    } else {
        bytes![
            u32s(&[count]),
            u32s(&sizes.collect::<Vec<u32>>()),
            u32s(&pages)
        ]
    };
    let used = 8 + (body.len() / PAGE) as u32;
    let length = directory.len() as u32;
    let header = if old {
        let magic = b"Microsoft C/C++ program database 2.00\r\n\x1aJG\0\0";
        bytes![
            magic,
            u32s(&[1024]),
            u16s(&[1, used as u16]),
            u32s(&[length, 0]),
            u16s(&[4])
        ]
    } else {
        let magic = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0";
        bytes![magic, u32s(&[1024, 1, used, length, 0, 5])]
    };
    let mut file = header;
    file.resize(4 * PAGE, 0);
    file.extend_from_slice(&directory);
    file.resize(5 * PAGE, 0);
    file.extend_from_slice(&4_u32.to_le_bytes());
    file.resize(8 * PAGE, 0);
    file.extend_from_slice(&body);
    file
}

fn records(version: u32, records: &[Vec<u8>]) -> Vec<u8> {
    let body: Vec<u8> = records
        .iter()
        .flat_map(|record| bytes![u16s(&[record.len() as u16]), record])
        .collect();
    let last = 0x1000 + records.len() as u32;
    let mut stream = u32s(&[version, 56, 0x1000, last, body.len() as u32]);
    stream.resize(56, 0);
    stream.extend_from_slice(&body);
    stream
}

/// Stream 3: age and machine; symbols are stream 4, sections stream 5, and where there are such,
/// both address maps streams 6 and 7 and the sections before rearranging stream 8.
fn debug(age: u32, machine: u16, omap: bool) -> Vec<u8> {
    const NONE: u16 = 0xffff;
    let [to, from, original] = if omap { [6, 7, 8] } else { [NONE; 3] };
    bytes![
        u32s(&[u32::MAX, 19_970_606, age]),
        u16s(&[NONE, 0, NONE, 0, 4, 0]),
        u32s(&[0, 0, 0, 0, 0, 0, 22, 0]),
        u16s(&[0, machine, 0, 0]),
        u16s(&[
            NONE, NONE, NONE, to, from, 5, NONE, NONE, NONE, NONE, original
        ]),
    ]
}

fn section(address: u32) -> Vec<u8> {
    let mut section = bytes![b".data\0\0\0", u32s(&[0x1000, address, 0x1000])];
    section.resize(40, 0);
    section
}

/// A public symbol of section 1.
fn public(old: bool, offset: u32, name: &str) -> Vec<u8> {
    let kind = if old { 0x1009 } else { 0x110e };
    let name = text(old, name);
    let record = bytes![u16s(&[kind]), u32s(&[0, offset]), u16s(&[1]), name];
    bytes![u16s(&[record.len() as u16]), record]
}

fn text(old: bool, name: &str) -> Vec<u8> {
    if old {
        bytes![[name.len() as u8], name.as_bytes()]
    } else {
        bytes![name.as_bytes(), [0]]
    }
}

fn member(leaf: u16, ty: u32, offset: u16, name: &str) -> Vec<u8> {
    let mut member = bytes![
        u16s(&[leaf, 3]),
        u32s(&[ty]),
        u16s(&[offset]),
        text(leaf < 0x1500, name),
    ];
    // Padding counts down to the next item.
    for left in (1..=member.len().next_multiple_of(4) - member.len()).rev() {
        member.push(0xf0 | left as u8);
    }
    member
}

#[track_caller]
fn place(profile: &Profile, ty: &str, member: &str) -> (i64, u64, Kind) {
    let member = profile.find_type(ty).unwrap().member(member).unwrap();
    (member.offset, member.bytes, member.kind.clone())
}

#[test]
fn a_pdb_of_windows_2000s_age_is_read() {
    let types = records(
        19_961_031,
        &[
            // 0x1000: LF_STRUCTURE_ST, only its name.
            bytes![
                u16s(&[0x1005, 0, 0x80]),
                u32s(&[0, 0, 0]),
                u16s(&[0]),
                text(true, "_LIST_ENTRY")
            ],
            // 0x1001: LF_POINTER, near and 32 bits wide.
            bytes![u16s(&[0x1002]), u32s(&[0x1000, 0x0a])],
            // 0x1002: LF_FIELDLIST.
            bytes![
                u16s(&[0x1203]),
                member(0x1405, 0x1001, 0, "Flink"),
                member(0x1405, 0x1001, 4, "Blink"),
            ],
            bytes![
                u16s(&[0x1005, 2, 0]),
                u32s(&[0x1002, 0, 0]),
                u16s(&[8]),
                text(true, "_LIST_ENTRY")
            ],
            // 0x1004: LF_BITFIELD of unsigned long; 0x1005: LF_ARRAY_ST of 16 characters.
            bytes![u16s(&[0x1205]), u32s(&[0x22]), [3, 5]],
            bytes![
                u16s(&[0x1003]),
                u32s(&[0x20, 0x22]),
                u16s(&[16]),
                text(true, "")
            ],
            bytes![
                u16s(&[0x1203]),
                member(0x1405, 0x1004, 0, "Flag"),
                member(0x1405, 0x1000, 4, "Links"),
                member(0x1405, 0x1005, 12, "Name"),
            ],
            bytes![
                u16s(&[0x1005, 3, 0]),
                u32s(&[0x1006, 0, 0]),
                u16s(&[28]),
                text(true, "_EPROCESS")
            ],
        ],
    );
    let streams = [
        Vec::new(),
        u32s(&[19_970_604, 0x3843_78ea, 7]),
        types,
        debug(2, 0, false),
        bytes![
            public(true, 0x40, "_PsActiveProcessHead"),
            public(true, 0x80, "_NtClose@4")
        ],
        section(0x2000),
    ];
    let profile = import_pdb(&container(true, &streams), None)
        .unwrap()
        .build();
    let identity = profile.identity();
    assert_eq!(identity.build_id, Some(BuildId::of_nb10(0x3843_78ea, 2)));
    assert_eq!(identity.pointer_bytes, 4);
    let list = Kind::Embedded {
        name: "_LIST_ENTRY".to_owned(),
    };
    assert_eq!(place(&profile, "_EPROCESS", "Links"), (4, 8, list));
    let characters = Kind::Array {
        of: Box::new(Kind::Int { signed: false }),
        count: 16,
    };
    assert_eq!(place(&profile, "_EPROCESS", "Name"), (12, 16, characters));
    let flag = profile
        .find_type("_EPROCESS")
        .unwrap()
        .member("Flag")
        .unwrap();
    assert_eq!((flag.offset, flag.bytes, flag.bits), (0, 4, Some((5, 3))));
    assert_eq!(profile.symbol("PsActiveProcessHead"), Some(0x2040));
    assert_eq!(profile.symbol("NtClose"), Some(0x2080));
}

/// Streams of a 64-bit PDB with one structure in today's form.
fn modern(omap: bool) -> Vec<Vec<u8>> {
    let types = records(
        20_040_203,
        &[
            // 0x1000: LF_POINTER, 8 bytes, to void; 0x1001: the members of the unnamed union.
            bytes![u16s(&[0x1002]), u32s(&[0x03, 0x1000c])],
            bytes![
                u16s(&[0x1203]),
                member(0x150d, 0x1000, 0, "Pointer"),
                member(0x150d, 0x23, 0, "Value"),
            ],
            // 0x1002: LF_UNION2; 0x1003: members; 0x1004: LF_STRUCTURE2.
            bytes![
                u16s(&[0x160a]),
                u32s(&[0, 0x1001]),
                u16s(&[2, 8]),
                text(false, "_EX_FAST_REF::<unnamed-type-u>"),
            ],
            bytes![
                u16s(&[0x1203]),
                member(0x150d, 0x1002, 0, "u"),
                member(0x150d, 0x13, 8, "Count"),
            ],
            bytes![
                u16s(&[0x1609]),
                u32s(&[1 << 9, 0x1003, 0, 0]),
                u16s(&[2, 16]),
                text(false, "_EX_FAST_REF"),
                text(false, ".?AU_EX_FAST_REF@@"),
            ],
        ],
    );
    let guid: Vec<u8> = (1..=16).collect();
    let mut streams = vec![
        Vec::new(),
        bytes![u32s(&[20_000_404, 1, 9]), guid, [0; 4]],
        types,
        debug(1, 0x8664, omap),
        public(false, 0x40, "PsActiveProcessHead"),
        section(0x2000),
    ];
    if omap {
        streams.push(u32s(&[0x5000, 0x2000]));
        streams.push(u32s(&[0x2000, 0x5000, 0x2041, 0]));
        streams.push(section(0x2000));
    }
    streams
}

#[test]
fn the_newest_leaves_are_read() {
    let profile = import_pdb(&container(false, &modern(false)), None)
        .unwrap()
        .build();
    let id = profile
        .identity()
        .build_id
        .as_ref()
        .unwrap()
        .symbol_server_key();
    assert_eq!(id.unwrap(), "0403020106050807090A0B0C0D0E0F101");
    let inner = Kind::Embedded {
        name: "_EX_FAST_REF.u".to_owned(),
    };
    assert_eq!(place(&profile, "_EX_FAST_REF", "u"), (0, 8, inner));
    assert_eq!(
        place(&profile, "_EX_FAST_REF", "Count"),
        (8, 8, Kind::Int { signed: true })
    );
    let pointer = Kind::Pointer { to: String::new() };
    assert_eq!(
        place(&profile, "_EX_FAST_REF.u", "Pointer"),
        (0, 8, pointer)
    );
    assert_eq!(profile.symbol("PsActiveProcessHead"), Some(0x2040));
}

#[test]
fn a_rearranged_image_has_its_symbols_where_they_went() {
    let profile = import_pdb(&container(false, &modern(true)), None)
        .unwrap()
        .build();
    assert_eq!(profile.symbol("PsActiveProcessHead"), Some(0x5040));
}

#[test]
fn types_that_hold_themselves_are_an_error() {
    let mut streams = modern(false);
    // The unnamed union holds itself twice.
    let loops = bytes![
        u16s(&[0x1203]),
        member(0x150d, 0x1002, 0, "a"),
        member(0x150d, 0x1002, 0, "b"),
    ];
    let union = bytes![
        u16s(&[0x160a]),
        u32s(&[0, 0x1001]),
        u16s(&[2, 8]),
        text(false, "__unnamed")
    ];
    let holder = bytes![u16s(&[0x1203]), member(0x150d, 0x1002, 0, "u")];
    let named = bytes![
        u16s(&[0x1506, 1, 0]),
        u32s(&[0x1003]),
        u16s(&[8]),
        text(false, "_U")
    ];
    streams[2] = records(20_040_203, &[vec![0x03, 0x12], loops, union, holder, named]);
    let error = import_pdb(&container(false, &streams), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("holds itself"), "{error}");
    // No circle, but ten base classes on every level, and nothing else.
    let mut levels = vec![bytes![u16s(&[0x1203]), member(0x150d, 0x74, 0, "a")]];
    for level in 0..16_u32 {
        let below = 0x1000 + level * 2;
        levels.push(bytes![
            u16s(&[0x1506, 1, 0]),
            u32s(&[below]),
            u16s(&[8]),
            text(false, "_L")
        ]);
        let bases = (0..10).flat_map(|_| {
            bytes![
                u16s(&[0x1400, 3]),
                u32s(&[below + 1]),
                u16s(&[0]),
                [0xf2, 0xf1]
            ]
        });
        levels.push(bytes![u16s(&[0x1203]), bases.collect::<Vec<u8>>()]);
    }
    levels.push(bytes![
        u16s(&[0x1506, 1, 0]),
        u32s(&[0x1000 + 32]),
        u16s(&[8]),
        text(false, "_U")
    ]);
    streams[2] = records(20_040_203, &levels);
    let error = import_pdb(&container(false, &streams), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("hold themselves"), "{error}");
    // A field list that continues itself.
    let list = bytes![u16s(&[0x1203]), u16s(&[0x1404, 0]), u32s(&[0x1000])];
    let named = bytes![
        u16s(&[0x1506, 1, 0]),
        u32s(&[0x1000]),
        u16s(&[8]),
        text(false, "_U")
    ];
    streams[2] = records(20_040_203, &[list, named]);
    let error = import_pdb(&container(false, &streams), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not end"), "{error}");
}
