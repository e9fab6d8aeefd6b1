//! Debian kernel packages: fetched through a private apt root, and unpacked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use osier_maker::apt::Apt;
use osier_maker::tool;

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
