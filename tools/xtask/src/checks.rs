//! Checks of what others build on: the minimum Rust version, another host, what changed since the last
//! tag, and each crate as it is published. A check that cannot be made here says so, and is no failure.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::command::{cargo, root, run};

/// The host that is not Unix.
const ELSEWHERE: &str = "x86_64-pc-windows-gnu";
/// The C compiler for it: what packs and unpacks xz is written in C.
const ITS_COMPILER: &str = "x86_64-w64-mingw32-gcc";
/// Crates that no C code is built for.
const WITHOUT_C: [&str; 7] = [
    "osier-file",
    "osier-linux",
    "osier-memory",
    "osier-osi",
    "osier-profile",
    "osier-text",
    "osier-windows",
];
/// Crates that are of Unix alone, or need C code of more than one compiler.
const UNIX_ALONE: [&str; 1] = ["osier-capi"];

/// The crates that are published, by name.
fn published() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("crates"))? {
        let folder = entry?.path();
        let manifest = fs::read_to_string(folder.join("Cargo.toml"))?;
        let name = folder.file_name().unwrap_or_default();
        if !manifest.contains("publish = false") {
            names.extend(name.to_str().map(str::to_owned));
        }
    }
    names.sort();
    Ok(names)
}

#[allow(clippy::print_stdout, reason = "what is skipped is said")]
fn skipped(job: &str, why: &str) {
    println!("{job}: skipped: {why}");
}

/// Whether this command can be run here.
fn works(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn with_packages(command: &mut Command, names: &[String]) {
    for name in names {
        command.args(["--package", name]);
    }
}

/// Checks every published crate with the least Rust that it promises.
pub(crate) fn msrv() -> Result<()> {
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \""))
        .and_then(|rest| rest.strip_suffix('"'))
        .context("Cargo.toml has no rust-version")?;
    let toolchain = format!("+{version}");
    if !works("cargo", &[&toolchain, "--version"]) {
        let get = format!("rustup toolchain install {version} --profile minimal");
        skipped(
            "msrv",
            &format!("Rust {version} is not installed; run: {get}"),
        );
        return Ok(());
    }
    let mut command = Command::new("cargo");
    command.args([&toolchain, "check"]).current_dir(root());
    with_packages(&mut command, &published()?);
    run(&mut command)
}

/// Checks the crates for a host that is not Unix.
pub(crate) fn elsewhere() -> Result<()> {
    let installed = Command::new("rustup")
        .args(["target", "list", "--installed"])
        .output();
    let has = |output: std::process::Output| {
        let list = String::from_utf8(output.stdout).unwrap_or_default();
        list.lines().any(|line| line == ELSEWHERE)
    };
    if !installed.is_ok_and(has) {
        let get = format!("rustup target add {ELSEWHERE}");
        skipped(
            "elsewhere",
            &format!("{ELSEWHERE} is not installed; run: {get}"),
        );
        return Ok(());
    }
    let mut names = published()?;
    names.retain(|name| !UNIX_ALONE.contains(&name.as_str()));
    if !works(ITS_COMPILER, &["--version"]) {
        skipped(
            "elsewhere",
            &format!("{ITS_COMPILER} is not installed: only crates without C code are checked"),
        );
        names.retain(|name| WITHOUT_C.contains(&name.as_str()));
    }
    let mut command = cargo(&["check", "--target", ELSEWHERE]);
    with_packages(&mut command, &names);
    run(&mut command)
}

/// Holds the public interfaces against those of the last tag.
pub(crate) fn semver() -> Result<()> {
    let tag = Command::new("git")
        .args(["describe", "--tags", "--abbrev=0", "--match", "v*"])
        .current_dir(root())
        .stderr(Stdio::null())
        .output()?;
    let tag = String::from_utf8(tag.stdout)?.trim().to_owned();
    if tag.is_empty() {
        skipped("semver", "there is no tag to compare with");
        return Ok(());
    }
    if !works("cargo", &["semver-checks", "--version"]) {
        let get = "cargo install cargo-semver-checks --locked";
        skipped(
            "semver",
            &format!("cargo-semver-checks is not installed; run: {get}"),
        );
        return Ok(());
    }
    let mut command = cargo(&["semver-checks", "--baseline-rev", &tag]);
    with_packages(&mut command, &published()?);
    run(&mut command)
}

/// Packs each published crate, unpacks the archives where nothing else is, builds them of each other there,
/// and runs their examples.
pub(crate) fn package() -> Result<()> {
    let names = published()?;
    let mut pack = cargo(&["package", "--no-verify", "--allow-dirty", "--quiet"]);
    with_packages(&mut pack, &names);
    run(&mut pack)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
    let target = fs::canonicalize(target)?;
    let place = std::env::temp_dir().join(format!("osier-package-{}", std::process::id()));
    fs::create_dir_all(&place)?;
    let built = unpacked(&names, &target, &place);
    fs::remove_dir_all(&place)?;
    built
}

fn unpacked(names: &[String], target: &Path, place: &Path) -> Result<()> {
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("version = \""))
        .and_then(|rest| rest.strip_suffix('"'))
        .context("Cargo.toml has no version")?;
    let mut workspace = "[workspace]\nresolver = \"3\"\nmembers = [\"*\"]\nexclude = [\"target\"]\n\n[patch.crates-io]\n".to_owned();
    for name in names {
        let archive = target.join(format!("package/{name}-{version}.crate"));
        let mut tar = Command::new("tar");
        run(tar.arg("-xzf").arg(archive).arg("-C").arg(place))?;
        writeln!(workspace, "{name} = {{ path = \"{name}-{version}\" }}")?;
    }
    // What others wrote is built as in the workspace, so that it need not be built again.
    if let Some(profiles) = manifest.find("[profile") {
        workspace.push('\n');
        workspace.push_str(manifest.get(profiles..).unwrap_or_default());
    }
    fs::write(place.join("Cargo.toml"), workspace)?;
    fs::copy(root().join("Cargo.lock"), place.join("Cargo.lock"))?;
    let mut test = Command::new("cargo");
    test.args(["test", "--doc", "--workspace", "--no-fail-fast"])
        .current_dir(place)
        .env("CARGO_TARGET_DIR", target);
    run(&mut test)
}
