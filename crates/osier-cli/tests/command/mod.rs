//! Runs the command as a user would, with a cache of the test's own.

use std::path::Path;
use std::process::Command;

/// What `osier ARGUMENTS... SNAPSHOT` prints; it must end well. `cache` names the test's own cache.
pub(crate) fn osier(arguments: &[&str], snapshot: &Path, cache: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_osier"))
        .args(arguments)
        .arg(snapshot)
        .env(
            "XDG_CACHE_HOME",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(cache),
        )
        .env_remove("OSIER_PROFILES")
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "osier {arguments:?} {}: {errors}",
        snapshot.display()
    );
    String::from_utf8(output.stdout).unwrap()
}
