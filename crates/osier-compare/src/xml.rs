//! Text in XML documents.

use osier_text::visible_again;

/// Text for an element or an attribute. What cannot be seen, which takes in what XML 1.0 cannot hold,
/// is written by its number; ends of lines stay.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push(c),
            c => escaped.push_str(&visible_again(c.encode_utf8(&mut [0; 4]))),
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
            escape("<a\u{1b}&\"\u{ffff}\u{202e}>\n"),
            "&lt;a\\u{1b}&amp;&quot;\\u{ffff}\\u{202e}&gt;\n"
        );
    }
}
