//! Makes a golden snapshot and its truth from a Debian kernel package in QEMU.
//!
//! A guest with a crowd of odd but still processes is booted in software emulation, writes down
//! what its own kernel says of them, and is stopped; its memory is saved in every container.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool that works on its own numbers and speaks on the terminal"
)]

mod archive;
mod capture;
mod guest;
mod machine;
mod modules;
mod package;
mod qmp;
mod recipe;
mod tamper;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use osier_maker::tool;
use serde_json::{Value, json};

use crate::capture::Containers;
use crate::machine::{Guest, Plan};
use crate::modules::{Module, Modules};
use crate::package::Kernel;
use crate::recipe::{RECIPES, Recipe};

/// Modules that every guest loads, where its kernel has them.
const MODULES: &[&str] = &[
    "qemu_fw_cfg",
    "dummy",
    "loop",
    "tun",
    "nbd",
    "veth",
    "vmw_vsock_virtio_transport_common",
    "overlay",
];

/// The module that is loaded between two snapshots.
const LATE_MODULE: &str = "ifb";

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// List the recipes
    List,
    /// Make a snapshot
    Make(Box<Make>),
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
#[derive(clap::Args)]
struct Make {
    /// Start from a recipe; the other options override it
    #[arg(long, value_name = "NAME")]
    recipe: Option<String>,
    /// Kernel package, or "newest"
    #[arg(long, value_name = "PACKAGE")]
    kernel: Option<String>,
    /// Kernel package that is already downloaded (again for its modules)
    #[arg(long, value_name = "FILE")]
    deb: Vec<PathBuf>,
    /// Debian suite
    #[arg(long)]
    suite: Option<String>,
    /// Debian architecture: amd64 or i386
    #[arg(long, value_parser = ["amd64", "i386"])]
    arch: Option<String>,
    /// Folder to write; it is created
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder for downloads and programs in the making, kept between runs
    #[arg(long, value_name = "DIR", default_value = "target/maker")]
    work: PathBuf,
    /// Guest memory in MiB
    #[arg(long, value_name = "MIB")]
    mem: Option<u64>,
    /// Number of processors
    #[arg(long)]
    smp: Option<u32>,
    /// QEMU's processor model
    #[arg(long)]
    cpu: Option<String>,
    /// Additional words of the kernel command line
    #[arg(long, allow_hyphen_values = true)]
    append: Option<String>,
    /// Five-level paging; "-cpu max" has it unless told otherwise
    #[arg(long)]
    la57: Option<Switch>,
    /// Number of busy processes [default: one for each processor]
    #[arg(long)]
    spinners: Option<u32>,
    /// Two snapshots of one guest, with changes between them, in DIR/a and DIR/b
    #[arg(long)]
    events: bool,
    /// Seconds of the guest's that lie between the two snapshots, at least
    #[arg(long, value_name = "SECONDS", default_value_t = 2, requires = "events")]
    apart: u32,
    /// Seconds that the guest may take until it is ready; a busy machine needs more
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    patience: u64,
    /// Process 1 alone, and what changes between two snapshots: for small distilled ones
    #[arg(long)]
    no_crowd: bool,
    /// Width of the guest's programs, when not the kernel's: i386 on amd64
    #[arg(long, value_parser = ["amd64", "i386"])]
    user: Option<String>,
    /// A processor that the guest takes offline before its crowd starts
    #[arg(long, value_name = "CPU")]
    offline: Option<u32>,
    /// The guest's kernel panics when the truth is written, and is stopped after that
    #[arg(long, conflicts_with = "events")]
    panic: bool,
    /// Stop process 1 before it executes anything, where it waits for a root that never comes; nobody
    /// is there to tell a truth
    #[arg(long, conflicts_with_all = ["events", "panic", "offline", "user", "no_crowd"])]
    before_init: bool,
    /// A truth without the kernel's list of symbols, which is most of it and of the time it takes
    #[arg(long)]
    no_symbols: bool,
    /// Also QEMU's kdump of the same instant, memory.kdump
    #[arg(long)]
    kdump: bool,
    /// Programs and modules in the guest that "osier findings" must find; needs make and a kernel for amd64 whose
    /// headers the suite carries
    #[arg(long, conflicts_with = "before_init")]
    tampered: bool,
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::List => {
            for recipe in RECIPES {
                println!(
                    "{:20} {:42} {:9} {:6} {:4} MiB, {} x {} {}",
                    recipe.name,
                    recipe.kernel,
                    recipe.suite,
                    recipe.arch,
                    recipe.mem,
                    recipe.smp,
                    recipe.cpu,
                    recipe.append
                );
            }
            Ok(())
        }
        Task::Make(make) => make.run(),
    }
}

