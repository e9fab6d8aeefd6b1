//! `osier info`: what the snapshot is, which kernel it holds, and how that was decided.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use osier::WalkEnds;
use osier::format::{escape_bytes, json_absence, json_string};
use osier::osier_memory::{Cause, CpuState, Machine, Paging};
use osier::osier_snapshot::{SnapshotInfo, panda_checksum};
use osier::sheet::Sheet;
use osier::{
    Absent, Crash, Guest, Located, Premise, Seen, SeenExt as _, VirtAddr, Why, open_snapshot,
};
use osier_text::visible_bytes;

use super::common::options;
use crate::args::{Format, InfoArgs, OutputArgs};
use crate::outcome::Outcome;
use crate::output::{Output, terminal_width};

pub(super) fn run(args: &InfoArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let options = options(&args.snapshot.known);
    let snapshot = open_snapshot(&args.snapshot.snapshot, &options)?;
    let mut text = String::new();
    let mut sheet = Sheet::default();
    let mut out = Output::new(output, 8);
    let json = matches!(out.format(), Format::Json | Format::Jsonl);
    let checksum = if args.checksum {
        panda_checksum(&snapshot.info.file)?
    } else {
        None
    };
    // What the file is can be told even when no kernel is found in it.
    let (info, machine) = (snapshot.info.clone(), snapshot.machine.clone());
    let mut located = None;
    let guest = Guest::find(&snapshot, &options).and_then(|(shared, found)| {
        let found = located.insert(found).clone();
        Guest::found(snapshot, found, &shared)
    });
    // The guest knows of damage to the kernel's own types and symbols, too.
    let info = guest.as_ref().map_or(&info, Guest::info);
    out.doubt(None, info.doubts());
    if json {
        machine_json(info, &machine, checksum, &mut text);
    } else {
        sheet.join(Sheet::machine(info, &machine, checksum));
    }
    if let Ok(guest) = &guest {
        out.lose(crash_losses(guest));
        if json {
            kernel_json(guest, &mut text);
        } else {
            sheet.join(Sheet::kernel(guest));
        }
    } else {
        if json {
            text.push_str(",\"kernel\":null");
        }
        // Nor does a kernel go unsaid that was found and cannot be read.
        match &located {
            Some(found) if json => found_json(found, &mut text),
            Some(found) => sheet.join(Sheet::found(found)),
            None => {}
        }
    }
    if json {
        text.push_str("}\n");
    }
    let room = std::io::stdout()
        .is_terminal()
        .then(terminal_width)
        .flatten();
    text.push_str(&draw(&sheet, room.filter(|_| !output.wide)));
    out.text(text.as_bytes())?;
    let outcome = out.conclude(&WalkEnds::default())?;
    guest?;
    Ok(outcome)
}

/// The lines, the values one below the other; with `room`, values go on below themselves where a line would be longer.
fn draw(sheet: &Sheet, room: Option<usize>) -> String {
    let widths = sheet.lines().map(|(name, _)| name.chars().count());
    let width = widths.max().unwrap_or(0).max(16);
    let mut text = String::new();
    for (name, value) in sheet.lines() {
        if name.is_empty() && value.is_empty() {
            text.push('\n');
            continue;
        }
        let _ = write!(text, "{name:<width$}");
        let mut used = width;
        for (nth, word) in value.split(' ').enumerate() {
            let more = word.chars().count().saturating_add(1);
            let full = room.is_some_and(|room| used.saturating_add(more) > room);
            // A word that is too long by itself is not broken: whoever copies it wants it whole.
            if nth > 0 && full && used > width {
                let _ = write!(text, "\n{:width$}", "");
                used = width;
            }
            text.push(' ');
            text.push_str(word);
            used = used.saturating_add(more);
        }
        text.push('\n');
    }
    text
}

/// Whether the place was not read because the snapshot does not hold it.
fn is_left_out(absent: &Absent) -> bool {
    let Why::Unreadable(fault) = &absent.why else {
        return false;
    };
    matches!(fault.cause, Cause::Excluded { .. } | Cause::NotCaptured)
}

