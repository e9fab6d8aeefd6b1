//! `PO_MEMORY_IMAGE`, the header of a hibernation file.
//!
//! It grew with nearly every Windows, and says which it is by its own length. The page size tells
//! the width: it stands behind a page number of four or eight bytes.

use super::tables;
use super::tables::{Form, VISTA64, WIN7_32, WIN7_64, XP32, XP64};
use crate::anomaly::Anomaly;
use crate::cursor::Cursor;
use crate::error::{Malformed, NotRead};
use crate::look::Look;

/// Bytes that a header may take.
const HEADER_BYTES: usize = 0x1000;
const LENGTH_AT: usize = 0xc;

/// Where memory lies, by generation.
pub(super) enum Layout {
    /// Up to Windows 7.
    Tables {
        /// The page of the first table.
        first: u64,
        form: &'static Form,
    },
    /// From Windows 8 on.
    Sets(Sections),
}

/// The two sections of sets, and how many pages they hold.
pub(super) struct Sections {
    /// `FirstBootRestorePage`, a page of the file.
    pub(super) boot: u64,
    /// `NumPagesForLoader`.
    pub(super) boot_pages: u64,
    /// `FirstKernelRestorePage`, a page of the file.
    pub(super) kernel: u64,
    /// `PerfInfo.KernelPagesProcessed`.
    pub(super) kernel_pages: u64,
}

/// A header, read.
pub(super) struct Header {
    pub(super) wide: bool,
    pub(super) layout: Layout,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) anomalies: Vec<Anomaly>,
}

/// Where a header of Windows 8 and later has what is used, by its length.
struct Modern {
    length: u32,
    boot: usize,
    kernel: usize,
    kernel_pages: usize,
    highest: usize,
}

const fn modern(length: u32, boot: usize, kernel: usize, pages: usize, highest: usize) -> Modern {
    Modern {
        length,
        boot,
        kernel,
        kernel_pages: pages,
        highest,
    }
}

/// 64-bit: Windows 8 and 8.1; 10 1507 and 1511; 1607; 1703 to 1803; 1809 to 22H2; 11; 11 24H2.
const MODERN64: [Modern; 7] = [
    modern(0x360, 0x60, 0x68, 0x1c8, 0x330),
    modern(0x3b0, 0x68, 0x70, 0x218, 0x380),
    modern(0x3c8, 0x68, 0x70, 0x220, 0x388),
    modern(0x3d8, 0x68, 0x70, 0x230, 0x398),
    modern(0x3e0, 0x68, 0x70, 0x230, 0x398),
    modern(0x448, 0x68, 0x70, 0x230, 0x400),
    modern(0x4d8, 0x68, 0x70, 0x230, 0x498),
];
/// 32-bit: Windows 8 and 8.1; 10 1507 and 1511; 1607; 1703 to 1803; 1809 to 22H2.
const MODERN32: [Modern; 5] = [
    modern(0x2c8, 0x50, 0x54, 0x1b0, 0x2b0),
    modern(0x310, 0x50, 0x54, 0x1f8, 0x2f8),
    modern(0x328, 0x50, 0x54, 0x200, 0x300),
    modern(0x338, 0x50, 0x54, 0x210, 0x310),
    modern(0x340, 0x50, 0x54, 0x210, 0x310),
];

/// Where a header up to Windows 7 has `FirstTablePage`. Two have lengths in common; what lies at the
/// page decides.
struct Old {
    wide: bool,
    length: u32,
    first_table: usize,
    form: &'static Form,
}

const OLD: [Old; 9] = [
    old(false, 168, 0x58, &XP32),
    old(true, 192, 0x68, &XP64),
    old(false, 224, 0x50, &XP32), // Vista
    old(false, 224, 0x4c, &WIN7_32),
    old(false, 240, 0x50, &XP32), // Vista SP1, SP2
    old(true, 296, 0x60, &WIN7_64),
    old(true, 296, 0x68, &VISTA64),
    old(true, 312, 0x68, &VISTA64), // Vista SP1, SP2
    old(true, 320, 0x68, &VISTA64),
];

const fn old(wide: bool, length: u32, first_table: usize, form: &'static Form) -> Old {
    Old {
        wide,
        length,
        first_table,
        form,
    }
}

/// `PO_MEMORY_IMAGE` of Windows 2000.
const WINDOWS_2000: u32 = 96;

