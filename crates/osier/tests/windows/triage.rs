//! What a real Windows 10 kept of its handles and tokens, in a dump that holds a part of its memory.

use std::fs;
use std::path::{Path, PathBuf};

use osier::{Guest, OpenFile, ProcessExtra, Severity, VirtAddr};
use osier_testkit::need::Real;

fn guest(real: &Real, test: &str) -> Guest {
    let plain: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("triage-{test}.dmp"));
    fs::write(&plain, real.unpacked()).unwrap();
    osier::open(&plain).unwrap()
}

/// System has handles to itself and to the two processes of sessions that the list names behind it.
pub(crate) fn handles_lead_to_processes(real: &Real) {
    let guest = guest(real, "handles");
    let system = guest.processes().next().unwrap();
    assert_eq!(system.pid, Ok(4));
    let mut answer = guest.files(system.taskd);
    let rows: Vec<OpenFile> = answer.by_ref().collect();
    // The dump has a part of the only page of entries.
    assert!(!answer.is_complete() && rows.len() > 30, "{}", rows.len());
    let ends = answer.ends().to_string();
    assert!(
        !ends.contains("inconsistent") && !ends.contains("disagree"),
        "{ends}"
    );
    let to = |fd: u32| {
        let row = rows.iter().find(|row| row.fd == fd).unwrap();
        (row.filed.clone().unwrap(), row.flags.clone().unwrap())
    };
    assert_eq!(to(4), (system.taskd, 0x1f_ffff));
    let of = |pid: u32| {
        let mut all = guest.processes();
        all.find(|process| process.pid == Ok(pid)).unwrap().taskd
    };
    assert_eq!(to(308), (of(588), 0x1f_ffff));
    assert_eq!(to(324), (of(612), 0x1f_ffff));
    assert!(rows.iter().all(|row| row.pid == Ok(4)));
}

pub(crate) fn tokens_are_the_systems_own(real: &Real) {
    let guest = guest(real, "tokens");
    let mut known = 0;
    for process in guest.wide() {
        let ProcessExtra::Windows(extra) = process.extra else {
            panic!("a process of Windows");
        };
        let wide = extra.wide.unwrap();
        let (Ok(logon), Ok(held)) = (&wide.logon, &wide.privileges) else {
            continue;
        };
        known += 1;
        assert_eq!(*logon, 0x3e7);
        let debug = held.iter().find(|held| held.number == 20).unwrap();
        assert!(debug.enabled && debug.to_string() == "SeDebugPrivilege");
        // All that Windows 10 has, but for two that SYSTEM is not given.
        assert!(held.len() > 28, "{}", held.len());
    }
    assert_eq!(known, 2);
}

pub(crate) fn nothing_is_found(real: &Real) {
    let guest = guest(real, "findings");
    let mut answer = guest.findings();
    let grave = answer.by_ref().filter(|row| row.severity > Severity::Note);
    assert_eq!(
        grave.map(|row| row.text).collect::<Vec<_>>(),
        Vec::<String>::new()
    );
    assert!(!answer.is_complete(), "what was not looked at is not clean");
    let system = VirtAddr(0xffff_c08b_dce9_4180);
    assert!(guest.scan().any(|row| row.address == system && row.linked));
}
