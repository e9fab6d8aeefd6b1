//! What stands at a word of memory: the structure and the member, told by the profile. Objects are
//! found from the rows along the pointers that the answers read.

use osier::SeenExt as _;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use osier::Osi;
use osier::osier_memory::{AddressSpace, PAGE_BYTES, PhysAddr, VirtAddr};
use osier::osier_profile::{Kind, OsKind, Profile};

use crate::editor::Editor;
use crate::subject::{Subject, WORD};
use crate::windows;

/// Bytes of a string that are named at most.
const STRING: u64 = 512;

/// Every word that has a name, and the objects.
#[derive(Default)]
pub(crate) struct Names {
    /// The name, and the bytes from the object's start: of two objects that seem to hold a word, it is
    /// the nearer one's, for a `task_struct` is shorter than its type says.
    places: BTreeMap<u64, (String, u64)>,
    /// Objects by the type's name.
    pub(crate) objects: BTreeMap<String, BTreeSet<VirtAddr>>,
    tables: BTreeSet<u64>,
    pub(crate) process_tables: BTreeSet<u64>,
    /// Pages of user memory.
    pub(crate) user: BTreeSet<u64>,
    symbols: BTreeMap<u64, String>,
}

impl Names {
    pub(crate) fn of(subject: &Subject, osi: &dyn Osi) -> Self {
        let mut names = Self::default();
        let editor = Editor::of(subject);
        if subject.located.os() != OsKind::Linux {
            names.symbols(subject, &editor);
            windows::name(&mut names, subject, osi);
            return names;
        }
        let space = subject.space();
        let profile = &*subject.profile;
        names.symbols(subject, &editor);
        if let Some(va) = editor.symbol("init_task") {
            names.follow(subject, profile, &space, "task_struct", va);
        }
        let mut found: Vec<(&str, VirtAddr)> = Vec::new();
        let mut taskds = Vec::new();
        let _ = osi.processes(&mut |row| {
            taskds.push(row.taskd);
            ControlFlow::Continue(())
        });
        let _ = osi.modules(&mut |row| {
            found.push(("module", row.modd));
            ControlFlow::Continue(())
        });
        for taskd in taskds {
            found.push(("task_struct", taskd));
            let texts = [
                ("argument vector", "arg_start", "arg_end"),
                ("environment", "env_start", "env_end"),
            ];
            for (name, start, end) in texts {
                names.user_text(subject, osi, &editor, taskd, (name, start, end));
            }
            let _ = osi.threads(taskd, &mut |row| {
                found.push(("task_struct", row.task));
                ControlFlow::Continue(())
            });
            let _ = osi.mappings(taskd, &mut |row| {
                found.push(("vm_area_struct", row.modd));
                ControlFlow::Continue(())
            });
        }
        for (ty, at) in found {
            names.follow(subject, profile, &space, ty, at);
        }
        names.tables_of_files(subject, &editor);
        names.log(subject, &editor);
        names
    }

    /// Names the kernel's variables.
    fn symbols(&mut self, subject: &Subject, editor: &Editor<'_>) {
        for (name, _) in subject.profile.symbols() {
            let va = editor.symbol(name).unwrap_or_default();
            if let Ok(pa) = editor.space.translate(va) {
                self.symbols.insert(pa.0, name.clone());
            }
        }
    }

    /// Names the words of the object at `at`, and those of what its members point to.
    pub(crate) fn follow(
        &mut self,
        subject: &Subject,
        profile: &Profile,
        space: &AddressSpace,
        ty: &str,
        at: VirtAddr,
    ) {
        let mut todo = vec![(ty.to_owned(), at)];
        while let Some((ty, at)) = todo.pop() {
            let Some(found) = profile.find_type(&ty) else {
                continue;
            };
            if !self.objects.entry(ty.clone()).or_default().insert(at) {
                continue;
            }
            if ty == "vfsmount"
                && let Some(member) = profile.find_type("mount").and_then(|ty| ty.member("mnt"))
            {
                let mount = at.0.wrapping_add_signed(member.offset.wrapping_neg());
                todo.push(("mount".to_owned(), VirtAddr(mount)));
            }
            self.tables
                .extend(space.walk(at).steps.iter().map(|step| step.at.page().0));
            let bytes = found.bytes.max(8);
            let mut offset = 0;
            while offset < bytes {
                let va = at.plus(offset);
                let in_page = PAGE_BYTES - va.in_page();
                let Ok(pa) = space.translate(va) else {
                    offset += in_page;
                    continue;
                };
                let end = (bytes - offset).min(in_page);
                for (word, _) in subject.read_by.range(pa.0 / WORD * WORD..pa.0 + end) {
                    let member = offset + (word.wrapping_sub(pa.0));
                    let Some((name, begin, kind)) = member_at(profile, &ty, member) else {
                        continue;
                    };
                    self.put(*word, format!("{ty}.{name}"), member);
                    if begin != member {
                        continue;
                    }
                    let Ok(value) = space.read_pointer(at.plus(member)) else {
                        continue;
                    };
                    if let Some((to, value)) = windows::leads_to(&ty, &name, value) {
                        todo.push((to.to_owned(), value));
                    } else if let Kind::Pointer { to } = &kind
                        && value.0 != 0
                        && !to.is_empty()
                        && to != "_EPROCESS"
                    {
                        todo.push((to.clone(), value));
                    }
                    // What the answers read of it is a special mapping's; its name is text.
                    if name == "vm_private_data" {
                        todo.push(("vm_special_mapping".to_owned(), value));
                    }
                    if ty == "vm_special_mapping" && name == "name" {
                        self.text(subject, space, value);
                    }
                    if ty.starts_with('_') && name.ends_with("Buffer") {
                        // `Length` and `MaximumLength` stand before it, with what aligns it.
                        let width = u64::from(subject.located.mode().pointer_bytes());
                        let length = at.plus(member).minus(width);
                        let bytes = space.read_uint(length, 2).unwrap_or_default();
                        let text = format!("text of {ty}.{name}");
                        self.string(subject, space, &text, value, bytes);
                    }
                    if ty == "maple_tree" || name.ends_with("ma_root") {
                        self.maple(subject, space, value);
                    }
                }
                offset += end;
            }
        }
    }

