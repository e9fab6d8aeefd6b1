//! Links the command at a fixed address where that makes it start faster.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |part: &str| env::var(format!("CARGO_CFG_TARGET_{part}")).unwrap_or_default();
    // A program that may lie anywhere has some fifteen thousand pointers in its tables that the loader
    // writes anew at each start, on sixty pages: a third of what `osier --version` costs.
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo::rustc-link-arg-bin=osier=-no-pie");
    }
}
