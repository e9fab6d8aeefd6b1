//! The profile file, `.osp`: one [`Profile`] as bytes.
//!
//! ```text
//!   0  8  "OSIERPRF"
//!   8  4  version, 1
//!  12  4  CRC-32 (ISO-HDLC) of every byte from 16 to the end
//!  16  8  fingerprint of the wanted list that the profile was made for
//!  24  8  bytes of the file
//!  32  8  bytes of the card, which follows at 40
//!  40  …  the card: identity, the head of the text, anchors
//!   …  …  the body: strings, provenance, kinds, types, symbols, constants
//! ```
//!
//! Fixed integers are little-endian. Everything in the card and the body is a sequence of
//! *numbers* (LEB128, at most 64 bits; signed ones zigzag) and of *bytes* (a number, then so many
//! bytes); *text* is bytes in UTF-8. A list is a number, then so many items.
//!
//! | part | content |
//! |---|---|
//! | identity | OS (0 Linux, 1 Windows), pointer bytes, build id (bytes; empty for none), banner (bytes), release (text) |
//! | head of the text | bytes at `_text`, at most 64 |
//! | anchors | list of (text name, number value): the symbols that confirm a place, also in the body |
//! | strings | list of text |
//! | provenance | list of string index |
//! | kinds | list of kind: tag, then by tag 0 signed integer, 1 unsigned integer, 2 pointer (string index), 3 embedded (string index), 4 array (index of an earlier kind, count), 5 unknown |
//! | types | list of (string index, 0 struct or 1 union, bytes, list of members), by name |
//! | member | string index, kind index × 2 + 1 if a bit field, signed offset, bytes, and for a bit field its first bit and width |
//! | symbols | list of (string index, value), by name |
//! | constants | list of (string index, signed value), by name |
//!
//! The card can be read without the rest, so that a folder of profiles is surveyed by a few
//! kilobytes each; only reading the whole file checks the CRC. A reader allocates in proportion to
//! the bytes it was given, whatever they claim.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::{BuildId, Identity, Kind, Member, OsKind, Profile, ProfileBuilder, Type, TypeKind};

const MAGIC: [u8; 8] = *b"OSIERPRF";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 40;
/// Where the CRC's range starts.
const CHECKED_FROM: usize = 16;
/// Arrays of arrays: C code has three dimensions at most.
const MAX_KIND_DEPTH: usize = 16;
/// Names handed out, as a multiple of the file's bytes: strings are shared in the file and not in
/// the profile.
const MAX_NAME_GROWTH: usize = 64;
/// Bytes of a file's beginning that hold any card that this version writes.
pub(crate) const CARD_WINDOW: usize = 8192;
/// The largest profile file that is read at all.
pub(crate) const MAX_FILE_BYTES: u64 = 256 << 20;

/// Symbols that confirm that a kernel lies where it is thought to.
const ANCHORS: [&str; 11] = [
    "_text",
    "_stext",
    "linux_banner",
    "init_top_pgt",
    "swapper_pg_dir",
    "initial_page_table",
    "init_task",
    "init_uts_ns",
    "KdDebuggerDataBlock",
    "PsActiveProcessHead",
    "PsLoadedModuleList",
];

/// Why a profile could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file does not begin as a profile does.
    #[error("not a profile: the file does not begin with OSIERPRF")]
    NotAProfile,
    /// A profile of another version of the format.
    #[error("a profile of format version {found}; this program reads version {VERSION}")]
    Version {
        /// The version it names.
        found: u32,
    },
    /// The file is cut short, altered, or was never whole.
    #[error("damaged profile: {what} at byte {offset}")]
    Damaged {
        /// Where in the file.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that could not be understood, with its name.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<ProfileError>,
    },
}

/// What the beginning of a profile file says: enough to know which kernel it is for and to find
/// that kernel in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Which kernel.
    pub identity: Identity,
    /// The fingerprint of the wanted list that the profile was made for; see
    /// [`Wanted::fingerprint`](crate::Wanted::fingerprint).
    pub fingerprint: u64,
    /// As [`Profile::text_head`].
    pub text_head: Vec<u8>,
    /// Those of `_text`, `_stext`, `linux_banner`, `init_top_pgt`, `swapper_pg_dir`,
    /// `initial_page_table`, `init_task` and `init_uts_ns` that the profile has, at their
    /// link-time addresses.
    pub anchors: Vec<(String, u64)>,
}