impl Header {
    pub(super) fn parse(file: Look<'_>) -> Result<Self, NotRead> {
        if file.len() < HEADER_BYTES {
            return Err(Malformed::new(
                file.len() as u64,
                format!(
                    "the rest of a header's page of {HEADER_BYTES:#x} bytes; the file ends here"
                ),
            )
            .into());
        }
        let signature = Cursor::new(file, 0).take(4, "the signature")?;
        let mut head = Cursor::new(file, 4);
        let image_type = head.le32("ImageType")?;
        let check_sum = head.le32("CheckSum")?;
        let length = head.le32("LengthSelf")?;
        let wide = width(file)?;
        let word = |at: usize, name: &str| {
            let mut cursor = Cursor::new(file, at);
            if wide {
                cursor.le64(name)
            } else {
                cursor.le32(name).map(u64::from)
            }
        };
        let mut anomalies = Vec::new();
        let mut facts = vec![
            ("signature", signature.escape_ascii().to_string()),
            ("width", if wide { "64-bit" } else { "32-bit" }.to_owned()),
            ("ImageType", image_type.to_string()),
            ("CheckSum", format!("{check_sum:#x}")),
            ("LengthSelf", length.to_string()),
            ("PageSelf", format!("{:#x}", word(0x10, "PageSelf")?)),
        ];
        match &*signature {
            b"wake" | b"WAKE" => anomalies.push(Anomaly::harmless(
                "the machine has resumed from this file since: its memory is as it was before",
            )),
            b"rstr" | b"RSTR" => {
                anomalies.push(Anomaly::harmless(
                    "the machine was resuming from this file when it stopped",
                ));
            }
            _ => {}
        }
        let modern: &[Modern] = if wide { &MODERN64 } else { &MODERN32 };
        let least = modern.first().map_or(u32::MAX, |first| first.length);
        let layout = if length >= least {
            let known = modern.iter().rev().find(|known| known.length <= length);
            let known = known.ok_or_else(|| unknown(length))?;
            if known.length != length {
                anomalies.push(Anomaly::bytes(format!(
                    "at file offset {LENGTH_AT:#x}: a header of {length} bytes is of no known Windows; \
                     read as one of {}",
                    known.length
                )));
            }
            let loader = if wide { 0x58 } else { 0x48 };
            let time = if wide { 0x20 } else { 0x18 };
            let le64 = |at: usize, name: &str| Cursor::new(file, at).le64(name);
            let sections = Sections {
                boot: word(known.boot, "FirstBootRestorePage")?,
                boot_pages: le64(loader, "NumPagesForLoader")?,
                kernel: word(known.kernel, "FirstKernelRestorePage")?,
                kernel_pages: le64(known.kernel_pages, "KernelPagesProcessed")?,
            };
            let highest = word(known.highest, "HighestPhysicalPage")?;
            facts.push(("SystemTime", filetime(le64(time, "SystemTime")?)));
            facts.push((
                "FeatureFlags",
                format!("{:#x}", le64(time.saturating_add(16), "FeatureFlags")?),
            ));
            facts.push(("NumPagesForLoader", sections.boot_pages.to_string()));
            facts.push(("FirstBootRestorePage", format!("{:#x}", sections.boot)));
            facts.push(("FirstKernelRestorePage", format!("{:#x}", sections.kernel)));
            facts.push(("KernelPagesProcessed", sections.kernel_pages.to_string()));
            facts.push(("HighestPhysicalPage", format!("{highest:#x}")));
            Layout::Sets(sections)
        } else if length == WINDOWS_2000 && !wide {
            return Err(NotRead::Other(
                "a hibernation file of Windows 2000, compressed by LZNT1",
                "take a crash dump, or a dump of the running machine",
            ));
        } else {
            let fits = |old: &&Old| old.wide == wide && old.length == length;
            let mut candidates = OLD.iter().filter(fits).peekable();
            candidates.peek().ok_or_else(|| unknown(length))?;
            let mut looked = Vec::new();
            let mut layout = None;
            for old in candidates {
                let first = word(old.first_table, "FirstTablePage")?;
                looked.push(format!("{first:#x}"));
                if tables::starts(file, first, old.form) {
                    facts.push(("FirstTablePage", format!("{first:#x}")));
                    facts.push(("form", old.form.name.to_owned()));
                    layout = Some(Layout::Tables {
                        first,
                        form: old.form,
                    });
                    break;
                }
            }
            // `SystemTime` stands before the counts; XP has its image type in between.
            let time = if wide || length == 168 { 0x20 } else { 0x18 };
            let system_time = Cursor::new(file, time).le64("SystemTime")?;
            facts.push(("SystemTime", filetime(system_time)));
            layout.ok_or_else(|| {
                Malformed::new(
                    LENGTH_AT as u64,
                    format!(
                        "a table of page ranges with compressed memory behind it at page {}",
                        looked.join(" or ")
                    ),
                )
            })?
        };
        Ok(Self {
            wide,
            layout,
            facts,
            anomalies,
        })
    }
}

fn filetime(time: u64) -> String {
    format!("{time} (FILETIME)")
}

fn unknown(length: u32) -> Malformed {
    Malformed::new(
        LENGTH_AT as u64,
        format!("a PO_MEMORY_IMAGE of a known Windows, not of {length} bytes"),
    )
}

/// The width, by where the page size stands.
fn width(file: Look<'_>) -> Result<bool, Malformed> {
    const PAGE_SIZE: u32 = 0x1000;
    let narrow = Cursor::new(file, 0x14).le32("PageSize")?;
    let wide = Cursor::new(file, 0x18).le32("PageSize")?;
    match (narrow, wide) {
        (PAGE_SIZE, _) => Ok(false),
        (_, PAGE_SIZE) => Ok(true),
        _ => Err(Malformed::new(
            0x14,
            "PageSize 4096, here (32-bit) or at 0x18 (64-bit)",
        )),
    }
}
