//! Writes the small inputs that fuzzing starts from, one folder for each target:
//!
//! ```text
//! cargo run --manifest-path fuzz/Cargo.toml --example seeds
//! ```
//!
//! BTF, DWARF and PDB are not made here but by compilers, from `seeds/kernel.c`; see
//! `fuzz/README.md`.

use std::fs;
use std::io::Write;
use std::path::Path;

use osier_memory::{Paging, PhysAddr, VirtAddr};
use osier_profile::{Identity, Kind, Member, OsKind, ProfileBuilder, Type, TypeKind};
use osier_testkit::containers::crash::{CrashDump, CrashKind, TriageDump};
use osier_testkit::containers::hiber::{HiberFile, HiberForm};
use osier_testkit::containers::kdump::{self, Kdump, Packing};
use osier_testkit::containers::vmware::{self, long, word};
use osier_testkit::containers::{lime, packing, qcow2, vbox};
use osier_testkit::{MemoryBuilder, Rights, TableBuilder};

fn main() {
    let ranges = [(0, vec![1; 0x1000]), (0x10_0000, vec![2; 0x2000])];
    put("lime", "v1", &lime::lime(&ranges));
    put("avml", "v2", &lime::avml(&ranges, 0x1000));
    put("elf_core", "vbox", &vbox::core(0x0001_0006, 1, &ranges));
    kdumps();
    machines();
    crash_dumps();
    hibernation();
    compressed();
    page_tables();
    profiles();
    guests();
}

/// Words to write into guests, and pages that they lack: numbers of a fixed series.
fn guests() {
    let mut state = 1_u32;
    let mut series = |bytes: usize| -> Vec<u8> {
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        std::iter::repeat_with(next).take(bytes).collect()
    };
    for target in ["linux_guest", "windows_guest"] {
        for patches in [4_u8, 16, 31] {
            let mut bytes = vec![patches];
            bytes.extend(series(usize::from(patches) * 14 + 64));
            put(target, &format!("patches-{patches}"), &bytes);
        }
    }
}

/// Writes a seed of `target`.
fn put(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    fs::create_dir_all(&folder).expect("a folder for the seeds");
    fs::write(folder.join(name), bytes).expect("a seed");
}

fn memory() -> MemoryBuilder {
    let mut memory = MemoryBuilder::new(PhysAddr(0x1000));
    for page in 1..4 {
        memory.write_bytes(PhysAddr(page << 12), &[page as u8; 64]);
    }
    memory
}

fn kdumps() {
    let packings: [(&str, Option<Packing>); 5] = [
        ("stored", None),
        ("zlib", Some((kdump::ZLIB, packing::zlib))),
        ("lzo", Some((kdump::LZO, packing::lzo))),
        ("snappy", Some((kdump::SNAPPY, packing::snappy))),
        ("zstd", Some((kdump::ZSTD, packing::zstd))),
    ];
    for (name, packing) in packings {
        let dump = Kdump {
            frames: 16,
            pages: [(1, vec![1; 4096]), (5, vec![0; 4096])].into(),
            excluded: vec![2],
            packing,
            vmcoreinfo: b"OSRELEASE=6.1.0\n".to_vec(),
            ..Kdump::default()
        };
        put("kdump", name, &dump.file());
        if name == "zlib" {
            put(
                "kdump_flattened",
                name,
                &kdump::flattened(&dump.file(), 4096),
            );
        }
    }
}

fn machines() {
    let tags = vec![word("align_mask", &[], 0xfff), word("regionsCount", &[], 0)];
    let cpu = vec![word("cpu:numVCPUs", &[], 1), long("rip", &[0], 0x1000)];
    let groups = [("memory", tags), ("cpu", cpu)];
    put("vmware", "state", &vmware::state(0xbed2_bed2, &groups));
    let shape = qcow2::Shape {
        version: 3,
        cluster_bits: 9,
        disk: 4096,
        extended: false,
        scattered: true,
    };
    let snapshot = qcow2::Snapshot {
        id: "1",
        name: "before",
        state: b"QEVM\0\0\0\x03\x07\0\0\0\x02pc",
    };
    put("qcow2", "one", &qcow2::image(shape, &[snapshot]));
}

fn hibernation() {
    let forms = [
        ("xp-32", HiberForm::Xp32),
        ("win7-64", HiberForm::Win7x64),
        ("modern-64", HiberForm::Modern(true, 0x448)),
    ];
    for (name, form) in forms {
        let file = HiberFile {
            form,
            signature: *b"HIBR",
            huffman: name == "modern-64",
            cr3: 0x1a_d000,
        };
        put("hibernation", name, &file.write(&memory()));
    }
}

