//! Answers as Arrow columns, for whoever works on them in the same process.

use std::io;
use std::path::PathBuf;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use osier::ask::Question;
use osier::tables::{Columns, of};

use crate::answer::Answer;
use crate::columns::schema;
use crate::fleet::Fleet;
use crate::manifest_columns::batch;
use crate::rows::Piece;
use crate::table::Shape;
use crate::{Asking, Event, RunError, Summary};

pub use crate::columns::is_address;
pub use crate::manifest_columns::schema as manifest_schema;

/// The columns of a question's table; `docs/tables.md` has the types.
pub fn table_schema(question: Question) -> SchemaRef {
    schema(&Columns::of(of(question)))
}

/// What one snapshot gave.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Its line of the manifest.
    pub manifest: RecordBatch,
    /// For each question its rows; nothing when the snapshot failed.
    pub tables: Vec<RecordBatch>,
}

/// Asks every snapshot of `paths` and hands its answers to `take`, in the order of the inputs.
///
/// # Errors
///
/// [`RunError`]: the profile that was named cannot be read, nothing is a snapshot, or an answer is
/// not what its columns say.
pub fn answers(
    paths: &[PathBuf],
    asking: &Asking,
    watch: &mut dyn FnMut(Event<'_>),
    take: &mut dyn FnMut(Answered),
) -> Result<Summary, RunError> {
    let fleet = Fleet::identify(paths, asking, Shape::Columns, watch)?;
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
        take(Answered {
            manifest: batch(&entry).map_err(|error| RunError::Schema(io::Error::other(error)))?,
            tables: tables.collect(),
        });
        Ok(())
    })?;
    Ok(summary)
}
