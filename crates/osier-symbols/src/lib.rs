#![doc = include_str!("../README.md")]
//!
//! Only this crate knows debug formats. Each importer gives a [`osier_profile::ProfileBuilder`].

pub mod btf;
mod btf_damage;
mod btf_isf;
mod budget;
mod cabinet;
mod disagree;
mod dwarf;
mod dwarf_scan;
mod dwarf_types;
mod elf;
mod error;
pub mod fence;
pub mod image;
mod isf;
pub mod kallsyms;
mod kernelinfo;
mod kernelinfo_keys;
mod names;
mod pdb;
mod pe;
mod rekall;
mod source;
mod system_map;
mod variables;

pub use disagree::disagreement;
pub use elf::import_elf;
pub use error::SymbolError;
pub use isf::{export_isf, import_isf};
pub use kernelinfo::{
    KernelinfoGroup, export_kernelinfo, import_kernelinfo, kernelinfo_release, parse_kernelinfo,
};
pub use pdb::import_pdb;
pub use pe::import_pe;
pub use rekall::set_age_by_name;
pub use source::{SymbolFile, WantedOf, everything, import_symbols, join, merge};
pub use system_map::import_system_map;
