//! What a test can need that not every clone has: data, or a program.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::data;

/// Something that a test needs. Whether it is there is known before the test runs.
#[derive(Clone, Debug)]
pub struct Need {
    name: String,
    what: What,
    missing: Option<String>,
}

#[derive(Clone, Debug)]
enum What {
    /// A packed snapshot, unpacked when the test runs.
    Snapshot,
    /// A file, a folder or a program, as it is.
    Plain(PathBuf),
}

/// What a test needed, found.
#[derive(Clone, Debug)]
pub struct Real {
    /// What it was asked for by.
    pub name: String,
    /// The folder of an unpacked snapshot, the file, or the program.
    pub path: PathBuf,
}

impl Real {
    /// The containers of a real snapshot that a machine was saved in: a test that goes through them misses none.
    pub fn containers(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        let all = data::containers(&self.name).iter();
        all.map(|container| (*container, self.path.join(container)))
    }

    /// What the Zstandard file holds.
    ///
    /// # Panics
    ///
    /// When it does not unpack.
    pub fn unpacked(&self) -> Vec<u8> {
        let file = File::open(&self.path).expect("a file");
        let decoder = ruzstd::decoding::StreamingDecoder::new(file);
        let mut bytes = Vec::new();
        let read = decoder.expect("Zstandard").read_to_end(&mut bytes);
        read.expect("a whole file");
        bytes
    }
}

/// The real snapshot of that name, as [`data::folder`] unpacks it.
pub fn snapshot(name: &str) -> Need {
    Need {
        name: name.to_owned(),
        what: What::Snapshot,
        missing: data::missing(name),
    }
}

/// A snapshot that whoever wants it makes, for it is too large to be given out: `triage-RECIPE` of the maker's `RECIPE`,
/// beside the real snapshots.
pub fn made(name: &str) -> Need {
    let how = |_| format!("{name} is not made (docs/making-snapshots.md)");
    Need {
        name: name.to_owned(),
        what: What::Snapshot,
        missing: data::missing(name).map(how),
    }
}

/// A file or folder below the data's, such as `windows/isf`.
pub fn file(name: &str) -> Need {
    let path = data::packed().join(name);
    let missing = (!path.exists()).then(|| format!("no {} (set OSIER_DATA)", path.display()));
    Need {
        name: name.to_owned(),
        what: What::Plain(path),
        missing,
    }
}

/// A program that is installed.
pub fn program(name: &str) -> Need {
    let found = data::on_path(name);
    let missing = found.is_none().then(|| format!("no {name} is installed"));
    Need {
        name: name.to_owned(),
        what: What::Plain(found.unwrap_or_default()),
        missing,
    }
}

/// A library that C programs are compiled with, by the name that pkg-config knows it by.
pub fn library(name: &str) -> Need {
    let asked = Command::new("pkg-config").args(["--exists", name]).status();
    let missing = !asked.is_ok_and(|status| status.success());
    Need {
        name: name.to_owned(),
        what: What::Plain(PathBuf::new()),
        missing: missing.then(|| format!("no {name} for C is installed")),
    }
}

/// A variable of the environment, for what runs only when it is asked for: `how` says by what.
pub fn variable(name: &str, how: &str) -> Need {
    let missing = std::env::var_os(name).is_none();
    Need {
        name: name.to_owned(),
        what: What::Plain(PathBuf::new()),
        missing: missing.then(|| format!("{how} runs it")),
    }
}

/// Each of them, for a test that runs once with each.
pub fn each(need: fn(&str) -> Need, names: &[&str]) -> Vec<Need> {
    names.iter().map(|name| need(name)).collect()
}

impl Need {
    /// The same, where `other` is there as well. The test is given the first.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.missing = self.missing.or(other.missing);
        self
    }

    /// In words, what is missing; `None` when it is there.
    pub fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    /// What it was asked for by, without the folders.
    pub fn name(&self) -> &str {
        let name = Path::new(&self.name).file_name();
        name.and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// What is needed, to work with.
    ///
    /// # Panics
    ///
    /// When it is missing, or is there and does not unpack.
    pub fn get(self) -> Real {
        if let Some(missing) = self.missing {
            panic!("{missing}");
        }
        let path = match self.what {
            What::Snapshot => data::folder(&self.name).expect("it is not missing"),
            What::Plain(path) => path,
        };
        Real {
            name: self.name,
            path,
        }
    }
}

impl IntoIterator for Need {
    type Item = Self;
    type IntoIter = std::iter::Once<Self>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(self)
    }
}
