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
use crate::shape::condition::Truth;
use crate::shape::{Key, Processes, Shape};

/// Writes rows and keeps count of what was lost.
pub(crate) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    format: Format,
    table: TextTable,
    below: String,
    line: String,
    rows: usize,
    lost: usize,
    /// What is lost, in the singular.
    counted: &'static str,
    /// Whether places were lost that nobody asked for.
    unsaid: bool,
    bad_ends: usize,
    doubts: Vec<String>,
    places: Vec<String>,
    /// What may be the reason where something could not be read.
    suspect: Option<String>,
    /// What is said of the answer's form.
    notes: Vec<String>,
    args: OutputArgs,
    shape: Shape,
    /// Rows that wait for their order; of a table the rows themselves wait in it.
    waiting: Vec<(Key, String)>,
    /// Rows that came, wanted or not.
    came: usize,
    /// Rows of which a value that was lost would have told whether they are wanted.
    open: usize,
    /// Rows whose place in the order that is asked for hangs on a value that was lost.
    unplaced: usize,
    /// Whether no row so far has a value to be ordered by.
    unordered: bool,
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
            leave_out: true,
        };
        Self {
            out: BufWriter::with_capacity(1 << 16, io::stdout().lock()),
            format: args.format.unwrap_or(otherwise),
            table: TextTable::new(style),
            below: String::new(),
            line: String::new(),
            rows: 0,
            lost: 0,
            counted: "value",
            unsaid: false,
            bad_ends: 0,
            doubts: Vec::new(),
            places: Vec::new(),
            suspect: None,
            notes: Vec::new(),
            args: args.clone(),
            shape: Shape::default(),
            waiting: Vec::new(),
            came: 0,
            open: 0,
            unplaced: 0,
            unordered: true,
        }
    }

    /// The same for those rows alone that are wanted, and for what is wanted of them.
    pub(crate) fn shaped(mut self, shape: Shape) -> Self {
        if shape.picks() {
            // Whoever names columns gets them.
            self.table.keep_all();
        }
        Self { shape, ..self }
    }

    /// The processes that the answer is limited to; `None` when it is of all.
    pub(crate) fn processes(&self) -> Option<Processes> {
        self.shape.processes()
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Rows that came so far, whether they were wanted or not.
    pub(crate) fn came(&self) -> usize {
        self.came
    }

    /// Writes a row.
    pub(crate) fn row(&mut self, row: &dyn Row) -> io::Result<()> {
        self.cells(&Cells::of(row))
    }

    /// Writes a row whose cells are built, when it is wanted.
    pub(crate) fn cells(&mut self, row: &Cells<'_>) -> io::Result<()> {
        if self.wants(row)? {
            self.branch(row, "")?;
        }
        Ok(())
    }

    /// Whether the row is wanted; counts those of which that cannot be told.
    pub(crate) fn wants(&mut self, row: &Cells<'_>) -> io::Result<bool> {
        self.came = self.came.saturating_add(1);
        self.shape.fit(row.table).map_err(io::Error::other)?;
        let truth = self.shape.wants(row);
        if let Truth::Open(none) = truth
            && none.lost
        {
            self.leave_open();
        }
        Ok(truth == Truth::Yes)
    }

    /// Counts rows of which it cannot be told whether they are wanted.
    pub(crate) fn leave_open(&mut self) {
        self.open = self.open.saturating_add(1);
    }

    /// Writes a row of a tree, wanted or not: `indent` stands before its name in a table.
    pub(crate) fn branch(&mut self, row: &Cells<'_>, indent: &str) -> io::Result<()> {
        let key = self.shape.sorts().then(|| self.shape.key(row));
        let picked = self.shape.pick(row);
        let row = picked.as_ref().unwrap_or(row);
        let lost = row.losses();
        self.lost = self.lost.saturating_add(lost);
        self.unsaid |= lost > 0;
        if lost > 0 && self.args.verbose && self.places.len() < PLACES {
            self.note_places(row);
        }
        match key {
            Some(key) => {
                self.unplaced = self.unplaced.saturating_add(key.is_lost().into());
                self.unordered &= !key.is_known();
                self.wait(key, row)
            }
            None => self.write(row, indent, &|line| json_row(row, line)),
        }
    }

    /// Keeps a row until all are there.
    fn wait(&mut self, key: Key, row: &Cells<'_>) -> io::Result<()> {
        let mut line = String::new();
        match self.format {
            Format::Table => self.table.add(row, ""),
            Format::Jsonl | Format::Json => json_row(row, &mut line),
            Format::Csv => {
                if self.waiting.is_empty() {
                    self.line.clear();
                    csv_header(row.table, &mut self.line);
                    self.line.push_str("\r\n");
                    self.out.write_all(self.line.as_bytes())?;
                }
                csv_row(row, &mut line);
            }
        }
        self.waiting.push((key, line));
        Ok(())
    }

    /// Writes the rows that waited.
    fn in_order(&mut self) -> io::Result<()> {
        if !self.shape.sorts() {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let mut order: Vec<usize> = (0..waiting.len()).collect();
        let shape = &self.shape;
        order.sort_by(
            |&one, &other| match (waiting.get(one), waiting.get(other)) {
                (Some((one, _)), Some((other, _))) => shape.compare(one, other),
                _ => std::cmp::Ordering::Equal,
            },
        );
        if self.format == Format::Table {
            self.table.reorder(&order);
            self.rows = self.rows.saturating_add(order.len());
            return Ok(());
        }
        for (_, line) in order.iter().filter_map(|&at| waiting.get(at)) {
            if self.format == Format::Csv {
                self.rows = self.rows.saturating_add(1);
                self.out.write_all(line.as_bytes())?;
                self.out.write_all(b"\r\n")?;
            } else {
                self.object(&|into| into.push_str(line))?;
            }
        }
        Ok(())
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
            let words = end.of(walk);
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

    /// Counts walks that did not end well, of which `ends` tells some to who asks for places; of one of several
    /// snapshots with its name.
    pub(crate) fn ended(&mut self, snapshot: Option<&str>, count: usize, ends: &[String]) {
        self.bad_ends = self.bad_ends.saturating_add(count);
        if !self.args.verbose {
            self.unsaid |= count > 0;
            return;
        }
        self.places.extend(ends.iter().map(|end| match snapshot {
            Some(snapshot) => format!("{snapshot}: {end}"),
            None => end.clone(),
        }));
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

    /// Names what may be the reason where something cannot be read.
    pub(crate) fn suspect(&mut self, what: String) {
        self.suspect = Some(what);
    }

    /// Counts values that were lost outside of rows.
    pub(crate) fn lose(&mut self, count: usize) {
        self.lost = self.lost.saturating_add(count);
    }

    /// As [`lose`](Self::lose), of values that were lost at one place.
    pub(crate) fn lose_at(&mut self, count: usize, place: &str) {
        self.lose(count);
        self.unsaid = true;
        if self.args.verbose && self.places.len() < PLACES {
            self.places.push(place.to_owned());
        }
    }

    /// Counts what is lost in another unit than values.
    pub(crate) fn count(&mut self, unit: &'static str) {
        self.counted = unit;
    }

    /// Says what whoever reads the answer must know.
    pub(crate) fn remark(&self, message: &str) {
        if !self.args.quiet {
            say(message);
        }
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
        self.in_order()?;
        for (walk, end) in ends.bad() {
            self.object(&|line| json_end(walk, end, line))?;
        }
        match self.format {
            Format::Table => {
                self.out.write_all(self.table.draw().as_bytes())?;
                let left_out = self.table.left_out();
                if !left_out.is_empty() {
                    let left_out = left_out.join(", ");
                    self.notes.push(format!(
                        "no room for {left_out}; --wide or --columns shows them"
                    ));
                }
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
        let lost = self.lost.saturating_add(self.open);
        let lost = lost.saturating_add(self.unplaced());
        Ok(match (lost, self.bad_ends, self.doubts.len()) {
            (0, 0, 0) => Outcome::Complete,
            _ if self.args.strict => Outcome::PartialIsFailure,
            _ => Outcome::Partial,
        })
    }

    /// Rows of which it is not known where they belong; one row alone is in order.
    fn unplaced(&self) -> usize {
        if self.rows > 1 { self.unplaced } else { 0 }
    }

    /// The footer on standard error. That it cannot be written is no failure of the answer.
    fn messages(&self, ends: &WalkEnds) {
        if self.args.quiet {
            return;
        }
        let structured = matches!(self.format, Format::Jsonl | Format::Json);
        if !structured || self.args.verbose {
            for (walk, end) in ends.bad() {
                say(&end.of(walk));
            }
        }
        for note in &self.notes {
            say(note);
        }
        for place in self.places.iter().take(PLACES) {
            say(place);
        }
        for doubt in &self.doubts {
            say(doubt);
        }
        if self.open > 0 {
            let rows = plural(self.open, "row");
            say(&format!(
                "{rows} left out: whether they are wanted hangs on a value that could not be read"
            ));
        }
        if let Some(column) = self.shape.ordering().filter(|_| self.rows > 1) {
            if self.unplaced() > 0 {
                let (rows, stand) = (
                    plural(self.unplaced, "row"),
                    if self.unplaced == 1 {
                        "stands"
                    } else {
                        "stand"
                    },
                );
                say(&format!(
                    "{rows} {stand} last: the place in the order hangs on a value of `{column}` that could not be read"
                ));
            } else if self.unordered {
                say(&format!(
                    "no row has a value of `{column}`: the rows stand as they came"
                ));
            }
        }
        if self.lost > 0 || self.bad_ends > 0 {
            let hint = if self.args.verbose || !self.unsaid {
                ""
            } else {
                "; -v for places"
            };
            let (fields, lists) = (
                plural(self.lost, self.counted),
                plural(self.bad_ends, "list"),
            );
            say(&format!(
                "incomplete: {fields} could not be read, {lists} ended badly{hint}"
            ));
            if let Some(suspect) = &self.suspect {
                say(suspect);
            }
        } else if self.args.verbose
            && self.doubts.is_empty()
            && self.open == 0
            && self.unplaced() == 0
        {
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
