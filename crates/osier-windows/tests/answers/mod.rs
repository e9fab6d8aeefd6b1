//! Every question asked of a Windows machine, with every answer kept.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use osier_memory::{Machine, PhysicalMemory, VirtAddr};
use osier_osi::Panda as _;
use osier_osi::{
    Current, Mapping, Module, OpenFile, Osi, PageRange, Process, ProcessExtra, Seen, SeenExt as _,
    Thread, Variable, WalkEnds, Why,
};
use osier_profile::Profile;
use osier_testkit::windows::{
    Module as Dll, Opened, Paged, Part, Plan, Process as Planned, Protection, Proto, Token,
    VadKind, WindowsMachine, Wow64,
};
use osier_windows::{AttachError, Located, Windows};

/// Rows that one answer may have before the test calls it endless.
const ROW_LIMIT: usize = 50_000;

/// The value of a field, or why it is absent.
pub(crate) type Value = Result<String, Why>;
/// A row's fields by name.
pub(crate) type Fields = BTreeMap<&'static str, Value>;

/// All answers: rows by table and key, and how the walks of each question ended.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) rows: BTreeMap<(String, u64), Fields>,
    pub(crate) ends: BTreeMap<String, WalkEnds>,
    pub(crate) twice: Vec<(String, u64)>,
    /// Why premises of the answers are not known.
    pub(crate) unknown: Vec<String>,
}

/// A machine with a process of every sort that the layout knows, parts of one of them paged out in
/// ways that leave it in memory.
pub(crate) fn machine(profile: &Profile) -> WindowsMachine {
    let mut plan = Plan::new(profile);
    let ntdll = "C:\\Windows\\SYSTEM32\\ntdll.dll";
    let locale = VadKind::Mapped(Some("\\Windows\\System32\\locale.nls".to_owned()));
    let unlinked = VadKind::Image("\\Users\\x\\hidden.dll".to_owned());
    let shell = Planned::new(1012, "explorer.exe")
        .child_of(4)
        .in_session(1)
        .runs(
            "C:\\Windows\\explorer.exe",
            "explorer.exe /e",
            0x100_0000,
            0x2c_0000,
        )
        .loads(0x775c_0000, 0x1a_9000, ntdll)
        .thread(2000)
        .maps(0x20_0000, 0x1000, VadKind::Private, Protection::READ_WRITE)
        .maps(
            0x21_0000,
            0x3000,
            VadKind::Mapped(None),
            Protection::READ_WRITE,
        )
        .maps(0x30_0000, 0x6_7000, locale, Protection::READ)
        .maps(
            0x6000_0000,
            0x8000,
            unlinked,
            Protection::EXECUTE_WRITE_COPY,
        )
        .without(Part::Parameters, Paged::Transition)
        .without(Part::Loader, Paged::Transition)
        .without(Part::Entries, Paged::Prototype(Proto::Transition));
    plan.processes.push(opened(shell, profile));
    let pipe = Opened::On("\\Device\\NamedPipe".to_owned(), "\\lsass".to_owned());
    plan.processes[0] = plan.processes[0]
        .clone()
        .opens(4, Opened::Process(4), 0x1f_0fff)
        .opens(8, pipe, 0x12_0089);
    let mut gone = Planned::new(1400, "gone.exe").child_of(1012);
    "C:\\Temp\\gone.exe".clone_into(&mut gone.path);
    plan.processes.push(gone.exited(0x01cb_3000_0000_0000));
    if profile.find_type("_EWOW64PROCESS").is_some() {
        plan.processes.insert(1, Planned::minimal(100, "Registry"));
    }
    if profile.identity().pointer_bytes == 8 {
        let (path, base, size) = ("C:\\old\\preccalc.exe", 0x40_0000, 0x2_d000);
        let mut old = Planned::new(1756, "preccalc.exe").child_of(1012);
        old = old.runs(path, "native half", base, size);
        old = old.loads(0x07fe_f000_0000, 0x1a_9000, ntdll);
        old.wow64 = Some(Wow64 {
            modules: vec![
                Dll::new(base, size, path),
                Dll::new(0x775f_0000, 0x18_0000, "C:\\Windows\\SysWOW64\\ntdll.dll"),
            ],
            path: path.to_owned(),
            cmdline: "preccalc.exe /32".to_owned(),
            ..Wow64::default()
        });
        plan.processes.push(old);
    }
    let shell = plan.processes.iter_mut().find(|p| p.pid == 1012).unwrap();
    shell.acts_for = user();
    // More than a page of it.
    let long = format!("LONG={}", "x".repeat(3000));
    shell
        .environment
        .extend([long, "GRÖSSE=äöü".to_owned(), "no sign".to_owned()]);
    plan.run(1016);
    plan.write(profile)
}

