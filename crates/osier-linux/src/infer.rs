//! Structures without types: a kernel's profile, inferred from what its memory must look like.
//!
//! A kernel that carries no BTF and has no debug package on earth still has the symbols of its kallsyms, and
//! its structures obey rules: the list of all tasks starts in the one that is named "swapper", closes, and has a
//! name in every node; process 1 is the child of the first; a process's page table maps the kernel. A member
//! is taken when one place alone obeys its rules *in every task that was found*. Where none does, or several
//! that do not say the same, the member is left out, and what it would tell is absent.
//!
//! ```text
//!   symbols ──► tasks ──► kin ──► marks       parents, PF_KTHREAD
//!                 │  ├──► threads
//!                 │  ├──► memory              mm, pgd
//!                 │  └──► times               with parents
//!                 └─────► processors          with a provider of all that
//!   symbols ──► modules
//! ```
//!
//! No shape is chosen by a version: the members' order within a structure is used where it is that of every
//! kernel since 2.6.32 (`tgid` follows `pid`, `parent` follows `real_parent`, `active_mm` follows `mm`).

mod ground;
mod kin;
mod marks;
mod memory;
mod modules;
mod processors;
mod tasks;
mod threads;
mod times;

use std::fmt;
use std::sync::Arc;

use osier_memory::Machine;
use osier_profile::{Kind, Member, Profile, ProfileBuilder, Type, TypeKind};

use crate::guest::{self, Guest};
use crate::layouts::COMM_BYTES;
use crate::{Linux, Located, symbols};
use ground::{Ground, Unproven};
use modules::{Extent, Modules};
use tasks::Tasks;
use times::Written;

/// Why nothing was inferred.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel's structures cannot be inferred: {0}")]
pub struct NotInferred(String);

/// Infers a profile of the kernel that `located` names: `symbols` (those of its kallsyms), and the members
/// of its structures that its memory proves. What could be proved and what not is in the profile's provenance.
///
/// Such a profile is [`inferred`](Profile::inferred): a member that it lacks may be there all the same.
///
/// # Errors
///
/// The list of tasks, their names and their ids could not be told.
pub fn infer(
    machine: &Machine,
    located: &Located,
    symbols: Profile,
) -> Result<Profile, NotInferred> {
    let text = symbols.symbol(symbols::_text);
    let linked = text.or_else(|| symbols.symbol(symbols::_stext));
    let linked = linked.ok_or_else(|| NotInferred("its symbols lack _text".to_owned()))?;
    let symbols = Arc::new(symbols);
    let guest = Guest {
        space: located.space(machine),
        profile: symbols.clone(),
        slide: located.text.0.wrapping_sub(linked),
        user_end: guest::user_end(located.mode, located.text, located.text_pa),
        code: located.text..located.text,
        cpus: machine.cpus.clone(),
    };
    let ground = Ground {
        guest: &guest,
        image: located.text..located.end,
        text_pa: located.text_pa,
    };
    let tasks = tasks::find(&ground).map_err(NotInferred)?;
    let mut shapes = Shapes::new(ground.word());
    shapes.tasks(&tasks);
    let kin = shapes.take("real_parent", kin::find(&ground, &tasks));
    if let Some(kin) = kin {
        shapes.kin(&kin);
    }
    let memory = shapes.take("mm and mm_struct.pgd", memory::find(&ground, &tasks));
    if let Some(memory) = memory {
        shapes.pointer(TASK, "mm", memory.mm);
        shapes.pointer(TASK, "active_mm", memory.mm.saturating_add(ground.word()));
        shapes.pointer("mm_struct", "pgd", memory.pgd);
    }
    let marks = match kin.zip(memory) {
        Some((kin, memory)) => marks::find(&ground, &tasks, kin.real_parent, memory.mm),
        None => Err(Unproven::Without("parents and memory")),
    };
    if let Some(at) = shapes.take("flags", marks) {
        shapes.int(TASK, "flags", at, false);
    }
    shapes.threads(&ground, &tasks);
    let parent = kin.map(|kin| kin.real_parent);
    if let Some(starts) = shapes.take("start_time", times::find(&ground, &tasks, parent)) {
        let bytes = starts.written.bytes(&ground);
        shapes.starts(starts.at, starts.written, bytes);
    }
    let modules = modules::find(&ground);
    if let Ok(modules) = &modules {
        shapes.modules(modules);
    } else if let Err(why) = &modules {
        shapes.missing.push(format!("the list of modules: {why}"));
    }
    let mut heads = vec![(symbols::init_task, tasks.init)];
    heads.extend(modules.iter().map(|found| (symbols::modules, found.head)));
    let linked = heads
        .into_iter()
        .filter(|(name, _)| symbols.symbol(name).is_none())
        .map(|(name, at)| (name, at.0.wrapping_sub(guest.slide)))
        .collect::<Vec<_>>();

    // Whoever asks the processors needs a provider: one of what is known so far.
    let first = Arc::new(shapes.profile(&symbols, &linked, &tasks));
    let linux =
        Linux::attach(machine, located, first).map_err(|error| NotInferred(error.to_string()))?;
    if processors::is_first_of_hot(&ground, &tasks, &linux) == Some(true) {
        shapes.pointer("pcpu_hot", "current_task", 0);
    }
    if let Some(idle) = shapes.take("rq.idle", processors::idle(&ground, &tasks, &linux)) {
        shapes.pointer("rq", "idle", idle);
    }
    Ok(shapes.profile(&symbols, &linked, &tasks))
}

