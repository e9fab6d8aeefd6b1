//! Rows as Python objects. Each question's rows have a class of their own, made of the description of
//! its tables when the module is loaded: a property for each column.

use osier::ask::Question;
use osier::format::join_arguments;
use osier::tables::{Column, Columns, Kind, Table, of};
use pyo3::exceptions::{PyAttributeError, PyKeyError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDelta, PyDict, PyString, PyTuple, PyType};

use crate::absent::Absent;
use crate::owned::{Owned, OwnedRow};

/// A row of an answer.
///
/// Its columns are attributes; ``None`` stands for what could not be read, and ``absent`` says why. Rows
/// are equal when all of their values and absences are.
#[pyclass(frozen, subclass, module = "pyosier")]
pub(crate) struct Row {
    table: &'static Table,
    values: Py<PyTuple>,
    absent: Py<PyDict>,
    /// What a value is besides the text or date that it is shown as.
    exact: Py<PyDict>,
}

/// A class of rows.
struct Class {
    tables: Vec<&'static Table>,
    class: Py<PyType>,
}

static CLASSES: PyOnceLock<Vec<Class>> = PyOnceLock::new();

/// Tables that are no question's.
fn others() -> [&'static Table; 4] {
    let ([hits], [kept]) = (osier::tables::hits(), osier::tables::kept());
    [
        osier_compare::event_table(),
        osier_compare::timeline::life_table(),
        hits,
        kept,
    ]
}

/// Makes a class for each kind of row, and adds it to the module.
pub(crate) fn add_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let of_questions = Question::ALL
        .into_iter()
        .map(|question| of(question).to_vec());
    let all = of_questions.chain(others().map(|table| vec![table]));
    let made = all.map(|tables| {
        let class = make(py, &tables)?;
        module.add(class.bind(py).name()?, class.clone_ref(py))?;
        Ok(Class { tables, class })
    });
    let made = made.collect::<PyResult<Vec<Class>>>()?;
    // A second interpreter in the process would find it set.
    let _ = CLASSES.set(py, made);
    Ok(())
}

/// `process` as `Process`, `kept file` as `KeptFile`.
fn class_name(tables: &[&'static Table]) -> String {
    let words = tables.first().map_or("", |table| table.name).split(' ');
    let named = words.flat_map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters)
    });
    named.collect()
}

fn make(py: Python<'_>, tables: &[&'static Table]) -> PyResult<Py<PyType>> {
    let name = class_name(tables);
    let body = PyDict::new(py);
    body.set_item("__module__", "pyosier")?;
    body.set_item("__slots__", PyTuple::empty(py))?;
    let columns = Columns::of(tables);
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    body.set_item(
        "__doc__",
        format!(
            "A row about a {}. docs/rows.md has the fields: {}.",
            tables.first().map_or("", |table| table.name),
            names.join(", ")
        ),
    )?;
    body.set_item("fields", PyTuple::new(py, &names)?)?;
    for column in columns.iter() {
        let place = |table: &&Table| table.columns.iter().position(|own| own.name == column.name);
        let field = Field {
            column,
            places: tables.iter().map(|table| (*table, place(table))).collect(),
        };
        body.set_item(column.name, Bound::new(py, field)?)?;
    }
    let bases = (py.get_type::<Row>(),);
    let class = py.get_type::<PyType>().call1((name, bases, body))?;
    Ok(class.cast_into::<PyType>()?.unbind())
}

/// The value of one column, of rows of every kind that may have it.
#[pyclass(frozen, module = "pyosier")]
pub(crate) struct Field {
    column: &'static Column,
    places: Vec<(&'static Table, Option<usize>)>,
}

impl Field {
    fn read_only(&self) -> PyErr {
        PyAttributeError::new_err(format!(
            "{} cannot be set: rows are read only",
            self.column.name
        ))
    }
}

#[pymethods]
impl Field {
    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        row: Option<&Bound<'py, PyAny>>,
        _class: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Some(row) = row.filter(|row| !row.is_none()) else {
            return Ok(slf.clone().into_any());
        };
        let row = row.cast::<Row>()?.get();
        let mut places = slf.get().places.iter();
        let known = places.find(|(table, _)| std::ptr::eq(*table, row.table));
        match known.and_then(|(_, place)| *place) {
            Some(place) => row.values.bind(slf.py()).get_item(place),
            // The other system's rows have it.
            None => Ok(slf.py().None().into_bound(slf.py())),
        }
    }

