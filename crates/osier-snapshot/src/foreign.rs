//! Formats that are known by their first bytes and not read here.

/// The name of the format that starts with `head`, and a way out.
pub(crate) fn recognise(head: &[u8]) -> Option<(&'static str, &'static str)> {
    const DUMP: &str = "take the dump as raw, ELF (`dump-guest-memory`) or a migration stream";
    const UNPACK: &str = "unpack it first";
    let table: &[(&[u8], &str, &str)] = &[
        (
            b"LiME",
            "a LiME dump of a big-endian machine",
            "only x86 machines are read",
        ),
        (
            b"USERDUMP",
            "a Windows crash dump of a process (32-bit)",
            DUMP,
        ),
        (
            b"USERDU64",
            "a Windows crash dump of a process (64-bit)",
            DUMP,
        ),
        (b"MDMP", "a Windows minidump of a process", DUMP),
        (
            b"LibvirtQemudPart",
            "an unfinished libvirt save file",
            "save the machine again",
        ),
        (
            b"\x7f\x45\x4c\x46\x01\x02",
            "a big-endian ELF file",
            "only x86 machines are read",
        ),
        (b"PK\x03\x04", "a ZIP archive", UNPACK),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
        (
            b"EVF\x09\x0d\x0a\xff\0",
            "an EnCase image",
            "export it as raw",
        ),
        (
            b"!<arch>\n",
            "a package or static library",
            "give the memory dump",
        ),
    ];
    table
        .iter()
        .find(|(magic, ..)| head.starts_with(magic))
        .map(|&(_, name, way_out)| (name, way_out))
}
