//! How far a long step of opening has got, for whoever shows it.

use std::fmt;
use std::sync::Arc;

/// Called with the step's name, what is done, and all there is to do, both in bytes of the file.
type Tell = dyn Fn(&'static str, u64, u64) + Send + Sync;

/// Whom to tell how far a long step has got. The default tells nobody.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<Tell>>);

impl Progress {
    /// Tells `listener` the step's name, the bytes done, and all there are, some thousand times a
    /// gigabyte.
    pub fn new(listener: impl Fn(&'static str, u64, u64) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    pub(crate) fn tell(&self, step: &'static str, done: u64, all: u64) {
        if let Some(tell) = &self.0 {
            tell(step, done, all);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Progress(…)"
        } else {
            "Progress"
        })
    }
}
