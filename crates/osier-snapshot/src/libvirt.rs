//! What `virsh save` and `virsh managedsave` write: a header, the machine's XML, and QEMU's stream,
//! packed or not.
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 16 | `LibvirtQemudSave`; `LibvirtQemudPart` while it is written |
//! | 16 | 4 | version: 1, 2, or 3 for "sparse" |
//! | 20 | 4 | bytes of what follows the header: XML, 0, cookie, padding |
//! | 24 | 4 | whether the machine ran |
//! | 28 | 4 | packed with: 0 nothing, 1 gzip, 2 bzip2, 3 xz, 4 lzop, 5 zstd, 6 nothing, and mapped-ram |
//! | 32 | 4 | the cookie's place behind the header, or 0 |
//! | 36 | 56 | unused |
//!
//! Numbers are the writing host's; the version tells their order.
//!
//! Source: libvirt `src/qemu/qemu_saveimage.h` and `.c` (9.0), `src/qemu/qemu_saveimage_format.h`
//! (11.x).

use std::path::Path;

use crate::anomaly::Anomaly;
use crate::cursor::Cursor;
use crate::data::Data;
use crate::error::{Malformed, OpenError};
use crate::format::Format;
use crate::look::Look;
use crate::snapshot::{OpenOptions, Snapshot};
use crate::{panda, stream, wrapped};

/// The first bytes of a whole file, and of one that is being written or was left so.
const MAGIC: &[u8] = b"LibvirtQemudSave";
const UNFINISHED: &[u8] = b"LibvirtQemudPart";
/// Bytes of the header.
const HEADER: u64 = 92;
/// The most bytes of XML that are looked at for facts.
const XML: usize = 1 << 20;

/// Whether a file is one, by its first bytes.
pub(crate) fn recognises(head: Look<'_>) -> bool {
    head.starts_with(MAGIC) || head.starts_with(UNFINISHED)
}

/// Opens a saved machine.
///
/// # Errors
///
/// The header contradicts the file, what is packed cannot be unpacked or is too much, or the stream
/// contradicts itself; offsets in the stream count from its own start.
pub(crate) fn open(path: &Path, data: &Data, options: &OpenOptions) -> Result<Snapshot, OpenError> {
    let header = Header::read(data.look()).map_err(|bad| bad.in_file(path))?;
    let start = HEADER.saturating_add(header.data.into());
    let left = data.len().checked_sub(start);
    let rest = left
        .and_then(|left| data.part(start, left))
        .ok_or_else(|| {
            let expected = format!("{} bytes of the machine's description", header.data);
            Malformed::new(HEADER, expected).in_file(path)
        })?;
    let mut facts = header.facts();
    let xml = data
        .look()
        .some(HEADER as usize, XML.min(header.data as usize));
    facts.extend(described(&xml));
    let unwrapped = wrapped::unwrap(path, rest, options, panda::is_archive, |_| {
        wrapped::Head::Known
    })?;
    let wrapped::Inside::File(state) = unwrapped.inside else {
        return Err(Malformed::new(start, "a QEMU stream").in_file(path));
    };
    facts.extend(unwrapped.facts);
    let mut anomalies = unwrapped.anomalies;
    if data.look().starts_with(UNFINISHED) {
        anomalies.push(Anomaly::bytes(
            "libvirt did not finish the file: it may end before the machine does",
        ));
    }
    let around = stream::Around {
        path,
        format: Format::Libvirt,
        file_bytes: data.len(),
        facts,
        anomalies,
        plugged: plugged(&xml),
    };
    stream::open_inside(&state, around, options)
}

struct Header {
    version: u32,
    data: u32,
    ran: bool,
    packing: u32,
}

impl Header {
    fn read(file: Look<'_>) -> Result<Self, Malformed> {
        let mut at = Cursor::new(file, MAGIC.len());
        let little = at.le32("the version")?;
        let big = little.swap_bytes();
        let swapped = !(1..=3).contains(&little);
        let version = if swapped { big } else { little };
        if !(1..=3).contains(&version) {
            return Err(Malformed::new(
                16,
                format!("version 1, 2 or 3, not {little}"),
            ));
        }
        let mut word = |what: &str| {
            let word = at.le32(what)?;
            Ok::<_, Malformed>(if swapped { word.swap_bytes() } else { word })
        };
        let header = Self {
            version,
            data: word("the length of the description")?,
            ran: word("whether the machine ran")? != 0,
            packing: word("the packing")?,
        };
        at.pass(60, "the rest of the header")?;
        Ok(header)
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let packing = match self.packing {
            0 => "no packing",
            1 => "gzip",
            2 => "bzip2",
            3 => "xz",
            4 => "lzop",
            5 => "zstd",
            6 => "sparse",
            _ => "an unknown packing",
        };
        let ran = if self.ran { "running" } else { "paused" };
        vec![
            (
                "saved by",
                format!("libvirt, version {}, {packing}", self.version),
            ),
            ("machine was", ran.to_owned()),
        ]
    }
}

/// The XML at the start of `data`.
fn xml(data: &[u8]) -> &str {
    let xml = data.split(|byte| *byte == 0).next().unwrap_or_default();
    std::str::from_utf8(xml).unwrap_or_default()
}

/// Where DIMMs and NVDIMMs lie, by the XML at the start of `data`: `<memory model='dimm'>` with
/// `<address type='dimm' slot='0' base='0x100000000'/>` in it is the block `memdimm0`.
fn plugged(data: &[u8]) -> Vec<(String, u64)> {
    fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
        let (_, after) = tag.split_once(&format!(" {name}="))?;
        let quote = after.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        after.get(1..)?.split(quote).next()
    }
    let device = |text: &str| {
        let tag = text.split('>').next()?;
        let model = attribute(tag, "model").filter(|model| model.ends_with("dimm"))?;
        let inside = text.split("</memory>").next()?;
        let address = inside.split("<address").nth(1)?.split('>').next()?;
        let base = attribute(address, "base")?.strip_prefix("0x")?;
        let slot: u32 = attribute(address, "slot")?.parse().ok()?;
        Some((
            format!("mem{model}{slot}"),
            u64::from_str_radix(base, 16).ok()?,
        ))
    };
    xml(data)
        .split("<memory")
        .skip(1)
        .filter_map(device)
        .collect()
}

/// Facts from the XML at the start of `data`.
fn described(data: &[u8]) -> Vec<(&'static str, String)> {
    let xml = xml(data);
    let element = |name: &str| {
        let (_, after) = xml.split_once(&format!("<{name}"))?;
        let (_, text) = after.split_once('>')?;
        let (text, _) = text.split_once('<')?;
        Some(text.to_owned())
    };
    let facts = [
        ("machine's name", element("name")),
        ("machine's UUID", element("uuid")),
        ("machine's memory (KiB)", element("currentMemory")),
        ("machine's processors", element("vcpu")),
        ("emulator", element("emulator")),
    ];
    facts
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}
