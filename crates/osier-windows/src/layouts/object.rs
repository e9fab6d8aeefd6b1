//! How to read what the object manager keeps of every object, and the registry's keys, which name themselves.

use osier_profile::{Bits, Embed, Field, Ptr, Resolver, UInt, layout};

layout! {
    /// Fields read from `_OBJECT_HEADER`, which stands before every object.
    pub(crate) struct Header: "_OBJECT_HEADER" {
        /// The object itself.
        body: Option<Field<Embed<()>>> = ["Body"],
        /// Which type of object, in `ObTypeIndexTable`. Windows 7 and later; since Windows 10 mixed with
        /// `ObHeaderCookie` and the header's address.
        type_index: Option<Field<UInt>> = ["TypeIndex"],
        /// The type. Before.
        kind: Option<Field<Ptr<()>>> = ["Type"],
        /// Which structures stand before the header, a bit each. Windows 7 and later.
        info_mask: Option<Field<UInt>> = ["InfoMask"],
        /// How far before the header that of its name begins; 0 for none. Before.
        name_info_offset: Option<Field<UInt>> = ["NameInfoOffset"],
        /// Handles that lead to it.
        handle_count: Option<Field<UInt>> = ["HandleCount"],
    }
}

layout! {
    /// Fields read from `_OBJECT_HEADER_NAME_INFO`.
    pub(crate) struct NameInfo: "_OBJECT_HEADER_NAME_INFO" {
        /// The directory that it is in; null once it was taken out.
        directory: Option<Field<Ptr<()>>> = ["Directory"],
        name: Option<Field<Embed<()>>> = ["Name"],
    }
}

layout! {
    /// `_OBJECT_HEADER_CREATOR_INFO`, which stands between the header and that of the name; its size counts.
    pub(crate) struct CreatorInfo: "_OBJECT_HEADER_CREATOR_INFO" {
    }
}

layout! {
    /// Fields read from `_OBJECT_TYPE`.
    pub(crate) struct Type: "_OBJECT_TYPE" through [_OBJECT_TYPE_INITIALIZER] {
        name: Option<Field<Embed<()>>> = ["Name"],
        /// Its place in `ObTypeIndexTable`. A byte since Windows 7, when the table came.
        index: Option<Field<UInt>> = ["Index"],
        /// The rights that objects of the type have.
        valid_access: Option<Field<UInt>> = ["TypeInfo.ValidAccessMask"],
    }
}

layout! {
    /// Fields read from `_OBJECT_DIRECTORY`.
    pub(crate) struct Directory: "_OBJECT_DIRECTORY" {
        /// Chains of entries, by what their names come to.
        buckets: Option<Field<Embed<()>>> = ["HashBuckets"],
    }
}

layout! {
    /// Fields read from `_OBJECT_DIRECTORY_ENTRY`.
    pub(crate) struct DirectoryEntry: "_OBJECT_DIRECTORY_ENTRY" {
        chain_link: Option<Field<Ptr<()>>> = ["ChainLink"],
        object: Option<Field<Ptr<()>>> = ["Object"],
    }
}

layout! {
    /// Fields read from `_DEVICE_OBJECT`.
    pub(crate) struct Device: "_DEVICE_OBJECT" {
        /// What the object is: 3 for a device.
        kind: Option<Field<UInt>> = ["Type"],
    }
}

layout! {
    /// Fields read from `_CM_KEY_BODY`, an open key.
    pub(crate) struct KeyBody: "_CM_KEY_BODY" {
        /// `ky02`.
        kind: Option<Field<UInt>> = ["Type"],
        key_control_block: Option<Field<Ptr<()>>> = ["KeyControlBlock"],
    }
}

layout! {
    /// Fields read from `_CM_KEY_CONTROL_BLOCK`, of which a key that is in use has one.
    pub(crate) struct KeyControlBlock: "_CM_KEY_CONTROL_BLOCK" {
        /// That of the key that it is in; null of the registry's root.
        parent: Option<Field<Ptr<()>>> = ["ParentKcb"],
        /// How many keys its path has, the registry's root among them.
        levels: Option<Field<Bits>> = ["TotalLevels"],
        name_block: Option<Field<Ptr<()>>> = ["NameBlock"],
    }
}

layout! {
    /// Fields read from `_CM_NAME_CONTROL_BLOCK`, the last part of a key's path.
    pub(crate) struct NameBlock: "_CM_NAME_CONTROL_BLOCK" {
        /// Whether a letter has one byte.
        compressed: Option<Field<Bits>> = ["Compressed"],
        /// In bytes.
        name_length: Option<Field<UInt>> = ["NameLength"],
        name: Option<Field<Embed<()>>> = ["Name"],
    }
}

/// How to read objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) header: Header,
    pub(crate) name_info: NameInfo,
    pub(crate) creator_info: CreatorInfo,
    pub(crate) kind: Type,
    pub(crate) directory: Directory,
    pub(crate) entry: DirectoryEntry,
    pub(crate) device: Device,
    pub(crate) key_body: KeyBody,
    pub(crate) key: KeyControlBlock,
    pub(crate) name_block: NameBlock,
}

impl Layout {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        Self {
            header: Header::resolve(resolver),
            name_info: NameInfo::resolve(resolver),
            creator_info: CreatorInfo::resolve(resolver),
            kind: Type::resolve(resolver),
            directory: Directory::resolve(resolver),
            entry: DirectoryEntry::resolve(resolver),
            device: Device::resolve(resolver),
            key_body: KeyBody::resolve(resolver),
            key: KeyControlBlock::resolve(resolver),
            name_block: NameBlock::resolve(resolver),
        }
    }
}