impl Make {
    fn run(&self) -> Result<()> {
        let recipe = match &self.recipe {
            None => None,
            Some(name) => Some(
                RECIPES
                    .iter()
                    .find(|recipe| recipe.name == name)
                    .with_context(|| format!("no recipe {name}; see \"list\""))?,
            ),
        };
        let of = |given: &Option<String>, from: fn(&Recipe) -> &str| {
            given
                .clone()
                .or_else(|| recipe.map(|recipe| from(recipe).to_owned()))
        };
        let arch = of(&self.arch, |recipe| recipe.arch).unwrap_or_else(|| "amd64".to_owned());
        let append = of(&self.append, |recipe| recipe.append).unwrap_or_default();
        let mem = self.mem.or(recipe.map(|recipe| recipe.mem)).unwrap_or(128);
        let smp = self.smp.or(recipe.map(|recipe| recipe.smp)).unwrap_or(2);
        let mut cpu = of(&self.cpu, |recipe| recipe.cpu)
            .unwrap_or_else(|| if arch == "i386" { "qemu32" } else { "max" }.to_owned());
        if let Some(la57) = self.la57 {
            let switch = if la57 == Switch::On { "on" } else { "off" };
            cpu = format!(
                "{},la57={switch}",
                cpu.replace(",la57=off", "").replace(",la57=on", "")
            );
        }

        if self.tampered && arch != "amd64" {
            bail!("--tampered is for amd64 alone");
        }
        fs::create_dir_all(&self.work)
            .with_context(|| format!("cannot create {}", self.work.display()))?;
        fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot create {}", self.out.display()))?;
        let work = fs::canonicalize(&self.work)?;
        let out = fs::canonicalize(&self.out)?;

        let kernel = if self.deb.is_empty() {
            let name = of(&self.kernel, |recipe| recipe.kernel)
                .context("which kernel? give --kernel, --deb or --recipe")?;
            let suite = of(&self.suite, |recipe| recipe.suite)
                .context("which suite? give --suite, as in --suite bookworm")?;
            eprintln!("fetching {name} from {suite}");
            package::fetch(&name, &suite, &arch, &work)?
        } else {
            let first = self
                .deb
                .first()
                .and_then(|deb| deb.file_stem())
                .unwrap_or_default();
            let folder = work
                .join("unpacked")
                .join(format!("deb-{}", first.display()));
            package::unpack(&self.deb, &folder, &work)?
        };

        let spinners = self.spinners.unwrap_or(smp);
        let user = self.user.as_deref().unwrap_or(&arch);
        let tampering = if self.tampered {
            let suite = of(&self.suite, |recipe| recipe.suite)
                .context("which suite has the kernel's headers? give --suite")?;
            eprintln!("building the modules that tamper");
            tamper::build(&kernel.release, &suite, &work)?
        } else {
            Vec::new()
        };
        let (initrd, loaded) = if self.before_init {
            (None, Vec::new())
        } else {
            let (initrd, loaded) = self.initrd(&kernel, user, spinners, &tampering, &work)?;
            (Some(initrd), loaded)
        };
        let plan = Plan {
            arch: &arch,
            mem,
            smp,
            cpu: &cpu,
            append: &append,
            kernel: &kernel.image,
            initrd: initrd.as_deref(),
            folder: &out,
            events: self.events,
            patience: Duration::from_secs(self.patience),
        };
        let written = recipe_file(&plan, &kernel, &loaded, &work);
        let containers = Containers {
            paging: arch == "i386" && kernel.release.contains("pae"),
            kdump: self.kdump,
        };
        let phases = if self.before_init {
            BEFORE_INIT
        } else if self.panic {
            AFTER_PANIC
        } else if self.events {
            EVENTS
        } else {
            ONE
        };
        let apart = Duration::from_secs(self.apart.into());
        let booted = boot(&plan, phases, containers, apart, &written);
        if let Some(initrd) = &initrd {
            fs::remove_file(initrd)?;
        }
        booted?;
        eprintln!("{} is in {}", kernel.release, out.display());
        Ok(())
    }

