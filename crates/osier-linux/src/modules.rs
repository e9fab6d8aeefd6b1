//! Kernel modules.
//!
//! Three shapes, newest first: `mem[]` (Linux commit ac3b43283923 ("module: replace
//! `module_layout` with `module_memory`"), v6.4), `core_layout` and `init_layout` (Linux commit
//! 7523e4dc5057 ("module: use a structure to encapsulate layout."), v4.5), and `module_core`.
//! As `/proc/modules` does, the size counts the parts for initialisation as long as they are there.
//! A module that is still being put together is a row too.
//!
//! The list is held against the kernel's other sources ([`twins`]); a module that only those name is
//! a row after the list's. What a module says of its memory is held against the page tables: each
//! part is an allocation of its own, with a page that is not mapped on either side.

pub(crate) mod code;
pub(crate) mod extent;
pub(crate) mod twins;

use std::rc::Rc;

use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};
use osier_memory::{AddressSpace, Each, Fault, VirtAddr};
use osier_osi::{
    Absent, Module, ModulePart, ScanSource, ScanSources, Seen, SeenExt as _, WalkEnd, WalkEnds,
    Walked,
};
use osier_profile::{Embed, Field, Resolver};

use crate::guest::Guest;
use crate::{layouts, list, symbols};
pub(crate) use code::ModuleCode;
use extent::Extent;
use twins::{Source, Twins};

/// The walk's name in endings.
const WALK: &str = "modules";
/// Longest name with its NUL where the profile does not say: `MODULE_NAME_LEN` is 64 less a pointer.
const NAME_BYTES: u64 = 64;

/// How to read modules.
#[derive(Clone, Debug)]
pub(crate) struct Modules {
    members: layouts::Module,
    extent: Extent,
    twins: Twins,
    symbols: code::Symbols,
}

impl Modules {
    /// Resolves the shapes that the profile describes.
    pub(crate) fn resolve(resolver: &mut Resolver<'_>) -> Self {
        let extent = Extent::resolve(resolver);
        Self {
            members: layouts::Module::resolve(resolver),
            twins: Twins::resolve(resolver, &extent),
            symbols: code::Symbols::resolve(resolver),
            extent,
        }
    }

    /// The parts of memory of the module at `modd`.
    pub(crate) fn parts(&self, guest: &Guest, modd: VirtAddr) -> Seen<Vec<ModulePart>> {
        self.extent.ranges(guest, modd)
    }

    /// The code of the module at `modd`; names of its functions are read through `space`.
    pub(crate) fn code(
        &self,
        guest: &Guest,
        space: &Rc<AddressSpace>,
        modd: VirtAddr,
    ) -> Seen<ModuleCode> {
        self.symbols.code(guest, &self.extent, space, modd)
    }

    /// The name of the module at `modd`: as in its own array, which a NUL ends, and, where both can
    /// be read, as in its directory of `/sys/module`.
    fn name(&self, guest: &Guest, modd: VirtAddr) -> Seen<Vec<u8>> {
        let Some(field) = self.members.name else {
            return Err(Absent::not_in_this_kernel());
        };
        let at = field.place(modd);
        let room = match field.bytes {
            0 => NAME_BYTES.saturating_sub(u64::from(guest.pointer_bytes())),
            bytes => bytes.min(NAME_BYTES),
        };
        let mut name = vec![0; room as usize];
        if let Err(fault) = guest.space.read(at, &mut name) {
            return Err(Absent::unreadable(fault));
        }
        let implausible = |raw: usize, rule| Err(Absent::implausible(raw as u64, rule, Some(at)));
        let Some(len) = name.iter().position(|&byte| byte == 0) else {
            return implausible(name.len(), "a module's name ends in its array");
        };
        let rest = name.split_off(len);
        // It comes out of the module's file, made of the name of its source.
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) || rest.iter().any(|b| *b != 0)
        {
            return implausible(len, "a module's name is characters, and zeros behind them");
        }
        match self.twins.name(guest, modd) {
            Some(other) if other != name => {
                implausible(len, "a module is called as its directory of /sys/module is")
            }
            _ => Ok(name),
        }
    }

    fn row(&self, guest: &Guest, modd: VirtAddr) -> Module {
        let (base, size) = self.extent.read(guest, modd);
        Module {
            name: self.name(guest, modd),
            base,
            size,
            file: Err(Absent::not_in_this_kernel()),
            modd,
        }
    }

    /// Shows every module.
    pub(crate) fn rows(&self, guest: &Guest, row: Each<'_, Module>) -> WalkEnds {
        let Some((list, head)) = self.members.list.zip(guest.symbol(symbols::modules)) else {
            // A kernel built without modules has neither.
            return WalkEnds::one(
                WALK,
                WalkEnd::no_start("the list of modules in the profile", None),
            );
        };
        let found = find(self, guest, head, list, false);
        let mut bases = HashSet::new();
        for modd in found.listed.into_iter().chain(found.unlisted) {
            let mut module = self.row(guest, modd);
            if let Ok(base) = module.base
                && !bases.insert(base)
            {
                let rule = "no two modules share their memory";
                module.base = Err(Absent::implausible(base.0, rule, Some(modd)));
            }
            if row(module).is_break() {
                return WalkEnds::one(WALK, WalkEnd::Stopped);
            }
        }
        found.ends
    }

    /// Every module that any source names, the memory that modules are loaded into searched as well: the list's first.
    pub(crate) fn searched(&self, guest: &Guest) -> (Vec<(VirtAddr, ScanSources)>, WalkEnds) {
        let Some((list, head)) = self.members.list.zip(guest.symbol(symbols::modules)) else {
            return (Vec::new(), WalkEnds::default());
        };
        let found = find(self, guest, head, list, true);
        let all = found.listed.iter().chain(&found.unlisted);
        let rows = all.map(|modd| {
            let by = found.sources.get(modd).copied().unwrap_or_default();
            (*modd, by)
        });
        (rows.collect(), found.ends)
    }

    /// Its state, `MODULE_STATE_…`; `None` where the profile does not say where it stands.
    pub(crate) fn state(&self, guest: &Guest, modd: VirtAddr) -> Option<Result<u64, Fault>> {
        Some(self.members.state?.read(&guest.space, modd))
    }

    /// The name of the module at `modd`, as its row has it.
    pub(crate) fn named(&self, guest: &Guest, modd: VirtAddr) -> Seen<Vec<u8>> {
        self.name(guest, modd)
    }

    /// Whether the module at `modd` works: others may have left some of the sources.
    fn is_live(&self, guest: &Guest, modd: VirtAddr) -> bool {
        const MODULE_STATE_LIVE: u64 = 0;
        self.state(guest, modd) == Some(Ok(MODULE_STATE_LIVE))
    }
}

