//! One process: from its `_EPROCESS` to a row.

use osier_memory::{AddressSpace, VirtAddr};
use osier_osi::{
    Absent, FoundBy, Process, ProcessExtra, ProcessSource, Seen, SeenExt as _, Why, WindowsProcess,
};
use osier_profile::{Field, UInt};

use crate::symbols;
use crate::windows::Windows;
use crate::{cid, clock, image_name, peb, root, threads, twins, unicode};

/// The row of the `_EPROCESS` at `at`.
pub(crate) fn row(windows: &Windows, at: VirtAddr, found_by: FoundBy) -> Process {
    let fields = &windows.process.fields;
    let create_time = created(windows, at);
    let start = create_time
        .clone()
        .and_then(|time| wall_clock(windows, time, at));
    let asid = root::table_root(windows, at);
    // One for all that the process's own table maps: what it translated once is known.
    let own = asid.clone().map(|root| windows.guest.space_of(root));
    let block = own
        .get()
        .and_then(|own| threads::first_block(windows, at, own));
    let peb = peb::peb(windows, at, block);
    let wow64 = peb::peb32(windows, at, block);
    let session = session(windows, at, own.get(), &peb);
    let params = peb::parameters(windows, &own, &peb, &wow64);
    Process {
        taskd: at,
        pid: pid(windows, at),
        ppid: cid::id(windows, fields.inherited_from, at),
        name: image_name::name(windows, at),
        asid,
        pgd: Err(Absent::not_in_this_kernel()),
        create_time,
        start,
        found_by,
        extra: ProcessExtra::Windows(WindowsProcess {
            exit_time: exited(windows, at),
            session,
            wow64: wow64.map(|peb| peb.is_some()),
            peb,
            path: path(windows, at, params.path),
            cmdline: params.cmdline,
            wide: None,
        }),
    }
}

/// The row of the process at `taskd`; implausible for anything but a process.
pub(crate) fn by_handle(windows: &Windows, taskd: VirtAddr) -> Seen<Process> {
    let guest = &windows.guest;
    if guest.plausible(taskd).is_err() {
        return Err(Absent::implausible(
            taskd.0,
            "a handle is a mapped address of the kernel",
            None,
        ));
    }
    let process = || Ok(row(windows, taskd, FoundBy::source(ProcessSource::List)));
    if twins::current_idle(windows) == Some(taskd) {
        return process();
    }
    let link = windows.process.fields.active_process_links.place(taskd);
    let width = u64::from(guest.pointer_bytes());
    let leads_back = || {
        let next = guest.space.read_pointer(link)?;
        let before = guest.space.read_pointer(link.plus(width))?;
        let back = guest.space.read_pointer(next.plus(width))?;
        let forth = guest.space.read_pointer(before)?;
        Ok(back == link && forth == link)
    };
    match leads_back() {
        Ok(true) => process(),
        Ok(false) if cid::has(windows, taskd) => process(),
        Ok(false) => {
            let rule = "a handle names a process on the list or in the table of ids";
            Err(Absent::implausible(taskd.0, rule, Some(link)))
        }
        Err(fault) => Err(Absent::unreadable(fault)),
    }
}

/// The process's id, by which the table of ids has it, if it has it at all.
pub(crate) fn pid(windows: &Windows, at: VirtAddr) -> Seen<u32> {
    let field = windows.process.fields.unique_process_id;
    cid::id(windows, Some(field), at).and_then(|pid| {
        if cid::leads_to(windows, pid, at) == Some(false) && cid::names(windows, at) {
            let rule = "an id is that of the process's entry in PspCidTable";
            return Err(Absent::implausible(pid.into(), rule, Some(field.place(at))));
        }
        Ok(pid)
    })
}

/// The session's number, which the kernel writes into the PEB, too. Its structure may lie in the
/// session's own memory, which the process's table maps.
fn session(
    windows: &Windows,
    at: VirtAddr,
    own: Option<&AddressSpace>,
    peb: &Seen<VirtAddr>,
) -> Seen<u32> {
    let space = &windows.guest.space;
    let layout = &windows.process;
    let number = |value: Result<u64, _>| {
        let id = value.map_err(Absent::unreadable)? as u32;
        let other = own
            .zip(peb.value())
            .and_then(|(own, peb)| peb::session(windows, own, peb));
        if other.is_some_and(|other| other != id) {
            let place = layout.fields.session.map(|field| field.place(at));
            let rule = "a process is of the session that its PEB names (SessionId)";
            return Err(Absent::implausible(id.into(), rule, place));
        }
        Ok(id)
    };
    let Some(field) = layout.fields.session else {
        return match layout.fields.session_id {
            Some(field) => number(field.read(space, at)),
            None => Err(Absent::not_in_this_kernel()),
        };
    };
    let Some(id) = layout.session.session_id.or(layout.psp_session.session_id) else {
        return Err(Absent::not_in_this_kernel());
    };
    match field.read(space, at) {
        Ok(session) if session.is_null() => {
            Err(Absent::not_applicable("the process belongs to no session"))
        }
        Ok(session) => number(id.read(own.unwrap_or(space), session)),
        Err(fault) => Err(Absent::unreadable(fault)),
    }
}

