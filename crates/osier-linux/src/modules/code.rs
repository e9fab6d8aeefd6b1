//! The code of a module, and the symbols that the kernel keeps of it.
//!
//! Linux commit 8244062ef1e5 ("modules: fix longstanding /proc/kallsyms vs module insertion race."), v4.5, made
//! `mod_kallsyms` of three members of `struct module`.

use std::ops::Range;
use std::rc::Rc;

use foldhash::{HashMap, HashMapExt as _};
use osier_memory::{AddressSpace, VirtAddr};
use osier_osi::{Absent, Seen};
use osier_profile::{Field, Ptr, Resolver, UInt, layout};

use super::extent::Extent;
use crate::code_symbols::CodeSymbols;
use crate::guest::Guest;
use crate::layouts::Module;

/// More symbols than any module has.
const MOST: u64 = 1 << 18;
/// Longest name of a symbol that is read.
const NAME: usize = 512;

layout! {
    /// Fields read from `struct mod_kallsyms`.
    pub(crate) struct Table: "mod_kallsyms" {
        /// The symbols.
        symtab: Option<Field<Ptr<()>>>,
        /// How many there are.
        num_symtab: Option<Field<UInt>>,
        /// Their names.
        strtab: Option<Field<Ptr<()>>>,
    }
}

/// Where the table of a module's symbols stands: in the structure that this member leads to, or in `struct module`.
#[derive(Clone, Copy, Debug)]
struct TablePlace {
    through: Option<Field<Ptr<()>>>,
    symbols: Field<Ptr<()>>,
    count: Field<UInt>,
    names: Field<Ptr<()>>,
}

/// How to read the symbols of a module; empty when the profile does not say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symbols(Option<TablePlace>);

/// The code of a module.
#[derive(Debug)]
pub(crate) struct ModuleCode {
    /// Where it lies.
    pub(crate) text: Range<VirtAddr>,
    /// Its functions.
    pub(crate) symbols: CodeSymbols,
}

impl Symbols {
    pub(super) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        let members = Module::resolve(resolver);
        let table = Table::resolve(resolver);
        let place = |through, symbols: Option<_>, count, names| {
            let ((symbols, count), names) = symbols.zip(count).zip(names)?;
            Some(TablePlace {
                through,
                symbols,
                count,
                names,
            })
        };
        let apart = members
            .kallsyms
            .and_then(|through| place(Some(through), table.symtab, table.num_symtab, table.strtab));
        let within = || place(None, members.symtab, members.num_symtab, members.strtab);
        Self(apart.or_else(within))
    }

    /// The code of the module at `modd`. Names are read when they are asked for, through `space`.
    pub(super) fn code(
        &self,
        guest: &Guest,
        extent: &Extent,
        space: &Rc<AddressSpace>,
        modd: VirtAddr,
    ) -> Seen<ModuleCode> {
        let Some(place) = self.0 else {
            return Err(Absent::not_in_this_kernel());
        };
        let text = extent.text(guest, modd)?;
        let table = match place.through {
            Some(through) => through.read(&guest.space, modd)?,
            None => modd,
        };
        let symbols = place.symbols.read(&guest.space, table)?;
        let count = place.count.read(&guest.space, table)?;
        let names = place.names.read(&guest.space, table)?;
        if count > MOST {
            let rule = "a module has at most 262,144 symbols";
            return Err(Absent::implausible(
                count,
                rule,
                Some(place.count.place(table)),
            ));
        }
        let wide = guest.pointer_bytes() == 8;
        // `Elf64_Sym` and `Elf32_Sym`: a name's place, and where the value and the section's number stand.
        let (bytes, value, section) = if wide { (24, 8, 6) } else { (16, 4, 14) };
        let mut all = vec![0; usize::try_from(count).unwrap_or(0).saturating_mul(bytes)];
        guest.space.read(symbols, &mut all)?;
        let word = |symbol: &[u8], at: usize, width: usize| {
            let bytes = symbol.get(at..at.saturating_add(width)).unwrap_or_default();
            let bytes = bytes.iter().rev();
            bytes.fold(0_u64, |value, byte| {
                value.wrapping_shl(8) | u64::from(*byte)
            })
        };
        let mut places = HashMap::new();
        for symbol in all.chunks_exact(bytes) {
            let at = VirtAddr(word(symbol, value, if wide { 8 } else { 4 }));
            if word(symbol, section, 2) != 0 && text.contains(&at) {
                places.entry(at).or_insert(word(symbol, 0, 4));
            }
        }
        let starts = places.keys().copied().collect();
        let space = space.clone();
        let places = Rc::new(places);
        let called = Rc::clone(&places);
        let name = move |start: VirtAddr| {
            let place = names.plus(*called.get(&start)?);
            space.read_cstr(place, NAME).ok()
        };
        let name = Rc::new(name);
        let of = Rc::clone(&name);
        let (all, called) = (Rc::clone(&places), Rc::clone(&name));
        let place = move |name: &[u8]| {
            let mut starts = all.keys().copied();
            starts.find(|start| called(*start).as_deref() == Some(name))
        };
        let named = move |words: &[&[u8]]| {
            let begins = |start: &VirtAddr| {
                let name = of(*start);
                name.is_some_and(|name| words.iter().any(|word| name.starts_with(word)))
            };
            places.keys().copied().filter(begins).collect()
        };
        let symbols = CodeSymbols::new(
            starts,
            Box::new(move |start| name(start)),
            Box::new(named),
            Box::new(place),
        );
        Ok(ModuleCode { text, symbols })
    }
}
