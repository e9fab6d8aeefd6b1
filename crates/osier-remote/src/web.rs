//! `Web`: opens addresses, and lists what lies below one of a store.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use osier_snapshot::{Distant, Reach};

use crate::http::Http;
use crate::manners::{Asked, Manners};
use crate::object::{Object, Version};
use crate::ranges::Ranges;
use crate::shared::Shared;
#[cfg(feature = "stores")]
use crate::stores::Stores;

/// Objects that nobody reads any more are let go of above so many,
const RESTING: usize = 16;
/// or above so many blocks of all in memory, 64 MiB.
const HELD: usize = 1024;

/// Opens addresses. An address is one version as long as this lives: what is opened again is compared with what it was.
pub struct Web {
    manners: Manners,
    /// Where blocks are kept between runs; `None` keeps none.
    folder: Option<PathBuf>,
    open: Mutex<Open>,
    shared: Arc<Shared>,
    #[cfg(feature = "stores")]
    stores: Option<Stores>,
}

#[derive(Default)]
struct Open {
    /// Each address that was opened.
    versions: HashMap<String, Version>,
    objects: HashMap<String, Arc<Object>>,
    /// The addresses of `objects`, that which was opened first in front.
    order: VecDeque<String>,
}

impl std::fmt::Debug for Web {
    /// No more than that: it is part of what tells two runs apart.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Web")
    }
}

/// Schemes that name an object in a store, and how to get an address that anybody can read it by.
const STORES: [(&str, &str); 4] = [
    ("s3://", "`aws s3 presign` gives one"),
    ("s3a://", "`aws s3 presign` gives one"),
    ("gs://", "`gcloud storage sign-url` gives one"),
    (
        "az://",
        "`az storage blob generate-sas --full-uri` gives one",
    ),
];

/// Whether this is the address of something, and no file's name.
pub fn is_address(name: &Path) -> bool {
    let web = |name: &str| name.starts_with("http://") || name.starts_with("https://");
    name.to_str()
        .is_some_and(|name| web(name) || in_store(name).is_some())
}

/// Of an object in a store: how to get an address that anybody can read it by.
fn in_store(name: &str) -> Option<&'static str> {
    let store = STORES.iter().find(|(scheme, _)| name.starts_with(scheme));
    store.map(|(_, way)| *way)
}

impl Web {
    /// One that keeps blocks in the folder `remote` of `cache`.
    pub fn new(cache: Option<&Path>, manners: Manners) -> Self {
        Self {
            manners,
            folder: cache.map(|cache| cache.join("remote")),
            open: Mutex::default(),
            shared: Arc::default(),
            #[cfg(feature = "stores")]
            stores: None,
        }
    }

    /// The same, and it reads `s3://`, `gs://` and `az://`, with what the environment says of each store. Without this
    /// they are errors.
    #[cfg(feature = "stores")]
    #[must_use]
    pub fn with_stores(mut self) -> Self {
        self.stores = Some(Stores::new(self.manners.silence));
        self
    }

    /// What was asked for all that was opened.
    pub fn asked(&self) -> Asked {
        self.shared.asked()
    }

    /// The first thing that could not be read, in words, with the address. Whatever was told since then may be short of it.
    pub fn trouble(&self) -> Option<&str> {
        self.shared.trouble()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever has what this address names.
    fn source(&self, name: &str) -> io::Result<Box<dyn Ranges>> {
        let Some(way) = in_store(name) else {
            return Ok(Box::new(Http::new(name, self.manners.silence)));
        };
        #[cfg(feature = "stores")]
        if let Some(stores) = &self.stores {
            return Ok(Box::new(stores.object(name)?));
        }
        Err(unread(way))
    }

    fn object(&self, name: &str) -> io::Result<Arc<Object>> {
        if let Some(object) = self.open().objects.get(name) {
            return Ok(object.clone());
        }
        // Others may open other addresses meanwhile.
        let folder = self.folder.as_deref();
        let shared = self.shared.clone();
        let object = Object::open(self.source(name)?, self.manners, folder, shared)?;
        let mut open = self.open();
        if let Some(other) = open.objects.get(name) {
            return Ok(other.clone());
        }
        let version = object.opened();
        let known = open.versions.entry(name.to_owned());
        if *known.or_insert_with(|| version.clone()) != version {
            return Err(object.changed());
        }
        open.rest(&self.shared);
        let object = Arc::new(object);
        open.objects.insert(name.to_owned(), object.clone());
        open.order.push_back(name.to_owned());
        Ok(object)
    }

    /// Everything in a store below `name`, which ends with `/`, sorted.
    #[cfg(feature = "stores")]
    fn below(&self, name: &str, way: &str) -> io::Result<Vec<PathBuf>> {
        let Some(stores) = &self.stores else {
            return Err(unread(way));
        };
        stores.list(name, self.manners, &self.shared)
    }

    #[cfg(not(feature = "stores"))]
    #[expect(clippy::unused_self, reason = "the same as with the feature")]
    fn below(&self, _: &str, way: &str) -> io::Result<Vec<PathBuf>> {
        Err(unread(way))
    }
}

/// The error of an object in a store where stores are not read.
fn unread(way: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!(
            "this build reads objects of a store by their https:// addresses alone; {way}, and a build with the feature `stores` needs none"
        ),
    )
}

impl Open {
    /// Lets go of objects that nobody reads, those opened first before others, until few are left.
    fn rest(&mut self, shared: &Shared) {
        let mut resting: VecDeque<String> = VecDeque::new();
        for name in &self.order {
            let object = self.objects.get(name);
            if object.is_some_and(|object| Arc::strong_count(object) == 1) {
                resting.push_back(name.clone());
            }
        }
        while resting.len() > RESTING || shared.held() > HELD {
            let Some(name) = resting.pop_front() else {
                return;
            };
            self.objects.remove(&name);
            self.order.retain(|other| *other != name);
        }
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

    fn list(&self, name: &Path) -> Option<io::Result<Vec<PathBuf>>> {
        let name = name.to_str().filter(|name| name.ends_with('/'))?;
        let way = in_store(name)?;
        Some(self.below(name, way))
    }
}
