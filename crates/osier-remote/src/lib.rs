#![doc = include_str!("../README.md")]
//!
//! ```text
//!   Web (osier-snapshot's Reach) ──► Object (its Distant): blocks in memory, then those kept on the disk,
//!                                       └──► http: one range of one version, tried again where that may help
//! ```
//!
//! Nothing is asked of a network unless somebody opens an address. An object is one version: its length and its
//! tag are those of the first answer, every further request is for that tag, and an answer with another is an error.

mod http;
mod kept;
mod manners;
mod object;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use osier_snapshot::{Distant, Reach};

use http::Http;
use object::Object;

pub use manners::{Asked, Manners};

/// Opens addresses. What it has opened it keeps, so that an address is one version as long as it lives.
pub struct Web {
    manners: Manners,
    /// Where blocks are kept between runs; `None` keeps none.
    folder: Option<PathBuf>,
    open: Mutex<HashMap<String, Arc<Object>>>,
    trouble: Arc<OnceLock<String>>,
}

impl std::fmt::Debug for Web {
    /// No more than that: it is part of what tells two runs apart.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Web")
    }
}

/// Schemes that name an object in a store, and how to get an address that anybody can read it by.
const STORES: [(&str, &str); 3] = [
    ("s3://", "`aws s3 presign` gives one"),
    ("gs://", "`gcloud storage sign-url` gives one"),
    (
        "az://",
        "`az storage blob generate-sas --full-uri` gives one",
    ),
];

/// Whether this is the address of something, and no file's name.
pub fn is_address(name: &Path) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    let stores = STORES.iter().map(|(scheme, _)| *scheme);
    stores
        .chain(["http://", "https://"])
        .any(|scheme| name.starts_with(scheme))
}

impl Web {
    /// One that keeps blocks in the folder `remote` of `cache`.
    pub fn new(cache: Option<&Path>, manners: Manners) -> Self {
        Self {
            manners,
            folder: cache.map(|cache| cache.join("remote")),
            open: Mutex::default(),
            trouble: Arc::default(),
        }
    }

    /// What was asked for all that was opened.
    pub fn asked(&self) -> Asked {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().fold(Asked::default(), |sum, object| {
            let asked = object.asked();
            Asked {
                requests: sum.requests.saturating_add(asked.requests),
                bytes: sum.bytes.saturating_add(asked.bytes),
            }
        })
    }

    /// The first thing that could not be had, in words, with the address. Whatever was told since then may be short of it.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.get().map(String::as_str)
    }

    fn object(&self, name: &str) -> io::Result<Arc<Object>> {
        for (scheme, way) in STORES {
            if name.starts_with(scheme) {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!("objects of a store are read by their https:// addresses; {way}"),
                ));
            }
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(object) = open.get(name) {
            return Ok(object.clone());
        }
        let http = Http::new(name, self.manners.silence);
        let folder = self.folder.as_deref();
        let object = Object::open(http, self.manners, folder, self.trouble.clone())?;
        let object = Arc::new(object);
        open.insert(name.to_owned(), object.clone());
        Ok(object)
    }
}

impl Reach for Web {
    fn open(&self, name: &Path) -> Option<io::Result<Arc<dyn Distant>>> {
        if !is_address(name) {
            return None;
        }
        let object = self.object(name.to_str().unwrap_or_default());
        Some(object.map(|object| object as Arc<dyn Distant>))
    }
}
