//! A kernel of one of the [`shapes`](crate::shapes): tasks, threads, memories, modules, and what is true of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use osier_linux::Located;
use osier_memory::{Machine, Paging, PhysAddr, PhysicalMemory as _, VirtAddr};
use osier_profile::{Identity, OsKind, Profile, ProfileBuilder};
use osier_testkit::{MemoryBuilder, Rights, TableBuilder};

use crate::shapes::Shape;

const IMAGE: u64 = 2 << 20;
const KERNEL_THREAD: u64 = 0x0020_0000;

/// The members of a structure: offset and bytes.
type Members = BTreeMap<String, (u64, u64)>;

fn members(parts: &[&str], word: u64) -> (Members, u64) {
    let mut members = Members::new();
    let mut at = 0_u64;
    for member in parts.iter().flat_map(|part| part.split_whitespace()) {
        let (name, size) = member.split_once('=').unwrap();
        let (bytes, align) = match size {
            "list" => (2 * word, word),
            "name" => (64 - word, 1),
            "16" => (16, 1),
            _ => match size.strip_suffix('w') {
                Some("") => (word, word),
                Some(count) => (count.parse::<u64>().unwrap() * word, word),
                None => {
                    let bytes = size.parse::<u64>().unwrap();
                    (bytes, bytes.min(word).next_power_of_two())
                }
            },
        };
        at = at.next_multiple_of(align);
        members.insert(name.to_owned(), (at, bytes));
        at += bytes;
    }
    (members, at.next_multiple_of(word))
}

/// A process, as it is to be found.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    pub(crate) pid: u32,
    pub(crate) ppid: u32,
    pub(crate) name: Vec<u8>,
    pub(crate) kernel: bool,
    pub(crate) start: u64,
    pub(crate) root: Option<PhysAddr>,
    pub(crate) threads: Vec<(u32, Vec<u8>)>,
    pub(crate) at: VirtAddr,
}

/// What is not as it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Odd {
    Nothing,
    /// The link of one task leads elsewhere.
    BrokenList,
    /// Another member has the same numbers as the ids.
    SecondIds,
    /// A task in the middle of the list started before those before it, and before its parent.
    StartsBack,
    /// Another processor put a task on the list while one was made that had read its clock before (until v5.0).
    Overtaken,
    /// The kernel has no finer clock than its tick, and makes several tasks in one.
    Ticks,
    /// No process has a second thread.
    NoThreads,
    /// The table of one process does not map the kernel.
    ForeignTable,
    /// One task is not on the list of its parent, and nobody is traced.
    LostChild,
}

pub(crate) struct Kernel {
    pub(crate) machine: Machine,
    pub(crate) located: Located,
    pub(crate) symbols: Profile,
    pub(crate) processes: Vec<Truth>,
    /// Name, address, bytes.
    pub(crate) modules: Vec<(Vec<u8>, VirtAddr, u64)>,
}

struct Writer {
    memory: MemoryBuilder,
    tables: TableBuilder,
    word: u64,
    text: VirtAddr,
    text_pa: PhysAddr,
    direct: u64,
    used: u64,
    random: u64,
}

impl Writer {
    fn page(&mut self) -> VirtAddr {
        let pa = self.memory.allocate();
        let va = VirtAddr(self.direct + pa.0);
        self.tables
            .map(&mut self.memory, va, pa, 0x1000, Rights::KERNEL);
        va
    }

    /// Pages in a row, with nothing mapped around.
    fn apart(&mut self, pages: u64) -> VirtAddr {
        self.memory.allocate();
        let all: Vec<_> = (0..pages).map(|_| self.page()).collect();
        self.memory.allocate();
        all[0]
    }

    fn object(&mut self, bytes: u64) -> VirtAddr {
        let pages = bytes.div_ceil(0x1000);
        let all: Vec<_> = (0..pages).map(|_| self.page()).collect();
        // Objects do not all start where a page does.
        let rest = pages * 0x1000 - bytes;
        all[0].plus((rest / 128) * 64)
    }

