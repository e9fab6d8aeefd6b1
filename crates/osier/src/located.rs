//! The kernel of a snapshot, found: of whichever operating system the evidence says.

use osier_linux::Linux;
use osier_memory::{Hint, Machine, Paging, PhysAddr, VirtAddr};
use osier_osi::{Osi, Premise};
use osier_profile::{BuildId, OsKind, Profile};
use osier_snapshot::Snapshot;
use osier_windows::Windows;

use crate::missing::NoKernel;
use crate::os_name::OsName;
use crate::{Error, Options};

/// Where a kernel lies in a machine.
#[derive(Clone, Debug)]
pub enum Located {
    /// A Linux kernel.
    Linux(osier_linux::Located),
    /// A Windows kernel.
    Windows(osier_windows::Located),
}

impl Located {
    /// Its operating system.
    pub const fn os(&self) -> OsKind {
        match self {
            Self::Linux(_) => OsKind::Linux,
            Self::Windows(_) => OsKind::Windows,
        }
    }

    /// The kernel's paging mode.
    pub const fn mode(&self) -> Paging {
        match self {
            Self::Linux(found) => found.mode,
            Self::Windows(found) => found.mode,
        }
    }

    /// The root of a page table that maps the kernel, physical.
    pub const fn root(&self) -> PhysAddr {
        match self {
            Self::Linux(found) => found.root,
            Self::Windows(found) => found.root,
        }
    }

    /// Where the kernel runs. Linux: `_text`. Windows: the image's header.
    pub const fn base(&self) -> VirtAddr {
        match self {
            Self::Linux(found) => found.text,
            Self::Windows(found) => found.base,
        }
    }

    /// The GNU build id, or GUID and age of the PDB.
    pub const fn build_id(&self) -> Option<&BuildId> {
        match self {
            Self::Linux(found) => found.build_id.as_ref(),
            Self::Windows(found) => found.build_id.as_ref(),
        }
    }

    /// What the kernel is called: the Linux banner, or a Windows kernel's PDB. Bytes.
    pub fn banner(&self) -> Vec<u8> {
        match self {
            Self::Linux(found) => found.banner.clone(),
            Self::Windows(found) => found.pdb.clone().unwrap_or_default().into_bytes(),
        }
    }

    /// The release that a Linux banner names; empty for Windows.
    pub fn release(&self) -> String {
        match self {
            Self::Linux(found) => found.release(),
            Self::Windows(_) => String::new(),
        }
    }

    /// What to try first when a snapshot like this one is opened.
    pub const fn last(&self) -> Last {
        Last {
            os: self.os(),
            root: self.root(),
        }
    }

    /// How each part was decided.
    pub fn premises(&self) -> &[Premise] {
        match self {
            Self::Linux(found) => &found.premises,
            Self::Windows(found) => &found.premises,
        }
    }

    /// The provider of this kernel, read by `profile`.
    ///
    /// # Errors
    ///
    /// The profile does not serve.
    pub(crate) fn attach(
        &self,
        machine: &Machine,
        profile: std::sync::Arc<Profile>,
    ) -> Result<Box<dyn Osi>, AttachError> {
        Ok(match self {
            Self::Linux(found) => Box::new(Linux::attach(machine, found, profile)?),
            Self::Windows(found) => Box::new(Windows::attach(machine, found, profile)?),
        })
    }
}

/// A kernel that was found before, in this snapshot or one like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Last {
    /// Its operating system.
    pub os: OsKind,
    /// Its page-table root, physical.
    pub root: PhysAddr,
}

/// Why no provider could be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// For Linux.
    #[error(transparent)]
    Linux(#[from] osier_linux::AttachError),
    /// For Windows.
    #[error(transparent)]
    Windows(#[from] osier_windows::AttachError),
}

/// Kernels that were met before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) linux: Vec<osier_linux::Known>,
    pub(crate) windows: Vec<osier_windows::Known>,
}

