//! Kernel modules.
//!
//! Three shapes, newest first: `mem[]` (Linux commit ac3b43283923 ("module: replace
//! `module_layout` with `module_memory`"), v6.4), `core_layout` and `init_layout` (Linux commit
//! 7523e4dc5057 ("module: use a structure to encapsulate layout."), v4.5), and `module_core`.
//! As `/proc/modules` does, the size counts the parts for initialisation as long as they are there.
//! A module that is still being put together is a row too.

use std::ops::ControlFlow;

use osier_memory::{Fault, VirtAddr};
use osier_osi::{Module, Seen, WalkEnd, WalkEnds, Walked};
use osier_profile::{Embed, Field, Kind, Ptr, Resolver, UInt, layout};

use crate::Linux;
use crate::list;

/// The walk's name in endings.
const WALK: &str = "modules";
/// Longest name with its NUL: `MODULE_NAME_LEN` is 64 less a pointer.
const NAME_BYTES: usize = 64;

layout! {
    /// Fields read from `struct module`.
    struct Members: "module" {
        /// The ring of modules.
        list: Option<Field<Embed<()>>>,
        /// The name.
        name: Option<Field<Embed<()>>>,
        /// The parts by use, code first.
        mem: Option<Field<Embed<()>>>,
        /// Address of what stays.
        core_base: Option<Field<Ptr<()>>> = ["core_layout.base", "module_core"],
        /// Bytes of what stays.
        core_size: Option<Field<UInt>> = ["core_layout.size", "core_size"],
        /// Bytes of what goes after initialisation.
        init_size: Option<Field<UInt>> = ["init_layout.size", "init_size"],
    }
}

layout! {
    /// Fields read from `module_memory`.
    struct Part: "module_memory" {
        /// First address.
        base: Option<Field<Ptr<()>>>,
        /// Bytes.
        size_field: Option<Field<UInt>> = ["size"],
    }
}

/// Where the memory of a module stands.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// One range for each use.
    Parts {
        first: Field<Embed<()>>,
        count: u64,
        stride: u64,
        text: u64,
        base: Field<Ptr<()>>,
        size: Field<UInt>,
    },
    /// One range that stays and one for initialisation.
    Core {
        base: Field<Ptr<()>>,
        size: Field<UInt>,
        init_size: Field<UInt>,
    },
    /// The profile does not say.
    Unknown,
}

/// How to read modules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Modules {
    list: Option<Field<Embed<()>>>,
    name: Option<Field<Embed<()>>>,
    shape: Shape,
}

impl Modules {
    /// Resolves the shape that the profile describes.
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        let members = Members::resolve(resolver);
        let part = Part::resolve(resolver);
        let parts = members.mem.zip(part.base).zip(part.size_field);
        let core = members
            .core_base
            .zip(members.core_size)
            .zip(members.init_size);
        let shape = match (parts, core) {
            (Some(((first, base), size)), _) if part.size > 0 => Shape::Parts {
                first,
                count: parts_of(resolver, part.size),
                stride: part.size,
                text: resolver
                    .constant(&["MOD_TEXT"])
                    .and_then(|index| u64::try_from(index).ok())
                    .unwrap_or(0),
                base,
                size,
            },
            (_, Some(((base, size), init_size))) => Shape::Core {
                base,
                size,
                init_size,
            },
            _ => Shape::Unknown,
        };
        Self {
            list: members.list,
            name: members.name,
            shape,
        }
    }

    /// Address and size of the module at `modd`.
    fn extent(&self, linux: &Linux, modd: VirtAddr) -> (Seen<VirtAddr>, Seen<u64>) {
        let space = &linux.guest.space;
        match self.shape {
            Shape::Parts {
                first,
                count,
                stride,
                text,
                base,
                size,
            } => {
                let part = |index: u64| first.place(modd).plus(index.wrapping_mul(stride));
                let sum = (0..count).try_fold(0_u64, |sum, index| -> Result<u64, Fault> {
                    Ok(sum.saturating_add(size.read(space, part(index))?))
                });
                (base.read(space, part(text)).into(), sum.into())
            }
            Shape::Core {
                base,
                size,
                init_size,
            } => {
                let sum = size.read(space, modd).and_then(|size| {
                    let init = init_size.read(space, modd)?;
                    Ok(size.saturating_add(init))
                });
                (base.read(space, modd).into(), sum.into())
            }
            Shape::Unknown => (Seen::not_in_this_kernel(), Seen::not_in_this_kernel()),
        }
    }
}

/// Number of parts in `module.mem`, at most 16.
fn parts_of(resolver: &Resolver<'_>, stride: u64) -> u64 {
    let module = resolver.profile().find_type(Members::STRUCTURE);
    let member = module.and_then(|module| module.member("mem"));
    let count = member.map_or(0, |member| match &member.kind {
        Kind::Array { count, .. } => *count,
        _ => member.bytes.checked_div(stride).unwrap_or(0),
    });
    count.min(16)
}

pub(crate) fn modules(linux: &Linux, row: &mut dyn FnMut(Module) -> ControlFlow<()>) -> WalkEnds {
    let layout = &linux.modules;
    let Some((list, head)) = layout.list.zip(linux.guest.symbol("modules")) else {
        // A kernel built without modules has neither.
        let missing = "the list of modules in the profile".to_owned();
        let fault = None;
        return WalkEnds::one(WALK, WalkEnd::NoStart { missing, fault });
    };
    let Walked { nodes, end } = list::ring(&linux.guest, head);
    for node in nodes {
        let modd = list.container(node);
        let name = match layout.name {
            Some(name) => {
                let at = name.place(modd);
                Seen::from(linux.guest.space.read_cstr(at, NAME_BYTES))
            }
            None => Seen::not_in_this_kernel(),
        };
        let (base, size) = layout.extent(linux, modd);
        let module = Module {
            name,
            base,
            size,
            file: Seen::not_in_this_kernel(),
            modd,
        };
        if row(module).is_break() {
            return WalkEnds::one(WALK, WalkEnd::Stopped);
        }
    }
    WalkEnds::one(WALK, end)
}
