//! Lists the profiles that ship with the project, `symbols/*.osp`, for `src/shipped.rs`, each with the
//! build id that its card names.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let folder = here.join("symbols");
    println!("cargo::rerun-if-changed=build.rs");
    if folder.is_dir() {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    let mut profiles: Vec<PathBuf> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "osp"))
        .collect();
    profiles.sort();
    if profiles.is_empty() {
        let what = format!("no profile (*.osp) in {}", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, what));
    }
    let mut list = String::from("&[\n");
    for path in profiles {
        let bytes = fs::read(&path)?;
        let id = build_id(&bytes);
        let file = path.display().to_string();
        let _ = writeln!(
            list,
            "    Embedded {{ build_id: &{id:?}, file: include_bytes!({file:?}) }},"
        );
    }
    list.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(Path::new(&out).join("shipped.rs"), list)
}

/// The build id of a profile file: behind 40 bytes of header and two numbers of a byte each, a length
/// and so many bytes; see `osier-profile`'s `file.rs`. A test holds it to the card.
fn build_id(file: &[u8]) -> &[u8] {
    let (length, rest) = match file.get(42..) {
        Some([length, rest @ ..]) => (usize::from(*length), rest),
        _ => return &[],
    };
    rest.get(..length).unwrap_or_default()
}
