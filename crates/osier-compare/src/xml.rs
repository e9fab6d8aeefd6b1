//! Text in XML documents.

use osier_text::markup;

/// Text for an element or an attribute. What cannot be seen, which takes in what XML 1.0 cannot hold,
/// is written by its number; ends of lines stay.
pub(crate) fn escape(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(markup).collect();
    lines.join("\n")
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