fn crash_dumps() {
    let kinds = [
        ("full", CrashKind::Full),
        ("bitmap", CrashKind::Bitmap(5)),
        ("ranges", CrashKind::Ranges(8)),
    ];
    for (name, kind) in kinds {
        let dump = CrashDump {
            kind,
            ..CrashDump::default()
        };
        put("crash_dump_64", name, &dump.write(&memory()));
    }
    for (name, kind) in [("full", CrashKind::Full), ("summary", CrashKind::Summary)] {
        let dump = CrashDump {
            wide: false,
            pae: true,
            kind,
            ..CrashDump::default()
        };
        put("crash_dump_32", name, &dump.write(&memory()));
    }
    let triage = TriageDump {
        wide: true,
        header: CrashDump::default(),
        blocks: vec![(0xffff_f800_0010_0000, vec![3; 96])],
        stack: Some((0xffff_f800_0020_0000, vec![4; 64])),
        process: vec![5; 128],
        thread: vec![6; 128],
        debugger_data: vec![7; 64],
        drivers: vec![("ntoskrnl.exe".to_owned(), 0xffff_f800_0000_0000)],
        unloaded: vec![("dump_disk.sys".to_owned(), 0x1000, 0x2000)],
    };
    put("crash_dump_64", "triage", &triage.write());
}

fn compressed() {
    let mut page = vec![0; 0x3000];
    page[..64].fill(9);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&page).expect("memory");
    put("gzip", "raw", &gzip.finish().expect("memory"));
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(&page).expect("memory");
    put("zlib", "raw", &zlib.finish().expect("memory"));
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
    xz.write_all(&page).expect("memory");
    put("xz", "raw", &xz.finish().expect("memory"));
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    bzip2.write_all(&page).expect("memory");
    put("bzip2", "raw", &bzip2.finish().expect("memory"));
    let info = lz4_flex::frame::FrameInfo::new().content_size(Some(page.len() as u64));
    let mut lz4 = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    lz4.write_all(&page).expect("memory");
    put("lz4", "raw", &lz4.finish().expect("memory"));
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let zstd = ruzstd::encoding::compress_to_vec(page.as_slice(), level);
    put("zstd", "raw", &zstd);
}

/// The form of [`osier_fuzz::page_tables`]: mode, page of the root, then memory from 0 on.
fn page_tables() {
    let modes = [
        (0, Paging::LegacyNoPse),
        (1, Paging::Legacy),
        (2, Paging::Pae),
        (3, Paging::Long4),
        (4, Paging::Long5),
    ];
    for (number, mode) in modes {
        let mut memory = MemoryBuilder::new(PhysAddr(0x1000));
        let tables = TableBuilder::new(mode, &mut memory);
        tables.map_run(
            &mut memory,
            VirtAddr(0x40_0000),
            PhysAddr(0),
            3,
            Rights::USER,
        );
        let root = tables.root();
        let mut seed = vec![number, (root.0 >> 12) as u8];
        for page in 0..8 {
            let mut bytes = [0; 0x1000];
            // A page that does not exist is one of zeros here.
            let _ = osier_memory::PhysicalMemory::read(&memory, PhysAddr(page << 12), &mut bytes);
            seed.extend(bytes);
        }
        put("page_tables", mode.name(), &seed);
    }
}

fn profiles() {
    let mut builder = ProfileBuilder::new(Identity {
        os: OsKind::Linux,
        pointer_bytes: 8,
        build_id: None,
        banner: b"Linux version 6.1.0".to_vec(),
        release: "6.1.0".to_owned(),
    });
    builder.provenance("written by hand");
    builder.add_symbol("init_task", 0xffff_ffff_8200_0000);
    builder.add_constant("TASK_COMM_LEN", 16);
    let member = |name: &str, offset, bytes| Member {
        name: name.to_owned(),
        offset,
        bytes,
        bits: None,
        kind: Kind::Int { signed: true },
    };
    let members = vec![member("pid", 0, 4), member("tgid", 4, 4)];
    builder.add_type(Type::new(
        "task_struct".to_owned(),
        TypeKind::Struct,
        8,
        members,
    ));
    let profile = builder.build();
    put("profile", "small.osp", &profile.to_bytes(0));
    put(
        "isf",
        "small.json",
        osier_symbols::export_isf(&profile).as_bytes(),
    );
}
