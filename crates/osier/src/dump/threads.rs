//! The threads of a process, and what is known of it, for the notes of a core.

use std::ops::ControlFlow;

use osier_memory::VirtAddr;
use osier_osi::{
    Absent, CarveLinux, FXSAVE_BYTES, Osi, Process, ProcessExtra, Seen, Thread, UserRegisters,
    WalkEnd, WalkEnds,
};

/// The walk's name in endings.
const REGISTERS: &str = "registers";

/// A thread with its registers.
pub(super) struct Threaded {
    pub(super) row: Thread,
    pub(super) registers: UserRegisters,
    pub(super) floating_point: Option<Box<[u8; FXSAVE_BYTES]>>,
}

/// The threads of the process at `taskd` that have registers, its leader first. What was lost of others is
/// added to `ends`.
pub(super) fn threads(
    osi: &dyn Osi,
    carve: &dyn CarveLinux,
    taskd: VirtAddr,
    ends: &mut WalkEnds,
) -> Vec<Threaded> {
    let mut found = Vec::new();
    let mut lost = WalkEnds::default();
    let walked = osi.threads(taskd, &mut |row| {
        let name = match row.tid {
            Ok(tid) => format!("thread {tid}"),
            Err(_) => format!("the thread at {}", row.task),
        };
        match carve.user_registers(row.task) {
            Ok(registers) => {
                let floating_point = carve.floating_point(row.task);
                if let Err(absent) = &floating_point
                    && absent.is_loss()
                {
                    let what = format!("the floating-point registers of {name}");
                    lost.add(REGISTERS, WalkEnd::without(what, absent));
                }
                found.push(Threaded {
                    row,
                    registers,
                    floating_point: floating_point.ok(),
                });
            }
            Err(absent) if absent.is_loss() || absent.why == osier_osi::Why::NotInThisKernel => {
                let what = format!("the registers of {name}, which is left out");
                lost.add(REGISTERS, WalkEnd::without(what, &absent));
            }
            // A thread that has exited has none.
            Err(_) => {}
        }
        ControlFlow::Continue(())
    });
    for threaded in found
        .iter()
        .filter(|threaded| !threaded.registers.lost.is_empty())
    {
        let name = threaded
            .row
            .tid
            .as_ref()
            .map_or_else(|_| threaded.row.task.0.to_string(), u32::to_string);
        let missing = format!(
            "rbx, rbp and r12 to r15 of thread {name}, which this kernel does not keep in a system call; they stand as 0"
        );
        lost.add(REGISTERS, WalkEnd::no_start(missing, None));
    }
    ends.join(walked);
    ends.join(lost);
    found
}

/// What is known of a process, for `NT_PRPSINFO`. What is not known is 0 there, which has no words for it.
#[derive(Default)]
pub(super) struct Who {
    pub(super) pid: u32,
    pub(super) ppid: u32,
    pub(super) pgid: u32,
    pub(super) session: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) nice: i32,
    pub(super) state: u8,
    pub(super) name: Vec<u8>,
    pub(super) arguments: Vec<u8>,
}

/// What is known of the process at `taskd`.
pub(super) fn who(osi: &dyn Osi, taskd: VirtAddr, ends: &mut WalkEnds) -> Who {
    let mut who = Who::default();
    let mut lost = WalkEnds::default();
    let mut fill = |process: &Process| {
        let mut lose = |what: &str, absent: &Absent| {
            if absent.is_loss() {
                let what = format!("{what} of the process, which stands as 0");
                lost.add(REGISTERS, WalkEnd::without(what, absent));
            }
        };
        let mut told = |what: &str, value: &Seen<u32>| {
            value.clone().unwrap_or_else(|absent| {
                lose(what, &absent);
                0
            })
        };
        who.pid = told("the pid", &process.pid);
        who.ppid = told("the parent's pid", &process.ppid);
        if let ProcessExtra::Linux(linux) = &process.extra {
            who.uid = told("the user", &linux.uid);
            who.gid = told("the group", &linux.gid);
            if let Some(wide) = &linux.wide {
                who.pgid = told("the process group", &wide.pgid);
                who.session = told("the session", &wide.session_id);
                who.nice = wide.nice.clone().unwrap_or_else(|absent| {
                    lose("the nice value", &absent);
                    0
                });
            }
            who.state = linux.state.as_ref().map_or_else(
                |absent| {
                    lose("the state", absent);
                    0
                },
                |state| state.0 as u8,
            );
            who.arguments = linux.cmdline.clone().unwrap_or_else(|absent| {
                lose("the arguments", &absent);
                Vec::new()
            });
        }
        who.name = process.name.clone().unwrap_or_else(|absent| {
            lose("the name", &absent);
            Vec::new()
        });
    };
    let mut met = false;
    // How the walk over all processes ended, whoever looked for this one knows.
    let _ = osi.wide(&mut |process| {
        if process.taskd != taskd {
            return ControlFlow::Continue(());
        }
        met = true;
        fill(&process);
        ControlFlow::Break(())
    });
    if !met {
        match osi.process(taskd) {
            Ok(process) => fill(&process),
            Err(absent) => ends.add(REGISTERS, WalkEnd::without("the process", &absent)),
        }
    }
    ends.join(lost);
    who
}
