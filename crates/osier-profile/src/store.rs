//! Where profiles are kept: folders that the user names, a cache of one's own, and those built in.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::file::{CARD_WINDOW, MAGIC, MAX_FILE_BYTES};
use crate::{BuildId, Card, Profile, ProfileError};

const EXTENSION: &str = "osp";

/// Where a stored profile lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file in a folder that the user named.
    Folder(PathBuf),
    /// A file in the cache.
    Cache(PathBuf),
    /// Built into the program: its number among the embedded ones.
    Embedded(usize),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "profile {}", osier_text::path(path)),
            Self::Cache(path) => write!(f, "cached profile {}", osier_text::path(path)),
            Self::Embedded(_) => f.write_str("built-in profile"),
        }
    }
}

/// What a survey of a store found.
#[derive(Debug, Default)]
pub struct Listing {
    /// The profiles, in the order in which they are searched.
    pub cards: Vec<(Card, Source)>,
    /// Files that are named like profiles and could not be read as such.
    pub problems: Vec<ProfileError>,
}

impl Listing {
    fn add(&mut self, card: Result<Card, ProfileError>, source: impl FnOnce() -> Source) {
        match card {
            Ok(card) => self.cards.push((card, source())),
            Err(problem) => self.problems.push(problem),
        }
    }
}

/// The places where profiles are looked for: `dirs` in order, then the cache, then the built-in
/// ones. Within each, a profile made for the wanted list in hand is preferred.
#[derive(Clone, Debug, Default)]
pub struct ProfileStore {
    /// Folders that the user named; every `.osp` file in them counts, whatever its name.
    pub dirs: Vec<PathBuf>,
    /// The cache, whose files are called by their build id; `None` for none. It need not exist and
    /// need not be writable.
    pub cache: Option<PathBuf>,
    /// Profile files that are part of the program.
    pub embedded: &'static [Embedded],
}

/// A profile file that is part of the program.
#[derive(Clone, Copy, Debug)]
pub struct Embedded {
    /// The build id that its card names, so that the file need not be looked at; empty for none.
    pub build_id: &'static [u8],
    /// The file, byte for byte.
    pub file: &'static [u8],
}

