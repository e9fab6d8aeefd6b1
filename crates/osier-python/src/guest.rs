//! Guests: snapshots whose kernel was found.

use std::path::PathBuf;
use std::sync::Arc;

use osier::SeenExt as _;
use osier::ask::Question;
use osier::format::escape_bytes;
use osier::panda::{Sentinel, osi_test};
use osier::sheet::Sheet;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::answer::Answer;
use crate::errors::plain;
use crate::held::Held;
use crate::memory::{self, Translation};
use crate::reached::Reached;
use crate::row::instant;
use crate::said::{self, Paths, limit, taskds};
use crate::search::{Texts, Wanted, hunt, kept};
use crate::tree::Tree;
use crate::types::{Object, Type};
use crate::walk::{Of, Source};
use crate::written::{Dumped, write_dump, write_kept};

/// A snapshot whose kernel was found, ready to answer questions.
///
/// Several threads may ask it at once; every question works without the interpreter's lock. It is a
/// context manager: what was made of it raises ClosedError after its end.
#[pyclass(frozen, module = "pyosier")]
pub(crate) struct Guest(Held);

impl Guest {
    pub(crate) fn new(guest: osier::Guest, reached: Reached) -> Self {
        Self(Held::new(guest, reached))
    }

    /// What its address is reached by.
    pub(crate) const fn reached(&self) -> &Reached {
        self.0.reached()
    }

    /// What was made of the guest, unless something could not be read of its address meanwhile.
    pub(crate) fn sound<T>(&self, py: Python<'_>, made: PyResult<T>) -> PyResult<T> {
        self.0.sound(py, made)
    }

    pub(crate) fn held(&self, py: Python<'_>) -> PyResult<osier::Guest> {
        self.0.guest(py)
    }

    fn answer(
        &self,
        py: Python<'_>,
        question: Question,
        pid: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Answer> {
        let guest = self.held(py)?;
        let of = match pid {
            None => None,
            Some(_) if !question.is_of_a_process() => {
                let wrong = format!("{} is not asked of one process", question.word());
                return Err(plain(py, "UsageError", wrong));
            }
            Some(pid) => {
                let (taskds, ends) = self.sound(py, taskds(&guest, pid))?;
                Some(Of {
                    taskds: taskds.into(),
                    ends,
                })
            }
        };
        Ok(Answer::new(self.0.clone(), Source::Question(question, of)))
    }
}

#[pymethods]
impl Guest {
    /// Every process.
    fn processes(&self, py: Python<'_>) -> PyResult<Answer> {
        self.answer(py, Question::Processes, None)
    }

    /// The handle of every process: what PANDA calls by that word, a descriptor and an address space.
    fn handles(&self, py: Python<'_>) -> PyResult<Answer> {
        self.answer(py, Question::Handles, None)
    }

    /// The process and thread that each processor runs.
    fn current(&self, py: Python<'_>) -> PyResult<Answer> {
        self.answer(py, Question::Current, None)
    }

    /// The kernel modules; drivers, on Windows.
    fn modules(&self, py: Python<'_>) -> PyResult<Answer> {
        self.answer(py, Question::Modules, None)
    }

    /// The threads of every process, or of one: a pid, or the process's row.
    #[pyo3(signature = (pid=None))]
    fn threads(&self, py: Python<'_>, pid: Option<&Bound<'_, PyAny>>) -> PyResult<Answer> {
        self.answer(py, Question::Threads, pid)
    }

    /// The mappings of every process, or of one: a pid, or the process's row.
    #[pyo3(signature = (pid=None))]
    fn maps(&self, py: Python<'_>, pid: Option<&Bound<'_, PyAny>>) -> PyResult<Answer> {
        self.answer(py, Question::Mappings, pid)
    }

    /// The present pages of every process, or of one: a pid, or the process's row.
    #[pyo3(signature = (pid=None))]
    fn pages(&self, py: Python<'_>, pid: Option<&Bound<'_, PyAny>>) -> PyResult<Answer> {
        self.answer(py, Question::Pages, pid)
    }

