//! Circular lists of `list_head`, walked from both ends.
