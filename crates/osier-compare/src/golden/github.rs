//! Annotations of GitHub Actions: workflow commands on standard output.

use std::path::Path;

use osier_text::visible_again;

/// The line that shows `message` at `line` of `file` in a pull request.
pub fn annotation(file: &Path, line: usize, title: &str, message: &str) -> String {
    let file = escape(&osier_text::path(file).to_string(), true);
    let (title, message) = (escape(title, true), escape(message, false));
    format!("::error file={file},line={line},title={title}::{message}")
}

/// What stands for itself in a workflow command; a property's value may also not end the property.
fn escape(text: &str, property: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' => escaped.push_str("%25"),
            '\n' => escaped.push_str("%0A"),
            ':' if property => escaped.push_str("%3A"),
            ',' if property => escaped.push_str("%2C"),
            c => escaped.push_str(&visible_again(c.encode_utf8(&mut [0; 4]))),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_is_one_line_whatever_the_names_hold() {
        assert_eq!(
            annotation(
                Path::new("a,b\n::/ps.jsonl"),
                3,
                "ps: 50%",
                "was a:b,\nis \u{202e}c"
            ),
            "::error file=a%2Cb\\u{a}%3A%3A/ps.jsonl,line=3,title=ps%3A 50%25::was a:b,%0Ais \\u{202e}c"
        );
    }
}
