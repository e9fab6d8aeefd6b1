//! The machines whose memory is read: made with the snapshot maker, or found among the real ones.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::answer::Row;
use crate::workshop::{Workshop, say};

/// A machine that can be measured.
pub(crate) struct Recipe {
    /// What it is called in the tables.
    pub(crate) title: &'static str,
    /// Folder of its snapshot.
    folder: &'static str,
    /// Debian suite that has its kernel's debug symbols.
    suite: &'static str,
    /// What the snapshot maker is told; a real snapshot is told nothing.
    make: &'static [&'static str],
}

/// Made machines have 512 MiB and 4-level paging, which every peer can read.
pub(crate) const RECIPES: &[Recipe] = &[
    Recipe {
        title: "Debian 12, 6.1, 4-level paging",
        folder: "deb12-6.1",
        suite: "bookworm",
        make: &["--recipe", "deb12-6.1-amd64", "--append", "no_timer_check"],
    },
    Recipe {
        title: "Debian 13, 6.12, 4-level paging",
        folder: "deb13-6.12",
        suite: "trixie",
        make: &[
            "--kernel",
            "newest",
            "--suite",
            "trixie",
            "--append",
            "no_timer_check",
        ],
    },
    Recipe {
        title: "Debian 12, 6.1, 5-level paging",
        folder: "deb12-6.1-amd64",
        suite: "bookworm",
        make: &[],
    },
];

/// A snapshot in two containers, and what Osier says of it.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) title: &'static str,
    pub(crate) name: &'static str,
    pub(crate) suite: &'static str,
    pub(crate) raw: PathBuf,
    pub(crate) elf: PathBuf,
    /// The kernel, as `uname -r` names it.
    pub(crate) release: String,
    /// Physical address of the kernel's table root.
    pub(crate) root: String,
    /// How far KASLR moved the kernel.
    pub(crate) slide: String,
    pub(crate) init_task: String,
    /// Osier's answer, to hold the peers' against.
    pub(crate) rows: Vec<Row>,
}

impl Guest {
    /// Makes or finds a snapshot.
    ///
    /// # Errors
    ///
    /// No QEMU, no Debian mirror, no real data.
    pub(crate) fn get(recipe: &Recipe, workshop: &Workshop) -> Result<Self> {
        let folder = if recipe.make.is_empty() {
            osier_testkit::data::folder(recipe.folder).map_err(anyhow::Error::msg)?
        } else {
            make(recipe, workshop)?
        };
        let (raw, elf) = (folder.join("memory.raw"), folder.join("memory.elf"));
        let info = workshop.ask(&["info"], &raw)?;
        let kernel = info.get("kernel").context("info names no kernel")?;
        let text = |name: &str| -> Result<String> {
            let value = kernel.get(name).and_then(Value::as_str);
            Ok(value.with_context(|| format!("no {name}"))?.to_owned())
        };
        let (rows, init_task) = ask_rows(workshop, &raw)?;
        Ok(Self {
            title: recipe.title,
            name: recipe.folder,
            suite: recipe.suite,
            release: text("release")?,
            root: text("root")?,
            slide: text("virtual_slide")?,
            raw,
            elf,
            init_task,
            rows,
        })
    }

    /// The kernel with its DWARF, of the package with its debug symbols.
    pub(crate) fn vmlinux(&self, workshop: &Workshop) -> Result<PathBuf> {
        let name = format!("vmlinux-{}", self.release);
        let folder = workshop.folder.join("debug");
        let there = folder.join(&name);
        if there.is_file() {
            return Ok(there);
        }
        let package = format!("linux-image-{}-dbg", self.release);
        say(&format!("fetching {package} of {}", self.suite));
        let member = format!("usr/lib/debug/boot/{name}");
        let apt = workshop.debian(self.suite)?;
        apt.take_file(&package, &member, &folder)
    }

    /// Its symbols as `System.map` lists them.
    pub(crate) fn system_map(&self, workshop: &Workshop) -> Result<PathBuf> {
        let vmlinux = self.vmlinux(workshop)?;
        let map = vmlinux.with_file_name(format!("System.map-{}", self.release));
        if !map.is_file() {
            let output = Command::new("nm").arg(&vmlinux).output();
            let output = output.context("nm is not installed: install the package binutils")?;
            ensure!(output.status.success(), "nm: {}", output.status);
            std::fs::write(&map, output.stdout)?;
        }
        Ok(map)
    }
}

fn make(recipe: &Recipe, workshop: &Workshop) -> Result<PathBuf> {
    let folder = workshop.folder.join("snapshots").join(recipe.folder);
    if !folder.join("recipe.json").is_file() {
        let mut make = Command::new("cargo");
        make.args(["run", "--quiet", "-p", "osier-maker", "--", "make"])
            .args(recipe.make)
            .args(["--mem", "512", "--smp", "1", "--la57", "off"])
            .args(["--patience", "1200", "--work"])
            .arg(workshop.folder.join("maker"))
            .arg("--out")
            .arg(&folder)
            .current_dir(&workshop.workspace);
        workshop.step(&format!("make {}", recipe.folder), &mut make)?;
    }
    Ok(folder)
}

/// Osier's processes, and the address of the idle task.
fn ask_rows(workshop: &Workshop, snapshot: &Path) -> Result<(Vec<Row>, String)> {
    let answer = workshop.ask(&["ps"], snapshot)?;
    let answer = answer.as_array().context("ps gives no rows")?;
    let mut idle = String::new();
    let mut rows = Vec::new();
    for row in answer {
        let number = |name: &str| row.get(name).and_then(Value::as_i64);
        let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        let Some(pid) = number("pid") else { continue };
        if pid == 0 {
            idle = text("taskd").unwrap_or_default();
        }
        rows.push(Row {
            pid,
            ppid: number("ppid"),
            name: text("name"),
        });
    }
    Ok((rows, idle))
}