/// When the process was created. The kernel does not note it of the idle process and, until Vista,
/// of System. Clocks are set: what is wrong by a day and more is told.
fn created(windows: &Windows, at: VirtAddr) -> Seen<u64> {
    let field = windows.process.fields.create_time;
    let place = field.map(|field| field.place(at));
    let system = windows.system();
    match time(windows, field, at, "the kernel did not note it") {
        Ok(time) => {
            let booted = field
                .zip(system)
                .and_then(|(field, system)| field.read(&windows.guest.space, system).ok());
            let rule = if clock::is_future(windows, time) {
                "a process was created before the clock's time, to a day"
            } else if booted.is_some_and(|booted| time.saturating_add(clock::DAY) < booted) {
                "a process was created after System, to a day"
            } else {
                return Ok(time);
            };
            Err(Absent::implausible(time, rule, place))
        }
        Err(absent)
            if matches!(absent.why, Why::NotApplicable(_))
                && system.is_some_and(|system| system != at)
                && twins::current_idle(windows) != Some(at)
                && windows.guest.symbol(symbols::PsIdleProcess).is_some() =>
        {
            Err(Absent::implausible(
                0,
                "the kernel notes when a process is created",
                place,
            ))
        }
        absent @ Err(_) => absent,
    }
}

/// When the process exited; not applicable to one that runs.
pub(crate) fn exited(windows: &Windows, at: VirtAddr) -> Seen<u64> {
    let fields = &windows.process.fields;
    let place = fields.exit_time.map(|field| field.place(at));
    match time(windows, fields.exit_time, at, "the process runs") {
        Ok(time) => {
            let created = fields
                .create_time
                .and_then(|field| field.read(&windows.guest.space, at).ok());
            let rule = if clock::is_future(windows, time) {
                "a process exited before the clock's time, to a day"
            } else if created.is_some_and(|created| time.saturating_add(clock::DAY) < created) {
                "a process exited after it was created, to a day"
            } else if twins::active_threads(windows, at).is_some_and(|threads| threads > 0) {
                "a process that has exited has no thread that runs (ActiveThreads)"
            } else {
                return Ok(time);
            };
            Err(Absent::implausible(time, rule, place))
        }
        Err(absent)
            if matches!(absent.why, Why::NotApplicable(_))
                && twins::signalled(windows, at) == Some(true) =>
        {
            let rule = "a process that has ended (SignalState) has an ExitTime";
            Err(Absent::implausible(0, rule, place))
        }
        absent @ Err(_) => absent,
    }
}

/// A FILETIME; 0 is not applicable, for the reason given.
fn time(
    windows: &Windows,
    field: Option<Field<UInt>>,
    at: VirtAddr,
    never: &'static str,
) -> Seen<u64> {
    let Some(field) = field else {
        return Err(Absent::not_in_this_kernel());
    };
    match field.read(&windows.guest.space, at) {
        Ok(0) => Err(Absent::not_applicable(never)),
        other => (other).map_err(Absent::unreadable),
    }
}

/// A FILETIME in nanoseconds since 1970.
fn wall_clock(windows: &Windows, time: u64, at: VirtAddr) -> Seen<i64> {
    clock::since_1970(time).map_or_else(
        || {
            let field = windows.process.fields.create_time;
            let place = field.map(|field| field.place(at));
            Err(Absent::implausible(
                time,
                "a time lies between 1678 and 2262",
                place,
            ))
        },
        Ok,
    )
}

/// The image's path: as the process's parameters have it (`C:\…`); of a process that has none, as the
/// kernel noted it (`\Device\…`), which it does of every program.
fn path(windows: &Windows, at: VirtAddr, params: Seen<Vec<u8>>) -> Seen<Vec<u8>> {
    let space = &windows.guest.space;
    let none = matches!(&params, Err(absent) if !absent.is_loss());
    let Some(field) = windows.process.fields.image_name.filter(|_| none) else {
        return params;
    };
    let nothing = |place: VirtAddr, params| {
        if !twins::is_bare(windows, at) && !twins::runs(windows, at) {
            let rule = "the kernel notes the path of the image of a program";
            return Err(Absent::implausible(0, rule, Some(place)));
        }
        params
    };
    match field.read(space, at) {
        Ok(name) if name.is_null() => params,
        // `_OBJECT_NAME_INFORMATION` begins with the string.
        Ok(name) => match unicode::path(space, name, space.mode().pointer_bytes()) {
            Ok(path) if path.is_empty() => nothing(name, params),
            path => path,
        },
        Err(fault) => Err(Absent::unreadable(fault)),
    }
}
