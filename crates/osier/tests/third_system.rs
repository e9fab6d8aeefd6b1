//! A third system, made up, attaches through the registry: nothing of Osier knows it. Its kernel is a page
//! that says so, and its processes an array behind it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use osier::ask::{Question, transcript};
use osier::osier_profile::{Identity, ProfileBuilder};
use osier::{
    Absent, AddressSpace, Attach, Current, ErrorKind, FoundBy, FoundKernel, Kernel, Machine,
    Mapping, Module, NoAttach, Open, OsKind, Osi, PageRange, Paging, PhysAddr, Premise, Process,
    ProcessExtra, ProcessSource, Profile, Seen, System, Thread, VirtAddr, WalkEnd, WalkEnds,
};

/// What the kernel's page begins with; behind it the number of processes, and 16 bytes of each: its id
/// and its name.
const MAGIC: &[u8; 8] = b"TOYKERN1";

#[derive(Debug)]
struct Toy;

static TOY: Toy = Toy;

impl System for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn locate(
        &self,
        machine: &Machine,
        root: Option<PhysAddr>,
    ) -> Result<Arc<dyn FoundKernel>, String> {
        assert!(root.is_none());
        for run in machine.memory.runs() {
            for page in (run.start.0..run.end().0).step_by(4096) {
                let mut head = [0; 8];
                let read = machine.memory.read(PhysAddr(page), &mut head);
                if read.is_ok() && head == *MAGIC {
                    return Ok(Arc::new(Kern { at: page }));
                }
            }
        }
        Err("no toy kernel: no page says that it is one".to_owned())
    }
}

#[derive(Debug)]
struct Kern {
    at: u64,
}

impl FoundKernel for Kern {
    fn system(&self) -> &'static str {
        TOY.name()
    }

    fn mode(&self) -> Paging {
        Paging::Flat
    }

    fn root(&self) -> PhysAddr {
        PhysAddr(0)
    }

    fn image(&self) -> Range<VirtAddr> {
        VirtAddr(self.at)..VirtAddr(self.at + 4096)
    }

    fn banner(&self) -> Vec<u8> {
        b"toy 1".to_vec()
    }

    fn premises(&self) -> &[Premise] {
        &[]
    }

    fn space(&self, machine: &Machine) -> AddressSpace {
        let policy = osier::osier_memory::hardware_policy;
        AddressSpace::new(machine.memory.clone(), Paging::Flat, PhysAddr(0), policy)
    }

    fn profile(&self, _: &Machine) -> Result<Profile, String> {
        let identity = Identity {
            os: OsKind::Other,
            pointer_bytes: 4,
            build_id: None,
            banner: self.banner(),
            release: String::new(),
        };
        Ok(ProfileBuilder::new(identity).build())
    }

    fn attach(&self, machine: &Machine, profile: Arc<Profile>) -> Result<Box<dyn Osi>, NoAttach> {
        assert_eq!(profile.identity().os, OsKind::Other);
        Ok(Box::new(Provider {
            space: self.space(machine),
            at: VirtAddr(self.at),
            kernel: Kernel {
                os: OsKind::Other,
                banner: self.banner(),
                build_id: None,
                premises: Vec::new(),
            },
        }))
    }
}

#[derive(Clone)]
struct Provider {
    space: AddressSpace,
    at: VirtAddr,
    kernel: Kernel,
}

impl Provider {
    fn row(&self, at: VirtAddr) -> Process {
        let none = || Err(Absent::not_in_this_kernel());
        let pid = self.space.read_uint(at, 4).map_err(Absent::unreadable);
        Process {
            taskd: at,
            pid: pid.map(|pid| u32::try_from(pid).unwrap()),
            ppid: Err(Absent::not_in_this_kernel()),
            name: self
                .space
                .read_cstr(at.plus(4), 12)
                .map_err(Absent::unreadable),
            asid: Err(Absent::not_in_this_kernel()),
            pgd: Err(Absent::not_in_this_kernel()),
            create_time: Err(Absent::not_in_this_kernel()),
            start: none(),
            found_by: FoundBy::source(ProcessSource::List),
            extra: ProcessExtra::Other,
        }
    }

    fn all(&self) -> impl Iterator<Item = VirtAddr> {
        let count = self.space.read_uint(self.at.plus(8), 8).unwrap();
        let first = self.at.plus(16);
        (0..count).map(move |nth| first.plus(nth * 16))
    }
}

const NO_LIST: WalkEnd = WalkEnd::Closed;

