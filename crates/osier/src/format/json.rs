//! Rows and endings as JSON objects, without a newline.

use std::borrow::Borrow;
use std::fmt::Write as _;

use osier_memory::{Cause, Fault};
use osier_osi::{Absent, WalkEnd, Why};
use osier_text::is_hidden;

use super::{escape_bytes, hex, iso8601, join_arguments, push_address, push_number};
use crate::tables::{Cell, Cells};

/// Writes `row` as one JSON object.
pub fn json_row(row: &Cells<'_>, into: &mut String) {
    into.push('{');
    json_fields(row, into);
    into.push('}');
}

/// Writes the fields of `row` into an object that is open already: `into` ends with its brace or
/// with another field.
pub fn json_fields(row: &Cells<'_>, into: &mut String) {
    json_cells(row.iter().map(|(column, cell)| (column.name, cell)), into);
}

/// Writes values under their names into an object that is open already: `into` ends with its brace
/// or with another field.
pub fn json_cells<'a, C: Borrow<Cell<'a>>>(
    cells: impl IntoIterator<Item = (&'static str, C)>,
    into: &mut String,
) {
    let mut absent = String::new();
    for (name, cell) in cells {
        if into.ends_with(|c| c != '{') {
            into.push(',');
        }
        key(name, into);
        let cell = cell.borrow();
        value(name, cell, into);
        if let Cell::Absent(why) = cell {
            absent.push(if absent.is_empty() { '{' } else { ',' });
            key(name, &mut absent);
            json_absence(why, &mut absent);
        }
    }
    if !absent.is_empty() {
        let _ = write!(into, ",\"absent\":{absent}}}");
    }
}

/// Writes a name of our own, which has nothing special in it.
fn key(name: &'static str, into: &mut String) {
    into.push('"');
    into.push_str(name);
    into.push_str("\":");
}

fn value(name: &str, cell: &Cell<'_>, into: &mut String) {
    let mut text = String::new();
    let mut whole = None;
    match cell {
        Cell::Address(address) => {
            into.push('"');
            push_address(*address, into);
            into.push('"');
        }
        Cell::Number(number) => push_number(*number, into),
        Cell::Numeral(number) => into.push_str(number),
        Cell::Flag(flag) => into.push_str(if *flag { "true" } else { "false" }),
        Cell::Word(word) => json_string(word, into),
        Cell::Text(text) => json_string(text, into),
        Cell::Instant(at) => json_string(&iso8601(*at), into),
        Cell::Absent(_) | Cell::Null => into.push_str("null"),
        Cell::Bytes(bytes) => {
            if let Ok(text) = std::str::from_utf8(bytes) {
                json_string(text, into);
            } else {
                escape_bytes(bytes, &mut text);
                whole = Some(bytes);
                json_string(&text, into);
            }
        }
        Cell::Arguments(bytes) => {
            if !join_arguments(bytes, &mut text) {
                whole = Some(bytes);
            }
            json_string(&text, into);
        }
    }
    if let Some(bytes) = whole {
        let _ = write!(into, ",\"{name}_hex\":\"{}\"", hex(bytes));
    }
}

/// The bytes of a cell that its text does not give back, in hexadecimal.
pub fn hidden_bytes(cell: &Cell<'_>) -> Option<String> {
    let mut text = String::new();
    match cell {
        Cell::Bytes(bytes) => std::str::from_utf8(bytes).is_err().then(|| hex(bytes)),
        Cell::Arguments(bytes) if !join_arguments(bytes, &mut text) => Some(hex(bytes)),
        _ => None,
    }
}

/// Writes `text` as a JSON string. What a terminal would not show as a character is written by its
/// number, which is the same string to whoever parses it.
pub fn json_string(text: &str, into: &mut String) {
    let special = |byte: u8| matches!(byte, b'"' | b'\\' | 0x7f..) || byte < b' ';
    into.push('"');
    // All bytes are looked at, for so many are at once.
    if text.bytes().fold(false, |any, byte| any | special(byte)) {
        text.chars().for_each(|c| json_char(c, into));
    } else {
        into.push_str(text);
    }
    into.push('"');
}

fn json_char(c: char, into: &mut String) {
    match c {
        '"' => into.push_str("\\\""),
        '\\' => into.push_str("\\\\"),
        '\n' => into.push_str("\\n"),
        '\r' => into.push_str("\\r"),
        '\t' => into.push_str("\\t"),
        c if is_hidden(c) => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(into, "\\u{unit:04x}");
            }
        }
        c => into.push(c),
    }
}