impl Known {
    /// What to know the kernel of `profile` by.
    pub(crate) fn of(profile: &Profile) -> Self {
        Self {
            linux: crate::profiles::known(profile).into_iter().collect(),
            windows: osier_windows::Known::of_profile(profile)
                .into_iter()
                .collect(),
        }
    }
}

/// Finds the kernel and holds it against what the caller said.
pub(crate) fn find(
    snapshot: &Snapshot,
    options: &Options,
    known: &Known,
    lasts: &[Last],
) -> Result<Located, Error> {
    let name = match &options.os {
        Some(name) => Some((name, OsName::parse(name)?)),
        None => None,
    };
    let only = name.as_ref().map(|(_, named)| named.os);
    let told;
    let search = match options.table_root {
        None => Search {
            machine: &snapshot.machine,
            known,
            lasts,
        },
        Some(root) => {
            let header = |hint: &&Hint| matches!(hint, Hint::CrashDump(_) | Hint::Driver(_));
            let headers = snapshot.machine.hints.iter().filter(header).cloned();
            told = Machine {
                memory: snapshot.machine.memory.clone(),
                cpus: Vec::new(),
                hints: std::iter::once(Hint::TableRoot(root))
                    .chain(headers)
                    .collect(),
            };
            Search {
                machine: &told,
                known,
                lasts: &[],
            }
        }
    };
    let located = match search.run(only) {
        Ok(located) => located,
        // The other system may be there: that is a contradiction, and better to know.
        Err(tried) => match only.and_then(|_| search.run(None).ok()) {
            Some(located) => located,
            None if options.table_root.is_some() => {
                return Err(Error::NotARoot(options.table_root.unwrap_or_default()));
            }
            None => return Err(Box::new(NoKernel::of(snapshot, tried)).into()),
        },
    };
    if let Some(root) = options.table_root
        && located.mode().root_of_cr3(root.0) != located.root()
    {
        return Err(Error::NotARoot(root));
    }
    if let Some((given, named)) = name {
        let bytes = located.mode().pointer_bytes();
        if let Some(found) = named.contradiction(located.os(), bytes, &located.release()) {
            let named = given.clone();
            return Err(Error::Contradiction { named, found });
        }
    }
    Ok(located)
}

/// A search for a kernel of either system.
struct Search<'a> {
    machine: &'a Machine,
    known: &'a Known,
    lasts: &'a [Last],
}

impl Search<'_> {
    /// The kernel, of the system `only` when one is named. The error is what each search met, in words.
    ///
    /// What tells a Windows kernel at little cost is looked at first; then Linux is searched for,
    /// then Windows everywhere. A Windows crash dump holds Windows.
    fn run(&self, only: Option<OsKind>) -> Result<Located, Vec<String>> {
        let windows = only != Some(OsKind::Linux);
        let dump = |hint: &Hint| matches!(hint, Hint::CrashDump(_));
        let linux = only != Some(OsKind::Windows) && !self.machine.hints.iter().any(dump);
        let mut tried = Vec::new();
        if windows {
            let machine = self.hinted(OsKind::Windows);
            if let Some(found) = osier_windows::glance(&machine, &self.known.windows) {
                return Ok(Located::Windows(found));
            }
        }
        if linux {
            let machine = self.hinted(OsKind::Linux);
            match osier_linux::locate(&machine, &self.known.linux) {
                Ok(found) => return Ok(Located::Linux(found)),
                Err(error) => tried.push(error.to_string()),
            }
        }
        if windows {
            let machine = self.hinted(OsKind::Windows);
            match osier_windows::locate(&machine, &self.known.windows) {
                Ok(found) => return Ok(Located::Windows(found)),
                Err(error) => tried.push(error.to_string()),
            }
        }
        Err(tried)
    }

    /// The machine, with the roots of the last times that were kernels of `os`.
    fn hinted(&self, os: OsKind) -> Machine {
        let mut machine = self.machine.clone();
        let lasts = self.lasts.iter().filter(|last| last.os == os);
        let roots = lasts.map(|last| Hint::LastRoot(last.root));
        machine.hints.extend(roots);
        machine
    }
}