impl Card {
    /// Reads the card at the beginning of `data`, which need not be the whole file.
    ///
    /// # Errors
    ///
    /// Not a profile, one of another version, or a damaged or too short one. The CRC is not
    /// checked.
    pub fn from_bytes(data: &[u8]) -> Result<Self, ProfileError> {
        Header::read(data).and_then(|header| header.card(data))
    }

    /// The anchor called `name`.
    pub fn anchor(&self, name: &str) -> Option<u64> {
        let found = self.anchors.iter().find(|(anchor, _)| anchor == name);
        found.map(|(_, value)| *value)
    }
}

struct Header {
    fingerprint: u64,
    crc: u32,
    file_bytes: usize,
    card_end: usize,
}

impl Header {
    fn read(data: &[u8]) -> Result<Self, ProfileError> {
        if !data.starts_with(&MAGIC) {
            return Err(ProfileError::NotAProfile);
        }
        let mut cursor = Cursor::new(data, MAGIC.len());
        let version = u32::from_le_bytes(cursor.fixed("version")?);
        if version != VERSION {
            return Err(ProfileError::Version { found: version });
        }
        let crc = u32::from_le_bytes(cursor.fixed("checksum")?);
        let fingerprint = u64::from_le_bytes(cursor.fixed("fingerprint")?);
        let size = |field| usize::try_from(u64::from_le_bytes(field)).unwrap_or(usize::MAX);
        let file_bytes = size(cursor.fixed("length")?);
        let card_bytes = size(cursor.fixed("length of the card")?);
        let card_end = HEADER_BYTES.saturating_add(card_bytes);
        if card_end > file_bytes {
            return Err(damaged(32, "a card longer than the file"));
        }
        Ok(Self {
            fingerprint,
            crc,
            file_bytes,
            card_end,
        })
    }

    fn card(&self, data: &[u8]) -> Result<Card, ProfileError> {
        let card = data.get(..self.card_end);
        let card = card.ok_or_else(|| damaged(data.len(), "the card is cut short"))?;
        let mut cursor = Cursor::new(card, HEADER_BYTES);
        let at = cursor.offset;
        let os = match cursor.number()? {
            0 => OsKind::Linux,
            1 => OsKind::Windows,
            _ => return Err(damaged(at, "an unknown operating system")),
        };
        let at = cursor.offset;
        let pointer_bytes = match cursor.number()? {
            4 => 4,
            8 => 8,
            _ => return Err(damaged(at, "pointers of neither 4 nor 8 bytes")),
        };
        let build_id = cursor.bytes()?;
        let identity = Identity {
            os,
            pointer_bytes,
            build_id: (!build_id.is_empty()).then(|| BuildId(build_id.to_vec())),
            banner: cursor.bytes()?.to_vec(),
            release: cursor.text()?.to_owned(),
        };
        let text_head = cursor.bytes()?.to_vec();
        let count = cursor.count(2)?;
        let mut anchors = Vec::with_capacity(count);
        for _ in 0..count {
            anchors.push((cursor.text()?.to_owned(), cursor.number()?));
        }
        Ok(Card {
            identity,
            fingerprint: self.fingerprint,
            text_head,
            anchors,
        })
    }
}

impl Profile {
    /// The profile as a file's bytes, made for the wanted list of that fingerprint.
    pub fn to_bytes(&self, fingerprint: u64) -> Vec<u8> {
        let card = write_card(self);
        let mut body = Vec::new();
        write_body(self, &mut body);
        let length = HEADER_BYTES
            .saturating_add(card.len())
            .saturating_add(body.len());

        let mut checked = Vec::new();
        checked.extend_from_slice(&fingerprint.to_le_bytes());
        checked.extend_from_slice(&(length as u64).to_le_bytes());
        checked.extend_from_slice(&(card.len() as u64).to_le_bytes());
        checked.extend_from_slice(&card);
        checked.append(&mut body);

        let mut file = Vec::with_capacity(length);
        file.extend_from_slice(&MAGIC);
        file.extend_from_slice(&VERSION.to_le_bytes());
        file.extend_from_slice(&crc32fast::hash(&checked).to_le_bytes());
        file.append(&mut checked);
        file
    }

