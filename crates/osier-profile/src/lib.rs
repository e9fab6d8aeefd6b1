#![doc = include_str!("../README.md")]
//!
//! ```text
//!   an importer ──► ProfileBuilder ──► Profile ──► layout! (once per kernel) ──► Field<T>::read
//! ```
//!
//! A [`Profile`] is immutable and cannot tell where it came from, but says so in words. A walker
//! declares the members it reads with [`layout!`]; resolving checks that each exists and has the
//! right kind, and reports every miss at once.

mod build_id;
mod field;
mod file;
mod lacking;
mod layout;
mod profile;
mod store;
mod wanted;

pub use build_id::BuildId;
pub use field::{Bits, Embed, Field, FieldKind, Ptr, SInt, UInt};
pub use file::{Card, ProfileError};
pub use lacking::lacking;
pub use layout::{LayoutError, Miss, Resolver};
pub use profile::{Identity, Kind, Member, OsKind, Profile, ProfileBuilder, Type, TypeKind};
pub use store::{Embedded, Listing, ProfileStore, Source};
pub use wanted::Wanted;
