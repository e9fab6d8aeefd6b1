//! Where the memory of a module lies, and whether it can lie there.

use std::ops::ControlFlow;

use osier_memory::{Cause, Fault, PAGE_BYTES, VirtAddr};
use osier_osi::{Absent, ModulePart, Seen};
use osier_profile::{Embed, Field, Kind, Ptr, Resolver, UInt, layout};

use crate::constants;
use crate::guest::Guest;
use crate::layouts::Module;
use crate::symbols;

/// More than any module takes: all of them share 1.5 GiB.
const LIMIT: u64 = 1 << 30;

layout! {
    /// Fields read from `module_memory`.
    pub(crate) struct Part: "module_memory" {
        /// First address.
        base: Option<Field<Ptr<()>>>,
        /// Bytes.
        size_field: Option<Field<UInt>> = ["size"],
        /// The node in the tree of modules.
        mtn: Option<Field<Embed<()>>>,
        /// Whether it is a piece of a larger allocation. Linux commit 64f6a4e10c05 ("x86: re-enable
        /// `EXECMEM_ROX` support"), v6.13 and on.
        is_rox: Option<Field<UInt>>,
    }
}

/// Where the memory of a module stands.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// One range for each use.
    Parts {
        first: Field<Embed<()>>,
        count: u64,
        part: Part,
        text: u64,
        base: Field<Ptr<()>>,
        size: Field<UInt>,
    },
    /// One range that stays and one for initialisation.
    Core {
        base: Field<Ptr<()>>,
        size: Field<UInt>,
        text: Option<Field<UInt>>,
        init_base: Option<Field<Ptr<()>>>,
        init_size: Field<UInt>,
    },
    /// The profile does not say.
    Unknown,
}

/// How to read where a module's memory lies.
#[derive(Clone, Debug)]
pub(super) struct Extent {
    shape: Shape,
    /// Where the nodes of the module tree lie in `struct module`.
    pub(super) nodes: Vec<Field<Embed<()>>>,
}

/// A range that a module says is its own.
#[derive(Clone, Copy)]
struct Range {
    base: VirtAddr,
    size: u64,
}

impl Range {
    fn holds(self, at: VirtAddr) -> bool {
        at >= self.base && at.since(self.base) < self.size
    }
}