    /// Reads a file's bytes: the profile, and the fingerprint of the wanted list it was made for.
    ///
    /// # Errors
    ///
    /// Not a profile, one of another version, or a damaged one.
    pub fn from_bytes(data: &[u8]) -> Result<(Self, u64), ProfileError> {
        let header = Header::read(data)?;
        let whole = data.get(..header.file_bytes);
        let data = whole.ok_or_else(|| damaged(data.len(), "the file is cut short"))?;
        if crc32fast::hash(data.get(CHECKED_FROM..).unwrap_or(&[])) != header.crc {
            return Err(damaged(12, "a checksum that does not fit"));
        }
        let card = header.card(data)?;
        let mut builder = ProfileBuilder::new(card.identity);
        builder.set_text_head(card.text_head);
        read_body(&mut Cursor::new(data, header.card_end), &mut builder)?;
        Ok((builder.build(), header.fingerprint))
    }
}

// Writing.

fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_number(out, (value.wrapping_shl(1) ^ (value >> 63)).cast_unsigned());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn write_card(profile: &Profile) -> Vec<u8> {
    let identity = profile.identity();
    let mut out = Vec::new();
    out.push(match identity.os {
        OsKind::Linux => 0,
        OsKind::Windows => 1,
    });
    out.push(identity.pointer_bytes);
    put_bytes(&mut out, identity.build_id.as_ref().map_or(&[], |id| &id.0));
    put_bytes(&mut out, &identity.banner);
    put_bytes(&mut out, identity.release.as_bytes());
    put_bytes(&mut out, profile.text_head());
    let anchors = ANCHORS.map(|name| profile.symbol(name).map(|value| (name, value)));
    put_number(&mut out, anchors.iter().flatten().count() as u64);
    for (name, value) in anchors.into_iter().flatten() {
        put_bytes(&mut out, name.as_bytes());
        put_number(&mut out, value);
    }
    out
}

/// Items numbered in the order of their first use.
struct Numbered<K> {
    items: Vec<K>,
    numbers: HashMap<K, u64>,
}

impl<K: Clone + Eq + std::hash::Hash> Numbered<K> {
    fn new() -> Self {
        Self {
            items: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    fn number(&mut self, item: K) -> u64 {
        let next = self.items.len() as u64;
        let items = &mut self.items;
        *self.numbers.entry(item).or_insert_with_key(|item| {
            items.push(item.clone());
            next
        })
    }
}

/// A kind as it stands in the file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum FlatKind {
    Signed,
    Unsigned,
    Pointer { to: u64 },
    Embedded { name: u64 },
    Array { of: u64, count: u64 },
    Unknown,
}

fn number_kind<'p>(
    kind: &'p Kind,
    strings: &mut Numbered<&'p str>,
    kinds: &mut Numbered<FlatKind>,
) -> u64 {
    let flat = match kind {
        Kind::Int { signed: true } => FlatKind::Signed,
        Kind::Int { signed: false } => FlatKind::Unsigned,
        Kind::Pointer { to } => FlatKind::Pointer {
            to: strings.number(to),
        },
        Kind::Embedded { name } => FlatKind::Embedded {
            name: strings.number(name),
        },
        Kind::Array { of, count } => FlatKind::Array {
            of: number_kind(of, strings, kinds),
            count: *count,
        },
        Kind::Unknown => FlatKind::Unknown,
    };
    kinds.number(flat)
}

