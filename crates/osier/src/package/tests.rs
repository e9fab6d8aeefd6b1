//! Packages made by hand: as `dpkg-deb` and `rpmbuild` lay them out, packed in each way.

#![expect(clippy::arithmetic_side_effects, reason = "small numbers")]

use std::io::{Cursor, Write as _};

use super::*;

/// An ELF file's magic and some bytes.
fn vmlinux() -> Vec<u8> {
    let noise = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
    b"\x7fELF".iter().copied().chain(noise).collect()
}

/// What lies before the file that is wanted, and it.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("usr/share/doc/linux-image/copyright", b"a text".to_vec()),
        (
            "usr/lib/debug/boot/vmlinux-script.py",
            b"#!/bin/sh".to_vec(),
        ),
        (
            "usr/lib/debug/lib/modules/1/kernel/ext4.ko.debug",
            b"\x7fELF a module".to_vec(),
        ),
        ("usr/lib/debug/boot/vmlinux-5.4.0-42-generic", vmlinux()),
        ("usr/lib/debug/z", vec![7; 5000]),
    ]
}

fn tar_of(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, format!("./{name}"), bytes.as_slice())
            .unwrap();
    }
    archive.into_inner().unwrap()
}

fn cpio_of(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut all = Vec::new();
    let trailer = [("TRAILER!!!", Vec::new())];
    for (name, bytes) in files.iter().chain(&trailer) {
        let sizes = (bytes.len(), name.len() + 3);
        let fields = [1, 0o100_644, 0, 0, 1, 0, sizes.0, 0, 0, 0, 0, sizes.1, 0];
        all.extend(b"070701");
        for field in fields {
            all.extend(format!("{field:08x}").bytes());
        }
        all.extend(format!("./{name}\0").bytes());
        if *name == "TRAILER!!!" {
            // This one has no folder before it.
            let start = all.len() - name.len() - 3;
            all.truncate(start);
            all.extend(b"TRAILER!!!\0\0\0");
        }
        all.resize(all.len().next_multiple_of(4), 0);
        all.extend(bytes);
        all.resize(all.len().next_multiple_of(4), 0);
    }
    all
}

fn deb(member: &str, data: &[u8]) -> Vec<u8> {
    let mut all = b"!<arch>\n".to_vec();
    for (name, bytes) in [
        ("debian-binary", b"2.0\n".as_slice()),
        ("control.tar.xz", b"odd"),
        (member, data),
    ] {
        let header = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            0,
            0,
            0,
            "100644",
            bytes.len()
        );
        all.extend(header.bytes());
        all.extend(bytes);
        all.resize(all.len().next_multiple_of(2), b'\n');
    }
    all
}

fn rpm(payload: &[u8]) -> Vec<u8> {
    let mut all = vec![0xed, 0xab, 0xee, 0xdb, 3, 0];
    all.resize(96, 0);
    for (entries, bytes) in [(2_u32, 13_u32), (3, 21)] {
        all.extend([0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0]);
        all.extend(entries.to_be_bytes());
        all.extend(bytes.to_be_bytes());
        all.resize(all.len() + (entries * 16 + bytes) as usize, 0x55);
        if entries == 2 {
            all.resize(all.len().next_multiple_of(8), 0);
        }
    }
    all.extend(payload);
    all
}

/// The data in each way that packages are packed in.
fn packed(data: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(data).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(data).unwrap();
    let options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
    let stream = Stream::new_lzma_encoder(&options).unwrap();
    let mut lzma = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    lzma.write_all(data).unwrap();
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    vec![
        ("plain", data.to_vec()),
        ("gz", gz.finish().unwrap()),
        ("xz", xz.finish().unwrap()),
        ("lzma", lzma.finish().unwrap()),
        ("zst", ruzstd::encoding::compress_to_vec(data, level)),
    ]
}

fn read(package: &[u8]) -> io::Result<Vec<u8>> {
    let kind = Package::detect(package).unwrap();
    kind.vmlinux(Cursor::new(package))
}

#[test]
fn the_vmlinux_is_found_in_packages_of_both_kinds_however_they_are_packed() {
    for (way, data) in packed(&tar_of(&files())) {
        assert_eq!(
            read(&deb(&format!("data.tar.{way}"), &data)).unwrap(),
            vmlinux(),
            "{way}"
        );
        // As `ar` writes names of its own.
        assert_eq!(
            read(&deb("data.tar.xz/", &data)).unwrap(),
            vmlinux(),
            "{way}"
        );
    }
    for (way, data) in packed(&cpio_of(&files())) {
        assert_eq!(read(&rpm(&data)).unwrap(), vmlinux(), "{way}");
    }
}

#[test]
fn what_is_no_package_of_a_kernel_is_told() {
    let others: Vec<_> = files()
        .into_iter()
        .filter(|(_, bytes)| *bytes != vmlinux())
        .collect();
    let none = read(&deb("data.tar", &tar_of(&others)))
        .unwrap_err()
        .to_string();
    assert!(none.contains("no vmlinux is in this package"), "{none}");
    let none = read(&rpm(&cpio_of(&others))).unwrap_err().to_string();
    assert!(none.contains("no vmlinux is in this package"), "{none}");
    let bzip2 = read(&rpm(b"BZh91AY&SY")).unwrap_err().to_string();
    assert!(bzip2.contains("packed with bzip2"), "{bzip2}");
    let empty = read(&deb("control.tar", b"")).unwrap_err().to_string();
    assert!(empty.contains("no member data.tar"), "{empty}");
    assert_eq!(Package::detect(b"!<arch>\nsomething.o/"), None);
}

#[test]
fn a_package_that_is_cut_is_an_error_and_never_a_shorter_file() {
    let deb = deb("data.tar", &tar_of(&files()));
    let rpm = rpm(&cpio_of(&files()));
    for whole in [deb, rpm] {
        for cut in (30..whole.len()).step_by(997) {
            match read(&whole[..cut]) {
                Ok(found) => assert_eq!(found, vmlinux(), "{cut}"),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}

#[test]
fn sizes_that_are_only_claimed_take_no_memory() {
    let mut archive = cpio_of(&files());
    let at = archive
        .windows(4)
        .rposition(|bytes| bytes == b"\x7fELF")
        .unwrap();
    let header = archive[..at]
        .windows(6)
        .rposition(|bytes| bytes == b"070701")
        .unwrap();
    archive[header + 54..header + 62].copy_from_slice(b"7fffffff");
    let error = read(&rpm(&archive)).unwrap_err().to_string();
    assert!(error.contains("cut short"), "{error}");
    archive[header + 54..header + 62].copy_from_slice(b"ffffffff");
    let error = read(&rpm(&archive)).unwrap_err().to_string();
    assert!(error.contains("more than the"), "{error}");
}
