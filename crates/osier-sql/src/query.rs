//! A query: planned first, then the snapshots are asked for what it needs, then it is carried out.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use osier::ask::Question;
use osier_fleet::{Answered, Asking, Event, Summary, answers};
use tokio::runtime::{Builder, Runtime};

use crate::tables::{Held, Rows, Source};
use crate::{Answer, SqlError};

/// The schema that describes the tables in SQL's own terms.
const DESCRIPTION: &str = "information_schema";

/// A query that is understood, and for which nothing has been asked yet.
pub struct Query {
    runtime: Runtime,
    frame: DataFrame,
    needs: Vec<Need>,
}

/// A table that a query reads.
struct Need {
    table: Arc<Held>,
    columns: BTreeSet<usize>,
}

impl Query {
    /// Plans a query.
    ///
    /// # Errors
    ///
    /// [`SqlError`]: the text is no SQL, names a table or a column that there is not, or wants to
    /// define or change something.
    pub fn new(sql: &str) -> Result<Self, SqlError> {
        // One thread and one partition: the same rows in the same order every time.
        let runtime = Builder::new_current_thread().build()?;
        let tables: Vec<Arc<Held>> = Source::ALL
            .map(|source| Arc::new(Held::new(source)))
            .to_vec();
        let context = context(&tables).map_err(|error| SqlError::of_plan(&error))?;
        let frame = runtime.block_on(plan(&context, sql))?;
        let needs = needs(&frame, &tables).map_err(|error| SqlError::of_plan(&error))?;
        Ok(Self {
            runtime,
            frame,
            needs,
        })
    }

    /// The names of the tables that it reads. A query that reads none needs no snapshots.
    pub fn tables(&self) -> impl Iterator<Item = &'static str> {
        self.needs.iter().map(|need| need.table.source.name())
    }

    /// The questions that the snapshots are asked for it.
    pub fn questions(&self) -> Vec<Question> {
        let of = |need: &Need| match need.table.source {
            Source::Answers(question) => Some(question),
            Source::Manifest => None,
        };
        self.needs.iter().filter_map(of).collect()
    }

    /// Asks every snapshot of `paths` what the query needs, and answers it. The questions of
    /// `asking` are the query's.
    ///
    /// # Errors
    ///
    /// [`SqlError`]. What became of single snapshots is in the summary, and in the table `manifest`.
    pub fn answer(
        self,
        paths: &[PathBuf],
        asking: Asking,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<(Answer, Summary), SqlError> {
        let summary = if self.needs.is_empty() {
            Summary::default()
        } else {
            self.ask(paths, asking, watch)?
        };
        Ok((self.carry_out()?, summary))
    }

    /// Fills the tables.
    fn ask(
        &self,
        paths: &[PathBuf],
        asking: Asking,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Summary, SqlError> {
        let asking = Asking {
            questions: self.questions(),
            ..asking
        };
        let empty = |need: &Need| Rows {
            columns: need.columns.iter().copied().collect(),
            ..Rows::default()
        };
        let mut held: Vec<Rows> = self.needs.iter().map(empty).collect();
        let mut kept = Ok(());
        let summary = answers(paths, &asking, watch, &mut |answered| {
            kept = keep(&self.needs, &mut held, &answered);
            match kept {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })?;
        kept.map_err(|error| SqlError::of_work(&error))?;
        for (need, rows) in self.needs.iter().zip(held) {
            need.table.fill(rows);
        }
        Ok(summary)
    }

    fn carry_out(self) -> Result<Answer, SqlError> {
        let schema = self.frame.schema().clone();
        let batches = self.runtime.block_on(self.frame.collect());
        let batches = batches.map_err(|error| SqlError::of_work(&error))?;
        Ok(Answer::new(&schema, batches))
    }
}

/// Keeps what the query needs of one snapshot.
fn keep(needs: &[Need], held: &mut [Rows], answered: &Answered) -> Result<(), DataFusionError> {
    // Answers are in the order of the questions, which is the order of the needs.
    let mut answers = answered.tables.iter();
    for (need, rows) in needs.iter().zip(held) {
        let batch = match need.table.source {
            Source::Answers(_) => answers.next(),
            Source::Manifest => Some(&answered.manifest),
        };
        if let Some(batch) = batch {
            rows.add(batch)?;
        }
    }
    Ok(())
}

fn context(tables: &[Arc<Held>]) -> Result<SessionContext, DataFusionError> {
    let config = SessionConfig::new()
        .with_target_partitions(1)
        .with_information_schema(true);
    let no_files = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let environment = RuntimeEnvBuilder::new()
        .with_disk_manager_builder(no_files)
        .build_arc()?;
    let context = SessionContext::new_with_config_rt(config, environment);
    for table in tables {
        context.register_table(table.source.name(), table.clone())?;
    }
    Ok(context)
}

async fn plan(context: &SessionContext, sql: &str) -> Result<DataFrame, SqlError> {
    let wrong = |error: DataFusionError| SqlError::of_plan(&error);
    let state = context.state();
    let dialect = state.config_options().sql_parser.dialect;
    let statement = state.sql_to_statement(sql, &dialect).map_err(wrong)?;
    let named = state.resolve_table_references(&statement).map_err(wrong)?;
    if let Some(unknown) = named.iter().find(|table| !is_known(table)) {
        return Err(SqlError::NoTable(unknown.to_string()));
    }
    let plan = state.statement_to_plan(statement).await.map_err(wrong)?;
    let only_ask = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    only_ask
        .verify_plan(&plan)
        .map_err(|error| SqlError::NoQuestion(error.message().into_owned()))?;
    Ok(DataFrame::new(state, plan))
}

fn is_known(table: &TableReference) -> bool {
    let ours = |name: &str| Source::ALL.iter().any(|source| source.name() == name);
    match table.schema() {
        Some(schema) if schema == DESCRIPTION => true,
        _ => ours(table.table()),
    }
}

/// The tables that a plan reads, and which of their columns.
fn needs(frame: &DataFrame, tables: &[Arc<Held>]) -> Result<Vec<Need>, DataFusionError> {
    let mut needs: Vec<Need> = Vec::new();
    // A plan that is only shown reads nothing.
    if matches!(frame.logical_plan(), LogicalPlan::Explain(_)) {
        return Ok(needs);
    }
    let optimized = frame.clone().into_optimized_plan()?;
    optimized.apply_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else {
            return Ok(TreeNodeRecursion::Continue);
        };
        let provider = source_as_provider(&scan.source)?;
        let is = |table: &&Arc<Held>| std::ptr::addr_eq(Arc::as_ptr(table), Arc::as_ptr(&provider));
        if let Some(table) = tables.iter().find(is) {
            let columns = match &scan.projection {
                Some(columns) => columns.clone(),
                None => (0..table.width()).collect(),
            };
            match needs
                .iter_mut()
                .find(|need| Arc::ptr_eq(&need.table, table))
            {
                Some(need) => need.columns.extend(columns),
                None => needs.push(Need {
                    table: table.clone(),
                    columns: columns.into_iter().collect(),
                }),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(needs)
}