fn write_body(profile: &Profile, out: &mut Vec<u8>) {
    let mut strings = Numbered::new();
    let mut kinds = Numbered::new();
    let mut rest = Vec::new();

    let mut provenance = Vec::new();
    put_number(&mut provenance, profile.provenance().len() as u64);
    for line in profile.provenance() {
        put_number(&mut provenance, strings.number(line.as_str()));
    }

    put_number(&mut rest, profile.types().len() as u64);
    for ty in profile.types() {
        put_number(&mut rest, strings.number(&ty.name));
        rest.push(match ty.kind {
            TypeKind::Struct => 0,
            TypeKind::Union => 1,
        });
        put_number(&mut rest, ty.bytes);
        put_number(&mut rest, ty.members().len() as u64);
        for member in ty.members() {
            put_number(&mut rest, strings.number(&member.name));
            let kind = number_kind(&member.kind, &mut strings, &mut kinds);
            put_number(&mut rest, kind << 1 | u64::from(member.bits.is_some()));
            put_signed(&mut rest, member.offset);
            put_number(&mut rest, member.bytes);
            if let Some((first, width)) = member.bits {
                rest.extend_from_slice(&[first, width]);
            }
        }
    }

    put_number(&mut rest, profile.symbols().len() as u64);
    for (name, value) in profile.symbols() {
        put_number(&mut rest, strings.number(name));
        put_number(&mut rest, *value);
    }

    put_number(&mut rest, profile.constants().len() as u64);
    for (name, value) in profile.constants() {
        put_number(&mut rest, strings.number(name));
        put_signed(&mut rest, *value);
    }

    put_number(out, strings.items.len() as u64);
    for text in &strings.items {
        put_bytes(out, text.as_bytes());
    }
    out.append(&mut provenance);
    put_number(out, kinds.items.len() as u64);
    for kind in &kinds.items {
        match kind {
            FlatKind::Signed => out.push(0),
            FlatKind::Unsigned => out.push(1),
            FlatKind::Pointer { to } => {
                out.push(2);
                put_number(out, *to);
            }
            FlatKind::Embedded { name } => {
                out.push(3);
                put_number(out, *name);
            }
            FlatKind::Array { of, count } => {
                out.push(4);
                put_number(out, *of);
                put_number(out, *count);
            }
            FlatKind::Unknown => out.push(5),
        }
    }
    out.append(&mut rest);
}

// Reading.

fn damaged(offset: usize, what: &'static str) -> ProfileError {
    ProfileError::Damaged { offset, what }
}

struct Cursor<'d> {
    data: &'d [u8],
    offset: usize,
}

impl<'d> Cursor<'d> {
    fn new(data: &'d [u8], offset: usize) -> Self {
        Self { data, offset }
    }

    fn take(&mut self, count: usize, what: &'static str) -> Result<&'d [u8], ProfileError> {
        let end = self.offset.checked_add(count);
        let bytes = end.and_then(|end| self.data.get(self.offset..end));
        let bytes = bytes.ok_or_else(|| damaged(self.offset, what))?;
        self.offset = self.offset.saturating_add(count);
        Ok(bytes)
    }

    fn fixed<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], ProfileError> {
        let at = self.offset;
        let bytes = self.take(N, what)?;
        bytes.try_into().map_err(|_| damaged(at, what))
    }

    fn byte(&mut self) -> Result<u8, ProfileError> {
        let [byte] = self.fixed("the end of the data, where a byte belongs")?;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64, ProfileError> {
        let at = self.offset;
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            let placed = part.checked_shl(shift).unwrap_or(0);
            if placed.checked_shr(shift) != Some(part) {
                break;
            }
            value |= placed;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged(at, "a number of more than 64 bits"))
    }

    fn signed(&mut self) -> Result<i64, ProfileError> {
        let folded = self.number()?;
        Ok((folded >> 1).cast_signed() ^ (folded & 1).cast_signed().wrapping_neg())
    }

    /// A number of items, each of at least `least` bytes.
    fn count(&mut self, least: usize) -> Result<usize, ProfileError> {
        let at = self.offset;
        let count = self.number()?;
        let left = self.data.len().saturating_sub(self.offset);
        let room = left.checked_div(least).unwrap_or(left);
        let count = usize::try_from(count).ok().filter(|count| *count <= room);
        count.ok_or_else(|| damaged(at, "a list longer than the data"))
    }

    fn bytes(&mut self) -> Result<&'d [u8], ProfileError> {
        let count = self.count(1)?;
        self.take(count, "bytes that are cut short")
    }

    fn text(&mut self) -> Result<&'d str, ProfileError> {
        let at = self.offset;
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| damaged(at, "text that is not UTF-8"))
    }
}

/// The strings, with a bound on how much of them is copied.
struct Strings<'d> {
    items: Vec<&'d str>,
    budget: usize,
}

impl Strings<'_> {
    fn next(&mut self, cursor: &mut Cursor<'_>) -> Result<String, ProfileError> {
        let at = cursor.offset;
        let number = cursor.number()?;
        let item = usize::try_from(number).ok().and_then(|n| self.items.get(n));
        let item = *item.ok_or_else(|| damaged(at, "a string that is not there"))?;
        self.spend(item.len(), at)?;
        Ok(item.to_owned())
    }

    fn spend(&mut self, bytes: usize, at: usize) -> Result<(), ProfileError> {
        let left = self.budget.checked_sub(bytes);
        self.budget = left.ok_or_else(|| damaged(at, "names out of all proportion"))?;
        Ok(())
    }
}

