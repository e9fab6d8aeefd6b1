//! Without the feature, an address is an error that says so.

use std::io;
use std::path::Path;
use std::sync::Arc;

use osier::osier_snapshot::{Distant, Reach};

use crate::args::Cli;
use crate::outcome::Outcome;

#[derive(Debug)]
struct Nothing;

impl Reach for Nothing {
    fn open(&self, name: &Path) -> Option<io::Result<Arc<dyn Distant>>> {
        let address = name.to_str().is_some_and(|name| name.contains("://"));
        let text = "this osier was built without the feature `remote`, which reads addresses";
        address.then(|| Err(io::Error::new(io::ErrorKind::Unsupported, text)))
    }
}

/// How an address is reached: not at all.
#[expect(clippy::unnecessary_wraps, reason = "the same as with the feature")]
pub(crate) fn reach(_: Option<&Path>, _: bool) -> Option<Arc<dyn Reach>> {
    Some(Arc::new(Nothing))
}

/// How the command ended.
pub(crate) fn conclude(ran: anyhow::Result<Outcome>, _: &Cli) -> anyhow::Result<Outcome> {
    ran
}
