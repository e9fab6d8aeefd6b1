//! Shapes of kernels that no package has any more, made of the toy kernels: members and symbols by their older
//! or newer names, and what memory then holds.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

#[allow(dead_code, reason = "these tests ask one question at a time")]
mod toys;

use std::ops::ControlFlow;
use std::sync::Arc;

use osier_linux::Linux;
use osier_memory::{Machine, VirtAddr};
use osier_osi::{Osi, Process, ProcessExtra, SeenExt as _, WalkEnds};
use osier_profile::{Profile, ProfileBuilder, Type};
use osier_testkit::{Patched, TOYS, ToyKernel};

/// A new name, or none: it is left out.
type Renamed = Option<&'static str>;

/// A toy kernel and its profile with other names.
struct Shape {
    toy: ToyKernel,
    profile: Profile,
    memory: Patched,
}

impl Shape {
    fn of(toy: ToyKernel, members: &[(&str, &str, Renamed)], symbols: &[(&str, Renamed)]) -> Self {
        let old = &toy.profile;
        let mut builder = ProfileBuilder::new(old.identity().clone());
        for ty in old.types() {
            let renamed = |member: &str| {
                let mut all = members.iter().filter(|(of, ..)| *of == ty.name);
                all.find(|(_, name, _)| *name == member)
                    .map(|(_, _, new)| *new)
            };
            let kept = ty.members().iter().filter_map(|member| {
                let mut member = member.clone();
                match renamed(&member.name) {
                    Some(Some(new)) => new.clone_into(&mut member.name),
                    Some(None) => return None,
                    None => {}
                }
                Some(member)
            });
            builder.add_type(Type::new(
                ty.name.clone(),
                ty.kind,
                ty.bytes,
                kept.collect(),
            ));
        }
        for (name, value) in old.symbols() {
            let new = symbols.iter().find(|(symbol, _)| symbol == name);
            match new {
                Some((_, Some(new))) => builder.add_symbol(*new, *value),
                Some((_, None)) => {}
                None => builder.add_symbol(name.as_str(), *value),
            }
        }
        for (name, value) in old.constants() {
            builder.add_constant(name.as_str(), *value);
        }
        Self {
            profile: builder.build(),
            memory: Patched::new(toy.machine.memory.clone()),
            toy,
        }
    }

    /// With one more symbol, at the place of one that there is.
    fn with_symbol(mut self, name: &str, of: &str) -> Self {
        let value = self.toy.profile.symbol(of).unwrap();
        let mut builder = self.profile.into_builder();
        builder.add_symbol(name, value);
        self.profile = builder.build();
        self
    }

    /// With a symbol of the running kernel's memory at `at`.
    fn with_symbol_at(mut self, name: &str, at: VirtAddr) -> Self {
        let slide = self.toy.text.0 - self.toy.profile.symbol("_text").unwrap();
        let mut builder = self.profile.into_builder();
        builder.add_symbol(name, at.0.wrapping_sub(slide));
        self.profile = builder.build();
        self
    }

    /// The provider of the toy as it is.
    fn as_made(&self) -> Linux {
        toys::attach(&self.toy, self.toy.machine.memory.clone()).unwrap()
    }

    fn put(&mut self, at: VirtAddr, value: u64, bytes: usize) {
        let pa = self.as_made().kernel_space().translate(at).unwrap();
        self.memory.write_uint(pa, value, bytes);
    }

    fn symbol(&self, name: &str) -> VirtAddr {
        let slide = self.toy.text.0 - self.toy.profile.symbol("_text").unwrap();
        VirtAddr(self.toy.profile.symbol(name).unwrap() + slide)
    }

    fn attach(self, registers: bool) -> (ToyKernel, Linux) {
        let mut machine: Machine = self.toy.machine.clone();
        machine.memory = Arc::new(self.memory);
        if !registers {
            machine.cpus.clear();
        }
        let located = toys::located(&self.toy);
        let linux = Linux::attach(&machine, &located, Arc::new(self.profile)).unwrap();
        (self.toy, linux)
    }
}