    /// The open files of every process, on Windows its handles, or of one: a pid, or the process's row.
    #[pyo3(signature = (pid=None))]
    fn files(&self, py: Python<'_>, pid: Option<&Bound<'_, PyAny>>) -> PyResult<Answer> {
        self.answer(py, Question::Files, pid)
    }

    /// The environment variables of every process, or of one: a pid, or the process's row.
    #[pyo3(signature = (pid=None))]
    fn env(&self, py: Python<'_>, pid: Option<&Bound<'_, PyAny>>) -> PyResult<Answer> {
        self.answer(py, Question::Environment, pid)
    }

    /// The kernel's log, the oldest record first. Linux only.
    fn log(&self, py: Python<'_>) -> PyResult<Answer> {
        self.answer(py, Question::Log, None)
    }

    /// The mounts that every process sees, or one: a pid, or the process's row. Linux only.
    #[pyo3(signature = (pid=None))]
    fn mounts(&self, py: Python<'_>, pid: Option<&Bound<'_, PyAny>>) -> PyResult<Answer> {
        self.answer(py, Question::Mounts, pid)
    }

    /// The sockets of every network namespace. Linux only.
    fn sockets(&self, py: Python<'_>) -> PyResult<Answer> {
        self.answer(py, Question::Sockets, None)
    }

    /// The network interfaces of every network namespace. Linux only.
    fn net(&self, py: Python<'_>) -> PyResult<Answer> {
        self.answer(py, Question::Interfaces, None)
    }

    /// Tasks and modules by their own bytes, linked into the kernel's lists or not.
    fn scan(&self, py: Python<'_>) -> PyResult<Answer> {
        self.answer(py, Question::Scan, None)
    }

    /// What does not fit, by the rules of docs/findings.md.
    fn findings(&self, py: Python<'_>) -> PyResult<Answer> {
        self.answer(py, Question::Findings, None)
    }

    /// Every process with all that is known of it, as ``ps --wide`` shows it.
    fn wide(&self, py: Python<'_>) -> PyResult<Answer> {
        self.answer(py, Question::Wide, None)
    }

    /// The processes by their parents: print it, or look at it in a notebook.
    fn tree(&self, py: Python<'_>) -> PyResult<Tree> {
        let tree = Tree::of(py, &self.held(py)?);
        self.sound(py, tree)
    }

