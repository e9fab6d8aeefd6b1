//! What a process abandons is gone. It is alone here: it takes the partial files of every test beside it.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;

use osier_file::{Output, abandon};

#[test]
fn nothing_is_left() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("abandon");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let output = Output::create(&folder.join("out")).unwrap();
    let partial = output.written().unwrap().to_owned();
    assert!(partial.exists());
    abandon();
    assert!(!partial.exists());
    drop(output);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}
