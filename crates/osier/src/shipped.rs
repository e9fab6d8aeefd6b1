//! The profiles that are part of the program: `symbols/*.osp` of the project, with provenance
//! beside each.

/// The files, byte for byte.
pub(crate) static SHIPPED: &[&[u8]] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));
