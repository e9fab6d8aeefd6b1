//! PE images: headers, the debug directory, the record that names the PDB.
//!
//! Source: Microsoft PE and COFF specification; the CodeView record as its debuggers read it
//! (`RSDS`, GUID, age, name; before XP `NB10`, an offset of 0, signature, age, name).

use osier_memory::VirtAddr;

use super::rows::Module;
use super::spaces::Space;
use super::writer::Writer;

/// Offset of the `PE` signature, as most kernels have it.
const PE: u64 = 0xf8;
/// Debug directory and CodeView record, in a page of the image's data.
const DIRECTORY_BYTES: u32 = 28;
const CODEVIEW: u32 = 2;
/// Where resources stand in the image.
const RESOURCES: u64 = 0xa00;
/// Bytes of an export directory.
const EXPORT_BYTES: u64 = 40;

/// An image to write the headers of.
pub(super) struct Image<'a> {
    pub(super) space: Space,
    /// Whether it is of 64 bits.
    pub(super) wide: bool,
    pub(super) base: VirtAddr,
    pub(super) bytes: u64,
    /// `TimeDateStamp`.
    pub(super) stamp: u32,
    /// What names the PDB.
    pub(super) pdb: Pdb<'a>,
    /// Where in the image the debug directory stands.
    pub(super) debug: u64,
    /// Where the export directory stands, and what it calls the image.
    pub(super) exports: (u64, &'a str),
    /// Whether it has a resource of its version, 6.1.7601.17514.
    pub(super) version: bool,
}

/// What names a PDB.
#[derive(Clone, Copy)]
pub(super) struct Pdb<'a> {
    /// GUID as its 16 bytes are printed, or the four of a signature.
    pub(super) id: &'a [u8],
    pub(super) age: u32,
    pub(super) name: &'a str,
}

pub(super) fn write(w: &mut Writer<'_>, image: &Image<'_>) {
    let mut dos = vec![0; PE as usize];
    dos[..2].copy_from_slice(b"MZ");
    dos[0x3c..0x40].copy_from_slice(&(PE as u32).to_le_bytes());
    w.bytes(image.space, image.base, &dos);
    let headers = headers(image);
    w.bytes(image.space, image.base.plus(PE), &headers);
    let (exports, name) = image.exports;
    let mut directory = Bytes::default();
    directory.u32(0).u32(image.stamp).u32(0);
    directory.u32((exports + EXPORT_BYTES) as u32).u32(1);
    directory.0.resize(EXPORT_BYTES as usize, 0);
    directory.0.extend_from_slice(name.as_bytes());
    directory.0.push(0);
    w.bytes(image.space, image.base.plus(exports), &directory.0);
    let record = codeview(image.pdb);
    let at = image.debug + u64::from(DIRECTORY_BYTES);
    let mut directory = Bytes::default();
    directory.u32(0).u32(image.stamp).u32(0).u32(CODEVIEW);
    directory
        .u32(record.len() as u32)
        .u32(at as u32)
        .u32(at as u32);
    w.bytes(image.space, image.base.plus(image.debug), &directory.0);
    w.bytes(image.space, image.base.plus(at), &record);
    if image.version {
        w.bytes(image.space, image.base.plus(RESOURCES), &version());
    }
}

/// Headers of an image that a process maps, with a record that names its PDB, and a version.
pub(super) fn of_process(w: &mut Writer<'_>, space: Space, wide: bool, module: &Module) {
    if module.size < 0x2000 || !module.base.is_multiple_of(0x1000) {
        return;
    }
    let stem = module.name.split('.').next().unwrap_or_default();
    let guid = [module.size.to_be_bytes(), module.base.to_be_bytes()].concat();
    let image = Image {
        space,
        wide,
        base: VirtAddr(module.base),
        bytes: module.size,
        stamp: stamp(module.base),
        pdb: Pdb {
            id: &guid,
            age: 2,
            name: &format!("{stem}.pdb"),
        },
        debug: 0x500,
        exports: (0x800, &module.name),
        version: true,
    };
    write(w, &image);
}

/// `TimeDateStamp` of a process's image at `base`.
fn stamp(base: u64) -> u32 {
    0x5000_0000 | (base >> 12 & 0xf_ffff) as u32
}

