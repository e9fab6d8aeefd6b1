//! The symbol table in every layout that `scripts/kallsyms.c` ever gave it, in several lengths.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

use std::sync::Arc;

use osier_memory::{AddressSpace, Paging, PhysAddr, VirtAddr, hardware_policy};
use osier_symbols::image::{Image, symbol_table};
use osier_symbols::kallsyms::{Encoding, Kallsyms};
use osier_testkit::{MemoryBuilder, Rights, TableBuilder};

/// How a kernel lays its tables out.
#[derive(Clone, Copy, Debug)]
struct Layout {
    /// Bytes of a pointer.
    pointer: u8,
    /// What every table is aligned to.
    align: u64,
    /// Bytes of the number of symbols and of a marker.
    counts: usize,
    /// The addresses come last, not first.
    addresses_last: bool,
    /// Bytes for each symbol between markers and tokens, and whether they come last of all.
    sequence: usize,
    encoding: Encoding,
}

const fn layout(
    pointer: u8,
    align: u64,
    counts: usize,
    addresses_last: bool,
    sequence: usize,
    encoding: Encoding,
) -> Layout {
    Layout {
        pointer,
        align,
        counts,
        addresses_last,
        sequence,
        encoding,
    }
}

/// Since which version, and how.
const LAYOUTS: [(&str, Layout); 11] = [
    ("2.6.32", layout(8, 8, 8, false, 0, Encoding::Absolute)),
    ("2.6.32 i386", layout(4, 4, 4, false, 0, Encoding::Absolute)),
    ("4.6", layout(8, 8, 8, false, 0, Encoding::RelativePerCpu)),
    ("4.6 i386", layout(4, 4, 4, false, 0, Encoding::Relative)),
    ("4.20", layout(8, 8, 4, false, 0, Encoding::RelativePerCpu)),
    ("6.2", layout(8, 8, 4, false, 3, Encoding::RelativePerCpu)),
    ("6.4", layout(8, 8, 4, true, 3, Encoding::RelativePerCpu)),
    ("6.4 i386", layout(4, 4, 4, true, 3, Encoding::Relative)),
    ("6.4 absolute", layout(8, 8, 4, true, 3, Encoding::Absolute)),
    ("6.15", layout(8, 8, 4, true, 3, Encoding::Relative)),
    ("7.0", layout(8, 4, 4, true, 3, Encoding::PlaceRelative)),
];

/// The bytes of one image, from a place on.
struct Writer {
    at: u64,
    bytes: Vec<u8>,
}