/// Values that were lost of what the kernel said when it stopped the machine.
fn crash_losses(guest: &Guest) -> usize {
    let lost = |absent: Option<&Absent>| usize::from(absent.is_some_and(Absent::is_loss));
    match guest.crash() {
        Ok(Crash {
            message,
            cpu,
            ip,
            sp,
        }) => {
            let registers = lost(ip.absence()).saturating_add(lost(sp.absence()));
            let said = lost(message.absence()).saturating_add(lost(cpu.absence()));
            said.saturating_add(registers)
        }
        // What the file does not hold, as of a distilled machine, is said and is no loss; a file that was cut says
        // that it was.
        Err(absent) if is_left_out(&absent) => 0,
        Err(absent) => lost(Some(&absent)),
    }
}

/// `,"crash":{…}`; `null` where the kernel did not stop the machine. Where that cannot be told, `absent` says why.
fn crash_json(guest: &Guest, text: &mut String) {
    let crash = match guest.crash() {
        Ok(crash) => crash,
        Err(absent) => {
            text.push_str(",\"crash\":null");
            if absent.is_loss() {
                text.push_str(",\"absent\":{\"crash\":");
                json_absence(&absent, text);
                text.push('}');
            }
            return;
        }
    };
    let mut first = true;
    text.push_str(",\"crash\":{");
    let mut one = |name: &str, known: Option<String>| {
        let comma = if std::mem::take(&mut first) { "" } else { "," };
        let _ = write!(text, "{comma}\"{name}\":");
        match known {
            Some(value) => json_string(&value, text),
            None => text.push_str("null"),
        }
    };
    let message = crash.message.get().map(|said| visible_bytes(said));
    let address = |at: &Seen<VirtAddr>| at.value().map(|at| at.to_string());
    let (ip, sp) = (address(&crash.ip), address(&crash.sp));
    one("message", message);
    one("ip", ip);
    one("sp", sp);
    match crash.cpu.value() {
        Some(cpu) => {
            let _ = write!(text, ",\"cpu\":{cpu}}}");
        }
        None => text.push_str(",\"cpu\":null}"),
    }
}

fn found_json(located: &Located, text: &mut String) {
    text.push_str(",\"found\":{\"os\":");
    json_string(located.system(), text);
    field(text, "banner", &visible_bytes(&located.banner()));
    let build_id = located.build_id().map(ToString::to_string);
    optional(text, "build_id", build_id);
    field(text, "paging", located.mode().name());
    field(text, "root", &located.root().to_string());
    field(text, "base", &located.base().to_string());
    premises_json(located.premises(), text);
    text.push('}');
}

/// `,"name":"value"`.
fn field(text: &mut String, name: &str, value: &str) {
    let _ = write!(text, ",\"{name}\":");
    json_string(value, text);
}

/// The same, or `,"name":null`.
fn optional(text: &mut String, name: &str, value: Option<impl AsRef<str>>) {
    match value {
        Some(value) => field(text, name, value.as_ref()),
        None => {
            let _ = write!(text, ",\"{name}\":null");
        }
    }
}

/// `,"name":[…]`, of which `one` writes each.
fn list<T>(
    text: &mut String,
    name: &str,
    all: impl IntoIterator<Item = T>,
    one: impl Fn(T, &mut String),
) {
    let _ = write!(text, ",\"{name}\":[");
    for (nth, item) in all.into_iter().enumerate() {
        text.push_str(if nth == 0 { "" } else { "," });
        one(item, text);
    }
    text.push(']');
}

