//! The forms that `/proc` and rows write texts in.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The bytes of a text field: its `_hex` sibling when it is not UTF-8; none when it is absent.
pub(super) fn bytes(row: &Value, field: &str) -> Vec<u8> {
    match row.get(format!("{field}_hex")).and_then(Value::as_str) {
        Some(hex) => (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
            .collect(),
        None => row[field].as_str().unwrap_or_default().as_bytes().to_vec(),
    }
}

/// Bytes that `/proc` writes as `\012`.
pub(super) fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|digits| {
            first == b'\\' && digits.iter().all(|digit| (b'0'..=b'7').contains(digit))
        });
        if let Some(digits) = digits {
            let value = digits
                .iter()
                .fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
            out.push(u8::try_from(value).unwrap());
            rest = &tail[3..];
        } else {
            out.push(first);
            rest = tail;
        }
    }
    out
}

/// The lines of a file; none where it could not be read in the guest.
pub(super) fn lines(path: &Path) -> Vec<Vec<u8>> {
    let text = fs::read(path).unwrap_or_default();
    let lines = text.split(|&b| b == b'\n').filter(|line| !line.is_empty());
    lines.map(<[u8]>::to_vec).collect()
}

/// The words of a line.
pub(super) fn words(line: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(line).into_owned();
    text.split_whitespace().map(str::to_owned).collect()
}

/// The folders of processes, by pid.
pub(super) fn processes(truth: &Path) -> Vec<(u64, PathBuf)> {
    let entries = fs::read_dir(truth.join("p")).unwrap();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let pid = path.file_name().unwrap().to_str().unwrap();
            (pid.parse().unwrap(), path.clone())
        })
        .collect()
}
