//! The rows of a Parquet file that a run wrote, a snapshot's at a time.

use std::fs::File;
use std::io;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::concat::concat_batches;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

/// Rows that are decoded at a time.
const BATCH: usize = 1 << 13;

/// The rows of a file, from the first on.
pub(crate) struct Rows {
    schema: SchemaRef,
    reader: ParquetRecordBatchReader,
    /// Rows that were decoded and not taken.
    rest: Option<RecordBatch>,
}

impl Rows {
    pub(crate) fn of(path: &Path, schema: SchemaRef) -> io::Result<Self> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?);
        let builder = builder.map_err(io::Error::other)?.with_batch_size(BATCH);
        Ok(Self {
            schema,
            reader: builder.build().map_err(io::Error::other)?,
            rest: None,
        })
    }

    fn next(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        let next = match self.rest.take() {
            Some(rest) => Some(rest),
            None => self.reader.next().transpose()?,
        };
        // A file does not keep what the schema says of columns besides their types.
        let ours = |batch: RecordBatch| {
            RecordBatch::try_new(self.schema.clone(), batch.columns().to_vec())
        };
        next.map(ours).transpose()
    }

    /// The next `count` rows as one batch; `None` when there are fewer.
    pub(crate) fn take(&mut self, count: usize) -> Result<Option<RecordBatch>, ArrowError> {
        let mut taken = Vec::new();
        let mut missing = count;
        while missing > 0 {
            let Some(batch) = self.next()? else {
                return Ok(None);
            };
            let rows = batch.num_rows();
            let part = rows.min(missing);
            taken.push(batch.slice(0, part));
            missing = missing.saturating_sub(part);
            if rows > part {
                self.rest = Some(batch.slice(part, rows.saturating_sub(part)));
            }
        }
        concat_batches(&self.schema, &taken).map(Some)
    }

    /// Whether no rows are left.
    pub(crate) fn is_over(&mut self) -> Result<bool, ArrowError> {
        while let Some(batch) = self.next()? {
            if batch.num_rows() > 0 {
                self.rest = Some(batch);
                return Ok(false);
            }
        }
        Ok(true)
    }
}
