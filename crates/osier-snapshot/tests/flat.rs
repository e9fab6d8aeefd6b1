//! Raw dumps, ELF cores, register files and archives made for the test.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "small files made here; a test fails by panicking"
)]

mod made;

use std::io::Write;

use made::{Load, Made, PAGE, RAM_PAGES, elf, filler, folder, opened, try_open};
use osier_memory::{Cause, Filter, Hint, PhysAddr};
use osier_snapshot::{Format, OpenError, OpenOptions, open};

const MIB: usize = 1 << 20;

#[test]
fn raw_offsets_are_physical_addresses() {
    let mut bytes = vec![1; PAGE];
    bytes.extend([2; PAGE]);
    let snapshot = opened(&bytes);
    assert_eq!(snapshot.info.format, Format::Raw);
    assert_eq!(filler(&snapshot, PAGE as u64), 2);
    let cause = snapshot
        .machine
        .memory
        .chunk(PhysAddr(0x2000))
        .unwrap_err()
        .cause;
    assert_eq!(cause, Cause::NoRam);
    let options = OpenOptions {
        ram_split: Some(PAGE as u64),
        ..OpenOptions::default()
    };
    let snapshot = try_open(&bytes, &options).unwrap();
    assert_eq!(snapshot.info.format, Format::PcRam);
    assert_eq!(filler(&snapshot, 1 << 32), 2);
    assert_eq!(snapshot.ram_crc32(), Ok(Some(crc32fast::hash(&bytes))));
}

#[test]
fn what_cannot_be_memory_is_said() {
    let error = |bytes: &[u8]| try_open(bytes, &OpenOptions::default()).err().unwrap();
    assert!(error(b"").to_string().contains("empty"));
    assert!(
        error(b"hello,\0world\n")
            .to_string()
            .contains("no known format")
    );
    let magics: &[&[u8]] = &[b"USERDUMP", b"MDMP", b"7z\xbc\xaf\x27\x1c"];
    for magic in magics {
        let mut bytes = magic.to_vec();
        bytes.resize(2 * MIB, 0);
        assert!(
            matches!(error(&bytes), OpenError::Unsupported { .. }),
            "{magic:?}"
        );
    }
    let folder = folder("none");
    let none = open(&folder, &OpenOptions::default()).err().unwrap();
    assert!(none.to_string().contains("without a recording"), "{none}");
    assert!(open(&folder.join("absent"), &OpenOptions::default()).is_err());
}

#[test]
fn cores_are_read_by_physical_address() {
    let page = PAGE as u64;
    let load = |paddr, filesz, memsz, fill| Load {
        paddr,
        filesz,
        memsz,
        fill,
    };
    // The second overlaps the first's end; the third holds less than it describes.
    let loads = [
        load(0x2000, 2 * page, 2 * page, 1),
        load(0x3000, 2 * page, 2 * page, 2),
        load(0x8000, page, 3 * page, 3),
    ];
    for wide in [true, false] {
        for bytes in [432, 440] {
            let file = elf(wide, bytes, &loads);
            let snapshot = opened(&file);
            assert_eq!(snapshot.info.format, Format::ElfCore);
            let memory = &snapshot.machine.memory;
            let runs: Vec<_> = memory.runs().iter().map(|r| (r.start.0, r.len)).collect();
            assert_eq!(runs, [(0x2000, 3 * page), (0x8000, page)]);
            assert_eq!(filler(&snapshot, 0x3000), 1);
            assert_eq!(filler(&snapshot, 0x4000), 2);
            let cause = |pa| memory.chunk(PhysAddr(pa)).unwrap_err().cause;
            assert_eq!(cause(0x7fff), Cause::NotCaptured);
            for pa in [0x9000, 0xafff] {
                let filter = Filter::DumpLevel;
                assert_eq!(cause(pa), Cause::Excluded { filter }); // p_memsz beyond p_filesz
            }
            assert_eq!(cause(0xb000), Cause::NotCaptured);
            let mut swept = Vec::new();
            let end = memory.sweep(memory.runs()[0], MIB, &mut |_, bytes| {
                swept.push(bytes.len());
                std::ops::ControlFlow::Continue(())
            });
            assert!(end.is_continue());
            assert_eq!(swept, [3 * PAGE]); // one window over neighbouring segments
            let [first, second] = snapshot.machine.cpus.as_slice() else {
                panic!("two processors");
            };
            // The note's order is RAX RBX RCX RDX RSI RDI RSP RBP.
            assert_eq!(
                first.general.unwrap()[..8],
                [0x100, 0x102, 0x103, 0x101, 0x106, 0x107, 0x104, 0x105]
            );
            assert_eq!((first.rip, first.rflags), (0x110, Some(0x111)));
            assert_eq!((second.index, second.rip), (1, 0x111));
            assert_eq!(first.segments.gs.base, Some(0x4000));
            assert_eq!(first.segments.idt.base, Some(0x9000));
            assert_eq!(
                (first.cr3, first.cr4, first.cpl),
                (0x3000, Some(0x6f0), Some(3))
            );
            assert_eq!(first.long_mode, Some(wide));
            assert_eq!(first.kernel_gs_base, (bytes == 440).then_some(0x9999));
            let hint = Hint::Vmcoreinfo(b"OSRELEASE=6.1\n".to_vec());
            assert_eq!(snapshot.machine.hints, [hint]);
            // Cut inside the last segment: its bytes are missing, and known to be.
            let cut = opened(&file[..file.len() - 100]);
            let at = PhysAddr(0x8000 + page - 50);
            assert!(matches!(
                cut.machine.memory.chunk(at).unwrap_err().cause,
                Cause::FileShort { .. }
            ));
            assert!(
                cut.info
                    .anomalies
                    .iter()
                    .any(|a| a.text.contains("cut short"))
            );
        }
    }
}

