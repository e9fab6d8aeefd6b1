//! The profile: types, symbols and constants of one kernel build.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::BuildId;

/// The operating system of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OsKind {
    /// Linux.
    Linux,
    /// Windows.
    Windows,
    /// One that a provider of its own reads.
    Other,
}

/// Which kernel a profile describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The operating system.
    pub os: OsKind,
    /// Bytes of the kernel's pointers: 4 or 8.
    pub pointer_bytes: u8,
    /// The lookup key; `None` when the source did not name the build (kernelinfo.conf, ISF).
    pub build_id: Option<BuildId>,
    /// Linux: the whole banner, `Linux version …`, without the newline at its end. Empty when
    /// unknown.
    pub banner: Vec<u8>,
    /// The release, such as `6.1.0-50-amd64`. Empty when unknown.
    pub release: String,
}

/// What sort of named type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TypeKind {
    /// A structure or class.
    Struct,
    /// A union.
    Union,
}

/// What a member holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An integer, character, boolean or enumeration.
    Int {
        /// Whether the sign bit counts.
        signed: bool,
    },
    /// A pointer; the name of the structure it points to, empty for anything else.
    Pointer {
        /// Such as `task_struct`.
        to: String,
    },
    /// A named structure or union held in place; empty for an anonymous one.
    Embedded {
        /// Such as `list_head`.
        name: String,
    },
    /// An array.
    Array {
        /// The element's kind.
        of: Box<Kind>,
        /// Number of elements; 0 for a flexible array.
        count: u64,
    },
    /// Anything else (floating point, functions), or a source that does not say (kernelinfo.conf).
    Unknown,
}

/// A member of a structure or union, at its place in the outermost named type: members of
/// anonymous structures and unions stand in their parent's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name.
    pub name: String,
    /// Offset in bytes from the start of the type. May be negative in hand-made profiles, where a
    /// member is given relative to an embedded structure.
    pub offset: i64,
    /// Size in bytes; of a bit field, the bytes of its storage unit; 0 when the source does not
    /// say.
    pub bytes: u64,
    /// A bit field's first bit, counted from the least significant bit at `offset`, and its width.
    pub bits: Option<(u8, u8)>,
    /// What it holds.
    pub kind: Kind,
}

/// Members that are not read yet, by number.
pub(crate) trait Unread: Send + Sync {
    /// The name of one of them; empty for a number past the last.
    fn name(&self, number: usize) -> &[u8];

    /// One of them.
    fn member(&self, number: usize) -> Option<Member>;
}

/// The members of a type, by name.
enum Members {
    Here(Vec<Member>),
    /// A profile's file has some thousand members, of which one answer takes a few dozen: each is read when it
    /// is asked for.
    There {
        source: Arc<dyn Unread>,
        numbers: Range<usize>,
        /// What was asked for, by number from the first on.
        asked: Box<[OnceLock<Box<Member>>]>,
        all: OnceLock<Vec<Member>>,
    },
}

impl Members {
    fn find(&self, name: &str) -> Option<&Member> {
        let (source, numbers, asked) = match self {
            Self::Here(all) => {
                let at = all.binary_search_by(|m| m.name.as_str().cmp(name)).ok()?;
                return all.get(at);
            }
            Self::There {
                source,
                numbers,
                asked,
                ..
            } => (source, numbers, asked),
        };
        let mut among = numbers.clone();
        while !among.is_empty() {
            let number = among.start.midpoint(among.end);
            match source.name(number).cmp(name.as_bytes()) {
                Ordering::Less => among.start = number.saturating_add(1),
                Ordering::Greater => among.end = number,
                Ordering::Equal => {
                    let slot = asked.get(number.checked_sub(numbers.start)?)?;
                    if slot.get().is_none() {
                        // What another thread read meanwhile is the same.
                        let _ = slot.set(Box::new(source.member(number)?));
                    }
                    return slot.get().map(|member| &**member);
                }
            }
        }
        None
    }

