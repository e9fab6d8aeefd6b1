#![doc = include_str!("../README.md")]
//!
//! ```text
//!   Web (osier-snapshot's Reach) ──► Object (its Distant): blocks in memory, then those kept on the disk,
//!                                       └──► Ranges: one range of one version, tried again where that may help
//!                                              ├──► http: of an address
//!                                              └──► stores: of an object in a store (feature `stores`)
//! ```
//!
//! Nothing is asked of a network unless somebody opens an address. An object is one version: its length and its
//! tag are those of the first answer, every further request is for that tag, and an answer with another is an error.

mod http;
mod kept;
mod manners;
mod object;
mod ranges;
mod shared;
#[cfg(feature = "stores")]
mod stores;
mod web;

pub use manners::{Asked, Manners};
pub use web::{Web, is_address};