    fn image(&mut self, bytes: u64) -> VirtAddr {
        let at = self.text.plus(self.used);
        self.used += bytes.next_multiple_of(64);
        assert!(self.used < IMAGE);
        at
    }

    fn phys(&self, va: VirtAddr) -> PhysAddr {
        let inside = va.since(self.text);
        if inside < IMAGE {
            self.text_pa.plus(inside)
        } else {
            PhysAddr(va.0 - self.direct)
        }
    }

    fn bytes(&mut self, at: VirtAddr, bytes: &[u8]) {
        let pa = self.phys(at);
        self.memory.write_bytes(pa, bytes);
    }

    fn uint(&mut self, at: VirtAddr, value: u64, bytes: u64) {
        self.bytes(at, &value.to_le_bytes()[..bytes.min(8) as usize]);
    }

    fn ring(&mut self, heads: &[VirtAddr]) {
        for (index, head) in heads.iter().enumerate() {
            let next = heads[(index + 1) % heads.len()];
            self.uint(*head, next.0, self.word);
            self.uint(next.plus(self.word), head.0, self.word);
        }
    }

    fn random(&mut self) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }

    /// Fills a structure as one that lives: lists are empty, numbers are some numbers.
    fn fill(&mut self, at: VirtAddr, members: &Members, quiet: bool) {
        for (offset, bytes) in members.values().copied() {
            if bytes == 4 && !quiet {
                let number = self.random() % 1000;
                self.uint(at.plus(offset), number, 4);
            } else if bytes == self.word && !quiet {
                let number = self.random() % 0x1_0000;
                self.uint(at.plus(offset), number, bytes);
            }
        }
        for (name, (offset, bytes)) in members {
            let is_list =
                *bytes == 2 * self.word && !name.contains("time") && !name.contains("expires");
            if is_list || *name == "wait_list" {
                self.ring(&[at.plus(*offset)]);
            }
        }
    }
}

