//! Windows hibernation files: made ones of every form, and damaged ones.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "small files made here; a test fails by panicking"
)]

mod made;

use std::ops::ControlFlow;

use made::{PAGE, opened, try_open};
use osier_memory::{Cause, Codec, Hint, PAGE_BYTES, PhysAddr, PhysicalMemory};
use osier_snapshot::{Format, OpenOptions, Snapshot};
use osier_testkit::containers::hiber::{HiberFile, HiberForm};
use osier_testkit::containers::xpress;
use osier_testkit::{MemoryBuilder, Random};

/// Memory of many short runs and a long one; some pages compress well, some little, some not.
fn memory() -> MemoryBuilder {
    let mut memory = MemoryBuilder::default();
    let mut random = Random::new(7);
    let short = (0..30).flat_map(|run| (run * 7 + 1)..(run * 7 + 3 + run % 3));
    for page in short.chain(1000..1070).chain([0x10_0000]) {
        let mut bytes: Vec<u8> = match page % 4 {
            0 => vec![page as u8; PAGE],
            1 => format!("page {page} says so. ").into_bytes().repeat(300),
            2 => (0..PAGE).map(|_| random.below(8) as u8).collect(),
            _ => (0..PAGE).map(|_| random.bits() as u8).collect(),
        };
        bytes.truncate(PAGE);
        memory.write_bytes(PhysAddr(page * PAGE_BYTES), &bytes);
    }
    memory
}

fn files() -> Vec<HiberFile> {
    let old = [
        HiberForm::Xp32,
        HiberForm::Xp64,
        HiberForm::Vista32,
        HiberForm::Vista64,
        HiberForm::Win7x32,
        HiberForm::Win7x64,
    ];
    let wide =
        [0x360, 0x3b0, 0x3c8, 0x3d8, 0x3e0, 0x448, 0x4d8].map(|l| HiberForm::Modern(true, l));
    let narrow = [0x2c8, 0x310, 0x328, 0x338, 0x340].map(|l| HiberForm::Modern(false, l));
    let mut files = Vec::new();
    for form in old.into_iter().chain(wide).chain(narrow) {
        for huffman in [false, true] {
            if huffman && !matches!(form, HiberForm::Modern(..)) {
                continue;
            }
            files.push(HiberFile {
                form,
                signature: if form == HiberForm::Xp32 {
                    *b"hibr"
                } else {
                    *b"HIBR"
                },
                huffman,
                cr3: if form.wide() { 0x1a_d000 } else { 0x33_9000 },
            });
        }
    }
    files
}

fn assert_holds(snapshot: &Snapshot, memory: &MemoryBuilder, what: &HiberFile) {
    assert_eq!(snapshot.machine.memory.runs(), memory.runs(), "{what:?}");
    for run in memory.runs() {
        let mut at = run.start;
        let swept = snapshot
            .machine
            .memory
            .sweep(*run, 5 * PAGE, &mut |pa, bytes| {
                assert_eq!(pa, at, "{what:?}: a gap");
                let mut expected = vec![0; bytes.len()];
                memory.read(pa, &mut expected).unwrap();
                assert!(bytes == expected, "{what:?}: {pa}");
                at = pa.plus(bytes.len() as u64);
                ControlFlow::Continue(())
            });
        assert!(swept.is_continue() && at == run.end());
        let mut byte = [0; 9];
        snapshot
            .machine
            .memory
            .read(run.start.plus(0xfff), &mut byte[..1])
            .unwrap();
    }
}

#[test]
fn every_form_gives_the_pages_that_went_in() {
    let memory = memory();
    for file in files() {
        let snapshot = opened(&file.write(&memory));
        assert_eq!(snapshot.info.format, Format::Hibernation);
        assert!(
            snapshot.info.anomalies.is_empty(),
            "{file:?}: {:?}",
            snapshot.info.anomalies
        );
        assert_holds(&snapshot, &memory, &file);
        for missing in [0, 999 * PAGE_BYTES, 0x10_0001 * PAGE_BYTES, u64::MAX] {
            let fault = snapshot.machine.memory.chunk(PhysAddr(missing)).err();
            assert_eq!(fault.unwrap().cause, Cause::NotCaptured);
        }
    }
}

#[test]
fn a_small_cache_gives_the_same() {
    let memory = memory();
    let file = files().pop().unwrap();
    let options = OpenOptions {
        cache_bytes: 1,
        ..OpenOptions::default()
    };
    let snapshot = try_open(&file.write(&memory), &options).unwrap();
    assert_holds(&snapshot, &memory, &file);
}