fn name_bytes(kind: &Kind) -> usize {
    match kind {
        Kind::Pointer { to: name } | Kind::Embedded { name } => name.len(),
        Kind::Array { of, .. } => name_bytes(of).saturating_add(size_of::<Kind>()),
        Kind::Int { .. } | Kind::Unknown => 0,
    }
}

fn read_kinds(
    cursor: &mut Cursor<'_>,
    strings: &mut Strings<'_>,
) -> Result<Vec<Kind>, ProfileError> {
    let count = cursor.count(1)?;
    let mut kinds: Vec<Kind> = Vec::with_capacity(count);
    let mut depths: Vec<usize> = Vec::with_capacity(count);
    for _ in 0..count {
        let at = cursor.offset;
        let mut depth = 0;
        let kind = match cursor.number()? {
            0 => Kind::Int { signed: true },
            1 => Kind::Int { signed: false },
            2 => Kind::Pointer {
                to: strings.next(cursor)?,
            },
            3 => Kind::Embedded {
                name: strings.next(cursor)?,
            },
            4 => {
                let of = usize::try_from(cursor.number()?).unwrap_or(usize::MAX);
                let inner = kinds.get(of).zip(depths.get(of));
                let (inner, below) =
                    inner.ok_or_else(|| damaged(at, "an array of a later kind"))?;
                depth = below.saturating_add(1);
                if depth > MAX_KIND_DEPTH {
                    return Err(damaged(at, "an array of too many dimensions"));
                }
                strings.spend(name_bytes(inner), at)?;
                Kind::Array {
                    of: Box::new(inner.clone()),
                    count: cursor.number()?,
                }
            }
            5 => Kind::Unknown,
            _ => return Err(damaged(at, "an unknown kind")),
        };
        kinds.push(kind);
        depths.push(depth);
    }
    Ok(kinds)
}

fn read_member(
    cursor: &mut Cursor<'_>,
    strings: &mut Strings<'_>,
    kinds: &[Kind],
) -> Result<Member, ProfileError> {
    let name = strings.next(cursor)?;
    let at = cursor.offset;
    let tagged = cursor.number()?;
    let kind = usize::try_from(tagged >> 1).ok().and_then(|k| kinds.get(k));
    let kind = kind.ok_or_else(|| damaged(at, "a kind that is not there"))?;
    strings.spend(name_bytes(kind), at)?;
    Ok(Member {
        name,
        kind: kind.clone(),
        offset: cursor.signed()?,
        bytes: cursor.number()?,
        bits: match tagged & 1 {
            0 => None,
            _ => Some((cursor.byte()?, cursor.byte()?)),
        },
    })
}

