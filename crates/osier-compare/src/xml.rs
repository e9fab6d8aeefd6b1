//! Text in XML documents.

use std::fmt::Write as _;

/// Text for an element or an attribute. What XML 1.0 cannot hold is written as in JSON.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            '\u{fffe}' | '\u{ffff}' | '\0'..='\u{1f}' => {
                let _ = write!(escaped, "\\u{:04x}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_escaped() {
        assert_eq!(
            escape("<a\u{1b}&\"\u{ffff}>\n"),
            "&lt;a\\u001b&amp;&quot;\\uffff&gt;\n"
        );
    }
}