impl Extent {
    pub(super) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        let members = Module::resolve(resolver);
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
                part,
                text: resolver
                    .constant(&[constants::MOD_TEXT])
                    .and_then(|index| u64::try_from(index).ok())
                    .unwrap_or(0),
                base,
                size,
            },
            (_, Some(((base, size), init_size))) => Shape::Core {
                base,
                size,
                text: members.core_text,
                init_base: members.init_base,
                init_size,
            },
            _ => Shape::Unknown,
        };
        let nodes = match shape {
            Shape::Parts { first, count, .. } => (0..count)
                .filter_map(|index| {
                    let within = part.mtn?;
                    let start = first.offset.saturating_add(within.offset);
                    let stride = index.saturating_mul(part.size);
                    let offset = start.saturating_add_unsigned(stride);
                    Some(Field::at(offset, within.bytes, None))
                })
                .collect(),
            _ => [members.core_node, members.init_node]
                .into_iter()
                .flatten()
                .collect(),
        };
        Self { shape, nodes }
    }

    /// Address of the code and size of all of the module at `modd`.
    pub(super) fn read(&self, guest: &Guest, modd: VirtAddr) -> (Seen<VirtAddr>, Seen<u64>) {
        let outcome = match self.shape {
            Shape::Parts { .. } => self.parts(guest, modd),
            Shape::Core { .. } => self.core(guest, modd),
            Shape::Unknown => {
                return (
                    Err(Absent::not_in_this_kernel()),
                    Err(Absent::not_in_this_kernel()),
                );
            }
        };
        let (base, size) = outcome.unwrap_or_else(|fault| {
            (
                Err(Absent::unreadable(fault)),
                Err(Absent::unreadable(fault)),
            )
        });
        let size = size.and_then(|size| match self.foreign_part(guest, modd) {
            Some(at) => {
                let rule = "each part of a module's memory names its module (mtn.mod)";
                Err(Absent::implausible(size, rule, Some(at)))
            }
            None => Ok(size),
        });
        (base, size)
    }

    /// The parts of memory of the module at `modd` that it has, by address.
    pub(super) fn ranges(&self, guest: &Guest, modd: VirtAddr) -> Seen<Vec<ModulePart>> {
        let space = &guest.space;
        let mut parts = Vec::new();
        let mut add = |base: VirtAddr, size: u64, at: VirtAddr| {
            if base.is_null() && size == 0 {
                return Ok(());
            }
            if !guest.is_kernel_address(base) || size == 0 || size > LIMIT {
                let rule = "a module's memory has 1 byte to 1 GiB, in the kernel's half";
                return Err(Absent::implausible(size, rule, Some(at)));
            }
            parts.push(ModulePart { base, size });
            Ok(())
        };
        match self.shape {
            Shape::Parts {
                first,
                count,
                part,
                base,
                size,
                ..
            } => {
                for index in 0..count {
                    let at = first.place(modd).plus(index.wrapping_mul(part.size));
                    add(base.read(space, at)?, size.read(space, at)?, at)?;
                }
            }
            Shape::Core {
                base,
                size,
                init_base,
                init_size,
                ..
            } => {
                add(
                    base.read(space, modd)?,
                    size.read(space, modd)?,
                    base.place(modd),
                )?;
                if let Some(init_base) = init_base {
                    let (base, size) = (init_base.read(space, modd)?, init_size.read(space, modd)?);
                    add(base, size, init_base.place(modd))?;
                }
            }
            Shape::Unknown => return Err(Absent::not_in_this_kernel()),
        }
        parts.sort_by_key(|part| part.base);
        Ok(parts)
    }

    /// Where the code of the module at `modd` lies that stays.
    pub(super) fn text(&self, guest: &Guest, modd: VirtAddr) -> Seen<std::ops::Range<VirtAddr>> {
        let space = &guest.space;
        let (base, size, at) = match self.shape {
            Shape::Parts {
                first,
                part,
                text,
                base,
                size,
                ..
            } => {
                let at = first.place(modd).plus(text.wrapping_mul(part.size));
                (base.read(space, at)?, size.read(space, at)?, at)
            }
            Shape::Core {
                base,
                text: Some(text),
                ..
            } => (
                base.read(space, modd)?,
                text.read(space, modd)?,
                text.place(modd),
            ),
            _ => return Err(Absent::not_in_this_kernel()),
        };
        if size > LIMIT || (size > 0 && !guest.is_kernel_address(base)) {
            let rule = "a module's code has at most 1 GiB, in the kernel's half";
            return Err(Absent::implausible(size, rule, Some(at)));
        }
        Ok(base..base.plus(size))
    }

    /// The first part that is not the module's by its own word: the kernel writes that word of every
    /// part, of an empty one too, when it lists the module, and never takes it away.
    fn foreign_part(&self, guest: &Guest, modd: VirtAddr) -> Option<VirtAddr> {
        let space = &guest.space;
        let places = self.nodes.iter().map(|node| node.place(modd));
        let is_foreign = |at: &VirtAddr| space.read_pointer(*at).is_ok_and(|module| module != modd);
        places.into_iter().find(is_foreign)
    }

    fn core(&self, guest: &Guest, modd: VirtAddr) -> Result<(Seen<VirtAddr>, Seen<u64>), Fault> {
        let space = &guest.space;
        let Shape::Core {
            base: base_field,
            size: size_field,
            init_base,
            init_size,
            ..
        } = self.shape
        else {
            return Ok((
                Err(Absent::not_in_this_kernel()),
                Err(Absent::not_in_this_kernel()),
            ));
        };
        let core = Range {
            base: base_field.read(space, modd)?,
            size: size_field.read(space, modd)?,
        };
        let init = init_size.read(space, modd)?;
        let base_at = Some(base_field.place(modd));
        let size_at = Some(size_field.place(modd));
        if let Some(rule) = wrong_start(guest, core.base, true) {
            let base = Err(Absent::implausible(core.base.0, rule, base_at));
            return Ok((base, Ok(core.size.saturating_add(init))));
        }
        let base = Ok(core.base);
        let rule = if core.holds(modd) {
            wrong_end(guest, core, true)
        } else {
            Some("a module's memory holds its struct module")
        };
        if let Some(rule) = rule {
            return Ok((base, Err(Absent::implausible(core.size, rule, size_at))));
        }
        let init_base = match init_base {
            Some(field) => Some(field.read(space, modd)?),
            None => None,
        };
        let size = match init_base {
            Some(base) if base.is_null() != (init == 0) => {
                let rule = "memory for initialisation has both a place and a size, or neither";
                Err(Absent::implausible(init, rule, Some(init_size.place(modd))))
            }
            Some(base) if !base.is_null() => {
                let range = Range { base, size: init };
                let wrong = wrong_start(guest, base, true).or(wrong_end(guest, range, true));
                let place = Some(init_size.place(modd));
                match wrong {
                    Some(rule) => Err(Absent::implausible(init, rule, place)),
                    None => Ok(core.size.saturating_add(init)),
                }
            }
            _ => Ok(core.size.saturating_add(init)),
        };
        Ok((base, size))
    }

    fn parts(&self, guest: &Guest, modd: VirtAddr) -> Result<(Seen<VirtAddr>, Seen<u64>), Fault> {
        let space = &guest.space;
        let Shape::Parts {
            first,
            count,
            part,
            text,
            base,
            size,
        } = self.shape
        else {
            return Ok((
                Err(Absent::not_in_this_kernel()),
                Err(Absent::not_in_this_kernel()),
            ));
        };
        // All kernels from v6.15 on may carve parts out of one; the symbol is theirs.
        let later = guest.profile.symbol(symbols::const_current_task).is_some();
        let apart = part.is_rox.is_none() && !later;
        let at = |index: u64| first.place(modd).plus(index.wrapping_mul(part.size));
        let mut sum = 0_u64;
        let mut held = false;
        let mut wrong = None;
        let mut code = Err(Absent::not_in_this_kernel());
        for index in 0..count {
            let at = at(index);
            let range = Range {
                base: base.read(space, at)?,
                size: size.read(space, at)?,
            };
            held |= range.holds(modd);
            sum = sum.saturating_add(range.size);
            let empty = range.size == 0 && range.base.is_null();
            let start = if empty {
                None
            } else {
                wrong_start(guest, range.base, apart)
            };
            if index == text {
                let rule = if empty {
                    Some("a module has code")
                } else {
                    start
                };
                code = match rule {
                    Some(rule) => Err(Absent::implausible(
                        range.base.0,
                        rule,
                        Some(base.place(at)),
                    )),
                    None => Ok(range.base),
                };
            }
            let rule = match start {
                _ if empty => None,
                Some(rule) => Some(rule),
                None => wrong_end(guest, range, apart),
            };
            if let Some(rule) = rule {
                let place = Some(size.place(at));
                wrong.get_or_insert_with(|| Err(Absent::implausible(range.size, rule, place)));
            }
        }
        if !held {
            let rule = "a module's memory holds its struct module";
            wrong.get_or_insert_with(|| Err(Absent::implausible(sum, rule, Some(modd))));
        }
        Ok((code, wrong.unwrap_or(Ok(sum))))
    }
}

