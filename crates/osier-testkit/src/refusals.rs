//! How often a provider refused a machine that was tampered with.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// The reason that a damaged kernel may be refused for: its profile seems to be another's.
const FOREIGN: &str = "the profile does not fit this kernel";

/// Refusals of damaged machines, by the reason.
#[derive(Debug, Default)]
pub struct Refusals(RefCell<BTreeMap<String, usize>>);

impl Refusals {
    /// Notes one. What stands behind a colon is of that machine alone.
    pub fn note(&self, reason: &str) {
        let reason = reason.split(':').next().unwrap_or_default();
        *self.0.borrow_mut().entry(reason.to_owned()).or_default() += 1;
    }

    /// That few of the machines that were `tried` were refused, and each as one that the profile does not fit.
    ///
    /// # Panics
    ///
    /// When it was more than a tenth, or another reason.
    pub fn are_few_of(&self, tried: usize) {
        let refused = self.0.borrow();
        let count: usize = refused.values().sum();
        assert!(count * 10 <= tried, "{refused:?} of {tried}");
        assert!(
            refused.keys().all(|reason| reason == FOREIGN),
            "{refused:?}"
        );
    }
}
