//! A session: a snapshot opened, its kernel found, its profile had, a provider attached.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use osier_memory::{Machine, PhysAddr};
use osier_osi::Osi;
use osier_profile::Profile;
use osier_snapshot::{Format, OpenOptions, Progress, Reading, Snapshot, SnapshotInfo};

use crate::Error;
use crate::located::{Known, Last, Located, find};
use crate::os_name::OsName;
use crate::place::Place;
use crate::profiles::{ProfileSource, Profiles};

/// What a caller may say about a snapshot. The default says nothing and keeps nothing.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Folders of profiles, searched in order before the cache.
    pub profiles: Vec<PathBuf>,
    /// Folders with PDBs, searched when the store has no profile of a Windows kernel; see
    /// [`symbol_path`](crate::symbol_path).
    pub symbol_folders: Vec<PathBuf>,
    /// The profile to use: a profile file, or any symbol file that can be imported. One that names its
    /// build must be of the snapshot's.
    pub profile: Option<PathBuf>,
    /// Which kernel of a `kernelinfo.conf` that is given as the profile: the name of its group, or the
    /// release in it.
    pub group: Option<String>,
    /// The operating system: `linux`, `windows`, or a PANDA `-os` string.
    pub os: Option<String>,
    /// A page-table root that maps the kernel, physical or as CR3 holds it: any process's will do.
    pub table_root: Option<PhysAddr>,
    /// Leave out the profiles that ship with Osier.
    pub no_shipped: bool,
    /// The folder where profiles and indexes are kept; `None` keeps none.
    pub cache: Option<PathBuf>,
    /// A text file with the processors' registers, beside a raw dump.
    pub registers: Option<PathBuf>,
    /// Where the RAM below 4 GiB ends, for a bare `pc.ram` block.
    pub ram_split: Option<u64>,
    /// Which internal snapshot of a disk image to open, by its identifier or name.
    pub internal: Option<String>,
    /// The other files of a dump that was written into several; empty: they are looked for beside
    /// the snapshot.
    pub parts: Vec<PathBuf>,
    /// The most bytes of decoded pages that a compressed format keeps in memory; `None` leaves it
    /// to [`OpenOptions`].
    pub cache_bytes: Option<u64>,
    /// The most bytes that a compressed snapshot may be unpacked to; `None` leaves it to
    /// [`OpenOptions`].
    pub scratch_limit: Option<u64>,
    /// How guest memory comes out of a file that holds it as it lay in the machine.
    pub reading: Reading,
    /// Whom to tell how far a long step of opening has got.
    pub progress: Progress,
}

/// A snapshot with everything that answering takes.
pub struct Session {
    /// What the file is.
    pub info: SnapshotInfo,
    /// Memory, processors, hints.
    pub machine: Machine,
    /// Where the kernel is, and how that was decided.
    pub located: Located,
    /// The kernel's types and symbols.
    pub profile: Arc<Profile>,
    /// Where they came from.
    pub source: ProfileSource,
    /// The provider.
    pub osi: Box<dyn Osi>,
}

/// Opens a snapshot without looking for a kernel in it.
///
/// # Errors
///
/// The file cannot be opened, or the operating system's name is none.
pub fn open_snapshot(path: &Path, options: &Options) -> Result<Snapshot, Error> {
    if let Some(name) = &options.os {
        OsName::parse(name)?;
    }
    let unsaid = OpenOptions::default();
    let open_options = OpenOptions {
        registers: options.registers.clone(),
        index_dir: options.cache.clone(),
        ram_split: options.ram_split,
        internal: options.internal.clone(),
        parts: options.parts.clone(),
        cache_bytes: options.cache_bytes.unwrap_or(unsaid.cache_bytes),
        scratch_limit: options.scratch_limit.unwrap_or(unsaid.scratch_limit),
        reading: options.reading,
        progress: options.progress.clone(),
    };
    let snapshot = osier_snapshot::open(path, &open_options)?;
    held_against(&snapshot.info, options)?;
    Ok(snapshot)
}

/// Refuses what was named and the snapshot has no use for: it would be believed to count.
fn held_against(info: &SnapshotInfo, options: &Options) -> Result<(), Error> {
    let format = info.format;
    let unapplied = |named: String, why: String| Err(Error::Unapplied { named, why });
    if let Some(split) = options.ram_split {
        let bytes = info
            .ram
            .iter()
            .fold(0_u64, |sum, run| sum.saturating_add(run.len));
        let named = format!("a RAM split at {split:#x}");
        match format {
            Format::Raw
            | Format::PcRam
            | Format::QemuStream
            | Format::Qcow2
            | Format::Libvirt
            | Format::PandaRr
            | Format::PandaRr2
                if split < bytes => {}
            Format::ElfCore
            | Format::Lime
            | Format::Avml
            | Format::Kdump
            | Format::Diskdump
            | Format::CrashDump
            | Format::Hibernation
            | Format::Vmware => {
                let name = format.name();
                return unapplied(named, format!("{name} says of each page where it lies"));
            }
            _ => {
                return unapplied(
                    named,
                    format!("the snapshot has {bytes} bytes of RAM in all"),
                );
            }
        }
    }
    if let Some(internal) = &options.internal
        && format != Format::Qcow2
    {
        let name = format.name();
        let why = format!("the file is no disk image with several (it is {name})");
        return unapplied(format!("the internal snapshot {internal}"), why);
    }
    if let Some(part) = options.parts.first()
        && !matches!(format, Format::Kdump | Format::Diskdump)
    {
        let name = format.name();
        let why = format!("the file is no kdump in several (it is {name})");
        return unapplied(format!("the part {}", osier_text::path(part)), why);
    }
    Ok(())
}

