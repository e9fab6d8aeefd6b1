//! Processes with whom they act for: what `ps --wide` shows besides.

use osier_memory::{Each, VirtAddr};
use osier_osi::{Choice, Process, ProcessExtra, Seen, WalkEnds, WindowsWide};

use crate::processes;
use crate::token;
use crate::windows::Windows;

/// The processes that are wanted, as `ps` lists them, with their tokens.
pub(crate) fn processes(
    windows: &Windows,
    wanted: Option<Choice<'_>>,
    row: Each<'_, Process>,
) -> WalkEnds {
    processes::processes(windows, wanted, &mut |mut process| {
        if let ProcessExtra::Windows(extra) = &mut process.extra {
            extra.wide = Some(Box::new(wide(windows, process.taskd)));
        }
        row(process)
    })
}

fn wide(windows: &Windows, at: VirtAddr) -> WindowsWide {
    let token = token::of_process(windows, at);
    let token = match token {
        Ok(token) => token,
        Err(absent) => {
            fn none<T>(absent: &osier_osi::Absent) -> Seen<T> {
                Err(Box::new(absent.clone()))
            }
            return WindowsWide {
                token: none(&absent),
                user: none(&absent),
                groups: none(&absent),
                privileges: none(&absent),
                integrity: none(&absent),
                logon: none(&absent),
            };
        }
    };
    let (user, groups, integrity) = match token.who() {
        Ok(who) => (Ok(who.user), Ok(who.groups), who.integrity),
        Err(absent) => (Err(absent.clone()), Err(absent.clone()), Err(absent)),
    };
    WindowsWide {
        token: Ok(token.at),
        user,
        groups,
        privileges: token.privileges(),
        integrity,
        logon: token.logon(),
    }
}
