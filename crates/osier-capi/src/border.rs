//! What C calls. All unsafe code of the crate is here, and each of its blocks rests on what the header
//! asks of the caller: a pointer is NULL or came from the function that makes it, a string ends with a NUL,
//! and nothing is used after it was freed.
//!
//! No panic leaves a function: it becomes an error of kind `OSIER_ERROR_KIND_INTERNAL`, or the answer
//! that means nothing.

#![allow(unsafe_code, reason = "pointers of C are raw")]

use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use osier::{SeenExt as _, VirtAddr};

use crate::answer::Answer;
use crate::error::{Error, ErrorKind};
use crate::guest::{Guest, Options, Said};
use crate::panda::{self, PandaList, PandaModule, PandaProcess, PandaThread};
use crate::question::Question;
use crate::row;

/// Runs `what`; a panic is `otherwise`.
fn guarded<T>(otherwise: T, what: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(what)).unwrap_or(otherwise)
}

/// What C's pointer points to; `None` of NULL.
///
/// # Safety
///
/// The pointer is NULL or to a value that lives through the call and is not written to meanwhile.
unsafe fn borrowed<'a, T>(pointer: *const T) -> Option<&'a T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }
}

/// C's string; `None` of NULL.
///
/// # Safety
///
/// The pointer is NULL or to bytes that end with a NUL and live through the call.
unsafe fn string<'a>(pointer: *const c_char) -> Option<&'a CStr> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: not NULL; the rest is the caller's promise.
    Some(unsafe { CStr::from_ptr(pointer) })
}

/// Hands a value to C, which gives it back to the function that frees it.
fn given<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Takes a value back from C and drops it.
///
/// # Safety
///
/// The pointer is NULL or came from [`given`] and was not taken back before.
unsafe fn taken<T>(pointer: *mut T) {
    if !pointer.is_null() {
        // SAFETY: made by `Box::into_raw`, and taken back once.
        drop(guarded(None, || Some(unsafe { Box::from_raw(pointer) })));
    }
}

/// Runs `what`; where it fails, the error goes to `error`, if C wants it, and NULL comes back.
///
/// # Safety
///
/// `error` is NULL or to a place for a pointer.
unsafe fn made<T>(error: *mut *mut Error, what: impl FnOnce() -> Result<T, Error>) -> Option<T> {
    let panicked = || Err(Error::new(ErrorKind::Internal, "a fault of Osier itself"));
    let outcome = catch_unwind(AssertUnwindSafe(what)).unwrap_or_else(|_| panicked());
    let (value, why) = match outcome {
        Ok(value) => (Some(value), ptr::null_mut()),
        Err(why) => (None, given(why)),
    };
    if error.is_null() {
        // SAFETY: made a line above, and C never saw it.
        unsafe { taken(why) };
    } else {
        // SAFETY: not NULL, and a place for a pointer by the caller's promise.
        unsafe { error.write(why) };
    }
    value
}

/// What a program said, read as far as its `struct_size` goes.
///
/// # Safety
///
/// The pointer is NULL or to `struct_size` bytes, whose strings are strings.
unsafe fn said<'a>(options: *const Options) -> Result<Said<'a>, Error> {
    if options.is_null() {
        return Ok(Said::default());
    }
    // SAFETY: not NULL, and the size is the first field of every version of the struct.
    let size = unsafe { options.cast::<usize>().read() };
    let (least, own) = (size_of::<usize>(), size_of::<Options>());
    if size < least || size > 4096 {
        return Err(Error::argument(
            "struct_size is not the size of osier_options",
        ));
    }
    let mut all = Options::default();
    // SAFETY: both have as many bytes as are copied, and any bytes are a value of each field.
    unsafe {
        let from = options.cast::<u8>();
        ptr::copy_nonoverlapping(from, ptr::from_mut(&mut all).cast(), size.min(own));
        // A field that this library does not know must not be set.
        for at in own..size {
            if from.add(at).read() != 0 {
                return Err(Error::argument("an option that this library does not know"));
            }
        }
        Ok(Said {
            profile: string(all.profile),
            profiles: string(all.profiles),
            os: string(all.os),
            cache: string(all.cache),
            registers: string(all.registers),
            table_root: (all.has_table_root != 0).then_some(all.table_root),
            no_shipped: all.no_shipped != 0,
            infer: all.infer != 0,
            search: all.search != 0,
        })
    }
}

