//! `osier translate`: where a virtual address leads, with every table entry on the way.

use std::fmt::Write as _;

use osier::osier_memory::{VirtAddr, Walk};

use super::common::open;
use super::read::space;
use crate::args::{Format, OutputArgs, TranslateArgs};
use crate::outcome::Outcome;

pub(super) fn run(args: &TranslateArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let (guest, mut out) = open(&args.snapshot, output)?;
    let (space, ends) = space(&guest, args.pid)?;
    let (format, digits) = (
        out.format(),
        usize::from(guest.pointer_bytes()).saturating_mul(2),
    );
    let mut text = String::new();
    if format == Format::Csv {
        text.push_str("va,pa,page_size,entry,cause\r\n");
    }
    for (nth, &address) in args.addr.iter().enumerate() {
        let va = VirtAddr(address);
        let walk = space.walk(va);
        if walk.outcome.is_err() {
            out.lose(1);
        }
        match format {
            Format::Table => table(va, &walk, digits, &mut text),
            Format::Jsonl => {
                json(va, &walk, &mut text);
                text.push('\n');
            }
            Format::Json => {
                text.push_str(if nth == 0 { "[\n" } else { ",\n" });
                json(va, &walk, &mut text);
            }
            Format::Csv => csv(va, &walk, &mut text),
        }
    }
    if format == Format::Json {
        text.push_str("\n]\n");
    }
    out.text(text.as_bytes())?;
    Ok(out.conclude(&ends)?)
}

/// What the paging level is called.
fn level_name(level: u8) -> &'static str {
    match level {
        5 => "PML5",
        4 => "PML4",
        3 => "PDPT",
        2 => "PD",
        _ => "PT",
    }
}

fn table(va: VirtAddr, walk: &Walk, digits: usize, text: &mut String) {
    let address = va.0;
    let _ = writeln!(text, "virtual   0x{address:0digits$x}");
    for step in &walk.steps {
        let name = level_name(step.level);
        let (at, entry) = (step.at.0, step.entry);
        let _ = write!(
            text,
            "  {name:<5} entry at 0x{at:0digits$x}: 0x{entry:016x}"
        );
        if step.reserved != 0 {
            let _ = write!(text, "  reserved bits {:#x} are set", step.reserved);
        }
        text.push('\n');
    }
    match &walk.outcome {
        Ok(to) => {
            let (pa, page) = (to.pa.0, to.page_bytes);
            let _ = writeln!(
                text,
                "physical  0x{pa:0digits$x}  in a page of {page} bytes"
            );
        }
        Err(fault) => {
            let _ = writeln!(text, "physical  ?  {fault}");
        }
    }
}

fn json(va: VirtAddr, walk: &Walk, text: &mut String) {
    let _ = write!(text, "{{\"va\":\"{va}\",");
    match &walk.outcome {
        Ok(to) => {
            let _ = write!(
                text,
                "\"pa\":\"{}\",\"page_size\":{},",
                to.pa, to.page_bytes
            );
        }
        Err(_) => text.push_str("\"pa\":null,\"page_size\":null,"),
    }
    text.push_str("\"steps\":[");
    for (nth, step) in walk.steps.iter().enumerate() {
        let joint = if nth == 0 { "" } else { "," };
        let _ = write!(
            text,
            "{joint}{{\"level\":{},\"at\":\"{}\",\"entry\":\"{:#x}\",\"reserved\":\"{:#x}\"}}",
            step.level, step.at, step.entry, step.reserved
        );
    }
    text.push(']');
    if let Err(fault) = &walk.outcome {
        let mut why = format!(
            "{{\"why\":\"unreadable\",\"cause\":\"{}\"",
            fault.cause.word()
        );
        if let Some(pa) = fault.pa {
            let _ = write!(why, ",\"pa\":\"{pa}\"");
        }
        if let Some(level) = fault.level {
            let _ = write!(why, ",\"level\":{level}");
        }
        let _ = write!(text, ",\"absent\":{{\"pa\":{why},\"va\":\"{va}\"}}}}");
    }
    text.push('}');
}

fn csv(va: VirtAddr, walk: &Walk, text: &mut String) {
    let entry = walk.steps.last().map(|step| step.entry);
    let entry = entry.map_or_else(String::new, |entry| format!("{entry:#x}"));
    let _ = match &walk.outcome {
        Ok(to) => write!(text, "{va},{},{},{entry},\r\n", to.pa, to.page_bytes),
        Err(fault) => write!(text, "{va},,,{entry},{}\r\n", fault.cause.word()),
    };
}
