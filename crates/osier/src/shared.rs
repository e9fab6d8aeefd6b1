//! What many snapshots have in common.

use std::sync::Arc;

use osier_profile::Profile;
use osier_snapshot::Snapshot;

use crate::Error;
use crate::kernel::{Last, Located};
use crate::known::Known;
use crate::located::find;
use crate::options::Options;
use crate::profiles::{ProfileSource, Profiles};

/// What the guests of many snapshots have in common: what the caller said, the profiles, and the
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
            Located::Other(found) => self.profiles.of_other(&snapshot.machine, &**found),
        }
    }
}