impl ProfileStore {
    /// The per-user cache: `$XDG_CACHE_HOME/osier`, or else `~/.cache/osier`. `None` when neither
    /// is set. Follows the XDG Base Directory Specification 0.8: a relative path is ignored.
    pub fn user_cache() -> Option<PathBuf> {
        let absolute = |name: &str| {
            let path = PathBuf::from(std::env::var_os(name)?);
            path.is_absolute().then_some(path)
        };
        absolute("XDG_CACHE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
            .map(|base| base.join("osier"))
    }

    /// The profile of the kernel with this build id, made for the wanted list of this fingerprint, which is asked for
    /// where it decides.
    /// A profile made for another list is handed out from a folder or from the program itself when
    /// there is no better one, never from the cache: what the cache holds can be made again.
    pub fn find(
        &self,
        id: &BuildId,
        fingerprint: impl Fn() -> u64,
    ) -> Option<(Arc<Profile>, Source)> {
        let fingerprint = &once(fingerprint);
        self.called(id, fingerprint).or_else(|| {
            // The cache has its files under their names, and those of the program have an index.
            let mut listing = Listing::default();
            self.survey_folders(&mut listing);
            self.survey_embedded(&mut listing, |embedded| embedded.build_id == id.0);
            self.choose(&listing, fingerprint, |card| {
                card.identity.build_id.as_ref() == Some(id)
            })
        })
    }

    /// As [`find`](Self::find), where a survey of the store was made already: no card is read again.
    pub fn find_in(
        &self,
        listing: &Listing,
        id: &BuildId,
        fingerprint: impl Fn() -> u64,
    ) -> Option<(Arc<Profile>, Source)> {
        let fingerprint = &once(fingerprint);
        self.called(id, fingerprint).or_else(|| {
            self.choose(listing, fingerprint, |card| {
                card.identity.build_id.as_ref() == Some(id)
            })
        })
    }

    /// The profile in a file that is called by this build id.
    fn called(
        &self,
        id: &BuildId,
        fingerprint: &impl Fn() -> u64,
    ) -> Option<(Arc<Profile>, Source)> {
        let name = format!("{id}.{EXTENSION}");
        let named = self.dirs.iter().map(|dir| Source::Folder(dir.join(&name)));
        let cached = self.cache.iter().map(|dir| Source::Cache(dir.join(&name)));
        for source in named.chain(cached) {
            if let Ok((profile, made_for)) = self.open(&source)
                && made_for == fingerprint()
                && profile.identity().build_id.as_ref() == Some(id)
            {
                return Some((Arc::new(profile), source));
            }
        }
        None
    }

    /// As [`find_in`](Self::find_in), by the kernel's banner, compared without white space at its end.
    /// For kernels without a build id and for profiles whose source did not name one.
    pub fn find_by_banner(
        &self,
        listing: &Listing,
        banner: &[u8],
        fingerprint: impl Fn() -> u64,
    ) -> Option<(Arc<Profile>, Source)> {
        let banner = banner.trim_ascii_end();
        if banner.is_empty() {
            return None;
        }
        self.choose(listing, &once(fingerprint), |card| {
            card.identity.banner.trim_ascii_end() == banner
        })
    }

    /// Everything in the store; of each file only the beginning is read.
    pub fn all(&self) -> Listing {
        let mut listing = Listing::default();
        self.survey_folders(&mut listing);
        for path in self.cache.iter().flat_map(|dir| profiles_in(dir)) {
            listing.add(read_card(&path), || Source::Cache(path));
        }
        self.survey_embedded(&mut listing, |_| true);
        listing
    }

    fn survey_folders(&self, listing: &mut Listing) {
        for path in self.dirs.iter().flat_map(|dir| profiles_in(dir)) {
            listing.add(read_card(&path), || Source::Folder(path));
        }
    }

    fn survey_embedded(&self, listing: &mut Listing, wanted: impl Fn(&Embedded) -> bool) {
        let numbered = self.embedded.iter().enumerate();
        for (number, embedded) in numbered.filter(|(_, embedded)| wanted(embedded)) {
            listing.add(Card::from_bytes(embedded.file), || Source::Embedded(number));
        }
    }

    /// Reads the profile at `source`: it, and the fingerprint of the wanted list it was made for.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is no profile or a damaged one.
    pub fn open(&self, source: &Source) -> Result<(Profile, u64), ProfileError> {
        match source {
            Source::Folder(path) | Source::Cache(path) => Profile::read_file(path),
            Source::Embedded(number) => {
                let embedded = self.embedded.get(*number);
                Profile::from_data(Cow::Borrowed(
                    embedded.map_or(&[], |embedded| embedded.file),
                ))
            }
        }
    }

    /// Keeps `profile` in the cache, under its build id, and says where. `None` when there is no
    /// cache, it cannot be written, or the profile has no build id; and of a damaged source, which would
    /// be believed of every other snapshot of this kernel.
    pub fn save(&self, profile: &Profile, fingerprint: u64) -> Option<PathBuf> {
        if !profile.damage().is_empty() {
            return None;
        }
        let id = profile.identity().build_id.as_ref()?;
        let dir = self.cache.as_ref()?;
        fs::create_dir_all(dir).ok()?;
        let path = dir.join(format!("{id}.{EXTENSION}"));
        profile.write_file(&path, fingerprint).ok()?;
        Some(path)
    }

    fn choose(
        &self,
        listing: &Listing,
        fingerprint: &impl Fn() -> u64,
        fits: impl Fn(&Card) -> bool,
    ) -> Option<(Arc<Profile>, Source)> {
        let mut fitting: Vec<_> = listing.cards.iter().collect();
        fitting.retain(|(card, source)| {
            let current = || card.fingerprint == fingerprint();
            let cached = matches!(source, Source::Cache(_));
            fits(card) && (!cached || self.cache.is_some() && current())
        });
        // Stable: among equals the order of search decides.
        fitting.sort_by_cached_key(|(card, _)| card.fingerprint != fingerprint());
        fitting.into_iter().find_map(|(_, source)| {
            let (profile, _) = self.open(source).ok()?;
            Some((Arc::new(profile), source.clone()))
        })
    }
}

/// The fingerprint of a wanted list, which is made when it is first asked for, and once.
fn once(fingerprint: impl Fn() -> u64) -> impl Fn() -> u64 {
    let made = OnceCell::new();
    move || *made.get_or_init(&fingerprint)
}

impl Profile {
    /// Reads a profile file: the profile, and the fingerprint of the wanted list it was made for.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is no profile or a damaged one.
    pub fn read_file(path: &Path) -> Result<(Self, u64), ProfileError> {
        let data = read_beginning(path, MAX_FILE_BYTES)?;
        Self::from_data(Cow::Owned(data)).map_err(|source| in_file(path, source))
    }

