//! The crates depend on each other as the picture in ARCHITECTURE.md says.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

type Picture = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The lines `crate -> crate crate` of the block that is tagged `dependencies`.
fn drawn() -> Picture {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, block) = text.split_once("```dependencies\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let mut picture = Picture::new();
    for line in block.lines().filter(|line| !line.trim().is_empty()) {
        let (name, needs) = line.split_once("->").unwrap();
        let needs = needs.split_whitespace().map(str::to_owned).collect();
        picture.insert(name.trim().to_owned(), needs);
    }
    picture
}

/// The workspace's crates by their manifests: what each needs of the others to be built. Tests may
/// need more.
fn built() -> Picture {
    let mut manifests = vec![root().join("benches/Cargo.toml")];
    for folder in ["crates", "tools"] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path().join("Cargo.toml"));
        manifests.extend(paths.filter(|path| path.exists()));
    }
    let parsed: Vec<(String, Vec<String>)> = manifests.iter().map(|path| manifest(path)).collect();
    let ours: BTreeSet<&String> = parsed.iter().map(|(name, _)| name).collect();
    let needs = |all: &Vec<String>| {
        let of_ours = all.iter().filter(|need| ours.contains(need));
        of_ours.cloned().collect::<BTreeSet<String>>()
    };
    parsed
        .iter()
        .map(|(name, all)| (name.clone(), needs(all)))
        .collect()
}

/// The package's name, and the keys of its `[dependencies]` and `[build-dependencies]`.
fn manifest(path: &Path) -> (String, Vec<String>) {
    let text = fs::read_to_string(path).unwrap();
    let mut section = String::new();
    let mut name = String::new();
    let mut needs = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            line.trim_matches(['[', ']']).clone_into(&mut section);
            // A dependency may have a section of its own.
            if let Some(need) = section.strip_prefix("dependencies.") {
                needs.push(need.to_owned());
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let key = key.trim().trim_end_matches(".workspace").trim_matches('"');
        let conditional = section.starts_with("target.") && section.ends_with(".dependencies");
        match section.as_str() {
            "package" if key == "name" => value.trim().trim_matches('"').clone_into(&mut name),
            "dependencies" | "build-dependencies" => needs.push(key.to_owned()),
            _ if conditional => needs.push(key.to_owned()),
            _ => {}
        }
    }
    assert!(!name.is_empty(), "{} names no package", path.display());
    (name, needs)
}

#[test]
fn the_picture_is_true() {
    let (drawn, built) = (drawn(), built());
    let mut wrong = Vec::new();
    let names: BTreeSet<&String> = drawn.keys().chain(built.keys()).collect();
    for name in names {
        match (drawn.get(name), built.get(name)) {
            (Some(drawn), Some(built)) if drawn == built => {}
            (drawn, built) => wrong.push(format!("{name}: drawn {drawn:?}, built {built:?}")),
        }
    }
    assert!(
        wrong.is_empty(),
        "ARCHITECTURE.md and the manifests disagree:\n{}",
        wrong.join("\n")
    );
}
