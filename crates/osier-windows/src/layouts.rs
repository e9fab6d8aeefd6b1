//! Where the members of every structure lie that a walker reads, resolved once a kernel.

pub(crate) mod current;
pub(crate) mod driver;
pub(crate) mod handles;
pub(crate) mod loader;
pub(crate) mod object;
pub(crate) mod peb;
pub(crate) mod process;
pub(crate) mod section;
pub(crate) mod threads;
pub(crate) mod token;
pub(crate) mod trap;
pub(crate) mod vad;
