//! Runs the command as a user would, with a cache of the test's own.

#![allow(dead_code, reason = "each test program uses what it needs")]

pub(crate) mod lie;

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

/// What `osier ARGUMENTS... SNAPSHOT` prints; it must end well. `cache` names the test's own cache.
pub(crate) fn osier(arguments: &[&str], snapshot: &Path, cache: &str) -> String {
    let words = arguments.iter().map(OsStr::new);
    let output = run(words.chain([snapshot.as_os_str()]), cache);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "osier {arguments:?} {}: {errors}",
        snapshot.display()
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `osier ARGUMENTS...`, however it ends.
pub(crate) fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>, cache: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_osier"))
        .args(arguments)
        .env(
            "XDG_CACHE_HOME",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(cache),
        )
        .env_remove("OSIER_PROFILES")
        .output()
        .unwrap()
}
