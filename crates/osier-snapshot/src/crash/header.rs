//! `DUMP_HEADER32` and `DUMP_HEADER64`.

use std::fmt;

use osier_memory::{CrashDump, PAGE_BYTES, PhysAddr, PhysRun, VirtAddr};

use crate::anomaly::Anomaly;
use crate::cursor::Cursor;
use crate::error::{Malformed, NotRead};
use crate::look::Look;

/// What a 32-bit dump starts with.
pub(super) const MAGIC32: &[u8] = b"PAGEDUMP";
/// What a 64-bit dump starts with.
pub(super) const MAGIC64: &[u8] = b"PAGEDU64";

/// The word that fills every header before fields are set.
const FILLER: u32 = u32::from_le_bytes(*b"PAGE");
const FILLER64: u64 = u64::from_le_bytes(*b"PAGEPAGE");

const IMAGE_FILE_MACHINE_I386: u32 = 0x14c;
const IMAGE_FILE_MACHINE_AMD64: u32 = 0x8664;

/// What follows a header, by its `DumpType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// 1, or no type (before Windows 2000): every page of the header's runs.
    Full,
    /// 2: pages by a bitmap of 32 bits' size.
    Summary,
    /// 3: nothing.
    HeaderOnly,
    /// 4: blocks of virtual memory.
    Triage,
    /// 5 to 7: pages by a bitmap (complete, kernel, automatic).
    Bitmap,
    /// 8 to 10: pages by a list of ranges (what the debugger's `.dump` writes today).
    Ranges,
    /// Anything else.
    Unknown(u32),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("full"),
            Self::Summary => f.write_str("kernel summary"),
            Self::HeaderOnly => f.write_str("header only"),
            Self::Triage => f.write_str("triage"),
            Self::Bitmap => f.write_str("bitmap"),
            Self::Ranges => f.write_str("ranges"),
            Self::Unknown(number) => write!(f, "{number:#x}"),
        }
    }
}

/// Where the fields lie that stand at different places in the two headers.
struct Places {
    bytes: usize,
    table_root: usize,
    pfn_database: usize,
    loaded_modules: usize,
    active_processes: usize,
    machine: usize,
    bug_check: usize,
    bug_check_parameters: usize,
    version: usize,
    debugger_data: usize,
    runs: usize,
    context: usize,
    exception: usize,
    comment: usize,
    dump_type: usize,
    mini_dump_fields: usize,
    required: usize,
    up_time: usize,
    system_time: usize,
    attributes: usize,
}

const NARROW: Places = Places {
    bytes: 0x1000,
    table_root: 0x10,
    pfn_database: 0x14,
    loaded_modules: 0x18,
    active_processes: 0x1c,
    machine: 0x20,
    bug_check: 0x28,
    bug_check_parameters: 0x2c,
    version: 0x3c,
    debugger_data: 0x60,
    runs: 0x64,
    context: 0x320,
    exception: 0x7d0,
    comment: 0x820,
    dump_type: 0xf88,
    mini_dump_fields: 0xf8c,
    required: 0xfa0,
    up_time: 0xfb8,
    system_time: 0xfc0,
    attributes: 0x8a0,
};

const WIDE: Places = Places {
    bytes: 0x2000,
    table_root: 0x10,
    pfn_database: 0x18,
    loaded_modules: 0x20,
    active_processes: 0x28,
    machine: 0x30,
    bug_check: 0x38,
    bug_check_parameters: 0x40,
    version: 0x60,
    debugger_data: 0x80,
    runs: 0x88,
    context: 0x348,
    exception: 0xf00,
    comment: 0xfb0,
    dump_type: 0xf98,
    mini_dump_fields: 0x1038,
    required: 0xfa0,
    up_time: 0x1030,
    system_time: 0xfa8,
    attributes: 0x1050,
};

/// How many runs the 700 bytes of `PhysicalMemoryBlock` have room for.
const RUNS32: usize = (700 - 8) / 8;
const RUNS64: usize = (700 - 16) / 16;
const VERSION_BYTES: usize = 32;
const COMMENT_BYTES: usize = 128;

