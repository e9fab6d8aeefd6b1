#![doc = include_str!("../README.md")]
//!
//! ```text
//!   Machine ──► locate ──► Located ─┐
//!                                   ├──► Windows (implements Osi) ──► rows
//!   Profile (from anywhere) ────────┘
//! ```
//!
//! One file for each kernel object. Shapes are chosen by which members exist, never by version
//! number.

mod attach;
mod behind;
mod carve;
mod cid;
mod clock;
mod crash;
mod current;
mod directory;
mod drivers;
mod entries;
mod environment;
mod files;
mod findings;
mod guest;
mod handle_table;
mod image_name;
mod key;
mod lacking;
mod layouts;
mod loader;
mod locate;
mod mappings;
mod modules;
mod object;
mod peb;
mod policy;
mod pool;
mod process;
mod processes;
mod provider;
mod registers;
mod root;
mod scan;
mod section;
mod shared_data;
mod symbols;
mod threads;
mod token;
mod twins;
mod unicode;
mod vad;
mod wanted;
mod wide;
mod windows;

pub use attach::AttachError;
pub use lacking::lacking;
pub use locate::{KnownKernel, LocateError, Located, glance, locate, locate_by};
pub use policy::windows_policy;
pub use wanted::WANTED;
pub use windows::Windows;
