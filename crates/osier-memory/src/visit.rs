//! Who is shown one thing after another.

use std::ops::ControlFlow;

/// Is shown one `T` after another, such as rows, and says after each whether to go on.
pub type Each<'a, T> = &'a mut dyn FnMut(T) -> ControlFlow<()>;

/// Is shown one stretch of bytes after another, each with the address (an `A`) of its first, and says after each whether
/// to go on.
pub type Visit<'a, A> = &'a mut dyn FnMut(A, &[u8]) -> ControlFlow<()>;