const NO_GUEST: &str = "the guest is NULL";

/// Opens the snapshot at `path`, a file or an `http://` or `https://` address, and finds its kernel. `options`
/// may be NULL. Where it cannot be done,
/// NULL comes back and `*error`, unless `error` is NULL, says why; free it by `osier_error_free`.
///
/// A guest may be asked by several threads at once. Free it by `osier_guest_free`; answers live on.
///
/// # Safety
///
/// The pointers are as said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_open(
    path: *const c_char,
    options: *const Options,
    error: *mut *mut Error,
) -> *mut Guest {
    let open = || {
        // SAFETY: the caller's promise.
        let (path, said) = unsafe { (string(path), said(options)?) };
        Guest::open(
            path.ok_or_else(|| Error::argument("the path is NULL"))?,
            &said,
        )
    };
    // SAFETY: the caller's promise.
    unsafe { made(error, open) }.map_or(ptr::null_mut(), given)
}

/// The same guest once more, for another owner; NULL of NULL.
///
/// # Safety
///
/// The guest is NULL or was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_guest_clone(guest: *const Guest) -> *mut Guest {
    // SAFETY: the caller's promise.
    let guest = unsafe { borrowed(guest) };
    guarded(ptr::null_mut(), || {
        guest.map_or(ptr::null_mut(), |guest| given(guest.clone()))
    })
}

/// Frees a guest; does nothing with NULL.
///
/// # Safety
///
/// The guest is NULL or was not freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_guest_free(guest: *mut Guest) {
    // SAFETY: the caller's promise.
    unsafe { taken(guest) };
}

/// The kernel's banner or build string, empty where it is not known. It lives as long as the guest.
///
/// # Safety
///
/// The guest was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_guest_kernel(guest: *const Guest) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { borrowed(guest) }.map_or(ptr::null(), |guest| guest.kernel().as_ptr())
}

/// Whether the guest runs Windows; otherwise it runs Linux.
///
/// # Safety
///
/// The guest was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_guest_is_windows(guest: *const Guest) -> bool {
    // SAFETY: the caller's promise.
    unsafe { borrowed(guest) }.is_some_and(Guest::is_windows)
}

/// Bytes of the guest kernel's pointers: 4 or 8; 0 of NULL.
///
/// # Safety
///
/// The guest was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_guest_pointer_bytes(guest: *const Guest) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { borrowed(guest) }.map_or(0, |guest| u32::from(guest.guest.pointer_bytes()))
}

/// Reads `len` bytes of guest memory at the virtual `address` into `into`: as the process at `taskd`
/// sees it, or as the kernel does when `taskd` is 0. All or nothing: where a byte cannot be read, the
/// error says which and why, and what `into` holds means nothing.
///
/// # Safety
///
/// `into` is to `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_read(
    guest: *const Guest,
    taskd: u64,
    address: u64,
    into: *mut u8,
    len: usize,
    error: *mut *mut Error,
) -> bool {
    let read = || {
        // SAFETY: the caller's promise.
        let guest = unsafe { borrowed(guest) }.ok_or_else(|| Error::argument(NO_GUEST))?;
        if len == 0 {
            return Ok(());
        }
        if into.is_null() || isize::try_from(len).is_err() {
            return Err(Error::argument("there is no place for the bytes"));
        }
        // SAFETY: `len` bytes by the caller's promise; they are written before they are read.
        let into = unsafe {
            ptr::write_bytes(into, 0, len);
            std::slice::from_raw_parts_mut(into, len)
        };
        guest.read((taskd != 0).then_some(VirtAddr(taskd)), address, into)
    };
    // SAFETY: the caller's promise.
    unsafe { made(error, read) }.is_some()
}

