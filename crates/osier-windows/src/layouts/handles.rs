//! How to read tables of handles, of which the table of ids is one.

use osier_profile::{Bits, Embed, Field, Ptr, Resolver, SInt, UInt, layout};

layout! {
    /// Fields read from `_HANDLE_TABLE`.
    pub(crate) struct Table: "_HANDLE_TABLE" {
        /// Where the entries are, and the levels above them.
        table_code: Option<Field<UInt>> = ["TableCode"],
        /// The first id for which there is no page.
        end: Option<Field<UInt>> = ["NextHandleNeedingPool"],
        /// The process whose handles they are; null in the kernel's own.
        quota_process: Option<Field<Ptr<()>>> = ["QuotaProcess"],
        /// That process's id.
        unique_process_id: Option<Field<UInt>> = ["UniqueProcessId"],
        /// Handles in use, until Windows 7.
        handle_count: Option<Field<SInt>> = ["HandleCount"],
        /// Later each list of free entries counts those taken from it: an array, of which the profile knows the first.
        free_lists: Option<Field<Embed<()>>> = ["FreeLists"],
    }
}

layout! {
    /// Fields read from `_HANDLE_TABLE_FREE_LIST`. Windows 8 and later.
    pub(crate) struct FreeList: "_HANDLE_TABLE_FREE_LIST" {
        handle_count: Option<Field<SInt>> = ["HandleCount"],
    }
}

layout! {
    /// Fields read from `_HANDLE_TABLE_ENTRY`.
    pub(crate) struct Entry: "_HANDLE_TABLE_ENTRY" {
        /// The object, without the bits that are always 0 and, on x86-64, always 1. Windows 8 and
        /// later.
        object_bits: Option<Field<Bits>> = ["ObjectPointerBits"],
        /// The object, its low three bits in use for something else. Before.
        object: Option<Field<Ptr<()>>> = ["Object"],
        /// What the handle may be used for. Windows 8 and later have it in bits.
        granted_access: Option<Field<Bits>> = ["GrantedAccessBits", "GrantedAccess"],
    }
}

layout! {
    /// Fields read from `_DISPATCHER_HEADER`, which every process and thread begins with.
    pub(crate) struct Header: "_DISPATCHER_HEADER" {
        /// What sort of object it is.
        kind: Option<Field<UInt>> = ["Type"],
    }
}

/// How to read the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) table_code: Field<UInt>,
    pub(crate) end: Field<UInt>,
    pub(crate) entry_bytes: usize,
    pub(crate) object: Object,
    pub(crate) kind: Field<UInt>,
    /// Where an entry has its rights: offset, bytes, and bits of these.
    pub(crate) granted_access: Option<Field<Bits>>,
    pub(crate) quota_process: Option<Field<Ptr<()>>>,
    pub(crate) unique_process_id: Option<Field<UInt>>,
    /// Where the table counts its handles, if it does in one place.
    pub(crate) handle_count: Option<Field<SInt>>,
    /// The same of a table with lists of free entries, of the first list.
    pub(crate) first_list_count: Option<Field<SInt>>,
    /// Bytes of such a list.
    pub(crate) list_bytes: u64,
}

/// Where an entry has its object.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Object {
    /// A bit field: its first bit, its bits, and by how many they are shifted.
    Bits { first: u8, count: u8, shift: u8 },
    /// A pointer at this offset.
    Pointer(usize),
}

impl Layout {
    /// The table's shape; `None` when the profile does not describe it.
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Option<Self> {
        let table = Table::resolve(resolver);
        let entry = Entry::resolve(resolver);
        let kind = Header::resolve(resolver).kind;
        let list = FreeList::resolve(resolver);
        let counted = list.handle_count;
        let profile = resolver.profile();
        let word = profile.identity().pointer_bytes;
        let entry_bytes = profile.find_type(Entry::STRUCTURE)?.bytes;
        // An entry is two words, in all of these kernels.
        if entry_bytes != u64::from(word).checked_mul(2)? {
            return None;
        }
        // A 64-bit address has 48 bits that tell something.
        let told: u8 = if word == 8 { 48 } else { 32 };
        let object = match (entry.object_bits.and_then(|field| field.bits), entry.object) {
            (Some((first, count)), _) => Object::Bits {
                first,
                count,
                shift: told.checked_sub(count)?,
            },
            (None, Some(field)) => Object::Pointer(usize::try_from(field.offset).ok()?),
            (None, None) => return None,
        };
        Some(Self {
            table_code: table.table_code?,
            end: table.end?,
            entry_bytes: usize::try_from(entry_bytes).ok()?,
            object,
            kind: kind?,
            granted_access: entry.granted_access,
            quota_process: table.quota_process,
            unique_process_id: table.unique_process_id,
            handle_count: table.handle_count,
            first_list_count: table.free_lists.zip(counted).and_then(|(lists, count)| {
                let offset = lists.offset.checked_add(count.offset)?;
                Some(Field::at(offset, count.bytes, count.bits))
            }),
            list_bytes: list.size,
        })
    }
}
