//! Files that become shorter while they are open or being opened: what is gone is a fault or an error,
//! what is read is what was there, and nothing kills the process. Each file is read in a process of its
//! own, which a signal would end.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "small files made here; a test fails by panicking"
)]

mod made;

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use made::battle::exercise;
use made::wrapped::{bzip2, gzip, lz4, lzop, tar, xz, zlib, zstd};
use made::{Load, Made, PAGE, be64, elf, folder, name};
use osier_memory::{Cause, PAGE_BYTES, PhysAddr};
use osier_snapshot::{OpenOptions, Snapshot, open};
use osier_testkit::containers::crash::{CrashDump, CrashKind, TriageDump};
use osier_testkit::containers::hiber::{HiberFile, HiberForm};
use osier_testkit::containers::kdump::{Kdump, SNAPPY, ZLIB, flattened};
use osier_testkit::containers::lime::{avml, lime};
use osier_testkit::containers::qcow2::{Shape, Snapshot as Internal, image};
use osier_testkit::containers::vmware::{state, word};
use osier_testkit::containers::{packing, vbox, xen};
use osier_testkit::{MemoryBuilder, Random};

/// Pages of memory in most of the files.
const PAGES: usize = 64;
/// Files by their names.
type Files = Vec<(&'static str, Vec<u8>)>;
/// Says which file the process reads.
const FILE: &str = "OSIER_VANISHING";

/// Noise, so that no compression makes it small; one page of it is zeros.
fn memory() -> Vec<u8> {
    let mut random = Random::new(3);
    let mut bytes: Vec<u8> = (0..PAGES * PAGE).map(|_| random.bits() as u8).collect();
    bytes[5 * PAGE..6 * PAGE].fill(0);
    bytes
}

fn pages() -> MemoryBuilder {
    let mut memory = MemoryBuilder::default();
    for (page, bytes) in (1..).zip(self::memory().chunks(PAGE)) {
        memory.write_bytes(PhysAddr(page * PAGE_BYTES), bytes);
    }
    memory
}

/// A stream of raw pages, pages of fill, compressed ones and deltas.
fn stream() -> Vec<u8> {
    let made = Made::default();
    let mut out = made.head(&[("pc.ram", (PAGES * PAGE) as u64)]);
    made.part(&mut out, 2, |out| {
        for (number, page) in (0_u64..).zip(memory().chunks(PAGE)) {
            let place = number * PAGE_BYTES;
            let go_on = if number == 0 { 0 } else { 0x20 };
            let deflated = packing::zlib(page);
            let small = number % 3 == 1 && deflated.len() <= 2 * PAGE;
            be64(out, place | go_on | if small { 0x100 } else { 0x08 });
            if number == 0 {
                name(out, "pc.ram");
            }
            if small {
                out.extend((deflated.len() as u32).to_be_bytes());
                out.extend(deflated);
            } else {
                out.extend(page);
            }
            if number % 7 == 2 {
                be64(out, place | 0x60);
                out.push(1);
                out.extend(4_u16.to_be_bytes());
                out.extend([10, 1, 7, 0][..3].iter().chain(&[0]));
            }
        }
    });
    made.part(&mut out, 3, |_| {});
    made.tail(&mut out);
    out
}

fn kdump(packing: Option<osier_testkit::containers::kdump::Packing>) -> Vec<u8> {
    let mut dump = Kdump {
        frames: 500,
        packing,
        vmcoreinfo: b"OSRELEASE=5.10.0\n".to_vec(),
        ..Kdump::default()
    };
    for (frame, page) in (3..).zip(memory().chunks(PAGE)) {
        let mut page = page.to_vec();
        if frame % 2 == 0 {
            page[100..4000].fill(frame as u8);
        }
        dump.pages.insert(frame, page);
    }
    dump.file()
}

fn crash(kind: CrashKind) -> Vec<u8> {
    let dump = CrashDump {
        kind,
        left_out: vec![3, 4],
        context: true,
        ..CrashDump::default()
    };
    dump.write(&pages())
}

fn hiber(form: HiberForm) -> Vec<u8> {
    let file = HiberFile {
        form,
        signature: *b"HIBR",
        huffman: false,
        cr3: 0x1a_d000,
    };
    file.write(&pages())
}

fn qcow2(scattered: bool) -> Vec<u8> {
    let stream = stream();
    let shape = Shape {
        version: 3,
        cluster_bits: 12,
        disk: 10 << 20,
        extended: false,
        scattered,
    };
    let only = Internal {
        id: "1",
        name: "only",
        state: &stream,
    };
    image(shape, &[only])
}

fn libvirt(packing: u32, state: &[u8]) -> Vec<u8> {
    let xml = b"<domain><name>made</name></domain>\0";
    let mut out = b"LibvirtQemudSave".to_vec();
    for word in [2, xml.len() as u32, 1, packing, 0] {
        out.extend(word.to_le_bytes());
    }
    out.resize(92, 0);
    out.extend(xml);
    out.extend(state);
    out
}

fn triage() -> Vec<u8> {
    let dump = TriageDump {
        wide: true,
        header: CrashDump::default(),
        blocks: (0..8)
            .map(|block| (0xffff_f800_9000_0000 + block * 0x1_0000, vec![1; 8192]))
            .collect(),
        stack: Some((0xffff_f800_b000_0ee8, vec![4; 0x118])),
        process: vec![5; 0x400],
        thread: vec![6; 0x200],
        debugger_data: vec![7; 0x380],
        drivers: vec![("ntoskrnl.exe".to_owned(), 0xffff_f800_1000_0000)],
        unloaded: Vec::new(),
    };
    dump.write()
}

/// Every container, as its files by name: the first is opened, each of them becomes shorter.
fn containers() -> Vec<(&'static str, Files)> {
    let memory = memory();
    let stream = stream();
    let ranges = vec![
        (0x1000, memory[..20 * PAGE].to_vec()),
        (0x10_0000, memory[20 * PAGE..].to_vec()),
    ];
    let load = |paddr: u64| Load {
        paddr,
        filesz: 20 * PAGE_BYTES,
        memsz: 20 * PAGE_BYTES,
        fill: 7,
    };
    let core = elf(true, 440, &[load(0x1000), load(0x100_0000)]);
    let numbered: Vec<(u64, Vec<u8>)> =
        (7..).zip(memory.chunks(PAGE).map(<[u8]>::to_vec)).collect();
    let regions = || {
        vec![
            word("regionsCount", &[], 1),
            word("regionPageNum", &[0], 0),
            word("regionPPN", &[0], 0),
            word("regionSize", &[0], PAGES as u32),
        ]
    };
    let mut rr = b"PANDA_RR".to_vec();
    rr.extend([0; 24]);
    rr.extend(xz(&tar(&[("a-rr-snp", &stream)]), 1 << 20));
    let recording = tar(&[("RRv2", b"2.9.1"), ("snapshot", &stream)]);
    let one = |name, bytes| (name, vec![("memory", bytes)]);
    // What needs no more of the file once it is open.
    let copied = |name, bytes| (name, vec![("copied", bytes)]);
    vec![
        one("raw", memory.clone()),
        one("core", core.clone()),
        one("core-of-virtualbox", vbox::core(0x1_0006, 2, &ranges)),
        one("core-of-xen", xen::core(true, 2, &numbered)),
        one("lime", lime(&ranges)),
        one("avml", avml(&ranges, 1 << 16)),
        one("kdump", kdump(None)),
        one("kdump-zlib", kdump(Some((ZLIB, packing::zlib)))),
        one(
            "kdump-flattened",
            flattened(&kdump(Some((SNAPPY, packing::snappy))), 3000),
        ),
        copied("core-flattened", flattened(&core, 3000)),
        one("crash-full", crash(CrashKind::Full)),
        one("crash-summary", crash(CrashKind::Summary)),
        one("crash-bitmap", crash(CrashKind::Bitmap(5))),
        one("crash-ranges", crash(CrashKind::Ranges(8))),
        one("crash-triage", triage()),
        one("hiber-xp", hiber(HiberForm::Xp32)),
        one("hiber-7", hiber(HiberForm::Win7x64)),
        one("hiber-10", hiber(HiberForm::Modern(true, 0x3e0))),
        one("stream", stream.clone()),
        one("qcow2", qcow2(false)),
        copied("qcow2-scattered", qcow2(true)),
        one("libvirt", libvirt(0, &stream)),
        copied("libvirt-gzip", libvirt(1, &gzip(&stream))),
        one("vmware-inside", {
            let mut tags = regions();
            let block = osier_testkit::containers::vmware::Value::Block(memory.clone());
            tags.push(("Memory", vec![0, 0], block));
            state(0xbed2_bed2, &[("memory", tags)])
        }),
        (
            "vmware-beside",
            vec![
                ("memory.vmem", memory.clone()),
                ("memory.vmss", state(0xbed2_bed2, &[("memory", regions())])),
            ],
        ),
        one("recording", recording.clone()),
        copied("recording-gzip", gzip(&recording)),
        copied("recording-old", rr),
        copied("gzip", gzip(&memory)),
        copied("gzip-core", gzip(&core)),
        copied("zlib", zlib(&lime(&ranges))),
        one("xz", xz(&memory, 1 << 16)),
        copied("xz-core", xz(&core, 1 << 16)),
        copied("zstd", zstd(&memory)),
        copied("zstd-core", zstd(&core)),
        one("lz4", lz4(&memory, true)),
        copied("lz4-core", lz4(&core, false)),
        copied("lzop", lzop(&memory)),
        copied("bzip2", bzip2(&memory)),
        one("tar", tar(&[("memory.raw", &memory)])),
    ]
}

/// The pages of `snapshot` by address, as far as they can be read.
fn read(snapshot: &Snapshot) -> Vec<(PhysAddr, Option<Vec<u8>>)> {
    let mut pages = Vec::new();
    for run in snapshot.machine.memory.runs() {
        let mut at = run.start;
        while at < run.end() {
            let end = at.page().plus(PAGE_BYTES).min(run.end());
            let mut bytes = vec![0; end.since(at) as usize];
            let read = snapshot.machine.memory.read(at, &mut bytes);
            pages.push((at, read.is_ok().then_some(bytes)));
            at = end;
        }
    }
    pages
}

/// What was read of a file that became shorter is what was there.
fn same(snapshot: &Snapshot, whole: &[(PhysAddr, Option<Vec<u8>>)]) -> usize {
    let mut gone = 0;
    for ((at, page), (_, before)) in read(snapshot).iter().zip(whole) {
        match page {
            Some(_) => assert!(page == before, "page at {at}"),
            None => gone += 1,
        }
    }
    for run in snapshot.machine.memory.runs() {
        let end = snapshot
            .machine
            .memory
            .sweep(*run, 3 * PAGE, &mut |at, window| {
                for (at, bytes) in (at.0..).step_by(PAGE).zip(window.chunks(PAGE)) {
                    let before = whole.iter().find(|(page, _)| page.0 == at);
                    let Some((_, Some(before))) = before.filter(|_| at % PAGE_BYTES == 0) else {
                        continue;
                    };
                    assert!(before.starts_with(bytes), "window at {at:#x}");
                }
                ControlFlow::Continue(())
            });
        assert!(end.is_continue());
    }
    gone
}

fn options(cache: Option<PathBuf>) -> OpenOptions {
    OpenOptions {
        index_dir: cache,
        ..OpenOptions::default()
    }
}

/// A copy of the files in `folder`, in a folder of its own.
fn copied(folder: &Path, to: &str, files: &[String]) -> PathBuf {
    let to = folder.join(to);
    fs::create_dir_all(&to).unwrap();
    for file in files {
        let _ = fs::remove_file(to.join(file));
        fs::copy(folder.join(file), to.join(file)).unwrap();
    }
    to
}

/// Opens and cuts the `files` of `folder`.
fn one_container(folder: &Path, files: &[String]) {
    let place = copied(folder, "whole", files);
    let whole = open(&place.join(&files[0]), &options(None)).unwrap();
    let held = read(&whole);
    drop(whole);
    assert!(held.iter().any(|(_, page)| page.is_some()), "it is read");
    for (cut, cache) in files.iter().flat_map(|file| [(file, false), (file, true)]) {
        for part in [0, 1, 5, 9] {
            let place = copied(folder, "open", files);
            let cache = cache.then(|| folder.join("cache"));
            // With an index that was kept by the opening before.
            for _ in 0..2 {
                let snapshot = open(&place.join(&files[0]), &options(cache.clone())).unwrap();
                let file = File::options().write(true).open(place.join(cut)).unwrap();
                let len = file.metadata().unwrap().len();
                file.set_len(len * part / 10).unwrap();
                let gone = same(&snapshot, &held);
                assert!(gone > 0 || part > 0 || cut != "memory");
                exercise(&snapshot);
                fs::write(place.join(cut), fs::read(folder.join(cut)).unwrap()).unwrap();
            }
        }
    }
    while_it_is_opened(folder, files);
}

/// Another thread cuts the files and makes them whole, time and again, while they are opened.
fn while_it_is_opened(folder: &Path, files: &[String]) {
    let place = copied(folder, "changing", files);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(11);
            while !done.load(Ordering::Relaxed) {
                for name in files {
                    let whole = fs::read(folder.join(name)).unwrap();
                    let file = File::options().write(true).open(place.join(name)).unwrap();
                    let len = random.below(whole.len() as u64 + 1);
                    file.set_len(len / 3 * random.below(2)).unwrap();
                    thread::yield_now();
                    fs::write(place.join(name), &whole).unwrap();
                }
            }
        });
        for round in 0..40 {
            let cache = (round % 2 == 0).then(|| folder.join("cache"));
            match open(&place.join(&files[0]), &options(cache)) {
                Ok(snapshot) => exercise(&snapshot),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// A file that ends in the midst of a page, where the page stands in it as it is: what is left is read,
/// and the fault of any other byte names that byte's place.
#[test]
fn the_very_byte_that_is_gone_is_named() {
    let plain = [
        "raw",
        "lime",
        "crash-full",
        "crash-bitmap",
        "crash-ranges",
        "stream",
        "vmware-beside",
    ];
    let all = containers().into_iter();
    for (name, files) in all.filter(|(name, _)| plain.contains(name)) {
        let folder = folder(&format!("byte-{name}"));
        for (file, bytes) in &files {
            fs::write(folder.join(file), bytes).unwrap();
        }
        let (file, bytes) = &files[0];
        let path = folder.join(file);
        let whole = read(&open(&path, &options(None)).unwrap());
        let mut tried = 0;
        // Of a stream, some pages are sent compressed, and some a second time.
        let number = |pa: &PhysAddr| pa.0 / PAGE_BYTES;
        let sent_so = |pa: &PhysAddr| number(pa) % 3 != 1 && number(pa) % 7 != 2;
        for (pa, page) in whole {
            let page = page.filter(|page| page.len() == PAGE && page.iter().any(|byte| *byte != 0));
            let Some(page) = page.filter(|_| name != "stream" || sent_so(&pa)) else {
                continue;
            };
            let mut places = bytes.windows(PAGE).enumerate().skip(1);
            let Some((at, _)) = places.find(|(_, window)| *window == page) else {
                continue;
            };
            let cut = File::options().write(true).open(&path).unwrap();
            for held in [0x100, 0] {
                fs::write(&path, bytes).unwrap();
                let snapshot = open(&path, &options(None)).unwrap();
                cut.set_len((at + held) as u64).unwrap();
                for inside in [0_u64, 0xc0, 0x100, 0x234] {
                    let chunk = snapshot.machine.memory.chunk(pa.plus(inside));
                    let what = format!("{name}: byte {inside:#x} of {held:#x}, page at {pa}");
                    match chunk {
                        Ok(chunk) => assert_eq!(chunk[..], page[inside as usize..held], "{what}"),
                        Err(fault) => {
                            assert!(inside >= held as u64, "{what}: {fault:?}");
                            let offset = at as u64 + inside;
                            assert_eq!(fault.cause, Cause::FileShort { offset }, "{what}");
                        }
                    }
                }
            }
            tried += 1;
            if tried == 3 {
                break;
            }
        }
        assert!(tried > 0, "{name}");
        fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn in_a_process_of_its_own() {
    let Some(folder) = std::env::var_os(FILE) else {
        return; // the other test starts it
    };
    let folder = PathBuf::from(folder);
    let files = fs::read_to_string(folder.join("files")).unwrap();
    let files: Vec<String> = files.lines().map(str::to_owned).collect();
    one_container(&folder, &files);
}

#[test]
fn what_vanishes_from_a_file_is_a_fault_or_an_error() {
    let program = std::env::current_exe().unwrap();
    for (name, files) in containers() {
        let folder = folder(name);
        let mut names = String::new();
        for (file, bytes) in files {
            fs::write(folder.join(file), bytes).unwrap();
            names.push_str(file);
            names.push('\n');
        }
        fs::write(folder.join("files"), names).unwrap();
        let output = Command::new(&program)
            .args(["--exact", "in_a_process_of_its_own", "--nocapture"])
            .env(FILE, &folder)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{name}: {}\n{}",
            output.status,
            [output.stdout, output.stderr].concat().escape_ascii()
        );
        fs::remove_dir_all(folder).unwrap();
    }
}