/// Why a value is absent, as an object.
pub fn json_absence(absent: &Absent, into: &mut String) {
    let at = |into: &mut String| {
        if let Some(at) = absent.at {
            let _ = write!(into, ",\"va\":\"{at}\"");
        }
    };
    match absent.why {
        Why::NotApplicable(because) => {
            into.push_str("{\"why\":\"not-applicable\",\"because\":");
            json_string(because, into);
        }
        Why::NotInThisKernel => into.push_str("{\"why\":\"not-in-this-kernel\""),
        Why::Unreadable(fault) => {
            into.push_str("{\"why\":\"unreadable\"");
            fault_fields(&fault, into);
            if fault.va.is_none() {
                at(into);
            }
        }
        Why::Implausible { raw, rule } => {
            let _ = write!(
                into,
                "{{\"why\":\"implausible\",\"raw\":\"{raw:#x}\",\"rule\":"
            );
            json_string(rule, into);
            at(into);
        }
    }
    into.push('}');
}

fn fault_fields(fault: &Fault, into: &mut String) {
    let _ = write!(into, ",\"cause\":\"{}\"", fault.cause.word());
    if let Some(va) = fault.va {
        let _ = write!(into, ",\"va\":\"{va}\"");
    }
    if let Some(pa) = fault.pa {
        let _ = write!(into, ",\"pa\":\"{pa}\"");
    }
    if let Some(level) = fault.level {
        let _ = write!(into, ",\"level\":{level}");
    }
    match fault.cause {
        Cause::NotPresent { entry } | Cause::Elsewhere { entry, .. } => {
            let _ = write!(into, ",\"entry\":\"{entry:#x}\"");
        }
        Cause::FileShort { offset }
        | Cause::ReadFailed { offset }
        | Cause::Decode { offset, .. } => {
            let _ = write!(into, ",\"offset\":{offset}");
        }
        _ => {}
    }
}

/// Writes how `walk` ended as the object `{"end": …}`.
pub fn json_end(walk: &str, end: &WalkEnd, into: &mut String) {
    into.push_str("{\"end\":");
    json_ending(walk, end, into);
    into.push('}');
}

/// Writes how `walk` ended as an object.
pub fn json_ending(walk: &str, end: &WalkEnd, into: &mut String) {
    into.push_str("{\"walk\":");
    json_string(walk, into);
    let _ = write!(into, ",\"how\":\"{}\"", end.word());
    match end {
        WalkEnd::Closed | WalkEnd::Stopped | WalkEnd::NotAnswered => {}
        WalkEnd::BrokenLink { from, to, fault } => {
            let _ = write!(into, ",\"from\":\"{from}\"");
            match to {
                Some(to) => {
                    let _ = write!(into, ",\"to\":\"{to}\"");
                }
                None => into.push_str(",\"to\":null"),
            }
            fault_fields(fault, into);
        }
        WalkEnd::Inconsistent {
            at,
            back_link,
            expected,
        } => {
            let _ = write!(
                into,
                ",\"at\":\"{at}\",\"back_link\":\"{back_link}\",\"expected\":\"{expected}\""
            );
        }
        WalkEnd::Cycle { at, after } => {
            let _ = write!(into, ",\"at\":\"{at}\",\"after\":{after}");
        }
        WalkEnd::Limit { after } => {
            let _ = write!(into, ",\"after\":{after}");
        }
        WalkEnd::Disagreement {
            between,
            only_first,
            only_second,
        } => {
            into.push_str(",\"between\":");
            json_string(between, into);
            let _ = write!(
                into,
                ",\"only_first\":{only_first},\"only_second\":{only_second}"
            );
        }
        WalkEnd::Implausible { at, values } => {
            let _ = write!(into, ",\"at\":\"{at}\",\"values\":{values}");
        }
        WalkEnd::Unread { what, parts, fault } => {
            into.push_str(",\"what\":");
            json_string(what, into);
            let _ = write!(into, ",\"parts\":{parts}");
            fault_fields(fault, into);
        }
        WalkEnd::NoStart { missing, fault } => {
            into.push_str(",\"missing\":");
            json_string(missing, into);
            if let Some(fault) = fault {
                fault_fields(fault, into);
            }
        }
    }
    into.push('}');
}