    /// Any question, by the word of the command that asks it: ps, maps and so on.
    #[pyo3(signature = (question, pid=None))]
    fn ask(
        &self,
        py: Python<'_>,
        question: &str,
        pid: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Answer> {
        self.answer(py, said::question(py, question)?, pid)
    }

    /// Places in memory where something stands: text, wide_text (UTF-16), hex, regex, yara (files of rules), each one or
    /// several, as the command's options have them (docs/search.md).
    ///
    /// All memory of the machine is searched, with pid that of one process, with kernel the kernel's. At time_limit
    /// seconds it ends. The answer keeps its rows; losses counts pages that are not there to be searched.
    #[pyo3(signature = (*, text=None, wide_text=None, hex=None, regex=None, yara=None, pid=None, kernel=false, time_limit=None))]
    #[expect(clippy::too_many_arguments, reason = "each has a name in Python")]
    fn search(
        &self,
        py: Python<'_>,
        text: Option<Texts>,
        wide_text: Option<Texts>,
        hex: Option<Texts>,
        regex: Option<Texts>,
        yara: Option<Paths>,
        pid: Option<&Bound<'_, PyAny>>,
        kernel: bool,
        time_limit: Option<f64>,
    ) -> PyResult<Answer> {
        let wanted = Wanted {
            text,
            wide_text,
            hex,
            regex,
            yara,
        };
        let limit = time_limit.map(|seconds| limit(py, seconds)).transpose()?;
        let found = hunt(py, self.held(py)?, wanted, pid, kernel, limit);
        let found = self.sound(py, found)?;
        let source = Source::Found(Arc::new(found));
        Ok(Answer::new(self.0.clone(), source))
    }

    /// The files of which the kernel keeps pages, as the command recover lists them. Linux only.
    ///
    /// The answer keeps its rows.
    fn kept(&self, py: Python<'_>) -> PyResult<Answer> {
        let found = kept(py, self.held(py)?);
        let found = self.sound(py, found)?;
        Ok(Answer::new(self.0.clone(), Source::Found(found)))
    }

    /// Write a file of which the kernel keeps pages to the file out: a row of kept, or its mapping. What is not in
    /// memory is a hole, and is told.
    fn recover(&self, py: Python<'_>, file: &Bound<'_, PyAny>, out: PathBuf) -> PyResult<Dumped> {
        let written = write_kept(py, self.held(py)?, file, out);
        self.sound(py, written)
    }

    /// Write a process to the file out: of Linux as an ELF core, of Windows as a minidump. With exe its program, with
    /// module a kernel module, with range (from, to) that memory, of the process or of the kernel (docs/dump.md).
    #[pyo3(signature = (out, pid=None, *, exe=false, module=None, range=None))]
    fn dump(
        &self,
        py: Python<'_>,
        out: PathBuf,
        pid: Option<&Bound<'_, PyAny>>,
        exe: bool,
        module: Option<String>,
        range: Option<(u64, u64)>,
    ) -> PyResult<Dumped> {
        let written = write_dump(py, self.held(py)?, out, pid, exe, module, range);
        self.sound(py, written)
    }

    /// What PANDA's osi_test prints of this instant, byte for byte.
    fn osi_test<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let guest = self.held(py)?;
        let printed = py.detach(|| {
            let mut text = Vec::new();
            let (osi, width) = (guest.provider(), guest.pointer_bytes());
            osi_test(&*osi, width, Sentinel::Shown, &mut text).map(|_| text)
        });
        let printed = printed.map_err(|error| plain(py, "UnsupportedError", error.to_string()));
        Ok(PyBytes::new(py, &self.sound(py, printed)?))
    }

    /// What the command info shows of the file, the machine and the kernel: a name and a value for each line. A line that
    /// goes on with the one above has no name.
    fn info(&self, py: Python<'_>) -> PyResult<Vec<(String, String)>> {
        let guest = self.held(py)?;
        let mut sheet = Sheet::machine(guest.info(), guest.machine(), None);
        sheet.join(Sheet::kernel(&guest));
        let lines = sheet.lines();
        let lines = lines.map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.sound(py, Ok(lines.collect()))
    }

    /// Bytes of memory at a virtual address: the kernel's, or those of the process that is named.
    ///
    /// Raises FaultError at the first byte that cannot be read.
    #[pyo3(signature = (address, length, pid=None, *, physical=false))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        address: u64,
        length: u64,
        pid: Option<&Bound<'py, PyAny>>,
        physical: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let guest = self.held(py)?;
        if physical {
            if pid.is_some() {
                let wrong = "a physical address is no process's";
                return Err(plain(py, "UsageError", wrong));
            }
            let read = memory::read_physical(py, &guest.machine().memory, address, length);
            return self.sound(py, read);
        }
        let space = self.sound(py, memory::space(py, &guest, pid))?;
        self.sound(py, memory::read(py, &space, address, length))
    }

