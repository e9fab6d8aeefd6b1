//! Kernel modules: found in an unpacked package, in the order in which they must be loaded.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use osier_maker::tool;

/// A module ready to be put into the guest.
#[derive(Debug)]
pub(crate) struct Module {
    /// Its name, with underscores.
    pub(crate) name: String,
    /// The uncompressed object file.
    pub(crate) bytes: Vec<u8>,
}

/// All modules of a kernel, by name.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    paths: BTreeMap<String, PathBuf>,
}

impl Modules {
    /// Looks through a folder of modules.
    ///
    /// # Errors
    ///
    /// When a folder cannot be read.
    pub(crate) fn index(folder: &Path) -> Result<Self> {
        let mut modules = Self::default();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                } else if let Some(stem) = name
                    .strip_suffix(".ko")
                    .or_else(|| name.strip_suffix(".ko.xz"))
                {
                    modules.paths.insert(stem.replace('-', "_"), entry.path());
                }
            }
        }
        Ok(modules)
    }

    /// Adds a module and before it those it depends on, unless they are there already. A name that
    /// the kernel does not have (it may be built in) is returned as missing.
    ///
    /// # Errors
    ///
    /// When a module cannot be read.
    pub(crate) fn add(
        &self,
        name: &str,
        list: &mut Vec<Module>,
        work: &Path,
    ) -> Result<Vec<String>> {
        let name = name.replace('-', "_");
        if list.iter().any(|module| module.name == name) {
            return Ok(Vec::new());
        }
        let Some(path) = self.paths.get(&name) else {
            return Ok(vec![name]);
        };
        let bytes = read(path, work)?;
        let mut missing = Vec::new();
        for needed in depends(&bytes) {
            missing.extend(self.add(&needed, list, work)?);
        }
        list.push(Module { name, bytes });
        Ok(missing)
    }
}

fn read(path: &Path, work: &Path) -> Result<Vec<u8>> {
    let whole = if path.extension().is_some_and(|extension| extension == "xz") {
        let plain = work.join("module.ko");
        let mut command = Command::new("xz");
        let fine = tool::run_to(
            command.arg("-dc").arg(path),
            &plain,
            Duration::from_secs(30),
        )?;
        anyhow::ensure!(fine, "xz cannot unpack {}", path.display());
        plain
    } else {
        path.to_owned()
    };
    fs::read(&whole).with_context(|| format!("cannot read {}", whole.display()))
}

/// What the module's own `depends=` line says.
fn depends(bytes: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(at) = bytes.windows(key.len()).position(|window| window == key) else {
        return Vec::new();
    };
    let rest = bytes.get(at + key.len()..).unwrap_or_default();
    let line = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    line.split(|byte| *byte == b',')
        .filter(|name| !name.is_empty())
        .map(|name| name.escape_ascii().to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::depends;

    #[test]
    fn dependencies_are_read_from_the_module() {
        assert_eq!(
            depends(b"x\0depends=vsock,crc-it\0name=y\0"),
            ["vsock", "crc-it"]
        );
        assert!(depends(b"x\0depends=\0name=y\0").is_empty());
        assert!(depends(b"nothing").is_empty());
    }
}