const WIDE: &str = "\
CPU#0
RAX=0000000000000001 RBX=0000000000000002 RCX=0000000000000003 RDX=0000000000000004
RSI=0000000000000005 RDI=0000000000000006 RBP=0000000000000007 RSP=0000000000000008
R8 =0000000000000009 R9 =000000000000000a R10=000000000000000b R11=000000000000000c
R12=000000000000000d R13=000000000000000e R14=000000000000000f R15=0000000000000010
RIP=ffffffff81000000 RFL=00000246 [---Z-P-] CPL=3 II=0 A20=1 SMM=0 HLT=1
ES =0000 0000000000000000 00000000 00000000
CS =0033 0000000000000000 ffffffff 00affb00 DPL=3 CS64 [-RA]
SS =002b 0000000000000000 ffffffff 00cff300 DPL=3 DS   [-WA]
DS =0000 0000000000000000 00000000 00000000
FS =0000 00007f0000000000 00000000 00000000
GS =0000 0000000000000000 00000000 00000000
LDT=0000 0000000000000000 00000000 00008200 DPL=0 LDT
TR =0040 fffffe0000003000 00004087 00008900 DPL=0 TSS64-avl
GDT=     fffffe0000001000 0000007f
IDT=     fffffe0000000000 00000fff
CR0=80050033 CR2=00000000004ae6d8 CR3=00000000061f8000 CR4=000006f0
DR0=0000000000000000 DR1=0000000000000000 DR2=0000000000000000 DR3=0000000000000000
EFER=0000000000000d01
FCW=037f FSW=0000 [ST=0] FTW=00 MXCSR=00001f80
";

const NARROW: &str = "\
EAX=00000001 EBX=00000002 ECX=00000003 EDX=00000004
ESI=00000005 EDI=00000006 EBP=00000007 ESP=00000008
EIP=c1000000 EFL=00000246 [---Z-P-] CPL=0 II=0 A20=0 SMM=0 HLT=0
ES =007b 00000000 ffffffff 00cff300 DPL=3 DS   [-WA]
CS =0060 00000000 ffffffff 00cf9a00 DPL=0 CS32 [-R-]
SS =0068 00000000 ffffffff 00cf9300 DPL=0 DS   [-WA]
DS =007b 00000000 ffffffff 00cff300 DPL=3 DS   [-WA]
FS =00d8 01cfb000 ffffffff 00cf9300 DPL=0 DS   [-WA]
GS =0033 00000000 ffffffff 00dff300 DPL=3 DS   [-WA]
LDT=0000 00000000 00000000 00008200 DPL=0 LDT
TR =0080 ff406000 0000407b 00008900 DPL=0 TSS32-avl
GDT=     ff401000 000000ff
IDT=     ff400000 000007ff
CR0=80050033 CR2=080f2e1c CR3=02d5f000 CR4=00000690
EFER=0000000000000000
";

