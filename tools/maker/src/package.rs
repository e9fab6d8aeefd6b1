//! Debian kernel packages: fetched through a private apt root, and unpacked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::tool;

/// An unpacked kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// Release, as `uname -r` prints it.
    pub(crate) release: String,
    /// The compressed kernel image.
    pub(crate) image: PathBuf,
    /// Folder of the modules; absent when the package has none.
    pub(crate) modules: Option<PathBuf>,
    /// File names of the packages it came from.
    pub(crate) packages: Vec<String>,
}

/// Fetches a kernel package and what it needs, and unpacks them.
///
/// `newest` stands for the package that the suite's metapackage points to.
///
/// # Errors
///
/// When the machine has no Debian mirror configured, or the mirror no such package.
pub(crate) fn fetch(name: &str, suite: &str, arch: &str, work: &Path) -> Result<Kernel> {
    let apt = Apt::new(suite, arch, work)?;
    let name = if name == "newest" {
        apt.newest(arch)?
    } else {
        name.to_owned()
    };
    let mut debs = vec![apt.download(&name)?];
    // Newer packages hold nothing themselves, and depend on one with the image and one with modules.
    for needed in apt.depends(&name)? {
        if needed.starts_with("linux-binary-") || needed.starts_with("linux-modules-") {
            debs.push(apt.download(&needed)?);
        }
    }
    unpack(&debs, &work.join("unpacked").join(&name), work)
}

/// Unpacks packages that are already there.
///
/// # Errors
///
/// When a package cannot be unpacked, or holds no kernel.
pub(crate) fn unpack(debs: &[PathBuf], into: &Path, work: &Path) -> Result<Kernel> {
    fs::create_dir_all(into).with_context(|| format!("cannot create {}", into.display()))?;
    let mut packages = Vec::new();
    for deb in debs {
        let log = work.join("dpkg.log");
        let mut command = Command::new("dpkg");
        tool::run(
            command.arg("-x").arg(deb).arg(into),
            &log,
            Duration::from_secs(120),
        )?;
        packages.extend(
            deb.file_name()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    let mut image = None;
    for folder in ["boot", "usr/lib/kernel", "usr/boot"] {
        let Ok(entries) = fs::read_dir(into.join(folder)) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            if let Some(release) = name
                .as_deref()
                .and_then(|name| name.strip_prefix("vmlinuz-"))
            {
                image = Some((release.to_owned(), path.clone()));
            }
        }
    }
    let image = image.or_else(|| image_beside_modules(into));
    let Some((release, image)) = image else {
        bail!("no kernel image (vmlinuz) in {}", packages.join(", "));
    };
    let modules = ["lib/modules", "usr/lib/modules"]
        .into_iter()
        .map(|folder| into.join(folder).join(&release))
        .find(|folder| folder.is_dir());
    Ok(Kernel {
        release,
        image,
        modules,
        packages,
    })
}

/// The image of packages that keep it as `usr/lib/modules/RELEASE/vmlinuz`.
fn image_beside_modules(root: &Path) -> Option<(String, PathBuf)> {
    for folder in ["lib/modules", "usr/lib/modules"] {
        for entry in fs::read_dir(root.join(folder))
            .into_iter()
            .flatten()
            .flatten()
        {
            let image = entry.path().join("vmlinuz");
            if image.is_file() {
                return Some((entry.file_name().to_string_lossy().into_owned(), image));
            }
        }
    }
    None
}

/// An apt of our own: its sources, state and cache lie under the work folder.
struct Apt {
    options: Vec<String>,
    folder: PathBuf,
}

impl Apt {
    fn new(suite: &str, arch: &str, work: &Path) -> Result<Self> {
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

    fn depends(&self, name: &str) -> Result<Vec<String>> {
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

    fn newest(&self, arch: &str) -> Result<String> {
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

    fn download(&self, name: &str) -> Result<PathBuf> {
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
