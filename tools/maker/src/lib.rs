//! What the snapshot maker shares with the benches: Debian packages of any suite, and other
//! people's programs.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "a tool that works on its own numbers"
)]

pub mod apt;
pub mod tool;
