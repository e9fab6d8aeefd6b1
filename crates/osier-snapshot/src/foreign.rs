//! Formats that are known by what they hold and not read here, so that none of them is taken for raw
//! memory: each with a name, and a way to something that is read.

use crate::look::Look;

/// Take a dump of another kind.
const DUMP: &str = "take the dump as raw, ELF (`dump-guest-memory`) or a migration stream";
const UNPACK: &str = "unpack it first";
const DISK: &str =
    "it is a disk, which holds no machine's memory: give the memory dump or saved state";
const NO_DUMP: &str = "give the memory dump";
const X86: &str = "only x86 machines are read";
const WINDOWS_DISK: &str = "convert it with `qemu-img convert -O raw` if it holds raw memory; a disk has \
     no machine's memory: give the saved state or dump";
const EVIDENCE: &str = "export the memory in it as raw, with `ewfexport -f raw` or FTK Imager";
const APPLE: &str =
    "convert it to raw with Volatility 2's `imagecopy`, or dump the machine again as raw or LiME";
const VIRTUALBOX: &str = "start the machine paused (`VBoxManage startvm NAME` with its state) and take an \
     ELF core with `VBoxManage debugvm NAME dumpvmcore --filename FILE`";
const XEN: &str =
    "restore it paused (`xl restore -p FILE`) and take an ELF core with `xl dump-core`";
const HYPER_V: &str =
    "convert the saved machine to a crash dump with Microsoft's vm2dmp or with LiveCloudKd";
const BESIDE: &str = "it holds no memory: give the file beside it that does";

/// Whether this way out is that of a file which is no dump of anything, such as a document.
pub(crate) fn is_no_dump(way_out: &str) -> bool {
    way_out.starts_with(NO_DUMP)
}

