//! The name of a process, `ImageFileName`, held against the path of its image.

use osier_memory::VirtAddr;
use osier_osi::{Absent, Seen};

use crate::windows::Windows;
use crate::{twins, unicode};

/// Longest `ImageFileName`; 15 bytes since Windows 7, of which the last may be no NUL.
const NAME_BYTES: u64 = 16;

/// `ImageFileName`, as bytes: where the kernel noted the path of the image, too, the beginning of the
/// name there.
pub(crate) fn name(windows: &Windows, at: VirtAddr) -> Seen<Vec<u8>> {
    let field = windows.process.fields.image_file_name;
    let bytes = match field.bytes {
        0 => NAME_BYTES,
        bytes => bytes.min(NAME_BYTES),
    };
    let place = field.place(at);
    let name = windows.guest.space.read_cstr(place, bytes as usize);
    (name).map_err(Absent::unreadable).and_then(|name| {
        let length = name.len() as u64;
        if length == 0 {
            Err(Absent::implausible(0, "a process has a name", Some(place)))
        } else if length == NAME_BYTES {
            let rule = "ImageFileName ends with a NUL within its 16 bytes";
            Err(Absent::implausible(length, rule, Some(place)))
        } else if noted(windows, at).is_some_and(|path| !begins(&path, &name)) {
            let rule = "ImageFileName begins the name of the image's file, which the kernel notes";
            Err(Absent::implausible(length, rule, Some(place)))
        } else {
            Ok(name)
        }
    })
}

/// The path of the image, as the kernel noted it when it made the process; `None` where it did not, or
/// that cannot be read.
fn noted(windows: &Windows, at: VirtAddr) -> Option<Vec<u8>> {
    let space = &windows.guest.space;
    let name = windows.process.fields.image_name?.read(space, at).ok()?;
    if name.is_null() || twins::is_bare(windows, at) {
        return None;
    }
    let path = unicode::path(space, name, space.mode().pointer_bytes()).ok()?;
    (!path.is_empty()).then_some(path)
}

/// Whether `name` is what `ImageFileName` holds of the file at `path`: all of its name, or the first 14
/// or 15 bytes. Of letters that are not ASCII it holds others, and a short name (`PROGRA~1`) may stand
/// for a long one.
fn begins(path: &[u8], name: &[u8]) -> bool {
    const KEPT: usize = 14;
    let base = unicode::base_name(path);
    if !base.is_ascii() || base.contains(&b'~') || name.contains(&b'~') {
        return true;
    }
    let start = base.get(..name.len()).unwrap_or(&base);
    let whole = name.len() == base.len() || name.len() >= KEPT;
    whole && start.eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::begins;

    #[test]
    fn a_name_begins_that_of_its_file() {
        let of = |path: &str, name: &str| begins(path.as_bytes(), name.as_bytes());
        let shell = r"\Device\HarddiskVolume1\Windows\explorer.exe";
        assert!(of(shell, "explorer.exe") && of(shell, "Explorer.EXE"));
        assert!(!of(shell, "explorer") && !of(shell, "explorer.exex") && !of(shell, "svchost.exe"));
        assert!(of(r"\a\SearchIndexer.exe", "SearchIndexer."));
        assert!(of(r"\a\SearchIndexer.exe", "SearchIndexer.e"));
        assert!(!of(r"\a\SearchIndexer.exe", "SearchIndexer"));
        assert!(of(r"\a\Größe.exe", "Gr\u{f6}"), "another code page");
        assert!(of(r"\a\Long name.exe", "LONGNA~1.EXE"), "a short name");
    }
}
