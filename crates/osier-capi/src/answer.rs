//! Answers: rows one after another, the one that is shown kept until the next.

use std::ffi::{CStr, CString};

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use osier::ask::Question;
use osier::tables::{Cells, Row};
use osier::{VirtAddr, WalkEnds};

use crate::arrow::Batches;
use crate::error::{Error, text};
use crate::filling::{Held, Shown};
use crate::guest::Guest;
use crate::row;

/// The rows of a question.
#[derive(Debug)]
pub struct Answer {
    asked: Asked,
    question: Question,
    of: Guest,
    held: Held,
    ends: CString,
    losses: usize,
}

#[derive(Debug)]
enum Asked {
    Processes(Walk<osier::Process, row::Process>),
    Handles(Walk<osier::Handle, row::Handle>),
    Current(Walk<osier::Current, row::Current>),
    Threads(Walk<osier::Thread, row::Thread>),
    Modules(Walk<osier::Module, row::Module>),
    Mappings(Walk<osier::Mapping, row::Mapping>),
    Pages(Walk<osier::PageRange, row::PageRange>),
    Files(Walk<osier::OpenFile, row::OpenFile>),
    Environment(Walk<osier::Variable, row::Variable>),
    Mounts(Walk<osier::Mount, row::Mount>),
    Sockets(Walk<osier::Socket, row::Socket>),
    Interfaces(Walk<osier::Interface, row::Interface>),
    Scan(Walk<osier::Scanned, row::Scanned>),
    Findings(Walk<osier::Finding, row::Finding>),
    Log(Walk<osier::LogLine, row::LogLine>),
    Wide(Box<Walk<osier::Process, row::WideProcess>>),
}

/// The rows to come, and the one that is shown.
#[derive(Debug)]
struct Walk<R, S> {
    rows: osier::Answer<R>,
    shown: S,
}

impl<R: Row, S: Shown> Walk<R, S> {
    fn of(rows: osier::Answer<R>) -> Self {
        Self {
            rows,
            shown: S::default(),
        }
    }

    fn drain(&mut self, batches: &mut Batches, losses: &mut usize) {
        for row in self.rows.by_ref() {
            let cells = Cells::of(&row);
            *losses = losses.saturating_add(cells.losses());
            batches.push(&cells);
        }
    }

    fn next(&mut self, held: &mut Held, losses: &mut usize) -> Option<&S> {
        let row = self.rows.next()?;
        let cells = Cells::of(&row);
        *losses = losses.saturating_add(cells.losses());
        self.shown = S::show(&cells, held);
        Some(&self.shown)
    }
}

macro_rules! each {
    ($asked:expr, $walk:ident => $value:expr) => {
        match $asked {
            Asked::Processes($walk) => $value,
            Asked::Handles($walk) => $value,
            Asked::Current($walk) => $value,
            Asked::Threads($walk) => $value,
            Asked::Modules($walk) => $value,
            Asked::Mappings($walk) => $value,
            Asked::Pages($walk) => $value,
            Asked::Files($walk) => $value,
            Asked::Environment($walk) => $value,
            Asked::Mounts($walk) => $value,
            Asked::Sockets($walk) => $value,
            Asked::Interfaces($walk) => $value,
            Asked::Scan($walk) => $value,
            Asked::Findings($walk) => $value,
            Asked::Log($walk) => $value,
            Asked::Wide($walk) => $value,
        }
    };
}

macro_rules! next {
    ($($name:ident $variant:ident $row:ident,)*) => {
        $(
            /// The next row; `None` after the last, and of an answer to another question.
            pub(crate) fn $name(&mut self) -> Option<&row::$row> {
                match &mut self.asked {
                    Asked::$variant(walk) => walk.next(&mut self.held, &mut self.losses),
                    _ => None,
                }
            }
        )*
    };
}

impl Answer {
    /// Asks `question` of every process, or of that at `of` alone.
    pub(crate) fn new(
        asked: &Guest,
        question: Question,
        of: Option<VirtAddr>,
    ) -> Result<Self, Error> {
        let guest = &asked.guest;
        if of.is_some() && !question.is_of_a_process() {
            return Err(Error::argument("this question is not asked of one process"));
        }
        let rows = match question {
            Question::Processes => Asked::Processes(Walk::of(guest.processes())),
            Question::Handles => Asked::Handles(Walk::of(guest.handles())),
            Question::Current => Asked::Current(Walk::of(guest.current())),
            Question::Threads => Asked::Threads(Walk::of(guest.threads(of))),
            Question::Modules => Asked::Modules(Walk::of(guest.modules())),
            Question::Mappings => Asked::Mappings(Walk::of(guest.mappings(of))),
            Question::Pages => Asked::Pages(Walk::of(guest.pages(of))),
            Question::Files => Asked::Files(Walk::of(guest.files(of))),
            Question::Wide => Asked::Wide(Box::new(Walk::of(guest.wide()))),
            Question::Mounts => Asked::Mounts(Walk::of(guest.mounts(of))),
            Question::Sockets => Asked::Sockets(Walk::of(guest.sockets())),
            Question::Interfaces => Asked::Interfaces(Walk::of(guest.interfaces())),
            Question::Scan => Asked::Scan(Walk::of(guest.scan())),
            Question::Findings => Asked::Findings(Walk::of(guest.findings())),
            Question::Log => Asked::Log(Walk::of(guest.log())),
            Question::Environment => Asked::Environment(Walk::of(guest.environment(of))),
        };
        Ok(Self {
            asked: rows,
            question,
            of: asked.clone(),
            held: Held::default(),
            ends: CString::default(),
            losses: 0,
        })
    }

    next! {
        next_process Processes Process,
        next_handle Handles Handle,
        next_current Current Current,
        next_thread Threads Thread,
        next_module Modules Module,
        next_mapping Mappings Mapping,
        next_page_range Pages PageRange,
        next_open_file Files OpenFile,
        next_variable Environment Variable,
        next_mount Mounts Mount,
        next_socket Sockets Socket,
        next_interface Interfaces Interface,
        next_scanned Scan Scanned,
        next_finding Findings Finding,
        next_log_line Log LogLine,
        next_wide_process Wide WideProcess,
    }

    /// Why a field of the row that is shown is absent.
    pub(crate) fn absence(&self, field: usize) -> Option<&CStr> {
        self.held.absence(field)
    }

    /// The rows that are left, as a table.
    pub(crate) fn arrow(&mut self) -> Result<FFI_ArrowArrayStream, Error> {
        let mut batches = Batches::new(self.question, &self.of)?;
        each!(&mut self.asked, walk => walk.drain(&mut batches, &mut self.losses));
        self.of.reached.sound()?;
        Ok(batches.stream())
    }

    /// Whether every row was given and every walk closed.
    pub(crate) fn is_complete(&self) -> bool {
        let complete = each!(&self.asked, walk => walk.rows.is_complete());
        complete && self.of.reached.trouble().is_none()
    }

    /// Values of the rows so far that exist in the guest and could not be read.
    pub(crate) fn losses(&self) -> usize {
        self.losses
    }

    /// How the walks so far ended, in words.
    pub(crate) fn ends(&mut self) -> &CStr {
        let ends: &WalkEnds = each!(&self.asked, walk => walk.rows.ends());
        let mut said = ends.to_string();
        if let Some(trouble) = self.of.reached.trouble() {
            said = format!("{said}; {trouble}");
        }
        self.ends = text(said.into());
        &self.ends
    }
}