fn read_body(cursor: &mut Cursor<'_>, builder: &mut ProfileBuilder) -> Result<(), ProfileError> {
    let count = cursor.count(1)?;
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(cursor.text()?);
    }
    let budget = cursor.data.len().saturating_mul(MAX_NAME_GROWTH);
    let mut strings = Strings { items, budget };

    for _ in 0..cursor.count(1)? {
        builder.provenance(strings.next(cursor)?);
    }

    let kinds = read_kinds(cursor, &mut strings)?;
    let types = cursor.count(4)?;
    builder.reserve_types(types);
    for _ in 0..types {
        let name = strings.next(cursor)?;
        let at = cursor.offset;
        let kind = match cursor.byte()? {
            0 => TypeKind::Struct,
            1 => TypeKind::Union,
            _ => return Err(damaged(at, "neither structure nor union")),
        };
        let bytes = cursor.number()?;
        let count = cursor.count(4)?;
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            members.push(read_member(cursor, &mut strings, &kinds)?);
        }
        builder.add_type(Type::new(name, kind, bytes, members));
    }

    for _ in 0..cursor.count(2)? {
        let name = strings.next(cursor)?;
        builder.add_symbol(name, cursor.number()?);
    }
    for _ in 0..cursor.count(2)? {
        let name = strings.next(cursor)?;
        builder.add_constant(name, cursor.signed()?);
    }
    if cursor.offset != cursor.data.len() {
        return Err(damaged(cursor.offset, "more data than there should be"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Wanted;

    fn sample() -> Profile {
        let mut builder = ProfileBuilder::new(Identity {
            os: OsKind::Linux,
            pointer_bytes: 8,
            build_id: Some(BuildId(vec![0xab; 20])),
            banner: b"Linux version 6.1.0 \xff".to_vec(),
            release: "6.1.0".to_owned(),
        });
        builder.set_text_head(vec![0x48; 80]);
        builder.provenance("made by hand");
        let grid = Kind::Array {
            of: Box::new(Kind::Array {
                of: Box::new(Kind::Embedded {
                    name: "list_head".to_owned(),
                }),
                count: 3,
            }),
            count: 0,
        };
        let member = |name: &str, offset, bits, kind| Member {
            name: name.to_owned(),
            offset,
            bytes: 8,
            bits,
            kind,
        };
        let parent = Kind::Pointer {
            to: "task_struct".to_owned(),
        };
        let members = vec![
            member("pid", 16, None, Kind::Int { signed: true }),
            member("flag", 24, Some((3, 1)), Kind::Int { signed: false }),
            member("parent", -8, None, parent),
            member("grid", i64::MAX, None, grid),
            member("odd", i64::MIN, None, Kind::Unknown),
        ];
        builder.add_type(Type::new(
            "task_struct".to_owned(),
            TypeKind::Struct,
            9024,
            members,
        ));
        builder.add_type(Type::new("u".to_owned(), TypeKind::Union, 0, Vec::new()));
        builder.add_symbol("_text", 0xffff_ffff_8100_0000);
        builder.add_symbol("init_task", u64::MAX);
        builder.add_constant("MINUS", -1);
        builder.build()
    }

    #[test]
    fn a_profile_survives_its_file() {
        let profile = sample();
        let data = profile.to_bytes(7);
        assert_eq!(Profile::from_bytes(&data).unwrap(), (profile.clone(), 7));
        assert_eq!(profile.text_head().len(), 64);

        let card = Card::from_bytes(data.get(..CARD_WINDOW.min(data.len())).unwrap()).unwrap();
        assert_eq!(&card.identity, profile.identity());
        assert_eq!(card.fingerprint, 7);
        assert_eq!(card.anchor("_text"), Some(0xffff_ffff_8100_0000));
        assert_eq!(card.anchor("linux_banner"), None);
        assert_eq!(card.text_head, profile.text_head());
    }

    #[test]
    fn every_truncation_is_an_error() {
        let data = sample().to_bytes(0);
        for end in 0..data.len() {
            assert!(Profile::from_bytes(&data[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let data = sample().to_bytes(0);
        for at in 0..data.len() {
            for bit in 0..8 {
                let mut bad = data.clone();
                bad[at] ^= 1 << bit;
                assert!(Profile::from_bytes(&bad).is_err(), "bit {bit} of byte {at}");
                let _ = Card::from_bytes(&bad);
            }
        }
    }

    /// With the checksum made right again, so that the reader itself is tried.
    #[test]
    fn forged_files_do_not_panic() {
        let data = sample().to_bytes(0);
        for at in 16..data.len() {
            for value in [0, 1, 4, 5, 0x7f, 0x80, 0xff, data[at] ^ 1] {
                let mut bad = data.clone();
                bad[at] = value;
                let crc = crc32fast::hash(&bad[16..]);
                bad[12..16].copy_from_slice(&crc.to_le_bytes());
                let _ = Profile::from_bytes(&bad);
            }
        }
    }

    #[test]
    fn other_files_and_versions_are_told_apart() {
        assert!(matches!(
            Profile::from_bytes(b"\x7fELF"),
            Err(ProfileError::NotAProfile)
        ));
        let mut data = sample().to_bytes(0);
        data[8] = 2;
        assert!(matches!(
            Profile::from_bytes(&data),
            Err(ProfileError::Version { found: 2 })
        ));
    }

    #[test]
    fn a_fingerprint_changes_with_the_list() {
        let list = |types| Wanted {
            types,
            symbols: &[],
            constants: &[],
        };
        assert_ne!(list(&["a", "b"]).fingerprint(), list(&["ab"]).fingerprint());
    }
}
