//! Two lists of rows, held against each other.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;

use osier::ask::Question;

use super::ignore::Ignore;
use super::row::GoldenRow;

/// One difference between the golden rows and the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Line of the golden file, from 1; of a row that is new, the line it would follow, or 1.
    pub line: usize,
    /// The row in words: the fields that tell it from others, and its name.
    pub row: String,
    /// What differs.
    pub change: Change,
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The golden row has no counterpart in the answer.
    Gone,
    /// The answer's row has no counterpart among the golden ones.
    New,
    /// A field, as JSON; `None` where the row has no such field.
    Field {
        /// Its name.
        field: String,
        /// The golden value.
        was: Option<String>,
        /// The answer's.
        now: Option<String>,
    },
    /// All rows are there; from this one on they stand in another order.
    Order {
        /// The answer's row that stands there.
        now: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        let Self { line, row, change } = self;
        match change {
            Change::Gone => write!(f, "line {line}: {row}: gone"),
            Change::New => write!(f, "after line {line}: {row}: new"),
            Change::Field { field, was, now } => {
                let (was, now) = (value(was), value(now));
                write!(f, "line {line}: {row}: {field} was {was}, is {now}")
            }
            Change::Order { now } => write!(f, "line {line}: {row}: here stands {now} now"),
        }
    }
}

/// The differences between the lines of a golden file and those of an answer, in the file's order.
///
/// # Errors
///
/// The number of the golden line that is no JSON object, from 1, and why.
pub fn compare(
    question: Question,
    golden: &str,
    answer: &[String],
    ignore: &mut Ignore,
) -> Result<Vec<Difference>, (usize, serde_json::Error)> {
    let mut parse =
        |line: &str| GoldenRow::parse(question, line, &mut |field| !ignore.covers(question, field));
    let mut rows = |lines: &mut dyn Iterator<Item = &str>| {
        let numbered = (1..).zip(lines);
        let parsed = numbered.map(|(line, text)| parse(text).map_err(|error| (line, error)));
        parsed.collect::<Result<Vec<GoldenRow>, _>>()
    };
    let was = rows(&mut golden.lines())?;
    let now = rows(&mut answer.iter().map(String::as_str))?;
    Ok(differences(&was, &now))
}

fn differences(was: &[GoldenRow], now: &[GoldenRow]) -> Vec<Difference> {
    let mut places: HashMap<&str, VecDeque<usize>> = HashMap::new();
    for (at, row) in now.iter().enumerate() {
        places.entry(&row.key).or_default().push_back(at);
    }
    let mut found = Vec::new();
    // Line of the golden row for each of the answer's.
    let mut lines = vec![None; now.len()];
    let mut order = Vec::new();
    for (line, row) in (1..).zip(was) {
        let at = places
            .get_mut(row.key.as_str())
            .and_then(VecDeque::pop_front);
        let Some((at, counterpart)) = at.and_then(|at| Some((at, now.get(at)?))) else {
            found.push(Difference {
                line,
                row: row.label.clone(),
                change: Change::Gone,
            });
            continue;
        };
        if let Some(place) = lines.get_mut(at) {
            *place = Some(line);
        }
        order.push((line, at));
        fields(line, row, counterpart, &mut found);
    }
    let mut before = 1;
    for (row, line) in now.iter().zip(&lines) {
        match line {
            Some(line) => before = *line,
            None => found.push(Difference {
                line: before,
                row: row.label.clone(),
                change: Change::New,
            }),
        }
    }
    found.sort_by_key(|difference| difference.line);
    if found.is_empty() {
        found.extend(disorder(was, now, &order));
    }
    found
}

/// The fields of two rows that are each other's counterparts.
fn fields(line: usize, was: &GoldenRow, now: &GoldenRow, found: &mut Vec<Difference>) {
    let mut both: BTreeMap<&String, (Option<&String>, Option<&String>)> = BTreeMap::new();
    for (name, value) in &was.fields {
        both.entry(name).or_default().0 = Some(value);
    }
    for (name, value) in &now.fields {
        both.entry(name).or_default().1 = Some(value);
    }
    for (name, (before, after)) in both {
        if before != after {
            found.push(Difference {
                line,
                row: was.label.clone(),
                change: Change::Field {
                    field: name.clone(),
                    was: before.cloned(),
                    now: after.cloned(),
                },
            });
        }
    }
}

