//! A missing kernel, or a kernel's missing symbols, as a value that says what was tried, which file is
//! needed and where it can be found.

use std::fmt;
use std::path::PathBuf;

use osier_snapshot::{Anomaly, Effect, Snapshot};
use osier_symbols::image::Help;

/// What a search met that found no kernel, in words.
#[derive(Default)]
pub(crate) struct Met {
    /// Each search, and what came of it.
    pub(crate) tried: Vec<String>,
    /// What speaks of a kernel all the same.
    pub(crate) seen: Vec<String>,
}

impl Met {
    /// Adds what another search met.
    pub(crate) fn join(&mut self, other: Self) {
        self.tried.extend(other.tried);
        self.seen.extend(other.seen);
    }
}

/// A snapshot was opened, but no kernel was found in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoKernel {
    /// The snapshot's file.
    pub file: PathBuf,
    /// Each search, and what it met.
    pub tried: Vec<String>,
    /// What was seen of a kernel all the same: VMCOREINFO, banners, an image without one.
    pub seen: Vec<String>,
    /// What is odd about the file: it may be cut short.
    pub anomalies: Vec<Anomaly>,
    /// Whether the file holds any processor's registers.
    pub has_cpus: bool,
}

impl NoKernel {
    pub(crate) fn of(snapshot: &Snapshot, met: Met) -> Self {
        Self {
            file: snapshot.info.file.clone(),
            tried: met.tried,
            seen: met.seen,
            anomalies: snapshot.info.anomalies.clone(),
            has_cpus: !snapshot.machine.cpus.is_empty(),
        }
    }
}

impl fmt::Display for NoKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: no kernel was found", osier_text::path(&self.file))?;
        for tried in &self.tried {
            writeln!(f, "  tried:    {tried}")?;
        }
        for seen in &self.seen {
            writeln!(f, "  seen:     {seen}")?;
        }
        for anomaly in &self.anomalies {
            writeln!(f, "  the file: {anomaly}")?;
        }
        let cut = self
            .anomalies
            .iter()
            .any(|anomaly| anomaly.effect == Effect::Bytes);
        if cut {
            writeln!(
                f,
                "  it helps: the file whole and undamaged, taken or copied again"
            )?;
        }
        if !self.has_cpus && !cut {
            writeln!(
                f,
                "  it helps: the processors' registers, with --registers FILE"
            )?;
        }
        if !self.seen.is_empty() {
            writeln!(
                f,
                "  it helps: a profile of the kernel that was seen, with --profile FILE: the kernel's \
                 place is then looked for by its own bytes"
            )?;
        }
        write!(
            f,
            "  it helps: the address of a page table that maps the kernel (a CR3, or any process's), with --dtb ADDR; `osier info` shows \
             what the file was taken for"
        )
    }
}

impl std::error::Error for NoKernel {}

/// A kernel was found, but nothing tells its types or its symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingSymbols {
    /// Which kernel, and which file would help.
    pub help: Help,
    /// Each place that was tried, and what came of it.
    pub tried: Vec<String>,
    /// Whether the kernel's structures may be inferred instead, which was not asked for.
    pub inferable: bool,
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
        write!(f, "  then:     {}", help.command)?;
        if self.inferable {
            write!(
                f,
                "\n  or:       --infer, which infers what the kernel's memory proves and leaves out the rest"
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for MissingSymbols {}

#[cfg(test)]
mod tests {
    use osier_profile::{BuildId, Identity, OsKind};

    use super::*;

    #[test]
    fn a_cut_file_is_told_where_no_kernel_is_found() {
        let mut none = NoKernel {
            file: "cut.elf".into(),
            tried: vec!["no Linux kernel found: 0 roots".to_owned()],
            seen: vec!["a note, VMCOREINFO of Linux 6.1.0".to_owned()],
            anomalies: vec![Anomaly::bytes("the file is cut short")],
            has_cpus: true,
        };
        let text = none.to_string();
        assert!(
            text.starts_with("cut.elf: no kernel was found\n  tried:    no Linux kernel found")
        );
        assert!(text.contains("\n  the file: the file is cut short\n"));
        assert!(text.contains("\n  seen:     a note, VMCOREINFO of Linux 6.1.0\n"));
        assert!(text.contains("with --profile FILE"));
        assert!(!text.contains("--registers"));
        assert!(text.contains("it helps: the file whole"), "{text}");
        none.has_cpus = false;
        assert!(!none.to_string().contains("--registers"));
        none.anomalies.clear();
        let text = none.to_string();
        assert!(
            text.contains("--registers FILE") && !text.contains("the file whole"),
            "{text}"
        );
    }

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
                inferable: false,
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
