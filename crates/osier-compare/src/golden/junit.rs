//! The verdicts as `JUnit` XML, in the form that every CI service reads: what Ant's task writes.
//!
//! A suite for each snapshot, a case for each question. Attributes and elements are those that
//! Ant's schema asks for, in its order.

use std::fmt::Write as _;

use osier::format::iso8601;

use super::verdict::{NO_FILE, Verdict};
use crate::xml::escape;

/// What came of one snapshot.
#[derive(Debug)]
pub struct Suite {
    /// The snapshot.
    pub snapshot: String,
    /// When it was begun: nanoseconds since 1970-01-01 UTC.
    pub begun: i64,
    /// What came of each question.
    pub cases: Vec<Case>,
}

/// What came of one question.
#[derive(Debug)]
pub struct Case {
    /// The question's word, or `open` when there was no asking.
    pub name: &'static str,
    /// Seconds that it took.
    pub seconds: f64,
    /// What came of it.
    pub verdict: Verdict,
    /// What else a person is told, such as the way out.
    pub advice: String,
}

impl Case {
    fn failed(&self) -> bool {
        matches!(self.verdict, Verdict::Differs(_) | Verdict::Missing)
    }

    fn broke(&self) -> bool {
        matches!(self.verdict, Verdict::Failed(_))
    }
}

/// The document.
pub fn junit(suites: &[Suite]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (id, suite) in suites.iter().enumerate() {
        let count =
            |which: fn(&Case) -> bool| suite.cases.iter().filter(|case| which(case)).count();
        let seconds: f64 = suite.cases.iter().map(|case| case.seconds).sum();
        let begun = iso8601(suite.begun);
        let begun = begun
            .split_once('.')
            .map_or(begun.as_str(), |(whole, _)| whole);
        let snapshot = escape(&suite.snapshot);
        let _ = writeln!(
            xml,
            "  <testsuite package=\"osier\" id=\"{id}\" name=\"{snapshot}\" timestamp=\"{begun}\" \
             hostname=\"localhost\" tests=\"{}\" failures=\"{}\" errors=\"{}\" \
             time=\"{seconds:.3}\">\n    <properties/>",
            suite.cases.len(),
            count(Case::failed),
            count(Case::broke),
        );
        for case in &suite.cases {
            write_case(&snapshot, case, &mut xml);
        }
        xml.push_str("    <system-out/>\n    <system-err/>\n  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn write_case(snapshot: &str, case: &Case, xml: &mut String) {
    let _ = write!(
        xml,
        "    <testcase name=\"{}\" classname=\"{snapshot}\" time=\"{:.3}\"",
        case.name, case.seconds
    );
    let (element, kind, message, text) = match &case.verdict {
        Verdict::Same => {
            xml.push_str("/>\n");
            return;
        }
        Verdict::Differs(differences) => {
            let lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
            let message = match lines.as_slice() {
                [only] => only.clone(),
                lines => format!("{} differences", lines.len()),
            };
            ("failure", "differs", message, lines.join("\n"))
        }
        Verdict::Missing => {
            let message = NO_FILE.to_owned();
            ("failure", "no-golden", message, String::new())
        }
        Verdict::Failed(why) => ("error", "failed", why.clone(), String::new()),
    };
    let text = [text.as_str(), case.advice.as_str()];
    let text: Vec<&str> = text.into_iter().filter(|part| !part.is_empty()).collect();
    let _ = writeln!(
        xml,
        ">\n      <{element} message=\"{}\" type=\"{kind}\">{}</{element}>\n    </testcase>",
        escape(&message),
        escape(&text.join("\n"))
    );
}
