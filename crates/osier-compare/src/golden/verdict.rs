//! What came of a question.

use super::compare::Difference;

/// What is said of [`Verdict::Missing`].
pub const NO_FILE: &str = "there is no golden file";

/// What came of one question.
#[derive(Debug)]
pub enum Verdict {
    /// The answer is the golden one.
    Same,
    /// There is no golden file.
    Missing,
    /// It is not. At least one difference.
    Differs(Vec<Difference>),
    /// There was no comparing, and why.
    Failed(String),
}
