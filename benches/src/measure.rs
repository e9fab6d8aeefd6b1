//! What a process cost, as the operating system accounts it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use wait4::Wait4;

/// One run of a program, its children counted with it.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// Seconds of processors, the program's and the kernel's on its behalf.
    pub(crate) cpu: f64,
    /// Seconds that passed.
    pub(crate) wall: f64,
    /// The most memory that was resident, in MiB.
    pub(crate) peak_mib: f64,
    /// How the program ended.
    pub(crate) status: ExitStatus,
}

/// Runs a program to its end; what it prints goes to `out`, what it complains of to `errors`.
pub(crate) fn run(command: &mut Command, out: Stdio, errors: Stdio) -> Result<Cost> {
    let start = Instant::now();
    let mut child = command
        .stdout(out)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let used = child.wait4()?;
    let cpu: Duration = used.rusage.utime + used.rusage.stime;
    Ok(Cost {
        cpu: cpu.as_secs_f64(),
        wall: start.elapsed().as_secs_f64(),
        peak_mib: used.rusage.maxrss as f64 / f64::from(1 << 20),
        status: used.status,
    })
}

/// As [`run`], with nothing kept of what is printed.
pub(crate) fn run_silent(command: &mut Command) -> Result<Cost> {
    run(command, Stdio::null(), Stdio::null())
}

/// As [`run`]; what is printed goes into files: `PATH` and `PATH.errors`.
pub(crate) fn run_to(command: &mut Command, path: &Path) -> Result<Cost> {
    let errors = File::create(errors_of(path))?;
    run(command, File::create(path)?.into(), errors.into())
}

/// Where [`run_to`] puts what a program complains of.
pub(crate) fn errors_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".errors");
    name.into()
}

/// What a program printed into a file, each byte a character: names need not be UTF-8, and are
/// compared by their ASCII.
pub(crate) fn printed(path: &Path) -> Result<String> {
    Ok(std::fs::read(path)?.into_iter().map(char::from).collect())
}

/// The costs of several runs of one program.
#[derive(Clone, Default)]
pub(crate) struct Costs(pub(crate) Vec<Cost>);

impl Costs {
    /// The median of the processors' seconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.median(|cost| cost.cpu)
    }

    /// The median of the seconds that passed.
    pub(crate) fn wall(&self) -> f64 {
        self.median(|cost| cost.wall)
    }

    /// The largest peak.
    pub(crate) fn peak_mib(&self) -> f64 {
        self.0.iter().map(|cost| cost.peak_mib).fold(0.0, f64::max)
    }

    fn median(&self, of: fn(&Cost) -> f64) -> f64 {
        let mut values: Vec<f64> = self.0.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        // Of an even number the mean of the middle two: the upper one would make slow programs,
        // which run less often, slower.
        let upper = values.get(values.len() / 2);
        let lower = values.get(values.len().saturating_sub(1) / 2);
        upper
            .zip(lower)
            .map_or(f64::NAN, |(upper, lower)| f64::midpoint(*upper, *lower))
    }
}

/// A number of seconds, as short as it can be told.
pub(crate) fn seconds(value: f64) -> String {
    match value {
        v if v < 0.1 => format!("{v:.4}"),
        v if v < 10.0 => format!("{v:.2}"),
        v => format!("{v:.1}"),
    }
}
