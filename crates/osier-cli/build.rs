//! Links the command so that it starts faster, where there is a choice.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |part: &str| env::var(format!("CARGO_CFG_TARGET_{part}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        // A program that may lie anywhere has some fifteen thousand pointers in its tables that the loader
        // rewrites at each start, on sixty pages: a third of what `osier --version` costs.
        println!("cargo::rustc-link-arg-bin=osier=-no-pie");
        // What unwinds a panic, in the program: libgcc_s, in which it is as well, is then not needed, and the loader
        // does not open it: a twentieth. LLD leaves it out; other linkers keep both, which does no harm.
        println!("cargo::rustc-link-arg-bin=osier=-Wl,--whole-archive,-lgcc_eh,--no-whole-archive");
    }
}
