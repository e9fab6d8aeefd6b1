//! Outputs of every kind do what `cp` would, and leave nothing else behind.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]
#![cfg(unix)]

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use osier_file::{Output, write};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("outputs-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_file_appears_when_it_is_whole() {
    let folder = folder("whole");
    let path = folder.join("out");
    let mut output = Output::create(&path).unwrap();
    output.file().write_all(b"half").unwrap();
    assert!(!path.exists());
    drop(output);
    assert_eq!(names(&folder), [""; 0]);
    write(&path, "whole").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"whole");
    // As any other new file.
    File::create(folder.join("other")).unwrap();
    assert_eq!(mode(&path), mode(&folder.join("other")));
    // What is there stays until the new one is whole, and then gives it its permissions.
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let mut output = Output::create(&path).unwrap();
    output.file().write_all(b"new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"whole");
    output.finish().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(mode(&path), 0o640);
    assert_eq!(names(&folder), ["other", "out"]);
}

#[test]
fn links_are_followed_and_stay() {
    let folder = folder("links");
    fs::create_dir(folder.join("sub")).unwrap();
    symlink("sub/target", folder.join("two")).unwrap();
    symlink("two", folder.join("one")).unwrap();
    for text in ["made", "replaced"] {
        write(&folder.join("one"), text).unwrap();
        assert_eq!(fs::read_to_string(folder.join("sub/target")).unwrap(), text);
    }
    assert!(folder.join("one").is_symlink() && folder.join("two").is_symlink());
    symlink("round", folder.join("round")).unwrap();
    assert!(write(&folder.join("round"), "").is_err());
    // Both names of one file keep it.
    fs::hard_link(folder.join("sub/target"), folder.join("second")).unwrap();
    write(&folder.join("second"), "both").unwrap();
    assert_eq!(fs::read(folder.join("sub/target")).unwrap(), b"both");
    assert_eq!(fs::metadata(folder.join("second")).unwrap().nlink(), 2);
}

#[test]
fn devices_and_pipes_are_written_through() {
    write(Path::new("/dev/null"), "gone").unwrap();
    let null = fs::metadata("/dev/null").unwrap().file_type();
    assert!(null.is_char_device());
    let full = write(Path::new("/dev/full"), "x").unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    let folder = folder("pipes");
    let fifo = folder.join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let reader = {
        let fifo = fifo.clone();
        std::thread::spawn(move || {
            let mut text = String::new();
            File::open(fifo).unwrap().read_to_string(&mut text).unwrap();
            text
        })
    };
    let mut output = Output::create(&fifo).unwrap();
    assert_eq!(output.written(), None);
    output.file().write_all(b"through").unwrap();
    output.finish().unwrap();
    assert_eq!(reader.join().unwrap(), "through");
    assert_eq!(names(&folder), ["fifo"]);
}

#[test]
fn what_cannot_be_written_is_as_before() {
    let folder = folder("refused");
    let refused = write(&folder, "").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::IsADirectory);
    let missing = write(&folder.join("no/file"), "").unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let file = write(&folder.join("x"), "").and_then(|()| write(&folder.join("x/y"), ""));
    assert_eq!(file.unwrap_err().kind(), ErrorKind::NotADirectory);
}

/// What a killed process left goes when the same file is written next; what is being written stays.
#[test]
fn leftovers_go() {
    let folder = folder("leftovers");
    let path = folder.join("out");
    fs::write(folder.join(".out.1-0.osier-partial"), "left").unwrap();
    fs::write(folder.join(".other.1-0.osier-partial"), "another's").unwrap();
    let first = Output::create(&path).unwrap();
    let second = Output::create(&path).unwrap();
    assert!(first.written().unwrap().exists());
    drop((first, second));
    assert_eq!(names(&folder), [".other.1-0.osier-partial"]);
}

/// Whoever cleans never takes what another has just begun: each of many writers of one file ends well.
#[test]
fn writers_of_one_file_leave_each_other_alone() {
    let folder = folder("many");
    let path = folder.join("out");
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..300 {
                    write(path, format!("{writer}")).unwrap();
                }
            });
        }
    });
    assert_eq!(fs::read(&path).unwrap().len(), 1);
    assert_eq!(names(&folder), ["out"]);
}
