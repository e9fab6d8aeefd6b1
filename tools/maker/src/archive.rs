//! The initial file system of the guest: a cpio archive in the "newc" form
//! (Linux Documentation/driver-api/early-userspace/buffer-format.rst).

/// Builds an archive in memory.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    count: u32,
}

impl Archive {
    /// Adds a folder; those above it must have been added before.
    pub(crate) fn folder(&mut self, name: &str) {
        self.entry(name.as_bytes(), 0o040_755, (0, 0), &[]);
    }

    /// Adds an executable file.
    pub(crate) fn file(&mut self, name: &[u8], content: &[u8]) {
        self.entry(name, 0o100_755, (0, 0), content);
    }

    /// Adds a character device.
    pub(crate) fn device(&mut self, name: &str, major: u32, minor: u32) {
        self.entry(name.as_bytes(), 0o020_600, (major, minor), &[]);
    }

    /// The archive with its trailer.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry(b"TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &[u8], mode: u32, device: (u32, u32), content: &[u8]) {
        self.count += 1;
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
        let fields = [
            self.count, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name_size, 0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn entries_are_aligned_and_the_trailer_ends_them() {
        let mut archive = Archive::default();
        archive.file(b"init", b"12345");
        let bytes = archive.finish();
        assert!(bytes.starts_with(b"070701000000010000"));
        assert_eq!(bytes.get(110..115), Some(&b"init\0"[..]));
        assert_eq!(bytes.get(116..121), Some(&b"12345"[..]));
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.windows(10).any(|window| window == b"TRAILER!!!"));
    }
}
