//! Where a session's profile comes from: a file that was named, the store, or the snapshot itself.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use osier_linux::WANTED;
use osier_memory::Machine;
use osier_osi::FoundKernel;
use osier_profile::{
    BuildId, Identity, Listing, OsKind, Profile, ProfileBuilder, ProfileStore, Source,
};
use osier_snapshot::Snapshot;
use osier_symbols::image::{self, Help, Image, ImageError, Isf};

use crate::import;
use crate::kernel::Located;
use crate::known::{KnownKernels, known_by_card};
use crate::located::find;
use crate::missing::MissingSymbols;
use crate::symbol_path::PdbFile;
use crate::{Error, Options, registry};

/// Where a session's profile came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileSource {
    /// The file that was named.
    Named(PathBuf),
    /// A store: a folder, the cache, or the program itself.
    Stored(Source),
    /// A PDB, or what was made of one, in a symbol folder: the file; kept at the path, when there
    /// is one, for the next time.
    Imported(PathBuf, Option<PathBuf>),
    /// The snapshot itself: the kernel's own types and symbols; kept at the path, when there is
    /// one, for the next time.
    Snapshot(Option<PathBuf>),
    /// The caller.
    Given,
    /// The kernel's symbols out of the snapshot, and structures inferred from its memory. Not kept.
    Inferred,
}

impl fmt::Display for ProfileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(path) => write!(f, "profile {}", osier_text::path(path)),
            Self::Stored(source) => source.fmt(f),
            Self::Imported(file, Some(path)) => {
                write!(
                    f,
                    "{}; kept as {}",
                    osier_text::path(file),
                    osier_text::path(path)
                )
            }
            Self::Imported(file, None) => write!(f, "{}; not kept", osier_text::path(file)),
            Self::Snapshot(Some(path)) => {
                write!(f, "the snapshot itself; kept as {}", osier_text::path(path))
            }
            Self::Snapshot(None) => f.write_str("the snapshot itself; not kept"),
            Self::Given => f.write_str("given by the caller"),
            Self::Inferred => f.write_str("inferred from the snapshot's memory; not kept"),
        }
    }
}

/// A profile, and where it came from.
pub(crate) type Sourced = (Arc<Profile>, ProfileSource);

/// Whether the kernel that was found can be attached by a profile.
type Fits<'a> = dyn Fn(&Arc<Profile>) -> bool + 'a;

/// The profiles that a session may use.
pub(crate) struct Profiles {
    store: ProfileStore,
    /// What the store has, surveyed once: when a kernel is first searched for, or a profile by its banner. What is
    /// kept has it surveyed anew.
    listing: Mutex<Option<Arc<Listing>>>,
    /// Where PDBs may lie: the folders of profiles, those of symbols, and the cache's own.
    folders: Vec<PathBuf>,
    named: Option<(PathBuf, Arc<Profile>)>,
    /// Whether a Linux kernel's structures may be inferred where nothing tells them.
    infer: bool,
}

