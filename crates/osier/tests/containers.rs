//! One memory in every container: the same rows come out of each, and every page is equal or said
//! to be missing. The containers are written by osier-testkit, which shares no code with the
//! readers; the memory is that of a golden snapshot of each width.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use osier::ask::{Question, ask};
use osier::format::json_row;
use osier::osier_memory::{Cause, PhysAddr, PhysicalMemory};
use osier::{Guest, Options, open_snapshot};
use osier_testkit::containers::crash::{CrashDump, CrashKind};
use osier_testkit::containers::hiber::{HiberFile, HiberForm};
use osier_testkit::containers::kdump::{self, Kdump, Packing};
use osier_testkit::containers::vmware::{self, Value, word};
use osier_testkit::containers::{lime, packing, vbox, xen};

const PAGE: usize = 4096;
const QUESTIONS: [Question; 4] = [
    Question::Processes,
    Question::Threads,
    Question::Modules,
    Question::Mappings,
];

/// A golden snapshot, and what it answers by memory alone.
struct Golden {
    memory: std::sync::Arc<dyn PhysicalMemory>,
    options: Options,
    rows: Vec<Vec<String>>,
    dir: PathBuf,
}

impl Golden {
    fn of(name: &str) -> Self {
        let path = osier_testkit::data::workspace().join(format!("snapshots/{name}.elf"));
        let whole = open_snapshot(&path, &Options::default()).unwrap();
        // What holds no processors, or another machine's, is read by the kernel's own table.
        let located = Guest::open(&path, &Options::default()).unwrap();
        let options = Options {
            table_root: Some(located.located().root()),
            ..Options::default()
        };
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("containers-{name}"));
        fs::create_dir_all(&dir).unwrap();
        let mut golden = Self {
            memory: whole.machine.memory,
            options,
            rows: Vec::new(),
            dir,
        };
        let bare = golden.write("bare.lime", &lime::lime(&golden.ranges()));
        golden.rows = golden.answers(&bare);
        assert!(golden.rows.iter().all(|rows| rows.len() > 1));
        golden
    }

    fn ranges(&self) -> Vec<(u64, Vec<u8>)> {
        let runs = self.memory.runs().iter();
        runs.map(|run| {
            let mut bytes = vec![0; run.len as usize];
            self.memory.read(run.start, &mut bytes).unwrap();
            (run.start.0, bytes)
        })
        .collect()
    }

    fn pages(&self) -> Vec<(u64, Vec<u8>)> {
        let page = |(start, bytes): (u64, Vec<u8>)| {
            let numbers = start / PAGE as u64..;
            let pages = bytes.chunks(PAGE).map(<[u8]>::to_vec);
            numbers.zip(pages.collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        self.ranges().into_iter().flat_map(page).collect()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn answers(&self, path: &Path) -> Vec<Vec<String>> {
        let guest = Guest::open(path, &self.options)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let answer = |question| {
            let mut rows = Vec::new();
            // How a walk ended depends on processors too, which containers keep or do not.
            let _ends = ask(&*guest.provider(), question, &mut |row| {
                let mut text = String::new();
                json_row(row, &mut text);
                rows.push(same_words(&text));
                ControlFlow::Continue(())
            });
            rows
        };
        QUESTIONS.into_iter().map(answer).collect()
    }

    /// Holds the file to the memory page by page.
    fn check_pages(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.write(name, bytes);
        let opened = open_snapshot(&path, &Options::default());
        let opened = opened.unwrap_or_else(|error| panic!("{name}: {error}"));
        let memory = &opened.machine.memory;
        for (number, page) in self.pages() {
            let pa = PhysAddr(number * PAGE as u64);
            let mut had = [0; PAGE];
            match memory.read(pa, &mut had) {
                Ok(()) => assert!(had[..] == page, "{name}: the page at {pa} differs"),
                Err(fault) => assert!(
                    matches!(fault.cause, Cause::Excluded { .. }) && page.iter().all(|b| *b == 0),
                    "{name}: {fault}"
                ),
            }
        }
        let had: usize = memory.runs().iter().map(|run| run.len as usize).sum();
        let held: usize = self.ranges().iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(had <= held, "{name}: {had} bytes were made of {held}");
        path
    }

    /// As [`check_pages`](Self::check_pages), then to its answers.
    fn check(&self, name: &str, bytes: &[u8]) {
        let path = self.check_pages(name, bytes);
        for (question, (rows, expected)) in QUESTIONS
            .iter()
            .zip(self.answers(&path).iter().zip(&self.rows))
        {
            let differs = rows.iter().zip(expected).find(|(a, b)| a != b);
            assert_eq!(differs, None, "{name}: {}", question.word());
            assert_eq!(rows.len(), expected.len(), "{name}: {}", question.word());
        }
    }

    fn kdump(&self, wide: bool, packing: Option<Packing>) -> Vec<u8> {
        let pages = self.pages();
        Kdump {
            wide,
            machine: if wide { "x86_64" } else { "i686" },
            frames: pages.last().unwrap().0 + 1,
            pages: pages.into_iter().collect(),
            packing,
            ..Kdump::default()
        }
        .file()
    }

    /// VMware's state file with the memory in it, a region for each run.
    fn vmware(&self) -> Vec<u8> {
        let ranges = self.ranges();
        let mut tags = vec![
            word("align_mask", &[], 0xfff),
            word("regionsCount", &[], ranges.len() as u32),
        ];
        let mut memory = Vec::new();
        for (index, (start, bytes)) in (0..).zip(&ranges) {
            let pages = |bytes: usize| (bytes / PAGE) as u32;
            tags.push(word("regionPageNum", &[index], pages(memory.len())));
            tags.push(word("regionPPN", &[index], pages(*start as usize)));
            tags.push(word("regionSize", &[index], pages(bytes.len())));
            memory.extend(bytes);
        }
        tags.push(("Memory", vec![0, 0], Value::Block(memory)));
        vmware::state(0xbed2_bed2, &[("memory", tags)])
    }

    fn hibernated(&self, form: HiberForm, huffman: bool) -> Vec<u8> {
        HiberFile {
            form,
            signature: *b"HIBR",
            huffman,
            cr3: 0x1a_d000,
        }
        .write(&*self.memory)
    }

    fn crashed(&self, wide: bool, kind: CrashKind) -> Vec<u8> {
        CrashDump {
            wide,
            kind,
            ..CrashDump::default()
        }
        .write(&*self.memory)
    }
}

/// Containers differ in what they know of memory that they do not hold.
fn same_words(row: &str) -> String {
    row.replace("\"excluded\"", "\"not-captured\"")
        .replace("\"no-ram\"", "\"not-captured\"")
}

fn check(name: &str, wide: bool) {
    let golden = Golden::of(name);
    golden.check("memory.avml", &lime::avml(&golden.ranges(), 1 << 16));
    for (word, packing) in [
        ("stored", None),
        ("zlib", Some((kdump::ZLIB, packing::zlib as _))),
        ("lzo", Some((kdump::LZO, packing::lzo as _))),
        ("snappy", Some((kdump::SNAPPY, packing::snappy as _))),
        ("zstd", Some((kdump::ZSTD, packing::zstd as _))),
    ] {
        golden.check(&format!("{word}.kdump"), &golden.kdump(wide, packing));
    }
    let flattened = kdump::flattened(&golden.kdump(wide, None), 70_000);
    golden.check("flattened.kdump", &flattened);
    golden.check("vbox.elf", &vbox::core(0x1_0006, 1, &golden.ranges()));
    golden.check("memory.vmss", &golden.vmware());
    if wide {
        golden.check("xen.core", &xen::core(true, 1, &golden.pages()));
    }
    windows(&golden, wide);
    wrapped(&golden);
    fs::remove_dir_all(&golden.dir).unwrap();
}

/// Windows' own containers, in which no other kernel is looked for. A full dump's header has no room
/// for this many runs.
fn windows(golden: &Golden, wide: bool) {
    if wide {
        let bitmap = golden.crashed(wide, CrashKind::Bitmap(5));
        golden.check_pages("bitmap.dmp", &bitmap);
        let older = golden.hibernated(HiberForm::Win7x64, false);
        golden.check_pages("win7.hib", &older);
        let modern = golden.hibernated(HiberForm::Modern(true, 0x448), true);
        golden.check_pages("win10.hib", &modern);
    } else {
        let summary = golden.crashed(wide, CrashKind::Summary);
        golden.check_pages("summary.dmp", &summary);
        let older = golden.hibernated(HiberForm::Win7x32, false);
        golden.check_pages("win7.hib", &older);
    }
}

/// The same inside compressed files.
fn wrapped(golden: &Golden) {
    let bare = lime::lime(&golden.ranges());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bare).unwrap();
    golden.check("memory.lime.gz", &gzip.finish().unwrap());
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let zstd = ruzstd::encoding::compress_to_vec(bare.as_slice(), level);
    golden.check("memory.lime.zst", &zstd);
}

#[test]
fn a_64_bit_machine_reads_the_same_out_of_every_container() {
    check("deb12-6.1-amd64", true);
}

#[test]
fn a_32_bit_machine_reads_the_same_out_of_every_container() {
    check("deb11-5.10-686-pae", false);
}
