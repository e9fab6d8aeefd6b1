//! How to read PEBs.

use osier_profile::{Embed, Field, Ptr, Resolver, UInt, layout};

layout! {
    /// Fields read from `_PEB`.
    pub(crate) struct Native: "_PEB" {
        image_base: Option<Field<Ptr<()>>> = ["ImageBaseAddress"],
        ldr: Option<Field<Ptr<()>>> = ["Ldr"],
        parameters: Option<Field<Ptr<()>>> = ["ProcessParameters"],
        number_of_heaps: Option<Field<UInt>> = ["NumberOfHeaps"],
        process_heaps: Option<Field<Ptr<()>>> = ["ProcessHeaps"],
        /// The session's number, as the kernel wrote it.
        session_id: Option<Field<UInt>> = ["SessionId"],
    }
}

layout! {
    /// Fields read from `_RTL_USER_PROCESS_PARAMETERS`.
    pub(crate) struct Parameters: "_RTL_USER_PROCESS_PARAMETERS" {
        /// Bytes of the block, its strings among them.
        maximum_length: Option<Field<UInt>> = ["MaximumLength"],
        /// Bit 0: the strings' pointers are addresses. Until then they count from the block.
        flags: Option<Field<UInt>> = ["Flags"],
        image_path_name: Option<Field<Embed<()>>> = ["ImagePathName"],
        command_line: Option<Field<Embed<()>>> = ["CommandLine"],
        environment: Option<Field<Ptr<()>>> = ["Environment"],
        /// Bytes taken for it. Vista and later.
        environment_size: Option<Field<UInt>> = ["EnvironmentSize"],
    }
}

/// Where things stand in a process's own memory, for one width of pointers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) pointer_bytes: u8,
    /// `_PEB.ImageBaseAddress`, which the kernel writes before anything runs.
    pub(crate) image_base: Option<u64>,
    /// `_PEB.Ldr`.
    pub(crate) ldr: Option<u64>,
    pub(crate) parameters: Option<u64>,
    pub(crate) number_of_heaps: Option<u64>,
    pub(crate) process_heaps: Option<u64>,
    /// `_RTL_USER_PROCESS_PARAMETERS.MaximumLength` and `Flags`.
    pub(crate) block: Option<(u64, u64)>,
    pub(crate) image_path_name: Option<u64>,
    pub(crate) command_line: Option<u64>,
    pub(crate) environment: Option<u64>,
    /// Absent where not every kernel of the shape has it.
    pub(crate) environment_size: Option<u64>,
}

/// The 32-bit process of a 64-bit kernel. Kernel PDBs describe `_PEB32` alone; what it points to has
/// the layout of 32-bit Windows, the same from XP to 11 (ntdll's PDBs).
pub(crate) const WOW64: Shape = Shape {
    pointer_bytes: 4,
    image_base: Some(0x08),
    ldr: Some(0x0c),
    parameters: Some(0x10),
    number_of_heaps: Some(0x88),
    process_heaps: Some(0x90),
    block: Some((0, 8)),
    image_path_name: Some(0x38),
    command_line: Some(0x40),
    environment: Some(0x48),
    environment_size: None,
};

/// How to read PEBs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) native: Shape,
    pub(crate) session_id: Option<Field<UInt>>,
}

impl Layout {
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        let peb = Native::resolve(resolver);
        let parameters = Parameters::resolve(resolver);
        let pointer = |field: Option<Field<Ptr<()>>>| field.map(|f| f.offset.cast_unsigned());
        let string = |field: Option<Field<Embed<()>>>| field.map(|f| f.offset.cast_unsigned());
        Self {
            session_id: peb.session_id,
            native: Shape {
                pointer_bytes: resolver.profile().identity().pointer_bytes,
                image_base: pointer(peb.image_base),
                ldr: pointer(peb.ldr),
                parameters: pointer(peb.parameters),
                number_of_heaps: peb.number_of_heaps.map(|f| f.offset.cast_unsigned()),
                process_heaps: pointer(peb.process_heaps),
                block: (parameters.maximum_length.zip(parameters.flags)).map(|(bytes, flags)| {
                    (bytes.offset.cast_unsigned(), flags.offset.cast_unsigned())
                }),
                image_path_name: string(parameters.image_path_name),
                command_line: string(parameters.command_line),
                environment: pointer(parameters.environment),
                environment_size: (parameters.environment_size)
                    .map(|field| field.offset.cast_unsigned()),
            },
        }
    }
}