#[test]
fn the_processor_is_the_one_that_hibernated() {
    let memory = memory();
    for file in files() {
        let snapshot = opened(&file.write(&memory));
        assert_eq!(
            snapshot.machine.hints,
            [Hint::TableRoot(PhysAddr(file.cr3))]
        );
        let [cpu] = snapshot.machine.cpus.as_slice() else {
            panic!("{file:?}: one processor");
        };
        assert_eq!((cpu.cr3, cpu.rip), (file.cr3, 0x11_000));
        let registers = if file.form.wide() { 16 } else { 8 };
        for (index, value) in cpu.general.unwrap().iter().enumerate() {
            let put = if index < registers {
                0x1000 * (index as u64 + 1)
            } else {
                0
            };
            assert_eq!(*value, put, "{file:?}: register {index}");
        }
        if file.form.wide() {
            assert_eq!(cpu.paging().unwrap().name(), "4-level");
            assert_eq!(cpu.segments.gs.base, Some(0xffff_f800_0001_0000));
            assert_eq!(cpu.kernel_gs_base, Some(0x7ffd_e000));
            assert_eq!(cpu.lstar, Some(0xffff_f800_0002_0000));
            assert_eq!(cpu.segments.gdt.base, Some(0xffff_f800_0003_0000));
            assert_eq!(cpu.segments.idt.base, Some(0xffff_f800_0004_0000));
            assert_eq!(cpu.segments.tr.selector, Some(0x40));
        } else {
            assert_eq!(cpu.paging().unwrap().name(), "PAE");
            assert_eq!(cpu.segments.gdt.base, Some(0x8003_f000));
            assert_eq!(
                (cpu.segments.idt.base, cpu.segments.idt.limit),
                (Some(0x8003_f400), Some(0x7ff))
            );
            assert_eq!(cpu.segments.tr.selector, Some(0x28));
        }
    }
}

fn refused(bytes: &[u8]) -> String {
    let Err(error) = try_open(bytes, &OpenOptions::default()) else {
        panic!("opened");
    };
    error.to_string()
}

