//! One QEMU process, from start to end.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::qmp::Qmp;
use osier_maker::tool;

/// What the machine consists of.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// Debian architecture of the guest.
    pub(crate) arch: &'a str,
    /// Guest memory in MiB.
    pub(crate) mem: u64,
    /// Number of processors.
    pub(crate) smp: u32,
    /// QEMU's processor model.
    pub(crate) cpu: &'a str,
    /// Additional words of the kernel command line.
    pub(crate) append: &'a str,
    /// The kernel image.
    pub(crate) kernel: &'a Path,
    /// The guest's file system; without one the kernel waits for a root device that it has not.
    pub(crate) initrd: Option<&'a Path>,
    /// Folder for consoles and sockets.
    pub(crate) folder: &'a Path,
    /// Two more serial ports, for a second truth and the word to go on.
    pub(crate) events: bool,
    /// How long the guest may take until it says that it is ready.
    pub(crate) patience: Duration,
}

impl Plan<'_> {
    /// The command line.
    pub(crate) fn command(&self) -> Vec<String> {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let program = if self.arch == "i386" {
            "qemu-system-i386"
        } else {
            "qemu-system-x86_64"
        };
        let mut words: Vec<String> = [
            program, "-accel", "tcg", "-machine", "pc", "-cpu", self.cpu, "-m",
        ]
        .map(str::to_owned)
        .to_vec();
        // What the kernel waits for is no error, so that "quiet" would hide that it does.
        let how = if self.initrd.is_some() {
            "quiet"
        } else {
            "root=/dev/none rootwait"
        };
        let append = format!("console=ttyS0 {how} {}", self.append);
        words.extend([
            self.mem.to_string(),
            "-smp".to_owned(),
            self.smp.to_string(),
        ]);
        words.extend(["-display", "none", "-nodefaults", "-no-reboot"].map(str::to_owned));
        let mut pair = |option: &str, value: String| words.extend([option.to_owned(), value]);
        pair("-kernel", self.kernel.display().to_string());
        if let Some(initrd) = self.initrd {
            pair("-initrd", initrd.display().to_string());
        }
        pair("-append", append);
        pair("-serial", format!("file:{}", at("console.txt")));
        pair("-serial", format!("file:{}", at("truth.tar")));
        if self.events {
            pair("-serial", format!("file:{}", at("truth-b.tar")));
            pair(
                "-serial",
                format!("unix:{},server=on,wait=off", at("go.sock")),
            );
        }
        pair(
            "-qmp",
            format!("unix:{},server=on,wait=off", at("qmp.sock")),
        );
        pair("-device", "vmcoreinfo".to_owned());
        words
    }
}

/// A running guest; dropping it ends QEMU.
#[derive(Debug)]
pub(crate) struct Guest {
    qemu: Child,
    folder: PathBuf,
    patience: Duration,
    /// The machine protocol.
    pub(crate) qmp: Qmp,
}

impl Guest {
    /// Starts QEMU.
    ///
    /// # Errors
    ///
    /// When QEMU is missing or refuses its command line.
    pub(crate) fn start(plan: &Plan<'_>) -> Result<Self> {
        for name in [
            "console.txt",
            "truth.tar",
            "truth-b.tar",
            "qmp.sock",
            "go.sock",
        ] {
            let path = plan.folder.join(name);
            if path.exists() {
                fs::remove_file(path)?;
            }
        }
        let words = plan.command();
        let (program, arguments) = words.split_first().context("an empty command line")?;
        let log = plan.folder.join("qemu.log");
        let mut qemu = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .map_err(|error| tool::not_started(error, program))?;
        let socket = plan.folder.join("qmp.sock");
        let started = Instant::now();
        let qmp = loop {
            if let Ok(qmp) = Qmp::connect(&socket) {
                break qmp;
            }
            let ended = qemu.try_wait()?.is_some();
            if ended || started.elapsed() > Duration::from_secs(20) {
                qemu.kill()?;
                qemu.wait()?;
                bail!("QEMU does not start: {}", tool::read_text(&log)?.trim_end());
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        Ok(Self {
            qemu,
            folder: plan.folder.to_owned(),
            patience: plan.patience,
            qmp,
        })
    }

    /// Waits until the guest has printed a line, and stops it. The guest is known to sleep for
    /// `asleep` before it does.
    ///
    /// # Errors
    ///
    /// When it does not within the time for a boot besides, its kernel panics, or QEMU ends.
    pub(crate) fn stop_at(&mut self, line: &str, asleep: Duration) -> Result<()> {
        let limit = self.patience.saturating_add(asleep);
        let console = self.folder.join("console.txt");
        let started = Instant::now();
        loop {
            let text = tool::read_text(&console).unwrap_or_default();
            if text.contains(line) {
                break;
            }
            if text.contains("end Kernel panic") {
                bail!("the guest's kernel panicked; the console said:\n{text}");
            }
            if self.qemu.try_wait()?.is_some() {
                bail!("QEMU ended; the console said:\n{text}");
            }
            if started.elapsed() > limit {
                bail!(
                    "no \"{line}\" within {} s; the console said:\n{text}",
                    limit.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.qmp.execute("stop", &serde_json::json!({}))?;
        Ok(())
    }

    /// Lets a stopped guest go on, and tells it so.
    ///
    /// # Errors
    ///
    /// When QEMU or its serial port do not answer.
    pub(crate) fn go_on(&mut self) -> Result<()> {
        self.qmp.execute("cont", &serde_json::json!({}))?;
        UnixStream::connect(self.folder.join("go.sock"))?.write_all(b"g")?;
        Ok(())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Nothing is left to be done about a process that cannot be ended.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        for name in ["qmp.sock", "go.sock", "qemu.log"] {
            let _ = fs::remove_file(self.folder.join(name));
        }
    }
}
