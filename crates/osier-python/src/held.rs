//! The guest that all share that was made of it, and that any of them may close.

use std::sync::{Arc, PoisonError, RwLock};

use osier::osier_snapshot::Reach;
use pyo3::prelude::*;

use crate::errors::closed;
use crate::reached::Reached;

/// A guest that may be closed, shared by all that was made of it.
#[derive(Clone)]
pub(crate) struct Held {
    guest: Arc<RwLock<Option<osier::Guest>>>,
    label: Arc<str>,
    reached: Reached,
}

impl Held {
    /// What was opened, and what its address is reached by.
    pub(crate) fn new(guest: osier::Guest, reached: Reached) -> Self {
        let label = osier_text::path(&guest.info().file).to_string();
        Self {
            guest: Arc::new(RwLock::new(Some(guest))),
            label: label.into(),
            reached,
        }
    }

    /// The guest, unless it was closed, or something could not be read of the address that it comes from.
    pub(crate) fn guest(&self, py: Python<'_>) -> PyResult<osier::Guest> {
        let held = self.guest.read().unwrap_or_else(PoisonError::into_inner);
        let guest = held.clone().ok_or_else(|| closed(py))?;
        self.reached.sound(py)?;
        Ok(guest)
    }

    /// What was made of the guest, unless something could not be read of its address meanwhile.
    pub(crate) fn sound<T>(&self, py: Python<'_>, made: PyResult<T>) -> PyResult<T> {
        self.reached.sound(py)?;
        made
    }

    /// How the file or address is reached.
    pub(crate) fn reach(&self) -> Arc<dyn Reach> {
        self.reached.reach()
    }

    /// What it is called.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// What its address is reached by.
    pub(crate) const fn reached(&self) -> &Reached {
        &self.reached
    }

    /// Lets go of the guest, for all.
    pub(crate) fn close(&self) {
        *self.guest.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether it was closed.
    pub(crate) fn is_closed(&self) -> bool {
        let held = self.guest.read().unwrap_or_else(PoisonError::into_inner);
        held.is_none()
    }
}
