//! Conditions over the columns of a list: their grammar, and whether a row meets them.
//!
//! ```text
//!   condition := all ("or" all)*
//!   all       := one ("and" one)*
//!   one       := "not" one | "(" condition ")" | test
//!   test      := COLUMN ("=" | "==" | "!=" | "<" | "<=" | ">" | ">=") VALUE
//!              | COLUMN ("~" | "!~") GLOB
//!              | COLUMN ["not"] "in" "(" VALUE ("," VALUE)* ")"
//!              | COLUMN "is" ["not"] "absent"
//! ```

use std::cmp::Ordering;

use glob::{MatchOptions, Pattern};
use osier::tables::{Cell, Cells, Column, Columns, Kind};

use super::token::{Token, tokens};
use super::value::{NoValue, Value, shown as plain};

/// Parentheses in each other, and `not`s in a row, that are followed.
const DEPTH: usize = 64;

/// A condition over a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
    Test(Test),
}

/// What is asked of one column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Test {
    column: &'static Column,
    is: Is,
}

#[derive(Clone, Debug, PartialEq)]
enum Is {
    Absent,
    Ordered(&'static [Ordering], Value),
    Like(Pattern),
    OneOf(Vec<Value>),
}

/// Whether a row meets a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// A value that it asks for is absent.
    Open(NoValue),
}

impl Truth {
    const fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }

    const fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            open @ Self::Open(_) => open,
        }
    }

    /// What decides all of several, or else what is open, a loss before anything else.
    fn among(parts: impl Iterator<Item = Self>, decides: Self) -> Self {
        let mut whole = decides.not();
        for part in parts {
            match part {
                part if part == decides => return decides,
                Self::Open(NoValue { lost }) => {
                    let before = matches!(whole, Self::Open(NoValue { lost: true }));
                    whole = Self::Open(NoValue {
                        lost: lost || before,
                    });
                }
                _ => {}
            }
        }
        whole
    }
}

impl Condition {
    /// The condition that `text` writes, over these columns of the list `list`.
    pub(crate) fn parse(text: &str, list: &str, columns: &Columns) -> Result<Self, String> {
        let tokens = tokens(text)?;
        let mut parser = Parser {
            rest: &tokens,
            list,
            columns,
            depth: 0,
        };
        let condition = parser.any()?;
        match parser.rest.first() {
            None => Ok(condition),
            Some(token) => Err(format!(
                "{} is one too much; write `and` or `or` between two conditions",
                shown(token)
            )),
        }
    }

    /// The condition that the value of `column` is like `pattern`.
    pub(crate) fn like(column: &'static Column, pattern: Pattern) -> Self {
        let is = Is::Like(pattern);
        Self::Test(Test { column, is })
    }

    /// Whether the row meets it.
    pub(crate) fn of(&self, row: &Cells<'_>) -> Truth {
        match self {
            Self::Any(parts) => Truth::among(parts.iter().map(|part| part.of(row)), Truth::Yes),
            Self::All(parts) => Truth::among(parts.iter().map(|part| part.of(row)), Truth::No),
            Self::Not(part) => part.of(row).not(),
            Self::Test(test) => test.of(row),
        }
    }

    /// Every column that it asks for.
    pub(crate) fn columns(&self, into: &mut Vec<&'static str>) {
        match self {
            Self::Any(parts) | Self::All(parts) => {
                for part in parts {
                    part.columns(into);
                }
            }
            Self::Not(part) => part.columns(into),
            Self::Test(test) => into.push(test.column.name),
        }
    }
}

impl Test {
    fn of(&self, row: &Cells<'_>) -> Truth {
        let cell = row
            .iter()
            .find_map(|(column, cell)| (column.name == self.column.name).then_some(cell));
        let value = cell.map_or(Err(NoValue { lost: false }), |cell| {
            Value::of(self.column, cell)
        });
        let value = match (&self.is, value) {
            // Of a value that was lost nobody knows whether the guest has it.
            (Is::Absent, Err(NoValue { lost: false })) => return Truth::Yes,
            (Is::Absent, Ok(_)) => return Truth::No,
            (_, Err(none)) => return Truth::Open(none),
            (_, Ok(value)) => value,
        };
        match &self.is {
            Is::Absent => Truth::No,
            Is::Ordered(orders, literal) => {
                Truth::of(orders.contains(&self.compare(&value, literal)))
            }
            Is::OneOf(literals) => Truth::of(
                literals
                    .iter()
                    .any(|literal| self.compare(&value, literal) == Ordering::Equal),
            ),
            Is::Like(pattern) => {
                Truth::of(cell.is_some_and(|cell| is_like(self.column, cell, pattern)))
            }
        }
    }