impl Session {
    /// Opens the snapshot at `path`, finds its kernel, finds or makes the profile, and attaches.
    ///
    /// # Errors
    ///
    /// [`Error`] names what is missing and the way out.
    pub fn open(path: &Path, options: &Options) -> Result<Self, Error> {
        Self::attach(open_snapshot(path, options)?, options)
    }

    /// As [`open`](Self::open), of a snapshot that is open already.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn attach(snapshot: Snapshot, options: &Options) -> Result<Self, Error> {
        let shared = Shared::new(options)?;
        let place = Place::of(&snapshot.info.file, options.cache.as_deref());
        let located = shared.locate(&snapshot, place.last().as_slice())?;
        place.keep(located.last());
        let (profile, source) = shared.profile(&snapshot, &located)?;
        Self::with(snapshot, located, profile, source)
    }

    /// As [`attach`](Self::attach), with a profile in hand.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn attach_with(
        snapshot: Snapshot,
        options: &Options,
        profile: Arc<Profile>,
    ) -> Result<Self, Error> {
        let located = find(&snapshot, options, &Known::of(&profile), &[])?;
        Self::with(snapshot, located, profile, ProfileSource::Given)
    }

    /// Attaches to a snapshot whose kernel was found and whose profile is in hand.
    ///
    /// # Errors
    ///
    /// The profile lacks what the provider reads, or is another kernel's.
    pub fn with(
        snapshot: Snapshot,
        located: Located,
        profile: Arc<Profile>,
        source: ProfileSource,
    ) -> Result<Self, Error> {
        let attached = located.attach(&snapshot.machine, profile.clone());
        let osi = attached.map_err(|error| Error::Attach {
            profile: source.to_string(),
            source: error,
        })?;
        Ok(Self {
            info: snapshot.info,
            machine: snapshot.machine,
            located,
            profile,
            source,
            osi,
        })
    }

    /// Bytes of the guest kernel's pointers.
    pub fn pointer_bytes(&self) -> u8 {
        self.located.mode().pointer_bytes()
    }

    /// What was added to link-time addresses by KASLR; `None` when the profile has no `_text`, as
    /// of Windows, whose symbols count from the image's base.
    pub fn virtual_slide(&self) -> Option<u64> {
        let text = self
            .profile
            .symbol("_text")
            .or_else(|| self.profile.symbol("_stext"))?;
        Some(self.located.base().0.wrapping_sub(text))
    }
}

/// What the sessions of many snapshots have in common: what the caller said, the profiles, and the
/// kernels that they describe, read once.
pub struct Shared {
    options: Options,
    profiles: Profiles,
    known: Known,
}

impl Shared {
    /// Reads the profile that `options` names and the cards of all others.
    ///
    /// # Errors
    ///
    /// The named profile cannot be read.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let profiles = Profiles::new(options)?;
        let known = profiles.known();
        Ok(Self {
            options: options.clone(),
            profiles,
            known,
        })
    }

    /// What the caller said.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Finds the kernel of `snapshot`. `lasts` are kernels of other snapshots; their page-table roots
    /// are tried first, and confirmed like any other.
    ///
    /// # Errors
    ///
    /// No kernel was found, or not the one that the caller named.
    pub fn locate(&self, snapshot: &Snapshot, lasts: &[Last]) -> Result<Located, Error> {
        find(snapshot, &self.options, &self.known, lasts)
    }

    /// As [`locate`](Self::locate), where the kernel is expected to be the one that `profile`
    /// describes and to be read by the root of `last`.
    ///
    /// # Errors
    ///
    /// As [`locate`](Self::locate).
    pub fn locate_again(
        &self,
        snapshot: &Snapshot,
        profile: &Profile,
        last: Last,
    ) -> Result<Located, Error> {
        find(snapshot, &self.options, &Known::of(profile), &[last])
    }

    /// The profile of the kernel that was found in `snapshot`.
    ///
    /// # Errors
    ///
    /// There is none, and it cannot be read out of the snapshot either.
    pub fn profile(
        &self,
        snapshot: &Snapshot,
        located: &Located,
    ) -> Result<(Arc<Profile>, ProfileSource), Error> {
        match located {
            Located::Linux(found) => self.profiles.of(&snapshot.machine, found),
            Located::Windows(found) => self.profiles.of_windows(found),
        }
    }
}
