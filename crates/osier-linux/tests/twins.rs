//! What the kernel says twice, changed in one of its places: each lie is told, by an absence in the
//! row or by an ending, over the snapshots that lie beside the source.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

#[allow(dead_code, reason = "other tests ask more of real machines")]
mod real;
#[allow(dead_code, reason = "other tests ask more of toys")]
mod toys;

use std::ops::ControlFlow;
use std::sync::Arc;

use osier_linux::{Linux, Located};
use osier_memory::{CpuState, Machine, VirtAddr};
use osier_osi::{
    Current, LinuxProcess, Mapping, Module, Osi, PageRange, Process, ProcessExtra, Seen,
    SeenExt as _, WalkEnd, WalkEnds,
};
use osier_profile::Profile;
use osier_testkit::data::workspace;
use osier_testkit::{Patched, ToyKernel};
use real::{SNAPSHOTS, mappings, processes};

/// A snapshot to change words of.
struct Bench {
    machine: Machine,
    located: Located,
    profile: Arc<Profile>,
    linux: Linux,
    word: usize,
}

impl Bench {
    fn new(name: &str) -> Self {
        let file = workspace().join(format!("snapshots/{name}.elf"));
        let (machine, located, profile) = real::parts(&file);
        Self {
            linux: Linux::attach(&machine, &located, profile.clone()).unwrap(),
            word: usize::from(located.mode.pointer_bytes()),
            machine,
            located,
            profile,
        }
    }

    /// The same machine with these places, widths and values in them.
    fn with(&self, words: &[(VirtAddr, usize, u64)]) -> Linux {
        let mut memory = Patched::new(self.machine.memory.clone());
        for (at, width, value) in words {
            let pa = self.linux.kernel_space().translate(*at).unwrap();
            memory.write_uint(pa, *value, *width);
        }
        let mut machine = self.machine.clone();
        machine.memory = Arc::new(memory);
        Linux::attach(&machine, &self.located, self.profile.clone()).unwrap()
    }

    fn with_registers(&self, cpus: Vec<CpuState>) -> Linux {
        let mut machine = self.machine.clone();
        machine.cpus = cpus;
        Linux::attach(&machine, &self.located, self.profile.clone()).unwrap()
    }

    /// Place and width of a member of the structure at `at`.
    fn member(&self, at: VirtAddr, structure: &str, path: &[&str]) -> (VirtAddr, usize) {
        let (mut at, mut structure, mut bytes) = (at, structure.to_owned(), 0);
        for name in path {
            let found = self.profile.find_type(&structure).unwrap();
            let member = found.member(name).unwrap();
            at = at.plus(member.offset.cast_unsigned());
            bytes = member.bytes;
            if let osier_profile::Kind::Embedded { name } = &member.kind {
                structure.clone_from(name);
            }
        }
        (at, usize::try_from(bytes).unwrap())
    }

    fn pointer(&self, at: VirtAddr) -> VirtAddr {
        self.linux.kernel_space().read_pointer(at).unwrap()
    }

    fn symbol(&self, name: &str) -> VirtAddr {
        let linked = self.profile.symbol(name).unwrap();
        let text = self.profile.symbol("_text").unwrap();
        VirtAddr(self.located.text.0.wrapping_add(linked - text))
    }

    fn mm(&self, process: &Process) -> VirtAddr {
        self.pointer(self.member(process.taskd, "task_struct", &["mm"]).0)
    }

    /// Processes that have mappings, and those.
    fn mapped(&self) -> Vec<(Process, Vec<Mapping>)> {
        let all = processes(&self.linux).into_values();
        let with_rows = all.map(|process| {
            let (rows, ends) = mappings(&self.linux, &process);
            assert!(ends.is_complete(), "{ends:?}");
            (process, rows)
        });
        with_rows.filter(|(_, rows)| !rows.is_empty()).collect()
    }
}

