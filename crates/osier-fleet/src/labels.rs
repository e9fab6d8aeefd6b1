//! The two columns before a snapshot's rows: its name and its id, the same in each of them.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::builder::{ArrayBuilder, StringBuilder};
use arrow_array::{Array, ArrayRef};

/// The columns `snapshot` and `id` of so many rows.
pub(crate) fn labels(name: &str, id: &str, rows: usize) -> [ArrayRef; 2] {
    [name, id].map(|label| {
        let bytes = label.len().saturating_mul(rows);
        let mut values = StringBuilder::with_capacity(rows, bytes);
        values.append_value_n(label, rows);
        ArrayBuilder::finish(&mut values)
    })
}

/// The columns of the batches of one snapshot, which share their memory: a million times one id is as much as the
/// rest of a row of mappings. A clone shares them, too.
#[derive(Clone, Default)]
pub(crate) struct Labels(Arc<Mutex<Option<Made>>>);

/// Columns that were made, of as many rows as the longest batch so far had.
struct Made {
    name: String,
    id: String,
    columns: [ArrayRef; 2],
}

impl Made {
    /// The first rows of the columns, where they are of this snapshot and long enough.
    fn first(&self, name: &str, id: &str, rows: usize) -> Option<[ArrayRef; 2]> {
        let [names, ids] = &self.columns;
        let fits = self.name == name && self.id == id && names.len() >= rows;
        fits.then(|| [names.slice(0, rows), ids.slice(0, rows)])
    }
}

impl Labels {
    /// The columns `snapshot` and `id` of so many rows: a part of those that were made before, or made now.
    pub(crate) fn of(&self, name: &str, id: &str, rows: usize) -> [ArrayRef; 2] {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = made.as_ref();
        if let Some(columns) = known.and_then(|made| made.first(name, id, rows)) {
            return columns;
        }
        let columns = labels(name, id, rows);
        *made = Some(Made {
            name: name.to_owned(),
            id: id.to_owned(),
            columns: columns.clone(),
        });
        columns
    }
}
