//! The tables that a query may name, and what is held of them.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use osier::ask::Question;
use osier_fleet::{manifest_schema, table_schema};

/// Where the rows of a table come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The snapshots' answers to a question.
    Answers(Question),
    /// What became of each snapshot.
    Manifest,
}

impl Source {
    /// Every table.
    pub(crate) const ALL: [Self; 17] = [
        Self::Answers(Question::Processes),
        Self::Answers(Question::Handles),
        Self::Answers(Question::Current),
        Self::Answers(Question::Threads),
        Self::Answers(Question::Modules),
        Self::Answers(Question::Mappings),
        Self::Answers(Question::Pages),
        Self::Answers(Question::Files),
        Self::Answers(Question::Environment),
        Self::Answers(Question::Log),
        Self::Answers(Question::Wide),
        Self::Answers(Question::Mounts),
        Self::Answers(Question::Sockets),
        Self::Answers(Question::Interfaces),
        Self::Answers(Question::Scan),
        Self::Answers(Question::Findings),
        Self::Manifest,
    ];

    /// The table's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Answers(question) => question.word(),
            Self::Manifest => "manifest",
        }
    }

    fn schema(self) -> SchemaRef {
        match self {
            Self::Answers(question) => table_schema(question),
            Self::Manifest => manifest_schema(),
        }
    }
}

/// A table, empty until its rows are held.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) source: Source,
    schema: SchemaRef,
    rows: OnceLock<Rows>,
}

/// The rows of a table, by those of its columns that are asked for.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// The columns' places in the table, in that order.
    pub(crate) columns: Vec<usize>,
    pub(crate) batches: Vec<RecordBatch>,
}

impl Rows {
    /// Adds rows with all columns, of which those asked for are kept.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() > 0 {
            self.batches.push(batch.project(&self.columns)?);
        }
        Ok(())
    }
}

impl Held {
    pub(crate) fn new(source: Source) -> Self {
        Self {
            source,
            schema: source.schema(),
            rows: OnceLock::new(),
        }
    }

    /// Number of columns.
    pub(crate) fn width(&self) -> usize {
        self.schema.fields().len()
    }

    /// Gives the table its rows, once.
    pub(crate) fn fill(&self, rows: Rows) {
        let _ = self.rows.set(rows);
    }
}

#[async_trait]
impl TableProvider for Held {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.width()).collect();
        let asked = projection.unwrap_or(&all);
        let Some(rows) = self.rows.get() else {
            let nothing = MemorySourceConfig::try_new_exec(
                &[Vec::new()],
                self.schema.clone(),
                Some(asked.clone()),
            )?;
            return Ok(nothing);
        };
        // The plan that said which columns are needed is the plan that is carried out.
        let place = |column: &usize| rows.columns.iter().position(|kept| kept == column);
        let places: Option<Vec<usize>> = asked.iter().map(place).collect();
        let places = places.ok_or_else(|| {
            DataFusionError::Internal(format!("{}: a column is not held", self.source.name()))
        })?;
        let schema = Arc::new(self.schema.project(&rows.columns)?);
        let batches = std::slice::from_ref(&rows.batches);
        Ok(MemorySourceConfig::try_new_exec(
            batches,
            schema,
            Some(places),
        )?)
    }
}
