//! Why a query could not be answered.

use std::io;

use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use osier_fleet::RunError;

use crate::tables::Source;

/// Why a query could not be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// A table is named that there is not.
    #[error("no table is called `{0}`; there are {names}", names = names(Source::ALL.map(Source::name)))]
    NoTable(String),
    /// A column is named that there is not.
    #[error("no column is called `{name}`; there are {known}", known = names(known))]
    NoColumn {
        /// The name.
        name: String,
        /// The columns that may stand there.
        known: Vec<String>,
    },
    /// The statement is no question.
    #[error("{0}; a query may only ask, with SELECT, WITH, EXPLAIN, DESCRIBE or SHOW")]
    NoQuestion(String),
    /// The query is wrong in another way.
    #[error("{0}")]
    Wrong(String),
    /// The query could not be carried out.
    #[error("the query was given up: {0}")]
    Failed(String),
    /// The snapshots could not be asked.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The engine could not be started.
    #[error("the query engine cannot start: {0}")]
    Start(#[from] io::Error),
}

impl SqlError {
    /// What the planner says of a query.
    pub(crate) fn of_plan(error: &DataFusionError) -> Self {
        let root = innermost(error);
        if let DataFusionError::SchemaError(schema, _) = root
            && let SchemaError::FieldNotFound {
                field,
                valid_fields,
            } = &**schema
        {
            return Self::NoColumn {
                name: field.flat_name(),
                known: valid_fields.iter().map(Column::flat_name).collect(),
            };
        }
        Self::Wrong(root.message().into_owned())
    }

    /// What the engine says while it works.
    pub(crate) fn of_work(error: &DataFusionError) -> Self {
        Self::Failed(innermost(error).message().into_owned())
    }
}

/// The error below what was said around it.
fn innermost(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Diagnostic(_, inner) | DataFusionError::Context(_, inner) => {
            innermost(inner)
        }
        DataFusionError::Collection(errors) => errors.first().map_or(error, innermost),
        _ => error.find_root(),
    }
}

fn names<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let mut list = String::new();
    for name in names {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(name.as_ref());
    }
    list
}
