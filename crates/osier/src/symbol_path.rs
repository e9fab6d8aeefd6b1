//! Where a Windows kernel's PDB lies on this machine: folders laid out as symbol servers and
//! debuggers lay them out. Nothing here leaves the machine.
//!
//! | file | who keeps it so |
//! |---|---|
//! | `NAME/KEY/NAME` | a symbol server's folder; `KEY` as [`BuildId::symbol_server_key`] |
//! | `NA/NAME/KEY/NAME` | the same in two tiers, told by a file `index2.txt` |
//! | `NAME/KEY/NAM_` | either, compressed |
//! | `NAME/KEY/file.ptr` | either, with the path of the file in it |
//! | `NAME`, `NAM_`, `pdb/NAME`, `symbols/pdb/NAME` | a debugger's folder |
//! | `NAME/GUID-AGE.json.xz`, `windows/NAME/GUID-AGE.json.xz`, or `.json` | Volatility 3 |
//!
//! Windows does not tell upper case from lower, so neither do these folders.

use std::fs;
use std::path::{Path, PathBuf};

use osier_profile::BuildId;

/// Bytes of a `file.ptr` that are read: a path.
const MAX_POINTER_BYTES: u64 = 4096;

/// The PDB that a kernel's image names: a file name and a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PdbFile {
    name: String,
    id: BuildId,
    key: String,
}

impl PdbFile {
    /// The PDB of an image's debug record. Of a recorded path the file name counts. `None` for what
    /// no PDB can be called: a dump may record anything, and the name becomes a path here.
    pub fn new(recorded: &str, id: BuildId) -> Option<Self> {
        let name = recorded.rsplit(['/', '\\']).next()?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
        let key = id.symbol_server_key()?;
        let sound = name.bytes().all(plain) && name.starts_with(|c: char| c.is_alphanumeric());
        sound.then(|| Self {
            name: name.to_owned(),
            id,
            key,
        })
    }

    /// The file's name, such as `ntkrnlmp.pdb`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its identity.
    pub fn id(&self) -> &BuildId {
        &self.id
    }

    /// The folder of it on a symbol server, see [`BuildId::symbol_server_key`].
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The files in `folder` that should be it, in the order in which they are to be tried. A file
    /// that lies under its bare name may be of another build.
    pub fn candidates(&self, folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut add = |dir: Option<PathBuf>, name: &str| {
            found.extend(
                dir.and_then(|dir| child(&dir, name))
                    .filter(|path| path.is_file()),
            );
        };
        let packed = packed_name(&self.name);
        let two_tiers = child(folder, "index2.txt").is_some();
        let tier = self.name.get(..2).filter(|_| two_tiers);
        let tier = tier.and_then(|tier| child(folder, tier));
        for top in tier.iter().map(PathBuf::as_path).chain([folder]) {
            let builds = child(top, &self.name);
            let build = builds
                .as_deref()
                .and_then(|builds| child(builds, &self.key));
            add(build.clone(), &self.name);
            add(build.clone(), &packed);
            let pointer = build.and_then(|build| child(&build, "file.ptr"));
            if let Some(target) = pointer.as_deref().and_then(pointed) {
                add(target.parent().map(Path::to_owned), &file_name(&target));
            }
        }
        let symbols = child(folder, "symbols");
        let by_kind = [
            child(folder, "pdb"),
            symbols.and_then(|symbols| child(&symbols, "pdb")),
        ];
        for dir in [Some(folder.to_owned())].into_iter().chain(by_kind) {
            add(dir.clone(), &self.name);
            add(dir, &packed);
        }
        if let Some((guid, age)) = self.key.split_at_checked(32) {
            let age = u32::from_str_radix(age, 16).unwrap_or(0);
            let windows = child(folder, "windows");
            for top in [Some(folder.to_owned()), windows] {
                let builds = top.and_then(|top| child(&top, &self.name));
                for ending in ["json.xz", "json"] {
                    add(builds.clone(), &format!("{guid}-{age}.{ending}"));
                }
            }
        }
        found
    }
}

/// The folders of this machine that a debugger's symbol path (`_NT_SYMBOL_PATH`) names: plain
/// folders, `cache*FOLDER`, and every local store of `srv*FOLDER*FOLDER*URL` or
/// `symsrv*DLL*FOLDER*…`. Servers are left out.
pub fn local_folders(symbol_path: &str) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for element in symbol_path.split(';').map(str::trim) {
        let parts: Vec<&str> = element.split('*').map(str::trim).collect();
        let stores = match parts.as_slice() {
            [first, stores @ ..]
                if first.eq_ignore_ascii_case("srv") || first.eq_ignore_ascii_case("cache") =>
            {
                stores
            }
            [first, _dll, stores @ ..] if first.eq_ignore_ascii_case("symsrv") => stores,
            other => other,
        };
        let local = stores
            .iter()
            .filter(|store| !store.is_empty() && !store.contains("://"));
        folders.extend(local.map(PathBuf::from));
    }
    folders
}