pub(crate) fn build(shape: &Shape, mode: Paging, with_data: bool, odd: Odd) -> Kernel {
    let word = u64::from(mode.pointer_bytes());
    let wide = word == 8;
    let (linked, slide, text_pa, direct) = if wide {
        (
            0xffff_ffff_8100_0000_u64,
            0x0a40_0000_u64,
            0x0300_0000_u64,
            0xffff_8800_0000_0000_u64,
        )
    } else {
        (0xc100_0000, 0, 0x0100_0000, 0xc000_0000)
    };
    let text = VirtAddr(linked + slide);
    let mut memory = MemoryBuilder::new(PhysAddr(0x0400_0000));
    let tables = TableBuilder::new(mode, &mut memory);
    let large = if mode == Paging::Legacy {
        4 << 20
    } else {
        2 << 20
    };
    tables.map(&mut memory, text, PhysAddr(text_pa), large, Rights::KERNEL);
    let mut w = Writer {
        memory,
        tables,
        word,
        text,
        text_pa: PhysAddr(text_pa),
        direct,
        used: 0x2000,
        random: 7,
    };
    for page in 0..IMAGE / 0x1000 {
        w.memory.touch(PhysAddr(text_pa + page * 0x1000));
    }
    // Names of the idle task that are none.
    let text_of = w.image(64);
    w.bytes(text_of, b"swapper\0swapper/0\0\0\0\0\0\0\0\0\0swapper/%d\0");

    let extra = if odd == Odd::SecondIds {
        "twin=4 twin_tgid=4"
    } else {
        ""
    };
    let parts: Vec<&str> = shape.task.iter().copied().chain([extra]).collect();
    let (task, task_bytes) = members(&parts, word);
    let (signal, signal_bytes) = members(&[shape.signal], word);
    let (mm, mm_bytes) = members(&[shape.mm], word);

    let mut processes = crowd(shape, odd);
    let mut at: BTreeMap<u32, VirtAddr> = BTreeMap::new();
    for process in &mut processes {
        process.at = if process.pid == 0 {
            w.image(task_bytes)
        } else {
            w.object(task_bytes)
        };
        at.insert(process.pid, process.at);
        for (tid, _) in process.threads.iter().skip(1) {
            let thread = w.object(task_bytes);
            at.insert(*tid, thread);
        }
    }
    let init_cred = w.image(128);
    for process in &mut processes {
        let signal_at = w.object(signal_bytes);
        w.fill(signal_at, &signal, false);
        let count = process.threads.len() as u64;
        for name in ["nr_threads", "live", "count"] {
            if let Some((offset, _)) = signal.get(name) {
                w.uint(signal_at.plus(*offset), count, 4);
            }
        }
        let has_memory = !process.kernel && process.name != b"zombie";
        let memory = has_memory.then(|| {
            let root = w.memory.allocate();
            let va = VirtAddr(w.direct + root.0);
            w.tables
                .map(&mut w.memory, va, root, 0x1000, Rights::KERNEL);
            let mm_at = w.object(mm_bytes);
            w.fill(mm_at, &mm, false);
            w.uint(mm_at.plus(mm["pgd"].0), va.0, word);
            process.root = Some(root);
            mm_at
        });
        let mut nodes: Vec<VirtAddr> = signal
            .get("thread_head")
            .map(|(offset, _)| signal_at.plus(*offset))
            .into_iter()
            .collect();
        let mut group = Vec::new();
        for (tid, name) in &process.threads {
            let here = at[tid];
            w.fill(here, &task, process.pid == 0);
            let mut set = |name: &str, value: u64| {
                let (offset, bytes) = task[name];
                w.uint(here.plus(offset), value, bytes);
            };
            set("pid", u64::from(*tid));
            set("tgid", u64::from(process.pid));
            if odd == Odd::SecondIds {
                set("twin", u64::from(*tid));
                set("twin_tgid", u64::from(process.pid));
            }
            set(
                "flags",
                if process.kernel {
                    KERNEL_THREAD | 0x40
                } else {
                    0x40_0100
                },
            );
            set("mm", memory.map_or(0, |mm| mm.0));
            set("active_mm", memory.map_or(0, |mm| mm.0));
            set("signal", signal_at.0);
            set("real_parent", at[&process.ppid].0);
            // A traced process has its tracer for a parent.
            let tracer = if process.name == b"traced" && odd != Odd::LostChild {
                300
            } else {
                process.ppid
            };
            set("parent", at[&tracer].0);
            set("group_leader", process.at.0);
            set("real_cred", init_cred.0);
            set("cred", init_cred.0);
            let (offset, bytes) = task["start_time"];
            let start = process.start;
            if bytes == 8 && task.contains_key("nameidata") {
                w.uint(here.plus(offset), start, 8);
                w.uint(
                    here.plus(task["real_start_time"].0),
                    start + start / 1000,
                    8,
                );
            } else {
                for (name, start) in [
                    ("start_time", start),
                    ("real_start_time", start + start / 1000),
                ] {
                    let offset = task[name].0;
                    w.uint(here.plus(offset), start / 1_000_000_000, word);
                    w.uint(here.plus(offset + word), start % 1_000_000_000, word);
                }
            }
            let comm = here.plus(task["comm"].0);
            w.bytes(comm, &[0; 16]);
            w.bytes(comm, name);
            if let Some((offset, _)) = task.get("thread_node") {
                nodes.push(here.plus(*offset));
            }
            if let Some((offset, _)) = task.get("thread_group") {
                group.push(here.plus(*offset));
            }
        }
        if !nodes.is_empty() {
            w.ring(&nodes);
        }
        if process.pid == 0 && shape.kernels == "2.6.32" {
            w.bytes(group[0], &vec![0; 2 * word as usize]);
        } else {
            w.ring(&group);
        }
    }
    let ring: Vec<_> = processes
        .iter()
        .map(|process| process.at.plus(task["tasks"].0))
        .collect();
    w.ring(&ring);
    let parents: Vec<u32> = at.keys().copied().collect();
    for parent in parents {
        let mut family = vec![at[&parent].plus(task["children"].0)];
        for child in processes
            .iter()
            .filter(|child| child.pid != 0 && child.ppid == parent)
        {
            let lost = odd == Odd::LostChild && child.name == b"traced";
            if !lost {
                family.push(child.at.plus(task["sibling"].0));
            }
        }
        w.ring(&family);
    }
    if odd == Odd::BrokenList {
        let link = processes[4].at.plus(task["tasks"].0);
        w.uint(link, link.0 + 0x40, word);
    }
    let (head, modules) = modules(&mut w, shape);

    // What every process maps of the kernel is what the kernel's own table maps, once it is whole.
    let mut root = vec![0; 0x1000];
    w.memory.read(w.tables.root(), &mut root).unwrap();
    if mode == Paging::Pae {
        root.truncate(32);
    }
    for process in &processes {
        if let Some(own) = process.root {
            let foreign = odd == Odd::ForeignTable && process.pid == 300;
            w.memory
                .write_bytes(own, if foreign { &[0; 32] } else { &root });
        }
    }

    let identity = Identity {
        os: OsKind::Linux,
        pointer_bytes: mode.pointer_bytes(),
        build_id: None,
        banner: Vec::new(),
        release: shape.kernels.to_owned(),
    };
    let mut symbols = ProfileBuilder::new(identity);
    for name in ["_text", "_stext"] {
        symbols.add_symbol(name, linked);
    }
    if with_data {
        symbols.add_symbol("init_task", processes[0].at.0 - slide);
        symbols.add_symbol("modules", head.0 - slide);
    }
    let located = Located {
        mode,
        root: w.tables.root(),
        encryption: 0,
        text,
        text_pa: PhysAddr(text_pa),
        end: text.plus(IMAGE),
        build_id: None,
        banner: b"Linux version 0.0.0-toy".to_vec(),
        banner_at: text,
        vmcoreinfo: None,
        premises: Vec::new(),
    };
    Kernel {
        machine: Machine {
            memory: Arc::new(w.memory),
            cpus: Vec::new(),
            hints: Vec::new(),
        },
        located,
        symbols: symbols.build(),
        processes,
        modules,
    }
}