    /// A moment is compared as far as the literal goes: to the day, to the minute.
    fn compare(&self, value: &Value, literal: &Value) -> Ordering {
        match (self.column.kind, value, literal) {
            (Kind::Instant, Value::Text(moment), Value::Text(literal)) => moment
                .get(..literal.len())
                .unwrap_or(moment)
                .cmp(literal.as_str()),
            _ => value.cmp(literal),
        }
    }
}

/// Whether the cell of `column` is like the pattern; an address is with `0x` or without. Capitals count
/// in what a guest wrote, as they do for `=`: not in digits nor in words of ours.
fn is_like(column: &Column, cell: &Cell<'_>, pattern: &Pattern) -> bool {
    let text = plain(cell);
    let options = MatchOptions {
        case_sensitive: matches!(column.kind, Kind::Text | Kind::Bytes) && column.order.is_empty(),
        ..MatchOptions::new()
    };
    let digits = match cell {
        Cell::Address(_) => text.strip_prefix("0x"),
        _ => None,
    };
    pattern.matches_with(&text, options)
        || digits.is_some_and(|digits| pattern.matches_with(digits, options))
}

struct Parser<'a> {
    rest: &'a [Token],
    list: &'a str,
    columns: &'a Columns,
    depth: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<&Token> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Takes the keyword `word`, when it is the next.
    fn takes(&mut self, word: &str) -> bool {
        let is = match self.rest.first() {
            Some(Token::Word(next)) => next.eq_ignore_ascii_case(word),
            Some(Token::Mark(mark)) => *mark == word,
            _ => false,
        };
        if is {
            self.next();
        }
        is
    }

    fn any(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.all()?];
        while self.takes("or") {
            parts.push(self.all()?);
        }
        Ok(one_of(parts, Condition::Any))
    }

    fn all(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.one()?];
        while self.takes("and") {
            parts.push(self.one()?);
        }
        Ok(one_of(parts, Condition::All))
    }

    fn one(&mut self) -> Result<Condition, String> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > DEPTH {
            return Err("it is nested too deep".to_owned());
        }
        let one = if self.takes("not") || self.takes("!") {
            Ok(Condition::Not(Box::new(self.one()?)))
        } else if self.takes("(") {
            let inner = self.any()?;
            if self.takes(")") {
                Ok(inner)
            } else {
                Err(format!("`)` is missing before {}", self.where_it_is()))
            }
        } else {
            self.test()
        };
        self.depth = self.depth.saturating_sub(1);
        one
    }

    fn test(&mut self) -> Result<Condition, String> {
        let place = self.where_it_is();
        let Some(Token::Word(name)) = self.next() else {
            return Err(format!("a column is missing before {place}"));
        };
        let name = name.clone();
        let column = find(self.columns, self.list, &name)?;
        let test = |is| Condition::Test(Test { column, is });
        if self.takes("is") {
            let not = self.takes("not");
            if !self.takes("absent") {
                let place = self.where_it_is();
                return Err(format!("`is` goes with `absent`, not with {place}"));
            }
            return Ok(negated(not, test(Is::Absent)));
        }
        let not = self.takes("not");
        if self.takes("in") {
            return Ok(negated(not, test(Is::OneOf(self.values(column)?))));
        }
        if not {
            let place = self.where_it_is();
            return Err(format!("`{name} not` goes with `in`, not with {place}"));
        }
        let place = self.where_it_is();
        let Some(Token::Mark(mark)) = self.next() else {
            return Err(format!(
                "an operator is missing before {place}: = != < <= > >= ~ !~ in is"
            ));
        };
        let (not, orders): (bool, &'static [Ordering]) = match *mark {
            "=" | "==" => (false, &[Ordering::Equal]),
            "!=" => (true, &[Ordering::Equal]),
            "<" => (false, &[Ordering::Less]),
            "<=" => (false, &[Ordering::Less, Ordering::Equal]),
            ">" => (false, &[Ordering::Greater]),
            ">=" => (false, &[Ordering::Greater, Ordering::Equal]),
            "~" | "!~" => {
                let not = *mark == "!~";
                let text = self.text()?;
                let pattern = glob(&text)?;
                return Ok(negated(not, test(Is::Like(pattern))));
            }
            other => return Err(format!("`{other}` is no operator")),
        };
        let text = self.text()?;
        let literal = Value::written(column, &text)?;
        Ok(negated(not, test(Is::Ordered(orders, literal))))
    }

    fn values(&mut self, column: &'static Column) -> Result<Vec<Value>, String> {
        if !self.takes("(") {
            return Err(format!(
                "`in` goes with values in parentheses, not with {}",
                self.where_it_is()
            ));
        }
        let mut values = Vec::new();
        loop {
            let text = self.text()?;
            values.push(Value::written(column, &text)?);
            if self.takes(")") {
                return Ok(values);
            }
            if !self.takes(",") {
                return Err(format!(
                    "`,` or `)` is missing before {}",
                    self.where_it_is()
                ));
            }
        }
    }

    fn text(&mut self) -> Result<String, String> {
        let place = self.where_it_is();
        match self.next() {
            Some(Token::Word(text) | Token::Quoted(text)) => Ok(text.clone()),
            _ => Err(format!("a value is missing before {place}")),
        }
    }

    fn where_it_is(&self) -> String {
        self.rest.first().map_or("the end".to_owned(), shown)
    }
}