    /// Writes the profile to a file, so that nobody sees half of it.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write_file(&self, path: &Path, fingerprint: u64) -> Result<(), ProfileError> {
        let written = osier_file::write(path, self.to_bytes(fingerprint));
        written.map_err(|source| ProfileError::Io {
            path: path.to_owned(),
            source,
        })
    }
}

fn in_file(path: &Path, source: ProfileError) -> ProfileError {
    ProfileError::InFile {
        path: path.to_owned(),
        source: Box::new(source),
    }
}

/// The first `limit` bytes of a profile file, and of any other no more than it takes to see that it is not a profile.
fn read_beginning(path: &Path, limit: u64) -> Result<Vec<u8>, ProfileError> {
    let mut data = Vec::new();
    File::open(path)
        .and_then(|file| {
            let mut file = file.take(limit);
            file.by_ref()
                .take(MAGIC.len() as u64)
                .read_to_end(&mut data)?;
            if data == MAGIC {
                file.read_to_end(&mut data)?;
            }
            Ok(())
        })
        .map_err(|source| ProfileError::Io {
            path: path.to_owned(),
            source,
        })?;
    Ok(data)
}

fn read_card(path: &Path) -> Result<Card, ProfileError> {
    let data = read_beginning(path, CARD_WINDOW as u64)?;
    Card::from_bytes(&data).map_err(|source| in_file(path, source))
}

/// The profile files of a folder, by name; none when it cannot be listed.
fn profiles_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ext| ext == EXTENSION))
        .filter(|path| !hidden(path))
        .collect();
    paths.sort();
    paths
}

