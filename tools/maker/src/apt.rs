//! Debian packages through an apt root of our own, whatever suite the machine itself has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::tool;

/// An apt of our own: its sources, state and cache lie under the work folder.
#[derive(Debug)]
pub struct Apt {
    options: Vec<String>,
    folder: PathBuf,
}

impl Apt {
    /// Sets one up for a suite and architecture, by the machine's own Debian mirrors.
    ///
    /// # Errors
    ///
    /// When the machine has no mirror configured, or apt does not run.
    pub fn new(suite: &str, arch: &str, work: &Path) -> Result<Self> {
        let folder = work.join("apt").join(format!("{suite}-{arch}"));
        for sub in ["state/lists/partial", "cache/archives/partial", "debs"] {
            fs::create_dir_all(folder.join(sub))?;
        }
        fs::write(folder.join("status"), "")?;
        fs::write(folder.join("sources.list"), sources(suite)?)?;
        let shown = fs::canonicalize(&folder)?;
        let at = |name: &str| shown.join(name).display().to_string();
        let options = [
            format!("Dir::Etc::sourcelist={}", at("sources.list")),
            "Dir::Etc::sourceparts=-".to_owned(),
            format!("Dir::State={}", at("state")),
            format!("Dir::State::status={}", at("status")),
            format!("Dir::Cache={}", at("cache")),
            format!("APT::Architecture={arch}"),
            format!("APT::Architectures::={arch}"),
            "APT::Sandbox::User=".to_owned(),
            "APT::Get::List-Cleanup=false".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Check-Valid-Until=false".to_owned(),
        ]
        .into_iter()
        .flat_map(|option| ["-o".to_owned(), option])
        .collect();
        let apt = Self { options, folder };
        let mut update = apt.command("apt-get");
        // A mirror without a `-security` suite is no failure: the package may be in the other one.
        tool::run_to(
            update.arg("update"),
            &apt.folder.join("update.log"),
            Duration::from_secs(180),
        )?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .args(&self.options)
            .current_dir(self.folder.join("debs"))
            .env("LC_ALL", "C");
        command
    }

    /// What a package depends on.
    ///
    /// # Errors
    ///
    /// When there is no such package.
    pub fn depends(&self, name: &str) -> Result<Vec<String>> {
        let text = tool::run(
            self.command("apt-cache")
                .args(["depends", "--important", name]),
            &self.folder.join("depends.log"),
            Duration::from_secs(60),
        )?;
        Ok(text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .map(str::to_owned)
            .collect())
    }