impl Profiles {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let named = match &options.profile {
            Some(path) => {
                let profile = import::import(std::slice::from_ref(path), options.group.as_deref())?;
                Some((path.clone(), Arc::new(profile)))
            }
            None => None,
        };
        for path in &options.profiles {
            std::fs::read_dir(path).map_err(|source| Error::Profiles {
                path: path.clone(),
                source,
            })?;
        }
        let store = ProfileStore {
            dirs: options.profiles.clone(),
            cache: options.cache.clone(),
            embedded: if options.no_shipped {
                &[]
            } else {
                crate::shipped::SHIPPED
            },
        };
        let mut folders = options.profiles.clone();
        folders.extend_from_slice(&options.symbol_folders);
        folders.extend(
            options
                .cache
                .iter()
                .map(|cache| cache.join(import::SYMBOLS)),
        );
        Ok(Self {
            store,
            listing: Mutex::new(None),
            folders,
            named,
            infer: options.infer,
        })
    }

    /// The kernels that these profiles describe.
    pub(crate) fn known(&self) -> KnownKernels {
        let mut known = self
            .named
            .as_ref()
            .map_or_else(KnownKernels::default, |(_, profile)| {
                KnownKernels::of(profile)
            });
        known
            .linux
            .iter_mut()
            .for_each(|kernel| kernel.named = true);
        for (card, _) in &self.listing().cards {
            known
                .windows
                .extend(osier_windows::KnownKernel::of_card(card));
            known.linux.extend(known_by_card(card));
        }
        known
    }

    fn listing(&self) -> Arc<Listing> {
        let mut listing = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        let made = listing.get_or_insert_with(|| Arc::new(self.store.all()));
        made.clone()
    }

    /// The profile in `store` of the kernel with this build id. Where nobody searched for the kernel, a few files are
    /// looked at.
    fn find(
        &self,
        store: &ProfileStore,
        id: &BuildId,
        fingerprint: impl Fn() -> u64 + Copy,
    ) -> Option<(Arc<Profile>, Source)> {
        let listing = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        match listing.clone() {
            Some(listing) => store.find_in(&listing, id, fingerprint),
            None => store.find(id, fingerprint),
        }
    }

    /// The profile of the kernel that was found. What is made for it is kept when the kernel can be attached
    /// by it, and its source was whole: a profile is believed of every snapshot of its kernel.
    pub(crate) fn of(&self, machine: &Machine, located: &Located) -> Result<Sourced, Error> {
        self.from(&self.store, machine, located)
    }

    /// As [`of`](Self::of), without what the cache has.
    pub(crate) fn fresh(&self, machine: &Machine, located: &Located) -> Result<Sourced, Error> {
        let store = ProfileStore {
            cache: None,
            ..self.store.clone()
        };
        self.from(&store, machine, located)
    }

    fn from(
        &self,
        store: &ProfileStore,
        machine: &Machine,
        located: &Located,
    ) -> Result<Sourced, Error> {
        let fits =
            |profile: &Arc<Profile>| registry::attach(machine, located, profile.clone()).is_ok();
        match located {
            Located::Linux(found) => self.of_linux(store, machine, found, &fits),
            Located::Windows(found) => self.of_windows(store, found, &fits),
            Located::Other(found) => self.of_other(machine, &**found),
        }
    }

    /// The profile of the Windows kernel that was found.
    fn of_windows(
        &self,
        store: &ProfileStore,
        located: &osier_windows::Located,
        fits: &Fits<'_>,
    ) -> Result<Sourced, Error> {
        if let Some(named) = self.named_for(located.build_id.as_ref(), &[]) {
            return named;
        }
        // Where the image's record was not captured but the build is known, any of its names will do.
        let name = located.pdb.as_deref().unwrap_or("ntkrnlmp.pdb");
        let file = located.build_id.clone();
        if let Some(file) = file.and_then(|id| PdbFile::new(name, id)) {
            return self.of_pdb(store, &file, fits);
        }
        let (why, way) = if located.unnamed {
            let why = "its image has no debug directory, so that nothing names a PDB";
            (
                why,
                "the profile, or the image's own file with its debug information,",
            )
        } else {
            let why = "the record that names its PDB was not captured";
            (why, "the profile or the PDB")
        };
        let base = located.base;
        Err(Error::UnnamedPdb { base, why, way })
    }

    /// The profile of the kernel that a system of the registry found.
    fn of_other(&self, machine: &Machine, found: &dyn FoundKernel) -> Result<Sourced, Error> {
        if let Some(named) = self.named_for(found.build_id(), &found.banner()) {
            return named;
        }
        match found.profile(machine) {
            Ok(profile) => Ok((Arc::new(profile), ProfileSource::Snapshot(None))),
            Err(why) => Err(Error::NoSymbols {
                system: found.system(),
                why,
            }),
        }
    }

    /// The profile of the Linux kernel that was found.
    fn of_linux(
        &self,
        store: &ProfileStore,
        machine: &Machine,
        located: &osier_linux::Located,
        fits: &Fits<'_>,
    ) -> Result<Sourced, Error> {
        if let Some(named) = self.named_for(located.build_id.as_ref(), &located.banner) {
            return named;
        }
        let fingerprint = || WANTED.fingerprint();
        let by_id = located.build_id.as_ref();
        let stored = by_id
            .and_then(|id| self.find(store, id, fingerprint))
            .or_else(|| store.find_by_banner(&self.listing(), &located.banner, fingerprint));
        if let Some(stored) = serves(stored) {
            return Ok(stored);
        }
        match from_snapshot(machine, located) {
            Ok(mut builder) => {
                builder.set_text_head(located.text_head(machine));
                let profile = Arc::new(builder.build());
                let kept = self.keep(&profile, fingerprint(), fits);
                Ok((profile, ProfileSource::Snapshot(kept)))
            }
            Err(why) if self.infer => match infer_profile(machine, located) {
                Ok(profile) => Ok((Arc::new(profile), ProfileSource::Inferred)),
                Err(not) => Err(self.missing(located, vec![why, not])),
            },
            Err(why) => Err(self.missing(located, vec![why])),
        }
    }

    /// The stored profile of the Linux kernel with this build id.
    pub(crate) fn stored(&self, id: &BuildId) -> Option<Sourced> {
        serves(self.store.find(id, || WANTED.fingerprint()))
    }

    /// The profile that was named, when one was, for the kernel with this build id and banner, as far
    /// as they are known.
    fn named_for(
        &self,
        build_id: Option<&BuildId>,
        banner: &[u8],
    ) -> Option<Result<(Arc<Profile>, ProfileSource), Error>> {
        let (path, profile) = self.named.as_ref()?;
        Some(match differs(profile.identity(), build_id, banner) {
            None => Ok((profile.clone(), ProfileSource::Named(path.clone()))),
            Some((profile, snapshot)) => Err(Error::ForeignProfile {
                file: path.clone(),
                profile,
                snapshot,
            }),
        })
    }

    /// The profile of the Windows kernel whose image names this PDB: the one that was named, one of
    /// the store, or the PDB itself out of a symbol folder.
    fn of_pdb(
        &self,
        store: &ProfileStore,
        pdb: &PdbFile,
        fits: &Fits<'_>,
    ) -> Result<Sourced, Error> {
        if let Some(named) = self.named_for(Some(pdb.id()), &[]) {
            return named;
        }
        let fingerprint = || import::fingerprint_of(OsKind::Windows);
        if let Some((profile, source)) = self.find(store, pdb.id(), fingerprint) {
            return Ok((profile, ProfileSource::Stored(source)));
        }
        let what = format!("{} {}", pdb.name(), pdb.key());
        let mut tried = self.tried(&what);
        for folder in &self.folders {
            let candidates = pdb.candidates(folder);
            if candidates.is_empty() {
                tried.push(format!("{}: no {what}", osier_text::path(folder)));
            }
            for file in candidates {
                match import::import(std::slice::from_ref(&file), None) {
                    Ok(profile) if profile.identity().build_id.as_ref() == Some(pdb.id()) => {
                        let profile = Arc::new(profile);
                        let kept = self.keep(&profile, fingerprint(), fits);
                        return Ok((profile, ProfileSource::Imported(file, kept)));
                    }
                    Ok(profile) => tried.push(format!(
                        "{}: of another build, {}",
                        osier_text::path(&file),
                        import::name(&profile)
                    )),
                    Err(error) => tried.push(error.to_string()),
                }
            }
        }
        Err(Error::Missing(Box::new(MissingSymbols {
            help: Help::of_pdb(pdb.name(), pdb.id()),
            tried,
            inferable: false,
        })))
    }

    /// Keeps what was made when the kernel can be attached by it.
    fn keep(&self, made: &Arc<Profile>, fingerprint: u64, fits: &Fits<'_>) -> Option<PathBuf> {
        let whole = made.damage().is_empty();
        let kept = (whole && fits(made)).then(|| self.store.save(made, fingerprint))?;
        *self.listing.lock().unwrap_or_else(PoisonError::into_inner) = None;
        kept
    }

    /// The places of the store, none of which has a profile of `what`.
    fn tried(&self, what: &str) -> Vec<String> {
        let mut tried = Vec::new();
        for dir in &self.store.dirs {
            tried.push(format!("{}: no profile of {what}", osier_text::path(dir)));
        }
        match &self.store.cache {
            Some(cache) => tried.push(format!(
                "the cache {}: no profile of {what}",
                osier_text::path(cache)
            )),
            None => tried.push("no cache".to_owned()),
        }
        tried.push(format!(
            "{} profiles that ship with Osier: none of {what}",
            self.store.embedded.len()
        ));
        tried
    }

    fn missing(&self, located: &osier_linux::Located, why: Vec<String>) -> Error {
        let what = match &located.build_id {
            Some(id) => format!("build id {id}"),
            None => "this banner".to_owned(),
        };
        let mut tried = self.tried(&what);
        tried.extend(why);
        Error::Missing(Box::new(MissingSymbols {
            help: Help::of(&identity(located)),
            tried,
            inferable: !self.infer,
        }))
    }
}