/// A mark: its place in the file, its bytes, the format's name and the way out.
type Mark = (usize, &'static [u8], &'static str, &'static str);

#[rustfmt::skip]
const MARKS: &[Mark] = &[
    // Dumps and saved machines.
    (0, b"LiME", "a LiME dump of a big-endian machine", X86),
    (0, b"USERDUMP", "a Windows crash dump of a process (32-bit)", DUMP),
    (0, b"USERDU64", "a Windows crash dump of a process (64-bit)", DUMP),
    (0, b"MDMP", "a Windows minidump of a process", DUMP),
    (0, b"\x7fVirtualBox SavedState", "a VirtualBox saved state", VIRTUALBOX),
    (0, b"Xen saved domain, xl format", "a Xen guest saved by xl", XEN),
    (0, b"\xff\xff\xff\xff\xff\xff\xff\xffXENF", "a Xen migration stream", XEN),
    (0, b"libvirt-xml\n \0 \r", "a Xen guest saved by libvirt", XEN),
    (0, b"LinuxGuestRecord", "a Xen guest saved by xm", XEN),
    (0, b"HPAK", "an HPAK dump of FastDump", "extract the memory in it with Volatility 2's `hpakextract`"),
    (0, b"VMA\0", "a Proxmox backup (VMA)", "`vma extract FILE DIR`, and give the `vmstate` in it"),
    (0, b"\0\0\x64\x86\x84\x19\x10\x07", "a Firecracker microVM's state", BESIDE),
    (0, b"\0\0\xaa\xaa\x84\x19\x10\x07", "a Firecracker microVM's state (ARM)", X86),
    (0, b"\x19\x43\x56\x54", "a CRIU image of processes", DUMP),
    (0, b"AFF10\r\n\0", "an AFF evidence file", "export the memory in it as raw, with `affconvert -r`"),
    (0, b"EVF\x09\x0d\x0a\xff\0", "an EnCase evidence file (E01)", EVIDENCE),
    (0, b"EVF2\r\n\x81\0", "an EnCase evidence file (Ex01)", EVIDENCE),
    (0, b"LVF\x09\x0d\x0a\xff\0", "an EnCase evidence file (L01)", EVIDENCE),
    (0, b"ADSEGMENTEDFILE", "an AccessData evidence file (AD1)", EVIDENCE),
    // Disks.
    (0, b"KDMV", "a VMware disk (VMDK)", "it is a disk: give the .vmem, .vmss or .vmsn beside it"),
    (0, b"COWD", "a VMware disk (VMDK)", "it is a disk: give the .vmem, .vmss or .vmsn beside it"),
    (0, b"# Disk DescriptorFile", "a VMware disk's description (VMDK)", "it is a disk: give the .vmem, .vmss or .vmsn beside it"),
    (0, b"vhdxfile", "a Hyper-V disk (VHDX)", WINDOWS_DISK),
    (0, b"conectix", "a Virtual PC disk (VHD)", WINDOWS_DISK),
    (64, b"\x7f\x10\xda\xbe", "a VirtualBox disk (VDI)", "it is a disk: give the machine's ELF core (`VBoxManage debugvm NAME dumpvmcore`)"),
    (0, b"WithoutFreeSpace", "a Parallels disk", DISK),
    (0, b"WithouFreSpacExt", "a Parallels disk", DISK),
    (0, b"QED\0", "a QED disk image", DISK),
    (0, b"OOOM", "a User-mode Linux disk", DISK),
    (0, b"\xeb\x52\x90NTFS    ", "an NTFS volume", DISK),
    (0, b"hsqs", "a SquashFS volume", DISK),
    (0, b"XFSB", "an XFS volume", DISK),
    (0, b"\x3a\xff\x26\xed", "an Android sparse image", "it is a disk: `simg2img` makes it raw; a memory dump is taken with LiME"),
    (0, b"ANDROID!", "an Android boot image", NO_DUMP),
    (0, b"VNDRBOOT", "an Android boot image", NO_DUMP),
    // Archives and compressions.
    (0, b"PK\x05\x06", "an empty ZIP archive", NO_DUMP),
    (0, b"PK\x07\x08", "a ZIP archive in several parts", "join its parts and unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (0, b"MSCF", "a Windows cabinet", UNPACK),
    (0, b"xar!", "a xar archive", UNPACK),
    (0, b"070701", "a cpio archive", UNPACK),
    (0, b"070707", "a cpio archive", UNPACK),
    (0, b"LZIP", "an lzip file", "unpack it first, with `lzip -d`"),
    (0, b"LRZI", "an lrzip file", "unpack it first, with `lrzip -d`"),
    (0, b"\x1f\x9d\x90", "a file packed with compress (.Z)", "unpack it first, with `gzip -d`"),
    (0, b"MSWIM\0\0\0", "a Windows image (WIM)", DISK),
    (0, b"!<arch>\n", "a package or static library", NO_DUMP),
    (0, b"\xed\xab\xee\xdb", "an RPM package", NO_DUMP),
    (0, b"Salted__", "a file that openssl encrypted", "decrypt it first"),
    (0, b"age-encryption.org/", "a file that age encrypted", "decrypt it first"),
    (0, b"-----BEGIN ", "an armoured file (keys, or an encrypted message)", "decrypt it first, or give the memory dump"),
    // Others that lie beside dumps.
    (0, b"Microsoft C/C++ MSF 7.00", "a PDB, symbols of Windows", "it goes to `osier profile import`"),
    (0, b"OSIERPRF", "one of Osier's own profiles", "it goes with --profile"),
    (0, b"%PDF-", "a PDF document", NO_DUMP),
    (0, b"%!PS", "a PostScript document", NO_DUMP),
    (0, b"{\\rtf", "a text document (RTF)", NO_DUMP),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document or installer (OLE)", NO_DUMP),
    (0, b"SQLite format 3\0", "an SQLite database", NO_DUMP),
    (0, b"ElfFile\0", "a Windows event log", NO_DUMP),
    (0, b"regf", "a Windows registry hive", NO_DUMP),
    (0, b"\x89PNG\r\n", "a picture (PNG)", NO_DUMP),
    (0, b"\xff\xd8\xff\xe0", "a picture (JPEG)", NO_DUMP),
    (0, b"\xff\xd8\xff\xe1", "a picture (JPEG)", NO_DUMP),
    (0, b"GIF8", "a picture (GIF)", NO_DUMP),
    (0, b"\xd4\xc3\xb2\xa1", "a network capture (pcap)", NO_DUMP),
    (0, b"\xa1\xb2\xc3\xd4", "a network capture (pcap)", NO_DUMP),
    (0, b"\x0a\x0d\x0d\x0a", "a network capture (pcapng)", NO_DUMP),
    (0, b"PAR1", "a Parquet table", NO_DUMP),
    (0, b"ARROW1", "an Arrow table", NO_DUMP),
    (0, b"PERFILE2", "a recording of perf", NO_DUMP),
];

/// The name of the format that `file` is of, and a way out.
pub(crate) fn recognise(file: Look<'_>) -> Option<(&'static str, &'static str)> {
    let marked = |(at, magic, ..): &&Mark| file.has(*at, magic);
    if let Some(&(_, _, name, way_out)) = MARKS.iter().find(marked) {
        return Some((name, way_out));
    }
    zip(file)
        .or_else(|| mach_o(file))
        .or_else(|| lzma(file))
        .or_else(|| hyper_v(file))
        .or_else(|| at_the_end(file))
        .or_else(|| booted(file))
        .or_else(|| program(file))
        .or_else(|| text(file))
}

/// A ZIP archive, which may be evidence in AFF4: its first member or those after it are named by what
/// AFF4 keeps.
fn zip(file: Look<'_>) -> Option<(&'static str, &'static str)> {
    const HEAD: usize = 4096;
    if !file.starts_with(b"PK\x03\x04") {
        return None;
    }
    let head = file.some(0, HEAD);
    let tail = file.some(file.len().saturating_sub(HEAD), HEAD);
    let aff4 = |bytes: &[u8]| {
        [
            &b"container.description"[..],
            b"information.turtle",
            b"aff4%3A",
            b"aff4://",
        ]
        .iter()
        .any(|name| memchr::memmem::find(bytes, name).is_some())
    };
    Some(if aff4(&head) || aff4(&tail) {
        (
            "evidence in AFF4",
            "export the memory in it as raw or ELF, with WinPmem (`winpmem --export`) or `aff4imager -e`",
        )
    } else {
        ("a ZIP archive", UNPACK)
    })
}

/// Mach-O, as macOS's memory readers and kernel cores have it.
fn mach_o(file: Look<'_>) -> Option<(&'static str, &'static str)> {
    const CORE: u32 = 4;
    let magic: [u8; 4] = file.array(0)?;
    let kind = file.array(12)?;
    let kind = match magic {
        [0xce | 0xcf, 0xfa, 0xed, 0xfe] => u32::from_le_bytes(kind),
        [0xfe, 0xed, 0xfa, 0xce | 0xcf] => u32::from_be_bytes(kind),
        _ => return None,
    };
    Some(if kind == CORE {
        ("a Mach-O core", APPLE)
    } else {
        ("a Mach-O program or library", NO_DUMP)
    })
}

/// LZMA without a container: properties as `xz --format=lzma` writes them, the dictionary's size, and
/// the unpacked length or all ones.
fn lzma(file: Look<'_>) -> Option<(&'static str, &'static str)> {
    let dictionary = u32::from_le_bytes(file.array(1)?);
    let len = u64::from_le_bytes(file.array(5)?);
    let is = file.starts_with(b"\x5d")
        && dictionary.is_power_of_two()
        && (len == u64::MAX || (1..1 << 48).contains(&len));
    is.then_some((
        "an LZMA file",
        "unpack it first, with `xz --format=lzma -d`",
    ))
}

/// `.vmrs`: both copies of the header have its signature.
fn hyper_v(file: Look<'_>) -> Option<(&'static str, &'static str)> {
    const SIGNATURE: &[u8] = b"\x14\x20\x28\x01";
    let is = file.starts_with(SIGNATURE) && file.has(4096, SIGNATURE);
    is.then_some(("a Hyper-V saved machine (.vmrs)", HYPER_V))
}

/// What a machine boots from: the mark of a boot sector, and what tells which kind it is. Memory of a
/// booted machine may hold the latter alone, where its firmware put it.
fn booted(file: Look<'_>) -> Option<(&'static str, &'static str)> {
    let empty = || {
        file.get(0, 4096)
            .is_some_and(|head| head.iter().all(|byte| *byte == 0))
    };
    let sector = file.has(0x1fe, b"\x55\xaa");
    if sector && file.has(0x202, b"HdrS") {
        return Some((
            "a Linux kernel image (bzImage)",
            "give the memory dump; `extract-vmlinux` makes a vmlinux of it for `osier profile import`",
        ));
    }
    if (sector || empty()) && file.has(0x8001, b"CD001") {
        return Some(("a CD image (ISO 9660)", DISK));
    }
    (sector && file.has(0x200, b"EFI PART"))
        .then_some(("a disk with a partition table (GPT)", DISK))
}

/// Disks that have their mark in the last 512 bytes.
fn at_the_end(file: Look<'_>) -> Option<(&'static str, &'static str)> {
    let tail = file.len().checked_sub(512)?;
    if file.has(tail, b"conectix") {
        return Some(("a Virtual PC disk (VHD)", WINDOWS_DISK));
    }
    file.has(tail, b"koly\0\0\0\x04")
        .then_some(("an Apple disk image (DMG)", DISK))
}

/// A Windows program or driver: `MZ`, and the header that it points to.
fn program(file: Look<'_>) -> Option<(&'static str, &'static str)> {
    if !file.starts_with(b"MZ") {
        return None;
    }
    let at = usize::try_from(u32::from_le_bytes(file.array(0x3c)?)).ok()?;
    let is = file.has(at, b"PE\0\0");
    is.then_some((
        "a Windows program, library or driver",
        "give the memory dump",
    ))
}

/// Text: no page of a machine's memory reads as nothing but.
fn text(file: Look<'_>) -> Option<(&'static str, &'static str)> {
    const HEAD: usize = 4096;
    let head = file.some(0, HEAD);
    let plain = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b | 0x20..=0x7e | 0x80..);
    let utf8 = || {
        let whole = |error: std::str::Utf8Error| error.error_len().is_none();
        std::str::from_utf8(&head).map_or_else(whole, |_| true)
    };
    let utf16 = head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff");
    let utf16 = utf16
        && head.as_chunks::<2>().0.iter().all(|unit| {
            unit.contains(&0) && *unit != [0, 0] || *unit == [0xff, 0xfe] || *unit == [0xfe, 0xff]
        });
    let is = !head.is_empty() && (utf16 || head.iter().all(plain) && utf8());
    is.then_some((
        "a text file",
        "give the memory dump; registers as text go with --registers",
    ))
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests {
    use super::*;

    fn recognise(file: &[u8]) -> Option<(&'static str, &'static str)> {
        super::recognise(file.into())
    }

    #[test]
    fn every_mark_is_met_by_itself_and_none_by_memory() {
        for (number, (at, magic, name, way_out)) in MARKS.iter().enumerate() {
            let mut file = vec![0; 1 << 16];
            file[*at..*at + magic.len()].copy_from_slice(magic);
            assert_eq!(recognise(&file), Some((*name, *way_out)), "{number}");
            file[*at] ^= 1;
            assert_ne!(recognise(&file), Some((*name, *way_out)), "{number}");
        }
        // The first page of a PC: interrupt vectors; or what a loader left there; or nothing.
        let vectors: Vec<u8> = [0x53, 0xff, 0x00, 0xf0].repeat(256);
        for memory in [vec![], vec![0; 8192], vec![0xff; 8192], vectors] {
            assert_eq!(recognise(&memory), None);
        }
        let mut program = vec![0; 8192];
        program[..2].copy_from_slice(b"MZ");
        assert_eq!(recognise(&program), None);
        program[0x3c] = 0x80;
        program[0x80..0x84].copy_from_slice(b"PE\0\0");
        assert!(recognise(&program).is_some());
    }

    #[test]
    fn formats_without_a_fixed_mark_are_known() {
        let name = |file: &[u8]| recognise(file).map_or("", |(name, _)| name);
        let mut zip = b"PK\x03\x04".to_vec();
        zip.resize(10_000, 0x5a);
        assert_eq!(name(&zip), "a ZIP archive");
        zip[30..51].copy_from_slice(b"container.description");
        assert_eq!(name(&zip), "evidence in AFF4");
        let mut core = vec![0; 8192];
        core[..4].copy_from_slice(b"\xcf\xfa\xed\xfe");
        core[12] = 4;
        assert_eq!(name(&core), "a Mach-O core");
        let mut disk = vec![0; 1 << 20];
        let end = disk.len() - 512;
        disk[end..end + 8].copy_from_slice(b"conectix");
        assert_eq!(name(&disk), "a Virtual PC disk (VHD)");
        disk[end..end + 8].copy_from_slice(b"koly\0\0\0\x04");
        assert_eq!(name(&disk), "an Apple disk image (DMG)");
        assert_eq!(name("Größe: 4096\n".as_bytes()), "a text file");
        assert_eq!(name(b"\xff\xfeR\0A\0X\0\n\0"), "a text file");
        let mut lzma = b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff".to_vec();
        lzma.resize(8192, 0x77);
        assert_eq!(name(&lzma), "an LZMA file");
        let mut saved = vec![0; 8192];
        saved[..4].copy_from_slice(b"\x14\x20\x28\x01");
        assert_eq!(name(&saved), "");
        saved[4096..4100].copy_from_slice(b"\x14\x20\x28\x01");
        assert_eq!(name(&saved), "a Hyper-V saved machine (.vmrs)");
        let mut cd = vec![0; 1 << 16];
        cd[0x8001..0x8006].copy_from_slice(b"CD001");
        assert_eq!(name(&cd), "a CD image (ISO 9660)");
        cd[0] = 0x53; // memory in which the firmware read that sector
        assert_eq!(name(&cd), "");
        let long = "ü".repeat(4096);
        assert_eq!(name(&long.as_bytes()[..4095]), "a text file");
        assert_eq!(name(b"text and then \0 memory"), "");
    }
}
