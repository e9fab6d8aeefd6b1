//! Records of types, and what is noted of them and of their members.

/// The kinds of a type record; the numbers are the format's.
pub(crate) mod kind {
    pub(crate) const INT: u32 = 1;
    pub(crate) const PTR: u32 = 2;
    pub(crate) const ARRAY: u32 = 3;
    pub(crate) const STRUCT: u32 = 4;
    pub(crate) const UNION: u32 = 5;
    pub(crate) const ENUM: u32 = 6;
    pub(crate) const FWD: u32 = 7;
    pub(crate) const TYPEDEF: u32 = 8;
    pub(crate) const VOLATILE: u32 = 9;
    pub(crate) const CONST: u32 = 10;
    pub(crate) const RESTRICT: u32 = 11;
    pub(crate) const FUNC: u32 = 12;
    pub(crate) const FUNC_PROTO: u32 = 13;
    pub(crate) const VAR: u32 = 14;
    pub(crate) const DATASEC: u32 = 15;
    pub(crate) const FLOAT: u32 = 16;
    pub(crate) const DECL_TAG: u32 = 17;
    pub(crate) const TYPE_TAG: u32 = 18;
    pub(crate) const ENUM64: u32 = 19;
}

/// A type record's three words, and where what follows them starts.
#[derive(Clone, Copy)]
pub(crate) struct Record {
    pub(crate) name: u32,
    pub(super) info: u32,
    pub(crate) size_or_type: u32,
    pub(super) body: usize,
}

impl Record {
    pub(crate) fn kind(self) -> u32 {
        (self.info >> 24) & 0x1f
    }

    pub(crate) fn vlen(self) -> usize {
        (self.info & 0xffff) as usize
    }

    pub(crate) fn kflag(self) -> bool {
        self.info >> 31 != 0
    }

    /// Whether one of `bits` of its word `info` is set.
    pub(crate) fn has_info(self, bits: u32) -> bool {
        self.info & bits != 0
    }

    /// Whether this is a typedef or a modifier of the type that it names.
    pub(super) fn is_transparent(self) -> bool {
        matches!(
            self.kind(),
            kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG
        )
    }

    pub(crate) fn is_compound(self) -> bool {
        matches!(self.kind(), kind::STRUCT | kind::UNION)
    }

    /// Bytes after the three words; `None` for an unknown kind.
    pub(super) fn body_bytes(self) -> Option<usize> {
        let per_item: usize = match self.kind() {
            kind::INT | kind::VAR | kind::DECL_TAG => return Some(4),
            kind::ARRAY => return Some(12),
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12,
            kind::ENUM | kind::FUNC_PROTO => 8,
            kind::PTR
            | kind::FWD
            | kind::TYPEDEF
            | kind::VOLATILE
            | kind::CONST
            | kind::RESTRICT
            | kind::FUNC
            | kind::FLOAT
            | kind::TYPE_TAG => 0,
            _ => return None,
        };
        per_item.checked_mul(self.vlen())
    }
}

/// Where a member lies in the structure that names it.
#[derive(Clone, Copy)]
pub(crate) struct MemberPlace {
    pub(crate) name: u32,
    /// The number of its type.
    pub(crate) of: u32,
    /// Its first bit.
    pub(crate) bit: u64,
    /// Its bits; 0 where its type has no size.
    pub(crate) bits: u64,
}

/// One bit for each byte of the string section.
pub(crate) struct Marks(pub(super) Vec<u64>);

impl Marks {
    pub(crate) fn set(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    pub(crate) fn get(&self, at: u32) -> bool {
        let at = at as usize;
        let word = self.0.get(at / 64);
        word.is_some_and(|word| (word >> (at % 64)) & 1 != 0)
    }
}