/// A stored profile of a Linux kernel. One that was made of types alone serves for nothing; the snapshot
/// itself may do better.
fn serves(stored: Option<(Arc<Profile>, Source)>) -> Option<Sourced> {
    let (profile, source) = stored?;
    let whole = profile.symbol("init_task").is_some();
    whole.then_some((profile, ProfileSource::Stored(source)))
}

/// The profile of the Windows kernel whose image names this PDB, as a session would have it.
///
/// # Errors
///
/// The profile that `options` names cannot be read, or there is no profile: then the error names
/// every place that was tried, and the command that fetches the PDB.
pub fn profile_of_pdb(
    pdb: &PdbFile,
    options: &Options,
) -> Result<(Arc<Profile>, ProfileSource), Error> {
    let profiles = Profiles::new(options)?;
    // There is no kernel to attach: the PDB is the build's by what it says itself.
    profiles.of_pdb(&profiles.store, pdb, &|_| true)
}

/// All types and symbols of the Linux kernel in `snapshot` as Volatility 3's ISF, read out of its own BTF and
/// kallsyms: no debug symbols are needed.
///
/// # Errors
///
/// No kernel is found, it is no Linux, or it carries no BTF or no kallsyms.
pub fn isf_of_snapshot(snapshot: &Snapshot, options: &Options) -> Result<Isf, Error> {
    let profiles = Profiles::new(options)?;
    let located = match find(snapshot, options, &profiles.known(), &[])? {
        Located::Linux(located) => located,
        Located::Windows(_) => {
            return Err(Error::NoSymbols {
                system: "Windows",
                why: "it has no types of itself; give its PDB: osier profile export FILE.pdb --to isf"
                    .to_owned(),
            });
        }
        Located::Other(found) => {
            return Err(Error::NoSymbols {
                system: found.system(),
                why: "only Linux kernels have types of themselves".to_owned(),
            });
        }
    };
    let space = located.space(&snapshot.machine);
    let written = image::isf(&space, place(&located), &identity(&located));
    written.map_err(|error| {
        let mut help = Help::of(&identity(&located));
        let file = help.command.rsplit(' ').next().unwrap_or("FILE");
        help.command = format!("osier profile export {file} --to isf");
        let own =
            "profiles of Osier's own, which keep what it reads and no more: none is a whole ISF";
        let tried = vec![in_words(error), own.to_owned()];
        let inferable = false;
        Error::Missing(Box::new(MissingSymbols {
            help,
            tried,
            inferable,
        }))
    })
}