/// Puts the running kernel's address of the symbol `name` into `*address`; false when its profile has no
/// such symbol.
///
/// # Safety
///
/// The pointers are as said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_symbol(
    guest: *const Guest,
    name: *const c_char,
    address: *mut u64,
) -> bool {
    // SAFETY: the caller's promise.
    let (guest, name) = unsafe { (borrowed(guest), string(name)) };
    let found = guarded(None, || {
        let name = name?.to_str().ok()?;
        guest?.guest.symbol(name)
    });
    let (Some(found), false) = (found, address.is_null()) else {
        return false;
    };
    // SAFETY: not NULL, and a place for a number by the caller's promise.
    unsafe { address.write(found.0) };
    true
}

/// Asks a question: an `osier_question`. `taskd` names the one process whose threads, mappings or pages
/// are asked for; 0 asks for those of every process. Rows come by the `osier_next_` function of
/// the question. Free the answer by `osier_answer_free`. One thread at a time may use it.
///
/// # Safety
///
/// The pointers are as said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_ask(
    guest: *const Guest,
    question: u32,
    taskd: u64,
    error: *mut *mut Error,
) -> *mut Answer {
    let ask = || {
        // SAFETY: the caller's promise.
        let guest = unsafe { borrowed(guest) }.ok_or_else(|| Error::argument(NO_GUEST))?;
        let question = Question::of(question);
        let question = question.ok_or_else(|| Error::argument("no question has that number"))?;
        let of = (taskd != 0).then_some(VirtAddr(taskd));
        Answer::new(guest, question, of)
    };
    // SAFETY: the caller's promise.
    unsafe { made(error, ask) }.map_or(ptr::null_mut(), given)
}

/// The next row of an answer, by the function of its kind.
///
/// # Safety
///
/// The answer is NULL or was not freed, and nobody else uses it meanwhile.
unsafe fn next<S>(answer: *mut Answer, row: impl FnOnce(&mut Answer) -> Option<&S>) -> *const S {
    // SAFETY: the caller's promise.
    let answer = unsafe { answer.as_mut() };
    guarded(ptr::null(), || {
        let row = answer.and_then(row);
        row.map_or(ptr::null(), ptr::from_ref)
    })
}

/// The next process; NULL after the last, and of an answer to another question. The row and what it
/// points to live until the next row is asked for, or the answer freed.
///
/// # Safety
///
/// The answer is NULL or was not freed, and no other thread uses it meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_next_process(answer: *mut Answer) -> *const row::Process {
    // SAFETY: the caller's promise.
    unsafe { next(answer, Answer::next_process) }
}

/// As `osier_next_process`, of process handles.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_next_handle(answer: *mut Answer) -> *const row::Handle {
    // SAFETY: the caller's promise.
    unsafe { next(answer, Answer::next_handle) }
}

/// As `osier_next_process`, of what runs on each processor.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_next_current(answer: *mut Answer) -> *const row::Current {
    // SAFETY: the caller's promise.
    unsafe { next(answer, Answer::next_current) }
}

/// As `osier_next_process`, of threads.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_next_thread(answer: *mut Answer) -> *const row::Thread {
    // SAFETY: the caller's promise.
    unsafe { next(answer, Answer::next_thread) }
}

/// As `osier_next_process`, of kernel modules.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_next_module(answer: *mut Answer) -> *const row::Module {
    // SAFETY: the caller's promise.
    unsafe { next(answer, Answer::next_module) }
}

/// As `osier_next_process`, of mappings.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_next_mapping(answer: *mut Answer) -> *const row::Mapping {
    // SAFETY: the caller's promise.
    unsafe { next(answer, Answer::next_mapping) }
}

/// As `osier_next_process`, of ranges of present pages.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_next_page_range(answer: *mut Answer) -> *const row::PageRange {
    // SAFETY: the caller's promise.
    unsafe { next(answer, Answer::next_page_range) }
}

/// As `osier_next_process`, of open files.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_next_open_file(answer: *mut Answer) -> *const row::OpenFile {
    // SAFETY: the caller's promise.
    unsafe { next(answer, Answer::next_open_file) }
}