/// A crash dump's header.
pub(super) struct Header {
    /// Whether it is a `DUMP_HEADER64`.
    pub(super) wide: bool,
    /// Bytes of the header: what follows it starts there.
    pub(super) bytes: u64,
    /// What follows.
    pub(super) kind: Kind,
    /// The file offset of `DumpType`.
    pub(super) kind_at: u64,
    /// The file offset of the context record.
    pub(super) context_at: usize,
    /// `PhysicalMemoryBlock`; `None` where the writer left the filler.
    pub(super) runs: Option<Runs>,
    /// The fields that a provider may use.
    pub(super) hint: CrashDump,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) anomalies: Vec<Anomaly>,
}

/// `PhysicalMemoryBlock`: the machine's memory as the kernel counted it.
pub(super) struct Runs {
    /// The file offset of the descriptor.
    pub(super) at: u64,
    /// The runs as they stand there: in the order of their pages in the file.
    pub(super) list: Vec<PhysRun>,
    /// `NumberOfPages`.
    pub(super) pages: u64,
}

/// Reads fields of either width at offsets in a whole header.
struct Fields<'a> {
    file: Look<'a>,
    wide: bool,
}

impl Fields<'_> {
    fn u32(&self, at: usize, name: &str) -> Result<u32, Malformed> {
        Cursor::new(self.file, at).le32(name)
    }

    fn u64(&self, at: usize, name: &str) -> Result<u64, Malformed> {
        Cursor::new(self.file, at).le64(name)
    }

    /// A pointer-sized field.
    fn word(&self, at: usize, name: &str) -> Result<u64, Malformed> {
        if self.wide {
            self.u64(at, name)
        } else {
            self.u32(at, name).map(u64::from)
        }
    }

    /// A pointer-sized field that the writer may have left alone.
    fn set_word(&self, at: usize, name: &str) -> Result<Option<u64>, Malformed> {
        let filler = if self.wide { FILLER64 } else { FILLER.into() };
        Ok(Some(self.word(at, name)?).filter(|value| *value != filler))
    }

    fn set_u32(&self, at: usize, name: &str) -> Result<Option<u32>, Malformed> {
        Ok(Some(self.u32(at, name)?).filter(|value| *value != FILLER))
    }

    fn set_u64(&self, at: usize, name: &str) -> Result<Option<u64>, Malformed> {
        Ok(Some(self.u64(at, name)?).filter(|value| *value != FILLER64))
    }

    /// The text at `at`, up to its first NUL; `None` when it is empty or the filler.
    fn text(&self, at: usize, len: usize, name: &str) -> Result<Option<String>, Malformed> {
        let bytes = Cursor::new(self.file, at).take(len, name)?;
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let blank = text.is_empty()
            || b"PAGE"
                .repeat(len)
                .windows(text.len())
                .take(4)
                .any(|w| w == text);
        Ok((!blank).then(|| text.escape_ascii().to_string()))
    }
}

impl Header {
    /// Reads the header at the start of `file`.
    pub(super) fn parse(file: Look<'_>) -> Result<Self, NotRead> {
        let wide = file.starts_with(MAGIC64);
        let at = if wide { &WIDE } else { &NARROW };
        if file.len() < at.bytes {
            return Err(Malformed::new(
                file.len() as u64,
                format!(
                    "the rest of a header of {:#x} bytes; the file ends here",
                    at.bytes
                ),
            )
            .into());
        }
        let field = Fields { file, wide };
        let machine_type = field.u32(at.machine, "MachineImageType")?;
        match (machine_type, wide) {
            (IMAGE_FILE_MACHINE_I386, false) | (IMAGE_FILE_MACHINE_AMD64, true) => {}
            (IMAGE_FILE_MACHINE_I386 | IMAGE_FILE_MACHINE_AMD64, _) => {
                return Err(Malformed::new(
                    at.machine as u64,
                    format!("a machine of the header's own width, not {machine_type:#x}"),
                )
                .into());
            }
            _ => {
                return Err(NotRead::Other(
                    "a Windows crash dump of another processor than x86",
                    "only i386 and x86-64 machines are read",
                ));
            }
        }
        let mut anomalies = Vec::new();
        let number = field.u32(at.dump_type, "DumpType")?;
        let kind = match number {
            FILLER | 1 => Kind::Full,
            2 => Kind::Summary,
            3 => Kind::HeaderOnly,
            4 => Kind::Triage,
            5..=7 => Kind::Bitmap,
            8..=10 if wide => Kind::Ranges,
            other => Kind::Unknown(other),
        };
        let hint = hint(&field, at, machine_type)?;
        let runs = runs(&field, at, kind, &mut anomalies)?;
        let facts = facts(&field, at, &hint, number, kind, runs.as_ref())?;
        Ok(Self {
            wide,
            bytes: at.bytes as u64,
            kind,
            kind_at: at.dump_type as u64,
            context_at: at.context,
            runs,
            hint,
            facts,
            anomalies,
        })
    }
}

