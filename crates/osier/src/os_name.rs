//! Names of operating systems: `linux`, `windows`, and PANDA's `-os` strings.
//!
//! PANDA splits its string at `-` or `_` into family, bits and variant: `linux-64-ubuntu:4.15.0`,
//! `windows_32_7sp1`.

use osier_profile::OsKind;

/// What the name of an operating system says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsName {
    /// The family.
    pub os: OsKind,
    /// Its name, where it is one of the registry's.
    pub system: Option<String>,
    /// Bytes of a pointer, when the name says 32 or 64.
    pub pointer_bytes: Option<u8>,
    /// PANDA's variant, such as `ubuntu:4.15.0-72-generic`; `None` when the name has none.
    pub variant: Option<String>,
}

/// A name that names no operating system that Osier reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` names no operating system that is read: {problem}; write linux, windows, or a PANDA \
     string such as linux-64-ubuntu:4.15.0-72-generic",
    name = osier_text::visible(name)
)]
pub struct OsNameError {
    /// The name.
    pub name: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl OsName {
    /// Reads a name. Families may be written in any case.
    ///
    /// # Errors
    ///
    /// [`OsNameError`] says what is wrong with it.
    pub fn parse(name: &str) -> Result<Self, OsNameError> {
        Self::parse_among(name, &[])
    }

    /// As [`parse`](Self::parse), where the families `others` are known too.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn parse_among(name: &str, others: &[&str]) -> Result<Self, OsNameError> {
        let wrong = |problem| OsNameError {
            name: name.to_owned(),
            problem,
        };
        let mut parts = name.splitn(3, ['-', '_']);
        let family = parts.next().unwrap_or_default().to_ascii_lowercase();
        let os = match family.as_str() {
            "linux" => OsKind::Linux,
            "windows" => OsKind::Windows,
            other if others.contains(&other) => OsKind::Other,
            "freebsd" => return Err(wrong("FreeBSD has no provider")),
            _ => return Err(wrong("the family is unknown")),
        };
        let pointer_bytes = match parts.next() {
            None => None,
            Some("32") => Some(4),
            Some("64") => Some(8),
            Some(_) => return Err(wrong("32 or 64 must follow the family")),
        };
        let variant = parts.next().map(str::to_owned);
        if variant.as_deref() == Some("") {
            return Err(wrong("the variant is empty"));
        }
        Ok(Self {
            os,
            system: (os == OsKind::Other).then_some(family),
            pointer_bytes,
            variant,
        })
    }

    /// The kernel release that a Linux variant names: `4.15.0-72-generic` of
    /// `ubuntu:4.15.0-72-generic`, without a trailing `:64` group suffix or `:nokaslr` mark.
    pub fn release(&self) -> Option<&str> {
        let variant = self
            .variant
            .as_deref()
            .filter(|_| self.os == OsKind::Linux)?;
        variant
            .split(':')
            .find(|part| part.starts_with(|c: char| c.is_ascii_digit()) && part.contains('.'))
    }

    /// The version that a Windows variant stands for, as the kernel counts: `6.1` of `7sp1`, which is also
    /// that of Server 2008 R2. `None` for a variant that is not known, and where there is none.
    pub fn version(&self) -> Option<&'static str> {
        let variant = (self.variant.as_deref()).filter(|_| self.os == OsKind::Windows)?;
        let variant = variant.to_ascii_lowercase();
        // Service packs are no part of the version.
        let release = variant.split("sp").next().unwrap_or_default();
        let wide = self.pointer_bytes == Some(8);
        Some(match release.trim_end_matches(['-', '_', ' ']) {
            "2000" => "5.0",
            "xp" if wide => "5.2",
            "xp" => "5.1",
            "2003" | "2003r2" => "5.2",
            "vista" | "2008" => "6.0",
            "7" | "2008r2" => "6.1",
            "8" | "2012" => "6.2",
            "8.1" | "2012r2" => "6.3",
            "10" | "11" | "2016" | "2019" | "2022" | "2025" => "10.0",
            _ => return None,
        })
    }

    /// What the snapshot contradicts, in words. `release` is the release of a Linux banner, or the version
    /// of a Windows kernel (`6.1`); empty where it is not known.
    pub fn contradiction(&self, os: OsKind, pointer_bytes: u8, release: &str) -> Option<String> {
        if self.os != os {
            let word = os_word(os);
            let of = if release.is_empty() { "" } else { " " };
            return Some(format!("the snapshot holds {word}{of}{release}"));
        }
        if self.pointer_bytes.is_some_and(|said| said != pointer_bytes) {
            let bits = pointer_bytes.saturating_mul(8);
            return Some(format!("the snapshot holds a {bits}-bit kernel"));
        }
        if let Some(said) = self.version() {
            return (!release.is_empty() && release != said)
                .then(|| format!("the snapshot holds Windows NT {release}, and that is {said}"));
        }
        let said = self.release()?;
        // A variant may name a release in part: 4.15 stands for 4.15.0-72-generic.
        (!release.is_empty() && !release.starts_with(said))
            .then(|| format!("the snapshot holds Linux {release}"))
    }
}