/// Somebody at the machine.
fn user() -> Token {
    let domain = "S-1-5-21-1004336348-1177238915-682003330";
    Token {
        user: format!("{domain}-1001"),
        groups: vec![
            format!("{domain}-513"),
            "S-1-1-0".to_owned(),
            "S-1-5-32-545".to_owned(),
        ],
        privileges: vec![(19, false), (23, true), (33, false)],
        integrity: Some(0x2000),
        logon: 0x3_e7aa,
    }
}

/// The process with a handle to an object of every sort that the layout knows, on two pages of entries.
fn opened(process: Planned, profile: &Profile) -> Planned {
    let named = |kind, path: &str| Opened::Named(kind, path.to_owned());
    let far = 0x1008;
    let mut process = process
        .opens(4, named("Directory", "\\KnownDlls"), 3)
        .opens(
            8,
            Opened::File("\\Windows\\explorer.exe".to_owned()),
            0x12_0089,
        )
        .opens(0xc, Opened::Nameless("Event"), 0x1f_0003)
        .opens(0x14, Opened::Process(1400), 0x1f_0fff)
        .opens(0x18, Opened::Thread(2000), 0x12_0048)
        .opens(
            0x24,
            named("Mutant", "\\Sessions\\1\\BaseNamedObjects\\Größe"),
            0x1f_0001,
        )
        .opens(0x28, Opened::Nameless("Section"), 7)
        .opens(0x2c, Opened::Nameless("Token"), 8)
        .opens(far, Opened::Process(4), 0x1400);
    if profile.find_type("_CM_KEY_BODY").is_some() {
        let users = "\\REGISTRY\\USER\\S-1-5-21-7";
        process = process
            .opens(0x1c, Opened::Key(users.to_owned()), 0x2_0019)
            .opens(0x20, Opened::Key(format!("{users}\\GRÖSSE")), 0xf_003f);
    }
    process
}

/// The provider on `machine` with its memory exchanged.
pub(crate) fn attach(
    machine: &Machine,
    located: &Located,
    profile: &Arc<Profile>,
    memory: Arc<dyn PhysicalMemory>,
) -> Result<Windows, AttachError> {
    let mut machine = machine.clone();
    machine.memory = memory;
    Windows::attach(&machine, located, profile.clone())
}

fn value<T: std::fmt::Debug>(seen: &Seen<T>) -> Value {
    match seen {
        Ok(value) => Ok(format!("{value:x?}")),
        Err(absent) => Err(absent.why),
    }
}

macro_rules! fields {
    ($row:expr; $($name:ident),*) => {
        Fields::from([$((stringify!($name), value(&$row.$name))),*])
    };
}

fn process(row: &Process) -> Fields {
    let mut fields = fields!(row; pid, ppid, name, asid, create_time, start);
    let ProcessExtra::Windows(extra) = &row.extra else {
        panic!("a process of another system");
    };
    fields.extend(fields!(extra; exit_time, session, wow64, peb, path, cmdline));
    if let Some(wide) = &extra.wide {
        fields.extend(fields!(wide; token, user, groups, privileges, integrity, logon));
    }
    fields.insert("found_by", Ok(format!("{:?}", row.found_by)));
    fields
}

fn thread(row: &Thread) -> Fields {
    fields!(row; pid, tid, name, state)
}

fn mapping(row: &Mapping) -> Fields {
    fields!(row; pid, size, name, file, offset, flags, perms, kind)
}

impl Answers {
    fn add(&mut self, table: &str, key: u64, fields: Fields) -> ControlFlow<()> {
        if self.rows.insert((table.to_owned(), key), fields).is_some() {
            self.twice.push((table.to_owned(), key));
        }
        assert!(self.rows.len() < ROW_LIMIT, "{table} does not end");
        ControlFlow::Continue(())
    }