/// The structure of a task.
const TASK: &str = "task_struct";

/// The members found so far, and what was not found.
struct Shapes {
    word: u64,
    types: Vec<(&'static str, u64, Vec<Member>)>,
    missing: Vec<String>,
}

impl Shapes {
    fn new(word: u64) -> Self {
        Self {
            word,
            types: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// What was found, or a note that it was not.
    fn take<T>(&mut self, what: &str, found: Result<T, Unproven>) -> Option<T> {
        match found {
            Ok(found) => Some(found),
            Err(why) => {
                self.note(what, why);
                None
            }
        }
    }

    fn note(&mut self, what: &str, why: impl fmt::Display) {
        self.missing.push(format!("{what}: {why}"));
    }

    fn add(&mut self, ty: &'static str, name: &str, offset: u64, bytes: u64, kind: Kind) {
        let member = Member {
            name: name.to_owned(),
            offset: offset.cast_signed(),
            bytes,
            bits: None,
            kind,
        };
        match self.types.iter_mut().find(|(known, ..)| *known == ty) {
            Some((.., members)) => members.push(member),
            None => self.types.push((ty, 0, vec![member])),
        }
    }

    fn pointer(&mut self, ty: &'static str, name: &str, offset: u64) {
        let kind = Kind::Pointer { to: String::new() };
        self.add(ty, name, offset, self.word, kind);
    }

    fn int(&mut self, ty: &'static str, name: &str, offset: u64, signed: bool) {
        self.add(ty, name, offset, 4, Kind::Int { signed });
    }

    fn long(&mut self, ty: &'static str, name: &str, offset: u64, bytes: u64) {
        self.add(ty, name, offset, bytes, Kind::Int { signed: false });
    }

    fn embedded(&mut self, ty: &'static str, name: &str, offset: u64, of: &str, bytes: u64) {
        let name_of = of.to_owned();
        self.add(ty, name, offset, bytes, Kind::Embedded { name: name_of });
    }

    fn list(&mut self, ty: &'static str, name: &str, offset: u64) {
        let bytes = self.word.saturating_mul(2);
        self.embedded(ty, name, offset, "list_head", bytes);
    }

    fn text(&mut self, ty: &'static str, name: &str, offset: u64, bytes: u64) {
        let of = Box::new(Kind::Int { signed: true });
        self.add(ty, name, offset, bytes, Kind::Array { of, count: bytes });
    }

    fn sized(&mut self, ty: &'static str, bytes: u64) {
        if let Some((_, size, _)) = self.types.iter_mut().find(|(known, ..)| *known == ty) {
            *size = bytes;
        }
    }

    fn tasks(&mut self, tasks: &Tasks) {
        self.list(TASK, "tasks", tasks.link);
        self.text(TASK, "comm", tasks.comm, COMM_BYTES as u64);
        self.pointer(TASK, "group_leader", tasks.leader);
        self.int(TASK, "pid", tasks.pid, true);
        self.int(TASK, "tgid", tasks.pid.saturating_add(4), true);
    }

    fn kin(&mut self, kin: &kin::Kin) {
        self.pointer(TASK, "real_parent", kin.real_parent);
        let parent = kin.real_parent.saturating_add(self.word);
        self.pointer(TASK, "parent", parent);
        if let Some((children, sibling)) = self.take("children and sibling", kin.lists) {
            self.list(TASK, "children", children);
            self.list(TASK, "sibling", sibling);
        }
    }

    fn threads(&mut self, ground: &Ground<'_>, tasks: &Tasks) {
        let shared = threads::shared(ground, tasks);
        let group = threads::group(ground, tasks);
        if let (Err(shared), Err(group)) = (&shared, &group) {
            let (shared, group) = (*shared, *group);
            self.note("signal_struct.thread_head", shared);
            self.note("thread_group", group);
        }
        if let Ok(at) = group {
            self.list(TASK, "thread_group", at);
        }
        if let Ok(shared) = shared {
            self.pointer(TASK, "signal", shared.signal);
            self.list(TASK, "thread_node", shared.node);
            self.list("signal_struct", "thread_head", shared.head);
            if let Some(count) = shared.count {
                self.int("signal_struct", "nr_threads", count, true);
            }
        }
    }

    fn starts(&mut self, at: u64, written: Written, bytes: u64) {
        match written {
            Written::Nanoseconds => {
                self.long(TASK, "start_time", at, bytes);
                self.long(TASK, "start_boottime", at.saturating_add(bytes), bytes);
            }
            Written::Timespec => {
                self.embedded(TASK, "start_time", at, "timespec", bytes);
                self.add(
                    "timespec",
                    "tv_sec",
                    0,
                    self.word,
                    Kind::Int { signed: true },
                );
                let nanoseconds = Kind::Int { signed: true };
                self.add("timespec", "tv_nsec", self.word, self.word, nanoseconds);
            }
        }
    }

    fn modules(&mut self, modules: &Modules) {
        const MODULE: &str = "module";
        let word = self.word;
        self.int(MODULE, "state", 0, false);
        self.list(MODULE, "list", word);
        let name = word.saturating_mul(3);
        self.text(MODULE, "name", name, 64_u64.saturating_sub(word));
        match self.take("where modules keep their memory", modules.extent) {
            Some(Extent::Old { core }) => {
                let sizes = core.saturating_add(word);
                self.pointer(MODULE, "module_init", core.saturating_sub(word));
                self.pointer(MODULE, "module_core", core);
                self.int(MODULE, "init_size", sizes, false);
                self.int(MODULE, "core_size", sizes.saturating_add(4), false);
            }
            Some(Extent::Layouts { core, init }) => {
                let bytes = init.saturating_sub(core);
                self.embedded(MODULE, "core_layout", core, "module_layout", bytes);
                self.embedded(MODULE, "init_layout", init, "module_layout", bytes);
                self.pointer("module_layout", "base", 0);
                self.int("module_layout", "size", word, false);
            }
            Some(Extent::Parts { mem, bytes, size }) => {
                let name = "module_memory".to_owned();
                let of = Box::new(Kind::Embedded { name });
                let count = modules::PARTS;
                let all = bytes.saturating_mul(count);
                self.add(MODULE, "mem", mem, all, Kind::Array { of, count });
                self.pointer("module_memory", "base", 0);
                self.int("module_memory", "size", size, false);
                if size > word {
                    let at = size.saturating_sub(4);
                    self.long("module_memory", "is_rox", at, 1);
                }
                self.sized("module_memory", bytes);
            }
            None => {}
        }
    }

    /// The profile: `symbols`, those in `found`, and the members found so far.
    fn profile(&self, symbols: &Profile, found: &[(&str, u64)], tasks: &Tasks) -> Profile {
        let mut builder = ProfileBuilder::new(symbols.identity().clone());
        builder.set_text_head(symbols.text_head().to_vec());
        for line in symbols.provenance() {
            builder.provenance(line.as_str());
        }
        for line in symbols.damage() {
            builder.damaged(line.as_str());
        }
        builder.set_inferred();
        let left_out = if self.missing.is_empty() {
            String::new()
        } else {
            format!("; left out: {}", self.missing.join("; "))
        };
        builder.provenance(format!(
            "structures inferred from the kernel's memory, each member proved by {} processes: {}{left_out}",
            tasks.leaders.len(),
            self.members()
        ));
        for (name, value) in symbols.symbols() {
            builder.add_symbol(name.as_str(), *value);
        }
        for (name, value) in found {
            builder.add_symbol(*name, *value);
        }
        for (name, bytes, members) in &self.types {
            let name = (*name).to_owned();
            let ty = Type::new(name, TypeKind::Struct, *bytes, members.clone());
            builder.add_type(ty);
        }
        builder.build()
    }

    /// The members, in words.
    fn members(&self) -> String {
        let types = self.types.iter().map(|(name, _, members)| {
            let members: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
            format!("{name} ({})", members.join(", "))
        });
        types.collect::<Vec<_>>().join("; ")
    }
}
