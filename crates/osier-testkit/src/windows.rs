//! A whole Windows machine, written from a kernel's real layout and a plan of what shall be on it.
//!
//! ```text
//!   Profile (layout) ─┐
//!                     ├─► Plan::write ─► WindowsMachine ─► Machine in memory, raw file, crash dump
//!   rows (Process …) ─┘
//! ```
//!
//! ```no_run
//! # use osier_testkit::windows::{Plan, Process};
//! # fn machine(profile: &osier_profile::Profile) {
//! let mut plan = Plan::new(profile);
//! plan.processes.push(
//!     Process::new(1012, "explorer.exe")
//!         .child_of(608)
//!         .runs("C:\\Windows\\explorer.exe", "explorer.exe /e", 0xff10_0000, 0x2c_0000)
//!         .loads(0x775c_0000, 0x1a_9000, "C:\\Windows\\SYSTEM32\\ntdll.dll"),
//! );
//! plan.run(1016);
//! let written = plan.write(profile);
//! let machine = written.machine();
//! # }
//! ```
//!
//! The plan comes back with every address filled in ([`WindowsMachine::plan`]), so that a test
//! compares rows with it. Structures are written by the profile's offsets and nothing else of the
//! readers'; what no profile has (PE headers, the debugger's block, 32-bit loader lists, dump
//! headers) stands here by its own source. Each kernel object has a file.

mod arena;
mod cid;
mod cpu;
mod crowd;
mod debugger;
mod drivers;
mod dump;
mod handles;
mod image;
mod kernel;
mod layout;
pub mod layouts;
mod libosi;
mod machine;
mod objects;
mod pages;
mod peb;
mod plan;
mod processes;
mod ram;
mod rekall;
mod rows;
mod spaces;
mod threads;
mod tokens;
mod trap;
mod vad;
mod wow64;
mod writer;

pub use crowd::crowd;
pub use debugger::DebuggerData;
pub use layout::{reactos_x86, win7_sp1_x86, win7_sp1_x86_pae, win2000_sp4_x86};
pub use libosi::Libosi;
pub use machine::WindowsMachine;
pub use plan::{Bugcheck, PdbRecord, Plan, Processor};
pub use ram::Ram;
pub use rekall::Rekall;
pub use rows::{
    Driver, Entered, Handle, Module, Opened, Paged, Part, Process, ProcessKind, Protection, Proto,
    Shared, Thread, Token, Told, Vad, VadKind, Wow64,
};
