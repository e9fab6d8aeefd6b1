//! Offline introspection of frozen machines: open, identify, attach, ask.

pub mod elf_core;
pub mod format;
pub mod missing;
pub mod order;
pub mod os_name;
pub mod osi_test;
pub mod tables;