fn machine_json(info: &SnapshotInfo, machine: &Machine, checksum: Option<u32>, text: &mut String) {
    text.push_str("{\"file\":");
    let mut file = String::new();
    escape_bytes(&osier_text::path_bytes(&info.file), &mut file);
    json_string(&file, text);
    let _ = write!(text, ",\"file_bytes\":{}", info.file_bytes);
    field(text, "format", info.format.name());
    list(text, "facts", &info.facts, |(name, value), text| {
        text.push_str("{\"name\":");
        json_string(name, text);
        field(text, "value", value);
        text.push('}');
    });
    let anomalies = &info.anomalies;
    list(text, "anomalies", anomalies, |anomaly, text| {
        json_string(&anomaly.text, text);
    });
    list(text, "anomaly_effects", anomalies, |anomaly, text| {
        json_string(anomaly.effect.word(), text);
    });
    list(text, "ram", machine.memory.runs(), |run, text| {
        let _ = write!(text, "{{\"start\":\"{}\",\"len\":{}}}", run.start, run.len);
    });
    if let Some(checksum) = checksum {
        let _ = write!(text, ",\"ram_crc32\":\"{checksum:#010x}\"");
    }
    list(text, "cpus", &machine.cpus, cpu_json);
}

fn cpu_json(cpu: &CpuState, text: &mut String) {
    let _ = write!(text, "{{\"cpu\":{},\"cpl\":", cpu.index);
    match cpu.cpl {
        Some(cpl) => text.push_str(&cpl.to_string()),
        None => text.push_str("null"),
    }
    optional(text, "paging", cpu.paging().map(Paging::name));
    let names = [
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
        "r13", "r14", "r15",
    ];
    let general = cpu.general.map_or([None; 16], |general| general.map(Some));
    let others = [
        ("rip", Some(cpu.rip)),
        ("rflags", cpu.rflags),
        ("fs_base", cpu.segments.fs.base),
        ("gs_base", cpu.segments.gs.base),
        ("kernel_gs_base", cpu.kernel_gs_base),
        ("idt_base", cpu.segments.idt.base),
        ("gdt_base", cpu.segments.gdt.base),
        ("cr0", cpu.cr0),
        ("cr2", cpu.cr2),
        ("cr3", Some(cpu.cr3)),
        ("cr4", cpu.cr4),
        ("efer", cpu.efer),
        ("lstar", cpu.lstar),
    ];
    for (name, value) in names.into_iter().zip(general).chain(others) {
        optional(text, name, value.map(|value| format!("{value:#x}")));
    }
    text.push('}');
}

fn kernel_json(guest: &Guest, text: &mut String) {
    let kernel = guest.kernel();
    let located = &guest.located();
    text.push_str(",\"kernel\":{\"os\":");
    json_string(located.system(), text);
    field(text, "banner", &visible_bytes(&kernel.banner));
    match located {
        Located::Linux(found) => field(text, "release", &found.release()),
        Located::Windows(found) => optional(text, "pdb", found.pdb.as_deref()),
        Located::Other(_) => {}
    }
    optional(text, "build_id", kernel.build_id.as_deref());
    field(text, "paging", located.mode().name());
    field(text, "root", &located.root().to_string());
    match located {
        Located::Linux(found) => {
            field(text, "text", &found.text.to_string());
            field(text, "text_phys", &found.text_pa.to_string());
            let slide = guest.virtual_slide();
            optional(
                text,
                "virtual_slide",
                slide.map(|slide| format!("{slide:#x}")),
            );
        }
        Located::Windows(_) | Located::Other(_) => {
            field(text, "base", &located.base().to_string());
        }
    }
    field(text, "profile", &guest.source().to_string());
    crash_json(guest, text);
    premises_json(&kernel.premises, text);
    text.push('}');
}

fn premises_json(premises: &[Premise], text: &mut String) {
    list(text, "premises", premises, |premise, text| {
        text.push_str("{\"about\":");
        json_string(premise.about, text);
        field(text, "value", &premise.value);
        field(text, "by", &premise.by);
        text.push('}');
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_below_each_other() {
        let mut sheet = Sheet::default();
        sheet.line("a", "1");
        sheet.line("", "");
        sheet.line("a name as long as this", "a\u{202e}b");
        let shown = "a                      1\n\na name as long as this a\\u{202e}b\n";
        assert_eq!(draw(&sheet, None), shown);
        let mut sheet = Sheet::default();
        sheet.line("a", "one two three aword-that-is-too-long four");
        let shown = "a                one two\n                 three\n                 aword-that-is-too-long\n                 four\n";
        assert_eq!(draw(&sheet, Some(25)), shown);
    }
}
