//! Processes and drivers that the kernel's lists do not lead to.

use osier_osi::{Absent, ScanSource, SeenExt as _, Severity};

use super::context::{About, Context, Evidence, Found, Owner, Rule, Says, closed, subject};
use crate::{drivers, image_name, modules, process, twins};

/// A process that lives and that the list lacks.
pub(super) static PROCESS: Rule = Rule {
    about: About {
        name: "process.hidden",
        normal: "A process that lives is on the list of processes and in the table of ids.",
        otherwise: "A process that is being made or taken apart as the machine stops, or a snapshot taken while the machine ran.",
    },
    look: processes,
};

fn processes(context: &Context<'_>, found: &mut Found) {
    let windows = context.windows;
    let (all, ends) = context.named();
    let list_is_whole = closed(ends, "processes");
    let table_is_whole = closed(ends, "pid table");
    for met in all {
        let at = met.at;
        // Threads are what a process lives by: one that is being made has none yet.
        let threads = twins::active_threads(windows, at);
        if !twins::runs(windows, at) || threads == Some(0) {
            continue;
        }
        let off_list = list_is_whole && !met.found_by.has(ScanSource::List);
        let no_id = table_is_whole && !met.found_by.has(ScanSource::PidTable);
        let missing = match (off_list, no_id) {
            (true, true) => "neither the list of processes nor the table of ids has it",
            (true, false) => "the list of processes lacks it",
            (false, true) => "the table of ids lacks it",
            (false, false) => continue,
        };
        let pid = process::pid(windows, at);
        let links = windows.process.fields.active_process_links.place(at);
        let next = windows.guest.space.read_pointer(links);
        let next = next.map_or("unreadable".to_owned(), |next| next.to_string());
        let evidence = Evidence::default()
            .and("_EPROCESS", at, format!("found by {}", met.found_by))
            .and("ActiveProcessLinks", links, format!("leads to {next}"));
        found.process(
            &pid,
            Says {
                severity: Severity::High,
                subject: subject("process", &pid, &image_name::name(windows, at)),
                text: format!("A process lives, and {missing}."),
                evidence,
                address: at,
            },
        );
    }
}

/// A driver that the list of modules lacks.
pub(super) static MODULE: Rule = Rule {
    about: About {
        name: "module.hidden",
        normal: "The image of a driver is on the list of loaded modules.",
        otherwise: "A driver that is being loaded or unloaded as the machine stops.",
    },
    look: images,
};

fn images(context: &Context<'_>, found: &mut Found) {
    let windows = context.windows;
    let (all, ends) = context.modules();
    if !closed(ends, "modules") {
        found.lost("the list of modules", None);
        return;
    }
    for met in all.iter().filter(|met| !met.found_by.has(ScanSource::List)) {
        let row = modules::module(windows, met.at);
        let base = match &row.base {
            Ok(base) => base.to_string(),
            Err(absent) => absent.to_string(),
        };
        let evidence = Evidence::default()
            .and(
                "loader's entry",
                met.at,
                format!("found by {}", met.found_by),
            )
            .and("DllBase", met.at.plus(windows.loader.kernel.dll_base), base);
        found.kernel(Says {
            severity: Severity::High,
            subject: subject("module", &Err(Absent::not_in_this_kernel()), &row.name),
            text: "A driver's object names an image, and the list of modules lacks it.".to_owned(),
            evidence,
            address: met.at,
        });
    }
    for at in drivers::in_directories(windows).0 {
        let driver = drivers::driver(windows, at);
        let start = match &driver.start {
            Ok(start) if start.is_null() => continue, // what the kernel made itself
            Ok(start) => *start,
            Err(absent) => {
                found.absent("where a driver's image lies", absent);
                continue;
            }
        };
        let entry = driver.section.value();
        let named = entry.is_some_and(|entry| all.iter().any(|met| met.at == entry));
        if named || context.owner(start) != Owner::Nobody {
            continue;
        }
        found.kernel(Says {
            severity: Severity::Medium,
            subject: subject("driver", &Err(Absent::not_in_this_kernel()), &driver.name),
            text: format!("A driver's image lies at {start}, where no module of the list does."),
            evidence: Evidence::default().and("_DRIVER_OBJECT", at, format!("DriverStart {start}")),
            address: at,
        });
    }
}
