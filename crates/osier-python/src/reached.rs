//! Snapshots behind addresses, and what could not be read of them.

use std::path::Path;
use std::sync::Arc;

use osier::Error;
use osier::osier_snapshot::Reach;
use osier_remote::{Manners, Web};
use pyo3::prelude::*;

use crate::errors::{engine, plain};

/// What the addresses of one call are reached by.
#[derive(Clone, Debug)]
pub(crate) struct Reached(Arc<Web>);

impl Reached {
    /// One that keeps blocks in the folder `cache`. What is to be searched is read to its end.
    pub(crate) fn new(cache: Option<&Path>, search: bool) -> Self {
        let manners = Manners::default();
        let most = if search { u64::MAX } else { manners.most };
        Self(Arc::new(
            Web::new(cache, Manners { most, ..manners }).with_stores(),
        ))
    }

    /// The engine's door to it.
    pub(crate) fn reach(&self) -> Arc<dyn Reach> {
        self.0.clone()
    }

    /// Raises what could not be read of an address. To whoever walks memory it was a fault among others, so
    /// that whatever was told since may be short of it.
    pub(crate) fn sound(&self, py: Python<'_>) -> PyResult<()> {
        self.0.trouble().map_or(Ok(()), |trouble| {
            let trouble = osier_text::visible(trouble).to_string();
            Err(plain(py, "ReadError", trouble))
        })
    }

    /// What the engine opened. Where an address is to blame, the error says so.
    pub(crate) fn opened<T>(&self, py: Python<'_>, opened: Result<T, Error>) -> PyResult<T> {
        let told = |error: &Error| {
            let text = error.to_string();
            self.0.trouble().is_none_or(|why| text.contains(why))
        };
        match opened {
            Err(error) if told(&error) => Err(engine(py, &error)),
            opened => {
                self.sound(py)?;
                opened.map_err(|error| engine(py, &error))
            }
        }
    }
}
