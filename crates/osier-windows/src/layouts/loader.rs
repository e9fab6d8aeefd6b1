//! How to read loader entries.

use osier_profile::{Embed, Field, Ptr, Resolver, UInt, layout};

layout! {
    /// Fields read from `_LDR_DATA_TABLE_ENTRY`, which kernels before Windows 10 use for their own
    /// modules as well.
    pub(crate) struct User: "_LDR_DATA_TABLE_ENTRY" {
        dll_base: Field<Ptr<()>> = ["DllBase"],
        entry_point: Option<Field<Ptr<()>>> = ["EntryPoint"],
        size_of_image: Field<UInt> = ["SizeOfImage"],
        full_dll_name: Field<Embed<()>> = ["FullDllName"],
        base_dll_name: Field<Embed<()>> = ["BaseDllName"],
        in_memory_order: Option<Field<Embed<()>>> = ["InMemoryOrderLinks"],
    }
}

layout! {
    /// Fields read from `_KLDR_DATA_TABLE_ENTRY`.
    pub(crate) struct Kernel: "_KLDR_DATA_TABLE_ENTRY" {
        dll_base: Option<Field<Ptr<()>>> = ["DllBase"],
        entry_point: Option<Field<Ptr<()>>> = ["EntryPoint"],
        size_of_image: Option<Field<UInt>> = ["SizeOfImage"],
        full_dll_name: Option<Field<Embed<()>>> = ["FullDllName"],
        base_dll_name: Option<Field<Embed<()>>> = ["BaseDllName"],
    }
}

layout! {
    /// Fields read from `_PEB_LDR_DATA`.
    pub(crate) struct Data: "_PEB_LDR_DATA" {
        in_load_order: Field<Embed<()>> = ["InLoadOrderModuleList"],
        in_memory_order: Option<Field<Embed<()>>> = ["InMemoryOrderModuleList"],
    }
}

/// Where things stand in a loader entry, for one width of pointers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) pointer_bytes: u8,
    pub(crate) dll_base: u64,
    pub(crate) size_of_image: u64,
    pub(crate) full_dll_name: u64,
    pub(crate) base_dll_name: u64,
    /// `_PEB_LDR_DATA.InLoadOrderModuleList`.
    pub(crate) in_load_order: u64,
    /// `_PEB_LDR_DATA.InMemoryOrderModuleList`, and the link of an entry there.
    pub(crate) in_memory_order: Option<(u64, u64)>,
}

/// The 32-bit loader's entries: the layout of 32-bit Windows from 2000 to 11 (ntdll's PDBs).
pub(crate) const WOW64: Entry = Entry {
    pointer_bytes: 4,
    dll_base: 0x18,
    size_of_image: 0x20,
    full_dll_name: 0x24,
    base_dll_name: 0x2c,
    in_load_order: 0x0c,
    in_memory_order: Some((0x14, 0x08)),
};

/// How to read loader entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// `EntryPoint` of a kernel module.
    pub(crate) entry_point: Option<Field<Ptr<()>>>,
    /// Of processes.
    pub(crate) native: Entry,
    /// Of the kernel.
    pub(crate) kernel: Entry,
}

impl Layout {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        let user = User::resolve(resolver);
        let kernel = Kernel::resolve(resolver);
        let data = Data::resolve(resolver);
        let native = Entry {
            pointer_bytes: resolver.profile().identity().pointer_bytes,
            dll_base: user.dll_base.offset.cast_unsigned(),
            size_of_image: user.size_of_image.offset.cast_unsigned(),
            full_dll_name: user.full_dll_name.offset.cast_unsigned(),
            base_dll_name: user.base_dll_name.offset.cast_unsigned(),
            in_load_order: data.in_load_order.offset.cast_unsigned(),
            in_memory_order: data
                .in_memory_order
                .zip(user.in_memory_order)
                .map(|(head, link)| (head.offset.cast_unsigned(), link.offset.cast_unsigned())),
        };
        let own = |offset: Option<i64>, other| offset.map_or(other, i64::cast_unsigned);
        Self {
            entry_point: kernel.entry_point.or(user.entry_point),
            native,
            kernel: Entry {
                dll_base: own(kernel.dll_base.map(|f| f.offset), native.dll_base),
                size_of_image: own(kernel.size_of_image.map(|f| f.offset), native.size_of_image),
                full_dll_name: own(kernel.full_dll_name.map(|f| f.offset), native.full_dll_name),
                base_dll_name: own(kernel.base_dll_name.map(|f| f.offset), native.base_dll_name),
                ..native
            },
        }
    }
}