    fn __set__(&self, _row: &Bound<'_, PyAny>, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(self.read_only())
    }

    fn __delete__(&self, _row: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(self.read_only())
    }

    /// What the values are: address, number, flag, text, bytes or instant.
    #[getter]
    const fn kind(&self) -> &'static str {
        match self.column.kind {
            Kind::Address => "address",
            Kind::Number | Kind::Signed => "number",
            Kind::Flag => "flag",
            Kind::Text => "text",
            Kind::Bytes => "bytes",
            Kind::Instant => "instant",
        }
    }

    fn __repr__(&self) -> String {
        format!("<field {} ({})>", self.column.name, self.kind())
    }
}

impl Row {
    /// The names of the row's own columns, each with its value.
    fn items<'py>(
        &self,
        py: Python<'py>,
    ) -> impl Iterator<Item = (&'static Column, Bound<'py, PyAny>)> {
        let values = self.values.bind(py).iter();
        self.table.columns.iter().zip(values)
    }
}

#[pymethods]
impl Row {
    /// Only answers make rows.
    #[new]
    #[classmethod]
    fn new(
        class: &Bound<'_, PyType>,
        kind: usize,
        values: Py<PyTuple>,
        absent: Py<PyDict>,
        exact: Py<PyDict>,
    ) -> PyResult<Self> {
        let py = class.py();
        let classes = CLASSES.get(py).map_or(&[][..], Vec::as_slice);
        let known = classes.iter().find(|known| known.class.is(class));
        let table = known.and_then(|known| known.tables.get(kind).copied());
        let table = table.ok_or_else(|| PyTypeError::new_err("answers make rows"))?;
        if values.bind(py).len() != table.columns.len() {
            return Err(PyValueError::new_err("a row has a value for each column"));
        }
        Ok(Self {
            table,
            values,
            absent,
            exact,
        })
    }

    /// The names of the columns of every kind of row of the class.
    #[classattr]
    fn fields(py: Python<'_>) -> Py<PyTuple> {
        PyTuple::empty(py).unbind()
    }

    /// Why values are None: an Absent for the name of each such column.
    #[getter]
    fn absent<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.absent.bind(py).copy()
    }

    /// Number of values that exist in the guest and could not be read.
    #[getter]
    fn losses(&self, py: Python<'_>) -> usize {
        let absences = self.absent.bind(py).values();
        let lost = |why: &Bound<'_, PyAny>| {
            let why = why.cast::<Absent>();
            why.is_ok_and(|why| why.get().0.is_loss())
        };
        absences.iter().filter(lost).count()
    }

    /// The row's own columns and their values, in the order of every format.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        for (column, value) in self.items(py) {
            all.set_item(column.name, value)?;
        }
        Ok(all)
    }

    /// The value of a column without what reading it made of it.
    ///
    /// Names and paths are ``bytes``, a Linux command line is the bytes of its arguments, each ended by
    /// a NUL, an instant is nanoseconds since 1970-01-01 UTC. Everything else is as the attribute has it.
    fn raw<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        if let Some(exact) = self.exact.bind(py).get_item(name)? {
            return Ok(exact);
        }
        let found = self.items(py).find(|(column, _)| column.name == name);
        let (column, value) = found.ok_or_else(|| PyKeyError::new_err(name.to_owned()))?;
        if column.kind == Kind::Bytes && !value.is_none() {
            return value.call_method1("encode", ("utf-8", "surrogateescape"));
        }
        Ok(value)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let mut fields = Vec::new();
        for (column, value) in slf.get().items(py) {
            let address = column.kind == Kind::Address;
            let text = match value.extract::<u64>() {
                Ok(address_of) if address => format!("{address_of:#x}"),
                _ => value.repr()?.to_string(),
            };
            fields.push(format!("{}={text}", column.name));
        }
        Ok(format!("{}({})", slf.get_type().name()?, fields.join(", ")))
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Ok(other) = other.cast::<Self>() else {
            return Ok(false);
        };
        let other = other.get();
        Ok(std::ptr::eq(self.table, other.table)
            && self.values.bind(py).eq(&other.values)?
            && self.absent.bind(py).eq(&other.absent)?
            && self.exact.bind(py).eq(&other.exact)?)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.values.bind(py).hash()
    }
}

