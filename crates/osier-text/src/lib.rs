//! Names that a stranger chose, made safe to show: what a guest calls its processes and files, and
//! what somebody called a snapshot's file. Such a name may hold what moves a terminal's cursor,
//! turns the direction of writing, cannot be seen, or ends a line.
//!
//! One rule serves every place that shows text, and it can be undone:
//!
//! - a character that cannot be seen, or that changes how others are seen, is written `\u{1b}`, with
//!   its number in hexadecimal;
//! - a byte that is not part of UTF-8 is written `\xff`;
//! - a backslash is doubled where it would be read as the start of one of these, or of a doubled
//!   backslash, and stands for itself everywhere else: `C:\Windows` is shown as it is.
//!
//! ```
//! assert_eq!(osier_text::visible("a\u{202e}gnp.exe"), r"a\u{202e}gnp.exe");
//! assert_eq!(osier_text::visible_bytes(b"caf\xc3\xa9 \xff"), r"café \xff");
//! assert_eq!(osier_text::visible(r"C:\Windows"), r"C:\Windows");
//! assert_eq!(osier_text::visible(r"\x1b"), r"\\x1b");
//! ```

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::path::Path;

/// Whether `c` is written by its number: a control character, one without a shape of its own, a
/// blank that is not the blank, a separator of lines or paragraphs, a mark of direction.
pub fn is_hidden(c: char) -> bool {
    match c {
        ' '..='~' => false,
        c if c.is_ascii() => true,
        c => ignorable(c) || !printable(c),
    }
}

/// What Unicode calls default ignorable: characters that programs show as nothing at all, though
/// some of them count as letters or marks (Unicode 16, `DerivedCoreProperties.txt`), and the blank
/// pattern of Braille.
fn ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Whether the standard library shows `c` as it is. Behind another character, because a mark that
/// joins the character before it is escaped only where there is none.
fn printable(c: char) -> bool {
    let mut pair = String::from('a');
    pair.push(c);
    pair.escape_debug().count() == 2
}

/// `text` with every hidden character written by its number.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\')
    {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars();
    let mut first = true;
    while let Some(c) = rest.next() {
        if c == '\\' {
            shown.push_str(if reads_as_escape(rest.as_str()) {
                r"\\"
            } else {
                r"\"
            });
        } else if is_hidden(c) || (first && !c.is_ascii() && joins(c)) {
            push_number(c, &mut shown);
        } else {
            shown.push(c);
        }
        first = false;
    }
    Cow::Owned(shown)
}

/// As [`visible`], of text that was put together of parts that are shown already: backslashes stay as
/// they are.
///
/// ```
/// let parts = format!("{} → {}", osier_text::visible("a\u{7}"), osier_text::visible(r"\x41"));
/// assert_eq!(osier_text::visible_again(&parts), r"a\u{7} → \\x41");
/// ```
pub fn visible_again(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            push_number(c, &mut shown);
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Text for an element or an attribute of HTML, SVG and XML: as [`visible_again`] shows it, and nothing in it is markup.
///
/// ```
/// assert_eq!(osier_text::markup("<b a='x'>\u{202e}&"), r"&lt;b a=&#39;x&#39;&gt;\u{202e}&amp;");
/// ```
pub fn markup(text: &str) -> Cow<'_, str> {
    let shown = visible_again(text);
    if !shown.contains(['&', '<', '>', '"', '\'']) {
        return shown;
    }
    let mut escaped = String::with_capacity(shown.len().saturating_add(16));
    for c in shown.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// Whether `c` would join what stands before the text.
fn joins(c: char) -> bool {
    c.escape_debug().count() > 1
}

fn push_number(c: char, into: &mut String) {
    let _ = write!(into, "\\u{{{:x}}}", u32::from(c));
}

/// Whether a backslash before `rest` would be read as the start of an escape.
fn reads_as_escape(rest: &str) -> bool {
    let hexadecimal = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if rest.starts_with('\\') {
        return true;
    }
    if let Some(digits) = rest.strip_prefix("u{") {
        return digits
            .split_once('}')
            .is_some_and(|(number, _)| !number.is_empty() && hexadecimal(number));
    }
    rest.strip_prefix('x')
        .and_then(|digits| digits.get(..2))
        .is_some_and(hexadecimal)
}

/// As [`visible`], of bytes that need not be UTF-8.
pub fn visible_bytes(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        // A backslash at the end of a chunk stands before a `\x..` of ours, and so is doubled.
        match (chunk.valid().strip_suffix('\\'), chunk.invalid()) {
            (Some(before), [_, ..]) => {
                shown.push_str(&visible(before));
                shown.push_str(r"\\");
            }
            _ => shown.push_str(&visible(chunk.valid())),
        }
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// The bytes that [`visible`] or [`visible_bytes`] showed as `shown`.
pub fn read_back(shown: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(shown.len());
    let mut rest = shown;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        rest = after;
        if c == '\\' && reads_as_escape(after) {
            if let Some(after) = after.strip_prefix('\\') {
                bytes.push(b'\\');
                rest = after;
                continue;
            }
            if let Some((number, after)) = after
                .strip_prefix("u{")
                .and_then(|digits| digits.split_once('}'))
                && let Some(c) = u32::from_str_radix(number, 16)
                    .ok()
                    .and_then(char::from_u32)
            {
                bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
                rest = after;
                continue;
            }
            if let Some(byte) = after
                .get(1..3)
                .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
                continue;
            }
        }
        bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
    }
    bytes
}