/// The first golden row that does not stand where it stood.
fn disorder(was: &[GoldenRow], now: &[GoldenRow], order: &[(usize, usize)]) -> Option<Difference> {
    let (place, (line, _)) = order
        .iter()
        .enumerate()
        .find(|(place, (_, at))| place != at)?;
    Some(Difference {
        line: *line,
        row: was.get(place)?.label.clone(),
        change: Change::Order {
            now: now.get(place)?.label.clone(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = r#"{"taskd":"0x10","asid":"0x1000"}
{"taskd":"0x20","asid":null,"absent":{"asid":{"why":"not-applicable","because":"a thread of the kernel"}}}
{"taskd":"0x30","asid":"0x3000"}
"#;

    fn found(answer: &[&str], ignore: &[&str]) -> Vec<String> {
        let answer: Vec<String> = answer.iter().map(|&line| line.to_owned()).collect();
        let words: Vec<String> = ignore.iter().map(|&word| word.to_owned()).collect();
        let mut ignore = Ignore::parse(&words).unwrap();
        let found = compare(Question::Handles, GOLDEN, &answer, &mut ignore).unwrap();
        found.iter().map(Difference::to_string).collect()
    }

    #[test]
    fn the_same_rows_are_the_same() {
        let lines: Vec<&str> = GOLDEN.lines().collect();
        assert!(found(&lines, &[]).is_empty());
    }

    #[test]
    fn a_field_is_named_with_both_values() {
        let mut lines: Vec<&str> = GOLDEN.lines().collect();
        lines[2] = r#"{"taskd":"0x30","asid":"0x3001"}"#;
        assert_eq!(
            found(&lines, &[]),
            [r#"line 3: taskd 0x30: asid was "0x3000", is "0x3001""#]
        );
        assert!(found(&lines, &["asid"]).is_empty());
        assert!(!found(&lines, &["ps.asid"]).is_empty());
    }

    #[test]
    fn another_reason_of_an_absence_is_a_difference() {
        let mut lines: Vec<&str> = GOLDEN.lines().collect();
        lines[1] = r#"{"taskd":"0x20","asid":null,"absent":{"asid":{"why":"unreadable"}}}"#;
        let found = found(&lines, &[]);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("line 2: taskd 0x20: asid was absent {"),
            "{found:?}"
        );
        assert!(
            found[0].ends_with(r#", is absent {"why":"unreadable"}"#),
            "{found:?}"
        );
    }

    #[test]
    fn rows_come_and_go_and_endings_are_rows() {
        let lines: Vec<&str> = GOLDEN.lines().collect();
        let end = r#"{"end":{"walk":"tasks","how":"cycle"}}"#;
        let now = [lines[0], r#"{"taskd":"0x18","asid":"0x1"}"#, lines[2], end];
        assert_eq!(
            found(&now, &[]),
            [
                "after line 1: taskd 0x18: new",
                "line 2: taskd 0x20: gone",
                r#"after line 3: end {"how":"cycle","walk":"tasks"}: new"#,
            ]
        );
    }

    #[test]
    fn another_order_is_a_difference() {
        let lines: Vec<&str> = GOLDEN.lines().collect();
        assert_eq!(
            found(&[lines[0], lines[2], lines[1]], &[]),
            ["line 2: taskd 0x20: here stands taskd 0x30 now"]
        );
    }

    #[test]
    fn equal_rows_pair_one_to_one() {
        let lines: Vec<&str> = GOLDEN.lines().collect();
        let twice = [lines[0], lines[0], lines[1], lines[2]];
        assert_eq!(found(&twice, &[]).len(), 1);
    }

    #[test]
    fn a_golden_line_that_is_no_row_is_named() {
        let wrong = compare(
            Question::Handles,
            "{}\nno row\n",
            &[],
            &mut Ignore::default(),
        );
        assert_eq!(wrong.unwrap_err().0, 2);
    }
}