/// The number of a table among a class's.
fn place(class: &Class, table: &'static Table) -> Option<usize> {
    class
        .tables
        .iter()
        .position(|own| std::ptr::eq(*own, table))
}

/// A row as an object of its class.
pub(crate) fn object<'py>(py: Python<'py>, row: &OwnedRow) -> PyResult<Bound<'py, PyAny>> {
    let classes = CLASSES.get(py).map_or(&[][..], Vec::as_slice);
    let known = classes
        .iter()
        .find_map(|known| Some((place(known, row.table)?, known)));
    let (kind, known) = known.ok_or_else(|| PyTypeError::new_err("no class has such rows"))?;
    let (absent, exact) = (PyDict::new(py), PyDict::new(py));
    let mut values = Vec::with_capacity(row.cells.len());
    for (column, cell) in row.table.columns.iter().zip(&row.cells) {
        match cell {
            Owned::Absent(why) => absent.set_item(column.name, Absent((**why).clone()))?,
            Owned::Arguments(bytes) => exact.set_item(column.name, PyBytes::new(py, bytes))?,
            Owned::Instant(at) => exact.set_item(column.name, at)?,
            _ => {}
        }
        values.push(value(py, cell)?);
    }
    let values = PyTuple::new(py, values)?;
    known.class.bind(py).call1((kind, values, absent, exact))
}

/// A cell as a Python value.
fn value<'py>(py: Python<'py>, cell: &Owned) -> PyResult<Bound<'py, PyAny>> {
    Ok(match cell {
        Owned::Address(value) | Owned::Number(value) => value.into_pyobject(py)?.into_any(),
        Owned::Numeral(text) => match text.parse::<i64>() {
            Ok(value) => value.into_pyobject(py)?.into_any(),
            Err(_) => text.parse::<f64>()?.into_pyobject(py)?.into_any(),
        },
        Owned::Flag(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Owned::Word(text) => PyString::new(py, text).into_any(),
        Owned::Text(text) => PyString::new(py, text).into_any(),
        Owned::Bytes(bytes) => text(py, bytes)?.into_any(),
        Owned::Arguments(bytes) => {
            let mut line = String::new();
            // Most are plain, and then the line is made of the bytes as it stands.
            if std::str::from_utf8(bytes).is_ok() {
                join_arguments(bytes, &mut line);
                PyString::new(py, &line).into_any()
            } else {
                let body = bytes.strip_suffix(&[0]).unwrap_or(bytes);
                let blank = |&byte: &u8| if byte == 0 { b' ' } else { byte };
                text(py, &body.iter().map(blank).collect::<Vec<u8>>())?.into_any()
            }
        }
        Owned::Instant(at) => instant(py, *at)?,
        Owned::Absent(_) | Owned::Null => py.None().into_bound(py),
    })
}

/// Bytes as text; what is not UTF-8 is escaped as Python's file names are.
pub(crate) fn text<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(PyString::new(py, text));
    }
    let bytes = PyBytes::new(py, bytes).into_any();
    PyString::from_encoded_object(&bytes, Some(c"utf-8"), Some(c"surrogateescape"))
}

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Nanoseconds since 1970 as a `datetime`, which has microseconds.
pub(crate) fn instant(py: Python<'_>, nanoseconds: i64) -> PyResult<Bound<'_, PyAny>> {
    static EPOCH: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let epoch = EPOCH.get_or_try_init(py, || -> PyResult<Py<PyAny>> {
        let module = py.import("datetime")?;
        let utc = module.getattr("timezone")?.getattr("utc")?;
        let epoch = module.getattr("datetime")?;
        Ok(epoch.call1((1970, 1, 1, 0, 0, 0, 0, utc))?.unbind())
    })?;
    let microseconds = nanoseconds.div_euclid(1000);
    let rest = microseconds.rem_euclid(DAY);
    let part = |value: i64| i32::try_from(value).unwrap_or_default();
    let since = PyDelta::new(
        py,
        part(microseconds.div_euclid(DAY)),
        part(rest.div_euclid(1_000_000)),
        part(rest.rem_euclid(1_000_000)),
        false,
    )?;
    epoch.bind(py).add(since)
}
