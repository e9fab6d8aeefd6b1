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

    /// What the snapshot contradicts, in words.
    pub fn contradiction(&self, os: OsKind, pointer_bytes: u8, release: &str) -> Option<String> {
        if self.os != os {
            return Some(format!("the snapshot holds {}", os_word(os)));
        }
        if self.pointer_bytes.is_some_and(|said| said != pointer_bytes) {
            let bits = pointer_bytes.saturating_mul(8);
            return Some(format!("the snapshot holds a {bits}-bit kernel"));
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
}
