//! The project's own jobs. CI calls these, so every step can be run at home.

mod bench;
mod checks;
mod command;
mod fuzz;
mod kernels;

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};
use clap::Parser;

/// One job: its name, what it does, and the commands it runs.
struct Job {
    name: &'static str,
    about: &'static str,
    commands: &'static [&'static [&'static str]],
    environment: &'static [(&'static str, &'static str)],
}

const JOBS: &[Job] = &[
    Job {
        name: "fmt",
        about: "Checks the formatting",
        commands: &[&["cargo", "fmt", "--all", "--check"]],
        environment: &[],
    },
    Job {
        name: "clippy",
        about: "Lints every target; a warning is an error",
        commands: &[&[
            "cargo",
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]],
        environment: &[],
    },
    Job {
        name: "doc",
        about: "Builds the documentation; a warning is an error",
        commands: &[&["cargo", "doc", "--workspace", "--no-deps"]],
        environment: &[("RUSTDOCFLAGS", "-D warnings")],
    },
    Job {
        name: "test",
        about: "Runs all tests",
        commands: &[&["cargo", "test", "--workspace"]],
        environment: &[],
    },
    Job {
        name: "validate",
        about: "Compares with the truth of the real snapshots and writes docs/validation.md",
        commands: &[&[
            "cargo",
            "test",
            "-p",
            "osier-cli",
            "--test",
            "truth_real",
            "--test",
            "holdings_real",
        ]],
        environment: &[("OSIER_WRITE_VALIDATION", "1")],
    },
    Job {
        name: "campaign",
        about: "Damages every golden snapshot in every way and holds the answers to their claim",
        commands: &[&[
            "cargo",
            "test",
            "--release",
            "-p",
            "osier",
            "--test",
            "campaign",
            "--",
            "--nocapture",
            "--test-threads=1",
        ]],
        environment: &[("OSIER_CAMPAIGN", "1")],
    },
    Job {
        name: "symbols",
        about: "Makes the Windows profiles of symbols/ again from their sources",
        commands: &[&[
            "cargo",
            "test",
            "-p",
            "osier",
            "--test",
            "shipped_windows_real",
        ]],
        environment: &[("OSIER_WRITE_SYMBOLS", "1")],
    },
    Job {
        name: "fleet",
        about: "Measures a run over a thousand snapshots, and reads its tables with pyarrow and DuckDB",
        commands: &[&[
            "cargo",
            "test",
            "--release",
            "-p",
            "osier-cli",
            "--test",
            "thousand",
            "--",
            "--test-threads=1",
        ]],
        environment: &[("OSIER_FLEET", "1")],
    },
    Job {
        name: "sql",
        about: "Tests `osier sql` with its engine, in a profile that does not optimise it",
        commands: &[&[
            "cargo",
            "test",
            "--profile",
            "sql",
            "-p",
            "osier-sql",
            "-p",
            "osier-cli",
            "--features",
            "osier-sql/engine,osier-cli/sql",
            "--test",
            "sql",
        ]],
        environment: &[],
    },
    Job {
        name: "sql-lint",
        about: "Lints `osier sql` with its engine",
        commands: &[&[
            "cargo",
            "clippy",
            "--profile",
            "sql",
            "-p",
            "osier-sql",
            "-p",
            "osier-cli",
            "--features",
            "osier-sql/engine,osier-cli/sql",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]],
        environment: &[],
    },
    Job {
        name: "python",
        about: "Builds the Python wheel, installs it into target/python and tests it there",
        commands: &[&["tests/python/run"]],
        environment: &[],
    },
    Job {
        name: "frames",
        about: "Gives the wheel's answers to polars, DuckDB, pyarrow and pandas in their newest versions, each alone",
        commands: &[&["tests/python/alone"]],
        environment: &[],
    },
    Job {
        name: "engines",
        about: "Runs the recipes of docs/engines.md in Ray and in Daft, each alone, with the wheel of `python`",
        commands: &[&["tests/python/engines"]],
        environment: &[],
    },
    Job {
        name: "c",
        about: "Installs libosier into target/c as a stranger would, and runs the programs in C there (needs cargo-c)",
        commands: &[&["tests/c/run"]],
        environment: &[],
    },
    Job {
        name: "doors",
        about: "Measures what the doors of Python and C cost, with a release wheel; tests/python/measure",
        commands: &[&["tests/python/measure"]],
        environment: &[],
    },
    Job {
        name: "deny",
        about: "Checks licences, duplicates and sources of crates (needs cargo-deny)",
        commands: &[&["cargo", "deny", "check", "bans", "licenses", "sources"]],
        environment: &[],
    },
    Job {
        name: "advisories",
        about: "Checks the crates against RustSec's advisories (needs cargo-deny and the network)",
        commands: &[&["cargo", "deny", "check", "advisories"]],
        environment: &[],
    },
];

/// What `ci` runs besides the tests.
const CI: &[&str] = &["fmt", "clippy", "doc"];

/// The project's own jobs.
#[derive(Parser)]
#[command(after_help = help())]
struct Args {
    /// The job; `ci` runs fmt, clippy and doc.
    job: String,
    /// Of `fuzz`: how long each target runs.
    #[arg(long, default_value_t = 5, value_name = "N")]
    seconds: u32,
    /// Of `fuzz`: the same inputs each time, from the seeds alone.
    #[arg(long)]
    same: bool,
    /// Of `kernels`: only machines whose name holds this
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Of `kernels`: keep the memory of machines that were compared without a fault
    #[arg(long)]
    keep: bool,
    /// Of `bench` and `kernels`, after `--`: what else they are told; `cargo xtask bench -- --help` lists it
    #[arg(last = true)]
    rest: Vec<String>,
}

fn help() -> String {
    let lines = JOBS
        .iter()
        .map(|job| format!("  {:<10} {}\n", job.name, job.about));
    let fuzz =
        "  fuzz       Builds every fuzz target and runs each for --seconds (needs cargo-fuzz)\n";
    let bench =
        "  bench      Measures Osier beside its peers, which it installs into target/bench\n";
    let kernels = "  kernels    Boots every kernel of its table, holds every answer against the guest's own, and writes docs/kernels.md\n";
    let checks = "  msrv       Checks the published crates with the least Rust that they promise\n  \
                    elsewhere  Checks them for a host that is not Unix\n  \
                    semver     Holds their interfaces against the last tag (needs cargo-semver-checks)\n  \
                    package    Packs them, builds them of their archives and runs their examples\n";
    format!(
        "Jobs:\n{}{checks}{fuzz}{bench}{kernels}",
        lines.collect::<String>()
    )
}

fn run(name: &str) -> Result<()> {
    let Some(job) = JOBS.iter().find(|job| job.name == name) else {
        bail!("there is no job {name}\n{}", help());
    };
    for command in job.commands {
        let Some((program, arguments)) = command.split_first() else {
            continue;
        };
        let environment = job.environment.iter().copied();
        let status = Command::new(program)
            .args(arguments)
            .envs(environment)
            .status()?;
        if !status.success() {
            bail!("{}: {} failed ({status})", job.name, command.join(" "));
        }
    }
    Ok(())
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    match args.job.as_str() {
        "ci" => CI.iter().try_for_each(|job| run(job))?,
        "fuzz" => fuzz::run(args.seconds, args.same)?,
        "bench" => bench::run(&args.rest)?,
        "kernels" => kernels::run(args.only.as_deref(), args.keep, &args.rest)?,
        "msrv" => checks::msrv()?,
        "elsewhere" => checks::elsewhere()?,
        "semver" => checks::semver()?,
        "package" => checks::package()?,
        job => run(job)?,
    }
    Ok(ExitCode::SUCCESS)
}
