//! How the rows of a table become bytes of a file.

#![cfg_attr(
    not(feature = "parquet"),
    allow(
        unused_variables,
        clippy::unnecessary_wraps,
        reason = "text needs neither an encoder nor completing, and cannot fail"
    )
)]

use std::io;
use std::path::Path;

use osier::format::csv_header_of;

use crate::TableFormat;
use crate::called::called;
use crate::rows::Piece;
use crate::table::Table;

/// A table and the format that it is written in.
pub(crate) struct FileFormat<'a> {
    table: &'a Table,
    to: TableFormat,
    #[cfg(feature = "parquet")]
    encoder: crate::parquet::Encoder,
}

impl<'a> FileFormat<'a> {
    pub(crate) fn new(table: &'a Table, to: TableFormat) -> io::Result<Self> {
        Ok(Self {
            table,
            to,
            #[cfg(feature = "parquet")]
            encoder: crate::parquet::Encoder::new(table.schema.clone())?,
        })
    }

    /// What stands before the first row.
    pub(crate) fn header(&self) -> String {
        match self.to {
            TableFormat::Jsonl => String::new(),
            TableFormat::Csv => {
                let mut header = String::from("snapshot,id,");
                let names = self.table.columns.iter().map(|column| called(column.name));
                csv_header_of(names, &mut header);
                header.push_str("\r\n");
                header
            }
            #[cfg(feature = "parquet")]
            TableFormat::Parquet => crate::parquet::MAGIC.to_owned(),
        }
    }

    /// The question's word, which the table is called by.
    pub(crate) fn word(&self) -> &'static str {
        self.table.question.word()
    }

    /// The table's columns.
    #[cfg(feature = "parquet")]
    pub(crate) fn schema(&self) -> arrow_schema::SchemaRef {
        self.table.schema.clone()
    }

    /// The name of the table's file.
    pub(crate) fn file(&self) -> String {
        format!("{}.{}", self.word(), self.to.extension())
    }

    /// The bytes that are added for these rows, which are written together.
    #[cfg_attr(
        not(feature = "parquet"),
        expect(clippy::unused_self, reason = "the same as with the feature")
    )]
    pub(crate) fn encode(&self, pieces: Vec<Piece>) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        #[cfg(feature = "arrow")]
        let mut batches = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) if bytes.is_empty() => bytes = text.into_bytes(),
                Piece::Text(text) => bytes.extend_from_slice(text.as_bytes()),
                #[cfg(feature = "arrow")]
                Piece::Columns(batch) => batches.push(batch),
            }
        }
        #[cfg(feature = "parquet")]
        bytes.extend(self.encoder.encode(&batches)?);
        Ok(bytes)
    }

    /// Adds what stands after the last row.
    pub(crate) fn complete(&self, file: &Path) -> io::Result<()> {
        match self.to {
            TableFormat::Jsonl | TableFormat::Csv => Ok(()),
            #[cfg(feature = "parquet")]
            TableFormat::Parquet => self.encoder.complete(file),
        }
    }
}
