//! Objects in stores: `s3://BUCKET/KEY`, `gs://BUCKET/KEY`, `az://CONTAINER/KEY`.
//!
//! `object_store` knows how each store's requests are signed, where its environment has credentials, and how it lists;
//! its requests are sent by `service`, the client of addresses. A key is taken as it stands: nothing in it is encoded.

mod service;

use std::collections::{HashMap, HashSet};
use std::error::Error as _;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_executor::{block_on, block_on_stream};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path as Key;
use object_store::{Error, GetOptions, GetRange, ObjectStore, RetryConfig};

use crate::manners::Manners;
use crate::ranges::{Got, Problem, Ranges, Tag};
use crate::shared::Shared;
use service::{Connector, Said, code};

/// The most objects that are listed below a prefix.
const MOST_LISTED: usize = 1 << 20;

/// The buckets that were asked for something, each with its credentials.
pub(crate) struct Stores {
    silence: Duration,
    buckets: Mutex<HashMap<(Scheme, String), Arc<Bucket>>>,
}

/// Whose store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scheme {
    S3,
    Google,
    Azure,
}

/// A bucket or a container.
struct Bucket {
    store: Box<dyn ObjectStore>,
    /// Whose it is: buckets of two servers, or containers of two accounts, may have one name.
    place: String,
}

/// An object in a bucket.
pub(crate) struct StoredObject {
    bucket: Arc<Bucket>,
    key: Key,
    address: String,
}

impl Scheme {
    const ALL: [Self; 3] = [Self::S3, Self::Google, Self::Azure];

    fn prefix(self) -> &'static str {
        match self {
            Self::S3 => "s3://",
            Self::Google => "gs://",
            Self::Azure => "az://",
        }
    }

    /// The scheme, the bucket and the key of an address.
    fn split(address: &str) -> io::Result<(Self, &str, &str)> {
        // Hadoop's name of the same.
        let rest = address.strip_prefix("s3a://");
        let known = rest.map(|rest| (Self::S3, rest)).or_else(|| {
            let with = |scheme: Self| Some((scheme, address.strip_prefix(scheme.prefix())?));
            Self::ALL.into_iter().find_map(with)
        });
        let (scheme, rest) = known.ok_or_else(|| wrong("it is no address of a store"))?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(wrong("it names no bucket"));
        }
        if bucket.contains(['@', ':']) {
            let text = "a bucket's name has no `@` or `:`; credentials are taken from the environment, and an account from there, too";
            return Err(wrong(text));
        }
        Ok((scheme, bucket, key))
    }
}

fn wrong(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// A key as it stands.
fn key_of(text: &str) -> io::Result<Key> {
    // A slash in front or behind is no part of a `Key`, and would name another object.
    let key = Key::parse(text).ok().filter(|key| key.as_ref() == text);
    key.ok_or_else(|| wrong("its key has an empty part, `.`, `..` or a control character in it, and cannot be asked for"))
}

impl Bucket {
    /// With what the environment says.
    fn new(scheme: Scheme, name: &str, silence: Duration) -> io::Result<Self> {
        // Whoever asks tries again, and counts.
        let once = || RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        };
        let connector = Connector { silence };
        let (built, place) = match scheme {
            Scheme::S3 => {
                let builder = AmazonS3Builder::from_env()
                    .with_bucket_name(name)
                    .with_retry(once())
                    .with_http_connector(connector);
                let keys = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
                let place = keys.iter().find_map(|key| builder.get_config_value(key));
                let built = builder.build().map(|store| Box::new(store) as _);
                (built, place)
            }
            Scheme::Google => {
                let builder = GoogleCloudStorageBuilder::from_env()
                    .with_bucket_name(name)
                    .with_retry(once())
                    .with_http_connector(connector);
                let place = builder.get_config_value(&GoogleConfigKey::BaseUrl);
                let built = builder.build().map(|store| Box::new(store) as _);
                (built, place)
            }
            Scheme::Azure => {
                let builder = MicrosoftAzureBuilder::from_env()
                    .with_container_name(name)
                    .with_retry(once())
                    .with_http_connector(connector);
                let keys = [AzureConfigKey::AccountName, AzureConfigKey::Endpoint];
                let places = keys.iter().filter_map(|key| builder.get_config_value(key));
                // Each by itself: behind an account's name no address is known for one.
                let places = places.map(|place| osier_text::address(&place));
                let place = places.collect::<Vec<_>>().join(" ");
                let built = builder.build().map(|store| Box::new(store) as _);
                (built, Some(place))
            }
        };
        // What it says may have what it was given in it.
        let told = |error: Error| {
            let why = without_secrets(&inner(&error), environment());
            let names = match scheme {
                Scheme::S3 => "AWS_ACCESS_KEY_ID and its like",
                Scheme::Google => "GOOGLE_APPLICATION_CREDENTIALS and its like",
                Scheme::Azure => "AZURE_STORAGE_ACCOUNT_NAME and its like",
            };
            wrong(&format!(
                "the environment ({names}) does not say how it is reached: {why}"
            ))
        };
        Ok(Self {
            store: built.map_err(told)?,
            place: osier_text::address(&place.unwrap_or_default()),
        })
    }
}

