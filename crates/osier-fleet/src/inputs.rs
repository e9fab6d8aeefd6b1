//! From what was named to the files to read: files, folders, patterns.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use osier::format::escape_bytes;
use osier::osier_snapshot::{Format, OpenError, Reach};
use osier::{Error, Guest, Options};

use crate::RunError;
use crate::address::is_address;
use crate::deadline::Deadline;
use crate::opened::Opened;
use crate::root::Root;

/// A file that may be a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The path to open.
    pub path: PathBuf,
    /// What rows call it: the path below the folder that was named, or the file's name; the whole
    /// path when that would name two inputs. Below a root ([`gather_below`]) it is the path below that,
    /// with `/` between its parts, whatever else is read. Bytes that are not UTF-8 are escaped.
    pub name: String,
    /// Whether it was named itself, and not found in a folder.
    pub named: bool,
    /// Why nothing can be opened there, when that is known already.
    pub problem: Option<String>,
}

impl Input {
    /// Why nothing can be opened there, with the path.
    pub(crate) fn problem(&self) -> Option<String> {
        let problem = self.problem.as_ref()?;
        Some(format!("{}: {problem}", osier_text::path(&self.path)))
    }

    /// Opens the snapshot and attaches. `None`: it was found in a folder, and is no snapshot.
    ///
    /// # Errors
    ///
    /// Why nothing can be asked of it, with the file's path.
    pub fn open(&self, options: &Options) -> Result<Option<Guest>, String> {
        self.open_within(options, None)
    }

