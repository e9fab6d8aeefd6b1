//! QEMU's machine protocol: one JSON object to a line, over a local socket.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// A connection on which commands are accepted.
#[derive(Debug)]
pub(crate) struct Qmp {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects, and leaves the negotiation mode.
    ///
    /// # Errors
    ///
    /// When the socket does not answer.
    pub(crate) fn connect(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path)
            .with_context(|| format!("cannot connect to {}", path.display()))?;
        stream.set_read_timeout(Some(Duration::from_secs(300)))?;
        let mut qmp = Self {
            lines: BufReader::new(stream.try_clone()?),
            stream,
        };
        qmp.next()?;
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    fn next(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self
            .lines
            .read_line(&mut line)
            .context("QEMU does not answer")?
            == 0
        {
            bail!("QEMU ended");
        }
        serde_json::from_str(&line).context("QEMU answered no JSON")
    }

    /// Executes one command and waits for its answer.
    ///
    /// # Errors
    ///
    /// When QEMU refuses the command.
    pub(crate) fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let line = json!({ "execute": command, "arguments": arguments }).to_string();
        self.stream.write_all(line.as_bytes())?;
        self.stream.write_all(b"\n")?;
        loop {
            let mut answer = self.next()?;
            if let Some(error) = answer.get("error") {
                bail!("{command}: {error}");
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// Executes a command of the human monitor, and returns its text.
    ///
    /// # Errors
    ///
    /// As [`Qmp::execute`].
    pub(crate) fn monitor(&mut self, line: &str) -> Result<String> {
        let answer = self.execute("human-monitor-command", &json!({ "command-line": line }))?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }

    /// Asks until the `status` of a query is `completed`.
    ///
    /// # Errors
    ///
    /// When it fails or takes longer than `limit`.
    pub(crate) fn wait_completed(&mut self, query: &str, limit: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            let answer = self.execute(query, &json!({}))?;
            match answer.get("status").and_then(Value::as_str) {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => bail!("{query}: {answer}"),
                _ if started.elapsed() > limit => bail!("{query}: not completed in time"),
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}
