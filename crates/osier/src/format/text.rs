//! Cells, bytes and numbers as plain text.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::wall_clock::iso8601;
use crate::tables::Cell;

/// A cell as text, as CSV has it; empty when the value is absent.
pub fn plain_text<'a>(cell: &'a Cell<'_>) -> Cow<'a, str> {
    let mut text = String::new();
    match cell {
        Cell::Address(address) => return format!("{address:#x}").into(),
        Cell::Number(number) => return number.to_string().into(),
        Cell::Flag(flag) => return flag.to_string().into(),
        Cell::Word(word) => return (*word).into(),
        Cell::Text(text) | Cell::Numeral(text) => return text.as_str().into(),
        Cell::Instant(at) => return iso8601(*at).into(),
        Cell::Absent(_) | Cell::Null => {}
        Cell::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => return text.into(),
            Err(_) => {
                escape_bytes(bytes, &mut text);
            }
        },
        Cell::Arguments(bytes) => {
            join_arguments(bytes, &mut text);
        }
    }
    text.into()
}

/// Bytes as text: what is UTF-8 as it is, any other byte as `\xNN`. The flag says whether every
/// byte was UTF-8.
pub fn escape_bytes(bytes: &[u8], into: &mut String) -> bool {
    let mut clean = true;
    for chunk in bytes.utf8_chunks() {
        into.push_str(chunk.valid());
        for byte in chunk.invalid() {
            clean = false;
            let _ = write!(into, "\\x{byte:02x}");
        }
    }
    clean
}

/// Writes an address as `{:#x}` does, which costs several times as much for each of a row's many.
pub(super) fn push_address(address: u64, into: &mut String) {
    into.push_str("0x");
    let first = address.checked_ilog2().unwrap_or(0) & !3;
    for shift in (0..=first).rev().step_by(4) {
        let digit = (address.wrapping_shr(shift) & 0xf) as u32;
        into.extend(char::from_digit(digit, 16));
    }
}

/// Writes a number as `{}` does.
pub(super) fn push_number(number: u64, into: &mut String) {
    let mut digits = [b'0'; 20];
    let mut rest = number;
    let mut first = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' | (rest % 10) as u8;
        rest /= 10;
        first = at;
        if rest == 0 {
            break;
        }
    }
    let digits = digits.get(first..).unwrap_or_default();
    into.extend(digits.iter().copied().map(char::from));
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Arguments as one line: the last NUL dropped, every other one a blank. The flag says whether the
/// bytes come back from the line, by making blanks NULs and adding one at the end.
pub fn join_arguments(arguments: &[u8], into: &mut String) -> bool {
    let ended = arguments.last().is_none_or(|&byte| byte == 0);
    let blanks = arguments.contains(&b' ');
    escape_bytes(&arguments_line(arguments), into) && ended && !blanks
}

/// The bytes of arguments as one line: the last NUL dropped, every other one a blank.
pub(super) fn arguments_line(arguments: &[u8]) -> Vec<u8> {
    let body = arguments.strip_suffix(&[0]).unwrap_or(arguments);
    let blank = |&byte: &u8| if byte == 0 { b' ' } else { byte };
    body.iter().map(blank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_text_are_escaped() {
        let check = |bytes: &[u8], text: &str, clean: bool| {
            let mut got = String::new();
            assert_eq!(escape_bytes(bytes, &mut got), clean);
            assert_eq!(got, text);
        };
        check(b"", "", true);
        check("sché".as_bytes(), "sché", true);
        check(b"a\xff\xfeb", "a\\xff\\xfeb", false);
        check(b"\xc3", "\\xc3", false);
    }

    #[test]
    fn numbers_are_written_as_the_library_writes_them() {
        for number in [
            0,
            1,
            9,
            10,
            15,
            16,
            99,
            0x1000,
            u64::from(u32::MAX),
            u64::MAX,
        ] {
            let (mut hexadecimal, mut decimal) = (String::new(), String::new());
            push_address(number, &mut hexadecimal);
            push_number(number, &mut decimal);
            assert_eq!(hexadecimal, format!("{number:#x}"));
            assert_eq!(decimal, number.to_string());
        }
    }

    #[test]
    fn arguments_that_cannot_be_told_apart_are_not_plain() {
        let check = |bytes: &[u8], text: &str, plain: bool| {
            let mut got = String::new();
            assert_eq!(join_arguments(bytes, &mut got), plain, "{bytes:?}");
            assert_eq!(got, text);
        };
        check(b"", "", true);
        check(b"ls\0-l\0", "ls -l", true);
        check(b"echo\0a b\0", "echo a b", false);
        check(b"nginx: worker", "nginx: worker", false);
        check(b"x\0\0", "x ", true);
    }
}