/// What all sources together name.
struct Found {
    listed: Vec<VirtAddr>,
    unlisted: Vec<VirtAddr>,
    sources: HashMap<VirtAddr, ScanSources>,
    ends: WalkEnds,
}

/// Asks the sources; the memory of modules with `search`, or where nothing else can be asked.
fn find(
    layout: &Modules,
    guest: &Guest,
    head: VirtAddr,
    list: Field<Embed<()>>,
    search: bool,
) -> Found {
    let Walked { nodes, end } = list::ring(guest, head);
    let listed: Vec<_> = nodes.iter().map(|node| list.container(*node)).collect();
    let closed = end.is_closed();
    let mut found = Found {
        listed,
        unlisted: Vec::new(),
        sources: HashMap::new(),
        ends: WalkEnds::one(WALK, end),
    };
    for modd in &found.listed {
        found
            .sources
            .insert(*modd, ScanSources::default().and(ScanSource::List));
    }
    let in_list: HashSet<_> = found.listed.iter().copied().collect();
    let mut known = in_list.clone();
    let mut sources: Vec<Source> = [layout.twins.tree(guest), layout.twins.set(guest)]
        .into_iter()
        .flatten()
        .collect();
    // The memory of modules itself is asked where nothing else can be.
    if search || !sources.iter().any(|source| source.whole) {
        sources.extend(layout.twins.area(guest, &|modd| {
            let row = layout.row(guest, modd);
            // What the list has is a module, whatever became of its values.
            let whole =
                row.name.get().is_some() && row.base.get().is_some() && row.size.get().is_some();
            whole || in_list.contains(&modd)
        }));
    }
    for source in &sources {
        let named: HashSet<_> = source.modules.iter().copied().collect();
        for modd in &named {
            let by = found.sources.entry(*modd).or_default();
            *by = by.and(source.word);
        }
        if let Some((parts, fault)) = source.unread.filter(|_| search) {
            let what = "pages of the memory of modules";
            found.ends.add(WALK, WalkEnd::Unread { what, parts, fault });
        }
        // A row shows what found it: what could not be asked is told.
        if let Some(fault) = source.fault.filter(|_| search && source.ends.is_empty()) {
            let what = "names of modules there";
            let parts = 1;
            let between = source.between;
            found
                .ends
                .add(between, WalkEnd::Unread { what, parts, fault });
        }
        let only_second = named.difference(&in_list).count();
        // A search says nothing of what it could not read.
        let asked =
            |modd| source.whole || (source.searched && layout.twins.leads_elsewhere(guest, modd));
        let missed = |modd: &&VirtAddr| {
            !named.contains(modd)
                && asked(**modd)
                && (!source.live || layout.is_live(guest, **modd))
        };
        let only_first = found.listed.iter().filter(missed).count();
        if only_first > 0 || only_second > 0 {
            let between = source.between;
            found.ends.add(
                between,
                WalkEnd::Disagreement {
                    between,
                    only_first,
                    only_second,
                },
            );
        }
        let unlisted = source.modules.iter().filter(|modd| known.insert(**modd));
        found.unlisted.extend(unlisted);
        for end in &source.ends {
            found.ends.add(source.between, end.clone());
        }
    }
    // Links prove a list; of an empty one there are none.
    if closed && known.is_empty() && !sources.iter().any(|source| source.whole) {
        let missing = "the module tree and /sys/module, to confirm that the list is empty";
        let end = WalkEnd::no_start(missing, sources.iter().find_map(|source| source.fault));
        found.ends.add(WALK, end);
    }
    found
}