impl Writer {
    fn here(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    fn align(&mut self, to: u64) {
        while !self.here().is_multiple_of(to) {
            self.bytes.push(0);
        }
    }

    fn word(&mut self, value: u64, bytes: usize) {
        self.bytes.extend_from_slice(&value.to_le_bytes()[..bytes]);
    }
}

/// The symbol of a section that is neither code nor data.
const NO_SECTION: usize = 650;

/// A number that stands for a run of characters.
const SYMBOL: u8 = 1;

/// 256 tokens: characters stand for themselves, one number for a run of them, and `filler` bytes more.
fn tokens(filler: usize) -> Vec<Vec<u8>> {
    let token = |number: u8| match number {
        SYMBOL => b"symbol_".to_vec(),
        2 => vec![b'x'; filler],
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'?' => vec![number],
        _ => b"ab".to_vec(),
    };
    (0..=255).map(token).collect()
}

/// The tables, and the symbols in them.
fn tables(layout: Layout, text: u64, count: usize, filler: usize) -> (Writer, Vec<(String, u64)>) {
    tables_from(layout, text, ("_text", 0), count, filler)
}

/// The same, of tables whose first symbol of the image is `first`, so many bytes behind `_text`.
fn tables_from(
    layout: Layout,
    text: u64,
    first: (&str, u64),
    count: usize,
    filler: usize,
) -> (Writer, Vec<(String, u64)>) {
    let mut out = Writer {
        at: text + 0x1000,
        bytes: vec![0xff; 3],
    };
    let per_cpu = match layout.encoding {
        Encoding::RelativePerCpu => 3,
        _ => 0,
    };
    let symbol = |index: usize| match index {
        _ if index < per_cpu => (format!("symbol_cpu_{index}"), index as u64 * 8),
        _ if index == per_cpu => (first.0.to_owned(), text + first.1),
        _ => (
            format!("symbol_{index}"),
            text + first.1 + index as u64 * 16,
        ),
    };
    let symbols: Vec<(String, u64)> = (0..count).map(symbol).collect();
    let addresses = |out: &mut Writer| {
        out.align(layout.align);
        for (name, address) in &symbols {
            match layout.encoding {
                Encoding::Absolute => out.word(*address, usize::from(layout.pointer)),
                Encoding::Relative => out.word(address - text, 4),
                Encoding::PlaceRelative => out.word(address.wrapping_sub(out.here()), 4),
                Encoding::RelativePerCpu if name.contains("cpu") => out.word(*address, 4),
                Encoding::RelativePerCpu => out.word((text - 1).wrapping_sub(*address), 4),
            }
        }
        if matches!(
            layout.encoding,
            Encoding::Relative | Encoding::RelativePerCpu
        ) {
            out.align(layout.align);
            out.word(text, usize::from(layout.pointer));
        }
    };
    if !layout.addresses_last {
        addresses(&mut out);
    }
    out.align(layout.align);
    out.word(count as u64, layout.counts);
    out.align(layout.align);
    let names_at = out.here();
    let mut markers = Vec::new();
    for (index, (name, _)) in symbols.iter().enumerate() {
        if index % 256 == 0 {
            markers.push(out.here() - names_at);
        }
        // `__nosave_begin` of 3.10 and 4.4 is of no kind that nm knows.
        let mut packed = vec![if index == NO_SECTION { b'?' } else { b'T' }];
        match name.strip_prefix("symbol_") {
            Some(rest) => {
                packed.push(SYMBOL);
                packed.extend_from_slice(rest.as_bytes());
            }
            None => packed.extend_from_slice(name.as_bytes()),
        }
        out.word(packed.len() as u64, 1);
        out.bytes.extend_from_slice(&packed);
    }
    out.align(layout.align);
    for marker in markers {
        out.word(marker, layout.counts);
    }
    let sequence = vec![0x5a; count * layout.sequence];
    if !layout.addresses_last {
        out.align(layout.align);
        out.bytes.extend_from_slice(&sequence);
    }
    out.align(layout.align);
    let mut index = Vec::new();
    let table_at = out.here();
    for token in tokens(filler) {
        index.push(out.here() - table_at);
        out.bytes.extend_from_slice(&token);
        out.bytes.push(0);
    }
    out.align(layout.align);
    for start in index {
        out.word(start, 2);
    }
    if layout.addresses_last {
        addresses(&mut out);
        out.align(layout.align);
        out.bytes.extend_from_slice(&sequence);
    }
    out.bytes.extend_from_slice(&[0xff; 64]);
    (out, symbols)
}

/// The symbol table that is found in an image with these tables.
fn read(layout: Layout, text: u64, tables: &Writer) -> Result<Kallsyms, String> {
    const IMAGE: u64 = 0x100_0000;
    let mode = match layout.pointer {
        8 => Paging::Long4,
        _ => Paging::Legacy,
    };
    let mut memory = MemoryBuilder::new(PhysAddr(0x10_0000));
    memory.write_bytes(PhysAddr(IMAGE + (tables.at - text)), &tables.bytes);
    let table = TableBuilder::new(mode, &mut memory);
    let pages = (tables.here() - text).div_ceil(0x1000);
    let (at, image) = (VirtAddr(text), PhysAddr(IMAGE));
    table.map_run(&mut memory, at, image, pages, Rights::KERNEL);
    let space = AddressSpace::new(Arc::new(memory), mode, table.root(), hardware_policy);
    let image = Image {
        text: at,
        end: VirtAddr(tables.here()),
        slide: None,
    };
    symbol_table(&space, image)
}

#[test]
fn every_layout_is_read_whatever_the_tables_lengths() {
    for (version, layout) in LAYOUTS {
        let text = match layout.pointer {
            8 => 0xffff_ffff_8100_0000,
            _ => 0xc100_0000,
        };
        // Lengths modulo 8, of the tokens and of the names.
        for filler in 1..=8 {
            for count in [1290, 1291, 1293, 1536, 1537] {
                let (tables, symbols) = tables(layout, text, count, filler);
                let found = read(layout, text, &tables).unwrap_or_else(|why| {
                    panic!("{version}, {count} symbols, filler {filler}: {why}")
                });
                assert_eq!(found.encoding(), layout.encoding, "{version}");
                assert_eq!(found.damage(), [""; 0], "{version}");
                let (mut read, mut told) = (Vec::new(), Vec::new());
                found.each(|kind, name, address| {
                    assert!(matches!(kind, b'T' | b'?'));
                    told.push((kind, address));
                    read.push((String::from_utf8(name.to_vec()).unwrap(), address));
                });
                assert_eq!(read, symbols, "{version}, {count} symbols, filler {filler}");
                let mut places = Vec::new();
                found.places(|kind, address| places.push((kind, address)));
                assert!(places == told, "{version}");
                for (_, address) in symbols.iter().step_by(400) {
                    let first = symbols.iter().find(|(_, at)| at == address).unwrap();
                    let name = found.name_at(*address);
                    assert_eq!(name.as_deref(), Some(first.0.as_bytes()), "{version}");
                }
                assert_eq!(found.name_at(1), None);
            }
        }
    }
}

/// Kernels without `CONFIG_KALLSYMS_ALL` list what lies from `_stext` on: until v4.x not `_text`, which lies
/// before it (x86-64: 0x190 bytes in 2.6.38, 0x2a0 in 3.10 and 4.4, the code that processors start by).
#[test]
fn a_table_without_text_is_read_by_the_start_of_its_code() {
    let old = |(_, layout): &(&str, Layout)| layout.encoding != Encoding::PlaceRelative;
    for (version, layout) in LAYOUTS.into_iter().filter(old) {
        let text = match layout.pointer {
            8 => 0xffff_ffff_8100_0000,
            _ => 0xc100_0000,
        };
        for behind in [0x190, 0x1000] {
            let (tables, symbols) = tables_from(layout, text, ("_stext", behind), 1290, 1);
            let found = read(layout, text, &tables);
            let found = found.unwrap_or_else(|why| panic!("{version}, {behind:#x}: {why}"));
            assert_eq!(found.encoding(), layout.encoding, "{version}");
            let mut read = Vec::new();
            found.each(|_, name, address| {
                read.push((String::from_utf8(name.to_vec()).unwrap(), address));
            });
            assert_eq!(read, symbols, "{version}, {behind:#x}");
        }
        let (tables, _) = tables_from(layout, text, ("_stext", 0x40_0000), 1290, 1);
        assert!(read(layout, text, &tables).is_err(), "{version}");
    }
}

/// A byte of the lengths, of the kinds, of the addresses: each breaks a rule of the tables.
#[test]
fn damage_is_told() {
    let (_, layout) = LAYOUTS[5];
    let text = 0xffff_ffff_8100_0000;
    let (good, symbols) = tables(layout, text, 1536, 1);
    let name = |index: usize| {
        let rest = symbols[index].0.strip_prefix("symbol_").unwrap();
        let packed = [&[rest.len() as u8 + 2, b'T', SYMBOL], rest.as_bytes()].concat();
        let mut windows = good.bytes.windows(packed.len());
        windows.position(|window| window == packed).unwrap()
    };
    let address = |index: usize| {
        let word = ((text - 1).wrapping_sub(symbols[index].1) as u32).to_le_bytes();
        good.bytes
            .windows(4)
            .position(|window| window == word)
            .unwrap()
    };
    for (at, value, what) in [
        (name(700), 200, "markers"),
        (name(700) + 1, b'n', "kind"),
        (address(700) + 1, 0x7f, "below the one before"),
    ] {
        let mut bytes = good.bytes.clone();
        bytes[at] = value;
        let bad = Writer { at: good.at, bytes };
        let found = read(layout, text, &bad).unwrap();
        let told = found.damage().join("\n");
        assert!(told.contains(what), "{what}: {told}");
    }
}

#[test]
fn the_error_tells_of_the_place_that_fitted_best() {
    let text = 0xffff_ffff_8100_0000;
    let layout = LAYOUTS[10].1;
    let (mut tables, _) = tables(layout, text, 1290, 3);
    let mut names = tables.bytes.windows(7);
    let damaged = names.position(|bytes| bytes == b"\x06T_text").unwrap();
    tables.bytes[damaged + 3] = b'X';
    // Digits in a row that are no tokens, behind the tables.
    let digits = (b'0'..=b'9').flat_map(|digit| [digit, 0]);
    tables.bytes.extend(digits);
    tables.bytes.extend_from_slice(&[1; 64]);
    let why = read(layout, text, &tables).unwrap_err();
    assert!(why.contains("no table of addresses gives _text"), "{why}");
}
