//! Importers that make a kernel's profile: from its own memory (BTF and kallsyms), and from files.
//!
//! Only this crate knows debug formats. Each importer gives a [`osier_profile::ProfileBuilder`].

pub mod btf;
mod dwarf;
mod dwarf_scan;
mod dwarf_types;
mod elf;
mod error;
pub mod image;
pub mod kallsyms;
mod names;

pub use elf::import_elf;
pub use error::SymbolError;
