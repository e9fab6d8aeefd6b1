//! Words that were zeroed or replaced by others that might be right: what the kernel says a second
//! time gives them away. Each lie is one word, and the answer that rests on it is no plain value.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

mod answers;

use std::ops::ControlFlow;
use std::sync::Arc;

use osier_memory::{AddressSpace, PhysAddr, VirtAddr};
use osier_osi::{Osi, WalkEnd, Why};
use osier_profile::{Kind, Profile};
use osier_testkit::Patched;
use osier_testkit::windows::WindowsMachine;
use osier_testkit::windows::layouts;
use osier_windows::{KnownKernel, Located, Windows, locate};

use answers::{Answers, attach, machine};

struct Bench {
    name: String,
    written: WindowsMachine,
    profile: Arc<Profile>,
    located: Located,
    handles: Vec<VirtAddr>,
    before: Answers,
}

impl Bench {
    fn new(layout: &layouts::Layout) -> Self {
        let written = machine(&layout.profile);
        let profile = Arc::new(layout.profile.clone());
        let whole = written.machine();
        let known: Vec<KnownKernel> = KnownKernel::of_profile(&profile).into_iter().collect();
        let located = locate(&whole, &known).expect("the kernel is found");
        let plan = &written.plan;
        let handles: Vec<_> = plan.processes.iter().filter_map(|p| p.eprocess).collect();
        let windows = attach(&whole, &located, &profile, whole.memory.clone()).unwrap();
        let before = Answers::ask(&windows, &handles, 1);
        Self {
            name: layout.name.clone(),
            written,
            profile,
            located,
            handles,
            before,
        }
    }

    fn windows(&self, words: &[(VirtAddr, u64, usize)]) -> Windows {
        let whole = self.written.machine();
        let windows = attach(&whole, &self.located, &self.profile, whole.memory.clone()).unwrap();
        let mut memory = Patched::new(whole.memory.clone());
        for (at, value, bytes) in words {
            let pa = windows.kernel_space().translate(*at).unwrap();
            memory.write_uint(pa, *value, *bytes);
        }
        attach(&whole, &self.located, &self.profile, Arc::new(memory)).unwrap()
    }

    fn number(&self, at: VirtAddr, bytes: usize) -> u64 {
        let windows = self.windows(&[]);
        windows.kernel_space().read_uint(at, bytes).unwrap()
    }

    fn pointer(&self, at: VirtAddr) -> VirtAddr {
        VirtAddr(self.number(at, self.word()))
    }

    fn symbol(&self, name: &str) -> VirtAddr {
        let symbol = self.profile.symbol(name).unwrap();
        self.written.plan.kernel_base.plus(symbol)
    }

    /// The memory of a process.
    fn space(&self, pid: u64) -> AddressSpace {
        let windows = self.windows(&[]);
        windows.address_space(self.process(pid)).unwrap()
    }

    fn after(&self, words: &[(VirtAddr, u64, usize)]) -> Answers {
        Answers::ask(&self.windows(words), &self.handles, 1)
    }

    /// As [`Self::after`], of words by their physical addresses.
    fn after_at(&self, words: &[(PhysAddr, u64, usize)]) -> Answers {
        let whole = self.written.machine();
        let mut memory = Patched::new(whole.memory.clone());
        for (at, value, bytes) in words {
            memory.write_uint(*at, *value, *bytes);
        }
        let windows = attach(&whole, &self.located, &self.profile, Arc::new(memory)).unwrap();
        Answers::ask(&windows, &self.handles, 1)
    }

    fn word(&self) -> usize {
        self.profile.identity().pointer_bytes.into()
    }

    fn process(&self, pid: u64) -> VirtAddr {
        self.written.process(pid).eprocess.unwrap()
    }

    fn thread(&self, pid: u64, nth: usize) -> VirtAddr {
        self.written.process(pid).threads[nth].ethread.unwrap()
    }

    /// Where `path` stands in the structure `ty` at `at`, and its bytes; `None` when there is no such.
    fn place(&self, ty: &str, path: &str, at: VirtAddr) -> Option<(VirtAddr, usize)> {
        let (mut at, mut ty, mut bytes) = (at, ty.to_owned(), 0);
        for part in path.split('.') {
            let member = self.profile.find_type(&ty)?.member(part)?;
            at = at.plus(u64::try_from(member.offset).unwrap());
            bytes = usize::try_from(member.bytes).unwrap().min(8);
            if let Kind::Embedded { name } = &member.kind {
                ty.clone_from(name);
            }
        }
        Some((at, bytes))
    }