/// As `osier_next_process`, of environment variables.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_next_variable(answer: *mut Answer) -> *const row::Variable {
    // SAFETY: the caller's promise.
    unsafe { next(answer, Answer::next_variable) }
}

/// As `osier_next_process`, of records of the kernel's log.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_next_log_line(answer: *mut Answer) -> *const row::LogLine {
    // SAFETY: the caller's promise.
    unsafe { next(answer, Answer::next_log_line) }
}

/// As `osier_next_process`, of processes with all that is known of them.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_next_wide_process(answer: *mut Answer) -> *const row::WideProcess {
    // SAFETY: the caller's promise.
    unsafe { next(answer, Answer::next_wide_process) }
}

/// As `osier_next_process`, of mounts.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_next_mount(answer: *mut Answer) -> *const row::Mount {
    // SAFETY: the caller's promise.
    unsafe { next(answer, Answer::next_mount) }
}

/// As `osier_next_process`, of sockets.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_next_socket(answer: *mut Answer) -> *const row::Socket {
    // SAFETY: the caller's promise.
    unsafe { next(answer, Answer::next_socket) }
}

/// As `osier_next_process`, of network interfaces.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_next_interface(answer: *mut Answer) -> *const row::Interface {
    // SAFETY: the caller's promise.
    unsafe { next(answer, Answer::next_interface) }
}

/// As `osier_next_process`, of what was scanned.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_next_scanned(answer: *mut Answer) -> *const row::Scanned {
    // SAFETY: the caller's promise.
    unsafe { next(answer, Answer::next_scanned) }
}

/// As `osier_next_process`, of findings.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_next_finding(answer: *mut Answer) -> *const row::Finding {
    // SAFETY: the caller's promise.
    unsafe { next(answer, Answer::next_finding) }
}

/// Why a field of the row that is shown is absent: a sentence; NULL when the field has a value. `field` is
/// its number, such as `OSIER_PROCESS_PPID`. The sentence lives as long as the row.
///
/// # Safety
///
/// The answer is NULL or was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_absence(answer: *const Answer, field: u32) -> *const c_char {
    // SAFETY: the caller's promise.
    let answer = unsafe { borrowed(answer) };
    let why = answer.and_then(|answer| answer.absence(usize::try_from(field).ok()?));
    why.map_or(ptr::null(), CStr::as_ptr)
}

/// Whether every row was given and every walk closed: nothing is missing from the list.
///
/// # Safety
///
/// The answer is NULL or was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_answer_is_complete(answer: *const Answer) -> bool {
    // SAFETY: the caller's promise.
    unsafe { borrowed(answer) }.is_some_and(Answer::is_complete)
}

/// Number of values of the rows so far that exist in the guest and could not be read.
///
/// # Safety
///
/// The answer is NULL or was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_answer_losses(answer: *const Answer) -> usize {
    // SAFETY: the caller's promise.
    unsafe { borrowed(answer) }.map_or(0, Answer::losses)
}

/// How the walks so far ended, in words. They live until this function is called again, or the
/// answer freed.
///
/// # Safety
///
/// The answer is NULL or was not freed, and no other thread uses it meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_answer_ends(answer: *mut Answer) -> *const c_char {
    // SAFETY: the caller's promise.
    let answer = unsafe { answer.as_mut() };
    guarded(ptr::null(), || {
        answer.map_or(ptr::null(), |answer| answer.ends().as_ptr())
    })
}