/// Three directories of resources, and what the last of them leads to: a version.
fn version() -> Vec<u8> {
    /// Marks an entry that leads to another directory.
    const DIRECTORY: u32 = 1 << 31;
    let mut out = Bytes::default();
    for (name, to) in [(16, 0x18 | DIRECTORY), (1, 0x30 | DIRECTORY), (0x409, 0x48)] {
        out.u32(0).u32(0).u32(0).u16(0).u16(1).u32(name).u32(to);
    }
    out.u32(RESOURCES as u32 + 0x58).u32(0x5c).u32(0).u32(0);
    out.u16(0x5c).u16(52).u16(0);
    out.0.extend(super::writer::utf16("VS_VERSION_INFO"));
    out.u16(0).u16(0);
    out.u32(0xfeef_04bd).u32(0x1_0000);
    for half in [0x6_0001, 0x1db1_446a].repeat(2) {
        out.u32(half);
    }
    out.u32(0x3f).u32(0).u32(0x4_0004).u32(2);
    out.0.resize(0x58 + 40 + 52, 0);
    out.0
}

/// Takes the debug directory out of the image's header.
pub(super) fn without_debug_directory(w: &mut Writer<'_>, image: &Image<'_>) {
    // From the signature to the data directories, of either width.
    let directories = if image.wide { 0x88 } else { 0x78 };
    let entry = image.base.plus(PE + directories + 6 * 8);
    w.bytes(Space::SYSTEM, entry, &[0; 8]);
}

fn headers(image: &Image<'_>) -> Vec<u8> {
    let wide = image.wide;
    let sections: [(&[u8; 8], u32); 3] = [
        (b".text\0\0\0", 0x6000_0020),
        (b".rdata\0\0", 0x4000_0040),
        (b".data\0\0\0", 0xc000_0040),
    ];
    let optional_bytes: u16 = if wide { 0xf0 } else { 0xe0 };
    let mut out = Bytes(b"PE\0\0".to_vec());
    out.u16(if wide { 0x8664 } else { 0x14c });
    out.u16(sections.len() as u16)
        .u32(image.stamp)
        .u32(0)
        .u32(0);
    out.u16(optional_bytes).u16(if wide { 0x22 } else { 0x10e });
    // The optional header.
    let (code, data) = (image.bytes as u32 / 2, image.bytes as u32 / 4);
    out.u16(if wide { 0x20b } else { 0x10b }).u16(10);
    out.u32(code).u32(data).u32(0).u32(0x1000).u32(0x1000);
    if wide {
        out.u64(image.base.0);
    } else {
        out.u32(code).u32(image.base.0 as u32);
    }
    out.u32(0x1000).u32(0x200);
    out.u16(6).u16(1).u16(6).u16(1).u16(6).u16(1).u32(0);
    out.u32(image.bytes as u32).u32(0x400).u32(0x0015_7e9a);
    out.u16(1).u16(0);
    for size in [0x40_0000_u64, 0x1000, 0x10_0000, 0x1000] {
        if wide {
            out.u64(size);
        } else {
            out.u32(size as u32);
        }
    }
    out.u32(0).u32(16);
    for directory in 0..16 {
        match directory {
            0 => out.u32(image.exports.0 as u32).u32(0x200),
            2 if image.version => out.u32(RESOURCES as u32).u32(0x200),
            6 => out.u32(image.debug as u32).u32(DIRECTORY_BYTES),
            _ => out.u32(0).u32(0),
        };
    }
    let step = (image.bytes as u32 / 4) & !0xfff;
    for (number, (name, rights)) in (0..).zip(sections) {
        out.0.extend_from_slice(name);
        let start = (step * number).max(0x1000);
        out.u32(step).u32(start).u32(step).u32(start);
        out.u32(0).u32(0).u32(0).u32(rights);
    }
    out.0
}

fn codeview(pdb: Pdb<'_>) -> Vec<u8> {
    let mut out;
    if let [a, b, c, d] = *pdb.id {
        out = b"NB10\0\0\0\0".to_vec();
        out.extend([d, c, b, a]);
    } else {
        // The first three fields of a GUID are numbers, printed from their high bytes on.
        let g = pdb.id;
        out = b"RSDS".to_vec();
        out.extend([g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6]]);
        out.extend_from_slice(&g[8..16]);
    }
    out.extend_from_slice(&pdb.age.to_le_bytes());
    out.extend_from_slice(pdb.name.as_bytes());
    out.push(0);
    out
}

/// Little-endian fields one after another.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
}
