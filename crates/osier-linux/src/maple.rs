//! Maple trees.