fn processes(linux: &Linux) -> Vec<Process> {
    let mut rows = Vec::new();
    let ends = linux.processes(&mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    assert!(ends.is_complete(), "{ends:?}");
    rows
}

fn processors(linux: &Linux) -> (Vec<u32>, WalkEnds) {
    let mut rows = Vec::new();
    let ends = linux.current(&mut |row| {
        assert!(row.thread.get().is_some(), "{row:?}");
        rows.push(row.cpu);
        ControlFlow::Continue(())
    });
    (rows, ends)
}

fn each(check: impl Fn(ToyKernel)) {
    for (mode, era) in TOYS {
        check(ToyKernel::build(mode, era));
    }
}

/// Since v6.17 a kernel has several clocks, and the one that tells the time is the first of
/// `timekeeper_data`.
#[test]
fn the_clock_of_a_kernel_with_several() {
    each(|toy| {
        let names = [("tk_core", Some("timekeeper_data")), ("timekeeper", None)];
        let (toy, linux) = Shape::of(toy, &[], &names).attach(true);
        let boot = 1_767_225_600_i64 * 1_000_000_000;
        for (row, task) in processes(&linux).iter().zip(&toy.tasks) {
            let start = i64::try_from(task.start).unwrap();
            assert_eq!(row.start, Ok(boot + start), "pid {}", task.pid);
        }
    });
}

/// Until Linux commit b3ac022cb9dc ("proc: turn `signal_struct->count` into \"int `nr_threads`\""), v2.6.35.
#[test]
fn a_process_counts_its_threads_by_an_older_name() {
    each(|toy| {
        let names = [("signal_struct", "nr_threads", Some("count"))];
        let (toy, linux) = Shape::of(toy, &names, &[]).attach(true);
        for (row, task) in processes(&linux).iter().zip(&toy.tasks) {
            let ProcessExtra::Linux(more) = &row.extra else {
                panic!("Linux");
            };
            let threads = u32::try_from(task.threads.len()).unwrap();
            assert_eq!(more.threads, Ok(threads), "pid {}", task.pid);
        }
    });
}

/// Until Linux commit 2c4704756cab ("pids: Move the pgrp and session pid pointers from `task_struct` to
/// `signal_struct`"), v4.19, a task has a `pid_link` for each use of an id: its place in the list of those that have
/// it, and the `struct pid`. Seen on 2.6.32, 3.10 and 4.4.
#[test]
fn a_process_has_its_ids_in_links_of_its_leader() {
    each(|toy| {
        let names = [
            ("task_struct", "pid_links", Some("pids")),
            ("task_struct", "thread_pid", None),
        ];
        let place = |ty: &str, member: &str| {
            let ty = toy.profile.find_type(ty).unwrap();
            ty.member(member).unwrap().offset.cast_unsigned()
        };
        let (links, own) = (
            place("task_struct", "pid_links"),
            place("task_struct", "thread_pid"),
        );
        let tasks = place("pid", "tasks");
        let mut shape = Shape::of(toy, &names, &[]);
        let word = usize::from(shape.toy.mode.pointer_bytes());
        let by = |words: usize| (words * word) as u64;
        let processes_made = shape.toy.tasks.clone();
        let space = shape.as_made().kernel_space().clone();
        for task in processes_made.iter().filter(|task| task.pid != 0) {
            let pid = space.read_pointer(task.taskd.plus(own)).unwrap();
            let link = task.taskd.plus(links);
            shape.put(link.plus(by(2)), pid.0, word);
            // It leads a group of its own.
            let (node, head) = (link.plus(by(3)), pid.plus(tasks + by(1)));
            for (at, value) in [
                (node, 0),
                (node.plus(by(1)), head.0),
                (node.plus(by(2)), pid.0),
                (head, node.0),
            ] {
                shape.put(at, value, word);
            }
        }
        let (toy, linux) = shape.attach(true);
        let mut seen = 0;
        let _ = linux.wide(&mut |row| {
            let ProcessExtra::Linux(extra) = &row.extra else {
                panic!("Linux");
            };
            let wide = extra.wide.as_ref().unwrap();
            if let Ok(pid) = row.pid
                && pid != 0
            {
                assert_eq!(wide.ns_pid, Ok(pid), "{:?}", toy.mode);
                assert_eq!(wide.pgid, Ok(pid), "{:?}", toy.mode);
                seen += 1;
            }
            ControlFlow::Continue(())
        });
        assert_eq!(seen, processes_made.len() - 1);
    });
}

/// Until Linux commit 0c740d0afc3b ("introduce `for_each_thread()` ..."), v3.14: a ring through the leader. In
/// v2.6.32 the first task has none: both of its links are null.
#[test]
fn the_ring_of_threads_that_the_first_task_never_made() {
    each(|toy| {
        let task = toy.profile.find_type("task_struct").unwrap();
        let Some(group) = task.member("thread_group") else {
            return; // of a later shape
        };
        let (offset, init) = (group.offset.cast_unsigned(), toy.tasks[0].taskd);
        let names = [
            ("task_struct", "thread_node", None),
            ("signal_struct", "thread_head", None),
        ];
        let mut shape = Shape::of(toy, &names, &[]);
        let word = shape.toy.mode.pointer_bytes();
        shape.put(init.plus(offset), 0, word.into());
        shape.put(init.plus(offset + u64::from(word)), 0, word.into());
        let (toy, linux) = shape.attach(true);
        for task in &toy.tasks {
            let mut count = 0;
            let ends = linux.threads(task.taskd, &mut |_| {
                count += 1;
                ControlFlow::Continue(())
            });
            assert!(
                ends.is_complete(),
                "{:?} pid {}: {ends:?}",
                toy.mode,
                task.pid
            );
            let idle = usize::from(task.pid == 0);
            assert_eq!(count, task.threads.len() + idle, "pid {}", task.pid);
        }
    });
}

/// Until Linux commit 4b804c85dc37 ("cpumask: Export `cpu_xxx_mask` and friends"), v4.5: bits, or a pointer to
/// them. A processor that was never started runs nothing.
#[test]
fn a_processor_that_was_never_started_by_the_older_masks() {
    each(|toy| {
        let names = [("__cpu_online_mask", Some("cpu_online_bits"))];
        let mut bits = Shape::of(toy, &[], &names);
        bits.put(bits.symbol("__cpu_online_mask"), 1, 4);
        let (toy, linux) = bits.attach(false);
        let (cpus, ends) = processors(&linux);
        assert_eq!((cpus, ends.is_complete()), (vec![0], true), "{ends:?}");

        let names = [("__cpu_online_mask", None)];
        let mut pointed =
            Shape::of(toy, &[], &names).with_symbol("cpu_online_mask", "vdso_image_64");
        let (mask, word) = (
            pointed.symbol("__cpu_online_mask"),
            pointed.toy.mode.pointer_bytes(),
        );
        pointed.put(pointed.symbol("vdso_image_64"), mask.0, word.into());
        pointed.put(mask, 1, 4);
        let (_, linux) = pointed.attach(false);
        let (cpus, ends) = processors(&linux);
        assert_eq!((cpus, ends.is_complete()), (vec![0], true), "{ends:?}");
    });
}

/// At a panic the other processors leave the mask of those that are online, and stay in that of those that
/// tasks may be put on.
#[test]
fn the_processors_that_a_panic_stopped_are_shown() {
    for registers in [false, true] {
        each(|toy| {
            let names = [("__cpu_online_mask", Some("__cpu_active_mask"))];
            let shape = Shape::of(toy, &[], &names);
            let mut shape = shape.with_symbol("__cpu_online_mask", "vdso_image_64");
            shape.put(shape.symbol("vdso_image_64"), 1, 8);
            let (_, linux) = shape.attach(registers);
            let (cpus, ends) = processors(&linux);
            assert_eq!((cpus, ends.is_complete()), (vec![0, 1], true), "{ends:?}");
        });
    }
}

/// A toy kernel with a log of the oldest shape, in a module's memory, and with `panic_cpu` where it has one.
fn with_log(toy: ToyKernel, log: &str, panic_cpu: Option<u32>) -> Shape {
    const BYTES: u64 = 512;
    let room = VirtAddr(toy.modules[3].base + 0x800);
    let mut shape = Shape::of(toy, &[], &[]);
    let word = shape.toy.mode.pointer_bytes();
    let text = room.plus(0x100);
    assert!(log.len() as u64 <= BYTES);
    let length = log.len() as u64;
    let words = [
        ("log_buf", text.0, word),
        ("log_buf_len", BYTES, 4),
        ("log_end", length, 4),
        ("logged_chars", length, 4),
    ];
    for (nth, (name, value, bytes)) in (0..).zip(words) {
        let at = room.plus(nth * 8);
        shape.put(at, value, bytes.into());
        shape = shape.with_symbol_at(name, at);
    }
    for (nth, byte) in (0..).zip(log.bytes()) {
        shape.put(text.plus(nth), byte.into(), 1);
    }
    if let Some(cpu) = panic_cpu {
        let at = room.plus(0x40);
        shape.put(at, cpu.into(), 4);
        shape = shape.with_symbol_at("panic_cpu", at);
    }
    shape
}

#[test]
fn a_panic_is_told_with_its_reason_and_its_processor() {
    const LOG: &str = "<6>[    1.000000] Kernel panic is not what this is\n\
        <1>[    2.000000] BUG: unable to handle page fault for address: 0000000000001000\n\
        <0>[    2.500000] Kernel panic - not syncing: Fatal exception\n\
        <0>[    2.600000] ---[ end Kernel panic - not syncing: Fatal exception ]---\n";
    each(|toy| {
        let rip = toy.machine.cpus[1].rip;
        let sp = toy.machine.cpus[1].general.map(|general| general[4]);
        let (toy, linux) = with_log(toy, LOG, Some(1)).attach(true);
        let crash = linux.crash().unwrap();
        let message = b"Kernel panic - not syncing: Fatal exception".to_vec();
        assert_eq!(crash.message, Ok(message), "{:?}", toy.mode);
        assert_eq!(crash.cpu, Ok(1));
        assert_eq!(crash.ip.value(), Some(VirtAddr(rip)));
        assert_eq!(crash.sp.value(), sp.map(VirtAddr));
        // Without registers the rest is told all the same.
        let (_, linux) = with_log(toy, LOG, Some(1)).attach(false);
        let crash = linux.crash().unwrap();
        assert_eq!((crash.cpu, crash.ip.value()), (Ok(1), None));
    });
}

/// A page that is not there says neither that the kernel panicked nor that it did not.
#[test]
fn a_panic_that_cannot_be_told_is_a_loss() {
    each(|toy| {
        let shape = with_log(toy, "<6>all is well\n", None);
        let linux = shape.as_made();
        let unmapped = |at: &u64| linux.kernel_space().translate(VirtAddr(*at)).is_err();
        let nowhere = (0..1 << 10)
            .map(|page| shape.toy.text.0 + (page << 20))
            .find(unmapped)
            .unwrap();
        let (_, linux) = shape
            .with_symbol_at("panic_cpu", VirtAddr(nowhere))
            .attach(true);
        assert!(linux.crash().unwrap_err().is_loss());
    });
}

/// An error after which the kernel stopped at once for a dump, and a kernel before `panic_cpu` (v4.5).
#[test]
fn what_the_log_says_of_an_end_without_its_usual_words() {
    let message = |crash: osier_osi::Crash| String::from_utf8(crash.message.unwrap()).unwrap();
    each(|mut toy| {
        let log = "<1>BUG: kernel NULL pointer dereference\n<6>later\n";
        let (back, linux) = with_log(toy, log, Some(0)).attach(true);
        toy = back;
        let said = message(linux.crash().unwrap());
        assert_eq!(said, "BUG: kernel NULL pointer dereference");
        let log = "<0>Kernel panic - not syncing: Attempted to kill init!\n";
        let (back, linux) = with_log(toy, log, None).attach(true);
        toy = back;
        let crash = linux.crash().unwrap();
        assert!(crash.cpu.value().is_none() && crash.ip.value().is_none());
        assert_eq!(
            message(crash),
            "Kernel panic - not syncing: Attempted to kill init!"
        );
        // A machine that runs: -1, or a log without such a line.
        // Who may write to the log speaks as `user`, 1 << 3.
        let by_user = "<8>Kernel panic - not syncing: so root says\n";
        for none in [Some(u32::MAX), None] {
            let (back, linux) = with_log(toy, by_user, none).attach(true);
            assert!(!linux.crash().unwrap_err().is_loss());
            toy = back;
        }
        let (toy, linux) = with_log(toy, "<1>BUG: survived\n", None).attach(true);
        assert!(!linux.crash().unwrap_err().is_loss());
        let (_, linux) = with_log(toy, "", Some(0x7fff_ffff)).attach(true);
        assert!(
            linux.crash().unwrap_err().is_loss(),
            "no machine has so many processors"
        );
    });
}

/// The number of the processor that panics and the log each tell of a panic: one alone is not believed.
#[test]
fn a_panic_that_only_one_of_two_tells_of_is_a_loss() {
    const PANIC: &str = "<0>Kernel panic - not syncing: Fatal exception\n";
    let told = [
        ("<6>all is well\n", 0),
        ("<6>all is well\n", 1),
        ("<8>Kernel panic - not syncing: so root says\n", 0),
        (PANIC, 50),
        (PANIC, 4096),
        (PANIC, 0xffff_fffe),
        (PANIC, u32::MAX),
    ];
    each(|mut toy| {
        for (log, cpu) in told {
            let (back, linux) = with_log(toy, log, Some(cpu)).attach(true);
            let absent = linux.crash().unwrap_err();
            assert!(absent.is_loss(), "{log:?} {cpu}: {absent}");
            toy = back;
        }
        let divided = "<0>divide error: 0000 [#1] SMP\n";
        let (_, linux) = with_log(toy, divided, Some(0)).attach(true);
        assert!(linux.crash().is_ok());
    });
}
