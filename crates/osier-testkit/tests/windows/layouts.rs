//! The layouts that machines are written with: one that every clone has, and those of real
//! symbol files, where they are.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use osier_profile::{OsKind, Profile};
use osier_symbols::import_symbols;
use osier_testkit::data;
use osier_testkit::windows::{win7_sp1_x86, win7_sp1_x86_pae};

/// Volatility's ISF of x64 kernels, by the beginning of their GUID and what they are.
const ISF: [(&str, &str); 8] = [
    ("3844DBB9", "7 SP1"),
    ("C78AB9DB", "8.1"),
    ("2E6DEB6C", "10 1607"),
    ("1D409061", "10 1809"),
    ("E0093F3A", "10 1903"),
    ("5278AFF8", "10 19041"),
    ("BBED7C29", "10 19041"),
    ("FDCBA251", "11"),
];

pub(crate) struct Layout {
    pub(crate) name: String,
    pub(crate) profile: Profile,
}

/// The two layouts of Windows 7 x86.
pub(crate) fn own() -> Vec<Layout> {
    let layout = |name: &str, profile| Layout {
        name: name.to_owned(),
        profile,
    };
    vec![
        layout("7 SP1 x86", win7_sp1_x86()),
        layout("7 SP1 x86 PAE", win7_sp1_x86_pae()),
    ]
}

/// Every layout that can be had here; those that cannot are told.
pub(crate) fn all() -> &'static [Layout] {
    static ALL: OnceLock<Vec<Layout>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut layouts = own();
        layouts.extend(xp());
        for (guid, name) in ISF {
            match isf(guid) {
                Ok(profile) => layouts.push(Layout {
                    name: format!("{name} ({guid})"),
                    profile,
                }),
                Err(reason) => osier_testkit::report_skip(module_path!(), &reason),
            }
        }
        let shipped = shipped(&layouts);
        layouts.extend(shipped);
        layouts
    })
}

/// The Windows kernels of the project's own profiles that were not met before. These hold what the
/// provider wants of a kernel and nothing else.
fn shipped(met: &[Layout]) -> Vec<Layout> {
    let folder = data::workspace().join("symbols");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let paths = paths.filter(|path| path.extension().is_some_and(|end| end == "osp"));
    let profiles = paths.map(|path| {
        let (profile, _) = Profile::read_file(&path).expect("a profile of the project's own");
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        (name.into_owned(), profile)
    });
    let id = |profile: &Profile| profile.identity().build_id.clone();
    let new = profiles.filter(|(_, profile)| {
        let windows = profile.identity().os == OsKind::Windows;
        windows && !met.iter().any(|layout| id(&layout.profile) == id(profile))
    });
    new.map(|(name, profile)| Layout { name, profile })
        .collect()
}

/// The layout of an x64 kernel, or why it cannot be had.
pub(crate) fn of(guid: &str) -> Result<&'static Layout, String> {
    let mut layouts = all().iter();
    let found = layouts.find(|layout| layout.name.contains(guid));
    found.ok_or(format!("no layout of {guid}"))
}

/// The layout of one ISF.
fn isf(guid: &str) -> Result<Profile, String> {
    let folder = data::packed().join("windows/isf");
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut paths = entries.map(|entry| entry.path());
    let found: Option<PathBuf> = paths.find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.contains(guid) && name.ends_with(".json.xz")
    });
    let path = found.ok_or(format!("no ISF of {guid} in {}", folder.display()))?;
    symbols(&path)
}

/// The layouts of XP: the kernels of the golden results and of the PAE twin, by Rekall's profiles
/// of them, and SP3 PAE by its PDB.
pub(crate) fn xp() -> Vec<Layout> {
    let files = [
        (
            "XP SP2",
            "isf/ntoskrnl.pdb.32962337f0f646388b39535cd8dd70e82.rekall.json",
        ),
        (
            "XP SP2 PAE",
            "isf/ntkrnlpa.pdb.bd8f451f3e754ed8a34b50560ceb08e31.rekall.json",
        ),
        (
            "XP SP3 PAE",
            "pdb/winxp-sp3-x86pae-ntkrnlpa-30B5FB31AE7E4ACAABA750AA241FF331-1.pdb.zst",
        ),
    ];
    let mut layouts = Vec::new();
    for (name, file) in files {
        let path = data::packed().join("windows").join(file);
        match symbols(&path) {
            Ok(profile) => layouts.push(Layout {
                name: name.to_owned(),
                profile,
            }),
            Err(reason) => osier_testkit::report_skip(module_path!(), &reason),
        }
    }
    layouts
}

fn symbols(path: &Path) -> Result<Profile, String> {
    let because = |problem: String| format!("{}: {problem}", path.display());
    let mut bytes = std::fs::read(path).map_err(|error| because(error.to_string()))?;
    if path.extension().is_some_and(|extension| extension == "zst") {
        let mut unpacked = Vec::new();
        let mut packed = bytes.as_slice();
        let decoder = ruzstd::decoding::StreamingDecoder::new(&mut packed);
        let mut decoder = decoder.map_err(|error| because(error.to_string()))?;
        let read = decoder.read_to_end(&mut unpacked);
        read.map_err(|error| because(error.to_string()))?;
        bytes = unpacked;
    }
    let builders = import_symbols(&bytes, |_| None);
    let mut builders = builders.map_err(|error| because(error.to_string()))?;
    Ok(builders.remove(0).build())
}