impl Osi for Provider {
    fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    fn clock(&self) -> Seen<i64> {
        Err(Absent::not_in_this_kernel())
    }

    fn processes(&self, row: &mut dyn FnMut(Process) -> ControlFlow<()>) -> WalkEnds {
        for at in self.all() {
            if row(self.row(at)).is_break() {
                return WalkEnds::one("array", WalkEnd::Stopped);
            }
        }
        WalkEnds::one("array", WalkEnd::Closed)
    }

    fn process(&self, taskd: VirtAddr) -> Seen<Process> {
        Ok(self.row(taskd))
    }

    fn current(&self, _: &mut dyn FnMut(Current) -> ControlFlow<()>) -> WalkEnds {
        WalkEnds::one("none", NO_LIST)
    }

    fn threads(&self, _: VirtAddr, _: &mut dyn FnMut(Thread) -> ControlFlow<()>) -> WalkEnds {
        WalkEnds::one("none", NO_LIST)
    }

    fn modules(&self, _: &mut dyn FnMut(Module) -> ControlFlow<()>) -> WalkEnds {
        WalkEnds::one("none", NO_LIST)
    }

    fn mappings(&self, _: VirtAddr, _: &mut dyn FnMut(Mapping) -> ControlFlow<()>) -> WalkEnds {
        WalkEnds::one("none", NO_LIST)
    }

    fn pages(&self, _: VirtAddr, _: &mut dyn FnMut(PageRange) -> ControlFlow<()>) -> WalkEnds {
        WalkEnds::one("none", NO_LIST)
    }

    fn address_space(&self, _: VirtAddr) -> Seen<AddressSpace> {
        Ok(self.space.clone())
    }

    fn kernel_space(&self) -> &AddressSpace {
        &self.space
    }

    fn fork(&self) -> Box<dyn Osi> {
        Box::new(self.clone())
    }
}

/// A raw file with the toy's kernel in its third page.
fn file(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("osier-toy-{name}-{}.raw", std::process::id()));
    let mut memory = vec![0; 1 << 20];
    let mut page = MAGIC.to_vec();
    page.extend(3_u64.to_le_bytes());
    for (pid, name) in [(1_u32, "first"), (2, "second"), (7, "third")] {
        page.extend(pid.to_le_bytes());
        page.extend(name.bytes().chain([0; 12]).take(12));
    }
    memory.splice(0x2000..0x2000 + page.len(), page);
    fs::write(&path, memory).unwrap();
    path
}

#[test]
fn a_third_system_attaches_through_the_registry() {
    let path = file("attach");
    let guest = Attach::new()
        .system(&TOY)
        .to(Open::new().open(&path).unwrap())
        .unwrap();
    let mut list = guest.processes();
    let names: Vec<_> = list
        .by_ref()
        .map(|row| (row.pid.unwrap(), row.name.unwrap()))
        .collect();
    let expected = [(1, "first"), (2, "second"), (7, "third")];
    assert_eq!(
        names,
        expected.map(|(pid, name)| (pid, name.as_bytes().to_vec()))
    );
    assert!(list.is_complete());
    assert_eq!(guest.located().system(), "toy");
    let lines = transcript(&*guest.provider(), Question::Processes).lines;
    assert_eq!(lines.len(), 3);
    assert!(lines[0].contains("\"name\":\"first\""), "{}", lines[0]);
    // What the provider does not answer is said once, not for each process.
    for question in [
        Question::Files,
        Question::Environment,
        Question::Log,
        Question::Interfaces,
        Question::Scan,
        Question::Findings,
        Question::Sockets,
        Question::Mounts,
        Question::Wide,
    ] {
        let lines = transcript(&*guest.provider(), question).lines;
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("not-answered"), "{lines:?}");
    }
    fs::remove_file(path).unwrap();
}

#[test]
fn it_can_be_named_and_is_not_found_elsewhere() {
    let path = file("named");
    let open = || Open::new().open(&path).unwrap();
    let named = Attach::new().system(&TOY).os("toy-32").to(open());
    assert_eq!(named.unwrap().kernel().banner, b"toy 1");
    let other = Attach::new().system(&TOY).os("linux").to(open());
    assert_eq!(other.err().unwrap().kind(), ErrorKind::NoKernel);
    let unknown = Attach::new().os("toy").to(open());
    assert_eq!(unknown.err().unwrap().kind(), ErrorKind::Usage);
    fs::remove_file(path).unwrap();
}