    /// That a lie about one member is told: in the field of the row at `key`, or in an ending of the
    /// table. Says whether the layout has the member.
    fn told(
        &self,
        (ty, path, at): (&str, &str, VirtAddr),
        value: u64,
        (table, key, field): (&str, VirtAddr, &'static str),
    ) -> bool {
        let Some((place, bytes)) = self.place(ty, path, at) else {
            return false;
        };
        let what = format!("{}: {ty}.{path} made {value:#x}", self.name);
        let after = Answers::ask(&self.windows(&[(place, value, bytes)]), &self.handles, 1);
        let row = after.rows.get(&(table.to_owned(), key.0));
        let word = row.and_then(|row| row.get(field));
        let implausible = matches!(word, Some(Err(Why::Implausible { .. })));
        let ended = after
            .ends
            .get(table)
            .is_some_and(|ends| !ends.is_complete());
        assert!(implausible || ended, "{what}: {word:?}");
        true
    }
}

fn benches() -> Vec<Bench> {
    let later = ["3844dbb9", "c78ab9db", "2e6deb6c", "5278aff8", "fdcba251"].map(layouts::of);
    let own = layouts::own();
    own.iter().chain(later).map(Bench::new).collect()
}

#[test]
fn words_of_a_process() {
    const DAY: u64 = 24 * 60 * 60 * 10_000_000;
    for bench in benches() {
        let shell = bench.process(1012);
        let system = bench.process(4);
        let other = bench.written.process(4).root.unwrap().0;
        let lies = [
            ("Pcb.DirectoryTableBase", 0, "asid"),
            ("Pcb.DirectoryTableBase", other, "asid"),
            ("Pcb.DirectoryTableBase", other + 0x1000, "asid"),
            ("UniqueProcessId", 0, "pid"),
            ("UniqueProcessId", 4, "pid"),
            ("UniqueProcessId", 1014, "pid"),
            ("UniqueProcessId", 0x7fff_fff0, "pid"),
            ("InheritedFromUniqueProcessId", 0x7fff_fff0, "ppid"),
            ("ImageFileName", 0, "name"),
            ("CreateTime", 0, "create_time"),
            ("CreateTime", 0x01cb_2c3d_4e5f_6000 - 2 * DAY, "create_time"),
            ("ExitTime", 0x01cb_3000_0000_0000, "exit_time"),
            ("Peb", 0, "peb"),
            ("Peb", 0x40_1000, "peb"),
            ("ImageFileName", 0x6578_652e, "name"),
        ];
        for (path, value, field) in lies {
            let row = ("process", shell, field);
            assert!(bench.told(("_EPROCESS", path, shell), value, row), "{path}");
        }
        // System runs no program of 32 bits, and a 32-bit PEB is a page.
        if bench.word() == 8 {
            let words = ["WoW64Process", "Wow64Process"];
            for (at, value) in [(system, 0x7efd_f000), (bench.process(1756), 0x7efd_f008)] {
                let row = ("process", at, "wow64");
                let told = words.map(|word| bench.told(("_EPROCESS", word, at), value, row));
                assert!(told.contains(&true), "{}", bench.name);
            }
        }
        // What was a lie of another is not one of System's.
        let row = &bench.before.rows[&("process".to_owned(), system.0)];
        assert!(matches!(row["peb"], Err(Why::NotApplicable(_))), "{row:?}");
        let gone = bench.process(1400);
        let row = ("process", gone, "exit_time");
        assert!(bench.told(("_EPROCESS", "ExitTime", gone), 0, row));
    }
}

/// A process that lost its PEB, its list of threads, its section and the note of its file: its threads are in the table of ids.
#[test]
fn a_process_that_lost_what_makes_it_a_program() {
    for bench in benches() {
        let shell = bench.process(1012);
        let word = bench.word();
        let members = [
            "Peb",
            "SectionObject",
            "SeAuditProcessCreationInfo.ImageFileName",
            "ThreadListHead",
        ];
        let places = members.map(|member| bench.place("_EPROCESS", member, shell));
        let mut lies: Vec<_> = places.into_iter().flatten().collect();
        if let Some((head, _)) = bench.place("_EPROCESS", "ThreadListHead", shell) {
            lies.push((head.plus(word as u64), word));
        }
        let lies: Vec<_> = lies.into_iter().map(|(at, _)| (at, 0, word)).collect();
        let row = &bench.after(&lies).rows[&("process".to_owned(), shell.0)];
        let peb = &row["peb"];
        assert!(
            matches!(peb, Err(Why::Implausible { .. })),
            "{}: {peb:?}",
            bench.name
        );
    }
}

/// What is scanned says of itself what it is, and whose.
#[test]
fn what_is_scanned_says_what_it_is() {
    for bench in benches() {
        let odd = |words: &[(VirtAddr, u64, usize)]| {
            let ends = bench
                .windows(words)
                .scan(&mut |_| ControlFlow::Continue(()));
            let odd = ends.bad();
            odd.filter(|(_, end)| matches!(end, WalkEnd::Implausible { .. }))
                .count()
        };
        let (gone, thread) = (bench.process(1400), bench.thread(1012, 0));
        let places = [
            bench.place("_EPROCESS", "Pcb.Header.Type", gone),
            bench.place("_ETHREAD", "Tcb.Process", thread),
        ];
        let before = odd(&[]);
        // Another process's thread.
        if let Some((owner, bytes)) = places[1] {
            let after = odd(&[(owner, bench.process(4).0, bytes)]);
            assert!(after > before, "{}: {owner} made System", bench.name);
        }
        for (place, bytes) in places.into_iter().flatten() {
            let after = odd(&[(place, 0, bytes)]);
            assert!(after > before, "{}: {place} made 0", bench.name);
        }
    }
}

/// Words that a program's own memory, or the kernel's note of its file, has a second time.
#[test]
fn words_that_stand_in_user_memory_too() {
    for bench in benches() {
        let shell = bench.process(1012);
        // The session's number, in its structure or in the process.
        let (session, _) = match bench.place("_EPROCESS", "Session", shell) {
            Some((at, _)) => (bench.pointer(at), 8),
            None => (VirtAddr(0), 0),
        };
        if !session.is_null() {
            let id = ("_MM_SESSION_SPACE", "SessionId", session);
            assert!(bench.told(id, 0, ("process", shell, "session")));
        }
        let gone = bench.process(1400);
        let names = ["SeAuditProcessCreationInfo.ImageFileName"];
        let noted = names
            .iter()
            .find_map(|path| bench.place("_EPROCESS", path, gone));
        let noted = noted.map(|(at, _)| bench.pointer(at));
        if let Some(noted) = noted.filter(|at| !at.is_null()) {
            let string = ("_OBJECT_NAME_INFORMATION", "Name", noted);
            assert!(bench.told(string, 0, ("process", gone, "path")));
        }
        if bench.word() == 4 {
            continue;
        }
        let old = bench.process(1756);
        let words = ["WoW64Process", "Wow64Process"];
        let told = words
            .map(|word| bench.told(("_EPROCESS", word, old), 0, ("process", old, "wow64")))
            .contains(&true);
        assert!(told);
        for peb in [0x40_1000, 0x8000_0000_7efd_f000] {
            assert!(bench.told(("_EPROCESS", "Peb", old), peb, ("process", old, "peb")));
        }
    }
}

/// Whether memory is of an image, the section says, too; and where it lies, the loader.
#[test]
fn images_and_their_descriptors() {
    for bench in benches() {
        let shell = bench.written.process(1012);
        let table = format!("mapping of {}", shell.eprocess.unwrap());
        let image = shell.vads.iter().find(|vad| vad.start == 0x6000_0000);
        let vad = image.unwrap().node.unwrap();
        // A `_MEMORY_AREA` says by a mark that its segment tells it.
        let areas = bench.profile.find_type("_MEMORY_AREA").is_some();
        let names: &[_] = if areas {
            &["Spare"]
        } else {
            &["VadType", "ImageMap"]
        };
        let bits = names.iter().find_map(|name| {
            let flags = bench.profile.find_type("_MMVAD_FLAGS")?;
            flags.member(name)?.bits
        });
        let (Some((first, count)), Some((at, bytes))) =
            (bits, bench.place("_MMVAD_SHORT", "u", vad))
        else {
            continue;
        };
        let mask = ((1_u64 << count) - 1) << first;
        let was = bench.number(at, bytes);
        let after = bench.after(&[(at, was & !mask, bytes)]);
        let row = &after.rows[&(table.clone(), 0x6000_0000)];
        let kind = &row["kind"];
        assert!(
            matches!(kind, Err(Why::Implausible { .. })),
            "{}: {kind:?}",
            bench.name
        );

        // The first image of the loader, put on private memory.
        let entry = shell.modules[1].entry;
        let base = bench
            .place("_LDR_DATA_TABLE_ENTRY", "DllBase", entry)
            .unwrap();
        let links = bench
            .place("_LDR_DATA_TABLE_ENTRY", "InLoadOrderLinks", entry)
            .unwrap()
            .0;
        let space = bench.space(1012);
        let word = bench.word();
        let put = |at: VirtAddr, value: u64| (space.translate(at).unwrap(), value, word);
        let ends = |words: &[_]| bench.after_at(words).ends[&table].clone();
        assert!(
            !ends(&[put(base.0, 0x20_0000)]).is_complete(),
            "{}",
            bench.name
        );
        // Out of the order of loading alone.
        let next = space.read_pointer(links).unwrap();
        let before = space.read_pointer(links.plus(word as u64)).unwrap();
        let unlinked = [put(before, next.0), put(next.plus(word as u64), before.0)];
        assert!(!ends(&unlinked).is_complete(), "{}", bench.name);
    }
}

/// What a handle leads to, against its table, its object's header and the object itself.
#[test]
fn handles_and_their_objects() {
    for bench in benches() {
        let shell = bench.written.process(1012);
        let table = format!("file of {}", shell.eprocess.unwrap());
        let at = shell.handle_table.expect("a table of handles");
        let broken = |(ty, path, at): (&str, &str, VirtAddr), value| {
            let Some((place, bytes)) = bench.place(ty, path, at) else {
                return false;
            };
            let ends = bench.after(&[(place, value, bytes)]).ends[&table].clone();
            assert!(!ends.is_complete(), "{}: {ty}.{path}", bench.name);
            true
        };
        let counted = ["HandleCount", "FreeLists"];
        let counted = counted
            .iter()
            .find_map(|path| bench.place("_HANDLE_TABLE", path, at));
        let by = bench.profile.find_type("_HANDLE_TABLE_FREE_LIST");
        let by = by.map_or(0, |list| list.member("HandleCount").unwrap().offset);
        let (place, count) = (
            counted.unwrap().0.plus(by.cast_unsigned()),
            shell.handles.len(),
        );
        assert_eq!(bench.number(place, 4), count as u64, "{}", bench.name);
        let ends = bench.after(&[(place, count as u64 + 1, 4)]).ends[&table].clone();
        assert!(ends.to_string().contains("HandleCount"), "{ends}");
        let other = bench.process(4).0;
        assert!(broken(("_HANDLE_TABLE", "QuotaProcess", at), other));
        assert!(broken(("_HANDLE_TABLE", "UniqueProcessId", at), 4));
        assert!(broken(
            ("_HANDLE_TABLE", "NextHandleNeedingPool", at),
            0x800
        ));
        assert!(broken(
            ("_EPROCESS", "ObjectTable", shell.eprocess.unwrap()),
            0
        ));

        let (body, _) = bench.place("_OBJECT_HEADER", "Body", VirtAddr(0)).unwrap();
        for handle in &shell.handles {
            let header = handle.object.minus(body.0);
            let key = VirtAddr(handle.handle);
            let lie = |path, value, field| {
                let of = ("_OBJECT_HEADER", path, header);
                bench.told(of, value, (table.as_str(), key, field))
            };
            assert!(lie("HandleCount", 0, "filed"));
            // The type of anything else, which lies at another address.
            let index = bench.place("_OBJECT_HEADER", "TypeIndex", header);
            let known = ["Process", "Thread", "Event", "Mutant", "File", "Key"];
            if known.contains(&handle.opened.kind()) {
                let told = match index {
                    Some((place, _)) => {
                        // Bits that turn the type into a section, whichever way it is mixed.
                        let was = bench.number(place, 1);
                        lie("TypeIndex", was ^ 0x40, "kind")
                    }
                    None => lie("Type", header.0, "kind"),
                };
                assert!(told, "{} {:?}", bench.name, handle.opened);
            }
        }
        // Another type's index where the object says what it is: a file that would be a process.
        let of = |kind: &str| {
            shell
                .handles
                .iter()
                .find(|h| h.opened.kind() == kind)
                .unwrap()
        };
        let (file, process) = (of("File"), of("Process"));
        let (from, to) = (process.object.minus(body.0), file.object.minus(body.0));
        let (path, mixed) = match bench.place("_OBJECT_HEADER", "TypeIndex", from) {
            Some(_) if bench.profile.symbol("ObHeaderCookie").is_some() => {
                ("TypeIndex", (from.0 ^ to.0) >> 8 & 0xff)
            }
            Some(_) => ("TypeIndex", 0),
            None => ("Type", 0),
        };
        let (place, bytes) = bench.place("_OBJECT_HEADER", path, from).unwrap();
        let value = bench.number(place, bytes) ^ mixed;
        let row = (table.as_str(), VirtAddr(file.handle), "kind");
        assert!(bench.told(("_OBJECT_HEADER", path, to), value, row));
        // A device that is not one, and a file's that is not there.
        let (device, _) = bench
            .place("_FILE_OBJECT", "DeviceObject", file.object)
            .unwrap();
        let device = bench.pointer(device);
        let row = (table.as_str(), VirtAddr(file.handle), "path");
        assert!(bench.told(("_DEVICE_OBJECT", "Type", device), 4, row));
    }
}

/// Rights that no object of the type has.
#[test]
fn rights_of_handles() {
    for bench in benches() {
        let shell = bench.written.process(1012);
        let table = format!("file of {}", shell.eprocess.unwrap());
        let bits = ["GrantedAccessBits", "GrantedAccess"];
        let entry = bench.profile.find_type("_HANDLE_TABLE_ENTRY").unwrap();
        let member = bits.iter().find_map(|bits| entry.member(bits)).unwrap();
        // The first page of entries: the pointer to it is the first of those above.
        let (code, _) = bench
            .place("_HANDLE_TABLE", "TableCode", shell.handle_table.unwrap())
            .unwrap();
        let code = bench.pointer(code);
        assert_eq!(code.0 & 3, 1, "{}: two pages", bench.name);
        let leaf = bench.pointer(VirtAddr(code.0 & !3));
        let place = leaf.plus(entry.bytes * 2 + member.offset.cast_unsigned());
        let was = bench.number(place, 4);
        let after = bench.after(&[(place, was | 0x20_0000, 4)]);
        let row = &after.rows[&(table.clone(), 8)];
        let access = &row["flags"];
        assert!(
            matches!(access, Err(Why::Implausible { .. })),
            "{}: {access:?}",
            bench.name
        );
    }
}

/// What a token says twice, or cannot say.
#[test]
fn tokens() {
    let mut told = 0;
    for bench in benches() {
        let shell = bench.written.process(1012);
        let Some(at) = shell.token else {
            continue;
        };
        told += 1;
        let eprocess = shell.eprocess.unwrap();
        let other = shell
            .handles
            .iter()
            .find(|h| h.opened.kind() == "File")
            .unwrap();
        let lie = |path, value, field| {
            let wide = ("wide", eprocess, field);
            bench.told(("_TOKEN", path, at), value, wide)
        };
        for value in [0, 0x40_0000, other.object.0] {
            let of = ("_EPROCESS", "Token", eprocess);
            assert!(bench.told(of, value, ("wide", eprocess, "token")));
        }
        assert!(lie("TokenType", 2, "token"));
        for count in [0, 0xffff] {
            assert!(lie("UserAndGroupCount", count, "user"));
        }
        assert!(lie("UserAndGroups", 0, "groups"));
        assert!(lie("AuthenticationId.LowPart", 0, "logon"));
        // Another logon than that of the token's session.
        let session = bench.place("_TOKEN", "LogonSession", at);
        let known = bench.profile.find_type("_SEP_LOGON_SESSION_REFERENCES");
        if session.is_some() && known.is_some() {
            assert!(
                lie("AuthenticationId.LowPart", 0x3e5, "logon"),
                "{}",
                bench.name
            );
        }
        if bench.profile.find_type("_SEP_TOKEN_PRIVILEGES").is_some() {
            assert!(lie("UserAndGroupCount", 2, "user"));
            for index in [0, 1, 77] {
                assert!(lie("IntegrityLevelIndex", index, "integrity"));
            }
            assert!(lie("Privileges.Present", 0, "privileges"));
            assert!(lie("Privileges.Present", u64::MAX, "privileges"));
            assert!(lie("Privileges.Enabled", 1 << 20, "privileges"));
        } else {
            assert!(lie("PrivilegeCount", 0x100, "privileges"));
        }
        // A SID that is not one.
        let array = bench.pointer(bench.place("_TOKEN", "UserAndGroups", at).unwrap().0);
        let sid = bench.place("_SID_AND_ATTRIBUTES", "Sid", array).unwrap().0;
        let sid = bench.pointer(sid);
        for byte in [0_u64, 16] {
            let after = bench.after(&[(sid.plus(u64::from(byte != 0)), byte, 1)]);
            let user = &after.rows[&("wide".to_owned(), eprocess.0)]["user"];
            assert!(matches!(user, Err(Why::Implausible { .. })), "{user:?}");
        }
    }
    assert!(told > 5, "{told}");
}

/// Where an environment is, and that it has an end and something before it.
#[test]
fn environments() {
    for bench in benches() {
        let shell = bench.written.process(1012);
        let (at, block) = shell.environment_at.unwrap();
        let table = format!("variable of {}", shell.eprocess.unwrap());
        let space = bench.space(1012);
        let word = bench.word();
        let ends = |at: VirtAddr, value, bytes| {
            let place = space.translate(at).unwrap();
            bench.after_at(&[(place, value, bytes)]).ends[&table].clone()
        };
        let parameters = "_RTL_USER_PROCESS_PARAMETERS";
        let (pointer, _) = bench.place(parameters, "Environment", block).unwrap();
        for value in [0, at.0 + 1, bench.process(4).0] {
            assert!(!ends(pointer, value, word).is_complete(), "{}", bench.name);
        }
        // Its first letter gone, it looks as if there were nothing.
        assert!(!ends(at, 0, 2).is_complete(), "{}", bench.name);
        if let Some((size, bytes)) = bench.place(parameters, "EnvironmentSize", block) {
            let end = ends(size, 0x100, bytes);
            assert!(end.to_string().contains("EnvironmentSize"), "{end}");
        }
    }
}

#[test]
fn the_block_of_a_processor() {
    for bench in benches() {
        let table = bench.symbol("KiProcessorBlock");
        let block = bench.pointer(table);
        let after = bench.after(&[(table, block.0 + 8, bench.word())]);
        assert!(!after.ends["current"].is_complete(), "{}", bench.name);
    }
}

#[test]
fn threads_and_their_list() {
    for bench in benches() {
        let shell = bench.process(1012);
        let table = format!("thread of {shell}");
        let thread = bench.thread(1012, 0);
        let lies = [
            ("Cid.UniqueProcess", 4, "pid"),
            ("Cid.UniqueThread", 2000, "tid"),
            ("Cid.UniqueThread", 0, "tid"),
        ];
        for (path, value, field) in lies {
            let row = (table.as_str(), thread, field);
            assert!(bench.told(("_ETHREAD", path, thread), value, row));
        }
        // One that has ended, which no table need name any more, had an id.
        let state = ["Tcb.State", "State"];
        let state = state
            .iter()
            .find_map(|path| bench.place("_ETHREAD", path, thread));
        let (state, (id, bytes)) = (
            state.unwrap().0,
            bench.place("_ETHREAD", "Cid.UniqueThread", thread).unwrap(),
        );
        let after = bench.after(&[(state, 4, 1), (id, 0, bytes)]);
        let tid = &after.rows[&(table.clone(), thread.0)]["tid"];
        let told = matches!(tid, Err(Why::Implausible { .. }));
        assert!(told, "{}: {tid:?}", bench.name);
        // The list's head leads to itself: its threads are found in the table of ids.
        let parts = ["ThreadListHead", "Pcb.ThreadListHead"];
        let head = parts
            .iter()
            .find_map(|path| bench.place("_EPROCESS", path, shell));
        let (head, word) = (head.unwrap().0, bench.word());
        let emptied = [(head, head.0, word), (head.plus(word as u64), head.0, word)];
        let after = Answers::ask(&bench.windows(&emptied), &bench.handles, 1);
        let of = |all: &Answers| all.rows.keys().filter(|key| key.0 == table).count();
        let ends = &after.ends[&table];
        assert!(!ends.is_complete(), "{}: {ends:?}", bench.name);
        assert_eq!(of(&after), of(&bench.before), "{}", bench.name);
    }
}

#[test]
fn modules_and_their_list() {
    for bench in benches() {
        let entry = bench.written.plan.drivers[1].entry.unwrap();
        let kernel = bench.written.plan.drivers[0].entry.unwrap();
        let ty = ["_KLDR_DATA_TABLE_ENTRY", "_LDR_DATA_TABLE_ENTRY"];
        let ty = ty
            .into_iter()
            .find(|ty| bench.profile.find_type(ty).is_some())
            .unwrap();
        let lies = [
            ("DllBase", 0, "base"),
            ("DllBase", 0x40_0000, "base"),
            ("SizeOfImage", 0, "size"),
            ("SizeOfImage", 0x1000, "size"),
            ("BaseDllName", 0, "name"),
            ("FullDllName", 0, "file"),
        ];
        for (path, value, field) in lies {
            let row = ("module", entry, field);
            assert!(bench.told((ty, path, entry), value, row), "{path}");
        }
        let base = bench.written.plan.drivers[1].base;
        let row = ("module", kernel, "size");
        assert!(bench.told((ty, "DllBase", kernel), base, row));
        let head = bench.profile.symbol("PsLoadedModuleList").unwrap();
        let head = bench.written.plan.kernel_base.plus(head);
        let word = bench.word();
        let emptied = [(head, head.0, word), (head.plus(word as u64), head.0, word)];
        let after = Answers::ask(&bench.windows(&emptied), &bench.handles, 1);
        let ends = &after.ends["module"];
        assert!(!ends.is_complete(), "{}: {ends:?}", bench.name);
    }
}

#[test]
fn an_emptied_tree_of_mappings() {
    for bench in benches() {
        let shell = bench.process(1012);
        if bench.profile.find_type("_MMVAD").is_none() {
            continue;
        }
        let roots = ["VadRoot.BalancedRoot.RightChild", "VadRoot.Root", "VadRoot"];
        let root = roots
            .iter()
            .find_map(|path| bench.place("_EPROCESS", path, shell));
        let counts = ["VadCount", "VadRoot.NumberGenericTableElements"];
        let count = counts
            .iter()
            .find_map(|path| bench.place("_EPROCESS", path, shell));
        let (root, word) = (root.unwrap().0, bench.word());
        let mut words = vec![(root, 0, word)];
        // The count of Windows 7 is bits beside others that nothing here reads.
        words.extend(count.map(|(at, bytes)| (at, 0, bytes)));
        let after = Answers::ask(&bench.windows(&words), &bench.handles, 1);
        let table = format!("mapping of {shell}");
        let ends = &after.ends[&table];
        assert!(!ends.is_complete(), "{}: {ends:?}", bench.name);
    }
}

/// Of a kernel that has a descriptor for each segment of an image: what a segment says of itself, against
/// the loader's list and the descriptors beside it.
#[test]
fn segments_and_the_image_that_they_are_of() {
    let mut told = 0;
    for bench in benches() {
        if bench.profile.find_type("_MEMORY_AREA").is_none() {
            continue;
        }
        told += 1;
        let shell = bench.written.process(1012);
        let table = format!("mapping of {}", shell.eprocess.unwrap());
        let ntdll = &shell.modules[1];
        let inside = |start: u64| ntdll.base <= start && start < ntdll.base + ntdll.size;
        let parts: Vec<_> = shell.vads.iter().filter(|vad| inside(vad.start)).collect();
        assert_eq!(parts.len(), 3);
        for part in &parts {
            let area = part.node.unwrap();
            let data = bench.place("_MEMORY_AREA", "SectionData", area).unwrap().0;
            let segment = bench.place("_MEMORY_AREA_VIEW", "Segment", data).unwrap().0;
            let segment = bench.pointer(segment);
            let (flags, bytes) = bench
                .place("_MM_SECTION_SEGMENT", "SegFlags", segment)
                .unwrap();
            // A file as it is; and one without a file.
            let after = bench.after(&[(flags, 2, bytes)]);
            assert!(!after.ends[&table].is_complete(), "{:#x}", part.start);
            let (file, bytes) = bench
                .place("_MM_SECTION_SEGMENT", "FileObject", segment)
                .unwrap();
            let after = bench.after(&[(file, 0, bytes)]);
            assert!(!after.ends[&table].is_complete(), "{:#x}", part.start);
        }
        // Neither the names nor anything else hangs on the loader's word for the image's size.
        let space = bench.space(1012);
        let (size, bytes) = bench
            .place("_LDR_DATA_TABLE_ENTRY", "SizeOfImage", ntdll.entry)
            .unwrap();
        let place = space.translate(size).unwrap();
        for value in [0, 0x1000, u64::from(u32::MAX)] {
            let after = bench.after_at(&[(place, value, bytes)]);
            for part in &parts {
                let key = (table.clone(), part.start);
                assert_eq!(after.rows[&key], bench.before.rows[&key], "{value:#x}");
            }
        }
        // An image that would begin at its own second segment.
        let (base, bytes) = bench
            .place("_LDR_DATA_TABLE_ENTRY", "DllBase", ntdll.entry)
            .unwrap();
        let place = space.translate(base).unwrap();
        let after = bench.after_at(&[(place, parts[1].start, bytes)]);
        assert!(!after.ends[&table].is_complete());
    }
    assert_eq!(told, 1);
}

/// The table of ids counts its entries, and a key those that it is in.
#[test]
fn counts_of_ids_and_of_keys() {
    let (mut ids, mut keys) = (0, 0);
    for bench in benches() {
        if let Some(symbol) = bench.profile.symbol("PspCidTable") {
            let table = bench.pointer(bench.written.plan.kernel_base.plus(symbol));
            let by = bench.profile.find_type("_HANDLE_TABLE_FREE_LIST");
            let by = by.map_or(0, |list| list.member("HandleCount").unwrap().offset);
            let counted = ["HandleCount", "FreeLists"];
            let counted =
                (counted.iter()).find_map(|path| bench.place("_HANDLE_TABLE", path, table));
            if let Some((place, _)) = counted {
                let place = place.plus(by.cast_unsigned());
                let count = bench.number(place, 4);
                assert!(count > 0, "{}", bench.name);
                let ends = bench.after(&[(place, count - 1, 4)]).ends["process"].clone();
                let said = ends.to_string();
                assert!(
                    said.contains("ids in use and HandleCount"),
                    "{}: {said}",
                    bench.name
                );
                ids += 1;
            }
        }
        let shell = bench.written.process(1012);
        let levels = bench.profile.find_type("_CM_KEY_CONTROL_BLOCK");
        let levels = levels.and_then(|ty| ty.member("TotalLevels"));
        let key = shell.handles.iter().find(|h| h.opened.kind() == "Key");
        let (Some(levels), Some(key)) = (levels, key) else {
            continue;
        };
        let (body, _) = (bench.place("_CM_KEY_BODY", "KeyControlBlock", key.object)).unwrap();
        let place = bench.pointer(body).plus(levels.offset.cast_unsigned());
        let (first, _) = levels.bits.unwrap_or((0, 0));
        let lie = bench.number(place, 4) ^ 1 << first;
        let after = bench.after(&[(place, lie, 4)]);
        let table = format!("file of {}", shell.eprocess.unwrap());
        let path = &after.rows[&(table, key.handle)]["path"];
        assert!(
            matches!(path, Err(Why::Implausible { .. })),
            "{}: {path:?}",
            bench.name
        );
        keys += 1;
    }
    assert!(ids > 5 && keys > 3, "{ids} {keys}");
}
