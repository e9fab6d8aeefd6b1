//! What many snapshots have in common.

use std::sync::{Arc, OnceLock};

use osier_profile::{OsKind, Profile, Source};
use osier_snapshot::Snapshot;

use crate::kernel::{LastKernel, Located};
use crate::known::KnownKernels;
use crate::located::{again, find};
use crate::options::Options;
use crate::profiles::{ProfileSource, Profiles, Sourced};
use crate::remembered::Kept;
use crate::{Error, registry};

/// What the guests of many snapshots have in common: what the caller said, the profiles, and the
/// kernels that they describe, read at most once.
pub struct Shared {
    options: Options,
    profiles: Profiles,
    /// The kernels that the profiles describe, read when a kernel is first searched for.
    known: OnceLock<KnownKernels>,
}

impl Shared {
    /// Reads the profile that `options` names.
    ///
    /// # Errors
    ///
    /// The named profile cannot be read.
    pub fn new(options: &Options) -> Result<Self, Error> {
        Ok(Self {
            options: options.clone(),
            profiles: Profiles::new(options)?,
            known: OnceLock::new(),
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
    pub fn locate(&self, snapshot: &Snapshot, lasts: &[LastKernel]) -> Result<Located, Error> {
        let known = self.known.get_or_init(|| self.profiles.known());
        find(snapshot, &self.options, known, lasts)
    }

    /// The kernel where `kept` has it, and its profile, when it is a Linux kernel of a stored profile
    /// that is still there. Where the caller names profiles, these are asked first, by a search.
    pub(crate) fn again(
        &self,
        snapshot: &Snapshot,
        kept: &Kept,
    ) -> Option<Result<(Located, Sourced), Error>> {
        let unnamed = self.options.profile.is_none() && self.options.profiles.is_empty();
        if !unnamed || kept.last.os != OsKind::Linux {
            return None;
        }
        let stored = self.profiles.stored(kept.build_id.as_ref()?)?;
        let known = KnownKernels::of(&stored.0);
        let located = again(snapshot, &self.options, &known, kept.last)?;
        Some(located.map(|located| (located, stored)))
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
        last: LastKernel,
    ) -> Result<Located, Error> {
        find(snapshot, &self.options, &KnownKernels::of(profile), &[last])
    }

    /// The profile of the kernel that was found in `snapshot`. One of the cache that does not fit is made
    /// again where that can be done.
    ///
    /// # Errors
    ///
    /// There is none, and it cannot be read out of the snapshot either.
    pub fn profile(
        &self,
        snapshot: &Snapshot,
        located: &Located,
    ) -> Result<(Arc<Profile>, ProfileSource), Error> {
        let first = self.first_profile(snapshot, located)?;
        let of_cache = matches!(first.1, ProfileSource::Stored(Source::Cache(_)));
        if of_cache && !Self::fits(snapshot, located, &first.0) {
            return Ok(self.fresh_profile(snapshot, located).unwrap_or(first));
        }
        Ok(first)
    }

    /// Whether the kernel that was found in `snapshot` can be attached by `profile`.
    pub fn fits(snapshot: &Snapshot, located: &Located, profile: &Arc<Profile>) -> bool {
        registry::attach(&snapshot.machine, located, profile.clone()).is_ok()
    }

    /// The first profile of this kernel, whether it fits or not.
    pub(crate) fn first_profile(
        &self,
        snapshot: &Snapshot,
        located: &Located,
    ) -> Result<Sourced, Error> {
        self.profiles.of(&snapshot.machine, located)
    }

    /// The profile of this kernel without what the cache has of it.
    pub(crate) fn fresh_profile(
        &self,
        snapshot: &Snapshot,
        located: &Located,
    ) -> Result<Sourced, Error> {
        self.profiles.fresh(&snapshot.machine, located)
    }
}