fn one_of(mut parts: Vec<Condition>, several: fn(Vec<Condition>) -> Condition) -> Condition {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            several(parts)
        }
        None => several(parts),
    }
}

fn negated(not: bool, condition: Condition) -> Condition {
    if not {
        Condition::Not(Box::new(condition))
    } else {
        condition
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Word(text) | Token::Quoted(text) => format!("`{}`", osier_text::visible(text)),
        Token::Mark(mark) => format!("`{mark}`"),
    }
}

/// The pattern that `text` writes.
pub(crate) fn glob(text: &str) -> Result<Pattern, String> {
    let shown = osier_text::visible(text);
    if text.contains("[^") {
        let why = "what is not meant is written `[!…]`; write `[[]^` for the characters themselves";
        return Err(format!("`{shown}` is no pattern: {why}"));
    }
    Pattern::new(text).map_err(|_| {
        let why = if text.contains("**") {
            "`*` stands for any text by itself: write one of them"
        } else {
            "`[` is not closed by `]`; write `[[]` for the character itself"
        };
        format!("`{shown}` is no pattern: {why}")
    })
}

/// The column `name` of the list `list`.
pub(crate) fn find(columns: &Columns, list: &str, name: &str) -> Result<&'static Column, String> {
    let found = columns.iter().find(|column| column.name == name);
    found.ok_or_else(|| {
        let known: Vec<&str> = columns.iter().map(|column| column.name).collect();
        let (name, known) = (osier_text::visible(name), known.join(", "));
        format!("`{list}` has no column `{name}`; it has {known}")
    })
}

#[cfg(test)]
mod tests {
    use osier::ask::Question;
    use osier::osier_memory::{Cause, Fault, VirtAddr};
    use osier::tables;
    use osier::{Absent, Seen, Thread};

    use super::*;

    fn parse(text: &str) -> Result<Condition, String> {
        let columns = Columns::of(tables::of(Question::Threads));
        Condition::parse(text, "threads", &columns)
    }

    fn thread(pid: u32, name: &[u8], tid: Seen<u32>) -> Thread {
        Thread {
            pid: Ok(pid),
            tid,
            name: Ok(name.to_vec()),
            task: VirtAddr(0xffff_8880_0000_1000),
            state: Err(Absent::not_in_this_kernel()),
        }
    }

    fn truth(text: &str) -> Truth {
        let row = thread(
            7,
            b"a b",
            Err(Absent::unreadable(Fault::new(Cause::NotCaptured))),
        );
        parse(text).unwrap().of(&Cells::of(&row))
    }

    const LOST: Truth = Truth::Open(NoValue { lost: true });
    const NONE: Truth = Truth::Open(NoValue { lost: false });

    #[test]
    fn conditions_are_met_or_not() {
        for met in [
            "pid = 7",
            "pid == 0x7 and name = 'a b'",
            "pid in (1, 7)",
            "pid not in (1, 2) AND NOT pid < 7",
            "name ~ 'a*' or pid = 1",
            "name !~ b* and name != x",
            "pid > 6 and pid <= 7 and pid >= 7 and pid < 1K",
            "task >= 0xffff888000001000",
            "task = ffff888000001000 and task != 0",
            "task in (0, FFFF888000001000)",
            "task ~ '0xffff888*' and task ~ ffff888* and task !~ 1*",
            "task ~ FFFF888* and task ~ '0XFFFF888*' and name !~ 'A*'",
            "not (pid = 1 or pid = 2)",
            "pid > -1",
            "state is absent and name is not absent",
        ] {
            assert_eq!(truth(met), Truth::Yes, "{met}");
        }
        for unmet in [
            "pid = 1",
            "name = a",
            "pid in (1)",
            "not pid = 7",
            "name ~ a",
        ] {
            assert_eq!(truth(unmet), Truth::No, "{unmet}");
        }
    }

