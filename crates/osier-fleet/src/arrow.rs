//! Answers as Arrow columns, for whoever works on them in the same process.

use std::io;
use std::path::PathBuf;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use osier::Each;
use osier::ask::Question;
use osier::tables::{Cells, Columns, Table, of};

use crate::answer::Answer;
use crate::columns::{Batch, Room, schema};
use crate::fleet::Fleet;
use crate::inputs::Input;
use crate::labels::Labels;
use crate::manifest_columns::batch;
use crate::rows::Piece;
use crate::table::Shape;
use crate::{Asking, Event, RunError, Status, Summary};

pub use crate::columns::is_address;
pub use crate::manifest_columns::schema as manifest_schema;

/// The columns of a question's table; `docs/tables.md` has the types.
pub fn table_schema(question: Question) -> SchemaRef {
    schema_of(of(question))
}

/// The columns of a table with these kinds of row, by the same rules.
pub fn schema_of(tables: &[&'static Table]) -> SchemaRef {
    schema(&Columns::of(tables))
}

/// Rows that are gathered into the columns of a question's table, as [`answers`] and Parquet have them.
pub struct Gathering {
    columns: Columns,
    schema: SchemaRef,
    labels: Labels,
    /// What the batches before took, so that the next need not grow to it.
    room: Room,
    /// Made with its first row.
    batch: Option<Batch>,
}

impl Gathering {
    /// No rows yet of this question's.
    pub fn new(question: Question) -> Self {
        Self::over(of(question))
    }

    /// No rows yet of these kinds.
    pub fn over(tables: &[&'static Table]) -> Self {
        let columns = Columns::of(tables);
        Self {
            schema: schema(&columns),
            columns,
            labels: Labels::default(),
            room: Room::default(),
            batch: None,
        }
    }

    /// No rows yet of the same kinds: for another thread that gathers rows of the same snapshot. The batches of both
    /// share what all of the snapshot's rows say alike, its name and its id.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self {
            columns: self.columns.clone(),
            schema: self.schema.clone(),
            labels: self.labels.clone(),
            room: Room::default(),
            batch: None,
        }
    }

    /// Adds a row that answers the question, or is of one of the kinds.
    pub fn push(&mut self, row: &Cells<'_>) {
        let Self {
            columns,
            schema,
            room,
            batch,
            ..
        } = self;
        let new = || Batch::with_room(schema.clone(), columns, room);
        batch.get_or_insert_with(new).push(columns, row);
    }

    /// Rows gathered since the last batch.
    pub fn rows(&self) -> usize {
        self.batch.as_ref().map_or(0, Batch::rows)
    }

    /// The rows gathered so far, of the snapshot that is called `name` and has this id (see [`id`]).
    /// Gathering begins again. What batches of one snapshot have in common stands in memory once.
    ///
    /// # Errors
    ///
    /// A value was not of its column's kind.
    ///
    /// [`id`]: crate::id
    pub fn take(&mut self, name: &str, id: &str) -> Result<RecordBatch, ArrowError> {
        let new = || Batch::new(self.schema.clone(), &self.columns);
        let batch = self.batch.take().unwrap_or_else(new);
        self.room.join(&batch);
        let labels = self.labels.of(name, id, batch.rows());
        batch.labelled(labels)
    }
}

/// What one snapshot gave.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Its line of the manifest.
    pub manifest: RecordBatch,
    /// The same, as the file of a run has it: a JSON object.
    pub line: String,
    /// How it ended.
    pub status: Status,
    /// For each question its rows; nothing when the snapshot failed.
    pub tables: Vec<RecordBatch>,
}

/// Asks every snapshot of `paths` and hands its answers to `take`, in the order of the inputs. When that
/// wants no more, those are given up that were not begun.
///
/// # Errors
///
/// [`RunError`]: the profile that was named cannot be read, nothing is a snapshot, or an answer is
/// not what its columns say.
pub fn answers(
    paths: &[PathBuf],
    asking: &Asking,
    watch: &mut dyn FnMut(Event<'_>),
    take: Each<'_, Answered>,
) -> Result<Summary, RunError> {
    let fleet = Fleet::identify(paths, asking, Shape::Columns, watch)?;
    hand_over(&fleet, watch, take)
}

/// As [`answers`], of inputs that were gathered before, with the names that they were given then. The root of
/// `asking` says nothing here.
///
/// # Errors
///
/// As of [`answers`].
pub fn answers_of(
    inputs: Vec<Input>,
    asking: &Asking,
    watch: &mut dyn FnMut(Event<'_>),
    take: Each<'_, Answered>,
) -> Result<Summary, RunError> {
    let fleet = Fleet::of(inputs, asking, Shape::Columns, watch)?;
    hand_over(&fleet, watch, take)
}

fn hand_over(
    fleet: &Fleet<'_>,
    watch: &mut dyn FnMut(Event<'_>),
    take: Each<'_, Answered>,
) -> Result<Summary, RunError> {
    let mut summary = fleet.summary();
    let of = fleet.subjects().len();
    fleet.answers(0, &mut |number, Answer { entry, rows }| {
        summary.count_all([entry.status]);
        watch(Event::Finished {
            path: fleet.path(number),
            name: &entry.snapshot,
            status: entry.status,
            doubts: &entry.doubts,
            why: &entry.why,
            done: number.saturating_add(1),
            of,
        });
        let tables = rows.into_iter().filter_map(|piece| match piece {
            Piece::Columns(batch) => Some(batch),
            Piece::Text(_) => None,
        });
        Ok(take(Answered {
            manifest: batch(&entry).map_err(|error| RunError::Schema(io::Error::other(error)))?,
            line: entry.json(),
            status: entry.status,
            tables: tables.collect(),
        }))
    })?;
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_columns_of_a_table_have_one_name() {
        for question in Question::ALL {
            let schema = table_schema(question);
            let mut names = HashSet::new();
            for field in schema.fields() {
                let (word, name) = (question.word(), field.name());
                assert!(names.insert(name.as_str()), "{word}: {name} stands twice");
            }
        }
    }
}
