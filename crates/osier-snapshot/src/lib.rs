#![doc = include_str!("../README.md")]
//!
//! [`open`] recognises a file by its content, never by its name:
//!
//! | format | what |
//! |---|---|
//! | raw | file offset = guest-physical address; or a bare RAM block with [`OpenOptions::ram_split`] |
//! | ELF core | QEMU's `dump-guest-memory`, `/proc/vmcore`, makedumpfile, `VirtualBox`; both classes |
//! | `LiME`, AVML | ranges of memory behind headers, as they are or in framed Snappy |
//! | kdump, diskdump | makedumpfile's and QEMU's compressed dumps, flattened or not, split or whole |
//! | QEMU stream | a migration or savevm stream, version 3; PANDA's `NAME-rr-snp` is one |
//! | crash dump | Windows: full, kernel, bitmap, ranges, triage; both widths |
//! | hibernation file | Windows XP to 11, both widths |
//! | qcow2 | an internal snapshot in a QEMU disk image, as `savevm` leaves it |
//! | libvirt save | `virsh save`: a header, XML, and a QEMU stream, packed or not |
//! | VMware | `.vmem` with the `.vmss` or `.vmsn` beside it, or that file with the memory in it |
//! | `.rr2`, `.rr` | PANDA's archives, with the stream inside |
//!
//! What the bytes mean to an operating system is no business of this crate; facts from headers go
//! on as [`Hint`](osier_memory::Hint)s. `docs/formats.md` has the byte tables.

mod absent;
mod anomaly;
mod bytes;
mod cache;
mod context;
mod crash;
mod cursor;
mod data;
mod distant;
mod elf;
mod error;
mod extent;
mod filled;
mod flat;
mod flattened;
mod foreign;
mod format;
mod frames;
mod hiber;
mod hyperv;
mod identity;
mod kdump;
mod kept;
mod layout;
mod libvirt;
mod lime;
mod look;
mod map;
mod notes;
mod open;
mod packed;
mod pages;
mod paging_dump;
mod panda;
mod pieces;
mod progress;
mod qcow2;
mod raw;
mod recording;
mod registers;
mod scratch;
mod snapshot;
mod source;
mod stream;
mod sweep;
mod vbox;
mod vmware;
mod whole;
mod wrapped;
mod written;
mod xen;
mod xpress;

pub use anomaly::{Anomaly, Effect};
pub use distant::{Distant, Reach};
pub use elf::user_regs::UserRegs;
pub use elf::write::{Core, write_core};
pub use error::OpenError;
pub use format::Format;
pub use identity::Identity;
pub use lime::write_lime;
pub use map::Reading;
pub use open::{open, panda_checksum};
pub use progress::Progress;
pub use raw::{write_raw, write_raw_sparse};
pub use snapshot::{OpenOptions, Snapshot, SnapshotInfo};
pub use source::Lost;
pub use written::WriteError;
