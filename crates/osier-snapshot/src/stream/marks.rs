//! The bytes that a stream's parts begin with.
//!
//! Source: QEMU `migration/savevm.h`.

pub(super) const EOF: u8 = 0x00;
pub(super) const START: u8 = 0x01;
pub(super) const PART: u8 = 0x02;
pub(super) const END: u8 = 0x03;
pub(super) const FULL: u8 = 0x04;
pub(super) const SUBSECTION: u8 = 0x05;
pub(super) const VMDESCRIPTION: u8 = 0x06;
pub(super) const CONFIGURATION: u8 = 0x07;
pub(super) const COMMAND: u8 = 0x08;
pub(super) const FOOTER: u8 = 0x7e;
