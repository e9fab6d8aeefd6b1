//! What does not fit: nothing on machines as they are made, and each thing that is changed.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

#[allow(dead_code, reason = "other tests ask for more")]
mod answers;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use osier_memory::{PhysicalMemory, Recorder, VirtAddr};
use osier_osi::{Finding, Osi, ScanSource, Scanned, ScannedKind, Severity, WalkEnds, Why};
use osier_profile::Profile;
use osier_testkit::windows::layouts;
use osier_testkit::windows::{
    Driver, Plan, Process, Protection, Token, Told, VadKind, WindowsMachine,
};
use osier_testkit::{Knockout, Patched, Random};
use osier_windows::{KnownKernel, Windows, locate};

/// Three drivers beside the kernel and the HAL.
fn plan(profile: &Profile) -> Plan {
    let mut plan = Plan::new(profile);
    let above = plan.drivers[0].base + plan.drivers[0].size + 0x10_0000;
    for (nth, name) in (0..).zip(["disk.sys", "tcpip.sys", "rootkit.sys"]) {
        let path = format!("\\SystemRoot\\system32\\drivers\\{name}");
        plan.drivers
            .push(Driver::new(above + nth * 0x8_0000, 0x4_0000, &path));
    }
    let shell = |pid, name: &str| {
        let path = format!("C:\\Windows\\{name}");
        let ntdll = "C:\\Windows\\SYSTEM32\\ntdll.dll";
        Process::new(pid, name)
            .child_of(4)
            .in_session(1)
            .runs(&path, name, 0x100_0000, 0x2c_0000)
            .loads(0x775c_0000, 0x1a_9000, ntdll)
    };
    plan.processes.push(shell(1012, "explorer.exe"));
    plan.processes.push(shell(2012, "notepad.exe"));
    let gone = Process::new(1400, "gone.exe").child_of(1012);
    plan.processes.push(gone.exited(0x01cb_3000_0000_0000));
    plan
}

fn attached(
    profile: &Profile,
    machine: &WindowsMachine,
    words: &[(VirtAddr, u64, usize)],
) -> Windows {
    let mut whole = machine.machine();
    let known: Vec<KnownKernel> = KnownKernel::of_profile(profile).into_iter().collect();
    let located = locate(&whole, &known).expect("the kernel is found");
    let profile = Arc::new(profile.clone());
    let windows = Windows::attach(&whole, &located, profile.clone()).expect("it attaches");
    let mut memory = Patched::new(whole.memory.clone());
    for (at, value, bytes) in words {
        let pa = windows.kernel_space().translate(*at).expect("mapped");
        memory.write_uint(pa, *value, *bytes);
    }
    whole.memory = Arc::new(memory);
    Windows::attach(&whole, &located, profile).expect("it attaches")
}

