//! Where rows go: standard output in the format that was asked for, messages to standard error.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use osier::WalkEnds;
#[cfg(feature = "sql")]
use osier::format::csv_cells;
use osier::format::{Style, TextTable, csv_header, csv_row, json_end, json_row, json_string};
use osier::osier_snapshot::Anomaly;
use osier::tables::{Cell, Cells, Row};
use osier_text::visible_again;

use crate::args::{Colour, Format, OutputArgs};
use crate::outcome::Outcome;

/// Writes rows and keeps count of what was lost.
pub(crate) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    format: Format,
    table: TextTable,
    below: String,
    line: String,
    rows: usize,
    lost: usize,
    bad_ends: usize,
    doubts: Vec<String>,
    places: Vec<String>,
    args: OutputArgs,
}

/// Places of missing values that `-v` names before it stops.
const PLACES: usize = 100;

/// What is said before what is odd about a file.
pub(crate) const MAY_SUFFER: &str = "the answer may be wrong or short";

/// Whether standard output takes colours.
pub(crate) fn colours(args: &OutputArgs) -> bool {
    match args.color {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => {
            let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            !unwanted && io::stdout().is_terminal()
        }
    }
}

/// Columns of the terminal.
pub(crate) fn terminal_width() -> Option<usize> {
    let told = std::env::var("COLUMNS").ok();
    let told = told.and_then(|columns| columns.parse().ok());
    let asked = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    told.or_else(asked)
}

/// Whether the locale's characters are UTF-8; without any locale they are taken to be.
pub(crate) fn utf8_locale() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| {
        let value = std::env::var(name).ok()?;
        (!value.is_empty()).then_some(value)
    });
    set.is_none_or(|locale| {
        let locale = locale.to_ascii_uppercase();
        locale.contains("UTF-8") || locale.contains("UTF8")
    })
}

impl Output {
    /// An output for the rows of a guest with pointers of this many bytes.
    pub(crate) fn new(args: &OutputArgs, pointer_bytes: u8) -> Self {
        let otherwise = if io::stdout().is_terminal() {
            Format::Table
        } else {
            Format::Jsonl
        };
        let style = Style {
            pointer_bytes,
            colour: colours(args),
            wide: args.wide,
            ascii: !utf8_locale(),
            // Whoever asks for everything gets it whole.
            width: (!args.wide && io::stdout().is_terminal())
                .then(terminal_width)
                .flatten(),
        };
        Self {
            out: BufWriter::with_capacity(1 << 16, io::stdout().lock()),
            format: args.format.unwrap_or(otherwise),
            table: TextTable::new(style),
            below: String::new(),
            line: String::new(),
            rows: 0,
            lost: 0,
            bad_ends: 0,
            doubts: Vec::new(),
            places: Vec::new(),
            args: args.clone(),
        }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Rows written so far.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Writes a row.
    pub(crate) fn row(&mut self, row: &dyn Row) -> io::Result<()> {
        self.cells(&Cells::of(row))
    }

    /// Writes a row whose cells are built.
    pub(crate) fn cells(&mut self, row: &Cells<'_>) -> io::Result<()> {
        self.branch(row, "")
    }

    /// Writes a row of a tree: `indent` stands before its name in a table.
    pub(crate) fn branch(&mut self, row: &Cells<'_>, indent: &str) -> io::Result<()> {
        let lost = row.losses();
        self.lost = self.lost.saturating_add(lost);
        if lost > 0 && self.args.verbose && self.places.len() < PLACES {
            self.note_places(row);
        }
        self.write(row, indent, &|line| json_row(row, line))
    }

    /// Writes a row whose JSON says more than its columns: `json` writes the object.
    pub(crate) fn record(&mut self, row: &Cells<'_>, json: &dyn Fn(&mut String)) -> io::Result<()> {
        self.write(row, "", json)
    }

    /// Writes a row of what was computed, which says no more than its cells.
    #[cfg(feature = "sql")]
    pub(crate) fn computed(&mut self, row: &Cells<'_>) -> io::Result<()> {
        if self.format != Format::Csv {
            return self.cells(row);
        }
        self.line.clear();
        if self.rows == 0 {
            let names = row.table.columns.iter();
            let names = names.map(|column| Cell::Word(column.name));
            csv_cells(names, &mut self.line);
            self.line.push_str("\r\n");
        }
        csv_cells(row.cells.iter().cloned(), &mut self.line);
        self.line.push_str("\r\n");
        self.rows = self.rows.saturating_add(1);
        self.out.write_all(self.line.as_bytes())
    }

    fn write(
        &mut self,
        row: &Cells<'_>,
        indent: &str,
        json: &dyn Fn(&mut String),
    ) -> io::Result<()> {
        self.line.clear();
        match self.format {
            Format::Table => self.table.add(row, indent),
            Format::Jsonl | Format::Json => return self.object(json),
            Format::Csv => {
                if self.rows == 0 {
                    csv_header(row.table, &mut self.line);
                    self.line.push_str("\r\n");
                }
                csv_row(row, &mut self.line);
                self.line.push_str("\r\n");
            }
        }
        self.rows = self.rows.saturating_add(1);
        self.out.write_all(self.line.as_bytes())
    }

    /// Writes an object where the format is JSON, and nothing elsewhere.
    pub(crate) fn object(&mut self, json: &dyn Fn(&mut String)) -> io::Result<()> {
        self.line.clear();
        match self.format {
            Format::Jsonl => {
                json(&mut self.line);
                self.line.push('\n');
            }
            Format::Json => {
                self.line.push_str(self.array_joint());
                json(&mut self.line);
            }
            Format::Table | Format::Csv => return Ok(()),
        }
        self.rows = self.rows.saturating_add(1);
        self.out.write_all(self.line.as_bytes())
    }

    /// Writes and counts how the walks of one of several snapshots ended.
    pub(crate) fn ends_of(&mut self, snapshot: &str, ends: &WalkEnds) -> io::Result<()> {
        for (walk, end) in ends.bad() {
            self.bad_ends = self.bad_ends.saturating_add(1);
            let words = format!("{walk} {end}");
            self.places.push(format!("{snapshot}: {words}"));
            self.object(&|line| {
                let mut object = String::new();
                json_end(walk, end, &mut object);
                line.push_str("{\"snapshot\":");
                json_string(snapshot, line);
                line.push(',');
                line.push_str(object.trim_start_matches('{'));
            })?;
        }
        Ok(())
    }

    fn array_joint(&self) -> &'static str {
        if self.rows == 0 { "[\n" } else { ",\n" }
    }

