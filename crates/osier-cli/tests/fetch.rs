//! What `osier profile fetch` is not given.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::process::{Command, Output};

const KEY: &str = "30B5FB31AE7E4ACAABA750AA241FF3311";

fn osier(args: &[&str], cache: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_osier"));
    command.args(args).env("XDG_CACHE_HOME", cache);
    for proxy in ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"] {
        command.env_remove(proxy).env_remove(proxy.to_lowercase());
    }
    command.output().unwrap()
}

#[test]
fn what_names_no_pdb_is_wrong_usage() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fetch-usage");
    for (name, key) in [("ntkrnlpa.pdb", "12"), ("a b", KEY), ("x.pdb", "zz")] {
        let output = osier(&["profile", "fetch", name, key], &cache);
        assert_eq!(output.status.code(), Some(2), "{name} {key}");
    }
}
