//! Processes through a series of snapshots: PANDA's `asidstory` over instants instead of blocks.
//!
//! [`Timeline::of`] follows each process from the snapshot that first has it to the last. A
//! [`Life`] is a row; [`drawing`] and [`svg()`] draw all of them, threads of the kernel as one line.

mod draw;
mod life;
mod lines;
mod series;
mod svg;

pub use draw::{Glyphs, drawing};
pub use life::{Life, Mark, life_table};
pub use series::{Moment, Timeline, by_clock};
pub use svg::{STYLE, picture, svg};