#[test]
fn registers_beside_a_dump_are_read() {
    let folder = folder("registers");
    let dump = folder.join("dump");
    std::fs::write(&dump, vec![0; PAGE]).unwrap();
    let with = |text: &str| {
        let file = folder.join("registers");
        std::fs::write(&file, text).unwrap();
        let options = OpenOptions {
            registers: Some(file),
            ..OpenOptions::default()
        };
        open(&dump, &options).map(|snapshot| snapshot.machine.cpus)
    };
    let cpus = with(&format!("{WIDE}\n{WIDE}CPU#1\n{NARROW}")).unwrap();
    let [wide, narrow] = cpus.as_slice() else {
        panic!("two processors");
    };
    let all: [u64; 16] = [1, 3, 4, 2, 8, 7, 5, 6, 9, 10, 11, 12, 13, 14, 15, 16];
    assert_eq!(wide.general, Some(all));
    assert_eq!(
        (wide.rip, wide.rflags, wide.cpl),
        (0xffff_ffff_8100_0000, Some(0x246), Some(3))
    );
    assert_eq!(wide.segments.fs.base, Some(0x7f00_0000_0000));
    assert_eq!(wide.segments.gdt.limit, Some(0x7f));
    assert_eq!(wide.segments.cs.flags, Some(0x00af_fb00));
    assert_eq!(
        (wide.cr3, wide.efer, wide.long_mode),
        (0x61f_8000, Some(0xd01), Some(true))
    );
    assert_eq!((narrow.index, narrow.general.unwrap()[4]), (1, 8));
    assert_eq!(narrow.segments.fs.base, Some(0x1cf_b000));
    assert_eq!(narrow.a20_mask, !(1 << 20));
    assert_eq!(narrow.long_mode, Some(false));
    // One processor without a CPU# line.
    assert_eq!(with(NARROW).unwrap().len(), 1);
    for bad in [
        "",
        "hello\n",
        "CPU#x\n",
        &WIDE[..700],
        &WIDE.replace("CR3=", "CX3="),
    ] {
        let error = with(bad).err().unwrap();
        assert!(matches!(error, OpenError::Registers { .. }), "{error}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn recordings_are_found_and_archives_unpacked() {
    let stream = Made::default().stream();
    let log = 1_234_567_u64.to_le_bytes();
    let metadata = br#"{"profile": "linux-64-debian:5.10", "memory_size": 128}"#;
    let members: [(&str, &[u8]); 5] = [
        ("RRv2", b"Created with QEMU version 2.9.1!\n"),
        ("capture.cmd", b"panda -m 128"),
        ("snapshot", &stream),
        ("metadata.json", metadata),
        ("nondetlog", &log),
    ];
    let plain = tar(&members);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut rr = b"PANDA_RR".to_vec();
    rr.extend(log);
    rr.extend([0; 16]);
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&tar(&[("a-rr-snp", &stream), ("a-rr-nondet.log", &log)]))
        .unwrap();
    rr.extend(xz.finish().unwrap());

    let folder = folder("archives");
    let options = OpenOptions {
        index_dir: Some(folder.clone()),
        ..OpenOptions::default()
    };
    let checked = |bytes: &[u8], format: Format| {
        let snapshot = try_open(bytes, &options).unwrap();
        assert_eq!(snapshot.info.format, format);
        for page in 0..RAM_PAGES {
            assert_eq!(u64::from(filler(&snapshot, page * PAGE as u64)), page);
        }
        assert_eq!(snapshot.machine.cpus.len(), 2);
        let count = ("recorded instructions", "1234567".to_owned());
        assert!(
            snapshot.info.facts.contains(&count),
            "{:?}",
            snapshot.info.facts
        );
        snapshot.machine.hints
    };
    let os = Hint::OsName("linux-64-debian:5.10".to_owned());
    assert!(checked(&plain, Format::PandaRr2).contains(&os));
    assert!(checked(&gzip, Format::PandaRr2).contains(&os));
    checked(&rr, Format::PandaRr);
    if cfg!(unix) {
        let left = std::fs::read_dir(&folder).unwrap().count();
        assert_eq!(left, 0, "scratch files are gone");
    }
    let small = OpenOptions {
        scratch_limit: 1000,
        ..OpenOptions::default()
    };
    assert!(matches!(
        try_open(&gzip, &small),
        Err(OpenError::ScratchLimit { .. })
    ));
    for bytes in [&plain, &gzip, &rr] {
        for len in (0..bytes.len()).step_by(211) {
            let _ = try_open(&bytes[..len], &options);
        }
    }
    // An archive that ends in its snapshot is read as far as that goes.
    let inside = plain.windows(PAGE).position(|page| page == [2; PAGE]);
    let snapshot = try_open(&plain[..inside.unwrap() + PAGE], &options).unwrap();
    assert_eq!(filler(&snapshot, 2 * PAGE as u64), 2);
    let said: Vec<_> = snapshot.info.anomalies.iter().map(|a| &a.text).collect();
    assert!(said[0].contains("ends inside its snapshot"), "{said:?}");
    assert!(
        said.iter()
            .any(|said| said.contains("the stream is cut short"))
    );
    assert!(try_open(&tar(&[("a.txt", b"hello")]), &options).is_err());

    // Loose files: by name, by base name, by folder.
    std::fs::write(folder.join("a-rr-snp"), &stream).unwrap();
    std::fs::write(folder.join("a-rr-nondet.log"), log).unwrap();
    for path in [folder.join("a-rr-snp"), folder.join("a"), folder.clone()] {
        let snapshot = open(&path, &OpenOptions::default()).unwrap();
        let count = ("recorded instructions", "1234567".to_owned());
        assert!(snapshot.info.facts.contains(&count));
    }
    std::fs::write(folder.join("b-rr-snp"), &stream).unwrap();
    let error = open(&folder, &options).err().unwrap();
    assert!(error.to_string().contains("2 recordings"), "{error}");
    std::fs::remove_dir_all(folder).unwrap();
}
