//! Missing symbols, as a value that says exactly which file is needed and where it can be had.

use std::fmt;

use osier_symbols::image::Help;

/// A kernel was found, but nothing tells its types or its symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingSymbols {
    /// Which kernel, and which file would help.
    pub help: Help,
    /// Each place that was tried, and what came of it.
    pub tried: Vec<String>,
}

impl fmt::Display for MissingSymbols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let help = &self.help;
        writeln!(f, "the kernel's types and symbols are missing")?;
        writeln!(f, "  kernel:   {}", help.banner)?;
        let id = help.build_id.as_deref().unwrap_or("none found");
        writeln!(f, "  build id: {id}")?;
        for tried in &self.tried {
            writeln!(f, "  tried:    {tried}")?;
        }
        writeln!(f, "  needed:   {}", help.file)?;
        if let Some(package) = &help.package {
            writeln!(f, "            of package {package}")?;
        }
        write!(f, "  then:     {}", help.command)
    }
}

impl std::error::Error for MissingSymbols {}

#[cfg(test)]
mod tests {
    use osier_profile::{BuildId, Identity, OsKind};

    use super::*;

    #[test]
    fn the_exact_file_is_named() {
        let check = |banner: &str, release: &str, package: &str, file: &str| {
            let identity = Identity {
                os: OsKind::Linux,
                pointer_bytes: 4,
                build_id: Some(BuildId(vec![0, 255])),
                banner: banner.as_bytes().to_vec(),
                release: release.to_owned(),
            };
            let missing = MissingSymbols {
                help: Help::of(&identity),
                tried: vec!["the cache: nothing".to_owned()],
            };
            let text = missing.to_string();
            assert!(text.contains("build id: 00ff"), "{text}");
            assert!(text.contains(package), "{text}");
            assert!(
                text.ends_with(&format!("osier profile import {file}")),
                "{text}"
            );
        };
        check(
            "Linux version 5.10.0-32-686 (debian-kernel@lists.debian.org) #1 SMP Debian 5.10.223-1",
            "5.10.0-32-686",
            "linux-image-5.10.0-32-686-dbg",
            "/usr/lib/debug/boot/vmlinux-5.10.0-32-686",
        );
        check(
            "Linux version 6.5.6-300.fc39.x86_64 (mockbuild@fedora)",
            "6.5.6-300.fc39.x86_64",
            "kernel-debuginfo-6.5.6-300.fc39.x86_64",
            "/usr/lib/debug/lib/modules/6.5.6-300.fc39.x86_64/vmlinux",
        );
        check("Linux version 6.0.0 (me@here)", "6.0.0", "vmlinux", "FILE");
    }
}
