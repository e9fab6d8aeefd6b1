//! How far a long step of opening has got, for whoever shows it, and whether it is to go on.

use std::fmt;
use std::sync::Arc;

/// Called with the step's name, what is done, and all there is to do, both in bytes of the file.
type Tell = dyn Fn(&'static str, u64, u64) + Send + Sync;

/// Whom to tell how far a long step has got, and who may end it. The default tells nobody and never ends.
#[derive(Clone, Default)]
pub struct Progress {
    tell: Option<Arc<Tell>>,
    over: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl Progress {
    /// Tells `listener` the step's name, the bytes done, and all there are, some thousand times a
    /// gigabyte.
    pub fn new(listener: impl Fn(&'static str, u64, u64) + Send + Sync + 'static) -> Self {
        Self {
            tell: Some(Arc::new(listener)),
            over: None,
        }
    }

    /// Asks `over`, some thousand times a gigabyte, whether opening is to end: once it says so, it ends with
    /// [`OpenError::Stopped`](crate::OpenError::Stopped).
    #[must_use]
    pub fn until(mut self, over: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.over = Some(Arc::new(over));
        self
    }

    pub(crate) fn tell(&self, step: &'static str, done: u64, all: u64) {
        if let Some(tell) = &self.tell {
            tell(step, done, all);
        }
    }

    /// Whether opening is to end.
    pub(crate) fn is_over(&self) -> bool {
        self.over.as_ref().is_some_and(|over| over())
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tell.is_some() {
            "Progress(…)"
        } else {
            "Progress"
        })
    }
}
