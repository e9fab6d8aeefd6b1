//! A guest: a snapshot whose kernel was found, ready to answer questions.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use osier_memory::{Cause, Machine, VirtAddr};
use osier_osi::{Crash, Kernel, Osi, Seen};
use osier_profile::{Profile, Source};
use osier_snapshot::{Anomaly, Snapshot, SnapshotInfo};

use crate::kernel::Located;
use crate::known::KnownKernels;
use crate::located::find;
use crate::opened::open_snapshot;
use crate::options::Options;
use crate::profiles::{ProfileSource, Sourced};
use crate::remembered::{Kept, Remembered};
use crate::shared::Shared;
use crate::untold::Untold;
use crate::{Error, registry};

/// A snapshot whose kernel was found and can be asked questions.
///
/// A clone shares everything: a guest may be held as long as one likes, and several threads may ask it
/// at once. What one answer reads is cached for that answer alone.
///
/// The questions are [`processes`](Self::processes), [`wide`](Self::wide) with more of each,
/// [`handles`](Self::handles), [`current`](Self::current), [`threads`](Self::threads),
/// [`modules`](Self::modules), [`mappings`](Self::mappings), [`pages`](Self::pages), [`files`](Self::files),
/// [`environment`](Self::environment), [`log`](Self::log), [`mounts`](Self::mounts), [`sockets`](Self::sockets),
/// [`interfaces`](Self::interfaces), [`scan`](Self::scan) and [`findings`](Self::findings).
#[derive(Clone)]
pub struct Guest(Arc<Inner>);

/// What every answer says that was read by inferred structures.
const INFERRED: &str = "the kernel's structures were inferred from its memory (--infer), for nothing tells them; what \
     could not be proved is absent";

/// What is said of a profile that lacks what every kernel has.
fn partial(lacking: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<_> = lacking.iter().take(SHOWN).map(String::as_str).collect();
    let more = lacking.len().saturating_sub(SHOWN);
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    format!(
        "the profile has a part of the kernel's types (it lacks {}{more}); what else it does not tell, the kernel may have",
        shown.join(", ")
    )
}

struct Inner {
    info: SnapshotInfo,
    machine: Machine,
    located: Located,
    profile: Arc<Profile>,
    source: ProfileSource,
    kernel: Kernel,
    /// Never asked anything: every answer forks it.
    provider: Mutex<Box<dyn Osi>>,
    /// Forks of it that are forked in its place, one where nobody is forking it just now: threads do not wait for
    /// one another, nor does a process for a thread that it was forked without.
    spares: [Mutex<Box<dyn Osi>>; 3],
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest")
            .field("file", &self.0.info.file)
            .field("kernel", &self.0.kernel)
            .finish_non_exhaustive()
    }
}