fn modules(linux: &Linux) -> (Vec<Module>, WalkEnds) {
    let mut rows = Vec::new();
    let ends = linux.modules(&mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    (rows, ends)
}

fn current(linux: &Linux) -> (Vec<Current>, WalkEnds) {
    let mut rows = Vec::new();
    let ends = linux.current(&mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    (rows, ends)
}

fn is_lost<T>(value: &Seen<T>) -> bool {
    value.absence().is_some_and(osier_osi::Absent::is_loss)
}

/// Whether the answer about a process's mappings says that something is wrong.
fn is_told(rows: &[Mapping], ends: &WalkEnds) -> bool {
    !ends.is_complete()
        || rows.iter().any(|row| {
            is_lost(&row.base)
                || is_lost(&row.size)
                || is_lost(&row.name)
                || is_lost(&row.file)
                || is_lost(&row.offset)
                || is_lost(&row.flags)
                || is_lost(&row.kind)
        })
}

#[test]
fn a_process_with_memory_has_mappings() {
    for name in SNAPSHOTS {
        let bench = Bench::new(name);
        for (process, _) in bench.mapped() {
            let mm = bench.mm(&process);
            if mm.is_null() {
                // Its leader has exited, and another thread has it.
                continue;
            }
            let (count, width) = bench.member(mm, "mm_struct", &["map_count"]);
            let tree = bench.profile.find_type("mm_struct").unwrap();
            let (root, root_width) = if tree.member("mm_mt").is_some() {
                bench.member(mm, "mm_struct", &["mm_mt", "ma_root"])
            } else {
                bench.member(mm, "mm_struct", &["mmap"])
            };
            let linux = bench.with(&[(root, root_width, 0), (count, width, 0)]);
            let (rows, ends) = mappings(&linux, &process);
            assert!(
                !ends.is_complete(),
                "{name} {:?}: {}",
                process.pid,
                rows.len()
            );
        }
    }
}

#[test]
fn the_words_of_a_mapping_are_held_against_each_other() {
    for name in SNAPSHOTS {
        let bench = Bench::new(name);
        let (process, rows) = bench.mapped().pop().unwrap();
        // The vsyscall page is the kernel's own.
        for row in rows
            .iter()
            .filter(|row| row.name.get().is_none_or(|n| n != b"[vsyscall]"))
        {
            let word = |member| bench.member(row.modd, "vm_area_struct", &[member]);
            let (start, width) = word("vm_start");
            let base = row.base.value().unwrap().0;
            let end = base + row.size.value().unwrap();
            let mut lies = vec![
                (start, width, base + 8),
                (start, width, base - 0x1000),
                (start, width, 0),
                (start, width, row.modd.0),
                (word("vm_end").0, width, end + 0x1000),
                (word("vm_end").0, width, end - 8),
                (word("vm_end").0, width, 0),
                (word("vm_mm").0, width, row.modd.0),
                (word("vm_file").0, width, 9),
                (word("vm_flags").0, width, 0x3),
            ];
            if row.perms.value().unwrap() != *b"---p" {
                lies.push((word("vm_flags").0, width, 0));
            }
            if row.file.get().is_some() {
                lies.push((word("vm_file").0, width, 0));
                lies.push((
                    word("vm_pgoff").0,
                    width,
                    row.offset.value().unwrap() / 0x1000 + 77,
                ));
            }
            for lie in lies {
                let linux = bench.with(&[lie]);
                let (rows, ends) = mappings(&linux, &process);
                assert!(is_told(&rows, &ends), "{name} {lie:x?} of {row:x?}");
            }
        }
    }
}

#[test]
fn the_places_of_heap_and_stack_are_held_against_each_other() {
    for name in SNAPSHOTS {
        let bench = Bench::new(name);
        let (process, _) = bench.mapped().pop().unwrap();
        let mm = bench.mm(&process);
        for (member, value) in [
            ("start_brk", 0),
            ("start_brk", mm.0),
            ("brk", 0),
            ("brk", mm.0),
            ("start_stack", 0),
            ("start_stack", mm.0),
        ] {
            let (place, width) = bench.member(mm, "mm_struct", &[member]);
            let (rows, ends) = mappings(&bench.with(&[(place, width, value)]), &process);
            assert!(is_told(&rows, &ends), "{name} {member} {value:x}");
        }
    }
}

#[test]
fn a_list_of_modules_is_not_believed_alone() {
    for name in SNAPSHOTS {
        let bench = Bench::new(name);
        let (all, ends) = modules(&bench.linux);
        assert!(ends.is_complete() && all.len() > 5, "{name}: {ends:?}");
        let head = bench.symbol("modules");
        let second = head.plus(bench.word as u64);
        // An empty list.
        let linux = bench.with(&[(head, bench.word, head.0), (second, bench.word, head.0)]);
        let (rows, ends) = modules(&linux);
        assert!(!ends.is_complete(), "{name}: {} rows", rows.len());
        assert_eq!(
            rows.len(),
            all.len(),
            "{name}: the modules themselves are still there"
        );
        // Each in turn taken out of the list, which stays whole.
        for hidden in &all {
            let (node, _) = bench.member(hidden.modd, "module", &["list"]);
            let (next, prev) = (
                bench.pointer(node),
                bench.pointer(node.plus(bench.word as u64)),
            );
            let linux = bench.with(&[
                (prev, bench.word, next.0),
                (next.plus(bench.word as u64), bench.word, prev.0),
            ]);
            let (rows, ends) = modules(&linux);
            assert!(
                ends.bad()
                    .any(|(_, end)| matches!(end, WalkEnd::Disagreement { .. })),
                "{name} {:?}: {ends:?}",
                hidden.name
            );
            assert_eq!(
                rows.last().map(|row| &row.name),
                Some(&hidden.name),
                "{name}"
            );
        }
    }
}

#[test]
fn a_module_lies_where_it_can() {
    for name in SNAPSHOTS {
        let bench = Bench::new(name);
        let (all, _) = modules(&bench.linux);
        let module = &all[1];
        let parts = bench.profile.find_type("module").unwrap().member("mem");
        let member = |name: &str| {
            if parts.is_some() {
                let mem = bench.member(module.modd, "module", &["mem"]).0;
                bench.member(mem, "module_memory", &[name])
            } else {
                bench.member(module.modd, "module", &["core_layout", name])
            }
        };
        let (base, width) = member("base");
        let (size, size_width) = member("size");
        let others = all[2].base.value().unwrap().0;
        for value in [
            0,
            1,
            0x40_0000,
            u64::MAX,
            others,
            module.base.value().unwrap().0 + 0x1000,
        ] {
            let (rows, _) = modules(&bench.with(&[(base, width, value)]));
            assert!(
                is_lost(&rows[1].base) || is_lost(&rows[1].size),
                "{name} base {value:x}"
            );
        }
        for value in [0, 1, 0xffff_ffff, module.size.value().unwrap() + 0x1000] {
            let (rows, _) = modules(&bench.with(&[(size, size_width, value)]));
            assert!(is_lost(&rows[1].size), "{name} size {value:x}");
        }
        if parts.is_none() {
            // What goes after initialisation, where there is nothing.
            let init = |name: &str| bench.member(module.modd, "module", &["init_layout", name]);
            let ((base, width), (size, size_width)) = (init("base"), init("size"));
            let (rows, _) = modules(&bench.with(&[(base, width, 0x8712), (size, size_width, 135)]));
            assert!(is_lost(&rows[1].size), "{name}");
        }
        let (text, room) = bench.member(module.modd, "module", &["name"]);
        let full: Vec<_> = (0..room)
            .map(|at| (text.plus(at as u64), 1, 0x41))
            .collect();
        let (rows, _) = modules(&bench.with(&full));
        assert!(is_lost(&rows[1].name), "{name}: {:?}", rows[1].name);
        let (rows, _) = modules(&bench.with(&[(text, 1, 0)]));
        assert!(is_lost(&rows[1].name), "{name}: {:?}", rows[1].name);
    }
}

#[test]
fn every_part_of_a_modules_memory_names_its_module() {
    for name in SNAPSHOTS {
        let bench = Bench::new(name);
        let (all, _) = modules(&bench.linux);
        let module = &all[1];
        let part = bench.profile.find_type("module_memory");
        let (parts, each): (Vec<VirtAddr>, usize) = if let Some(part) = part {
            let (mem, bytes) = bench.member(module.modd, "module", &["mem"]);
            let each = usize::try_from(part.bytes).unwrap();
            // Of the code, the row has more than the size.
            let of = |nth: usize| mem.plus((nth * each) as u64);
            ((1..bytes / each).map(of).collect(), each)
        } else {
            let (init, each) = bench.member(module.modd, "module", &["init_layout"]);
            (vec![init], each)
        };
        for (nth, part) in (1..).zip(parts) {
            let word = |at| (part.plus(at), 1, 0);
            let zeros: Vec<_> = (0..each as u64).map(word).collect();
            let (rows, _) = modules(&bench.with(&zeros));
            assert!(is_lost(&rows[1].size), "{name}: part {nth}");
        }
    }
}

#[test]
fn every_processor_is_shown_whatever_registers_there_are() {
    let mut several = 0;
    for name in SNAPSHOTS {
        let bench = Bench::new(name);
        let (all, ends) = current(&bench.linux);
        assert!(ends.is_complete(), "{name}: {ends:?}");
        let cpus = &bench.machine.cpus;
        several += usize::from(all.len() > 1);
        let mut sets = vec![cpus.clone()];
        for cpu in cpus {
            // One alone, by its number; one twice; one without what names its processor.
            sets.push(vec![cpu.clone()]);
            sets.push(vec![cpu.clone(), cpu.clone()]);
            let mut bare = cpu.clone();
            bare.segments.gs.base = None;
            bare.kernel_gs_base = None;
            bare.segments.fs.base = None;
            sets.push(vec![bare]);
        }
        for set in sets {
            let numbers: Vec<_> = set.iter().map(|cpu| cpu.index).collect();
            let (rows, ends) = current(&bench.with_registers(set));
            assert_eq!(rows, all, "{name}: registers of {numbers:?}");
            assert!(ends.is_complete(), "{name}: {ends:?}");
        }
    }
    assert!(several > 0);
}

#[test]
fn a_current_task_runs_where_it_is_current() {
    let bench = Bench::new("deb12-6.1-amd64");
    let (all, _) = current(&bench.linux);
    let task = |row: &Current| row.thread.get().unwrap().task;
    let offsets = bench.symbol("__per_cpu_offset");
    let variable = bench.profile.symbol("current_task").unwrap();
    let area = bench.pointer(offsets.plus(8));
    let place = VirtAddr(area.0.wrapping_add(variable));
    assert_eq!(bench.pointer(place), task(&all[1]));
    for lie in [0, task(&all[0]).0, 0x1000, task(&all[1]).0 + 8] {
        let (rows, ends) = current(&bench.with(&[(place, 8, lie)]));
        assert_eq!(rows.len(), 2, "{lie:x}");
        assert!(
            is_lost(&rows[1].thread) || !ends.is_complete(),
            "{lie:x}: {rows:x?}"
        );
    }
}

#[test]
fn pages_of_a_table_that_leads_to_itself_end() {
    let bench = Bench::new("deb12-6.1-amd64-events-a");
    let (process, _) = bench.mapped().pop().unwrap();
    let (pgd, root) = (process.pgd.value().unwrap(), process.asid.value().unwrap());
    // Present, writable, a user's; with and without the mark of a large page.
    for marks in [0x67, 0xe7] {
        let entries: Vec<_> = (0..256)
            .map(|index| (pgd.plus(8 * index), 8, root.0 | marks))
            .collect();
        let linux = bench.with(&entries);
        let mut rows = 0;
        let ends = linux.pages(process.taskd, &mut |_: PageRange| {
            rows += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(rows, 0);
        let ends: Vec<_> = ends.bad().map(|(_, end)| end.word()).collect();
        assert!(
            ends.contains(&"cycle") && ends.contains(&"limit"),
            "{ends:?}"
        );
    }
}

#[test]
fn a_name_is_held_against_its_length_place_and_hash() {
    for name in SNAPSHOTS {
        let bench = Bench::new(name);
        // A process with more than one file: each name proves how the kernel hashes.
        let several = |(_, rows): &(Process, Vec<Mapping>)| {
            rows.iter().filter(|row| row.file.get().is_some()).count() > 2
        };
        let Some((process, rows)) = bench.mapped().into_iter().find(several) else {
            continue;
        };
        let row = rows.iter().rfind(|row| row.file.get().is_some()).unwrap();
        let file = bench.pointer(bench.member(row.modd, "vm_area_struct", &["vm_file"]).0);
        let (dentry, _) = bench.member(file, "file", &["f_path", "dentry"]);
        let at = bench.pointer(dentry);
        let (len, width) = bench.member(at, "dentry", &["d_name", "len"]);
        let (text, word) = bench.member(at, "dentry", &["d_name", "name"]);
        let (parent, _) = bench.member(at, "dentry", &["d_parent"]);
        let bytes = bench.pointer(text);
        let own = u64::try_from(row.name.get().unwrap().len()).unwrap();
        for lie in [
            (len, width, own + 1),
            (len, width, own - 1),
            (len, width, 0),
            (len, width, 255),
            (len, width, 0x10_0000),
            (bytes.plus(1), 1, 0),
            (bytes.plus(1), 1, b'/'.into()),
            (text, word, bytes.0 + 1),
            (text, word, 0),
            (parent, word, 0),
            (parent, word, at.0 + 0x40),
            (dentry, word, bench.pointer(parent).0),
            (dentry, word, 0),
        ] {
            let (rows, ends) = mappings(&bench.with(&[lie]), &process);
            assert!(is_told(&rows, &ends), "{name} {lie:x?} of {:?}", row.file);
        }
    }
}

/// A toy kernel with a word of the mask of online processors or of their number changed, and with
/// these registers.
fn with_processors(toy: &ToyKernel, words: &[(&str, u64)], cpus: Vec<CpuState>) -> Linux {
    let linux = toys::attach(toy, toy.machine.memory.clone()).unwrap();
    let slide = toy.text.0 - toy.profile.symbol("_text").unwrap();
    let mut memory = Patched::new(toy.machine.memory.clone());
    for (symbol, value) in words {
        let at = VirtAddr(toy.profile.symbol(symbol).unwrap() + slide);
        memory.write_uint(linux.kernel_space().translate(at).unwrap(), *value, 4);
    }
    let mut machine = toy.machine.clone();
    machine.memory = Arc::new(memory);
    machine.cpus = cpus;
    Linux::attach(&machine, &toys::located(toy), toy.profile.clone()).unwrap()
}

fn processors_of(toy: &ToyKernel, words: &[(&str, u64)], cpus: Vec<CpuState>) -> (Vec<u32>, bool) {
    let (rows, ends) = current(&with_processors(toy, words, cpus));
    let whole = ends.is_complete() && rows.iter().all(|row| !is_lost(&row.thread));
    (rows.iter().map(|row| row.cpu).collect(), whole)
}

#[test]
fn the_masks_say_which_processors_run() {
    for (mode, era) in osier_testkit::TOYS {
        let toy = ToyKernel::build(mode, era);
        let own = toy.machine.cpus.clone();
        let asked =
            |words: &[(&str, u64)], cpus: &[CpuState]| processors_of(&toy, words, cpus.to_vec());
        for cpus in [&own[..], &own[..1], &own[1..], &[]] {
            assert_eq!(asked(&[], cpus), (vec![0, 1], true));
        }
        // A processor that was never started: its registers name no area.
        let mut unstarted = own.clone();
        unstarted[1].segments.gs.base = Some(0);
        unstarted[1].segments.fs.base = Some(0);
        for cpus in [&unstarted[..], &[]] {
            assert_eq!(asked(&[("__cpu_online_mask", 1)], cpus), (vec![0], true));
        }
        // One that was taken offline is still where its registers are.
        assert_eq!(asked(&[("__cpu_online_mask", 1)], &own), (vec![0, 1], true));
        // A mask without processors, and a number of none.
        assert_eq!(asked(&[("__cpu_online_mask", 0)], &[]), (vec![0, 1], false));
        assert_eq!(asked(&[("nr_cpu_ids", 0)], &[]), (vec![0, 1], false));
        assert_eq!(asked(&[("nr_cpu_ids", 1)], &[]), (vec![0, 1], false));
        assert_eq!(
            asked(&[("nr_cpu_ids", 0x7fff_ffff)], &own),
            (vec![0, 1], false)
        );
    }
}

/// Nor is the idle task of such a processor hidden: its run queue names it, registers or not.
#[test]
fn a_processor_that_does_not_run_has_an_idle_task_all_the_same() {
    for (mode, era) in osier_testkit::TOYS {
        let toy = ToyKernel::build(mode, era);
        let asked = |words: &[(&str, u64)], cpus: &[CpuState]| {
            let linux = with_processors(&toy, words, cpus.to_vec());
            let (mut first, mut names) = (None, Vec::new());
            let _ = linux.processes(&mut |process| {
                first = first.or(Some(process.taskd));
                ControlFlow::Continue(())
            });
            let ends = linux.threads(first.unwrap(), &mut |thread| {
                names.push(thread.name.clone().unwrap());
                ControlFlow::Continue(())
            });
            (names, ends.is_complete())
        };
        let own = &toy.machine.cpus[..];
        let running = asked(&[], own);
        assert_eq!(running.0.len(), 2, "{mode:?} {era:?}");
        for cpus in [own, &own[..1], &[]] {
            let offline = asked(&[("__cpu_online_mask", 1)], cpus);
            assert_eq!(offline, running, "{mode:?} {era:?}");
        }
    }
}

/// What only Linux has of a process.
fn own_of(process: &Process) -> &LinuxProcess {
    match &process.extra {
        ProcessExtra::Linux(own) => own,
        other => panic!("{other:?}"),
    }
}

/// Threads of the kernel are children of kthreadd, which is root's.
#[test]
fn a_kernel_thread_with_the_credentials_of_a_user_is_told() {
    for name in SNAPSHOTS {
        let bench = Bench::new(name);
        let all: Vec<Process> = processes(&bench.linux).into_values().collect();

        let kernel = all.iter().find(|row| own_of(row).kernel_thread == Ok(true));
        let user = all
            .iter()
            .find(|row| own_of(row).uid.get().is_some_and(|uid| *uid != 0));
        let (Some(kernel), Some(user)) = (kernel, user) else {
            continue;
        };
        let cred = |process: &Process| bench.member(process.taskd, "task_struct", &["real_cred"]);
        let ((at, width), (lent, _)) = (cred(kernel), cred(user));
        let linux = bench.with(&[(at, width, bench.pointer(lent).0)]);
        let row = processes(&linux).remove(kernel.pid.get().unwrap()).unwrap();
        assert!(is_lost(&own_of(&row).uid), "{name}: {row:?}");
    }
}

/// A page of zeros where the arguments were is no row of empty arguments.
#[test]
fn arguments_that_are_zeros_are_told() {
    for name in SNAPSHOTS {
        let bench = Bench::new(name);
        let all: Vec<Process> = processes(&bench.linux).into_values().collect();

        let long = |row: &&Process| own_of(row).cmdline.get().is_some_and(|line| line.len() > 8);
        let process = all.iter().find(long).unwrap();
        let mm = bench.mm(process);
        let bound = |member: &str| bench.pointer(bench.member(mm, "mm_struct", &[member]).0);
        let (start, end) = (bound("arg_start"), bound("arg_end"));
        let space = bench.linux.address_space(process.taskd).unwrap();
        let mut memory = Patched::new(bench.machine.memory.clone());
        for at in start.0..end.0 {
            memory.write_uint(space.translate(VirtAddr(at)).unwrap(), 0, 1);
        }
        let mut machine = bench.machine.clone();
        machine.memory = Arc::new(memory);
        let linux = Linux::attach(&machine, &bench.located, bench.profile.clone()).unwrap();
        let row = processes(&linux)
            .remove(process.pid.get().unwrap())
            .unwrap();
        let why = own_of(&row).cmdline.absence().cloned();
        assert!(why.is_some_and(|why| why.is_loss()), "{name}: {row:?}");
    }
}

/// A pointer into the kernel's code is aligned as a table of PAE is, and its page may not be captured.
#[test]
fn a_page_table_in_the_kernels_code_is_told() {
    for name in SNAPSHOTS {
        let bench = Bench::new(name);
        let (process, _) = bench.mapped().remove(0);
        let (at, width) = bench.member(bench.mm(&process), "mm_struct", &["pgd"]);
        let code = bench.symbol("_text").plus(0x12_3000);
        let linux = bench.with(&[(at, width, code.0)]);
        let mut told = false;
        let _ = linux.processes(&mut |row| {
            told |= row.taskd == process.taskd && is_lost(&row.asid);
            ControlFlow::Continue(())
        });
        assert!(told, "{name}");
    }
}

/// Between two modules lies a page that is not mapped: the end of one is not that of another.
#[test]
fn a_module_that_reaches_over_others_is_told() {
    let bench = Bench::new("deb11-5.10-686-pae");
    let (all, ends) = modules(&bench.linux);
    assert!(ends.is_complete() && all.len() > 1);
    let base = |row: &Module| row.base.get().unwrap().0;
    let end = |row: &Module| base(row) + row.size.get().unwrap();
    for row in &all {
        let modd = row.modd;
        let (at, width) = bench.member(modd, "module", &["core_layout", "size"]);
        for other in all.iter().filter(|other| base(other) > base(row)) {
            let linux = bench.with(&[(at, width, end(other) - base(row))]);
            let (rows, ends) = modules(&linux);
            let lied = rows.iter().find(|row| row.modd == modd);
            let told = lied.is_none_or(|row| is_lost(&row.size)) || !ends.is_complete();
            assert!(told, "{row:x?} to the end of {other:x?}");
        }
    }
}

/// The kernel's tables lead to another task's page, which is a task's page as well.
#[test]
fn a_task_of_the_pages_of_two_is_told() {
    let mut tried = 0;
    for name in SNAPSHOTS {
        let bench = Bench::new(name);
        let all: Vec<Process> = processes(&bench.linux).into_values().collect();
        let space = bench.linux.kernel_space();
        let task = bench.profile.find_type("task_struct").unwrap();
        let mut names = ["__state", "state"].into_iter();
        let state = names.rfind(|name| task.member(name).is_some()).unwrap();
        let place = |process: &Process, member: &str| {
            bench.member(process.taskd, "task_struct", &[member]).0
        };
        let mut apart = all
            .iter()
            .filter(|process| place(process, state).page() != place(process, "tgid").page());
        let (Some(one), Some(other)) = (apart.next(), apart.next()) else {
            continue;
        };
        let entry = *space.walk(place(one, state)).steps.last().unwrap();
        if entry.level != 1 {
            continue; // a large page of the direct map has both
        }
        tried += 1;
        let pa = space.translate(place(other, state)).unwrap();
        let own = space.translate(place(one, state)).unwrap();
        let lie = entry.entry - own.page().0 + pa.page().0;
        let mut memory = Patched::new(bench.machine.memory.clone());
        memory.write_uint(
            entry.at,
            lie,
            bench.word.max(if name.contains("pae") { 8 } else { 4 }),
        );
        let mut machine = bench.machine.clone();
        machine.memory = Arc::new(memory);
        let linux = Linux::attach(&machine, &bench.located, bench.profile.clone()).unwrap();
        let mut told = false;
        let ends = linux.processes(&mut |row| {
            told |= row.taskd == one.taskd && is_lost(&own_of(&row).state);
            ControlFlow::Continue(())
        });
        assert!(told || !ends.is_complete(), "{name}");
    }
    assert!(tried > 0, "no machine has a task on two small pages");
}

/// What a mapping's name is not: an object of the kernel with a small number where names count, and nothing
/// behind it.
#[test]
fn a_given_name_without_a_character_is_told() {
    let bench = Bench::new("deb12-6.1-amd64");
    let (process, rows) = bench.mapped().remove(0);
    let row = rows.iter().find(|row| row.file.get().is_none()).unwrap();
    let (at, width) = bench.member(row.modd, "vm_area_struct", &["anon_name"]);
    let place = row.modd.page().plus(4096 - 16);
    let linux = bench.with(&[(place, 8, 1), (place.plus(8), 8, 0), (at, width, place.0)]);
    let (rows, _) = mappings(&linux, &process);
    let lied = rows.iter().find(|other| other.modd == row.modd).unwrap();
    assert!(is_lost(&lied.name), "{lied:?}");
}

/// Rules that look one by one find, in their order, what all find that look together.
#[test]
fn a_rule_finds_alone_what_it_finds_among_others() {
    let bench = Bench::new("deb12-6.1-amd64");
    let traced = processes(&bench.linux).into_values().next().unwrap().taskd;
    let (place, width) = bench.member(traced, "task_struct", &["ptrace"]);
    let linux = bench.with(&[(place, width, 1)]);
    let mut together = Vec::new();
    let _ = linux.findings(&mut |found| {
        together.push(found);
        ControlFlow::Continue(())
    });
    assert!(together.iter().any(|found| found.rule == "process.traced"));
    let mut alone = Vec::new();
    for rule in linux.rules() {
        let _ = linux.findings_of(&[rule], &mut |found| {
            assert_eq!(found.rule, rule);
            alone.push(found);
            ControlFlow::Continue(())
        });
    }
    assert_eq!(alone, together);
    let ends = linux.findings_of(&["process.trace"], &mut |found| panic!("{found:?}"));
    assert_eq!(ends.0, [("findings", WalkEnd::NotAnswered)]);
}

/// A netlink socket counts the groups that it has joined.
#[test]
fn groups_of_netlink_are_counted() {
    for name in ["deb11-5.10-686", "deb12-6.1-amd64"] {
        let bench = Bench::new(name);
        let local = |linux: &Linux| {
            let mut rows = Vec::new();
            let _ = linux.sockets(&mut |row| {
                rows.push((row.address, row.family.value(), row.local.clone()));
                ControlFlow::Continue(())
            });
            rows.retain(|(_, family, _)| *family == Some(16));
            rows
        };
        let rows = local(&bench.linux);
        assert!(rows.len() > 5, "{name}");
        for (at, _, whole) in rows {
            assert!(!is_lost(&whole), "{name}: {whole:?}");
            let (count, width) = bench.member(at, "netlink_sock", &["subscriptions"]);
            let lied = local(&bench.with(&[(count, width, 1)]));
            let row = lied.iter().find(|row| row.0 == at).unwrap();
            assert!(is_lost(&row.2), "{name} {at}: {:?}", row.2);
        }
    }
}