    /// Writes the guest's file system; returns it with the names of its modules.
    fn initrd(
        &self,
        kernel: &Kernel,
        arch: &str,
        spinners: u32,
        tampering: &[Module],
        work: &Path,
    ) -> Result<(PathBuf, Vec<String>)> {
        let mut list = Vec::new();
        let mut late = Vec::new();
        if let Some(folder) = &kernel.modules {
            let index = Modules::index(folder)?;
            for name in MODULES {
                for missing in index.add(name, &mut list, work)? {
                    eprintln!("{} has no module {missing}", kernel.release);
                }
            }
            if self.events {
                index.add(LATE_MODULE, &mut late, work)?;
            }
        }
        let settings = guest::Settings {
            modules: &list,
            late_module: late.last(),
            spinners,
            crowd: !self.no_crowd,
            events: self.events,
            apart: self.apart,
            offline: self.offline,
            panic: self.panic,
            symbols: !self.no_symbols,
            tampering,
        };
        let path = work.join(format!("initrd-{}.cpio", std::process::id()));
        fs::write(&path, guest::build(arch, &settings, work)?)?;
        Ok((path, list.into_iter().map(|module| module.name).collect()))
    }
}

/// What made the snapshot, without the names of this machine's folders.
fn recipe_file(plan: &Plan<'_>, kernel: &Kernel, modules: &[String], work: &Path) -> Value {
    let out = plan.folder.display().to_string();
    let work = work.display().to_string();
    let initrd = plan.initrd.map(|initrd| initrd.display().to_string());
    let words: Vec<String> = plan
        .command()
        .iter()
        .map(|word| {
            let word = match &initrd {
                Some(initrd) => word.replace(initrd, "OUT/initrd.cpio"),
                None => word.clone(),
            };
            word.replace(&out, "OUT").replace(&work, "WORK")
        })
        .collect();
    json!({
        "kernel": kernel.release,
        "packages": kernel.packages,
        "modules": modules,
        "cmd": words,
    })
}

/// One moment at which the guest is stopped and saved.
struct Phase {
    /// Folder below the snapshot's, of that moment.
    folder: &'static str,
    /// The file that the guest's word comes in; none when nobody is there to say anything.
    truth: Option<&'static str>,
    /// What the console says when it has come.
    line: &'static str,
}

const ONE: &[Phase] = &[Phase {
    folder: "",
    truth: Some("truth.tar"),
    line: "maker: ready 1",
}];
const EVENTS: &[Phase] = &[
    Phase {
        folder: "a",
        truth: Some("truth.tar"),
        line: "maker: ready 1",
    },
    Phase {
        folder: "b",
        truth: Some("truth-b.tar"),
        line: "maker: ready 2",
    },
];
const AFTER_PANIC: &[Phase] = &[Phase {
    folder: "",
    truth: Some("truth.tar"),
    line: "end Kernel panic",
}];
const BEFORE_INIT: &[Phase] = &[Phase {
    folder: "",
    truth: None,
    line: "Waiting for root device",
}];

fn boot(
    plan: &Plan<'_>,
    phases: &[Phase],
    containers: Containers,
    apart: Duration,
    recipe: &Value,
) -> Result<()> {
    let out = plan.folder;
    let mut guest = Guest::start(plan)?;
    for (index, phase) in phases.iter().enumerate() {
        eprintln!("waiting for the guest");
        if index > 0 {
            guest.go_on()?;
        }
        guest.stop_at(phase.line, apart)?;
        let folder = out.join(phase.folder);
        fs::create_dir_all(&folder)?;
        eprintln!("saving its memory");
        capture::save(&mut guest.qmp, &folder, containers)?;
        if let Some(archive) = phase.truth {
            capture::truth(&out.join(archive), &folder)?;
        }
        fs::write(folder.join("recipe.json"), format!("{recipe:#}\n"))?;
        let console = tool::read_text(&out.join("console.txt"))?;
        if !phase.folder.is_empty() {
            fs::write(folder.join("console.txt"), &console)?;
        }
        for word in console
            .lines()
            .filter(|line| line.contains("cannot ") || line.starts_with("only "))
        {
            eprintln!("the guest said: {word}");
        }
        if console.contains("Kernel panic") && !phase.line.contains("Kernel panic") {
            bail!("the guest's kernel panicked:\n{console}");
        }
    }
    Ok(())
}