    /// Where a virtual address leads: the kernel's, or that of the process that is named.
    ///
    /// Raises FaultError when it leads nowhere.
    #[pyo3(signature = (address, pid=None))]
    fn translate(
        &self,
        py: Python<'_>,
        address: u64,
        pid: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Translation> {
        let space = self.sound(py, memory::space(py, &self.held(py)?, pid))?;
        self.sound(py, memory::translate(py, &space, address))
    }

    /// The running kernel's address of a symbol. Raises UnknownNameError when the profile has none such.
    ///
    /// Not for per-CPU symbols, which are offsets into a processor's own area.
    fn symbol(&self, py: Python<'_>, name: &str) -> PyResult<u64> {
        let found = self.held(py)?.symbol(name);
        let unknown = || {
            let name = osier_text::visible(name);
            plain(
                py,
                "UnknownNameError",
                format!("the profile has no symbol {name}"),
            )
        };
        Ok(found.ok_or_else(unknown)?.0)
    }

    /// A structure or union of the kernel. Raises UnknownNameError when the profile does not keep it.
    ///
    /// A profile keeps what the questions read, not all of a kernel's types.
    #[pyo3(name = "type")]
    fn type_(&self, py: Python<'_>, name: &str) -> PyResult<Type> {
        Type::new(py, self.held(py)?.profile(), name)
    }

    /// The names of the types that the profile keeps.
    #[getter]
    fn types(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let guest = self.held(py)?;
        let types = guest.profile().types().iter();
        Ok(types.map(|known| known.name.clone()).collect())
    }

    /// A structure in memory, at a virtual address: the kernel's, or that of the process that is named.
    #[pyo3(signature = (name, address, pid=None))]
    fn object(
        &self,
        py: Python<'_>,
        name: &str,
        address: u64,
        pid: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Object> {
        let guest = self.held(py)?;
        let space = memory::space(py, &guest, pid)?;
        let of = (self.0.clone(), guest.profile().clone());
        Object::new(py, of, space, name, address)
    }

    /// The file that holds the memory.
    #[getter]
    fn path(&self, py: Python<'_>) -> PyResult<std::path::PathBuf> {
        Ok(self.held(py)?.info().file.clone())
    }

    /// The format of the file.
    #[getter]
    fn format(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.held(py)?.info().format.name())
    }

    /// The operating system: linux, windows, or other.
    #[getter]
    fn os(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.held(py)?.located().system())
    }

    /// The banner of a Linux kernel, the build string of Windows.
    #[getter]
    fn banner(&self, py: Python<'_>) -> PyResult<String> {
        let mut text = String::new();
        escape_bytes(&self.held(py)?.kernel().banner, &mut text);
        Ok(text)
    }

    /// The GNU build id, or GUID and age of the PDB, in hexadecimal.
    #[getter]
    fn build_id(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(self.held(py)?.kernel().build_id.clone())
    }

    /// What was decided about the kernel, in the order of the decisions: about, value, by.
    #[getter]
    fn premises(&self, py: Python<'_>) -> PyResult<Vec<(&'static str, String, String)>> {
        let guest = self.held(py)?;
        let premises = guest.kernel().premises.iter();
        let parts = premises.map(|one| (one.about, one.value.clone(), one.by.clone()));
        Ok(parts.collect())
    }

    /// Where the kernel's types and symbols came from.
    #[getter]
    fn profile_source(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.held(py)?.source().to_string())
    }

    /// Bytes of the kernel's pointers: 4 or 8.
    #[getter]
    fn pointer_bytes(&self, py: Python<'_>) -> PyResult<u8> {
        Ok(self.held(py)?.pointer_bytes())
    }

    /// What the guest's wall clock showed; None when it is not known.
    #[getter]
    fn clock<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let clock = self.held(py)?.clock();
        clock.value().map(|at| instant(py, at)).transpose()
    }

    /// What is odd about the file and may make answers wrong or short.
    #[getter]
    fn doubts(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let guest = self.held(py)?;
        Ok(guest.info().doubts().map(ToString::to_string).collect())
    }

    /// Let go of the file. What was made of the guest raises ClosedError from now on.
    fn close(&self) {
        self.0.close();
    }

    /// Whether the guest was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.0.is_closed()
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyResult<PyRef<'_, Self>> {
        slf.held(slf.py())?;
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, pyo3::types::PyTuple>) {
        self.close();
    }

    fn __repr__(&self) -> String {
        let closed = if self.closed() { " (closed)" } else { "" };
        format!("<Guest {}{closed}>", self.0.label())
    }
}
