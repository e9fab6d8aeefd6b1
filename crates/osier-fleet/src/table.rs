//! A table: the question, and how its rows are gathered.

use osier::ask::Question;
use osier::tables::{Columns, of};

/// How rows are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As text, an object a line.
    Jsonl,
    /// As text, a record a line.
    Csv,
    /// As Arrow columns.
    #[cfg(feature = "arrow")]
    Columns,
}

/// The table of a question.
pub(crate) struct Table {
    pub(crate) question: Question,
    pub(crate) shape: Shape,
    pub(crate) columns: Columns,
    #[cfg(feature = "arrow")]
    pub(crate) schema: arrow_schema::SchemaRef,
}

impl Table {
    pub(crate) fn new(question: Question, shape: Shape) -> Self {
        let columns = Columns::of(of(question));
        Self {
            question,
            shape,
            #[cfg(feature = "arrow")]
            schema: crate::columns::schema(&columns),
            columns,
        }
    }
}
