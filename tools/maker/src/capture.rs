//! Saves a stopped guest in every container.

use std::fs;
use std::io::{Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::qmp::Qmp;
use osier_maker::tool;

const LIMIT: Duration = Duration::from_secs(600);
const FOUR_GIB: u64 = 1 << 32;

/// What is written besides raw memory, an ELF core and the migration stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Containers {
    /// `memory-paging.elf`, an ELF core by virtual addresses.
    pub(crate) paging: bool,
    /// `memory.kdump`.
    pub(crate) kdump: bool,
}

/// Writes `memory.raw`, `memory.elf`, `memory.savevm`, `registers.txt`, `mtree.txt`, and the others
/// that are wanted. The guest must be stopped. All containers hold one instant.
///
/// # Errors
///
/// When QEMU refuses, or the disk is full.
pub(crate) fn save(qmp: &mut Qmp, folder: &Path, also: Containers) -> Result<()> {
    fs::write(
        folder.join("registers.txt"),
        qmp.monitor("info registers -a")?,
    )?;
    let tree = qmp.monitor("info mtree -f")?;
    fs::write(folder.join("mtree.txt"), &tree)?;
    raw(qmp, folder, &tree)?;
    dump(qmp, &folder.join("memory.elf"), false, "elf")?;
    if also.paging {
        dump(qmp, &folder.join("memory-paging.elf"), true, "elf")?;
    }
    if also.kdump {
        dump(qmp, &folder.join("memory.kdump"), false, "kdump-zlib")?;
    }
    qmp.execute(
        "migrate-set-parameters",
        &json!({ "max-bandwidth": 1_u64 << 40 }),
    )?;
    let file = fs::canonicalize(folder)?.join("memory.savevm");
    let quoted = file.display().to_string().replace('\'', "'\\''");
    qmp.execute(
        "migrate",
        &json!({ "uri": format!("exec:cat > '{quoted}'") }),
    )?;
    qmp.wait_completed("query-migrate", LIMIT)
        .context("cannot save the migration stream")
}

fn dump(qmp: &mut Qmp, path: &Path, paging: bool, format: &str) -> Result<()> {
    let protocol = format!("file:{}", absolute(path)?);
    // QEMU refuses a format beside paging, be it the one that it takes then.
    let arguments = if paging {
        json!({ "paging": true, "protocol": protocol })
    } else {
        json!({ "paging": false, "protocol": protocol, "format": format })
    };
    qmp.execute("dump-guest-memory", &arguments)
        .with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
    Ok(())
}

/// Low memory in one piece; memory above 4 GiB behind it, with a hole in the file between.
fn raw(qmp: &mut Qmp, folder: &Path, tree: &str) -> Result<()> {
    let path = folder.join("memory.raw");
    let (low, high) = ram_ends(tree);
    anyhow::ensure!(low > 0, "QEMU names no pc.ram in its memory tree");
    pmemsave(qmp, 0, low, &path)?;
    if high > FOUR_GIB {
        let upper = folder.join("memory.high");
        pmemsave(qmp, FOUR_GIB, high - FOUR_GIB, &upper)?;
        let mut whole = fs::OpenOptions::new().write(true).open(&path)?;
        whole.seek(SeekFrom::Start(FOUR_GIB))?;
        std::io::copy(&mut fs::File::open(&upper)?, &mut whole)?;
        fs::remove_file(&upper)?;
    }
    Ok(())
}

fn pmemsave(qmp: &mut Qmp, start: u64, size: u64, path: &Path) -> Result<()> {
    let arguments = json!({ "val": start, "size": size, "filename": absolute(path)? });
    qmp.execute("pmemsave", &arguments)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

fn absolute(path: &Path) -> Result<String> {
    Ok(std::path::absolute(path)?.display().to_string())
}

/// Where RAM ends below 4 GiB, and where above; 0 where there is none.
fn ram_ends(tree: &str) -> (u64, u64) {
    let (mut low, mut high) = (0, 0);
    for line in tree.lines().filter(|line| line.contains(": pc.ram")) {
        let range = line.split_whitespace().next().unwrap_or_default();
        let last = range
            .split('-')
            .nth(1)
            .and_then(|last| u64::from_str_radix(last, 16).ok());
        match last {
            Some(last) if last < FOUR_GIB => low = low.max(last + 1),
            Some(last) => high = high.max(last + 1),
            None => {}
        }
    }
    (low, high)
}

/// Where the archive starts in what came over the port: the drivers of old kernels (2.6.38) send a byte of their own
/// when the port is opened.
fn archive_start(bytes: &[u8]) -> usize {
    /// Where a header of the archive has its mark.
    const MARK_AT: usize = 257;
    let mark = bytes.windows(5).position(|word| word == b"ustar");
    mark.and_then(|mark| mark.checked_sub(MARK_AT)).unwrap_or(0)
}

/// Unpacks the guest's word into `truth/`.
///
/// # Errors
///
/// When the archive is cut off, or the disk is full.
pub(crate) fn truth(archive: &Path, folder: &Path) -> Result<()> {
    let truth = folder.join("truth");
    if truth.exists() {
        fs::remove_dir_all(&truth)?;
    }
    fs::create_dir_all(&truth)?;
    let mut bytes = fs::read(archive)?;
    let start = archive_start(&bytes);
    if start > 0 {
        fs::write(archive, bytes.split_off(start))?;
    }
    let log = folder.join("tar.log");
    let mut command = std::process::Command::new("tar");
    command
        .arg("-xf")
        .arg(std::path::absolute(archive)?)
        .arg("-C")
        .arg(&truth);
    tool::run(
        command.arg("--no-same-owner"),
        &log,
        Duration::from_secs(120),
    )
    .context("the truth came over the serial port damaged")?;
    fs::remove_file(log)?;
    anyhow::ensure!(truth.join("uptime").is_file(), "the truth is cut off");
    fs::remove_file(archive)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{archive_start, ram_ends};

    #[test]
    fn what_a_driver_sent_before_the_archive_is_left_out() {
        let mut header = vec![b'n'; 512];
        header[257..262].copy_from_slice(b"ustar");
        assert_eq!(archive_start(&header), 0);
        header.insert(0, 0xff);
        assert_eq!(archive_start(&header), 1);
        assert_eq!(archive_start(b"nothing"), 0);
    }

    #[test]
    fn memory_above_the_hole_is_found() {
        let tree = "  0000000000100000-00000000bfffffff (prio 0, ram): pc.ram @1\n  \
                    0000000100000000-000000017fffffff (prio 0, ram): pc.ram @2\n";
        assert_eq!(ram_ends(tree), (0xc000_0000, 0x1_8000_0000));
        assert_eq!(ram_ends("nothing"), (0, 0));
    }
}
