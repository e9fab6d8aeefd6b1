//! Annotations of GitHub Actions: workflow commands on standard output.

use std::path::Path;

/// The line that shows `message` at `line` of `file` in a pull request.
pub fn annotation(file: &Path, line: usize, title: &str, message: &str) -> String {
    let file = escape(&file.display().to_string(), true);
    let (title, message) = (escape(title, true), escape(message, false));
    format!("::error file={file},line={line},title={title}::{message}")
}

/// What stands for itself in a workflow command; a property's value may also not end the property.
fn escape(text: &str, property: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' => escaped.push_str("%25"),
            '\r' => escaped.push_str("%0D"),
            '\n' => escaped.push_str("%0A"),
            ':' if property => escaped.push_str("%3A"),
            ',' if property => escaped.push_str("%2C"),
            c => escaped.push(c),
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
            annotation(Path::new("a,b/ps.jsonl"), 3, "ps: 50%", "was a:b,\nis c"),
            "::error file=a%2Cb/ps.jsonl,line=3,title=ps%3A 50%25::was a:b,%0Ais c"
        );
    }
}