    /// Asks everything. `handles` are the processes to ask for, besides those that are found; of
    /// the first `paged` of them the pages are asked for too.
    pub(crate) fn ask(windows: &Windows, handles: &[VirtAddr], paged: usize) -> Self {
        let mut all = Self::default();
        let premises = &windows.kernel().premises;
        let unknown = premises.iter().filter(|premise| premise.value == "unknown");
        all.unknown = unknown.map(|premise| premise.by.clone()).collect();
        let mut of = handles.to_vec();
        let ends = windows.processes(&mut |row: Process| {
            of.push(row.taskd);
            all.add("process", row.taskd.0, process(&row))
        });
        let unwanted = windows.processes_of(&mut |_| false, &mut |row| panic!("unwanted: {row:?}"));
        assert_eq!(unwanted, ends, "a list ends as it does when it is shown");
        all.ends.insert("process".to_owned(), ends);
        let ends = windows.wide(&mut |row: Process| all.add("wide", row.taskd.0, process(&row)));
        all.ends.insert("wide".to_owned(), ends);
        let ends = windows.modules(&mut |row: Module| {
            all.add("module", row.modd.0, fields!(row; name, base, size, file))
        });
        all.ends.insert("module".to_owned(), ends);
        let ends = windows.current(&mut |row: Current| {
            let process = row.process.clone().map(|process| process.taskd);
            let mut fields = Fields::from([("process", value(&process))]);
            match &row.thread {
                Ok(row) => {
                    fields.extend(thread(row));
                    fields.insert("task", Ok(row.task.to_string()));
                }
                Err(absent) => {
                    for name in ["task", "pid", "tid", "name", "state"] {
                        fields.insert(name, Err(absent.why));
                    }
                }
            }
            all.add("current", u64::from(row.cpu), fields)
        });
        all.ends.insert("current".to_owned(), ends);
        of.sort();
        of.dedup();
        for taskd in of {
            all.ask_process(
                windows,
                taskd,
                handles.iter().take(paged).any(|h| *h == taskd),
            );
        }
        all
    }

    fn ask_process(&mut self, windows: &Windows, taskd: VirtAddr, paged: bool) {
        let table = |what| format!("{what} of {taskd}");
        let name = table("thread");
        let ends = windows.threads(taskd, &mut |row: Thread| {
            self.add(&name, row.task.0, thread(&row))
        });
        self.ends.insert(name, ends);
        let name = table("file");
        let ends = windows.files(taskd, &mut |row: OpenFile| {
            let fields = fields!(row; pid, path, kind, flags, filed);
            self.add(&name, row.fd.into(), fields)
        });
        self.ends.insert(name, ends);
        let name = table("variable");
        let ends = windows.environment(taskd, &mut |row: Variable| {
            self.add(&name, row.address.0, fields!(row; pid, name, value))
        });
        self.ends.insert(name, ends);
        let name = table("mapping");
        let ends = windows.mappings(taskd, &mut |row: Mapping| {
            let key = row.base.value().unwrap_or(row.modd);
            self.add(&name, key.0, mapping(&row))
        });
        self.ends.insert(name, ends);
        let name = table("library");
        let ends = windows.panda_mappings(taskd, &mut |row: Mapping| {
            self.add(&name, row.modd.0, fields!(row; base, size, name, file))
        });
        self.ends.insert(name, ends);
        if !paged {
            return;
        }
        let name = table("page");
        let ends = windows.pages(taskd, &mut |row: PageRange| {
            // A hidden table splits ranges: compare page by page.
            let mut flow = ControlFlow::Continue(());
            for by in (0..row.len).step_by(0x1000).take(64) {
                let place = format!("{} {:?}", row.phys.plus(by), row.flags);
                let fields = Fields::from([
                    ("place", Ok(place)),
                    ("backing", value(&row.backing)),
                    ("pid", value(&row.pid)),
                ]);
                flow = self.add(&name, row.start.0 + by, fields);
            }
            flow
        });
        self.ends.insert(name, ends);
    }
}