/// Whether the kernel's tables map nothing at `at`. Where they cannot be read, neither this nor
/// [`is_mapped`] says yes.
fn is_unmapped(guest: &Guest, at: VirtAddr) -> bool {
    let absent = |fault: &Fault| {
        matches!(
            fault.cause,
            Cause::NotPresent { .. } | Cause::Elsewhere { .. } | Cause::NonCanonical
        )
    };
    guest.space.translate(at).is_err_and(|fault| absent(&fault))
}

fn is_mapped(guest: &Guest, at: VirtAddr) -> bool {
    guest.space.translate(at).is_ok()
}

/// The rule that memory of a module from `base` on breaks. `apart`: it is an allocation of its own.
fn wrong_start(guest: &Guest, base: VirtAddr, apart: bool) -> Option<&'static str> {
    let aligned = !apart || base.in_page() == 0;
    if !aligned || !guest.is_kernel_address(base) {
        Some("a module's memory starts with a page of the kernel's half")
    } else if is_unmapped(guest, base) {
        Some("a module's memory is mapped")
    } else if apart && is_mapped(guest, base.minus(1)) {
        Some("the page before a module's memory is not mapped")
    } else {
        None
    }
}

/// The rule that the size of a module's memory breaks.
fn wrong_end(guest: &Guest, range: Range, apart: bool) -> Option<&'static str> {
    if range.size == 0 || range.size > LIMIT {
        return Some("a module's memory has 1 byte to 1 GiB");
    }
    let end = range.base.plus(range.size);
    let over = end.plus(PAGE_BYTES.wrapping_sub(1));
    let next = VirtAddr(over.0 & !PAGE_BYTES.wrapping_sub(1));
    if is_unmapped(guest, end.minus(1)) {
        Some("a module's memory is mapped to its end")
    } else if apart && has_holes(guest, range.base..end) {
        Some("a module's memory is mapped without a hole")
    } else if apart && is_mapped(guest, next) {
        Some("the page after a module's memory is not mapped")
    } else {
        None
    }
}

/// Whether the kernel's tables map some page of `range`, which starts at one, to nothing: between two
/// modules lies such a page.
fn has_holes(guest: &Guest, range: std::ops::Range<VirtAddr>) -> bool {
    let mut next = range.start;
    let end = range.end;
    let mut whole = true;
    guest.space.mapped(range, &mut |met| match met {
        Ok(met) if met.start == next => {
            next = met.start.plus(met.len);
            ControlFlow::Continue(())
        }
        Ok(_) => ControlFlow::Break(()),
        // What is mapped there is not known.
        Err(_) => {
            whole = false;
            ControlFlow::Break(())
        }
    });
    whole && next < end
}

/// Number of parts in `module.mem`, at most 16.
fn parts_of(resolver: &Resolver<'_>, stride: u64) -> u64 {
    let module = resolver.profile().find_type(Module::STRUCTURE);
    let member = module.and_then(|module| module.member("mem"));
    let count = member.map_or(0, |member| match &member.kind {
        Kind::Array { count, .. } => *count,
        _ => member.bytes.checked_div(stride).unwrap_or(0),
    });
    count.min(16)
}