/// Gives the rows of an answer that were not taken yet as a table: Arrow's C stream, in batches, with the columns of
/// `docs/tables.md`. They are walked before this returns, so that `osier_answer_is_complete`, `osier_answer_losses` and
/// `osier_answer_ends` tell of all of them; `osier_next_` functions find no row afterwards. The stream is the caller's,
/// by its `release`, and lives on after the answer. Where it cannot be done, false comes back and `*into` was not
/// touched.
///
/// # Safety
///
/// The answer is NULL or was not freed, and no other thread uses it meanwhile; `into` is to a place for a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_answer_arrow(
    answer: *mut Answer,
    into: *mut FFI_ArrowArrayStream,
    error: *mut *mut Error,
) -> bool {
    let stream = || {
        // SAFETY: the caller's promise.
        let answer = unsafe { answer.as_mut() };
        let answer = answer.ok_or_else(|| Error::argument("the answer is NULL"))?;
        if into.is_null() {
            return Err(Error::argument("there is no place for the stream"));
        }
        answer.arrow()
    };
    // SAFETY: the caller's promise.
    let Some(stream) = (unsafe { made(error, stream) }) else {
        return false;
    };
    // SAFETY: not NULL, and a place for a stream by the caller's promise; what lies there is not dropped.
    unsafe { into.write(stream) };
    true
}

/// Frees an answer; does nothing with NULL.
///
/// # Safety
///
/// The answer is NULL or was not freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_answer_free(answer: *mut Answer) {
    // SAFETY: the caller's promise.
    unsafe { taken(answer) };
}

/// What sort of error; an `osier_error_kind`, or 0 of NULL.
///
/// # Safety
///
/// The error is NULL or was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_error_get_kind(error: *const Error) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { borrowed(error) }.map_or(0, |error| error.kind as u32)
}

/// The error as a sentence for people: the place, the cause, and the way out. It lives as long as the error.
///
/// # Safety
///
/// The error is NULL or was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_error_message(error: *const Error) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { borrowed(error) }.map_or(ptr::null(), |error| error.sentence.as_ptr())
}

/// Frees an error; does nothing with NULL.
///
/// # Safety
///
/// The error is NULL or was not freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_error_free(error: *mut Error) {
    // SAFETY: the caller's promise.
    unsafe { taken(error) };
}

/// The processes that PANDA lists, in its order. Free the list by `osier_panda_list_free`.
///
/// # Safety
///
/// The pointers are as said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_panda_processes(
    guest: *const Guest,
    error: *mut *mut Error,
) -> *mut PandaList {
    // SAFETY: the caller's promise.
    unsafe { listed(guest, error, |guest| Ok(PandaList::processes(guest))) }
}

/// The process that runs on processor `cpu` as PANDA has it, alone in its list.
///
/// # Safety
///
/// The pointers are as said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_panda_current_process(
    guest: *const Guest,
    cpu: u32,
    error: *mut *mut Error,
) -> *mut PandaList {
    // SAFETY: the caller's promise.
    unsafe {
        listed(guest, error, |guest| {
            Ok(PandaList::current_process(guest, cpu))
        })
    }
}

/// The process that `taskd` names as PANDA has it, alone in its list.
///
/// # Safety
///
/// The pointers are as said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_panda_process_of(
    guest: *const Guest,
    taskd: u64,
    error: *mut *mut Error,
) -> *mut PandaList {
    // SAFETY: the caller's promise.
    unsafe {
        listed(guest, error, |guest| {
            PandaList::process(guest, VirtAddr(taskd))
        })
    }
}

/// The mappings that PANDA lists of the process at `taskd`, in its order and by its names.
///
/// # Safety
///
/// The pointers are as said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_panda_mappings(
    guest: *const Guest,
    taskd: u64,
    error: *mut *mut Error,
) -> *mut PandaList {
    // SAFETY: the caller's promise.
    unsafe {
        listed(guest, error, |guest| {
            PandaList::mappings(guest, VirtAddr(taskd))
        })
    }
}

/// The kernel modules that PANDA lists: none of Linux; of Windows, the head of their list the last.
///
/// # Safety
///
/// The pointers are as said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_panda_modules(
    guest: *const Guest,
    error: *mut *mut Error,
) -> *mut PandaList {
    // SAFETY: the caller's promise.
    unsafe { listed(guest, error, PandaList::modules) }
}

