//! What is known of a machine and its kernel, in words: lines of a name and a value, as `osier info` shows them.

use osier_memory::{CpuState, Machine};
use osier_osi::{Premise, SeenExt as _, Why};
use osier_snapshot::SnapshotInfo;
use osier_text::{visible_again, visible_bytes};

use crate::format::iso8601;
use crate::{Guest, Located};

/// Stretches of RAM that are shown; a filtered dump has thousands.
const RUNS_SHOWN: usize = 16;

/// Lines of a name and a value, both as they are shown. A line that goes on with the one above has no name, one without
/// both parts groups, and one without a value is the head of a group.
#[derive(Clone, Debug, Default)]
pub struct Sheet(Vec<(String, String)>);

impl Sheet {
    /// What the file is and the machine in it; `checksum` is PANDA's of the guest's memory, where it was asked for.
    pub fn machine(info: &SnapshotInfo, machine: &Machine, checksum: Option<u32>) -> Self {
        let mut sheet = Self::default();
        machine_text(info, machine, checksum, &mut sheet);
        sheet
    }

    /// The guest's kernel, what it said when it stopped, and how all that was decided.
    pub fn kernel(guest: &Guest) -> Self {
        let mut sheet = Self::default();
        kernel_text(guest, &mut sheet);
        sheet
    }

    /// Where a kernel lies that nothing reads.
    pub fn found(located: &Located) -> Self {
        let mut sheet = Self::default();
        found_text(located, &mut sheet);
        sheet
    }

    /// The lines of `other` behind these.
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Each name and value.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Adds a line, of whose parts what cannot be seen is written by its number.
    pub fn line(&mut self, name: &str, value: &str) {
        self.0
            .push((visible_again(name).into(), visible_again(value).into()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filetime_is_a_date_as_well() {
        let time = dated("133497528000000000 (FILETIME)");
        assert_eq!(
            time,
            "2024-01-15T00:40:00.000000000Z (FILETIME 133497528000000000)"
        );
        assert_eq!(dated("0x1000"), "0x1000");
    }
}
