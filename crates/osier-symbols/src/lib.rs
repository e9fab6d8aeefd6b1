//! Importers that make a kernel's profile: from its own memory (BTF and kallsyms), and from files.
//!
//! Only this crate knows debug formats. Each importer gives a [`osier_profile::ProfileBuilder`].

pub mod btf;
pub mod image;
pub mod kallsyms;
mod names;