    fn all(&self) -> &[Member] {
        match self {
            Self::Here(all) => all,
            Self::There {
                source,
                numbers,
                all,
                ..
            } => all.get_or_init(|| {
                let read = |number| source.member(number);
                numbers.clone().filter_map(read).collect()
            }),
        }
    }
}

/// A named structure or union.
pub struct Type {
    /// The name, without `struct`.
    pub name: String,
    /// Structure or union.
    pub kind: TypeKind,
    /// Size in bytes; 0 when the source does not say.
    pub bytes: u64,
    /// The members, by name.
    members: Members,
}

impl Type {
    /// A type of its parts; members may come in any order, the first of two with one name is kept.
    pub fn new(name: String, kind: TypeKind, bytes: u64, mut members: Vec<Member>) -> Self {
        order(&mut members, |member| &member.name);
        Self {
            name,
            kind,
            bytes,
            members: Members::Here(members),
        }
    }

    /// A type whose members are read when they are asked for: those of these numbers, which are in the order
    /// of their names.
    pub(crate) fn of_unread(
        name: String,
        kind: TypeKind,
        bytes: u64,
        (source, numbers): (Arc<dyn Unread>, Range<usize>),
    ) -> Self {
        let asked = numbers.clone().map(|_| OnceLock::new());
        Self {
            name,
            kind,
            bytes,
            members: Members::There {
                asked: asked.collect(),
                source,
                numbers,
                all: OnceLock::new(),
            },
        }
    }

    /// The member called `name`, anonymous structures and unions looked into.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.find(name)
    }

    /// All members, by name.
    pub fn members(&self) -> &[Member] {
        self.members.all()
    }
}

impl Clone for Type {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            kind: self.kind,
            bytes: self.bytes,
            members: Members::Here(self.members().to_vec()),
        }
    }
}

impl PartialEq for Type {
    fn eq(&self, other: &Self) -> bool {
        let head = |ty: &Self| (ty.kind, ty.bytes);
        head(self) == head(other) && self.name == other.name && self.members() == other.members()
    }
}

impl Eq for Type {}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Type")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("bytes", &self.bytes)
            .field("members", &self.members())
            .finish()
    }
}

/// Puts items in the order of their names, the first of two with one name alone. Those of a profile's file
/// are so already.
fn order<T>(items: &mut Vec<T>, name: impl Fn(&T) -> &str) {
    if !items.is_sorted_by(|a, b| name(a) < name(b)) {
        items.sort_by(|a, b| name(a).cmp(name(b)));
        items.dedup_by(|later, first| name(later) == name(first));
    }
}

/// The types, symbols and constants of one kernel build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    identity: Identity,
    text_head: Vec<u8>,
    provenance: Vec<String>,
    types: Vec<Type>,
    symbols: Vec<(String, u64)>,
    constants: Vec<(String, i64)>,
    damage: Vec<String>,
    inferred: bool,
    whole: bool,
}

impl Profile {
    /// Which kernel.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The first bytes at the kernel's `_text` as they stand in memory, at most 64: a place whose
    /// bytes differ is not this kernel. Empty when the source does not hold them.
    pub fn text_head(&self) -> &[u8] {
        &self.text_head
    }

    /// Where the facts came from, a line each, such as `BTF of the snapshot at 0xffffffff82a8c1f0`.
    pub fn provenance(&self) -> &[String] {
        &self.provenance
    }

    /// The structure or union called `name`.
    pub fn find_type(&self, name: &str) -> Option<&Type> {
        let at = self
            .types
            .binary_search_by(|t| t.name.as_str().cmp(name))
            .ok()?;
        self.types.get(at)
    }

    /// The link-time address of symbol `name`, without the kernel's slide. Windows: bytes from the
    /// image's base. Per-CPU symbols are offsets into the per-CPU area.
    pub fn symbol(&self, name: &str) -> Option<u64> {
        let at = self
            .symbols
            .binary_search_by(|(n, _)| n.as_str().cmp(name))
            .ok()?;
        self.symbols.get(at).map(|(_, value)| *value)
    }