/// The word for an operating system.
pub const fn os_word(os: OsKind) -> &'static str {
    match os {
        OsKind::Linux => "Linux",
        OsKind::Windows => "Windows",
        OsKind::Other => "another system",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_their_parts() {
        let check = |name: &str, os, bytes, release: Option<&str>| {
            let parsed = OsName::parse(name).unwrap();
            assert_eq!((parsed.os, parsed.pointer_bytes), (os, bytes), "{name}");
            assert_eq!(parsed.release(), release, "{name}");
        };
        check("linux", OsKind::Linux, None, None);
        check("Linux-64", OsKind::Linux, Some(8), None);
        check(
            "linux-64-ubuntu:4.15.0-72-generic",
            OsKind::Linux,
            Some(8),
            Some("4.15.0-72-generic"),
        );
        check(
            "linux_32_debian:3.2.0-4-686-pae",
            OsKind::Linux,
            Some(4),
            Some("3.2.0-4-686-pae"),
        );
        check("windows-32-7", OsKind::Windows, Some(4), None);
        check("windows_64_7sp1", OsKind::Windows, Some(8), None);
    }

    #[test]
    fn bad_names_are_refused() {
        for name in ["", "plan9", "linux-16-x", "freebsd-64-12", "linux-64-"] {
            assert!(OsName::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_contradiction_is_told() {
        let name = OsName::parse("linux-64-ubuntu:4.15.0-72-generic").unwrap();
        let tell = |os, bytes, release| name.contradiction(os, bytes, release);
        assert_eq!(tell(OsKind::Linux, 8, "4.15.0-72-generic"), None);
        assert!(tell(OsKind::Linux, 4, "4.15.0-72-generic").is_some());
        assert!(tell(OsKind::Windows, 8, "").is_some());
        assert!(tell(OsKind::Linux, 8, "6.1.0").is_some());
    }

    #[test]
    fn a_windows_version_is_told() {
        let tell = |name: &str, bytes, version| {
            let name = OsName::parse(name).unwrap();
            name.contradiction(OsKind::Windows, bytes, version)
        };
        for (name, bytes, version) in [
            ("windows-32-2000", 4, "5.0"),
            ("windows-32-xpsp2", 4, "5.1"),
            ("windows-32-xpsp3", 4, "5.1"),
            ("windows-32-7sp0", 4, "6.1"),
            ("windows-32-7sp1", 4, "6.1"),
            ("windows-64-7sp1", 8, "6.1"),
            ("windows-64-xpsp2", 8, "5.2"),
            ("windows-64-11", 8, "10.0"),
        ] {
            assert_eq!(tell(name, bytes, version), None, "{name}");
            assert_eq!(
                tell(name, bytes, ""),
                None,
                "{name}, a version that is not known"
            );
            let other = tell(name, bytes, "4.0");
            assert!(other.is_some_and(|text| text.contains("NT 4.0")), "{name}");
        }
        assert_eq!(tell("windows-32-longhorn", 4, "6.0"), None, "not known");
        assert_eq!(tell("windows-32", 4, "5.2"), None);
    }
}