/// What an error says below the name of its store.
fn inner(error: &Error) -> String {
    let source = error.source().map(ToString::to_string);
    source.unwrap_or_else(|| error.to_string())
}

/// The environment, but for what is no text, which `std::env::vars` panics at.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// A text without any value that the environment has for a store.
fn without_secrets(text: &str, environment: impl Iterator<Item = (String, String)>) -> String {
    let mut text = text.to_owned();
    for (name, value) in environment {
        let for_stores = ["AWS_", "AZURE_", "GOOGLE_"];
        // What is shorter is no secret, and stands in many words.
        if for_stores.iter().any(|prefix| name.starts_with(prefix)) && value.len() >= 8 {
            text = text.replace(&value, &format!("(what {name} says)"));
        }
    }
    text
}

impl Stores {
    pub(crate) fn new(silence: Duration) -> Self {
        Self {
            silence,
            buckets: Mutex::default(),
        }
    }

    fn bucket(&self, scheme: Scheme, name: &str) -> io::Result<Arc<Bucket>> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (scheme, name.to_owned());
        if let Some(bucket) = buckets.get(&place) {
            return Ok(bucket.clone());
        }
        let bucket = Arc::new(Bucket::new(scheme, name, self.silence)?);
        buckets.insert(place, bucket.clone());
        Ok(bucket)
    }

    /// The object of this address.
    pub(crate) fn object(&self, address: &str) -> io::Result<StoredObject> {
        let (scheme, name, key) = Scheme::split(address)?;
        if key.is_empty() || key.ends_with('/') {
            let text = "it names no object; `osier run` reads what lies below a prefix";
            return Err(wrong(text));
        }
        Ok(StoredObject {
            bucket: self.bucket(scheme, name)?,
            key: key_of(key)?,
            address: format!("{}{name}/{key}", scheme.prefix()),
        })
    }

    /// The addresses of all objects below `address`, sorted; those without bytes left out.
    pub(crate) fn list(
        &self,
        address: &str,
        manners: Manners,
        shared: &Shared,
    ) -> io::Result<Vec<PathBuf>> {
        let (scheme, name, prefix) = Scheme::split(address)?;
        let bucket = self.bucket(scheme, name)?;
        let below = match prefix.strip_suffix('/').unwrap_or(prefix) {
            "" => None,
            prefix => Some(key_of(prefix)?),
        };
        let mut pause = manners.pause;
        let mut tries = 0_u32;
        let keys = loop {
            tries = tries.saturating_add(1);
            let why = match list(&*bucket.store, below.as_ref(), shared) {
                Ok(keys) => break keys,
                Err(Problem::Passing(_)) if tries < manners.tries => {
                    std::thread::sleep(pause);
                    pause = pause.saturating_mul(2);
                    continue;
                }
                Err(Problem::Passing(why)) => {
                    let text =
                        format!("what lies there could not be listed in {tries} tries: {why}");
                    io::Error::new(io::ErrorKind::TimedOut, text)
                }
                Err(Problem::Lasting(kind, why)) => io::Error::new(kind, why),
                Err(Problem::Changed) => wrong("it was changed while it was listed"),
            };
            return Err(why);
        };
        // As it was named: whoever named `s3a://` finds it again by that.
        let start = address.get(..address.len().saturating_sub(prefix.len()));
        let start = start.unwrap_or_default().trim_end_matches('/');
        let mut all: Vec<String> = keys.iter().map(|key| format!("{start}/{key}")).collect();
        all.sort();
        Ok(all.into_iter().map(PathBuf::from).collect())
    }
}

fn list(
    store: &dyn ObjectStore,
    below: Option<&Key>,
    shared: &Shared,
) -> Result<Vec<Key>, Problem> {
    shared.request();
    let mut keys = Vec::new();
    let mut all = HashSet::new();
    for met in block_on_stream(store.list(below)) {
        let met = met.map_err(|error| problem(&error))?;
        // A slash behind a key is lost on the way here: `x/` comes as `x`, behind `x` itself.
        if !all.insert(met.location.clone()) && met.size > 0 {
            let text = format!(
                "there are objects `{0}` and `{0}/`, and the second cannot be asked for",
                osier_text::visible(met.location.as_ref())
            );
            return Err(Problem::Lasting(io::ErrorKind::InvalidInput, text));
        }
        if met.size > 0 {
            keys.push(met.location);
        }
        // Those without bytes count, too: the list itself has no end that the server must come to.
        if all.len() > MOST_LISTED {
            let text = format!("more than {MOST_LISTED} objects lie there; name a longer prefix");
            return Err(Problem::Lasting(io::ErrorKind::InvalidInput, text));
        }
    }
    Ok(keys)
}