fn with(bytes: &[u8], at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

fn modern() -> Vec<u8> {
    let file = HiberFile {
        form: HiberForm::Modern(true, 0x3e0),
        signature: *b"HIBR",
        huffman: true,
        cr3: 0x1a_d000,
    };
    file.write(&memory())
}

#[test]
fn what_a_header_says_wrong_is_named() {
    let whole = modern();
    assert!(refused(&whole[..0x800]).contains("0x800"));
    let length = refused(&with(&whole, 12, &17_u32.to_le_bytes()));
    assert!(
        length.contains("0xc") && length.contains("17 bytes"),
        "{length}"
    );
    let page_size = refused(&with(&whole, 24, &[0; 4]));
    assert!(page_size.contains("PageSize"), "{page_size}");
    let none = with(&whole, 0x68, &u64::MAX.to_le_bytes());
    let none = refused(&with(&none, 0x70, &u64::MAX.to_le_bytes()));
    assert!(none.contains("compressed memory"), "{none}");
    let newer = opened(&with(&whole, 12, &0x500_u32.to_le_bytes()));
    assert!(newer.info.anomalies[0].text.contains("no known Windows"));
    let resumed = opened(&with(&whole, 0, b"WAKE"));
    assert!(resumed.info.anomalies[0].text.contains("resumed"));
    // Windows 2000 compresses otherwise.
    let mut old = vec![0; 2 * PAGE];
    old[..4].copy_from_slice(b"hibr");
    let old = with(
        &with(&old, 12, &96_u32.to_le_bytes()),
        20,
        &4096_u32.to_le_bytes(),
    );
    assert!(refused(&old).contains("Windows 2000"));
    // The tables' place is confirmed by what lies there.
    let file = HiberFile {
        form: HiberForm::Win7x64,
        signature: *b"HIBR",
        huffman: false,
        cr3: 0x18_7000,
    };
    let tables = file.write(&memory());
    let place = refused(&with(&tables, 0x60, &3_u64.to_le_bytes()));
    assert!(place.contains("0x3 or 0x0"), "{place}");
    // A table that points back would go round for ever.
    let round = opened(&with(&tables, 6 * PAGE, &6_u64.to_le_bytes()));
    assert!(
        round
            .info
            .anomalies
            .iter()
            .any(|a| a.text.contains("does not lie behind"))
    );
}

#[test]
fn a_damaged_unit_is_a_fault_of_its_pages_alone() {
    let memory = memory();
    let whole = modern();
    let page = |at: usize| u64::from_le_bytes(whole[at..at + 8].try_into().unwrap());
    let set = page(0x68) as usize * PAGE;
    let ranges = whole[set] as usize;
    let data = set + 4 + 8 * ranges;
    // The table of code lengths becomes one that is no code.
    let snapshot = opened(&with(&whole, data, &[0x11; 256]));
    let offset = data as u64;
    let codec = Codec::Xpress;
    let first = page(set + 4) >> 4;
    let fault = snapshot
        .machine
        .memory
        .chunk(PhysAddr(first * PAGE_BYTES))
        .err();
    assert_eq!(fault.unwrap().cause, Cause::Decode { offset, codec });
    let mut good = 0;
    for pa in memory.pages() {
        if let Ok(chunk) = snapshot.machine.memory.chunk(pa) {
            let mut expected = vec![0; PAGE];
            memory.read(pa, &mut expected).unwrap();
            assert!(chunk[..PAGE] == expected);
            good += 1;
        }
    }
    assert_eq!(good, memory.pages().count() - 16);
}

#[test]
fn the_kernels_copy_of_a_page_counts() {
    // Two sets of one page each, stored: the same page in both sections.
    let whole = modern();
    let mut bytes = whole[..6 * PAGE].to_vec();
    for (section, fill) in [(0, 1_u8), (1, 2)] {
        let at = (6 + 2 * section) * PAGE;
        bytes.resize(at, 0);
        bytes.extend((1_u32 | 4096 << 8).to_le_bytes());
        bytes.extend((5_u64 << 4).to_le_bytes());
        bytes.extend([fill; PAGE]);
    }
    for (at, value) in [(0x58, 1_u64), (0x68, 6), (0x70, 8), (0x230, 1)] {
        bytes = with(&bytes, at, &value.to_le_bytes());
    }
    let snapshot = opened(&bytes);
    assert_eq!(made::filler(&snapshot, 5 * PAGE_BYTES), 2);
    assert!(snapshot.info.anomalies[0].text.contains("1 pages"));
}

#[test]
fn a_page_that_no_machine_has_is_no_page() {
    let whole = modern();
    let page = |at: usize| u64::from_le_bytes(whole[at..at + 8].try_into().unwrap());
    let set = page(0x68) as usize * PAGE;
    for beyond in [u64::MAX, (1 << 44) | 15, ((1 << 40) - 1) << 4 | 1] {
        let bytes = with(&whole, set + 4, &beyond.to_le_bytes());
        let snapshot = opened(&bytes);
        let told = &snapshot.info.anomalies[0].text;
        assert!(told.contains("expected a compression set"), "{told}");
        assert!(survive(&bytes));
    }
}

fn survive(bytes: &[u8]) -> bool {
    match try_open(bytes, &OpenOptions::default()) {
        Ok(snapshot) => {
            let memory = &snapshot.machine.memory;
            let mut end = 0;
            for run in memory.runs().iter().take(60) {
                assert!(run.len > 0 && run.start.0 >= end);
                end = run.end().0;
                for pa in [run.start, run.end().minus(1)] {
                    if let Ok(chunk) = memory.chunk(pa) {
                        assert!(!chunk.is_empty());
                    }
                }
            }
            true
        }
        Err(error) => {
            assert!(error.to_string().len() > 20, "{error}");
            false
        }
    }
}

/// One file of each layout.
fn few() -> Vec<Vec<u8>> {
    let mut memory = MemoryBuilder::default();
    for page in (1..40).chain(50..53) {
        memory.write_bytes(PhysAddr(page * PAGE_BYTES), &[page as u8; 99]);
    }
    let files = files();
    let all = files.iter().filter(|file| {
        !matches!(file.form, HiberForm::Modern(_, length) if ![0x360, 0x3e0, 0x340].contains(&length))
    });
    all.map(|file| file.write(&memory)).collect()
}

#[test]
fn cut_anywhere() {
    let mut random = Random::new(8);
    for bytes in few() {
        assert!(survive(&bytes));
        let mut lengths: Vec<usize> = vec![0, 3, 4, 15, 0xfff, 0x1000, 6 * PAGE, 7 * PAGE];
        lengths.extend((0..60).map(|at| 6 * PAGE + at));
        lengths.extend((0..60).map(|_| random.below(bytes.len() as u64) as usize));
        for len in lengths.into_iter().filter(|len| *len < bytes.len()) {
            if let Ok(snapshot) = try_open(&bytes[..len], &OpenOptions::default()) {
                let said = !snapshot.info.anomalies.is_empty();
                // The padding behind the last block may go.
                assert!(
                    said || bytes.len() - len < PAGE,
                    "cut at {len:#x} without a word"
                );
            }
        }
    }
}

#[test]
fn bits_flipped() {
    let mut random = Random::new(9);
    for bytes in few() {
        for _ in 0..200 {
            let mut bad = bytes.clone();
            for _ in 0..=random.below(3) {
                let at = match random.below(3) {
                    0 => random.below(0x400),
                    1 => 6 * PAGE as u64 + random.below(0x80),
                    _ => random.below(bytes.len() as u64),
                };
                bad[at as usize] ^= 1 << random.below(8);
            }
            survive(&bad);
        }
    }
}

/// The compressor's output is what the specification's examples are, where those leave no choice.
#[test]
fn the_compressor_is_right() {
    let abc = b"abc".repeat(100);
    assert_eq!(
        xpress::plain(&abc),
        b"\xff\xff\xff\x1fabc\x17\x00\x0f\xff\x26\x01"
    );
    let huffman = xpress::huffman(&abc);
    assert_eq!(huffman.len(), 263);
}
