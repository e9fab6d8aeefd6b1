//! What is found on guests that the maker's modules and programs tampered with: each thing, by its rule and its name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use osier::{Finding, ScannedKind, Severity};
use osier_testkit::need::Real;

/// What was done, by its own word: kinds and names, with numbers where they have one.
fn done(real: &Real) -> BTreeMap<String, Option<u32>> {
    let text = fs::read_to_string(real.path.join("truth/tampered")).unwrap();
    let lines = text.lines().map(|line| {
        let mut words = line.split(' ');
        let name = [words.next().unwrap(), words.next().unwrap()].join(" ");
        (name, words.next().map(|number| number.parse().unwrap()))
    });
    lines.collect()
}

fn findings(real: &Real) -> Vec<Finding> {
    let guest = osier::open(real.path.join("memory.raw")).unwrap();
    guest.findings().collect()
}

pub(crate) fn what_somebody_left_is_found(real: &Real) {
    let (done, found) = (done(real), findings(real));
    let number = |name: &str| done[name].unwrap();
    let told = |rule: &str, severity: Severity, is: &dyn Fn(&Finding) -> bool| {
        let mut all = found.iter();
        let met = all.any(|one| one.rule == rule && one.severity == severity && is(one));
        assert!(met, "{}: {rule}: {found:#?}", real.name);
    };
    let of_process = |rule: &str, severity: Severity, name: &str| {
        let pid = number(&format!("process {name}"));
        told(rule, severity, &|one| one.pid == Ok(pid));
    };
    let subject = |rule: &str, severity: Severity, name: &str| {
        told(rule, severity, &|one| one.subject == name.as_bytes());
    };
    let evidence = |rule: &str, severity: Severity, words: &str| {
        let words = words.as_bytes();
        told(rule, severity, &|one| {
            one.evidence.windows(words.len()).any(|part| part == words)
        });
    };
    let (note, medium, high) = (Severity::Note, Severity::Medium, Severity::High);

    for name in [
        "hidden-list",
        "hidden-table",
        "hidden-both",
        "hidden-detached",
    ] {
        of_process("process.hidden", high, name);
    }
    told("process.hidden", high, &|one| {
        one.subject.starts_with(b"thread ") && one.subject.ends_with(b" hidden-second")
    });
    for name in ["list", "sysfs", "unlisted", "inline", "format"] {
        subject("module.hidden", high, &format!("module tamper_{name}"));
    }
    subject("syscall.table", high, "sys_call_table[62]");
    for name in ["proc_root_operations.iterate_shared", "tcp4_seq_ops.show"] {
        subject("operations.hook", high, name);
        evidence("operations.hook", high, "in code of module tamper_tables");
    }
    subject("terminal.hook", high, "tty_ldiscs[0].receive_buf2");
    evidence("terminal.hook", high, "in code of module tamper_terminal");
    told("terminal.hook", medium, &|one| {
        let whose = b" in module tamper_terminal";
        one.subject.ends_with(b".ldisc.ops") && one.evidence.ends_with(whose)
    });
    subject("program.format", high, "linux_binfmt.load_binary");
    let hidden = "in code of module tamper_format, which the list of modules lacks";
    evidence("program.format", high, hidden);
    for rule in ["ftrace.hook", "kprobe", "keyboard.notifier"] {
        subject(rule, note, "module tamper_listed");
        let hidden = "in code of module tamper_unlisted, which the list of modules lacks";
        evidence(rule, high, hidden);
    }
    evidence("netfilter.hook", high, "in code of module tamper_unlisted");
    for call in [
        "acct",
        "sethostname",
        "setdomainname",
        "reboot",
        "quotactl",
        "syslog",
        "personality",
    ] {
        subject("kernel.code", high, &format!("__x64_sys_{call}"));
    }
    // Two names of one function.
    told("kernel.code", high, &|one| {
        one.subject.ends_with(b"_sys_vhangup")
    });
    subject("kernel.code", high, "lo_compat_ioctl of module loop");
    subject("kernel.code", medium, "__x64_sys_umask");
    let symbols = fs::read(real.path.join("truth/kallsyms")).unwrap();
    let has = |name: &[u8]| symbols.windows(name.len()).any(|part| part == name);
    if has(b" x64_sys_call\n") {
        subject("kernel.code", high, "x64_sys_call");
    }
    if has(b" ia32_sys_call_table\n") {
        subject("syscall.table", high, "ia32_sys_call_table[37]");
    }
    of_process("credentials.shared", high, "credentials");
    of_process("memory.executable", medium, "injected");
    of_process("memory.executable", note, "shellcode");
    let instructions = "xor rdi,rdi / push 0x3c / pop rax / syscall";
    evidence("memory.executable", note, instructions);
    of_process("exe.memfd", medium, "memfd");
    of_process("exe.deleted", note, "deleted");
    of_process("process.disguised", medium, "disguised");
    of_process("preload", medium, "preloaded");
    subject("preload", medium, "/etc/ld.so.preload");
    evidence("preload", medium, "/lib/libplugin.so");
    subject("kernel.taint", note, "kernel");

    // What is above a note was done: nobody else is accused.
    let loud = found.iter().filter(|one| one.severity > note);
    let accused: BTreeSet<_> = loud.filter_map(|one| one.pid.clone().ok()).collect();
    let guilty: BTreeSet<_> = done.values().copied().flatten().collect();
    let leader = |pid: &u32| guilty.contains(pid);
    assert!(accused.iter().all(leader), "{}: {found:#?}", real.name);
}

/// Hidden processes and modules are rows, with what does not name them.
pub(crate) fn what_hides_is_a_row(real: &Real) {
    let done = done(real);
    let guest = osier::open(real.path.join("memory.raw")).unwrap();
    let pids: BTreeSet<_> = guest.processes().filter_map(|row| row.pid.ok()).collect();
    for (name, number) in &done {
        if let (true, Some(number)) = (name.starts_with("process "), number) {
            assert!(pids.contains(number), "{}: {name}", real.name);
        }
    }
    let scan: Vec<_> = guest.scan().collect();
    let modules: BTreeSet<_> = guest.modules().filter_map(|row| row.name.ok()).collect();
    for name in done.keys().filter_map(|name| name.strip_prefix("module ")) {
        assert!(modules.contains(name.as_bytes()), "{}: {name}", real.name);
        let scanned = scan.iter().find(|row| {
            row.kind == ScannedKind::Module && row.name.as_deref() == Ok(name.as_bytes())
        });
        let hides =
            ["list", "sysfs", "unlisted", "inline", "format"].map(|of| format!("tamper_{of}"));
        let hides = hides.iter().any(|one| one == name);
        assert_eq!(scanned.unwrap().linked, !hides, "{}: {name}", real.name);
    }
}
