//! `osier sql`: a query over the tables of many snapshots.

use std::io;

use osier::WalkEnds;
use osier::tables::{Cell, Cells, Column, Kind, Table};
use osier_sql::{Answer, OutColumn, Query, SqlError};

use super::inputs::named;
use super::run::progress::Progress;
use super::run::{counts, of_many, outcome};
use crate::args::{OutputArgs, SqlArgs};
use crate::failure::Usage;
use crate::outcome::Outcome;
use crate::output::{Output, say};

pub(super) fn run(args: &SqlArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let query = Query::new(&args.query).map_err(wrong_use)?;
    let paths = named(&args.paths, args.inputs_from.as_deref())?;
    let reads: Vec<&str> = query.tables().collect();
    if paths.is_empty() && !reads.is_empty() {
        let reads = reads.join(", ");
        return Err(Usage(format!(
            "the query reads {reads}; name the snapshots after it"
        ))
        .into());
    }
    let mut progress = Progress::new(output.quiet);
    let asking = of_many(&args.known, args.jobs, output.quiet);
    let answered = query.answer(&paths, asking, &mut |event| progress.show(&event));
    progress.end();
    let (answer, summary) = answered?;
    tell(&answer, output)?;
    let outcome = outcome(&summary, output);
    if !output.quiet && outcome != Outcome::Complete {
        say(&counts(&summary));
    }
    Ok(outcome)
}

/// A query that names what there is not was used wrongly; one that cannot be carried out was not.
fn wrong_use(error: SqlError) -> anyhow::Error {
    match error {
        SqlError::Start(_) => error.into(),
        wrong => Usage(wrong.to_string()).into(),
    }
}

fn tell(answer: &Answer, output: &OutputArgs) -> io::Result<()> {
    let columns = answer.columns().iter().map(column).collect();
    // The one query of this process; its columns are described as long as it runs.
    let table: &'static Table = Box::leak(Box::new(Table {
        name: "answer",
        columns: Vec::leak(columns),
    }));
    let mut out = Output::new(output, pointer_bytes(answer));
    for cells in answer.rows() {
        out.computed(&Cells { table, cells })?;
    }
    out.finish(&WalkEnds::default()).map(drop)
}

fn column(column: &OutColumn) -> Column {
    Column {
        name: String::leak(column.name.clone()),
        brief: true,
        right: column.kind == Kind::Number,
        kind: column.kind,
        order: &[],
        seconds: false,
    }
}

/// Bytes of the pointers of the largest guest, as far as its addresses tell.
fn pointer_bytes(answer: &Answer) -> u8 {
    let large = |cell: &Cell<'_>| matches!(cell, Cell::Address(at) if *at > u64::from(u32::MAX));
    if answer.rows().any(|row| row.iter().any(large)) {
        8
    } else {
        4
    }
}
