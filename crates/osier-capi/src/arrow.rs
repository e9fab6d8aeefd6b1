//! Answers as tables: Arrow's C stream.

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{RecordBatch, RecordBatchIterator};
use arrow_schema::ArrowError;
use osier::ask::Question;
use osier::tables::Cells;
use osier_fleet::{Gathering, id, name_of, table_schema};

use crate::error::{Error, ErrorKind};
use crate::guest::Guest;

/// Rows of one batch.
const BATCH: usize = 1 << 16;

/// Rows of one question on their way into batches.
pub(crate) struct Batches {
    question: Question,
    name: String,
    id: String,
    gathering: Gathering,
    done: Vec<Result<RecordBatch, ArrowError>>,
}

impl Batches {
    /// None yet of this question to this guest.
    pub(crate) fn new(question: Question, guest: &Guest) -> Result<Self, Error> {
        let file = &guest.guest.info().file;
        let id = id(file, guest.reached.reach().as_deref(), false).map_err(|error| {
            let file = osier_text::path(file);
            Error::new(ErrorKind::Io, format!("{file}: {error}"))
        })?;
        Ok(Self {
            question,
            name: name_of(file),
            id,
            gathering: Gathering::new(question),
            done: Vec::new(),
        })
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: &Cells<'_>) {
        self.gathering.push(row);
        if self.gathering.rows() >= BATCH {
            self.end_batch();
        }
    }

    fn end_batch(&mut self) {
        self.done.push(self.gathering.take(&self.name, &self.id));
    }

    /// All of them, as a stream that owns them.
    pub(crate) fn stream(mut self) -> FFI_ArrowArrayStream {
        if self.gathering.rows() > 0 {
            self.end_batch();
        }
        let reader = RecordBatchIterator::new(self.done, table_schema(self.question));
        FFI_ArrowArrayStream::new(Box::new(reader))
    }
}
