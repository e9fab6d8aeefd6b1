//! Gives the functions of the shared library their versions (`osier.map`).
//!
//! rustc writes a version script of its own, which names what is exported and has no versions; linkers refuse a second
//! one, or keep the first. So the linker is run by the script `versioned`, which hands it ours instead. That takes GCC as
//! what links, and Linux; elsewhere the library is linked as rustc does it, without versions.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=osier.map");
    println!("cargo::rerun-if-changed=versioned");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let said = |name| env::var(name).unwrap_or_default();
    let root = said("CARGO_MANIFEST_DIR");
    // Both are words of one argument whose words have commas between.
    if said("CARGO_CFG_TARGET_OS") != "linux" || root.contains(',') || !gcc(&said("RUSTC_LINKER")) {
        return;
    }
    let root = Path::new(&root);
    let (script, map) = (root.join("versioned"), root.join("osier.map"));
    println!(
        "cargo::rustc-cdylib-link-arg=-wrapper\ncargo::rustc-cdylib-link-arg=sh,{},{}",
        script.display(),
        map.display()
    );
}

/// Whether this program, or cc where none is named, is GCC.
fn gcc(linker: &str) -> bool {
    let linker = if linker.is_empty() { "cc" } else { linker };
    let said = Command::new(linker).arg("--version").output();
    let said = said
        .ok()
        .and_then(|said| String::from_utf8(said.stdout).ok());
    said.is_some_and(|said| said.contains("Free Software Foundation"))
}
