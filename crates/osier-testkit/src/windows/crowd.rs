//! A machine with a process of every sort.

use osier_profile::Profile;

use super::{
    Entered, Module, Plan, Process, ProcessKind, Protection, Proto, Shared, VadKind, Wow64,
};

/// A machine with processes of every sort that the layout knows.
pub fn crowd(profile: &Profile) -> Plan {
    let mut plan = Plan::new(profile);
    let ntdll = "C:\\Windows\\SYSTEM32\\ntdll.dll";
    let mut shell = Process::new(1012, "explorer.exe")
        .child_of(4)
        .in_session(1)
        .runs(
            "C:\\Windows\\explorer.exe",
            "explorer.exe /e",
            0x0100_0000,
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
        );
    let locale = VadKind::Mapped(Some("\\Windows\\System32\\locale.nls".to_owned()));
    shell = shell.maps(0x30_0000, 0x6_7000, locale, Protection::READ);
    // An image that the loader does not list.
    let unlinked = VadKind::Image("\\Users\\x\\hidden.dll".to_owned());
    shell = shell.maps(
        0x6000_0000,
        0x8000,
        unlinked,
        Protection::EXECUTE_WRITE_COPY,
    );
    "worker".clone_into(&mut shell.threads[0].name);
    shell.threads[1].entered = Entered::Nested;
    shell = shell.thread(2004).thread(2008);
    shell.threads[2].entered = Entered::Interrupt;
    shell.threads[3].state = 4; // it has ended, and something holds it
    shell.headers = true;
    let full = VadKind::Private;
    shell = shell.maps(0x24_0000, 0x4000, full, Protection::READ_WRITE);
    if let Some(vad) = shell.vads.last_mut() {
        vad.commit = true;
    }
    // Pages that the process has not touched, and other processes have.
    shell.shared = [
        (0x21_1000, Proto::DemandZero),
        (0x21_2000, Proto::PageFile(0x99)),
        (0x30_0000, Proto::Valid),
        (0x30_1000, Proto::Transition),
        (0x30_2000, Proto::MappedFile),
        (0x0100_1000, Proto::Valid),
        (0x0100_2000, Proto::MappedFile),
    ]
    .map(|(at, entry)| Shared {
        at,
        fill: (at >> 12) as u8 | 0x80,
        entry,
    })
    .to_vec();
    plan.processes.push(shell);
    let mut gone = Process::new(1400, "gone.exe").child_of(1012);
    "C:\\Temp\\gone.exe".clone_into(&mut gone.path);
    plan.processes.push(gone.exited(0x01cb_3000_0000_0000));
    plan.processes.push(
        Process::new(1500, "a_very_long_name_of.exe")
            .child_of(1012)
            .runs(
                "C:\\Program Files\\Größe\\a_very_long_name_of.exe",
                "a_very_long_name_of.exe \u{1f980}",
                0x40_0000,
                0x1_0000,
            ),
    );
    if plan.version.0 == 10 {
        plan.processes.insert(1, Process::minimal(100, "Registry"));
        let mut pico = Process::minimal(1600, "bash");
        pico.kind = ProcessKind::Pico;
        plan.processes.push(pico);
    }
    if profile.identity().pointer_bytes == 8 {
        let (path, base, size) = ("C:\\old\\preccalc.exe", 0x40_0000, 0x2_d000);
        let mut old = Process::new(1756, "preccalc.exe")
            .child_of(1012)
            .in_session(1);
        old = old.runs(path, "native half", base, size);
        old = old.loads(0x07fe_f000_0000, 0x1a_9000, ntdll);
        old.wow64 = Some(Wow64 {
            modules: vec![
                Module::new(base, size, path),
                Module::new(0x775f_0000, 0x18_0000, "C:\\Windows\\SysWOW64\\ntdll.dll"),
            ],
            path: path.to_owned(),
            cmdline: "preccalc.exe /32".to_owned(),
            ..Wow64::default()
        });
        old.headers = true;
        old = old.thread(1764);
        old.threads[1].entered = Entered::Interrupt;
        plan.processes.push(old);
    }
    plan.run(1016);
    plan
}
