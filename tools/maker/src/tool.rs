//! Other people's programs: run to their end, with a time limit and a clear word when missing.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Which Debian package holds a program.
fn package_of(program: &str) -> &str {
    match program {
        "qemu-system-x86_64" | "qemu-system-i386" => "qemu-system-x86",
        "gcc" => "gcc (and gcc-multilib for i386 guests)",
        "xz" => "xz-utils",
        "strip" => "binutils",
        "apt-get" | "apt-cache" => "apt",
        other => other,
    }
}

/// Explains why a program could not be started.
pub fn not_started(error: std::io::Error, program: &str) -> anyhow::Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        anyhow::anyhow!(
            "{program} is not installed: install the package {}",
            package_of(program)
        )
    } else {
        anyhow::Error::new(error).context(format!("cannot start {program}"))
    }
}

/// Runs a command with its output going to a file, and returns whether it succeeded.
///
/// # Errors
///
/// When it cannot be started, or runs longer than `limit` (it is then ended).
pub fn run_to(command: &mut Command, output: &Path, limit: Duration) -> Result<bool> {
    let program = command.get_program().to_string_lossy().into_owned();
    let file = std::fs::File::create(output)
        .with_context(|| format!("cannot create {}", output.display()))?;
    let errors = file.try_clone()?;
    let mut running = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .spawn()
        .map_err(|error| not_started(error, &program))?;
    let (status, late) = wait(&mut running, limit)?;
    if late {
        bail!("{program} took longer than {} s", limit.as_secs());
    }
    Ok(status.success())
}

/// Waits until a program has ended, or ends it after `limit`: how it ended, and whether it was too late.
///
/// # Errors
///
/// When it cannot be waited for or ended.
pub fn wait(running: &mut Child, limit: Duration) -> Result<(ExitStatus, bool)> {
    let started = Instant::now();
    loop {
        if let Some(status) = running.try_wait()? {
            return Ok((status, false));
        }
        if started.elapsed() > limit {
            running.kill()?;
            return Ok((running.wait()?, true));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a command and returns what it printed.
///
/// # Errors
///
/// As [`run_to`], and when the command fails; the error carries what it printed.
pub fn run(command: &mut Command, log: &Path, limit: Duration) -> Result<String> {
    let fine = run_to(command, log, limit)?;
    let text = read_text(log)?;
    if !fine {
        bail!(
            "{} failed:\n{}",
            command.get_program().display(),
            text.trim_end()
        );
    }
    Ok(text)
}

/// A text file; bytes that are not UTF-8 are shown escaped.
///
/// # Errors
///
/// When it cannot be read.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => error.as_bytes().escape_ascii().to_string(),
    })
}
