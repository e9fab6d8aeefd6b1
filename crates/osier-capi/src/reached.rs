//! Snapshots behind addresses, and what could not be read of them.

use std::path::Path;
use std::sync::Arc;

use osier::osier_snapshot::Reach;
#[cfg(feature = "remote")]
use osier_remote::{Manners, Web};

use crate::error::{Error, ErrorKind};

/// What a guest is reached by when it lies behind an address.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    #[cfg(feature = "remote")]
    web: Arc<Web>,
}

#[cfg(feature = "remote")]
impl Reached {
    /// One that keeps blocks in the folder `cache`. What is to be searched is read to its end.
    pub(crate) fn new(cache: Option<&Path>, search: bool) -> Self {
        let manners = Manners::default();
        let most = if search { u64::MAX } else { manners.most };
        Self {
            web: Arc::new(Web::new(cache, Manners { most, ..manners })),
        }
    }

    /// The engine's door to it.
    #[expect(clippy::unnecessary_wraps, reason = "the same as without the feature")]
    pub(crate) fn reach(&self) -> Option<Arc<dyn Reach>> {
        Some(self.web.clone())
    }

    /// What could not be read of the address. To whoever walks memory it was a fault among others, so that
    /// whatever was told since may be short of it.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.web.trouble()
    }
}

#[cfg(not(feature = "remote"))]
impl Reached {
    pub(crate) fn new(_: Option<&Path>, _: bool) -> Self {
        Self {}
    }

    #[expect(clippy::unused_self, reason = "the same as with the feature")]
    pub(crate) fn reach(&self) -> Option<Arc<dyn Reach>> {
        None
    }

    #[expect(clippy::unused_self, reason = "the same as with the feature")]
    pub(crate) fn trouble(&self) -> Option<&str> {
        None
    }
}

impl Reached {
    /// An error where something could not be read of the address.
    pub(crate) fn sound(&self) -> Result<(), Error> {
        self.trouble().map_or(Ok(()), |trouble| {
            Err(Error::new(ErrorKind::Io, trouble.to_owned()))
        })
    }

    /// What the engine opened. Where the address is to blame, the error says so.
    pub(crate) fn opened<T>(&self, opened: Result<T, osier::Error>) -> Result<T, Error> {
        match (opened, self.trouble()) {
            (Err(error), Some(trouble)) if !error.to_string().contains(trouble) => {
                Err(Error::new(ErrorKind::Io, trouble.to_owned()))
            }
            (Ok(_), Some(trouble)) => Err(Error::new(ErrorKind::Io, trouble.to_owned())),
            (opened, _) => opened.map_err(Error::from),
        }
    }
}
