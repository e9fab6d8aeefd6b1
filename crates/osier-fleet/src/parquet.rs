//! Arrow columns as Parquet.
//!
//! While a run goes on, the row groups of a table are added to one file, each as a small Parquet
//! file of its own with its length before it. At the end their columns are put together, as they
//! are encoded, in the table's file. So a run that was interrupted goes on after the last whole row
//! group.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read};
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::Compression;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescriptor;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

/// Writes row groups of one table.
pub(crate) struct Encoder {
    schema: SchemaRef,
    descriptor: SchemaDescriptor,
    properties: WriterPropertiesPtr,
}

impl Encoder {
    pub(crate) fn new(schema: SchemaRef) -> io::Result<Self> {
        let descriptor = ArrowSchemaConverter::new()
            .convert(&schema)
            .map_err(other)?;
        // The index of pages would be lost when row groups are put together.
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .build();
        Ok(Self {
            schema,
            descriptor,
            properties: Arc::new(properties),
        })
    }

    fn writer<W: io::Write + Send>(&self, out: W) -> Result<SerializedFileWriter<W>, ParquetError> {
        let root = self.descriptor.root_schema_ptr();
        SerializedFileWriter::new(out, root, self.properties.clone())
    }

    /// One row group with the rows of all `batches`, its length before it. Columns are encoded at
    /// the same time, in the pool of threads that the caller is in. Nothing, when there are no rows.
    pub(crate) fn encode(&self, batches: &[RecordBatch]) -> io::Result<Vec<u8>> {
        if batches.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(Vec::new());
        }
        let group = self.row_group(batches).map_err(other)?;
        let mut part = (group.len() as u64).to_le_bytes().to_vec();
        part.extend_from_slice(&group);
        Ok(part)
    }

    fn row_group(&self, batches: &[RecordBatch]) -> Result<Vec<u8>, ParquetError> {
        let mut writer = self.writer(Vec::new())?;
        let factory = ArrowRowGroupWriterFactory::new(&writer, self.schema.clone());
        // No column is nested: each has one writer.
        let columns: Vec<_> = self
            .schema
            .fields()
            .iter()
            .zip(factory.create_column_writers(0)?)
            .enumerate()
            .collect();
        let chunks: Vec<ArrowColumnChunk> = columns
            .into_par_iter()
            .map(|(number, (field, mut column))| {
                for batch in batches {
                    for leaf in compute_leaves(field, batch.column(number))? {
                        column.write(&leaf)?;
                    }
                }
                column.close()
            })
            .collect::<Result<_, ParquetError>>()?;
        let mut group = writer.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut group)?;
        }
        group.close()?;
        writer.into_inner()
    }

    /// Puts the row groups of the file `parts` together in the Parquet file `out`.
    pub(crate) fn join(&self, parts: &Path, out: &Path) -> io::Result<()> {
        let mut parts = BufReader::new(File::open(parts)?);
        let file = BufWriter::new(File::create(out)?);
        let mut writer = self.writer(file).map_err(other)?;
        let mut length = [0; 8];
        while read_whole(&mut parts, &mut length)? {
            let mut part = Vec::new();
            let length = u64::from_le_bytes(length);
            parts.by_ref().take(length).read_to_end(&mut part)?;
            copy(&Bytes::from(part), &mut writer).map_err(other)?;
        }
        let file = writer.into_inner().map_err(other)?;
        file.into_inner()?.sync_data()
    }
}

/// Fills `buffer`; false at the end of the file.
fn read_whole(from: &mut impl Read, buffer: &mut [u8; 8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Copies the row groups of a Parquet file as they are.
fn copy<W: io::Write + Send>(
    part: &Bytes,
    writer: &mut SerializedFileWriter<W>,
) -> Result<(), ParquetError> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(part)?;
    for group in metadata.row_groups() {
        let mut copied = writer.next_row_group()?;
        for column in group.columns() {
            let close = ColumnCloseResult {
                bytes_written: u64::try_from(column.compressed_size()).unwrap_or(0),
                rows_written: u64::try_from(group.num_rows()).unwrap_or(0),
                metadata: column.clone(),
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            };
            copied.append_column(part, close)?;
        }
        copied.close()?;
    }
    Ok(())
}

fn other(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
