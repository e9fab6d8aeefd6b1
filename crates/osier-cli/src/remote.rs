//! Snapshots behind addresses: how they are reached, and what is said of it at the end.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use osier::osier_snapshot::Reach;
use osier_remote::{Manners, Web};

use crate::args::{Cli, Command};
use crate::outcome::Outcome;
use crate::output::say;

/// What the command that runs reaches them by.
static WEB: Mutex<Option<Arc<Web>>> = Mutex::new(None);

/// How an address is reached, with blocks kept in the folder `cache`. One that is to be searched is read to its end.
#[expect(clippy::unnecessary_wraps, reason = "the same as without the feature")]
pub(crate) fn reach(cache: Option<&Path>, search: bool) -> Option<Arc<dyn Reach>> {
    let mut web = WEB.lock().unwrap_or_else(PoisonError::into_inner);
    let web = web.get_or_insert_with(|| {
        let manners = Manners::default();
        let most = if search { u64::MAX } else { manners.most };
        let web = Web::new(cache, Manners { most, ..manners });
        #[cfg(feature = "stores")]
        let web = web.with_stores();
        Arc::new(web)
    });
    Some(web.clone())
}

/// How the command ended, with what could not be read of an address: to whoever walks memory it was a fault
/// among others. A run over many snapshots has told in its manifest already.
pub(crate) fn conclude(ran: anyhow::Result<Outcome>, cli: &Cli) -> anyhow::Result<Outcome> {
    let taken = WEB.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(web) = taken else { return ran };
    let asked = web.asked();
    if cli.output.verbose && asked.requests > 0 {
        let (requests, kib) = (asked.requests, asked.bytes / 1024);
        say(&format!(
            "{kib} KiB were read of addresses, in {requests} requests"
        ));
    }
    let Some(trouble) = web.trouble() else {
        return ran;
    };
    match ran {
        Err(error) if error.to_string().contains(trouble) => Err(error),
        Ok(outcome) if matches!(cli.command, Command::Run(_) | Command::Sql(_)) => Ok(outcome),
        _ => Err(anyhow::anyhow!("{}", osier_text::visible(trouble))),
    }
}
