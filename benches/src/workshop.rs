//! Where the benches keep what they install and make: `target/bench`, kept between runs.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use osier_maker::apt::Apt;

use crate::measure::printed;

/// The folders and programs of one run.
pub(crate) struct Workshop {
    /// The workspace's folder.
    pub(crate) workspace: PathBuf,
    /// Everything that is installed or made.
    pub(crate) folder: PathBuf,
    /// The command that is measured.
    osier: PathBuf,
}

impl Workshop {
    pub(crate) fn new(folder: &Path, osier: &Path) -> Result<Self> {
        let folder = std::path::absolute(folder)?;
        fs::create_dir_all(folder.join("logs"))?;
        let osier = std::path::absolute(osier)?;
        ensure!(
            osier.is_file(),
            "{} is not there; `cargo xtask bench` builds it",
            osier.display()
        );
        Ok(Self {
            workspace: osier_testkit::data::workspace(),
            folder,
            osier,
        })
    }

    /// Osier with a cache of the benches' own, and nobody's profiles.
    pub(crate) fn osier(&self) -> Command {
        let mut command = Command::new(&self.osier);
        command
            .env("XDG_CACHE_HOME", self.folder.join("cache"))
            .env_remove("OSIER_PROFILES");
        command
    }

    /// What Osier prints, as JSON.
    pub(crate) fn ask(&self, arguments: &[&str], snapshot: &Path) -> Result<serde_json::Value> {
        let output = self
            .osier()
            .args(arguments)
            .arg(snapshot)
            .args(["--format", "json"])
            .output()?;
        let errors = output.stderr.escape_ascii();
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("osier {}: {errors}", arguments.join(" ")))
    }

    /// Runs a step of preparation; its output goes to a log, and into the error when it fails.
    pub(crate) fn step(&self, name: &str, command: &mut Command) -> Result<()> {
        let log = self.folder.join("logs").join(name);
        say(&format!("{name}: {}", command.get_program().display()));
        let file = fs::File::create(&log)?;
        let status = command.stdout(file.try_clone()?).stderr(file).status();
        let program = command.get_program().display();
        let status = status.with_context(|| format!("{program} is not installed"))?;
        if !status.success() {
            let text = printed(&log)?;
            let last = text.lines().rev().find(|line| !line.trim().is_empty());
            bail!("{name} failed: {}", last.unwrap_or_default().trim());
        }
        Ok(())
    }

    /// The interpreter of a Python environment that has a package of the Python index.
    pub(crate) fn python(&self, package: &str) -> Result<PathBuf> {
        let venv = self.folder.join("venv");
        let python = venv.join("bin/python");
        if !python.is_file() {
            let mut make = Command::new("python3");
            self.step("python environment", make.args(["-m", "venv"]).arg(&venv))?;
        }
        let done = venv.join(package);
        if !done.is_file() {
            let mut install = Command::new(&python);
            install.args(["-m", "pip", "install", "--quiet", package]);
            self.step(&format!("pip {package}"), &mut install)?;
            fs::write(done, "")?;
        }
        Ok(python)
    }

    /// A program of crates.io's.
    pub(crate) fn cargo_install(&self, name: &str, version: &str) -> Result<PathBuf> {
        let root = self.folder.join(name);
        let program = root.join("bin").join(name);
        if !program.is_file() {
            let mut install = Command::new("cargo");
            install.args(["install", name, "--version", version, "--locked", "--root"]);
            self.step(&format!("cargo install {name}"), install.arg(&root))?;
        }
        Ok(program)
    }

    /// A program of `benches/peers`.
    pub(crate) fn driver(&self, name: &str) -> Result<PathBuf> {
        let target = self.folder.join("peers");
        let program = target.join("release").join(name);
        if program.is_file() {
            return Ok(program);
        }
        let mut build = Command::new("cargo");
        build
            .args(["build", "--release", "--locked", "-p", name, "--target-dir"])
            .arg(&target)
            .current_dir(self.workspace.join("benches/peers"));
        self.step(name, &mut build)?;
        Ok(program)
    }

    /// A Debian suite's packages.
    pub(crate) fn debian(&self, suite: &str) -> Result<Apt> {
        Apt::new(suite, "amd64", &self.folder.join("maker"))
    }

    /// A program of a Debian suite, with the loader and libraries of that suite: the words to start
    /// it with.
    pub(crate) fn debian_program(&self, suite: &str, package: &str) -> Result<Vec<PathBuf>> {
        let root = self.folder.join(format!("{package}-{suite}"));
        let program = root.join("usr/bin").join(package);
        if !program.is_file() {
            say(&format!("unpacking {package} of {suite}"));
            self.debian(suite)?.unpack_closure(package, &root)?;
        }
        let libraries = |folder: &str| root.join(folder).join("x86_64-linux-gnu");
        let (new, old) = (libraries("usr/lib"), libraries("lib"));
        let loader = [&new, &old]
            .map(|folder| folder.join("ld-linux-x86-64.so.2"))
            .into_iter()
            .find(|loader| loader.exists());
        let loader = loader.with_context(|| format!("{package} of {suite} has no loader"))?;
        let path = format!("{}:{}", new.display(), old.display());
        Ok(vec![loader, "--library-path".into(), path.into(), program])
    }
}

/// Tells on the terminal what takes so long.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "bench: {text}");
}