    #[test]
    fn an_absent_value_is_neither_true_nor_false() {
        for lost in [
            "tid = 1",
            "tid != 1",
            "not tid = 1",
            "tid is absent",
            "pid = 7 and tid = 1",
        ] {
            assert_eq!(truth(lost), LOST, "{lost}");
        }
        assert_eq!(truth("state = S"), NONE);
        assert_eq!(truth("not state = S"), NONE);
        assert_eq!(truth("state = S or tid = 1"), LOST);
        // What decides without it decides.
        assert_eq!(truth("pid = 7 or tid = 1"), Truth::Yes);
        assert_eq!(truth("pid = 1 and tid = 1"), Truth::No);
    }

    #[test]
    fn what_is_no_condition_says_why() {
        for (wrong, why) in [
            ("", "a column is missing before the end"),
            ("pidd = 1", "it has pid, tid, name, task, state"),
            ("pid", "an operator is missing before the end"),
            ("pid = ", "a value is missing before the end"),
            ("pid = x", "pid is a number"),
            ("pid = 1 name = a", "`name` is one too much"),
            ("(pid = 1", "`)` is missing before the end"),
            ("name = 'a", "the quote ' is not closed"),
            ("name ~ '['", "`[` is not closed by `]`"),
            ("name ~ '***'", "write one of them"),
            ("task = 10K", "task is hexadecimal"),
            ("task = -1", "task is hexadecimal"),
            ("task = 0x", "task is hexadecimal"),
            ("name is there", "`is` goes with `absent`"),
            ("name not like x", "goes with `in`"),
            ("pid in 1", "values in parentheses"),
        ] {
            let error = parse(wrong).unwrap_err();
            assert!(error.contains(why), "{wrong}: {error}");
        }
        let deep = "(".repeat(1000);
        assert!(parse(&deep).unwrap_err().contains("too deep"));
        let nots = "not ".repeat(100_000) + "pid = 1";
        assert!(parse(&nots).unwrap_err().contains("too deep"));
    }

    #[test]
    fn times_are_compared_as_far_as_they_are_given() {
        let columns = Columns::of(tables::of(Question::Processes));
        let start = find(&columns, "ps", "start").unwrap();
        let test = |text: &str, at: i64| {
            let condition = Condition::parse(text, "ps", &columns).unwrap();
            let Condition::Test(test) = condition else {
                panic!("{text}");
            };
            let value = Value::of(start, &Cell::Instant(at)).unwrap();
            match &test.is {
                Is::Ordered(orders, literal) => orders.contains(&test.compare(&value, literal)),
                _ => panic!("{text}"),
            }
        };
        // 2001-09-09T01:46:40Z.
        let at = 1_000_000_000_000_000_000;
        assert!(test("start = 2001-09-09", at));
        assert!(test("start = 2001-09-09T01:46:40Z", at));
        assert!(test("start < 2001-09-09T01:47", at));
        assert!(!test("start > 2001-09-09", at));
        for no_time in [
            "yesterday",
            "2001-9-9",
            "2001-0",
            "2001-13",
            "2026-13-45",
            "2001-00-01",
            "2001-02-29",
            "1900-02-29",
            "2001-04-31",
            "2001-01-01T24",
            "2001-01-01T23:60",
            "2001-01-01T23:59:60",
            "2001-01-01T23:59:59.",
            "2001-01-01Z",
            "",
        ] {
            assert!(Value::written(start, no_time).is_err(), "{no_time}");
        }
        for time in [
            "2001",
            "2000-02-29",
            "2004-02",
            "2001-01-01T00",
            "2001-12-31T23:59:59.5Z",
        ] {
            assert!(Value::written(start, time).is_ok(), "{time}");
        }
    }

    #[test]
    fn levels_are_compared_by_their_severity() {
        let columns = Columns::of(tables::of(Question::Log));
        let level = find(&columns, "log", "level").unwrap();
        let truth = |text: &str, word| {
            let Condition::Test(test) = Condition::parse(text, "log", &columns).unwrap() else {
                panic!("{text}");
            };
            let value = Value::of(level, &Cell::Word(word)).unwrap();
            match &test.is {
                Is::Ordered(orders, literal) => orders.contains(&test.compare(&value, literal)),
                _ => panic!("{text}"),
            }
        };
        for word in ["emerg", "alert", "crit", "err"] {
            assert!(truth("level <= err", word), "{word}");
            assert!(!truth("level > err", word), "{word}");
        }
        for word in ["warn", "notice", "info", "debug"] {
            assert!(!truth("level <= ERR", word), "{word}");
        }
        let wrong = Condition::parse("level = error", "log", &columns).unwrap_err();
        assert!(wrong.contains("emerg, alert, crit, err"), "{wrong}");
    }
}
