//! What a compressed file unpacks to, unpacked when a page is asked for that is not kept of an earlier opening.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use osier_memory::PAGE_BYTES;

use super::unpack::{self, Odd};
use super::wrapping::Wrapping;
use crate::data::Data;
use crate::distant::Distant;
use crate::error::OpenError;
use crate::kept::Kept;
use crate::pages::Pages;
use crate::snapshot::OpenOptions;
use crate::sweep;

/// Reads of more are of somebody who goes through the file: nothing of them is kept.
const MOST: usize = 128 << 10;

/// What a file unpacks to.
pub(super) struct Unpacked {
    pub(super) data: Data,
    /// Bytes that a scratch file takes, now or when it is needed.
    pub(super) scratch_bytes: u64,
    /// How it was come by.
    pub(super) fact: String,
    pub(super) odd: Odd,
}

/// The bytes that the file at `path` unpacks to. Pages that are read of them are kept at `kept`, when nothing is odd about
/// the file.
///
/// # Errors
///
/// As [`unpack::to_scratch`].
pub(super) fn unpacked(
    path: &Path,
    data: &Data,
    wrapping: Wrapping,
    options: &OpenOptions,
    kept: Option<Kept>,
) -> Result<Unpacked, OpenError> {
    // What is inside another packed file has no identity of its own.
    let outermost = data.origin().is_ok() && data.scratch_bytes() == 0;
    let place = match kept.filter(|_| outermost).map(Pages::found) {
        Some(Ok(pages)) => {
            let bytes = pages.bytes();
            let fact = format!(
                "{bytes} bytes, {} pages of them by an earlier opening; others to a scratch file when they are \
                 asked for",
                pages.len()
            );
            let lazy = Lazy::new(pages, path, data, wrapping, options);
            return Ok(Unpacked {
                data: Data::of_distant(Arc::new(lazy), options.progress.clone()),
                scratch_bytes: bytes,
                fact,
                odd: Odd::default(),
            });
        }
        Some(Err(place)) => Some(place),
        None => None,
    };
    let (scratch, odd) = unpack::to_scratch(path, data, wrapping, options)?;
    let bytes = scratch.len();
    let fact = format!("{bytes} bytes to a scratch file");
    let whole = odd.anomalies.is_empty() && odd.padding == 0;
    let unpacked = match place.filter(|_| whole) {
        Some(place) => {
            let lazy = Lazy::new(Pages::none(place, bytes), path, data, wrapping, options);
            let set = lazy.rest.set(Ok(scratch));
            drop(set); // it is new: nobody has set it
            Data::of_distant(Arc::new(lazy), options.progress.clone())
        }
        None => scratch,
    };
    Ok(Unpacked {
        data: unpacked,
        scratch_bytes: bytes,
        fact,
        odd,
    })
}

/// Pages that are kept, and the rest once it is needed.
struct Lazy {
    pages: Pages,
    rest: OnceLock<Result<Data, (io::ErrorKind, String)>>,
    unpack: Box<dyn Fn() -> Result<Data, OpenError> + Send + Sync>,
    version: u64,
}

impl Lazy {
    fn new(
        pages: Pages,
        path: &Path,
        data: &Data,
        wrapping: Wrapping,
        options: &OpenOptions,
    ) -> Self {
        let (path, data, options) = (path.to_owned(), data.clone(), options.clone());
        Self {
            version: pages.version(),
            pages,
            rest: OnceLock::new(),
            unpack: Box::new(move || {
                let (scratch, _) = unpack::to_scratch(&path, &data, wrapping, &options)?;
                Ok(scratch)
            }),
        }
    }

    /// All of it.
    fn rest(&self) -> io::Result<&Data> {
        let rest = self.rest.get_or_init(|| {
            let unpacked = (self.unpack)();
            unpacked.map_err(|error| (io::ErrorKind::Other, error.to_string()))
        });
        let rest = rest.as_ref();
        let rest = rest.map_err(|(kind, text)| io::Error::new(*kind, text.clone()))?;
        if rest.len() != self.pages.bytes() {
            let text = "it does not unpack to what it did before";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(rest)
    }

    fn page(&self, number: u64) -> io::Result<Arc<[u8]>> {
        self.pages
            .get_or_read(number, |offset, page| self.rest()?.read_at(offset, page))
    }
}

impl Distant for Lazy {
    fn bytes(&self) -> u64 {
        self.pages.bytes()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes().saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = left.min(buf.len());
        let buf = buf.get_mut(..len).unwrap_or_default();
        if len > MOST {
            return self.rest()?.read_some(offset, buf);
        }
        sweep::fill(buf, |done, rest| {
            let at = offset.saturating_add(done);
            let page = self.page(at / PAGE_BYTES)?;
            let from = page.get((at % PAGE_BYTES) as usize..);
            Ok(sweep::copy(from.unwrap_or_default(), rest))
        })
    }

    fn version(&self) -> u64 {
        self.version
    }
}

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lazy({} bytes)", self.bytes())
    }
}
