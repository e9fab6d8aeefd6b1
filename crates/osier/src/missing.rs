//! Missing symbols, as a value that says exactly which file is needed and where it can be had.

use std::fmt;

/// A kernel was found, but nothing tells its types or its symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingSymbols {
    /// The kernel's banner, as text.
    pub banner: String,
    /// Its release, such as `5.10.0-32-686`.
    pub release: String,
    /// Its build id, in hexadecimal.
    pub build_id: Option<String>,
    /// Each place that was tried, and what came of it.
    pub tried: Vec<String>,
}

/// Where a distribution keeps a kernel's symbols.
struct Help {
    package: String,
    file: String,
}

impl MissingSymbols {
    /// The package and the file that would help, by the marks that distributions leave in the
    /// banner and the release.
    fn help(&self) -> Option<Help> {
        let release = &self.release;
        if self.banner.contains("Ubuntu") {
            return Some(Help {
                package: format!(
                    "linux-image-unsigned-{release}-dbgsym, from Ubuntu's ddebs archive"
                ),
                file: format!("/usr/lib/debug/boot/vmlinux-{release}"),
            });
        }
        if self.banner.contains("Debian") || self.banner.contains("debian") {
            return Some(Help {
                package: format!("linux-image-{release}-dbg, from Debian"),
                file: format!("/usr/lib/debug/boot/vmlinux-{release}"),
            });
        }
        let fedora = release.split('.').any(|part| {
            let digits = part.strip_prefix("fc").or_else(|| part.strip_prefix("el"));
            digits.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        });
        fedora.then(|| Help {
            package: format!("kernel-debuginfo-{release}"),
            file: format!("/usr/lib/debug/lib/modules/{release}/vmlinux"),
        })
    }

    /// Words for the file that the command is to import.
    pub fn file(&self) -> String {
        self.help()
            .map_or_else(|| format!("vmlinux-{}", self.release), |help| help.file)
    }
}

impl fmt::Display for MissingSymbols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the kernel's types and symbols are missing")?;
        writeln!(f, "  kernel:   {}", self.banner)?;
        let id = self.build_id.as_deref().unwrap_or("none found");
        writeln!(f, "  build id: {id}")?;
        for tried in &self.tried {
            writeln!(f, "  tried:    {tried}")?;
        }
        match self.help() {
            Some(help) => {
                writeln!(f, "  needed:   {}", help.file)?;
                writeln!(f, "            of package {}", help.package)?;
            }
            None => writeln!(
                f,
                "  needed:   the vmlinux of this build with DWARF, its /sys/kernel/btf/vmlinux and \
                 System.map, or an ISF file"
            )?,
        }
        write!(f, "  then:     osier profile import {}", self.file())
    }
}

impl std::error::Error for MissingSymbols {}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(banner: &str, release: &str) -> MissingSymbols {
        MissingSymbols {
            banner: banner.to_owned(),
            release: release.to_owned(),
            build_id: Some("00ff".to_owned()),
            tried: vec!["the cache: nothing".to_owned()],
        }
    }

    #[test]
    fn the_exact_file_is_named() {
        let check = |banner: &str, release: &str, package: &str, file: &str| {
            let text = missing(banner, release).to_string();
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
            "Linux version 5.4.0-26-generic (buildd@lcy01) #30-Ubuntu SMP",
            "5.4.0-26-generic",
            "linux-image-unsigned-5.4.0-26-generic-dbgsym",
            "/usr/lib/debug/boot/vmlinux-5.4.0-26-generic",
        );
        check(
            "Linux version 6.5.6-300.fc39.x86_64 (mockbuild@fedora)",
            "6.5.6-300.fc39.x86_64",
            "kernel-debuginfo-6.5.6-300.fc39.x86_64",
            "/usr/lib/debug/lib/modules/6.5.6-300.fc39.x86_64/vmlinux",
        );
        let own = missing("Linux version 6.0.0 (me@here)", "6.0.0").to_string();
        assert!(
            own.contains("with DWARF") && own.contains("vmlinux-6.0.0"),
            "{own}"
        );
    }
}