    /// As [`open`](Self::open), and no longer than `limit`: the file is opened or unpacked, and a kernel is looked for, as long
    /// as there is time.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and when the time is over.
    pub fn open_within(
        &self,
        options: &Options,
        limit: Option<Duration>,
    ) -> Result<Option<Guest>, String> {
        if let Some(problem) = self.problem() {
            return Err(problem);
        }
        let deadline = Deadline::new(limit);
        let mut format = None;
        let opened = Opened::open(&self.path, options, deadline.clone());
        let opened = opened.and_then(|mut opened| {
            format = Some(opened.snapshot.info.format);
            if limit.is_none() {
                return Guest::attach(opened.snapshot, options);
            }
            let (shared, located) = opened.search(|snapshot| Guest::find(snapshot, options))?;
            Guest::found(opened.snapshot, located, &shared)
        });
        if let Some(why) = deadline.gave_up("its kernel was found") {
            return Err(format!("{}: {why}", osier_text::path(&self.path)));
        }
        match opened {
            Ok(guest) => Ok(Some(guest)),
            Err(error) if !self.named && is_none(&self.path, format, &error) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Whether this error of opening the file at `path`, of that format when so much is known, says that
/// it is no snapshot at all.
pub(crate) fn is_none(path: &Path, format: Option<Format>, error: &Error) -> bool {
    match error {
        Error::Open(OpenError::NotASnapshot { .. }) => is_address(path) || path.exists(),
        // Any file is raw memory to whoever looks at nothing but its length.
        Error::Locate(_) => format == Some(Format::Raw),
        _ => false,
    }
}

/// Finds the files: as they were named, those of a folder or a pattern sorted by name. Folders are
/// walked to the bottom; hidden files in them are left out. What is named twice is read once. An address that `reach`
/// lists is a folder, too, and may have a pattern below it.
pub fn gather(paths: &[PathBuf], reach: Option<&dyn Reach>) -> Vec<Input> {
    let mut once = read_once(find(paths, reach));
    tell_apart(&mut once);
    once
}

fn find(paths: &[PathBuf], reach: Option<&dyn Reach>) -> Vec<Input> {
    let mut found = Vec::new();
    for path in paths {
        if let Some(listed) = reach.and_then(|reach| listed(path, reach)) {
            found.extend(listed);
            continue;
        }
        match pattern(path) {
            Some(matches) if matches.is_empty() => found.push(Input {
                problem: Some("no file matches the pattern".to_owned()),
                ..named(path)
            }),
            Some(matches) => matches.iter().for_each(|path| add(path, &mut found)),
            None => add(path, &mut found),
        }
    }
    found
}

/// The objects that an address names, when it is listed: those below a prefix, which ends with `/`, or those of them that a
/// pattern matches.
fn listed(path: &Path, reach: &dyn Reach) -> Option<Vec<Input>> {
    let text = path.to_str().filter(|_| is_address(path))?;
    let wild = text.find(['*', '?', '[']).unwrap_or(text.len());
    let prefix = text.get(..text.get(..wild)?.rfind('/')?.saturating_add(1))?;
    if prefix.ends_with("://") || (wild == text.len() && prefix != text) {
        return None;
    }
    let problem = |why: String| {
        vec![Input {
            problem: Some(why),
            ..named(path)
        }]
    };
    let all = match reach.list(Path::new(prefix))? {
        Ok(all) => all,
        Err(error) => return Some(problem(error.to_string())),
    };
    // As of files: what is called like a pattern is no pattern.
    if prefix != text && all.iter().any(|one| one == path) {
        return Some(vec![named(path)]);
    }
    let below = |path: &PathBuf| Some(path.to_str()?.strip_prefix(prefix)?.to_owned());
    let inputs: Vec<Input> = if prefix == text {
        let shown = |path: &PathBuf| {
            let name = below(path)?;
            let input = Input {
                name: self::text(Path::new(&name)),
                path: path.clone(),
                named: false,
                problem: None,
            };
            (!name.split('/').any(|part| part.starts_with('.'))).then_some(input)
        };
        all.iter().filter_map(shown).collect()
    } else {
        let options = glob::MatchOptions {
            require_literal_separator: true,
            ..glob::MatchOptions::new()
        };
        let pattern = match glob::Pattern::new(text.get(prefix.len()..)?) {
            Ok(pattern) => pattern,
            Err(error) => return Some(problem(error.to_string())),
        };
        let matches =
            |path: &&PathBuf| below(path).is_some_and(|name| pattern.matches_with(&name, options));
        all.iter().filter(matches).map(|path| named(path)).collect()
    };
    Some(match inputs.is_empty() {
        true if prefix == text => problem("no object lies below it".to_owned()),
        true => problem("no object matches the pattern".to_owned()),
        false => inputs,
    })
}

/// As [`gather`], and every file is called by its path below `root`. What is named twice, by whatever paths
/// to one place below it, is read once.
///
/// # Errors
///
/// `root` is no folder, or one of the files does not lie below it; nothing was read then.
pub fn gather_below(
    paths: &[PathBuf],
    root: &Path,
    reach: Option<&dyn Reach>,
) -> Result<Vec<Input>, RunError> {
    let below = Root::new(root)?;
    let mut places: HashMap<PathBuf, usize> = HashMap::new();
    let mut once: Vec<Input> = Vec::new();
    for mut input in find(paths, reach) {
        let place = below.place(&input.path)?;
        if let Some(first) = places.get(&place).and_then(|&at| once.get_mut(at)) {
            first.named |= input.named;
        } else {
            input.name = place_text(&place);
            places.insert(place, once.len());
            once.push(input);
        }
    }
    number_alike(&mut once);
    Ok(once)
}

fn add(path: &Path, found: &mut Vec<Input>) {
    if path.is_dir() {
        let mut above = Vec::new();
        walk(path, path, &mut above, found);
    } else {
        found.push(named(path));
    }
}

/// What rows call a snapshot that is named by itself: the file's name, or the last part of an address.
pub fn name_of(path: &Path) -> String {
    let mut place = path;
    if is_address(path)
        // In a store's address, a question mark is part of the name.
        && let Some(text) = path.to_str().filter(|text| text.starts_with("http"))
        && let Some(plain) = text.split('?').next()
    {
        place = Path::new(plain);
    }
    text(Path::new(place.file_name().unwrap_or(path.as_os_str())))
}

fn named(path: &Path) -> Input {
    Input {
        path: path.to_owned(),
        name: name_of(path),
        named: true,
        problem: None,
    }
}

/// What a pattern matches, sorted; `None` when the path is none. A file whose name looks like a
/// pattern is a file.
fn pattern(path: &Path) -> Option<Vec<PathBuf>> {
    let text = path.to_str()?;
    if path.exists() || is_address(path) || !text.contains(['*', '?', '[']) {
        return None;
    }
    let mut matches: Vec<PathBuf> = glob::glob(text).ok()?.flatten().collect();
    matches.sort();
    Some(matches)
}

/// Adds the files below `folder`. `above` holds the folders that the walk is in, by their true
/// paths, so that a link to one of them is not followed for ever.
fn walk(root: &Path, folder: &Path, above: &mut Vec<PathBuf>, found: &mut Vec<Input>) {
    let listed = fs::canonicalize(folder).and_then(|real| {
        let entries: Result<Vec<_>, _> = fs::read_dir(folder)?.collect();
        Ok((real, entries?))
    });
    let (real, entries) = match listed {
        Ok(listed) => listed,
        Err(error) => {
            found.push(Input {
                problem: Some(error.to_string()),
                ..below(root, folder)
            });
            return;
        }
    };
    if above.contains(&real) {
        return;
    }
    above.push(real);
    let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && !hidden(&path) {
            walk(root, &path, above, found);
        } else if !path.is_dir() && !hidden(&path) {
            found.push(below(root, &path));
        }
    }
    above.pop();
}

fn below(root: &Path, path: &Path) -> Input {
    Input {
        path: path.to_owned(),
        name: text(path.strip_prefix(root).unwrap_or(path)),
        named: false,
        problem: None,
    }
}

fn hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b".")
}