/// A time that ran, of 100 ns each, as hours, minutes and seconds as well.
fn running(time: u64) -> String {
    let (seconds, rest) = (time / 10_000_000, time % 10_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hours}:{minutes:02}:{seconds:02}.{rest:07} ({time} times 100 ns)")
}

fn hint(field: &Fields<'_>, at: &Places, machine_type: u32) -> Result<CrashDump, Malformed> {
    let pae = if field.wide {
        None
    } else {
        match Cursor::new(field.file, 0x5c).u8("PaeEnabled")? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    };
    let debugger_data = field.set_word(at.debugger_data, "KdDebuggerDataBlock")?;
    Ok(CrashDump {
        table_root: PhysAddr(field.word(at.table_root, "DirectoryTableBase")?),
        loaded_modules: VirtAddr(field.word(at.loaded_modules, "PsLoadedModuleList")?),
        active_processes: VirtAddr(field.word(at.active_processes, "PsActiveProcessHead")?),
        debugger_data: debugger_data.filter(|va| *va != 0).map(VirtAddr),
        major_version: field.u32(8, "MajorVersion")?,
        minor_version: field.u32(12, "MinorVersion")?,
        machine_type,
        processors: field.u32(at.machine.saturating_add(4), "NumberProcessors")?,
        pae,
        system_time: field.set_u64(at.system_time, "SystemTime")?,
        bug_check: field.u32(at.bug_check, "BugCheckCode")?,
    })
}

/// The header's runs.
fn runs(
    field: &Fields<'_>,
    at: &Places,
    kind: Kind,
    anomalies: &mut Vec<Anomaly>,
) -> Result<Option<Runs>, Malformed> {
    let count_at = at.runs as u64;
    let Some(count) = field.set_u32(at.runs, "NumberOfRuns")? else {
        return Ok(None);
    };
    let (head, each, most) = if field.wide {
        (16, 16, RUNS64)
    } else {
        (8, 8, RUNS32)
    };
    if count as usize > most {
        let expected = format!("at most {most} runs of memory, not {count}");
        if kind == Kind::Full {
            return Err(Malformed::new(count_at, expected));
        }
        anomalies.push(Anomaly::bytes(format!(
            "at file offset {count_at:#x}: expected {expected}; not used"
        )));
        return Ok(None);
    }
    let pages = field.word(at.runs.saturating_add(head / 2), "NumberOfPages")?;
    let mut list = Vec::new();
    for index in 0..count as usize {
        let place = at
            .runs
            .saturating_add(head)
            .saturating_add(index.saturating_mul(each));
        let base = field.word(place, "BasePage")?;
        let pages = field.word(place.saturating_add(each / 2), "PageCount")?;
        match run_of_pages(base, pages) {
            Some(run) => list.push(run),
            None if kind == Kind::Full => {
                return Err(Malformed::new(
                    place as u64,
                    format!("a run below 2^64 bytes, not {pages:#x} pages from page {base:#x}"),
                ));
            }
            None => anomalies.push(Anomaly::bytes(format!(
                "at file offset {place:#x}: a run of {pages:#x} pages from page {base:#x} leaves the \
                 physical address space; not used"
            ))),
        }
    }
    let sum = list
        .iter()
        .fold(0_u64, |sum, run| sum.saturating_add(run.len / PAGE_BYTES));
    if sum != pages {
        anomalies.push(Anomaly::bytes(format!(
            "the header counts {pages} pages of memory, and its runs hold {sum}"
        )));
    }
    Ok(Some(Runs {
        at: count_at,
        list,
        pages,
    }))
}