    fn put(&mut self, word: u64, name: String, from_start: u64) {
        let nearer = |(_, old): &(String, u64)| from_start < *old;
        if self.places.get(&word).is_none_or(nearer) {
            self.places.insert(word, (name, from_start));
        }
    }

    /// Names the words of a process's arguments or environment, and of the tables that lead to it.
    fn user_text(
        &mut self,
        subject: &Subject,
        osi: &dyn Osi,
        editor: &Editor<'_>,
        task: VirtAddr,
        (name, start, end): (&str, &str, &str),
    ) {
        let mm = editor.place("task_struct", task, "mm");
        let mm = mm.and_then(|at| editor.pointer(at)).unwrap_or_default();
        let bound = |path| {
            editor
                .place("mm_struct", mm, path)
                .and_then(|at| editor.pointer(at))
        };
        let (Some(start), Some(end)) = (bound(start), bound(end)) else {
            return;
        };
        let Some(space) = osi.address_space(task).get().cloned() else {
            return;
        };
        let steps = space.walk(start).steps;
        self.process_tables
            .extend(steps.iter().map(|step| step.at.page().0));
        // From the 64-bit word on that its first byte lies in: a damage is called by its first half.
        for at in (start.0 / 8 * 8..end.0)
            .step_by(WORD as usize)
            .take(1 << 16)
        {
            if let Ok(pa) = space.translate(VirtAddr(at))
                && subject.read_by.contains_key(&pa.0)
            {
                self.put(pa.0, name.to_owned(), 0);
            }
        }
    }

    /// Names the words of `bytes` bytes at `at`.
    fn range(
        &mut self,
        subject: &Subject,
        space: &AddressSpace,
        name: &str,
        at: VirtAddr,
        bytes: u64,
    ) {
        for offset in (0..bytes).step_by(WORD as usize) {
            if let Ok(pa) = space.translate(at.plus(offset))
                && subject.read_by.contains_key(&pa.0)
            {
                self.put(pa.0, name.to_owned(), offset);
            }
        }
    }

    /// Names the arrays of files, the bitmaps beside them, and the files.
    fn tables_of_files(&mut self, subject: &Subject, editor: &Editor<'_>) {
        let word = u64::from(subject.located.mode().pointer_bytes());
        let tables = self.objects.get("fdtable").cloned().unwrap_or_default();
        for table in tables {
            let read = |path: &str| editor.pointer(editor.place("fdtable", table, path)?);
            let slots = editor.place("fdtable", table, "max_fds");
            let slots = slots.and_then(|at| editor.space.read_uint(at, 4).ok());
            let slots = slots.unwrap_or_default().min(1 << 16);
            let (Some(array), Some(open), Some(close)) =
                (read("fd"), read("open_fds"), read("close_on_exec"))
            else {
                continue;
            };
            self.range(
                subject,
                &editor.space,
                "array of files",
                array,
                slots * word,
            );
            self.range(
                subject,
                &editor.space,
                "bitmap of descriptors",
                open,
                slots / 8,
            );
            self.range(
                subject,
                &editor.space,
                "bitmap of close_on_exec",
                close,
                slots / 8,
            );
            for slot in 0..slots {
                if let Some(file) = editor.pointer(array.plus(slot * word))
                    && file.0 != 0
                {
                    self.follow(subject, &subject.profile, &editor.space, "file", file);
                }
            }
        }
        let names = self.objects.get("dentry").cloned().unwrap_or_default();
        for dentry in names {
            let name = editor.place("dentry", dentry, "d_name.name");
            if let Some(name) = name.and_then(|at| editor.pointer(at)) {
                self.string(
                    subject,
                    &editor.space,
                    "dentry.d_name, its text",
                    name,
                    STRING,
                );
            }
        }
    }