/// What a profile is of and what the snapshot shows, in words, when they are two kernels: by their build
/// ids, or where one is not known by their banners.
fn differs(
    profile: &Identity,
    build_id: Option<&BuildId>,
    banner: &[u8],
) -> Option<(String, String)> {
    if let (Some(own), Some(found)) = (&profile.build_id, build_id) {
        let words = |id: &BuildId| format!("build id {id}");
        return (own != found).then(|| (words(own), words(found)));
    }
    let own = profile.banner.trim_ascii_end();
    let words = |banner: &[u8]| banner.escape_ascii().to_string();
    (!own.is_empty() && !banner.is_empty() && own != banner).then(|| (words(own), words(banner)))
}

fn identity(located: &osier_linux::Located) -> Identity {
    Identity {
        os: OsKind::Linux,
        pointer_bytes: located.mode.pointer_bytes(),
        build_id: located.build_id.clone(),
        banner: located.banner.clone(),
        release: located.release(),
    }
}

/// Reads the kernel's own types and symbols out of its memory. The error says in words what was
/// missing.
fn from_snapshot(
    machine: &Machine,
    located: &osier_linux::Located,
) -> Result<ProfileBuilder, String> {
    let space = located.space(machine);
    image::import(&space, place(located), Some(&WANTED), identity(located)).map_err(in_words)
}

/// A profile of a Linux kernel that tells no types: the symbols of its kallsyms, and the members of its
/// structures that its memory proves (see [`osier_linux::infer`]). What the kernel tells of its types is not
/// looked at.
///
/// # Errors
///
/// In words, what could not be read or proved.
pub fn infer_profile(machine: &Machine, located: &osier_linux::Located) -> Result<Profile, String> {
    let space = located.space(machine);
    let symbols = image::import_symbols(&space, place(located), Some(&WANTED), identity(located));
    let mut symbols = symbols.map_err(in_words)?;
    symbols.set_text_head(located.text_head(machine));
    let inferred = osier_linux::infer(machine, located, symbols.build());
    inferred.map_err(|why| why.to_string())
}

/// What the snapshot's own tables lack.
fn in_words(error: ImageError) -> String {
    let (what, reason) = match error {
        ImageError::NoTypes { reason, .. } => ("no type information (BTF)", reason),
        ImageError::NoSymbols { reason, .. } => ("no symbol table (kallsyms)", reason),
    };
    format!("the snapshot itself: {what}: {reason}")
}

fn place(located: &osier_linux::Located) -> Image {
    Image {
        text: located.text,
        end: located.end,
        slide: located.kernel_offset(),
    }
}