/// A place below a root, the same on every system.
fn place_text(place: &Path) -> String {
    let parts: Vec<String> = place.iter().map(|part| text(Path::new(part))).collect();
    parts.join("/")
}

fn text(path: &Path) -> String {
    let mut text = String::new();
    // Of an address without what it is signed with.
    escape_bytes(&osier_text::path_bytes(path), &mut text);
    text
}

/// Leaves the first of inputs of one path; it was named when any of them was.
fn read_once(found: Vec<Input>) -> Vec<Input> {
    let mut places: HashMap<PathBuf, usize> = HashMap::new();
    let mut once: Vec<Input> = Vec::new();
    for input in found {
        let place = *places.entry(input.path.clone()).or_insert(once.len());
        match once.get_mut(place) {
            Some(first) => first.named |= input.named,
            None => once.push(input),
        }
    }
    once
}

/// Calls inputs of one name by their whole paths, and those whose paths are shown alike by a number, too:
/// a byte that is no text is shown as it could also be written.
fn tell_apart(inputs: &mut [Input]) {
    let mut uses: HashMap<String, usize> = HashMap::new();
    for input in inputs.iter() {
        let count = uses.entry(input.name.clone()).or_default();
        *count = count.saturating_add(1);
    }
    for input in inputs.iter_mut() {
        if uses.get(&input.name).is_some_and(|&count| count > 1) {
            input.name = text(&input.path);
        }
    }
    number_alike(inputs);
}

/// Adds a number to names that are shown as an earlier one is.
fn number_alike(inputs: &mut [Input]) {
    let mut names = HashSet::new();
    for input in inputs {
        let shown = input.name.clone();
        let mut number = 1_usize;
        while !names.insert(input.name.clone()) {
            number = number.saturating_add(1);
            input.name = format!("{shown}#{number}");
        }
    }
}