    /// Names the records of the log and their text.
    fn log(&mut self, subject: &Subject, editor: &Editor<'_>) {
        let Some(ring) = editor.symbol("prb").and_then(|at| editor.pointer(at)) else {
            return;
        };
        let (profile, space) = (&*subject.profile, &editor.space);
        let number = |path: &str| {
            let at = editor.place("printk_ringbuffer", ring, path)?;
            space.read_uint(at, 4).ok()
        };
        let read = |path: &str| editor.pointer(editor.place("printk_ringbuffer", ring, path)?);
        self.follow(subject, profile, space, "printk_ringbuffer", ring);
        let count = number("desc_ring.count_bits").map_or(0, |bits| 1_u64 << bits.min(16));
        let bytes = number("text_data_ring.size_bits").map_or(0, |bits| 1_u64 << bits.min(24));
        for (ty, path) in [
            ("prb_desc", "desc_ring.descs"),
            ("printk_info", "desc_ring.infos"),
        ] {
            let size = profile.find_type(ty).map_or(0, |found| found.bytes);
            for index in 0..count {
                if let Some(array) = read(path) {
                    self.follow(subject, profile, space, ty, array.plus(index * size));
                }
            }
        }
        if let Some(data) = read("text_data_ring.data") {
            self.range(subject, space, "text of the log", data, bytes);
        }
    }

    /// Names the words of the name of a special mapping.
    fn text(&mut self, subject: &Subject, space: &AddressSpace, at: VirtAddr) {
        let Ok(pa) = space.translate(at) else {
            return;
        };
        for (word, _) in subject.read_by.range(pa.0 / WORD * WORD..pa.0 + 16) {
            self.put(*word, "name of a special mapping".to_owned(), 0);
        }
    }

    /// Names the words of a string of so many bytes, or of [`STRING`].
    fn string(
        &mut self,
        subject: &Subject,
        space: &AddressSpace,
        name: &str,
        at: VirtAddr,
        bytes: u64,
    ) {
        let end = at.0.saturating_add(bytes.min(STRING));
        for byte in (at.0 / WORD * WORD..end).step_by(WORD as usize) {
            match space.translate(VirtAddr(byte)) {
                Ok(pa) if subject.read_by.contains_key(&pa.0) => {
                    self.put(pa.0, name.to_owned(), byte.saturating_sub(at.0));
                }
                _ => break,
            }
        }
    }

    /// Names the words of a maple tree's nodes.
    fn maple(&mut self, subject: &Subject, space: &AddressSpace, root: VirtAddr) {
        let mut todo = vec![root];
        while let Some(tagged) = todo.pop() {
            let node = VirtAddr(tagged.0 & !0xff);
            let Ok(pa) = space.translate(node) else {
                continue;
            };
            if tagged.0 & 2 == 0
                || !self
                    .objects
                    .entry("maple_node".to_owned())
                    .or_default()
                    .insert(node)
            {
                continue;
            }
            for (word, _) in subject.read_by.range(pa.0..pa.0 + 256) {
                let offset = word - pa.0;
                self.put(*word, "maple_node".to_owned(), offset);
                if offset % 8 == 0
                    && let Ok(value) = space.read_pointer(node.plus(offset))
                    && value.0 & 0xff != 0
                    && value.0 >> 56 == 0xff
                {
                    todo.push(value);
                }
            }
        }
    }

    /// What to call the word at `pa`.
    pub(crate) fn name(&self, pa: PhysAddr) -> String {
        if let Some((name, _)) = self.places.get(&pa.0) {
            return name.clone();
        }
        if self.tables.contains(&pa.page().0) {
            return "page table of the kernel".to_owned();
        }
        if self.process_tables.contains(&pa.page().0) {
            return "page table of a process".to_owned();
        }
        if self.user.contains(&pa.page().0) {
            return "user memory".to_owned();
        }
        match self.symbols.range(..=pa.0).next_back() {
            Some((at, name)) if pa.0 - at < 0x800 => {
                format!("symbol {name}")
            }
            _ => "(unnamed)".to_owned(),
        }
    }
}

/// The name, start, kind and size of the member of `ty` at `offset`, structures inside looked into.
fn member_at(profile: &Profile, ty: &str, offset: u64) -> Option<(String, u64, Kind)> {
    let found = profile.find_type(ty)?;
    let covers = |member: &&osier::osier_profile::Member| {
        u64::try_from(member.offset)
            .is_ok_and(|from| from <= offset && offset < from + member.bytes.max(1))
    };
    let member = found
        .members()
        .iter()
        .filter(covers)
        .min_by_key(|member| member.bytes)?;
    let begin = u64::try_from(member.offset).ok()?;
    if let Kind::Embedded { name } = &member.kind
        && let Some((inner, at, kind)) = member_at(profile, name, offset - begin)
    {
        return Some((format!("{}.{inner}", member.name), begin + at, kind));
    }
    Some((member.name.clone(), begin, member.kind.clone()))
}