/// `count` pages from page `base` on, as bytes; `None` when they do not fit into an address.
pub(super) fn run_of_pages(base: u64, count: u64) -> Option<PhysRun> {
    let start = base.checked_mul(PAGE_BYTES)?;
    let len = count.checked_mul(PAGE_BYTES)?;
    start.checked_add(len)?;
    Some(PhysRun {
        start: PhysAddr(start),
        len,
    })
}

/// Every field of the header, in words.
fn facts(
    field: &Fields<'_>,
    at: &Places,
    hint: &CrashDump,
    number: u32,
    kind: Kind,
    runs: Option<&Runs>,
) -> Result<Vec<(&'static str, String)>, Malformed> {
    let hex = |value: u64| format!("{value:#x}");
    let after = |offset: usize, bytes: usize| offset.saturating_add(bytes);
    let mut facts = vec![
        (
            "header",
            if field.wide {
                "DUMP_HEADER64"
            } else {
                "DUMP_HEADER32"
            }
            .to_owned(),
        ),
        (
            "dump type",
            match number {
                FILLER => format!("none, read as {kind}"),
                _ => format!("{number} ({kind})"),
            },
        ),
        ("MajorVersion", hex(hint.major_version.into())),
        ("MinorVersion", hint.minor_version.to_string()),
        ("DirectoryTableBase", hint.table_root.to_string()),
        (
            "PfnDataBase",
            hex(field.word(at.pfn_database, "PfnDataBase")?),
        ),
        ("PsLoadedModuleList", hint.loaded_modules.to_string()),
        ("PsActiveProcessHead", hint.active_processes.to_string()),
        ("MachineImageType", hex(hint.machine_type.into())),
        ("NumberProcessors", hint.processors.to_string()),
        ("BugCheckCode", hex(hint.bug_check.into())),
    ];
    let word = if field.wide { 8 } else { 4 };
    let mut parameters = Vec::new();
    for index in 0..4_usize {
        let place = after(at.bug_check_parameters, index.saturating_mul(word));
        parameters.push(hex(field.word(place, "BugCheckParameter")?));
    }
    facts.push(("bug check parameters", parameters.join(" ")));
    let mut set = |name, value: Option<String>| {
        if let Some(value) = value {
            facts.push((name, value));
        }
    };
    set(
        "VersionUser",
        field.text(at.version, VERSION_BYTES, "VersionUser")?,
    );
    set("PaeEnabled", hint.pae.map(|pae| pae.to_string()));
    set(
        "KdDebuggerDataBlock",
        hint.debugger_data.map(|va| va.to_string()),
    );
    if let Some(runs) = runs {
        let list: Vec<String> = runs
            .list
            .iter()
            .map(|run| format!("{}-{}", run.start, run.end()))
            .collect();
        set(
            "runs of memory",
            Some(format!(
                "{} ({} pages): {}",
                list.len(),
                runs.pages,
                list.join(", ")
            )),
        );
    }
    let code = field.set_u32(at.exception, "ExceptionCode")?;
    let address = after(at.exception, if field.wide { 0x10 } else { 0xc });
    let address = field.word(address, "ExceptionAddress")?;
    set(
        "exception",
        code.map(|code| format!("code {code:#x} at {address:#x}")),
    );
    set("Comment", field.text(at.comment, COMMENT_BYTES, "Comment")?);
    set(
        "RequiredDumpSpace",
        field
            .set_u64(at.required, "RequiredDumpSpace")?
            .map(|b| b.to_string()),
    );
    set(
        "SystemTime",
        hint.system_time.map(|time| format!("{time} (FILETIME)")),
    );
    let up_time = field.set_u64(at.up_time, "SystemUpTime")?;
    set("SystemUpTime", up_time.map(running));
    for (index, name) in [
        "MiniDumpFields",
        "SecondaryDataState",
        "ProductType",
        "SuiteMask",
        "WriterStatus",
    ]
    .into_iter()
    .enumerate()
    {
        let place = after(at.mini_dump_fields, index.saturating_mul(4));
        set(
            name,
            field.set_u32(place, name)?.map(|value| hex(value.into())),
        );
    }
    set(
        "Attributes",
        field
            .set_u32(at.attributes, "Attributes")?
            .map(|value| hex(value.into())),
    );
    Ok(facts)
}
