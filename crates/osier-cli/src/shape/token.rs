//! The words of a condition.

/// A word of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A name, a number, a keyword.
    Word(String),
    /// Text in quotes, never a keyword.
    Quoted(String),
    /// An operator, a parenthesis or a comma.
    Mark(&'static str),
}

/// The marks, the longer first.
const MARKS: [&str; 13] = [
    "!=", "!~", "<=", ">=", "==", "=", "<", ">", "~", "(", ")", ",", "!",
];

/// The words of `text`.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(mark) = MARKS.into_iter().find(|mark| rest.starts_with(mark)) {
            tokens.push(Token::Mark(mark));
            rest = rest.strip_prefix(mark).unwrap_or_default();
        } else if matches!(first, '\'' | '"') {
            let inner = rest.strip_prefix(first).unwrap_or_default();
            let Some((quoted, after)) = inner.split_once(first) else {
                return Err(format!("the quote {first} is not closed"));
            };
            tokens.push(Token::Quoted(quoted.to_owned()));
            rest = after;
        } else {
            let end = |c: char| c.is_whitespace() || "'\"=<>!~(),".contains(c);
            let length = rest.find(end).unwrap_or(rest.len());
            let (word, after) = rest.split_at(length);
            tokens.push(Token::Word(word.to_owned()));
            rest = after;
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}
