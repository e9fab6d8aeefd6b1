//! Paths: dentries and mounts to the text that a process sees.
