//! The layouts that machines are written with: those of the profiles that ship, two of Windows 7 x86, and
//! ReactOS. Every clone has them.

use std::sync::OnceLock;

use super::{reactos_x86, win7_sp1_x86, win7_sp1_x86_pae};
use crate::data;
use osier_profile::{OsKind, Profile};

/// A layout by its name.
#[derive(Debug)]
pub struct Layout {
    /// Which kernel's: of a profile that ships the name of its file, without the ending.
    pub name: String,
    /// The layout.
    pub profile: Profile,
}

/// The two layouts of Windows 7 x86, and that of ReactOS.
pub fn own() -> Vec<Layout> {
    let layout = |name: &str, profile| Layout {
        name: name.to_owned(),
        profile,
    };
    vec![
        layout("7 SP1 x86", win7_sp1_x86()),
        layout("7 SP1 x86 PAE", win7_sp1_x86_pae()),
        layout("ReactOS x86", reactos_x86()),
    ]
}

/// Every layout.
pub fn all() -> &'static [Layout] {
    static ALL: OnceLock<Vec<Layout>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut layouts = own();
        layouts.extend(shipped());
        layouts
    })
}

/// The Windows kernels of the profiles that ship. These hold what the provider wants of a kernel and
/// nothing else.
fn shipped() -> Vec<Layout> {
    let folder = data::workspace().join("symbols");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "osp"))
        .collect();
    paths.sort();
    let profiles = paths.iter().map(|path| {
        let (profile, _) = Profile::read_file(path).expect("a profile of the project's own");
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = name.into_owned();
        Layout { name, profile }
    });
    profiles
        .filter(|layout| layout.profile.identity().os == OsKind::Windows)
        .collect()
}

/// The layout of the kernel whose GUID begins so.
pub fn of(guid: &str) -> &'static Layout {
    let mut layouts = all().iter();
    let found = layouts.find(|layout| layout.name.ends_with(&format!("-{guid}")));
    found.expect("a profile that ships")
}

/// The layouts of XP: the kernels of Rekall's golden results and of their PAE twin, and SP3 PAE.
pub fn xp() -> [&'static Layout; 3] {
    ["32962337", "bd8f451f", "30b5fb31"].map(of)
}
