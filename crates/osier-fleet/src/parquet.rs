//! Arrow columns as Parquet.
//!
//! While a run goes on, row groups are added to the table's file, each as a small Parquet file of its
//! own with its length before it. At the end one footer is added that names the column chunks of
//! them all, where they are; the small footers between them are bytes that no reader looks at. So a
//! run that was interrupted goes on after the last whole row group, and finishing a table takes
//! neither time nor room on a disk that may be full.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataReader,
    ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescriptor;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

/// What a Parquet file begins with.
pub(crate) const MAGIC: &str = "PAR1";

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

    /// Adds the footer to a file of row groups, which makes it a Parquet file.
    pub(crate) fn complete(&self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let groups = row_groups(&mut file)?;
        let footer = self.footer(groups).map_err(other)?;
        file.seek(SeekFrom::End(0))?;
        let mut file = BufWriter::new(file);
        ParquetMetaDataWriter::new(&mut file, &footer)
            .finish()
            .map_err(other)?;
        file.into_inner()?.sync_data()
    }

    /// The footer of a file with these row groups, otherwise as that of an empty one.
    fn footer(&self, groups: Vec<RowGroupMetaData>) -> Result<ParquetMetaData, ParquetError> {
        let empty = self.writer(Vec::new())?.into_inner()?;
        let empty = footer_of(&mut io::Cursor::new(&empty), empty.len() as u64)?;
        let of = empty.file_metadata();
        let rows = groups.iter().map(RowGroupMetaData::num_rows);
        let metadata = FileMetaData::new(
            of.version(),
            rows.fold(0, i64::saturating_add),
            of.created_by().map(str::to_owned),
            of.key_value_metadata().cloned(),
            of.schema_descr_ptr(),
            of.column_orders().cloned(),
        );
        Ok(ParquetMetaData::new(metadata, groups))
    }
}

/// The row groups of a file without a footer, at their places in it.
fn row_groups(file: &mut File) -> io::Result<Vec<RowGroupMetaData>> {
    let end = file.metadata()?.len();
    let mut at = MAGIC.len() as u64;
    let mut groups = Vec::new();
    while at < end {
        file.seek(SeekFrom::Start(at))?;
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let start = at.saturating_add(length.len() as u64);
        at = start.saturating_add(u64::from_le_bytes(length));
        let part = footer_of(file, at).map_err(other)?;
        for group in part.row_groups() {
            let number = i16::try_from(groups.len()).ok();
            groups.push(moved(group, start, number).map_err(other)?);
        }
    }
    Ok(groups)
}

/// The footer that ends at `end`.
fn footer_of(file: &mut (impl Read + Seek), end: u64) -> Result<ParquetMetaData, ParquetError> {
    let mut tail = [0; FOOTER_SIZE];
    let tail_at = end.saturating_sub(tail.len() as u64);
    file.seek(SeekFrom::Start(tail_at))?;
    file.read_exact(&mut tail)?;
    let [a, b, c, d, ..] = tail;
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    let start = tail_at.checked_sub(length).ok_or_else(|| {
        ParquetError::General("a row group's footer is longer than the file".to_owned())
    })?;
    file.seek(SeekFrom::Start(start))?;
    let mut metadata = Vec::new();
    file.take(length).read_to_end(&mut metadata)?;
    ParquetMetaDataReader::decode_metadata(&metadata)
}

/// A row group of a file that begins at `by` in another.
fn moved(
    group: &RowGroupMetaData,
    by: u64,
    number: Option<i16>,
) -> Result<RowGroupMetaData, ParquetError> {
    let by = i64::try_from(by).map_err(|error| ParquetError::External(error.into()))?;
    let there = |offset: i64| offset.saturating_add(by);
    let column = |column: &ColumnChunkMetaData| {
        column
            .clone()
            .into_builder()
            .set_data_page_offset(there(column.data_page_offset()))
            .set_dictionary_page_offset(column.dictionary_page_offset().map(there))
            .build()
    };
    let columns = group.columns().iter().map(column);
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let mut group_there = group.clone().into_builder().set_column_metadata(columns);
    if let Some(offset) = group.file_offset() {
        group_there = group_there.set_file_offset(there(offset));
    }
    if let Some(number) = number {
        group_there = group_there.set_ordinal(number);
    }
    group_there.build()
}

fn other(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