/// A compressed file's name: the last letter becomes an underscore.
fn packed_name(name: &str) -> String {
    let mut packed = name.to_owned();
    packed.pop();
    packed.push('_');
    packed
}

/// What is called `name` in `dir`, in upper or lower case.
fn child(dir: &Path, name: &str) -> Option<PathBuf> {
    let exact = dir.join(name);
    if exact.exists() {
        return Some(exact);
    }
    let entries = fs::read_dir(dir).ok()?;
    let same = |entry: &fs::DirEntry| entry.file_name().eq_ignore_ascii_case(name);
    entries.flatten().find(same).map(|entry| entry.path())
}

/// The file that a `file.ptr` names: `PATH:` and a path. It may also hold `MSG:` and an excuse.
fn pointed(pointer: &Path) -> Option<PathBuf> {
    use std::io::Read;

    let mut text = String::new();
    let file = fs::File::open(pointer).ok()?;
    file.take(MAX_POINTER_BYTES)
        .read_to_string(&mut text)
        .ok()?;
    let path = text.trim().strip_prefix("PATH:")?;
    Some(PathBuf::from(path))
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel() -> PdbFile {
        let id = BuildId::from_symbol_server_key("5278AFF86C341677D7D7835C85B7B8441").unwrap();
        PdbFile::new("C:\\build\\ntkrnlmp.pdb", id).unwrap()
    }

    #[test]
    fn a_name_from_a_dump_is_no_path() {
        let id = kernel().id;
        for name in ["..", "", "a b.pdb", "x;y", "-o.pdb", "a/..", "n\u{e9}.pdb"] {
            assert_eq!(PdbFile::new(name, id.clone()), None, "{name}");
        }
        assert_eq!(PdbFile::new("x.pdb", BuildId(vec![1; 7])), None);
        assert_eq!(kernel().name(), "ntkrnlmp.pdb");
    }

    #[test]
    fn every_layout_is_looked_through() {
        let root = std::env::temp_dir().join(format!("osier-symbol-path-{}", std::process::id()));
        let kernel = kernel();
        let key = kernel.key();
        for (name, file) in [
            ("plain", "NTKRNLMP.PDB"),
            ("packed", &format!("ntkrnlmp.pdb/{key}/ntkrnlmp.pd_")),
            (
                "server",
                &format!("NtKrnlMp.pdb/{}/ntkrnlmp.pdb", key.to_lowercase()),
            ),
            ("debugger", "symbols/pdb/ntkrnlmp.pdb"),
            ("tiers", &format!("nt/ntkrnlmp.pdb/{key}/ntkrnlmp.pdb")),
            (
                "volatility",
                "windows/ntkrnlmp.pdb/5278AFF86C341677D7D7835C85B7B844-1.json.xz",
            ),
        ] {
            let folder = root.join(name);
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, b"").unwrap();
            if name == "tiers" {
                assert!(kernel.candidates(&folder).is_empty());
                fs::write(folder.join("index2.txt"), b"").unwrap();
            }
            assert_eq!(kernel.candidates(&folder), [path], "{name}");
        }
        let pointing = root.join("pointing");
        let build = pointing.join("ntkrnlmp.pdb").join(key);
        let target = root.join("plain/NTKRNLMP.PDB");
        fs::create_dir_all(&build).unwrap();
        fs::write(
            build.join("file.ptr"),
            format!("PATH:{}\n", target.display()),
        )
        .unwrap();
        assert_eq!(kernel.candidates(&pointing), [target]);
        fs::write(build.join("file.ptr"), "MSG: gone").unwrap();
        assert!(kernel.candidates(&pointing).is_empty());
        let _ = fs::remove_dir_all(root);
    }

    #[test]
    fn a_symbol_path_gives_its_local_folders() {
        let path = "srv*/symbols*/more*https://msdl.microsoft.com/download/symbols; /plain ;\
                    cache*/cache;SymSrv*symsrv.dll*/dll*http://x/y;srv*;cache*;";
        let folders = local_folders(path);
        let folders: Vec<_> = folders.iter().map(|f| f.to_str().unwrap()).collect();
        assert_eq!(folders, ["/symbols", "/more", "/plain", "/cache", "/dll"]);
    }
}