#[cfg(test)]
mod tests {
    use osier::osier_snapshot::Distant;

    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, files: &[&str]) -> Self {
            let unique = format!("osier-inputs-{name}-{}", std::process::id());
            let root = std::env::temp_dir().join(unique);
            for file in files {
                let path = root.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, b"x").unwrap();
            }
            Self(root)
        }

        fn names(&self, paths: &[&str]) -> Vec<String> {
            let paths: Vec<PathBuf> = paths.iter().map(|path| self.0.join(path)).collect();
            gather(&paths, None)
                .into_iter()
                .map(|input| input.name)
                .collect()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn folders_are_sorted_and_what_was_named_keeps_its_order() {
        let scratch = Scratch::new(
            "order",
            &["z", "d/b", "d/a/x", "d/.hidden", "d/.git/y", "a"],
        );
        assert_eq!(scratch.names(&["z", "d", "a"]), ["z", "a/x", "b", "a"]);
        assert_eq!(scratch.names(&["z", "z", "d/b", "d"]), ["z", "b", "a/x"]);
    }

    #[test]
    fn patterns_match_and_a_pattern_without_a_match_is_told() {
        let scratch = Scratch::new("glob", &["n2.elf", "n10.elf", "n1.raw", "[a].elf"]);
        assert_eq!(scratch.names(&["n*.elf"]), ["n10.elf", "n2.elf"]);
        assert_eq!(
            scratch.names(&["[a].elf"]),
            ["[a].elf"],
            "a file, not a pattern"
        );
        let none = gather(&[scratch.0.join("*.lime")], None);
        assert!(
            none[0]
                .problem
                .as_ref()
                .unwrap()
                .contains("no file matches")
        );
    }

    /// Rows and manifests have the names: two addresses of one last part are told apart by all but what signs them.
    #[test]
    fn no_name_has_what_an_address_is_signed_with() {
        let signed = |host: &str| PathBuf::from(format!("http://{host}/d/x.elf?Signature=SECRET"));
        let paths = [signed("a"), signed("b")];
        let names = |found: Vec<Input>| found.into_iter().map(|input| input.name);
        let apart: Vec<String> = names(gather(&paths, None)).collect();
        assert!(apart[0].contains("//a/d/x.elf") && apart[1].contains("//b/d/x.elf"));
        let rooted = gather_below(&paths[..1], Path::new("http://a/"), None);
        let rooted: Vec<String> = names(rooted.unwrap()).collect();
        let all: Vec<String> = apart.into_iter().chain(rooted).collect();
        assert!(!all.iter().any(|name| name.contains("SECRET")), "{all:?}");
    }

    /// A store of these objects, and of none below `denied/`.
    #[derive(Debug)]
    struct Bucket(&'static [&'static str]);

    impl Reach for Bucket {
        fn open(&self, _: &Path) -> Option<std::io::Result<std::sync::Arc<dyn Distant>>> {
            None
        }

        fn list(&self, name: &Path) -> Option<std::io::Result<Vec<PathBuf>>> {
            let name = name.to_str()?.strip_prefix("s3://b/")?;
            if name == "denied/" {
                return Some(Err(std::io::Error::other("403 Forbidden")));
            }
            let below = self.0.iter().filter(|key| key.starts_with(name));
            let below = below.map(|key| PathBuf::from(format!("s3://b/{key}")));
            name.is_empty()
                .then_some(())
                .or(name.ends_with('/').then_some(()))?;
            Some(Ok(below.collect()))
        }
    }

    #[test]
    fn prefixes_and_patterns_of_a_store_are_folders_and_patterns() {
        let bucket = Bucket(&["d/.tmp/x", "d/a.elf", "d/e/b.elf", "d/what?.elf", "e/a.elf"]);
        let found = |address: &str| gather(&[PathBuf::from(address)], Some(&bucket));
        let names = |address: &str| -> Vec<(String, bool)> {
            let found = found(address).into_iter();
            found.map(|input| (input.name, input.named)).collect()
        };
        let below = |name: &str| (name.to_owned(), false);
        let itself = |name: &str| (name.to_owned(), true);
        assert_eq!(
            names("s3://b/d/"),
            [below("a.elf"), below("e/b.elf"), below("what?.elf")]
        );
        assert_eq!(names("s3://b/d/a*"), [itself("a.elf")]);
        assert_eq!(names("s3://b/*/a.elf").len(), 2);
        assert_eq!(names("s3://b/d/**/*.elf").len(), 3);
        assert_eq!(names("s3://b/d/a.elf"), [itself("a.elf")]);
        assert_eq!(names("https://h/d/a.elf?x=[1]"), [itself("a.elf")]);
        let problem = |address: &str| found(address)[0].problem.clone().unwrap_or_default();
        assert!(problem("s3://b/none/").contains("no object lies below"));
        assert!(problem("s3://b/d/*.lime").contains("no object matches"));
        assert!(problem("s3://b/denied/").contains("403"));
        let rooted = |root: &str| {
            let found = gather_below(&["s3://b/d/".into()], Path::new(root), Some(&bucket));
            found.map(|found| {
                found
                    .into_iter()
                    .map(|input| input.name)
                    .collect::<Vec<_>>()
            })
        };
        let all = ["d/a.elf", "d/e/b.elf", "d/what?.elf"];
        assert_eq!(rooted("s3://b/").unwrap(), all);
        assert_eq!(rooted("s3://b").unwrap(), all);
        let said = rooted("s3://b/e/").unwrap_err().to_string();
        assert!(said.contains("does not lie below"), "{said}");
    }

    #[test]
    fn inputs_of_one_name_are_told_apart() {
        let scratch = Scratch::new("same", &["a/core", "b/core", "b/other"]);
        let names = scratch.names(&["a", "b"]);
        assert!(
            names[0].ends_with("a/core") && names[1].ends_with("b/core"),
            "{names:?}"
        );
        assert_eq!(names[2], "other");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn names_that_are_shown_alike_are_told_apart() {
        use std::os::unix::ffi::OsStrExt;
        let scratch = Scratch::new("alike", &["\\xff"]);
        let other = std::ffi::OsStr::from_bytes(b"\xff");
        fs::write(scratch.0.join(other), b"x").unwrap();
        let names = scratch.names(&["."]);
        assert_eq!(names.len(), 2);
        assert_ne!(names[0], names[1]);
    }

    #[test]
    fn names_below_a_root_do_not_depend_on_what_is_read_with_them() {
        let scratch = Scratch::new("root", &["a/core", "b/core", "b/c/other", "beside"]);
        let names = |paths: &[&str], root: &str| {
            let paths: Vec<PathBuf> = paths.iter().map(|path| scratch.0.join(path)).collect();
            let found = gather_below(&paths, &scratch.0.join(root), None);
            found.map(|found| {
                found
                    .into_iter()
                    .map(|input| input.name)
                    .collect::<Vec<_>>()
            })
        };
        let all = ["a/core", "b/c/other", "b/core"];
        assert_eq!(names(&["a", "b"], ".").unwrap(), all);
        assert_eq!(names(&["a"], ".").unwrap(), all[..1]);
        assert_eq!(names(&["b/core", "b/c/../core"], ".").unwrap(), all[2..]);
        assert_eq!(names(&["b/c/../core"], "b/c/..").unwrap(), ["core"]);
        assert_eq!(
            names(&["b/none", "b/*.none"], "b").unwrap(),
            ["none", "*.none"]
        );
        let said = |paths: &[&str], root: &str| names(paths, root).unwrap_err().to_string();
        assert!(said(&["b", "beside"], "b").contains("beside: it does not lie below"));
        assert!(said(&["b/../beside"], "b").contains("does not lie below"));
        assert!(said(&["b"], "nowhere").contains("nowhere"));
        assert!(said(&["beside"], "beside").contains("not a directory"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_below_a_root_is_called_by_its_own_place() {
        let scratch = Scratch::new("rootlink", &["real/x", "far"]);
        std::os::unix::fs::symlink(scratch.0.join("real"), scratch.0.join("link")).unwrap();
        std::os::unix::fs::symlink(scratch.0.join("far"), scratch.0.join("real/far")).unwrap();
        let names = |path: &str, root: &str| -> Vec<String> {
            let found = gather_below(&[scratch.0.join(path)], &scratch.0.join(root), None);
            found.unwrap().into_iter().map(|input| input.name).collect()
        };
        assert_eq!(names("real", "link"), ["far", "x"]);
        assert_eq!(names("link", "real"), ["far", "x"]);
        assert_eq!(names("link/x", "."), ["link/x"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_above_ends_the_walk() {
        let scratch = Scratch::new("loop", &["d/a"]);
        std::os::unix::fs::symlink(&scratch.0, scratch.0.join("d/up")).unwrap();
        assert_eq!(scratch.names(&["."]), ["d/a"]);
    }
}
