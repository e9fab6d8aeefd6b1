//! Writers of dump containers, by the formats' own documents. They share no code with the readers
//! that the tests hold against them.

pub mod crash;
pub mod hiber;
pub mod kdump;
pub mod lime;
pub mod packing;
pub mod qcow2;
pub mod vbox;
pub mod vmware;
pub mod xen;
pub mod xpress;
