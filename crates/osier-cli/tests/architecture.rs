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

/// The crates of `Cargo.lock`, each with all that it needs, tests included.
fn locked() -> Picture {
    let text = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let mut picture = Picture::new();
    for package in text.split("[[package]]").skip(1) {
        let quoted: Vec<&str> = package.split('"').skip(1).step_by(2).collect();
        let list = package
            .split_once("dependencies = [")
            .map_or("", |(_, list)| list);
        let needs = list.split('"').skip(1).step_by(2);
        // An entry names a version besides where there are several, and each needs what it needs.
        let needs: Vec<String> = needs.map(str::to_owned).collect();
        let (name, version) = (quoted[0], quoted[1]);
        for name in [name.to_owned(), format!("{name} {version}")] {
            picture.entry(name).or_default().extend(needs.clone());
        }
    }
    picture
}

/// Everything that `name` needs, itself included.
fn closure(picture: &Picture, name: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut rest = vec![name.to_owned()];
    while let Some(name) = rest.pop() {
        if all.insert(name.clone()) {
            rest.extend(picture.get(&name).into_iter().flatten().cloned());
        }
    }
    all
}

/// Crates that open sockets, or serve those that do. Tokio opens them through mio alone, and `http` is
/// the words of a protocol: the SQL engine has both, and neither mio nor a client.
const NETWORK: [&str; 18] = [
    "async-std",
    "attohttpc",
    "curl",
    "h2",
    "hyper",
    "isahc",
    "mio",
    "minreq",
    "native-tls",
    "openssl",
    "quinn",
    "reqwest",
    "rustls",
    "smol",
    "socket2",
    "tungstenite",
    "ureq",
    "ureq-proto",
];

#[test]
fn only_two_crates_have_network_code_and_the_doors_call_them() {
    let locked = locked();
    let networked = |name: &str| {
        let all = closure(&locked, name);
        all.iter()
            .any(|name| NETWORK.contains(&name.split(' ').next().unwrap()))
    };
    let found: Vec<String> = built().into_keys().filter(|name| networked(name)).collect();
    // The command and the libraries for C and Python call them, for addresses; nothing else does.
    let mut expected = [
        "osier-capi",
        "osier-cli",
        "osier-python",
        "osier-fetch",
        "osier-remote",
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);

    let mut wrong = Vec::new();
    let mut folders: Vec<PathBuf> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with("osier-fetch"))
        .map(|path| path.join("src"))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::read_to_string(&path).is_ok_and(|text| text.contains("std::net")) {
                wrong.push(path);
            }
        }
    }
    assert!(wrong.is_empty(), "std::net in {wrong:?}");
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

/// Whoever has a crate's archive alone has the licences that it is given under.
#[test]
fn every_published_crate_has_the_licences() {
    let mut published = 0;
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        if manifest.contains("publish = false") {
            continue;
        }
        for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
            let own = fs::read(folder.join(name)).unwrap_or_default();
            let whole = fs::read(root().join(name)).unwrap();
            assert!(own == whole, "{}: no {name}", folder.display());
        }
        published += 1;
    }
    assert!(published > 10);
}

/// A test program without Rust's harness has no use for `#[test]`: such a function would never run,
/// and nobody would be told. One that needs data is called so.
#[test]
fn what_runs_its_own_trials_has_no_other_tests() {
    let mut programs = 0;
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        for test in manifest.split("[[test]]").skip(1) {
            let value = |key: &str| {
                let lines = test.lines().take_while(|line| !line.starts_with('['));
                let mut pairs = lines.filter_map(|line| line.split_once(" = "));
                let (_, value) = pairs.find(|pair| pair.0 == key)?;
                Some(value.trim_matches('"'))
            };
            if value("harness") != Some("false") {
                continue;
            }
            let named = || format!("tests/{}.rs", value("name").unwrap());
            let path = folder.join(value("path").map_or_else(named, str::to_owned));
            let text = fs::read_to_string(&path).unwrap();
            let (_, trials) = text.split_once("trials! {").unwrap();
            let (trials, _) = trials.split_once('}').unwrap();
            assert!(!text.contains("#[test]"), "{}", path.display());
            // CI runs those that need data by their name.
            let data = trials.contains("need::snapshot") || trials.contains("need::file");
            let name = value("name").unwrap();
            assert!(!data || name.contains("real"), "{}", path.display());
            programs += 1;
        }
    }
    assert!(programs > 0);
}
