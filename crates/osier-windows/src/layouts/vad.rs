//! How to read the tree of descriptors.

use osier_profile::{Bits, Embed, Field, Kind, Ptr, Resolver, UInt, layout};

use super::process;

layout! {
    /// Fields read from `_MMVAD_SHORT`, which every descriptor begins with.
    pub(crate) struct Short: "_MMVAD_SHORT" through [_MMADDRESS_NODE _MM_AVL_NODE _RTL_BALANCED_NODE] {
        /// The node in the tree; the descriptor itself until Windows 7.
        vad_node: Option<Field<Embed<()>>> = ["VadNode"],
        left: Option<Field<Ptr<()>>> = ["VadNode.Left", "VadNode.LeftChild", "LeftChild"],
        right: Option<Field<Ptr<()>>> = ["VadNode.Right", "VadNode.RightChild", "RightChild"],
        /// The parent, the balance in its low bits. Since 8.1; before; XP.
        parent_value: Option<Field<UInt>> = ["VadNode.ParentValue"],
        parent_union: Option<Field<Embed<()>>> = ["VadNode.u1", "u1"],
        parent: Option<Field<Ptr<()>>> = ["Parent"],
        /// Number of the first page.
        starting_vpn: Option<Field<UInt>> = ["StartingVpn"],
        /// Number of the last page.
        ending_vpn: Option<Field<UInt>> = ["EndingVpn"],
        /// Bits 32 to 39 of the number, on 64-bit kernels since 8.1.
        starting_vpn_high: Option<Field<UInt>> = ["StartingVpnHigh"],
        ending_vpn_high: Option<Field<UInt>> = ["EndingVpnHigh"],
        /// The flags, as one word.
        flags: Option<Field<Embed<()>>> = ["u"],
        /// More of them, since 8.1; the parent before.
        flags1: Option<Field<Embed<()>>> = ["u1"],
    }
}

layout! {
    /// Fields read from `_MMVAD_FLAGS`.
    pub(crate) struct Flags: "_MMVAD_FLAGS" {
        /// `MM_READWRITE` and the like.
        protection: Option<Field<Bits>> = ["Protection"],
        /// Memory of the process's own.
        private_memory: Option<Field<Bits>> = ["PrivateMemory"],
        /// `MI_VAD_TYPE`; Vista and later.
        vad_type: Option<Field<Bits>> = ["VadType"],
        /// What ReactOS marks a `_MEMORY_AREA` with, and Windows never sets.
        spare: Option<Field<Bits>> = ["Spare"],
        /// XP and 2003.
        image_map: Option<Field<Bits>> = ["ImageMap"],
        /// All of it was committed at once; until 8.
        mem_commit: Option<Field<Bits>> = ["MemCommit"],
    }
}

layout! {
    /// Fields read from `_MMVAD_FLAGS1`, the descriptor's second word since 8.1.
    pub(crate) struct Flags1: "_MMVAD_FLAGS1" {
        /// All of it was committed at once.
        mem_commit: Option<Field<Bits>> = ["MemCommit"],
    }
}

layout! {
    /// Fields read from `_MMVAD`, the longer descriptor of memory that is not private.
    pub(crate) struct Long: "_MMVAD" {
        /// The part of the section; Vista and later.
        subsection: Option<Field<Ptr<()>>> = ["Subsection"],
        /// The section's control area; XP and 2003.
        control_area: Option<Field<Ptr<()>>> = ["ControlArea"],
        /// The prototype entry of the first page.
        first_prototype_pte: Option<Field<Ptr<()>>> = ["FirstPrototypePte"],
        /// The last of those that follow each other there.
        last_contiguous_pte: Option<Field<Ptr<()>>> = ["LastContiguousPte"],
    }
}

layout! {
    /// Fields read from `_RTL_AVL_TREE`, which `VadRoot` is since 8.1.
    pub(crate) struct AvlTree: "_RTL_AVL_TREE" {
        /// The first node.
        root: Option<Field<Ptr<()>>> = ["Root"],
    }
}

layout! {
    /// Fields read from `_MM_AVL_TABLE`, which it is from Vista on until then.
    pub(crate) struct AvlTable: "_MM_AVL_TABLE" through [_MMADDRESS_NODE] {
        /// The first node.
        root: Option<Field<Ptr<()>>> = ["BalancedRoot.RightChild"],
    }
}

/// How to read the tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) short: Short,
    pub(crate) flags: Flags,
    pub(crate) flags1: Flags1,
    pub(crate) long: Long,
    /// Bytes from `VadRoot` to the pointer that leads to the first node.
    pub(crate) root: Option<u64>,
    /// The number of descriptors, counted from the `_EPROCESS`.
    pub(crate) count: Option<Field<Bits>>,
}

impl Layout {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        let offset = |field: Option<Field<Ptr<()>>>| Some(field?.offset.cast_unsigned());
        let root = match vad_root_kind(resolver).as_deref() {
            Some(AvlTree::STRUCTURE) => offset(AvlTree::resolve(resolver).root),
            Some(AvlTable::STRUCTURE) => offset(AvlTable::resolve(resolver).root),
            Some(_) => None,
            // A pointer.
            None => Some(0),
        };
        Self {
            short: Short::resolve(resolver),
            flags: Flags::resolve(resolver),
            flags1: Flags1::resolve(resolver),
            long: Long::resolve(resolver),
            root,
            count: resolver.optional(
                process::Fields::STRUCTURE,
                &["VadCount", "VadRoot.NumberGenericTableElements"],
            ),
        }
    }
}

/// The structure that `_EPROCESS.VadRoot` is; `None` for a pointer.
fn vad_root_kind(resolver: &Resolver<'_>) -> Option<String> {
    let process = resolver.profile().find_type(process::Fields::STRUCTURE)?;
    match &process.member("VadRoot")?.kind {
        Kind::Embedded { name } => Some(name.clone()),
        _ => None,
    }
}