    /// The enumerator called `name`.
    pub fn constant(&self, name: &str) -> Option<i64> {
        let at = self
            .constants
            .binary_search_by(|(n, _)| n.as_str().cmp(name))
            .ok()?;
        self.constants.get(at).map(|(_, value)| *value)
    }

    /// All types, by name.
    pub fn types(&self) -> &[Type] {
        &self.types
    }

    /// All symbols, by name.
    pub fn symbols(&self) -> &[(String, u64)] {
        &self.symbols
    }

    /// All enumerators, by name.
    pub fn constants(&self) -> &[(String, i64)] {
        &self.constants
    }

    /// What in its source contradicts itself, a line each: the source was damaged, and a type, member or
    /// symbol that the profile lacks may be there all the same. Empty of a source that was whole. No file
    /// has it: a profile with damage is not kept.
    pub fn damage(&self) -> &[String] {
        &self.damage
    }

    /// Whether its types were inferred from a kernel's memory and not told by anybody: a type or member that
    /// it lacks may be there all the same. No file has it: such a profile is not kept.
    pub fn inferred(&self) -> bool {
        self.inferred
    }

    /// Whether it was made of all of the kernel's own types, as its importer knows: a member that it lacks the kernel does
    /// not have.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// A builder that starts from this profile, to merge another source into it.
    pub fn into_builder(self) -> ProfileBuilder {
        ProfileBuilder(self)
    }
}

/// Collects what an importer finds. Of two entries with one name the first is kept.
#[derive(Clone, Debug)]
pub struct ProfileBuilder(Profile);

impl ProfileBuilder {
    /// Starts a profile of the kernel `identity`.
    pub fn new(identity: Identity) -> Self {
        Self(Profile {
            identity,
            text_head: Vec::new(),
            provenance: Vec::new(),
            types: Vec::new(),
            symbols: Vec::new(),
            constants: Vec::new(),
            damage: Vec::new(),
            inferred: false,
            whole: false,
        })
    }

    /// Sets the first bytes at `_text`; those after the 64th are left out.
    pub fn set_text_head(&mut self, mut bytes: Vec<u8>) {
        bytes.truncate(64);
        self.0.text_head = bytes;
    }

    /// Which kernel, as known so far.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// The identity, to complete it.
    pub fn identity_mut(&mut self) -> &mut Identity {
        &mut self.0.identity
    }

    /// Adds a line of provenance.
    pub fn provenance(&mut self, line: impl Into<String>) {
        self.0.provenance.push(line.into());
    }

    /// Adds a line of [`Profile::damage`].
    pub fn damaged(&mut self, line: impl Into<String>) {
        self.0.damage.push(line.into());
    }

    /// Says that the types are inferred; see [`Profile::inferred`].
    pub fn set_inferred(&mut self) {
        self.0.inferred = true;
    }

    /// Says that the types are all of the kernel's own; see [`Profile::is_whole`].
    pub fn set_whole(&mut self) {
        self.0.whole = true;
    }

    /// Makes room for so many more types.
    pub(crate) fn reserve_types(&mut self, count: usize) {
        self.0.types.reserve(count);
    }

    /// Adds a type.
    pub fn add_type(&mut self, ty: Type) {
        self.0.types.push(ty);
    }

    /// Adds a symbol at its link-time address.
    pub fn add_symbol(&mut self, name: impl Into<String>, value: u64) {
        self.0.symbols.push((name.into(), value));
    }

    /// Adds an enumerator.
    pub fn add_constant(&mut self, name: impl Into<String>, value: i64) {
        self.0.constants.push((name.into(), value));
    }

    /// The finished profile.
    pub fn build(mut self) -> Profile {
        order(&mut self.0.types, |ty| &ty.name);
        order(&mut self.0.symbols, |(name, _)| name);
        order(&mut self.0.constants, |(name, _)| name);
        self.0
    }
}