fn crowd(shape: &Shape, odd: Odd) -> Vec<Truth> {
    let one = |pid: u32, ppid: u32, name: &[u8], kernel: bool| Truth {
        pid,
        ppid,
        name: name.to_vec(),
        kernel,
        start: if pid == 0 {
            0
        } else {
            900_000_000 + u64::from(pid) * 37_000_123
        },
        root: None,
        threads: vec![(pid, name.to_vec())],
        at: VirtAddr(0),
    };
    let mut all = vec![
        one(0, 0, shape.swapper.as_bytes(), true),
        one(1, 0, b"init", false),
        one(2, 0, b"kthreadd", true),
        one(3, 2, b"ksoftirqd/0", true),
        one(5, 2, b"kworker/0:0H", true),
        one(70, 2, b"fifteen-letters", true),
        one(300, 1, b"server", false),
        // A child of a thread.
        one(310, 302, b"traced", false),
        one(320, 300, b"", false),
        one(400, 320, b"zombie", false),
        one(410, 1, b"sh tab\t\xff", false),
    ];
    if odd == Odd::NoThreads {
        all[7].ppid = 300;
    } else {
        all[6].threads.push((301, b"worker-1".to_vec()));
        all[6].threads.push((302, b"worker-2".to_vec()));
    }
    if odd == Odd::StartsBack {
        all[5].start = 901_000_000;
    }
    if odd == Odd::Ticks {
        let ticks = [0, 180, 190, 190, 190, 190, 600, 600, 750, 750, 750];
        for (truth, ticks) in all.iter_mut().zip(ticks) {
            truth.start = ticks * 4_000_250;
        }
    }
    if odd == Odd::Overtaken {
        all[5].start = 1_000_000_000;
    }
    all
}