#[cfg(test)]
mod tests {
    use osier_memory::{PhysAddr, VirtAddr};
    use osier_osi::{Handle, Thread};

    use super::*;

    fn json(row: &Cells<'_>) -> String {
        let mut text = String::new();
        json_row(row, &mut text);
        text
    }

    #[test]
    fn an_absence_names_its_reason_and_place() {
        let fault = Fault::at_phys(Cause::NotCaptured, PhysAddr(0x2000)).with_va(VirtAddr(0x10));
        let row = Handle {
            taskd: VirtAddr(0xffff_8880_0000_0000),
            asid: Err(Absent::unreadable(fault)),
        };
        assert_eq!(
            json(&Cells::of(&row)),
            r#"{"taskd":"0xffff888000000000","asid":null,"absent":{"asid":{"why":"unreadable","cause":"not-captured","va":"0x10","pa":"0x2000"}}}"#
        );
    }

    #[test]
    fn names_are_bytes() {
        let row = Thread {
            pid: Ok(1),
            tid: Err(Absent::implausible(
                70_000_000,
                "a pid is below 4194304",
                Some(VirtAddr(8)),
            )),
            name: Ok(b"a\"\xff\n".to_vec()),
            task: VirtAddr(0x1000),
            state: Err(Absent::not_in_this_kernel()),
        };
        assert_eq!(
            json(&Cells::of(&row)),
            "{\"pid\":1,\"tid\":null,\"name\":\"a\\\"\\\\xff\\n\",\"name_hex\":\"6122ff0a\",\
             \"task\":\"0x1000\",\"state\":null,\"absent\":{\"tid\":{\"why\":\"implausible\",\
             \"raw\":\"0x42c1d80\",\"rule\":\"a pid is below 4194304\",\"va\":\"0x8\"},\
             \"state\":{\"why\":\"not-in-this-kernel\"}}}"
        );
    }

    #[test]
    fn strings_are_escaped_and_nothing_else_of_them_changes() {
        let check = |text: &str, json: &str| {
            let mut got = String::new();
            json_string(text, &mut got);
            assert_eq!(got, json);
        };
        check("", r#""""#);
        check("Größe", r#""Größe""#);
        check("\"\\\n", r#""\"\\\n""#);
        check(r"C:\a\b", r#""C:\\a\\b""#);
        check("a\u{1}\u{7f}\tb\r", r#""a\u0001\u007f\tb\r""#);
        check("\u{9b}1m\u{202e}", r#""\u009b1m\u202e""#);
        check("\u{2028}\u{e0041}é", r#""\u2028\udb40\udc41é""#);
    }

    #[test]
    fn an_ending_is_an_object() {
        let mut text = String::new();
        let fault = Fault::new(Cause::NonCanonical).with_va(VirtAddr(7));
        let end = WalkEnd::broken(VirtAddr(0x10), VirtAddr(7), fault);
        json_end("tasks", &end, &mut text);
        assert_eq!(
            text,
            r#"{"end":{"walk":"tasks","how":"broken-link","from":"0x10","to":"0x7","cause":"non-canonical","va":"0x7"}}"#
        );
    }
}
