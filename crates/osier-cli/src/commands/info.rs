//! `osier info`: what the snapshot is, which kernel it holds, and how that was decided.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use osier::WalkEnds;
use osier::format::{escape_bytes, iso8601, json_absence, json_string};
use osier::osier_memory::{Cause, CpuState, Machine};
use osier::osier_snapshot::{SnapshotInfo, panda_checksum};
use osier::{
    Absent, Crash, Guest, Located, Premise, Seen, SeenExt as _, VirtAddr, Why, open_snapshot,
};
use osier_text::{visible_again, visible_bytes};

use super::common::options;
use crate::args::{Format, InfoArgs, OutputArgs};
use crate::outcome::Outcome;
use crate::output::{Output, terminal_width};

/// Stretches of RAM that are shown as text; a filtered dump has thousands.
const RUNS_SHOWN: usize = 16;

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
        machine_text(info, &machine, checksum, &mut sheet);
    }
    if let Ok(guest) = &guest {
        out.lose(crash_losses(guest));
        if json {
            kernel_json(guest, &mut text);
        } else {
            kernel_text(guest, &mut sheet);
        }
    } else {
        if json {
            text.push_str(",\"kernel\":null");
        }
        // Nor does a kernel go unsaid that was found and cannot be read.
        match &located {
            Some(found) if json => found_json(found, &mut text),
            Some(found) => found_text(found, &mut sheet),
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
    text.push_str(&sheet.draw(room.filter(|_| !output.wide)));
    out.text(text.as_bytes())?;
    let outcome = out.conclude(&WalkEnds::default())?;
    guest?;
    Ok(outcome)
}

/// Lines of a name and a value, the values one below the other.
#[derive(Default)]
struct Sheet(Vec<(String, String)>);

impl Sheet {
    fn line(&mut self, name: &str, value: &str) {
        self.0
            .push((visible_again(name).into(), visible_again(value).into()));
    }

    /// The lines; with `room`, values go on below themselves where a line would be longer.
    fn draw(&self, room: Option<usize>) -> String {
        let widths = self.0.iter().map(|(name, _)| name.chars().count());
        let width = widths.max().unwrap_or(0).max(16);
        let mut text = String::new();
        for (name, value) in &self.0 {
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
}

/// A FILETIME as a date as well; any other value as it is.
fn dated(value: &str) -> String {
    let time = value.strip_suffix(" (FILETIME)");
    let nanoseconds = time.and_then(|time| {
        let since_1601: i128 = time.parse().ok()?;
        let since_1970 = since_1601.checked_sub(116_444_736_000_000_000)?;
        i64::try_from(since_1970.checked_mul(100)?).ok()
    });
    match nanoseconds {
        Some(nanoseconds) => {
            let time = time.unwrap_or_default();
            format!("{} (FILETIME {time})", iso8601(nanoseconds))
        }
        None => value.to_owned(),
    }
}

fn machine_text(info: &SnapshotInfo, machine: &Machine, checksum: Option<u32>, text: &mut Sheet) {
    let file = osier_text::path(&info.file);
    text.line("file", &format!("{file} ({} bytes)", info.file_bytes));
    text.line("format", info.format.name());
    for (name, value) in &info.facts {
        text.line(name, &dated(value));
    }
    for anomaly in &info.anomalies {
        text.line("anomaly", &anomaly.text);
    }
    let runs = machine.memory.runs();
    for (nth, run) in runs.iter().take(RUNS_SHOWN).enumerate() {
        let (start, end) = (run.start.0, run.end().0);
        let size = size(run.len);
        let name = if nth == 0 { "RAM" } else { "" };
        text.line(name, &format!("{start:#014x} .. {end:#014x}  {size}"));
    }
    if let Some(more) = runs.get(RUNS_SHOWN..).filter(|more| !more.is_empty()) {
        let bytes = runs
            .iter()
            .fold(0_u64, |sum, run| sum.saturating_add(run.len));
        let rest = format!("and {} more stretches, {bytes} bytes in all", more.len());
        text.line("", &rest);
    }
    if let Some(checksum) = checksum {
        text.line("RAM CRC-32", &format!("{checksum:#010x}"));
    }
    if machine.cpus.is_empty() {
        text.line("CPUs", "none in the file (--registers FILE adds them)");
    }
    for cpu in &machine.cpus {
        cpu_text(cpu, text);
    }
}

fn cpu_text(cpu: &CpuState, text: &mut Sheet) {
    let paging = cpu.paging().map_or("unknown", |mode| mode.name());
    let cpl = cpu.cpl.map_or("unknown".to_owned(), |cpl| cpl.to_string());
    let known = |registers: &[(&str, Option<u64>)]| {
        let words = registers
            .iter()
            .filter_map(|(name, value)| value.map(|value| format!("{name} {value:#x}")));
        words.collect::<Vec<_>>().join("  ")
    };
    let control = known(&[
        ("cr0", cpu.cr0),
        ("cr2", cpu.cr2),
        ("cr3", Some(cpu.cr3)),
        ("cr4", cpu.cr4),
    ]);
    let state = format!("rip {:#x}  cpl {cpl}  paging {paging}  {control}", cpu.rip);
    text.line(&format!("CPU {}", cpu.index), &state);
    let rest = known(&[
        ("fs", cpu.segments.fs.base),
        ("gs", cpu.segments.gs.base),
        ("kernel-gs", cpu.kernel_gs_base),
        ("efer", cpu.efer),
        ("lstar", cpu.lstar),
    ]);
    if !rest.is_empty() {
        text.line("", &rest);
    }
}

/// Bytes in the largest unit that leaves no rest.
fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    units
        .iter()
        .find(|(shift, _)| bytes.trailing_zeros() >= *shift && bytes != 0)
        .map_or_else(
            || format!("{bytes} bytes"),
            |(shift, unit)| format!("{} {unit}", bytes >> shift),
        )
}

fn kernel_text(guest: &Guest, text: &mut Sheet) {
    let kernel = guest.kernel();
    text.line("", "");
    text.line("kernel", &visible_bytes(&kernel.banner));
    let located = &guest.located();
    match located {
        Located::Linux(found) => text.line("release", &found.release()),
        Located::Windows(found) => {
            text.line("PDB", found.pdb.as_deref().unwrap_or("not captured"));
        }
        Located::Other(found) => text.line("system", found.system()),
    }
    let id = kernel.build_id.as_deref().unwrap_or("none");
    text.line("build id", id);
    text.line("paging", located.mode().name());
    text.line("table root", &located.root().to_string());
    match located {
        Located::Linux(found) => {
            text.line("text", &found.text.to_string());
            text.line("text, physical", &found.text_pa.to_string());
        }
        Located::Windows(_) | Located::Other(_) => {
            text.line("base", &located.base().to_string());
        }
    }
    if let Some(slide) = guest.virtual_slide() {
        text.line("KASLR slide", &format!("{slide:#x}"));
    }
    text.line("profile", &guest.source().to_string());
    crash_text(guest, text);
    text.line("", "");
    text.line("how it was decided", "");
    premises_text(&kernel.premises, text);
}

/// What the kernel said when it stopped the machine, or that it did not.
fn crash_text(guest: &Guest, text: &mut Sheet) {
    let crash = match guest.crash() {
        Ok(crash) => crash,
        Err(absent) if absent.is_loss() => {
            return text.line("stopped by itself", &format!("?  {absent}"));
        }
        Err(absent) if absent.why == Why::NotInThisKernel => {
            return text.line("stopped by itself", &format!("–  {absent}"));
        }
        Err(_) => return text.line("stopped by itself", "no"),
    };
    let shown = |known: Option<String>| known.unwrap_or_else(|| "?".to_owned());
    let message = crash.message.get().map(|said| visible_bytes(said));
    text.line("stopped by itself", &shown(message));
    text.line(
        "  on CPU",
        &shown(crash.cpu.value().map(|cpu| cpu.to_string())),
    );
    for (name, register) in [("  at", crash.ip), ("  stack", crash.sp)] {
        if let Some(at) = register.value() {
            text.line(name, &at.to_string());
        }
    }
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

/// Where a kernel lies that nothing reads.
fn found_text(located: &Located, text: &mut Sheet) {
    text.line("", "");
    text.line("found, and not read", &visible_bytes(&located.banner()));
    text.line("system", located.system());
    text.line("paging", located.mode().name());
    text.line("table root", &located.root().to_string());
    text.line("base", &located.base().to_string());
    text.line("", "");
    text.line("how it was decided", "");
    premises_text(located.premises(), text);
}

fn premises_text(premises: &[Premise], text: &mut Sheet) {
    for premise in premises {
        text.line(&format!("  {}", premise.about), &premise.value);
        text.line("", &format!("by {}", premise.by));
    }
}

fn found_json(located: &Located, text: &mut String) {
    text.push_str(",\"found\":{\"os\":");
    json_string(located.system(), text);
    field(text, "banner", &visible_bytes(&located.banner()));
    match located.build_id() {
        Some(id) => field(text, "build_id", &id.to_string()),
        None => text.push_str(",\"build_id\":null"),
    }
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

fn machine_json(info: &SnapshotInfo, machine: &Machine, checksum: Option<u32>, text: &mut String) {
    text.push_str("{\"file\":");
    let mut file = String::new();
    escape_bytes(&osier_text::path_bytes(&info.file), &mut file);
    json_string(&file, text);
    let _ = write!(text, ",\"file_bytes\":{}", info.file_bytes);
    field(text, "format", info.format.name());
    text.push_str(",\"facts\":[");
    for (nth, (name, value)) in info.facts.iter().enumerate() {
        text.push_str(if nth == 0 {
            "{\"name\":"
        } else {
            ",{\"name\":"
        });
        json_string(name, text);
        field(text, "value", value);
        text.push('}');
    }
    text.push_str("],\"anomalies\":[");
    for (nth, anomaly) in info.anomalies.iter().enumerate() {
        text.push_str(if nth == 0 { "" } else { "," });
        json_string(&anomaly.text, text);
    }
    text.push_str("],\"anomaly_effects\":[");
    for (nth, anomaly) in info.anomalies.iter().enumerate() {
        text.push_str(if nth == 0 { "" } else { "," });
        json_string(anomaly.effect.word(), text);
    }
    text.push_str("],\"ram\":[");
    for (nth, run) in machine.memory.runs().iter().enumerate() {
        let joint = if nth == 0 { "" } else { "," };
        let _ = write!(
            text,
            "{joint}{{\"start\":\"{}\",\"len\":{}}}",
            run.start, run.len
        );
    }
    text.push(']');
    if let Some(checksum) = checksum {
        let _ = write!(text, ",\"ram_crc32\":\"{checksum:#010x}\"");
    }
    text.push_str(",\"cpus\":[");
    for (nth, cpu) in machine.cpus.iter().enumerate() {
        text.push_str(if nth == 0 { "" } else { "," });
        cpu_json(cpu, text);
    }
    text.push(']');
}

fn cpu_json(cpu: &CpuState, text: &mut String) {
    let _ = write!(text, "{{\"cpu\":{},\"cpl\":", cpu.index);
    match cpu.cpl {
        Some(cpl) => text.push_str(&cpl.to_string()),
        None => text.push_str("null"),
    }
    match cpu.paging() {
        Some(mode) => field(text, "paging", mode.name()),
        None => text.push_str(",\"paging\":null"),
    }
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
        let _ = match value {
            Some(value) => write!(text, ",\"{name}\":\"{value:#x}\""),
            None => write!(text, ",\"{name}\":null"),
        };
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
        Located::Windows(found) => match &found.pdb {
            Some(pdb) => field(text, "pdb", pdb),
            None => text.push_str(",\"pdb\":null"),
        },
        Located::Other(_) => {}
    }
    match &kernel.build_id {
        Some(id) => field(text, "build_id", id),
        None => text.push_str(",\"build_id\":null"),
    }
    field(text, "paging", located.mode().name());
    field(text, "root", &located.root().to_string());
    match located {
        Located::Linux(found) => {
            field(text, "text", &found.text.to_string());
            field(text, "text_phys", &found.text_pa.to_string());
            match guest.virtual_slide() {
                Some(slide) => field(text, "virtual_slide", &format!("{slide:#x}")),
                None => text.push_str(",\"virtual_slide\":null"),
            }
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
    text.push_str(",\"premises\":[");
    for (nth, premise) in premises.iter().enumerate() {
        text.push_str(if nth == 0 {
            "{\"about\":"
        } else {
            ",{\"about\":"
        });
        json_string(premise.about, text);
        field(text, "value", &premise.value);
        field(text, "by", &premise.by);
        text.push('}');
    }
    text.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_below_each_other_and_times_are_dates() {
        let mut sheet = Sheet::default();
        sheet.line("a", "1");
        sheet.line("", "");
        sheet.line("a name as long as this", "a\u{202e}b");
        let shown = "a                      1\n\na name as long as this a\\u{202e}b\n";
        assert_eq!(sheet.draw(None), shown);
        let mut sheet = Sheet::default();
        sheet.line("a", "one two three aword-that-is-too-long four");
        let shown = "a                one two\n                 three\n                 aword-that-is-too-long\n                 four\n";
        assert_eq!(sheet.draw(Some(25)), shown);
        let time = dated("133497528000000000 (FILETIME)");
        assert_eq!(
            time,
            "2024-01-15T00:40:00.000000000Z (FILETIME 133497528000000000)"
        );
        assert_eq!(dated("0x1000"), "0x1000");
    }
}