impl Guest {
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
        let place = Remembered::of(&snapshot.info.file, options);
        let again = place.kept().and_then(|kept| shared.again(&snapshot, kept));
        if let Some(again) = again {
            let (located, sourced) = again?;
            return Self::fitting(snapshot, located, sourced, &shared);
        }
        let located = Self::search(&snapshot, &shared, &place)?;
        Self::found(snapshot, located, &shared)
    }

    /// The second half of [`attach`](Self::attach): finds or makes the profile of a kernel that was found,
    /// and attaches.
    ///
    /// # Errors
    ///
    /// There is no profile, or it does not fit.
    pub fn found(snapshot: Snapshot, located: Located, shared: &Shared) -> Result<Self, Error> {
        let sourced = shared.first_profile(&snapshot, &located)?;
        Self::fitting(snapshot, located, sourced, shared)
    }

    /// Attaches. A profile of the cache that does not fit is set aside, and made again.
    fn fitting(
        snapshot: Snapshot,
        located: Located,
        sourced: Sourced,
        shared: &Shared,
    ) -> Result<Self, Error> {
        let attach = |(profile, source): Sourced| {
            let provider = attached(&snapshot, &located, &profile, &source)?;
            Ok((profile, source, provider))
        };
        let of_cache = matches!(sourced.1, ProfileSource::Stored(Source::Cache(_)));
        let (profile, source, provider) = attach(sourced).or_else(|error: Error| {
            let again = || attach(shared.fresh_profile(&snapshot, &located).ok()?).ok();
            of_cache.then(again).flatten().ok_or(error)
        })?;
        Ok(Self::of(snapshot, located, profile, source, provider))
    }

    /// The first half of [`attach`](Self::attach): finds the kernel of an open snapshot, and remembers
    /// where. The second is [`found`](Self::found).
    ///
    /// # Errors
    ///
    /// The profile that was named cannot be read, no kernel was found, or not the one that was named.
    pub fn find(snapshot: &Snapshot, options: &Options) -> Result<(Shared, Located), Error> {
        let shared = Shared::new(options)?;
        let place = Remembered::of(&snapshot.info.file, options);
        let located = Self::search(snapshot, &shared, &place)?;
        Ok((shared, located))
    }

    fn search(snapshot: &Snapshot, shared: &Shared, place: &Remembered) -> Result<Located, Error> {
        let last = place.kept().map(|kept| kept.last);
        let located = shared.locate(snapshot, last.as_slice())?;
        place.keep(&Kept::of(&located));
        Ok(located)
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
        let located = find(&snapshot, options, &KnownKernels::of(&profile), &[])?;
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
        let provider = attached(&snapshot, &located, &profile, &source)?;
        Ok(Self::of(snapshot, located, profile, source, provider))
    }

    fn of(
        snapshot: Snapshot,
        located: Located,
        profile: Arc<Profile>,
        source: ProfileSource,
        mut provider: Box<dyn Osi>,
    ) -> Self {
        let mut info = snapshot.info;
        if !profile.damage().is_empty() {
            let damage = profile.damage().iter().map(Anomaly::bytes);
            info.anomalies.extend(damage);
            provider = Box::new(Untold::new(provider, Cause::DamagedSymbols));
        } else if profile.inferred() {
            info.anomalies.push(Anomaly::bytes(INFERRED));
            provider = Box::new(Untold::new(provider, Cause::NotInferred));
        } else if !profile.is_whole() {
            let lacking = located.lacking(&profile);
            if !lacking.is_empty() {
                info.anomalies.push(Anomaly::harmless(partial(&lacking)));
                provider = Box::new(Untold::new(provider, Cause::NotInProfile));
            }
        }
        let mut kernel = provider.kernel().clone();
        if !matches!(source, ProfileSource::Snapshot(_) | ProfileSource::Inferred) {
            // What a profile was made of once is not what was read now.
            let premises = kernel.premises.iter_mut();
            for premise in premises.filter(|premise| premise.about == "profile") {
                premise.by = format!("{source}, once made of {}", premise.by);
            }
        }
        Self(Arc::new(Inner {
            info,
            machine: snapshot.machine,
            located,
            profile,
            source,
            kernel,
            spares: [(); 3].map(|()| Mutex::new(provider.fork())),
            provider: Mutex::new(provider),
        }))
    }

    /// What the file is: its format, its processors, its RAM, and what is odd about it and about the
    /// kernel's own types and symbols, where it is read by these.
    pub fn info(&self) -> &SnapshotInfo {
        &self.0.info
    }

    /// The machine that stopped: memory, processors, hints.
    pub fn machine(&self) -> &Machine {
        &self.0.machine
    }

    /// Where the kernel is, and how that was decided.
    pub fn located(&self) -> &Located {
        &self.0.located
    }

    /// The kernel's types and symbols.
    pub fn profile(&self) -> &Arc<Profile> {
        &self.0.profile
    }

    /// Where the kernel's types and symbols came from.
    pub fn source(&self) -> &ProfileSource {
        &self.0.source
    }

    /// A provider of this guest, for one thread: what [`Osi`] asks, row by row, without the iterators
    /// of the questions here. Its caches are its own.
    pub fn provider(&self) -> Box<dyn Osi> {
        let mut spares = self.0.spares.iter();
        if let Some(spare) = spares.find_map(|spare| spare.try_lock().ok()) {
            return spare.fork();
        }
        let provider = &self.0.provider;
        let provider = provider.lock().unwrap_or_else(PoisonError::into_inner);
        provider.fork()
    }

    /// What was decided about the kernel: its banner or build string, its build id, and each premise.
    pub fn kernel(&self) -> &Kernel {
        &self.0.kernel
    }

    /// What the guest's wall clock showed when the guest stopped: nanoseconds since 1970-01-01 UTC; see
    /// [`Osi::clock`].
    ///
    /// # Errors
    /// Why the clock is absent.
    pub fn clock(&self) -> Seen<i64> {
        self.provider().clock()
    }

    /// What the kernel said when it stopped the machine by itself; see [`Osi::crash`].
    ///
    /// # Errors
    /// It did not, which is not applicable; or why that cannot be told.
    pub fn crash(&self) -> Seen<Crash> {
        self.provider().crash()
    }

    /// Bytes of the guest kernel's pointers.
    pub fn pointer_bytes(&self) -> u8 {
        self.0.located.mode().pointer_bytes()
    }

    /// What was added to link-time addresses by KASLR; `None` when the profile has no `_text`, as
    /// of Windows, whose symbols count from the image's base.
    pub fn virtual_slide(&self) -> Option<u64> {
        let profile = &self.0.profile;
        let text = profile
            .symbol("_text")
            .or_else(|| profile.symbol("_stext"))?;
        Some(self.0.located.base().0.wrapping_sub(text))
    }

    /// The running kernel's address of the symbol `name`; `None` when the profile has no such symbol.
    /// Not for per-CPU symbols, which are offsets into a processor's own area.
    pub fn symbol(&self, name: &str) -> Option<VirtAddr> {
        let linked = self.0.profile.symbol(name)?;
        let slide = match &self.0.located {
            Located::Linux(_) => self.virtual_slide()?,
            Located::Windows(_) | Located::Other(_) => self.0.located.base().0,
        };
        let address = VirtAddr(linked.wrapping_add(slide));
        Some(self.0.located.mode().canonicalise(address))
    }
}

/// The provider of the kernel that `located` names, read by `profile`.
fn attached(
    snapshot: &Snapshot,
    located: &Located,
    profile: &Arc<Profile>,
    source: &ProfileSource,
) -> Result<Box<dyn Osi>, Error> {
    let attached = registry::attach(&snapshot.machine, located, profile.clone());
    attached.map_err(|error| Error::Attach {
        profile: match profile.damage() {
            [] => source.to_string(),
            damage => format!("{source}; {}", damage.join("; ")),
        },
        source: error,
    })
}