/// # Safety
///
/// The guest is NULL or was not freed; `error` is NULL or to a place for a pointer.
unsafe fn listed(
    guest: *const Guest,
    error: *mut *mut Error,
    list: impl FnOnce(&Guest) -> Result<PandaList, Error>,
) -> *mut PandaList {
    let list = || {
        // SAFETY: the caller's promise.
        let guest = unsafe { borrowed(guest) };
        let guest = guest.ok_or_else(|| Error::argument(NO_GUEST))?;
        let list = list(guest)?;
        guest.reached.sound()?;
        Ok(list)
    };
    // SAFETY: the caller's promise.
    unsafe { made(error, list) }.map_or(ptr::null_mut(), given)
}

/// The list's processes, and how many in `*count`. They live as long as the list.
///
/// # Safety
///
/// The list is NULL or was not freed; `count` is to a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_panda_list_processes(
    list: *const PandaList,
    count: *mut usize,
) -> *const PandaProcess {
    // SAFETY: the caller's promise.
    unsafe { rows(borrowed(list).map(PandaList::process_rows), count) }
}

/// The list's mappings or modules, and how many in `*count`. They live as long as the list.
///
/// # Safety
///
/// The list is NULL or was not freed; `count` is to a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_panda_list_modules(
    list: *const PandaList,
    count: *mut usize,
) -> *const PandaModule {
    // SAFETY: the caller's promise.
    unsafe { rows(borrowed(list).map(PandaList::module_rows), count) }
}

/// # Safety
///
/// `count` is to a place for a number, or NULL.
unsafe fn rows<R>(rows: Option<&[R]>, count: *mut usize) -> *const R {
    let rows = rows.unwrap_or_default();
    if !count.is_null() {
        // SAFETY: not NULL, and a place for a number by the caller's promise.
        unsafe { count.write(rows.len()) };
    }
    rows.as_ptr()
}

/// Whether nothing of the list was lost on the way.
///
/// # Safety
///
/// The list is NULL or was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_panda_list_is_complete(list: *const PandaList) -> bool {
    // SAFETY: the caller's promise.
    unsafe { borrowed(list) }.is_some_and(PandaList::is_complete)
}

/// Frees a list; does nothing with NULL.
///
/// # Safety
///
/// The list is NULL or was not freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_panda_list_free(list: *mut PandaList) {
    // SAFETY: the caller's promise.
    unsafe { taken(list) };
}

/// Puts the thread that runs on processor `cpu` into `*thread`; false where it is not known.
///
/// # Safety
///
/// The guest is NULL or was not freed; `thread` is to a place for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_panda_current_thread(
    guest: *const Guest,
    cpu: u32,
    thread: *mut PandaThread,
) -> bool {
    // SAFETY: the caller's promise.
    let guest = unsafe { borrowed(guest) };
    let found = guarded(None, || {
        let guest = guest?;
        let thread = panda::current_thread(guest, cpu)?;
        guest.reached.sound().ok().map(|()| thread)
    });
    let (Some(found), false) = (found, thread.is_null()) else {
        return false;
    };
    // SAFETY: not NULL, and a place for a thread by the caller's promise.
    unsafe { thread.write(found) };
    true
}

/// Puts the bounds of the heap of the process at `taskd` into `*start_brk` and `*brk`; false where they
/// are not known.
///
/// # Safety
///
/// The guest is NULL or was not freed; the others are to places for numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn osier_heap_bounds(
    guest: *const Guest,
    taskd: u64,
    start_brk: *mut u64,
    brk: *mut u64,
) -> bool {
    // SAFETY: the caller's promise.
    let guest = unsafe { borrowed(guest) };
    let bounds = guarded(None, || {
        let guest = guest?;
        let provider = guest.guest.provider();
        let bounds = provider.panda()?.heap_bounds(VirtAddr(taskd)).value()?;
        guest.reached.sound().ok().map(|()| bounds)
    });
    let (Some((first, end)), false) = (bounds, start_brk.is_null() || brk.is_null()) else {
        return false;
    };
    // SAFETY: not NULL, and places for numbers by the caller's promise.
    unsafe {
        start_brk.write(first.0);
        brk.write(end.0);
    }
    true
}