fn findings(windows: &Windows) -> (Vec<Finding>, WalkEnds) {
    let mut rows = Vec::new();
    let ends = windows.findings(&mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    (rows, ends)
}

fn scanned(windows: &Windows) -> (Vec<Scanned>, WalkEnds) {
    let mut rows = Vec::new();
    let ends = windows.scan(&mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    (rows, ends)
}

/// Every layout whose kernel has objects with headers.
fn each(look: &dyn Fn(&str, &Profile)) {
    let all: Vec<_> = layouts::all()
        .iter()
        .filter(|layout| layout.profile.find_type("_OBJECT_HEADER").is_some())
        .collect();
    assert!(all.len() > 15);
    for layout in all {
        look(&layout.name, &layout.profile);
    }
}

/// That the machine of `plan` has this finding, and nothing else that is graver than a note.
fn only(name: &str, profile: &Profile, plan: Plan, wanted: (&str, Severity, &str)) -> Vec<Finding> {
    let machine = plan.write(profile);
    found(name, profile, &machine, &[], wanted)
}

fn found(
    name: &str,
    profile: &Profile,
    machine: &WindowsMachine,
    words: &[(VirtAddr, u64, usize)],
    (rule, severity, subject): (&str, Severity, &str),
) -> Vec<Finding> {
    let (rows, ends) = findings(&attached(profile, machine, words));
    let grave: Vec<_> = rows
        .iter()
        .filter(|row| row.severity > Severity::Note)
        .collect();
    assert!(!grave.is_empty(), "{name}: {rule} finds nothing; {ends}");
    for row in &grave {
        assert_eq!(
            (row.rule, row.severity),
            (rule, severity),
            "{name}: {row:?}"
        );
        let said = String::from_utf8(row.subject.clone()).unwrap();
        assert!(said.contains(subject), "{name}: {said}");
        assert!(
            !row.evidence.is_empty() && row.text.ends_with('.'),
            "{name}"
        );
    }
    rows
}

#[test]
fn nothing_is_found_on_machines_as_they_are() {
    each(&|name, profile| {
        let machine = plan(profile).write(profile);
        let (rows, ends) = findings(&attached(profile, &machine, &[]));
        assert!(rows.is_empty(), "{name}: {rows:?}");
        assert!(ends.is_complete(), "{name}: {ends}");
        let machine = answers::machine(profile);
        let (rows, ends) = findings(&attached(profile, &machine, &[]));
        assert!(rows.is_empty(), "{name}: {rows:?}");
        assert!(ends.is_complete(), "{name}: {ends}");
    });
}

#[test]
fn what_the_lists_lack_is_found() {
    each(&|name, profile| {
        let mut hidden = plan(profile);
        hidden.processes[2].told = Told::ByTable;
        only(
            name,
            profile,
            hidden,
            ("process.hidden", Severity::High, "2012 notepad.exe"),
        );
        let mut hidden = plan(profile);
        hidden.drivers[4].unlinked = true;
        let rows = only(
            name,
            profile,
            hidden,
            ("module.hidden", Severity::High, "rootkit"),
        );
        assert_eq!(rows.len(), 1, "{name}");
        // A process that the table of ids lacks as well, found by the handle that another has to it.
        let mut hidden = plan(profile);
        hidden.processes[2].told = Told::ByList;
        let machine = hidden.write(profile);
        let (rows, _) = findings(&attached(profile, &machine, &[]));
        assert!(
            rows.iter().any(|row| row.rule == "process.hidden"),
            "{name}: {rows:?}"
        );
    });
}

#[test]
fn tables_that_leave_their_images_are_found() {
    each(&|name, profile| {
        let mut hooked = plan(profile);
        let away = hooked.drivers[4].base + 0x7_0000;
        hooked.drivers[2].hooked = vec![(14, away)];
        only(
            name,
            profile,
            hooked,
            ("driver.function", Severity::High, "disk"),
        );
        // Another driver's function is no finding.
        let mut ported = plan(profile);
        ported.drivers[2].hooked = vec![(14, ported.drivers[3].base + 0x2000)];
        let machine = ported.write(profile);
        let (rows, _) = findings(&attached(profile, &machine, &[]));
        assert!(rows.is_empty(), "{name}: {rows:?}");

        let machine = plan(profile).write(profile);
        let wide = profile.identity().pointer_bytes == 8;
        let table = profile.symbol("KiServiceTable").expect("system calls");
        let place = machine.plan.kernel_base.plus(table);
        let entry = |to: u64| {
            if wide {
                to.wrapping_sub(place.0) << 4
            } else {
                to
            }
        };
        let nobody = entry(away) & 0xffff_ffff;
        let words = [(place.plus(7 * 4), nobody, 4)];
        let wanted = ("syscall.table", Severity::High, "KiServiceTable[0x7]");
        found(name, profile, &machine, &words, wanted);
        // The code of a driver: what guarded 32-bit systems did so.
        let drivers = entry(machine.plan.drivers[3].base + 0x2000) & 0xffff_ffff;
        let severity = if wide {
            Severity::High
        } else {
            Severity::Medium
        };
        let words = [(place, drivers, 4)];
        let wanted = ("syscall.table", severity, "KiServiceTable[0x0]");
        found(name, profile, &machine, &words, wanted);

        let word = if wide { 8 } else { 4 };
        let (base, copy) = (
            machine.plan.kernel_base,
            machine.plan.drivers[3].base + 0x2000,
        );
        for described in ["KeServiceDescriptorTable", "KeServiceDescriptorTableShadow"] {
            let Some(described_at) = profile.symbol(described) else {
                continue;
            };
            let at = base.plus(described_at);
            let wanted = ("syscall.moved", Severity::High, described);
            found(name, profile, &machine, &[(at, copy, word)], wanted);
            // A half of the pointer that is zero is lost, and nobody's table.
            if wide {
                let words = [(at.plus(4), 0, 4)];
                let (rows, ends) = findings(&attached(profile, &machine, &words));
                assert!(rows.iter().all(|row| row.rule != "syscall.moved"), "{name}");
                assert!(!ends.is_complete(), "{name}: {described}");
            }
            let limit = at.plus(2 * word as u64);
            found(name, profile, &machine, &[(limit, 99, 4)], wanted);
            let services = profile
                .find_type("_KTHREAD")
                .and_then(|ty| ty.member("ServiceTable"));
            if let Some(services) = services.filter(|_| !wide) {
                let thread = machine.process(1012).threads[0].ethread.unwrap();
                let place = thread.plus(u64::try_from(services.offset).unwrap());
                let wanted = ("syscall.moved", Severity::High, "1012 explorer.exe");
                found(name, profile, &machine, &[(place, copy, word)], wanted);
            }
        }

        let idt = machine.cpus[0].segments.idt.base.expect("an IDT");
        let gate = VirtAddr(idt).plus(3 * if wide { 16 } else { 8 });
        let (low, high) = (away & 0xffff, away >> 16 & 0xffff);
        let words = [(gate, low, 2), (gate.plus(6), high, 2)];
        let wanted = ("interrupt.table", Severity::High, "vector 0x3");
        found(name, profile, &machine, &words, wanted);
    });
}

#[test]
fn programs_that_are_not_what_they_seem_are_found() {
    each(&|name, profile| {
        // Memory that can be executed and is no image's.
        let mut injected = plan(profile);
        injected.processes[1] = injected.processes[1].clone().maps(
            0x5000_0000,
            0x2000,
            VadKind::Private,
            Protection::EXECUTE_READ_WRITE,
        );
        let machine = injected.write(profile);
        let (rows, ends) = findings(&attached(profile, &machine, &[]));
        assert!(ends.is_complete(), "{name}: {ends}");
        if profile.find_type("_MMVAD_FLAGS").is_some() {
            assert_eq!(rows.len(), 1, "{name}: {rows:?}");
            let found = (rows[0].rule, rows[0].severity, rows[0].address.0);
            assert_eq!(found, ("memory.executable", Severity::Note, 0x5000_0000));
        }
        let eprocess = machine.process(1012).eprocess.unwrap();
        let member = |path| {
            let ty = profile.find_type("_EPROCESS")?;
            let offset = ty.member(path)?.offset;
            Some(eprocess.plus(u64::try_from(offset).unwrap()))
        };
        let word = profile.identity().pointer_bytes.into();
        let machine = plan(profile).write(profile);
        if let Some(noted) = member("SectionBaseAddress") {
            let wanted = ("image.replaced", Severity::High, "1012 explorer.exe");
            found(name, profile, &machine, &[(noted, 0x40_0000, word)], wanted);
        }
        let system = machine.process(4).token;
        if let Some((place, token)) = member("Token").zip(system) {
            let wanted = ("token.shared", Severity::High, "1012 explorer.exe");
            found(
                name,
                profile,
                &machine,
                &[(place, token.0 | 1, word)],
                wanted,
            );
        }
    });
}

#[test]
fn a_scan_finds_what_the_lists_lack() {
    each(&|name, profile| {
        let mut hidden = plan(profile);
        hidden.processes[2].told = Told::ByTable;
        hidden.drivers[4].unlinked = true;
        let machine = hidden.write(profile);
        let (rows, ends) = scanned(&attached(profile, &machine, &[]));
        assert!(
            ends.bad()
                .all(|(walk, _)| walk == "process list and pid table"),
            "{name}: {ends}"
        );
        let of = |kind| rows.iter().filter(move |row| row.kind == kind);
        let mut processes: Vec<_> = of(ScannedKind::Process).map(|row| row.address).collect();
        let planned = machine.plan.processes.iter().map(|p| p.eprocess.unwrap());
        let mut wanted: Vec<_> = planned.collect();
        processes.sort();
        wanted.sort();
        // The idle process of some kernels lies in the pool as well.
        let idle = machine.plan.idle_process;
        processes.retain(|at| *at != idle);
        assert_eq!(processes, wanted, "{name}");
        for row in of(ScannedKind::Process).filter(|row| row.address != idle) {
            let process = machine.plan.processes.iter();
            let process = { process }
                .find(|p| p.eprocess == Some(row.address))
                .unwrap();
            let listed = process.told != Told::ByTable;
            assert_eq!(row.linked, listed, "{name}: {row:?}");
            assert_eq!(row.found_by.has(ScanSource::List), listed);
            assert!(row.found_by.has(ScanSource::Pool), "{name}: {row:?}");
            assert!(row.found_by.has(ScanSource::PidTable));
            assert_eq!(row.freed, Ok(false), "{name}");
            assert_eq!(row.exited, Ok(process.exit_time.is_some()));
            assert_eq!(row.pid, Ok(u32::try_from(process.pid).unwrap()));
            assert!(matches!(
                row.tid.as_ref().unwrap_err().why,
                Why::NotApplicable(_)
            ));
        }
        let modules: Vec<_> = of(ScannedKind::Module).collect();
        assert_eq!(modules.len(), machine.plan.drivers.len(), "{name}");
        let rootkit = machine.plan.drivers[4].entry.unwrap();
        for row in modules {
            assert!(row.found_by.has(ScanSource::Pool), "{name}: {row:?}");
            assert_eq!(row.linked, row.address != rootkit, "{name}: {row:?}");
        }
    });
}

/// A block that was given back says so.
#[test]
fn a_free_block_is_told() {
    each(&|name, profile| {
        let Some(header) = profile.find_type("_POOL_HEADER") else {
            return;
        };
        let machine = plan(profile).write(profile);
        let entry = machine.plan.drivers[4].entry.unwrap();
        let member = header.member("PoolType").unwrap();
        let place = entry
            .minus(header.bytes)
            .plus(u64::try_from(member.offset).unwrap());
        let bytes = usize::try_from(member.bytes).unwrap();
        let (rows, _) = scanned(&attached(profile, &machine, &[(place, 0, bytes)]));
        let row = rows.iter().find(|row| row.address == entry).unwrap();
        assert_eq!(row.freed, Ok(true), "{name}: {row:?}");
    });
}

/// Whom somebody acts for is their own.
#[test]
fn equal_tokens_are_no_finding() {
    let layout = layouts::of("5278aff8");
    let mut same = plan(&layout.profile);
    for process in &mut same.processes {
        process.acts_for = Token::default();
    }
    let machine = same.write(&layout.profile);
    let (rows, _) = findings(&attached(&layout.profile, &machine, &[]));
    assert!(rows.is_empty(), "{rows:?}");
}

/// A machine with a hidden process and a hidden driver, and each page that rules or the scan read hidden, then with
/// bits flipped: nobody hides silently where a page is not there, and nothing ends in a panic or takes long.
#[test]
fn what_cannot_be_read_is_told() {
    const FLIPS: usize = 150;
    for guid in ["32962337", "3844dbb9", "c78ab9db", "5278aff8", "fdcba251"] {
        let layout = layouts::of(guid);
        let profile = Arc::new(layout.profile.clone());
        let mut hidden = plan(&profile);
        hidden.processes[2].told = Told::ByTable;
        hidden.drivers[4].unlinked = true;
        let machine = hidden.write(&profile);
        let whole = machine.machine();
        let known: Vec<KnownKernel> = KnownKernel::of_profile(&profile).into_iter().collect();
        let located = locate(&whole, &known).expect("the kernel is found");
        let with = |memory: Arc<dyn PhysicalMemory>| {
            let mut other = whole.clone();
            other.memory = memory;
            Windows::attach(&other, &located, profile.clone()).ok()
        };
        let recorder = Arc::new(Recorder::new(whole.memory.clone()));
        let (rows, ends) = findings(&with(recorder.clone()).unwrap());
        assert_eq!(rows.len(), 2, "{guid}: {rows:?}, {ends}");
        let touched = recorder.touched();
        let mut refused = 0;
        for page in &touched {
            let holed = Arc::new(Knockout::new(whole.memory.clone(), *page));
            let Some(windows) = with(holed) else {
                refused += 1;
                continue;
            };
            let (after, ends) = findings(&windows);
            for rule in ["process.hidden", "module.hidden"] {
                let found = after.iter().any(|row| row.rule == rule);
                assert!(
                    found || !ends.is_complete(),
                    "{guid} {page}: {rule} is lost silently"
                );
            }
            let invented = after.iter().find(|row| {
                row.severity > Severity::Note && !rows.iter().any(|was| was.address == row.address)
            });
            assert!(invented.is_none(), "{guid} {page}: {invented:?}");
        }
        assert!(
            refused * 4 < touched.len(),
            "{guid}: {refused} of {}",
            touched.len()
        );
        let mut random = Random::new(7);
        for _ in 0..FLIPS {
            let at = random.one_of(&touched).plus(random.below(4096));
            let bit = u8::try_from(random.below(8)).unwrap();
            let mut memory = Patched::new(whole.memory.clone());
            memory.flip(at, bit);
            let began = Instant::now();
            if let Some(windows) = with(Arc::new(memory)) {
                drop(findings(&windows));
                drop(scanned(&windows));
            }
            assert!(
                began.elapsed() < Duration::from_secs(5),
                "{guid} {at} {bit}"
            );
        }
    }
}