/// Writes the modules: the head of their list, and what they are.
fn modules(w: &mut Writer, shape: &Shape) -> (VirtAddr, Vec<(Vec<u8>, VirtAddr, u64)>) {
    let (module, bytes) = members(shape.module, w.word);
    let head = w.image(2 * w.word);
    let mut ring = vec![head];
    let mut rows = Vec::new();
    for (index, name) in (0_u64..).zip(["ext4", "virtio_net", "a_module_of_a_long_name", "last"]) {
        let core = (4 + index) * 0x1000 - 0x234 * index;
        let in_parts = module.contains_key("p0_base");
        let base = w.apart(core.div_ceil(0x1000));
        // Code, data, and what is only read: apart, or one behind the other.
        let data = if module.contains_key("p0_rox") {
            base.plus(0x1000)
        } else if in_parts {
            w.apart(2)
        } else {
            base.plus(0x1000)
        };
        let at = data.plus(0x40 * index);
        assert!(0x1000 + 0x40 * index + bytes < core);
        w.fill(at, &module, false);
        if in_parts {
            let shared = module.contains_key("p0_rox");
            let code = if shared { 0x1000 } else { core };
            let last = if shared {
                base.plus(0x3000)
            } else {
                w.apart(1)
            };
            let own = [(base, code), (data, 0x2000), (last, 0x1000)];
            for part in 0..7_usize {
                let (base, size) = own.get(part).map_or((0, 0), |(base, size)| (base.0, *size));
                for (name, value) in [("base", base), ("rox", 1), ("size", size), ("mod", at.0)] {
                    if let Some((offset, bytes)) = module.get(&format!("p{part}_{name}")) {
                        w.uint(at.plus(*offset), value, *bytes);
                    }
                }
            }
        }
        let mut set = |name: &str, value: u64| {
            if let Some((offset, bytes)) = module.get(name) {
                w.uint(at.plus(*offset), value, *bytes);
            }
        };
        for own in ["mod", "core_mod", "init_mod"] {
            set(own, at.0);
        }
        set("state", u64::from(index == 3));
        for name in ["module_core", "core_base"] {
            set(name, base.0);
        }
        for (name, value) in [
            ("core_size", core),
            ("core_text", 0x1000),
            ("core_ro", 0x2000),
            ("core_roai", 0x2000),
        ] {
            set(name, value);
        }
        for name in [
            "module_init",
            "init_base",
            "init_size",
            "init_text",
            "init_ro",
            "init_roai",
        ] {
            set(name, 0);
        }
        let mut size = if module.contains_key("p0_rox") {
            0x4000
        } else if in_parts {
            core + 0x3000
        } else {
            core
        };
        // The last one is still being initialised.
        if index == 3 && !in_parts {
            let init = w.apart(2);
            size += 0x1800;
            for (name, value) in [
                ("module_init", init.0),
                ("init_base", init.0),
                ("init_size", 0x1800),
            ] {
                if let Some((offset, bytes)) = module.get(name) {
                    w.uint(at.plus(*offset), value, *bytes);
                }
            }
        }
        w.bytes(
            at.plus(module["name"].0),
            &vec![0; module["name"].1 as usize],
        );
        w.bytes(at.plus(module["name"].0), name.as_bytes());
        ring.push(at.plus(module["list"].0));
        rows.push((name.as_bytes().to_vec(), base, size));
    }
    w.ring(&ring);
    (head, rows)
}