    fn note_places(&mut self, row: &Cells<'_>) {
        let first = row.iter().find_map(|(column, cell)| {
            let value = match cell {
                Cell::Number(number) => number.to_string(),
                Cell::Address(address) => format!("{address:#x}"),
                _ => return None,
            };
            Some(format!("{} {value}", column.name))
        });
        let label = first.unwrap_or_else(|| format!("row {}", self.rows));
        for (column, cell) in row.iter() {
            if let Cell::Absent(absent) = cell
                && absent.is_loss()
            {
                let why = absent.to_string();
                self.places.push(format!("{label}: {}: {why}", column.name));
            }
        }
    }

    /// Takes note of what is odd about a snapshot's file and may make the answer wrong or short; of
    /// one of several snapshots with its name.
    pub(crate) fn doubt<'a>(
        &mut self,
        snapshot: Option<&str>,
        doubts: impl IntoIterator<Item = &'a Anomaly>,
    ) {
        let said = doubts.into_iter().map(|doubt| match snapshot {
            Some(snapshot) => format!("{snapshot}: {MAY_SUFFER}: {doubt}"),
            None => format!("{MAY_SUFFER}: {doubt}"),
        });
        self.doubts.extend(said);
    }

    /// Counts values that were lost outside of rows.
    pub(crate) fn lose(&mut self, count: usize) {
        self.lost = self.lost.saturating_add(count);
    }

    /// Writes text as it is: for answers that are no rows.
    pub(crate) fn text(&mut self, text: &[u8]) -> io::Result<()> {
        self.out.write_all(text)
    }

    /// Keeps text that stands below the table.
    pub(crate) fn after_table(&mut self, text: &str) {
        self.below.push_str(text);
    }

    /// The writer, for answers that are no rows.
    pub(crate) fn writer(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    /// Writes how the walks ended and everything that waits, and tells how complete it all was.
    pub(crate) fn finish(mut self, ends: &WalkEnds) -> io::Result<Outcome> {
        for (walk, end) in ends.bad() {
            self.object(&|line| json_end(walk, end, line))?;
        }
        match self.format {
            Format::Table => {
                self.out.write_all(self.table.draw().as_bytes())?;
                self.out.write_all(self.below.as_bytes())?;
            }
            Format::Json => {
                let close: &[u8] = if self.rows == 0 { b"[]\n" } else { b"\n]\n" };
                self.out.write_all(close)?;
            }
            Format::Jsonl | Format::Csv => {}
        }
        self.conclude(ends)
    }

    /// As [`finish`](Self::finish), after an answer that was no rows: nothing more is written to
    /// standard output.
    pub(crate) fn conclude(mut self, ends: &WalkEnds) -> io::Result<Outcome> {
        self.out.flush()?;
        self.bad_ends = self.bad_ends.saturating_add(ends.bad().count());
        self.messages(ends);
        Ok(match (self.lost, self.bad_ends, self.doubts.len()) {
            (0, 0, 0) => Outcome::Complete,
            _ if self.args.strict => Outcome::PartialIsFailure,
            _ => Outcome::Partial,
        })
    }

    /// The footer on standard error. That it cannot be written is no failure of the answer.
    fn messages(&self, ends: &WalkEnds) {
        if self.args.quiet {
            return;
        }
        let structured = matches!(self.format, Format::Jsonl | Format::Json);
        if !structured || self.args.verbose {
            for (walk, end) in ends.bad() {
                say(&format!("{walk} {end}"));
            }
        }
        for place in self.places.iter().take(PLACES) {
            say(place);
        }
        for doubt in &self.doubts {
            say(doubt);
        }
        if self.lost > 0 || self.bad_ends > 0 {
            let hint = if self.args.verbose || self.lost == 0 {
                ""
            } else {
                "; -v for places"
            };
            let (fields, lists) = (plural(self.lost, "value"), plural(self.bad_ends, "list"));
            say(&format!(
                "incomplete: {fields} could not be read, {lists} ended badly{hint}"
            ));
        } else if self.args.verbose && self.doubts.is_empty() {
            let closed: Vec<&str> = ends.0.iter().map(|(walk, _)| *walk).collect();
            let closed = if closed.is_empty() {
                String::new()
            } else {
                format!(" ({})", closed.join(", "))
            };
            let rows = plural(self.rows, "row");
            say(&format!(
                "complete: {rows}, every value read, every walk closed{closed}"
            ));
        }
    }
}

/// Writes a message to standard error, with nothing in it that cannot be seen. That it cannot be
/// written is no failure: nobody is left to tell.
pub(crate) fn say(message: &str) {
    let lines: Vec<_> = message.lines().map(visible_again).collect();
    let _ = writeln!(io::stderr(), "osier: {}", lines.join("\n"));
}

/// `1 row`, `2 rows`.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}
