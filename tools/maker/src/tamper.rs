//! The modules that tamper with a guest: built against the headers of its kernel's own package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use osier_maker::apt::Apt;
use osier_maker::tool;

use crate::modules::Module;

const SOURCES: &[(&str, &str)] = &[
    ("Kbuild", include_str!("../guest/tamper/Kbuild")),
    ("tamper.h", include_str!("../guest/tamper/tamper.h")),
    (
        "tamper_hooks.h",
        include_str!("../guest/tamper/tamper_hooks.h"),
    ),
    (
        "tamper_inline.h",
        include_str!("../guest/tamper/tamper_inline.h"),
    ),
    (
        "tamper_list.c",
        include_str!("../guest/tamper/tamper_list.c"),
    ),
    (
        "tamper_sysfs.c",
        include_str!("../guest/tamper/tamper_sysfs.c"),
    ),
    (
        "tamper_task.c",
        include_str!("../guest/tamper/tamper_task.c"),
    ),
    (
        "tamper_tables.c",
        include_str!("../guest/tamper/tamper_tables.c"),
    ),
    (
        "tamper_listed.c",
        include_str!("../guest/tamper/tamper_listed.c"),
    ),
    (
        "tamper_unlisted.c",
        include_str!("../guest/tamper/tamper_unlisted.c"),
    ),
    (
        "tamper_patch.c",
        include_str!("../guest/tamper/tamper_patch.c"),
    ),
    (
        "tamper_inline.c",
        include_str!("../guest/tamper/tamper_inline.c"),
    ),
    (
        "tamper_terminal.c",
        include_str!("../guest/tamper/tamper_terminal.c"),
    ),
    (
        "tamper_format.c",
        include_str!("../guest/tamper/tamper_format.c"),
    ),
];

/// Builds the modules for the kernel of that release, in the suite that carries its headers.
///
/// # Errors
///
/// When the suite has no headers of this release, or `make` or the compiler fails.
pub(crate) fn build(release: &str, suite: &str, work: &Path) -> Result<Vec<Module>> {
    let folder = fs::canonicalize(work)?.join(format!("tamper-{release}"));
    let headers = headers(release, suite, work, &folder)?;
    let sources = folder.join("modules");
    fs::create_dir_all(&sources)?;
    for (name, text) in SOURCES {
        fs::write(sources.join(name), text)?;
    }
    let mut make = Command::new("make");
    // The compiler is this machine's: the one that the package asks for is seldom there. It must understand the
    // package's options, which one of about its age does.
    make.arg("-C")
        .arg(&headers)
        .arg(format!("M={}", sources.display()))
        .args(["CC=gcc", "modules"]);
    tool::run(
        &mut make,
        &folder.join("make.log"),
        Duration::from_secs(600),
    )
    .context("the modules that tamper cannot be built")?;
    let mut modules = Vec::new();
    for (name, _) in SOURCES {
        let Some(name) = name.strip_suffix(".c") else {
            continue;
        };
        let built = sources.join(format!("{name}.ko"));
        tool::run(
            Command::new("strip").arg("--strip-debug").arg(&built),
            &folder.join("strip.log"),
            Duration::from_secs(60),
        )?;
        let bytes =
            fs::read(&built).with_context(|| format!("make built no {}", built.display()))?;
        modules.push(Module {
            name: name.to_owned(),
            bytes,
        });
    }
    Ok(modules)
}

/// The folder of the headers, unpacked and made to find each other there.
fn headers(release: &str, suite: &str, work: &Path, into: &Path) -> Result<PathBuf> {
    let apt = Apt::new(suite, "amd64", work)?;
    let name = format!("linux-headers-{release}");
    let mut debs = vec![apt.download(&name)?];
    for needed in apt.depends(&name)? {
        if needed.starts_with("linux-headers-") || needed.starts_with("linux-kbuild-") {
            debs.push(apt.download(&needed)?);
        }
    }
    fs::create_dir_all(into)?;
    for deb in debs {
        let mut command = Command::new("dpkg");
        tool::run(
            command.arg("-x").arg(deb).arg(into),
            &into.join("dpkg.log"),
            Duration::from_secs(120),
        )?;
    }
    let sources = into.join("usr/src");
    let own = sources.join(&name);
    let mut common = None;
    for entry in fs::read_dir(&sources)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with("-common") {
            common = Some(path);
        }
    }
    let Some(common) = common else {
        bail!("the headers of {release} have no common part");
    };
    // The package's own names the folder that it is installed to.
    let line = format!("include {}\n", common.join("Makefile").display());
    fs::write(own.join("Makefile"), line)?;
    Ok(own)
}