/// An address without secrets: without user and password, and without the parameters by which stores sign.
/// Of a store's address (`s3://`, `gs://`, `az://`), user and password are left out, which it should not have. What is
/// no address is as it was.
///
/// ```
/// use osier_text::address;
/// assert_eq!(address("https://me:pw@h/k.elf?X-Amz-Signature=1f&versionId=7"), "https://h/k.elf?versionId=7");
/// assert_eq!(address("s3://id:key@bucket/k?sig=1"), "s3://bucket/k?sig=1");
/// assert_eq!(address("a?sig=1"), "a?sig=1");
/// ```
pub fn address(text: &str) -> String {
    // Of Azure; of CloudFront, and of stores before their names had a prefix.
    const SIGNED: [&str; 16] = [
        "se",
        "sig",
        "ske",
        "skoid",
        "sks",
        "skt",
        "sktid",
        "skv",
        "st",
        "token",
        "awsaccesskeyid",
        "expires",
        "googleaccessid",
        "key-pair-id",
        "policy",
        "signature",
    ];
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    match scheme {
        "http" | "https" => {}
        "s3" | "s3a" | "gs" | "az" => {
            let (bucket, key) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let bucket = bucket.rsplit('@').next().unwrap_or(bucket);
            return format!("{scheme}://{bucket}{key}");
        }
        _ => return text.to_owned(),
    }
    let rest = rest.split('#').next().unwrap_or_default();
    let (plain, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = plain.split_once('/').unwrap_or((plain, ""));
    let host = host.rsplit('@').next().unwrap_or(host);
    let lasting = query.split('&').filter(|part| {
        let name = part.split('=').next().unwrap_or(part);
        let lower = name.to_ascii_lowercase();
        !lower.is_empty()
            && !lower.starts_with("x-amz-")
            && !lower.starts_with("x-goog-")
            && !SIGNED.contains(&&*lower)
    });
    let lasting: Vec<&str> = lasting.collect();
    let slash = if plain.contains('/') { "/" } else { "" };
    let mark = if lasting.is_empty() { "" } else { "?" };
    format!("{scheme}://{host}{slash}{path}{mark}{}", lasting.join("&"))
}

/// The bytes of a path for those who read rows; of an address as [`address`] has it.
pub fn path_bytes(path: &Path) -> Cow<'_, [u8]> {
    match path.to_str() {
        Some(text) => Cow::Owned(address(text).into_bytes()),
        None => Cow::Borrowed(path.as_os_str().as_encoded_bytes()),
    }
}

/// A path as messages show it; of an address as [`address`] does.
///
/// ```
/// let path = std::path::Path::new("a\nb.elf");
/// assert_eq!(osier_text::path(path).to_string(), r"a\u{a}b.elf");
/// ```
pub fn path(path: &Path) -> ShownPath<'_> {
    ShownPath(path)
}

/// A path that is shown by the rule of this crate.
#[derive(Clone, Copy, Debug)]
pub struct ShownPath<'a>(&'a Path);

impl fmt::Display for ShownPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.to_str() {
            Some(text) => f.pad(&visible(&address(text))),
            None => f.pad(&visible_bytes(self.0.as_os_str().as_encoded_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_seen_is_shown_as_it_is() {
        for text in [
            "",
            "ls -l",
            "Größe",
            "naïve",
            "日本語",
            "e\u{301}",
            "C:\\Windows\\System32",
            "\\Device\\x",
            "it's \"quoted\"",
            "\\u{}",
            "a\\",
            "👍",
        ] {
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn what_cannot_be_seen_is_shown_by_its_number() {
        let check = |text: &str, shown: &str| assert_eq!(visible(text), shown);
        check("\u{1b}[2J", r"\u{1b}[2J");
        check("a\tb\nc\r\0", r"a\u{9}b\u{a}c\u{d}\u{0}");
        check("\u{7f}\u{9b}1m", r"\u{7f}\u{9b}1m");
        check("a\u{202e}gnp.exe", r"a\u{202e}gnp.exe");
        check("\u{2066}\u{2069}", r"\u{2066}\u{2069}");
        check("\u{200b}\u{feff}\u{ad}", r"\u{200b}\u{feff}\u{ad}");
        check("\u{2028}\u{2029}", r"\u{2028}\u{2029}");
        check("\u{a0}\u{3000}", r"\u{a0}\u{3000}");
        check("\u{3164}\u{fe0f}\u{e0041}", r"\u{3164}\u{fe0f}\u{e0041}");
        check("\u{301}x", r"\u{301}x"); // it would join what stands before
    }

    #[test]
    fn what_is_shown_can_be_had_back() {
        let texts: &[&[u8]] = &[
            b"\\u{1b}",
            b"\x1b",
            b"\\\\server\\share",
            b"\\\\\\",
            b"\\x41\\xff\\x4",
            b"\xff\\\xfe\\",
            b"\\\xff",
            "\\u{110000}\\u{zz}\\u{41".as_bytes(),
            "日\u{200b}\\本".as_bytes(),
        ];
        let mut met = std::collections::HashSet::new();
        for &bytes in texts {
            let shown = visible_bytes(bytes);
            assert_eq!(read_back(&shown), bytes, "{shown}");
            assert!(met.insert(shown));
        }
    }
}

/// The example of the README is run as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