fn hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Identity, OsKind, ProfileBuilder};

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let unique = format!("osier-store-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(unique);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn profile(id: u8, banner: &str) -> Profile {
        let identity = Identity {
            os: OsKind::Linux,
            pointer_bytes: 8,
            build_id: Some(BuildId(vec![id; 20])),
            banner: banner.as_bytes().to_vec(),
            release: String::new(),
        };
        ProfileBuilder::new(identity).build()
    }

    #[test]
    fn what_is_saved_is_found_by_its_key_and_list() {
        let scratch = Scratch::new("cache");
        let store = ProfileStore {
            cache: Some(scratch.0.join("made/on/demand")),
            ..ProfileStore::default()
        };
        let saved = profile(1, "Linux version 1");
        let path = store.save(&saved, 5).unwrap();
        assert_eq!(path.file_name().unwrap().len(), 44);
        let id = BuildId(vec![1; 20]);
        let (found, source) = store.find(&id, || 5).unwrap();
        assert_eq!((&*found, source), (&saved, Source::Cache(path)));
        assert!(store.find(&id, || 6).is_none(), "made for another list");
        assert!(store.find(&BuildId(vec![2; 20]), || 5).is_none());
        let by_banner = |banner| store.find_by_banner(&store.all(), banner, || 5);
        assert!(by_banner(b"Linux version 1\n").is_some());
        assert!(by_banner(b"Linux version 2").is_none());
        assert!(by_banner(b"").is_none());
    }

    #[test]
    fn what_came_of_a_damaged_source_is_not_kept() {
        let scratch = Scratch::new("damaged");
        let store = ProfileStore {
            cache: Some(scratch.0.clone()),
            ..ProfileStore::default()
        };
        let mut builder = profile(7, "Linux version 7").into_builder();
        builder.damaged("a string is empty");
        assert_eq!(store.save(&builder.build(), 5), None);
        assert!(store.find(&BuildId(vec![7; 20]), || 5).is_none());
    }

    #[test]
    fn folders_are_read_by_header_and_prefer_the_current_list() {
        let (one, two) = (Scratch::new("one"), Scratch::new("two"));
        profile(3, "old")
            .write_file(&one.0.join("any.osp"), 1)
            .unwrap();
        profile(3, "new")
            .write_file(&two.0.join("other.osp"), 2)
            .unwrap();
        fs::write(two.0.join("junk.osp"), b"junk").unwrap();
        let store = ProfileStore {
            dirs: vec![one.0.clone(), two.0.clone(), "/nonexistent".into()],
            ..ProfileStore::default()
        };
        let id = BuildId(vec![3; 20]);
        assert_eq!(store.find(&id, || 1).unwrap().0.identity().banner, b"old");
        assert_eq!(store.find(&id, || 2).unwrap().0.identity().banner, b"new");
        assert_eq!(store.find(&id, || 9).unwrap().0.identity().banner, b"old");
        let asked = std::cell::Cell::new(0);
        let list = || asked.replace(asked.get() + 1);
        assert!(store.find(&id, list).is_some());
        assert_eq!(
            asked.get(),
            1,
            "of several cards, which list it is is asked once"
        );
        let listing = store.all();
        assert_eq!((listing.cards.len(), listing.problems.len()), (2, 1));
        // Where there is one, nobody asks for which list it was made.
        let one = ProfileStore {
            dirs: vec![one.0.clone()],
            ..ProfileStore::default()
        };
        let found = one.find(&id, || unreachable!());
        assert_eq!(found.unwrap().0.identity().banner, b"old");
    }

    #[test]
    fn where_a_survey_was_made_no_card_is_read_again() {
        let scratch = Scratch::new("surveyed");
        let store = ProfileStore {
            dirs: vec![scratch.0.clone()],
            ..ProfileStore::default()
        };
        let id = BuildId(vec![6; 20]);
        let write = |name: &str, banner: &str, list| {
            let path = scratch.0.join(name);
            profile(6, banner).write_file(&path, list).unwrap();
        };
        write("other.osp", "first", 1);
        let listing = store.all();
        // A better one, of which only who reads its card would know.
        write("better.osp", "second", 2);
        let banner =
            |found: Option<(Arc<Profile>, Source)>| found.unwrap().0.identity().banner.clone();
        assert_eq!(banner(store.find(&id, || 2)), b"second");
        assert_eq!(banner(store.find_in(&listing, &id, || 2)), b"first");
        assert!(store.find_by_banner(&listing, b"second", || 2).is_none());
        // Without the cache nothing of the cache is found, whoever made the survey.
        let cached = ProfileStore {
            cache: Some(scratch.0.clone()),
            ..ProfileStore::default()
        };
        let listing = cached.all();
        assert!(cached.find_in(&listing, &id, || 2).is_some());
        let without = ProfileStore::default();
        assert!(without.find_in(&listing, &id, || 2).is_none());
    }

    #[test]
    fn built_in_profiles_come_last() {
        let data = profile(4, "inside").to_bytes(1);
        let store = ProfileStore {
            embedded: Box::leak(Box::new([Embedded {
                build_id: &[4; 20],
                file: data.leak(),
            }])),
            ..ProfileStore::default()
        };
        let (found, source) = store.find(&BuildId(vec![4; 20]), || 1).unwrap();
        assert_eq!(found.identity().banner, b"inside");
        assert_eq!(source, Source::Embedded(0));
        assert_eq!(store.save(&found, 1), None);
    }
}