    /// The kernel package that the suite's metapackage points to.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn newest(&self, arch: &str) -> Result<String> {
        let meta = if arch == "i386" {
            "linux-image-686-pae"
        } else {
            "linux-image-amd64"
        };
        let needed = self.depends(meta)?;
        match needed
            .into_iter()
            .find(|name| name.starts_with("linux-image-"))
        {
            Some(name) => Ok(name),
            None => bail!("{meta} depends on no kernel package"),
        }
    }

    /// Downloads one package, if it is not there yet.
    ///
    /// # Errors
    ///
    /// When the mirror has no such package.
    pub fn download(&self, name: &str) -> Result<PathBuf> {
        let debs = self.folder.join("debs");
        let prefix = format!("{name}_");
        let find = || -> Result<Option<PathBuf>> {
            for entry in fs::read_dir(&debs)? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with(&prefix) {
                    return Ok(Some(entry.path()));
                }
            }
            Ok(None)
        };
        if let Some(there) = find()? {
            return Ok(there);
        }
        tool::run(
            self.command("apt-get").args(["download", name]),
            &self.folder.join("download.log"),
            Duration::from_secs(600),
        )
        .with_context(|| format!("cannot download {name}"))?;
        find()?.with_context(|| format!("apt-get downloaded no {name}"))
    }

    /// Unpacks a package and all that it needs, the C library too, into a folder: the program runs
    /// there by the folder's own loader, whatever this machine's libraries are.
    ///
    /// # Errors
    ///
    /// When a package cannot be read or unpacked.
    pub fn unpack_closure(&self, name: &str, into: &Path) -> Result<()> {
        fs::create_dir_all(into)?;
        let mut install = self.command("apt-get");
        install.args([
            "install",
            "--download-only",
            "-y",
            "--no-install-recommends",
        ]);
        let log = self.folder.join("closure.log");
        tool::run(install.arg(name), &log, Duration::from_secs(600))?;
        for entry in fs::read_dir(self.folder.join("cache/archives"))? {
            let deb = entry?.path();
            if deb.extension().is_some_and(|extension| extension == "deb") {
                let mut unpack = Command::new("dpkg");
                unpack.arg("-x").arg(&deb).arg(into);
                tool::run(&mut unpack, &log, Duration::from_secs(300))?;
            }
        }
        Ok(())
    }

    /// Takes one file out of a package into a folder; the package is downloaded if need be.
    ///
    /// # Errors
    ///
    /// When the package cannot be read, or holds no such file.
    pub fn take_file(&self, name: &str, member: &str, into: &Path) -> Result<PathBuf> {
        let file = into.join(Path::new(member).file_name().unwrap_or_default());
        if file.is_file() {
            return Ok(file);
        }
        let deb = self.download(name)?;
        fs::create_dir_all(into)?;
        let part = into.join(format!("part-{}", std::process::id()));
        let mut dpkg = Command::new("dpkg")
            .arg("--fsys-tarfile")
            .arg(&deb)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| tool::not_started(error, "dpkg"))?;
        let pipe = dpkg.stdout.take().context("dpkg prints nothing")?;
        let tar = Command::new("tar")
            .args(["x", "--to-stdout", &format!("./{member}")])
            .stdin(pipe)
            .stdout(fs::File::create(&part)?)
            .status()?;
        let dpkg = dpkg.wait()?;
        if !tar.success() || !dpkg.success() {
            bail!("{} has no {member}", deb.display());
        }
        fs::rename(&part, &file)?;
        Ok(file)
    }
}

/// The machine's Debian mirrors, pointed at another suite.
fn sources(suite: &str) -> Result<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    for entry in fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten()
    {
        files.push(entry.path());
    }
    let mut lines = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        lines.extend(mirrors(&text).into_iter().map(|(mirror, security)| {
            let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
            let suite = if security {
                format!("{suite}-security")
            } else {
                suite.to_owned()
            };
            format!("deb [signed-by={keyring}] {mirror} {suite} main\n")
        }));
    }
    // Neither of the rolling suites has security updates of its own.
    if matches!(suite, "sid" | "unstable") {
        lines.retain(|line| !line.contains("-security "));
    }
    lines.sort();
    lines.dedup();
    if lines.is_empty() {
        bail!("no Debian mirror in /etc/apt/sources.list or /etc/apt/sources.list.d");
    }
    Ok(lines.concat())
}

/// The Debian mirrors a sources file names, in either of its forms; `true` marks a security one.
fn mirrors(text: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let mut add = |uri: &str| {
        let path = uri.trim_end_matches('/');
        if path.ends_with("/debian-security") {
            found.push((path.to_owned(), true));
        } else if path.ends_with("/debian") {
            found.push((path.to_owned(), false));
        }
    };
    for line in text.lines().map(str::trim) {
        if let Some(uris) = line.strip_prefix("URIs:") {
            uris.split_whitespace().for_each(&mut add);
        } else if line.starts_with("deb ") {
            line.split_whitespace()
                .filter(|word| word.contains("://"))
                .take(1)
                .for_each(&mut add);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::mirrors;

    #[test]
    fn both_forms_of_sources_are_read() {
        let text = "# deb http://no/debian x main\nURIs: http://a/debian\n\
                    deb [arch=amd64] http://b/debian-security/ stable main\ndeb http://c/other x y\n";
        let expected = [
            ("http://a/debian".to_owned(), false),
            ("http://b/debian-security".to_owned(), true),
        ];
        assert_eq!(mirrors(text), expected);
    }
}
