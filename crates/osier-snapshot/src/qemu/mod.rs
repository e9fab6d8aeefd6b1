//! QEMU's migration stream, version 3: `migrate`, `savevm`, and PANDA's `NAME-rr-snp`.
//!
//! Sources: QEMU `migration/savevm.c`, `migration/ram.c`, `target/i386/machine.c` (2.9.1 to 10);
//! PANDA `panda/src/rr/rr_log.c`. Byte tables are in `docs/formats.md`.

mod cache;
mod cpu;
mod memory;
mod ram;
mod sections;

pub(crate) use memory::StreamMemory;
pub(crate) use sections::{read, recognise};
