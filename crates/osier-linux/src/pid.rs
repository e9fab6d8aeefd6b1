//! The pid table.
