//! What a process's own memory tells: its arguments.