impl Ranges for StoredObject {
    fn shown(&self) -> String {
        self.address.clone()
    }

    fn lasting(&self) -> String {
        format!("{} {}", self.address, self.bucket.place)
    }

    fn get(&self, range: Range<u64>, tag: Option<&Tag>) -> Result<Got, Problem> {
        let if_match = match tag {
            // A weak tag is no condition of a range; what comes is compared.
            Some(Tag::Entity(tag)) if !tag.starts_with("W/") => Some(tag.clone()),
            _ => None,
        };
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            if_match,
            ..GetOptions::default()
        };
        let got = block_on(self.bucket.store.get_opts(&self.key, options));
        let got = match got {
            Ok(got) => got,
            // An object without bytes has no range to ask for.
            Err(error) if range.start == 0 && tag.is_none() && is_past_the_end(&error) => {
                return Ok(Got {
                    bytes: Vec::new(),
                    total: 0,
                    tag: None,
                });
            }
            Err(error) => return Err(problem(&error)),
        };
        let total = got.meta.size;
        // A time of 0 stands for one that is not told.
        let modified = got.meta.last_modified;
        let modified = || (modified.timestamp() != 0).then(|| Tag::Modified(modified.to_rfc2822()));
        let tag = got.meta.e_tag.clone().map(Tag::Entity).or_else(modified);
        let wanted = range.end.min(total).saturating_sub(range.start);
        let bytes = block_on(got.bytes()).map_err(|error| problem(&error))?;
        if bytes.len() as u64 != wanted {
            return Err(Problem::short(bytes.len(), wanted));
        }
        Ok(Got {
            bytes: bytes.into(),
            total,
            tag,
        })
    }
}

/// What a server said that is nobody's error but its own.
fn said(error: &Error) -> Option<&Said> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(said) = error.downcast_ref() {
            return Some(said);
        }
        source = error.source();
    }
    None
}

fn is_past_the_end(error: &Error) -> bool {
    said(error).is_some_and(|said| *said == Said::PastTheEnd)
}

fn problem(error: &Error) -> Problem {
    match said(error) {
        Some(Said::PastTheEnd) => return Problem::Changed,
        Some(Said::Passing(why)) => return Problem::Passing(why.clone()),
        Some(Said::Lasting(why)) => return Problem::Lasting(io::ErrorKind::Other, why.clone()),
        None => {}
    }
    let (kind, what) = match error {
        Error::NotFound { .. } => (io::ErrorKind::NotFound, "404 Not Found"),
        Error::Precondition { .. } => return Problem::Changed,
        Error::PermissionDenied { .. } => (io::ErrorKind::PermissionDenied, "403 Forbidden"),
        Error::Unauthenticated { .. } => (io::ErrorKind::PermissionDenied, "401 Unauthorized"),
        other => {
            let text = without_secrets(&inner(other), environment());
            return Problem::Lasting(io::ErrorKind::Other, text);
        }
    };
    let text = match code(&error.to_string()) {
        Some(code) => format!("{what} ({code})"),
        None => what.to_owned(),
    };
    Problem::Lasting(kind, text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn an_address_is_a_scheme_a_bucket_and_a_key_as_it_stands() {
        let split = |address| Scheme::split(address).ok();
        assert_eq!(
            split("s3://b/a b/100%25#?x"),
            Some((Scheme::S3, "b", "a b/100%25#?x"))
        );
        assert_eq!(split("s3a://b/k"), Some((Scheme::S3, "b", "k")));
        assert_eq!(split("gs://b"), Some((Scheme::Google, "b", "")));
        assert_eq!(split("az://c/"), Some((Scheme::Azure, "c", "")));
        assert_eq!(key_of("a b/100%25#?x").unwrap().as_ref(), "a b/100%25#?x");
        for address in ["s3:///k", "https://h/k", "s3://id:secret@b/k"] {
            let error = Scheme::split(address).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        for key in ["a//b", "/a", "a/", "a/../b", "a\nb"] {
            assert!(key_of(key).is_err(), "{key}");
        }
    }

    #[test]
    fn what_the_environment_has_for_stores_is_not_said() {
        let environment = [
            ("AWS_SECRET_ACCESS_KEY", "hush-hush-hush"),
            ("AWS_REGION", "eu"),
            ("HOME", "/home/somebody"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let text = without_secrets(
            "hush-hush-hush of eu in /home/somebody",
            environment.into_iter(),
        );
        assert_eq!(
            text,
            "(what AWS_SECRET_ACCESS_KEY says) of eu in /home/somebody"
        );
    }
}
